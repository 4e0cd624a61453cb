"""The rows of the warehouse: products, images, tags, labels, runs, and which of them count."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import duckdb

from fftag.base.errors import FftagError, first_line
from fftag.base.progress import say
from fftag.catalogue.database import SCHEMA_VERSION
from fftag.catalogue.feed import NO_PHOTOS, Feed
from fftag.catalogue.items import TAKEN, quoted
from fftag.catalogue.label_names import COUNTS, Name, ShownLabel, joined, shown_labels
from fftag.catalogue.options import DATE_PATTERN, DATES, LABELS_BY, LoadOptions
from fftag.catalogue.tags_reader import IMAGE_COLUMNS, TagsFile

DATED = {
    "folder": "try_cast(rpad(nullif(regexp_extract(image, $pattern, 1), ''), 10, '-01') as date)",
    "exif": "taken_at::date",
    "file": "modified_at::date",
}
"""Where dates are from -> the date of an image."""


def fill(
    connection: duckdb.DuckDBPyConnection,
    files: list[TagsFile],
    feeds: dict[str, Feed],
    names: Sequence[Name],
    options: LoadOptions,
) -> None:
    """Fills the empty tables of a new database.

    Args:
        connection: to it.
        files: the tags files.
        feeds: source -> its feed.
        names: what labels are called.
        options: the rules that were given; ours hold besides.

    Raises:
        FftagError: a pattern cannot be used.
    """
    for source, feed in feeds.items():
        _load_products(connection, feed, source)
    for file in files:
        _load_images(connection, file, feeds.get(file.source), options.sku_pattern)
        _load_tags(connection, file, shown_labels(file.run, names))
        _load_run(connection, file)
    _count_runs(connection, bool(options.mix_models))
    _load_labels(connection, files, names)
    dates_from = _date_images(connection, options)
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
            len(tags) as tag_count,
            $source as source,
            $run_id as run_id,
            coalesce(
                photos.sku, nullif(regexp_extract(incoming.image, $pattern::varchar, 1), '')
            ) as sku
        from incoming
        left join photos on photos.image = incoming.image
        """,
        {"source": file.source, "run_id": file.run.run_id, "pattern": pattern},
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


def _load_run(connection: duckdb.DuckDBPyConnection, file: TagsFile) -> None:
    run = file.run
    screen = run.screen or {}
    connection.execute(
        """
        insert into runs
        select
            $run_id, $source, $location, $model_id, $fftag_version, $settings,
            $screen_method, $screen_review, $screen_reject,
            count(*), count(*) filter (status = 'ok'), count(*) filter (status <> 'ok'),
            min(tagged_at), max(tagged_at), now()::timestamp, true
        from images
        where run_id = $run_id
        """,
        {key: getattr(run, key) for key in ("run_id", "model_id", "fftag_version")}
        | {"source": file.source, "location": run.source}
        | {"settings": json.dumps(run.settings, ensure_ascii=False)}
        | {f"screen_{key}": screen.get(key) for key in ("method", "review", "reject")},
    )


def _count_runs(connection: duckdb.DuckDBPyConnection, mix_models: bool) -> None:
    """Of each source the newest run counts; and of all of those, only those of one model."""
    connection.execute(
        """
        update runs set counted = run_id in (
            select arg_max(run_id, coalesce(last_tagged_at, loaded_at)) from runs group by source)
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
