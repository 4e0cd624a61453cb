"""A run on a real Ray cluster of two machines with one CPU each, both of them this one."""

import json
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from catalogues import save_bands
from faults import FAULTS, SITE, afflict, install, stopped_after_parts
from fftag.tagging.previous import KnownRows
from fftag.tagging.work import Work
from hypothesis import given
from hypothesis import strategies as st
from tagged import aged, assert_same, spoil

from fftag.base.errors import FftagError
from fftag.base.interrupt import deferred
from fftag.models.architectures import factory
from fftag.models.folder import Bundle, save_bundle
from fftag.photos.decode import Failure, InputSpec
from fftag.photos.listing import Selection, Shard
from fftag.photos.pool import ReadOptions, batches
from fftag.photos.record import PhotoRecord
from fftag.photos.sources.choose import choose_source, list_source
from fftag.photos.sources.local import Folder
from fftag.tagging import cluster_watch
from fftag.tagging.cluster import absolute, on_ray
from fftag.tagging.cluster_decode import crews, decode_part
from fftag.tagging.cluster_parts import DECODED, batches_of, decoded, files_of, ranges
from fftag.tagging.cluster_predict import PartWriter
from fftag.tagging.options import TagOptions, run_info
from fftag.tagging.parts import NAME, Part, PartStore, locked
from fftag.tagging.plan import make_plan
from fftag.tagging.summary import TagSummary
from fftag.tagging.tag import tag
from fftag.tagging.validate import validate

ray = pytest.importorskip("ray", reason="the extra ray is not installed")
Machines = pytest.importorskip("ray.cluster_utils").Cluster

Make = Callable[[int], Path]
OPTIONS = TagOptions(
    backend="torch",
    batch_size=4,
    shard_size=8,
    workers=2,
    timeout=2,
    max_failure_rate=1,
    max_removal_rate=1,
)
STORE = 80 * 2**20  # bytes of shared memory for objects on each machine
MEMORY = 4 * 2**30  # bytes that each machine says it has
SECONDS = 300  # for each test


@contextmanager
def machines(faults: Path) -> Iterator[Any]:
    """Two machines; photos that `faults.afflict` marked harm whoever decodes them there."""
    paths = [install(faults, SITE), os.environ.get("PYTHONPATH", "")]
    environment = {
        "PYTHONPATH": os.pathsep.join(paths),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_memory_monitor_refresh_ms": "0",  # it kills when others fill the computer's memory
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        size = {"num_cpus": 1, "object_store_memory": STORE, "memory": MEMORY}
        cluster = Machines(
            initialize_head=True, head_node_args={**size, "include_dashboard": False}
        )
        try:
            cluster.add_node(**size)
            yield cluster
        finally:
            ray.shutdown()
            cluster.shutdown()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with machines(tmp_path_factory.mktemp("cluster") / "faults") as two:
        yield two


@pytest.fixture(autouse=True)
def in_time() -> Iterator[None]:
    """Fails a test that hangs: Ray has no limits for its waits."""

    def end(number: int, frame: Any) -> None:
        pytest.fail(f"not done after {SECONDS} s")

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def parts_of(out: Path) -> list[Path]:
    folder = out.with_name(out.name + ".parts")
    found = folder.iterdir() if folder.is_dir() else ()
    return [path for path in found if NAME.fullmatch(path.name)]


def wait_for_parts(out: Path, count: int, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while len(parts_of(out)) < count:
        assert time.monotonic() < deadline, "no parts are written"
        time.sleep(0.05)


# What needs no cluster


@given(st.sets(st.integers(0, 60)), st.integers(1, 9))
def test_missing_batches_fall_into_parts_that_an_undisturbed_run_has(
    missing: set[int], per_part: int
) -> None:
    found = list(ranges(sorted(missing), per_part))
    assert [number for first, stop in found for number in range(first, stop)] == sorted(missing)
    for first, stop in found:
        assert first // per_part == (stop - 1) // per_part
        alone = {first - 1, stop} & missing
        assert all(number // per_part != first // per_part for number in alone)


@pytest.fixture(autouse=True)
def no_crew_stays() -> Iterator[None]:
    yield
    while crews:
        crews.popitem()[1].dismiss()


def work_of(root: Path, bundle: Bundle, out: Path) -> Work:
    source, listing = Folder(root), list_source(Folder(root))
    run = run_info(source.name, bundle, OPTIONS)
    summary = TagSummary(len(listing), str(out), run.model_id, {}, {})
    store, plan = PartStore(out, run.run_id), make_plan(listing, KnownRows(None))
    return Work(source, listing, plan, bundle, store, run, OPTIONS, summary)


def test_pixels_and_records_travel_whole(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path
) -> None:
    root, spec = folder_of_photos(10), session_bundle.config.input
    spoil(root)
    files = files_of(work_of(root, session_bundle, tmp_path / "t.parquet"), 1, 3)
    reading = ReadOptions(batch_size=4, workers=1)
    table = decode_part(files, Folder(root), spec, reading)
    assert table.schema == DECODED and (table["first"][0].as_py(), table["stop"][0].as_py()) == (
        1,
        3,
    )
    entries = files["files"][0].as_py()
    plan = [(1, entries[:4]), (2, entries[4:])]
    for batch, expected in zip(
        batches_of(table, spec, 4), batches(Folder(root), plan, spec, reading), strict=True
    ):
        assert batch.number == expected.number
        assert (batch.pixels == expected.pixels[: len(batch.photos)]).all()
        assert expected.photos == batch.photos
    assert len({photo["status"] for photo in table["records"][0].as_py()}) > 1


def test_a_machine_without_the_share_is_told_from_files_that_went_away(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path
) -> None:
    root, spec = folder_of_photos(8), session_bundle.config.input
    files = files_of(work_of(root, session_bundle, tmp_path / "t.parquet"), 0, 2)
    reading = ReadOptions(batch_size=4, workers=1)
    (root / "season-0/FF-0000_1.jpg").unlink()
    records = decode_part(files, Folder(root), spec, reading)["records"][0].as_py()
    assert [record["status"] for record in records].count("vanished") == 1
    with pytest.raises(FftagError, match=r"none of 8 files, such as 'season-0/FF-0000_1.jpg'"):
        decode_part(files, Folder(tmp_path), spec, reading)
    assert len(crews) == 2


def test_a_part_goes_into_its_own_run_only(tmp_path: Path) -> None:
    out = tmp_path / "tags.parquet"
    with locked(out):
        begun = PartStore(out, "a" * 32)
        begun.begin()
        PartStore(out, "a" * 32).join()
        with pytest.raises(FftagError, match="is another run's by now"):
            PartStore(out, "b" * 32).join()
        with pytest.raises(FftagError, match="storage that all machines share"):
            PartStore(tmp_path / "other.parquet", "a" * 32).join()
        begun.clear()


def test_a_part_that_a_lost_machine_wrote_is_not_scored_again(
    folder_of_photos: Make,
    session_bundle: Bundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out, model = tmp_path / "tags.parquet", session_bundle.path
    work = work_of(folder_of_photos(12), session_bundle, out)
    reading = ReadOptions(batch_size=4, workers=1)
    tables = [
        decode_part(
            files_of(work, first, first + 1), work.source, session_bundle.config.input, reading
        )
        for first in range(2)
    ]
    with locked(out):
        work.store.begin()
        lost = PartWriter(model, out, work.run, OPTIONS)(tables[0])
        asked: list[int] = []
        score = PartWriter._scored
        monkeypatch.setattr(
            PartWriter,
            "_scored",
            lambda writer, table: asked.append(table["first"][0].as_py()) or score(writer, table),
        )
        other = PartWriter(model, out, work.run, OPTIONS)
        assert other(tables[0]) == lost and asked == []
        (part,) = parts_of(out)
        part.write_bytes(part.read_bytes()[:-1])
        (again,) = other(tables[0]).to_pylist()
        assert again["photos"] == 4 and asked == [0]
        assert other(tables[1])["first"].to_pylist() == [1] and asked == [0, 1]
        work.store.clear()


def test_a_part_tells_how_many_of_its_files_could_not_be_reached(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path
) -> None:
    out, spec = tmp_path / "t.parquet", session_bundle.config.input
    work = work_of(folder_of_photos(8), session_bundle, out)
    records = []
    for entry in work.listing.files.to_pylist():
        record = PhotoRecord.of_listed(entry)
        record.width, record.height = 60, 80
        if "season-2" in record.image:
            record = PhotoRecord.of_listed(entry).fail(Failure("unreadable", "network: no route"))
        records.append(record)
    pixels = np.zeros((8, spec.height, spec.width, 3), np.uint8)
    table = decoded({"first": 0, "stop": 2}, pixels, records)
    with locked(out):
        work.store.begin()
        writer = PartWriter(session_bundle.path, out, work.run, OPTIONS)
        (row,) = writer(table).to_pylist()
        work.store.clear()
    assert (row["photos"], row["recognised"], row["unreached"]) == (8, 0, 2)
    assert row["error"] == "network: no route"


def test_a_part_that_two_machines_wrote_counts_once(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path
) -> None:
    root, out, fresh = aged(folder_of_photos(12)), tmp_path / "t.parquet", tmp_path / "f.parquet"
    options = replace(OPTIONS, workers=1)
    stopped_after_parts(root, out, session_bundle, 1, options)
    (part,) = parts_of(out)
    twin = Part.of(part)
    assert twin is not None
    rows = pq.read_table(part)
    with locked(out):  # as whoever was given up may have read a file or two of it later
        PartStore(out, twin.run * 4).write(0, 2, rows.slice(0, 6))
    assert len(parts_of(out)) == 2
    summary = tag(Folder(root), out, session_bundle, options)
    assert (summary.resumed, summary.read) == (8, 4)
    tag(Folder(root), fresh, session_bundle, options)
    assert_same(out, fresh)


def test_sources_are_read_by_absolute_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder_of_photos: Make
) -> None:
    folder_of_photos(1)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.txt").write_text("catalog/season-0/FF-0000_1.jpg\n")
    assert absolute(Folder(Path("catalog"))) == Folder(tmp_path / "catalog")
    listed: Any = absolute(choose_source("@list.txt"))
    assert listed.root == tmp_path and listed.path == tmp_path / "list.txt"
    archives: Any = absolute(choose_source("shards/*.tar"))
    assert archives.given == f"{tmp_path}/shards/*.tar" and archives.root == tmp_path / "shards"
    assert absolute(choose_source("memory://photos")) == choose_source("memory://photos")


ON_RAY = """
from fftag.cli.start import prepare
prepare()
import json, ray, sys
from fftag.tagging.cluster import on_ray
with on_ray():
    print(json.dumps(ray.get(ray.remote(lambda: sys.path).remote())))
"""


def test_nothing_is_imported_from_the_working_folder_and_what_ray_says_is_no_result(
    tmp_path: Path,
) -> None:
    command = [sys.executable, "-c", ON_RAY]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    path = json.loads(done.stdout)  # and nothing else: Ray tells of its log level, for one
    assert not {"", str(tmp_path)} & set(path)


def test_without_ray_one_line_names_the_extra(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path
) -> None:
    (tmp_path / "without").mkdir()
    (tmp_path / "without/ray.py").write_text("raise ModuleNotFoundError('No module named ray')")
    paths = os.pathsep.join([str(tmp_path / "without"), os.environ.get("PYTHONPATH", "")])
    out = str(tmp_path / "t.parquet")
    ended = fftag(
        *("tag", str(folder_of_photos(1)), "--out", out, "--model", str(session_bundle.path)),
        *("--engine", "ray"),
        PYTHONPATH=paths,
    )
    assert ended.returncode == 1
    assert ended.stderr.strip() == "fftag: Ray is not installed: pip install 'fftag[ray]'"
    for wrong in (("--address", "auto"), ("--predictors", "2"), ("--engine", "spark")):
        assert fftag("tag", "x", "--out", out, *wrong).returncode == 2


def test_tagging_on_one_machine_imports_no_ray() -> None:
    code = "import fftag.tagging.tag, fftag.tagging.cluster, sys; print('ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).stdout == b"False\n"
    code = "import fftag.tagging.cluster_decode, sys; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).stdout == b"False\n"


def fftag(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fftag", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, env=os.environ | environment, timeout=120
    )


# On the cluster


def test_a_cluster_writes_what_one_machine_writes(
    cluster: Any, folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path
) -> None:
    """Damaged files, copies, names of every kind, and photos that kill or stop their decoder."""
    root = folder_of_photos(60)
    spoil(root)
    (root / os.fsdecode(b"caf\xe9.jpg")).write_bytes((root / "c/copy.jpg").read_bytes())
    poisoned = {"season-0/FF-0003_1.jpg": "segfault", "season-2/FF-0002_1.jpg": "hangs"}
    clean = {name: (root / name).read_bytes() for name in poisoned}
    here, there = tmp_path / "here.parquet", tmp_path / "there.parquet"
    tag(Folder(root), here, session_bundle, OPTIONS)
    with on_ray(cluster.address) as engine:
        summary = tag(Folder(root), there, session_bundle, OPTIONS, engine)
        assert_same(here, there)
        assert validate(there, Folder(root)).valid and summary.files == 67
        told = [json.loads(pq.read_schema(path).metadata[b"fftag"]) for path in (here, there)]
        assert told[0].pop("run_id") != told[1].pop("run_id")
        assert told[0] == told[1]
        assert not there.with_name("there.parquet.parts").exists()

        for name, fault in poisoned.items():
            afflict(root / name, fault)
        tag(Folder(root), there, session_bundle, replace(OPTIONS, force=True), engine)
    before = {row["image"]: row for row in pq.read_table(here).to_pylist()}
    for row in pq.read_table(there).to_pylist():
        if row["image"] in poisoned:
            assert row["status"] == FAULTS[poisoned[row["image"]]]
        else:
            assert row["scores"] == before[row["image"]]["scores"]
    assert set(clean) == set(poisoned)


@pytest.mark.slow
def test_either_engine_goes_on_where_the_other_stopped_and_with_what_it_published(
    cluster: Any, folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path
) -> None:
    root, out, fresh = aged(folder_of_photos(40)), tmp_path / "t.parquet", tmp_path / "f.parquet"
    tag(Folder(root), fresh, session_bundle, OPTIONS)
    stopped_after_parts(root, out, session_bundle, 2, OPTIONS)
    with on_ray(cluster.address) as engine:
        assert tag(Folder(root), out, session_bundle, OPTIONS, engine).resumed == 16
        assert_same(out, fresh)
        shard = replace(OPTIONS, selection=Selection(shard=Shard(1, 2)))
        with pytest.raises(FftagError, match="rows of the whole source"):
            tag(Folder(root), out, session_bundle, shard, engine)
        (root / "moved.jpg").write_bytes((root / "season-0/FF-0000_1.jpg").read_bytes())
        (root / "season-0/FF-0000_1.jpg").unlink()
        save_bands(root / "new.jpg", ["red"], 99)
        summary = tag(Folder(root), out, session_bundle, OPTIONS, engine)
    assert (summary.read, summary.recognised) == (2, 1)
    tag(Folder(root), fresh, session_bundle, OPTIONS)
    assert_same(out, fresh)


def test_an_error_in_a_worker_ends_the_run_with_its_line(
    cluster: Any,
    folder_of_photos: Make,
    session_bundle: Bundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root = folder_of_photos(8)
    before = signal.getsignal(signal.SIGTERM)
    with on_ray(cluster.address, predictors=3) as engine:
        with pytest.raises(FftagError, match="takes at most 2, as many as the cluster has CPUs"):
            tag(Folder(root), tmp_path / "t.parquet", session_bundle, OPTIONS, engine)
        assert signal.getsignal(signal.SIGTERM) == before

    def list_then_move(*arguments: Any) -> Any:
        listing = list_source(*arguments)
        root.rename(tmp_path / "elsewhere")
        root.mkdir()
        return listing

    monkeypatch.setattr("fftag.tagging.tag.list_source", list_then_move)
    with on_ray(cluster.address) as engine:
        with pytest.raises(FftagError, match="finds none of 8 files"):
            tag(Folder(root), tmp_path / "t.parquet", session_bundle, OPTIONS, engine)
        for device in ("cuda", "cuda:1", "cpu,cpu"):
            with pytest.raises(FftagError, match="cluster"):
                engine.device(device)
    assert not (tmp_path / "t.parquet").exists()


def test_whoever_waits_for_rows_can_stop_and_leaves_nothing_running(
    cluster: Any, tmp_path: Path
) -> None:
    note = tmp_path / "process"

    class Stuck:  # as Ray is after a row, where a machine was lost
        def iter_rows(self) -> Iterator[dict[str, int]]:
            yield {"first": 7}
            note.write_text(str(os.getpid()))
            time.sleep(3600)

    def interrupt_twice() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        while not interruption.asked:  # signals that come together count as one
            time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGINT)

    with on_ray(cluster.address), deferred() as interruption:
        rows = cluster_watch.watched(lambda: [1], lambda parts: Stuck(), interruption)
        assert next(rows) == {"first": 7}
        threading.Timer(2, interrupt_twice).start()
        with pytest.raises(KeyboardInterrupt):
            next(rows)
        process, deadline = int(note.read_text()), time.monotonic() + 20
        while Path(f"/proc/{process}").exists():
            assert time.monotonic() < deadline, "it still runs"
            time.sleep(0.1)
    assert interruption.asked


# Faults of machines


def slow_photos(make: Make, count: int) -> Path:
    root = make(count)
    for path in root.rglob("*.jpg"):
        afflict(path, "slow")
    return aged(root)  # what was written this moment would be read again, and not resumed


@pytest.mark.slow
def test_a_machine_that_is_lost_costs_its_unfinished_parts_alone(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path
) -> None:
    root = slow_photos(folder_of_photos, 160)
    here, out = tmp_path / "here.parquet", tmp_path / "out.parquet"
    tag(Folder(root), here, session_bundle, OPTIONS)
    with machines(tmp_path / "faults") as cluster, on_ray(cluster.address) as engine:
        finished: set[str] = set()

        def lose() -> None:
            wait_for_parts(out, 4)
            finished.update(path.name for path in parts_of(out))
            (lost,) = [node for node in cluster.list_all_nodes() if node != cluster.head_node]
            cluster.remove_node(lost, allow_graceful=False)

        thread = threading.Thread(target=lose)
        thread.start()
        written: set[str] = set()
        clear = PartStore.clear

        def noted(store: PartStore) -> None:
            written.update(part.file_name for part in store.finished)
            clear(store)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(cluster_watch, "SECONDS_OF_PATIENCE", 10)
            patch.setattr(cluster_watch, "LONGEST_WAITS", 1)
            patch.setattr(PartStore, "clear", noted)
            summary = tag(Folder(root), out, session_bundle, OPTIONS, engine)
        thread.join()
        assert len([node for node in ray.nodes() if node["Alive"]]) == 1
    assert len(finished) >= 4 and finished <= written
    assert summary.statuses == {"ok": 160}
    assert_same(here, out)


@pytest.mark.slow
def test_a_job_whose_driver_is_killed_goes_on_when_started_again(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path
) -> None:
    root = slow_photos(folder_of_photos, 120)
    here, out = tmp_path / "here.parquet", tmp_path / "out.parquet"
    tag(Folder(root), here, session_bundle, replace(OPTIONS, timeout=60))
    with machines(tmp_path / "faults") as cluster:
        command = [
            *(sys.executable, "-m", "fftag", "tag", str(root), "--out", str(out)),
            *("--model", str(session_bundle.path), "--backend", "torch", "--batch-size", "4"),
            *("--shard-size", "8", "--engine", "ray", "--address", cluster.address, "--json"),
        ]
        for count in (3, 6):
            driver = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
            wait_for_parts(out, count)
            driver.send_signal(signal.SIGKILL)
            driver.wait()
            assert not out.exists()
        last = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert last.returncode == 0, last.stderr
    assert json.loads(last.stdout)["resumed"] >= 6 * 8
    assert_same(here, out)
    assert not out.with_name("out.parquet.parts").exists()


@pytest.mark.slow
def test_a_job_that_is_interrupted_says_so_and_goes_on(
    cluster: Any, folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path
) -> None:
    root, out = slow_photos(folder_of_photos, 80), tmp_path / "out.parquet"
    with on_ray(cluster.address) as engine:

        def interrupt() -> None:
            wait_for_parts(out, 2)
            os.kill(os.getpid(), signal.SIGINT)

        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(FftagError, match="the same command goes on") as told:
            tag(Folder(root), out, session_bundle, OPTIONS, engine)
        thread.join()
        assert told.value.exit_code == 130
        summary = tag(Folder(root), out, session_bundle, OPTIONS, engine)
    assert summary.resumed >= 16 and summary.statuses == {"ok": 80}


def memory_of_children() -> int:
    """Bytes that the processes below this one hold, each page once; without files, as libraries
    are, which count for less while others on this computer have them open."""
    parents = {}
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            parents[int(entry.name)] = int(
                (entry / "stat").read_text().rsplit(")", 1)[1].split()[1]
            )
    own, total = {os.getpid()}, 0
    while more := {child for child, parent in parents.items() if parent in own} - own:
        own |= more
    for process in own - {os.getpid()}:
        with suppress(OSError):  # it has ended since
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
            kinds = ("Pss_Anon:", "Pss_Shmem:")
            total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(kinds))
    return total


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_memory_does_not_grow_with_the_photos(session_bundle: Bundle, tmp_path: Path) -> None:
    """8,000 photos of 224 x 224 are 1.2 GB of pixels, far more than both machines' stores hold."""
    spec = InputSpec(224, 224)
    config = replace(session_bundle.config, input=spec)
    weights = factory.build("cnn", len(config.labels), spec).state_dict()
    bundle = save_bundle(tmp_path / "large", config, weights)
    save_bands(tmp_path / "one.jpg", ["red"])
    photo = (tmp_path / "one.jpg").read_bytes()
    (tmp_path / "photos").mkdir()
    for number in range(8000):
        (tmp_path / f"photos/{number}.jpg").write_bytes(photo + str(number).encode())
    out, done = tmp_path / "tags.parquet", threading.Event()
    seen: list[tuple[int, int]] = []

    def watch() -> None:
        while not done.wait(0.3):
            seen.append((len(parts_of(out)), memory_of_children()))

    options = replace(OPTIONS, batch_size=16, shard_size=64)
    with machines(tmp_path / "faults") as cluster, on_ray(cluster.address) as engine:
        thread = threading.Thread(target=watch)
        thread.start()
        try:
            tag(Folder(tmp_path / "photos"), out, bundle, options, engine)
        finally:
            done.set()
            thread.join()
    # Of 125 parts the second quarter and the last: the pixels of 62 parts, 600 MB, lie between.
    early = [memory for parts, memory in seen if 32 <= parts < 63]
    late = [memory for parts, memory in seen if parts >= 94]
    for level in (statistics.median, max):
        assert level(late) < level(early) + 150 * 2**20
