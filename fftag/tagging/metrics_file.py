"""Figures of a run in Prometheus' text form, for the node exporter's textfile collector."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from fftag.base.atomic import Kind, begins, refuse_other, write_bytes
from fftag.base.errors import FAILED, INTERRUPTED, FftagError

if TYPE_CHECKING:
    from fftag.tagging.summary import TagSummary

METRICS = Kind("figures of an fftag run", begins(b"# HELP fftag_tag_"))


@contextmanager
def measured(path: Path | None) -> Iterator[Callable[["TagSummary", int], None]]:
    """Writes how the run in the block ended, whatever its end.

    Args:
        path: the file, conventionally `*.prom`; None writes nothing.

    Yields:
        What takes the summary, and the exit code unless an error is raised after it.

    Raises:
        FftagError: the file cannot be written, or what is there are no figures of a run.
    """
    if path is not None:
        refuse_other(path, METRICS)
    registry = CollectorRegistry()
    code = Gauge("fftag_tag_exit_code", "How the last run ended; 0 is done", registry=registry)
    ended = Gauge("fftag_tag_end_timestamp_seconds", "When it ended", registry=registry)

    def report(summary: "TagSummary", exit_code: int) -> None:
        code.set(exit_code)
        _set(registry, summary)

    try:
        yield report
    except BaseException as error:
        if isinstance(error, FftagError):
            code.set(error.exit_code)
        else:
            code.set(INTERRUPTED if isinstance(error, KeyboardInterrupt) else FAILED)
        raise
    finally:
        ended.set(time.time())
        if path is not None:
            write_bytes(path, generate_latest(registry), METRICS)


def _set(registry: CollectorRegistry, summary: "TagSummary") -> None:
    files = Gauge("fftag_tag_files", "Rows by status", ["status"], registry=registry)
    for status, count in summary.statuses.items():
        files.labels(status).set(count)
    plan = Gauge("fftag_tag_plan_files", "Files by what was done", ["what"], registry=registry)
    for what, count in summary.plan.items():
        plan.labels(what).set(count)
    left_out = Gauge("fftag_tag_left_out", "Seen, not listed", ["reason"], registry=registry)
    for reason, count in summary.left_out.items():
        left_out.labels(reason).set(count)
    figures = {
        "fftag_tag_read_files": ("Files read by the last run", summary.read),
        "fftag_tag_seconds": ("Seconds it read and scored", summary.seconds),
        "fftag_tag_files_per_second": ("Its rate", summary.rate),
    }
    for name, (meaning, value) in figures.items():
        Gauge(name, meaning, registry=registry).set(value)
