"""JPEG by libjpeg-turbo, which can decode straight to a smaller size."""

import numpy as np
import simplejpeg
from PIL import Image

CUT_SHORT = "premature end"  # libjpeg-turbo's own words, in upper or lower case
COLOURS = {1: "GRAY", 3: "RGB"}  # by the number of components


class CutShortError(Exception):
    """The data end before the picture does, even if the file was closed with an end mark."""


def decoded(data: bytes, components: int, least: tuple[int, int] | None) -> Image.Image | None:
    """Decodes a JPEG, scaled by 1/8 to 7/8 in its cosine transform.

    The low frequencies alone give a picture of a fraction of the size, without aliasing, in a
    fraction of the time.

    Args:
        data: the file, of one of the kinds that `fftag.photos.image_formats` lets pass: on a
            lossless one libjpeg-turbo overruns the memory it was given.
        components: one of `COLOURS`.
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
            data, colorspace=COLOURS[components], min_height=height, min_width=width
        )
    except ValueError as error:
        # Its words are all that simplejpeg passes on of libjpeg-turbo's warnings.
        if CUT_SHORT in str(error).lower():
            raise CutShortError("the file ends before its picture does") from error
        return None
    return Image.fromarray(np.squeeze(pixels, axis=2) if components == 1 else pixels)
