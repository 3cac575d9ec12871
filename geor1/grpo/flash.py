"""Completions on their prompt and on themselves, by two fused CPU calls; see :mod:`geor1.grpo.attention`."""

from __future__ import annotations

from typing import Any

import torch


class FlashGroups(torch.autograd.Function):
    """Completions on their prompt and on themselves: two fused CPU calls merged by their log-sum-exps.

    Shapes: query [b, G, C, H, D]; key, value [b, G, C, K, D]; prompt_key, prompt_value [b, P, K, D]; result as query.
    Query heads that share a key head, and all completions of a prompt, are further queries of one call on the prompt.
    """

    @staticmethod
    def forward(
        ctx: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        prompt_key: torch.Tensor,
        prompt_value: torch.Tensor,
        scaling: float,
    ) -> torch.Tensor:
        """Attend; shapes as above, ``scaling`` is the factor on the scores."""
        fused = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
        shape = _Shape(query, key)
        on_prompt, log_prompt = fused(
            shape.fold(query), prompt_key.transpose(1, 2), prompt_value.transpose(1, 2), 0.0, False, scale=scaling
        )
        own = (shape.rows(query), shape.rows_repeated(key), shape.rows_repeated(value))
        on_own, log_own = fused(*own, 0.0, True, scale=scaling)
        on_prompt, log_prompt = shape.unfold(on_prompt), shape.unfold(log_prompt[..., None])
        on_own, log_own = shape.unrows(on_own), shape.unrows(log_own[..., None])
        log_sum = torch.logaddexp(log_prompt, log_own)
        merged = on_prompt * (log_prompt - log_sum).exp() + on_own * (log_own - log_sum).exp()
        merged = merged.to(query.dtype)
        ctx.save_for_backward(query, key, value, prompt_key, prompt_value, merged, log_sum)
        ctx.scaling = scaling
        return merged

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Gradients of all five tensors; each call gets the merged result and log-sum-exp as if it were its own."""
        fused = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward
        query, key, value, prompt_key, prompt_value, merged, log_sum = ctx.saved_tensors
        shape = _Shape(query, key)
        (gradient,) = gradients
        to_query, to_prompt_key, to_prompt_value = fused(
            shape.fold(gradient),
            shape.fold(query),
            prompt_key.transpose(1, 2),
            prompt_value.transpose(1, 2),
            shape.fold(merged),
            shape.fold(log_sum)[..., 0],
            0.0,
            False,
            scale=ctx.scaling,
        )
        to_own_query, to_key, to_value = fused(
            shape.rows(gradient),
            shape.rows(query),
            shape.rows_repeated(key),
            shape.rows_repeated(value),
            shape.rows(merged),
            shape.rows(log_sum)[..., 0],
            0.0,
            True,
            scale=ctx.scaling,
        )
        return (
            shape.unfold(to_query) + shape.unrows(to_own_query),
            shape.sum_repeated(to_key),
            shape.sum_repeated(to_value),
            to_prompt_key.transpose(1, 2),
            to_prompt_value.transpose(1, 2),
            None,
        )


class _Shape:
    """The two ways in which :class:`FlashGroups` lays out [b, G, C, heads, D] for its calls, and back."""

    def __init__(self, query: torch.Tensor, key: torch.Tensor) -> None:
        self.prompts, self.group, self.length, self.heads = query.shape[:4]
        self.key_heads = key.shape[3]
        self.share = self.heads // self.key_heads

    def fold(self, tensor: torch.Tensor) -> torch.Tensor:
        """[b, G, C, H, x] to [b, K, G*C*share, x]."""
        split = tensor.reshape(self.prompts, self.group * self.length, self.key_heads, self.share, tensor.shape[-1])
        return split.transpose(1, 2).flatten(2, 3)

    def unfold(self, tensor: torch.Tensor) -> torch.Tensor:
        """Undo :meth:`fold`."""
        split = tensor.unflatten(2, (self.group * self.length, self.share)).transpose(1, 2)
        return split.reshape(self.prompts, self.group, self.length, self.heads, tensor.shape[-1])

    def rows(self, tensor: torch.Tensor) -> torch.Tensor:
        """[b, G, C, heads, x] to [b*G, heads, C, x]."""
        return tensor.flatten(0, 1).transpose(1, 2)

    def unrows(self, tensor: torch.Tensor) -> torch.Tensor:
        """Undo :meth:`rows`."""
        return tensor.transpose(1, 2).unflatten(0, (self.prompts, self.group))

    def rows_repeated(self, tensor: torch.Tensor) -> torch.Tensor:
        """:meth:`rows` of keys or values, each head as often as query heads share it."""
        return self.rows(tensor).repeat_interleave(self.share, 1)

    def sum_repeated(self, tensor: torch.Tensor) -> torch.Tensor:
        """Gradient of :meth:`rows_repeated`."""
        return self.unrows(tensor.unflatten(1, (self.key_heads, self.share)).sum(2))
