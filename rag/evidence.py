"""Passages to the few sentences worth showing the model.

Reading the prompt is most of the time on a CPU, and a small model loses facts in long passages;
so sentences are chosen, and one that cannot be understood alone ("But this text was suspended")
brings the sentence before it.
"""

from __future__ import annotations

import math
import re

from rag.records import Evidence, Hit, Sentence
from rag.retrieve import RRF_K, Query
from rag.store import Store
from rag.words import terms

_MIN_WORDS = 4
_MAX_LEAD_WORDS = 45
_NEEDS_LEAD = re.compile(
    r"[\"'“‘(]*(?:(?:But|And|However|Yet|So|Thus|Therefore|Moreover|Furthermore|Still|Instead|Also"
    r"|In addition|As a result|Finally|Nevertheless|Admittedly|At the same time),?\s+)?"
    r"(?:It|Its|He|His|She|Her|They|Their|Them|This|That|These|Those|Such|Both|The (?:former|latter"
    r"|two|same|goal|agreement|text|treaty|deal|statement|move|decision|plan|document))\b"
    r"|[\"'“‘(]*(?:But|However|Yet|Instead|On the other(?: hand)?)\b"
)


def select_evidence(query: Query, hits: list[Hit], *, store: Store, limit: int) -> list[Evidence]:
    """Choose sentences of the retrieved passages, best first.

    Each sentence is ranked by cosine to the question, by shared terms weighted by rarity, and by
    its passage's rank; the three rankings are fused by reciprocal rank.

    Args:
        query: The question as searched.
        hits: Retrieved passages, best first.
        store: For sentence vectors and the sentences before.
        limit: At most so many.
    """
    total = store.counts()["passages"] + 1
    frequency = store.passage_frequency(query.terms)
    rarity = {t: math.log(1 + total / (1 + frequency[t])) for t in query.terms}
    candidates: list[tuple[Hit, int, Sentence, float, float]] = []
    seen: set[str] = set()
    for hit in hits:
        cosines = store.sentence_vectors(hit.passage_id) @ query.vector
        for at, sentence in enumerate(hit.passage.sentences):
            key = sentence.clean.casefold()
            if len(sentence.clean.split()) < _MIN_WORDS or key in seen:
                continue
            seen.add(key)
            shared = set(terms(sentence.clean)) & rarity.keys()
            weight = sum(rarity[t] for t in sorted(shared))
            candidates.append((hit, at, sentence, float(cosines[at]), weight))
    place = {hit.passage_id: rank for rank, hit in enumerate(hits, 1)}
    by_cosine = _ranks([c[3] for c in candidates])
    by_weight = _ranks([c[4] for c in candidates])
    scored = [
        (
            1 / (RRF_K + by_cosine[n]) + 1 / (RRF_K + by_weight[n])
            + 1 / (RRF_K + place[hit.passage_id]),
            n,
        )
        for n, (hit, *_) in enumerate(candidates)
    ]  # fmt: skip
    chosen = sorted(scored, key=lambda pair: (-pair[0], pair[1]))[:limit]
    return [
        Evidence(
            document=hit.document,
            start=sentence.start,
            end=sentence.end,
            clean=sentence.clean,
            lead=_lead(hit, at, store),
            passage_id=hit.passage_id,
            score=score,
            cosine=cosine,
        )
        for score, n in chosen
        for hit, at, sentence, cosine, _ in [candidates[n]]
    ]


def _ranks(values: list[float]) -> list[int]:
    """Rank of each value, 1 for the largest; equal values share the better rank."""
    order = sorted(range(len(values)), key=lambda n: -values[n])
    ranks = [0] * len(values)
    for position, n in enumerate(order):
        same = position and values[order[position - 1]] == values[n]
        ranks[n] = ranks[order[position - 1]] if same else position + 1
    return ranks


def _lead(hit: Hit, at: int, store: Store) -> Sentence | None:
    """The sentence before, where this one leans on it."""
    sentence = hit.passage.sentences[at]
    if not _NEEDS_LEAD.match(sentence.clean):
        return None
    before = (
        hit.passage.sentences[at - 1]
        if at
        else store.sentence_before(hit.document.id, sentence.start)
    )
    if before is None or len(before.clean.split()) > _MAX_LEAD_WORDS:
        return None
    return before
