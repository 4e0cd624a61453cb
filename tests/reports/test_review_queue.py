"""The review round trip: asked, answered, counted, kept over a load, trained on."""

import hashlib
import json
from pathlib import Path

import duckdb
import pandas as pd
import pytest
from catalogues import Catalog, write_feed
from PIL import Image
from typer.testing import CliRunner

from fftag.base.errors import FftagError
from fftag.catalogue.load import load
from fftag.cli import app
from fftag.data.manifest import check_files, read_manifest
from fftag.data.review_manifest import export_manifest
from fftag.reports.ask import run_report
from fftag.reports.review_queue import export_queue, import_answers

PHOTOS = {f"{n}.jpg": ["cape"] if n < 6 else ["hat"] for n in range(12)} | {"=x.jpg": ["hat"]}


@pytest.fixture
def tags(tmp_path: Path) -> Path:
    scores = {"0.jpg": [0.52, 0.1], "7.jpg": [0.48, 0.9]}
    return Catalog(["cape", "hat"], PHOTOS, scores=scores).write(tmp_path / "tags.parquet")


@pytest.fixture
def db(tmp_path: Path, tags: Path) -> Path:
    feed = write_feed(tmp_path / "feed.csv", [{"sku": name[:-4]} for name in PHOTOS])
    load(tags, tmp_path / "c.duckdb", feed)
    return tmp_path / "c.duckdb"


def items(db: Path) -> dict[str, int]:
    return run_report(db, "share").table.set_index("label")["items"].to_dict()


def answered(sheet: Path, answers: dict[tuple[str, str], str]) -> Path:
    frame = pd.read_csv(sheet, dtype=str, keep_default_na=False)
    keys = zip(frame["image"], frame["label"], strict=True)
    frame["correct"] = [answers.get(key, "") for key in keys]
    frame.to_csv(sheet, index=False)
    return sheet


def test_answers_stand_above_the_tags_and_outlive_a_load(
    tmp_path: Path, db: Path, tags: Path
) -> None:
    assert items(db) == {"cape": 6, "hat": 7}
    sheet = tmp_path / "queue.csv"
    assert export_queue(db, sheet, 4, 100) == 8
    first = pd.read_csv(sheet)["image"].tolist()[:2]
    assert set(first) == {"0.jpg", "7.jpg"}
    answers = {("0.jpg", "cape"): "no", ("7.jpg", "cape"): "yes"}
    imported = import_answers(db, answered(sheet, answers), "ada")
    assert (imported.answers, imported.changed, imported.unanswered) == (2, 2, 6)
    assert items(db) == {"cape": 6, "hat": 7}
    connection = duckdb.connect(str(db), read_only=True)
    capes = connection.execute(
        "select item from item_labels join items using (item_id) where label = 'cape'"
    ).fetchall()
    kept = connection.execute(
        "select image, verdict, reviewer from corrections order by 1"
    ).fetchall()
    connection.close()
    assert ("7",) in capes and ("0",) not in capes
    assert kept == [("0.jpg", "not", "ada"), ("7.jpg", "is", "ada")]
    answer = run_report(db, "share")
    assert "With 2 corrections of reviewers." in answer.basis
    summary = load(tags, db, tmp_path / "feed.csv")
    assert summary.corrections == 2 and "2 corrections" in run_report(db, "share").basis
    again = run_report(db, "review", {"per_label": "20"}).table
    asked = set(zip(again["image"], again["label"], strict=True))
    assert ("0.jpg", "cape") not in asked and ("1.jpg", "cape") in asked


def test_a_sheet_with_answers_is_not_written_over(tmp_path: Path, db: Path) -> None:
    sheet = tmp_path / "queue.csv"
    for _ in range(2):
        export_queue(db, sheet, 4, 100)
    content = answered(sheet, {("0.jpg", "cape"): "no"}).read_bytes()
    with pytest.raises(FftagError, match="not such a sheet without answers"):
        export_queue(db, sheet, 4, 100)
    assert sheet.read_bytes() == content
    with pytest.raises(FftagError, match="not such a sheet without answers"):
        export_queue(db, tmp_path / "feed.csv", 4, 100)


def test_a_later_answer_replaces_an_earlier_one(tmp_path: Path, db: Path) -> None:
    sheet = tmp_path / "queue.csv"
    export_queue(db, sheet, 4, 100)
    for word, capes in (("no", 5), ("yes", 6)):
        import_answers(db, answered(sheet, {("0.jpg", "cape"): word}))
        assert items(db)["cape"] == capes


def test_precision_and_recall_of_the_reviewed_photos(tmp_path: Path, db: Path) -> None:
    sheet = tmp_path / "queue.csv"
    export_queue(db, sheet, 20, 100)
    answers = {(f"{n}.jpg", "cape"): "yes" if n < 4 or n == 9 else "no" for n in range(12)}
    imported = import_answers(db, answered(sheet, answers))
    (cape,) = imported.measured
    assert (cape["tp"], cape["fp"], cape["fn"]) == (4, 2, 1)
    assert cape["precision"] == pytest.approx(4 / 6) and cape["recall"] == pytest.approx(4 / 5)
    assert cape["precision_low"] < 4 / 6 < cape["precision_high"]
    assert any("precision 66.7%" in line for line in imported.lines())


def test_a_manifest_has_only_what_was_asked_and_answered(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    contents = {}
    for number, name in enumerate(("0.jpg", "1.jpg", "2.jpg", "3.jpg", "4\\\\x.jpg")):
        path = folder / name.replace("\\\\", "\\")
        Image.new("RGB", (8, 8), (number, 0, 0)).save(path, "PNG")
        contents[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    tags = Catalog(["cape", "hat", "belt"], {name: ["cape", "belt"] for name in contents},
                   ["outer", None, "waist"], contents=contents)  # fmt: skip
    db, out = tmp_path / "c.duckdb", tmp_path / "m.parquet"
    load(tags.write(tmp_path / "t.parquet"), db)
    with pytest.raises(FftagError, match="nothing was reviewed"):
        export_manifest(db, folder, out)
    sheet = tmp_path / "queue.csv"
    export_queue(db, sheet, 100, 100)
    answers = {("0.jpg", "hat"): "yes", ("1.jpg", "cape"): "no"}
    import_answers(db, answered(sheet, answers))
    with pytest.raises(FftagError, match="none of 2 reviewed photos was reviewed for each of 3"):
        export_manifest(db, folder, out)
    whole = {"cape": "no", "hat": "yes", "belt": "no"}
    for name in ("0.jpg", "2.jpg", "3.jpg", "4\\\\x.jpg"):
        answers |= {(name, label): word for label, word in whole.items()}
    import_answers(db, answered(sheet, answers))
    (folder / "2.jpg").unlink()
    (folder / "3.jpg").write_bytes((folder / "1.jpg").read_bytes())
    written = export_manifest(db, folder, out)
    assert (written.photos, written.labels, written.in_part) == (2, 3, 1)
    assert written.gone == ["2.jpg", "3.jpg"]
    assert any("1 photos not reviewed for each" in line for line in written.lines())
    manifest = read_manifest(out)
    check_files(manifest)
    found = dict(zip(manifest.frame["image"], manifest.frame["labels"], strict=True))
    labels = {Path(image).name: list(names) for image, names in found.items()}
    assert labels == {"0.jpg": ["hat"], "4\\x.jpg": ["hat"]}
    written = export_manifest(db, folder, out, only_labels=["hat"])
    assert (written.photos, written.labels, written.in_part) == (2, 1, 0)
    assert read_manifest(out).labels.names == ("hat",)
    with pytest.raises(FftagError, match="no photo in the manifest has any label"):
        export_manifest(db, folder, out, only_groups=["outer"])
    with pytest.raises(FftagError, match="--label: the catalogue has no 'sock'"):
        export_manifest(db, folder, out, only_labels=["sock"])


def test_formulas_in_names_do_not_reach_the_spreadsheet_and_come_back(
    tmp_path: Path, db: Path
) -> None:
    sheet = tmp_path / "queue.csv"
    export_queue(db, sheet, 20, 100)
    assert "'=x.jpg" in pd.read_csv(sheet)["image"].tolist()
    import_answers(db, answered(sheet, {("'=x.jpg", "hat"): "no"}))
    assert items(db)["hat"] == 6


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"correct": "maybe"}, "write yes, no, or nothing"),
        ({"label": "sock", "correct": "yes"}, r"1 answers of no label in the catalogue: 'sock'"),
        (
            {"image": "gone.jpg", "correct": "yes", "content_sha256": ""},
            r"1 answers of no photo that could be read in the catalogue: 'gone\.jpg'",
        ),
        ({"correct": "yes", "content_sha256": "1.2E+63"}, r"row 2: content_sha256 is '1\.2E\+63'"),
        ({}, "has no answer"),
    ],
)
def test_answers_that_fit_nothing_are_refused_and_change_nothing(
    tmp_path: Path, db: Path, change: dict[str, str], words: str
) -> None:
    sheet = tmp_path / "queue.csv"
    export_queue(db, sheet, 4, 100)
    frame = pd.read_csv(sheet, dtype=str, keep_default_na=False)
    for column, value in change.items():
        frame.loc[0, column] = value
    frame.to_csv(sheet, index=False)
    before = db.read_bytes()
    with pytest.raises(FftagError, match=words):
        import_answers(db, sheet)
    assert db.read_bytes() == before
    assert not list(tmp_path.glob(".*"))


def test_the_commands(tmp_path: Path, db: Path) -> None:
    sheet = tmp_path / "queue.csv"
    run = CliRunner().invoke
    asked = run(app, ["review", "export", "--db", str(db), "--out", str(sheet), "--label", "cape"])
    assert asked.exit_code == 0 and "13 questions" in asked.output
    answered(sheet, {("0.jpg", "cape"): "no"})
    taken = run(app, ["review", "import", str(sheet), "--db", str(db), "--json"])
    assert taken.exit_code == 0 and json.loads(taken.output)["changed"] == 1
    with pytest.raises(FftagError, match=r"name it \.csv"):
        export_queue(db, tmp_path / "queue.txt", 1, 1)
