"""Other models' outputs: replies of every broken kind made by hand, then the real files and their published figures."""

from __future__ import annotations

import csv
import json
import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geor1.evaluation.defects import truth_defects
from geor1.evaluation.geolocation import distances_km, score_geolocation
from geor1.evaluation.imageo import imageo_official, imageo_strict
from geor1.evaluation.importers import read_geoguess, read_imageo, read_position
from geor1.evaluation.json_replies import find_object
from geor1.evaluation.statistics import mcnemar_exact
from geor1.records import RecordError

LABELS = "image_id,latitude,longitude,street,city,state,country\n"
MODELS = ["gpt-4.1", "gemini-2.5-pro", "claude-3-5-haiku-20241022", "Llama-3.2-90B-Vision-Instruct-Turbo"]


def reply(
    city: object = "Reno",
    state: object = "Nevada",
    country: object = "USA",
    lat: object = "39.5",
    lon: object = "-119.8",
):
    return {
        "reasoning": {"landmark_recognition": 'a {brace} in a "string"'},
        "reverse_geocoding": {
            "address": {"city": city, "state": state, "country": country},
            "coordinates": {"latitude": lat, "longitude": lon},
        },
    }


def write_imageo(folder: Path, raws: dict[str, str | None], labels: str | None = None) -> tuple[Path, Path]:
    rows = [
        {
            "image_file": f"{name}.jpg",
            "model_used": "lab/model-x",
            "raw_response": raw,
            "error": None if raw else "Error 500",
        }
        for name, raw in raws.items()
    ]
    (folder / "out.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    lines = labels or "".join(f"{name},39.5,-119.8,s,Reno,NV,USA\n" for name in raws)
    (folder / "labels.csv").write_text(LABELS + lines, encoding="utf-8")
    return folder / "out.jsonl", folder / "labels.csv"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"lat": 1.5}', {"lat": 1.5}),
        ('Here:\n```json\n{"lat": 1.5}\n```\nDone.', {"lat": 1.5}),
        ('```\n{"lat": null}\n```', {"lat": None}),
        ('I see {a sign}. {"lat": 2} is my guess', {"lat": 2}),
        ('{"lat": None, "sure": True,}', {"lat": None, "sure": True}),
        ('{"lat": 1, "list": [1, 2,], }', {"lat": 1, "list": [1, 2]}),
        ('{"note": "None, True,}", "lat": 1,}', {"note": "None, True,}", "lat": 1}),
        ('{"note": "two\nlines", "lat": 1}', {"note": "two\nlines", "lat": 1}),
        ('{"lat": 1, "b": {"c": 2', {"lat": 1, "b": {}}),
        ('{"lat": 1, "b": {"c": 2}', {"lat": 1, "b": {"c": 2}}),
        ('```json\n{"lat": 48.85, "long": 2', {"lat": 48.85}),
        ('{"lat": 1, "city": "Par', {"lat": 1}),
        ('{"outer": {"lat": 3}}', {"lat": 3}),
        ('{"lat', None),
        ("no json at all", None),
        ("", None),
        (None, None),
        ("{" * 5000, None),
        ("[1, 2]", None),
    ],
)
def test_find_object(text: str | None, expected: dict | None) -> None:
    assert find_object(text, "lat") == expected


@given(
    st.dictionaries(
        st.text(max_size=5),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=8),
            lambda x: st.lists(x, max_size=3),
            max_leaves=5,
        ),
        max_size=4,
    ),
    st.data(),
)
def test_any_object_is_found_whole_and_a_cut_one_invents_nothing(members: dict, data: st.DataObject) -> None:
    members = {**members, "lat": 48.85}
    text = json.dumps(members)
    assert find_object(f"Well: {text} there", "lat") == members
    cut = find_object(text[: data.draw(st.integers(0, len(text)))], "lat")
    if cut is not None:
        assert cut["lat"] == 48.85
        assert set(cut) <= set(members)


@pytest.mark.parametrize(
    ("pair", "expected"),
    [
        (("39.5", "-119.8"), (39.5, -119.8, "ok")),
        ((39.5, -119), (39.5, -119.0, "ok")),
        (("39.5° S", "119.8W"), (-39.5, -119.8, "ok")),
        (("0.0", "0"), (None, None, "no_coordinates")),
        (("0.0", "9.5"), (0.0, 9.5, "ok")),
        (("90", "180"), (90.0, 180.0, "ok")),
        (("250", "3"), (None, None, "out_of_range")),
        (("121.47", "31.23"), (None, None, "swapped")),
        ((-119.8, 39.5), (None, None, "swapped")),
        (("119.8° W", "39.5° N"), (None, None, "no_coordinates")),
        (("91", "181"), (None, None, "out_of_range")),
        (("-90.5", "180.0"), (None, None, "out_of_range")),
        (("48°51'24\" N", "2°21'3\" E"), (48 + 51 / 60 + 24 / 3600, 2 + 21 / 60 + 3 / 3600, "ok")),
        (("−33.9", "151.2° E"), (-33.9, 151.2, "ok")),
        (("-33.9 S", "S 70.5"), (None, None, "no_coordinates")),
        (("-33.9 S", "W 70.5"), (-33.9, -70.5, "ok")),
        (("N/A", "N/A"), (None, None, "no_coordinates")),
        (("", ""), (None, None, "no_coordinates")),
        ((0.0, -0.0), (None, None, "no_coordinates")),
        (("1e-7", 3.0), (None, None, "no_coordinates")),
        ((1e-7, 3.0), (1e-7, 3.0, "ok")),
        (("48.85 </answer> 1, 2", "3"), (None, None, "no_coordinates")),
        (("48.85, 2.35", "2.35"), (None, None, "no_coordinates")),
        (("latitude: 4", "5"), (None, None, "no_coordinates")),
        (("No GPS data available", "1"), (None, None, "no_coordinates")),
        ((None, "1"), (None, None, "no_coordinates")),
        (("39.5 E", "1"), (None, None, "no_coordinates")),
        ((True, 1.0), (None, None, "no_coordinates")),
        ((math.nan, 1.0), (None, None, "no_coordinates")),
        (([], {}), (None, None, "no_coordinates")),
    ],
)
def test_read_position(pair: tuple, expected: tuple) -> None:
    assert read_position(*pair) == expected


def test_every_labelled_photo_gives_one_row(tmp_path: Path) -> None:
    raws = {
        "good": json.dumps(reply()),
        "fenced": f"```json\n{json.dumps(reply())}\n```",
        "failed": None,
        "prose": "**Location**: Reno, at 39.5, -119.8",
        "cut": json.dumps(reply())[:-20],
        "odd": json.dumps(reply(city=3, country=None, lat="unknown")),
        "unlabelled": json.dumps(reply()),
    }
    labels = "".join(f"{name},39.5,-119.8,s,Reno,NV,USA\n" for name in [*raws, "absent"] if name != "unlabelled")
    predictions = read_imageo(*write_imageo(tmp_path, raws, labels))
    assert {p.item_id: p.status for p in predictions} == {
        "good": "ok",
        "fenced": "ok",
        "failed": "api_error",
        "prose": "no_answer",
        "cut": "no_coordinates",
        "odd": "no_coordinates",
        "absent": "missing",
    }
    first = predictions[0]
    assert (first.model, first.city, first.country, first.latitude_deg) == ("model-x", "Reno", "USA", 39.5)
    assert (first.true_city, first.true_state, first.true_country) == ("Reno", "NV", "USA")
    assert next(p for p in predictions if p.item_id == "odd").city is None


def test_failures_are_counted_by_reason(tmp_path: Path) -> None:
    positions = {
        "plain": ("39.5", "-119.8", "ok"),
        "degrees": ("39.5° N", "119.8° W", "ok"),
        "not_available": ("N/A", "N/A", "no_coordinates"),
        "zeros": (0.0, 0.0, "no_coordinates"),
        "one_zero": (0.0, -119.8, "ok"),
        "beyond": ("95.0", "200.0", "out_of_range"),
        "exchanged": ("-119.8", "39.5", "swapped"),
    }
    raws = {name: json.dumps(reply(lat=lat, lon=lon)) for name, (lat, lon, _) in positions.items()}
    predictions = read_imageo(*write_imageo(tmp_path, raws))
    assert {p.item_id: p.status for p in predictions} == {name: status for name, (_, _, status) in positions.items()}
    score = score_geolocation(predictions, resamples=10)
    assert (score.n, score.n_scored, score.n_missed) == (7, 7, 4)
    assert score.failures == {"no_coordinates": 2, "out_of_range": 1, "swapped": 1}
    assert score.accuracy_at_km[25.0].estimate == pytest.approx(2 / 7)  # an exchanged position is no hit


def test_defective_labels_are_named_and_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    labels = (
        "boston,28.64789,180.0,s,Boston,MA,USA\nbham,33.5,-86.8,s,AL 35203,,USA\n"
        "zip,33.5,-86.8,s,AL 35203-1234,,USA\ngood,39.5,-119.8,s,Reno,NV,USA\nnull,0.0,0.0,s,,,\n"
    )
    raws = {name: json.dumps(reply()) for name in ("boston", "bham", "zip", "good", "null")}
    predictions = read_imageo(*write_imageo(tmp_path, raws, labels))
    assert [(d.item_id, d.kind, d.found) for d in truth_defects(predictions)] == [
        ("boston", "placeholder_position", "(28.64789, 180.0)"),
        ("bham", "postcode_as_city", "'AL 35203'"),
        ("zip", "postcode_as_city", "'AL 35203-1234'"),
        ("null", "placeholder_position", "(0.0, 0.0)"),
    ]
    assert len(predictions) == 5
    assert "4 labels are defective" in caplog.text


def test_a_retried_photo_counts_once(tmp_path: Path) -> None:
    results, labels = write_imageo(tmp_path, {"a": json.dumps(reply())})
    row = {"image_file": "a.jpg", "model_used": "m", "raw_response": None, "error": "Error 500"}
    lines = [json.dumps(row), results.read_text(encoding="utf-8").strip(), json.dumps(row)]
    results.write_text("\n".join(lines), encoding="utf-8")
    assert [p.status for p in read_imageo(results, labels)] == ["ok"]


def test_malformed_inputs_name_the_line(tmp_path: Path) -> None:
    results, labels = write_imageo(tmp_path, {"a": json.dumps(reply())})
    results.write_text(results.read_text(encoding="utf-8") + "{half", encoding="utf-8")
    with pytest.raises(RecordError, match=r"out\.jsonl line 2: not JSON"):
        read_imageo(results, labels)
    labels.write_text(LABELS + "a,139.5,19.8,s,Reno,NV,USA\n", encoding="utf-8")
    with pytest.raises(RecordError, match=r"labels\.csv row 1.*swapped"):
        read_imageo(results, labels)
    labels.write_text("image_id,latitude\na,1\n", encoding="utf-8")
    with pytest.raises(RecordError, match="column 'longitude' is missing"):
        read_imageo(results, labels)
    with pytest.raises(RecordError, match="column 'image_name' is missing"):
        read_geoguess(labels)


def test_official_traps_by_hand(tmp_path: Path) -> None:
    raws = {
        "a": json.dumps(reply(city="reno ", state="nevada", country="United States", lat="0.0")),  # 0.0 is missing
        "b": json.dumps(reply(city="RENO", state="NV", country="usa", lat="40.5")),
        "c": json.dumps(reply(city=None, state=None, country=None, lat="250")),  # dropped, but 250 passes
        "d": None,
        "e": json.dumps(reply(city="", state="", country="")),
    }
    results, labels = write_imageo(tmp_path, raws)
    official = imageo_official(results, labels)
    assert official["city_accuracy"] == pytest.approx(1 / 3)
    assert official["state_accuracy"] == 1.0
    assert official["country_accuracy"] == pytest.approx(1 / 3)
    assert official["median_distance_km"] == pytest.approx(6371 * math.radians(1.0))
    strict = imageo_strict(read_imageo(results, labels))
    assert (strict["images"], strict["with_coordinates"]) == (5, 3)
    assert strict["city_accuracy_all"] == pytest.approx(2 / 5)
    assert strict["country_accuracy_all_us_aliases"] == pytest.approx(2 / 5)


@pytest.mark.parametrize("model", MODELS)
def test_real_imageo_figures(model: str, real_files: Callable[[str], Path]) -> None:
    expected = json.loads(real_files("expected.json").read_text(encoding="utf-8"))
    results, labels = real_files(f"imageo/pcw_{model}.jsonl"), real_files("imageo/pcw_labels.csv")
    official = imageo_official(results, labels)
    for name, value in expected["imageo_pcw_official"][model].items():
        assert official[name] == pytest.approx(value, abs=1e-9, rel=0), name
    predictions = read_imageo(results, labels)
    assert {p.model for p in predictions} == {model}
    strict = imageo_strict(predictions)
    for name, value in expected["imageo_pcw_strict"][model].items():
        if name == "accuracy_at_km":
            assert {radius: round(share, 4) for radius, share in strict[name].items()} == value
        else:
            assert round(strict[name], 4) == value, name


def test_real_imageo_failures_and_pairing(real_files: Callable[[str], Path]) -> None:
    labels = real_files("imageo/pcw_labels.csv")
    tables = {model: read_imageo(real_files(f"imageo/pcw_{model}.jsonl"), labels) for model in MODELS}
    assert {model: truth_defects(table) for model, table in tables.items()} == {model: [] for model in MODELS}
    failed = {model: {p.item_id for p in table if p.status == "api_error"} for model, table in tables.items()}
    assert failed["gemini-2.5-pro"] == set()
    assert len(failed["gpt-4.1"]) == 14
    assert failed["gpt-4.1"] == failed["claude-3-5-haiku-20241022"] == failed["Llama-3.2-90B-Vision-Instruct-Turbo"]

    def right(model: str) -> list[bool]:
        return [(p.city or "").lower() == p.true_city.lower() for p in tables[model] if p.true_city]

    result = mcnemar_exact(right("gpt-4.1"), right("gemini-2.5-pro"))
    assert result.n == 259
    assert result.second_only - result.first_only == 152 - 147


@pytest.mark.parametrize(("name", "missed"), [("gpt-4o", 24), ("gemini-1.5-pro", 10)])
def test_real_geoguess_distances(name: str, missed: int, real_files: Callable[[str], Path]) -> None:
    path = real_files(f"geoguess/{name}-full-bench.csv")
    predictions = read_geoguess(path)
    assert len(predictions) == 1602
    assert len({p.true_country for p in predictions}) == 88
    assert Counter(p.status for p in predictions) == {"ok": 1602 - missed, "no_coordinates": missed}
    with path.open(encoding="utf-8", newline="") as file:
        stored = [float(row["distance"] or "inf") for row in csv.DictReader(file)]
    for ours, theirs in zip(distances_km(predictions), stored, strict=True):
        assert ours == pytest.approx(theirs, abs=6e-6)
    score = score_geolocation(predictions, resamples=200)
    assert (score.model, score.n, score.n_missed) == (name, 1602, missed)
    assert 0 < score.median_km.low <= score.median_km.estimate <= score.median_km.high < 2500
