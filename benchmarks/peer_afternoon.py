"""What one would write in an afternoon: PIL, torchvision's transforms, a DataLoader, pandas.

    python benchmarks/peer_afternoon.py MODEL FOLDER OUT

Scores every photo of a folder with a model of fftag's, for comparison: the same weights, the same
labels out. A photo that cannot be read ends it.
"""

import os
import sys
from pathlib import Path

import pandas as pd
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from fftag.models.folder import load_bundle


class Photos(Dataset):
    def __init__(self, folder: Path, size: tuple[int, int], mean: tuple, std: tuple) -> None:
        self.paths = sorted(folder.rglob("*.jpg"))
        self.transform = transforms.Compose(
            [transforms.Resize(size), transforms.ToTensor(), transforms.Normalize(mean, std)]
        )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, number: int) -> tuple[str, torch.Tensor]:
        path = self.paths[number]
        return str(path), self.transform(Image.open(path).convert("RGB"))


def main() -> None:
    model, folder, out = map(Path, sys.argv[1:])
    bundle = load_bundle(model)
    spec = bundle.config.input
    photos = Photos(folder, (spec.height, spec.width), spec.mean, spec.std)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network, rows = bundle.build().to(device), []
    with torch.no_grad():
        for paths, pixels in DataLoader(photos, batch_size=32, num_workers=os.cpu_count()):
            scores = network(pixels.to(device)).logits.sigmoid().cpu().numpy()
            for path, row in zip(paths, scores, strict=True):
                rows.append(
                    {"path": path, **dict(zip(bundle.config.labels.names, row, strict=True))}
                )
    pd.DataFrame(rows).to_parquet(out)


if __name__ == "__main__":
    main()
