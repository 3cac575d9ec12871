"""Parameters of stage 04."""

from __future__ import annotations

import dataclasses

from geor1.asking.config import AskingConfig, at_least, refuse
from geor1.evaluation.predict import CONDITIONS


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluationConfig(AskingConfig):
    """What to ask and how to score.

    Attributes:
        n_questions: Pairing questions asked of every model, drawn by the seed; all of them if there are fewer.
        rotations: Cyclic shifts of the options asked of each question, 1 … K (5 with K = 5 is a full circle).
        conditions: ``normal`` and the controls, ``blind`` (grey images) and ``shuffled`` (another panorama).
        n_control: Questions asked under each control, the first of those drawn.
        control_rotations: Rotations asked under each control.
        n_geolocation: Questions whose panorama is also to be located; 0 for none.
        max_new_tokens: Limit of a completion in tokens; one cut there is counted as unusable.
        samples: Completions of every question, with seeds of their own; 1 when greedy. The tables score the first,
            ``by_sample`` in ``scores.json`` each of them, ``voting`` the majority's answer and pass@k.
        server_url: ``server``: base address with ``/v1``; the checkpoint of a model is then its name there.
        bootstrap_resamples: Draws behind each bootstrap interval.
        seed: Decides which questions, which shuffled panoramas, every sample and every bootstrap.
    """

    n_questions: int = 400
    rotations: int = 5
    conditions: tuple[str, ...] = CONDITIONS
    n_control: int = 200
    control_rotations: int = 1
    n_geolocation: int = 200
    max_new_tokens: int = 160
    temperature: float = 0.0
    samples: int = 1
    backend: str = "in_process"
    batch_size: int = 32
    dtype: str = "float32"
    context_tokens: int = 8192
    concurrency: int = 16
    timeout_s: float = 300.0
    bootstrap_resamples: int = 2000

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("n_questions", "rotations", "control_rotations"):
            at_least(name, getattr(self, name), 1)
        for name in ("n_control", "n_geolocation"):
            at_least(name, getattr(self, name), 0)
        at_least("bootstrap_resamples", self.bootstrap_resamples, 100)
        unknown = [condition for condition in self.conditions if condition not in CONDITIONS]
        if unknown or "normal" not in self.conditions or len(set(self.conditions)) < len(self.conditions):
            refuse("conditions", self.conditions, f"'normal' and any others of {', '.join(CONDITIONS)}, each once")

    @property
    def controls(self) -> tuple[str, ...]:
        """The conditions other than ``normal``; none when no question is asked under them."""
        return tuple(c for c in self.conditions if c != "normal") if self.n_control else ()
