"""The example jobs: their command lines, as each scheduler would run them."""

import ast
import os
import re
import shlex
import subprocess
import sys
import tomllib
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from tagged import assert_same, spoil

from fftag.bundle import Bundle
from fftag.cli import app
from fftag.sources import Folder
from fftag.tag import tag
from fftag.tag_options import TagOptions
from fftag.validate import validate

yaml = pytest.importorskip("yaml", reason="PyYAML comes with the extra ray")

Make = Callable[[int], Path]
ROOT = Path(__file__).parent.parent
JOBS = ROOT / "examples/jobs"
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


def operators(shards: int = 8) -> dict[str, Any]:
    """The tasks of the DAG, from a stand-in for Airflow: commands, and what each comes before."""
    tasks: dict[str, Any] = {}

    class BashOperator:
        def __init__(self, task_id: str, bash_command: str, **settings: Any) -> None:
            self.bash_command, self.settings, self.before = bash_command, settings, set[str]()
            self.task_id = task_id
            tasks[task_id] = self

        def __rshift__(self, other: "BashOperator") -> "BashOperator":
            self.before.add(other.task_id)
            return other

    class DAG:
        def __init__(self, name: str, **settings: Any) -> None:
            assert settings["catchup"] is False

        def __enter__(self) -> "DAG":
            return self

        def __exit__(self, *_: object) -> None:
            pass

    bash: Any = types.ModuleType("airflow.providers.standard.operators.bash")
    bash.BashOperator = BashOperator
    airflow: Any = types.ModuleType("airflow")
    airflow.DAG = DAG
    parts = ("airflow.providers", "airflow.providers.standard")
    modules = {name: types.ModuleType(name) for name in (*parts, f"{parts[1]}.operators")}
    source = (JOBS / "airflow_dag.py").read_text()
    assert "SHARDS = 8" in source
    source = source.replace("SHARDS = 8", f"SHARDS = {shards}")
    with pytest.MonkeyPatch.context() as patch:
        for name, module in {**modules, "airflow": airflow, bash.__name__: bash}.items():
            patch.setitem(sys.modules, name, module)
        exec(compile(ast.parse(source), "airflow_dag.py", "exec"), {})
    return tasks


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


def test_a_slurm_array_tags_each_shard_and_joins_them(
    shell: Callable[..., list[list[str]]],
) -> None:
    script = JOBS / "slurm.sh"
    subprocess.run([str(SHELL), "-n", str(script)], check=True)
    array = re.search(r"^#SBATCH --array=0-(\d+)$", script.read_text(), re.MULTILINE)
    assert array is not None
    outs = []
    for task in range(int(array[1]) + 1):
        (call,) = shell(str(script), SLURM_ARRAY_TASK_ID=str(task), SLURM_CPUS_PER_TASK="4")
        options = accepted(call)
        assert options["shard"] == f"{task + 1}/{int(array[1]) + 1}" and options["workers"] == 4
        outs.append(options["out"])
    (call,) = shell(str(script), MERGE="1")
    assert accepted(call)["parts"] == outs


def test_the_airflow_tasks_are_shards_then_a_merge_then_a_load() -> None:
    tasks = operators()
    shards = {name: task for name, task in tasks.items() if name.startswith("tag_")}
    options = [accepted(shlex.split(task.bash_command)) for task in shards.values()]
    assert [one["shard"] for one in options] == [f"{n}/8" for n in range(1, 9)]
    assert all(task.before == {"merge"} for task in shards.values())
    assert tasks["merge"].before == {"load"}
    merged = accepted(shlex.split(tasks["merge"].bash_command))
    assert merged["parts"] == [one["out"] for one in options]
    assert accepted(shlex.split(tasks["load"].bash_command))["tags"] == [str(merged["out"])]


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


def test_the_image_is_built_from_files_and_extras_that_are_there() -> None:
    lines = (JOBS / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    for line in lines:
        if line.startswith("COPY "):
            *sources, _ = line.split()[1:]
            assert all((ROOT / source).exists() for source in sources), line
    defaults = dict(line[4:].split("=") for line in lines if line.startswith("ARG "))
    extras = set(defaults["EXTRAS"].split(","))
    assert extras <= set(project["project"]["optional-dependencies"])
    assert 'ENTRYPOINT ["fftag"]' in lines and "fftag" in project["project"]["scripts"]
    needed = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    copied = {source for line in lines if line.startswith("COPY") for source in line.split()[1:-1]}
    assert {path.split("/")[0] for path in needed} | {"fftag"} <= copied


def commands_with(commands: list[str], **paths: Path) -> Iterator[str]:
    for command in commands:
        for name, path in paths.items():
            command = command.replace(f"/data/{name}", str(path))
        yield command


@pytest.mark.slow
def test_the_jobs_write_what_one_run_writes(
    folder_of_photos: Make, session_bundle: Bundle, tmp_path: Path
) -> None:
    """Each job's own commands, on a small catalogue, with fewer shards."""
    root = folder_of_photos(14)
    spoil(root)
    whole = tmp_path / "whole.parquet"
    options = TagOptions(workers=1, max_failure_rate=1)
    tag(Folder(root), whole, session_bundle, options)
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    (bin_ / "fftag").write_text(f'#!/bin/bash\nexec "{sys.executable}" -m fftag "$@"\n')
    (bin_ / "fftag").chmod(0o755)
    environment = os.environ | {"PATH": f"{bin_}{os.pathsep}{os.environ['PATH']}"}
    places = {"photos": root, "models/best": session_bundle.path}

    def run(command: list[str], **variables: str) -> None:
        ended = subprocess.run(
            command, env=environment | variables, capture_output=True, text=True, timeout=100
        )
        assert ended.returncode == 0, ended.stderr

    for name in ("kubernetes", "slurm", "airflow"):
        out = tmp_path / name
        out.mkdir()
        if name == "kubernetes":
            few = container("kubernetes.yaml")[1][-1].replace("))/8", "))/2")
            merge = container("kubernetes-merge.yaml")[1][-1].replace("{0..7}", "{0..1}")
            commands = list(commands_with([few, merge], **places, out=out))
            for index in range(2):
                run(["bash", "-euc", commands[0]], JOB_COMPLETION_INDEX=str(index))
            run(["bash", "-euc", commands[1]])
        elif name == "slurm":
            variables = {"SHARDS": "2", "PHOTOS": str(root), "OUT": str(out)}
            variables |= {"MODEL": str(session_bundle.path), "SLURM_CPUS_PER_TASK": "1"}
            for task in range(2):
                run([str(JOBS / "slurm.sh")], SLURM_ARRAY_TASK_ID=str(task), **variables)
            run([str(JOBS / "slurm.sh")], MERGE="1", **variables)
        else:
            tasks = operators(2)
            order = ("tag_1", "tag_2", "merge", "load")
            lines = [tasks[task].bash_command for task in order]
            for command in commands_with(lines, **places, out=out):
                run(["bash", "-c", command])
            assert (out / "catalog.duckdb").exists()
        assert validate(out / "tags.parquet", Folder(root)).valid
        assert_same(out / "tags.parquet", whole)
