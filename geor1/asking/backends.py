"""Who answers: one small interface in front of the model in this process, vLLM in this process, or a server.

A back-end takes requests and hands completions back as they finish. What went wrong with one request is a completion
with a named error; what makes every further request pointless (a wrong key, an unknown model) is a
:class:`BackendError`, raised after everything under way has been handed over.
"""

from __future__ import annotations

import dataclasses
import gc
import itertools
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import StrEnum
from typing import Any, Protocol

from PIL import Image

from geor1.answers import IMAGE_MARKER
from geor1.asking.images import data_url

REFUSED = "refused"
"""Status of a completion that a provider's filter withheld: an answer, of a kind, and never asked for again."""


class RequestFailure(StrEnum):
    """Why a request got no completion; such a question is asked again in the next run."""

    API_ERROR = "api_error"
    """The server refused or failed (429, 5xx, no connection) at every attempt."""
    TIMEOUT = "timeout"
    """No whole reply in time, at the last attempt."""
    BROKEN_REPLY = "broken_reply"
    """A reply that was cut off, not JSON, or not a chat completion, at the last attempt."""
    CONTEXT_LENGTH = "context_length"
    """Prompt and images do not fit the model's context; asking the same server again does not help."""


PASSING_FAILURES = frozenset(RequestFailure) - {RequestFailure.CONTEXT_LENGTH}


class BackendError(RuntimeError):
    """No further request can succeed: a wrong key, address or model name, or a server that is gone."""


class UnansweredError(RuntimeError):
    """Questions ended in errors that may pass; asking again is for them alone."""


@dataclasses.dataclass(frozen=True)
class Request:
    """One question as a model gets it.

    Attributes:
        prompt: User text; each ``<image>`` marker stands where the next image goes.
        images: RGB pictures in the order of the markers, free of metadata.
        max_new_tokens: Tokens at which the completion is cut.
        temperature: 0 for greedy decoding.
        seed: Seed of the sampling; no meaning when greedy.
    """

    prompt: str
    images: tuple[Image.Image, ...]
    max_new_tokens: int
    temperature: float
    seed: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Completion:
    """What became of one request.

    Attributes:
        text: The completion, empty after an error.
        completion_tokens: Its length in tokens, if known.
        prompt_tokens: Length of the prompt with its images in tokens, if known.
        finished: Whether the model ended it itself (False: cut at the limit).
        refused: Whether the provider's filter withheld it.
        failure: Name of the error, None if there is a completion.
        detail: What the server or library said about the error.
    """

    text: str = ""
    completion_tokens: int | None = None
    prompt_tokens: int | None = None
    finished: bool = True
    refused: bool = False
    failure: RequestFailure | None = None
    detail: str = ""


def chat_messages(request: Request) -> list[dict[str, Any]]:
    """A request as one user turn of an OpenAI-style chat, its images as bare PNG in ``data:`` URLs.

    Raises:
        ValueError: Markers and images differ in number.
    """
    texts = request.prompt.split(IMAGE_MARKER)
    if len(texts) - 1 != len(request.images):
        raise ValueError(f"prompt has {len(texts) - 1} {IMAGE_MARKER} markers, got {len(request.images)} images")
    content: list[dict[str, Any]] = []
    for index, text in enumerate(texts):
        if index:
            content.append({"type": "image_url", "image_url": {"url": data_url(request.images[index - 1])}})
        if text:
            content.append({"type": "text", "text": text})
    return [{"role": "user", "content": content}]


Finished = list[tuple[int, Completion]]
"""Completions that finished together, each with the place of its request, counted from 0."""


class Backend(Protocol):
    """Anything that answers requests.

    Attributes:
        name: Kept with every prediction: whatever changes answers without being in a request.
    """

    name: str

    def identity(self) -> str | None:
        """Which model answers now, as far as only the one who answers can tell; None where its weights are known here.

        Raises:
            BackendError: As its class says.
        """
        ...

    def complete(self, requests: Iterable[Request]) -> Iterator[Finished]:
        """Answer requests, drawing them as they are needed; every place comes back exactly once, in any order.

        Nothing new is begun before the caller has taken what was handed out, so that a caller who writes it down at
        once never has more unwritten than is under way.

        Raises:
            BackendError: As its class says.
        """
        ...

    def close(self) -> None:
        """Give back the memory of what was loaded, so that another model finds room; the next prompt loads it anew."""
        ...


def free_memory() -> None:
    """Collect what nothing refers to any more, and give the GPU memory that torch keeps for reuse back."""
    gc.collect()
    torch = sys.modules.get("torch")  # never loaded for this
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


class InProcess:
    """The model in this process: greedy prompts in batches, an image that several of a batch show encoded once.

    Sampled prompts run one by one: in a batch, one seed would serve all and a completion depend on its neighbours. For
    many samples take vLLM or a server, which seed every request.

    Args:
        load: () -> (model, processor), called before the first prompt.
        batch_size: Prompts generated together.
        dtype: Number type of the weights, for the name.
        generate: As ``geor1.models.generate.generate``, which is used when None.
    """

    def __init__(
        self,
        load: Callable[[], tuple[Any, Any]],
        batch_size: int,
        dtype: str = "float32",
        generate: Callable[..., Sequence[Any]] | None = None,
    ) -> None:
        self.name = f"in_process {dtype}"
        self._load, self._batch_size, self._generate = load, batch_size, generate
        self._loaded: tuple[Any, Any] | None = None

    def identity(self) -> None:
        """None: weights in this process are known by their hash."""

    def complete(self, requests: Iterable[Request]) -> Iterator[Finished]:
        """Answer requests batch by batch; see :class:`Backend`."""
        numbered = enumerate(requests)
        while batch := list(itertools.islice(numbered, self._batch_size)):
            for settings, group in _by_settings(batch).items():
                yield from self._answer(group, *settings)

    def close(self) -> None:
        """Drop the model."""
        self._loaded = None
        free_memory()

    def _answer(
        self, group: list[tuple[int, Request]], max_new_tokens: int, temperature: float, seed: int
    ) -> Iterator[Finished]:
        for part in [group] if temperature == 0 else [[one] for one in group]:
            generations = self._generator()(
                *self._model(),
                [request.prompt for _, request in part],
                [list(request.images) for _, request in part],
                max_new_tokens=max_new_tokens,
                temperature=temperature,
                seed=seed,
                batch_size=self._batch_size,
            )
            yield [
                (place, Completion(text=g.text, completion_tokens=g.completion_tokens, finished=g.finished))
                for (place, _), g in zip(part, generations, strict=True)
            ]

    def _model(self) -> tuple[Any, Any]:
        if self._loaded is None:
            self._loaded = self._load()
        return self._loaded

    def _generator(self) -> Callable[..., Sequence[Any]]:
        if self._generate is None:
            from geor1.models.generate import generate

            self._generate = generate
        return self._generate


def _by_settings(batch: list[tuple[int, Request]]) -> dict[tuple[int, float, int], list[tuple[int, Request]]]:
    groups: dict[tuple[int, float, int], list[tuple[int, Request]]] = {}
    for place, request in batch:
        groups.setdefault((request.max_new_tokens, request.temperature, request.seed), []).append((place, request))
    return groups
