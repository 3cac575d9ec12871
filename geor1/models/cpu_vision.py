"""The vision tower on a CPU: the same arithmetic in fewer, larger calls.

transformers runs attention window by window in a Python loop and the patch embedding as a 3-D convolution. On a CPU
both cost more than the arithmetic itself. The replacements below batch windows of equal length and multiply matrices;
results agree with the originals to float32 rounding (tested). On CUDA the stock code with flash attention is used.
"""

from __future__ import annotations

import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def batch_vision_windows(model: torch.nn.Module) -> int:
    """Replace, in place, the slow parts of a Qwen2-VL or Qwen2.5-VL vision tower by batched equivalents.

    Args:
        model: A ``Qwen2(_5)_VLForConditionalGeneration`` (or a wrapper around one) in float32 or bfloat16.

    Returns:
        How many modules were changed (0 for families whose modules have other names).
    """
    changed = 0
    for module in model.modules():
        name = type(module).__name__
        if name in ("Qwen2_5_VLVisionAttention", "VisionAttention"):
            module.forward = types.MethodType(_attention_forward, module)
            changed += 1
        elif name in ("Qwen2_5_VisionPatchEmbed", "PatchEmbed"):
            module.forward = types.MethodType(_patch_forward, module)
            changed += 1
    return changed


def _patch_forward(self: Any, hidden_states: torch.Tensor) -> torch.Tensor:
    """``[patches, pixels of a patch]`` to ``[patches, width]``: kernel equals stride, so it is one matrix product."""
    import torch

    weight = self.proj.weight
    flat = hidden_states.reshape(-1, weight[0].numel()).to(weight.dtype)
    return torch.nn.functional.linear(flat, weight.reshape(weight.shape[0], -1), self.proj.bias)


def _attention_forward(
    self: Any,
    hidden_states: torch.Tensor,
    cu_seqlens: torch.Tensor,
    position_embeddings: tuple[torch.Tensor, torch.Tensor] | None = None,
    **_: Any,
) -> torch.Tensor:
    """Full attention within each chunk of ``cu_seqlens``, all chunks of one length in one call."""
    import torch
    from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import apply_rotary_pos_emb_vision

    length = hidden_states.shape[0]
    query, key, value = self.qkv(hidden_states).reshape(length, 3, self.num_heads, -1).unbind(1)
    query, key = apply_rotary_pos_emb_vision(query, key, *position_embeddings)
    starts = cu_seqlens[:-1].tolist()
    lengths = (cu_seqlens[1:] - cu_seqlens[:-1]).tolist()
    rows_of: dict[int, list[int]] = {}
    for start, size in zip(starts, lengths, strict=True):
        rows_of.setdefault(size, []).append(start)
    outputs, order = [], []
    for size, chunk_starts in rows_of.items():
        index = torch.tensor(chunk_starts, device=hidden_states.device)[:, None] + torch.arange(
            size, device=hidden_states.device
        )
        attended = torch.nn.functional.scaled_dot_product_attention(
            *(tensor[index].transpose(1, 2) for tensor in (query, key, value)), scale=self.scaling
        )  # [chunks, heads, size, head size]
        outputs.append(attended.transpose(1, 2).reshape(-1, hidden_states.shape[1]))
        order.append(index.reshape(-1))
    joined = torch.cat(outputs)
    if len(order) > 1:
        joined = joined[torch.argsort(torch.cat(order))]
    return self.proj(joined)
