"""How long the app's pages wait for a catalogue of a million photos.

    python benchmarks/app_pages.py --images 1000000 --keep million.duckdb

Makes a catalogue as analytics.py does (46 labels, six tags a photo), of a product per three photos,
and loads it. Then asks what each page of the app asks, several times, and prints the median and the
slowest. Every question opens the file anew, as the app does.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

from analytics import make

from fftag.app import catalogue
from fftag.app.catalogue import stamp
from fftag.app.choices import choices
from fftag.app.search import Search
from fftag.catalogue.load import load
from fftag.reports.ask import Filters, all_reports, run_report
from fftag.reports.review_queue import Answered, take_answers

PHOTOS_A_PRODUCT = 3


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
        "text in the path": find(text="p00000123"),
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
            make(Path(folder), options.images, PHOTOS_A_PRODUCT)
            load(Path(folder) / "tags.parquet", db, Path(folder) / "products.parquet")
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
