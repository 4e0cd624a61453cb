"""What stands at the output before a run: damaged, of another format, or something else."""

import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from catalogues import with_metadata
from tagged import aged, assert_same, reading

from fftag.base.errors import FftagError
from fftag.models.folder import Bundle
from fftag.photos.listing import Selection, Shard
from fftag.photos.sources.local import Folder
from fftag.tagging.agreement import Agreement
from fftag.tagging.dry_run import look_ahead
from fftag.tagging.merge import merge
from fftag.tagging.options import TagOptions, run_info
from fftag.tagging.parts import Parts
from fftag.tagging.tag import retag, tag
from fftag.tagging.tags_file import WRITTEN, open_tags_file, read_batches
from fftag.tagging.validate import validate

Make = Callable[[int], Path]
OPTIONS = TagOptions(
    backend="torch", workers=1, batch_size=4, shard_size=8, max_failure_rate=1, max_removal_rate=1
)
FORCE = replace(OPTIONS, force=True)


@pytest.fixture
def root(folder_of_photos: Make) -> Path:
    return aged(folder_of_photos(24))


@pytest.fixture
def out(root: Path, session_bundle: Bundle, tmp_path: Path) -> Path:
    """The tags of these photos, in three row groups."""
    path = tmp_path / "tags.parquet"
    tag(Folder(root), path, session_bundle, OPTIONS)
    pq.write_table(pq.read_table(path), path, row_group_size=8, **WRITTEN)
    return path


@pytest.fixture
def fresh(root: Path, session_bundle: Bundle, tmp_path: Path) -> Path:
    path = tmp_path / "fresh.parquet"
    tag(Folder(root), path, session_bundle, OPTIONS)
    return path


def end_of_pages(path: Path, group: int, column: str) -> tuple[int, int]:
    """Where the pages of a column end in the file, and how many bytes they have."""
    about = pq.read_metadata(path).row_group(group)
    names = [about.column(number).path_in_schema for number in range(about.num_columns)]
    chunk = about.column(next(n for n, name in enumerate(names) if name.startswith(column)))
    size = chunk.total_compressed_size
    return (chunk.dictionary_page_offset or chunk.data_page_offset) + size, size


def damage(path: Path, group: int, column: str, count: int = 64) -> None:
    """Flips bytes at the end of the pages of a column."""
    stop, size = end_of_pages(path, group, column)
    content = bytearray(path.read_bytes())
    for at in range(stop - min(count, size // 2), stop):
        content[at] ^= 0x10
    path.write_bytes(content)


# Damage


def test_files_are_written_with_checksums(fresh: Path) -> None:
    """Of the bits of a page, zstd alone notices some."""
    stop, _ = end_of_pages(fresh, 0, "scores")
    whole = fresh.read_bytes()
    for at in range(stop - 16, stop):
        fresh.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with open_tags_file(fresh) as file, pytest.raises(FftagError, match="row group 0"):
            list(read_batches(fresh, file))


@pytest.mark.parametrize("column", ["scores", "image", "content_sha256", "status"])
def test_photos_of_damaged_rows_are_read_again_and_no_others(
    root: Path,
    out: Path,
    fresh: Path,
    session_bundle: Bundle,
    column: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    guarded = replace(OPTIONS, max_removal_rate=0)
    images = pq.read_table(out)["image"].to_pylist()
    damage(out, 1, column)
    with reading() as decoded:
        summary = tag(Folder(root), out, session_bundle, guarded)
    assert decoded == images[8:16] and summary.files == 24
    said = capsys.readouterr().err
    assert "is damaged in row group 1 (rows 8 to 15: " in said and "are read again" in said
    assert_same(out, fresh)
    assert validate(out, Folder(root)).valid


def test_rows_that_are_lost_may_be_of_files_that_are_gone(
    root: Path, out: Path, session_bundle: Bundle
) -> None:
    images = pq.read_table(out)["image"].to_pylist()
    damage(out, 1, "image")
    for image in images[8:14]:
        (root / image).unlink()
    guarded = replace(OPTIONS, max_removal_rate=0.2)
    for options in (guarded, replace(guarded, force=True)):
        with pytest.raises(FftagError, match=r"6 of the 24 files .* are gone"):
            tag(Folder(root), out, session_bundle, options)
    assert tag(Folder(root), out, session_bundle, OPTIONS).files == 18


def hidden_page(content: bytes, out: Path) -> bytes:
    """A page's header says that it is of a kind that Arrow passes over."""
    at = pq.read_metadata(out).row_group(0).column(0).dictionary_page_offset + 1
    assert content[at] == 4  # thrift's zigzag for 2, a dictionary
    return content[:at] + bytes([6]) + content[at + 1 :]


def another_threshold(content: bytes, out: Path) -> bytes:
    return content.replace(b'"threshold": 0.5', b'"threshold": 0.4')


def a_row_less(content: bytes, out: Path) -> bytes:
    """The file's foot says that the last row group has seven rows, as thrift's zigzag has it."""
    foot = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    for at in range(foot, len(content) - 8):
        changed = content[:at] + bytes([14]) + content[at + 1 :]
        if content[at] == 16:
            about = pq.read_metadata(pa.BufferReader(changed))
            if about.row_group(2).num_rows == 7 and about.num_rows == 24:
                return changed
    raise AssertionError("no such byte")


def another_column(content: bytes, out: Path) -> bytes:
    return content.replace(b"is_apparel", b"is_opparel")


@pytest.mark.parametrize("damaged", [hidden_page, another_threshold, a_row_less, another_column])
def test_damage_beside_the_pages_is_noticed_too(
    root: Path,
    out: Path,
    fresh: Path,
    session_bundle: Bundle,
    damaged: Callable[[bytes, Path], bytes],
) -> None:
    content = damaged(out.read_bytes(), out)
    assert content != out.read_bytes()
    out.write_bytes(content)
    for command in (
        lambda: retag(out, session_bundle),
        lambda: merge([out], out.with_name("all.parquet")),
    ):
        with pytest.raises(FftagError):
            command()
    try:
        tag(Folder(root), out, session_bundle, OPTIONS)
    except FftagError:
        assert out.read_bytes() == content and damaged is not hidden_page
    else:
        assert_same(out, fresh)
        assert damaged is hidden_page


def test_whatever_is_damaged_nothing_wrong_is_published(
    root: Path, out: Path, fresh: Path, session_bundle: Bundle
) -> None:
    """Any bytes, also of the file's foot: the run refuses, or ends as a fresh one."""
    whole, refused, mended = out.read_bytes(), 0, 0
    for seed in range(40):
        chance, content = random.Random(seed), bytearray(whole)
        for _ in range(chance.choice([1, 1, 64])):
            content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        out.write_bytes(content)
        try:
            tag(Folder(root), out, session_bundle, OPTIONS)
        except FftagError as error:
            assert "\n" not in str(error)
            assert out.read_bytes() == content
            refused += 1
        else:
            assert_same(out, fresh)
            mended += 1
    assert refused and mended


def test_retag_and_merge_name_the_row_group(out: Path, session_bundle: Bundle) -> None:
    damage(out, 2, "scores")
    before = out.read_bytes()
    with pytest.raises(FftagError, match=r"damaged in row group 2 \(rows 16 to 23: .*fftag tag"):
        retag(out, session_bundle)
    with pytest.raises(FftagError, match=r"is not valid \(readable\)"):
        merge([out], out.with_name("all.parquet"))
    assert out.read_bytes() == before


def test_a_file_is_read_without_being_kept_in_memory(
    out: Path, session_bundle: Bundle, tmp_path: Path
) -> None:
    table, path = pq.read_table(out).slice(0, 1), tmp_path / "long.parquet"
    index = table.schema.get_field_index("scores")
    scores = pa.FixedSizeListArray.from_arrays(
        pa.array(np.random.default_rng(0).random(4096 * 3, np.float32)), 3
    )
    rows = table.take(pa.array([0] * 4096)).set_column(index, table.schema.field(index), scores)
    with pq.ParquetWriter(path, rows.schema, **WRITTEN) as writer:
        for _ in range(256):
            writer.write_table(rows)
    size = path.stat().st_size
    before = pa.total_allocated_bytes()
    most = 0
    with open_tags_file(path) as file:
        for batch in file.iter_batches(1024):
            most = max(most, pa.total_allocated_bytes() - before)
            del batch
    assert size > 10e6 and most < size / 4


# Other formats, and headers that are none


def older(out: Path) -> Path:
    return with_metadata(out, out, format_version=2)


def newer(out: Path) -> Path:
    return with_metadata(out, out, format_version=4)


@pytest.mark.parametrize(("change", "says"), [(older, "an older fftag"), (newer, "a newer fftag")])
def test_every_command_gives_the_same_verdict_of_another_format(
    out: Path, session_bundle: Bundle, change: Callable[[Path], Path], says: str
) -> None:
    content = change(out).read_bytes()
    for command in (
        lambda: validate(out),
        lambda: retag(out, session_bundle),
        lambda: merge([out], out.with_name("all.parquet")),
    ):
        with pytest.raises(FftagError, match=f"was written by {says}"):
            command()
    assert out.read_bytes() == content


def test_a_newer_format_is_tagged_over_with_force_alone_and_guarded_then(
    root: Path, out: Path, fresh: Path, session_bundle: Bundle
) -> None:
    content = newer(out).read_bytes()
    for run in (tag, look_ahead):
        with pytest.raises(FftagError, match=r"newer fftag: .*--force"):
            run(Folder(root), out, session_bundle, OPTIONS)
    with pytest.raises(FftagError, match="newer fftag"):
        merge([fresh], out)
    assert out.read_bytes() == content
    guarded = replace(FORCE, max_removal_rate=0.5)
    elsewhere = root / "season-0"
    with pytest.raises(FftagError, match="24 of the 24 files"):
        tag(Folder(elsewhere), out, session_bundle, guarded)
    table = pq.read_table(out)
    # It has no paths that this one knows of.
    renamed = table.rename_columns(["path", *table.schema.names[1:]])
    pq.write_table(renamed.replace_schema_metadata(table.schema.metadata), out)
    with pytest.raises(FftagError, match="16 of the 24 files"):
        tag(Folder(elsewhere), out, session_bundle, guarded)
    tag(Folder(root), out, session_bundle, guarded)
    assert_same(out, fresh)


def test_an_older_format_is_tagged_anew_and_guarded(
    root: Path,
    out: Path,
    fresh: Path,
    session_bundle: Bundle,
    capsys: pytest.CaptureFixture[str],
) -> None:
    older(out)
    with pytest.raises(FftagError, match="24 of the 24 files"):
        tag(
            Folder(root / "season-0"),
            out,
            session_bundle,
            replace(OPTIONS, max_removal_rate=0.5),
        )
    with reading() as decoded:
        tag(Folder(root), out, session_bundle, OPTIONS)
    assert len(decoded) == 24
    assert "another format version: every file is tagged anew" in capsys.readouterr().err
    assert_same(out, fresh)


ODD: dict[str, Any] = {
    "text for a version": {"format_version": "3"},
    "no run": {"run_id": None},
    "no settings": {"settings": None},
    "a list of settings": {"settings": []},
    "a number for a shard": {"settings": {"shard": 3}},
    "a number for labels": {"labels": 3},
    "no source": {"source": {}},
    "no groups": {"groups": None},
}


@pytest.mark.parametrize("odd", [*ODD, "no JSON", "no object", "no UTF-8", "nothing"])
def test_odd_metadata_are_one_line_everywhere(
    root: Path, out: Path, fresh: Path, session_bundle: Bundle, odd: str
) -> None:
    stored = {"no JSON": b"{", "no object": b"[1]", "no UTF-8": b"\xff\xfe"}.get(odd)
    schema = pq.read_schema(out)
    if odd in ODD:
        stored = json.dumps(json.loads(schema.metadata[b"fftag"]) | ODD[odd]).encode()
    metadata = {b"fftag": stored} if stored is not None else None
    table = pq.read_table(out).replace_schema_metadata(metadata)
    pq.write_table(table, out, **WRITTEN)
    content = out.read_bytes()
    for command in (
        lambda: tag(Folder(root), out, session_bundle, OPTIONS),
        lambda: look_ahead(Folder(root), out, session_bundle, OPTIONS),
        lambda: retag(out, session_bundle),
        lambda: merge([out], out.with_name("all.parquet")),
        lambda: merge([fresh], out),
    ):
        with pytest.raises(FftagError) as refused:
            command()
        assert "\n" not in str(refused.value) and str(out) in str(refused.value)
    assert {problem.rule for problem in validate(out).problems} == {"metadata"}
    assert out.read_bytes() == content
    tag(Folder(root), out, session_bundle, FORCE)
    assert_same(out, fresh)


@pytest.mark.parametrize("kind", ["text", "a manifest", "other Parquet", "cut off", "empty"])
def test_what_is_no_tags_file_is_not_written_over_even_with_force(
    root: Path,
    out: Path,
    fresh: Path,
    session_bundle: Bundle,
    bands_manifest: Path,
    kind: str,
) -> None:
    content = {
        "text": b"what someone wrote",
        "a manifest": bands_manifest.read_bytes(),
        "cut off": out.read_bytes()[:-100],
        "empty": b"",
    }.get(kind)
    if content is None:
        pq.write_table(pa.table({"image": ["a.jpg"], "price": [3]}), out)
        content = out.read_bytes()
    out.write_bytes(content)
    for command in (
        lambda: tag(Folder(root), out, session_bundle, FORCE),
        lambda: merge([fresh], out),
    ):
        with pytest.raises(FftagError, match="move it away"):
            command()
    assert out.read_bytes() == content


# Parts and merged files


def test_a_part_of_another_kind_is_said_and_its_photos_are_read_again(
    root: Path,
    fresh: Path,
    session_bundle: Bundle,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "new.parquet"
    run = run_info(str(root), session_bundle, OPTIONS)
    folder = Parts(out, Agreement.of(run)).folder
    folder.mkdir(parents=True)
    (folder / "part-0123456789abcdef.parquet").write_bytes(b"of before")
    summary = tag(Folder(root), out, session_bundle, OPTIONS)
    assert summary.read == 24 and summary.resumed == 0
    assert "is damaged, or of another fftag: its photos are read again" in capsys.readouterr().err
    assert_same(out, fresh)
    assert not folder.parent.exists()


def test_a_merge_of_a_few_files_does_not_empty_what_stood_there(
    root: Path, session_bundle: Bundle, tmp_path: Path
) -> None:
    shards, out = [tmp_path / f"{number}.parquet" for number in (1, 2)], tmp_path / "all.parquet"
    for number, path in enumerate(shards, 1):
        options = replace(OPTIONS, selection=Selection(shard=Shard(number, 2)))
        tag(Folder(root), path, session_bundle, options)
    merge(shards, out)
    few = tmp_path / "few.parquet"
    tag(Folder(root / "season-0"), few, session_bundle, OPTIONS)
    before = out.read_bytes()
    with pytest.raises(FftagError, match=r"24 of the 24 files in .* gone from the files merged"):
        merge([few], out)
    assert out.read_bytes() == before
    assert merge([few], out, max_removal_rate=1).rows == 8
