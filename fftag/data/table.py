"""Any CSV, Excel or Parquet with a column of photos and a column of labels."""

from pathlib import Path

from fftag.base.errors import FftagError
from fftag.base.tables import need_columns, read_table
from fftag.data.manifest import label_set_of, optional_text, split_labels
from fftag.data.reading import ImportOptions, Photo, Reading, images_of, strata_of
from fftag.models.labels import LabelSet


def read(source: Path, options: ImportOptions) -> Reading:
    """Reads one row per photo; `split` and `source` columns are taken over where there are any.

    The label set is the taxonomy, else the one in the metadata of a Parquet that fftag wrote, else
    the names met, sorted.

    Args:
        source: the table; paths in it start from its folder, unless `options.photos` is set.

    Raises:
        FftagError: a column is missing, a photo has no path, or only some have a split.
    """
    if not options.separator:
        raise FftagError("--separator is empty: give the sign that joins labels, such as |")
    frame, metadata = read_table(source)
    need_columns(
        frame,
        [options.image_column, options.labels_column],
        source,
        "name the columns with --image-column and --labels-column",
    )
    strata = strata_of(frame, source, options)
    images = images_of(frame, options.image_column, source)
    splits = optional_text(frame, "split")
    without = sum(split is None for split in splits)
    if 0 < without < len(splits):
        raise FftagError(
            f"{without} of {len(splits)} rows of {source} have no split: "
            "fill the column, or remove it to have splits made"
        )
    labels = [split_labels(cell, options.separator) for cell in frame[options.labels_column]]
    photos = [
        Photo(Path(image), tuple(dict.fromkeys(names)), origin, split, stratum)
        for image, names, origin, split, stratum in zip(
            images, labels, optional_text(frame, "source"), splits, strata, strict=True
        )
    ]
    met = sorted({name for names in labels for name in names})
    if not met:
        raise FftagError(f"no photo in {source} has any label (column {options.labels_column!r})")
    own = label_set_of(metadata, source) or LabelSet.of(met)
    return Reading(photos, options.label_set(own), options.photos or source.parent)
