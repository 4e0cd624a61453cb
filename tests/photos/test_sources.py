import errno
import io
import os
import shutil
import socket
import tarfile
import tempfile
import threading
import time
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from fftag.base.errors import FftagError
from fftag.models.folder import Bundle
from fftag.photos.companions import COMPANIONS
from fftag.photos.decode import Failure
from fftag.photos.listing import GONE, NO_PLAIN_PATH, SCHEMA, UNREAD, Listing, Selection
from fftag.photos.sources import base as sources_base
from fftag.photos.sources.base import Content, Source
from fftag.photos.sources.choose import choose_source, list_source
from fftag.photos.sources.remote import Remote, did_not_answer
from fftag.tagging.options import TagOptions
from fftag.tagging.tag import tag
from fftag.tagging.validate import validate

Make = Callable[[int], Path]
LIMIT = 1000
FILES = {"b.jpg": b"bee", "a/z.jpg": b"zet", "a/ä.jpg": b"umlaut", "c.txt": b""}


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources_base, "FIRST_PAUSE", 0.0)


def put(root: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def contents(source: Source, limit: int = LIMIT) -> dict[str, Any]:
    """What every listed file reads as: its bytes, or its code."""
    found = {}
    with closing(source.reader()) as reader:
        for entry in list_source(source).files.to_pylist():
            read = reader.read(entry, limit)
            found[entry["image"]] = read.data if isinstance(read, Content) else read.status
    return found


def names(listing: Listing) -> list[str]:
    return listing.files["image"].to_pylist()


def refused(given: str, *says: str, **options: Any) -> None:
    with pytest.raises(FftagError) as error:
        list_source(choose_source(given, **options))
    assert "\n" not in str(error.value)
    for text in says:
        assert text in str(error.value)


def as_tar(path: Path, files: dict[str, bytes], mode: str = "w") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def as_zip(path: Path, files: dict[str, bytes], way: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", way) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


# Folders


def test_a_folder_that_becomes_a_link_does_not_lead_out(tmp_path: Path) -> None:
    root = put(tmp_path / "root", {"a/b/x.jpg": b"inside", "c.jpg": b"too"})
    put(tmp_path / "secret", {"b/x.jpg": b"outside"})
    source = choose_source(str(root))
    entries = list_source(source).files.to_pylist()
    (root / "a").rename(root / "moved")
    (root / "a").symlink_to(tmp_path / "secret")
    (root / "c.jpg").unlink()
    (root / "c.jpg").symlink_to(tmp_path / "secret/b/x.jpg")
    read = [source.reader().read(entry, LIMIT) for entry in entries]
    assert [one.status for one in read if isinstance(one, Failure)] == ["unreadable"] * 2
    assert all("symbolic link" in str(one) for one in read)


def test_links_are_followed_on_demand_inside_the_folder_only(tmp_path: Path) -> None:
    root = put(tmp_path / "root", {"a/x.jpg": b"x", "b/y.jpg": b"y"})
    put(tmp_path, {"out/secret.jpg": b"s"})
    (root / "link.jpg").symlink_to(root / "a/x.jpg")
    (root / "folder").symlink_to("a")
    (root / "a/up").symlink_to(root)
    (root / "a/to_b").symlink_to(root / "b")
    (root / "b/to_a").symlink_to(root / "a")
    (root / "out.jpg").symlink_to(tmp_path / "out/secret.jpg")
    (root / "out").symlink_to(tmp_path / "out")
    (root / "broken.jpg").symlink_to("nowhere")
    (root / "itself").symlink_to("itself")
    (tmp_path / "alias").symlink_to(root)
    for given in (root, tmp_path / "alias"):
        source = choose_source(str(given), follow=True)
        found = contents(source)
        assert found["link.jpg"] == found["a/x.jpg"] == found["folder/x.jpg"] == b"x"
        assert found["a/to_b/y.jpg"] == b"y" and found["b/to_a/x.jpg"] == b"x"
        assert set(found.values()) == {b"x", b"y"}
        assert not any("up" in name or "out" in name for name in found)
    assert set(contents(choose_source(str(root)))) == {"a/x.jpg", "b/y.jpg"}


def test_a_link_that_leads_out_when_its_turn_comes_is_not_read(tmp_path: Path) -> None:
    root = put(tmp_path / "root", {"a.jpg": b"inside"})
    put(tmp_path, {"secret.jpg": b"outside"})
    (root / "link.jpg").symlink_to("a.jpg")
    source = choose_source(str(root), follow=True)
    entries = list_source(source).files.to_pylist()
    (root / "link.jpg").unlink()
    (root / "link.jpg").symlink_to("../secret.jpg")
    assert isinstance(source.reader().read(entries[1], LIMIT), Failure)


def listing_of(root: Path, **options: Any) -> Listing:
    return choose_source(str(root), **options).list()


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that any user may read, whatever the folders of tests are."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@contextmanager
def as_nobody() -> Iterator[None]:
    """Without the rights of root, whom no permission stops."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


@pytest.mark.parametrize(
    "mode", [0o000, 0o444]
)  # one that cannot be listed; nor its files looked at
def test_a_folder_that_may_not_be_read_is_counted_and_the_others_are_listed(
    open_folder: Path, mode: int, capsys: pytest.CaptureFixture[str]
) -> None:
    put(open_folder, {"a.jpg": b"a", "lost+found/x.jpg": b"x", "z/b.jpg": b"b"})
    shut = open_folder / "lost+found"
    shut.chmod(mode)
    try:
        with as_nobody():
            listing = list_source(choose_source(str(open_folder)))
    finally:
        shut.chmod(0o755)
    assert names(listing) == ["a.jpg", "z/b.jpg"]
    assert listing.left_out == {UNREAD: 1}
    assert listing.unread == {"lost+found": "Permission denied"}
    assert "lost+found (Permission denied)" in capsys.readouterr().err


def test_a_source_that_may_not_be_read_is_refused(open_folder: Path) -> None:
    root = put(open_folder, {"root/sub/x.jpg": b"x"}) / "root"
    root.chmod(0o000)
    try:
        with as_nobody():
            refused(str(root), "cannot list", "Permission denied")
            refused(str(root / "sub"), "cannot list", "Permission denied")
            refused(str(root / "*.tar"), "cannot list", str(root))
        root.chmod(0o755)
        (root / "sub").chmod(0o000)
        with as_nobody():
            refused(str(root), "no files to tag", "sub (Permission denied)")
    finally:
        root.chmod(0o755)
        (root / "sub").chmod(0o755)


def test_archives_below_a_folder_that_may_not_be_read_are_counted(open_folder: Path) -> None:
    for name in ("a/1.tar", "b/2.tar", "c/deep/3.tar"):
        as_tar(open_folder / name, {"x.jpg": b"x"})
    (open_folder / "b").chmod(0o000)
    try:
        with as_nobody():
            one_deep = choose_source(f"{open_folder}/*/*.tar").list()
            any_deep = choose_source(f"{open_folder}/**/*.tar").list()
    finally:
        (open_folder / "b").chmod(0o755)
    assert names(one_deep) == ["a/1.tar/x.jpg"]
    assert names(any_deep) == ["a/1.tar/x.jpg", "c/deep/3.tar/x.jpg"]
    assert one_deep.unread == any_deep.unread == {"b": "Permission denied"}


def faulty_scandir(monkeypatch: pytest.MonkeyPatch, name: str, act: Callable[[str], None]) -> None:
    """Before a folder of that name is looked into, something happens to it."""
    whole = os.scandir

    def scandir(path: Any) -> Any:
        if isinstance(path, str) and os.path.basename(path) == name:  # noqa: PTH119
            act(path)
        return whole(path)

    monkeypatch.setattr(os, "scandir", scandir)


def test_a_folder_that_goes_away_while_it_is_listed_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, {"a.jpg": b"a", "going/x.jpg": b"x", "became/y.jpg": b"y"})

    def replaced(path: str) -> None:
        shutil.rmtree(path)
        Path(path).write_bytes(b"a file")

    faulty_scandir(monkeypatch, "going", shutil.rmtree)
    faulty_scandir(monkeypatch, "became", replaced)
    listing = listing_of(tmp_path)
    assert names(listing) == ["a.jpg"]
    assert listing.left_out == {GONE: 2} and not listing.unread


@pytest.mark.parametrize("code", [errno.ESTALE, errno.EIO, errno.ENAMETOOLONG, errno.ELOOP])
def test_a_folder_that_the_share_fails_to_list_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    put(tmp_path, {"a.jpg": b"a", "bad/x.jpg": b"x"})

    def fails(path: str) -> None:
        raise OSError(code, os.strerror(code), path)

    faulty_scandir(monkeypatch, "bad", fails)
    listing = listing_of(tmp_path)
    assert names(listing) == ["a.jpg"] and listing.unread == {"bad": os.strerror(code)}


def test_a_share_that_goes_away_while_it_is_listed_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = put(tmp_path / "mount", {"a.jpg": b"a", "sub/x.jpg": b"x"})

    def unmounted(_: str) -> None:
        root.rename(tmp_path / "elsewhere")
        root.mkdir()

    with monkeypatch.context() as patch:
        faulty_scandir(patch, "sub", unmounted)
        refused(str(root), "cannot list", "another folder was put in its place")
    shutil.rmtree(root)
    flat = put(root, {f"{n}.jpg": b"x" for n in range(3)})
    whole = os.scandir

    @contextmanager
    def scandir(path: str) -> Iterator[Any]:
        with whole(path) as entries:
            found = list(entries)
            flat.rename(tmp_path / "away")
            flat.mkdir()
            yield found

    monkeypatch.setattr(os, "scandir", scandir)
    refused(str(flat), "cannot list", "another folder was put in its place")


def test_a_path_that_is_too_long_for_the_system_is_counted(tmp_path: Path) -> None:
    put(tmp_path, {"a.jpg": b"a"})
    at, name = os.open(tmp_path, os.O_RDONLY), "d" * 250
    for _ in range(17):
        os.mkdir(name, dir_fd=at)
        below = os.open(name, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(os.open("deep.jpg", os.O_CREAT | os.O_WRONLY, dir_fd=at))
    os.close(at)
    listing = listing_of(tmp_path)
    assert names(listing) == ["a.jpg"] and listing.left_out == {UNREAD: 1}
    assert list(listing.unread.values()) == ["File name too long"]


def test_a_file_that_cannot_be_looked_at_has_a_row_and_one_that_is_gone_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, {"a.jpg": b"a", "b.jpg": b"b", "c.jpg": b"c"})
    whole = os.scandir

    class Entry:
        def __init__(self, entry: Any) -> None:
            self.entry = entry

        def __getattr__(self, name: str) -> Any:
            return getattr(self.entry, name)

        def stat(self, **options: Any) -> Any:
            code = {"a.jpg": errno.EIO, "b.jpg": errno.ENOENT}.get(self.entry.name)
            if code:
                raise OSError(code, os.strerror(code))
            return self.entry.stat(**options)

    @contextmanager
    def scandir(path: str) -> Iterator[Any]:
        with whole(path) as entries:
            yield map(Entry, entries)

    monkeypatch.setattr(os, "scandir", scandir)
    listing = listing_of(tmp_path)
    assert listing.files["image"].to_pylist() == ["a.jpg", "c.jpg"]
    assert listing.files["size"].to_pylist() == [None, 1]
    assert listing.left_out == {GONE: 1}


def test_a_share_that_goes_away_under_a_run_is_of_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = put(tmp_path / "mount", {"a.jpg": b"a", "b.jpg": b"b"})
    as_tar(tmp_path / "x.tar", {"c.jpg": b"c"})
    for source in (choose_source(str(root)), choose_source(str(tmp_path / "x.tar"))):
        reader, entry = source.reader(), list_source(source).files.to_pylist()[0]
        with monkeypatch.context() as patch:

            def stale(*_: Any, **__: Any) -> int:
                raise OSError(errno.ESTALE, "Stale file handle")

            patch.setattr(os, "open", stale)
            patch.setattr(io, "open", stale)
            read = reader.read(entry, LIMIT)
        assert isinstance(read, Failure) and read.status == "unreadable"
        assert read.error.startswith("network: ")
    source = choose_source(str(root))
    reader, (first, second) = source.reader(), list_source(source).files.to_pylist()
    (root / "a.jpg").unlink()
    assert reader.read(first, LIMIT).status == "vanished"  # type: ignore[union-attr]
    root.rename(tmp_path / "elsewhere")
    for _ in ("no folder", "the one that it was mounted on"):
        read = reader.read(second, LIMIT)
        assert isinstance(read, Failure) and read.error.startswith("network: ")
        root.mkdir(exist_ok=True)


def test_names_that_no_system_takes_are_refused_in_one_line() -> None:
    name = "x" * 5000
    refused(name, "cannot list", "File name too long")
    refused(f"@{name}.txt", "does not exist")
    refused(f"{name}.tar", "does not exist")
    refused(f"{name}/*.tar", "no archive is named like")
    refused(f"file:///{name}", "cannot list", "File name too long")


# Companion files


COMPANION_FILES = [
    "__MACOSX/shop/._1.jpg",
    "__MACOSX/1.jpg",
    "shop/._1.jpg",
    "shop/.DS_Store",
    "shop/@eaDir/1.jpg/SYNOPHOTO_THUMB_M.jpg",
    "shop/Thumbs.db",
    "shop/THUMBS.DB",
    "Desktop.ini",
    "$RECYCLE.BIN/S-1-5/$R1.jpg",
    "#recycle/1.jpg",
    ".Trash-1000/files/1.jpg",
    "shop/.AppleDouble/1.jpg",
]
PHOTO_FILES = ["shop/1.jpg", "shop/.hidden.jpg", "eaDir/1.jpg", "shop/thumbs.db.jpg", "_1.jpg"]


def in_folder(tmp_path: Path, files: dict[str, bytes]) -> str:
    return str(put(tmp_path / "@eaDir/root", files))  # where the source itself lies does not matter


def in_list(tmp_path: Path, files: dict[str, bytes]) -> str:
    put(tmp_path / "root", {**files, "list.txt": "\n".join(files).encode()})
    return f"@{tmp_path / 'root/list.txt'}"


def in_tar(tmp_path: Path, files: dict[str, bytes]) -> str:
    return str(as_tar(tmp_path / "x.tar", files))


def in_zip(tmp_path: Path, files: dict[str, bytes]) -> str:
    return str(as_zip(tmp_path / "x.zip", files))


def in_memory(_: Path, files: dict[str, bytes]) -> str:
    storage = MemoryFileSystem()
    storage.store.clear()
    storage.pseudo_dirs[:] = [""]
    for name, content in files.items():
        storage.pipe_file(f"/root/{name}", content)
    return "memory://root"


@pytest.mark.parametrize("lay", [in_folder, in_list, in_tar, in_zip, in_memory])
def test_companion_files_are_counted_and_not_listed_whatever_the_source(
    tmp_path: Path, lay: Callable[[Path, dict[str, bytes]], str]
) -> None:
    source = choose_source(lay(tmp_path, dict.fromkeys(COMPANION_FILES + PHOTO_FILES, b"x")))
    listing = source.list()
    assert names(listing) == sorted(PHOTO_FILES)
    # A folder of companion files is not looked into: it counts as one.
    counted = {in_folder: 11, in_memory: 11}.get(lay, len(COMPANION_FILES))
    assert listing.left_out == {COMPANIONS: counted}


@pytest.mark.usefixtures("decoding_processes")
def test_a_zip_of_a_mac_is_published_and_says_what_it_passed_over(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path
) -> None:
    files = {}
    for number, path in enumerate(sorted(folder_of_photos(4).rglob("*.jpg"))):
        files[f"shop/{number}.jpg"] = path.read_bytes()
        files[f"__MACOSX/shop/._{number}.jpg"] = b"\0\5\x16\7" + bytes(60)
    files["shop/.DS_Store"] = b"\0\0\0\1Bud1"
    path, out = as_zip(tmp_path / "mac.zip", files), tmp_path / "tags.parquet"
    summary = tag(choose_source(str(path)), out, session_bundle, TagOptions(workers=1))
    assert summary.statuses == {"ok": 4} and summary.left_out == {COMPANIONS: 5}
    assert summary.to_json()["left_out"] == {COMPANIONS: 5}
    assert any(f"left out 5 {COMPANIONS}" in line for line in summary.lines())
    assert validate(out, choose_source(str(path))).valid


# Lists


@pytest.mark.parametrize("kind", ["txt", "nul", "csv", "parquet", "escaped"])
def test_a_list_of_any_kind_names_the_files(tmp_path: Path, kind: str) -> None:
    put(tmp_path, {**FILES, "back\\slash.jpg": b"b", "not listed.jpg": b"n"})
    wanted = ["b.jpg", "./a//z.jpg", str(tmp_path / "a/ä.jpg"), "back\\slash.jpg", "missing.jpg"]
    path = tmp_path / {"nul": "list.txt", "escaped": "list.csv"}.get(kind, f"list.{kind}")
    if kind == "txt":
        path.write_text("\r\n".join([*wanted[:2], "", *wanted[2:]]))
    elif kind == "nul":
        path.write_text("\0".join(wanted) + "\0")
    elif kind == "escaped":
        spelled = [name.replace("\\", "\\\\") for name in wanted]
        pa.csv.write_csv(pa.table({"image": spelled, "n": range(5)}), path)
    else:
        table = pa.table({"n": range(5), "path": wanted})
        pa.csv.write_csv(table, path) if kind == "csv" else pq.write_table(table, path)
    assert contents(choose_source(f"@{path}")) == {
        "a/z.jpg": b"zet",
        "a/ä.jpg": b"umlaut",
        "b.jpg": b"bee",
        "back\\\\slash.jpg": b"b",
        "missing.jpg": "vanished",
    }


def test_a_list_keeps_names_of_every_kind(tmp_path: Path) -> None:
    raw = [b"caf\xe9.jpg", "e\u0301.jpg".encode(), "é.jpg".encode(), b"new\nline.jpg", b" .jpg"]
    for number, name in enumerate(raw):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_bytes(b"%d" % number)
    (tmp_path / "list").write_bytes(b"\0".join(raw))
    found = contents(choose_source(f"@{tmp_path / 'list'}"))
    assert sorted(found.values()) == [b"0", b"1", b"2", b"3", b"4"]
    assert found["caf\\xe9.jpg"] == b"0"


def test_a_list_reads_nothing_outside_its_root(tmp_path: Path) -> None:
    root = put(tmp_path / "photos", FILES)
    put(tmp_path, {"secret.jpg": b"s", "lists/one.txt": b"b.jpg\na/z.jpg"})
    listed = f"@{tmp_path / 'lists/one.txt'}"
    assert contents(choose_source(listed, root=root)) == {"a/z.jpg": b"zet", "b.jpg": b"bee"}
    assert set(contents(choose_source(listed)).values()) == {"vanished"}
    for out in ("../secret.jpg", "a/../../secret.jpg", str(tmp_path / "secret.jpg"), ".", ".."):
        (tmp_path / "bad.txt").write_text(f"b.jpg\n{out}\n")
        refused(f"@{tmp_path / 'bad.txt'}", "entry 2", out, "--root", root=root)
    (root / "link.jpg").symlink_to("../secret.jpg")
    (root / "up").symlink_to("..")
    (tmp_path / "links.txt").write_text("link.jpg\nup/secret.jpg")
    for follow in (False, True):
        source = choose_source(f"@{tmp_path / 'links.txt'}", root, follow)
        assert set(contents(source).values()) == {"unreadable"}


def test_a_name_listed_twice_has_one_row(tmp_path: Path) -> None:
    put(tmp_path, {**FILES, "list.txt": b"b.jpg\na/z.jpg\n./b.jpg\nb.jpg"})
    listing = list_source(choose_source(f"@{tmp_path / 'list.txt'}"))
    assert names(listing) == ["a/z.jpg", "b.jpg"]
    assert listing.left_out == {"paths listed twice": 2}


def test_lists_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    put(tmp_path, {"x.csv": b"file,n\na.jpg,1\n", "y.csv": b'path\na.jpg\n""\n', "e.txt": b"\n"})
    put(tmp_path, {"x.parquet": b"no parquet", "z.csv": b""})
    refused(f"@{tmp_path}/x.csv", "`path`", "file, n")
    refused(f"@{tmp_path}/y.csv", "without a path")
    refused(f"@{tmp_path}/z.csv", "no column")
    refused(f"@{tmp_path}/x.parquet", "cannot read the list")
    refused(f"@{tmp_path}/e.txt", "no files to tag")
    refused(f"@{tmp_path}/none.txt", "does not exist")
    refused(f"@{tmp_path}/e.txt", "--root", root=tmp_path / "none")
    refused(str(tmp_path), "--root", root=tmp_path)


def test_of_a_list_only_the_column_of_paths_is_read(tmp_path: Path) -> None:
    put(tmp_path, FILES)
    rows = [f"{n},{n % 2},b.jpg" for n in range(100_000)]
    lines = ["n,odd,path", *rows, 'one,"two\nlines",a/z.jpg', f"{'x' * 3_000_000},,c.txt"]
    (tmp_path / "mixed.csv").write_bytes("\n".join(lines).encode() + b"\n\xff\xfe,,b.jpg\n")
    assert set(contents(choose_source(f"@{tmp_path / 'mixed.csv'}"))) == {
        "a/z.jpg",
        "b.jpg",
        "c.txt",
    }
    (tmp_path / "twice.csv").write_text("x,path,x,,\n1,b.jpg,2,3,4\n")
    assert set(contents(choose_source(f"@{tmp_path / 'twice.csv'}"))) == {"b.jpg"}
    (tmp_path / "tags.csv").write_text('\ufeffimage,"a ""b"""\nb.jpg,\n', encoding="utf-8")
    assert set(contents(choose_source(f"@{tmp_path / 'tags.csv'}"))) == {"b.jpg"}


@pytest.mark.parametrize(
    "kind",
    [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())],
)
def test_a_parquet_list_may_hold_columns_of_any_kind(tmp_path: Path, kind: pa.DataType) -> None:
    put(tmp_path, FILES)
    paths = pa.array(["b.jpg", "a/z.jpg"]).cast(kind)
    columns = [pa.array([{"a": [1]}, None]), paths, pa.array([1, 2]), pa.array(["x", "y"])]
    table = pa.table(columns, names=["path.of.something", "path", "twice", "twice"])
    pq.write_table(table, tmp_path / "list.parquet")
    assert set(contents(choose_source(f"@{tmp_path / 'list.parquet'}"))) == {"b.jpg", "a/z.jpg"}


def test_a_list_whose_column_of_paths_cannot_be_told_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("path,path\nb.jpg,c.jpg\n")
    refused(f"@{tmp_path}/x.csv", "two columns", "path")
    table = pa.table([pa.array(["b.jpg"]), pa.array(["c.jpg"])], names=["path", "path"])
    pq.write_table(table, tmp_path / "x.parquet")
    refused(f"@{tmp_path}/x.parquet", "two columns", "path")
    pq.write_table(pa.table({"path": [["b.jpg"]]}), tmp_path / "y.parquet")
    refused(f"@{tmp_path}/y.parquet", "cannot read the list")
    pq.write_table(pa.table({"path": [None, "b.jpg"]}), tmp_path / "z.parquet")
    refused(f"@{tmp_path}/z.parquet", "without a path")


def test_odd_things_in_a_list_have_rows(tmp_path: Path) -> None:
    put(
        tmp_path,
        {"folder/x.jpg": b"x", "list.txt": b"folder\npipe\nb.jpg/none\nb.jpg", "b.jpg": b"b"},
    )
    os.mkfifo(tmp_path / "pipe")
    assert contents(choose_source(f"@{tmp_path / 'list.txt'}")) == {
        "b.jpg": b"b",
        "b.jpg/none": "unreadable",
        "folder": "unreadable",
        "pipe": "unreadable",
    }


# Archives


@pytest.mark.parametrize("make", [as_tar, as_zip])
def test_an_archive_is_read_where_it_lies(tmp_path: Path, make: Callable[..., Path]) -> None:
    path = make(tmp_path / f"photos.{make.__name__[3:]}", {**FILES, "./d//e.jpg": b"dot"})
    source = choose_source(str(path))
    assert contents(source) == {**FILES, "d/e.jpg": b"dot"}
    assert contents(source, limit=2)["a/z.jpg"] == b"zet"  # one byte more tells it is too large
    assert len(contents(source, limit=3)["a/ä.jpg"]) == 4


def test_archives_by_a_pattern_keep_files_of_the_same_name_apart(tmp_path: Path) -> None:
    for number in range(7):
        as_tar(tmp_path / f"s/{number % 2}/shard-{number}.tar", {"x.jpg": b"%d" % number})
    as_zip(tmp_path / "s/0/more.zip", {"x.jpg": b"zip"})
    found = contents(choose_source(f"{tmp_path}/s/*/shard-*.tar"))
    assert found == {f"{n % 2}/shard-{n}.tar/x.jpg": b"%d" % n for n in range(7)}
    found = contents(choose_source(f"{tmp_path}/s/**/*.[tz]*"))
    assert len(found) == 8 and found["0/more.zip/x.jpg"] == b"zip"


@pytest.mark.parametrize("make", [as_tar, as_zip])
def test_paths_in_an_archive_do_not_lead_out(tmp_path: Path, make: Callable[..., Path]) -> None:
    files = {"../../etc/passwd": b"1", "/abs.jpg": b"2", "ok.jpg": b"3"}
    path = make(tmp_path / f"x.{make.__name__[3:]}", files)
    source = choose_source(str(path))
    assert contents(source) == {"abs.jpg": b"2", "ok.jpg": b"3"}
    assert source.list().left_out == {NO_PLAIN_PATH: 1}


def test_links_in_archives_are_counted_not_followed(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        for kind, name in ((tarfile.SYMTYPE, "s"), (tarfile.LNKTYPE, "h"), (tarfile.DIRTYPE, "d")):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
        archive.addfile(tarfile.TarInfo("a.jpg"))
    listing = choose_source(str(tmp_path / "x.tar")).list()
    assert names(listing) == ["a.jpg"]
    assert listing.left_out == {"links and special files in archives": 2}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("make", [as_tar, as_zip])
def test_of_a_path_that_is_there_twice_the_later_counts(
    tmp_path: Path, make: Callable[..., Path]
) -> None:
    path = tmp_path / f"x.{make.__name__[3:]}"
    if make is as_tar:
        as_tar(path, {"a.jpg": b"old", "./a.jpg": b"later"})
    else:
        as_zip(path, {"a.jpg": b"old", "./a.jpg": b"later"})
    assert contents(choose_source(str(path))) == {"a.jpg": b"later"}


def test_what_is_wrong_with_one_archived_file_costs_that_one(tmp_path: Path) -> None:
    path = as_zip(tmp_path / "x.zip", {"a.jpg": b"A" * 50, "b.jpg": b"B" * 50}, zipfile.ZIP_STORED)
    path.write_bytes(path.read_bytes().replace(b"AAAA", b"AAXA", 1))
    found = contents(choose_source(str(path)))
    assert found == {"a.jpg": "unreadable", "b.jpg": b"B" * 50}


def test_a_bomb_in_an_archive_is_read_to_the_limit(tmp_path: Path) -> None:
    path = as_zip(tmp_path / "x.zip", {"bomb.jpg": bytes(50_000_000)})
    assert path.stat().st_size < 100_000
    assert len(contents(choose_source(str(path)))["bomb.jpg"]) == LIMIT + 1


@pytest.mark.parametrize("make", [as_tar, as_zip])
def test_an_archive_that_changes_during_the_run_is_not_misread(
    tmp_path: Path, make: Callable[..., Path]
) -> None:
    path = make(tmp_path / f"x.{make.__name__[3:]}", {"a.jpg": b"a" * 600, "b.jpg": b"b" * 600})
    source = choose_source(str(path))
    first, second = list_source(source).files.to_pylist()
    reader = source.reader()
    assert isinstance(reader.read(first, LIMIT), Content)
    make(tmp_path / "new", {"b.jpg": b"B" * 600, "a.jpg": b"a" * 600}).replace(path)
    os.utime(path, ns=(1, first["modified_ns"] + 1000))
    read = reader.read(second, LIMIT)
    assert isinstance(read, Failure) and read.status == "vanished"
    path.unlink()
    read = reader.read(first, LIMIT)
    assert isinstance(read, Failure) and read.status == "vanished"


def test_odd_names_in_a_tar_cost_no_other_file(tmp_path: Path) -> None:
    names_within = ["/abs.jpg", "./.", "a/\0b.jpg", "l" * 5000 + ".jpg", "ä\udce9.jpg", "a\\b.jpg"]
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as archive:
        for name in [*names_within, "ok.jpg"]:
            member = tarfile.TarInfo("x.jpg" if "\0" in name else name)
            if "\0" in name:
                member.pax_headers = {"path": name}
                archive.fileobj.write(member.tobuf(tarfile.PAX_FORMAT))  # type: ignore[union-attr]
                archive.offset += len(member.tobuf(tarfile.PAX_FORMAT))
            else:
                archive.addfile(member)
    listing = choose_source(str(path)).list()
    assert names(listing) == ["a\\\\b.jpg", "abs.jpg", "l" * 5000 + ".jpg", "ok.jpg", "ä\\xe9.jpg"]
    assert set(contents(choose_source(str(path))).values()) == {b""}


def test_a_tar_that_is_damaged_in_between_is_not_taken_for_a_shorter_one(tmp_path: Path) -> None:
    files = {f"{n}.jpg": b"x" * 600 for n in range(4)}
    whole = as_tar(tmp_path / "s/good.tar", files).read_bytes()
    second = 512 + 1024  # the header of the second file
    bad = tmp_path / "s/bad.tar"
    for damaged in (
        whole[:second] + b"\x7f" * 512 + whole[second + 512 :],
        whole[:second],
        whole[: second + 200],
    ):
        bad.write_bytes(damaged)
        refused(str(bad), "cannot list", "bad.tar", "damaged or cut at byte 1,536")
        listing = choose_source(f"{tmp_path}/s/*.tar").list()
        assert names(listing) == ["bad.tar/0.jpg", *(f"good.tar/{n}.jpg" for n in range(4))]
        assert list(listing.unread) == ["bad.tar"] and listing.left_out == {UNREAD: 1}


def test_archives_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    as_tar(tmp_path / "x.tar.gz", FILES, "w:gz")
    refused(str(tmp_path / "x.tar.gz"), "unpack it")
    whole = as_tar(tmp_path / "cut.tar", {"a.jpg": bytes(5000), "b.jpg": bytes(5000)}).read_bytes()
    (tmp_path / "cut.tar").write_bytes(whole[:7000])
    refused(str(tmp_path / "cut.tar"), "cannot list", "cut.tar")
    put(tmp_path, {"x.zip": b"no zip", "dir.tar/x.jpg": b"x", "notes.rar": b"r"})
    refused(str(tmp_path / "x.zip"), "cannot list", "x.zip")
    refused(str(tmp_path / "none.tar"), "does not exist")
    refused(f"{tmp_path}/*.rar", "neither a .tar nor a .zip")
    refused(f"{tmp_path}/none*.tar", "no archive is named like")
    refused(str(tmp_path / "x.zip"), "--follow-symlinks", follow=True)
    assert contents(choose_source(str(tmp_path / "dir.tar"))) == {"x.jpg": b"x"}


# URLs


@pytest.fixture
def memory() -> MemoryFileSystem:
    files = MemoryFileSystem()
    files.store.clear()
    files.pseudo_dirs[:] = [""]
    return files


def test_files_behind_a_url_are_read(memory: MemoryFileSystem) -> None:
    for name, content in FILES.items():
        memory.pipe_file(f"/photos/{name}", content)
    memory.pipe_file("/elsewhere/x.jpg", b"x")
    source = choose_source("memory://photos")
    assert contents(source) == FILES
    assert contents(source, limit=3)["a/ä.jpg"] == b"umla"
    assert names(list_source(source, Selection(("*.txt",)))) == ["c.txt"]
    assert len(contents(choose_source("memory://"))) == 5
    times = list_source(source).files["modified_ns"].to_pylist()
    assert all(time > 1.7e18 for time in times)


def test_a_file_url_is_a_folder(tmp_path: Path) -> None:
    put(tmp_path / "a b", FILES)
    assert contents(choose_source(f"file://{tmp_path}/a%20b")) == FILES


def test_a_network_that_fails_for_a_while_is_waited_for(
    memory: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.pipe_file("/photos/a.jpg", b"a")
    memory.pipe_file("/photos/b.jpg", b"b")
    source = choose_source("memory://photos")
    entries = list_source(source).files.to_pylist()
    whole, calls = MemoryFileSystem.cat_file, []

    def flaky(self: MemoryFileSystem, path: str, **options: Any) -> bytes:
        calls.append(path)
        if path.endswith("b.jpg") or len(calls) < 2:
            raise ConnectionResetError("peer went away")
        return whole(self, path, **options)

    monkeypatch.setattr(MemoryFileSystem, "cat_file", flaky)
    read = source.reader().read(entries[0], LIMIT)
    assert isinstance(read, Content) and read.data == b"a" and len(calls) == 2
    failed = source.reader().read(entries[1], LIMIT)
    assert failed == Failure("unreadable", "network: ConnectionResetError: peer went away")
    assert len(calls) == 2 + 5
    memory.rm("/photos/a.jpg")
    monkeypatch.undo()
    assert source.reader().read(entries[0], LIMIT).status == "vanished"  # type: ignore[union-attr]


def test_urls_that_cannot_be_used_are_refused(
    memory: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.pipe_file("/photos/a.jpg", b"a")
    refused("memory://none", "cannot list")
    refused("memory://photos/a.jpg", "is a file")
    refused("nonsense://x", "nonsense")
    refused("gs://bucket/photos", "pip install 'fftag[gs]'")
    refused("memory://photos", "--follow-symlinks", follow=True)


def test_a_password_in_a_url_is_not_written_anywhere() -> None:
    assert choose_source("ftp://anna:geheim@host/x").name == "ftp://anna:***@host/x"


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A real S3 service on this machine, with an empty bucket."""
    moto = pytest.importorskip("moto.server")
    s3fs = pytest.importorskip("s3fs")
    server = moto.ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    to_service(monkeypatch, f"http://{host}:{port}")
    reset = urllib.request.Request(f"http://{host}:{port}/moto-api/reset", method="POST")
    urllib.request.urlopen(reset).close()  # servers of one process share what they hold
    files = s3fs.S3FileSystem(skip_instance_cache=True, use_listings_cache=False)
    files.mkdir("catalog")
    yield files
    server.stop()


@pytest.mark.usefixtures("decoding_processes")
def test_a_bucket_is_tagged_by_several_processes_and_then_kept_up(
    bucket: Any, folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path
) -> None:
    root = folder_of_photos(12)
    for path in sorted(root.rglob("*.jpg")):
        bucket.put_file(str(path), f"catalog/spring/{path.relative_to(root)}")
    bucket.pipe_file("catalog/spring/text.jpg", b"no photo")
    bucket.pipe_file("catalog/spring/", b"")
    source, out = choose_source("s3://catalog/spring"), tmp_path / "tags.parquet"
    options = TagOptions(backend="torch", workers=2, batch_size=4, shard_size=4)
    summary = tag(source, out, session_bundle, options)
    assert summary.statuses == {"ok": 12, "unsupported": 1}
    assert validate(out, source).valid
    local = tmp_path / "local.parquet"
    tag(choose_source(str(root)), local, session_bundle, options)
    there, here = (
        {
            row["image"]: (row["scores"], row["content_sha256"])
            for row in pq.read_table(path).to_pylist()
        }
        for path in (out, local)
    )
    assert {name: there[name] for name in here} == here

    bucket.rm("catalog/spring/text.jpg")
    bucket.pipe_file("catalog/spring/new.jpg", (root / "season-0/FF-0000_1.jpg").read_bytes())
    again = tag(source, out, session_bundle, options)
    assert again.plan["new"] == 1 and again.plan["removed"] == 1 and again.statuses == {"ok": 13}


def test_a_bucket_that_is_not_there_is_an_error(bucket: Any) -> None:
    refused("s3://nothing/here", "cannot list s3://nothing/here", "is its name right?")
    refused("s3://catalog/nothing", "cannot list s3://catalog/nothing", "is its name right?")
    refused("s3://catalog", "no files to tag")
    bucket.pipe_file("catalog/a.jpg", b"a")
    refused("s3://catalog/a.jpg", "is a file")


def test_keys_of_every_kind_are_listed_and_read(
    bucket: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [
        "p/a.jpg",
        "p//b.jpg",
        "p///c.jpg",
        "p/d//e.jpg",
        "p/f/",
        "p/ü ?%2f+\\.jpg",
        "p//.DS_Store",
    ]
    for key in [*keys, "p/g/../h.jpg", "p/./i.jpg", "outside.jpg"]:
        bucket.call_s3("put_object", Bucket="catalog", Key=key, Body=key.encode())
    for key in ("p/", "p/d/", "p//"):
        bucket.call_s3("put_object", Bucket="catalog", Key=key, Body=b"")
    source = choose_source("s3://catalog/p")
    assert contents(source) == {
        "a.jpg": b"p/a.jpg",
        "\\e/b.jpg": b"p//b.jpg",
        "\\e/\\e/c.jpg": b"p///c.jpg",
        "d/\\e/e.jpg": b"p/d//e.jpg",
        "f/\\e": b"p/f/",
        "ü ?%2f+\\\\.jpg": "p/ü ?%2f+\\.jpg".encode(),
    }
    assert source.list().left_out == {NO_PLAIN_PATH: 2, COMPANIONS: 1}
    whole = type(bucket).call_s3

    def three_at_a_time(self: Any, method: str, **asked: Any) -> Any:
        return whole(self, method, **asked, **({"MaxKeys": 3} if "list" in method else {}))

    monkeypatch.setattr(type(bucket), "call_s3", three_at_a_time)
    assert len(names(source.list())) == 6


def to_service(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """Whoever speaks S3 speaks to this address."""
    for name, value in {
        "AWS_ENDPOINT_URL": address,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch, asked: list[str]) -> Iterator[Callable[..., str]]:
    """A server that gives every request the same answer; returns its address."""
    servers = []
    done = threading.Event()

    def serve(code: int, body: bytes = b"", length: int | None = None) -> str:
        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path)
                self.send_response(code)
                self.send_header("Content-Length", str(length or len(body)))
                self.end_headers()
                self.wfile.write(body)
                self.wfile.flush()
                if length:  # the rest never comes
                    done.wait(30)

            def log_message(self, *_: Any) -> None:
                """Says nothing."""

        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), Answer))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{servers[-1].server_port}"
        to_service(monkeypatch, address)
        return address

    yield serve
    done.set()
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def asked() -> list[str]:
    """The paths of all requests to what `answering` serves."""
    return []


ENTRY = {"image": "a.jpg", "size": 1000, "modified_ns": 1}


def taken_from(url: str, seconds: float) -> tuple[Content | Failure, float]:
    """What reading a file below a URL gives, and how long it took."""
    started = time.monotonic()
    with closing(choose_source(url, seconds=seconds).reader()) as reader:
        read = reader.read(ENTRY, LIMIT)
    return read, time.monotonic() - started


# S3 is given up for its silence, before the time of a whole try (3/5) is over.
@pytest.mark.parametrize(("protocol", "seconds", "most"), [("s3", 12, 6.5), ("http", 6, 5.5)])
def test_a_download_that_stalls_is_of_the_network_before_the_photo_is_late(
    answering: Callable[..., str], protocol: str, seconds: float, most: float
) -> None:
    pytest.importorskip("s3fs")
    address = answering(200, b"only so much", length=1000)
    url = {"s3": "s3://catalog", "http": f"{address}/catalog"}[protocol]
    read, took = taken_from(url, seconds)
    assert isinstance(read, Failure) and read.status == "unreadable"
    assert read.error.startswith("network: ") and took < most


@pytest.mark.usefixtures("decoding_processes")
def test_a_stalled_download_is_of_the_network_in_a_run(
    answering: Callable[..., str],
    session_bundle: Bundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("s3fs")
    entries = pa.Table.from_pylist([ENTRY | {"offset": None}], schema=SCHEMA)
    monkeypatch.setattr(Remote, "list", lambda *_: Listing(entries, {}))
    answering(200, b"only so much", length=1000)
    options = TagOptions(backend="torch", workers=1, timeout=6, max_failure_rate=1)
    out = tmp_path / "tags.parquet"
    tag(choose_source("s3://catalog", seconds=6), out, session_bundle, options)
    (row,) = pq.read_table(out, columns=["status", "error"]).to_pylist()
    assert row["status"] == "unreadable" and row["error"].startswith("network: ")


@pytest.mark.parametrize(
    ("code", "name", "status", "says"),
    [
        (403, "AccessDenied", "unreadable", "no permission: PermissionError"),
        (403, "ExpiredToken", "unreadable", "no permission: PermissionError"),
        (404, "NoSuchKey", "vanished", "no such file"),
        (400, "InvalidRequest", "unreadable", "OSError"),
        (503, "SlowDown", "unreadable", "network: OSError"),
        (500, "InternalError", "unreadable", "network: OSError"),
        (418, "NeverHeardOf", "unreadable", "network: OSError"),
    ],
)
def test_what_storage_answers_is_told_from_no_answer(
    answering: Callable[..., str],
    asked: list[str],
    code: int,
    name: str,
    status: str,
    says: str,
) -> None:
    pytest.importorskip("s3fs")
    answering(code, f"<Error><Code>{name}</Code><Message>network: no</Message></Error>".encode())
    read, _ = taken_from("s3://catalog", seconds=30)
    assert isinstance(read, Failure) and read.status == status
    assert says in read.error
    assert read.error.startswith("network: ") == says.startswith("network: ")
    # One after the other tries again, fftag, and not its libraries within each of its tries.
    assert len(asked) == (5 if says.startswith("network: ") else 1)


def test_errors_are_of_the_network_by_their_class_not_their_text() -> None:
    aiohttp, exceptions = pytest.importorskip("aiohttp"), pytest.importorskip("botocore.exceptions")
    answer = aiohttp.RequestInfo("http://x", "GET", {}, "http://x")  # type: ignore[arg-type]
    of_network = [
        ConnectionResetError("no such file"),
        TimeoutError(),
        OSError(errno.EHOSTUNREACH, "permission denied"),
        exceptions.EndpointConnectionError(endpoint_url="http://x"),
        exceptions.ReadTimeoutError(endpoint_url="http://x"),
        exceptions.IncompleteReadError(actual_bytes=1, expected_bytes=2),
        aiohttp.ServerDisconnectedError(),
        aiohttp.ClientPayloadError(),
        aiohttp.ClientResponseError(answer, (), status=502),
        aiohttp.ClientResponseError(answer, (), status=429),
    ]
    of_the_file = [
        FileNotFoundError("connection reset"),
        PermissionError("network unreachable"),
        IsADirectoryError(),
        OSError(errno.EINVAL, "timeout"),
        ValueError("connection reset by peer"),
        exceptions.NoCredentialsError(),
        aiohttp.ClientResponseError(answer, (), status=403),
        aiohttp.ClientResponseError(answer, (), status=410),
    ]
    assert [did_not_answer(error) for error in of_network] == [True] * len(of_network)
    assert [did_not_answer(error) for error in of_the_file] == [False] * len(of_the_file)


def test_a_service_that_stops_in_between_is_a_coded_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("s3fs")
    to_service(monkeypatch, "http://127.0.0.1:9")
    read, took = taken_from("s3://catalog", seconds=60)
    assert isinstance(read, Failure) and read.status == "unreadable"
    assert read.error.startswith("network: EndpointConnectionError") and took < 10


def test_a_service_that_does_not_answer_is_said_to_be_awaited_and_then_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("s3fs")
    with socket.socket() as silent:  # it takes connections and says nothing
        silent.bind(("127.0.0.1", 0))
        silent.listen(50)
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        to_service(monkeypatch, address)
        started = time.monotonic()
        refused("s3://catalog/p", "cannot list s3://catalog/p", "AWS_ENDPOINT_URL", seconds=6)
    assert time.monotonic() - started < 6
    assert capsys.readouterr().err.startswith(f"listing s3://catalog/p at {address}\n")


def test_pages_of_links_are_listed_below_the_url_and_not_in_circles(tmp_path: Path) -> None:
    pytest.importorskip("aiohttp")
    links = "".join(
        f'<a href="{link}">x</a>'
        for link in ("/root/", "/root/paged/", "../paged/", "/other/x.jpg", "own.jpg")
    )
    files = {"root/b.jpg": b"bee", "root/sub/c.jpg": b"sea", "root/Thumbs.db": b"t"}
    put(tmp_path, {**files, "other/x.jpg": b"out"})
    put(tmp_path, {"root/paged/index.html": links.encode(), "root/paged/own.jpg": b"own"})

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        source = choose_source(f"http://127.0.0.1:{server.server_port}/root", seconds=30)
        assert contents(source) == {"b.jpg": b"bee", "sub/c.jpg": b"sea", "paged/own.jpg": b"own"}
        assert source.list().left_out == {COMPANIONS: 1, NO_PLAIN_PATH: 1}
        server.shutdown()


@pytest.mark.parametrize(
    "given",
    ["s3://", "s3:///photos", "gs://", "az://", "abfs:///x", "http://", "https:///x", "ftp://"],
)
def test_a_url_of_no_bucket_or_host_is_refused(given: str) -> None:
    refused(given, given, "names no bucket or host")


@pytest.mark.parametrize("given", ["file://", "file://photos", "file://photos/spring"])
def test_a_file_url_of_no_folder_is_refused(given: str) -> None:
    refused(given, given, "names no folder")


def test_whoever_is_not_logged_in_learns_which_variables_log_in(
    answering: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("s3fs")
    answering(403, b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>")
    refused("s3://catalog", "PermissionError", "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    refused("s3://catalog", "NoCredentialsError", "AWS_ACCESS_KEY_ID", "AWS_PROFILE")
    for protocol, name in {
        "gs": "GOOGLE_APPLICATION_CREDENTIALS",
        "az": "AZURE_STORAGE_CONNECTION_STRING",
    }.items():
        assert name in Remote(f"{protocol}://photos").explain(ValueError("who are you?"))
