"""Trends: the reports as charts, with their intervals, their rows and their SQL."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import streamlit as st

from fftag.app import shared
from fftag.app.charts import MOST_LINES, report_chart, series_of
from fftag.app.filters import choose_filters
from fftag.app.parts import missing, page, plain
from fftag.report import Answer, Filters, Report, all_reports
from fftag.report_formats import as_csv, display

FIRST = "trend"
LINES_SHOWN = 5
MONTHLY = "monthly"
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
        filters = choose_filters(choices)
    answer = shared.answer(db, name, given, filters)
    st.header(plain(report.title), anchor=False)
    st.caption(plain(answer.basis))
    if answer.table.empty:
        st.info(plain(f"No rows. {report.empty}"))
    else:
        show_chart(answer)
        if report.plot is not None and report.plot.kind == "trend":
            show_months(db, answer, filters)
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
    for one in report.parameters:
        label, key = one.name.replace("_", " "), f"parameter_{report.name}_{one.name}"
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
            given[one.name] = value
    return given


def show_chart(answer: Answer) -> None:
    names = series_of(answer)
    if names and answer.report.plot is not None:
        series = answer.report.plot.columns[2]
        chosen = st.multiselect(
            "Lines",
            names,
            names[:LINES_SHOWN],
            max_selections=MOST_LINES,
            key=f"lines_{answer.report.name}",
        )
        rows = answer.table[answer.table[series].astype(str).isin(chosen)]
        answer = replace(answer, table=rows)
    chart = report_chart(answer)
    if chart is not None:
        st.altair_chart(chart, alt=f"{answer.report.title}, with 95 % intervals")


def show_months(db: Path, answer: Answer, filters: Filters) -> None:
    """The months of single labels, those with the clearest changes first."""
    table = answer.table
    labels = table["label"].tolist()
    clear = table[table["verdict"].notna()]["label"].tolist()
    first = [*clear[:2], *clear[-2:]] if len(clear) > 4 else clear or labels[:3]
    st.header("Month by month", anchor=False)
    chosen = st.multiselect("Labels", labels, list(dict.fromkeys(first)), max_selections=MOST_LINES)
    if chosen:
        months = shared.answer(db, MONTHLY, {}, replace(filters, labels=list(chosen)))
        chart = report_chart(months)
        if chart is not None:
            st.altair_chart(chart, alt="Share of each label by month, with 95 % intervals")


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
