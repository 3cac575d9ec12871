"""Rollouts by vLLM: TRL's back-end over a stand-in that answers with the model itself, and over the real one."""

from __future__ import annotations

import dataclasses
import functools
import os
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import trl.generation.vllm_generation as trl_generation
from test_trainer import GROUP, begins_well, thirds
from tiny_cases import small_checkpoint, small_model, write_questions

from geor1.grpo.config import GrpoConfig
from geor1.grpo.data import load_questions, to_dataset
from geor1.grpo.guard import SampleError
from geor1.grpo.rollout import Rollouts, roll_out
from geor1.grpo.run import trl_settings
from geor1.grpo.sampling import SamplingTrainer
from geor1.grpo.trainer import GeoGRPOTrainer
from geor1.grpo.vllm_seeds import request_seed
from geor1.models.decoding import barred_tokens
from geor1.models.encoding import EncodedImage, EncodedPrompt, PromptEncoder
from geor1.models.loading import load_model, load_processor
from geor1.models.training import TRAINER_FOLDER, lora_settings

MODES = ("vllm_colocate", "vllm_server")


class AnsweringWithTheModel(trl_generation.VLLMGeneration):
    """TRL's ``VLLMGeneration`` with a copy of the model, which has its weights on request, for an engine or a server.

    Attributes:
        room: Tokens that the server says it has room for.
        asked: Completions that each request wants.
        seeds: Of each request, in order.
    """

    room = 4096

    def _init_vllm(self) -> None:
        name = self.model.name_or_path
        self.copy, self.encoder, self.lock = load_model(name), PromptEncoder(load_processor(name)), threading.Lock()
        self.asked, self.seeds, self.synced = [], [], 0
        if self.mode == "colocate":
            self.llm = SimpleNamespace(generate=self._here)
            return
        info = {"model_config": {"logprobs_mode": "processed_logprobs", "max_model_len": self.room}}
        self.vllm_client = SimpleNamespace(
            get_server_info=lambda: info,
            image_features=lambda shown: [{"shown": one, "mm_placeholders": {"image": one}} for one in shown],
            generate=self._there,
        )

    def sync_weights(self) -> None:
        self.copy.load_state_dict(self.model.state_dict())
        self.synced += 1

    def _here(self, prompts: list[Any], sampling_params: list[Any], use_tqdm: bool) -> list[Any]:
        answers = []
        for one, how in zip(prompts, sampling_params, strict=True):
            shown = one["multi_modal_data"]["image"]
            encoded = self._encoded(one["prompt_token_ids"], shown)
            sampled = self._sampled(encoded, how.n, how.seed)
            rows = [
                SimpleNamespace(
                    token_ids=ids,
                    logprobs=[
                        {token: SimpleNamespace(logprob=value, rank=1)} for token, value in zip(ids, row, strict=True)
                    ],
                )
                for ids, row in zip(sampled.completion_ids, sampled.log_probs, strict=True)
            ]
            answers.append(SimpleNamespace(prompt_token_ids=encoded.input_ids, outputs=rows))
        return answers

    def _there(self, prompts: list[Any], features: list[Any], n: int, generation_kwargs: dict, **_: Any) -> dict:
        (ids,), (pictures,) = prompts, features
        with self.lock:
            sampled = self._sampled(self._encoded(ids, pictures["shown"]), n, generation_kwargs["seed"])
        return {
            "prompt_ids": [ids],
            "completion_ids": sampled.completion_ids,
            "logprobs": [[[value] for value in row] for row in sampled.log_probs],
            "logprob_token_ids": [[[token] for token in row] for row in sampled.completion_ids],
        }

    def _sampled(self, prompt: EncodedPrompt, count: int, seed: int) -> Rollouts:
        self.asked.append(count)
        self.seeds.append(seed)
        return roll_out(
            self.copy,
            self.encoder,
            [prompt],
            group_size=count,
            max_new_tokens=self.max_completion_length,
            temperature=self.temperature,
            seed=seed,
            eos_token_ids=(self.encoder.tokenizer.eos_token_id,),
        )

    def _encoded(self, ids: list[int], pictures: list[Any]) -> EncodedPrompt:
        """A server finds the pictures' tokens in the prompt; vLLM in the process puts them in, in place of one each."""
        shown = []
        for picture in pictures:
            patches, grid = self.encoder.patch_cache.patches(picture)
            shown.append(EncodedImage(patches=torch.from_numpy(patches), grid_thw=grid))
        if self.mode == "colocate":
            assert ids.count(self.encoder.image_token_id) == len(shown)
            counts = iter([len(image.patches) // self.encoder.patches_per_token for image in shown])
            slot = self.encoder.image_token_id
            ids = [token for old in ids for token in ([old] * next(counts) if old == slot else [old])]
        return EncodedPrompt(input_ids=ids, images=tuple(shown))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vllm")
    write_questions(folder / "data", 12)
    small_checkpoint(folder / "base", seed=1, spread=2.0)
    return folder


def train(
    world: Path, run_dir: Path, reward: Any = thirds, resume: str | None = None, **changes: Any
) -> GeoGRPOTrainer:
    settings = {"steps": 3, "prompts_per_step": 4, "group_size": GROUP, "max_completion_tokens": 6, "threads": 1}
    settings |= {"rollouts": "vllm_colocate", "learning_rate": 1.0e-3, "warmup_steps": 0}
    config = GrpoConfig(**{**settings, **changes})
    processor = load_processor(world / "base")
    trainer = GeoGRPOTrainer(
        encoder=PromptEncoder(processor),
        run_dir=run_dir,
        skip_flat_groups=config.skip_flat_groups,
        resample_rounds=config.resample_rounds,
        model=load_model(world / "base"),
        reward_funcs=[reward],
        args=trl_settings(config, run_dir, [1.0]),
        train_dataset=to_dataset(load_questions(world / "data", "train"), world / "data"),
        processing_class=processor,
        peft_config=lora_settings(4, 8) if config.lora else None,
    )
    trainer.train(resume_from_checkpoint=resume)
    return trainer


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trl.trainer.grpo_trainer.VLLMGeneration", AnsweringWithTheModel)
    monkeypatch.setattr(trl_generation, "SamplingParams", SimpleNamespace, raising=False)


def lines(trainer: GeoGRPOTrainer) -> list[dict[str, float]]:
    return [line for line in trainer.state.log_history if "loss" in line]


@pytest.mark.parametrize("mode", MODES)
def test_a_group_is_one_request_and_what_is_sampled_is_what_is_scored(
    world: Path, tmp_path: Path, stand_in: None, mode: str
) -> None:
    given = {"vllm_server_url": "http://localhost:1"} if mode == "vllm_server" else {}
    trainer = train(world, tmp_path, rollouts=mode, prompts_per_pass=2, **given)
    vllm = trainer.vllm_generation
    assert vllm.asked == [GROUP] * 3 * 4
    assert vllm.synced == 3  # TRL hands the weights over before the first step too
    assert vllm.generation_kwargs["logit_bias"][trainer.core().config.image_token_id] == -100.0
    for line in lines(trainer):
        assert line["sampling/sampling_logp_difference/max"] < 1e-5
        assert line["sampling/importance_sampling_ratio/mean"] == pytest.approx(1, abs=1e-5)
        assert line["grad_norm"] > 1e-3


@pytest.mark.parametrize(
    ("mode", "setting"), [("vllm_colocate", "vllm_max_tokens"), ("vllm_server", "the server's --max-model-len")]
)
def test_completions_that_vllm_would_cut_short_are_refused_before_the_first_step(
    world: Path, tmp_path: Path, stand_in: None, mode: str, setting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The longest prompt has 71 tokens: with 6 of completion, 77 are room enough."""
    monkeypatch.setattr(AnsweringWithTheModel, "room", 76)
    given = {"vllm_server_url": "http://localhost:1"} if mode == "vllm_server" else {"vllm_max_tokens": 76}
    with pytest.raises(
        SampleError, match=rf"'train-\d+': 71 prompt tokens and up to 6 .*room for 76 .*set {setting} to 77 or more"
    ):
        train(world, tmp_path / "short", rollouts=mode, **given)
    monkeypatch.setattr(AnsweringWithTheModel, "room", 77)
    given |= {"vllm_max_tokens": 77} if mode == "vllm_colocate" else {}
    assert lines(train(world, tmp_path / "enough", rollouts=mode, steps=1, **given))


@pytest.mark.parametrize("mode", MODES)
def test_the_run_s_seed_decides_what_vllm_draws(world: Path, tmp_path: Path, stand_in: None, mode: str) -> None:
    """Every request has a seed of its own, also in a run that goes on."""
    given: dict[str, Any] = {"rollouts": mode, "save_steps": 1}
    given |= {"vllm_server_url": "http://localhost:1"} if mode == "vllm_server" else {}
    first, other = (train(world, tmp_path / str(seed), seed=seed, **given).vllm_generation for seed in (0, 1))
    drawn = {seed + member for seed in [*first.seeds, *other.seeds] for member in range(GROUP)}
    assert len(drawn) == 2 * 3 * 4 * GROUP, "vLLM counts up from a request's seed: none meets another"
    halfway = str(tmp_path / "0" / TRAINER_FOLDER / "checkpoint-2")
    resumed = train(world, tmp_path / "0", resume=halfway, seed=0, **given).vllm_generation
    assert sorted(resumed.seeds) == sorted(first.seeds[8:]) and len(resumed.seeds) == 4


@pytest.mark.parametrize(("mode", "parallel"), [("server", 1), ("colocate", 2)])
def test_processes_that_ask_together_agree_on_the_seeds(mode: str, parallel: int) -> None:
    """Four processes of two prompts: the server is asked by the first for all, an engine on two by both alike."""

    def seeds(index: int, count: int) -> list[int]:
        asking = SimpleNamespace(
            accelerator=SimpleNamespace(process_index=index, num_processes=4),
            vllm_mode=mode,
            vllm_tensor_parallel_size=parallel,
            args=SimpleNamespace(seed=5),
            state=SimpleNamespace(global_step=7),
            _round=0,
            _vllm_copies=GROUP,
        )
        return SamplingTrainer._request_seeds(asking, count)

    of = {process: [request_seed(5, 7, 0, process, prompt) for prompt in range(2)] for process in range(4)}
    if mode == "server":
        assert seeds(0, 8) == [seed for process in range(4) for seed in of[process]]
        return
    copies = {process: [seed + member for seed in of[process] for member in range(GROUP)] for process in of}
    assert seeds(0, 4 * GROUP) == seeds(1, 4 * GROUP) == copies[0] + copies[1]
    assert seeds(2, 4 * GROUP) == seeds(3, 4 * GROUP) == copies[2] + copies[3]


def test_groups_that_tie_are_scored_without_gradient(world: Path, tmp_path: Path, stand_in: None) -> None:
    every = train(world, tmp_path / "all", begins_well, skip_flat_groups=False)
    without = train(world, tmp_path / "without", begins_well, skip_flat_groups=True)
    assert 0 < sum(line["frac_reward_zero_std"] for line in lines(without)) < 3
    scored = [sum(line["work/scored_completion_tokens"] for line in lines(one)) for one in (every, without)]
    assert scored[1] < scored[0]
    for left, right in zip(lines(every), lines(without), strict=True):
        for key in ("loss", "grad_norm", "entropy", "reward", "clip_ratio/region_mean"):
            assert left[key] == pytest.approx(right[key], rel=1e-4, abs=1e-6), key


def test_ties_are_replaced_by_further_requests(world: Path, tmp_path: Path, stand_in: None) -> None:
    trainer = train(world, tmp_path, begins_well, resample_rounds=2)
    assert len(trainer.vllm_generation.asked) > 3 * 4
    assert len(set(trainer.vllm_generation.seeds)) == len(trainer.vllm_generation.seeds)
    assert all(line["sampling/sampling_logp_difference/max"] < 1e-5 for line in lines(trainer))


def test_a_prompt_that_vllm_reads_otherwise_is_refused(
    world: Path, tmp_path: Path, stand_in: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    stock = AnsweringWithTheModel.generate

    def cut(self: AnsweringWithTheModel, **asked: Any) -> tuple:
        read, *others = stock(self, **asked)
        return [read[0], read[1][:-1], *read[2:]], *others

    monkeypatch.setattr(AnsweringWithTheModel, "generate", cut)
    with pytest.raises(SampleError, match=r"train-\d+.*vLLM read 70 tokens where training reads 71"):
        train(world, tmp_path)


@pytest.mark.vllm
@pytest.mark.parametrize("lora", [False, True], ids=["full", "adapters"])
def test_the_real_vllm_beside_training(tmp_path: Path, lora: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """It sees what we see: prompts, pictures and, after every step, weights; else log-probabilities would differ."""
    import transformers

    exact = functools.partial(trl_generation.LLM, dtype="float32", enforce_eager=True)  # else 16 bits
    monkeypatch.setattr(trl_generation, "LLM", exact)
    monkeypatch.setattr("vllm._custom_ops._supports_onednn", False)  # on CPU it packs weights, and they never change
    monkeypatch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    for name, value in {"VLLM_CPU_KVCACHE_SPACE": "1", "MASTER_ADDR": "127.0.0.1"}.items():
        os.environ.setdefault(name, value)
    write_questions(tmp_path / "data", 12)
    model, processor = small_model(seed=1, spread=2.0, hidden=128, heads=4, key_value_heads=2, vision_hidden=64)
    stock = transformers.Qwen2_5_VLProcessor(
        image_processor=transformers.Qwen2VLImageProcessor(**processor.image_processor.to_dict()),
        video_processor=transformers.Qwen2VLVideoProcessor(),
        tokenizer=processor.tokenizer,
        chat_template=processor.chat_template,
    )
    model.save_pretrained(tmp_path / "base")
    stock.save_pretrained(tmp_path / "base")
    errors, stock_ask = [], SamplingTrainer._ask_vllm

    def checked(self: SamplingTrainer, rows: Any, prompts: list[EncodedPrompt], names: Any) -> Rollouts:
        sampled = stock_ask(self, rows, prompts, names)
        for row, (ids, log_probs) in enumerate(zip(sampled.completion_ids, sampled.log_probs, strict=True)):
            errors.append(
                float((own_log_probs(self, prompts[row // GROUP], ids) - torch.tensor(log_probs)).abs().max())
            )
        return sampled

    monkeypatch.setattr(SamplingTrainer, "_ask_vllm", checked)
    trainer = train(tmp_path, tmp_path / "run", lora=lora, learning_rate=3.0e-3, vllm_max_tokens=512)
    assert len(errors) == 3 * 4 * GROUP
    assert max(errors) < 1e-5
    first, *_, last = (line["sampling/sampling_logp_difference/mean"] for line in lines(trainer))
    assert 0 < last < 0.1 and first > 0  # image tokens, which vLLM must not draw, have some probability in training


@torch.no_grad()
def own_log_probs(trainer: SamplingTrainer, prompt: EncodedPrompt, ids: list[int]) -> torch.Tensor:
    """log p of a completion's tokens by transformers' own pass, image tokens left out."""
    images = tuple(dataclasses.replace(image, features=()) for image in prompt.images)  # not what the trainer remembers
    model, batch = trainer.core(), trainer._encoder.stack([dataclasses.replace(prompt, images=images)])
    was_training, _ = model.training, model.eval()
    whole = torch.cat([batch.input_ids, torch.tensor([ids])], dim=1)
    kinds = torch.cat([batch.mm_token_type_ids, torch.zeros(1, len(ids), dtype=torch.long)], dim=1)
    logits = model(
        input_ids=whole,
        attention_mask=torch.ones_like(whole),
        mm_token_type_ids=kinds,
        pixel_values=batch.pixel_values,
        image_grid_thw=batch.image_grid_thw,
    ).logits[0, len(prompt.input_ids) - 1 : -1]
    model.train(was_training)
    logits[:, barred_tokens(model)] = float("-inf")
    return logits.log_softmax(-1).gather(1, torch.tensor(ids)[:, None])[:, 0]
