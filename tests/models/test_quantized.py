"""Four-bit weights: refused where they make no sense, loaded, trained on by adapters, and gone from the product."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_cases import small_checkpoint, write_questions

from geor1.grpo.accounting import cost_model
from geor1.grpo.config import GrpoConfig
from geor1.grpo.run import run_grpo
from geor1.models.loading import BASE_MODEL_PATH, ModelLoadError, load_model
from geor1.runs import ConfigError, read_metrics
from geor1.sft.config import SftConfig
from geor1.sft.run import run_sft

CPU = torch.device("cpu")
needs_bitsandbytes = pytest.mark.skipif(
    importlib.util.find_spec("bitsandbytes") is None,
    reason="bitsandbytes is not installed (pip install 'geor1[qlora]')",
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nf4")
    write_questions(folder / "data", 6)
    small_checkpoint(folder / "base", seed=1, spread=2.0, hidden=128, intermediate=128)  # blocks of 64 weights
    return folder


def test_without_bitsandbytes_the_error_says_what_to_do(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "bitsandbytes" else find(name, *rest)
    )
    with pytest.raises(ModelLoadError, match=r"needs the package bitsandbytes.*pip install 'geor1\[qlora\]'"):
        load_model(world / "base", quantize="nf4")


def test_what_cannot_train_is_refused(world: Path) -> None:
    for config_class in (GrpoConfig, SftConfig):
        with pytest.raises(ConfigError, match="four bits do not train; expected lora=true"):
            config_class(quantize="nf4")
        with pytest.raises(ConfigError, match="quantize: expected one of"):
            config_class(quantize="int8", lora=True)
    with pytest.raises(ModelLoadError, match="expected 'nf4'"):
        load_model(world / "base", quantize="fp4")


@needs_bitsandbytes
def test_the_language_model_takes_a_quarter_and_counts_the_same() -> None:
    whole, packed = load_model(BASE_MODEL_PATH), load_model(BASE_MODEL_PATH, quantize="nf4", device=CPU)
    kinds = {name: type(layer).__name__ for name, layer in packed.named_modules()}
    assert kinds["model.language_model.layers.0.mlp.up_proj"] == "Linear4bit"
    assert kinds["lm_head"] == kinds["model.visual.blocks.0.attn.qkv"] == "Linear"
    before, after = cost_model(whole), cost_model(packed)
    assert (after.per_token, after.per_patch, after.per_prediction) == (
        before.per_token, before.per_patch, before.per_prediction,
    )  # fmt: skip
    head = 4 * whole.lm_head.weight.numel()
    assert after.weight_bytes - head == pytest.approx((before.weight_bytes - head) / 8)


def files_of(product: Path) -> dict[str, torch.Tensor]:
    assert "quantization_config" not in json.loads((product / "config.json").read_text())
    return load_model(product).state_dict()


@needs_bitsandbytes
@pytest.mark.parametrize("stage", ["sft", "grpo"])
def test_adapters_on_four_bits_end_in_whole_weights(world: Path, tmp_path: Path, stage: str) -> None:
    common: dict[str, Any] = {"quantize": "nf4", "lora": True, "save_steps": 2, "threads": 1, "learning_rate": 1.0e-2}
    common["gradient_checkpointing"] = True
    if stage == "sft":
        settings = SftConfig(base_model=str(world / "base"), max_steps=3, batch_size=2, **common)
        product = run_sft(settings, world / "data", tmp_path)
    else:
        settings = GrpoConfig(
            steps=3, prompts_per_step=2, group_size=4, max_completion_tokens=8, eval_every=0, warmup_steps=0,
            freeze_vision=True, logits_chunk_tokens=5, feature_store=str(tmp_path / "features"), **common,
        )  # fmt: skip
        product = run_grpo(settings, world / "data", world / "base", tmp_path)
    assert len(read_metrics(tmp_path)) == 3
    start, end = load_model(world / "base").state_dict(), files_of(product)
    assert start.keys() == end.keys()
    moved = {name for name in start if not torch.equal(start[name], end[name])}
    assert moved and all(".language_model.layers." in name and name.endswith("_proj.weight") for name in moved)
    # A change of rank 16 at most, on weights that were never rounded.
    name = sorted(moved)[0]
    assert int(torch.linalg.matrix_rank(end[name].double() - start[name].double(), rtol=1e-4)) <= 16
