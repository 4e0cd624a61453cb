"""`fftag data`: datasets become manifests, and are looked at."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from fftag.base.machine import cores
from fftag.cli.base import Device, Json, Workers, data_app, emit, pairs

of_tables = partial(typer.Option, rich_help_panel="Of a table")
splitting = partial(typer.Option, rich_help_panel="How it is split")


@data_app.command("import")
def data_import(
    kind: Annotated[
        str,
        typer.Argument(
            metavar="FORMAT",
            help="imaterialist2019, imaterialist2020, fashionpedia, ccp, sheet, table or folders.",
        ),
    ],
    source: Annotated[Path, typer.Argument(help="Where the dataset lies.")],
    out: Annotated[Path, typer.Option(help="Manifest to write (Parquet).")],
    photos: Annotated[
        Path | None, typer.Option(help="Folder of photos, where it is not the format's own.")
    ] = None,
    taxonomy: Annotated[
        str | None, typer.Option(help="fashionpedia, or a TOML file: the label set.")
    ] = None,
    min_photos: Annotated[int, typer.Option(min=0, help="Drop labels on fewer photos.")] = 0,
    allow_missing: Annotated[
        bool,
        typer.Option("--allow-missing", help="Leave out, and name, photos that are missing."),
    ] = False,
    image_column: Annotated[str, of_tables(help="Name of that column.")] = "image",
    labels_column: Annotated[str, of_tables(help="Name of that column.")] = "labels",
    separator: Annotated[str, of_tables(help="Between labels.")] = "|",
    splits: Annotated[str, splitting(help="Shares of train, val, test.")] = "0.8,0.1,0.1",
    seed: Annotated[int, splitting(help="Of the split.")] = 0,
    stratify: Annotated[
        str, splitting(help="source, or a table's column: spread over splits like a label.")
    ] = "source",
    share_scenes: Annotated[
        bool, splitting("--no-near-duplicates", help="Do not keep photos of a scene in one split.")
    ] = False,
    near_distance: Annotated[
        int, splitting(min=0, max=192, help="Bits in which hashes of one scene may differ.")
    ] = 34,
    near_model: Annotated[
        Path | None, splitting(help="Model folder: compare its embeddings too.")
    ] = None,
    near_similarity: Annotated[
        float, splitting(min=-1, max=1, help="Cosine from which embeddings are of one scene.")
    ] = 0.98,
    json_: Json = False,
) -> None:
    """Import a dataset into one manifest, with splits.

    Example: fftag data import table photos.csv --out dataset.parquet
    """
    from fftag.base.atomic import refuse_other
    from fftag.data.importers import ImportOptions, import_dataset
    from fftag.data.manifest import MANIFEST

    try:
        train_share, val_share, test_share = (float(share) for share in splits.split(","))
    except ValueError:
        raise typer.BadParameter(f"--splits takes three numbers, not {splits!r}") from None
    options = ImportOptions(
        taxonomy=taxonomy,
        photos=photos,
        min_photos=min_photos,
        splits=(train_share, val_share, test_share),
        seed=seed,
        allow_missing=allow_missing,
        image_column=image_column,
        labels_column=labels_column,
        separator=separator,
        stratify=stratify,
        near_duplicates=not share_scenes,
        near_distance=near_distance,
        near_model=near_model,
        near_similarity=near_similarity,
    )
    refuse_other(out, MANIFEST)
    report = import_dataset(kind, source, out, options)
    emit(report.content(), report.lines(), json_)


@data_app.command("eda")
def data_eda(
    dataset: Annotated[Path, typer.Argument(help="Manifest.")],
    out: Annotated[Path, typer.Option(help="Folder for the page and its figures.")],
    json_: Json = False,
) -> None:
    """Draw what is in a dataset: labels, how they meet, sample photos.

    Example: fftag data eda dataset.parquet --out eda
    """
    from fftag.data.eda import write_eda
    from fftag.data.manifest import read_manifest

    files = [str(path) for path in write_eda(read_manifest(dataset), out)]
    emit({"files": files}, files, json_)


@data_app.command("review")
def data_review(
    dataset: Annotated[Path, typer.Argument(help="Manifest.")],
    out: Annotated[Path, typer.Option(help="Folder for review.csv, review.html and the folds.")],
    recipe: Annotated[
        str | None, typer.Option(help="Train by folds with this recipe, to score every photo.")
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(help="Score val and test with this model of the same manifest instead."),
    ] = None,
    folds: Annotated[int, typer.Option(min=3, help="Models to train with --recipe.")] = 5,
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="section.key=value; beats the recipe.")
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="Labels to list, the likeliest errors.")] = 100,
    device: Device = "auto",
    workers: Workers = cores(),
    json_: Json = False,
) -> None:
    """List the labels most likely wrong, on a page and as a sheet.

    Example: fftag data review dataset.parquet --recipe small --out review
    """
    if (recipe is None) == (model is None):
        raise typer.BadParameter("give --recipe, to train by folds, or --model, one of the two")
    if changes and recipe is None:
        raise typer.BadParameter("--set changes a recipe: give --recipe")
    from fftag.data.manifest import read_manifest
    from fftag.models.folder import load_bundle
    from fftag.training.label_review import review_by_folds, review_by_model
    from fftag.training.loop import TrainOptions
    from fftag.training.recipe import load_recipe

    manifest, options = read_manifest(dataset), TrainOptions(device, workers)
    if recipe is not None:
        chosen = load_recipe(recipe, pairs(changes or [], "--set"))
        review = review_by_folds(manifest, chosen, out, folds, top, options)
    else:
        assert model is not None
        review = review_by_model(manifest, load_bundle(model), out, top, options)
    emit(review.to_json(), review.lines(), json_)


@data_app.command("correct")
def data_correct(
    dataset: Annotated[Path, typer.Argument(help="Manifest that was reviewed.")],
    sheet: Annotated[
        Path, typer.Option(help="Its review.csv, column correct filled in; or .xlsx.")
    ],
    out: Annotated[Path, typer.Option(help="Manifest to write (Parquet).")],
    json_: Json = False,
) -> None:
    """Write a manifest with the labels corrected in a review's sheet.

    Example: fftag data correct dataset.parquet --sheet review.csv --out corrected.parquet
    """
    from fftag.data.correct import correct_manifest
    from fftag.data.manifest import read_manifest

    report = correct_manifest(read_manifest(dataset), sheet, out)
    emit(report.content(), report.lines(), json_)
