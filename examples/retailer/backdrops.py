"""Backdrops: studio paper, a street, a room, a park; drawn small and blown up, out of focus."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

REDUCTION = 4


def backdrop(rng: np.random.Generator, outdoors: bool, size: tuple[int, int]) -> Image.Image:
    """Light paper, or with `outdoors` any of the places where people stand."""
    makers = (_street, _street, _room, _park)
    drawn = int(rng.integers(5))
    width, height = (max(48, side // REDUCTION) for side in size)
    if not outdoors or drawn == 4:
        small = _studio(rng, width, height)
    else:
        small = Image.new("RGB", (width, height), _near(rng, (204, 218, 230)))
        makers[drawn](rng, ImageDraw.Draw(small), width, height)
        small = small.filter(ImageFilter.GaussianBlur(max(1, size[0] // 300)))
    return small.resize(size, Image.Resampling.BICUBIC)


def _near(rng: np.random.Generator, colour: tuple[int, int, int], most: int = 24) -> tuple:
    return tuple(int(c) for c in np.clip(colour + rng.integers(-most, most + 1, 3), 0, 255))


def _studio(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    x, y = np.linspace(-1, 1, width)[None, :], np.linspace(-1, 1, height)[:, None]
    light = 1.03 - 0.08 * ((x - rng.uniform(-0.5, 0.5)) ** 2 + (y + 0.2) ** 2)
    paper = np.array(_near(rng, (238, 236, 232), 14))
    return Image.fromarray(np.clip(paper * light[..., None], 0, 255).astype(np.uint8))


def _street(rng: np.random.Generator, pen: ImageDraw.ImageDraw, width: int, height: int) -> None:
    ground = int(height * rng.uniform(0.68, 0.78))
    pen.rectangle((0, ground, width, height), fill=_near(rng, (158, 156, 154)))
    left = -int(width * rng.uniform(0, 0.2))
    while left < width:
        right = left + int(width * rng.uniform(0.3, 0.5))
        top = int(height * rng.uniform(-0.1, 0.25))
        pen.rectangle((left, top, right, ground), fill=_near(rng, (160, 144, 132), 40))
        pane = _near(rng, (96, 112, 128))
        across, down = max(3, (right - left) // 4), max(4, height // 10)
        for y in range(top + down // 2, ground - down * 2, down + down // 2):
            for x in range(left + across // 2, right - across // 2, across + across // 3):
                pen.rectangle((x, y, x + across // 2, y + down), fill=pane)
        awning = (left, ground - down * 5 // 2, right, ground - down * 2)
        pen.rectangle(awning, fill=_near(rng, (190, 180, 176), 50))
        left = right


def _room(rng: np.random.Generator, pen: ImageDraw.ImageDraw, width: int, height: int) -> None:
    floor = int(height * rng.uniform(0.76, 0.86))
    pen.rectangle((0, 0, width, floor), fill=_near(rng, (204, 196, 190), 30))
    pen.rectangle((0, floor, width, height), fill=_near(rng, (158, 120, 86)))
    x, y = int(width * rng.uniform(0.02, 0.8)), int(height * rng.uniform(0.05, 0.25))
    pen.rectangle((x, y, x + width // 4, y + height // 5), fill=(232, 226, 214), outline=(92, 74, 60))
    pen.rectangle((x + 4, y + 4, x + width // 6, y + height // 8), fill=_near(rng, (120, 140, 150), 60))


def _park(rng: np.random.Generator, pen: ImageDraw.ImageDraw, width: int, height: int) -> None:
    ground = int(height * rng.uniform(0.62, 0.74))
    for _ in range(16):
        x, y = rng.uniform(-0.1, 1.1) * width, rng.uniform(0.12, 0.6) * height
        reach = rng.uniform(0.12, 0.26) * width
        box = (x - reach, y - reach, x + reach, y + reach)
        pen.ellipse(box, fill=_near(rng, (104, 138, 92)))
    pen.rectangle((0, ground, width, height), fill=_near(rng, (138, 160, 104)))
    path = [(0.3, 1), (0.42, ground / height), (0.6, ground / height), (0.85, 1)]
    pen.polygon([(x * width, y * height) for x, y in path], fill=_near(rng, (196, 182, 158)))
