"""One run at a time writes into an output; one that has just ended is in nobody's way."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tagged import reading

from fftag.base.errors import FftagError
from fftag.models.folder import Bundle
from fftag.photos.sources.local import Folder
from fftag.tagging.options import TagOptions
from fftag.tagging.parts import locked
from fftag.tagging.publish import write_rows
from fftag.tagging.tag import tag

HOLD = """
import sys, time
from pathlib import Path
from fftag.tagging.parts import locked
with locked(Path(sys.argv[1])):
    print("locked", flush=True)
    time.sleep(60)
"""


def test_who_waits_gets_the_lock_when_the_run_before_ends_and_takes_its_file_away(
    tmp_path: Path,
) -> None:
    out = tmp_path / "tags.parquet"
    waiting = threading.Event()

    def second() -> bool:
        waiting.set()
        with locked(out):
            return (tmp_path / "tags.parquet.lock").is_file()

    with ThreadPoolExecutor() as threads:
        with locked(out):
            after = threads.submit(second)
            waiting.wait()
            threading.Event().wait(0.2)  # it has opened the file by now, and waits
        assert after.result()
    assert not list(tmp_path.iterdir())


def test_many_that_come_and_go_are_never_refused(tmp_path: Path) -> None:
    out, inside, most = tmp_path / "tags.parquet", 0, 0

    def come_and_go(_: int) -> None:
        nonlocal inside, most
        with locked(out):
            inside += 1
            most = max(most, inside)
            inside -= 1

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(come_and_go, range(100)))
    assert most == 1 and not list(tmp_path.iterdir())


def test_a_process_forked_during_a_run_does_not_keep_its_lock(tmp_path: Path) -> None:
    out = tmp_path / "tags.parquet"
    read, write = os.pipe()
    with locked(out):
        child = os.fork()
        if child == 0:
            os.read(read, 1)  # until the end of the test
            os._exit(0)
    try:
        with locked(out):
            pass
    finally:
        os.write(write, b".")
        os.waitpid(child, 0)
        os.close(read)
        os.close(write)


def test_a_run_that_goes_on_refuses_another_and_one_that_was_killed_does_not(
    tmp_path: Path,
) -> None:
    out = tmp_path / "tags.parquet"
    with subprocess.Popen([sys.executable, "-c", HOLD, out], stdout=subprocess.PIPE) as running:
        assert running.stdout is not None and running.stdout.readline() == b"locked\n"
        with pytest.raises(FftagError, match="another fftag is writing"), locked(out):
            pass
        running.kill()
        running.wait()
        with locked(out):
            pass


def test_what_lies_where_the_lock_would_be_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "tags.parquet.lock").mkdir()
    with pytest.raises(FftagError, match="cannot write"), locked(tmp_path / "tags.parquet"):
        pass


def test_names_that_lead_to_one_output_share_its_lock(
    folder_of_photos: Callable[[int], Path], session_bundle: Bundle, tmp_path: Path
) -> None:
    """As `locked` is asked for the file that a link leads to."""
    out, link = tmp_path / "tags.parquet", tmp_path / "link.parquet"
    link.symlink_to(out)
    with locked(out), pytest.raises(FftagError, match="another fftag is writing"):
        tag(Folder(folder_of_photos(1)), link, session_bundle)


def test_a_file_where_the_parts_would_lie_is_one_line_before_anything_is_read(
    folder_of_photos: Callable[[int], Path], session_bundle: Bundle, tmp_path: Path
) -> None:
    (tmp_path / "tags.parquet.parts").touch()
    with reading() as decoded, pytest.raises(FftagError, match="cannot make the folder"):
        tag(Folder(folder_of_photos(1)), tmp_path / "tags.parquet", session_bundle)
    assert not decoded and (tmp_path / "tags.parquet.parts").is_file()


@pytest.mark.parametrize("there", [True, False])
def test_what_another_process_published_meanwhile_is_not_written_over(
    folder_of_photos: Callable[[int], Path],
    session_bundle: Bundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    there: bool,
) -> None:
    """As on a share where locks do not hold."""
    root, out, other = folder_of_photos(3), tmp_path / "tags.parquet", tmp_path / "other.parquet"
    options = TagOptions(backend="torch", workers=1)
    tag(Folder(root), other, session_bundle, options)
    content = other.read_bytes()
    if there:
        tag(Folder(root), out, session_bundle, options)

    def write_and_be_overtaken(path: Path, *rest: Any) -> None:
        write_rows(path, *rest)
        out.write_bytes(content)

    monkeypatch.setattr("fftag.tagging.publish.write_rows", write_and_be_overtaken)
    with pytest.raises(FftagError, match="written by another process meanwhile"):
        tag(Folder(root), out, session_bundle, options)
    assert out.read_bytes() == content
