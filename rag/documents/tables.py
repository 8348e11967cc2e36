"""CSV and JSON to text, one line a row and one section a record."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

from rag.documents.converted import TextWriter, Unreadable, flat, iso_date
from rag.documents.decode import decode

_MAX_CELL = 1_000_000  # code points
_SAMPLE = 20  # lines read to find what separates cells


def convert_csv(data: bytes, writer: TextWriter) -> None:
    """Write each row with the names of its columns.

    Raises:
        Unreadable: Its bytes are no text, or a cell is longer than any cell is.
    """
    text = _text(data, writer)
    csv.field_size_limit(_MAX_CELL)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_separator(text))
    try:
        writer.table(list(reader), places="")
    except csv.Error as error:
        raise Unreadable(f"line {reader.line_num}: {error}") from error


def _separator(text: str) -> str:
    """The one of comma, semicolon, tab and bar that stands in most of the first lines."""
    lines = [line for line in text[:65536].splitlines()[:_SAMPLE] if line.strip()]
    counts = {mark: sorted(line.count(mark) for line in lines) for mark in ",;\t|"}
    # The median first: a mark that every line has separates, one that a long text has does not.
    return max(counts, key=lambda m: (counts[m][len(lines) // 2], sum(counts[m]))) if lines else ","


def convert_json(data: bytes, writer: TextWriter, *, field: str) -> None:
    """Write the text field of an object, or of each object of a list.

    Raises:
        Unreadable: It is no JSON, or no object in it has the field.
    """
    try:
        content = json.loads(_text(data, writer))
    except json.JSONDecodeError as error:
        raise Unreadable(f"no JSON: {error}") from error
    except RecursionError as error:
        raise Unreadable("nested too deeply") from error
    _records(content if isinstance(content, list) else [content], writer, field=field)


def convert_jsonl(data: bytes, writer: TextWriter, *, field: str) -> None:
    """Write the text field of the object in each line.

    Raises:
        Unreadable: No line is an object with the field.
    """
    bad: list[int] = []

    def rows() -> Iterator[Any]:
        for number, line in enumerate(_text(data, writer).split("\n"), 1):
            try:
                yield json.loads(line) if line.strip() else None
            except (json.JSONDecodeError, RecursionError):
                bad.append(number)
                yield None

    _records(rows(), writer, field=field, word="line")
    if bad:
        writer.about.warning = f"{len(bad)} lines are no JSON, the first is line {bad[0]}"


def _records(
    rows: Iterator[Any] | list[Any], writer: TextWriter, *, field: str, word: str = "record"
) -> None:
    alone = isinstance(rows, list) and len(rows) == 1
    found = 0
    for number, row in enumerate(rows, 1):
        text = row.get(field) if isinstance(row, dict) else None
        if not isinstance(text, str) or not text.strip():
            continue
        found += 1
        title = row.get("title")
        if alone:
            about = writer.about
            values = {key: row.get(key) for key in ("title", "date", "author", "language")}
            known = {key: flat(v) for key, v in values.items() if isinstance(v, str)}
            about.title, about.author = known.get("title", ""), known.get("author", "")
            about.date = iso_date(known.get("date", ""))
            about.language = known.get("language", "")[:20]
        else:
            writer.mark(f"{word} {number}")
        if isinstance(title, str):
            writer.heading(title, 1)
        writer.paragraph(text)
    if not found:
        raise Unreadable(f"no text in a field named {field!r} (json_text_field)")


def _text(data: bytes, writer: TextWriter) -> str:
    decoded = decode(data)
    if isinstance(decoded, str):
        raise Unreadable(decoded)
    text, writer.about.encoding = decoded
    return text.lstrip("\ufeff")
