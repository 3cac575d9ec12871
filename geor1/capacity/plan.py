"""A profile's two training stages as plans: memory, arithmetic, seconds a step, days, money."""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any

from geor1.capacity import seconds as step_time
from geor1.capacity.disk import disk_bytes, saved_bytes
from geor1.capacity.hardware import EFFICIENCIES
from geor1.capacity.memory import (
    Counts,
    Holding,
    Memory,
    at_start,
    counts,
    held,
    host_bytes,
    sampled_in_process,
    vllm_least,
)
from geor1.capacity.profile import Assumptions, Machine, Profile
from geor1.capacity.simulate import Pass, Setup, pass_bytes
from geor1.grpo.accounting import CostModel, Work, cost_model, count_work
from geor1.grpo.config import GrpoConfig
from geor1.models.architectures import find_architecture, published_config, without_memory
from geor1.runs import ConfigError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """One stage on one machine.

    Attributes:
        stage: Its name.
        machine: What it runs on.
        memory: Of a device.
        total_flops: Of a step, all devices together.
        phases: Seconds a step by phase, for each of ``EFFICIENCIES``.
        host_bytes: Of a machine's own memory, while the model is loaded.
        saved_bytes: Of a resumable checkpoint.
        disk_bytes: That a run needs at most: checkpoints kept, one being written, or the product.
        steps: Optimiser steps.
        questions: Prompts a step.
        prompt_tokens: Of a prompt with its pictures.
        completion_tokens: Longest completion sampled; 0 where nothing is.
        vllm_tokens: Longest prompt and completion that vLLM makes room for; 0 for what the model takes.
    """

    stage: str
    machine: Machine
    memory: Memory
    total_flops: float
    phases: dict[str, dict[str, float]]
    host_bytes: float
    saved_bytes: float
    disk_bytes: float
    steps: int
    questions: int
    prompt_tokens: int
    completion_tokens: int = 0
    vllm_tokens: int = 0

    @property
    def fits(self) -> bool:
        """Whether the peak fits the device, vLLM its share, and a prompt with its completion vLLM."""
        memory = self.memory
        holds = memory.peak <= self.machine.device.memory_bytes and memory.sampler_least <= memory.sampler
        return holds and not self.tokens_lacking

    @property
    def tokens_lacking(self) -> int:
        """By how many tokens vLLM would cut the longest completions short."""
        return max(0, self.prompt_tokens + self.completion_tokens - self.vllm_tokens) if self.vllm_tokens else 0

    def seconds(self, share: str = "middle") -> float:
        """Of a step."""
        return sum(self.phases[share].values())

    def days(self, share: str = "middle") -> float:
        """Of the stage."""
        return self.steps * self.seconds(share) / 86400

    def dollars(self, share: str = "middle") -> float:
        """Of the stage."""
        return self.days(share) * 24 * self.machine.dollars

    @property
    def bottleneck(self) -> str:
        """The longest phase."""
        middle = self.phases["middle"]
        return max(middle, key=lambda name: middle[name])


@functools.cache
def _cost(hub_name: str) -> CostModel:
    return cost_model(without_memory(published_config(find_architecture(hub_name))))


@functools.cache
def _activations(hub_name: str, shape: Pass, setup: Setup) -> int:
    return pass_bytes(published_config(find_architecture(hub_name)), shape, setup)


def _setup(holding: Holding, checkpointing: bool, *, sampled: bool) -> Setup:
    import torch

    return Setup(
        weights=torch.bfloat16 if holding.half else torch.float32,
        autocast=not holding.half,
        lora_rank=holding.lora_rank,
        freeze_vision=holding.freezes_vision,
        features=sampled and holding.keeps_features,
        checkpointing=checkpointing,
    )


def _share(whole: int, machine: Machine, at_once: int, what: str) -> tuple[int, int]:
    """A device's part of a step, and how much of it a pass takes."""
    if whole % machine.devices:
        raise ConfigError(f"{what}: expected a multiple of {machine.devices} devices, got {whole}")
    own = whole // machine.devices
    size = min(at_once or own, own)
    if own % size:
        raise ConfigError(f"{what}: a device's {own} do not divide into passes of {size}")
    return own, size


def plan_grpo(profile: Profile, machine: Machine | None = None, assumed: Assumptions | None = None) -> Plan:
    """Plan stage 03.

    Args:
        profile: Its parameters.
        machine: What it runs on; None for what the profile says.
        assumed: What the profile does not say.
    """
    machine, assumed, config = machine or profile.machine, assumed or Assumptions(), profile.grpo
    own, size = _share(config.prompts_per_step, machine, config.prompts_per_pass, "prompts_per_step")
    holding = Holding(
        sharing=machine.sharing,
        devices=machine.devices,
        lora_rank=config.lora_rank if config.lora else 0,
        quantized=bool(config.quantize),
        freeze_vision=config.freeze_vision,
        reference=config.beta > 0,
    )
    hub, numbers = profile.architecture.hub_name, counts(profile.architecture)
    limit, mean = config.max_completion_tokens, min(assumed.completion_tokens, config.max_completion_tokens)
    prompt, one = _question(profile, assumed.text_tokens, [mean] * config.group_size)
    shape = Pass(
        prompts=size,
        text_tokens=assumed.text_tokens,
        grids_thw=profile.grids_thw,
        group=config.group_size,
        completion_tokens=limit,
        logits_chunk_tokens=config.logits_chunk_tokens,
    )
    rows = min(own * config.group_size, config.rows_per_batch)
    activations = _activations(hub, shape, _setup(holding, config.gradient_checkpointing, sampled=True))
    memory = _grpo_memory(profile.grpo, machine, numbers, holding, activations, prompt, rows)
    evaluated = math.ceil(config.n_eval / 64) * limit / config.eval_every if config.eval_every else 0.0
    step = step_time.StepShape(
        work=_times(one, own),
        passes=own // size,
        megapixels=own * profile.megapixels,
        vision_stored=bool(config.feature_store),
        prompt_tokens=prompt,
        rows=rows,
        batches=math.ceil(own * config.group_size / rows),
        decode_steps=min(limit, math.ceil(assumed.longest * mean)),
        mean_tokens=mean,
        vllm=config.rollouts != "in_process",
        served=config.rollouts == "vllm_server",
        corrected=config.corrects,
        iterations=config.num_iterations,
        checkpointing=config.gradient_checkpointing,
        held_out_passes=evaluated,
        save_bytes=saved_bytes(numbers, holding) / config.save_steps,
    )
    plan = _plan("03_grpo", profile, machine, memory, step, holding, config.steps, config.prompts_per_step)
    room = config.vllm_max_tokens if config.rollouts == "vllm_colocate" else 0  # a server has its own
    return dataclasses.replace(plan, completion_tokens=limit, vllm_tokens=room)


def _grpo_memory(
    config: GrpoConfig, machine: Machine, numbers: Counts, holding: Holding, activations: int, prompt: int, rows: int
) -> Memory:
    """What a device holds in stage 03: prompts of so many tokens, so many completions decoded at a time."""
    limit, colocated = config.max_completion_tokens, config.rollouts == "vllm_colocate"
    sampler = least = 0.0
    if config.rollouts == "in_process":
        at_once = max(1, rows // config.group_size)
        sampler = sampled_in_process(numbers, at_once, prompt, rows, limit, 2 if holding.quantized else 4)
    elif colocated:
        sampler = config.vllm_gpu_memory * machine.device.memory_bytes
        least = vllm_least(numbers, config.vllm_max_tokens or prompt + limit, config.vllm_tensor_parallel)
    return Memory(
        parts=held(numbers, holding),
        activations=activations,
        sampler=sampler,
        sampler_stays=colocated and not config.vllm_sleep,
        sampler_least=least,
        whole=at_start(numbers, holding, moved=bool(config.eval_every)),
    )


def plan_sft(
    profile: Profile, machine: Machine | None = None, assumed: Assumptions | None = None, chains: int = 12_600
) -> Plan:
    """Plan stage 02; arguments as :func:`plan_grpo`.

    Args:
        profile: Its parameters.
        machine: What it runs on; None for what the profile says.
        assumed: What the profile does not say.
        chains: Scaffolds, where ``max_steps`` does not say how long it runs. Source of the default: the paper's 12.6 K.
    """
    machine, assumed, config = machine or profile.machine, assumed or Assumptions(), profile.sft
    own, size = _share(config.batch_size, machine, config.micro_batch_size, "batch_size")
    holding = Holding(
        sharing=machine.sharing,
        devices=machine.devices,
        lora_rank=config.lora_rank if config.lora else 0,
        quantized=bool(config.quantize),
        freeze_vision=config.freeze_vision,
        reference=False,
    )
    numbers = counts(profile.architecture)
    prompt, one = _question(profile, assumed.text_tokens, [assumed.chain_tokens])
    shape = Pass(
        prompts=size,
        text_tokens=assumed.text_tokens,
        grids_thw=profile.grids_thw,
        group=1,
        completion_tokens=math.ceil(assumed.longest * assumed.chain_tokens),
        logits_chunk_tokens=512,  # TRL's own tiles are of this order
    )
    setup = _setup(holding, config.gradient_checkpointing, sampled=False)
    memory = Memory(
        parts=held(numbers, holding),
        activations=_activations(profile.architecture.hub_name, shape, setup),
        whole=at_start(numbers, holding, moved=False),
    )
    step = step_time.StepShape(
        work=_times(one, own),
        passes=own // size,
        megapixels=own * profile.megapixels,
        vision_stored=False,
        prompt_tokens=prompt,
        rows=0,
        batches=0,
        decode_steps=0,
        mean_tokens=assumed.chain_tokens,
        vllm=False,
        served=False,
        corrected=False,
        iterations=1,
        checkpointing=config.gradient_checkpointing,
        held_out_passes=0.0,
        save_bytes=saved_bytes(numbers, holding) / config.save_steps,
    )
    steps = config.max_steps or math.ceil((config.max_examples or chains) * config.epochs / config.batch_size)
    return _plan("02_scaffold_sft", profile, machine, memory, step, holding, steps, config.batch_size)


def evaluation_hours(profile: Profile, machine: Machine, share: str = "middle", models: int = 3) -> float:
    """Hours of stage 04 on one device, by vLLM or in process: every completion of full length.

    Args:
        profile: Its parameters.
        machine: What it runs on; one of its devices is taken.
        share: Which of ``EFFICIENCIES``.
        models: Models evaluated: base, scaffold, GRPO.
    """
    config, efficiency = profile.evaluation, EFFICIENCIES[share]
    asked = config.n_questions * config.rotations + config.n_geolocation
    asked += config.n_control * config.control_rotations * len(config.controls)
    cost, numbers = _cost(profile.architecture.hub_name), counts(profile.architecture)
    prompt, one = _question(profile, Assumptions().text_tokens, [config.max_new_tokens])
    vllm, rows = config.backend != "in_process", config.batch_size
    alone = Holding(
        sharing="", devices=1, lora_rank=0, quantized=False, freeze_vision=True, reference=False
    )  # the product, adapters merged
    shape = step_time.StepShape(
        work=one, passes=1, megapixels=0.0, vision_stored=False, prompt_tokens=prompt, rows=rows, batches=1,
        decode_steps=config.max_new_tokens, mean_tokens=config.max_new_tokens, vllm=vllm, served=False, corrected=False,
        iterations=1, checkpointing=False,
        held_out_passes=0.0, save_bytes=0.0,
    )  # fmt: skip
    decode = step_time.decoding_pass(cost, numbers, shape, alone, machine.device, efficiency)
    if not vllm and config.dtype != "float32":
        decode /= 2  # stage 04 loads weights in half precision, training does not
    read = (cost.vision(one) + cost.prefill(one)) / (machine.device.flops_per_s * efficiency.compute)
    return models * asked * (read + config.max_new_tokens * decode / rows) / 3600


def evaluation_tokens(profile: Profile) -> int:
    """Tokens of a question of stage 04 with its longest completion."""
    prompt, _ = _question(profile, Assumptions().text_tokens, [profile.evaluation.max_new_tokens])
    return prompt + profile.evaluation.max_new_tokens


def _question(profile: Profile, text_tokens: int, completions: list[int]) -> tuple[int, Work]:
    """Prompt tokens of a question, and its work."""
    merge = int(profile.architecture.vision["spatial_merge_size"]) ** 2
    patches = sum(time * height * width for time, height, width in profile.grids_thw)
    prompt = text_tokens + patches // merge + 2 * len(profile.grids_thw)
    window = _cost(profile.architecture.hub_name).window_patches
    return prompt, count_work(prompt, profile.grids_thw, completions, window_patches=window)


def _times(work: Work, count: int) -> Work:
    return sum([work] * count, Work())


def _plan(
    stage: str, profile: Profile, machine: Machine, memory: Memory, step: Any, holding: Holding, steps: int, asked: int
) -> Plan:
    cost, numbers = _cost(profile.architecture.hub_name), counts(profile.architecture)
    done = step_time.flops(cost, numbers, step, holding)
    return Plan(
        stage=stage,
        machine=machine,
        memory=memory,
        total_flops=machine.devices * sum(done.values()),
        phases={
            name: step_time.seconds(cost, numbers, step, holding, machine.device, share, machine.per_machine)
            for name, share in EFFICIENCIES.items()
        },
        host_bytes=host_bytes(numbers, holding, machine.per_machine),
        saved_bytes=saved_bytes(numbers, holding),
        disk_bytes=disk_bytes(numbers, holding),
        steps=steps,
        questions=asked,
        prompt_tokens=step.prompt_tokens,
    )
