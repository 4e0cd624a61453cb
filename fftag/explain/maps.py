"""Why a label was given: heat maps over a photo."""

import io
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from fftag.base.errors import FftagError
from fftag.base.plots import figure, to_png
from fftag.explain.heat import heat
from fftag.models.devices import choose_device
from fftag.models.folder import Bundle
from fftag.models.torch_scorer import Normalise
from fftag.photos.decode import InputSpec, fitted_size
from fftag.photos.listing import escape
from fftag.photos.pool import PoolOnDemand, ReadOptions
from fftag.photos.sources.local import Folder

PICTURE = InputSpec(640, 640, "pad")  # what a photo is shown in
READ = ReadOptions(batch_size=1, workers=1, timeout=20, exact=True)
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
    """A model that can be asked why, of the photos of a folder."""

    def __init__(self, bundle: Bundle, folder: Path, device: str = "auto") -> None:
        """Loads a model.

        Args:
            bundle: the model.
            folder: that photos are below.
            device: see `fftag.models.devices.choose_device`.

        Raises:
            FftagError: the weights do not fit the config, or there is no such device.
        """
        self.bundle = bundle
        self.device = choose_device(device).torch
        self.model = bundle.build().to(self.device)
        self.spec = bundle.config.input
        self._normalise = Normalise(self.spec).to(self.device)
        self._input = PoolOnDemand(Folder(folder), self.spec, READ)
        self._picture = PoolOnDemand(Folder(folder), PICTURE, READ)

    def __call__(self, image: str, labels: Sequence[str] = ()) -> Explained:
        """Explains labels of a photo.

        Args:
            image: path of the photo below the folder, as a listing has it.
            labels: by default its tags, best first, at most four; the best label if it has none.

        Raises:
            FftagError: the photo cannot be read, there is no such label, or networks of this kind
                have no maps.
        """
        names = list(self.bundle.config.labels.names)
        wanted = [_place(label, names) for label in labels]
        size, input_pixels = self._decoded(self._input, image)
        _, picture = self._decoded(self._picture, image)
        pixels = self._normalise(torch.as_tensor(input_pixels[None]).to(self.device))
        with torch.no_grad():
            scores = self.model(pixels).logits[0].float().sigmoid().cpu().numpy()
        wanted = wanted or self._tags(scores)
        left, top, right, bottom = _within(size, PICTURE)
        photo = picture[top:bottom, left:right]
        found = heat(self.model, self.bundle.config.architecture, pixels, wanted)
        return Explained(
            photo,
            {names[place]: float(scores[place]) for place in wanted},
            {
                names[place]: _over_photo(one, size, photo.shape[:2], self.spec)
                for place, one in zip(wanted, found, strict=True)
            },
        )

    def close(self) -> None:
        """Ends the decoding processes."""
        self._input.close()
        self._picture.close()

    def _decoded(self, decode: PoolOnDemand, image: str) -> tuple[tuple[int, int], np.ndarray]:
        """Width and height of a photo as it is stored, and its pixels."""
        ((record, pixels),) = decode([{"image": image, "size": None, "modified_ns": None}])
        if pixels is None:
            raise FftagError(
                f"{image} cannot be explained, as it is {record.status}: {record.error}"
            )
        assert record.width is not None and record.height is not None
        return (record.width, record.height), pixels

    def _tags(self, scores: np.ndarray) -> list[int]:
        order = np.argsort(-scores, kind="stable")
        tags = [int(place) for place in order if scores[place] >= self.bundle.thresholds[place]]
        return tags[:MOST_LABELS] or [int(order[0])]


def heat_maps(bundle: Bundle, photo: Path, labels: Sequence[str]) -> dict[str, bytes]:
    """Label -> the photo with the label's map over it, as a PNG.

    Raises:
        FftagError: see `Explainer`.
    """
    with closing(Explainer(bundle, photo.parent)) as explainer:
        explained = explainer(escape(photo.name), labels)
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


def _place(label: str, names: list[str]) -> int:
    if label in names:
        return names.index(label)
    near = get_close_matches(label, names, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(names[:12])}"
    raise FftagError(f"the model has no label {label!r}: {hint}")


def _within(size: tuple[int, int], spec: InputSpec) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of a photo, width and height, in an input with its padding."""
    width, height = fitted_size(size, spec)
    left, top = round((spec.width - width) / 2), round((spec.height - height) / 2)
    return left, top, left + width, top + height


def _over_photo(
    found: np.ndarray, size: tuple[int, int], shape: tuple[int, ...], spec: InputSpec
) -> np.ndarray:
    """A map over the model's input, float [rows, columns] -> over the photo, without its padding.

    Args:
        found: of any resolution.
        size: width and height of the photo.
        shape: height and width that it is wanted in.
        spec: the input.
    """
    whole = Image.fromarray(found.astype(np.float32))
    whole = whole.resize((spec.width, spec.height), Image.Resampling.BILINEAR)
    cut = whole.crop(_within(size, spec))
    over = np.asarray(cut.resize((shape[1], shape[0]), Image.Resampling.BILINEAR), np.float32)
    most = over.max()
    return over / most if most > 0 else np.zeros_like(over)


def _png(picture: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return buffer.getvalue()
