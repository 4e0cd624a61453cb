"""The example jobs: their command lines, as each scheduler would run them."""

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from tagged import assert_same

from fftag.cli import app
from fftag.models.folder import Bundle
from fftag.photos.sources.local import Folder
from fftag.tagging.options import TagOptions
from fftag.tagging.tag import tag
from fftag.tagging.validate import validate

yaml = pytest.importorskip("yaml", reason="PyYAML comes with the extra ray")

Make = Callable[[int], Path]
JOBS = Path(__file__).parents[2] / "examples/jobs"
SHELL = Path("/bin/bash")
NOTED = '#!/bin/bash\nprintf "%s\\0" "$0" "$@" >> "$NOTED"; printf "\\0" >> "$NOTED"\n'


def accepted(command: list[str]) -> dict[str, Any]:
    """The options of a command line, as fftag's parser takes them."""
    program, name, *arguments = command
    assert Path(program).name == "fftag"
    group: Any = typer.main.get_command(app)
    parameters: dict[str, Any] = group.commands[name].make_context(name, list(arguments)).params
    return parameters


@pytest.fixture
def shell(tmp_path: Path) -> Callable[..., list[list[str]]]:
    """Runs a script with programs in place of `fftag` and `ray` that note how they are called."""
    bin_, noted = tmp_path / "bin", tmp_path / "noted"
    bin_.mkdir()
    for name in ("fftag", "ray"):
        (bin_ / name).write_text(NOTED)
        (bin_ / name).chmod(0o755)

    def run(*command: str, **variables: str) -> list[list[str]]:
        noted.write_text("")
        path = f"{bin_}{os.pathsep}{os.environ['PATH']}"
        environment = {"PATH": path, "NOTED": str(noted), **variables}
        subprocess.run([str(SHELL), *command], env=environment, check=True, timeout=30)
        calls = noted.read_text().split("\0\0")
        return [call.split("\0") for call in calls if call]

    return run


def container(file: str) -> tuple[dict[str, Any], list[str]]:
    """A Kubernetes Job's specification, and the arguments of its container's bash."""
    (job,) = yaml.safe_load_all((JOBS / file).read_text())
    (one,) = job["spec"]["template"]["spec"]["containers"]
    assert one["command"][0] == "bash"
    return job["spec"], [*one["command"][1:], *one["args"]]


def test_a_kubernetes_pod_tags_the_shard_of_its_index(
    shell: Callable[..., list[list[str]]],
) -> None:
    spec, arguments = container("kubernetes.yaml")
    assert spec["completionMode"] == "Indexed"
    shards = set()
    for index in range(spec["completions"]):
        (call,) = shell(*arguments, JOB_COMPLETION_INDEX=str(index))
        options = accepted(call)
        shards.add((options["shard"], options["out"].name))
    count = spec["completions"]
    assert shards == {(f"{n + 1}/{count}", f"shard-{n}.parquet") for n in range(count)}
    _, arguments = container("kubernetes-merge.yaml")
    (call,) = shell(*arguments)
    assert {path.name for path in accepted(call)["parts"]} == {name for _, name in shards}


def test_the_ray_jobs_are_commands_that_fftag_takes(
    shell: Callable[..., list[list[str]]],
) -> None:
    (job,) = yaml.safe_load_all((JOBS / "ray-job.yaml").read_text())
    subprocess.run([str(SHELL), "-n", str(JOBS / "ray-submit.sh")], check=True)
    (call,) = shell(str(JOBS / "ray-submit.sh"), RAY_API_SERVER_ADDRESS="http://head:8265")
    assert Path(call[0]).name == "ray" and call[1:3] == ["job", "submit"]
    for command in (shlex.split(job["spec"]["entrypoint"]), call[call.index("--") + 1 :]):
        assert accepted(command)["engine"] == "ray" and accepted(command)["address"] == "auto"
    groups = [job["spec"]["rayClusterSpec"]["headGroupSpec"]]
    groups += job["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    for group in groups:  # every machine sees photos, model and output under the same path
        (one,) = group["template"]["spec"]["containers"]
        assert {"name": "data", "mountPath": "/data"} in one["volumeMounts"]


@pytest.mark.slow
def test_the_jobs_write_what_one_run_writes(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path
) -> None:
    """Their own commands, on a small catalogue, with fewer shards."""
    root = folder_of_photos(14)
    (root / "broken.jpg").write_bytes(b"\xff\xd8\xffno photo")
    whole, out = tmp_path / "whole.parquet", tmp_path / "out"
    options = TagOptions(workers=1, max_failure_rate=1)
    tag(Folder(root), whole, session_bundle, options)
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    (bin_ / "fftag").write_text(f'#!/bin/bash\nexec "{sys.executable}" -m fftag "$@"\n')
    (bin_ / "fftag").chmod(0o755)
    environment = os.environ | {"PATH": f"{bin_}{os.pathsep}{os.environ['PATH']}"}
    out.mkdir()

    def run(command: str, **variables: str) -> None:
        for name, path in (("photos", root), ("models/best", session_bundle.path), ("out", out)):
            command = command.replace(f"/data/{name}", str(path))
        ended = subprocess.run(
            ["bash", "-euc", command],
            env=environment | variables,
            capture_output=True,
            text=True,
            timeout=100,
        )
        assert ended.returncode == 0, ended.stderr

    few = container("kubernetes.yaml")[1][-1].replace("))/8", "))/2")
    for index in range(2):
        run(few, JOB_COMPLETION_INDEX=str(index))
    run(container("kubernetes-merge.yaml")[1][-1].replace("{0..7}", "{0..1}"))
    assert validate(out / "tags.parquet", Folder(root)).valid
    assert_same(out / "tags.parquet", whole)
