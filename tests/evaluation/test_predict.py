"""Asking the questions: conditions, rotations, resuming, and images that are not there or not whole."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from evaluation_cases import FakeGenerate, FakeGeneration, same_colour
from PIL import Image

from geor1.asking.backends import InProcess
from geor1.asking.images import ImageFileError, load_image
from geor1.asking.journal import PredictionJournal
from geor1.evaluation.pairing import score_pairing
from geor1.evaluation.predict import Asking, other_panoramas, predict_geolocation, predict_pairing
from geor1.records import Prediction, Question, RecordError, read_jsonl


def ask(questions: Sequence[Question], tmp_path: Path, generate: FakeGenerate, **changes: Any) -> list[Prediction]:
    backend = InProcess(lambda: (None, None), changes.pop("batch_size", 5), generate=generate)
    how = {"label": "grpo", "max_new_tokens": 16, "weights": "w0"}
    how |= {name: changes.pop(name) for name in list(changes) if name in Asking.__dataclass_fields__}
    arguments = {"conditions": ("normal",), "rotations": 3, "output": tmp_path / "predictions.jsonl", **changes}
    return predict_pairing(backend, questions, tmp_path / "data", asking=Asking(**how), **arguments)


def test_a_perfect_model_is_right_under_every_rotation(questions: Sequence[Question], tmp_path: Path) -> None:
    generate = FakeGenerate(same_colour)
    predictions = ask(questions, tmp_path, generate)
    score = score_pairing(predictions)
    assert (score.n_items, score.rotations, score.accuracy.estimate, score.circular.estimate) == (4, 3, 1.0, 1.0)
    assert {p.answer for p in predictions if p.item_id == "q0"} == {"A", "B", "C"}
    assert (score.facts_stated, score.facts_true) == (12, 12)
    assert [len(prompts) for prompts, _ in generate.calls] == [5, 5, 2]
    assert read_jsonl(tmp_path / "predictions.jsonl", Prediction) == predictions


def test_image_paths_are_relative_to_the_predictions(questions: Sequence[Question], tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    output = tmp_path / "run" / "predictions.jsonl"
    first = ask(questions, tmp_path, FakeGenerate(same_colour), output=output, rotations=2)[1]
    assert first.rotation == 1
    assert first.images[0] == "../data/images/ground0.png"
    assert first.images[2] == "../data/images/p0.png"
    assert all((output.parent / name).is_file() for name in first.images)


def test_prompts_hold_no_file_name(questions: Sequence[Question], tmp_path: Path) -> None:
    generate = FakeGenerate(same_colour)
    ask(questions, tmp_path, generate)
    prompts = {prompt for batch, _ in generate.calls for prompt in batch}
    assert len(prompts) == 1
    assert "png" not in prompts.pop()


def test_blind_shows_grey_of_the_same_size(questions: Sequence[Question], tmp_path: Path) -> None:
    generate = FakeGenerate(same_colour)
    predictions = ask(questions, tmp_path, generate, conditions=("blind",))
    shown = generate.calls[0][1][0]
    assert [image.size for image in shown] == [(16, 8), (8, 8), (8, 8), (8, 8)]
    assert {image.getpixel((3, 3)) for image in shown} == {(128, 128, 128)}
    assert score_pairing(predictions).accuracy.estimate == pytest.approx(1 / 3)
    assert all(p.images == () and p.facts_stated == 0 for p in predictions)


def test_shuffled_shows_another_panorama_and_the_same_tiles(questions: Sequence[Question], tmp_path: Path) -> None:
    predictions = ask(questions, tmp_path, FakeGenerate(same_colour), conditions=("shuffled",))
    for prediction in predictions:
        own = prediction.item_id.replace("q", "ground")
        assert own not in prediction.images[0]
        assert any(prediction.item_id.replace("q", "p") + ".png" in name for name in prediction.images[1:])
    assert score_pairing(predictions).accuracy.estimate == pytest.approx(1 / 3)


def test_stand_ins_are_seeded_and_never_the_place_itself(questions: Sequence[Question]) -> None:
    first = other_panoramas(questions, seed=1)
    assert first == other_panoramas(questions, seed=1)
    assert all(stand_in.pair_id != f"p{item[1:]}" for item, stand_in in first.items())
    assert sorted(q.question_id for q in first.values()) == ["q0", "q1", "q2", "q3"]
    with pytest.raises(ValueError, match="at least 2 places"):
        other_panoramas(questions[:1], seed=0)


def test_a_killed_run_resumes_where_it_stopped(questions: Sequence[Question], tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        ask(questions, tmp_path, FakeGenerate(same_colour, die_after=2))
    assert len(read_jsonl(tmp_path / "predictions.jsonl", Prediction)) == 10
    again = FakeGenerate(same_colour)
    predictions = ask(questions, tmp_path, again)
    assert (again.n_prompts, len(predictions)) == (2, 12)
    idle = FakeGenerate(same_colour)
    assert ask(questions, tmp_path, idle) == predictions
    assert idle.calls == []


def test_a_half_written_last_line_is_dropped_and_made_again(
    questions: Sequence[Question], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = ask(questions, tmp_path, FakeGenerate(same_colour))
    path = tmp_path / "predictions.jsonl"
    path.write_bytes(path.read_bytes()[:-40])
    with caplog.at_level(logging.WARNING):
        assert ask(questions, tmp_path, again := FakeGenerate(same_colour)) == whole
    assert again.n_prompts == 1
    assert "half-written last line" in caplog.text


def test_a_malformed_line_in_the_middle_is_named(questions: Sequence[Question], tmp_path: Path) -> None:
    ask(questions, tmp_path, FakeGenerate(same_colour))
    path = tmp_path / "predictions.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join([lines[0], "{broken", *lines[1:]]) + "\n", encoding="utf-8")
    with pytest.raises(RecordError, match=r"predictions.jsonl line 2: not JSON"):
        ask(questions, tmp_path, FakeGenerate(same_colour))
    path.write_text(lines[0] + "\n" + lines[0] + "\n", encoding="utf-8")
    with pytest.raises(RecordError, match="occurs twice"):
        PredictionJournal(path)


def test_models_share_a_file_without_mixing(questions: Sequence[Question], tmp_path: Path) -> None:
    ask(questions, tmp_path, FakeGenerate(same_colour), label="sft")
    other = ask(questions, tmp_path, FakeGenerate(lambda *_: "I will not say"), label="base")
    assert {p.model for p in other} == {"base"}
    score = score_pairing(other)
    assert (score.accuracy.estimate, score.failures) == (0.0, {"no_answer": 12})
    assert len(read_jsonl(tmp_path / "predictions.jsonl", Prediction)) == 24


def test_a_completion_cut_at_the_limit_is_wrong_even_with_the_right_letter(
    questions: Sequence[Question], tmp_path: Path
) -> None:
    cut = FakeGenerate(lambda p, i: FakeGeneration(same_colour(p, i) + " and then", 16, finished=False))
    score = score_pairing(ask(questions, tmp_path, cut))
    assert (score.accuracy.estimate, score.failures, score.unfinished) == (0.0, {"unfinished": 12}, 1.0)


def test_missing_and_truncated_images_are_named_and_nothing_is_lost(
    questions: Sequence[Question], tmp_path: Path
) -> None:
    victim = tmp_path / "data" / "images" / "ground2.png"
    Image.effect_noise((64, 64), 50).save(victim)
    victim.write_bytes(victim.read_bytes()[:300])
    with pytest.raises(ImageFileError, match=r"ground2\.png \(300 bytes\) cannot be decoded"):
        ask(questions, tmp_path, FakeGenerate(same_colour), batch_size=3)
    assert len(read_jsonl(tmp_path / "predictions.jsonl", Prediction)) == 6
    victim.unlink()
    with pytest.raises(FileNotFoundError, match=r"ground2\.png is missing"):
        ask(questions, tmp_path, FakeGenerate(same_colour), batch_size=3)
    victim.write_text("<svg>", encoding="utf-8")
    with pytest.raises(ImageFileError, match="cannot be decoded"):
        load_image(victim)


def test_geolocation_reads_position_country_and_facts(questions: Sequence[Question], tmp_path: Path) -> None:
    reply = "<think> north water . country Mexico </think> <answer> 23 , -102 </answer>"
    output = tmp_path / "predictions.jsonl"
    backend = InProcess(lambda: (None, None), 3, generate=FakeGenerate(lambda *_: reply))
    asking = Asking(label="grpo", max_new_tokens=16)
    predictions = predict_geolocation(backend, questions, tmp_path / "data", asking=asking, output=output)
    first = predictions[1]
    assert (first.latitude_deg, first.longitude_deg, first.true_latitude_deg) == (23.0, -102.0, 10.0)
    assert (first.country, first.true_country, first.facts_stated, first.facts_true) == ("Mexico", "Mexico", 2, 2)
    assert first.images == ("data/images/ground1.png",)


def test_unknown_condition(questions: Sequence[Question], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected one of"):
        ask(questions, tmp_path, FakeGenerate(same_colour), conditions=("blnd",))


def test_exif_is_dropped_and_orientation_applied(tmp_path: Path) -> None:
    image = Image.new("RGB", (6, 4), (1, 2, 3))
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turn a quarter
    exif.get_ifd(0x8825)[1] = "N"
    image.save(tmp_path / "photo.jpg", exif=exif)
    loaded = load_image(tmp_path / "photo.jpg")
    assert loaded.size == (4, 6)
    assert loaded.info == {}
    assert not loaded.getexif()


def test_real_photos_lose_their_gps(real_files: Any) -> None:
    photos = sorted(real_files("exif").glob("*.jpg"))
    assert photos
    for photo in photos:
        with Image.open(photo) as opened:
            assert opened.getexif().get_ifd(0x8825), photo.name
        loaded = load_image(photo)
        assert loaded.info == {}
        assert not loaded.getexif()
