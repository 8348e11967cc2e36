"""Pictures say the numbers: every mark is where its value belongs, read back through the axes."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable

import pytest

from rag.evaluation.plots import (
    Axis,
    Mark,
    Point,
    Series,
    curves,
    dots,
    histogram,
    interval,
    nice_ticks,
    percent,
    share_axis,
    shares,
)

POINTS = (Point(1, 0.6, 0.5, 0.7), Point(3, 0.8, 0.72, 0.9), Point(5, 0.95, 0.9, 1.0))
KS = Axis("passages (k)", 0, 5, (1, 3, 5), lambda value: f"{value:g}")
Back = Callable[[float], float]


def with_class(picture: ET.Element, *names: str) -> list[ET.Element]:
    """The parts that have all of these classes."""
    return [e for e in picture.iter() if set(names) <= set((e.get("class") or "").split())]


def axis(picture: ET.Element, side: str) -> Back:
    """From a place in the picture back to a value, by two labelled ticks of an axis."""
    ticks = with_class(picture, "tick", side)
    first, last = ticks[0], ticks[-1]
    shift = 3.8 if side == "y" else 0.0
    at = [float(tick.get(side, "")) - shift for tick in (first, last)]
    said = [
        float(t.rstrip("%").replace("−", "-")) / (100 if t.endswith("%") else 1)
        for t in (first.text or "", last.text or "")
    ]
    return lambda place: said[0] + (place - at[0]) / (at[1] - at[0]) * (said[1] - said[0])


def places(picture: ET.Element, look: int) -> list[tuple[float, float]]:
    """Where the markers of a series stand."""
    found = [re.match(r"M(\S+) (\S+?)m", e.get("d", "")) for e in with_class(picture, "point")
             if f"s{look}" in e.get("class", "")]  # fmt: skip
    return [(float(m[1]), float(m[2])) for m in found if m]


def test_a_curve_goes_through_its_values_and_its_band_through_their_intervals() -> None:
    found = Series("found", POINTS)
    svg = curves([found], x=KS, y=share_axis("found"), title="T", mark=Mark(3, "used"))
    picture = ET.fromstring(svg)
    x, y = axis(picture, "x"), axis(picture, "y")
    drawn = places(picture, 0)
    assert [x(a) for a, _ in drawn] == pytest.approx([p.x for p in POINTS], abs=0.01)
    assert [y(b) for _, b in drawn] == pytest.approx([p.value for p in POINTS], abs=0.001)
    (band,) = with_class(picture, "band")
    corners = [tuple(map(float, pair.split(","))) for pair in band.get("points", "").split()]
    values = [y(b) for _, b in corners]
    assert values == pytest.approx([0.7, 0.9, 1.0, 0.9, 0.72, 0.5], abs=0.001)
    (mark,) = with_class(picture, "mark")
    assert x(float(mark.get("x1", ""))) == pytest.approx(3, abs=0.01)
    assert [t.text for t in with_class(picture, "label")] == ["found", "passages (k)"]
    title, description = picture[0], picture[1]
    assert title.text == "T"
    assert "3: 80% (95% interval 72% to 90%)" in (description.text or "")


def test_a_curve_without_intervals_has_no_band() -> None:
    bare = Series("found", tuple(Point(p.x, p.value) for p in POINTS))
    picture = ET.fromstring(curves([bare], x=KS, y=share_axis("found"), title="T", mark=None))
    assert not with_class(picture, "band")
    assert len(places(picture, 0)) == 3


def test_error_bars_end_where_the_intervals_end() -> None:
    series = [
        Series("right", (Point(0, 0.5, 0.25, 0.75), Point(1, 1.0, 1.0, 1.0))),
        Series("refused", (Point(1, 0.2, 0.0, 0.6),), 2),
    ]
    picture = ET.fromstring(dots(["why", "x" * 60], series, x=share_axis("share"), title="T"))
    x = axis(picture, "x")
    assert [x(a) for a, _ in places(picture, 0)] == pytest.approx([0.5, 1.0], abs=0.002)
    assert [x(a) for a, _ in places(picture, 2)] == pytest.approx([0.2], abs=0.002)
    ends = [
        x(float(end))
        for e in with_class(picture, "whisker")
        for end in re.findall(r"M(\S+) \S+H(\S+)$", e.get("d", ""))[0]
    ]
    assert ends == pytest.approx([0.25, 0.75, 1, 1, 0, 0.6], abs=0.002)
    names = with_class(picture, "name")
    assert names[0].text == "why"
    assert (names[1].text or "").endswith("…")
    assert names[1][0].text == "x" * 60
    upper, lower = places(picture, 0)
    assert upper[1] < lower[1], "the first label is on top"


def test_bars_are_as_tall_as_their_counts() -> None:
    values = [0.5, 0.6, 1.5, 1.6, 1.7, 3.0]
    picture = ET.fromstring(
        histogram(values, x="time (s)", y="questions", form=lambda v: f"{v:g}", title="T",
                  marks=[Mark(1.5, "median"), Mark(2.9, "95%")])
    )  # fmt: skip
    x, y = axis(picture, "x"), axis(picture, "y")
    counted = []
    for bar in with_class(picture, "bar"):
        top, height = float(bar.get("y", "")), float(bar.get("height", ""))
        count = y(top) - y(top + height)
        middle = x(float(bar.get("x", "")) + float(bar.get("width", "")) / 2)
        counted += [round(middle, 2)] * round(count)
        assert count == pytest.approx(round(count), abs=0.05)
    assert len(counted) == len(values)
    assert [math.floor(v * 2) for v in sorted(counted)] == [math.floor(v * 2) for v in
            [0.5, 0.6, 1.5, 1.6, 1.7, 2.99]]  # fmt: skip
    marks = [x(float(e.get("x1", ""))) for e in with_class(picture, "mark")]
    assert marks == pytest.approx([1.5, 2.9], abs=0.02)


def test_times_that_are_all_alike_are_drawn() -> None:
    for values in ([7.0], [0.0, 0.0], [3.0] * 5000):
        picture = ET.fromstring(histogram(values, x="s", y="n", form=lambda v: f"{v:g}", title="T"))
        heights = [float(bar.get("height", "")) for bar in with_class(picture, "bar")]
        assert sum(height > 0 for height in heights) == 1


def test_the_small_interval_and_the_shares() -> None:
    small = ET.fromstring(interval(0.5, 0.25, 1.0))
    assert small.get("aria-label", "").startswith("50% (95% interval 25% to 100%)")
    ((at, _),) = places(small, 0)
    assert at == 100
    assert not with_class(ET.fromstring(interval(0.5, None, None)), "whisker")
    bar = ET.fromstring(shares([(3, 0), (1, 2)], title="4 questions"))
    assert [(e.get("x"), e.get("width")) for e in bar] == [("0", "3"), ("3", "1")]
    assert bar.get("viewBox") == "0 0 4 10"


@pytest.mark.parametrize("span", [(0, 1), (0, 0.003), (-0.37, 0.37), (0, 98765), (0, 7)])
def test_ticks_are_round_and_cover(span: tuple[float, float]) -> None:
    ticks = nice_ticks(*span)
    assert ticks[0] <= span[0] <= span[1] <= ticks[-1]
    assert 3 <= len(ticks) <= 8
    step = ticks[1] - ticks[0]
    assert round(step / 10 ** math.floor(math.log10(step) + 1e-9)) in (1, 2, 5)
    assert len(nice_ticks(3, 3)) == 2


def test_every_text_is_escaped() -> None:
    evil = '</title></svg><script>x</script>" onload="x\u202e\x1b'
    form = lambda value: f"{evil}{value:g}"  # noqa: E731
    axis_ = Axis(evil, 0, 1, (0, 1), form)
    series = [Series(evil, (Point(0, 0.5, 0.1, 0.9),))]
    for svg in (
        curves(series, x=axis_, y=axis_, title=evil, mark=Mark(0.5, evil)),
        dots([evil], series, x=axis_, title=evil),
        histogram([1.0], x=evil, y=evil, form=form, title=evil, marks=[Mark(0.5, evil)]),
        interval(0.5, 0.1, 0.9, form=form),
        shares([(1, 0)], title=evil),
    ):
        picture = ET.fromstring(svg)
        assert {e.tag for e in picture.iter()} <= {
            "svg", "title", "desc", "line", "path", "polygon", "polyline", "rect", "text",
        }  # fmt: skip
        assert not any(name.startswith("on") for e in picture.iter() for name in e.attrib)
        assert "\u202e" not in svg
        assert "\x1b" not in svg
    assert percent(0.614) == "61%"
