"""Shards of a source, each tagged by itself, and the one file that they are joined into."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from catalogues import save_bands
from faults import stopped_after_parts
from hypothesis import given
from hypothesis import strategies as st
from tagged import aged, assert_same, reading, spoil
from typer.testing import CliRunner

from fftag.base.errors import FftagError
from fftag.cli import app
from fftag.models.folder import Bundle
from fftag.photos.decode import Limits
from fftag.photos.listing import ListingMaker, Selection, Shard, shard_of
from fftag.photos.sources.choose import list_source
from fftag.photos.sources.local import Folder
from fftag.tagging.merge import merge
from fftag.tagging.options import TagOptions
from fftag.tagging.tag import tag
from fftag.tagging.validate import validate

Make = Callable[[int], Path]
OPTIONS = TagOptions(
    backend="torch", workers=1, batch_size=4, shard_size=8, max_failure_rate=1, max_removal_rate=1
)


def of_shard(number: int, count: int) -> TagOptions:
    return replace(OPTIONS, selection=Selection(shard=Shard(number, count)))


def tag_shards(root: Path, bundle: Bundle, folder: Path, count: int) -> list[Path]:
    parts = [folder / f"shard-{number}.parquet" for number in range(1, count + 1)]
    for number, part in enumerate(parts, 1):
        tag(Folder(root), part, bundle, of_shard(number, count))
    return parts


# Shards


@given(st.sets(st.text(min_size=1), max_size=30), st.integers(1, 9), st.text(min_size=1))
def test_each_file_is_of_one_shard_and_a_new_one_moves_no_other(
    names: set[str], count: int, new: str
) -> None:
    def split(names: set[str]) -> dict[str, int]:
        maker = ListingMaker()
        for name in names:
            maker.add(name.encode("utf-8", "surrogatepass"), 1, 1)
        listing = maker.finish()
        shards = [Shard(number + 1, count).of(listing) for number in range(count)]
        found = Counter(image for shard in shards for image in shard.files["image"].to_pylist())
        assert found == Counter(listing.files["image"].to_pylist())
        return {
            image: shard
            for shard, part in enumerate(shards)
            for image in part.files["image"].to_pylist()
        }

    before = split(names)
    assert before.items() <= split(names | {new}).items()


def test_the_shard_of_a_path_is_the_documented_one_and_shards_are_about_as_large() -> None:
    digest = hashlib.sha256("a/ü.jpg".encode()).hexdigest()
    assert shard_of("a/ü.jpg", 7) == int(digest[:16], 16) % 7 + 1
    sizes = Counter(shard_of(f"season-{n % 3}/FF-{n:06d}_1.jpg", 8) for n in range(8000))
    assert set(sizes) == set(range(1, 9)) and max(sizes.values()) < 1150


@pytest.mark.parametrize(
    "text", ["0/3", "4/3", "1/0", "1", "a/b", "-1/3", "1/3/3", "01/3", "\u0661/3"]
)
def test_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(FftagError, match="I/N"):
        Shard.parse(text)


def test_a_tags_file_is_not_gone_on_with_as_another_shard(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path
) -> None:
    root, out = folder_of_photos(12), tmp_path / "tags.parquet"
    tag(Folder(root), out, session_bundle, of_shard(1, 2))
    before = out.read_bytes()
    for options in (of_shard(2, 2), of_shard(1, 3), OPTIONS):
        with pytest.raises(FftagError, match="rows of shard 1/2, not of"):
            tag(Folder(root), out, session_bundle, options)
    assert out.read_bytes() == before
    tag(Folder(root), out, session_bundle, replace(of_shard(2, 2), force=True))
    whole = tmp_path / "whole.parquet"
    tag(Folder(root), whole, session_bundle, OPTIONS)
    with pytest.raises(FftagError, match="rows of the whole source, not of shard 1/2"):
        tag(Folder(root), whole, session_bundle, of_shard(1, 2))


def test_an_interrupted_shard_is_not_gone_on_with_as_another(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path
) -> None:
    root, out = folder_of_photos(40), tmp_path / "tags.parquet"
    stopped_after_parts(root, out, session_bundle, 1, of_shard(1, 2))
    assert tag(Folder(root), out, session_bundle, of_shard(2, 2)).resumed == 0
    out.unlink()
    assert tag(Folder(root), out, session_bundle, of_shard(1, 2)).resumed == 8


def test_a_shard_reads_again_only_what_changed_and_may_be_empty(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path
) -> None:
    root = aged(folder_of_photos(2))
    outs = tag_shards(root, session_bundle, tmp_path, 8)
    rows = [pq.read_metadata(out).num_rows for out in outs]
    assert sum(rows) == 2 and 0 in rows
    save_bands(root / "new.jpg", ["red"])
    read = [
        tag(Folder(root), out, session_bundle, of_shard(number, 8)).read
        for number, out in enumerate(outs, 1)
    ]
    assert sum(read) == 1 and read[shard_of("new.jpg", 8) - 1] == 1
    for out in outs:
        assert validate(out, Folder(root)).valid


# Merging


def test_merged_shards_are_what_one_run_writes(
    source: Path,
    session_bundle: Bundle,
    tmp_path: Path,
) -> None:
    aged(source)
    whole, out = tmp_path / "whole.parquet", tmp_path / "merged/tags.parquet"
    tag(Folder(source), whole, session_bundle, OPTIONS)
    merged = merge(tag_shards(source, session_bundle, tmp_path, 5), out, Folder(source))
    assert_same(out, whole)
    assert pq.read_schema(out).remove_metadata() == pq.read_schema(whole).remove_metadata()
    told = [json.loads(pq.read_schema(path).metadata[b"fftag"]) for path in (out, whole)]
    assert told[0].pop("run_id") != told[1].pop("run_id")
    assert told[0] == told[1]
    assert merged.rows == 19 and merged.statuses["ok"] == 15
    assert validate(out, Folder(source)).valid
    assert [path.name for path in out.parent.iterdir()] == ["tags.parquet"]
    with reading() as decoded:
        summary = tag(Folder(source), out, session_bundle, replace(OPTIONS, retry_failed=False))
    assert decoded == [] and summary.plan["unchanged"] == 19


def test_what_changes_later_is_all_that_is_read_after_a_merge(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path
) -> None:
    root, out = aged(folder_of_photos(10)), tmp_path / "tags.parquet"
    merge(tag_shards(root, session_bundle, tmp_path, 3), out)
    save_bands(root / "new.jpg", ["red"], 77)
    with reading() as decoded:
        tag(Folder(root), out, session_bundle, OPTIONS)
    assert decoded == ["new.jpg"]


def test_parts_of_different_folders_and_of_no_shard_are_merged(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path
) -> None:
    root = folder_of_photos(9)
    parts = []
    for pattern in ("FF-000[0-4]*", "FF-000[5-9]*"):
        parts.append(tmp_path / f"{len(parts)}.parquet")
        options = replace(OPTIONS, selection=Selection((pattern,)))
        tag(Folder(root), parts[-1], session_bundle, options)
    merge(parts, tmp_path / "all.parquet", Folder(root))
    tag(Folder(root), tmp_path / "whole.parquet", session_bundle, OPTIONS)
    assert_same(tmp_path / "all.parquet", tmp_path / "whole.parquet")


def test_missing_and_doubled_shards_are_named(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path
) -> None:
    root, out = folder_of_photos(8), tmp_path / "tags.parquet"
    parts = tag_shards(root, session_bundle, tmp_path, 4)
    with pytest.raises(FftagError, match=r"shards are missing: 2/4, 4/4;"):
        merge([parts[2], parts[0]], out)
    again = tmp_path / "again.parquet"
    tag(Folder(root), again, session_bundle, of_shard(2, 4))
    with pytest.raises(FftagError, match=r"again.parquet and .*shard-2.parquet are both shard 2/4"):
        merge([*parts, again], out)
    with pytest.raises(FftagError, match="is given twice"):
        merge([*parts, tmp_path / "." / parts[0].name], out)
    other = tmp_path / "other.parquet"
    tag(Folder(root), other, session_bundle, of_shard(1, 3))
    with pytest.raises(FftagError, match="one N for all"):
        merge([*parts, other], out)
    whole = tmp_path / "whole.parquet"
    tag(Folder(root), whole, session_bundle, OPTIONS)
    with pytest.raises(FftagError, match=r"whole.parquet is no shard"):
        merge([*parts, whole], out)
    assert not out.exists() and not out.with_name("tags.parquet.parts").exists()


def test_a_path_in_two_files_is_named_with_both(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path
) -> None:
    root, parts = folder_of_photos(9), []
    for pattern in ("*_1.jpg", "FF-0004*"):
        parts.append(tmp_path / f"{len(parts)}.parquet")
        options = replace(OPTIONS, selection=Selection((pattern,)))
        tag(Folder(root), parts[-1], session_bundle, options)
    with pytest.raises(FftagError, match=r"'season-1/FF-0004_1.jpg' .*0.parquet and .*1.parquet"):
        merge(parts, tmp_path / "all.parquet")
    assert not (tmp_path / "all.parquet").exists()


def test_other_thresholds_models_and_settings_do_not_mix(
    folder_of_photos: Make,
    session_bundle: Bundle,
    stricter: Bundle,
    tmp_path: Path,
) -> None:
    root = folder_of_photos(6)
    one, two = tmp_path / "one.parquet", tmp_path / "two.parquet"
    tag(Folder(root), one, session_bundle, of_shard(1, 2))
    tag(Folder(root), two, stricter, of_shard(2, 2))
    with pytest.raises(FftagError, match=r"two.parquet has another thresholds than"):
        merge([one, two], tmp_path / "all.parquet")
    changed = replace(of_shard(2, 2), limits=Limits(file_bytes=50_000), force=True)
    tag(Folder(root), two, session_bundle, changed)
    with pytest.raises(FftagError, match=r"another limits than"):
        merge([one, two], tmp_path / "all.parquet")
    # What moves no more than a last bit may differ, and is then left out of what the file says.
    tag(Folder(root), two, session_bundle, replace(of_shard(2, 2), batch_size=8, force=True))
    merge([one, two], tmp_path / "all.parquet")
    told = json.loads(pq.read_schema(tmp_path / "all.parquet").metadata[b"fftag"])["settings"]
    assert "batch_size" not in told and "precision" in told


def test_a_damaged_part_is_refused(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path
) -> None:
    parts = tag_shards(folder_of_photos(8), session_bundle, tmp_path, 2)
    table = pq.read_table(parts[1])
    pq.write_table(table.slice(1).append_column("more", pa.nulls(table.num_rows - 1)), parts[1])
    with pytest.raises(FftagError, match=r"shard-2.parquet is not valid \(columns\)"):
        merge(parts, tmp_path / "all.parquet")


def test_a_file_without_a_row_is_named_and_a_changed_one_does_not_matter(
    folder_of_photos: Make,
    session_bundle: Bundle,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    root, out = folder_of_photos(8), tmp_path / "tags.parquet"
    parts = tag_shards(root, session_bundle, tmp_path, 2)
    victim = root / "season-1/FF-0004_1.jpg"
    victim.write_bytes(victim.read_bytes() + b"more")
    merge(parts, out, Folder(root))
    assert (
        "1 rows differ from the source: row 4 'season-1/FF-0004_1.jpg': has "
        in capsys.readouterr().err
    )
    before = out.read_bytes()
    save_bands(root / "late.jpg", ["red"])
    with pytest.raises(FftagError, match=r"1 files of .* have no row, such as 'late.jpg'"):
        merge(parts, out, Folder(root))
    assert out.read_bytes() == before


def test_a_merge_that_dies_leaves_what_stood_there(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = tag_shards(folder_of_photos(8), session_bundle, tmp_path, 2)
    out = tmp_path / "all.parquet"
    merge(parts, out)
    before = out.read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq.ParquetWriter, "write_table", full)
    with pytest.raises(FftagError, match="No space left"):
        merge(parts, out)
    assert out.read_bytes() == before
    assert [path for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_many_files_are_merged_in_passes_and_long_ones_in_row_groups(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fftag.tagging.merge.MOST_OPEN", 3)
    monkeypatch.setattr("fftag.tagging.known.BYTES_HELD", 1)
    monkeypatch.setattr("fftag.tagging.publish.ROWS_PER_GROUP", 16)
    root = folder_of_photos(40)
    spoil(root)
    parts = tag_shards(root, session_bundle, tmp_path, 10)
    merge(parts, tmp_path / "all.parquet", Folder(root))
    tag(Folder(root), tmp_path / "whole.parquet", session_bundle, OPTIONS)
    assert_same(tmp_path / "all.parquet", tmp_path / "whole.parquet")
    file = pq.read_metadata(tmp_path / "all.parquet")
    assert [file.row_group(group).num_rows for group in range(3)] == [16, 16, 14]


def long_files(folder: Path, part: Path, rows: int, count: int) -> list[Path]:
    """Shards of a catalogue that is as long as wanted, with the first row of a tags file."""
    row = pq.read_table(part).slice(0, 1)
    schema = row.schema
    names = np.array([f"photo-{number:08d}.jpg" for number in range(rows)])
    owner = np.array([shard_of(name, count) for name in names])
    paths = []
    for number in range(1, count + 1):
        own = pa.array(names[owner == number], pa.string())
        table = row.take(pa.array(np.zeros(len(own), np.int64))).set_column(0, "image", own)
        told = json.loads(schema.metadata[b"fftag"])
        told["settings"]["shard"] = f"{number}/{count}"
        paths.append(folder / f"long-{number}.parquet")
        metadata = {b"fftag": json.dumps(told).encode()}
        table = table.cast(schema).replace_schema_metadata(metadata)
        pq.write_table(table, paths[-1], row_group_size=4096)
    return paths


def test_memory_of_a_merge_does_not_grow_with_the_rows(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fftag.tagging.publish.ROWS_PER_GROUP", 4096)
    part = tmp_path / "part.parquet"
    tag(Folder(folder_of_photos(1)), part, session_bundle, OPTIONS)
    peaks: list[int] = []
    write = pq.ParquetWriter.write_table

    def noted(self: pq.ParquetWriter, table: pa.Table, *rest: object, **more: object) -> None:
        peaks[-1] = max(peaks[-1], pa.total_allocated_bytes())
        write(self, table, *rest, **more)

    for rows in (40_000, 160_000):
        paths = long_files(tmp_path, part, rows, 4)
        peaks.append(0)
        with monkeypatch.context() as patch:
            patch.setattr(pq.ParquetWriter, "write_table", noted)
            assert merge(paths, tmp_path / "long.parquet").rows == rows
    assert peaks[1] < 1.5 * peaks[0]


def test_the_command_line_shards_and_merges(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path
) -> None:
    root, out = folder_of_photos(7), tmp_path / "tags.parquet"
    parts = [tmp_path / f"{number}.parquet" for number in (1, 2)]
    for number, part in enumerate(parts, 1):
        options = ["--out", str(part), "--shard", f"{number}/2", "--workers", "1"]
        ended = CliRunner().invoke(
            app, ["tag", str(root), "--model", str(session_bundle.path), *options]
        )
        assert ended.exit_code == 0, ended.output
    command = ["merge", *map(str, parts), "--out", str(out), "--source", str(root), "--json"]
    ended = CliRunner().invoke(app, command)
    assert ended.exit_code == 0, ended.output
    assert json.loads(ended.stdout)["rows"] == len(list_source(Folder(root))) == 7
    assert CliRunner().invoke(app, ["merge", "a", "--out", "b", "--include", "c"]).exit_code == 2


def test_shards_are_asked_in_sql_as_they_are(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path
) -> None:
    parts = tag_shards(folder_of_photos(12), session_bundle, tmp_path, 3)
    merge(parts, tmp_path / "tags.parquet")
    asked = "select image, t.label, t.score from '{}', unnest(tags) as u(t) order by all"
    with duckdb.connect() as connection:
        found = [
            connection.execute(asked.format(path)).fetchall()
            for path in (tmp_path / "shard-*.parquet", tmp_path / "tags.parquet")
        ]
    assert found[0] == found[1] and found[0]
