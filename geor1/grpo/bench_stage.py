"""Stage 03 by TRL's own trainer and by ours: ``python -m geor1.grpo.bench_stage DATA CHECKPOINT``.

The same parameters, seed, questions and start; each trainer samples its own completions. Ours runs before and after the
stock trainer, so that a machine that grows slower shows. Printed: seconds a step (held-out evaluation not counted) and
the accuracy reached on held-out questions, with its 95 % interval.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from scipy.stats import binomtest
from transformers import PrinterCallback, TrainerCallback

from geor1.answers import to_messages
from geor1.grpo.config import GrpoConfig
from geor1.grpo.data import consumption_order, images_of, load_questions, prompt_of, spread, to_dataset
from geor1.grpo.run import build_trainer, freeze, held_out_accuracy, stage_rewards, trl_settings
from geor1.models.encoding import PromptEncoder
from geor1.models.loading import load_model, load_processor
from geor1.models.training import prepare
from geor1.records import Question
from geor1.runs import configure

ORDER = ("ours", "stock", "ours again")


def train_and_judge(kind: str, config: GrpoConfig, data: Path, checkpoint: Path, count: int) -> dict[str, Any]:
    """Train by one of the trainers; time its steps and judge what it made.

    Args:
        kind: ``stock``, or anything else for ours.
        config: Parameters; evaluation during training is left out.
        data: Run folder of stage 01.
        checkpoint: The model to start from.
        count: Held-out questions.

    Returns:
        ``seconds`` of each step, ``accuracy`` on ``n`` held-out questions, ``rewards`` of each step.
    """
    config = dataclasses.replace(config, eval_every=0)
    questions = load_questions(data, "train")[: config.max_questions or None]
    places = consumption_order(questions, config.steps * config.prompts_per_step, config.order, config.seed)
    consumed = [questions[place] for place in places]
    processor, timer = load_processor(checkpoint), _StepTimer()
    model = load_model(checkpoint)
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder), config.threads)
        if kind == "stock":
            model = type(model).from_pretrained(checkpoint, attn_implementation="sdpa")
        freeze(model, vision=config.freeze_vision, pattern=config.freeze)
        if kind == "stock":
            trainer = _stock_trainer(config, model, processor, consumed, data, Path(folder))
        else:
            encoder = PromptEncoder(processor, limit_bytes=config.image_cache_mb << 20)
            trainer = build_trainer(config, model, processor, encoder, to_dataset(consumed, data), None, Path(folder))
        trainer.args.save_strategy = "no"
        trainer.add_callback(timer)
        trainer.train()
    judged = spread(load_questions(data, "test"), count)
    figures = held_out_accuracy(config, judged, data, processor)(trainer.model)
    rewards = [line["reward"] for line in trainer.state.log_history if "reward" in line]
    return {
        "kind": kind,
        "seconds": timer.seconds,
        "rewards": rewards,
        "accuracy": figures["heldout/accuracy"],
        "n": len(judged),
    }


def _stock_trainer(
    config: GrpoConfig, model: Any, processor: Any, questions: list[Question], data: Path, folder: Path
) -> Any:
    """TRL's trainer on the same questions, in TRL's own form."""
    import datasets
    from trl import GRPOTrainer

    rewards, weights = stage_rewards(config, model, processor)
    rows = to_dataset(questions, data).remove_columns(["prompt", "images"]).to_dict()
    rows["prompt"] = [to_messages(prompt_of(question)) for question in questions]
    rows["images"] = [images_of(question, data) for question in questions]
    trainer = GRPOTrainer(
        model=model,
        reward_funcs=rewards,
        args=trl_settings(config, folder, weights),
        train_dataset=datasets.Dataset.from_dict(rows).cast_column("images", datasets.List(datasets.Image())),
        processing_class=processor,
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


class _StepTimer(TrainerCallback):
    """Wall-clock seconds of every optimiser step."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._last = 0.0

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        """Start."""
        self._last = time.perf_counter()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Note the step."""
        now = time.perf_counter()
        self.seconds.append(now - self._last)
        self._last = now


def main() -> None:
    """Parse arguments, train, print."""
    parser = argparse.ArgumentParser(prog="python -m geor1.grpo.bench_stage", description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="run folder of stage 01")
    parser.add_argument("checkpoint", type=Path, help="model folder to start from")
    parser.add_argument("--profile", default="miniature", help="profile whose parameters to use")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=None, help="optimiser steps (default: the profile's)")
    parser.add_argument("--questions", type=int, default=400, help="held-out questions that the accuracy is of")
    parser.add_argument("--json", type=Path, default=None, help="also write the figures here")
    options = parser.parse_args()
    given = {"seed": options.seed} | ({"steps": options.steps} if options.steps else {})
    config = configure(GrpoConfig, "03_grpo", options.profile, **given)
    results = []
    for kind in ORDER:
        done = train_and_judge(kind, config, options.data, options.checkpoint, options.questions)
        interval = binomtest(round(done["accuracy"] * done["n"]), done["n"]).proportion_ci(method="wilson")
        print(
            f"{kind}: {statistics.median(done['seconds']):.2f} s a step (median of {len(done['seconds'])}), "
            f"{sum(done['seconds']):.0f} s in all; held-out {done['accuracy']:.1%} "
            f"[{interval.low:.1%}, {interval.high:.1%}], n = {done['n']}",
            flush=True,
        )
        results.append(done)
    ours, stock, again = (sum(done["seconds"]) for done in results)
    print(f"ours is {stock / ours:.2f} and {stock / again:.2f} times as fast")
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
