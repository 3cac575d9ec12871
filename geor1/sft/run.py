"""Stage 02: teach a base model the scaffold by supervised fine-tuning."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geor1.models.loading import BASE_MODEL_PATH, load_for_training, load_processor, save_checkpoint
from geor1.records import Scaffold
from geor1.runs import ConfigError, announce, read_metrics
from geor1.sft.config import SftConfig
from geor1.sft.data import ScaffoldCollator, consumption_order, load_scaffolds, to_dataset

if TYPE_CHECKING:
    import torch
    from transformers.processing_utils import ProcessorMixin
    from trl import SFTTrainer


def run_sft(config: SftConfig, data: Path, run_dir: Path) -> Path:
    """Fine-tune on the scaffolds of a data folder; a killed run resumes from what lies in ``run_dir``.

    Several processes (``accelerate launch -m geor1.sft …``) share the examples of a step out; the first one writes.

    Args:
        config: Parameters.
        data: Run folder of stage 01 (or any folder with a scaffold file and its images).
        run_dir: Where products go: ``checkpoint/`` (a plain transformers folder, adapters merged), ``metrics.jsonl``,
            ``labels_seen.json``.

    Returns:
        ``run_dir / "checkpoint"``.

    Raises:
        RecordError: Missing, empty or malformed scaffolds.
        ImageReadError: An image that cannot be read.
        ModelLoadError: A base model that cannot be loaded.
    """
    from geor1.models import training

    data, run_dir = Path(data), Path(run_dir)
    training.prepare(run_dir, config.threads)
    scaffolds = load_scaffolds(data, config.scaffolds, config.max_examples)
    steps = config.max_steps or max(1, math.ceil(len(scaffolds) * config.epochs / config.batch_size))
    order = consumption_order(scaffolds, config.batch_size, steps, config.seed)
    base = config.base_model or str(BASE_MODEL_PATH)
    state = training.process_state()
    model = load_for_training(base, state.device, config.quantize, move=False)  # the trainer moves it, or shares it out
    processor = load_processor(base)
    if config.freeze_vision:
        model.model.visual.requires_grad_(False)
    resume = training.from_first_process(lambda: training.resume_point(run_dir))
    if resume is not None and state.is_main_process:
        announce(f"02_scaffold_sft: resuming from {resume.name} of {steps} steps")
    trainer = build_trainer(config, model, processor, [scaffolds[index] for index in order], data, run_dir, steps)
    trainer.train(resume_from_checkpoint=None if resume is None else str(resume))
    product = run_dir / training.PRODUCT_FOLDER
    weights = training.gathered_weights(trainer)
    if state.is_main_process:
        trained = trainer.accelerator.unwrap_model(trainer.model)
        if config.lora:
            trained = training.merge_adapters(trained, base if config.quantize else None)
        shutil.rmtree(product, ignore_errors=True)
        save_checkpoint(trained.eval(), processor, product, weights)
        labels = count_labels([scaffolds[index] for index in sorted(set(order))], before=training.labels_seen(base))
        training.finish(run_dir, labels, _summary(run_dir, len(order)))
    state.wait_for_everyone()
    return product


def build_trainer(
    config: SftConfig,
    model: Any,
    processor: ProcessorMixin,
    scaffolds: list[Scaffold],
    data: Path,
    run_dir: Path,
    steps: int,
) -> SFTTrainer:
    """TRL's SFTTrainer on scaffolds in the given order.

    Args:
        config: Parameters.
        model: The base model.
        processor: Its processor.
        scaffolds: In the order of consumption.
        data: Folder that their image paths are relative to.
        run_dir: The run folder.
        steps: Optimiser steps.

    Raises:
        ConfigError: The processes that train together cannot share the examples of a step out evenly.
    """
    from transformers import PrinterCallback
    from trl import SFTTrainer

    from geor1.models.sharding import prepare_fsdp2
    from geor1.models.training import ResumingMixin, RunFolderCallback, lora_settings, refuse_spread_adapters

    class ResumingSFTTrainer(ResumingMixin, SFTTrainer):
        pass

    score_labels_only_on_cpu()
    arguments = trl_settings(config, run_dir, steps)
    prepare_fsdp2(arguments)
    trainer = ResumingSFTTrainer(
        model=model,
        args=arguments,
        train_dataset=to_dataset(scaffolds, data),
        data_collator=ScaffoldCollator(
            processor, answer_letter_loss=config.answer_letter_loss, image_cache_mb=config.image_cache_mb
        ),
        processing_class=processor,
        callbacks=[RunFolderCallback(run_dir, "02 scaffold SFT", steps)],
        peft_config=lora_settings(config.lora_rank, config.lora_alpha) if config.lora else None,
    )
    trainer.remove_callback(PrinterCallback)
    refuse_spread_adapters(trainer)
    return trainer


def trl_settings(config: SftConfig, run_dir: Path, steps: int) -> Any:
    """Our parameters as TRL's ``SFTConfig``.

    Args:
        config: Parameters.
        run_dir: The run folder.
        steps: Optimiser steps.

    Raises:
        ConfigError: The processes that train together cannot share the examples of a step out evenly.
    """
    from trl import SFTConfig as TrlSftConfig

    from geor1.models.training import process_state, trainer_settings

    passes_size, passes = share_out(config, process_state().num_processes)
    settings = trainer_settings(
        run_dir, seed=config.seed, learning_rate=config.learning_rate, steps=steps, save_steps=config.save_steps
    )
    settings["gradient_checkpointing"] = config.gradient_checkpointing
    return TrlSftConfig(
        **settings,
        per_device_train_batch_size=passes_size,
        gradient_accumulation_steps=passes,
        lr_scheduler_type="linear",
        warmup_steps=min(config.warmup_steps, steps // 5),
        weight_decay=config.weight_decay,
        adam_beta2=config.adam_beta2,
        max_grad_norm=config.max_grad_norm,
        train_sampling_strategy="sequential",
        completion_only_loss=True,
        max_length=None,
    )


def share_out(config: SftConfig, processes: int) -> tuple[int, int]:
    """Return how many examples a process takes in a forward pass, and how many passes make a step.

    Args:
        config: Parameters.
        processes: Processes that train together.

    Raises:
        ConfigError: ``batch_size`` is not shared out evenly.
    """
    share = config.batch_size // processes
    size = config.micro_batch_size or share
    if share * processes != config.batch_size or share % size:
        raise ConfigError(
            f"batch_size: expected a multiple of {processes} processes times micro_batch_size="
            f"{config.micro_batch_size or 1}, got {config.batch_size}"
        )
    return size, share // size


def score_labels_only_on_cpu() -> None:
    """Let TRL make logits on a CPU only where a label is, as it does on GPUs.

    Without Triton, TRL 1.16 makes logits at every position, prompts and all, because accelerators that compile for
    each shape anew would suffer from a number of labels that varies. A CPU does not: a step of the miniature takes 85
    to 93 % of the time. Loss and gradients are the same (tested).
    """
    from trl.trainer import utils

    stock = utils._use_triton
    if stock.__module__ != __name__:

        def use_triton(device: torch.device) -> bool:
            """Only asked, in that module, whether positions without a label are to be left out."""
            return device.type == "cpu" or stock(device)

        utils._use_triton = use_triton


def count_labels(scaffolds: list[Scaffold], *, before: int) -> dict[str, Any]:
    """What ``labels_seen.json`` says: pairing labels that the trained model has seen, its base included.

    Args:
        scaffolds: The distinct scaffolds used.
        before: Pairing labels that the base had seen.
    """
    here = sum(scaffold.pairing_labels_seen for scaffold in scaffolds)
    return {
        "pairing_labels_seen": before + here,
        "detail": {
            "base": before,
            "scaffolds": here,
            "pairing_chains": sum(scaffold.kind == "pairing" for scaffold in scaffolds),
            "geolocation_chains": sum(scaffold.kind == "geolocation" for scaffold in scaffolds),
        },
    }


def _summary(run_dir: Path, examples: int) -> dict[str, Any]:
    rows = read_metrics(run_dir)
    last = rows[-min(10, len(rows)) :]
    kept = ("loss", "mean_token_accuracy")
    means = {name: sum(row[name] for row in last) / len(last) for name in kept if last and name in last[0]}
    return {"steps": len(rows), "examples": examples, **means}
