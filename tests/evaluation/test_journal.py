"""What is kept of a run, and what counts as another generation: prompt, pixels, parameters, weights, back-end."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import filelock
import pytest
from evaluation_cases import FakeGenerate, same_colour, write_questions
from PIL import Image

from geor1.asking.backends import Completion, Finished, InProcess, Request, RequestFailure
from geor1.asking.journal import PredictionJournal
from geor1.asking.selection import choose_backend, weights_sha256
from geor1.evaluation import predict
from geor1.evaluation.config import EvaluationConfig
from geor1.evaluation.predict import Asking, predict_pairing
from geor1.evaluation.run import GENERATIONS, PREDICTIONS, SCORES, run_evaluation
from geor1.records import Prediction, Question, RecordError, read_jsonl, to_json, write_jsonl
from geor1.runs import RunLockedError


class Scripted:
    """A back-end from a function of the place and the request, finishing in an order of its own."""

    name = "scripted"

    def __init__(self, reply: Any, backwards: bool = False) -> None:
        self.reply, self.backwards = reply, backwards
        self.asked: list[Request] = []

    def identity(self) -> None:
        """None: it has no weights."""

    def close(self) -> None:
        """Nothing to give back."""

    def complete(self, requests: Iterable[Request]) -> Iterator[Finished]:
        asked = list(enumerate(requests))
        self.asked += [request for _, request in asked]
        for place, request in reversed(asked) if self.backwards else asked:
            reply = self.reply(place, request)
            yield [(place, reply if isinstance(reply, Completion) else Completion(text=reply))]


def perfect(_: int, request: Request) -> str:
    return same_colour(request.prompt, list(request.images))


def ask(questions: Sequence[Question], folder: Path, backend: Any, **changes: Any) -> list[Prediction]:
    asking = Asking(**{"label": "grpo", "weights": "w0", "max_new_tokens": 16, **changes})
    how: dict[str, Any] = {"conditions": ("normal",), "rotations": 3, "output": folder / "g.jsonl"}
    return predict_pairing(backend, questions, folder / "data", asking=asking, **how)


def test_the_order_of_the_file_does_not_reach_the_report(questions: Sequence[Question], tmp_path: Path) -> None:
    forwards = ask(questions, tmp_path, Scripted(perfect))
    lines = (tmp_path / "g.jsonl").read_text().splitlines()
    (tmp_path / "g.jsonl").unlink()
    assert ask(questions, tmp_path, Scripted(perfect, backwards=True)) == forwards
    assert (tmp_path / "g.jsonl").read_text().splitlines() == lines[::-1]
    assert ask(questions, tmp_path, idle := Scripted(perfect)) == forwards
    assert idle.asked == []


def test_every_line_is_there_before_the_next_completion(questions: Sequence[Question], tmp_path: Path) -> None:
    written: list[int] = []

    def reply(*_: Any) -> str:
        path = tmp_path / "g.jsonl"
        written.append(len(path.read_bytes().splitlines()) if path.exists() else 0)
        return "<answer> A </answer>"

    ask(questions, tmp_path, Scripted(reply))
    assert written == list(range(12))


@pytest.mark.parametrize(
    "change", [{"weights": "w1"}, {"max_new_tokens": 17}, {"temperature": 0.5}, {"label": "sft"}], ids=str
)
def test_other_parameters_are_another_generation(
    questions: Sequence[Question], tmp_path: Path, change: dict[str, Any]
) -> None:
    ask(questions, tmp_path, Scripted(lambda *_: "old"))
    new = ask(questions, tmp_path, again := Scripted(perfect), **change)
    assert len(again.asked) == len(new) == 12
    assert all(p.correct for p in new)
    assert ask(questions, tmp_path, Scripted(perfect))[0].raw == "old"
    assert len(read_jsonl(tmp_path / "g.jsonl", Prediction)) == 24


def test_another_prompt_another_back_end_or_another_picture_is_another_generation(
    questions: Sequence[Question], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(questions, tmp_path, Scripted(perfect))
    Image.new("RGB", (16, 8), (1, 2, 3)).save(tmp_path / "data" / "images" / "ground1.png")
    ask(questions, tmp_path, one := Scripted(perfect))
    assert len(one.asked) == 3  # the rotations of the question whose panorama changed
    image = tmp_path / "data" / "images" / "ground1.png"
    Image.open(image).save(image, format="BMP")  # the same pixels in another file
    ask(questions, tmp_path, none := Scripted(perfect))
    assert none.asked == []
    monkeypatch.setattr(predict, "pairing_prompt", lambda letters: "Which? " + "<image>" * (1 + len(letters)))
    ask(questions, tmp_path, reworded := Scripted(perfect))
    assert len(reworded.asked) == 12
    elsewhere = Scripted(perfect)
    elsewhere.name = "elsewhere"
    ask(questions, tmp_path, elsewhere)
    assert len(elsewhere.asked) == 12


def test_greedy_completions_know_no_seed_and_samples_have_one_each(
    questions: Sequence[Question], tmp_path: Path
) -> None:
    ask(questions, tmp_path, Scripted(perfect), seed=1)
    ask(questions, tmp_path, idle := Scripted(perfect), seed=2)
    assert idle.asked == []
    drawn = Scripted(lambda _, request: f"{request.seed}")
    first = ask(questions, tmp_path, drawn, seed=1, temperature=1.0, samples=4)
    assert len({p.raw for p in first}) == len(first) == 48
    assert [p.sample for p in first[:5]] == [0, 1, 2, 3, 0]
    other = ask(questions, tmp_path, drawn, seed=2, temperature=1.0, samples=4)
    assert not {p.seed for p in first} & {p.seed for p in other}
    more = ask(questions, tmp_path, further := Scripted(lambda *_: "more"), seed=1, temperature=1.0, samples=5)
    assert len(further.asked) == 12
    assert [p.raw for p in more if p.sample < 4] == [p.raw for p in first]


@pytest.mark.parametrize("failure", list(RequestFailure))
def test_errors_are_asked_again_unless_kept(
    questions: Sequence[Question], tmp_path: Path, failure: RequestFailure
) -> None:
    broken = Completion(failure=failure, detail="it said no")
    first = ask(questions, tmp_path, Scripted(lambda place, r: broken if place < 5 else perfect(place, r)))
    assert [(p.status, p.error) for p in first[:5]] == [(failure.value, "it said no")] * 5
    kept = ask(questions, tmp_path, idle := Scripted(perfect), keep_errors=True)
    assert (idle.asked, kept) == ([], first)
    second = ask(questions, tmp_path, again := Scripted(lambda place, r: broken if place < 2 else perfect(place, r)))
    assert len(again.asked) == 5
    assert [p.status for p in second] == [failure.value] * 2 + ["ok"] * 10
    third = ask(questions, tmp_path, Scripted(perfect))
    assert all(p.correct and p.error is None for p in third)
    assert len(read_jsonl(tmp_path / "g.jsonl", Prediction)) == 12 + 5 + 2


def test_answers_are_parsed_anew_from_the_file(
    questions: Sequence[Question], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(questions, tmp_path, Scripted(lambda *_: "<answer> A </answer>"))
    monkeypatch.setattr(predict, "pairing_fields", lambda raw, letters: {"status": "mended"})
    assert {p.status for p in ask(questions, tmp_path, Scripted(perfect))} == {"mended"}


def test_files_of_before_still_load_and_are_not_mistaken(questions: Sequence[Question], tmp_path: Path) -> None:
    new = ask(questions, tmp_path, Scripted(perfect))[0]
    added = ("sample", "prompt_sha256", "images_sha256", "max_new_tokens", "temperature", "seed", "weights", "backend")
    line = {k: v for k, v in json.loads(to_json(new)).items() if k not in (*added, "prompt_tokens", "error")}
    (tmp_path / "g.jsonl").write_text(json.dumps(line) + "\n")
    (old,) = read_jsonl(tmp_path / "g.jsonl", Prediction)
    assert (old.raw, old.weights, old.sample) == (new.raw, None, 0)
    assert len(ask(questions, tmp_path, again := Scripted(perfect))) == len(again.asked) == 12


@pytest.mark.parametrize("cut", [1, 2, 40, 300])
def test_a_file_cut_anywhere_loses_its_last_line_alone(questions: Sequence[Question], tmp_path: Path, cut: int) -> None:
    whole = ask(questions, tmp_path, Scripted(perfect))
    path = tmp_path / "g.jsonl"
    path.write_bytes(path.read_bytes()[:-cut])
    assert ask(questions, tmp_path, again := Scripted(perfect)) == whole
    assert len(again.asked) == 1


@pytest.mark.parametrize("damage", [b"\xff\xfe", b"\x00" * 30, b"{}", b'{"model": "m"', b"[]"])
def test_a_damaged_line_in_the_middle_is_named(questions: Sequence[Question], tmp_path: Path, damage: bytes) -> None:
    ask(questions, tmp_path, Scripted(perfect))
    lines = (tmp_path / "g.jsonl").read_bytes().split(b"\n")
    (tmp_path / "g.jsonl").write_bytes(b"\n".join([*lines[:4], damage, *lines[4:]]))
    with pytest.raises(RecordError, match=r"g\.jsonl line 5: "):
        PredictionJournal(tmp_path / "g.jsonl")


def test_sampling_in_process_gives_every_prompt_its_seed(questions: Sequence[Question], tmp_path: Path) -> None:
    class Seeds(FakeGenerate):
        seeds: list[int] = []  # noqa: RUF012

        def __call__(self, *given: Any, seed: int, **options: Any) -> Any:
            self.seeds.append(seed)
            return super().__call__(*given, seed=seed, **options)

    generate = Seeds(same_colour)
    backend = InProcess(lambda: (None, None), 5, generate=generate)
    predictions = ask(questions, tmp_path, backend, temperature=0.7, samples=2)
    assert generate.seeds == [p.seed for p in predictions]
    assert len(set(generate.seeds)) == 24


# --- checkpoints and the stage ---------------------------------------------------------------------------------------


def test_a_checkpoint_trained_anew_is_never_mixed_with_the_old_one(tmp_path: Path) -> None:
    data, checkpoint = tmp_path / "data", tmp_path / "grpo"
    checkpoint.mkdir()
    write_jsonl(data / "questions_test.jsonl", write_questions(data, 6))
    config = EvaluationConfig(rotations=3, n_control=2, n_geolocation=0, bootstrap_resamples=100)
    accuracies = []
    for weights, reply in ((b"old", lambda *_: "<answer> A </answer>"), (b"new", same_colour)):
        (checkpoint / "model.safetensors").write_bytes(weights)
        generate = FakeGenerate(reply)
        run_evaluation(
            config, data, {"grpo": checkpoint}, tmp_path / "run", load=lambda _: (None, None), generate=generate
        )
        assert generate.n_prompts == 6 * 3 + 2 * 2
        predictions = read_jsonl(tmp_path / "run" / PREDICTIONS, Prediction)
        assert len(predictions) == 22
        assert {p.weights for p in predictions} == {weights_sha256(checkpoint)}
        accuracies.append(json.loads((tmp_path / "run" / SCORES).read_text())["table"][0]["accuracy"])
    assert accuracies == pytest.approx([1 / 3, 1.0])
    assert len(read_jsonl(tmp_path / "run" / GENERATIONS, Prediction)) == 44


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    data = tmp_path / "data"
    write_jsonl(data / "questions_test.jsonl", write_questions(data, 2))
    (tmp_path / "run").mkdir()
    with (
        filelock.FileLock(tmp_path / "run" / ".generations.lock"),
        pytest.raises(RunLockedError, match="another process"),
    ):
        run_evaluation(EvaluationConfig(), data, {}, tmp_path / "run")


def test_the_config_chooses_the_back_end() -> None:
    names = {
        name: choose_backend(EvaluationConfig(backend=name), Path("m"), images_per_prompt=1).name
        for name in ("server", "vllm")
    }
    assert names == {"server": "server", "vllm": "vllm float32"}
    half = EvaluationConfig(dtype="bfloat16")
    assert choose_backend(half, Path("m"), images_per_prompt=1).name == "in_process bfloat16"
