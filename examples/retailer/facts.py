"""The planted facts, the products that hold them, and how they stand in the true labels."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

import numpy as np

from retailer.drawing import Box
from retailer.looks import ACCESSORIES, GARMENTS, PARTS, SLOTS, Look, full, make_look

FIRST_MONTH, MONTHS = date(2024, 8, 1), 24
WINDOW = 6  # months at either end that a trend is measured on
BRANDS = (
    *("Alder & Finch", "Casa Mirto", "Dunmore", "Halcyon Row"),
    *("Lumen Ford", "Osier Lane", "Pavo", "Tarn & Vale"),
)
# Label -> its share of the products listed in the first month, and in the last.
RISING = {"bag": (0.06, 0.36), "jumpsuit": (0.03, 0.23)}
FALLING = {"umbrella": (0.26, 0.03), "dress": (0.27, 0.07)}
# Label -> months of its peak, months of its low. The first and the last six months hold as much
# winter and as much summer, so that seasons do not pass for trends.
SEASONAL = {"coat": ((12, 1, 2, 3), (6, 7, 8, 9)), "shorts": ((6, 7, 8, 9), (12, 1, 2, 3))}
PEAK, LOW = 0.14, 0.0
PAIR = ("skirt", "tights")
STRONG_BRAND, STRONG_IN = "Osier Lane", "hat"
SIDE_EFFECTS = {
    "pocket": "jumpsuits, coats and shorts have more pockets than dresses",
    "zipper": "jumpsuits and bags have zips, dresses have none",
    "ruffle": "dresses have ruffles, jumpsuits have none",
    "lapel": "coats have lapels, and so peak in winter",
    "buckle": "bags have buckles",
    "tassel": "bags have tassels",
    "rivet": "bags have rivets",
    "sock": "dresses are worn with socks, jumpsuits hide them",
    "pants": "coats are worn with pants, and so peak in winter",
}
# Shares of the products that are the same in every month; trends and seasons fill the rest.
STEADY = {"shirt": 0.05, "top": 0.08, "sweater": 0.05, "cardigan": 0.04, "jacket": 0.06}
STEADY |= {"vest": 0.03, "pants": 0.06, "skirt": 0.07, "cape": 0.02, "bag": 0.03, "shoe": 0.03}
STEADY |= {"small goods": 0.04}
SMALL_GOODS = (
    *("glasses", "watch", "belt", "scarf", "glove", "tie", "sock", "headband", "leg warmer"),
)
# Only planted: in a catalogue photo because the plan says so, and never by chance.
CONTROLLED = {"hat", "umbrella", "tights", "bag", "skirt", "shorts", "coat", "dress", "jumpsuit"}
FOLDERS = {
    **{"shirt": "shirts", "top": "tops", "sweater": "knitwear", "cardigan": "knitwear"},
    **{"jacket": "jackets", "vest": "jackets", "coat": "coats", "cape": "coats"},
    **{"pants": "trousers", "shorts": "trousers", "skirt": "skirts", "dress": "dresses"},
    **{"jumpsuit": "jumpsuits", "bag": "bags", "shoe": "shoes"},
}
PRICES = {"coat": 180, "jacket": 120, "dress": 85, "jumpsuit": 95, "cape": 85}
TRAIN_SHARE, PHOTOS_PER_PRODUCT = 0.4, 1.35
VIEWS = (("product", "outfit"),) * 7 + (("outfit",),) * 7 + (("product",),) * 6
SIZES = {
    **{(360, 480): 4, (360, 540): 3, (400, 600): 4, (480, 600): 2, (480, 640): 4, (480, 720): 2},
    **{(480, 480): 1, (600, 600): 1, (600, 800): 2, (600, 900): 1, (800, 1200): 0.5},
}
ENDINGS = {".jpg": 0.82, ".jpeg": 0.04, ".JPG": 0.02, ".png": 0.05, ".webp": 0.07}


@dataclass(frozen=True)
class Photo:
    """A file: what it is to show and, once it is drawn, where each label is.

    Attributes:
        folder: `catalogue` or `train`.
        image: its path within the folder, `/`-separated.
        sku: the product that it belongs to.
        kind, want, avoid, hero: see `make_look`; None for files that are no photos.
        seed: what decides all that the plan leaves open.
        size: width and height in pixels.
        orientation: of EXIF; other than 1, the pixels are stored turned.
        damage: what happened to the bytes; one of the command's `DAMAGES`.
        defect: corrupt, truncated, not_an_image, duplicate, exif_rotated, cmyk, or None.
        boxes: on the upright photo; empty where nothing can be seen.
    """

    folder: str
    image: str
    sku: str | None = None
    kind: str | None = None
    want: tuple[str, ...] = ()
    avoid: frozenset[str] = frozenset()
    hero: tuple[str, int] | None = None
    seed: tuple[int, ...] = ()
    size: tuple[int, int] = (0, 0)
    orientation: int = 1
    damage: str | None = None
    defect: str | None = None
    boxes: tuple[Box, ...] = ()

    def look(self) -> Look:
        """What the photo shows, without drawing it."""
        rng = np.random.default_rng([*self.seed, 0])
        return make_look(rng, self.kind, self.want, self.avoid, self.hero)

    @property
    def labels(self) -> list[str]:
        """The labels that can be seen, each once, in alphabetical order."""
        return sorted({box.label for box in self.boxes})


@dataclass(frozen=True)
class Product:
    """A product of the feed; `extras` are worn with it, `views` are the kinds of its photos."""

    month: int
    brand: str
    category: str
    views: tuple[str, ...]
    extras: tuple[str, ...] = ()
    sku: str = ""
    price: float = 0.0
    listed_at: date = FIRST_MONTH
    photos: tuple[Photo, ...] = ()


def month_start(month: int) -> date:
    """The first day of one of the 24 months, 0 to 23."""
    years, index = divmod(FIRST_MONTH.month - 1 + month, 12)
    return date(FIRST_MONTH.year + years, index + 1, 1)


def plan_training(photos: int, seed: int, scale: float = 1.0) -> list[Photo]:
    """Training photos that show every label about equally often, without trends."""
    rng = np.random.default_rng([seed, 2])
    planned = []
    for number in range(1, round(photos * TRAIN_SHARE) + 1):
        kind = "product" if rng.random() < 0.45 else "outfit"
        some = [group[rng.integers(len(group))] for group in ([*GARMENTS], [*ACCESSORIES], PARTS)]
        if kind == "product":
            want = (some[rng.choice(3, p=(0.4, 0.3, 0.3))],)
        else:
            want = (*some, [*ACCESSORIES][rng.integers(len(ACCESSORIES))])[rng.integers(2) :]
        image = f"{number:06d}{_one_of(rng, ENDINGS)}"
        size = _size(rng, scale)
        seeds = (seed, 4, number)
        planned.append(Photo("train", image, kind=kind, want=want, seed=seeds, size=size))
    return planned


def plan_products(photos: int, seed: int, scale: float = 1.0) -> list[Product]:
    """The catalogue's products for a run of `photos` photos, training photos included.

    Args:
        photos: catalogue and training photos together.
        seed: the same seed plans the same products.
        scale: what photo sizes are multiplied with.
    """
    rng = np.random.default_rng([seed, 1])
    catalogue = photos - round(photos * TRAIN_SHARE)
    products = _drafts(rng, max(MONTHS, round(catalogue / PHOTOS_PER_PRODUCT)))
    worn_over = ("shirt", "top", "sweater", "cardigan", "jacket", "vest")
    products = _with(rng, products, "skirt", lambda made: 0.35 * (made.category in worn_over))
    products = _with(rng, products, "tights", _tights)
    for label, (start, end) in (RISING | FALLING).items():
        if SLOTS[label] == "whole":
            continue
        unable = "cape" if label == "umbrella" else ""
        able = np.mean(["outfit" in made.views and made.category != unable for made in products])
        products = _with(
            rng, products, label,
            lambda made, unable=unable, able=able, start=start, end=end: (  # type: ignore[misc]
                (made.category != unable) * _on_the_way(start, end, made.month) / able
            ),
        )  # fmt: skip
    products = _with(
        rng, products, STRONG_IN, lambda made: 0.75 if made.brand == STRONG_BRAND else 0.12
    )
    return [_finished(rng, seed, number, made, scale) for number, made in enumerate(products, 1)]


def _on_the_way(start: float, end: float, month: int) -> float:
    return start + (end - start) * month / (MONTHS - 1)


def _share(label: str, month: int) -> float:
    """The share of the products that is meant to be of a category in a month."""
    if label in SEASONAL:
        peak, low = SEASONAL[label]
        calendar = month_start(month).month
        return PEAK if calendar in peak else LOW if calendar in low else (PEAK + LOW) / 2
    return STEADY[label] if label in STEADY else _on_the_way(*(RISING | FALLING)[label], month)


def _drafts(rng: np.random.Generator, count: int) -> list[Product]:
    """Products by month, brand, category and kinds of photos; shares stray by less than one."""
    trends = [label for label in RISING | FALLING if SLOTS[label] == "whole"]
    names = [*trends, *SEASONAL, *STEADY]
    owed = np.zeros(len(names))
    months = np.sort(np.arange(count) % MONTHS)
    brands, views = (
        np.concatenate([rng.permutation(kinds) for _ in range(-(-count // kinds))])
        for kinds in (len(BRANDS), len(VIEWS))
    )
    drafts: list[Product] = []
    for month in range(MONTHS):
        chosen = []
        shares = np.array([_share(name, month) for name in names])
        for _ in range((months == month).sum()):
            owed += shares / shares.sum()
            chosen.append(int(np.argmax(owed)))
            owed[chosen[-1]] -= 1
        for best in rng.permutation(chosen):
            name, kinds = names[best], VIEWS[views[len(drafts)]]
            if name == "small goods":
                name = SMALL_GOODS[rng.integers(len(SMALL_GOODS))]
                kinds = ("product",) * len(kinds)
            elif name == "skirt" and kinds == ("product",):
                kinds = ("outfit",)
            drafts.append(Product(month, BRANDS[brands[len(drafts)]], name, kinds))
    return drafts


def _tights(made: Product) -> float:
    if "skirt" in (made.category, *made.extras):
        return 0.7
    return 0.02 if made.category in ("dress", "shorts") else 0.0


def _with(
    rng: np.random.Generator,
    products: Sequence[Product],
    label: str,
    likelihood: Callable[[Product], float],
) -> list[Product]:
    """Adds a label as an extra, as likely as given, but spread evenly."""
    chances = [likelihood(made) if "outfit" in made.views else 0.0 for made in products]
    flags = np.diff(np.floor(np.cumsum(chances) + rng.random()), prepend=0) > 0
    return [
        replace(made, extras=(*made.extras, label)) if flag and label != made.category else made
        for made, flag in zip(products, flags, strict=True)
    ]


def _finished(
    rng: np.random.Generator, seed: int, number: int, made: Product, scale: float
) -> Product:
    """With its number, date, price and photos."""
    sku, start = f"FF-{number:06d}", month_start(made.month)
    listed_at = start + timedelta(days=int(rng.integers(28)))
    typical = PRICES.get(made.category, 55)
    price = max(9, round(float(rng.lognormal(np.log(typical), 0.35)))) - 0.05
    hero = (made.category, int(rng.integers(2**31)))
    photos = []
    for view, kind in enumerate(made.views, 1):
        want = (made.category, *(made.extras if kind == "outfit" else ()))
        if kind == "outfit" and not {SLOTS[label] for label in want} & {"bottom", "whole"}:
            want = (*want, "pants")
        folder = f"{FOLDERS.get(made.category, 'accessories')}/{start:%Y-%m}"
        image = f"{folder}/{sku}_{view}{_one_of(rng, ENDINGS)}"
        size, avoid = _size(rng, scale), frozenset(CONTROLLED.difference(want))
        seeds = (seed, 3, number, view)
        photos.append(Photo("catalogue", image, sku, kind, want, avoid, hero, seeds, size))
    return replace(made, sku=sku, price=price, listed_at=listed_at, photos=tuple(photos))


def _size(rng: np.random.Generator, scale: float) -> tuple[int, int]:
    width, height = _one_of(rng, SIZES)
    return max(64, round(width * scale)), max(64, round(height * scale))


def _one_of(rng: np.random.Generator, weights: Mapping[Any, float]) -> Any:
    shares = np.array([*weights.values()], dtype=float)
    return [*weights][rng.choice(len(shares), p=shares / shares.sum())]


def measure(products: Sequence[Product], files: Sequence[Photo]) -> dict[str, object]:
    """The planted facts with the numbers they have in the true labels, ready for JSON.

    Args:
        products: the plan.
        files: all that lies in the folders, with the boxes of what can be seen.
    """
    seen: dict[str | None, set[str]] = defaultdict(set)
    for photo in files:
        seen[photo.sku].update(photo.labels)
    defects = Counter(photo.defect for photo in files if photo.defect)

    def share(which: Callable[[Product], bool], *labels: str) -> float:
        wanted = {full(label) for label in labels}
        those = [wanted <= seen[made.sku] for made in products if which(made)]
        return round(sum(those) / max(1, len(those)), 4)

    def trend(label: str, start: float, end: float) -> dict[str, object]:
        return {
            "label": full(label),
            "planted": {"start": start, "end": end},
            "share_first_6_months": share(lambda made: made.month < WINDOW, label),
            "share_last_6_months": share(lambda made: made.month >= MONTHS - WINDOW, label),
        }

    def season(label: str, peak: tuple[int, ...]) -> dict[str, object]:
        return {
            "label": full(label),
            "peak_months": [*peak],
            "share_in_peak": share(lambda made: made.listed_at.month in peak, label),
            "share_elsewhere": share(lambda made: made.listed_at.month not in peak, label),
        }

    counts = [sum({full(one) for one in some} <= seen[made.sku] for made in products)
              for some in (PAIR, PAIR[:1], PAIR[1:])]  # fmt: skip
    own = share(lambda made: made.brand == STRONG_BRAND, STRONG_IN)
    others = share(lambda made: made.brand != STRONG_BRAND, STRONG_IN)
    return {
        "products": len(products),
        "months": {"first": f"{FIRST_MONTH:%Y-%m}", "last": f"{month_start(MONTHS - 1):%Y-%m}"},
        "rising": [trend(label, *ends) for label, ends in RISING.items()],
        "falling": [trend(label, *ends) for label, ends in FALLING.items()],
        "seasonal": [season(label, peak) for label, (peak, _) in SEASONAL.items()],
        "pair": {
            "labels": [full(label) for label in PAIR],
            "lift": round(counts[0] * len(products) / max(1, counts[1] * counts[2]), 3),
            "share_together": round(counts[0] / len(products), 4),
        },
        "brand": {
            "brand": STRONG_BRAND,
            "label": STRONG_IN,
            "share": own,
            "share_of_others": others,
        },
        "side_effects": SIDE_EFFECTS,
        "defects": dict(sorted(defects.items())),
    }
