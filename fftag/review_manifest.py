"""Photos that people reviewed, with their corrected labels, as a manifest to train on."""

from collections.abc import Sequence
from pathlib import Path

import duckdb

from fftag.datasets.manifest import make_manifest, write_manifest
from fftag.errors import FftagError
from fftag.labels import LabelSet


def export_manifest(db: Path, photos: Path, out: Path) -> int:
    """Writes a manifest of the reviewed photos to train on; returns how many photos it has.

    A photo's labels are the model's tags, corrected by the reviewers. Labels that nobody was asked
    for are as the model has them.

    Args:
        db: the catalogue.
        photos: the folder that was tagged.
        out: the manifest, a Parquet.

    Raises:
        FftagError: nothing was reviewed, or no reviewed photo shows a label.
    """
    if not db.is_file():
        raise FftagError(f"no database {db}: make one with `fftag tag --db` or `fftag load`")
    connection = duckdb.connect(str(db), read_only=True, config={"enable_external_access": "false"})
    try:
        found = connection.execute(
            """
            select
                photos.image,
                photos.source,
                coalesce(
                    list_sort(list(photo_labels.label) filter (photo_labels.label is not null)), []
                ) as labels
            from counted_photos as photos
            semi join corrections
                on corrections.image = photos.image and corrections.source = photos.source
            left join photo_labels
                on photo_labels.image = photos.image and photo_labels.run_id = photos.run_id
            group by photos.image, photos.source
            order by photos.source, photos.image
            """
        ).fetchall()
        labels = connection.execute(
            'select label, "group" from labels order by position'
        ).fetchall()
    except duckdb.Error as error:
        raise FftagError(
            f"{db} is no catalogue of this fftag: make one with `fftag load`"
        ) from error
    finally:
        connection.close()
    if not found:
        raise FftagError("nothing was reviewed yet: `fftag review export`, then `review import`")
    names = LabelSet.of([name for name, _ in labels], [group for _, group in labels])
    images: Sequence[str] = [str((photos / image).resolve()) for image, _, _ in found]
    manifest = make_manifest(
        images, [row[2] for row in found], names, photos, None, [row[1] for row in found]
    )
    write_manifest(manifest, out)
    return len(found)
