"""TRL's GRPOTrainer with each prompt and its images computed once to sample a group.

The hooks are private to TRL 1.16; a test on their signatures fails first when an upgrade moves them.

Axis letters: B prompts, G completions of a group, N = B*G rows.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from geor1.grpo.guard import SampleError, SamplerLimit, check_completions, check_prompt, name_of
from geor1.grpo.resample import Group, joined, replace_ties, split
from geor1.grpo.rollout import Rollouts, roll_out
from geor1.grpo.timed import TimedTrainer
from geor1.grpo.vllm_seeds import request_seed, seed_requests
from geor1.models.decoding import barred_tokens
from geor1.models.encoding import EncodedPrompt, PromptEncoder, read_image
from geor1.models.feature_store import FeatureStore
from geor1.models.training import from_first_process
from geor1.models.vision import is_frozen, remember_features


class SamplingTrainer(TimedTrainer):
    """GRPOTrainer on rows of :func:`geor1.grpo.data.to_dataset`, N of which are B questions, G copies each.

    Args:
        encoder: Encodes prompts and remembers decoded images; None makes one for ``processing_class``.
        rows_per_batch: Completions decoded at a time at most.
        sampler: As in :func:`geor1.models.decoding.decode`.
        resample_rounds: As in :class:`geor1.grpo.config.GrpoConfig`.
        feature_store: Folder of :class:`geor1.models.feature_store.FeatureStore`; needs a frozen vision tower.
        feature_store_bytes: Its cap.
        **settings: GRPOTrainer's own arguments.

    With ``use_vllm`` completions come from TRL's vLLM back-end (colocated or a server), which asks for a group's G
    completions in one request, so that vLLM reads prompt and images once too. What it draws is checked and scored as
    what is drawn here. Each request has a seed that follows from the run's, the step and its place: a resumed run goes
    on as an uninterrupted one would, as far as vLLM computes the same twice.

    Raises:
        NotImplementedError: Ties are to be replaced, and the tokenizer takes responses apart by a template, or rewards
            are normalised one by one, or there are several processes. Or the weights are spread over processes, and
            vLLM is not used.
        ValueError: Features are to be stored of a vision tower that trains.
    """

    def __init__(
        self,
        *,
        encoder: PromptEncoder | None = None,
        rows_per_batch: int = 512,
        sampler: str = "inverse",
        resample_rounds: int = 0,
        feature_store: Path | str | None = None,
        feature_store_bytes: int = 1 << 34,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        self._encoder = encoder or PromptEncoder(self.processing_class)
        self._rows_per_batch = rows_per_batch
        self._sampler = sampler
        self._resample_rounds = resample_rounds
        parses = any(getattr(self._tokenizer, name, None) for name in ("response_template", "response_schema"))
        if resample_rounds and parses:
            raise NotImplementedError("resample_rounds: rewards would be asked about other texts than TRL's")
        if resample_rounds and self.multi_objective_aggregation != "sum_then_normalize":
            raise NotImplementedError("resample_rounds: a tie is one of the sum of rewards; set sum_then_normalize")
        if resample_rounds and self.accelerator.num_processes > 1:
            raise NotImplementedError("resample_rounds: processes would need different numbers of rounds; set 0")
        if self.shards_weights and not self.use_vllm:
            raise NotImplementedError(
                "each process holds a part of the weights (FSDP, ZeRO-3), and processes decode different numbers of "
                "tokens: set use_vllm, or use DDP or ZeRO-2"
            )
        self._store_folder, self._store_bytes = feature_store, feature_store_bytes
        if feature_store and not is_frozen(self.core()):
            raise ValueError("feature_store: expected every weight of the vision tower frozen, some train")
        self._rows: list[dict[str, Any]] = []  # the generation batch
        self._names: list[str] = []  # what the sample of each of its prompts is called in messages
        self._encoded: list[EncodedPrompt] = []  # its prompts, each once
        self._sampled: Rollouts | None = None
        self._presampled: list[Group] = []  # groups sampled before TRL asks for them, where ties are replaced
        self._round = 0  # of the times that this step samples
        self._vllm_copies = self.num_generations  # of a prompt that TRL's back-end expects
        if self.use_vllm:
            wanted: dict[str, Any] = {"logit_bias": dict.fromkeys(barred_tokens(self.core()), -100.0)}
            if self.vllm_mode == "colocate" and self.vllm_tensor_parallel_size == 1:
                wanted["n"], self._vllm_copies = self.num_generations, 1  # TRL itself would send G equal requests
            self.vllm_generation.generation_kwargs |= wanted
            seed_requests(self.vllm_generation, self._request_seeds)

    def sampler_limit(self) -> SamplerLimit | None:
        """How long a prompt with its completion vLLM takes, as far as it is not the model's own limit."""
        if not self.use_vllm:
            return None
        if self.vllm_mode == "colocate":
            tokens, setting = self.args.vllm_max_model_length, "vllm_max_tokens"
        else:  # which TRL tells nothing of our limit: its own counts
            tokens = from_first_process(
                lambda: self.vllm_generation.vllm_client.get_server_info()["model_config"]["max_model_len"]
            )
            setting = "the server's --max-model-len"
        return SamplerLimit(tokens, setting) if tokens else None

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        with self._clock.phase("data"):
            replacing = self._resample_rounds and self.model.training
            self._presampled = self._without_ties(inputs) if replacing else []
            if self._presampled:
                inputs = [group.row for group in self._presampled for _ in range(self.num_generations)]
            self._rows = inputs
            questions = inputs[:: self.num_generations]
            self._names = [name_of(row, place, "prompt {} of the step") for place, row in enumerate(questions)]
            return super()._generate_and_score_completions([_without_images(row) for row in inputs])

    def _without_ties(self, inputs: list[dict[str, Any]]) -> list[Group]:
        """Sample the questions, others instead of those that tie, and note how many did."""
        groups, tied = replace_ties(
            inputs[:: self.num_generations],
            self._sample_groups,
            self.train_dataset,
            rounds=self._resample_rounds,
            seed=rollout_seed(self.args.seed, self.state.global_step),
        )
        self._metrics["train"]["resampling/tied_at_first"].append(tied[0] / len(groups))
        self._metrics["train"]["resampling/rounds"].append(len(tied) - 1)
        return groups

    def _tokenize_prompts(self, prompts: list) -> tuple[list[list[int]], None, dict[str, Any]]:
        group = self.num_generations
        for first in range(0, len(prompts), group):
            for row in range(first, min(first + group, len(prompts))):
                if self._rows[row]["images"] != self._rows[first]["images"] or prompts[row] != prompts[first]:
                    raise ValueError(f"rows {first} to {first + group - 1}: expected copies of one question")
        if self._presampled:
            self._encoded = [sampled.prompt for sampled in self._presampled]
        else:
            self._encoded = self._encode(self._rows[::group], self._names)
        return [self._encoded[row // group].input_ids for row in range(len(prompts))], None, {}

    def _encode(self, rows: Sequence[dict[str, Any]], names: Sequence[str]) -> list[EncodedPrompt]:
        """Encode one prompt a row, images with features where the tower is frozen; errors name the sample."""
        texts, images = [row["prompt"][0]["content"] for row in rows], [row["images"] for row in rows]
        with self._clock.phase("data"):
            try:
                encoded = self._encoder.encode_all(texts, images)
            except ValueError:
                for text, shown, name in zip(texts, images, names, strict=True):
                    try:
                        self._encoder.encode(text, shown)
                    except ValueError as error:
                        raise SampleError(f"{name}: {error}") from error
                raise
            for prompt, name in zip(encoded, names, strict=True):
                check_prompt(prompt, self._encoder, name)
        if is_frozen(self.core()) and not self.shards_weights:  # what sampling sees, scoring sees: once is enough
            with self._clock.phase("rollout"), self.accelerator.autocast():
                encoded = remember_features(self.core(), encoded, self._store)
        return encoded

    @functools.cached_property
    def _store(self) -> FeatureStore | None:
        """Opened at the first step, when a resumed run has its weights."""
        if not self._store_folder:
            return None
        return FeatureStore(self._store_folder, self.core(), dtype=self._compute_dtype, limit_bytes=self._store_bytes)

    def _generate_single_turn(
        self,
        prompt_ids: list,
        images: Any,
        multimodal_fields: dict[str, Any],
        num_generations: int,
        has_tool_images: bool = False,
    ) -> tuple[list[list[int]], list[list[float]] | None]:
        if self._presampled:
            sampled = joined(self._presampled)
        else:
            sampled = self._roll_out(self._rows[::num_generations], self._encoded, self._names, 0)
        self._sampled = sampled
        return sampled.completion_ids, sampled.log_probs if self.use_vllm else None

    def _roll_out(
        self, rows: Sequence[dict[str, Any]], prompts: Sequence[EncodedPrompt], names: Sequence[str], round_: int
    ) -> Rollouts:
        """Sample a group for each row's prompt; ``round_`` counts the times that a step samples."""
        self._round = round_
        with self._clock.phase("rollout"):
            sampled = (
                self._ask_vllm(rows, prompts, names)
                if self.use_vllm
                else roll_out(
                    self.core(),
                    self._encoder,
                    prompts,
                    group_size=self.num_generations,
                    max_new_tokens=self.max_completion_length,
                    temperature=self.temperature,
                    seed=rollout_seed(self.args.seed, self.state.global_step, round_, self.accelerator.process_index),
                    eos_token_ids=tuple(self.eos_token_ids),
                    rows_per_batch=self._rows_per_batch,
                    sampler=self._sampler,
                )
            )
        forbidden = [getattr(self.core().config, name) for name in ("image_token_id", "video_token_id")]
        check_completions(
            sampled.completion_ids, forbidden, [name for name in names for _ in range(self.num_generations)]
        )
        self._rolled_out += self._work(prompts, [len(ids) for ids in sampled.completion_ids], scoring=False)
        self._decode_steps += sampled.decode_steps
        return sampled

    def _request_seeds(self, count: int) -> list[int]:
        """Seeds of so many requests that vLLM gets together, from the processes that ask together."""
        index, served = self.accelerator.process_index, self.vllm_mode == "server"
        together = self.accelerator.num_processes if served else self.vllm_tensor_parallel_size
        first, copies = (0, 1) if served else (index // together * together, self._vllm_copies)
        seeds = []
        for place in range(count):
            process, row = divmod(place, count // together)
            prompt, member = divmod(row, copies)  # copies of a prompt are seeded as vLLM seeds completions of a request
            step = self.state.global_step
            seeds.append(request_seed(self.args.seed, step, self._round, first + process, prompt) + member)
        return seeds

    def _ask_vllm(
        self, rows: Sequence[dict[str, Any]], prompts: Sequence[EncodedPrompt], names: Sequence[str]
    ) -> Rollouts:
        """Sample a group for each row with TRL's vLLM back-end, which gets the weights first if they have changed."""
        if self.state.global_step != self._last_loaded_step:
            self.vllm_generation.sync_weights()
            self._last_loaded_step = self.state.global_step
        sent = [prompt.input_ids for prompt in prompts]
        if self.vllm_mode == "colocate":  # vLLM puts in each picture's tokens itself, in place of one
            sent = [_one_slot_an_image(ids, self._encoder.image_token_id) for ids in sent]
        pictures = [[read_image(path) for path in row["images"]] for row in rows]
        copies = range(self._vllm_copies)
        read, ids, log_probs, _ = self.vllm_generation.generate(
            prompts=[prompt for prompt in sent for _ in copies],
            images=[shown for shown in pictures for _ in copies],
            num_generations=self.num_generations,
        )
        for prompt, seen, name in zip(prompts, read[:: len(read) // len(prompts)], names, strict=True):
            if list(seen) != prompt.input_ids:
                raise SampleError(
                    f"{name}: vLLM read {len(seen)} tokens where training reads {len(prompt.input_ids)}; its processor "
                    "resizes or marks images in another way"
                )
        chosen = [[position[0] for position in row] for row in log_probs]
        return Rollouts(ids, chosen, entropies=None, decode_steps=max(map(len, ids)) - 1)

    def _sample_groups(self, rows: Sequence[dict[str, Any]], round_: int) -> list[Group]:
        """Sample and reward a group for each row."""
        group = self.num_generations
        names = [name_of(row, place, f"prompt {{}} of round {round_}") for place, row in enumerate(rows)]
        prompts = self._encode(rows, names)
        sampled = self._roll_out(rows, prompts, names, round_)
        texts = self.processing_class.batch_decode(sampled.completion_ids, skip_special_tokens=True)
        copies = [row for row in map(_without_images, rows) for _ in range(group)]
        rewards = self._calculate_rewards(
            copies,
            [row["prompt"] for row in copies],
            [[{"role": "assistant", "content": text}] for text in texts],
            sampled.completion_ids,
        )
        self._pending_extra_logs.clear()  # the same rewards are asked for again, and logged then
        self._pending_metrics.clear()
        totals = (rewards * self.reward_weights.to(rewards.device)).nansum(1).view(-1, group)
        tied = (totals == totals[:, :1]).all(1).tolist()
        parts = split(sampled, group)
        return [Group(*of_one) for of_one in zip(rows, prompts, parts, tied, strict=True)]


def rollout_seed(seed: int, step: int, round_: int = 0, process: int = 0) -> int:
    """Seed of a process's sampling at an optimiser step: a resumed run draws what an uninterrupted one would."""
    return (seed * 1_000_003 + step + round_ * 7_919_000_003 + process * 104_729_000_000_033) % 2**63


def _one_slot_an_image(ids: Sequence[int], image_token_id: int) -> list[int]:
    """Token ids with each run of image tokens cut down to one."""
    return [
        token for place, token in enumerate(ids) if token != image_token_id or place == 0 or ids[place - 1] != token
    ]


def _without_images(row: dict[str, Any]) -> dict[str, Any]:
    """What TRL and the rewards see of a row; images go by this trainer's own way."""
    return {name: value for name, value in row.items() if name != "images"}
