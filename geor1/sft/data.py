"""Scaffolds as training batches: order of consumption, labels, and a collator that prepares each image once."""

from __future__ import annotations

import collections
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from geor1.answers import to_messages
from geor1.models.encoding import PromptEncoder
from geor1.models.tiny import END_OF_TURN
from geor1.records import RecordError, Scaffold, read_jsonl

if TYPE_CHECKING:
    import torch
    from datasets import Dataset
    from transformers.processing_utils import ProcessorMixin

IGNORED = -100  # label of tokens without loss, torch's convention
# Where a pairing chain names its option: at the end of the thinking and in the answer block.
LETTER_SPANS = (re.compile(r"\btile\s+\(?([A-Z])\b"), re.compile(r"<answer>\s*\(?([A-Z])\b"))


def load_scaffolds(data: Path, file: str, max_examples: int) -> list[Scaffold]:
    """Read the scaffolds of a data folder.

    Args:
        data: Run folder of stage 01.
        file: File name in it.
        max_examples: How many to keep, 0 for all.

    Raises:
        RecordError: The file is missing, empty or malformed, or holds test items.
    """
    path = data / file
    if not path.is_file():
        raise RecordError(f"{path}: no such file; expected the run folder of 01_data_synthesis")
    scaffolds = read_jsonl(path, Scaffold)
    if not scaffolds:
        raise RecordError(f"{path}: expected at least one scaffold, the file is empty")
    test = [scaffold.scaffold_id for scaffold in scaffolds if scaffold.split != "train"]
    if test:
        raise RecordError(f"{path}: {len(test)} scaffolds of the test split (first: {test[0]}); train on none of them")
    return scaffolds[: max_examples or None]


def consumption_order(scaffolds: Sequence[Scaffold], batch_size: int, steps: int, seed: int) -> list[int]:
    """Which scaffold stands where in training.

    Every pass shuffles the scaffolds and cuts each kind into batches of its own, whose lengths are alike, so that
    padding costs little; the batches of the kinds are then shuffled together. What does not fill a batch in one pass
    leads the next. The letters that chains conclude with are spread evenly over the batches: drawn as they come, those
    of the last batches leave a habit (0.17 to 0.25 of the probability, a tenth to four tenths at temperature 0.25),
    and a letter that is not sampled cannot be rewarded.

    Args:
        scaffolds: All of them.
        batch_size: Examples a batch.
        steps: Batches wanted.
        seed: Seed of the shuffles.

    Returns:
        ``steps * batch_size`` indices into ``scaffolds``.
    """
    rng = np.random.default_rng(seed)
    kinds = sorted({(scaffold.kind, len(scaffold.images)) for scaffold in scaffolds})
    members = {kind: [i for i, one in enumerate(scaffolds) if (one.kind, len(one.images)) == kind] for kind in kinds}
    left: dict[tuple[str, int], list[int]] = {kind: [] for kind in kinds}
    letters = [_concluding_letter(scaffold) for scaffold in scaffolds]
    order: list[int] = []
    while len(order) < steps * batch_size:
        batches = []
        for kind in kinds:
            shuffled = [members[kind][place] for place in rng.permutation(len(members[kind]))]
            queue = left[kind] + _spread(shuffled, letters)
            whole = len(queue) // batch_size * batch_size
            batches += [queue[first : first + batch_size] for first in range(0, whole, batch_size)]
            left[kind] = queue[whole:]
        for place in rng.permutation(len(batches)):
            order.extend(batches[place])
    return order[: steps * batch_size]


def _concluding_letter(scaffold: Scaffold) -> str:
    found = LETTER_SPANS[-1].findall(scaffold.completion) if scaffold.kind == "pairing" else []
    return found[-1] if found else ""


def _spread(order: Sequence[int], letters: Sequence[str]) -> list[int]:
    """The same indices with the letters spread evenly, those of one letter in the order that they come in."""
    counts = collections.Counter(letters[index] for index in order)
    seen: collections.Counter[str] = collections.Counter()
    shares = []
    for index in order:
        shares.append((seen[letters[index]] + 0.5) / counts[letters[index]])
        seen[letters[index]] += 1
    return [order[place] for place in np.argsort(shares, kind="stable")]


def to_dataset(scaffolds: Sequence[Scaffold], data: Path) -> Dataset:
    """Scaffolds in TRL's conversational prompt/completion form; images are absolute paths.

    Args:
        scaffolds: One row each, in this order.
        data: Folder that the image paths are relative to.
    """
    from datasets import Dataset

    return Dataset.from_dict(
        {
            "prompt": [to_messages(scaffold.prompt) for scaffold in scaffolds],
            "completion": [
                [{"role": "assistant", "content": [{"type": "text", "text": scaffold.completion}]}]
                for scaffold in scaffolds
            ],
            "images": [[str(data / image) for image in scaffold.images] for scaffold in scaffolds],
            "kind": [scaffold.kind for scaffold in scaffolds],
        }
    )


class ScaffoldCollator:
    """Collates rows of :func:`to_dataset`; the loss covers the completion and its end-of-turn token.

    Args:
        processor: The model's processor.
        answer_letter_loss: As in :class:`geor1.sft.config.SftConfig`.
        image_cache_mb: Memory for decoded images, MiB.
    """

    def __init__(self, processor: ProcessorMixin, *, answer_letter_loss: bool, image_cache_mb: int) -> None:
        self.encoder = PromptEncoder(processor, limit_bytes=image_cache_mb << 20)
        self._tokenizer = processor.tokenizer
        self._answer_letter_loss = answer_letter_loss

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """Right-padded batch with labels."""
        import torch

        prompts = [self.encoder.encode(_prompt_text(row["prompt"]), row["images"]) for row in rows]
        targets = [self._target(row["completion"][0]["content"][0]["text"], row["kind"]) for row in rows]
        lengths = [len(prompt.input_ids) + len(ids) for prompt, (ids, _) in zip(prompts, targets, strict=True)]
        ids = torch.full((len(rows), max(lengths)), self.encoder.pad_token_id)
        labels = torch.full_like(ids, IGNORED)
        mask = torch.zeros_like(ids)
        for row, (prompt, (tokens, wanted)) in enumerate(zip(prompts, targets, strict=True)):
            start = len(prompt.input_ids)
            ids[row, : lengths[row]] = torch.tensor(prompt.input_ids + tokens)
            labels[row, start : lengths[row]] = torch.tensor(wanted)
            mask[row, : lengths[row]] = 1
        batch = {
            "input_ids": ids,
            "attention_mask": mask,
            "mm_token_type_ids": ((ids == self.encoder.image_token_id) & mask.bool()).long(),
            "labels": labels,
        }
        seen = [image for prompt in prompts for image in prompt.images]
        if seen:
            batch["pixel_values"] = torch.cat([image.patches for image in seen])
            batch["image_grid_thw"] = torch.tensor([image.grid_thw for image in seen])
        return batch

    def _target(self, completion: str, kind: str) -> tuple[list[int], list[int]]:
        """Token ids and labels of a completion with its end of turn."""
        encoded = self._tokenizer(completion + END_OF_TURN, add_special_tokens=False, return_offsets_mapping=True)
        ids = list(encoded.input_ids)
        if self._answer_letter_loss or kind != "pairing":
            return ids, ids
        spans = [match.span(1) for pattern in LETTER_SPANS for match in pattern.finditer(completion)]
        hidden = [any(first < end and start < last for first, last in spans) for start, end in encoded.offset_mapping]
        return ids, [IGNORED if letter else token for token, letter in zip(ids, hidden, strict=True)]


def _prompt_text(messages: list[dict[str, Any]]) -> str:
    """The user's text with its image markers back in place."""
    parts = messages[0]["content"]
    return "".join("<image>" if part["type"] == "image" else part["text"] for part in parts)
