"""The columns of the page: values by hand, limits, and texts within their budget."""

from __future__ import annotations

import math

import numpy as np
import pytest

from geor1.maps.blob import Blob, unpack
from geor1.maps.payload import MAX_REWARDS, Limits, build_payload
from geor1.maps.samples import to_samples
from geor1.maps.tables import OTHER, Table
from geor1.maps.texts import TEXT_LEFT_OUT


def payload(rows, **options) -> Blob:
    return unpack(build_payload(to_samples(rows), title="t", **options).blob)


def test_columns_by_hand(geolocation, pairing):
    rows = [
        geolocation(completion_tokens=7, facts_stated=3, facts_true=2, error="broken pipe", sample=2),
        pairing("A", "B", rotation=3, condition="blind", finished=False, rewards={"format": 1.0, "odd": math.inf}),
        geolocation(guess=None, truth=None),
    ]
    blob = payload(rows)
    assert blob.words("model") == ["grpo", "sft", "grpo"] and blob.words("status") == ["ok", "ok", "no_coordinates"]
    assert blob.words("condition") == ["normal", "blind", "normal"]
    assert blob.words("country") == ["Chad", "Australia", "unknown"]
    assert blob.words("continent") == ["Africa", "Oceania", "unknown"]
    assert blob.words("climate") == ["tropical", "temperate", "unknown"]
    assert blob.words("choice", "letter") == [None, "A", None] and blob.words("answer", "letter") == [None, "B", None]
    expected = {
        "task": [0, 1, 0], "outcome": [2, 1, 3], "rotation": [0, 3, 0], "sample": [2, 0, 0], "tokens": [7, -1, -1],
        "finished": [1, 0, 1], "facts_true": [2, 0, 0], "facts_stated": [3, 0, 0], "rank": [0, 1, 2],
    }  # fmt: skip
    assert {name: blob.columns[name].tolist() for name in expected} == expected
    assert blob.columns["km"][0] == pytest.approx(156.0, abs=1.0) and np.isnan(blob.columns["km"][1:]).all()
    assert blob.columns["tlat"][:2].tolist() == pytest.approx([10.0, -33.9]) and np.isnan(blob.columns["tlat"][2])
    assert blob.header["rewards"] == ["accuracy", "format", "odd"]
    np.testing.assert_array_equal(blob.columns["reward:1"], [1.0, 1.0, 1.0])
    np.testing.assert_array_equal(blob.columns["reward:2"], [np.nan] * 3)  # infinity is no reward
    labels = blob.strings("label")
    assert [labels[k] for k in blob.columns["place"]] == ["Chad", "Sydney", ""]
    assert [labels[k] for k in blob.columns["guessed"]] == ["Sudan", "", ""]
    assert [labels[k] for k in blob.columns["error"]] == ["broken pipe", "", ""]


def test_each_string_once_and_the_same_bytes_again(geolocation):
    rows = [geolocation(item_id=f"p{i % 3}", raw="same") for i in range(9)]
    blob = payload(rows)
    assert blob.strings("item") == ["p0", "p1", "p2"] and blob.strings("text") == ["", TEXT_LEFT_OUT, "same"]
    names = ("model", "text", "item", "rank", "picset", "km", "reward:0")
    assert {len(blob.columns[name]) for name in names} == {9}
    assert sorted(blob.columns["rank"].tolist()) == list(range(9))
    assert len({build_payload(to_samples(rows), title="t").blob for _ in range(3)}) == 1


def test_nothing_at_all():
    blob = payload([])
    assert blob.n == 0 and blob.columns["rank"].size == 0 and blob.columns["fact.start"].tolist() == [0]


def test_texts_within_their_budget_the_worst_first(geolocation):
    near, far = geolocation(guess=(10.0, 20.5), raw="near " * 5), geolocation(guess=(-60.0, 0.0), raw="far " * 5)
    blob = payload([near, far, near], limits=Limits(all_text_characters=30))
    texts = blob.strings("text")
    assert [texts[k] for k in blob.columns["text"]] == [TEXT_LEFT_OUT, "far " * 5, TEXT_LEFT_OUT]
    assert blob.header["texts_left_out"] == 2
    assert payload([near], limits=Limits(text_characters=4)).strings("text")[2] == "near … [21 more characters]"


def test_slices_in_a_readable_order(geolocation):
    rows = [geolocation(item_id=name) for name in "abcd"]
    slices = {"distance": {"a": "1000–2000 m", "b": "250–500 m", "c": "far"}, "weather": {"z": "sun"}}
    blob = payload(rows, slices=slices)
    assert blob.header["slices"][0] == {"name": "distance", "column": "slice:0", "table": "slice:0"}
    assert blob.words("slice:0") == ["1000–2000 m", "250–500 m", "far", "unknown"]
    assert blob.header["tables"]["slice:0"] == ["unknown", "250–500 m", "1000–2000 m", "far"]
    assert blob.words("slice:1") == ["unknown"] * 4
    with pytest.raises(ValueError, match="slices: expected at most 32, got 33"):
        payload(rows, slices={str(k): {} for k in range(33)})


def test_numbers_and_tables_of_any_size_are_cut_not_raised(geolocation, pairing, caplog):
    huge = {"rotation": 10**30, "sample": -5, "completion_tokens": 10**30, "facts_stated": 10**6, "facts_true": -1}
    blob = payload([geolocation(**huge)])
    names = ("rotation", "sample", "tokens", "facts_stated", "facts_true")
    assert [blob.columns[name][0] for name in names] == [255, 0, 2**31 - 1, 65535, 0]
    rows = [pairing(f"letter {k}", "B", rewards={f"term {k}": 1.0}) for k in range(300)]
    blob = payload(rows)
    assert len(blob.header["tables"]["letter"]) == 255 and blob.words("choice", "letter").count(OTHER) == 47
    assert len(blob.header["rewards"]) == MAX_REWARDS
    assert "letters: more than 254 different values" in caplog.text and "236 reward terms beyond" in caplog.text


def test_a_table_keeps_order_and_folds_what_looks_the_same():
    table = Table("words", ["unknown"])
    assert table.column(["b", "a", "b", " b\n", "unknown"]).tolist() == [1, 2, 1, 1, 0]
    assert table.values == ["unknown", "b", "a"]


def test_negative_limits():
    with pytest.raises(ValueError, match="max_all_text_characters=-1: expected 0 or more"):
        Limits(all_text_characters=-1)
