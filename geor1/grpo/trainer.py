"""TRL's GRPOTrainer with each prompt and its images computed once instead of once a completion.

The algorithm stays TRL's: advantages, losses, clipping, KL, metrics, optimiser. Replaced are, through the hooks below,
how completions are sampled and how they are scored (:mod:`geor1.grpo.rollout`, :mod:`geor1.grpo.prefix`), and that a
group of completions is never split over forward passes. The hooks are private to TRL 1.16; a test on their signatures
fails first when an upgrade moves them.

Axis letters: B prompts, G completions of a group, N = B*G rows, P prompt tokens, C completion tokens.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from trl import GRPOConfig
from trl.models.utils import _ForwardRedirection

from geor1.grpo.config import PROBES
from geor1.grpo.guard import SampleError, check_rows, name_of
from geor1.grpo.prefix import score_completions
from geor1.grpo.sampling import SamplingTrainer
from geor1.models.encoding import EncodedPrompt
from geor1.models.training import ResumingMixin

ROLLOUTS_FILE = "rollouts.jsonl"
GROUPS_LOGGED = 2
# Settings of TRL's that sampling or scoring here does not look at; a value other than TRL's default is refused.
UNSUPPORTED = (
    "top_k",
    "top_p",
    "min_p",
    "repetition_penalty",
    "generation_kwargs",
    "chat_template_kwargs",
    "num_generations_eval",
    "entropy_coef",
    "use_adaptive_entropy",
    "cast_lm_head_to_fp32",
)


@dataclasses.dataclass(frozen=True)
class _Pass:
    """What one forward pass scores: its prompts, and the rows of its completions in the generation batch."""

    prompts: Sequence[EncodedPrompt]
    rows: range
    flat: list[bool] | None  # per group: rewards all alike, so no gradient is needed; None: score everything


class GeoGRPOTrainer(ResumingMixin, SamplingTrainer):
    """GRPOTrainer on rows of :func:`geor1.grpo.data.to_dataset`.

    Args:
        run_dir: Where ``rollouts.jsonl`` goes; None takes the arguments' ``output_dir``.
        skip_flat_groups: As in :class:`geor1.grpo.config.GrpoConfig`.
        rollouts_every: Steps between logged rollouts.
        held_out: Called with the model after each step number that it wants (see ``eval_every``); its figures join
            that step's log line.
        eval_every: Steps between calls of ``held_out``; 0 for none.
        memory_probe: As in :class:`geor1.grpo.config.GrpoConfig`.
        logits_chunk_tokens: As in :class:`geor1.grpo.config.GrpoConfig`.
        **settings: Arguments of :class:`geor1.grpo.sampling.SamplingTrainer` and GRPOTrainer's own.

    Several processes (``accelerate launch`` or ``torchrun``) each sample and score their own questions, DDP or FSDP2
    averages the gradients; the held-out figures are the same in all of them, and the first one writes.

    Raises:
        NotImplementedError: Settings of TRL's that this trainer does not know (``UNSUPPORTED``).
        ValueError: ``memory_probe`` is unknown.
    """

    def __init__(
        self,
        *,
        run_dir: Path | None = None,
        skip_flat_groups: bool = True,
        rollouts_every: int = 10,
        held_out: Callable[[Any], dict[str, float]] | None = None,
        eval_every: int = 0,
        memory_probe: str = "cuda",
        logits_chunk_tokens: int = 0,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        plain = {field.name: field.default for field in dataclasses.fields(GRPOConfig)}
        for name in UNSUPPORTED:
            if getattr(self.args, name) != plain[name]:
                raise NotImplementedError(
                    f"{name}={getattr(self.args, name)!r}: not supported by this trainer; leave it out"
                )
        if self.args.gradient_accumulation_steps > self.args.steps_per_generation:
            raise NotImplementedError("gradient_accumulation_steps: expected at most steps_per_generation")
        self._run_dir = Path(run_dir or self.args.output_dir)
        self._run_dir.mkdir(parents=True, exist_ok=True)
        # Where weights are spread over processes, all must make the same calls, whatever their own groups are like.
        self._skip_flat = skip_flat_groups and self.beta == 0.0 and not self.shards_weights
        self._rollouts_every = rollouts_every
        self._held_out = held_out
        self._eval_every = eval_every
        self._logits_chunk_tokens = logits_chunk_tokens
        if memory_probe not in PROBES:
            raise ValueError(f"memory_probe: expected one of {PROBES}, got {memory_probe!r}")
        self._probes = memory_probe == "always" or memory_probe == self.accelerator.device.type
        self._pass = _Pass(prompts=(), rows=range(0), flat=None)
        self._passes: list[tuple[dict[str, Any], _Pass]] = []

    # ---- before the first step

    def train(self, *arguments: Any, **named: Any) -> Any:
        """The trainer's own, after every sample has been looked at and the longest ones tried.

        Raises:
            SampleError: See :func:`geor1.grpo.guard.check_rows`; or the longest prompts do not fit into memory.
        """
        lengths = check_rows(
            self.train_dataset,
            self._encoder,
            max_completion_tokens=self.max_completion_length,
            max_positions=self.core().config.get_text_config().max_position_embeddings,
            sampler=self.sampler_limit(),
        )
        if self._probes and not self.shards_weights:  # which are spread in train() only
            if self.args.gradient_checkpointing:  # as the trainer will before its first step
                self.core().gradient_checkpointing_enable(self.args.gradient_checkpointing_kwargs)
            self.probe_memory(lengths)
        return super().train(*arguments, **named)

    def probe_memory(self, lengths: Sequence[int]) -> None:
        """Score the longest prompts with completions of full length, forward and backward, and drop the gradient.

        It needs what a scoring pass needs; the optimiser's state and a reference model come on top.

        Args:
            lengths: Prompt tokens of each row of the training set.

        Raises:
            SampleError: They do not fit.
        """
        group, length = self.num_generations, self.max_completion_length
        count = max(1, self.args.per_device_train_batch_size // group)
        longest = sorted(range(len(lengths)), key=lambda place: -lengths[place])[:count]
        rows = [self.train_dataset[place] for place in longest]
        device = self.accelerator.device
        try:
            encoded = self._encoder.encode_all(
                [row["prompt"][0]["content"] for row in rows], [row["images"] for row in rows]
            )
            with self.accelerator.autocast():
                scores = score_completions(
                    self.core().train(),
                    self._encoder.stack(encoded).to(device),
                    torch.full((count * group, length), self._encoder.pad_token_id, device=device),
                    torch.ones(count * group, length, device=device),
                    temperature=self.temperature,
                    with_entropy=True,
                    logits_chunk_tokens=self._logits_chunk_tokens,
                )
            scores.log_probs.sum().backward()
        except torch.OutOfMemoryError as error:
            raise SampleError(
                f"{name_of(rows[0], longest[0])}: {count} of the longest prompts (up to {lengths[longest[0]]} tokens), "
                f"with {group} completions of {length} tokens each, do not fit into memory; lower prompts_per_pass or "
                "max_completion_tokens, or set gradient_checkpointing"
            ) from error
        finally:
            self.core().zero_grad(set_to_none=True)

    # ---- whole groups in every forward pass

    def _tokenize_prompts(self, prompts: list) -> tuple[list[list[int]], None, dict[str, Any]]:
        tokenised = super()._tokenize_prompts(prompts)
        self._pass = _Pass(prompts=self._encoded, rows=range(len(prompts)), flat=None)
        return tokenised

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        output = super()._generate_and_score_completions(inputs)
        due = self.state.global_step % self._rollouts_every == 0 or self.state.global_step + 1 == self.state.max_steps
        if due and self.accelerator.is_main_process:
            self._log_rollouts()
        return output

    def _prepare_inputs(self, generation_batch: Any) -> dict[str, Any]:
        if not self.model.training:
            return super()._prepare_inputs(generation_batch)
        if self._step % (self.args.steps_per_generation * self.num_iterations) == 0 or not self._passes:
            self._passes = self._split(self._generate_and_score_completions(generation_batch))
        inputs, self._pass = self._passes[self._step % self.args.steps_per_generation]
        return inputs

    def _split(self, batch: dict[str, Any]) -> list[tuple[dict[str, Any], _Pass]]:
        """Cut a generation batch into forward passes of whole groups, in order."""
        rows = batch["advantages"].shape[0]
        size, group = rows // self.args.steps_per_generation, self.num_generations
        if size % group:
            raise ValueError(f"a forward pass of {size} rows splits groups of {group}; set a multiple")
        passes = []
        for first in range(0, rows, size):
            part = {
                name: value[first : first + size] if torch.is_tensor(value) and value.ndim else value
                for name, value in batch.items()
            }
            flat = None
            if self._skip_flat:
                # Alike, not zero: the mean of eight equal rewards may miss them by rounding, and so may the advantages.
                by_group = part["advantages"].view(-1, group)
                flat = (by_group == by_group[:, :1]).all(1).tolist()
                flat[0] = flat[0] and not all(flat)  # something must carry the graph of the backward pass
            prompts = self._encoded[first // group : (first + size) // group]
            passes.append((part, _Pass(prompts=prompts, rows=range(first, first + size), flat=flat)))
        return passes

    # ---- scoring

    def _get_per_token_logps_and_entropies(
        self,
        model: Any,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        compute_entropy: bool = False,
        compute_aux_loss: bool = False,
        **images: Any,
    ) -> tuple[torch.Tensor, torch.Tensor | None, None]:
        with self._clock.phase("forward" if torch.is_grad_enabled() else "reference"):
            return self._score(
                model, input_ids[:, -logits_to_keep:], attention_mask[:, -logits_to_keep:], batch_size, compute_entropy
            )

    def _score(
        self, model: Any, tokens: torch.Tensor, mask: torch.Tensor, batch_size: int | None, compute_entropy: bool
    ) -> tuple[torch.Tensor, torch.Tensor | None, None]:
        """Scores [N, C] of the rows of the current pass."""
        group, count = self.num_generations, len(self._pass.prompts)
        flat = self._pass.flat or [False] * count
        live = [index for index in range(count) if not flat[index]]
        if torch.is_grad_enabled():
            lengths = mask.sum(1).tolist()
            kept = [length for index in live for length in lengths[index * group : (index + 1) * group]]
            self._scored += self._work([self._pass.prompts[index] for index in live], kept, scoring=True)
        else:
            self._references += 1
        at_once = max(1, (batch_size or tokens.shape[0]) // group)
        parts = [(live[first : first + at_once], True) for first in range(0, len(live), at_once)]
        if any(flat) and not self._remembers_scores:  # no gradient, but loss and metrics are of all rows
            parts.append(([index for index in range(count) if flat[index]], False))
        known = self._sampled_scores(mask)
        score = functools.partial(self._score_parts, self.core(model), tokens, mask, parts, compute_entropy, *known)
        log_probs, entropies = self._through_wrapper(model, score)
        if log_probs.dtype != torch.float32:
            raise TypeError(
                f"log probabilities came out of the sharded model as {log_probs.dtype}, expected torch.float32: the "
                "ratios of a step are finer; an accelerate file of your own must not set FSDP's output_dtype"
            )
        return log_probs, entropies if compute_entropy else None, None

    def _through_wrapper(self, model: Any, call: Callable[[], Any]) -> Any:
        """Call in place of a model's forward: DDP, FSDP and DeepSpeed gather weights and prepare to exchange gradients
        only where their wrapper's own forward is called."""
        return _ForwardRedirection()(model, self.accelerator.unwrap_model(model), call)

    def _score_parts(
        self,
        core: Any,
        tokens: torch.Tensor,
        mask: torch.Tensor,
        parts: Sequence[tuple[list[int], bool]],
        compute_entropy: bool,
        log_probs: torch.Tensor,
        entropies: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Scores [N, C] of some groups of the current pass, part by part, filled into what is known of the others.

        Each part says which groups, and whether a gradient is wanted.
        """
        group = self.num_generations
        for chosen, gradient in parts:
            rows = torch.tensor([index * group + member for index in chosen for member in range(group)])
            rows = rows.to(tokens.device)
            stacked = self._encoder.stack([self._pass.prompts[index] for index in chosen]).to(tokens.device)
            with self.accelerator.autocast(), torch.set_grad_enabled(gradient and torch.is_grad_enabled()):
                scores = score_completions(
                    core,
                    stacked,
                    tokens[rows],
                    mask[rows],
                    temperature=self.temperature,
                    with_entropy=compute_entropy,
                    logits_chunk_tokens=self._logits_chunk_tokens,
                )
            log_probs = log_probs.index_copy(0, rows, scores.log_probs)
            if scores.entropies is not None:
                entropies = entropies.index_copy(0, rows, scores.entropies)
        return log_probs, entropies

    @property
    def _remembers_scores(self) -> bool:
        """Whether sampling noted the scores of what it drew."""
        return self._sampled is not None and self._sampled.entropies is not None

    def _sampled_scores(self, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Scores [N, C] noted while sampling, which flat groups keep; zeros where everything is scored anew."""
        log_probs = torch.zeros(mask.shape, device=mask.device)
        entropies = torch.zeros_like(log_probs)
        if self._pass.flat is None or not self._remembers_scores:
            return log_probs, entropies
        for place, row in enumerate(self._pass.rows):
            if self._pass.flat[place // self.num_generations]:
                count = int(mask[place].sum())
                log_probs[place, :count] = torch.tensor(self._sampled.log_probs[row][:count])
                entropies[place, :count] = torch.tensor(self._sampled.entropies[row][:count])
        return log_probs, entropies

    # ---- what is written

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """TRL's log line, joined by the step's account and at every ``eval_every``-th step by the held-out figures."""
        step = self.state.global_step
        if "loss" in logs:
            due = self._eval_every and (step % self._eval_every == 0 or step == self.state.max_steps)
            if due and self._held_out is not None:
                judge = functools.partial(self._held_out, self.core())
                with self._clock.phase("held_out"), torch.no_grad():
                    logs.update(self._through_wrapper(self.model_wrapped, judge))
            logs.update(self._account())
        super().log(logs, start_time)

    def _log_rollouts(self) -> None:
        """Append whole groups of the generation batch to ``rollouts.jsonl``."""
        with (self._run_dir / ROLLOUTS_FILE).open("a", encoding="utf-8") as file:
            for place, row in enumerate(self._rows[: GROUPS_LOGGED * self.num_generations]):
                record = {
                    "step": self.state.global_step + 1,
                    "question_id": row.get("question_id"),
                    "images": [os.path.relpath(path, self._run_dir) for path in row["images"]],
                    "answer": row.get("answer"),
                    "completion": self._logs["completion"][place][0]["content"],
                    "rewards": {name: values[place] for name, values in self._logs["rewards"].items()},
                    "advantage": self._logs["advantages"][place],
                }
                file.write(json.dumps(record, ensure_ascii=False) + "\n")
