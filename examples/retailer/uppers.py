"""Garments for the trunk, and the bodices of dresses and jumpsuits."""

import numpy as np

from retailer import parts
from retailer import vocabulary as word
from retailer.canvas import Canvas, Instance, both, ellipse, flipped, limb, rectangle, rounded
from retailer.figure import Pose
from retailer.patterns import Fabric, shaded
from retailer.pieces import Piece

NECKS: dict[str, list[tuple[float, float]]] = {
    "crew": [(0, 1.52), (0.14, 1.49), (0.23, 1.38), (0.26, 1.28)],
    "scoop": [(0, 1.86), (0.16, 1.8), (0.28, 1.6), (0.32, 1.3)],
    "v": [(0, 2.12), (0.1, 1.9), (0.2, 1.62), (0.28, 1.28)],
    "square": [(0, 1.8), (0.36, 1.8), (0.38, 1.6), (0.37, 1.32)],
    "boat": [(0, 1.52), (0.2, 1.5), (0.38, 1.44), (0.48, 1.36)],
    "roll": [(0, 1.4), (0.1, 1.38), (0.2, 1.32), (0.23, 1.24)],
}
WAIST = 2.78


def draw_upper(canvas: Canvas, piece: Piece, pose: Pose, worn: bool) -> None:
    """A shirt, top, sweater, cardigan, jacket, vest or coat.

    Args:
        worn: whether somebody wears it; if not, the inside of its back shows in the neck.
    """
    garment = canvas.instance(piece.label)
    of = [garment, *_all_over(canvas, piece)]
    if word.HOOD in piece.parts:
        parts.hood(canvas, garment, piece.fabric, worn)
    elif not worn:
        _inside(canvas, piece, garment)
    _sleeves(canvas, piece, pose, garment)
    if piece.front == "open":
        _open_front(canvas, piece, of)
    else:
        _trunk(canvas, piece, of)
    _decorate(canvas, piece, garment, worn)


def draw_bodice(canvas: Canvas, piece: Piece, pose: Pose, of: list[Instance], worn: bool) -> None:
    """The upper half of a dress or jumpsuit, down to the waist."""
    if not worn:
        _inside(canvas, piece, of[0])
    _sleeves(canvas, piece, pose, of[0])
    _trunk(canvas, piece, of)
    _decorate(canvas, piece, of[0], worn)


def neck_curve(piece: Piece) -> np.ndarray:
    """The edge of the neck opening, from the right side over the middle to the left."""
    right = np.array(NECKS[piece.neck])
    return np.vstack([right[::-1], flipped(right[1:])])


def _all_over(canvas: Canvas, piece: Piece) -> list[Instance]:
    return [canvas.instance(word.SEQUIN)] if word.SEQUIN in piece.parts else []


def _inside(canvas: Canvas, piece: Piece, garment: Instance) -> None:
    side, low = NECKS[piece.neck][-1][0], NECKS[piece.neck][0][1]
    back = both([(0, 1.3), (side, 1.24), (side + 0.03, 1.36), (side * 0.6, low), (0, low + 0.05)])
    canvas.fill(back, piece.fabric.darker(0.5), garment, volume=0.2)
    canvas.fill(rectangle(-0.07, 1.36, 0.07, 1.44), (240, 238, 232))


def _half(piece: Piece) -> list[tuple[float, float]]:
    """The right half of the trunk's outline, from the neck to the hem."""
    ease, hem = piece.cut["ease"], piece.cut["hem"]
    flare = piece.cut.get("flare", 0.0)
    shoulder = 0.72 if word.SLEEVE in piece.parts else 0.58
    neck = NECKS[piece.neck]
    outline = [*neck, (shoulder + ease * 0.5, 1.46), (0.72 + ease * 0.6, 1.62)]
    if word.SLEEVE not in piece.parts:
        outline = [*neck, (shoulder, 1.42), (0.56, 1.75)]
    outline += [(0.68 + ease, 2.1), (0.5 + ease * 1.6, min(WAIST, hem))]
    if hem > WAIST + 0.1:
        outline += [(0.66 + ease * 1.2 + flare * 0.3, min(3.45, hem))]
    if hem > 3.6:
        outline += [(0.7 + ease + flare, hem)]
    return outline


def _trunk(canvas: Canvas, piece: Piece, of: list[Instance]) -> None:
    half = _half(piece)
    low = half[-1][1]
    outline = both([*half, (half[-1][0] * 0.5, low + 0.04), (0, low + 0.05)])
    # Cutting all corners would blunt the points of a collar's opening: round only once.
    region = canvas.fill(rounded(outline, 1), piece.fabric, *of, volume=0.34, shadow=0.45)
    dark = shaded(piece.fabric.colour, 0.5)
    for side in (-1, 1):
        fold = [(0.5 * side, 2.15), (0.34 * side, 2.5), (0.4 * side, 3.0)]
        canvas.stroke(fold, 0.05, dark, alpha=0.14, clip=region)
        if word.SLEEVE in piece.parts:
            armhole = [(0.66 * side, 1.46), (0.62 * side, 1.8), (0.68 * side, 2.1)]
            canvas.stroke(rounded(armhole, 2, closed=False), 0.025, dark, alpha=0.6, clip=region)
    if piece.cut.get("rib"):
        edge = rectangle(-2, low - 0.2, 2, low + 0.1)
        canvas.fill(edge, _rib(piece.fabric), clip=region)
    else:
        canvas.stroke([(-1.5, low - 0.06), (1.5, low - 0.06)], 0.02, dark, alpha=0.5, clip=region)
    if piece.front == "buttons":
        canvas.stroke([(0.1, 1.3), (0.1, low)], 0.02, dark, alpha=0.7, clip=region)
        start = NECKS[piece.neck][0][1] + 0.16
        parts.buttons(canvas, 0.0, start, min(low, 4.2) - 0.1, piece.accent)


def _open_front(canvas: Canvas, piece: Piece, of: list[Instance]) -> None:
    half = _half(piece)
    gap, low = piece.cut["gap"], half[-1][1]
    side = [half[len(NECKS[piece.neck]) - 1], *half[len(NECKS[piece.neck]) :]]
    panel = [*side, (gap + 0.12, low + 0.05), (gap, 2.9), (gap - 0.02, 2.3), (0.2, 1.5)]
    for turn in (np.asarray, flipped):
        outline = turn(panel)
        region = canvas.fill(rounded(outline, 1), piece.fabric, *of, volume=0.34, shadow=0.5)
        if piece.label == word.CARDIGAN:
            edge = turn([(0.22, 1.4), (gap + 0.02, 2.3), (gap + 0.04, 2.9), (gap + 0.14, low)])
            canvas.stroke(edge, 0.12, _rib(piece.fabric), *of, clip=region)
        fold = turn([(0.55, 2.2), (0.48, 2.7), (0.56, 3.2)])
        canvas.stroke(fold, 0.05, shaded(piece.fabric.colour, 0.5), alpha=0.16, clip=region)


def _rib(fabric: Fabric) -> Fabric:
    return fabric.darker(0.86).as_pattern("rib", 0.075)


def _sleeves(canvas: Canvas, piece: Piece, pose: Pose, garment: Instance) -> None:
    if word.SLEEVE not in piece.parts:
        return
    length, width = piece.cut["sleeve"], piece.cut["width"]
    for side in (-1, 1):
        sleeve = canvas.instance(word.SLEEVE)
        shoulder, elbow, wrist = pose.arm(side)[:3]
        start = np.add(shoulder, ((-0.06 - piece.cut["ease"] * 0.2) * side, -0.02))
        if length <= 1:
            path = [start, shoulder + (elbow - shoulder) * length]
            widths = [width * 1.12, width]
        else:
            end = elbow + (wrist - elbow) * (length - 1)
            path = [start, elbow, end]
            widths = [width * 1.12, width * 0.95, width * piece.cut.get("cuff", 0.8)]
        outline = limb(path, widths)
        region = canvas.fill(
            rounded(outline, 1), piece.fabric.darker(0.93), garment, sleeve, volume=0.4, shadow=0.3
        )
        near, end = path[-2], path[-1]
        along = (end - near) / np.linalg.norm(end - near)
        band = limb([end - along * 0.14, end - along * 0.02], [width * 1.1] * 2)
        paint = _rib(piece.fabric) if piece.cut.get("rib") else piece.fabric.darker(0.82)
        canvas.fill(band, paint, garment, sleeve, clip=region)
        if length > 1:
            crease = [np.add(elbow, (0.1 * side, -0.08)), np.add(elbow, (-0.1 * side, 0.06))]
            dark = shaded(piece.fabric.colour, 0.45)
            canvas.stroke(crease, 0.04, dark, alpha=0.25, clip=region)


def _decorate(canvas: Canvas, piece: Piece, garment: Instance, worn: bool) -> None:
    """The parts and decorations that a piece has, in the order in which they overlap."""
    has, fabric, accent = piece.parts, piece.fabric, piece.accent
    hem = piece.cut["hem"]
    trim = Fabric(accent) if piece.cut.get("trim") else fabric.darker(0.72)
    if word.RUFFLE in has and piece.label in (word.SHIRT, word.DRESS):
        edge = [(-0.56, 1.92), (-0.3, 2.1), (0, 2.16), (0.3, 2.1), (0.56, 1.92)]
        parts.ruffle(canvas, garment, edge, 0.3, fabric.darker(0.86))
    if word.ZIPPER in has:
        top = NECKS[piece.neck][0][1] + 0.04
        x = 0.2 if piece.style == "biker" else 0.0
        if piece.front == "open":
            x, top = piece.cut["gap"] + 0.06, 2.0
        parts.zipper(canvas, garment, x, top, min(hem, 3.9) - 0.04)
    if word.NECKLINE in has:
        if piece.neck == "roll":
            tube = both([(0, 0.98), (0.24, 0.98), (0.28, 1.32), (0.12, 1.44), (0, 1.46)])
            part = canvas.instance(word.NECKLINE)
            canvas.fill(tube, _rib(fabric), garment, part, volume=0.3, shadow=0.3)
        else:
            parts.neckline(canvas, garment, neck_curve(piece), trim)
    if word.BEAD in has:
        parts.beads(canvas, garment, neck_curve(piece) * (1.18, 1.0) + (0, 0.15), accent)
    if word.COLLAR in has and word.LAPEL not in has:
        parts.collar(canvas, garment, fabric.darker(0.94), spread=piece.front == "open")
    if word.LAPEL in has:
        gap = piece.cut["gap"] if piece.front == "open" else 0.03
        parts.lapels(canvas, garment, fabric.darker(0.94), gap, 2.45)
    if word.HOOD in has and piece.front != "open" and piece.label == word.TOP:
        parts.drawstrings(canvas)
    if word.EPAULETTE in has:
        parts.epaulettes(canvas, garment, shaded(accent, 0.9))
    if word.POCKET in has:
        _pockets(canvas, piece, garment)
    if word.RIVET in has:
        studs = parts.evenly([(0.62, 1.9), (0.5, 1.75), (0.42, 2.3)], 0.17)
        parts.rivets(canvas, garment, np.vstack([studs, flipped(studs)]))
    if word.APPLIQUE in has:
        shape = ("star", "heart", "bolt")[int(piece.cut["shape"])]
        ground = fabric.colour if fabric.pattern != "sequin" else (40, 40, 48)
        parts.applique(canvas, garment, (0.0, 2.3), shape, ground, accent)
    if word.FLOWER in has:
        parts.flower(canvas, (0.36, 1.86), 0.22, accent, garment)
    if word.BOW in has:
        spot = (0.0, 1.66) if piece.label == word.SHIRT else (0.0, 2.05)
        parts.bow(canvas, spot, 0.36, accent, garment)
    if word.BELT in has:
        draw_waist_belt(canvas, 0.52 + piece.cut["ease"] * 1.7, WAIST, piece.accent, garment)


def _pockets(canvas: Canvas, piece: Piece, garment: Instance) -> None:
    fabric, x = piece.fabric, 0.44 + piece.cut["ease"]
    match piece.label:
        case word.SHIRT | word.DRESS | word.JUMPSUIT:
            parts.pocket(canvas, garment, fabric, (0.34, 2.2), 0.36)
        case word.TOP:
            part = canvas.instance(word.POCKET)
            front = [
                (-0.3, 2.5),
                (0.3, 2.5),
                (0.48, 2.75),
                (0.48, 3.0),
                (-0.48, 3.0),
                (-0.48, 2.75),
            ]
            canvas.fill(front, fabric.darker(0.88), garment, part, volume=0.2, shadow=0.35)
            parts.seam(canvas, [*front, front[0]], fabric.colour, 0.03)
        case word.COAT:
            for side in (-1, 1):
                parts.pocket(canvas, garment, fabric, (0.5 * side, 3.5), 0.44)
        case _:
            y = 2.78 if piece.label == word.CARDIGAN else 2.86
            for side in (-1, 1):
                parts.pocket(canvas, garment, fabric, (x * side, y), 0.36)


def draw_waist_belt(
    canvas: Canvas, half: float, y: float, colour: tuple[int, int, int], *of: Instance
) -> None:
    """A belt with its buckle, about the waist."""
    belt = canvas.instance(word.BELT)
    paint = Fabric(colour, pattern="leather", period=0.25)
    canvas.fill(
        rectangle(-half, y - 0.11, half, y + 0.11), paint, belt, *of, volume=0.25, shadow=0.4
    )
    for x in (0.28, 0.38, 0.48):
        canvas.fill(ellipse((x, y), 0.025, 0.025, 10), shaded(colour, 0.3))
    parts.buckle(canvas, (0, y), 0.36, parts.BRASS, belt, *of)


def draw_cape(canvas: Canvas, piece: Piece, worn: bool) -> None:
    """A cape that covers both arms."""
    garment = canvas.instance(word.CAPE)
    fabric, low = piece.fabric, piece.cut["hem"]
    if word.HOOD in piece.parts:
        parts.hood(canvas, garment, fabric, worn)
    elif not worn:
        canvas.fill(ellipse((0, 1.33), 0.26, 0.13), fabric.darker(0.5), garment)
    half = [(0, 1.46), (0.2, 1.4), (0.26, 1.26), (0.8, 1.5), (1.18, 2.3), (1.52, low - 0.5)]
    hem = [(1.56, low - 0.3), (1.2, low - 0.08), (0.6, low + 0.06), (0, low + 0.1)]
    if word.FRINGE in piece.parts:
        edge = np.vstack([hem, flipped(hem)[::-1][1:]]) - (0, 0.06)
        parts.fringe(canvas, garment, edge, 0.42, shaded(piece.accent, 0.9))
    region = canvas.fill(rounded(both([*half, *hem]), 1), fabric, garment, volume=0.3, shadow=0.5)
    dark = shaded(fabric.colour, 0.5)
    for x in (0.35, 0.75, 1.1):
        for side in (-1, 1):
            fold = [(x * 0.55 * side, 2.0), (x * 0.95 * side, 3.2), (x * 1.15 * side, low)]
            canvas.stroke(rounded(fold, 2, closed=False), 0.055, dark, alpha=0.22, clip=region)
    canvas.stroke([(0, 1.46), (0.02, 2.8), (0, low + 0.1)], 0.03, dark, alpha=0.8, clip=region)
    if word.COLLAR in piece.parts:
        parts.collar(canvas, garment, fabric.darker(0.9))
    if word.TASSEL in piece.parts:
        canvas.stroke([(-0.24, 1.5), (0, 1.58), (0.24, 1.5)], 0.05, piece.accent)
        for x in (-0.15, 0.15):
            parts.tassel(canvas, (x, 1.56), 0.85, piece.accent, garment)
