"""A review's sheet: what is written is read back, and corrections reach the manifest or stop."""

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fftag.base.errors import FftagError
from fftag.catalogue.review_sheet import Suspect, defused, fused, read_sheet, write_sheet
from fftag.data.correct import correct_manifest
from fftag.data.manifest import Manifest, make_manifest, read_manifest
from fftag.models.labels import LabelSet

TEXT = st.text(
    st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=12
).filter(lambda text: text.strip())


def manifest_of(root: Path) -> Manifest:
    return make_manifest(
        ["a.jpg", "sub/b.jpg", "=c.jpg"],
        [["hat", "=cmd|'/c calc'!A0"], [], ["shoe"]],
        LabelSet.of(["hat", "shoe", "=cmd|'/c calc'!A0"]),
        root,
        ["train", "val", "test"],
        ["web", None, "shop"],
    )


def suspects() -> list[Suspect]:
    return [
        Suspect("a.jpg", "=cmd|'/c calc'!A0", True, 0.02, 0.1),
        Suspect("sub/b.jpg", "hat", False, 0.9, 0.2),
        Suspect("=c.jpg", "shoe", True, 0.4, 0.3),
    ]


def filled(path: Path, answers: list[str], suffix: str = ".csv") -> Path:
    """The sheet after somebody answered it in a spreadsheet."""
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    frame["correct"] = answers
    out = path.with_name(f"filled{suffix}")
    if suffix == ".csv":
        frame.to_csv(out, index=False)
    else:
        frame.to_excel(out, index=False)
    return out


@given(TEXT)
def test_defusing_is_undone_and_leaves_no_formula(text: str) -> None:
    assert fused(defused(text)) == text
    assert not defused(text).startswith(("=", "+", "-", "@", "\t", "\r", "\n"))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(TEXT, TEXT, st.booleans()), min_size=1, max_size=6))
def test_any_path_and_label_come_back_from_the_sheet(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, bool]]
) -> None:
    path = tmp_path_factory.mktemp("sheet") / "review.csv"
    write_sheet(path, [Suspect(image, label, had, 0.5, 0.5) for image, label, had in rows])
    back = read_sheet(path)
    assert [(one.image, one.label, one.given) for one in back] == rows
    assert all(one.correct is None for one in back)


def test_no_cell_of_the_sheet_begins_a_formula(tmp_path: Path) -> None:
    path = tmp_path / "review.csv"
    write_sheet(path, suspects())
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    assert list(frame) == [
        *("rank", "image", "label", "given", "suggested", "score", "quality", "correct")
    ]
    assert not any(cell.startswith(("=", "+", "-", "@")) for cell in frame.to_numpy().ravel())
    assert path.read_bytes().startswith(b"\xef\xbb\xbf")


@pytest.mark.parametrize("suffix", [".csv", ".xlsx"])
def test_corrections_reach_the_manifest_and_nothing_else_changes(
    tmp_path: Path, suffix: str
) -> None:
    before = manifest_of(tmp_path)
    write_sheet(tmp_path / "review.csv", suspects())
    sheet = filled(tmp_path / "review.csv", ["No", "yes", "yes"], suffix)
    report = correct_manifest(before, sheet, tmp_path / "new.parquet")
    after = read_manifest(tmp_path / "new.parquet")
    assert [list(names) for names in after.frame["labels"]] == [["hat"], ["hat"], ["shoe"]]
    for column in ("image", "split", "source"):
        assert after.frame[column].tolist() == before.frame[column].tolist()
    assert after.labels == before.labels
    assert (report.added, report.removed, report.confirmed, report.photos) == (1, 1, 1, 2)
    assert "1 labels added and 1 removed" in report.lines()[0]


def test_a_corrected_manifest_in_another_folder_finds_the_same_photos(tmp_path: Path) -> None:
    before = manifest_of(tmp_path / "data")
    write_sheet(tmp_path / "review.csv", suspects())
    sheet = filled(tmp_path / "review.csv", ["", "", "no"])
    report = correct_manifest(before, sheet, tmp_path / "other" / "new.parquet")
    after = read_manifest(tmp_path / "other" / "new.parquet")
    assert after.files() == before.files()
    assert (report.removed, report.unanswered, report.unlabelled) == (1, 2, 1)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            {"image": ["x.jpg", "y.jpg", "x.jpg"]},
            r"no answer .* 3 answers of photos .* 'x\.jpg'",
        ),
        ({"label": ["coat"] * 3}, r"no answer of .* 3 answers of labels .* 'coat'"),
        ({"given": ["yes", "yes", "yes"]}, r"1 rows .* no longer .*row 3: 'hat' of 'sub/b\.jpg'"),
        ({"given": ["yes", "", "yes"]}, "row 3: column given is empty"),
        ({"correct": ["yes", "maybe", ""]}, "row 3: correct is 'maybe': write yes, no"),
        ({"correct": ["", "", ""]}, "no row of .* has yes or no"),
        ({"image": ["a.jpg", "", "'=c.jpg"]}, "row 3: no image, or no label"),
    ],
)
def test_a_sheet_that_does_not_fit_is_refused(
    tmp_path: Path, change: dict[str, list[str]], says: str
) -> None:
    write_sheet(tmp_path / "review.csv", suspects())
    sheet = filled(tmp_path / "review.csv", ["no", "yes", "yes"])
    frame = pd.read_csv(sheet, dtype=str, keep_default_na=False)
    for column, cells in change.items():
        frame[column] = cells
    frame.to_csv(sheet, index=False)
    with pytest.raises(FftagError, match=says):
        correct_manifest(manifest_of(tmp_path), sheet, tmp_path / "new.parquet")
    assert not (tmp_path / "new.parquet").exists()


def test_answers_of_what_is_gone_are_named_and_the_others_taken(tmp_path: Path) -> None:
    rows = [*suspects(), Suspect("gone.jpg", "hat", True, 0.1, 0.1)]
    rows += [Suspect("a.jpg", "coat", False, 0.1, 0.1), Suspect("quiet.jpg", "hat", True, 0.1, 0.1)]
    write_sheet(tmp_path / "review.csv", rows)
    sheet = filled(tmp_path / "review.csv", ["no", "yes", "", "no", "yes", ""])
    report = correct_manifest(manifest_of(tmp_path), sheet, tmp_path / "new.parquet")
    after = read_manifest(tmp_path / "new.parquet")
    assert [list(names) for names in after.frame["labels"]] == [["hat"], ["hat"], ["shoe"]]
    assert (report.added, report.removed, report.unanswered) == (1, 1, 2)
    assert report.left_out == [
        "1 answers of photos that are not in the manifest: 'gone.jpg'",
        "1 answers of labels that are not in the manifest: 'coat'",
    ]
    assert report.lines()[-1] == f"left out: {report.left_out[1]}"


def test_rows_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    write_sheet(tmp_path / "review.csv", [suspects()[1]] * 2)
    sheet = filled(tmp_path / "review.csv", ["yes", "no"])
    with pytest.raises(FftagError, match=r"rows 2 and 3 .* contradict .*'sub/b\.jpg' has 'hat'"):
        correct_manifest(manifest_of(tmp_path), sheet, tmp_path / "new.parquet")


def test_a_sheet_of_another_form_is_refused(tmp_path: Path) -> None:
    manifest = manifest_of(tmp_path)
    (tmp_path / "semicolons.csv").write_text("rank;image;label\n1;a.jpg;hat\n")
    with pytest.raises(FftagError, match="saved with commas"):
        correct_manifest(manifest, tmp_path / "semicolons.csv", tmp_path / "new.parquet")
    with pytest.raises(FftagError, match="is no sheet"):
        correct_manifest(manifest, tmp_path / "review.html", tmp_path / "new.parquet")
    with pytest.raises(FftagError, match=r"end in \.parquet"):
        correct_manifest(manifest, tmp_path / "semicolons.csv", tmp_path / "new.csv")


def test_answers_are_not_written_over(tmp_path: Path) -> None:
    path = tmp_path / "review.csv"
    write_sheet(path, suspects())
    write_sheet(path, suspects())  # nobody has answered
    filled(path, ["", "yes", ""]).rename(path)
    answered = path.read_bytes()
    with pytest.raises(FftagError, match="without answers: move it away"):
        write_sheet(path, suspects())
    assert path.read_bytes() == answered


@pytest.mark.parametrize("there", ["sku,name\nA1,Dress\n", "", "a;b", '"', "\xff\xfe"])
def test_what_is_no_such_sheet_is_not_written_over(tmp_path: Path, there: str) -> None:
    path = tmp_path / "review.csv"
    path.write_bytes(there.encode("latin-1"))
    if not there:
        write_sheet(path, suspects())
        return
    with pytest.raises(FftagError, match="is not such a sheet"):
        write_sheet(path, suspects())
    assert path.read_bytes() == there.encode("latin-1")
