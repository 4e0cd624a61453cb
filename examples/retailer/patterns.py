"""Fabrics: colours and woven, knitted or printed patterns, as functions of position."""

from dataclasses import dataclass, replace

import numpy as np

from retailer.canvas import Colour

COLOURS: tuple[Colour, ...] = (
    (236, 232, 222),  # ecru
    (38, 40, 48),  # ink
    (126, 129, 134),  # grey
    (178, 44, 52),  # red
    (226, 118, 96),  # coral
    (228, 178, 66),  # mustard
    (74, 112, 74),  # bottle green
    (146, 168, 130),  # sage
    (52, 84, 148),  # cobalt
    (136, 176, 214),  # sky
    (28, 44, 84),  # navy
    (102, 60, 110),  # plum
    (214, 150, 176),  # rose
    (148, 100, 66),  # tan
    (90, 58, 44),  # chocolate
    (200, 172, 134),  # camel
    (40, 128, 132),  # teal
    (240, 214, 196),  # blush
)
DENIMS: tuple[Colour, ...] = ((58, 84, 128), (92, 124, 166), (40, 54, 84), (120, 150, 184))
LEATHERS: tuple[Colour, ...] = (
    (46, 36, 36),
    (112, 66, 42),
    (164, 112, 66),
    (142, 34, 42),
    (60, 70, 96),
    (214, 196, 168),
    (78, 96, 70),
)
METALS: tuple[Colour, ...] = ((204, 176, 96), (196, 198, 204), (176, 130, 104))
PRINTS = ("plain", "plain", "plain", "stripes", "bars", "dots", "gingham", "plaid", "camo")


@dataclass(frozen=True)
class Fabric:
    """A cloth.

    Attributes:
        colour: its ground.
        second: the colour of the pattern.
        pattern: plain, stripes, bars, dots, gingham, plaid, camo, knit, rib, denim, leather,
            quilt or sequin.
        period: the pattern's repeat, in figure units.
        phase: where folds and random patterns start.
        folds: how deep the folds are, 0 to 1.
    """

    colour: Colour
    second: Colour = (240, 240, 240)
    pattern: str = "plain"
    period: float = 0.25
    phase: float = 0.0
    folds: float = 0.06

    def darker(self, factor: float = 0.72) -> "Fabric":
        """The same cloth in the shade, or its reverse side."""
        return replace(self, colour=shaded(self.colour, factor), second=shaded(self.second, factor))

    def as_pattern(self, pattern: str, period: float | None = None) -> "Fabric":
        """The same colours in another weave."""
        return replace(self, pattern=pattern, period=period or self.period)

    def render(self, across: np.ndarray, down: np.ndarray) -> np.ndarray:
        """RGB float32 [rows, columns, 3]; see `Paint`."""
        u, v = across / self.period, down / self.period
        amount, light = _weave(self.pattern, u, v, self.phase)
        ground = np.array(self.colour, dtype=np.float32)
        pixels = ground + amount[:, :, None] * (np.array(self.second, dtype=np.float32) - ground)
        sway = across * 5.1 + np.sin(down * 1.3 + self.phase) * 1.4 + self.phase
        light = light * (1 + self.folds * np.sin(sway) * np.cos(down * 1.1 + self.phase * 2))
        return pixels * light[:, :, None]


def _wave(x: np.ndarray) -> np.ndarray:
    """A square wave with soft flanks, 0 to 1, of period 1."""
    return np.clip(np.sin(2 * np.pi * x) * 4 + 0.5, 0, 1)


def _weave(
    pattern: str, u: np.ndarray, v: np.ndarray, phase: float
) -> tuple[np.ndarray, np.ndarray]:
    """How much of the second colour, and how much light, at each position."""
    shape = np.broadcast_shapes(u.shape, v.shape)
    none, full = np.zeros(shape, np.float32), np.ones(shape, np.float32)
    match pattern:
        case "stripes":
            return np.broadcast_to(_wave(v), shape), full
        case "bars":
            return np.broadcast_to(_wave(u), shape), full
        case "dots":
            shifted = u + 0.5 * (np.floor(v) % 2)
            away = np.hypot(shifted - np.floor(shifted) - 0.5, v - np.floor(v) - 0.5)
            return np.clip((0.3 - away) * 9, 0, 1), full
        case "gingham":
            return (_wave(u) + _wave(v)) / 2, full
        case "plaid":
            lines = np.maximum(_wave(u * 0.5) * 0.55, _wave(v * 0.5) * 0.55)
            thin = np.maximum(np.abs(np.sin(np.pi * u)) > 0.97, np.abs(np.sin(np.pi * v)) > 0.97)
            return np.clip(lines + 0.5 * thin, 0, 1).astype(np.float32), full
        case "camo":
            swirl = np.sin(u * 1.9 + 2 * np.sin(v * 1.3 + phase)) + np.sin(v * 2.3 + 2 * np.sin(u))
            return np.clip(swirl * 3, 0, 1), full
        case "knit":
            zigzag = np.abs(u - np.floor(u) - 0.5) * 2
            return none, (0.86 + 0.14 * np.sin(2 * np.pi * (v * 1.2 + zigzag))).astype(np.float32)
        case "rib":
            return none, np.broadcast_to(0.84 + 0.16 * np.cos(2 * np.pi * u), shape)
        case "denim":
            twill = np.sin(2 * np.pi * (u + v)) * 0.05
            wear = 0.1 * np.cos(u * 0.21 + phase) * np.cos(v * 0.13)
            return none, 1 + twill + wear
        case "leather":
            return none, 1 + 0.1 * np.sin(u * 0.9 + 0.8 * np.sin(v * 0.7 + phase))
        case "quilt":
            puff = v - np.floor(v)
            return none, np.broadcast_to(0.68 + 0.42 * np.sqrt(puff * (1 - puff)) * 2, shape)
        case "sequin":
            cell = np.sin(np.floor(u) * 127.1 + np.floor(v) * 311.7 + phase) * 43758.5
            sparkle = cell - np.floor(cell)
            away = np.hypot(u - np.floor(u) - 0.5, v - np.floor(v) - 0.5)
            disc = np.clip((0.52 - away) * 8, 0, 1)
            return (sparkle**3 * disc * 0.95).astype(np.float32), 0.6 + 0.5 * disc * sparkle
        case _:
            return none, full


def shaded(colour: Colour, factor: float) -> Colour:
    """A colour made darker (factor < 1) or lighter (> 1)."""
    red, green, blue = (min(255, max(0, round(channel * factor))) for channel in colour)
    return red, green, blue


def pick(rng: np.random.Generator, colours: tuple[Colour, ...]) -> Colour:
    """One of the colours, slightly off, as dye lots are."""
    red, green, blue = colours[rng.integers(len(colours))]
    off = rng.integers(-10, 11, size=3)
    return shaded((red + int(off[0]), green + int(off[1]), blue + int(off[2])), 1.0)


def contrasting(rng: np.random.Generator, ground: Colour) -> Colour:
    """A colour that stands out from `ground`."""
    while True:
        colour = pick(rng, COLOURS)
        if sum(abs(a - b) for a, b in zip(colour, ground, strict=True)) > 190:
            return colour


def cloth(rng: np.random.Generator, *patterns: str) -> Fabric:
    """A fabric at random, in one of the patterns named (any print when none is)."""
    names = patterns or PRINTS
    pattern = names[rng.integers(len(names))]
    colours = {"denim": DENIMS, "leather": LEATHERS}.get(pattern, COLOURS)
    ground = pick(rng, colours)
    spans = {
        "knit": (0.11, 0.17),
        "rib": (0.07, 0.09),
        "denim": (0.05, 0.07),
        "leather": (0.2, 0.3),
        "quilt": (0.3, 0.4),
        "sequin": (0.09, 0.12),
        "plaid": (0.28, 0.4),
    }
    low, high = spans.get(pattern, (0.18, 0.34))
    return Fabric(
        colour=ground,
        second=(255, 252, 240) if pattern == "sequin" else contrasting(rng, ground),
        pattern=pattern,
        period=float(rng.uniform(low, high)),
        phase=float(rng.uniform(0, 6)),
        folds=float(rng.uniform(0.04, 0.1)),
    )
