"""TRL's GRPOTrainer with every moment of a step charged to a phase, and its work counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import TrainerCallback
from trl import GRPOTrainer

from geor1.grpo.accounting import PhaseClock, Work, bounds, cost_model, count_work, measure_peak
from geor1.models.encoding import EncodedPrompt


class TimedTrainer(GRPOTrainer):
    """GRPOTrainer that knows where its time goes; arguments are its own.

    What samples and scores charges its phases itself and adds to the counts below.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._clock = PhaseClock(self.accelerator.device)
        self._cost = cost_model(self.core())
        mixed = {"bf16": torch.bfloat16, "fp16": torch.float16}
        self._compute_dtype = mixed.get(self.accelerator.mixed_precision, self.core().dtype)
        self._peak = measure_peak(self.accelerator.device, self._compute_dtype)
        self._rolled_out, self._scored = Work(), Work()
        self._decode_steps = self._references = 0
        backward = self.accelerator.backward

        def timed_backward(*arguments: Any, **named: Any) -> None:
            """The accelerator's own, charged to its phase."""
            with self._clock.phase("backward"):
                backward(*arguments, **named)

        self.accelerator.backward = timed_backward  # type: ignore[method-assign]
        self.add_callback(_StartClock(self._clock))

    @property
    def shards_weights(self) -> bool:
        """Whether each process holds a part of the weights only."""
        return self._dist.is_fsdp or self._dist.is_zero3

    def core(self, model: Any = None) -> Any:
        """The plain Qwen-VL model inside wrappers and adapters."""
        model = self.accelerator.unwrap_model(self.model if model is None else model)
        return model.get_base_model() if hasattr(model, "peft_config") else model

    def _calculate_rewards(self, *arguments: Any, **named: Any) -> torch.Tensor:
        with self._clock.phase("rewards"):
            return super()._calculate_rewards(*arguments, **named)

    def get_batch_samples(self, *arguments: Any, **named: Any) -> Any:
        """The trainer's own, charged to ``data``."""
        with self._clock.phase("data"):
            return super().get_batch_samples(*arguments, **named)

    def training_step(self, *arguments: Any, **named: Any) -> torch.Tensor:
        """The trainer's own; what is in none of the other phases is charged to ``forward``, what follows the last one
        to ``optimiser``."""
        with self._clock.phase("forward"):
            loss = super().training_step(*arguments, **named)
        self._clock.switch("optimiser")
        return loss

    def _maybe_log_save_evaluate(self, *arguments: Any, **named: Any) -> None:
        self._clock.switch("other")
        super()._maybe_log_save_evaluate(*arguments, **named)

    def _save_checkpoint(self, *arguments: Any, **named: Any) -> None:
        with self._clock.phase("saving"):
            super()._save_checkpoint(*arguments, **named)

    def _work(self, prompts: Sequence[EncodedPrompt], lengths: Sequence[int], *, scoring: bool) -> Work:
        """Work of prompts and their completions, prompt-major; scoring finds features that sampling remembered."""
        group = self.num_generations
        counted = (
            count_work(
                len(prompt.input_ids),
                [image.grid_thw for image in prompt.images if not (scoring and image.features)],
                lengths[place * group : (place + 1) * group],
                window_patches=self._cost.window_patches,
            )
            for place, prompt in enumerate(prompts)
        )
        return sum(counted, Work())

    def _account(self) -> dict[str, float]:
        """Figures since the last log line: work of all processes (the same in every run) and this one's times
        (``phase/…``, not in the trace)."""
        least = bounds(
            self._cost,
            self._peak,
            self._rolled_out,
            self._scored,
            decode_steps=self._decode_steps,
            references=self._references,
            trains_vision=_trained_share(self.core().model.visual),
            trains_language=_trained_share(self.core().model.language_model),
        )
        own = {
            "work/prompt_tokens": self._rolled_out.prompt_tokens,
            "work/completion_tokens": self._rolled_out.completion_tokens,
            "work/patches": self._rolled_out.patches,
            "work/scored_completion_tokens": self._scored.completion_tokens,
            "work/forward_tflop": self._cost.forward(self._scored) / 1e12,
        }
        total = torch.tensor(list(own.values()), dtype=torch.float64, device=self.accelerator.device)
        figures = dict(zip(own, self.accelerator.reduce(total, "sum").tolist(), strict=True))
        figures.update({f"phase/{name}": value for name, value in self._clock.lap().items()})
        figures.update({f"phase/{name}_bound_s": round(value, 5) for name, value in least.items()})
        self._rolled_out, self._scored = Work(), Work()
        self._decode_steps = self._references = 0
        return figures


class _StartClock(TrainerCallback):
    """Leaves what came before the training loop out of the first step."""

    def __init__(self, clock: PhaseClock) -> None:
        self._clock = clock

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        """Begin the first lap."""
        self._clock.lap()


def _trained_share(module: torch.nn.Module) -> float:
    """Share of a module's weights that train."""
    total = sum(parameter.numel() for parameter in module.parameters())
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad) / total
