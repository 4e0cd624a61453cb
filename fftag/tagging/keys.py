"""Keys of rows as tables of DuckDB: paths, sizes, times, digests, and the numbers of the rows."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from fftag.base.errors import FftagError, first_line
from fftag.base.machine import cores
from fftag.photos.decode import SALVAGED
from fftag.photos.listing import Listing
from fftag.photos.sources.base import NETWORK
from fftag.tagging.agreement import REVISIONS
from fftag.tagging.known import KnownRows
from fftag.tagging.tags_file import RunInfo

if TYPE_CHECKING:
    import duckdb  # slow to import, and not needed where nothing is known

MEMORY = "512MB"  # what does not fit goes to temporary files
# A file that was written so shortly before it was read may have been written again within the
# same tick of its share's clock (two seconds on FAT): its time proves nothing, its content does.
SECONDS_TOO_FRESH = 10
OF_A_KEY = {
    **dict.fromkeys(("image", "status", "error", "format", "content_sha256"), pa.string()),
    **dict.fromkeys(("file_size", "modified_at", "tagged_at", "width", "height"), pa.int64()),
}

KNOWN = """
    create temp table known (
        number bigint,        -- of the row, through all files
        published boolean,
        image text,           -- null where it is lost
        file_size bigint,
        modified_us bigint,   -- null where it proves nothing
        read_us bigint,
        ok boolean,
        stands boolean,       -- where its file is unchanged
        whole boolean,        -- it failed, or has scores; all others have those of the same content
        digest blob           -- of its content
    )
"""

# Of a batch of rows, `could_change` are those that a setting or a decoder can change which is
# another than it was for them: docs/operations.md has the table. What is not known of before is
# null.
LOAD = """
    with incoming as (
        select *, $was as was, $now as now, width::bigint * height as pixels,
            tagged_at as read_us, modified_at as modified_us  -- in microseconds
        from batch
    ),
    compared as (
        select *,
            coalesce(
                -- --max-pixels
                pixels > now.pixels
                or status = 'too_large' and was.pixels is distinct from now.pixels
                or status in ('unreadable', 'truncated', 'crashed', 'timeout')
                    and coalesce(was.pixels > now.pixels, true)
                -- --max-file-size
                or status <> 'too_large' and file_size > now.file_bytes
                or status = 'too_large' and was.file_bytes is distinct from now.file_bytes
                -- --salvage-truncated
                or (status = 'truncated' or error ^@ $salvaged)
                    and was.salvage is distinct from now.salvage
                -- --timeout
                or status = 'timeout' and was.timeout is distinct from now.timeout
                -- --worker-memory
                or status in ('too_large', 'crashed')
                    and was.worker_memory is distinct from now.worker_memory
                -- a decoder that was mended since
                or list_contains($mended, format)
                or status <> 'ok' and len($mended) > 0,
                false
            ) as could_change
        from incoming
    )
    insert into known
    select
        number, $published, image, file_size,
        case when modified_us < read_us - $fresh then modified_us end,
        read_us,
        status = 'ok',
        $agreeing and status is not null and status <> 'vanished'
            and not coalesce(error ^@ $network, false)
            and not (status <> 'ok' and $retried)
            and not could_change,
        status is not null and (status <> 'ok' or width is not null),
        try(unhex(content_sha256))
    from compared
"""


@contextmanager
def key_database(beside: Path) -> "Iterator[duckdb.DuckDBPyConnection]":
    """DuckDB in memory, for keys; what does not fit lies in temporary files beside a file.

    It opens no file that is named to it, and loads no extension.

    Args:
        beside: the output, on whose disk there is room.

    Raises:
        FftagError: there is not enough room.
    """
    import duckdb

    folder = beside.with_name(f".{beside.name}.keys.tmp")
    settings: dict[str, Any] = {
        "memory_limit": MEMORY,
        "threads": cores(),
        "temp_directory": str(folder),
        "preserve_insertion_order": False,
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }
    try:
        with duckdb.connect(config=settings) as connection:
            connection.execute("set enable_external_access = false")
            yield connection
    except (duckdb.OutOfMemoryException, duckdb.IOException) as error:
        raise FftagError(
            f"cannot compare paths ({first_line(error)}): make room beside {beside}"
        ) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def load_listed(keys: "duckdb.DuckDBPyConnection", listing: Listing) -> None:
    """Makes `listed(ordinal, image, file_size, modified_us)` and `unseen(image)`.

    Rows of the first are those of the listing; nothing of it is copied.
    """
    files = listing.files.append_column("ordinal", pa.array(np.arange(len(listing))))
    keys.register("files", files)
    keys.execute(
        """
        create temp view listed as
        select ordinal, image, size as file_size,
            (modified_ns - ((modified_ns % 1000) + 1000) % 1000) // 1000 as modified_us
        from files
        """
    )
    keys.register("unseen", pa.table({"image": listing.unseen}))


def load_known(
    keys: "duckdb.DuckDBPyConnection",
    known: KnownRows,
    run: RunInfo,
    retry_failed: bool,
    first: int = 0,
) -> None:
    """Makes `known`, a row for each that is there, and reads each of them for damage.

    Args:
        keys: see `key_database`.
        known: what is there.
        run: the one that is to stand beside it.
        retry_failed: whether published rows that failed are read again.
        first: the number of the first row.
    """
    keys.execute(KNOWN)
    now = run.settings
    for file in [*known.files, *known.discarded]:
        published = file is known.published
        agreeing = known.agreeing if published else file not in known.discarded
        was = file.run.settings if file.run is not None else {}
        revisions = was.get(REVISIONS) or {}
        values = {
            "was": _limits(was),
            "now": _limits(now),
            "mended": [
                name for name, revision in now[REVISIONS].items() if revisions.get(name) != revision
            ],
            "published": published,
            "agreeing": agreeing,
            "retried": published and retry_failed,
            "fresh": int(SECONDS_TOO_FRESH * 1_000_000),
            "network": NETWORK,
            "salvaged": SALVAGED,
        }
        whole = file.columns(*OF_A_KEY, look_at_all=True)
        for table in whole if file.run is not None else file.images():
            numbers = pa.array(np.arange(first, first + len(table)))
            keys.register("batch", _completed(table).append_column("number", numbers))
            keys.execute(LOAD, values)
            first += len(table)
    keys.unregister("batch")
    # A run that was killed between its publication and its end has left parts that are published.
    keys.execute(
        """
        delete from known using known as same
        where not known.published and same.published
            and known.image = same.image and known.read_us = same.read_us
        """
    )


def one_row(
    keys: "duckdb.DuckDBPyConnection", query: str, values: dict[str, Any] | None = None
) -> tuple[Any, ...]:
    """What a query with one row for an answer says."""
    row = keys.execute(query, values).fetchone()
    assert row is not None
    return row


def _completed(table: pa.Table) -> pa.Table:
    """The columns of a key: text and int64, null where there are none."""
    there = table.schema.names
    columns = {
        name: table[name].cast(kind) if name in there else pa.nulls(len(table), kind)
        for name, kind in OF_A_KEY.items()
    }
    return pa.table(columns)


def _limits(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that can change single rows, see `LOAD`."""
    limits = settings.get("limits") or {}
    return {
        "pixels": limits.get("pixels"),
        "file_bytes": limits.get("file_bytes"),
        "salvage": limits.get("salvage"),
        "timeout": settings.get("timeout"),
        "worker_memory": settings.get("worker_memory"),
    }
