"""The photographer: draws a look on a background and notes where each label is."""

from collections.abc import Callable, Iterable

import numpy as np
from PIL import Image

from retailer import accessories, backgrounds, lowers, uppers
from retailer import vocabulary as word
from retailer.canvas import Box, Canvas, Point, ellipse
from retailer.figure import Person, Pose, somebody
from retailer.looks import Look, make_look
from retailer.pieces import Piece

# What of the figure is in a product photo: left, top, right, bottom in figure units.
Frame = tuple[float, float, float, float]
UPPER_FRAME: Frame = (-1.35, 1.0, 1.35, 3.9)
PRODUCT_FRAMES: dict[str, Frame] = {
    word.COAT: (-1.5, 1.0, 1.5, 5.7),
    word.CAPE: (-1.7, 1.0, 1.7, 5.1),
    word.PANTS: (-1.0, 2.6, 1.0, 6.6),
    word.SHORTS: (-1.0, 2.6, 1.0, 4.9),
    word.SKIRT: (-1.3, 2.6, 1.3, 5.7),
    word.DRESS: (-1.5, 1.0, 1.5, 6.5),
    word.JUMPSUIT: (-1.5, 1.0, 1.5, 6.6),
    word.LEG_WARMER: (-0.8, 5.0, 0.8, 6.65),
    word.TIGHTS: (-0.9, 2.6, 0.9, 6.95),
    word.SCARF: (-0.6, 0.95, 0.75, 3.6),
    word.GLASSES: (-1.1, -0.6, 1.1, 0.6),
    word.HAT: (-1.6, -1.3, 1.6, 0.5),
    word.HEADBAND: (-1.0, -1.3, 1.0, 0.2),
    word.TIE: (-0.5, -0.3, 0.5, 1.65),
    word.GLOVE: (-1.2, -0.9, 1.2, 1.1),
    word.WATCH: (-0.8, -1.1, 0.8, 1.1),
    word.BELT: (-1.15, -0.4, 1.0, 0.4),
    word.SOCK: (-1.1, -1.1, 1.5, 1.1),
    word.SHOE: (-1.1, -1.4, 1.1, 1.0),
    word.BAG: (-1.0, -1.1, 1.0, 1.15),
    word.UMBRELLA: (-1.1, -1.0, 1.1, 1.7),
}


def draw(
    rng: np.random.Generator,
    kind: str,
    labels: Iterable[str] | None,
    size: tuple[int, int],
) -> tuple[Image.Image, list[Box]]:
    """Draws one photo.

    Args:
        rng: where chance comes from; the same state gives the same photo.
        kind: `product` or `outfit`.
        labels: labels to include, as far as they go together; None for any.
        size: width and height in pixels.

    Returns:
        The photo, RGB, and a box for every visible instance of every label.
    """
    return shoot(rng, make_look(rng, kind, labels or ()), size)


def shoot(
    rng: np.random.Generator, look: Look, size: tuple[int, int]
) -> tuple[Image.Image, list[Box]]:
    """Draws a look that has been made up already; see `draw`."""
    if look.kind == "product":
        canvas = _shoot_product(rng, look, size)
    else:
        canvas = _shoot_outfit(rng, look, size)
    return _developed(rng, canvas.image), canvas.boxes()


def _developed(rng: np.random.Generator, image: Image.Image) -> Image.Image:
    """Exposure and white balance, which differ a little from photo to photo."""
    exposure = float(rng.uniform(0.93, 1.05))
    warmth = float(rng.uniform(-0.03, 0.03))
    table: list[int] = []
    for gain in (1 + warmth, 1.0, 1 - warmth):
        table += [min(255, round(value * exposure * gain)) for value in range(256)]
    return image.point(table)


def _framed(
    rng: np.random.Generator, image: Image.Image, frame: Frame, fill: float, tilt: float
) -> Canvas:
    """A canvas on which the frame takes up about `fill` of the photo, near its middle."""
    left, top, right, bottom = frame
    unit = fill * min(image.width / (right - left), image.height / (bottom - top))
    slack = 0.3 * (1 - fill)
    x = image.width * (0.5 + float(rng.uniform(-slack, slack))) - unit * (left + right) / 2
    y = image.height * (0.5 + float(rng.uniform(-slack, slack))) - unit * (top + bottom) / 2
    return Canvas(image, unit, (x, y), mirror=bool(rng.random() < 0.5), tilt=tilt)


def _shoot_product(rng: np.random.Generator, look: Look, size: tuple[int, int]) -> Canvas:
    (piece,) = look.pieces.values()
    image = backgrounds.studio(rng, *size)
    frame = PRODUCT_FRAMES.get(piece.label, UPPER_FRAME)
    if word.HOOD in piece.parts:
        frame = (frame[0], 0.1, *frame[2:])
    tilt = float(rng.normal(0, 0.03))
    canvas = _framed(rng, image, frame, float(rng.uniform(0.82, 0.95)), tilt)
    pose = Pose(float(rng.uniform(0.2, 0.7)), float(rng.uniform(0.2, 0.8)))
    if piece.label == word.SOCK:
        _pair(canvas, piece, accessories.draw_sock, (-0.15, 0.0), (0.5, 0.0))
    elif piece.label == word.GLOVE:
        _pair(canvas, piece, accessories.draw_glove, (-0.55, 0.0), (0.55, 0.05))
    elif piece.label == word.SHOE:
        _pair(canvas, piece, accessories.draw_shoe, (0.04, -0.5), (-0.02, 0.4))
    else:
        _draw_piece(canvas, piece, pose, worn=False)
    return canvas


def _pair(
    canvas: Canvas,
    piece: Piece,
    draw_one: Callable[[Canvas, Piece], None],
    first: Point,
    second: Point,
) -> None:
    for spot in (first, second):
        with canvas.moved(spot, 0.95):
            draw_one(canvas, piece)


def _draw_piece(canvas: Canvas, piece: Piece, pose: Pose, worn: bool) -> None:
    match piece.label:
        case word.PANTS | word.SHORTS | word.SKIRT:
            lowers.draw_lower(canvas, piece, pose)
        case word.DRESS | word.JUMPSUIT:
            lowers.draw_one_piece(canvas, piece, pose, worn)
        case word.CAPE:
            uppers.draw_cape(canvas, piece, worn)
        case word.TIGHTS:
            lowers.draw_tights(canvas, piece, pose)
        case word.LEG_WARMER:
            lowers.draw_leg_warmers(canvas, piece, pose)
        case word.SCARF:
            accessories.draw_scarf(canvas, piece)
        case word.GLASSES:
            accessories.draw_glasses(canvas, piece)
        case word.HAT:
            accessories.draw_hat(canvas, piece)
        case word.HEADBAND:
            accessories.draw_headband(canvas, piece)
        case word.TIE:
            accessories.draw_tie(canvas, piece)
        case word.WATCH:
            accessories.draw_watch(canvas, piece)
        case word.BELT:
            accessories.draw_belt(canvas, piece)
        case word.BAG:
            accessories.draw_bag(canvas, piece)
        case word.UMBRELLA:
            accessories.draw_umbrella(canvas, piece)
        case _:
            uppers.draw_upper(canvas, piece, pose, worn)


def _shoot_outfit(rng: np.random.Generator, look: Look, size: tuple[int, int]) -> Canvas:
    image = backgrounds.scene(rng, *size)
    pieces = look.pieces
    hooded = word.HOOD in look.labels
    short_hair = hooded or word.SCARF in pieces or word.UMBRELLA in pieces
    person = somebody(rng, word.UMBRELLA in pieces, short_hair)
    top = -1.75 if word.UMBRELLA in pieces else (-0.85 if word.HAT in pieces else -0.35)
    frame = (-1.75, top, 1.75, 7.0)
    canvas = _framed(rng, image, frame, float(rng.uniform(0.88, 0.98)), 0.0)
    _floor_shadow(canvas)
    if word.UMBRELLA in pieces:
        _open_umbrella(canvas, pieces[word.UMBRELLA], person)
        canvas.next_layer()
    person.draw_back_hair(canvas)
    person.draw_body(canvas)
    _dress(canvas, look, person)
    return canvas


def _floor_shadow(canvas: Canvas) -> None:
    for reach, alpha in ((0.95, 0.10), (0.75, 0.12), (0.55, 0.14)):
        canvas.fill(ellipse((0.05, 6.8), reach, 0.16 * reach), (24, 22, 28), alpha=alpha)


def _open_umbrella(canvas: Canvas, piece: Piece, person: Person) -> None:
    x, _ = person.pose.hand(1)
    with canvas.moved((x - 0.35, -0.55), 1.5):
        accessories.draw_umbrella(canvas, piece)


def _dress(canvas: Canvas, look: Look, person: Person) -> None:
    """Puts the pieces on the person, from the skin outwards, each on a layer of its own."""
    pieces, pose = dict(look.pieces), person.pose

    def on(*labels: str) -> list[Piece]:
        return [pieces[label] for label in labels if label in pieces]

    for piece in on(word.TIGHTS, word.SOCK, word.SHOE):
        canvas.next_layer()
        match piece.label:
            case word.TIGHTS:
                lowers.draw_tights(canvas, piece, pose)
            case word.SOCK:
                lowers.draw_socks(canvas, piece, pose)
            case _:
                lowers.draw_shoes(canvas, piece, pose)
    tucked = on(*word.INNER_TOPS)
    if word.HOOD not in look.labels and word.SWEATER not in pieces:
        order = tucked + on(*word.BOTTOMS)
    else:
        order = on(*word.BOTTOMS) + tucked
    for piece in order + on(*word.ONE_PIECES, word.LEG_WARMER):
        canvas.next_layer()
        _draw_piece(canvas, piece, pose, worn=True)
    for piece in on(word.BELT):
        canvas.next_layer()
        uppers.draw_waist_belt(canvas, 0.58, uppers.WAIST + 0.03, piece.fabric.colour)
    for piece in on(word.TIE):
        canvas.next_layer()
        with canvas.moved((0, 1.66), 0.95):
            accessories.draw_tie(canvas, piece)
    for piece in on(*word.OUTER_LAYERS):
        canvas.next_layer()
        _draw_piece(canvas, piece, pose, worn=True)
    canvas.next_layer()
    _show_hands(canvas, look, person)
    canvas.next_layer()
    if word.HOOD in look.labels:
        person.draw_neck(canvas)
    person.draw_head(canvas)
    _accessorise(canvas, pieces, person)


def _show_hands(canvas: Canvas, look: Look, person: Person) -> None:
    """Gloves, the watch, and a bag in the hand that is down."""
    pieces, pose = look.pieces, person.pose
    if word.GLOVE in pieces:
        for side in (-1, 1):
            wrist, fingers = pose.arm(side)[2:]
            along = fingers - wrist
            turn = float(np.arctan2(-along[0], along[1]))
            with canvas.moved(tuple(wrist + along * 0.55), 0.42, turn):
                accessories.draw_glove(canvas, pieces[word.GLOVE])
    if word.WATCH in pieces:
        elbow, wrist = pose.arm(-1)[1:3]
        spot = wrist + (elbow - wrist) * 0.06
        with canvas.moved(tuple(spot), 0.3, np.pi / 2):
            accessories.draw_watch(canvas, pieces[word.WATCH])
    if word.BAG in pieces:
        x, y = pose.hand(-1)
        canvas.next_layer()
        with canvas.moved((x - 0.05, y + 0.72), 0.74):
            accessories.draw_bag(canvas, pieces[word.BAG])


def _accessorise(canvas: Canvas, pieces: dict[str, Piece], person: Person) -> None:
    """What goes about the head and the neck."""
    if word.SCARF in pieces:
        canvas.next_layer()
        accessories.draw_scarf(canvas, pieces[word.SCARF])
    if word.GLASSES in pieces:
        canvas.next_layer()
        with canvas.moved((0, 0.5), 0.39):
            accessories.draw_glasses(canvas, pieces[word.GLASSES])
    if word.HAT in pieces:
        canvas.next_layer()
        with canvas.moved((0, 0.16), 0.62):
            accessories.draw_hat(canvas, pieces[word.HAT])
    if word.HEADBAND in pieces:
        canvas.next_layer()
        with canvas.moved((0, 0.34), 0.52):
            accessories.draw_headband(canvas, pieces[word.HEADBAND])
