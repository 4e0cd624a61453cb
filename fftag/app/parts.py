"""What every page is made of: its frame, plain text, files to take away."""

import re
import unicodedata
from collections.abc import Callable

import streamlit as st

from fftag.errors import FftagError
from fftag.page import Section

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


def show_section(section: Section) -> None:
    """A part of a page that `fftag.page` would write, drawn by Streamlit."""
    st.header(plain(section.heading), anchor=False)
    for paragraph in section.text:
        st.caption(plain(paragraph))
    for picture, caption in section.images:
        st.image(picture, alt=section.heading, caption=plain(caption) if caption else None)
    if section.table is not None:
        st.dataframe(section.table, hide_index=True, alt=section.heading)
    if section.code:
        with st.expander("SQL"):
            st.code(section.code, language="sql")
