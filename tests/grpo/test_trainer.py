"""The shared-prefix trainer against TRL's own, the hooks it stands on, and what it leaves out on purpose."""

from __future__ import annotations

import inspect
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import transformers
import trl
from datasets import Dataset
from tiny_cases import LETTERS, small_checkpoint, write_questions
from trl.generation.vllm_client import VLLMClient
from trl.generation.vllm_generation import VLLMGeneration
from trl.models.utils import _ForwardRedirection

from geor1.answers import to_messages
from geor1.grpo.config import GrpoConfig
from geor1.grpo.data import images_of, load_questions, prompt_of, to_dataset
from geor1.grpo.run import trl_settings
from geor1.grpo.sampling import rollout_seed
from geor1.grpo.trainer import GeoGRPOTrainer
from geor1.models.encoding import PromptEncoder, read_image
from geor1.models.loading import load_model, load_processor
from geor1.records import Question

GROUP = 4
COMPARED = ("loss", "grad_norm", "reward", "reward_std", "rewards/thirds/mean", "frac_reward_zero_std")


def thirds(completions: list[Any], completion_ids: list[list[int]], **_: Any) -> list[float]:
    """A reward that differs between completions: the share of token ids divisible by three."""
    return [sum(token % 3 == 0 for token in ids) / len(ids) for ids in completion_ids]


def scripted(trainer: Any, prompt_ids: list[list[int]]) -> list[list[int]]:
    """Completions that depend on step, prompt and place in the group only: both trainers learn from the same."""
    completions, seen = [], {}
    for ids in prompt_ids:
        member = seen[tuple(ids)] = seen.get(tuple(ids), -1) + 1
        generator = torch.Generator().manual_seed(hash((tuple(ids), member, trainer.state.global_step)) % 2**31)
        length = int(torch.randint(2, 9, (1,), generator=generator))
        completions.append(torch.randint(15, 50, (length,), generator=generator).tolist())
    return completions


class StockTrainer(trl.GRPOTrainer):
    """TRL's own trainer on scripted completions."""

    def _generate_single_turn(self, prompt_ids: list, *_: Any, **__: Any) -> tuple[list[list[int]], None]:
        return scripted(self, prompt_ids), None


class ScriptedTrainer(GeoGRPOTrainer):
    """Ours on the same completions."""

    def _generate_single_turn(self, prompt_ids: list, *_: Any, **__: Any) -> tuple[list[list[int]], None]:
        return scripted(self, prompt_ids), None


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("grpo")
    write_questions(folder / "data", 12)
    small_checkpoint(folder / "base", seed=1, spread=2.0)
    return folder


def distinct_prompts(questions: list[Question], data: Path) -> tuple[Dataset, Dataset]:
    """Rows for ours and for TRL; the number of filler words makes every prompt's text its own."""
    prompts = [prompt_of(question) + " north" * place for place, question in enumerate(questions)]
    ours = to_dataset(questions, data).to_dict()
    ours["prompt"] = [[{"role": "user", "content": prompt}] for prompt in prompts]
    stock = {
        "prompt": [to_messages(prompt) for prompt in prompts],
        "images": [[read_image(path) for path in images_of(question, data)] for question in questions],
    }
    return Dataset.from_dict(ours), Dataset.from_dict(stock)


@pytest.mark.parametrize(
    ("beta", "passes", "loss_type", "level"),
    [
        (0.0, 1, "grpo", "token"),
        (0.04, 1, "dapo", "token"),
        (0.0, 2, "grpo", "token"),
        (0.04, 2, "dr_grpo", "token"),
        (0.0, 1, "grpo", "sequence"),  # GSPO
        (0.0, 1, "bnpo", "token"),  # normalised pass by pass, and TRL splits groups over passes
        (0.0, 2, "cispo", "token"),
        (0.0, 1, "sapo", "token"),
        (0.0, 1, "luspo", "sequence"),
        (0.0, 2, "vespo", "token"),
    ],
)
def test_three_steps_equal_trls(
    world: Path, tmp_path: Path, beta: float, passes: int, loss_type: str, level: str
) -> None:
    config = GrpoConfig(
        steps=3,
        prompts_per_step=4,
        prompts_per_pass=4 // passes,
        group_size=GROUP,
        max_completion_tokens=8,
        learning_rate=1.0e-3,
        warmup_steps=0,
        beta=beta,
        loss_type=loss_type,
        importance_sampling_level=level,
        num_iterations=2 if level == "sequence" else 1,
        threads=1,
    )
    mine, stock = distinct_prompts(load_questions(world / "data", "train"), world / "data")
    processor = load_processor(world / "base")
    logs = {}
    for name, trainer_class, dataset, extra in (
        ("stock", StockTrainer, stock, {}),
        ("ours", ScriptedTrainer, mine, {"encoder": PromptEncoder(processor), "run_dir": tmp_path}),
    ):
        if name == "ours":
            extra["skip_flat_groups"] = False
        trainer = trainer_class(
            model=load_model(world / "base"),
            reward_funcs=[thirds],
            args=trl_settings(config, tmp_path / name, [1.0]),
            train_dataset=dataset,
            processing_class=processor,
            **extra,
        )
        trainer.train()
        logs[name] = [line for line in trainer.state.log_history if "loss" in line]
    assert len(logs["ours"]) == 3
    compared = COMPARED + (("entropy",) if passes == 1 else ()) + (("kl",) if beta and passes == 1 else ())
    for left, right in zip(logs["ours"], logs["stock"], strict=True):
        assert left.keys() >= right.keys()
        for key in compared:
            if (
                key in right
            ):  # rewards are logged where completions were sampled, at every second step of two iterations
                assert left[key] == pytest.approx(right[key], rel=1e-5, abs=2e-6), key
    assert logs["ours"][-1]["grad_norm"] > 1e-3


class SeededStockTrainer(trl.GRPOTrainer):
    """TRL's own trainer and sampling, from the seeds that ours takes."""

    def _generate_single_turn(self, *given: Any, **named: Any) -> Any:
        torch.manual_seed(rollout_seed(self.args.seed, self.state.global_step))
        return super()._generate_single_turn(*given, **named)


def test_what_is_sampled_equals_trls_too(world: Path, tmp_path: Path) -> None:
    """Three steps with nothing scripted: prompts of unequal length, tokens drawn by each trainer itself."""
    config = GrpoConfig(
        steps=3, prompts_per_step=4, group_size=GROUP, max_completion_tokens=8, learning_rate=1.0e-3, threads=1
    )
    mine, stock = distinct_prompts(load_questions(world / "data", "train"), world / "data")
    processor = load_processor(world / "base")
    logs = {}
    for name, trainer_class, dataset, extra in (
        ("stock", SeededStockTrainer, stock, {}),
        ("ours", GeoGRPOTrainer, mine, {"encoder": PromptEncoder(processor), "sampler": "multinomial"}),
    ):
        model, args = load_model(world / "base"), trl_settings(config, tmp_path / name, [1.0])
        if name == "stock":  # ours never draws either
            args.generation_kwargs = {"suppress_tokens": [model.config.image_token_id, model.config.video_token_id]}
        trainer = trainer_class(
            model=model, reward_funcs=[thirds], args=args, train_dataset=dataset, processing_class=processor, **extra
        )
        trainer.train()
        logs[name] = [line for line in trainer.state.log_history if "loss" in line]
        logs[name][0]["last completions"] = list(trainer._logs["completion"])
    assert logs["ours"][0].pop("last completions") == logs["stock"][0].pop("last completions")
    assert logs["ours"][0]["completions/mean_length"] > 2
    for left, right in zip(logs["ours"], logs["stock"], strict=True):
        for key in (*COMPARED, "entropy", "completions/mean_length", "completions/clipped_ratio"):
            assert left[key] == pytest.approx(right[key], rel=1e-5, abs=2e-6), key


def train(world: Path, run_dir: Path, **changes: Any) -> tuple[list[dict[str, float]], dict[str, torch.Tensor]]:
    config = GrpoConfig(
        **{"steps": 3, "prompts_per_step": 4, "group_size": GROUP, "max_completion_tokens": 6, "threads": 1, **changes}
    )
    processor = load_processor(world / "base")
    trainer = GeoGRPOTrainer(
        encoder=PromptEncoder(processor),
        run_dir=run_dir,
        skip_flat_groups=config.skip_flat_groups,
        model=load_model(world / "base"),
        reward_funcs=[begins_well],
        args=trl_settings(config, run_dir, [1.0]),
        train_dataset=to_dataset(load_questions(world / "data", "train"), world / "data"),
        processing_class=processor,
    )
    trainer.train()
    return [line for line in trainer.state.log_history if "loss" in line], trainer.model.state_dict()


def begins_well(completions: list[Any], completion_ids: list[list[int]], **_: Any) -> list[float]:
    """A reward that is often the same for a whole group."""
    return [float(ids[0] % 8 == 0) for ids in completion_ids]


def test_leaving_out_flat_groups_changes_nothing(world: Path, tmp_path: Path) -> None:
    with_all, weights_all = train(world, tmp_path / "all", skip_flat_groups=False)
    without, weights_without = train(world, tmp_path / "without", skip_flat_groups=True)
    assert 0 < sum(line["frac_reward_zero_std"] for line in without) < 3
    for left, right in zip(with_all, without, strict=True):
        for key in ("loss", "grad_norm", "entropy", "reward", "clip_ratio/region_mean"):
            assert left[key] == pytest.approx(right[key], rel=1e-4, abs=1e-6), key
    for name, value in weights_all.items():
        assert torch.allclose(value, weights_without[name], atol=2e-6), name


def test_ties_are_found_whatever_the_rounding() -> None:
    rewards = torch.tensor([[1.2] * 8, [0.0] * 8, [1.2] * 7 + [0.2]])
    advantages = (rewards - rewards.mean(1, keepdim=True)) / (rewards.std(1, keepdim=True) + 1e-4)
    assert advantages[0, 0] != 0  # the mean of eight 1.2 is not 1.2 in float32
    trainer = SimpleNamespace(
        args=SimpleNamespace(steps_per_generation=1), num_generations=8, _skip_flat=True, _encoded=[None] * 3
    )
    [(_, one)] = GeoGRPOTrainer._split(trainer, {"advantages": advantages.flatten()})
    assert one.flat == [True, True, False]


def test_passes_hold_whole_groups_in_order(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    split = GeoGRPOTrainer._split
    seen: list[Any] = []

    def watched(self: GeoGRPOTrainer, batch: dict[str, Any]) -> list[Any]:
        passes = split(self, batch)
        seen.append((batch, passes))
        return passes

    monkeypatch.setattr(GeoGRPOTrainer, "_split", watched)
    train(world, tmp_path, steps=1, prompts_per_pass=2)
    batch, passes = seen[0]
    assert [len(one.prompts) for _, one in passes] == [2, 2]
    assert torch.equal(torch.cat([part["completion_ids"] for part, _ in passes]), batch["completion_ids"])
    for part, one in passes:
        for place, prompt in enumerate(one.prompts):
            row = part["prompt_ids"][place * GROUP]
            assert row[row.shape[0] - len(prompt.input_ids) :].tolist() == prompt.input_ids


def test_rollout_seeds_differ_by_step_and_seed() -> None:
    seeds = {rollout_seed(seed, step, round_) for seed in range(5) for step in range(1000) for round_ in range(3)}
    assert len(seeds) == 15_000


def test_the_hooks_are_where_the_installed_trl_and_transformers_call_them() -> None:
    expected = {
        "_get_per_token_logps_and_entropies": ["model", "input_ids", "attention_mask", "logits_to_keep", "batch_size"],
        "_generate_single_turn": ["prompt_ids", "images", "multimodal_fields", "num_generations", "has_tool_images"],
        "_tokenize_prompts": ["prompts"],
        "_prepare_inputs": ["generation_batch"],
        "_generate_and_score_completions": ["inputs"],
        "_load_from_checkpoint": ["resume_from_checkpoint", "model"],
        "log": ["logs", "start_time"],
        "get_batch_samples": ["epoch_iterator", "num_batches", "device"],
        "training_step": ["model", "inputs", "num_items_in_batch"],
        "_maybe_log_save_evaluate": ["tr_loss", "grad_norm", "model", "trial"],
        "_save_checkpoint": ["model", "trial"],
        "_calculate_rewards": ["inputs", "prompts", "completions", "completion_ids_list"],
    }
    for name, parameters in expected.items():
        found = list(inspect.signature(getattr(trl.GRPOTrainer, name)).parameters)[1:]
        assert found[: len(parameters)] == parameters, f"trl {trl.__version__}: {name}{found}"
    source = inspect.getsource(trl.GRPOTrainer._compute_loss)
    assert "self._get_per_token_logps_and_entropies(" in source
    assert 'inputs["advantages"]' in source
    assert "self._tokenize_prompts(prompts)" in inspect.getsource(trl.GRPOTrainer._generate)
    generate = inspect.signature(VLLMGeneration.generate).parameters
    assert list(generate)[1:4] == ["prompts", "images", "num_generations"]
    sampling = inspect.getsource(trl.GRPOTrainer._generate_single_turn)
    assert "self.vllm_generation.sync_weights()" in sampling and "self._last_loaded_step" in sampling
    asking = inspect.getsource(VLLMGeneration.generate)
    assert "generation_kwargs.update(self.generation_kwargs)" in asking
    assert "self.llm.generate(vllm_prompts, sampling_params=sampling_params" in asking
    assert "self.vllm_client.generate(" in asking and "prompts=ordered_set_of_prompt_ids, features=features" in asking
    assert {"prompts", "features", "generation_kwargs"} <= set(inspect.signature(VLLMClient.generate).parameters)
    assert list(inspect.signature(_ForwardRedirection.__call__).parameters)[1:4] == [
        "wrapper_module",
        "original_module",
        "method",
    ]
    assert "_buffered_inputs" in inspect.getsource(trl.GRPOTrainer._prepare_inputs)
    score = inspect.getsource(trl.GRPOTrainer._generate_and_score_completions)
    assert all(f'_logs["{name}"]' in score for name in ("completion", "rewards", "advantages"))
    assert "self._pending_extra_logs.clear()" in score and "self._pending_metrics.clear()" in score
    assert "self.accelerator.backward(" in inspect.getsource(transformers.Trainer.training_step)
    assert "self._maybe_log_save_evaluate(" in inspect.getsource(transformers.Trainer._run_epoch)
    loading = inspect.getsource(transformers.Trainer._inner_training_loop) + inspect.getsource(
        transformers.Trainer.train
    )
    assert "_load_from_checkpoint(" in loading


def test_mixed_rows_in_a_group_are_refused(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generate = trl.GRPOTrainer._generate

    def mixed(self: Any, prompts: list[Any]) -> Any:
        self._rows[1] = self._rows[GROUP]
        return generate(self, prompts)

    monkeypatch.setattr(trl.GRPOTrainer, "_generate", mixed)
    with pytest.raises(ValueError, match="copies of one question"):
        train(world, tmp_path)


def test_rows_carry_what_the_rewards_need(world: Path) -> None:
    questions = load_questions(world / "data", "train")
    row = to_dataset(questions, world / "data")[0]
    assert row["letters"] == "".join(LETTERS)
    assert row["answer"] == questions[0].answer
    assert len(row["images"]) == row["prompt"][0]["content"].count("<image>") == 1 + len(LETTERS)
