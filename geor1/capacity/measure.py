"""Hold the predictions against this machine: ``python -m geor1.capacity.measure``; ``--write`` keeps the figures.

Memory is what the operating system counts (the highest resident set of a process of its own, freed blocks given back at
once), arithmetic what PyTorch's operator counter counts, preparation processor time. Linux, on a CPU.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from geor1.capacity.hardware import PREPARE_S_PER_MEGAPIXEL
from geor1.capacity.memory import count
from geor1.capacity.seconds import scoring
from geor1.capacity.simulate import Pass, Setup, build, pass_bytes, prepare_gradients, run_pass
from geor1.grpo.accounting import cost_model, count_work
from geor1.models.tiny import TinySizes, build_model, build_processor, build_tokenizer

RESULTS = Path("papers") / "capacity.json"
# Blocks above 64 KiB go back to the system when they are freed, so that resident memory is what is in use.
RETURNING = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "0", "OMP_WAIT_POLICY": "passive"}
SIZES = TinySizes(
    hidden=512,
    intermediate=1376,
    layers=8,
    heads=8,
    key_value_heads=2,
    vision_hidden=256,
    vision_intermediate=512,
    vision_depth=6,
    vision_heads=4,
    vocabulary=32000,
)
SHAPE = Pass(
    prompts=2,
    text_tokens=100,
    grids_thw=((1, 28, 56), *[(1, 20, 20)] * 5),
    group=8,
    completion_tokens=200,
)
CASES: dict[str, tuple[Setup, int]] = {
    "every weight": (Setup(), 0),
    "every weight, layers again": (Setup(checkpointing=True), 0),
    "every weight, layers again, logits 128 tokens at a time": (Setup(checkpointing=True), 128),
    "adapters, features kept": (Setup(lora_rank=16, freeze_vision=True, features=True), 0),
    "adapters, features kept, layers again": (
        Setup(lora_rank=16, freeze_vision=True, features=True, checkpointing=True), 0,
    ),
    "bfloat16 products, layers again": (Setup(autocast=True, checkpointing=True), 128),
}  # fmt: skip


def config_of(sizes: TinySizes = SIZES) -> Any:
    """The config of a Qwen2.5-VL of the sizes."""
    return build_model(build_tokenizer(["a"]), sizes).config


def shape_of(case: str) -> Pass:
    """What a case scores."""
    return dataclasses.replace(SHAPE, logits_chunk_tokens=CASES[case][1])


def resident_bytes(case: str) -> int:
    """Highest resident memory of this process during a pass, beyond model and gradients; ask once a process.

    Args:
        case: One of ``CASES``.
    """
    setup = CASES[case][0]
    model = build(config_of(), setup)
    for tensor in prepare_gradients(model):
        if tensor.is_floating_point():
            tensor.data.add_(1e-3)  # zeros that nobody wrote to are not resident
    run_pass(model, Pass(prompts=1, text_tokens=9, grids_thw=((1, 4, 4),), group=2, completion_tokens=4), setup)
    status = Path("/proc/self/status")
    Path("/proc/self/clear_refs").write_text("5")
    before = _high_water(status)
    run_pass(model, shape_of(case), setup)
    return _high_water(status) - before


def _high_water(status: Path) -> int:
    return 1024 * next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM"))


def counted_flops(config: Any, shape: Pass, setup: Setup, *, fake: bool) -> float:
    """Floating-point operations of a pass, forward and backward, as PyTorch counts them operator by operator.

    Args:
        config: A Qwen-VL config.
        shape: What is scored.
        setup: How the model is held.
        fake: Whether to run on tensors without data.
    """
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.utils.flop_counter import FlopCounterMode

    mode = FakeTensorMode(allow_non_fake_inputs=True) if fake else None
    model = build(config, setup, mode)
    prepare_gradients(model, mode)
    aten = torch.ops.aten
    fused = {
        aten._scaled_dot_product_flash_attention_for_cpu: _attention,
        aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
    }
    with FlopCounterMode(display=False, custom_mapping=fused) as counter:
        run_pass(model, shape, setup, mode)
    return float(counter.get_total_flops())


def _attention(
    query: Any, key: Any, value: Any, dropout: float = 0.0, causal: bool = False, *_: Any, **__: Any
) -> float:
    """Two products of queries with keys or values; half of them where tokens see earlier ones only."""
    rows, heads, seeing, size = query
    seen = key[2]
    pairs = seeing * (seeing + 1) / 2 if causal else seeing * seen
    return 4.0 * rows * heads * pairs * size


def _attention_backward(
    gradient: Any,
    query: Any,
    key: Any,
    value: Any,
    out: Any,
    log_sum: Any,
    dropout: float,
    causal: bool,
    *_: Any,
    **__: Any,
) -> float:
    """Four products, and the scores once more."""
    return 2.5 * _attention(query, key, value, dropout, causal)


def predicted_flops(config: Any, shape: Pass, setup: Setup) -> float:
    """The same by the cost model.

    Args:
        config: A Qwen-VL config.
        shape: What is scored.
        setup: How the model is held.
    """
    from geor1.models.architectures import without_memory

    model = without_memory(config)
    cost = cost_model(model)
    merged = config.vision_config.spatial_merge_size**2
    prompt = shape.text_tokens + sum(t * h * w // merged + 2 for t, h, w in shape.grids_thw)
    work = count_work(
        prompt, shape.grids_thw, [shape.completion_tokens] * shape.group, window_patches=cost.window_patches
    )
    done = scoring(
        cost,
        count(model),
        work,
        lora_rank=setup.lora_rank,
        trains_vision=not setup.freeze_vision,
        sees=not setup.features,
        checkpointing=setup.checkpointing,
    )
    return shape.prompts * sum(done.values())


def preparation_s() -> float:
    """Processor seconds a megapixel to decode JPEGs of noise-free pictures and cut them into patches, best of five."""
    import numpy as np
    from PIL import Image

    from geor1.models.encoding import PromptEncoder

    processor = build_processor(build_tokenizer(["a"]), max_pixels=10**7)
    rng = np.random.default_rng(0)
    took = []
    with tempfile.TemporaryDirectory() as folder:
        paths, pixels = [], 0
        for number, (wide, high) in enumerate([(1008, 504)] + [(448, 448)] * 5):
            coarse = Image.fromarray(rng.integers(0, 256, (high // 7, wide // 7, 3), dtype=np.uint8))
            coarse.resize((wide, high), Image.Resampling.BICUBIC).save(f"{folder}/{number}.jpg", quality=92)
            paths.append(f"{folder}/{number}.jpg")
            pixels += wide * high
        for _ in range(6):
            encoder, begun = PromptEncoder(processor), time.process_time()
            encoder.encode("<image> " * len(paths), paths)
            took.append(time.process_time() - begun)
    return min(took[1:]) / (pixels / 1e6)


def measure() -> dict[str, Any]:
    """All figures, predicted and measured."""
    config, rows = config_of(), []
    for case, (setup, _) in CASES.items():
        command = [sys.executable, "-m", "geor1.capacity.measure", "--peak-of", case]
        done = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, **RETURNING})
        row: dict[str, Any] = {"case": case, "resident_mib": int(done.stdout.split()[-1]) / 2**20}
        row["predicted_mib"] = pass_bytes(config, shape_of(case), setup) / 2**20
        row["counted_gflop"] = counted_flops(config, shape_of(case), setup, fake=True) / 1e9
        row["predicted_gflop"] = predicted_flops(config, shape_of(case), setup) / 1e9
        rows.append({name: value if isinstance(value, str) else round(value, 1) for name, value in row.items()})
        print(rows[-1], flush=True)
    return {"passes": rows, "preparation_s_per_megapixel": round(preparation_s(), 4)}


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(prog="python -m geor1.capacity.measure", description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"keep the figures in {RESULTS}")
    parser.add_argument("--peak-of", choices=list(CASES), help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.peak_of:
        print(resident_bytes(options.peak_of))
        return
    found = measure()
    assumed = PREPARE_S_PER_MEGAPIXEL
    print(f"preparation: {found['preparation_s_per_megapixel']} s a megapixel and core; the plans take {assumed}")
    if options.write:
        RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
