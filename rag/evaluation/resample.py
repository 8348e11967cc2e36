"""How sure a figure is: Wilson's interval, the bootstrap over questions, paired and not, McNemar.

A share of questions (right or not, refused or not) has Wilson's score interval (JASA 22, 1927), a
difference of two such over the same questions that of Bonett and Price (JEBS 37, 2012): where few
questions are asked, or nearly all agree, the bootstrap's is too narrow. All else has the percentile
bootstrap of Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13: 10,000
resamples of the questions, from a fixed seed, so that the same rows give the same interval.

Nothing here knows of metrics: a metric is a numerator and a denominator for each question, and its
value is the sum of the one over the sum of the other.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

DRAWS = 10_000
SEED = 0
_FEWEST_DRAWS = 1000
_BUDGET = 100_000_000  # numbers drawn for one interval; beyond it there are fewer resamples
_BLOCK = 4_000_000
_FEW_VALUES = 64
_Z = 1.959964  # standard deviations of a normal that hold 95%

Pair = tuple[float, float]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its 95% interval; None where nothing defines it.

    Attributes:
        value: The figure.
        low: Lower end of the interval.
        high: Upper end.
        n: How many things it counts: questions, citations or claims.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int

    def record(self) -> dict[str, float | int | None]:
        """As it stands in the report."""
        return {"value": self.value, "low": self.low, "high": self.high, "n": self.n}


def ratio(pairs: Sequence[Pair]) -> Estimate:
    """``sum(numerators) / sum(denominators)``; with denominators of 1 this is the mean.

    Pairs of (0 or 1, 1), or all of which say 0, or 1, have Wilson's interval, with one trial for
    each pair that counts: 14 of 14 are 1.0 [0.78, 1.0]. Others are resampled.
    """
    table = np.asarray(pairs, dtype=np.float64).reshape(-1, 2)
    total = table.sum(axis=0)
    if not total[1]:
        return Estimate(None, None, None, 0)
    value = float(total[0] / total[1])
    told = table[table[:, 1] > 0]
    low, high = _wilson(told) if _is_share(told) else _ends(_resampled(table))
    return Estimate(value, low, high, round(float(total[1])))


def _resampled(table: Floats) -> Floats:
    """The ratio in each resample of the rows.

    Where they take few different values, how often each is drawn is itself drawn from the
    multinomial distribution: the same resamples, at once.
    """
    n = len(table)
    rng = np.random.default_rng(SEED)
    kinds, counts = np.unique(table, axis=0, return_counts=True)
    if len(kinds) <= _FEW_VALUES:
        return _divided(rng.multinomial(n, counts / n, size=DRAWS) @ kinds)
    return _divided(np.concatenate([table[drawn].sum(axis=1) for drawn in _drawn(rng, n)]))


def _is_share(table: Floats) -> bool:
    """Whether each row says either 0 or 1 of one thing, or all say 0, or all 1."""
    said = table[:, 0] / table[:, 1]
    return _is_yes_or_no(table) or bool((said == 0).all() or (said == 1).all())


def _is_yes_or_no(table: Floats) -> bool:
    """Whether all pairs, in the last dimension, are (0, 1) or (1, 1)."""
    return bool((table[..., 1] == 1).all() and np.isin(table[..., 0], (0, 1)).all())


def _wilson(table: Floats) -> tuple[float, float]:
    """Wilson's score interval of a share, with one trial for each row."""
    from scipy.stats import binomtest

    right = np.count_nonzero(table[:, 0])
    interval = binomtest(right, len(table)).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)


def percentile(values: Sequence[float], share: float) -> Estimate:
    """The value below or at which a share (0 to 1) of the values lies: the nearest rank.

    Its bootstrap needs no resampling: the k-th smallest of n draws with replacement is the value at
    rank ``floor(n * B) + 1`` where B is Beta(k, n - k + 1), the k-th smallest of n uniform draws
    (David and Nagaraja, "Order Statistics", 2003, section 2.3).
    """
    n = len(values)
    if not n:
        return Estimate(None, None, None, 0)
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    rank = max(1, math.ceil(share * n))
    drawn = np.random.default_rng(SEED).beta(rank, n - rank + 1, size=DRAWS)
    low, high = _ends(ordered[np.minimum((drawn * n).astype(np.int64), n - 1)])
    return Estimate(float(ordered[rank - 1]), low, high, n)


def ratio_difference(before: Sequence[Pair | None], now: Sequence[Pair | None]) -> Estimate:
    """Ratio now minus ratio before over the same questions, which are drawn in pairs.

    None is a question for which the metric is not defined on that side. n counts the questions
    that are defined on either. Where each is 0 or 1 on both sides, the interval is that of Bonett
    and Price, else the bootstrap's.
    """
    kept = [(a or (0, 0), b or (0, 0)) for a, b in zip(before, now, strict=True) if a or b]
    table = np.asarray(kept, dtype=np.float64).reshape(-1, 2, 2)  # (question, side, part)
    total = table.sum(axis=0)
    if not len(table) or not total[:, 1].all():
        return Estimate(None, None, None, 0)
    value = float(_difference(total[None])[0])
    if _is_yes_or_no(table):
        return Estimate(value, *_bonett_price(table[:, :, 0]), len(table))
    rng = np.random.default_rng(SEED)
    drawn = [_difference(table[rows].sum(axis=1)) for rows in _drawn(rng, len(table))]
    low, high = _ends(np.concatenate(drawn))
    return Estimate(value, low, high, len(table))


def _bonett_price(sides: Floats) -> tuple[float, float]:
    """The adjusted Wald interval of a paired difference: one question more lost, and one gained.

    Args:
        sides: (question, side), each 0 or 1.
    """
    n = len(sides) + 2
    gained = (int(np.count_nonzero(sides[:, 1] > sides[:, 0])) + 1) / n
    lost = (int(np.count_nonzero(sides[:, 1] < sides[:, 0])) + 1) / n
    middle = gained - lost
    half = _Z * math.sqrt((gained + lost - middle**2) / n)
    return max(-1.0, middle - half), min(1.0, middle + half)


def percentile_difference(before: Sequence[float], now: Sequence[float], share: float) -> Estimate:
    """Percentile now minus percentile before over the same questions, drawn in pairs."""
    if not before:
        return Estimate(None, None, None, 0)
    table = np.asarray([before, now], dtype=np.float64)  # (side, question)

    def of(values: Floats) -> Floats:
        sides: Floats = np.quantile(values, share, axis=-1, method="inverted_cdf")
        return np.asarray(sides[1] - sides[0], dtype=np.float64)

    rng = np.random.default_rng(SEED)
    low, high = _ends(np.concatenate([of(table[:, rows]) for rows in _drawn(rng, len(before))]))
    return Estimate(float(of(table)), low, high, len(before))


def mcnemar(gained: int, lost: int) -> float:
    """The exact McNemar test: p of so uneven a split of the changed questions by chance.

    Two-sided binomial test of ``gained`` against ``lost`` at one half; McNemar, Psychometrika 12,
    1947. 1.0 where nothing changed.
    """
    if not gained + lost:
        return 1.0
    from scipy.stats import binomtest

    return float(binomtest(gained, gained + lost, 0.5).pvalue)


def _drawn(rng: np.random.Generator, n: int) -> Iterator[npt.NDArray[np.int64]]:
    """Blocks of resamples: int (draws, n), indices of questions."""
    left = min(DRAWS, max(_FEWEST_DRAWS, _BUDGET // n))
    block = max(1, _BLOCK // n)
    while left:
        size = min(block, left)
        left -= size
        yield rng.integers(0, n, (size, n))


def _divided(sums: Floats) -> Floats:
    """Numerators over denominators; a resample without any denominator says nothing."""
    some = sums[..., 1] > 0
    return np.asarray(sums[some, 0] / sums[some, 1], dtype=np.float64)


def _difference(sums: Floats) -> Floats:
    """(draws, side, part) to the second side's ratio minus the first's."""
    kept = sums[(sums[:, :, 1] > 0).all(axis=1)]
    ratios = kept[:, :, 0] / kept[:, :, 1]
    return np.asarray(ratios[:, 1] - ratios[:, 0], dtype=np.float64)


def _ends(draws: Floats) -> tuple[float, float]:
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(low), float(high)
