"""FSDP2 on two CPU processes, for the scripts that tests start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from geor1.runs import LaunchConfig
from geor1.runs.processes import accelerate_settings


def shard_on_cpu(policy: Any = None) -> None:
    """Make accelerate use FSDP2, which it does on accelerators only; torch's own works on CPU as well.

    Args:
        policy: For mixed precision; None computes in the weights' own type.
    """
    from accelerate import Accelerator, FullyShardedDataParallelPlugin
    from accelerate.state import AcceleratorState, PartialState
    from accelerate.utils import DistributedType

    said = accelerate_settings(LaunchConfig(processes=2, launcher="fsdp2"), Path())["fsdp_config"]
    Accelerator(cpu=True)
    for state in (PartialState, AcceleratorState):
        state._shared_state["distributed_type"] = DistributedType.FSDP
    AcceleratorState._shared_state["fsdp_plugin"] = FullyShardedDataParallelPlugin(
        fsdp_version=2,
        auto_wrap_policy="transformer_based_wrap",
        transformer_cls_names_to_wrap=["Qwen2_5_VLDecoderLayer", "Qwen2_5_VLVisionBlock"],
        state_dict_type=said["fsdp_state_dict_type"].lower(),
        reshard_after_forward=said["fsdp_reshard_after_forward"],
        mixed_precision_policy=policy,
    )
