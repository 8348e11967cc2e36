"""STORY 2, a question's: retrieve -> select evidence -> compose -> generate -> verify -> answer.

``Engine`` is opened once and answers any number of questions; every asker (one question, a chat,
a list, a gold set) calls ``Engine.answer`` and adds nothing to it. A question that asks several
things takes the walk once for each; a later one goes on with the answer to those before it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from rag.answers.citing import Citations, cited
from rag.answers.claims import ClaimWriter, Found, Limits
from rag.answers.compose import compose_description
from rag.answers.parts import Part, split_question
from rag.answers.said import Said
from rag.records import Answer, Citation, Claim, Embedder, Evidence, Generator, Hit, Retrieved
from rag.retrieval.absent import absent_names
from rag.retrieval.evidence import best_of, select_evidence
from rag.retrieval.retrieve import Query, expand, make_query, retrieve
from rag.retrieval.scope import EVERYTHING, Scope
from rag.storage.dense import DenseIndex
from rag.storage.store import Store
from rag.verification.hops import MAX_HOPS, description_at, leaves_a_question, meant
from rag.verification.spans import Span
from rag.words import capital

REFUSAL = "The documents do not answer this."
_NEAREST = 3


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

    @property
    def _writer(self) -> ClaimWriter:
        return ClaimWriter(self.store, self.embedder, self.generator, self.limits)

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
            absent=tuple(dict.fromkeys(said.absent)),
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

    def _find(self, text: str) -> Found:
        """Passages and evidence for one part."""
        query, hits = self.search(text, self.limits.passages)
        evidence = select_evidence(query, hits, store=self.store, limit=self.limits.evidence)
        return Found(query.text, query, tuple(hits), tuple(evidence))

    def _find_next(self, part: Part, said: Said) -> Found:
        """The same for a later part: one that leans on what was said is searched with it."""
        if not part.leans:
            return self._find(part.text)
        return self._find_with(part.text, said.asked, [claim.text for claim in said.claims])

    def _find_with(self, text: str, asked: str, claims: Sequence[str]) -> Found:
        """The same for what leans on a question before, or on what was said to it last.

        Searched beside each by itself: together they find what they speak of themselves.
        """
        wholes = [f"{text} {other}" for other in (asked, *claims[-1:])]
        fitting = [w for w in wholes if self.embedder.count(w) < self.embedder.max_tokens // 2]
        found = [self._find(whole) for whole in fitting or [text]]
        return Found(
            asked=expand(text, self.store.acronyms()),
            query=found[0].query,
            hits=tuple({hit.passage_id: hit for one in found for hit in one.hits}.values()),
            evidence=best_of((one.evidence for one in found), limit=self.limits.evidence),
        )

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
        said.asked = found.asked
        if absent := absent_names(part.text, found.hits, self.store):
            said.saw(found.hits)
            said.absent += absent
            said.unanswered.append(part.text)
            said.answerability.append(0.0)
            return
        several = len(whole.parts) > 1 or bool(known)
        write, most = self._writer.write, self.limits.max_claims
        sentences = -(-most // 2) if several else most
        claimed = [*known, *(claim.text for claim in said.claims)]
        written = said.stats.answer_tokens
        begun = "".join(f" {text}." for text in claimed)
        # What leans on what was said is said of the same: "Arm. In what city?" not of any city.
        of = part.of or (" ".join(claimed) if part.leans else "")
        held = False
        if found is whole.first and not part.leans:
            held = write(found.asked, found, said, several=several, of=of, sentences=sentences)
        elif begun or part.leans:
            # A later part is answered by going on with the answer to those before: the whole
            # question is asked, of what was found for this part. Where it asks the same of
            # another, that one opens the sentence: else a small model has said enough.
            question = expand(whole.asked, self.store.acronyms())
            held = write(
                question, found, said, begun=begun, several=several, of=of,
                sentences=sentences, opens=capital(part.of) if begun else "",
            )  # fmt: skip
        if not held and found is not whole.first and not (part.leans or (begun and part.of)):
            # What has nothing to go on with, or finds nothing so, is asked alone, as any question.
            held = write(found.asked, found, said, sentences=sentences)
        described = "" if held or several else self._description(found.asked)
        if described:
            held = self._by_hops(found.asked, described, said)
        # Where all together say no so surely that nothing was written, no few of them say yes; and
        # who is only described may not be answered about without being found out.
        again = not (held or described or part.leans or known)
        if again and said.stats.answer_tokens > written:
            held = self._writer.write_from_surest(found, said, of=of)
        if not held:
            said.unanswered.append(part.text)

    def _by_hops(self, asked: str, description: str, said: Said) -> bool:
        """Find out whom or what a question only describes, and ask it of that one.

        All of it holds or none: each step is checked like any answer, and the last must rest on a
        text that names what was found.
        """
        trial = said.trial()
        question, one = self._found_out(asked, description, trial)
        held = False
        if one:
            found = self._find(question)
            written = self._writer.write(
                found.asked, found, trial, sentences=self.limits.max_claims
            )
            held = written and trial.speaks_of(one)
        said.take(trial, held=held)
        return held

    def _found_out(self, question: str, description: str, trial: Said) -> tuple[str, str]:
        """A question with names in place of its descriptions, and the last one; or "" for that."""
        one = ""
        for _ in range(MAX_HOPS):
            if not description:
                return question, one
            found = self._find(f"Who or what is {description}?")
            opens = f"{capital(description)} is"
            if not self._writer.write(found.asked, found, trial, opens=opens, sentences=1):
                return question, ""
            one = meant(trial.claims[-1].text, description)
            # One text must speak of both: a claim may rest on two.
            if not one or not trial.speaks_of(one, description):
                return question, ""
            question = question.replace(description, one, 1)
            description = self._description(question)
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

    def _nearest(self, evidence: tuple[Evidence, ...]) -> tuple[Citation, ...]:
        """What a person may look at where there is no answer."""
        book = Citations(self.store)
        for item in evidence[:_NEAREST]:
            book.label(Span(item.document, item.start, item.end, item.clean))
        return tuple(book.citations)
