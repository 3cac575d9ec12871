"""vLLM in this process, with a stand-in for the package: batches, seeds, and the one prompt that does not fit."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from geor1.asking.backends import BackendError, Completion, Request, RequestFailure
from geor1.asking.vllm_backend import VllmBackend

SETTINGS: dict[str, Any] = {"dtype": "float32", "context_tokens": 8, "images_per_prompt": 1, "gpu_memory": 0.5}


class StandIn:
    """What ``vllm.LLM`` offers: a chat about many prompts, refused as a whole if one of them is too long."""

    made: list[dict[str, Any]] = []  # noqa: RUF012
    calls: list[int] = []  # noqa: RUF012
    complaint = "The decoder prompt (length 99) is longer than the maximum model length of 8."

    def __init__(self, **settings: Any) -> None:
        self.made.append(settings)

    def chat(self, conversations: list[Any], settings: list[Any], use_tqdm: bool) -> list[Any]:
        self.calls.append(len(conversations))
        texts = [turns[0]["content"][-1]["text"] for turns in conversations]
        if any("too long" in text for text in texts):
            raise ValueError(self.complaint)
        return [
            SimpleNamespace(
                outputs=[SimpleNamespace(text=f"{text} {one.seed}", token_ids=[1, 2], finish_reason="stop")],
                prompt_token_ids=[1] * (5 if "wordy" in text else 3),
            )
            for text, one in zip(texts, settings, strict=True)
        ]


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch) -> type[StandIn]:
    package = ModuleType("vllm")
    package.LLM, package.SamplingParams = StandIn, SimpleNamespace
    monkeypatch.setitem(sys.modules, "vllm", package)
    StandIn.made, StandIn.calls = [], []
    return StandIn


def complete(texts: list[str], batch_size: int = 3) -> dict[int, Completion]:
    asked = [Request(f"<image> {text}", (Image.new("RGB", (2, 2)),), 4, 0.5, seed) for seed, text in enumerate(texts)]
    backend = VllmBackend("m", batch_size=batch_size, **SETTINGS)
    assert StandIn.made == [], "nothing is loaded before the first prompt"
    return dict(one for finished in backend.complete(asked) for one in finished)


def test_batches_and_seeds() -> None:
    answers = complete(["a", "b", "c", "d"])
    assert [answers[place].text for place in range(4)] == [" a 0", " b 1", " c 2", " d 3"]
    assert (answers[0].completion_tokens, answers[0].prompt_tokens, answers[0].finished) == (2, 3, True)
    assert StandIn.calls == [3, 1]
    assert StandIn.made[0]["generation_config"] == "vllm"
    assert StandIn.made[0]["gpu_memory_utilization"] == 0.5
    assert StandIn.made[0]["limit_mm_per_prompt"] == {"image": 1, "video": 0}


def test_one_prompt_too_long_does_not_take_its_batch_along() -> None:
    answers = complete(["a", "too long", "c", "d"])
    assert [answers[place].failure for place in range(4)] == [None, RequestFailure.CONTEXT_LENGTH, None, None]
    assert StandIn.calls == [3, 1, 1, 1, 1]


def test_a_prompt_that_leaves_too_little_room_ends_the_run() -> None:
    """Else vLLM would cut the longest completions at the context's end, as if they had been too long."""
    backend = VllmBackend("m", batch_size=3, **SETTINGS)
    asked = [Request(f"<image> {text}", (Image.new("RGB", (2, 2)),), 4, 0.5, 0) for text in ("a", "wordy", "c", "d")]
    answered = backend.complete(asked)
    assert [place for place, _ in next(answered)] == [0, 2], "what fits is handed over"
    with pytest.raises(BackendError, match=r"context_tokens=8: a prompt has 5 .* may take 4.* to 9 or more"):
        next(answered)
    assert StandIn.calls == [3], "nothing more is asked"


def test_other_complaints_are_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StandIn, "complaint", "this model takes no pictures")
    with pytest.raises(ValueError, match="no pictures"):
        complete(["too long"])


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(ImportError, match=r"pip install 'geor1\[vllm\]'"):
        complete(["a"])
