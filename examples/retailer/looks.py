"""Which pieces make up a photo, and so which labels it has."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from retailer import vocabulary as word
from retailer.pieces import Piece
from retailer.wardrobe import make_piece
from retailer.wishes import CARRIERS, Wishes

KINDS = ("product", "outfit")
COVERS_LEGS_BELOW = 5.0  # a hem lower than this leaves no room for socks or leg warmers
OPEN_JACKET = (word.CARDIGAN, word.JACKET, word.VEST, word.COAT)
HIDDEN_BY_A_CAPE = {*word.INNER_TOPS, *word.BOTTOMS, *word.LEGWEAR} | {
    word.UMBRELLA,
    word.TIE,
    word.WATCH,
    word.GLOVE,
    word.SCARF,
}
# Wished for without an outer layer, these call for a look that has none.
SHOWN_WITHOUT_OUTER_LAYER = {word.BELT, *word.PARTS} - {
    word.SLEEVE,
    word.COLLAR,
    word.NECKLINE,
    word.POCKET,
}


@dataclass(frozen=True)
class Look:
    """What a photo shows.

    Attributes:
        kind: `product`: one piece by itself; `outfit`: a person who wears several.
        pieces: by label; a piece's parts are its own.
    """

    kind: str
    pieces: dict[str, Piece]

    @property
    def labels(self) -> frozenset[str]:
        """All labels that can be seen in the photo."""
        return frozenset[str]().union(*(piece.labels for piece in self.pieces.values()))


def make_look(
    rng: np.random.Generator,
    kind: str,
    want: Iterable[str] = (),
    avoid: Iterable[str] = (),
    hero: tuple[str, int] | None = None,
) -> Look:
    """A look at random that has the labels wanted, as far as they go together.

    Args:
        rng: where chance comes from.
        kind: `product` or `outfit`.
        want: labels to show; the first garment or accessory among them is a product photo's
            subject.
        avoid: labels not to show.
        hero: see `Wishes`.
    """
    wanted = list(want)
    carriers = [_carrier(rng, label, wanted) for label in wanted if label in CARRIERS]
    wanted += [label for label in carriers if label is not None]
    wishes = Wishes(rng, frozenset(wanted), frozenset(avoid), hero)
    return _product(wishes, wanted) if kind == "product" else _outfit(wishes)


def _carrier(rng: np.random.Generator, part: str, wanted: list[str]) -> str | None:
    """A garment to carry a part that is wished for, if none wished for can."""
    able = CARRIERS[part]
    if any(label in able for label in wanted):
        return None
    if any(label in word.GARMENTS for label in wanted):
        able = tuple(label for label in able if label in word.ACCESSORIES)
    return able[rng.integers(len(able))] if able else None


def _product(wishes: Wishes, wanted: list[str]) -> Look:
    subjects = [label for label in wanted if label in (*word.GARMENTS, *word.ACCESSORIES)]
    if subjects:
        subject = subjects[0]
    else:
        weights = dict.fromkeys(word.GARMENTS, 2.0) | dict.fromkeys(word.ACCESSORIES, 1.0)
        subject = wishes.choose(weights)
    return Look("product", {subject: make_piece(subject, wishes, worn=False)})


def _outfit(wishes: Wishes) -> Look:
    pieces: dict[str, Piece] = {}
    one_piece = _wears_one_piece(wishes)
    outer = _outer_layer(wishes, one_piece)
    covered = outer is not None
    if one_piece is not None:
        pieces[one_piece] = make_piece(one_piece, wishes, worn=True, under=covered)
        low = pieces[one_piece]
    elif outer == word.CAPE:
        # A cape hides all that is worn under it: there is nothing to draw above its hem.
        pieces[word.PANTS] = low = make_piece(word.PANTS, wishes, worn=True, under=True)
    else:
        inner = _inner(wishes)
        bottom = _bottom(wishes)
        pieces[inner] = make_piece(inner, wishes, worn=True, under=covered)
        under = outer == word.COAT
        pieces[bottom] = low = make_piece(bottom, wishes, worn=True, under=under)
    if outer is not None:
        # A belted coat is closed: it would hide all that is shorter than itself.
        open_coat = outer == word.COAT and low.label != word.PANTS
        cut = wishes.without(word.BELT) if open_coat else wishes
        pieces[outer] = make_piece(outer, cut, worn=True)
    for label in _accessories(wishes, pieces, low, outer):
        pieces[label] = make_piece(label, wishes, worn=True)
    return Look("outfit", pieces)


def _inner(wishes: Wishes) -> str:
    if word.TIE in wishes.want and not wishes.want & {*word.INNER_TOPS}:
        return word.SHIRT
    return wishes.choose({word.SHIRT: 1.0, word.TOP: 1.4, word.SWEATER: 0.8})


def _bottom(wishes: Wishes) -> str:
    options = {word.PANTS: 1.2, word.SHORTS: 0.4, word.SKIRT: 0.6}
    if wishes.want & word.LEGWEAR and not wishes.want & {*options}:
        del options[word.PANTS]
    return wishes.choose(options)


def _wears_one_piece(wishes: Wishes) -> str | None:
    want = wishes.want
    if want & {*word.ONE_PIECES}:
        return wishes.choose({word.DRESS: 1.0, word.JUMPSUIT: 1.0})
    drawn = wishes.rng.random() < 0.25
    if not drawn or want & {*word.INNER_TOPS, *word.BOTTOMS, word.TIE}:
        return None
    if wishes.avoid >= {*word.ONE_PIECES}:
        return None
    return wishes.choose({word.DRESS: 1.0, word.JUMPSUIT: 1.0})


def _outer_layer(wishes: Wishes, one_piece: str | None) -> str | None:
    options = dict.fromkeys(OPEN_JACKET, 1.0) | {word.CAPE: 0.4}
    if wishes.want & {*options}:
        return wishes.choose(options)
    if wishes.want & SHOWN_WITHOUT_OUTER_LAYER:
        return None
    if one_piece is not None or wishes.want & HIDDEN_BY_A_CAPE:
        del options[word.CAPE]
    if wishes.avoid >= {*options}:
        return None
    return wishes.choose(options) if wishes.rng.random() < (0.15 if one_piece else 0.3) else None


def _accessories(
    wishes: Wishes, pieces: dict[str, Piece], low: Piece, outer: str | None
) -> list[str]:
    """The accessories that go with the garments and with each other, in no order."""
    tops = frozenset().union(*(piece.labels for piece in pieces.values()))
    hem = low.cut.get("leg_hem", low.cut.get("skirt_hem", 0.0))
    if outer == word.COAT:
        hem = max(hem, pieces[word.COAT].cut["hem"])
    caped = outer == word.CAPE
    chosen: list[str] = []

    def maybe(label: str, likelihood: float, possible: bool = True) -> None:
        if wishes.chance(label, likelihood) and possible:
            chosen.append(label)

    covered_neck = {word.BOW, word.RUFFLE, word.BEAD, word.FLOWER} & tops
    roll = any(piece.neck == "roll" for piece in pieces.values())
    hooded = word.HOOD in tops
    maybe(word.SHOE, 0.95)
    maybe(word.GLASSES, 0.15)
    maybe(word.HAT, 0.15)
    maybe(word.HEADBAND, 0.08, word.HAT not in chosen)
    maybe(word.BAG, 0.3)
    maybe(word.UMBRELLA, 0.06, not caped)
    maybe(word.SCARF, 0.08, not (caped or covered_neck or roll or hooded))
    plain_shirt = word.SHIRT in pieces and not covered_neck and outer != word.CAPE
    maybe(word.TIE, 0.15, plain_shirt and word.SCARF not in chosen)
    maybe(word.WATCH, 0.1, not caped)
    maybe(word.GLOVE, 0.06, not caped)
    maybe(word.TIGHTS, 0.05, low.label not in (word.PANTS, word.JUMPSUIT) and hem < 5.7)
    bare = low.label not in (word.PANTS, word.JUMPSUIT) and hem < COVERS_LEGS_BELOW
    maybe(word.LEG_WARMER, 0.08, bare)
    maybe(word.SOCK, 0.12, bare and not {word.LEG_WARMER, word.TIGHTS} & {*chosen})
    belted = outer is None and not {word.RIBBON, word.BELT} & tops and word.HOOD not in tops
    maybe(word.BELT, 0.12, belted)
    return chosen
