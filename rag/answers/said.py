"""What has come of a question so far, and the check that each sentence passes first."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, replace
from functools import cached_property

from rag.answers.citing import Citations, with_true_quotations
from rag.records import (
    Citation,
    Claim,
    Embedder,
    Evidence,
    FloatMatrix,
    Generator,
    Hit,
    Prompt,
    Stats,
)
from rag.storage.store import Store
from rag.verification.spans import Span, in_runs, spans_of
from rag.verification.subjects import spoken_of_throughout
from rag.verification.verify import Support, support
from rag.words import named, names, numbers, terms

_STEP = "it is a step towards an answer that was not found"


class Said:
    """What has come of a question so far."""

    def __init__(
        self, book: Citations, on_claim: Callable[[Claim, tuple[Citation, ...]], None] | None
    ) -> None:
        self.book = book
        self.claims: list[Claim] = []
        self.dropped: list[Claim] = []
        self.unanswered: list[str] = []
        self.absent: list[str] = []
        self.asked = ""  # the part before
        self.hits: dict[int, Hit] = {}
        self.answerability: list[float] = []
        self.stats = Stats()
        self.first_token_at = 0.0
        self._on_claim = on_claim

    def add(self, text: str, spans: tuple[Span, ...], score: float) -> bool:
        """A supported claim; one that was made before is not made again. Whether it was made."""
        over = [f"{span.section} {span.document.title}" for span in spans]
        text = with_true_quotations(text, [*in_runs(spans), *over])
        if text in (earlier.text for earlier in self.claims):
            return False
        known = len(self.book.citations)
        labels = tuple(dict.fromkeys(self.book.label(span) for span in spans))
        claim = Claim(text, labels, "supported", round(score, 4))
        self.claims.append(claim)
        if self._on_claim:
            self._on_claim(claim, tuple(self.book.citations[known:]))
        return True

    def withhold(self, text: str, score: float, reason: str) -> None:
        """A claim that is not said; one that was withheld before is so for the reason then."""
        if text not in (earlier.text for earlier in self.dropped):
            self.dropped.append(Claim(text, (), "unsupported", round(score, 4), reason))

    def trial(self) -> Said:
        """Another try at the same question, of which nothing is told before it is taken."""
        return Said(self.book.anew(), None)

    def take(self, trial: Said, *, held: bool) -> None:
        """What a trial cost and withheld; where it ``held``, what it found too.

        Only where nothing was claimed before.
        """
        self.dropped += trial.dropped
        self.saw(trial.hits.values())
        self.spend(trial.stats)
        if not held:
            self.dropped += [
                Claim(claim.text, (), "unsupported", claim.score, _STEP) for claim in trial.claims
            ]
            return
        self.book, self.claims, self.unanswered = trial.book, trial.claims, []
        self.answerability.append(min(trial.answerability))
        self.first_token_at = trial.first_token_at
        told = 0
        for claim in self.claims:
            last = max(told, *claim.labels)
            if self._on_claim:
                self._on_claim(claim, tuple(self.book.citations[told:last]))
            told = last

    def speaks_of(self, one: str, *others: str) -> bool:
        """Whether a text cited for the last claim names someone, and something of each other."""
        cited = [c for c in self.book.citations if c.label in self.claims[-1].labels]
        head = _called(one.partition(",")[0])  # of a town its own name, not its country's
        for text in (f"{citation.title} {citation.quote}" for citation in cited):
            if all(named({name}, text) for name in head) and all(
                named(_called(other), text) for other in others
            ):
                return True
        return False

    def count(self, prompt: Prompt, reused: int, generator: Generator) -> None:
        """Add up what a part cost."""
        self.first_token_at = self.first_token_at or generator.first_token_at
        self.spend(
            Stats(
                prompt_tokens=len(prompt.tokens),
                reused_tokens=reused,
                answer_tokens=generator.written,
                evidence_offered=len(prompt.evidence),
                evidence_dropped=prompt.dropped,
            )
        )

    def saw(self, hits: Iterable[Hit]) -> None:
        """Passages that were retrieved; one that was before keeps its place."""
        for hit in hits:
            self.hits.setdefault(hit.passage_id, hit)

    def spend(self, more: Stats) -> None:
        """Add what something cost."""
        spent, added = asdict(self.stats), asdict(more)
        self.stats = Stats(**{name: spent[name] + added[name] for name in spent})


class Verifier:
    """Checks claims against what the model was shown; embeds those texts once, when first asked."""

    def __init__(
        self,
        question: str,
        evidence: tuple[Evidence, ...],
        *,
        store: Store,
        embedder: Embedder,
        threshold: float,
    ) -> None:
        self._question, self._embedder, self._threshold = question, embedder, threshold
        self._evidence, self._store = evidence, store

    @cached_property
    def _spans(self) -> list[Span]:
        evidence, store = self._evidence, self._store
        throughout = {
            id_: spoken_of_throughout(store.text(id_)) for id_ in {e.document.id for e in evidence}
        }
        return [
            replace(span, throughout=throughout[span.document.id]) for span in spans_of(evidence)
        ]

    @cached_property
    def _vectors(self) -> FloatMatrix:
        return self._embedder.embed([_fitting(span.clean, self._embedder) for span in self._spans])

    @cached_property
    def _rarity(self) -> dict[str, float]:
        return self._store.rarity(term for span in self._spans for term in terms(span.clean))

    def __call__(self, claim: str) -> Support:
        """What supports a claim."""
        return support(
            claim,
            self._spans,
            question=self._question,
            claim_vector=self._embedder.embed([_fitting(claim, self._embedder)])[0],
            span_vectors=self._vectors,
            rarity=self._rarity,
            threshold=self._threshold,
        )


def _fitting(text: str, embedder: Embedder) -> str:
    """As much of a text as the embedder reads: names of columns may make a row too long for it."""
    while embedder.count(text) > embedder.max_tokens:
        text = text[: len(text) * 3 // 4]
    return text


def _called(text: str) -> set[str]:
    """By what a text would speak of this: its names and figures."""
    return names(text, first=True) | numbers(text)
