"""Any Pillow image as RGB."""

import io

import numpy as np
from PIL import Image, ImageCms

WHITE = (255, 255, 255)
SIXTEEN_BIT_MAX = 65_535


def to_rgb(image: Image.Image) -> Image.Image:
    """An image of any mode as RGB.

    Alpha is flattened on white, grey of more than 8 bits is scaled to 8, CMYK is brought to sRGB
    by its own profile where it has one. RGB is taken as sRGB.

    Raises:
        ValueError: there is no way from its mode to RGB.
    """
    if image.mode.startswith(("I", "F")):
        return Image.fromarray(_eight_bit(np.asarray(image))).convert("RGB")
    if image.mode == "LAB":
        return _by_profile(image, ImageCms.createProfile("LAB"))
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


def _by_profile(image: Image.Image, profile: ImageCms.core.CmsProfile | io.BytesIO) -> Image.Image:
    srgb = ImageCms.createProfile("sRGB")
    converted = ImageCms.profileToProfile(image, profile, srgb, outputMode="RGB")
    assert converted is not None  # None is for conversion in place
    return converted


def _eight_bit(grey: np.ndarray) -> np.ndarray:
    """Grey [height, width] of any number type -> uint8, white being the type's own white.

    Numbers of 16 bits, and whole numbers that fit in them, run from 0 to 65,535; real numbers up to
    1 run from 0 to 1, others up to 255 from 0 to 255. Anything else is stretched from its least
    value to its greatest.
    """
    values = np.nan_to_num(grey.astype(np.float32), posinf=np.nan, neginf=np.nan)
    low, high = float(values.min()), float(values.max())
    whole = grey.dtype.kind in "iu"
    if low >= 0 and whole and high <= SIXTEEN_BIT_MAX:
        low, high = 0.0, float(SIXTEEN_BIT_MAX)
    elif low >= 0 and not whole and high <= 255:
        low, high = 0.0, 1.0 if high <= 1 else 255.0
    return ((values - low) * (255 / max(high - low, 1e-12)) + 0.5).clip(0, 255).astype(np.uint8)
