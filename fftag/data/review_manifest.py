"""Photos that people reviewed, with the labels that people gave them, as a manifest to train on."""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fftag.base.errors import FftagError
from fftag.base.tables import examples
from fftag.catalogue.database import asking
from fftag.data.manifest import make_manifest, write_manifest
from fftag.models.labels import LabelSet
from fftag.photos.listing import unescape


@dataclass(frozen=True)
class ReviewedManifest:
    """What a manifest of reviewed photos has.

    Attributes:
        out: the manifest.
        photos: how many it has.
        labels: how many labels each of them was asked about.
        in_part: reviewed photos that were not asked about each of these, and are left out.
        gone: photos that were, and are not there any more with the content that was looked at.
    """

    out: str
    photos: int
    labels: int
    in_part: int
    gone: list[str]

    def to_json(self) -> dict[str, Any]:
        """It by name."""
        return asdict(self)

    def lines(self) -> list[str]:
        """It for a person."""
        lines = [f"{self.photos:,} photos in {self.out}, each reviewed for {self.labels:,} labels"]
        if self.in_part:
            lines.append(f"left out: {self.in_part:,} photos not reviewed for each of the labels")
        if self.gone:
            lines.append(
                f"left out: {len(self.gone):,} photos that are gone or have another content by "
                f"now: {examples(self.gone)}"
            )
        return lines


def export_manifest(
    db: Path,
    photos: Path,
    out: Path,
    only_labels: Collection[str] = (),
    only_groups: Collection[str] = (),
) -> ReviewedManifest:
    """Writes a manifest of the reviewed photos to train on.

    Only what somebody answered is known of a photo: it is in the manifest if it was reviewed for
    every label of the catalogue, or every one that is asked for; what the model says is nowhere in
    it. Of photos with the same content one is.

    Args:
        db: the catalogue.
        photos: the folder that was tagged.
        out: the manifest, a Parquet.
        only_labels: it has no other label then.
        only_groups: it has only labels of these then.

    Raises:
        FftagError: there is no such label, no photo was reviewed for all labels, none of those that
            were is there, or none shows a label.
    """
    with asking(db) as connection:
        known = connection.execute('select label, "group" from labels order by position').fetchall()
        labels = LabelSet.of(*zip(*_chosen(known, only_labels, only_groups), strict=True))
        found = connection.execute(
            """
            select
                arg_min(image, (source, image)),
                arg_min(source, (source, image)),
                content_sha256,
                any_value(answers),
                any_value(shown)
            from counted_photos
            join (
                select
                    content_sha256,
                    count(*) as answers,
                    coalesce(list(label order by label) filter (shown), []) as shown
                from latest_corrections
                where list_contains($labels, label)
                group by content_sha256
            ) using (content_sha256)
            group by content_sha256
            order by 2, 1
            """,
            {"labels": list(labels.names)},
        ).fetchall()
    if not found:
        raise FftagError("nothing was reviewed yet: `fftag review export`, then `review import`")
    whole = [row for row in found if row[3] == len(labels)]
    if not whole:
        raise FftagError(
            f"none of {len(found):,} reviewed photos was reviewed for each of {len(labels)} "
            "labels, and what nobody was asked is not known: answer the rest of them, or make a "
            "manifest of those labels alone with --label or --group"
        )
    there = [row for row in whole if _has(photos / unescape(row[0]), row[2])]
    gone = [row[0] for row in whole if row not in there]
    if not there:
        raise FftagError(
            f"none of {len(whole):,} photos is in {photos} as it was reviewed, such as "
            f"{examples(gone)}: give the folder that was tagged"
        )
    manifest = make_manifest(
        [str((photos / unescape(row[0])).resolve()) for row in there],
        [row[4] for row in there],
        labels,
        photos,
        None,
        [row[1] for row in there],
    )
    write_manifest(manifest, out)
    return ReviewedManifest(str(out), len(there), len(labels), len(found) - len(whole), gone)


def _chosen(
    known: Sequence[tuple[str, str | None]], labels: Collection[str], groups: Collection[str]
) -> list[tuple[str, str | None]]:
    """Labels and their groups, those that are asked for."""
    for flag, asked, there in (
        ("--label", labels, {label for label, _ in known}),
        ("--group", groups, {group for _, group in known}),
    ):
        strange = sorted(set(asked) - there)
        if strange:
            raise FftagError(f"{flag}: the catalogue has no {strange[0]!r}")
    chosen = [
        (label, group)
        for label, group in known
        if (not labels or label in labels) and (not groups or group in groups)
    ]
    if not chosen:
        raise FftagError("no label is of these groups: give --label or --group, not both")
    return chosen


def _has(path: Path, content: str) -> bool:
    """Whether a file is there and has this SHA-256."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == content
    except OSError:
        return False
