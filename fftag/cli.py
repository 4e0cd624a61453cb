"""The command line: parse, call one function, print. Heavy imports stay inside the commands."""

import json
import shlex
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, NoReturn

import typer

from fftag import __version__
from fftag.errors import INTERRUPTED, FftagError
from fftag.machine import cores
from fftag.progress import say

app = typer.Typer(
    name="fftag",
    help="Tag fashion photos by the million, and ask the catalogue in SQL.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
data_app = typer.Typer(no_args_is_help=True, help="Turn datasets into manifests, and look at them.")
app.add_typer(data_app, name="data")

RUNS = Path("runs")
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Device = Annotated[str, typer.Option(envvar="FFTAG_DEVICE", help="auto, cpu, cuda, cuda:1, mps.")]
Workers = Annotated[
    int,
    typer.Option(min=0, envvar="FFTAG_WORKERS", help="Decoding processes; 0 decodes in this one."),
]
Tier = Annotated[
    str,
    typer.Option(
        envvar="FFTAG_TIER",
        help="exact (fp32, JPEGs decoded in full), fast (half precision where the device has it), "
        "or int8 (of a model that `fftag quantize` made so).",
    ),
]
Backend = Annotated[
    str,
    typer.Option(
        envvar="FFTAG_BACKEND",
        help="torch, openvino, or auto: OpenVINO on a CPU where it is installed.",
    ),
]
Compiled = Annotated[
    bool | None,
    typer.Option(
        "--compile/--no-compile",
        help="Compile the network first, with torch; by default from 10,000 photos on a CPU.",
        show_default=False,
    ),
]
BatchSize = Annotated[
    int | None,
    typer.Option(min=1, help="Photos per batch; by default as the device likes it."),
]
ModelFolder = Annotated[
    Path | None,
    typer.Option(envvar="FFTAG_MODEL", help="Model folder; by default the newest under runs/."),
]
SkuPattern = Annotated[
    str | None, typer.Option(help="Regex with one group: the sku in an image's path.")
]
SOURCE = (
    "A folder, a list (@photos.txt, .csv or .parquet), archives (shard.tar, photos.zip, "
    "'shards/*.tar') or a URL (s3://bucket/photos)"
)
ListRoot = Annotated[
    Path | None,
    typer.Option(help="Of a list: the folder that its paths are below; by default its own."),
]
FollowSymlinks = Annotated[
    bool, typer.Option(help="Follow symbolic links that stay below the folder.")
]


def main() -> NoReturn:
    """Runs the command line; an error is one line on standard error, and an exit code."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        app()
    except FftagError as error:
        print(f"fftag: {error}", file=sys.stderr)
        if error.exit_code == INTERRUPTED:
            print(f"  {shlex.join(['fftag', *sys.argv[1:]])}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    except SystemExit as end:
        if end.code == INTERRUPTED:
            say("fftag: interrupted; the same command goes on where this one stopped")
        raise
    raise SystemExit(0)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"fftag {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print it.")
    ] = False,
) -> None:
    pass


def _emit(content: dict[str, Any], lines: list[str], as_json: bool) -> None:
    print(json.dumps(content, indent=1, ensure_ascii=False) if as_json else "\n".join(lines))


def _model(folder: Path | None) -> Any:
    from fftag.bundle import load_bundle, newest_model

    if folder is None:
        folder = newest_model(RUNS)
        say(f"model: {folder}")
    return load_bundle(folder)


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
    splits: Annotated[str, typer.Option(help="Shares of train, val, test.")] = "0.8,0.1,0.1",
    seed: Annotated[int, typer.Option(help="Of the split.")] = 0,
    allow_missing: Annotated[bool, typer.Option(help="Leave out photos that are missing.")] = False,
    image_column: Annotated[str, typer.Option(help="Of a table.")] = "image",
    labels_column: Annotated[str, typer.Option(help="Of a table.")] = "labels",
    separator: Annotated[str, typer.Option(help="Between a table's labels.")] = "|",
    stratify: Annotated[
        str, typer.Option(help="source, or a table's column: spread over splits like a label.")
    ] = "source",
    near_duplicates: Annotated[
        bool, typer.Option(help="Keep photos of one scene in one split.")
    ] = True,
    near_distance: Annotated[
        int, typer.Option(min=0, max=192, help="Bits in which hashes of one scene may differ.")
    ] = 30,
    near_model: Annotated[
        Path | None, typer.Option(help="Model folder: compare its embeddings too.")
    ] = None,
    near_similarity: Annotated[
        float, typer.Option(min=-1, max=1, help="Cosine from which embeddings are of one scene.")
    ] = 0.98,
    json_: Json = False,
) -> None:
    """Import a dataset into one manifest, with splits.

    Example: fftag data import table photos.csv --out dataset.parquet
    """
    from fftag.datasets.importers import ImportOptions, import_dataset

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
        near_duplicates=near_duplicates,
        near_distance=near_distance,
        near_model=near_model,
        near_similarity=near_similarity,
    )
    report = import_dataset(kind, source, out, options)
    _emit(report.content(), report.lines(), json_)


@data_app.command("eda")
def data_eda(
    dataset: Annotated[Path, typer.Argument(help="Manifest.")],
    out: Annotated[Path, typer.Option(help="Folder for the page and its figures.")],
    json_: Json = False,
) -> None:
    """Draw what is in a dataset: labels, how they meet, sample photos.

    Example: fftag data eda dataset.parquet --out eda
    """
    from fftag.datasets.eda import write_eda
    from fftag.datasets.manifest import read_manifest

    files = [str(path) for path in write_eda(read_manifest(dataset), out)]
    _emit({"files": files}, files, json_)


@data_app.command("review")
def data_review(
    dataset: Annotated[Path, typer.Argument(help="Manifest.")],
    out: Annotated[Path, typer.Option(help="Folder for review.csv, review.html and the folds.")],
    recipe: Annotated[
        str | None, typer.Option(help="Train by folds with this recipe, to score every photo.")
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(help="Score val and test with this model, trained on the same manifest."),
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
    """List the labels most likely wrong, as a page and as a sheet to correct.

    Example: fftag data review dataset.parquet --recipe small --out review
    """
    if (recipe is None) == (model is None):
        raise typer.BadParameter("give --recipe, to train by folds, or --model, one of the two")
    if changes and recipe is None:
        raise typer.BadParameter("--set changes a recipe: give --recipe")
    from fftag.bundle import load_bundle
    from fftag.datasets.manifest import read_manifest
    from fftag.training.loop import TrainOptions
    from fftag.training.recipe import load_recipe
    from fftag.training.review import review_by_folds, review_by_model

    manifest, options = read_manifest(dataset), TrainOptions(device, workers)
    if recipe is not None:
        chosen = load_recipe(recipe, _pairs(changes or [], "--set"))
        review = review_by_folds(manifest, chosen, out, folds, top, options)
    else:
        assert model is not None
        review = review_by_model(manifest, load_bundle(model), out, top, options)
    _emit(review.to_json(), review.lines(), json_)


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
    from fftag.datasets.correct import correct_manifest
    from fftag.datasets.manifest import read_manifest

    report = correct_manifest(read_manifest(dataset), sheet, out)
    _emit(report.content(), report.lines(), json_)


@app.command()
def train(
    recipe: Annotated[str, typer.Argument(help="A shipped recipe by name, or a TOML file.")],
    data: Annotated[Path, typer.Option(help="Manifest with train and val splits.")],
    out: Annotated[Path, typer.Option(help="Model folder to write, such as runs/NAME.")],
    weights: Annotated[
        str | None, typer.Option(help="imagenet, none, torchvision's name, a file or a folder.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Most epochs.")] = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="section.key=value; beats the recipe.")
    ] = None,
    device: Device = "auto",
    workers: Workers = cores(),
    restart: Annotated[bool, typer.Option(help="Train anew over what --out holds.")] = False,
) -> None:
    """Train a model; it ends with a model folder.

    Example: fftag train cnn --data dataset.parquet --out runs/cnn
    """
    from fftag.datasets.manifest import read_manifest
    from fftag.training.loop import TrainOptions
    from fftag.training.loop import train as run
    from fftag.training.processes import is_first
    from fftag.training.recipe import load_recipe

    settings = _pairs(changes or [], "--set")
    if weights is not None:
        settings["model.weights"] = json.dumps(weights)
    if epochs is not None:
        settings["run.epochs"] = str(epochs)
    chosen = load_recipe(recipe, settings)
    bundle = run(chosen, read_manifest(data), out, TrainOptions(device, workers, restart))
    if is_first():
        print(f"model folder: {out} (id {bundle.model_id[:12]})")


def _pairs(items: list[str], option: str) -> dict[str, str]:
    pairs = {}
    for item in items:
        key, equals, value = item.partition("=")
        if not equals:
            raise typer.BadParameter(f"{option} takes key=value, not {item!r}")
        pairs[key.strip()] = value.strip()
    return pairs


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
    """Calibrate a trained model and choose its thresholds anew, for another objective.

    Example: fftag tune runs/cnn --data d.parquet --out runs/macro --set tags.objective=macro_f1
    """
    from fftag.bundle import load_bundle
    from fftag.datasets.manifest import read_manifest
    from fftag.training.tune import tune as run

    settings = _pairs(changes or [], "--set")
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
    """Give a model an int8 form for CPUs, and measure how its tags agree with those of fp32.

    Example: fftag quantize runs/cnn --data dataset.parquet
    """
    from fftag.bundle import load_bundle
    from fftag.datasets.manifest import read_manifest
    from fftag.training.quantize import quantize as run
    from fftag.training.quantize import report_lines

    bundle = load_bundle(model)
    report = run(bundle, read_manifest(data), split, photos, max_drop, seed, workers)
    _emit(report, report_lines(bundle, report), json_)


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
    device: Device = "auto",
    tier: Tier = "fast",
    workers: Workers = cores(),
    json_: Json = False,
) -> None:
    """Evaluate a model beside chance and the best constant prediction.

    Example: fftag evaluate runs/cnn --data dataset.parquet --split test
    """
    from fftag.bundle import load_bundle
    from fftag.datasets.manifest import read_manifest
    from fftag.training.evaluate import evaluate_model, summary_lines

    folder = out or model / f"evaluation-{split}"
    bundle = load_bundle(model)
    manifest = read_manifest(data)
    content = evaluate_model(bundle, manifest, split, folder, device, workers, resamples, tier)
    _emit(content, summary_lines(content, folder), json_)


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
    """Compare evaluated models: figures, and which differences are more than chance.

    Example: fftag compare runs/cnn runs/resnet101 --split test --out comparison
    """
    if len(runs) < 2:
        raise typer.BadParameter("give two or more model folders")
    from fftag.bundle import Bundle
    from fftag.training.compare import compare as run
    from fftag.training.compare_page import write_comparison
    from fftag.training.runs import load_runs

    def evaluate_first(bundle: Bundle, folder: Path) -> None:
        from fftag.datasets.manifest import read_manifest
        from fftag.training.evaluate import evaluate_model

        if data is not None:
            say(f"evaluating {bundle.path}")
            evaluate_model(bundle, read_manifest(data), split, folder, device, workers)

    loaded = load_runs(runs, split, evaluate_first if data is not None else None)
    compared = run(loaded, resamples, seed)
    lines = compared.lines()
    if out is not None:
        lines.append(f"page: {write_comparison(out, compared)[0]}")
    _emit(compared.to_json(), lines, json_)


@app.command()
def tag(
    source: Annotated[str, typer.Argument(help=f"{SOURCE}.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Tags file to write (Parquet).")],
    model: ModelFolder = None,
    db: Annotated[Path | None, typer.Option(help="Load the result into this DuckDB file.")] = None,
    products: Annotated[Path | None, typer.Option(help="Product feed for --db.")] = None,
    sku_pattern: SkuPattern = None,
    device: Device = "auto",
    tier: Tier = "fast",
    backend: Backend = "auto",
    compiled: Compiled = None,
    batch_size: BatchSize = None,
    workers: Workers = cores(),
    shard_size: Annotated[int, typer.Option(min=1, help="Photos per part file.")] = 1024,
    include: Annotated[
        list[str] | None, typer.Option(help="Only file names like this, such as '*.jpg'.")
    ] = None,
    root: ListRoot = None,
    follow_symlinks: FollowSymlinks = False,
    max_failure_rate: Annotated[
        float, typer.Option(min=0, max=1, help="Publish nothing if a larger share failed.")
    ] = 0.5,
    max_removal_rate: Annotated[
        float, typer.Option(min=0, max=1, help="Do nothing if a larger share of files is gone.")
    ] = 0.5,
    max_file_size: Annotated[
        int, typer.Option(min=1, help="Megabytes (MiB); larger files are too_large.")
    ] = 128,
    max_pixels: Annotated[
        int, typer.Option(min=1, help="Million pixels; larger photos are too_large.")
    ] = 128,
    salvage_truncated: Annotated[
        bool, typer.Option(help="Tag what there is of truncated photos, and say so in `error`.")
    ] = False,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds for one photo.")] = 60,
    worker_memory: Annotated[
        int, typer.Option(min=512, help="Megabytes (MiB) for one decoding process (Linux).")
    ] = 4096,
    exact: Annotated[bool, typer.Option("--exact", help="Short for --tier exact.")] = False,
    strict: Annotated[bool, typer.Option(help="Exit with 3 if any file failed.")] = False,
    restart: Annotated[bool, typer.Option(help="Throw away an interrupted run.")] = False,
    force: Annotated[bool, typer.Option(help="Read every file, changed or not.")] = False,
    retry_failed: Annotated[
        bool, typer.Option(help="Read files again that failed before and did not change.")
    ] = True,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")
    ] = False,
    metrics: Annotated[
        Path | None, typer.Option(help="Write figures of the run for Prometheus.")
    ] = None,
    json_: Json = False,
) -> None:
    """Tag every file of a source: one row each, failures included.

    Run again, it reads only what is new, has changed, or failed before.

    Example: fftag tag catalog --out tags.parquet --db catalog.duckdb --products products.csv
    """
    if products is not None and db is None:
        raise typer.BadParameter("--products needs --db: the feed goes into the database")
    from fftag.decode import Limits
    from fftag.metrics_file import measured
    from fftag.predict import choose_device, default_batch_size
    from fftag.sources import Selection, choose_source
    from fftag.tag import tag as run
    from fftag.tag_options import TagOptions

    own = (out, out.with_name(out.name + ".parts"), db, metrics)
    options = TagOptions(
        batch_size=batch_size or default_batch_size(choose_device(device)),
        workers=workers,
        limits=Limits(max_file_size * 2**20, max_pixels * 1_000_000, salvage_truncated),
        timeout=timeout,
        worker_memory=worker_memory * 2**20,
        exact=exact or tier == "exact",
        device=device,
        tier="exact" if exact else tier,
        backend=backend,
        compiled=compiled,
        shard_size=shard_size,
        selection=Selection(tuple(include or ()), tuple(path for path in own if path)),
        restart=restart,
        force=force,
        retry_failed=retry_failed,
        max_failure_rate=max_failure_rate,
        max_removal_rate=max_removal_rate,
    )
    chosen = choose_source(source, root, follow_symlinks)
    if dry_run:
        from fftag.dry_run import look_ahead

        ahead = look_ahead(chosen, out, _model(model), options)
        _emit(ahead.to_json(), list(ahead.lines()), json_)
        return
    with measured(metrics) as report:
        summary = run(chosen, out, _model(model), options)
        report(summary)
    content, lines = summary.to_json(), list(summary.lines())
    if db is not None:
        from fftag.warehouse import load as load_tags

        loaded = load_tags(out, db, products, sku_pattern)
        content["db"] = loaded.to_json()
        lines += loaded.lines()
    _emit(content, lines, json_)
    raise typer.Exit(summary.exit_code(strict))


@app.command()
def bench(
    source: Annotated[str, typer.Argument(help=f"{SOURCE}.", show_default=False)],
    model: ModelFolder = None,
    device: Device = "auto",
    tier: Tier = "fast",
    backend: Backend = "auto",
    compiled: Compiled = None,
    batch_size: BatchSize = None,
    workers: Workers = cores(),
    sample: Annotated[int, typer.Option(min=1, help="Photos to read, over and over.")] = 512,
    rounds: Annotated[int, typer.Option(min=1, help="Medians of so many are told.")] = 3,
    seconds: Annotated[float, typer.Option(min=0.1, help="Per step and round.")] = 4,
    root: ListRoot = None,
    follow_symlinks: FollowSymlinks = False,
    json_: Json = False,
) -> None:
    """Measure each step of tagging on your own photos; name the one that sets the pace.

    Example: fftag bench catalog --model runs/cnn
    """
    from fftag.bench import bench as run
    from fftag.predict import choose_device, default_batch_size
    from fftag.sources import choose_source
    from fftag.tag_options import TagOptions

    options = TagOptions(
        batch_size=batch_size or default_batch_size(choose_device(device)),
        workers=workers,
        exact=tier == "exact",
        device=device,
        tier=tier,
        backend=backend,
        compiled=compiled,
    )
    chosen = choose_source(source, root, follow_symlinks)
    rates = run(chosen, _model(model), options, sample, rounds, seconds)
    _emit(rates.to_json(), list(rates.lines()), json_)


@app.command()
def retag(
    tags: Annotated[Path, typer.Argument(help="Tags file that `fftag tag` wrote.")],
    model: ModelFolder = None,
    json_: Json = False,
) -> None:
    """Decide the tags anew from the scores, after `fftag tune` moved a model's thresholds.

    Example: fftag retag tags.parquet --model runs/best
    """
    from fftag.tag import retag as run

    bundle = _model(model)
    rows = run(tags, bundle)
    content = {"tags": str(tags), "rows": rows, "model_id": bundle.model_id}
    _emit(content, [f"{rows:,} rows of {tags} have the tags of {bundle.path} now"], json_)


@app.command()
def validate(
    tags: Annotated[Path, typer.Argument(help="Tags file that `fftag tag` wrote.")],
    source: Annotated[
        str | None, typer.Option(help="Compare with what was tagged, too, given as it was there.")
    ] = None,
    include: Annotated[
        list[str] | None, typer.Option(help="With --source: as it was given to `fftag tag`.")
    ] = None,
    root: ListRoot = None,
    follow_symlinks: FollowSymlinks = False,
    json_: Json = False,
) -> None:
    """Check that a tags file keeps to its format; name every broken rule.

    Example: fftag validate tags.parquet --source catalog
    """
    if include and source is None:
        raise typer.BadParameter("--include needs --source: it says which files to compare with")
    from fftag.sources import choose_source
    from fftag.validate import validate as run

    chosen = choose_source(source, root, follow_symlinks) if source else None
    result = run(tags, chosen, tuple(include or ()))
    _emit(result.to_json(), result.lines(), json_)
    if not result.valid:
        raise FftagError(
            f"{tags} is not valid ({result.broken()}): write it anew with `fftag tag`, or mend "
            "what altered it"
        )


@app.command()
def load(
    tags: Annotated[Path, typer.Argument(help="Tags file that `fftag tag` wrote.")],
    db: Annotated[Path, typer.Option(help="DuckDB file to write.")],
    products: Annotated[Path | None, typer.Option(help="Product feed.")] = None,
    sku_pattern: SkuPattern = None,
    json_: Json = False,
) -> None:
    """Load tags and a product feed into a DuckDB file, swapped in whole.

    Example: fftag load tags.parquet --db catalog.duckdb --products products.csv
    """
    from fftag.warehouse import load as run

    loaded = run(tags, db, products, sku_pattern)
    _emit(loaded.to_json(), loaded.lines(), json_)


@app.command()
def report(
    name: Annotated[str | None, typer.Argument(help="Report; none lists them.")] = None,
    db: Annotated[
        Path | None, typer.Option(envvar="FFTAG_DB", help="DuckDB file of the catalogue.")
    ] = None,
    params: Annotated[
        list[str] | None, typer.Option("--param", help="name=value, as the report has it.")
    ] = None,
    form: Annotated[
        str | None,
        typer.Option("--format", help="table, csv, json, parquet, html or png."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="File to write; its ending tells --format.")
    ] = None,
) -> None:
    """Answer a question about the catalogue; alone, list the questions.

    Example: fftag report trend --db catalog.duckdb --param months=3
    """
    from fftag.report import all_reports, run_report

    if name is None:
        for one in all_reports():
            print(f"{one.name:10} {one.question}")
        return
    if db is None:
        raise typer.BadParameter("--db FILE is needed: the catalogue to ask")
    from fftag.report_formats import write_answer

    answer = run_report(db, name, _pairs(params or [], "--param"))
    ending = out.suffix.lstrip(".") if out is not None else ""
    print(write_answer(answer, db, form or ending or "table", out))


@app.command()
def models(json_: Json = False) -> None:
    """List the architectures, and what each takes in.

    Example: fftag models
    """
    from fftag.models import input_spec, names

    sizes = {name: input_spec(name) for name in names()}
    content = {name: {"height": spec.height, "width": spec.width} for name, spec in sizes.items()}
    lines = [f"{name:24} {spec.width} x {spec.height}" for name, spec in sizes.items()]
    _emit(content, lines, json_)


@app.command()
def doctor(json_: Json = False) -> None:
    """Look whether all that fftag needs is here and works, down to a small tagging run.

    Example: fftag doctor
    """
    from fftag.doctor import diagnose

    diagnosis = diagnose()
    _emit(diagnosis.to_json(), diagnosis.lines(), json_)
    if not diagnosis.healthy:
        count = len(diagnosis.problems)
        raise FftagError(
            f"{count} problem{'s' if count > 1 else ''} found, named above with what mends each"
        )
