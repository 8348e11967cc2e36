"""What the head of a text states, and in which language the rest of it is."""

from __future__ import annotations

import time

import pytest

from rag.documents.front import front_matter, stated
from rag.documents.language import language_of
from rag.documents.split import Split, split
from rag.records import Document


def made(text: str, format_: str) -> Split:
    document = Document("x", text, "", "utf-8", format=format_)
    return split(document, count=lambda words: len(words.split()), max_tokens=200)


@pytest.mark.parametrize(
    ("front", "found"),
    [
        ("title: >\n  On cranes\n  and lifts\n", ("On cranes and lifts", "", "")),
        ("# a remark\n\ntitle: 'It''s'  # so\nAuthors:\n- name: Ann A\n  mail: a@b\n- Bo\n",
         ("It's", "Ann A, Bo", "")),
        ("author: {name: Ann, url: x}\ndate: 2024-05-09T10:00:00Z\n", ("", "Ann", "2024-05-09")),
        ("title: One: two\nauthor: Ann\n", ("One: two", "Ann", "")),  # no YAML, and common
        ("date: 2024-05\ntags: [a, b]\n", ("", "", "2024-05")),
        ("title:\nauthor: ~\n", ("Shown", "~", "")),
    ],
)  # fmt: skip
def test_yaml(front: str, found: tuple[str, str, str]) -> None:
    for end in ("\n", "\r\n", "\r"):
        text = f"---\n{front}---\n# Shown\n\nThe crane lifts nine tons.\n".replace("\n", end)
        parts = made(text, "markdown")
        about = parts.description
        title = found[0] or "Shown"
        assert (about.title, about.author, about.date) == (title, *found[1:]), end
        assert [p.clean for p in parts.passages] == ["The crane lifts nine tons."]


def test_toml() -> None:
    text = (
        "+++\n# remark\ntitle = \"\"\"\nOn\ncranes\"\"\"\ndate = 2024-05-09T10:00:00Z\n"
        'authors = ["Ann", "Bo"]\n[extra]\ntitle = "other"\n+++\nThe crane lifts nine tons.\n'
    )  # fmt: skip
    about = made(text, "markdown").description
    assert (about.title, about.date, about.author) == ("On cranes", "2024-05-09", "Ann, Bo")


@pytest.mark.parametrize(
    "text",
    ["---\nSome words between two rules\n---\n", "---\n\n---\ntext", "--- a: b\n---\n",
     "---\na: b\n", "text\n---\na: b\n---\n", "---\n- a: b\n---\n"],
)  # fmt: skip
def test_what_is_no_front_matter(text: str) -> None:
    assert front_matter(text) == 0


RST = """\
=========
On cranes
=========
---------------
And their loads
---------------

.. a remark
   that goes on

:Author: Ann A <ann at example.org>
:Authors: - no other
:Date: $9 May 2024$
:Language: en-GB
:Status: Final

The crane of the old harbour lifts nine tons at noon.

:Date: 2001-01-01
"""


def test_fields_of_restructured_text() -> None:
    parts = made(RST, "rst")
    about = parts.description
    assert (about.title, about.author, about.date, about.language) == (
        "On cranes", "Ann A <ann at example.org>", "2024-05-09", "en-GB",
    )  # fmt: skip
    said = [s.clean for p in parts.passages for s in p.sentences]
    assert "The crane of the old harbour lifts nine tons at noon." in said
    assert ":Status: Final" in said, "each field is an entry of its own"
    assert not any(p.heading.startswith(":") for p in parts.passages)
    assert made(RST, "markdown").description.language == "en"
    pelican = ":title: T\n:authors:\n  - Ann\n  - Bo\n:lang: de\n\nHead\n####\n\nWords follow.\n"
    about = made(pelican, "rst").description
    assert (about.title, about.author, about.language) == ("T", "Ann, Bo", "de")
    late = stated("A paragraph comes first.\n\n:Author: Ann\n", fields=True)
    assert not any(late.values())


@pytest.mark.parametrize(
    "body",
    ["[" * 15_000, "a: " + "[" * 15_000, "a: &a [x]\nb: *a\n" * 500, "{" * 15_000, "? " * 7_000,
     "title: " + "'" * 19_000, "title: a" + " " * 500_000 + "b", "x\n" * 200_000],
)  # fmt: skip
def test_hostile_front_matter_costs_linear_time(body: str) -> None:
    started = time.process_time()
    for mark in ("---", "+++"):
        stated(f"{mark}\na: b\n{body}\n{mark}\n", fields=True)
        stated(f":a: {body}", fields=True)
    assert time.process_time() - started < 5.0


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("The crane of the old harbour lifts nine tons at noon.", "en"),
        ("Der Kran im alten Hafen hebt mittags neun Tonnen.", "de"),
        ("La grue du vieux port soulève neuf tonnes à midi.", "fr"),
        ("中国经济增长很快，欧洲对华出口也在增长。", "zh"),
        ("Портовый кран поднимает девять тонн в полдень.", "ru"),
        ("", ""), ("x = 1", ""), ("Otto Schmidt Hamburg 1923, Bo Weiss Kiel 1924", ""),
    ],
)  # fmt: skip
def test_languages(text: str, language: str) -> None:
    assert language_of(text) == language


def test_the_language_of_a_document() -> None:
    text = "# Der Kran\n\nDer Kran im alten Hafen hebt mittags neun Tonnen.\n"
    assert made(text, "markdown").description.language == "de"
    stated_ = Document("x", text, "", "utf-8", format="html", language="nl")
    parts = split(stated_, count=lambda words: len(words.split()), max_tokens=200)
    assert parts.description.language == "nl", "what the format says goes first"
    assert made("def lift(tons):\n    return tons * 9\n", "code").description.language == ""
