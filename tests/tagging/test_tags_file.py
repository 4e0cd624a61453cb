"""What a tags file says of its labels comes back, and what contradicts itself does not."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from fftag.models.labels import Group, LabelSet
from fftag.tagging.tags_file import RunInfo, described, run_of, tags_of, tags_schema

NAMES = some.text(min_size=1, max_size=8).filter(lambda text: bool(text.strip()))
NUMBERS = some.floats(-1e6, 1e6, allow_nan=False)


@some.composite
def label_sets(draw: Any) -> LabelSet:
    """Labels of some groups of either kind, with parents that have parents."""
    groups = []
    for name in draw(some.lists(NAMES, min_size=1, max_size=4, unique=True)):
        above: dict[str, str | None] = {}
        for number in range(draw(some.integers(0, 3))):
            above[f"{name} above {number}"] = draw(some.sampled_from([None, *above]))
        groups.append(Group(name, draw(some.sampled_from(["many", "one"])), above))
    names = draw(some.lists(NAMES, min_size=len(groups), max_size=12, unique=True))
    more = len(names) - len(groups)
    of_each = [*groups, *draw(some.lists(some.sampled_from(groups), min_size=more, max_size=more))]
    parents = [draw(some.sampled_from([None, *group.above])) for group in of_each]
    return LabelSet.of(names, [group.name for group in of_each], parents, groups)


def run_with(labels: LabelSet) -> RunInfo:
    one = {group.name: 0.5 for group in labels.group_set if group.kind == "one"}
    about = described(labels, [0.5] * len(labels), None, one)
    given = {"run_id": "r", "model_id": "0" * 64, "scores_id": "s", "fftag_version": "1"}
    return RunInfo(**given, source="photos", settings={}, **about)


@settings(max_examples=60, deadline=None)
@given(label_sets(), some.data())
def test_what_is_said_of_groups_and_labels_comes_back(labels: LabelSet, data: Any) -> None:
    count = len(labels)
    keys = ("tp", "fp", "fn", "tn")
    counts = some.fixed_dictionaries(dict.fromkeys(keys, some.integers(0, 10**9)))
    one = {group.name: data.draw(NUMBERS) for group in labels.group_set if group.kind == "one"}
    about = described(
        labels,
        data.draw(some.lists(NUMBERS, min_size=count, max_size=count)),
        data.draw(some.none() | some.lists(counts, min_size=count, max_size=count)),
        one,
    )
    run = replace(run_with(labels), **about)
    assert run_of(tags_schema(run)) == (run, [])
    assert run.keys == list(zip(labels.groups, labels.names, strict=True))
    content = json.loads(run.header)
    assert [one["parent"] for one in content["labels"]] == list(labels.parents)
    assert {one["name"]: one["above"] for one in content["groups"]} == {
        group.name: dict(group.above) for group in labels.group_set
    }


@settings(max_examples=60, deadline=None)
@given(label_sets(), some.data())
def test_whatever_is_taken_away_is_noticed(labels: LabelSet, data: Any) -> None:
    content = json.loads(run_with(labels).header)
    of = data.draw(some.sampled_from(["labels", "groups"]))
    entry = data.draw(some.sampled_from(content[of]))
    key = data.draw(some.sampled_from(sorted(entry.keys() - {"kind", "above", "threshold"})))
    del entry[key]
    schema = pa.schema([]).with_metadata({b"fftag": json.dumps(content).encode()})
    run, wrong = run_of(schema)
    assert run is None and wrong


@pytest.mark.parametrize("parents", [["any"], ["warm"]])
def test_a_line_of_parents_that_goes_round_ends(parents: list[str]) -> None:
    group = Group("hue", "one", {"warm": "any", "any": "warm"})
    assert set(group.ancestors(parents[0])) == {"warm", "any"}


@settings(max_examples=60, deadline=None)
@given(label_sets(), some.integers(0, 2**32 - 1))
def test_each_tag_is_a_label_of_its_group_at_or_above_its_threshold(
    labels: LabelSet, seed: int
) -> None:
    run = run_with(
        replace(labels, group_set=tuple(replace(g, kind="many") for g in labels.group_set))
    )
    scores = np.random.default_rng(seed).random((5, len(labels)), np.float32)
    failed = np.array([False, False, True, False, False])
    found = tags_of(scores, run, failed).to_pylist()
    for row, tags in enumerate(found):
        if failed[row]:
            assert tags is None
            continue
        given = {(tag["group"], tag["label"]): tag["score"] for tag in tags}
        assert len(given) == len(tags)
        pairs = zip(run.keys, scores[row].tolist(), strict=True)
        assert given == {key: score for key, score in pairs if score >= 0.5}
