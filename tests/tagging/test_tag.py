import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import nullcontext
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from catalogues import GROUPS
from faults import parts_of, stopped_after_parts
from tagged import aged, spoil

import fftag.tagging.tag
from fftag.base.errors import FftagError
from fftag.base.interrupt import Interruption
from fftag.models.folder import Bundle
from fftag.photos.decode import InputSpec
from fftag.photos.listing import Selection, Shard
from fftag.photos.pool import Pool, ReadOptions, batches
from fftag.photos.record import PhotoRecord
from fftag.photos.sources.choose import list_source
from fftag.photos.sources.local import Folder
from fftag.tagging.agreement import Agreement
from fftag.tagging.options import TagOptions, run_info
from fftag.tagging.parts import Parts, locked
from fftag.tagging.reach import Done
from fftag.tagging.score import score_here
from fftag.tagging.scored_rows import rows
from fftag.tagging.tag import tag
from fftag.tagging.tags_file import STATUSES

Make = Callable[[int], Path]
QUICK = TagOptions(backend="torch", workers=1, batch_size=4, shard_size=8)


def rows_of(path: Path) -> list[dict[str, Any]]:
    return pq.read_table(path).drop_columns(["tagged_at"]).to_pylist()


@pytest.mark.usefixtures("decoding_processes")
def test_every_file_has_exactly_one_row_in_listing_order(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path
) -> None:
    root = folder_of_photos(20)
    expected = spoil(root)
    out = tmp_path / "tags.parquet"
    summary = tag(Folder(root), out, session_bundle, QUICK)
    rows = {row["image"]: row for row in rows_of(out)}
    assert (
        pq.read_table(out)["image"].to_pylist()
        == list_source(Folder(root)).files["image"].to_pylist()
    )
    assert {name: rows[name]["status"] for name in expected} == expected
    assert all(row["status"] == "ok" for name, row in rows.items() if name not in expected)
    assert {row["status"] for row in rows.values()} <= set(STATUSES)
    assert summary.files == 26 and summary.failed == 5
    assert summary.statuses == {"ok": 21, "unsupported": 2, "unreadable": 2, "truncated": 1}


def test_failed_rows_are_null_and_say_why(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path
) -> None:
    root = folder_of_photos(3)
    spoil(root)
    tag(
        Folder(root),
        tmp_path / "t.parquet",
        session_bundle,
        TagOptions(backend="torch", workers=1, max_failure_rate=1),
    )
    for row in rows_of(tmp_path / "t.parquet"):
        if row["status"] == "ok":
            assert row["error"] is None and len(row["scores"]) == 3 and row["tags"] is not None
            assert (row["width"], row["height"], row["format"]) == (60, 80, "JPEG")
        else:
            assert row["error"] and row["scores"] is None and row["tags"] is None
            assert row["width"] is None
        assert row["is_apparel"] is None and row["apparel_score"] is None


def test_a_bad_neighbour_changes_no_other_row(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path
) -> None:
    root = folder_of_photos(12)
    tag(Folder(root), tmp_path / "clean.parquet", session_bundle, QUICK)
    victim = root / "season-1/FF-0004_1.jpg"
    victim.write_bytes(victim.read_bytes()[:200])
    tag(Folder(root), tmp_path / "spoilt.parquet", session_bundle, QUICK)
    clean = {row["image"]: row for row in rows_of(tmp_path / "clean.parquet")}
    for row in rows_of(tmp_path / "spoilt.parquet"):
        if row["image"] != "season-1/FF-0004_1.jpg":
            assert row == clean[row["image"]]


def test_the_schema_and_the_metadata_are_the_documented_ones(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path
) -> None:
    out = tmp_path / "tags.parquet"
    tag(Folder(folder_of_photos(5)), out, session_bundle, QUICK)
    schema = pq.read_schema(out)
    metadata = json.loads(schema.metadata[b"fftag"])
    assert metadata["format_version"] == 3
    assert metadata["model_id"] == session_bundle.model_id
    assert metadata["groups"] == [
        {"name": "warm", "kind": "many", "above": {}, "threshold": None},
        {"name": "cool", "kind": "many", "above": {}, "threshold": None},
    ]
    counts = {"tp": 8, "fp": 2, "fn": 4, "tn": 6}
    assert metadata["labels"] == [
        {"group": group, "name": name, "parent": None, "threshold": 0.5, "validation": counts}
        for group, name in (("warm", "red"), ("cool", "green"), ("cool", "blue"))
    ]
    assert schema.names == [
        *("image", "status", "error", "tags", "scores", "is_apparel", "apparel_score"),
        *("width", "height", "format", "file_size", "modified_at", "taken_at"),
        *("content_sha256", "model_id", "tagged_at"),
    ]
    assert schema.field("scores").type == pa.list_(pa.float32(), 3)
    assert schema.field("tags").type.value_type.names == ["group", "label", "score"]


def test_tags_are_the_labels_at_or_above_their_threshold_best_first(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path
) -> None:
    tag(Folder(folder_of_photos(8)), tmp_path / "t.parquet", session_bundle, QUICK)
    labels = session_bundle.config.labels.names
    for row in rows_of(tmp_path / "t.parquet"):
        pairs = zip(labels, row["scores"], strict=True)
        expected = sorted((pair for pair in pairs if pair[1] >= 0.5), key=lambda pair: -pair[1])
        assert [(one["label"], one["score"]) for one in row["tags"]] == expected
        assert all(one["group"] == GROUPS[one["label"]] for one in row["tags"])


def test_what_was_read_is_what_was_hashed(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path
) -> None:
    import hashlib

    root = folder_of_photos(3)
    tag(Folder(root), tmp_path / "t.parquet", session_bundle, QUICK)
    for row in rows_of(tmp_path / "t.parquet"):
        data = (root / row["image"]).read_bytes()
        assert row["content_sha256"] == hashlib.sha256(data).hexdigest()
        assert row["file_size"] == len(data)
        assert row["modified_at"].timestamp() == pytest.approx(
            (root / row["image"]).stat().st_mtime, abs=1e-5
        )


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_a_file_without_permission_is_unreadable(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path
) -> None:
    root = folder_of_photos(3)
    (root / "season-0/FF-0000_1.jpg").chmod(0)
    tag(Folder(root), tmp_path / "t.parquet", session_bundle, QUICK)
    assert rows_of(tmp_path / "t.parquet")[0]["status"] == "unreadable"


def test_a_file_that_goes_away_after_the_listing_has_its_row(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = folder_of_photos(5)

    def list_then_delete(*arguments: Any) -> Any:
        listing = list_source(*arguments)
        (root / "season-0/FF-0000_1.jpg").unlink()
        (root / "season-1/FF-0001_1.jpg").unlink()
        os.mkfifo(root / "season-1/FF-0001_1.jpg")
        return listing

    monkeypatch.setattr("fftag.tagging.tag.list_source", list_then_delete)
    tag(Folder(root), tmp_path / "t.parquet", session_bundle, QUICK)
    statuses = {row["image"]: row["status"] for row in rows_of(tmp_path / "t.parquet")}
    assert statuses.pop("season-0/FF-0000_1.jpg") == "vanished"
    assert statuses.pop("season-1/FF-0001_1.jpg") == "unreadable"
    assert set(statuses.values()) == {"ok"} and len(statuses) == 3


@pytest.mark.usefixtures("decoding_processes")
def test_results_do_not_depend_on_workers_or_shards(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path
) -> None:
    root = folder_of_photos(21)
    one, two = tmp_path / "one.parquet", tmp_path / "two.parquet"
    tag(
        Folder(root),
        one,
        session_bundle,
        TagOptions(backend="torch", workers=1, batch_size=4, shard_size=8),
    )
    tag(
        Folder(root),
        two,
        session_bundle,
        TagOptions(backend="torch", workers=2, batch_size=4, shard_size=100),
    )
    scores = [np.array(pq.read_table(path)["scores"].to_pylist()) for path in (one, two)]
    assert np.allclose(*scores, atol=1e-6)
    assert [row["image"] for row in rows_of(one)] == [row["image"] for row in rows_of(two)]


@pytest.mark.parametrize(("backend", "tolerance"), [("torch", 0), ("openvino", 1e-3)])
def test_a_photo_has_the_same_scores_whatever_is_beside_it(
    folder_of_photos: Make,
    session_bundle: Bundle,
    tmp_path: Path,
    backend: str,
    tolerance: float,
) -> None:
    """Alone, among others, and in batches of another size; with torch to the last bit."""
    if backend == "openvino":
        pytest.importorskip("openvino")
    root, scores = folder_of_photos(21), []
    for number, (size, pattern) in enumerate(
        [(4, "*"), (16, "*"), (16, "*-001[0-3]*"), (1, "*7*")]
    ):
        out = tmp_path / f"{number}.parquet"
        options = replace(QUICK, backend=backend, batch_size=size, selection=Selection((pattern,)))
        tag(Folder(root), out, session_bundle, options)
        scores.append({row["image"]: row["scores"] for row in rows_of(out)})
    assert [len(some) for some in scores] == [21, 21, 4, 2]
    for some in scores[1:]:
        for image, found in some.items():
            assert found == pytest.approx(scores[0][image], rel=0, abs=tolerance), image


def test_too_many_failures_publish_nothing_and_are_tried_again(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path
) -> None:
    root = folder_of_photos(2)
    spoil(root)
    aged(root)
    out = tmp_path / "t.parquet"
    with pytest.raises(FftagError, match=r"5 of 8 files failed .*--max-failure-rate") as refused:
        tag(Folder(root), out, session_bundle, QUICK)
    assert refused.value.exit_code == 4 and not out.exists()
    accepted = tag(
        Folder(root),
        out,
        session_bundle,
        TagOptions(backend="torch", workers=1, batch_size=4, shard_size=8, max_failure_rate=1),
    )
    assert accepted.resumed == 3 and len(rows_of(out)) == 8


def interrupted(root: Path, out: Path, bundle: Bundle, parts: int) -> list[Path]:
    """Leaves what a run killed after so many parts leaves; returns the parts."""
    stopped_after_parts(root, out, bundle, parts, QUICK)
    return parts_of(out)


def test_an_interrupted_run_goes_on_and_ends_the_same(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path
) -> None:
    root = folder_of_photos(30)
    spoil(root)
    aged(root)
    clean, out = tmp_path / "clean.parquet", tmp_path / "t.parquet"
    tag(Folder(root), clean, session_bundle, QUICK)
    interrupted(root, out, session_bundle, parts=2)
    assert not out.exists()
    summary = tag(Folder(root), out, session_bundle, QUICK)
    assert summary.resumed == 16
    assert rows_of(out) == rows_of(clean)
    assert not out.with_name("t.parquet.parts").exists()


def test_a_torn_part_is_done_again(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path
) -> None:
    root = folder_of_photos(30)
    out = tmp_path / "t.parquet"
    part = interrupted(root, out, session_bundle, parts=3)[1]
    part.write_bytes(part.read_bytes()[:500])
    assert tag(Folder(root), out, session_bundle, QUICK).resumed == 16
    assert len(rows_of(out)) == 30


def test_an_interruption_when_all_is_done_does_not_keep_it_from_being_published(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, out = aged(folder_of_photos(30)), tmp_path / "t.parquet"
    single = replace(QUICK, shard_size=4)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(fftag.tagging.tag, "_publish", Mock(side_effect=KeyboardInterrupt))
        tag(Folder(root), out, session_bundle, single)
    next(part for part in parts_of(out) if pq.read_metadata(part).num_rows == 4).unlink()
    asked = Interruption()
    asked.asked = True
    monkeypatch.setattr(fftag.tagging.tag, "deferred", lambda: nullcontext(asked))
    summary = tag(Folder(root), out, session_bundle, single)
    assert summary.resumed == 26 and len(rows_of(out)) == 30


CHANGES: dict[str, Callable[[TagOptions, Bundle], tuple[TagOptions, Bundle]]] = {
    "model": lambda options, bundle: (options, replace(bundle, weights_sha256="another")),
    "share": lambda options, bundle: (
        replace(options, selection=Selection(shard=Shard(1, 2))),
        bundle,
    ),
    "decoder": lambda options, bundle: (replace(options, exact=True), bundle),
}


@pytest.mark.parametrize("change", CHANGES)
def test_interrupted_runs_with_other_models_or_settings_each_go_on_with_their_own_parts(
    folder_of_photos: Make,
    session_bundle: Bundle,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: str,
) -> None:
    root, out = folder_of_photos(20), tmp_path / "t.parquet"
    options, bundle = CHANGES[change](QUICK, session_bundle)
    first = interrupted(root, out, session_bundle, parts=1)
    stopped_after_parts(root, out, bundle, 1, options)
    assert f"{first[0].parent} has 0.0 MB of another run" in capsys.readouterr().err
    assert set(first) < set(parts_of(out)) and len(parts_of(out)) == 2
    assert tag(Folder(root), out, bundle, options).resumed == 8
    assert parts_of(out) == first
    again = replace(QUICK, force=True)
    assert tag(Folder(root), out, session_bundle, again).resumed == 8
    assert not out.with_name("t.parquet.parts").exists()


def test_parts_that_were_written_twice_do_no_harm(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path
) -> None:
    """As whoever was given up may have read some files of it later, and a task is tried again."""
    root, out, clean = folder_of_photos(30), tmp_path / "t.parquet", tmp_path / "clean.parquet"

    def again(parts: Parts, path: Path, count: int) -> None:
        part = pq.read_table(path)
        at = part.schema.get_field_index("tagged_at")
        later = pc.add(part["tagged_at"], pa.scalar(timedelta(seconds=1)))
        parts.write(part.set_column(at, part.schema.field(at), later).slice(0, count))

    def score_twice(*what: Any) -> Generator[Done]:
        before = parts_of(out)
        yield from score_here(*what)
        for path in set(parts_of(out)) - set(before):
            again(what[-1], path, 3)

    tag(Folder(aged(root)), clean, session_bundle, QUICK)
    (first,) = interrupted(root, out, session_bundle, parts=1)
    again(Parts(out, Agreement.of(run_info(str(root), session_bundle, QUICK))), first, 5)
    assert len(parts_of(out)) == 2
    assert tag(Folder(root), out, session_bundle, QUICK, score_twice).resumed == 8
    assert rows_of(out) == rows_of(clean)
    assert not out.with_name("t.parquet.parts").exists()


def test_only_parts_that_were_read_for_a_publication_are_cleared(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, out = folder_of_photos(10), tmp_path / "t.parquet"
    publish = fftag.tagging.tag._publish

    def publish_and_be_late(plan: Any, out: Path, run: Any, parts: Parts, *rest: Any) -> None:
        publish(plan, out, run, parts, *rest)
        parts.write(pq.read_table(parts_of(out)[0]).slice(1))

    monkeypatch.setattr(fftag.tagging.tag, "_publish", publish_and_be_late)
    tag(Folder(aged(root)), out, session_bundle, QUICK)
    assert len(parts_of(out)) == 1
    monkeypatch.undo()
    before = out.read_bytes()
    assert tag(Folder(root), out, session_bundle, QUICK).read == 0
    assert out.read_bytes() == before and not parts_of(out)


def test_restart_throws_away_the_parts_of_all_runs(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path
) -> None:
    root, out = folder_of_photos(20), tmp_path / "t.parquet"
    interrupted(root, out, session_bundle, parts=1)
    stopped_after_parts(root, out, session_bundle, 1, replace(QUICK, exact=True))
    assert tag(Folder(root), out, session_bundle, replace(QUICK, restart=True)).resumed == 0
    assert not out.with_name("t.parquet.parts").exists()


def test_restart_leaves_what_is_no_part(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path
) -> None:
    root, out = folder_of_photos(20), tmp_path / "t.parquet"
    folder = out.with_name("t.parquet.parts")
    interrupted(root, out, session_bundle, parts=1)
    (of_run,) = folder.iterdir()
    own = [folder / "notes.txt", folder / "my photos/one.jpg", of_run / "notes.txt"]
    for path in own:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    tag(Folder(root), out, session_bundle, replace(QUICK, restart=True))
    assert all(path.read_text() == "mine" for path in own)
    assert not list(folder.rglob("part-*"))


def test_what_stood_before_stands_until_the_new_file_is_whole(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path
) -> None:
    root = folder_of_photos(20)
    out = tmp_path / "t.parquet"
    tag(Folder(root), out, session_bundle, QUICK)
    before = out.read_bytes()
    (root / "new.jpg").write_bytes((root / "season-0/FF-0000_1.jpg").read_bytes())
    interrupted(root, out, session_bundle, parts=1)
    assert out.read_bytes() == before
    tag(Folder(root), out, session_bundle, QUICK)
    assert len(rows_of(out)) == 21


def test_two_runs_into_one_output_do_not_mix(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path
) -> None:
    root = folder_of_photos(5)
    out = tmp_path / "t.parquet"
    with locked(out), pytest.raises(FftagError, match="another fftag is writing"):
        tag(Folder(root), out, session_bundle, QUICK)
    assert tag(Folder(root), out, session_bundle, QUICK).files == 5


def test_rows_of_other_files_are_never_published(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fftag.tagging.scored_rows

    out = tmp_path / "t.parquet"

    def swapped(photos: list[PhotoRecord], *rest: Any) -> pa.Table:
        return rows(photos[::-1], *rest)

    monkeypatch.setattr(fftag.tagging.scored_rows, "rows", swapped)
    with pytest.raises(FftagError, match="not those of the files listed"):
        tag(Folder(folder_of_photos(5)), out, session_bundle, QUICK)
    assert not out.exists()


def test_scores_that_are_no_numbers_end_the_run(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path
) -> None:
    from fftag.models.folder import save_bundle

    state = session_bundle.build().state_dict()
    state["head.bias"][1] = float("nan")
    broken = save_bundle(tmp_path / "broken", session_bundle.config, state)
    with pytest.raises(FftagError, match="not numbers"):
        tag(Folder(folder_of_photos(3)), tmp_path / "t.parquet", broken, QUICK)
    assert not (tmp_path / "t.parquet").exists()


def run_and_kill(command: list[str], parts: Path, after: float, number: signal.Signals) -> int:
    """Starts the command, waits for its first part and a while, then sends the signal."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        if any(parts.glob("*/part-*.parquet")):
            break
        time.sleep(0.005)
    time.sleep(after)
    process.send_signal(number)
    return process.wait(60)


def test_slots_do_not_count_as_a_decoder_s_memory(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path
) -> None:
    spec = InputSpec(1024, 1024)
    options = ReadOptions(batch_size=128, workers=1, worker_memory=512 * 2**20)
    source = Folder(folder_of_photos(128))
    plan = [(0, [entry | {"known": ()} for entry in source.list().files.to_pylist()])]
    (batch,) = batches(source, plan, spec, options)
    assert batch.pixels.nbytes * 3 > options.worker_memory  # three slots
    assert {photo.status for photo in batch.photos} == {"ok"}


def test_processes_that_cannot_be_started_leave_nothing_behind(
    folder_of_photos: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[subprocess.Popen[bytes]] = []

    class Scarce(subprocess.Popen[bytes]):
        def __init__(self, *args: Any, **options: Any) -> None:
            if started:
                raise OSError(errno.EAGAIN, "Resource temporarily unavailable")
            super().__init__(*args, **options)
            started.append(self)

    monkeypatch.setattr(subprocess, "Popen", Scarce)
    before = set(Path("/proc/self/fd").iterdir())
    with pytest.raises(FftagError, match=r"3 decoding processes cannot .* take fewer --workers"):
        Pool(Folder(folder_of_photos(2)), InputSpec(8, 8), ReadOptions(batch_size=2, workers=3))
    assert started[0].returncode is not None
    assert set(Path("/proc/self/fd").iterdir()) == before


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGTERM,
        *(
            pytest.param(number, marks=pytest.mark.slow)
            for number in (signal.SIGKILL, signal.SIGINT)
        ),
    ],
)
def test_a_process_killed_in_the_middle_goes_on_by_the_same_command(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path, number: signal.Signals
) -> None:
    root = folder_of_photos(400)
    spoil(root)
    clean, out = tmp_path / "clean.parquet", tmp_path / "t.parquet"
    options = TagOptions(backend="torch", workers=1, batch_size=4, shard_size=8)
    tag(Folder(root), clean, session_bundle, options)
    command = [
        *(sys.executable, "-m", "fftag", "tag", str(root), "--out", str(out)),
        *("--model", str(session_bundle.path), "--workers", "1"),
        *("--batch-size", "4", "--shard-size", "8", "--backend", "torch"),
    ]
    parts = out.with_name("t.parquet.parts")
    code = run_and_kill(command, parts, random.Random(number).uniform(0, 0.05), number)
    assert code == (-signal.SIGKILL if number == signal.SIGKILL else 130)
    assert not out.exists() and parts_of(out)
    finished = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "going on with an interrupted run" in finished.stderr
    assert rows_of(out) == rows_of(clean)
