"""Runs after the first: what they read, what they keep, and that they end as a fresh run does."""

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pyarrow.parquet as pq
import pytest
from catalogues import save_bands
from faults import parts_of, stopped_after_parts
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from tagged import LAST_YEAR, aged, assert_same, reading, rows_of
from typer.testing import CliRunner

import fftag.tagging.plan
import fftag.tagging.tag
from fftag.base.errors import FftagError
from fftag.cli import app
from fftag.models.folder import Bundle, load_bundle, save_bundle
from fftag.models.torch_scorer import Predictor
from fftag.photos.companions import COMPANIONS
from fftag.photos.decode import Limits
from fftag.photos.image_formats import DECODER_REVISIONS
from fftag.photos.listing import UNREAD, Selection, Shard
from fftag.photos.sources.choose import choose_source, list_source
from fftag.photos.sources.local import Folder, LocalReader
from fftag.tagging.dry_run import look_ahead
from fftag.tagging.known import KnownRows, open_published
from fftag.tagging.options import TagOptions, run_info
from fftag.tagging.plan import make_plan
from fftag.tagging.tag import retag, tag
from fftag.tagging.validate import validate

Make = Callable[[int], Path]
OPTIONS = TagOptions(
    backend="torch", workers=1, batch_size=4, shard_size=8, max_failure_rate=1, max_removal_rate=1
)


# Any tree, any changes


NAMES = st.sampled_from(["a.jpg", "b.jpg", "c/a.jpg", "c/d/e.jpg", "ä.jpg", "x y.jpg", "c\\.jpg"])
CONTENTS = st.integers(0, 6)  # 0 to 3: photos; 4: cut off; 5: no photo; 6: empty
CHANGES = st.one_of(
    st.tuples(st.just("write"), NAMES, CONTENTS),
    st.tuples(st.just("touch"), NAMES, st.none()),
    st.tuples(st.just("rename"), NAMES, NAMES),
    st.tuples(st.just("copy"), NAMES, NAMES),
    st.tuples(st.just("delete"), NAMES, st.none()),
    st.tuples(st.just("swap"), NAMES, NAMES),
)
ROUNDS = st.lists(
    st.tuples(
        st.lists(CHANGES, max_size=6),
        st.sampled_from(
            [
                *("run", "killed", "killed", "killed another", "another", "stricter"),
                *("small limit", "leave failed"),
            ]
        ),
        st.booleans(),  # whether the files changed are as old as they say
        st.lists(CHANGES, max_size=2),  # while the first batch is scored, and others wait
    ),
    min_size=2,
    max_size=5,
)


@pytest.fixture(scope="module")
def contents(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    folder, found = tmp_path_factory.mktemp("contents"), []
    for number in range(4):
        save_bands(folder / "photo.jpg", ["red"] if number % 2 else ["blue"], number)
        found.append((folder / "photo.jpg").read_bytes())
    return [*found, found[0][:300], b"no photo", b""]


class Tree:
    """A folder that changes, with times that tell a change and times that do not."""

    def __init__(self, root: Path, contents: list[bytes]) -> None:
        self.root, self.contents, self.clock = root, contents, LAST_YEAR
        self.apply([("write", "a.jpg", 0), ("write", "c/a.jpg", 4)], old=True)

    def apply(self, changes: list[tuple[str, str, Any]], old: bool) -> None:
        for kind, name, other in changes:
            path = self.root / name
            if kind == "write":
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(self.contents[other])
                self.date(path, old)
            elif kind == "touch" and path.exists():
                self.date(path, old)
            elif kind == "delete":
                path.unlink(missing_ok=True)
            elif kind == "swap" and path.exists() and (self.root / other).exists():
                path.rename(self.root / "swap")
                if (self.root / other).exists():
                    (self.root / other).rename(path)
                (self.root / "swap").rename(self.root / other)
            elif kind in ("rename", "copy") and path.exists() and name != other:
                (self.root / other).parent.mkdir(parents=True, exist_ok=True)
                (self.root / other).write_bytes(path.read_bytes())
                if kind == "rename":
                    status = path.stat()
                    os.utime(self.root / other, ns=(status.st_atime_ns, status.st_mtime_ns))
                    path.unlink()
                else:
                    self.date(self.root / other, old)
        if not any(path.is_file() for path in self.root.rglob("*")):
            self.apply([("write", "b.jpg", 1)], old)

    def date(self, path: Path, old: bool) -> None:
        self.clock += 1
        if old:
            os.utime(path, (self.clock, self.clock))


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rounds=ROUNDS)
def test_after_any_changes_a_run_ends_as_a_fresh_one_does(
    rounds: Any, contents: list[bytes], session_bundle: Bundle, stricter: Bundle, another: Bundle
) -> None:
    """Also where they are made during a run, killed or not, and two models take turns."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Tree(Path(folder) / "root", contents)
        out, fresh = Path(folder) / "tags.parquet", Path(folder) / "fresh.parquet"
        for changes, kind, old, meanwhile in rounds:
            tree.apply(changes, old)
            bundle = {"stricter": stricter, "another": another, "killed another": another}.get(
                kind, session_bundle
            )
            options = OPTIONS
            if kind == "small limit":
                options = replace(OPTIONS, limits=Limits(pixels=100))
            elif kind == "leave failed":
                options = replace(OPTIONS, retry_failed=False)
            with changing(tree, meanwhile, old, killed="killed" in kind):
                with suppress(KeyboardInterrupt):
                    tag(
                        Folder(tree.root), out, bundle, replace(options, batch_size=1, shard_size=1)
                    )
                if "killed" in kind:
                    continue
            assert pq.read_metadata(out).num_rows
            # What was changed under the run is read by the next one.
            tag(Folder(tree.root), out, bundle, options)
            fresh.unlink(missing_ok=True)
            tag(Folder(tree.root), fresh, bundle, options)
            assert_same(out, fresh)
            assert validate(out, Folder(tree.root)).valid


@pytest.fixture(scope="session")
def another(session_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A network with other weights."""
    return scaled(session_bundle, tmp_path_factory.mktemp("another"))


@contextmanager
def changing(tree: Tree, changes: Any, old: bool, killed: bool) -> Iterator[None]:
    """Files change as a run scores its second batch; or it is killed there, and they change then.

    Those that were listed and have not been read yet are read as they are by then.
    """
    predict, calls = Predictor.__call__, 0

    def change(self: Predictor, pixels: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            tree.apply(changes, old)
            if killed:
                raise KeyboardInterrupt
        return predict(self, pixels)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Predictor, "__call__", change)
        yield


# What is read


def test_only_what_is_new_or_changed_or_failed_is_decoded(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path
) -> None:
    root, out = folder_of_photos(12), tmp_path / "tags.parquet"
    (root / "cut.jpg").write_bytes((root / "season-0/FF-0000_1.jpg").read_bytes()[:300])
    aged(root)
    with reading() as decoded:
        tag(Folder(root), out, session_bundle, OPTIONS)
    assert len(decoded) == 13
    (root / "new.jpg").write_bytes((root / "season-0/FF-0000_1.jpg").read_bytes() + b"!")
    (root / "season-1/FF-0001_1.jpg").write_bytes((root / "new.jpg").read_bytes() + b"!")
    (root / "season-2/FF-0002_1.jpg").rename(root / "renamed.jpg")
    (root / "season-0/FF-0003_1.jpg").touch()
    (root / "season-1/FF-0004_1.jpg").unlink()
    with reading() as decoded:
        summary = tag(Folder(root), out, session_bundle, OPTIONS)
    assert sorted(decoded) == ["cut.jpg", "new.jpg", "season-1/FF-0001_1.jpg"]
    assert summary.plan == {"new": 2, "changed": 2, "retried": 1, "unchanged": 8, "removed": 2}
    assert summary.recognised == 2 and summary.read == 5
    with reading() as decoded:
        tag(Folder(root), out, session_bundle, replace(OPTIONS, retry_failed=False))
    assert decoded == []
    with reading() as decoded:
        tag(Folder(root), out, session_bundle, replace(OPTIONS, force=True))
    assert len(decoded) == 13


def test_contents_of_one_size_are_looked_for_once_each_and_not_without_end(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, out = folder_of_photos(2), tmp_path / "tags.parquet"
    whole = (root / "season-0/FF-0000_1.jpg").read_bytes()
    for number in range(6):  # a placeholder five times, and another of its size
        (root / f"soon{number}.jpg").write_bytes(whole + bytes([number // 5]))
    tag(Folder(aged(root)), out, session_bundle, OPTIONS)
    (root / "soon6.jpg").write_bytes(whole + bytes(1))
    run = run_info(str(root), session_bundle, OPTIONS)
    listing, there = list_source(Folder(root)), KnownRows(open_published(out))
    known = make_plan(listing, there, run, OPTIONS, out).contents
    digests = {hashlib.sha256(whole + bytes([last])).hexdigest() for last in (0, 1)}
    assert set(known.of_size(len(whole) + 1)) == digests and known.of_size(len(whole)) == ()
    assert len(known.numbers) == 2 and set(known.numbers) <= set(range(2, 8))

    monkeypatch.setattr(fftag.tagging.plan, "CONTENTS_OF_A_SIZE", 1)
    assert known.of_size(len(whole) + 1) == ()
    with reading() as decoded:
        tag(Folder(root), out, session_bundle, OPTIONS)
    assert decoded == ["soon6.jpg"]
    rows = rows_of(out)
    assert rows["soon6.jpg"]["scores"] == pytest.approx(rows["soon0.jpg"]["scores"], abs=1e-6)


def test_with_nothing_to_do_no_file_is_opened(
    folder_of_photos: Make,
    session_bundle: Bundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    root, out = aged(folder_of_photos(12)), tmp_path / "tags.parquet"
    tag(Folder(root), out, session_bundle, OPTIONS)
    before, stamp = out.read_bytes(), out.stat().st_mtime_ns
    monkeypatch.setattr("fftag.photos.sources.local.Folder.reader", None)
    monkeypatch.setattr("fftag.tagging.score.scorer_for", None)
    summary = tag(Folder(root), out, session_bundle, OPTIONS)
    assert "nothing to do" in capsys.readouterr().err
    assert (out.read_bytes(), out.stat().st_mtime_ns) == (before, stamp)
    assert summary.read == 0 and summary.statuses == {"ok": 12}
    assert not out.with_name("tags.parquet.parts").exists()


def test_a_file_just_written_is_not_trusted_by_its_time(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path
) -> None:
    root, out = folder_of_photos(4), tmp_path / "tags.parquet"
    path = root / "season-0/FF-0000_1.jpg"
    tag(Folder(root), out, session_bundle, OPTIONS)
    stamp, content = path.stat(), path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))  # the same size
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))  # and time
    tag(Folder(root), out, session_bundle, OPTIONS)
    tag(Folder(root), tmp_path / "fresh.parquet", session_bundle, OPTIONS)
    assert_same(out, tmp_path / "fresh.parquet")


def test_a_file_is_trusted_once_it_was_read_long_after_it_was_written(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, out = folder_of_photos(4), tmp_path / "tags.parquet"
    for path in root.rglob("*.jpg"):
        path.touch()
    tag(Folder(root), out, session_bundle, OPTIONS)
    time.sleep(1)
    assert tag(Folder(root), out, session_bundle, OPTIONS).plan["unchanged"] == 0
    monkeypatch.setattr("fftag.tagging.keys.SECONDS_TOO_FRESH", 0.9)
    assert tag(Folder(root), out, session_bundle, OPTIONS).plan["unchanged"] == 4


def test_a_file_is_read_after_the_moment_that_its_row_says(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is written between the two is seen to be too fresh."""
    root, out, opened = folder_of_photos(6), tmp_path / "tags.parquet", {}
    read = LocalReader.read

    def read_and_note(self: LocalReader, entry: dict[str, Any], limit: int) -> Any:
        opened[entry["image"]] = datetime.now(UTC)
        return read(self, entry, limit)

    monkeypatch.setattr(LocalReader, "read", read_and_note)
    tag(Folder(root), out, session_bundle, OPTIONS)
    table = pq.read_table(out, columns=["image", "tagged_at"])
    said = dict(zip(table["image"].to_pylist(), table["tagged_at"].to_pylist(), strict=True))
    assert len(said) == len(opened) == 6
    assert all(said[image] <= moment for image, moment in opened.items())


def test_a_share_that_is_not_mounted_removes_nothing(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path
) -> None:
    root, out = aged(folder_of_photos(10)), tmp_path / "tags.parquet"
    guarded = replace(OPTIONS, max_removal_rate=0.5)
    tag(Folder(root), out, session_bundle, guarded)
    before = out.read_bytes()
    for path in sorted(root.rglob("*.jpg"))[:6]:
        path.unlink()
    with pytest.raises(FftagError, match=r"6 of the 10 files .* --max-removal-rate 1") as refused:
        tag(Folder(root), out, session_bundle, guarded)
    assert refused.value.exit_code == 4 and out.read_bytes() == before
    assert tag(Folder(root), out, session_bundle, OPTIONS).plan["removed"] == 6
    (root / "only.txt").write_text("x")
    with pytest.raises(FftagError, match="no files to tag"):
        tag(Folder(root), out, session_bundle, replace(OPTIONS, selection=Selection(("*.png",))))


CHANGED: dict[str, Callable[[TagOptions, Bundle, Path], tuple[TagOptions, Bundle]]] = {
    "model": lambda options, bundle, folder: (options, scaled(bundle, folder)),
    "setting": lambda options, bundle, _: (replace(options, limits=Limits(pixels=10**6)), bundle),
    "--force": lambda options, bundle, _: (replace(options, force=True), bundle),
    "--restart": lambda options, bundle, _: (replace(options, restart=True), bundle),
    "--force of a shard": lambda options, bundle, _: (
        replace(options, force=True, selection=Selection(shard=Shard(1, 8))),
        bundle,
    ),
}


def scaled(bundle: Bundle, folder: Path) -> Bundle:
    """Another model with the same labels."""
    weights = {name: value * 1.01 for name, value in bundle.build().state_dict().items()}
    return save_bundle(folder / "other", bundle.config, weights)


@pytest.mark.parametrize("change", CHANGED)
def test_a_half_mounted_share_removes_nothing_whatever_else_changed(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path, change: str
) -> None:
    root, out = aged(folder_of_photos(10)), tmp_path / "tags.parquet"
    guarded = replace(OPTIONS, max_removal_rate=0.5)
    tag(Folder(root), out, session_bundle, guarded)
    before = out.read_bytes()
    for path in sorted(root.rglob("*.jpg"))[:8]:
        path.unlink()
    options, bundle = CHANGED[change](guarded, session_bundle, tmp_path)
    for run in (tag, lambda *what: look_ahead(*what)):
        with pytest.raises(
            FftagError, match=r" of the 10 files .* gone .*--max-removal"
        ) as refused:
            run(Folder(root), out, bundle, options)
        assert refused.value.exit_code == 4
    assert out.read_bytes() == before and not out.with_name("tags.parquet.parts").exists()
    accepted = replace(options, max_removal_rate=1)
    tag(Folder(root), out, bundle, accepted)
    assert pq.read_metadata(out).num_rows <= 2


def test_files_that_are_in_parts_alone_count_as_there(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path
) -> None:
    root, out = folder_of_photos(40), tmp_path / "tags.parquet"
    options = replace(OPTIONS, batch_size=8, shard_size=16, max_removal_rate=0.5)
    stopped_after_parts(root, out, session_bundle, 2, options)
    for path in sorted(root.rglob("*.jpg"))[:17]:
        path.unlink()
    for other in (options, replace(options, restart=True)):
        with pytest.raises(FftagError, match="17 of the 32 files"):
            tag(Folder(root), out, session_bundle, other)
    assert tag(Folder(root), out, session_bundle, OPTIONS).resumed == 15


@contextmanager
def shut(folder: Path) -> Iterator[None]:
    """No process reads a folder inside the block, not even one of root's."""
    scandir, open_ = os.scandir, os.open

    def guarded_scandir(path: Any) -> Any:
        if isinstance(path, str | Path) and Path(path) == folder:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    def guarded_open(path: Any, *args: Any, **options: Any) -> int:
        if path == folder.name and options.get("dir_fd") is not None:
            raise PermissionError(13, "Permission denied", path)
        return open_(path, *args, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "scandir", guarded_scandir)
        patch.setattr(os, "open", guarded_open)
        yield


def test_rows_of_a_folder_that_cannot_be_read_stay_and_are_not_taken_for_gone(
    folder_of_photos: Make,
    session_bundle: Bundle,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    root, out = folder_of_photos(6), tmp_path / "tags.parquet"
    shop = root / "shop"
    for number, path in enumerate(sorted(root.rglob("*.jpg"))[:4]):
        shop.mkdir(exist_ok=True)
        path.rename(shop / f"{number}.jpg")
    (shop / "bad.jpg").write_bytes(b"no photo")
    guarded = replace(OPTIONS, max_removal_rate=0)
    aged(root)
    os.utime(shop / "0.jpg")  # too fresh to be trusted by its time
    tag(Folder(root), out, session_bundle, guarded)
    before = rows_of(out)
    (root / "new.jpg").write_bytes((shop / "1.jpg").read_bytes())
    with shut(shop):
        assert look_ahead(Folder(root), out, session_bundle, guarded).plan["removed"] == 0
        summary = tag(Folder(root), out, session_bundle, guarded)
        assert validate(out, Folder(root)).valid
    assert summary.plan == {"new": 1, "changed": 0, "retried": 0, "unchanged": 7, "removed": 0}
    assert summary.left_out == {UNREAD: 1} and "shop (Permission denied)" in capsys.readouterr().err
    after = rows_of(out)
    assert len(after) == 8 and {image: after[image] for image in before} == before
    (shop / "3.jpg").unlink()
    with pytest.raises(FftagError, match="1 of the 8 files"):
        tag(Folder(root), out, session_bundle, guarded)

    with shut(shop):
        again = tag(Folder(root), out, session_bundle, replace(guarded, force=True))
    assert again.statuses == {"ok": 3, "unreadable": 5}
    assert tag(Folder(root), out, session_bundle, OPTIONS).statuses == {"ok": 6, "unsupported": 1}


def test_a_listed_file_that_cannot_be_looked_at_keeps_its_row(
    folder_of_photos: Make,
    session_bundle: Bundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    root, out = aged(folder_of_photos(3)), tmp_path / "tags.parquet"
    images = sorted(str(path.relative_to(root)) for path in root.rglob("*.jpg"))
    (tmp_path / "list.txt").write_text("\n".join([*images, "new.jpg"]))
    source = choose_source(f"@{tmp_path / 'list.txt'}", root)
    tag(source, out, session_bundle, OPTIONS)
    before, whole = rows_of(out), os.stat

    def stat(path: Any, **options: Any) -> Any:
        if isinstance(path, str) and path.endswith((images[1], "new.jpg")):
            raise PermissionError(13, "Permission denied", path)
        return whole(path, **options)

    monkeypatch.setattr(os, "stat", stat)
    assert tag(source, out, session_bundle, OPTIONS).plan["unchanged"] == 4
    assert rows_of(out) == before
    assert f"2 files of {source.name} cannot be looked at" in capsys.readouterr().err
    assert validate(out, source).valid
    monkeypatch.undo()
    again = tag(source, out, session_bundle, OPTIONS)
    assert again.plan["unchanged"] == 3 and again.plan["retried"] == 1


def test_another_model_reads_everything_again_and_says_so(
    folder_of_photos: Make,
    session_bundle: Bundle,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    root, out = aged(folder_of_photos(6)), tmp_path / "tags.parquet"
    tag(Folder(root), out, session_bundle, OPTIONS)
    with reading() as decoded:
        tag(Folder(root), out, scaled(session_bundle, tmp_path), OPTIONS)
    assert len(decoded) == 6
    assert "another model: every file is tagged anew" in capsys.readouterr().err


# Thresholds


def test_other_thresholds_decide_the_tags_anew_without_reading_a_photo(
    folder_of_photos: Make, session_bundle: Bundle, stricter: Bundle, tmp_path: Path
) -> None:
    root = folder_of_photos(12)
    (root / "cut.jpg").write_bytes((root / "season-0/FF-0000_1.jpg").read_bytes()[:300])
    aged(root)
    out, fresh, again = (tmp_path / f"{name}.parquet" for name in ("out", "fresh", "again"))
    tag(Folder(root), out, session_bundle, OPTIONS)
    tag(Folder(root), again, session_bundle, OPTIONS)
    tag(Folder(root), fresh, stricter, OPTIONS)
    assert rows_of(out) != rows_of(fresh)
    with reading() as decoded:
        assert retag(out, stricter) == 13
        tag(Folder(root), again, stricter, replace(OPTIONS, retry_failed=False))
    assert decoded == []
    assert_same(out, fresh)
    assert_same(again, fresh)
    assert validate(out, Folder(root)).valid
    about = [json.loads(pq.read_schema(path).metadata[b"fftag"]) for path in (out, fresh)]
    for key in ("model_id", "groups", "labels", "scores_id"):
        assert about[0][key] == about[1][key]
    assert not out.with_name("out.parquet.parts").exists()


def test_retag_refuses_what_it_cannot_do(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path
) -> None:
    root, out = folder_of_photos(3), tmp_path / "tags.parquet"
    with pytest.raises(FftagError, match="does not exist"):
        retag(out, session_bundle)
    tag(Folder(root), out, session_bundle, OPTIONS)
    before = out.read_bytes()
    with pytest.raises(FftagError, match=r"are not those of .*: run `fftag tag`"):
        retag(out, scaled(session_bundle, tmp_path))
    assert out.read_bytes() == before


def test_an_interrupted_run_goes_on_with_other_thresholds(
    folder_of_photos: Make, session_bundle: Bundle, stricter: Bundle, tmp_path: Path
) -> None:
    root, out = folder_of_photos(40), tmp_path / "tags.parquet"
    options = replace(OPTIONS, batch_size=8, shard_size=16)
    stopped_after_parts(root, out, session_bundle, 1, options)
    with reading() as decoded:
        assert tag(Folder(root), out, stricter, options).resumed == 16
    assert len(decoded) == 24
    tag(Folder(root), tmp_path / "fresh.parquet", stricter, OPTIONS)
    assert_same(out, tmp_path / "fresh.parquet")


# Settings


KEEP_FAILED = replace(OPTIONS, retry_failed=False)


def limited(**limits: Any) -> TagOptions:
    return replace(KEEP_FAILED, limits=replace(Limits(), **limits))


# Of the photos small.jpg (60 x 80) and large.jpg (120 x 160), of cut.jpg, which can be salvaged,
# and of text.jpg: which are read again where the first settings give way to the second.
SETTINGS: dict[str, tuple[TagOptions, TagOptions, set[str]]] = {
    "nothing": (KEEP_FAILED, KEEP_FAILED, set()),
    "more pixels, of which none are so large": (limited(), limited(pixels=10**9), set()),
    "more pixels": (limited(pixels=5000), limited(), {"large.jpg"}),
    "fewer pixels": (limited(), limited(pixels=5000), {"large.jpg", "cut.jpg"}),
    "more bytes": (limited(file_bytes=4000), limited(), {"large.jpg"}),
    "fewer bytes": (limited(), limited(file_bytes=4000), {"large.jpg"}),
    "salvage": (limited(), limited(salvage=True), {"cut.jpg"}),
    "no salvage": (limited(salvage=True), limited(), {"cut.jpg"}),
    "a timeout": (KEEP_FAILED, replace(KEEP_FAILED, timeout=7), set()),
    "more memory": (
        limited(pixels=5000),
        replace(limited(pixels=5000), worker_memory=2**33),
        {"large.jpg"},
    ),
}


@pytest.mark.parametrize("interrupted", [False, True])
@pytest.mark.parametrize("change", SETTINGS)
def test_a_setting_reads_again_only_rows_that_it_can_change(
    session_bundle: Bundle, tmp_path: Path, change: str, interrupted: bool
) -> None:
    root, out, fresh = tmp_path / "root", tmp_path / "tags.parquet", tmp_path / "fresh.parquet"
    save_bands(root / "small.jpg", ["red"], 1)
    save_bands(root / "large.jpg", ["blue"], 2, (120, 160))
    whole = (root / "small.jpg").read_bytes()
    (root / "cut.jpg").write_bytes(whole[: len(whole) * 3 // 4])
    (root / "text.jpg").write_bytes(b"no photo")
    assert len(whole) < 4000 < (root / "large.jpg").stat().st_size
    aged(root)
    before, after, expected = SETTINGS[change]
    if interrupted:
        with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(fftag.tagging.tag, "_publish", Mock(side_effect=KeyboardInterrupt))
            tag(Folder(root), out, session_bundle, before)
    else:
        tag(Folder(root), out, session_bundle, before)
    with reading() as decoded:
        tag(Folder(root), out, session_bundle, after)
    assert set(decoded) == expected
    tag(Folder(root), fresh, session_bundle, after)
    assert_same(out, fresh)


def test_photos_of_a_format_whose_decoder_was_mended_are_read_again(
    session_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, out = tmp_path / "root", tmp_path / "tags.parquet"
    save_bands(root / "a.jpg", ["red"], 1)
    save_bands(root / "b.png", ["blue"], 2)
    (root / "c.jpg").write_bytes(b"no photo")
    tag(Folder(aged(root)), out, session_bundle, KEEP_FAILED)
    monkeypatch.setitem(DECODER_REVISIONS, "PNG", DECODER_REVISIONS["PNG"] + 1)
    with reading() as decoded:
        tag(Folder(root), out, session_bundle, KEEP_FAILED)
    assert sorted(decoded) == ["b.png", "c.jpg"]  # which the decoder of PNG may read by now
    with reading() as decoded:
        tag(Folder(root), out, session_bundle, KEEP_FAILED)
    assert not decoded


def test_parts_that_a_decoder_wrote_before_it_was_mended_stay_and_are_not_used(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, out = folder_of_photos(20), tmp_path / "tags.parquet"
    stopped_after_parts(root, out, session_bundle, 1, OPTIONS)
    monkeypatch.setitem(DECODER_REVISIONS, "JPEG", DECODER_REVISIONS["JPEG"] + 1)
    assert tag(Folder(root), out, session_bundle, OPTIONS).resumed == 0
    assert len(parts_of(out)) == 1


# What stood there before


def test_the_previous_output_stays_beside_and_undoes_a_bad_night(
    folder_of_photos: Make, session_bundle: Bundle, stricter: Bundle, tmp_path: Path
) -> None:
    root, out = aged(folder_of_photos(3)), tmp_path / "tags.parquet"
    previous = tmp_path / "tags.parquet.previous"
    tag(Folder(root), out, session_bundle, OPTIONS)
    first = out.read_bytes()
    tag(Folder(root), out, session_bundle, OPTIONS)  # writes nothing
    assert not previous.exists()
    retag(out, stricter, keep_previous=False)
    assert not previous.exists() and out.read_bytes() != first
    out.write_bytes(first)
    retag(out, stricter)
    assert previous.read_bytes() == first
    save_bands(root / "new.jpg", ["red"], 7)
    second = out.read_bytes()
    tag(Folder(root), out, stricter, OPTIONS)
    assert previous.read_bytes() == second and pq.read_metadata(out).num_rows == 4
    previous.rename(out)
    assert tag(Folder(root), out, stricter, OPTIONS).plan["new"] == 1
    assert sorted(path.name for path in tmp_path.glob("*tags*")) == [out.name, previous.name]


def test_where_files_have_one_name_only_the_previous_output_is_a_copy(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, out = folder_of_photos(3), tmp_path / "tags.parquet"
    tag(Folder(root), out, session_bundle, OPTIONS)
    first = out.read_bytes()
    monkeypatch.setattr(os, "link", Mock(side_effect=PermissionError(1, "not permitted")))
    tag(Folder(root), out, session_bundle, replace(OPTIONS, force=True))
    assert (tmp_path / "tags.parquet.previous").read_bytes() == first


def test_an_interrupted_run_goes_on_though_files_came_went_and_changed(
    folder_of_photos: Make,
    session_bundle: Bundle,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    root, out, fresh = folder_of_photos(40), tmp_path / "tags.parquet", tmp_path / "f.parquet"
    spoiled = root / "season-0/FF-0003_1.jpg"
    spoiled.write_bytes(spoiled.read_bytes()[:300])
    options = replace(OPTIONS, batch_size=8, shard_size=16)
    stopped_after_parts(root, out, session_bundle, 2, options)
    first = sorted(root.rglob("*.jpg"))
    done = [path.relative_to(root).as_posix() for path in first[:32]]
    assert "season-0/FF-0003_1.jpg" in done
    first[0].unlink()  # was read
    first[39].unlink()  # was not
    first[5].write_bytes(first[6].read_bytes() + b"!")  # was read
    first[7].rename(root / "season-2/renamed.jpg")  # was read, and is known by its content
    save_bands(root / "a/new.jpg", ["red"], 99)
    (root / "z").mkdir()
    (root / "z/new.jpg").write_bytes(b"no photo")
    os.utime(first[5], (LAST_YEAR, LAST_YEAR - 1))
    ahead = look_ahead(Folder(root), out, session_bundle, options)
    capsys.readouterr()
    with reading() as decoded:
        summary = tag(Folder(root), out, session_bundle, options)
    unread = [path.relative_to(root).as_posix() for path in first[32:39]]
    assert sorted(decoded) == sorted([*unread, done[5], "a/new.jpg", "z/new.jpg"])
    assert (summary.resumed, summary.read, summary.recognised) == (29, 11, 1)
    assert (ahead.pending, ahead.plan) == (11, summary.plan)
    said = "29 of 40 files are done; 3 more that it did are gone, or are read again"
    assert said in capsys.readouterr().err
    tag(Folder(root), fresh, session_bundle, OPTIONS)
    assert_same(out, fresh)
    assert validate(out, Folder(root)).valid
    assert not out.with_name("tags.parquet.parts").exists()


def test_what_several_interrupted_runs_did_is_put_together(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path
) -> None:
    """Onto a published file too, some of whose photos have other names by then."""
    root, out, fresh = folder_of_photos(48), tmp_path / "tags.parquet", tmp_path / "f.parquet"
    few = replace(OPTIONS, batch_size=4, shard_size=4)
    some = replace(few, selection=Selection(("*-000*",)))
    tag(Folder(aged(root)), out, session_bundle, some)
    for number, path in enumerate(sorted(root.rglob("FF-000*"))):
        path.rename(path.with_name(f"renamed-{number}.jpg"))
    decoded: list[str] = []
    for step in range(4):
        save_bands(root / f"season-{step % 3}/a-{step}.jpg", ["blue"], 100 + step)
        with reading() as now:
            stopped_after_parts(root, out, session_bundle, 2, few)
        decoded += now
    with reading() as now:
        summary = tag(Folder(root), out, session_bundle, few)
    decoded += now
    assert summary.resumed == 32 and summary.plan["removed"] == 10
    assert not [name for name in decoded if "renamed" in name]
    tag(Folder(root), fresh, session_bundle, OPTIONS)
    assert_same(out, fresh)


def test_a_forced_run_that_was_interrupted_reads_its_own_files_once(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path
) -> None:
    root, out = folder_of_photos(40), tmp_path / "tags.parquet"
    options = replace(OPTIONS, batch_size=8, shard_size=16)
    tag(Folder(aged(root)), out, session_bundle, options)
    forced = replace(options, force=True)
    stopped_after_parts(root, out, session_bundle, 1, forced)
    with reading() as decoded:
        assert tag(Folder(root), out, session_bundle, forced).resumed == 16
    assert len(decoded) == 24


# Dry runs and metrics


def test_a_dry_run_says_what_the_run_then_does(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path
) -> None:
    root, out = aged(folder_of_photos(12)), tmp_path / "out/tags.parquet"
    first = look_ahead(Folder(root), out, session_bundle, OPTIONS)
    assert not out.parent.exists() and first.pending == first.files == 12
    assert first.files_per_second and first.seconds > 0 and first.bytes_needed > 0
    assert tag(Folder(root), out, session_bundle, OPTIONS).plan == first.plan
    (root / "season-0/FF-0000_1.jpg").unlink()
    (root / "new.jpg").write_bytes(b"new")
    before = sorted((path.name, path.stat().st_mtime_ns) for path in out.parent.iterdir())
    second = look_ahead(Folder(root), out, session_bundle, OPTIONS)
    assert second.plan["new"] == second.plan["removed"] == second.pending == 1
    assert sorted((path.name, path.stat().st_mtime_ns) for path in out.parent.iterdir()) == before
    assert tag(Folder(root), out, session_bundle, OPTIONS).plan == second.plan


def figures(path: Path) -> dict[tuple[str, str], float]:
    return {
        (sample.name, "".join(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(path.read_text())
        for sample in family.samples
    }


def test_figures_for_prometheus_tell_how_a_run_ended(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path
) -> None:
    root, out, file = aged(folder_of_photos(8)), tmp_path / "t.parquet", tmp_path / "fftag.prom"
    (root / "cut.jpg").write_bytes((root / "season-0/FF-0000_1.jpg").read_bytes()[:300])
    (root / "._cut.jpg").write_bytes(b"of macOS")
    command = ["tag", str(root), "--out", str(out), "--model", str(session_bundle.path)]
    command += ["--workers", "1", "--metrics", str(file)]
    began = time.time()
    done = CliRunner().invoke(app, [*command, "--json"])
    assert done.exit_code == 0, done.output
    found = figures(file)
    assert found["fftag_tag_exit_code", ""] == 0
    assert began <= found["fftag_tag_end_timestamp_seconds", ""] <= time.time()
    assert found["fftag_tag_files", "ok"] == 8 and found["fftag_tag_files", "truncated"] == 1
    assert found["fftag_tag_left_out", COMPANIONS] == 1
    assert found["fftag_tag_plan_files", "new"] == found["fftag_tag_read_files", ""] == 9
    refused = CliRunner().invoke(app, [*command, "--force", "--max-failure-rate", "0.01"])
    assert isinstance(refused.exception, FftagError)
    assert figures(file)["fftag_tag_exit_code", ""] == 4
    assert CliRunner().invoke(app, [*command, "--strict"]).exit_code == 3
    assert figures(file)["fftag_tag_exit_code", ""] == 3
    feed = ["--products", str(tmp_path / "none.csv")]
    not_loaded = CliRunner().invoke(app, [*command, "--db", str(tmp_path / "c.duckdb"), *feed])
    assert isinstance(not_loaded.exception, FftagError)
    found = figures(file)
    assert found["fftag_tag_exit_code", ""] == 1 and found["fftag_tag_files", "ok"] == 8
    in_the_way = CliRunner().invoke(app, [*command, "--force", "--db", str(tmp_path)])
    assert "is a folder" in str(in_the_way.exception)  # before anything is read
    assert figures(file)["fftag_tag_exit_code", ""] == 1
    assert ("fftag_tag_files", "ok") not in figures(file)
    assert not list(tmp_path.glob("*.tmp"))


def test_salvaged_photos_are_tagged_on_demand_and_marked(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path
) -> None:
    root, out = folder_of_photos(4), tmp_path / "tags.parquet"
    whole = (root / "season-0/FF-0000_1.jpg").read_bytes()
    (root / "cut.jpg").write_bytes(whole[: len(whole) * 3 // 4])
    tag(Folder(root), out, session_bundle, OPTIONS)
    assert rows_of(out)["cut.jpg"]["status"] == "truncated"
    salvage = replace(OPTIONS, limits=Limits(salvage=True))
    tag(Folder(root), out, session_bundle, salvage)
    row = rows_of(out)["cut.jpg"]
    assert row["status"] == "ok" and row["error"].startswith("salvaged: ") and row["scores"]
    assert validate(out, Folder(root)).valid
    assert load_bundle(session_bundle.path).model_id == row["model_id"]
