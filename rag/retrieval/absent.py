"""Names of a question that no document mentions: what asks about them no document answers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches

from rag.records import Hit
from rag.storage.store import Store
from rag.words import MONTHS, PHRASE, TITLES, beginnings, names, seated, stem, terms, tokens

_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")
# What somebody asks about a case of their own a general rule decides, whatever they name in it.
_OWN = re.compile(r"\b(?:I|[Ww]e|[Mm]y|[Oo]ur|me|us|[Yy]ou|[Yy]our)\b")
# Elsewhere nouns have capitals too.
_ENGLISH = frozenset(
    "the of is are did does do were to for by from at with how what who when why where"
    " which".split()
)
_WEEK = "monday tuesday wednesday thursday friday saturday sunday".split()
_DAYS = frozenset(map(stem, (*MONTHS, *_WEEK, "christmas", "easter")))
_REGIONS = frozenset(map(stem, "african american arab asian european latin nordic western".split()))
_ABBREVIATION = re.compile(r"[A-Z]{2,5}s?")
_NUMBERED = re.compile(r"(?: ?[IVX]+\b| \d)")  # Article 5, Annex II
_ALIKE = 0.8  # of a name and a misspelt one (difflib)


def absent_names(question: str, hits: Sequence[Hit], store: Store) -> tuple[str, ...]:
    """The names in what is asked that no document mentions, under whatever form.

    A misspelt name is looked for among the passages that were found. What a text may well say in
    other words is none: an abbreviation ("CEO"), a numbered thing ("Article 5"), "the Handbook", a
    day, a region of the world, and whoever goes by a title ("President Oda").

    Args:
        question: In its last sentence stands what is asked.
        hits: The passages that were found for it.
        store: The whole index, whatever part of it was searched.
    """
    asking = seated(_SENTENCE.split(question.strip())[-1])
    inside, words = names(asking), asking.split()
    headline = 3 * sum(word[:1].isupper() for word in words) > 2 * len(words)
    if headline or _OWN.search(question) or len(_ENGLISH & set(tokens(asking))) < 2:
        return ()
    return tuple(
        phrase.group()
        for phrase in PHRASE.finditer(asking)
        if not _in_other_words(asking[: phrase.start()], phrase.group(), asking[phrase.end() :])
        and (name := _last_name(phrase.group(), inside))
        and not any(store.mentions(beginning) for beginning in beginnings(name))
        and not _misspelt(name, hits)
    )


def _in_other_words(before: str, phrase: str, after: str) -> bool:
    """Whether a text may well speak of this without its name."""
    numbered = _NUMBERED.match(after) or _NUMBERED.fullmatch(phrase.rpartition(" ")[2])
    common = before.lower().endswith("the ") and " " not in phrase  # "the Handbook"
    part = before[-1:].isalnum()  # of "2FA"
    return bool(numbered or common or part or _ABBREVIATION.fullmatch(phrase))


def _last_name(phrase: str, inside: set[str]) -> str:
    """The stem by which this would be mentioned; "" of what may go without its name."""
    stems = [term for term in terms(phrase) if term in inside]
    if not stems or TITLES & set(terms(phrase)) or stems[-1] in _DAYS | _REGIONS:
        return ""
    return stems[-1] if stems[-1].isalpha() and len(stems[-1]) > 1 else ""


def _misspelt(name: str, hits: Sequence[Hit]) -> bool:
    """Whether the passages have a name that is nearly this one."""
    read = terms(" ".join(hit.passage.clean for hit in hits))
    return bool(get_close_matches(name, set(read), n=1, cutoff=_ALIKE))
