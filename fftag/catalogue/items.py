"""Items, and the labels on them: worked out once, for the views to read."""

import duckdb

from fftag.base.resources import sql_folder

TAKEN = frozenset({"first_photo", "item", "item_id", "photos"})
"""Columns of an item that no feed may have under the same name."""


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


def correct_items(connection: duckdb.DuckDBPyConnection, corrected: str) -> None:
    """Works out anew what stands on photos, and on their items, of what reviewers said.

    Args:
        connection: to a database that its corrections have been written to.
        corrected: table of which `content_sha256` names the photos that a correction came or went
            of: all photos of that content, wherever they lie.
    """
    connection.execute(
        f"""
        create or replace temp table corrected_photos as
        select image, run_id, item_id, content_sha256
        from images
        semi join {corrected} using (content_sha256);

        delete from reviewed using corrected_photos
        where reviewed.image = corrected_photos.image
            and reviewed.run_id = corrected_photos.run_id;

        insert into reviewed by name
        select content_sha256, label, shown, corrected_photos.image, run_id
        from corrected_photos
        join latest_corrections using (content_sha256);

        create or replace temp table changed_items as
        select distinct item_id
        from corrected_photos
        where item_id is not null;
        """  # noqa: S608 (a table of ours)
    )
    run_script(connection, "item_labels.sql")


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


def quoted(identifier: str) -> str:
    """A name as SQL has it."""
    return '"' + identifier.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
