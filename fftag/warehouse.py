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
from fftag.feed import Feed, open_feed
from fftag.resources import sql_folder
from fftag.store import FORMAT_VERSION, METADATA_KEY

STORAGE = "v1.2.0"  # older releases of DuckDB open it too
MEMORY = "2GB"  # what sorting the tags may take before it goes on in a temporary file
ROWS_AT_A_TIME = 16_384

IMAGE_COLUMNS = [
    *("image", "status", "error", "is_apparel", "apparel_score", "width", "height", "format"),
    *("file_size", "modified_at", "content_sha256", "model_id", "tagged_at", "scores"),
]


@dataclass(frozen=True)
class LoadSummary:
    """What a load put into the database.

    Attributes:
        db: the file.
        images: rows of `images`, which is rows of the tags file.
        tagged: of them, those that could be read.
        failed: the others, which are rows of `failures` too.
        tags: rows of `tags`.
        products: rows of `products`; 0 without a feed.
        joined: images that belong to a product of the feed.
        without_photo: products that no image belongs to.
    """

    db: str
    images: int
    tagged: int
    failed: int
    tags: int
    products: int
    joined: int
    without_photo: int

    def to_json(self) -> dict[str, Any]:
        """The counts by name."""
        return asdict(self)

    def lines(self) -> list[str]:
        """The counts for a person."""
        lines = [f"{self.db}: {self.images:,} images ({self.failed:,} failed), {self.tags:,} tags"]
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
        products: a feed (see `fftag.feed`). Its column `image`, if it has one and no pattern is
            given, joins by path; otherwise its `sku` is looked for in the path.
        sku_pattern: regular expression with one group, the sku in an image's path; by default the
            file's name without its ending and a view number (`fftag.feed.SKU_PATTERN`).

    Raises:
        FftagError: a file is not what it should be, no image belongs to a product, or the database
            cannot be written.
    """
    feed = open_feed(products, sku_pattern)
    with _open_tags(tags) as (file, run):
        try:
            db.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FftagError(f"cannot write {db}: {error.strerror}") from error
        with replacing(db) as temporary:
            try:
                with _database(temporary) as connection:
                    summary = _fill(connection, file, run, feed, db)
            except (duckdb.Error, pa.ArrowException) as error:
                reason = str(error).splitlines()[0]
                raise FftagError(f"cannot build {db} from {tags}: {reason}") from error
            # A log that another program left beside the old database is not the new one's.
            db.with_name(db.name + ".wal").unlink(missing_ok=True)
    return summary


@contextmanager
def _open_tags(path: Path) -> Iterator[tuple[pq.ParquetFile, dict[str, Any]]]:
    try:
        file = pq.ParquetFile(path)
        run = json.loads((file.schema_arrow.metadata or {}).get(METADATA_KEY, b"null"))
    except FileNotFoundError as error:
        raise FftagError(f"no tags file {path}: write one with `fftag tag`") from error
    except (OSError, ValueError, pa.ArrowException) as error:
        raise FftagError(f"{path} is no tags file: give one that `fftag tag` wrote") from error
    with file:
        # A manifest carries metadata under the same key, but of no run.
        if not isinstance(run, dict) or "run_id" not in run:
            raise FftagError(f"{path} is no tags file: give one that `fftag tag` wrote")
        if run["format_version"] > FORMAT_VERSION:
            raise FftagError(f"{path} was written by a newer fftag: upgrade fftag to load it")
        names = file.schema_arrow.names
        absent = [column for column in (*IMAGE_COLUMNS, "tags") if column not in names]
        if absent:
            raise FftagError(f"{path} has lost its column {absent[0]}: tag again with `fftag tag`")
        yield file, run


@contextmanager
def _database(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A new database with the tables and macros; whatever it is fed, it opens no other file."""
    config: dict[str, str | bool | int | float | list[str]] = {
        "enable_external_access": "false",
        "storage_compatibility_version": STORAGE,
        "memory_limit": MEMORY,
    }
    connection = duckdb.connect(str(path), config=config)
    try:
        connection.execute("set timezone = 'UTC'")
        for name in ("schema.sql", "macros.sql"):
            connection.execute((sql_folder() / name).read_text(encoding="utf-8"))
        yield connection
        connection.execute((sql_folder() / "views.sql").read_text(encoding="utf-8"))
        connection.execute("checkpoint")
    finally:
        connection.close()
        path.with_name(path.name + ".wal").unlink(missing_ok=True)


def _fill(
    connection: duckdb.DuckDBPyConnection,
    file: pq.ParquetFile,
    run: dict[str, Any],
    feed: Feed,
    db: Path,
) -> LoadSummary:
    if feed.products is not None:
        _load_products(connection, feed.products)
    _load_images(connection, file, run, feed)
    _load_tags(connection, file)
    _load_labels(connection, run)
    _load_run(connection, run)
    summary = _summary(connection, db)
    if feed.products is not None and summary.images and not summary.joined:
        _refuse_no_match(connection, feed)
    return summary


def _load_products(connection: duckdb.DuckDBPyConnection, products: pa.Table) -> None:
    known = {column for column, *_ in connection.execute("describe products").fetchall()}
    for column in products.column_names:
        if column not in known:
            connection.execute(f"alter table products add column {_quoted(column)} varchar")
    connection.register("incoming", products)
    connection.execute("insert into products by name select * from incoming order by sku")
    connection.unregister("incoming")


def _load_images(
    connection: duckdb.DuckDBPyConnection, file: pq.ParquetFile, run: dict[str, Any], feed: Feed
) -> None:
    if feed.pattern is not None:
        try:
            test = "select regexp_extract('', $pattern, 1)"
            connection.execute(test, {"pattern": feed.pattern}).fetchall()
        except duckdb.Error as error:
            reason = str(error).splitlines()[0]
            raise FftagError(f"--sku-pattern {feed.pattern!r} cannot be used: {reason}") from error
    connection.register("incoming", _rows(file, IMAGE_COLUMNS))
    connection.register("photos", feed.photos)
    connection.execute(
        """
        insert into images by name
        select
            incoming.* replace (
                modified_at::timestamp as modified_at,
                tagged_at::timestamp as tagged_at,
                scores::float[] as scores
            ),
            $run_id as run_id,
            coalesce(
                photos.sku, nullif(regexp_extract(incoming.image, $pattern::varchar, 1), '')
            ) as sku
        from incoming
        left join photos on photos.image = incoming.image
        """,
        {"run_id": run["run_id"], "pattern": feed.pattern},
    )
    connection.unregister("incoming")
    connection.unregister("photos")
    connection.execute(
        """
        insert into failures
        select image, status, error, file_size, modified_at
        from images
        where status <> 'ok'
        order by image
        """
    )


def _load_tags(connection: duckdb.DuckDBPyConnection, file: pq.ParquetFile) -> None:
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


def _rows(file: pq.ParquetFile, columns: list[str]) -> pa.RecordBatchReader:
    """Some columns, a few rows at a time."""
    schema = pa.schema([file.schema_arrow.field(column) for column in columns])
    batches = file.iter_batches(ROWS_AT_A_TIME, columns=columns)
    return pa.RecordBatchReader.from_batches(schema, batches)


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
        | {"settings": json.dumps(run["settings"], ensure_ascii=False)},
    )


def _summary(connection: duckdb.DuckDBPyConnection, db: Path) -> LoadSummary:
    counts = _one(
        connection,
        """
        select
            (select count(*) from images),
            (select count(*) from images where status = 'ok'),
            (select count(*) from failures),
            (select count(*) from tags),
            (select count(*) from products),
            (select count(*) from images join products using (sku)),
            (select count(*) from products anti join images using (sku))
        """,
    )
    return LoadSummary(str(db), *counts)


def _refuse_no_match(connection: duckdb.DuckDBPyConnection, feed: Feed) -> None:
    image, found, sku = _one(
        connection,
        """
        select
            (select image from images order by image limit 1),
            (select sku from images order by image limit 1),
            (select sku from products order by sku limit 1)
        """,
    )
    if feed.pattern is None:
        raise FftagError(
            f"no image of the tags file is in the column image of {feed.path}: its paths must be "
            f"like {image!r}; or give --sku-pattern, to find the sku in the path"
        )
    taken = "no sku is found in" if found is None else f"the sku {found!r} is taken from"
    raise FftagError(
        f"no image belongs to a product of {feed.path}: with the pattern {feed.pattern!r}, {taken} "
        f"{image!r}, and the feed has skus like {sku!r}; give another --sku-pattern, with one group"
    )


def _one(connection: duckdb.DuckDBPyConnection, query: str) -> tuple[Any, ...]:
    (row,) = connection.execute(query).fetchall()
    return tuple(row)


def _quoted(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'
