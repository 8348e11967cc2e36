"""Rows of answers for people: CSV for a spreadsheet, Markdown to read.

Questions and documents are not to be trusted: no cell becomes a formula, nothing in Markdown a
link, an image or HTML.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator
from typing import Any

from rag.clean import shown
from rag.terminal import printable

Row = dict[str, Any]
COLUMNS = ("id", "question", "status", "answer", "sources", "error")
_FORMULA = "=+-@\t\r"
_MARKUP = re.compile(r"([\\`*{}\[\]<>#|~!&$]|(?<!\w)_|_(?!\w))")
_LIST = re.compile(r"^(\d+)([.)])|^([-+=])")


def csv_parts(answers: Iterable[Row]) -> Iterator[bytes]:
    """A header and a line for each answer, UTF-8 (RFC 4180)."""
    yield _csv_line(COLUMNS)
    for row in answers:
        sources = "; ".join(f"[{c['label']}] {_place(c)}" for c in row["citations"])
        error = row["error"]["message"] if row["error"] else ""
        texts = (row["question"], row["status"], row["answer"], sources, error)
        yield _csv_line((_cell(row["id"]), *map(_cell, texts)))


def _csv_line(cells: Iterable[object]) -> bytes:
    line = io.StringIO(newline="")
    csv.writer(line).writerow(cells)
    return line.getvalue().encode("utf-8", "replace")


def _cell(value: object) -> object:
    """Text that no spreadsheet takes for a formula; numbers stay numbers."""
    if not isinstance(value, str):
        return value
    text = _line(value)
    return f"'{text}" if text.startswith(tuple(_FORMULA)) else text


def markdown_parts(answers: Iterable[Row]) -> Iterator[bytes]:
    """Each question as a heading, its answer, and its sources word for word."""
    for number, row in enumerate(answers):
        lines = [f"## {_escaped(row['question']) or '(no question)'}", ""]
        if row["error"]:
            lines += [f"*Error: {_escaped(row['error']['message'])}*", ""]
        else:
            lines += [_escaped(row["answer"]), ""]
        for citation in row["citations"]:
            quote = _escaped(shown(citation["quote"]))
            title = _escaped(citation["title"])
            lines += [f"> \\[{citation['label']}\\] “{quote}”  "]
            lines += [f"> {title} · {_escaped(_place(citation))}", ""]
        yield ("\n" * (number > 0) + "\n".join(lines)).encode("utf-8", "replace")


def _place(citation: Row) -> str:
    first, last = citation["line_start"], citation["line_end"]
    lines = f"{citation['document']}:{first}" + (f"-{last}" if last != first else "")
    return f"{lines} ({citation['place']})" if citation.get("place") else lines


def _line(text: str) -> str:
    return " ".join(printable(text).split())


def _escaped(text: str) -> str:
    """One line of Markdown that shows a text as it is."""
    escaped = _MARKUP.sub(r"\\\1", _line(text))
    return _LIST.sub(lambda m: f"{m[1]}\\{m[2]}" if m[1] else f"\\{m[3]}", escaped)
