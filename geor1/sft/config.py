"""Parameters of stage 02."""

from __future__ import annotations

import dataclasses

from geor1.runs import ConfigError, LaunchConfig
from geor1.runs.processes import refused_adapters, share_of

QUANTIZATIONS = ("", "nf4")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SftConfig:
    """How the scaffold is taught.

    Attributes:
        base_model: Model folder or hub name to start from; empty for the small base that the package ships.
        scaffolds: File in the data folder: ``scaffolds.jsonl``, or ``labelled_scaffolds.jsonl`` for the control.
        epochs: Passes over the scaffolds; fractions allowed. Ignored if ``max_steps`` is set.
        max_steps: Optimiser steps; 0 takes ``epochs``.
        max_examples: Scaffolds used, the first of the file; 0 for all.
        batch_size: Examples an optimiser step.
        micro_batch_size: Examples a forward pass (gradient accumulation covers the rest); 0 for the whole batch.
        learning_rate: Peak learning rate of AdamW.
        warmup_steps: Steps of linear warm-up; linear decay to zero follows.
        weight_decay: AdamW's.
        adam_beta2: AdamW's second decay.
        max_grad_norm: Gradients are clipped to this norm.
        lora: Train low-rank adapters of the language model (merged at the end) instead of all weights.
        lora_rank: Rank of the adapters.
        lora_alpha: Scale of the adapters; their output is multiplied by alpha / rank.
        quantize: ``nf4`` keeps the frozen weights of the language model in four bits (QLoRA, arXiv 2305.14314; needs
            ``lora`` and bitsandbytes); empty for as they are. The product is the adapters merged into the whole
            weights.
        freeze_vision: Keep the vision transformer as it is (adapters never touch it).
        gradient_checkpointing: Compute layers again in the backward pass instead of keeping what they made. Logits
            never exist whole: TRL makes them in tiles of tokens by vocabulary, forward and backward.
        answer_letter_loss: Whether the option letter of a pairing chain is learnt. False leaves its tokens out of the
            loss, so that the scaffold teaches the form of an answer and nothing about letters.
        seed: Seed of order and adapters.
        save_steps: Steps between resumable checkpoints.
        image_cache_mb: Memory for decoded images, MiB.
        threads: CPU threads.
    """

    base_model: str = ""
    scaffolds: str = "scaffolds.jsonl"
    epochs: float = 1.0
    max_steps: int = 0
    max_examples: int = 0
    batch_size: int = 16
    micro_batch_size: int = 0
    learning_rate: float = 1.0e-3
    warmup_steps: int = 20
    weight_decay: float = 0.01
    adam_beta2: float = 0.98
    max_grad_norm: float = 1.0
    lora: bool = False
    lora_rank: int = 16
    lora_alpha: int = 32
    quantize: str = ""
    freeze_vision: bool = False
    gradient_checkpointing: bool = False
    answer_letter_loss: bool = True
    seed: int = 0
    save_steps: int = 100
    image_cache_mb: int = 1024
    threads: int = 2

    def __post_init__(self) -> None:
        for name in ("batch_size", "lora_rank", "lora_alpha", "save_steps", "image_cache_mb", "threads"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}: expected at least 1, got {getattr(self, name)}")
        for name in ("max_steps", "max_examples", "micro_batch_size", "warmup_steps", "weight_decay"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name}: expected at least 0, got {getattr(self, name)}")
        for name in ("learning_rate", "max_grad_norm"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"{name}: expected more than 0, got {getattr(self, name)}")
        if not self.max_steps and self.epochs <= 0:
            raise ConfigError(f"epochs: expected more than 0 (or set max_steps), got {self.epochs}")
        if self.batch_size % self.passes_size:
            raise ConfigError(
                f"micro_batch_size: expected a divisor of batch_size={self.batch_size}, got {self.micro_batch_size}"
            )
        if self.quantize not in QUANTIZATIONS:
            raise ConfigError(f"quantize: expected one of {QUANTIZATIONS}, got {self.quantize!r}")
        if self.quantize and not self.lora:
            raise ConfigError("quantize: weights in four bits do not train; expected lora=true")
        if not 0 < self.adam_beta2 < 1:
            raise ConfigError(f"adam_beta2: expected between 0 and 1, got {self.adam_beta2}")
        if "/" in self.scaffolds or not self.scaffolds.endswith(".jsonl"):
            raise ConfigError(f"scaffolds: expected a .jsonl file name in the data folder, got {self.scaffolds!r}")

    def check_launch(self, launch: LaunchConfig) -> None:
        """Refuse what training would stop at after it has loaded the model.

        Args:
            launch: How the stage is to be launched.

        Raises:
            ConfigError: Adapters on weights that processes share out, or a batch that they cannot share out evenly.
        """
        if self.lora and launch.spreads_weights:
            raise ConfigError(refused_adapters(launch.launcher))
        share_of(self.batch_size, self.micro_batch_size, launch, "batch_size", "micro_batch_size")

    @property
    def passes_size(self) -> int:
        """Examples a forward pass."""
        return self.micro_batch_size or self.batch_size
