"""Bytes -> upright RGB pixels at the model's input size, or a coded failure."""

import io
import warnings
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF")
SIGNATURES = (b"\xff\xd8", b"\x89PNG", b"RIFF", b"GIF8", b"II*\0", b"MM\0*", b"BM", b"\0\0\0")
WHITE = (255, 255, 255)

# A photo's row says what is wrong with it; Pillow's warnings would say it again, without its name.
warnings.filterwarnings("ignore", module=r"PIL\.")


@dataclass(frozen=True)
class InputSpec:
    """How a photo is presented to a model. The whole photo is always kept.

    Attributes:
        height: input height in pixels.
        width: input width in pixels.
        resize: `squash` stretches the photo to the input size; `pad` keeps its proportions and
            fills up with white.
        mean: per-channel mean (RGB, of values in 0..1) that is subtracted on the device.
        std: per-channel standard deviation that is divided by on the device.
    """

    height: int
    width: int
    resize: Literal["squash", "pad"] = "squash"
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Limits:
    """What is refused as `too_large` before it can cost memory.

    Attributes:
        file_bytes: largest file read, in bytes.
        pixels: largest photo decoded, in pixels.
    """

    file_bytes: int = 128 * 2**20
    pixels: int = 128_000_000


@dataclass(frozen=True)
class Photo:
    """A decoded photo.

    Attributes:
        pixels: uint8 [height, width, 3], RGB, upright, at the input size asked for.
        width: of the photo as stored, after EXIF rotation, in pixels.
        height: likewise.
        format: the name of the file format, such as `JPEG`.
        note: what is to be said of a photo that was decoded in part; None of all others.
    """

    pixels: np.ndarray
    width: int
    height: int
    format: str
    note: str | None = None


@dataclass(frozen=True)
class Failure:
    """Why there are no pixels.

    Attributes:
        status: one of `fftag.store.STATUSES` other than `ok`.
        error: one line for the reader of the row.
    """

    status: str
    error: str


def decode(data: bytes, spec: InputSpec, limits: Limits = Limits()) -> Photo | Failure:
    """Decodes one photo; whatever the bytes are, it returns and never raises."""
    if not data:
        return Failure("unreadable", "the file is empty")
    if len(data) > limits.file_bytes:
        return Failure("too_large", f"{len(data):,} bytes (limit {limits.file_bytes:,})")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            width, height = image.size
            if width * height > limits.pixels:
                return Failure("too_large", f"{width} x {height} pixels (limit {limits.pixels:,})")
            kind = "JPEG" if image.format == "MPO" else str(image.format)
            upright = to_rgb(ImageOps.exif_transpose(image))
    except UnidentifiedImageError:
        if data.startswith(SIGNATURES):
            return Failure("unreadable", "the image header is damaged")
        return Failure("unsupported", f"not an image of a known format ({', '.join(FORMATS)})")
    except Image.DecompressionBombError as error:
        return Failure("too_large", _one_line(error))
    except Exception as error:
        # Decoders raise OSError, ValueError, SyntaxError, struct.error and more on damaged files;
        # each means the same to the catalogue: this file cannot be read.
        message = _one_line(error)
        return Failure("truncated" if "truncated" in message.lower() else "unreadable", message)
    return Photo(fit(upright, spec), *upright.size, kind)


def to_rgb(image: Image.Image) -> Image.Image:
    """Any Pillow image as RGB: alpha flattened on white, 16-bit grey scaled to 8."""
    if image.mode.startswith("I;16"):
        grey = np.asarray(image, dtype=np.uint16)
        return Image.fromarray((grey // 257).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, (*WHITE, 255)), layer).convert(
            "RGB"
        )
    return image.convert("RGB")


def fit(image: Image.Image, spec: InputSpec) -> np.ndarray:
    """The one evaluation transform: uint8 [spec.height, spec.width, 3], antialiased bilinear."""
    if spec.resize == "pad":
        size = (spec.width, spec.height)
        fitted = ImageOps.pad(image, size, Image.Resampling.BILINEAR, color=WHITE)
    else:
        fitted = image.resize((spec.width, spec.height), Image.Resampling.BILINEAR)
    return np.asarray(fitted)


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:300] if text else type(error).__name__
