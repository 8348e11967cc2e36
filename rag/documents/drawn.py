"""Tables that are drawn with bars, in Markdown and plain text: rows with their columns' names.

A row alone, ``total debt | 1279 | 1278``, does not say what its figures are of. With the names of
its columns it does, ``total debt | 2017: 1279 | 2016: 1278``. Only what is shown and checked has
them: repeated in all that is searched they would make the rows of a table alike.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby, pairwise

from rag.clean import clean, trimmed
from rag.documents.converted import column_names, with_names

ROWS = "; "  # between rows, as they are shown
FRAMED = re.compile(r"\s*\|.*\|\s*$")
_DRAWN = frozenset({"text", "markdown"})  # formats
_BAR = re.compile(r"(?<!\\)\|")
_RULE = re.compile(r"[\s|:+=-]+")
_FEWEST = 3  # lines without outer bars that are a table, not "Home | About | Contact"
_MAX_ABOVE = 500  # rows: the names of a longer table are out of sight for a person, too
_MAX_LINE = 20_000  # code points; what is longer was written by no person
_NO_NAME = re.compile(r"[-–—.\s]*")


Range = tuple[int, int]  # of offsets
Line = tuple[int, tuple[Range, ...]]  # of a table: its offset, its cells; a rule has none


@dataclass(frozen=True, slots=True)
class Piece:
    """A line of a text in which a table stands.

    Attributes:
        start: Offset of its first letter.
        end: Offset behind its last.
        shown: What a reader sees of it; of a row its cells with the names of their columns.
        row: Whether it is a row.
    """

    start: int
    end: int
    shown: str
    row: bool


def pieces(text: str, start: int, end: int, format_: str) -> list[Piece]:
    """The lines of a text but those with names of columns; none where it has no row with names.

    Args:
        text: The stored text.
        start: Offset of the text's first letter.
        end: Offset behind its last. A row that is cut there gets no names.
        format_: Of the document; what was converted says the names in each row already.
    """
    if format_ not in _DRAWN or "|" not in text[start:end]:
        return []
    lines = _lines_around(text, text.rfind("\n", 0, start) + 1, end)
    if any(last - first > _MAX_LINE for first, last in lines):
        return []
    named = {line: row for table in _tables(text, lines) for line, row in _rows(text, table)}
    found: list[Piece] = []
    for first, last in lines:
        cut = trimmed(text, max(first, start), min(last, end))
        row = named.get(first)
        if row and start <= row.start and row.end <= end:
            found += [row] if row.shown else []
        elif cut[0] < cut[1]:
            found.append(Piece(*cut, clean(text, [cut]).text, row=False))
    return found if any(piece.row for piece in found) else []


def _rows(text: str, table: list[Line]) -> Iterator[tuple[int, Piece]]:
    """Each row of a table by the offset of its line; nothing is shown of one that says nothing."""
    rows = [cells for _, cells in table if cells]
    names = _names([[clean(text, [cell]).text for cell in row] for row in rows])
    for line, cells in table if names else ():
        said = bool(cells) and cells is not rows[0]
        shown = with_names((clean(text, [cell]).text for cell in cells), names) if said else ""
        start, end = (cells[0][0], cells[-1][1]) if cells else (line, line)
        yield line, Piece(start, end, shown, row=said)


def _lines_around(text: str, start: int, end: int) -> list[Range]:
    """The lines of a span, and those with bars above and just below them."""
    first, above = start, 0
    while first and above < _MAX_ABOVE:
        begin = text.rfind("\n", 0, first - 1) + 1
        if "|" not in text[begin:first]:
            break
        first, above = begin, above + 1
    lines: list[Range] = []
    below = 0
    while first < len(text) and below < _FEWEST:
        stop = text.find("\n", first)
        stop = len(text) if stop < 0 else stop
        lines.append((first, stop))
        first = stop + 1
        below += first > end
    return lines


def _tables(text: str, lines: Iterable[Range]) -> Iterator[list[Line]]:
    """The tables of a text: lines that stand together and have as many cells."""
    split = ((start, _cells(text, start, end), text[start:end]) for start, end in lines)
    for barred, run in groupby(split, key=lambda line: line[1] is not None):
        width = -1
        found: list[list[tuple[int, tuple[Range, ...], bool]]] = [[]]
        for start, cells, line in run if barred else ():
            if cells and len(cells) != width:
                width = len(cells)
                found.append([])
            found[-1].append((start, cells or (), bool(FRAMED.match(line))))
        for table in found:
            if len(table) >= (1 if all(framed for _, _, framed in table) else _FEWEST):
                yield [(start, cells) for start, cells, _ in table]


def _cells(text: str, start: int, end: int) -> tuple[Range, ...] | None:
    """Spans of what stands between bars; nothing for a rule, None where there are no bars."""
    line = text[start:end]
    bars = [start + match.start() for match in _BAR.finditer(line)]
    if not bars:
        return None
    if _RULE.fullmatch(line):
        return ()
    edges = [start - 1, *bars, end]
    cells = [trimmed(text, a + 1, b) for a, b in pairwise(edges)]
    outer = slice(cells[0][0] == cells[0][1], len(cells) - (cells[-1][0] == cells[-1][1]))
    return tuple(cells[outer])


def _names(rows: list[list[str]]) -> tuple[str, ...]:
    """Names of all columns but perhaps the first: a gap may be a name that stands over two."""
    names = column_names(
        [["" if _NO_NAME.fullmatch(cell) else cell for cell in row] for row in rows]
    )
    return tuple(names) if all(names[1:]) else ()
