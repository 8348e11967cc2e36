"""A report as tables on a terminal; no figure is computed here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rag.evaluation.calibrate import FEWEST, Choice
from rag.evaluation.metrics import F1_RIGHT, PERCENTILES, right
from rag.evaluation.report_file import Report
from rag.terminal import printable

_CORRECTNESS = {
    "f1": f"The gold has no facts: right means token F1 of at least {F1_RIGHT}, a rough measure.",
    "mixed": "Where the gold has no facts, right means token F1 of at least"
    f" {F1_RIGHT}, a rough measure.",
}


def report_text(report: Report) -> str:
    """All metrics with their intervals, then results by type of question."""
    lines = [_metric_row("metric", "value", "95% interval", "n")]
    for name, found in report["metrics"].items():
        lines.append(_metric_row(name, *_figures(found, name), f"{found['n']:,}"))
    if report["correctness"] in _CORRECTNESS:
        lines += ["", _CORRECTNESS[report["correctness"]]]
    failed = sum(row["error"] is not None for row in report["rows"])
    if failed:
        lines += [
            "",
            f"{failed:,} of {len(report['rows']):,} questions failed, and count as wrong.",
        ]
    if report["correctness"] is not None:
        lines += ["", f"{'type':20} {'n':>5}  {'right':>22}  {'refused':>22}"]
        for kind, found in report["by_type"].items():
            lines.append(
                f"{_safe(kind):20} {found['n']:5,}  {_cell(found['correct']):>22}"
                f"  {_cell(found['refused']):>22}"
            )
    return "\n".join(lines)


def judge_text(judge: dict[str, Any]) -> str:
    """What a judge said, apart from what was measured."""
    lines = [
        f"judge: {_safe(judge['model'])}",
        judge["note"],
        "",
        _metric_row("metric", "value", "95% interval", "n"),
    ]
    for name, found in judge["metrics"].items():
        lines.append(_metric_row(name, *_figures(found, name), f"{found['n']:,}"))
    if judge["kappa"] is not None:
        lines += ["", f"It agrees with answer.correct beyond chance: kappa = {judge['kappa']:.2f}."]
    if judge["failed"]:
        lines += [
            "",
            f"{judge['failed']:,} of {judge['judged']:,} judgements failed, and count as wrong;"
            " run again, they are asked for again.",
        ]
    return "\n".join(lines)


def failures_text(report: Report) -> str:
    """Each question with the wrong outcome: what was said, what is right, what was withheld."""
    lines: list[str] = []
    for row in report["rows"]:
        if right(row) is not False:
            continue
        lines += [
            "",
            f"{_safe(row['id'])} ({_safe(row['type'])}) {_safe(row['question'])}",
            f"  why  {_safe(row['why'])}",
            f"  said {_safe(row['answer']) or '-'}",
            f"  gold {_safe(row['gold_answer'] or 'the documents do not answer this')}",
        ]
        lines += [f"  withheld {_safe(d['text'])} ({_safe(d['reason'])})" for d in row["dropped"]]
    return "\n".join(lines[1:]) or "no failures"


def comparison_text(found: dict[str, Any]) -> str:
    """Differences from the baseline, and the questions that flipped, with both reasons."""
    lines = [
        f"compared on {found['paired']:,} questions"
        + ("" if found["same_gold"] else "; the gold sets are not the same file")
        + ("; their judges differ and are not compared" if found["same_judge"] is False else ""),
        "",
        _metric_row("metric", "change", "95% interval", "n"),
    ]
    for name, change in found["differences"].items():
        lines.append(_metric_row(name, *_figures(change, name, sign="+"), f"{change['n']:,}"))
    test = found["mcnemar"]
    if test:
        lines += [
            "",
            f"now right {test['gained']}, now wrong {test['lost']}"
            f" (McNemar, exact: p = {test['p']:.3g})",
        ]
    for flip in found["flipped"]:
        lines += [
            "",
            f"now {flip['now']}: {_safe(flip['id'])} {_safe(flip['question'])}",
            f"  before {_safe(flip['why_before'])}",
            f"  now    {_safe(flip['why'])}",
        ]
    return "\n".join(lines)


def gate_text(failed: Sequence[dict[str, Any]], count: int) -> str:
    """Which thresholds are not met, and by how much."""
    if not failed:
        return f"gate: thresholds met: {count} of {count}"
    lines = [f"gate: {len(failed)} of {count} thresholds not met"]
    for miss in failed:
        if miss["value"] is None:
            lines.append(f"  {miss['metric']} has no value (nothing to count)")
            continue
        off, side = ("below", "minimum") if miss["bound"] == "min" else ("above", "maximum")
        sure = "the whole interval is" if miss["sure"] else "the interval reaches it"
        number = _number(miss["metric"])
        lines.append(
            f"  {miss['metric']} is {number.format(miss['value'])}, {number.format(miss['by'])}"
            f" {off} the {side} of {number.format(miss['limit'])} ({sure}"
            f"{f' {off} it' if miss['sure'] else ''})"
        )
    return "\n".join(lines)


def trade_off_text(points: Sequence[dict[str, Any]]) -> str:
    """What each threshold refuses."""
    lines = [f"{'threshold':>9}  {'unanswerable refused':>20}  {'answerable refused':>18}  right"]
    for point in points:
        lines.append(
            f"{point['threshold']:9.2f}  {_share(point['recall']):>20}"
            f"  {_share(point['false']):>18}  {_share(point['correct'])}"
        )
    return "\n".join(lines)


def choice_text(choice: Choice, path: str) -> str:
    """What was chosen, where it was written, and how far to trust it."""
    lines = [
        f"answer_threshold = {choice.threshold:.2f} written to {_safe(path)}: refuses"
        f" {choice.recall:.0%} of {choice.unanswerable} unanswerable and {choice.false:.0%} of"
        f" {choice.answerable} answerable questions",
        f"other questions of the same kind would have given {choice.low:.2f} to {choice.high:.2f}"
        " (95% interval)",
    ]
    if choice.noise:
        lines.append(
            f"this choice is noise: it takes at least {FEWEST} questions of either kind, and there"
            f" are {choice.answerable} and {choice.unanswerable}"
        )
    return "\n".join(lines)


def _metric_row(name: str, value: str, interval: str, n: str) -> str:
    return f"{name:28} {value:>9}  {interval:>20}  {n:>7}"


def _figures(found: dict[str, Any], name: str, sign: str = "") -> tuple[str, str]:
    if found["value"] is None:
        return "-", "-"
    number = _number(name, sign)
    value, low, high = (number.format(found[key]) for key in ("value", "low", "high"))
    return value, f"[{low}, {high}]"


def _number(name: str, sign: str = "") -> str:
    return f"{{:{sign},.0f}}" if name in PERCENTILES else f"{{:{sign}.3f}}"


def _cell(found: dict[str, Any] | None) -> str:
    if found is None or found["value"] is None:
        return "-"
    return f"{found['value']:.2f} [{found['low']:.2f}, {found['high']:.2f}]"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _safe(text: str) -> str:
    return " ".join(printable(text).split())
