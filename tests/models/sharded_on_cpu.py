"""FSDP2 on two CPU processes, for the scripts that tests start."""

from __future__ import annotations

from typing import Any


def shard_on_cpu(policy: Any = None) -> None:
    """Make accelerate use FSDP2, which it does on accelerators only; torch's own works on CPU as well.

    Args:
        policy: For mixed precision; None computes in the weights' own type.
    """
    from accelerate import Accelerator, FullyShardedDataParallelPlugin
    from accelerate.state import AcceleratorState, PartialState
    from accelerate.utils import DistributedType

    Accelerator(cpu=True)
    for state in (PartialState, AcceleratorState):
        state._shared_state["distributed_type"] = DistributedType.FSDP
    AcceleratorState._shared_state["fsdp_plugin"] = FullyShardedDataParallelPlugin(
        fsdp_version=2,
        auto_wrap_policy="transformer_based_wrap",
        transformer_cls_names_to_wrap=["Qwen2_5_VLDecoderLayer", "Qwen2_5_VLVisionBlock"],
        state_dict_type="full_state_dict",
        reshard_after_forward=True,
        mixed_precision_policy=policy,
    )
