"""A question about one whom it only describes, and who has to be found out first.

"When did the country where Ida Moen was born join the Union?" is answered by no single text. Where
such a description begins the question's grammar shows; where it ends the language model tells, by
copying it. What it is found to mean takes its place in the question.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from rag.words import names, numbers, terms

MAX_HOPS = 3
_MAX_WORDS = 8  # of what a description is found to mean
_NOT_ASKED = set(terms("name names called"))  # "What is the name of ..." asks nothing more
_REPEATED = 4  # words
_NAME = r"(?:[\"“‘(]?[A-Z0-9À-Þ][^\s?]{0,40})"
_WHO = (
    r"(?:who|whom|that|which|where|whose"
    r"|(?:in|from|to|of|under|for|by|on|at|with) (?:which|whom|whose))"
)
_DOES = (
    r"(?:is|was|were|are|has|had|plays?|played|lived?|lives|died|work(?:s|ed)|comes?|came|got|did"
    r"|belongs?)"
)
# What is someone's or something's, and has a name of its own.
_ROLE = (
    r"(?:author|writer|director|producer|performer|singer|composer|founder|creator|owner|publisher"
    r"|artist|painter|architect|actor|actress|star|band|group|wife|husband|spouse|partner|father"
    r"|mother|parent|son|daughter|child|sibling|brother|sister|birthplace|place|city|town|village"
    r"|county|country|state|region|continent|capital|hometown|location|home|seat|headquarters|river"
    r"|team|club|league|employer|company|manufacturer|maker|supplier|school|university|alma mater"
    r"|party|religion|language|predecessor|successor|parent company|record label|label|network"
    r"|inventor|discoverer|designer|editor|translator|killer|winner|captain|coach)s?"
)
_STARTS = tuple(
    re.compile(pattern)
    for pattern in (
        # the company that bought the dairy; the country in which it lies
        rf"\b[Tt]he (?:[^\s,?]{{1,40}} ){{1,3}}?(?={_WHO}\b)",
        # the country Ida Moen is from
        rf"\b[Tt]he (?:[a-z-]{{1,40}} ){{1,3}}{_NAME}(?: {_NAME}){{0,5}} {_DOES}\b",
        # the director of The Long Ferry
        rf"\b[Tt]he (?:[a-z-]{{1,40}} ){{0,2}}{_ROLE} (?:of|for|in|by|from|on) (?:the )?{_NAME}",
        # Ida Moen's place of birth
        rf"(?:{_NAME} ){{0,5}}{_NAME}(?<=['’]s) (?:[a-z-]{{1,40}} ){{0,2}}{_ROLE}\b",
        # the book named after Ida Moen
        r"\b[Tt]he (?:[a-z-]{1,40} ){1,3}(?:named|called|known|born|located|written|published"
        r"|directed|produced|founded|formed) ",
    )
)
_END = re.compile(r",? (?:who|which|that|where|when|and (?:was|is|then)|an?)\b|[;(]|, the ")


def description_at(question: str) -> int | None:
    """Where the innermost description of a question begins, if it has any."""
    return max(_starts(question), default=None)


def described_by(question: str) -> set[str]:
    """Stems of the names from where the innermost description of a question begins."""
    at = description_at(question)
    return set() if at is None else _names(question[at:])


def leaves_a_question(question: str, description: str) -> bool:
    """Whether a description names something, and something is asked beside it."""
    left = set(terms(question)) - set(terms(description)) - _NOT_ASKED
    return bool(left and _names(description))


_ANY = re.compile(r"(?:an?|some) ")  # small: "A Tribe Called Quest" is a name


def meant(claim: str, description: str) -> str:
    """What a claim "<description> is ..." gives it as: a name or a figure, or "" for neither.

    "A baker in Oslo" is nobody whom anything could be asked of.
    """
    said = claim[len(description) :].removeprefix(" is").strip()
    found = _END.split(said, maxsplit=1)[0].strip(' ,.:"“”')
    if _ANY.match(found):
        return ""
    known = set(terms(description))
    new = (_names(found) | numbers(found)) - known
    return found if new and len(found.split()) <= _MAX_WORDS else ""


def repeated(question: str, claim: str) -> set[str]:
    """Names in a description that a claim repeats from its question.

    That the question describes somebody is no evidence that it is the one of whom a text speaks.
    """
    found: set[str] = set()
    said = f" {claim.casefold()} "
    for start in _starts(question):
        words = question[start:].rstrip(" ?").split()
        for count in range(len(words), _REPEATED - 1, -1):
            copied = " ".join(words[:count])
            if f" {copied.casefold().rstrip(',')}" in said:
                found |= _names(copied)
                break
    return found


def _starts(question: str) -> Iterator[int]:
    """Where descriptions begin."""
    return (match.start() for pattern in _STARTS for match in pattern.finditer(question))


def _names(text: str) -> set[str]:
    return names(text, first=True)
