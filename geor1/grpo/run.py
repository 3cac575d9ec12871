"""Stage 03: improve a checkpoint by GRPO on pairing questions."""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geor1.grpo.config import GrpoConfig
from geor1.grpo.data import (
    consumption_order,
    images_of,
    letters_of,
    load_questions,
    prompt_of,
    spread,
    to_dataset,
)
from geor1.grpo.rewards import AccuracyReward, RewardFunction, make_rewards
from geor1.models.encoding import PromptEncoder
from geor1.models.generate import end_tokens, generate
from geor1.models.loading import load_for_training, load_processor, save_checkpoint
from geor1.records import Question
from geor1.runs import ConfigError, announce, append_metrics, read_metrics

if TYPE_CHECKING:
    from transformers.processing_utils import ProcessorMixin

    from geor1.grpo.trainer import GeoGRPOTrainer

HeldOut = Callable[[Any], dict[str, float]]


def run_grpo(config: GrpoConfig, data: Path, checkpoint: Path, run_dir: Path) -> Path:
    """Train on the questions of a data folder; a killed run resumes from what lies in ``run_dir``.

    Several processes (``accelerate launch -m geor1.grpo …``) share the questions of a step out; the first one writes.

    Args:
        config: Parameters.
        data: Run folder of stage 01 (``questions_train.jsonl``, ``questions_test.jsonl`` and their images).
        checkpoint: The model to start from: stage 02's product, or a base (Geo-R1-Zero).
        run_dir: Where products go: ``checkpoint/``, ``metrics.jsonl``, ``rollouts.jsonl``, ``labels_seen.json``.

    Returns:
        ``run_dir / "checkpoint"``.

    Raises:
        RecordError: Missing, empty or malformed questions.
        SampleError: A sample that must not be trained on, e.g. with an image that is missing or cut short.
        ImageReadError: An image of a held-out question that cannot be read.
        ModelLoadError: A checkpoint that cannot be loaded.
    """
    from geor1.models import training

    data, run_dir = Path(data), Path(run_dir)
    training.prepare(run_dir, config.threads)
    questions = load_questions(data, "train")[: config.max_questions or None]
    needed = math.ceil(config.steps / config.num_iterations) * config.prompts_per_step
    consumed = [questions[place] for place in consumption_order(questions, needed, config.order, config.seed)]
    state = training.process_state()
    # Weights that are to be shared out go to the device in parts, unless the whole model answers questions before.
    whole = bool(config.eval_every) or not training.launched_to_share()
    model = load_for_training(checkpoint, state.device, config.quantize, move=whole)
    processor = load_processor(checkpoint)
    freeze(model, vision=config.freeze_vision, pattern=config.freeze)
    encoder = PromptEncoder(processor, limit_bytes=config.image_cache_mb << 20)
    held_out = None
    if config.eval_every:
        held_out = held_out_accuracy(config, spread(load_questions(data, "test"), config.n_eval), data, processor)
    resume = training.from_first_process(lambda: training.resume_point(run_dir))
    if resume is not None and state.is_main_process:
        announce(f"03_grpo: resuming from {resume.name} of {config.steps} steps")
    elif resume is None and held_out is not None and state.is_main_process:
        append_metrics(run_dir, 0, **held_out(model))
    trainer = build_trainer(config, model, processor, encoder, to_dataset(consumed, data), held_out, run_dir)
    trainer.train(resume_from_checkpoint=None if resume is None else str(resume))
    product = run_dir / training.PRODUCT_FOLDER
    weights = training.gathered_weights(trainer)
    if state.is_main_process:
        trained = trainer.accelerator.unwrap_model(trainer.model)
        if config.lora:
            trained = training.merge_adapters(trained, checkpoint if config.quantize else None)
        shutil.rmtree(product, ignore_errors=True)
        save_checkpoint(trained.eval(), processor, product, weights)
        labels = count_labels({question.question_id for question in consumed}, before=training.labels_seen(checkpoint))
        training.finish(run_dir, labels, _summary(run_dir))
    state.wait_for_everyone()
    return product


def freeze(model: Any, *, vision: bool, pattern: str) -> list[str]:
    """Exclude parameters from training.

    Args:
        model: A Qwen-VL ``ForConditionalGeneration``.
        vision: Whether to freeze the vision tower, projector included.
        pattern: Regular expression found in the names of further parameters; empty for none.

    Returns:
        Names of the frozen parameters.

    Raises:
        ConfigError: The pattern finds no parameter, or nothing is left to train.
    """
    names = [name for name, _ in model.named_parameters()]
    frozen = [name for name in names if vision and ".visual." in f".{name}"]
    if pattern:
        try:
            found = [name for name in names if re.search(pattern, name)]
        except re.error as error:
            raise ConfigError(f"freeze: {pattern!r} is no regular expression ({error})") from error
        if not found:
            raise ConfigError(f"freeze: {pattern!r} finds no parameter; names are like {names[0]!r} and {names[-1]!r}")
        frozen = [name for name in names if name in {*frozen, *found}]
    if len(frozen) == len(names):
        raise ConfigError(f"freeze: {pattern!r} leaves nothing to train")
    for name, parameter in model.named_parameters():
        if name in frozen:
            parameter.requires_grad_(False)
    return frozen


def build_trainer(
    config: GrpoConfig,
    model: Any,
    processor: ProcessorMixin,
    encoder: PromptEncoder,
    dataset: Any,
    held_out: HeldOut | None,
    run_dir: Path,
) -> GeoGRPOTrainer:
    """The shared-prefix trainer with our rewards on a dataset in the order of consumption.

    Args:
        config: Parameters.
        model: The policy to improve.
        processor: Its processor.
        encoder: Encodes prompts; its image cache is kept.
        dataset: From :func:`geor1.grpo.data.to_dataset`.
        held_out: Figures on held-out questions, or None.
        run_dir: The run folder.
    """
    from transformers import PrinterCallback

    from geor1.grpo.trainer import GeoGRPOTrainer
    from geor1.models.sharding import prepare_fsdp2
    from geor1.models.training import RunFolderCallback, lora_settings, refuse_spread_adapters

    rewards, weights = stage_rewards(config, model, processor)
    arguments = trl_settings(config, run_dir, weights)
    prepare_fsdp2(arguments)
    trainer = GeoGRPOTrainer(
        encoder=encoder,
        run_dir=run_dir,
        skip_flat_groups=config.skip_flat_groups,
        rows_per_batch=config.rows_per_batch,
        resample_rounds=config.resample_rounds,
        feature_store=config.feature_store or None,
        feature_store_bytes=config.feature_store_gb << 30,
        rollouts_every=config.rollouts_every,
        held_out=held_out,
        eval_every=config.eval_every,
        memory_probe=config.memory_probe,
        logits_chunk_tokens=config.logits_chunk_tokens,
        model=model,
        reward_funcs=rewards,
        args=arguments,
        train_dataset=dataset,
        processing_class=processor,
        callbacks=[RunFolderCallback(run_dir, "03 GRPO", config.steps)],
        peft_config=lora_settings(config.lora_rank, config.lora_alpha) if config.lora else None,
    )
    trainer.remove_callback(PrinterCallback)
    refuse_spread_adapters(trainer)
    return trainer


def stage_rewards(
    config: GrpoConfig, model: Any, processor: ProcessorMixin
) -> tuple[list[RewardFunction], list[float]]:
    """The reward functions that the config names, and their weights, for a policy and its processor."""
    return make_rewards(
        preset=config.reward_preset,
        weights=config.weights,
        correct=config.accuracy_correct,
        wrong=config.accuracy_wrong,
        max_length=config.reward_max_length,
        tokenizer=processor.tokenizer,
        end_token_ids=end_tokens(model, processor.tokenizer),
    )


def trl_settings(config: GrpoConfig, run_dir: Path, reward_weights: list[float]) -> Any:
    """Our parameters as TRL's ``GRPOConfig``.

    Args:
        config: Parameters.
        run_dir: The run folder.
        reward_weights: In the order of the reward functions.

    Raises:
        ConfigError: The processes that train together cannot share the questions of a step out evenly.
    """
    from trl import GRPOConfig

    from geor1.models.training import process_state, trainer_settings

    processes = process_state().num_processes
    share = config.prompts_per_step // processes
    size = config.prompts_per_pass or share
    if share * processes != config.prompts_per_step or share % size:
        raise ConfigError(
            f"prompts_per_step: expected a multiple of {processes} processes times prompts_per_pass="
            f"{config.prompts_per_pass or 1}, got {config.prompts_per_step}"
        )
    passes = share // size
    settings = trainer_settings(
        run_dir, seed=config.seed, learning_rate=config.learning_rate, steps=config.steps, save_steps=config.save_steps
    )
    settings["gradient_checkpointing"] = config.gradient_checkpointing
    return GRPOConfig(
        **settings,
        per_device_train_batch_size=size * config.group_size,
        gradient_accumulation_steps=passes,
        steps_per_generation=passes,
        num_generations=config.group_size,
        lr_scheduler_type="constant_with_warmup" if config.schedule == "constant" else "linear",
        warmup_steps=config.warmup_steps,
        weight_decay=config.weight_decay,
        adam_beta2=config.adam_beta2,
        max_grad_norm=config.max_grad_norm,
        temperature=config.temperature,
        max_completion_length=config.max_completion_tokens,
        num_iterations=config.num_iterations,
        beta=config.beta,
        use_bias_correction_kl=config.kl_correction,
        epsilon=config.epsilon,
        epsilon_high=config.epsilon_high or None,
        top_entropy_quantile=config.top_entropy_quantile,
        loss_type=config.loss_type,
        importance_sampling_level=config.importance_sampling_level,
        scale_rewards=config.scale_rewards,
        reward_weights=reward_weights,
        shuffle_dataset=False,
        **_vllm_settings(config),
    )


def _vllm_settings(config: GrpoConfig) -> dict[str, Any]:
    return {
        "use_vllm": config.rollouts != "in_process",
        "vllm_mode": "server" if config.rollouts == "vllm_server" else "colocate",
        "vllm_server_base_url": config.vllm_server_url or None,
        "vllm_gpu_memory_utilization": config.vllm_gpu_memory,
        "vllm_tensor_parallel_size": config.vllm_tensor_parallel,
        "vllm_max_model_length": config.vllm_max_tokens or None,
        "vllm_enable_sleep_mode": config.vllm_sleep,
        "vllm_importance_sampling_correction": config.corrects,
        "vllm_importance_sampling_mode": config.vllm_correction if config.corrects else "sequence_mask",
        "vllm_importance_sampling_clip_max": config.vllm_correction_max,
    }


def held_out_accuracy(config: GrpoConfig, questions: list[Question], data: Path, processor: ProcessorMixin) -> HeldOut:
    """Greedy accuracy on questions that training never sees, by the strict judgement of the accuracy reward.

    Args:
        config: Parameters.
        questions: Held-out questions.
        data: Folder that their image paths are relative to.
        processor: The model's processor.

    Returns:
        A function of the model that gives ``heldout/accuracy``, ``heldout/ended`` (shares) and ``heldout/mean_length``
        (tokens).
    """
    encoder = PromptEncoder(processor, limit_bytes=config.image_cache_mb << 20)
    prompts = [prompt_of(question) for question in questions]
    images = [images_of(question, data) for question in questions]
    judge = AccuracyReward()

    def evaluate(model: Any) -> dict[str, float]:
        """Answer the held-out questions greedily; figures by the names they are logged under."""
        answers = generate(
            model,
            processor,
            prompts,
            images,
            max_new_tokens=config.max_completion_tokens,
            batch_size=min(64, config.rows_per_batch),
            encoder=encoder,
        )
        outcomes = judge.outcomes(
            [answer.text for answer in answers],
            answer=[question.answer for question in questions],
            letters=[letters_of(question) for question in questions],
            finished=[answer.finished for answer in answers],
        )
        count = len(questions)
        return {
            "heldout/accuracy": outcomes.count("correct") / count,
            "heldout/ended": sum(answer.finished for answer in answers) / count,
            "heldout/mean_length": sum(answer.completion_tokens for answer in answers) / count,
        }

    return evaluate


def count_labels(question_ids: set[str], *, before: int) -> dict[str, Any]:
    """What ``labels_seen.json`` says: each distinct question consumed is one pairing label.

    Args:
        question_ids: Distinct questions whose answers rewarded the policy.
        before: Pairing labels that the start checkpoint had seen.
    """
    return {
        "pairing_labels_seen": before + len(question_ids),
        "detail": {"start_checkpoint": before, "questions": len(question_ids)},
    }


def _summary(run_dir: Path) -> dict[str, Any]:
    rows = read_metrics(run_dir)
    steps = [row for row in rows if row["step"] > 0]
    last = steps[-10:]
    wanted = ("reward", "rewards/accuracy/mean", "frac_reward_zero_std", "entropy")
    means = {}
    for name in wanted:
        values = [row[name] for row in last if row.get(name) is not None]
        if values:
            means[name] = sum(values) / len(values)
    held_out = [row["heldout/accuracy"] for row in rows if "heldout/accuracy" in row]
    first_and_last = {"heldout_accuracy_first": held_out[0], "heldout_accuracy_last": held_out[-1]} if held_out else {}
    return {"steps": len(steps), **means, **first_and_last}
