"""The command that joins what several machines tagged."""

from pathlib import Path
from typing import Annotated

import typer

from fftag.cli.base import FollowSymlinks, Json, ListRoot, NoPrevious, app, emit


@app.command()
def merge(
    parts: Annotated[
        list[Path], typer.Argument(help="Tags files that `fftag tag` wrote, such as of shards.")
    ],
    out: Annotated[Path, typer.Option(help="Tags file to write (Parquet).")],
    source: Annotated[
        str | None, typer.Option(help="See that each file has its row; given as it was there.")
    ] = None,
    include: Annotated[
        list[str] | None, typer.Option(help="With --source: as it was given to `fftag tag`.")
    ] = None,
    max_removal_rate: Annotated[
        float,
        typer.Option(min=0, max=1, help="Write nothing if a larger share of --out's rows is gone."),
    ] = 0.5,
    root: ListRoot = None,
    follow_symlinks: FollowSymlinks = False,
    no_previous: NoPrevious = False,
    json_: Json = False,
) -> None:
    """Join tags files of parts of a catalogue, such as of all shards.

    Example: fftag merge shard-1.parquet shard-2.parquet --out tags.parquet --source catalog
    """
    if source is None and (include or root or follow_symlinks):
        raise typer.BadParameter("--include, --root and --follow-symlinks need --source")
    from fftag.photos.sources.choose import choose_source
    from fftag.tagging.merge import merge as run

    chosen = choose_source(source, root, follow_symlinks) if source else None
    merged = run(parts, out, chosen, tuple(include or ()), max_removal_rate, not no_previous)
    emit(merged.to_json(), merged.lines(), json_)
