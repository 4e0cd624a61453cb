"""What reviewers said belongs to the content of a photo, wherever it lies; none of it is lost."""

import json
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from catalogues import Catalog, as_version_1, as_version_2, ask, digest_of, write_feed

from fftag.base.errors import FftagError
from fftag.catalogue.database import SCHEMA_VERSION, corrections_file
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


def said_in_file(db: Path) -> list[tuple[Any, ...]]:
    """Label, verdict and reviewer of all that was said, by the plain DuckDB shell."""
    query = f"select label, verdict, reviewer from '{corrections_file(db)}' order by reviewed_at"
    return duckdb.sql(query).fetchall()


def test_corrections_outlive_the_catalogue(tmp_path: Path, db: Path) -> None:
    assert said_in_file(db) == [("hat", "is", "ada")]
    db.unlink()
    assert load(tmp_path / "tags.parquet", db).corrections == 1
    assert hats(db) == ["a.jpg"]
    load(tmp_path / "tags.parquet", db, None, LoadOptions(fresh=True))
    assert hats(db) == ["a.jpg"]
    # They lie with their catalogue, not with another in the same folder.
    assert load(tmp_path / "tags.parquet", tmp_path / "other.duckdb").corrections == 0


def test_a_lost_file_is_written_anew_of_what_the_catalogue_has(
    tmp_path: Path, db: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = corrections_file(db).read_bytes()
    take_answers(db, [Answered("b.jpg", "photos", "hat", False, True)], "bea", "it", "")
    capsys.readouterr()
    corrections_file(db).write_bytes(old)  # a backup
    assert load(tmp_path / "tags.parquet", db).corrections == 2
    assert f"1 corrections that only {db} had go to" in capsys.readouterr().err
    corrections_file(db).unlink()
    take_answers(db, [Answered("b.jpg", "photos", "cape", True, False)], "cid", "it", "")
    assert said_in_file(db) == [
        ("hat", "is", "ada"),
        ("hat", "is", "bea"),
        ("cape", "not", "cid"),
    ]


def test_what_was_withdrawn_does_not_come_back_with_an_old_catalogue(
    tmp_path: Path, db: Path
) -> None:
    old = db.read_bytes()
    take_answers(db, [Answered("a.jpg", "photos", "hat", False, None)], "bea", "it", "")
    db.write_bytes(old)
    assert hats(db) == ["a.jpg"]
    assert load(tmp_path / "tags.parquet", db).corrections == 0
    assert hats(db) == []
    assert said_in_file(db) == [("hat", "is", "ada"), ("hat", "withdrawn", "bea")]


def test_the_later_word_counts_whatever_the_clocks_say(tmp_path: Path, db: Path) -> None:
    file = corrections_file(db)
    table = pq.read_table(file)
    ahead = pa.array([datetime(2999, 1, 1)], table.schema.field("reviewed_at").type)
    pq.write_table(
        table.set_column(table.schema.names.index("reviewed_at"), "reviewed_at", ahead), file
    )
    for shown, found in ((False, []), (True, ["a.jpg"]), (None, [])):
        take_answers(db, [Answered("a.jpg", "photos", "hat", False, shown)], None, "it", "")
        assert hats(db) == found
        load(tmp_path / "tags.parquet", db)
        assert hats(db) == found


@pytest.mark.parametrize("kind", ["cut short", "another table", "a folder"])
def test_a_file_of_corrections_that_cannot_be_read_is_refused(
    tmp_path: Path, db: Path, kind: str
) -> None:
    file, before = corrections_file(db), db.read_bytes()
    whole = file.read_bytes()
    file.unlink()
    if kind == "cut short":
        file.write_bytes(whole[:-20])
    elif kind == "another table":
        pq.write_table(pa.table({"mine": [1]}), file)
    else:
        file.mkdir()
    for way in (
        lambda: load(tmp_path / "tags.parquet", db),
        lambda: take_answers(
            db, [Answered("b.jpg", "photos", "hat", False, True)], "bea", "it", ""
        ),
    ):
        with pytest.raises(FftagError, match=r"c\.duckdb\.corrections\.parquet") as refused:
            way()
        assert "\n" not in str(refused.value)
    assert db.read_bytes() == before
    if kind == "cut short":
        assert file.read_bytes() == whole[:-20]
        file.write_bytes(whole)
        load(tmp_path / "tags.parquet", db)
        assert hats(db) == ["a.jpg"]


def test_a_catalogue_of_the_release_before_gives_its_corrections_to_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    db = tmp_path / "c.duckdb"
    contents = {"a.jpg": RED, "b.jpg": BLUE}
    load(tagged(tmp_path, contents, groups=["outer", None]), db, feed(tmp_path, "a", "b"))
    as_version_2(
        db,
        [
            (RED, "hat", True, "a.jpg"),
            (BLUE, "cape", False, "b.jpg"),
            (GREEN, "beret", True, "gone.jpg"),
            (None, "hat", True, "long gone.jpg"),
        ],
    )
    with pytest.raises(FftagError, match="loaded by an older fftag: load it again"):
        take_answers(db, [Answered("a.jpg", "photos", "hat", False, True)], None, "it", "")
    capsys.readouterr()
    summary = load(tmp_path / "tags.parquet", db)
    assert (summary.corrections, summary.orphaned, summary.products) == (4, 2, 2)
    assert "4 corrections that only" in capsys.readouterr().err
    when = datetime(2026, 1, 1), "ada"
    for rows in (
        ask(db, f"select {KEPT} from corrections order by image"),
        duckdb.sql(f"select {KEPT} from '{corrections_file(db)}' order by image").fetchall(),
    ):
        assert rows == [
            (RED, "labels", "hat", "is", *when, "a.jpg", "photos", "a"),
            (BLUE, "outer", "cape", "not", *when, "b.jpg", "photos", "b"),
            (GREEN, "labels", "beret", "is", *when, "gone.jpg", "photos", None),
            (None, "labels", "hat", "is", *when, "long gone.jpg", "photos", None),
        ]
    assert hats(db) == ["a.jpg"]
    assert load(tmp_path / "tags.parquet", db).corrections == 4
    assert len(said_in_file(db)) == 4


KEPT = 'content_sha256, "group", label, verdict, reviewed_at, reviewer, image, source, sku'


def feed(folder: Path, *skus: str) -> Path:
    return write_feed(folder / "feed.csv", [{"sku": sku} for sku in skus])


def offered(db: Path) -> list[tuple[Any, ...]]:
    return ask(db, "select image, label, shown from offered_corrections order by all")


def test_what_was_said_of_a_photo_is_offered_for_the_one_in_its_place(tmp_path: Path) -> None:
    db = tmp_path / "c.duckdb"
    first = {"a_1.jpg": RED, "a_2.jpg": BLUE, "b_1.jpg": digest_of("b")}
    load(tagged(tmp_path, first), db, feed(tmp_path, "a", "b"))
    said = [Answered("a_1.jpg", "photos", "hat", False, True)]
    said += [Answered("a_1.jpg", "photos", "cape", True, False)]
    take_answers(db, said, "ada", "it", "")
    assert offered(db) == []
    # Encoded anew at the same path: asked of that photo alone.
    load(tagged(tmp_path, first | {"a_1.jpg": GREEN}), db)
    assert offered(db) == [("a_1.jpg", "cape", False), ("a_1.jpg", "hat", True)]
    assert hats(db) == []
    sheet = tmp_path / "queue.csv"
    export_queue(db, sheet, 9, 99)
    rows = pd.read_csv(sheet, dtype=str, keep_default_na=False)
    head = rows.head(2)[["image", "label", "said_before", "correct"]].to_numpy().tolist()
    assert sorted(head) == [["a_1.jpg", "cape", "no", ""], ["a_1.jpg", "hat", "yes", ""]]
    assert set(rows["said_before"].tolist()[2:]) == {""}
    # Under another path: asked of each photo of the product, until it is answered.
    load(tagged(tmp_path, {"a_3.jpg": GREEN, "a_2.jpg": BLUE, "b_1.jpg": digest_of("b")}), db)
    assert [image for image, label, _ in offered(db) if label == "hat"] == ["a_2.jpg", "a_3.jpg"]
    import_answers(db, filled(sheet, {("a_1.jpg", "hat"): "yes"}))  # of the content GREEN
    assert [image for image, label, _ in offered(db) if label == "hat"] == ["a_2.jpg"]
    assert hats(db) == ["a_3.jpg"]


def test_without_a_feed_a_photo_is_known_by_its_path(tmp_path: Path, db: Path) -> None:
    load(tagged(tmp_path, {"a.jpg": GREEN, "b.jpg": BLUE}), db)
    assert offered(db) == [("a.jpg", "hat", True)]
    load(tagged(tmp_path, {"x.jpg": GREEN, "b.jpg": BLUE}), db)
    assert offered(db) == []


def test_none_of_a_group_is_said_of_each_label_that_it_has(tmp_path: Path) -> None:
    db, tags = tmp_path / "c.duckdb", tmp_path / "tags.parquet"
    labels, groups = ["cape", "hat", "cap", "belt"], ["outer", "head", "head", None]
    Catalog(labels, {"a.jpg": ["cape", "hat"], "b.jpg": ["cap"]}, groups).write(tags)
    load(tags, db)
    sheet = tmp_path / "queue.csv"
    export_queue(db, sheet, 9, 99)
    imported = import_answers(db, filled(sheet, {("a.jpg", "hat"): "none"}), "ada")
    assert (imported.answers, imported.changed) == (2, 1)
    assert [(row["label"], row["fp"]) for row in imported.measured] == [("hat", 1)]
    standing = 'select "group", label, verdict from corrections order by label'
    assert ask(db, standing) == [("head", "cap", "none"), ("head", "hat", "none")]
    shown = "select label from photo_labels where image = 'a.jpg'"
    assert ask(db, shown) == [("cape",)]
    # The latest wins: one label of the group after all, and then none again.
    take_answers(db, [Answered("a.jpg", "photos", "cap", False, True)], None, "it", "")
    assert ask(db, standing) == [("head", "cap", "is"), ("head", "hat", "none")]
    none = Answered("a.jpg", "photos", "hat", True, False, None, True)
    take_answers(db, [none], None, "it", "")
    assert ask(db, shown) == [("cape",)]
    take_answers(db, [Answered("a.jpg", "photos", "hat", True, None, None, True)], None, "it", "")
    assert ask(db, standing) == []


WRITER = """
import sys
from pathlib import Path
from fftag.reports.review_queue import Answered, take_answers
who, db = sys.argv[1:]
for number in range(6):
    answer = Answered(f"{who}{number}.jpg", "photos", "hat", False, True)
    take_answers(Path(db), [answer], who, "it", "")
"""


def test_two_writers_and_a_load_at_once_lose_nothing(tmp_path: Path) -> None:
    db, tags = tmp_path / "c.duckdb", tmp_path / "tags.parquet"
    images = sorted(f"{who}{number}.jpg" for who in "xy" for number in range(6))
    Catalog(["cape", "hat"], {image: ["cape"] for image in images}).write(tags)
    load(tags, db)
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, who, str(db)]) for who in "xy"]
    loads = 0
    while any(writer.poll() is None for writer in writers):
        load(tags, db)
        loads += 1
    assert [writer.returncode for writer in writers] == [0, 0] and loads
    assert hats(db) == images
    assert sorted(said_in_file(db)) == [("hat", "is", "x")] * 6 + [("hat", "is", "y")] * 6
    assert not list(tmp_path.glob(".*"))
