"""Garments for hips and legs, dresses and jumpsuits, and what is worn on the feet."""

import numpy as np

from retailer import parts
from retailer import vocabulary as word
from retailer.canvas import Canvas, Instance, both, flipped, limb, rectangle, rounded
from retailer.figure import Pose
from retailer.patterns import shaded
from retailer.pieces import Piece
from retailer.uppers import WAIST, draw_bodice


def draw_lower(canvas: Canvas, piece: Piece, pose: Pose) -> None:
    """Pants, shorts or a skirt."""
    garment = canvas.instance(piece.label)
    if piece.label == word.SKIRT:
        of = [garment]
        if word.SEQUIN in piece.parts:
            of.append(canvas.instance(word.SEQUIN))
        _skirt(canvas, piece, of)
    else:
        _legs(canvas, piece, pose, [garment])
    waistband = rectangle(-0.53, WAIST - 0.06, 0.53, WAIST + 0.12)
    canvas.fill(waistband, piece.fabric.darker(0.8), garment, volume=0.2)
    if word.RIBBON in piece.parts:
        parts.ribbon(canvas, garment, WAIST + 0.04, 0.54, piece.accent)


def draw_one_piece(canvas: Canvas, piece: Piece, pose: Pose, worn: bool) -> None:
    """A dress or a jumpsuit."""
    of = [canvas.instance(piece.label)]
    if word.SEQUIN in piece.parts:
        of.append(canvas.instance(word.SEQUIN))
    if piece.label == word.DRESS:
        _skirt(canvas, piece, of)
    else:
        _legs(canvas, piece, pose, of)
    draw_bodice(canvas, piece, pose, of, worn)
    dark = shaded(piece.fabric.colour, 0.5)
    half = 0.5 + piece.cut["ease"] * 1.6
    canvas.stroke([(-half, WAIST), (half, WAIST)], 0.035, dark, alpha=0.7)
    if word.RIBBON in piece.parts:
        parts.ribbon(canvas, of[0], WAIST, half + 0.02, piece.accent)


def _skirt(canvas: Canvas, piece: Piece, of: list[Instance]) -> None:
    low, wide, fabric = piece.cut["skirt_hem"], piece.cut["skirt_width"], piece.fabric
    middle = (WAIST + low) / 2
    half = [(0, WAIST - 0.06), (0.52, WAIST - 0.06), (0.72, 3.4), ((0.72 + wide) / 2, middle + 0.3)]
    half += [(wide, low), (wide * 0.5, low + 0.07), (0, low + 0.09)]
    hem = np.array([(wide, low - 0.02), (wide * 0.5, low + 0.05), (0, low + 0.07)])
    edge = np.vstack([flipped(hem), hem[::-1][1:]])
    if word.FRINGE in piece.parts:
        parts.fringe(canvas, of[0], edge - (0, 0.05), 0.5, shaded(piece.accent, 0.9))
    region = canvas.fill(rounded(both(half), 1), fabric, *of, volume=0.32, shadow=0.45)
    dark = shaded(fabric.colour, 0.45)
    pleats = np.linspace(-0.85, 0.85, 9 if piece.style == "pleated" else 4)
    depth = 0.34 if piece.style == "pleated" else 0.16
    for share in pleats:
        fold = [
            (share * 0.5, WAIST + 0.15),
            (share * (0.72 + wide) / 2, middle),
            (share * wide, low),
        ]
        canvas.stroke(rounded(fold, 2, closed=False), 0.05, dark, alpha=depth, clip=region)
    if word.RUFFLE in piece.parts:
        parts.ruffle(canvas, of[0], edge - (0, 0.3), 0.42, fabric.darker(0.85))
        if low > 4.6:
            parts.ruffle(canvas, of[0], (edge - (0, 0.85)) * (0.93, 1), 0.36, fabric.darker(0.92))
    elif word.FRINGE not in piece.parts:
        canvas.stroke(edge - (0, 0.08), 0.022, dark, alpha=0.5, clip=region)
    if word.ZIPPER in piece.parts:
        parts.zipper(canvas, of[0], 0.0, WAIST + 0.1, low - 0.1)


def _legs(canvas: Canvas, piece: Piece, pose: Pose, of: list[Instance]) -> None:
    low, wide, fabric = piece.cut["leg_hem"], piece.cut["leg_width"], piece.fabric
    dark = shaded(fabric.colour, 0.45)
    seat = both([(0, WAIST - 0.05), (0.52, WAIST - 0.05), (0.69, 3.45), (0.7, 3.9), (0, 3.95)])
    canvas.fill(rounded(seat, 1), fabric, *of, volume=0.3, shadow=0.3)
    for side in (-1, 1):
        knee, ankle = pose.leg(side)[1:3]
        share = min(1.0, max(0.0, (low - 3.6) / 2.8))
        end_x = np.interp(low, [3.6, 5.1, 6.4], [0.33, abs(knee[0]), abs(ankle[0])])
        outer_hip, inner_hip = 0.68, 0.015
        outer, inner = end_x + wide, max(end_x - wide, 0.03)
        half = [(0.3, 3.1), (outer_hip - 0.02, 3.3), (outer_hip + 0.02, 3.8)]
        if share > 0.5:
            half += [(0.58 + (outer - 0.58) * 0.55, 5.0)]
        half += [(outer, low), (inner, low + 0.03)]
        if share > 0.5:
            half += [(0.1 + (inner - 0.1) * 0.6, 5.0)]
        half += [(inner_hip, 3.9), (inner_hip, 3.2)]
        outline = np.array(half) * (side, 1)
        region = canvas.fill(rounded(outline, 1), fabric, *of, volume=0.36, shadow=0.3)
        crease = [(0.34 * side, 4.0), ((outer + inner) / 2 * side, low)]
        canvas.stroke(crease, 0.025, dark, alpha=0.35, clip=region)
        hem = rectangle(-2, low - 0.12, 2, low + 0.2)
        canvas.fill(hem, fabric.darker(0.82), clip=region)
        canvas.stroke([(0.6 * side, 3.95), (0.1 * side, 4.08)], 0.045, dark, alpha=0.3, clip=region)
    canvas.stroke([(0, WAIST), (0, 3.85)], 0.03, dark, alpha=0.8)
    if word.POCKET in piece.parts and piece.label != word.JUMPSUIT:
        for side in (-1, 1):
            parts.pocket(canvas, of[0], fabric, (0.44 * side, 4.05 if low > 5 else 3.85), 0.42)
    if word.RIVET in piece.parts:
        column = np.array([(0.56, y) for y in np.arange(3.1, min(low, 6.0) - 0.2, 0.2)])
        parts.rivets(canvas, of[0], np.vstack([column, flipped(column)]))
    if word.FRINGE in piece.parts:
        for side in (-1, 1):
            x = abs(pose.leg(side)[2][0])
            edge = np.array([(x - wide * 0.9, low - 0.04), (x + wide * 0.9, low - 0.04)])
            parts.fringe(canvas, of[0], edge * (side, 1), 0.3, shaded(piece.accent, 0.9))


def draw_tights(canvas: Canvas, piece: Piece, pose: Pose) -> None:
    """Tights, from the waist to the toes."""
    tights = canvas.instance(word.TIGHTS)
    seat = both([(0, WAIST), (0.5, WAIST), (0.66, 3.5), (0.64, 4.0), (0, 4.0)])
    canvas.fill(rounded(seat, 1), piece.fabric, tights, volume=0.35)
    for side in (-1, 1):
        hip, knee, ankle, toe = pose.leg(side)
        outline = limb([hip, knee, ankle, toe], [0.34, 0.215, 0.145, 0.14])
        canvas.fill(rounded(outline), piece.fabric, tights, volume=0.45)
    band = rectangle(-0.5, WAIST - 0.02, 0.5, WAIST + 0.12)
    canvas.fill(band, piece.fabric.darker(0.7), tights)


def draw_socks(canvas: Canvas, piece: Piece, pose: Pose) -> None:
    """A pair of knee-high socks with a ribbed top."""
    for side in (-1, 1):
        sock = canvas.instance(word.SOCK)
        _, knee, ankle, toe = pose.leg(side)
        start = ankle + (knee - ankle) * piece.cut["height"]
        outline = limb([start, ankle, toe], [0.2, 0.16, 0.15])
        region = canvas.fill(rounded(outline, 1), piece.fabric, sock, volume=0.35)
        for row in (0.08, 0.2):
            stripe = rectangle(-2, start[1] + row, 2, start[1] + row + 0.07)
            canvas.fill(stripe, piece.accent, sock, clip=region)


def draw_leg_warmers(canvas: Canvas, piece: Piece, pose: Pose) -> None:
    """A pair of knitted tubes between knee and ankle."""
    for side in (-1, 1):
        warmer = canvas.instance(word.LEG_WARMER)
        _, knee, ankle, _ = pose.leg(side)
        start, end = np.add(knee, (0, 0.15)), np.add(ankle, (0, -0.02))
        outline = limb([start, (start + end) / 2, end], [0.27, 0.27, 0.31])
        region = canvas.fill(rounded(outline, 1), piece.fabric, warmer, volume=0.4, shadow=0.4)
        for y in np.arange(start[1] + 0.12, end[1], 0.19):
            sag = [(-2, y + 0.05), (start[0] - 0.1, y), (start[0] + 0.1, y + 0.05), (2, y - 0.02)]
            canvas.stroke(sag, 0.05, shaded(piece.fabric.colour, 0.5), alpha=0.45, clip=region)


def draw_shoes(canvas: Canvas, piece: Piece, pose: Pose) -> None:
    """A pair of shoes on the feet, from the front."""
    for side in (-1, 1):
        shoe = canvas.instance(word.SHOE)
        _, _, ankle, toe = pose.leg(side)
        top = {"boot": 6.0, "pump": 6.48}.get(piece.style, 6.32)
        x, foot = ankle[0], toe[0]
        outer = np.array(
            [(x - 0.17, top), (x + 0.17, top), (foot + 0.21, 6.66), (foot + 0.2, 6.82)]
        )
        outline = np.vstack([outer, [(foot - 0.2, 6.82), (foot - 0.21, 6.66)]])
        region = canvas.fill(rounded(outline, 1), piece.fabric, shoe, volume=0.35, shadow=0.3)
        sole = (246, 244, 240) if piece.style == "sneaker" else (40, 34, 32)
        canvas.fill(rectangle(foot - 0.3, 6.74, foot + 0.3, 6.9), sole, shoe, clip=region)
        if piece.style == "sneaker":
            for y in (6.42, 6.51, 6.6):
                canvas.stroke([(foot - 0.09, y), (foot + 0.09, y)], 0.04, (250, 248, 244))
