"""STORY 2, a question's: retrieve -> select evidence -> compose -> generate -> verify -> answer.

``Engine`` is opened once and answers any number of questions; every asker (one question, a chat,
a list, a gold set) calls ``Engine.answer`` and adds nothing to it.
"""

from __future__ import annotations

import bisect
import math
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from rag.compose import ANSWER_OPENING, JUDGEMENT, NO, YES, compose, compose_judgement
from rag.dense import DenseIndex
from rag.evidence import select_evidence
from rag.records import (
    Answer,
    Citation,
    Claim,
    Embedder,
    Evidence,
    Generator,
    Hit,
    Prompt,
    Retrieved,
    Stats,
)
from rag.retrieve import Query, make_query, retrieve
from rag.store import Store
from rag.verify import Span, Support, out_of_kind, spans_of, support
from rag.words import terms

REFUSAL = "The documents do not answer this."
NOT_ASKED = "the cited text does not answer exactly this question"
# The logit of "the documents answer this": the model's yes before it answers, its yes to the
# finished claim beside the text that is cited for it, and the mean log probability of the answer's
# tokens. Chosen on bench/sets/nearmiss.jsonl, see docs/experiments.md.
_BIAS, _STATED, _JUDGED, _FLUENT = -1.1, 1.0, 0.5, 2.0
_SUREST = 3.0  # log odds that the judge of finished claims hardly ever exceeds
# A claim that answers half of a question of two is no answer to the judge; it is one to a person.
_SEVERAL = re.compile(
    r"[,;?] (?:and )?(?:in |to |for |from |at |on )?(?:who|whom|whose|which|what"
    r"|when|where|why|how|has|have|had|did|does|do|is|are|was|were)\b|\bdiffer|\bcompare|\beach\b|\bboth\b",
    re.IGNORECASE,
)
_HALF = 1.5
_NEAREST = 3
_ASKS_WHY = re.compile(r"\b(?:why|reasons?|causes?|what (?:led|caused|made))\b", re.IGNORECASE)
_CONJUNCTION = re.compile(r"^(?:But|And|However|Yet|So|Also|Finally|Moreover),?\s+")
_OTHER_SIDE = 0.7  # the other document's evidence is worth so much of the best of all
_NEW_WORDS = 3  # and says at least so many words of its own


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is retrieved, shown and written, and how sure it must be."""

    passages: int
    evidence: int
    max_answer_tokens: int
    max_claims: int
    answer_threshold: float
    support_threshold: float


@dataclass(frozen=True, slots=True)
class Prepared:
    """A question with what was found for it, before anything is written.

    Attributes:
        asked: The question that is searched and answered, in one line.
        query: The same, expanded and embedded.
        hits: Retrieved passages, best first.
        evidence: What the model may be shown, best first.
        retrieve_ms: How long finding it took, in milliseconds.
    """

    asked: str
    query: Query
    hits: tuple[Hit, ...]
    evidence: tuple[Evidence, ...]
    retrieve_ms: int


@dataclass(frozen=True, slots=True)
class Engine:
    """Everything that is loaded once: one generation of an index, and two models."""

    store: Store
    dense: DenseIndex
    embedder: Embedder
    generator: Generator
    limits: Limits

    def search(self, question: str, limit: int) -> tuple[Query, list[Hit]]:
        """Retrieval only."""
        query = make_query(question, embedder=self.embedder, acronyms=self.store.acronyms())
        return query, retrieve(query, store=self.store, dense=self.dense, limit=limit)

    def prepare(self, question: str, standalone: str | None = None) -> Prepared:
        """Retrieve and select evidence; may run in one other thread while a question is answered.

        Args:
            question: As the person asked it.
            standalone: The same, understandable without what was said before.

        Raises:
            UsageError: The question is empty or too long.
        """
        started = time.perf_counter()
        asked = " ".join((standalone or question).split())
        query, hits = self.search(asked, self.limits.passages)
        evidence = select_evidence(query, hits, store=self.store, limit=self.limits.evidence)
        took = round((time.perf_counter() - started) * 1000)
        return Prepared(asked, query, tuple(hits), tuple(evidence), took)

    def answer(
        self,
        question: str,
        *,
        standalone: str | None = None,
        prepared: Prepared | None = None,
        on_claim: Callable[[Claim, tuple[Citation, ...]], None] | None = None,
    ) -> Answer:
        """Answer one question.

        Args:
            question: As the person asked it.
            standalone: The same, understandable without what was said before.
            prepared: What ``prepare`` made of the question, where that was done beforehand; its
                time counts as if it had been waited for.
            on_claim: Called with each claim, and the citations that are new with it, as soon as
                the claim is verified.

        Raises:
            UsageError: The question is empty or too long.
        """
        limits = self.limits
        ready = prepared or self.prepare(question, standalone)
        started = time.perf_counter() - ready.retrieve_ms / 1000
        query, evidence = ready.query, list(ready.evidence)
        prompt = compose(
            query.text,
            evidence,
            generator=self.generator,
            answer_tokens=limits.max_answer_tokens,
        )
        reused = self.generator.read(prompt)
        stated = self.generator.log_odds(YES, NO)
        # The most that a judgement could make of it; if that is too little, nothing is written.
        answerability = _probability(stated, judged=_SUREST, fluent=0.0) if evidence else 0.0
        book = _Citations(self.store)
        claims: list[Claim] = []
        dropped: list[Claim] = []
        if answerability >= limits.answer_threshold:
            for text, found in self._checked_sentences(query, prompt.evidence):
                score = round(found.score, 4)
                if found.reason:
                    dropped.append(Claim(text, (), "unsupported", score, found.reason))
                    continue
                if not claims:
                    answerability = self._answerability(query, prompt, text, found, stated)
                    if answerability < limits.answer_threshold:
                        dropped.append(Claim(text, (), "unsupported", score, NOT_ASKED))
                        break
                known = len(book.citations)
                labels = tuple(dict.fromkeys(book.label(span) for span in found.spans))
                claims.append(Claim(text, labels, "supported", score))
                if on_claim:
                    on_claim(claims[-1], tuple(book.citations[known:]))
        ended = time.perf_counter()
        first_at = self.generator.first_token_at or ended
        return Answer(
            question=question,
            standalone_question=ready.asked if standalone else question,
            status="answered" if claims else "unanswerable",
            answer=" ".join(map(cited, claims)) if claims else REFUSAL,
            claims=tuple(claims),
            citations=tuple(book.citations),
            retrieved=tuple(
                Retrieved(h.document.path, h.passage.start, h.passage.end, round(h.score, 6))
                for h in ready.hits
            ),
            dropped=tuple(dropped),
            nearest=() if claims else self._nearest(evidence),
            answerability=round(answerability, 4),
            stats=Stats(
                retrieve_ms=ready.retrieve_ms,
                first_token_ms=round((first_at - started) * 1000),
                total_ms=round((ended - started) * 1000),
                prompt_tokens=len(prompt.tokens),
                reused_tokens=reused,
                answer_tokens=self.generator.written,
                evidence_offered=len(prompt.evidence),
                evidence_dropped=prompt.dropped,
            ),
            embedder=self.embedder.name,
            llm=self.generator.name,
            index_generation=self.store.generation,
            documents_searched=len(self.store.documents()),
        )

    def _answerability(
        self, query: Query, prompt: Prompt, claim: str, found: Support, stated: float
    ) -> float:
        """The probability, 0 to 1, that the documents answer the question, given a first claim."""
        texts = dict.fromkeys(_shown(span, prompt.evidence) for span in found.spans)
        judged = self.generator.judge(
            compose_judgement(
                query.text, " ".join(list(texts)[:2]), f"{claim}.", generator=self.generator
            ),
            *JUDGEMENT,
        )
        if _SEVERAL.search(query.text):
            judged = max(judged, _HALF)
        written = self.generator.log_probs
        fluent = sum(written) / len(written) if written else 0.0
        return _probability(stated, judged=judged, fluent=fluent)

    def _checked_sentences(
        self, query: Query, evidence: tuple[Evidence, ...]
    ) -> Iterator[tuple[str, Support]]:
        """What the model writes, sentence by sentence, each with what supports it."""
        limits = self.limits
        check = _Verifier(self, query, evidence)
        said: list[str] = []
        supported: list[tuple[str, Support]] = []

        for sentence in self.generator.sentences(
            ANSWER_OPENING, max_tokens=limits.max_answer_tokens, limit=limits.max_claims
        ):
            text = claim_text(sentence)
            if not text or text in said:
                break
            found = check(text)
            if not supported and not found.reason:
                found = replace(found, reason=out_of_kind(query.text, text))
            said.append(text)
            if not found.reason:
                supported.append((text, found))
            yield text, found
        # A small model stops at the first reason. Where another document gives one too, its own
        # sentence is added, word for word.
        if len(supported) == 1 and limits.max_claims > 1 and _ASKS_WHY.search(query.text):
            claim, first = supported[0]
            other = _other_reason(query, evidence, claim=claim, first=first)
            if other:
                text = _CONJUNCTION.sub("", other.clean).rstrip(" .;")
                yield f"Another source says: “{text}”", check(text)

    def _nearest(self, evidence: list[Evidence]) -> tuple[Citation, ...]:
        """What a person may look at where there is no answer."""
        book = _Citations(self.store)
        for item in evidence[:_NEAREST]:
            book.label(Span(item.document, item.start, item.end, item.clean))
        return tuple(book.citations)


def _probability(stated: float, *, judged: float, fluent: float) -> float:
    """The probability, 0 to 1, that the documents answer."""
    logit = _BIAS + _STATED * stated + _JUDGED * judged + _FLUENT * fluent
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, logit))))


def cited(claim: Claim) -> str:
    """A claim as it stands in the answer: its labels before its full stop."""
    return f"{claim.text} {''.join(f'[{label}]' for label in claim.labels)}."


def _other_reason(
    query: Query, evidence: tuple[Evidence, ...], *, claim: str, first: Support
) -> Evidence | None:
    """The best evidence of another document that speaks of what a claim says, and adds to it."""
    cited = {span.document.id for span in first.spans}
    asked, said = set(query.terms), set(terms(claim))
    for item in evidence:
        words = set(terms(item.clean))
        if (
            item.document.id not in cited
            and item.score >= _OTHER_SIDE * evidence[0].score
            and words & (said - asked)
            and len(words - said - asked) >= _NEW_WORDS
        ):
            return item
    return None


def _shown(span: Span, evidence: tuple[Evidence, ...]) -> str:
    """A cited text as the model was shown it: with the sentence before, where it needs that."""
    whole = (e.shown for e in evidence if e.document.id == span.document.id)
    return next((text for text in whole if span.clean in text), span.clean)


def claim_text(sentence: str) -> str:
    """A sentence without list marks, invented labels, and its full stop."""
    text = re.sub(r"\s*\[\d+(?:\s*[,;–-]\s*\d+)*\]", "", sentence)
    text = re.sub(r"^(?:[-*•]|Answer:)\s*", "", " ".join(text.split()))
    return text.rstrip(" .;")


class _Citations:
    """Labels 1, 2, 3 in order of first use; a label always means the same span."""

    def __init__(self, store: Store) -> None:
        self.citations: list[Citation] = []
        self._store = store
        self._labels: dict[tuple[int, int, int], int] = {}
        self._texts: dict[int, tuple[str, list[int]]] = {}

    def label(self, span: Span) -> int:
        key = (span.document.id, span.start, span.end)
        if key not in self._labels:
            self._labels[key] = len(self.citations) + 1
            self.citations.append(self._citation(self._labels[key], span))
        return self._labels[key]

    def _citation(self, label: int, span: Span) -> Citation:
        document = span.document
        if document.id not in self._texts:
            text = self._store.text(document.id)
            self._texts[document.id] = (text, [m.end() for m in re.finditer(r"\r\n|\r|\n", text)])
        text, newlines = self._texts[document.id]
        return Citation(
            label=label,
            document=document.path,
            title=document.title,
            page=None,
            start=span.start,
            end=span.end,
            line_start=bisect.bisect_right(newlines, span.start) + 1,
            line_end=bisect.bisect_right(newlines, span.end - 1) + 1,
            quote=text[span.start : span.end],
        )


class _Verifier:
    """Checks claims against what the model was shown; embeds those texts once, when first asked."""

    def __init__(self, engine: Engine, query: Query, evidence: tuple[Evidence, ...]) -> None:
        self._engine = engine
        self._query = query
        self._spans = spans_of(evidence)
        self._vectors = engine.embedder.embed([span.clean for span in self._spans])
        self._rarity = engine.store.rarity(
            term for span in self._spans for term in terms(span.clean)
        )

    def __call__(self, claim: str) -> Support:
        engine = self._engine
        return support(
            claim,
            self._spans,
            question=self._query.text,
            claim_vector=engine.embedder.embed([claim[:1000]])[0],
            span_vectors=self._vectors,
            rarity=self._rarity,
            threshold=engine.limits.support_threshold,
        )
