"""Groups and gaps: worked out by hand, then what noise must and must not show."""

from __future__ import annotations

import math

import numpy as np
import pytest

from geor1.evaluation.bias import bias_report, group_gap, slice_rows
from geor1.evaluation.slices import UNKNOWN, place_cells, read_columns, slice_labels, true_places
from geor1.evaluation.statistics import proportion_interval, wilson_interval
from geor1.records import Prediction, RecordError

PARIS, KINSHASA, SEA = (48.85, 2.35), (-4.32, 15.31), (0.0, -30.0)


def pairing(item: str, *, right: bool, rotation: int = 0, truth=PARIS, status: str = "ok") -> Prediction:
    choice = None if status != "ok" else "A" if right else "B"
    return Prediction(
        model="m", task="pairing", item_id=item, raw="", status=status, rotation=rotation, choice=choice, answer="A",
        true_latitude_deg=truth[0] if truth else None, true_longitude_deg=truth[1] if truth else None,
    )  # fmt: skip


def located(item: str, guess, truth=PARIS, country: str | None = None) -> Prediction:
    return Prediction(
        model="m", task="geolocation", item_id=item, raw="", status="ok" if guess else "no_coordinates",
        latitude_deg=guess[0] if guess else None, longitude_deg=guess[1] if guess else None,
        true_latitude_deg=truth[0], true_longitude_deg=truth[1], true_country=country,
    )  # fmt: skip


def test_labels_of_places() -> None:
    predictions = [
        pairing("a", right=True), pairing("b", right=True, truth=KINSHASA), pairing("c", right=True, truth=SEA),
        pairing("d", right=True, truth=None),
    ]  # fmt: skip
    columns = {"a": {"weather": "rain", "index": 3}, "b": {"weather": ""}, "c": {"weather": float("nan")}}
    assert slice_labels(predictions, columns=columns) == {
        "continent": ["Europe", "Africa", UNKNOWN, UNKNOWN],
        "subregion": ["Western Europe", "Middle Africa", UNKNOWN, UNKNOWN],
        "country": ["France", "Democratic Republic of the Congo", UNKNOWN, UNKNOWN],
        "climate": ["temperate", "tropical", "tropical", UNKNOWN],
        "hemisphere": ["northern", "southern", "northern", UNKNOWN],
        "latitude_band": ["45–60°", "0–15°", "0–15°", UNKNOWN],
        "near_city": ["city of 1M+", "no listed city", "no listed city", UNKNOWN],  # the selection lacks Kinshasa
        "index": ["3", UNKNOWN, UNKNOWN, UNKNOWN],
        "weather": ["rain", UNKNOWN, UNKNOWN, UNKNOWN],
    }
    assert list(slice_labels(predictions, names=["hemisphere"])) == ["hemisphere"]
    with pytest.raises(ValueError, match=r"no slice 'wether'; there are .*'weather'"):
        slice_labels(predictions, columns=columns, names=["wether"])
    with pytest.raises(ValueError, match="rename the columns"):
        slice_labels(predictions, columns={"a": {"country": "x"}})


def test_the_label_comes_before_the_outline_and_says_so() -> None:
    places = true_places([located("a", None, country="Belgium"), located("b", None, country="somewhere")])
    assert [(p.code, p.code_from, p.outline_code) for p in places] == [("BE", "label", "FR"), ("FR", "outline", "FR")]


def test_cells_and_columns(tmp_path) -> None:
    near = [pairing("a", right=True, truth=(1.001, 2.001)), pairing("b", right=True, truth=(1.009, 2.009))]
    far = [pairing("c", right=True, truth=(-0.001, 2.001)), pairing("d", right=True, truth=None)]
    assert place_cells([*near, *far]) == ["100,200", "100,200", "-1,200", "d"]
    edge = [pairing("e", right=True, truth=(0.29, 180.0)), pairing("f", right=True, truth=(0.2999, -180.0))]
    assert place_cells(edge) == ["29,-18000"] * 2, "0.29 / 0.01 is 28.999…96"
    with pytest.raises(ValueError, match="size_deg=0"):
        place_cells(near, size_deg=0)
    path = tmp_path / "labels.csv"
    path.write_text("image_id,weather,glare\na,rain,\n")
    assert read_columns(path, key="image_id", names=["weather", "glare"]) == {"a": {"weather": "rain", "glare": ""}}
    with pytest.raises(RecordError, match=r"labels.csv: no column \['quality'\]"):
        read_columns(path, key="image_id", names=["quality"])


def test_pairing_groups_by_hand() -> None:
    # 20 items in Paris, 15 of them right under both rotations; 20 in Kinshasa, 5 right; 3 at sea, too few.
    predictions = [
        pairing(f"{name}{i}", right=i < right, rotation=rotation, truth=truth)
        for name, count, right, truth in (("p", 20, 15, PARIS), ("k", 20, 5, KINSHASA), ("s", 3, 0, SEA))
        for i in range(count)
        for rotation in range(2)
    ]
    (country,) = bias_report(predictions, names=["country"], resamples=400)
    assert [(g.name, g.n, g.n_items, g.too_few) for g in country.groups] == [
        ("Democratic Republic of the Congo", 40, 20, False), ("France", 40, 20, False), (UNKNOWN, 6, 3, True),
    ]  # fmt: skip
    assert country.groups[2].metrics == {}
    assert country.groups[1].metrics["accuracy"].estimate == 0.75
    assert country.overall.metrics["accuracy"].estimate == pytest.approx(20 / 43)
    # Both rotations agree: the interval is that of 20 items, not of 40 answers.
    width = country.groups[1].metrics["accuracy"].high - country.groups[1].metrics["accuracy"].low
    assert width == pytest.approx(2 * 1.96 * math.sqrt(0.75 * 0.25 / 20), rel=0.15)
    gap = country.gap
    assert gap is not None
    assert (gap.best, gap.worst, gap.groups) == ("France", "Democratic Republic of the Congo", 2)
    assert gap.difference.estimate == pytest.approx(0.5) and gap.ratio.estimate == pytest.approx(3.0)
    assert 0.1 < gap.difference.low < 0.5 < gap.difference.high < 0.8
    assert gap.p_difference < 0.02 and gap.p_any < 0.02
    rows = slice_rows(country)
    assert [row["label"] for row in rows] == ["all", "Democratic Republic of the Congo", "France", UNKNOWN]
    assert rows[3]["too_few"] and rows[3]["accuracy"] is None and rows[3]["n"] == 6


def test_geolocation_groups_by_hand() -> None:
    # 12 on the spot, 9 missed: median 0 km; one miss more and the median of 22 is infinite on one side.
    predictions = [located(f"i{i}", PARIS if i < 12 else None) for i in range(21)]
    (hemisphere,) = bias_report(predictions, names=["hemisphere"], resamples=200)
    (group,) = hemisphere.groups
    assert hemisphere.gap is None
    assert (group.n, group.n_missed) == (21, 9)
    assert group.metrics["accuracy_25_km"] == wilson_interval(12, 21)
    assert group.metrics["median_km"].estimate == 0.0 and math.isinf(group.metrics["median_km"].high)
    assert group.metrics["geoscore"].estimate == pytest.approx(5000 * 12 / 21)
    row = slice_rows(hemisphere)[1]
    assert row["median_km"] == 0.0 and row["median_km_high"] is None
    missed = bias_report([located(f"i{i}", PARIS if i < 11 else None) for i in range(22)], names=["hemisphere"])
    assert math.isinf(missed[0].groups[0].metrics["median_km"].estimate)


def test_too_few_places_are_too_few_whatever_the_items() -> None:
    predictions = [located(f"i{i}", PARIS) for i in range(30)]
    (country,) = bias_report(predictions, names=["country"], clusters=place_cells(predictions), resamples=10)
    assert (country.groups[0].n, country.groups[0].n_clusters, country.groups[0].too_few) == (30, 1, True)


def test_report_refuses_what_it_cannot_score() -> None:
    two = [located("a", PARIS), pairing("b", right=True)]
    with pytest.raises(ValueError, match="one model, task and condition"):
        bias_report(two)
    with pytest.raises(ValueError, match="one model, task and condition"):
        bias_report([])
    with pytest.raises(ValueError, match=r"expected one of .*'geoscore'.*got 'median_km'"):
        bias_report(two[:1], gap_measure="median_km")
    with pytest.raises(ValueError, match="one label for each of 1"):
        bias_report(two[:1], clusters=["x", "y"])


def test_gap_of_four_values_is_that_of_their_six_arrangements() -> None:
    # {1, 1} against {0, 0}: of 6 ways to deal two labels, 2 give a difference of 1, 4 give 0.
    gap = group_gap([1, 1, 0, 0], ["x", "x", "y", "y"], ["x", "y"], resamples=3000)
    assert (gap.best, gap.worst, gap.difference.estimate) == ("x", "y", 1.0)
    assert math.isinf(gap.ratio.estimate)
    assert gap.expected_difference == pytest.approx(1 / 3, abs=0.03)
    assert gap.p_difference == pytest.approx(1 / 3, abs=0.03)
    assert gap.p_any == gap.p_difference


def test_clusters_are_dealt_whole() -> None:
    # The same four values ten times over: still four units, still 1 chance in 3.
    gap = group_gap(
        [1, 1, 0, 0] * 10, ["x", "x", "y", "y"] * 10, ["x", "y"], clusters=[0, 1, 2, 3] * 10, resamples=2000
    )
    assert gap.p_difference == pytest.approx(1 / 3, abs=0.04)
    naive = group_gap([1, 1, 0, 0] * 10, ["x", "x", "y", "y"] * 10, ["x", "y"], resamples=1000)
    assert naive.p_difference == pytest.approx(1 / 1001)


def test_equal_groups_show_no_gap() -> None:
    gap = group_gap([1.0] * 10, ["x", "y"] * 5, ["x", "y"], resamples=50)
    assert (gap.difference.estimate, gap.ratio.estimate) == (0.0, 1.0)
    assert gap.p_difference == gap.p_any == 1.0
    zero = group_gap([0.0] * 10, ["x", "y"] * 5, ["x", "y"], resamples=50)
    assert zero.ratio.estimate == 1.0


def test_noise_is_not_bias() -> None:
    """Twenty equal groups of 30: the measured gap is large, is expected, and is called significant 1 time in 20."""
    labels = [f"g{i:02d}" for i in range(20) for _ in range(30)]
    groups = sorted(set(labels))
    measured, expected, p_difference, p_any = [], [], [], []
    for trial in range(80):
        values = np.random.default_rng(trial).random(600) < 0.6
        gap = group_gap(values, labels, groups, resamples=99, seed=trial)
        measured.append(gap.difference.estimate)
        expected.append(gap.expected_difference)
        p_difference.append(gap.p_difference)
        p_any.append(gap.p_any)
    assert np.mean(measured) > 0.3
    assert np.mean(expected) == pytest.approx(np.mean(measured), abs=0.01)
    for p_values in (p_difference, p_any):
        assert np.mean(np.array(p_values) <= 0.05) < 0.13  # 0.05 and three standard errors
        assert np.mean(p_values) == pytest.approx(0.5, abs=0.1)


def test_a_real_difference_is_found() -> None:
    generator = np.random.default_rng(5)
    labels = [f"g{i}" for i in range(5) for _ in range(60)]
    values = generator.random(300) < np.repeat([0.6, 0.6, 0.6, 0.6, 0.25], 60)
    gap = group_gap(values, labels, sorted(set(labels)), resamples=500)
    assert gap.worst == "g4" and gap.p_any < 0.01 and gap.p_difference < 0.01
    assert gap.difference.estimate > 2 * gap.expected_difference


@pytest.mark.parametrize(
    ("values", "labels", "groups", "message"),
    [
        ([1, 2], ["x"], ["x", "y"], "expected one each"),
        ([1, 2], ["x", "y"], ["x"], "two or more groups"),
        ([1, 2], ["x", "y"], ["x", "z"], "two or more groups"),
        ([1, math.inf], ["x", "y"], ["x", "y"], "finite"),
    ],
)
def test_gap_refuses(values, labels, groups, message) -> None:
    with pytest.raises(ValueError, match=message):
        group_gap(values, labels, groups)


def test_proportion_interval_chooses_its_method() -> None:
    assert proportion_interval([True, False, True], ["a", "b", "c"]) == wilson_interval(2, 3)
    certain = proportion_interval([True] * 6, ["a", "a", "b", "b", "c", "c"])
    assert (certain.estimate, certain.low, certain.n) == (1.0, wilson_interval(3, 3).low, 6)
    never = proportion_interval([False] * 4, ["a", "a", "b", "b"])
    assert (never.estimate, never.high) == (0.0, wilson_interval(0, 2).high)
    clustered = proportion_interval([True, True, False, False], ["a", "a", "b", "b"])
    assert (clustered.low, clustered.high) == (0.0, 1.0)
