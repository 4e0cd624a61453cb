"""timm's own way: its model, its dataset, its loader with prefetching, pandas.

    python benchmarks/peer_timm.py MODEL FOLDER OUT

For the architectures whose weights bear the same names in timm and in torchvision (ResNets).
"""

import os
import sys
from pathlib import Path

import pandas as pd
import timm
import torch
from timm.data import ImageDataset, create_loader

from fftag.models.folder import load_bundle


def main() -> None:
    model, folder, out = map(Path, sys.argv[1:])
    bundle = load_bundle(model)
    spec, labels = bundle.config.input, bundle.config.labels.names
    state = bundle.build().state_dict()
    network = timm.create_model(bundle.config.architecture, num_classes=len(labels))
    renamed = {
        key.replace("backbone.", "").replace("head.", "fc."): value for key, value in state.items()
    }
    network.load_state_dict(renamed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network.to(device).eval()
    dataset = ImageDataset(str(folder))
    loader = create_loader(
        dataset,
        input_size=(3, spec.height, spec.width),
        batch_size=32,
        num_workers=os.cpu_count(),
        mean=spec.mean,
        std=spec.std,
        interpolation="bilinear",
        crop_pct=1.0,
        crop_mode="squash",
        device=device,
    )
    scores = []
    with torch.inference_mode():
        for pixels, _ in loader:
            scores.append(network(pixels).sigmoid().cpu())
    paths = dataset.filenames(absolute=True)
    frame = pd.DataFrame(torch.cat(scores).numpy(), columns=labels)
    frame.insert(0, "path", paths)
    frame.to_parquet(out)


if __name__ == "__main__":
    main()
