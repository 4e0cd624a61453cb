"""Accessories, each drawn about (0, 0) in a frame that reaches from about -1 to 1."""

from itertools import pairwise

import numpy as np

from retailer import parts
from retailer import vocabulary as word
from retailer.canvas import Canvas, both, ellipse, flipped, limb, rectangle, rounded
from retailer.patterns import Fabric, shaded
from retailer.pieces import Piece


def draw_glasses(canvas: Canvas, piece: Piece) -> None:
    """Glasses from the front, 2 wide; `sun` glasses have dark lenses."""
    glasses = canvas.instance(word.GLASSES)
    frame = piece.accent
    dark = piece.style == "sun"
    canvas.stroke([(-0.2, -0.08), (0, -0.16), (0.2, -0.08)], 0.12, frame, glasses)
    for side in (-1, 1):
        shape = [(0.1, -0.32), (0.9, -0.36), (0.98, 0.0), (0.8, 0.36), (0.3, 0.38), (0.12, 0.1)]
        outline = rounded(np.array(shape) * (side, 1), 2)
        lens = (36, 34, 40) if dark else (206, 224, 232)
        canvas.fill(outline, lens, glasses, alpha=1.0 if dark else 0.55, volume=0.2)
        canvas.stroke([*outline, outline[0]], 0.13, frame, glasses)
        shine = [(0.3 * side, 0.15), (0.55 * side, -0.2)]
        canvas.stroke(shine, 0.07, (255, 255, 255), alpha=0.45)


def draw_hat(canvas: Canvas, piece: Piece) -> None:
    """A hat from the front; the brim's line, or a beanie's edge, is at y = 0."""
    hat = canvas.instance(word.HAT)
    fabric = piece.fabric
    if piece.style == "beanie":
        dome = both([(0, -0.98), (0.45, -0.88), (0.76, -0.45), (0.78, 0.05), (0, 0.08)])
        canvas.fill(rounded(dome), fabric, hat, volume=0.3, shadow=0.2)
        turn_up = both([(0, -0.3), (0.82, -0.3), (0.83, 0.14), (0, 0.16)])
        paint = fabric.darker(0.85).as_pattern("rib", 0.16)
        canvas.fill(rounded(turn_up, 1), paint, hat, volume=0.3, shadow=0.3)
        canvas.fill(ellipse((0, -1.02), 0.26, 0.26), piece.accent, hat, volume=0.5, shadow=0.2)
    elif piece.style == "cap":
        dome = both([(0, -0.78), (0.5, -0.72), (0.8, -0.3), (0.8, 0.04), (0, 0.06)])
        region = canvas.fill(rounded(dome), fabric, hat, volume=0.3, shadow=0.2)
        for x in (-0.35, 0.35):
            seam = [(0, -0.78), (x, -0.4), (x * 1.1, 0.02)]
            canvas.stroke(seam, 0.035, shaded(fabric.colour, 0.6), clip=region)
        peak = both([(0, -0.06), (0.72, -0.02), (0.86, 0.18), (0.5, 0.3), (0, 0.34)])
        canvas.fill(rounded(peak), shaded(piece.accent, 0.9), hat, volume=0.35, shadow=0.35)
    else:
        wide = 1.5 if piece.style == "brim" else 1.08
        sag = 0.12 if piece.style == "brim" else 0.26
        brim = ellipse((0, 0.02), wide, 0.24 + sag * 0.4)
        canvas.fill(brim, fabric.darker(0.9), hat, volume=0.3, shadow=0.35)
        under = both([(0, 0.14), (0.6, 0.12), (0.72, 0.02), (0, 0.3)])
        canvas.fill(rounded(under), fabric.darker(0.6))
        crown = both([(0, -0.78), (0.42, -0.84), (0.62, -0.6), (0.74, 0.0), (0.4, 0.1), (0, 0.12)])
        canvas.fill(rounded(crown), fabric, hat, volume=0.35, shadow=0.2)
        band = both([(0, -0.2), (0.7, -0.26), (0.735, -0.02), (0.4, 0.08), (0, 0.1)])
        canvas.fill(band, piece.accent, hat, volume=0.2)
        canvas.stroke([(-0.2, -0.76), (0, -0.6), (0.2, -0.76)], 0.06, shaded(fabric.colour, 0.7))
    if word.FLOWER in piece.parts:
        parts.flower(canvas, (0.55, -0.1), 0.34, shaded(piece.accent, 1.25), hat)


def draw_headband(canvas: Canvas, piece: Piece) -> None:
    """A hair band, about 1.7 wide, its ends at y = 0."""
    band = canvas.instance(word.HEADBAND)
    outer = [(0.86, 0.06), (0.8, -0.4), (0.5, -0.74), (0.0, -0.86)]
    inner = [(0.0, -0.56), (0.4, -0.48), (0.62, -0.24), (0.68, 0.06)]
    right = np.array([*outer, *inner])
    left = flipped(right)[::-1]
    outline = np.vstack([right[:4], left[4:8], left[:4], right[4:]])
    canvas.fill(outline, piece.fabric, band, volume=0.35, shadow=0.3)
    for x in (-0.45, 0.0, 0.4):
        crease = [(x, -0.8 + abs(x) * 0.3), (x * 0.85, -0.55 + abs(x) * 0.3)]
        canvas.stroke(crease, 0.035, shaded(piece.fabric.colour, 0.6), alpha=0.6)
    if word.BOW in piece.parts:
        parts.bow(canvas, (0.25, -0.82), 0.5, piece.accent, band)
    if word.FLOWER in piece.parts:
        for x, y, size in ((0.42, -0.68, 0.3), (-0.02, -0.76, 0.24)):
            parts.flower(canvas, (x, y), size, piece.accent, band)


def draw_tie(canvas: Canvas, piece: Piece) -> None:
    """A tie from its knot at (0, 0) to its point at y = 1.5."""
    tie = canvas.instance(word.TIE)
    blade = both([(0, 0.1), (0.08, 0.12), (0.2, 1.25), (0, 1.5)])
    canvas.fill(blade, piece.fabric, tie, volume=0.3, shadow=0.4)
    knot = both([(0, -0.14), (0.14, -0.14), (0.09, 0.14), (0, 0.15)])
    canvas.fill(knot, piece.fabric.darker(0.85), tie, volume=0.35, shadow=0.35)


def draw_glove(canvas: Canvas, piece: Piece) -> None:
    """One glove, fingers down: its cuff at y = -0.6, its fingertips at y = 1."""
    glove = canvas.instance(word.GLOVE)
    fabric = piece.fabric
    palm = [(-0.3, -0.4), (0.3, -0.4), (0.4, 0.2), (0.36, 0.5), (-0.36, 0.5), (-0.4, 0.1)]
    for x, end in ((-0.28, 0.86), (-0.09, 1.0), (0.1, 0.98), (0.28, 0.82)):
        finger = limb([(x, 0.35), (x * 1.05, end)], [0.115, 0.085])
        canvas.fill(rounded(finger, 2), fabric, glove, volume=0.35)
    thumb = limb([(0.3, 0.0), (0.52, 0.3), (0.56, 0.52)], [0.14, 0.12, 0.08])
    canvas.fill(rounded(thumb, 2), fabric, glove, volume=0.35)
    canvas.fill(rounded(palm, 1), fabric, glove, volume=0.3)
    cuff = [(-0.36, -0.72), (0.36, -0.72), (0.3, -0.32), (-0.3, -0.32)]
    canvas.fill(cuff, fabric.darker(0.75), glove, volume=0.3, shadow=0.2)
    for x in (-0.16, 0.0, 0.16):
        line = [(x, -0.1), (x * 1.1, 0.3)]
        canvas.stroke(line, 0.035, shaded(fabric.colour, 0.6), alpha=0.6)


def draw_watch(canvas: Canvas, piece: Piece) -> None:
    """A wrist watch, its strap upright."""
    watch = canvas.instance(word.WATCH)
    strap = both([(0, -1.0), (0.22, -1.0), (0.3, -0.4), (0.3, 0.4), (0.22, 1.0), (0, 1.0)])
    region = canvas.fill(strap, piece.fabric, watch, volume=0.3, shadow=0.35)
    dark = shaded(piece.fabric.colour, 0.45)
    for y in (-0.85, -0.7, 0.6, 0.72, 0.84):
        canvas.fill(ellipse((0, y), 0.04, 0.035, 10), dark, clip=region)
    metal = piece.accent
    canvas.fill(rectangle(0.5, -0.08, 0.62, 0.08), shaded(metal, 0.8), watch)
    canvas.fill(ellipse((0, 0), 0.55, 0.55), metal, watch, volume=0.3, shadow=0.4)
    face = (246, 244, 238) if piece.style == "light" else (34, 38, 52)
    ink = (40, 40, 46) if piece.style == "light" else (240, 240, 240)
    canvas.fill(ellipse((0, 0), 0.43, 0.43), face, watch)
    for angle in np.arange(12) * np.pi / 6:
        ray = np.array((np.sin(angle), -np.cos(angle)))
        canvas.stroke([ray * 0.33, ray * 0.4], 0.04, ink)
    canvas.stroke([(0, 0), (-0.15, -0.14)], 0.06, ink)
    canvas.stroke([(0, 0), (0.2, -0.24)], 0.04, ink)


def draw_belt(canvas: Canvas, piece: Piece) -> None:
    """A belt lying in a gentle curve, 2 wide, its buckle at the left."""
    belt = canvas.instance(word.BELT)
    x = np.linspace(-0.95, 0.95, 14)
    line = np.column_stack([x, 0.16 * np.cos(x * 1.4) - 0.05])
    outline = limb(line, [0.13] * 14)
    canvas.fill(outline, piece.fabric, belt, volume=0.3, shadow=0.4)
    for off in (-0.1, 0.1):
        canvas.stroke(np.add(line, (0, off)), 0.014, shaded(piece.fabric.colour, 1.5), alpha=0.7)
    for hole in line[-5:-1]:
        canvas.fill(ellipse(hole, 0.025, 0.025, 12), (28, 22, 20))
    if word.RIVET in piece.parts:
        part = np.vstack([np.add(line[3:-5], (0, off)) for off in (-0.05, 0.05)])
        parts.rivets(canvas, belt, part)
    parts.buckle(canvas, (-0.86, line[0][1] + 0.02), 0.42, parts.BRASS, belt)


def draw_sock(canvas: Canvas, piece: Piece) -> None:
    """One sock from the side, toe to the right."""
    sock = canvas.instance(word.SOCK)
    shape = [(-0.45, -0.95), (0.12, -0.95), (0.12, 0.15), (0.75, 0.42), (0.88, 0.7), (0.7, 0.88)]
    shape += [(-0.2, 0.86), (-0.5, 0.6), (-0.47, 0.1)]
    region = canvas.fill(rounded(shape, 2), piece.fabric, sock, volume=0.3, shadow=0.4)
    canvas.fill(ellipse((0.82, 0.68), 0.28, 0.36), piece.accent, sock, clip=region)
    canvas.fill(ellipse((-0.46, 0.66), 0.24, 0.3), piece.accent, sock, clip=region)
    top = piece.fabric.darker(0.8).as_pattern("rib", 0.09)
    canvas.fill(rectangle(-1, -1, 1, -0.68), top, sock, clip=region)


def draw_shoe(canvas: Canvas, piece: Piece) -> None:
    """One shoe from the side, toe to the right, its sole at y = 0.5."""
    shoe = canvas.instance(word.SHOE)
    fabric, accent = piece.fabric, piece.accent
    if piece.style == "boot":
        upper = [
            (-0.72, -0.9),
            (0.02, -0.9),
            (0.06, -0.1),
            (0.66, 0.08),
            (0.92, 0.34),
            (-0.76, 0.34),
        ]
        sole = [(-0.8, 0.32), (0.95, 0.32), (0.92, 0.46), (-0.3, 0.46), (-0.34, 0.6), (-0.8, 0.6)]
        shade = (40, 32, 30)
    elif piece.style == "pump":
        upper = [(-0.9, -0.42), (-0.55, -0.28), (0.0, 0.12), (0.5, 0.08), (0.95, 0.4), (0.3, 0.46)]
        upper += [(-0.3, 0.28), (-0.86, 0.0)]
        sole = [(-0.88, -0.02), (-0.66, 0.1), (-0.74, 0.6), (-0.82, 0.6)]
        shade = shaded(fabric.colour, 0.6)
    else:
        upper = [
            (-0.82, -0.34),
            (-0.6, -0.24),
            (-0.3, -0.3),
            (-0.05, -0.34),
            (0.4, 0.02),
            (0.8, 0.1),
        ]
        upper += [(0.95, 0.38), (-0.85, 0.38)]
        sole = [(-0.9, 0.3), (0.98, 0.3), (0.96, 0.5), (0.8, 0.54), (-0.88, 0.54)]
        shade = (244, 242, 238)
    canvas.fill(rounded(sole, 1), shade, shoe, volume=0.2, shadow=0.4)
    region = canvas.fill(rounded(upper, 1), fabric, shoe, volume=0.3, shadow=0.2)
    dark = shaded(fabric.colour, 0.5)
    if piece.style == "sneaker":
        stripe = [(-0.3, 0.36), (-0.08, 0.36), (0.2, -0.1), (0.02, -0.2)]
        canvas.fill(stripe, accent, shoe, clip=region)
        for step in np.arange(4) * 0.12:
            lace = [(-0.08 + step, -0.26 + step * 0.75), (0.1 + step, -0.36 + step * 0.9)]
            canvas.stroke(lace, 0.05, (250, 248, 244), clip=region)
    elif piece.style == "boot":
        canvas.stroke([(-0.2, -0.9), (-0.16, -0.1)], 0.04, dark, clip=region, alpha=0.8)
        gusset = [(-0.5, -0.9), (-0.24, -0.9), (-0.3, -0.3), (-0.44, -0.3)]
        canvas.fill(gusset, shaded(fabric.colour, 0.6), shoe, clip=region)
    if word.BUCKLE in piece.parts:
        strap = [(-0.8, -0.02), (0.3, -0.06)]
        canvas.stroke(strap, 0.14, shaded(fabric.colour, 0.65), shoe, clip=region)
        parts.buckle(canvas, (0.02, -0.02), 0.34, parts.BRASS, shoe)
    if word.BOW in piece.parts:
        parts.bow(canvas, (0.5, 0.08), 0.24, accent, shoe)


def draw_bag(canvas: Canvas, piece: Piece) -> None:
    """A bag from the front: its handle's top at y = -1, its bottom at y = 0.9."""
    bag = canvas.instance(word.BAG)
    fabric, dark = piece.fabric, shaded(piece.fabric.colour, 0.55)
    handle = ellipse((0, -0.28), 0.4, 0.66, 32)[16:]
    canvas.stroke(np.vstack([handle, [(0.4, -0.2)]]), 0.12, dark, bag)
    wide, low = (0.88, 0.86) if piece.style == "tote" else (0.8, 0.66)
    body = both([(0, -0.3), (wide * 0.86, -0.3), (wide, low - 0.1), (wide * 0.9, low), (0, low)])
    if word.FRINGE in piece.parts:
        edge = [(-wide * 0.85, low - 0.06), (wide * 0.85, low - 0.06)]
        parts.fringe(canvas, bag, edge, 0.42, dark)
    region = canvas.fill(rounded(body, 1), fabric, bag, volume=0.35, shadow=0.45)
    if piece.style == "satchel":
        flap = both([(0, -0.34), (wide * 0.9, -0.34), (wide * 0.94, 0.1), (0.4, 0.28), (0, 0.3)])
        canvas.fill(rounded(flap, 1), fabric.darker(0.88), bag, volume=0.25, shadow=0.4)
    else:
        rim = rectangle(-1, -0.32, 1, -0.16)
        canvas.fill(rim, fabric.darker(0.75), bag, clip=region)
    canvas.stroke([(-wide * 0.85, low - 0.1), (wide * 0.85, low - 0.1)], 0.025, dark, alpha=0.7)
    for side in (-1, 1):
        canvas.fill(ellipse((0.4 * side, -0.22), 0.07, 0.07, 14), parts.BRASS, bag)
    if word.ZIPPER in piece.parts:
        with canvas.moved((0, 0.42), 1.0, np.pi / 2):
            parts.zipper(canvas, bag, 0.0, -0.55, 0.55)
    if word.BUCKLE in piece.parts:
        canvas.fill(rectangle(-0.11, -0.3, 0.11, 0.36), shaded(fabric.colour, 0.65), bag)
        parts.buckle(canvas, (0, 0.22), 0.44, parts.BRASS, bag)
    if word.RIVET in piece.parts:
        row = np.linspace(-wide * 0.78, wide * 0.78, 6)
        corners = [(x, y) for x in row for y in (low - 0.22, low - 0.42)]
        parts.rivets(canvas, bag, [spot for spot in corners if abs(spot[0]) > 0.3])
    if word.TASSEL in piece.parts:
        parts.tassel(canvas, (0.52, -0.24), 0.85, piece.accent, bag)


def draw_scarf(canvas: Canvas, piece: Piece) -> None:
    """A scarf looped about the neck (at y = 1.35 of the figure) with two ends hanging."""
    scarf = canvas.instance(word.SCARF)
    fabric, low = piece.fabric, piece.cut["length"]
    edges = ((0.30, low), (-0.16, low - 0.45))
    for x, end in edges:
        foot = np.array([(x - 0.2, end - 0.02), (x + 0.2, end - 0.02)])
        if word.FRINGE in piece.parts:
            parts.fringe(canvas, scarf, foot, 0.3, shaded(piece.accent, 0.9))
        elif word.TASSEL in piece.parts:
            for off in (-0.12, 0.12):
                parts.tassel(canvas, (x + off, end - 0.1), 0.48, piece.accent, scarf)
        tail = [(x - 0.15, 1.42), (x + 0.15, 1.42), (x + 0.21, end), (x - 0.21, end)]
        region = canvas.fill(tail, fabric, scarf, volume=0.3, shadow=0.45)
        dark = shaded(fabric.colour, 0.55)
        canvas.stroke([(x - 0.04, 1.5), (x, end)], 0.04, dark, alpha=0.35, clip=region)
    loop = [(-0.36, 1.08), (-0.42, 1.3), (-0.1, 1.52), (0.25, 1.5), (0.42, 1.28), (0.36, 1.06)]
    loop += [(0.1, 1.2), (-0.14, 1.2)]
    canvas.fill(rounded(loop, 2), fabric.darker(0.92), scarf, volume=0.4, shadow=0.4)
    for off in (0.0, 0.1):
        fold = [(-0.32, 1.18 + off), (0, 1.33 + off), (0.32, 1.16 + off)]
        canvas.stroke(rounded(fold, 2, closed=False), 0.035, shaded(fabric.colour, 0.5), alpha=0.5)


def draw_umbrella(canvas: Canvas, piece: Piece) -> None:
    """An open umbrella, 2 wide: its canopy's rim at y = 0, its shaft down to y = 1.5."""
    umbrella = canvas.instance(word.UMBRELLA)
    fabric = piece.fabric
    canvas.stroke([(0, -0.9), (0, 1.4)], 0.045, (70, 62, 58), umbrella)
    crook = [(0, 1.35), (0, 1.5), (0.06, 1.58), (0.13, 1.5)]
    canvas.stroke(rounded(crook, 1, closed=False), 0.07, (120, 82, 52), umbrella)
    rims = np.linspace(-1, 1, 6)
    crown = np.array((0.0, -0.78))
    for index, (start, end) in enumerate(pairwise(rims)):
        left, right = _rib_line(crown, start), _rib_line(crown, end)
        scallop = ellipse(((start + end) / 2, 0), (end - start) / 2, 0.1, 16)[8:]
        panel = np.vstack([left, scallop, right[::-1]])
        paint = fabric if index % 2 else fabric.darker(0.82)
        if piece.style == "two-tone" and index % 2:
            paint = Fabric(piece.accent)
        canvas.fill(panel, paint, umbrella, volume=0.15)
        canvas.stroke(left, 0.02, shaded(fabric.colour, 0.5), alpha=0.7)


def _rib_line(crown: np.ndarray, rim: float) -> np.ndarray:
    angle = np.linspace(0, np.pi / 2, 9)
    return np.column_stack([rim * np.sin(angle), crown[1] * np.cos(angle)])
