"""Tables that are drawn with bars, in Markdown and plain text: rows with their columns' names.

A row alone, ``total debt | 1279 | 1278``, does not say what its figures are of. With the names of
its columns it does, ``total debt | 2017: 1279 | 2016: 1278``. Only what is shown and checked has
them: repeated in all that is searched they would make the rows of a table alike.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby, pairwise

from rag.clean import clean
from rag.converted import column_names

DRAWN = frozenset({"text", "markdown"})
CELLS, ROWS = " | ", "; "  # between cells and between rows, as they are shown
_FRAMED = re.compile(r"\s*\|.*\|\s*$")
_BAR = re.compile(r"(?<!\\)\|")
_RULE = re.compile(r"[\s|:+=-]+")
_FEWEST = 3  # lines without outer bars that are a table, not "Home | About | Contact"
_MAX_ABOVE = 500  # rows: the names of a longer table are out of sight for a person, too
_NO_NAME = re.compile(r"[-–—.\s]*")


Span = tuple[int, int]


@dataclass(slots=True)
class _Table:
    """Lines that stand together and have as many cells: offset and cells; a rule has no cells."""

    lines: list[tuple[int, tuple[Span, ...]]] = field(default_factory=list)
    framed: bool = True  # every line has outer bars


def bare_rows(text: str, lines: Iterable[Span]) -> dict[int, int]:
    """The lines of tables without outer bars, by their offsets: the offset of the table's first.

    Args:
        text: The stored text.
        lines: Spans of its lines.
    """
    tables = (table.lines for table in _tables(text, lines) if not table.framed)
    return {start: table[0][0] for table in tables for start, _ in table}


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table: its span without outer bars, and its cells with their columns' names."""

    start: int
    end: int
    shown: str


def named_rows(text: str, start: int, end: int, format_: str) -> list[Row]:
    """The rows that a text consists of; none where it is more than that, or they have no names.

    Args:
        text: The stored text.
        start: Offset of the text's first letter.
        end: Offset behind its last. Of rows that are cut there nothing is said.
        format_: Of the document; what was converted says the names in each row already.
    """
    if format_ not in DRAWN or not all("|" in line for line in text[start:end].splitlines()):
        return []
    found: list[Row] = []
    for table in _tables(text, _lines_around(text, text.rfind("\n", 0, start) + 1, end)):
        rows = [cells for _, cells in table.lines if cells]
        names = _names([[clean(text, [cell]).text for cell in row] for row in rows])
        for cells in rows[1:] if names else ():
            first, last = cells[0][0], cells[-1][1]
            if start <= first and last <= end:
                shown = (
                    f"{name}{': ' if name else ''}{seen}"
                    for name, cell in zip(names, cells, strict=True)
                    if (seen := clean(text, [cell]).text)
                )
                found.append(Row(first, last, CELLS.join(shown)))
    return found


def _lines_around(text: str, start: int, end: int) -> list[Span]:
    """The lines of a span, and those with bars above and just below them."""
    first, above = start, 0
    while first and above < _MAX_ABOVE:
        begin = text.rfind("\n", 0, first - 1) + 1
        if "|" not in text[begin:first]:
            break
        first, above = begin, above + 1
    lines: list[Span] = []
    below = 0
    while first < len(text) and below < _FEWEST:
        stop = text.find("\n", first)
        stop = len(text) if stop < 0 else stop
        lines.append((first, stop))
        first = stop + 1
        below += first > end
    return lines


def _tables(text: str, lines: Iterable[Span]) -> Iterator[_Table]:
    """The tables of a text, in order."""
    split = ((start, _cells(text, start, end), text[start:end]) for start, end in lines)
    for barred, run in groupby(split, key=lambda line: line[1] is not None):
        width, found = -1, [_Table()]
        for start, cells, line in run if barred else ():
            if cells and len(cells) != width:
                width = len(cells)
                found.append(_Table())
            found[-1].lines.append((start, cells or ()))
            found[-1].framed &= bool(_FRAMED.match(line))
        yield from (
            table for table in found if len(table.lines) >= (1 if table.framed else _FEWEST)
        )


def _cells(text: str, start: int, end: int) -> tuple[Span, ...] | None:
    """Spans of what stands between bars; nothing for a rule, None where there are no bars."""
    line = text[start:end]
    bars = [start + match.start() for match in _BAR.finditer(line)]
    if not bars:
        return None
    if _RULE.fullmatch(line):
        return ()
    edges = [start - 1, *bars, end]
    cells = [_trimmed(text, a + 1, b) for a, b in pairwise(edges)]
    outer = slice(cells[0][0] == cells[0][1], len(cells) - (cells[-1][0] == cells[-1][1]))
    return tuple(cells[outer])


def _trimmed(text: str, start: int, end: int) -> Span:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end


def _names(rows: list[list[str]]) -> tuple[str, ...]:
    """Names of all columns but perhaps the first: a gap may be a name that stands over two."""
    names = column_names(
        [["" if _NO_NAME.fullmatch(cell) else cell for cell in row] for row in rows]
    )
    return tuple(names) if all(names[1:]) else ()
