"""The planted facts: what the reports must find again, and how they stand in the true labels."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import date

from retailer import vocabulary as word

FIRST_MONTH = date(2024, 8, 1)
MONTHS = 24
WINDOW = 6  # months at either end that a trend is measured on

BRANDS = (
    "Alder & Finch",
    "Casa Mirto",
    "Dunmore",
    "Halcyon Row",
    "Lumen Ford",
    "Osier Lane",
    "Pavo",
    "Tarn & Vale",
)


@dataclass(frozen=True)
class Trend:
    """A label whose share of the products listed goes from `start` to `end`."""

    label: str
    start: float
    end: float

    def share(self, month: int) -> float:
        """The share meant for one month, 0 to 23."""
        return self.start + (self.end - self.start) * month / (MONTHS - 1)


@dataclass(frozen=True)
class Season:
    """A label whose share is `peak` in some calendar months, `low` in others, else between."""

    label: str
    peak_months: tuple[int, ...]
    low_months: tuple[int, ...]
    peak: float = 0.12
    low: float = 0.02

    def share(self, month: int) -> float:
        """The share meant for one month, 0 to 23."""
        calendar = month_start(month).month
        if calendar in self.peak_months:
            return self.peak
        return self.low if calendar in self.low_months else (self.peak + self.low) / 2


# The first and the last six months (August to January, February to July) hold as much winter and
# as much summer, so that seasons do not pass for trends.
WINTER, SUMMER = (12, 1, 2, 3), (6, 7, 8, 9)
RISING = (Trend(word.BAG, 0.06, 0.36), Trend(word.JUMPSUIT, 0.03, 0.23))
FALLING = (Trend(word.UMBRELLA, 0.26, 0.03), Trend(word.DRESS, 0.27, 0.07))
SEASONAL = (Season(word.COAT, WINTER, SUMMER), Season(word.SHORTS, SUMMER, WINTER))
PAIR = (word.SKIRT, word.TIGHTS)
STRONG_BRAND, STRONG_IN = "Osier Lane", word.HAT
SIDE_EFFECTS = {
    word.POCKET: "jumpsuits, coats and shorts have more pockets than dresses",
    word.ZIPPER: "jumpsuits have zips, dresses have none",
    word.RUFFLE: "dresses have ruffles, jumpsuits have none",
    word.LAPEL: "coats have lapels, and so peak in winter",
    word.BUCKLE: "belted coats and bags have buckles",
    word.TASSEL: "bags have tassels",
    word.PANTS: "coats are worn with pants, and so peak in winter",
}


def month_start(month: int) -> date:
    """The first day of one of the 24 months."""
    years, index = divmod(FIRST_MONTH.month - 1 + month, 12)
    return date(FIRST_MONTH.year + years, index + 1, 1)


def month_of(listed_at: date) -> int:
    """Which of the 24 months, 0 to 23, a day lies in."""
    return (listed_at.year - FIRST_MONTH.year) * 12 + listed_at.month - FIRST_MONTH.month


@dataclass(frozen=True)
class Listing:
    """A product as the facts see it: when and by whom it was listed, and what its photos show."""

    month: int
    brand: str
    labels: frozenset[str]


def share(listings: Sequence[Listing], *labels: str) -> float:
    """The share of the listings that show all of the labels; 0 for no listings."""
    wanted = set(labels)
    return sum(wanted <= made.labels for made in listings) / max(1, len(listings))


def change(listings: Sequence[Listing], label: str) -> tuple[float, float]:
    """A label's share in the first and in the last six months."""
    first = [made for made in listings if made.month < WINDOW]
    last = [made for made in listings if made.month >= MONTHS - WINDOW]
    return share(first, label), share(last, label)


def lift(listings: Sequence[Listing], one: str, other: str) -> float:
    """How many times more often two labels meet than if they were independent."""
    apart = share(listings, one) * share(listings, other)
    return share(listings, one, other) / apart if apart else 0.0


def brand_ratio(listings: Sequence[Listing], brand: str, label: str) -> tuple[float, float]:
    """A label's share among a brand's products, and among those of all others."""
    own = [made for made in listings if made.brand == brand]
    others = [made for made in listings if made.brand != brand]
    return share(own, label), share(others, label)


def peak_ratio(listings: Sequence[Listing], season: Season) -> tuple[float, float]:
    """A label's share in its peak months, and in all the others."""
    months = [month_start(month).month for month in range(MONTHS)]
    inside = [made for made in listings if months[made.month] in season.peak_months]
    outside = [made for made in listings if months[made.month] not in season.peak_months]
    return share(inside, season.label), share(outside, season.label)


def measure(listings: Sequence[Listing], defects: Mapping[str, int]) -> dict[str, object]:
    """The planted facts with the numbers they have in the true labels, ready for JSON."""

    def trends(planted: Sequence[Trend]) -> list[dict[str, object]]:
        rows = []
        for trend in planted:
            first, last = change(listings, trend.label)
            rows.append(
                {
                    "label": trend.label,
                    "planted": {"start": trend.start, "end": trend.end},
                    "share_first_6_months": round(first, 4),
                    "share_last_6_months": round(last, 4),
                }
            )
        return rows

    seasons = []
    for season in SEASONAL:
        inside, outside = peak_ratio(listings, season)
        seasons.append(
            {
                "label": season.label,
                "peak_months": list(season.peak_months),
                "share_in_peak": round(inside, 4),
                "share_elsewhere": round(outside, 4),
            }
        )
    own, others = brand_ratio(listings, STRONG_BRAND, STRONG_IN)
    last_month = month_start(MONTHS - 1)
    return {
        "products": len(listings),
        "months": {"first": f"{FIRST_MONTH:%Y-%m}", "last": f"{last_month:%Y-%m}"},
        "rising": trends(RISING),
        "falling": trends(FALLING),
        "seasonal": seasons,
        "pair": {
            "labels": list(PAIR),
            "lift": round(lift(listings, *PAIR), 3),
            "share_together": round(share(listings, *PAIR), 4),
        },
        "brand": {
            "brand": STRONG_BRAND,
            "label": STRONG_IN,
            "share": round(own, 4),
            "share_of_others": round(others, 4),
            "ratio": round(own / others, 3) if others else None,
        },
        "side_effects": SIDE_EFFECTS,
        "defects": dict(sorted(defects.items())),
    }


def top_changes(
    listings: Sequence[Listing], labels: Set[str] | Sequence[str]
) -> list[tuple[str, float]]:
    """Labels with the change of their share, the greatest rise first."""
    changes = []
    for label in sorted(labels):
        first, last = change(listings, label)
        changes.append((label, last - first))
    return sorted(changes, key=lambda row: -row[1])
