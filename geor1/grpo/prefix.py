"""Score the G completions of a prompt from one pass over the prompt, exactly.

Row by row, a group of G completions costs G passes over the same images and the same prompt, and as many passes over
padding. Here all prompts of a batch and all their completions lie in one packed row (:mod:`geor1.grpo.attention`): each
image, prompt token and completion token runs once, padding never. Log probabilities and gradients equal those of the
row-by-row computation to rounding (tested to 1e-5 in float32), for Qwen2-VL, Qwen2.5-VL and Qwen3-VL, with gradient
checkpointing and without.

Axis letters: B prompts, G completions of a group, N = B*G rows, P prompt tokens, C completion tokens.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import torch

from geor1.grpo.attention import Layout, choose_kernel, lay_out, use_group_attention
from geor1.grpo.logits import ChunkedScores
from geor1.models.encoding import PromptBatch
from geor1.models.positions import prompt_positions
from geor1.models.vision import encode_images

LOGITS_BUDGET_BYTES = 1 << 28  # float32 logits held at a time


@dataclasses.dataclass(frozen=True)
class Scores:
    """Per-token scores of completions.

    Attributes:
        log_probs: log p(token | prompt, earlier tokens) at the sampling temperature, float32 [N, C]; 0 on padding.
        entropies: Entropy of each prediction in nats, without gradient, [N, C]; None if not asked for.
    """

    log_probs: torch.Tensor
    entropies: torch.Tensor | None


@dataclasses.dataclass(frozen=True)
class _Packed:
    """Prompts and completions in one row of L tokens.

    Attributes:
        layout: Where they lie.
        ids: Token ids [1, L].
        positions: M-RoPE positions [3, 1, L].
        predicting: For each completion token that counts, in order, the token of the row that predicts it.
    """

    layout: Layout
    ids: torch.Tensor
    positions: torch.Tensor
    predicting: torch.Tensor


def score_completions(
    model: Any,
    batch: PromptBatch,
    completions: torch.Tensor,
    completion_mask: torch.Tensor,
    *,
    temperature: float = 1.0,
    with_entropy: bool = False,
    kernel: str | None = None,
    logits_chunk_tokens: int = 0,
) -> Scores:
    """Score completions that come in groups of equal size, prompt by prompt.

    Args:
        model: A Qwen-VL ``ForConditionalGeneration`` loaded with SDPA attention.
        batch: B left-padded prompts, each once.
        completions: Token ids [N, C], right-padded; rows ``b*G … b*G+G-1`` answer prompt ``b``.
        completion_mask: [N, C], 1 on tokens that count: the first ones of each row, or none.
        temperature: Sampling temperature that the logits are divided by, > 0.
        with_entropy: Whether to return entropies too.
        kernel: How attention is computed, see :mod:`geor1.grpo.attention`; None takes what is fastest on the device.
        logits_chunk_tokens: Logits are made, used and in the backward pass made again for so many tokens at a time; 0
            for as many as fit ``LOGITS_BUDGET_BYTES``.

    Returns:
        Scores; gradients flow to all parameters that require them, images included.

    Raises:
        ValueError: The rows are no whole number of groups, a mask has a gap, a completion holds an image token, or the
            model's attention cannot be replaced.
    """
    rows = completions.shape[0]
    prompts = batch.input_ids.shape[0]
    if rows % prompts:
        raise ValueError(f"completions: expected a multiple of {prompts} rows (one group a prompt), got {rows}")
    counted = completion_mask.bool()
    if bool((counted[:, 1:] & ~counted[:, :-1]).any()):
        row = int((counted[:, 1:] & ~counted[:, :-1]).any(1).nonzero()[0])
        raise ValueError(f"completion_mask: expected ones and then zeros in each row, row {row} has a gap")
    _refuse_image_tokens(model, completions, counted)
    use_group_attention(model)
    kernel = kernel or choose_kernel(batch.input_ids.device, model.dtype)
    packed = _pack(model, batch, completions, counted, kernel)
    hidden = model.model(
        input_ids=packed.ids,
        position_ids=packed.positions,
        mm_encoder_outputs=encode_images(model, batch),
        use_cache=False,
        groups=packed.layout,
    ).last_hidden_state[0]
    chosen, entropy = _score(
        model.lm_head, hidden[packed.predicting], completions[counted], temperature, with_entropy, logits_chunk_tokens
    )
    zeros = torch.zeros(completions.shape, dtype=chosen.dtype, device=chosen.device)
    return Scores(
        log_probs=zeros.masked_scatter(counted, chosen),
        entropies=None if entropy is None else zeros.masked_scatter(counted, entropy),
    )


def _refuse_image_tokens(model: Any, completions: torch.Tensor, counted: torch.Tensor) -> None:
    """An image token in a completion would take an image's features from the prompt's."""
    for name in ("image_token_id", "video_token_id"):
        token = getattr(model.config, name, None)
        found = ((completions == token) & counted).any(1) if token is not None else counted[:, 0] & False
        if bool(found.any()):
            raise ValueError(
                f"completions: row {int(found.nonzero()[0])} holds {name} {token}, which stands for pixels"
            )


def _pack(model: Any, batch: PromptBatch, completions: torch.Tensor, counted: torch.Tensor, kernel: str) -> _Packed:
    """Plan the row and fill it. A completion's last token is predicted but predicts nothing, so it stays out."""
    device = completions.device
    group = completions.shape[0] // batch.input_ids.shape[0]
    prompt_tokens = batch.attention_mask.sum(1).tolist()
    lengths = counted.sum(1).tolist()
    read = [max(0, length - 1) for length in lengths]
    layout = lay_out(prompt_tokens, read, kernel=kernel, device=device)
    positions, start = prompt_positions(model, batch)
    steps = torch.arange(completions.shape[1], device=device)
    ids, places, predicting = [], [], [torch.empty(0, dtype=torch.long, device=device)] * len(lengths)
    filled, prompt = 0, 0
    for run in layout.runs:
        ends = []
        for index in range(prompt, prompt + run.prompts):
            kept = batch.attention_mask[index].bool()
            ids.append(batch.input_ids[index, kept])
            places.append(positions[:, index, kept])
            filled += run.prompt_tokens
            ends.append(filled)
        for row in range(prompt * group, (prompt + run.prompts) * group):
            own, last = row // group, read[row]
            ids.append(completions[row, :last])
            places.append((start[own] + steps[:last]).expand(3, -1))
            if lengths[row]:
                first = torch.tensor([ends[own - prompt] - 1], device=device)
                predicting[row] = torch.cat([first, filled + steps[:last]])
            filled += last
        prompt += run.prompts
    return _Packed(layout, torch.cat(ids)[None], torch.cat(places, dim=1)[:, None], torch.cat(predicting))


def _score(
    head: Any, hidden: torch.Tensor, tokens: torch.Tensor, temperature: float, with_entropy: bool, chunk_tokens: int
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Log p of each token and, if asked for, the entropy of its prediction, [tokens] each, float32.

    Logits of all tokens at once would need tokens x vocabulary x 4 bytes, several times over.
    """
    if head.bias is not None:
        raise ValueError("lm_head: expected a head without bias, as the Qwen-VL families have")
    size = chunk_tokens or max(1, LOGITS_BUDGET_BYTES // (4 * head.weight.shape[0]))
    chosen, entropies = ChunkedScores.apply(hidden, head.weight, tokens, temperature, with_entropy, size)
    return chosen, entropies if with_entropy else None
