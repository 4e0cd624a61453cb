"""What a tagging run did."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from fftag.base.errors import DONE, SOME_FILES_FAILED
from fftag.models.screen import VERDICTS


@dataclass
class TagSummary:
    """What a run did.

    Attributes:
        files: how many were listed, which is how many rows there are.
        statuses: rows by status.
        tags: photos by label.
        plan: how many files were `new`, `changed`, formerly failed and `retried`, or `unchanged`,
            and how many rows were `removed` as their file is gone.
        recognised: files that were read and, having the content of a photo with scores, not
            decoded.
        resumed: files that an earlier, interrupted process had already done.
        seconds: spent on the rest.
        left_out: seen but not listed, by reason.
        screen: see `fftag.tagging.tags_file.RunInfo`.
        verdicts: photos by what the screen says of them: `accept`, `review` or `reject`.
    """

    files: int
    out: str
    model_id: str
    plan: dict[str, int]
    left_out: dict[str, int] = field(default_factory=dict)
    resumed: int = 0
    recognised: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    tags: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    screen: dict[str, Any] | None = None
    verdicts: Counter[str] = field(default_factory=Counter)

    def counted(self, tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
        """The same rows of the result, as they are counted."""
        for table in tables:
            self.add(table)
            yield table

    def add(self, table: pa.Table) -> None:
        """Counts some rows of the result."""
        labels = pc.struct_field(pc.list_flatten(table["tags"]), "label")
        for counter, values in ((self.statuses, table["status"]), (self.tags, labels)):
            for pair in pc.value_counts(values).to_pylist():
                counter[pair["values"]] += pair["counts"]
        if self.screen is not None:
            scores, passed = table["apparel_score"], pc.sum(table["is_apparel"]).as_py() or 0
            least = pa.scalar(self.screen["review"], pa.float32())
            accepted = pc.sum(pc.greater_equal(scores, least)).as_py() or 0
            self.verdicts["accept"] += accepted
            self.verdicts["review"] += passed - accepted
            self.verdicts["reject"] += len(scores) - scores.null_count - passed

    def failures(self) -> str:
        """How many failed, by code."""
        return ", ".join(
            f"{count:,} {code}" for code, count in self.statuses.most_common() if code != "ok"
        )

    @property
    def failed(self) -> int:
        return self.files - self.statuses["ok"]

    @property
    def rate(self) -> float:
        """Files per second, of those done by this process."""
        return self.read / self.seconds if self.seconds else 0.0

    @property
    def read(self) -> int:
        """Files read by this process."""
        return self.files - self.plan["unchanged"] - self.resumed

    def exit_code(self, strict: bool) -> int:
        return SOME_FILES_FAILED if strict and self.failed else DONE

    def to_json(self) -> dict[str, Any]:
        return {
            "out": self.out,
            "files": self.files,
            "statuses": dict(self.statuses.most_common()),
            "failed": self.failed,
            "left_out": self.left_out,
            "plan": self.plan,
            "read": self.read,
            "recognised": self.recognised,
            "resumed": self.resumed,
            "seconds": round(self.seconds, 3),
            "files_per_second": round(self.rate, 2),
            "screen": dict(self.verdicts) if self.screen else None,
            "tags": dict(self.tags.most_common()),
            "model_id": self.model_id,
        }

    def lines(self) -> Iterator[str]:
        yield f"{self.files:,} files -> {self.out}"
        yield f"  tagged   {self.statuses['ok']:,}"
        yield f"  failed   {self.failed:,}" + (f" ({self.failures()})" if self.failed else "")
        for reason, count in self.left_out.items():
            yield f"  left out {count:,} {reason}"
        if self.resumed:
            yield f"  resumed  {self.resumed:,} were done by an earlier run"
        if self.plan["unchanged"] or self.plan["removed"]:
            yield "  of them  " + ", ".join(f"{n:,} {what}" for what, n in self.plan.items() if n)
        if self.recognised:
            yield f"  known    {self.recognised:,} by their content, and not decoded"
        yield f"  rate     {self.rate:,.1f} files/s ({self.read:,} in {self.seconds:,.1f} s)"
        if self.screen:
            accept, review, reject = (self.verdicts[one] for one in VERDICTS)
            yield (
                f"  apparel  {accept:,}; {review:,} more are to be looked at; {reject:,} show none "
                "and are not counted in reports"
            )
        top = ", ".join(f"{label} {count:,}" for label, count in self.tags.most_common(8))
        yield f"  top tags {top or 'none'}"
