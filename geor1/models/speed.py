"""Two rewrites of Qwen2.5-VL's vision transformer that compute the same numbers in less time.

Stock transformers embeds patches by a 3-D convolution whose kernel is the whole patch (a matrix product in disguise),
and, without flash attention, attends window by window in a Python loop. Here the first is a matrix product and the
second runs all windows of one size together. Weights, state dict and results are unchanged (tested to 1e-5).
"""

from __future__ import annotations

import types
from typing import Any


def use_fast_vision(model: Any) -> Any:
    """Rewrite the vision transformer of a Qwen2.5-VL model in place; other models are left as they are.

    Args:
        model: A ``Qwen2_5_VLForConditionalGeneration``; only with SDPA attention is the window loop replaced.

    Returns:
        The same model.
    """
    from transformers.models.qwen2_5_vl import modeling_qwen2_5_vl as stock

    for module in model.modules():
        if isinstance(module, stock.Qwen2_5_VisionPatchEmbed):
            module.forward = types.MethodType(_embed_patches, module)
        elif isinstance(module, stock.Qwen2_5_VLVisionAttention) and module.config._attn_implementation == "sdpa":
            module.forward = types.MethodType(_attend_by_size, module)
    return model


def _embed_patches(self: Any, hidden_states: Any) -> Any:
    """[patches, channels * time * height * width] -> [patches, width of the transformer]."""
    from torch.nn.functional import linear

    weight = self.proj.weight
    return linear(hidden_states.to(weight.dtype).view(-1, weight[0].numel()), weight.view(weight.shape[0], -1))


def _attend_by_size(
    self: Any,
    hidden_states: Any,
    cu_seqlens: Any,
    position_embeddings: tuple[Any, Any] | None = None,
    max_seqlen: int | None = None,
    **_: Any,
) -> Any:
    """Attention within consecutive windows given by their borders ``cu_seqlens``, all windows of one size at a time."""
    import torch
    from torch.nn.functional import scaled_dot_product_attention
    from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import apply_rotary_pos_emb_vision

    total = hidden_states.shape[0]
    query, key, value = self.qkv(hidden_states).reshape(total, 3, self.num_heads, -1).unbind(1)
    query, key = apply_rotary_pos_emb_vision(query, key, *position_embeddings)
    sizes = cu_seqlens.diff()
    order, blocks = _rows_by_size(sizes, total)
    pieces = []
    if order is not None:
        query, key, value = query[order], key[order], value[order]
    first = 0
    for size, count in blocks:
        shape = (count, size, self.num_heads, -1)
        parts = [tensor[first : first + count * size].view(shape).transpose(1, 2) for tensor in (query, key, value)]
        attended = scaled_dot_product_attention(*parts, scale=self.scaling)
        pieces.append(attended.transpose(1, 2).reshape(count * size, -1))
        first += count * size
    output = pieces[0] if len(pieces) == 1 else torch.cat(pieces)
    if order is not None:
        output = output[order.argsort()]
    return self.proj(output)


def _rows_by_size(sizes: Any, total: int) -> tuple[Any, list[tuple[int, int]]]:
    """Row order that puts windows of one size next to each other (None: as they are), and (size, count) of each."""
    import torch

    sizes = sizes[sizes > 0]
    distinct, counts = sizes.unique(return_counts=True)
    blocks = [(int(size), int(count)) for size, count in zip(distinct, counts, strict=True)]
    if len(blocks) == 1:
        return None, blocks
    of_row = torch.repeat_interleave(sizes, sizes, output_size=total)
    return of_row.argsort(stable=True), blocks
