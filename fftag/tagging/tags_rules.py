"""The rules that each row of a tags file keeps, over one batch of rows at a time."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fftag.photos.decode import SALVAGED
from fftag.photos.image_formats import ALLOWED
from fftag.photos.listing import escape, unescape
from fftag.tagging.tags_file import STATUSES, RunInfo

READ_WHOLE = ("ok", "truncated", "unsupported")  # decoding began, so every byte had been read
NEVER_READ = ("vanished",)
# Microseconds since 1970 of the first moment of year 1, and of the one after year 9999.
FIRST_MOMENT, END_OF_TIME = -62_135_596_800_000_000, 253_402_300_800_000_000

# The broken rows (bool [rows]), and what to say of one of them.
Broken = tuple[np.ndarray, Callable[[int], str]]


@dataclass(frozen=True)
class Rows:
    """One batch, with what most rules ask of it.

    Attributes:
        batch: columns with the documented types; others may be missing.
        run: what the metadata say; only the rules that need it may ask.
    """

    batch: pa.RecordBatch
    run: RunInfo | None

    def __getitem__(self, column: str) -> pa.Array:
        return self.batch.column(column)

    def null(self, column: str) -> np.ndarray:
        """bool [rows]."""
        return np.asarray(self[column].is_null().to_numpy(zero_copy_only=False))

    def status(self, row: int) -> str:
        return str(self["status"][row].as_py())

    @cached_property
    def statuses(self) -> pa.Array:
        """string [rows]."""
        return self["status"].cast(pa.string())

    @cached_property
    def ok(self) -> np.ndarray:
        """bool [rows]: the status is `ok`."""
        return is_true(pc.equal(self.statuses, "ok"))

    @cached_property
    def scores(self) -> np.ndarray:
        """float32 [rows, labels]; NaN where a score or all of them are null."""
        column = self["scores"]
        scores = np.full((len(column), column.type.list_size), np.nan, np.float32)
        given = column.flatten().to_numpy(zero_copy_only=False)
        scores[~self.null("scores")] = given.reshape(-1, column.type.list_size)
        return scores


@dataclass(frozen=True)
class Rule:
    """A rule, and what has to be sound before it can be checked.

    Attributes:
        name: as docs/tags-format.md has it.
        columns: those it reads.
        check: rows -> those that break it.
        needs_run: it reads the metadata too.
    """

    name: str
    columns: tuple[str, ...]
    check: Callable[[Rows], Iterator[Broken]]
    needs_run: bool = False


def is_true(values: pa.Array) -> np.ndarray:
    """bool [rows]; null counts as false."""
    return np.asarray(pc.fill_null(values, False).to_numpy(zero_copy_only=False))


def _one_of(values: pa.Array, known: tuple[str, ...]) -> np.ndarray:
    return is_true(pc.is_in(values, value_set=pa.array(known, pa.string())))


def _null_value(column: str, rows: Rows) -> Iterator[Broken]:
    yield rows.null(column), lambda row: f"{column} is null"


def _image_path(rows: Rows) -> Iterator[Broken]:
    images = rows["image"]
    strange = is_true(pc.match_substring_regex(images, r"^$|^/|/$|//|\x00|(^|/)\.\.?(/|$)"))
    yield strange, lambda row: "is no path of a file below the source"
    wrong = np.zeros(len(images), dtype=bool)
    for row in np.flatnonzero(is_true(pc.match_substring(images, "\\"))):
        image = images[int(row)].as_py()
        real = unescape(image).encode("utf-8", "surrogateescape")
        wrong[row] = escape(real.decode("utf-8", "surrogateescape")) != image
    yield wrong, lambda row: "is not escaped as a name is"


def _status(rows: Rows) -> Iterator[Broken]:
    wrong = ~_one_of(rows.statuses, STATUSES) & ~rows.null("status")
    yield wrong, lambda row: f"status {rows.status(row)!r} is none of the format's"


def _error(rows: Rows) -> Iterator[Broken]:
    absent = rows.null("error")
    noted = is_true(pc.starts_with(rows["error"], SALVAGED))
    yield (
        ~absent & rows.ok & ~noted,
        lambda row: f"an ok row has the error {rows['error'][row].as_py()!r}",
    )
    yield absent & ~rows.ok, lambda row: f"a row that is {rows.status(row)} does not say why"
    lines = is_true(pc.match_substring_regex(rows["error"], r"^\s*$|[\r\n]"))
    yield (
        lines & (~rows.ok | noted),
        lambda row: f"error {rows['error'][row].as_py()!r} is not one line",
    )


def _null_exactly_where_failed(column: str, rows: Rows) -> Iterator[Broken]:
    absent = rows.null(column)
    yield absent & rows.ok, lambda row: f"{column} is null in a row that is ok"
    yield ~absent & ~rows.ok, lambda row: f"{column} is given in a row that is {rows.status(row)}"


def _scores_value(rows: Rows) -> Iterator[Broken]:
    wrong = ~((rows.scores >= 0) & (rows.scores <= 1))  # NaN is neither

    def says(row: int) -> str:
        label = int(np.flatnonzero(wrong[row])[0])
        return f"score {label} is {rows['scores'][row][label].as_py()}"

    yield wrong.any(axis=1) & ~rows.null("scores"), says


def _tags_value(rows: Rows) -> Iterator[Broken]:
    assert rows.run is not None
    run, tags = rows.run, rows["tags"]
    limits = np.asarray(run.thresholds, dtype=np.float32)
    photo = pc.list_parent_indices(tags).to_numpy()
    names = pc.struct_field(tags.flatten(), "label")
    given = pc.struct_field(tags.flatten(), "score").to_numpy(zero_copy_only=False)
    found = pc.index_in(names, value_set=pa.array(run.labels, pa.string()))
    label = pc.fill_null(found, -1).to_numpy(zero_copy_only=False)
    score = rows.scores[photo, label]
    bad = (label < 0) | (given != score) | ~(score >= limits[label])
    # Best first, and equals in label order: then none can stand twice either.
    equal = (given[1:] == given[:-1]) & (label[1:] <= label[:-1])
    bad[1:] |= (photo[1:] == photo[:-1]) & ((given[1:] > given[:-1]) | equal)
    chosen = rows.scores >= limits
    wrong = chosen.sum(axis=1) != np.bincount(photo, minlength=len(tags))
    wrong[photo[bad]] = True

    def says(row: int) -> str:
        best = sorted(map(int, np.flatnonzero(chosen[row])), key=lambda one: -rows.scores[row, one])
        due = ", ".join(f"{run.labels[one]} {rows.scores[row, one]:.6g}" for one in best)
        there = ((tag or {}).values() for tag in tags[row].as_py())
        has = ", ".join(
            " ".join(f"{one:.6g}" if isinstance(one, float) else str(one) for one in tag)
            for tag in there
        )
        return f"tags are [{has[:90]}], but scores and thresholds give [{due[:90]}]"

    yield wrong & ~rows.null("tags") & ~rows.null("scores"), says


def _apparel(rows: Rows) -> Iterator[Broken]:
    absent = rows.null("apparel_score")
    differ = absent != rows.null("is_apparel")
    yield differ, lambda row: "one of is_apparel and apparel_score is null, the other is not"
    failed = ~absent & ~rows.ok & ~differ
    yield failed, lambda row: f"apparel_score is given in a row that is {rows.status(row)}"
    score = rows["apparel_score"].to_numpy(zero_copy_only=False)
    wrong = ~absent & ~((score >= 0) & (score <= 1))
    yield wrong, lambda row: f"apparel_score is {rows['apparel_score'][row].as_py()}"


def _apparel_verdict(rows: Rows) -> Iterator[Broken]:
    assert rows.run is not None
    absent = rows.null("apparel_score")
    if rows.run.screen is None:
        given = ~absent & ~rows.null("is_apparel") & rows.ok
        yield given, lambda row: "a verdict is given, and the model has no screen"
        return
    yield absent & rows.ok, lambda row: "apparel_score is null in a row that is ok"
    score = rows["apparel_score"].to_numpy(zero_copy_only=False)
    passed, least = is_true(rows["is_apparel"]), np.float32(rows.run.screen["reject"])
    wrong = ~absent & ~rows.null("is_apparel") & (passed != (score >= least))
    yield (
        wrong,
        lambda row: (
            f"is_apparel is {bool(passed[row])} at apparel_score {score[row]:.6g}, "
            f"and the threshold is {least:.6g}"
        ),
    )


def _positive(column: str, rows: Rows) -> Iterator[Broken]:
    wrong = is_true(pc.less(rows[column], 1))
    yield wrong, lambda row: f"{column} is {rows[column][row].as_py()} pixels"


def _format(rows: Rows) -> Iterator[Broken]:
    wrong = ~rows.null("format") & ~_one_of(rows["format"], ALLOWED)
    yield wrong, lambda row: f"format {rows['format'][row].as_py()!r} is none of the format's"


def _file_size(rows: Rows) -> Iterator[Broken]:
    yield rows.null("file_size"), lambda row: "file_size is null"
    least = np.where(rows.ok, 1, 0)
    wrong = is_true(pc.less(rows["file_size"], pa.array(least)))
    yield (
        wrong,
        lambda row: (
            f"file_size is {rows['file_size'][row].as_py()} in a row that is {rows.status(row)}"
        ),
    )


def _content_sha256(rows: Rows) -> Iterator[Broken]:
    absent = rows.null("content_sha256")
    digest = is_true(pc.match_substring_regex(rows["content_sha256"], r"^[0-9a-f]{64}$"))
    said = rows["content_sha256"]
    yield ~absent & ~digest, lambda row: f"content_sha256 {said[row].as_py()!r} is no SHA-256"
    read, unread = _one_of(rows.statuses, READ_WHOLE), _one_of(rows.statuses, NEVER_READ)
    yield absent & read, lambda row: f"no content_sha256 in a row that is {rows.status(row)}"
    yield ~absent & unread, lambda row: f"content_sha256 of a file that is {rows.status(row)}"


def _model_id(rows: Rows) -> Iterator[Broken]:
    assert rows.run is not None
    wrong = is_true(pc.not_equal(rows["model_id"], rows.run.model_id))
    yield wrong, lambda row: f"model_id {rows['model_id'][row].as_py()[:80]!r} is not the file's"


def _time(column: str, rows: Rows) -> Iterator[Broken]:
    moment = rows[column].cast(pa.int64())
    outside = pc.or_(pc.less(moment, FIRST_MOMENT), pc.greater_equal(moment, END_OF_TIME))
    yield is_true(outside), lambda row: f"{column} lies outside of the years 1 to 9999"


def _rules() -> Iterator[Rule]:
    for column in ("image", "status", "model_id", "tagged_at"):
        yield Rule("null_value", (column,), partial(_null_value, column))
    yield Rule("image_path", ("image",), _image_path)
    yield Rule("status", ("status",), _status)
    yield Rule("error", ("error", "status"), _error)
    of_failed = {"scores": "scores_null", "tags": "tags_null", "format": "format"}
    of_failed |= {"width": "dimensions", "height": "dimensions"}
    for column, name in of_failed.items():
        yield Rule(name, (column, "status"), partial(_null_exactly_where_failed, column))
    yield Rule("scores_value", ("scores",), _scores_value)
    yield Rule("tags_value", ("tags", "scores"), _tags_value, needs_run=True)
    yield Rule("apparel", ("is_apparel", "apparel_score", "status"), _apparel)
    yield Rule(
        "apparel_verdict",
        ("is_apparel", "apparel_score", "status"),
        _apparel_verdict,
        needs_run=True,
    )
    for column in ("width", "height"):
        yield Rule("dimensions", (column,), partial(_positive, column))
    yield Rule("format", ("format",), _format)
    yield Rule("file_size", ("file_size", "status"), _file_size)
    yield Rule("content_sha256", ("content_sha256", "status"), _content_sha256)
    yield Rule("model_id", ("model_id",), _model_id, needs_run=True)
    for column in ("modified_at", "taken_at", "tagged_at"):
        yield Rule("time", (column,), partial(_time, column))


ROW_RULES = tuple(_rules())
