"""The photographer: draws a look from the wardrobe's outlines and notes where each label is."""

import re
from dataclasses import dataclass, field, replace
from functools import cache
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from retailer.backdrops import backdrop
from retailer.looks import GARMENTS, SLOTS, WARDROBE, Look, Piece, full, make_look

Colour = tuple[int, int, int]

FINER = 2  # masks are drawn so many times larger, for smooth edges
LEAST_VISIBLE = 0.0001  # of the photo: below it, a thing counts as hidden
LINE = re.compile(
    r"(?:(\w+):)?\s*([+|]?)(!|(?:line|dots|row|comb|frill)[\d.]+)?\s*(#?\w+) (.+)", re.ASCII
)
IN_TWOS = {"sleeve", "pocket", "epaulette", "shoe", "sock", "glove", "leg warmer"}
LONG_SLEEVED = {"shirt", "sweater", "cardigan", "jacket", "coat"}
# Where on a person an accessory sits that is drawn about (0, 0): limb, x, y, size, quarter turns.
WORN_AT = {
    "shoe": ("foot", 0.1, 0.22, 0.33, 0),
    "sock": ("foot", 0.06, -0.12, 0.42, 0),
    "glove": ("hand", 0, 0.18, 0.42, 0),
    "watch": ("wrist", 0, 0.82, 0.28, 1),
    "bag": ("grip", 0, 0.72, 0.74, 0),
    "umbrella": ("raised", 0, -2.0, 1.45, 0),
    "tie": ("", 0, 1.66, 0.95, 0),
    "belt": ("", 0, 2.76, 0.6, 0),
    "glasses": ("", 0, 0.5, 0.39, 0),
    "hat": ("", 0, 0.16, 0.62, 0),
    "headband": ("", 0, 0.36, 0.54, 0),
}
PRODUCT_IN_TWOS = {"shoe": (0.1, 1.0), "sock": (0.9, 0.1), "glove": (1.1, 0.1)}
FROM_THE_SKIN = (
    *("tights", "sock", "shoe", "shirt", "top", "pants", "shorts", "skirt", "sweater", "dress"),
    *("jumpsuit", "leg warmer", "belt", "tie", "cardigan", "vest", "jacket", "coat", "cape"),
    *("glove", "watch", "bag", "", "scarf", "glasses", "hat", "headband"),
)
"""From the skin outwards; "" is the head."""

COLOURS = [
    *("#ece8de", "#262830", "#7e8186", "#b22c34", "#e27660", "#e4b242", "#4a704a", "#92a882"),
    *("#345494", "#88b0d6", "#1c2c54", "#663c6e", "#d696b0", "#946442", "#5a3a2c", "#c8ac86"),
    *("#288084", "#f0d6c4"),
]
OF_CLOTH = {
    "denim": ["#3a5480", "#5c7ca6", "#283654", "#7896b8"],
    "leather": ["#2e2424", "#70422a", "#a47042", "#8e222a", "#3c4660", "#d6c4a8", "#4e6046"],
}
SKINS = ["#fadcc6", "#f0c8aa", "#e0b28e", "#cc9870", "#b07a54", "#8e5e40", "#6c4630", "#4e3226"]
HAIRS = ["#201a1a", "#3c281e", "#664228", "#a06836", "#d6ac68", "#a44a2a", "#96969a"]
FIXED = {"metal": "#d6b45c", "steel": "#ced0d6", "white": "#f6f4ee", "ink": "#2a2628"}
FIXED |= {"sole": "#28221f"}


class Box(NamedTuple):
    """Where one thing with a label is visible; pixels, right and bottom exclusive."""

    label: str
    left: int
    top: int
    right: int
    bottom: int


def rgb(code: str, factor: float = 1.0) -> Colour:
    """A colour by its `#rrggbb`, darker for a factor below 1."""
    red, green, blue = (min(255, round(int(code[i : i + 2], 16) * factor)) for i in (1, 3, 5))
    return red, green, blue


def shaded(colour: Colour, factor: float) -> Colour:
    """A colour made darker (factor < 1) or lighter (> 1)."""
    red, green, blue = (min(255, max(0, round(channel * factor))) for channel in colour)
    return red, green, blue


@dataclass(frozen=True)
class Cloth:
    """A fabric: its ground, the colour and repeat (figure units) of its pattern, a phase."""

    colour: Colour
    second: Colour
    pattern: str
    period: float
    phase: float

    def render(self, across: np.ndarray, down: np.ndarray) -> np.ndarray:
        """RGB float [rows, columns, 3] at the positions given in figure units."""
        u, v = across / self.period, down / self.period
        print_, light = np.zeros(u.shape), np.ones(u.shape)

        def wave(x: np.ndarray) -> np.ndarray:
            return np.clip(np.sin(2 * np.pi * x) * 4 + 0.5, 0, 1)

        off = np.hypot((u + 0.5 * (np.floor(v) % 2)) % 1 - 0.5, v % 1 - 0.5)
        match self.pattern:
            case "stripes":
                print_ = wave(v)
            case "bars":
                print_ = wave(u)
            case "dots":
                print_ = np.clip((0.3 - off) * 9, 0, 1)
            case "gingham":
                print_ = (wave(u) + wave(v)) / 2
            case "plaid":
                print_ = np.maximum(wave(u / 2), wave(v / 2)) * 0.55
                print_ += 0.4 * ((np.abs(u % 1 - 0.5) < 0.06) | (np.abs(v % 1 - 0.5) < 0.06))
            case "camo":
                swirl = np.sin(u * 1.9 + 2 * np.sin(v * 1.3 + self.phase))
                print_ = np.clip(3 * (swirl + np.sin(v * 2.3 + 2 * np.sin(u))), 0, 1)
            case "knit":
                light = 0.86 + 0.14 * np.sin(4 * np.pi * (v + np.abs(u * 2 % 2 - 1)))
            case "denim":
                light = 1 + 0.05 * np.sin(8 * np.pi * (u + v)) + 0.1 * np.cos(u + self.phase)
            case "leather":
                light = 1 + 0.08 * np.sin(u * 1.4 + 0.8 * np.sin(v + self.phase))
            case "quilt":
                light = 0.7 + 0.8 * np.sqrt(v * 0.8 % 1 * (1 - v * 0.8 % 1))
            case "sequin":
                u, v = u * 2.5, v * 2.5
                sparkle = np.sin(np.floor(u) * 127.1 + np.floor(v) * 311.7 + self.phase) * 43758.5
                disc = np.clip((0.52 - np.hypot(u % 1 - 0.5, v % 1 - 0.5)) * 8, 0, 1)
                print_, light = (sparkle % 1) ** 3 * disc, 0.6 + 0.5 * disc * (sparkle % 1)
        fold = np.sin(across * 5.1 + np.sin(down * 1.3 + self.phase) * 1.4)
        light = light * (1 + 0.07 * fold * np.cos(down * 1.1 + self.phase * 2))
        ground, second = np.array(self.colour), np.array(self.second)
        return (ground + print_[..., None] * (second - ground)) * light[..., None]


@dataclass(frozen=True)
class Stroke:
    """One line of the wardrobe, ready to draw.

    Attributes:
        limb: what it is fixed to; "" for the trunk, or for nothing.
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
    paths: tuple[np.ndarray, ...]


@cache
def drawings(name: str) -> list[list[Stroke]]:
    """The looks that a piece or part has in the wardrobe."""
    return [[_stroke(line) for line in look.strip().splitlines()] for look in
            WARDROBE["drawings"][name]]  # fmt: skip


def _stroke(line: str) -> Stroke:
    limb, mirror, form, paint, rest = LINE.fullmatch(line.strip()).groups("")  # type: ignore[union-attr]
    kind, number = re.fullmatch(r"([a-z!]*)([\d.]*)", form).groups()  # type: ignore[union-attr]
    size = float(number or 0)
    paths = []
    for part in rest.split("/"):
        points = np.array([pair.split(",") for pair in part.split()], dtype=float)
        other = (points * (-1, 1))[::-1]
        if mirror == "+":
            points = np.vstack([points, other] if kind in ("", "!") else [other, points])
        match kind:
            case "":
                paths.append(_rounded(points))
            case "row":
                paths.append(_evenly(points, 2 * size))
            case "comb":
                spots = _evenly(points, 0.07)
                sway = np.sin(np.arange(len(spots)) * 2.1)[:, None] * (0.04, 0.05)
                paths += [*np.stack([spots, spots + (0, size) + sway], axis=1)]
            case "frill":
                top = _evenly(points, 0.07)
                waves = size + 0.08 * np.sin(np.arange(len(top)) * 1.25)
                paths.append(np.vstack([top, (top + np.outer(waves, (0, 1)))[::-1]]))
            case _:
                paths.append(points)
    drawn_as = {"line": "line", "comb": "line", "dots": "dots", "row": "dots"}.get(kind, "shape")
    return Stroke(limb, mirror == "|", drawn_as, 0.05 if kind == "comb" else size, paint,
                  tuple(paths))  # fmt: skip


def _rounded(outline: np.ndarray) -> np.ndarray:
    """A smoother outline: Chaikin's corner cutting."""
    for _ in range(2):
        following = np.roll(outline, -1, axis=0)
        cut = np.stack([0.8 * outline + 0.2 * following, 0.2 * outline + 0.8 * following], axis=1)
        outline = cut.reshape(-1, 2)
    return outline


def _evenly(curve: np.ndarray, step: float) -> np.ndarray:
    reached = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(curve, axis=0).T))])
    wanted = np.linspace(0, reached[-1], max(2, round(reached[-1] / step) + 1))
    return np.column_stack([np.interp(wanted, reached, curve[:, axis]) for axis in (0, 1)])


def placed(x: float = 0, y: float = 0, size: float = 1, turn: float = 0, flip: bool = False
           ) -> np.ndarray:  # fmt: skip
    """A transform, float [3, 3]: mirrored, turned (radians), scaled and moved."""
    cos, sin, side = size * np.cos(turn), size * np.sin(turn), -1 if flip else 1
    return np.array([[side * cos, -sin, x], [side * sin, cos, y], [0, 0, 1]])


def limbs(rng: np.random.Generator, raised: bool) -> dict[str, list[np.ndarray]]:
    """Name -> the transform of each of two limbs, or of one; `raised` bends an arm up."""
    found: dict[str, list[np.ndarray]] = {"": [placed()]}
    spread, stance = rng.uniform(0.12, 0.3), rng.uniform(0, 0.06)
    for side in (0, 1):
        half = placed(flip=side == 1)
        up = raised and side == 0
        arm = half @ placed(0.62, 1.62, turn=-0.35 if up else -spread)
        forearm = arm @ placed(0, 1.05, turn=-2.75 if up else rng.uniform(-0.1, 0.12))
        leg = half @ placed(0.33, 3.6, turn=-stance)
        hand, foot = forearm @ placed(0, 0.95), leg @ placed(0, 2.88)
        for name, frame in zip(("arm", "forearm", "hand", "leg", "foot"),
                               (arm, forearm, hand, leg, foot), strict=True):  # fmt: skip
            found.setdefault(name, []).append(frame)
        x, y = (hand @ (0, 0.18, 1))[:2]
        found["raised" if side == 0 else "grip"] = [placed(x, y)]
        found["wrist"] = [forearm]
    return found


@dataclass
class Scene:
    """What is to be drawn, in figure units; later layers hide earlier ones.

    Within a layer, parts do not hide what they sit on.
    """

    limbs: dict[str, list[np.ndarray]]
    layer: int = 0
    items: list[tuple[int, np.ndarray, Stroke, object, list[tuple[str, int]]]] = field(
        default_factory=list
    )

    def add(
        self,
        name: str,
        look: int,
        at: np.ndarray,
        paints: dict[str, object],
        labels: tuple[str, ...] = (),
        stretch: tuple[float, float] = (1.0, 1.0),
        number: int = 0,
    ) -> None:
        """Adds a drawing of the wardrobe.

        Args:
            look: which of its looks.
            at: where, on top of the limb that a stroke is fixed to.
            paints: by name.
            labels: whose pixels these are.
            stretch: how much wider it is, and how much longer below the waist.
            number: which of several of a kind it is.
        """
        variants = drawings(name)
        for stroke in variants[look % len(variants)]:
            paths = tuple(stretched(path, stretch) for path in stroke.paths)
            for side, limb in enumerate(self.limbs[stroke.limb]):
                for flip in (False, True)[: 1 + stroke.mirrored]:
                    key = [(label, (number + side + flip) * (label in IN_TWOS)) for label in labels]
                    paint = paints.get(stroke.paint) or rgb(FIXED.get(stroke.paint, stroke.paint))
                    frame = at @ limb @ placed(flip=flip)
                    self.items.append(
                        (self.layer, frame, replace(stroke, paths=paths), paint, key)
                    )

    def extent(self) -> tuple[np.ndarray, np.ndarray]:
        """The corners of the box around all that is drawn, in figure units."""
        points = np.vstack([
            path @ frame[:2, :2].T + frame[:2, 2]
            for _, frame, stroke, _, _ in self.items for path in stroke.paths
        ])  # fmt: skip
        return points.min(axis=0), points.max(axis=0)


def stretched(points: np.ndarray, by: tuple[float, float]) -> np.ndarray:
    """An outline made wider, and longer below the waist."""
    below = np.maximum(points[:, 1] - 2.78, 0) * (by[1] - 1)
    return points * (by[0], 1) + np.column_stack([np.zeros(len(points)), below])


def draw(
    rng: np.random.Generator, kind: str, labels: tuple[str, ...], size: tuple[int, int]
) -> tuple[Image.Image, list[Box]]:
    """Draws a photo at random that shows the labels, as far as they go together; see `shoot`."""
    return shoot(rng, make_look(rng, kind, labels), size)


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
        _person(scene, rng, look)
    else:
        (piece,) = look.pieces.values()
        for number, at in enumerate(_product_places(piece)):
            _put_on(scene, piece, at, worn=False, number=number)
    (left, top), (right, bottom) = scene.extent()
    image = backdrop(rng, worn, size)
    fill = rng.uniform(0.86, 0.96)
    unit = fill * min(size[0] / (right - left), size[1] / (bottom - top))
    slack = 0.3 * (1 - fill)
    middle = np.array(size) * (0.5 + rng.uniform(-slack, slack, 2))
    turn = placed(size=unit, turn=0 if worn else rng.normal(0, 0.04), flip=bool(rng.random() < 0.5))
    turn[:2, 2] = middle - (turn @ ((left + right) / 2, (top + bottom) / 2, 0))[:2]
    boxes = _paint(image, scene, turn)
    warmth, exposure = rng.uniform(-0.03, 0.03), rng.uniform(0.93, 1.05)
    gains = [exposure * (1 + warmth), exposure, exposure * (1 - warmth)]
    return image.point([min(255, round(v * gain)) for gain in gains for v in range(256)]), boxes


def _product_places(piece: Piece) -> list[np.ndarray]:
    if piece.label not in PRODUCT_IN_TWOS:
        return [placed()]
    x, y = PRODUCT_IN_TWOS[piece.label]
    return [placed(), placed(x, y, flip=piece.label == "glove")]


def _person(scene: Scene, rng: np.random.Generator, look: Look) -> None:
    """Somebody who wears the look, from the skin outwards, each piece on a layer of its own."""
    hidden = {"hood", "scarf"} & {*look.pieces, *look.labels}
    style = int(rng.integers(3 if hidden else 5))
    skin, hair = rgb(SKINS[rng.integers(len(SKINS))]), rgb(HAIRS[rng.integers(len(HAIRS))])
    paints: dict[str, object] = {"skin": skin, "tan": shaded(skin, 0.8), "hair": hair}
    paints["shadow"] = "shadow"
    scene.add("floor", 0, placed(), paints)
    if "umbrella" in look.pieces:
        _put_on(scene, look.pieces["umbrella"], placed(), True)
        scene.layer += 1
    scene.add("hair", style, placed(), paints)
    scene.add("body", 0, placed(), paints)
    covered = any(SLOTS[label] == "outer" for label in look.pieces)
    for label in FROM_THE_SKIN:
        scene.layer += 1
        if label == "":
            scene.add("head", 0, placed(), paints)
            if style > 2:
                scene.add("locks", 0, placed(), paints)
        elif label in look.pieces:
            _put_on(scene, look.pieces[label], placed(), True, skin=skin)
    del covered


def _put_on(
    scene: Scene, piece: Piece, at: np.ndarray, worn: bool, number: int = 0, skin: Colour | None = None
) -> None:
    """Adds a piece with its parts, as it is worn or by itself."""
    rng = np.random.default_rng(piece.seed)
    label, parts = piece.label, piece.parts
    paints = _paints(rng, piece)
    paints["inside"] = skin or paints["dark"]
    look, neck = int(rng.integers(60)), int(rng.integers(4))
    garment = label in GARMENTS
    is_open = worn and garment and SLOTS[label] == "outer" and label != "cape"
    stretch = (float(rng.uniform(0.94, 1.1)), piece.length) if garment else (1.0, 1.0)

    def named(table: str, name: str) -> str:
        keys = [f"{name} {label}", f"{name} open" * is_open, f"{name} worn" * worn, name]
        return next((key for key in keys if key in WARDROBE[table]), "")

    def put(name: str, look: int, place: np.ndarray, *of: str, number: int = number) -> None:
        names = tuple(full(one) for one in of)
        scene.add(named("drawings", name), look, place, paints, names, stretch, number)

    frames = [at]
    if worn and label in WORN_AT:
        limb, x, y, size, quarters = WORN_AT[label]
        frames = [frame @ placed(x, y, size, quarters * np.pi / 2) for frame in scene.limbs[limb]]
    for side, frame in enumerate(frames):
        if "sleeve" in parts:
            put("sleeve", int(label in LONG_SLEEVED or look % 3 == 0), frame, label, "sleeve")
        for name in GARMENTS[label][1].split() if garment else [label]:
            put(name, look, frame, label, *{"sequin"} & parts, number=number + side)
        if "neckline" in parts or label == "shirt" or (garment and {"collar", "lapel"} & parts):
            neck = 2 if "lapel" in parts else 0 if parts & {"collar", "bead", "bow", "ruffle"} else neck
            if not is_open:
                put("neck", neck, frame)
        if not is_open and not parts & {"zipper", "hood"} and label in ("shirt", "cardigan", "jacket", "vest", "coat"):
            put("buttons", 0, frame)
        for part in [name for name in WARDROBE["drawings"] if name in parts and name != "sleeve"]:
            spots = named("spots", part)
            if not spots:
                put(part, neck, frame, label, part, number=number + side)
            for spot, text in enumerate(WARDROBE["spots"].get(spots, "").split()):
                x, y, size, quarters = [*map(float, text.split(",")), 0.0][:4]
                x, y = stretched(np.array([[x, y]]), stretch)[0]
                place = frame @ placed(x, y, size, quarters * np.pi / 2)
                names = tuple(full(one) for one in (label, part))
                scene.add(named("drawings", part), 0, place, paints, names, number=number + spot)


def _paints(rng: np.random.Generator, piece: Piece) -> dict[str, object]:
    row = GARMENTS.get(piece.label) or WARDROBE["accessories"][piece.label]
    patterns = row[-1].replace("print", "plain plain plain stripes bars dots gingham plaid camo")
    pattern = str(rng.choice(patterns.split()))
    if piece.parts & {"applique", "bead", "flower", "bow", "ruffle"} and piece.label != "sweater":
        pattern = "plain"
    if "sequin" in piece.parts:
        pattern = "sequin"

    def dyed(codes: list[str]) -> Colour:
        red, green, blue = np.clip(rgb(codes[rng.integers(len(codes))]) + rng.integers(-10, 11, 3), 0, 255)
        return int(red), int(green), int(blue)

    def apart(ground: Colour) -> Colour:
        while True:
            colour = dyed(COLOURS)
            if np.abs(np.subtract(colour, ground)).sum() > 190:
                return colour

    ground = dyed(OF_CLOTH.get(pattern, COLOURS))
    second = (255, 252, 240) if pattern == "sequin" else apart(ground)
    cloth = Cloth(ground, second, pattern, rng.uniform(0.2, 0.34), rng.uniform(0, 6))
    accent = apart(ground)
    deep = replace(cloth, colour=shaded(ground, 0.84), second=shaded(second, 0.84))
    paints: dict[str, object] = {"cloth": cloth, "deep": deep, "accent": accent}
    paints |= {"shade": shaded(accent, 0.75), "dark": shaded(ground, 0.5)}
    return paints | {"seam": shaded(ground, 0.68)}


def _paint(image: Image.Image, scene: Scene, view: np.ndarray) -> list[Box]:
    """Paints the scene on the photo, in place; returns the boxes of what can be seen of it."""
    layers = np.zeros((image.height, image.width), np.uint8)
    seen: dict[tuple[int, str, int], list[tuple[int, int, np.ndarray]]] = {}
    for layer, frame, stroke, paint, keys in scene.items:
        at = view @ frame
        unit = float(np.sqrt(abs(np.linalg.det(at[:2, :2]))))
        paths = [path @ at[:2, :2].T + at[:2, 2] for path in stroke.paths]
        reach = stroke.size * unit + 1
        low = np.floor(np.vstack(paths).min(axis=0) - reach).astype(int)
        high = np.ceil(np.vstack(paths).max(axis=0) + reach).astype(int) + 1
        left, top = (int(max(0, edge)) for edge in low)
        width, height = min(high[0], image.width) - left, min(high[1], image.height) - top
        if width <= 0 or height <= 0:
            continue
        mask = Image.new("L", (int(width) * FINER, int(height) * FINER))
        pen = ImageDraw.Draw(mask)
        for path in paths:
            points = (path - (left, top)) * FINER
            if stroke.kind == "shape":
                pen.polygon([*map(tuple, points)], fill=255)
            elif stroke.kind == "line":
                thick = max(1, round(stroke.size * unit * FINER))
                pen.line([*map(tuple, points)], fill=255, width=thick, joint="curve")
            else:
                radius = max(0.7, stroke.size * unit * FINER)
                for x, y in points:
                    pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
        mask = mask.reduce(FINER)
        if isinstance(paint, Cloth) or paint == "shadow":
            _throw_shadow(image, mask, left, top, unit)
        if paint == "shadow":
            continue
        image.paste(_filled(mask, left, top, at, unit, paint, stroke.kind), (left, top), mask)
        covered = np.asarray(mask) > 100
        layers[top : top + height, left : left + width][covered] = layer
        for label, number in keys:
            seen.setdefault((layer, label, number), []).append((left, top, covered))
    return [box for key, areas in seen.items() if (box := _box(key, areas, layers))]


def _filled(
    mask: Image.Image, left: int, top: int, at: np.ndarray, unit: float, paint: object, kind: str
) -> Image.Image:
    """A picture of a mask's size in the paint; a shape is darker towards its rim."""
    if isinstance(paint, tuple) and kind != "shape":
        return Image.new("RGB", mask.size, paint)
    if isinstance(paint, Cloth):
        x = (np.arange(mask.width) + left - at[0, 2])[None, :]
        y = (np.arange(mask.height) + top - at[1, 2])[:, None]
        back = np.linalg.inv(at[:2, :2])
        pixels = paint.render(x * back[0, 0] + y * back[0, 1], x * back[1, 0] + y * back[1, 1])
    else:
        pixels = np.broadcast_to(np.array(paint, dtype=float), (mask.height, mask.width, 3))
    if kind == "shape":
        soft = mask.filter(ImageFilter.BoxBlur(max(1.5, unit * 0.1)))
        pixels = pixels * (0.72 + np.asarray(soft)[..., None] * (0.34 / 255))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _throw_shadow(image: Image.Image, mask: Image.Image, left: int, top: int, unit: float) -> None:
    blur = max(1, round(unit * 0.07))
    soft = Image.new("L", (mask.width + 4 * blur, mask.height + 4 * blur))
    soft.paste(mask, (2 * blur, 2 * blur))
    soft = soft.filter(ImageFilter.BoxBlur(blur)).point([round(value * 0.4) for value in range(256)])
    offset = round(unit * 0.04) - 2 * blur
    image.paste((20, 18, 24), (left + offset, top + offset), soft)


def _box(
    key: tuple[int, str, int], areas: list[tuple[int, int, np.ndarray]], layers: np.ndarray
) -> Box | None:
    """The box around what no later layer hides; None where (nearly) nothing is left."""
    layer, label, _ = key
    spots = [
        np.argwhere(covered & (layers[top:, left:][: covered.shape[0], : covered.shape[1]] == layer))
        + (top, left)
        for left, top, covered in areas
    ]
    found = np.vstack(spots)
    if len(found) < max(6, LEAST_VISIBLE * layers.size):
        return None
    (top, left), (bottom, right) = found.min(axis=0), found.max(axis=0) + 1
    return Box(label, int(left), int(top), int(right), int(bottom))
