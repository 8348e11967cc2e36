"""STORY 2, a question's: retrieve -> select evidence -> compose -> generate -> verify -> answer.

``Engine`` is opened once and answers any number of questions; every asker (one question, a chat,
a list, a gold set) calls ``Engine.answer`` and adds nothing to it. A question that asks several
things takes the walk once for each; a later one goes on with the answer to those before it.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from rag.citing import Citations, cited, claim_text, without_given_time
from rag.compose import ANSWER_OPENING, JUDGEMENT, NO, YES, compose, compose_judgement
from rag.dense import DenseIndex
from rag.evidence import other_side, select_evidence
from rag.parts import Part, split_question
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
from rag.retrieve import Query, expand, make_query, retrieve
from rag.scope import EVERYTHING, Scope
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
# The judge withheld right answers to parts of a question: it is not asked about them. What it would
# have to say leaves the decision to the other two.
_NEUTRAL = 2.2
_NEAREST = 3
_ASKS_WHY = re.compile(r"\b(?:why|reasons?|causes?|what (?:led|caused|made))\b", re.IGNORECASE)
_CONJUNCTION = re.compile(r"^(?:But|And|However|Yet|So|Also|Finally|Moreover),?\s+")


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
class Found:
    """What retrieval has for one part of a question.

    Attributes:
        asked: The part as the model is asked it, acronyms expanded.
        query: As it was searched; for a part that leans on others that is a longer text.
        hits: Passages, best first.
        evidence: Sentences of them, best first.
    """

    asked: str
    query: Query
    hits: tuple[Hit, ...]
    evidence: tuple[Evidence, ...]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A question with all that can be done before the language model is needed.

    Attributes:
        asked: The question, understandable alone.
        parts: What it asks, one thing each.
        first: What was found for the first part.
        retrieve_ms: How long that took, in milliseconds.
    """

    asked: str
    parts: tuple[Part, ...]
    first: Found
    retrieve_ms: int


@dataclass(frozen=True, slots=True)
class Engine:
    """Everything that is loaded once: one generation of an index, and two models.

    With another ``scope`` (``dataclasses.replace``) the same answers from some documents only.
    """

    store: Store
    dense: DenseIndex
    embedder: Embedder
    generator: Generator
    limits: Limits
    scope: Scope = EVERYTHING

    def search(self, question: str, limit: int) -> tuple[Query, list[Hit]]:
        """Retrieval only."""
        query = make_query(question, embedder=self.embedder, acronyms=self.store.acronyms())
        chosen = self.scope.documents
        return query, retrieve(
            query, store=self.store, dense=self.dense, limit=limit, documents=chosen
        )

    def prepare(self, question: str, *, standalone: str | None = None) -> Prepared:
        """All that comes before the language model; may run in one other thread while it answers.

        Args:
            question: As the person asked it.
            standalone: The same, understandable without what was said before.

        Raises:
            UsageError: The question is empty or too long.
        """
        asked = " ".join((standalone or question).split())
        parts = split_question(asked)
        started = time.perf_counter()
        first = self._find(parts[0].text)
        return Prepared(asked, parts, first, round((time.perf_counter() - started) * 1000))

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
        ready = prepared or self.prepare(question, standalone=standalone)
        started = time.perf_counter() - ready.retrieve_ms / 1000
        said = _Said(Citations(self.store), on_claim)
        for number, part in enumerate(ready.parts):
            found = self._find_next(part, said) if number else ready.first
            self._answer_part(part, found, said, whole=ready)
        ended = time.perf_counter()
        return Answer(
            question=question,
            standalone_question=ready.asked if standalone else question,
            status="answered" if said.claims else "unanswerable",
            answer=" ".join(map(cited, said.claims)) if said.claims else REFUSAL,
            claims=tuple(said.claims),
            citations=tuple(said.book.citations),
            retrieved=tuple(
                Retrieved(h.document.path, h.passage.start, h.passage.end, round(h.score, 6))
                for h in said.hits.values()
            ),
            dropped=tuple(said.dropped),
            nearest=() if said.claims else self._nearest(ready.first.evidence),
            unanswered=tuple(said.unanswered) if said.claims else (),
            answerability=round(max(said.answerability), 4),
            stats=replace(
                said.stats,
                retrieve_ms=ready.retrieve_ms,
                first_token_ms=round(((said.first_token_at or ended) - started) * 1000),
                total_ms=round((ended - started) * 1000),
            ),
            embedder=self.embedder.name,
            llm=self.generator.name,
            index_generation=self.store.generation,
            documents_searched=len(self.scope.documents or ()) or self.store.document_count(),
            scope=self.scope.globs,
            where=self.scope.where,
        )

    def _find(self, text: str, *, asked: str = "") -> Found:
        """Passages and evidence for one part; ``asked`` where it is searched as another text."""
        query, hits = self.search(text, self.limits.passages)
        evidence = select_evidence(query, hits, store=self.store, limit=self.limits.evidence)
        return Found(asked or query.text, query, tuple(hits), tuple(evidence))

    def _find_next(self, part: Part, said: _Said) -> Found:
        """The same for a later part: one that leans on what was said is searched with it."""
        if not part.leans:
            return self._find(part.text)
        spoken = " ".join(claim.text for claim in said.claims[-1:])
        for text in (f"{part.text} {said.asked} {spoken}", f"{part.text} {said.asked}"):
            if self.embedder.count(text) < self.embedder.max_tokens // 2:
                return self._find(text, asked=expand(part.text, self.store.acronyms()))
        return self._find(part.text)

    def _answer_part(self, part: Part, found: Found, said: _Said, *, whole: Prepared) -> None:
        """Answer one part of a question and take down what came of it."""
        limits = self.limits
        several = len(whole.parts) > 1
        # A later part is answered by going on with the answer to those before: the whole question
        # is asked, of what was found for this part. Where it asks the same of another, that one
        # opens the sentence: else a small model has said enough.
        question, begun, opens = found.asked, "".join(f" {c.text}." for c in said.claims), ""
        if begun or part.leans:
            question = expand(whole.asked, self.store.acronyms())
        if begun and part.of:
            opens = f" {part.of[0].upper()}{part.of[1:]}"
        prompt = compose(
            question,
            list(found.evidence),
            generator=self.generator,
            answer_tokens=limits.max_answer_tokens
            + len(self.generator.tokenize(begun + opens, special=False)),
        )
        reused = self.generator.read(prompt)
        stated = self.generator.log_odds(YES, NO)
        # The most that a judgement could make of it; if that is too little, nothing is written.
        answerability = _probability(stated, judged=_SUREST, fluent=0.0) if prompt.evidence else 0.0
        known = len(said.claims)
        if answerability >= limits.answer_threshold:
            sentences = self.generator.sentences(
                ANSWER_OPENING + begun + opens,
                max_tokens=limits.max_answer_tokens,
                limit=-(-limits.max_claims // 2) if several else limits.max_claims,
            )
            if opens:
                sentences = _opened(opens.strip(), sentences)
            for text, support_ in self._checked(sentences, found, prompt, several=several):
                score = round(support_.score, 4)
                if support_.reason:
                    said.dropped.append(Claim(text, (), "unsupported", score, support_.reason))
                    continue
                if len(said.claims) == known:
                    judged = _NEUTRAL
                    if not several:
                        judged = self._judged(question, prompt.evidence, text, support_)
                    answerability = _probability(stated, judged=judged, fluent=self._fluency())
                    if answerability < limits.answer_threshold:
                        said.dropped.append(Claim(text, (), "unsupported", score, NOT_ASKED))
                        break
                said.add(text, support_.spans, score)
        if len(said.claims) == known:
            said.unanswered.append(part.text)
        said.asked = found.asked
        said.answerability.append(answerability)
        said.hits |= {hit.passage_id: hit for hit in found.hits if hit.passage_id not in said.hits}
        said.count(prompt, reused, self.generator)

    def _judged(
        self, question: str, evidence: tuple[Evidence, ...], claim: str, found: Support
    ) -> float:
        """How sure the model is that the cited text states this answer to this question."""
        texts = dict.fromkeys(_shown(span, evidence) for span in found.spans)
        judgement = compose_judgement(
            question, " ".join(list(texts)[:2]), f"{claim}.", generator=self.generator
        )
        return self.generator.judge(judgement, *JUDGEMENT)

    def _fluency(self) -> float:
        """Mean log probability of what was written."""
        written = self.generator.log_probs
        return sum(written) / len(written) if written else 0.0

    def _checked(
        self, sentences: Iterator[str], found: Found, prompt: Prompt, *, several: bool
    ) -> Iterator[tuple[str, Support]]:
        """What the model writes, sentence by sentence, each with what supports it."""
        question, evidence = found.asked, prompt.evidence
        check = _Verifier(self, prompt.question, evidence)
        said: list[str] = []
        supported: list[tuple[str, Support]] = []
        for sentence in sentences:
            text = claim_text(sentence)
            if not text or text in said:
                break
            support_ = check(text)
            kept = without_given_time(text, question=question, unknown=set(support_.invented))
            if kept != text:
                text, support_ = kept, check(kept)
            if not supported and not support_.reason:
                support_ = replace(support_, reason=out_of_kind(question, text))
            said.append(text)
            if not support_.reason:
                supported.append((text, support_))
            yield text, support_
        # A small model stops at the first reason. Where another document gives one too, its own
        # sentence is added, word for word.
        more = self.limits.max_claims > 1 and not several
        if len(supported) == 1 and more and _ASKS_WHY.search(question):
            claim, first = supported[0]
            known = {span.document.id for span in first.spans}
            other = other_side(found.query, evidence, claim=claim, known=known)
            if other:
                text = _CONJUNCTION.sub("", other.clean).rstrip(" .;")
                yield f"Another source says: “{text}”", check(text)

    def _nearest(self, evidence: tuple[Evidence, ...]) -> tuple[Citation, ...]:
        """What a person may look at where there is no answer."""
        book = Citations(self.store)
        for item in evidence[:_NEAREST]:
            book.label(Span(item.document, item.start, item.end, item.clean))
        return tuple(book.citations)


def _opened(words: str, sentences: Iterator[str]) -> Iterator[str]:
    """Sentences of which the first was begun with some words."""
    for rest in sentences:
        apart = " " if words and rest[:1] not in "'’,.:;" else ""
        yield f"{words}{apart}{rest}"
        words = ""


def _probability(stated: float, *, judged: float, fluent: float) -> float:
    """The probability, 0 to 1, that the documents answer."""
    logit = _BIAS + _STATED * stated + _JUDGED * judged + _FLUENT * fluent
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, logit))))


def _shown(span: Span, evidence: tuple[Evidence, ...]) -> str:
    """A cited text as the model was shown it: with the sentence before, where it needs that."""
    whole = (e.shown for e in evidence if e.document.id == span.document.id)
    return next((text for text in whole if span.clean in text), span.clean)


class _Said:
    """What has come of a question so far."""

    def __init__(
        self, book: Citations, on_claim: Callable[[Claim, tuple[Citation, ...]], None] | None
    ) -> None:
        self.book = book
        self.claims: list[Claim] = []
        self.dropped: list[Claim] = []
        self.unanswered: list[str] = []
        self.asked = ""  # the part before
        self.hits: dict[int, Hit] = {}
        self.answerability: list[float] = []
        self.stats = Stats()
        self.first_token_at = 0.0
        self._on_claim = on_claim

    def add(self, text: str, spans: tuple[Span, ...], score: float) -> None:
        """A supported claim; one that was made before is not made again."""
        if text in (earlier.text for earlier in self.claims):
            return
        known = len(self.book.citations)
        labels = tuple(dict.fromkeys(self.book.label(span) for span in spans))
        claim = Claim(text, labels, "supported", score)
        self.claims.append(claim)
        if self._on_claim:
            self._on_claim(claim, tuple(self.book.citations[known:]))

    def count(self, prompt: Prompt, reused: int, generator: Generator) -> None:
        """Add up what a part cost."""
        self.first_token_at = self.first_token_at or generator.first_token_at
        self.stats = replace(
            self.stats,
            prompt_tokens=self.stats.prompt_tokens + len(prompt.tokens),
            reused_tokens=self.stats.reused_tokens + reused,
            answer_tokens=self.stats.answer_tokens + generator.written,
            evidence_offered=self.stats.evidence_offered + len(prompt.evidence),
            evidence_dropped=self.stats.evidence_dropped + prompt.dropped,
        )


class _Verifier:
    """Checks claims against what the model was shown; embeds those texts once, when first asked."""

    def __init__(self, engine: Engine, question: str, evidence: tuple[Evidence, ...]) -> None:
        self._engine = engine
        self._question = question
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
            question=self._question,
            claim_vector=engine.embedder.embed([claim[:1000]])[0],
            span_vectors=self._vectors,
            rarity=self._rarity,
            threshold=engine.limits.support_threshold,
        )
