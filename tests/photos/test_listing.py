import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fftag.photos.listing
from fftag.base.errors import FftagError
from fftag.photos.listing import Listing, Selection, escape, unescape
from fftag.photos.sources.choose import list_source
from fftag.photos.sources.local import Folder


def list_folder(
    root: Path, include: tuple[str, ...] = (), ignore: tuple[Path, ...] = ()
) -> Listing:
    return list_source(Folder(root), Selection(include, ignore))


def names(root: Path, ignore: tuple[Path, ...] = ()) -> list[str]:
    return list_folder(root, ignore=ignore).files["image"].to_pylist()


def put(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(path.encode("utf-8", "surrogateescape"))


def test_files_are_listed_in_the_order_of_their_bytes(tmp_path: Path) -> None:
    put(tmp_path, "b.jpg", "a/z.jpg", "a.jpg", "a/b/c.png", "ä.jpg", "Z.jpg", ".hidden")
    assert names(tmp_path) == sorted(
        ["b.jpg", "a/z.jpg", "a.jpg", "a/b/c.png", "ä.jpg", "Z.jpg", ".hidden"],
        key=lambda name: name.encode(),
    )
    assert list_folder(tmp_path).files["size"].to_pylist()[0] == len(b".hidden")


def test_strange_names_keep_their_own_rows(tmp_path: Path) -> None:
    strange = ["new\nline.jpg", "quo'te\".jpg", "👗.jpg", "back\\slash.jpg", "e\u0301.jpg", "é.jpg"]
    put(tmp_path, *strange, "l" * 251 + ".jpg")
    (Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.jpg"))).write_bytes(b"latin")
    listed = names(tmp_path)
    assert len(listed) == len(set(listed)) == 8
    assert "caf\\xe9.jpg" in listed and "back\\\\slash.jpg" in listed
    for image in listed:
        image.encode()
        assert (tmp_path / unescape(image)).is_file()


@given(st.binary(min_size=1).filter(lambda name: b"\0" not in name))
def test_the_escape_of_any_name_is_valid_and_reversible(raw: bytes) -> None:
    name = os.fsdecode(raw)
    escape(name).encode("utf-8")
    assert unescape(escape(name)) == name


def test_links_are_counted_not_followed(tmp_path: Path) -> None:
    root = tmp_path / "root"
    put(root, "a.jpg")
    put(tmp_path, "outside/secret.jpg")
    (root / "loop").symlink_to(root)
    (root / "out").symlink_to(tmp_path / "outside")
    (root / "file.jpg").symlink_to(tmp_path / "outside/secret.jpg")
    os.mkfifo(root / "pipe")
    listing = list_folder(root)
    assert listing.files["image"].to_pylist() == ["a.jpg"]
    assert listing.left_out == {"symbolic links": 3, "special files (pipes, sockets, devices)": 1}


def test_include_keeps_what_it_names_and_counts_the_rest(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg", "b.png", "c.txt")
    listing = list_folder(tmp_path, ("*.jpg", "*.png"))
    assert listing.files["image"].to_pylist() == ["a.jpg", "b.png"]
    assert listing.left_out == {"files that --include does not name": 1}


def test_what_the_run_writes_is_not_part_of_its_source(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg", "tags.parquet", "tags.parquet.parts/run.json", "sub/tags.parquet")
    own = (tmp_path / "tags.parquet", tmp_path / "tags.parquet.parts")
    assert names(tmp_path, ignore=own) == ["a.jpg", "sub/tags.parquet"]


def test_the_digest_tells_a_changed_folder(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg", "b.jpg")
    before = list_folder(tmp_path).digest()
    assert list_folder(tmp_path).digest() == before
    os.utime(tmp_path / "b.jpg", ns=(1, 1))
    assert list_folder(tmp_path).digest() != before


@pytest.mark.parametrize("kind", ["missing", "empty", "file"])
def test_a_source_without_files_is_refused(tmp_path: Path, kind: str) -> None:
    source = tmp_path / kind
    if kind == "empty":
        source.mkdir()
    if kind == "file":
        source.write_text("x")
    with pytest.raises(FftagError, match=kind if kind != "empty" else "no files to tag"):
        list_folder(source)


def test_rows_are_those_of_their_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fftag.photos.listing, "ROWS_AT_ONCE", 3)
    put(tmp_path, *(f"{number:02d}.jpg" for number in range(20)))
    listing = list_folder(tmp_path)
    assert listing.files["image"].num_chunks > 5
    for numbers in ([], [0], [19], [4, 5, 6, 7], [1, 2, 9, 18]):
        found = listing.rows(np.array(numbers, np.int64))
        assert found["image"].to_pylist() == [f"{number:02d}.jpg" for number in numbers]
        assert found.schema == listing.files.schema
