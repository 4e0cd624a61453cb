"""What reviewers said belongs to the content of a photo, wherever it lies; none of it is lost."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from catalogues import Catalog, as_version_1, ask, digest_of

from fftag.base.errors import FftagError
from fftag.catalogue.database import SCHEMA_VERSION
from fftag.catalogue.load import load
from fftag.catalogue.options import LoadOptions
from fftag.reports.ask import run_report
from fftag.reports.review_queue import Answered, export_queue, import_answers, take_answers

RED, BLUE, GREEN = (digest_of(name) for name in ("red", "blue", "green"))


def tagged(folder: Path, contents: dict[str, str], **more: Any) -> Path:
    """A tags file of photos by their content; the model sees a cape on each."""
    seen = {image: ["cape"] for image in contents}
    catalog = Catalog(["cape", "hat"], seen, contents=contents, **more)
    return catalog.write(folder / "tags.parquet")


def hats(db: Path) -> list[str]:
    found = ask(db, "select image from photo_labels where label = 'hat' order by image")
    return [image for (image,) in found]


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """a.jpg is red and b.jpg blue; a reviewer said that a.jpg shows a hat."""
    path = tmp_path / "c.duckdb"
    load(tagged(tmp_path, {"a.jpg": RED, "b.jpg": BLUE}), path)
    take_answers(path, [Answered("a.jpg", "photos", "hat", False, True)], "ada", "it", "")
    assert hats(path) == ["a.jpg"]
    return path


def test_another_picture_at_the_path_has_no_correction(tmp_path: Path, db: Path) -> None:
    summary = load(tagged(tmp_path, {"a.jpg": GREEN, "b.jpg": BLUE}), db)
    assert hats(db) == []
    assert (summary.corrections, summary.orphaned) == (1, 1)
    assert "1 corrections of reviewers; 1 are of photos that are not there now" in "".join(
        summary.lines()
    )
    assert "corrections" not in run_report(db, "share").basis
    assert ask(db, "select image, label, verdict, reviewer from orphaned_corrections") == [
        ("a.jpg", "hat", "is", "ada")
    ]
    # It waits for its photo.
    summary = load(tagged(tmp_path, {"z.jpg": RED, "a.jpg": GREEN}), db)
    assert (hats(db), summary.orphaned) == (["z.jpg"], 0)
    assert "With 1 corrections of reviewers." in run_report(db, "share").basis


def test_a_correction_follows_its_photo_to_every_place(tmp_path: Path, db: Path) -> None:
    load(tagged(tmp_path, {"new/a.jpg": RED, "a.jpg": BLUE, "copy.jpg": RED}), db)
    assert hats(db) == ["copy.jpg", "new/a.jpg"]
    shown = ask(db, "select item from item_labels join items using (item_id) where label = 'hat'")
    assert sorted(shown) == [("copy.jpg",), ("new/a.jpg",)]
    # Said of one, it is said of all; and so it is withdrawn.
    answer = Answered("copy.jpg", "photos", "hat", False, None)
    take_answers(db, [answer], None, "it", "")
    assert hats(db) == [] and ask(db, "from corrections") == []


def test_a_correction_holds_in_another_source(tmp_path: Path, db: Path) -> None:
    load(tagged(tmp_path, {"x.jpg": RED}, source="shop"), db)
    assert hats(db) == ["x.jpg"]


def test_a_correction_follows_its_label_to_another_name(tmp_path: Path, db: Path) -> None:
    (tmp_path / "own.toml").write_text('[[label]]\nname = "headwear"\nsynonyms = ["hat", "cap"]\n')
    load(tmp_path / "tags.parquet", db, None, LoadOptions(taxonomy=str(tmp_path / "own.toml")))
    assert ask(db, "select image, label from photo_labels where image = 'a.jpg' order by all") == [
        ("a.jpg", "cape"),
        ("a.jpg", "headwear"),
    ]
    # The latest word counts, whichever name it was said under; and all of it is withdrawn together.
    for label, shown, found in (
        ("cap", False, []),
        ("headwear", True, ["a.jpg"]),
        ("hat", None, []),
    ):
        take_answers(db, [Answered("a.jpg", "photos", label, False, shown)], None, "it", "")
        asked = ask(db, "select image from photo_labels where label = 'headwear'")
        assert [image for (image,) in asked] == found
    assert ask(db, "from corrections") == []


def test_a_photo_that_cannot_be_read_any_more_leaves_an_orphan(tmp_path: Path, db: Path) -> None:
    failed = Catalog(
        ["cape", "hat"], {"a.jpg": "unreadable", "b.jpg": []}, contents={"b.jpg": BLUE}
    )
    assert load(failed.write(tmp_path / "tags.parquet"), db).orphaned == 1
    answer = Answered("a.jpg", "photos", "cape", False, True)
    with pytest.raises(FftagError, match=r"1 answers of no photo that could be read .*'a\.jpg'"):
        take_answers(db, [answer], None, "it", "look again")
    assert load(tagged(tmp_path, {"a.jpg": RED}), db).orphaned == 0
    assert hats(db) == ["a.jpg"]


def filled(sheet: Path, answers: dict[tuple[str, str], str]) -> Path:
    frame = pd.read_csv(sheet, dtype=str, keep_default_na=False)
    keys = zip(frame["image"], frame["label"], strict=True)
    frame["correct"] = [answers.get(key, "") for key in keys]
    frame.to_csv(sheet, index=False)
    return sheet


def test_an_answer_is_about_the_picture_that_was_looked_at(tmp_path: Path, db: Path) -> None:
    sheet = tmp_path / "queue.csv"
    export_queue(db, sheet, 9, 99)
    filled(sheet, {("b.jpg", "hat"): "yes", ("b.jpg", "cape"): "no"})
    load(tagged(tmp_path, {"a.jpg": RED, "b.jpg": GREEN, "blue.jpg": BLUE}), db)
    assert import_answers(db, sheet).orphaned == 0
    assert hats(db) == ["a.jpg", "blue.jpg"]
    assert ask(db, "select image from photo_labels where label = 'cape' order by image") == [
        ("a.jpg",),
        ("b.jpg",),
    ]


def test_a_sheet_is_taken_without_the_photos_that_vanished(tmp_path: Path, db: Path) -> None:
    sheet = tmp_path / "queue.csv"
    export_queue(db, sheet, 9, 99)
    filled(sheet, {("a.jpg", "cape"): "yes", ("b.jpg", "hat"): "yes", ("b.jpg", "cape"): "yes"})
    load(tagged(tmp_path, {"a.jpg": RED}), db)
    imported = import_answers(db, sheet)
    assert (imported.answers, imported.orphaned, imported.left_out) == (3, 2, [])
    assert any("2 answers are of photos that are not there any more" in x for x in imported.lines())
    assert load(tagged(tmp_path, {"back.jpg": BLUE}), db).corrections == 4
    assert hats(db) == ["back.jpg"]


def test_a_sheet_without_contents_goes_by_path_and_names_what_it_leaves_out(
    tmp_path: Path, db: Path
) -> None:
    rows = [
        *(("a.jpg", "hat", "no"), ("gone.jpg", "hat", "yes"), ("gone too.jpg", "cape", "yes")),
        ("b.jpg", "sock", "yes"),
    ]
    frame = pd.DataFrame(rows, columns=["image", "label", "correct"])
    frame.assign(source="photos", tagged="no").to_csv(tmp_path / "own.csv", index=False)
    imported = import_answers(db, tmp_path / "own.csv")
    assert imported.answers == 1 and hats(db) == []
    assert imported.left_out == [
        "2 answers of no photo that could be read in the catalogue: 'gone too.jpg', 'gone.jpg'",
        "1 answers of no label in the catalogue: 'sock'",
    ]
    assert json.loads(json.dumps(imported.to_json()))["left_out"] == imported.left_out


def test_corrections_by_path_go_to_the_content_that_lay_there(tmp_path: Path) -> None:
    db = tmp_path / "c.duckdb"
    load(tagged(tmp_path, {"a.jpg": RED, "b.jpg": BLUE}), db)
    said = [("a.jpg", "photos", "hat", True), ("b.jpg", "photos", "cape", False)]
    as_version_1(db, [*said, ("long gone.jpg", "photos", "hat", True)])
    with pytest.raises(FftagError, match="loaded by an older fftag: load it again"):
        run_report(db, "share")
    with pytest.raises(FftagError, match="loaded by an older fftag: load it again"):
        take_answers(db, [Answered("a.jpg", "photos", "hat", False, True)], None, "it", "")
    summary = load(tagged(tmp_path, {"a.jpg": GREEN, "moved.jpg": RED, "b.jpg": BLUE}), db)
    assert (summary.corrections, summary.orphaned) == (3, 1)
    assert hats(db) == ["moved.jpg"]
    assert ask(db, "select image, content_sha256 from orphaned_corrections") == [
        ("long gone.jpg", None)
    ]
    assert ask(db, "select schema_version from settings") == [(SCHEMA_VERSION,)]
    assert load(tagged(tmp_path, {"a.jpg": GREEN}), db).corrections == 3
