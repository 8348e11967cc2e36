"""The pictures of a report's page, each made of the numbers that the report has."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any, TypeGuard

from rag.evaluation import plots
from rag.evaluation.plots import Axis, Mark, Point, Series, percent
from rag.evaluation.report_rows import OUTCOMES, outcome_of, seconds

MOST_TYPES = 24


def known(value: object) -> TypeGuard[float]:
    """Whether a figure is there: the report has null where nothing defines it."""
    return isinstance(value, int | float) and math.isfinite(value)


def outcome_shares(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The questions that the documents answer, and those that they do not, as bars by outcome."""
    asked = [row for row in rows if row.get("gold_answer") is not None]
    others = [row for row in rows if row.get("gold_answer") is None and row.get("status")]
    halves = (_share("answerable", asked), _share("unanswerable", others))
    return [half for half in halves if half]


def _share(name: str, rows: list[dict[str, Any]]) -> dict[str, Any] | None:
    counts = Counter(outcome_of(row) for row in rows)
    parts = [(outcome, counts[outcome]) for outcome in reversed(OUTCOMES) if counts[outcome]]
    if not parts:
        return None
    said = ", ".join(f"{count} {outcome.label}" for outcome, count in parts)
    bar = plots.shares([(n, o.look) for o, n in parts], title=f"{len(rows)} {name}: {said}")
    keyed = [(outcome, count, plots.swatch(outcome.look)) for outcome, count in parts]
    return {"name": name, "count": len(rows), "bar": bar, "parts": keyed}


def figures(
    report: dict[str, Any], metrics: dict[str, Any], rows: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Each picture that the report has numbers for, with its title, a sentence and a legend."""
    curves = report.get("curves") or {}
    figures = (
        _recall(curves.get("recall") or []),
        _refusal(curves.get("refusal") or [], (report.get("settings") or {})),
        _by_type(report.get("by_type") or {}),
        _latency(rows, metrics, beside=len(report.get("by_type") or {})),
    )
    return [figure for figure in figures if figure]


def _figure(title: str, text: str, svg: str, legend: list[Series] | None = None) -> dict[str, Any]:
    keys = [(plots.key(series.look), series.name) for series in legend or ()]
    return {"title": title, "text": text, "svg": svg, "legend": keys}


def _recall(curve: list[dict[str, Any]]) -> dict[str, Any] | None:
    curve = sorted((at for at in curve if known(at.get("value"))), key=lambda at: int(at["k"]))
    if not curve:
        return None
    ks = [float(at["k"]) for at in curve]
    points = tuple(Point(k, at["value"], at.get("low"), at.get("high"))
                   for k, at in zip(ks, curve, strict=True))  # fmt: skip
    ticks = tuple(ks) if len(ks) <= 6 else plots.nice_ticks(0, ks[-1])
    x = Axis(
        "passages retrieved (k)", 0.0, max(ks[-1], ticks[-1]), ticks, lambda value: f"{value:g}"
    )
    title = "How many passages it takes to find the source"
    series = Series("gold quotes found", points)
    first, last = points[0], points[-1]
    text = f"{percent(first.value)} of the gold quotes are in the first {first.x:g} passages"
    if first.x == 1:
        text = f"{percent(first.value)} of the gold quotes are in the first passage"
    if last is not first:
        text += f", {percent(last.value)} in the first {last.x:g}"
    y = plots.share_axis("gold quotes found")
    svg = plots.curves([series], x=x, y=y, title=title, mark=None)
    band = ". The band is the 95% interval." if first.low is not None else "."
    return _figure(title, text + band, svg)


def _refusal(curve: list[dict[str, Any]], settings: dict[str, Any]) -> dict[str, Any] | None:
    curve = sorted(curve, key=lambda at: float(at["threshold"]))
    series = [
        Series(words, points, look)
        for name, words, look in (
            ("correct", "answerable, answered rightly", 0),
            ("recall", "unanswerable, refused", 3),
            ("false", "answerable, refused (less is better)", 2),
        )
        if (points := tuple(
            Point(float(at["threshold"]), at[name]) for at in curve if known(at.get(name))
        ))
    ]  # fmt: skip
    if not series:
        return None
    x = Axis(
        "answer threshold: least probability that the documents answer",
        0.0, 1.0, (0.0, 0.25, 0.5, 0.75, 1.0), lambda value: f"{value:g}",
    )  # fmt: skip
    used = settings.get("answer_threshold")
    mark = Mark(float(used), f"used: {used:g}") if known(used) and used is not None else None
    title = "What moving the refusal threshold would cost"
    text = "Further right it refuses more: of what it should refuse, and of what it could answer."
    svg = plots.curves(
        series, x=x, y=plots.share_axis("share of the questions"), title=title, mark=mark
    )
    return _figure(title, text, svg, series)


def _by_type(by_type: dict[str, Any]) -> dict[str, Any] | None:
    shown = sorted(by_type.items(), key=lambda item: (-_rate(item[1], "correct"), item[0]))
    shown = shown[:MOST_TYPES]
    series = []
    for name, words, look in (("correct", "answered rightly", 0), ("refused", "refused", 2)):
        points = tuple(
            Point(row, rate["value"], rate.get("low"), rate.get("high"))
            for row, (_, kind) in enumerate(shown)
            if (rate := kind.get(name)) and known(rate.get("value"))
        )
        if points:
            series.append(Series(words, points, look))
    if not series:
        return None
    labels = [f"{name} ({kind.get('n', 0)})" for name, kind in shown]
    title = "Which kinds of question it answers"
    text = "In brackets the number of questions; the lines are 95% intervals."
    svg = plots.dots(labels, series, x=plots.share_axis("share of the questions"), title=title)
    return _figure(title, text, svg, series)


def _rate(kind: dict[str, Any], name: str) -> float:
    value = (kind.get(name) or {}).get("value")
    return float(value) if known(value) and value is not None else -1.0


def _latency(
    rows: list[dict[str, Any]], metrics: dict[str, Any], *, beside: int
) -> dict[str, Any] | None:
    """As tall as the picture of ``beside`` types that it stands next to, within reason."""
    times = [
        float(time) for row in rows
        if row.get("status") in ("answered", "unanswerable")
        and known(time := (row.get("stats") or {}).get("first_token_ms")) and time > 0
    ]  # fmt: skip
    if not times:
        return None
    unit, name = (1000.0, "s") if max(times) >= 1000 else (1.0, "ms")
    marks = [
        Mark(metrics[key]["value"] / unit, f"{word} within {seconds(metrics[key]['value'])}")
        for key, word in (
            ("latency.first_token_ms.p50", "half"),
            ("latency.first_token_ms.p95", "95%"),
        )
        if key in metrics
    ]
    title = "How long until the first word"
    svg = plots.histogram(
        [time / unit for time in times], x=f"time to the first token ({name})", y="questions",
        form=lambda value: f"{value:g}", title=title, marks=marks,
        height=min(max(plots.dots_height(6), plots.dots_height(beside)), 420),
    )  # fmt: skip
    return _figure(title, f"{len(times):,} questions, from asked to the first token.", svg)
