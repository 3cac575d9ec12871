"""The simulated peak is the real one, in tensors to the byte, in resident memory to a tenth; so is the arithmetic."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from geor1.capacity.measure import CASES, RETURNING, config_of, counted_flops, predicted_flops, shape_of
from geor1.capacity.simulate import LiveBytes, Pass, Setup, build, pass_bytes, prepare_gradients, run_pass
from geor1.models.architectures import ARCHITECTURES, published_config
from geor1.models.tiny import TinySizes

SMALL = TinySizes(hidden=64, intermediate=128, layers=3, heads=2, key_value_heads=1, vocabulary=3000)
SHAPE = Pass(prompts=2, text_tokens=20, grids_thw=((1, 8, 16), (1, 12, 12)), group=4, completion_tokens=30)
SETUPS = {
    "full": Setup(),
    "checkpointing": Setup(checkpointing=True),
    "adapters": Setup(lora_rank=4, freeze_vision=True, features=True),
    "frozen, seen": Setup(freeze_vision=True),
    "autocast": Setup(autocast=True, checkpointing=True),
}


def test_bytes_are_counted_while_tensors_live() -> None:
    held = torch.zeros(1000)
    with LiveBytes([held]) as counted:
        first = held + 1  # 4,000 bytes
        view = first[:10]
        second = first * 2
        assert counted.live == 8000
        del first
        assert counted.live == 8000, "a view keeps its storage"
        del view
        assert counted.live == 4000
        held.add_(second)
    assert counted.peak == 8000


@pytest.mark.parametrize("name", SETUPS)
def test_without_data_the_peak_is_the_same_to_the_byte(name: str) -> None:
    config, setup = config_of(SMALL), SETUPS[name]
    model = build(config, setup)
    with LiveBytes(prepare_gradients(model)) as counted:
        run_pass(model, SHAPE, setup)
    assert pass_bytes(config, SHAPE, setup) == counted.peak > 1e6


def test_tied_weights_stay_one() -> None:
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    model = build(config_of(SMALL), Setup(), mode)
    assert model.lm_head.weight is model.model.language_model.embed_tokens.weight


def test_what_each_measure_saves() -> None:
    config = config_of(SMALL)
    peaks = {name: pass_bytes(config, SHAPE, setup) for name, setup in SETUPS.items()}
    assert peaks["checkpointing"] < 0.7 * peaks["full"]
    assert peaks["adapters"] < peaks["frozen, seen"] < peaks["full"]
    config, pieces = config_of(dataclasses.replace(SMALL, vocabulary=30_000)), 16
    logits = 4 * 30_000 * SHAPE.prompts * SHAPE.group * SHAPE.completion_tokens
    whole = pass_bytes(config, SHAPE, SETUPS["checkpointing"])
    small = pass_bytes(config, dataclasses.replace(SHAPE, logits_chunk_tokens=pieces), SETUPS["checkpointing"])
    assert whole > 2 * logits and small < logits


@pytest.mark.parametrize("case", CASES)
def test_arithmetic_is_what_the_operators_do(case: str) -> None:
    counted = counted_flops(config_of(), shape_of(case), CASES[case][0], fake=True)
    assert predicted_flops(config_of(), shape_of(case), CASES[case][0]) == pytest.approx(counted, rel=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_arithmetic_at_the_published_sizes(name: str) -> None:
    architecture = ARCHITECTURES[name]
    side = 32 if architecture.image_factor_px == 28 else 28
    shape = Pass(
        prompts=1, text_tokens=160, grids_thw=((1, side, 2 * side), (1, side, side)), group=8, completion_tokens=300
    )
    setup = Setup(weights=torch.bfloat16, checkpointing=True)
    config = published_config(architecture)
    counted = counted_flops(config, shape, setup, fake=True)
    assert predicted_flops(config, shape, setup) == pytest.approx(counted, rel=0.03)


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads resident memory from /proc")
@pytest.mark.parametrize("case", CASES)
def test_resident_memory_is_the_predicted(case: str) -> None:
    command = [sys.executable, "-m", "geor1.capacity.measure", "--peak-of", case]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, **RETURNING})
    resident = int(done.stdout.split()[-1])
    assert resident == pytest.approx(pass_bytes(config_of(), shape_of(case), CASES[case][0]), rel=0.1)
