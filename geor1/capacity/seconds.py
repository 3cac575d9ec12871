"""Seconds of an optimiser step, phase by phase, from its arithmetic, its memory traffic and its messages.

The arithmetic is that of the step accounting (:func:`geor1.grpo.accounting.count_work` and its cost model), which the
trainer logs beside every real step.
"""

from __future__ import annotations

import dataclasses

from geor1.capacity.hardware import DISK_BYTES_PER_S, PREPARE_S_PER_MEGAPIXEL, Device, Efficiency
from geor1.capacity.memory import Counts, Holding, trained
from geor1.grpo.accounting import CostModel, Work

PHASES = (
    "data",
    "rollout",
    "reference",
    "correction",
    "forward",
    "backward",
    "optimiser",
    "messages",
    "weight_sync",
    "held_out",
    "saving",
)
REMEDIES = {
    "data": "encode in worker processes; keep patches cached (image_cache_mb), or features (feature_store)",
    "rollout": "more rows a device while decoding (each pass reads all weights), shorter completions, vLLM",
    "reference": "adapters with the base as reference, or beta: 0",
    "correction": "vllm_correction: none, if its weights stay near 1",
    "forward": "freeze the vision tower and store its features; fewer, smaller pictures",
    "backward": "no gradient_checkpointing where memory allows; adapters; a frozen vision tower",
    "optimiser": "more devices that share it; adapters",
    "messages": "more prompts a pass; ZeRO-2 or DDP where weights fit; FSDP within a machine only",
    "weight_sync": "more steps a batch of completions (num_iterations); adapters alone are small",
    "held_out": "a greater eval_every, or 0 and stage 04 with vLLM",
    "saving": "a greater save_steps; a local disk",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class StepShape:
    """What one device does in an optimiser step.

    Attributes:
        work: Its prompts and completions of mean length, as scoring counts them.
        passes: Forward passes that the step is cut into.
        megapixels: Of its pictures.
        vision_stored: Whether the pictures' features come from a store.
        prompt_tokens: Of one prompt.
        rows: Completions decoded at a time; 0 where nothing is sampled.
        batches: Times that so many are decoded.
        decode_steps: Tokens of the longest completion.
        mean_tokens: Of a completion.
        vllm: Whether vLLM samples (else the model in process).
        served: Whether it does so on other machines.
        corrected: Whether its completions are scored once more before the step, to be weighted.
        iterations: Steps that each batch of completions serves.
        checkpointing: Whether layers are computed again.
        held_out_passes: Decoding passes of held-out questions a step, on average.
        save_bytes: Written a step, on average, by all devices together.
    """

    work: Work
    passes: int
    megapixels: float
    vision_stored: bool
    prompt_tokens: int
    rows: int
    batches: int
    decode_steps: int
    mean_tokens: float
    vllm: bool
    served: bool
    corrected: bool
    iterations: int
    checkpointing: bool
    held_out_passes: float
    save_bytes: float


def scoring(
    cost: CostModel,
    numbers: Counts,
    work: Work,
    *,
    lora_rank: int,
    trains_vision: bool,
    sees: bool,
    checkpointing: bool,
) -> dict[str, float]:
    """Floating-point operations of scoring, forward and backward.

    A trained weight costs two products backward, a frozen one a single one; attention costs two and a half, as the
    fused kernels make the scores again. Logits are made twice, in pieces; checkpointed layers, too, up to what is
    needed: the last product of a layer is not, unless an adapter stands beside it.

    Args:
        cost: Of the model, unquantised.
        numbers: Of the model.
        work: What is scored.
        lora_rank: Rank of adapters; 0 where the weights train.
        trains_vision: Whether the vision tower trains.
        sees: Whether the pictures go through it (else their features are there).
        checkpointing: Whether layers are computed again.

    Returns:
        ``forward`` and ``backward``.
    """
    tokens = work.prompt_tokens + work.read_tokens
    linear, adapters = cost.per_token * tokens, 2.0 * lora_rank * numbers.adapters * tokens
    attention = cost.per_pair * (work.prompt_pairs + work.completion_pairs)
    head, weights = cost.per_prediction * work.completion_tokens, 1 if lora_rank else 2
    patches = cost.per_patch * work.patches
    looking = cost.vision(work) - patches
    forward = linear + adapters + attention + head + (patches + looking if sees else 0.0)
    backward = weights * (linear + head) + 2 * adapters + 2.5 * attention + head
    if trains_vision:
        backward += 2 * patches + 2.5 * looking
    if checkpointing:
        backward += (1 if lora_rank else 1 - numbers.last) * linear + adapters + attention
        backward += (1 - numbers.last_vision) * patches + looking if trains_vision else 0.0
    return {"forward": forward, "backward": backward}


def flops(cost: CostModel, numbers: Counts, shape: StepShape, holding: Holding) -> dict[str, float]:
    """Floating-point operations of one device in a step, by phase.

    Args:
        cost: Of the model, unquantised.
        numbers: Of the model.
        shape: What the device does.
        holding: How it holds the model.
    """
    work = shape.work
    remembered = holding.keeps_features and shape.rows and not shape.vllm
    done = scoring(
        cost,
        numbers,
        work,
        lora_rank=holding.lora_rank,
        trains_vision=not holding.freezes_vision,
        sees=not (remembered or shape.vision_stored),
        checkpointing=shape.checkpointing,
    )
    sampled = cost.prefill(work) + cost.completions(work) + (0.0 if shape.vision_stored else cost.vision(work))
    return {
        "rollout": sampled / shape.iterations if shape.rows else 0.0,
        "reference": done["forward"] / shape.iterations if holding.reference else 0.0,
        "correction": done["forward"] / shape.iterations if shape.corrected else 0.0,
        **done,
    }


def seconds(
    cost: CostModel,
    numbers: Counts,
    shape: StepShape,
    holding: Holding,
    device: Device,
    share: Efficiency,
    machine: int,
) -> dict[str, float]:
    """Seconds of a step by phase.

    Args:
        cost: Of the model, unquantised, in float32.
        numbers: Of the model.
        shape: What a device does.
        holding: How it holds the model.
        device: What it is.
        share: What it reaches of its best.
        machine: Devices of one machine.

    Returns:
        Seconds by phase, in the order of ``PHASES``.
    """
    done = flops(cost, numbers, shape, holding)
    speed = device.flops_per_s * share.compute
    spent = dict.fromkeys(PHASES, 0.0)
    spent["data"] = shape.megapixels * PREPARE_S_PER_MEGAPIXEL
    for name in ("reference", "correction", "forward", "backward"):
        spent[name] = done[name] / speed
    one = decoding_pass(cost, numbers, shape, holding, device, share)
    prefill = (shape.iterations * done["rollout"] - cost.completions(shape.work)) / speed if shape.rows else 0.0
    spent["rollout"] = (prefill + shape.batches * shape.decode_steps * one) / shape.iterations
    in_process = dataclasses.replace(shape, vllm=False, rows=64)
    spent["held_out"] = shape.held_out_passes * decoding_pass(cost, numbers, in_process, holding, device, share)
    train = trained(numbers, holding)
    owned = train / (1 if holding.sharing in ("", "ddp") else holding.devices)
    spent["optimiser"] = 28 * owned / (device.bytes_per_s * share.bandwidth)  # read w, g, m, v; write w, m, v: float32
    link = (device.link_bytes_per_s if holding.devices <= machine else device.network_bytes_per_s) * share.link
    messages = message_bytes(numbers, holding, shape.passes, corrected=shape.corrected) / link
    # Collectives run beside computation; half of that is taken to hide them.
    hidden = 0.5 * sum(spent[name] for name in ("forward", "backward", "reference", "correction"))
    spent["messages"] = max(0.0, messages - hidden)
    if shape.vllm and shape.rows:
        sent = sync_bytes(numbers, holding)
        spent["weight_sync"] = sent / link + 2 * 2 * numbers.total / (device.bytes_per_s * share.bandwidth)
        if shape.served:
            spent["weight_sync"] += 4 * numbers.total / (device.network_bytes_per_s * share.link)
        spent["weight_sync"] /= shape.iterations
    spent["saving"] = shape.save_bytes / DISK_BYTES_PER_S
    return spent


def decoding_pass(
    cost: CostModel, numbers: Counts, shape: StepShape, holding: Holding, device: Device, share: Efficiency
) -> float:
    """Seconds of one pass over one token a row: weights and keys read, or arithmetic, whichever is longer."""
    weights = cost.per_token + cost.per_prediction  # two operations a weight, two bytes a weight
    size = 2
    if not shape.vllm and holding.quantized:
        weights = weights * (0.5 + 2 + 2) / 2  # read in four bits, written and read in sixteen
    elif not shape.vllm:
        weights, size = 2 * weights, 4  # sampling in process computes in the weights' own float32
    shared = max(1, shape.rows // 8) if not shape.vllm else shape.rows  # in process a group reads its prompt once
    keys = size * numbers.kv_token * (shared * shape.prompt_tokens + shape.rows * shape.mean_tokens / 2)
    memory = (weights + keys) / (device.bytes_per_s * share.bandwidth)
    arithmetic = shape.rows * (cost.per_token + cost.per_prediction) / (device.flops_per_s * share.compute)
    launch = share.launch_vllm_s if shape.vllm else share.launch_s
    return max(memory, arithmetic, launch)


def sync_bytes(numbers: Counts, holding: Holding) -> float:
    """Bytes that a device receives to have the whole weights for vLLM: float32 shards of FSDP, bfloat16 ones of ZeRO-3.

    Args:
        numbers: Of the model.
        holding: How it is held; where each device has all, nothing is sent.
    """
    size = {"fsdp2": 4, "deepspeed_zero3": 2}.get(holding.sharing, 0)
    return size * numbers.total * (holding.devices - 1) / holding.devices


def message_bytes(numbers: Counts, holding: Holding, passes: int, *, corrected: bool = False) -> float:
    """Bytes that a device sends in a step.

    FSDP and ZeRO-3 gather all weights in bfloat16 for each forward and each backward pass, and reduce gradients once a
    pass; DDP reduces float32 gradients once a step (twice their size, as a ring does), ZeRO-2 bfloat16 ones, and
    gathers the new weights.

    Args:
        numbers: Of the model.
        holding: How it is held.
        passes: Forward passes that the step is cut into.
        corrected: Whether there is one more of each, to weight vLLM's completions.
    """
    train = trained(numbers, holding)
    whole = 2 * numbers.total
    factor = (holding.devices - 1) / holding.devices
    if holding.sharing in ("fsdp2", "deepspeed_zero3"):
        gathers = passes * (2 + holding.reference + corrected)
        return factor * (gathers * whole + passes * 2 * train)
    if holding.sharing == "deepspeed_zero2":
        return factor * (2 * train + 2 * train)
    return factor * 2 * 4 * train if holding.sharing == "ddp" else 0.0
