"""What accelerate is told of FSDP2; tests/grpo/test_distributed.py tries on two processes that it trains rightly."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch.distributed.utils import _apply_to_tensors

from geor1.grpo.attention import lay_out
from geor1.models.sharding import prepare_fsdp2
from geor1.runs import LaunchConfig
from geor1.runs.processes import accelerate_settings


def test_the_launchers_settings_stand_beside_ours(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    from accelerate import FullyShardedDataParallelPlugin

    arguments = SimpleNamespace(bf16=True, fsdp_plugin_args=None)
    prepare_fsdp2(arguments)
    assert arguments.fsdp_plugin_args is None  # another launcher
    said = accelerate_settings(LaunchConfig(processes=2, launcher="fsdp2"), tmp_path)["fsdp_config"]
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    for name, value in said.items():  # as accelerate's launcher does
        monkeypatch.setenv(name.upper(), str(value).lower() if isinstance(value, bool) else str(value))
    prepare_fsdp2(SimpleNamespace(bf16=False))
    prepare_fsdp2(arguments)
    plugin = FullyShardedDataParallelPlugin(**arguments.fsdp_plugin_args)
    plugin.set_mixed_precision("bf16")  # what accelerate does next
    policy = plugin.mixed_precision_policy
    assert (policy.param_dtype, policy.output_dtype) == (torch.bfloat16, None)
    assert plugin.fsdp_version == 2 and plugin.reshard_after_forward is True
    assert plugin.state_dict_type.name == said["fsdp_state_dict_type"]


def test_a_layout_passes_through_fsdp_as_it_is() -> None:
    """FSDP2 builds dataclasses, dicts and tuples among a layer's inputs anew, and a block mask with them."""
    layout = lay_out([3], [2, 2], kernel="mask", device=torch.device("cpu"))
    assert _apply_to_tensors(lambda tensor: tensor.clone(), {"groups": layout})["groups"] is layout
