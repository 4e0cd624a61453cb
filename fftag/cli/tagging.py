"""The commands that tag, and that look after tagging."""

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated

import typer

from fftag.base.errors import FftagError
from fftag.base.machine import cores
from fftag.cli.base import (
    SOURCE,
    ActorCpus,
    ActorGpus,
    Backend,
    BatchSize,
    Compiled,
    DatePattern,
    Dates,
    Devices,
    EngineName,
    FeedColumn,
    FollowSymlinks,
    Json,
    LabelsBy,
    ListRoot,
    ModelFolder,
    NoPrevious,
    Products,
    RayAddress,
    ShownTaxonomy,
    SkuPattern,
    Tier,
    Workers,
    app,
    choosing,
    computing,
    emit,
    engine_of,
    limiting,
    load_options,
    loading,
    model_of,
)


@app.command()
def tag(
    context: typer.Context,
    source: Annotated[str, typer.Argument(help=f"{SOURCE}.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Tags file to write (Parquet).")],
    model: ModelFolder = None,
    db: Annotated[Path | None, loading(help="Load the result into this DuckDB file.")] = None,
    products: Products = None,
    sku_pattern: SkuPattern = None,
    column: FeedColumn = None,
    labels_by: LabelsBy = None,
    dates: Dates = None,
    date_pattern: DatePattern = None,
    taxonomy: ShownTaxonomy = None,
    device: Devices = "auto",
    tier: Tier = "fast",
    backend: Backend = "auto",
    compiled: Compiled = False,
    batch_size: BatchSize = None,
    workers: Workers = cores(),
    engine: EngineName = "local",
    address: RayAddress = None,
    actor_cpus: ActorCpus = None,
    actor_gpus: ActorGpus = 1,
    shard_size: Annotated[int, computing(min=1, help="Photos per part file.")] = 1024,
    include: Annotated[
        list[str] | None, choosing(help="Only file names like this, such as '*.jpg'.")
    ] = None,
    root: ListRoot = None,
    follow_symlinks: FollowSymlinks = False,
    shard: Annotated[
        str | None,
        choosing(help="Only this share of the files, such as 2/8; then `fftag merge` them."),
    ] = None,
    max_failure_rate: Annotated[
        float, limiting(min=0, max=1, help="Publish nothing if a larger share failed.")
    ] = 0.5,
    max_removal_rate: Annotated[
        float, limiting(min=0, max=1, help="Do nothing if a larger share of files is gone.")
    ] = 0.5,
    max_file_size: Annotated[
        int, limiting(min=1, help="Megabytes (MiB); larger files are too_large.")
    ] = 128,
    max_pixels: Annotated[
        int, limiting(min=1, help="Million pixels; larger photos are too_large.")
    ] = 128,
    salvage_truncated: Annotated[
        bool,
        limiting(
            "--salvage-truncated",
            help="Tag what there is of truncated photos, and say so in `error`.",
        ),
    ] = False,
    timeout: Annotated[float, limiting(min=0.1, help="Seconds for one photo.")] = 60,
    worker_memory: Annotated[
        int, limiting(min=512, help="Megabytes (MiB) for one decoding process (Linux).")
    ] = 4096,
    exact: Annotated[bool, computing("--exact", help="Short for --tier exact.")] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 3 if any file failed.")
    ] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Throw away an interrupted run.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Read every file, changed or not.")
    ] = False,
    leave_failed: Annotated[
        bool, typer.Option("--no-retry-failed", help="Leave failed files that did not change.")
    ] = False,
    no_previous: NoPrevious = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")
    ] = False,
    compare: Annotated[
        bool,
        typer.Option("--compare", help="Say what this model would change, and do nothing."),
    ] = False,
    sample: Annotated[int, typer.Option(min=1, help="With --compare: photos to read.")] = 500,
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
    if engine == "local" and (address or actor_cpus or actor_gpus != 1):
        raise typer.BadParameter("--address, --actor-cpus and --actor-gpus need --engine ray")
    given = context.get_parameter_source("workers")
    if engine != "local" and given is not None and given.name == "COMMANDLINE":
        raise typer.BadParameter("--workers is for one machine: give --actor-cpus on a cluster")
    if engine != "local" and (dry_run or compare):
        raise typer.BadParameter("--dry-run and --compare look ahead on this machine: no --engine")
    from fftag.base.atomic import target_of
    from fftag.catalogue.database import corrections_file, replaceable
    from fftag.models.devices import choose_devices, default_batch_size
    from fftag.photos.decode import Limits
    from fftag.photos.listing import Selection, Shard
    from fftag.photos.sources.choose import choose_source
    from fftag.tagging.metrics_file import measured
    from fftag.tagging.options import TagOptions
    from fftag.tagging.parts import own_files
    from fftag.tagging.tag import tag as run

    rules = load_options(sku_pattern, column, labels_by, dates, date_pattern, taxonomy)
    own = [*own_files(target_of(out)), metrics]
    own += [db, corrections_file(db)] if db is not None else []
    cluster = engine_of(context, engine, address, actor_cpus, actor_gpus)
    on = cluster.device(device) if cluster else choose_devices(device)[0]
    options = TagOptions(
        batch_size=batch_size or default_batch_size(on),
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
        selection=Selection(
            tuple(include or ()),
            tuple(path for path in own if path),
            Shard.parse(shard) if shard else None,
        ),
        restart=restart,
        force=force,
        retry_failed=not leave_failed,
        max_failure_rate=max_failure_rate,
        max_removal_rate=max_removal_rate,
        keep_previous=not no_previous,
    )
    chosen = choose_source(source, root, follow_symlinks, timeout)
    if dry_run:
        from fftag.tagging.dry_run import look_ahead

        ahead = look_ahead(chosen, out, model_of(model), options)
        emit(ahead.to_json(), list(ahead.lines()), json_)
        return
    if compare:
        from fftag.tagging.compare_models import compare_models

        comparison = compare_models(chosen, out, model_of(model), options, sample)
        emit(comparison.to_json(), list(comparison.lines()), json_)
        return
    with measured(metrics) as report:
        if db is not None:
            with replaceable(db):
                pass  # what cannot be replaced is refused before hours of work
        with redirect_stdout(sys.stderr):  # where Ray is to say what it has to say
            summary = (cluster.tag if cluster else run)(chosen, out, model_of(model), options)
        report(summary, summary.exit_code(strict))
        content, lines = summary.to_json(), list(summary.lines())
        if db is not None:
            from fftag.catalogue.load import load as load_tags
            from fftag.catalogue.options import Named

            loaded = load_tags(out, db, [Named.parse(text) for text in products or []], rules)
            content["db"] = loaded.to_json()
            lines += loaded.lines()
    emit(content, lines, json_)
    raise typer.Exit(summary.exit_code(strict))


@app.command()
def bench(
    source: Annotated[str, typer.Argument(help=f"{SOURCE}.", show_default=False)],
    model: ModelFolder = None,
    device: Devices = "auto",
    tier: Tier = "fast",
    backend: Backend = "auto",
    compiled: Compiled = False,
    batch_size: BatchSize = None,
    workers: Workers = cores(),
    sample: Annotated[int, typer.Option(min=1, help="Photos to read, over and over.")] = 512,
    rounds: Annotated[int, typer.Option(min=1, help="Medians of so many are told.")] = 3,
    seconds: Annotated[float, typer.Option(min=0.1, help="Per step and round.")] = 4,
    root: ListRoot = None,
    follow_symlinks: FollowSymlinks = False,
    json_: Json = False,
) -> None:
    """Measure each step of tagging on your photos; name the slowest.

    Example: fftag bench catalog --model runs/cnn
    """
    from fftag.models.devices import choose_devices, default_batch_size
    from fftag.photos.sources.choose import choose_source
    from fftag.tagging.bench import bench as run
    from fftag.tagging.options import TagOptions

    options = TagOptions(
        batch_size=batch_size or default_batch_size(choose_devices(device)[0]),
        workers=workers,
        exact=tier == "exact",
        device=device,
        tier=tier,
        backend=backend,
        compiled=compiled,
    )
    chosen = choose_source(source, root, follow_symlinks)
    rates = run(chosen, model_of(model), options, sample, rounds, seconds)
    emit(rates.to_json(), list(rates.lines()), json_)


@app.command()
def retag(
    tags: Annotated[Path, typer.Argument(help="Tags file that `fftag tag` wrote.")],
    model: ModelFolder = None,
    no_previous: NoPrevious = False,
    json_: Json = False,
) -> None:
    """Decide the tags anew from the scores, after `fftag tune`.

    Example: fftag retag tags.parquet --model runs/best
    """
    from fftag.tagging.tag import retag as run

    bundle = model_of(model)
    rows = run(tags, bundle, not no_previous)
    content = {"tags": str(tags), "rows": rows, "model_id": bundle.model_id}
    emit(content, [f"{rows:,} rows of {tags} have the tags of {bundle.path} now"], json_)


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
    """Check that a tags file keeps to its format; name broken rules.

    Example: fftag validate tags.parquet --source catalog
    """
    if include and source is None:
        raise typer.BadParameter("--include needs --source: it says which files to compare with")
    from fftag.photos.sources.choose import choose_source
    from fftag.tagging.validate import validate as run

    chosen = choose_source(source, root, follow_symlinks) if source else None
    result = run(tags, chosen, tuple(include or ()))
    emit(result.to_json(), result.lines(), json_)
    if not result.valid:
        raise FftagError(
            f"{tags} is not valid ({result.broken()}): write it anew with `fftag tag`, or mend "
            "what altered it"
        )


@app.command()
def doctor(json_: Json = False) -> None:
    """Look whether all that fftag needs is here and works.

    Example: fftag doctor
    """
    from fftag.cli.doctor import diagnose

    diagnosis = diagnose()
    emit(diagnosis.to_json(), diagnosis.lines(), json_)
    if not diagnosis.healthy:
        count = len(diagnosis.problems)
        raise FftagError(
            f"{count} problem{'s' if count > 1 else ''} found, named above with what mends each"
        )
