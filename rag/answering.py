"""STORY 2, a question's: retrieve -> select evidence -> compose -> generate -> verify -> answer.

``Engine`` is opened once and answers any number of questions; every asker (one question, a chat,
a list, a gold set) calls ``Engine.answer`` and adds nothing to it. A question that asks several
things takes the walk once for each; a later one goes on with the answer to those before it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from rag.answerability import NEUTRAL, SUREST, UNSUREST, probability
from rag.asked import of_another, of_another_time, out_of_kind
from rag.citing import Citations, cited, claim_text, without_false_yes, without_given_time
from rag.compose import (
    ANSWER_OPENING,
    JUDGEMENT,
    NO,
    YES,
    compose,
    compose_description,
    compose_judgement,
)
from rag.dense import DenseIndex
from rag.evidence import other_side, select_evidence
from rag.hops import MAX_HOPS, description_at, leaves_a_question, meant
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
)
from rag.retrieve import Query, expand, make_query, retrieve
from rag.said import Said, Verifier
from rag.scope import EVERYTHING, Scope
from rag.spans import Span
from rag.store import Store
from rag.verify import Support
from rag.words import capital

REFUSAL = "The documents do not answer this."
NOT_ASKED = "the cited text does not answer exactly this question"
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
class Before:
    """What a question goes on from, where it cannot be understood without.

    Attributes:
        question: What was asked before.
        claims: The answer to it; there is one at least.
        rest: What is asked now.
    """

    question: str
    claims: tuple[str, ...]
    rest: str


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
        before: Before | None = None,
        on_claim: Callable[[Claim, tuple[Citation, ...]], None] | None = None,
    ) -> Answer:
        """Answer one question.

        Args:
            question: As the person asked it.
            standalone: The same, understandable without what was said before.
            prepared: What ``prepare`` made of the question, where that was done beforehand; its
                time counts as if it had been waited for.
            before: What the question goes on from; then it is answered as a later part of that.
            on_claim: Called with each claim, and the citations that are new with it, as soon as
                the claim is verified.

        Raises:
            UsageError: The question is empty or too long.
        """
        if before:
            ready = self._going_on(before)
        else:
            ready = prepared or self.prepare(question, standalone=standalone)
        started = time.perf_counter() - ready.retrieve_ms / 1000
        said = Said(Citations(self.store), on_claim)
        for number, part in enumerate(ready.parts):
            found = self._find_next(part, said) if number else ready.first
            self._answer_part(part, found, said, whole=ready, known=before.claims if before else ())
        if not said.claims and len(ready.parts) == 1 and not before:
            self._by_hops(ready.first.asked, said)
        ended = time.perf_counter()
        return Answer(
            question=question,
            standalone_question=" ".join(standalone.split()) if standalone else question,
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

    def _find_next(self, part: Part, said: Said) -> Found:
        """The same for a later part: one that leans on what was said is searched with it."""
        if not part.leans:
            return self._find(part.text)
        return self._find_with(part.text, said.asked, [claim.text for claim in said.claims])

    def _find_with(self, text: str, asked: str, claims: Sequence[str]) -> Found:
        """The same for what leans on a question before and on what was said last."""
        for whole in (" ".join((text, asked, *claims[-1:])), f"{text} {asked}"):
            if self.embedder.count(whole) < self.embedder.max_tokens // 2:
                return self._find(whole, asked=expand(text, self.store.acronyms()))
        return self._find(text)

    def _going_on(self, before: Before) -> Prepared:
        """A question and the one that it goes on from, as one of which this is the later part."""
        started = time.perf_counter()
        found = self._find_with(before.rest, before.question, before.claims)
        asked = f"{capital(before.question.rstrip(' ?'))}, and {before.rest}"
        took = round((time.perf_counter() - started) * 1000)
        return Prepared(asked, (Part(before.rest, leans=True),), found, took)

    def _answer_part(
        self, part: Part, found: Found, said: Said, *, whole: Prepared, known: tuple[str, ...]
    ) -> None:
        """Answer one part of a question and take down what came of it.

        ``known`` was answered before to a part that is not asked again.
        """
        several = len(whole.parts) > 1 or bool(known)
        most = self.limits.max_claims
        sentences = -(-most // 2) if several else most
        claimed = [*known, *(claim.text for claim in said.claims)]
        begun = "".join(f" {text}." for text in claimed)
        held = False
        if found is whole.first and not part.leans:
            held = self._write(found.asked, found, said, several=several, sentences=sentences)
        elif begun or part.leans:
            # A later part is answered by going on with the answer to those before: the whole
            # question is asked, of what was found for this part. Where it asks the same of
            # another, that one opens the sentence: else a small model has said enough.
            question = expand(whole.asked, self.store.acronyms())
            held = self._write(
                question, found, said, begun=begun, several=several, sentences=sentences,
                opens=capital(part.of) if begun else "",
            )  # fmt: skip
        if not held and found is not whole.first and not (part.leans or (begun and part.of)):
            # What has nothing to go on with, or finds nothing so, is asked alone, as any question.
            held = self._write(found.asked, found, said, sentences=sentences)
        if not held:
            said.unanswered.append(part.text)
        said.asked = found.asked

    def _by_hops(self, asked: str, said: Said) -> None:
        """Find out whom or what a question only describes, and ask it of that one.

        All of it holds or none: each step is checked like any answer, and the last must rest on a
        text that names what was found.
        """
        trial = said.trial()
        question, one = self._found_out(asked, trial)
        held = False
        if one:
            found = self._find(question)
            most = self.limits.max_claims
            held = self._write(found.asked, found, trial, sentences=most) and trial.speaks_of(one)
        said.take(trial, held=held)

    def _found_out(self, question: str, trial: Said) -> tuple[str, str]:
        """A question with names in place of its descriptions, and the last one; or "" for that."""
        one = ""
        for _ in range(MAX_HOPS):
            description = self._description(question)
            if not description:
                return question, one
            found = self._find(f"Who or what is {description}?")
            opens = f"{capital(description)} is"
            if not self._write(found.asked, found, trial, opens=opens, sentences=1):
                return question, ""
            one = meant(trial.claims[-1].text, description)
            # One text must speak of both: a claim may rest on two.
            if not one or not trial.speaks_of(one, description):
                return question, ""
            question = question.replace(description, one, 1)
        return question, one

    def _description(self, question: str) -> str:
        """The innermost description of a question, or "" where nothing has to be found out."""
        at = description_at(question)
        if at is None:
            return ""
        words = question[at:].rstrip(" ?").split(" ")
        begun, rest = " ".join(words[:2]), "".join(f" {word}" for word in words[2:])
        prompt = compose_description(question, begun, generator=self.generator)
        whole = (begun + self.generator.copy(prompt, rest)).rstrip(" ,") if rest else begun
        return whole if leaves_a_question(question, whole) else ""

    def _write(
        self,
        question: str,
        found: Found,
        said: Said,
        *,
        begun: str = "",
        opens: str = "",
        several: bool = False,
        sentences: int,
    ) -> bool:
        """Answer a question from what was found; returns whether anything holds.

        Args:
            question: What is asked.
            found: Of what it is asked.
            said: Takes down what comes of it.
            begun: What was answered before, to go on with.
            opens: The words that the next sentence begins with.
            several: Whether it asks several things; then a claim may be half of an answer.
            sentences: At most so many.
        """
        limits = self.limits
        opening = f"{begun} {opens}" if opens else begun
        prompt = compose(
            question,
            list(found.evidence),
            generator=self.generator,
            answer_tokens=limits.max_answer_tokens
            + len(self.generator.tokenize(opening, special=False)),
        )
        reused = self.generator.read(prompt)
        stated = self.generator.log_odds(YES, NO)
        # The most that a judgement could make of it; if that is too little, nothing is written.
        answerability = probability(stated, judged=SUREST, fluent=0.0) if prompt.evidence else 0.0
        known = len(said.claims)
        if answerability >= limits.answer_threshold:
            written = self.generator.sentences(
                ANSWER_OPENING + opening, max_tokens=limits.max_answer_tokens, limit=sentences
            )
            if opens:
                written = _opened(opens, written)
            for text, support_ in self._checked(written, found, prompt, several=several):
                score = round(support_.score, 4)
                if support_.reason:
                    said.dropped.append(Claim(text, (), "unsupported", score, support_.reason))
                    continue
                if len(said.claims) == known:
                    judged, fluent = NEUTRAL, self._fluency()
                    least = probability(stated, judged=UNSUREST, fluent=fluent)
                    # Reading a judgement takes two seconds: not where it could change nothing. With
                    # a threshold of 0 answers are made to choose one, and all of it is wanted.
                    sure = 0 < limits.answer_threshold <= least
                    if not several and not sure:
                        judged = self._judged(question, prompt.evidence, text, support_)
                    answerability = probability(stated, judged=judged, fluent=fluent)
                    if answerability < limits.answer_threshold:
                        said.dropped.append(Claim(text, (), "unsupported", score, NOT_ASKED))
                        break
                said.add(text, support_.spans, score)
        said.answerability.append(answerability)
        said.saw(found.hits)
        said.count(prompt, reused, self.generator)
        return len(said.claims) > known

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
        check = Verifier(
            prompt.question, evidence, store=self.store, embedder=self.embedder,
            threshold=self.limits.support_threshold,
        )  # fmt: skip
        over = {item.section for item in evidence}
        said: list[str] = []
        supported: list[tuple[str, Support]] = []
        for sentence in sentences:
            text = claim_text(sentence, over=over)
            text = without_false_yes(text, question)
            if not text or text in said:
                break
            support_ = check(text)
            kept = without_given_time(text, question=question, unknown=set(support_.invented))
            if kept != text:
                text, support_ = kept, check(kept)
                another = of_another_time(question, text, support_.spans)
                support_ = replace(support_, reason=support_.reason or another)
            if not supported and not support_.reason:
                another = "" if several else of_another(question, support_.spans)
                support_ = replace(support_, reason=out_of_kind(question, text) or another)
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


def _shown(span: Span, evidence: tuple[Evidence, ...]) -> str:
    """A cited text as the model was shown it: with the sentence before, where it needs that."""
    whole = (e.shown for e in evidence if e.document.id == span.document.id)
    return next((text for text in whole if span.clean in text), span.clean)
