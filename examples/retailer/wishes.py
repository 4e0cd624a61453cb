"""Chance, bent by wishes: which labels a look must have, may have and must not have."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from retailer import vocabulary as word


@dataclass(frozen=True)
class Wishes:
    """Chance, bent by labels that must and must not appear.

    Attributes:
        rng: where chance comes from.
        want: labels to include wherever they can be.
        avoid: labels to leave out.
        hero: a label and a seed: a piece of that label looks the same in every photo made with
            that seed.
    """

    rng: np.random.Generator
    want: frozenset[str] = frozenset()
    avoid: frozenset[str] = frozenset()
    hero: tuple[str, int] | None = None

    def chance(self, label: str, likelihood: float) -> bool:
        """Whether to include a label: as wished, else with the likelihood given."""
        drawn = self.rng.random() < likelihood
        return label in self.want or (drawn and label not in self.avoid)

    def choose(self, options: Mapping[str, float]) -> str:
        """One of the options by weight: a wanted one if there is any, else none to avoid."""
        wanted = {name: weight for name, weight in options.items() if name in self.want}
        allowed = {name: weight for name, weight in options.items() if name not in self.avoid}
        among = wanted or allowed or options
        weights = np.array(list(among.values()), dtype=float)
        return list(among)[self.rng.choice(len(among), p=weights / weights.sum())]

    def without(self, *labels: str) -> "Wishes":
        """The same wishes, but for these labels, which are to be left out."""
        return replace(self, want=self.want.difference(labels), avoid=self.avoid.union(labels))

    def between(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))

    def one_of(self, *names: str) -> str:
        return names[self.rng.integers(len(names))]

    def some(self, likelihoods: Mapping[str, float], most: int = 2) -> set[str]:
        """Parts by likelihood, at most so many beside the wanted ones."""
        wanted = [name for name in likelihoods if name in self.want]
        drawn = [
            name
            for name, likelihood in likelihoods.items()
            if self.chance(name, likelihood) and name not in self.want
        ]
        self.rng.shuffle(drawn)
        return set(wanted + drawn[: max(0, most - len(wanted))])


# Which garments can carry a part; the first that suits is chosen when only the part is wished for.
CARRIERS: dict[str, tuple[str, ...]] = {
    word.HOOD: (word.TOP, word.COAT, word.CAPE),
    word.COLLAR: (word.SHIRT, word.JACKET),
    word.LAPEL: (word.JACKET, word.COAT),
    word.EPAULETTE: (word.JACKET, word.COAT, word.SHIRT),
    word.SLEEVE: (word.TOP, word.SWEATER, word.DRESS),
    word.POCKET: (word.PANTS, word.SHORTS, word.JUMPSUIT, word.CARDIGAN),
    word.NECKLINE: (word.TOP, word.SWEATER, word.DRESS),
    word.BUCKLE: (word.BELT, word.BAG),
    word.ZIPPER: (word.JACKET, word.JUMPSUIT, word.VEST, word.SKIRT),
    word.APPLIQUE: (word.TOP, word.SWEATER),
    word.BEAD: (word.DRESS, word.TOP),
    word.BOW: (word.DRESS, word.SHIRT, word.HEADBAND),
    word.FLOWER: (word.DRESS, word.HAT, word.HEADBAND),
    word.FRINGE: (word.SKIRT, word.CAPE, word.SCARF),
    word.RIBBON: (word.DRESS, word.SKIRT),
    word.RIVET: (word.PANTS, word.BELT, word.BAG, word.JACKET),
    word.RUFFLE: (word.DRESS, word.SKIRT),
    word.SEQUIN: (word.DRESS, word.TOP, word.SKIRT),
    word.TASSEL: (word.CAPE, word.BAG),
}
