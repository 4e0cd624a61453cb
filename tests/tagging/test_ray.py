"""A run on a real Ray cluster of two machines with one CPU each, both of them this one."""

import json
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from catalogues import save_bands
from faults import FAULTS, SITE, afflict, install, parts_of, stopped_after_parts
from tagged import Here, aged, assert_same, crew_of, spoil

from fftag.base.errors import FftagError
from fftag.models.architectures import factory
from fftag.models.folder import Bundle, save_bundle
from fftag.models.side_by_side import SideBySide, replica_count
from fftag.photos.decode import Failure, InputSpec
from fftag.photos.listing import Selection, Shard
from fftag.photos.pool import Batch, ReadOptions
from fftag.photos.record import PhotoRecord
from fftag.photos.sources.base import Source
from fftag.photos.sources.choose import choose_source, list_source
from fftag.photos.sources.local import Folder
from fftag.tagging.agreement import Agreement
from fftag.tagging.known import TagsRows
from fftag.tagging.options import TagOptions, run_info
from fftag.tagging.parts import Parts, locked
from fftag.tagging.reach import Done
from fftag.tagging.tag import plan_of, tag
from fftag.tagging.validate import validate

ray = pytest.importorskip("ray", reason="the extra ray is not installed")
Machines = pytest.importorskip("ray.cluster_utils").Cluster
from fftag.tagging.ray import (  # noqa: E402 (it needs Ray)
    ActorSize,
    Driver,
    Job,
    Machine,
    ScoringProcess,
    absolute,
    on_ray,
)

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
SIZE = {"num_cpus": 1, "object_store_memory": STORE, "memory": MEMORY}
SECONDS = 600  # for each test
# What is wrong with a machine, in the environment of its processes.
SITE_OF_MACHINES = """
import os
fault = os.environ.get("FAULT_OF_MACHINE")
if fault == "without_fftag":
    class Without:
        def find_spec(self, name, path=None, target=None):
            if name == "fftag":
                raise ModuleNotFoundError("No module named 'fftag'", name=name)
    sys.meta_path.insert(0, Without())
elif fault == "older_fftag" and "default_worker.py" in str(sys.orig_argv):
    import fftag
    fftag.__version__ = "0.0.1"
"""


@contextmanager
def machines(faults: Path, count: int = 2) -> Iterator[Any]:
    """Some machines; photos that `faults.afflict` marked harm whoever decodes them there."""
    paths = [install(faults, SITE + SITE_OF_MACHINES), os.environ.get("PYTHONPATH", "")]
    environment = {
        "PYTHONPATH": os.pathsep.join(paths),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_memory_monitor_refresh_ms": "0",  # it kills when others fill the computer's memory
        "RAY_raylet_start_wait_time_s": "200",  # on a computer that others use, too
        "RAY_worker_niceness": "0",  # nor does it give way to them
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        cluster = Machines(
            initialize_head=True, head_node_args={**SIZE, "include_dashboard": False}
        )
        try:
            for _ in range(count - 1):
                cluster.add_node(**SIZE)
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


def wait_for_parts(out: Path, count: int, seconds: float = 150) -> None:
    deadline = time.monotonic() + seconds
    while len(parts_of(out)) < count:
        assert time.monotonic() < deadline, "no parts are written"
        time.sleep(0.05)


def descendants() -> set[int]:
    """The processes below this one."""
    parents = {}
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            parents[int(entry.name)] = int(
                (entry / "stat").read_text().rsplit(")", 1)[1].split()[1]
            )
    own = {os.getpid()}
    while more := {child for child, parent in parents.items() if parent in own} - own:
        own |= more
    return own - {os.getpid()}


# What needs no cluster


def parts_for(job: Job) -> Parts:
    return Parts(job.out, Agreement.of(job.run))


def files_of(job: Job) -> list[dict[str, Any]]:
    plan = plan_of(job.source, job.out, job.run, parts_for(job), job.options)
    return next(plan.batches(plan.pending, len(plan.pending)))


def job_of(root: Path, bundle: Bundle, out: Path) -> Job:
    job = Job(Folder(root), bundle.path, out, run_info(str(root), bundle, OPTIONS), OPTIONS, ())
    return replace(job, sample=files_of(job)[::4])


@pytest.fixture
def job(folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path) -> Iterator[Job]:
    """Of 20 photos, and an output whose run has begun."""
    found = job_of(folder_of_photos(20), session_bundle, tmp_path / "tags.parquet")
    with locked(found.out), parts_for(found).begun(restart=False):
        yield found


def rows_in_parts(job: Job) -> list[dict[str, Any]]:
    """In the order in which the parts were written."""
    paths = sorted(parts_of(job.out), key=lambda path: path.stat().st_mtime_ns)
    return [row for path in paths for row in pq.read_table(path).to_pylist()]


def opened(job: Job, cpus: int = 1) -> ScoringProcess:
    process = ScoringProcess()
    process.open(job, cpus)
    return process


def test_a_task_writes_whole_parts_and_says_something_after_each_batch(job: Job) -> None:
    files = files_of(job)[1:]
    told, process = list[Done](), opened(job)
    answers = 0
    for done in process.read(files):
        answers, told = answers + 1, told + done
        in_parts = sum(pq.read_metadata(path).num_rows for path in parts_of(job.out))
        assert sum(one.photos for one in told) <= in_parts
    assert answers >= 5  # batches of four; and then the end
    assert [one.photos for one in told if one.photos] == [4, 4, 4, 4, 3]
    assert sum(one.recognised + one.unreached for one in told) == 0
    sizes = sorted(pq.read_metadata(path).num_rows for path in parts_of(job.out))
    rows = rows_in_parts(job)
    assert sizes == [3, 8, 8]
    assert [row["image"] for row in rows] == [file["image"] for file in files]
    assert {row["status"] for row in rows} == {"ok"} and all(row["scores"] for row in rows)


def test_an_actor_scores_as_many_batches_at_once_as_it_has_cpus_and_keeps_their_pixels(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path
) -> None:
    """On a machine with fewer cores than Ray was told of, or with more."""
    job = job_of(folder_of_photos(60), session_bundle, tmp_path / "tags.parquet")
    here, made = tmp_path / "here.parquet", []
    with crew_of(Here):
        tag(job.source, here, session_bundle, OPTIONS)
    with crew_of(Fleeting), locked(job.out):
        for cpus in (1, 9):
            with parts_for(job).begun(restart=True):
                process = opened(job, cpus)
                assert replica_count(process.scorer.result()) == cpus
                scorer = SideBySide([SlowScorer(process.scorer.result())], cpus)
                process.scorer = Future()
                process.scorer.set_result(scorer)
                list(process.read(files_of(job)))
                made.append({row["image"]: row["scores"] for row in rows_in_parts(job)})
                parts_for(job).clear(parts_for(job).whole())
    rows = {row["image"]: row["scores"] for row in pq.read_table(here).to_pylist()}
    for files in made:
        assert files.keys() == rows.keys()
        for image, scores in files.items():
            assert scores == pytest.approx(rows[image], abs=1e-6), image


class Fleeting(Here):
    """Pixels of a batch are gone once so many further ones have been asked for as are held."""

    def __init__(self, source: Source, spec: InputSpec, options: ReadOptions, held: int) -> None:
        super().__init__(source, spec, options)
        self.held = held

    def work(self, plan: Iterator[Any]) -> Iterator[Batch]:
        yielded = deque[np.ndarray]()
        for batch in super().work(plan):
            yielded.append(batch.pixels)
            yield batch
            if len(yielded) >= self.held:
                yielded.popleft()[:] = 0


class SlowScorer:
    """Looks at its pixels when others have been decoded."""

    def __init__(self, scorer: Any) -> None:
        self.scorer, self.device, self.spec = scorer, scorer.device, scorer.spec

    def __call__(self, photos: np.ndarray) -> Any:
        time.sleep(0.2)
        return self.scorer(photos)


def test_a_machine_without_the_share_is_told_from_files_that_went_away(job: Job) -> None:
    root, process = Path(job.source.name), opened(job)
    files = files_of(job)
    seen = {file["image"] for file in job.sample}
    gone = [file for file in files if file["image"] not in seen][:8]
    for file in gone:
        (root / file["image"]).unlink()
    assert sum(one.photos for done in process.read(gone) for one in done) == 8
    rows = rows_in_parts(job)  # a part of nothing else
    assert [row["status"] for row in rows] == ["vanished"] * 8
    root.rename(root.with_name("elsewhere"))
    root.mkdir()
    for ask in (lambda: list(process.read(files)), lambda: opened(job)):
        with pytest.raises(FftagError, match=r"finds none of 5 files, such as 'season-0/FF-0000_1"):
            ask()
    assert rows_in_parts(job) == rows


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"model_id": "0" * 64}, "another model than"),
        ({"fftag_version": "0.0.1"}, "another version of fftag than"),
        ({"settings": {"precision": "int8"}}, "another precision than"),
        ({"settings": {"backend": "openvino", "decoder": "full"}}, "another backend and decoder"),
    ],
)
def test_a_machine_that_would_write_other_rows_is_refused(
    job: Job, change: dict[str, Any], named: str
) -> None:
    settings = {"settings": job.run.settings | change.get("settings", {})}
    with pytest.raises(FftagError, match=named):
        opened(replace(job, run=replace(job.run, **change | settings)))


def test_a_machine_that_does_not_see_the_folder_of_parts_is_refused(job: Job) -> None:
    with pytest.raises(FftagError, match="storage that all machines share"):
        opened(replace(job, out=job.out.with_name("other.parquet")))


def test_an_actor_tells_how_many_of_its_files_could_not_be_reached(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    def batches(source: Source, plan: Any, *rest: Any) -> Generator[Batch]:
        for number, files in plan:
            photos = [PhotoRecord.of_listed(file) for file in files]
            photos[0].fail(Failure("unreadable", "network: no route"))
            yield Batch(number, np.zeros((4, 64, 48, 3), np.uint8), photos)

    process = opened(job)
    monkeypatch.setattr("fftag.tagging.score.batches", batches)
    told = [one for done in process.read(files_of(job)[:8]) for one in done if one.photos]
    assert told == [Done(4, 0, 1, "network: no route")] * 2


@pytest.mark.parametrize(
    ("cpus", "gpus", "size", "count", "each"),
    [
        (16, 0, ActorSize(gpus=0), 1, 16),
        (16, 0, ActorSize(cpus=6, gpus=0), 2, 6),
        (4, 0, ActorSize(cpus=6, gpus=0), 0, 6),
        (0, 0, ActorSize(gpus=0), 0, 0),
        (16, 4, ActorSize(), 4, 4),
        (16, 4, ActorSize(gpus=0.5), 8, 2),
        (16, 4, ActorSize(cpus=6), 2, 6),
        (2, 4, ActorSize(cpus=1), 2, 1),
        (16, 0, ActorSize(), 0, 16),
        (16, 4, ActorSize(gpus=0), 1, 16),
    ],
)
def test_actors_divide_a_machine(
    cpus: int, gpus: int, size: ActorSize, count: int, each: int
) -> None:
    assert Machine("id", "name", cpus, gpus).places(size) == (count, each)


def test_a_part_that_two_machines_wrote_counts_once(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path
) -> None:
    root, out, fresh = aged(folder_of_photos(12)), tmp_path / "t.parquet", tmp_path / "f.parquet"
    options = replace(OPTIONS, workers=1)
    stopped_after_parts(root, out, session_bundle, 1, options)
    (part,) = parts_of(out)
    rows = pq.read_table(part)
    at = rows.schema.get_field_index("tagged_at")
    later = pc.add(rows["tagged_at"], pa.scalar(10**6, pa.duration("us")))
    twin = rows.set_column(at, rows.schema.field(at), later.cast(rows.schema.field(at).type))
    # As whoever was given up may have read a file or two of it later.
    Parts(out, Agreement.of(run_info(str(root), session_bundle, options))).write(twin.slice(0, 6))
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
from fftag.tagging.ray import on_ray
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
    for wrong in (("--address", "auto"), ("--actor-cpus", "2"), ("--engine", "spark")):
        assert fftag("tag", "x", "--out", out, *wrong).returncode == 2
    ended = fftag("tag", "x", "--out", out, "--engine", "ray", "--workers", "2")
    assert ended.returncode == 2 and "--actor-cpus" in ended.stderr


def test_what_does_not_score_imports_no_torch_and_one_machine_no_ray() -> None:
    for module, ray_too in (
        ("fftag.tagging.tag", False),
        ("fftag.cli.tagging", False),
        ("fftag.photos.pool_child", False),
        ("fftag.tagging.ray", True),  # the driver, which scores nothing
    ):
        code = f"import {module}, sys; print('torch' in sys.modules, 'ray' in sys.modules)"
        found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert found.stdout == f"False {ray_too}\n", module


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
        summary = engine.tag(Folder(root), there, session_bundle, OPTIONS)
        assert_same(here, there)
        assert validate(there, Folder(root)).valid and summary.files == 67
        told = [json.loads(pq.read_schema(path).metadata[b"fftag"]) for path in (here, there)]
        assert told[0].pop("run_id") != told[1].pop("run_id")
        assert told[0] == told[1]
        assert not there.with_name("there.parquet.parts").exists()

        for name, fault in poisoned.items():
            afflict(root / name, fault)
        engine.tag(Folder(root), there, session_bundle, replace(OPTIONS, force=True))
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
        assert engine.tag(Folder(root), out, session_bundle, OPTIONS).resumed == 16
        assert_same(out, fresh)
        shard = replace(OPTIONS, selection=Selection(shard=Shard(1, 2)))
        with pytest.raises(FftagError, match="rows of the whole source"):
            engine.tag(Folder(root), out, session_bundle, shard)
        (root / "moved.jpg").write_bytes((root / "season-0/FF-0000_1.jpg").read_bytes())
        (root / "season-0/FF-0000_1.jpg").unlink()
        save_bands(root / "new.jpg", ["red"], 99)
        summary = engine.tag(Folder(root), out, session_bundle, OPTIONS)
    assert (summary.read, summary.recognised) == (2, 1)
    tag(Folder(root), fresh, session_bundle, OPTIONS)
    assert_same(out, fresh)


def test_an_error_on_a_machine_ends_the_run_with_its_line(
    cluster: Any,
    folder_of_photos: Make,
    session_bundle: Bundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root = folder_of_photos(8)
    before = signal.getsignal(signal.SIGTERM)
    with on_ray(cluster.address, ActorSize(cpus=2)) as engine:
        with pytest.raises(FftagError, match="no machine of the cluster has 2 CPUs"):
            engine.tag(Folder(root), tmp_path / "t.parquet", session_bundle, OPTIONS)
        assert signal.getsignal(signal.SIGTERM) == before

    def list_then_move(*arguments: Any) -> Any:
        listing = list_source(*arguments)
        root.rename(tmp_path / "elsewhere")
        root.mkdir()
        return listing

    monkeypatch.setattr("fftag.tagging.tag.list_source", list_then_move)
    with on_ray(cluster.address) as engine:
        with pytest.raises(FftagError, match=r"\(\d.*\): finds none of 8 files"):
            engine.tag(Folder(root), tmp_path / "t.parquet", session_bundle, OPTIONS)
        for device in ("cuda", "cuda:1", "cpu,cpu"):
            with pytest.raises(FftagError, match="cluster"):
                engine.device(device)
    assert not (tmp_path / "t.parquet").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "named"),
    [
        ("without_fftag", "No module named 'fftag'"),
        ("older_fftag", "has another version of fftag than"),
    ],
)
def test_a_machine_that_cannot_do_its_share_is_refused_by_name(
    cluster: Any,
    folder_of_photos: Make,
    session_bundle: Bundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
    named: str,
) -> None:
    out = tmp_path / "t.parquet"
    monkeypatch.setattr(Driver, "_hand_out", lambda driver: None)  # the others would soon be done
    third = cluster.add_node(**SIZE, env_vars={"FAULT_OF_MACHINE": fault})
    try:
        with on_ray(cluster.address) as engine, pytest.raises(FftagError) as told:
            engine.tag(Folder(folder_of_photos(8)), out, session_bundle, OPTIONS)
    finally:
        cluster.remove_node(third)
    assert named in str(told.value) and "\n" not in str(told.value)
    assert third.node_ip_address in str(told.value)
    assert not out.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="processes are read from /proc")
def test_an_interruption_ends_what_hangs_and_leaves_nothing_running(
    cluster: Any, folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path
) -> None:
    root = folder_of_photos(8)
    for path in root.rglob("*.jpg"):
        afflict(path, "hangs")

    def decoding() -> list[int]:
        with suppress(OSError):  # one has ended since
            commands = {one: Path(f"/proc/{one}/cmdline").read_bytes() for one in descendants()}
            return [
                one for one, command in commands.items() if b"fftag.photos.pool_child" in command
            ]
        return decoding()

    def interrupt() -> None:
        while not decoding():
            time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    options = replace(OPTIONS, timeout=3600)
    with on_ray(cluster.address) as engine:
        thread.start()
        with pytest.raises(FftagError, match="interrupted: 0 of 8 files are done"):
            engine.tag(Folder(root), tmp_path / "t.parquet", session_bundle, options)
        thread.join()
        deadline = time.monotonic() + 20
        while decoding():
            assert time.monotonic() < deadline, "it still runs"
            time.sleep(0.1)


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
        published, told = set[str](), list[int]()
        clear, take = Parts.clear, Driver._take

        def noted(parts: Parts, read: Sequence[TagsRows]) -> None:
            published.update(part.path.name for part in read)
            clear(parts, read)

        def taken(driver: Driver, actor: Any) -> Iterator[Done]:
            task = actor.task
            first = task.first if task else 0
            yield from take(driver, actor)
            told.extend(range(first, task.first if task else 0))

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Parts, "clear", noted)
            patch.setattr(Driver, "_take", taken)
            summary = engine.tag(Folder(root), out, session_bundle, OPTIONS)
        thread.join()
        assert len([node for node in ray.nodes() if node["Alive"]]) == 1
    assert len(finished) >= 4 and finished <= published
    assert sorted(told) == list(range(160))  # what was in parts was not given out again
    assert summary.statuses == {"ok": 160}
    assert_same(here, out)


@pytest.mark.slow
def test_a_photo_that_kills_the_process_that_scores_costs_itself_alone(
    cluster: Any, folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path
) -> None:
    root, out = folder_of_photos(24), tmp_path / "out.parquet"
    afflict(root / "season-2/FF-0002_1.jpg", "kills_scorer")
    with on_ray(cluster.address) as engine:
        summary = engine.tag(Folder(root), out, session_bundle, OPTIONS)
    assert summary.statuses == {"ok": 23, "crashed": 1}
    rows = {row["image"]: row for row in pq.read_table(out).to_pylist()}
    assert rows["season-2/FF-0002_1.jpg"]["status"] == "crashed"
    assert validate(out, Folder(root)).valid


@pytest.mark.slow
def test_a_machine_that_joins_takes_its_share(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path
) -> None:
    root, out = folder_of_photos(60), tmp_path / "out.parquet"
    with machines(tmp_path / "faults", count=1) as cluster, on_ray(cluster.address) as engine:
        at_work: set[str] = set()
        hand_out = Driver._hand_out

        def noted(driver: Driver) -> None:
            """After the first part, nothing is given out until another machine is there."""
            idle = {actor.machine.node for actor in driver.actors if actor.asked is None}
            if at_work and len(cluster.list_all_nodes()) == 1:
                cluster.add_node(**SIZE)
            if len(at_work | idle) == 2 or not at_work:
                hand_out(driver)
            at_work.update(actor.machine.node for actor in driver.actors if actor.task)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Driver, "_hand_out", noted)
            summary = engine.tag(Folder(root), out, session_bundle, OPTIONS)
    assert len(at_work) == 2 and summary.statuses == {"ok": 60}


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
        last = subprocess.run(command, capture_output=True, text=True, timeout=200)
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
            engine.tag(Folder(root), out, session_bundle, OPTIONS)
        thread.join()
        assert told.value.exit_code == 130
        summary = engine.tag(Folder(root), out, session_bundle, OPTIONS)
    assert summary.resumed >= 16 and summary.statuses == {"ok": 80}


def memory_of_children() -> int:
    """Bytes that the processes below this one hold, each page once; without files, as libraries
    are, which count for less while others on this computer have them open."""
    total = 0
    for process in descendants():
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
            engine.tag(Folder(tmp_path / "photos"), out, bundle, options)
        finally:
            done.set()
            thread.join()
    # Of 125 parts the second quarter and the last: the pixels of 62 parts, 600 MB, lie between.
    early = [memory for parts, memory in seen if 32 <= parts < 63]
    late = [memory for parts, memory in seen if parts >= 94]
    for level in (statistics.median, max):
        assert level(late) < level(early) + 150 * 2**20
