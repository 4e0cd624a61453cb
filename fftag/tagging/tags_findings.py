"""What is found wrong with a tags file: broken rules, counted, with examples."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from fftag.tagging.tags_rules import Rows

EXAMPLES = 3

RULES = {
    "columns": "the columns, their order, types and nullability are the documented ones",
    "metadata": "the metadata say of the run what is documented",
    "readable": "every row can be read",
    "null_value": "image, status, model_id and tagged_at are never null",
    "image_path": "image is a relative path, escaped",
    "order": "rows are sorted by the bytes of the path",
    "duplicate_image": "no image has two rows",
    "status": "status is one of the documented codes",
    "error": "error is one line, and null exactly where the status is ok, salvaged photos aside",
    "scores_null": "scores are null exactly where the row failed",
    "scores_value": "scores lie in 0 to 1",
    "tags_null": "tags are null exactly where the row failed",
    "tags_value": "tags are the labels at or above their threshold, best first",
    "apparel": "is_apparel and apparel_score are given or null together",
    "apparel_verdict": "both are given for every ok row where the model has a screen, else for "
    "none, and is_apparel tells which scores reach its threshold",
    "dimensions": "width and height are positive, and null exactly where the row failed",
    "format": "format is a documented one, and null exactly where the row failed",
    "file_size": "file_size is never null or negative, nor zero where the status is ok",
    "content_sha256": "content_sha256 is a digest, given where the file was read whole",
    "model_id": "model_id is the metadata's",
    "time": "modified_at, taken_at and tagged_at lie in the years 1 to 9999",
    "source_missing": "every image is a file of the source, unless it has vanished",
    "source_extra": "every file of the source has its row",
    "source_size": "file_size is the size of the source's file",
}


@dataclass
class Problem:
    """A broken rule.

    Attributes:
        rule: its name, a key of `RULES`.
        meaning: what the rule asks for.
        count: how often it is broken.
        examples: up to three times, in words.
    """

    rule: str
    meaning: str
    count: int = 0
    examples: list[str] = field(default_factory=list)


class Findings:
    """Broken rules, collected over the batches."""

    def __init__(self) -> None:
        self.problems: dict[str, Problem] = {}
        self.unchecked: set[str] = set()

    def add(self, rule: str, count: int, examples: Sequence[str]) -> None:
        if not count:
            return
        problem = self.problems.setdefault(rule, Problem(rule, RULES[rule]))
        problem.count += count
        problem.examples += list(examples)[: EXAMPLES - len(problem.examples)]

    def add_rows(
        self, rule: str, broken: np.ndarray, start: int, rows: Rows, says: Callable[[int], str]
    ) -> None:
        """Adds rows of a batch that begins at row `start` of the file."""
        first = [int(row) for row in np.flatnonzero(broken)[:EXAMPLES]]
        named = "image" in rows.batch.schema.names
        examples = [
            f"row {start + row}" + (f" {rows['image'][row].as_py()!r}" if named else "")
            for row in first
        ]
        self.add(
            rule,
            int(broken.sum()),
            [f"{where}: {says(row)}" for where, row in zip(examples, first, strict=True)],
        )
