"""Roll out G completions a prompt, each prompt and its images computed once.

Axis letters: B prompts, G completions of a group, N = B*G rows, C completion tokens.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch

from geor1.models.decoding import decode
from geor1.models.encoding import EncodedPrompt, PromptEncoder, portions


@dataclasses.dataclass(frozen=True)
class Rollouts:
    """Sampled completions, prompt-major, N = B*G rows in the order of the prompts.

    Attributes:
        completion_ids: Token ids of each row; a completion that ended keeps its end token as its last.
        log_probs: log p of each sampled token at the sampling temperature, one list a row.
        entropies: Entropy of each prediction in nats, one list a row; None if what sampled does not say.
        decode_steps: Passes of the model over single tokens that it took, over all batches.
    """

    completion_ids: list[list[int]]
    log_probs: list[list[float]]
    entropies: list[list[float]] | None
    decode_steps: int


def roll_out(
    model: Any,
    encoder: PromptEncoder,
    prompts: Sequence[EncodedPrompt],
    *,
    group_size: int,
    max_new_tokens: int,
    temperature: float,
    seed: int,
    eos_token_ids: tuple[int, ...],
    rows_per_batch: int = 512,
    sampler: str = "inverse",
) -> Rollouts:
    """Sample a group of completions for each prompt, prompts of similar length together, so that padding costs little.

    Args:
        model: A Qwen-VL ``ForConditionalGeneration``; put in evaluation mode meanwhile.
        encoder: Stacks the prompts.
        prompts: B different prompts (not repeated).
        group_size: Completions a prompt, G.
        max_new_tokens: Tokens at which a completion is cut.
        temperature: Sampling temperature; 0 is greedy (all completions of a group are then alike).
        seed: Seed of the sampling; the same seed gives the same completions on the same machine.
        eos_token_ids: Tokens that end a completion.
        rows_per_batch: Completions decoded at a time at most (and see :func:`geor1.models.encoding.portions`).
        sampler: As in :func:`geor1.models.decoding.decode`.
    """
    generator = torch.Generator(device=model.device).manual_seed(seed)
    order = sorted(range(len(prompts)), key=lambda index: (len(prompts[index].input_ids), index))
    size = max(1, rows_per_batch // group_size)
    empty: list[Any] = [None] * (len(prompts) * group_size)
    ids, log_probs, entropies = list(empty), list(empty), list(empty)
    steps = 0
    was_training = model.training
    model.eval()
    try:
        for places in portions([len(prompts[index].input_ids) for index in order], size):
            chosen = [order[place] for place in places]
            decoded = decode(
                model,
                encoder.stack([prompts[index] for index in chosen]).to(model.device),
                group_size=group_size,
                max_new_tokens=max_new_tokens,
                temperature=temperature,
                generator=generator,
                eos_token_ids=eos_token_ids,
                with_scores=True,
                sampler=sampler,
            )
            steps += max(len(tokens) for tokens in decoded.tokens) - 1  # the prompt's pass gives the first token
            assert decoded.log_probs is not None and decoded.entropies is not None
            for place, (log_row, entropy_row) in enumerate(
                zip(decoded.log_probs.tolist(), decoded.entropies.tolist(), strict=True)
            ):
                tokens = decoded.tokens[place]
                row = chosen[place // group_size] * group_size + place % group_size
                ids[row], log_probs[row], entropies[row] = tokens, log_row[: len(tokens)], entropy_row[: len(tokens)]
    finally:
        model.train(was_training)
    return Rollouts(completion_ids=ids, log_probs=log_probs, entropies=entropies, decode_steps=steps)
