"""`make demo`, whole: what was planted in the example catalogue is found by the reports."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fftag.reports.ask import run_report

REPOSITORY = Path(__file__).parents[2]
sys.path.append(str(REPOSITORY / "benchmarks"))
from pointing import play  # noqa: E402


def rows(db: Path, name: str, **given: str) -> pd.DataFrame:
    return run_report(db, name, given).table


def finds_what_needs_no_model(db: Path, facts: dict) -> None:
    """Damaged files are counted exactly; copies too, but for those that the screen turned down."""
    defects = facts["defects"]
    copies = (rows(db, "duplicates")["files"] - 1).sum()
    assert 0.8 * defects["duplicate"] <= copies <= defects["duplicate"]
    failures = rows(db, "failures").set_index("status")["files"]
    assert failures["unsupported"] == defects["not_an_image"]
    assert failures.sum() == sum(defects[name] for name in ("not_an_image", "corrupt", "truncated"))
    (coverage,) = rows(db, "coverage").to_dict("records")
    assert coverage["without_apparel"] < 0.04 * coverage["files"]
    assert 0.97 * facts["products"] < coverage["products_with_photo"] <= facts["products"]


def finds_weakly_what_is_planted_strongly(db: Path, facts: dict) -> None:
    """Brand, pair and seasons are there, fainter than in truth."""
    brand, label = facts["brand"]["brand"], facts["brand"]["label"]
    strong = rows(db, "brands")
    own = strong[strong["brand"] == brand].iloc[0]
    assert own["label"] == label and own["low"] > 1
    assert (
        own["share"] - own["others"] < facts["brand"]["share"] - facts["brand"]["share_of_others"]
    )
    # Whether it is told from chance over all labels depends on the processor that trained.
    assert rows(db, "gaps", ours=brand).set_index("label").loc[label, "high"] < 0

    pairs = rows(db, "pairs").set_index(["label_a", "label_b"])
    lift = pairs.loc[tuple(sorted(facts["pair"]["labels"]))]
    assert lift["low"] > 1.5 and lift["high"] < facts["pair"]["lift"]

    seasons = rows(db, "seasonality").set_index("label")
    for fact in facts["seasonal"]:
        months = {f"{pd.Timestamp(2001, month, 1):%b}" for month in fact["peak_months"]}
        season = seasons.loc[fact["label"]]
        assert set(season["peak"].split(" to ")) & months
        assert season["low"] > 0
        assert season["difference"] < fact["share_in_peak"] - fact["share_elsewhere"]
    prices = rows(db, "prices").set_index("label")
    assert prices.loc["coat", "ratio"] > 1.5 and prices["ratio"].idxmax() == "coat"


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
    peaks = play(demo / "model", demo, 150)
    assert len(peaks["garments"][0]) + len(peaks["accessories"][0]) > 50
    assert len(peaks["parts"][0]) > 50
    for hits, chance in peaks.values():
        assert np.mean(hits) > 2 * np.mean(chance)
    finds_what_needs_no_model(demo / "catalog.duckdb", facts)
    finds_weakly_what_is_planted_strongly(demo / "catalog.duckdb", facts)
    assert (demo / "trend.png").read_bytes().startswith(b"\x89PNG")
