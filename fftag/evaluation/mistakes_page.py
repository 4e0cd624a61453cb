"""The parts of an evaluation's page that show mistakes."""

from collections.abc import Sequence

import pandas as pd

from fftag.base.page import Section
from fftag.base.plots import to_png
from fftag.evaluation.mistake_plots import Thumbnails
from fftag.evaluation.mistakes import (
    Mistake,
    surest_false_negatives,
    surest_false_positives,
)
from fftag.evaluation.results import Results


def instead_section(results: Results, plot: bytes | None) -> Section:
    """Where a label is missed, what is predicted instead: a heat map and a table."""
    heading = "Where a label is missed, what is predicted instead"
    rows = results.instead.rows(results.names)
    if not rows:
        return Section(heading, ["No label is missed on any photo."])
    text = [
        "Of the photos that have a label and do not get it, the share that got some label they do "
        "not have, and the labels they got most often. The rest got nothing wrong: the label is "
        "simply absent. Labels with the most misses come first."
    ]
    table = pd.DataFrame(
        {
            "missed": [row["label"] for row in rows],
            "photos missing it": [row["misses"] for row in rows],
            "with a wrong label": [f"{row['share_with_wrong']:.0%}" for row in rows],
            "instead": [
                "; ".join(f"{one['label']} ({one['share']:.0%})" for one in row["instead"])
                for row in rows
            ],
        }
    )
    images = [] if plot is None else [(plot, "")]
    return Section(heading, text, images, table, right=frozenset({"with a wrong label"}))


def surest_sections(results: Results) -> list[Section]:
    """The surest false positives and negatives, as thumbnails where the photos are known."""
    targets, tags, scores = results.targets, results.tags, results.scores
    return [
        _surest(
            "The surest tags that are wrong",
            "False positives with the highest scores. Among them are photos whose labels are "
            "incomplete.",
            surest_false_positives(targets, tags, scores),
            results,
        ),
        _surest(
            "The labels missed most surely",
            "False negatives with the lowest scores.",
            surest_false_negatives(targets, tags, scores),
            results,
        ),
    ]


def _surest(heading: str, text: str, shown: Sequence[Mistake], results: Results) -> Section:
    if not shown:
        return Section(heading, ["There are none."])
    columns: dict[str, list[object]] = {
        "number": list(range(1, len(shown) + 1)),
        "label": [results.names[one.label] for one in shown],
        "score": [one.score for one in shown],
    }
    images = []
    paragraphs = [text]
    if results.files:
        sheet = Thumbnails(shown, results.files, results.names)
        images = [(to_png(sheet.picture), "")]
        files = [str(results.files[one.photo]) for one in shown]
        columns["photo"] = [file.encode("utf-8", "replace").decode() for file in files]
        failed = [problem for problem in sheet.problems if problem]
        if failed:
            paragraphs.append(f"{len(failed)} of these photos cannot be read to be shown.")
            columns["problem"] = list(sheet.problems)
    else:
        columns["photo"] = [f"number {one.photo + 1} of the split" for one in shown]
    return Section(heading, paragraphs, images, pd.DataFrame(columns))
