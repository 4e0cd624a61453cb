"""What is loaded, and by which rules: as it is given, or was to the load before."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb

from fftag.base.errors import FftagError
from fftag.catalogue.database import version_of
from fftag.catalogue.feed import Feed
from fftag.catalogue.label_names import Name

LABELS_BY = ("union", "vote")
DATES = ("auto", "feed", "folder", "exif", "file")
DATE_PATTERN = r"([12][0-9]{3}-[01][0-9](?:-[0-3][0-9])?)"
"""A date or a month in a path, such as `dresses/2025-03/a.jpg`."""


@dataclass(frozen=True)
class Named:
    """A file, and the source (a retailer, a season, a shop) that it is of.

    Attributes:
        path: of a tags file or a feed.
        source: None where it is not said.
    """

    path: Path
    source: str | None = None

    @classmethod
    def parse(cls, text: str) -> "Named":
        """`NAME=path`, or a path alone. A file that is there under the whole text is that file."""
        name, equals, rest = text.partition("=")
        if not equals or not name or "/" in name or Path(text).exists():
            return cls(Path(text))
        return cls(Path(rest), name)


@dataclass(frozen=True)
class LoadOptions:
    """The rules of a load; None where nothing is said, so that the last load's holds, or ours.

    Attributes:
        sku_pattern: regular expression with one group, the sku in an image's path; by default the
            file's name without its ending and a view number (`fftag.catalogue.feed.SKU_PATTERN`).
        columns: what a feed calls its columns: our name -> theirs.
        labels_by: a product has a label that is on one of its photos (`union`, the default), or on
            half of them at least (`vote`).
        dates: where an item's date is from: `feed` (listed_at), `folder` (a date in the path),
            `exif` (when the photo was taken), `file` (when the file was modified), or `auto`, the
            default: the feed where it has dates, else the folder where it has some, else none.
        date_pattern: regular expression with one group, the date in a path: YYYY-MM-DD or YYYY-MM.
        taxonomy: a built-in taxonomy's name or a TOML file: groups, synonyms and translations.
        mix_models: count runs of different models together.
        fresh: nothing that the last load was given holds.
    """

    sku_pattern: str | None = None
    columns: dict[str, str] | None = None
    labels_by: str | None = None
    dates: str | None = None
    date_pattern: str | None = None
    taxonomy: str | None = None
    mix_models: bool | None = None
    fresh: bool = False

    def __post_init__(self) -> None:
        for value, known, flag in (
            (self.labels_by, LABELS_BY, "--labels-by"),
            (self.dates, DATES, "--dates"),
        ):
            if value not in (*known, None):
                raise FftagError(f"{flag} takes {', '.join(known)}, not {value!r}")

    @property
    def given(self) -> dict[str, Any]:
        """What is said, by name."""
        return {
            name: value
            for name, value in asdict(self).items()
            if value is not None and name != "fresh"
        }


def flag(name: str, value: Any) -> str:
    """One of `LoadOptions.given`, as a command line has it."""
    if name == "columns":
        return " ".join(f"--column {ours}={theirs}" for ours, theirs in value.items())
    if isinstance(value, bool):
        name, value = name if value else f"no_{name}", ""
    return f"--{name.replace('_', '-')} {value}".rstrip()


@dataclass(frozen=True)
class LastLoad:
    """What people gave to a load, then or before.

    Attributes:
        loaded_at: when it was; None for none.
        sources: what was loaded.
        feeds: source -> its feed; None where an older fftag kept its products alone.
        given: the rules (see `LoadOptions.given`).
        names: of the labels, by the taxonomy as it was then; None where they were not kept.
    """

    loaded_at: datetime | None = None
    sources: Sequence[str] = ()
    feeds: Mapping[str, Feed | None] = field(default_factory=dict)
    given: Mapping[str, Any] = field(default_factory=dict)
    names: Sequence[Name] | None = None

    def renamed(self, sources: Sequence[str]) -> tuple[str, str] | None:
        """The only source then, and now: a folder may be given by another name."""
        if len(self.sources) == len(sources) == 1:
            return self.sources[0], sources[0]
        return None

    def feeds_of(self, sources: Sequence[str], given: Collection[str]) -> dict[str, Feed]:
        """The feeds of sources that are loaded without one.

        Args:
            sources: all that are loaded.
            given: those with a feed of their own.

        Raises:
            FftagError: there was a feed of a source that is not loaded, or one that is not there
                in full.
        """
        before, now = self.renamed(sources) or ("", "")
        feeds = {now if name == before else name: feed for name, feed in self.feeds.items()}
        found = {}
        for source, feed in feeds.items():
            if source not in sources:
                raise FftagError(
                    f"the catalogue has a feed of {source!r}, of which no tags are given (there "
                    f"are {', '.join(sources)}): name its tags file as well, as in "
                    f"{source}=tags.parquet, or leave the feed out with `fftag load --fresh`"
                )
            if source in given:
                continue
            if feed is None:
                raise FftagError(
                    f"the catalogue has products of {source!r}, and an older fftag, which loaded "
                    "them, did not keep how photos find them: give --products once more, or leave "
                    "them out with `fftag load --fresh`"
                )
            found[source] = feed
        return found


def loaded_at(old: duckdb.DuckDBPyConnection) -> datetime | None:
    """When a catalogue was loaded."""
    ((moment,),) = old.execute("select max(loaded_at) from runs").fetchall()
    return moment


def read_last_load(old: duckdb.DuckDBPyConnection, db: Path, fresh: bool) -> LastLoad:
    """What the load was given that made a catalogue; of what it was given nothing, for `fresh`."""
    sources = [name for (name,) in old.execute("select distinct source from runs").fetchall()]
    if fresh:
        return LastLoad(loaded_at(old), sources)
    if version_of(old, db) == 1:
        return _of_version_1(old, sources)
    ((given,),) = old.execute("select given from settings").fetchall()
    names = old.execute('select label, "group", name, language from label_names').fetchall()
    feeds = old.execute("select source, location, sku_pattern from feeds").fetchall()
    return LastLoad(
        loaded_at(old),
        sources,
        {source: _feed(old, source, location, pattern) for source, location, pattern in feeds},
        json.loads(given),
        [Name(*row) for row in names],
    )


def _feed(old: duckdb.DuckDBPyConnection, source: str, location: str, pattern: str | None) -> Feed:
    of_source = {"source": source}
    products = old.sql(
        "select * exclude (source) from products where source = $source", params=of_source
    ).to_arrow_table()
    photos = old.sql(
        "select image, sku from product_photos where source = $source", params=of_source
    ).to_arrow_table()
    return Feed(products, photos, pattern, Path(location))


def _of_version_1(old: duckdb.DuckDBPyConnection, sources: list[str]) -> LastLoad:
    ((labels_by, dates, mixed, taxonomy),) = old.execute(
        "select labels_by, dates_from, models_mixed, taxonomy from settings"
    ).fetchall()
    given = {
        "labels_by": labels_by if labels_by != "union" else None,
        # The others may have been chosen for want of a word.
        "dates": dates if dates in ("exif", "file") else None,
        "mix_models": mixed or None,
        "taxonomy": taxonomy,
    }
    feeds = old.execute("select distinct source from products").fetchall()
    return LastLoad(
        loaded_at(old),
        sources,
        {source: None for (source,) in feeds},
        {name: value for name, value in given.items() if value is not None},
    )
