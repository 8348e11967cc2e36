"""A claim and the evidence it may rest on, to the citations that support it, or none.

Every sentence of an answer passes here before it is shown. The checks are plain code, so that no
text in a document or a question can talk its way past them:

    numbers    every figure in the claim stands in the text that it mainly rests on
    names      so does every name, unless the question or a title gives it, and none stands nowhere
    faults     it has none that no score makes good (faults.py)
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

from rag.records import FloatMatrix
from rag.verification.faults import fault
from rag.verification.spans import Span, around
from rag.words import (
    YEAR,
    denied,
    figures,
    names,
    negated,
    nobody_did,
    nowhere,
    numbers,
    terms,
    tokens,
    without_codes,
)

MAX_CITATIONS = 3
_SAYS = re.compile(
    r"\b(?:sa(?:y|ys|id)|(?:argue|claim|think|believe|write|call)\w*|according)\b", re.I
)
# Logistic weights of the signals, and the bias. Chosen by hand; bench/support.py measures and fits
# them on labelled claims.
_BIAS = -4.0
_WEIGHTS = (5.0, 4.0, -4.0)
_GAIN = 0.12  # a further citation must cover so much more of the claim
_OWN = 0.25  # and so much to stay beside one that holds alone, where it gives no name or figure
_GIVEN = 0.3  # of a word that only the question gives, where all the others are the text's


@dataclass(frozen=True, slots=True)
class Signals:
    """What is known of a claim and the texts cited for it.

    Attributes:
        coverage: Share of the claim's terms, weighted by rarity, that the cited texts have; those
            that only the question gives count for a part where they have all others.
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
    unheard = _unheard(claim, question, spans)
    given = [numbers(span.clean) for span in spans]

    def share(covered: set[str]) -> float:
        return sum(weight[t] for t in sorted(covered)) / total

    def worth(n: int) -> float:
        figures_found = len(claimed & given[n]) / len(claimed) if claimed else 0.0
        return share(parts[n]) + float(cosines[n]) + 0.5 * figures_found

    chosen = [max(range(len(spans)), key=lambda n: (worth(n), -n))]
    while len(chosen) < MAX_CITATIONS:
        have = set().union(*(parts[n] for n in chosen))
        missing = claimed - set().union(*(given[n] for n in chosen))

        def gain(n: int, have: set[str] = have, missing: set[str] = missing) -> float:
            return share(parts[n] - have) + (0.5 if missing & given[n] else 0.0)

        best = max(range(len(spans)), key=lambda n: (gain(n), float(cosines[n]), -n))
        if best in chosen or gain(best) < _GAIN or float(cosines[best]) < 0.2:
            break
        chosen.append(best)

    def judged(cited: list[int]) -> Support:
        return _judge(
            claim,
            [spans[n] for n in cited],
            question=question,
            claimed=claimed,
            unheard=unheard,
            covered=share(set().union(*(parts[n] for n in cited))),
            cosine=float(np.max(cosines[cited])),
            threshold=threshold,
        )

    found = judged(chosen)
    if found.reason or len(chosen) == 1:
        return found
    # A text that only shares a word or two with a claim that holds without it is no source of it.
    telling = names(claim, first=True) | {term for term in wanted if numbers(term)}
    needed, known = chosen[:1], parts[chosen[0]]
    for n in chosen[1:]:
        new = parts[n] - known
        if new & telling or share(new) >= _OWN:
            needed.append(n)
        known = known | parts[n]
    if needed == chosen:
        return found
    fewer = judged(needed)
    return found if fewer.reason else fewer


def _judge(
    claim: str,
    cited: list[Span],
    *,
    question: str,
    claimed: set[str],
    unheard: set[str],
    covered: float,
    cosine: float,
    threshold: float,
) -> Support:
    text = " ".join(span.clean for span in cited)
    context = " ".join([question, *(f"{s.document.title} {s.document.author}" for s in cited)])
    called, denies = names(claim), negated(claim, question)
    foreign = called - set(terms(text)) - set(terms(context))
    signals = Signals(
        coverage=covered + _GIVEN * (1 - covered) * _adds_only(claim, question, text),
        cosine=cosine,
        foreign=len(foreign) / len(called) if called else 0.0,
        ungrounded=float(
            (denies and not negated(text))
            # "without approval" in both is no denial of the claim's own
            or _says_denied(claim, cited, denies=negated(claim, f"{question} {text}"))
        ),
    )
    # A figure from another text than the one that says the rest is another thing's figure.
    invented = claimed - numbers(around(cited[0], cited)) - _given_years(cited[0], question)
    if invented:
        reason = f"the number {', '.join(sorted(invented))} is not in the cited text"
        return Support(tuple(cited), 0.0, reason, signals, frozenset(invented))
    if signals.ungrounded:
        reason = "it denies what the cited text does not deny, or says what the text denies"
    else:
        reason = fault(claim, cited, question, foreign=bool(foreign))
    if unheard and not reason:
        reason = f"nothing that was shown names {', '.join(sorted(unheard))}"
    if reason:
        return Support(tuple(cited), min(signals.score, threshold / 2), reason, signals)
    if signals.score >= threshold:
        return Support(tuple(cited), signals.score, "", signals)
    if foreign:
        reason = f"the cited text does not name {', '.join(sorted(foreign))}"
    else:
        reason = "too little of it stands in any text"
    return Support(tuple(cited), signals.score, reason, signals)


_YEARS = re.compile(rf"(?<!\d){YEAR}(?!\d)")


def _given_years(span: Span, question: str) -> set[str]:
    """The years that a question gives and a text's document goes by."""
    return set(_YEARS.findall(question)) & set(_YEARS.findall(span.dated))


_NOBODYS = 0.6  # share of a claim that is of the sentence that says that nobody did it


def _says_denied(claim: str, cited: list[Span], *, denies: bool) -> bool:
    """Whether a claim says what a cited text says is not so.

    A claim that denies something may deny just that, or something else in words of its own:
    "The bank, which is not Irish, was opened" says what "was not opened" denies.
    """
    said, denied_too = set(terms(claim)), set(denied(claim))
    if denies and not denied_too:
        return False
    affirmed = said - denied_too
    for text in (span.clean for span in cited):
        words, not_so = terms(text), denied(text)
        for word in affirmed.intersection(not_so):
            always = words.count(word) <= not_so.count(word)
            if always or _denied_nearest(word, affirmed, text):
                return True
        if not denies and nobody_did(text) and len(said & set(words)) >= _NOBODYS * len(said):
            return True
    return False


_CLAUSE = re.compile(r"[,;:]|\b(?:and|but|while|whereas|(?:al)?though)\b", re.IGNORECASE)


def _denied_nearest(word: str, affirmed: set[str], text: str) -> bool:
    """Whether a text that has a word twice denies it where it has most of a claim beside it."""
    nearest = {True: 0, False: 0}
    for clause in _CLAUSE.split(text):
        words = terms(clause)
        if word in words:
            not_so = word in denied(clause)
            nearest[not_so] = max(nearest[not_so], len(affirmed.intersection(words)))
    return nearest[True] >= nearest[False]


def _unheard(claim: str, question: str, spans: list[Span]) -> set[str]:
    """The names in a claim that stand nowhere: a model adds "Public License" to "Mozilla"."""
    known = (question, *(f"{span.whole} {span.document.head}" for span in spans))
    return nowhere(names(claim), " ".join(known))


def _adds_only(claim: str, question: str, text: str) -> bool:
    """Whether all that a claim adds to its question is the text's.

    "The picture ends up in Uncategorized" has the question's words for "the photo is moved to".
    A yes adds what nobody can look up, and who says it is no matter of words.
    """
    if tokens(claim)[0] in ("yes", "no") or _SAYS.search(claim):
        return False
    added = set(terms(claim)) - set(terms(question))
    return bool(added) and added <= set(terms(text))
