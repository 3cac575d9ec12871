"""A stand-in for the package vllm: one engine that answers chats, within the limits that the real one keeps."""

from __future__ import annotations

from types import ModuleType, SimpleNamespace
from typing import Any

PROMPT_TOKENS = 3


class LLM:
    """What ``vllm.LLM`` offers; every engine made, and what each was asked, is kept in ``made``."""

    made: list[LLM] = []  # noqa: RUF012
    reply: str | None = "nonsense"  # None: it dies

    def __init__(self, **settings: Any) -> None:
        share = settings["gpu_memory_utilization"]
        if sum(one.share for one in self.made) + share > 1:
            raise ValueError("Free memory on device is less than desired GPU memory utilization.")
        self.settings, self.share, self.calls = settings, share, []
        self.llm_engine = SimpleNamespace(engine_core=SimpleNamespace(shutdown=self._shut_down))
        self.made.append(self)

    def _shut_down(self) -> None:
        self.share = 0.0

    def chat(self, conversations: list[Any], settings: list[Any], use_tqdm: bool) -> list[Any]:
        self.calls.append(len(conversations))
        if self.reply is None:
            raise RuntimeError("the engine died")
        limit = self.settings["limit_mm_per_prompt"]["image"]
        for turns in conversations:
            if sum(part["type"] == "image_url" for part in turns[0]["content"]) > limit:
                raise ValueError(f"At most {limit} image(s) may be provided in one prompt.")
        answer = SimpleNamespace(text=self.reply, token_ids=[1, 2], finish_reason="stop")
        return [SimpleNamespace(outputs=[answer], prompt_token_ids=[1] * PROMPT_TOKENS) for _ in settings]


def package() -> ModuleType:
    """The module that stands in for vllm, with no engine made yet."""
    module = ModuleType("vllm")
    LLM.made, LLM.reply = [], "nonsense"
    module.LLM, module.SamplingParams = LLM, SimpleNamespace
    return module
