"""Splits in which every label has its share, and no photo meets its own copy."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from iterstrat.ml_stratifiers import MultilabelStratifiedShuffleSplit

from fftag.base.errors import FftagError
from fftag.base.progress import progress
from fftag.data.manifest import SPLITS

CHUNK_BYTES = 2**20
TOLERANCE = 0.05
"""How far from its share, relatively, stratification may leave the size of a split."""


def duplicate_groups(paths: Sequence[Path], show: bool = True) -> np.ndarray:
    """Numbers photos so that two have the same number exactly if their bytes are the same.

    Only files of equal size are read: their SHA-256 is compared.

    Args:
        paths: files that exist.
        show: draw a progress bar.

    Returns:
        int64 [photos]: group numbers, 0, 1, ... in the order met.

    Raises:
        FftagError: a file cannot be read.
    """
    try:
        sizes = [path.stat().st_size for path in paths]
        of_size: defaultdict[int, int] = defaultdict(int)
        for size in sizes:
            of_size[size] += 1
        keys: list[tuple[int, str]] = []
        to_read = sum(of_size[size] > 1 for size in sizes)
        with progress(to_read, "looking for duplicates", "photo", show=show) as bar:
            for position, (path, size) in enumerate(zip(paths, sizes, strict=True)):
                if of_size[size] > 1:
                    keys.append((size, _sha256(path)))
                    bar.update()
                else:
                    keys.append((size, str(position)))
    except OSError as error:
        raise FftagError(f"cannot read {error.filename}: {error.strerror}") from error
    numbers: dict[tuple[int, str], int] = {}
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)


def stratified_splits(
    targets: np.ndarray,
    shares: tuple[float, float, float],
    seed: int,
    groups: np.ndarray | None = None,
    sources: Sequence[str | None] | None = None,
    fixed: Sequence[str | None] | None = None,
) -> list[str]:
    """Assigns each photo to train, val or test by iterative stratification.

    Photos of a group go together; one of the group, with the labels of all, is stratified.
    (Sechidis, Tsoumakas, Vlahavas, "On the stratification of multi-label data", ECML PKDD 2011.)

    Args:
        targets: multi-hot labels, uint8 [photos, labels].
        shares: of train, val and test, adding up to 1; a share of 0 leaves a split empty. They
            count groups: distinct photos.
        seed: the same input and seed give the same splits.
        groups: int [photos], as from `duplicate_groups`; by default each photo is its own.
        sources: where photos come from; each source is spread over the splits like a label.
        fixed: splits given beforehand, None where to choose. Members of a photo's group follow it;
            where the members of one group disagree, test wins over val, and val over train.
            A split that has photos given beforehand receives no others than these, unless all
            splits with a share do.

    Returns:
        One of `train`, `val`, `test` for each photo.

    Raises:
        FftagError: the shares are no shares, or there are fewer distinct photos than splits.
    """
    check_shares(shares)
    groups = np.arange(len(targets)) if groups is None else groups
    distinct, member_of = np.unique(groups, return_inverse=True)
    strata = np.zeros((len(distinct), targets.shape[1]), dtype=np.uint8)
    np.maximum.at(strata, member_of, targets)
    strata = np.hstack([strata, _one_hot(sources, member_of, len(distinct))])

    split_of = np.full(len(distinct), "", dtype=object)
    for group, split in zip(member_of, fixed or [], strict=False):
        if split is not None:
            split_of[group] = max(split_of[group], split, key=("", *SPLITS).index)
    free = np.flatnonzero(split_of == "")
    if free.size:
        split_of[free] = _spread(strata[free], _open_shares(shares, set(split_of)), seed)
    return [str(split) for split in split_of[member_of]]


def check_shares(shares: tuple[float, float, float]) -> None:
    """Refuses shares that are negative, do not add up to 1, or leave nothing to train on.

    Raises:
        FftagError: as said.
    """
    if len(shares) != 3 or not all(share >= 0 for share in shares) or abs(sum(shares) - 1) > 1e-6:
        given = ",".join(f"{share:g}" for share in shares)
        raise FftagError(
            f"splits {given}: give shares of train, val and test that add up to 1, "
            "such as 0.8,0.1,0.1"
        )
    if shares[0] == 0:
        raise FftagError("the share of train is 0: leave some photos to train on")


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _one_hot(
    sources: Sequence[str | None] | None, member_of: np.ndarray, groups: int
) -> np.ndarray:
    """Which sources each group's photos come from: uint8 [groups, sources]; none if all agree."""
    names = sorted({str(source) for source in sources or []})
    if len(names) < 2 or sources is None:
        return np.zeros((groups, 0), dtype=np.uint8)
    column = {name: position for position, name in enumerate(names)}
    matrix = np.zeros((groups, len(names)), dtype=np.uint8)
    matrix[member_of, [column[str(source)] for source in sources]] = 1
    return matrix


def _open_shares(shares: tuple[float, float, float], given: set[str]) -> tuple[float, float, float]:
    """The shares of the splits that nothing was given for beforehand, adding up to 1 again."""
    left = [0.0 if name in given else share for name, share in zip(SPLITS, shares, strict=True)]
    total = sum(left)
    return shares if total == 0 else (left[0] / total, left[1] / total, left[2] / total)


def _spread(strata: np.ndarray, shares: tuple[float, float, float], seed: int) -> np.ndarray:
    """A split for each row: object [rows]. Test is drawn first, then val from what remains."""
    wanted = [name for name, share in zip(SPLITS, shares, strict=True) if share > 0]
    if len(strata) < len(wanted):
        raise FftagError(
            f"{len(strata)} distinct photos cannot fill the splits {', '.join(wanted)}: "
            "add photos, or ask for fewer splits, such as 1,0,0"
        )
    result = np.full(len(strata), wanted[0], dtype=object)
    rest = np.arange(len(strata))
    for name in reversed(wanted[1:]):
        share = shares[SPLITS.index(name)]
        # Every split still to be filled from the rest needs a photo as well.
        most = len(rest) - wanted.index(name)
        count = min(max(round(share * len(strata)), 1), most)
        taken = _draw(strata[rest], count, most, seed)
        result[rest[taken]] = name
        rest = rest[~taken]
    return result


def _draw(strata: np.ndarray, count: int, most: int, seed: int) -> np.ndarray:
    """Draws `count` rows, give or take a twentieth, and never more than `most`: bool [rows]."""
    # Columns of zeros more: the library refuses a matrix of fewer than two columns.
    matrix = np.hstack([strata, np.zeros((len(strata), 2), dtype=np.uint8)])
    splitter = MultilabelStratifiedShuffleSplit(n_splits=1, test_size=count, random_state=seed)
    _, drawn = next(splitter.split(matrix, matrix))
    taken = np.zeros(len(strata), dtype=bool)
    taken[drawn] = True
    # Labels with one photo all go to the larger side, so many of them make the other too small.
    # Move what is missed least: rows whose rarest label is the most common.
    excess = int(taken.sum()) - count
    if abs(excess) > TOLERANCE * count or excess > most - count:
        support = np.where(strata > 0, strata.sum(axis=0), len(strata) + 1)
        rarest = support.min(axis=1, initial=len(strata) + 1)
        candidates = np.flatnonzero(taken == (excess > 0))
        move = candidates[np.argsort(-rarest[candidates], kind="stable")][: abs(excess)]
        taken[move] = ~taken[move]
    return taken
