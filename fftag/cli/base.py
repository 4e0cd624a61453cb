"""What the commands share: the application, option types, how results are printed."""

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from fftag.base.progress import say

if TYPE_CHECKING:
    from fftag.catalogue.options import LoadOptions

COMMANDS = {
    "Train": ("data", "train", "evaluate", "compare", "explain", "tune", "quantize", "screen"),
    "Tag": ("tag", "bench", "merge", "retag"),
    "Ask": ("load", "report", "app"),
    "Correct": ("review",),
    "Look after": ("validate", "doctor", "models"),
}
"""What a user wants -> the commands for it, in the order of `fftag --help`."""


class ByWant(TyperGroup):
    """The commands under what a user wants; see `COMMANDS`."""

    def __init__(self, *, commands: dict[str, Any], **given: Any) -> None:
        wanted = {name: panel for panel, names in COMMANDS.items() for name in names}
        for name, panel in wanted.items():
            commands[name].rich_help_panel = panel
        super().__init__(commands={name: commands[name] for name in wanted}, **given)


app = typer.Typer(
    name="fftag",
    cls=ByWant,
    help="Tag fashion photos by the million, and ask the catalogue in SQL.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
data_app = typer.Typer(no_args_is_help=True, help="Turn datasets into manifests, and look at them.")
app.add_typer(data_app, name="data")
review_app = typer.Typer(no_args_is_help=True, help="Let people correct tags, and learn from it.")
app.add_typer(review_app, name="review")

RUNS = Path("runs")
# Heads under which `--help` has the options of a command with many.
choosing = partial(typer.Option, rich_help_panel="Which photos")
computing = partial(typer.Option, rich_help_panel="How it is computed")
limiting = partial(typer.Option, rich_help_panel="What a photo and a run may cost")
loading = partial(typer.Option, rich_help_panel="The database")

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Device = Annotated[str, computing(envvar="FFTAG_DEVICE", help="auto, cpu, cuda, cuda:1, mps.")]
Devices = Annotated[
    str,
    computing(
        envvar="FFTAG_DEVICE",
        help="auto, cpu, cuda, cuda:1, mps, several (cuda:0,cuda:1), or all: each CUDA device.",
    ),
]
EngineName = Annotated[
    Literal["local", "ray"],
    computing(envvar="FFTAG_ENGINE", help="local: this machine; ray: a cluster (extra ray)."),
]
RayAddress = Annotated[
    str | None,
    computing(help="Of the cluster's head, as Ray has it; by default that of RAY_ADDRESS."),
]
ActorCpus = Annotated[
    int | None,
    computing(
        min=1, help="On a cluster: CPUs of each actor; by default its machine's, or its GPU's part."
    ),
]
ActorGpus = Annotated[
    float, computing(min=0.01, help="On a cluster with GPUs: of each actor; 0.5 shares one.")
]
Workers = Annotated[
    int,
    computing(
        min=1, envvar="FFTAG_WORKERS", show_default="one per core", help="Decoding processes."
    ),
]
Tier = Annotated[
    str,
    computing(
        envvar="FFTAG_TIER",
        help="exact (fp32, JPEGs decoded in full), fast (half precision where the device has it), "
        "or int8 (of a model that `fftag quantize` made so).",
    ),
]
Backend = Annotated[
    str,
    computing(
        envvar="FFTAG_BACKEND",
        help="torch, openvino, or auto: OpenVINO on a CPU where it is installed.",
    ),
]
Compiled = Annotated[
    bool, computing("--compile", help="Compile the network first, on CUDA; takes a minute.")
]
BatchSize = Annotated[
    int | None,
    computing(min=1, help="Photos per batch; by default as the device likes it."),
]
ModelFolder = Annotated[
    Path | None,
    typer.Option(envvar="FFTAG_MODEL", help="Model folder; by default the newest under runs/."),
]
SkuPattern = Annotated[
    str | None, loading(help="Regex with one group: the sku in an image's path.")
]
Products = Annotated[
    list[str] | None,
    loading(help="Product feed (CSV, Excel, JSON, Parquet), or NAME=FILE of one source."),
]
FeedColumn = Annotated[
    list[str] | None,
    loading(help="What the feed calls a column: listed_at=launch_date."),
]
LabelsBy = Annotated[
    str | None,
    loading(help="A product has a label on one of its photos (union) or on half (vote)."),
]
Dates = Annotated[
    str | None,
    loading(help="Of items: feed, folder, exif, file, or auto: the feed, else folders."),
]
DatePattern = Annotated[
    str | None,
    loading(help="Regex with one group: the date in a path, YYYY-MM-DD or YYYY-MM."),
]
ShownTaxonomy = Annotated[
    str | None,
    loading(help="fashionpedia or a TOML file: groups, synonyms and translations of labels."),
]
SOURCE = (
    "A folder, a list (@photos.txt, .csv or .parquet), archives (shard.tar, photos.zip, "
    "'shards/*.tar') or a URL (s3://bucket/photos)"
)
ListRoot = Annotated[
    Path | None,
    choosing(help="Of a list: the folder that its paths are below; by default its own."),
]
FollowSymlinks = Annotated[
    bool, choosing("--follow-symlinks", help="Follow symbolic links that stay below the folder.")
]
NoPrevious = Annotated[
    bool, typer.Option("--no-previous", help="Keep no tags.parquet.previous of what stood there.")
]


def emit(content: dict[str, Any], lines: list[str], as_json: bool) -> None:
    """Prints a result, for a person or a program."""
    print(json.dumps(content, indent=1, ensure_ascii=False) if as_json else "\n".join(lines))


def model_of(folder: Path | None) -> Any:
    """The model in a folder, or the newest there is, which is named."""
    from fftag.models.folder import load_bundle, newest_model

    if folder is None:
        folder = newest_model(RUNS)
        say(f"model: {folder}")
    return load_bundle(folder)


def engine_of(
    context: typer.Context, name: str, address: str | None, cpus: int | None, gpus: float
) -> Any:
    """The cluster that reads and scores until the command ends; None for this machine."""
    if name == "ray":
        from fftag.tagging.ray import ActorSize, on_ray

        return context.with_resource(on_ray(address, ActorSize(cpus, gpus)))
    return None


def pairs(items: list[str], option: str) -> dict[str, str]:
    """`key=value` again and again, as a dictionary."""
    found = {}
    for item in items:
        key, equals, value = item.partition("=")
        if not equals:
            raise typer.BadParameter(f"{option} takes key=value, not {item!r}")
        found[key.strip()] = value.strip()
    return found


def load_options(
    sku_pattern: str | None,
    columns: list[str] | None,
    labels_by: str | None,
    dates: str | None,
    date_pattern: str | None,
    taxonomy: str | None,
    mix_models: bool | None = None,
    fresh: bool = False,
) -> "LoadOptions":
    """The rules of a load from the options of a command."""
    from fftag.catalogue.options import LoadOptions

    mapped = pairs(columns, "--column") if columns else None
    return LoadOptions(
        sku_pattern, mapped, labels_by, dates, date_pattern, taxonomy, mix_models, fresh
    )
