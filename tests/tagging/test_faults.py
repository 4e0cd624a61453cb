"""Faults in the middle of a run: each costs the photo that it strikes, and no other anything."""

import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from faults import BROKEN_SITE, FAULTS, SITE, afflict, install, parts_of, stopped_after_parts
from tagged import aged, assert_same, decoding, rows_of

import fftag.photos.pool
from fftag.base.errors import FftagError
from fftag.models.folder import Bundle
from fftag.photos.decode import Failure
from fftag.photos.record import PhotoRecord
from fftag.photos.sources.local import Folder, LocalReader
from fftag.tagging.dry_run import look_ahead
from fftag.tagging.known import TagsRows
from fftag.tagging.options import TagOptions
from fftag.tagging.parts import Parts
from fftag.tagging.tag import tag
from fftag.tagging.validate import validate

Make = Callable[[int], Path]
WORKERS = TagOptions(
    backend="torch",
    workers=2,
    batch_size=8,
    shard_size=16,
    timeout=3,
    worker_memory=2**30,
    max_failure_rate=1,
)
ALONE = replace(WORKERS, workers=1)


def images(root: Path) -> list[Path]:
    return sorted(root.rglob("*.jpg"))


# Decoders


READ = """
import sys
from pathlib import Path
from fftag.photos.decode import InputSpec
from fftag.photos.pool import ReadOptions
from fftag.photos.sources.local import Folder
from fftag.photos.sources.choose import list_source
from fftag.photos.pool import batches
source = Folder(Path(sys.argv[1]))
plan = [(0, list_source(source).files.to_pylist())]
for batch in batches(source, plan, InputSpec(32, 24), ReadOptions(workers=1)):
    print([photo.status for photo in batch.photos])
"""


def test_workers_start_where_less_memory_is_allowed_than_they_are_to_have(
    folder_of_photos: Make,
) -> None:
    def allow_three_gib() -> None:  # a worker is to have four
        resource.setrlimit(resource.RLIMIT_AS, (3 * 2**30, 3 * 2**30))

    command = [sys.executable, "-c", READ, str(folder_of_photos(3))]
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=allow_three_gib)
    assert done.stdout == "['ok', 'ok', 'ok']\n", done.stderr


@pytest.mark.usefixtures("decoding_processes")
def test_a_photo_that_kills_its_decoder_costs_itself_alone(
    folder_of_photos: Make,
    session_bundle: Bundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root = folder_of_photos(60)
    chosen = random.Random(4).sample(images(root), len(FAULTS))
    expected = {}
    for path, (fault, status) in zip(chosen, FAULTS.items(), strict=True):
        afflict(path, fault)
        expected[path.relative_to(root).as_posix()] = status
    clean, out = tmp_path / "clean.parquet", tmp_path / "tags.parquet"
    tag(Folder(root), clean, session_bundle, ALONE)
    monkeypatch.setenv("PYTHONPATH", install(tmp_path / "site", SITE))
    summary = tag(Folder(root), out, session_bundle, WORKERS)
    found, whole = rows_of(out), rows_of(clean)
    assert {image: found[image]["status"] for image in expected} == expected
    failing = sum(status != "ok" for status in expected.values())
    assert summary.failed == failing
    for image, row in found.items():
        if expected.get(image, "ok") == "ok":
            assert row == whole[image]
    assert validate(out, Folder(root)).valid

    # Mended, the same command reads those again and nothing else.
    monkeypatch.delenv("PYTHONPATH")
    again = tag(Folder(root), out, session_bundle, WORKERS)
    assert again.plan["retried"] == failing
    assert rows_of(out) == whole


@pytest.mark.usefixtures("decoding_processes")
def test_photos_that_all_crash_have_a_row_each(
    folder_of_photos: Make,
    session_bundle: Bundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root = folder_of_photos(6)
    for path in images(root):
        afflict(path, "killed")
    monkeypatch.setenv("PYTHONPATH", install(tmp_path / "site"))
    summary = tag(Folder(root), tmp_path / "t.parquet", session_bundle, WORKERS)
    assert summary.statuses == {"crashed": 6}


@pytest.mark.usefixtures("decoding_processes")
def test_processes_that_cannot_start_end_the_run_with_a_reason(
    folder_of_photos: Make,
    session_bundle: Bundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root = folder_of_photos(6)
    monkeypatch.setenv("PYTHONPATH", install(tmp_path / "site", BROKEN_SITE))
    with pytest.raises(FftagError, match=r"exit code 7.*fftag doctor"):
        tag(Folder(root), tmp_path / "t.parquet", session_bundle, WORKERS)
    assert not (tmp_path / "t.parquet").exists()


@pytest.mark.usefixtures("decoding_processes")
def test_decoding_processes_killed_at_random_cost_no_photo_anything(
    folder_of_photos: Make,
    session_bundle: Bundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root = folder_of_photos(600)
    clean, out = tmp_path / "clean.parquet", tmp_path / "tags.parquet"
    tag(Folder(root), clean, session_bundle, ALONE)
    draw = random.Random(5)
    timers: list[threading.Timer] = []

    class Struck(fftag.photos.pool._Worker):
        """Some of its jobs are its last: it is killed in the middle of them or soon after."""

        def give(self, job: Any) -> None:
            super().give(job)
            if self.ready and len(timers) < 12 and draw.random() < 0.2:
                timers.append(threading.Timer(draw.uniform(0, 0.02), self.process.kill))
                timers[-1].start()

    monkeypatch.setattr(fftag.photos.pool, "_Worker", Struck)
    tag(Folder(root), out, session_bundle, WORKERS)
    for timer in timers:
        timer.join()

    # A photo that was struck twice, its second try included, is `crashed`: the next run reads it.
    struck = [image for image, row in rows_of(out).items() if row["status"] != "ok"]
    assert len(timers) >= 2 and len(struck) <= len(timers) // 2
    tag(Folder(root), out, session_bundle, WORKERS)
    assert rows_of(out) == rows_of(clean)


# Files that change under the run


def test_files_that_change_during_the_run_have_a_row_of_what_was_read(
    folder_of_photos: Make,
    session_bundle: Bundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root = folder_of_photos(40)
    paths = images(root)
    gone, cut, replaced, emptied, folder = random.Random(6).sample(paths[8:], 5)
    other = paths[0].read_bytes()
    read, count = LocalReader.read, 0

    def read_and_change(self: LocalReader, entry: dict[str, Any], limit: int) -> Any:
        nonlocal count
        count += 1
        if count == 4:
            gone.unlink()
            cut.write_bytes(cut.read_bytes()[:300])
            replaced.write_bytes(other)
            emptied.write_bytes(b"")
            folder.unlink()
            folder.mkdir()
        return read(self, entry, limit)

    out = tmp_path / "tags.parquet"
    monkeypatch.setattr(LocalReader, "read", read_and_change)
    tag(Folder(root), out, session_bundle, ALONE)
    monkeypatch.undo()
    rows = {root / image: row for image, row in rows_of(out).items()}
    assert len(rows) == 40
    changed = {gone: "vanished", cut: "truncated", emptied: "unreadable", folder: "unreadable"}
    assert {path: rows[path]["status"] for path in changed} == changed
    assert rows[replaced]["content_sha256"] == rows[paths[0]]["content_sha256"]
    assert rows[replaced]["scores"] == rows[paths[0]]["scores"]
    assert rows[replaced]["file_size"] == len(other)
    assert sum(row["status"] == "ok" for row in rows.values()) == 36
    folder.rmdir()
    fresh = tmp_path / "fresh.parquet"
    tag(Folder(root), out, session_bundle, ALONE)
    tag(Folder(root), fresh, session_bundle, ALONE)
    assert_same(out, fresh)


# Stores that go away


class Store:
    """Files that can be reached for as long as there are `answers` left; counts what is asked."""

    def __init__(self, answers: int) -> None:
        self.answers, self.asked = answers, 0

    def __call__(self, photo: PhotoRecord) -> PhotoRecord:
        self.asked += 1
        self.answers -= 1
        if self.answers >= 0:
            return photo
        unread = PhotoRecord(photo.image, file_size=photo.file_size, modified_at=photo.modified_at)
        return unread.fail(Failure("unreadable", "network: ConnectionError: no route"))


def test_a_store_that_goes_away_ends_the_run_with_what_was_done_kept(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, out, fresh = aged(folder_of_photos(200)), tmp_path / "t.parquet", tmp_path / "f.parquet"
    monkeypatch.setattr("fftag.tagging.reach.SECONDS_WITHOUT_A_FILE", 0.0)
    store = Store(50)
    with decoding(store), pytest.raises(FftagError) as ended:
        tag(Folder(root), out, session_bundle, ALONE)
    assert ended.value.exit_code == 4 and store.asked < 200
    said = str(ended.value)
    assert "cannot be reached: the last 32 files failed" in said and "no route" in said
    assert "50 of 200 files are done and kept" in said and not out.exists()
    summary = tag(Folder(root), out, session_bundle, ALONE)
    assert summary.resumed == 50 and summary.statuses == {"ok": 200}
    tag(Folder(root), fresh, session_bundle, WORKERS)
    assert_same(out, fresh)


def test_a_dry_run_ends_where_the_store_went_away(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, store = folder_of_photos(120), Store(10)
    monkeypatch.setattr("fftag.tagging.reach.SECONDS_WITHOUT_A_FILE", 0.0)
    with decoding(store), pytest.raises(FftagError, match=r"reached \(network: .* route") as ended:
        look_ahead(Folder(root), tmp_path / "t.parquet", session_bundle, ALONE)
    assert ended.value.exit_code == 4 and store.asked < 120


@pytest.mark.parametrize(("files", "seconds"), [(101, 0.0), (32, 3600.0)])
def test_a_store_that_is_away_for_a_while_does_not_end_the_run(
    folder_of_photos: Make,
    session_bundle: Bundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    files: int,
    seconds: float,
) -> None:
    """By its files in a row, or by its seconds; what was missed is read by the next run."""
    root, out = aged(folder_of_photos(120)), tmp_path / "t.parquet"
    monkeypatch.setattr("fftag.tagging.reach.SECONDS_WITHOUT_A_FILE", seconds)
    monkeypatch.setattr("fftag.tagging.reach.FILES_IN_A_ROW", files)
    with decoding(Store(20)):
        summary = tag(Folder(root), out, session_bundle, replace(ALONE, max_failure_rate=1))
    assert summary.statuses == {"ok": 20, "unreadable": 100}
    again = tag(Folder(root), out, session_bundle, replace(ALONE, retry_failed=False))
    assert again.statuses == {"ok": 120} and again.read == 100


# Disks


TAG = """
import sys
from pathlib import Path
from fftag.models.folder import load_bundle
from fftag.base.errors import FftagError
from fftag.photos.sources.local import Folder
from fftag.tagging.tag import tag
from fftag.tagging.options import TagOptions
root, out, model, workers = sys.argv[1:]
options = TagOptions(backend="torch", workers=int(workers), batch_size=8, shard_size=16)
try:
    tag(Folder(Path(root)), Path(out), load_bundle(Path(model)), options)
except FftagError as error:
    sys.exit(f"refused: {error}")
"""


def noisy(root: Path) -> None:
    """Long names that do not compress: a tags file that needs room."""
    draw = random.Random(7)
    for path in images(root):
        path.rename(path.with_name(f"{draw.randbytes(110).hex()}.jpg"))


@pytest.mark.parametrize("when", ["first run", pytest.param("later run", marks=pytest.mark.slow)])
def test_a_full_disk_loses_nothing(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path, when: str
) -> None:
    root, disk = folder_of_photos(300), tmp_path / "disk"
    noisy(root)
    disk.mkdir()
    out, model = disk / "tags.parquet", str(session_bundle.path)
    mount = ["mount", "-t", "tmpfs", "-o", "size=160k", "tmpfs", str(disk)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount the small disk that is to be filled")
    try:
        before = None
        if when == "later run":
            few = tmp_path / "few"
            for path in images(root)[:50]:
                copy = few / path.relative_to(root)
                copy.parent.mkdir(parents=True, exist_ok=True)
                os.link(path, copy)
            tag(Folder(few), out, session_bundle, ALONE)
            before = out.read_bytes()
        command = [sys.executable, "-c", TAG, str(root), str(out), model, "1"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 1 and "refused: cannot write" in done.stderr, done.stderr
        assert "No space left" in done.stderr
        assert (out.read_bytes() if out.exists() else None) == before
        kept = len(parts_of(out))
        subprocess.run(["mount", "-o", "remount,size=4m", str(disk)], check=True)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert ("going on with an interrupted run" in done.stderr) == bool(kept)
        fresh = tmp_path / "fresh.parquet"
        tag(Folder(root), fresh, session_bundle, ALONE)
        assert_same(out, fresh)
        names = {path.name for path in disk.iterdir()}
        assert names == {"tags.parquet"} | ({"tags.parquet.previous"} if before else set())
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.slow
def test_a_file_that_may_not_grow_is_refused_and_the_old_one_stands(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path
) -> None:
    root, out = folder_of_photos(300), tmp_path / "tags.parquet"
    noisy(root)
    out.parent.mkdir(exist_ok=True)

    def may_not_grow() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))

    # Pixels of decoding processes lie in shared memory, which may not grow then either.
    here = "from tagged import Here, crew_of\nhere = crew_of(Here)\nhere.__enter__()\n"
    command = [sys.executable, "-c", here + TAG, str(root), str(out), str(session_bundle.path), "1"]
    tests = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, preexec_fn=may_not_grow, env=tests
    )
    assert done.returncode == 1 and "refused: cannot write" in done.stderr, done.stderr
    assert not out.exists() and not list(tmp_path.glob("*.tmp"))
    subprocess.run(command, check=True, capture_output=True, env=tests)
    assert len(rows_of(out)) == 300


@pytest.mark.parametrize("damage", ["half", "empty", "flipped", "other"])
def test_a_part_that_was_damaged_is_done_again(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path, damage: str
) -> None:
    root, out = aged(folder_of_photos(64)), tmp_path / "tags.parquet"
    clean = tmp_path / "clean.parquet"
    tag(Folder(root), clean, session_bundle, ALONE)
    stopped_after_parts(root, out, session_bundle, 3, ALONE)
    first, second, _ = parts_of(out)
    content = first.read_bytes()
    middle = len(content) // 2
    damaged = {
        "half": content[:middle],
        "empty": b"",
        "flipped": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
        "other": second.read_bytes(),
    }
    first.write_bytes(damaged[damage])
    summary = tag(Folder(root), out, session_bundle, ALONE)
    assert summary.resumed == 32 and rows_of(out) == rows_of(clean)


# Clocks


def test_a_clock_that_goes_backwards_hides_no_change(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path
) -> None:
    root, out = folder_of_photos(12), tmp_path / "tags.parquet"
    tag(Folder(root), out, session_bundle, ALONE)
    past, future = images(root)[:2]
    content = images(root)[5].read_bytes()
    for path, moment in ((past, 86_400), (future, 4_000_000_000)):
        path.write_bytes(content)
        os.utime(path, (moment, moment))
    tag(Folder(root), out, session_bundle, ALONE)
    rows = rows_of(out)
    wanted = rows[images(root)[5].relative_to(root).as_posix()]
    for path in (past, future):
        row = rows[path.relative_to(root).as_posix()]
        assert row["scores"] == wanted["scores"]
        assert row["content_sha256"] == wanted["content_sha256"]
    # A file from the future is never trusted by its time alone.
    changed = images(root)[4].read_bytes()
    future.write_bytes(changed.ljust(len(content), b"\0")[: max(len(content), len(changed))])
    os.utime(future, (4_000_000_000, 4_000_000_000))
    tag(Folder(root), out, session_bundle, ALONE)
    fresh = tmp_path / "fresh.parquet"
    tag(Folder(root), fresh, session_bundle, ALONE)
    assert_same(out, fresh)


def test_a_clock_set_back_between_two_runs_does_not_matter(
    folder_of_photos: Make,
    session_bundle: Bundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Yesterday:
        @staticmethod
        def now(zone: Any) -> Any:
            from datetime import datetime, timedelta

            return datetime.now(zone) - timedelta(days=1)

    root, out, fresh = folder_of_photos(12), tmp_path / "t.parquet", tmp_path / "f.parquet"
    tag(Folder(root), out, session_bundle, ALONE)
    monkeypatch.setattr("fftag.tagging.score.datetime", Yesterday)
    path = images(root)[3]
    path.write_bytes(images(root)[4].read_bytes())
    summary = tag(Folder(root), out, session_bundle, ALONE)
    tag(Folder(root), fresh, session_bundle, ALONE)
    assert summary.files == 12
    assert_same(out, fresh)


# kill -9


class Killed(BaseException):
    """Stands for a SIGKILL at a certain line."""


@pytest.mark.parametrize("parts_left", [3, 1])
def test_killed_after_publication_the_next_run_finds_its_work_done(
    folder_of_photos: Make,
    session_bundle: Bundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    parts_left: int,
) -> None:
    def killed_while_clearing(self: Parts, parts: list[TagsRows]) -> None:
        for path in parts_of(out)[parts_left:]:
            path.unlink()
        raise Killed

    root, out = folder_of_photos(48), tmp_path / "tags.parquet"
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Parts, "clear", killed_while_clearing)
        tag(Folder(root), out, session_bundle, ALONE)
    published = rows_of(out)
    assert len(parts_of(out)) == parts_left
    images(root)[0].unlink()
    summary = tag(Folder(root), out, session_bundle, ALONE)
    assert summary.plan["removed"] == 1
    assert [*rows_of(out).values()] == [*published.values()][1:]
    assert not (tmp_path / "tags.parquet.parts").exists()


# One process imports torch; each run is a fork of it, which starts at once.
RUNS = """
import os, sys
from pathlib import Path
import torch
from fftag.models.folder import load_bundle
from fftag.photos.sources.local import Folder
from fftag.tagging.tag import tag
from fftag.tagging.options import TagOptions
root, out, model = map(Path, sys.argv[1:])
options = TagOptions(backend="torch", workers=1, batch_size=16, shard_size=32, max_failure_rate=1)
torch.set_num_threads(1)
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        sys.stdout = sys.stderr
        tag(Folder(root), out, load_bundle(model), options)
        os._exit(0)
    print(child, flush=True)
    print(os.waitpid(child, 0)[1], flush=True)
"""


@pytest.mark.parametrize(
    ("photos", "kills"), [(300, 4), pytest.param(2400, 50, marks=pytest.mark.slow)]
)
def test_killed_at_any_moment_the_same_command_ends_in_the_same_rows(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path, photos: int, kills: int
) -> None:
    root, out = folder_of_photos(photos), tmp_path / "tags.parquet"
    draw = random.Random(8)
    for path in draw.sample(images(root), photos // 20):
        path.write_bytes(path.read_bytes()[:200])
    aged(root)
    command = [sys.executable, "-c", RUNS, str(root), str(out), str(session_bundle.path)]
    complaints = tmp_path / "complaints.txt"
    with complaints.open("w") as errors:
        runs = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
        )
    assert runs.stdin and runs.stdout

    def run(killed_after: float | None) -> int:
        """Starts the run, kills it if it has not ended by then; returns how it ended."""
        runs.stdin.write("run\n")
        runs.stdin.flush()
        child = int(runs.stdout.readline())
        if killed_after is not None:
            time.sleep(killed_after)
            with suppress(ProcessLookupError):  # it has ended
                os.kill(child, signal.SIGKILL)
        ended = os.waitstatus_to_exitcode(int(runs.stdout.readline()))
        assert ended in (0, -signal.SIGKILL), complaints.read_text()[-2000:]
        return ended

    assert run(None) == 0
    out.unlink()
    began = time.monotonic()
    assert run(None) == 0
    lasts = time.monotonic() - began
    clean = out.rename(tmp_path / "clean.parquet")
    wanted = rows_of(clean)
    killed = finished = 0
    while killed < kills:
        if run(draw.uniform(0, lasts)) == 0:
            assert rows_of(out) == wanted
            out.unlink()
            finished += 1
        else:
            killed += 1
    assert run(None) == 0
    runs.stdin.close()
    assert runs.wait(30) == 0
    runs.stdout.close()
    assert rows_of(out) == wanted
    assert list(wanted) == list(rows_of(out)) and len(wanted) == photos
    left = {path.name for path in tmp_path.iterdir()} - {"tags.parquet.previous"}
    assert left == {"catalog", "clean.parquet", "complaints.txt", "tags.parquet"}
