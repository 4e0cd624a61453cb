"""The page of a review: each suspect with its photo, what was given, and what is suggested."""

import base64
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jinja2 import Environment, PackageLoader, select_autoescape
from PIL import Image

from fftag.base.atomic import PAGE, write_bytes
from fftag.catalogue.review_sheet import Suspect
from fftag.photos.decode import InputSpec
from fftag.photos.pool import ReadOptions, decoded

THUMBNAIL = InputSpec(240, 180, resize="pad")
QUALITY = 80


def write_review_page(
    path: Path,
    suspects: Sequence[Suspect],
    root: Path,
    flagged: dict[str, tuple[int, int]],
    lead: Sequence[str],
) -> None:
    """Writes a page that stands alone: thumbnails are inside it, and all text is escaped.

    Args:
        path: the HTML file.
        suspects: in the order of the sheet.
        root: the folder that their images are relative to.
        flagged: by label, how many were given wrongly and how many are missing.
        lead: paragraphs under the title.
    """
    environment = Environment(
        loader=PackageLoader("fftag.base"), autoescape=select_autoescape(default=True)
    )
    images = list(dict.fromkeys(one.image for one in suspects))
    photos = decoded([root / image for image in images], THUMBNAIL, ReadOptions())
    pictures = {
        image: _thumbnail(pixels) for image, (_, pixels) in zip(images, photos, strict=True)
    }
    text = environment.get_template("review.html").render(
        suspects=suspects, pictures=pictures, flagged=flagged, lead=lead
    )
    # A label or path from a damaged source may hold what UTF-8 cannot.
    write_bytes(path, text.encode("utf-8", "replace"), PAGE)


def _thumbnail(pixels: np.ndarray | None) -> str:
    """A small JPEG in base64; empty where the photo cannot be read."""
    if pixels is None:
        return ""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="JPEG", quality=QUALITY)
    return base64.b64encode(buffer.getvalue()).decode()
