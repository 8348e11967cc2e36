"""What a parser makes of a file: a text of lines that ``split.py`` understands, and its places.

Headings become ``# `` lines, list items ``- `` lines, each row of a table one line that names its
columns, so that it can be cited alone. Everything else is a paragraph between empty lines.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

from rag.records import Place

_LINE_ENDS = re.compile("\r\n|[\r\n\v\f\x1c\x1d\x1e\x85\u2028\u2029]")
_NO_TEXT = re.compile("[\x00-\x08\x0e-\x1b\x1f\x7f\ud800-\udfff\ufffe\uffff]")
# What a line may not begin with unless it is meant: it would open a fence, a heading, a rule.
_MARKUP = re.compile(r"[ ]{0,3}(?:```|~~~|#{1,6}\s|[-=]{3,}\s*$)")
TRAIL = " › "  # between the headings of a path
CELLS = " | "  # between the cells of a row
_MAX_LABEL = 60  # code points of each heading in a path


class Unreadable(Exception):
    """A file that cannot be read; its text is the reason that the user is told."""


@dataclass(slots=True)
class About:
    """What a file says of itself; "" where it does not."""

    title: str = ""
    date: str = ""
    author: str = ""
    language: str = ""
    encoding: str = ""
    warning: str = ""


@dataclass(frozen=True, slots=True)
class Converted:
    """A file as text."""

    text: str
    places: tuple[Place, ...]
    about: About


@dataclass(frozen=True, slots=True)
class Picture:
    """A page as it is seen.

    Attributes:
        pixels: One byte each, 0 is black, row by row.
        width: Pixels in a row.
        height: Rows.
        dpi: Pixels in an inch.
    """

    pixels: bytes
    width: int
    height: int
    dpi: int

    def turned(self) -> Picture:
        """The same upside down."""
        return replace(self, pixels=self.pixels[::-1])


# Picture, its page and the number of pages -> text, "" where there is none.
Recognise = Callable[[Picture, int, int], str]


@dataclass(slots=True)
class Trail:
    """The headings that a place stands under, each of a lower level than the one before."""

    _path: list[tuple[int, str]] = field(default_factory=list)

    def enter(self, title: str, level: int) -> str:
        """Go on under another heading; returns the path to it, ``Methods › Data``."""
        while self._path and self._path[-1][0] >= level:
            self._path.pop()
        self._path.append((level, title))
        names = (n if len(n) <= _MAX_LABEL else f"{n[:_MAX_LABEL]}…" for _, n in self._path)
        return TRAIL.join(names)


@dataclass(slots=True)
class TextWriter:
    """Collects the text of one file.

    Attributes:
        max_chars: A longer text is refused.
    """

    max_chars: int
    about: About = field(default_factory=About)
    _parts: list[str] = field(default_factory=list)
    _length: int = 0
    _places: list[Place] = field(default_factory=list)
    _trail: Trail = field(default_factory=Trail)
    _last: str = ""

    def paragraph(self, text: str) -> None:
        """Lines that stay as they are, between empty lines."""
        lines = [_line(line) for line in _LINE_ENDS.split(text)]
        self._put("paragraph", "\n".join(lines).strip("\n"))

    def heading(self, text: str, level: int) -> None:
        """A heading; until the next one it is part of the place."""
        if not (title := flat(text)):
            return
        path = self._trail.enter(title, level)
        start = self._put("heading", f"{'#' * min(max(level, 1), 6)} {title}")
        if not self._places or self._places[-1].page is None:
            self._mark(Place(start, path))

    def item(self, text: str) -> None:
        """An entry of a list."""
        if entry := flat(text):
            self._put("item", f"- {entry}")

    def table(self, rows: list[list[str]], *, places: str | None = None) -> None:
        """A table, one line a row; empty cells and rows are left out.

        Args:
            rows: All of them; where the first that is not empty holds names, the others carry them.
            places: What stands before "row 5" in the place of a row; None for no places.
        """
        first = next((at for at, row in enumerate(rows) if any(map(flat, row))), len(rows))
        names = column_names(rows[first:])
        for number, row in enumerate(rows[first + bool(names) :], first + bool(names) + 1):
            shown = with_names(map(flat, row), names)
            if shown:
                start = self._put("row", f"| {shown} |")
                if places is not None:
                    self._mark(Place(start, f"{places}row {number}"))

    def code(self, text: str) -> None:
        """Lines that are no prose."""
        lines = [_line(line) for line in _LINE_ENDS.split(text)]
        body = "\n".join(lines).strip("\n")
        if body.strip():
            self._put("code", f"```\n{body}\n```")

    def page(self, number: int, label: str) -> None:
        """A page begins; places of headings do not count until the end of the text."""
        self._last = ""
        self._mark(Place(self._length + 2 * bool(self._length), label, number))

    def mark(self, label: str) -> None:
        """A record begins; its headings are part of no other."""
        self._last = ""
        self._trail = Trail([(0, label)])
        self._mark(Place(self._length + 2 * bool(self._length), label))

    def done(self) -> Converted:
        """The text with its places."""
        end = self._length
        places = tuple(place for place in self._places if place.start < end)
        return Converted("".join(self._parts), places, self.about)

    def _mark(self, place: Place) -> None:
        if self._places and self._places[-1].start == place.start:
            self._places.pop()
        self._places.append(place)

    def _put(self, kind: str, text: str) -> int:
        """Append a block; returns where it begins."""
        if not text.strip():
            return self._length
        close = kind == self._last and kind in ("item", "row")
        text = ("\n" if close else "\n\n" if self._parts else "") + text
        self._last = kind
        start = self._length + len(text) - len(text.lstrip("\n"))
        self._length += len(text)
        if self._length > self.max_chars:
            raise Unreadable(f"its text is over {self.max_chars / 1e6:g} MB (max_file_mb)")
        self._parts.append(text)
        return start


def flat(text: str) -> str:
    """A text on one line, without what is no text."""
    return " ".join(_NO_TEXT.sub("", text).split())


def column_names(rows: list[list[str]]) -> list[str]:
    """The names in the first row of a table, "" for a column without; empty where it names none.

    Numbers are no names, but years may be: where something else stands below them.
    """
    if len(rows) < 2:
        return []
    names = [flat(cell) for cell in rows[0]]
    given = [name for name in names if name]
    # The same name side by side is one that stands over several columns.
    if len(set(given)) < sum(1 for _ in groupby(given)) or len(given) * 2 < len(names):
        return []
    if len(set(given)) < 2 and (len(names) != 2 or names[0]):
        return []  # one name is enough for the figures beside what they are of
    for at, name in enumerate(names):
        if len(name) > 80 or (_number(name) and not _is_year(name, rows[1:], at)):
            return []
    return names


def with_names(cells: Iterable[str], names: Sequence[str]) -> str:
    """A row of a table, each cell behind the name of its column; empty cells are left out."""
    return CELLS.join(
        f"{names[at]}: {cell}" if at < len(names) and names[at] else cell
        for at, cell in enumerate(cells)
        if cell
    )


_YEAR = re.compile(r"(?:1[89]|20)\d\d")


def _is_year(name: str, rows: list[list[str]], at: int) -> bool:
    """Whether the name of a column is a year, and something below it is none."""
    if not _YEAR.fullmatch(name):
        return False
    below = (flat(row[at]) for row in rows if at < len(row))
    return any(cell and not _YEAR.fullmatch(cell) for cell in below)


def _number(text: str) -> bool:
    return not any(c.isalpha() for c in text) and any(c.isdigit() for c in text)


def iso_date(text: str) -> str:
    """``YYYY-MM-DD`` from what begins as an ISO or PDF date, or ""."""
    match = re.match(r"(?:D:)?(\d{4})-?(0[1-9]|1[0-2])-?(0[1-9]|[12]\d|3[01])(?!\d{7})", text)
    return "-".join(match.groups()) if match else ""


def _line(line: str) -> str:
    line = _NO_TEXT.sub("", line).rstrip()
    return f"    {line.lstrip()}" if _MARKUP.match(line) else line
