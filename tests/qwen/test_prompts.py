"""Prompts under the published chat template and processor settings, at the sizes of real images."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from published import FAMILIES, PREPROCESSOR, write_checkpoint

from geor1.answers import pairing_prompt, to_messages
from geor1.models.encoding import PatchCache, PromptEncoder, portions
from geor1.models.loading import load_processor
from geor1.models.tiny import chat_template
from geor1.sft.data import ScaffoldCollator

LETTERS = "ABCDE"
SYSTEM = {"qwen2.5-vl": "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n", "qwen3-vl": ""}
IMAGE = "<|vision_start|><|image_pad|><|vision_end|>"
NATIVE_PX = ((1232, 224), *[(750, 750)] * 5)  # CVUSA's panorama and tiles


@pytest.fixture(scope="module", params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def processor(tokenizers: Path, family: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return load_processor(write_checkpoint(tmp_path_factory.mktemp(family), tokenizers, family))


def question(processor: Any) -> str:
    messages = to_messages(pairing_prompt(LETTERS))
    return processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)


def noise(width_px: int, height_px: int, seed: int = 0) -> Image.Image:
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (height_px, width_px, 3), dtype=np.uint8))


def merged(width_px: int, height_px: int, family: str) -> int:
    """Tokens of an image within the limits: sides rounded to whole merged patches (Qwen2-VL, arXiv 2409.12191)."""
    side = PREPROCESSOR[family]["patch_size"] * 2
    return round(width_px / side) * round(height_px / side)


def test_the_chat_is_rendered_as_documented(processor: Any, family: str) -> None:
    text = pairing_prompt(LETTERS).replace("<image>", IMAGE)
    assert question(processor) == f"{SYSTEM[family]}<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n"
    assert family != "qwen2.5-vl" or processor.chat_template == chat_template()


def test_prompts_are_the_processors_own(processor: Any, family: str) -> None:
    pictures = [noise(width, height, seed) for seed, (width, height) in enumerate(NATIVE_PX)]
    encoder = PromptEncoder(processor)
    encoded = encoder.encode(pairing_prompt(LETTERS), pictures)
    stock = processor(text=[question(processor)], images=pictures, return_tensors="pt")
    assert encoded.input_ids == stock.input_ids[0].tolist()
    assert np.array_equal(np.concatenate([image.patches for image in encoded.images]), stock.pixel_values.numpy())
    pictures_tokens = sum(merged(*size, family) for size in NATIVE_PX)
    assert encoded.input_ids.count(encoder.image_token_id) == pictures_tokens
    assert len(encoded.input_ids) == encoder.count_tokens(pairing_prompt(LETTERS), NATIVE_PX)
    assert len(encoded.input_ids) == {"qwen2.5-vl": 4090, "qwen3-vl": 2991}[family]


def test_limits_of_pixels_hold(processor: Any, family: str) -> None:
    encoder = PromptEncoder(processor)
    tokens = [encoder.count_tokens("<image>", [size]) for size in ((9000, 4500), (40, 40))]
    few, many = (encoder.count_tokens("<image>", [size]) for size in ((2240, 2240), (4480, 4480)))
    most = {"qwen2.5-vl": 12_845_056 // 28**2, "qwen3-vl": 16_777_216 // 32**2}[family]
    words = few - merged(2240, 2240, family)
    assert tokens[0] - words <= most and many - words <= most < merged(4480, 4480, family)
    assert tokens[1] - words == {"qwen2.5-vl": 4, "qwen3-vl": 64}[family]  # enlarged to 56 x 56 and 256 x 256


def resizing(processor: Any, shift: float) -> Any:
    """The image processor under a name that says nothing of Pillow, with resized levels shifted."""
    stock = type(processor.image_processor)

    class Other(stock):
        def resize(self, *args: Any, **names: Any) -> Any:
            return stock.resize(self, *args, **names) + shift

    other = copy.copy(processor.image_processor)
    other.__class__ = Other
    return other


@pytest.mark.parametrize(("shift", "as_bytes"), [(None, True), (0, True), (0.5, False)])
def test_resized_images_are_kept_as_bytes(processor: Any, tmp_path: Path, shift: float | None, as_bytes: bool) -> None:
    images = processor.image_processor if shift is None else resizing(processor, shift)
    noise(750, 600).save(tmp_path / "tile.png")
    cache = PatchCache(images)
    patches, grid = cache.patches(tmp_path / "tile.png")
    stock = images(images=[noise(750, 600)], return_tensors="np")
    assert np.array_equal(patches, stock["pixel_values"]) and [*grid] == stock["image_grid_thw"][0].tolist()
    kept = cache._stored[str(tmp_path / "tile.png")][0]
    assert kept.nbytes * 8 == patches.nbytes if as_bytes else kept.nbytes == patches.nbytes


def test_batches_are_bounded_by_their_tokens() -> None:
    assert list(portions([4090] * 64, most=64)) == [range(first, first + 16) for first in range(0, 64, 16)]
    assert list(portions([130] * 64, most=64)) == [range(0, 64)]
    assert list(portions([100_000, 1, 1], most=64)) == [range(0, 1), range(1, 3)]
    assert list(portions([1, 40_000, 1], most=2)) == [range(0, 1), range(1, 2), range(2, 3)]
    assert list(portions([], most=2)) == []


@pytest.mark.parametrize("answer", ["<answer> C </answer>", "<answer>C</answer>", "<answer>\nC\n</answer>"])
def test_hidden_letters_are_the_letters_alone(processor: Any, answer: str) -> None:
    """With ``answer_letter_loss`` off, the tokens without loss hold the letters, and nothing else of the chain."""
    chain = f"<think>\nConclusion: the river turns as on tile C.\n</think>\n{answer}"
    collator = ScaffoldCollator(processor, answer_letter_loss=False, image_cache_mb=1)
    ids, labels = collator._target(chain, "pairing")
    hidden = [collator._tokenizer.decode([token]) for token, label in zip(ids, labels, strict=True) if label < 0]
    assert [text.strip(" >\n") for text in hidden] == ["C", "C"]
    assert ids[-1] == labels[-1] == 151645
