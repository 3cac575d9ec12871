"""GRPO steps of a random model at a geometry, on whatever device is here: peak memory measured beside predicted.

As a command it prints both for the small case, in a process of its own: ``python train_case.py small``.
"""

from __future__ import annotations

import dataclasses
import gc
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from geor1.answers import pairing_prompt
from geor1.capacity.measure import SIZES
from geor1.capacity.memory import Holding, count, held, sampled_in_process
from geor1.capacity.simulate import Pass, Setup, pass_bytes
from geor1.grpo.bench_cases import SIZES as BENCH_SIZES
from geor1.grpo.config import GrpoConfig
from geor1.grpo.run import build_trainer
from geor1.models.encoding import PromptEncoder
from geor1.models.speed import use_fast_vision
from geor1.models.tiny import PATCH_SIZE, TinySizes, build_model, build_processor, build_tokenizer

LETTERS = ("A", "B", "C", "D", "E")
GPU = torch.cuda.is_available()


@dataclasses.dataclass(frozen=True)
class Case:
    """Sizes, pictures (panorama, tile; width and height in pixels), steps and completion tokens of a case."""

    sizes: TinySizes
    panorama_px: tuple[int, int]
    tile_px: int
    steps: int
    completion_tokens: int
    group: int = 8


CASES = {
    "paper": Case(BENCH_SIZES["paper-3b"], (1008, 504), 448, steps=20, completion_tokens=400),
    "small": Case(SIZES, (784, 392), 280, steps=2, completion_tokens=200),
    "warm-up": Case(TinySizes(), (112, 56), 56, steps=2, completion_tokens=4, group=2),
}


def run(name: str, folder: Path) -> dict[str, float]:
    """Train a case; predicted and measured peak in bytes, model included."""
    case = CASES[name]
    tokenizer = build_tokenizer([pairing_prompt(LETTERS)])
    processor = build_processor(tokenizer, max_pixels=10**7)
    device = torch.device("cuda" if GPU else "cpu")
    before = start_counting()
    with device:
        model = use_fast_vision(build_model(tokenizer, case.sizes))
    config = GrpoConfig(
        steps=case.steps, prompts_per_step=2, prompts_per_pass=1, group_size=case.group, eval_every=0,
        max_completion_tokens=case.completion_tokens, gradient_checkpointing=True, logits_chunk_tokens=128,
        skip_flat_groups=False, learning_rate=1.0e-6, memory_probe="never", save_steps=1000, threads=1,
    )  # fmt: skip
    encoder = PromptEncoder(processor)
    dataset, prompt_tokens = rows(case, encoder, folder)
    trainer = build_trainer(config, model, processor, encoder, dataset, None, folder / "run")
    trainer.args.save_strategy = "no"
    trainer.train()
    measured = counted(before)
    return {"predicted": predicted(case, model, config, prompt_tokens), "measured": float(measured)}


def rows(case: Case, encoder: PromptEncoder, folder: Path) -> tuple[Any, int]:
    """Questions with random pictures, as the stage has them, and the tokens of a prompt."""
    from datasets import Dataset

    rng = np.random.default_rng(0)
    text, questions = pairing_prompt(LETTERS), []
    for number in range(2 * case.steps):
        paths = []
        for place, size in enumerate([case.panorama_px] + [(case.tile_px, case.tile_px)] * len(LETTERS)):
            paths.append(str(folder / f"{number}-{place}.png"))
            Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)).save(paths[-1])
        row = {"prompt": [{"role": "user", "content": text}], "images": paths, "answer": "A", "letters": list(LETTERS)}
        questions.append({**row, "question_id": str(number)})
    return Dataset.from_list(questions), len(encoder.encode(text, questions[0]["images"]).input_ids)


def predicted(case: Case, model: Any, config: GrpoConfig, prompt_tokens: int) -> float:
    """The higher of training and sampling, without context and fragmentation, which no allocator counts."""
    numbers = count(model)
    holding = Holding(sharing="", devices=1, lora_rank=0, quantized=False, freeze_vision=False, reference=False)
    parts = held(numbers, holding)
    sizes = [case.panorama_px] + [(case.tile_px, case.tile_px)] * len(LETTERS)
    grids = tuple((1, high // PATCH_SIZE, wide // PATCH_SIZE) for wide, high in sizes)
    pictures = sum(time * high * wide // 4 + 2 for time, high, wide in grids)
    shape = Pass(
        prompts=1, text_tokens=prompt_tokens - pictures, grids_thw=grids, group=case.group,
        completion_tokens=case.completion_tokens, logits_chunk_tokens=config.logits_chunk_tokens,
    )  # fmt: skip
    training = sum(parts.values()) + pass_bytes(model.config, shape, Setup(autocast=GPU, checkpointing=True))
    sampler = sampled_in_process(numbers, 2, prompt_tokens, 2 * case.group, case.completion_tokens, 4)
    return max(training, sum(parts.values()) - parts["gradients"] + sampler)


def start_counting() -> int:
    """Bytes in use; from here on the peak counts."""
    gc.collect()
    if GPU:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()
    Path("/proc/self/clear_refs").write_text("5")
    return high_water()


def counted(before: int) -> int:
    """Peak since then."""
    return (torch.cuda.max_memory_allocated() if GPU else high_water()) - before


def high_water() -> int:
    """Highest resident memory, bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def main() -> None:
    """Print both figures of a case, once everything that is loaded at first use has been."""
    torch.set_num_threads(1)
    for name in ("warm-up", sys.argv[1]):
        with tempfile.TemporaryDirectory() as folder:
            found = run(name, Path(folder))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
