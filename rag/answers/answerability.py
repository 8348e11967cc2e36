"""Whether the documents answer a question at all: the probability, from three signals.

They are how much what was read states the answer, before any of it is written; the model's yes to
the finished claim beside the text that is cited for it; and the mean log probability of the
answer's tokens.

The first is the model's yes as well, or, for the model that one was fitted for, a probe: a linear
function of its last hidden state, which knows more than its yes says (Slobodkin et al. 2023, "The
Curious Case of Hallucinatory (Un)answerability"). ``python -m bench.probe`` fits it; all weights
were chosen on sets that docs/experiments.md names.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np

from rag.answers.compose import NO, PROBE, YES, prompts_digest
from rag.records import FloatMatrix, Generator

SUREST = 3.0  # log odds that the judge of finished claims hardly ever exceeds
UNSUREST = -0.5  # and seldom falls below where the others are sure of it (docs/experiments.md)
# The judge withheld right answers to parts of a question: it is not asked about them. What it would
# have to say leaves the decision to the other two.
NEUTRAL = 2.2


@dataclass(frozen=True, slots=True)
class Weights:
    """What each signal counts, and the bias."""

    bias: float
    stated: float
    judged: float
    fluent: float


_OF_YES = Weights(-1.1, 1.0, 0.5, 2.0)
_OF_PROBE = Weights(0.5, 1.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True)
class Answerability:
    """What is known before anything is written.

    Attributes:
        stated: Log odds of "the sources state the answer".
        weights: Of this and the signals that come later.
    """

    stated: float
    weights: Weights = _OF_YES

    def probability(self, *, judged: float, fluent: float) -> float:
        """The probability, 0 to 1, that the documents answer.

        Args:
            judged: Log odds of "the cited text states this answer to this question".
            fluent: Mean log probability of the answer's tokens.
        """
        w = self.weights
        logit = w.bias + w.stated * self.stated + w.judged * judged + w.fluent * fluent
        return 1 / (1 + math.exp(-max(-30.0, min(30.0, logit))))


def stated_by(generator: Generator, *, several: bool = False) -> Answerability:
    """What a model that has read a prompt of ``compose`` makes of it.

    Args:
        generator: The model.
        several: Whether the question asks several things. The sources of one part do not state
            the answer to all, and the probe was fitted on questions of one: it withheld right
            answers to later parts.
    """
    probe = None if several else _probe(generator.name)
    state = generator.state() if probe else None
    if probe is None or state is None or state.shape != probe[0].shape:
        return Answerability(generator.log_odds(YES, NO))
    return Answerability(float(probe[0] @ state) + probe[1], _OF_PROBE)


@cache
def _probe(model: str) -> tuple[FloatMatrix, float] | None:
    """Weights, float32 (dimension,), and bias of the probe; None for any other model or prompt."""
    if not PROBE.is_file():
        return None
    with np.load(PROBE, allow_pickle=False) as found:
        if str(found["model"]) != model or str(found["prompt"]) != prompts_digest("answer"):
            return None
        return found["weights"], float(found["bias"])
