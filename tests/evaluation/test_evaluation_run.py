"""Stage 04 as a whole, with functions for models: side by side, resumed, with real pairs and imported outputs."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from evaluation_cases import FakeGenerate, same_colour, write_questions

from geor1.evaluation.config import EvaluationConfig
from geor1.evaluation.run import draw, read_labels_seen, run_evaluation
from geor1.evaluation.tables import import_rows, paired_rows
from geor1.records import Prediction, RecordError, read_jsonl, write_jsonl
from geor1.runs import ConfigError, MissingUpstreamError

REPLIES: dict[str, Callable[..., str]] = {
    "base": lambda *_: "nonsense",
    "sft": lambda *_: "<think> north ground sand . so tile A </think> <answer> A </answer>",
    "grpo": same_colour,
}
CONFIG = EvaluationConfig(
    n_questions=6, rotations=3, n_control=4, n_geolocation=2, bootstrap_resamples=200, batch_size=8
)


class FakeModels:
    """Loads a checkpoint as its own name, and answers for it; counts what was loaded and generated."""

    def __init__(self) -> None:
        self.loaded: list[str] = []
        self.n_prompts = 0

    def load(self, checkpoint: Path) -> tuple[str, None]:
        self.loaded.append(checkpoint.parent.name)
        return checkpoint.parent.name, None

    def generate(self, model: str, processor: None, prompts: list[str], images: list[Any], **options: Any) -> Any:
        self.n_prompts += len(prompts)
        return FakeGenerate(REPLIES[model])(model, processor, prompts, images, **options)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    write_jsonl(folder / "questions_test.jsonl", write_questions(folder, count=6))
    return folder


@pytest.fixture
def models(tmp_path: Path) -> dict[str, Path]:
    folders = {label: tmp_path / label / "checkpoint" for label in REPLIES}
    for folder in folders.values():
        folder.mkdir(parents=True)
    (tmp_path / "grpo" / "labels_seen.json").write_text(json.dumps({"pairing_labels_seen": 1920, "detail": {}}))
    return folders


def evaluate(data: Path, models: dict[str, Path], **changes: Any) -> tuple[dict[str, Any], FakeModels]:
    fakes = FakeModels()
    run_dir = run_evaluation(
        CONFIG, data, models, data.parent / "run", load=fakes.load, generate=fakes.generate, **changes
    )
    return json.loads((run_dir / "scores.json").read_text(encoding="utf-8")), fakes


def test_models_side_by_side(data: Path, models: dict[str, Path]) -> None:
    scores, fakes = evaluate(data, models)
    rows = {row["label"]: row for row in scores["table"]}
    assert list(rows) == ["base", "sft", "grpo"]
    assert [rows[label]["accuracy"] for label in rows] == pytest.approx([0.0, 1 / 3, 1.0])
    assert [rows[label]["circular"] for label in rows] == [0.0, 0.0, 1.0]
    assert rows["base"]["parse_failures"] == 18
    assert (rows["sft"]["facts_true"], rows["grpo"]["facts_true"]) == (0.0, 1.0)
    assert rows["grpo"]["shuffled"] < 1.0
    assert rows["grpo"]["blind"] == pytest.approx(1 / 3, abs=0.2)
    assert (rows["grpo"]["pairing_labels_seen"], rows["base"]["pairing_labels_seen"]) == (1920, None)
    assert fakes.loaded == ["base", "sft", "grpo"]
    assert scores["chance"] == {"3": pytest.approx(1 / 3)}
    conditions = [(row["label"], row["condition"], row["n"]) for row in scores["pairing"]]
    assert conditions[:3] == [("base", "normal", 6), ("base", "blind", 4), ("base", "shuffled", 4)]


def test_several_samples_have_rows_of_their_own_and_a_vote(data: Path, models: dict[str, Path]) -> None:
    config = dataclasses.replace(CONFIG, temperature=1.0, samples=3, n_control=0, n_geolocation=0)
    fakes = FakeModels()
    where = run_evaluation(config, data, models, data.parent / "run", load=fakes.load, generate=fakes.generate)
    scores = json.loads((where / "scores.json").read_text(encoding="utf-8"))
    assert fakes.n_prompts == 3 * 6 * 3 * 3  # models, questions, rotations, samples
    assert [(row["label"], row["sample"]) for row in scores["by_sample"]][:4] == [
        ("base", 0), ("base", 1), ("base", 2), ("sft", 0),
    ]  # fmt: skip
    votes = {row["label"]: row for row in scores["voting"]}
    assert [votes[label]["majority"] for label in REPLIES] == pytest.approx([0.0, 1 / 3, 1.0])
    assert (votes["sft"]["samples"], votes["sft"]["pass_at_2"]) == (3, pytest.approx(1 / 3))  # always the same letter
    again = FakeModels()
    run_evaluation(config, data, models, data.parent / "run", load=again.load, generate=again.generate)
    assert again.n_prompts == 0  # what was sampled is kept too


def test_paired_figures_by_hand(data: Path, models: dict[str, Path]) -> None:
    scores, _ = evaluate(data, models)
    rows = {row["label"]: row for row in scores["paired"]}
    assert list(rows) == ["base → sft", "sft → grpo", "base → grpo"]
    step = rows["sft → grpo"]
    assert step["difference"] == pytest.approx(2 / 3)
    assert (step["low"], step["high"]) == pytest.approx((2 / 3, 2 / 3))
    # Rotation 0: "A" is right on q0 and q3 of six, so four are won and none lost: p = 2 / 2^4.
    assert (step["first_only"], step["second_only"], step["p_value"]) == (0, 4, pytest.approx(0.125))
    assert step["p_holm"] == pytest.approx(0.25)  # second smallest of three: twice
    assert rows["base → grpo"]["p_holm"] == pytest.approx(3 * 2 / 2**6)


def test_geolocation_rows_keep_misses_and_null_infinities(data: Path, models: dict[str, Path]) -> None:
    scores, _ = evaluate(data, models)
    row = scores["geolocation"][0]
    assert (row["label"], row["n"], row["missed"], row["median_km"], row["geoscore"]) == ("base", 2, 2, None, 0.0)


def test_predictions_lie_beside_their_images(data: Path, models: dict[str, Path]) -> None:
    evaluate(data, models)
    run_dir = data.parent / "run"
    predictions = read_jsonl(run_dir / "predictions.jsonl", Prediction)
    assert len(predictions) == 3 * (6 * 3 + 2 * 4 + 2)
    assert all((run_dir / name).is_file() for p in predictions for name in p.images)


def test_a_finished_evaluation_loads_no_model(data: Path, models: dict[str, Path]) -> None:
    first, _ = evaluate(data, models)
    again, fakes = evaluate(data, models)
    assert again == first
    assert (fakes.loaded, fakes.n_prompts) == ([], 0)


def test_real_pairs_get_their_own_rows(data: Path, models: dict[str, Path], tmp_path: Path) -> None:
    pairs = tmp_path / "pairs"
    real = [
        {**json.loads(line), "question_id": f"real{i}", "latitude_deg": None, "longitude_deg": None, "facts": {}}
        for i, line in enumerate((data / "questions_test.jsonl").read_text(encoding="utf-8").splitlines())
    ]
    write_questions(pairs, count=6)
    (pairs / "questions_test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in real), encoding="utf-8")
    scores, _ = evaluate(data, models, pairs_dir=pairs)
    rows = {row["label"]: row for row in scores["real"]}
    assert (rows["grpo"]["n"], rows["grpo"]["rotations"], rows["grpo"]["accuracy"]) == (6, 3, 1.0)
    assert rows["grpo"]["facts_true"] is None
    assert scores["table"][0]["n"] == 6
    (data / "questions_real.jsonl").write_text((data / "questions_test.jsonl").read_text(encoding="utf-8"))
    with pytest.raises(RecordError, match="ids must differ"):
        evaluate(data, models)


def test_questions_on_the_same_tiles_are_resampled_together(data: Path, models: dict[str, Path]) -> None:
    asked = write_questions(data, count=3)
    twins = [dataclasses.replace(one, question_id=f"{one.question_id}b") for one in asked]
    write_jsonl(data / "questions_test.jsonl", [*asked, *twins])
    scores, _ = evaluate(data, models)
    normal = next(row for row in scores["pairing"] if (row["label"], row["condition"]) == ("grpo", "normal"))
    assert (normal["n"], normal["n_independent"]) == (6, 3)
    # Rotation 0: "A" is right on one question in three, so two sets are won, four items: p = 2 / 2^2.
    step = next(row for row in scores["paired"] if row["label"] == "sft → grpo")
    assert (step["first_only"], step["second_only"], step["p_value"]) == (0, 4, pytest.approx(0.5))


def test_models_asked_differently_are_not_compared(data: Path, models: dict[str, Path]) -> None:
    evaluate(data, models)
    predictions = read_jsonl(data.parent / "run" / "predictions.jsonl", Prediction)
    items = {p.item_id: p.item_id for p in predictions}
    fewer = [p for p in predictions if not (p.model == "sft" and p.item_id == "q1")]
    with pytest.raises(ValueError, match="different questions"):
        paired_rows(fewer, ["base", "sft"], items, CONFIG)


def test_missing_upstream_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(MissingUpstreamError, match="geor1 run 01_data_synthesis"):
        run_evaluation(CONFIG, tmp_path, {}, tmp_path / "run")


def test_draw_is_seeded_and_nested(data: Path) -> None:
    questions = write_questions(data, count=6)
    assert draw(questions, 3, seed=1) == draw(questions, 5, seed=1)[:3]
    assert {q.question_id for q in draw(questions, 99, seed=0)} == {f"q{i}" for i in range(6)}


def test_labels_seen(tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint"
    checkpoint.mkdir()
    assert read_labels_seen(checkpoint) is None
    (tmp_path / "labels_seen.json").write_text('{"pairing_labels_seen": 3}')
    assert read_labels_seen(checkpoint) == 3
    (checkpoint / "labels_seen.json").write_text('{"pairing_labels_seen": true}')
    with pytest.raises(RecordError, match="whole number"):
        read_labels_seen(checkpoint)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rotations", 0),
        ("n_control", -1),
        ("dtype", "int8"),
        ("conditions", ("blind",)),
        ("conditions", ("normal", "blnd")),
        ("conditions", ("normal", "normal")),
        ("bootstrap_resamples", 10),
        ("backend", "openai"),
        ("server_url", "127.0.0.1:8000"),
        ("timeout_s", 0.0),
        ("max_attempts", 0),
        ("concurrency", 0),
        ("temperature", -0.1),
        ("samples", 2),
    ],
)
def test_config_names_the_field(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=name):
        EvaluationConfig(**{name: value})


def test_real_imports(real_files: Callable[[str], Path]) -> None:
    folder = real_files("expected.json").parent
    rows, predictions = import_rows(folder, CONFIG)
    by_label = {row["label"]: row for row in rows}
    assert len(rows) == 6
    assert len(predictions) == 4 * 270 + 2 * 1602
    expected = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    for label, official in expected["imageo_pcw_official"].items():
        assert by_label[label]["official_mean_distance_km"] == pytest.approx(official["mean_distance_km"], abs=1e-9)
        strict = expected["imageo_pcw_strict"][label]
        assert round(by_label[label]["geoscore"], 4) == strict["geoscore_all"]
        assert round(by_label[label]["within_25_km"], 4) == strict["accuracy_at_km"]["25"]
    assert by_label["gpt-4o"]["dataset"] == "geoguess"


def test_statistics_and_claims_need_no_torch() -> None:
    code = (
        "import sys, geor1.evaluation.statistics, geor1.evaluation.run, geor1.evaluation.importers;"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
