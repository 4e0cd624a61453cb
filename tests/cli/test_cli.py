"""The command line as a user meets it: its exit code, its last line, what it prints where."""

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from typer.testing import CliRunner

from fftag.base.errors import FftagError
from fftag.cli import app, run_command
from fftag.models.folder import Bundle
from fftag.photos.sources.local import Folder
from fftag.tagging.merge import merge
from fftag.tagging.options import TagOptions
from fftag.tagging.tag import retag, tag

Make = Callable[[int], Path]
FFTAG = [sys.executable, "-m", "fftag"]


def fftag(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*FFTAG, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=os.environ | environment,
        timeout=300,
    )


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """The same in this process, where all that it needs is imported."""

    def run(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        with monkeypatch.context() as patch, pytest.raises(SystemExit) as ended:
            patch.setattr(sys, "argv", ["fftag", *map(str, arguments)])
            for name, value in environment.items():
                patch.setenv(name, value)
            capfd.readouterr()
            run_command()
        return subprocess.CompletedProcess(arguments, ended.value.code, *capfd.readouterr())

    before = signal.getsignal(signal.SIGTERM)
    yield run
    signal.signal(signal.SIGTERM, before)


def refused(result: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    """The command ended with this code and one line that has these words; no traceback."""
    assert result.returncode == code, result.stderr
    assert "Traceback" not in result.stderr
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("fftag: ")
    for word in words:
        assert word in last


def test_help_comes_without_the_heavy_imports() -> None:
    code = "import fftag, fftag.cli, sys; print([m for m in ('torch', 'pandas', 'duckdb', 'PIL', "
    code += "'pyarrow', 'matplotlib', 'sklearn', 'numpy') if m in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert loaded.stdout.strip() == "[]", loaded.stderr
    shown = fftag("--help")
    assert shown.returncode == 0
    for command in ("data", "train", "evaluate", "tag", "load", "report", "models"):
        assert command in shown.stdout


def test_tagging_imports_no_training_code() -> None:
    code = "import fftag.tagging.tag, fftag.catalogue.load, fftag.reports.ask, sys; "
    code += "print([m for m in sys.modules if m.startswith('fftag.training')])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert loaded.stdout.strip() == "[]", loaded.stderr


def test_results_go_to_stdout_and_progress_to_stderr(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path
) -> None:
    out = tmp_path / "new/folder/tags.parquet"
    result = fftag(
        "tag", folder_of_photos(5), "--out", out, "--model", session_bundle.path, "--json"
    )
    assert result.returncode == 0, result.stderr
    summary = json.loads(result.stdout)
    assert summary["files"] == 5 and summary["statuses"] == {"ok": 5}
    assert summary["files_per_second"] > 0
    assert "photo/s" in result.stderr and "\r" not in result.stderr
    assert pq.read_metadata(out).num_rows == 5


def test_an_error_is_one_line_and_a_code_of_the_process(tmp_path: Path) -> None:
    result = fftag("tag", tmp_path / "none", "--out", tmp_path / "t.parquet", "--model", tmp_path)
    refused(result, 1, "is not a model folder")
    assert result.stdout == ""


def test_a_catalogue_and_its_corrections_among_the_photos_are_no_photos(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path
) -> None:
    root = folder_of_photos(3)
    db = root / "c.duckdb"
    for name in (db.name, f"{db.name}.corrections.parquet"):
        (root / name).touch()
    to = ["--out", tmp_path / "t.parquet", "--db", db]
    result = fftag("tag", root, *to, "--model", session_bundle.path, "--dry-run", "--json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["files"] == 3


@pytest.mark.parametrize("kind", ["missing", "empty", "no images"])
def test_a_source_with_nothing_to_tag(
    here: Run, session_bundle: Bundle, tmp_path: Path, kind: str
) -> None:
    source = tmp_path / "photos"
    if kind != "missing":
        source.mkdir()
    if kind == "no images":
        (source / "notes.txt").write_text("no photo")
        (source / "data.csv").write_text("a,b")
    result = here("tag", source, "--out", tmp_path / "t.parquet", "--model", session_bundle.path)
    if kind == "missing":
        refused(result, 1, "does not exist", "photos")
    elif kind == "empty":
        refused(result, 1, "no files to tag")
    else:
        refused(result, 4, "2 of 2 files failed (2 unsupported)", "--max-failure-rate")
    assert not (tmp_path / "t.parquet").exists()


def test_an_output_that_cannot_be_written(
    here: Run, folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path
) -> None:
    root = folder_of_photos(2)
    blocker = tmp_path / "file"
    blocker.write_text("in the way")
    result = here("tag", root, "--out", blocker / "t.parquet", "--model", session_bundle.path)
    refused(result, 1, "cannot write")
    result = here("tag", root, "--out", tmp_path, "--model", session_bundle.path)
    refused(result, 1, "is a folder")
    result = here("tag", root, "--out", "/proc/t.parquet", "--model", session_bundle.path)
    refused(result, 1, "cannot write /proc/t.parquet")


def others(folder: Path) -> dict[str, Path]:
    """Files of several kinds, each of value to somebody."""
    files = {name: folder / name for name in ("feed.csv", "feed.parquet", "look.jpg", "c.duckdb")}
    files["feed.csv"].write_text("sku,name\nA1,Dress\n")
    pq.write_table(pa.table({"sku": ["A1"], "name": ["Dress"]}), files["feed.parquet"])
    Image.new("RGB", (8, 8)).save(files["look.jpg"])
    duckdb.connect(str(files["c.duckdb"])).close()
    return files


@pytest.mark.parametrize("name", ["feed.csv", "feed.parquet", "look.jpg", "c.duckdb"])
def test_no_output_takes_the_place_of_a_file_of_another_kind(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path, name: str
) -> None:
    """In this process: what is to be seen is that each command looks before it works."""
    root, out = folder_of_photos(2), tmp_path / "tags.parquet"
    there = others(tmp_path)[name]
    before = there.read_bytes()
    tag = ["tag", root, "--model", session_bundle.path, "--workers", "1"]
    commands = [
        [*tag, "--out", there],
        [*tag, "--out", there, "--force"],
        [*tag, "--out", out, "--metrics", there],
        ["data", "import", "folders", root, "--out", there],
        ["explain", session_bundle.path, root / "season-0/FF-0000_1.jpg", "--out", there],
    ]
    if name != "c.duckdb":
        commands.append([*tag, "--out", out, "--db", there])
    for command in commands:
        done = CliRunner().invoke(app, [*map(str, command)])
        assert isinstance(done.exception, FftagError), command
        assert "move it away" in str(done.exception)
        assert there.read_bytes() == before and not out.exists()


def test_where_nothing_can_be_written_each_command_says_so_in_one_line(
    folder_of_photos: Make, session_bundle: Bundle, bands_manifest: Path, tmp_path: Path
) -> None:
    root, out, nowhere = (
        folder_of_photos(2),
        tmp_path / "tags.parquet",
        "/proc/nowhere/file.parquet",
    )
    tag(Folder(root), out, session_bundle, TagOptions(workers=1))
    model, photo = session_bundle.path, root / "season-0/FF-0000_1.jpg"
    for command in (
        ["tag", root, "--model", model, "--workers", "1", "--out", nowhere],
        ["tag", root, "--model", model, "--workers", "1", "--out", out, "--metrics", nowhere],
        ["merge", out, "--out", nowhere],
        ["data", "import", "folders", root, "--out", nowhere, "--splits", "1,0,0"],
        ["data", "eda", bands_manifest, "--out", nowhere],
        ["explain", model, photo, "--label", "red", "--out", nowhere],
        ["explain", model, photo, "--label", "red", "--html", nowhere],
        ["train", "cnn", "--data", bands_manifest, "--out", nowhere],
        ["evaluate", model, "--data", bands_manifest, "--out", nowhere, "--resamples", "1"],
    ):
        done = CliRunner().invoke(app, [*map(str, command)])
        assert isinstance(done.exception, FftagError), (command, done.exception)
        assert str(done.exception).startswith("cannot ") and "/proc/nowhere" in str(done.exception)


def test_what_is_printed_during_a_run_is_no_result(
    folder_of_photos: Make,
    session_bundle: Bundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def noisy(*given: Any) -> Any:
        print("a message of Ray")
        return tag(*given)

    monkeypatch.setattr("fftag.tagging.tag.tag", noisy)
    command = ["tag", folder_of_photos(2), "--out", tmp_path / "t.parquet", "--json"]
    command += ["--model", session_bundle.path, "--workers", "1"]
    done = CliRunner().invoke(app, [*map(str, command)])
    assert json.loads(done.stdout)["files"] == 2
    assert "a message of Ray" in done.stderr


@pytest.mark.parametrize("name", ["feed.csv", "feed.parquet", "look.jpg", "c.duckdb"])
def test_merged_tags_take_the_place_of_tags_only(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path, name: str
) -> None:
    out, there = tmp_path / "tags.parquet", others(tmp_path)[name]
    tag(Folder(folder_of_photos(2)), out, session_bundle, TagOptions(workers=1))
    before = there.read_bytes()
    with pytest.raises(FftagError, match="is not a tags file"):
        merge([out], there)
    assert there.read_bytes() == before


def test_tags_through_a_link_are_the_file_that_it_leads_to(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path
) -> None:
    root, real, link = folder_of_photos(2), tmp_path / "store" / "t.parquet", tmp_path / "t.parquet"
    real.parent.mkdir()
    link.symlink_to(real)
    for photo in root.rglob("*.jpg"):
        os.utime(photo, (10**9, 10**9))
    for _ in range(2):  # the second finds the tags of the first
        summary = tag(Folder(root), link, session_bundle, TagOptions(workers=1))
        assert link.is_symlink() and pq.read_metadata(real).num_rows == 2
    assert summary.plan["unchanged"] == 2
    assert [path.name for path in real.parent.iterdir()] == ["t.parquet"]
    real.chmod(0o664)
    assert retag(link, session_bundle) == 2
    assert link.is_symlink() and stat.S_IMODE(real.stat().st_mode) == 0o664


def test_a_model_folder_that_is_not_whole(
    here: Run, folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path
) -> None:
    root, out = folder_of_photos(2), tmp_path / "t.parquet"
    copy = Path(shutil.copytree(session_bundle.path, tmp_path / "copy"))
    (copy / "model.safetensors").unlink()
    refused(here("tag", root, "--out", out, "--model", copy), 1, "no model.safetensors")
    (copy / "model.safetensors").write_bytes(b"altered")
    refused(here("tag", root, "--out", out, "--model", copy), 1, "not the file that was saved")


def test_a_manifest_with_missing_files(here: Run, bands_manifest: Path, tmp_path: Path) -> None:
    copy = tmp_path / "bands.parquet"
    shutil.copy(bands_manifest, copy)
    result = here("train", "cnn", "--data", copy, "--out", tmp_path / "run")
    refused(result, 1, "96 of 96 photos are missing", "photos/000.jpg")
    result = here("train", "cnn", "--data", tmp_path / "no.parquet", "--out", tmp_path / "run")
    refused(result, 1, "no.parquet")


def test_strict_tells_failed_files_by_the_exit_code(
    here: Run, folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path
) -> None:
    root = folder_of_photos(3)
    (root / "broken.jpg").write_bytes(b"")
    command = ("tag", root, "--out", tmp_path / "t.parquet", "--model", session_bundle.path)
    assert here(*command).returncode == 0
    strict = here(*command, "--strict")
    assert strict.returncode == 3 and "failed   1 (1 unreadable)" in strict.stdout


def test_wrong_usage_is_two(here: Run, tmp_path: Path) -> None:
    assert here("tag").returncode == 2
    assert here("tag", tmp_path, "--out", "t.parquet", "--workers", "-1").returncode == 2
    assert here("tag", tmp_path, "--out", "t.parquet", "--products", "p.csv").returncode == 2
    assert here("frobnicate").returncode == 2


def test_the_environment_gives_the_model_and_a_flag_beats_it(
    here: Run, folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path
) -> None:
    command = ("tag", folder_of_photos(2), "--out", tmp_path / "t.parquet")
    by_environment = here(*command, FFTAG_MODEL=str(session_bundle.path))
    assert by_environment.returncode == 0, by_environment.stderr
    beaten = here(*command, "--model", tmp_path, FFTAG_MODEL=str(session_bundle.path))
    refused(beaten, 1, "is not a model folder")


def test_without_a_model_the_newest_run_is_taken_and_named(
    here: Run,
    folder_of_photos: Make,
    session_bundle: Bundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    refused(here("tag", folder_of_photos(2), "--out", "t.parquet"), 1, "no model under runs/")
    shutil.copytree(session_bundle.path, tmp_path / "runs/first")
    result = here("tag", folder_of_photos(2), "--out", "t.parquet")
    assert result.returncode == 0 and "model: runs/first" in result.stderr


def test_the_models_are_listed_with_their_input(here: Run) -> None:
    listed = json.loads(here("models", "--json").stdout)
    assert listed["vit_b_16"] == {"height": 224, "width": 224}
    assert {"cnn", "resnet101", "inception_v3"} <= set(listed) and len(listed) > 70


@pytest.mark.slow
def test_the_whole_way_from_photos_to_a_report(bands_manifest: Path, tmp_path: Path) -> None:
    table = tmp_path / "photos.csv"
    frame = pq.read_table(bands_manifest).to_pandas()
    frame["image"] = [str(bands_manifest.parent / image) for image in frame["image"]]
    frame["labels"] = frame["labels"].map("|".join)
    frame[["image", "labels"]].to_csv(table, index=False)
    feed = tmp_path / "feed.csv"
    skus = [f"{number:03d}" for number in range(96)]
    months = [f"2026-{1 + number % 6:02d}-15" for number in range(96)]
    lines = [f"{sku},Acme,9.99,EUR,{month}" for sku, month in zip(skus, months, strict=True)]
    feed.write_text("\n".join(["sku,brand,price,currency,listed_at", *lines]) + "\n")

    def run(*arguments: str | Path) -> str:
        result = fftag(*arguments)
        assert result.returncode == 0, result.stderr
        return result.stdout

    data, model, db = tmp_path / "data.parquet", tmp_path / "runs/cnn", tmp_path / "catalog.duckdb"
    run("data", "import", "table", table, "--out", data)
    run("data", "eda", data, "--out", tmp_path / "eda")
    changes = ["--set", "model.input_size=[32, 24]", "--set", "optimizer.lr=0.01"]
    run("train", "cnn", "--data", data, "--out", model, "--epochs", "8", *changes)
    assert "best constant" in run("evaluate", model, "--data", data, "--split", "all")
    tagged = run(
        *("tag", bands_manifest.parent / "photos", "--out", tmp_path / "tags.parquet"),
        *("--model", model, "--db", db, "--products", feed),
    )
    assert "96 files" in tagged
    assert "share" in run("report") and "trend" in run("report")
    for name in ("share", "trend", "pairs", "failures"):
        run("report", name, "--db", db)
    shares = json.loads(run("report", "share", "--db", db, "--format", "json"))
    assert {row["label"] for row in shares} == {"red", "green", "blue"}
