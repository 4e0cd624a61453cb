"""Garment parts, closures and decorations, each drawn onto a garment."""

import numpy as np

from retailer import vocabulary as word
from retailer.canvas import (
    Canvas,
    Colour,
    Instance,
    Point,
    Points,
    both,
    ellipse,
    flipped,
    rectangle,
    rounded,
)
from retailer.patterns import Fabric, shaded

STEEL: Colour = (206, 208, 214)
BRASS: Colour = (214, 180, 92)


def seam(canvas: Canvas, points: Points, colour: Colour, width: float = 0.022) -> None:
    """A stitched line, a shade darker than the cloth."""
    canvas.stroke(points, width, shaded(colour, 0.62), alpha=0.75)


def buttons(canvas: Canvas, x: float, top: float, bottom: float, colour: Colour) -> None:
    """A row of buttons."""
    for y in np.arange(top, bottom, 0.3):
        canvas.fill(ellipse((x, y), 0.05, 0.05, 14), shaded(colour, 0.6))
        canvas.fill(ellipse((x - 0.008, y - 0.01), 0.037, 0.037, 14), colour)


def collar(canvas: Canvas, garment: Instance, fabric: Fabric, spread: bool = False) -> None:
    """A shirt collar: two points about the neck; `spread` on a garment worn open."""
    part = canvas.instance(word.COLLAR)
    flap = [(0.03, 1.6), (0.21, 1.2), (0.42, 1.42), (0.3, 1.86)]
    if spread:
        flap = [(0.28, 1.6), (0.2, 1.2), (0.46, 1.34), (0.56, 1.84)]
    else:
        band = both([(0, 1.42), (0.2, 1.24), (0.27, 1.3), (0.1, 1.56), (0, 1.6)])
        canvas.fill(band, fabric.darker(0.7), garment, part)
    for points in (flap, flipped(flap)):
        canvas.fill(points, fabric, garment, part, volume=0.25, shadow=0.4)
        seam(canvas, [points[0], points[3], points[2]], fabric.colour)


def lapels(canvas: Canvas, garment: Instance, fabric: Fabric, gap: float, end: float) -> None:
    """A tailored collar with lapels that fold back from the opening down to `end`."""
    part, above = canvas.instance(word.LAPEL), canvas.instance(word.COLLAR)
    flap = [(0.2, 1.34), (0.56, 1.74), (0.48, 1.84), (0.6, 1.9), (gap + 0.02, end), (gap, end)]
    over = [(0.19, 1.22), (0.32, 1.24), (0.54, 1.6), (0.44, 1.72), (0.24, 1.46)]
    for turn in (np.asarray, flipped):
        canvas.fill(turn(flap), fabric, garment, part, volume=0.3, shadow=0.45)
        canvas.stroke(turn(flap)[1:5], 0.025, shaded(fabric.colour, 0.55), alpha=0.8)
        canvas.fill(turn(over), fabric.darker(0.86), garment, above, volume=0.25, shadow=0.3)


def neckline(canvas: Canvas, garment: Instance, curve: Points, paint: Fabric) -> None:
    """The finished edge of the opening for the head."""
    part = canvas.instance(word.NECKLINE)
    canvas.stroke(curve, 0.13, paint, garment, part)
    canvas.stroke(curve, 0.02, shaded(paint.colour, 0.6), alpha=0.7)


def pocket(
    canvas: Canvas, garment: Instance, fabric: Fabric, centre: Point, size: float = 0.42
) -> None:
    """A patch pocket with a flap."""
    part = canvas.instance(word.POCKET)
    x, y = centre
    half = size / 2
    patch = [(x - half, y - half), (x + half, y - half), (x + half, y + half * 0.8)]
    patch += [(x, y + half * 1.15), (x - half, y + half * 0.8)]
    canvas.fill(patch, fabric.darker(0.9), garment, part, volume=0.2, shadow=0.35)
    canvas.stroke([*patch, patch[0]], 0.028, shaded(fabric.colour, 0.55))
    flap = rectangle(x - half, y - half, x + half, y - half * 0.35)
    canvas.fill(flap, fabric.darker(0.8), garment, part, shadow=0.3)
    canvas.fill(ellipse((x, y - half * 0.5), 0.035, 0.035, 12), shaded(fabric.colour, 0.45))


def zipper(canvas: Canvas, garment: Instance, x: float, top: float, bottom: float) -> None:
    """A metal zip with teeth and a puller."""
    part = canvas.instance(word.ZIPPER)
    canvas.fill(rectangle(x - 0.075, top, x + 0.075, bottom), (44, 44, 50), garment, part)
    for row, y in enumerate(np.arange(top + 0.02, bottom - 0.02, 0.055)):
        off = 0.02 if row % 2 else -0.02
        canvas.fill(rectangle(x + off - 0.04, y, x + off + 0.04, y + 0.032), STEEL)
    y = top + 0.06
    canvas.fill(rectangle(x - 0.07, y, x + 0.07, y + 0.1), BRASS, garment, part)
    canvas.fill(rectangle(x - 0.04, y + 0.1, x + 0.04, y + 0.34), BRASS, garment, part, volume=0.3)


def epaulettes(canvas: Canvas, garment: Instance, colour: Colour) -> None:
    """A buttoned strap on either shoulder."""
    strap = [(0.34, 1.32), (0.42, 1.24), (0.84, 1.4), (0.84, 1.62), (0.72, 1.62)]
    for points in (strap, flipped(strap)):
        part = canvas.instance(word.EPAULETTE)
        canvas.fill(points, colour, garment, part, volume=0.25, shadow=0.4)
        canvas.stroke(points[:4], 0.03, BRASS, garment, part)
        canvas.fill(ellipse((points[1][0], points[1][1] + 0.1), 0.045, 0.045, 14), BRASS)


def hood(canvas: Canvas, garment: Instance, fabric: Fabric, worn: bool) -> None:
    """A hood: laid back about the neck when `worn`, standing up otherwise."""
    part = canvas.instance(word.HOOD)
    if worn:
        canvas.fill(ellipse((0, 1.12), 0.66, 0.46), fabric, garment, part, volume=0.35, shadow=0.3)
        canvas.fill(ellipse((0, 1.1), 0.42, 0.33), fabric.darker(0.5), garment, part, volume=0.2)
        return
    dome = both([(0, 0.2), (0.4, 0.28), (0.6, 0.8), (0.5, 1.4), (0, 1.6)])
    canvas.fill(rounded(dome), fabric, garment, part, volume=0.35, shadow=0.3)
    opening = both([(0, 0.42), (0.28, 0.5), (0.38, 0.9), (0.26, 1.38), (0, 1.5)])
    canvas.fill(rounded(opening), fabric.darker(0.45), garment, part, volume=0.2)


def drawstrings(canvas: Canvas) -> None:
    """The cords of a hood."""
    for side in (-1, 1):
        canvas.stroke([(0.14 * side, 1.5), (0.17 * side, 2.05)], 0.045, (238, 234, 226))


def bow(canvas: Canvas, centre: Point, size: float, colour: Colour, *of: Instance) -> None:
    """Two loops, a knot and short ends."""
    part = canvas.instance(word.BOW)
    dark = shaded(colour, 0.7)
    with canvas.moved(centre, size):
        for turn in (np.asarray, flipped):
            end = turn([(0.04, 0.1), (0.2, 0.1), (0.48, 0.85), (0.2, 0.72)])
            canvas.fill(end, dark, part, *of, volume=0.2)
            loop = turn(
                [(0.05, -0.05), (0.7, -0.55), (0.95, -0.3), (0.95, 0.3), (0.7, 0.5), (0.05, 0.1)]
            )
            canvas.fill(rounded(loop, 1), colour, part, *of, volume=0.4, shadow=0.35)
            canvas.stroke(turn([(0.15, 0.0), (0.6, -0.08)]), 0.06, dark)
            canvas.stroke(turn([(0.15, 0.05), (0.55, 0.16)]), 0.05, dark)
        canvas.fill(ellipse((0, 0.02), 0.17, 0.22), dark, part, *of, volume=0.3)


def flower(canvas: Canvas, centre: Point, size: float, colour: Colour, *of: Instance) -> None:
    """A blossom of cloth on two leaves."""
    part = canvas.instance(word.FLOWER)
    with canvas.moved(centre, size):
        for side in (-1, 1):
            leaf = [(0.3 * side, 0.3), (0.8 * side, 0.55), (1.2 * side, 0.95), (0.6 * side, 0.9)]
            canvas.fill(rounded(leaf), (62, 104, 62), part, *of, volume=0.25)
        for reach, shade in ((0.58, 0.9), (0.3, 1.12)):
            for angle in np.arange(6) * np.pi / 3 + reach:
                petal = (reach * np.cos(angle), reach * np.sin(angle))
                paint = shaded(colour, shade)
                canvas.fill(ellipse(petal, 0.4, 0.4, 18), paint, part, *of, volume=0.4, shadow=0.15)
        canvas.fill(ellipse((0, 0), 0.2, 0.2, 16), (238, 196, 70), part, *of, volume=0.3)


def beads(canvas: Canvas, garment: Instance, curve: Points, colour: Colour) -> None:
    """Round beads sewn along a line."""
    part = canvas.instance(word.BEAD)
    spots = evenly(curve, 0.13)
    for spot in spots:
        canvas.fill(ellipse(spot, 0.075, 0.075, 16), shaded(colour, 0.62), garment, part)
        canvas.fill(ellipse(spot - (0.015, 0.015), 0.055, 0.055, 14), colour)
        canvas.fill(ellipse(spot - (0.03, 0.03), 0.018, 0.018, 8), (255, 255, 255))


def fringe(canvas: Canvas, garment: Instance, edge: Points, length: float, colour: Colour) -> None:
    """Loose threads hanging from an edge."""
    part = canvas.instance(word.FRINGE)
    for index, spot in enumerate(evenly(edge, 0.062)):
        sway = 0.03 * np.sin(index * 2.1)
        shade = shaded(colour, 0.78 + 0.22 * (index % 3) / 2)
        end = np.add(spot, (sway, length * (0.9 + 0.1 * np.sin(index * 1.7))))
        canvas.stroke([spot, end], 0.042, shade, garment, part)


def tassel(canvas: Canvas, top: Point, length: float, colour: Colour, *of: Instance) -> None:
    """A bound bunch of threads on a cord."""
    part = canvas.instance(word.TASSEL)
    x, y = top
    knot = y + length * 0.4
    canvas.stroke([(x, y), (x, knot)], 0.04, shaded(colour, 0.7), part, *of)
    skirt = [(x - 0.07, knot), (x + 0.07, knot), (x + 0.16, y + length), (x - 0.16, y + length)]
    canvas.fill(skirt, colour, part, *of, volume=0.2, shadow=0.3)
    for off in (-0.09, -0.03, 0.03, 0.09):
        canvas.stroke(
            [(x + off * 0.5, knot + 0.1), (x + off, y + length)], 0.018, shaded(colour, 0.6)
        )
    canvas.fill(ellipse((x, knot), 0.1, 0.09, 16), shaded(colour, 0.85), part, *of, volume=0.3)
    canvas.fill(rectangle(x - 0.085, knot + 0.08, x + 0.085, knot + 0.14), BRASS)


def ribbon(canvas: Canvas, garment: Instance, y: float, half: float, colour: Colour) -> None:
    """A satin sash about the waist, with two long ends."""
    part = canvas.instance(word.RIBBON)
    paint = Fabric(colour, pattern="leather", period=0.12, folds=0.12)
    for points in (
        [(0.1, y), (0.26, y), (0.42, y + 1.35), (0.3, y + 1.25), (0.2, y + 1.35)],
        [(0.16, y), (0.02, y), (-0.08, y + 1.15), (0.02, y + 1.05), (0.1, y + 1.15)],
    ):
        canvas.fill(points, paint, garment, part, volume=0.15, shadow=0.35)
    band = rectangle(-half, y - 0.1, half, y + 0.12)
    canvas.fill(band, paint, garment, part, volume=0.2)
    canvas.fill(
        ellipse((0.14, y + 0.01), 0.13, 0.15), shaded(colour, 0.85), garment, part, volume=0.3
    )


def rivets(canvas: Canvas, garment: Instance, spots: Points, colour: Colour = STEEL) -> None:
    """Metal studs."""
    part = canvas.instance(word.RIVET)
    for spot in np.asarray(spots, dtype=float):
        canvas.fill(ellipse(spot, 0.062, 0.062, 14), shaded(colour, 0.5), garment, part)
        canvas.fill(ellipse(spot - (0.008, 0.01), 0.045, 0.045, 12), colour)
        canvas.fill(ellipse(spot - (0.02, 0.022), 0.016, 0.016, 8), (255, 255, 255))


def ruffle(canvas: Canvas, garment: Instance, edge: Points, depth: float, fabric: Fabric) -> None:
    """A gathered strip along an edge, waving at its lower side."""
    part = canvas.instance(word.RUFFLE)
    top = evenly(edge, 0.07)
    wave = np.column_stack([np.zeros(len(top)), depth + 0.07 * np.sin(np.arange(len(top)) * 1.25)])
    bottom = top + wave
    outline = np.vstack([top, bottom[::-1]])
    canvas.fill(outline, fabric, garment, part, volume=0.3, shadow=0.35)
    for above, below in zip(top[2::5], bottom[2::5], strict=True):
        canvas.stroke([above, below - (0.01, 0.03)], 0.03, shaded(fabric.colour, 0.6), alpha=0.8)
    canvas.stroke(bottom, 0.025, shaded(fabric.colour, 0.55), alpha=0.7)
    seam(canvas, top, fabric.colour, 0.03)


def applique(
    canvas: Canvas, garment: Instance, centre: Point, shape: str, ground: Colour, colour: Colour
) -> None:
    """A sewn-on patch: a star, a heart or a bolt on a disc with stitches."""
    part = canvas.instance(word.APPLIQUE)
    with canvas.moved(centre):
        canvas.fill(ellipse((0, 0), 0.36, 0.36), colour, garment, part, volume=0.1, shadow=0.3)
        for angle in np.arange(18) * np.pi / 9:
            inner, outer = 0.29, 0.33
            ray = np.array((np.cos(angle), np.sin(angle)))
            canvas.stroke([ray * inner, ray * outer], 0.025, ground)
        canvas.fill(SHAPES[shape], ground, garment, part)


def buckle(canvas: Canvas, centre: Point, size: float, colour: Colour, *of: Instance) -> None:
    """A metal frame with a prong."""
    part = canvas.instance(word.BUCKLE)
    with canvas.moved(centre, size):
        frame = rounded(rectangle(-0.5, -0.48, 0.5, 0.48), 1)
        canvas.fill(frame, colour, part, *of, volume=0.3, shadow=0.4)
        canvas.fill(rounded(rectangle(-0.3, -0.28, 0.3, 0.28), 1), shaded(colour, 0.3), part, *of)
        canvas.stroke([(-0.4, 0), (0.36, 0)], 0.13, shaded(colour, 1.1), part, *of)


def evenly(curve: Points, step: float) -> np.ndarray:
    """Points along a curve, `step` figure units apart: float [points, 2]."""
    line = np.asarray(curve, dtype=float)
    lengths = np.hypot(*np.diff(line, axis=0).T)
    reached = np.concatenate([[0], np.cumsum(lengths)])
    wanted = np.linspace(0, reached[-1], max(2, round(reached[-1] / step) + 1))
    return np.column_stack(
        [np.interp(wanted, reached, line[:, 0]), np.interp(wanted, reached, line[:, 1])]
    )


def _star() -> np.ndarray:
    angles = np.arange(10) * np.pi / 5 - np.pi / 2
    reach = np.where(np.arange(10) % 2, 0.1, 0.25)
    return np.column_stack([reach * np.cos(angles), reach * np.sin(angles)])


def _heart() -> np.ndarray:
    t = np.linspace(0, 2 * np.pi, 30)
    x = 16 * np.sin(t) ** 3
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return np.column_stack([x, -y]) * 0.014


SHAPES = {
    "star": _star(),
    "heart": _heart(),
    "bolt": np.array(
        [(0.05, -0.25), (-0.14, 0.04), (-0.02, 0.04), (-0.06, 0.25), (0.15, -0.06), (0.02, -0.06)]
    ),
}
