"""M-RoPE positions of prompts, each shape of prompt worked out once.

Source: Qwen2-VL (Wang et al. 2024, arXiv 2409.12191, section 2.1); the numbers are transformers' own.
"""

from __future__ import annotations

from typing import Any

import torch

from geor1.models.encoding import PromptBatch


def prompt_positions(model: Any, batch: PromptBatch) -> tuple[torch.Tensor, torch.Tensor]:
    """M-RoPE positions of the prompts and of what follows them.

    Args:
        model: A Qwen-VL ``ForConditionalGeneration``.
        batch: Left-padded prompts.

    Returns:
        Positions [3, B, P] (time, height, width) and the position of the first completion token [B].
    """
    if batch.image_grid_thw is None:
        rising = (batch.attention_mask.cumsum(1) - 1).clamp(min=0)
        return rising[None].expand(3, -1, -1), batch.attention_mask.sum(1)
    chosen, shape_of, grids = _distinct_shapes(model, batch)
    positions, _ = model.model.get_rope_index(
        batch.input_ids[chosen],
        mm_token_type_ids=batch.mm_token_type_ids[chosen],
        image_grid_thw=grids,
        attention_mask=batch.attention_mask[chosen],
    )
    positions = positions[:, shape_of]
    return positions, positions[:, :, -1].amax(0) + 1


def _distinct_shapes(model: Any, batch: PromptBatch) -> tuple[list[int], list[int], torch.Tensor]:
    """Prompts that stand for all: transformers walks through each image by image, and those of one shape are alike.

    Returns:
        One prompt of each shape, which of them each prompt is like, and the patch grids of their images.
    """
    merged = int(model.config.vision_config.spatial_merge_size) ** 2
    image_ends = (batch.image_grid_thw.prod(1) // merged).cumsum(0)
    prompt_ends = batch.mm_token_type_ids.sum(1).cumsum(0)
    grids: list[list[tuple[int, ...]]] = [[] for _ in prompt_ends]
    owners = torch.bucketize(image_ends, prompt_ends).tolist()
    for prompt, grid in zip(owners, batch.image_grid_thw.tolist(), strict=True):
        grids[prompt].append(tuple(grid))
    kinds = batch.mm_token_type_ids.masked_fill(batch.attention_mask == 0, -1).tolist()
    first: dict[Any, int] = {}
    shapes = [(tuple(kind), tuple(grid)) for kind, grid in zip(kinds, grids, strict=True)]
    for prompt, shape in enumerate(shapes):
        first.setdefault(shape, prompt)
    place = {shape: index for index, shape in enumerate(first)}
    shown = [grid for prompt in first.values() for grid in grids[prompt]]
    return list(first.values()), [place[shape] for shape in shapes], torch.tensor(shown, device=batch.input_ids.device)
