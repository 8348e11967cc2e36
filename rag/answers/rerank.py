"""Evidence, the surest to answer first: what a small model makes of each piece by itself.

What is nearest to a question in meaning and words is often not what answers it. Pointwise reranking
by a language model's own yes and no, as in Liang et al. 2022 (HELM, https://arxiv.org/abs/2211.09110).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rag.answers.compose import JUDGEMENT, compose_reranking
from rag.records import Evidence, Generator, Prompt

_SCORE = 0.5  # the weight of the selection score, of which 0.1 is much, beside log odds


@dataclass(frozen=True, slots=True)
class Reranked:
    """Evidence in the order of how sure the model is that it states what is asked.

    Attributes:
        evidence: The surest first.
        surest: The highest log odds of any; below 0 the model finds that none states it.
        read: The prompts that were read for it.
    """

    evidence: list[Evidence]
    surest: float
    read: list[Prompt]


def rerank(question: str, evidence: Sequence[Evidence], *, generator: Generator) -> Reranked:
    """Order evidence by how sure the model is that a piece states what is asked.

    Args:
        question: What is asked.
        evidence: With the selection scores of one question.
        generator: Reads each piece beside what it has read, which stays as it is.
    """
    read = [compose_reranking(question, item, generator=generator) for item in evidence]
    sure = [generator.judge(prompt, *JUDGEMENT) for prompt in read]
    worth = [odds + _SCORE * item.score for odds, item in zip(sure, evidence, strict=True)]
    order = sorted(range(len(worth)), key=lambda n: -worth[n])
    return Reranked([evidence[n] for n in order], max(sure, default=-math.inf), read)
