"""Parameters of stage 03."""

from __future__ import annotations

import dataclasses

from geor1.grpo.rewards import PRESETS, RewardWeights
from geor1.runs import ConfigError, LaunchConfig
from geor1.runs.processes import refused_adapters, share_of

LOSS_TYPES = ("grpo", "dr_grpo", "dapo", "bnpo", "cispo", "sapo", "luspo", "vespo")  # the names are TRL's
LEVELS = ("token", "sequence")
ROLLOUTS = ("in_process", "vllm_colocate", "vllm_server")
SCALINGS = ("group", "batch", "none")
ORDERS = ("random", "easy_to_hard", "far_to_near")
PROBES = ("cuda", "always", "never")
SCHEDULES = ("constant", "linear")
QUANTIZATIONS = ("", "nf4")
VLLM_CORRECTIONS = ("none", "token_truncate", "token_mask", "sequence_truncate", "sequence_mask")
_CHOICES = {
    "loss_type": LOSS_TYPES,
    "importance_sampling_level": LEVELS,
    "rollouts": ROLLOUTS,
    "scale_rewards": SCALINGS,
    "order": ORDERS,
    "schedule": SCHEDULES,
    "memory_probe": PROBES,
    "reward_preset": PRESETS,
    "quantize": QUANTIZATIONS,
    "vllm_correction": VLLM_CORRECTIONS,
}
_AT_LEAST = {
    0: "prompts_per_pass max_questions warmup_steps weight_decay beta epsilon_high eval_every resample_rounds "
    "vllm_max_tokens logits_chunk_tokens",
    1: "steps prompts_per_step max_completion_tokens num_iterations reward_max_length lora_rank lora_alpha n_eval "
    "rollouts_every rows_per_batch feature_store_gb save_steps image_cache_mb threads vllm_tensor_parallel",
    2: "group_size",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class GrpoConfig:
    """How the policy is improved on pairing questions, with no label but which candidate is the same place.

    Attributes:
        steps: Optimiser steps.
        prompts_per_step: Questions B of an optimiser step, all processes together.
        group_size: Completions G sampled for each question.
        prompts_per_pass: Questions a forward pass of a process (gradient accumulation covers the rest); 0 for all.
        max_questions: Training questions used, the first of the file; 0 for all. Fewer than consumed are seen again.
        learning_rate: Peak learning rate of AdamW.
        schedule: ``constant`` or ``linear`` (decay to zero), both after the warm-up.
        warmup_steps: Steps of linear warm-up.
        weight_decay: AdamW's.
        adam_beta2: AdamW's second decay.
        max_grad_norm: Gradients are clipped to this norm.
        temperature: Sampling temperature.
        max_completion_tokens: Tokens at which a completion is cut (and then earns no accuracy reward).
        num_iterations: Optimiser steps taken on each batch of completions, mu in the GRPO paper.
        beta: Weight of the KL divergence from the start checkpoint; 0 needs no reference model.
        kl_correction: Multiply that divergence by the probability ratio, which makes its gradient the unbiased one of
            the reverse divergence, on-policy as well (DeepSeek-V3.2, arXiv 2512.02556; TRL's default); False for the
            plain k3 estimator of the GRPO paper and the released code. Nothing where ``beta`` is 0.
        epsilon: Clipping range of the probability ratio below 1.
        epsilon_high: Clipping range above 1; 0.0 takes ``epsilon``.
        top_entropy_quantile: Share of completion tokens, those whose prediction was most uncertain, that carry the
            policy gradient; 1 for all. Where a chain is nearly certain but for its decisions, few tokens hold all the
            signal and the rest only noise. Source: arXiv 2506.01939.
        loss_type: ``grpo`` (mean over tokens, then completions), ``dr_grpo``, ``dapo``, ``bnpo``, ``cispo``, ``sapo``,
            ``luspo`` or ``vespo``; see TRL.
        importance_sampling_level: Whether probability ratios are of a ``token``, or of a whole ``sequence`` (its
            geometric mean): GSPO, arXiv 2507.18071.
        scale_rewards: Divide advantages by the ``group``'s or ``batch``'s standard deviation, or ``none``.
        reward_preset: ``corrected``, or ``released_code`` for the authors' shipped functions.
        accuracy_correct: Accuracy value of a right answer.
        accuracy_wrong: Accuracy value of anything else.
        weight_accuracy: Weight of the accuracy term.
        weight_format: Weight of the format term.
        weight_length: Weight of the length term.
        weight_repetition: Weight of the repetition term.
        reward_max_length: Tokens at which the length term ends.
        freeze_vision: Keep the vision tower, projector included, as it is.
        freeze: Regular expression; parameters whose name it finds are kept as they are, e.g.
            ``visual\\.(?!merger)`` for the vision tower without its projector. Empty for none; not with ``lora``.
        lora: Train low-rank adapters of the language model (merged at the end) instead of all weights.
        lora_rank: Rank of the adapters.
        lora_alpha: Scale of the adapters; their output is multiplied by alpha / rank.
        quantize: ``nf4`` keeps the frozen weights of the language model in four bits (QLoRA, arXiv 2305.14314; needs
            ``lora`` and bitsandbytes); empty for as they are. The product is the adapters merged into the whole
            weights.
        skip_flat_groups: Leave groups whose completions all earned the same out of the scoring pass; they carry no
            gradient, so the update is the same (not done while ``beta`` > 0, where they do).
        resample_rounds: Times that questions whose completions all earned the same are replaced, within a step, by
            others of those that the run consumes anyway (no further label is seen), drawn at random; 0 for never.
            Source: DAPO, arXiv 2503.14476.
        order: ``random``, ``easy_to_hard`` by how much the negatives resemble the right tile, or ``far_to_near`` by how
            far from it they lie.
        memory_probe: When to score the longest prompts with completions of full length, and throw the gradient away,
            before the first step, so that what does not fit fails at once: on ``cuda`` devices, ``always``, ``never``.
        eval_every: Steps between greedy evaluations on held-out questions; 0 for none.
        n_eval: Held-out questions evaluated, spread over the test file. They steer nothing.
        rollouts_every: Steps between logged sample rollouts (two whole groups each).
        rows_per_batch: Completions decoded at a time at most; bounds memory.
        rollouts: What samples: the model ``in_process``, vLLM in the same process beside it (``vllm_colocate``), or a
            server (``vllm_server``, started by ``vllm serve`` as TRL says). Each group is a
            request with a seed of its own, from the run's and the step's.
        vllm_server_url: Address of the server, e.g. ``http://node7:8000``.
        vllm_gpu_memory: Share of a GPU's memory that vLLM takes beside training, above 0, at most 1.
        vllm_tensor_parallel: GPUs that one vLLM beside training runs on.
        vllm_max_tokens: Longest prompt and completion that vLLM beside training makes room for, in tokens; 0 takes the
            model's limit. A run whose prompts and ``max_completion_tokens`` need more is refused, as it is where a
            server was started with less (its ``--max-model-len``).
        vllm_sleep: Let vLLM give its memory back while the model trains.
        vllm_correction: How completions are weighted where vLLM's probabilities are not the trainer's own (importance
            sampling), which takes one more scoring pass a step: ratios of a ``token`` or a whole ``sequence``, cut at
            ``vllm_correction_max`` (``_truncate``) or left out beyond it (``_mask``); ``none`` takes them for equal.
            Names and default are TRL's. Without vLLM there is nothing to correct.
        vllm_correction_max: Largest such ratio.
        feature_store: Folder that keeps what a frozen vision tower makes of images, for later epochs and runs; empty
            for none. Within a step they are never made twice.
        feature_store_gb: Cap of that folder, GiB.
        gradient_checkpointing: Compute layers again in the backward pass instead of keeping what they made.
        logits_chunk_tokens: Completion tokens whose logits exist at a time while scoring, forward and backward; 0 for
            as many as fit 256 MiB.
        seed: Seed of order and sampling.
        save_steps: Steps between resumable checkpoints, a multiple of ``num_iterations``.
        image_cache_mb: Memory for decoded images, MiB.
        threads: CPU threads.
    """

    steps: int = 60
    prompts_per_step: int = 32
    group_size: int = 8
    prompts_per_pass: int = 0
    max_questions: int = 0
    learning_rate: float = 2.0e-4
    schedule: str = "constant"
    warmup_steps: int = 5
    weight_decay: float = 0.0
    adam_beta2: float = 0.98
    max_grad_norm: float = 1.0
    temperature: float = 1.0
    max_completion_tokens: int = 160
    num_iterations: int = 1
    beta: float = 0.0
    kl_correction: bool = True
    epsilon: float = 0.2
    epsilon_high: float = 0.0
    top_entropy_quantile: float = 1.0
    loss_type: str = "grpo"
    importance_sampling_level: str = "token"
    scale_rewards: str = "group"
    reward_preset: str = "corrected"
    accuracy_correct: float = 1.0
    accuracy_wrong: float = 0.0
    weight_accuracy: float = 1.0
    weight_format: float = 1.0
    weight_length: float = 1.0
    weight_repetition: float = 1.0
    reward_max_length: int = 1024
    freeze_vision: bool = False
    freeze: str = ""
    lora: bool = False
    lora_rank: int = 16
    lora_alpha: int = 32
    quantize: str = ""
    skip_flat_groups: bool = True
    resample_rounds: int = 0
    order: str = "random"
    memory_probe: str = "cuda"
    eval_every: int = 10
    n_eval: int = 96
    rollouts_every: int = 10
    rows_per_batch: int = 512
    rollouts: str = "in_process"
    vllm_server_url: str = ""
    vllm_gpu_memory: float = 0.3
    vllm_tensor_parallel: int = 1
    vllm_max_tokens: int = 0
    vllm_sleep: bool = False
    vllm_correction: str = "sequence_mask"
    vllm_correction_max: float = 3.0
    feature_store: str = ""
    feature_store_gb: int = 16
    gradient_checkpointing: bool = False
    logits_chunk_tokens: int = 0
    seed: int = 0
    save_steps: int = 10
    image_cache_mb: int = 1024
    threads: int = 2

    def __post_init__(self) -> None:
        for least, names in _AT_LEAST.items():
            for name in names.split():
                if getattr(self, name) < least:
                    raise ConfigError(f"{name}: expected at least {least}, got {getattr(self, name)}")
        for name in ("learning_rate", "max_grad_norm", "temperature", "epsilon"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"{name}: expected more than 0, got {getattr(self, name)}")
        if not 0 < self.top_entropy_quantile <= 1:
            raise ConfigError(f"top_entropy_quantile: expected above 0, at most 1, got {self.top_entropy_quantile}")
        if not 0 < self.vllm_gpu_memory <= 1:
            raise ConfigError(f"vllm_gpu_memory: expected above 0, at most 1, got {self.vllm_gpu_memory}")
        if self.vllm_correction_max <= 1:
            raise ConfigError(f"vllm_correction_max: expected more than 1, got {self.vllm_correction_max}")
        if self.loss_type == "vespo" and self.corrects and self.vllm_correction.startswith("sequence"):
            raise ConfigError(f"vllm_correction: loss_type='vespo' takes token ratios, got {self.vllm_correction!r}")
        if (self.rollouts == "vllm_server") != bool(self.vllm_server_url):
            raise ConfigError("vllm_server_url: expected with rollouts='vllm_server', and only there")
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                raise ConfigError(f"{name}: expected one of {known}, got {getattr(self, name)!r}")
        if self.lora and self.freeze:
            raise ConfigError(
                "freeze: adapters train beside frozen weights, so with lora=true it would hold nothing back"
            )
        if self.quantize and not self.lora:
            raise ConfigError("quantize: weights in four bits do not train; expected lora=true")
        if self.resample_rounds and self.order != "random":
            raise ConfigError(f"resample_rounds: draws at random; expected order='random', got {self.order!r}")
        if self.feature_store and not (self.freeze_vision or self.freeze or self.lora):
            raise ConfigError("feature_store: needs a vision tower that stays as it is; set freeze_vision=true")
        if self.prompts_per_step % (self.prompts_per_pass or 1):
            raise ConfigError(
                f"prompts_per_pass: expected a divisor of {self.prompts_per_step}, got {self.prompts_per_pass}"
            )
        if self.save_steps % self.num_iterations:
            raise ConfigError(
                f"save_steps: expected a multiple of num_iterations={self.num_iterations}, got {self.save_steps}; "
                "only there does no unfinished batch of completions get lost"
            )

    def check_launch(self, launch: LaunchConfig) -> None:
        """Refuse what training would stop at after it has loaded the model.

        Args:
            launch: How the stage is to be launched.

        Raises:
            ConfigError: Adapters, or sampling in process, on weights that processes share out; questions that they
                cannot share out evenly, or would replace by others.
        """
        if self.lora and launch.spreads_weights:
            raise ConfigError(refused_adapters(launch.launcher))
        if self.rollouts == "in_process" and launch.spreads_weights:
            raise ConfigError(
                f"rollouts: with launcher={launch.launcher!r} each process holds a part of the weights, and cannot "
                "sample by itself; expected rollouts=vllm_colocate or vllm_server, or launcher ddp or deepspeed_zero2"
            )
        if self.resample_rounds and launch.processes > 1:
            raise ConfigError(
                f"resample_rounds: {launch.processes} processes would need different numbers of rounds; expected 0"
            )
        share_of(self.prompts_per_step, self.prompts_per_pass, launch, "prompts_per_step", "prompts_per_pass")

    @property
    def corrects(self) -> bool:
        """Whether completions are weighted by the trainer's own probabilities over vLLM's."""
        return self.rollouts != "in_process" and self.vllm_correction != "none"

    @property
    def weights(self) -> RewardWeights:
        """Weights of the reward terms."""
        return RewardWeights(
            accuracy=self.weight_accuracy,
            format=self.weight_format,
            length=self.weight_length,
            repetition=self.weight_repetition,
        )
