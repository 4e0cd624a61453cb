"""Runs whose rows can stand in one tags file, and what that file says of them."""

import uuid
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from fftag import __version__
from fftag.errors import FftagError
from fftag.previous import SAME_SETTINGS
from fftag.shards import SETTING, Shard, missing
from fftag.sources import Source
from fftag.store import RunInfo

MOST_NAMED = 8


def common_run(runs: Mapping[Path, RunInfo], source: Source | None) -> RunInfo:
    """What a file with the rows of several says of itself: what holds for all of them.

    Args:
        runs: of each file.
        source: what was tagged, where runs of several names for it (mounts) are joined.

    Raises:
        FftagError: they are of different models or ways of tagging, of different sources, or are
            not all the shards that there are.
    """
    (head, first), *others = runs.items()
    for path, run in others:
        differing = _differences(first, run)
        if differing:
            raise FftagError(
                f"{path} has another {' and '.join(differing)} than {head}: rows of different "
                "models or settings do not mix; tag its photos as the others were"
            )
        if run.source != first.source and source is None:
            raise FftagError(
                f"{path} tells of {run.source}, {head} of {first.source}: if these are two names "
                "of one source, add --source"
            )
    _check_shards(runs)
    settings = {
        name: value
        for name, value in first.settings.items()
        if name != SETTING and all(run.settings.get(name) == value for run in runs.values())
    }
    return replace(
        first,
        run_id=uuid.uuid4().hex,
        fftag_version=__version__,
        source=source.name if source is not None else first.source,
        settings=settings,
    )


def _differences(one: RunInfo, two: RunInfo) -> list[str]:
    """What differs of that on which rows depend, in words a user knows."""
    same = {
        "format version": one.format_version == two.format_version,
        "label set": one.labels == two.labels,
        "thresholds": one.thresholds == two.thresholds,
        "apparel screen": one.screen == two.screen,
    }
    # The id of a model covers labels and thresholds: it tells of itself only where these agree.
    same["model"] = one.scores_id == two.scores_id and (
        one.model_id == two.model_id or not all(same.values())
    )
    for name in SAME_SETTINGS:
        same[name] = one.settings.get(name) == two.settings.get(name)
    return [name for name, equal in same.items() if not equal]


def _check_shards(runs: Mapping[Path, RunInfo]) -> None:
    given: dict[Path, str | None] = {path: run.settings.get(SETTING) for path, run in runs.items()}
    if not any(given.values()):
        return
    found: dict[Shard, Path] = {}
    for path, text in given.items():
        if text is None:
            raise FftagError(f"{path} is no shard, as others are: name shards only, or none")
        shard = Shard.parse(text)
        if found and shard.count != next(iter(found)).count:
            other = next(iter(found))
            raise FftagError(f"{path} is shard {shard}, {found[other]} is {other}: one N for all")
        if shard in found:
            raise FftagError(f"{path} and {found[shard]} are both shard {shard}: leave one out")
        found[shard] = path
    absent = missing(found)
    if absent:
        named = ", ".join(map(str, absent[:MOST_NAMED]))
        more = f" and {len(absent) - MOST_NAMED:,} more" if len(absent) > MOST_NAMED else ""
        raise FftagError(f"shards are missing: {named}{more}; tag them with --shard, and name them")
