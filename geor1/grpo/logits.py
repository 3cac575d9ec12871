"""Log probabilities and entropies over a large vocabulary, a few tokens' logits at a time, forward and backward."""

from __future__ import annotations

from typing import Any

import torch


class ChunkedScores(torch.autograd.Function):
    """log p of chosen tokens under a linear head, and the entropy of each prediction.

    The backward pass makes each piece's logits again and adds the head's gradient up in one buffer. Left to autograd,
    the pieces' gradients of the head would wait beside one another for their sum: three times the head.

    Shapes: hidden [N, H]; weight [V, H]; tokens [N]; results [N], float32, the entropy without gradient.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        tokens: torch.Tensor,
        temperature: float,
        with_entropy: bool,
        size: int,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Score; ``size`` tokens at a time.

        Args:
            ctx: Of autograd.
            hidden: Last hidden states.
            weight: Of the head.
            tokens: The tokens chosen.
            temperature: Logits are divided by it.
            with_entropy: Whether entropies are wanted (else zeros).
            size: Tokens whose logits exist at a time.
        """
        kind = hidden.device.type
        ctx.dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else hidden.dtype
        ctx.temperature, ctx.size = temperature, size
        log_sums = torch.empty(len(tokens), device=hidden.device)
        chosen, entropies = torch.empty_like(log_sums), torch.zeros_like(log_sums)
        with torch.autocast(kind, enabled=False):
            product = weight.to(ctx.dtype)
            for part in _parts(len(tokens), size):
                logits = _logits(hidden[part], product, temperature)
                log_sums[part] = logits.logsumexp(-1)
                chosen[part] = logits.gather(-1, tokens[part, None])[:, 0] - log_sums[part]
                if with_entropy:
                    logits -= log_sums[part, None]
                    entropies[part] = -logits.exp().mul_(logits).sum(-1)
        ctx.save_for_backward(hidden, weight, tokens, log_sums)
        ctx.mark_non_differentiable(entropies)
        return chosen, entropies

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor, _: Any) -> tuple[torch.Tensor | None, ...]:
        """Gradients of hidden states and weight."""
        hidden, weight, tokens, log_sums = ctx.saved_tensors
        of_hidden = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        of_weight = torch.zeros_like(weight, dtype=torch.float32) if ctx.needs_input_grad[1] else None
        with torch.autocast(hidden.device.type, enabled=False):
            product = weight.to(ctx.dtype)
            for part in _parts(len(tokens), ctx.size):
                pulls = _logits(hidden[part], product, ctx.temperature).sub_(log_sums[part, None]).exp_().neg_()
                pulls.scatter_add_(-1, tokens[part, None], torch.ones_like(log_sums[part, None]))
                pulls *= gradient[part, None] / ctx.temperature
                pulls = pulls.to(ctx.dtype)
                if of_hidden is not None:
                    of_hidden[part] = (pulls @ product).to(hidden.dtype)
                if of_weight is not None:
                    _add_product(of_weight, pulls.T, hidden[part].to(ctx.dtype))
        return of_hidden, None if of_weight is None else of_weight.to(weight.dtype), None, None, None, None


def _parts(count: int, size: int) -> list[slice]:
    return [slice(first, first + size) for first in range(0, count, size)]


def _logits(hidden: torch.Tensor, weight: torch.Tensor, temperature: float) -> torch.Tensor:
    """[tokens, V] in float32; rounded first as the head's own product is."""
    logits = (hidden.to(weight.dtype) @ weight.T).float()
    return logits if temperature == 1 else logits.div_(temperature)


def _add_product(total: torch.Tensor, left: torch.Tensor, right: torch.Tensor) -> None:
    """Add a product to a float32 sum, in one go where types are alike."""
    if left.dtype == total.dtype:
        torch.addmm(total, left, right, out=total)
    else:
        total += left @ right
