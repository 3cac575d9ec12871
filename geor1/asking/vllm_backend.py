"""vLLM in this process: requests by the batch, each with a seed of its own. Imports vLLM only when it first answers."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from typing import Any

from geor1.asking.backends import (
    BackendError,
    Completion,
    Finished,
    Request,
    RequestFailure,
    chat_messages,
    free_memory,
)

_TOO_LONG = re.compile(r"longer than|maximum (?:model|context) length|max_model_len", re.IGNORECASE)


class VllmBackend:
    """Answers with ``vllm.LLM``.

    Args:
        checkpoint: Model folder or hub name.
        batch_size: Requests handed over together; vLLM schedules them itself, so several hundred are well.
        dtype: Number type of the weights.
        context_tokens: Longest prompt with its images and completion, in tokens.
        images_per_prompt: Most images of one prompt.
        gpu_memory: Share of a GPU's memory that it takes, above 0, at most 1.
    """

    def __init__(
        self,
        checkpoint: str,
        *,
        batch_size: int,
        dtype: str,
        context_tokens: int,
        images_per_prompt: int,
        gpu_memory: float,
    ) -> None:
        self.name = f"vllm {dtype}"
        self._settings = {
            "model": checkpoint,
            "dtype": dtype,
            "max_model_len": context_tokens,
            "gpu_memory_utilization": gpu_memory,
            "limit_mm_per_prompt": {"image": images_per_prompt, "video": 0},
            "generation_config": "vllm",  # nothing is taken from the checkpoint's own sampling settings
            "trust_remote_code": False,
        }
        self._batch_size, self._context_tokens = batch_size, context_tokens
        self._engine: Any = None

    def identity(self) -> None:
        """None: weights in this process are known by their hash, or by the hub name given."""

    def complete(self, requests: Iterable[Request]) -> Iterator[Finished]:
        """Answer requests batch by batch; see :class:`geor1.asking.backends.Backend`.

        Raises:
            BackendError: A prompt leaves less room in ``context_tokens`` than its completion may take.
        """
        numbered = enumerate(requests)
        while batch := list(itertools.islice(numbered, self._batch_size)):
            try:
                finished = self._answer(batch)
            except Exception as error:  # vLLM's own class for it has changed with its versions
                if not _TOO_LONG.search(str(error)):
                    raise
                finished = [self._answer_alone(one) for one in batch]  # one does not fit; the others do
            asked = dict(batch)
            lacking = [one for one in finished if self._needed(asked[one[0]], one[1]) > self._context_tokens]
            yield [one for one in finished if one not in lacking]
            if lacking:
                place, completion = max(lacking, key=lambda one: self._needed(asked[one[0]], one[1]))
                raise BackendError(
                    f"context_tokens={self._context_tokens}: a prompt has {completion.prompt_tokens} tokens with its "
                    f"images, and its completion may take {asked[place].max_new_tokens}; vLLM would cut long ones "
                    f"short. Raise context_tokens to {self._needed(asked[place], completion)} or more, or lower "
                    "max_new_tokens; what is done is kept"
                )

    def close(self) -> None:
        """Shut the engine down; it takes its share of the GPU until then, and another one would not start."""
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.llm_engine.engine_core.shutdown()  # ends the process that holds the weights; vllm.LLM has no own way
            del engine
            free_memory()

    @staticmethod
    def _needed(request: Request, completion: Completion) -> int:
        return (completion.prompt_tokens or 0) + request.max_new_tokens

    def _answer_alone(self, numbered: tuple[int, Request]) -> tuple[int, Completion]:
        try:
            return self._answer([numbered])[0]
        except Exception as error:
            if not _TOO_LONG.search(str(error)):
                raise
            return numbered[0], Completion(failure=RequestFailure.CONTEXT_LENGTH, detail=str(error)[:300])

    def _answer(self, batch: list[tuple[int, Request]]) -> Finished:
        engine = self._started()
        from vllm import SamplingParams

        settings = [
            SamplingParams(max_tokens=one.max_new_tokens, temperature=one.temperature, seed=one.seed)
            for _, one in batch
        ]
        outputs = engine.chat([chat_messages(one) for _, one in batch], settings, use_tqdm=False)
        return [(place, _completion(output)) for (place, _), output in zip(batch, outputs, strict=True)]

    def _started(self) -> Any:
        if self._engine is None:
            try:
                from vllm import LLM
            except ImportError as error:
                raise ImportError(
                    "backend 'vllm' needs the package vllm: pip install 'geor1[vllm]', or serve the model with "
                    "'vllm serve' and take backend 'server'"
                ) from error
            self._engine = LLM(**self._settings)
        return self._engine


def _completion(output: Any) -> Completion:
    first = output.outputs[0]
    return Completion(
        text=first.text,
        completion_tokens=len(first.token_ids),
        prompt_tokens=len(output.prompt_token_ids),
        finished=first.finish_reason != "length",
    )
