"""What the maps derive from a prediction."""

from __future__ import annotations

import math

import pytest

from geor1.maps.samples import by_model, errors_km, to_sample, to_samples, worst_first
from geor1.records import RecordError


def test_error_is_a_degree_of_the_equator(geolocation):
    sample = to_sample(geolocation(truth=(0.0, 179.5), guess=(0.0, -179.5)))
    assert sample.outcome == "located"
    assert sample.error_km == pytest.approx(2 * math.pi * 6371.0 / 360.0)


def test_many_at_once_are_each_as_alone(geolocation, pairing):
    rows = [geolocation(), pairing(), geolocation(guess=None), geolocation(truth=None), geolocation(guess=(-80.0, 1.0))]
    assert to_samples(rows) == [to_sample(row) for row in rows]
    assert [sample.error_km is None for sample in to_samples(rows)] == [False, True, True, True, False]


@pytest.mark.parametrize("guess", [None, (95.0, 0.0), (0.0, 181.0), (math.nan, 0.0), (0.0, math.inf)])
def test_an_answer_without_a_position_on_earth_is_unusable_and_counts_as_a_miss(geolocation, guess):
    samples = to_samples([geolocation(guess=guess), geolocation(guess=(10.0, 20.0))])
    assert [sample.outcome for sample in samples] == ["unusable", "located"]
    assert errors_km(samples).tolist() == [math.inf, 0.0]


def test_a_true_position_off_the_earth_is_a_fault_of_the_data(geolocation):
    with pytest.raises(RecordError, match=r"photo-1.*lat_deg=121.47 is outside \[-90, 90\]; are latitude"):
        to_samples([geolocation(truth=(121.47, 31.0))])


def test_pairing_outcomes(pairing):
    outcomes = [to_sample(p).outcome for p in (pairing("B", "B"), pairing("A", "B"), pairing(None, "B"))]
    assert outcomes == ["right", "wrong", "unusable"]


def test_worst_first(geolocation, pairing):
    near, far, none = geolocation(guess=(10.0, 21.0)), geolocation(guess=(-10.0, -160.0)), geolocation(guess=None)
    assert worst_first(to_samples([near, none, far])) == [2, 0, 1]
    assert worst_first(to_samples([pairing("B", "B"), pairing(None, "B"), pairing("A", "B")])) == [2, 1, 0]


def test_by_model_keeps_order(geolocation):
    samples = to_samples([geolocation(model="b"), geolocation(model="a"), geolocation(model="b")])
    assert {name: len(group) for name, group in by_model(samples).items()} == {"b": 2, "a": 1}
    assert list(by_model(samples)) == ["b", "a"]
