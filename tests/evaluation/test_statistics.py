"""Intervals and tests: values worked out by hand or published, then properties."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from geor1.evaluation.statistics import (
    bootstrap_interval,
    holm,
    mcnemar_exact,
    paired_bootstrap_difference,
    wilson_interval,
)


def _discordant(first_only: int, second_only: int, n: int) -> tuple[list[bool], list[bool]]:
    both = n - first_only - second_only
    first = [True] * first_only + [False] * second_only + [True] * both
    second = [False] * first_only + [True] * second_only + [True] * both
    return first, second


def test_wilson_by_hand() -> None:
    # z = 1.959964: centre (0.5 + z²/20) / (1 + z²/10), half z·sqrt(0.025 + z²/400) / (1 + z²/10).
    interval = wilson_interval(5, 10)
    assert interval.estimate == 0.5
    assert interval.low == pytest.approx(0.236593, abs=1e-6)
    assert interval.high == pytest.approx(0.763407, abs=1e-6)


def test_wilson_of_o3_city_accuracy() -> None:
    interval = wilson_interval(149, 259)
    assert (round(interval.low, 3), round(interval.high, 3)) == (0.514, 0.634)


def test_wilson_ends() -> None:
    z2 = 1.959963984540054**2
    assert wilson_interval(0, 10).low == 0.0
    assert wilson_interval(0, 10).high == pytest.approx(z2 / (10 + z2))
    assert wilson_interval(10, 10).high == 1.0
    assert wilson_interval(10, 10).low == pytest.approx(10 / (10 + z2))


@pytest.mark.parametrize(("successes", "n"), [(0, 0), (-1, 5), (6, 5)])
def test_wilson_refuses(successes: int, n: int) -> None:
    with pytest.raises(ValueError, match="wilson_interval"):
        wilson_interval(successes, n)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_holds_its_estimate_and_mirrors(case: tuple[int, int]) -> None:
    successes, n = case
    interval, mirror = wilson_interval(successes, n), wilson_interval(n - successes, n)
    assert 0 <= interval.low <= interval.estimate <= interval.high <= 1
    assert interval.low == pytest.approx(1 - mirror.high, abs=1e-12)


@pytest.mark.parametrize(
    ("first_only", "second_only", "published"),
    [(23, 21, "0.88"), (23, 26, "0.78"), (34, 14, "0.0055"), (31, 9, "0.0007")],
)
def test_mcnemar_published(first_only: int, second_only: int, published: str) -> None:
    result = mcnemar_exact(*_discordant(first_only, second_only, 259))
    assert (result.first_only, result.second_only, result.n) == (first_only, second_only, 259)
    assert round(result.p_value, len(published) - 2) == float(published)


def test_mcnemar_by_hand() -> None:
    # 0 against 5: 2 · (1/2)^5.
    assert mcnemar_exact(*_discordant(0, 5, 8)).p_value == pytest.approx(0.0625)
    assert mcnemar_exact([True, False], [True, False]).p_value == 1.0
    assert mcnemar_exact([], []).p_value == 1.0
    with pytest.raises(ValueError, match="same items"):
        mcnemar_exact([True], [])


def test_mcnemar_of_clusters_flips_them_whole() -> None:
    # Three sets, won by 2, won by 1, lost by 1: of eight sign patterns of {2, 1, 1}, six reach |sum| >= 2.
    first, second = [False, False, False, True, True], [True, True, True, False, True]
    result = mcnemar_exact(first, second, clusters=["a", "a", "b", "c", "c"])
    assert (result.first_only, result.second_only, result.p_value) == (1, 3, pytest.approx(6 / 8))
    # Twelve items of three sets, all won: three observations, so 2 / 2^3 and not 2 / 2^12.
    won = mcnemar_exact([False] * 12, [True] * 12, clusters=[*"aaaabbbbcccc"])
    assert won.p_value == pytest.approx(2 / 2**3)
    alone = mcnemar_exact(*_discordant(23, 26, 259), clusters=range(259))
    assert alone.p_value == pytest.approx(mcnemar_exact(*_discordant(23, 26, 259)).p_value)


def test_holm_by_hand() -> None:
    # Sorted .005, .011, .02, .3: times 4, 3, 2, 1 -> .02, .033, .04, .3.
    assert holm([0.02, 0.005, 0.3, 0.011]) == pytest.approx([0.04, 0.02, 0.3, 0.033])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []
    with pytest.raises(ValueError, match="holm"):
        holm([1.2])


def test_bootstrap_of_a_constant_and_of_one_cluster() -> None:
    interval = bootstrap_interval([2.0, 2.0, 2.0])
    assert (interval.estimate, interval.low, interval.high, interval.n) == (2.0, 2.0, 2.0, 3)
    one = bootstrap_interval([0.0, 1.0], clusters=["a", "a"])
    assert (one.estimate, one.low, one.high) == (0.5, 0.5, 0.5)


def test_bootstrap_of_two_values_is_exact() -> None:
    # Means 0, 1/2, 1 with chances 1/4, 1/2, 1/4: the 2.5 % and 97.5 % points are 0 and 1.
    interval = bootstrap_interval([0.0, 1.0], resamples=2000)
    assert (interval.low, interval.high) == (0.0, 1.0)


def test_bootstrap_near_normal_theory_and_wider_by_cluster() -> None:
    generator = np.random.default_rng(3)
    items = generator.integers(0, 2, size=200).astype(float)
    values = np.repeat(items, 5)
    labels = np.repeat(np.arange(200), 5).tolist()
    clustered = bootstrap_interval(values, clusters=labels, resamples=4000, seed=1)
    naive = bootstrap_interval(values, resamples=4000, seed=1)
    expected = 2 * 1.96 * items.std() / math.sqrt(200)
    assert clustered.high - clustered.low == pytest.approx(expected, rel=0.08)
    assert naive.high - naive.low == pytest.approx(expected / math.sqrt(5), rel=0.08)


def test_bootstrap_mean_agrees_with_the_general_path() -> None:
    values = np.arange(30.0)
    labels = [i // 3 for i in range(30)]
    fast = bootstrap_interval(values, clusters=labels, resamples=3000)
    slow = bootstrap_interval(values, statistic=lambda x: float(x.mean()), clusters=labels, resamples=3000)
    assert fast.estimate == slow.estimate
    assert fast.low == pytest.approx(slow.low, abs=0.6)
    assert fast.high == pytest.approx(slow.high, abs=0.6)


def test_bootstrap_median_with_misses_at_infinity() -> None:
    values = [1.0, 2.0, 3.0, 4.0, 5.0, math.inf, math.inf]
    interval = bootstrap_interval(values, statistic=lambda x: float(np.median(x)), resamples=500)
    assert interval.estimate == 4.0
    assert interval.low >= 1.0
    assert interval.high == math.inf


def test_bootstrap_of_infinite_means_and_negative_infinity() -> None:
    interval = bootstrap_interval([1.0, 2.0, math.inf], resamples=300)
    assert (interval.estimate, interval.high) == (math.inf, math.inf)
    assert 1.0 <= interval.low <= 2.0


def test_named_median_agrees_with_the_general_path() -> None:
    values = np.random.default_rng(5).lognormal(size=201)
    labels = [i // 2 for i in range(201)]
    named = bootstrap_interval(values, statistic="median", clusters=labels, resamples=400)
    general = bootstrap_interval(values, statistic=lambda x: float(np.median(x)), clusters=labels, resamples=400)
    assert named == general  # the very same resamples


@pytest.mark.parametrize("statistic", [None, "median", lambda x: float(x.std())])
def test_bca_is_scipys(statistic: object) -> None:
    """Given the same draws, scipy moves the percentiles to the same places, and interpolates there."""
    from geor1.evaluation import statistics as ours
    from geor1.evaluation.resampling import as_clusters

    values = np.random.default_rng(7).exponential(size=40)
    draws = ours._draw(values, statistic, as_clusters(40, None), 4999, 0)
    function = {None: np.mean, "median": np.median}.get(statistic, np.std)
    earlier = type("Earlier", (), {"bootstrap_distribution": draws})()
    theirs = stats.bootstrap(
        (values,), function, n_resamples=0, bootstrap_result=earlier, method="BCa", vectorized=True
    ).confidence_interval
    interval = bootstrap_interval(values, statistic=statistic, resamples=4999, method="bca")
    ordered = np.sort(draws)
    for end, other in ((interval.low, theirs.low), (interval.high, theirs.high)):
        place = np.searchsorted(ordered, other)
        assert ordered[max(0, place - 3)] - 1e-12 <= end <= ordered[min(4998, place + 3)] + 1e-12
    percentile = bootstrap_interval(values, statistic=statistic, resamples=4999)
    if statistic is None:
        assert interval.high > percentile.high  # a skewed mean's interval reaches further up


def test_bca_of_clusters_and_constants() -> None:
    items = np.random.default_rng(2).exponential(size=30)
    single = bootstrap_interval(items, method="bca", seed=3)
    threefold = bootstrap_interval(np.repeat(items, 3), clusters=np.repeat(np.arange(30), 3), method="bca", seed=3)
    assert (threefold.low, threefold.high) == pytest.approx((single.low, single.high))  # copies tell nothing new
    constant = bootstrap_interval([2.0, 2.0, 2.0], method="bca")
    assert (constant.low, constant.high) == (2.0, 2.0)
    paired = paired_bootstrap_difference([0.0, 1.0, 3.0, 0.0], [1.0, 1.0, 9.0, 0.0], method="bca")
    assert paired.low <= paired.estimate <= paired.high


def test_bca_misses_a_skewed_mean_less_from_below() -> None:
    """A sample of a skewed law rarely shows its long tail: the percentile interval ends too early on that side."""
    generator = np.random.default_rng(11)
    below = {"bca": 0, "percentile": 0}
    for seed in range(300):
        values = generator.lognormal(size=25)
        for method in below:
            below[method] += bootstrap_interval(values, resamples=300, method=method, seed=seed).high < math.exp(0.5)
    assert 0.025 * 300 < below["bca"] < 0.8 * below["percentile"]


def test_bca_refuses() -> None:
    with pytest.raises(ValueError, match="infinite"):
        bootstrap_interval([1.0, 2.0, math.inf], method="bca")
    with pytest.raises(ValueError, match="two clusters"):
        bootstrap_interval([1.0, 2.0], clusters=["a", "a"], method="bca")
    with pytest.raises(ValueError, match="'percentile' or 'bca'"):
        bootstrap_interval([1.0], method="normal")
    with pytest.raises(ValueError, match="'mean', 'median'"):
        bootstrap_interval([1.0], statistic="mode")


def test_bootstrap_is_seeded() -> None:
    values = np.random.default_rng(0).normal(size=50)
    assert bootstrap_interval(values, seed=4) == bootstrap_interval(values, seed=4)
    assert bootstrap_interval(values, seed=4) != bootstrap_interval(values, seed=5)


def test_bootstrap_refuses() -> None:
    for values in ([], [float("nan")], [[1.0]]):
        with pytest.raises(ValueError, match="bootstrap_interval"):
            bootstrap_interval(values)
    with pytest.raises(ValueError, match="one label for each of the 2"):
        bootstrap_interval([1.0, 2.0], clusters=["a"])
    with pytest.raises(ValueError, match="resamples"):
        bootstrap_interval([1.0], resamples=0)
    with pytest.raises(ValueError, match="level"):
        bootstrap_interval([1.0], level=95)


def test_paired_difference_by_hand() -> None:
    interval = paired_bootstrap_difference([0, 0, 1, 1], [1, 1, 1, 1])
    assert interval.estimate == 0.5
    assert 0.0 <= interval.low <= 0.5 <= interval.high <= 1.0
    constant = paired_bootstrap_difference([0.2, 0.5], [0.3, 0.6])
    assert constant.low == pytest.approx(0.1)
    assert constant.high == pytest.approx(0.1)
    with pytest.raises(ValueError, match="equal lengths"):
        paired_bootstrap_difference([1], [1, 2])
    with pytest.raises(ValueError, match="finite"):
        paired_bootstrap_difference([1.0], [math.inf])


def test_paired_difference_ignores_shared_difficulty() -> None:
    difficulty = np.random.default_rng(1).normal(size=300)
    paired = paired_bootstrap_difference(difficulty, difficulty + 0.01)
    assert paired.low > 0
