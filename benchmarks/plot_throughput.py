"""The table that throughput.py printed, as bars.

python benchmarks/plot_throughput.py table.md --out throughput.png
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt

OURS, THEIRS = "#1f5a96", "#b9bec6"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    models: dict[str, list[tuple[str, float, float]]] = {}
    for line in options.table.read_text(encoding="utf-8").splitlines()[2:]:
        model, way, rate, ratio, *_ = (cell.strip() for cell in line.strip("| ").split("|"))
        models.setdefault(model, []).append((way, float(rate), float(ratio)))
    figure, axes = plt.subplots(1, len(models), figsize=(11, 3.4), layout="constrained")
    for panel, (model, ways) in zip(axes, models.items(), strict=True):
        ways = ways[::-1]
        names = [way for way, _, _ in ways]
        rates = [rate for _, rate, _ in ways]
        colours = [OURS if way.startswith("fftag") else THEIRS for way in names]
        bars = panel.barh(names, rates, color=colours)
        labels = [f"{rate:.0f}   ({ratio:.1f}x)" for _, rate, ratio in ways]
        panel.bar_label(bars, labels, padding=3, fontsize=8)
        panel.set(title=model, xlabel="photos per second", xlim=(0, 1.35 * max(rates)))
        panel.tick_params(axis="y", labelsize=8)
        panel.spines[["top", "right"]].set_visible(False)
    figure.savefig(options.out, dpi=150)


if __name__ == "__main__":
    main()
