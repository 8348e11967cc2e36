"""What a converted set is, how questions are chosen from it, and how it is written.

    <out>/<name>/documents/...   what is indexed
    <out>/<name>/gold.jsonl      questions with answers and exact quotes, as ``rag eval`` reads them
    <out>/<name>/queries.jsonl   questions with their relevant documents, for retrieval alone

Everything is a function of the data, the split, the limit and the seed.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from rag.documents.split import sentence_spans
from rag.words import terms

Half = Literal["dev", "test"]
_SUFFIX = "-unanswerable"


@dataclass(frozen=True, slots=True)
class Source:
    """A quotation: exact text of a document that supports an answer."""

    document: str
    quote: str


@dataclass(frozen=True, slots=True)
class Question:
    """A row of a gold set.

    Attributes:
        id: Unique in its set.
        type: The kind of question, in the set's own terms.
        question: As it is asked.
        answer: The reference answer; None where the documents do not answer.
        facts: All groups are needed, any alternative of a group will do.
        sources: The quotations that support the answer.
        relevant: Documents that a search should find.
        pool: The documents that belong to this question where a set gives each its own; a smaller
            choice of questions then needs fewer documents. Empty: all of the set's.
    """

    id: str
    type: str
    question: str
    answer: str | None
    facts: tuple[tuple[str, ...], ...] = ()
    sources: tuple[Source, ...] = ()
    relevant: tuple[str, ...] = ()
    pool: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BenchSet:
    """Documents by path, and questions over them."""

    name: str
    documents: dict[str, str]
    questions: tuple[Question, ...] = field(default=())


def half_of(id_: str) -> Half:
    """The half a question belongs to for good: the parity of the SHA-256 of its id."""
    id_ = id_.removesuffix(_SUFFIX)  # a question and its unanswerable variant stay together
    return "test" if hashlib.sha256(id_.encode()).digest()[-1] % 2 else "dev"


def choose(
    whole: BenchSet, *, split: Half | None = None, limit: int | None = None, seed: int = 0
) -> BenchSet:
    """A part of the questions, in the order of the set, with the documents they need.

    Args:
        whole: The set.
        split: Only this half; None means both.
        limit: At most so many questions, those with the smallest SHA-256 of seed and id.
        seed: Another one chooses other questions.
    """
    kept = [q for q in whole.questions if split is None or half_of(q.id) == split]
    if limit is not None:
        ids = {q.id for q in sorted(kept, key=lambda q: _draw(seed, q.id))[:limit]}
        kept = [q for q in kept if q.id in ids]
    documents = whole.documents
    if kept and len(kept) < len(whole.questions) and all(q.pool for q in kept):
        pool = {path for q in kept for path in q.pool}
        documents = {path: text for path, text in documents.items() if path in pool}
    return replace(whole, documents=documents, questions=tuple(kept))


def _draw(seed: int, id_: str) -> str:
    return hashlib.sha256(f"{seed}:{id_}".encode()).hexdigest()


def unanswerable(whole: BenchSet, *, remove: Iterable[str] | None = None) -> BenchSet:
    """The same questions after the documents that answer them are taken away.

    What is removed for a question: every source document that contains its answer. A question is
    kept only if, checked word for word, **no document that is left contains one of its answers
    (whole words, letter case ignored) together with any content word of the question**. This also
    drops questions whose answer is a common word or a small number, so the questions that are
    left have rarer answers than those of the whole set. It cannot see an answer in other words.

    Args:
        whole: The set with answers in ``facts``.
        remove: Only questions that are answered by one of these documents; None means all.
    """
    wanted = None if remove is None else set(remove)
    asked: list[Question] = []
    gone: set[str] = set()
    for question in whole.questions:
        answering = {
            source.document
            for source in question.sources
            if _says(whole.documents[source.document], question.facts)
        }
        if answering and (wanted is None or answering <= wanted):
            asked.append(question)
            gone |= answering
    left = {path: text for path, text in whole.documents.items() if path not in gone}
    words = {path: set(terms(text)) for path, text in left.items()}
    folded = {path: text.casefold() for path, text in left.items()}
    kept = [
        replace(
            question,
            id=f"{question.id}{_SUFFIX}",
            type="unanswerable",
            answer=None,
            facts=(),
            sources=(),
            relevant=(),
            pool=tuple(path for path in question.pool if path in left),
        )
        for question in asked
        if not _still_said(question, folded, words)
    ]
    return BenchSet(f"{whole.name}{_SUFFIX}", left, tuple(kept))


def _still_said(question: Question, folded: dict[str, str], words: dict[str, set[str]]) -> bool:
    asked = set(terms(question.question))
    patterns = [_whole(answer) for group in question.facts for answer in group]
    return any(
        asked & words[path] and any(pattern.search(text) for pattern in patterns)
        for path, text in folded.items()
    )


def _says(text: str, facts: tuple[tuple[str, ...], ...]) -> bool:
    text = text.casefold()
    return any(_whole(answer).search(text) for group in facts for answer in group)


def _whole(answer: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(answer.casefold())}(?!\w)")


def sentence_at(text: str, start: int, end: int) -> str:
    """The sentence, or the run of sentences, that holds ``text[start:end]``."""
    spans = [(a, b) for a, b in sentence_spans(text) if a < end and start < b]
    return text[min(start, spans[0][0]) : max(end, spans[-1][1])] if spans else text[start:end]


def sentence_with(text: str, answer: str, *, question: str) -> str:
    """The sentence that states an answer; the whole text where none contains it.

    Of several, the one that shares most content words with the question, the first of equals.
    """
    pattern = re.compile(rf"(?<!\w){re.escape(answer)}(?!\w)", re.IGNORECASE)
    asked = set(terms(question))
    found = [sentence_at(text, *match.span()) for match in pattern.finditer(text)]
    return max(found, key=lambda sentence: len(asked & set(terms(sentence))), default=text)


def write(chosen: BenchSet, out: Path) -> Path:
    """Write a set under ``out``, in place of what an earlier run wrote; returns its folder."""
    folder = out / chosen.name
    shutil.rmtree(folder / "documents", ignore_errors=True)
    for path, text in chosen.documents.items():
        file = folder / "documents" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode())  # bytes: line ends stay as they are, and so do offsets
    gold = [
        {
            "id": q.id,
            "type": q.type,
            "question": q.question,
            "answer": q.answer,
            "facts": q.facts,
            "sources": [{"document": s.document, "quote": s.quote} for s in q.sources],
        }
        for q in chosen.questions
        if q.answer is None or q.sources
    ]
    queries = [
        {"id": q.id, "question": q.question, "documents": q.relevant}
        for q in chosen.questions
        if q.relevant
    ]
    for name, rows in (("gold.jsonl", gold), ("queries.jsonl", queries)):
        (folder / name).unlink(missing_ok=True)
        if rows:
            (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder
