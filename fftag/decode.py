"""Bytes -> upright RGB pixels at the model's input size, or a coded failure."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from fftag import jpeg
from fftag.colours import WHITE, to_rgb
from fftag.image_formats import ALLOWED, READABLE, format_of, is_cut_short

SALVAGED = "salvaged: "  # begins the note of a photo that was decoded in part
LEAST_SIDE = 160  # pixels that a JPEG is not scaled below: too few make another picture
LEAST_CONTRAST = 2.0  # standard deviation of pixel values, below which nothing was salvaged
ORIENTATION = 0x0112  # EXIF tags
EXIF = 0x8769
TAKEN = 0x9003
END_OF_JPEG = b"\xff\xd9"
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
QUARTER_TURNS = {TURNS[orientation] for orientation in (5, 6, 7, 8)}

# A photo's row says what is wrong with it; Pillow's warnings would say it again, without its name.
warnings.filterwarnings("ignore", module=r"PIL\.")


Resize = Literal["squash", "pad"]
Interpolation = Literal["bilinear", "bicubic", "lanczos"]


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
        interpolation: antialiased, of the resizing.
    """

    height: int
    width: int
    resize: Resize = "squash"
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    interpolation: Interpolation = "bilinear"


@dataclass(frozen=True)
class Limits:
    """What is refused as `too_large` before it can cost memory.

    Attributes:
        file_bytes: largest file read, in bytes.
        pixels: largest photo decoded, in pixels.
        salvage: decode what there is of a truncated photo, and say so in its note, instead of
            refusing it as `truncated`.
    """

    file_bytes: int = 128 * 2**20
    pixels: int = 128_000_000
    salvage: bool = False


@dataclass(frozen=True)
class Photo:
    """A decoded photo.

    Attributes:
        pixels: uint8 [height, width, 3], RGB, upright, at the input size asked for.
        width: of the photo as stored, after EXIF rotation, in pixels.
        height: likewise.
        format: the name of the file format, such as `JPEG`.
        note: what is to be said of a photo that was decoded in part; None of all others.
        taken_at: when it was taken, as its EXIF says, by the clock of the camera; None where that
            is not there.
    """

    pixels: np.ndarray
    width: int
    height: int
    format: str
    note: str | None = None
    taken_at: datetime | None = None


@dataclass(frozen=True)
class Failure:
    """Why there are no pixels.

    Attributes:
        status: one of `fftag.store.STATUSES` other than `ok`.
        error: one line for the reader of the row.
    """

    status: str
    error: str


def decode(
    data: bytes, spec: InputSpec, limits: Limits = Limits(), exact: bool = False
) -> Photo | Failure:
    """Decodes one photo; whatever the bytes are, it returns and never raises.

    Args:
        data: the file.
        spec: the input size.
        limits: what is refused.
        exact: decode a JPEG at its full size before it is made small. Otherwise its cosine
            transform already makes it smaller, to no less than the input size: pixels then differ
            by a grey level or two on average, in a fraction of the time.
    """
    if not data:
        return Failure("unreadable", "the file is empty")
    if len(data) > limits.file_bytes:
        return Failure("too_large", f"{len(data):,} bytes (limit {limits.file_bytes:,})")
    result = _decode(data, spec, limits, exact)
    if limits.salvage and isinstance(result, Failure) and result.status == "truncated":
        return _salvage(data, spec, limits, result)
    return result


def _decode(data: bytes, spec: InputSpec, limits: Limits, exact: bool) -> Photo | Failure:
    try:
        with (
            _bombs_up_to(limits.pixels),
            Image.open(io.BytesIO(data), formats=READABLE) as image,
        ):
            width, height = image.size
            if width * height > limits.pixels:
                return Failure("too_large", f"{width} x {height} pixels (limit {limits.pixels:,})")
            kind = "JPEG" if image.format == "MPO" else str(image.format)
            if kind == "JPEG" and not ImageFile.LOAD_TRUNCATED_IMAGES:
                decoded = _jpeg(data, image, spec, exact)
                if decoded is not None:
                    return decoded
            image.load()
            photo, taken = to_rgb(upright(image)), taken_at(image)
        return Photo(fit(photo, spec), *photo.size, kind, taken_at=taken)
    except UnidentifiedImageError:
        return _unidentified(data)
    except Image.DecompressionBombError as error:
        return Failure("too_large", _one_line(error))
    except MemoryError:
        return Failure("too_large", "decoding it takes more memory than is allowed")
    except Exception as error:
        # Decoders raise OSError, ValueError, SyntaxError, struct.error and more on damaged files;
        # each means the same to the catalogue: this file cannot be read.
        message = _one_line(error)
        ends_early = "truncated" in message.lower() or is_cut_short(data)
        return Failure("truncated" if ends_early else "unreadable", message)


def plain_jpeg(data: bytes, limits: Limits = Limits()) -> dict[str, Any] | None:
    """What the header of a JPEG says, of one that every decoder reads alike.

    Such a file ends with the picture, in grey or RGB, and is within the limits. Its pixels may yet
    be damaged: decoders differ in what they make of that.

    Returns:
        `width` and `height` of the photo as it is to be seen, in pixels; `format`; `taken_at`.
        None for every other file: `decode` says what it is.
    """
    if len(data) > limits.file_bytes or not data.endswith(END_OF_JPEG):
        return None
    try:
        with (
            _bombs_up_to(limits.pixels),
            Image.open(io.BytesIO(data), formats=["JPEG"]) as image,
        ):
            width, height = image.size[::-1] if _turn(image) in QUARTER_TURNS else image.size
            plain = image.format == "JPEG" and image.mode in jpeg.MODES
            # Pillow looks for the orientation in XMP as well, others in EXIF alone.
            exif = Image.Exif()
            exif.load(image.info.get("exif", b""))
            plain = plain and _turn(image) == _turn_for(exif.get(ORIENTATION))
            if not plain or width * height > limits.pixels:
                return None
            facts = {"width": width, "height": height, "format": "JPEG"}
            return facts | {"taken_at": taken_at(image)}
    except Exception:
        # Damaged headers raise as much as damaged pixels do.
        return None


def _jpeg(data: bytes, image: Image.Image, spec: InputSpec, exact: bool) -> Photo | None:
    """A JPEG whose header Pillow has read, decoded by libjpeg-turbo; None where that cannot."""
    turn = _turn(image)
    turned = image.size[::-1] if turn in QUARTER_TURNS else image.size
    size = fitted_size(turned, spec)
    least = max(size[0], LEAST_SIDE), max(size[1], LEAST_SIDE)
    decoded = jpeg.decoded(
        data, image.mode, None if exact else least[::-1] if turn in QUARTER_TURNS else least
    )
    if decoded is None:
        return None
    photo = to_rgb(decoded if turn is None else decoded.transpose(turn))
    return Photo(fit(photo, spec, size), *turned, "JPEG", taken_at=taken_at(image))


def _unidentified(data: bytes) -> Failure:
    announced = format_of(data)
    if announced is None:
        return Failure("unsupported", f"not an image of a known format ({', '.join(ALLOWED)})")
    if announced not in READABLE:
        return Failure("unsupported", f"{announced}, which the Pillow installed cannot read")
    if is_cut_short(data):
        return Failure("truncated", "the file ends in the image header")
    return Failure("unreadable", "the image header is damaged")


def _salvage(data: bytes, spec: InputSpec, limits: Limits, truncated: Failure) -> Photo | Failure:
    """What there is of a truncated photo; the failure where that shows nothing."""
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    try:
        result = _decode(data, spec, limits, exact=True)
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = False
    if isinstance(result, Failure) or result.pixels.std(axis=(0, 1)).max() < LEAST_CONTRAST:
        return truncated
    return replace(result, note=f"{SALVAGED}{truncated.error}")


@contextmanager
def _bombs_up_to(pixels: int) -> Iterator[None]:
    """Lets Pillow refuse at the limit given, not at its own."""
    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = pixels
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def upright(image: Image.Image) -> Image.Image:
    """A loaded image, turned as its EXIF orientation says that it is to be seen."""
    turn = _turn(image)
    return image if turn is None else image.transpose(turn)


def _turn(image: Image.Image) -> Image.Transpose | None:
    try:
        orientation = image.getexif().get(ORIENTATION)
    except Exception:
        # Damaged metadata raises as much as damaged pixels do; the picture is as stored then.
        return None
    return _turn_for(orientation)


def _turn_for(orientation: object) -> Image.Transpose | None:
    return TURNS.get(orientation) if isinstance(orientation, int) else None


def taken_at(image: Image.Image) -> datetime | None:
    """When a photo was taken, as its EXIF says; None where it does not, or says no moment."""
    try:
        exif = image.getexif()
        text = exif.get_ifd(EXIF).get(TAKEN) if exif else None
        moment = datetime.strptime(str(text).strip("\0 "), "%Y:%m:%d %H:%M:%S") if text else None
    except Exception:
        # Damaged metadata raises as much as damaged pixels do.
        return None
    return moment


def fitted_size(size: tuple[int, int], spec: InputSpec) -> tuple[int, int]:
    """Width and height that a photo of a size is brought to, in pixels, without its padding."""
    if spec.resize == "squash":
        return spec.width, spec.height
    scale = min(spec.width / size[0], spec.height / size[1])
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def fit(image: Image.Image, spec: InputSpec, size: tuple[int, int] | None = None) -> np.ndarray:
    """The one evaluation transform: uint8 [spec.height, spec.width, 3], antialiased.

    Args:
        image: RGB, upright.
        spec: the input size.
        size: to bring it to, where the image itself is no longer of the photo's proportions.
    """
    width, height = size or fitted_size(image.size, spec)
    fitted = image.resize((width, height), Image.Resampling[spec.interpolation.upper()])
    if (width, height) == (spec.width, spec.height):
        return np.asarray(fitted)
    canvas = Image.new("RGB", (spec.width, spec.height), WHITE)
    canvas.paste(fitted, (round((spec.width - width) / 2), round((spec.height - height) / 2)))
    return np.asarray(canvas)


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:300] if text else type(error).__name__
