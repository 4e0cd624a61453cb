"""Why a label was given: heat maps over a photo."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from fftag.bundle import Bundle
from fftag.decode import Failure, InputSpec, Limits, decode, fitted_size
from fftag.errors import FftagError
from fftag.heat import heat
from fftag.plots import figure, to_png
from fftag.predict import Normalise, choose_device

LARGEST = 640  # pixels of the longer side of a picture
MOST_LABELS = 4  # that are explained where none is named
STRONGEST = 0.7  # of the colour over the photo, where the map is 1


@dataclass(frozen=True)
class Explained:
    """A photo, and what in it speaks for its labels.

    Attributes:
        photo: uint8 [height, width, 3], in the photo's own proportions.
        scores: label -> the model's score.
        maps: label -> float32 [height, width] in 0 to 1, over that photo: what speaks for the
            label, 1 where most does; all zero where nothing does.
    """

    photo: np.ndarray
    scores: dict[str, float]
    maps: dict[str, np.ndarray]

    def picture(self, label: str) -> np.ndarray:
        """uint8 [height, width, 3]: the photo with the map of a label over it."""
        import matplotlib as mpl

        strength = self.maps[label][..., None]
        colour = mpl.colormaps["inferno"](self.maps[label])[..., :3] * 255
        share = STRONGEST * strength
        return np.asarray(self.photo * (1 - share) + colour * share, np.uint8)


class Explainer:
    """A model that can be asked why."""

    def __init__(self, bundle: Bundle, device: str = "auto") -> None:
        """Loads a model.

        Args:
            bundle: the model.
            device: see `fftag.predict.choose_device`.

        Raises:
            FftagError: the weights do not fit the config, or there is no such device.
        """
        self.bundle = bundle
        self.device = choose_device(device)
        self.model = bundle.build().to(self.device)
        self.spec = bundle.config.input
        self._normalise = Normalise(self.spec).to(self.device)

    def __call__(self, data: bytes, labels: Sequence[str] = ()) -> Explained:
        """Explains labels of a photo.

        Args:
            data: of its file.
            labels: by default its tags, best first, at most four; the best label if it has none.

        Raises:
            FftagError: the photo cannot be read, there is no such label, or networks of this kind
                have no maps.
        """
        names = list(self.bundle.config.labels.names)
        wanted = [_place(label, names) for label in labels]
        photo = _decoded(data, self.spec)
        pixels = self._normalise(torch.tensor(photo.pixels[None]).to(self.device))
        with torch.no_grad():
            scores = self.model(pixels).logits[0].float().sigmoid().cpu().numpy()
        wanted = wanted or self._tags(scores)
        scale = min(1, LARGEST / max(photo.width, photo.height))
        width, height = max(1, round(photo.width * scale)), max(1, round(photo.height * scale))
        shown = _decoded(data, InputSpec(height, width))
        found = heat(self.model, self.bundle.config.architecture, pixels, wanted)
        return Explained(
            shown.pixels,
            {names[place]: float(scores[place]) for place in wanted},
            {
                names[place]: _over_photo(
                    one, (photo.width, photo.height), (width, height), self.spec
                )
                for place, one in zip(wanted, found, strict=True)
            },
        )

    def _tags(self, scores: np.ndarray) -> list[int]:
        order = np.argsort(-scores, kind="stable")
        tags = [int(place) for place in order if scores[place] >= self.bundle.thresholds[place]]
        return tags[:MOST_LABELS] or [int(order[0])]


def heat_maps(bundle: Bundle, photo: Path, labels: Sequence[str]) -> dict[str, bytes]:
    """Label -> the photo with the label's map over it, as a PNG.

    Raises:
        FftagError: see `Explainer`.
    """
    explained = Explainer(bundle)(read(photo), labels)
    return {label: _png(explained.picture(label)) for label in explained.maps}


def draw(explained: Explained) -> bytes:
    """The photo, and beside it each of its labels with its map, as one PNG."""
    height, width = explained.photo.shape[:2]
    panels = 1 + len(explained.maps)
    drawing = figure(2.6 * panels, 2.6 * height / width + 0.4)
    axes = drawing.subplots(1, panels, squeeze=False)[0]
    pictures = [explained.photo, *(explained.picture(label) for label in explained.maps)]
    titles = ["", *(f"{label} {score:.2f}" for label, score in explained.scores.items())]
    for each, picture, title in zip(axes, pictures, titles, strict=True):
        each.imshow(picture)
        each.set_title(title, loc="left")
        each.set_axis_off()
    return to_png(drawing)


def read(path: Path) -> bytes:
    """The bytes of a photo.

    Raises:
        FftagError: it cannot be read, or is too large.
    """
    try:
        if path.stat().st_size > Limits().file_bytes:
            raise FftagError(f"{path} is larger than any photo that is decoded: make a small copy")
        return path.read_bytes()
    except OSError as error:
        raise FftagError(f"cannot read {path}: {error.strerror}") from error


def _place(label: str, names: list[str]) -> int:
    if label in names:
        return names.index(label)
    near = get_close_matches(label, names, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(names[:12])}"
    raise FftagError(f"the model has no label {label!r}: {hint}")


def _decoded(data: bytes, spec: InputSpec) -> Any:
    photo = decode(data, spec, exact=True)
    if isinstance(photo, Failure):
        raise FftagError(f"the photo cannot be explained, as it is {photo.status}: {photo.error}")
    return photo


def _over_photo(
    found: np.ndarray, photo: tuple[int, int], shown: tuple[int, int], spec: InputSpec
) -> np.ndarray:
    """A map over the model's input, float [rows, columns] -> over the photo, without its padding.

    Args:
        found: of any resolution.
        photo: width and height of the photo.
        shown: width and height that it is wanted in.
        spec: the input.
    """
    whole = Image.fromarray(found.astype(np.float32))
    whole = whole.resize((spec.width, spec.height), Image.Resampling.BILINEAR)
    width, height = fitted_size(photo, spec)
    left, top = round((spec.width - width) / 2), round((spec.height - height) / 2)
    cut = whole.crop((left, top, left + width, top + height))
    over = np.asarray(cut.resize(shown, Image.Resampling.BILINEAR), np.float32)
    most = over.max()
    return over / most if most > 0 else np.zeros_like(over)


def _png(picture: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return buffer.getvalue()
