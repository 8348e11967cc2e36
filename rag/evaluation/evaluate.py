"""The walk of an evaluation: gold -> answers -> scores -> report.

It takes answers as the parsed lines of ``rag.answer/1``, wherever they were made, and the stored
texts; it loads no model. The report (schema ``rag.report/1``) holds every row that was scored, with
one sentence saying why, so that each figure can be followed to the answers it comes from.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rag.errors import InputUnreadable, RagError, UsageError
from rag.evaluation import metrics
from rag.evaluation.gold import GoldQuestion, GoldSet, GoldSpan, Texts
from rag.evaluation.report_file import SCHEMA, Report
from rag.evaluation.resample import ratio
from rag.evaluation.scoring import Row, score
from rag.records import Hit
from rag.storage.store import Store
from rag.typed import check_answer

DEEPEST = 20  # the recall curve ends here
_STEPS = 20  # of the refusal curve

Flags = npt.NDArray[np.bool_]


class StoredTexts:
    """The texts of an index by path, copies' too."""

    def __init__(self, store: Store) -> None:
        self._text = lru_cache(maxsize=64)(store.text)
        self._documents = {path: d for d in store.documents() for path in d.paths}

    def __call__(self, path: str, /) -> str | None:
        """The text of a document, None where it is not indexed."""
        document = self._documents.get(path)
        return self._text(document.id) if document else None

    def first(self, path: str, /) -> str:
        """The path under which the same text is found: a copy's is that of the first."""
        document = self._documents.get(path)
        return document.path if document else path


# -- answers ------------------------------------------------------------------------------------


def read_answers(path: Path) -> Iterator[Row]:
    """The lines of an answers file.

    Raises:
        InputUnreadable: It cannot be read, or a line is no answer; names the line.
    """
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    answer = json.loads(line)
                except (ValueError, RecursionError) as error:
                    raise _no_answer(path, number, f"is not JSON: {error}") from error
                if not isinstance(answer, dict) or answer.get("schema") != "rag.answer/1":
                    raise _no_answer(path, number, "is not an answer (schema rag.answer/1)")
                yield answer
    except OSError as error:
        raise InputUnreadable(
            f"the answers {path} cannot be read: {error.strerror}",
            hint="name the output of rag batch or rag eval",
        ) from error
    except UnicodeDecodeError as error:
        raise InputUnreadable(
            f"the answers {path} are not UTF-8", hint="name the output of rag batch or rag eval"
        ) from error


def _no_answer(path: Path, number: int, what: str) -> InputUnreadable:
    return InputUnreadable(
        f"{path} line {number} {what}", hint="name the output of rag batch or rag eval"
    )


def paired(gold: GoldSet, answers: Iterable[Row]) -> Iterator[tuple[GoldQuestion, Row]]:
    """Each gold question with its answer; both are in the same order.

    Raises:
        InputUnreadable: An answer is missing, or belongs to another question; names both.
    """
    found = iter(answers)
    for number, question in enumerate(gold.questions, 1):
        answer = next(found, None)
        if answer is None:
            raise InputUnreadable(
                f"there are {number - 1:,} answers to the {len(gold.questions):,} questions of"
                f" {gold.path}; the first without one is {question.id}",
                hint="rag eval adds only to answers of its own: name another --answers file",
            )
        id_ = answer.get("id")
        if (id_ is not None and str(id_) != question.id) or (
            answer.get("question") != question.question
        ):
            raise InputUnreadable(
                f"answer {number} is to another question ({id_ or answer.get('question')!r}) than"
                f" line {question.line} of {gold.path} ({question.id!r})",
                hint="the answers were made for another gold set: name another --answers file",
            )
        yield question, answer
    if next(found, None) is not None:
        raise InputUnreadable(
            f"there are more answers than the {len(gold.questions):,} questions of {gold.path}",
            hint="the answers were made for another gold set: name another --answers file",
        )


# -- scores -------------------------------------------------------------------------------------


def evaluate(
    gold: GoldSet,
    answers: Iterable[Row],
    *,
    spans: dict[str, tuple[GoldSpan, ...]],
    texts: Texts,
    settings: dict[str, Any],
) -> Report:
    """Score answers against a gold set.

    Args:
        gold: The questions.
        answers: One parsed ``rag.answer/1`` line for each question, in order.
        spans: Where each question's gold quotes stand, from ``gold.locate``.
        texts: Stored texts of the documents.
        settings: All settings, for the record.

    Raises:
        InputUnreadable: The answers are not those to this gold set, or not what they must be.
    """
    rows: list[Row] = []
    models: dict[str, str] = {}
    generation = 0
    for number, (question, answer) in enumerate(paired(gold, answers), 1):
        try:
            rows.append(score(question, answer, spans=spans[question.id], texts=texts))
            _check(answer)
            if answer["status"] != "error" or not models:
                models, generation = answer["models"], answer["index_generation"]
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise InputUnreadable(
                f"answer {number} (to {question.id}) lacks a field or has a wrong one: {error}",
                hint="answers follow the schema rag.answer/1: let rag batch or rag eval write them",
            ) from error
    decided = Counter(bool(q.facts) for q in gold.questions if q.answer is not None)
    correctness = "mixed" if len(decided) == 2 else "f1" if decided[False] else "facts"
    return _report(gold, rows, settings=settings, models=models, correctness=correctness,
                   index_generation=generation)  # fmt: skip


def _check(answer: Row) -> None:
    """Make sure of what scoring does not touch, and the report counts or shows.

    Raises:
        KeyError: It is not there.
        TypeError: It is of another type; or ValueError.
    """
    claims = [_known(claim) for claim in answer["claims"]]  # other programs do not know all of it
    check_answer({**_known(answer), "claims": claims})
    for field, _ in metrics.PERCENTILES.values():
        metrics.stat(answer, field)
    needed = (
        (answer["claims"], ("text", "labels", "verdict")),
        (answer.get("dropped", ()), ("text",)),
        (answer["citations"], ("label",)),
        ([answer["error"]] if answer["error"] else (), ("message",)),
    )
    for parts, names in needed:
        for part in parts:
            itemgetter(*names)(part)


def _known(row: Row) -> Row:
    return {name: value for name, value in row.items() if value is not None}


def evaluate_retrieval(
    gold: GoldSet,
    search: Callable[[str], Sequence[Hit]],
    *,
    spans: dict[str, tuple[GoldSpan, ...]],
    texts: Texts,
    settings: dict[str, Any],
    models: dict[str, str],
    index_generation: int,
    progress: Callable[[int], None],
) -> Report:
    """Score the passages found for each question; no language model takes part.

    Args:
        search: Question to its passages, best first.
        progress: Called with how many questions are done.
        gold: As in ``evaluate``, and so are the others.
        spans: See there.
        texts: See there.
        settings: See there.
        models: What searched.
        index_generation: Of the index that was searched.
    """
    rows = []
    for number, question in enumerate(gold.questions, 1):
        answer: Row = {
            "status": None, "answer": "", "claims": [], "citations": [], "dropped": [],
            "stats": {}, "error": None, "answerability": None, "retrieved": [],
        }  # fmt: skip
        try:
            answer["retrieved"] = [
                {"document": hit.document.path, "start": hit.passage.start,
                 "end": hit.passage.end, "score": round(hit.score, 6)}
                for hit in search(question.question)
            ]  # fmt: skip
        except UsageError as error:  # a question that cannot be asked finds nothing
            answer["error"] = failure(error)
        rows.append(score(question, answer, spans=spans[question.id], texts=texts))
        progress(number)
    return _report(gold, rows, settings=settings, models=models, correctness=None,
                   index_generation=index_generation)  # fmt: skip


def failure(error: RagError) -> dict[str, str]:
    """The JSON form of an error."""
    return {"kind": error.kind, "message": error.message, "hint": error.hint}


# -- report -------------------------------------------------------------------------------------


def _report(
    gold: GoldSet,
    rows: list[Row],
    *,
    settings: dict[str, Any],
    models: dict[str, str],
    correctness: str | None,
    index_generation: int,
) -> Report:
    estimates = metrics.aggregate(rows, retrieval_only=correctness is None)
    return {
        "schema": SCHEMA,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "gold": {"path": gold.path, "sha256": gold.sha256, "questions": len(gold.questions)},
        "settings": settings,
        "models": models,
        "index_generation": index_generation,
        "correctness": correctness,
        "metrics": {name: estimate.record() for name, estimate in estimates.items()},
        "curves": {
            "recall": _recall_curve(rows),
            "refusal": refusal_curve(rows, [n / _STEPS for n in range(_STEPS + 1)]),
        },
        "by_type": _by_type(rows),
        "rows": rows,
    }


def _recall_curve(rows: list[Row]) -> list[Row]:
    """Recall among the first k passages, for every k up to the number retrieved."""
    ranks = [metrics.found_ranks(r["retrieved"], r["gold_spans"]) for r in rows if r["gold_spans"]]
    deepest = min(DEEPEST, max((len(row["retrieved"]) for row in rows), default=0))
    curve = []
    for k in range(1, deepest + 1):
        found = ratio([(metrics.recall_at(of_row, k), 1.0) for of_row in ranks]).record()
        curve.append({"k": k, **{key: found[key] for key in ("value", "low", "high")}})
    return curve


def refusal_curve(rows: Sequence[Row], thresholds: Sequence[float]) -> list[Row]:
    """What a larger ``answer_threshold`` would have refused, and what would still be right.

    A threshold below the one that the answers were made with changes nothing: what was refused
    then has no answer to show.
    """
    asked = [row for row in rows if row["status"] and metrics.answerable(row)]
    others = [row for row in rows if row["status"] and not metrics.answerable(row)]
    if not asked and not others:
        return []
    correct = np.array([row["correct"] for row in asked], dtype=np.bool_)
    unanswered = refusals(asked, thresholds, failed=True)
    curves = (
        _shares(refusals(others, thresholds, failed=False)),
        _shares(unanswered),
        _shares(correct[:, None] & ~unanswered),
    )
    return [
        {"threshold": at, "recall": recall, "false": false, "correct": right}
        for at, recall, false, right in zip(thresholds, *curves, strict=True)
    ]


def refusals(rows: Sequence[Row], thresholds: Sequence[float], *, failed: bool) -> Flags:
    """Which rows have no answer at which threshold.

    Args:
        rows: Rows of a report.
        thresholds: Of ``answerability``; a row is refused below it, or if it was refused anyway.
        failed: What a row that failed counts as.

    Returns:
        bool (rows, thresholds).
    """
    surely = {"unanswerable": -1.0, "error": -1.0 if failed else math.inf}
    levels = [
        surely.get(
            row["status"], math.inf if row["answerability"] is None else row["answerability"]
        )
        for row in rows
    ]
    return np.asarray(levels, dtype=np.float64)[:, None] < np.asarray(thresholds)


def _shares(flags: Flags) -> list[float | None]:
    return flags.mean(axis=0).tolist() if len(flags) else [None] * flags.shape[1]


def _by_type(rows: list[Row]) -> dict[str, Row]:
    found: dict[str, Row] = {}
    for kind in dict.fromkeys(row["type"] for row in rows):
        of_kind = [row for row in rows if row["type"] == kind and row["status"]]
        asked = [(float(row["correct"]), 1.0) for row in of_kind if metrics.answerable(row)]
        refused = [(float(row["status"] == "unanswerable"), 1.0) for row in of_kind]
        found[kind] = {
            "n": sum(row["type"] == kind for row in rows),
            "correct": ratio(asked).record() if asked else None,
            "refused": ratio(refused).record() if refused else None,
        }
    return found
