"""Real outputs of six models: every count recomputed from the raw files with pandas."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from geor1.evaluation.bias import bias_report
from geor1.evaluation.confusion import confusion, label_against_coordinate, text_against_coordinate
from geor1.evaluation.diagnostics import calibration, confidence_correlation, failure_reasons
from geor1.evaluation.factors import success_model
from geor1.evaluation.geolocation import distances_km
from geor1.evaluation.importers import read_geoguess, read_imageo
from geor1.evaluation.slices import imageo_columns, place_cells, slice_labels
from geor1.records import Prediction

PCW = ("gpt-4.1", "gemini-2.5-pro", "Llama-3.2-90B-Vision-Instruct-Turbo", "claude-3-5-haiku-20241022")
GEOGUESS = ("gpt-4o", "gemini-1.5-pro")
# Spellings of the label files that our country names differ from.
SPELLED = {
    "USA": "United States", "Netherlands": "The Netherlands", "Macau": "Macao", "Korea, South": "South Korea",
    "West Bank": "Palestinian Territory",
}  # fmt: skip


def pcw(real_data: Path, model: str) -> list[Prediction]:
    return read_imageo(real_data / f"imageo/pcw_{model}.jsonl", real_data / "imageo/pcw_labels.csv")


def geoguess(real_data: Path, model: str) -> tuple[list[Prediction], pd.DataFrame]:
    path = real_data / f"geoguess/{model}-full-bench.csv"
    table = pd.read_csv(path)
    return read_geoguess(path), table.assign(country=table["label_country"].replace(SPELLED))


@pytest.mark.parametrize("model", PCW)
def test_imageo_groups_hold_every_photo(real_data: Path, model: str) -> None:
    predictions = pcw(real_data, model)
    labels = pd.read_csv(real_data / "imageo/pcw_labels.csv")
    country, continent = bias_report(
        predictions, names=["country", "continent"], clusters=place_cells(predictions), resamples=100
    )
    expected = labels["country"].replace(SPELLED).value_counts().to_dict()
    assert {group.name: group.n for group in country.groups} == expected
    assert expected == {"United States": 226, "Japan": 24, "Finland": 7, "China": 6, "Mexico": 6, "Canada": 1}
    hawaii = ((labels["latitude"] < 30) & (labels["longitude"] < -150)).sum()
    assert {group.name: group.n for group in continent.groups} == {
        "North America": 233 - hawaii, "Asia": 30, "Europe": 7, "Oceania": hawaii
    }  # fmt: skip
    for entry in (country, continent):
        assert sum(group.n_missed for group in entry.groups) == sum(p.status != "ok" for p in predictions)
    assert [group.name for group in country.groups if not group.too_few] == ["United States", "Japan"]


@pytest.mark.parametrize("model", PCW)
def test_confusion_gives_the_strict_country_accuracy(real_data: Path, model: str) -> None:
    """The diagonal is the accuracy that counting names with US spellings gives: an independent road to one number."""
    strict = json.loads((real_data / "expected.json").read_text())["imageo_pcw_strict"]
    (known,) = [value for name, value in strict.items() if model.split("-Vision")[0].split("-2024")[0] in name]
    matrix = confusion(pcw(real_data, model))
    assert matrix.n == 270
    assert round(matrix.accuracy, 4) == known["country_accuracy_all_us_aliases"]
    # Three photos labelled China lie in Hong Kong, and models say so (the label calls it China).
    assert ("China", "Hong Kong", 1 if "Llama" in model else 3) in matrix.largest(3)


@pytest.mark.parametrize("model", GEOGUESS)
def test_geoguess_groups_recomputed(real_data: Path, model: str) -> None:
    predictions, table = geoguess(real_data, model)
    country, continent = bias_report(predictions, names=["country", "continent"], resamples=50)
    assert {group.name: group.n for group in country.groups} == table["country"].value_counts().to_dict()
    assert len(country.groups) == 88 and sum(group.n for group in country.groups) == 1602
    assert {group.name: group.n for group in continent.groups} == {
        "Europe": 407, "North America": 390, "South America": 335, "Asia": 314, "Africa": 117, "Oceania": 39,
    }  # fmt: skip
    judged = [group for group in country.groups if not group.too_few]
    assert len(judged) == 22 and min(group.n for group in judged) >= 20
    for group in judged:  # the file's own distance, missing where there is no prediction
        km = table.loc[table["country"] == group.name, "distance"]
        for radius in (25, 200, 750, 2500):
            share = (km <= radius).sum() / len(km)
            assert group.metrics[f"accuracy_{radius}_km"].estimate == pytest.approx(share, abs=1e-12)
        assert group.metrics["median_km"].estimate == pytest.approx(km.fillna(np.inf).median(), abs=1e-4)
        assert group.metrics["geoscore"].estimate == pytest.approx(
            (5000 * np.exp(-km.fillna(np.inf) / 1492.7)).mean(), abs=1e-3
        )
        assert group.n_missed == km.isna().sum()


def test_geoguess_pinned_gap_of_gpt_4o(real_data: Path) -> None:
    """Within 750 km: 66 of 68 in Japan, 41 of 103 in Russia; noise alone would show half of that gap, not all."""
    predictions, table = geoguess(real_data, "gpt-4o")
    near = table["distance"] <= 750
    hits = {name: (int(near[table["country"] == name].sum()), int((table["country"] == name).sum()))
            for name in ("Japan", "Russia")}  # fmt: skip
    assert hits == {"Japan": (66, 68), "Russia": (41, 103)}
    (country,) = bias_report(predictions, names=["country"], clusters=place_cells(predictions), resamples=400)
    gap = country.gap
    assert gap is not None
    assert (gap.best, gap.worst, gap.groups) == ("Japan", "Russia", 22)
    assert gap.difference.estimate == pytest.approx(66 / 68 - 41 / 103)
    assert gap.ratio.estimate == pytest.approx((66 / 68) / (41 / 103))
    assert 0.2 < gap.expected_difference < 0.35
    assert gap.p_any == gap.p_difference == pytest.approx(1 / 401)


@pytest.mark.parametrize("model", GEOGUESS)
def test_geoguess_confusions_recomputed(real_data: Path, model: str) -> None:
    predictions, table = geoguess(real_data, model)
    stated = table["predicted_country"].replace(
        SPELLED | {"Czech Republic": "Czechia", "Palestine": "Palestinian Territory"}
    )
    matrix = confusion(predictions)
    assert matrix.counts.shape[0] == 88 and matrix.n == 1602
    assert matrix.true_totals == table["country"].value_counts().to_dict()
    assert round(matrix.accuracy * 1602) == (stated == table["country"]).sum()
    assert matrix.predicted_totals["unusable"] == stated.isna().sum()
    for true, predicted, n in matrix.largest(6):
        assert n == ((table["country"] == true) & (stated == predicted)).sum()
    assert matrix.largest(1)[0][:2] == ("Russia", "Ukraine")
    by_place = confusion(predictions, evidence="coordinate")
    assert abs(by_place.accuracy - matrix.accuracy) < 0.01
    share = text_against_coordinate(predictions).share
    print(f"{model}: text {matrix.accuracy:.4f}, coordinate {by_place.accuracy:.4f}, they differ: {share}")
    assert share is not None and share.estimate < 0.02


def test_geoguess_labels_that_contradict_their_coordinates(real_data: Path) -> None:
    """1 label in 40 names another country than its coordinate: towns taken for their namesakes abroad, mostly."""
    found = label_against_coordinate(geoguess(real_data, "gpt-4o")[0])
    assert found.share is not None and (len(found.items), found.share.n) == (40, 1601)
    pairs = [(label, outline) for _, label, outline in found.items]
    assert pairs.count(("GB", "US")) == 3 and pairs.count(("BR", "PH")) == 2


def test_reasons_by_country(real_data: Path) -> None:
    predictions = pcw(real_data, "gpt-4.1")
    reasons = failure_reasons(predictions, slice_labels(predictions, names=["country"])["country"])
    assert reasons[0].counts == {"ok": 256, "api_error": 14}
    assert sum(entry.counts["api_error"] for entry in reasons[1:]) == 14


@pytest.mark.parametrize(("model", "n", "rho"), [("gemini-2.5-pro", 270, -0.16), ("gpt-4.1", 256, -0.70)])
def test_stated_confidence(real_data: Path, model: str, n: int, rho: float) -> None:
    predictions = pcw(real_data, model)
    columns = imageo_columns(predictions)
    known = [i for i, p in enumerate(predictions) if columns[p.item_id]["confidence"].isdigit()]
    stated = [int(columns[predictions[i].item_id]["confidence"]) for i in known]
    distances, cells = distances_km(predictions)[known], [place_cells(predictions)[i] for i in known]
    result = confidence_correlation(stated, distances, clusters=cells, resamples=200)
    assert (result.n, round(result.estimate, 2)) == (n, rho)
    assert result.estimate == pytest.approx(pd.Series(stated).corr(pd.Series(distances).rank(), method="spearman"))
    assert result.high < 0
    levels = calibration(stated, distances <= 25, clusters=cells)
    assert {level.low: level.accuracy.n for level in levels} == pd.Series(stated).value_counts().to_dict()
    if model == "gemini-2.5-pro":
        assert levels[-1].accuracy.n == 265  # it says 5 of 5 almost always


def test_what_goes_with_success(real_data: Path) -> None:
    predictions = pcw(real_data, "gemini-2.5-pro")
    labels = slice_labels(predictions, columns=imageo_columns(predictions), names=["scene_type", "setting"])
    fit = success_model(labels, list(distances_km(predictions) <= 25), clusters=place_cells(predictions), resamples=100)
    assert (fit.n, fit.n_clusters) == (270, 155)
    assert 0.65 < fit.auc.low < fit.auc.estimate < fit.auc.high < 0.9
    setting = {factor.level: factor for factor in fit.factors if factor.feature == "setting"}
    assert setting["urban"].n == 149 and setting["urban"].log_odds.low > 0 > setting["suburban"].log_odds.high
    assert sum(factor.log_odds.estimate for factor in setting.values()) == pytest.approx(0, abs=1e-2)
