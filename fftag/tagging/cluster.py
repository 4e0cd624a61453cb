"""A Ray cluster as an engine: CPUs decode, predictors score and write parts, this process joins."""

import logging
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import chdir, closing, contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from fftag.base.errors import INTERRUPTED, FftagError, first_line
from fftag.base.interrupt import deferred
from fftag.base.progress import progress, say
from fftag.models.devices import Device
from fftag.models.folder import Bundle
from fftag.photos.pool import ReadOptions
from fftag.photos.sources.archives import Archives
from fftag.photos.sources.base import Source
from fftag.tagging.cluster_decode import decode_part
from fftag.tagging.cluster_parts import files_of, ranges
from fftag.tagging.cluster_predict import PartWriter, describe
from fftag.tagging.cluster_watch import KEPT, raised_by_us, watched
from fftag.tagging.options import TagOptions
from fftag.tagging.parts import Part
from fftag.tagging.tags_file import RunInfo
from fftag.tagging.work import Reach, Work

# Of a core, where predictors compute on CPUs too. Together they leave room for the predictors of
# machines that are lost: those go to the ones that are left, which still have to decode.
CPUS_OF_A_PREDICTOR = 0.25
CPUS_OF_A_DECODER = 0.5
# Ray reports to nobody, and its own log goes to its files.
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_BACKEND_LOG_LEVEL": "fatal"}
PARTS_WAITING = 2  # of each predictor: one is scored while the next one comes


@contextmanager
def on_ray(address: str | None = None, predictors: int | None = None) -> Iterator["Cluster"]:
    """A cluster, connected to until the block is left.

    Args:
        address: of its head, as Ray has it (`auto`, `10.0.0.1:6379`). Without one that of
            RAY_ADDRESS, else a Ray of this machine alone is started.
        predictors: how many; by default one for each GPU, or without GPUs for each CPU.

    Raises:
        FftagError: Ray is not installed, or there is no cluster.
    """
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ModuleNotFoundError as error:
        raise FftagError("Ray is not installed: pip install 'fftag[ray]'") from error
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
            first = first_line(error)
            raise FftagError(
                f"no Ray cluster at {address or os.environ.get('RAY_ADDRESS')} ({first}): start "
                "one with `ray start --head`, or leave out --address"
            ) from error
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, on_sigterm)  # Ray puts its own in its place
    try:
        yield Cluster(predictors)
    finally:
        if not connected:
            ray.shutdown()


class Cluster:
    """The cluster that this process is connected to: see `fftag.tagging.work.Engine`."""

    def __init__(self, predictors: int | None = None) -> None:
        self._predictors = predictors

    def device(self, name: str) -> Device:
        """See `fftag.tagging.work.Engine`.

        Raises:
            FftagError: devices by number, which Ray gives out itself, or ones that are not there.
        """
        gpus = _count("GPU")
        if name not in ("auto", "cpu", "cuda", "all"):
            raise FftagError(f"--device {name}: a cluster takes auto, cpu or cuda")
        if name in ("cuda", "all") and not gpus:
            raise FftagError("the cluster has no GPU that Ray knows of: take --device cpu")
        return Device("cuda" if gpus and name != "cpu" else "cpu")

    def describe(self, source: str, bundle: Bundle, options: TagOptions) -> RunInfo:
        """See `fftag.tagging.work.Engine`; a machine that will score is asked."""
        import ray

        there = self._there(options)
        task = ray.remote(describe).options(**_needs(there))
        model = bundle.path.absolute()
        run: RunInfo = _answer(lambda: ray.get(task.remote(source, model, there)))
        if run.model_id != bundle.model_id:
            raise FftagError(f"the cluster has another model under {model} than this machine")
        return run

    def read(self, work: Work) -> None:
        """See `fftag.tagging.work.Engine`."""
        if not work.batches:
            return
        total, reach = work.to_do, Reach()
        options = self._there(work.options)
        self._check_predictors(options)

        def missing() -> list[tuple[int, int]]:
            return list(ranges(work.missing(), work.batches_per_part))

        def begin(parts: Sequence[tuple[int, int]]) -> Any:
            return self._written(work, options, parts)

        with (
            progress(total, "tagging", "photo", initial=work.plan.resumed) as bar,
            deferred() as interruption,
            closing(watched(missing, begin, interruption)) as written,
        ):
            while (row := _answer(lambda: next(written, None))) is not None:
                run = work.run.run_id[:8]
                work.store.finished.append(Part(run, row["first"], row["stop"], row["digest"]))
                work.summary.recognised += row["recognised"]
                bar.update(row["photos"])
                reach.note(row["photos"], row["unreached"], row["error"])
                if interruption.asked:
                    break
                if reach.lost and bar.n < total:
                    raise reach.refusal(work.source.name, bar.n, total)
            if interruption.asked and bar.n < total:
                raise FftagError(
                    f"interrupted: {bar.n:,} of {total:,} files are done and kept; the same "
                    "command goes on",
                    INTERRUPTED,
                )

    def _written(self, work: Work, options: TagOptions, parts: Sequence[tuple[int, int]]) -> Any:
        """The data set of what became of each part; nothing is done before it is iterated over."""
        import ray.data as data

        context = data.DataContext.get_current()
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        context.raise_original_map_exception = True  # wrapped, it would come as text only
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        most = _most_predictors(options)
        predictors = min(len(parts), self._predictors or most, most)
        decode: Any = decode_part
        return (
            data.from_arrow([files_of(work, *place) for place in parts])
            .map_batches(
                decode,
                batch_size=1,
                batch_format="pyarrow",
                fn_kwargs={
                    "source": absolute(work.source),
                    "spec": work.bundle.config.input,
                    "options": _reading(options),
                },
                num_cpus=CPUS_OF_A_DECODER if options.device == "cpu" else 1,
            )
            .map_batches(
                PartWriter,
                batch_size=1,
                batch_format="pyarrow",
                fn_constructor_kwargs={
                    "model": work.bundle.path.absolute(),
                    "out": work.store.out.absolute(),
                    "run": work.run,
                    "options": options,
                },
                compute=data.ActorPoolStrategy(
                    size=predictors, max_tasks_in_flight_per_actor=PARTS_WAITING
                ),
                **_needs(options),
            )
        )

    def _there(self, options: TagOptions) -> TagOptions:
        """The options as they are for each process of the cluster."""
        device = self.device(options.device).type
        return replace(options, device=device, workers=1)

    def _check_predictors(self, options: TagOptions) -> None:
        most = _most_predictors(options)
        if self._predictors is not None and self._predictors > most:
            raise FftagError(
                f"{self._predictors} predictors would leave nothing to decode with: --predictors "
                f"takes at most {most}, as many as the cluster has {options.device.upper()}s"
            )


def _count(kind: str) -> int:
    """How many CPUs or GPUs the machines have that are there now."""
    import ray

    return int(ray.cluster_resources().get(kind, 0))


def _most_predictors(options: TagOptions) -> int:
    return max(1, _count("CPU" if options.device == "cpu" else "GPU"))


def _needs(options: TagOptions) -> dict[str, Any]:
    """What a predictor takes of a machine."""
    import ray

    if options.device != "cpu":
        return {"num_gpus": 1, "num_cpus": 0}
    # Ray fills one machine after the other, each up to a half of what it has of anything. A
    # predictor asks for so much memory that this is reached with one for each of its CPUs.
    shares = [
        int(machine["Resources"].get("memory", 0) // (2 * machine["Resources"]["CPU"]))
        for machine in ray.nodes()
        if machine["Alive"] and machine["Resources"].get("CPU")
    ]
    return {"num_cpus": CPUS_OF_A_PREDICTOR, "memory": min(shares, default=0)}


def absolute(source: Source) -> Source:
    """The same source, by paths that do not depend on a process's folder."""
    if isinstance(source, Archives):
        return Archives(os.path.abspath(source.given))  # noqa: PTH100 (it may be a pattern)
    here: Any = source
    paths = {one.name: getattr(here, one.name) for one in fields(here)}
    changed = {name: path.absolute() for name, path in paths.items() if isinstance(path, Path)}
    moved: Source = replace(here, **changed)
    return moved


def _reading(options: TagOptions) -> ReadOptions:
    """Only how files are read: a process that decodes has no need of torch."""
    return ReadOptions(**{one.name: getattr(options, one.name) for one in fields(ReadOptions)})


def _answer(ask: Any) -> Any:
    """What the cluster answers.

    Raises:
        FftagError: one of its processes did, or the cluster failed.
    """
    from ray.exceptions import RayError

    try:
        return ask()
    except FftagError:
        raise
    except Exception as error:
        if ours := raised_by_us(error):
            raise ours from error
        if not isinstance(error, RayError):
            raise
        say(str(error))
        cause = getattr(error, "cause", None) or error
        first = next(iter(str(cause).strip().splitlines()), "")
        raise FftagError(f"the cluster failed ({type(cause).__name__}: {first}): {KEPT}") from error
