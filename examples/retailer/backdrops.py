"""Backdrops: studio paper, a street, a park, a room; drawn small and blown up, out of focus."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

REDUCTION = 4


def backdrop(rng: np.random.Generator, worn: bool, size: tuple[int, int]) -> Image.Image:
    """Light paper or, with `worn`, any of the places where people stand."""
    width, height = (max(48, side // REDUCTION) for side in size)
    place = rng.choice(["paper", "street", "street", "park", "room"]) if worn else "paper"
    if place == "paper":
        x, y = np.linspace(-1, 1, width)[None, :], np.linspace(-1, 1, height)[:, None]
        light = 1.03 - 0.08 * ((x - rng.uniform(-0.5, 0.5)) ** 2 + (y + 0.2) ** 2)
        pixels = np.array(_near(rng, (238, 236, 232), 14)) * light[..., None]
        small = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
        return small.resize(size, Image.Resampling.BILINEAR)
    small = Image.new("RGB", (width, height), _near(rng, (206, 210, 216)))
    pen, ground = ImageDraw.Draw(small), int(height * rng.uniform(0.66, 0.82))
    for _ in range(18 if place == "park" else 0):
        x, y, reach = rng.uniform((-0.1, 0.1, 0.12), (1.1, 0.6, 0.26)) * (width, height, width)
        pen.ellipse((x - reach, y - reach, x + reach, y + reach), fill=_near(rng, (150, 174, 142)))
    for left in np.arange(-0.1, 1, 0.36) * width if place == "street" else ():
        top, right = rng.uniform(-0.1, 0.25) * height, left + 0.36 * width
        pane = _near(rng, (148, 156, 164))
        pen.rectangle((left, top, right, ground), fill=_near(rng, (184, 178, 170)))
        for x in left + np.array([0.04, 0.14, 0.24]) * width:
            for y in np.arange(top + 0.05 * height, ground - 0.1 * height, 0.15 * height):
                pen.rectangle((x, y, x + 0.06 * width, y + 0.1 * height), fill=pane)
    pen.rectangle((0, ground, width, height), fill=_near(rng, (192, 186, 174)))
    small = small.filter(ImageFilter.GaussianBlur(max(1, size[0] // 300)))
    return small.resize(size, Image.Resampling.BILINEAR)


def _near(rng: np.random.Generator, colour: tuple[int, int, int], most: int = 12) -> tuple:
    return tuple(int(c) for c in np.clip(colour + rng.integers(-most, most + 1, 3), 0, 255))
