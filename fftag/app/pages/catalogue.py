"""Catalogue: photos by what is on them, one photo in full, corrections."""

import streamlit as st

from fftag.app import catalogue, shared
from fftag.app.choices import Choices
from fftag.app.filters import choose_search
from fftag.app.parts import missing, page, plain
from fftag.app.photo_page import show_photo
from fftag.app.photos import Photo

SIZES = [24, 48, 96]
TAGS_SHOWN = 4


def show() -> None:
    db = shared.settings().db
    if db is None:
        missing("catalogue")
        return
    choices = shared.choices(db)
    if "image" in st.query_params:
        show_photo(db, choices, st.query_params.get("source", ""), st.query_params["image"])
        return
    with st.sidebar:
        search = choose_search(choices)
        size = st.selectbox("Photos on a page", SIZES, key="find_size", persist_state="session")
    at = page_of(str(search), size)
    found = catalogue.find(db, search, at, size)
    pages = max(1, -(-found.total // size))
    if at >= pages:
        st.session_state["find_page"] = pages
        st.rerun()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.metric("Photos", f"{found.total:,}", help=f"Of {choices.photos:,} in the catalogue")
        st.number_input(f"Page, of {pages:,}", 1, pages, key="find_page", width=170)
        st.button("Previous", key="find_previous", on_click=turn, args=(-1,), disabled=at == 0)
        st.button("Next", key="find_next", on_click=turn, args=(1,), disabled=at + 1 >= pages)
    if not found.photos:
        st.info("No photo is like that: loosen the filters.", icon=":material/search_off:")
    show_grid(found.photos, choices, search.scored)


def page_of(search: str, size: int) -> int:
    """Which page is looked at, from 0; the first one when something else is looked for."""
    looked_for = f"{search} {size}"
    if st.session_state.get("find_before", looked_for) != looked_for:
        st.session_state["find_page"] = 1
    st.session_state["find_before"] = looked_for
    # A page that is not shown would forget it.
    st.session_state["find_page"] = int(st.session_state.get("find_page", 1))
    return int(st.session_state["find_page"]) - 1


def turn(by: int) -> None:
    st.session_state["find_page"] = max(1, int(st.session_state.get("find_page", 1)) + by)


def show_grid(photos: list[Photo], choices: Choices, scored: str | None) -> None:
    """Photos as cards that flow to the width there is."""
    shown = shared.pictures(photos, choices.sources)
    reasons = {one.error for one in shown if one.error and "--photos" in one.error}
    for reason in sorted(reasons):
        st.warning(plain(reason))
    with st.container(horizontal=True, gap="small", key="grid"):
        for number, (one, picture) in enumerate(zip(photos, shown, strict=True)):
            with st.container(width=165, border=True, gap="small"):
                if picture.jpeg is not None:
                    st.image(picture.jpeg, alt=one.image, width="stretch")
                else:
                    st.caption(plain(one.facts["status"] if reasons else picture.error))
                tags = one.labels
                if one.facts["is_apparel"] is False:
                    st.caption("No apparel")
                more = f" +{len(tags) - TAGS_SHOWN}" if len(tags) > TAGS_SHOWN else ""
                st.caption(plain(", ".join(tags[:TAGS_SHOWN]) + more or "no tags"))
                if scored is not None and scored in one.scores:
                    st.caption(plain(f"{scored}: {one.scores[scored]:.2f}"))
                name = one.facts["sku"] or one.image.rsplit("/", 1)[-1]
                st.button(
                    plain(name),
                    key=f"find_open_{number}",
                    on_click=look_at,
                    args=(one.source, one.image),
                    width="stretch",
                )


def look_at(source: str, image: str) -> None:
    st.query_params.from_dict({"source": source, "image": image})


page("Catalogue", "What is in the catalogue, and is it tagged right?", show)
