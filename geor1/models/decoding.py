"""Decode G completions a prompt from one shared prompt pass.

Images and prompt run through the model once a prompt. While decoding, the G rows of a group attend to the prompt's
keys in place (never copied G times) and to their own tokens in a preallocated buffer; the two partial softmaxes are
merged exactly. Source of the merging rule: Juravsky et al. 2024, Hydragen, arXiv 2402.05099, section 3.1.

Axis letters: B prompts, G completions of a group, N = B*G rows, P prompt tokens, H query heads, K key heads.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any

import torch

from geor1.models.encoding import PromptBatch
from geor1.models.positions import prompt_positions
from geor1.models.vision import encode_images

ATTENTION_NAME = "geor1_shared_prefix"
# Tokens that stand for picture content; sampling one would demand pixels that do not exist.
NEVER_SAMPLED: tuple[str, ...] = ("image_token_id", "video_token_id")


@dataclasses.dataclass(frozen=True)
class Prefill:
    """The prompts after one pass through the model.

    Attributes:
        hidden: Last hidden state of each prompt, [B, hidden].
        keys: One tensor a layer, [B, K, P, head].
        values: As ``keys``.
        start: M-RoPE position of the first completion token of each prompt, [B].
        mask: [B, P] with 0 on padding, or None if nothing is padded.
    """

    hidden: torch.Tensor
    keys: list[torch.Tensor]
    values: list[torch.Tensor]
    start: torch.Tensor
    mask: torch.Tensor | None

    def take(self, part: slice) -> Prefill:
        """Some of the prompts, sharing their memory."""
        return Prefill(
            hidden=self.hidden[part],
            keys=[keys[part] for keys in self.keys],
            values=[values[part] for values in self.values],
            start=self.start[part],
            mask=None if self.mask is None else self.mask[part],
        )


def prefill(model: Any, batch: PromptBatch) -> Prefill:
    """Run images and prompts through the model once, keeping keys and values (with gradients, if enabled).

    Args:
        model: A Qwen-VL ``ForConditionalGeneration``.
        batch: Left-padded prompts. The last token of each is text, as the chat template guarantees.
    """
    from transformers import DynamicCache

    positions, start = prompt_positions(model, batch)
    cache = DynamicCache(config=model.config.get_text_config())
    mask = batch.attention_mask if batch.padded else None
    output = model.model(
        input_ids=batch.input_ids,
        attention_mask=mask,
        position_ids=positions,
        mm_encoder_outputs=encode_images(model, batch),
        past_key_values=cache,
        use_cache=True,
    )
    return Prefill(
        hidden=output.last_hidden_state[:, -1],
        keys=[layer.keys for layer in cache.layers],
        values=[layer.values for layer in cache.layers],
        start=start,
        mask=mask,
    )


class SharedPrefixCache:
    """Keys and values while decoding: the prompts' own, shared by a group, and a buffer for new tokens.

    It stands in for a transformers cache: ``update`` hands the attention below what it needs instead of one tensor.

    Args:
        prefill: From :func:`prefill`.
        group_size: Rows a prompt, G.
        max_new_tokens: Capacity of the buffer.
    """

    def __init__(self, prefill: Prefill, group_size: int, max_new_tokens: int) -> None:
        self.prefix = prefill
        self.group_size = group_size
        self.length = 0
        first = prefill.keys[0]
        shape = (first.shape[0] * group_size, first.shape[1], max_new_tokens, first.shape[3])
        self._keys = [first.new_empty(shape) for _ in prefill.keys]
        self._values = [first.new_empty(shape) for _ in prefill.keys]

    def update(self, keys: torch.Tensor, values: torch.Tensor, layer_idx: int, *_: Any, **__: Any) -> tuple[Any, Any]:
        """Store one new token a row; return what :func:`shared_prefix_attention` takes as key and value."""
        filled = self.length + 1
        self._keys[layer_idx][:, :, self.length : filled] = keys
        self._values[layer_idx][:, :, self.length : filled] = values
        if layer_idx == len(self._keys) - 1:
            self.length = filled
        own = (self._keys[layer_idx][:, :, :filled], self._values[layer_idx][:, :, :filled])
        return (self.prefix.keys[layer_idx], self.prefix.values[layer_idx], self.prefix.mask), own

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Tokens held, prompt included."""
        return self.prefix.keys[layer_idx].shape[2] + self.length


def shared_prefix_attention(
    module: Any, query: torch.Tensor, key: Any, value: Any, attention_mask: Any, scaling: float, **_: Any
) -> tuple[torch.Tensor, None]:
    """Attention of one new token a row over its group's prompt and its own earlier tokens.

    Args:
        module: The attention layer (unused, part of transformers' attention interface).
        query: [N, H, 1, head].
        key: (prompt keys [B, K, P, head], prompt values, prompt mask [B, P] or None) from :class:`SharedPrefixCache`.
        value: (own keys [N, K, T, head], own values).
        attention_mask: Ignored; the prompt's mask comes with ``key``.
        scaling: Factor on the scores.

    Returns:
        [N, 1, H, head] and None.
    """
    prompt_keys, prompt_values, mask = key
    own_keys, own_values = value
    prompts, key_heads, _length, head = prompt_keys.shape
    rows, heads = query.shape[:2]
    group, share = rows // prompts, heads // key_heads
    query = query.reshape(prompts, group, key_heads, share, head) * scaling

    folded = query.transpose(1, 2).reshape(prompts, key_heads, group * share, head)
    scores = folded @ prompt_keys.transpose(2, 3)  # [B, K, G*share, P]
    if mask is not None:
        scores = scores.masked_fill(mask[:, None, None, :] == 0, float("-inf"))
    top_prompt = scores.amax(-1, keepdim=True)
    weights = (scores - top_prompt).exp_()
    sum_prompt = weights.sum(-1, keepdim=True)
    from_prompt = weights @ prompt_values

    own_scores = query.reshape(rows, key_heads, share, head) @ own_keys.transpose(2, 3)  # [N, K, share, T]
    top_own = own_scores.amax(-1, keepdim=True)
    own_weights = (own_scores - top_own).exp_()
    sum_own = own_weights.sum(-1, keepdim=True)
    from_own = own_weights @ own_values

    def unfold(folded_: torch.Tensor) -> torch.Tensor:
        """[B, K, G*share, x] to [N, K, share, x]: from one prompt's rows together to one row each."""
        apart = folded_.reshape(prompts, key_heads, group, share, folded_.shape[-1])
        return apart.transpose(1, 2).reshape(rows, key_heads, share, folded_.shape[-1])

    top_prompt, sum_prompt, from_prompt = unfold(top_prompt), unfold(sum_prompt), unfold(from_prompt)
    top = torch.maximum(top_prompt, top_own)
    scale_prompt, scale_own = (top_prompt - top).exp(), (top_own - top).exp()
    merged = (from_prompt * scale_prompt + from_own * scale_own) / (sum_prompt * scale_prompt + sum_own * scale_own)
    return merged.reshape(rows, 1, heads, head), None


@contextlib.contextmanager
def _decoding_attention(model: Any) -> Iterator[None]:
    from transformers import AttentionInterface

    AttentionInterface.register(ATTENTION_NAME, shared_prefix_attention)
    text_config = model.config.get_text_config()
    before = text_config._attn_implementation
    text_config._attn_implementation = ATTENTION_NAME
    try:
        yield
    finally:
        text_config._attn_implementation = before


SAMPLERS = ("inverse", "multinomial")


def pick_tokens(
    logits: torch.Tensor,
    temperature: float,
    drawn: torch.Tensor | None,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """One token a row: the likeliest at temperature 0, else a sample from softmax(logits / temperature).

    Args:
        logits: [N, vocabulary], float32.
        temperature: At least 0.
        drawn: Uniform numbers in [0, 1), [N], that invert the cumulative distribution: one draw a row instead of one a
            word. None draws by ``torch.multinomial``, as transformers' ``generate`` does.
        generator: Source of randomness where ``drawn`` is None.

    Returns:
        Token ids [N].
    """
    if temperature == 0:
        return logits.argmax(-1)
    probabilities = torch.softmax(logits / temperature, dim=-1)
    if drawn is None:
        return torch.multinomial(probabilities, 1, generator=generator)[:, 0]
    cumulative = probabilities.cumsum(-1)
    reached = drawn[:, None] * cumulative[:, -1:]
    # The first token whose cumulative probability exceeds the draw; a token of probability 0 never does so first.
    return torch.searchsorted(cumulative, reached, right=True).clamp(max=logits.shape[1] - 1)[:, 0]


@dataclasses.dataclass(frozen=True)
class Decoded:
    """Completions of a batch, prompt-major, N = B*G rows.

    Attributes:
        tokens: Token ids of each row; a completion that ended keeps its end token as its last.
        log_probs: log p of each chosen token at the sampling temperature, [N, T], meaningless beyond a row's length;
            None if not asked for.
        entropies: Entropy of each prediction in nats, [N, T], likewise.
    """

    tokens: list[list[int]]
    log_probs: torch.Tensor | None
    entropies: torch.Tensor | None


@torch.no_grad()
def decode(
    model: Any,
    batch: PromptBatch,
    *,
    group_size: int = 1,
    max_new_tokens: int,
    temperature: float,
    generator: torch.Generator | None = None,
    eos_token_ids: tuple[int, ...],
    with_scores: bool = False,
    sampler: str = "inverse",
) -> Decoded:
    """Decode ``group_size`` completions for each prompt of a batch; stops as soon as all rows have ended.

    On CPU the prompts are shared out among torch's threads: a decoding step is many small operations, in which threads
    would wait for one another. A row's random numbers do not depend on it, the last digits of its scores do.

    Args:
        model: A Qwen-VL ``ForConditionalGeneration``.
        batch: B left-padded prompts.
        group_size: Completions a prompt, G.
        max_new_tokens: Tokens at which a completion is cut.
        temperature: 0 for greedy decoding.
        generator: Source of randomness; None takes torch's own.
        eos_token_ids: Tokens that end a completion.
        with_scores: Whether to return log probabilities and entropies, of the distribution that scoring sees.
        sampler: ``inverse``, or ``multinomial``: slower, the tokens of transformers' ``generate`` from the same seed.

    Raises:
        ValueError: ``sampler`` is unknown.
    """
    if sampler not in SAMPLERS:
        raise ValueError(f"sampler: expected one of {SAMPLERS}, got {sampler!r}")
    prompts = prefill(model, batch)
    count, device = len(prompts.hidden), prompts.hidden.device
    draws = temperature and sampler == "inverse"
    noise = torch.rand(max_new_tokens, count * group_size, generator=generator, device=device) if draws else None
    settings = (max_new_tokens, temperature, torch.tensor(eos_token_ids, device=device), with_scores, generator)
    # A generator gives its numbers in one order only.
    threads = min(torch.get_num_threads(), count) if device.type == "cpu" and sampler == "inverse" else 1
    with _decoding_attention(model):
        if threads == 1:
            return _decode(model, prompts, group_size, noise, *settings)
        edges = [count * place // threads for place in range(threads + 1)]
        parts = [slice(first, end) for first, end in itertools.pairwise(edges)]

        def alone(part: slice) -> Decoded:
            """Decode a part of the prompts in one thread."""
            torch.set_num_threads(1)
            rows = slice(part.start * group_size, part.stop * group_size)
            own_noise = None if noise is None else noise[:, rows]
            with torch.no_grad():  # which is each thread's own
                return _decode(model, prompts.take(part), group_size, own_noise, *settings)

        computing = torch.get_num_threads()
        try:
            with concurrent.futures.ThreadPoolExecutor(threads) as pool:
                return _joined(list(pool.map(alone, parts)))
        finally:
            torch.set_num_threads(computing)  # the workers' setting is what new threads begin with


def _decode(
    model: Any,
    prompts: Prefill,
    group_size: int,
    noise: torch.Tensor | None,
    max_new_tokens: int,
    temperature: float,
    ends: torch.Tensor,
    with_scores: bool,
    generator: torch.Generator | None,
) -> Decoded:
    """The decoding loop; ``noise`` is [max_new_tokens, N] or None."""
    cache = SharedPrefixCache(prompts, group_size, max_new_tokens)
    start = prompts.start.repeat_interleave(group_size)
    hidden = prompts.hidden.repeat_interleave(group_size, 0)
    barred = barred_tokens(model)
    finished = torch.zeros_like(start, dtype=torch.bool)
    lengths = torch.full_like(start, max_new_tokens)
    tokens: list[torch.Tensor] = []
    scores: list[tuple[torch.Tensor, torch.Tensor]] = []
    for step in range(max_new_tokens):
        logits = model.lm_head(hidden).float()
        unbarred = logits.clone() if with_scores else None
        logits[:, barred] = float("-inf")
        chosen = pick_tokens(logits, temperature, None if noise is None else noise[step], generator)
        tokens.append(chosen)
        if unbarred is not None:
            scores.append(_score_choice(unbarred, chosen, temperature))
        ended = torch.isin(chosen, ends) & ~finished
        lengths = torch.where(ended, step + 1, lengths)
        finished |= ended
        if step + 1 == max_new_tokens or bool(finished.all()):
            break
        hidden = _advance(model, cache, chosen, start + step)
    ids = torch.stack(tokens, dim=1).tolist()
    return Decoded(
        tokens=[row[:length] for row, length in zip(ids, lengths.tolist(), strict=True)],
        log_probs=torch.stack([chosen for chosen, _ in scores], dim=1) if scores else None,
        entropies=torch.stack([entropy for _, entropy in scores], dim=1) if scores else None,
    )


def _joined(parts: list[Decoded]) -> Decoded:
    """Parts of one batch together again; shorter scores are filled up with zeros."""

    def stacked(tensors: list[Any]) -> torch.Tensor | None:
        """[N, T] of all parts, or None."""
        if tensors[0] is None:
            return None
        longest = max(tensor.shape[1] for tensor in tensors)
        return torch.cat([torch.nn.functional.pad(tensor, (0, longest - tensor.shape[1])) for tensor in tensors])

    tokens = [row for part in parts for row in part.tokens]
    return Decoded(tokens, stacked([part.log_probs for part in parts]), stacked([part.entropies for part in parts]))


def _advance(model: Any, cache: SharedPrefixCache, tokens: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """Feed one token a row at its position, [N] each; return the hidden states that predict the next, [N, hidden]."""
    output = model.model.language_model(
        inputs_embeds=model.get_input_embeddings()(tokens)[:, None],
        position_ids=positions[None, :, None].expand(3, -1, -1),
        past_key_values=cache,
        use_cache=True,
    )
    return output.last_hidden_state[:, -1]


def barred_tokens(model: Any) -> list[int]:
    """Ids of the tokens that must never be sampled."""
    tokens = [getattr(model.config, name, None) for name in NEVER_SAMPLED]
    return [token for token in tokens if token is not None]


def _score_choice(logits: torch.Tensor, chosen: torch.Tensor, temperature: float) -> tuple[torch.Tensor, torch.Tensor]:
    """log p of the chosen token and the entropy of its distribution, [N] each."""
    normalised = torch.log_softmax(logits / (temperature or 1.0), dim=-1)
    return normalised.gather(-1, chosen[:, None])[:, 0], -(normalised.exp() * normalised).sum(-1)
