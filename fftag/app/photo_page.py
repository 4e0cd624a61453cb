"""One photo of the catalogue: its scores, its product, what is like it, and what it truly shows."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import streamlit as st

from fftag.app import catalogue, shared
from fftag.app.choices import Choices
from fftag.app.parts import plain, show_scores
from fftag.app.photos import Photo
from fftag.app.thumbnails import LARGE
from fftag.reports.review_queue import Answered, take_answers

OPEN, RIGHT, WRONG, WITHDRAWN = "open", "right", "wrong", "withdraw"
NONE = "none of its group"
SHOWN = {RIGHT: True, WRONG: False, NONE: False, WITHDRAWN: None}
SAID = {True: "shows it", False: "does not", None: ""}
FACTS = ("source", "sku", "status", "error", "width", "height", "format", "dated", "taken_at")
MORE_FACTS = ("apparel_score", "is_apparel", "file_size", "tagged_at", "model_id")


def show_photo(db: Path, choices: Choices, source: str, image: str) -> None:
    """Draws the page.

    Args:
        db: the catalogue.
        choices: what is in it.
        source: of the photo.
        image: its path.

    Raises:
        FftagError: the catalogue cannot be asked, or corrections cannot be written.
    """
    st.button("Back to the photos", icon=":material/arrow_back:", on_click=st.query_params.clear)
    one = catalogue.photo(db, source, image)
    st.header(plain(image), anchor=False)
    if one is None:
        st.warning("The catalogue has no such photo any more: a load may have taken it out.")
        return
    left, right = st.columns([2, 3], gap="large")
    with left:
        (picture,) = shared.pictures([one], choices.sources, LARGE)
        if picture.jpeg is not None:
            st.image(picture.jpeg, alt=image, width="stretch")
        else:
            st.warning(plain(picture.error))
        show_product(one)
        show_facts(one)
    with right:
        if one.scores:
            correct(db, choices, one)
            best_first = sorted(one.scores, key=lambda label: -one.scores[label])
            with st.expander("All scores"):
                show_scores(
                    {label: one.scores[label] for label in best_first},
                    choices.thresholds,
                    choices.labels,
                    image,
                    tag=[label in one.tagged for label in best_first],
                    reviewer=[SAID[one.said.get(label)] for label in best_first],
                )
        else:
            st.error(plain(f"{one.facts['status']}: {one.facts['error']}"))
    if one.scores:
        show_neighbours(db, choices, one)


def show_product(one: Photo) -> None:
    product = one.facts["product"]
    if product is None:
        st.caption("It belongs to no product of the feed.")
        return
    st.markdown("**Product**")
    show_pairs({name: value for name, value in product.items() if name != "source"})


def show_facts(one: Photo) -> None:
    with st.expander("The file"):
        show_pairs({name: one.facts.get(name) for name in (*FACTS, *MORE_FACTS)})


def show_pairs(pairs: Mapping[str, object]) -> None:
    """Names and values as a table."""
    rows = [
        {"": plain(name.replace("_", " ")), "value": plain(value)}
        for name, value in pairs.items()
        if value is not None
    ]
    st.table(pd.DataFrame(rows), hide_index=True, hide_header=True, border="horizontal")


def correct(db: Path, choices: Choices, one: Photo) -> None:
    """A question per tag, and labels to add; saved together.

    What was said before can be said otherwise, or withdrawn: then the model's tag stands again.
    """
    key = f"{one.source}/{one.image}"
    if saved := st.session_state.pop("review_saved", None):
        st.success(saved, icon=":material/check:")
    st.markdown("**Labels**")
    with st.form(f"review {key}"):
        answers = {}
        refuted = {name for name, shown in one.said.items() if not shown}
        asked = [*one.labels, *sorted(refuted | (one.offered.keys() - set(one.labels)))]
        for label in asked:
            said = one.said.get(label)
            score = one.scores.get(label)
            shown = f"{label} ({score:.2f})" if score is not None else label
            if label in one.offered:
                shown += f"; an earlier picture of it {SAID[one.offered[label]]}"
            none = [NONE] if choices.labels.get(label) is not None else []
            answers[label] = st.radio(
                plain(shown),
                [OPEN, RIGHT, WRONG, *none] if said is None else [RIGHT, WRONG, *none, WITHDRAWN],
                index=1 if said is False else 0,
                horizontal=True,
                # Another key where there are other answers: none is left over from before.
                key=f"{'review' if said is None else 'said'} {key} {label}",
            )
        if not asked:
            st.caption("The model gave it no label.")
        missing = [label for label in choices.labels if label not in asked]
        added = st.multiselect("Add labels that the photo shows", missing, key=f"add {key}")
        whole = st.checkbox(
            "It shows no other label",
            key=f"whole {key}",
            help="Says no to all others: `fftag review manifest` takes photos that were asked all.",
        )
        reviewer = st.text_input("Reviewer", key="reviewer", persist_state="session")
        save = st.form_submit_button("Save", type="primary", icon=":material/save:")
    if save:
        answers |= dict.fromkeys(added, RIGHT)
        if whole:
            answers |= dict.fromkeys((name for name in missing if name not in added), WRONG)
        decided = {
            label: answer
            for label, answer in sorted(answers.items(), key=lambda one: one[1] != NONE)
            if answer == NONE or (answer != OPEN and one.said.get(label) is not SHOWN[answer])
        }
        content = one.facts["content_sha256"]
        given = [
            Answered(
                one.image,
                one.source,
                label,
                label in one.tagged,
                SHOWN[answer],
                content,
                answer == NONE,
            )
            for label, answer in decided.items()
        ]
        if not given:
            st.info("Nothing to save: say right or wrong of a label, or add one.")
            return
        fix = "a load has changed the catalogue: look at the photo again"
        take_answers(db, given, reviewer.strip() or None, "the app", fix)
        withdrawn = sum(answer.shown is None for answer in given)
        done = {"saved": len(given) - withdrawn, "withdrawn": withdrawn}
        st.session_state["review_saved"] = "; ".join(
            f"{count} correction{'s' if count > 1 else ''} {what}"
            for what, count in done.items()
            if count
        )
        st.rerun()


def show_neighbours(db: Path, choices: Choices, one: Photo) -> None:
    """The photos most like it."""
    st.markdown("**Nearest by labels**")
    near = catalogue.neighbours(db, one)
    with st.container(horizontal=True, gap="small"):
        for number, (other, picture) in enumerate(
            zip(near, shared.pictures(near, choices.sources), strict=True)
        ):
            with st.container(width=130, gap="small"):
                if picture.jpeg is not None:
                    st.image(picture.jpeg, alt=other.image, width="stretch")
                st.button(
                    plain(other.facts["sku"] or other.image.rsplit("/", 1)[-1]),
                    key=f"near_{number}",
                    help=plain(f"{', '.join(other.labels)} (distance {other.distance:.2f})"),
                    on_click=st.query_params.from_dict,
                    args=({"source": other.source, "image": other.image},),
                    width="stretch",
                )
