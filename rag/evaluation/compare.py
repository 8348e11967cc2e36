"""Two reports side by side, and a report against thresholds: what got better, what is too low."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rag.errors import InputUnreadable, UsageError
from rag.evaluation.metrics import (
    JUDGED,
    NAMES,
    PERCENTILES,
    RATIOS,
    SMALLER_IS_BETTER,
    right,
    stat,
)
from rag.evaluation.report_file import Report
from rag.evaluation.resample import mcnemar, percentile_difference, ratio_difference


def compare(report: Report, baseline: Report) -> dict[str, Any]:
    """Paired comparison: only questions that both reports have, each with itself.

    Returns:
        ``paired`` (how many), ``same_gold``, ``same_judge`` (None where not both were judged; what
        different judges said is not compared), ``differences`` (this report minus the baseline,
        with its 95% interval), ``mcnemar`` (gained, lost, and the exact p;
        None where either holds no answers) and ``flipped`` (each question that is now right or
        now wrong, with both reasons).

    Raises:
        InputUnreadable: The reports have no question in common, or the baseline is damaged.
    """
    try:
        return _compare(report, baseline)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise InputUnreadable(
            f"the baseline is damaged: a row lacks a field or has a wrong one: {error}",
            hint="make it again: rag eval GOLD --report DIR",
        ) from error


def _compare(report: Report, baseline: Report) -> dict[str, Any]:
    earlier = {row["id"]: row for row in baseline["rows"]}
    pairs = [(earlier[row["id"]], row) for row in report["rows"] if row["id"] in earlier]
    if not pairs:
        raise InputUnreadable(
            "the two reports have no question id in common",
            hint="compare reports on the same gold set",
        )
    same_judge = _same_judge(report, baseline)
    shared = set(report["metrics"]) & set(baseline["metrics"])
    if same_judge:
        shared |= set(JUDGED)
    differences: dict[str, Any] = {}
    for name, metric in {**RATIOS, **JUDGED}.items():
        if name in shared:
            before, now = ([metric(pair[side]) for pair in pairs] for side in (0, 1))
            differences[name] = ratio_difference(before, now).record()
    for name, (field, share) in PERCENTILES.items():
        if name in shared:
            both = [(stat(a, field), stat(b, field)) for a, b in pairs]
            kept = [(a, b) for a, b in both if a is not None and b is not None]
            differences[name] = percentile_difference(
                [a for a, _ in kept], [b for _, b in kept], share
            ).record()
    answered = [(a, b) for a, b in pairs if right(a) is not None and right(b) is not None]
    flipped = [
        {
            "id": now["id"], "question": now["question"], "now": "right" if right(now) else "wrong",
            "why": now["why"], "why_before": before["why"],
        }
        for before, now in answered
        if right(before) != right(now)
    ]  # fmt: skip
    gained = sum(flip["now"] == "right" for flip in flipped)
    lost = len(flipped) - gained
    return {
        "paired": len(pairs),
        "same_gold": report["gold"]["sha256"] == baseline["gold"]["sha256"],
        "same_judge": same_judge,
        "differences": differences,
        "mcnemar": {"gained": gained, "lost": lost, "p": mcnemar(gained, lost)}
        if answered
        else None,
        "flipped": flipped,
    }


def _same_judge(report: Report, baseline: Report) -> bool | None:
    one, other = report.get("judge"), baseline.get("judge")
    if not one or not other:
        return None
    return all(bool(one[key] == other[key]) for key in ("model", "prompt"))


@dataclass(frozen=True, slots=True)
class Bound:
    """What a metric must be at least, or at most."""

    metric: str
    least: float | None
    most: float | None


def read_gate(path: Path) -> tuple[Bound, ...]:
    """Read thresholds: ``"answer.correct" = 0.7`` is a minimum, ``{max = 0.1}`` a maximum.

    Raises:
        UsageError: The file cannot be read, names an unknown metric, or holds no threshold.
    """
    hint = 'a line looks like "answer.correct" = 0.7 or "refusal.false" = {max = 0.1}'
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"the gate {path} cannot be read: {error.strerror}", hint=hint) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"the gate {path} is not TOML: {error}", hint=hint) from error
    bounds = tuple(_bound(name, value, path, hint) for name, value in _flat(table))
    if not bounds:
        raise UsageError(f"the gate {path} holds no threshold", hint=hint)
    return bounds


def _flat(table: dict[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    """``answer.correct = 0.7`` without quotes is a table in a table: the same is meant."""
    for key, value in table.items():
        if isinstance(value, dict) and not set(value) <= {"min", "max"}:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _bound(name: str, value: Any, path: Path, hint: str) -> Bound:
    names = (*NAMES, *JUDGED)
    if name not in names:
        raise UsageError(
            f"the gate {path} names {name!r}, which is no metric",
            hint="metrics: " + ", ".join(names),
        )
    limits = value if isinstance(value, dict) else {"min": value}
    if not limits or any(
        isinstance(limit, bool) or not isinstance(limit, int | float) for limit in limits.values()
    ):
        raise UsageError(f"the threshold of {name} in {path} is not a number", hint=hint)
    if not isinstance(value, dict) and name in SMALLER_IS_BETTER:
        raise UsageError(
            f"{name} in {path} is the better the smaller it is; a bare number is a minimum",
            hint=f'write "{name}" = {{max = {value}}}',
        )
    return Bound(name, limits.get("min"), limits.get("max"))


def check_gate(report: Report, bounds: Iterable[Bound]) -> list[dict[str, Any]]:
    """The bounds that a report does not meet.

    Returns:
        For each: ``metric``, ``value``, ``bound`` ("min" or "max"), ``limit``, ``by`` (how far off)
        and ``sure`` (whether the whole 95% interval is on the wrong side). A metric without a value
        is not met; its ``value`` and ``by`` are None.
    """
    failed = []
    metrics = {**report["metrics"], **report.get("judge", {}).get("metrics", {})}
    for bound in bounds:
        found = metrics.get(bound.metric) or {"value": None}
        for kind, limit in (("min", bound.least), ("max", bound.most)):
            if limit is None:
                continue
            value = found["value"]
            by = None if value is None else limit - value if kind == "min" else value - limit
            if by is not None and by <= 0:
                continue
            sure = by is not None and (
                found["high"] < limit if kind == "min" else found["low"] > limit
            )
            failed.append(
                {"metric": bound.metric, "value": value, "bound": kind, "limit": limit, "by": by,
                 "sure": sure}
            )  # fmt: skip
    return failed
