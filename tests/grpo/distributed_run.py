"""Trains three steps on scripted completions as one of several processes, for the test that starts them.

Usage: python -m torch.distributed.run … distributed_run.py WORLD RUN_DIR CHANGES_JSON HOW, the
last of which is ``ddp`` or ``fsdp2``. The first process writes ``log.json`` and whether weights are spread over
processes, every one of them sums over its weights.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "models")]
# ruff: noqa: E402
import torch
import torch.distributed.tensor
import trl.trainer.grpo_trainer
from test_trainer import ScriptedTrainer, distinct_prompts, thirds

from geor1.grpo.config import GrpoConfig
from geor1.grpo.data import load_questions
from geor1.grpo.run import freeze, trl_settings
from geor1.models.decoding import decode
from geor1.models.encoding import PromptEncoder
from geor1.models.loading import load_model, load_processor
from geor1.models.training import gathered_weights, lora_settings, spreads_weights
from geor1.runs import LaunchConfig
from geor1.runs.processes import accelerate_settings


def shard_on_cpu() -> None:
    """Make accelerate use FSDP2, which it does on accelerators only; torch's own works on CPU as well."""
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
    )


def main(world: str, run_dir: str, changes: str, how: str) -> None:
    """Train; see the module's text."""
    folder, run = Path(world), Path(run_dir)
    config = GrpoConfig(**json.loads(changes))
    torch.set_num_threads(1)
    processor = load_processor(folder / "base")
    rows, _ = distinct_prompts(load_questions(folder / "data", "train"), folder / "data")
    model = load_model(folder / "base")
    freeze(model, vision=config.freeze_vision, pattern=config.freeze)
    args = trl_settings(config, run, [1.0])
    if how == "fsdp2":
        shard_on_cpu()
    args.vllm_importance_sampling_correction = False  # the script does not say how likely its completions are
    # Sharded weights are only accepted with vLLM, of which the script takes the place.
    trl.trainer.grpo_trainer.VLLMGeneration = lambda **_: SimpleNamespace(generation_kwargs={})
    encoder = PromptEncoder(processor)
    asked = encoder.stack([encoder.encode(row["prompt"][0]["content"], row["images"]) for row in rows.select(range(2))])

    def greedy_score(model: Any) -> dict[str, float]:
        """Mean log probability of what is decoded greedily."""
        model.eval()  # layers that are computed again in training keep no keys and values
        decoded = decode(model, asked, max_new_tokens=5, temperature=0, eos_token_ids=(2,), with_scores=True)
        model.train()
        return {"heldout/log_prob": float(decoded.log_probs.mean())}

    trainer = ScriptedTrainer(
        encoder=encoder,
        run_dir=run,
        held_out=greedy_score,
        eval_every=config.eval_every,
        skip_flat_groups=config.skip_flat_groups,
        model=model,
        reward_funcs=[thirds],
        args=args,
        train_dataset=rows,
        processing_class=processor,
        peft_config=lora_settings(4, 8) if config.lora else None,
    )
    trainer.train()
    if spreads_weights(trainer):  # ZeRO-3 gives them to the first process alone
        weights = gathered_weights(trainer) or {}
    else:
        weights = trainer.accelerator.get_state_dict(trainer.model)
    rank = trainer.accelerator.process_index
    total = {name: float(value.double().sum()) for name, value in weights.items()}
    (run / f"weights{rank}.json").write_text(json.dumps(total))
    if rank == 0:
        spread = isinstance(next(trainer.model.parameters()), torch.distributed.tensor.DTensor)
        (run / "sharded.json").write_text(json.dumps(spread))
        logs = [line for line in trainer.state.log_history if "loss" in line]
        (run / "log.json").write_text(json.dumps(logs))


if __name__ == "__main__":
    main(*sys.argv[1:])
