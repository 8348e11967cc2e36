"""What a reader sees of a text, and the way back."""

from __future__ import annotations

import time

import pytest

from rag.clean import clean, shown


@pytest.mark.parametrize(
    ("text", "visible"),
    [
        ("a [third way](#) between", "a third way between"),
        (r"the [Initiative \(BRI\)](http://x.org/a_b_c) of 2015", "the Initiative (BRI) of 2015"),
        ("Cooperation](#)[1] signed[^12] in 2001", "Cooperation](#) signed in 2001"),
        ("[in the 1949 revolution], [...] China", "[in the 1949 revolution], [...] China"),
        (r"reach \$240 billion, \*not\* more", "reach $240 billion, *not* more"),
        ('"*special* **military** ***operation***"', '"special military operation"'),
        ("**[wsws.org](https://wsws.org)**", "wsws.org"),
        ("snake_case_name, 2 * 3 * 4 and `a_b*c*`", "snake_case_name, 2 * 3 * 4 and a_b*c*"),
        ("before ![a picture](x.png) after", "before after"),
        ("a<br/>b <em class='x'>c</em><!-- no\nd --> e < f > g", "ab c e < f > g"),
        ('of malaria{: data-type="term" .x-y} and\n{:.no_toc}', "of malaria and"),
        ("a map {:key 1} and a tuple {:ok, value}", "a map {:key 1} and a tuple {:ok, value}"),
        ("soft\u00adhyphen, zero\u200bwidth, \u202eturn\u202c\x07", "softhyphen, zerowidth, turn"),
        ("\ufeff torn \r\n\t apart\u00a0 here ", "torn apart here"),
    ],
)  # fmt: skip
def test_markup_is_taken_out(text: str, visible: str) -> None:
    assert shown(text) == visible


def test_every_character_knows_where_it_came_from() -> None:
    text = 'xx "a\r\n  [*Belt* and Road \\(BRI\\)](#)"[1], \\$240\u200b 中国。 yy'
    cleaned = clean(text, [(3, len(text) - 3)])
    assert cleaned.text == '"a Belt and Road (BRI)", $240 中国。'
    assert len(cleaned.text) == len(cleaned.offsets)
    assert cleaned.offsets == sorted(set(cleaned.offsets))
    for character, offset in zip(cleaned.text, cleaned.offsets, strict=True):
        assert text[offset] == character or (character == " " and text[offset].isspace())
    assert cleaned.offsets[0] == 3


def test_spans_are_joined_and_markup_never_joins_them() -> None:
    text = "*torn |page 2| apart* and"
    cleaned = clean(text, [(0, 6), (14, 25)])
    assert cleaned.text == "*torn apart* and"
    assert cleaned.offsets[6] == 15
    assert clean(text, [(6, 6)]).text == ""


@pytest.mark.parametrize(
    "unit",
    ["[", "![", "[a](", "*", "_a", "*a ", "<!--", "`", "\\", "<b", "[1", "**a*"],
)
def test_hostile_markup_costs_linear_time(unit: str) -> None:
    def cost(length: int) -> float:
        text = (unit * length)[:length]
        start = time.process_time()
        shown(text)
        return time.process_time() - start

    assert cost(20_000) < 1.0
    assert cost(40_000) < 2.0


def test_escapes_within_brackets_cost_linear_time() -> None:
    start = time.process_time()
    assert shown("[" + "\\'" * 10_000 + "]") == "[" + "'" * 10_000 + "]"
    assert time.process_time() - start < 1.0


def test_an_index_of_nought_is_no_footnote() -> None:
    assert shown("The name of the script is argv[0], not argv.") == (
        "The name of the script is argv[0], not argv."
    )
    assert shown("It ended in 1990.[12] Then") == "It ended in 1990. Then"
