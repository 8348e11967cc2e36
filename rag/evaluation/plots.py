"""Numbers to SVG pictures that stand in a page: curves, intervals, histograms, shares.

Knows nothing of answers or metrics. A picture has no colours and no fonts of its own: its parts
carry the classes ``s0`` to ``s6``, ``axis``, ``grid`` and so on, which the page's style sheet draws
for light, dark and paper. A series is told by its marker and its dashes too, never by colour alone.
Every text is made safe and escaped here.
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rag.terminal import printable

# In units of the picture; about one pixel on a telephone, 1.2 on a desk.
_WIDTH, _HEIGHT = 400, 262
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 14, 14, 44
_ROW = 34
_CHARACTER = 6.1  # widest average of a character at the labels' size

Form = Callable[[float], str]  # a value as it is written
Scale = Callable[[float], float]  # a value to its place in the picture


@dataclass(frozen=True, slots=True)
class Point:
    """A value at a place, with the ends of its interval where they are known."""

    x: float
    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Series:
    """Points that belong together; ``look`` chooses colour, dashes and marker."""

    name: str
    points: tuple[Point, ...]
    look: int = 0


@dataclass(frozen=True, slots=True)
class Axis:
    """What is drawn along one side.

    Attributes:
        label: What it shows, and in which unit.
        low: Where it begins.
        high: Where it ends.
        ticks: Where it is labelled.
        form: A value as it is written.
    """

    label: str
    low: float
    high: float
    ticks: tuple[float, ...]
    form: Form


@dataclass(frozen=True, slots=True)
class Mark:
    """A place on the horizontal axis worth a line and a word."""

    x: float
    text: str


def percent(value: float) -> str:
    """A share, 0 to 1, as it is read."""
    return f"{100 * value:.0f}%"


def share_axis(label: str) -> Axis:
    """From 0% to 100%."""
    return Axis(label, 0.0, 1.0, (0.0, 0.25, 0.5, 0.75, 1.0), percent)


def nice_ticks(low: float, high: float, most: int = 6) -> tuple[float, ...]:
    """Multiples of 1, 2 or 5 times a power of ten that cover low to high; at most ``most`` + 2."""
    span = high - low
    if not (math.isfinite(span) and span > 0):
        return (low, low + 1)
    raw = span / most
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * unit for unit in (1, 2, 5, 10) if power * unit >= raw * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return tuple(round(number * step, 12) for number in range(first, last + 1))


def curves(series: Sequence[Series], *, x: Axis, y: Axis, title: str, mark: Mark | None) -> str:
    """Lines through points, with a band where the points have intervals."""
    across, up = _scale(x, _LEFT, _WIDTH - _RIGHT), _scale(y, _HEIGHT - _BOTTOM, _TOP)
    parts = _axes(x, y)
    if mark:
        parts += _line_mark(mark, across, level=0, height=_HEIGHT)
    for one in series:
        sure = [p for p in one.points if p.low is not None and p.high is not None]
        if sure:
            edge = [(p.x, p.high) for p in sure] + [(p.x, p.low) for p in reversed(sure)]
            corners = " ".join(f"{across(at):.1f},{up(v):.1f}" for at, v in edge if v is not None)
            parts.append(f'<polygon class="band s{one.look}" points="{corners}"/>')
    for one in series:
        way = " ".join(f"{across(p.x):.1f},{up(p.value):.1f}" for p in one.points)
        parts.append(f'<polyline class="line s{one.look}" points="{way}"/>')
        # Markers that touch would hide the line.
        parts += [
            _point(one, across(p.x), up(p.value), f"{x.form(p.x)}: {_said(p, y.form)}")
            for p in one.points[:: math.ceil(len(one.points) / 14)]
        ]
    return _picture(parts, title=title, description=_description(series, x, y), height=_HEIGHT)


def histogram(values: Sequence[float], *, x: str, y: str, form: Form, title: str,
              marks: Sequence[Mark] = (), height: float = _HEIGHT) -> str:  # fmt: skip
    """How many values fall into each of some equal steps.

    Args:
        values: At least one.
        x: What is counted, with its unit.
        y: What each value is.
        form: A value as it is written on the axis.
        title: What is seen.
        marks: At most two, such as the median.
        height: Of the picture, to match its neighbour's.
    """
    # Sturges' rule, 1926, with round edges.
    edges = nice_ticks(0.0, max(*values, 1e-9), most=max(6, math.ceil(math.log2(len(values)) + 1)))
    counts = [0] * (len(edges) - 1)
    step = edges[1] - edges[0]
    for value in values:
        counts[min(int(value / step + 1e-9), len(counts) - 1)] += 1
    every = math.ceil(len(edges) / 9)
    bottom = Axis(x, edges[0], edges[-1], edges[::every], form)
    tall = nice_ticks(0.0, float(max(counts)), most=4)
    side = Axis(y, 0.0, tall[-1], tuple(t for t in tall if t == int(t)), lambda v: f"{v:.0f}")
    top = _TOP + 13 * len(marks)
    across = _scale(bottom, _LEFT, _WIDTH - _RIGHT)
    up = _scale(side, height - _BOTTOM, top)
    parts = _axes(bottom, side, top=top, height=height)
    said = []
    for left, right, count in zip(edges, edges[1:], counts, strict=False):
        says = f"{form(left)} to {form(right)}: {count}"
        said.append(says)
        parts.append(
            f'<rect class="bar s0" x="{across(left) + 0.75:.1f}" y="{up(count):.1f}"'
            f' width="{max(across(right) - across(left) - 1.5, 0.5):.1f}"'
            f' height="{up(0) - up(count):.1f}"><title>{_text(says)}</title></rect>'
        )
    for level, mark in enumerate(marks):
        parts += _line_mark(mark, across, level=level, height=height)
    description = f"{x}, number of {y}. " + "; ".join(
        says for says, count in zip(said, counts, strict=True) if count
    )
    return _picture(parts, title=title, description=description, height=height)


def dots(labels: Sequence[str], series: Sequence[Series], *, x: Axis, title: str,
         zero: float | None = None) -> str:  # fmt: skip
    """One line of values with error bars for each label, the first on top.

    A point's ``x`` is the number of its label, from 0. ``zero`` draws a line to compare with.
    """
    longest = max(map(len, labels), default=0)
    left = min(12 + _CHARACTER * min(longest, 26), _WIDTH * 0.42)
    room = int((left - 12) / _CHARACTER) + 1
    bottom = _TOP + _ROW * len(labels)
    across = _scale(x, left, _WIDTH - _RIGHT)
    parts = _bottom_axis(x, across, left=left, bottom=bottom, top=_TOP)
    if zero is not None:
        at = f"{across(zero):.1f}"
        parts.append(f'<line class="zero" x1="{at}" x2="{at}" y1="{_TOP}" y2="{bottom}"/>')
    for number, label in enumerate(labels):
        y = _TOP + _ROW * (number + 0.5)
        shown = label if len(label) <= room else label[: room - 1] + "…"
        parts.append(
            f'<text class="name" x="{left - 8:.1f}" y="{y + 4:.1f}" text-anchor="end">'
            f"{_text(shown)}<title>{_text(label)}</title></text>"
        )
        if number:
            edge = _TOP + _ROW * number
            parts.append(
                f'<line class="grid" x1="{left:.1f}" x2="{_WIDTH - _RIGHT}"'
                f' y1="{edge}" y2="{edge}"/>'
            )
    for place, one in enumerate(series):
        shift = 11 * (place - (len(series) - 1) / 2)
        for p in one.points:
            y = _TOP + _ROW * (p.x + 0.5) + shift
            parts += _whisker(p, across, y, one.look)
            says = f"{labels[int(p.x)]}, {one.name}: {_said(p, x.form)}"
            parts.append(_point(one, across(p.value), y, says))
    description = "; ".join(
        f"{labels[int(p.x)]}, {one.name} {_said(p, x.form)}" for one in series for p in one.points
    )
    return _picture(parts, title=title, description=description, height=dots_height(len(labels)))


def dots_height(labels: int) -> float:
    """How tall ``dots`` draws so many labels."""
    return _TOP + _ROW * labels + _BOTTOM


def interval(value: float, low: float | None, high: float | None, *, form: Form = percent) -> str:
    """A small line from 0 to 1 with a value and its error bar, to stand beside the number."""
    axis = share_axis("")
    across = _scale(axis, 6, 194)
    point = Point(0, value, low, high)
    parts = [
        '<line class="axis" x1="6" x2="194" y1="9" y2="9"/>',
        *(f'<line class="axis" x1="{across(t)}" x2="{across(t)}" y1="6" y2="12"/>' for t in (0, 1)),
        *_whisker(point, across, 9, 0),
        _point(Series("", ()), across(value), 9, ""),
    ]
    says = _text(f"{_said(point, form)}, on a line from {form(0)} to {form(1)}")
    return (
        f'<svg class="interval" viewBox="0 0 200 18" role="img" aria-label="{says}">'
        + "".join(parts)
        + "</svg>"
    )


def shares(parts: Sequence[tuple[int, int]], *, title: str) -> str:
    """One bar cut into (count, look) parts; whoever shows it lists what they are."""
    total = sum(count for count, _ in parts)
    at, drawn = 0, []
    for count, look in parts:
        drawn.append(f'<rect class="bar s{look}" x="{at}" y="0" width="{count}" height="10"/>')
        at += count
    return (
        f'<svg class="shares" viewBox="0 0 {total} 10" preserveAspectRatio="none" role="img"'
        f' aria-label="{_text(title)}">' + "".join(drawn) + "</svg>"
    )


def key(look: int) -> str:
    """The swatch of a series, for a legend beside the picture."""
    return (
        f'<svg class="key" viewBox="0 0 30 12" aria-hidden="true"><polyline class="line s{look}"'
        f' points="1,6 29,6"/><path class="point s{look}" d="{_shape(look, 15, 6)}"/></svg>'
    )


def swatch(look: int) -> str:
    """The colour of a part of ``shares``, for its legend."""
    return (
        f'<svg class="key" viewBox="0 0 12 12" aria-hidden="true"><rect class="bar s{look}"'
        ' width="12" height="12" rx="2"/></svg>'
    )


def _scale(axis: Axis, start: float, end: float) -> Scale:
    span = axis.high - axis.low or 1.0
    return lambda value: start + (value - axis.low) / span * (end - start)


def _axes(x: Axis, y: Axis, *, top: float = _TOP, height: float = _HEIGHT) -> list[str]:
    up, bottom = _scale(y, height - _BOTTOM, top), height - _BOTTOM
    parts = []
    for tick in y.ticks:
        at = f"{up(tick):.1f}"
        parts.append(
            f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{at}" y2="{at}"/>'
            f'<text class="tick y" x="{_LEFT - 6}" y="{up(tick) + 3.8:.1f}" text-anchor="end">'
            f"{_text(y.form(tick))}</text>"
        )
    middle = (top + bottom) / 2
    parts.append(
        f'<text class="label" transform="translate(11 {middle:.1f}) rotate(-90)"'
        f' text-anchor="middle">{_text(y.label)}</text>'
    )
    across = _scale(x, _LEFT, _WIDTH - _RIGHT)
    return parts + _bottom_axis(x, across, left=_LEFT, bottom=bottom, top=None)


def _bottom_axis(
    x: Axis, across: Scale, *, left: float, bottom: float, top: float | None
) -> list[str]:
    """The horizontal axis; with ``top`` also lines that go up from its ticks."""
    end = _WIDTH - _RIGHT
    parts = []
    for tick in x.ticks:
        at = f"{across(tick):.1f}"
        if top is not None:
            parts.append(f'<line class="grid" x1="{at}" x2="{at}" y1="{top}" y2="{bottom}"/>')
        parts.append(
            f'<line class="axis" x1="{at}" x2="{at}" y1="{bottom}" y2="{bottom + 4}"/>'
            f'<text class="tick x" x="{at}" y="{bottom + 16}" text-anchor="middle">'
            f"{_text(x.form(tick))}</text>"
        )
    parts.append(
        f'<line class="axis" x1="{left:.1f}" x2="{end}" y1="{bottom}" y2="{bottom}"/>'
        f'<text class="label" x="{(left + end) / 2:.1f}" y="{bottom + 35}" text-anchor="middle">'
        f"{_text(x.label)}</text>"
    )
    return parts


def _line_mark(mark: Mark, across: Scale, *, level: int, height: float) -> list[str]:
    at = across(mark.x)
    y = _TOP - 3 + 13 * level
    late = at + 6 + _CHARACTER * len(mark.text) > _WIDTH
    anchor, shift = ("end", -4) if late else ("start", 4)
    return [
        f'<line class="mark" x1="{at:.1f}" x2="{at:.1f}" y1="{y - 8}" y2="{height - _BOTTOM}"/>',
        f'<text class="marked" x="{at + shift:.1f}" y="{y}" text-anchor="{anchor}">'
        f"{_text(mark.text)}</text>",
    ]


def _whisker(p: Point, across: Scale, y: float, look: int) -> list[str]:
    if p.low is None or p.high is None:
        return []
    low, high = across(p.low), across(p.high)
    ends = f"M{low:.1f} {y - 4:.1f}v8M{high:.1f} {y - 4:.1f}v8M{low:.1f} {y:.1f}H{high:.1f}"
    return [f'<path class="whisker s{look}" d="{ends}"/>']


def _point(series: Series, x: float, y: float, says: str) -> str:
    title = f"<title>{_text(says)}</title>" if says else ""
    shape = _shape(series.look, x, y)
    return f'<path class="point s{series.look}" d="{shape}">{title}</path>'


def _shape(look: int, x: float, y: float) -> str:
    """Circle, square, diamond, triangle around a place; the path begins at that place."""
    return (
        f"M{x:.1f} {y:.1f}"
        + (
            "m-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0z",
            "m-3.6 -3.6h7.2v7.2h-7.2z",
            "m0 -5l5 5l-5 5l-5 -5z",
            "m0 -5l4.8 8.4h-9.6z",
        )[look % 4]
    )


def _said(p: Point, form: Form) -> str:
    if p.low is None or p.high is None:
        return form(p.value)
    return f"{form(p.value)} (95% interval {form(p.low)} to {form(p.high)})"


def _description(series: Sequence[Series], x: Axis, y: Axis) -> str:
    return f"{x.label} against {y.label}. " + " ".join(
        f"{one.name}: " + "; ".join(f"{x.form(p.x)}: {_said(p, y.form)}" for p in one.points) + "."
        for one in series
    )


def _picture(parts: Sequence[str], *, title: str, description: str, height: float) -> str:
    return (
        f'<svg class="plot" viewBox="0 0 {_WIDTH} {height:.0f}" role="img">'
        f"<title>{_text(title)}</title><desc>{_text(description)}</desc>"
        + "".join(parts)
        + "</svg>"
    )


def _text(text: str) -> str:
    return html.escape(printable(text))
