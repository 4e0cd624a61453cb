"""Is everything here that fftag needs? Versions, devices, codecs, and a small tagging run."""

import importlib.metadata
import io
import os
import platform
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fftag import __version__
from fftag.base.errors import FftagError
from fftag.base.machine import cores, memory_limit

PACKAGES = ("torch", "torchvision", "duckdb", "pyarrow", "pandas", "pillow", "numpy")
REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+).*;.*\bextra\s*==\s*['\"]([^'\"]+)['\"]")
GIB = 2**30
COLOURS = {"red": (200, 40, 40), "green": (40, 170, 60), "blue": (40, 60, 200)}
REINSTALL = "pip install --upgrade --force-reinstall"
ANEW = "install fftag anew, with pip install -c constraints.txt . in its folder"


@dataclass(frozen=True)
class Check:
    """One thing looked at.

    Attributes:
        section: such as `versions`.
        name: what was looked at.
        value: what was found; `unknown (why)` where that cannot be told.
        problem: what is wrong and how to mend it, in one line; None where all is well.
    """

    section: str
    name: str
    value: str
    problem: str | None = None


@dataclass(frozen=True)
class Diagnosis:
    """All that was looked at, in order."""

    checks: list[Check]

    @property
    def problems(self) -> list[str]:
        return [check.problem for check in self.checks if check.problem is not None]

    @property
    def healthy(self) -> bool:
        return not self.problems

    def to_json(self) -> dict[str, Any]:
        return {
            "healthy": self.healthy,
            "checks": [asdict(check) for check in self.checks],
            "problems": self.problems,
        }

    def lines(self) -> list[str]:
        """For a person: section by section, then a line per problem."""
        lines, section = [], None
        for check in self.checks:
            if check.section != section:
                section = check.section
                lines.append(section)
            lines.append(f"  {check.name:14} {check.value}")
        lines += [f"problem: {problem}" for problem in self.problems]
        return lines if self.problems else [*lines, "all is well"]


def diagnose() -> Diagnosis:
    """Looks at everything; what goes wrong is a problem of the diagnosis, never an exception."""
    looks: tuple[Callable[[], Iterator[Check]], ...] = (
        _versions,
        _devices,
        _machine,
        _codecs,
        _extras,
        _tag_run,
    )
    checks: list[Check] = []
    for look in looks:
        try:
            checks += look()
        except Exception as error:
            name = look.__name__.strip("_").replace("_", " ")
            fix = f"{name} cannot be looked at ({_said(error)}): {ANEW}"
            checks.append(Check(name, "all", f"unknown ({_said(error)})", fix))
    return Diagnosis(checks)


def _said(error: BaseException) -> str:
    """An error in one line."""
    text = " ".join(str(error).split())[:200]
    return text if isinstance(error, FftagError) else f"{type(error).__name__}: {text}"


def _versions() -> Iterator[Check]:
    yield Check("versions", "fftag", __version__)
    yield Check("versions", "python", f"{platform.python_version()} on {platform.platform()}")
    for package in PACKAGES:
        try:
            version = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            problem = f"{package} is not installed: pip install {package}"
            yield Check("versions", package, "not installed", problem)
            continue
        yield Check("versions", package, version)


def _devices() -> Iterator[Check]:
    try:
        import torch

        from fftag.models.devices import choose_device
        from fftag.models.scorers import choose_arithmetic
    except Exception as error:
        fix = f"torch does not load ({_said(error)}): {REINSTALL} torch torchvision"
        yield Check("devices", "torch", f"unknown ({_said(error)})", fix)
        return
    cuda = [torch.cuda.get_device_properties(one) for one in range(torch.cuda.device_count())]
    names = [f"{one.name}, {one.total_memory / GIB:.0f} GiB" for one in cuda]
    built = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built without CUDA"
    yield Check("devices", "cuda", "; ".join(names) or f"none (torch is {built})")
    yield Check("devices", "mps", "yes" if torch.backends.mps.is_available() else "none")
    device = choose_device("auto")
    try:
        torch.ones(2, device=device.torch).sum().item()
        problem = None
    except Exception as error:
        problem = f"device {device.type} does not work ({_said(error)}): set FFTAG_DEVICE=cpu"
    yield Check("devices", "auto device", device.type, problem)
    fast = choose_arithmetic("fast", "auto", device)
    yield Check("devices", "tier fast", f"{fast.backend} {fast.precision}")


def _machine() -> Iterator[Check]:
    there = os.cpu_count()
    told = "unknown (the system does not tell)" if there is None else str(there)
    if there is not None and cores() != there:
        told += f", {cores()} of them for this process"
    yield Check("machine", "cpu cores", told)
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        told = f"{memory / GIB:.1f} GiB"
    except (OSError, ValueError) as error:
        told = f"unknown ({error})"
    yield Check("machine", "memory", told)
    yield Check("machine", "memory limit", _memory_limit())


def _memory_limit() -> str:
    try:
        limit = memory_limit()
    except OSError as error:
        return f"unknown ({error.strerror}: {error.filename})"
    except LookupError as error:
        return f"unknown ({error})"
    return "none" if limit is None else f"{limit / GIB:.1f} GiB"


def _codecs() -> Iterator[Check]:
    """Each format is written by Pillow and read back the way that photos are."""
    try:
        from PIL import Image

        from fftag.photos.decode import InputSpec, Photo, decode
        from fftag.photos.image_formats import ALLOWED
    except Exception as error:
        fix = f"Pillow does not load ({_said(error)}): {REINSTALL} pillow"
        yield Check("codecs", "pillow", f"unknown ({_said(error)})", fix)
        return
    for codec in ALLOWED:
        try:
            file = io.BytesIO()
            Image.new("RGB", (16, 16), COLOURS["red"]).save(file, codec)
            photo = decode(file.getvalue(), InputSpec(8, 8))
            why = None if isinstance(photo, Photo) else photo.error
        except Exception as error:
            why = _said(error)
        problem = f"Pillow has no {codec} ({why}): {REINSTALL} pillow" if why else None
        yield Check("codecs", codec.lower(), f"no ({why})" if why else "yes", problem)


def _extras() -> Iterator[Check]:
    """Optional groups of packages; that one is missing is no problem."""
    try:
        about = importlib.metadata.metadata("fftag")
    except importlib.metadata.PackageNotFoundError:
        yield Check("extras", "all", "unknown (fftag is not installed as a package)")
        return
    matches = [REQUIREMENT.match(one) for one in importlib.metadata.requires("fftag") or ()]
    for extra in sorted(about.get_all("Provides-Extra") or ()):
        wanted = [match[1] for match in matches if match and match[2] == extra]
        missing = [package for package in wanted if not _is_installed(package)]
        told = f"not installed: pip install {' '.join(missing)}"
        yield Check("extras", extra, told if missing else "installed")


def _is_installed(package: str) -> bool:
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _tag_run() -> Iterator[Check]:
    """Tags a few photos as `fftag tag` does; when that fails, tries what may be the reason."""
    why = ""
    for device, fix in (("auto", ""), ("cpu", "the device fails: set FFTAG_DEVICE=cpu")):
        started = time.monotonic()
        try:
            told = _tag_a_few(device)
        except Exception as error:
            why = why or _said(error)
            continue
        took = f"{told} in {time.monotonic() - started:.1f} s"
        if not fix:
            yield Check("a small run", "tag", f"works: {took}")
        else:
            only = f"fails ({why}); works with device {device}"
            yield Check("a small run", "tag", only, f"tagging fails ({why}): {fix}")
        return
    yield Check("a small run", "tag", f"fails ({why})", f"tagging fails ({why}): {ANEW}")


def _tag_a_few(device: str) -> str:
    """Six photos and an empty file, drawn, tagged by a random model, and validated.

    Returns:
        What was done, in words.

    Raises:
        FftagError: the result is not what it should be.
    """
    from fftag.photos.sources.local import Folder
    from fftag.tagging.options import TagOptions
    from fftag.tagging.tag import tag
    from fftag.tagging.validate import validate

    with tempfile.TemporaryDirectory() as folder:
        photos, out = Path(folder) / "photos", Path(folder) / "tags.parquet"
        _draw(photos)
        options = TagOptions(batch_size=2, workers=2, device=device)
        summary = tag(Folder(photos), out, _random_model(Path(folder) / "model"), options)
        if summary.statuses != {"ok": 6, "unreadable": 1}:
            raise FftagError(f"of six good photos and an empty one: {dict(summary.statuses)}")
        result = validate(out, Folder(photos))
        if not result.valid:
            raise FftagError(f"the tags file is not valid ({result.broken()})")
    return "6 photos and an empty file tagged with 2 workers, the result is valid,"


def _draw(folder: Path) -> None:
    from PIL import Image

    folder.mkdir()
    (folder / "empty.jpg").write_bytes(b"")
    for name, colour in COLOURS.items():
        for ending in ("jpg", "png"):
            Image.new("RGB", (60, 80), colour).save(folder / f"{name}.{ending}")


def _random_model(folder: Path) -> Any:
    from fftag.models.architectures import factory
    from fftag.models.folder import ModelConfig, save_bundle
    from fftag.models.labels import LabelSet
    from fftag.photos.decode import InputSpec

    labels, spec = LabelSet.of(COLOURS), InputSpec(32, 24)
    config = ModelConfig(
        architecture="cnn",
        labels=labels,
        thresholds=(0.5,) * len(labels),
        input=spec,
        prevalence=(0.5,) * len(labels),
        validation=({"tp": 0, "fp": 0, "fn": 0, "tn": 0},) * len(labels),
        recipe={},
        data_fingerprint="0" * 64,
        versions={"fftag": __version__},
    )
    return save_bundle(folder, config, factory.build("cnn", len(labels), spec).state_dict())
