"""What a photo shows: chance, bent by labels to show and labels to leave out."""

import re
import tomllib
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

WARDROBE = tomllib.loads((Path(__file__).parent / "wardrobe.toml").read_text(encoding="utf-8"))


class Garment(NamedTuple):
    """A row of the wardrobe; lengths are below the waist, of that drawn."""

    slot: str
    drawings: str
    shortest: float
    longest: float
    parts: str
    cloths: str


class Accessory(NamedTuple):
    """A row of the wardrobe: how often a person has it, and what it cannot go with."""

    likelihood: float
    clashes: str
    parts: str
    cloths: str


GARMENTS = {label: Garment(*row) for label, row in WARDROBE["garments"].items()}
ACCESSORIES = {label: Accessory(*row) for label, row in WARDROBE["accessories"].items()}
PIECES: dict[str, Garment | Accessory] = {**GARMENTS, **ACCESSORIES}
SLOTS = {label: row.slot for label, row in GARMENTS.items()} | {
    label: label for label in ACCESSORIES
}
PARTS_OF = {label: re.findall("[a-z]+", row.parts) for label, row in PIECES.items()}
PARTS = tuple(dict.fromkeys(part for parts in PARTS_OF.values() for part in parts))
LEGWEAR = {"tights", "leg warmer", "sock"}
SEEN_UNDER_A_LAYER = {"collar", "neckline", "sleeve"}
HIDDEN_BY_A_CAPE = {"tie", "watch", "glove", "scarf", "umbrella", *LEGWEAR}
LONG_NAMES = {
    "shirt": "shirt, blouse",
    "top": "top, t-shirt, sweatshirt",
    "headband": "headband, head covering, hair accessory",
    "tights": "tights, stockings",
    "bag": "bag, wallet",
}


def full(label: str) -> str:
    """The name that the taxonomy `fashionpedia` has for a label of the wardrobe."""
    return LONG_NAMES.get(label, label)


@dataclass(frozen=True)
class Piece:
    """A garment or an accessory with its parts.

    Attributes:
        seed: decides its cloth, colours and shape.
        length: how much longer it is than drawn, below the waist.
    """

    label: str
    parts: frozenset[str]
    seed: int
    length: float = 1.0


@dataclass(frozen=True)
class Look:
    """The pieces of a photo: one by itself (`product`), or several on a person (`outfit`)."""

    kind: str
    pieces: dict[str, Piece]

    @property
    def labels(self) -> frozenset[str]:
        """The labels of all that can be seen, as the taxonomy has them."""
        names = [{piece.label, *piece.parts} for piece in self.pieces.values()]
        return frozenset(full(name) for name in set().union(*names))


def make_look(
    rng: np.random.Generator,
    kind: str,
    want: Iterable[str] = (),
    avoid: Collection[str] = (),
    hero: tuple[str, int] | None = None,
) -> Look:
    """A look at random that has the labels wanted, as far as they go together.

    Args:
        rng: where chance comes from.
        kind: `product` or `outfit`.
        want: labels to show; the first piece among them is a product photo's subject.
        avoid: pieces that chance is not to add.
        hero: a piece and a seed: with that seed it looks the same in every photo.
    """
    wanted = [*want]
    for part in [label for label in wanted if label in PARTS]:
        able = [label for label in PIECES if part in PARTS_OF[label]]
        if not any(label in wanted for label in able):
            able = [label for label in able if _is_free(SLOTS[label], wanted)]
            wanted += [able[rng.integers(len(able))]] if able else []
    pieces: dict[str, Piece] = {}

    def add(label: str, plain: bool = False) -> None:
        own = np.random.default_rng(hero[1]) if hero and hero[0] == label else rng
        pieces[label] = _piece(own, label, set(wanted), plain)

    if kind == "product":
        names = [label for label in wanted if label in PIECES]
        every = [*GARMENTS, *GARMENTS, *ACCESSORIES]
        add(names[0] if names else every[rng.integers(len(every))])
        return Look(kind, pieces)
    garments = _garments(rng, set(wanted), avoid)
    covered = any(SLOTS[label] == "outer" for label in garments)
    for label in garments:
        add(label, plain=covered and SLOTS[label] != "outer")
    for label in _accessories(rng, pieces, set(wanted), avoid):
        add(label, plain=label == "shoe")
    return Look(kind, pieces)


def _is_free(slot: str, wanted: Collection[str]) -> bool:
    taken = {SLOTS[label] for label in wanted if label in SLOTS}
    if slot == "whole":
        return not taken & {"inner", "bottom", "whole"}
    return slot not in taken and not (slot in ("inner", "bottom") and "whole" in taken)


def _garments(rng: np.random.Generator, want: set[str], avoid: Collection[str]) -> list[str]:
    def pick(slot: str, *but: str) -> list[str]:
        names = [label for label in GARMENTS if SLOTS[label] == slot]
        wanted = [label for label in names if label in want]
        among = wanted or [label for label in names if label not in avoid and label not in but]
        return [among[rng.integers(len(among))]] if among else []

    def asked(slot: str) -> bool:
        return any(SLOTS.get(label) == slot for label in want)

    trousers = ("pants", "jumpsuit") if want & LEGWEAR else ()
    alone = asked("inner") or asked("bottom") or "tie" in want
    whole = asked("whole") or (rng.random() < 0.25 and not alone)
    body = pick("whole", *trousers) if whole and "cape" not in want else []
    outer = []
    hidden = want & {"belt", *PARTS} - {*SEEN_UNDER_A_LAYER, "pocket"}
    if asked("outer") or (not hidden and rng.random() < (0.15 if body else 0.3)):
        no_cape = body or alone or want & HIDDEN_BY_A_CAPE
        outer = pick("outer", *(["cape"] if no_cape else []))
    if "cape" in outer:  # it hides all that is worn under it, down to its hem
        return ["pants", "cape"]
    inner = ["shirt"] if "tie" in want and not asked("inner") else pick("inner")
    return (body or [*inner, *pick("bottom", *trousers)]) + outer


def _accessories(
    rng: np.random.Generator, pieces: dict[str, Piece], want: set[str], avoid: Collection[str]
) -> list[str]:
    there = {*pieces} | {SLOTS[label] for label in pieces}
    there = there.union(*(piece.parts for piece in pieces.values()))
    there |= {"no-shirt"} if "shirt" not in pieces else set()
    low = [piece.length for label, piece in pieces.items() if label in ("skirt", "dress")]
    there |= {"long"} if max(low, default=0) > 1.15 else set()
    chosen = []
    for label, row in ACCESSORIES.items():
        drawn = rng.random() < row.likelihood and label not in avoid
        if (drawn or label in want) and not there & {*row.clashes.split()}:
            chosen.append(label)
            there.add(label.replace(" ", "-"))
    return chosen


def _piece(rng: np.random.Generator, label: str, want: set[str], plain: bool) -> Piece:
    """A piece; `plain` are those of which another layer hides the most."""
    parts: set[str] = set()
    for place in PIECES[label].parts.split(";"):
        words = place.split()
        options = dict(zip(words[::2], map(float, words[1::2]), strict=True))
        if plain:
            options = {name: odds for name, odds in options.items() if name in SEEN_UNDER_A_LAYER}
        wanted = [name for name in options if want & {*name.split("+")}]
        drawn = int((rng.random() >= np.cumsum([*options.values()])).sum())
        chosen = wanted[0] if wanted else [*options, ""][drawn]
        parts.update(chosen.split("+") if chosen else ())
    row = GARMENTS.get(label)
    shortest, longest = (row.shortest, row.longest) if row else (1.0, 1.0)
    length = float(rng.uniform(shortest, min(longest, 1.1) if want & LEGWEAR else longest))
    return Piece(label, frozenset(parts), int(rng.integers(2**31)), length)
