"""Parameters of stage 04."""

from __future__ import annotations

import dataclasses
from typing import Any

from geor1.asking.selection import BACKENDS, DTYPES
from geor1.evaluation.predict import CONDITIONS
from geor1.runs import ConfigError

_AT_LEAST_ONE = (
    "n_questions",
    "rotations",
    "control_rotations",
    "max_new_tokens",
    "samples",
    "batch_size",
    "context_tokens",
    "images_per_prompt",
    "concurrency",
    "max_attempts",
)


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
        temperature: 0 for greedy decoding.
        samples: Completions of every question, with seeds of their own; 1 when greedy. The tables score the first,
            ``by_sample`` in ``scores.json`` each of them, ``voting`` the majority's answer and pass@k.
        backend: Who generates: ``in_process``, ``vllm`` (the package, in this process) or ``server`` (any that speaks
            the OpenAI chat protocol).
        batch_size: Prompts generated together, ``in_process`` and ``vllm``.
        dtype: Number type of the weights: ``float32``, ``bfloat16`` or ``float16``; a server chooses its own.
        context_tokens: ``vllm``: longest prompt with its images and completion.
        images_per_prompt: ``vllm``: most images of one prompt.
        server_url: ``server``: base address with ``/v1``; the checkpoint of a model is then its name there.
        key_variable: ``server``: environment variable that holds the key; none is sent if it is unset.
        concurrency: ``server``: requests under way at a time.
        timeout_s: ``server``: longest wait for a reply, in seconds.
        max_attempts: ``server``: attempts a request before it counts as an error.
        keep_errors: Score questions that ended in an error (as wrong, by name) instead of asking them again.
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
    images_per_prompt: int = 6
    server_url: str = "http://127.0.0.1:8000/v1"
    key_variable: str = "OPENAI_API_KEY"
    concurrency: int = 16
    timeout_s: float = 300.0
    max_attempts: int = 6
    keep_errors: bool = False
    bootstrap_resamples: int = 2000
    seed: int = 0

    def __post_init__(self) -> None:
        for name in _AT_LEAST_ONE:
            _at_least(name, getattr(self, name), 1)
        for name in ("n_control", "n_geolocation", "seed"):
            _at_least(name, getattr(self, name), 0)
        _at_least("bootstrap_resamples", self.bootstrap_resamples, 100)
        if self.dtype not in DTYPES:
            _refuse("dtype", self.dtype, ", ".join(DTYPES))
        if self.backend not in BACKENDS:
            _refuse("backend", self.backend, ", ".join(BACKENDS))
        if not self.server_url.startswith(("http://", "https://")):
            _refuse("server_url", self.server_url, "http://… or https://…, up to and with /v1")
        if not 0 < self.timeout_s < float("inf"):
            _refuse("timeout_s", self.timeout_s, "seconds above 0")
        if not 0 <= self.temperature < float("inf"):
            _refuse("temperature", self.temperature, "0 (greedy) or more")
        if self.samples > 1 and self.temperature == 0:
            _refuse("samples", self.samples, "1 where temperature is 0: greedy completions are all the same")
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
