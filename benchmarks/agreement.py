"""How the tags of each tier agree with those of fp32, on photos whose labels are known.

    python benchmarks/agreement.py MODEL --data dataset.parquet --split test

The int8 form has to be there (`fftag quantize`). bf16 is computed here whether or not the CPU has
instructions for it: its rounding is the same.
"""

import argparse
from pathlib import Path

import torch

from fftag.backends import Arithmetic, open_scorer
from fftag.bundle import load_bundle
from fftag.datasets.manifest import read_manifest
from fftag.training.quantize import compare_scorers

CPU = torch.device("cpu")
WAYS = (
    Arithmetic("openvino", "fp32"),
    Arithmetic("torch", "bf16"),
    Arithmetic("openvino", "int8"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", default="test")
    options = parser.parse_args()
    bundle = load_bundle(options.model)
    photos = read_manifest(options.data).of_split(options.split)
    print("| beside torch fp32 | decisions alike | tags in both | photos alike | macro-F1 | mAP |")
    print("|---|---|---|---|---|---|")
    for way in WAYS:
        name = f"{way.backend} {way.precision}"
        scorers = {
            kind: open_scorer(bundle, arithmetic, CPU)
            for kind, arithmetic in (("fp32", Arithmetic("torch", "fp32")), (name, way))
        }
        found = compare_scorers(bundle, photos, scorers, workers=2)
        shares = " | ".join(
            f"{found[share]:.2%}"
            for share in ("pairs_agreeing", "tags_agreeing", "photos_agreeing")
        )
        figures = " | ".join(
            f"{found[metric]['fp32']:.4f} -> {found[metric][name]:.4f}"
            for metric in ("macro_f1", "mAP")
        )
        print(f"| {name}, {found['photos']:,} photos | {shares} | {figures} |", flush=True)


if __name__ == "__main__":
    main()
