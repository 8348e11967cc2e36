"""Intervals and tests against values worked out another way."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest, bootstrap

from rag.evaluation.resample import (
    Estimate,
    mcnemar,
    percentile,
    percentile_difference,
    ratio,
    ratio_difference,
)

NOTHING = Estimate(None, None, None, 0)


@pytest.mark.parametrize(("right", "of"), [(30, 100), (17, 18), (1, 12), (1, 1)])
def test_the_interval_of_a_share_holds_its_value_in_95_of_100(right: int, of: int) -> None:
    found = ratio([(1.0, 1.0)] * right + [(0.0, 1.0)] * (of - right) + [(0.0, 0.0)])
    assert (found.value, found.n) == (right / of, of)
    assert found.low is not None
    assert found.high is not None
    # Wilson's ends are the shares that the score test of the value found just does not reject.
    for end in (found.low, found.high):
        spread = (end * (1 - end) / of) ** 0.5
        assert abs(right / of - end) == pytest.approx(1.959964 * spread, abs=1e-6)
    assert 0 <= found.low <= right / of <= found.high <= 1
    turned = ratio([(0.0, 1.0)] * (of - right) + [(1.0, 1.0)] * right)
    assert found == turned, "the order does not matter"


def test_where_all_agree_the_interval_is_wilsons() -> None:
    all_right = ratio([(1.0, 1.0)] * 14)
    assert (all_right.value, all_right.high) == (1.0, 1.0)
    assert all_right.low == pytest.approx(binomtest(14, 14).proportion_ci(method="wilson").low)
    none = ratio([(0.0, 2.0)] * 14)  # two claims each: fourteen trials, not 28
    assert (none.value, none.low, none.n) == (0.0, 0.0, 28)
    assert none.high == pytest.approx(binomtest(0, 14).proportion_ci(method="wilson").high)


@pytest.mark.parametrize("distinct", [10, 500], ids=["multinomial", "indices"])
def test_the_interval_of_a_mean_is_that_of_scipy(distinct: int) -> None:
    values = np.random.default_rng(5).integers(0, distinct, 150) / distinct
    found = ratio([(value, 1.0) for value in values])
    theirs = bootstrap((values,), np.mean, method="percentile", n_resamples=10_000, rng=1)
    assert found.value == pytest.approx(values.mean())
    assert found.low == pytest.approx(theirs.confidence_interval.low, abs=0.005)
    assert found.high == pytest.approx(theirs.confidence_interval.high, abs=0.005)
    assert found == ratio([(value, 1.0) for value in values]), "the same rows, the same interval"


def test_a_ratio_counts_items_and_resamples_questions() -> None:
    found = ratio([(3.0, 3.0), (0.0, 1.0)])
    assert (found.value, found.n) == (0.75, 4)
    # Of two questions drawn twice: one alone, the other alone (1/4 each), or both.
    assert (found.low, found.high) == (0.0, 1.0)
    assert ratio([]) == NOTHING
    assert ratio([(0.0, 0.0)]) == NOTHING


def test_a_percentile_is_the_nearest_rank() -> None:
    values = [float(n) for n in range(10, 0, -1)]
    assert percentile(values, 0.5).value == 5
    assert percentile(values, 0.95).value == 10
    assert percentile([7.0], 0.95) == Estimate(7.0, 7.0, 7.0, 1)
    assert percentile([], 0.5) == NOTHING


@pytest.mark.parametrize("share", [0.5, 0.95])
def test_the_interval_of_a_percentile_is_that_of_real_resamples(share: float) -> None:
    rng = np.random.default_rng(3)
    values = np.sort(rng.exponential(1000, 80))
    drawn = values[rng.integers(0, 80, (20_000, 80))]
    of_each = np.quantile(drawn, share, axis=1, method="inverted_cdf")
    low, high = np.quantile(of_each, [0.025, 0.975])
    found = percentile(list(values), share)
    rank = {value: n for n, value in enumerate(values)}
    assert found.low is not None
    assert found.high is not None
    assert abs(rank[found.low] - np.searchsorted(values, low)) <= 1
    assert abs(rank[found.high] - np.searchsorted(values, high)) <= 1


def test_a_paired_difference_knows_that_the_questions_are_the_same() -> None:
    hard_and_easy = [(float(n % 2), 1.0) for n in range(100)]
    same = ratio_difference(hard_and_easy, hard_and_easy)
    assert same.value == 0.0
    assert same.low == pytest.approx(-0.0272, abs=1e-4), "another 100 may differ"
    assert same.high == pytest.approx(0.0272, abs=1e-4)
    few = ratio_difference(hard_and_easy[:5], hard_and_easy[:5])
    assert few.high == pytest.approx(0.396, abs=1e-3)
    better = [(1.0, 1.0)] * 10 + hard_and_easy[10:]
    found = ratio_difference(hard_and_easy, better)
    assert found.value == pytest.approx(0.05)
    assert found.low is not None
    assert found.high is not None
    # 5 gained, none lost, and one more of each: (6 - 1) / 102, and 1.96 of its standard errors.
    assert found.low == pytest.approx((5 - 1.959964 * (7 - 25 / 102) ** 0.5) / 102)
    assert found.high < 0.11, "unpaired it would reach from -.09 to .19"
    some: list[tuple[float, float] | None] = [(1.0, 1.0), None, None]
    other: list[tuple[float, float] | None] = [(1.0, 2.0), (0.0, 2.0), None]
    half = ratio_difference(some, other)
    assert half.value == pytest.approx(0.25 - 1.0)
    assert half.n == 2
    assert ratio_difference([None], [(1.0, 1.0)]) == NOTHING
    slower = percentile_difference([1.0, 2.0, 3.0], [11.0, 12.0, 13.0], 0.5)
    assert slower == Estimate(10.0, 10.0, 10.0, 3)
    assert percentile_difference([], [], 0.5) == NOTHING


def test_mcnemar_is_exact() -> None:
    assert mcnemar(10, 2) == pytest.approx(2 * (1 + 12 + 66) / 2**12)
    assert mcnemar(2, 10) == mcnemar(10, 2)
    assert mcnemar(0, 0) == mcnemar(3, 3) == 1.0


def test_a_hundred_thousand_questions_take_seconds() -> None:
    values = np.random.default_rng(0).random(100_000)
    found = ratio([(value, 1.0) for value in values])
    assert found.low is not None
    assert found.high is not None
    assert found.high - found.low == pytest.approx(2 * 1.96 * values.std() / 100_000**0.5, rel=0.1)
