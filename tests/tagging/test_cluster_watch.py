"""What becomes of a cluster run in which no part comes any more."""

from collections.abc import Generator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from fftag.base.errors import FftagError
from fftag.base.interrupt import Interruption
from fftag.tagging import cluster_watch

# What a data set is watched to do: after so many seconds a row comes, or None, or machines go.
Step = tuple[float, int | str | None]


class Clusters:
    """A cluster of two machines and a clock, in place of Ray; each data set is a list of steps."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *datasets: Sequence[Step]) -> None:
        self.now = 0.0
        self.there = {"a": "one (10.0.0.1)", "b": "two (10.0.0.2)"}
        self.datasets = list(datasets)
        self.begun: list[list[int]] = []
        self.closed = 0
        self.rows: list[int] = []
        monkeypatch.setattr(cluster_watch, "time", SimpleNamespace(monotonic=lambda: self.now))
        monkeypatch.setattr(cluster_watch, "_machines", lambda: dict(self.there))
        monkeypatch.setattr(cluster_watch, "_looks", self.looks)

    def looks(self, steps: Sequence[Step]) -> Generator[dict[str, Any] | None]:
        try:
            for seconds, what in steps:
                self.now += seconds
                if isinstance(what, str):
                    self.there.pop(what)
                else:
                    yield None if what is None else {"part": what}
        finally:
            self.closed += 1

    def begin(self, parts: Sequence[int]) -> Sequence[Step]:
        self.begun.append(list(parts))
        return self.datasets.pop(0)

    def run(self, parts: int, interruption: Interruption | None = None) -> list[int]:
        def missing() -> list[int]:
            return [part for part in range(parts) if part not in self.rows]

        for row in cluster_watch.watched(missing, self.begin, interruption or Interruption()):
            self.rows.append(row["part"])
            self.now += 1000  # what is done with a row is no wait
        return self.rows


def test_parts_that_do_not_come_are_started_again_once_a_machine_is_lost(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stalled = [(20, 2), (5, 0), (0, "b"), (85, None), (10, None), (0, 9)]
    two = Clusters(monkeypatch, stalled, [(89, None), (10, 1), (80, 3)])
    assert two.run(4) == [2, 0, 1, 3]
    assert two.begun == [[0, 1, 2, 3], [1, 3]] and two.closed == 2
    assert capsys.readouterr().err == (
        "lost two (10.0.0.2), and no part comes: 2 are started again\n"
    )


def test_a_long_wait_alone_starts_nothing_again(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = [(10_000, None), (0, 0), (10_000, None), (0, 1)]
    two = Clusters(monkeypatch, slow)
    assert two.run(2) == [0, 1] and two.begun == [[0, 1]]


def test_a_lost_machine_alone_starts_nothing_again(monkeypatch: pytest.MonkeyPatch) -> None:
    two = Clusters(monkeypatch, [(9, 0), (0, "b"), *[(29, None), (1, 1), (50, None), (1, 2)]])
    assert two.run(3) == [0, 1, 2] and two.begun == [[0, 1, 2]]


def test_once_parts_come_again_only_another_loss_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    first = [(1, 0), (0, "b"), (40, None)]
    two = Clusters(monkeypatch, first, [(1, 1), (10_000, None), (0, 2)])
    assert two.run(3) == [0, 1, 2] and two.begun == [[0, 1, 2], [1, 2]]


def test_parts_that_are_started_again_in_vain_end_the_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    never = [(31 * 2**count, None) for count in range(6)]
    two = Clusters(monkeypatch, [(0, "a"), *never], never, never, never)
    with pytest.raises(FftagError, match=r"lost one \(10.0.0.1\).* the same command goes on"):
        two.run(2)
    assert two.begun == [[0, 1]] * (cluster_watch.RESTARTS + 1)
    # 30 s, then 60, 120 and 240: machines that are to come in place of others take a while
    assert two.now == 31 + (31 + 62) + (31 + 62 + 124) + (31 + 62 + 124 + 248)


def test_an_interrupted_run_starts_nothing_again(monkeypatch: pytest.MonkeyPatch) -> None:
    two = Clusters(monkeypatch, [(1, 0), (0, "b"), (40, None)])
    asked = Interruption()
    asked.asked = True
    assert two.run(2, asked) == [0] and two.begun == [[0, 1]] and two.closed == 1
