import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from damaged_images import DAMAGES, VARIANTS, damaged_images, whole_images
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fftag.models.folder import Bundle
from fftag.photos.decode import Failure, InputSpec, Limits, Photo, decode
from fftag.photos.sources.local import Folder
from fftag.tagging.tags_file import STATUSES
from fftag.tagging.validate import validate

Make = Callable[[int], Path]
SPEC = InputSpec(32, 24)
COUNT = 4000
LIMITS = Limits(pixels=20_000_000)
MIB = 2**20


def is_sound(result: Photo | Failure) -> bool:
    """Pixels of the right kind, or a code with a reason; and nothing else."""
    if isinstance(result, Photo):
        right = result.pixels.shape == (32, 24, 3) and result.pixels.dtype == np.uint8
        return right and result.width > 0 and result.height > 0 and result.format != ""
    return result.status in set(STATUSES) - {"ok"} and 0 < len(result.error.splitlines()) < 2


def test_whole_images_of_every_variant_decode() -> None:
    assert all(isinstance(decode(data, SPEC), Photo) for data in whole_images(1))


def test_every_damaged_image_gives_pixels_or_a_code() -> None:
    seen = Counter[tuple[str, str]]()
    for name, data in damaged_images(COUNT, seed=2):
        result = decode(data, SPEC, LIMITS)
        assert is_sound(result), name
        status = "ok" if isinstance(result, Photo) else result.status
        seen[name.split("-")[0], status] += 1
    kinds = {damage.__name__: set[str]() for damage in DAMAGES}
    for (kind, status), _ in seen.items():
        kinds[kind].add(status)
    assert kinds["no_image"] >= {"unsupported", "unreadable"} and "ok" not in kinds["no_image"]
    assert kinds["truncated"] >= {"truncated"} and kinds["absurd"] >= {"too_large"}
    assert all(found - {"ok"} for kind, found in kinds.items() if kind != "doubled")


def test_salvage_never_raises_either() -> None:
    for name, data in damaged_images(1200, seed=3):
        assert is_sound(decode(data, SPEC, Limits(pixels=20_000_000, salvage=True))), name


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    st.sampled_from(DAMAGES), st.integers(0, len(VARIANTS) - 1), st.randoms(use_true_random=False)
)
def test_any_damage_to_any_image_gives_pixels_or_a_code(
    damage: Callable[..., bytes], which: int, draw: random.Random
) -> None:
    whole = whole_images(4)
    for _ in range(2):  # damage upon damage
        whole[which] = damage(whole[which], whole, draw) or b"\0"
    assert is_sound(decode(whole[which], SPEC, LIMITS))


TAG = """
import sys
from pathlib import Path
from fftag.models.folder import load_bundle
from fftag.photos.decode import Limits
from fftag.photos.sources.local import Folder
from fftag.tagging.tag import tag
from fftag.tagging.options import TagOptions
root, out, model = map(Path, sys.argv[1:])
options = TagOptions(
    backend="torch",
    workers=2, limits=Limits(pixels=20_000_000), worker_memory=700 * 2**20, max_failure_rate=1
)
tag(Folder(root), out, load_bundle(model), options)
status = Path("/proc/self/status")
if status.exists():
    print(*[line.split()[1] for line in status.open() if line.startswith("VmHWM")])
"""


def test_a_folder_of_damaged_images_has_a_row_for_each(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path
) -> None:
    root, out = folder_of_photos(100), tmp_path / "tags.parquet"
    sound = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.jpg"))
    (root / "damaged").mkdir()
    for name, data in damaged_images(COUNT, seed=5):
        (root / "damaged" / name).write_bytes(data)
    command = [sys.executable, "-c", TAG, str(root), str(out), str(session_bundle.path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    rows = {row["image"]: row for row in pq.read_table(out).to_pylist()}
    assert len(rows) == pq.read_metadata(out).num_rows == COUNT + 100
    assert validate(out, Folder(root)).valid
    assert all(rows[image]["status"] == "ok" for image in sound)
    for name, data in damaged_images(COUNT, seed=5):
        row, alone = rows[f"damaged/{name}"], decode(data, SPEC, LIMITS)
        if row["status"] not in ("crashed", "timeout"):
            assert row["status"] == ("ok" if isinstance(alone, Photo) else alone.status), name
    ended = Counter(row["status"] for row in rows.values())
    print(ended)
    assert ended["crashed"] + ended["timeout"] <= 5, ended
    if done.stdout:  # kB; the decoders may not have more than 700 MiB
        assert int(done.stdout) * 1024 < 1500 * MIB
