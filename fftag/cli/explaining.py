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
    from contextlib import closing

    from fftag.explain.maps import Explainer
    from fftag.explain.page import write_page_of, write_picture
    from fftag.models.folder import load_bundle
    from fftag.photos.listing import escape
    from fftag.photos.sources.choose import list_source
    from fftag.photos.sources.local import Folder

    if html is None and photo.is_dir():
        raise typer.BadParameter("of a folder, a page is made: give --html DIR")
    if photo.is_dir():
        folder = photo
        images = list_source(Folder(photo)).files["image"].to_pylist()
    else:
        folder, images = photo.parent, [escape(photo.name)]
    with closing(Explainer(load_bundle(model), folder, device)) as explainer:
        if html is None:
            write_picture(explainer, images[0], label or [], out)
            print(out)
        else:
            print(write_page_of(explainer, images, label or [], html))
