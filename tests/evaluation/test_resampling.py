"""The bootstrap's engine against the plain way of doing it, draw by draw."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from geor1.evaluation import resampling
from geor1.evaluation.columns import cell_clusters, city_clusters, columns_of, mapped_clusters, name_hits
from geor1.evaluation.names import lower
from geor1.evaluation.presets import STRICT, NameRule
from geor1.evaluation.resampling import as_clusters, iterate_counts, median, resample


def all_counts(n: int, resamples: int, seed: int) -> np.ndarray:
    return np.concatenate([chunk.copy() for chunk in iterate_counts(n, resamples, seed)])


@pytest.mark.parametrize("n", [1, 7, 2**14, 2**14 + 1, 40_000])
def test_counts_add_up_and_are_seeded(n: int) -> None:
    counts = all_counts(n, 40, seed=1)
    assert counts.shape == (40, n)
    assert (counts.sum(axis=1) == n).all()
    assert (counts == all_counts(n, 40, seed=1)).all()
    assert n == 1 or (counts != all_counts(n, 40, seed=2)).any()


def test_counts_are_multinomial(monkeypatch: pytest.MonkeyPatch) -> None:
    """Across blocks and within them: mean 1, variance 1 - 1/n, covariance -1/n, and Poisson-like chances."""
    monkeypatch.setattr(resampling, "_BLOCK", 4)
    n, draws = 10, 10_000
    counts = all_counts(n, draws, seed=3)
    assert counts.mean(axis=0) == pytest.approx(np.ones(n), abs=0.05)
    covariance = np.cov(counts.T)
    assert covariance == pytest.approx(np.eye(n) - 1 / n, abs=0.06)
    expected = stats.binom.pmf(np.arange(5), n, 1 / n)
    for cluster in (0, 3, 4, 9):  # 9 is in the last, smaller block
        found = [(counts[:, cluster] == k).mean() for k in range(5)]
        assert found == pytest.approx(expected, abs=0.025)


def test_chunks_do_not_change_the_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = all_counts(50, 30, seed=5)
    monkeypatch.setattr(resampling, "_MOST_ROWS", 7)
    assert (all_counts(50, 30, seed=5) == whole).all()
    with pytest.raises(ValueError, match="resamples"):
        next(iterate_counts(3, 0, 0))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from([0.0, 1.0, 2.0, 2.5, 7.0, math.inf, math.nan]), min_size=1, max_size=30),
    st.integers(1, 9),
    st.booleans(),
    st.sampled_from([0.0, 0.5, 4.0]),
)
def test_sums_and_medians_are_those_of_the_resample(
    values: list[float], n_groups: int, upper: bool, sigmas: float
) -> None:
    """Also where the window is so narrow that medians have to be looked up outside it."""
    data = np.array(values)
    labels = [index % n_groups for index in range(len(data))]
    clusters = as_clusters(len(data), labels)
    columns = np.column_stack([np.arange(len(data)), np.ones(len(data))])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resampling, "_WINDOW_SIGMAS", sigmas)
        options = {"median_of": data, "upper": upper, "resamples": 25, "seed": 4}
        sums, medians = resample(clusters, columns, **options)
    for row, counts in enumerate(all_counts(clusters.n, 25, seed=4)):
        times = counts[clusters.codes].astype(int)
        assert sums[row] == pytest.approx([np.repeat(np.arange(len(data)), times).sum(), times.sum()])
        drawn = np.repeat(data, times)
        expected = median(drawn[~np.isnan(drawn)], upper=upper)
        assert medians[row] == expected or (math.isnan(medians[row]) and math.isnan(expected))


def test_median_by_hand() -> None:
    assert median([3.0, 1.0, 2.0]) == 2.0
    assert median([4.0, 1.0, 2.0, 3.0]) == 2.5
    assert median([4.0, 1.0, 2.0, 3.0], upper=True) == 3.0
    assert median([1.0, math.inf]) == math.inf
    assert median([math.inf, math.inf]) == math.inf
    assert math.isnan(median([]))


def test_clusters_from_labels() -> None:
    clusters = as_clusters(4, [("Reno", "USA"), "x", ("Reno", "USA"), 3])
    assert (clusters.codes.tolist(), clusters.n) == ([0, 1, 0, 2], 3)
    assert clusters.sums([1.0, 2.0, 3.0, 4.0]).tolist() == [4.0, 2.0, 4.0]
    with pytest.raises(ValueError, match="None or NaN"):
        as_clusters(2, ["a", None])


def test_cells_by_hand() -> None:
    labels = cell_clusters(
        latitude_deg=[0.29, 0.2999, 0.30, -0.001, 0.29, 0.29], longitude_deg=[10.0, 10.0, 10.0, 10.0, 180.0, -180.0]
    )
    assert labels[0] == labels[1]
    assert labels[4] == labels[5]  # one meridian, two names
    assert len(set(labels)) == 4
    with pytest.raises(ValueError, match="size_deg"):
        cell_clusters(latitude_deg=[0.0], longitude_deg=[0.0], size_deg=0)


def test_cities_and_sequences() -> None:
    from test_geolocation import predict

    places = [("Paris", "France"), ("Paris", "USA"), (None, "France"), (None, "France"), ("Paris", "France")]
    table = [
        predict(str(i), (0.0, 0.0), (0.0, 0.0), true_city=city, true_country=country)
        for i, (city, country) in enumerate(places)
    ]
    labels = city_clusters(columns_of(table))
    assert labels[0] == labels[4]
    assert len(set(labels)) == 4
    assert mapped_clusters(["a", "b"], {"a": "s1", "b": "s1"}).tolist() == ["s1", "s1"]
    with pytest.raises(ValueError, match=r"1 items have no group, .*'c'"):
        mapped_clusters(["a", "c"], {"a": "s1"})


def test_name_hits_by_hand() -> None:
    predicted = np.array(["USA", "paris", None, "", "x", None], dtype=object)
    true = np.array(["United States", "Paris", "Reno", "Reno", None, None], dtype=object)
    hits, counted = name_hits(predicted, true, STRICT.countries)
    assert hits.tolist() == [True, True, False, False, False, False]
    assert counted.tolist() == [True, True, True, True, False, False]
    hits, counted = name_hits(predicted, true, NameRule(fold=lower, missing="drop"))
    assert hits.tolist() == [False, True, False, False, False, False]
    assert counted.tolist() == [True, True, False, True, False, False]
    _, counted = name_hits(predicted, true, NameRule(fold=lower, missing="drop", empty_is_missing=True))
    assert counted.tolist() == [True, True, False, False, False, False]
