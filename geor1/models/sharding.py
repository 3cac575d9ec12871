"""What FSDP2 must be told so that a model in parts computes what a whole one does."""

from __future__ import annotations

import os
from typing import Any


def fsdp2_launched() -> bool:
    """Whether accelerate was launched to shard the model with FSDP2."""
    used = os.environ.get("ACCELERATE_USE_FSDP", "").lower() == "true"
    return used and os.environ.get("FSDP_VERSION", "1") == "2"


def bfloat16_policy() -> Any:
    """Compute in bfloat16 and leave outputs as they are.

    Accelerate's own policy rounds what the model returns to bfloat16 as well. Here that is log probabilities and
    losses, computed in float32: at -2 bfloat16 has steps of 0.016, which is more than a policy moves in a step.
    """
    import torch
    from torch.distributed.fsdp import MixedPrecisionPolicy

    return MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.bfloat16, output_dtype=None)


def prepare_fsdp2(arguments: Any) -> None:
    """Set up what accelerate shards with, before a trainer is built; nothing where FSDP2 was not asked for.

    Args:
        arguments: The trainer's arguments; only the plugin's settings, which transformers reads from there, are set.
    """
    keep_head_with_root()
    if arguments.bf16 and fsdp2_launched():
        arguments.fsdp_plugin_args = {"mixed_precision_policy": bfloat16_policy()}  # the rest is in the environment


def keep_head_with_root() -> None:
    """Let accelerate shard an output head with the root, not as a unit of its own.

    Accelerate 1.15 makes a unit of a head that shares no weights with the embeddings (Qwen2.5-VL-7B). A unit is whole
    only while its own forward runs, and reduces only the gradients of that; but TRL and
    :func:`geor1.grpo.prefix.score_completions` multiply by the head's weight chunk by chunk and never call it. There
    the first fails, and TRL's ``full_tensor()`` leaves each process with the gradient of its own examples alone
    (tested). With the root the head is whole while the model's forward runs.
    """
    from accelerate import accelerator

    stock = accelerator.fsdp2_prepare_model
    if stock.__module__ == __name__:
        return

    def prepare(owner: Any, model: Any) -> Any:
        """Shard a model that says it has no head, where it has one of its own."""
        head, embeddings = model.get_output_embeddings(), model.get_input_embeddings()
        if head is None or head.weight is embeddings.weight:
            return stock(owner, model)
        model.get_output_embeddings = lambda: None
        try:
            return stock(owner, model)
        finally:
            del model.get_output_embeddings

    accelerator.fsdp2_prepare_model = prepare
