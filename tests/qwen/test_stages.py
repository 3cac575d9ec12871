"""All stages on real pairs through a checkpoint laid out as published: real tokenizer, published template, real sizes.

The weights are few and random, and a scripted server stands in for the teacher, so what is said is nonsense; prompts,
images, vocabulary and every step on the way are those of a real run.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
from pathlib import Path
from typing import Any

import pytest
from published import ENDS, PREPROCESSOR, VOCABULARY, write_checkpoint
from scripted_server import ScriptedServer
from test_prompts import merged

from geor1.evaluation.config import EvaluationConfig
from geor1.evaluation.run import run_evaluation
from geor1.grpo.config import GrpoConfig
from geor1.grpo.run import run_grpo
from geor1.maps.config import MapConfig
from geor1.maps.run import run_map
from geor1.records import Prediction, Question, Scaffold, read_jsonl
from geor1.runs import read_metrics
from geor1.runs.typed import build_dataclass
from geor1.sft.config import SftConfig
from geor1.sft.run import run_sft
from geor1.synthesis.config import SynthesisConfig
from geor1.synthesis.run import run_synthesis

GROUP = 4
VIEWS = ("ground", "satellite")
PANORAMA_PX = {"cvcities": (1024, 512), "cvusa": (1232, 224)}


@dataclasses.dataclass(frozen=True)
class Case:
    """What a run is made of.

    Attributes:
        family: Of the checkpoint.
        train: Folder of pairs that is trained on; the other is the test split.
        tile_px: Edge of the tiles; 0 for the files' own.
        panorama_px: Size of the panoramas; (0, 0) for the files' own.
        steps: Optimiser steps of SFT and of GRPO.
        completion: Tokens at which a completion is cut.
        sentences: Those of a chain's visual cues, about 13 tokens each.
    """

    family: str
    train: str
    tile_px: int
    panorama_px: tuple[int, int]
    steps: int
    completion: int
    sentences: int

    @property
    def prompt_images(self) -> list[tuple[int, int]]:
        """Sizes of a train question's images."""
        tile = self.tile_px or 750
        return [self.panorama_px if any(self.panorama_px) else PANORAMA_PX[self.train], *[(tile, tile)] * 5]


QUICK = Case("qwen2.5-vl", "cvcities", 112, (224, 112), 1, 24, 2)
SLOW = [
    Case("qwen2.5-vl", "cvcities", 448, (0, 0), 2, 128, 50),
    Case("qwen2.5-vl", "cvusa", 0, (0, 0), 2, 128, 50),
    Case("qwen3-vl", "cvcities", 448, (0, 0), 2, 128, 50),
    Case("qwen3-vl", "cvusa", 0, (0, 0), 2, 128, 50),
]


def told(prompt: str, _images: list[bytes], digest: str, *, sentences: int) -> str:
    """A chain under the template's headings; the letter that the prompt gives, told last."""
    letter = prompt.split("answer to be written is ")[1][0]
    words = " ".join(f"The {digest[place : place + 6]} bends past trees." for place in range(sentences))
    parts = (
        f"Visual cues: low houses along a road. {words}",
        "Cross-view evidence: the same road crosses the tile from north to south.",
        "Geographic knowledge: broad-leaved trees grow where winters are mild.",
        f"Conclusion: the views agree, which leads to {letter}.",
    )
    return f"<think>\n{chr(10).join(parts)}\n</think>\n<answer> {letter} </answer>"


def pairs_folder(folder: Path, real_data: Path, train: str) -> Path:
    """Links to all real pairs, one folder the train split, the other the test split."""
    folder.mkdir()
    rows = ["name,lat,lon,split"]
    for source in PANORAMA_PX:
        for number in range(1, 6):
            for view in VIEWS:
                (folder / f"{source}{number}_{view}.jpg").symlink_to(
                    real_data / "pairs" / source / f"{number:02d}_{view}.jpg"
                )
            rows.append(f"{source}{number},,,{'train' if source == train else 'test'}")
    (folder / "splits.csv").write_text("\n".join(rows) + "\n")
    return folder


def synthesised(case: Case, folder: Path, real_data: Path) -> Path:
    """Questions of the real pairs, and chains of a served teacher."""
    pairs = pairs_folder(folder / "pairs", real_data, case.train)
    with ScriptedServer(functools.partial(told, sentences=case.sentences)) as server:
        teaching = {"model": "tiny", "server_url": server.url, "key_variable": "NO_KEY", "samples": 1}
        teaching["min_tokens"] = 0  # the scripted server does not count them
        settings = {"source": "folder", "source_path": str(pairs), "tile_px": case.tile_px, "parquet": False}
        settings |= {"panorama_width_px": case.panorama_px[0], "panorama_height_px": case.panorama_px[1]}
        config = build_dataclass(SynthesisConfig, {**settings, "teacher": "openai", "teaching": teaching}, "real")
        return run_synthesis(config, folder / "data")


def check_checkpoint(folder: Path, case: Case) -> None:
    """What training leaves is a checkpoint like the one that it began with."""
    from geor1.models.generate import end_tokens
    from geor1.models.loading import load_model, load_processor

    model, processor = load_model(folder), load_processor(folder)
    assert set(end_tokens(model, processor.tokenizer)) == set(ENDS)
    assert model.get_input_embeddings().weight.shape[0] == VOCABULARY
    assert processor.image_processor.patch_size == PREPROCESSOR[case.family]["patch_size"]
    assert processor.tokenizer("<|image_pad|>").input_ids == [151655]


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    "case",
    [QUICK, *(pytest.param(case, marks=pytest.mark.slow) for case in SLOW)],
    ids=lambda case: f"{case.family}-{case.train}-{case.tile_px}",
)
def test_every_stage(case: Case, tokenizers: Path, real_data: Path, tmp_path: Path) -> None:
    data = synthesised(case, tmp_path, real_data)
    for split in ("train", "test"):
        questions = read_jsonl(data / f"questions_{split}.jsonl", Question)
        assert len(questions) == 5 and all(len(question.candidates) == 5 for question in questions)
    assert len(read_jsonl(data / "scaffolds.jsonl", Scaffold)) == 5

    base = write_checkpoint(tmp_path / "base", tokenizers, case.family, spread=2.0)
    how: dict[str, Any] = {"max_steps": case.steps, "batch_size": 2, "micro_batch_size": 1, "learning_rate": 1e-6}
    taught = run_sft(SftConfig(base_model=str(base), answer_letter_loss=False, **how), data, tmp_path / "sft")
    losses = [row["loss"] for row in read_metrics(tmp_path / "sft")]
    assert len(losses) == case.steps and all(5 < loss < 30 for loss in losses)
    check_checkpoint(taught, case)

    how = {"steps": case.steps, "prompts_per_step": 2, "group_size": GROUP, "max_completion_tokens": case.completion}
    how |= {"eval_every": case.steps, "n_eval": 2, "rollouts_every": 1, "warmup_steps": 0, "learning_rate": 1e-4}
    trained = run_grpo(GrpoConfig(**how), data, taught, tmp_path / "grpo")
    check_steps(case, tmp_path / "grpo")
    check_checkpoint(trained, case)

    asked = {"n_questions": 2, "rotations": 2, "n_control": 0, "n_geolocation": 0, "max_new_tokens": 16}
    evaluation = run_evaluation(EvaluationConfig(**asked), data, {"grpo": trained}, tmp_path / "evaluation")
    predictions = read_jsonl(evaluation / "predictions.jsonl", Prediction)
    assert len(predictions) == 4 and all(one.raw and one.answer for one in predictions)
    pages = run_map(MapConfig(), evaluation, data, tmp_path / "map", grpo=tmp_path / "grpo")
    for page in ("map.html", "rollouts.html"):
        assert (pages / page).stat().st_size > 100_000


def check_steps(case: Case, run_dir: Path) -> None:
    """Every step read prompts of the expected length, and rewards that differ moved the weights."""
    steps = [row for row in read_metrics(run_dir) if row["step"] > 0]
    images = sum(merged(*size, case.family) for size in case.prompt_images)
    assert len(steps) == case.steps
    for row in steps:
        words = row["work/prompt_tokens"] / 2 - images
        assert words == {"qwen2.5-vl": 93, "qwen3-vl": 80}[case.family]
        assert math.isfinite(row["loss"]) and math.isfinite(row["grad_norm"])
        assert row["completions/max_length"] <= case.completion
    assert any(row["grad_norm"] > 0 and row["reward_std"] > 0 for row in steps)
    rollouts = [json.loads(line) for line in (run_dir / "rollouts.jsonl").read_text().splitlines()]
    assert len(rollouts) == case.steps * 2 * GROUP and len({one["completion"] for one in rollouts}) > GROUP
