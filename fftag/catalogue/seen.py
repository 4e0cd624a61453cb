"""When photos and products were seen first and last: carried over from load to load.

A photo is known by its content, so that one that was moved stays the same, and another picture at
the same path is another photo. A product is known by its source and sku.
"""

from pathlib import Path

import duckdb

from fftag.catalogue.database import replaceable, version_of

SEEN = {
    "photos": "select content_sha256, image, source, sku, first_seen, last_seen from seen_photos",
    "products": "select source, sku, first_seen, last_seen from seen_products",
}
SEEN_BEFORE_3 = {
    "photos": """
        select
            images.content_sha256, images.image, images.source, images.sku,
            runs.loaded_at as first_seen, runs.loaded_at as last_seen
        from images
        join runs on runs.run_id = images.run_id
        where images.content_sha256 is not null
    """,
    "products": """
        select source, sku, loaded_at as first_seen, loaded_at as last_seen
        from products
        cross join (select max(loaded_at) as loaded_at from runs)
    """,
}
"""What a catalogue says that kept no account of it: all that it has was seen by its load."""
ROWS = 100_000  # handed over at once


def recall_seen(
    connection: duckdb.DuckDBPyConnection, db: Path, renamed: tuple[str, str] | None
) -> None:
    """Makes the temporary tables `photos_before` and `products_before` of the catalogue there.

    Args:
        connection: to the new database.
        db: where a catalogue lies, or none.
        renamed: a source's name then, and now.

    Raises:
        FftagError: see `fftag.catalogue.database.replaceable`.
    """
    connection.execute(
        """
        create temp table photos_before as
        select content_sha256, image, source, sku, first_seen, last_seen from gone_photos;

        create temp table products_before as
        select source, sku, first_seen, last_seen from seen_products;
        """
    )
    with replaceable(db) as old:
        if old is None:
            return
        seen = SEEN if version_of(old, db) >= 3 else SEEN_BEFORE_3
        for what, key in (("photos", "content_sha256"), ("products", "source, sku")):
            connection.register("incoming", old.sql(seen[what]).to_arrow_reader(ROWS))
            connection.execute(
                f"insert into {what}_before select distinct on ({key}) * from incoming"  # noqa: S608
            )
            connection.unregister("incoming")
            if renamed is not None:
                connection.execute(
                    f"update {what}_before set source = $now where source = $before",  # noqa: S608
                    {"before": renamed[0], "now": renamed[1]},
                )


def record_seen(connection: duckdb.DuckDBPyConnection) -> None:
    """Keeps what was there before (see `recall_seen`) and is not, in a database that was filled."""
    connection.execute(
        """
        insert into gone_photos by name
        from photos_before
        anti join (select content_sha256 from images semi join newest_runs using (run_id))
            using (content_sha256)
        order by source, image;

        insert into seen_products by name
        with loads as (select max(loaded_at) as loaded_at from runs),

        seen as (
            select *, false as is_there
            from products_before
            union all by name
            select source, sku, loaded_at as first_seen, loaded_at as last_seen, true as is_there
            from products
            cross join loads
        )

        select
            source,
            sku,
            min(first_seen) as first_seen,
            max(last_seen) as last_seen,
            bool_or(is_there) as is_there
        from seen
        group by source, sku
        order by source, sku;

        drop table photos_before;
        drop table products_before;
        """
    )
