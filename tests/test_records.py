"""Records that cross stage borders: round trips, and malformed lines named by file, line and field."""

import dataclasses
import errno
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geor1 import records
from geor1.records import (
    Candidate,
    Pair,
    Prediction,
    Question,
    RecordError,
    Scaffold,
    check_coordinates,
    from_dict,
    iterate_jsonl,
    read_jsonl,
    to_json,
    write_jsonl,
)

PAIR = Pair(
    pair_id="p1",
    source="world",
    split="train",
    ground_image="images/p1_ground.png",
    satellite_image="images/p1_satellite.png",
    latitude_deg=31.2,
    longitude_deg=121.47,
    city="上海",
    country="China",
    country_code="CN",
    facts={"north": "water"},
)
QUESTION = Question(
    question_id="q1",
    pair_id="p1",
    source="world",
    split="test",
    ground_image="g.png",
    candidates=(
        Candidate(letter="A", pair_id="p1", satellite_image="a.png", distance_m=0.0, facts={"north": "water"}),
        Candidate(letter="B", pair_id="p2", satellite_image="b.png", distance_m=812.5),
        Candidate(letter="C", pair_id="p3", satellite_image="c.png"),
    ),
    answer="A",
)
SCAFFOLD = Scaffold(
    scaffold_id="s1",
    kind="pairing",
    split="train",
    images=("g.png", "a.png"),
    prompt="<image> A: <image>",
    completion="<think> so tile A </think> <answer> A </answer>",
    n_facts=3,
    pairing_labels_seen=0,
)
PREDICTION = Prediction(
    model="grpo",
    task="pairing",
    item_id="q1",
    raw='<think> "quoted"\nnew line\u2028 </think> <answer> A </answer>',
    status="ok",
    choice="A",
    answer="A",
    images=("g.png",),
    completion_tokens=12,
    rewards={"accuracy": 1.0, "length": 0.9},
)
RECORDS = [PAIR, QUESTION, SCAFFOLD, PREDICTION]


def changed(record: Any, **changes: Any) -> dict[str, Any]:
    """The record as parsed JSON with some fields replaced; ``...`` removes a field."""
    data = {**json.loads(to_json(record)), **changes}
    return {name: value for name, value in data.items() if value is not ...}


def written(folder: Path, *lines: str) -> Path:
    path = folder / "questions.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


# Round trips


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_round_trip(record: Any, tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "records.jsonl", [record, record])
    assert read_jsonl(path, type(record)) == [record, record]
    assert len(path.read_bytes().splitlines()) == 2  # a record is a line, whatever text it holds


def test_no_records_make_an_empty_file(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "none.jsonl", [])
    assert path.read_bytes() == b"" and read_jsonl(path, Pair) == []


def test_blank_lines_are_passed_over(tmp_path: Path) -> None:
    assert read_jsonl(written(tmp_path, "", to_json(PAIR), "   ", ""), Pair) == [PAIR]


def test_text_is_written_as_utf8(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "pairs.jsonl", [PAIR])
    assert "上海" in path.read_text(encoding="utf-8")


def test_reading_is_lazy(tmp_path: Path) -> None:
    lines = iterate_jsonl(written(tmp_path, to_json(PAIR), "{broken"), Pair)
    assert next(lines) == PAIR
    with pytest.raises(RecordError):
        next(lines)


@given(
    st.text(),
    st.dictionaries(st.text(), st.text()),
    st.floats(-90, 90),
    st.floats(-180, 180),
    st.sampled_from(["train", "test"]),
)
def test_any_pair_survives_json(
    name: str, facts: dict[str, str], latitude: float, longitude: float, split: str
) -> None:
    pair = dataclasses.replace(
        PAIR, city=name, facts=facts, latitude_deg=latitude, longitude_deg=longitude, split=split
    )
    line = to_json(pair)
    assert "\n" not in line
    assert from_dict(json.loads(line), Pair) == pair


def test_integers_are_fine_where_floats_are_meant() -> None:
    pair = from_dict(changed(PAIR, latitude_deg=31, longitude_deg=121), Pair)
    assert isinstance(pair.latitude_deg, float) and pair.latitude_deg == 31.0


def test_defaults_fill_what_may_be_absent() -> None:
    bare = from_dict(changed(PAIR, latitude_deg=..., longitude_deg=..., city=None, facts=...), Pair)
    assert bare.latitude_deg is None and bare.city is None and bare.facts == {}


def test_facts_are_not_shared_between_records() -> None:
    first, second = (Candidate(letter="A", pair_id="p", satellite_image="a.png") for _ in range(2))
    assert first.facts is not second.facts


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_records_are_frozen(record: Any) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        record.split = "test"


# Malformed lines


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (to_json(QUESTION)[:40], r"questions\.jsonl line 2: not JSON \(.* at column \d+\); was the file cut\?"),
        ("not json", r"line 2: not JSON"),
        ("[]", r"line 2: expected an object with the fields of Question, got list"),
        ("null", r"line 2: expected an object .*, got NoneType"),
        ('"text"', r"line 2: expected an object .*, got str"),
        ("7", r"line 2: expected an object .*, got int"),
    ],
)
def test_a_line_that_is_no_record_is_named(line: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=message):
        read_jsonl(written(tmp_path, to_json(QUESTION), line), Question)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"anwser": "A"}, r"line 3: unknown field 'anwser'; Question has \[.*'answer'"),
        ({"answer": ...}, r"line 3: field 'answer' is missing; Question needs it"),
        ({"candidates": ...}, r"line 3: field 'candidates' is missing"),
        ({"answer": 3}, r"line 3: answer: expected str, got int 3"),
        ({"answer": None}, r"line 3: answer: expected str, got NoneType None"),
        ({"answer": "Z"}, r"line 3: answer: expected one of \['A', 'B', 'C'\], got 'Z'"),
        ({"split": "validation"}, r"line 3: split: expected 'train' or 'test', got 'validation'"),
        ({"candidates": {}}, r"line 3: candidates: expected tuple.*, got dict"),
        ({"candidates": [{"letter": "A"}]}, r"line 3: field 'pair_id' is missing; Candidate needs it"),
        ({"candidates": ["A"]}, r"line 3: expected an object with the fields of Candidate, got str"),
        ({"candidates": []}, r"line 3: answer: expected one of \[\], got 'A'"),
        ({"latitude_deg": "31.2", "longitude_deg": 1.0}, r"line 3: latitude_deg: expected float, got str '31\.2'"),
        ({"latitude_deg": True, "longitude_deg": 1.0}, r"line 3: latitude_deg: expected float, got bool True"),
        ({"facts": {"north": 1}}, r"line 3: facts\.north: expected str, got int 1"),
        ({"facts": ["north"]}, r"line 3: facts: expected dict.*, got list"),
    ],
)
def test_a_field_that_does_not_fit_is_named(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    lines = [to_json(QUESTION), to_json(QUESTION), json.dumps(changed(QUESTION, **changes))]
    with pytest.raises(RecordError, match=message):
        read_jsonl(written(tmp_path, *lines), Question)


def test_the_wrong_kind_of_file_is_named(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "pairs.jsonl", [PAIR])
    with pytest.raises(RecordError, match=r"pairs\.jsonl line 1: unknown field .*Question has"):
        read_jsonl(path, Question)


def test_integers_are_not_truth_values() -> None:
    with pytest.raises(RecordError, match=r"n_facts: expected int, got bool True"):
        from_dict(changed(SCAFFOLD, n_facts=True), Scaffold)
    with pytest.raises(RecordError, match=r"n_facts: expected int, got float 1\.5"):
        from_dict(changed(SCAFFOLD, n_facts=1.5), Scaffold)
    with pytest.raises(RecordError, match=r"finished: expected bool, got int 1"):
        from_dict(changed(PREDICTION, finished=1), Prediction)


def test_list_items_are_checked() -> None:
    with pytest.raises(RecordError, match=r"images\[1\]: expected str, got int 2"):
        from_dict(changed(SCAFFOLD, images=["g.png", 2]), Scaffold)


def test_scaffold_has_an_image_for_each_marker() -> None:
    with pytest.raises(RecordError, match=r"expected 1 <image> markers .*, got 2"):
        dataclasses.replace(SCAFFOLD, images=("g.png",))


@pytest.mark.parametrize("letters", ["BA", "AC", "AA", "ab", ["A", "b"], ["Tile A"]])
def test_candidates_stand_in_letter_order(letters: str) -> None:
    candidates = tuple(Candidate(letter=letter, pair_id="p", satellite_image="s.png") for letter in letters)
    with pytest.raises(RecordError, match="candidates: expected letters"):
        dataclasses.replace(QUESTION, candidates=candidates, answer=candidates[0].letter)


# Coordinates


@pytest.mark.parametrize(
    ("latitude", "longitude"), [(None, None), (0.0, 0.0), (90.0, 180.0), (-90.0, -180.0), (31.2, 121.47)]
)
def test_coordinates_in_range(latitude: float | None, longitude: float | None) -> None:
    check_coordinates(latitude_deg=latitude, longitude_deg=longitude)


@pytest.mark.parametrize(
    ("latitude", "longitude", "message"),
    [
        (121.47, 31.2, r"lat_deg=121\.47 is outside \[-90, 90\]; are latitude and longitude swapped\?"),
        (-90.001, 0.0, r"outside \[-90, 90\]"),
        (95.0, 200.0, r"lat_deg=95\.0 is outside \[-90, 90\]; give degrees north, WGS84"),
        (0.0, 180.5, r"lon_deg=180\.5 is outside \[-180, 180\]; give degrees east"),
        (float("nan"), 0.0, r"lat_deg=nan"),
        (0.0, float("nan"), r"lon_deg=nan"),
        (0.0, float("inf"), r"lon_deg=inf"),
        (1.0, None, r"lat_deg=1\.0, lon_deg=None: expected both or neither"),
        (None, 1.0, r"expected both or neither"),
    ],
)
def test_coordinates_out_of_range(latitude: float | None, longitude: float | None, message: str) -> None:
    with pytest.raises(RecordError, match=message):
        check_coordinates(latitude_deg=latitude, longitude_deg=longitude)


def test_swapped_coordinates_in_a_file_are_named_with_their_line(tmp_path: Path) -> None:
    lines = [to_json(PAIR)] * 41 + [json.dumps(changed(PAIR, latitude_deg=121.47, longitude_deg=31.2))]
    with pytest.raises(RecordError) as caught:
        read_jsonl(written(tmp_path, *lines), Pair)
    assert str(caught.value) == (
        "questions.jsonl line 42: lat_deg=121.47 is outside [-90, 90]; are latitude and longitude swapped?"
    )


def test_record_errors_are_value_errors() -> None:
    assert issubclass(RecordError, ValueError)


# Atomic writing


def failing_after(n: int) -> Any:
    for _ in range(n):
        yield PAIR
    raise RuntimeError("the source broke")


def test_a_broken_source_leaves_the_old_file_whole(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "pairs.jsonl", [PAIR])
    before = path.read_bytes()
    with pytest.raises(RuntimeError, match="the source broke"):
        write_jsonl(path, failing_after(3))
    assert path.read_bytes() == before


def test_a_broken_source_leaves_no_file_under_the_final_name(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        write_jsonl(tmp_path / "pairs.jsonl", failing_after(1))
    assert not (tmp_path / "pairs.jsonl").exists()
    assert len(read_jsonl(write_jsonl(tmp_path / "pairs.jsonl", [PAIR, PAIR]), Pair)) == 2  # and may be tried again


def test_a_full_disk_leaves_the_old_file_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_jsonl(tmp_path / "pairs.jsonl", [PAIR])

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(records.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_jsonl(path, [PAIR] * 100)
    assert read_jsonl(path, Pair) == [PAIR]


def test_values_that_json_cannot_hold_are_refused(tmp_path: Path) -> None:
    bad = dataclasses.replace(PREDICTION, rewards={"accuracy": float("nan")})
    with pytest.raises(ValueError, match="JSON compliant"):
        write_jsonl(tmp_path / "predictions.jsonl", [PREDICTION, bad])
    assert not (tmp_path / "predictions.jsonl").exists()


# Predictions


@pytest.mark.parametrize(
    ("changes", "correct"),
    [
        ({}, True),
        ({"choice": "B"}, False),
        ({"choice": None, "status": "hedged"}, False),
        ({"choice": "A", "status": "unfinished"}, False),
        ({"choice": None, "answer": None}, False),  # geolocation has no letters
    ],
)
def test_correct(changes: dict[str, Any], correct: bool) -> None:
    assert dataclasses.replace(PREDICTION, **changes).correct is correct
