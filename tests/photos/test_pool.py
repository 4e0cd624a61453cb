"""Decoding processes that stay: what kills one costs one photo, and the next request is served."""

import re
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from catalogues import SPEC
from faults import BROKEN_SITE, SITE, afflict, install

from fftag.base.errors import FftagError
from fftag.catalogue.review_sheet import Suspect
from fftag.data.eda_plots import read_samples
from fftag.data.manifest import make_manifest
from fftag.data.near_embeddings import similar_embeddings
from fftag.data.photo_hashes import hash_photos
from fftag.data.photos import Photos
from fftag.data.photos import batches as training_batches
from fftag.evaluation.mistakes import Mistake
from fftag.evaluation.mistakes_page import Thumbnails
from fftag.models.folder import Bundle
from fftag.models.labels import LabelSet
from fftag.photos.decode import decode
from fftag.photos.pool import PoolOnDemand, ReadOptions, decoded
from fftag.photos.sources.local import Folder
from fftag.training.label_review import write_review_page

Make = Callable[[int], Path]
OPTIONS = ReadOptions(batch_size=3, workers=2, timeout=20)
pytestmark = pytest.mark.usefixtures("decoding_processes")


def rows(root: Path) -> list[dict[str, object]]:
    paths = sorted(root.rglob("*.jpg"))
    return [
        {"image": path.relative_to(root).as_posix(), "size": 0, "modified_ns": None}
        for path in paths
    ]


def test_photos_come_in_the_order_asked_for_again_and_again(folder_of_photos: Make) -> None:
    root = folder_of_photos(10)
    entries = rows(root)[::-1]
    pool = PoolOnDemand(Folder(root), SPEC, OPTIONS)
    try:
        for asked in (entries, entries[2:9], [], entries[:1]):
            found = pool(asked)
            assert [record.image for record, _ in found] == [one["image"] for one in asked]
            for record, pixels in found:
                photo = decode((root / record.image).read_bytes(), SPEC)
                assert pixels is not None and np.array_equal(pixels, photo.pixels)
    finally:
        pool.close()


def test_a_photo_that_kills_its_decoder_costs_itself_alone(
    folder_of_photos: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = folder_of_photos(8)
    entries = rows(root)
    for at, fault in ((1, "segfault"), (4, "killed")):
        afflict(root / str(entries[at]["image"]), fault)
    monkeypatch.setenv("PYTHONPATH", install(tmp_path / "site", SITE))
    pool = PoolOnDemand(Folder(root), SPEC, OPTIONS)
    try:
        for _ in range(2):
            status = [record.status for record, _ in pool(entries)]
            assert status == [*["ok", "crashed", "ok", "ok", "crashed"], *["ok"] * 3]
    finally:
        pool.close()


def test_threads_are_served_one_after_the_other(folder_of_photos: Make) -> None:
    root = folder_of_photos(6)
    entries = rows(root)
    pool = PoolOnDemand(Folder(root), SPEC, OPTIONS)
    found: list[list[str]] = []

    def ask() -> None:
        found.append([record.image for record, pixels in pool(entries) if pixels is not None])

    try:
        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        pool.close()
    assert found == [[one["image"] for one in entries]] * 4


def test_where_no_process_starts_it_is_told_and_tried_again(
    folder_of_photos: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = folder_of_photos(2)
    pool = PoolOnDemand(Folder(root), SPEC, OPTIONS)
    try:
        with monkeypatch.context() as patch:
            patch.setenv("PYTHONPATH", install(tmp_path / "site", BROKEN_SITE))
            with pytest.raises(FftagError, match="as soon as they start"):
                pool(rows(root))
        assert [record.status for record, _ in pool(rows(root))] == ["ok", "ok"]
    finally:
        pool.close()


def test_files_are_decoded_wherever_they_lie_and_in_order(
    folder_of_photos: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = folder_of_photos(7)
    paths = sorted(root.rglob("*.jpg"))[::-1]
    afflict(paths[2], "segfault")
    link, strange = tmp_path / "link.jpg", tmp_path / "back\\slash \udcff.jpg"
    link.symlink_to(paths[0])
    strange.write_bytes(paths[1].read_bytes())
    (tmp_path / "notes.txt").write_text("no photo")
    monkeypatch.setenv("PYTHONPATH", install(tmp_path / "site", SITE))
    monkeypatch.chdir(tmp_path)
    given = [*paths, link, strange, Path("notes.txt"), tmp_path / "gone.jpg", paths[0]]
    found = list(decoded(given, SPEC, OPTIONS))
    status = ["ok", "ok", "crashed", *["ok"] * 6, "unsupported", "vanished", "ok"]
    assert [record.status for record, _ in found] == status
    for path, (record, pixels) in zip(given, found, strict=True):
        assert (pixels is not None) == (record.status == "ok")
        if pixels is not None:
            assert np.array_equal(pixels, decode(path.read_bytes(), SPEC).pixels)
    assert list(decoded([], SPEC, OPTIONS)) == []


def test_no_process_at_all_is_refused() -> None:
    with pytest.raises(FftagError, match="at least 1 of --workers"):
        ReadOptions(workers=0)


def test_no_other_module_decodes_files() -> None:
    """Whoever wants pixels asks processes that may die: a file can end the one that decodes it."""
    package = Path(__file__).parents[2] / "fftag"
    means = re.compile(
        r"Image\.open\(|import simplejpeg|from fftag\.photos\.decode import .*\bdecode\b|"
        r"imread|decode_image|fftag\.photos\.decode\.decode|default_loader|ImageFolder"
    )
    found = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if means.search(path.read_text())
    }
    # The doctor decodes what it has just encoded.
    assert found == {"photos/decode.py", "photos/record.py", "cli/doctor.py"}


def test_what_kills_a_decoder_ends_no_step_that_reads_photos(
    folder_of_photos: Make,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    session_bundle: Bundle,
    label_set: LabelSet,
) -> None:
    root = folder_of_photos(6)
    images = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.jpg"))
    paths = [root / image for image in images]
    afflict(paths[3], "segfault")
    monkeypatch.setenv("PYTHONPATH", install(tmp_path / "site", SITE))
    manifest = make_manifest(images, [["red"]] * 6, label_set, root)

    photos = Photos(manifest, SPEC, None)
    said = f"1 photos cannot be read, such as {re.escape(str(paths[3]))} is crashed"
    with pytest.raises(FftagError, match=said):
        photos.fill_cache(2, "photos")
    with pytest.raises(FftagError, match=said):
        list(training_batches(photos, 4, 2))

    assert hash_photos(paths, show=False).known.tolist() == [True] * 3 + [False] + [True] * 2
    assert 3 not in similar_embeddings(paths, session_bundle, -1, "cpu")
    samples, unreadable = read_samples(manifest, 6, seed=0)
    assert (len(samples), unreadable) == (5, 1)
    sheet = Thumbnails([Mistake(at, 0, 0.5) for at in range(6)], paths, ["red"])
    assert [bool(problem) for problem in sheet.problems] == [at == 3 for at in range(6)]
    suspects = [Suspect(image, "red", True, 0.1, 0.2) for image in images]
    write_review_page(tmp_path / "page.html", suspects, root, {"red": (1, 0)}, [])
    assert (tmp_path / "page.html").read_text().count("data:image/jpeg") == 5
