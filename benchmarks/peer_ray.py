"""Ray Data's batch inference: read_images, a class with the model for map_batches, write_parquet.

python benchmarks/peer_ray.py MODEL FOLDER OUT
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import ray
import torch

from fftag.models.folder import load_bundle


class Score:
    def __init__(self, model: str) -> None:
        bundle = load_bundle(Path(model))
        spec = bundle.config.input
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.network = bundle.build().to(self.device)
        self.mean = torch.tensor(spec.mean).view(1, 3, 1, 1)
        self.std = torch.tensor(spec.std).view(1, 3, 1, 1)

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        pixels = torch.from_numpy(batch["image"]).permute(0, 3, 1, 2).float() / 255
        with torch.inference_mode():
            scores = self.network(
                ((pixels - self.mean) / self.std).to(self.device)
            ).logits.sigmoid()
        return {"path": batch["path"], "scores": scores.cpu().numpy()}


def main() -> None:
    model, folder, out = map(Path, sys.argv[1:])
    bundle = load_bundle(model)
    spec, labels = bundle.config.input, bundle.config.labels.names
    ray.init(include_dashboard=False, log_to_driver=False)
    photos = ray.data.read_images(
        str(folder.resolve()), size=(spec.height, spec.width), mode="RGB", include_paths=True
    )
    found = photos.map_batches(
        Score,
        fn_constructor_args=(str(model.resolve()),),
        batch_size=32,
        concurrency=1,
        num_gpus=1 if torch.cuda.is_available() else 0,
    ).to_pandas()
    frame = pd.DataFrame(np.stack(found["scores"]), columns=labels)
    frame.insert(0, "path", found["path"].astype(str))
    frame.to_parquet(out)


if __name__ == "__main__":
    main()
