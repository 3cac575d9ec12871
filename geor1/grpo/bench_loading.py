"""Whether data loading keeps up with a 7B step: ``python -m geor1.grpo.bench_loading IMAGES``.

One question is a panorama and K tiles, read from disk, brought to the processor's size and cut into normalised patches,
none of them seen before. Measured on one core, by the stock image processor and by this project's encoder, which gives
the same numbers; then held against what training consumes. For that the step is taken to run at the peak of its
hardware, which no real step reaches, with the shortest completions that the paper reports: a bound on how fast
questions can be wanted. A question is loaded once for all its completions, as our trainer does.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from geor1.grpo.accounting import CostModel, Peak, bounds, cost_model, count_work
from geor1.grpo.bench_cases import SIZES
from geor1.models.encoding import PatchCache, read_image
from geor1.models.tiny import build_model, build_tokenizer

MIN_PIXELS, MAX_PIXELS = 3_136, 12_845_056  # Geo-R1's and VLM-R1's defaults
PROMPTS_A_STEP, GROUP = 8, 8  # Geo-R1's script: 64 completions a step
COMPLETION_TOKENS = 379  # shortest mean that the paper reports (Geo-R1); longer ones make slower steps
TEXT_TOKENS = 120  # of a five-candidate pairing prompt, chat template included; few beside 1,536 image tokens
H100 = Peak(flops_per_s=989e12, bytes_per_s=3.35e12)  # data sheet, SXM, dense bfloat16
GPUS = 8
TILES = 5


@dataclasses.dataclass(frozen=True)
class Loading:
    """One measurement.

    Attributes:
        questions: Questions loaded.
        cpu_s: Processor seconds of this process.
        wall_s: Seconds by the clock, other processes' share included.
        patches: Of one question.
    """

    questions: int
    cpu_s: float
    wall_s: float
    patches: int


def image_files(folder: Path) -> tuple[list[Path], list[Path]]:
    """Ground images and tiles in a folder of pairs.

    Raises:
        FileNotFoundError: There are none.
    """
    ground, tiles = (sorted(folder.rglob(f"*_{view}.*")) for view in ("ground", "satellite"))
    if not ground or not tiles:
        raise FileNotFoundError(f"{folder}: expected NN_ground.jpg and NN_satellite.jpg in it or below, found none")
    return ground, tiles


def resized(files: Sequence[Path], folder: Path, size_px: tuple[int, int]) -> list[Path]:
    """The images at another size, as JPEG files of quality 92."""
    made = []
    for number, file in enumerate(files):
        made.append(folder / f"{number}_{file.stem}.jpg")
        read_image(file).resize(size_px, Image.Resampling.BICUBIC).save(made[-1], quality=92, subsampling=0)
    return made


def loaders(processor: Any) -> dict[str, Callable[[Path], Any]]:
    """The two ways to read an image file and cut it into patches, nothing kept between images."""
    cache = PatchCache(processor)
    return {
        "stock": lambda file: processor(images=[read_image(file)], return_tensors="np")["pixel_values"],
        "ours": lambda file: cache.patches(read_image(file))[0],
    }


def load_questions(load: Callable[[Path], Any], ground: Sequence[Path], tiles: Sequence[Path], n: int) -> Loading:
    """Load questions one after the other.

    Args:
        load: Image file -> patches.
        ground: Panoramas, taken in turn.
        tiles: Satellite tiles, five a question, taken in turn.
        n: How many questions.
    """
    load(ground[0])  # imports and tables are no part of loading
    patches, started, busy = 0, time.perf_counter(), time.process_time()
    for number in range(n):
        files = [ground[number % len(ground)], *(tiles[(number + k) % len(tiles)] for k in range(TILES))]
        patches += sum(len(load(file)) for file in files)
    return Loading(
        questions=n,
        cpu_s=time.process_time() - busy,
        wall_s=time.perf_counter() - started,
        patches=patches // n,
    )


def decode_ms(ground: Sequence[Path], tiles: Sequence[Path]) -> float:
    """Processor milliseconds to read and decode the images of one question, the part that no encoder can save."""
    files = [ground[0], *(tiles[k % len(tiles)] for k in range(TILES))]
    started = time.process_time()
    for _ in range(5):
        for file in files:
            read_image(file)
    return 1000 * (time.process_time() - started) / 5


def model_cost() -> CostModel:
    """Costs of Qwen2.5-VL-7B, read off the model without its weights."""
    tokenizer = build_tokenizer(["north"])
    with torch.device("meta"):
        return cost_model(build_model(tokenizer, SIZES["paper-7b"]).to(torch.bfloat16))


def least_step_s(cost: CostModel, patches: int) -> float:
    """Seconds that a step takes at least: one prompt and its group on each of eight H100, at their peak.

    Args:
        cost: Of the model.
        patches: Of one question; attention within images is left out, which makes the step shorter.
    """
    work = count_work(TEXT_TOKENS + patches // 4, [], [COMPLETION_TOKENS] * GROUP)
    work = dataclasses.replace(work, patches=patches)
    parts = bounds(cost, H100, work, work, decode_steps=COMPLETION_TOKENS, references=1)
    return sum(parts.values()) * PROMPTS_A_STEP / GPUS


def measure(folder: Path, n: int, sizes: Sequence[str]) -> list[dict[str, Any]]:
    """Load questions at each size, by both ways, and hold them against what the step consumes.

    Args:
        folder: Folder of pairs.
        n: Questions each.
        sizes: ``native``, or pixels of the side that panorama and tiles are brought to beforehand.
    """
    torch.set_num_threads(1)
    cost, rows = model_cost(), []
    processor = Qwen2VLImageProcessorPil(size={"shortest_edge": MIN_PIXELS, "longest_edge": MAX_PIXELS})
    with tempfile.TemporaryDirectory() as scratch:
        for size in sizes:
            views = image_files(folder)
            if size != "native":
                side = (int(size), int(size))
                views = tuple(resized(files, Path(scratch), side) for files in views)  # type: ignore[assignment]
            row: dict[str, Any] = {"size": size, "decode_ms": round(decode_ms(*views), 1)}
            for name, load in loaders(processor).items():
                done = load_questions(load, *views, n)
                step_s = least_step_s(cost, done.patches)
                wanted = PROMPTS_A_STEP / step_s
                row |= {"patches": done.patches, "least_step_s": round(step_s, 2), "wanted_per_s": round(wanted, 2)}
                row[name] = {
                    "questions_per_s_and_core": round(done.questions / done.cpu_s, 2),
                    "cpu_ms": round(1000 * done.cpu_s / done.questions, 1),
                    "wall_ms": round(1000 * done.wall_s / done.questions, 1),
                    "margin_of_a_core_a_gpu": round(done.questions / done.cpu_s * GPUS / wanted, 1),
                }
            rows.append(row)
    return rows


def main() -> None:
    """Print one JSON object a size."""
    parser = argparse.ArgumentParser(prog="python -m geor1.grpo.bench_loading", description=__doc__)
    parser.add_argument("images", type=Path, help="folder with NN_ground.jpg and NN_satellite.jpg in it or below")
    parser.add_argument("--questions", type=int, default=20)
    parser.add_argument("--sizes", nargs="+", default=["448", "native"], help="pixels a side, or native")
    given = parser.parse_args()
    for row in measure(given.images, given.questions, given.sizes):
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
