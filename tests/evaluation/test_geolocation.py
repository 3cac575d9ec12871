"""Geolocation scores: distances and GeoScores worked out by hand, then the real table of OSV-5M."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from geor1.evaluation.geolocation import distance_km, score_geolocation
from geor1.records import Prediction

QUARTER = 6371 * math.pi / 2


def predict(
    item: str, position: tuple[float, float] | None, truth: tuple[float, float] | None, **changes
) -> Prediction:
    fields = {
        "model": "m",
        "task": "geolocation",
        "raw": "",
        "status": "ok" if position else "no_coordinates",
        "latitude_deg": position[0] if position else None,
        "longitude_deg": position[1] if position else None,
        "true_latitude_deg": truth[0] if truth else None,
        "true_longitude_deg": truth[1] if truth else None,
        **changes,
    }
    return Prediction(item_id=item, **fields)


def test_distance_by_hand() -> None:
    assert distance_km(predict("a", (0.0, 0.0), (0.0, 90.0))) == pytest.approx(QUARTER)
    assert distance_km(predict("a", (90.0, 17.0), (0.0, 0.0))) == pytest.approx(QUARTER)
    assert distance_km(predict("a", (0.0, 179.5), (0.0, -179.5))) == pytest.approx(6371 * math.pi / 180)
    assert distance_km(predict("a", None, (0.0, 0.0))) == math.inf
    with pytest.raises(ValueError, match="no true coordinates"):
        distance_km(predict("a", (0.0, 0.0), None))


def test_score_by_hand() -> None:
    one_degree = 6371 * math.pi / 180  # 111.19 km
    table = [
        predict("hit", (10.0, 20.0), (10.0, 20.0)),
        predict("near", (1.0, 0.0), (0.0, 0.0)),
        predict("far", (0.0, 90.0), (0.0, 0.0)),
        predict("miss", None, (0.0, 0.0)),
    ]
    score = score_geolocation(table)
    assert (score.n, score.n_missed, score.failures) == (4, 1, {"no_coordinates": 1})
    assert [interval.estimate for interval in score.accuracy_at_km.values()] == [0.25, 0.25, 0.5, 0.5, 0.5]
    expected = (5000 + 5000 * math.exp(-one_degree / 1492.7) + 5000 * math.exp(-QUARTER / 1492.7) + 0) / 4
    assert score.geoscore.estimate == pytest.approx(expected)
    assert score.median_km.estimate == pytest.approx((one_degree + QUARTER) / 2)
    assert score.mean_km_located == pytest.approx((one_degree + QUARTER) / 3)
    assert score.geoscore.low <= score.geoscore.estimate <= score.geoscore.high


def test_thresholds_are_inclusive() -> None:
    table = [predict("a", (1.0, 0.0), (0.0, 0.0))]
    exact = distance_km(table[0])
    assert score_geolocation(table, radii_km=[exact]).accuracy_at_km[exact].estimate == 1.0


def test_misses_alone() -> None:
    score = score_geolocation([predict(str(i), None, (0.0, 0.0), status="api_error") for i in range(3)])
    assert score.median_km.estimate == math.inf
    assert score.geoscore.estimate == 0.0
    assert score.mean_km_located is None
    assert score.accuracy_at_km[2500.0].estimate == 0.0


def test_half_missed_has_an_infinite_median() -> None:
    table = [predict("a", (0.0, 0.0), (0.0, 0.0)), predict("b", None, (0.0, 0.0))]
    assert score_geolocation(table).median_km.estimate == math.inf


def test_clusters_widen() -> None:
    table = [predict(f"{i}", (0.0, 0.0) if i < 10 else None, (0.0, 0.0)) for i in range(20)]
    single = score_geolocation(table).accuracy_at_km[1.0]
    clustered = score_geolocation(table, clusters=["x"] * 10 + ["y"] * 10).accuracy_at_km[1.0]
    assert clustered.high - clustered.low > single.high - single.low


def test_refusals() -> None:
    with pytest.raises(ValueError, match="got none"):
        score_geolocation([])
    with pytest.raises(ValueError, match="more than once"):
        score_geolocation([predict("a", None, (0.0, 0.0))] * 2)
    with pytest.raises(ValueError, match="one model and condition"):
        score_geolocation([predict("a", None, (0.0, 0.0)), predict("b", None, (0.0, 0.0), model="n")])


def test_osv5m_distances_and_scores(real_files: Callable[[str], Path]) -> None:
    with real_files("osv5m/select.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 50
    for row in rows:
        truth = (float(row["true_lat"]), float(row["true_lon"]))
        for suffix in ("", "_base"):
            position = (float(row[f"pred_lat{suffix}"]), float(row[f"pred_lon{suffix}"]))
            prediction = predict(row["id"], position, truth)
            assert distance_km(prediction) == pytest.approx(float(row[f"distance{suffix}"]), abs=1e-9)
            score = score_geolocation([prediction], resamples=1).geoscore.estimate
            assert score == pytest.approx(float(row[f"score{suffix}"]), abs=1e-9)
