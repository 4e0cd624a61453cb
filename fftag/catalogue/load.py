"""Tags files and product feeds -> one DuckDB file, built beside the old one and swapped in."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from fftag.base.atomic import changing, replacing
from fftag.base.errors import FftagError, first_line
from fftag.base.progress import say
from fftag.catalogue.corrections import NOTHING_SAID, corrections_in, gather, keep
from fftag.catalogue.database import held, replaceable, writable
from fftag.catalogue.feed import Feed, by_pattern, open_feed
from fftag.catalogue.label_names import read_taxonomy
from fftag.catalogue.options import (
    LastLoad,
    LoadOptions,
    Named,
    flag,
    loaded_at,
    read_last_load,
)
from fftag.catalogue.seen import recall_seen
from fftag.catalogue.tables import (
    TagsFile,
    fill_tables,
    make_items,
    open_tags,
    run_script,
)

STORAGE = "v1.2.0"  # older releases of DuckDB open it too
MEMORY = "2GB"  # what sorting the tags may take before it goes on in a temporary file


@dataclass(frozen=True)
class LoadSummary:
    """What a load put into the database.

    Attributes:
        db: the file.
        images: rows of `images`, which is rows of the tags files.
        tagged: of them, those that could be read.
        failed: the others, which are rows of `failures` too.
        tags: rows of `tags`.
        products: rows of `products`; 0 without a feed.
        joined: images that belong to a product of the feed.
        without_photo: products that no image belongs to.
        dates_from: where the dates of items are from.
        not_counted: images of runs that stand in the database and are not counted.
        corrections: what reviewers said, carried over.
        orphaned: of it, what was said of a content that no photo has now.
    """

    db: str
    images: int
    tagged: int
    failed: int
    tags: int
    products: int
    joined: int
    without_photo: int
    dates_from: str
    not_counted: int
    corrections: int
    orphaned: int

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
        if self.not_counted:
            lines.append(
                f"  {self.not_counted:,} images are of runs that are not counted: older ones, or "
                "of another model"
            )
        if self.corrections:
            kept = f"; {self.orphaned:,} are of photos that are not there now, and are kept"
            lines.append(
                f"  {self.corrections:,} corrections of reviewers{kept if self.orphaned else ''}"
            )
        return lines


def load(
    tags: Path | Sequence[Named],
    db: Path,
    products: Path | Sequence[Named] | None = None,
    options: LoadOptions = LoadOptions(),
) -> LoadSummary:
    """Builds the database from tags files and, if given, product feeds.

    Readers of the old file keep reading it; the new one takes its place whole, or not at all. Of
    each source the newest run is counted; a source whose newest run is of another model than the
    newest of all is left out of the counts, unless models are to be mixed. Corrections of reviewers
    lie in a file of their own (`fftag.catalogue.corrections`). Of the old database its feeds, names
    of labels and rules hold where this load is not given others, and it is kept when photos and
    products were seen.

    Args:
        tags: files that `fftag tag` wrote.
        db: the DuckDB file to write.
        products: feeds (see `fftag.catalogue.feed`). A feed's column `image`, if it has one and no
            pattern is given, joins by path; otherwise its `sku` is looked for in the path.
        options: the rules.

    Raises:
        FftagError: a file is not what it should be, what is to be replaced is no catalogue or
            cannot be read, no image belongs to a product, or the database cannot be written.
    """
    named = [Named(tags)] if isinstance(tags, Path) else list(tags)
    feeds = [Named(products)] if isinstance(products, Path) else list(products or [])
    if options.columns and not feeds:
        raise FftagError("--column says what a feed calls its columns: give the feed, --products")
    last = _last_load(db, options)
    given = LoadOptions(**{**last.given, **options.given})
    names = last.names
    if options.taxonomy or names is None:
        names = read_taxonomy(given.taxonomy)
    with ExitStack() as stack:
        files = [stack.enter_context(open_tags(one.path, one.source)) for one in named]
        opened = _feeds(files, feeds, given)
        sources = list(dict.fromkeys(file.source for file in files))
        kept = last.feeds_of(sources, opened)
        if options.sku_pattern:
            kept = {source: by_pattern(feed, options.sku_pattern) for source, feed in kept.items()}
        _say_kept(last, options, kept)
        opened |= kept
        # What a reviewer says while this builds is in its file by the time that nobody else writes.
        with ExitStack() as until_swapped, replacing(db) as temporary:
            try:
                with _database(temporary) as connection:
                    recall_seen(connection, db, last.renamed(sources))
                    fill_tables(connection, files, opened, names, given)
                    make_items(connection)
                    until_swapped.enter_context(changing(db))
                    old = until_swapped.enter_context(held(db))
                    if old is not None:
                        _refuse_newer(old, last, db)
                    copy = NOTHING_SAID if old is None else corrections_in(old, db)
                    gather(connection, db, copy)
                    keep(connection, db)
                    summary = _summary(connection, db)
                    if opened and summary.images and not summary.joined:
                        _refuse_no_match(connection, opened)
            except (duckdb.Error, pa.ArrowException) as error:
                damage = next((one for file in files for one in file.damage), None)
                if damage is not None:
                    raise damage from error
                reason = first_line(error)
                paths = ", ".join(str(one.path) for one in named)
                raise FftagError(f"cannot build {db} from {paths}: {reason}") from error
    return summary


def _last_load(db: Path, options: LoadOptions) -> LastLoad:
    """What was given to the load before; what cannot be replaced is refused before all work."""
    with replaceable(db) as old:
        return LastLoad() if old is None else read_last_load(old, db, options.fresh)


def _refuse_newer(old: duckdb.DuckDBPyConnection, last: LastLoad, db: Path) -> None:
    """Sees that no other load has taken the place of the one of which something is kept."""
    if loaded_at(old) != last.loaded_at:
        raise FftagError(f"another load has replaced {db} meanwhile: load once more")


def _say_kept(last: LastLoad, options: LoadOptions, feeds: Mapping[str, Feed]) -> None:
    """Says what holds although this load was not given it."""
    kept = [f"{feed.products.num_rows:,} products of {feed.path}" for feed in feeds.values()]
    kept += [
        flag(name, value)
        for name, value in last.given.items()
        if name not in options.given and not (name == "columns" and feeds)
    ]
    if kept:
        say(f"as in the last load: {'; '.join(kept)} (`fftag load --fresh` goes without)")


def _feeds(files: list[TagsFile], feeds: list[Named], options: LoadOptions) -> dict[str, Feed]:
    """The feed of each source."""
    sources = list(dict.fromkeys(file.source for file in files))
    ids = [file.run.run_id for file in files]
    if len(set(ids)) < len(ids):
        raise FftagError("a run is given twice: name each tags file once")
    found: dict[str, Feed] = {}
    for feed in feeds:
        if feed.source is None and len(sources) > 1:
            raise FftagError(
                f"{feed.path} could belong to {len(sources)} sources: say to which, as in "
                f"--products '{sources[0]}={feed.path}'"
            )
        source = feed.source or sources[0]
        if source not in sources:
            raise FftagError(
                f"{feed.path} is of source {source!r}, of which there are no tags: there are "
                f"{', '.join(sources)}; name the tags file's source as in {source}=tags.parquet"
            )
        if source in found:
            raise FftagError(f"source {source!r} has two feeds: join them into one")
        found[source] = open_feed(feed.path, options.sku_pattern, options.columns)
    return found


@contextmanager
def _database(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A new database with the tables and macros; whatever it is fed, it opens no other file."""
    config = {"storage_compatibility_version": STORAGE, "memory_limit": MEMORY}
    with writable(path, config) as connection:
        connection.execute("set timezone = 'UTC'")
        for name in ("schema.sql", "macros.sql", "photos.sql"):
            run_script(connection, name)
        yield connection


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
            (select count(*) from images join products using (source, sku)),
            (select count(*) from products anti join images using (source, sku)),
            (select dates_from from settings),
            (select coalesce(sum(files), 0)::bigint from runs where not counted),
            (select count(*) from corrections),
            (select count(*) from orphaned_corrections)
        """,
    )
    return LoadSummary(str(db), *counts)


def _refuse_no_match(connection: duckdb.DuckDBPyConnection, feeds: dict[str, Feed]) -> None:
    source, feed = next(iter(feeds.items()))
    image, found, sku = _one(
        connection,
        """
        select
            (select image from images where source = $source order by image limit 1),
            (select sku from images where source = $source order by image limit 1),
            (select sku from products where source = $source order by sku limit 1)
        """,
        {"source": source},
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


def _one(
    connection: duckdb.DuckDBPyConnection, query: str, values: dict[str, Any] | None = None
) -> tuple[Any, ...]:
    (row,) = connection.execute(query, values or {}).fetchall()
    return tuple(row)
