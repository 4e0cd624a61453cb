"""Files are published whole, where their name leads, and never in the place of something else."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save_file

from fftag.base.atomic import (
    DATABASE,
    JSON,
    PAGE,
    PARQUET,
    PNG,
    TEXT,
    Kind,
    refuse_other,
    replacing,
    write_text,
)
from fftag.base.errors import FftagError
from fftag.base.page import Section, write_page

KINDS = {
    "parquet": PARQUET,
    "duckdb": DATABASE,
    "png": PNG,
    "txt": TEXT,
    "html": PAGE,
    "json": JSON,
}


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_an_output_through_a_link_writes_the_file_that_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    real, link = tmp_path / "store" / "tags.txt", tmp_path / "tags.txt"
    real.write_text("old")
    link.symlink_to(Path("store") / "tags.txt")
    write_text(link, "new")
    assert link.is_symlink() and real.read_text() == "new"
    assert [path.name for path in real.parent.iterdir()] == ["tags.txt"]


def test_a_link_to_a_file_that_is_not_there_yet_makes_it(tmp_path: Path) -> None:
    link = tmp_path / "tags.txt"
    link.symlink_to(tmp_path / "store" / "new.txt")
    write_text(link, "new")
    assert link.is_symlink() and (tmp_path / "store" / "new.txt").read_text() == "new"


def test_a_link_that_leads_in_a_circle_is_refused(tmp_path: Path) -> None:
    link = tmp_path / "tags.txt"
    link.symlink_to(link)
    with pytest.raises(FftagError, match="circle"):
        write_text(link, "new")


@pytest.mark.parametrize("before", [0o600, 0o640, 0o664, 0o444])
def test_a_file_that_is_replaced_leaves_its_mode(tmp_path: Path, before: int) -> None:
    path = tmp_path / "tags.txt"
    path.write_text("old")
    path.chmod(before)
    write_text(path, "new")
    assert mode(path) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_a_file_that_is_replaced_leaves_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "tags.txt"
    path.write_text("old")
    os.chown(path, 1234, 2345)
    write_text(path, "new")
    assert (path.stat().st_uid, path.stat().st_gid) == (1234, 2345)


@pytest.mark.parametrize(("mask", "expected"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_a_new_file_has_the_mode_that_the_umask_leaves_it(
    tmp_path: Path, mask: int, expected: int
) -> None:
    before = os.umask(mask)
    try:
        with replacing(tmp_path / "model.safetensors") as temporary:
            save_file({"weight": torch.zeros(2)}, temporary)  # its own mode is 0600
    finally:
        os.umask(before)
    assert mode(tmp_path / "model.safetensors") == expected


def written(folder: Path, ending: str) -> Path:
    """A file as some other program would write it, or fftag's own page."""
    path = folder / f"there.{ending}"
    if ending == "parquet":
        pq.write_table(pa.table({"sku": ["A1"]}), path)
    elif ending == "duckdb":
        duckdb.connect(str(path)).close()
    elif ending == "png":
        Image.new("RGB", (4, 4)).save(path)
    elif ending == "html":
        write_page(path, "A page", [Section("Part")])
    elif ending == "json":
        path.write_text('\n [{"sku": "A1"}]')
    else:
        path.write_text("sku,größe\nA1,38\n")
    return path


@pytest.mark.parametrize("written_as", KINDS)
@pytest.mark.parametrize("there", KINDS)
def test_a_file_of_another_kind_is_refused(tmp_path: Path, there: str, written_as: str) -> None:
    path = written(tmp_path, there)
    before = path.read_bytes()
    if there == written_as or (there, written_as) == ("json", "txt"):  # JSON is text
        refuse_other(path, KINDS[written_as])
        return
    with pytest.raises(FftagError, match="move it away, or give another name"):
        write_text(path, "other", KINDS[written_as])
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda path: path.mkdir(), "is a folder"),
        (lambda path: os.mkfifo(path), "is no regular file"),
        (lambda path: path.symlink_to("/dev/null"), "is no regular file"),
    ],
    ids=["folder", "pipe", "device"],
)
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_what_is_no_regular_file_is_refused(
    tmp_path: Path, make: Callable[[Path], None], named: str, kind: Kind
) -> None:
    path = tmp_path / "out"
    make(path)
    before = path.lstat().st_mode
    with pytest.raises(FftagError, match=named):
        write_text(path, "text", kind)
    assert path.lstat().st_mode == before


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_an_empty_file_may_be_replaced_by_any(tmp_path: Path, kind: Kind) -> None:
    (tmp_path / "out").touch()
    write_text(tmp_path / "out", "text", kind)
    assert (tmp_path / "out").read_text() == "text"


@settings(deadline=None)
@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1))
def test_whatever_is_text_is_known_as_text_wherever_it_is_cut(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.txt"
    path.write_bytes((text * (5000 // len(text.encode()) + 1)).encode())
    assert TEXT.knows(path) or text.lower().startswith("<!doctype html>")


def test_nothing_is_left_and_the_old_stands_after_an_error(tmp_path: Path) -> None:
    path = tmp_path / "tags.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), replacing(path) as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
    assert path.read_text() == "old"
    assert [one.name for one in tmp_path.iterdir()] == ["tags.txt"]


@pytest.mark.parametrize(
    "path", ["/proc/out.txt", "/proc/new/out.txt", "/sys/out.txt", f"/tmp/{'long' * 100}.txt"]
)
def test_a_folder_that_cannot_be_written_is_one_line(path: str) -> None:
    with pytest.raises(FftagError, match=f"cannot write {path}: "):
        write_text(Path(path), "text", TEXT)


def test_a_page_of_another_program_is_no_page_of_ours(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<!doctype html><title>Our shop</title>")
    with pytest.raises(FftagError, match="not a page that fftag wrote"):
        write_page(tmp_path / "index.html", "A page", [Section("Part")])
    with pytest.raises(FftagError, match="not a text"):
        write_text(tmp_path / "index.html", "text", TEXT)
