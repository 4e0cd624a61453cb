"""Runs after the first: what they read, what they keep, and that they end as a fresh run does."""

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from conftest import save_bands
from decoding_here import decoding_here
from faults import stopped_after_parts
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from test_faults import assert_same, rows_of
from typer.testing import CliRunner

import fftag.copies
import fftag.plan
from fftag.bundle import Bundle, load_bundle, save_bundle
from fftag.cli import app
from fftag.decode import Limits
from fftag.dry_run import look_ahead
from fftag.errors import FftagError
from fftag.plan import plan_changes
from fftag.predict import Predictor
from fftag.previous import open_previous
from fftag.sources import Folder, Selection, list_source
from fftag.tag import retag, tag
from fftag.tag_options import TagOptions
from fftag.validate import validate

Make = Callable[[int], Path]
OPTIONS = TagOptions(
    backend="torch", workers=1, batch_size=4, shard_size=8, max_failure_rate=1, max_removal_rate=1
)
LAST_YEAR = time.time() - 365 * 86_400


@pytest.fixture(scope="session")
def stricter(session_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The same network with other thresholds."""
    config = replace(session_bundle.config, thresholds=(0.45, 0.52, 0.499))
    weights = session_bundle.build().state_dict()
    return save_bundle(tmp_path_factory.mktemp("stricter") / "model", config, weights)


@pytest.fixture(autouse=True, scope="module")
def decoded_here() -> Iterator[None]:
    with decoding_here():
        yield


def aged(root: Path) -> Path:
    """Gives all files a time long past, by which they can be trusted."""
    for number, path in enumerate(sorted(root.rglob("*"))):
        if path.is_file():
            os.utime(path, (LAST_YEAR, LAST_YEAR + number))
    return root


# Any tree, any changes


NAMES = st.sampled_from(["a.jpg", "b.jpg", "c/a.jpg", "c/d/e.jpg", "ä.jpg", "x y.jpg", "c\\.jpg"])
CONTENTS = st.integers(0, 6)  # 0 to 3: photos; 4: cut off; 5: no photo; 6: empty
CHANGES = st.one_of(
    st.tuples(st.just("write"), NAMES, CONTENTS),
    st.tuples(st.just("touch"), NAMES, st.none()),
    st.tuples(st.just("rename"), NAMES, NAMES),
    st.tuples(st.just("copy"), NAMES, NAMES),
    st.tuples(st.just("delete"), NAMES, st.none()),
    st.tuples(st.just("swap"), NAMES, NAMES),
)
ROUNDS = st.lists(
    st.tuples(
        st.lists(CHANGES, max_size=6),
        st.sampled_from(["run", "run", "stricter", "killed", "small limit", "leave failed"]),
        st.booleans(),  # whether the files changed are as old as they say
    ),
    min_size=2,
    max_size=5,
)


@pytest.fixture(scope="module")
def contents(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    folder, found = tmp_path_factory.mktemp("contents"), []
    for number in range(4):
        save_bands(folder / "photo.jpg", ["red"] if number % 2 else ["blue"], number)
        found.append((folder / "photo.jpg").read_bytes())
    return [*found, found[0][:300], b"no photo", b""]


class Tree:
    """A folder that changes, with times that tell a change and times that do not."""

    def __init__(self, root: Path, contents: list[bytes]) -> None:
        self.root, self.contents, self.clock = root, contents, LAST_YEAR
        self.apply([("write", "a.jpg", 0), ("write", "c/a.jpg", 4)], old=True)

    def apply(self, changes: list[tuple[str, str, Any]], old: bool) -> None:
        for kind, name, other in changes:
            path = self.root / name
            if kind == "write":
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(self.contents[other])
                self.date(path, old)
            elif kind == "touch" and path.exists():
                self.date(path, old)
            elif kind == "delete":
                path.unlink(missing_ok=True)
            elif kind == "swap" and path.exists() and (self.root / other).exists():
                path.rename(self.root / "swap")
                if (self.root / other).exists():
                    (self.root / other).rename(path)
                (self.root / "swap").rename(self.root / other)
            elif kind in ("rename", "copy") and path.exists() and name != other:
                (self.root / other).parent.mkdir(parents=True, exist_ok=True)
                (self.root / other).write_bytes(path.read_bytes())
                if kind == "rename":
                    status = path.stat()
                    os.utime(self.root / other, ns=(status.st_atime_ns, status.st_mtime_ns))
                    path.unlink()
                else:
                    self.date(self.root / other, old)
        if not any(path.is_file() for path in self.root.rglob("*")):
            self.apply([("write", "b.jpg", 1)], old)

    def date(self, path: Path, old: bool) -> None:
        self.clock += 1
        if old:
            os.utime(path, (self.clock, self.clock))


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rounds=ROUNDS)
def test_after_any_changes_a_run_ends_as_a_fresh_one_does(
    rounds: Any, contents: list[bytes], session_bundle: Bundle, stricter: Bundle
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        tree = Tree(Path(folder) / "root", contents)
        out, fresh = Path(folder) / "tags.parquet", Path(folder) / "fresh.parquet"
        for changes, kind, old in rounds:
            tree.apply(changes, old)
            bundle = stricter if kind == "stricter" else session_bundle
            options = OPTIONS
            if kind == "small limit":
                options = replace(OPTIONS, limits=Limits(pixels=100))
            elif kind == "leave failed":
                options = replace(OPTIONS, retry_failed=False)
            if kind == "killed":
                stop_early(tree.root, out, bundle)
            tag(Folder(tree.root), out, bundle, options)
            fresh.unlink(missing_ok=True)
            tag(Folder(tree.root), fresh, bundle, options)
            assert_same(out, fresh)
            assert validate(out, Folder(tree.root)).valid


def stop_early(root: Path, out: Path, bundle: Bundle) -> None:
    """A run that is killed before its second batch; it may have nothing to do."""
    predict, calls = Predictor.__call__, 0

    def die(self: Predictor, pixels: torch.Tensor) -> Any:
        nonlocal calls
        calls += 1
        if calls > 1:
            raise KeyboardInterrupt
        return predict(self, pixels)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Predictor, "__call__", die)
        try:
            tag(
                Folder(root),
                out,
                bundle,
                replace(OPTIONS, batch_size=1, shard_size=1),
            )
        except KeyboardInterrupt:
            tag_again = replace(OPTIONS, restart=True)
            assert out.with_name(out.name + ".parts").exists()
            patch.undo()
            tag(Folder(root), out, bundle, tag_again)


# What is read


def test_only_what_is_new_or_changed_or_failed_is_decoded(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path
) -> None:
    root, out = folder_of_photos(12), tmp_path / "tags.parquet"
    (root / "cut.jpg").write_bytes((root / "season-0/FF-0000_1.jpg").read_bytes()[:300])
    aged(root)
    with decoding_here() as decoded:
        tag(Folder(root), out, session_bundle, OPTIONS)
    assert len(decoded) == 13
    (root / "new.jpg").write_bytes((root / "season-0/FF-0000_1.jpg").read_bytes() + b"!")
    (root / "season-1/FF-0001_1.jpg").write_bytes((root / "new.jpg").read_bytes() + b"!")
    (root / "season-2/FF-0002_1.jpg").rename(root / "renamed.jpg")
    (root / "season-0/FF-0003_1.jpg").touch()
    (root / "season-1/FF-0004_1.jpg").unlink()
    with decoding_here() as decoded:
        summary = tag(Folder(root), out, session_bundle, OPTIONS)
    assert sorted(decoded) == ["cut.jpg", "new.jpg", "season-1/FF-0001_1.jpg"]
    assert summary.plan == {"new": 2, "changed": 2, "retried": 1, "unchanged": 8, "removed": 2}
    assert summary.recognised == 2 and summary.read == 5
    with decoding_here() as decoded:
        tag(Folder(root), out, session_bundle, replace(OPTIONS, retry_failed=False))
    assert decoded == []
    with decoding_here() as decoded:
        tag(Folder(root), out, session_bundle, replace(OPTIONS, force=True))
    assert len(decoded) == 13


def test_contents_of_one_size_are_looked_for_once_each_and_not_without_end(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, out = folder_of_photos(2), tmp_path / "tags.parquet"
    whole = (root / "season-0/FF-0000_1.jpg").read_bytes()
    for number in range(6):  # a placeholder five times, and another of its size
        (root / f"soon{number}.jpg").write_bytes(whole + bytes([number // 5]))
    tag(Folder(aged(root)), out, session_bundle, OPTIONS)
    (root / "soon6.jpg").write_bytes(whole + bytes(1))
    listing, previous = list_source(Folder(root)), open_previous(out)
    assert previous is not None
    known = plan_changes(listing, previous).known
    assert len(known.of_size(len(whole) + 1)) == 2 and known.of_size(len(whole)) == ()
    digest = hashlib.sha256(whole + bytes(1)).hexdigest()
    assert known.row(len(whole) + 1, digest) in range(2, 7)

    monkeypatch.setattr(fftag.plan, "CONTENTS_OF_A_SIZE", 1)
    monkeypatch.setattr(fftag.copies, "CONTENTS_OF_A_SIZE", 1)
    assert known.of_size(len(whole) + 1) == ()
    with decoding_here() as decoded:
        tag(Folder(root), out, session_bundle, OPTIONS)
    assert decoded == ["soon6.jpg"]
    rows = rows_of(out)
    assert rows["soon6.jpg"]["scores"] == pytest.approx(rows["soon0.jpg"]["scores"], abs=1e-6)


def test_with_nothing_to_do_no_file_is_opened(
    folder_of_photos: Make,
    session_bundle: Bundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    root, out = aged(folder_of_photos(12)), tmp_path / "tags.parquet"
    tag(Folder(root), out, session_bundle, OPTIONS)
    before, stamp = out.read_bytes(), out.stat().st_mtime_ns
    monkeypatch.setattr("fftag.sources.folder.Folder.reader", None)
    monkeypatch.setattr("fftag.tag.scorer_for", None)
    summary = tag(Folder(root), out, session_bundle, OPTIONS)
    assert "nothing to do" in capsys.readouterr().err
    assert (out.read_bytes(), out.stat().st_mtime_ns) == (before, stamp)
    assert summary.read == 0 and summary.statuses == {"ok": 12}
    assert not out.with_name("tags.parquet.parts").exists()


def test_a_file_just_written_is_not_trusted_by_its_time(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path
) -> None:
    root, out = folder_of_photos(4), tmp_path / "tags.parquet"
    path = root / "season-0/FF-0000_1.jpg"
    tag(Folder(root), out, session_bundle, OPTIONS)
    stamp, content = path.stat(), path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))  # the same size
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))  # and time
    tag(Folder(root), out, session_bundle, OPTIONS)
    tag(Folder(root), tmp_path / "fresh.parquet", session_bundle, OPTIONS)
    assert_same(out, tmp_path / "fresh.parquet")


def test_a_file_is_trusted_once_it_was_read_long_after_it_was_written(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, out = folder_of_photos(4), tmp_path / "tags.parquet"
    for path in root.rglob("*.jpg"):
        path.touch()
    tag(Folder(root), out, session_bundle, OPTIONS)
    time.sleep(1)
    assert tag(Folder(root), out, session_bundle, OPTIONS).plan["unchanged"] == 0
    monkeypatch.setattr("fftag.plan.SECONDS_TOO_FRESH", 0.9)
    assert tag(Folder(root), out, session_bundle, OPTIONS).plan["unchanged"] == 4


def test_a_share_that_is_not_mounted_removes_nothing(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path
) -> None:
    root, out = aged(folder_of_photos(10)), tmp_path / "tags.parquet"
    guarded = replace(OPTIONS, max_removal_rate=0.5)
    tag(Folder(root), out, session_bundle, guarded)
    before = out.read_bytes()
    for path in sorted(root.rglob("*.jpg"))[:6]:
        path.unlink()
    with pytest.raises(FftagError, match=r"6 of the 10 files .* --max-removal-rate 1") as refused:
        tag(Folder(root), out, session_bundle, guarded)
    assert refused.value.exit_code == 4 and out.read_bytes() == before
    assert tag(Folder(root), out, session_bundle, OPTIONS).plan["removed"] == 6
    (root / "only.txt").write_text("x")
    with pytest.raises(FftagError, match="no files to tag"):
        tag(Folder(root), out, session_bundle, replace(OPTIONS, selection=Selection(("*.png",))))


def test_another_model_reads_everything_again_and_says_so(
    folder_of_photos: Make,
    session_bundle: Bundle,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    root, out = aged(folder_of_photos(6)), tmp_path / "tags.parquet"
    tag(Folder(root), out, session_bundle, OPTIONS)
    weights = {name: value * 1.01 for name, value in session_bundle.build().state_dict().items()}
    other = save_bundle(tmp_path / "other", session_bundle.config, weights)
    with decoding_here() as decoded:
        tag(Folder(root), out, other, OPTIONS)
    assert len(decoded) == 6
    assert "another model: every file is tagged anew" in capsys.readouterr().err


# Thresholds


def test_other_thresholds_decide_the_tags_anew_without_reading_a_photo(
    folder_of_photos: Make, session_bundle: Bundle, stricter: Bundle, tmp_path: Path
) -> None:
    root = folder_of_photos(12)
    (root / "cut.jpg").write_bytes((root / "season-0/FF-0000_1.jpg").read_bytes()[:300])
    aged(root)
    out, fresh, again = (tmp_path / f"{name}.parquet" for name in ("out", "fresh", "again"))
    tag(Folder(root), out, session_bundle, OPTIONS)
    tag(Folder(root), again, session_bundle, OPTIONS)
    tag(Folder(root), fresh, stricter, OPTIONS)
    assert rows_of(out) != rows_of(fresh)
    with decoding_here() as decoded:
        assert retag(out, stricter) == 13
        tag(Folder(root), again, stricter, replace(OPTIONS, retry_failed=False))
    assert decoded == []
    assert_same(out, fresh)
    assert_same(again, fresh)
    assert validate(out, Folder(root)).valid
    about = [json.loads(pq.read_schema(path).metadata[b"fftag"]) for path in (out, fresh)]
    for key in ("model_id", "thresholds", "labels", "scores_id"):
        assert about[0][key] == about[1][key]
    assert not out.with_name("out.parquet.parts").exists()


def test_retag_refuses_what_it_cannot_do(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path
) -> None:
    root, out = folder_of_photos(3), tmp_path / "tags.parquet"
    with pytest.raises(FftagError, match="does not exist"):
        retag(out, session_bundle)
    tag(Folder(root), out, session_bundle, OPTIONS)
    before = out.read_bytes()
    weights = {name: value * 1.01 for name, value in session_bundle.build().state_dict().items()}
    with pytest.raises(FftagError, match=r"are not those of .*: run `fftag tag`"):
        retag(out, save_bundle(tmp_path / "other", session_bundle.config, weights))
    assert out.read_bytes() == before


def test_an_interrupted_run_is_not_mixed_with_a_later_one(
    folder_of_photos: Make, session_bundle: Bundle, stricter: Bundle, tmp_path: Path
) -> None:
    root, out = folder_of_photos(40), tmp_path / "tags.parquet"
    stopped_after_parts(root, out, session_bundle, 1, replace(OPTIONS, batch_size=8, shard_size=16))
    with pytest.raises(FftagError, match=r"another .*thresholds.*--restart"):
        tag(Folder(root), out, stricter, replace(OPTIONS, batch_size=8, shard_size=16))
    tag(Folder(root), out, stricter, replace(OPTIONS, restart=True))
    tag(Folder(root), tmp_path / "fresh.parquet", stricter, OPTIONS)
    assert_same(out, tmp_path / "fresh.parquet")


# Dry runs and metrics


def test_a_dry_run_says_what_the_run_then_does(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path
) -> None:
    root, out = aged(folder_of_photos(12)), tmp_path / "out/tags.parquet"
    first = look_ahead(Folder(root), out, session_bundle, OPTIONS)
    assert not out.parent.exists() and first.pending == first.files == 12
    assert first.files_per_second and first.seconds > 0 and first.bytes_needed > 0
    assert tag(Folder(root), out, session_bundle, OPTIONS).plan == first.plan
    (root / "season-0/FF-0000_1.jpg").unlink()
    (root / "new.jpg").write_bytes(b"new")
    before = sorted((path.name, path.stat().st_mtime_ns) for path in out.parent.iterdir())
    second = look_ahead(Folder(root), out, session_bundle, OPTIONS)
    assert second.plan["new"] == second.plan["removed"] == second.pending == 1
    assert sorted((path.name, path.stat().st_mtime_ns) for path in out.parent.iterdir()) == before
    assert tag(Folder(root), out, session_bundle, OPTIONS).plan == second.plan


def figures(path: Path) -> dict[tuple[str, str], float]:
    return {
        (sample.name, "".join(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(path.read_text())
        for sample in family.samples
    }


def test_figures_for_prometheus_tell_how_a_run_ended(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path
) -> None:
    root, out, file = aged(folder_of_photos(8)), tmp_path / "t.parquet", tmp_path / "fftag.prom"
    (root / "cut.jpg").write_bytes((root / "season-0/FF-0000_1.jpg").read_bytes()[:300])
    command = ["tag", str(root), "--out", str(out), "--model", str(session_bundle.path)]
    command += ["--workers", "1", "--metrics", str(file)]
    began = time.time()
    done = CliRunner().invoke(app, [*command, "--json"])
    assert done.exit_code == 0, done.output
    found = figures(file)
    assert found["fftag_tag_exit_code", ""] == 0
    assert began <= found["fftag_tag_end_timestamp_seconds", ""] <= time.time()
    assert found["fftag_tag_files", "ok"] == 8 and found["fftag_tag_files", "truncated"] == 1
    assert found["fftag_tag_plan_files", "new"] == found["fftag_tag_read_files", ""] == 9
    refused = CliRunner().invoke(app, [*command, "--force", "--max-failure-rate", "0.01"])
    assert isinstance(refused.exception, FftagError)
    assert figures(file)["fftag_tag_exit_code", ""] == 4
    assert CliRunner().invoke(app, [*command, "--strict"]).exit_code == 3
    assert figures(file)["fftag_tag_exit_code", ""] == 3
    not_loaded = CliRunner().invoke(app, [*command, "--db", str(tmp_path)])
    assert isinstance(not_loaded.exception, FftagError)
    found = figures(file)
    assert found["fftag_tag_exit_code", ""] == 1 and found["fftag_tag_files", "ok"] == 8
    assert not list(tmp_path.glob("*.tmp"))


def test_salvaged_photos_are_tagged_on_demand_and_marked(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path
) -> None:
    root, out = folder_of_photos(4), tmp_path / "tags.parquet"
    whole = (root / "season-0/FF-0000_1.jpg").read_bytes()
    (root / "cut.jpg").write_bytes(whole[: len(whole) * 3 // 4])
    tag(Folder(root), out, session_bundle, OPTIONS)
    assert rows_of(out)["cut.jpg"]["status"] == "truncated"
    salvage = replace(OPTIONS, limits=Limits(salvage=True))
    tag(Folder(root), out, session_bundle, salvage)
    row = rows_of(out)["cut.jpg"]
    assert row["status"] == "ok" and row["error"].startswith("salvaged: ") and row["scores"]
    assert validate(out, Folder(root)).valid
    assert load_bundle(session_bundle.path).model_id == row["model_id"]
