"""What the driver of a cluster does with its list of unfinished files, whatever machines do."""

import math
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest

from fftag.base.errors import FftagError
from fftag.models.folder import Bundle
from fftag.photos.sources.local import Folder
from fftag.tagging.agreement import Agreement
from fftag.tagging.options import TagOptions, run_info
from fftag.tagging.parts import Parts, locked
from fftag.tagging.reach import Done
from fftag.tagging.tag import plan_of

exceptions = pytest.importorskip("ray.exceptions", reason="the extra ray is not installed")
from fftag.tagging import ray as module  # noqa: E402 (it needs Ray)

Make = Callable[[int], Path]
OPTIONS = TagOptions(backend="torch", batch_size=2, shard_size=4, timeout=60)
PATIENCE = module.SECONDS_OF_PATIENCE + OPTIONS.timeout
DIED = exceptions.RayActorError(error_msg="it died")


class Answer:
    """What an actor says to a question, after some seconds; errors are raised."""

    def __init__(self, actor: "Actor", seconds: float, says: Any) -> None:
        self.actor, self.says = actor, says
        self.at = actor.cluster.now + seconds

    def ready(self) -> bool:
        cluster, node = self.actor.cluster, self.actor.node
        return node in cluster.there and node not in cluster.silent and self.at <= cluster.now


class Stream(Answer):
    """Parts of four files; a poisoned photo ends it."""

    def __init__(self, actor: "Actor", images: list[str]) -> None:
        super().__init__(actor, actor.cluster.seconds_of_a_part, None)
        self.answers = self._answers(images)
        if len(actor.cluster.given) <= actor.cluster.mute:
            self.at = math.inf

    def _answers(self, images: list[str]) -> Iterator[Any]:
        for start in range(0, len(images), 4):
            part = images[start : start + 4]
            if self.actor.cluster.poison in part:
                yield DIED
            self.actor.cluster.read.update(part)
            yield [Done(len(part), 0, 0, "")]

    def __next__(self) -> Answer:
        self.at = self.actor.cluster.now + self.actor.cluster.seconds_of_a_part
        return Answer(self.actor, 0, next(self.answers))


class Actor:
    """On one machine; it takes five seconds to start."""

    def __init__(self, cluster: "Machines", node: str) -> None:
        self.cluster, self.node, self.killed = cluster, node, False
        self.open = SimpleNamespace(remote=self._open)
        self.read = SimpleNamespace(options=lambda **_: SimpleNamespace(remote=self._read))

    def _open(self, job: Any, cpus: int) -> Answer:
        return Answer(self, 5, self.cluster.starts_with.get(self.node))

    def _read(self, files: list[dict[str, Any]]) -> Stream:
        images = [file["image"] for file in files]
        first = self.cluster.images.index(images[0])
        assert images == self.cluster.images[first : first + len(images)]
        self.cluster.given.append((self.node, first, first + len(images)))
        return Stream(self, images)


class Machines:
    """Machines of one CPU each, and a clock, in place of Ray.

    Attributes:
        images: the photos of the run, in listing order.
        there: their names.
        silent: those that say nothing any more.
        starts_with: errors of those that cannot start.
        mute: nothing is said of so many tasks, of those given out first.
        poison: the photo that ends whoever scores it.
        events: what happens at a time.
        actors: all that were started.
        given: machine, first and stop of each task that was given out.
        read: how often each photo came into a part.
    """

    def __init__(self, *names: str) -> None:
        self.images: list[str] = []
        self.there, self.silent = set(names), set[str]()
        self.starts_with: dict[str, Exception] = {}
        self.seconds_of_a_part = 1.0
        self.mute, self.poison, self.now = 0, "", 0.0
        self.events: list[tuple[float, Callable[[], Any]]] = []
        self.actors: list[Actor] = []
        self.given: list[tuple[str, int, int]] = []
        self.read: Counter[str] = Counter()

    def start(self, machine: module.Machine, cpus: int, gpus: float) -> Actor:
        self.actors.append(Actor(self, machine.node))
        return self.actors[-1]

    def nodes(self) -> list[dict[str, Any]]:
        same = {"NodeManagerHostname": "host", "Alive": True, "Resources": {"CPU": 1.0}}
        names = sorted(self.there)
        return [same | {"NodeID": name, "NodeManagerAddress": name} for name in names]

    def wait(self, asked: list[Answer], num_returns: int, timeout: float) -> Any:
        if not any(one.ready() for one in asked):
            self.sleep(timeout)
        return [one for one in asked if one.ready()][:num_returns], None

    def get(self, asked: Answer, timeout: float) -> Any:
        if isinstance(asked.says, Exception):
            raise asked.says
        return asked.says

    def kill(self, actor: Actor) -> None:
        actor.killed = True

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        due = [event for event in self.events if event[0] <= self.now]
        self.events = [event for event in self.events if event[0] > self.now]
        for _, happen in due:
            happen()


Run = Callable[[Machines, int], list[dict[str, Any]]]


@pytest.fixture
def run(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Run:
    """Runs a driver on machines until all of so many photos are in parts; returns the rows that
    it wrote itself."""

    def run_on(machines: Machines, count: int) -> list[dict[str, Any]]:
        source, out = Folder(folder_of_photos(count)), tmp_path / "tags.parquet"
        info = run_info(source.name, session_bundle, OPTIONS)
        job = module.Job(source, session_bundle.path, out, info, OPTIONS, ())
        clock = SimpleNamespace(monotonic=lambda: machines.now, sleep=machines.sleep)
        monkeypatch.setattr(module, "time", clock)
        monkeypatch.setattr(module, "ray", machines)
        start = machines.start
        monkeypatch.setattr(module.Machine, "start", lambda *given: start(*given))
        parts = Parts(out, Agreement.of(info))
        with locked(out), parts.begun(restart=True):
            plan = plan_of(source, out, info, parts, OPTIONS)
            machines.images = plan.listing.files["image"].to_pylist()

            def files(first: int, stop: int) -> list[dict[str, Any]]:
                return next(plan.batches(plan.pending[first:stop], count))

            try:
                driver = module.Driver(job, module.ActorSize(gpus=0), count, files)
                done = [one for one in driver.run() if one.photos]
                own = parts.whole()
                rows = [row for part in own for row in pq.read_table(part.path).to_pylist()]
                parts.clear(own)
            finally:
                assert all(actor.killed for actor in machines.actors)
        assert sum(one.photos for one in done) == count and len(done) < 2 * count
        machines.read.update(row["image"] for row in rows)
        assert machines.read == Counter(machines.images)
        return rows

    return run_on


def test_all_machines_work_and_one_that_joins_takes_its_share(run: Run) -> None:
    two = Machines("a", "b")
    two.events = [(8, lambda: two.there.add("c"))]
    assert run(two, 90) == []
    assert Counter(actor.node for actor in two.actors) == Counter("abc")
    shares = Counter[str]()
    for node, first, stop in two.given:
        shares[node] += stop - first
    assert sum(shares.values()) == 90 and min(shares.values()) >= 16


def test_a_machine_that_is_lost_costs_what_it_was_at(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    two = Machines("a", "b")
    two.events = [(11.5, lambda: two.there.remove("b"))]
    run(two, 400)  # in tasks of eight parts, 32 photos
    (again,) = [first for _, first, stop in two.given if (stop - first) % 32 and stop < 400]
    assert again % 4 == 0 and again % 32  # what was in parts by then was not given out again
    said = capsys.readouterr().err
    assert said.startswith("host (b): the machine is lost; ") and said.count("\n") == 1


def test_a_silent_machine_is_given_up_after_a_while_and_not_before(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    two = Machines("a", "b")
    two.events = [(8, lambda: two.silent.add("b")), (8 + PATIENCE - 20, two.silent.clear)]
    run(two, 48)
    assert len(two.actors) == 2 and capsys.readouterr().err == ""
    two = Machines("a", "b")
    two.events = [(8, lambda: two.silent.add("b"))]
    run(two, 48)
    assert PATIENCE < two.now < PATIENCE + 40 and len(two.actors) == 3
    assert "host (b): silent for 36" in capsys.readouterr().err


def test_a_run_ends_when_no_machine_says_anything(run: Run) -> None:
    two = Machines("a", "b")
    two.events = [(8, lambda: two.silent.update("ab"))]
    with pytest.raises(FftagError, match=r"no machine said anything .* the same command goes on"):
        run(two, 48)
    assert module.SILENCES * PATIENCE < two.now < module.SILENCES * PATIENCE + 20
    none = Machines("a")
    none.events = [(8, none.there.clear)]
    with pytest.raises(FftagError, match="no machine said anything"):
        run(none, 48)


def test_a_photo_that_ends_whoever_scores_it_stands_alone_at_last(run: Run) -> None:
    two = Machines("a", "b")
    two.poison = "season-0/FF-0021_1.jpg"
    (row,) = run(two, 60)
    assert (row["image"], row["status"]) == (two.poison, "crashed")
    assert row["error"] == "the process that was to score it died" and row["scores"] is None


def test_silence_puts_no_blame_on_a_photo(run: Run) -> None:
    two = Machines("a", "b")
    two.mute = 3
    assert run(two, 1) == [] and len(two.given) == 4


def test_a_machine_that_says_no_ends_the_run_by_name(run: Run) -> None:
    no = exceptions.RayTaskError("open", "a traceback", FftagError("OpenVINO is not installed", 4))
    two = Machines("a", "b")
    two.starts_with["b"] = no
    with pytest.raises(FftagError, match=r"^host \(b\): OpenVINO is not installed$") as told:
        run(two, 48)
    assert told.value.exit_code == 4
    two = Machines("a", "b")
    missing = "a traceback\nModuleNotFoundError: No module named 'fftag'"
    two.starts_with["b"] = exceptions.RayActorError(error_msg=missing, actor_init_failed=True)
    with pytest.raises(FftagError, match=r"^host \(b\) failed \(ModuleNotFoundError: No module"):
        run(two, 48)


def test_a_machine_on_which_nothing_starts_ends_the_run(run: Run) -> None:
    two = Machines("a", "b")
    two.starts_with["b"] = DIED
    with pytest.raises(FftagError, match=r"host \(b\): scoring processes do not start \(it died\)"):
        run(two, 1000)
    assert Counter(actor.node for actor in two.actors)["b"] == module.FAILURES + 1


def test_a_machine_that_is_busy_with_other_work_is_asked_again_and_ends_nothing(run: Run) -> None:
    two = Machines("a", "b")
    two.seconds_of_a_part, two.silent = 30, {"b"}
    run(two, 200)
    assert two.now > 3 * PATIENCE
    assert Counter(actor.node for actor in two.actors)["b"] > module.FAILURES


def test_a_machine_that_is_lost_while_it_starts_does_not(run: Run) -> None:
    two = Machines("a", "b")
    two.starts_with["b"] = DIED
    two.events = [(20, lambda: two.there.remove("b"))]
    run(two, 400)
