"""Document to Passages and sentences with exact offsets.

    lines -> blocks (heading, paragraph, list item, table row, code; furniture left out)
          -> sentences of each block -> passages of each section

Nothing here knows how passages are embedded or stored; the caller says how long they may be and
how length is counted.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

from rag.clean import Cleaned, clean
from rag.describe import Description, acronyms, describe, find_date, front_matter
from rag.records import Acronym, Document, Passage, Sentence
from rag.words import STOPWORDS

# Stored with the index: another version of these rules means other passages.
VERSION = 1
TARGET_TOKENS = 160
_MAX_BLOCK = 50_000  # code points; a longer line is cut, behind a sentence if it can be
_MAX_GAP = 600  # code points of page furniture that a sentence may run across
_MAX_FOOT = 8  # short lines at the end of a document that may be a page's foot

Kind = Literal["heading", "paragraph", "item", "row", "code", "furniture", "note"]

_HEADING = re.compile(r"\s{0,3}#{1,6}\s+(?=\S)")
_UNDERLINE = re.compile(r"\s{0,3}(=+|-{3,})\s*$")
_RST_UNDERLINE = re.compile(r"([=~^\"'`*+#.:_-])\1{2,}\s*$")
_RULE = re.compile(r"\s{0,3}([-*_=~]\s*){3,}$")
_ITEM = re.compile(r"\s*(?:[-*+•►▪▸‣◦●–—]|\d{1,3}[.)]|\(\w\))\s+(?=\S)")
_FENCE = re.compile(r"\s{0,3}(```|~~~)")
_ROW = re.compile(r"\s*\|.*\|\s*$")
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


@dataclass(frozen=True, slots=True)
class Split:
    """A document taken apart."""

    description: Description
    passages: tuple[Passage, ...]
    acronyms: tuple[Acronym, ...]


def split(document: Document, *, count: Callable[[str], int], max_tokens: int) -> Split:
    """Split a document.

    Args:
        document: What was read.
        count: Length of a text in the embedder's tokens, special ones included.
        max_tokens: The embedder's limit; ``embedding_text`` of every passage fits it.
    """
    blocks = _blocks(document.text, document.format)
    head = [(b.text, b.kind == "heading") for b in blocks[:10] if b.text and b.kind != "furniture"]
    repeats = Counter(b.text.rstrip(".") for b in blocks if len(b.text) < 120)
    description = describe(
        document.text,
        head=head,
        repeated={b.text for b in blocks if repeats[b.text.rstrip(".")] > 1},
    )
    description = replace(description, **_stated(document))
    _mark_furniture(blocks, description.title)
    joined = _join_broken(blocks)
    passages = tuple(
        _passages(document.text, joined, description.title, count=count, max_tokens=max_tokens)
    )
    return Split(
        description=description,
        passages=passages,
        acronyms=tuple(acronyms(" ".join(b.text for b in joined if b.kind != "furniture"))),
    )


def _stated(document: Document) -> dict[str, str]:
    """What the format itself says of a document: it goes before what its text shows."""
    names = ("title", "date", "author", "language")
    return {name: value for name in names if (value := getattr(document, name))}


def embedding_text(passage: Passage, title: str) -> str:
    """What of a passage is embedded: where it stands, then what it says."""
    heading = "" if passage.heading == title else passage.heading
    place = " › ".join(part for part in (_brief(title), _brief(heading)) if part)
    return f"{place}\n{passage.clean}" if place else passage.clean


def _brief(text: str) -> str:
    """At most 120 bytes of UTF-8: a Chinese letter is a token, a Latin one a fifth of it."""
    return text.encode()[:120].decode(errors="ignore")


# -- blocks -------------------------------------------------------------------------------------


def _blocks(text: str, format_: str) -> list[Block]:
    blocks: list[Block] = []
    current: Block | None = None
    code, rst = format_ == "code", format_ == "rst"
    fenced = code
    underline = _RST_UNDERLINE if rst else _UNDERLINE
    first = front_matter(text) if format_ in ("text", "markdown") else 0
    for start, end in _lines(text, first):
        line = text[start:end]
        if _FENCE.match(line) and not (code or rst):
            fenced, current = not fenced, None
            continue
        if fenced:
            if line.strip():
                blocks.append(Block("code", [(start, end)]))
            continue
        if not line.strip() or (_RULE.match(line) and not underline.match(line)):
            current = None
            continue
        if underline.match(line):
            if current and current.kind == "paragraph" and len(current.spans) == 1:
                current.kind = "heading"
            current = None
            continue
        if match := _HEADING.match(line):
            stop = len(line.rstrip())
            bare = line[:stop].rstrip("#")  # "## Title ##" is closed, "# Learn C#" is not
            stop = len(bare.rstrip()) if bare[-1:].isspace() else stop
            blocks.append(Block("heading", [(start + match.end(), start + stop)]))
            current = None
            continue
        if _ROW.match(line):
            if set(line.strip()) - set("|-: "):
                blocks.append(Block("row", [(start, end)]))
            current = None
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


def _mark_furniture(blocks: list[Block], title: str) -> None:
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


def _join_broken(blocks: list[Block]) -> list[Block]:
    """Put sentences together again that a page break tore apart.

    A paragraph that stops without a full stop goes on in the next one that begins in lower case,
    and one that stops at a function word ("exports to") goes on in any, across page numbers,
    running headers and footnotes. The joined sentence's span covers what
    lies between; what is shown leaves it out.
    """
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


# -- sentences and passages ---------------------------------------------------------------------

_CJK_STOP = re.compile(r"[。！？][”」』）]*")
_CLOSING = re.compile(r"(?:\]\([^)\n]{0,2000}\)|\[\^?\d{1,3}\])*")
_LONG_RUN = re.compile(r"\S{500,}")
_MERGE_BACK = re.compile(r"^[\W_]*$|^[a-zß-ÿ]")


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """Spans of the sentences of a cleaned text (nupunkt, then Chinese and Japanese full stops)."""
    import nupunkt

    spans: list[tuple[int, int]] = []
    # It is quadratic in runs without white space; no full stop of a sentence is inside of one.
    tame = _LONG_RUN.sub(lambda m: f"{m[0][:100]}{'x' * (len(m[0]) - 200)}{m[0][-100:]}", text)
    for start, end in nupunkt.sent_spans(tame):
        while start < end and text[start].isspace():
            start += 1
        while end > start and text[end - 1].isspace():
            end -= 1
        if start == end:
            continue
        # What begins in lower case, or is only punctuation, ended at no full stop.
        if (
            spans
            and _MERGE_BACK.match(text[start:end])
            and not _CJK_STOP.search(text, max(0, start - 3), start)
        ):
            spans[-1] = (spans[-1][0], end)
            continue
        at = start
        for match in _CJK_STOP.finditer(text, start, end):
            if match.end() < end:
                spans.append((at, match.end()))
                at = match.end() + (text[match.end()] == " ")
        spans.append((at, end))
    return spans


def _sentences(
    text: str, block: Block, *, count: Callable[[str], int], limit: int
) -> Iterator[Sentence]:
    cleaned = block.cleaned
    whole = [(0, len(cleaned.text))]
    spans = [
        piece
        for span in (
            whole if block.kind in ("heading", "row", "code") else sentence_spans(cleaned.text)
        )
        for piece in _fit(cleaned.text, *span, count=count, limit=limit)
    ]
    low = block.spans[0][0]
    for number, (start, end) in enumerate(spans):
        first = cleaned.offsets[start]
        stop = cleaned.offsets[end - 1] + 1
        # Markup that hugs the sentence is quoted with it, so that links and emphasis stay whole.
        last = number + 1 == len(spans)
        high = block.spans[-1][1] if last else cleaned.offsets[spans[number + 1][0]]
        while first > low and not text[first - 1].isspace():
            first -= 1
        while stop < high and not text[stop].isspace():
            stop += 1
        if stop == high and not last:  # no space between two sentences: what opens the next is its
            behind = cleaned.offsets[end - 1] + 1
            closing = _CLOSING.match(text, behind, high)
            stop = closing.end() if closing else behind
        low = stop
        yield Sentence(first, stop, cleaned.text[start:end])


def _passages(
    text: str,
    blocks: list[Block],
    title: str,
    *,
    count: Callable[[str], int],
    max_tokens: int,
) -> Iterator[Passage]:
    heading = ""
    group: list[Sentence] = []
    size = 0

    def close() -> Iterator[Passage]:
        nonlocal group, size
        if group:
            # A footnote shown behind a torn sentence stands inside its span.
            start, end = min(s.start for s in group), max(s.end for s in group)
            yield Passage(start, end, heading, tuple(group))
        group, size = [], 0

    for at, block in enumerate(blocks):
        if block.kind == "furniture":
            continue
        if block.kind == "heading":
            yield from close()
            heading = block.text
            body = at + 1 < len(blocks) and blocks[at + 1].kind not in ("heading", "furniture")
            if len(heading.split()) < 5 and body:
                continue
        prefix = count(embedding_text(Passage(0, 0, heading, ()), title))
        limit = max_tokens - prefix - 2
        target = min(TARGET_TOKENS, limit)
        sentences = list(_sentences(text, block, count=count, limit=limit))
        sizes = [count(s.clean) for s in sentences]
        if group and size + sum(sizes) > target and size >= target // 2:
            yield from close()
        for sentence, length in zip(sentences, sizes, strict=True):
            if (group and size + length > limit) or size >= target:
                yield from close()
            group.append(sentence)
            size += length
    yield from close()


def _fit(
    text: str, start: int, end: int, *, count: Callable[[str], int], limit: int
) -> Iterator[tuple[int, int]]:
    """The span of a sentence; one longer than a passage may be in pieces, cut at white space."""
    # So many code points are never few enough tokens: counting them would cost more than cutting.
    if end - start < 2 or (end - start < 20 * limit and count(text[start:end]) <= limit):
        yield start, end
        return
    middle = (start + end) // 2
    quarter = (end - start) // 4
    cut = text.find(" ", middle, middle + quarter)
    if cut < 0:
        cut = text.rfind(" ", middle - quarter, middle)
    after = cut + 1  # the space belongs to neither
    if cut < 0:
        cut = after = middle
    yield from _fit(text, start, cut, count=count, limit=limit)
    yield from _fit(text, after, end, count=count, limit=limit)
