"""The icon in the browser's tab, drawn here: one by name would come from another host."""

from PIL import Image, ImageDraw

from fftag.base.plots import ACCENT


def icon(side: int = 64) -> Image.Image:
    """A price tag, in pixels of a side."""
    image = Image.new("RGBA", (side, side), (0, 0, 0, 0))
    draw = ImageDraw.Draw(image)
    unit = side / 16
    outline = [(1, 8), (7, 1), (15, 1), (15, 9), (8, 15)]
    draw.polygon([(x * unit, y * unit) for x, y in outline], fill=ACCENT)
    draw.ellipse([10.5 * unit, 3 * unit, 13 * unit, 5.5 * unit], fill="white")
    return image
