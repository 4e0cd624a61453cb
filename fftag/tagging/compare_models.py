"""What another model would change of a catalogue, told from a sample before it does."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fftag.base.errors import FftagError
from fftag.base.progress import progress
from fftag.base.shares import wilson
from fftag.base.text_table import text_table
from fftag.models.folder import Bundle
from fftag.models.side_by_side import batches_held, replica_count, scored
from fftag.photos.listing import Listing
from fftag.photos.pool import batches
from fftag.photos.sources.base import Source
from fftag.photos.sources.choose import list_source
from fftag.tagging.options import TagOptions, run_info, scorer_for
from fftag.tagging.publish import decided
from fftag.tagging.scored_rows import rows
from fftag.tagging.tags_file import (
    RunInfo,
    open_tags_file,
    read_batches,
    read_run,
    tags_schema,
)

COMPARED = ("image", "file_size", "modified_at", "tags", "is_apparel")


@dataclass(frozen=True)
class Part:
    """Photos of the sample, and how many of the catalogue they stand for.

    Attributes:
        photos: with the change.
        of: photos of the sample.
        catalogue: photos of the catalogue.
    """

    photos: int
    of: int
    catalogue: int

    @property
    def share(self) -> float:
        return self.photos / self.of

    @property
    def interval(self) -> tuple[float, float]:
        """Of the share, at 95 %; see `fftag.base.shares.wilson`."""
        low, high = wilson(np.array(self.photos), self.of)
        return float(low), float(high)

    def to_json(self) -> dict[str, Any]:
        low, high = self.interval
        return {
            "photos": self.photos,
            "share": self.share,
            "low": low,
            "high": high,
            "catalogue": self.share * self.catalogue,
            "catalogue_low": low * self.catalogue,
            "catalogue_high": high * self.catalogue,
        }

    def in_catalogue(self) -> str:
        """About how many of the catalogue, with the interval."""
        low, high = (bound * self.catalogue for bound in self.interval)
        return f"{self.share * self.catalogue:,.0f} ({low:,.0f}-{high:,.0f})"


@dataclass(frozen=True)
class LabelChange:
    """What becomes of one label.

    Attributes:
        group: of it.
        label: its name.
        published, now: photos of the sample that have it by either model.
        gain, lose: photos that get it, and that have it no more.
    """

    group: str
    label: str
    published: int
    now: int
    gain: Part
    lose: Part

    def to_json(self) -> dict[str, Any]:
        counts = {
            "group": self.group,
            "label": self.label,
            "published": self.published,
            "now": self.now,
        }
        return counts | {"gain": self.gain.to_json(), "lose": self.lose.to_json()}


@dataclass(frozen=True)
class ModelComparison:
    """What another model would change.

    Attributes:
        tags: the tags file that was compared with.
        published_model, model: ids of the models.
        left_out: photos drawn that are gone or have changed since, or cannot be read now.
        changed: photos whose tags differ.
        labels: of both models; those that change most first.
        new_labels, gone_labels: that one of the models alone knows.
        turned_down, let_through: photos of which the screen's verdict changes.
    """

    tags: Path
    published_model: str
    model: str
    left_out: int
    changed: Part
    labels: Sequence[LabelChange]
    new_labels: Sequence[str]
    gone_labels: Sequence[str]
    turned_down: Part
    let_through: Part

    def to_json(self) -> dict[str, Any]:
        return {
            "tags": str(self.tags),
            "published_model": self.published_model,
            "model": self.model,
            "catalogue": self.changed.catalogue,
            "photos": self.changed.of,
            "left_out": self.left_out,
            "changed": self.changed.to_json(),
            "labels": [label.to_json() for label in self.labels],
            "new_labels": list(self.new_labels),
            "gone_labels": list(self.gone_labels),
            "turned_down": self.turned_down.to_json(),
            "let_through": self.let_through.to_json(),
        }

    def lines(self) -> Iterator[str]:
        """For a person."""
        changed = self.changed
        yield (
            f"{changed.of:,} of the {changed.catalogue:,} tagged photos of {self.tags}, of model "
            f"{self.published_model[:12]}, seen by model {self.model[:12]}; nothing is written"
        )
        if self.left_out:
            yield f"left out: {self.left_out:,} more that are gone, changed or cannot be read"
        low, high = changed.interval
        yield (
            f"tags change on {changed.share:.1%} ({low:.1%} to {high:.1%}): "
            f"{changed.in_catalogue()} photos in all"
        )
        for what, part in (("turns down", self.turned_down), ("lets through", self.let_through)):
            if part.photos:
                yield f"the apparel screen {what} {part.in_catalogue()} photos more in all"
        for what, names in (("new", self.new_labels), ("gone", self.gone_labels)):
            if names:
                yield f"{what} labels: {', '.join(names)}"
        moving = [one for one in self.labels if one.gain.photos or one.lose.photos]
        if moving:
            heads = ("label", "published", "now", "gain", "in all", "lose", "in all")
            cells = [
                (
                    one.label,
                    f"{one.published:,}",
                    f"{one.now:,}",
                    f"{one.gain.photos:,}",
                    one.gain.in_catalogue(),
                    f"{one.lose.photos:,}",
                    one.lose.in_catalogue(),
                )
                for one in moving
            ]
            yield from text_table(heads, cells, (False, *[True] * 6))
        still = len(self.labels) - len(moving)
        if still:
            _, most = wilson(np.array(0), changed.of)
            yield (
                f"{still:,} labels change on no photo of the sample, and so each gain on at most "
                f"{float(most):.1%}, and lose on as many"
            )


def compare_models(
    source: Source, tags: Path, bundle: Bundle, options: TagOptions, photos: int, seed: int = 0
) -> ModelComparison:
    """Tags a sample with a model, and compares it with what is published; writes nothing.

    The sample is spread over the catalogue: one photo, drawn at random, of each of so many
    stretches of the same length. Photos that failed, are gone, or have changed since are left out.

    Args:
        source: what was tagged.
        tags: as it is published.
        bundle: the other model.
        options: how to read and to score.
        photos: how many to draw.
        seed: of the draw.

    Raises:
        FftagError: there is no such tags file, or none of its photos can be compared.
    """
    with open_tags_file(tags) as file:
        before = read_run(tags, file.schema_arrow)
        tagged = _tagged_rows(tags, file)
        drawn = _spread(tagged, photos, seed)
        published = _rows_of(tags, file, drawn)
    listed, published = _unchanged(list_source(source, options.selection), published)
    after = run_info(source.name, bundle, options)
    now = _tagged_now(source, listed, bundle, after, options)
    read = pc.equal(now["status"].cast(pa.string()), "ok")
    now, published = now.filter(read), published.filter(read)
    if not now.num_rows:
        raise FftagError(
            f"none of {len(drawn):,} photos of {tags} is in {source.name} as it was tagged: "
            "give the source that was tagged, or run `fftag tag` with the model of before first"
        )
    return _compared(tags, before, after, published, now, len(tagged), len(drawn))


def _tagged_rows(tags: Path, file: pq.ParquetFile) -> np.ndarray:
    """The numbers of the rows that have tags: int64, rising."""
    found, start = [np.empty(0, np.int64)], 0
    for batch in read_batches(tags, file, ["status"]):
        statuses = pc.equal(batch["status"].cast(pa.string()), "ok")
        found.append(start + np.flatnonzero(statuses.to_numpy(zero_copy_only=False)))
        start += batch.num_rows
    return np.concatenate(found)


def _spread(numbers: np.ndarray, count: int, seed: int) -> np.ndarray:
    """One of each of so many stretches, drawn at random; all where there are no more."""
    if len(numbers) <= count:
        return numbers
    edges = np.linspace(0, len(numbers), count + 1).astype(np.int64)
    return numbers[np.random.default_rng(seed).integers(edges[:-1], edges[1:])]


def _rows_of(tags: Path, file: pq.ParquetFile, numbers: np.ndarray) -> pa.Table:
    """Some rows by number, rising: what is compared of them."""
    found, start = [], 0
    for batch in read_batches(tags, file, COMPARED):
        first, last = np.searchsorted(numbers, [start, start + batch.num_rows])
        found.append(pa.table(batch).take(pa.array(numbers[first:last] - start)))
        start += batch.num_rows
    return pa.concat_tables(found) if found else file.schema_arrow.empty_table()


def _unchanged(listing: Listing, published: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Rows of the listing, and those published of the same files, if size and time are alike."""
    place = pc.index_in(listing.files["image"], value_set=published["image"])
    listed = listing.rows(np.flatnonzero(pc.is_valid(place).to_numpy()))
    published = published.take(place.drop_null())
    microseconds = published["modified_at"].cast(pa.int64()).to_numpy()
    alike = pc.equal(listed["size"], published["file_size"])
    same = alike.fill_null(False).to_numpy() & (
        listed["modified_ns"].to_numpy() // 1000 == microseconds
    )
    return listed.filter(pa.array(same)), published.filter(pa.array(same))


def _tagged_now(
    source: Source, listed: pa.Table, bundle: Bundle, run: RunInfo, options: TagOptions
) -> pa.Table:
    """The listed photos as a run with the model would tag them."""
    # Not compiled: a sample would wait for it longer than it takes.
    scorer = scorer_for(bundle, replace(options, compiled=False))
    entries, size = listed.to_pylist(), options.batch_size
    plan = ((start, entries[start : start + size]) for start in range(0, len(entries), size))
    decoded = batches(source, plan, scorer.spec, options, batches_held(replica_count(scorer)))
    found = [tags_schema(run).empty_table()]
    with progress(len(entries), "reading the sample", "photo") as bar:
        for batch, scores in scored(decoded, scorer, len(run.labels)):
            read_at = [datetime.now(UTC)] * len(scores)
            found.append(decided(rows(batch.photos, scores, run, read_at), run))
            bar.update(len(scores))
    return pa.concat_tables(found)


def _compared(
    tags: Path,
    before: RunInfo,
    after: RunInfo,
    published: pa.Table,
    now: pa.Table,
    catalogue: int,
    drawn: int,
) -> ModelComparison:
    ours, theirs = before.keys, after.keys
    keys = list(dict.fromkeys([*ours, *theirs]))
    had, has = _given(published["tags"], keys), _given(now["tags"], keys)
    gains, losses = has & ~had, had & ~has

    def part(which: np.ndarray) -> Part:
        return Part(int(which.sum()), len(which), catalogue)

    changes = [
        LabelChange(
            *key,
            int(had[:, at].sum()),
            int(has[:, at].sum()),
            part(gains[:, at]),
            part(losses[:, at]),
        )
        for at, key in enumerate(keys)
        if key in ours and key in theirs
    ]
    # What no screen has seen counts, as what one lets through does.
    counted, counts = (table["is_apparel"].fill_null(True).to_numpy() for table in (published, now))
    return ModelComparison(
        tags=tags,
        published_model=before.model_id,
        model=after.model_id,
        left_out=drawn - len(had),
        changed=part((gains | losses).any(axis=1)),
        labels=sorted(changes, key=lambda one: -(one.gain.photos + one.lose.photos)),
        new_labels=[name for group, name in theirs if (group, name) not in ours],
        gone_labels=[name for group, name in ours if (group, name) not in theirs],
        turned_down=part(counted & ~counts),
        let_through=part(~counted & counts),
    )


def _given(tags: pa.ChunkedArray, keys: Sequence[tuple[str, str]]) -> np.ndarray:
    """Which photo has which tag: bool [photos, keys]."""
    place = {key: at for at, key in enumerate(keys)}
    given = np.zeros((len(tags), len(keys)), dtype=bool)
    for row, of_photo in enumerate(tags.to_pylist()):
        given[row, [place[tag["group"], tag["label"]] for tag in of_photo]] = True
    return given
