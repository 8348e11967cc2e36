"""A file of questions to Questions; a row that cannot be asked keeps its place, with the reason.

    .txt     one question a line
    .csv     a column ``question`` and, if wanted, ``id``
    .jsonl   one object a line with ``question`` and, if wanted, ``id``

Other columns and fields are carried through. Blank lines are no rows.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rag.documents.decode import MARKS
from rag.errors import InputUnreadable
from rag.records import Failure
from rag.terminal import printable
from rag.words import has_word

_LONGEST_CELL = 1 << 30  # what stands beside a question may be long; csv's own limit is 128 kB


@dataclass(frozen=True, slots=True)
class Question:
    """One row of a file of questions.

    Attributes:
        number: Its place among the rows, from 1.
        id: As the row gives it (text or a whole number), or None.
        text: What is asked, as it stands there.
        input: The row's other fields.
        problem: Why it cannot be asked, or None.
    """

    number: int
    id: object
    text: str
    input: dict[str, Any] = field(default_factory=dict)
    problem: Failure | None = None


@dataclass(frozen=True, slots=True)
class _Row:
    """What stands in a line, and what is wrong with it as a row of its format."""

    line: int
    fields: dict[str, Any]
    complaint: str = ""


def read_questions(path: Path) -> list[Question]:
    """Read all questions of a file, in order.

    Raises:
        InputUnreadable: It is missing, empty, of an unknown format, or has no such column.
    """
    reader = _READERS.get(path.suffix.lower())
    data = _bytes(path)
    if reader is None:
        raise InputUnreadable(f"{path}: questions are read from {_FILES} files", hint=_SAVE)
    questions: list[Question] = []
    lines: dict[object, int] = {}
    for row in reader(_decode(data, path), path):
        questions.append(_question(len(questions) + 1, row, lines))
    if not questions:
        raise InputUnreadable(f"{path} holds no question", hint="write one question a line")
    return questions


def _question(number: int, row: _Row, lines: dict[object, int]) -> Question:
    """Check a row; ``lines`` remembers in which line each id stood first."""
    rest = dict(row.fields)
    text, id_ = rest.pop("question", None), rest.pop("id", None)
    complaint = row.complaint
    if reason := _unwritable([text, id_, rest]):
        complaint = complaint or reason
        text, id_, rest = _repaired(text), _repaired(id_), {}
    if not isinstance(text, str):
        complaint = complaint or (
            "it has no question" if text is None else f"its question is no text but {text!r:.60}"
        )
        text = ""
    elif not has_word(text):
        what = "holds no word" if text.strip() else "is empty"
        complaint = complaint or f"its question {what}"
    if isinstance(id_, bool) or not isinstance(id_, str | int | None):
        complaint = complaint or f"its id is neither text nor a whole number: {id_!r:.60}"
        id_ = None
    if id_ is not None:
        first = lines.setdefault(id_, row.line)
        if first != row.line:
            complaint = complaint or f"its id stands in line {first} already"
    problem = None
    if complaint:
        kind, hint = InputUnreadable.kind, "mend the line, then run again with --retry-errors"
        problem = Failure(kind, f"line {row.line}: {complaint}", hint)
    return Question(number, id_, text, rest, problem)


def _unwritable(value: object) -> str:
    """Why JSON in UTF-8 cannot hold a value, or "" where it can."""
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError:
        return "it is not valid text (the file should be UTF-8)"
    except (ValueError, RecursionError):
        return "it holds a number that JSON does not know (NaN, or too large), or is too deep"
    return ""


def _repaired(value: object) -> object:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    return None if _unwritable(value) else value


def _bytes(path: Path) -> bytes:
    hint = f"name a file of questions: {_FILES}"
    try:
        if path.exists() and not path.is_file():
            raise InputUnreadable(f"{path} is not a file", hint=hint)
        return path.read_bytes()
    except OSError as error:
        raise InputUnreadable(f"{path} cannot be read: {error.strerror}", hint=hint) from error


def _decode(data: bytes, path: Path) -> str:
    """The file's text; bytes that are not UTF-8 become lone surrogates, which spoil their row only.

    Raises:
        InputUnreadable: It is no text.
    """
    for mark, encoding in MARKS:
        if data.startswith(mark):
            try:
                return data.decode(encoding)
            except UnicodeDecodeError as error:
                raise InputUnreadable(
                    f"{path} begins as {encoding} but is not", hint="save it as UTF-8"
                ) from error
    if b"\x00" in data[:8192]:
        raise InputUnreadable(f"{path} is binary, not text", hint="save it as UTF-8")
    return data.decode("utf-8-sig", "surrogateescape")


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines that are not blank, with their numbers; only CR and LF end one."""
    ends = text.replace("\r\n", "\n").replace("\r", "\n")
    for number, line in enumerate(ends.split("\n"), 1):
        if line.strip():
            yield number, line


def _txt(text: str, _path: Path) -> Iterator[_Row]:
    for number, line in _lines(text):
        yield _Row(number, {"question": line.strip()})


def _jsonl(text: str, _path: Path) -> Iterator[_Row]:
    for number, line in _lines(text):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield _Row(number, {}, f"it is not JSON: {printable(str(error))}")
            continue
        if isinstance(row, dict):
            yield _Row(number, row)
        else:
            yield _Row(number, {}, "it is JSON, but no object")


def _csv(text: str, path: Path) -> Iterator[_Row]:
    csv.field_size_limit(_LONGEST_CELL)
    delimiter, header = _header(text, path)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    next(reader)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if "unexpected end" in str(error):  # where it ends, and which rows it ate: nobody knows
                raise InputUnreadable(
                    f"{path} line {line}: a quotation mark is opened and never closed",
                    hint="close it; a quotation mark within a cell is written twice",
                ) from error
            yield _Row(line, {}, f"it is not CSV: {error}")
            continue
        if not any(cell.strip() for cell in cells):
            continue
        fields: dict[str, Any] = dict(zip(header, cells, strict=False))
        fields["id"] = fields.get("id") or None
        complaint = ""
        if len(cells) > len(header):  # most likely its question was cut at a comma
            complaint = f"it has {len(cells)} cells, the header {len(header)}"
        yield _Row(line, fields, complaint)


def _header(text: str, path: Path) -> tuple[str, list[str]]:
    """The delimiter and the names of the columns."""
    names: list[str] = []
    for delimiter in ",;\t":  # spreadsheets of many countries write semicolons
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        try:
            found = [cell.strip() for cell in next(reader, [])]
        except csv.Error:
            continue
        names = names or found
        if "question" in found:
            filled = [name or f"column {n}" for n, name in enumerate(found, 1)]
            if twice := sorted({name for name in filled if filled.count(name) > 1}):
                raise InputUnreadable(
                    f"{path} has two columns {twice[0]}", hint="give each a name of its own"
                )
            return delimiter, filled
    if not text.strip():
        raise InputUnreadable(f"{path} is empty", hint="it needs a column question")
    raise InputUnreadable(
        f"{path} has no column question; its columns are: {printable(', '.join(names))}",
        hint="name the columns in the first line: id,question",
    )


_READERS: dict[str, Callable[[str, Path], Iterator[_Row]]] = {
    ".txt": _txt, ".csv": _csv, ".jsonl": _jsonl,
}  # fmt: skip
_FILES = ", ".join(_READERS)
_SAVE = "save it as .csv with a column question, or as .txt with one question a line"
