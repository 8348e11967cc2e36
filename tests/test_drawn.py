"""Tables drawn with bars: what is a row, and what its columns are called."""

from __future__ import annotations

import pytest

from rag.documents.drawn import pieces
from rag.verification.columns import of_another_column

FRAMED = """| Debt | 2017 | 2016 |
|------|-----:|-----:|
| [notes](#n) | 600 | 584 |
| total | 1,279 | 1,278 |
"""
BARE = """(in millions) | december 31 2017 | december 31 2016
notes | 600 | 584
total | 1279 | 1278
"""


def shown(text: str, part: str, format_: str = "markdown") -> list[str]:
    start = text.rindex(part)
    found = pieces(text, start, start + len(part), format_)
    assert all(text[piece.start : piece.end] in part for piece in found)
    return [piece.shown for piece in found]


@pytest.mark.parametrize(
    "text",
    [
        "Home | About | Contact\n\nText.",
        "a | b\nc | d | e\nf | g\n",
        "| one row |\n",
    ],
)
def test_bars_alone_make_no_table(text: str) -> None:
    assert shown(text, text) == []


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_row_says_the_names_of_its_columns(end: str) -> None:
    text = f"{FRAMED}\n{FRAMED}".replace("\n", end)
    row = "| [notes](#n) | 600 | 584 |"
    assert shown(text, row) == ["Debt: notes | 2017: 600 | 2016: 584"]
    assert shown(text, "| Debt | 2017 | 2016 |") == [], "they are the names"
    assert shown(BARE, BARE) == [
        "(in millions): notes | december 31 2017: 600 | december 31 2016: 584",
        "(in millions): total | december 31 2017: 1279 | december 31 2016: 1278",
    ]
    assert shown(f"Of it:\n{BARE}And.", f"Of it:\n{BARE}And.")[::3] == ["Of it:", "And."]
    cut = BARE[BARE.index("600") :]
    assert shown(BARE, cut) == ["600 | 584", shown(BARE, BARE)[1]], "a row that is cut has none"


@pytest.mark.parametrize(
    "text",
    [
        "- | 2013 | 2012 | - | (in millions)\nropes | $12 | 55% | $7 | 44%\nhook | 1 | 5 | 2 | 6\n",
        "2013 | 2012\n2011 | 2010\n2009 | 2008\n",
        "7 | 9\n8 | 6\n5 | 4\n",
    ],
)
def test_names_that_are_none_or_stand_over_two_columns_are_not_put_to_one(text: str) -> None:
    assert shown(text, text, "text") == []


def test_a_line_of_millions_of_bars_is_no_row() -> None:
    text = "a | b\n1 | 2\n" + "3 | " * 2_000_000
    assert pieces(text, len(text) - 40, len(text), "text") == []


def test_what_was_converted_has_its_names_already() -> None:
    text = "| Rope: a | Price: 12 |\n| Rope: b | Price: 7 |\n"
    assert shown(text, "| Rope: b | Price: 7 |", "html") == []


ROW = "(per barrel): average price | 2006: $77.76 | 2005: $66.42 | 2004: $49.53"


@pytest.mark.parametrize(
    ("claim", "figure"),
    [
        ("The price was $77.76 in 2004, $66.42 in 2005, and $49.53 in 2006", "77.76"),
        ("The price was $66.42 in 2006", "66.42"),
        ("In 2004, 2005 and 2006 it was 77.76, 66.42 and 49.53", "77.76"),
        ("It was 12.50 in 2005, and 77.76 in 2004", "77.76"),
        ("The price was $49.53 in 2004, $66.42 in 2005, and $77.76 in 2006", ""),
        ("In 2004, 2005 and 2006 it was 49.53, 66.42 and 77.76", ""),
        ("Between 2004 and 2005 it rose from 49.53 to 66.42", ""),
        ("In 2005, compared to 49.53 in 2004, it was 66.42", ""),
        ("The price rose to $77.76", ""),
        ("The price was $12 in 2004", ""),
    ],
)
def test_a_figure_is_taken_from_the_column_that_is_named(claim: str, figure: str) -> None:
    assert of_another_column(claim, ROW) == figure
    other = "(per barrel): lowest price | 2006: $60.10 | 2005: $51.20 | 2004: $40.30"
    assert of_another_column(claim, f"{other}; {ROW}; {other}") == figure
    fits = "(per barrel): another | 2006: $66.42 | 2005: $77.76 | 2004: $77.76"
    assert of_another_column("It was 77.76 in 2005", f"{ROW}; {fits}") == ""


def test_a_name_is_told_by_what_the_others_lack() -> None:
    row = "| total | december 31 2017: 1279 | december 31 2016: 1278"
    assert of_another_column("Total debt was 1279 in 2016", row) == "1279"
    assert of_another_column("Total debt was 1278 in 2016", row) == ""
    assert of_another_column("Total debt was 1279 in 2016", "It was 1279 in 2017.") == ""
