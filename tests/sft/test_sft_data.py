"""Scaffold batches: labels against TRL's own collator, masked letters, order of consumption."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_cases import picture, small_model, write_questions
from trl.trainer.sft_trainer import DataCollatorForVisionLanguageModeling

from geor1.models.encoding import read_image
from geor1.records import RecordError, Scaffold, read_jsonl
from geor1.runs import ConfigError
from geor1.sft.config import SftConfig
from geor1.sft.data import IGNORED, ScaffoldCollator, consumption_order, load_scaffolds, to_dataset


def scaffold(number: int, kind: str = "pairing", images: int = 2) -> Scaffold:
    return Scaffold(
        scaffold_id=str(number),
        kind=kind,
        split="train",
        images=tuple(f"{number}-{place}.png" for place in range(images)),
        prompt="ground " + "<image> " * images,
        completion="<think> A north . so tile B </think> <answer> B </answer>",
        n_facts=0,
        pairing_labels_seen=0,
    )


def test_batches_equal_those_of_trls_collator(tmp_path: Path) -> None:
    data = write_questions(tmp_path / "data", 3)
    _, processor = small_model()
    rows = list(to_dataset(read_jsonl(data / "scaffolds.jsonl", Scaffold), data))
    mine = ScaffoldCollator(processor, answer_letter_loss=True, image_cache_mb=1)(rows)
    stock = DataCollatorForVisionLanguageModeling(processor=processor, max_length=None, completion_only_loss=True)(
        [{**row, "images": [read_image(path) for path in row["images"]]} for row in rows]
    )
    for name in ("input_ids", "attention_mask", "labels", "pixel_values", "image_grid_thw"):
        assert torch.equal(mine[name], stock[name]), name
    assert set(mine) - {"mm_token_type_ids"} <= set(stock)


def test_letter_tokens_can_be_left_out_of_the_loss() -> None:
    _, processor = small_model()
    collator = ScaffoldCollator(processor, answer_letter_loss=False, image_cache_mb=1)
    ids, labels = collator._target("<think> A water same . so tile B </think> <answer> B </answer>", "pairing")
    words = processor.tokenizer.convert_ids_to_tokens(ids)
    hidden = [place for place, label in enumerate(labels) if label == IGNORED]
    assert [words[place] for place in hidden] == ["B", "B"]
    assert [words[place - 1] for place in hidden] == ["tile", "<answer>"]
    assert words[-1] == "<|im_end|>"
    ids, labels = collator._target("<think> tile B </think> <answer> B </answer>", "geolocation")
    assert ids == labels


def test_every_pass_uses_every_scaffold_and_batches_are_of_one_kind() -> None:
    scaffolds = [scaffold(i, "pairing" if i % 3 else "geolocation", 2 if i % 3 else 1) for i in range(24)]
    order = consumption_order(scaffolds, 4, 12, seed=1)
    assert len(order) == 48
    assert set(Counter(order[:24]).values()) == {1}
    assert set(Counter(order).values()) == {2}
    for first in range(0, 48, 4):
        assert len({scaffolds[index].kind for index in order[first : first + 4]}) == 1
    assert order == consumption_order(scaffolds, 4, 12, seed=1)
    assert order != consumption_order(scaffolds, 4, 12, seed=2)
    assert order[:24] != order[24:]


def test_concluding_letters_are_even_in_every_batch() -> None:
    drawn = np.random.default_rng(0).permutation(list("ABCDE" * 32 + "A" * 32)).tolist()
    chains = [f"<think> so tile {letter} </think> <answer> {letter} </answer>" for letter in drawn]
    scaffolds = [dataclasses.replace(scaffold(number), completion=chain) for number, chain in enumerate(chains)]
    order = consumption_order(scaffolds, 12, 32, seed=0)
    assert set(Counter(order).values()) == {2}
    for first in range(0, len(order), 12):
        counts = Counter(drawn[index] for index in order[first : first + 12])
        assert counts["A"] in (3, 4, 5) and all(counts[letter] in (1, 2, 3) for letter in "BCDE"), counts


def test_few_scaffolds_fill_large_batches() -> None:
    order = consumption_order([scaffold(i) for i in range(3)], 8, 2, seed=0)
    assert len(order) == 16
    assert set(order) == {0, 1, 2}


def test_missing_empty_and_test_scaffolds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="01_data_synthesis"):
        load_scaffolds(tmp_path, "scaffolds.jsonl", 0)
    (tmp_path / "scaffolds.jsonl").write_text("")
    with pytest.raises(RecordError, match="empty"):
        load_scaffolds(tmp_path, "scaffolds.jsonl", 0)
    data = write_questions(tmp_path / "data", 2)
    text = (data / "scaffolds.jsonl").read_text().replace('"split": "train"', '"split": "test"')
    (data / "scaffolds.jsonl").write_text(text)
    with pytest.raises(RecordError, match="2 scaffolds of the test split"):
        load_scaffolds(data, "scaffolds.jsonl", 0)


def test_geolocation_batches_without_images_have_no_pixels(tmp_path: Path) -> None:
    _, processor = small_model()
    collator = ScaffoldCollator(processor, answer_letter_loss=True, image_cache_mb=1)
    rows = list(to_dataset([scaffold(0, "geolocation", 0), scaffold(1, "geolocation", 0)], tmp_path))
    assert "pixel_values" not in collator(rows)
    picture(np.random.default_rng(0)).save(tmp_path / "2-0.png")
    rows = list(to_dataset([scaffold(0, "geolocation", 0), scaffold(2, "geolocation", 1)], tmp_path))
    batch = collator(rows)
    assert batch["image_grid_thw"].tolist() == [[1, 2, 4]]
    assert batch["attention_mask"][0].sum() < batch["attention_mask"][1].sum()


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        ({"batch_size": 0}, "batch_size"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"epochs": 0.0}, "epochs"),
        ({"micro_batch_size": 3}, "micro_batch_size"),
        ({"scaffolds": "../elsewhere.jsonl"}, "scaffolds"),
        ({"adam_beta2": 1.0}, "adam_beta2"),
        ({"warmup_steps": -1}, "warmup_steps"),
    ],
)
def test_wrong_parameters_are_named(wrong: dict[str, float | str], name: str) -> None:
    with pytest.raises(ConfigError, match=name):
        SftConfig(**wrong)
