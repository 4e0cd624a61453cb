"""What the app is started with, handed to its pages in one environment variable."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

VARIABLE = "FFTAG_APP"
FOLDER = "FFTAG_APP_FOLDER"  # that relative paths start from
RUNS = Path("runs")


@dataclass(frozen=True)
class Settings:
    """What `fftag app` was given.

    Attributes:
        model: model folder to offer first; None for those under `runs` alone.
        db: DuckDB file of the catalogue.
        photos: folders of the photos by source; under the name `""`, of every other source.
        data: manifest to look at first.
        runs: folder that model folders lie in.
        local: whether only this machine reaches the app. Then a page may be asked for any path.
    """

    model: Path | None = None
    db: Path | None = None
    photos: Mapping[str, Path] | None = None
    data: Path | None = None
    runs: Path = RUNS
    local: bool = True

    def to_json(self) -> str:
        plain: dict[str, Any] = {
            name: None if value is None else str(value)
            for name, value in vars(self).items()
            if name not in ("photos", "local")
        }
        photos = {source: str(path) for source, path in (self.photos or {}).items()}
        return json.dumps(plain | {"photos": photos, "local": self.local})

    @classmethod
    def from_environment(cls) -> "Settings":
        """Those of the app that runs; the defaults where there is none."""
        given = json.loads(os.environ.get(VARIABLE, "{}"))

        def path(name: str) -> Path | None:
            return Path(given[name]) if given.get(name) else None

        return cls(
            model=path("model"),
            db=path("db"),
            photos={source: Path(folder) for source, folder in given.get("photos", {}).items()},
            data=path("data"),
            runs=path("runs") or RUNS,
            local=given.get("local", True),
        )
