"""Score the G completions of a prompt from one pass over the prompt, exactly.

Row by row, a group of G completions costs G passes over the same images and the same prompt. Here images and prompt
run once a prompt, with gradients; the completions then run as rows that share the prompt's keys and values. Log
probabilities and gradients equal those of the row-by-row computation to rounding (tested to 1e-5 in float32).

Axis letters: B prompts, G completions of a group, N = B*G rows, P prompt tokens, C completion tokens.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import torch

from geor1.models.decoding import Prefill, prefill
from geor1.models.encoding import PromptBatch


class PrefixError(ValueError):
    """A setting under which the shared prefix would silently give wrong gradients."""


@dataclasses.dataclass(frozen=True)
class Scores:
    """Per-token scores of completions.

    Attributes:
        log_probs: log p(token | prompt, earlier tokens) at the sampling temperature, float32 [N, C]; 0 on padding.
        entropies: Entropy of each prediction in nats, without gradient, [N, C]; None if not asked for.
    """

    log_probs: torch.Tensor
    entropies: torch.Tensor | None


class _ExpandedPrefix:
    """Stands in for a cache in one forward pass: prompt keys of each group followed by the row's own keys."""

    def __init__(self, prefix: Prefill, group_size: int) -> None:
        self._prefix = prefix
        self._group_size = group_size

    def update(
        self, keys: torch.Tensor, values: torch.Tensor, layer_idx: int, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Put the prompt's keys and values, [N, K, P, head], before the rows' own, [N, K, C, head]."""
        shared_keys = self._prefix.keys[layer_idx].repeat_interleave(self._group_size, 0)
        shared_values = self._prefix.values[layer_idx].repeat_interleave(self._group_size, 0)
        return torch.cat([shared_keys, keys], dim=2), torch.cat([shared_values, values], dim=2)

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Tokens of the prompt, P: where the rows' own tokens begin."""
        return self._prefix.keys[layer_idx].shape[2]


def score_completions(
    model: Any,
    batch: PromptBatch,
    completions: torch.Tensor,
    completion_mask: torch.Tensor,
    *,
    temperature: float = 1.0,
    with_entropy: bool = False,
) -> Scores:
    """Score completions that come in groups of equal size, prompt by prompt.

    Args:
        model: A Qwen-VL ``ForConditionalGeneration``.
        batch: B left-padded prompts, each once.
        completions: Token ids [N, C], right-padded; rows ``b*G … b*G+G-1`` answer prompt ``b``.
        completion_mask: [N, C], 1 on tokens that count.
        temperature: Sampling temperature that the logits are divided by, > 0.
        with_entropy: Whether to return entropies too.

    Returns:
        Scores; gradients flow to all parameters that require them, images included.

    Raises:
        PrefixError: Gradient checkpointing is on (transformers then drops the cache with only a warning, and the
            completions would be scored without their prompt).
        ValueError: The rows are no whole number of groups.
    """
    if model.training and any(getattr(module, "gradient_checkpointing", False) for module in model.modules()):
        raise PrefixError("gradient checkpointing drops the shared prompt; set gradient_checkpointing=False")
    rows, length = completions.shape
    prompts = batch.input_ids.shape[0]
    if rows % prompts:
        raise ValueError(f"completions: expected a multiple of {prompts} rows (one group a prompt), got {rows}")
    group = rows // prompts
    prefix = prefill(model, batch)
    hidden = prefix.hidden.repeat_interleave(group, 0)[:, None]
    if length > 1:
        hidden = torch.cat([hidden, _continue(model, prefix, completions[:, :-1], group)], dim=1)
    return _score(model, hidden, completions, completion_mask, temperature=temperature, with_entropy=with_entropy)


def _continue(model: Any, prefix: Prefill, tokens: torch.Tensor, group: int) -> torch.Tensor:
    """Hidden states [N, C-1, hidden] of completion tokens that follow their group's prompt."""
    steps = torch.arange(tokens.shape[1], device=tokens.device)
    positions = prefix.start.repeat_interleave(group)[:, None] + steps[None]
    output = model.model.language_model(
        inputs_embeds=model.get_input_embeddings()(tokens),
        attention_mask=_causal_mask(prefix, tokens.shape[1], group),
        position_ids=positions[None].expand(3, -1, -1),
        past_key_values=_ExpandedPrefix(prefix, group),
        use_cache=True,
    )
    return output.last_hidden_state


def _causal_mask(prefix: Prefill, length: int, group: int) -> torch.Tensor:
    """True where a completion token may look: its whole prompt and its own past; [1 or N, 1, length, P + length]."""
    prompt_length = prefix.keys[0].shape[2]
    device = prefix.keys[0].device
    own = torch.ones(length, length, dtype=torch.bool, device=device).tril()
    if prefix.mask is None:
        shared = torch.ones(length, prompt_length, dtype=torch.bool, device=device)
        return torch.cat([shared, own], dim=1)[None, None]
    shared = prefix.mask.bool().repeat_interleave(group, 0)[:, None, None].expand(-1, 1, length, -1)
    return torch.cat([shared, own.expand(shared.shape[0], 1, -1, -1)], dim=3)


def _score(
    model: Any,
    hidden: torch.Tensor,
    completions: torch.Tensor,
    completion_mask: torch.Tensor,
    *,
    temperature: float,
    with_entropy: bool,
) -> Scores:
    """Vocabulary scores at the tokens that count, and nowhere else."""
    counted = completion_mask.bool()
    logits = model.lm_head(hidden[counted]).float() / temperature
    normalised = torch.log_softmax(logits, dim=-1)
    chosen = normalised.gather(-1, completions[counted][:, None])[:, 0]
    zeros = torch.zeros(completions.shape, dtype=chosen.dtype, device=chosen.device)
    entropies = None
    if with_entropy:
        with torch.no_grad():
            entropies = zeros.masked_scatter(counted, -(normalised.exp() * normalised).sum(-1))
    return Scores(log_probs=zeros.masked_scatter(counted, chosen), entropies=entropies)
