"""The authors' question file in both directions, and lines that do not fit."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from PIL import Image

from geor1.synthesis.authors_jsonl import (
    AuthorsJsonlSource,
    pairs_of_questions,
    read_authors_jsonl,
    write_authors_jsonl,
)
from geor1.synthesis.images import ImageError
from geor1.synthesis.negative_rule import NegativeRule
from geor1.synthesis.negatives import Neighbourhoods
from geor1.synthesis.questions import build_questions
from geor1.synthesis.sources import SourceError

from .hand_made import HandMadeSource

LINE = {
    "id": 7,
    "image": ["pano.jpg", "a.jpg", "b.jpg", "c.jpg"],
    "conversations": [
        {"from": "human", "value": "<image><image><image><image>Which one?"},
        {"from": "gpt", "value": "<answer> B </answer>"},
    ],
}


def write_lines(path: Path, *lines: object) -> Path:
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


@pytest.fixture
def questions(tmp_path: Path) -> list:
    pairs = list(HandMadeSource().pairs(tmp_path))
    return build_questions(Neighbourhoods(pairs, NegativeRule()), split="train")[0]


def test_round_trip_is_lossless(tmp_path: Path, questions: list) -> None:
    path = write_authors_jsonl(tmp_path / "authors.jsonl", questions)
    assert [question for _, question in read_authors_jsonl(path)] == questions


def test_written_line_is_what_the_released_loader_reads(tmp_path: Path, questions: list) -> None:
    path = write_authors_jsonl(tmp_path / "authors.jsonl", questions, keep_records=False)
    item = json.loads(path.read_text().splitlines()[0])
    assert set(item) == {"id", "image", "conversations", "accu_reward_method"}
    assert item["image"][0] == questions[0].ground_image and len(item["image"]) == 6
    assert [turn["from"] for turn in item["conversations"]] == ["human", "gpt"]
    assert item["conversations"][0]["value"].count("<image>") == 6
    assert item["conversations"][1]["value"] == questions[0].answer and item["accu_reward_method"] == "mcq"


def test_bare_round_trip_keeps_what_the_format_holds(tmp_path: Path, questions: list) -> None:
    path = write_authors_jsonl(tmp_path / "authors.jsonl", questions, keep_records=False)
    for before, (_, after) in zip(questions, read_authors_jsonl(path, split="train"), strict=True):
        assert (after.ground_image, after.answer, after.split) == (before.ground_image, before.answer, "train")
        assert [c.satellite_image for c in after.candidates] == [c.satellite_image for c in before.candidates]
        assert after.latitude_deg is None and after.facts == {}


def test_hand_written_line(tmp_path: Path) -> None:
    ((where, question),) = read_authors_jsonl(write_lines(tmp_path / "rl.jsonl", LINE))
    assert where == "rl.jsonl line 1"
    assert question.ground_image == "pano.jpg" and question.answer == "B"
    assert [(c.letter, c.satellite_image, c.distance_m) for c in question.candidates] == [
        ("A", "a.jpg", None),
        ("B", "b.jpg", 0.0),
        ("C", "c.jpg", None),
    ]
    assert question.candidates[1].pair_id == question.pair_id
    (pair,) = pairs_of_questions([question])
    assert (pair.ground_image, pair.satellite_image) == ("pano.jpg", "b.jpg")


def test_source_copies_each_image_once(tmp_path: Path, questions: list) -> None:
    path = write_authors_jsonl(tmp_path / "authors.jsonl", questions)
    out = tmp_path / "out"
    copied = AuthorsJsonlSource(path=path, tile_px=56, panorama_px=(112, 28)).questions(out)
    assert [question.answer for question in copied] == [question.answer for question in questions]
    assert len(list(out.rglob("*.jpg"))) == 16
    assert Image.open(out / copied[0].ground_image).size == (112, 28)
    assert len(list(AuthorsJsonlSource(path=path).pairs(out))) == 8


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": "composite.jpg"}, r"line 2: image: expected a list .*composite"),
        ({"image": ["pano.jpg", "a.jpg"]}, r"line 2: image: expected a panorama and 2 to 26 tiles, got 2 paths"),
        ({"image": ["pano.jpg", 3, "b.jpg"]}, r"line 2: image: expected a list of paths"),
        ({"conversations": []}, r"line 2: conversations: expected a turn"),
        (
            {"conversations": [{"from": "gpt", "value": "3"}]},
            r"line 2: gpt answer: expected one of A, B, C, got '3'.*digits",
        ),
        ({"conversations": [{"from": "gpt", "value": "D"}]}, r"line 2: gpt answer: expected one of A, B, C, got 'D'"),
    ],
)
def test_lines_that_do_not_fit(tmp_path: Path, change: dict, message: str) -> None:
    path = write_lines(tmp_path / "rl.jsonl", LINE, {**LINE, **change})
    with pytest.raises(SourceError, match=message):
        list(read_authors_jsonl(path))


def test_cut_line_and_missing_file(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "rl.jsonl", LINE, json.dumps(LINE)[:80])
    with pytest.raises(SourceError, match=r"rl.jsonl line 2: not JSON .*was the file cut"):
        list(read_authors_jsonl(path))
    with pytest.raises(SourceError, match=r"line 1: expected an object .* got list"):
        list(read_authors_jsonl(write_lines(tmp_path / "rl.jsonl", "[1]")))
    with pytest.raises(SourceError, match="no such file"):
        list(read_authors_jsonl(tmp_path / "nowhere.jsonl"))


def test_kept_record_that_does_not_fit_its_line(tmp_path: Path, questions: list) -> None:
    path = write_authors_jsonl(tmp_path / "authors.jsonl", questions[:1])
    item = json.loads(path.read_text())
    item["image"][1], item["image"][2] = item["image"][2], item["image"][1]
    with pytest.raises(SourceError, match="line 1: geor1: the record kept here does not fit"):
        list(read_authors_jsonl(write_lines(path, item)))


def test_missing_image_and_path_that_leaves_the_folder(tmp_path: Path, questions: list) -> None:
    gone = dataclasses.replace(questions[0], ground_image="images/gone.jpg")
    path = write_authors_jsonl(tmp_path / "authors.jsonl", [gone], keep_records=False)
    with pytest.raises(ImageError, match=r"gone.jpg: image file is missing"):
        AuthorsJsonlSource(path=path).questions(tmp_path / "out")
    outside = dataclasses.replace(questions[0], ground_image="../../secret.jpg")
    path = write_authors_jsonl(tmp_path / "authors.jsonl", [outside], keep_records=False)
    with pytest.raises(SourceError, match=r"line 1: image '../../secret.jpg' lies outside"):
        AuthorsJsonlSource(path=path).questions(tmp_path / "out")
