"""Data: what is in a dataset before anything is trained on it."""

from pathlib import Path

import streamlit as st

from fftag.app import shared
from fftag.app.parts import missing, page, show_written


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
    else:
        show_written(shared.dataset(path), "The dataset")


page("Data", "What is in a dataset, before a model is trained on it?", show)
