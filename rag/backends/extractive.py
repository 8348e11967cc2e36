"""A backend without weights: the best evidence, word for word."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator

from rag.records import Message, Prompt

EXTRACTIVE = "extractive"


class ExtractiveGenerator:
    """Answers with the best evidence, word for word: no weights, no downloads, instant.

    For tests and for machines without a model. Its "yes" depends on the best similarity between
    question and evidence.
    """

    name = EXTRACTIVE

    def __init__(self, context_tokens: int = 4096) -> None:
        self.context_tokens = context_tokens
        self.written = 0
        self.first_token_at = 0.0
        self.log_probs: list[float] = []
        self._prompt: Prompt | None = None

    def chat(self, messages: list[Message]) -> str:
        """Messages one after another; there is no template."""
        return "\n".join(message["content"] for message in messages) + "\n"

    def tokenize(self, text: str, *, special: bool) -> list[int]:
        """One id a word."""
        return [len(word) for word in text.split()]

    def read(self, prompt: Prompt) -> int:
        """Remember the prompt."""
        self._prompt, self.written, self.first_token_at = prompt, 0, 0.0
        return 0

    def log_odds(self, yes: str, no: str) -> float:
        """Ten times the best cosine's distance from 0.4."""
        evidence = self._prompt.evidence if self._prompt else ()
        return 10 * (max((e.cosine for e in evidence), default=-1.0) - 0.4)

    def judge(self, prompt: Prompt, yes: str, no: str) -> float:
        """What it says of the prompt that was read."""
        return self.log_odds(yes, no)

    def complete(self, prompt: Prompt, *, max_tokens: int, without: Collection[str] = ()) -> str:
        """Nothing: without weights there is nothing to write with."""
        return ""

    def copy(self, prompt: Prompt, text: str) -> str:
        """Nothing: without weights a description has no end."""
        return ""

    def sentences(self, opening: str, *, max_tokens: int, limit: int) -> Iterator[str]:
        """The best pieces of evidence, best first."""
        evidence = self._prompt.evidence if self._prompt else ()
        for item in sorted(evidence, key=lambda e: -e.score)[: min(limit, 1)]:
            self.first_token_at = self.first_token_at or time.perf_counter()
            self.written += len(item.clean.split())
            yield item.clean
