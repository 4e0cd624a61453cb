"""A Ray cluster: its machines read, score and write parts; this process hands out the files.

Nothing waits for Ray to notice that a machine is lost: it was seen to wait for ever, with 2.60, for
an answer to what it sent there before it knew (it looks like ray-project/ray#63405). So the list of
what is unfinished is held here, and what does not come is given out again. What two machines have
written counts once.
"""

import logging
import math
import os
import signal
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future
from contextlib import chdir, closing, contextmanager
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fftag import __version__
from fftag.base.errors import FftagError, first_line
from fftag.base.progress import say
from fftag.models.devices import Device
from fftag.models.folder import Bundle, load_bundle
from fftag.models.scorers import Scorer
from fftag.photos.decode import Failure
from fftag.photos.record import PhotoRecord
from fftag.photos.sources.archives import Archives
from fftag.photos.sources.base import Source
from fftag.tagging.agreement import Agreement
from fftag.tagging.options import TagOptions, run_info, scorer_for
from fftag.tagging.parts import Parts
from fftag.tagging.plan import Plan
from fftag.tagging.reach import Done
from fftag.tagging.score import write_parts
from fftag.tagging.scored_rows import rows
from fftag.tagging.summary import TagSummary
from fftag.tagging.tag import tag
from fftag.tagging.tags_file import RunInfo

try:
    import ray
    from ray.exceptions import RayError, RayTaskError
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
except ModuleNotFoundError as error:
    raise FftagError("Ray is not installed: pip install 'fftag[ray]'") from error

# Ray reports to nobody, and its own log goes to its files.
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_BACKEND_LOG_LEVEL": "fatal"}
PARTS_OF_A_TASK = 8  # at most: decoding processes are started for each
TASKS_OF_AN_ACTOR = 4  # at least, where there are as many parts: no machine waits long for the last
SAMPLE = 16  # files by which a machine tells whether it sees the source
SECONDS_BETWEEN_LOOKS = 1.0
SECONDS_TO_FETCH = 10.0  # an answer that is there
# How long an actor may say nothing, beside the time that a photo may take. It says something after
# each batch; before the first, processes start, and a network may be compiled.
SECONDS_OF_PATIENCE = 300.0
SILENCES = 3  # of all machines together, each so long, before the run ends
FAILURES = 2  # of a task, before it is halved; of the starts of a machine, before the run ends
SECONDS_AFTER_A_FAILED_START = 30.0  # by then, Ray knows whether the machine is lost
ALIKE = ("device", "backend", "precision", "decoder")
NOTHING = Done(0, 0, 0, "")
KEPT = "finished parts are kept, and the same command goes on"


Files = Callable[[int, int], Sequence[dict[str, Any]]]
"""Those with the numbers `first` to `stop - 1` of all that the run reads."""


@dataclass(frozen=True)
class ActorSize:
    """What of a machine one actor has.

    Attributes:
        cpus: CPUs, as Ray counts them; each decodes, and scores where there is no GPU. None for all
            that the machine has, divided by its GPUs where those score.
        gpus: GPUs, where those score; 0.5 gives each of them two actors, and 0 none.
    """

    cpus: int | None = None
    gpus: float = 1.0


@dataclass(frozen=True)
class Job:
    """What is the same for all files of a run, on every machine.

    Attributes:
        source: where the photos are, by absolute paths.
        model: the model folder.
        out: where the finished tags file goes; parts lie beside it.
        run: what the rows say of the run.
        options: how.
        sample: some of the files, see `fftag.tagging.plan.Plan.batches`.
    """

    source: Source
    model: Path
    out: Path
    run: RunInfo
    options: TagOptions
    sample: Sequence[dict[str, Any]]


# On the machines


class _PartsOfATask(Parts):
    """Parts whose rows are counted; a machine that lost the share writes none."""

    def __init__(self, job: Job) -> None:
        super().__init__(job.out, Agreement.of(job.run))
        self.job, self.rows = job, 0

    def write(self, rows: pa.Table) -> None:
        """See `fftag.tagging.parts.Parts.write`."""
        if pc.all(pc.equal(rows["status"].cast(pa.string()), "vanished")).as_py():
            _check_source(self.job)
        super().write(rows)
        self.rows += len(rows)


def _check_source(job: Job) -> None:
    """Tells a machine without the share from files that went away."""
    with closing(job.source.reader()) as reader:
        for entry in job.sample:
            found = reader.read(entry, job.options.limits.file_bytes)
            if not (isinstance(found, Failure) and found.status == "vanished"):
                return
    if job.sample:
        raise FftagError(
            f"finds none of {len(job.sample):,} files, such as {job.sample[0]['image']!r} of "
            f"{job.source.name}: every machine has to see the source under the same path"
        )


class ScoringProcess:
    """An actor: reads and scores files on its machine, and writes parts."""

    def describe(self, source: str, model: Path, options: TagOptions) -> RunInfo:
        """What a run says of itself that is computed here."""
        return run_info(source, load_bundle(model), options)

    def open(self, job: Job, cpus: int) -> None:
        """Loads the model and looks whether this machine can do its part of the run.

        Args:
            job: which run.
            cpus: how many of this machine's this process has.

        Raises:
            FftagError: the source or the output is not there, fftag or the model or what computes
                it is not the run's, or an extra is not installed.
        """
        bundle = load_bundle(job.model)
        here = run_info(job.run.source, bundle, job.options)
        differing = [name for name in ALIKE if here.settings[name] != job.run.settings[name]]
        differing += ["model"] * (here.model_id != job.run.model_id)
        differing += ["version of fftag"] * (here.fftag_version != job.run.fftag_version)
        if differing:
            raise FftagError(
                f"has another {' and '.join(differing)} than the run: give all machines the same "
                "fftag, the same model folder and the same kind of device, or add --tier exact "
                "--backend torch"
            )
        folder = Parts(job.out, Agreement.of(job.run)).folder
        try:
            folder.stat()
        except OSError as error:
            raise FftagError(
                f"does not see {folder} ({error.strerror}): --out has to be on storage that all "
                "machines share, under the same path"
            ) from error
        _check_source(job)
        at_once = cpus if here.settings["device"] == "cpu" else None
        options = replace(job.options, workers=cpus, at_once=at_once)
        self.job, self.bundle, self.scorer = replace(job, options=options), bundle, Future[Scorer]()
        self.scorer.set_result(scorer_for(bundle, options))

    def read(self, files: Sequence[dict[str, Any]]) -> Iterator[list[Done]]:
        """Reads and scores files, and writes parts of them, as a run on one machine does.

        Args:
            files: see `fftag.tagging.plan.Plan.batches`.

        Yields:
            After each batch, what became of the next of them whose rows are in parts by now.

        Raises:
            FftagError: the source is not to be seen any more, a part cannot be written, or a score
                is not finite.
        """
        job, size, parts = self.job, self.job.options.batch_size, _PartsOfATask(self.job)
        batches = (files[start : start + size] for start in range(0, len(files), size))
        scored = write_parts(
            job.source, batches, self.bundle, self.scorer, job.run, job.options, parts
        )
        told, waiting = 0, deque[Done]()
        for one in chain(scored, [NOTHING]):
            waiting.append(one)
            written = list[Done]()
            while waiting and told + waiting[0].photos <= parts.rows:
                written.append(waiting.popleft())
                told += written[-1].photos
            yield written


# On the driver


@dataclass(frozen=True)
class Machine:
    """One of the cluster: its node's id, its name for people, and what it has."""

    node: str
    name: str
    cpus: int
    gpus: int

    def places(self, size: ActorSize) -> tuple[int, int]:
        """How many actors it takes, and the CPUs of each."""
        alone = self.cpus // (size.cpus or max(1, self.cpus))
        count = int(self.gpus / size.gpus) if size.gpus else alone
        cpus = size.cpus or self.cpus // max(1, count)
        return (min(count, self.cpus // cpus) if cpus else 0), cpus

    def start(self, cpus: int, gpus: float) -> Any:
        """An actor here and nowhere else."""
        here = NodeAffinitySchedulingStrategy(self.node, soft=False)
        actor = ray.remote(ScoringProcess)
        return actor.options(num_cpus=cpus, num_gpus=gpus, scheduling_strategy=here).remote()


def _machines() -> dict[str, Machine]:
    """Those that are there, by their nodes' ids."""
    return {
        node["NodeID"]: Machine(
            node["NodeID"],
            f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})",
            int(node["Resources"].get("CPU", 0)),
            int(node["Resources"].get("GPU", 0)),
        )
        for node in ray.nodes()
        if node["Alive"]
    }


@dataclass
class _Task:
    """Files to read, by their numbers: `first` to `stop - 1` are in no part yet."""

    first: int
    stop: int
    failures: int = 0


@dataclass(eq=False)
class _Actor:
    """An actor; what it was asked, None once it has answered; since when; and its task."""

    machine: Machine
    handle: Any
    asked: Any
    since: float
    task: _Task | None = None


class Driver:
    """Hands out files to the machines that there are, until all are in parts."""

    def __init__(self, job: Job, size: ActorSize, count: int, files: Files) -> None:
        """Starts nothing yet.

        Args:
            job: which run.
            size: what of a machine each actor has.
            count: how many files the run reads.
            files: gives them, see `fftag.tagging.plan.Plan.batches`.
        """
        self.job, self.size, self.files = job, size, files
        self.actors: list[_Actor] = []
        self.failed_starts: Counter[str] = Counter()
        self.not_before: dict[str, float] = {}
        self.looked, self.heard = -math.inf, time.monotonic()
        actors = sum(machine.places(size)[0] for machine in _machines().values())
        batch = job.options.batch_size
        part = max(1, job.options.shard_size // batch) * batch
        parts = math.ceil(count / part) // (max(1, actors) * TASKS_OF_AN_ACTOR)
        rows = part * min(max(1, parts), PARTS_OF_A_TASK)
        starts = range(0, count, rows)
        self.waiting = deque(_Task(first, min(first + rows, count)) for first in starts)

    def run(self) -> Generator[Done]:
        """What became of files whose rows are in parts; of none at least at each look around.

        Raises:
            FftagError: a machine cannot do its part, or nothing comes from any.
        """
        try:
            while self.waiting or any(actor.task for actor in self.actors):
                if time.monotonic() >= self.looked + SECONDS_BETWEEN_LOOKS:
                    yield from self._look_around()
                self._hand_out()
                yield from self._listen()
                yield NOTHING
        finally:
            for actor in self.actors:
                ray.kill(actor.handle)

    def _look_around(self) -> Iterator[Done]:
        """Gives up machines that are lost and actors that are silent; starts actors."""
        self.looked = now = time.monotonic()
        patience = SECONDS_OF_PATIENCE + self.job.options.timeout
        if now - self.heard > SILENCES * patience:
            raise FftagError(f"no machine said anything for {now - self.heard:,.0f} s: {KEPT}")
        machines = _machines()
        for actor in list(self.actors):
            if actor.machine.node not in machines:
                yield from self._failed(actor, "the machine is lost")
            elif actor.asked is not None and now - actor.since > patience:
                yield from self._failed(actor, f"silent for {now - actor.since:,.0f} s", True)
        there = Counter(actor.machine.node for actor in self.actors)
        for node, machine in machines.items():
            count, cpus = machine.places(self.size)
            for _ in range(count - there[node] if now >= self.not_before.get(node, now) else 0):
                handle = machine.start(cpus, self.size.gpus)
                asked = handle.open.remote(self.job, cpus)
                self.actors.append(_Actor(machine, handle, asked, now))

    def _hand_out(self) -> None:
        for actor in self.actors:
            if actor.asked is None and self.waiting:
                task = actor.task = self.waiting.popleft()
                read = actor.handle.read.options(num_returns="streaming")
                files = self.files(task.first, task.stop)
                actor.asked, actor.since = read.remote(files), time.monotonic()

    def _listen(self) -> Iterator[Done]:
        """Takes one answer of each actor that has one; waits a while where none has."""
        asked = {actor.asked: actor for actor in self.actors if actor.asked is not None}
        if not asked:
            time.sleep(SECONDS_BETWEEN_LOOKS)
            return
        ready, _ = ray.wait(list(asked), num_returns=1, timeout=SECONDS_BETWEEN_LOOKS)
        if ready:  # whoever stands last in the list is not to seem silent
            ready, _ = ray.wait(list(asked), num_returns=len(asked), timeout=0)
        for answer in ready:
            yield from self._take(asked[answer])

    def _take(self, actor: _Actor) -> Iterator[Done]:
        """Takes an answer that is there."""
        task = actor.task
        try:
            answer = actor.asked if task is None else next(actor.asked)
            written = ray.get(answer, timeout=SECONDS_TO_FETCH)
        except StopIteration:
            actor.task = actor.asked = None
            return
        except RayError as error:
            # It says no; or fftag itself cannot be imported there.
            if isinstance(error, RayTaskError) or getattr(error, "actor_init_failed", False):
                raise _said(error, actor.machine) from error
            yield from self._failed(actor, first_line(error))
            return
        actor.since = self.heard = time.monotonic()
        if task is None:
            actor.asked = None
            del self.failed_starts[actor.machine.node]
        else:
            task.first += sum(one.photos for one in written)
            yield from written

    def _failed(self, actor: _Actor, why: str, silent: bool = False) -> Iterator[Done]:
        """Gives up an actor; what it was at is given out again, halved, or at last blamed."""
        ray.kill(actor.handle)
        self.actors.remove(actor)
        node, name, task = actor.machine.node, actor.machine.name, actor.task
        if task is None:
            say(f"{name}: {why}")
            self.not_before[node] = time.monotonic() + SECONDS_AFTER_A_FAILED_START
            self.failed_starts[node] += not silent  # others may have its CPUs for a while
            if self.failed_starts[node] > FAILURES:
                raise FftagError(f"{name}: scoring processes do not start ({why}): {KEPT}")
            return
        count = task.stop - task.first
        say(f"{name}: {why}; {count:,} files are given out again")
        task.failures += 1
        if task.failures < FAILURES:
            self.waiting.appendleft(task)
        elif count > 1:
            middle = task.first + count // 2
            self.waiting.extendleft([_Task(middle, task.stop), _Task(task.first, middle)])
        elif silent:  # which does not prove that the photo is to blame
            self.waiting.append(task)
        else:
            yield self._blamed(task.first)

    def _blamed(self, number: int) -> Done:
        """Writes the row of a photo that ends whoever scores it."""
        (file,) = self.files(number, number + 1)
        fault = Failure("crashed", "the process that was to score it died")
        photos = [PhotoRecord.of_listed(file).fail(fault)]
        none = np.zeros((1, len(self.job.run.labels)), np.float32)
        parts = Parts(self.job.out, Agreement.of(self.job.run))
        parts.write(rows(photos, none, self.job.run, [datetime.now(UTC)]))
        return Done.of(photos)


def _said(error: RayError, machine: Machine) -> FftagError:
    """What a machine says, in one line; in full to standard error where it is not fftag's."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, FftagError):
        return FftagError(f"{machine.name}: {cause}", cause.exit_code)
    say(str(error))
    last = str(error).strip().splitlines()[-1]
    return FftagError(f"{machine.name} failed ({last}): {KEPT}")


@contextmanager
def on_ray(address: str | None = None, size: ActorSize = ActorSize()) -> Iterator["Cluster"]:
    """A cluster, connected to until the block is left.

    Args:
        address: of its head, as Ray has it (`auto`, `10.0.0.1:6379`). Without one that of
            RAY_ADDRESS, else a Ray of this machine alone is started.
        size: what of a machine each actor has.

    Raises:
        FftagError: there is no cluster, or it fails.
    """
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    connected = ray.is_initialized()
    if not connected:
        on_sigterm = signal.getsignal(signal.SIGTERM)
        try:
            with chdir(os.sep):  # Ray puts the working folder on the path of every worker
                ray.init(
                    address=address,
                    include_dashboard=False if not address else None,
                    log_to_driver=False,  # what a worker prints is no result
                    logging_level=logging.ERROR,
                )
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise FftagError(
                f"no Ray cluster at {address or os.environ.get('RAY_ADDRESS')} "
                f"({first_line(error)}): start one with `ray start --head`, or leave out --address"
            ) from error
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, on_sigterm)  # Ray puts its own in its place
    try:
        yield Cluster(size)
    except RayError as error:
        say(str(error))
        raise FftagError(
            f"the cluster failed ({type(error).__name__}: {first_line(error)}): {KEPT}"
        ) from error
    finally:
        if not connected:
            ray.shutdown()


class Cluster:
    """The cluster that this process is connected to."""

    def __init__(self, size: ActorSize) -> None:
        self._size = size

    def device(self, name: str) -> Device:
        """The kind of device on which a name, as the user gives it, makes it compute.

        Raises:
            FftagError: devices by number, which Ray gives out itself, or ones that are not there.
        """
        gpus = sum(machine.gpus for machine in _machines().values())
        if name not in ("auto", "cpu", "cuda", "all"):
            raise FftagError(f"--device {name}: a cluster takes auto, cpu or cuda")
        if name in ("cuda", "all") and not gpus:
            raise FftagError("the cluster has no GPU that Ray knows of: take --device cpu")
        return Device("cuda" if gpus and name != "cpu" else "cpu")

    def describe(self, source: str, bundle: Bundle, options: TagOptions) -> RunInfo:
        """What a run says of itself, as a machine that will score computes it.

        Raises:
            FftagError: no machine is large enough, or one has another model or another fftag.
        """
        options, size, model = *self._there(options), bundle.path.absolute()
        fits = (machine for machine in _machines().values() if machine.places(size)[0])
        if (machine := next(fits, None)) is None:
            raise FftagError(
                f"no machine of the cluster has {size.cpus or 1} CPUs and {size.gpus:g} GPUs: "
                "take fewer --actor-cpus or --actor-gpus"
            )
        actor = machine.start(machine.places(size)[1], size.gpus)
        try:
            asked = actor.describe.remote(source, model, options)
            run: RunInfo = ray.get(asked, timeout=SECONDS_OF_PATIENCE)
        except RayError as error:
            raise _said(error, machine) from error
        finally:
            ray.kill(actor)
        if run.model_id != bundle.model_id:
            raise FftagError(f"{machine.name} has another model under {model} than this machine")
        if run.fftag_version != __version__:
            raise FftagError(f"{machine.name} has another version of fftag than this machine")
        return run

    def tag(
        self, source: Source, out: Path, bundle: Bundle, options: TagOptions = TagOptions()
    ) -> TagSummary:
        """See `fftag.tagging.tag.tag`."""
        run = self.describe(source.name, bundle, options)
        return tag(source, out, bundle, options, self.score, run)

    def score(
        self,
        source: Source,
        plan: Plan,
        bundle: Bundle,
        run: RunInfo,
        given: TagOptions,
        parts: Parts,
    ) -> Generator[Done]:
        """Reads and scores what is pending; see `fftag.tagging.score.score_here`."""
        options, size = self._there(given)
        pending = plan.pending

        def files(first: int, stop: int) -> list[dict[str, Any]]:
            return next(plan.batches(pending[first:stop], stop - first))

        spread = np.unique(np.linspace(0, len(pending) - 1, SAMPLE).astype(int))
        sample = next(plan.batches(pending[spread], SAMPLE))
        job = Job(
            source=absolute(source),
            model=bundle.path.absolute(),
            out=parts.out.absolute(),
            run=run,
            options=options,
            sample=[file for file in sample if file["size"] is not None],  # it was there then
        )
        with closing(Driver(job, size, len(pending), files).run()) as done:
            yield from done

    def _there(self, options: TagOptions) -> tuple[TagOptions, ActorSize]:
        """The options and the size as they are for the processes of the cluster."""
        device = self.device(options.device).type
        size = replace(self._size, gpus=0) if device == "cpu" else self._size
        return replace(options, device=device), size


def absolute(source: Source) -> Source:
    """The same source, by paths that do not depend on a process's folder."""
    if isinstance(source, Archives):
        return Archives(os.path.abspath(source.given))  # noqa: PTH100 (it may be a pattern)
    here: Any = source
    paths = {one.name: getattr(here, one.name) for one in fields(here)}
    changed = {name: path.absolute() for name, path in paths.items() if isinstance(path, Path)}
    moved: Source = replace(here, **changed)
    return moved
