"""How to tag, and what that makes of a run: its arithmetic, its scorer, what it says of itself."""

import uuid
from dataclasses import asdict, dataclass, field
from typing import Any

from fftag import __version__
from fftag.base.errors import FftagError
from fftag.models.devices import Device, choose_devices
from fftag.models.folder import Bundle
from fftag.models.scorers import Arithmetic, Scorer, choose_arithmetic, open_scorer, scores_id
from fftag.models.side_by_side import SideBySide, replicas_on
from fftag.photos.image_formats import DECODER_REVISIONS
from fftag.photos.listing import SHARD_SETTING, Selection
from fftag.photos.pool import ReadOptions
from fftag.tagging.agreement import REVISIONS
from fftag.tagging.tags_file import RunInfo, described


@dataclass(frozen=True)
class TagOptions(ReadOptions):
    """How to tag.

    Attributes:
        device: see `fftag.models.devices.choose_devices`.
        tier: see `fftag.models.scorers.choose_arithmetic`.
        backend: see there.
        compiled: whether the network is compiled first, on CUDA.
        at_once: how many batches a device scores at once; None for as many as suit its kind, see
            `fftag.models.side_by_side.replicas_on`.
        shard_size: photos per part file; what an interruption can cost.
        selection: which files of the source.
        restart: throw away what an interrupted run left.
        force: read every file, whatever the run before has of it.
        retry_failed: read unchanged files again that failed before.
        max_failure_rate: publish nothing when a larger share of the files failed.
        max_removal_rate: read nothing when a larger share of the files of the run before is gone.
        keep_previous: what stood at the output stays beside it, until the next run.
    """

    device: str = "auto"
    tier: str = "fast"
    backend: str = "auto"
    compiled: bool = False
    at_once: int | None = None
    shard_size: int = 1024
    selection: Selection = field(default_factory=Selection)
    restart: bool = False
    force: bool = False
    retry_failed: bool = True
    max_failure_rate: float = 0.5
    max_removal_rate: float = 0.5
    keep_previous: bool = True


def arithmetic(options: TagOptions) -> Arithmetic:
    """How scores are computed with these options."""
    return choose_arithmetic(options.tier, options.backend, choose_devices(options.device)[0])


def scorer_for(bundle: Bundle, options: TagOptions) -> Scorer:
    """A model ready to score photos with these options, on each of the devices.

    Raises:
        FftagError: the model cannot be used as asked.
    """
    devices = choose_devices(options.device)
    scorers = [_scorer_on(device, bundle, options) for device in devices]
    if len(devices) == 1 and options.at_once is None:
        return scorers[0]
    return SideBySide(scorers, options.at_once or replicas_on(devices[0]))


def batches_at_once(options: TagOptions) -> int:
    """How many batches the scorer of these options scores at once."""
    devices = choose_devices(options.device)
    return len(devices) * (options.at_once or replicas_on(devices[0]))


def _scorer_on(device: Device, bundle: Bundle, options: TagOptions) -> Scorer:
    if options.compiled and device.type != "cuda":
        raise FftagError("--compile is for CUDA devices: leave it out, or add --device cuda")
    size = options.batch_size if options.compiled else None
    return open_scorer(bundle, arithmetic(options), device, compile_for=size)


def run_info(source: str, bundle: Bundle, options: TagOptions) -> RunInfo:
    """What a run with these options says of itself."""
    chosen = arithmetic(options)
    settings = {
        "device": choose_devices(options.device)[0].type,
        **chosen.to_json(),
        "batch_size": options.batch_size,
        "limits": asdict(options.limits),
        "decoder": "full" if options.exact else "scaled",
        REVISIONS: DECODER_REVISIONS,
        "timeout": options.timeout,
        "worker_memory": options.worker_memory,
    }
    if options.selection.shard is not None:
        settings[SHARD_SETTING] = str(options.selection.shard)
    return info_of(source, bundle, scores_id(bundle, chosen.precision), settings)


def info_of(source: str, bundle: Bundle, scores: str, settings: dict[str, Any]) -> RunInfo:
    """What a new run says of itself, its `settings` given."""
    config = bundle.config
    return RunInfo(
        run_id=uuid.uuid4().hex,
        model_id=bundle.model_id,
        scores_id=scores,
        fftag_version=__version__,
        source=source.encode("utf-8", "backslashreplace").decode(),  # bytes that are none
        **described(config.labels, config.thresholds, config.validation, config.group_thresholds),
        settings=settings,
        screen=bundle.screen.to_json() if bundle.screen else None,
    )
