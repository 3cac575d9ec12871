"""Generate answers to prompts with images: batched, greedy or sampled, in the caller's order."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geor1.models.encoding import EncodedPrompt, PromptEncoder, portions, size_px

if TYPE_CHECKING:
    from PIL import Image
    from transformers.processing_utils import ProcessorMixin


@dataclasses.dataclass(frozen=True)
class Generation:
    """One completion.

    Attributes:
        text: The completion without end token and other special tokens; the answer format's tags stay.
        completion_tokens: Its length in tokens, the end token included.
        finished: Whether the model ended it itself (False: cut at the limit).
    """

    text: str
    completion_tokens: int
    finished: bool


def end_tokens(model: Any, tokenizer: Any) -> tuple[int, ...]:
    """Ids of the tokens that end a completion, from the model's generation settings and the tokenizer."""
    configured = model.generation_config.eos_token_id
    listed = configured if isinstance(configured, (list, tuple)) else [configured]
    ids = dict.fromkeys([*listed, tokenizer.eos_token_id])
    return tuple(int(token) for token in ids if token is not None)


def to_generation(tokenizer: Any, ids: Sequence[int], eos_token_ids: tuple[int, ...]) -> Generation:
    """Describe one completion given as token ids, the end token included if it ended."""
    finished = bool(ids) and ids[-1] in eos_token_ids
    text = tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return Generation(text=text, completion_tokens=len(ids), finished=finished)


def generate(
    model: Any,
    processor: ProcessorMixin,
    prompts: Sequence[str],
    images: Sequence[Sequence[Image.Image | Path | str]],
    *,
    max_new_tokens: int = 160,
    temperature: float = 0.0,
    seed: int = 0,
    batch_size: int = 32,
    encoder: PromptEncoder | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[Generation]:
    """Generate one completion a prompt; when greedy, the same question about the same images is answered once.

    Args:
        model: A Qwen-VL model; it is put in evaluation mode meanwhile.
        processor: Its processor.
        prompts: User texts, each with one ``<image>`` marker an image.
        images: For each prompt its pictures or image paths, in the order of the markers (an empty list for none). A
            picture object or path that several prompts of a batch show goes through the vision tower once.
        max_new_tokens: Tokens at which a completion is cut.
        temperature: 0 for greedy decoding, else the sampling temperature.
        seed: Seed of the sampling; unused when greedy.
        batch_size: Prompts at a time at most, similar ones together (see :func:`geor1.models.encoding.portions`).
        encoder: Reuse one to keep its image cache between calls.
        progress: Called with the number of prompts done after each batch.

    Returns:
        The completions in the order of ``prompts``.

    Raises:
        ValueError: Prompts and images differ in number, or markers and images of a prompt do.
        ImageReadError: An image file cannot be read.
    """
    import torch

    if len(prompts) != len(images):
        raise ValueError(f"images: expected one list a prompt ({len(prompts)}), got {len(images)}")
    if temperature < 0 or max_new_tokens < 1 or batch_size < 1:
        raise ValueError(f"expected {temperature=} >= 0, {max_new_tokens=} >= 1 and {batch_size=} >= 1")
    generator = torch.Generator(device=model.device).manual_seed(seed)
    settings = {"max_new_tokens": max_new_tokens, "temperature": temperature, "generator": generator}
    encoder = encoder or PromptEncoder(processor)
    images = [list(shown) for shown in images]  # what makes pictures when asked would make others with the same id
    alike = _alike(prompts, images) if temperature == 0 else {index: [index] for index in range(len(prompts))}
    order = sorted(alike, key=lambda index: (len(images[index]), len(prompts[index]), index))
    results: dict[int, Generation] = {}
    was_training = model.training
    model.eval()
    try:
        for chosen in _batches(encoder, prompts, images, order, batch_size):
            encoded = encoder.encode_all([prompts[index] for index in chosen], [images[index] for index in chosen])
            for index, generation in zip(chosen, _answer(model, processor, encoder, encoded, settings), strict=True):
                results.update(dict.fromkeys(alike[index], generation))
            if progress is not None:
                progress(sum(len(alike[index]) for index in chosen))
    finally:
        model.train(was_training)
    return [results[index] for index in range(len(prompts))]


def _alike(prompts: Sequence[str], images: Sequence[Sequence[Image.Image | Path | str]]) -> dict[int, list[int]]:
    """The first prompt of each wording about the same image objects or paths, and all that equal it.

    Where images are hidden from a model, as a control, most prompts are alike.
    """
    members: dict[tuple[str | int, ...], list[int]] = {}
    for index, (prompt, shown) in enumerate(zip(prompts, images, strict=True)):
        same = (str(image) if isinstance(image, (str, Path)) else id(image) for image in shown)
        members.setdefault((prompt, *same), []).append(index)
    return {indices[0]: indices for indices in members.values()}


def _batches(
    encoder: PromptEncoder,
    prompts: Sequence[str],
    images: Sequence[Sequence[Image.Image | Path | str]],
    order: Sequence[int],
    most: int,
) -> Iterator[list[int]]:
    """Prompts in order, as many together as fit; nothing is decoded to count their tokens."""
    lengths = [encoder.count_tokens(prompts[index], list(map(size_px, images[index]))) for index in order]
    for places in portions(lengths, most):
        yield [order[place] for place in places]


def _answer(
    model: Any,
    processor: ProcessorMixin,
    encoder: PromptEncoder,
    prompts: list[EncodedPrompt],
    settings: dict[str, Any],
) -> list[Generation]:
    """One batch."""
    from geor1.models.decoding import decode

    ends = end_tokens(model, processor.tokenizer)
    decoded = decode(model, encoder.stack(prompts).to(model.device), eos_token_ids=ends, **settings)
    return [to_generation(processor.tokenizer, row, ends) for row in decoded.tokens]
