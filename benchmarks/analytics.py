"""Loading a large catalogue and asking it every report, beside pandas and plain SQL.

    python benchmarks/analytics.py --images 10000000 --folder /tmp/large

Makes a tags file of so many photos with six tags each and a feed of half as many products (kept in
the folder for the next time), loads them, and asks every report several times. The same questions
are asked in SQL straight over the Parquet files, and in pandas. Each is a process of its own, held
to the same two cores; what is printed are medians in seconds, and the peak of resident memory.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from fftag.base.errors import FftagError
from fftag.catalogue.load import load
from fftag.models.labels import LabelSet
from fftag.reports.ask import all_reports, run_report
from fftag.tagging.tags_file import RunInfo, described, tags_of, tags_schema

LABELS, TAGS_EACH = 46, 6
ROWS_PER_GROUP = 131_072
BRANDS, CATEGORIES, MONTHS = 400, 30, 36
CORES = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=10_000_000)
    parser.add_argument("--folder", type=Path, required=True, help="for the files")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--without", nargs="*", default=[], choices=["pandas", "sql"])
    parser.add_argument("--part", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    if options.part:
        _part(options.part, options.folder, options.rounds)
        return
    make(options.folder, options.images)
    print(f"{options.images:,} images, {TAGS_EACH} tags each, {LABELS} labels\n")
    for part in ("load", "reports", "sql", "pandas"):
        if part in options.without:
            continue
        again = [sys.executable, __file__, "--folder", str(options.folder), "--part", part]
        done = subprocess.run([*again, "--rounds", str(options.rounds)], stdout=subprocess.PIPE)
        if done.returncode:
            print(f"{part}: ended with {done.returncode}\n")
            continue
        found = json.loads(done.stdout)
        size = (options.folder / "catalog.duckdb").stat().st_size / 2**30
        print(f"{part}: peak {found['peak']:.1f} GiB; the database has {size:.1f} GiB")
        for name, seconds in found["seconds"].items():
            shown = seconds if isinstance(seconds, str) else f"{seconds:.2f} s"
            print(f"  {name:14} {shown}")
        print(flush=True)


def _part(part: str, folder: Path, rounds: int) -> None:
    """Runs one part in this process; prints its times and memory as JSON."""
    tags, feed, db = folder / "tags.parquet", folder / "products.parquet", folder / "catalog.duckdb"
    seconds: dict[str, float | str] = {}
    if part == "load":
        seconds["load"] = _took(lambda: load(tags, db, feed))
    elif part == "reports":
        for report in all_reports():
            try:
                times = [_took(lambda: run_report(db, report.name)) for _ in range(rounds)]  # noqa: B023
                seconds[report.name] = statistics.median(times)
            except FftagError as error:
                seconds[report.name] = str(error)
    elif part == "sql":
        for name, query in plain_sql(tags, feed).items():
            with duckdb.connect() as connection:
                connection.execute(f"set threads = {CORES}; set memory_limit = '6GB'")
                times = [_took(lambda: connection.sql(query).df()) for _ in range(rounds)]  # noqa: B023
            seconds[name] = statistics.median(times)
    else:
        for name, question in (("read", None), *PANDAS.items()):
            if question is None:
                began = time.perf_counter()
                frames = in_pandas(tags, feed)
                seconds["read"] = time.perf_counter() - began
            else:
                times = [_took(lambda: question(*frames)) for _ in range(rounds)]  # noqa: B023
                seconds[name] = statistics.median(times)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps({"peak": peak, "seconds": seconds}))


def _took(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def make(folder: Path, images: int, photos_each: int = 2) -> None:
    """Writes a tags file and a feed of a product per so many photos, unless they are there."""
    folder.mkdir(parents=True, exist_ok=True)
    tags = folder / "tags.parquet"
    if tags.is_file() and pq.ParquetFile(tags).metadata.num_rows == images:
        return
    noise = np.random.default_rng(0)
    names = [f"label {number:02d}" for number in range(LABELS)]
    counts = {"tp": 80, "fp": 20, "fn": 20, "tn": 880}
    run = RunInfo(
        run_id=f"synthetic-{images}",
        model_id="0" * 64,
        scores_id="0" * 64,
        fftag_version="0",
        source="synthetic",
        **described(
            LabelSet.of(names, [f"group {number % 8}" for number in range(LABELS)]),
            [0.5] * LABELS,
            [counts] * LABELS,
        ),
        settings={},
    )
    _write_tags(tags, images, photos_each, run, noise)
    _write_feed(folder / "products.parquet", -(-images // photos_each), noise)


def _write_tags(
    path: Path, images: int, photos_each: int, run: RunInfo, noise: np.random.Generator
) -> None:
    """Six labels of each photo lie above the threshold, common ones more often than rare ones."""
    schema = tags_schema(run)
    common = np.log(1 / np.arange(1, LABELS + 1, dtype=np.float32))
    now = datetime.now(UTC)
    temporary = path.with_suffix(".part")
    with pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
        for first in range(0, images, ROWS_PER_GROUP):
            count = min(ROWS_PER_GROUP, images - first)
            drawn = common - np.log(noise.exponential(size=(count, LABELS)).astype(np.float32))
            order = np.argsort(-drawn, axis=1)
            scores = (noise.integers(0, 128, (count, LABELS)) / 256).astype(np.float32)
            np.put_along_axis(
                scores,
                order[:, :TAGS_EACH],
                (0.5 + noise.integers(0, 128, (count, TAGS_EACH)) / 256).astype(np.float32),
                axis=1,
            )
            numbers = range(first, first + count)
            columns = {
                "image": [f"p{n // photos_each:09d}_{n % photos_each}.jpg" for n in numbers],
                "status": pa.array(["ok"] * count).dictionary_encode().cast(schema.field(1).type),
                "tags": tags_of(scores, run, np.zeros(count, bool)),
                "scores": pa.FixedSizeListArray.from_arrays(pa.array(scores.ravel()), LABELS),
                "width": [550] * count,
                "height": [830] * count,
                "format": ["jpeg"] * count,
                "file_size": noise.integers(50_000, 90_000, count),
                "modified_at": [now] * count,
                "content_sha256": [f"{n:064x}" for n in numbers],
                "model_id": [run.model_id] * count,
                "tagged_at": [now] * count,
            }
            arrays = [
                value if isinstance(value, pa.Array) else pa.array(value, field.type)
                for field in schema
                for value in [columns.get(field.name, [None] * count)]
            ]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
    temporary.rename(path)


def _write_feed(path: Path, products: int, noise: np.random.Generator) -> None:
    days = noise.integers(0, MONTHS * 30, products)
    table = {
        "sku": [f"p{number:09d}" for number in range(products)],
        "brand": [f"brand {n:03d}" for n in np.minimum(noise.geometric(0.01, products), BRANDS)],
        "category": [f"category {n:02d}" for n in noise.integers(0, CATEGORIES, products)],
        "price": np.round(np.exp(noise.normal(3.5, 0.7, products)), 2),
        "currency": ["EUR"] * products,
        "listed_at": (np.datetime64("2023-01-01") + days).astype("datetime64[D]"),
    }
    pq.write_table(pa.table(table), path, compression="zstd")


def plain_sql(tags: Path, feed: Path) -> dict[str, str]:
    """The plain questions, straight over the files; without intervals or corrections."""
    labelled = f"""
        select distinct regexp_replace(image, '_[0-9]+[.]jpg$', '') as sku, tag.label as label
        from (select image, unnest(tags) as tag from '{tags}')
    """
    return {
        "share": f"""
            select label, count(*) / (select count(*) from '{feed}') as share
            from ({labelled}) group by label order by share desc
        """,
        "monthly": f"""
            select label, date_trunc('month', listed_at) as month, count(*) as items
            from ({labelled}) join '{feed}' using (sku) group by all
        """,
        "pairs": f"""
            with labelled as ({labelled})
            select a.label as label_a, b.label as label_b, count(*) as items
            from labelled as a join labelled as b on a.sku = b.sku and a.label < b.label
            group by all
        """,
        "prices": f"""
            select label, median(price) as price from ({labelled}) join '{feed}' using (sku)
            group by label
        """,
    }


def in_pandas(tags: Path, feed: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Label by product, and the feed."""
    table = pq.read_table(tags, columns=["image", "tags"])
    lists = table.column("tags").combine_chunks()
    labels = lists.values.field("label").dictionary_encode()
    owner = np.repeat(np.arange(len(table)), np.diff(lists.offsets.to_numpy()))
    images = table.column("image").to_pandas()
    skus = images.str.replace(r"_[0-9]+[.]jpg$", "", regex=True).astype("category")
    found = pd.DataFrame(
        {
            "sku": pd.Categorical.from_codes(skus.cat.codes.to_numpy()[owner], dtype=skus.dtype),
            "label": labels.to_pandas(),
        }
    )
    return found.drop_duplicates(), pq.read_table(feed).to_pandas()


def _joined(labelled: pd.DataFrame, feed: pd.DataFrame) -> pd.DataFrame:
    return labelled.assign(sku=labelled["sku"].astype(str)).merge(feed, on="sku")


PANDAS: dict[str, Callable[[pd.DataFrame, pd.DataFrame], object]] = {
    "share": lambda labelled, feed: labelled["label"].value_counts() / len(feed),
    "monthly": lambda labelled, feed: (
        _joined(labelled, feed)
        .assign(month=lambda frame: pd.to_datetime(frame["listed_at"]).dt.to_period("M"))
        .groupby(["label", "month"], observed=True)
        .size()
    ),
    "prices": lambda labelled, feed: (
        _joined(labelled, feed).groupby("label", observed=True)["price"].median()
    ),
}


if __name__ == "__main__":
    main()
