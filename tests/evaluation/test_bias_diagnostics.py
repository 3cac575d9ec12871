"""Confusion, reasons, position bias, confidence and factors, worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from geor1.evaluation.confusion import confusion, label_against_coordinate, text_against_coordinate
from geor1.evaluation.diagnostics import calibration, confidence_correlation, failure_reasons, position_bias
from geor1.evaluation.factors import OTHER, success_model
from geor1.evaluation.statistics import wilson_interval
from geor1.records import Prediction

PARIS, BERLIN, SEA = (48.85, 2.35), (52.52, 13.40), (0.0, -30.0)


def guess(item: str, truth: str, country: str | None, at, status: str = "ok") -> Prediction:
    place = {"France": PARIS, "Germany": BERLIN}[truth]
    return Prediction(
        model="m", task="geolocation", item_id=item, raw="", status=status, country=country,
        latitude_deg=at[0] if at else None, longitude_deg=at[1] if at else None,
        true_latitude_deg=place[0], true_longitude_deg=place[1], true_country=truth,
    )  # fmt: skip


GUESSES = [
    guess("a", "France", "France", PARIS),
    guess("b", "France", "Germany", PARIS),
    guess("c", "France", "Likely France", SEA),
    guess("d", "Germany", "Brazil", (-15.8, -47.9)),
    guess("e", "Germany", None, None, "api_error"),
]


def test_confusion_by_text_and_by_coordinate() -> None:
    text = confusion(GUESSES)
    assert (text.true, text.predicted) == (
        ("France", "Germany"),
        ("France", "Germany", "Brazil", "unknown", "unusable"),
    )
    assert text.counts.tolist() == [[1, 1, 0, 1, 0], [0, 0, 1, 0, 1]]
    assert text.n == 5 and text.accuracy == 0.2
    assert text.true_totals == {"France": 3, "Germany": 2}
    assert text.predicted_totals == {"France": 1, "Germany": 1, "Brazil": 1, "unknown": 1, "unusable": 1}
    assert text.largest() == [("France", "Germany", 1), ("Germany", "Brazil", 1)]
    assert text.largest(1) == [("France", "Germany", 1)]
    place = confusion(GUESSES, evidence="coordinate")
    assert place.predicted == ("France", "Germany", "Brazil", "unknown", "unusable")
    assert place.counts.tolist() == [[2, 0, 0, 1, 0], [0, 0, 1, 0, 1]]
    world = confusion(GUESSES, level="continent")
    assert (world.true, world.predicted) == (("Europe",), ("Europe", "South America", "unknown", "unusable"))
    assert world.counts.tolist() == [[2, 1, 1, 1]]


def test_confusion_with_no_known_truth_is_never_right() -> None:
    lost = Prediction(model="m", task="geolocation", item_id="a", raw="", status="ok", country="nowhere",
                      latitude_deg=0.0, longitude_deg=-30.0,
                      true_latitude_deg=0.0, true_longitude_deg=-30.0)  # fmt: skip
    matrix = confusion([lost])
    assert matrix.true == ("unknown",) and matrix.accuracy == 0.0 and matrix.largest() == []


def test_disagreement() -> None:
    replies = text_against_coordinate(GUESSES)  # named and located: a, b, d; b contradicts itself
    assert replies.share == wilson_interval(1, 3) and replies.items == (("b", "DE", "FR"),)
    assert label_against_coordinate(GUESSES).share == wilson_interval(0, 5)
    assert text_against_coordinate(GUESSES[4:]).share is None
    with pytest.raises(ValueError, match="got 0 predictions"):
        confusion([])
    with pytest.raises(ValueError, match="'planet'"):
        confusion(GUESSES, level="planet")


def test_reasons() -> None:
    everything, france, germany = failure_reasons(GUESSES, ["F", "F", "F", "G", "G"])
    assert (everything.group, everything.n, everything.counts) == ("all", 5, {"ok": 4, "api_error": 1})
    assert (france.group, france.counts) == ("F", {"ok": 3, "api_error": 0})
    assert germany.unusable == wilson_interval(1, 2)
    assert [entry.group for entry in failure_reasons(GUESSES)] == ["all"]
    with pytest.raises(ValueError, match="label each"):
        failure_reasons(GUESSES, ["F"])


def asked(item: str, choices: str, answers: str = "ABC") -> list[Prediction]:
    """One item under as many rotations as letters; '-' is an unusable completion."""
    return [
        Prediction(model="m", task="pairing", item_id=item, raw="", rotation=rotation, answer=answer,
                   status="no_answer" if choice == "-" else "ok", choice=None if choice == "-" else choice)
        for rotation, (choice, answer) in enumerate(zip(choices, answers, strict=True))
    ]  # fmt: skip


def test_position_bias_by_hand() -> None:
    # Two perfect items, one that always says A, one that says A, A and nothing.
    bias = position_bias([*asked("p", "ABC"), *asked("q", "BCA", "BCA"), *asked("r", "AAA"), *asked("s", "AA-")])
    assert bias.choices == {"A": 7, "B": 2, "C": 2, "none": 1}
    assert bias.answers == {"A": 4, "B": 4, "C": 4}
    # Expected 11/3 each: χ² = ((10/3)² + 2 (5/3)²) / (11/3) = 50/11; with two degrees of freedom p = exp(-χ²/2).
    assert bias.chi2 == pytest.approx(50 / 11)
    assert bias.p_value == pytest.approx(math.exp(-25 / 11))
    # Only how r and s are turned matters; they lie on the same letter in 3 of 9 ways: 3 are as extreme.
    assert bias.p_value_by_item == pytest.approx(1 / 3, abs=0.04)
    assert [position.recall for position in bias.by_position] == [1.0, 0.5, 0.5]
    assert bias.rstd == pytest.approx(np.std([1.0, 0.5, 0.5]))
    assert bias.consistency == wilson_interval(2, 4)  # p and q stay with their option; r and s do not


def test_position_bias_of_one_rotation_and_of_nothing_usable() -> None:
    single = position_bias([asked("p", "A", "A")[0], asked("q", "B", "B")[0]])
    assert single.consistency is None
    unusable = position_bias([*asked("p", "---")])
    assert (unusable.chi2, unusable.p_value, unusable.p_value_by_item, unusable.rstd) == (0.0, 1.0, 1.0, 0.0)


def test_always_a_is_found_and_an_unbiased_guesser_is_not() -> None:
    always = position_bias([p for i in range(40) for p in asked(f"i{i}", "AAA")])
    assert always.p_value < 1e-9 and always.p_value_by_item < 0.001
    assert always.rstd == pytest.approx(np.std([1, 0, 0])) and always.consistency == wilson_interval(0, 40)
    # Every item repeats one random letter under all rotations: χ² over completions cries wolf, turning items does not.
    found = []
    for seed in range(60):
        letters = np.random.default_rng(seed).choice(list("ABC"), 30)
        bias = position_bias([p for i, x in enumerate(letters) for p in asked(f"i{i}", x * 3)], shuffles=99, seed=seed)
        found.append((bias.p_value <= 0.05, bias.p_value_by_item <= 0.05))
    naive, by_item = np.mean(found, axis=0)
    assert naive > 0.2 and by_item < 0.15


def test_confidence_correlation_by_hand() -> None:
    # Ranks 1 2 3 4 against 4 3 1 2 (infinity last): rho = 1 - 6 (9 + 1 + 4 + 4) / 60 = -0.8.
    assert confidence_correlation([1, 2, 3, 4], [math.inf, 9.0, 1.0, 5.0]).estimate == pytest.approx(-0.8)
    assert confidence_correlation([5, 5, 5], [1.0, 2.0, 3.0]).estimate == 0.0
    with pytest.raises(ValueError, match="without NaN"):
        confidence_correlation([1, math.nan], [1, 2])


def test_calibration_by_value_and_by_range() -> None:
    low, high = calibration([2, 5, 5, 2, 5], [False, True, True, True, False])
    assert (low.low, low.high, low.accuracy) == (2.0, 2.0, wilson_interval(1, 2))
    assert (high.mean, high.accuracy) == (5.0, wilson_interval(2, 3))
    stated = np.arange(100) / 100
    levels = calibration(stated, stated > 0.5, bins=4)
    assert [level.accuracy.n for level in levels] == [25, 25, 25, 25]
    assert [level.accuracy.estimate for level in levels] == [0.0, 0.0, pytest.approx(24 / 25), 1.0]
    assert levels[1].mean == pytest.approx(0.37)
    with pytest.raises(ValueError, match="equal length"):
        calibration([1, 2], [True])


def test_log_odds_of_a_table_by_hand() -> None:
    # 30 of 40 against 10 of 40: log odds ±log 3; with next to no penalty the fit is the table.
    features = {"setting": ["urban"] * 40 + ["rural"] * 40}
    success = [True] * 30 + [False] * 10 + [True] * 10 + [False] * 30
    fit = success_model(features, success, clusters=list(range(80)), penalty=1e-4)
    rural, urban = fit.factors
    assert (rural.level, urban.level, urban.n) == ("rural", "urban", 40)
    assert urban.log_odds.estimate == pytest.approx(math.log(3), abs=1e-3)
    assert rural.log_odds.estimate == pytest.approx(-math.log(3), abs=1e-3)
    assert urban.log_odds.low > 0 > rural.log_odds.high
    # Wald: standard error of half the difference of log odds, sqrt(2 (1/30 + 1/10)) / 2.
    width = 2 * 1.96 * math.sqrt(2 * (1 / 30 + 1 / 10)) / 2
    assert urban.log_odds.high - urban.log_odds.low == pytest.approx(width, rel=0.25)
    # A pair of one success and one failure: ordered 9 times (30·30), tied 6 times (2·300), wrong once (10·10) of 16.
    assert fit.auc.estimate == pytest.approx((9 + 6 / 2) / 16, abs=0.05)
    shrunk = success_model(features, success, clusters=list(range(80)), penalty=50.0).factors[1].log_odds.estimate
    assert 0 < shrunk < urban.log_odds.estimate


def test_noise_predicts_nothing_and_clusters_widen() -> None:
    aucs = []
    for seed in range(12):
        generator = np.random.default_rng(seed)
        features = {name: generator.choice(list("abc"), 150).tolist() for name in "xyz"}
        success = (generator.random(150) < 0.5).tolist()
        aucs.append(success_model(features, success, clusters=list(range(150)), resamples=20).auc.estimate)
    assert np.mean(aucs) == pytest.approx(0.5, abs=0.05)
    # A place repeated 10 times with one outcome and one feature value: the place cannot judge itself.
    generator = np.random.default_rng(1)
    place = np.repeat(np.arange(15), 10)
    outcome = np.repeat(generator.permutation([True] * 8 + [False] * 7), 10)
    tag = {"tag": [f"t{i}" for i in place]}
    clustered = success_model(tag, outcome.tolist(), clusters=place.tolist(), resamples=50).auc
    naive = success_model(tag, outcome.tolist(), clusters=list(range(150)), resamples=50).auc
    assert naive.estimate > 0.95 and clustered.estimate == 0.5


def test_rare_levels_stand_together() -> None:
    features = {"setting": ["urban"] * 20 + ["rural"] * 17 + ["moon", "mars", "sea"]}
    fit = success_model(features, [True, False] * 20, clusters=list(range(40)), resamples=10, min_n=5)
    assert [(factor.level, factor.n) for factor in fit.factors] == [(OTHER, 3), ("rural", 17), ("urban", 20)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"success": [True] * 10}, "nothing to tell apart"),
        ({"features": {}}, "one length"),
        ({"clusters": [1] * 9}, "one length"),
        ({"clusters": [1] * 10}, "1 clusters"),
        ({"penalty": 0.0}, "penalty=0"),
        ({"folds": 1}, "folds=1"),
    ],
)
def test_success_model_refuses(changes, message) -> None:
    given = {"features": {"x": list("aabbaabbab")}, "success": [True, False] * 5, "clusters": list(range(10))}
    with pytest.raises(ValueError, match=message):
        success_model(**(given | changes))
