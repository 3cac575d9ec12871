"""How a teacher is asked, what of its answers is kept, and what it costs."""

from __future__ import annotations

import dataclasses
from typing import Any

from geor1.asking.selection import BACKENDS, DTYPES
from geor1.runs import ConfigError


@dataclasses.dataclass(frozen=True, kw_only=True)
class TeacherConfig:
    """The teacher of stage 01.

    Attributes:
        backend: Who answers: ``server`` (any that speaks the OpenAI chat protocol), ``vllm`` (the package, in this
            process) or ``in_process``. In a profile of stage 01, ``teacher`` decides it.
        model: Name that the server serves the model under; hub name or folder for the others.
        templates: Prompts, by name (``positive``, ``distractors``, ``search``, ``geolocation``) or as text files.
        questions: Questions asked under each template, the first of the file; 0 for all.
        samples: Most completions drawn of a question; no more are drawn once ``keep`` have passed.
        keep: Chains kept of a question, at most.
        temperature: Of the sampling; above 0 if ``samples`` is above 1.
        max_new_tokens: Limit of a completion; one cut there is rejected.
        min_tokens: Shortest completion kept, in tokens as the server counts them (else words and marks are counted).
        max_tokens: Longest completion kept, likewise.
        min_words: Shortest chain that the prompt asks for.
        max_words: Longest chain that the prompt asks for.
        min_true_claims: Claims of a chain that the metadata must bear out.
        tolerance_km: How far coordinates of a chain may lie from the truth.
        duplicate_similarity: Jaccard similarity of five-word shingles from which a chain is a duplicate; 1.0 for equal
            texts only.
        generations: Folder of the generations, where several runs are to share them; empty for the run's own.
        batch_size: Prompts generated together, ``vllm`` and ``in_process``.
        dtype: Number type of the weights, ``vllm`` and ``in_process``.
        context_tokens: ``vllm``: longest prompt with its images and completion.
        images_per_prompt: ``vllm``: most images of one prompt.
        server_url: ``server``: base address with ``/v1``.
        key_variable: ``server``: environment variable that holds the key; none is sent if it is unset.
        concurrency: ``server``: requests under way at a time.
        timeout_s: ``server``: longest wait for a reply, in seconds.
        max_attempts: ``server``: attempts a request before it counts as an error.
        keep_errors: Reject what ended in an error instead of asking it again.
        usd_per_million_in: Price of a million prompt tokens, US dollars.
        usd_per_million_out: Price of a million completion tokens, US dollars.
        seed: Of the sampling.
    """

    backend: str = "server"
    model: str = ""
    templates: tuple[str, ...] = ("positive",)
    questions: int = 0
    samples: int = 4
    keep: int = 1
    temperature: float = 0.7
    max_new_tokens: int = 2048
    min_tokens: int = 120
    max_tokens: int = 2048
    min_words: int = 250
    max_words: int = 700
    min_true_claims: int = 0
    tolerance_km: float = 100.0
    duplicate_similarity: float = 0.8
    generations: str = ""
    batch_size: int = 256
    dtype: str = "bfloat16"
    context_tokens: int = 16384
    images_per_prompt: int = 8
    server_url: str = "http://127.0.0.1:8000/v1"
    key_variable: str = "OPENAI_API_KEY"
    concurrency: int = 32
    timeout_s: float = 600.0
    max_attempts: int = 6
    keep_errors: bool = False
    usd_per_million_in: float = 0.0
    usd_per_million_out: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        _one_of("backend", self.backend, BACKENDS)
        _one_of("dtype", self.dtype, DTYPES)
        counts = ("samples", "keep", "max_new_tokens", "batch_size", "context_tokens", "images_per_prompt")
        for name in (*counts, "concurrency", "max_attempts", "min_words"):
            _between(name, getattr(self, name), 1)
        for name in ("questions", "min_tokens", "min_true_claims", "temperature", "tolerance_km", "seed"):
            _between(name, getattr(self, name), 0)
        for name in ("usd_per_million_in", "usd_per_million_out"):
            _between(name, getattr(self, name), 0)
        if not self.templates or len(set(self.templates)) < len(self.templates):
            _refuse("templates", self.templates, "at least one, each once")
        if self.keep > self.samples:
            _refuse("keep", self.keep, f"at most samples={self.samples}")
        if self.samples > 1 and self.temperature == 0:
            _refuse("samples", self.samples, "1 where temperature is 0: greedy completions are all the same")
        if self.max_tokens < max(1, self.min_tokens):
            _refuse("max_tokens", self.max_tokens, f"at least min_tokens={self.min_tokens}")
        if self.max_words < self.min_words:
            _refuse("max_words", self.max_words, f"at least min_words={self.min_words}")
        if not 0.0 < self.duplicate_similarity <= 1.0:
            _refuse("duplicate_similarity", self.duplicate_similarity, "above 0, at most 1")
        if not 0.0 < self.timeout_s < float("inf"):
            _refuse("timeout_s", self.timeout_s, "seconds above 0")
        if not self.server_url.startswith(("http://", "https://")):
            _refuse("server_url", self.server_url, "http://… or https://…, up to and with /v1")


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        _refuse(name, value, f"one of {', '.join(allowed)}")


def _between(name: str, value: float, low: float) -> None:
    if not low <= value < float("inf"):
        _refuse(name, value, f"{low:g} or more")


def _refuse(name: str, value: Any, expected: str) -> None:
    raise ConfigError(f"{name}={value!r}: expected {expected}")
