"""Stage 04 against a server: the same scores, errors asked again alone, and what the server gets to see."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from evaluation_cases import same_colour, write_questions
from scripted_server import ScriptedServer, decoded

from geor1.asking.backends import UnansweredError
from geor1.asking.images import load_image
from geor1.asking.openai_backend import ServerBackend
from geor1.evaluation.config import EvaluationConfig
from geor1.evaluation.predict import Asking, predict_geolocation, predict_pairing
from geor1.evaluation.run import PREDICTIONS, run_evaluation
from geor1.records import Prediction, read_jsonl, write_jsonl


def asks(server: ScriptedServer) -> ServerBackend:
    return ServerBackend(
        server.url, "tiny", concurrency=3, timeout_s=5.0, max_attempts=3, first_wait_s=0.02, key_variable="NO_KEY"
    )


def config(server: ScriptedServer, **changes: Any) -> EvaluationConfig:
    settings = {"rotations": 3, "n_control": 2, "n_geolocation": 2, "bootstrap_resamples": 100, "max_attempts": 1}
    settings |= {"backend": "server", "server_url": server.url, "timeout_s": 5.0, "concurrency": 3, **changes}
    return EvaluationConfig(**settings)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    write_jsonl(folder / "questions_test.jsonl", write_questions(folder, count=6))
    return folder


def seen_colour(prompt: str, images: list[bytes], _: str) -> str:
    return same_colour(prompt, decoded(images))


def test_a_perfect_served_model_scores_as_one_in_process(data: Path) -> None:
    with ScriptedServer(seen_colour) as server:
        run_dir = run_evaluation(config(server), data, {"grpo": Path("tiny")}, data.parent / "run")
    predictions = read_jsonl(run_dir / PREDICTIONS, Prediction)
    assert len(predictions) == 6 * 3 + 2 * 2 + 2
    assert all(p.correct for p in predictions if (p.task, p.condition) == ("pairing", "normal"))
    assert {(p.weights, p.backend) for p in predictions} == {("name:tiny", "server")}


def test_errors_are_scored_by_name_and_asked_again_alone(data: Path) -> None:
    failing: dict[str, str | None] = {"kind": "500"}
    with ScriptedServer(seen_colour, faults=lambda digest, _: failing["kind"] if digest < "4" else None) as server:
        run = data.parent / "run"
        with pytest.raises(
            UnansweredError, match=r"questions ended in an error \(\{'api_error': \d+\}; the first: HTTP 500"
        ):
            run_evaluation(config(server), data, {"grpo": Path("tiny")}, run)
        failed = [p for p in read_jsonl(run / PREDICTIONS, Prediction) if p.status == "api_error"]
        assert failed and not any(p.correct for p in failed)
        before = server.asked.total()
        run_evaluation(config(server, keep_errors=True), data, {"grpo": Path("tiny")}, run)
        assert server.asked.total() == before
        failing["kind"] = None
        run_evaluation(config(server), data, {"grpo": Path("tiny")}, run)
        assert server.asked.total() == before + len(failed)
        run_evaluation(config(server), data, {"grpo": Path("tiny")}, run)
        assert server.asked.total() == before + len(failed)
    assert not [p for p in read_jsonl(run / PREDICTIONS, Prediction) if p.error]


def test_refusals_and_unparsed_answers_are_not_asked_again(data: Path) -> None:
    refusal = {"message": {"content": None, "refusal": "I cannot tell where people live"}}
    with ScriptedServer(lambda prompt, *_: "no idea" if "Satellite" in prompt else refusal) as server:
        run = run_evaluation(config(server), data, {"grpo": Path("tiny")}, data.parent / "run")
        before = server.asked.total()
        run_evaluation(config(server), data, {"grpo": Path("tiny")}, run)
        assert server.asked.total() == before
    statuses = {p.task: p.status for p in read_jsonl(run / PREDICTIONS, Prediction)}
    assert statuses == {"pairing": "no_answer", "geolocation": "refused"}


def test_samples_have_seeds_of_their_own_and_are_kept(data: Path) -> None:
    with ScriptedServer() as server:
        run = data.parent / "run"
        sampled = config(server, temperature=0.8, samples=3)
        run_evaluation(sampled, data, {"grpo": Path("tiny")}, run)
        before = server.asked.total()
        run_evaluation(sampled, data, {"grpo": Path("tiny")}, run)
        assert server.asked.total() == before == 3 * (6 * 3 + 2 * 2 + 2)
    predictions = read_jsonl(run / PREDICTIONS, Prediction)
    assert len({(p.item_id, p.task, p.condition, p.rotation, p.seed) for p in predictions}) == before
    assert len({p.raw for p in predictions if p.item_id == predictions[0].item_id and p.rotation == 0}) > 1


@pytest.mark.parametrize("kind", [None, "401", "500"])
def test_the_command_line_asks_a_server(data: Path, kind: str | None) -> None:
    run = data.parent / "run"
    with ScriptedServer(seen_colour, faults=lambda *_: kind) as server:
        command = [sys.executable, "-m", "geor1.evaluation", str(data), str(run), "grpo=tiny", "--profile", "smoke"]
        command += ["--backend", "server", "--server-url", server.url, "--concurrency", "2", "--max-attempts", "1"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if kind is None:
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-1] == str(run / "scores.json")
        return
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("BackendError: http")
    assert "Traceback" not in done.stderr


def test_half_a_surrogate_pair_is_written_and_read(tmp_path: Path) -> None:
    questions = write_questions(tmp_path / "data", 1)
    with ScriptedServer(lambda *_: "<answer> A \ud83d </answer>") as server:
        asking = Asking(label="m", max_new_tokens=9)
        how: dict[str, Any] = {"conditions": ("normal",), "rotations": 1, "output": tmp_path / "p.jsonl"}
        (one,) = predict_pairing(asks(server), questions, tmp_path / "data", asking=asking, **how)
    assert one.choice == "A"
    assert read_jsonl(tmp_path / "p.jsonl", Prediction) == [one]


def test_real_photos_reach_a_server_as_pixels_alone(real_files: Callable[[str], Path], tmp_path: Path) -> None:
    photos = sorted(real_files("exif").glob("*.jpg"))
    assert photos
    (question,) = write_questions(tmp_path, 1)
    for number, photo in enumerate(photos):
        disguised = tmp_path / f"{photo.stem}_Arezzo_Italy.png"  # the extension lies, the name tells
        disguised.write_bytes(photo.read_bytes())
        assert b"Exif" in disguised.read_bytes()
        asked = [type(question)(**{**vars(question), "ground_image": disguised.name, "question_id": f"photo{number}"})]
        with ScriptedServer() as server:
            asking = Asking(label="m", max_new_tokens=9)
            predict_geolocation(asks(server), asked, tmp_path, asking=asking, output=tmp_path / f"{number}.jsonl")
        sent = repr(server.requests[0]) + repr(server.headers[0])
        assert "Arezzo" not in sent and str(tmp_path) not in sent
        (data,) = images_of(server.requests[0])
        assert data.startswith(b"\x89PNG")
        assert chunks(data) == {b"IHDR", b"IDAT", b"IEND"}, "nothing but size and pixels"
        (shown,) = decoded([data])
        assert shown.info == {} and not shown.getexif() and not shown.getexif().get_ifd(0x8825)
        assert shown.convert("RGB").tobytes() == load_image(photo).tobytes()


def images_of(body: dict[str, Any]) -> list[bytes]:
    from scripted_server import _read

    return _read(body["messages"])[1]


def chunks(png: bytes) -> set[bytes]:
    kinds, at = set(), 8
    while at < len(png):
        length = int.from_bytes(png[at : at + 4], "big")
        kinds.add(png[at + 4 : at + 8])
        at += 12 + length
    return kinds


def test_the_stage_loads_no_torch_and_no_transformers() -> None:
    code = "import sys, geor1.evaluation.run;sys.exit(bool({'torch', 'transformers', 'vllm'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
