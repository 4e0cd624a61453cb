"""How long the app's pages wait for a catalogue of a million photos.

    python benchmarks/app_pages.py --images 1000000 --keep million.duckdb

Makes a catalogue in DuckDB itself, with the project's tables, macros and views: 46 labels, six tags
a photo, a product per three photos. Then asks what each page of the app asks, several times, and
prints the median and the slowest. Every question opens the file anew, as the app does.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import duckdb

from fftag.app import catalogue
from fftag.app.asking import stamp
from fftag.app.choices import choices
from fftag.app.search import Search
from fftag.items import make_items, run_script
from fftag.labels import load_taxonomy
from fftag.report import Filters, all_reports, run_report
from fftag.review_queue import Answered, take_answers

PHOTOS_A_PRODUCT = 3
THRESHOLD = 0.3
BRANDS = ("Acme", "Brio", "Cora", "Dune", "Elm", "Fjord", "Gale", "Halcyon")


def make_catalogue(path: Path, images: int) -> None:
    """A catalogue as `fftag load` would leave it, of drawn scores."""
    labels = load_taxonomy("fashionpedia")
    connection = duckdb.connect(str(path), config={"storage_compatibility_version": "v1.2.0"})
    for name in ("schema.sql", "macros.sql", "photos.sql"):
        run_script(connection, name)
    connection.execute("insert into settings values ('union', 'feed', false, null)")
    connection.execute(
        """
        insert into runs values (
            'run-1', 'shop', 'shop', 'model-1', '0', '{}', null, null, null, $n, $n, 0,
            '2026-01-01', '2026-01-01', now()::timestamp, true)
        """,
        {"n": images},
    )
    for position, (label, group) in enumerate(zip(labels.names, labels.groups, strict=True)):
        counts = {"tp": 80, "fp": 20, "fn": 20, "tn": 880}
        connection.execute(
            "insert into labels values ($p, $l, $g, $t, $tp, $fp, $fn, $tn, 0.8, 0.98)",
            {"p": position, "l": label, "g": group, "t": THRESHOLD, **counts},
        )
        connection.execute(
            "insert into model_labels values ('model-1', $p, $l, $l, $t, $tp, $fp, $fn, $tn)",
            {"p": position, "l": label, "t": THRESHOLD, **counts},
        )
    connection.execute(
        """
        insert into products by name
        select
            'shop' as source, format('FF-{:07d}', i) as sku,
            $brands[1 + (hash(i) % len($brands))::int] as brand,
            format('category {}', hash(i + 1) % 20) as category,
            round(10 + (hash(i + 2) % 20000) / 100.0, 2) as price, 'EUR' as currency,
            date '2024-01-01' + (i * 730 // $products)::int as listed_at
        from range($products) as t(i)
        """,
        {"products": -(-images // PHOTOS_A_PRODUCT), "brands": list(BRANDS)},
    )
    # A label's share falls with its position, from a half to a fiftieth: about six tags a photo.
    connection.execute(
        """
        insert into images by name
        select
            format('{:02d}/FF-{:07d}_{}.jpg', i % 24, i // $per, i % $per) as image,
            'shop' as source, format('FF-{:07d}', i // $per) as sku, 'ok' as status,
            600 as width, 800 as height, 'JPEG' as format, 90000 as file_size,
            timestamp '2026-01-01' as modified_at, md5(i::varchar) as content_sha256,
            'model-1' as model_id, 'run-1' as run_id, timestamp '2026-01-01' as tagged_at,
            list_transform(range(46), lambda x: (
                case when hash(i * 46 + x) / pow(2, 64) < 0.5 / (1 + x * 0.14) - 0.03
                then $threshold + (1 - $threshold) * hash(i * 46 + x + 7) / pow(2, 64)
                else $threshold * 0.99 * hash(i * 46 + x + 9) / pow(2, 64) end)::float
            ) as scores
        from range($n) as t(i)
        """,
        {"n": images, "per": PHOTOS_A_PRODUCT, "threshold": THRESHOLD},
    )
    connection.execute(
        """
        insert into tags
        select image, label, score, 'run-1' from (
            select image, unnest(scores) as score, generate_subscripts(scores, 1) - 1 as position
            from images)
        join labels using (position)
        where score >= labels.threshold
        order by label, image
        """
    )
    make_items(connection)
    connection.execute("checkpoint")
    connection.close()


def questions(db: Path) -> dict[str, Callable[[], object]]:
    """What each page change asks, by what a person does."""
    there = choices(db)
    labels, brand = list(there.labels), there.columns["brand"][0]
    common, rare = labels[0], labels[-1]
    first = catalogue.find(db, Search()).photos[0]

    def find(page: int = 0, **search: object) -> Callable[[], object]:
        return lambda: catalogue.find(db, Search(**search), page)  # type: ignore[arg-type]

    several = {"labels": [common, labels[1]], "any_of": labels[3:5], "none_of": [labels[2]]}
    return {
        "has the file been replaced?": lambda: stamp(db),
        "what there is to filter by": lambda: choices(db),
        "all photos, first page": find(),
        "all photos, page 20,000": find(20_000),
        "a common label": find(labels=[common]),
        "a rare label": find(labels=[rare]),
        "two labels, one of two, not a fifth": find(**several),
        "score of a label, best first": find(scored=common, sort="score"),
        "score between 0.5 and 0.7": find(scored=common, least=0.5, most=0.7),
        "least sure of a label": find(scored=common, sort="unsure"),
        "a brand, prices from 20 to 50": find(where={"brand": [brand]}, price_from=20, price_to=50),
        "dearest first": find(sort="dearest"),
        "newest first, since a day": find(sort="newest", since=date(2025, 6, 1)),
        "text in the path": find(text="ff-00123"),
        "text of a brand": find(text=brand.lower()),
        "photos that failed": find(state="failed"),
        "corrected photos": find(state="reviewed"),
        "one photo": lambda: catalogue.photo(db, first.source, first.image),
        "its nearest by labels": lambda: catalogue.neighbours(db, first),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--keep", type=Path, help="file of the catalogue; made if it is not there")
    parser.add_argument("--reports", action="store_true", help="time the reports too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        db = options.keep or Path(folder) / "catalog.duckdb"
        if not db.exists():
            make_catalogue(db, options.images)
        print(f"{db.stat().st_size / 2**20:,.0f} MiB\n")
        print("| page change | median, s | slowest, s |\n|---|---|---|")
        for name, ask in questions(db).items():
            timed(name, ask, options.rounds)
        one = catalogue.find(db, Search()).photos[0]
        answers = [Answered(one.image, one.source, next(iter(one.scores)), False, True)]
        timed("saving a correction", lambda: take_answers(db, answers, None, "it", ""), 3)
        if options.reports:
            for report in all_reports():
                ask = lambda name=report.name: run_report(db, name, {}, Filters())  # noqa: E731
                timed(f"report {report.name}", ask, 1)


def timed(name: str, ask: Callable[[], object], rounds: int) -> None:
    """Prints a row of the table."""
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        ask()
        seconds.append(time.perf_counter() - start)
    print(f"| {name} | {statistics.median(seconds):.2f} | {max(seconds):.2f} |", flush=True)


if __name__ == "__main__":
    main()
