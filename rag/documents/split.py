"""Document to Passages and sentences with exact offsets.

    blocks (blocks.py) -> sentences of each block -> passages of each section

Nothing here knows how passages are embedded or stored; the caller says how long they may be and
how length is counted.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from rag.clean import trimmed
from rag.documents.blocks import Block, blocks_of, join_broken, mark_furniture
from rag.documents.describe import Description, acronyms, describe
from rag.documents.headings import OUTLINED
from rag.documents.language import language_of
from rag.records import Acronym, Document, Passage, Sentence

# Stored with the index: another version of these rules means other passages.
VERSION = 6
TARGET_TOKENS = 160


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
    blocks = blocks_of(document.text, document.format)
    # Where headings are marked, the first is the title; elsewhere it may be any of them.
    marked = [b for b in blocks[:10] if b.kind == "heading"]
    title = marked[:1] if document.format in OUTLINED else marked
    head = [(b.text, b in title) for b in blocks[:10] if b.text and b.kind != "furniture"]
    repeats = Counter(b.text.rstrip(".") for b in blocks if len(b.text) < 120)
    description = describe(
        document.text,
        head=head,
        repeated={b.text for b in blocks if repeats[b.text.rstrip(".")] > 1},
        fields=document.format == "rst",
    )
    description = replace(description, **_stated(document))
    mark_furniture(blocks, description.title)
    joined = join_broken(blocks, document.format)
    passages = tuple(
        _passages(document.text, joined, description.title, count=count, max_tokens=max_tokens)
    )
    # Last, since the model that tells languages may still be loading.
    if not description.language:
        prose = " ".join(b.text for b in joined if b.kind in ("paragraph", "item"))
        description = replace(description, language=language_of(prose))
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


_CJK_STOP = re.compile(r"[。！？][”」』）]*")
_CLOSING = re.compile(r"(?:\]\([^)\n]{0,2000}\)|\[\^?\d{1,3}\])*")
_LONG_RUN = re.compile(r"\S{500,}")
_MERGE_BACK = re.compile(r"^[\W_]*$|^[a-zß-ÿ]")
# nupunkt learned from law reports, where these are abbreviations: "70 U.S. (3 Wall.) 1". Written in
# lower case before a capital letter they are words that end a sentence.
_WORDS = (
    "aims|arrows|art|bank|black|bond|broad|call|can|cancer|cap|century|chase|chip|code|cold|depot"
    "|disc|elect|enters?|equal|flag|found|free|hand|hard|helper|how|human|just|lack|lead|lit|lock"
    "|low|mart|mass|met|month|nor|park|pick|port|quantified|raw|reports|rest|rich|row|sent|series"
    "|south|stock|story|sum|super|tables|tax|ten|thanks|walk|wall|west|wheat|will|win|works"
)
_WORD_END = re.compile(rf"\b(?:{_WORDS})\.[\"'”’)\]]*(?=\s+[\"'“‘(\[]?[A-Z])")


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """Spans of the sentences of a cleaned text: nupunkt's, and the full stops that it misses."""
    import nupunkt

    spans: list[tuple[int, int]] = []
    # It is quadratic in runs without white space; no full stop of a sentence is inside of one.
    tame = _LONG_RUN.sub(lambda m: f"{m[0][:100]}{'x' * (len(m[0]) - 200)}{m[0][-100:]}", text)
    for start, end in nupunkt.sent_spans(tame):
        start, end = trimmed(text, start, end)
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
        stops = [*_CJK_STOP.finditer(text, start, end), *_WORD_END.finditer(text, start, end)]
        for stop in sorted(match.end() for match in stops):
            if stop < end:
                spans.append((at, stop))
                at = stop
                while text[at].isspace():
                    at += 1
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
