import json
import os
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from catalogues import mixed_folder

from fftag.base.errors import FftagError
from fftag.models.folder import Bundle
from fftag.photos.decode import Limits
from fftag.photos.listing import Selection
from fftag.photos.sources.choose import list_source
from fftag.photos.sources.local import Folder
from fftag.tagging.options import TagOptions
from fftag.tagging.tag import tag
from fftag.tagging.tags_rules import RULES
from fftag.tagging.validate import Validation, validate

Make = Callable[[int], Path]
Change = Callable[[pa.Table], pa.Table]
DOCS = Path(__file__).parents[2] / "docs"


def broken(result: Validation) -> set[str]:
    return {problem.rule for problem in result.problems}


@pytest.fixture(scope="module")
def tagged(session_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tags of a folder like `source`, made once."""
    folder = tmp_path_factory.mktemp("tagged")
    options = TagOptions(backend="torch", workers=1, batch_size=4, limits=Limits(file_bytes=50_000))
    out = folder / "tags.parquet"
    summary = tag(Folder(mixed_folder(folder / "catalog")), out, session_bundle, options)
    assert summary.statuses == {
        "ok": 14,
        "truncated": 1,
        "unreadable": 2,
        "unsupported": 1,
        "too_large": 1,
    }
    return out


@pytest.fixture
def tags(tagged: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(tagged, tmp_path))


def altered(path: Path, change: Change) -> Path:
    """The tags file, read, changed and written again."""
    out = path.with_name("altered.parquet")
    pq.write_table(change(pq.read_table(path)), out)
    return out


def set_values(
    column: str, value: Any, where: str = "ok", kind: pa.DataType | None = None
) -> Change:
    """Gives a column another value in the first row of that status."""

    def change(table: pa.Table) -> pa.Table:
        position = table.schema.names.index(column)
        field = table.schema.field(column)
        rows = table[column].to_pylist()
        rows[table["status"].to_pylist().index(where)] = value
        if pa.types.is_dictionary(field.type):
            values = pa.array(rows).dictionary_encode().cast(field.type)
        else:
            values = pa.array(rows, field.type)
        if value is None:
            field = field.with_nullable(True)
        return table.set_column(position, field, values)

    return change


def metadata(**changes: Any) -> Change:
    """Changes keys of the metadata; None takes them away."""

    def change(table: pa.Table) -> pa.Table:
        content = json.loads(table.schema.metadata[b"fftag"]) | changes
        content = {key: value for key, value in content.items() if value is not ...}
        return table.replace_schema_metadata({b"fftag": json.dumps(content).encode()})

    return change


def described(change: Callable[[dict[str, Any]], Any]) -> Change:
    """Changes what the metadata say of labels and groups, in place."""

    def altering(table: pa.Table) -> pa.Table:
        content = json.loads(table.schema.metadata[b"fftag"])
        change(content)
        return metadata(groups=content["groups"], labels=content["labels"])(table)

    return altering


def test_a_fresh_result_is_valid(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path
) -> None:
    root, out = folder_of_photos(20), tmp_path / "t.parquet"
    tag(
        Folder(root),
        out,
        session_bundle,
        TagOptions(backend="torch", workers=1, batch_size=4, shard_size=8),
    )
    result = validate(out, Folder(root))
    assert result.valid and not result.unchecked and result.rows == 20, result.lines()
    assert result.lines()[0].startswith(f"{out} is valid, and is what {root} holds (20 rows")


def test_a_result_with_failures_of_several_kinds_is_valid(tags: Path, source: Path) -> None:
    result = validate(tags, Folder(source))
    assert result.valid and not result.unchecked, result.lines()


def test_a_vanished_file_is_a_valid_row_and_no_difference(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    root = folder_of_photos(5)

    def list_then_delete(*arguments: Any) -> Any:
        listing = list_source(*arguments)
        (root / "season-0/FF-0000_1.jpg").unlink()
        return listing

    monkeypatch.setattr("fftag.tagging.tag.list_source", list_then_delete)
    summary = tag(
        Folder(root), tmp_path / "t.parquet", session_bundle, TagOptions(backend="torch", workers=1)
    )
    assert summary.statuses["vanished"] == 1
    result = validate(tmp_path / "t.parquet", Folder(root))
    assert result.valid, result.lines()


def test_rewriting_unchanged_rows_keeps_a_file_valid(tags: Path) -> None:
    result = validate(altered(tags, lambda table: table))
    assert result.valid, result.lines()


BREAKS: list[tuple[str, Change]] = [
    ("image_path", set_values("image", "/absolute.jpg", "truncated")),
    ("image_path", set_values("image", "a/../cut.jpg", "truncated")),
    ("image_path", set_values("image", "a/c\\ut.jpg", "truncated")),
    ("image_path", set_values("image", "a/\\xc3\\xa9.jpg", "unsupported")),
    ("order", lambda table: pa.concat_tables([table.slice(1), table.slice(0, 1)])),
    ("duplicate_image", lambda table: pa.concat_tables([table.slice(0, 1), table])),
    ("status", set_values("status", "broken", "too_large")),
    ("error", set_values("error", "why", "ok")),
    ("error", set_values("error", None, "truncated")),
    ("error", set_values("error", "two\nlines", "truncated")),
    ("error", set_values("error", " ", "truncated")),
    ("error", set_values("error", "salvaged: two\nlines", "ok")),
    ("scores_null", set_values("scores", None, "ok")),
    ("scores_null", set_values("scores", [0.1, 0.2, 0.3], "truncated")),
    ("tags_null", set_values("tags", None, "ok")),
    ("tags_null", set_values("tags", [], "truncated")),
    ("apparel", set_values("is_apparel", True)),
    ("apparel", set_values("apparel_score", 0.5)),
    ("dimensions", set_values("width", None)),
    ("dimensions", set_values("width", 0)),
    ("dimensions", set_values("height", -1)),
    ("dimensions", set_values("height", 5, "truncated")),
    ("format", set_values("format", "PSD")),
    ("format", set_values("format", None)),
    ("format", set_values("format", "JPEG", "unsupported")),
    ("file_size", set_values("file_size", None)),
    ("file_size", set_values("file_size", 0)),
    ("file_size", set_values("file_size", -1, "truncated")),
    ("content_sha256", set_values("content_sha256", None)),
    ("content_sha256", set_values("content_sha256", None, "unsupported")),
    ("content_sha256", set_values("content_sha256", "A" * 64)),
    ("content_sha256", set_values("content_sha256", "a" * 63)),
    ("model_id", set_values("model_id", "f" * 64)),
    ("metadata", metadata(format_version=0)),
    ("metadata", metadata(format_version="1")),
    ("metadata", metadata(fftag_version=...)),
    ("metadata", metadata(run_id="")),
    ("metadata", metadata(model_id="short")),
    ("metadata", metadata(source=None)),
    ("metadata", described(lambda run: run["labels"][2].update(name="green"))),
    ("metadata", metadata(labels=[])),
    ("metadata", metadata(groups=["warm"])),
    ("metadata", described(lambda run: run["labels"][2].pop("threshold"))),
    ("metadata", described(lambda run: run["labels"][2].update(threshold=float("nan")))),
    ("metadata", described(lambda run: run["labels"][0].update(validation={"tp": 1}))),
    ("metadata", described(lambda run: run["labels"][0].update(group=None))),
    ("metadata", described(lambda run: run["labels"][0].update(group="hot"))),
    ("metadata", described(lambda run: run["labels"][0].update(colour="red"))),
    ("metadata", described(lambda run: run["labels"][0].update(parent="garment"))),
    ("metadata", described(lambda run: run["groups"].pop())),
    ("metadata", described(lambda run: run["groups"].append(run["groups"][0]))),
    ("metadata", described(lambda run: run["groups"].append(run["groups"][0] | {"name": "dry"}))),
    ("metadata", described(lambda run: run["groups"][0].update(kind="some"))),
    ("metadata", described(lambda run: run["groups"][0].update(kind="one"))),
    ("metadata", described(lambda run: run["groups"][0].update(threshold=0.5))),
    ("metadata", described(lambda run: run["groups"][0].update(above={"a": "b"}))),
    ("metadata", described(lambda run: run["groups"][0].update(above={"a": "b", "b": "a"}))),
    ("metadata", described(lambda run: run["groups"][0].update(above={"red": None}))),
    ("metadata", metadata(settings=[])),
    ("metadata", lambda table: table.replace_schema_metadata(None)),
    ("metadata", lambda table: table.replace_schema_metadata({b"fftag": b"{"})),
    ("metadata", lambda table: table.replace_schema_metadata({b"fftag": b"[]"})),
    ("columns", lambda table: table.drop_columns(["content_sha256"])),
    ("columns", lambda table: table.append_column("more", pa.nulls(len(table), pa.string()))),
    ("columns", lambda table: table.select([1, 0, *range(2, 15)])),
    ("columns", lambda table: table.cast(retyped(table, "width", pa.int64()))),
    ("columns", lambda table: table.cast(retyped(table, "status", pa.string()))),
    ("columns", lambda table: table.cast(retyped(table, "scores", pa.list_(pa.float32())))),
    ("columns", lambda table: table.cast(retyped(table, "modified_at", pa.timestamp("us")))),
    ("columns", lambda table: table.cast(renulled(table, "image", True))),
    ("columns", lambda table: table.cast(renulled(table, "file_size", False))),
]


def retyped(table: pa.Table, column: str, kind: pa.DataType) -> pa.Schema:
    position = table.schema.names.index(column)
    return table.schema.set(position, table.schema.field(column).with_type(kind))


def renulled(table: pa.Table, column: str, nullable: bool) -> pa.Schema:
    position = table.schema.names.index(column)
    return table.schema.set(position, table.schema.field(column).with_nullable(nullable))


@pytest.mark.parametrize(
    ("rule", "change"), BREAKS, ids=[f"{rule}-{n}" for n, (rule, _) in enumerate(BREAKS)]
)
def test_a_file_altered_to_break_one_rule_is_reported_with_its_name(
    tags: Path, rule: str, change: Change
) -> None:
    result = validate(altered(tags, change))
    assert broken(result) == {rule}, result.lines()
    (problem,) = result.problems
    assert problem.count >= 1 and 1 <= len(problem.examples) <= 3


def test_examples_name_the_row_and_the_image(tags: Path) -> None:
    result = validate(altered(tags, set_values("format", "PSD")))
    assert result.problems[0].examples == [
        "row 5 'back\\\\\\\\slash.jpg': format 'PSD' is none of the format's"
    ]
    text = "\n".join(result.lines())
    assert "is not valid: format (19 rows" in text and "format: 1 break the rule" in text


@pytest.mark.parametrize("column", ["image", "status", "model_id", "tagged_at"])
def test_a_null_where_none_may_be_is_reported(tags: Path, column: str) -> None:
    result = validate(altered(tags, set_values(column, None, "too_large")))
    assert broken(result) == {"null_value", "columns"}, result.lines()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.25, 1.5, None])
def test_scores_outside_of_0_to_1_are_reported(tags: Path, value: float | None) -> None:
    def change(table: pa.Table) -> pa.Table:
        first = table["scores"].to_pylist()[5]
        kept = table["tags"].to_pylist()[5]
        lowest = first.index(min(first))
        first[lowest] = value
        left = [one for one in kept if one["label"] != ("red", "green", "blue")[lowest]]
        if value is not None and value > 1:
            group, label = (("warm", "red"), ("cool", "green"), ("cool", "blue"))[lowest]
            left.insert(0, {"group": group, "label": label, "score": value})
        return set_values("tags", left)(set_values("scores", first)(table))

    result = validate(altered(tags, change))
    assert broken(result) == {"scores_value"}, result.lines()


def with_tags(change: Callable[[list[dict[str, Any]]], Any]) -> Change:
    """Scores that give two tags, and then tags changed from the right ones."""

    def altering(table: pa.Table) -> pa.Table:
        right = [
            {"group": "cool", "label": "blue", "score": 0.75},
            {"group": "warm", "label": "red", "score": 0.5},
        ]
        return set_values("tags", change(right))(set_values("scores", [0.5, 0.25, 0.75])(table))

    return altering


@pytest.mark.parametrize(
    "change",
    [
        lambda right: right[::-1],
        lambda right: right[:1],
        lambda right: [],
        lambda right: [right[0], right[0]],
        lambda right: [*right, {"group": "cool", "label": "green", "score": 0.25}],
        lambda right: [right[0], right[1] | {"score": 0.625}],
        lambda right: [right[0], right[1] | {"label": "purple"}],
        lambda right: [right[0], right[1] | {"label": None}],
        lambda right: [right[0], right[1] | {"score": None}],
        lambda right: [right[0], right[1] | {"group": "cool"}],
        lambda right: [right[0], right[1] | {"group": None}],
        lambda right: [right[0], None],
    ],
)
def test_tags_other_than_the_scores_give_are_reported(
    tags: Path, change: Callable[[list[dict[str, Any]]], Any]
) -> None:
    right = validate(altered(tags, with_tags(lambda right: right)))
    assert right.valid, right.lines()
    result = validate(altered(tags, with_tags(change)))
    assert broken(result) == {"tags_value"}, result.lines()
    assert "blue 0.75, red 0.5]" in result.problems[0].examples[0]


def of_one(*tags: tuple[str, float], threshold: float = 0.5) -> Change:
    """Makes of red, green and blue the only group, of which one label holds; red and green are
    warm. Gives the first ok row these tags at scores of 0.25, 0.375 and 0.125; others have none."""

    def altering(table: pa.Table) -> pa.Table:
        rows = table["status"].to_pylist()
        row = rows.index("ok")
        given = [{"group": "hue", "label": label, "score": score} for label, score in tags]
        values = [
            given if n == row else None if status != "ok" else [] for n, status in enumerate(rows)
        ]
        at = table.schema.names.index("tags")
        table = table.set_column(
            at, table.schema.field(at), pa.array(values, table.schema.field(at).type)
        )
        table = set_values("scores", [0.25, 0.375, 0.125])(table)
        above = {"warm": "any", "any": None}
        group = {"name": "hue", "kind": "one", "above": above, "threshold": threshold}
        labels = json.loads(table.schema.metadata[b"fftag"])["labels"]
        parents = ("warm", "warm", None)
        for label, parent in zip(labels, parents, strict=True):
            label |= {"group": "hue", "parent": parent, "threshold": None}
        return metadata(groups=[group], labels=labels)(table)

    return altering


@pytest.mark.parametrize(
    ("change", "rules"),
    [
        (of_one(), set()),
        (of_one(("warm", 0.625)), set()),
        (of_one(("any", 0.625)), set()),
        (of_one(("green", 0.375), threshold=0.25), set()),
        (of_one(("green", 0.375)), {"tags_value"}),  # below the group's threshold
        (of_one(("warm", 0.75)), {"tags_value"}),  # no sum of its labels
        (of_one(("cold", 0.625)), {"tags_value"}),
        (of_one(("warm", 0.625), ("green", 0.375), threshold=0.25), {"tags_one"}),
        (of_one(("green", 0.375), ("red", 0.25), threshold=0.25), {"tags_one"}),
    ],
)
def test_a_group_of_which_one_label_holds_has_one_tag_at_most(
    tags: Path, change: Change, rules: set[str]
) -> None:
    result = validate(altered(tags, change))
    assert broken(result) == rules, result.lines()


def test_two_groups_may_have_labels_of_the_same_name(tags: Path) -> None:
    def change(table: pa.Table) -> pa.Table:
        at = table.schema.names.index("tags")
        rows = [
            row and [tag | {"label": tag["label"].replace("red", "blue")} for tag in row]
            for row in table["tags"].to_pylist()
        ]
        found = {(tag["group"], tag["label"]) for row in rows for tag in row or ()}
        assert ("warm", "blue") in found
        field = table.schema.field(at)
        return described(lambda run: run["labels"][0].update(name="blue"))(
            table.set_column(at, field, pa.array(rows, field.type))
        )

    result = validate(altered(tags, change))
    assert result.valid, result.lines()


def test_moved_thresholds_make_the_tags_wrong(tags: Path) -> None:
    def lower(run: dict[str, Any]) -> None:
        for label in run["labels"]:
            label["threshold"] = 0.0

    result = validate(altered(tags, described(lower)))
    assert broken(result) == {"tags_value"}


def test_labels_of_another_number_than_scores_are_reported(tags: Path) -> None:
    result = validate(
        altered(
            tags,
            described(lambda run: run["labels"].append(run["labels"][0] | {"name": "white"})),
        )
    )
    assert broken(result) == {"columns"} and "tags_value" in result.unchecked
    assert "fixed_size_list" in result.problems[0].examples[0]


@pytest.mark.parametrize("column", ["modified_at", "tagged_at"])
def test_a_time_that_no_calendar_holds_is_reported(tags: Path, column: str) -> None:
    def change(table: pa.Table) -> pa.Table:
        position = table.schema.names.index(column)
        field = table.schema.field(column)
        values = pa.array([2**62] * len(table), pa.int64()).cast(field.type)
        return table.set_column(position, field, values)

    result = validate(altered(tags, change))
    assert broken(result) == {"time"} and result.problems[0].count == 19


def test_duplicates_are_counted_where_the_order_is_broken_too(tags: Path) -> None:
    result = validate(altered(tags, lambda table: pa.concat_tables([table, table, table.slice(3)])))
    assert broken(result) == {"order", "duplicate_image"}
    assert {one.rule: one.count for one in result.problems} == {"order": 2, "duplicate_image": 35}


def test_order_and_duplicates_are_seen_over_the_edges_of_batches(
    tags: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fftag.tagging.validate.ROWS_AT_ONCE", 1)
    assert validate(tags).valid
    doubled = altered(tags, lambda table: pa.concat_tables([table.slice(0, 1), table]))
    assert broken(validate(doubled)) == {"duplicate_image"}
    assert broken(validate(altered(tags, lambda table: table.take([*range(1, 19), 0])))) == {
        "order"
    }


def test_all_problems_are_reported_at_once_and_counted(tags: Path) -> None:
    def change(table: pa.Table) -> pa.Table:
        for column, value in (("format", "PSD"), ("width", 0), ("error", "why")):
            table = set_values(column, value)(table)
        return metadata(run_id="")(table.drop_columns(["model_id"]))

    result = validate(altered(tags, change))
    assert broken(result) == {"columns", "metadata", "error", "dimensions", "format"}
    assert {"model_id", "tags_value", "null_value"} <= set(result.unchecked)
    content = json.loads(json.dumps(result.to_json()))
    assert content["valid"] is False and content["rows"] == 19
    assert content["problems"][0]["rule"] == "columns"


def test_a_damaged_page_is_reported_and_the_rest_is_checked(tags: Path, source: Path) -> None:
    table = pq.read_table(tags)
    table = pa.concat_tables([set_values("format", "PSD")(table), table])
    path = tags.with_name("damaged.parquet")
    pq.write_table(table, path, row_group_size=len(table) // 2, compression="zstd")
    group = pq.read_metadata(path).row_group(1)
    column = group.column(0)
    data = bytearray(path.read_bytes())
    start = column.dictionary_page_offset or column.data_page_offset
    data[start + 20 : start + column.total_compressed_size] = bytes(
        column.total_compressed_size - 20
    )
    path.write_bytes(data)
    result = validate(path)
    assert broken(result) == {"readable", "format"}, result.lines()
    assert result.problems[0].count == 19
    assert "rows 19 to 37" in result.problems[0].examples[0] and "order" in result.unchecked
    assert "source_extra" in validate(path, Folder(source)).unchecked


def test_differences_from_the_source_are_counted_with_examples(tags: Path, source: Path) -> None:
    for number in range(5):
        (source / f"new-{number}.jpg").write_bytes(b"new")
    (source / "season-0/FF-0000_1.jpg").unlink()
    with (source / "season-1/FF-0001_1.jpg").open("ab") as file:
        file.write(b"more")
    assert validate(tags).valid
    result = validate(tags, Folder(source))
    counts = {problem.rule: problem.count for problem in result.problems}
    assert counts == {"source_missing": 1, "source_extra": 5, "source_size": 1}
    missing, extra, size = result.problems
    (missed,) = missing.examples
    assert missed.endswith("'season-0/FF-0000_1.jpg': is not in the source")
    assert extra.examples == [f"'new-{number}.jpg' has no row" for number in range(3)]
    assert "'season-1/FF-0001_1.jpg': has " in size.examples[0]


def test_a_source_is_compared_by_the_include_of_the_run(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path
) -> None:
    root = folder_of_photos(4)
    (root / "notes.txt").write_text("none")
    out = root / "tags.parquet"
    tag(
        Folder(root),
        out,
        session_bundle,
        TagOptions(backend="torch", workers=1, selection=Selection(("*.jpg",), (out,))),
    )
    assert validate(out, Folder(root), ("*.jpg",)).valid
    assert broken(validate(out, Folder(root))) == {"source_extra"}


def test_a_source_that_is_missing_is_an_error(tags: Path, tmp_path: Path) -> None:
    with pytest.raises(FftagError, match="does not exist"):
        validate(tags, Folder(tmp_path / "nowhere"))


def test_a_newer_format_is_refused(tags: Path) -> None:
    with pytest.raises(FftagError, match="written by a newer fftag: upgrade"):
        validate(altered(tags, metadata(format_version=4)))


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("missing", "no tags file"),
        ("folder", "cannot read"),
        ("empty", "is empty"),
        ("random bytes", "is no Parquet file"),
        ("truncated", "is cut off or damaged"),
        ("of something else", "is Parquet, but no tags file"),
        ("a manifest", "is Parquet, but no tags file"),
    ],
)
def test_what_is_no_tags_file_is_one_clear_line(
    tags: Path, bands_manifest: Path, tmp_path: Path, kind: str, says: str
) -> None:
    path = tmp_path / "other.parquet"
    if kind == "folder":
        path.mkdir()
    if kind == "empty":
        path.write_bytes(b"")
    if kind == "random bytes":
        path.write_bytes(os.urandom(5000))
    if kind == "truncated":
        path.write_bytes(tags.read_bytes()[:-500])
    if kind == "of something else":
        pq.write_table(pa.table({"a": [1, 2]}), path)
    if kind == "a manifest":
        path = bands_manifest
    with pytest.raises(FftagError, match=says) as refused:
        validate(path)
    assert refused.value.exit_code == 1 and "\n" not in str(refused.value)


def test_a_file_with_bytes_changed_is_judged_or_refused_in_one_line(tags: Path) -> None:
    whole, path = tags.read_bytes(), tags.with_name("changed.parquet")
    judged = refused = 0
    for seed in range(100):
        chance, data = random.Random(seed), bytearray(whole)
        for _ in range(chance.choice([1, 3, 20])):
            data[chance.randrange(len(data))] = chance.randrange(256)
        path.write_bytes(data)
        try:
            result = validate(path)
        except FftagError as error:
            assert "\n" not in str(error)
            refused += 1
        else:
            assert result.rows and result.lines() and json.dumps(result.to_json())
            judged += 1
    assert judged and refused


@pytest.mark.parametrize("version", [1, 2])
def test_an_older_format_is_refused_with_what_to_do(tags: Path, version: int) -> None:
    with pytest.raises(FftagError, match="older fftag: run `fftag tag` once more"):
        validate(altered(tags, metadata(format_version=version)))


def test_every_rule_is_documented_and_none_is_made_up() -> None:
    rows = (DOCS / "tags-format.md").read_text(encoding="utf-8").split("## Validating")[1]
    documented = [line.split("`")[1] for line in rows.splitlines() if line.startswith("| `")]
    assert documented == [rule.name for rule in RULES]


def test_the_command_ends_with_1_and_one_line_where_a_rule_is_broken(
    tags: Path, source: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from fftag.cli import run_command

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["fftag", "validate", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            run_command()
        said = capsys.readouterr()
        return int(end.value.code or 0), said.out, said.err

    code, out, err = run(tags, "--source", source, "--json")
    assert code == 0 and json.loads(out)["valid"] is True and err == ""
    path = altered(tags, set_values("format", "PSD"))
    code, out, err = run(path)
    assert code == 1 and "format: 1 break the rule" in out
    assert err.startswith(f"fftag: {path} is not valid (format)") and err.count("\n") == 1
    code, out, err = run(source / "a/text.jpg")
    assert (code, out) == (1, "") and "is no Parquet file" in err and err.count("\n") == 1
    assert run(tags, "--include", "*.jpg")[0] == 2


def test_a_validation_keeps_apart_what_is_and_is_not_valid(tags: Path) -> None:
    result = validate(tags)
    assert result.valid and not replace(result, problems=[object()]).valid  # type: ignore[list-item]
