"""A part's pixels -> scores -> its part file, in an actor of a cluster."""

import socket
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from fftag.base.errors import FftagError
from fftag.models.folder import Bundle, load_bundle
from fftag.models.side_by_side import SideBySide, scored
from fftag.photos.sources.base import NETWORK
from fftag.tagging.cluster_parts import WRITTEN, batches_of
from fftag.tagging.options import TagOptions, run_info, scorer_for
from fftag.tagging.parts import PartStore
from fftag.tagging.scored_rows import ScoredRows
from fftag.tagging.tags_file import RunInfo

ALIKE = ("device", "backend", "precision")


def describe(source: str, model: Path, options: TagOptions) -> RunInfo:
    """What a run says of itself that is computed on a machine like this one."""
    return run_info(source, load_bundle(model), options)


class PartWriter:
    """Scores parts and writes them; see `fftag.tagging.parts`."""

    def __init__(self, model: Path, out: Path, run: RunInfo, options: TagOptions) -> None:
        """Loads the model.

        Args:
            model: its folder.
            out: where the finished tags file goes; parts lie beside it.
            run: what the rows say of the run.
            options: how; on a CPU, one core is this actor's.

        Raises:
            FftagError: the model here, or what computes it, is not the run's.
        """
        bundle = load_bundle(model)
        _check_alike(bundle, run, options)
        scorer = scorer_for(bundle, options)
        self.scorer = SideBySide([scorer], 1) if scorer.device.type == "cpu" else scorer
        self.store = PartStore(out, run.run_id)
        self.run = run
        self.batch_size = options.batch_size

    def __call__(self, table: pa.Table) -> pa.Table:
        """One row of `fftag.tagging.cluster_parts.DECODED` -> one of `WRITTEN`.

        A part that is there already stays: a machine may have written it, and been lost before
        anyone heard of it.

        Raises:
            FftagError: the run is over, the part cannot be written, or a score is not finite.
        """
        self.store.join()
        first, stop = table["first"][0].as_py(), table["stop"][0].as_py()
        if part := self.store.found(first, stop):
            rows = self.store.read(part)
        else:
            rows = self._scored(table)
            self.store.join()
            self.store.write(first, stop, rows)
            part = self.store.finished.pop()
        ok = pc.equal(rows["status"].cast(pa.string()), "ok")
        known = pc.sum(pc.and_(ok, rows["width"].is_null())).as_py() or 0
        errors = rows["error"].filter(pc.starts_with(rows["error"], NETWORK))
        error = errors[-1].as_py() if len(errors) else ""
        written = [first, stop, part.digest, len(rows), known, len(errors), error]
        return pa.Table.from_arrays([pa.array([value]) for value in written], schema=WRITTEN)

    def _scored(self, table: pa.Table) -> pa.Table:
        made = ScoredRows()
        decoded = batches_of(table, self.scorer.spec, self.batch_size)
        for batch, scores in scored(decoded, self.scorer, len(self.run.labels)):
            made.add(batch.photos, scores)
        return made.table(self.run)


def _check_alike(bundle: Bundle, run: RunInfo, options: TagOptions) -> None:
    here = replace(run_info(run.source, bundle, options), run_id=run.run_id)
    differing = [name for name in ALIKE if here.settings[name] != run.settings[name]]
    if here.model_id != run.model_id:
        differing.append("model")
    if differing:
        raise FftagError(
            f"{socket.gethostname()} has another {' and '.join(differing)} than the run: give all "
            "machines the same model folder and the same kind of device, or add --tier exact "
            "--backend torch"
        )
