"""The model folder: safetensors and JSON, described by itself, checked on every load."""

import hashlib
import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from safetensors import SafetensorError, safe_open

from fftag.base.atomic import (
    JSON,
    PNG,
    TEXT,
    Kind,
    begins,
    head_of,
    refuse_other,
    replacing,
    write_text,
)
from fftag.base.errors import FftagError
from fftag.models.labels import Group, LabelSet
from fftag.models.labels import Kind as LabelKind
from fftag.models.screen import FILE as SCREEN
from fftag.models.screen import Screen, load_screen
from fftag.photos.decode import InputSpec, Interpolation, Resize

if TYPE_CHECKING:
    from torch import Tensor

    from fftag.models.architectures.factory import Classifier

FORMAT_VERSION = 2
CONFIG = "config.json"
WEIGHTS = "model.safetensors"
DIGESTS = "SHA256SUMS"
CARD = "README.md"
CURVES = "curves.png"
LOG = "log.jsonl"
INT8_FOLDER = "int8"
INT8_GRAPH = "model.xml"
INT8_CONSTANTS = "model.bin"
INT8_REPORT = "quantization.json"
INT8_FILES = (INT8_REPORT, INT8_GRAPH, INT8_CONSTANTS)
KINDS = {  # of what a folder of something else may have under the same name
    CONFIG: Kind("a model config of fftag", begins(b'{\n "format_version": ')),
    WEIGHTS: Kind("a safetensors file", begins(b"{", at=8)),
    DIGESTS: TEXT,
    CARD: Kind("a model card of fftag", lambda path: b"library_name: fftag\n" in head_of(path)),
    CURVES: PNG,
    LOG: JSON,
}
LARGEST_TEXT = 256 * 2**20  # bytes of config or digests
LARGEST_SIDE = 8192  # pixels of an input
MOST_LABELS = 1_000_000


@dataclass(frozen=True)
class ModelConfig:
    """What `config.json` holds.

    Attributes:
        architecture: a name of `fftag.models.architectures.factory.names()`.
        labels: the label set, in the order of the outputs.
        thresholds: a label of a group of kind `many` is a tag at or above this score; float, one
            per label.
        input: how photos are presented.
        prevalence: share of training photos with each label.
        validation: per label, counts at its threshold on the validation split
            (`tp`, `fp`, `fn`, `tn`).
        recipe: the training recipe as resolved.
        data_fingerprint: of the manifest trained on.
        versions: of Python, torch, torchvision and fftag.
        calibration: how the logits were calibrated (`method`, `slope` and `intercept`, one per
            label); for the record, as the weights of the head already hold it.
        weights_licence: terms of the pretrained weights, where they limit the use.
        network: of an architecture that its name alone does not tell; see
            `fftag.models.architectures.hugging_face.Backbone.to_json`.
        group_thresholds: of each group of kind `one`: its best label is the tag at or above it.
    """

    architecture: str
    labels: LabelSet
    thresholds: tuple[float, ...]
    input: InputSpec
    prevalence: tuple[float, ...]
    validation: tuple[dict[str, int], ...]
    recipe: dict[str, Any]
    data_fingerprint: str
    versions: dict[str, str]
    weights_licence: str | None = None
    calibration: dict[str, list[Any]] | None = None
    network: dict[str, Any] | None = None
    group_thresholds: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        rows = zip(
            self.labels.groups,
            self.labels.names,
            self.labels.parents,
            self.thresholds,
            self.prevalence,
            self.validation,
            strict=True,
        )
        return {
            "format_version": FORMAT_VERSION,
            "architecture": self.architecture,
            "groups": [
                {**asdict(group), "threshold": self.group_thresholds.get(group.name)}
                for group in self.labels.group_set
            ],
            "labels": [
                {
                    "group": group,
                    "name": name,
                    "parent": parent,
                    "threshold": threshold,
                    "prevalence": prevalence,
                    "validation": {**counts, **_rates(counts)},
                }
                for group, name, parent, threshold, prevalence, counts in rows
            ],
            "input": asdict(self.input),
            "calibration": self.calibration,
            "recipe": self.recipe,
            "data_fingerprint": self.data_fingerprint,
            "versions": self.versions,
            "weights_licence": self.weights_licence,
            "network": self.network,
        }

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "ModelConfig":
        labels, groups = content["labels"], content["groups"]
        counted = ("tp", "fp", "fn", "tn")
        spec = content["input"]
        return cls(
            architecture=content["architecture"],
            labels=LabelSet(
                names=tuple(label["name"] for label in labels),
                groups=tuple(label["group"] for label in labels),
                parents=tuple(label["parent"] for label in labels),
                group_set=tuple(Group(one["name"], one["kind"], one["above"]) for one in groups),
            ),
            thresholds=tuple(float(label["threshold"]) for label in labels),
            input=InputSpec(
                **{**spec, "mean": tuple(spec["mean"]), "std": tuple(spec["std"])},
            ),
            prevalence=tuple(float(label["prevalence"]) for label in labels),
            validation=tuple(
                {key: int(label["validation"][key]) for key in counted} for label in labels
            ),
            recipe=content["recipe"],
            data_fingerprint=content["data_fingerprint"],
            versions=content["versions"],
            weights_licence=content["weights_licence"],
            calibration=content["calibration"],
            network=content["network"],
            group_thresholds={
                one["name"]: float(one["threshold"]) for one in groups if one["kind"] == "one"
            },
        )


def _rates(counts: dict[str, int]) -> dict[str, float | int | None]:
    """Support, precision, sensitivity and specificity from the counts; None where undefined."""

    def share(part: int, whole: int) -> float | None:
        return part / whole if whole else None

    tp, fp, fn, tn = (counts[key] for key in ("tp", "fp", "fn", "tn"))
    return {
        "support": tp + fn,
        "precision": share(tp, tp + fp),
        "sensitivity": share(tp, tp + fn),
        "specificity": share(tn, tn + fp),
    }


@dataclass(frozen=True)
class Bundle:
    """A model folder whose digests have been checked; the weights load on `build`.

    Attributes:
        path: the folder.
        model_id: SHA-256 over weights, config and, where there is one, the apparel screen.
        config: what `config.json` says.
        weights_sha256: of the weights, in hex.
        screen: tells apparel from all else; None where the folder has none.
    """

    path: Path
    model_id: str
    config: ModelConfig
    weights_sha256: str
    screen: Screen | None = None

    @property
    def thresholds(self) -> np.ndarray:
        """float32 [labels]."""
        return np.asarray(self.config.thresholds, dtype=np.float32)

    @property
    def scores_id(self) -> str:
        """SHA-256 of what scores depend on: weights, network and input, without thresholds and
        screen."""
        config = self.config
        labels = list(zip(config.labels.groups, config.labels.names, strict=True))
        parts = [config.architecture, labels, asdict(config.input), config.network]
        return hashlib.sha256(json.dumps([self.weights_sha256, *parts]).encode()).hexdigest()

    def build(self) -> "Classifier":
        """The network with its weights, in evaluation mode, on the CPU.

        Raises:
            FftagError: the weights do not fit the config.
        """
        # With torch, which what reads scores can do without.
        from fftag.models.architectures.factory import network_of

        return network_of(self)


def refuse_other_folder(path: Path) -> None:
    """Sees that a model written into a folder takes the place of nothing but a model's files.

    Raises:
        FftagError: a file there is none of fftag's.
    """
    for name, kind in KINDS.items():
        refuse_other(path / name, kind)


def save_bundle(
    path: Path, config: ModelConfig, state: dict[str, "Tensor"], screen: Screen | None = None
) -> Bundle:
    """Writes weights, config, screen and their digests; returns the folder as it is loaded.

    Raises:
        FftagError: it cannot be written, or see `refuse_other_folder`.
    """
    from safetensors.torch import save_file

    refuse_other_folder(path)
    with replacing(path / WEIGHTS) as temporary:
        save_file({key: value.cpu().contiguous() for key, value in state.items()}, temporary)
    write_text(path / CONFIG, json.dumps(config.to_json(), indent=1, ensure_ascii=False) + "\n")
    _write_digests(path, with_screen=False)
    return load_bundle(path) if screen is None else save_screen(path, screen)


def save_screen(path: Path, screen: Screen) -> Bundle:
    """Gives a model folder a screen, in the place of any before; returns the folder, loaded.

    Only the digests make the file a part of the model: cut short, there is none.
    """
    _write_digests(path, with_screen=False)
    screen.save(path / SCREEN)
    _write_digests(path, with_screen=True)
    return load_bundle(path)


def _write_digests(path: Path, with_screen: bool) -> None:
    names = [CONFIG, WEIGHTS, *([SCREEN] if with_screen else [])]
    write_text(path / DIGESTS, "".join(digest_line(path / name) for name in names))


def load_bundle(path: Path) -> Bundle:
    """Opens a model folder.

    Raises:
        FftagError: a file is missing, cannot be read or is not the one that was saved, or the
            format is newer.
    """
    try:
        return _loaded(path)
    except OSError as error:
        raise FftagError(
            f"cannot read {error.filename or path} ({error.strerror}): let this user read the "
            "model folder"
        ) from error


def _loaded(path: Path) -> Bundle:
    for name in (DIGESTS, CONFIG, WEIGHTS):
        if not (path / name).is_file():
            what = "a model folder" if path.is_dir() else "there"
            raise FftagError(
                f"{path} is not {what}: it has no {name}; give a folder that `fftag train` wrote"
            )
    for name in (DIGESTS, CONFIG):
        if (path / name).stat().st_size > LARGEST_TEXT:
            raise FftagError(f"{path / name} is larger than any that `fftag train` writes")
    sums = (path / DIGESTS).read_text(encoding="utf-8", errors="replace")
    screened = f"  {SCREEN}\n" in sums
    if screened and not (path / SCREEN).is_file():
        raise FftagError(
            f"{path} has lost its {SCREEN}: copy the model folder again from where it came"
        )
    lines = {}
    for name in (CONFIG, WEIGHTS, *([SCREEN] if screened else [])):
        lines[name] = digest_line(path / name)
        if lines[name] not in sums:
            raise FftagError(
                f"{path / name} is not the file that was saved: its digest is not the one in "
                f"{DIGESTS}; copy the model folder again from where it came"
            )
    try:
        content = json.loads((path / CONFIG).read_text(encoding="utf-8"))
        beside = content["format_version"] - FORMAT_VERSION
        config = _checked(ModelConfig.from_json(content)) if beside == 0 else None
    except (ValueError, KeyError, TypeError, AttributeError, FftagError) as error:
        raise FftagError(f"{path / CONFIG} is no model config ({error!r})") from error
    if config is None:
        to_do = "a newer fftag: upgrade fftag to use it", "an older fftag: train it anew"
        raise FftagError(f"{path} was written by {to_do[beside < 0]}")
    screen = load_screen(path / SCREEN, _features(path / WEIGHTS)) if screened else None
    weights = lines[WEIGHTS].partition(" ")[0]
    return Bundle(path, hashlib.sha256(sums.encode()).hexdigest(), config, weights, screen)


@dataclass(frozen=True)
class Quantized:
    """An int8 model whose digests have been checked.

    Attributes:
        graph: its OpenVINO graph; the constants lie beside it.
        scores_id: SHA-256 of the files.
        report: how it was made, and how it agrees with the model.
    """

    graph: Path
    scores_id: str
    report: dict[str, Any]


def load_quantized(bundle: Bundle) -> Quantized:
    """The int8 form of a model.

    Raises:
        FftagError: there is none, a file is not the one that was saved, or it is of other weights.
    """
    folder = bundle.path / INT8_FOLDER
    if not (folder / DIGESTS).is_file():
        raise FftagError(
            f"{bundle.path} has no int8 form: make it with `fftag quantize {bundle.path} "
            "--data dataset.parquet`, or use --tier fast"
        )
    sums = (folder / DIGESTS).read_text(encoding="utf-8", errors="replace")
    for name in INT8_FILES:
        if not (folder / name).is_file() or digest_line(folder / name) not in sums:
            raise FftagError(
                f"{folder / name} is not the file that was saved: run `fftag quantize` again"
            )
    report = json.loads((folder / INT8_REPORT).read_text(encoding="utf-8"))
    if report["of"] != bundle.scores_id:
        raise FftagError(f"{folder} is of other weights: run `fftag quantize` again")
    return Quantized(folder / INT8_GRAPH, hashlib.sha256(sums.encode()).hexdigest(), report)


def newest_model(runs: Path) -> Path:
    """The model folder under `runs` that was finished last.

    Raises:
        FftagError: there is none.
    """
    found = sorted(runs.glob(f"*/{DIGESTS}"), key=lambda file: file.stat().st_mtime_ns)
    if not found:
        raise FftagError(f"no model under {runs}/: give --model, or train one with `fftag train`")
    return found[-1].parent


def shapes(file: Path) -> dict[str, tuple[int, ...]]:
    """The shape of each tensor in a safetensors file, from its header."""
    with safe_open(file, "numpy") as tensors:
        return {key: tuple(tensors.get_slice(key).get_shape()) for key in tensors.keys()}  # noqa: SIM118


def _features(file: Path) -> int:
    """How many features the embeddings of a model have, by the weights of its head.

    Raises:
        FftagError: it is no safetensors file, or of no model.
    """
    try:
        return shapes(file)["head.weight"][1]
    except (SafetensorError, KeyError, IndexError) as error:
        raise FftagError(f"{file} holds no weights of a model: {error}") from error


def _checked(config: ModelConfig) -> ModelConfig:
    """A config whose numbers are such that they can be allocated.

    Raises:
        ValueError: they are not.
    """
    spec = config.input
    if not (1 <= spec.height <= LARGEST_SIDE and 1 <= spec.width <= LARGEST_SIDE):
        raise ValueError(f"an input of {spec.height} x {spec.width} pixels")
    known = spec.resize in get_args(Resize) and spec.interpolation in get_args(Interpolation)
    if not known or len(spec.mean) != 3 or len(spec.std) != 3:
        raise ValueError("an input that no photo can be brought to")
    if any(group.kind not in get_args(LabelKind) for group in config.labels.group_set):
        raise ValueError("a group of a kind that there is not")
    if not 1 <= len(config.labels) <= MOST_LABELS:
        raise ValueError(f"{len(config.labels):,} labels")
    if not all(map(math.isfinite, (*config.thresholds, *config.group_thresholds.values()))):
        raise ValueError("a threshold that is no number")
    return config


def digest_line(path: Path) -> str:
    """A line on a file in the form that `sha256sum --check` reads."""
    with path.open("rb") as file:
        return f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {path.name}\n"
