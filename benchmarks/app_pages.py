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
from pathlib import Path

import duckdb

from fftag.labels import load_taxonomy
from fftag.resources import sql_folder

PHOTOS_A_PRODUCT = 3
THRESHOLD = 0.3
BRANDS = ("Acme", "Brio", "Cora", "Dune", "Elm", "Fjord", "Gale", "Halcyon")


def make_catalogue(path: Path, images: int) -> None:
    """A catalogue as `fftag load` would leave it, of drawn scores."""
    labels = load_taxonomy("fashionpedia")
    connection = duckdb.connect(str(path), config={"storage_compatibility_version": "v1.2.0"})
    for name in ("schema.sql", "macros.sql"):
        connection.execute((sql_folder() / name).read_text(encoding="utf-8"))
    connection.execute("insert into settings values ('union', 'feed', false, null)")
    connection.execute(
        """
        insert into runs values (
            'run-1', 'shop', 'shop', 'model-1', '0', '{}', $n, $n, 0,
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
    connection.execute((sql_folder() / "views.sql").read_text(encoding="utf-8"))
    connection.execute("checkpoint")
    connection.close()
