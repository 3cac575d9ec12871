"""Attention over prompts and groups of completions packed into one row, no token of which is padding.

The row holds, run by run, prompts of one length and after them the completions that answer them::

    [prompt 1 | prompt 2 | completions of prompt 1 | completions of prompt 2 || prompt 3 | its completions || ...]

A prompt token sees its prompt so far. A completion token sees its whole prompt and its own completion so far. Three
kernels compute that, the same numbers each (tested):

* ``flash`` (CPU): two fused calls, completions on their prompt and completions on themselves, merged by their
  log-sum-exps; the backward pass hands the merged result to both, as ring attention does. Prompt keys are neither
  copied for completions nor for query heads, and no mask is made.
* ``flex`` (CUDA): one FlexAttention call with a block mask, which skips the blocks that nobody may see.
* ``mask`` (anywhere): scaled dot-product attention on copied prompt keys with a mask; the plain form, to check against.

Source: the split is that of Hydragen (Juravsky et al. 2024, arXiv 2402.05099, section 3.1), there for decoding without
gradients; gradients by the merged log-sum-exp as in ring attention (Liu et al. 2023, arXiv 2310.01889, section 3).

Axis letters: b prompts of a run, G completions a prompt, P prompt tokens, C completion tokens (the longest), H query
heads, K key heads, D head size, L tokens of the row.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention

from geor1.grpo.flash import FlashGroups

ATTENTION_NAME = "geor1_groups"
KERNELS = ("flash", "flex", "mask")
BLOCK = 128  # tokens of a block of FlexAttention's mask; what its kernels are tuned for


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """Consecutive prompts of one length and their completions, as they lie in the row.

    Attributes:
        prompts: Prompts b.
        prompt_tokens: P.
        longest_tokens: C, tokens of the longest completion; 0 if no completion has any.
        place: [b * G * C]: for every place of the padded completions the token among this run's completion tokens
            that goes there (any token where there is none); None if all are equally long.
        token: [completion tokens]: for every token its place; None likewise.
        completion_tokens: Completion tokens of the run.
    """

    prompts: int
    prompt_tokens: int
    longest_tokens: int
    place: torch.Tensor | None
    token: torch.Tensor | None
    completion_tokens: int


class Layout:
    """A packed row.

    No dataclass: FSDP2 casts what a layer is given, to that end makes every dataclass anew, and with it the block mask.

    Args:
        group: G.
        runs: In order.
        kernel: One of ``KERNELS``.
        prompt_of: [L] prompt of each token, and
        row_of: [L] its completion's row, -1 for prompt tokens (both for ``flex``).
    """

    def __init__(
        self, *, group: int, runs: tuple[Run, ...], kernel: str, prompt_of: torch.Tensor, row_of: torch.Tensor
    ) -> None:
        self.group, self.runs, self.kernel = group, runs, kernel
        self.prompt_of, self.row_of = prompt_of, row_of

    def sees(self, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        """Whether a token of the row sees another: an earlier one of its prompt or of its own completion.

        Args:
            query: Places of the tokens that look, and
            key: that are looked at; shapes that broadcast.
        """
        shared = (self.row_of[key] == -1) | (self.row_of[key] == self.row_of[query])
        return (key <= query) & (self.prompt_of[key] == self.prompt_of[query]) & shared

    def mask(self) -> torch.Tensor:
        """[L, L], True where the token of the row (query) sees the token of the column (key)."""
        places = torch.arange(len(self.row_of), device=self.row_of.device)
        return self.sees(places[:, None], places[None])

    @functools.cached_property
    def block_mask(self) -> Any:
        """FlexAttention's block mask of the row, made from what each block of tokens holds, without an [L, L] mask."""
        from torch.nn.attention.flex_attention import BlockMask

        def visible(_batch: Any, _head: Any, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
            """:meth:`sees` in FlexAttention's convention."""
            return self.sees(query, key)

        some, whole = self.blocks(BLOCK)
        length = len(self.row_of)
        return BlockMask.from_kv_blocks(
            *_ordered(some & ~whole),
            *_ordered(whole),
            BLOCK_SIZE=BLOCK,
            mask_mod=visible,
            seq_lengths=(length, length),
        )

    def blocks(self, size: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Which blocks of tokens see others.

        Args:
            size: Tokens of a block.

        Returns:
            Two masks [blocks, blocks] of query by key: where a token may see one (never False where one does), and
            where every token sees every one.
        """
        prompt, row = (_by_block(tensor, size) for tensor in (self.prompt_of, self.row_of))
        of_prompt = row == -1
        least_prompt, most_prompt = prompt.amin(1), prompt.amax(1)
        least_row, most_row = row.masked_fill(of_prompt, torch.iinfo(row.dtype).max).amin(1), row.amax(1)

        def meet(least: torch.Tensor, most: torch.Tensor) -> torch.Tensor:
            """Whether the ranges of two blocks overlap."""
            return (least[None] <= most[:, None]) & (most[None] >= least[:, None])

        place = torch.arange(len(row), device=row.device)
        same_row = meet(least_row, most_row)
        some = meet(least_prompt, most_prompt) & (of_prompt.any(1)[None] | same_row) & (place[None] <= place[:, None])
        alone = least_prompt == most_prompt
        whole = some & alone[None] & alone[:, None] & of_prompt.all(1)[None] & (place[None] < place[:, None])
        return some, whole


def _by_block(values: torch.Tensor, size: int) -> torch.Tensor:
    """[blocks, size]; the last value fills up the last block."""
    missing = -len(values) % size
    return torch.cat([values, values[-1:].expand(missing)]).view(-1, size)


def _ordered(blocks: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """As FlexAttention takes them, for one batch and head: blocks of each row, and their places, those first."""
    count = blocks.sum(1, dtype=torch.int32)
    places = blocks.to(torch.int8).argsort(dim=1, descending=True, stable=True).to(torch.int32)
    return count[None, None], places[None, None]


def choose_kernel(device: torch.device, dtype: torch.dtype) -> str:
    """``flash`` on CPU, ``flex`` on CUDA, else ``mask``.

    The rule is measured: on two CPU cores ``flash`` takes 94 to 100 % of the time of ``mask`` (``python -m
    geor1.grpo.bench --kernels``) and copies no keys, and FlexAttention has no backward pass there.
    """
    if device.type == "cpu" and dtype in (torch.float32, torch.float64, torch.bfloat16, torch.float16):
        return "flash"
    return "flex" if device.type == "cuda" else "mask"


def lay_out(prompt_tokens: list[int], completion_tokens: list[int], *, kernel: str, device: torch.device) -> Layout:
    """Plan the packed row.

    Args:
        prompt_tokens: Length of each prompt.
        completion_tokens: Length of each completion, prompt-major, G a prompt; 0 for none.
        kernel: One of ``KERNELS``.
        device: Where index tensors go.
    """
    if kernel not in KERNELS:
        raise ValueError(f"kernel: expected one of {KERNELS}, got {kernel!r}")
    group = len(completion_tokens) // len(prompt_tokens)
    runs, prompt_of, row_of = [], [], []
    first = 0
    while first < len(prompt_tokens):
        length = prompt_tokens[first]
        end = next((i for i in range(first, len(prompt_tokens)) if prompt_tokens[i] != length), len(prompt_tokens))
        rows = range(first * group, end * group)
        lengths = [completion_tokens[row] for row in rows]
        runs.append(_run(end - first, length, lengths, device))
        for prompt in range(first, end):
            prompt_of += [prompt] * length
            row_of += [-1] * length
        for row, count in zip(rows, lengths, strict=True):
            prompt_of += [row // group] * count
            row_of += [row] * count
        first = end
    return Layout(
        group=group,
        runs=tuple(runs),
        kernel=kernel,
        prompt_of=torch.tensor(prompt_of, device=device),
        row_of=torch.tensor(row_of, device=device),
    )


def _run(prompts: int, prompt_tokens: int, lengths: list[int], device: torch.device) -> Run:
    longest, total = max(lengths), sum(lengths)
    place = token = None
    if total and min(lengths) < longest:
        counts = torch.tensor(lengths, device=device)
        starts = counts.cumsum(0) - counts
        steps = torch.arange(longest, device=device)
        place = (starts[:, None] + steps).clamp(max=total - 1).flatten()
        token = (steps < counts[:, None]).flatten().nonzero()[:, 0]
    return Run(prompts, prompt_tokens, longest, place, token, total)


def group_attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float,
    dropout: float = 0.0,
    groups: Layout | None = None,
    **rest: Any,
) -> tuple[torch.Tensor, None]:
    """Attention in transformers' calling convention; without ``groups`` it is transformers' own SDPA.

    Args:
        module: The attention layer.
        query: [1, H, L, D].
        key: [1, K, L, D].
        value: [1, K, L, D].
        attention_mask: Not looked at with ``groups``.
        scaling: Factor on the scores.
        dropout: Must be 0 with ``groups``.
        groups: How the row is packed.
        **rest: For SDPA.

    Returns:
        [1, L, H, D] and None.
    """
    if groups is None:
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        return sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, dropout=dropout, **rest
        )
    # Autocast makes values of its type beside keys that rotary positions brought back to float32.
    query, key = query.to(value.dtype), key.to(value.dtype)
    if groups.kernel == "flex":
        return _flex(query, key, value, groups, scaling), None
    rows = [tensor[0].transpose(0, 1) for tensor in (query, key, value)]  # [L, heads, D]
    pieces, first = [], 0
    for run in groups.runs:
        middle = first + run.prompts * run.prompt_tokens
        end = middle + run.completion_tokens
        prompt = [tensor[first:middle].unflatten(0, (run.prompts, run.prompt_tokens)) for tensor in rows]
        pieces.append(_causal(*prompt, scaling).flatten(0, 1))
        if run.completion_tokens:
            shape = (run.prompts, groups.group, run.longest_tokens)
            own = [tensor[middle:end] for tensor in rows]
            padded = [(tensor if run.place is None else tensor[run.place]).unflatten(0, shape) for tensor in own]
            attend = FlashGroups.apply if groups.kernel == "flash" else _masked
            attended = attend(*padded, prompt[1], prompt[2], scaling).flatten(0, 2)
            pieces.append(attended if run.token is None else attended[run.token])
        first = end
    return torch.cat(pieces)[None], None


def _causal(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float) -> torch.Tensor:
    """[b, P, heads, D] each: a prompt on itself."""
    share = query.shape[2] // key.shape[2]
    key, value = (tensor.repeat_interleave(share, 2) if share > 1 else tensor for tensor in (key, value))
    heads_first = (tensor.transpose(1, 2) for tensor in (query, key, value))
    return scaled_dot_product_attention(*heads_first, is_causal=True, scale=scaling).transpose(1, 2)


def _masked(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    prompt_key: torch.Tensor,
    prompt_value: torch.Tensor,
    scaling: float,
) -> torch.Tensor:
    """As :class:`geor1.grpo.flash.FlashGroups`, by copied prompt keys and a mask."""
    prompts, group, length, heads = query.shape[:4]
    share = heads // key.shape[3]

    def joined(prompt: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
        """[b*G, H, P + C, D]."""
        copied = prompt[:, None].expand(-1, group, -1, -1, -1)
        return torch.cat([copied, own], dim=2).flatten(0, 1).repeat_interleave(share, 2).transpose(1, 2)

    prompt_length = prompt_key.shape[1]
    visible = torch.ones(length, prompt_length + length, dtype=torch.bool, device=query.device).tril(prompt_length)
    attended = scaled_dot_product_attention(
        query.flatten(0, 1).transpose(1, 2),
        joined(prompt_key, key),
        joined(prompt_value, value),
        attn_mask=visible,
        scale=scaling,
    )
    return attended.transpose(1, 2).unflatten(0, (prompts, group))


def _flex(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, groups: Layout, scaling: float) -> torch.Tensor:
    attend = _compiled_flex() if query.is_cuda else _plain_flex()
    shared = query.shape[1] != key.shape[1]
    attended = attend(query, key, value, block_mask=groups.block_mask, scale=scaling, enable_gqa=shared)
    return attended.transpose(1, 2)


def _plain_flex() -> Any:
    from torch.nn.attention.flex_attention import flex_attention

    return flex_attention


@functools.cache
def _compiled_flex() -> Any:
    return torch.compile(_plain_flex(), dynamic=True)


def use_group_attention(model: Any) -> None:
    """Let the language model's layers understand packed rows; everything else keeps transformers' SDPA.

    Called again it does nothing. It stays in place, because gradient checkpointing runs layers again in the backward
    pass, and those must take the same path.

    Args:
        model: A Qwen-VL ``ForConditionalGeneration`` loaded with SDPA attention.

    Raises:
        ValueError: Another attention implementation, sliding windows, or attention dropout.
    """
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    config = model.config.get_text_config()
    if config._attn_implementation == ATTENTION_NAME:
        return
    if config._attn_implementation != "sdpa":
        raise ValueError(f"attention: expected a model loaded with 'sdpa', got {config._attn_implementation!r}")
    if "sliding_attention" in (getattr(config, "layer_types", None) or ()):
        raise ValueError("attention: layers with a sliding window are not supported; set use_sliding_window=False")
    if getattr(config, "attention_dropout", 0.0):
        raise ValueError(f"attention_dropout: expected 0, got {config.attention_dropout}")
    AttentionInterface.register(ATTENTION_NAME, group_attention)
    AttentionMaskInterface.register(ATTENTION_NAME, sdpa_mask)
    config._attn_implementation = ATTENTION_NAME
