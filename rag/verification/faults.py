"""What makes a claim unsupported however near its texts come: what no score makes good.

more       it says something that the question does not, most of it out of one text, and lists
nothing twice
reasons    a text that gives a reason speaks of what the claim explains by it, and does not say
"although"
figures    what a figure is of, years, millions or Europeans, it is in the cited text too
captions   say who is shown, and nothing of what they think
may        what the text only forbids the claim does not allow
persons    "we" and "you" do in the claim what they do in the text
described  whom the claim describes as its question does, the cited text names
subject    whom the claim speaks of, the cited text speaks of too
relation   nor is a name put where the texts have another: "a border with"
around     a name that only the question gives, something around the cited text gives too;
one that not even the question gives likewise
columns    a figure of a table stands in the column that is named with it
"""

from __future__ import annotations

import re

from rag.verification.columns import of_another_column
from rag.verification.figures import misread
from rag.verification.hops import repeated
from rag.verification.spans import Span, around
from rag.verification.subjects import exchanged, misplaced, stranger, unmentioned
from rag.words import PHRASE, content, named, names, negated, terms


def fault(claim: str, cited: list[Span], question: str, *, foreign: bool) -> str:
    """The first fault of a claim, or "".

    Args:
        claim: One sentence.
        cited: The texts that it rests on, the main one first.
        question: What was asked.
        foreign: Whether it has a name that neither texts nor question give.
    """
    if _repeats(claim, question):
        return "it says nothing that the question does not"
    if _lists_twice(claim):
        return "it lists the same twice"
    if _unexplained(claim, cited):
        return "the text that gives the reason does not speak of what it explains"
    if _conceded(claim, text := " ".join(span.clean for span in cited)):
        return "the text says so in spite of the reason that is given"
    if other_quantity := misread(_with_its_unit(claim, question), text):
        return other_quantity
    if _CAPTION.search(text) and set(terms(claim)) - names(claim, first=True) - set(terms(text)):
        return "the cited text is a caption, and says no more than who is shown"
    if _allows(claim, text):
        return "the cited text forbids, and allows nothing"
    if exchanged(claim, text, question):
        return "it says of one of us what the text says of the other"
    # Like a figure, a description belongs to the text that says the rest.
    known = f"{around(cited[0], cited)} {cited[0].dated}"
    described = {n for n in repeated(question, claim) if not named({n}, known)}
    if described:
        return f"the cited text does not name {', '.join(sorted(described))}"
    if other := stranger(claim, cited, question) or misplaced(claim, cited):
        return f"the cited text does not say this of {', '.join(sorted(other))}"
    if other := unmentioned(claim, cited, question):
        return f"nothing around the cited text speaks of {', '.join(sorted(other))}"
    if figure := next(filter(None, (of_another_column(claim, s.clean) for s in cited)), ""):
        return f"the cited table has {figure} in another column"
    if not foreign and _welded(claim, cited, question):
        return "what it adds to the question stands in no single text"
    return ""


_CAPTION = re.compile(r"\((?:L|C|R|left|right|cent(?:re|er))\)")  # "Oda (L) and Berg (R)"
_COUNTED = re.compile(
    r"\bhow many (?P<what>(?:[\w’'-]+ ){1,3}?)"
    r"(?:did|do|does|has|have|had|is|are|was|were|will|would|can|could|may|must|in|on|of|from)\b",
    re.IGNORECASE,
)


def _with_its_unit(claim: str, question: str) -> str:
    """A claim, where it is but a number with what the question counts: "10" is "10 officials"."""
    asked = _COUNTED.search(question)
    return f"{claim} {asked['what'].strip()}" if asked and claim.strip().isdigit() else claim


_OPEN = re.compile(r"\b(?:who|whom|whose|what|which|when|where|why|how)\b", re.IGNORECASE)
_YES_OR_NO = re.compile(
    r"(?:^|[,;:?] *(?:and |or |but )?)(?:is|are|was|were|do|does|did|has|have|had|can|could|will"
    r"|would|should|may|might|must)\b",
    re.IGNORECASE,
)
_THE_SAME = re.compile(r"\b(?:do|does|did|done) (?:the same|so)\b", re.IGNORECASE)
_CLAUSE = re.compile(r";|,\s+(?:and|but|while|whereas)\s+")
_WELDED = 4  # terms that a clause adds to its question; fewer say little about where they are from
_TOGETHER = 0.65  # share of them that one text, with what adjoins it, must have
_PATCH = 3  # terms in a row that the text with the rest lacks


def _repeats(claim: str, question: str) -> bool:
    """Whether a claim only says its question again, which is no answer to who, what or why.

    "The EU did the same" is none to whether it did, either: what "the same" is, nobody can check.
    """
    asked = content(question)
    if any(_THE_SAME.search(c) and asked.issuperset(content(c)) for c in _CLAUSE.split(claim)):
        return True
    if not asked.issuperset(content(claim)):
        return False
    return bool(_OPEN.search(question)) and not (_YES_OR_NO.search(question) or negated(claim))


_ITEM = re.compile(r"[,;:]\s*(?:and\s+|or\s+)?|\s+(?:and|or)\s+")


def _lists_twice(claim: str) -> bool:
    """Whether a small model has lost its thread: "on four entities: scholars, four entities"."""
    items = [item.casefold() for item in _ITEM.split(claim) if item]
    return any(
        " " in item and (item == items[n - 1] or any(b.endswith(f" {item}") for b in items[:n]))
        for n, item in enumerate(items[1:], 1)
    )


def _welded(claim: str, cited: list[Span], question: str) -> bool:
    """Whether what a clause adds to the question is put together from texts that stand apart.

    Half of one sentence and half of another make a sentence that neither supports; so do a few
    words in a row out of another.
    """
    asked = set(terms(question))
    asked |= {term for who in _whole_names(claim) if asked & who for term in who}
    texts = [set(terms(around(span, cited))) for span in cited]
    for clause in _CLAUSE.split(_SAYING.sub(" ", claim)):
        new = set(terms(clause)) - asked
        most = max(len(new & text) for text in texts)
        if (
            len(new) >= _WELDED
            and most < _TOGETHER * len(new)
            and not _listed(clause, asked, texts)
        ):
            return True
        if any(_patched(terms(said), asked, texts) for said in _BECAUSE.split(clause)):
            return True
    return False


_SAYING = re.compile(
    r"\b(?:sa(?:y|ys|id)|(?:argue|claim|think|believe|write|consider)(?:s|d)?|thought|wrote)\b",
    re.I,
)
_AND = re.compile(r"(?:,?\s+(?:and|or|as well as)|,)\s+(?:(?:including|such as|namely)\s+)?")
_WHOLLY = 0.8  # share of an entry of a list that one text must have


def _whole_names(text: str) -> list[set[str]]:
    """The stems of each name: who asks of Borrell may be told of Josep Borrell."""
    return [set(terms(match.group())) for match in PHRASE.finditer(text)]


def _listed(clause: str, asked: set[str], texts: list[set[str]]) -> bool:
    """Whether a clause lists what several texts say, each entry wholly out of one of them."""
    entries = [new for entry in _AND.split(clause) if (new := set(terms(entry)) - asked)]
    return len(entries) > 1 and all(
        any(len(new & text) >= _WHOLLY * len(new) for text in texts) for new in entries
    )


def _patched(said: list[str], asked: set[str], texts: list[set[str]]) -> bool:
    """Whether words in a row come from another text than the rest.

    "Asked to slash exports of electric vehicles": one text is on exports, another on vehicles.
    """
    main = max(texts, key=lambda text: len(text.intersection(said)))
    row: set[str] = set()
    for term in said:
        if term in main:
            row = set()
        elif term not in asked:
            row.add(term)
        if len(row) >= _PATCH and any(row <= text for text in texts):
            return True
    return False


_BECAUSE = re.compile(r",?\s+(?:because(?: of)?|due to|owing to|thanks to)\s+", re.IGNORECASE)
_EXPLAINED = 0.6  # share of what is explained that the text with the reason speaks of
_FEW = 3  # terms; fewer may be other words for the same


def _unexplained(claim: str, cited: list[Span]) -> bool:
    """Whether a reason comes from a text that is about something else.

    A small model repeats the question, writes "because", and goes on with whatever is near.
    """
    because = _BECAUSE.search(claim)
    if not because:
        return False
    what, why = set(terms(claim[: because.start()])), set(terms(claim[because.end() :]))
    texts = [set(terms(around(span, cited))) for span in cited]
    reason = max(texts, key=lambda text: len(text & why))
    return len(what) >= _FEW and len(what & reason) < _EXPLAINED * len(what)


_ALTHOUGH = re.compile(
    r"\b(?:although|though|even if|despite|in spite of|notwithstanding)\b(?P<what>[^,.;]{8,200})",
    re.IGNORECASE,
)
_CAUSE = re.compile(
    r"\b(?:because|due to|owing to|thanks to|as a result|reasons?)\b", re.IGNORECASE
)


def _conceded(claim: str, text: str) -> bool:
    """Whether a claim gives as the reason what its text grants: "Although Oda shares this, ..."."""
    because = _BECAUSE.search(claim)
    why = set(terms(claim[because.end() :])) if because else set()
    granted = [m["what"] for m in _ALTHOUGH.finditer(text) if not _CAUSE.search(m["what"])]
    beside = terms(_ALTHOUGH.sub(" ", text))

    def told(words: list[str]) -> bool:
        return len(why.intersection(words)) >= _EXPLAINED * len(why)

    return bool(why) and any(told(terms(what)) for what in granted) and not told(beside)


_MAY_NOT = re.compile(
    r"\b(?:cannot|can ?not|can['’]t|could not|couldn['’]t|may not|must not|mustn['’]t"
    r"|(?:not|never) (?:be )?(?:able|allowed|permitted|possible)|unable|prohibited|forbidden"
    r"|do(?:es)? not (?:allow|permit|offer))\b",
    re.IGNORECASE,
)
_MAY = re.compile(
    r"\b(?:can|may|could"
    r"|(?:able|allowed|permitted|free|possible|welcome|entitled|eligible) (?:to|for)"
    r"|(?:is|are|be) (?:allowed|permitted|possible))\b",
    re.IGNORECASE,
)
_BUT = re.compile(r"\b(?:unless|except|only|without|until)\b", re.IGNORECASE)


def _allows(claim: str, text: str) -> bool:
    """Whether a claim says that something may be, of a text that only says what may not."""
    if _MAY_NOT.search(claim) or not _MAY.search(claim) or not _MAY_NOT.search(text):
        return False
    return not _BUT.search(text) and not _MAY.search(_MAY_NOT.sub(" ", text))
