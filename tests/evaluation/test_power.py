"""Detectable differences and non-inferiority: by hand, against scipy, and by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from geor1.evaluation.power import detectable_accuracy_difference, detectable_mean_difference, non_inferiority
from geor1.evaluation.statistics import mcnemar_exact

Z = 1.959963984540054 + 0.8416212335729143  # two-sided 5 %, power 80 %


def test_mean_difference_by_hand() -> None:
    # Differences ±1, a hundred of them: standard deviation sqrt(100 / 99), standard error a tenth of it.
    assert detectable_mean_difference([-1.0, 1.0] * 50) == pytest.approx(Z * math.sqrt(100 / 99) / 10)
    # In pairs of equal sign they are fifty units of two.
    labels = np.repeat(np.arange(50), 2)
    clustered = detectable_mean_difference(np.repeat([-1.0, 1.0] * 25, 2), clusters=labels)
    assert clustered == pytest.approx(Z * math.sqrt(50 / 49) / math.sqrt(50))
    assert detectable_mean_difference([2.0, 2.0]) == 0.0


def test_mean_difference_is_found_as_often_as_said() -> None:
    generator = np.random.default_rng(0)
    delta = Z / math.sqrt(200)
    found = [stats.ttest_1samp(generator.normal(delta, 1, 200), 0).pvalue < 0.05 for _ in range(2000)]
    assert np.mean(found) == pytest.approx(0.8, abs=0.03)


def test_accuracy_difference_solves_connor() -> None:
    for n, share in ((100, 0.3), (259, 44 / 259), (5000, 0.05)):
        d = detectable_accuracy_difference(n, share)
        right = 1.959963984540054 * math.sqrt(share) + 0.8416212335729143 * math.sqrt(share - d * d)
        assert n * d * d == pytest.approx(right**2)
    assert detectable_accuracy_difference(5, 0.1) == math.inf
    assert detectable_accuracy_difference(1, 0.9) == math.inf


def test_accuracy_difference_is_found_as_often_as_said() -> None:
    n, share = 1000, 0.3
    d = detectable_accuracy_difference(n, share)
    generator = np.random.default_rng(1)
    outcomes = generator.multinomial(n, [(share + d) / 2, (share - d) / 2, 1 - share], size=1500)[:, :2]
    found = [stats.binomtest(int(a), int(a + b), 0.5).pvalue < 0.05 for a, b in outcomes]
    assert np.mean(found) == pytest.approx(0.8, abs=0.05)  # the exact test is a little conservative


def test_non_inferiority_is_a_shifted_t_test() -> None:
    generator = np.random.default_rng(4)
    before = generator.normal(size=40)
    after = before + generator.normal(0.1, 0.5, size=40)
    result = non_inferiority(before, after, margin=0.2)
    expected = stats.ttest_1samp(after - before, -0.2, alternative="greater")
    assert result.p_value == pytest.approx(expected.pvalue)
    assert result.lower == pytest.approx(expected.confidence_interval(0.975).low)
    assert result.difference == pytest.approx((after - before).mean())
    assert result.non_inferior == (result.p_value < 0.025)


def test_non_inferiority_by_hand() -> None:
    # Nine items lose nothing, one loses 1: difference -.1, standard deviation sqrt(.1), error .1, t(9) 97.5 % = 2.262.
    first, second = [1.0] * 10, [1.0] * 9 + [0.0]
    result = non_inferiority(first, second, margin=0.4)
    assert result.lower == pytest.approx(-0.1 - 2.2621571628 * 0.1)
    assert result.non_inferior
    assert not non_inferiority(first, second, margin=0.3).non_inferior
    same = non_inferiority(first, first, margin=0.01)
    assert (same.p_value, same.non_inferior, same.lower) == (0.0, True, 0.0)
    worse = non_inferiority(first, [0.0] * 10, margin=0.5)
    assert (worse.p_value, worse.non_inferior) == (1.0, False)


def test_clusters_make_it_harder() -> None:
    first = np.zeros(40)
    second = np.repeat([0.1, -0.1, 0.2, -0.2], 10)
    labels = np.repeat(["a", "b", "c", "d"], 10)
    free = non_inferiority(first, second, margin=0.1)
    clustered = non_inferiority(first, second, margin=0.1, clusters=labels)
    assert (free.n_clusters, clustered.n_clusters) == (40, 4)
    assert free.non_inferior
    assert not clustered.non_inferior
    # Four units of equal size: the t-test of their means.
    expected = stats.ttest_1samp([0.1, -0.1, 0.2, -0.2], -0.1, alternative="greater")
    assert clustered.p_value == pytest.approx(expected.pvalue)


def test_refusals() -> None:
    with pytest.raises(ValueError, match="margin"):
        non_inferiority([1.0, 2.0], [1.0, 2.0], margin=0.0)
    with pytest.raises(ValueError, match="two independent units"):
        non_inferiority([1.0, 2.0], [1.0, 2.0], margin=0.1, clusters=["a", "a"])
    with pytest.raises(ValueError, match="same items"):
        non_inferiority([1.0], [1.0, 2.0], margin=0.1)
    with pytest.raises(ValueError, match="finite"):
        detectable_mean_difference([1.0, math.inf])
    with pytest.raises(ValueError, match="discordant share"):
        detectable_accuracy_difference(10, 0.0)
    with pytest.raises(ValueError, match="power"):
        detectable_mean_difference([1.0, 2.0], power=1.0)


def test_mcnemar_takes_arrays() -> None:
    first, second = np.array([True, True, False]), np.array([False, True, True])
    assert mcnemar_exact(first, second).p_value == 1.0
