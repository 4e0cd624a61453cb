"""The sheet of labels to look at: written for a spreadsheet, corrected there, and read back."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from fftag.base.atomic import Kind, replacing
from fftag.base.errors import FftagError
from fftag.base.tables import FIRST_ROW, need_columns, read_table

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")
QUOTE = "'"
YES = frozenset(("yes", "y", "true", "1"))
NO = frozenset(("no", "n", "false", "0"))
COLUMNS = ("rank", "image", "label", "given", "suggested", "score", "quality", "correct")
KEYS = ["image", "label", "given", "correct"]
"""The columns that are read back; the others are for whoever looks."""


@dataclass(frozen=True)
class Suspect:
    """A label, given or not given to a photo, that is likely wrong.

    Attributes:
        image: the photo, as the manifest names it.
        label: the label's name.
        given: whether the photo has it in the manifest.
        score: what a model that was not trained on the photo gives, in 0..1.
        quality: how likely what was given is right, in 0..1.
    """

    image: str
    label: str
    given: bool
    score: float
    quality: float


@dataclass(frozen=True)
class Correction:
    """What a person wrote into the sheet.

    Attributes:
        image: the photo.
        label: the label.
        given: what the manifest said when the sheet was made.
        correct: whether the photo has the label; None where the person wrote nothing.
        row: of the sheet, counting its header.
    """

    image: str
    label: str
    given: bool
    correct: bool | None
    row: int


def defused(text: str) -> str:
    """The text, so that no spreadsheet takes it for a formula; `fused` gives it back.

    An apostrophe goes in front of what would begin a formula, and of what begins with one already.
    """
    return QUOTE + text if text.startswith((*FORMULA_STARTS, QUOTE)) else text


def fused(text: str) -> str:
    """What `defused` was given."""
    return text[1:] if text.startswith(QUOTE) else text


def unanswered(columns: Sequence[str]) -> Kind:
    """A CSV of these columns in whose column `correct` nobody has written anything yet."""

    def knows(path: Path) -> bool:
        try:
            with path.open(encoding="utf-8-sig", newline="") as file:
                rows = csv.DictReader(file)
                if list(rows.fieldnames or ()) != list(columns):
                    return False
                return not any((row["correct"] or "").strip() for row in rows)
        except (UnicodeDecodeError, csv.Error):
            return False

    return Kind("such a sheet without answers", knows)


UNANSWERED = unanswered(COLUMNS)


def write_sheet(path: Path, suspects: Sequence[Suspect]) -> None:
    """Writes a CSV that spreadsheets open as it is meant, one row per suspect, atomically.

    Its column `correct` is empty: it is for the person who looks.

    Raises:
        FftagError: it cannot be written, or there is another file, or a sheet with answers.
    """
    frame = pd.DataFrame(
        {
            "rank": range(1, len(suspects) + 1),
            "image": [defused(one.image) for one in suspects],
            "label": [defused(one.label) for one in suspects],
            "given": [_word(one.given) for one in suspects],
            "suggested": [_word(not one.given) for one in suspects],
            "score": [f"{one.score:.4f}" for one in suspects],
            "quality": [f"{one.quality:.4f}" for one in suspects],
            "correct": "",
        }
    )
    with replacing(path, UNANSWERED) as temporary:
        # With a byte order mark, spreadsheets read UTF-8 as such.
        frame.to_csv(temporary, index=False, encoding="utf-8-sig", lineterminator="\r\n")


def read_sheet(path: Path) -> list[Correction]:
    """Reads the sheet back, as CSV or Excel.

    Raises:
        FftagError: a column is missing, or a cell of `given` or `correct` is neither yes nor no.
    """
    if path.suffix.lower() not in (".csv", ".xlsx"):
        raise FftagError(f"{path} is no sheet: give the review.csv, or save it as .xlsx")
    frame, _ = read_table(path)
    fix = "give the sheet that `fftag data review` wrote, saved with commas or as .xlsx"
    need_columns(frame, KEYS, path, fix)
    found = []
    cells = zip(*(frame[column] for column in KEYS), strict=True)
    for row, (image, label, given, correct) in enumerate(cells, FIRST_ROW):
        if pd.isna(image) or pd.isna(label):
            raise FftagError(f"{path}, row {row}: no image, or no label: {fix}")
        was, now = yes_or_no(given, path, row, "given"), yes_or_no(correct, path, row, "correct")
        if was is None:
            raise FftagError(f"{path}, row {row}: column given is empty: {fix}")
        found.append(Correction(fused(str(image)), fused(str(label)), was, now, row))
    return found


def _word(answer: bool) -> str:
    return "yes" if answer else "no"


def yes_or_no(cell: object, path: Path, row: int, column: str) -> bool | None:
    """What a cell says; None where it is empty.

    Raises:
        FftagError: it says neither.
    """
    word = "" if pd.isna(cell) else str(cell).strip().lower()  # type: ignore[call-overload]
    if word and word not in YES | NO:
        raise FftagError(f"{path}, row {row}: {column} is {word!r}: write yes, no, or nothing")
    return word in YES if word else None
