"""A real ``vllm serve`` on this machine's processor against the model in process: same questions, same checkpoint.

Needs vLLM in the environment that runs the test; see CONTRIBUTING.md.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from vllm_server import SERVER_ENVIRONMENT, save_for_vllm, serving

from geor1.asking.backends import BackendError, Request, RequestFailure
from geor1.asking.openai_backend import ServerBackend
from geor1.evaluation.config import EvaluationConfig
from geor1.evaluation.run import PREDICTIONS, SCORES, run_evaluation
from geor1.records import Prediction, read_jsonl

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]

QUESTIONS = 100


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_for_vllm(tmp_path_factory.mktemp("vllm") / "base")


@pytest.fixture(scope="module")
def questions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Test questions of the smoke profile, more of them."""
    from geor1.runs import configure
    from geor1.synthesis.config import SynthesisConfig
    from geor1.synthesis.run import run_synthesis

    config = configure(SynthesisConfig, "01_data_synthesis", "smoke", train_pairs=12, test_pairs=QUESTIONS)
    return run_synthesis(config, tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def server(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(checkpoint, tmp_path_factory.mktemp("server") / "log.txt") as url:
        yield url


def evaluate(
    questions: Path, checkpoint: Path, run_dir: Path, **changes: Any
) -> tuple[dict[str, Any], list[Prediction]]:
    settings = {"n_questions": QUESTIONS, "rotations": 1, "conditions": ("normal",), "n_geolocation": 20}
    settings |= {"bootstrap_resamples": 100, "max_new_tokens": 112, "batch_size": 16, **changes}
    run_evaluation(EvaluationConfig(**settings), questions, {"base": checkpoint}, run_dir)
    scores = json.loads((run_dir / SCORES).read_text())
    return scores, read_jsonl(run_dir / PREDICTIONS, Prediction)


def test_a_prompt_longer_than_the_context_is_named(server: str, checkpoint: Path) -> None:
    asked = [Request(words, (), 4, 0.0, 0) for words in ("north ground water", "north water " * 3000, "east")]
    backend = ServerBackend(server, str(checkpoint), concurrency=1, timeout_s=60.0, max_attempts=1)
    answers = dict(one for finished in backend.complete(asked) for one in finished)
    assert [answers[place].failure for place in range(3)] == [None, RequestFailure.CONTEXT_LENGTH, None], answers
    with pytest.raises(BackendError, match=r"HTTP 404.*does not exist"):
        list(ServerBackend(server, "other", concurrency=1, timeout_s=60.0, max_attempts=1).complete(asked))


@pytest.mark.parametrize("name", ["server", "vllm"])
def test_vllm_answers_as_the_model_in_process(
    name: str, server: str, questions: Path, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Greedy accuracy within half a point, and nearly every completion the same."""
    ours, own = evaluate(questions, checkpoint, tmp_path / "in_process")
    if name == "server":
        changes: dict[str, Any] = {"backend": "server", "server_url": server, "concurrency": 4, "timeout_s": 120.0}
    else:
        for variable, value in {**SERVER_ENVIRONMENT, "VLLM_ENABLE_V1_MULTIPROCESSING": "0"}.items():
            monkeypatch.setenv(variable, value)
        changes = {"backend": "vllm", "context_tokens": 1024}
    theirs, others = evaluate(questions, checkpoint, tmp_path / name, **changes)
    assert [(p.item_id, p.task) for p in own] == [(p.item_id, p.task) for p in others]
    assert [p.images_sha256 for p in own] == [p.images_sha256 for p in others]
    # vLLM decodes after the prompt, so a tokenizer that joins words with spaces puts one before the first.
    same = sum(first.raw.strip() == second.raw.strip() for first, second in zip(own, others, strict=True)) / len(own)
    accuracies = [scores["table"][0]["accuracy"] for scores in (ours, theirs)]
    lengths = [sum(p.completion_tokens or 0 for p in group) for group in (own, others)]
    print(
        f"\n{name}: accuracy {100 * accuracies[1]:.1f} % against {100 * accuracies[0]:.1f} % in process on "
        f"{QUESTIONS} questions; {100 * same:.1f} % of {len(own)} completions identical; tokens {lengths}"
    )
    assert abs(accuracies[0] - accuracies[1]) <= 0.005
    assert same >= 0.9
    assert {p.completion_tokens for p in others} != {None} and all(p.prompt_tokens for p in others)
