"""What is in a dataset, before anything is trained on it: one page of tables and plots."""

from pathlib import Path

import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from fftag.base.atomic import make_folder, write_bytes
from fftag.base.page import Section, write_page
from fftag.base.plots import PICTURE
from fftag.base.shares import wilson
from fftag.data import eda_plots
from fftag.data.manifest import SPLITS, Manifest

FEWEST_FOR_A_PAIR = 5
PAIRS_SHOWN = 20
RAREST_SHOWN = 15
SAMPLES_SHOWN = 12
FEW_PHOTOS = 20


def write_eda(manifest: Manifest, out: Path, seed: int = 0) -> list[Path]:
    """Writes `index.html` and its plots as PNG files into a folder.

    The page stands alone: plots are inside it, and it refers to no other address.

    Args:
        manifest: the dataset; photos are read for the samples only.
        out: the folder; made if need be. Files of the same name are replaced.
        seed: of the choice of sample photos.

    Returns:
        The files written, the page first.

    Raises:
        FftagError: the folder cannot be made or written.
    """
    make_folder(out)
    sample, unreadable = eda_plots.read_samples(manifest, SAMPLES_SHOWN, seed)
    pictures, sections = _describe(manifest)
    pictures["samples"] = eda_plots.samples(sample)
    note = f"{unreadable} of the photos drawn could not be read, and others took their place."
    sections.append(
        Section(
            "Sample photos",
            [note] if unreadable else [],
            [(pictures["samples"], "Photos drawn at random, with their labels.")],
        )
    )
    files = []
    for name, png in pictures.items():
        files.append(out / f"{name}.png")
        write_bytes(files[-1], png, PICTURE)
    page = out / "index.html"
    write_page(page, "The dataset", sections, _lead(manifest))
    return [page, *files]


def _describe(manifest: Manifest) -> tuple[dict[str, bytes], list[Section]]:
    """What is in a dataset, without looking at its photos: plots as PNGs by name, and the parts of
    a page that hold them and the tables.
    """
    targets = manifest.targets().astype(np.int64)
    names = manifest.labels.names
    frequencies = label_frequencies(manifest)
    together = targets.T @ targets
    phi = phi_coefficients(targets)
    shown = _common_labels(np.diag(together))

    pictures = {
        "label_frequency": eda_plots.label_frequency(frequencies, len(manifest)),
        "labels_per_photo": eda_plots.labels_per_photo(targets.sum(axis=1)),
        "co_occurrence": eda_plots.co_occurrence(
            together[np.ix_(shown, shown)], [names[i] for i in shown]
        ),
        "correlation": eda_plots.correlation(
            *_clustered(phi[np.ix_(shown, shown)], [names[i] for i in shown])
        ),
        "rarest_labels": eda_plots.rarest_labels(frequencies.tail(RAREST_SHOWN)),
    }
    sections = [
        Section("Overview", table=_overview(manifest, targets)),
        Section(
            "Label frequency",
            ["Shares are of all photos; whiskers and intervals are 95 % Wilson intervals."],
            [(pictures["label_frequency"], "")],
            frequencies,
        ),
        Section("Labels per photo", images=[(pictures["labels_per_photo"], "")]),
        Section(
            "Labels together",
            [
                "Each cell: of the photos with the row's label, the share that has the column's "
                f"too. {len(shown)} of {len(names)} labels are shown, the commonest first: those "
                f"on at least {FEWEST_FOR_A_PAIR} photos, or all where hardly any is."
            ],
            [(pictures["co_occurrence"], "")],
        ),
        Section(
            "Correlation",
            [
                "The phi coefficient of each pair: +1 always together, 0 independent, -1 never. "
                "Labels that go together stand side by side.",
                f"The table holds the strongest pairs among labels on at least "
                f"{FEWEST_FOR_A_PAIR} photos each; expected is the number of photos that would "
                "have both if the two were independent, and lift is both over expected.",
            ],
            [(pictures["correlation"], "")],
            strongest_pairs(together, phi, names, len(manifest)),
        ),
        Section(
            "Rarest labels",
            [
                "A model learns little from few photos, and a score measured on few says little: "
                "the interval shows how little."
            ],
            [(pictures["rarest_labels"], "")],
        ),
        Section("Splits", _split_notes(manifest), table=split_comparison(manifest)),
    ]
    return pictures, sections


def phi_coefficients(targets: np.ndarray) -> np.ndarray:
    """The phi coefficient of each pair of labels: float [labels, labels].

    NaN on the diagonal, and where a label is on all photos or on none.
    """
    total = len(targets)
    support = targets.sum(axis=0).astype(float)
    together = (targets.T @ targets).astype(float)
    spread = np.sqrt(support * (total - support))
    with np.errstate(invalid="ignore", divide="ignore"):
        phi = (total * together - np.outer(support, support)) / np.outer(spread, spread)
    phi[~np.isfinite(phi)] = np.nan
    np.fill_diagonal(phi, np.nan)
    return phi


def label_frequencies(manifest: Manifest) -> pd.DataFrame:
    """Label, group, photos, share (%) with its interval, and photos by split; commonest first."""
    targets = manifest.targets()
    support = targets.sum(axis=0, dtype=np.int64)
    low, high = wilson(support, len(manifest))
    columns: dict[str, object] = {
        "label": list(manifest.labels.names),
        "group": list(manifest.labels.groups),
        "photos": support,
        "share %": 100 * (support / len(manifest)),
        "low %": 100 * low,
        "high %": 100 * high,
    }
    for split in _splits_there(manifest):
        inside = (manifest.frame["split"] == split).to_numpy()
        columns[split] = targets[inside].sum(axis=0, dtype=np.int64)
    frame = pd.DataFrame(columns)
    if frame["group"].nunique() < 2:
        frame = frame.drop(columns="group")
    return frame.sort_values("photos", ascending=False, kind="stable", ignore_index=True)


def strongest_pairs(
    together: np.ndarray, phi: np.ndarray, names: tuple[str, ...], total: int
) -> pd.DataFrame:
    """The pairs of labels with the largest phi, of either sign, with the counts behind it."""
    support = np.diag(together)
    common = support >= FEWEST_FOR_A_PAIR
    usable = np.triu(np.isfinite(phi) & np.outer(common, common), k=1)
    first, second = np.nonzero(usable)
    order = np.argsort(-np.abs(phi[first, second]), kind="stable")[:PAIRS_SHOWN]
    rows = [
        {
            "label": names[i],
            "with": names[j],
            "phi": float(phi[i, j]),
            "both": int(together[i, j]),
            "expected": float(support[i] * support[j] / total),
            "lift": float(together[i, j] * total / (support[i] * support[j])),
            "photos": int(support[i]),
            "photos of the other": int(support[j]),
        }
        for i, j in zip(first[order], second[order], strict=True)
    ]
    return pd.DataFrame(
        rows,
        columns=[
            "label",
            "with",
            "phi",
            "both",
            "expected",
            "lift",
            "photos",
            "photos of the other",
        ],
    )


def split_comparison(manifest: Manifest) -> pd.DataFrame | None:
    """Each label's share in each split (%), and the widest gap; None without splits."""
    splits = _splits_there(manifest)
    if not splits:
        return None
    targets = manifest.targets()
    frame = pd.DataFrame({"label": list(manifest.labels.names)})
    for split in splits:
        inside = (manifest.frame["split"] == split).to_numpy()
        frame[f"{split} %"] = 100 * targets[inside].mean(axis=0)
        frame[f"{split} photos"] = targets[inside].sum(axis=0, dtype=np.int64)
    shares = frame[[f"{split} %" for split in splits]]
    frame["widest gap"] = shares.max(axis=1) - shares.min(axis=1)
    return frame.sort_values("widest gap", ascending=False, kind="stable", ignore_index=True)


def _splits_there(manifest: Manifest) -> list[str]:
    return [split for split in SPLITS if manifest.has_split(split)]


def _split_notes(manifest: Manifest) -> list[str]:
    splits = _splits_there(manifest)
    if not splits:
        return ["The dataset has no splits; `fftag data import` makes them."]
    notes = []
    for split in splits:
        part = manifest.of_split(split)
        support = part.targets().sum(axis=0)
        few, none = int((support < FEW_PHOTOS).sum()), int((support == 0).sum())
        notes.append(
            f"{split}: {len(part):,} photos ({len(part) / len(manifest):.1%}), "
            f"{support.sum() / len(part):.2f} labels per photo; {few} labels on fewer than "
            f"{FEW_PHOTOS} photos, {none} on none."
        )
    notes.append(
        "Shares in % of the split's photos, gaps in percentage points; the widest gaps come first."
    )
    return notes


def _overview(manifest: Manifest, targets: np.ndarray) -> pd.DataFrame:
    per_photo, support = targets.sum(axis=1), targets.sum(axis=0)
    rows: list[tuple[str, object]] = [
        ("photos", len(manifest)),
        ("labels", len(manifest.labels)),
        ("labels on no photo", int((support == 0).sum())),
        (f"labels on fewer than {FEW_PHOTOS} photos", int((support < FEW_PHOTOS).sum())),
        ("labels per photo, mean", float(per_photo.mean())),
        ("labels per photo, median", float(np.median(per_photo))),
        ("labels per photo, most", int(per_photo.max())),
        ("photos without any label", int((per_photo == 0).sum())),
        ("different sets of labels", len(np.unique(targets, axis=0))),
    ]
    sources = manifest.frame["source"].dropna().value_counts()
    rows += [(f"photos from source {name}", int(count)) for name, count in sources.items()]
    return pd.DataFrame(rows, columns=["", "value"])


def _lead(manifest: Manifest) -> str:
    return (
        f"{len(manifest):,} photos and {len(manifest.labels)} labels. "
        f"Fingerprint {manifest.fingerprint[:12]}."
    )


def _common_labels(support: np.ndarray) -> np.ndarray:
    """Positions of the labels whose pairs are worth showing, the commonest first."""
    order = np.argsort(-support, kind="stable")
    common = order[support[order] >= FEWEST_FOR_A_PAIR]
    return common if len(common) > 1 else order


def _clustered(phi: np.ndarray, names: list[str]) -> tuple[np.ndarray, list[str]]:
    """The matrix and names, reordered so that labels that go together are neighbours."""
    if len(names) < 3:
        return phi, names
    distance = 1 - np.nan_to_num(phi)
    np.fill_diagonal(distance, 0)
    order = leaves_list(
        linkage(squareform(distance, checks=False), "average", optimal_ordering=True)
    )
    return phi[np.ix_(order, order)], [names[i] for i in order]
