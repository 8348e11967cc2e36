"""Choosing ``answer_threshold`` on a gold set, and writing it down with where it came from."""

from __future__ import annotations

import json
import re
import tempfile
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rag.errors import InputUnreadable, UsageError
from rag.evaluation.evaluate import Flags, refusal_curve, refusals
from rag.evaluation.metrics import answerable
from rag.evaluation.report_file import Report
from rag.evaluation.resample import SEED

STEPS = 100  # thresholds tried: 0.00, 0.01 ... 1.00
FEWEST = 20  # questions of either kind below which a choice is noise
_DRAWS = 2000
_KEY = "answer_threshold"
_MARK = "# rag eval --calibrate: "
_LINE = re.compile(rf"""^[ \t]*(?:{_KEY}|"{_KEY}"|'{_KEY}')[ \t]*=[^#\r\n]*""", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Choice:
    """A threshold, and what it trades for what, on the questions it was chosen on.

    Attributes:
        threshold: The choice.
        low: Lower end of the 95% interval of the choice itself, over resampled questions.
        high: Upper end.
        recall: Share of the unanswerable questions refused.
        false: Share of the answerable questions refused.
        answerable: How many answerable questions there were.
        unanswerable: How many others.
    """

    threshold: float
    low: float
    high: float
    recall: float
    false: float
    answerable: int
    unanswerable: int

    @property
    def noise(self) -> bool:
        """Whether there are too few questions for the choice to mean anything."""
        return min(self.answerable, self.unanswerable) < FEWEST


def trade_off(report: Report) -> list[dict[str, Any]]:
    """What each threshold from 0 to 1 would refuse, in steps of 0.05."""
    return refusal_curve(report["rows"], [n / 20 for n in range(21)])


def choose(report: Report, *, max_false: float) -> Choice:
    """The threshold with the best balanced accuracy that refuses few enough by mistake.

    Balanced accuracy is ``(refusal.recall + 1 - refusal.false) / 2``; among thresholds that are
    equally good the middle one is taken. The answers must have been made with a threshold of 0.

    Args:
        report: An evaluation of those answers.
        max_false: Most of the answerable questions, as a share, that may be refused.

    Raises:
        InputUnreadable: There are no answerable, or no unanswerable questions.
        UsageError: Every threshold refuses more than ``max_false``.
    """
    thresholds = [n / STEPS for n in range(STEPS + 1)]
    asked = [row for row in report["rows"] if answerable(row)]
    others = [row for row in report["rows"] if not answerable(row)]
    wrongly = refusals(asked, thresholds, failed=True)
    rightly = refusals(others, thresholds, failed=False)
    if not len(wrongly) or not len(rightly):
        raise InputUnreadable(
            f"the gold set has {len(wrongly)} answerable and {len(rightly)} unanswerable questions:"
            " a threshold needs both",
            hint="add questions that the documents do not answer, with answer null",
        )
    false, recall = wrongly.mean(axis=0), rightly.mean(axis=0)
    best = _best(false, recall, max_false)
    if best is None:
        raise UsageError(
            f"every threshold refuses more than {max_false:.0%} of the answerable questions: at 0"
            f" it is {false[0]:.0%} already",
            hint=f"allow more: --max-false-refusals {np.ceil(false[0] * 100) / 100:.2f}",
        )
    rng = np.random.default_rng(SEED)
    again = [
        _best(one, other, max_false)
        for one, other in zip(_resampled(wrongly, rng), _resampled(rightly, rng), strict=True)
    ]
    drawn = [thresholds[index] if index is not None else 0.0 for index in again]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Choice(
        threshold=thresholds[best],
        low=float(low),
        high=float(high),
        recall=float(recall[best]),
        false=float(false[best]),
        answerable=len(wrongly),
        unanswerable=len(rightly),
    )


def _resampled(refused: Flags, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Shares refused at each threshold in resamples of the questions: (draws, thresholds).

    A question is refused from some threshold on, so how often each such threshold is drawn, which
    is multinomial, says everything.
    """
    n, count = refused.shape
    first = np.bincount(count - refused.sum(axis=1), minlength=count + 1)
    drawn = rng.multinomial(n, first / n, size=_DRAWS)
    return np.asarray(drawn.cumsum(axis=1)[:, :count] / n, dtype=np.float64)


def _best(
    false: npt.NDArray[np.float64], recall: npt.NDArray[np.float64], max_false: float
) -> int | None:
    """Index of the best threshold that is allowed, if any is."""
    allowed = np.flatnonzero(false <= max_false + 1e-12)
    if not len(allowed):
        return None
    balanced = (recall + 1 - false)[allowed]
    ties = allowed[balanced >= balanced.max() - 1e-12]
    return int(ties[(len(ties) - 1) // 2])


def provenance(choice: Choice, report: Report) -> str:
    """One line: on what the threshold was chosen, when, and what it costs."""
    gold = report["gold"]
    name = json.dumps(Path(gold["path"]).name, ensure_ascii=True)[1:-1]
    return (
        f"{_MARK}{name} (sha256 {gold['sha256'][:12]}), n = {choice.answerable} answerable +"
        f" {choice.unanswerable} unanswerable, {report['created'][:10]}: refuses"
        f" {choice.recall:.0%} of the unanswerable and {choice.false:.0%} of the answerable"
    )


def check_answers(rows: Sequence[dict[str, Any]], *, withheld_as: str) -> None:
    """Refuse answers that were made with a threshold: what it withheld cannot be weighed any more.

    Args:
        rows: Rows of a report.
        withheld_as: The reason that claims below the threshold are dropped with.

    Raises:
        UsageError: Naming the first such row.
    """
    for row in rows:
        if any(claim.get("reason") == withheld_as for claim in row["dropped"]):
            raise UsageError(
                f"the answer to {row['id']} was made with an answer_threshold above 0",
                hint="let rag eval --calibrate make new answers: name another --answers file",
            )


def check_config(path: Path) -> None:
    """Make sure that the choice can be written, before hours go into answering.

    Raises:
        UsageError: The file is no TOML, or cannot be written.
    """
    _changed(_read(path), "", 0.5, path)
    try:
        with tempfile.TemporaryFile(dir=path.resolve().parent):
            pass
    except OSError as error:
        raise UsageError(
            f"cannot write {path}: {error.strerror}", hint="name another file: --config FILE"
        ) from error


def write_threshold(path: Path, threshold: float, note: str) -> None:
    """Set ``answer_threshold`` in a settings file, with a comment line above it.

    Everything else stays as it is, comments too; a comment of an earlier calibration is replaced.

    Raises:
        UsageError: The file is not one of settings, or cannot be written.
    """
    text = _changed(_read(path), note, threshold, path)
    target = path.resolve()  # a link stays a link
    partial = target.with_name(target.name + ".part")
    try:
        partial.write_bytes(text.encode("utf-8"))
        if target.exists():
            partial.chmod(target.stat().st_mode)
        partial.replace(target)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise UsageError(
            f"cannot write {path}: {error.strerror}", hint="name another file: --config FILE"
        ) from error


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8") if path.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{path} cannot be read: {error}", hint="it must be a TOML file of settings"
        ) from error


def _changed(text: str, note: str, threshold: float, path: Path) -> str:
    """The text with the one line replaced or added, and proof that nothing else changed."""
    end = "\r\n" if "\r\n" in text else "\n"
    line = f"{_KEY} = {threshold}"
    found = _LINE.search(text)
    if found:
        before, after = text[: found.start()], text[found.end() :]
        kept = re.sub(rf"{re.escape(_MARK)}[^\r\n]*\r?\n\Z", "", before)
        gap = " " if after.startswith("#") else ""
        text_now = f"{kept}{note}{end}{line}{gap}{after}"
    else:
        # Settings are not in tables, so the end of the file is at the top level.
        text_now = (
            text + (end if text and not text.endswith("\n") else "") + note + end + line + end
        )
    try:
        was, now = tomllib.loads(text), tomllib.loads(text_now)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(
            f"{path} is not TOML: {error}", hint="it must be a TOML file of settings"
        ) from error
    if now != {**was, _KEY: threshold}:
        raise UsageError(
            f"{path} is laid out so that answer_threshold cannot be set safely",
            hint=f"add the line yourself, above any table: {line}",
        )
    return text_now
