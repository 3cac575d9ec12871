"""What a device holds, by hand."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from geor1.capacity.hardware import CONTEXT_BYTES
from geor1.capacity.memory import NF4_BYTES, Counts, Holding, Memory, counts, held, sampled_in_process, trained
from geor1.models.architectures import ARCHITECTURES

TOY = Counts(
    total=1000, vision=100, linear=600, adapters=7, root=300, layer=50, largest_linear=30, last=0.25, last_vision=0.2,
    tied=0, kv_token=64, vocabulary=10,
)  # fmt: skip
ALONE = Holding(sharing="", devices=1, lora_rank=0, quantized=False, freeze_vision=False, reference=False)


def parts(**changes: Any) -> dict[str, float]:
    return held(TOY, dataclasses.replace(ALONE, **changes))


def test_alone_sixteen_bytes_a_weight() -> None:
    assert parts() == {"weights": 4000, "gradients": 4000, "optimiser": 8000, "reference": 0, "gathered": 0}
    assert parts(reference=True)["reference"] == 4000
    assert parts(freeze_vision=True)["gradients"] == 3600


def test_ddp_holds_everything_and_buckets() -> None:
    shared = parts(sharing="ddp", devices=4)
    assert shared["gathered"] == 4000 and sum(shared.values()) == 20000


def test_fsdp_shares_everything_out() -> None:
    shared = parts(sharing="fsdp2", devices=4, reference=True)
    assert (shared["weights"], shared["optimiser"], shared["reference"]) == (1000, 2000, 1000)
    assert shared["gathered"] == 2 * (300 + 2 * 50) + 2 * (300 + 50)


def test_zero_two_keeps_weights_whole_and_three_does_not() -> None:
    two, three = (parts(sharing=f"deepspeed_zero{stage}", devices=10) for stage in (2, 3))
    assert (two["weights"], two["gradients"], two["optimiser"]) == (2000, 200, 1200)
    assert (three["weights"], three["gradients"], three["optimiser"]) == (200, 200, 1200)
    assert three["gathered"] == two["gathered"] + 2000


def test_four_bits_under_adapters() -> None:
    packed = parts(lora_rank=2, quantized=True, reference=True)
    assert trained(TOY, dataclasses.replace(ALONE, lora_rank=2)) == 14
    assert packed["weights"] == pytest.approx(NF4_BYTES * 600 + 2 * 400 + 2 * 14)
    assert (packed["gradients"], packed["optimiser"]) == (28, 56)
    assert packed["reference"] == 0, "adapters are switched off instead"
    assert packed["gathered"] == 60


def test_what_does_not_go_together_is_refused() -> None:
    with pytest.raises(ValueError, match="does not go with 4 devices"):
        parts(devices=4)
    with pytest.raises(ValueError, match="sharing: expected one of"):
        parts(devices=4, sharing="zero")


def test_the_peak_is_the_higher_of_training_and_sampling() -> None:
    memory = Memory(parts={"weights": 10.0, "gradients": 5.0}, activations=100.0, sampler=300.0)
    assert memory.training == pytest.approx(15 + 105 + CONTEXT_BYTES)
    assert memory.peak == memory.sampling == 10 + 300 + CONTEXT_BYTES
    assert dataclasses.replace(memory, sampler_stays=True).training == pytest.approx(memory.training + 300)


def test_keys_of_prompts_once_and_of_completions_each() -> None:
    assert sampled_in_process(TOY, 2, 100, 16, 50, 2) == 2 * 64 * (2 * 100 + 16 * 50) + 12 * 16 * 10


def test_a_published_model_by_hand() -> None:
    numbers = counts(ARCHITECTURES["qwen2.5-vl-7b"])
    assert numbers.kv_token == 2 * 28 * 4 * 128
    linear = 2 * 3584 * 3584 + 2 * 3584 * 512 + 3 * 3584 * 18944
    assert numbers.linear == 28 * linear
    sides = 2 * (3584 + 3584) + 2 * (3584 + 512) + 3 * (3584 + 18944)
    assert numbers.adapters == 28 * sides
    assert numbers.vision == 676_550_144
    assert numbers.largest_linear == 3584 * 18944 and numbers.last == pytest.approx(3584 * 18944 / linear)
