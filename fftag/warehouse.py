"""tags.parquet and a product feed -> one DuckDB file, built beside the old one and swapped in."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from fftag.atomic import replacing
from fftag.errors import FftagError
from fftag.feed import check_pattern, check_skus, read_feed
from fftag.resources import sql_folder
from fftag.store import FORMAT_VERSION, METADATA_KEY

STORAGE = "v1.2.0"  # older releases of DuckDB open it too
ROWS_AT_A_TIME = 65_536
SKU_PATTERN = r"([^/]+?)(?:_[0-9]{1,2})?(?:\.[^./]*)?$"
"""The file's name, without its ending and a view number of one or two digits."""

IMAGE_COLUMNS = (
    "image, status, error, is_apparel, apparel_score, width, height, format, file_size, "
    "modified_at, content_sha256, model_id, tagged_at, scores"
)


@dataclass(frozen=True)
class LoadSummary:
    """What a load put into the database.

    Attributes:
        images: rows of `images`, which is rows of the tags file.
        tagged: of them, those that could be read.
        tags: rows of `tags`.
        products: rows of `products`; 0 without a feed.
        joined: images that belong to a product of the feed.
        without_photo: products that no image belongs to.
    """

    db: str
    images: int
    tagged: int
    tags: int
    products: int
    joined: int
    without_photo: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def lines(self) -> list[str]:
        lines = [f"{self.db}: {self.images:,} images, {self.tags:,} tags"]
        if self.products:
            lines.append(
                f"  {self.products:,} products; {self.joined:,} images belong to one, "
                f"{self.images - self.joined:,} to none; {self.without_photo:,} products have none"
            )
        return lines


def load(
    tags: Path, db: Path, products: Path | None = None, sku_pattern: str | None = None
) -> LoadSummary:
    """Builds the database from a tags file and, if given, a product feed.

    Readers of the old file keep reading it; the new one takes its place whole, or not at all.

    Args:
        tags: a file that `fftag tag` wrote.
        db: the DuckDB file to write.
        products: a feed (see `fftag.feed`); its `image` column joins by path, or else its `sku`.
        sku_pattern: regular expression with one group, the sku in an image's path; by default the
            file's name without its ending and a view number (`SKU_PATTERN`).

    Raises:
        FftagError: a file is not what it should be, no image belongs to a product, or the database
            cannot be written.
    """
    file, run = _open_tags(tags)
    if sku_pattern is not None:
        check_pattern(sku_pattern)
    feed = read_feed(products) if products is not None else None
    try:
        db.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FftagError(f"cannot write {db}: {error.strerror}") from error
    with replacing(db) as temporary:
        try:
            with _database(temporary) as connection:
                _load_images(connection, file, run)
                _load_labels(connection, run)
                if feed is not None and products is not None:
                    _load_products(connection, feed, products, sku_pattern or SKU_PATTERN)
                _load_run(connection, run)
                connection.execute((sql_folder() / "views.sql").read_text(encoding="utf-8"))
                summary = _summary(connection, db)
        except duckdb.IOException as error:
            raise FftagError(f"cannot write {db}: {str(error).splitlines()[0]}") from error
    return summary


def _open_tags(path: Path) -> tuple[pq.ParquetFile, dict[str, Any]]:
    try:
        file = pq.ParquetFile(path)
        run = json.loads((file.schema_arrow.metadata or {})[METADATA_KEY])
    except FileNotFoundError as error:
        raise FftagError(f"no tags file {path}: write one with `fftag tag`") from error
    except (OSError, pa.ArrowException, KeyError, ValueError) as error:
        raise FftagError(f"{path} is no tags file: give one that `fftag tag` wrote") from error
    if run.get("format_version", 0) > FORMAT_VERSION:
        raise FftagError(f"{path} was written by a newer fftag: upgrade fftag to load it")
    return file, run


@contextmanager
def _database(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A new database with the tables and macros; whatever it is fed, it opens no other file."""
    config = {"enable_external_access": "false", "storage_compatibility_version": STORAGE}
    connection = duckdb.connect(str(path), config=config)
    try:
        for name in ("schema.sql", "macros.sql"):
            connection.execute((sql_folder() / name).read_text(encoding="utf-8"))
        yield connection
        connection.execute("checkpoint")
    finally:
        connection.close()
        path.with_name(path.name + ".wal").unlink(missing_ok=True)


def _rows(file: pq.ParquetFile, columns: list[str]) -> pa.RecordBatchReader:
    """Some columns, a few rows at a time."""
    schema = pa.schema([file.schema_arrow.field(column) for column in columns])
    batches = file.iter_batches(ROWS_AT_A_TIME, columns=columns)
    return pa.RecordBatchReader.from_batches(schema, batches)


def _load_images(
    connection: duckdb.DuckDBPyConnection, file: pq.ParquetFile, run: dict[str, Any]
) -> None:
    connection.execute("set timezone = 'UTC'")
    connection.register("incoming", _rows(file, IMAGE_COLUMNS.split(", ")))
    connection.execute(
        """
        insert into images by name
        select * replace (
            modified_at::timestamp as modified_at,
            tagged_at::timestamp as tagged_at,
            scores::float[] as scores
        ), $run_id as run_id
        from incoming
        """,
        {"run_id": run["run_id"]},
    )
    connection.register("incoming", _rows(file, ["image", "tags"]))
    connection.execute(
        """
        insert into tags
        select image, tag.label, tag.score
        from (select image, unnest(tags) as tag from incoming)
        order by 2, 1
        """
    )
    connection.unregister("incoming")
    connection.execute(
        """
        insert into failures
        select image, status, error, file_size, modified_at
        from images
        where status <> 'ok'
        order by image
        """
    )


def _load_labels(connection: duckdb.DuckDBPyConnection, run: dict[str, Any]) -> None:
    counted = run["validation"] or [{}] * len(run["labels"])
    columns = zip(run["labels"], run["groups"], run["thresholds"], counted, strict=True)
    connection.executemany(
        """
        insert into labels
        select
            $position, $label, $group, $threshold, $tp, $fp, $fn, $tn,
            $tp / nullif($tp + $fn, 0), $tn / nullif($tn + $fp, 0)
        """,
        [
            {"position": position, "label": label, "group": group, "threshold": threshold}
            | {key: counts.get(key) for key in ("tp", "fp", "fn", "tn")}
            for position, (label, group, threshold, counts) in enumerate(columns)
        ],
    )


def _load_products(
    connection: duckdb.DuckDBPyConnection, feed: pa.Table, path: Path, pattern: str
) -> None:
    by_path = "image" in feed.column_names
    products = feed.drop_columns(["image"]) if by_path else feed
    if by_path:
        # Several photos of one product are several rows of the feed.
        products = products.group_by(products.column_names).aggregate([])
    check_skus(products, path)
    known = {column for column, *_ in connection.execute("describe products").fetchall()}
    for column in products.column_names:
        if column not in known:
            connection.execute(f"alter table products add column {_quoted(column)} varchar")
    connection.register("incoming", products)
    connection.execute("insert into products by name select * from incoming order by sku")
    if by_path:
        connection.register("incoming", feed.select(["image", "sku"]))
        connection.execute(
            "update images set sku = incoming.sku from incoming where images.image = incoming.image"
        )
    else:
        try:
            connection.execute(
                "update images set sku = nullif(regexp_extract(image, $pattern, 1), '')",
                {"pattern": pattern},
            )
        except duckdb.Error as error:
            reason = str(error).splitlines()[0]
            raise FftagError(f"--sku-pattern {pattern!r} cannot be used: {reason}") from error
    connection.unregister("incoming")
    _refuse_no_match(connection, path, by_path)


def _refuse_no_match(connection: duckdb.DuckDBPyConnection, path: Path, by_path: bool) -> None:
    matched, image, found, sku = _one(
        connection,
        """
        select
            (select count(*) from images join products using (sku)),
            (select image from images order by image limit 1),
            (select sku from images order by image limit 1),
            (select sku from products order by sku limit 1)
        """,
    )
    if matched:
        return
    if by_path:
        raise FftagError(
            f"no image of the tags file is in the column image of {path}: its paths must be like "
            f"{image!r}"
        )
    raise FftagError(
        f"no image belongs to a product of {path}: the sku of {image!r} is taken to be {found!r}, "
        f"the feed has skus like {sku!r}; give --sku-pattern, a regular expression with one group"
    )


def _load_run(connection: duckdb.DuckDBPyConnection, run: dict[str, Any]) -> None:
    connection.execute(
        """
        insert into runs
        select
            $run_id, $model_id, $fftag_version, $source, $settings,
            count(*), count(*) filter (status = 'ok'), count(*) filter (status <> 'ok'),
            min(tagged_at), max(tagged_at), now()::timestamp
        from images
        """,
        {key: run[key] for key in ("run_id", "model_id", "fftag_version", "source")}
        | {"settings": json.dumps(run["settings"])},
    )


def _summary(connection: duckdb.DuckDBPyConnection, db: Path) -> LoadSummary:
    counts = _one(
        connection,
        """
        select
            (select count(*) from images),
            (select count(*) from images where status = 'ok'),
            (select count(*) from tags),
            (select count(*) from products),
            (select count(*) from images join products using (sku)),
            (select count(*) from products anti join images using (sku))
        """,
    )
    return LoadSummary(str(db), *counts)


def _one(connection: duckdb.DuckDBPyConnection, query: str) -> tuple[Any, ...]:
    row = connection.execute(query).fetchone()
    assert row is not None, "a select without from has one row"
    return row


def _quoted(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'
