"""How the tags and the apparel screen of each tier agree with those of fp32, on known photos.

    python benchmarks/agreement.py MODEL --data dataset.parquet --split test

The int8 form has to be there (`fftag quantize`). bf16 is computed here whether or not the CPU has
instructions for it: its rounding is the same. With `--non-apparel DIR` the screen is compared on
photos without apparel too, where more scores lie near its threshold.
"""

import argparse
from pathlib import Path

from fftag.data.manifest import Manifest, read_manifest
from fftag.models.devices import CPU
from fftag.models.folder import Bundle, load_bundle
from fftag.models.scorers import Arithmetic, Scorer, open_scorer
from fftag.training.quantize import compare_apparel, compare_scorers
from fftag.training.screening import score_folder

FP32 = Arithmetic("torch", "fp32")
WAYS = (
    Arithmetic("openvino", "fp32"),
    Arithmetic("torch", "bf16"),
    Arithmetic("openvino", "int8"),
)
HEADINGS = (
    *("beside torch fp32", "decisions alike", "tags in both", "photos alike", "macro-F1", "mAP"),
    *("is_apparel alike", "apparel_score moves, mean (most)"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", default="test")
    parser.add_argument("--non-apparel", type=Path)
    options = parser.parse_args()
    bundle = load_bundle(options.model)
    photos = read_manifest(options.data).of_split(options.split)
    print(f"| {' | '.join(HEADINGS)} |\n|{'---|' * len(HEADINGS)}")
    for way in WAYS:
        print(row(bundle, photos, way, options.non_apparel), flush=True)


def row(bundle: Bundle, photos: Manifest, way: Arithmetic, non_apparel: Path | None) -> str:
    """One way of computing beside fp32."""
    name = f"{way.backend} {way.precision}"
    scorers: dict[str, Scorer] = {
        kind: open_scorer(bundle, arithmetic, CPU)
        for kind, arithmetic in (("fp32", FP32), (name, way))
    }
    found = compare_scorers(bundle, photos, scorers, workers=2)
    shares = [
        f"{found[share]:.2%}" for share in ("pairs_agreeing", "tags_agreeing", "photos_agreeing")
    ]
    figures = [
        f"{found[metric]['fp32']:.4f} -> {found[metric][name]:.4f}"
        for metric in ("macro_f1", "mAP")
    ]
    screened = [found]
    if non_apparel is not None:
        both = (score_folder(scorer, non_apparel, 2) for scorer in scorers.values())
        screened.append(compare_apparel(bundle, *both))
    apparel = [" / ".join(cells) for cells in zip(*map(apparel_cells, screened), strict=True)]
    return f"| {name}, {found['photos']:,} photos | {' | '.join(shares + figures + apparel)} |"


def apparel_cells(found: dict[str, float]) -> tuple[str, str]:
    """The share of verdicts alike, and how far the score moves; a dash each without a screen."""
    if "apparel_agreeing" not in found:
        return "-", "-"
    moved, most = found["apparel_moved"], found["apparel_moved_most"]
    return f"{found['apparel_agreeing']:.2%}", f"{moved:.4f} ({most:.4f})"


if __name__ == "__main__":
    main()
