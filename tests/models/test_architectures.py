"""Published sizes give published counts, without a download and without memory."""

from __future__ import annotations

import pytest
import torch

from geor1.grpo.accounting import cost_model
from geor1.grpo.bench_cases import SIZES
from geor1.models.architectures import (
    ARCHITECTURES,
    as_tiny_sizes,
    count_parameters,
    find_architecture,
    published_config,
    without_memory,
)


@pytest.mark.parametrize(
    ("name", "billions"), [("qwen2.5-vl-3b", 3.75), ("qwen2.5-vl-7b", 8.29), ("qwen3-vl-4b", 4.44)]
)
def test_the_parameters_are_the_published_ones(name: str, billions: float) -> None:
    architecture = ARCHITECTURES[name]
    before = torch.random.get_rng_state()
    model = without_memory(published_config(architecture))
    assert torch.equal(before, torch.random.get_rng_state())
    assert count_parameters(model) == architecture.parameters
    assert architecture.parameters / 1e9 == pytest.approx(billions, abs=0.006)
    assert {parameter.device.type for parameter in model.parameters()} == {"meta"}
    tied = model.lm_head.weight is model.model.language_model.embed_tokens.weight
    assert tied == architecture.tied
    assert find_architecture(architecture.hub_name) is architecture


def test_costs_can_be_read_off_by_hand() -> None:
    cost = cost_model(without_memory(published_config(ARCHITECTURES["qwen2.5-vl-7b"])))
    layer = 2 * 3584 * 3584 + 2 * 3584 * 512 + 3 * 3584 * 18944
    assert cost.per_token == 2 * 28 * layer
    assert cost.per_prediction == 2 * 3584 * 152064
    assert cost.window_patches == 8


def test_the_benchmark_measures_the_published_sizes() -> None:
    for preset, name in (("paper-3b", "qwen2.5-vl-3b"), ("paper-7b", "qwen2.5-vl-7b")):
        assert SIZES[preset] == as_tiny_sizes(ARCHITECTURES[name])
        assert SIZES[preset].mrope_section == ARCHITECTURES[name].text["rope_parameters"]["mrope_section"]
    with pytest.raises(ValueError, match=r"expected a Qwen2\.5-VL, got qwen3_vl"):
        as_tiny_sizes(ARCHITECTURES["qwen3-vl-4b"])


def test_an_unknown_model_is_named() -> None:
    with pytest.raises(ValueError, match="'Qwen/Qwen9': its sizes are not known here; expected one of"):
        find_architecture("Qwen/Qwen9")
