"""What was found to claims that hold: compose -> generate -> verify, the second half of story 2.

A claim is handed on only with the texts that support it; what fails is taken down with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from rag.answers.answerability import NEUTRAL, SUREST, UNSUREST, probability
from rag.answers.citing import claim_text, without_false_yes, without_given_time
from rag.answers.compose import ANSWER_OPENING, JUDGEMENT, NO, YES, compose, compose_judgement
from rag.answers.rerank import rerank
from rag.answers.said import Said, Verifier
from rag.records import Embedder, Evidence, Generator, Hit, Prompt, Stats
from rag.retrieval.evidence import other_side, select_evidence
from rag.retrieval.retrieve import Query
from rag.storage.store import Store
from rag.verification.asked import of_another, of_another_time, of_another_year, out_of_kind
from rag.verification.spans import Span
from rag.verification.verify import Support
from rag.words import PHRASE, beginnings, names

# Of so many sentences the surest are sought, however long they are and however much less than the
# best they are worth.
_RERANKED, _ANY, _ALL = 8, 0.3, 1_000_000
_SUREST = 2  # and so many of them shown
_ANSWERS_TOO = 0.75  # the judge's log odds; of right answers 0.88 reach it
NOT_ASKED = "the cited text does not answer exactly this question"
_ASKS_WHY = re.compile(r"\b(?:why|reasons?|causes?|what (?:led|caused|made))\b", re.IGNORECASE)
_INNER = str.maketrans('“”"', "‘’'")  # marks within a quotation
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
class ClaimWriter:
    """Writes the answer to one thing that is asked, and checks it while it is written."""

    store: Store
    embedder: Embedder
    generator: Generator
    limits: Limits

    def write(
        self,
        question: str,
        found: Found,
        said: Said,
        *,
        begun: str = "",
        opens: str = "",
        several: bool = False,
        of: str = "",
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
            of: Whom or what it asks about, where the same is asked of another as well, or what was
                said before, where it leans on that; of these a cited document mentions one.
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
        check = self._verifier(prompt)
        held = self._write(
            question, prompt, found, said, check, opening=opening, opens=opens, several=several,
            of=of, sentences=sentences,
        )  # fmt: skip
        if len(held) == 1 and not several and limits.max_claims > 1:
            self._add_other_side(*held[0], check, found, prompt, said)
        said.saw(found.hits)
        return bool(held)

    def write_from_surest(self, found: Found, said: Said, *, of: str = "") -> bool:
        """Answer what all the evidence together did not from what most surely answers it.

        A small model loses the sentence that answers among those that do not, and that may not be
        among the nearest. Of each by itself it tells better whether it answers. Where one does, it
        is shown the two surest; where that gives nothing that holds, the surest alone.

        Args:
            found: What was found for what is asked.
            said: Takes down what comes of it.
            of: Whom or what it asks about, where the same is asked of another as well.

        Returns:
            Whether anything holds.
        """
        nearest = select_evidence(
            found.query, found.hits, store=self.store, limit=_RERANKED, tail=_ANY, room=_ALL
        )
        ranked = rerank(found.asked, nearest, generator=self.generator)
        said.spend(
            Stats(
                prompt_tokens=sum(len(prompt.tokens) for prompt in ranked.read),
                reused_tokens=sum(len(prompt.pieces[0]) for prompt in ranked.read),
            )
        )
        if ranked.surest < 0:
            return False  # none states it
        for shown in range(min(_SUREST, len(ranked.evidence)), 0, -1):
            surest = ranked.evidence[:shown]
            if surest == list(found.evidence):
                continue  # those were all the evidence together
            prompt = compose(
                found.asked, surest, generator=self.generator,
                answer_tokens=self.limits.max_answer_tokens,
            )  # fmt: skip
            held = self._write(
                found.asked, prompt, found, said, self._verifier(prompt), of=of,
                sentences=self.limits.max_claims, few=True,
            )  # fmt: skip
            if held:
                said.first_token_at = self.generator.first_token_at  # before, all was withheld
                return True
        return False

    def _verifier(self, prompt: Prompt) -> Verifier:
        return Verifier(
            prompt.question, prompt.evidence, store=self.store, embedder=self.embedder,
            threshold=self.limits.support_threshold,
        )  # fmt: skip

    def _write(
        self,
        question: str,
        prompt: Prompt,
        found: Found,
        said: Said,
        check: Verifier,
        *,
        opening: str = "",
        opens: str = "",
        several: bool = False,
        of: str = "",
        sentences: int,
        few: bool = False,
    ) -> list[tuple[str, Support]]:
        """Write from one prompt and say what holds; returns that."""
        limits = self.limits
        reused = self.generator.read(prompt)
        stated = self.generator.log_odds(YES, NO)

        def probable(judged: float, fluent: float) -> float:
            return probability(stated, judged=judged, fluent=fluent, few=few)

        # The most that a judgement could make of it; if that is too little, nothing is written.
        answerability = probable(SUREST, 0.0) if prompt.evidence else 0.0
        held: list[tuple[str, Support]] = []
        if answerability >= limits.answer_threshold:
            written = self.generator.sentences(
                ANSWER_OPENING + opening, max_tokens=limits.max_answer_tokens, limit=sentences
            )
            if opens:
                written = _opened(opens, written)
            checked = self._checked(written, check, found, prompt, several=several, of=of)
            for text, support_ in checked:
                if support_.reason:
                    said.withhold(text, support_.score, support_.reason)
                    continue
                if not held:
                    judged, fluent = NEUTRAL, self._fluency()
                    # Reading a judgement takes two seconds: not where it could change nothing. With
                    # a threshold of 0 answers are made to choose one, and all of it is wanted.
                    least, most = probable(UNSUREST, fluent), probable(SUREST, fluent)
                    decided = not least < limits.answer_threshold <= most
                    if not several and not (decided and limits.answer_threshold > 0):
                        judged = self._judged(question, prompt.evidence, text, support_)
                    answerability = probable(judged, fluent)
                    if answerability < limits.answer_threshold:
                        said.withhold(text, support_.score, NOT_ASKED)
                        break
                if said.add(text, support_.spans, support_.score):
                    held.append((text, support_))
        said.answerability.append(answerability)
        said.count(prompt, reused, self.generator)
        return held

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
        self,
        sentences: Iterator[str],
        check: Verifier,
        found: Found,
        prompt: Prompt,
        *,
        several: bool,
        of: str,
    ) -> Iterator[tuple[str, Support]]:
        """What the model writes, sentence by sentence, each with what supports it."""
        question, over = found.asked, {item.section for item in prompt.evidence}
        said: list[str] = []
        supported = False
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
            if of and not support_.reason and not self._mentioned(of, support_.spans):
                called = (match.group() for match in PHRASE.finditer(of))
                whom = ", ".join(dict.fromkeys(one for one in called if names(one, first=True)))
                support_ = replace(support_, reason=f"no cited document mentions {whom}")
            if not supported and not support_.reason:
                another = "" if several else of_another(question, support_.spans)
                another = another or of_another_year(question, support_.spans)
                support_ = replace(support_, reason=out_of_kind(question, text) or another)
            said.append(text)
            supported = supported or not support_.reason
            yield text, support_

    def _mentioned(self, of: str, cited: tuple[Span, ...]) -> bool:
        """Whether a cited document mentions, anywhere, whom a claim is to be about."""
        wanted = {begun for name in names(of, first=True) for begun in beginnings(name)}
        about = {span.document.id: span.document for span in cited}.values()
        known = (f"{document.head} {self.store.text(document.id)}" for document in about)
        if not wanted:
            return True
        one_of_them = re.compile(rf"\b(?:{'|'.join(map(re.escape, sorted(wanted)))})")
        return any(one_of_them.search(whole.casefold()) for whole in known)

    def _add_other_side(
        self, claim: str, own: Support, check: Verifier, found: Found, prompt: Prompt, said: Said
    ) -> None:
        """Where another document gives a reason too, add its own sentence, word for word.

        A small model stops at the first reason. What the judge does not find to answer the
        question is not added.
        """
        if not _ASKS_WHY.search(found.asked):
            return
        known = {span.document.id for span in own.spans}
        other = other_side(found.query, prompt.evidence, claim=claim, known=known)
        if not other:
            return
        text = _CONJUNCTION.sub("", other.clean).rstrip(" .;")
        support_ = check(text)
        if support_.reason:
            return
        if self._judged(found.asked, prompt.evidence, text, support_) >= _ANSWERS_TOO:
            quoted = text.translate(_INNER)
            said.add(f"Another source says: “{quoted}”", support_.spans, support_.score)


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
