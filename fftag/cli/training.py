"""The commands that train, judge and prepare models."""

import json
from pathlib import Path
from typing import Annotated

import typer

from fftag.base.machine import cores
from fftag.base.progress import say
from fftag.cli.base import Device, Json, Tier, Workers, app, emit, pairs

NonApparel = Annotated[Path | None, typer.Option(help="Folder of photos known to show no apparel.")]


@app.command()
def train(
    recipe: Annotated[str, typer.Argument(help="A shipped recipe by name, or a TOML file.")],
    data: Annotated[Path, typer.Option(help="Manifest with train and val splits.")],
    out: Annotated[Path, typer.Option(help="Model folder to write, such as runs/NAME.")],
    weights: Annotated[
        str | None,
        typer.Option(
            help="imagenet, none, torchvision's name, a file, a folder, or a name on the hub."
        ),
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Most epochs.")] = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="section.key=value; beats the recipe.")
    ] = None,
    device: Device = "auto",
    workers: Workers = cores(),
    restart: Annotated[
        bool, typer.Option("--restart", help="Train anew over what --out holds.")
    ] = False,
) -> None:
    """Train a model; it ends with a model folder.

    Example: fftag train cnn --data dataset.parquet --out runs/cnn
    """
    from fftag.data.manifest import read_manifest
    from fftag.training.loop import TrainOptions
    from fftag.training.loop import train as run
    from fftag.training.processes import is_first
    from fftag.training.recipe import load_recipe

    settings = pairs(changes or [], "--set")
    if weights is not None:
        settings["model.weights"] = json.dumps(weights)
    if epochs is not None:
        settings["run.epochs"] = str(epochs)
    chosen = load_recipe(recipe, settings)
    bundle = run(chosen, read_manifest(data), out, TrainOptions(device, workers, restart))
    if is_first():
        print(f"model folder: {out} (id {bundle.model_id[:12]})")


@app.command()
def tune(
    model: Annotated[Path, typer.Argument(help="Model folder.")],
    data: Annotated[Path, typer.Option(help="Manifest; its validation split decides.")],
    out: Annotated[Path, typer.Option(help="Model folder to write.")],
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="tags.key=value; see docs/training.md.")
    ] = None,
    device: Device = "auto",
    workers: Workers = cores(),
) -> None:
    """Calibrate a model and choose its thresholds for another objective.

    Example: fftag tune runs/cnn --data d.parquet --out runs/macro --set tags.objective=macro_f1
    """
    from fftag.data.manifest import read_manifest
    from fftag.models.folder import load_bundle
    from fftag.training.tune import tune as run

    settings = pairs(changes or [], "--set")
    bundle = run(load_bundle(model), read_manifest(data), out, settings, device, workers)
    print(f"model folder: {out} (id {bundle.model_id[:12]})")


@app.command()
def quantize(
    model: Annotated[Path, typer.Argument(help="Model folder; its int8 form goes into it.")],
    data: Annotated[Path, typer.Option(help="Manifest; its training split calibrates.")],
    split: Annotated[str, typer.Option(help="Where fp32 and int8 are compared.")] = "val",
    photos: Annotated[int, typer.Option(min=1, help="To calibrate on.")] = 300,
    max_drop: Annotated[
        float, typer.Option(min=0, max=1, help="Keep nothing if macro-F1 falls by more.")
    ] = 0.01,
    seed: Annotated[int, typer.Option(help="Of the draw of photos.")] = 0,
    workers: Workers = cores(),
    json_: Json = False,
) -> None:
    """Give a model an int8 form for CPUs, and measure what it changes.

    Example: fftag quantize runs/cnn --data dataset.parquet
    """
    from fftag.data.manifest import read_manifest
    from fftag.models.folder import load_bundle
    from fftag.training.quantize import quantize as run
    from fftag.training.quantize import report_lines

    bundle = load_bundle(model)
    report = run(bundle, read_manifest(data), split, photos, max_drop, seed, workers)
    emit(report, report_lines(bundle, report), json_)


@app.command()
def screen(
    model: Annotated[Path, typer.Argument(help="Model folder; the screen goes into it.")],
    data: Annotated[Path, typer.Option(help="Manifest of apparel photos: train, val, test.")],
    method: Annotated[str, typer.Option(help="kmeans, neighbour, contrast.")] = "kmeans",
    keep: Annotated[
        float, typer.Option(help="Share of apparel photos that is not turned down.")
    ] = 0.99,
    accept: Annotated[
        float, typer.Option(help="Share of them that needs no look; the rest are for review.")
    ] = 0.95,
    non_apparel: NonApparel = None,
    device: Device = "auto",
    workers: Workers = cores(),
    json_: Json = False,
) -> None:
    """Give a model an apparel screen, which tells photos without any.

    Example: fftag screen runs/cnn --data dataset.parquet --keep 0.995
    """
    from pydantic import ValidationError

    from fftag.data.manifest import read_manifest
    from fftag.models.folder import load_bundle
    from fftag.training.screening import add_screen
    from fftag.training.settings import ScreenSettings

    try:
        settings = ScreenSettings.model_validate({"method": method, "keep": keep, "accept": accept})
    except ValidationError as error:
        raise typer.BadParameter(error.errors()[0]["msg"]) from None
    manifest = read_manifest(data)
    fitted = add_screen(load_bundle(model), manifest, settings, non_apparel, device, workers)
    emit(fitted.to_json(), list(fitted.lines()), json_)


@app.command()
def evaluate(
    model: Annotated[Path, typer.Argument(help="Model folder.")],
    data: Annotated[Path, typer.Option(help="Manifest.")],
    split: Annotated[str, typer.Option(help="train, val, test, or all.")] = "test",
    out: Annotated[
        Path | None, typer.Option(help="Folder for page and figures; by default in the model's.")
    ] = None,
    resamples: Annotated[
        int | None,
        typer.Option(min=1, help="For the intervals; 1,000, or 200 for over 20,000 photos."),
    ] = None,
    non_apparel: NonApparel = None,
    backbone: Annotated[
        str | None,
        typer.Option(help="With --non-apparel: measure embeddings of this architecture too."),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            help="Of the backbone: imagenet (the default), torchvision's name, or a file."
        ),
    ] = None,
    device: Device = "auto",
    tier: Tier = "fast",
    workers: Workers = cores(),
    json_: Json = False,
) -> None:
    """Evaluate a model beside chance and the best constant prediction.

    Example: fftag evaluate runs/cnn --data dataset.parquet --split test
    """
    from fftag.data.manifest import read_manifest
    from fftag.evaluation.evaluate import evaluate_model, summary_lines
    from fftag.models.folder import load_bundle

    if non_apparel is not None and split in ("train", "all"):
        raise typer.BadParameter("--non-apparel measures on photos not trained on: --split test")
    if backbone is not None and non_apparel is None:
        raise typer.BadParameter("--backbone tells photos apart: give --non-apparel DIR too")
    if weights is not None and backbone is None:
        raise typer.BadParameter("--weights are those of a backbone: give --backbone NAME too")
    folder = out or model / f"evaluation-{split}"
    bundle = load_bundle(model)
    manifest = read_manifest(data)
    findings, further = None, []
    if non_apparel is not None:
        from fftag.training.screen_evaluation import Backbone, measure_screen, screen_section

        general = Backbone(backbone, weights or "imagenet") if backbone else None
        findings = measure_screen(bundle, manifest, split, non_apparel, general, device, workers)
        findings.write(folder)
        further = [screen_section(findings)]
    content = evaluate_model(
        bundle, manifest, split, folder, device, workers, resamples, tier, further
    )
    lines = summary_lines(content, folder)
    if findings is not None:
        content["screen"] = findings.content
        lines += findings.lines()
    emit(content, lines, json_)


@app.command()
def compare(
    runs: Annotated[
        list[Path], typer.Argument(help="Model folders; differences are to the first.")
    ],
    split: Annotated[str, typer.Option(help="train, val, test, or all.")] = "test",
    data: Annotated[
        Path | None, typer.Option(help="Manifest, to evaluate models that were not yet.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for compare.html and compare.json.")
    ] = None,
    resamples: Annotated[
        int | None,
        typer.Option(min=1, help="For the intervals; 1,000, or 200 for over 20,000 photos."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the resampling.")] = 0,
    device: Device = "auto",
    workers: Workers = cores(),
    json_: Json = False,
) -> None:
    """Compare evaluated models, and say which differences are chance.

    Example: fftag compare runs/cnn runs/resnet101 --split test --out comparison
    """
    if len(runs) < 2:
        raise typer.BadParameter("give two or more model folders")
    from fftag.evaluation.compare import compare as run
    from fftag.evaluation.compare_page import write_comparison
    from fftag.evaluation.runs import load_runs
    from fftag.models.folder import Bundle

    def evaluate_first(bundle: Bundle, folder: Path) -> None:
        from fftag.data.manifest import read_manifest
        from fftag.evaluation.evaluate import evaluate_model

        if data is not None:
            say(f"evaluating {bundle.path}")
            evaluate_model(bundle, read_manifest(data), split, folder, device, workers)

    loaded = load_runs(runs, split, evaluate_first if data is not None else None)
    compared = run(loaded, resamples, seed)
    lines = compared.lines()
    if out is not None:
        lines.append(f"page: {write_comparison(out, compared)[0]}")
    emit(compared.to_json(), lines, json_)


@app.command()
def models(json_: Json = False) -> None:
    """List the architectures, and what each takes in.

    Example: fftag models
    """
    from fftag.models.architectures.factory import input_spec, names

    sizes = {name: input_spec(name) for name in names()}
    content = {name: {"height": spec.height, "width": spec.width} for name, spec in sizes.items()}
    lines = [f"{name:24} {spec.width} x {spec.height}" for name, spec in sizes.items()]
    lines.append("hugging_face             what its checkpoint takes in (docs/training.md)")
    emit(content, lines, json_)
