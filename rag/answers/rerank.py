"""Evidence, the surest to answer first: what a small model makes of each piece by itself.

What is nearest to a question in meaning and words is often not what answers it. Pointwise reranking
by a language model's own yes and no, as in Liang et al. 2022 (HELM, https://arxiv.org/abs/2211.09110).
"""

from __future__ import annotations

from collections.abc import Sequence

from rag.answers.compose import JUDGEMENT, compose_reranking
from rag.records import Evidence, Generator, Prompt

_SCORE = 0.5  # the weight of the selection score, of which 0.1 is much, beside log odds


def rerank(
    question: str, evidence: Sequence[Evidence], *, generator: Generator
) -> tuple[list[Evidence], list[Prompt]]:
    """Order evidence by how sure the model is that a piece states what is asked.

    Args:
        question: What is asked.
        evidence: With the selection scores of one question.
        generator: Reads each piece beside what it has read, which stays as it is.

    Returns:
        The evidence, the surest first, and what was read for it.
    """
    prompts = [compose_reranking(question, item, generator=generator) for item in evidence]
    sure = [generator.judge(prompt, *JUDGEMENT) for prompt in prompts]
    worth = [odds + _SCORE * e.score for odds, e in zip(sure, evidence, strict=True)]
    order = sorted(range(len(worth)), key=lambda n: -worth[n])
    return [evidence[n] for n in order], prompts
