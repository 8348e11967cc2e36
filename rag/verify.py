"""A claim and the evidence it may rest on, to the citations that support it, or none.

Every sentence of an answer passes here before it is shown. The checks are plain code, so that no
text in a document or a question can talk its way past them:

    numbers    every figure in the claim stands in the text that it mainly rests on
    names      so does every name, unless the question or a title gives it
    subject    whom the claim speaks of, the cited text speaks of too
    described  whom the claim describes as its question does, the cited text names
    more       it says something that the question does not, most of it out of one text
    columns    a figure of a table stands in the column that is named with it
    reasons    a text that gives a reason speaks of what the claim explains by it
    negation   a claim that denies something needs a text that does, and the other way round
    words      the claim's words, weighted by rarity, are covered by the cited text
    meaning    the claim and the cited text lie close together (cosine of sentence vectors)
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rag.columns import of_another_column
from rag.hops import described_by, repeated
from rag.records import NEXT, DocumentInfo, Evidence, FloatMatrix
from rag.words import (
    denied,
    figures,
    named,
    names,
    negated,
    numbers,
    open_quotation,
    subject,
    terms,
    without_codes,
)

MAX_CITATIONS = 3
# Logistic weights of the signals, and the bias. Chosen by hand; bench/support.py measures and fits
# them on labelled claims.
_BIAS = -4.0
_WEIGHTS = (5.0, 4.0, -4.0)
_LEADS_IN = 200  # code points before a quotation that may name its speaker
_OPENING_WORDS = 8  # where the subject of a sentence stands
_GAIN = 0.12  # a further citation must cover so much more of the claim


@dataclass(frozen=True, slots=True)
class Span:
    """A text that can be cited.

    Attributes:
        document: Where it comes from.
        start: Offset of its first code point.
        end: Offset behind its last.
        clean: The text as a reader sees it.
        context: What stands around it.
        section: The headings over it that were shown with it.
    """

    document: DocumentInfo
    start: int
    end: int
    clean: str
    context: str = ""
    section: str = ""


@dataclass(frozen=True, slots=True)
class Signals:
    """What is known of a claim and the texts cited for it.

    Attributes:
        coverage: Share of the claim's terms, weighted by rarity, that the cited texts have.
        cosine: Of the claim and the nearest cited text.
        foreign: Share of the claim's names that neither texts, titles nor question give.
        ungrounded: 1.0 where the claim denies something and no cited text does, or says what
            the text denies.
    """

    coverage: float
    cosine: float
    foreign: float
    ungrounded: float

    @property
    def values(self) -> tuple[float, float, float]:
        """What is weighed, in the order of the weights; a denial is not weighed, it decides."""
        return (self.coverage, self.cosine, self.foreign)

    @property
    def score(self) -> float:
        """Support, 0 to 1."""
        logit = _BIAS + sum(w * v for w, v in zip(_WEIGHTS, self.values, strict=True))
        return 1 / (1 + math.exp(-logit))


@dataclass(frozen=True, slots=True)
class Support:
    """What was found for a claim.

    Attributes:
        spans: The cited texts, the strongest first; empty where nothing comes near.
        score: 0 to 1.
        reason: Why the claim is not supported, or "".
        signals: What the score was made of; None where there was nothing to weigh.
        invented: The claim's numbers that the text it mainly rests on lacks.
    """

    spans: tuple[Span, ...]
    score: float
    reason: str = ""
    signals: Signals | None = None
    invented: frozenset[str] = frozenset()


def spans_of(evidence: tuple[Evidence, ...]) -> list[Span]:
    """Every text the model was shown, each once, in order of selection."""
    found: dict[tuple[int, int], Span] = {}
    for item in evidence:
        found.setdefault(
            (item.document.id, item.start),
            Span(item.document, item.start, item.end, item.clean, item.context, item.section),
        )
    for item in evidence:
        if item.lead:
            lead = item.lead
            found.setdefault(
                (item.document.id, lead.start),
                Span(item.document, lead.start, lead.end, lead.clean, item.context, item.section),
            )
    return list(found.values())


_QUANTITY = re.compile(
    r"\bhow (?:many|much)\b|\b(?:what|which) (?:number|percentage|share|rate|price|amount"
    r"|proportion|sum|total)\b",
    re.IGNORECASE,
)
_VAGUE = re.compile(r"\b(?:half|third|quarter|tenth|dozens?|doubled?|tripled?|none|no)\b", re.I)


_ASKED = (
    r"(?:^|, |\band )(?:(?:in|on|by|since|until|to|for|of|with) )?"  # where a question may begin
)
_TIME = re.compile(
    rf"{_ASKED}(?:when\b|(?:what|which) (?:year|month|day|date|century|decade)\b)", re.IGNORECASE
)
_TIME_WORD = re.compile(
    r"\b\d{3,4}s?\b|\b\d{1,2}(?:[:.]\d{2}|st|nd|rd|th)\b"
    r"|\b\d{1,2} ?[ap]\.?m\b"
    r"|\b(?:jan|feb|mar(?:ch|\b)|apr|may\b|june?\b|july?\b|aug|sep|oct|nov|dec|mon|tues|wednes"
    r"|thurs|fri|satur|sun)\w*|\b(?:year|month|week|day|century|decade|ago|today|yesterday|tomorrow"
    r"|after|before|during|since|until|once)s?\b",
    re.IGNORECASE,
)
_NAME = re.compile(
    rf"{_ASKED}(?:(?:who|whose|whom)\b|(?:which|what) (?:city|country|countries|person|people"
    r"|leaders?|company|organi[sz]ation|group)\b|what (?:is|was|are|were) the names? of\b)",
    re.IGNORECASE,
)


def out_of_kind(question: str, claim: str) -> str:
    """Why a claim cannot be what was asked for, or "".

    A question for a quantity is not answered without a number, one for a time not without a time,
    one for a name not without a name, beside those that the question itself gives.
    """
    if _QUANTITY.search(question):
        given = bool(_VAGUE.search(claim) or numbers(claim) - numbers(question))
        return "" if given else "it gives no number, and one was asked for"
    if _TIME.search(question):
        new = " ".join(word for word in claim.split() if word not in question.split())
        return "" if _TIME_WORD.search(new) else "it gives no time, and one was asked for"
    if _NAME.search(question):
        new_names = names(claim, first=True) - set(terms(question))
        return "" if new_names else "it gives no name, and one was asked for"
    return ""


def of_another(question: str, cited: tuple[Span, ...]) -> str:
    """Why texts cannot be about the one whom a question describes, or "".

    "The city where WILM is licensed" is not answered by a passage that never speaks of WILM.
    """
    described = described_by(question)
    known = " ".join(f"{s.clean} {s.context} {s.document.title}" for s in cited)
    if not described or named(described, known):
        return ""
    return f"the cited text does not speak of {', '.join(sorted(described))}"


def of_another_time(question: str, claim: str, cited: tuple[Span, ...]) -> str:
    """Why texts that lack the time a question gives cannot be about what it asks, or "".

    Where a claim loses that time, what else it takes from the question must stand in the texts:
    "ratified in 2022" is nothing that a text on the signing in 2020 answers.
    """
    taken = set(terms(claim)) & set(terms(question))
    known = " ".join(f"{s.clean} {s.document.title}" for s in cited)
    missing = {term for term in taken if not named({term}, known)}
    return "the cited text speaks of another time" if 3 * len(missing) > len(taken) else ""


def support(
    claim: str,
    spans: list[Span],
    *,
    question: str,
    claim_vector: FloatMatrix,
    span_vectors: FloatMatrix,
    rarity: Mapping[str, float],
    threshold: float,
) -> Support:
    """Find the fewest texts that together support a claim, and say how well they do.

    Args:
        claim: One sentence.
        spans: The texts that may be cited.
        question: Names that it gives need no ground of their own.
        claim_vector: float32 (dimension,), of unit length.
        span_vectors: float32 (spans, dimension), rows of unit length.
        rarity: Weight of each term; a term that it lacks weighs as much as the heaviest.
        threshold: Least score of a supported claim.
    """
    wanted = set(terms(claim))
    if not spans or not wanted:
        return Support((), 0.0, "it says nothing that could be checked")
    most = max(rarity.values(), default=1.0)
    weight = {term: rarity.get(term, most) for term in wanted}
    total = sum(weight.values())
    cosines = span_vectors @ claim_vector
    parts = [set(terms(span.clean)) & wanted for span in spans]
    claimed = figures(without_codes(claim, question))
    given = [numbers(span.clean) for span in spans]

    def worth(n: int) -> float:
        covered = sum(weight[t] for t in sorted(parts[n])) / total
        figures_found = len(claimed & given[n]) / len(claimed) if claimed else 0.0
        return covered + float(cosines[n]) + 0.5 * figures_found

    chosen = [max(range(len(spans)), key=lambda n: (worth(n), -n))]
    while len(chosen) < MAX_CITATIONS:
        have = set().union(*(parts[n] for n in chosen))
        missing = claimed - set().union(*(given[n] for n in chosen))

        def gain(n: int, have: set[str] = have, missing: set[str] = missing) -> float:
            new = sum(weight[t] for t in sorted(parts[n] - have)) / total
            return new + (0.5 if missing & given[n] else 0.0)

        best = max(range(len(spans)), key=lambda n: (gain(n), float(cosines[n]), -n))
        if best in chosen or gain(best) < _GAIN or float(cosines[best]) < 0.2:
            break
        chosen.append(best)
    return _judge(
        claim,
        [spans[n] for n in chosen],
        question=question,
        claimed=claimed,
        covered=sum(weight[t] for t in sorted(set().union(*(parts[n] for n in chosen)))) / total,
        cosine=float(np.max(cosines[chosen])),
        threshold=threshold,
    )


def _judge(
    claim: str,
    cited: list[Span],
    *,
    question: str,
    claimed: set[str],
    covered: float,
    cosine: float,
    threshold: float,
) -> Support:
    text = " ".join(span.clean for span in cited)
    context = " ".join([question, *(f"{s.document.title} {s.document.author}" for s in cited)])
    called = names(claim)
    foreign = called - set(terms(text)) - set(terms(context))
    signals = Signals(
        coverage=covered,
        cosine=cosine,
        foreign=len(foreign) / len(called) if called else 0.0,
        ungrounded=float(
            (negated(claim) and not negated(text))
            or (not negated(claim) and bool(denied(text) & set(terms(claim))))
        ),
    )
    # A figure from another text than the one that says the rest is another thing's figure.
    invented = claimed - numbers(_around(cited[0], cited))
    if invented:
        reason = f"the number {', '.join(sorted(invented))} is not in the cited text"
        return Support(tuple(cited), 0.0, reason, signals, frozenset(invented))
    if fault := _fault(claim, cited, question, signals):
        return Support(tuple(cited), min(signals.score, threshold / 2), fault, signals)
    if signals.score >= threshold:
        return Support(tuple(cited), signals.score, "", signals)
    if foreign:
        reason = f"the cited text does not name {', '.join(sorted(foreign))}"
    else:
        reason = "too little of it stands in any text"
    return Support(tuple(cited), signals.score, reason, signals)


def _fault(claim: str, cited: list[Span], question: str, signals: Signals) -> str:
    """What no score makes good, or ""."""
    if signals.ungrounded:
        return "it denies what the cited text does not deny, or says what the text denies"
    if _repeats(claim, question):
        return "it says nothing that the question does not"
    if _unexplained(claim, cited):
        return "the text that gives the reason does not speak of what it explains"
    # Like a figure, a description belongs to the text that says the rest.
    known = f"{_around(cited[0], cited)} {cited[0].document.title} {cited[0].section}"
    described = {n for n in repeated(question, claim) if not named({n}, known)}
    if described:
        return f"the cited text does not name {', '.join(sorted(described))}"
    if stranger := _stranger(claim, cited, question):
        return f"the cited text does not say this of {', '.join(sorted(stranger))}"
    if figure := next(filter(None, (of_another_column(claim, s.clean) for s in cited)), ""):
        return f"the cited table has {figure} in another column"
    if signals.foreign == 0 and _welded(claim, cited, question):
        return "what it adds to the question stands in no single text"
    return ""


def _adjoin(one: Span, other: Span) -> bool:
    """Whether two texts are the same or stand one after the other."""
    apart = max(one.start, other.start) - min(one.end, other.end)
    return one.document.id == other.document.id and apart <= NEXT


def _around(span: Span, cited: list[Span]) -> str:
    """A cited text, with those of the others that stand next to it."""
    return " ".join(other.clean for other in cited if _adjoin(other, span))


_OPEN = re.compile(r"\b(?:who|whom|whose|what|which|when|where|why|how)\b", re.IGNORECASE)
_YES_OR_NO = re.compile(
    r"(?:^|[,;:?] *(?:and |or |but )?)(?:is|are|was|were|do|does|did|has|have|had|can|could|will"
    r"|would|should|may|might|must)\b",
    re.IGNORECASE,
)
_CLAUSE = re.compile(r";|,\s+(?:and|but|while|whereas)\s+")
_WELDED = 4  # terms that a clause adds to its question; fewer say little about where they are from
_TOGETHER = 0.65  # share of them that one text, with what adjoins it, must have


def _repeats(claim: str, question: str) -> bool:
    """Whether a claim only says its question again, which is no answer to who, what or why."""
    if not _OPEN.search(question) or _YES_OR_NO.search(question) or negated(claim):
        return False
    return not set(terms(claim)) - set(terms(question))


def _welded(claim: str, cited: list[Span], question: str) -> bool:
    """Whether what a clause adds to the question is put together from texts that stand apart.

    Half of one sentence and half of another make a sentence that neither supports.
    """
    asked = set(terms(question))
    texts = [set(terms(_around(span, cited))) for span in cited]
    for clause in _CLAUSE.split(claim):
        new = set(terms(clause)) - asked
        most = max(len(new & text) for text in texts)
        if len(new) >= _WELDED and most < _TOGETHER * len(new):
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
    texts = [set(terms(_around(span, cited))) for span in cited]
    reason = max(texts, key=lambda text: len(text & why))
    return len(what) >= _FEW and len(what & reason) < _EXPLAINED * len(what)


_SOMEBODY = re.compile(r"\b(?:I|we|my|our|he|she|they|his|her|their|it|this|these)\b", re.I)
_VERB = 5  # words in which a verb stands behind its subject
_ALSO = re.compile(r"\s*,|\s+(?:and|or)\b")  # the subject goes on
_PASSIVE = re.compile(
    r"\s*(?:(?:has|have|had|will|would|also|then|since)\s+){0,2}(?:is|are|was|were|been|be)\s+"
    r"(?:\w+ly\s+)?\w+(?:ed|en|wn|ld|de|ht|nt|ft|ut)\b",
    re.I,
)
_ROLES = set(terms("president minister chancellor ambassador secretary chief head leader mayor"))
_SAYING = r"(?:said|says|told|tells|added|adding|claimed|claims|argued|argues|explained|explains)"
_SPEAKER = re.compile(
    rf"(?:(?:[^\s,“”\"]+\s+){{1,4}}{_SAYING}\b|\b{_SAYING}(?:\s+[^\s,“”\"]+){{1,4}})", re.I
)


def _done_by_another(of: set[str], does: str, claim: str, text: str, known: set[str]) -> bool:
    """Whether a text opens with somebody else, who does what the claim says of its subject.

    "The EU has lifted its sanctions" is no "China lifted sanctions against officials of the EU".
    """
    other, act = subject(text, known)
    at_once, claimed = (" ".join(part.split()[:_VERB]) for part in (act, does))
    return bool(
        other
        and not named(of, text[: len(text) - len(act)])
        and not named(other, claim)
        and not _ALSO.match(act)
        and not _PASSIVE.match(at_once)
        and not _PASSIVE.match(claimed)
        and not _SOMEBODY.search(at_once)
        and set(terms(at_once)[:1]) & set(terms(claimed))
    )


def _quoted(span: Span) -> str:
    """What stands before the quotation that a text is in the midst of, or ""."""
    before = span.context[: max(span.context.find(span.clean), 0)]
    opened = open_quotation(before)
    return before[max(opened - _LEADS_IN, 0) : opened] if opened >= 0 else ""


def _stranger(claim: str, cited: list[Span], question: str) -> set[str]:
    """Whom the claim speaks of, where the text it mainly rests on speaks of others; else nothing.

    A question gives a name, and a small model says of it what the sources say of somebody else. A
    text that opens with another name, or quotes another speaker, is about that one; what opens
    with none ("He said ...", "I promised ...") may be about anybody, and what an author writes is
    the author's.
    """
    main = cited[0]
    texts = [span.clean for span in cited]
    known = names(question, first=True) | names(
        " x ".join(["", *texts, *(s.context for s in cited)])
    )
    of, does = subject(claim, known)
    of -= _ROLES
    if of and _done_by_another(of, does, claim, main.clean, known):
        return of
    if not of or named(of, f"{main.clean} {main.document.author}"):
        return set()
    opening = " ".join(main.clean.split()[:_OPENING_WORDS])
    told_of = " x ".join([opening, *_SPEAKER.findall(main.clean)])
    speaker = _quoted(main)
    if speaker and (named(of, speaker) or _SOMEBODY.search(speaker)):
        return set()
    if _SOMEBODY.search(told_of):
        return set()
    return of if names(told_of, first=True) & known else set()
