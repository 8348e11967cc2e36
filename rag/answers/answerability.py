"""Whether the documents answer a question at all: the probability, from three signals.

They are the model's yes before it answers, its yes to the finished claim beside the text that is
cited for it, and the mean log probability of the answer's tokens. The weights were chosen on
bench/sets/nearmiss.jsonl, see docs/experiments.md.
"""

from __future__ import annotations

import math

_BIAS, _STATED, _JUDGED, _FLUENT = -1.1, 1.0, 0.5, 2.0
_BIAS_FEW = -2.2  # the model says yes more readily where it is shown one piece of evidence or two
SUREST = 3.0  # log odds that the judge of finished claims hardly ever exceeds
UNSUREST = -0.5  # and seldom falls below where the others are sure of it (docs/experiments.md)
# The judge withheld right answers to parts of a question: it is not asked about them. What it would
# have to say leaves the decision to the other two.
NEUTRAL = 2.2


def probability(stated: float, *, judged: float, fluent: float, few: bool = False) -> float:
    """The probability, 0 to 1, that the documents answer.

    Args:
        stated: Log odds of "the sources state the answer".
        judged: Log odds of "the cited text states this answer to this question".
        fluent: Mean log probability of the answer's tokens.
        few: Whether the model was shown one piece of evidence or two, chosen as the surest.
    """
    bias = _BIAS_FEW if few else _BIAS
    logit = bias + _STATED * stated + _JUDGED * judged + _FLUENT * fluent
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, logit))))
