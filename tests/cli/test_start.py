"""Where a command is started, and what its output is connected to, changes nothing that it does."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pyarrow.parquet as pq
import pytest
from catalogues import Catalog

from fftag.models.folder import Bundle

Make = Callable[[int], Path]
SCRIPT = str(Path(sys.executable).with_name("fftag"))
WAYS = {"script": [SCRIPT], "module": [sys.executable, "-m", "fftag"]}
# What the standard library, fftag, its workers and Streamlit import, and Python by itself.
NAMES = ("random", "shlex", "tempfile", "typer", "simplejpeg", "numpy", "streamlit", "fftag_own")
NAMES += ("sitecustomize", "usercustomize")
TRAP = "import os\nos.close(os.open(__file__ + '.was-run', os.O_CREAT))\nraise SystemExit(7)\n"


def set_traps(folder: Path) -> None:
    for name in NAMES:
        (folder / f"{name}.py").write_text(TRAP)


def sprung(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*.was-run"))


def run(
    command: list[str], folder: Path, out: str | int = subprocess.PIPE, shell: str = "", **env: str
) -> subprocess.CompletedProcess[str]:
    """Runs a command in a folder; `shell` is a redirection, such as `2>&-`."""
    line = ["sh", "-c", f'exec "$@" {shell}', "sh", *command] if shell else command
    return subprocess.run(
        line, cwd=folder, capture_output=True, text=True, env=os.environ | env, timeout=300
    )


@pytest.mark.parametrize("way", WAYS)
def test_nothing_beside_the_photos_is_executed(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path, way: str
) -> None:
    root = folder_of_photos(6)
    set_traps(root)
    model, out = str(session_bundle.path), tmp_path / "t.parquet"
    command = [*WAYS[way], "tag", ".", "--out", str(out), "--model", model, "--workers", "2"]
    done = run([*command, "--include", "*.jpg"], root)
    assert done.returncode == 0, done.stderr
    assert pq.read_table(out, columns=["status"])["status"].to_pylist() == ["ok"] * 6
    assert not sprung(root)


def test_a_relative_entry_of_pythonpath_is_not_handed_on(tmp_path: Path) -> None:
    """Python itself takes the empty one for the working folder; no process from here does."""
    code = "import os, sys; from fftag.cli.start import prepare; prepare(); import subprocess; "
    code += "print(subprocess.run([sys.executable, '-c', 'import json, sys; print(json.dumps("
    code += "sys.path))'], capture_output=True, text=True).stdout)"
    kept = tmp_path / "kept"
    given = os.pathsep.join(["", str(kept), ".", "below"])
    done = run([sys.executable, "-P", "-c", code], tmp_path, PYTHONPATH=given)
    assert done.returncode == 0, done.stderr
    path = json.loads(done.stdout)
    assert str(kept) in path
    assert not {"", ".", str(tmp_path), str(tmp_path / "below")} & set(path)


def test_the_app_takes_neither_modules_nor_settings_from_the_working_folder(tmp_path: Path) -> None:
    pytest.importorskip("streamlit", reason="Streamlit is not installed")
    set_traps(tmp_path)
    (tmp_path / ".streamlit").mkdir()
    (tmp_path / ".streamlit" / "config.toml").write_text('[server]\nbaseUrlPath = "elsewhere"\n')
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [*WAYS["module"], "app", "--port", str(port)]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL) as process:
        try:
            assert answer(f"http://127.0.0.1:{port}/_stcore/health", process) == 200
        finally:
            process.kill()
    assert not sprung(tmp_path)


def answer(address: str, process: "subprocess.Popen[bytes]") -> int:
    """The status of the first answer there is."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urlopen(address, timeout=5) as found:
                return int(found.status)
        except HTTPError as error:
            return error.code
        except OSError:
            time.sleep(0.2)
    raise AssertionError("the app does not start")


def test_a_matplotlibrc_of_the_working_folder_draws_no_part_of_a_picture(tmp_path: Path) -> None:
    code = "import sys; from fftag.base.plots import bars, to_png; "
    code += "sys.stdout.buffer.write(to_png(bars(['a', 'b'], [1.0, 2.0], 'Title', 'x')))"
    (tmp_path / "without").mkdir()
    (tmp_path / "with").mkdir()
    (tmp_path / "with" / "matplotlibrc").write_text(
        "lines.linewidth: 9\nsavefig.facecolor: red\naxes.facecolor: black\nfont.size: 30\n"
    )
    drawn = [
        subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path / name, capture_output=True
        ).stdout
        for name in ("without", "with")
    ]
    assert drawn[0] and drawn[0] == drawn[1]


def test_a_run_that_can_tell_nobody_of_its_progress_goes_on(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path
) -> None:
    root, model = folder_of_photos(6), str(session_bundle.path)
    (root / "season-0" / "bad.jpg").write_bytes(b"")
    for number, shell in enumerate(("2>/dev/full", "2>&-", "0<&- 2>&-")):
        out = tmp_path / f"{number}.parquet"
        command = [SCRIPT, "tag", str(root), "--out", str(out), "--model", model, "--json"]
        done = run([*command, "--workers", "1"], tmp_path, shell=shell)
        assert done.returncode == 0, shell
        assert json.loads(done.stdout)["files"] == 7
        assert pq.read_metadata(out).num_rows == 7


def test_an_error_that_nobody_can_be_told_of_is_an_exit_code(tmp_path: Path) -> None:
    for shell in ("2>/dev/full", "2>&-"):
        done = run([SCRIPT, "load", "none.parquet", "--db", "c.duckdb"], tmp_path, shell=shell)
        assert (done.returncode, done.stdout) == (1, "")


def test_results_that_cannot_be_written_are_one_line(tmp_path: Path) -> None:
    tags = str(Catalog(["cape"], {"a.jpg": ["cape"]}).write(tmp_path / "t.parquet"))
    as_json = ["validate", tags, "--json"]
    for command in (["validate", tags], as_json, ["--help"], ["--version"], ["report"]):
        done = run([SCRIPT, *command], tmp_path, shell=">/dev/full")
        assert done.returncode == 1, command
        (line,) = done.stderr.splitlines()
        assert "standard output: No space left on device" in line and line.startswith("fftag: ")


def test_who_reads_the_results_may_leave_or_never_have_been_there(tmp_path: Path) -> None:
    for shell in ("| true", ">&-"):
        done = run([SCRIPT, "report"], tmp_path, shell=shell)
        assert (done.returncode, done.stderr) == (0, ""), shell
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as pipe:
        assert left(pipe, tmp_path) == (0, b"")


def left(pipe: IO[bytes], folder: Path) -> tuple[int, Any]:
    done = subprocess.run([SCRIPT, "report"], cwd=folder, stdout=pipe, stderr=subprocess.PIPE)
    return done.returncode, done.stderr


def test_what_a_library_prints_is_no_result(tmp_path: Path) -> None:
    code = "import os, subprocess; from fftag.cli.start import prepare; prepare(); "
    code += (
        "print('result'); os.write(1, b'of a library\\n'); subprocess.run(['echo', 'of a child'])"
    )
    done = run([sys.executable, "-c", code], tmp_path)
    assert done.stdout == "result\n"
    assert set(done.stderr.splitlines()) == {"of a library", "of a child"}


@pytest.mark.parametrize(
    "locale",
    [
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"LC_ALL": "C"},
        {"LC_ALL": "en_US.ISO-8859-1", "PYTHONUTF8": "0"},
    ],
    ids=["ascii", "C", "latin-1"],
)
def test_names_are_the_same_in_every_locale(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path, locale: dict[str, str]
) -> None:
    root, out = folder_of_photos(1), tmp_path / "größe.parquet"
    photo = next(root.rglob("*.jpg")).read_bytes()
    for name in ("größe.jpg", "裙.jpg"):
        (root / name).write_bytes(photo)
    (root / os.fsdecode(b"latin-1 \xe9.jpg")).write_bytes(photo)
    command = [SCRIPT, "tag", str(root), "--out", str(out), "--model", str(session_bundle.path)]
    done = run([*command, "--workers", "1"], tmp_path, **locale)
    assert done.returncode == 0, done.stderr
    table = pq.read_table(out, columns=["image", "status"])
    assert table["image"].to_pylist() == [
        "größe.jpg", "latin-1 \\xe9.jpg", "season-0/FF-0000_1.jpg", "裙.jpg",
    ]  # fmt: skip
    assert table["status"].to_pylist() == ["ok"] * 4
    done = run([SCRIPT, "validate", str(out), "--source", str(root)], tmp_path, **locale)
    assert done.returncode == 0, done.stderr


def test_a_folder_whose_name_is_no_utf8_is_tagged_and_none_is_written_to(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path
) -> None:
    name = os.fsdecode(b"latin-1 \xe9")
    root = folder_of_photos(2).rename(tmp_path / name)
    command = ["tag", str(root), "--workers", "1", "--model", str(session_bundle.path), "--out"]
    done = run([SCRIPT, *command, str(tmp_path / "t.parquet")], tmp_path)
    assert done.returncode == 0, done.stderr
    told = json.loads(pq.read_schema(tmp_path / "t.parquet").metadata[b"fftag"])
    assert told["source"] == str(tmp_path) + "/latin-1 \\udce9"
    done = run([SCRIPT, *command, str(tmp_path / f"{name}.parquet")], tmp_path)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("fftag: cannot write ") and "is no UTF-8" in line
