"""The review round trip: a queue to look at, and answers taken back."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd

from fftag.base.atomic import refuse_other, replacing
from fftag.base.errors import FftagError
from fftag.base.tables import FIRST_ROW, examples, need_columns, read_table
from fftag.catalogue.corrections import gather, keep
from fftag.catalogue.database import altering, asking
from fftag.catalogue.review_sheet import defused, fused, unanswered, yes_or_no
from fftag.reports.ask import Filters, run_report

KEYS = ["image", "source", "label", "tagged", "correct"]
ASKED = ("image", "source", "sku", "label", "tagged", "score", "threshold", "said_before")
CONTENT = "content_sha256"
DIGEST = re.compile("[0-9a-f]{64}")
UNANSWERED = unanswered((*ASKED, "correct", CONTENT))
NONE = "none"  # of the labels of its group
NAMED = 3  # of what is left out, so many are named


@dataclass(frozen=True)
class Answered:
    """What a reviewer said of one label of one photo.

    Attributes:
        image: the photo's path.
        source: of it.
        label: asked for.
        tagged: whether the model gave it.
        shown: whether the photo shows it; None withdraws what was said before.
        content: SHA-256 of the file that was looked at; None for the one that lies there now.
        whole_group: whether this, which is then no yes, is said of every label of its group: the
            photo shows none of these.
    """

    image: str
    source: str
    label: str
    tagged: bool
    shown: bool | None
    content: str | None = None
    whole_group: bool = False


@dataclass(frozen=True)
class Imported:
    """What an import brought.

    Attributes:
        answers: how many there were, without those that withdraw one and those left out.
        unanswered: asked and left open.
        changed: answers that are not what the model said.
        orphaned: answers about a content that no photo of the catalogue has now; they are kept.
        left_out: what could not be taken, a line for each reason.
        measured: one row per label: `label`, `tp`, `fp`, `fn`, `precision`, `precision_low`,
            `precision_high`, and `recall` likewise; None where there is nothing to tell it from.
    """

    answers: int
    unanswered: int
    changed: int
    orphaned: int
    left_out: list[str]
    measured: list[dict[str, Any]]

    def to_json(self) -> dict[str, Any]:
        return vars(self)

    def lines(self) -> list[str]:
        """It for a person."""
        lines = [
            f"{self.answers:,} answers ({self.changed:,} correct the model), "
            f"{self.unanswered:,} left open",
            *(f"left out: {one}" for one in self.left_out),
        ]
        if self.orphaned:
            lines.append(
                f"{self.orphaned:,} answers are of photos that are not there any more, or have "
                "changed: they are kept"
            )
        for row in self.measured:
            figures = [
                f"{name} {row[name]:.1%} ({row[f'{name}_low']:.1%} to {row[f'{name}_high']:.1%})"
                for name in ("precision", "recall")
                if row[name] is not None
            ]
            lines.append(f"  {row['label']:30} {', '.join(figures) or 'nothing to measure'}")
        lines.append(
            "Measured on the photos reviewed. A queue of unsure photos is harder than the "
            "catalogue: for figures of the catalogue, review photos drawn at random."
        )
        return lines


def export_queue(
    db: Path, out: Path, per_label: int, rows: int, filters: Filters = Filters()
) -> int:
    """Writes the report `review` as a sheet with room for answers; returns how many there are.

    Args:
        db: the catalogue.
        out: a `.csv`.
        per_label: photos of each label.
        rows: in all.
        filters: which labels, and which products' photos.

    Raises:
        FftagError: nothing is left to review; or the file cannot be written, or is there and is
            another, or has answers.
    """
    if out.suffix.lower() != ".csv":
        raise FftagError(f"{out}: name it .csv, which spreadsheets open")
    refuse_other(out, UNANSWERED)
    asked = {"per_label": str(per_label), "rows": str(rows)}
    queue = run_report(db, "review", asked, filters).table
    if queue.empty:
        raise FftagError("nothing is left to review: ask for more photos with --per-label")
    with asking(db) as connection:
        connection.register("queue", queue[["image", "source"]])
        contents = connection.execute(
            "select image, source, content_sha256 from counted_photos semi join queue "
            "using (image, source)"
        ).df()
    queue = queue.merge(contents, how="left", on=["image", "source"])
    sheet = queue[list(ASKED)].copy()
    for column in ("image", "source", "sku", "label"):
        sheet[column] = [
            defused(value) if isinstance(value, str) else "" for value in sheet[column]
        ]
    for column in ("tagged", "said_before"):
        sheet[column] = sheet[column].map({True: "yes", False: "no"})
    sheet["correct"] = ""
    sheet[CONTENT] = queue[CONTENT]
    with replacing(out, UNANSWERED) as temporary:
        sheet.to_csv(
            temporary, index=False, encoding="utf-8-sig", lineterminator="\r\n",
            float_format="%.4f",
        )  # fmt: skip
    return len(sheet)


def import_answers(db: Path, file: Path, reviewer: str | None = None) -> Imported:
    """Takes answers back into the database, where they stand above the model's tags.

    They are kept in a file of their own (`fftag.catalogue.corrections`); the database is copied,
    changed and swapped in whole. A later answer stands above an earlier one.
    An answer belongs to the file that was looked at (its column `content_sha256`): it stands on
    every photo of that content, and on none that has another by now.

    Args:
        db: the catalogue.
        file: the sheet (`.csv`, `.xlsx`), its column `correct` filled with yes or no, or with none:
            the photo shows no label of that label's group.
        reviewer: who answered.

    Raises:
        FftagError: the file is not of that kind, or none of its answers can be taken.
    """
    answers, unanswered = _from_sheet(file)
    if not answers:
        raise FftagError(f"{file} has no answer: fill the column correct with yes or no")
    fix = "give the file that `fftag review export` wrote for it"
    return take_answers(db, answers, reviewer, str(file), fix, unanswered)


def take_answers(
    db: Path,
    answers: Sequence[Answered],
    reviewer: str | None,
    where: str,
    fix: str,
    unanswered: int = 0,
) -> Imported:
    """Takes answers into the database; see `import_answers`.

    Where an answer is withdrawn, the model's tag stands again.

    Args:
        db: the catalogue.
        answers: of a content's label, the last one counts.
        reviewer: who answered.
        where: what errors say that the answers are from.
        fix: what errors say to do where no answer can be taken.
        unanswered: how many were asked for besides.

    Raises:
        FftagError: none of them can be taken, or the database cannot be changed.
    """
    frame = pd.DataFrame([vars(one) for one in answers])
    frame["shown"] = frame["shown"].astype("boolean")
    frame["content"] = frame["content"].astype("string")
    frame["position"] = range(len(frame))
    frame["reviewed_at"], frame["reviewer"] = datetime.now(UTC).replace(tzinfo=None), reviewer
    frame["reviewer"] = frame["reviewer"].astype("string")
    with altering(db) as connection:
        connection.register("incoming", frame)
        connection.execute(ANSWERS)
        connection.unregister("incoming")
        left_out = _left_out(connection)
        if not connection.execute("from answers limit 1").fetchall():
            raise FftagError(f"no answer of {where} can be taken: {'; '.join(left_out)}: {fix}")
        gather(connection, db, connection.table("corrections").to_arrow_table())
        connection.execute(TAKE)
        keep(connection, db)
        ((said, changed, orphaned),) = connection.execute(
            """
            select
                count(*),
                count(*) filter (shown <> tagged),
                count(*) filter (content_sha256 not in (select content_sha256 from reviewed))
            from answers
            where shown is not null
            """
        ).fetchall()
        measured = connection.execute(MEASURED).df()
    plain = measured.astype(object).where(measured.notna(), None)
    records = [{str(key): value for key, value in row.items()} for row in plain.to_dict("records")]
    return Imported(said, unanswered, changed, orphaned, left_out, records)


ANSWERS = """
    create temp table given as
    with places as (
        select
            image,
            source,
            arg_max(content_sha256, tagged_at) filter (content_sha256 is not null) as there,
            any_value(sku) as sku
        from images
        semi join incoming using (image, source)
        group by image, source
    )

    select
        incoming.* replace (
            coalesce(other.label, shown_label(incoming.label)) as label,
            -- What the model said of the others of the group, nobody looked at.
            case when coalesce(other.label, named.label) is not distinct from named.label
                then tagged end as tagged),
        coalesce(content, there) as content_sha256,
        case when named.label is not null then coalesce(named."group", 'labels') end as "group",
        sku,
        -- What was said of a label that another model had can still be withdrawn.
        shown is null or named.label is not null as has_label
    from incoming
    left join places using (image, source)
    left join labels as named on named.label = shown_label(incoming.label)
    left join labels as other
        on whole_group
        and coalesce(other."group", 'labels') = coalesce(named."group", 'labels');

    create temp table answers as
    from given
    where content_sha256 is not null and has_label
    qualify row_number() over (partition by content_sha256, label order by position desc) = 1;
"""
TAKE = """
    with latest as (
        select
            content_sha256,
            shown_label(label) as label,
            arg_max("group", reviewed_at) as "group",
            max(reviewed_at) as reviewed_at
        from said
        semi join answers using (content_sha256)
        group by all
    )

    -- The later word counts, whatever the clock of an earlier reviewer said.
    insert into said by name
    select
        answers.content_sha256,
        coalesce(answers."group", latest."group", 'labels') as "group",
        answers.label,
        case
            when shown is null then 'withdrawn'
            when shown then 'is'
            when whole_group then 'none'
            else 'not'
        end as verdict,
        greatest(
            answers.reviewed_at, latest.reviewed_at + interval 1 microsecond) as reviewed_at,
        reviewer,
        image,
        source,
        sku
    from answers
    left join latest
        on latest.content_sha256 = answers.content_sha256 and latest.label = answers.label;
"""
MEASURED = """
    with counted as (
        select
            label,
            count(*) filter (tagged and shown) as tp,
            count(*) filter (tagged and not shown) as fp,
            count(*) filter (shown and not tagged) as fn
        from answers
        where shown is not null and tagged is not null
        group by label
    )

    select
        *,
        tp / nullif(tp + fp, 0) as "precision",
        wilson_low(tp, tp + fp) as precision_low,
        wilson_high(tp, tp + fp) as precision_high,
        tp / nullif(tp + fn, 0) as recall,
        wilson_low(tp, tp + fn) as recall_low,
        wilson_high(tp, tp + fn) as recall_high
    from counted
    order by label
"""


def _left_out(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """Of which answers there is no photo or label, a line for each."""
    found = []
    for what, column, there in (
        ("photo that could be read", "image", "content_sha256 is not null"),
        ("label", "label", "has_label"),
    ):
        ((answers, names),) = connection.execute(
            f"""
            select count(*), list(distinct {column} order by {column})
            from given
            where not ({there})
            """  # noqa: S608 (ours)
        ).fetchall()
        if answers:
            found.append(
                f"{answers:,} answers of no {what} in the catalogue: {examples(names, NAMED)}"
            )
    return found


def _from_sheet(file: Path) -> tuple[list[Answered], int]:
    frame, _ = read_table(file)
    fix = "give the sheet that `fftag review export` wrote, saved with commas or as .xlsx"
    need_columns(frame, KEYS, file, fix)
    if CONTENT not in frame:
        frame[CONTENT] = None  # a sheet of one's own
    answers, unanswered = [], 0
    for row, cells in enumerate(frame[[*KEYS, CONTENT]].itertuples(index=False), FIRST_ROW):
        image, source, label, tagged, correct, content = cells
        if pd.isna(image) or pd.isna(source) or pd.isna(label):
            raise FftagError(f"{file}, row {row}: no image, source or label: {fix}")
        was = yes_or_no(tagged, file, row, "tagged")
        of_group = not pd.isna(correct) and str(correct).strip().lower() == NONE
        shown = False if of_group else yes_or_no(correct, file, row, "correct")
        if was is None:
            raise FftagError(f"{file}, row {row}: column tagged is empty: {fix}")
        if shown is None:
            unanswered += 1
            continue
        if not pd.isna(content) and not DIGEST.fullmatch(str(content)):
            raise FftagError(f"{file}, row {row}: {CONTENT} is {content!r}: {fix}")
        photo = fused(str(image)), fused(str(source)), fused(str(label))
        content = None if pd.isna(content) else str(content)
        answers.append(Answered(*photo, was, shown, content, of_group))
    return answers, unanswered
