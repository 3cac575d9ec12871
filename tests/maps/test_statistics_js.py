"""The page's statistics against those of the tables, and against scipy."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from scipy import stats

from geor1.evaluation.resampling import median
from geor1.evaluation.statistics import mcnemar_exact, percentiles, wilson_interval
from geor1.maps.frame import asset

Z = stats.norm.ppf(0.975)
COUNTS = [
    (0, 0), (0, 1), (1, 1), (0, 7), (7, 7), (3, 7), (149, 259), (1, 100_000), (50_123, 100_000), (500_000, 1_000_000),
]  # fmt: skip


@pytest.fixture
def call(tmp_path, open_page):
    """call("wilson(3, 7)") in a page that holds the statistics alone; infinities and NaN come back as such."""
    path = tmp_path / "statistics.html"
    script = f"window.geor1 = {{}}; {asset('statistics.js')}"
    path.write_text(f'<!doctype html><meta charset="utf-8"><script>{script}</script>', encoding="utf-8")
    page = open_page(path)
    assert page.errors == []
    return lambda expression: page.evaluate(f"(() => {{ const stats = geor1.stats; return stats.{expression}; }})()")


def script_array(values) -> str:
    return "Float64Array.from(" + json.dumps([str(value).replace("inf", "Infinity") for value in values]) + ", Number)"


@pytest.mark.parametrize(("k", "n"), COUNTS)
def test_wilson(call, k, n):
    low, high = call(f"wilson({k}, {n})")
    if n == 0:
        assert (low, high) == (0, 1)  # nothing is known
        return
    expected = wilson_interval(k, n)
    assert (low, high) == (pytest.approx(expected.low, abs=1e-12), pytest.approx(expected.high, abs=1e-12))
    theirs = stats.binomtest(k, n).proportion_ci(0.95, method="wilson")
    assert (low, high) == (pytest.approx(theirs.low, abs=1e-9), pytest.approx(theirs.high, abs=1e-9))


def test_wilson_refuses_what_is_no_count(call):
    for counts in ("3, 2", "-1, 2", "0.5, 2"):
        with pytest.raises(Exception, match="expected whole numbers"):
            call(f"wilson({counts})")


@pytest.mark.parametrize(
    ("k", "n"),
    [*COUNTS, (1, 20), (15, 16), (13, 29), (16, 33), (499_000, 1_000_000), (497_000, 1_000_000), (501_234, 1_000_000),
     (499_999, 1_000_000), (400_000, 1_000_000), (490, 1_000), (300, 1_000), (2, 1_000_000)],
)  # fmt: skip
def test_exact_binomial_and_mcnemar(call, k, n):
    expected = stats.binomtest(k, n, 0.5).pvalue if n else 1.0
    for found in (call(f"binomialTwoSided({k}, {n})"), call(f"mcnemar({k}, {n - k})")):
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-300)
    if n <= 1000:
        first, second = [True] * k + [False] * (n - k) + [True], [False] * k + [True] * (n - k) + [True]
        assert call(f"mcnemar({k}, {n - k})") == pytest.approx(mcnemar_exact(first, second).p_value, abs=1e-9)


def newcombe(both, only_a, only_b, n):
    """Newcombe's method 10, written out again as in his paper, with scipy's Wilson limits."""
    a, b, c, d = both, only_a, only_b, n - both - only_a - only_b
    ci = lambda k: stats.binomtest(k, n).proportion_ci(0.95, method="wilson")  # noqa: E731
    (l1, u1), (l2, u2), p1, p2 = ci(a + b), ci(a + c), (a + b) / n, (a + c) / n
    top, bottom = a * d - b * c, math.prod((a + b, c + d, a + c, b + d))
    top = top if top <= 0 else max(0.0, top - n / 2)
    phi = top / math.sqrt(bottom) if bottom else 0.0
    delta = math.sqrt((p1 - l1) ** 2 - 2 * phi * (p1 - l1) * (u2 - p2) + (u2 - p2) ** 2)
    epsilon = math.sqrt((u1 - p1) ** 2 - 2 * phi * (u1 - p1) * (p2 - l2) + (p2 - l2) ** 2)
    return p1 - p2, p1 - p2 - delta, p1 - p2 + epsilon


@pytest.mark.parametrize(
    ("both", "only_a", "only_b", "n"),
    [(36, 12, 2, 50), (0, 0, 0, 9), (9, 0, 0, 9), (0, 9, 0, 9), (0, 4, 5, 9), (30, 5, 5, 60), (500, 120, 90, 1000),
     (40_000, 9_000, 8_000, 100_000), (1, 0, 0, 1)],
)  # fmt: skip
def test_paired_difference(call, both, only_a, only_b, n):
    found = call(f"pairedDifference({both}, {only_a}, {only_b}, {n})")
    expected = newcombe(both, only_a, only_b, n)
    assert [found["difference"], found["low"], found["high"]] == pytest.approx(expected, abs=1e-9)
    mirrored = call(f"pairedDifference({both}, {only_b}, {only_a}, {n})")
    assert mirrored["low"] == pytest.approx(-found["high"], abs=1e-12)


def test_paired_difference_as_published(call):
    found = call("pairedDifference(36, 12, 2, 50)")  # Newcombe (1998), table II: 36, 12, 2, 0
    assert (round(found["low"], 4), round(found["high"], 4)) == (0.0569, 0.3404)
    nothing = call("pairedDifference(0, 0, 0, 0)")
    assert all(math.isnan(value) for value in nothing.values())


SAMPLES = [
    [], [4.0], [1.0, math.inf], [math.inf] * 8, [1, 2, 3, 4, 5], [1, 2, 3, 4, 5, 6], list(range(9)), [3.0] * 40,
    sorted(np.random.default_rng(1).lognormal(5, 2, 1001).tolist()), [*range(60), *[math.inf] * 41],
]  # fmt: skip


@pytest.mark.parametrize("values", SAMPLES, ids=len)
def test_median_and_quantiles(call, values):
    found = call(f"median({script_array(values)})")
    assert found == pytest.approx(median(values), abs=1e-9, nan_ok=True)
    for share in (0.0, 0.025, 0.25, 0.5, 0.9, 1.0):
        found = call(f"quantile({script_array(values)}, {share})")
        if not values:
            assert math.isnan(found)
        else:
            assert found == float(np.quantile(np.array(values, float), share, method="inverted_cdf"))
    if values:
        assert call(f"quantile({script_array(values)}, 0.975)") == percentiles(np.array(values, float), 0.95)[1]
    assert call(f"countWithin({script_array(values)}, 4)") == sum(value <= 4 for value in values)


@pytest.mark.parametrize("values", SAMPLES, ids=len)
def test_median_interval_is_that_of_the_binomial(call, values):
    low, high = call(f"medianInterval({script_array(values)})")
    n = len(values)
    if n < 6:
        assert math.isnan(low) and math.isnan(high)
        return
    rank = int(stats.binom.ppf(0.025, n, 0.5))
    assert (low, high) == (values[rank - 1], values[n - rank])
    theirs = stats.quantile_test(values, q=0, p=0.5).confidence_interval(0.95)  # never narrower than ours
    assert theirs.low <= low and theirs.high >= high


@pytest.mark.parametrize("n", [6, 7, 20, 999, 12_345, 100_000, 1_000_000])
def test_median_interval_ranks_for_many_values(call, n):
    low, high = call(f"medianInterval(Float64Array.from({{length: {n}}}, (_, k) => k + 1))")
    rank = int(stats.binom.ppf(0.025, n, 0.5))
    assert (low, high) == (rank, n + 1 - rank)
    assert stats.binom.cdf(rank - 1, n, 0.5) <= 0.025 < stats.binom.cdf(rank, n, 0.5)


def test_mean_with_normal_interval(call):
    values = np.random.default_rng(2).normal(0.3, 2.0, 500)
    found = call(f"meanDifference({script_array(values.tolist())})")
    half = Z * values.std(ddof=1) / math.sqrt(len(values))
    expected = [values.mean(), values.mean() - half, values.mean() + half]
    assert [found["mean"], found["low"], found["high"]] == pytest.approx(expected, abs=1e-9) and found["n"] == 500
    assert all(math.isnan(call("meanDifference([])")[name]) for name in ("mean", "low", "high"))
    one = call("meanDifference([2])")
    assert one["mean"] == 2 and math.isnan(one["low"])
