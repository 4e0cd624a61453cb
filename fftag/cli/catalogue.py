"""The commands that load a catalogue, ask it, and let people correct it."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fftag.cli.base import (
    DatePattern,
    Dates,
    FeedColumn,
    Json,
    LabelsBy,
    Products,
    ShownTaxonomy,
    SkuPattern,
    app,
    emit,
    load_options,
    pairs,
    review_app,
)

if TYPE_CHECKING:
    from datetime import date

narrowing = partial(typer.Option, rich_help_panel="What it is narrowed down to")


@app.command()
def load(
    tags: Annotated[
        list[str], typer.Argument(help="Tags files that `fftag tag` wrote, or NAME=FILE.")
    ],
    db: Annotated[Path, typer.Option(help="DuckDB file to write.")],
    products: Products = None,
    sku_pattern: SkuPattern = None,
    column: FeedColumn = None,
    labels_by: LabelsBy = None,
    dates: Dates = None,
    date_pattern: DatePattern = None,
    taxonomy: ShownTaxonomy = None,
    mix_models: Annotated[
        bool | None,
        typer.Option(help="Count runs of different models together.", show_default=False),
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Keep no feed, taxonomy or rule of the last load.")
    ] = False,
    json_: Json = False,
) -> None:
    """Load tags and product feeds into a DuckDB file, swapped in whole.

    What is not given is as in the load before: feeds, taxonomy, rules.

    Example: fftag load tags.parquet --db catalog.duckdb --products products.csv
    """
    from fftag.catalogue.load import load as run
    from fftag.catalogue.options import Named

    options = load_options(
        sku_pattern, column, labels_by, dates, date_pattern, taxonomy, mix_models, fresh
    )
    feeds = [Named.parse(text) for text in products or []]
    loaded = run([Named.parse(text) for text in tags], db, feeds, options)
    emit(loaded.to_json(), loaded.lines(), json_)


@app.command()
def report(
    name: Annotated[str | None, typer.Argument(help="Report, or all; none lists them.")] = None,
    db: Annotated[
        Path | None, typer.Option(envvar="FFTAG_DB", help="DuckDB file of the catalogue.")
    ] = None,
    params: Annotated[
        list[str] | None, typer.Option("--param", help="name=value, as the report has it.")
    ] = None,
    where: Annotated[
        list[str] | None, narrowing(help="column=value of the products, such as brand=Acme.")
    ] = None,
    label: Annotated[list[str] | None, narrowing(help="Only this label.")] = None,
    group: Annotated[list[str] | None, narrowing(help="Only labels of this group.")] = None,
    since: Annotated[
        str | None, narrowing(help="Only items listed from this day on: YYYY-MM-DD.")
    ] = None,
    until: Annotated[
        str | None, narrowing(help="Only items listed up to this day: YYYY-MM-DD.")
    ] = None,
    form: Annotated[
        str | None,
        typer.Option("--format", help="table, csv, json, parquet, html or png."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="File to write; its ending tells --format.")
    ] = None,
    sql_dir: Annotated[Path | None, typer.Option(help="Folder of reports of your own.")] = None,
    language: Annotated[
        str | None, typer.Option(help="Of the labels, where the taxonomy translates them.")
    ] = None,
) -> None:
    """Answer a question about the catalogue; alone, list the questions.

    Example: fftag report trend --db catalog.duckdb --where brand=Acme --param months=3
    """
    from fftag.base.text_table import text_table
    from fftag.reports.ask import Filters, all_reports, run_report

    if name is None:
        questions = [(one.name, one.question) for one in all_reports(sql_dir)]
        print("\n".join(text_table(("report", "question"), questions, (False, False))))
        return
    if db is None:
        raise typer.BadParameter("--db FILE is needed: the catalogue to ask")
    from fftag.reports.write import write_answer, write_site

    filters = Filters(
        _lists(where or [], "--where"),
        label or [],
        group or [],
        _day(since, "--since"),
        _day(until, "--until"),
    )
    if name == "all":
        if out is None or form not in (None, "html") or params:
            raise typer.BadParameter("all takes --out FOLDER, --format html, and no --param")
        reports = all_reports(sql_dir)
        asked = [one.name for one in reports if one.by_label or not filters.of_labels]
        answers = [run_report(db, one, None, filters, sql_dir, language) for one in asked]
        print(write_site(answers, out, [one.name for one in reports if one.name not in asked]))
        return
    answer = run_report(db, name, pairs(params or [], "--param"), filters, sql_dir, language)
    ending = out.suffix.lstrip(".") if out is not None else ""
    print(write_answer(answer, form or ending or "table", out))


@review_app.command("export")
def review_export(
    db: Annotated[Path, typer.Option(envvar="FFTAG_DB", help="DuckDB file of the catalogue.")],
    out: Annotated[Path, typer.Option(help="Sheet to write (.csv).")],
    per_label: Annotated[int, typer.Option(min=1, help="Photos of each label.")] = 20,
    rows: Annotated[int, typer.Option(min=1, help="Rows in all.")] = 1000,
    label: Annotated[list[str] | None, typer.Option(help="Only this label.")] = None,
    group: Annotated[list[str] | None, typer.Option(help="Only labels of this group.")] = None,
) -> None:
    """Write the photos to look at first, with room for answers.

    Example: fftag review export --db catalog.duckdb --out queue.csv
    """
    from fftag.reports.ask import Filters
    from fftag.reports.review_queue import export_queue

    filters = Filters(labels=label or [], groups=group or [])
    count = export_queue(db, out, per_label, rows, filters)
    print(f"{count:,} questions in {out}; then `fftag review import {out} --db {db}`")


@review_app.command("import")
def review_import(
    file: Annotated[Path, typer.Argument(help="The sheet, filled in (.csv, .xlsx).")],
    db: Annotated[Path, typer.Option(envvar="FFTAG_DB", help="DuckDB file of the catalogue.")],
    reviewer: Annotated[str | None, typer.Option(help="Who answered.")] = None,
    json_: Json = False,
) -> None:
    """Take answers back: they stand above the model's tags.

    Example: fftag review import queue.csv --db catalog.duckdb
    """
    from fftag.reports.review_queue import import_answers

    imported = import_answers(db, file, reviewer)
    emit(imported.to_json(), imported.lines(), json_)


@review_app.command("manifest")
def review_manifest(
    photos: Annotated[Path, typer.Argument(help="Folder that was tagged.")],
    db: Annotated[Path, typer.Option(envvar="FFTAG_DB", help="DuckDB file of the catalogue.")],
    out: Annotated[Path, typer.Option(help="Manifest to write (Parquet).")],
    label: Annotated[list[str] | None, typer.Option(help="Of this label alone.")] = None,
    group: Annotated[list[str] | None, typer.Option(help="Of this group's labels alone.")] = None,
    json_: Json = False,
) -> None:
    """Write the photos reviewed for every label, as a manifest.

    Example: fftag review manifest catalog --db catalog.duckdb --out reviewed.parquet
    """
    from fftag.data.review_manifest import export_manifest

    written = export_manifest(db, photos, out, label or (), group or ())
    emit(written.to_json(), written.lines(), json_)


def _lists(given: list[str], flag: str) -> dict[str, list[str]]:
    """`name=value` again and again -> name -> its values."""
    found: dict[str, list[str]] = {}
    for pair in given:
        for name, value in pairs([pair], flag).items():
            found.setdefault(name, []).append(value)
    return found


def _day(text: str | None, flag: str) -> "date | None":
    from datetime import date

    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise typer.BadParameter(f"{flag} takes a day, YYYY-MM-DD, not {text!r}") from None
