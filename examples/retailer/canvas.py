"""A canvas in figure units that paints antialiased shapes and remembers what stays visible."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple, Protocol

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

Point = tuple[float, float]
Points = Sequence[Point] | Sequence[np.ndarray] | np.ndarray
Colour = tuple[int, int, int]

SUPERSAMPLING = 2
LEAST_VISIBLE_SHARE = 0.0001  # of the photo: below it, an instance counts as hidden


class Box(NamedTuple):
    """Where one instance of a label is visible; pixels, right and bottom exclusive."""

    label: str
    left: int
    top: int
    right: int
    bottom: int


class Paint(Protocol):
    """What a shape can be filled with, other than a plain colour."""

    def render(self, across: np.ndarray, down: np.ndarray) -> np.ndarray:
        """RGB float32 [rows, columns, 3] at the positions given in figure units."""
        ...


@dataclass
class Instance:
    """One labelled thing on the canvas and the pixels of it that can still be seen."""

    label: str
    layer: int
    seen: np.ndarray
    window: list[int] = field(default_factory=list)  # left, top, right, bottom of what was painted

    def add(self, mask: np.ndarray, left: int, top: int) -> None:
        bottom, right = top + mask.shape[0], left + mask.shape[1]
        self.seen[top:bottom, left:right] |= mask
        if self.window:
            old = self.window
            left, top = min(left, old[0]), min(top, old[1])
            right, bottom = max(right, old[2]), max(bottom, old[3])
        self.window = [left, top, right, bottom]

    def hide(self, mask: np.ndarray, left: int, top: int) -> None:
        bottom, right = top + mask.shape[0], left + mask.shape[1]
        if not self.window or left >= self.window[2] or right <= self.window[0]:
            return
        if top >= self.window[3] or bottom <= self.window[1]:
            return
        self.seen[top:bottom, left:right] &= ~mask

    def box(self) -> Box | None:
        """The box around what is visible; None where (nearly) nothing is."""
        if not self.window:
            return None
        left, top, right, bottom = self.window
        seen = self.seen[top:bottom, left:right]
        if seen.sum() < max(6, LEAST_VISIBLE_SHARE * self.seen.size):
            return None
        columns, rows = np.flatnonzero(seen.any(axis=0)), np.flatnonzero(seen.any(axis=1))
        return Box(
            self.label,
            int(left + columns[0]),
            int(top + rows[0]),
            int(left + columns[-1] + 1),
            int(top + rows[-1] + 1),
        )


@dataclass(frozen=True)
class Region:
    """The pixels that a fill covered, to clip later fills to."""

    mask: Image.Image
    left: int
    top: int


class Canvas:
    """Paints polygons given in figure units (1 = the height of a head) on an RGB photo.

    Later layers hide earlier ones; within a layer, parts do not hide what they sit on.

    Args:
        image: the background, painted on in place.
        unit: pixels per figure unit.
        origin: the pixel of the figure's (0, 0).
        mirror: whether left and right change places.
        tilt: turn of the whole figure about its origin, in radians.
    """

    def __init__(
        self,
        image: Image.Image,
        unit: float,
        origin: Point,
        mirror: bool = False,
        tilt: float = 0.0,
    ) -> None:
        self.image = image
        self.unit = unit
        self.origin = origin
        cos, sin = np.cos(tilt) * unit, np.sin(tilt) * unit
        side = -1.0 if mirror else 1.0
        self._turn = np.array([[side * cos, -sin], [side * sin, cos]])
        self._back = np.linalg.inv(self._turn)
        self._layer = 0
        self._instances: list[Instance] = []

    @contextmanager
    def moved(self, to: Point, scale: float = 1.0, turn: float = 0.0) -> Iterator[None]:
        """Within it, (0, 0) is the point `to`, and shapes are scaled and turned (radians)."""
        before = self.origin, self.unit, self._turn, self._back
        x, y = self.pixels([to])[0]
        rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        self.origin, self.unit = (float(x), float(y)), self.unit * scale
        self._turn = self._turn @ rotation * scale
        self._back = np.linalg.inv(self._turn)
        try:
            yield
        finally:
            self.origin, self.unit, self._turn, self._back = before

    def next_layer(self) -> None:
        """What is painted from now on hides what was painted before."""
        self._layer += 1

    def instance(self, label: str) -> Instance:
        """A new thing with a label; hand it to `fill` and `stroke` to say what belongs to it."""
        seen = np.zeros((self.image.height, self.image.width), dtype=bool)
        made = Instance(label, self._layer, seen)
        self._instances.append(made)
        return made

    def boxes(self) -> list[Box]:
        """The boxes of all instances that can be seen."""
        return [box for made in self._instances if (box := made.box()) is not None]

    def pixels(self, points: Points) -> np.ndarray:
        """Figure units -> pixels: float [points, 2]."""
        return np.asarray(points, dtype=float) @ self._turn.T + self.origin

    def fill(
        self,
        points: Points,
        paint: Paint | Colour,
        *of: Instance,
        volume: float = 0.0,
        shadow: float = 0.0,
        clip: Region | None = None,
        alpha: float = 1.0,
    ) -> Region:
        """Paints a polygon.

        Args:
            points: its corners.
            paint: a colour or a fabric.
            of: the instances whose pixels these are.
            volume: how much darker it gets towards its rim, 0 to 1.
            shadow: how dark a soft shadow it throws, 0 to 1.
            clip: paint only where that region is.
            alpha: opacity.
        """
        corners = self.pixels(points)
        left, top = np.floor(corners.min(axis=0)).astype(int) - 1
        right, bottom = np.ceil(corners.max(axis=0)).astype(int) + 1
        left, top = max(int(left), 0), max(int(top), 0)
        right = max(min(int(right), self.image.width), left + 1)
        bottom = max(min(int(bottom), self.image.height), top + 1)
        mask = Image.new("L", ((right - left) * SUPERSAMPLING, (bottom - top) * SUPERSAMPLING))
        shifted = (corners - (left, top)) * SUPERSAMPLING
        ImageDraw.Draw(mask).polygon([tuple(corner) for corner in shifted], fill=255)
        mask = mask.reduce(SUPERSAMPLING)
        return self._put(Region(mask, left, top), paint, of, volume, shadow, clip, alpha)

    def stroke(
        self,
        points: Points,
        width: float,
        colour: Paint | Colour,
        *of: Instance,
        alpha: float = 1.0,
        clip: Region | None = None,
    ) -> Region:
        """Paints a line of `width` figure units through the points."""
        corners = self.pixels(points)
        reach = width * self.unit / 2 + 2
        left, top = np.floor(corners.min(axis=0) - reach).astype(int)
        right, bottom = np.ceil(corners.max(axis=0) + reach).astype(int)
        left, top = max(int(left), 0), max(int(top), 0)
        right = max(min(int(right), self.image.width), left + 1)
        bottom = max(min(int(bottom), self.image.height), top + 1)
        mask = Image.new("L", ((right - left) * SUPERSAMPLING, (bottom - top) * SUPERSAMPLING))
        shifted = [tuple(corner) for corner in (corners - (left, top)) * SUPERSAMPLING]
        thick = max(1, round(width * self.unit * SUPERSAMPLING))
        ImageDraw.Draw(mask).line(shifted, fill=255, width=thick, joint="curve")
        region = Region(mask.reduce(SUPERSAMPLING), left, top)
        return self._put(region, colour, of, 0.0, 0.0, clip, alpha)

    def _put(
        self,
        region: Region,
        paint: Paint | Colour,
        of: Sequence[Instance],
        volume: float,
        shadow: float,
        clip: Region | None,
        alpha: float,
    ) -> Region:
        mask, left, top = region.mask, region.left, region.top
        if clip is not None:
            window = Image.new("L", mask.size)
            window.paste(clip.mask, (clip.left - left, clip.top - top))
            mask = ImageChops.multiply(mask, window)
            region = Region(mask, left, top)
        if shadow:
            self._throw_shadow(region, shadow)
        shown = mask if alpha >= 1 else mask.point(_faded(alpha))
        if isinstance(paint, tuple) and not volume:
            self.image.paste(paint, (left, top), shown)
        else:
            self.image.paste(self._render(region, paint, volume), (left, top), shown)
        if alpha > 0.5:
            self._record(np.asarray(mask) > 100, left, top, of)
        return region

    def _render(self, region: Region, paint: Paint | Colour, volume: float) -> Image.Image:
        mask = region.mask
        if isinstance(paint, tuple):
            pixels = np.empty((mask.height, mask.width, 3), dtype=np.float32)
            pixels[:] = paint
        else:
            columns = np.arange(region.left, region.left + mask.width, dtype=np.float32)
            rows = np.arange(region.top, region.top + mask.height, dtype=np.float32)
            x = (columns - self.origin[0])[None, :]
            y = (rows - self.origin[1])[:, None]
            back = self._back.astype(np.float32)
            pixels = paint.render(x * back[0, 0] + y * back[0, 1], x * back[1, 0] + y * back[1, 1])
        if volume:
            soft = mask.filter(ImageFilter.BoxBlur(max(2.0, self.unit * 0.10)))
            light = np.asarray(soft, dtype=np.float32) * (volume / 255) + (1.06 - volume)
            pixels = pixels * light[:, :, None]
        return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))

    def _throw_shadow(self, region: Region, strength: float) -> None:
        blur = max(2, round(self.unit * 0.07))
        pad = blur * 2
        soft = Image.new("L", (region.mask.width + 2 * pad, region.mask.height + 2 * pad))
        soft.paste(region.mask, (pad, pad))
        soft = soft.filter(ImageFilter.BoxBlur(blur)).point(_faded(strength))
        offset = round(self.unit * 0.05)
        self.image.paste(
            (20, 18, 24), (region.left - pad + offset, region.top - pad + offset), soft
        )

    def _record(self, covered: np.ndarray, left: int, top: int, of: Sequence[Instance]) -> None:
        for made in self._instances:
            if made.layer < self._layer:
                made.hide(covered, left, top)
        for made in of:
            made.add(covered, left, top)


@cache
def _faded(share: float) -> list[int]:
    return [round(value * share) for value in range(256)]


def rounded(points: Points, rounds: int = 2, closed: bool = True) -> np.ndarray:
    """A smoother outline: Chaikin's corner cutting, `rounds` times."""
    outline = np.asarray(points, dtype=float)
    for _ in range(rounds):
        following = np.roll(outline, -1, axis=0) if closed else outline[1:]
        current = outline if closed else outline[:-1]
        cut = np.empty((2 * len(current), 2))
        cut[0::2] = 0.75 * current + 0.25 * following
        cut[1::2] = 0.25 * current + 0.75 * following
        outline = cut if closed else np.vstack([outline[:1], cut, outline[-1:]])
    return outline


def ellipse(centre: Point, across: float, down: float, corners: int = 28) -> np.ndarray:
    """The outline of an ellipse with the radii `across` and `down`."""
    angles = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    return np.column_stack([centre[0] + across * np.cos(angles), centre[1] + down * np.sin(angles)])


def rectangle(left: float, top: float, right: float, bottom: float) -> np.ndarray:
    """The four corners of a rectangle."""
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)])


def limb(path: Points, widths: Sequence[float]) -> np.ndarray:
    """The outline of a tapering tube along a path, `widths` being half widths at its points."""
    spine = np.asarray(path, dtype=float)
    along = np.gradient(spine, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    across = np.column_stack([-along[:, 1], along[:, 0]]) * np.asarray(widths)[:, None]
    return np.vstack([spine + across, (spine - across)[::-1]])


def flipped(points: Points) -> np.ndarray:
    """The mirror image about x = 0."""
    return np.asarray(points, dtype=float) * (-1.0, 1.0)


def both(half: Points) -> np.ndarray:
    """A closed outline from its right half (x >= 0), given from top to bottom."""
    right = np.asarray(half, dtype=float)
    return np.vstack([right, flipped(right)[::-1]])
