"""Any Pillow image as RGB."""

import io

import numpy as np
from PIL import Image, ImageCms

WHITE = (255, 255, 255)
SIXTEEN_BIT_MAX = 65_535


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
