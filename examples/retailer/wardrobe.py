"""How pieces are chosen: cut, fabric and parts of each label, following wishes."""

from dataclasses import replace

import numpy as np

from retailer import vocabulary as word
from retailer.patterns import LEATHERS, METALS, Fabric, cloth, contrasting, pick
from retailer.pieces import Piece
from retailer.wishes import Wishes

BODICE_END = 2.8  # where the bodice of a dress or jumpsuit ends, in figure units


def make_piece(label: str, wishes: Wishes, worn: bool, under: bool = False) -> Piece:
    """A piece of one label.

    Args:
        worn: whether a person wears it.
        under: whether another layer covers most of it, so that it stays plain.
    """
    if wishes.hero is not None and label == wishes.hero[0]:
        wishes = replace(wishes, rng=np.random.default_rng(wishes.hero[1]))
    if label in word.ACCESSORIES:
        return _accessory(label, wishes, worn)
    if label in word.BOTTOMS:
        return _bottom(label, wishes, under)
    if label in word.ONE_PIECES:
        return _one_piece(label, wishes, under)
    if label in word.OUTER_LAYERS:
        return _outer(label, wishes, worn)
    return _inner(label, wishes, under)


def _inner(label: str, wishes: Wishes, under: bool) -> Piece:
    rng = wishes.rng
    cut = {"ease": wishes.between(0.0, 0.1), "hem": wishes.between(3.1, 3.45)}
    has: set[str] = set()
    neck = "crew"
    if label == word.SHIRT:
        has |= {word.COLLAR, word.SLEEVE}
        cut |= {"sleeve": wishes.between(1.7, 1.9), "width": wishes.between(0.21, 0.25)}
        fabric = cloth(rng, "plain", "bars", "stripes", "gingham", "plaid", "denim", "dots")
        if not under:
            extras = {word.POCKET: 0.35, word.EPAULETTE: 0.1, word.RUFFLE: 0.1, word.BOW: 0.1}
            has |= wishes.some(extras, most=1)
    elif label == word.TOP:
        has |= {word.SLEEVE} if wishes.chance(word.SLEEVE, 0.8) else set()
        fabric = cloth(rng)
        if not under and wishes.chance(word.HOOD, 0.14):
            has |= {word.HOOD, word.SLEEVE}
            has |= {word.POCKET} if wishes.chance(word.POCKET, 0.6) else set()
            cut |= {"sleeve": 1.85, "width": 0.26, "ease": 0.12, "rib": 1.0}
        else:
            has.add(word.NECKLINE)
            necks = ("crew", "crew", "scoop", "v")
            neck = wishes.one_of(*(necks if under else (*necks, "boat", "square")))
            cut |= {"sleeve": wishes.between(0.45, 0.9), "width": wishes.between(0.23, 0.28)}
        if not under:
            extras = {word.APPLIQUE: 0.2, word.SEQUIN: 0.07, word.BEAD: 0.07, word.FLOWER: 0.05}
            has |= wishes.some(extras, most=1)
        if word.APPLIQUE in has or word.BEAD in has or word.FLOWER in has:
            fabric = cloth(rng, "plain")
    else:
        has |= {word.SLEEVE, word.NECKLINE}
        neck = wishes.one_of("crew", "crew", "v", "roll")
        cut |= {"sleeve": wishes.between(1.75, 1.92), "width": 0.26, "ease": 0.1, "rib": 1.0}
        fabric = cloth(rng, "knit")
        if not under:
            has |= wishes.some({word.APPLIQUE: 0.12, word.BEAD: 0.06}, most=1)
        if word.BEAD in has:
            neck = "crew"
    if word.SEQUIN in has:
        fabric = cloth(rng, "sequin")
    if word.HOOD in has and word.BEAD in has:
        has.discard(word.BEAD)
    cut |= {"trim": float(rng.random() < 0.3), "shape": float(rng.integers(3))}
    front = "buttons" if label == word.SHIRT else "closed"
    accent = contrasting(rng, fabric.colour)
    return Piece(label, frozenset(has), fabric, accent, "", cut, front, neck)


def _outer(label: str, wishes: Wishes, worn: bool) -> Piece:
    rng = wishes.rng
    gap = wishes.between(0.24, 0.32)
    cut = {"ease": 0.12, "hem": 3.35, "gap": gap, "sleeve": 1.88, "width": 0.27}
    front = "open" if worn else "closed"
    has = {word.SLEEVE}
    neck, style = "v", ""
    match label:
        case word.CARDIGAN:
            fabric = cloth(rng, "knit")
            has |= {word.POCKET} if wishes.chance(word.POCKET, 0.5) else set()
            has |= set() if worn else {word.NECKLINE}
            cut |= {"rib": 1.0, "hem": wishes.between(3.2, 3.8)}
            front = "open" if worn else "buttons"
        case word.JACKET:
            style = _jacket_style(wishes)
            fabric, more = {
                "blazer": (cloth(rng, "plain", "plaid", "bars"), {word.LAPEL, word.COLLAR}),
                "biker": (cloth(rng, "leather"), {word.LAPEL, word.COLLAR, word.ZIPPER}),
                "denim": (cloth(rng, "denim"), {word.COLLAR, word.POCKET}),
                "field": (cloth(rng, "plain", "camo"), {word.COLLAR, word.EPAULETTE, word.POCKET}),
            }[style]
            has |= more
            if style == "biker":
                has |= {word.RIVET} if wishes.chance(word.RIVET, 0.4) else set()
                cut["hem"] = 3.05
            if style == "blazer" and wishes.chance(word.POCKET, 0.6):
                has.add(word.POCKET)
            front = "open" if worn else ("closed" if style == "biker" else "buttons")
            neck = "v" if word.LAPEL in has else "crew"
        case word.VEST:
            has = set()
            style = "puffer" if wishes.chance(word.ZIPPER, 0.5) else "waistcoat"
            if style == "puffer":
                fabric, has = cloth(rng, "quilt"), {word.ZIPPER, word.COLLAR}
                neck = "crew"
            else:
                fabric = cloth(rng, "plain", "plaid", "bars")
                has |= {word.POCKET} if wishes.chance(word.POCKET, 0.6) else set()
                has |= set() if worn else {word.NECKLINE}
                front = "open" if worn else "buttons"
            cut |= {"ease": 0.08, "hem": 3.15}
        case word.COAT:
            fabric = cloth(rng, "plain", "plain", "plaid", "knit")
            if wishes.chance(word.HOOD, 0.15):
                has |= {word.HOOD, word.ZIPPER}
                neck = "crew"
            else:
                has |= {word.LAPEL, word.COLLAR}
            extras = {word.POCKET: 0.7, word.EPAULETTE: 0.15, word.BELT: 0.3}
            has |= wishes.some(extras, most=3)
            cut |= {"hem": wishes.between(4.7, 5.5), "flare": wishes.between(0.02, 0.22)}
            if word.BELT in has and worn and word.HOOD in has:
                has.remove(word.BELT)
            if word.BELT in has:
                has.add(word.BUCKLE)
            front = "open" if worn and word.BELT not in has else "buttons"
            if word.HOOD in has and front == "buttons":
                front = "closed"
        case _:
            has = set()
            fabric = cloth(rng, "plain", "plain", "plaid", "knit")
            has.add(wishes.choose({word.HOOD: 0.3, word.COLLAR: 0.7}))
            has |= wishes.some({word.FRINGE: 0.35, word.TASSEL: 0.4})
            cut["hem"] = wishes.between(4.2, 4.6)
    accent = contrasting(rng, fabric.colour)
    if word.BELT in has:
        accent = pick(rng, LEATHERS)
    return Piece(label, frozenset(has), fabric, accent, style, cut, front, neck)


def _jacket_style(wishes: Wishes) -> str:
    if word.EPAULETTE in wishes.want:
        return "field"
    if wishes.want & {word.RIVET, word.ZIPPER}:
        return "biker"
    if word.LAPEL in wishes.want:
        return "blazer"
    return wishes.one_of("blazer", "blazer", "biker", "denim", "field")


def _bottom(label: str, wishes: Wishes, under: bool) -> Piece:
    rng = wishes.rng
    has: set[str] = set()
    cut: dict[str, float] = {}
    style = ""
    if label == word.SKIRT:
        fabric = cloth(rng)
        style = wishes.one_of("pleated", "smooth", "smooth")
        longest = 4.9 if wishes.want & word.LEGWEAR else 5.3
        cut |= {
            "skirt_hem": wishes.between(4.2, longest),
            "skirt_width": wishes.between(0.75, 1.25),
        }
        extras = {word.RUFFLE: 0.15, word.FRINGE: 0.08, word.SEQUIN: 0.06}
        has |= wishes.some(dict.fromkeys(extras, 0.0) if under else extras, most=1)
        if not under:
            has |= wishes.some({word.ZIPPER: 0.07, word.RIBBON: 0.07}, most=1)
        if word.SEQUIN in has:
            fabric = cloth(rng, "sequin")
    else:
        fabric = cloth(rng, "denim", "denim", "plain", "plain", "plaid", "bars", "camo")
        if label == word.PANTS:
            cut |= {"leg_hem": wishes.between(6.1, 6.4), "leg_width": wishes.between(0.2, 0.42)}
        else:
            cut |= {"leg_hem": wishes.between(4.35, 4.75), "leg_width": wishes.between(0.3, 0.38)}
        if not under:
            extras = {word.POCKET: 0.5, word.RIVET: 0.08}
            if label == word.PANTS:
                extras[word.FRINGE] = 0.04
            has |= wishes.some(extras)
    return Piece(label, frozenset(has), fabric, contrasting(rng, fabric.colour), style, cut)


def _one_piece(label: str, wishes: Wishes, under: bool) -> Piece:
    rng = wishes.rng
    ease = wishes.between(0.0, 0.06)
    cut = {"ease": ease, "hem": BODICE_END, "width": wishes.between(0.2, 0.26)}
    cut["sleeve"] = wishes.between(0.4, 0.9) if rng.random() < 0.6 else wishes.between(1.6, 1.88)
    has = {word.SLEEVE} if wishes.chance(word.SLEEVE, 0.65) else set()
    necks = ("crew", "scoop", "v")
    neck = wishes.one_of(*(necks if under else (*necks, "square", "boat")))
    front, style = "closed", wishes.one_of("pleated", "smooth", "smooth")
    fabric = cloth(rng)
    if wishes.chance(word.COLLAR, 0.12):
        has.add(word.COLLAR)
        neck, front = "crew", "buttons"
    else:
        has.add(word.NECKLINE)
    if label == word.DRESS:
        cut["skirt_hem"] = wishes.between(4.4, 4.9 if wishes.want & word.LEGWEAR else 6.1)
        cut["skirt_width"] = wishes.between(0.85, 1.35)
        if not under:
            low = {word.RUFFLE: 0.15, word.FRINGE: 0.04, word.RIBBON: 0.1}
            high = {word.BOW: 0.08, word.FLOWER: 0.08, word.BEAD: 0.08, word.SEQUIN: 0.07}
            has |= wishes.some(low, most=1) | wishes.some(high, most=1)
    else:
        cut["leg_hem"] = wishes.between(6.05, 6.35)
        cut["leg_width"] = wishes.between(0.3, 0.46)
        fabric = cloth(rng, "plain", "plain", "denim", "dots", "bars", "camo", "stripes")
        if not under:
            low = {word.POCKET: 0.3, word.RIBBON: 0.08}
            has |= wishes.some(low, most=1)
            if front == "closed" and wishes.chance(word.ZIPPER, 0.3):
                has.add(word.ZIPPER)
    if has & {word.RUFFLE, word.BOW, word.FLOWER, word.BEAD}:
        neck, front = ("crew" if word.COLLAR in has else "boat"), "closed"
    if word.SEQUIN in has:
        fabric = cloth(rng, "sequin")
    elif has & {word.BEAD, word.FLOWER, word.RUFFLE, word.BOW}:
        fabric = cloth(rng, "plain")
    cut["trim"] = float(rng.random() < 0.3)
    accent = contrasting(rng, fabric.colour)
    return Piece(label, frozenset(has), fabric, accent, style, cut, front, neck)


def _accessory(label: str, wishes: Wishes, worn: bool) -> Piece:
    rng = wishes.rng
    has: set[str] = set()
    cut: dict[str, float] = {}
    style = ""
    accent = None
    match label:
        case word.GLASSES:
            fabric, style = cloth(rng, "plain"), wishes.one_of("sun", "sun", "clear")
            accent = pick(rng, ((30, 28, 32), (112, 62, 36), (150, 40, 48), (40, 60, 90)))
        case word.HAT:
            style = wishes.one_of("brim", "brim", "bucket", "beanie", "cap")
            fabric = cloth(rng, "knit" if style == "beanie" else "plain")
            if style in ("brim", "bucket") and wishes.chance(word.FLOWER, 0.05):
                has.add(word.FLOWER)
        case word.HEADBAND:
            fabric = cloth(rng, "plain", "dots", "stripes")
            has |= wishes.some({word.BOW: 0.3, word.FLOWER: 0.25}, most=1)
        case word.TIE:
            fabric = cloth(rng, "plain", "stripes", "dots")
        case word.GLOVE:
            fabric = cloth(rng, "leather", "knit", "plain")
        case word.WATCH:
            fabric, style = cloth(rng, "leather"), wishes.one_of("light", "dark")
            accent = pick(rng, METALS)
        case word.BELT:
            fabric = cloth(rng, "leather")
            accent = fabric.colour
            has.add(word.BUCKLE)
            if not worn and wishes.chance(word.RIVET, 0.25):
                has.add(word.RIVET)
        case word.LEG_WARMER:
            fabric = cloth(rng, "knit")
        case word.TIGHTS:
            colour = pick(rng, ((34, 32, 40), (28, 44, 84), (120, 36, 56), (60, 96, 70)))
            fabric = Fabric(colour, (230, 230, 230), wishes.one_of("plain", "plain", "dots"), 0.2)
        case word.SOCK:
            fabric = cloth(rng, "plain", "stripes", "knit")
            cut["height"] = wishes.between(0.2, 0.5)
        case word.SHOE:
            style = wishes.one_of("sneaker", "sneaker", "boot", "pump")
            fabric = cloth(rng, "plain" if style == "sneaker" else "leather")
            if not worn and style != "sneaker":
                has |= wishes.some({word.BUCKLE: 0.2, word.BOW: 0.1}, most=1)
        case word.BAG:
            style = wishes.one_of("tote", "satchel", "satchel")
            fabric = cloth(rng, "leather", "leather", "plain", "denim")
            low = {word.BUCKLE: 0.25, word.ZIPPER: 0.15, word.FRINGE: 0.06}
            has |= wishes.some(low, most=1) | wishes.some({word.TASSEL: 0.15, word.RIVET: 0.08}, 1)
        case word.SCARF:
            fabric = cloth(rng, "knit", "plaid", "stripes", "plain")
            has |= wishes.some({word.FRINGE: 0.4, word.TASSEL: 0.12}, most=1)
            cut["length"] = wishes.between(2.6, 3.2)
        case _:
            fabric = cloth(rng, "plain", "plain", "dots", "plaid")
            style = wishes.one_of("one-tone", "two-tone")
    accent = accent or contrasting(rng, fabric.colour)
    return Piece(label, frozenset(has), fabric, accent, style, cut)
