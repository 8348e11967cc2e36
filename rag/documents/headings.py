"""Where the headings of Markdown and reStructuredText stand, and which lines are no prose.

Markdown is read by markdown-it-py, its blocks alone, so that what stands in code, in a comment or
in a quotation is no heading. Of reStructuredText the section titles are found by the rules of
docutils (docs/formats.md says why not by docutils itself). The text stays as it is: everything
here is an offset into it.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

from rag.clean import clean, line_starts
from rag.documents.converted import Trail
from rag.documents.front import front_matter
from rag.records import Place

if TYPE_CHECKING:
    from markdown_it.token import Token

OUTLINED = frozenset({"markdown", "rst"})
_NESTING = 6  # lists and quotations in each other; what is deeper has no headings
_FENCE = re.compile(r"[\s>]*(?:```|~~~)")
_ADORNMENT = re.compile(r"([!-/:-@\[-`{-~])\1*\s*")
# What begins a block of its own at the left margin: no title of a section.
_NO_TITLE = re.compile(r"[-*+•‣⁃]\s|:(?![: ])[^:\n]{1,80}:\s|\.\.\s|__\s|>>>\s|\|\s|\+[-=]")
_BRIEF = 4  # adornments shorter than that and than their title are words


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading: the spans of its words, line by line, and its level, from 1."""

    spans: tuple[tuple[int, int], ...]
    level: int


@dataclass(frozen=True, slots=True)
class Outline:
    """What the lines of a text are, by the offsets at which they begin.

    Attributes:
        headings: In order, by their first line, adornment included.
        code: Lines inside of fenced code.
        markup: Fences, underlines, and further lines of headings: they say nothing of their own.
    """

    headings: dict[int, Heading] = field(default_factory=dict)
    code: frozenset[int] = frozenset()
    markup: frozenset[int] = frozenset()


@lru_cache(maxsize=1)  # reading and splitting a document both ask
def outline(text: str, format_: str) -> Outline:
    """The outline of a text in one of the formats ``OUTLINED``; empty for others."""
    if format_ == "markdown":
        return _markdown(text)
    return _restructured(text) if format_ == "rst" else Outline()


def heading_places(text: str, format_: str) -> tuple[Place, ...]:
    """The path of headings, ``Install › Linux``, from where each heading begins."""
    trail = Trail()
    return tuple(
        Place(start, trail.enter(title, heading.level))
        for start, heading in outline(text, format_).headings.items()
        if (title := clean(text, list(heading.spans)).text)
    )


# -- Markdown -----------------------------------------------------------------------------------


def _markdown(text: str) -> Outline:
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"maxNesting": _NESTING})
    parser.core.ruler.enableOnly(["normalize", "block"])
    first = front_matter(text) or int(text.startswith("\ufeff"))
    starts = [first + start for start in line_starts(text[first:])] + [len(text)]
    headings: dict[int, Heading] = {}
    code: set[int] = set()
    markup: set[int] = set()
    tokens = parser.parse(text[first:])
    quoted = 0
    for token, following in zip(tokens, [*tokens[1:], None], strict=False):
        quoted += (token.type == "blockquote_open") - (token.type == "blockquote_close")
        if token.map is None:
            continue
        lines = [(starts[n], starts[n + 1]) for n in range(*token.map)]
        if token.type == "fence":
            fences = [lines[0], *(line for line in lines[-1:] if _FENCE.match(text[slice(*line)]))]
            markup.update(start for start, _ in fences)
            code.update(start for start, _ in lines if start not in markup)
        elif token.type == "heading_open" and following is not None:
            markup.update(start for start, _ in lines[1:])
            if spans := _said(text, lines, following) if not quoted else ():
                headings[lines[0][0]] = Heading(spans, int(token.tag[1:]))
    return Outline(headings, frozenset(code), frozenset(markup))


def _said(text: str, lines: list[tuple[int, int]], words: Token) -> tuple[tuple[int, int], ...]:
    """The spans of a heading's words: the parser gives them without their place."""
    spans = []
    for (start, end), said in zip(lines, words.content.split("\n"), strict=False):
        at = text.find(said, start, end)
        if said and at >= 0:
            spans.append((at, at + len(said)))
    return tuple(spans)


# -- reStructuredText ---------------------------------------------------------------------------


def _restructured(text: str) -> Outline:
    """Section titles, as ``docutils.parsers.rst.states`` tells them from other lines.

    A title stands at the left margin, where a block begins, over a line of one punctuation mark
    that is as long or has four marks at least; or, also indented, between two such lines.
    """
    starts = [*line_starts(text), len(text)]
    lines = [text[a:b].rstrip() for a, b in pairwise(starts)]
    lines += ["", ""]
    styles: list[str] = []
    headings: dict[int, Heading] = {}
    markup: set[int] = set()
    begins = True  # whether a block may begin in this line
    at = 0
    while at < len(lines) - 2:
        over, title, under = lines[at : at + 3]
        if begins and _adorns(over, title.strip()) and over == under:
            style, row, height = over[0] * 2, at + 1, 3
        elif begins and _is_title(over) and _adorns(title, over):
            style, row, height = title[0], at, 2
        else:
            begins = not over or over[0].isspace() or over.startswith(".. ")
            at += 1
            continue
        if style not in styles:
            styles.append(style)
        words = lines[row].lstrip()
        end = starts[row] + len(lines[row])
        headings[starts[at]] = Heading(((end - len(words), end),), styles.index(style) + 1)
        markup.update(starts[at + 1 : at + height])
        at, begins = at + height, True
    return Outline(headings, markup=frozenset(markup))


def _is_title(line: str) -> bool:
    return bool(line) and not line[0].isspace() and not _NO_TITLE.match(line)


def _adorns(line: str, title: str) -> bool:
    """Whether a line is one mark again and again, and long enough for the title."""
    if not title or not line or line == "::" or not _ADORNMENT.fullmatch(line):
        return False
    return len(line) >= _BRIEF or len(line) >= _columns(title)


def _columns(text: str) -> int:
    return sum(1 + (unicodedata.east_asian_width(c) in "WF") for c in text)
