"""A seed for every request to vLLM: TRL asks with one set of sampling parameters for all requests of a step.

The engine that TRL starts is seeded by the process alone, so every run would draw from the same stream, and a resumed
one from its beginning.
"""

from __future__ import annotations

import concurrent.futures
import copy
import functools
import hashlib
from collections.abc import Callable
from typing import Any

AT_ONCE = 64
"""Requests under way at a server. Source: TRL's own number."""

Seeds = Callable[[int], list[int]]


def request_seed(seed: int, step: int, round_: int, process: int, prompt: int) -> int:
    """Seed of a group's completions, in [0, 2^48).

    vLLM adds 0 to G - 1 to it for the completions of the group, so seeds that differ little would share streams.

    Args:
        seed: Of the run.
        step: Optimiser steps done.
        round_: Which of the times that the step samples.
        process: Whose prompt it is.
        prompt: Its place among the process's own.
    """
    return int.from_bytes(hashlib.sha256(f"{seed} {step} {round_} {process} {prompt}".encode()).digest()[:6], "big")


def seed_requests(generation: Any, seeds: Seeds) -> None:
    """Have every request of TRL's vLLM back-end carry a seed of its own.

    Args:
        generation: TRL's ``VLLMGeneration``.
        seeds: Number of requests that go to vLLM together -> their seeds.
    """
    if generation.mode == "colocate":
        generation.llm.generate = functools.partial(_ask_here, generation.llm.generate, seeds)
    elif hasattr(generation, "vllm_client"):  # the first process asks for all
        client = generation.vllm_client
        client.generate = functools.partial(_ask_server, client.generate, seeds)


def _ask_here(generate: Callable[..., Any], seeds: Seeds, prompts: list[Any], sampling_params: Any, **how: Any) -> Any:
    seeded = []
    for seed in seeds(len(prompts)):
        seeded.append(copy.copy(sampling_params))
        seeded[-1].seed = seed
    return generate(prompts, sampling_params=seeded, **how)


def _ask_server(
    generate: Callable[..., dict[str, list[Any]]],
    seeds: Seeds,
    prompts: list[Any],
    features: list[Any] | None = None,
    generation_kwargs: dict[str, Any] | None = None,
    **how: Any,
) -> dict[str, list[Any]]:
    """One call a prompt, which is one request each: with pictures TRL's client sends them one by one anyway."""
    wanted = seeds(len(prompts))

    def ask(place: int) -> dict[str, list[Any]]:
        """One prompt's completions."""
        return generate(
            prompts=[prompts[place]],
            features=None if features is None else [features[place]],
            generation_kwargs={**(generation_kwargs or {}), "seed": wanted[place]},
            **how,
        )

    with concurrent.futures.ThreadPoolExecutor(min(AT_ONCE, len(prompts))) as pool:
        replies = list(pool.map(ask, range(len(prompts))))
    return {name: [one for reply in replies for one in reply[name]] for name in replies[0]}
