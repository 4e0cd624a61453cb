"""The command that shows why."""

from pathlib import Path
from typing import Annotated

import typer

from fftag.cli.base import Device, app


@app.command()
def explain(
    model: Annotated[Path, typer.Argument(help="Model folder.")],
    photo: Annotated[Path, typer.Argument(help="A photo, or a folder of photos.")],
    label: Annotated[
        list[str] | None,
        typer.Option(help="Explain this label; by default the photo's tags. May be repeated."),
    ] = None,
    out: Annotated[Path, typer.Option(help="PNG to write, of one photo.")] = Path("heat.png"),
    html: Annotated[
        Path | None, typer.Option(help="Folder to write one page into, of all photos.")
    ] = None,
    device: Device = "auto",
) -> None:
    """Show what in a photo speaks for its labels, as heat maps.

    Example: fftag explain runs/cnn photo.jpg --label dress --out heat.png
    """
    from fftag.bundle import load_bundle
    from fftag.explain import Explainer
    from fftag.explain_page import write_folder, write_picture

    if html is None and photo.is_dir():
        raise typer.BadParameter("of a folder, a page is made: give --html DIR")
    explainer = Explainer(load_bundle(model), device)
    if html is None:
        write_picture(explainer, photo, label or [], out)
        print(out)
    else:
        print(write_folder(explainer, photo, label or [], html))
