"""What the sessions of an app share, each made once: models, thumbnails, answers of reports."""

import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from fftag.app import written_pages
from fftag.app.catalogue import stamp as stamp_of
from fftag.app.choices import Choices
from fftag.app.choices import choices as choices_of
from fftag.app.photos import Photo
from fftag.app.scoring import Tagger
from fftag.app.settings import Settings
from fftag.app.thumbnails import SMALL, Held, Shown, Thumbnails, Wanted
from fftag.base.errors import FftagError
from fftag.models.folder import DIGESTS, load_bundle
from fftag.photos.sources.choose import choose_source
from fftag.photos.sources.local import Folder
from fftag.reports.ask import Answer, Filters, run_report
from fftag.reports.charts import draw

MODELS_HELD = 2
FOLDERS_HELD = 8
ANSWERS_HELD = 64
PAGES_HELD = 4
DRAWING = threading.Lock()
"""Of whoever draws: matplotlib's settings are those of the whole process."""
ELSEWHERE = "photos of this source lie in {0}, which the app does not open: give --photos FOLDER"


def settings() -> Settings:
    """What the app was started with."""
    return Settings.from_environment()


@st.cache_resource
def _spool() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="fftag-app-")


@st.cache_resource(
    max_entries=MODELS_HELD,
    show_spinner="Loading the model",
    on_release=lambda tagger: tagger.close(),
)
def _tagger(folder: Path, digests: str) -> Tagger:
    return Tagger(load_bundle(folder), Path(_spool().name))


def tagger(folder: Path) -> Tagger:
    """A model ready to score; the one that the folder holds by now.

    Raises:
        FftagError: see `fftag.models.folder.load_bundle`.
    """
    file = folder / DIGESTS
    digests = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
    return _tagger(folder, digests)


@st.cache_resource
def _held() -> Held:
    return Held()


@st.cache_resource(max_entries=FOLDERS_HELD, on_release=lambda thumbnails: thumbnails.close())
def _thumbnails(root: Path) -> Thumbnails:
    return Thumbnails(root, _held())


@st.cache_data(max_entries=4, show_spinner=False)
def _choices(db: Path, stamp: str) -> Choices:
    return choices_of(db)


def choices(db: Path) -> Choices:
    """What there is to choose from in a catalogue, as it is now.

    Raises:
        FftagError: see `fftag.catalogue.database.asking`.
    """
    found: Choices = _choices(db, stamp_of(db))
    return found


@st.cache_data(max_entries=ANSWERS_HELD, show_spinner="Asking the catalogue")
def _answer(
    db: Path, stamp: str, name: str, given: dict[str, str], filters: Filters
) -> tuple[Answer, bytes | None]:
    found = run_report(db, name, given, filters)
    with DRAWING:
        return found, None if found.table.empty else draw(found)


def answer(
    db: Path, name: str, given: dict[str, str], filters: Filters
) -> tuple[Answer, bytes | None]:
    """What a report finds in a catalogue, as it is now, and its picture (PNG), if it has one.

    Raises:
        FftagError: see `fftag.reports.ask.run_report`.
    """
    found: tuple[Answer, bytes | None] = _answer(db, stamp_of(db), name, given, filters)
    return found


@st.cache_data(max_entries=PAGES_HELD, show_spinner="Looking through the dataset")
def _dataset(path: Path, changed: int) -> str:
    with DRAWING:
        return written_pages.dataset_page(path)


def dataset(path: Path) -> str:
    """The page of a manifest as it is now.

    Raises:
        FftagError: see `fftag.data.manifest.read_manifest`.
    """
    found: str = _dataset(path, _changed(path))
    return found


@st.cache_data(max_entries=PAGES_HELD, show_spinner="Comparing the models")
def _comparison(models: tuple[Path, ...], split: str, changed: tuple[int, ...]) -> str:
    with DRAWING:
        return written_pages.comparison_page(models, split)


def comparison(models: Sequence[Path], split: str) -> str:
    """The page that compares models as they are now, with the first.

    Raises:
        FftagError: see `fftag.evaluation.runs.load_runs`.
    """
    changed = tuple(
        _changed(file)
        for model in models
        for file in (model / DIGESTS, written_pages.predictions_of(model, split))
    )
    found: str = _comparison(tuple(models), split, changed)
    return found


def _changed(path: Path) -> int:
    """What tells a file from what takes its place."""
    return path.stat().st_mtime_ns if path.exists() else 0


def photo_folder(source: str, location: str) -> Path:
    """Where the photos of a source lie: as the app was told, or where they were tagged.

    Raises:
        FftagError: the app does not open such a place, or it is not there.
    """
    given = settings().photos or {}
    folder = given.get(source, given.get(""))
    if folder is None:
        try:
            found = choose_source(location)
        except FftagError as error:
            raise FftagError(ELSEWHERE.format(location)) from error
        if not isinstance(found, Folder):
            raise FftagError(ELSEWHERE.format(location))
        folder = found.root
    if not folder.is_dir():
        raise FftagError(f"the photos are not in {folder}: give --photos FOLDER")
    return folder


def pictures(photos: Sequence[Photo], locations: dict[str, str], side: int = SMALL) -> list[Shown]:
    """Photos as they can be shown, in their order; one that cannot says why."""
    shown: dict[int, Shown] = {}
    for source in dict.fromkeys(one.source for one in photos):
        places = [at for at, one in enumerate(photos) if one.source == source]
        try:
            folder = photo_folder(source, locations.get(source, ""))
        except FftagError as error:
            shown |= dict.fromkeys(places, Shown(None, str(error)))
            continue
        wanted = [Wanted(photos[at].image, photos[at].facts["content_sha256"]) for at in places]
        shown |= dict(zip(places, _thumbnails(folder)(wanted, side), strict=True))
    return [shown[at] for at in range(len(photos))]
