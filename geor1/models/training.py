"""What both training stages share: resuming a killed run exactly, its metrics trace, and quiet trainer settings.

A run resumes from its last complete trainer checkpoint and then writes the same lines to ``metrics.jsonl`` as a run
that was never killed; wall-clock times, which differ, go to ``timings.jsonl``.
"""

from __future__ import annotations

import datetime
import json
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from transformers import TrainerCallback

from geor1.models.tracking import NoTracker, open_tracker, require_tracker
from geor1.models.uploads import KEPT, CheckpointCopies, fetch_latest
from geor1.runs import ConfigError, Progress, RunStoppedError, append_metrics, atomic_write_text, truncate_metrics
from geor1.runs.keys import TRAINER_FOLDER
from geor1.runs.processes import read_launch
from geor1.runs.stopping import stop_requested

if TYPE_CHECKING:
    from accelerate import PartialState
    from transformers import TrainerControl, TrainerState, TrainingArguments

T = TypeVar("T")

PRODUCT_FOLDER = "checkpoint"  # the finished model inside a run folder
LABELS_FILE = "labels_seen.json"
TIMINGS_FILE = "timings.jsonl"
# Linear layers of the language model; the vision transformer has modules of the same names, hence the prefix.
LORA_TARGETS = r".*language_model.*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"
COMPLETE_MARK = "complete"  # written into a trainer checkpoint after everything else
PATIENCE_S = 1800.0  # transformers' default of ddp_timeout
COPYING_PATIENCE_S = 6 * 3600.0  # hundreds of gigabytes through a slow network
PHASE = "phase/"  # begins the log's names of times
# Keys of the trainer's log that a resumed run cannot repeat (times, counters that TRL starts anew) or that say nothing.
NOT_TRACED = ("step_time", "epoch", "total_flos", "num_tokens", PHASE)


def prepare(run_dir: Path, threads: int) -> None:
    """Make the run folder, set torch's CPU threads, and keep the libraries' own progress bars out of notebooks.

    The processes that train together meet here, before anything else lets them.

    Args:
        run_dir: The run folder.
        threads: CPU threads, at least 1.

    Raises:
        ConfigError: The package that the launch's ``report_to`` names is not installed.
    """
    import torch
    from transformers.utils import logging

    run_dir.mkdir(parents=True, exist_ok=True)
    require_tracker(read_launch(run_dir).report_to)
    torch.set_num_threads(threads)
    process_state(patience_s(run_dir))
    logging.disable_progress_bar()
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"transformers\.")


def process_state(patience_s: float = PATIENCE_S) -> PartialState:
    """Which of the processes that train together this is (``accelerate launch``, ``torchrun``); alone, the first.

    Args:
        patience_s: How long they wait for each other before they give up, in seconds; what the first call of a process
            says holds, for the trainer as well.
    """
    import torch
    from accelerate import PartialState

    return PartialState(cpu=not torch.cuda.is_available(), timeout=datetime.timedelta(seconds=patience_s))


def patience_s(run_dir: Path) -> float:
    """How long processes wait for each other, in seconds: longer where the first one copies checkpoints elsewhere.

    Args:
        run_dir: The run folder.
    """
    return COPYING_PATIENCE_S if read_launch(run_dir).checkpoint_url else PATIENCE_S


def from_first_process(make: Callable[[], T]) -> T:
    """Let the first process make something, and hand it to all of them; the others wait."""
    from accelerate.utils import broadcast_object_list

    if process_state().num_processes == 1:
        return make()
    held = [make() if process_state().is_main_process else None]
    broadcast_object_list(held)
    return held[0]  # type: ignore[return-value]


def trainer_settings(run_dir: Path, *, seed: int, learning_rate: float, steps: int, save_steps: int) -> dict[str, Any]:
    """Trainer arguments that do not depend on the stage: no reports, no evaluation, no hub, one log line a step.

    Args:
        run_dir: The run folder.
        seed: Seed of everything random in the trainer.
        learning_rate: Peak learning rate.
        steps: Optimiser steps.
        save_steps: Optimiser steps between trainer checkpoints.
    """
    import torch

    cpu = not torch.cuda.is_available()
    return {
        "output_dir": str(run_dir / TRAINER_FOLDER),
        "seed": seed,
        "learning_rate": learning_rate,
        "max_steps": steps,
        "save_strategy": "steps",
        "save_steps": save_steps,
        "save_total_limit": KEPT,
        "logging_steps": 1,
        "report_to": "none",
        "ddp_timeout": int(patience_s(run_dir)),
        "disable_tqdm": True,
        "use_cpu": cpu,
        "bf16": not cpu,
        "gradient_checkpointing": False,
        "gradient_checkpointing_kwargs": {"use_reentrant": False},
        "remove_unused_columns": False,
        "dataloader_num_workers": 0,
        "dataloader_pin_memory": not cpu,
        "push_to_hub": False,
    }


def lora_settings(rank: int, alpha: int) -> Any:
    """Low-rank adapters on every linear layer of the language model, none in the vision transformer.

    Args:
        rank: Rank of the adapters.
        alpha: Their output is multiplied by alpha / rank.
    """
    from peft import LoraConfig

    return LoraConfig(r=rank, lora_alpha=alpha, target_modules=LORA_TARGETS, task_type="CAUSAL_LM")


def merge_adapters(model: Any, base: Path | str | None) -> Any:
    """A plain model with low-rank adapters worked into its weights.

    Args:
        model: From peft, trained.
        base: The checkpoint that it was loaded from in four bits, whose whole weights take the adapters up (worked into
            rounded weights, they would be rounded themselves); None to merge into the weights at hand.
    """
    if base is None:
        return model.merge_and_unload()
    from peft import PeftModel

    from geor1.models.loading import load_model

    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        return PeftModel.from_pretrained(load_model(base), folder).merge_and_unload()


class ResumingMixin:
    """Makes a transformers trainer resume full fine-tuning from the saved weights.

    In transformers 5.23 a full checkpoint of Qwen2.5-VL is saved under legacy key names and loaded raw on resume: every
    weight counts as missing, only a warning is logged, and training goes on from the initial weights. Loading through
    ``from_pretrained`` converts the names.
    """

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        model = model if model is not None else self.model  # type: ignore[attr-defined]
        # What FSDP and DeepSpeed save is not a transformers folder, and adapters are loaded rightly.
        if hasattr(model, "peft_config") or self.is_fsdp_enabled or self.is_deepspeed_enabled:  # type: ignore[attr-defined]
            super()._load_from_checkpoint(resume_from_checkpoint, model)  # type: ignore[misc]
            return
        saved = type(model).from_pretrained(resume_from_checkpoint, dtype=model.dtype, use_safetensors=True)
        result = model.load_state_dict(saved.state_dict(), strict=False)
        if result.unexpected_keys or set(result.missing_keys) - set(model._tied_weights_keys or ()):
            raise RuntimeError(f"{resume_from_checkpoint}: weights do not fit the model: {result}")
        model.tie_weights()


def spreads_weights(trainer: Any) -> bool:
    """Whether each of the processes that train together holds a part of the weights only (FSDP, ZeRO-3).

    Args:
        trainer: A transformers trainer.
    """
    stage = trainer.accelerator.state.deepspeed_plugin.zero_stage if trainer.is_deepspeed_enabled else 0
    return trainer.is_fsdp_enabled or stage == 3


def launched_to_share() -> bool:
    """Whether accelerate was launched so that processes share the model's state out (FSDP, ZeRO); no trainer needed."""
    return any(os.environ.get(f"ACCELERATE_USE_{how}", "").lower() == "true" for how in ("FSDP", "DEEPSPEED"))


def refuse_spread_adapters(trainer: Any) -> None:
    """Stop before training what could not be merged after it.

    Args:
        trainer: A transformers trainer.

    Raises:
        ConfigError: Adapters, and weights that are spread over processes.
    """
    if hasattr(trainer.model, "peft_config") and spreads_weights(trainer):
        raise ConfigError("lora: adapters are merged into whole weights; expected launcher ddp or deepspeed_zero2")


def gathered_weights(trainer: Any) -> dict[str, Any] | None:
    """The whole weights, where processes hold a part of them only; all of them must ask. None where each holds all.

    Args:
        trainer: A transformers trainer after training.
    """
    if not spreads_weights(trainer):
        return None
    return trainer.accelerator.get_state_dict(trainer.deepspeed if trainer.is_deepspeed_enabled else trainer.model)


class RunFolderCallback(TrainerCallback):
    """Writes the metrics trace, marks complete checkpoints and shows progress, in the first process.

    A checkpoint is saved, and the run ends with :class:`geor1.runs.RunStoppedError`, when a stop is asked for.

    Args:
        run_dir: The run folder.
        description: What the progress line says.
        steps: Optimiser steps in all.
    """

    def __init__(self, run_dir: Path, description: str, steps: int) -> None:
        self._run_dir = run_dir
        self._launch = read_launch(run_dir)
        url = self._launch.checkpoint_url
        self._copies = CheckpointCopies(url, run_dir) if url else None
        self._tracker = NoTracker()
        self._why_stopped = ""
        self._progress: Progress | None = None
        self._description = description
        self._steps = steps
        self._last = time.perf_counter()

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Start the progress line where the run starts or resumes."""
        if not state.is_world_process_zero:
            return
        self._progress = Progress(self._description, total=self._steps, unit="step")
        if state.global_step:
            self._progress.update(state.global_step)
        self._tracker = open_tracker(self._launch.report_to, self._run_dir, resumed=state.global_step > 0)
        self._last = time.perf_counter()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Save and stop if that is asked for; all processes do as the first one sees it.

        Not between steps on one batch of completions, which would be lost.
        """
        whole = state.global_step % getattr(args, "num_iterations", 1) == 0
        if not whole or state.global_step >= state.max_steps:
            return
        self._why_stopped = from_first_process(lambda: stop_requested(self._run_dir))
        if self._why_stopped:
            control.should_save = control.should_training_stop = True

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Append the step's figures."""
        if not logs or "train_runtime" in logs or not state.is_world_process_zero:
            return
        traced = {name: value for name, value in logs.items() if not name.startswith(NOT_TRACED)}
        append_metrics(self._run_dir, state.global_step, **traced)
        self._tracker.log(state.global_step, traced)
        now = time.perf_counter()
        phases = {name.removeprefix(PHASE): value for name, value in logs.items() if name.startswith(PHASE)}
        line = {"step": state.global_step, "seconds": round(now - self._last, 4), **phases}
        with (self._run_dir / TIMINGS_FILE).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self._last = now
        if self._progress is not None:
            shown = {name: logs[name] for name in ("loss", "reward", "mean_token_accuracy") if name in logs}
            self._progress.update(1, **shown)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Mark the checkpoint just written as complete, once every process has written its part."""
        process_state().wait_for_everyone()
        if not state.is_world_process_zero:
            return
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        atomic_write_text(folder / COMPLETE_MARK, f"{state.global_step}\n")
        if self._copies is not None:
            self._copies.start(folder)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """End the progress line; a run that was stopped goes no further.

        Raises:
            RunStoppedError: A stop was asked for, and the checkpoint is saved.
        """
        if self._progress is not None:
            self._progress.close()
        self._tracker.close()
        if self._copies is not None:
            self._copies.wait()
        if self._why_stopped:
            raise RunStoppedError(
                f"stopped by {self._why_stopped} after step {state.global_step} of {state.max_steps}; a checkpoint is "
                "saved, the same command goes on from there"
            )


def resume_point(run_dir: Path) -> Path | None:
    """The last complete trainer checkpoint of a run folder; half-written ones are removed, later metrics dropped.

    Where none is here, the last copy at the launch's ``checkpoint_url`` is fetched.

    Args:
        run_dir: The run folder, new or left behind by a killed run.

    Returns:
        The checkpoint to resume from, or None to start afresh.
    """
    complete: dict[int, Path] = {}
    for folder in (run_dir / TRAINER_FOLDER).glob("checkpoint-*"):
        number = folder.name.removeprefix("checkpoint-")
        if number.isdecimal() and (folder / COMPLETE_MARK).is_file():
            complete[int(number)] = folder
        else:
            shutil.rmtree(folder)
    url = read_launch(run_dir).checkpoint_url
    if url and not complete and (fetched := fetch_latest(url, run_dir, run_dir / TRAINER_FOLDER)):
        complete[int(fetched.name.removeprefix("checkpoint-"))] = fetched
    last = max(complete, default=-1)  # -1 drops the figures before the first step, too
    truncate_metrics(run_dir, last)
    for name in (TIMINGS_FILE, "rollouts.jsonl"):
        truncate_lines(run_dir / name, last)
    return complete.get(last)


def truncate_lines(path: Path, last_step: int) -> None:
    """Keep the lines of a JSONL file whose ``step`` is at most ``last_step``; torn lines go too."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8", errors="replace").split("\n")[:-1]:
        try:
            if json.loads(line)["step"] <= last_step:
                kept.append(line + "\n")
        except ValueError:
            continue
    atomic_write_text(path, "".join(kept))


def finish(run_dir: Path, labels: dict[str, Any], summary: dict[str, Any]) -> None:
    """Write what the next stage and the run's manifest read.

    The trainer's own checkpoints stay until the manifest is written: a run killed before goes on from them.

    Args:
        run_dir: The run folder; its product must be in place.
        labels: Content of ``labels_seen.json``.
        summary: Headline figures, for ``metrics_summary.json``.
    """
    atomic_write_text(run_dir / LABELS_FILE, json.dumps(labels, indent=1) + "\n")
    atomic_write_text(run_dir / "metrics_summary.json", json.dumps(summary, indent=1) + "\n")


def labels_seen(checkpoint: Path | str) -> int:
    """Pairing labels that a checkpoint has seen in training, from ``labels_seen.json`` in or beside its folder.

    Args:
        checkpoint: A model folder; 0 is returned for one that says nothing (a published base).
    """
    folder = Path(checkpoint)
    for place in (folder / LABELS_FILE, folder.parent / LABELS_FILE):
        if place.is_file():
            return int(json.loads(place.read_text(encoding="utf-8"))["pairing_labels_seen"])
    return 0
