"""Trends: the reports with their pictures, their rows and their SQL."""

from dataclasses import replace
from typing import Any

import streamlit as st

from fftag.app import shared
from fftag.app.filters import choose_filters
from fftag.app.parts import missing, page, plain
from fftag.reports.ask import Answer, Report, all_reports
from fftag.reports.write import as_csv, display

FIRST = "trend"
MOST_ROWS = 2000  # of a table on the page; the file has all


def show() -> None:
    db = shared.settings().db
    if db is None:
        missing("catalogue")
        return
    choices = shared.choices(db)
    reports = {report.name: report for report in all_reports()}
    names = [FIRST, *(name for name in reports if name != FIRST)]
    name = st.selectbox(
        "Question",
        names,
        format_func=lambda name: reports[name].question,
        key="report",
        persist_state="session",
    )
    report = reports[name]
    with st.sidebar:
        given = choose_parameters(report)
        filters = choose_filters(choices, report.by_label)
    answer, picture = shared.answer(db, name, given, filters)
    st.header(plain(report.title), anchor=False)
    st.caption(plain(answer.basis))
    if answer.table.empty:
        st.info(plain(f"No rows. {report.empty}"))
    else:
        if picture is not None:
            st.image(
                picture, alt=f"{report.title}; the table below has the numbers", width="stretch"
            )
        show_table(answer)
    with st.expander("How to read it"):
        st.markdown(plain(report.read))
    with st.expander("SQL"):
        st.code(report.sql, language="sql", wrap_lines=True)


def choose_parameters(report: Report) -> dict[str, str]:
    """What the report is asked with, as text; only what is not the default."""
    given: dict[str, str] = {}
    if report.parameters:
        st.header("Parameters", anchor=False)
    for name, one in report.parameters.items():
        label, key = name.replace("_", " "), f"parameter_{report.name}_{name}"
        keep: Any = {"key": key, "help": plain(one.meaning), "persist_state": "session"}
        if isinstance(one.default, bool):
            value = str(st.toggle(label, one.default, **keep)).lower()
        elif isinstance(one.default, int):
            value = str(st.number_input(label, 0, None, one.default, **keep))
        elif isinstance(one.default, float):
            value = str(st.number_input(label, 0.0, None, one.default, format="%g", **keep))
        else:
            value = st.text_input(label, one.default, **keep)
        if value != str(one.default) and value != str(one.default).lower():
            given[name] = value
    return given


def show_table(answer: Answer) -> None:
    rows = len(answer.table)
    shown = display(replace(answer, table=answer.table.head(MOST_ROWS)))
    if rows > MOST_ROWS:
        st.caption(f"The first {MOST_ROWS:,} of {rows:,} rows; the CSV has all.")
    st.dataframe(shown, hide_index=True, alt=f"{answer.report.title}: {rows} rows")
    st.download_button(
        "CSV", as_csv(answer).encode("utf-8-sig"), f"{answer.report.name}.csv", "text/csv",
        icon=":material/download:",
    )  # fmt: skip


page("Trends", "What is in the catalogue, what is rising, what goes with what?", show)
