"""What every page is made of: its frame, plain text, files to take away."""

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from html import escape

import pandas as pd
import streamlit as st

from fftag.base.errors import FftagError

WRITTEN_HEIGHT = 900  # pixels; the page scrolls in itself
NOTHING_FROM_OUTSIDE = (
    '<meta http-equiv="Content-Security-Policy" '
    "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">"
)

REWRITTEN = re.compile(r"(?<!\S)(?=(?:<->|->|<-|--|>=|<=|~=)(?!\S))|(?<=:)(?=[\w+\-/]+:)")
"""Where Streamlit makes arrows, dashes and icons of letters, even of escaped ones."""
MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+\-.!|$:~<>&^=])")
NEEDS = {
    "model": "Start the app with `--model FOLDER`, or keep model folders in `--runs FOLDER`.",
    "catalogue": "Start the app with `--db catalog.duckdb`, as `fftag tag --db` writes it.",
    "manifest": "Start the app with `--data dataset.parquet`, as `fftag data import` writes it.",
}


def page(title: str, lead: str, show: Callable[[], None]) -> None:
    """Shows a page; where something is missing or broken, what and how to mend it.

    Args:
        title: its heading.
        lead: one line under it.
        show: draws the rest.
    """
    st.title(title, anchor=False)
    st.caption(lead)
    try:
        show()
    except FftagError as error:
        st.error(plain(str(error)), icon=":material/error:")


def missing(what: str) -> None:
    """Says that the app was started without something, and how to give it."""
    st.info(f"There is no {what} to show. {NEEDS[what]}", icon=":material/info:")


def plain(text: object) -> str:
    """Text that Streamlit shows as it is, where it would take it for Markdown.

    Line breaks and other control characters become spaces: they end a heading, or a list. An
    invisible word joiner parts what would become an arrow or an icon.
    """
    spaced = "".join(
        " " if unicodedata.category(letter) == "Cc" else letter for letter in str(text)
    )
    return MARKDOWN.sub(r"\\\1", REWRITTEN.sub("\u2060", spaced))


def framed(page: str, title: str) -> str:
    """A page in a frame in which nothing of it runs, and nothing is fetched from outside.

    Whatever lies in a model folder, the app that shows it is not its.
    """
    return (
        f'<iframe sandbox title="{escape(title)}" srcdoc="{escape(NOTHING_FROM_OUTSIDE + page)}" '
        'style="border: 0; width: 100%; height: 100vh; display: block"></iframe>'
    )


def show_written(written: str, title: str) -> None:
    """A page that another command writes, as it is."""
    st.iframe(framed(written, title), height=WRITTEN_HEIGHT, alt=title)


def show_scores(
    scores: Mapping[str, float],
    thresholds: Mapping[str, float | None],
    groups: Mapping[str, str | None],
    of: str,
    **more: Sequence[object],
) -> None:
    """The scores of a photo as a table of bars, the best first.

    Args:
        scores: label -> score, in the order of the rows.
        thresholds: label -> threshold; None where it has none of its own.
        groups: label -> its group.
        of: what the photo is called.
        more: further columns.
    """
    rows = {
        "label": list(scores),
        "group": [groups.get(label) for label in scores],
        "score": list(scores.values()),
        "threshold": [thresholds.get(label) for label in scores],
    }
    st.dataframe(
        pd.DataFrame(rows | more),
        hide_index=True,
        column_config={
            "score": st.column_config.ProgressColumn(
                "score", format="%.3f", min_value=0, max_value=1
            ),
            "threshold": st.column_config.NumberColumn("threshold", format="%.3f"),
        },
        alt=f"Scores of {of}",
    )
