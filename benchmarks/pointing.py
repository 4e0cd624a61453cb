"""The pointing game: how often the peak of a heat map lies on the thing.

    python benchmarks/pointing.py demo/model demo --photos 300

Of each label that a drawn photo truly shows and that the model gives it, the map's peak is a hit if
it lies in a box around the label (Zhang et al. 2018). Chance is the share of the photo that the
boxes cover: where a peak anywhere would hit.
"""

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from fftag.explain.maps import Explainer
from fftag.models.folder import load_bundle

GARMENTS = ("upperbody", "lowerbody", "wholebody")
PARTS = ("garment parts", "closures", "decorations")
# What is printed, and the kinds of label that it counts.
ROWS = {
    "garments": ("garments",),
    "accessories": ("accessories",),
    "garments and accessories": ("garments", "accessories"),
    "parts, closures, decorations": ("parts",),
    "all": ("garments", "accessories", "parts"),
}

Peaks = tuple[list[bool], list[float]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("example", type=Path, help="what examples/make_catalogue.py wrote")
    parser.add_argument("--photos", type=int, default=300)
    parser.add_argument("--folder", default="catalogue", help="or train")
    given = parser.parse_args()
    print(table(play(given.model, given.example, given.photos, given.folder)))


def table(found: dict[str, Peaks]) -> str:
    """The shares of hits and those by chance, of each kind and of several together."""
    lines = ["| | peaks on the thing | by chance |", "|---|---|---|"]
    for name, kinds in ROWS.items():
        hits = [hit for kind in kinds for hit in found.get(kind, ([], []))[0]]
        chance = [one for kind in kinds for one in found.get(kind, ([], []))[1]]
        shares = f"{np.mean(hits):.1%} | {np.mean(chance):.1%}" if hits else "- | -"
        lines.append(f"| {name} ({len(hits):,}) | {shares.replace('%', ' %')} |")
    return "\n".join(lines)


def kind_of(group: str | None) -> str:
    """Garments, accessories (all else that is worn or carried) or parts of a garment."""
    if group in PARTS:
        return "parts"
    return "garments" if group in GARMENTS else "accessories"


def play(model: Path, example: Path, photos: int, folder: str = "catalogue") -> dict[str, Peaks]:
    """Kind of label -> whether each peak was a hit, and how likely that was by chance."""
    explainer = Explainer(load_bundle(model), example, "cpu")
    labels = explainer.bundle.config.labels
    groups = dict(zip(labels.names, labels.groups, strict=True))
    rows = pq.read_table(example / "truth.parquet").to_pylist()
    rows = [row for row in rows if row["folder"] == folder and row["boxes"] and not row["defect"]]
    order = np.random.default_rng(0).permutation(len(rows))[:photos]
    found: dict[str, Peaks] = defaultdict(lambda: ([], []))
    for row in (rows[place] for place in order):
        image = f"{row['folder']}/{row['image']}"
        given = set(explainer(image).maps) & set(row["labels"])
        if not given:
            continue
        with Image.open(example / image) as photo:
            size = photo.size
        explained = explainer(image, sorted(given))
        for label, heat in explained.maps.items():
            inside = np.zeros(heat.shape, bool)
            down, across = heat.shape[0] / size[1], heat.shape[1] / size[0]
            for box in (box for box in row["boxes"] if box["label"] == label):
                top, bottom = int(box["top"] * down), int(np.ceil(box["bottom"] * down))
                left, right = int(box["left"] * across), int(np.ceil(box["right"] * across))
                inside[top:bottom, left:right] = True
            if inside.any():
                peaks = found[kind_of(groups[label])]
                peaks[0].append(bool(inside[np.unravel_index(heat.argmax(), heat.shape)]))
                peaks[1].append(float(inside.mean()))
    explainer.close()
    return dict(found)


if __name__ == "__main__":
    main()
