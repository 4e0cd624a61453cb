"""Hugging Face's way: an image-classification pipeline with batches.

    python benchmarks/peer_transformers.py MODEL FOLDER OUT

`MODEL/hugging_face` holds the same network in their format (see untrained.py).
"""

import os
import sys
from pathlib import Path

import pandas as pd
import torch
from transformers import pipeline

from fftag.models.folder import load_bundle


def main() -> None:
    model, folder, out = map(Path, sys.argv[1:])
    labels = load_bundle(model).config.labels.names
    classify = pipeline(
        "image-classification",
        model=str(model / "hugging_face"),
        device="cuda" if torch.cuda.is_available() else "cpu",
        batch_size=16,
        function_to_apply="sigmoid",
        top_k=len(labels),
    )
    paths = sorted(str(path) for path in folder.rglob("*.jpg"))
    rows = []
    for path, found in zip(paths, classify(paths, num_workers=os.cpu_count()), strict=True):
        scores = {one["label"]: one["score"] for one in found}
        rows.append({"path": path, **{label: scores[label] for label in labels}})
    pd.DataFrame(rows).to_parquet(out)


if __name__ == "__main__":
    main()
