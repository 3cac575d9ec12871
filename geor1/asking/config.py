"""What every config that has a model answer says of who answers and how it is asked."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

from geor1.runs import ConfigError

BACKENDS = ("in_process", "vllm", "server")
DTYPES = ("float32", "bfloat16", "float16")


@dataclasses.dataclass(frozen=True, kw_only=True)
class AskingConfig:
    """Who answers, and how it is asked.

    Attributes:
        backend: Who answers: ``in_process``, ``vllm`` (the package, in this process) or ``server`` (any that speaks the
            OpenAI chat protocol).
        max_new_tokens: Limit of a completion in tokens.
        temperature: 0 for greedy decoding.
        samples: Completions of every question, with seeds of their own; 1 when greedy.
        batch_size: Prompts generated together, ``in_process`` and ``vllm``.
        dtype: Number type of the weights, ``in_process`` and ``vllm``: ``float32``, ``bfloat16`` or ``float16``; a
            server chooses its own.
        context_tokens: ``vllm``: longest prompt with its images and completion; a prompt that leaves less room than
            ``max_new_tokens`` ends the run, since vLLM would cut long completions there and no others.
        vllm_gpu_memory: ``vllm``: share of a GPU's memory that it takes, above 0, at most 1.
        server_url: ``server``: base address with ``/v1``.
        revision: ``server``: which weights stand behind the model's name, in words of your own, where the server cannot
            tell. Answers of another revision are others: they are kept apart and asked for anew.
        any_server: ``server``: go on where it reports another model behind the name than the one that gave the answers
            kept so far; for the same weights under another path.
        key_variable: ``server``: environment variable that holds the key; none is sent if it is unset.
        concurrency: ``server``: requests under way at a time.
        timeout_s: ``server``: longest wait for a reply, in seconds.
        max_attempts: ``server``: attempts a request before it counts as an error.
        keep_errors: Take what ended in an error as it is, as wrong or rejected by name, instead of asking it again.
        seed: Of the sampling.
    """

    # A server moves, and memory and patience change nothing but the time: a run goes on with other values of these.
    NO_PART_OF_KEY: ClassVar[frozenset[str]] = frozenset(
        ("vllm_gpu_memory", "server_url", "any_server", "key_variable", "concurrency", "timeout_s", "max_attempts")
    )

    backend: str
    max_new_tokens: int
    temperature: float
    samples: int
    batch_size: int
    dtype: str
    context_tokens: int
    vllm_gpu_memory: float = 0.9
    server_url: str = "http://127.0.0.1:8000/v1"
    revision: str = ""
    any_server: bool = False
    key_variable: str = "OPENAI_API_KEY"
    concurrency: int
    timeout_s: float
    max_attempts: int = 6
    keep_errors: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        one_of("backend", self.backend, BACKENDS)
        one_of("dtype", self.dtype, DTYPES)
        for name in ("max_new_tokens", "samples", "batch_size", "context_tokens"):
            at_least(name, getattr(self, name), 1)
        for name, low in (("concurrency", 1), ("max_attempts", 1), ("temperature", 0), ("seed", 0)):
            at_least(name, getattr(self, name), low)
        if self.samples > 1 and self.temperature == 0:
            refuse("samples", self.samples, "1 where temperature is 0: greedy completions are all the same")
        if not 0.0 < self.vllm_gpu_memory <= 1.0:
            refuse("vllm_gpu_memory", self.vllm_gpu_memory, "above 0, at most 1")
        if not 0.0 < self.timeout_s < float("inf"):
            refuse("timeout_s", self.timeout_s, "seconds above 0")
        if not self.server_url.startswith(("http://", "https://")):
            refuse("server_url", self.server_url, "http://… or https://…, up to and with /v1")
        if self.backend == "vllm" and self.max_new_tokens >= self.context_tokens:
            refuse(
                "context_tokens",
                self.context_tokens,
                f"room for a prompt beside max_new_tokens={self.max_new_tokens}; raise it or lower that",
            )
        if self.revision and self.backend != "server":
            refuse("revision", self.revision, f"none with backend={self.backend!r}, whose weights are known by content")


def one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    """Refuse a value that is none of those allowed; ConfigError names the field."""
    if value not in allowed:
        refuse(name, value, f"one of {', '.join(allowed)}")


def at_least(name: str, value: float, low: float) -> None:
    """Refuse a number below a bound or without one above; ConfigError names the field."""
    if not low <= value < float("inf"):
        refuse(name, value, f"{low:g} or more")


def refuse(name: str, value: Any, expected: str) -> None:
    """Raise the ConfigError of one field."""
    raise ConfigError(f"{name}={value!r}: expected {expected}")
