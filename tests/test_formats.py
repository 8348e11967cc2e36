"""Names to formats, and what of a text the format decides."""

from __future__ import annotations

import pytest

from rag.documents.describe import describe
from rag.documents.formats import format_of, why_unread
from rag.documents.front import front_matter
from rag.documents.split import Split, split
from rag.records import Document


def parts(text: str, format_: str, **facts: str) -> Split:
    document = Document("x", text, "", "utf-8", format=format_, **facts)  # type: ignore[arg-type]
    made = split(document, count=lambda words: len(words.split()), max_tokens=200)
    for passage in made.passages:
        for sentence in passage.sentences:
            assert text[sentence.start : sentence.end].strip()
    return made


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.PDF", "pdf"), ("a.b.docx", "docx"), ("README", "text"), ("README.Debian", "text"),
        ("Makefile", "code"), ("x.tsv", "csv"), ("x.ods", "sheet"), ("x.rst", "rst"),
        ("README.gz", ""), ("license.doc", ""), ("other", ""), ("x.exe", ""), (".txt", ""),
    ],
)  # fmt: skip
def test_names_say_the_format(name: str, expected: str) -> None:
    assert format_of(name) == expected


def test_what_is_not_read_says_what_to_do() -> None:
    assert why_unread("x.tar.gz") == "an archive is not opened; unpack it"
    assert why_unread("x.doc") == "format .doc is not read; save it as .docx"
    assert why_unread("x.p\x1bng") == "format .png is not read"


def test_restructured_text_has_headings_of_its_own() -> None:
    text = (
        "=====\nTitle\n=====\n\nThe harbour is old and deep.\n\nCranes\n~~~~~~\n\n"
        "The crane lifts nine tons.\n\nShips\n^^^^^\n\nThe ship is called Aurora.\n"
    )
    found = [(p.heading, p.clean) for p in parts(text, "rst").passages]
    assert found == [
        ("Title", "The harbour is old and deep."),
        ("Cranes", "The crane lifts nine tons."),
        ("Ships", "The ship is called Aurora."),
    ]


def test_a_remark_in_code_is_no_heading_and_a_fence_no_fence() -> None:
    text = "# Lifts the load.\ndef lift(tons):\n    ```\n    return tons * 9\n"
    (passage,) = parts(text, "code").passages
    assert passage.heading == ""
    assert [s.clean for s in passage.sentences] == [
        "# Lifts the load.", "def lift(tons):", "return tons * 9",
    ]  # fmt: skip


def test_what_a_format_says_of_itself_goes_before_what_its_text_shows() -> None:
    text = "# Shown title\n\nBy Bo Shown\n\nA text of some words stands here.\n"
    shown = parts(text, "docx").description
    assert (shown.title, shown.author) == ("Shown title", "Bo Shown")
    stated = parts(text, "docx", title="Stated", language="de").description
    assert (stated.title, stated.author, stated.language) == ("Stated", "Bo Shown", "de")


@pytest.mark.parametrize(
    "front",
    [
        '+++\ntitle = "On cranes"\ndate = 2020-03-04\nauthors = ["Ann A", "Bo B"]\n'
        'lang = "en"\n+++\n',
        "---\ntitle: On cranes\ndate: 2020-03-04\nauthors:\n  - Ann A\n  - 'Bo B'\n"
        "language: en\n---\n",
        "---\r\ntitle: 'On cranes'\r\ndate: 4 March 2020\r\nauthor: [Ann A, Bo B]\r\n"
        "lang: en\r\n---\r\n",
    ],
)
def test_front_matter_is_read_and_not_searched(front: str) -> None:
    text = f"{front}The crane lifts nine tons.\n"
    assert front_matter(text) == len(front)
    made = parts(text, "markdown")
    about = made.description
    assert (about.title, about.date, about.author, about.language) == (
        "On cranes", "2020-03-04", "Ann A, Bo B", "en",
    )  # fmt: skip
    assert [p.clean for p in made.passages] == ["The crane lifts nine tons."]
    assert parts(text, "html").passages[0].start < len(front), "of a page it is text as any other"
    assert describe("+++ no front\n", head=[], repeated=set()).title == ""
