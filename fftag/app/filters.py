"""The filters in the sidebar: of the catalogue, and of the reports."""

from datetime import date
from typing import Any

import streamlit as st

from fftag.app.choices import Choices
from fftag.app.search import OF_A_LABEL, SORTS, STATES, Search
from fftag.reports.ask import Filters

KEEP: Any = {"persist_state": "session"}  # across pages, and while a photo is looked at
FIRST_COLUMNS = ("brand", "category")


def choose_search(choices: Choices) -> Search:
    """What to look for in the catalogue."""
    labels = list(choices.labels)
    st.header("Filters", anchor=False)
    text = st.text_input("Text in path, brand or category", key="find_text", **KEEP)
    having = st.multiselect("With all of these labels", labels, key="find_all", **KEEP)
    any_of = st.multiselect("With any of these", labels, key="find_any", **KEEP)
    none_of = st.multiselect("With none of these", labels, key="find_none", **KEEP)
    sort = st.selectbox("Sort", list(SORTS), format_func=SORTS.__getitem__, key="find_sort", **KEEP)
    with st.expander("Score of one label", expanded=sort in OF_A_LABEL):
        scored = st.selectbox(
            "Label", labels, index=None, placeholder="none", key="find_scored", **KEEP
        )
        least, most = st.slider("Score", 0.0, 1.0, (0.0, 1.0), 0.01, key="find_score", **KEEP)
    if scored is None and sort in OF_A_LABEL:
        scored = next(iter([*having, *any_of, *labels]), None)
    where = choose_where(choices, "find")
    price_from = price_to = None
    if choices.prices is not None:
        with st.expander("Price"):
            price_from = st.number_input(
                "From", 0.0, None, None, placeholder=f"{choices.prices[0]:g}", key="find_from",
                **KEEP,
            )  # fmt: skip
            price_to = st.number_input(
                "To", 0.0, None, None, placeholder=f"{choices.prices[1]:g}", key="find_to", **KEEP
            )
    since, until = choose_days(choices, "find")
    source = None
    if len(choices.sources) > 1:
        source = st.selectbox(
            "Source", list(choices.sources), index=None, placeholder="all", key="find_source",
            **KEEP,
        )  # fmt: skip
    state = st.selectbox(
        "Photos", list(STATES), format_func=STATES.__getitem__, key="find_state", **KEEP
    )
    return Search(
        labels=tuple(having),
        any_of=tuple(any_of),
        none_of=tuple(none_of),
        scored=scored,
        least=least,
        most=most,
        where=where,
        price_from=price_from,
        price_to=price_to,
        since=since,
        until=until,
        state=state,
        source=source,
        text=text.strip(),
        sort=sort,
    )


def choose_filters(choices: Choices, by_label: bool) -> Filters:
    """What to narrow a report down to; to labels only where it tells them apart."""
    st.header("Filters", anchor=False)
    labels, only_groups = [], []
    groups = list(dict.fromkeys(group for group in choices.labels.values() if group))
    if by_label:
        labels = st.multiselect("Only labels", list(choices.labels), key="only_labels", **KEEP)
    if by_label and len(groups) > 1:
        only_groups = st.multiselect("Only groups of labels", groups, key="only_groups", **KEEP)
    where = choose_where(choices, "only")
    since, until = choose_days(choices, "only")
    return Filters(where, labels, only_groups, since, until)


def choose_where(choices: Choices, prefix: str) -> dict[str, list[str]]:
    """Values of the products' columns; brand and category in sight, others folded away."""
    where = {}
    first = [column for column in FIRST_COLUMNS if column in choices.columns]
    for column in first:
        where[column] = st.multiselect(
            column.capitalize(), choices.columns[column], key=f"{prefix}_{column}", **KEEP
        )
    others = [column for column in choices.columns if column not in first]
    if others:
        with st.expander("More of the products"):
            for column in others:
                where[column] = st.multiselect(
                    column, choices.columns[column], key=f"{prefix}_{column}", **KEEP
                )
    return {column: values for column, values in where.items() if values}


def choose_days(choices: Choices, prefix: str) -> tuple[date | None, date | None]:
    """The first day and the last; None where none is given."""
    if choices.days is None:
        return None, None
    first, last = choices.days
    with st.expander("Date"):
        since = st.date_input("Since", None, first, last, key=f"{prefix}_since", **KEEP)
        until = st.date_input("Until", None, first, last, key=f"{prefix}_until", **KEEP)
    return since, until
