"""The rules of a tags file, as docs/tags-format.md has them: what each asks, and what breaks it.

A check takes a batch of rows and says which of them break its rule. What it asks of a column or of
the metadata that are not as documented raises `UnsoundError`: then it cannot be checked.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fftag.photos.decode import SALVAGED
from fftag.photos.image_formats import ALLOWED
from fftag.photos.listing import escape, keys_of, unescape
from fftag.tagging.tags_file import STATUSES, RunInfo

READ_WHOLE = ("ok", "truncated", "unsupported")  # decoding began, so every byte had been read
NEVER_READ = ("vanished",)
# Microseconds since 1970 of the first moment of year 1, and of the one after year 9999.
FIRST_MOMENT, END_OF_TIME = -62_135_596_800_000_000, 253_402_300_800_000_000
ROUNDING = 1e-5  # of the score of what stands above labels: the sum of theirs
ABSENT, UNKNOWN = -1, -2  # for the size of a file that the source has not, or has of unknown size

T = TypeVar("T")


class UnsoundError(Exception):
    """What a check reads is not as documented."""


def _sound(value: T | None) -> T:
    if value is None:
        raise UnsoundError
    return value


@dataclass(frozen=True)
class Rows:
    """One batch, with what most checks ask of it.

    Attributes:
        batch: the columns that have the documented type.
        about: what the metadata say; None where they are not as documented.
        before: the path of the row before them, as bytes; None where there is none.
        in_source: of the files that the source has at these paths: int64 [rows], their sizes,
            `ABSENT` or `UNKNOWN`; None where that cannot be told.
    """

    batch: pa.RecordBatch
    about: RunInfo | None = None
    before: bytes | None = None
    in_source: np.ndarray | None = None

    def __getitem__(self, column: str) -> pa.Array:
        return _sound(self.batch.column(column) if column in self.names else None)

    @property
    def names(self) -> list[str]:
        return list(self.batch.schema.names)

    @property
    def run(self) -> RunInfo:
        return _sound(self.about)

    @property
    def sizes(self) -> np.ndarray:
        return _sound(self.in_source)

    def numbers(self, column: str) -> np.ndarray:
        """The column in numpy; NaN, or NaT, where it is null."""
        return np.asarray(self[column].to_numpy(zero_copy_only=False))

    def null(self, column: str) -> np.ndarray:
        """bool [rows]."""
        return np.asarray(self[column].is_null().to_numpy(zero_copy_only=False))

    def status(self, row: int) -> str:
        return str(self["status"][row].as_py())

    def having(self, *statuses: str) -> np.ndarray:
        """bool [rows]: the status is one of these."""
        return _one_of(self["status"].cast(pa.string()), statuses)

    @cached_property
    def ok(self) -> np.ndarray:
        """bool [rows]: the status is `ok`."""
        return self.having("ok")

    @cached_property
    def scores(self) -> np.ndarray:
        """float32 [rows, labels]; NaN where a score or all of them are null."""
        column = self["scores"]
        scores = np.full((len(column), column.type.list_size), np.nan, np.float32)
        given = column.flatten().to_numpy(zero_copy_only=False)
        scores[~self.null("scores")] = given.reshape(-1, column.type.list_size)
        return scores

    @cached_property
    def paths(self) -> pa.Array:
        """binary [rows], by which they are sorted."""
        return keys_of(self["image"])


# The broken rows (bool [rows]), and what to say of one of them.
Broken = Iterator[tuple[np.ndarray, Callable[[int], str]]]
Check = Callable[[Rows], Broken]


@dataclass(frozen=True)
class Rule:
    """A rule.

    Attributes:
        name: as docs/tags-format.md has it.
        asks: what has to hold.
        checks: rows -> those that break it; none where it is no matter of single rows.
    """

    name: str
    asks: str
    checks: tuple[Check, ...] = ()


def is_true(values: pa.Array) -> np.ndarray:
    """bool [rows]; null counts as false."""
    return np.asarray(pc.fill_null(values, False).to_numpy(zero_copy_only=False))


def _one_of(values: pa.Array, known: tuple[str, ...]) -> np.ndarray:
    return is_true(pc.is_in(values, value_set=pa.array(known, pa.string())))


def _each(check: Callable[[str, Rows], Broken], *columns: str) -> tuple[Check, ...]:
    return tuple(partial(check, column) for column in columns)


def _never_null(column: str, rows: Rows) -> Broken:
    yield rows.null(column), lambda row: f"{column} is null"


def _image_path(rows: Rows) -> Broken:
    images = rows["image"]
    strange = is_true(pc.match_substring_regex(images, r"^$|^/|/$|//|\x00|(^|/)\.\.?(/|$)"))
    yield strange, lambda row: "is no path of a file below the source"
    wrong = np.zeros(len(images), dtype=bool)
    for row in np.flatnonzero(is_true(pc.match_substring(images, "\\"))):
        image = images[int(row)].as_py()
        real = unescape(image).encode("utf-8", "surrogateescape")
        wrong[row] = escape(real.decode("utf-8", "surrogateescape")) != image
    yield wrong, lambda row: "is not escaped as a name is"


def _order(rows: Rows) -> Broken:
    first = pa.array([rows.before], pa.binary())
    left = pa.concat_arrays([first, rows.paths])[:-1]
    yield (
        is_true(pc.greater(left, rows.paths)),
        lambda row: f"comes after {left[row].as_py().decode('utf-8', 'backslashreplace')!r}",
    )


def _status(rows: Rows) -> Broken:
    wrong = ~rows.having(*STATUSES) & ~rows.null("status")
    yield wrong, lambda row: f"status {rows.status(row)!r} is none of the format's"


def _error(rows: Rows) -> Broken:
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


def _null_where_failed(column: str, rows: Rows) -> Broken:
    absent = rows.null(column)
    yield absent & rows.ok, lambda row: f"{column} is null in a row that is ok"
    yield ~absent & ~rows.ok, lambda row: f"{column} is given in a row that is {rows.status(row)}"


def _scores_value(rows: Rows) -> Broken:
    wrong = ~((rows.scores >= 0) & (rows.scores <= 1))  # NaN is neither

    def says(row: int) -> str:
        label = int(np.flatnonzero(wrong[row])[0])
        return f"score {label} is {rows['scores'][row][label].as_py()}"

    yield wrong.any(axis=1) & ~rows.null("scores"), says


@dataclass(frozen=True)
class _Possible:
    """What may be a tag: the labels, and behind them what stands above those of kind `one`.

    Attributes:
        keys: group and name of each.
        one: bool [possible tags], whether it is of a group of kind `one`.
        limits: float32 [possible tags], the score that makes it a tag.
        sums: bool [labels, possible tags above], whose scores add up to which.
    """

    keys: list[tuple[str, str]]
    one: np.ndarray
    limits: np.ndarray
    sums: np.ndarray

    @classmethod
    def of(cls, run: RunInfo) -> "_Possible":
        groups = {group.name: group for group in run.groups}
        one = [group for group in run.groups if group.kind == "one"]
        above = [(group.name, name) for group in one for name in group.above]
        lines = [
            {(label.group, name) for name in groups[label.group].ancestors(label.parent)}
            for label in run.labels
        ]
        of_one = np.array([groups[label.group].kind == "one" for label in run.labels])
        of_groups = [groups[group].threshold for group, _ in [*run.keys, *above]]
        limits = np.array(of_groups, np.float32)  # NaN in groups of kind `many`
        limits[: len(of_one)][~of_one] = run.thresholds[~of_one]
        return cls(
            [*run.keys, *above],
            np.concatenate([of_one, np.ones(len(above), bool)]),
            limits,
            np.array([[key in line for key in above] for line in lines], bool),
        )


def _tags_value(rows: Rows) -> Broken:
    tags, possible = rows["tags"], _Possible.of(rows.run)
    labels = len(rows.run.labels)
    photo, tag = pc.list_parent_indices(tags).to_numpy(), _places(tags, possible)
    given = pc.struct_field(tags.flatten(), "score").to_numpy(zero_copy_only=False)
    scores = np.concatenate([rows.scores, rows.scores @ possible.sums], axis=1)
    due = scores[photo, tag]
    same = np.where(tag < labels, given == due, np.isclose(given, due, rtol=0, atol=ROUNDING))
    bad = (tag < 0) | ~same | ~(given >= possible.limits[tag])
    # Best first, and equals in label order: then none can stand twice either.
    equal = (given[1:] == given[:-1]) & (tag[1:] <= tag[:-1])
    bad[1:] |= (photo[1:] == photo[:-1]) & ((given[1:] > given[:-1]) | equal)
    chosen = (scores >= possible.limits) & ~possible.one
    of_many = photo[(tag < 0) | ~possible.one[tag]]
    wrong = chosen.sum(axis=1) != np.bincount(of_many, minlength=len(tags))
    wrong[photo[bad]] = True

    def says(row: int) -> str:
        best = sorted(map(int, np.flatnonzero(chosen[row])), key=lambda one: -scores[row, one])
        names = ", ".join(f"{possible.keys[one][1]} {scores[row, one]:.6g}" for one in best)
        there = ((tag or {}).values() for tag in tags[row].as_py())
        has = ", ".join(
            " ".join(f"{one:.6g}" if isinstance(one, float) else str(one) for one in tag)
            for tag in there
        )
        return f"tags are [{has[:90]}], but scores and thresholds give [{names[:90]}]"

    yield wrong & ~rows.null("tags") & ~rows.null("scores"), says


def _places(tags: pa.ListArray, possible: _Possible) -> np.ndarray:
    """int64 [tags]: which of the possible ones each is; -1 for none."""
    groups, names = (pc.struct_field(tags.flatten(), name) for name in ("group", "label"))
    known = pa.array([f"{group}\0{name}" for group, name in possible.keys], pa.string())
    found = pc.index_in(pc.binary_join_element_wise(groups, names, "\0"), value_set=known)
    return np.asarray(pc.fill_null(found, -1).to_numpy(zero_copy_only=False))


def _tags_one(rows: Rows) -> Broken:
    tags, possible = rows["tags"], _Possible.of(rows.run)
    wrong = np.zeros(len(tags), dtype=bool)
    photo, tag = pc.list_parent_indices(tags).to_numpy(), _places(tags, possible)
    for group in rows.run.groups:
        own = np.array([group.kind == "one" and key[0] == group.name for key in possible.keys])
        wrong |= np.bincount(photo[(tag >= 0) & own[tag]], minlength=len(tags)) > 1
    yield wrong, lambda row: f"tags are {[tag['label'] for tag in tags[row].as_py()]}"


def _apparel(rows: Rows) -> Broken:
    absent = rows.null("apparel_score")
    differ = absent != rows.null("is_apparel")
    yield differ, lambda row: "one of is_apparel and apparel_score is null, the other is not"
    failed = ~absent & ~rows.ok & ~differ
    yield failed, lambda row: f"apparel_score is given in a row that is {rows.status(row)}"
    score = rows.numbers("apparel_score")
    wrong = ~absent & ~((score >= 0) & (score <= 1))
    yield wrong, lambda row: f"apparel_score is {rows['apparel_score'][row].as_py()}"


def _apparel_verdict(rows: Rows) -> Broken:
    absent = rows.null("apparel_score")
    if rows.run.screen is None:
        given = ~absent & ~rows.null("is_apparel") & rows.ok
        yield given, lambda row: "a verdict is given, and the model has no screen"
        return
    yield absent & rows.ok, lambda row: "apparel_score is null in a row that is ok"
    score = rows.numbers("apparel_score")
    passed, least = is_true(rows["is_apparel"]), np.float32(rows.run.screen["reject"])
    wrong = ~absent & ~rows.null("is_apparel") & (passed != (score >= least))
    yield (
        wrong,
        lambda row: (
            f"is_apparel is {bool(passed[row])} at apparel_score {score[row]:.6g}, "
            f"and the threshold is {least:.6g}"
        ),
    )


def _positive(column: str, rows: Rows) -> Broken:
    wrong = is_true(pc.less(rows[column], 1))
    yield wrong, lambda row: f"{column} is {rows[column][row].as_py()} pixels"


def _format(rows: Rows) -> Broken:
    wrong = ~rows.null("format") & ~_one_of(rows["format"], ALLOWED)
    yield wrong, lambda row: f"format {rows['format'][row].as_py()!r} is none of the format's"


def _file_size(rows: Rows) -> Broken:
    yield rows.null("file_size"), lambda row: "file_size is null"
    size = rows.numbers("file_size")
    yield (
        size < np.where(rows.ok, 1, 0),
        lambda row: f"file_size is {size[row]:.0f} in a row that is {rows.status(row)}",
    )


def _content_sha256(rows: Rows) -> Broken:
    absent, said = rows.null("content_sha256"), rows["content_sha256"]
    digest = is_true(pc.match_substring_regex(said, r"^[0-9a-f]{64}$"))
    yield ~absent & ~digest, lambda row: f"content_sha256 {said[row].as_py()!r} is no SHA-256"
    read, unread = rows.having(*READ_WHOLE), rows.having(*NEVER_READ)
    yield absent & read, lambda row: f"no content_sha256 in a row that is {rows.status(row)}"
    yield ~absent & unread, lambda row: f"content_sha256 of a file that is {rows.status(row)}"


def _model_id(rows: Rows) -> Broken:
    wrong = is_true(pc.not_equal(rows["model_id"], rows.run.model_id))
    yield wrong, lambda row: f"model_id {rows['model_id'][row].as_py()[:80]!r} is not the file's"


def _time(column: str, rows: Rows) -> Broken:
    moment = rows[column].cast(pa.int64())
    outside = pc.or_(pc.less(moment, FIRST_MOMENT), pc.greater_equal(moment, END_OF_TIME))
    yield is_true(outside), lambda row: f"{column} lies outside of the years 1 to 9999"


def _source_missing(rows: Rows) -> Broken:
    gone = rows.sizes == ABSENT
    yield gone & ~rows.having("vanished"), lambda row: "is not in the source"


def _source_size(rows: Rows) -> Broken:
    said, found = rows.numbers("file_size"), rows.sizes
    differ = (found >= 0) & (said != found) & ~rows.null("file_size") & ~rows.having("vanished")
    yield differ, lambda row: f"has {found[row]} bytes, its row says {said[row]:.0f}"


RULES = (
    Rule("columns", "the columns, their order, types and nullability are the documented ones"),
    Rule("metadata", "the metadata say of the run what is documented"),
    Rule("readable", "every row can be read"),
    Rule("null_value", "image, status, model_id and tagged_at are never null",
         _each(_never_null, "image", "status", "model_id", "tagged_at")),
    Rule("image_path", "image is a relative path, escaped", (_image_path,)),
    Rule("order", "rows are sorted by the bytes of the path", (_order,)),
    Rule("duplicate_image", "no image has two rows"),
    Rule("status", "status is one of the documented codes", (_status,)),
    Rule("error", "error is one line, and null exactly where the status is ok, salvaged photos "
         "aside", (_error,)),
    Rule("scores_null", "scores are null exactly where the row failed",
         _each(_null_where_failed, "scores")),
    Rule("scores_value", "scores lie in 0 to 1", (_scores_value,)),
    Rule("tags_null", "tags are null exactly where the row failed",
         _each(_null_where_failed, "tags")),
    Rule("tags_value", "tags are the labels at or above their threshold, best first",
         (_tags_value,)),
    Rule("tags_one", "of a group of kind one, a row has one tag at most", (_tags_one,)),
    Rule("apparel", "is_apparel and apparel_score are given or null together", (_apparel,)),
    Rule("apparel_verdict", "both are given for every ok row where the model has a screen, else "
         "for none, and is_apparel tells which scores reach its threshold", (_apparel_verdict,)),
    Rule("dimensions", "width and height are positive, and null exactly where the row failed",
         _each(_null_where_failed, "width", "height") + _each(_positive, "width", "height")),
    Rule("format", "format is a documented one, and null exactly where the row failed",
         (*_each(_null_where_failed, "format"), _format)),
    Rule("file_size", "file_size is never null or negative, nor zero where the status is ok",
         (_file_size,)),
    Rule("content_sha256", "content_sha256 is a digest, given where the file was read whole",
         (_content_sha256,)),
    Rule("model_id", "model_id is the metadata's", (_model_id,)),
    Rule("time", "modified_at, taken_at and tagged_at lie in the years 1 to 9999",
         _each(_time, "modified_at", "taken_at", "tagged_at")),
    Rule("source_missing", "every image is a file of the source, unless it has vanished",
         (_source_missing,)),
    Rule("source_extra", "every file of the source has its row"),
    Rule("source_size", "file_size is the size of the source's file", (_source_size,)),
)  # fmt: skip
OF_THE_SOURCE = frozenset(rule.name for rule in RULES if rule.name.startswith("source_"))
