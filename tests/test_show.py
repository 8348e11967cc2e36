"""Around a place of a stored text: whole lines, numbered, safe to print."""

from __future__ import annotations

import pytest

from rag.commands.show import _find, cut, excerpt_text
from rag.errors import IndexUnusable, UsageError
from rag.records import Document, DocumentInfo, Place

TEXT = "one\r\ntwo\n\nfour \x1b[31mred\nfive"
DOCUMENT = Document("a.pdf", TEXT, "", "", places=(Place(0, "p. 1", 1), Place(10, "p. 3", 3)))


def excerpt(**where: int) -> str:
    given = {"around": None, "line": None, "page": None, "context": 0, **where}
    made = cut(DOCUMENT, **given)  # type: ignore[arg-type]
    assert TEXT[made.start : made.end].count("\n") in (
        made.line_end - made.line_start, made.line_end - made.line_start + 1,
    )  # fmt: skip
    return excerpt_text(made)


def test_lines_offsets_and_pages_name_the_same_text() -> None:
    assert TEXT[10:14] == "four"
    four = "a.pdf\n  ── p. 3\n4  four [31mred"
    assert excerpt(line=4) == excerpt(around=10) == excerpt(around=15) == four
    assert excerpt(page=3) == f"{four}\n5  five"
    assert excerpt(page=1) == "a.pdf\n  ── p. 1\n1  one\n2  two"
    assert excerpt(line=2, context=1) == "a.pdf\n  ── p. 1\n1  one\n2  two\n3  "
    assert excerpt() == "a.pdf\n  ── p. 1\n1  one\n2  two\n3  \n  ── p. 3\n4  four [31mred\n5  five"


@pytest.mark.parametrize(
    ("where", "hint"),
    [
        ({"line": 6}, "its text has 5 lines"),
        ({"around": len(TEXT)}, f"its text has {len(TEXT)} characters"),
        ({"page": 2}, "it has text on pages 1 to 3"),
    ],
)
def test_a_place_that_is_not_there_is_refused(where: dict[str, int], hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        excerpt(**where)
    assert caught.value.hint == hint


def test_a_document_is_named_by_its_path_or_the_end_of_it() -> None:
    documents = [DocumentInfo(n, p, "", "", "") for n, p in enumerate(("a/x.md", "b/x.md", "y.md"))]
    assert _find("a/x.md", documents).id == 0
    assert _find("y.md", documents).id == 2
    with pytest.raises(UsageError) as caught:
        _find("x.md", documents)
    assert caught.value.hint == "name one: a/x.md, b/x.md"
    with pytest.raises(IndexUnusable) as missing:
        _find("Y", documents)
    assert missing.value.hint == "there is y.md"


def test_a_document_is_named_by_a_path_of_its_copies_too() -> None:
    known = [DocumentInfo(1, "0.txt", "", "", "", also_in=("reports/a.txt",))]
    assert _find("reports/a.txt", known) == _find("a.txt", known) == _find("0.txt", known)
