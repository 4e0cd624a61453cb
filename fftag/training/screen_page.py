"""The section on the apparel screen of an evaluation's page."""

import pandas as pd

from fftag.base.page import Section
from fftag.training.screen_evaluation import FIGURES, ScreenFindings, in_percent

HEADINGS = ("AUROC (95 %)", "average precision (95 %)", "let through at 95 % kept (95 %)")


def screen_section(findings: ScreenFindings) -> Section:
    """Each way of telling photos without apparel apart: its figures, its ROC curve, its scores."""
    content = findings.content
    table = pd.DataFrame(
        {"method": [one.title for one in findings.measured]}
        | {
            heading: [in_percent(one.figures[name]) for one in findings.measured]
            for name, heading in zip(FIGURES, HEADINGS, strict=True)
        }
    )
    text = [
        f"{content['apparel_photos']:,} photos of split {content['split']} against "
        f"{content['photos_without_apparel']:,} that show no apparel, in %. AUROC: how often a "
        "photo without apparel lies farther out than one with it. Average precision: of finding "
        "photos without apparel. Let through: the false-positive rate, the share of them that "
        "passes where 95 % of the apparel photos do; lower is better.",
        *_verdicts(findings),
    ]
    if content["backbone"]:
        text.append(
            f"Rows with {content['backbone']['architecture']} tell photos by the embeddings of "
            f"that network (weights {content['backbone']['weights']}), not by the model's."
        )
    captions = {
        "screen.png": "ROC curves.",
        "screen_scores.png": "Where both kinds of photo lie. By distance, farther right is less "
        "like apparel, and 95 % of the apparel photos lie left of the dotted line. Of the "
        "model's own screen the apparel_score is drawn: farther left is less like apparel.",
    }
    images = [(findings.plots[name], caption) for name, caption in captions.items()]
    return Section("Apparel or not", text, images, table, right=frozenset(HEADINGS))


def _verdicts(findings: ScreenFindings) -> list[str]:
    verdicts = findings.content["verdicts"]
    if verdicts is None or findings.screen is None:
        return ["The model has no screen: `fftag screen` gives it one."]
    sides = [
        f"{name}: " + ", ".join(f"{verdict} {count:,}" for verdict, count in counts.items())
        for name, counts in verdicts.items()
    ]
    return [
        f"With the model's thresholds (reject below {findings.screen.reject:g}, review below "
        f"{findings.screen.review:g}): {'; '.join(sides)}."
    ]
