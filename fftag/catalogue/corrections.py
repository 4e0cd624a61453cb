"""What reviewers said: a file of its own beside the catalogue, and the catalogue's copy of it.

The file, `catalog.duckdb.corrections.parquet`, is the truth. It keeps every answer that was given,
withdrawals too, and outlives the catalogue, which each load builds anew. The table `corrections`
holds what stands of it, for whoever opens the catalogue alone.
"""

from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from fftag.base.atomic import replacing
from fftag.base.errors import FftagError, first_line
from fftag.base.progress import say
from fftag.catalogue.database import corrections_file, damaged, version_of
from fftag.catalogue.tables import run_script

SAID = pa.schema(
    {
        "content_sha256": pa.string(),
        "group": pa.string(),
        "label": pa.string(),
        "verdict": pa.string(),
        "reviewed_at": pa.timestamp("us"),
        "reviewer": pa.string(),
        "image": pa.string(),
        "source": pa.string(),
        "sku": pa.string(),
    }
)
"""The columns of the file and of the table `corrections`; docs/warehouse.md describes them."""
NOTHING_SAID = SAID.empty_table()


def gather(connection: duckdb.DuckDBPyConnection, db: Path, copy: pa.Table) -> None:
    """Makes the temporary table `said`: all that was ever said, by the file and by a catalogue.

    What only the catalogue has was said to an older fftag, or the file was lost, or put back from a
    backup. What is said now is added to the table before `keep`.

    Args:
        connection: to the catalogue that is written.
        db: where it is going to lie.
        copy: the corrections in the catalogue that lies there now.

    Raises:
        FftagError: the file cannot be read, or is none of this fftag.
    """
    connection.register("in_file", _read(corrections_file(db)))
    connection.register("in_catalogue", copy)
    connection.execute(
        "create temp table said as from in_file union by name select * from in_catalogue"
    )
    only_there = connection.sql("from in_catalogue except from in_file").shape[0]
    connection.unregister("in_file")
    connection.unregister("in_catalogue")
    if only_there:
        say(f"{only_there:,} corrections that only {db} had go to {corrections_file(db)}")


def keep(connection: duckdb.DuckDBPyConnection, db: Path) -> None:
    """Writes `said` (see `gather`) to the file, and brings the catalogue's copy up to date with it.

    The caller keeps others out (`fftag.base.atomic.changing`) from `gather` until the catalogue is
    in its place. Killed in between, the file is ahead of it until the next load or answer.

    Raises:
        FftagError: the file cannot be written.
    """
    file = corrections_file(db)
    said = connection.sql(
        "from said order by reviewed_at nulls first, content_sha256, label, verdict"
    ).to_arrow_table()
    if said.num_rows > _read(file).num_rows:
        with replacing(file) as temporary:
            pq.write_table(said.cast(SAID), temporary, compression="zstd")
    connection.execute(STANDING)
    _correct_photos(connection)


STANDING = """
    create temp table standing as
    with named as (
        select *, shown_label(label) as name
        from said
    ),

    placed as (
        select *, shown_group("group", name) as place
        from named
    ),

    latest as (
        from placed
        qualify row_number() over (
            partition by coalesce(content_sha256, source || '/' || image), place, name
            order by reviewed_at desc nulls last, verdict) = 1
    )

    select * exclude (name, place)
    from latest
    where verdict <> 'withdrawn';

    create temp table corrected as
    select distinct content_sha256
    from (
        (from standing except from corrections)
        union all (from corrections except from standing));

    delete from corrections;

    insert into corrections by name
    from standing
    order by content_sha256, label;
"""


def _correct_photos(connection: duckdb.DuckDBPyConnection) -> None:
    """Works out anew what stands on photos, and on their items, of the contents in `corrected`."""
    connection.execute(
        """
        create temp table corrected_photos as
        select image, run_id, item_id, content_sha256
        from images
        semi join corrected using (content_sha256);

        delete from reviewed using corrected_photos
        where reviewed.image = corrected_photos.image
            and reviewed.run_id = corrected_photos.run_id;

        insert into reviewed by name
        select content_sha256, "group", label, shown, corrected_photos.image, run_id
        from corrected_photos
        join latest_corrections using (content_sha256);

        create or replace temp table changed_items as
        select distinct item_id
        from corrected_photos
        where item_id is not null;
        """
    )
    run_script(connection, "item_labels.sql")


def _read(file: Path) -> pa.Table:
    try:
        with file.open("rb") as content:
            table = pq.read_table(content)
    except FileNotFoundError:
        return NOTHING_SAID
    except OSError as error:
        raise FftagError(f"cannot read {file}: {error.strerror or first_line(error)}") from error
    except pa.ArrowException as error:
        raise FftagError(
            f"{file} is damaged: restore it from a copy, or move it away to go on with the "
            f"corrections that the catalogue has ({first_line(error)})"
        ) from error
    if table.schema.names != SAID.names:
        raise FftagError(
            f"{file} is no file of corrections of this fftag: upgrade fftag, or move it away"
        )
    return table.cast(SAID)


def corrections_in(old: duckdb.DuckDBPyConnection, db: Path) -> pa.Table:
    """The copy of its corrections that a catalogue has, of whatever version.

    Before version 3 it was no copy, and a correction was of a label without its group; in version 1
    it was of a path, and goes to the content that lay there.

    Raises:
        FftagError: it cannot be read.
    """
    try:
        version = version_of(old, db)
        there = old.execute("from duckdb_tables() where table_name = 'corrections'").fetchall()
        if not there:
            return NOTHING_SAID
        query = "from corrections" if version >= 3 else BEFORE_3.format(said=BY_CONTENT[version])
        return old.sql(query).to_arrow_table().select(SAID.names).cast(SAID)
    except duckdb.Error as error:
        raise FftagError(damaged(db, error)) from error


BY_CONTENT = {
    1: """
        select corrections.*, contents.content_sha256
        from corrections
        left join (
            select image, source, arg_max(content_sha256, tagged_at) as content_sha256
            from images
            where content_sha256 is not null
            group by image, source
        ) as contents
            on contents.image = corrections.image and contents.source = corrections.source
    """,
    2: "from corrections",
}
BEFORE_3 = """
    with said as ({said}),

    products_of as (
        select image, source, any_value(sku) as sku
        from images
        group by image, source
    )

    select
        said.* exclude (shown),
        coalesce(labels."group", 'labels') as "group",
        case when said.shown then 'is' else 'not' end as verdict,
        products_of.sku
    from said
    left join labels on labels.label = said.label
    left join products_of
        on products_of.image = said.image and products_of.source = said.source
"""
