"""Backgrounds: studio paper, streets, rooms and parks, drawn small and blown up, out of focus."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from retailer.canvas import Colour
from retailer.patterns import shaded

REDUCTION = 4  # backgrounds are drawn at a quarter of the size: enough for what is out of focus
LEAST_SIDE = 48  # pixels: smaller, and windows and pictures have no room

PAPERS: tuple[Colour, ...] = (
    (246, 246, 246),
    (240, 238, 234),
    (232, 234, 238),
    (244, 236, 226),
    (226, 232, 228),
    (238, 226, 226),
)
WALLS: tuple[Colour, ...] = (
    (214, 206, 192),
    (186, 196, 190),
    (206, 184, 172),
    (172, 182, 198),
    (226, 222, 214),
)
FACADES: tuple[Colour, ...] = (
    (176, 150, 130),
    (150, 150, 152),
    (190, 176, 156),
    (134, 104, 92),
    (166, 172, 178),
)


def studio(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """Light paper: brighter in the middle, a little darker where it meets the floor."""
    paper = np.array(PAPERS[rng.integers(len(PAPERS))], dtype=np.float32)
    x = np.linspace(-1, 1, max(2, width // REDUCTION), dtype=np.float32)[None, :]
    y = np.linspace(-1, 1, max(2, height // REDUCTION), dtype=np.float32)[:, None]
    lamp = float(rng.uniform(-0.5, 0.5))
    light = 1.03 - 0.07 * ((x - lamp) ** 2 + (y + 0.2) ** 2) - 0.03 * (y > 0.75) * (y - 0.75) * 4
    pixels = np.clip(paper * light[:, :, None], 0, 255).astype(np.uint8)
    return _blown_up(Image.fromarray(pixels), width, height, 0)


def scene(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """A place for a person to stand in: a street, a room, a park or a studio."""
    makers = (_street, _street, _room, _park, None)
    maker = makers[rng.integers(len(makers))]
    if maker is None:
        return studio(rng, width, height)
    small = maker(rng, max(LEAST_SIDE, width // REDUCTION), max(LEAST_SIDE, height // REDUCTION))
    return _blown_up(small, width, height, max(1, width // 300))


def _blown_up(small: Image.Image, width: int, height: int, blur: float) -> Image.Image:
    if blur:
        small = small.filter(ImageFilter.GaussianBlur(blur))
    return small.resize((width, height), Image.Resampling.BICUBIC)


def _off(rng: np.random.Generator, colour: Colour, most: int = 14) -> Colour:
    red, green, blue = (
        int(c + d) for c, d in zip(colour, rng.integers(-most, most, 3), strict=True)
    )
    return shaded((red, green, blue), 1.0)


def _street(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    sky = _off(rng, (204, 218, 230))
    image = Image.new("RGB", (width, height), sky)
    draw = ImageDraw.Draw(image)
    ground = int(height * rng.uniform(0.68, 0.78))
    left = -int(width * rng.uniform(0, 0.2))
    while left < width:
        wide = int(width * rng.uniform(0.3, 0.5))
        top = int(height * rng.uniform(-0.1, 0.25))
        facade = _off(rng, FACADES[rng.integers(len(FACADES))])
        draw.rectangle((left, top, left + wide, ground), fill=facade)
        pane = _off(rng, (96, 112, 128))
        across, down = max(3, wide // 4), max(4, height // 10)
        for y in range(top + down // 2, ground - down * 2, down + down // 2):
            for x in range(left + across // 2, left + wide - across // 2, across + across // 3):
                draw.rectangle((x, y, x + across // 2, y + down), fill=pane)
        door = left + wide // 2
        draw.rectangle(
            (door - across // 2, ground - down * 2, door + across // 2, ground), fill=pane
        )
        awning = _off(rng, WALLS[rng.integers(len(WALLS))], 40)
        draw.rectangle((left, ground - down * 5 // 2, left + wide, ground - down * 2), fill=awning)
        left += wide
    draw.rectangle((0, ground, width, height), fill=_off(rng, (158, 156, 154)))
    for share in (0.25, 0.6):
        y = int(ground + (height - ground) * share)
        draw.line((0, y, width, y), fill=(142, 140, 140))
    return image


def _room(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    wall = _off(rng, WALLS[rng.integers(len(WALLS))])
    image = Image.new("RGB", (width, height), wall)
    draw = ImageDraw.Draw(image)
    floor = int(height * rng.uniform(0.76, 0.86))
    wood = _off(rng, (158, 120, 86))
    draw.rectangle((0, floor, width, height), fill=wood)
    for x in range(-width, 2 * width, max(4, width // 7)):
        draw.line((x, height, width // 2 + (x - width // 2) // 2, floor), fill=shaded(wood, 0.88))
    draw.rectangle((0, floor - 3, width, floor), fill=shaded(wall, 1.15))
    if rng.random() < 0.6:
        x, y = int(width * rng.uniform(0.02, 0.1)), int(height * rng.uniform(0.1, 0.25))
        frame = (x, y, x + width // 4, y + height // 5)
        draw.rectangle(frame, fill=_off(rng, (232, 226, 214)), outline=(92, 74, 60), width=2)
        draw.rectangle(
            (x + 4, y + 4, x + width // 6, y + height // 8), fill=_off(rng, (120, 140, 150), 50)
        )
    if rng.random() < 0.6:
        x = int(width * rng.uniform(0.86, 0.96))
        pot = (x - width // 16, floor - height // 12, x + width // 16, floor + height // 50)
        for lean in (-9, -4, 2, 7):
            tip = (x + lean * width // 80, floor - height // 3 + abs(lean) * height // 90)
            draw.line((x, pot[1], *tip), fill=_off(rng, (74, 110, 70)), width=max(2, width // 26))
        draw.rectangle(pot, fill=_off(rng, (186, 170, 150)))
    return image


def _park(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    image = Image.new("RGB", (width, height), _off(rng, (202, 222, 236)))
    draw = ImageDraw.Draw(image)
    ground = int(height * rng.uniform(0.62, 0.74))
    for _ in range(16):
        x, y = rng.uniform(-0.1, 1.1) * width, rng.uniform(0.12, 0.6) * height
        reach = rng.uniform(0.12, 0.26) * width
        leaves = _off(rng, (104, 138, 92), 24)
        draw.ellipse((x - reach, y - reach, x + reach, y + reach), fill=leaves)
    for _ in range(3):
        x = int(rng.uniform(0, 1) * width)
        draw.rectangle((x, int(0.4 * height), x + max(2, width // 24), ground), fill=(104, 84, 68))
    draw.rectangle((0, ground, width, height), fill=_off(rng, (138, 160, 104)))
    path = [
        (width * 0.3, height),
        (width * 0.42, ground),
        (width * 0.6, ground),
        (width * 0.85, height),
    ]
    draw.polygon(path, fill=_off(rng, (196, 182, 158)))
    return image
