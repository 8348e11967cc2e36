"""What a sentence needs beside it to be understood.

The sentence before, where it leans on that one; the one that introduces its list; its author, its
document and the headings over it; the names of its columns.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from rag.documents.converted import TRAIL
from rag.documents.drawn import ROWS, pieces
from rag.records import NEXT, DocumentInfo, Evidence, Hit, Sentence
from rag.storage.store import Store
from rag.words import names, open_quotation, terms

_MAX_LEAD_WORDS = 45
_MAX_LEAD_SENTENCES = 4
_MAX_ENTRIES = 12  # of a list, between an entry and the sentence that introduces it
_ROW, _MAX_ROWS = 0.7, 6  # a row is worth so much of the best of its table; so many are shown
_LISTED = 250  # code points of the entries that are shown with what introduces them
_ENTRY = re.compile(r"\s*(?:[-*+•]|\d{1,3}[.)]|\(\w\))\s+")
_EMPTY = re.compile(r"\n[^\S\n]*\n")  # lines
_LONGEST = 120  # code points of an author or a title; the index may hold anything as one
_MARKUP = " =#*_"  # around a title in plain text
_NUMBERED = re.compile(r"^(?:\d+\.)*\d*\s+")
_NEEDS_LEAD = re.compile(
    r"[\"'“‘(]*(?:(?:But|And|However|Yet|So|Thus|Therefore|Moreover|Furthermore|Still|Instead|Also"
    r"|In addition|As a result|Finally|Nevertheless|Admittedly|At the same time),?\s+)?"
    r"(?:It|Its|He|His|She|Her|They|Their|Them|This|That|These|Those|Such|Both|The (?:former|latter"
    r"|two|same|goal|agreement|text|treaty|deal|statement|move|decision|plan|document))\b"
    r"|[\"'“‘(]*(?:But|However|Yet|Instead|On the other(?: hand)?)\b"
)
# A quotation whose speaker is only a pronoun.
_SAID_BY_SOMEBODY = re.compile(
    r"[”\"],? (?:he|she|they) (?:said|added|told|says|adds|explained|argued|warned|noted)\b"
)


def lead(hit: Hit, at: int, store: Store) -> Sentence | None:
    """The sentence before, where this one leans on it; within a quotation the one that opens it."""
    sentence = hit.passage.sentences[at]
    before = _opener(hit.passage.sentences[:at])
    if not before:
        if not (_NEEDS_LEAD.match(sentence.clean) or _SAID_BY_SOMEBODY.search(sentence.clean)):
            return None
        before = (
            hit.passage.sentences[at - 1]
            if at
            else store.sentence_before(hit.document.id, sentence.start)
        )
        if before is None or not 0 <= sentence.start - before.end <= NEXT:
            return None  # a footnote, or a sentence of another section
    return before if len(before.clean.split()) <= _MAX_LEAD_WORDS else None


def introduction(hit: Hit, at: int, store: Store) -> Sentence | None:
    """The sentence that introduces the list which this one begins an entry of."""
    sentences, document = hit.passage.sentences, hit.document.id
    text = store.text(document)
    start = sentences[at].start
    if not _begins_entry(text, start):
        return None
    before = list(reversed(sentences[:at]))
    first = sentences[0].start
    if len(before) <= _MAX_ENTRIES and (above := store.sentence_before(document, first)):
        before.append(above)  # the list may go on from the passage before
    for sentence in before[: _MAX_ENTRIES + 1]:
        if sentence.clean.endswith(":"):
            blocks = _EMPTY.split(text[sentence.end : start])[1:]
            listed = all(_ENTRY.match(block) for block in blocks if block.strip())
            short = len(sentence.clean.split()) <= _MAX_LEAD_WORDS
            return sentence if listed and short else None
    return None


def listed(item: Evidence, hit: Hit, at: int, store: Store, *, known: set[int]) -> Evidence:
    """A sentence that introduces a list, with as many of its entries as are short together.

    Where one of them is ``known`` by its offset, it is shown already, with its introduction.
    """
    sentences, text = hit.passage.sentences, store.text(hit.document.id)
    if not sentences[at].clean.endswith(":"):
        return item
    entries: list[Sentence] = []
    for sentence in sentences[at + 1 :]:
        length = sum(len(entry.clean) for entry in entries) + len(sentence.clean)
        if not _begins_entry(text, sentence.start) or length > _LISTED:
            break
        entries.append(sentence)
    if not entries or known & {entry.start for entry in entries}:
        return item
    clean = f"{item.clean} {ROWS.join(entry.clean for entry in entries)}"
    return replace(item, end=entries[-1].end, clean=clean)


def _begins_entry(text: str, at: int) -> bool:
    """Whether an entry of a list begins at this offset, behind its mark."""
    return bool(_ENTRY.fullmatch(text, text.rfind("\n", 0, at) + 1, at))


def section(hit: Hit, shown: str, question: str, asked: Iterable[str]) -> str:
    """What stands over a passage and has terms of the question which what is shown lacks.

    Its author and its document, where the question names them; and headings, of formats that mark
    them, of two with the same term the nearer.
    """
    missing = set(asked) - set(terms(shown))
    found: list[str] = []
    trail = hit.place.label.split(TRAIL) if hit.place and hit.place.page is None else []
    for heading in reversed(trail):
        here = missing & set(terms(heading))
        if here:
            missing -= here
            found.insert(0, _NUMBERED.sub("", heading))
    return TRAIL.join([*_source(hit.document, missing, question, asked), *found])


def _source(
    document: DocumentInfo, missing: set[str], question: str, asked: Iterable[str]
) -> Iterator[str]:
    """The author whom a question names, and the document, by its title or its file's name."""
    family = terms(" ".join(document.author.partition(",")[0].split()[-1:]))
    named = family and set(family) <= missing & names(question, first=True)
    if named and len(document.author) <= _LONGEST:
        yield document.author
    for called in (document.title, document.file):
        words = set(terms(called))
        if words & missing and words <= set(asked) and len(called) <= _LONGEST:
            yield called.strip(_MARKUP)
            return


def tabled(item: Evidence, worth: Callable[[set[str]], float], store: Store) -> Evidence:
    """Rows of a table with the names of its columns: of many those that the question is about."""
    if "|" not in item.clean:
        return item
    about = item.document
    lines = pieces(store.text(about.id), item.start, item.end, about.format)
    if not lines:
        return item
    scores = {line: worth(set(terms(line.shown))) for line in lines if line.row}
    rows = [line for line, score in scores.items() if score >= _ROW * max(scores.values())]
    kept = [line for line in lines if not line.row or line in rows[:_MAX_ROWS]]
    clean = ROWS.join(line.shown for line in kept)
    return replace(item, start=kept[0].start, end=kept[-1].end, clean=clean)


def _opener(before: tuple[Sentence, ...]) -> Sentence | None:
    """The near sentence that opens a quotation which those after it do not close."""
    for back, sentence in enumerate(reversed(before[-_MAX_LEAD_SENTENCES:]), 1):
        if open_quotation(" ".join(s.clean for s in before[-back:])) in range(len(sentence.clean)):
            return sentence
    return None
