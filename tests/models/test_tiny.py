"""The miniature model: tokenizer round trips, a processor that saves and loads, sizes, determinism."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_cases import WORDS, small_model

from geor1.models.loading import FAMILIES, ModelLoadError, load_model, load_processor, save_checkpoint
from geor1.models.tiny import TinySizes, build_model, build_tokenizer, split_words, unknown_words

CHAINS = (
    "<think> climate arid hemisphere north traffic right . so tile C </think> <answer> C </answer>",
    "<think> north water . country Guinea-Bissau </think> <answer> 23 , -102 </answer>",
    "<think> country Côte d'Ivoire </think> <answer> -5.5 , 0 </answer>",
)


@pytest.mark.parametrize("chain", CHAINS)
def test_chains_round_trip(chain: str) -> None:
    tokenizer = build_tokenizer(CHAINS)
    ids = tokenizer(chain + "<|im_end|>").input_ids
    assert len(ids) == len(chain.split()) + 1
    assert tokenizer.decode(ids, skip_special_tokens=True) == chain


@given(st.lists(st.sampled_from(sorted(set(" ".join(CHAINS).split()))), max_size=30))
@settings(max_examples=50, deadline=None)
def test_known_words_round_trip(words: list[str]) -> None:
    text = " ".join(words)
    assert " ".join(split_words(text)) == text


def test_punctuation_stands_alone_but_the_sign_stays_with_its_number() -> None:
    assert split_words("tiles: A: (-102)? 3-4") == ["tiles", ":", "A", ":", "(", "-102", ")", "?", "3", "-4"]


def test_unknown_words_are_named_and_become_unk() -> None:
    tokenizer = build_tokenizer(["north"])
    assert unknown_words(tokenizer, "north zebra <|im_end|> .") == ["zebra"]
    assert tokenizer.convert_ids_to_tokens(tokenizer("zebra").input_ids) == ["<unk>"]


def test_the_default_size_is_between_one_and_three_million_parameters() -> None:
    model = build_model(build_tokenizer(WORDS))
    assert 1.0e6 < sum(parameter.numel() for parameter in model.parameters()) < 3.0e6
    assert model.config.text_config.hidden_size // model.config.text_config.num_attention_heads == 32


def test_the_seed_decides_the_weights_and_leaves_the_callers_randomness_alone() -> None:
    tokenizer = build_tokenizer(WORDS)
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    one, two, other = (build_model(tokenizer, seed=seed, layers=1) for seed in (1, 1, 2))
    assert torch.equal(torch.rand(1), expected)
    assert torch.equal(one.lm_head.weight, two.lm_head.weight)
    assert not torch.equal(one.lm_head.weight, other.lm_head.weight)


@pytest.mark.parametrize("wrong", [{"heads": 3}, {"key_value_heads": 3}, {"window_px": 100}, {"vision_heads": 5}])
def test_sizes_that_do_not_fit_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong)).split("_")[0]):
        TinySizes(**wrong)


def test_a_saved_folder_loads_alike_and_float16_is_widened(tmp_path: Path) -> None:
    model, processor = small_model()
    save_checkpoint(model.half(), processor, tmp_path / "half")
    loaded, again = load_model(tmp_path / "half"), load_processor(tmp_path / "half")
    assert loaded.dtype == torch.float32
    for name, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value.float()), name
    assert again.chat_template == processor.chat_template
    assert again.tokenizer.padding_side == "left"
    assert again.tokenizer.get_vocab() == processor.tokenizer.get_vocab()
    assert again.image_processor.size == processor.image_processor.size
    again.save_pretrained(tmp_path / "twice")
    assert (tmp_path / "twice" / "tokenizer.json").read_text() == (tmp_path / "half" / "tokenizer.json").read_text()


def test_a_folder_in_the_published_layout_loads(tmp_path: Path) -> None:
    model, processor = small_model()
    save_checkpoint(model, processor, tmp_path)
    (tmp_path / "processor_config.json").unlink()
    (tmp_path / "chat_template.jinja").unlink()
    published = {
        "min_pixels": 3136,
        "max_pixels": 12845056,
        "patch_size": 14,
        "temporal_patch_size": 2,
        "merge_size": 2,
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
        "image_processor_type": "Qwen2VLImageProcessor",
        "processor_class": "Qwen2_5_VLProcessor",
    }
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(published))
    (tmp_path / "chat_template.json").write_text(json.dumps({"chat_template": processor.chat_template}))
    loaded = load_processor(tmp_path)
    assert loaded.image_processor.size == {"shortest_edge": 3136, "longest_edge": 12845056}
    assert loaded.chat_template == processor.chat_template


def test_loading_says_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match="no such folder"):
        load_model(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelLoadError, match=r"config\.json"):
        load_processor(tmp_path / "empty")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ModelLoadError, match=r"safetensors"):
        load_model(tmp_path / "other")
    (tmp_path / "other" / "model.safetensors").write_bytes(b"")
    with pytest.raises(ModelLoadError, match="bert") as caught:
        load_model(tmp_path / "other")
    assert all(family in str(caught.value) for family in FAMILIES)
    with pytest.raises(ModelLoadError, match="float8"):
        load_model(tmp_path / "other", dtype="float8")
