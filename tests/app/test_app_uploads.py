"""What people upload to the app: what is taken, what is refused, what the model says of it."""

import io
import stat
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from catalogues import COLOURS, save_bands

from fftag.app.scoring import Scored, Tagger, as_csv, as_parquet, tags_of
from fftag.app.uploads import Caps, Upload, laid_down, take
from fftag.base.errors import FftagError
from fftag.models.folder import Bundle
from fftag.photos.companions import COMPANIONS
from fftag.photos.sources.local import Folder
from fftag.tagging.options import TagOptions
from fftag.tagging.tag import tag


class Sent(io.BytesIO):
    """A file as a browser sends it."""

    def __init__(self, name: str, data: bytes) -> None:
        super().__init__(data)
        self.name, self.size = name, len(data)


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def photo(tmp_path: Path, seed: int = 0) -> bytes:
    path = tmp_path / "one.jpg"
    save_bands(path, ["red"], seed)
    return path.read_bytes()


def test_photos_and_zips_are_taken_in_order() -> None:
    packed = zipped(
        {
            "a/1.jpg": b"one",
            "__MACOSX/a/._1.jpg": b"fork" * 1000,
            "a/.DS_Store": b"no",
            "../2.jpg": b"two",
            ".hidden.jpg": b"three",
        }
    )
    files = [Sent("x.jpg", b"first"), Sent("all.zip", packed), Sent("y.png", b"last")]
    found = take([*files, Sent("Thumbs.db", b"no")])
    assert [(one.name, one.data) for one in found.photos] == [
        ("x.jpg", b"first"),
        ("all.zip/a/1.jpg", b"one"),
        ("all.zip/../2.jpg", b"two"),
        ("all.zip/.hidden.jpg", b"three"),
        ("y.png", b"last"),
    ]
    assert found.left_out == [f"all.zip: 2 {COMPANIONS}", f"Thumbs.db: one of the {COMPANIONS}"]


def test_a_zip_by_another_name_is_a_zip_and_a_photo_named_zip_is_a_photo() -> None:
    found = take([Sent("x.jpg", zipped({"1.jpg": b"one"})), Sent("y.zip", b"\xff\xd8 a photo")])
    assert [one.name for one in found.photos] == ["x.jpg/1.jpg", "y.zip"]


@pytest.mark.parametrize(
    ("files", "caps", "taken", "said"),
    [
        ([Sent("a.jpg", b"x" * 11)], Caps(photo_bytes=10), [], "larger than"),
        ([Sent(f"{n}.jpg", b"x") for n in range(4)], Caps(photos=3), ["0.jpg", "1.jpg", "2.jpg"],
         "after the first 3"),
        ([Sent("a.jpg", b"x" * 6), Sent("b.jpg", b"x" * 6)], Caps(bytes=10), ["a.jpg"],
         "all together"),
        ([Sent("z.zip", zipped({f"{n}": b"x" for n in range(9)}))], Caps(zip_entries=8), [],
         "9 entries"),
        ([Sent("z.zip", zipped({"bomb": b"\0" * 2**20, "ok.jpg": b"yes"}))], Caps(),
         ["z.zip/ok.jpg"], "more than 100 to 1"),
        ([Sent("z.zip", b"PK\x03\x04" + b"\0" * 40), Sent("b.jpg", b"x")], Caps(), ["b.jpg"],
         "no zip"),
    ],
)  # fmt: skip
def test_what_exceeds_a_cap_is_left_out_and_told(
    files: list[Sent], caps: Caps, taken: list[str], said: str
) -> None:
    found = take(files, caps)
    assert [one.name for one in found.photos] == taken
    assert len(found.left_out) == 1 and said in found.left_out[0]


def test_a_zip_that_lies_about_a_size_is_read_no_further_than_it_says() -> None:
    data = bytearray(zipped({"liar.jpg": b"x" * 50_000, "ok.jpg": b"fine"}, zipfile.ZIP_STORED))
    entry = data.index(b"PK\x01\x02")
    struct.pack_into("<I", data, entry + 24, 10)  # the size unpacked, in the directory
    found = take([Sent("z.zip", bytes(data))])
    assert [one.name for one in found.photos] == ["z.zip/ok.jpg"]
    assert len(found.left_out) == 1 and "liar.jpg" in found.left_out[0]


def test_damaged_and_locked_members_cost_only_themselves() -> None:
    data = bytearray(zipped({"bad.jpg": bytes(range(256)) * 20, "ok.jpg": b"fine"}))
    data[60:80] = b"\xff" * 20
    found = take([Sent("z.zip", bytes(data))])
    assert [one.name for one in found.photos] == ["z.zip/ok.jpg"]
    locked = bytearray(zipped({"locked.jpg": b"secret"}, zipfile.ZIP_STORED))
    for at in (6, locked.index(b"PK\x01\x02") + 8):
        locked[at] |= 1
    found = take([Sent("z.zip", bytes(locked))])
    assert found.photos == [] and "locked.jpg" in found.left_out[0]


def test_links_in_a_zip_are_not_followed() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        link = zipfile.ZipInfo("link.jpg")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    found = take([Sent("z.zip", buffer.getvalue())])
    assert found.photos == [] and found.left_out == ["z.zip/link.jpg: a link"]


def test_names_of_uploads_name_no_file(tmp_path: Path) -> None:
    photos = [Upload("../../evil.jpg", b"1"), Upload("/etc/passwd", b"2"), Upload("a\0b", b"3")]
    with laid_down(photos, tmp_path) as entries:
        assert [(tmp_path / one["image"]).read_bytes() for one in entries] == [b"1", b"2", b"3"]
    assert list(tmp_path.iterdir()) == []
    with (
        pytest.raises(FftagError, match="cannot lay down"),
        laid_down(photos, tmp_path / "gone"),
    ):
        pass


@pytest.fixture(scope="module")
def tagger(session_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tagger]:
    made = Tagger(session_bundle, tmp_path_factory.mktemp("spool"))
    yield made
    made.close()


def test_uploads_are_scored_as_the_command_scores_files(
    tagger: Tagger, session_bundle: Bundle, tmp_path: Path
) -> None:
    root, uploads = tmp_path / "photos", []
    for number in range(11):
        save_bands(root / f"{number:02d}.jpg", list(COLOURS)[: number % 4], number)
        uploads.append(Upload(f"{number:02d}.jpg", (root / f"{number:02d}.jpg").read_bytes()))
    uploads.insert(4, Upload("broken.jpg", b"\xff\xd8 cut off"))
    results = list(tagger(uploads))
    assert [one.name for one in results] == [one.name for one in uploads]
    broken = results.pop(4)
    assert broken.status != "ok" and broken.error and broken.scores is None and not broken.jpeg
    options = TagOptions(workers=1, exact=True, tier="exact")
    tag(Folder(root), tmp_path / "t.parquet", session_bundle, options)
    table = pq.read_table(tmp_path / "t.parquet")
    expected = np.array(table["scores"].to_pylist(), np.float32)
    assert np.allclose([one.scores for one in results], expected, atol=1e-6)
    for one, row in zip(results, table["tags"].to_pylist(), strict=True):
        names = session_bundle.config.labels.names
        assert [tag["label"] for tag in row] == [
            label for label, _ in tags_of(one, names, session_bundle.thresholds)
        ]


def test_results_come_as_csv_without_formulas_and_as_parquet() -> None:
    names = ("=cmd()", "قميص|x")
    scores = np.array([0.9, 0.2], np.float32)
    results = [
        Scored('=HYPERLINK("http://x")', "ok", None, 6, 8, scores, b"", 0.4, "review"),
        Scored("b.jpg", "truncated", "-cut off", None, None, None, None),
    ]
    thresholds = np.array([0.5, 0.5], np.float32)
    text = as_csv(results, names, thresholds).decode("utf-8-sig")
    frame = pd.read_csv(io.StringIO(text), keep_default_na=False)
    assert frame["image"].tolist() == ['\'=HYPERLINK("http://x")', "b.jpg"]
    assert frame["tags"].tolist() == ["'=cmd()", ""] and frame["error"].tolist()[1] == "'-cut off"
    assert list(frame.columns[-2:]) == ["score: =cmd()", "score: قميص|x"]
    assert frame["score: =cmd()"].tolist() == ["0.9000", ""]
    table = pq.read_table(io.BytesIO(as_parquet(results, names, thresholds)))
    assert table["tags"].to_pylist()[0][0]["label"] == "=cmd()"
    assert table["tags"].to_pylist()[1] is None and table["scores"].to_pylist()[1] is None
    assert table["apparel"].to_pylist() == ["review", None]
