"""The tables of a catalogue: rows of tags files and feeds, the items and views made of them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from fftag.base.errors import FftagError, first_line
from fftag.base.progress import say
from fftag.base.resources import sql_folder
from fftag.catalogue.database import SCHEMA_VERSION, quoted
from fftag.catalogue.feed import NO_PHOTOS, Feed
from fftag.catalogue.label_names import COUNTS, Name, ShownLabel, joined, shown_labels
from fftag.catalogue.options import DATE_PATTERN, DATES, LABELS_BY, LoadOptions
from fftag.catalogue.seen import record_seen
from fftag.tagging.tags_file import RunInfo, open_tags_file, read_batches, read_run

IMAGE_COLUMNS = [
    *("image", "status", "error", "is_apparel", "apparel_score", "width", "height", "format"),
    *("file_size", "modified_at", "taken_at", "content_sha256", "model_id", "tagged_at", "scores"),
]
TAKEN = frozenset({"first_photo", "item", "item_id", "photos"})
"""Columns of an item that no feed may have under the same name."""
DATED = {
    "folder": "try_cast(rpad(nullif(regexp_extract(image, $pattern, 1), ''), 10, '-01') as date)",
    "exif": "taken_at::date",
    "file": "modified_at::date",
}
"""Where dates are from -> the date of an image."""


@dataclass(frozen=True)
class TagsFile:
    """A tags file that is open.

    Attributes:
        path: of it.
        file: its Parquet.
        run: what it says of the run that wrote it.
        source: the name of what was tagged.
        damage: what was met in the rows that were asked for.
    """

    path: Path
    file: pq.ParquetFile
    run: RunInfo
    source: str
    damage: list[FftagError] = field(default_factory=list)

    def rows(self, columns: list[str]) -> pa.RecordBatchReader:
        """Some columns, a few rows at a time."""
        schema = pa.schema([self.file.schema_arrow.field(column) for column in columns])
        return pa.RecordBatchReader.from_batches(schema, self._batches(columns))

    def _batches(self, columns: list[str]) -> Iterator[pa.RecordBatch]:
        try:
            yield from read_batches(self.path, self.file, columns)
        except FftagError as error:
            self.damage.append(error)  # whoever asks for the rows makes an error of its own of it
            raise


@contextmanager
def open_tags(path: Path, source: str | None = None) -> Iterator[TagsFile]:
    """Opens a tags file.

    Args:
        path: of it.
        source: the name of what was tagged; by default as it was given to `fftag tag`.

    Raises:
        FftagError: it is missing, damaged, or no tags file of this format.
    """
    with open_tags_file(path) as file:
        run = read_run(path, file.schema_arrow)
        yield TagsFile(path, file, run, source or run.source)


def fill_tables(
    connection: duckdb.DuckDBPyConnection,
    files: list[TagsFile],
    feeds: dict[str, Feed],
    names: Sequence[Name],
    options: LoadOptions,
) -> None:
    """Fills the empty tables of a new database.

    Args:
        connection: to it, with what `fftag.catalogue.seen.recall_seen` puts into it.
        files: the tags files.
        feeds: source -> its feed.
        names: what labels are called.
        options: the rules that were given; ours hold besides.

    Raises:
        FftagError: a pattern cannot be used.
    """
    loaded_at = datetime.now(UTC).replace(tzinfo=None)
    for source, feed in feeds.items():
        _load_products(connection, feed, source)
    for file in files:
        _load_images(connection, file, feeds.get(file.source), options.sku_pattern, loaded_at)
        _load_tags(connection, file, shown_labels(file.run, names))
        _load_run(connection, file, loaded_at)
    _count_runs(connection, bool(options.mix_models))
    _load_labels(connection, files, names)
    dates_from = _date_images(connection, options)
    record_seen(connection)
    connection.execute(
        """
        insert into settings
        values ($schema_version, $labels_by, $dates_from, $mixed, $taxonomy, $given)
        """,
        {
            "schema_version": SCHEMA_VERSION,
            "labels_by": options.labels_by or LABELS_BY[0],
            "dates_from": dates_from,
            "mixed": bool(options.mix_models),
            "taxonomy": options.taxonomy,
            "given": json.dumps(options.given, ensure_ascii=False),
        },
    )


def _load_products(connection: duckdb.DuckDBPyConnection, feed: Feed, source: str) -> None:
    known = {column for column, *_ in connection.execute("describe products").fetchall()}
    names = [f"{name}_in_feed" if name in TAKEN else name for name in feed.products.column_names]
    for name in names:
        if name not in known:
            connection.execute(f"alter table products add column {quoted(name)} varchar")
    connection.register("incoming", feed.products.rename_columns(names))
    connection.execute(
        "insert into products by name select $source as source, * from incoming order by sku",
        {"source": source},
    )
    connection.unregister("incoming")
    connection.register("incoming", feed.photos)
    connection.execute(
        """
        insert into product_photos by name
        select $source as source, * from incoming order by image
        """,
        {"source": source},
    )
    connection.unregister("incoming")
    connection.execute(
        "insert into feeds values ($source, $location, $pattern)",
        {"source": source, "location": str(feed.path), "pattern": feed.pattern},
    )


def _load_images(
    connection: duckdb.DuckDBPyConnection,
    file: TagsFile,
    feed: Feed | None,
    sku_pattern: str | None,
    loaded_at: datetime,
) -> None:
    pattern = feed.pattern if feed else sku_pattern
    _check_pattern(connection, pattern, "--sku-pattern")
    connection.register("incoming", file.rows([*IMAGE_COLUMNS, "tags"]))
    connection.register("photos", feed.photos if feed else NO_PHOTOS)
    connection.execute(
        """
        insert into images by name
        select
            incoming.* exclude (tags) replace (
                modified_at::timestamp as modified_at,
                tagged_at::timestamp as tagged_at,
                scores::float[] as scores
            ),
            case when incoming.content_sha256 is not null
                then coalesce(before.first_seen, $loaded_at) end as first_seen,
            len(tags) as tag_count,
            $source as source,
            $run_id as run_id,
            coalesce(
                photos.sku, nullif(regexp_extract(incoming.image, $pattern::varchar, 1), '')
            ) as sku
        from incoming
        left join photos on photos.image = incoming.image
        left join photos_before as before on before.content_sha256 = incoming.content_sha256
        """,
        {
            "source": file.source,
            "run_id": file.run.run_id,
            "pattern": pattern,
            "loaded_at": loaded_at,
        },
    )
    connection.unregister("incoming")
    connection.unregister("photos")


def _load_tags(
    connection: duckdb.DuckDBPyConnection, file: TagsFile, labels: list[ShownLabel]
) -> None:
    shown = sorted({(one.label, one.group) for one in labels})
    place = {key: number for number, key in enumerate(shown, 1)}
    places: dict[str, dict[str, int]] = {}  # the model's group -> its name -> place
    for one in labels:
        places.setdefault(one.key[0], {})[one.key[1]] = place[one.label, one.group]
    connection.register("incoming", file.rows(["image", "tags"]))
    # Two names of a model may be shown as one: then it is one tag, with the better score.
    connection.execute(
        """
        insert into tags by name
        select image, $groups[place] as "group", $labels[place] as label, score, $run_id as run_id
        from (
            select
                image,
                coalesce(
                    $places[tag."group"][tag.label], error('a tag is of no label of the file')
                ) as place,
                max(tag.score) as score
            from (select image, unnest(tags) as tag from incoming)
            group by all
        )
        order by place, image
        """,
        {
            "run_id": file.run.run_id,
            "groups": [group for _, group in shown],
            "labels": [label for label, _ in shown],
            "places": _as_map({group: _as_map(of) for group, of in places.items()}),
        },
    )
    connection.unregister("incoming")


def _as_map(of: Mapping[str, Any]) -> dict[str, list[Any]]:
    """A mapping as DuckDB takes one."""
    return {"key": list(of), "value": list(of.values())}


def _load_run(connection: duckdb.DuckDBPyConnection, file: TagsFile, loaded_at: datetime) -> None:
    run = file.run
    screen = run.screen or {}
    connection.execute(
        """
        insert into runs
        select
            $run_id, $source, $location, $model_id, $fftag_version, $settings,
            $screen_method, $screen_review, $screen_reject,
            count(*), count(*) filter (status = 'ok'), count(*) filter (status <> 'ok'),
            min(tagged_at), max(tagged_at), $loaded_at, true
        from images
        where run_id = $run_id
        """,
        {key: getattr(run, key) for key in ("run_id", "model_id", "fftag_version")}
        | {"source": file.source, "location": run.source, "loaded_at": loaded_at}
        | {"settings": json.dumps(run.settings, ensure_ascii=False)}
        | {f"screen_{key}": screen.get(key) for key in ("method", "review", "reject")},
    )


def _count_runs(connection: duckdb.DuckDBPyConnection, mix_models: bool) -> None:
    """Of each source the newest run counts; and of all of those, only those of one model."""
    connection.execute(
        """
        update runs set counted = run_id in (select newest_runs.run_id from newest_runs)
        """
    )
    if mix_models:
        return
    connection.execute(
        """
        update runs set counted = false
        where model_id <> (
            select arg_max(model_id, coalesce(last_tagged_at, loaded_at)) from runs)
        """
    )
    left_out = connection.execute(
        """
        select source, any_value(model_id) from runs group by source
        having not bool_or(counted) order by source
        """
    ).fetchall()
    for source, model in left_out:
        say(
            f"source {source} is not counted: it was tagged by another model ({model[:12]}); "
            "tag it anew with this one, or load with --mix-models"
        )


def _load_labels(
    connection: duckdb.DuckDBPyConnection, files: list[TagsFile], names: Sequence[Name]
) -> None:
    models = {file.run.model_id: shown_labels(file.run, names) for file in files}
    for model_id, labels in models.items():
        connection.executemany(
            """
            insert into model_labels
            values (
                $model_id, $position, $model_group, $name, $group, $label, $threshold,
                $tp, $fp, $fn, $tn)
            """,
            [
                {
                    "model_id": model_id,
                    "position": one.position,
                    "model_group": one.key[0],
                    "name": one.key[1],
                    "group": one.group,
                    "label": one.label,
                    "threshold": one.threshold,
                }
                | {key: one.counts.get(key) for key in COUNTS}
                for one in labels
                if one.position is not None
            ],
        )
    counted = connection.execute("select distinct model_id from runs where counted").fetchall()
    connection.executemany(
        """
        insert into labels
        select
            $position, $group, $label, $kind, $parent, $threshold, $tp, $fp, $fn, $tn,
            $tp / nullif($tp + $fn, 0), $tn / nullif($tn + $fp, 0)
        """,
        joined([models[model_id] for (model_id,) in counted]),
    )
    if names:
        connection.executemany(
            "insert into label_names values ($label, $group, $name, $language)",
            [vars(one) for one in names],
        )


def _date_images(connection: duckdb.DuckDBPyConnection, options: LoadOptions) -> str:
    """Gives each image its date, unless dates are the feed's; returns where they are from."""
    chosen = options.dates or DATES[0]
    pattern = options.date_pattern or DATE_PATTERN
    _check_pattern(connection, pattern, "--date-pattern")
    values = {"pattern": pattern}
    if chosen == "auto":
        dated = "select count(*) from products where listed_at is not null"
        in_folders = f"select count(*) from images where {DATED['folder']} is not null"  # noqa: S608
        by_folder = not _count(connection, dated) and _count(connection, in_folders, values)
        chosen = "folder" if by_folder else "feed"
    if chosen != "feed":
        connection.execute(
            f"update images set dated = {DATED[chosen]}",  # noqa: S608 (ours)
            values if chosen == "folder" else {},
        )
        if not _count(connection, "select count(*) from images where dated is not null"):
            say(f"no image has a date by --dates {chosen}: there will be no trends")
    return chosen


def _count(
    connection: duckdb.DuckDBPyConnection, query: str, values: dict[str, Any] | None = None
) -> int:
    return int(connection.execute(query, values or {}).fetchall()[0][0])


def _check_pattern(connection: duckdb.DuckDBPyConnection, pattern: str | None, flag: str) -> None:
    if pattern is None:
        return
    try:
        connection.execute("select regexp_extract('', $p, 1)", {"p": pattern}).fetchall()
    except duckdb.Error as error:
        reason = first_line(error)
        raise FftagError(f"{flag} {pattern!r} cannot be used: {reason}") from error


def run_script(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    """Runs one of the files in sql/."""
    connection.execute((sql_folder() / name).read_text(encoding="utf-8"))


def make_items(connection: duckdb.DuckDBPyConnection) -> None:
    """Works out the items of a database that has been filled, and makes the views on them."""
    run_script(connection, "items.sql")
    connection.execute("create temp table changed_items as select item_id from all_items")
    run_script(connection, "item_labels.sql")
    for view in _chosen(connection):
        connection.execute(view)
    run_script(connection, "views.sql")


def _chosen(connection: duckdb.DuckDBPyConnection) -> tuple[str, str]:
    """The views `chosen_items` and `chosen_files`: what the filters of products leave.

    A file is its product's; one of no product has its source and its date alone. A condition per
    column costs nothing where the variable does not name it: DuckDB folds it away.
    """
    columns = [name for name, *_ in connection.execute("describe all_items").fetchall()]
    asked = "cast(getvariable('filters') as map(varchar, varchar[]))"

    def left(own: dict[str, str]) -> str:
        of = {name: f"all_items.{quoted(name)}" for name in columns if name not in TAKEN} | own
        conditions = [
            f"({asked}[{_text(name)}] is null "
            f"or list_contains({asked}[{_text(name)}], {column}::varchar))"
            for name, column in of.items()
        ]
        conditions += [
            f"(getvariable('{end}') is null or {of['listed_at']} {than} getvariable('{end}')::date)"
            for end, than in (("since", ">="), ("until", "<="))
        ]
        return " and ".join(conditions)

    of_file = {
        "source": "images.source",
        "sku": "images.sku",
        "listed_at": "coalesce(all_items.listed_at, images.dated)",
    }
    # Two ways to the same rows: all of them where no product is left out, which needs no join.
    whole = " and ".join(f"getvariable('{name}') is null" for name in ("filters", "since", "until"))
    return (
        f"create view chosen_items as select * from all_items where {left({})}",  # noqa: S608
        f"""
        create view chosen_files as
        select * from images where {whole}
        union all
        select images.*
        from images
        left join all_items on all_items.source = images.source and all_items.sku = images.sku
        where not ({whole}) and {left(of_file)}
        """,  # noqa: S608 (quoted)
    )


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
