"""Memory and time of planning and of publication, which read keys and scores of a whole catalogue.

    python benchmarks/publication.py --rows 3000000 --labels 300 --threads 2 16
    python benchmarks/publication.py --rows 10000000 --labels 46 --threads 2 16
    python benchmarks/publication.py --rows 10000000 --only plan

A tags file of so many rows is made, but for one in a hundred, whose rows lie in parts; with
`--moved`, so many of these are of photos that were renamed. A process of its own then plans (all is
known, so that nothing is to be read) and publishes. Its memory is counted above what it takes with
all imported, with and without the listing, which grows with the files: 50 bytes and a path each.
Rows are like those of a catalogue of JPEGs; scores are random, and do not compress.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

AT_ONCE = 8_192
IN_PARTS = 100  # one row in so many
MODIFIED, READ = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--labels", type=int, default=300)
    parser.add_argument("--threads", type=int, nargs="+", default=[2])
    parser.add_argument("--moved", type=float, default=0.0, help="Share of the rows in parts.")
    parser.add_argument("--only", choices=["plan"])
    parser.add_argument("--folder", type=Path, help="Where there is room; by default in TMPDIR.")
    parser.add_argument("--measure", help=argparse.SUPPRESS)  # in a process of its own
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(Path(options.measure), options)))
        return
    print("| rows | labels | threads | plan, s | plan, MiB | publication, s | MiB | listing, MiB |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        for threads in options.threads:
            out = Path(name) / f"{threads}/tags.parquet"
            make_catalogue(out, options)
            command = [sys.executable, __file__, *sys.argv[1:], "--measure", str(out)]
            command += ["--threads", str(threads)]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            found = json.loads(done.stdout.splitlines()[-1])
            print(
                f"| {options.rows:,} | {options.labels} | {threads} | {found['plan']:,.1f} "
                f"| {found['plan_mib']:,.0f} | {found.get('publish', 0):,.1f} "
                f"| {found.get('publish_mib', 0):,.0f} | {found['listing_mib']:,.0f} |",
                flush=True,
            )
            out.unlink()


def run_of(labels: int) -> Any:
    from fftag.models.labels import LabelSet
    from fftag.photos.image_formats import DECODER_REVISIONS
    from fftag.tagging.tags_file import RunInfo, described

    names = [f"label {number}" for number in range(labels)]
    settings = {"precision": "bf16", "backend": "openvino", "decoder": "scaled"}
    settings |= {"decoder_revisions": DECODER_REVISIONS, "timeout": 60.0, "worker_memory": 2**32}
    settings["limits"] = {"pixels": 128_000_000, "file_bytes": 2**27, "salvage": False}
    model = "ab" * 32
    shown = described(LabelSet.of(names), [0.97] * labels)
    return RunInfo("run", model, model, "0", "photos", **shown, settings=settings)


def names_of(numbers: np.ndarray) -> list[str]:
    return [f"season-{number // 100_000:03d}/FF-{number:09d}_1.jpg" for number in numbers]


def rows_of(numbers: np.ndarray, labels: int, run: Any, moved: np.ndarray) -> pa.Table:
    """Rows of a part; those that moved have a content that is published, and no scores."""
    from fftag.tagging.scored_rows import part_schema

    count, schema = len(numbers), part_schema(run)
    draw = np.random.default_rng(int(numbers[0]))
    contents = [f"{number:064x}" for number in np.where(moved, numbers - 1, numbers)]
    scores = pa.FixedSizeListArray.from_arrays(
        pa.array(draw.random(count * labels, np.float32)), labels, mask=pa.array(moved)
    )
    columns = {
        "image": names_of(numbers),
        "status": pa.array(["ok"] * count).dictionary_encode().cast(schema.field("status").type),
        "scores": scores,
        "width": pa.array(np.full(count, 1200), pa.int32(), mask=moved),
        "height": pa.array(np.full(count, 1600), pa.int32(), mask=moved),
        "format": pa.array(np.where(moved, None, "JPEG").tolist(), pa.string()),
        "file_size": sizes_of(numbers),
        "modified_at": [MODIFIED] * count,
        "content_sha256": contents,
        "tagged_at": [READ] * count,
    }
    arrays = [
        found
        if isinstance(found := columns.get(field.name, [None] * count), pa.Array)
        else pa.array(found, field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def sizes_of(numbers: np.ndarray) -> np.ndarray:
    """Of files: one that moved has that of the one before it."""
    return 100_000 + numbers // 2 * 7919 % 400_000


def make_catalogue(out: Path, options: argparse.Namespace) -> None:
    """The tags file, and parts of what it has not."""
    from fftag.tagging.agreement import Agreement
    from fftag.tagging.parts import Parts
    from fftag.tagging.publish import decided, write_rows

    out.parent.mkdir(parents=True)
    run = run_of(options.labels)
    numbers = np.arange(options.rows)
    apart = numbers % IN_PARTS == IN_PARTS - 1

    def tables() -> Any:
        published = numbers[~apart]
        for start in range(0, len(published), AT_ONCE):
            some = published[start : start + AT_ONCE]
            yield decided(rows_of(some, options.labels, run, np.zeros(len(some), bool)), run)

    write_rows(out, tables(), run)
    parts, own = Parts(out, Agreement.of(run)), numbers[apart]
    parts.folder.mkdir(parents=True)
    moved = np.random.default_rng(0).random(len(own)) < options.moved
    for start in range(0, len(own), 1024):
        some = slice(start, start + 1024)
        parts.write(rows_of(own[some], options.labels, run, moved[some]))


def measure(out: Path, options: argparse.Namespace) -> dict[str, float]:
    """Plans and publishes in this process."""
    import duckdb  # noqa: F401 (counted as part of the interpreter)

    import fftag.tagging.keys
    from fftag.photos.listing import SCHEMA, Listing
    from fftag.tagging.agreement import Agreement
    from fftag.tagging.known import KnownRows, open_published
    from fftag.tagging.options import TagOptions
    from fftag.tagging.parts import Parts
    from fftag.tagging.plan import make_plan, with_made
    from fftag.tagging.publish import decided_rows, publishing

    (threads,) = options.threads
    pa.set_cpu_count(threads)
    fftag.tagging.keys.cores = lambda: threads
    run = run_of(options.labels)
    imported = peak()
    listing = Listing(pa.concat_tables(files(options.rows, SCHEMA)), {})
    found = {"listing_mib": listing.files.nbytes / 2**20}
    began = time.perf_counter()
    known = KnownRows(open_published(out), Parts(out, Agreement.of(run)).whole())
    plan = make_plan(listing, known, run, TagOptions(), out)
    if len(plan.pending):
        sys.exit(f"{len(plan.pending):,} rows are not known: the catalogue is not as it should be")
    found |= {"plan": time.perf_counter() - began, "plan_mib": peak() - imported}
    if options.only == "plan":
        return found
    began = time.perf_counter()
    plan = with_made(plan, [], run, out)
    tables = decided_rows(known.files, plan.kept, run, listing.files["image"], plan.scored)
    with publishing(out, tables, run, known.published, keep_previous=False):
        pass
    return found | {"publish": time.perf_counter() - began, "publish_mib": peak() - imported}


def files(rows: int, schema: pa.Schema) -> list[pa.Table]:
    """The listing, in chunks as a source gives it."""
    modified = int(MODIFIED.timestamp()) * 10**9
    found = []
    for start in range(0, rows, 2**16):
        numbers = np.arange(start, min(rows, start + 2**16))
        times, offsets = np.full(len(numbers), modified), pa.nulls(len(numbers), pa.int64())
        columns = [pa.array(names_of(numbers)), pa.array(sizes_of(numbers)), pa.array(times)]
        found.append(pa.table([*columns, offsets], schema=schema))
    return found


def peak() -> float:
    """The most resident memory of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
