"""The command that opens the app."""

from pathlib import Path
from typing import Annotated

import typer

from fftag.cli.base import RUNS, app


@app.command("app")
def open_app(
    model: Annotated[
        Path | None,
        typer.Option(envvar="FFTAG_MODEL", help="Model folder, beside those under --runs."),
    ] = None,
    db: Annotated[
        Path | None, typer.Option(envvar="FFTAG_DB", help="DuckDB file of the catalogue.")
    ] = None,
    photos: Annotated[
        list[str] | None,
        typer.Option(help="Folder that was tagged, where it moved; or NAME=FOLDER of one source."),
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Manifest to look at.")] = None,
    runs: Annotated[Path, typer.Option(help="Folder of model folders.")] = RUNS,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8501,
) -> None:
    """Open the app in a browser: tag, look, correct, compare.

    Example: fftag app --model runs/cnn --db catalog.duckdb
    """
    from fftag.app.launch import is_loopback, start
    from fftag.app.settings import Settings
    from fftag.catalogue.options import Named

    folders = [Named.parse(text) for text in photos or []]
    settings = Settings(
        model,
        db,
        {one.source or "": one.path for one in folders},
        data,
        runs,
        is_loopback(host),
    )
    start(settings, host, port)
