"""What comes out of files of each format, kept beside the revision of its decoder.

Where a test here fails, a change of a decoder changes rows that are published. Raise the format's
revision in `DECODER_REVISIONS`, so that the next run reads its photos again, and keep here what
comes out now: `python tests/photos/test_decoder_revisions.py` writes it. A change that alters what
no picture here has (another kind of file, a status) is no less a reason to raise it.
"""

import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fftag.photos.decode import InputSpec, Photo, decode
from fftag.photos.image_formats import ALLOWED, DECODER_REVISIONS, READABLE

SPEC = InputSpec(32, 24)
TOLERANCE = 3  # grey levels, as versions of the libraries differ

FILE = Path(__file__).with_suffix(".json")
KEPT = json.loads(FILE.read_text()) if FILE.exists() else {}


def pictures(name: str) -> Iterator[bytes]:
    """A picture of four colours as files of a format: plain, turned, and in other colours."""
    pixels = np.zeros((80, 60, 3), np.uint8)
    pixels[:40, :30], pixels[:40, 30:] = (210, 40, 30), (30, 190, 60)
    pixels[40:, :30], pixels[40:, 30:] = (20, 50, 220), (240, 230, 200)
    plain = Image.fromarray(pixels)
    turned = Image.Exif()
    turned[0x0112] = 6
    options = {"quality": 95} if name in ("JPEG", "WEBP", "AVIF") else {}
    variants = [(plain, {}), (plain.convert("L"), {})]
    if name in ("JPEG", "PNG", "WEBP", "AVIF"):
        variants.append((plain, {"exif": turned.tobytes()}))
    if name in ("JPEG", "TIFF"):
        variants.append((plain.convert("CMYK"), {}))
    if name in ("PNG", "WEBP", "AVIF", "TIFF"):
        alpha = plain.convert("RGBA")
        alpha.putalpha(128)
        variants.append((alpha, {}))
    if name in ("PNG", "GIF", "BMP", "TIFF"):
        variants.append((plain.convert("P"), {}))
    for image, more in variants:
        file = io.BytesIO()
        image.save(file, name, **options, **more)
        yield file.getvalue()


def signature_of(name: str) -> list[list[int]]:
    """Of each picture its size, and the mean colour of each quarter as it is decoded."""
    found = []
    for data in pictures(name):
        photo = decode(data, SPEC)
        assert isinstance(photo, Photo), photo
        quarters = photo.pixels.reshape(2, 16, 2, 12, 3).mean(axis=(1, 3)).round().astype(int)
        found.append([photo.width, photo.height, *quarters.ravel().tolist()])
    return found


def test_each_format_has_a_revision_and_a_picture_that_is_kept() -> None:
    assert set(DECODER_REVISIONS) == set(ALLOWED) == set(KEPT)


@pytest.mark.parametrize("name", ALLOWED)
def test_what_comes_out_is_what_the_revision_stands_for(name: str) -> None:
    if name not in READABLE:
        pytest.skip(f"the Pillow installed cannot read {name}")
    revision, kept = KEPT[name]["revision"], KEPT[name]["pictures"]
    assert revision == DECODER_REVISIONS[name], f"keep what comes out of {name} now"
    found = signature_of(name)
    assert len(found) == len(kept)
    far = np.abs(np.array(found) - np.array(kept)).max()
    assert far <= TOLERANCE, (
        f"{name} comes out otherwise than at revision {revision}: raise it in DECODER_REVISIONS, "
        "and keep what comes out now"
    )


if __name__ == "__main__":
    now = {
        one: {"revision": DECODER_REVISIONS[one], "pictures": signature_of(one)} for one in ALLOWED
    }
    FILE.write_text(json.dumps(now) + "\n")
