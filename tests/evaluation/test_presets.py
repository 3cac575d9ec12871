"""The same table under every convention: each figure worked out by hand from the benchmark's own rule."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from test_geolocation import predict

from geor1.evaluation.columns import columns_of
from geor1.evaluation.geolocation import (
    distance_km,
    distances_km,
    item_geoscores,
    score_columns,
    score_geolocation,
    score_row,
)
from geor1.evaluation.imageo import imageo_columns
from geor1.evaluation.importers import read_imageo
from geor1.evaluation.osv5m import read_osv5m
from geor1.evaluation.presets import (
    GEOBENCH,
    GEOCLIP,
    IMAGEO,
    OSV5M,
    PIGEON,
    PRESETS,
    STRICT,
    NameRule,
    ScoringPreset,
    geobench_preset,
    preset_named,
)

DEGREE = math.pi / 180
MODELS = ["gpt-4.1", "gemini-2.5-pro", "claude-3-5-haiku-20241022", "Llama-3.2-90B-Vision-Instruct-Turbo"]


def table() -> list:
    """One degree off (about 111 km); a perfect hit on the equator; a far one; a refusal."""
    return [
        predict("near", (1.0, 20.0), (2.0, 20.0), country="USA", true_country="United States"),
        predict("zero", (0.0, 30.0), (0.0, 30.0), country="Hong Kong", true_country="China"),
        predict("far", (10.0, 10.0), (10.0, 100.0), country=None, true_country="Japan"),
        predict("miss", None, (5.0, 5.0), country=None, true_country="Kenya"),
    ]


def test_strict_counts_everything() -> None:
    score = score_geolocation(table())
    assert (score.n, score.n_scored, score.n_missed) == (4, 4, 1)
    assert score.accuracy_at_km[200.0].estimate == 0.5
    assert score.names["country"].estimate == 0.25  # USA is the United States; Hong Kong is not China
    assert score.names["country"].n == 4
    assert score.log10_km.estimate == pytest.approx(
        (math.log10(1 + 6371 * DEGREE) + 0 + math.log10(1 + distance_km(table()[2])) + math.log10(20016)) / 4
    )


def test_imageo_drops_zeros_and_the_unnamed() -> None:
    score = score_geolocation(table(), preset=IMAGEO)
    assert (score.n, score.n_scored, score.n_missed) == (4, 2, 2)
    assert score.failures == {"no_coordinates": 1, "refused_by_preset": 1}
    assert score.mean_km_located == pytest.approx((6371 * DEGREE + distance_km(table()[2])) / 2)
    assert (score.names["country"].estimate, score.names["country"].n) == (0.0, 2)


def test_radius_and_comparison() -> None:
    one_degree = table()[0]
    exact = distance_km(one_degree)
    assert exact == pytest.approx(6371 * DEGREE)
    assert distance_km(one_degree, PIGEON) == pytest.approx(6378.137 * DEGREE)
    assert distance_km(one_degree, GEOBENCH) == pytest.approx(6371.0088 * DEGREE)
    assert distance_km(one_degree, GEOCLIP) == pytest.approx(110.575, abs=0.001)  # a degree of the meridian near 1.5°
    hits = {
        preset.name: score_geolocation([one_degree], preset=preset, radii_km=[exact]).accuracy_at_km[exact].estimate
        for preset in (STRICT, OSV5M)
    }
    assert hits == {"strict": 1.0, "osv5m": 0.0}


def test_pigeon_rounds_each_score_and_has_ten_radii() -> None:
    score = score_geolocation(table()[:1], preset=PIGEON, resamples=1)
    assert score.geoscore.estimate == round(5000 * math.exp(-6378.137 * DEGREE / 1492.7))
    assert list(score.accuracy_at_km) == [1, 5, 10, 25, 50, 100, 200, 750, 1000, 2500]


@pytest.mark.parametrize("metres", [0.0, 24.9, 25.1, 1e3, 1e5, 3e6, 1.5e7])
@pytest.mark.parametrize("scale", [2000.0, 137.5])
def test_geobench_score_is_their_formula(metres: float, scale: float) -> None:
    preset = geobench_preset(diagonal_km=scale * 7.458421)
    theirs = 5000 if metres <= 25 else round(5000 * math.pow(0.99866017, metres / scale))
    assert item_geoscores(np.array([metres / 1000]), preset)[0] == theirs


def test_geobench_upper_median_merges_and_dropped_refusals() -> None:
    score = score_geolocation([table()[0], table()[1], table()[3]], preset=GEOBENCH)
    assert (score.n, score.n_scored) == (3, 2)
    assert score.median_km.estimate == pytest.approx(6371.0088 * DEGREE)  # the upper of 0 and one degree
    assert score.names["country"].estimate == pytest.approx(2 / 3)  # a refusal is wrong; Hong Kong is China to them


def test_farthest_misses() -> None:
    preset = dataclasses.replace(STRICT, miss="farthest")
    assert distances_km(table(), preset)[3] == 20015.0
    assert score_geolocation([table()[3]], preset=preset).median_km.estimate == 20015.0


def test_out_of_range_counts_only_for_imageo() -> None:
    columns = dataclasses.replace(columns_of(table()[:1]), latitude_deg=np.array([250.0]))
    assert np.isinf(distances_km(columns)[0])
    phi = 250 * DEGREE
    h = math.sin((2 * DEGREE - phi) / 2) ** 2
    assert distances_km(columns, IMAGEO)[0] == pytest.approx(6371 * 2 * math.asin(math.sqrt(h)))


def test_nothing_scored() -> None:
    score = score_geolocation([table()[3]], preset=IMAGEO)
    assert score.n_scored == 0
    assert math.isnan(score.geoscore.estimate)
    assert math.isnan(score.median_km.low)
    assert score.names == {}


def test_one_scored_item_that_a_resample_misses() -> None:
    misses = [predict(f"miss{i}", None, (5.0, 5.0)) for i in range(20)]
    scores = [score_geolocation([table()[0], *misses], preset=IMAGEO, resamples=1, seed=seed) for seed in range(12)]
    assert scores[0].mean_km_located == pytest.approx(6371 * DEGREE)
    assert {score.median_km.estimate for score in scores} == {scores[0].mean_km_located}
    assert {math.isnan(score.geoscore.low) for score in scores} == {True, False}  # some draw it, some do not


def test_every_row_says_n_misses_and_rule() -> None:
    for preset in PRESETS.values():
        row = score_row(score_geolocation(table(), preset=preset, resamples=50))
        assert row["n"] == 4
        assert row["missed"] >= 1
        assert row["rule"].startswith(f"{preset.name}: ")
        assert row["country_n"] == (2 if preset is IMAGEO else 4)
        assert preset.source
    assert len({preset.rule for preset in PRESETS.values()}) == len(PRESETS) == 6


def test_refusals() -> None:
    assert preset_named("strict") is STRICT
    with pytest.raises(ValueError, match="expected one of strict, imageo"):
        preset_named("im2gps")
    for changes in ({"earth": 6370.0}, {"miss": "skip"}, {"radii_km": ()}, {"geoscore_scale_km": 0.0}):
        with pytest.raises(ValueError, match=next(iter(changes))):
            ScoringPreset(name="x", source="x", **changes)
    with pytest.raises(ValueError, match="missing"):
        NameRule(fold=str, missing="skip")


@pytest.mark.parametrize("model", MODELS)
def test_real_imageo_by_preset(model: str, real_files: Callable[[str], Path]) -> None:
    """Predictions and raw columns alike give the benchmark's figures under ``imageo``, and ours under ``strict``."""
    expected = json.loads(real_files("expected.json").read_text(encoding="utf-8"))
    results, labels = real_files(f"imageo/pcw_{model}.jsonl"), real_files("imageo/pcw_labels.csv")
    official, strict = expected["imageo_pcw_official"][model], expected["imageo_pcw_strict"][model]
    predictions = read_imageo(results, labels)
    for columns in (columns_of(predictions), imageo_columns(results, labels)):
        score = score_columns(columns, preset=IMAGEO, resamples=1)
        ours = {f"{kind}_accuracy": interval.estimate for kind, interval in score.names.items()}
        ours |= {"mean_distance_km": score.mean_km_located, "median_distance_km": score.median_km.estimate}
        assert ours == pytest.approx(official, abs=1e-6)
    score = score_geolocation(predictions, resamples=1)
    assert (score.n, score.n - score.n_missed) == (strict["images"], strict["with_coordinates"])
    assert score.names["city"].estimate == pytest.approx(strict["city_accuracy_all"], abs=1e-4)
    assert score.names["country"].estimate == pytest.approx(strict["country_accuracy_all_us_aliases"], abs=1e-4)
    assert score.median_km.estimate == pytest.approx(strict["median_distance_km_miss_is_infinite"], abs=1e-4)
    assert score.geoscore.estimate == pytest.approx(strict["geoscore_all"], abs=1e-4)
    shares = {f"{radius:g}": interval.estimate for radius, interval in score.accuracy_at_km.items()}
    assert shares == pytest.approx(strict["accuracy_at_km"], abs=1e-4)


@pytest.mark.parametrize("suffix", ["", "_base"])
def test_real_osv5m_by_preset(suffix: str, real_files: Callable[[str], Path]) -> None:
    path = real_files("osv5m/select.csv")
    predictions = read_osv5m(path, suffix=suffix)
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(predictions) == len(rows) == 50
    distances = distances_km(predictions, OSV5M)
    assert np.abs(distances - [float(row[f"distance{suffix}"]) for row in rows]).max() < 1e-9
    assert np.abs(item_geoscores(distances, OSV5M) - [float(row[f"score{suffix}"]) for row in rows]).max() < 1e-9
    score = score_geolocation(predictions, preset=OSV5M, resamples=1)
    hits = [row[f"country_hit{suffix}"] == "True" for row in rows]
    assert score.names["country"].estimate == sum(hits) / 50
    # The other Earths are told apart: 6378.137 km is kilometres off.
    assert np.abs(distances_km(predictions, PIGEON) - distances).max() > 1
