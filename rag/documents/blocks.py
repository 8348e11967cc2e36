"""The lines of a document to blocks: heading, paragraph, list item, table row, code, furniture.

Every block knows its spans in the stored text, and what a reader sees of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from rag.clean import Cleaned, clean
from rag.documents.describe import find_date
from rag.documents.drawn import FRAMED
from rag.documents.front import front_matter
from rag.documents.headings import OUTLINED, outline
from rag.words import STOPWORDS

_MAX_BLOCK = 50_000  # code points; a longer line is cut, behind a sentence if it can be
_MAX_GAP = 600  # code points of page furniture that a sentence may run across
_WHOLE = frozenset("docx epub html pptx sheet csv".split())  # formats that mark paragraphs
_MAX_FOOT = 8  # short lines at the end of a document that may be a page's foot

Kind = Literal["heading", "paragraph", "item", "row", "code", "furniture", "note"]

_HEADING = re.compile(r"\s{0,3}#{1,6}\s+(?=\S)")
_UNDERLINE = re.compile(r"\s{0,3}(=+|-{3,})\s*$")
_RULE = re.compile(r"\s{0,3}([-*_=~]\s*){3,}$")
_ITEM = re.compile(r"\s*(?:[-*+•►▪▸‣◦●–—]|\d{1,3}[.)]|\(\w\))\s+(?=\S)")
_FENCE = re.compile(r"\s{0,3}(```|~~~)")
_FIELD = re.compile(r":[^:\n]{1,60}:(?:\s|$)")  # of reStructuredText
_NOTE = re.compile(r"\[\^?\d{1,3}\]:?\s+\S")
_ENDS = re.compile(r"[.!?…:;。！？][\"'”’»)\]*_]*$")
_PAGE_NUMBER = re.compile(
    r"(?:page|p\.|seite)?\s*[-–|]?\s*\d{1,4}\s*(?:(?:of|/|von)\s*\d{1,4})?\s*[-–|]?", re.I
)
_ADDRESS = re.compile(
    r"(?:https?://|www\.)\S+|\S+@\S+\.\w+|(?:[\w-]+\.)+(?:com|org|net|eu|info|edu|gov)(?:/\S*)?",
    re.I,
)
_NAVIGATION = re.compile(
    r"leave a (?:reply|comment)|your e-?mail address will not be published.*|required fields.*"
    r"|(?:subscribe|sign up)(?: to| for)?(?: our)?(?: newsletters?.*)?|share (?:this|on|via).*"
    r"|follow us.*|read (?:more|next|also).*|related (?:articles|posts|stories|content)"
    r"|latest (?:from|news|posts|articles).*|don['’]t miss|from twitter|most (?:read|popular)"
    r"|(?:accept|manage) (?:all )?cookies.*|(?:privacy|cookie) (?:policy|settings|notice)"
    r"|terms (?:of|and) (?:use|service|conditions).*|skip to (?:main )?content|click here.*"
    r"|(?:log|sign) in|advertisement|back to top|menu|search|print|tags?|comments?"
    r"|(?:©|\(c\)|copyright).*|all rights reserved.*|table of contents|to contact .* visit:",
    re.I,
)


@dataclass(slots=True)
class Block:
    """Consecutive lines that belong together, by their spans in the stored text."""

    kind: Kind
    spans: list[tuple[int, int]]
    cleaned: Cleaned = field(default_factory=lambda: Cleaned("", []))

    @property
    def text(self) -> str:
        """What a reader sees of it."""
        return self.cleaned.text


def blocks_of(text: str, format_: str) -> list[Block]:
    """The blocks of a text, in order; those of which a reader sees nothing are left out."""
    blocks: list[Block] = []
    current: Block | None = None
    code, marked = format_ == "code", format_ in OUTLINED
    fenced = code
    lines = outline(text, format_)
    first = front_matter(text) if format_ in ("text", "markdown") else 0
    for start, end in _lines(text, first):
        line = text[start:end]
        if start in lines.markup or (_FENCE.match(line) and not (code or marked)):
            fenced, current = not (fenced or marked), None
            continue
        if heading := lines.headings.get(start):
            blocks.append(Block("heading", list(heading.spans)))
            current = None
            continue
        if marked:
            fenced = start in lines.code
        if fenced:
            if line.strip():
                blocks.append(Block("code", [(start, end)]))
            continue
        if not line.strip() or (_RULE.match(line) and (marked or not _UNDERLINE.match(line))):
            current = None
            continue
        if not marked and _UNDERLINE.match(line):
            if current and current.kind == "paragraph" and len(current.spans) == 1:
                current.kind = "heading"
            current = None
            continue
        if not marked and (match := _HEADING.match(line)):
            stop = len(line.rstrip())
            bare = line[:stop].rstrip("#")  # "## Title ##" is closed, "# Learn C#" is not
            stop = len(bare.rstrip()) if bare[-1:].isspace() else stop
            blocks.append(Block("heading", [(start + match.end(), start + stop)]))
            current = None
            continue
        if FRAMED.match(line):
            if set(line.strip()) - set("|-: "):
                blocks.append(Block("row", [(start, end)]))
            current = None
            continue
        if format_ == "rst" and _FIELD.match(line):
            current = Block("item", [(start, end)])
            blocks.append(current)
            continue
        if match := _ITEM.match(line):
            current = Block("item", [(start + match.end(), end)])
            blocks.append(current)
            continue
        if current and _continues(text, current, line):
            current.spans.append((start, end))
            continue
        kind: Kind = "note" if _NOTE.match(line) else "paragraph"
        current = Block(kind, [(start, end)])
        blocks.append(current)
    for block in blocks:
        block.cleaned = clean(text, block.spans)
    return [block for block in blocks if block.text]


def _lines(text: str, start: int) -> Iterator[tuple[int, int]]:
    """Spans of lines without their ends; over-long lines come in pieces cut at white space."""
    for match in re.compile(r"[^\r\n]*(?:\r\n|\r|\n|\Z)").finditer(text, start):
        at, stop = match.start(), match.start() + len(match.group().rstrip("\r\n"))
        while stop - at > _MAX_BLOCK:
            half, whole = at + _MAX_BLOCK // 2, at + _MAX_BLOCK
            cuts = (text.rfind(mark, half, whole) + 1 for mark in (". ", "。", " ", "\t"))
            cut = next((cut for cut in cuts if cut), whole)
            yield at, cut
            at = cut
        yield at, stop


def _continues(text: str, block: Block, line: str) -> bool:
    """Whether a line goes on with the block above: wrapped text does, a list of lines not."""
    start, end = block.spans[-1]
    above = text[start:end]
    if sum(b - a for a, b in block.spans) > _MAX_BLOCK or above.endswith("  "):
        return False
    if line.lstrip().startswith("©"):
        return False
    return len(above.strip()) >= 45 or line.lstrip()[:1].islower()


def mark_furniture(blocks: list[Block], title: str) -> None:
    """Page numbers, running headers, navigation and addresses: not retrieved, never cited."""
    seen: set[str] = set()
    for block in blocks:
        line = block.text.rstrip(".")
        short = len(line) < 120 and len(block.spans) == 1 and block.kind != "row"
        again = short and line in seen and (len(line.split()) <= 12 or line == title)
        if short:
            seen.add(line)
        few = len(line.split()) <= 14
        if (
            again
            or _PAGE_NUMBER.fullmatch(line)
            or (few and len(line) < 300 and _ADDRESS.fullmatch(line))
            or (few and _NAVIGATION.fullmatch(line))
            or not any(c.isalnum() for c in line)
        ):
            block.kind = "furniture"
    # What is left of a page's foot, where the document ends in one.
    foot = blocks[-_MAX_FOOT:] if blocks and blocks[-1].kind == "furniture" else []
    for block in reversed(foot):
        words = block.text.split()
        if block.kind == "furniture":
            continue
        if len(words) > 3 or _ENDS.search(block.text) or any(c.isdigit() for c in block.text):
            break
        block.kind = "furniture"
    for at, block in enumerate(blocks):
        after = blocks[at + 1] if at + 1 < len(blocks) else None
        if block.kind == "paragraph" and _plain_heading(block, after):
            block.kind = "heading"


def _plain_heading(block: Block, after: Block | None) -> bool:
    """A heading without markup: a short line without a full stop, or one in capitals."""
    text, words = block.text, block.text.split()
    letters = [c for c in text if c.isalpha()]
    if len(block.spans) > 1 or not letters or find_date(text):
        return False
    if len(words) < 5 and any(c.isdigit() for c in text):
        return False
    if len(words) >= 2 and len(words) <= 25 and all(c.isupper() for c in letters):
        return True
    return (
        len(words) <= 14
        and len(text) < 110
        and not _ENDS.search(text)
        and not text.endswith(",")
        and (letters[0].isupper() or not letters[0].islower())
        and after is not None
        and after.kind in ("paragraph", "item")
        and len(after.text) > len(text)
        and not after.text[:1].islower()
    )


def join_broken(blocks: list[Block], format_: str) -> list[Block]:
    """Put sentences together again that a page break tore apart, in formats that have such.

    A paragraph that stops without a full stop goes on in the next one that begins in lower case,
    and one that stops at a function word ("exports to") goes on in any, across page numbers,
    running headers and footnotes. The joined sentence's span covers what
    lies between; what is shown leaves it out.
    """
    if format_ in _WHOLE:
        return blocks
    joined: list[Block] = []
    for block in blocks:
        torn = False
        if block.kind in ("paragraph", "heading"):
            for earlier in reversed(joined[-5:]):
                if earlier.kind in ("furniture", "note"):
                    continue
                tail = earlier.text[-_MAX_GAP:]
                words = tail.split()
                torn = (
                    earlier.kind in ("paragraph", "item")
                    and len(earlier.text) < _MAX_BLOCK
                    and not _ENDS.search(tail)
                    and (block.text[:1].islower() or words[-1].lower() in STOPWORDS)
                    and (len(words) >= 6 or block.text[:1].islower())
                    and block.spans[0][0] - earlier.spans[-1][1] <= _MAX_GAP
                )
                if torn:
                    earlier.spans += block.spans
                    offsets = earlier.cleaned.offsets
                    offsets += [block.cleaned.offsets[0], *block.cleaned.offsets]
                    earlier.cleaned = Cleaned(f"{earlier.text} {block.text}", offsets)
                break
            if torn:
                continue
        joined.append(block)
    return joined
