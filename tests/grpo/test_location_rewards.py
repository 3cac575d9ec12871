"""Rewards for saying where a picture was taken: the evaluation's judgement, cost, and training on them."""

from __future__ import annotations

import dataclasses
import math
import timeit
from pathlib import Path

import pytest
from geographiclib.geodesic import Geodesic
from hypothesis import given
from hypothesis import strategies as st
from tiny_cases import small_checkpoint, write_questions

from geor1.evaluation.presets import STRICT
from geor1.grpo.config import GrpoConfig
from geor1.grpo.data import load_questions, to_location_dataset
from geor1.grpo.location_rewards import CountryReward, DistanceReward
from geor1.grpo.run import trl_settings
from geor1.grpo.trainer import GeoGRPOTrainer
from geor1.models.loading import load_model, load_processor
from geor1.names import fold_country
from geor1.records import RecordError


def reply(latitude: float, longitude: float, country: str = "France") -> str:
    return f"<think> country {country} . </think> <answer> {latitude:.6f} , {longitude:.6f} </answer>"


PARIS = {"latitude_deg": [48.8566], "longitude_deg": [2.3522]}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (reply(48.8566, 2.3522), 1.0),
        (reply(40.7128, -74.006), math.exp(-5852.94 / 1492.7)),  # New York, by GeographicLib
        (reply(48.8566, 2.3522) + " and more", 0.0),  # out of form
        ("<think> x </think> <answer> nowhere </answer>", 0.0),
        ("<think> x </think> <answer> 148.8 , 2.3 </answer>", 0.0),
        ("", 0.0),
    ],
)
def test_distance(text: str, expected: float) -> None:
    assert DistanceReward()([text], **PARIS) == pytest.approx([expected], abs=1e-4)


def test_a_completion_that_was_cut_earns_nothing() -> None:
    texts, ids = [reply(48.8566, 2.3522)] * 2, [[5, 6, 2], [5, 6, 7]]
    truth = {name: value * 2 for name, value in PARIS.items()}
    assert DistanceReward(end_token_ids=(2,))(texts, **truth, completion_ids=ids) == [1.0, 0.0]
    assert CountryReward(end_token_ids=(2,))(texts, country=["France"] * 2, completion_ids=ids) == [1.0, 0.0]
    assert CountryReward()(texts, country=["France"] * 2, finished=[False, True]) == [0.0, 1.0]


@given(st.floats(-90, 90), st.floats(-180, 180), st.floats(-90, 90), st.floats(-180, 180))
def test_within_half_a_percent_of_the_geodesic_anywhere(lat: float, lon: float, lat2: float, lon2: float) -> None:
    scale = 20_000.0
    [reward] = DistanceReward(scale_km=scale)([reply(lat, lon)], latitude_deg=[lat2], longitude_deg=[lon2])
    given_ = round(lat, 6), round(lon, 6)
    exact = Geodesic.WGS84.Inverse(*given_, lat2, lon2, Geodesic.DISTANCE)["s12"] / 1000
    assert -scale * math.log(reward) == pytest.approx(exact, rel=0.005, abs=1e-6)


@pytest.mark.parametrize(
    ("stated", "truth", "expected"),
    [("France", "France", 1), ("USA", "United States", 1), ("Czechia", "Czech Republic", 1), ("Niger", "Nigeria", 0)],
)
def test_country(stated: str, truth: str, expected: int) -> None:
    assert CountryReward()([reply(1, 2, stated)], country=[truth]) == [float(expected)]


def test_hedging_between_countries_earns_nothing() -> None:
    text = "<think> country France . country Spain . </think> <answer> 48 , 2 </answer>"
    assert CountryReward()([text], country=["France"]) == [0.0]
    assert CountryReward()(["<think> </think> <answer> 48 , 2 </answer>"], country=["France"]) == [0.0]


def test_the_judgement_is_the_evaluations() -> None:
    assert fold_country is STRICT.countries.fold


def test_a_reward_costs_at_most_fifty_microseconds() -> None:
    texts = [reply(place / 3 - 80, place / 2 - 120) for place in range(480)]
    truth = {"latitude_deg": [10.0] * 480, "longitude_deg": [20.0] * 480, "country": ["France"] * 480}
    for term in (DistanceReward(), CountryReward()):
        best = min(timeit.repeat(lambda term=term: term(texts, **truth), number=1, repeat=7))
        assert best / len(texts) < 50e-6, term.__name__


def test_training_on_locations(tmp_path: Path) -> None:
    write_questions(tmp_path / "data", 4)
    small_checkpoint(tmp_path / "base", seed=1, spread=2.0)
    questions = load_questions(tmp_path / "data", "train")
    with pytest.raises(RecordError, match="4 questions without position"):
        to_location_dataset(questions, tmp_path / "data")
    placed = [dataclasses.replace(q, latitude_deg=48.0, longitude_deg=2.0, country="France") for q in questions]
    config = GrpoConfig(steps=2, prompts_per_step=2, group_size=4, max_completion_tokens=6, threads=1)
    trainer = GeoGRPOTrainer(
        model=load_model(tmp_path / "base"),
        reward_funcs=[DistanceReward(), CountryReward()],
        args=trl_settings(config, tmp_path / "run", [1.0, 1.0]),
        train_dataset=to_location_dataset(placed, tmp_path / "data"),
        processing_class=load_processor(tmp_path / "base"),
    )
    trainer.train()
    logged = [line for line in trainer.state.log_history if "loss" in line]
    assert [line["rewards/distance/mean"] for line in logged] == [0.0, 0.0]  # the model knows no coordinates
    assert all("rewards/country/mean" in line for line in logged)
