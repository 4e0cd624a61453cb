"""Photos as files: formats, and the damage that real folders hold."""

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

DEFECTS = ("corrupt", "truncated", "duplicate", "exif_rotated", "cmyk", "not_an_image")
ORIENTATIONS = (6, 8, 3, 2)
ORIENTATION_TAG = 0x0112
# What to do to an upright photo so that a viewer who obeys the tag turns it upright again.
_STORED: dict[int, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    6: Image.Transpose.ROTATE_90,
    8: Image.Transpose.ROTATE_270,
}


@dataclass(frozen=True)
class Finish:
    """How a photo is stored.

    Attributes:
        orientation: the EXIF orientation; other than 1, the pixels are stored turned.
        mode: the Pillow mode stored: RGB, CMYK (JPEG), L, P or RGBA (PNG).
    """

    orientation: int = 1
    mode: str = "RGB"


UPRIGHT = Finish()


def encoded(image: Image.Image, ending: str, quality: int, finish: Finish = UPRIGHT) -> bytes:
    """The bytes of an image file; the format follows from the ending."""
    buffer = io.BytesIO()
    if finish.orientation != 1:
        image = image.transpose(_STORED[finish.orientation])
    if finish.mode == "P":
        image = image.quantize(64)
    elif finish.mode == "RGBA":
        image.putalpha(_soft_rim(image.size))
    elif finish.mode != "RGB":
        image = image.convert(finish.mode)
    match ending.lower():
        case ".png":
            image.save(buffer, "PNG", compress_level=4)
        case ".webp":
            image.save(buffer, "WEBP", quality=quality, method=1)
        case _:
            exif = Image.Exif()
            if finish.orientation != 1:
                exif[ORIENTATION_TAG] = finish.orientation
            image.save(buffer, "JPEG", quality=quality, exif=exif)
    return buffer.getvalue()


def _soft_rim(size: tuple[int, int]) -> Image.Image:
    """An alpha channel that fades out at the photo's edges."""
    width, height = size
    x = np.minimum(np.arange(width), np.arange(width)[::-1])[None, :]
    y = np.minimum(np.arange(height), np.arange(height)[::-1])[:, None]
    return Image.fromarray(np.clip(np.minimum(x, y) * 32, 0, 255).astype(np.uint8))


def garbled(photo: bytes, rng: np.random.Generator) -> bytes:
    """A photo with noise between its header and its end."""
    return photo[:24] + rng.bytes(len(photo) - 32).replace(b"\xff", b"\0") + photo[-8:]


def cut_short(photo: bytes, rng: np.random.Generator) -> bytes:
    """The first half of a photo, as a broken download leaves it."""
    return photo[: round(len(photo) * rng.uniform(0.4, 0.6))]


def emptied(photo: bytes, rng: np.random.Generator) -> bytes:
    """Nothing."""
    del photo, rng
    return b""


def text_instead(photo: bytes, rng: np.random.Generator) -> bytes:
    """A web server's answer, saved under a photo's name."""
    del photo
    answer = (
        f"<html><body><h1>404 Not Found</h1><p>request {rng.integers(10**9)}</p></body></html>\n"
    )
    return answer.encode()


Damage = Callable[[bytes, np.random.Generator], bytes]

# For a run of 3,000 photos: damage, the defect's name in the truth, how many files.
DAMAGES: tuple[tuple[Damage, str, int], ...] = (
    (garbled, "corrupt", 4),
    (emptied, "corrupt", 2),
    (cut_short, "truncated", 5),
    (text_instead, "not_an_image", 2),
)
DUPLICATES = 12
TURNED = 12
STRAY_FILES: dict[str, bytes] = {
    "README.txt": b"Photos by sku and view. Ask the studio before moving anything.\n",
}


def how_many(at_3000: int, photos: int) -> int:
    """A count of defects for a run of `photos` photos: at least one."""
    return max(1, round(at_3000 * photos / 3000))
