"""The figures of an evaluation by how frequent labels are, and by label group."""

from typing import Any

import numpy as np
import pandas as pd

FREQUENCY = ("frequent", "middle", "rare")
RULE = (
    "labels ranked by their share of the training photos: the first third is frequent, "
    "the last third rare"
)


def by_frequency(per_label: pd.DataFrame, prevalence: np.ndarray) -> pd.DataFrame:
    """Figures of the frequent, the middle and the rare third of the labels.

    Where labels cannot be shared out evenly, the frequent third takes one more, then the middle.

    Args:
        per_label: of the `Evaluation`.
        prevalence: float [labels], share of the training photos with each label.

    Returns:
        A row for each third that has labels: `part`, `training_share_from` and
        `training_share_to`, and the columns of `by_group` from `labels` on.
    """
    order = np.argsort(-prevalence, kind="stable")
    rows = [
        {
            "part": part,
            "training_share_from": float(prevalence[members].min()),
            "training_share_to": float(prevalence[members].max()),
            **_figures(per_label.iloc[members]),
        }
        for part, members in zip(FREQUENCY, np.array_split(order, 3), strict=True)
        if len(members)
    ]
    return pd.DataFrame(rows)


def by_group(per_label: pd.DataFrame) -> pd.DataFrame:
    """Figures of each label group, in the order met.

    Returns:
        A row per group: `group`, `labels`, `labels_with_photos` (over which mAP is the mean),
        `support`, `mAP`, `macro_f1` (an undefined F1 counts as 0) and `micro_f1`. No rows where
        all labels are of one group.
    """
    named = dict.fromkeys(per_label["group"])
    if len(named) < 2:
        return pd.DataFrame()
    return pd.DataFrame(
        [
            {"group": group, **_figures(per_label[(per_label["group"] == group).to_numpy()])}
            for group in named
        ]
    )


def to_json(per_label: pd.DataFrame, prevalence: np.ndarray) -> dict[str, Any]:
    """`rule`, `by_frequency` and `by_group`: lists of rows, None where not defined."""
    tables = {
        "by_frequency": by_frequency(per_label, prevalence),
        "by_group": by_group(per_label),
    }
    return {"rule": RULE} | {
        name: [
            {str(key): None if value != value else value for key, value in row.items()}
            for row in table.astype(object).to_dict(orient="records")
        ]
        for name, table in tables.items()
    }


def _figures(part: pd.DataFrame) -> dict[str, Any]:
    tp, fp, fn = (int(part[name].sum()) for name in ("tp", "fp", "fn"))
    wrong_or_right = 2 * tp + fp + fn
    return {
        "labels": len(part),
        "labels_with_photos": int((part["support"] > 0).sum()),
        "support": int(part["support"].sum()),
        "mAP": float(part["ap"].mean()),
        "macro_f1": float(part["f1"].fillna(0).mean()),
        "micro_f1": 2 * tp / wrong_or_right if wrong_or_right else 0.0,
    }
