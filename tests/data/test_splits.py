"""Splits: every photo in one, copies together, each label in its share, the same for a seed."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fftag.base.errors import FftagError
from fftag.data.manifest import SPLITS, read_manifest
from fftag.data.splits import duplicate_groups, stratified_splits

CCP_TAGS = Path(__file__).parents[3] / "shared" / "data" / "ccp" / "tags.csv"
SHARES = (0.8, 0.1, 0.1)


def widest_gaps(targets: np.ndarray, splits: np.ndarray) -> np.ndarray:
    """How far each label's share in val and in test is from its share overall."""
    overall = targets.mean(axis=0)
    return np.abs([targets[splits == name].mean(axis=0) - overall for name in ("val", "test")])


def random_splits(count: int, seed: int) -> np.ndarray:
    splits = np.full(count, "train", dtype=object)
    order = np.random.default_rng(seed).permutation(count)
    splits[order[: count // 10]] = "val"
    splits[order[count // 10 : count // 5]] = "test"
    return splits


def skewed_targets(photos: int = 3000, labels: int = 30) -> np.ndarray:
    rng = np.random.default_rng(7)
    return (rng.random((photos, labels)) < rng.beta(0.5, 5, labels)).astype(np.uint8)


def test_label_shares_are_far_closer_than_in_a_random_split() -> None:
    targets = skewed_targets()
    ours = np.array(stratified_splits(targets, SHARES, seed=0))
    sizes = Counter(ours.tolist())
    assert abs(sizes["val"] - 300) <= 15
    assert abs(sizes["test"] - 300) <= 15
    by_chance = [
        widest_gaps(targets, random_splits(len(targets), seed)).mean() for seed in range(5)
    ]
    assert widest_gaps(targets, ours).mean() < min(by_chance) / 3


@pytest.mark.skipif(not CCP_TAGS.is_file(), reason="Clothing Co-Parsing is not there")
def test_real_labels_and_sources_are_spread_evenly() -> None:
    manifest = read_manifest(CCP_TAGS)
    targets, sources = manifest.targets(), list(manifest.frame["source"])
    ours = np.array(stratified_splits(targets, SHARES, 0, sources=sources))
    by_chance = [
        widest_gaps(targets, random_splits(len(targets), seed)).mean() for seed in range(5)
    ]
    assert widest_gaps(targets, ours).mean() < min(by_chance) / 2
    from_masks = np.array([source == "pixel" for source in sources])
    for split in SPLITS:
        assert abs(from_masks[ours == split].mean() - from_masks.mean()) < 0.03
        assert (targets[ours == split].sum(axis=0) > 0).all()


def test_a_seed_gives_the_same_splits_and_another_seed_others() -> None:
    targets = skewed_targets(400, 8)
    first = stratified_splits(targets, SHARES, seed=3)
    assert stratified_splits(targets, SHARES, seed=3) == first
    assert stratified_splits(targets, SHARES, seed=4) != first


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_each_photo_is_in_one_split_and_no_group_straddles_two(data: st.DataObject) -> None:
    photos = data.draw(st.integers(1, 25))
    labels = data.draw(st.integers(0, 5))
    targets = data.draw(hnp.arrays(np.uint8, (photos, labels), elements=st.integers(0, 1)))
    groups = data.draw(hnp.arrays(np.int64, photos, elements=st.integers(0, photos)))
    sources = data.draw(
        st.lists(st.sampled_from([None, "a", "b"]), min_size=photos, max_size=photos)
    )
    shares = data.draw(
        st.sampled_from(
            [(1.0, 0.0, 0.0), (0.9, 0.0, 0.1), SHARES, (0.34, 0.33, 0.33), (0.01, 0.01, 0.98)]
        )
    )
    wanted = {name for name, share in zip(SPLITS, shares, strict=True) if share > 0}
    distinct = len(set(groups.tolist()))
    if distinct < len(wanted):
        with pytest.raises(FftagError, match=f"{distinct} distinct photos cannot fill"):
            stratified_splits(targets, shares, 0, groups, sources)
        return
    splits = stratified_splits(targets, shares, 0, groups, sources)
    assert len(splits) == photos
    assert set(splits) == wanted
    assert len(set(zip(groups.tolist(), splits, strict=True))) == distinct


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_given_splits_are_kept_and_copies_follow_the_most_held_out(data: st.DataObject) -> None:
    photos = data.draw(st.integers(3, 20))
    groups = data.draw(hnp.arrays(np.int64, photos, elements=st.integers(0, photos)))
    fixed = data.draw(st.lists(st.sampled_from(SPLITS), min_size=photos, max_size=photos))
    targets = np.ones((photos, 2), dtype=np.uint8)
    splits = stratified_splits(targets, SHARES, 0, groups, fixed=fixed)
    for group in set(groups.tolist()):
        members = np.flatnonzero(groups == group)
        held_out = max((fixed[i] for i in members), key=SPLITS.index)
        assert {splits[i] for i in members} == {held_out}


def test_a_split_given_beforehand_receives_no_other_photos() -> None:
    targets = skewed_targets(200, 5)
    fixed = ["test"] * 40 + [None] * 160
    splits = stratified_splits(targets, SHARES, 0, fixed=fixed)
    assert splits[:40] == ["test"] * 40
    assert "test" not in splits[40:]
    assert abs(Counter(splits)["val"] - 160 / 9) <= 2


def test_many_labels_of_one_photo_each_do_not_starve_a_split() -> None:
    targets = np.hstack([np.eye(100), np.ones((100, 1))]).astype(np.uint8)
    sizes = Counter(stratified_splits(targets, SHARES, 0))
    assert sizes == {"train": 80, "val": 10, "test": 10}


@pytest.mark.parametrize(
    ("shares", "says"),
    [
        ((0.8, 0.1, 0.2), "add up to 1"),
        ((1.1, -0.1, 0.0), "add up to 1"),
        ((float("nan"), 0.5, 0.5), "add up to 1"),
        ((0.0, 0.5, 0.5), "leave some photos to train on"),
    ],
)
def test_shares_that_are_none_are_refused(shares: tuple[float, float, float], says: str) -> None:
    with pytest.raises(FftagError, match=says):
        stratified_splits(np.ones((9, 1), dtype=np.uint8), shares, 0)


@settings(max_examples=40, deadline=None)
@given(contents=st.lists(st.binary(max_size=3), min_size=1, max_size=12))
def test_photos_are_grouped_exactly_by_content(
    tmp_path_factory: pytest.TempPathFactory, contents: list[bytes]
) -> None:
    folder = tmp_path_factory.mktemp("copies")
    paths = []
    for number, content in enumerate(contents):
        paths.append(folder / f"{number}.jpg")
        paths[-1].write_bytes(content)
    groups = duplicate_groups(paths, show=False)
    for i, first in enumerate(contents):
        for j, second in enumerate(contents):
            assert (groups[i] == groups[j]) == (first == second)


def test_a_photo_that_vanished_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(FftagError, match=r"cannot read .*gone\.jpg"):
        duplicate_groups([tmp_path / "gone.jpg"], show=False)
