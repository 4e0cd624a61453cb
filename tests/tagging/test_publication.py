"""Publication: rows of many files in one pass, scores that lie elsewhere, row groups of a size."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fftag.base.errors import FftagError
from fftag.models.labels import LabelSet
from fftag.photos.record import PhotoRecord
from fftag.tagging import keys as key_tables
from fftag.tagging.known import TagsRows
from fftag.tagging.publish import decided_rows, write_rows
from fftag.tagging.scored_rows import rows
from fftag.tagging.tags_file import WRITTEN, RunInfo, described

NOW = datetime(2026, 3, 1, tzinfo=UTC)
LABELS = 5
SHOWN = described(LabelSet.of("abcde"), [0.5] * 5)
RUN = RunInfo("run", "ab" * 32, "scores", "0", "photos", **SHOWN, settings={})
Make = Callable[[list[int], list[int]], TagsRows]


@pytest.fixture
def part(tmp_path: Path) -> Make:
    """Writes a part of photos by their numbers, some of them without scores of their own."""

    def make(numbers: list[int], moved: list[int]) -> TagsRows:
        photos = [
            PhotoRecord(
                f"{number:04d}.jpg",
                known=number in moved,
                width=None if number in moved else 60,
                file_size=number,
                content_sha256="0" * 64,
            )
            for number in numbers
        ]
        path = tmp_path / f"{min(numbers)}-{len(numbers)}.parquet"
        pq.write_table(rows(photos, scores_of(numbers), RUN, [NOW] * len(numbers)), path, **WRITTEN)
        return TagsRows(path, RUN, len(numbers))

    return make


def scores_of(numbers: list[int]) -> np.ndarray:
    """float32 [photos, labels], which tell the photo."""
    return np.array([[number / 1000 + label / 10 for label in range(LABELS)] for number in numbers]
                    , np.float32)  # fmt: skip


def written(tables: list[pa.Table]) -> tuple[list[str], np.ndarray, list[int]]:
    """Paths, scores, and sizes of the files."""
    table = pa.concat_tables(tables)
    return (
        table["image"].to_pylist(),
        np.array(table["scores"].to_pylist(), np.float32),
        table["file_size"].to_pylist(),
    )


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fftag.tagging.publish.ROWS_PER_GROUP", 16)
    monkeypatch.setattr("fftag.tagging.publish.GROUPS_OF_MOVED", 1)
    monkeypatch.setattr("fftag.tagging.known.BYTES_HELD", 1)


@pytest.mark.usefixtures("small_steps")
def test_rows_of_more_files_than_are_opened_at_once_come_in_the_order_of_the_paths(
    part: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fftag.tagging.known.MOST_OPEN", 2)
    files = [part(list(range(first, 1000, 7)), []) for first in range(7)]
    starts = np.cumsum([0, *(file.rows for file in files)])
    numbers = np.array([starts[photo % 7] + photo // 7 for photo in range(1000)])
    chosen = np.random.default_rng(0).random(1000) < 0.8  # others are of files that are gone
    images, scores, _ = written(list(decided_rows(files, numbers[chosen], RUN)))
    photos = np.flatnonzero(chosen).tolist()
    assert images == [f"{photo:04d}.jpg" for photo in photos]
    assert (scores == scores_of(photos)).all()


@pytest.mark.usefixtures("small_steps")
def test_photos_that_moved_in_any_order_take_their_scores_with_them(part: Make) -> None:
    before, after = list(range(300)), list(range(300, 600))
    files = [part(before, []), part(after, after)]
    source = np.random.default_rng(1).permutation(300)
    source[10:40] = 7  # copies of one
    kept = np.concatenate([np.arange(0, 300, 3), np.arange(300, 600)])
    scored = np.concatenate([np.full(100, -1), source])
    images, scores, sizes = written(list(decided_rows(files, kept, RUN, scored=scored)))
    assert images == [f"{photo:04d}.jpg" for photo in [*before[::3], *after]]
    assert (scores == scores_of([*before[::3], *source.tolist()])).all()
    assert sizes == [*before[::3], *after]  # of the file as it is now


def test_rows_that_are_out_of_order_are_not_published(part: Make) -> None:
    file = part(list(range(10)), [])
    for numbers in ([1, 0], [0, 0]):
        with pytest.raises(FftagError, match="not those of the files listed"):
            list(decided_rows([file], np.array(numbers), RUN))


def test_row_groups_are_bounded_by_their_bytes(
    part: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fftag.tagging.publish.BYTES_PER_GROUP", 2**14)
    file, out = part(list(range(1000)), []), tmp_path / "tags.parquet"
    write_rows(out, decided_rows([file], np.arange(1000), RUN), RUN)
    about = pq.read_metadata(out)
    assert about.num_rows == 1000 and about.num_row_groups > 8
    whole = pq.ParquetFile(out)
    sizes = [whole.read_row_group(group).nbytes for group in range(about.num_row_groups)]
    assert max(sizes) < 2 * 2**14


def test_keys_are_compared_without_a_way_to_any_other_file(tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text("a\n1\n")
    with key_tables.key_database(tmp_path / "tags.parquet") as keys:
        for reading in (f"from '{tmp_path}/other.csv'", "load httpfs", "install httpfs"):
            with pytest.raises(Exception, match=r"disabled|Permission"):
                keys.execute(reading)
    assert [path.name for path in tmp_path.iterdir()] == ["other.csv"]


def test_a_catalogue_with_a_name_that_is_a_pattern_is_planned_as_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What does not fit goes beside the output; neither name is read as a pattern."""
    folder = tmp_path / "[shop]" / "year=2024"
    folder.mkdir(parents=True)
    monkeypatch.setattr(key_tables, "MEMORY", "64MB")
    with key_tables.key_database(folder / "tags.parquet") as keys:
        keys.execute(
            "create temp table t as select random()::text || range as a from range(3000000)"
        )
        assert key_tables.one_row(keys, "select count(distinct a) from t") == (3_000_000,)
        assert [path.name for path in folder.iterdir()] == [".tags.parquet.keys.tmp"]
    assert not list(folder.iterdir())
