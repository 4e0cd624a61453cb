"""Bytes -> upright RGB pixels at the model's input size, or a coded failure."""

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

import numpy as np
import simplejpeg
from PIL import Image, ImageCms, ImageFile, UnidentifiedImageError

from fftag.photos.image_formats import (
    Picture,
    UnsupportedError,
    is_cut_short,
    picture_of,
    without_avif_metadata,
)

SALVAGED = "salvaged: "  # begins the note of a photo that was decoded in part
LEAST_SIDE = 160  # pixels that a JPEG is not scaled below: too few make another picture
WHITE = (255, 255, 255)
SIXTEEN_BIT_MAX = 65_535
CUT_SHORT = "premature end"  # libjpeg-turbo's own words, in upper or lower case
JPEG_COLOURS = {1: "GRAY", 3: "RGB"}  # by the number of components
LEAST_CONTRAST = 2.0  # standard deviation of pixel values, below which nothing was salvaged
ORIENTATION = 0x0112  # EXIF tags
EXIF = 0x8769
TAKEN = 0x9003
ORIENTATION_IN_XMP = re.compile(rb'tiff:Orientation(?:="|>)([1-8])')
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
        status: one of `fftag.tagging.tags_file.STATUSES` other than `ok`.
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
        picture = picture_of(data)
        if picture.components in JPEG_COLOURS and not ImageFile.LOAD_TRUNCATED_IMAGES:
            _check_size(picture.size, limits)
            decoded = _jpeg(picture, spec, exact)
            if decoded is not None:
                return decoded
        with _bombs_up_to(limits.pixels), _opened(picture) as image:
            _check_size(image.size, limits)
            about = _About(picture.exif or image.info.get("exif", b""), picture.xmp)
            photo = about.upright(_loaded(image, picture))
        return Photo(fit(photo, spec), *photo.size, picture.format, taken_at=about.taken_at)
    except UnsupportedError as error:
        return Failure("unsupported", str(error))
    except (TooLargeError, Image.DecompressionBombError) as error:
        return Failure("too_large", str(error))
    except MemoryError:
        return Failure("too_large", "decoding it takes more memory than is allowed")
    except CutShortError as error:
        return Failure("truncated", str(error))
    except Exception as error:
        # Decoders raise OSError, ValueError, SyntaxError, struct.error and more on damaged files;
        # each means the same to the catalogue: this file cannot be read.
        if is_cut_short(data):
            return Failure("truncated", "the file ends before its picture does")
        if isinstance(error, UnidentifiedImageError):
            return Failure("unreadable", "the image header is damaged")
        return Failure("unreadable", _one_line(error))


class CutShortError(Exception):
    """The data end before the picture does, even if the file was closed with an end mark."""


class TooLargeError(Exception):
    """More pixels than are decoded."""


def _check_size(size: tuple[int, int], limits: Limits) -> None:
    width, height = size
    if width * height > limits.pixels:
        raise TooLargeError(f"{width} x {height} pixels (limit {limits.pixels:,})")


def _opened(picture: Picture) -> ImageFile.ImageFile:
    formats = (picture.format,)
    try:
        return Image.open(io.BytesIO(picture.data), formats=formats)
    except Exception:
        if picture.format != "AVIF":
            raise
        return Image.open(io.BytesIO(without_avif_metadata(picture.data)), formats=formats)


def _loaded(image: ImageFile.ImageFile, picture: Picture) -> Image.Image:
    """The whole of an opened image, as RGB."""
    if picture.format != "GIF":
        image.load()
        return to_rgb(image, picture.transparent)
    box = image.tile[0].extents  # of its first picture, which may be smaller than its canvas
    canvas = Image.new("RGB", image.size, WHITE)
    image.load()
    canvas.paste(to_rgb(image).crop(box), box)
    return canvas


def _jpeg(picture: Picture, spec: InputSpec, exact: bool) -> Photo | None:
    """A JPEG decoded straight to about its size; None where that cannot be."""
    about = _About(picture.exif, picture.xmp)
    turned = about.turned(picture.size)
    size = fitted_size(turned, spec)
    least = max(size[0], LEAST_SIDE), max(size[1], LEAST_SIDE)
    least_stored = None if exact else about.turned(least)
    decoded = _decoded_jpeg(picture.data, picture.components, least_stored)
    if decoded is None:
        return None
    photo = about.upright(to_rgb(decoded))
    return Photo(fit(photo, spec, size), *turned, "JPEG", taken_at=about.taken_at)


def _decoded_jpeg(
    data: bytes, components: int, least: tuple[int, int] | None
) -> Image.Image | None:
    """A JPEG by libjpeg-turbo, scaled by 1/8 to 7/8 in its cosine transform.

    The low frequencies alone give a picture of a fraction of the size, without aliasing, in a
    fraction of the time.

    Args:
        data: the file, of one of the kinds that `fftag.photos.image_formats` lets pass: on a
            lossless one libjpeg-turbo overruns the memory it was given.
        components: one of `JPEG_COLOURS`.
        least: width and height, in pixels as stored, that it is not scaled below; None decodes it
            at its full size.

    Returns:
        An image, grey or RGB; None where it is better left to Pillow, which reads some that are
        damaged.

    Raises:
        CutShortError: there is less of the picture than the header says.
    """
    width, height = least or (0, 0)  # it never makes a picture larger
    try:
        pixels = simplejpeg.decode_jpeg(
            data, colorspace=JPEG_COLOURS[components], min_height=height, min_width=width
        )
    except ValueError as error:
        # Its words are all that simplejpeg passes on of libjpeg-turbo's warnings.
        if CUT_SHORT in str(error).lower():
            raise CutShortError("the file ends before its picture does") from error
        return None
    return Image.fromarray(np.squeeze(pixels, axis=2) if components == 1 else pixels)


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


class _About:
    """What the metadata of a photo say. Damaged metadata say nothing, and raise nothing."""

    def __init__(self, exif: bytes, xmp: bytes) -> None:
        """Reads them.

        Args:
            exif: the block in a file; nothing where there is none.
            xmp: likewise.
        """
        self.taken_at: datetime | None = None
        orientation: int | None = None
        if exif:
            # What is damaged raises anything at all.
            with suppress(Exception):
                found = Image.Exif()
                found.load(exif)
                orientation = found.get(ORIENTATION)
                text = str(found.get_ifd(EXIF).get(TAKEN)).strip("\0 ")
                self.taken_at = datetime.strptime(text, "%Y:%m:%d %H:%M:%S")
        if orientation is None and (match := ORIENTATION_IN_XMP.search(xmp)):
            orientation = int(match[1])
        self.turn = TURNS.get(orientation) if isinstance(orientation, int) else None

    def turned(self, size: tuple[int, int]) -> tuple[int, int]:
        """Width and height as stored -> as they are to be seen, or back."""
        return size[::-1] if self.turn in QUARTER_TURNS else size

    def upright(self, image: Image.Image) -> Image.Image:
        """An image turned as it is to be seen."""
        return image if self.turn is None else image.transpose(self.turn)


def to_rgb(image: Image.Image, transparent: tuple[int, ...] = ()) -> Image.Image:
    """An image of any mode as RGB.

    Alpha is flattened on white, grey of 16 bits is scaled to 8, CMYK is brought to sRGB by its own
    profile where it has one. RGB is taken as sRGB.

    Args:
        image: loaded.
        transparent: the samples of the one colour that is transparent; none of all others.

    Raises:
        ValueError: there is no way from its mode to RGB.
    """
    if transparent:
        samples = np.asarray(image.convert("L") if image.mode == "1" else image)
        samples = samples.reshape(*samples.shape[:2], -1)
        rgb = to_rgb(image)
        rgb.paste(WHITE, mask=Image.fromarray((samples == transparent).all(axis=2)))
        return rgb
    if image.mode.startswith("I;16"):
        grey = np.asarray(image) * (255 / SIXTEEN_BIT_MAX) + 0.5
        return Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    if image.mode == "CMYK" and image.info.get("icc_profile"):
        try:
            return _by_profile(image, io.BytesIO(image.info["icc_profile"]))
        except (ImageCms.PyCMSError, OSError):
            return image.convert("RGB")  # a damaged profile, or one for another kind of image
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        ground = Image.new("RGBA", layer.size, (*WHITE, 255))
        return Image.alpha_composite(ground, layer).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _by_profile(image: Image.Image, profile: io.BytesIO) -> Image.Image:
    srgb = ImageCms.createProfile("sRGB")
    converted = ImageCms.profileToProfile(image, profile, srgb, outputMode="RGB")
    assert converted is not None  # None is for conversion in place
    return converted


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
