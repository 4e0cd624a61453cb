"""Tag: photos in, labels out."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import streamlit as st

from fftag.app import shared
from fftag.app.model_choice import model_folders, names_of
from fftag.app.parts import missing, page, plain, show_scores
from fftag.app.scoring import Scored, Tagger, as_csv, as_parquet, tags_of
from fftag.app.uploads import Caps, File, Upload, laid_down, take

TYPES = ["jpg", "jpeg", "png", "webp", "gif", "tif", "tiff", "bmp", "avif", "zip"]
PER_PAGE = 12
VERDICTS = {"reject": "No apparel", "review": "Perhaps no apparel"}
BY_MODEL, ONE_FOR_ALL = "The model's", "One for all"
RESULTS = "tag_results"


def show() -> None:
    given = shared.settings()
    folders = model_folders(given.model, given.runs)
    if not folders:
        missing("model")
        return
    with st.sidebar:
        names = dict(zip(folders, names_of(folders), strict=True))
        folder = st.selectbox("Model", folders, format_func=names.__getitem__, key="tag_model")
    tagger = shared.tagger(folder)
    with st.sidebar:
        thresholds = choose_thresholds(tagger)
        show_card(tagger)
    uploads, keys = choose_photos()
    if not uploads:
        st.info(
            "Drop photos above: the labels that the model gives them appear here.",
            icon=":material/add_photo_alternate:",
        )
        return
    results = scored(tagger, uploads, keys)
    if results:
        show_results(tagger, uploads, results, thresholds)


def choose_thresholds(tagger: Tagger) -> np.ndarray:
    """The model's, or one for all labels."""
    kind = st.radio(
        "Thresholds", [BY_MODEL, ONE_FOR_ALL], key="tag_thresholds", persist_state="session"
    )
    if kind == BY_MODEL:
        return tagger.bundle.thresholds
    one = st.slider(
        "A label is a tag from this score on",
        *(0.0, 1.0, 0.5, 0.01),
        key="tag_threshold",
        persist_state="session",
    )
    return np.full(len(tagger.bundle.config.labels), one, np.float32)


def show_card(tagger: Tagger) -> None:
    bundle = tagger.bundle
    config = bundle.config
    st.caption(
        plain(
            f"{config.architecture}, {len(config.labels)} labels, "
            f"{config.input.width} x {config.input.height} pixels, id {bundle.model_id[:12]}"
        )
    )
    card = bundle.path / "README.md"
    if card.is_file():
        with st.expander("Model card"):
            text = card.read_text(encoding="utf-8", errors="replace")
            st.code(text.split("---\n", 2)[-1].strip(), language=None, wrap_lines=True)


def choose_photos() -> tuple[list[Upload], list[str]]:
    """What was uploaded, and a key of each photo's content."""
    caps = Caps()
    files: list[File] = list(
        st.file_uploader(
            "Photos, or a zip of them",
            type=TYPES,
            accept_multiple_files=True,
            help=f"Up to {caps.photos} photos at once.",
            key="tag_files",
        )
        or []
    )
    if st.toggle("Use the camera", key="tag_camera"):
        taken = st.camera_input("Take a photo", key="tag_taken")
        files += [taken] if taken is not None else []
    uploads = take(files, caps)
    if uploads.left_out:
        lines = [f"- {plain(line)}" for line in uploads.left_out[:20]]
        more = len(uploads.left_out) - len(lines)
        st.warning("\n".join(["Left out:", *lines, *([f"- and {more} more"] if more else [])]))
    return uploads.photos, [hashlib.sha256(one.data).hexdigest() for one in uploads.photos]


def scored(tagger: Tagger, uploads: Sequence[Upload], keys: Sequence[str]) -> list[Scored]:
    """What the model says; of photos that stay, it is not asked again."""
    known: dict[tuple[str, str, str], Scored] = st.session_state.get(RESULTS, {})
    wanted = [
        (tagger.bundle.model_id, one.name, key) for one, key in zip(uploads, keys, strict=True)
    ]
    new = [at for at, key in enumerate(wanted) if key not in known]
    found = {key: known[key] for key in wanted if key in known}
    if new:
        with st.spinner(f"Scoring {len(new)} photos"):
            answers = tagger([uploads[at] for at in new])
            found |= {wanted[at]: one for at, one in zip(new, answers, strict=True)}
    st.session_state[RESULTS] = found  # of what is there now: no more is held
    return [found[key] for key in wanted]


def show_results(
    tagger: Tagger, uploads: Sequence[Upload], results: list[Scored], thresholds: np.ndarray
) -> None:
    names = tagger.bundle.config.labels.names
    failed = sum(one.scores is None for one in results)
    with st.container(horizontal=True, vertical_alignment="center"):
        counted = "1 photo" if len(results) == 1 else f"{len(results)} photos"
        st.markdown(f"**{counted}**" + (f", {failed} failed" if failed else ""))
        st.download_button(
            "CSV", as_csv(results, names, thresholds), "tags.csv", "text/csv",
            icon=":material/download:",
        )  # fmt: skip
        st.download_button(
            "Parquet", as_parquet(results, names, thresholds), "tags.parquet",
            icon=":material/download:",
        )  # fmt: skip
    at = 0
    if len(results) > 1:
        at = choose_one(results, names, thresholds)
    st.divider()
    show_one(tagger, uploads[at], results[at], thresholds, at)


def choose_one(results: list[Scored], names: Sequence[str], thresholds: np.ndarray) -> int:
    """A gallery; the photo that was clicked on last."""
    pages = -(-len(results) // PER_PAGE)
    first = 0
    if pages > 1:
        first = PER_PAGE * (int(st.number_input("Page", 1, pages, key="tag_page")) - 1)
    chosen = min(st.session_state.get("tag_chosen", first), len(results) - 1)
    with st.container(horizontal=True, gap="small"):
        for at in range(first, min(first + PER_PAGE, len(results))):
            one = results[at]
            with st.container(width=165, gap="small", border=True):
                if one.jpeg is not None:
                    st.image(one.jpeg, alt=one.name, width="stretch")
                tags = [label for label, _ in tags_of(one, names, thresholds)]
                said = VERDICTS.get(one.verdict or "") or ", ".join(tags[:3]) or "no tags"
                st.caption(plain(said if one.scores is not None else one.status))
                st.button(
                    plain(one.name.rsplit("/", 1)[-1]),
                    key=f"tag_open_{at}",
                    width="stretch",
                    type="primary" if at == chosen else "secondary",
                    on_click=choose,
                    args=(at,),
                )
    return int(chosen)


def choose(at: int) -> None:
    st.session_state["tag_chosen"] = at


def show_one(tagger: Tagger, upload: Upload, one: Scored, thresholds: np.ndarray, at: int) -> None:
    """One photo with its scores."""
    labels = tagger.bundle.config.labels
    photo, beside = st.columns([2, 3], gap="large")
    with photo:
        st.header(plain(one.name), anchor=False)
        if one.jpeg is not None:
            st.image(one.jpeg, alt=one.name, width="stretch")
        if one.width:
            st.caption(f"{one.width} x {one.height} pixels")
    with beside:
        if one.scores is None:
            st.error(plain(f"{one.status}: {one.error}"))
            return
        if one.verdict in VERDICTS and one.apparel is not None:
            st.warning(f"{VERDICTS[one.verdict]}: score of the apparel screen {one.apparel:.2f}")
        tags = [label for label, _ in tags_of(one, labels.names, thresholds)]
        best_first = np.argsort(-one.scores, kind="stable")
        show_scores(
            {labels.names[label]: float(one.scores[label]) for label in best_first},
            dict(zip(labels.names, thresholds.tolist(), strict=True)),
            dict(zip(labels.names, labels.groups, strict=True)),
            one.name,
            tag=[labels.names[label] in tags for label in best_first],
        )
        show_heat(tagger, upload, tags, at)


def show_heat(tagger: Tagger, upload: Upload, tags: list[str], at: int) -> None:
    """Where on the photo a label was seen."""
    if not tags:
        st.caption("No label reaches its threshold.")
        return
    with st.expander("Why this label?"):
        label = st.selectbox("Label", tags, key=f"tag_why_{at}")
        if st.button("Show the heat map", key=f"tag_heat_{at}"):
            with laid_down([upload], tagger.spool) as (entry,):
                path = Path(tagger.spool) / entry["image"]
                from fftag.explain.maps import heat_maps  # loads what draws

                found = heat_maps(tagger.bundle, path, [label])
            st.image(found[label], alt=f"Where {label} was seen")


page("Tag", "What does the model see on a photo?", show)
