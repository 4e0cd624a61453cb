"""The download scripts, run as they are, against a stand-in for Kaggle and a local server."""

import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

TRAIN = Path(__file__).parents[2] / "train"
COMPETITION = "imaterialist-fashion-2019-FGVC6"


def run(script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(TRAIN / script), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | environment,
    )


def zip_of(path: Path, members: dict[str, bytes]) -> bytes:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path.read_bytes()


class Kaggle:
    """A stand-in for the client, which notes how it was called."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.home, self.bin, self.calls = root / "home", root / "bin", root / "calls"
        self.home.mkdir()
        self.bin.mkdir()

    def client(self, script: str) -> None:
        path = self.bin / "kaggle"
        path.write_text(f'#!/bin/sh\necho "$@" >> "{self.calls}"\n{script}\n')
        path.chmod(0o755)

    def token(self) -> None:
        (self.home / ".kaggle").mkdir()
        (self.home / ".kaggle/kaggle.json").write_text("{}")

    def download(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": f"{self.bin}:/usr/bin:/bin",
            "HOME": str(self.home),
            "XDG_CONFIG_HOME": "",
            "KAGGLE_CONFIG_DIR": "",
            "KAGGLE_API_TOKEN": "",
            "KAGGLE_USERNAME": "",
        }
        folder = str(self.root / "out")
        options = ("--need-gb", "0", *arguments)
        return run("download_imaterialist.py", "2019", folder, *options, **environment)


@pytest.fixture
def kaggle(tmp_path: Path) -> Kaggle:
    return Kaggle(tmp_path)


def test_without_client_or_token_it_says_what_to_do(kaggle: Kaggle) -> None:
    done = kaggle.download()
    assert done.returncode == 1
    assert "pip install 'fftag[kaggle]'" in done.stderr
    kaggle.client("exit 0")
    done = kaggle.download()
    assert done.returncode == 1
    assert "there is no Kaggle token" in done.stderr
    assert not kaggle.calls.exists()


@pytest.mark.parametrize("code", [0, 1])
def test_refused_for_its_rules_it_says_where_to_accept_them(kaggle: Kaggle, code: int) -> None:
    kaggle.token()
    kaggle.client(f"echo '403 - Forbidden'; exit {code}")
    done = kaggle.download()
    assert done.returncode == 1
    assert f"https://www.kaggle.com/c/{COMPETITION}/rules" in done.stderr
    assert "Nothing can accept them for you" in done.stderr


def test_too_little_disk_is_said_before_the_download(kaggle: Kaggle) -> None:
    kaggle.token()
    kaggle.client("exit 0")
    done = kaggle.download("--need-gb", "1e9")
    assert done.returncode == 1
    assert "make room" in done.stderr
    assert not kaggle.calls.exists()


def test_what_training_uses_is_unpacked_and_a_second_run_downloads_nothing(
    kaggle: Kaggle, tmp_path: Path
) -> None:
    photos = tmp_path / "inner.zip"
    members = {
        "train.csv": b"ImageId,EncodedPixels,Height,Width,ClassId\n",
        "label_descriptions.json": b"{}",
        "train.zip": zip_of(photos, {"a.jpg": b"photo"}),
        "test/z.jpg": b"unlabelled",
    }
    zip_of(tmp_path / "ready.zip", members)
    kaggle.token()
    kaggle.client(f'cp "{tmp_path}/ready.zip" "$6/{COMPETITION}.zip"')
    done = kaggle.download()
    assert done.returncode == 0, done.stderr
    out = tmp_path / "out"
    assert (out / "train/a.jpg").read_bytes() == b"photo"
    assert sorted(path.name for path in out.iterdir() if not path.name.startswith(".")) == [
        "label_descriptions.json",
        "train",
        "train.csv",
    ]
    assert kaggle.calls.read_text() == f"competitions download -c {COMPETITION} -p {out}\n"
    assert "fftag data import imaterialist2019" in done.stderr
    assert kaggle.download().returncode == 0
    assert kaggle.calls.read_text().count("\n") == 1


def test_a_damaged_archive_is_named(kaggle: Kaggle) -> None:
    kaggle.token()
    kaggle.client(f'echo nonsense > "$6/{COMPETITION}.zip"')
    done = kaggle.download()
    assert done.returncode == 1
    assert "is damaged" in done.stderr
    assert "Traceback" not in done.stderr


class Server:
    """Serves files with byte ranges; breaks off the first answer for the names in `break_off`."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files, self.break_off = files, set[str]()
        self.asked: list[tuple[str, str | None]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                wanted = self.headers.get("Range")
                outer.asked.append((self.path, wanted))
                content = outer.files.get(self.path)
                if content is None:
                    self.send_error(404)
                    return
                start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
                if start >= len(content) > 0:
                    self.send_response(416)
                    self.send_header("Content-Range", f"bytes */{len(content)}")
                    self.end_headers()
                    return
                self.send_response(206 if wanted else 200)
                self.send_header("Content-Length", str(len(content) - start))
                self.end_headers()
                part = content[start:]
                if self.path in outer.break_off:
                    outer.break_off.remove(self.path)
                    part = part[: len(part) // 2]
                self.wfile.write(part)

            def log_message(self, *arguments: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        self.address = f"http://127.0.0.1:{self.http.server_port}"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    served = Server(
        {
            "/annotations/instances_attributes_train2020.json": b'{"train": 1}',
            "/annotations/instances_attributes_val2020.json": b'{"val": 1}',
            "/images/train2020.zip": zip_of(tmp_path / "t.zip", {"train/a.jpg": b"a" * 5000}),
            "/images/val_test2020.zip": zip_of(tmp_path / "v.zip", {"test/b.jpg": b"b"}),
        }
    )
    yield served
    served.http.shutdown()
    served.http.server_close()


def fashionpedia(server: Server, folder: Path) -> subprocess.CompletedProcess[str]:
    options = ("--address", server.address, "--need-gb", "0")
    return run("download_fashionpedia.py", str(folder), *options)


def test_fashionpedia_is_fetched_resumed_and_unpacked(server: Server, tmp_path: Path) -> None:
    server.break_off = {"/images/train2020.zip"}
    done = fashionpedia(server, tmp_path / "out")
    assert done.returncode == 0, done.stderr
    half = len(server.files["/images/train2020.zip"]) // 2
    assert ("/images/train2020.zip", f"bytes={half}-") in server.asked
    assert (tmp_path / "out/train/a.jpg").read_bytes() == b"a" * 5000
    assert (tmp_path / "out/test/b.jpg").read_bytes() == b"b"
    assert (tmp_path / "out/instances_attributes_val2020.json").read_bytes() == b'{"val": 1}'
    assert not list((tmp_path / "out").glob("*.zip"))

    server.asked.clear()
    assert fashionpedia(server, tmp_path / "out").returncode == 0
    assert server.asked == []


def test_a_part_that_is_the_whole_file_is_taken_as_it_is(server: Server, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    name = "instances_attributes_train2020.json"
    (out / f"{name}.part").write_bytes(server.files[f"/annotations/{name}"])
    assert fashionpedia(server, out).returncode == 0
    assert (out / name).read_bytes() == server.files[f"/annotations/{name}"]


def test_an_address_without_the_file_is_one_clear_line(server: Server, tmp_path: Path) -> None:
    server.files.clear()
    done = fashionpedia(server, tmp_path / "out")
    assert done.returncode == 1
    assert "cannot be had (404" in done.stderr
    assert "Traceback" not in done.stderr
