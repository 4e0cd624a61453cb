"""What is loaded, and by which rules."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fftag.base.errors import FftagError

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
        fresh: nothing of the last load holds but what reviewers said.
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
