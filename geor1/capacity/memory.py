"""What one device holds while it trains, samples and scores, by how the processes share the model."""

from __future__ import annotations

import dataclasses
import functools
import re
from typing import Any

from geor1.capacity.hardware import CONTEXT_BYTES, FRAGMENTATION
from geor1.models.architectures import Architecture, count_parameters, published_config, without_memory
from geor1.models.training import LORA_TARGETS

SHARINGS = ("", "ddp", "fsdp2", "deepspeed_zero2", "deepspeed_zero3")
NF4_BYTES = (4 + 0.127) / 8
"""A weight in four bits, its share of the doubly quantised scales included. Source: arXiv 2305.14314, section 3."""
DEEPSPEED_BUCKETS_BYTES = 2 * 2 * 5 * 10**8
"""``reduce_bucket_size`` of 5e8 elements in bfloat16, twice with ``overlap_comm``; DeepSpeed's defaults."""
DEEPSPEED_LIVE_BYTES = 2 * 10**9
"""``stage3_max_live_parameters`` of 1e9 in bfloat16; DeepSpeed's default."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Counts:
    """Parameters of a model by what happens to them.

    Attributes:
        total: All, tied ones once.
        vision: Of the vision tower, projector included.
        linear: Of the linear layers in the language model's layers (what is quantised).
        adapters: Of adapters of rank one (times the rank for others).
        root: Of what is in no layer: embeddings, head, norms, patch embedding, projectors.
        layer: Of the largest layer, and
        largest_linear: of its largest linear one.
        last: Share of a language layer's linear weights that its last linear layer has, and
        last_vision: the same of a vision layer.
        tied: Of the head that the embeddings are as well; 0 where it is one of its own.
        kv_token: Numbers that one token leaves behind as keys and values.
        vocabulary: Rows of the head.
    """

    total: int
    vision: int
    linear: int
    adapters: int
    root: int
    layer: int
    largest_linear: int
    last: float
    last_vision: float
    tied: int
    kv_token: int
    vocabulary: int


@functools.cache
def _counts_of(hub_name: str) -> Counts:
    from geor1.models.architectures import find_architecture

    return count(without_memory(published_config(find_architecture(hub_name))))


def counts(architecture: Architecture) -> Counts:
    """Count a published model's parameters on the meta device.

    Args:
        architecture: The model.
    """
    return _counts_of(architecture.hub_name)


def count(model: Any) -> Counts:
    """Count a model's parameters.

    Args:
        model: A Qwen-VL ``ForConditionalGeneration``, on any device, without adapters.
    """
    from torch import nn

    text = model.config.get_text_config()
    language, vision, head = model.model.language_model, model.model.visual, model.get_output_embeddings().weight
    head_size = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    linear = [module for module in language.layers.modules() if isinstance(module, nn.Linear)]
    adapted = [
        module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and re.fullmatch(LORA_TARGETS, name)
    ]
    layers = [*language.layers, *vision.blocks]
    total = count_parameters(model)
    return Counts(
        total=total,
        vision=count_parameters(vision),
        linear=sum(layer.weight.numel() for layer in linear),
        adapters=sum(layer.in_features + layer.out_features for layer in adapted),
        root=total - sum(count_parameters(layer) for layer in layers),
        layer=max(count_parameters(layer) for layer in layers),
        largest_linear=max(layer.weight.numel() for layer in linear),
        last=_last_share(language.layers[0]),
        last_vision=_last_share(vision.blocks[0]),
        tied=head.numel() if head is model.get_input_embeddings().weight else 0,
        kv_token=2 * text.num_hidden_layers * text.num_key_value_heads * head_size,
        vocabulary=text.vocab_size,
    )


def _last_share(layer: Any) -> float:
    from torch import nn

    sizes = [module.weight.numel() for module in layer.modules() if isinstance(module, nn.Linear)]
    return sizes[-1] / sum(sizes)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Holding:
    """How a stage holds its model.

    Attributes:
        sharing: One of ``SHARINGS``; empty for one process.
        devices: Devices that train together.
        lora_rank: Rank of adapters; 0 trains the weights.
        quantized: Whether the language model's frozen weights are in four bits.
        freeze_vision: Whether the vision tower is frozen.
        reference: Whether a frozen copy stands beside the policy (adapters need none: they are switched off).
    """

    sharing: str
    devices: int
    lora_rank: int
    quantized: bool
    freeze_vision: bool
    reference: bool

    def __post_init__(self) -> None:
        if self.sharing not in SHARINGS:
            raise ValueError(f"sharing: expected one of {SHARINGS}, got {self.sharing!r}")
        if (self.devices > 1) != bool(self.sharing):
            raise ValueError(f"sharing={self.sharing!r}: does not go with {self.devices} devices")

    @property
    def half(self) -> bool:
        """Whether weights compute in bfloat16 as they lie (else float32 ones are cast on the way: autocast)."""
        return self.quantized or self.sharing not in ("", "ddp")

    @property
    def freezes_vision(self) -> bool:
        """Whether no gradient goes through the vision tower: adapters never touch it."""
        return self.freeze_vision or bool(self.lora_rank)

    @property
    def keeps_features(self) -> bool:
        """Whether what the tower makes of a picture to sample is kept to score: not where its weights are spread."""
        return self.freezes_vision and self.sharing not in ("fsdp2", "deepspeed_zero3")


def trained(numbers: Counts, holding: Holding) -> int:
    """Parameters that train."""
    if holding.lora_rank:
        return holding.lora_rank * numbers.adapters
    return numbers.total - (numbers.vision if holding.freeze_vision else 0)


def held(numbers: Counts, holding: Holding) -> dict[str, float]:
    """Bytes that a device holds through a whole step, by what they are.

    Args:
        numbers: Of the model.
        holding: How it is held.

    Returns:
        ``weights``, ``gradients``, ``optimiser`` (AdamW's two moments, and float32 copies where weights are in half
        precision), ``reference``, ``gathered`` (layers of other devices, buckets, a dequantised layer).
    """
    train = trained(numbers, holding)
    adapters = train if holding.lora_rank else 0
    size = 2 if holding.quantized else 4
    whole = size * (numbers.total + adapters)
    if holding.quantized:
        whole -= (size - NF4_BYTES) * numbers.linear
    parts = {
        "weights": whole,
        "gradients": size * train,
        "optimiser": 2 * size * train,
        "reference": 4 * numbers.total if holding.reference and not holding.lora_rank else 0,
        "gathered": 2 * numbers.largest_linear if holding.quantized else 0,
    }
    share = holding.devices
    if holding.sharing == "ddp":
        parts["gathered"] += parts["gradients"]  # buckets beside the gradients: accelerate makes no views of them
    elif holding.sharing == "fsdp2":
        parts = {name: value / share for name, value in parts.items()}
        # In bfloat16: the root stays gathered, a layer and the next one beside it, and gradients of root and layer.
        parts["gathered"] = 2 * (numbers.root + 2 * numbers.layer) + 2 * (numbers.root + numbers.layer)
    elif holding.sharing.startswith("deepspeed"):
        parts = _deepspeed(numbers, holding, train)
    return parts


def _deepspeed(numbers: Counts, holding: Holding, train: int) -> dict[str, float]:
    """ZeRO-2 shares gradients and optimiser out, ZeRO-3 weights, too; all compute in bfloat16."""
    whole = 2 * (numbers.total + (train if holding.lora_rank else 0))
    reference = 2 * numbers.total if holding.reference and not holding.lora_rank else 0
    third = holding.sharing.endswith("3")
    share = holding.devices
    return {
        "weights": whole / share if third else whole,
        "gradients": 2 * train / share,
        "optimiser": 12 * train / share,
        "reference": reference / share if third else reference,
        "gathered": DEEPSPEED_BUCKETS_BYTES + (min(whole, DEEPSPEED_LIVE_BYTES) if third else 0),
    }


@dataclasses.dataclass(frozen=True, kw_only=True)
class Memory:
    """What one device needs, bytes.

    Attributes:
        parts: From :func:`held`.
        activations: Most that a scoring pass holds beside them, with completions of full length.
        sampler: vLLM's share of the device, or keys, values and logits of what is sampled in process.
        sampler_stays: Whether that is there while the model trains, too.
        sampler_least: What vLLM cannot do without in its share: weights, and one prompt with its completion.
        whole: Weights that lie whole on the device before they are shared out, from :func:`at_start`.
    """

    parts: dict[str, float]
    activations: float
    sampler: float = 0.0
    sampler_stays: bool = False
    sampler_least: float = 0.0
    whole: float = 0.0

    @property
    def starting(self) -> float:
        """Before the first step: vLLM takes its share before the weights are shared out."""
        return self.whole + self.sampler + CONTEXT_BYTES

    @property
    def training(self) -> float:
        """Peak of a scoring pass."""
        stays = self.sampler if self.sampler_stays else 0.0
        return sum(self.parts.values()) + (1 + FRAGMENTATION) * self.activations + stays + CONTEXT_BYTES

    @property
    def sampling(self) -> float:
        """Peak of sampling; gradients are gone then."""
        idle = sum(value for name, value in self.parts.items() if name != "gradients")
        return idle + self.sampler + CONTEXT_BYTES

    @property
    def peak(self) -> float:
        """The highest of the three."""
        return max(self.starting, self.training, self.sampling)


def at_start(numbers: Counts, holding: Holding, *, moved: bool) -> float:
    """Bytes of weights that lie whole on a device before processes share them out.

    FSDP2 takes them layer by layer from the host, ZeRO moves the model there in bfloat16 first.

    Args:
        numbers: Of the model.
        holding: How it is held.
        moved: Whether the stage needs the whole model there before (to ask held-out questions).
    """
    if holding.sharing in ("", "ddp") or holding.quantized:
        return 0.0  # they stay whole: part of every other peak
    if moved:
        return 4.0 * numbers.total
    return 2.0 * numbers.total if holding.sharing.startswith("deepspeed") else 0.0


def host_bytes(numbers: Counts, holding: Holding, per_machine: int) -> float:
    """Bytes of a machine's own memory that loading takes: every process reads the whole model, in float32.

    Weights in four bits are read onto the device, one file at a time; their adapters are merged into whole weights at
    the end, on the host.

    Args:
        numbers: Of the model.
        holding: How it is held.
        per_machine: Devices of a machine.
    """
    copies = 1 + (holding.reference and not holding.lora_rank)
    return 4.0 * numbers.total * copies * (1 if holding.quantized else min(per_machine, holding.devices))


def vllm_least(numbers: Counts, tokens: int, parallel: int = 1) -> float:
    """Bytes of a device without which vLLM cannot begin: weights, keys and values of one sequence, in bfloat16.

    Args:
        numbers: Of the model.
        tokens: Longest prompt with its completion.
        parallel: Devices that one vLLM spreads both over.
    """
    return 2.0 * (numbers.total + numbers.kv_token * tokens) / parallel


def sampled_in_process(numbers: Counts, prompts: int, prompt_tokens: int, rows: int, tokens: int, size: int) -> float:
    """Bytes of keys and values (prompts once, completions each) and of the logits of one decoding pass.

    Args:
        numbers: Of the model.
        prompts: Decoded at a time.
        prompt_tokens: Of each.
        rows: Completions decoded at a time.
        tokens: Longest completion.
        size: Bytes of a number.
    """
    logits = 3 * 4 * rows * numbers.vocabulary  # scaled, normalised and summed up in float32
    return size * numbers.kv_token * (prompts * prompt_tokens + rows * tokens) + logits
