"""A question to the parts it asks: "When was it signed, and why did it stall?" asks two things.

A small model answers one of them. Each part is searched on its own; a later one is answered by
going on with the answer to those before it. Only what the grammar of the question shows is split.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from rag.answers.leaning import cut_short
from rag.words import capital

MAX_PARTS = 3
_MIN_WORDS = 3
_MIN_OPENING_WORDS = 4  # "How many people and how many firms ..." shares one verb
_ASKING = r"(?:who|whom|whose|which|what|when|where|why|how)"
_VERB = (
    r"(?:has|have|had|did|does|do|is|are|was|were|will|would|can|could|shall|should|may|might|must)"
)
_BEFORE = (
    r"(?:(?:in|on|at|by|to|for|from|of|with|under|among|since|until|against|over|about|during)\s+)?"
)
# Where one part ends and the next begins. After a bare "and" only the words that cannot open a
# relative clause count ("those who fled and who came back" asks nothing).
_BOUNDARY = re.compile(
    rf"\?\s+(?:and\s+|but\s+)?(?=\S)"
    rf"|[,;]\s*(?:and|but|or)\s+(?:also\s+)?(?={_BEFORE}{_ASKING}\b|{_VERB}\s+\w)"
    rf"|;\s*(?={_BEFORE}{_ASKING}\b)"
    rf"|\s+and\s+(?={_BEFORE}(?:what|when|where|why|how)\s+\w|(?:in|on|at|by|to|for)\s+(?:which|what)\b)",
    re.IGNORECASE,
)
_QUESTION = re.compile(rf"^(?:{_BEFORE}{_ASKING}|{_VERB})\b", re.IGNORECASE)
_PREAMBLE = re.compile(
    rf"^(?P<preamble>[^?;:]{{3,300}}(?::|,))\s*(?P<rest>{_BEFORE}(?:{_ASKING}|{_VERB})\b.*)$",
    re.IGNORECASE | re.DOTALL,
)
# What was the case, before what is asked: "We had a leak. How fast ..., and when ...?"
_BACKGROUND = re.compile(r"^(?P<preamble>[^?]{3,600}[.!])\s+(?P<rest>[A-Z][^.!]+\?)$")
# What points out of its part: a pronoun, or a verb of saying without what is said of.
_LEANS = re.compile(
    r"\b(?:it|they|them|he|him|she|this|these|those|there|then|ones?|such"
    r"|that (?:year|time|day|date|month|one|case|deal|decision)"
    r"|the (?:same|other|others|former|latter|two|following|next|previous))\b"
    r"|\b(?:that|say|says|said|think|thinks|reply|replies|respond|answer|argue|claim)$",
    re.IGNORECASE,
)
# What only says of what else the same is asked: "and how many for an aunt?"
_ELLIPTIC = re.compile(
    r"^how (?:much|many|long|often|far|soon) (?:for|in|of|with|at|on|from|after|before|to)\b.*$",
    re.IGNORECASE,
)
_OWNER = re.compile(r"\b(?:its|their|his|her|hers)\b", re.IGNORECASE)
_NAMED = re.compile(r"\S\s+[A-Z]\w")
_SIDE = r"(?:(?!\band\b)[^,?]){2,60}?"
_BE = r"(?:do|does|did|is|are|was|were|have|has|had|would|will|can|could)"
# "What do A and B each say about X?"
_EACH = re.compile(
    rf"^(?P<ask>{_BEFORE}{_ASKING}(?:\s+\w+){{0,6}}?)\s+(?P<verb>{_BE})\s+(?P<a>{_SIDE})\s+and\s+"
    rf"(?P<b>{_SIDE})\s+(?:each|both|respectively|separately)\s+(?P<rest>.+?)\?*$",
    re.IGNORECASE,
)
# "How do A and B differ on X?"
_DIFFER = re.compile(
    rf"^how\s+(?P<verb>do|did|does)\s+(?P<a>{_SIDE})\s+and\s+(?P<b>{_SIDE})\s+(?:each\s+)?"
    r"(?:differ|disagree|diverge)\s+(?:in\s+(?:their|the)\s+\w+\s+(?:of|to|on|about|towards?)"
    r"|on|over|about|in|regarding|as to|when it comes to)\s+(?P<topic>.+?)\?*$",
    re.IGNORECASE,
)
# "How does A's view of X differ from B's?", "... from that of B?"
_DIFFER_FROM = re.compile(
    r"^how\s+(?:do|does|did)\s+(?P<a>[^?]{2,60}?)(?:'s|’s|s'|s’)\s+(?P<topic>[^?]{3,120}?)\s+"
    r"(?:differ from|compare (?:with|to)|contrast with)\s+"
    r"(?:(?:that|those|the \w+) of\s+(?P<of>[^?]{2,80}?)|(?P<b>[^?]{2,80}?)(?:'s|’s|s'|s’))\?*$",
    re.IGNORECASE,
)
# "How does A's view compare with the stance of B?"
_COMPARE = re.compile(
    r"^how\s+(?:do|does|did)\s+(?P<a>[^?]{1,60}?(?:'s|’s)[^?]{3,120}?)\s+"
    r"(?:compare (?:with|to)|differ from)\s+"
    r"(?P<b>[^?]{3,160}?)\?*$",
    re.IGNORECASE,
)
# "Compare X for A with the one for B."
_COMPARED = re.compile(
    r"^compare\s+(?P<topic>[^?.]{3,120}?)\s+(?P<a>(?:for|of|in|at|by|on)\s[^?.]{2,80}?)\s+(?:with|to|and)\s+"
    r"(?:the ones?|that|those)\s+(?P<b>(?:for|of|in|at|by|on)\s[^?.]{2,120}?)[?.]*$",
    re.IGNORECASE,
)
_PLURAL = re.compile(r"[^su]s$")
# "How is X described by A and by B?"
_BY_BOTH = re.compile(
    rf"^(?P<start>{_ASKING}\b[^?]{{3,160}}?\s(?:presented|described|seen|viewed|portrayed|judged"
    r"|characteri[sz]ed|regarded|depicted|treated|assessed|explained|called))\s+(?P<by>by)\s+"
    rf"(?P<a>{_SIDE})\s+and\s+"
    r"(?:(?P=by)\s+|to\s+)(?P<b>[^,?]{2,80}?)\?*$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that a question asks.

    Attributes:
        text: As the language model is asked it.
        leans: Whether it cannot be understood without what was asked and answered before it.
        of: Whom or what it asks about, where a question asks the same of two.
    """

    text: str
    leans: bool = False
    of: str = ""


def split_question(question: str) -> tuple[Part, ...]:
    """The parts of a question, in order; a question that asks one thing is its only part."""
    question = " ".join(question.split())
    compared = _sides(question)
    if compared:
        return compared
    preamble, rest = "", question
    for opening in (_BACKGROUND, _PREAMBLE):
        opened = opening.match(rest)
        if opened and not _QUESTION.match(rest):
            preamble, rest = f"{preamble}{opened['preamble']} ", opened["rest"]
    within = preamble.endswith((": ", ", "))
    pieces = [piece.strip(" ,;?") for piece in _BOUNDARY.split(rest)]
    if not _QUESTION.match(rest):  # background first, the question after it
        return (Part(question),)
    joined: list[str] = []
    for piece in pieces:
        if joined and (len(piece.split()) < _MIN_WORDS or not _QUESTION.match(piece)):
            joined[-1] += f" and {piece}" if piece else ""
        else:
            joined.append(piece)
    if not 1 < len(joined) <= MAX_PARTS or len(joined[0].split()) < _MIN_OPENING_WORDS:
        return (Part(question),)
    return tuple(
        Part(f"{preamble}{piece if within else capital(piece)}?", bool(n and _leans(piece)))
        for n, piece in enumerate(joined)
    )


def _sides(question: str) -> tuple[Part, ...]:
    """The two questions in a question for two sides, or none."""
    if m := _EACH.match(question):
        return tuple(
            Part(f"{m['ask']} {_agreeing(m['verb'], side)} {side} {m['rest']}?", of=side)
            for side in (m["a"], m["b"])
        )
    if m := _DIFFER.match(question):
        return tuple(
            Part(f"What {_agreeing(m['verb'], side)} {side} say about {m['topic']}?", of=side)
            for side in (m["a"], m["b"])
        )
    if m := _DIFFER_FROM.match(question):
        other = f"the {m['topic']} of {m['of']}" if m["of"] else f"{m['b']}'s {m['topic']}"
        of = m["of"] or m["b"]
        return (
            Part(f"What is {m['a']}'s {m['topic']}?", of=m["a"]),
            Part(f"What is {other}?", of=of),
        )
    if m := _COMPARE.match(question):
        return (Part(f"What is {m['a']}?"), Part(f"What is {m['b']}?"))
    if m := _COMPARED.match(question):
        verb = "are" if _PLURAL.search(m["topic"]) else "is"
        return tuple(Part(f"What {verb} {m['topic']} {side}?") for side in (m["a"], m["b"]))
    if m := _BY_BOTH.match(question):
        sides = (m["a"], m["b"])
        return tuple(Part(f"{m['start']} {m['by']} {side}?", of=side) for side in sides)
    return ()


def _agreeing(verb: str, side: str) -> str:
    """The verb that two had together, for one of them: do becomes does."""
    single = {"do": "does", "are": "is", "were": "was", "have": "has"}
    plural = side.lower().endswith("s") and not side.istitle()
    return verb if plural else single.get(verb.lower(), verb)


def _leans(piece: str) -> bool:
    owner = _OWNER.search(piece)
    # "Has the EU lifted its sanctions": whose they are is said before.
    if _LEANS.search(piece) or _ELLIPTIC.match(piece) or cut_short(f"{piece}?"):
        return True
    return bool(owner and not _NAMED.search(piece[: owner.start()]))
