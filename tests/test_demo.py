"""`make demo`, whole: what was planted in the example catalogue is found by the reports."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fftag.report import run_report

REPOSITORY = Path(__file__).parents[1]
sys.path.append(str(REPOSITORY / "benchmarks"))
from pointing import play  # noqa: E402


@pytest.mark.slow
def test_the_demo_finds_the_planted_trends_and_beats_chance(tmp_path: Path) -> None:
    demo = tmp_path / "demo"
    subprocess.run(["make", "demo", f"DEMO={demo}"], cwd=REPOSITORY, check=True)
    measured = json.loads((demo / "model/evaluation-test/metrics.json").read_text())
    chance = measured["baselines"]["chance"]["overall"]
    constant = measured["baselines"]["best_constant"]["overall"]
    assert measured["overall"]["mAP"] > chance["mAP"] + 0.2
    assert measured["overall"]["micro_f1"] > constant["micro_f1"] + 0.05

    facts = json.loads((demo / "facts.json").read_text())
    planted = {
        direction: {fact["label"] for fact in facts[direction]}
        for direction in ("rising", "falling")
    }
    trend = run_report(demo / "catalog.duckdb", "trend").table
    # One label may stand between: what comes with a planted one, or is confused with it.
    assert planted["rising"] < set(trend["label"].head(3))
    assert planted["falling"] < set(trend["label"].tail(3))
    verdict = trend.set_index("label")["verdict"]
    for direction, labels in planted.items():
        assert (verdict[sorted(labels)] == direction).all()
    for hits, chance in play(demo / "model", demo, 150).values():
        assert len(hits) > 50 and np.mean(hits) > 2 * np.mean(chance)
    assert (demo / "trend.png").read_bytes().startswith(b"\x89PNG")
