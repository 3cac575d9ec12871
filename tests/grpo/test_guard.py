"""Every fault put into the data or the pipeline stops training before the step that it would spoil, by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trl
from datasets import Dataset
from PIL import Image
from tiny_cases import picture, small_checkpoint, write_questions

from geor1.grpo import GeoGRPOTrainer
from geor1.grpo.config import GrpoConfig
from geor1.grpo.data import load_questions, to_dataset
from geor1.grpo.guard import SampleError
from geor1.grpo.run import trl_settings
from geor1.models.encoding import PromptEncoder
from geor1.models.loading import load_model, load_processor
from geor1.runs import ConfigError, load_profile

BAD = "train-002"  # the sample that each fault is put into


@pytest.fixture
def world(tmp_path: Path) -> Path:
    write_questions(tmp_path / "data", 4)
    small_checkpoint(tmp_path / "base", seed=1, spread=2.0)
    return tmp_path


def trainer_of(world: Path, spoil: Callable[[dict[str, Any]], None] | None = None, **changes: Any) -> GeoGRPOTrainer:
    config = GrpoConfig(
        **{"steps": 2, "prompts_per_step": 2, "group_size": 2, "max_completion_tokens": 4, "threads": 1, **changes}
    )
    rows = to_dataset(load_questions(world / "data", "train"), world / "data").to_list()
    if spoil:
        spoil(next(row for row in rows if row["question_id"] == BAD))
    return GeoGRPOTrainer(
        memory_probe=config.memory_probe,
        model=load_model(world / "base"),
        reward_funcs=[lambda completions, **_: [float(place) for place in range(len(completions))]],
        args=trl_settings(config, world / "run", [1.0]),
        train_dataset=Dataset.from_list(rows),
        processing_class=load_processor(world / "base"),
    )


def drop_image(row: dict[str, Any]) -> None:
    row["images"] = row["images"][:-1]


def drop_marker(row: dict[str, Any]) -> None:
    row["prompt"][0]["content"] = row["prompt"][0]["content"].replace("<image>", "", 1)


def remove_file(row: dict[str, Any]) -> None:
    Path(row["images"][1]).unlink()


def no_image(row: dict[str, Any]) -> None:
    Path(row["images"][2]).write_text("no picture")


def empty_file(row: dict[str, Any]) -> None:
    Path(row["images"][0]).write_bytes(b"")


def another_size(row: dict[str, Any]) -> None:
    picture(np.random.default_rng(0), 56, 56).save(row["images"][1])


def too_large(row: dict[str, Any]) -> None:
    Image.new("RGB", (28 * 50, 28 * 40)).save(row["images"][0])
    row["prompt"][0]["content"] += " north" * 8000


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (drop_image, "4 <image> markers, got 3 images"),
        (drop_marker, "3 <image> markers, got 4 images"),
        (remove_file, "is missing"),
        (no_image, "cannot be read"),
        (empty_file, "cannot be read"),
        (another_size, "tiles differ in size"),
        (too_large, "nothing is cut here"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_faults_in_the_data_stop_before_the_first_step(
    world: Path, fault: Callable[[dict[str, Any]], None], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = trainer_of(world, fault)
    monkeypatch.setattr(trainer, "training_step", lambda *_, **__: pytest.fail("a step was taken"))
    with pytest.raises(SampleError, match=f"sample '{BAD}'.*{message}"):
        trainer.train()


def test_sound_data_pass(world: Path) -> None:
    trainer_of(world).train()


def test_a_file_cut_after_its_header_is_named_when_it_is_read(world: Path) -> None:
    def cut(row: dict[str, Any]) -> None:
        path = Path(row["images"][1])
        path.write_bytes(path.read_bytes()[:-40])

    with pytest.raises(SampleError, match=f"sample '{BAD}'.*cut short"):
        trainer_of(world, cut).train()


def test_placeholders_that_do_not_fit_the_patches_are_named(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encode = PromptEncoder.encode_all

    def loses_a_placeholder(self: PromptEncoder, *arguments: Any) -> Any:
        first, *others = encode(self, *arguments)
        first.input_ids.remove(self.image_token_id)
        return [first, *others]

    monkeypatch.setattr(PromptEncoder, "encode_all", loses_a_placeholder)
    with pytest.raises(SampleError, match=r"sample 'train-\d+': 4 image placeholders, but its images make 5 features"):
        trainer_of(world).train()


def test_patches_that_do_not_fit_the_grid_are_named(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encode = PromptEncoder.encode_all

    def another_grid(self: PromptEncoder, *arguments: Any) -> Any:
        first, *others = encode(self, *arguments)
        image = dataclasses.replace(first.images[0], grid_thw=(1, 2, 2))
        return [dataclasses.replace(first, images=(image, *first.images[1:])), *others]

    monkeypatch.setattr(PromptEncoder, "encode_all", another_grid)
    with pytest.raises(SampleError, match=r"sample 'train-\d+': image 0 has 8 patches, its grid says 4"):
        trainer_of(world).train()


def test_features_that_do_not_fit_the_grid_stop_the_step(world: Path) -> None:
    trainer = trainer_of(world)
    core = trainer.core().model
    stock = core.get_image_features

    def loses_a_feature(*arguments: Any, **named: Any) -> Any:
        seen = stock(*arguments, **named)
        seen.pooler_output = [seen.pooler_output[0][:-1], *seen.pooler_output[1:]]
        return seen

    core.get_image_features = loses_a_feature
    with pytest.raises(ValueError, match="vision tower: expected"):
        trainer.train()


def test_a_completion_with_an_image_token_is_named(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from geor1.grpo import sampling as module

    stock = module.roll_out

    def draws_pixels(model: Any, *arguments: Any, **named: Any) -> Any:
        rollouts = stock(model, *arguments, **named)
        rollouts.completion_ids[3][0] = model.config.image_token_id
        return rollouts

    monkeypatch.setattr(module, "roll_out", draws_pixels)
    with pytest.raises(SampleError, match=r"sample 'train-\d+': a completion holds token \d+, which stands for pixels"):
        trainer_of(world).train()


def test_checkpointing_trains_the_same(world: Path) -> None:
    logs = []
    for again in (False, True):
        trainer = trainer_of(world, gradient_checkpointing=again)
        trainer.train()
        assert any(module.gradient_checkpointing for module in trainer.core().modules() if hasattr(
            module, "gradient_checkpointing")) == again  # fmt: skip
        logs.append([line for line in trainer.state.log_history if "loss" in line])
    for plain, checkpointed in zip(*logs, strict=True):
        assert plain["grad_norm"] == pytest.approx(checkpointed["grad_norm"], rel=1e-5)
        assert torch.isfinite(torch.tensor(plain["loss"]))


def test_the_longest_prompts_are_tried_first(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from geor1.grpo import trainer as module

    def much_longer(row: dict[str, Any]) -> None:
        row["prompt"][0]["content"] += " north" * 50

    tried: list[torch.Size] = []
    stock = module.score_completions

    def noted(model: Any, batch: Any, *arguments: Any, **named: Any) -> Any:
        tried.append(batch.input_ids.shape)
        return stock(model, batch, *arguments, **named)

    monkeypatch.setattr(module, "score_completions", noted)
    trainer = trainer_of(world, much_longer, memory_probe="always")
    plain = trainer_of(world, much_longer)
    before = {name: value.clone() for name, value in trainer.core().state_dict().items()}
    monkeypatch.setattr(trl.GRPOTrainer, "train", lambda self: None)
    trainer.train()
    longest = max(len(prompt.input_ids) for prompt in trainer._encoder.encode_all(*columns(trainer)))
    assert tried == [(2, longest)]
    assert all(parameter.grad is None for parameter in trainer.core().parameters())
    assert all(torch.equal(before[name], value) for name, value in trainer.core().state_dict().items())
    plain.train()
    assert len(tried) == 1  # on this device only when asked for


def columns(trainer: GeoGRPOTrainer) -> tuple[list[str], list[list[str]]]:
    rows = list(trainer.train_dataset)
    return [row["prompt"][0]["content"] for row in rows], [row["images"] for row in rows]


def test_the_probe_computes_as_the_steps_will(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from geor1.grpo import trainer as module

    flags: list[bool] = []
    stock = module.score_completions

    def noted(model: Any, *arguments: Any, **named: Any) -> Any:
        flags.append(model.model.language_model.layers[0].gradient_checkpointing and model.training)
        return stock(model, *arguments, **named)

    monkeypatch.setattr(module, "score_completions", noted)
    trainer_of(world, memory_probe="always", gradient_checkpointing=True).train()
    assert len(flags) == 3 and all(flags)  # the probe and two steps


@pytest.mark.parametrize(
    ("name", "value"), [("top_k", 5), ("entropy_coef", 0.1), ("generation_kwargs", {"top_p": 0.9}), ("min_p", 0.1)]
)
def test_settings_that_would_be_ignored_are_refused(world: Path, name: str, value: Any) -> None:
    settings = trl_settings(GrpoConfig(prompts_per_step=2, group_size=2), world / "run", [1.0])
    setattr(settings, name, value)
    with pytest.raises(NotImplementedError, match=f"{name}=.*not supported"):
        GeoGRPOTrainer(
            model=load_model(world / "base"),
            reward_funcs=[lambda completions, **_: [0.0] * len(completions)],
            args=settings,
            train_dataset=to_dataset(load_questions(world / "data", "train"), world / "data"),
            processing_class=load_processor(world / "base"),
        )


def test_the_kl_term_is_plain_k3_where_the_profile_says_so(tmp_path: Path) -> None:
    """TRL's default multiplies it by the probability ratio, which changes its gradient even where the ratio is 1."""
    assert trl_settings(GrpoConfig(), tmp_path, [1.0]).use_bias_correction_kl
    assert not trl_settings(GrpoConfig(kl_correction=False), tmp_path, [1.0]).use_bias_correction_kl
    assert load_profile("paper")["03_grpo"]["kl_correction"] is False


def test_vllm_s_correction_is_trl_s_by_name(tmp_path: Path) -> None:
    small = {"prompts_per_step": 2, "group_size": 2, "rollouts": "vllm_server", "vllm_server_url": "http://node7:8000"}
    usual = trl_settings(GrpoConfig(**small), tmp_path, [1.0])
    assert usual.vllm_importance_sampling_correction and usual.vllm_importance_sampling_mode == "sequence_mask"
    cut = trl_settings(GrpoConfig(**small, vllm_correction="token_truncate", vllm_correction_max=2.0), tmp_path, [1.0])
    assert (cut.vllm_importance_sampling_mode, cut.vllm_importance_sampling_clip_max) == ("token_truncate", 2.0)
    assert not trl_settings(
        GrpoConfig(**small, vllm_correction="none"), tmp_path, [1.0]
    ).vllm_importance_sampling_correction
    assert not GrpoConfig().corrects, "in process the model that samples is the one that is trained"
    for changes, message in (
        ({"vllm_correction": "sequence"}, "vllm_correction: expected one of"),
        ({"vllm_correction_max": 1.0}, "vllm_correction_max: expected more than 1, got 1.0"),
        ({"loss_type": "vespo"}, "loss_type='vespo' takes token ratios, got 'sequence_mask'"),
    ):
        with pytest.raises(ConfigError, match=message):
            GrpoConfig(**{**small, **changes})


def test_an_unknown_probe_is_refused(world: Path) -> None:
    trainer = trainer_of(world)
    with pytest.raises(ValueError, match="memory_probe: expected one of"):
        GeoGRPOTrainer(
            model=trainer.model,
            reward_funcs=trainer.reward_funcs,
            args=trainer.args,
            train_dataset=trainer.train_dataset,
            processing_class=trainer.processing_class,
            memory_probe="alway",
        )


def test_what_does_not_fit_is_named(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from geor1.grpo import trainer as module

    def full(*_: Any, **__: Any) -> Any:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(module, "score_completions", full)
    with pytest.raises(SampleError, match=r"sample 'train-\d+': 2 of the longest prompts .* lower prompts_per_pass"):
        trainer_of(world, memory_probe="always").train()
