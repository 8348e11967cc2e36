"""Question to passages: dense and lexical search, fused by their scores.

Acronyms that any document of the corpus defines are expanded both ways first, because a document
that spells a name out and one that only abbreviates it otherwise never meet.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from rag.errors import UsageError
from rag.records import Acronym, Embedder, FloatMatrix, Hit
from rag.storage.dense import DenseIndex
from rag.storage.store import Store
from rag.words import has_word, terms

_DENSE_WEIGHT = 0.8  # 0.7 to 0.9 differ little on four sets (docs/experiments.md)
_POOL = 100  # hits taken from each stage before fusion


@dataclass(frozen=True, slots=True)
class Query:
    """A question as it is searched.

    Attributes:
        text: The question with acronyms expanded.
        vector: float32 (dimension,), of unit length.
        terms: Stems of its content words, without repeats.
    """

    text: str
    vector: FloatMatrix
    terms: tuple[str, ...]


def check_question(question: str) -> None:
    """Make sure that something is asked, which needs no model.

    Raises:
        UsageError: It is empty, or nothing but signs.
    """
    if not has_word(question):
        what = "is empty" if not question.strip() else "holds no word"
        raise UsageError(f"the question {what}", hint='ask something: rag ask "Why …?"')


def make_query(question: str, *, embedder: Embedder, acronyms: list[Acronym]) -> Query:
    """Expand and embed a question.

    Raises:
        UsageError: It is empty, or longer than the embedder reads.
    """
    check_question(question)
    question = " ".join(question.split())
    if len(question) > 100 * embedder.max_tokens or embedder.count(question) > embedder.max_tokens:
        raise UsageError(
            f"the question is too long: {len(question.split()):,} words; the embedder reads"
            f" {embedder.max_tokens} tokens, about {embedder.max_tokens * 3 // 4} words",
            hint="ask one short question; long background belongs among the documents",
        )
    text = expand(question, acronyms)
    if embedder.count(text) > embedder.max_tokens:
        text = question
    return Query(text, embedder.embed([text])[0], tuple(dict.fromkeys(terms(text))))


def expand(question: str, acronyms: list[Acronym]) -> str:
    """Put ``Comprehensive Agreement on Investment (CAI)`` for ``CAI``, and the other way round.

    A short form that documents spell out in several ways is left as it is: in a large corpus the
    wrong name does more harm than none (see docs/experiments.md).
    """
    found: dict[str, tuple[int, int, str]] = {}  # short form -> span in the question, new text
    lowered = question.lower()
    near = [a for a in acronyms if a.short in question or a.long.lower() in lowered]
    meanings: dict[str, set[str]] = {acronym.short: set() for acronym in near}
    for acronym in acronyms:
        if acronym.short in meanings:
            meanings[acronym.short].add(acronym.long.lower().replace("-", " ").rstrip("s"))
    for acronym in near:
        short, long = re.escape(acronym.short), re.escape(acronym.long)
        has_short = re.search(rf"\b{short}\b", question)
        has_long = re.search(rf"\b{long}\b", question, re.IGNORECASE)
        if has_short and not has_long and len(meanings[acronym.short]) == 1:
            both = f"{acronym.long} ({acronym.short})"
            found.setdefault(acronym.short, (*has_short.span(), both))
        elif has_long and not has_short:
            both = f"{has_long.group()} ({acronym.short})"
            found[acronym.short] = (*has_long.span(), both)
    # The longer name wins: "Republic of China" within "People's Republic of China" is no other.
    kept: list[tuple[int, int, str]] = []
    for start, end, both in sorted(found.values(), key=lambda f: (f[0] - f[1], f)):
        if all(end <= a or b <= start for a, b, _ in kept):
            kept.append((start, end, both))
    for start, end, both in sorted(kept, reverse=True):
        question = question[:start] + both + question[end:]
    return question


def retrieve(
    query: Query,
    *,
    store: Store,
    dense: DenseIndex,
    limit: int,
    documents: frozenset[int] | None = None,
) -> list[Hit]:
    """The best passages, best first; of some documents only, where ``documents`` says which."""
    among = None if documents is None else store.passage_ids(documents)
    # Both run outside of Python: of a million passages each takes tens of milliseconds.
    with ThreadPoolExecutor(1) as beside:
        by_meaning = beside.submit(dense.search, query.vector, _POOL, among=among)
        by_words = store.lexical_search(query.terms, _POOL, documents=documents)
        stages = {"dense": by_meaning.result(), "lexical": by_words}
    ranks: dict[int, dict[str, int]] = {}
    scores: dict[int, dict[str, float]] = {}
    for stage, found in stages.items():
        for rank, (passage_id, score) in enumerate(found, 1):
            ranks.setdefault(passage_id, {})[stage] = rank
            scores.setdefault(passage_id, {})[stage] = score
    best = fuse(stages["dense"], stages["lexical"])[:limit]
    return [store.hit(id_, score, ranks[id_], scores[id_]) for id_, score in best]


def fuse(
    dense: Sequence[tuple[int, float]], lexical: Sequence[tuple[int, float]]
) -> list[tuple[int, float]]:
    """Two stages' passage ids and scores to one ranking with the fused scores, best first.

    A convex combination, ``0.8 * cosine + 0.2 * BM25 / the best BM25``; a passage that only words
    found has the least cosine that was found. Bruch, Gai and Ingber, "An analysis of fusion
    functions for hybrid retrieval", ACM TOIS 42 (2023).
    """
    by_meaning, by_words = dict(dense), dict(lexical)
    least = min(by_meaning.values(), default=0.0)
    most = max(by_words.values(), default=0.0) or 1.0
    fused = {
        id_: _DENSE_WEIGHT * by_meaning.get(id_, least)
        + (1 - _DENSE_WEIGHT) * by_words.get(id_, 0.0) / most
        for id_ in by_meaning | by_words
    }
    return sorted(fused.items(), key=lambda item: (-item[1], item[0]))
