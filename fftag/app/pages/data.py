"""Data: what is in a dataset before anything is trained on it."""

from pathlib import Path

import numpy as np
import streamlit as st

from fftag.app import shared
from fftag.app.parts import missing, page, plain, show_section
from fftag.app.thumbnails import Wanted
from fftag.datasets.manifest import Manifest

SAMPLES_SHOWN = 12


def show() -> None:
    given = shared.settings()
    path = given.data
    if given.local:
        text = st.text_input(
            "Manifest (Parquet, CSV or Excel)",
            str(path or ""),
            key="data_manifest",
            persist_state="session",
        )
        path = Path(text.strip()) if text.strip() else None
    if path is None:
        missing("manifest")
        return
    manifest, sections = shared.dataset(path)
    st.caption(
        plain(
            f"{len(manifest):,} photos and {len(manifest.labels)} labels. "
            f"Fingerprint {manifest.fingerprint[:12]}."
        )
    )
    headings = [section.heading for section in sections]
    chosen = st.pills(
        "Part", [*headings, "Sample photos"], default=headings[0], required=True, key="data_part"
    )
    if chosen in headings:
        show_section(sections[headings.index(chosen)])
    else:
        show_samples(path, manifest)


def show_samples(path: Path, manifest: Manifest) -> None:
    """Photos drawn at random, with their labels."""
    st.header("Sample photos", anchor=False)
    st.button("Draw others", key="data_draw", on_click=draw_others)
    order = np.random.default_rng(st.session_state.get("data_seed", 0)).permutation(len(manifest))
    rows = manifest.frame.iloc[order[:SAMPLES_SHOWN]]
    pictures = shared.manifest_pictures(path, [Wanted(str(image)) for image in rows["image"]])
    with st.container(horizontal=True, gap="small"):
        for image, labels, picture in zip(rows["image"], rows["labels"], pictures, strict=True):
            with st.container(width=165, border=True, gap="small"):
                if picture.jpeg is not None:
                    st.image(picture.jpeg, alt=str(image), width="stretch")
                else:
                    st.caption(plain(picture.error))
                st.caption(plain(", ".join(labels) or "no labels"))


def draw_others() -> None:
    st.session_state["data_seed"] = st.session_state.get("data_seed", 0) + 1


page("Data", "What is in a dataset, before a model is trained on it?", show)
