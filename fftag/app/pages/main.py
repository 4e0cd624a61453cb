"""The script that Streamlit runs: the pages and the way between them."""

import os

import streamlit as st

from fftag.app.icon import icon
from fftag.app.settings import FOLDER

if FOLDER in os.environ:  # by now Streamlit has read its settings, elsewhere
    os.chdir(os.environ[FOLDER])

st.set_page_config(page_title="fftag", page_icon=icon(), layout="wide")
st.navigation(
    [
        st.Page("tag.py", title="Tag", icon=":material/sell:", default=True),
        st.Page("catalogue.py", title="Catalogue", icon=":material/grid_view:"),
        st.Page("trends.py", title="Trends", icon=":material/trending_up:"),
        st.Page("models.py", title="Models", icon=":material/model_training:"),
        st.Page("data.py", title="Data", icon=":material/dataset:"),
    ],
    position="top",
).run()
