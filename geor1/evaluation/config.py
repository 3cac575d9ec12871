"""Parameters of stage 04."""

from __future__ import annotations

import dataclasses
from typing import Any

from geor1.evaluation.predict import CONDITIONS
from geor1.runs import ConfigError


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """What to ask and how to score.

    Attributes:
        n_questions: Pairing questions asked of every model, drawn by the seed; all of them if there are fewer.
        rotations: Cyclic shifts of the options asked of each question, 1 … K (5 with K = 5 is a full circle).
        conditions: ``normal`` and the controls, ``blind`` (grey images) and ``shuffled`` (another panorama).
        n_control: Questions asked under each control, the first of those drawn.
        control_rotations: Rotations asked under each control.
        n_geolocation: Questions whose panorama is also to be located; 0 for none.
        max_new_tokens: Limit of a completion in tokens; one cut there is counted as unusable.
        batch_size: Prompts generated together.
        dtype: Number type of the weights: ``float32``, ``bfloat16`` or ``float16``.
        bootstrap_resamples: Draws behind each bootstrap interval.
        seed: Decides which questions, which shuffled panoramas and every bootstrap.
    """

    n_questions: int = 400
    rotations: int = 5
    conditions: tuple[str, ...] = CONDITIONS
    n_control: int = 200
    control_rotations: int = 1
    n_geolocation: int = 200
    max_new_tokens: int = 160
    batch_size: int = 32
    dtype: str = "float32"
    bootstrap_resamples: int = 2000
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("n_questions", "rotations", "control_rotations", "max_new_tokens", "batch_size"):
            _at_least(name, getattr(self, name), 1)
        for name in ("n_control", "n_geolocation", "seed"):
            _at_least(name, getattr(self, name), 0)
        _at_least("bootstrap_resamples", self.bootstrap_resamples, 100)
        if self.dtype not in ("float32", "bfloat16", "float16"):
            _refuse("dtype", self.dtype, "float32, bfloat16 or float16")
        unknown = [condition for condition in self.conditions if condition not in CONDITIONS]
        if unknown or "normal" not in self.conditions or len(set(self.conditions)) < len(self.conditions):
            _refuse("conditions", self.conditions, f"'normal' and any others of {', '.join(CONDITIONS)}, each once")

    @property
    def controls(self) -> tuple[str, ...]:
        """The conditions other than ``normal``; none when no question is asked under them."""
        return tuple(c for c in self.conditions if c != "normal") if self.n_control else ()


def _at_least(name: str, value: int, low: int) -> None:
    if value < low:
        _refuse(name, value, f"{low} or more")


def _refuse(name: str, value: Any, expected: str) -> None:
    raise ConfigError(f"{name}={value!r}: expected {expected}")
