"""Any server that speaks the OpenAI chat protocol (``vllm serve``, a provider), asked patiently and in parallel.

What may pass is tried again: 408, 429, 5xx, time-outs, refused and reset connections, replies that are cut off or not
JSON. The wait doubles with every attempt and is drawn at random below that, so that parallel requests do not come back
together; a ``Retry-After`` of the server is kept. What cannot pass (400, 401, 403, 404, 422) stops the run with what
the server said, except a 400 or 413 about one request's length, which is that request's own error.

Source: protocol of vLLM's ``vllm/entrypoints/openai`` and of the OpenAI chat completions API. Unlike the official
client, redirects are refused: they would carry the key to another host.
"""

from __future__ import annotations

import concurrent.futures
import email.utils
import http.client
import json
import logging
import os
import random
import re
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from typing import Any

from geor1.asking.backends import (
    PASSING_FAILURES,
    BackendError,
    Completion,
    Finished,
    Request,
    RequestFailure,
    chat_messages,
)

logger = logging.getLogger(__name__)

_PASSING_STATUS = frozenset((408, 429, *range(500, 600)))  # 520 to 529 are those of proxies before a server
_TOO_LONG = re.compile(
    r"context.?length|context window|maximum model length|max_model_len|too (?:many tokens|long|large)|longer than the",
    re.IGNORECASE,
)
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 60.0
_LONGEST_RETRY_AFTER_S = 600.0
_GIVE_UP_AFTER = 20  # requests in a row that failed at every attempt: the server is gone
_SHOWN = 300  # characters of a server's words that are repeated
# What a server says of the model behind a name that tells its weights: vLLM's root is the folder or hub name served, an
# adapter's parent its base. Not "created", which vLLM, SGLang and llama.cpp set to the time of the question, nor
# "max_model_len", a setting of the server that changes no answer that fits.
_IDENTITY = ("root", "parent", "owned_by")
# vLLM takes what a request leaves out from the checkpoint's generation_config.json, a repetition penalty for one. The
# model in process does not use those, so they are switched off by name.
_VLLM_NEUTRAL = {"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0}


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """Follow none: the key would go with it."""


class _Failure(Exception):
    """One attempt's failure that another attempt may mend."""

    def __init__(self, kind: RequestFailure, detail: str, retry_after_s: float | None = None) -> None:
        super().__init__(detail)
        self.kind, self.detail, self.retry_after_s = kind, detail, retry_after_s


class _TooLong(Exception):
    """The prompt does not fit the model's context."""


class ServerBackend:
    """Asks an OpenAI-compatible server; see the module's text for what is tried again.

    Args:
        url: Base address up to and with ``/v1``.
        model: Name that the server serves the model under; ``vllm serve PATH`` uses the path.
        concurrency: Requests under way at a time.
        timeout_s: Longest wait for the head of a reply, and then again for its body, in seconds.
        max_attempts: Attempts a request, the first included.
        key_variable: Environment variable with the key; no key is sent if it is unset.
        first_wait_s: Longest wait before the second attempt, in seconds; doubled for each one after.
    """

    def __init__(
        self,
        url: str,
        model: str,
        *,
        concurrency: int,
        timeout_s: float,
        max_attempts: int,
        key_variable: str = "OPENAI_API_KEY",
        first_wait_s: float = _FIRST_WAIT_S,
    ) -> None:
        self.name = "server"
        self.url, self.model = url.rstrip("/"), model
        self._concurrency, self._timeout_s, self._max_attempts = concurrency, timeout_s, max_attempts
        self._key_variable, self._first_wait_s = key_variable, first_wait_s
        self._opener = urllib.request.build_opener(_NoRedirect())
        self._waits = random.Random()  # of the waits alone, so no result depends on it
        self._stopped = threading.Event()
        self._failed_in_a_row = 0
        self._asking_models = threading.Lock()
        self._extras: dict[str, Any] | None = None

    def identity(self) -> str | None:
        """What the server reports of the model behind the name, asked anew; None if it says nothing of it.

        Raises:
            BackendError: It cannot be asked at any of ``max_attempts`` attempts.
        """
        for attempt in range(1, self._max_attempts + 1):
            try:
                served = next((one for one in self._models() if one.get("id") == self.model), {})
                return " ".join(f"{name}={served[name]}" for name in _IDENTITY if served.get(name)) or None
            except _Failure as error:
                failure = error
            if attempt < self._max_attempts:
                time.sleep(self._wait_s(attempt, failure.retry_after_s))
        raise BackendError(
            f"{self.url}/models cannot be read at any of {attempt} attempts ({failure.detail}); see to the server, or "
            "to server_url, and run the same command again: what is done is kept"
        )

    def close(self) -> None:
        """Nothing: the server has the model."""

    def complete(self, requests: Iterable[Request]) -> Iterator[Finished]:
        """Answer requests, ``concurrency`` at a time; see :class:`geor1.asking.backends.Backend`.

        Raises:
            BackendError: The server refuses the key, the model or the form of a request, or 20 requests in a row failed
                at every attempt.
        """
        numbered = enumerate(requests)
        running: dict[concurrent.futures.Future[Completion], int] = {}
        fatal: Exception | None = None
        self._stopped.clear()
        executor = concurrent.futures.ThreadPoolExecutor(self._concurrency, thread_name_prefix="ask")
        try:
            while True:
                while fatal is None and len(running) < self._concurrency:
                    try:
                        place, request = next(numbered)
                    except StopIteration:
                        break
                    except Exception as error:  # a broken image, say: what is under way is paid for and kept
                        fatal = error
                        break
                    running[executor.submit(self._answer, request)] = place
                if not running:
                    break
                done, _ = concurrent.futures.wait(running, return_when=concurrent.futures.FIRST_COMPLETED)
                finished, error = _collect(done, running)
                for _, completion in finished:
                    passing = completion.failure in PASSING_FAILURES
                    self._failed_in_a_row = self._failed_in_a_row + 1 if passing else 0
                if finished:
                    yield finished
                fatal = fatal or error or self._gone(finished)
                if fatal is not None:
                    self._stopped.set()  # those waiting to try again give up now
        finally:
            self._stopped.set()
            executor.shutdown(wait=False, cancel_futures=True)
        if fatal is not None:
            raise fatal

    def _gone(self, finished: Finished) -> BackendError | None:
        if self._failed_in_a_row < _GIVE_UP_AFTER or not finished:
            return None
        return BackendError(
            f"{self.url}: {self._failed_in_a_row} requests in a row failed at each of {self._max_attempts} attempts "
            f"(the last: {finished[-1][1].detail}); see to the server and run the same command again: what is done is "
            "kept"
        )

    def _answer(self, request: Request) -> Completion:
        """One request, attempt after attempt."""
        for attempt in range(1, self._max_attempts + 1):
            try:
                return _read_completion(self._call("/chat/completions", self._body(request)))
            except _TooLong as error:
                return Completion(failure=RequestFailure.CONTEXT_LENGTH, detail=str(error))
            except _Failure as error:
                failure = error
            if attempt < self._max_attempts and self._stopped.wait(self._wait_s(attempt, failure.retry_after_s)):
                break
        return Completion(failure=failure.kind, detail=f"{failure.detail} (attempt {attempt} of {self._max_attempts})")

    def _wait_s(self, attempt: int, retry_after_s: float | None) -> float:
        """Seconds before the next attempt: at random below a doubling limit, never less than the server asked for."""
        drawn = self._waits.uniform(0.0, min(_LONGEST_WAIT_S, self._first_wait_s * 2.0 ** (attempt - 1)))
        return max(drawn, min(retry_after_s or 0.0, _LONGEST_RETRY_AFTER_S))

    def _body(self, request: Request) -> bytes:
        asked = {
            "model": self.model,
            "messages": chat_messages(request),
            "max_tokens": request.max_new_tokens,
            "temperature": request.temperature,
            "top_p": 1.0,
            "seed": request.seed,
        }
        return json.dumps({**asked, **self._neutral_settings()}).encode()

    def _neutral_settings(self) -> dict[str, Any]:
        """Settings beyond OpenAI's that vLLM needs to be told; other servers would refuse them."""
        with self._asking_models:
            if self._extras is None:
                self._models()
            return self._extras or {}

    def _models(self) -> list[dict[str, Any]]:
        """What the server says that it serves; empty if it does not tell.

        Raises:
            _Failure: Another attempt may succeed.
        """
        try:
            models = [dict(one) for one in json.loads(self._call("/models", None))["data"]]
        except (BackendError, _TooLong, ValueError, KeyError, TypeError) as error:
            logger.info("%s/models says nothing of the server (%s); taken for a plain one", self.url, error)
            models = []
        self._extras = _VLLM_NEUTRAL if any(one.get("owned_by") == "vllm" for one in models) else {}
        return models

    def _call(self, path: str, body: bytes | None) -> bytes:
        """One attempt.

        Raises:
            _Failure: Another attempt may succeed.
            _TooLong: The request does not fit the model.
            BackendError: No attempt will.
        """
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if key := os.environ.get(self._key_variable):
            headers["Authorization"] = f"Bearer {key}"
        request = urllib.request.Request(self.url + path, data=body, headers=headers)
        try:
            with self._opener.open(request, timeout=self._timeout_s) as response:
                return _read_whole(response, self._timeout_s)
        except urllib.error.HTTPError as error:
            raise self._refusal(error) from error
        except TimeoutError as error:
            raise self._late() from error
        except urllib.error.URLError as error:
            if isinstance(error.reason, TimeoutError):
                raise self._late() from error
            raise _Failure(RequestFailure.API_ERROR, f"no connection: {error.reason}") from error
        except (OSError, http.client.HTTPException) as error:  # reset, unreachable, or broken off within TLS
            raise _Failure(RequestFailure.BROKEN_REPLY, f"connection broke: {error!r}") from error

    def _late(self) -> _Failure:
        return _Failure(RequestFailure.TIMEOUT, f"no whole reply within {self._timeout_s:g} s")

    def _refusal(self, error: urllib.error.HTTPError) -> Exception:
        try:
            said = " ".join(error.read(1 << 16).decode("utf-8", "replace").split())[:_SHOWN]
        except (OSError, http.client.HTTPException):
            said = "(the explanation was cut off)"
        if error.code in _PASSING_STATUS:
            return _Failure(RequestFailure.API_ERROR, f"HTTP {error.code}: {said}", _retry_after_s(error.headers))
        if error.code == 413 or (error.code == 400 and _TOO_LONG.search(said)):
            return _TooLong(f"HTTP {error.code}: {said}")
        hint = {
            401: f"set the key in ${self._key_variable}",
            403: f"the key in ${self._key_variable} may not use this model",
            404: f"check the address and that it serves {self.model!r} ({self.url}/models lists what it serves)",
        }.get(error.code, "see what the server expects")
        return BackendError(f"{self.url} refuses requests, HTTP {error.code}: {said}; {hint}; what is done is kept")


def _collect(
    done: Iterable[concurrent.futures.Future[Completion]], running: dict[concurrent.futures.Future[Completion], int]
) -> tuple[Finished, Exception | None]:
    """Completions of the requests that ended, and what one of them raised."""
    finished: Finished = []
    fatal: Exception | None = None
    for future in done:
        place, error = running.pop(future), future.exception()
        if isinstance(error, Exception):
            fatal = error
        else:
            finished.append((place, future.result()))
    return finished, fatal


def _read_whole(response: Any, timeout_s: float) -> bytes:
    """The body, whole or not at all, within a time.

    Raises:
        TimeoutError: It trickles in too slowly.
        http.client.IncompleteRead: It ends before its announced length.
    """
    deadline = time.monotonic() + timeout_s
    chunks = []
    while chunk := response.read1(1 << 16):
        chunks.append(chunk)
        if time.monotonic() > deadline:
            raise TimeoutError
    if response.length:  # what Content-Length announced and did not come; read1 does not raise for it
        raise http.client.IncompleteRead(b"".join(chunks), response.length)
    return b"".join(chunks)


def _read_completion(body: bytes) -> Completion:
    """The completion in a reply.

    Raises:
        _Failure: The reply is not a chat completion.
    """
    try:
        reply = json.loads(body)
        choice = reply["choices"][0]
        message, reason = choice["message"], choice.get("finish_reason")
        text = message.get("content")
        thought = message.get("reasoning_content") or message.get("reasoning")
        refusal = message.get("refusal")
        usage = reply.get("usage") or {}
        counts = [usage.get(name) for name in ("prompt_tokens", "completion_tokens")]
        if not all(isinstance(value, str | None) for value in (text, thought, refusal)):
            raise TypeError("content is not text")
        if not all(isinstance(count, int | None) for count in counts):
            raise TypeError("token counts are not numbers")
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
        start = body[:80].decode("utf-8", "replace")
        raise _Failure(
            RequestFailure.BROKEN_REPLY, f"not a chat completion ({error!r}), {len(body)} bytes: {start!r}"
        ) from error
    if thought and "<think>" not in (text or ""):  # a server that takes the chain of thought apart from the answer
        text = f"<think>{thought}</think>{text or ''}"
    return Completion(
        text=text or refusal or "",
        prompt_tokens=counts[0],
        completion_tokens=counts[1],
        finished=reason != "length",
        refused=bool(refusal) or reason == "content_filter",
    )


def _retry_after_s(headers: Any) -> float | None:
    """Seconds that a ``Retry-After`` header asks for, as a number or as a date; None without a readable one."""
    given = headers.get("Retry-After")
    if given is None:
        return None
    try:
        return max(0.0, float(given))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(given).timestamp() - time.time())
    except (ValueError, TypeError):
        return None
