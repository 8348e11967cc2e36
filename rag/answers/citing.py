"""Spans of documents to numbered citations, and claims to the text a person reads."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterable

from rag.clean import line_starts
from rag.records import Citation, Claim
from rag.storage.store import Store
from rag.verification.spans import Span
from rag.words import capital, negated, numbers


class Citations:
    """Labels 1, 2, 3 in order of first use; a label always means the same span."""

    def __init__(self, store: Store) -> None:
        self.citations: list[Citation] = []
        self._store = store
        self._labels: dict[tuple[int, int, int], int] = {}
        self._lines: dict[int, list[int]] = {}  # where those of a document begin

    def anew(self) -> Citations:
        """The same of the same documents, with nothing cited yet."""
        return Citations(self._store)

    def label(self, span: Span) -> int:
        """The number of a span, a new one where it has none yet."""
        key = (span.document.id, span.start, span.end)
        if key not in self._labels:
            self._labels[key] = len(self.citations) + 1
            self.citations.append(self._citation(self._labels[key], span))
        return self._labels[key]

    def _citation(self, label: int, span: Span) -> Citation:
        document = span.document
        text = self._store.text(document.id)
        if document.id not in self._lines:
            self._lines[document.id] = line_starts(text)
        starts = self._lines[document.id]
        place = self._store.place(document.id, span.start)
        return Citation(
            label=label,
            document=document.path,
            title=document.title,
            page=place.page if place else None,
            start=span.start,
            end=span.end,
            line_start=bisect_right(starts, span.start),
            line_end=bisect_right(starts, span.end - 1),
            quote=text[span.start : span.end],
            also_in=document.also_in,
            place=place.label if place else "",
            ocr=place.ocr if place else False,
        )


def cited(claim: Claim) -> str:
    """A claim as it stands in the answer: its labels before its full stop."""
    return f"{claim.text} {''.join(f'[{label}]' for label in claim.labels)}."


def claim_text(sentence: str, *, over: Iterable[str] = ()) -> str:
    """A sentence without list marks, invented labels, and its full stop.

    Nor with what stood ``over`` it among its sources: an author, a heading.
    """
    text = re.sub(r"\s*\[\d+(?:\s*[,;–-]\s*\d+)*\]", "", sentence)
    text = re.sub(r"^(?:[-*•]\s+|Answer:\s*)", "", " ".join(text.split()))
    for above in filter(None, over):
        text = text.removeprefix(f"{above}: ")
    return text.rstrip(" .;…")


_YES = re.compile(r"^yes,?\s+(?=\S)", re.IGNORECASE)


def without_false_yes(text: str, question: str) -> str:
    """A claim without the "Yes," that a small model puts before a no as well."""
    rest = _YES.sub("", text)
    return capital(rest) if rest != text and negated(rest) and not negated(question) else text


_WHEN = re.compile(
    r",?\s+(?:(?:in|on|by|since|during|at|for|of)\s+)(?:the\s+)?(?:[^\W\d]+\s+){0,2}\d{1,4}"
    r"(?:\s+[A-Z]\w+)?(?:,?\s+\d{4})?"
    r"(?=[,.]|$|\s+(?:in|because|after|as|due|following|over|when|while|with|through)\b(?!\s+\d))"
)


def without_given_time(text: str, *, question: str, unknown: set[str]) -> str:
    """A claim without a time that only the question gives: what the text does not say goes.

    Args:
        text: The claim.
        question: What was asked.
        unknown: The claim's numbers that the text it rests on lacks.
    """
    if not unknown or not unknown <= numbers(question):
        return text
    kept = _WHEN.sub(lambda m: "" if numbers(m.group()) & unknown else m.group(), text)
    return kept if kept.strip() else text


# Of each mark that opens, those that close it, the usual one first.
_CLOSING = {'"': '"', "“": "”", "„": "“”", "«": "»", "»": "«", "‘": "’"}
_DOUBLE = re.compile(r"[\"“”„«»]")
# ’ closes where nothing but ‘ was opened, and ‘ opens where it will be closed: else apostrophes.
_MARK = re.compile(
    rf"{_DOUBLE.pattern}|(?<!\w)‘(?!\d0s)(?=(?:[^‘’]|(?<=\w)’(?=\w)){{1,1000}}’(?!\w))|’(?!\w)"
)
_WORD = re.compile(r"[^\W_]+")
_OMISSION = re.compile(r"\[[^\]]*\]|…|\.\.\.")


def with_true_quotations(text: str, cited: Iterable[str]) -> str:
    """A claim in which quotation marks stand only around words of one of the texts that it cites.

    A quotation of several sentences is one claim each: what is open at its end is closed, what
    is closed without having been opened is opened at its beginning. Of a quotation inside another
    only the outer marks are looked at.

    Args:
        text: The claim.
        cited: Texts, those that follow each other in a document as one.
    """
    known = [f" {_words(one)} " for one in cited]
    pieces: list[str] = []
    at, opened = 0, ""
    for mark in _MARK.finditer(text):
        sign, last = mark[0], mark.end() == len(text)
        if sign == '"' and not opened and text[: mark.start()][-1:].isdigit():
            continue  # inches
        apostrophe = sign == "’" and opened != "‘"
        inner = opened and (sign == "‘" or (sign != "’" and opened == "‘"))
        if apostrophe or inner:
            continue
        piece = text[at : mark.start()]
        only_closes = sign not in _CLOSING  # "a” is a pair, too
        closes = only_closes or (sign in _CLOSING[opened] if opened else sign == '"' and last)
        if closes and not opened and not pieces:
            opened = "“" if sign == "”" else sign
        fits = sign in _CLOSING.get(opened, "")
        pieces.append(_quoted(piece, opened, sign if fits else "", known))
        at, opened = mark.end(), "" if closes else sign
    pieces.append(_quoted(text[at:], opened, "", known))
    return "".join(pieces).strip()


def _quoted(words: str, opens: str, closes: str, known: list[str]) -> str:
    """Words between their marks, if they have any and one of the texts has them in this order."""
    if not opens:
        return words
    parts = [f" {part} " for part in map(_words, _OMISSION.split(words)) if part]
    if not any(_in_order(parts, one) for one in known):
        return _DOUBLE.sub("", words)
    return f"{opens}{words.strip()}{closes or _CLOSING[opens][0]}" if parts else ""


def _in_order(parts: list[str], text: str) -> bool:
    at = 0
    for part in parts:
        found = text.find(part, at)
        if found < 0:
            return False
        at = found + len(part) - 1  # the space behind it may stand before the next
    return True


def _words(text: str) -> str:
    return " ".join(_WORD.findall(unicodedata.normalize("NFC", text).casefold()))
