"""What to draw: products with their month, brand and price, and the photos of each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np

from retailer import facts
from retailer import vocabulary as word
from retailer.looks import Look, make_look

TRAIN_SHARE = 0.4
PHOTOS_PER_PRODUCT = 1.35
VIEWS = (("product", "outfit"),) * 7 + (("outfit",),) * 7 + (("product",),) * 6
SMALL_GOODS = (
    word.GLASSES,
    word.WATCH,
    word.BELT,
    word.SCARF,
    word.GLOVE,
    word.TIE,
    word.SOCK,
    word.HEADBAND,
    word.LEG_WARMER,
)
ACCESSORY = "accessory"
# Shares of the products that are the same in every month; trends and seasons fill the rest.
STEADY = {
    word.SHIRT: 0.05,
    word.TOP: 0.08,
    word.SWEATER: 0.05,
    word.CARDIGAN: 0.04,
    word.JACKET: 0.06,
    word.VEST: 0.03,
    word.PANTS: 0.06,
    word.SKIRT: 0.07,
    word.CAPE: 0.02,
    word.BAG: 0.03,
    word.SHOE: 0.03,
    ACCESSORY: 0.04,
}
FOLDERS = {
    word.SHIRT: "shirts",
    word.TOP: "tops",
    word.SWEATER: "knitwear",
    word.CARDIGAN: "knitwear",
    word.JACKET: "jackets",
    word.VEST: "jackets",
    word.COAT: "coats",
    word.CAPE: "coats",
    word.PANTS: "trousers",
    word.SHORTS: "trousers",
    word.SKIRT: "skirts",
    word.DRESS: "dresses",
    word.JUMPSUIT: "jumpsuits",
    word.BAG: "bags",
    word.SHOE: "shoes",
}
PRICES = {word.COAT: 180, word.JACKET: 120, word.DRESS: 85, word.JUMPSUIT: 95, word.CAPE: 140}
SIZES = (
    (360, 480),
    (360, 540),
    (400, 600),
    (480, 600),
    (480, 640),
    (480, 720),
    (480, 480),
    (600, 600),
    (600, 800),
    (600, 900),
    (800, 1200),
)
SIZE_WEIGHTS = (4, 3, 4, 2, 4, 2, 1, 1, 2, 1, 0.5)
ENDINGS = (".jpg", ".jpeg", ".JPG", ".png", ".webp")
ENDING_WEIGHTS = (0.82, 0.04, 0.02, 0.05, 0.07)
# Only planted: they appear in a catalogue photo when the plan says so, and never by chance.
CONTROLLED = frozenset(
    {
        word.HAT,
        word.UMBRELLA,
        word.TIGHTS,
        word.BAG,
        word.SKIRT,
        word.SHORTS,
        word.COAT,
        word.DRESS,
        word.JUMPSUIT,
    }
)
BARE_LEGGED = (word.SKIRT, word.DRESS, word.SHORTS)


@dataclass(frozen=True)
class Photo:
    """One photo to draw.

    Attributes:
        folder: `catalogue` or `train`.
        image: its path within the folder, `/`-separated.
        kind: `product` or `outfit`.
        seed: what decides all that the plan leaves open.
        size: width and height in pixels.
        want: labels to show, the subject first.
        avoid: labels not to show.
        sku: the product that it belongs to.
        hero: see `Wishes`.
    """

    folder: str
    image: str
    kind: str
    seed: tuple[int, ...]
    size: tuple[int, int]
    want: tuple[str, ...]
    avoid: frozenset[str] = frozenset()
    sku: str | None = None
    hero: tuple[str, int] | None = None

    def look(self) -> Look:
        """What the photo shows, without drawing it."""
        rng = np.random.default_rng([*self.seed, 0])
        return make_look(rng, self.kind, self.want, self.avoid, self.hero)


@dataclass(frozen=True)
class Product:
    """One row of the product feed, with its photos."""

    sku: str
    brand: str
    category: str
    price: float
    listed_at: date
    photos: tuple[Photo, ...]


@dataclass(frozen=True)
class _Draft:
    """A product before its photos are planned; `kinds` are the kinds of its views."""

    month: int
    brand: str
    category: str
    kinds: tuple[str, ...]
    extras: tuple[str, ...] = ()

    @property
    def worn(self) -> bool:
        return "outfit" in self.kinds


def plan_products(photos: int, seed: int, scale: float = 1.0) -> list[Product]:
    """The catalogue's products for a run of `photos` photos, training photos included.

    Args:
        photos: catalogue and training photos together.
        seed: the same seed plans the same products.
        scale: what photo sizes are multiplied with.
    """
    rng = np.random.default_rng([seed, 1])
    views = photos - train_count(photos)
    drafts = _drafts(rng, max(facts.MONTHS, round(views / PHOTOS_PER_PRODUCT)))
    drafts = _with_extras(rng, drafts)
    return [_product(rng, seed, number, draft, scale) for number, draft in enumerate(drafts, 1)]


def plan_training(photos: int, seed: int, scale: float = 1.0) -> list[Photo]:
    """Training photos that show every label about equally often, without trends."""
    rng = np.random.default_rng([seed, 2])
    planned = []
    for number in range(1, train_count(photos) + 1):
        kind = "product" if rng.random() < 0.45 else "outfit"
        choices = (word.GARMENTS, word.ACCESSORIES, word.PARTS)
        some = [group[rng.integers(len(group))] for group in choices]
        if kind == "product":
            want: tuple[str, ...] = (some[rng.choice(3, p=(0.4, 0.3, 0.3))],)
        else:
            other = word.ACCESSORIES[rng.integers(len(word.ACCESSORIES))]
            want = tuple(dict.fromkeys([*some, other]))
            want = want[rng.integers(2) :]
        image = f"{number:06d}{_ending(rng)}"
        size = _size(rng, scale)
        planned.append(Photo("train", image, kind, (seed, 4, number), size, want))
    return planned


def train_count(photos: int) -> int:
    """How many of the photos are for training."""
    return round(photos * TRAIN_SHARE)


def _drafts(rng: np.random.Generator, count: int) -> list[_Draft]:
    months = np.sort(np.arange(count) % facts.MONTHS)
    trends = [trend for trend in (*facts.RISING, *facts.FALLING) if trend.label in word.ONE_PIECES]
    curves: dict[str, Callable[[int], float]] = {
        **{trend.label: trend.share for trend in trends},
        **{season.label: season.share for season in facts.SEASONAL},
    }
    names = [*curves, *STEADY]
    owed = np.full(len(names), 0.0)
    brands = _shuffled_rounds(rng, count, len(facts.BRANDS))
    views = _shuffled_rounds(rng, count, len(VIEWS))
    drafts: list[_Draft] = []
    for month in range(facts.MONTHS):
        chosen: list[int] = []
        shares = np.array(
            [curves[name](month) if name in curves else STEADY[name] for name in names]
        )
        for _ in range(int((months == month).sum())):
            owed += shares / shares.sum()
            best = int(np.argmax(owed))
            owed[best] -= 1
            chosen.append(best)
        for best in rng.permutation(chosen):
            place = len(drafts)
            kinds: tuple[str, ...] = VIEWS[views[place]]
            name = names[int(best)]
            if name == ACCESSORY:
                name = SMALL_GOODS[rng.integers(len(SMALL_GOODS))]
                kinds = ("product",) * len(kinds)
            elif name == word.SKIRT and kinds == ("product",):
                kinds = ("outfit",)
            drafts.append(_Draft(month, facts.BRANDS[brands[place]], name, kinds))
    return drafts


def _with_extras(rng: np.random.Generator, drafts: list[_Draft]) -> list[_Draft]:
    """Adds what is planted on top of the categories: skirts, tights, bags, umbrellas, hats."""
    tops = (word.SHIRT, word.TOP, word.SWEATER, word.CARDIGAN, word.JACKET, word.VEST)
    drafts = _add(rng, drafts, word.SKIRT, lambda made: 0.35 * (made.category in tops))
    drafts = _add(rng, drafts, word.TIGHTS, _tights_likelihood)
    for trend in (*facts.RISING, *facts.FALLING):
        if trend.label in word.ONE_PIECES:
            continue
        able = [made.worn and _can_carry(made, trend.label) for made in drafts]
        worn_share = sum(able) / len(drafts)
        drafts = _add(
            rng,
            drafts,
            trend.label,
            lambda made, trend=trend, worn_share=worn_share: (  # type: ignore[misc]
                _can_carry(made, trend.label) * trend.share(made.month) / worn_share
            ),
        )
    return _add(
        rng,
        drafts,
        facts.STRONG_IN,
        lambda made: 0.75 if made.brand == facts.STRONG_BRAND else 0.12,
    )


def _can_carry(made: _Draft, label: str) -> bool:
    return not (label == word.UMBRELLA and made.category == word.CAPE)


def _tights_likelihood(made: _Draft) -> float:
    if word.SKIRT in (made.category, *made.extras):
        return 0.7
    return 0.02 if made.category in BARE_LEGGED else 0.0


def _add(
    rng: np.random.Generator,
    drafts: Sequence[_Draft],
    label: str,
    likelihood: Callable[[_Draft], float],
) -> list[_Draft]:
    chances = np.array([likelihood(made) if made.worn else 0.0 for made in drafts])
    flags = diffused(rng, chances)
    return [
        replace(made, extras=(*made.extras, label)) if flag and label != made.category else made
        for made, flag in zip(drafts, flags, strict=True)
    ]


def diffused(rng: np.random.Generator, likelihoods: np.ndarray) -> np.ndarray:
    """Flags as likely as given, but spread evenly: sums stray by less than 1 from expectation.

    Returns:
        bool, as long as `likelihoods`.
    """
    reached = np.floor(np.cumsum(likelihoods) + rng.random())
    return np.diff(reached, prepend=0) > 0


def _shuffled_rounds(rng: np.random.Generator, count: int, kinds: int) -> np.ndarray:
    rounds = [rng.permutation(kinds) for _ in range(-(-count // kinds))]
    return np.concatenate(rounds)[:count]


def _product(
    rng: np.random.Generator, seed: int, number: int, draft: _Draft, scale: float
) -> Product:
    sku = f"FF-{number:06d}"
    start = facts.month_start(draft.month)
    listed_at = start + timedelta(days=int(rng.integers(28)))
    folder = f"{FOLDERS.get(draft.category, 'accessories')}/{start:%Y-%m}"
    typical = PRICES.get(draft.category, 55)
    price = max(9, round(float(rng.lognormal(np.log(typical), 0.35)))) - 0.05
    hero = (draft.category, int(rng.integers(2**31)))
    photos = []
    for view, kind in enumerate(draft.kinds, 1):
        want: tuple[str, ...] = (draft.category, *(draft.extras if kind == "outfit" else ()))
        if kind == "outfit" and not {*want} & {*word.BOTTOMS, *word.ONE_PIECES}:
            want = (*want, word.PANTS)
        photos.append(
            Photo(
                folder="catalogue",
                image=f"{folder}/{sku}_{view}{_ending(rng)}",
                kind=kind,
                seed=(seed, 3, number, view),
                size=_size(rng, scale),
                want=want,
                avoid=CONTROLLED.difference(want),
                sku=sku,
                hero=hero,
            )
        )
    return Product(sku, draft.brand, draft.category, price, listed_at, tuple(photos))


def _size(rng: np.random.Generator, scale: float) -> tuple[int, int]:
    weights = np.array(SIZE_WEIGHTS, dtype=float)
    width, height = SIZES[rng.choice(len(SIZES), p=weights / weights.sum())]
    return max(64, round(width * scale)), max(64, round(height * scale))


def _ending(rng: np.random.Generator) -> str:
    return ENDINGS[rng.choice(len(ENDINGS), p=ENDING_WEIGHTS)]


def listings(products: Sequence[Product]) -> list[facts.Listing]:
    """The products as the facts see them, by the labels that their photos are planned to show."""
    return [
        facts.Listing(
            facts.month_of(made.listed_at),
            made.brand,
            frozenset[str]().union(*(photo.look().labels for photo in made.photos)),
        )
        for made in products
    ]
