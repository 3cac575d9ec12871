"""Encoding against the processor, decoding against transformers' generate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_cases import picture, small_model
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from geor1.answers import to_messages
from geor1.grpo.rollout import roll_out
from geor1.models import encoding
from geor1.models.decoding import decode, pick_tokens, prefill
from geor1.models.encoding import EncodedPrompt, ImageReadError, PatchCache, PromptEncoder, read_image
from geor1.models.generate import end_tokens, generate, to_generation
from geor1.models.positions import prompt_positions

PROMPTS = (
    "ground : <image> A : <image> B : <image> ?",
    "north <image>",
    "tile : <image> so <image> which",
    "water forest",
)
COUNTS = (3, 1, 2, 0)


@pytest.fixture(scope="module")
def images() -> list[list[Image.Image]]:
    rng = np.random.default_rng(0)
    sizes = iter([(112, 56), (56, 56), (30, 70), (84, 84), (56, 28), (28, 84)])
    return [[picture(rng, *next(sizes)) for _ in range(count)] for count in COUNTS]


def test_encoding_equals_the_processor_bit_for_bit(images: list[list[Image.Image]]) -> None:
    _, processor = small_model()
    encoder = PromptEncoder(processor)
    for prompt, pictures in zip(PROMPTS, images, strict=True):
        mine = encoder.encode(prompt, pictures)
        text = processor.apply_chat_template(to_messages(prompt), add_generation_prompt=True, tokenize=False)
        stock = processor(text=[text], images=[pictures] if pictures else None, return_tensors="pt")
        assert stock["input_ids"][0].tolist() == mine.input_ids
        if pictures:
            stacked = encoder.stack([mine])
            assert torch.equal(stock["pixel_values"], stacked.pixel_values)
            assert torch.equal(stock["image_grid_thw"], stacked.image_grid_thw)
            assert torch.equal(stock["mm_token_type_ids"], stacked.mm_token_type_ids)


def test_positions_of_prompts_of_one_shape_are_made_once(
    images: list[list[Image.Image]], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, processor = small_model()
    encoder = PromptEncoder(processor)
    rng = np.random.default_rng(1)
    tall, wide = [picture(rng, 28, 84)], [picture(rng, 84, 28)]  # as many tokens, other grids
    pairs = [(PROMPTS[1], tall), (PROMPTS[3], []), (PROMPTS[1], wide), (PROMPTS[2], images[2])]
    encoded = [encoder.encode(prompt, pictures) for prompt, pictures in [*pairs, *pairs]]
    asked = []
    stock = model.model.get_rope_index
    monkeypatch.setattr(model.model, "get_rope_index", lambda ids, **rest: asked.append(len(ids)) or stock(ids, **rest))
    batch = encoder.stack(encoded)
    positions, start = prompt_positions(model, batch)
    assert asked == [4]
    for row, prompt in enumerate(encoded):
        alone, after = prompt_positions(model, encoder.stack([prompt]))
        assert torch.equal(positions[:, row, batch.attention_mask[row].bool()], alone[:, 0])
        assert start[row] == after[0]


def test_greedy_decoding_equals_transformers_row_by_row(images: list[list[Image.Image]]) -> None:
    model, processor = small_model(seed=1, spread=4.0, tied_embeddings=False)
    encoder = PromptEncoder(processor)
    encoded = [encoder.encode(prompt, pictures) for prompt, pictures in zip(PROMPTS, images, strict=True)]
    ends = end_tokens(model, processor.tokenizer)
    together = decode(model, encoder.stack(encoded), group_size=2, max_new_tokens=20, temperature=0, eos_token_ids=ends)
    for number, prompt in enumerate(encoded):
        alone = encoder.stack([prompt])
        pixels = {}
        if alone.pixel_values is not None:
            pixels = {"pixel_values": alone.pixel_values, "image_grid_thw": alone.image_grid_thw}
        model.model.rope_deltas = None
        stock = model.generate(
            input_ids=alone.input_ids,
            attention_mask=alone.attention_mask,
            mm_token_type_ids=alone.mm_token_type_ids,
            max_new_tokens=20,
            do_sample=False,
            suppress_tokens=[model.config.image_token_id, model.config.video_token_id],
            **pixels,
        )[0, alone.input_ids.shape[1] :].tolist()
        assert together.tokens[2 * number] == together.tokens[2 * number + 1] == stock
        assert len(set(stock)) > 3  # no mere repetition of one word


def test_what_is_sampled_from_a_seed_is_what_transformers_samples(images: list[list[Image.Image]]) -> None:
    """G copies of a prompt in one call of its ``generate``, against one prompt read once."""
    model, processor = small_model(seed=1, spread=3.0, tied_embeddings=False)
    encoder = PromptEncoder(processor)
    group = 4
    settings = {"max_new_tokens": 15, "temperature": 0.8}
    barred = [model.config.image_token_id, model.config.video_token_id]
    for text, pictures in zip(PROMPTS, images, strict=True):
        alone = encoder.stack([encoder.encode(text, pictures)])
        given = {"input_ids": alone.input_ids, "attention_mask": alone.attention_mask}
        given["mm_token_type_ids"] = alone.mm_token_type_ids
        if alone.pixel_values is not None:
            given |= {"pixel_values": alone.pixel_values, "image_grid_thw": alone.image_grid_thw}
        given = {name: torch.cat([value] * group) for name, value in given.items()}
        model.model.rope_deltas = None
        torch.manual_seed(7)
        stock = model.generate(**given, **settings, do_sample=True, top_k=0, top_p=1.0, suppress_tokens=barred)
        ends = end_tokens(model, processor.tokenizer)
        generator = torch.Generator().manual_seed(7)
        ours = decode(
            model, alone, group_size=group, eos_token_ids=ends, generator=generator, sampler="multinomial", **settings
        )
        assert len({tuple(row) for row in ours.tokens}) == group
        for row, ids in enumerate(ours.tokens):
            assert ids == stock[row, alone.input_ids.shape[1] :].tolist()[: len(ids)]
    with pytest.raises(ValueError, match="inverse"):
        decode(model, alone, eos_token_ids=ends, sampler="gumbel", **settings)


def test_generate_keeps_the_callers_order_whatever_the_batch_size(images: list[list[Image.Image]]) -> None:
    model, processor = small_model(seed=1, spread=4.0, tied_embeddings=False)
    model.train()
    by_one, by_three = (
        generate(model, processor, PROMPTS, images, max_new_tokens=8, batch_size=size) for size in (1, 3)
    )
    assert by_one == by_three
    assert len({result.text for result in by_one}) > 1
    assert model.training
    assert all(result.completion_tokens <= 8 for result in by_one)
    assert all("<|im_end|>" not in result.text for result in by_one)


@pytest.mark.parametrize(("tokens", "sizes"), [(1 << 16, [4]), (100, [3, 1]), (1, [1, 1, 1, 1])])
def test_long_prompts_are_read_few_at_a_time(
    images: list[list[Image.Image]], monkeypatch: pytest.MonkeyPatch, tokens: int, sizes: list[int]
) -> None:
    model, processor = small_model(seed=1, spread=4.0, tied_embeddings=False)
    whole = generate(model, processor, PROMPTS, images, max_new_tokens=8)
    read: list[int] = []
    stock = model.model.forward
    monkeypatch.setattr(model.model, "forward", lambda *a, **n: (read.append(len(n["input_ids"])), stock(*a, **n))[1])
    monkeypatch.setattr(encoding.portions, "__defaults__", (tokens,))
    assert generate(model, processor, PROMPTS, images, max_new_tokens=8) == whole
    encoder = PromptEncoder(processor)
    settings = {"group_size": 2, "max_new_tokens": 8, "temperature": 0.0, "seed": 0}
    ends = end_tokens(model, processor.tokenizer)
    rolled = roll_out(model, encoder, encoder.encode_all(PROMPTS, images), eos_token_ids=ends, **settings)
    texts = [to_generation(processor.tokenizer, ids, ends) for ids in rolled.completion_ids[::2]]
    assert texts == whole and read == sizes * 2


def test_an_image_that_several_prompts_show_is_seen_once(
    images: list[list[Image.Image]], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, processor = small_model(seed=1, spread=4.0, tied_embeddings=False)
    encoder = PromptEncoder(processor)
    first, second, third = images[0]
    shown = [[first, second, third], [third, first, second], [second], [second.copy()]]
    prompts = [PROMPTS[0], PROMPTS[0], PROMPTS[1], PROMPTS[1]]
    seen = []
    stock = model.model.get_image_features
    monkeypatch.setattr(
        model.model,
        "get_image_features",
        lambda pixels, grid, **rest: (seen.append(len(grid)), stock(pixels, grid, **rest))[1],
    )
    encoded = encoder.encode_all(prompts, shown)
    together = prefill(model, encoder.stack(encoded))
    assert seen == [4]  # three pictures and the copy, which is another object
    for row, (prompt, pictures) in enumerate(zip(prompts, shown, strict=True)):
        alone = prefill(model, encoder.stack([encoder.encode(prompt, [picture.copy() for picture in pictures])]))
        assert torch.allclose(together.hidden[row], alone.hidden[0], atol=1e-5)
        assert together.start[row] == alone.start[0]
    assert not torch.allclose(together.hidden[0], together.hidden[1], atol=1e-2)  # the order of pictures tells


def test_the_same_greedy_question_is_answered_once(
    images: list[list[Image.Image]], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, processor = small_model(seed=1, spread=4.0)
    asked = [0, 1, 0, 3, 3, 0, 1]
    prompts, shown = [PROMPTS[index] for index in asked], [images[index] for index in asked]
    shown[5] = [image.copy() for image in shown[5]]  # alike, but not known to be
    batches, stock = [], PromptEncoder.encode_all

    def counting(encoder: PromptEncoder, texts: list[str], pictures: list[list[Image.Image]]) -> list[EncodedPrompt]:
        batches.append(len(texts))
        return stock(encoder, texts, pictures)

    monkeypatch.setattr(PromptEncoder, "encode_all", counting)
    done: list[int] = []
    answers = generate(model, processor, prompts, shown, max_new_tokens=6, batch_size=3, progress=done.append)
    assert (batches, done) == ([3, 1], [6, 1])
    for index, answer in zip(asked, answers, strict=True):
        assert [answer] == generate(model, processor, [PROMPTS[index]], [images[index]], max_new_tokens=6)
    batches.clear()
    sampled = generate(model, processor, [PROMPTS[0]] * 8, [images[0]] * 8, max_new_tokens=6, temperature=1.0)
    assert batches == [8] and len({answer.text for answer in sampled}) > 1


class MadeWhenAsked:
    """Pictures that are made anew whenever they are asked for, as a lazy data set does."""

    def __len__(self) -> int:
        return 12

    def __getitem__(self, place: int) -> list[Image.Image]:
        if place >= len(self):
            raise IndexError
        return [Image.new("RGB", (28, 28), (20 * place, 0, 0))]


def test_pictures_made_when_asked_for_are_not_taken_for_one_another(monkeypatch: pytest.MonkeyPatch) -> None:
    model, processor = small_model(seed=1, spread=4.0)
    shown: list[int] = []
    stock = PromptEncoder.encode_all

    def noting(encoder: PromptEncoder, texts: list[str], pictures: list[list[Image.Image]]) -> list[EncodedPrompt]:
        shown.extend(picture.getpixel((0, 0))[0] for [picture] in pictures)
        return stock(encoder, texts, pictures)

    monkeypatch.setattr(PromptEncoder, "encode_all", noting)
    generate(model, processor, ["north <image>"] * 12, MadeWhenAsked(), max_new_tokens=2)
    assert sorted(shown) == [20 * place for place in range(12)]


def test_generate_reports_whether_a_completion_ended() -> None:
    model, processor = small_model()
    model.generation_config.eos_token_id = list(range(len(processor.tokenizer)))
    (ended,) = generate(model, processor, ["north"], [[]], max_new_tokens=5)
    assert ended.finished and ended.completion_tokens == 1
    model.generation_config.eos_token_id = processor.tokenizer.eos_token_id
    with torch.no_grad():
        model.lm_head.weight[processor.tokenizer.eos_token_id] = 0.0
        model.lm_head.weight[processor.tokenizer.eos_token_id, 0] = -100.0
        model.model.language_model.norm.weight[0] = 0.0
    (cut,) = generate(model, processor, ["north"], [[]], max_new_tokens=5)
    assert cut.completion_tokens == 5 and not cut.finished


def test_sampling_follows_the_distribution() -> None:
    logits = torch.log(torch.tensor([0.5, 0.0, 0.3, 0.2])).expand(20000, 4)
    drawn = pick_tokens(logits, 1.0, torch.rand(20000, generator=torch.Generator().manual_seed(0)))
    shares = torch.bincount(drawn, minlength=4) / 20000
    assert shares[1] == 0
    assert torch.allclose(shares, torch.tensor([0.5, 0.0, 0.3, 0.2]), atol=0.015)
    edges = torch.tensor([0.0, 0.499, 0.501, 0.799, 0.801, 1 - 2**-24])
    assert pick_tokens(logits[:6], 1.0, edges).tolist() == [0, 0, 2, 2, 3, 3]
    assert torch.equal(pick_tokens(logits[:2], 0, None), torch.tensor([0, 0]))


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_what_is_decoded_does_not_depend_on_the_threads(images: list[list[Image.Image]], temperature: float) -> None:
    model, processor = small_model(seed=1, spread=4.0, tied_embeddings=False)
    encoder = PromptEncoder(processor)
    batch = encoder.stack(encoder.encode_all(PROMPTS, images))
    ends = end_tokens(model, processor.tokenizer)
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            generator = torch.Generator().manual_seed(5)
            settings = {"max_new_tokens": 12, "temperature": temperature, "generator": generator, "with_scores": True}
            results.append(decode(model, batch, group_size=3, eos_token_ids=ends, **settings))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    first, *others = results
    assert len({tuple(row) for row in first.tokens}) > 3
    for other in others:
        assert other.tokens == first.tokens
        for row, ids in enumerate(first.tokens):
            assert torch.allclose(other.log_probs[row, : len(ids)], first.log_probs[row, : len(ids)], atol=1e-5)
            assert torch.allclose(other.entropies[row, : len(ids)], first.entropies[row, : len(ids)], atol=1e-5)


def test_markers_and_images_must_agree() -> None:
    model, processor = small_model()
    with pytest.raises(ValueError, match="1 <image> markers, got 0"):
        generate(model, processor, ["north <image>"], [[]])
    with pytest.raises(ValueError, match="one list a prompt"):
        generate(model, processor, ["north"], [])


def test_image_files_are_read_once_and_bad_ones_are_named(tmp_path: Path) -> None:
    _, processor = small_model()
    good = picture(np.random.default_rng(1))
    good.save(tmp_path / "good.png")
    cache = PatchCache(processor.image_processor)
    first, grid = cache.patches(tmp_path / "good.png")
    (tmp_path / "good.png").unlink()
    again, _ = cache.patches(tmp_path / "good.png")
    assert np.array_equal(first, again) and grid == (1, 2, 4)
    with pytest.raises(ImageReadError, match=r"no such image"):
        cache.patches(tmp_path / "absent.png")
    good.save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:200])
    with pytest.raises(ImageReadError, match=r"cut\.png"):
        cache.patches(tmp_path / "cut.png")
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(ImageReadError, match=r"text\.png"):
        read_image(tmp_path / "text.png")


@pytest.mark.parametrize("size", [(746, 746), (1024, 512), (1232, 224), (378, 378), (448, 448), (30, 20), (3000, 40)])
def test_resized_patches_are_the_stock_processors_bit_for_bit(size: tuple[int, int]) -> None:
    stock = Qwen2VLImageProcessorPil(size={"shortest_edge": 3136, "longest_edge": 400 * 28 * 28})
    image = picture(np.random.default_rng(7), *size)
    expected = stock(images=[image], return_tensors="np")
    patches, grid = PatchCache(stock).patches(image)
    assert np.array_equal(patches, expected["pixel_values"]) and grid == tuple(expected["image_grid_thw"][0])
    assert PatchCache(stock).count_patches(*size) == len(patches)


def test_the_image_cache_stays_within_its_limit(tmp_path: Path) -> None:
    _, processor = small_model()
    rng = np.random.default_rng(0)
    names = [tmp_path / f"{number}.png" for number in range(4)]
    for name in names:
        picture(rng, 28, 28).save(name)
    cache = PatchCache(processor.image_processor, limit_bytes=2 * 28 * 28 * 3)
    for name in names:
        cache.patches(name)
    assert list(cache._stored) == [str(name) for name in names[2:]]


def test_exif_stays_behind(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010E] = "35.68 N 139.69 E"
    picture(np.random.default_rng(0)).save(tmp_path / "photo.jpg", exif=exif)
    assert not read_image(tmp_path / "photo.jpg").getexif()
