"""Two runs on identical items: counted by hand, refused where the items differ, then the real runs."""

from __future__ import annotations

import csv
import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from test_geolocation import predict

from geor1.evaluation.columns import GeolocationColumns, cell_clusters, city_clusters, columns_of
from geor1.evaluation.comparison import (
    ItemsDifferError,
    compare_geolocation,
    comparison_row,
    geoscore_non_inferiority,
    pair_items,
)
from geor1.evaluation.geolocation import distances_km, score_geolocation
from geor1.evaluation.importers import read_geoguess, read_imageo
from geor1.evaluation.presets import IMAGEO
from geor1.records import Prediction

ONE_DEGREE_SCORE = 5000 * math.exp(-6371 * math.pi / 180 / 1492.7)


def run(model: str, positions: dict[str, tuple[float, float] | None], **names: str) -> list[Prediction]:
    return [predict(item, position, (2.0, 3.0), model=model, **names) for item, position in positions.items()]


HIT, NEAR = (2.0, 3.0), (3.0, 3.0)
FIRST = run("one", {"a": HIT, "b": NEAR, "c": HIT, "d": None})
SECOND = run("two", {"d": HIT, "c": HIT, "b": HIT, "a": None})


def test_by_hand() -> None:
    result = compare_geolocation(FIRST, SECOND, resamples=500)
    assert (result.first, result.second, result.n, result.n_scored, result.missed) == ("one", "two", 4, 4, (1, 1))
    # a: 5000 -> 0, b: near -> 5000, c: same, d: 0 -> 5000.
    assert result.geoscore.estimate == pytest.approx((-5000 + (5000 - ONE_DEGREE_SCORE) + 0 + 5000) / 4)
    near, missed = math.log10(1 + 6371 * math.pi / 180), math.log10(20016)
    assert result.log10_km.estimate == pytest.approx((missed - near + 0 - missed) / 4)
    test = result.tests["within_25_km"]
    assert (test.first_only, test.second_only, test.n, test.p_value) == (1, 2, 4, 1.0)
    assert result.geoscore.low <= result.geoscore.estimate <= result.geoscore.high
    row = comparison_row(result)
    assert row["label"] == "one → two"
    assert (row["n"], row["missed_first"], row["within_25_km_second_only"]) == (4, 1, 2)
    assert row["rule"].startswith("strict: n = all items")
    assert row["rule"].endswith("paired on the same items")


def test_different_items_are_refused_by_number() -> None:
    with pytest.raises(ItemsDifferError, match=r"'one' lacks 1 items of 'two', which lacks 2 of its 4.*intersect=True"):
        compare_geolocation(FIRST, [*SECOND[2:], predict("e", HIT, HIT, model="two")])
    with pytest.raises(ItemsDifferError, match="no item in common"):
        compare_geolocation(FIRST[:1], SECOND[:1], intersect=True)


def test_the_intersection_says_so() -> None:
    result = compare_geolocation(FIRST, [*SECOND[2:], predict("e", HIT, HIT, model="two")], intersect=True, resamples=9)
    assert (result.n, result.only_first, result.only_second) == (2, 2, 1)
    assert result.tests["within_25_km"].n == 2
    assert comparison_row(result)["n"] == 2
    assert result.rule.endswith("paired on the intersection: 2 of 4 and 3 items")


def test_the_truth_must_be_the_same() -> None:
    moved = [dataclasses.replace(p, true_latitude_deg=2.1) if p.item_id == "c" else p for p in SECOND]
    with pytest.raises(ValueError, match="item 'c': true_latitude_deg differs"):
        compare_geolocation(FIRST, moved)


def test_a_convention_that_drops_leaves_both_sides() -> None:
    result = compare_geolocation(FIRST, SECOND, preset=IMAGEO, resamples=9)
    assert (result.n, result.n_scored) == (4, 2)
    assert result.tests["within_25_km"].n == 2
    with pytest.raises(ValueError, match="no item has a distance in both"):
        compare_geolocation(FIRST[3:], [SECOND[0]], preset=IMAGEO)


def test_pairs_are_in_one_order() -> None:
    one, other = pair_items(columns_of(FIRST), columns_of(SECOND))
    assert one.item_ids.tolist() == other.item_ids.tolist() == ["a", "b", "c", "d"]
    assert np.isinf(distances_km(other)).tolist() == [True, False, False, False]


def test_clusters_and_non_inferiority() -> None:
    first = [predict(str(i), NEAR, HIT, model="one", true_city=f"c{i // 10}") for i in range(40)]
    shifts = (NEAR, HIT, (6.0, 3.0), NEAR)
    second = [predict(str(i), shifts[i // 10], HIT, model="two", true_city=f"c{i // 10}") for i in range(40)]
    free = compare_geolocation(first, second)
    clustered = compare_geolocation(first, second, clusters_of=city_clusters)
    assert (free.n_clusters, clustered.n_clusters) == (40, 4)
    assert clustered.geoscore.high - clustered.geoscore.low > free.geoscore.high - free.geoscore.low
    assert clustered.detectable_geoscore > free.detectable_geoscore
    assert geoscore_non_inferiority(first, first, margin=1.0).non_inferior
    assert geoscore_non_inferiority(first, second, margin=500.0).non_inferior
    assert not geoscore_non_inferiority(first, second, margin=500.0, clusters_of=city_clusters).non_inferior


def cells(columns: GeolocationColumns) -> np.ndarray:
    return cell_clusters(latitude_deg=columns.true_latitude_deg, longitude_deg=columns.true_longitude_deg)


# First right alone, second right alone, p of the exact McNemar test on cities, all 259 photos in the denominator.
CITY_TESTS = {
    ("gpt-4.1", "gemini-2.5-pro"): (24, 29, 0.5831321543),
    ("gpt-4.1", "claude-3-5-haiku-20241022"): (53, 9, 1.0507233e-08),
    ("gpt-4.1", "Llama-3.2-90B-Vision-Instruct-Turbo"): (36, 10, 0.0001564172),
    ("gemini-2.5-pro", "claude-3-5-haiku-20241022"): (60, 11, 2.6333285e-09),
    ("gemini-2.5-pro", "Llama-3.2-90B-Vision-Instruct-Turbo"): (41, 10, 1.4737716e-05),
    ("claude-3-5-haiku-20241022", "Llama-3.2-90B-Vision-Instruct-Turbo"): (15, 33, 0.0132832816),
}


@pytest.mark.parametrize("models", CITY_TESTS, ids=" ".join)
def test_real_imageo_city_tests(models: tuple[str, str], real_files: Callable[[str], Path]) -> None:
    labels = real_files("imageo/pcw_labels.csv")
    runs = [read_imageo(real_files(f"imageo/pcw_{model}.jsonl"), labels) for model in models]
    # Counted again from the text alone, without any of our folding.
    right = [[(p.city or "").lower() == p.true_city.lower() for p in table if p.true_city] for table in runs]
    first_only = sum(a and not b for a, b in zip(*right, strict=True))
    result = compare_geolocation(*runs, resamples=200).tests["city"]
    assert (result.first_only, result.second_only, result.n) == (*CITY_TESTS[models][:2], 259)
    assert result.first_only == first_only
    assert result.p_value == pytest.approx(CITY_TESTS[models][2], rel=1e-6)


def test_real_imageo_intervals(real_files: Callable[[str], Path]) -> None:
    """The best two differ in countries, not in cities; whole cells drawn together widen every interval."""
    labels = real_files("imageo/pcw_labels.csv")
    gpt, gemini = (read_imageo(real_files(f"imageo/pcw_{m}.jsonl"), labels) for m in ("gpt-4.1", "gemini-2.5-pro"))
    free = score_geolocation(gpt)
    assert (free.names["city"].low, free.names["city"].high) == pytest.approx((0.5066799, 0.6264802), abs=1e-6)
    whole = score_geolocation(gpt, clusters=cells(columns_of(gpt)))
    assert whole.n_clusters == 155
    assert (whole.names["city"].low, whole.names["city"].high) == pytest.approx((0.468, 0.670), abs=0.015)
    result = compare_geolocation(gpt, gemini)
    assert result.geoscore.estimate == pytest.approx(4544.8269 - 4289.9224, abs=2e-4)
    assert (result.geoscore.low, result.geoscore.high) == pytest.approx((92, 419), abs=15)
    assert result.log10_km.high < 0
    assert result.tests["country"].p_value == pytest.approx(0.0118179321, rel=1e-6)
    assert result.p_holm["country"] > 0.05


def test_real_geoguess_distances_and_difference(real_files: Callable[[str], Path]) -> None:
    runs = []
    for name in ("gpt-4o", "gemini-1.5-pro"):
        path = real_files(f"geoguess/{name}-full-bench.csv")
        runs.append(read_geoguess(path))
        with path.open(encoding="utf-8", newline="") as file:
            stored = np.array([float(row["distance"] or "inf") for row in csv.DictReader(file)])
        ours = distances_km(runs[-1])
        assert (np.isinf(ours) == np.isinf(stored)).all()
        assert np.abs(ours[np.isfinite(stored)] - stored[np.isfinite(stored)]).max() < 1e-5
    result = compare_geolocation(*runs)
    assert (result.n, result.missed) == (1602, (24, 10))
    assert result.geoscore.estimate == pytest.approx(-36.480401, abs=1e-5)
    assert (result.geoscore.low, result.geoscore.high) == pytest.approx((-108, 36), abs=6)
    assert result.log10_km.low > 0  # nearer by the logarithm, and not told apart by GeoScore
    assert result.detectable_geoscore == pytest.approx(103.4155, abs=1e-3)
