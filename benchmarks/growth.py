"""How time per photo and memory grow with the catalogue.

    python benchmarks/growth.py --photos 1000 10000 100000 1000000

Folders of tiny photos (24 x 32 pixels, no two files the same, five hundred pictures among them) are
listed, and tagged by an untrained CNN of 46 labels. `per photo` leaves out what a run on one photo
takes. Photos this small show what fftag adds to decoding and the model, which cost the same however
many there are.
"""

import argparse
import tempfile
import time
from pathlib import Path

from large_catalogue import make_photos, watched
from untrained import make_model

from fftag.photos.decode import InputSpec
from fftag.photos.listing import Selection
from fftag.photos.sources.choose import choose_source, list_source


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    options = parser.parse_args()
    print("| photos | listed in, s | whole run, s | per photo, ms | run, MiB | decoder, MiB |")
    print("|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = make_model(folder / "model", "cnn", InputSpec(32, 24))
        start = 0.0
        # Twice one: the first run of a model keeps OpenVINO's form of it for the next.
        for number, count in enumerate((1, 1, *options.photos)):
            photos = folder / str(number)
            make_photos(photos, count, distinct=True)
            began = time.perf_counter()
            listing = list_source(choose_source(str(photos)), Selection())
            listed = time.perf_counter() - began
            out = folder / f"{number}.parquet"
            began = time.perf_counter()
            curve = watched(["tag", str(photos), "--model", str(model), "--out", str(out)])
            seconds = time.perf_counter() - began
            if count == 1:
                start = seconds
                continue
            _, run, decoder = (max(column) for column in zip(*curve, strict=True))
            print(
                f"| {len(listing):,} | {listed:.2f} | {seconds:,.1f} "
                f"| {1000 * (seconds - start) / count:.2f} | {run:,} | {decoder:,} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
