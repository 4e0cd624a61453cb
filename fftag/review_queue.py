"""The review round trip: a queue to look at, and answers taken back."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd

from fftag.atomic import changing, replacing, write_text
from fftag.datasets.review_sheet import defused, fused, yes_or_no
from fftag.datasets.tables import FIRST_ROW, need_columns, read_table
from fftag.errors import FftagError
from fftag.items import correct_items
from fftag.report import Filters, run_report

KEYS = ["image", "source", "label", "tagged", "correct"]
CHOICES = "labels"  # name of the control in Label Studio's configuration, in docs/warehouse.md


@dataclass(frozen=True)
class Answered:
    """What a reviewer said of one label of one photo.

    Attributes:
        image: the photo.
        source: of it.
        label: asked for.
        tagged: whether the model gave it.
        shown: whether the photo shows it; None withdraws what was said before.
    """

    image: str
    source: str
    label: str
    tagged: bool
    shown: bool | None


@dataclass(frozen=True)
class Imported:
    """What an import brought.

    Attributes:
        answers: how many there were, without those that withdraw one.
        unanswered: asked and left open.
        changed: answers that are not what the model said.
        measured: one row per label: `label`, `tp`, `fp`, `fn`, `precision`, `precision_low`,
            `precision_high`, and `recall` likewise; None where there is nothing to tell it from.
    """

    answers: int
    unanswered: int
    changed: int
    measured: list[dict[str, Any]]

    def to_json(self) -> dict[str, Any]:
        return vars(self)

    def lines(self) -> list[str]:
        """It for a person."""
        lines = [
            f"{self.answers:,} answers ({self.changed:,} correct the model), "
            f"{self.unanswered:,} left open"
        ]
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
    db: Path,
    out: Path,
    per_label: int,
    rows: int,
    filters: Filters = Filters(),
    photo_url: str = "",
) -> int:
    """Writes the report `review` with room for answers; returns how many there are to give.

    Args:
        db: the catalogue.
        out: a `.csv`, or a `.json` of tasks for Label Studio.
        per_label: photos of each label.
        rows: in all.
        filters: which labels, and which products' photos.
        photo_url: put before the path of each photo in a `.json`, such as
            `/data/local-files/?d=catalog/`.

    Raises:
        FftagError: nothing is left to review, or the file cannot be written.
    """
    asked = {"per_label": str(per_label), "rows": str(rows)}
    queue = run_report(db, "review", asked, filters).table
    if queue.empty:
        raise FftagError("nothing is left to review: ask for more photos with --per-label")
    if out.suffix.lower() == ".json":
        write_text(out, json.dumps(_tasks(queue, photo_url), ensure_ascii=False, indent=1) + "\n")
    elif out.suffix.lower() == ".csv":
        _write_sheet(out, queue)
    else:
        raise FftagError(f"{out}: name it .csv (a sheet) or .json (tasks for Label Studio)")
    return len(queue)


def _write_sheet(out: Path, queue: pd.DataFrame) -> None:
    sheet = queue[["image", "source", "sku", "label", "tagged", "score", "threshold"]].copy()
    for column in ("image", "source", "sku", "label"):
        sheet[column] = [
            defused(value) if isinstance(value, str) else "" for value in sheet[column]
        ]
    sheet["tagged"] = sheet["tagged"].map({True: "yes", False: "no"})
    sheet["correct"] = ""
    with replacing(out) as temporary:
        sheet.to_csv(
            temporary, index=False, encoding="utf-8-sig", lineterminator="\r\n",
            float_format="%.4f",
        )  # fmt: skip


def _tasks(queue: pd.DataFrame, photo_url: str) -> list[dict[str, Any]]:
    """One task per photo, with the labels that are asked for and the model's answer to them."""
    tasks = []
    for (source, image), asked in queue.groupby(["source", "image"], sort=False):
        tagged = asked[asked["tagged"]]["label"].tolist()
        data = {"image": f"{photo_url}{image}", "photo": image, "source": source}
        choices = {"from_name": CHOICES, "to_name": "image", "type": "choices"}
        tasks.append(
            {
                "data": data | {"asked": asked["label"].tolist(), "tagged": tagged},
                "predictions": [{"result": [choices | {"value": {"choices": tagged}}]}],
            }
        )
    return tasks


def import_answers(db: Path, file: Path, reviewer: str | None = None) -> Imported:
    """Takes answers back into the database, where they stand above the model's tags.

    The database is copied, changed and swapped in whole. A later answer replaces an earlier one.

    Args:
        db: the catalogue.
        file: the sheet (`.csv`, `.xlsx`), its column `correct` filled with yes or no; or what Label
            Studio exports as JSON.
        reviewer: who answered.

    Raises:
        FftagError: the file is not of that kind, or asks for a photo or label that is not there.
    """
    if not db.is_file():
        raise FftagError(f"no database {db}: make one with `fftag tag --db` or `fftag load`")
    read = _from_label_studio if file.suffix.lower() == ".json" else _from_sheet
    answers, unanswered = read(file)
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
        answers: of a photo's label, the last one counts.
        reviewer: who answered.
        where: what errors say that the answers are from.
        fix: what errors say to do about answers of no photo or label there.
        unanswered: how many were asked for besides.

    Raises:
        FftagError: they ask for a photo or label that is not there, or cannot be written.
    """
    last = {(one.source, one.image, one.label): one for one in answers}
    frame = pd.DataFrame([vars(one) for one in last.values()])
    frame["shown"] = frame["shown"].astype("boolean")
    frame["reviewed_at"], frame["reviewer"] = datetime.now(UTC).replace(tzinfo=None), reviewer
    with changing(db), replacing(db) as temporary:
        shutil.copyfile(db, temporary)
        config: dict[str, str | bool | int | float | list[str]] = {
            "enable_external_access": "false"
        }
        connection = duckdb.connect(str(temporary), config=config)
        try:
            connection.register("incoming", frame)
            _refuse_unknown(connection, where, fix)
            connection.execute(
                """
                delete from corrections using incoming
                where corrections.image = incoming.image and corrections.label = incoming.label
                    and corrections.source = incoming.source
                """
            )
            connection.execute(
                """
                insert into corrections by name
                select image, source, label, shown, reviewed_at, reviewer from incoming
                where shown is not null
                """
            )
            measured = connection.execute(MEASURED).df()
            connection.unregister("incoming")
            correct_items(connection, frame)
            connection.execute("checkpoint")
        except duckdb.Error as error:
            reason = str(error).splitlines()[0]
            raise FftagError(f"cannot take {where} into {db}: {reason}") from error
        finally:
            connection.close()
            temporary.with_name(temporary.name + ".wal").unlink(missing_ok=True)
    plain = measured.astype(object).where(measured.notna(), None)
    records = [{str(key): value for key, value in row.items()} for row in plain.to_dict("records")]
    said = [one for one in last.values() if one.shown is not None]
    changed = sum(one.shown != one.tagged for one in said)
    return Imported(len(said), unanswered, changed, records)


MEASURED = """
    with counted as (
        select
            label,
            count(*) filter (tagged and shown) as tp,
            count(*) filter (tagged and not shown) as fp,
            count(*) filter (shown and not tagged) as fn
        from incoming
        where shown is not null
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


def _refuse_unknown(connection: duckdb.DuckDBPyConnection, where: str, fix: str) -> None:
    for what, query in (
        (
            "image",
            "select image, count(*) over () from incoming anti join images using (image, source)",
        ),
        (
            "label",
            # What was said of a label that another model had can still be withdrawn.
            "select label, count(*) over () from incoming anti join labels using (label) "
            "where shown is not null",
        ),
    ):
        missing = connection.execute(query).fetchall()
        if missing:
            raise FftagError(
                f"{missing[0][1]} answers in {where} are of no {what} in the catalogue, such as "
                f"{missing[0][0]!r}: {fix}"
            )


def _from_sheet(file: Path) -> tuple[list[Answered], int]:
    frame, _ = read_table(file)
    fix = "give the sheet that `fftag review export` wrote, saved with commas or as .xlsx"
    need_columns(frame, KEYS, file, fix)
    answers, unanswered = [], 0
    for row, cells in enumerate(frame[KEYS].itertuples(index=False), FIRST_ROW):
        image, source, label, tagged, correct = cells
        if pd.isna(image) or pd.isna(source) or pd.isna(label):
            raise FftagError(f"{file}, row {row}: no image, source or label: {fix}")
        was = yes_or_no(tagged, file, row, "tagged")
        shown = yes_or_no(correct, file, row, "correct")
        if was is None:
            raise FftagError(f"{file}, row {row}: column tagged is empty: {fix}")
        if shown is None:
            unanswered += 1
            continue
        answers.append(
            Answered(fused(str(image)), fused(str(source)), fused(str(label)), was, shown)
        )
    return answers, unanswered


def _from_label_studio(file: Path) -> tuple[list[Answered], int]:
    fix = "give what Label Studio exports as JSON of the tasks that `fftag review export` wrote"
    try:
        tasks = json.loads(file.read_text(encoding="utf-8"))
        answers, unanswered = [], 0
        for task in tasks:
            data = task["data"]
            given = [one for one in task.get("annotations", []) if not one.get("was_cancelled")]
            if not given:
                unanswered += len(data["asked"])
                continue
            chosen = {
                choice
                for part in given[-1]["result"]
                if part["from_name"] == CHOICES
                for choice in part["value"]["choices"]
            }
            answers += [
                Answered(data["photo"], data["source"], label, label in data["tagged"],
                         label in chosen)
                for label in data["asked"]
            ]  # fmt: skip
    except OSError as error:
        raise FftagError(f"cannot read {file}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise FftagError(f"{file} is no such export ({error}): {fix}") from error
    return answers, unanswered
