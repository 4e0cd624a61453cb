"""The photographer: draws a look from the wardrobe's outlines and notes where each label is."""

import re
from dataclasses import dataclass, field, replace
from functools import cache
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFilter

from retailer.backdrops import backdrop
from retailer.looks import GARMENTS, PIECES, SLOTS, WARDROBE, Look, Piece, full

FINER = 2  # masks are drawn so many times larger, for smooth edges
LEAST_VISIBLE = 0.0001  # of the photo: below it, a thing counts as hidden
IN_TWOS = {"sleeve", "pocket", "epaulette", "shoe", "sock", "glove", "leg warmer"}
LONG_SLEEVED = {"shirt", "sweater", "cardigan", "jacket", "coat"}
BUTTONED = {"shirt", "cardigan", "jacket", "vest", "coat"}
FROM_THE_SKIN = (
    *("umbrella", "body", "tights", "sock", "shoe", "shirt", "top", "pants", "shorts", "skirt"),
    *("sweater", "dress", "jumpsuit", "leg warmer", "tie", "belt", "cardigan", "vest", "jacket"),
    *("coat", "cape", "glove", "watch", "bag", "head", "scarf", "glasses", "hat", "headband"),
)
LINE = re.compile(r"(?:(\w+):)?\s*([+|]?)(!|[a-z]+(?=[\d.]+ ))?([\d.]*)\s*(#?\w+) (.+)")
PRINT = "plain plain plain stripes bars dots gingham plaid camo"

Array = np.ndarray


class Box(NamedTuple):
    """Where one thing with a label is visible; pixels, right and bottom exclusive."""

    label: str
    left: int
    top: int
    right: int
    bottom: int


def _wave(x: Array) -> Array:
    return np.clip(np.sin(2 * np.pi * x) * 4 + 0.5, 0, 1)


def _from_centre(u: Array, v: Array) -> Array:
    return np.hypot(u % 1 - 0.5, v % 1 - 0.5)


# How much of the second colour there is, and how much light, at a place measured in repeats.
PRINTS = {
    "stripes": lambda u, v: _wave(v),
    "bars": lambda u, v: _wave(u),
    "dots": lambda u, v: np.clip((0.3 - _from_centre(u + np.floor(v) % 2 / 2, v)) * 9, 0, 1),
    "gingham": lambda u, v: (_wave(u) + _wave(v)) / 2,
    "plaid": lambda u, v: (
        0.5 * np.maximum(_wave(u / 2), _wave(v / 2)) + 0.4 * (np.minimum(u % 1, v % 1) < 0.08)
    ),
    "camo": lambda u, v: np.clip(3 * (np.sin(u * 1.9 + 2 * np.sin(v)) + np.sin(v * 2.3 + u)), 0, 1),
    "sequin": lambda u, v: (
        (np.sin(np.floor(3 * u) * 127.1 + np.floor(3 * v) * 311.7) * 437.5 % 1) ** 2
        * (_from_centre(3 * u, 3 * v) < 0.5)
    ),
}
LIGHTS = {
    "knit": lambda u, v: 0.86 + 0.14 * np.sin(4 * np.pi * (v + np.abs(u * 2 % 2 - 1))),
    "denim": lambda u, v: 1 + 0.08 * np.sin(8 * np.pi * (u + v)),
    "quilt": lambda u, v: 0.7 + 0.8 * np.sqrt(v * 0.8 % 1 * (1 - v * 0.8 % 1)),
}


@dataclass(frozen=True)
class Cloth:
    """A fabric: colour of its ground and its pattern, float [3]; repeat in figure units."""

    ground: Array
    second: Array
    pattern: str
    repeat: float

    def render(self, across: Array, down: Array) -> Array:
        """RGB float32 [rows, columns, 3] at the positions given in figure units."""
        u, v = across / self.repeat, down / self.repeat
        light = (1 + 0.07 * np.sin(across * 5.1 + down))[..., None]
        if self.pattern in LIGHTS:
            light = light * LIGHTS[self.pattern](u, v)[..., None]
        if self.pattern not in PRINTS:
            return light * self.ground
        share = PRINTS[self.pattern](u, v)[..., None]
        return light * (self.ground + share * (self.second - self.ground))


Paint = Cloth | Array | None  # a fabric, a colour, or nothing but a shadow


@dataclass(frozen=True)
class Stroke:
    """One line of the wardrobe, ready to draw.

    Attributes:
        limb: what it is fixed to; the trunk, where nothing is said.
        mirrored: whether its mirror image is drawn, too.
        kind: `shape`, `line` or `dots`.
        size: the width of lines, the radius of dots.
        paint: the name of its paint, or a colour.
        paths: float [points, 2] each, in figure units.
    """

    limb: str
    mirrored: bool
    kind: str
    size: float
    paint: str
    paths: list[Array]


@cache
def drawings(name: str) -> list[list[Stroke]]:
    """The looks that a piece or part has in the wardrobe."""
    looks = WARDROBE["drawings"][name]
    return [[_stroke(line) for line in look.strip().splitlines()] for look in looks]


def _stroke(text: str) -> Stroke:
    match = LINE.fullmatch(text)
    if match is None:
        raise ValueError(f"wardrobe.toml: cannot read the line {text!r}")
    limb, mirror, form, number, paint, rest = match.groups("")
    size = float(number or 0)
    paths = []
    for part in rest.split("/"):
        points = np.array([pair.split(",") for pair in part.split()], dtype=np.float32)
        if mirror == "+":
            halves = [points, (points * (-1, 1))[::-1]]
            points = np.vstack(halves if form in ("", "!") else halves[::-1])
        if form == "":
            points = _rounded(points, closed=True)
        elif form == "line":
            points = _rounded(points, closed=False)
        elif form == "row":
            points = _evenly(points, 2 * size)
        elif form == "comb":
            points = _evenly(points, 0.07)
            paths += [*np.stack([points, np.add(points, (0, size))], axis=1)]
            continue
        elif form == "frill":
            points = _evenly(points, 0.07)
            waves = size + 0.08 * np.sin(np.arange(len(points)) * 1.25)
            points = np.vstack([points, (points + np.outer(waves, (0, 1)))[::-1]])
        paths.append(points)
    kind = {"line": "line", "comb": "line", "dots": "dots", "row": "dots"}.get(form, "shape")
    return Stroke(
        limb or "trunk", mirror == "|", kind, 0.05 if form == "comb" else size, paint, paths
    )


def _rounded(outline: Array, closed: bool) -> Array:
    """A smoother outline: Chaikin's corner cutting."""
    for _ in range(2):
        start, end = outline, np.roll(outline, -1, axis=0)
        cut = np.stack([0.8 * start + 0.2 * end, 0.2 * start + 0.8 * end], axis=1).reshape(-1, 2)
        outline = cut if closed else np.vstack([outline[:1], cut[:-2], outline[-1:]])
    return outline


def _evenly(curve: Array, step: float) -> Array:
    reached = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(curve, axis=0).T))])
    wanted = np.linspace(0, reached[-1], max(2, round(reached[-1] / step) + 1))
    return np.column_stack([np.interp(wanted, reached, curve[:, axis]) for axis in (0, 1)])


def placed(
    x: float = 0, y: float = 0, size: float = 1, turn: float = 0, flip: bool = False
) -> Array:
    """A transform, float [3, 3]: mirrored, turned (quarters), scaled and moved."""
    cos, sin = size * np.cos(turn * np.pi / 2), size * np.sin(turn * np.pi / 2)
    side = -1 if flip else 1
    return np.array([[side * cos, -sin, x], [side * sin, cos, y], [0, 0, 1]])


def limbs(rng: np.random.Generator, raised: bool) -> dict[str, list[Array]]:
    """Limb -> the transform of either side, or of one; `raised` bends an arm up."""
    found: dict[str, list[Array]] = {"trunk": [placed()]}
    spread, bend, stance = rng.uniform((0.08, -0.06, 0), (0.2, 0.08, 0.04))
    for side in (0, 1):
        half, up = placed(flip=side == 1), raised and side == 0
        arm = half @ placed(0.62, 1.62, turn=-0.22 if up else -spread)
        forearm = arm @ placed(0, 1.05, turn=-1.75 if up else bend)
        hand, leg = forearm @ placed(0, 0.95), half @ placed(0.33, 3.6, turn=-stance)
        both = {"arm": arm, "forearm": forearm, "hand": hand, "leg": leg}
        for name, frame in (both | {"foot": leg @ placed(0, 2.88)}).items():
            found.setdefault(name, []).append(frame)
        found["grip" if side else "raised"] = [placed(*(hand @ (0, 0.18, 1))[:2])]
        found["wrist"] = [forearm]
    return found


@dataclass
class Scene:
    """What is to be drawn: layer, transform, stroke, paint, and whose pixels these are.

    Later layers hide earlier ones; within a layer, parts do not hide what they sit on.
    """

    limbs: dict[str, list[Array]]
    layer: int = 0
    strokes: list[tuple[int, Array, Stroke, Paint, list[tuple[str, int]]]] = field(
        default_factory=list
    )

    def add(self, strokes: list[Stroke], at: Array, paints: dict[str, Paint],
            labels: tuple[str, ...] = (), number: int = 0, cut: tuple[float, float] = (1, 1),
            ) -> None:  # fmt: skip
        """Adds a drawing at a place relative to its limb; `number`: which of several of a kind."""
        for stroke in strokes:
            one = replace(stroke, paths=[_cut(path, cut) for path in stroke.paths])
            paint = paints[stroke.paint] if stroke.paint in paints else _colour(stroke.paint)
            for side, limb in enumerate(self.limbs[stroke.limb]):
                for flip in (False, True)[: 1 + stroke.mirrored]:
                    whose = [
                        (full(name), (number + side + flip) * (name in IN_TWOS)) for name in labels
                    ]
                    self.strokes.append(
                        (self.layer, at @ limb @ placed(flip=flip), one, paint, whose)
                    )

    def extent(self) -> tuple[Array, Array]:
        """The corners of the box around all that is drawn, in figure units."""
        ends = [
            path @ frame[:2, :2].T + frame[:2, 2] + edge * np.abs(frame[:2, :2]).max()
            for _, frame, stroke, _, _ in self.strokes
            for path in stroke.paths
            for edge in (-stroke.size, stroke.size)
        ]
        return np.vstack(ends).min(axis=0), np.vstack(ends).max(axis=0)


def _cut(points: Array, cut: tuple[float, float]) -> Array:
    """An outline made wider, and longer below the waist."""
    below = np.maximum(points[:, 1:] - 2.78, 0) * (cut[1] - 1)
    return points * (cut[0], 1) + below * (0, 1)


def _colour(name: str) -> Array:
    return np.array(ImageColor.getrgb(WARDROBE["colours"].get(name, name)), np.float32)


def shoot(
    rng: np.random.Generator, look: Look, size: tuple[int, int]
) -> tuple[Image.Image, list[Box]]:
    """Draws a look.

    Args:
        rng: decides about everything but the pieces themselves.
        size: width and height in pixels.

    Returns:
        The photo, RGB, and a box for everything visible that has a label.
    """
    worn = look.kind == "outfit"
    scene = Scene(limbs(rng, worn and "umbrella" in look.pieces))
    if worn:
        _add_person(scene, rng, look)
    for piece in () if worn else look.pieces.values():
        pair = WARDROBE["pairs"].get(piece.label)
        _add_piece(scene, piece, placed(), False)
        if pair is not None:
            _add_piece(scene, piece, placed(*pair, flip=piece.label == "glove"), False, number=1)
    low, high = scene.extent()
    fill = rng.uniform(0.86, 0.96) if worn else rng.uniform(0.64, 0.78)
    unit = fill * min(np.array(size) / (high - low))
    view = placed(0, 0, unit, 0 if worn else rng.normal(0, 0.03), flip=bool(rng.random() < 0.5))
    off = rng.uniform(-0.3, 0.3, 2) * (1 - fill)
    view[:2, 2] = np.array(size) * (0.5 + off) - view[:2, :2] @ (low + high) / 2
    image = backdrop(rng, worn, size)
    boxes = _paint(image, scene, view)
    gains = rng.uniform(0.93, 1.05) * rng.uniform(0.97, 1.03, 3)
    return image.point([min(255, round(v * gain)) for gain in gains for v in range(256)]), boxes


def _add_person(scene: Scene, rng: np.random.Generator, look: Look) -> None:
    """Somebody who wears the look, from the skin outwards, each piece on a layer of its own."""
    colours, hair = WARDROBE["colours"], drawings("hair")
    skin = _colour(str(rng.choice(colours["skins"])))
    paints = {"skin": skin, "tan": skin * 0.8, "shadow": None}
    paints["hair"] = _colour(str(rng.choice(colours["hairs"])))
    style = int(rng.integers(3 if {"hood", "scarf"} & {*look.pieces, *look.labels} else len(hair)))
    scene.add(drawings("floor")[0], placed(), paints)
    for label in FROM_THE_SKIN:
        scene.layer += 1
        if label in look.pieces:
            _add_piece(scene, look.pieces[label], placed(), True, skin)
        elif label == "body":
            scene.add(hair[style], placed(), paints)
        if label in ("body", "head"):
            scene.add(drawings(label)[0], placed(), paints)


def _add_piece(
    scene: Scene, piece: Piece, at: Array, worn: bool, skin: Array | None = None, number: int = 0
) -> None:
    """A piece with its parts, as it is worn or by itself."""
    rng = np.random.default_rng(piece.seed)
    label, parts = piece.label, piece.parts
    paints = _paints(rng, piece)
    paints["inside"] = paints["dark"] if skin is None else skin
    look, neck = rng.integers(60, size=2)
    garment = label in GARMENTS
    is_open = worn and garment and SLOTS[label] == "outer" and label != "cape"
    cut = (rng.uniform(0.94, 1.1), piece.length) if garment else (1, 1)
    if "lapel" in parts:
        neck = 2
    elif parts & {"collar", "bead", "bow", "ruffle"}:
        neck = 0

    def variant(table: str, name: str) -> str:
        names = (f"{name} {label}", f"{name} open" * is_open, f"{name} worn" * worn, name)
        return next((one for one in names if one in WARDROBE[table]), "")

    def add(name: str, which: int, place: Array, part: str = "", number: int = number,
            cut: tuple[float, float] = cut) -> None:  # fmt: skip
        looks = drawings(variant("drawings", name))
        whose = (label, part) if part else (label,)
        scene.add(looks[which % len(looks)], place, paints, whose, number, cut)

    limb, *spot = WARDROBE["worn"].get(label if worn else "", "trunk").split()
    for side, limb_at in enumerate(scene.limbs[limb]):
        frame = at @ limb_at @ placed(*map(float, spot))
        if "sleeve" in parts:
            add("sleeve", label in LONG_SLEEVED or look % 3 == 0, frame, "sleeve")
        for name in GARMENTS[label].drawings.split() if garment else [label]:
            add(name, look, frame, "sequin" if "sequin" in parts else "", number + side)
        if garment and not is_open and ("neckline" in parts or "collar" in parts):
            add("neck", neck, frame)
        if label in BUTTONED and not is_open and not parts & {"zipper", "hood"}:
            add("buttons", 0, frame)
        for part in [name for name in WARDROBE["drawings"] if name in parts - {"sleeve"}]:
            spots = WARDROBE["spots"].get(variant("spots", part), "").split()
            if not spots:
                add(part, neck, frame, part, number + side)
            for count, text in enumerate(spots):
                x, y, *rest = map(float, text.split(","))
                ((x, y),) = _cut(np.array([[x, y]]), cut)
                add(part, 0, frame @ placed(x, y, *rest), part, number + count, (1, 1))


def _paints(rng: np.random.Generator, piece: Piece) -> dict[str, Paint]:
    colours = WARDROBE["colours"]
    cloths = PIECES[piece.label].cloths.replace("print", PRINT)
    pattern = str(rng.choice(cloths.split()))
    if piece.parts & {"applique", "bead", "flower", "bow", "ruffle"} and pattern != "knit":
        pattern = "plain"
    if "sequin" in piece.parts:
        pattern = "sequin"
    codes = colours.get(piece.label, colours.get(pattern, colours["cloths"]))
    ground = np.clip(_colour(str(rng.choice(codes))) + rng.integers(-10, 11, 3), 0, 255)
    others = [_colour(code) for code in colours["cloths"]]
    others = [other for other in others if np.abs(other - ground).sum() > 190]
    second, accent = rng.choice(others, 2, replace=False)
    second = _colour("#fffcf0") if pattern == "sequin" else second
    cloth = Cloth(*np.float32([ground, second]), pattern, np.float32(rng.uniform(0.2, 0.34)))
    deep = replace(cloth, ground=cloth.ground * 0.84, second=cloth.second * 0.84)
    shades = {"seam": ground * 0.68, "dark": ground * 0.5, "shade": accent * 0.75}
    return {"cloth": cloth, "deep": deep, "accent": accent, **shades}


def _paint(image: Image.Image, scene: Scene, view: Array) -> list[Box]:
    """Paints the scene on the photo, in place; returns the boxes of what can be seen of it."""
    layers = np.zeros((image.height, image.width), np.uint8)
    seen: dict[tuple[int, tuple[str, int]], list[tuple[int, int, Array]]] = {}
    for layer, frame, stroke, paint, whose in scene.strokes:
        at = view @ frame
        unit = float(np.hypot(*at[:2, 0]))
        paths = [path @ at[:2, :2].T + at[:2, 2] for path in stroke.paths]
        ends = np.vstack(paths)
        left, top = np.maximum(0, ends.min(axis=0) - stroke.size * unit - 1).astype(int).tolist()
        right, bottom = np.ceil(ends.max(axis=0) + stroke.size * unit + 1).astype(int).tolist()
        right, bottom = min(right, image.width), min(bottom, image.height)
        if left >= right or top >= bottom:
            continue
        mask = _mask(paths, stroke, unit, (left, top, right, bottom))
        if paint is None or isinstance(paint, Cloth):
            _throw_shadow(image, mask, (left, top), unit)
        if paint is None:
            continue
        image.paste(_filled(mask, (left, top), at, unit, stroke, paint), (left, top), mask)
        covered = np.asarray(mask) > 100
        layers[top:bottom, left:right][covered] = layer
        for one in whose:
            seen.setdefault((layer, one), []).append((left, top, covered))
    boxes = (_box(label, layer, areas, layers) for (layer, (label, _)), areas in seen.items())
    return [box for box in boxes if box is not None]


def _mask(
    paths: list[Array], stroke: Stroke, unit: float, box: tuple[int, int, int, int]
) -> Image.Image:
    """The pixels of a box that a stroke covers, smooth at the edges: mode L."""
    mask = Image.new("L", ((box[2] - box[0]) * FINER, (box[3] - box[1]) * FINER))
    pen, size = ImageDraw.Draw(mask), max(0.7, stroke.size * unit * FINER)
    for path in paths:
        points = ((path - box[:2]) * FINER).tolist()
        if stroke.kind == "shape":
            pen.polygon([*map(tuple, points)], fill=255)
        elif stroke.kind == "line":
            pen.line([*map(tuple, points)], fill=255, width=round(size + 0.3), joint="curve")
        else:
            for x, y in points:
                pen.ellipse((x - size, y - size, x + size, y + size), fill=255)
    return mask.reduce(FINER)


def _filled(mask: Image.Image, corner: tuple[int, int], at: Array, unit: float, stroke: Stroke,
            paint: Cloth | Array) -> Image.Image:  # fmt: skip
    """A picture of a mask's size in the paint; a shape is darker towards its rim."""
    if isinstance(paint, Cloth):
        x, y = (
            np.arange(side, dtype=np.float32) + off
            for side, off in zip(mask.size, corner, strict=True)
        )
        back = np.linalg.inv(at).astype(np.float32)[:2]
        pixels = paint.render(*(a * x + (b * y + c)[:, None] for a, b, c in back))
    elif stroke.kind == "shape":
        pixels = np.float32(paint)
    else:
        return Image.new("RGB", mask.size, tuple(int(channel) for channel in paint))
    if stroke.kind == "shape":
        soft = mask.filter(ImageFilter.BoxBlur(max(1.5, unit * 0.1)))
        pixels = pixels * (np.float32(0.34 / 255) * np.asarray(soft)[..., None] + np.float32(0.72))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _throw_shadow(
    image: Image.Image, mask: Image.Image, corner: tuple[int, int], unit: float
) -> None:
    blur = max(1, round(unit * 0.07))
    soft = Image.new("L", (mask.width + 4 * blur, mask.height + 4 * blur))
    soft.paste(mask.point([value * 2 // 5 for value in range(256)]), (2 * blur, 2 * blur))
    left, top = (side + round(unit * 0.04) - 2 * blur for side in corner)
    image.paste((20, 18, 24), (left, top), soft.filter(ImageFilter.BoxBlur(blur)))


def _box(label: str, layer: int, areas: list[tuple[int, int, Array]], layers: Array) -> Box | None:
    """The box around what no later layer hides; None where (nearly) nothing is left."""
    seen = np.zeros_like(layers, bool)
    for left, top, covered in areas:
        seen[top : top + covered.shape[0], left : left + covered.shape[1]] |= covered
    seen &= layers == layer
    if seen.sum() < max(6, LEAST_VISIBLE * seen.size):
        return None
    across, down = np.flatnonzero(seen.any(axis=0)), np.flatnonzero(seen.any(axis=1))
    return Box(label, int(across[0]), int(down[0]), int(across[-1]) + 1, int(down[-1]) + 1)
