"""Asking a server: what is tried again, what is not, how long is waited, and what the server gets to see."""

from __future__ import annotations

import email.utils
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from PIL import Image
from scripted_server import PASSING, ScriptedServer, decoded

from geor1.asking import openai_backend
from geor1.asking.backends import BackendError, Completion, Request, RequestFailure
from geor1.asking.openai_backend import ServerBackend, _retry_after_s


def asks(server: ScriptedServer, **changes: Any) -> ServerBackend:
    settings = {"concurrency": 3, "timeout_s": 5.0, "max_attempts": 3, "first_wait_s": 0.02, "key_variable": "NO_KEY"}
    return ServerBackend(server.url, "tiny", **{**settings, **changes})


def requests(count: int) -> list[Request]:
    return [
        Request(f"q{index}: <image> where?", (Image.new("RGB", (4, 4), (index, 0, 0)),), 16, 0.0, 0)
        for index in range(count)
    ]


def complete(backend: ServerBackend, asked: Any) -> dict[int, Completion]:
    return dict(one for finished in backend.complete(asked) for one in finished)


def first_time(kind: str) -> Callable[[str, int], str | None]:
    return lambda _, attempt: kind if attempt == 0 else None


def echo(prompt: str, images: list[bytes], _: str) -> str:
    return f"{prompt} {[image.getpixel((0, 0)) for image in decoded(images)]}"


def test_answers_come_back_to_their_places() -> None:
    with ScriptedServer(echo, latency_s=0.02) as server:
        answers = complete(asks(server), requests(12))
    assert sorted(answers) == list(range(12))
    assert all(answers[i].text == f"q{i}: <image> where? [({i}, 0, 0)]" for i in answers)
    assert (answers[0].prompt_tokens, answers[0].completion_tokens, answers[0].finished) == (18, 7, True)
    assert server.most_busy == 3
    asked = server.requests[0]
    assert (asked["max_tokens"], asked["temperature"], asked["seed"], asked["model"]) == (16, 0.0, 0, "tiny")
    assert "repetition_penalty" not in asked


def test_vllm_is_told_to_sample_as_we_do() -> None:
    with ScriptedServer(echo, owned_by="vllm") as server:
        complete(asks(server), requests(1))
    assert server.requests[0]["repetition_penalty"] == 1.0
    assert server.requests[0]["top_k"] == -1


@pytest.mark.parametrize("kind", [*PASSING, "408", "501", "502", "504", "507", "520", "529", "599"])
def test_what_may_pass_is_tried_again(kind: str) -> None:
    with ScriptedServer(echo, faults=first_time(kind), slow_s=0.6) as server:
        answers = complete(asks(server, timeout_s=0.3 if kind == "slow" else 5.0), requests(2))
    assert [answers[i].failure for i in range(2)] == [None, None]
    assert answers[1].text.startswith("q1:")
    assert server.asked.total() == 4


@pytest.mark.parametrize("error", [ssl.SSLError("record layer failure"), OSError(113, "No route to host")], ids=repr)
def test_a_reply_that_breaks_off_while_it_is_read_is_asked_for_again(
    monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    broken: list[OSError] = []
    whole = openai_backend._read_whole

    def read(response: Any, timeout_s: float) -> bytes:
        body = whole(response, timeout_s)
        if b"choices" in body and not broken:
            broken.append(error)
            raise error
        return body

    monkeypatch.setattr(openai_backend, "_read_whole", read)
    with ScriptedServer(echo) as server:
        answers = complete(asks(server), requests(1))
    assert broken and answers[0].failure is None and server.asked.total() == 2
    monkeypatch.setattr(openai_backend, "_read_whole", lambda *_: (_ for _ in ()).throw(error))
    with ScriptedServer(echo) as server:
        answers = complete(asks(server), requests(1))
    assert answers[0].failure == RequestFailure.BROKEN_REPLY and "attempt 3 of 3" in answers[0].detail


@pytest.mark.parametrize(
    ("kind", "failure"),
    [
        ("500", "api_error"),
        ("429", "api_error"),
        ("slow", "timeout"),
        ("truncated", "broken_reply"),
        ("reset", "broken_reply"),
        ("not_json", "broken_reply"),
    ],
)
def test_attempts_are_limited_and_the_error_is_named(kind: str, failure: str) -> None:
    with ScriptedServer(echo, faults=lambda *_: kind, slow_s=0.5) as server:
        answers = complete(asks(server, timeout_s=0.2 if kind == "slow" else 5.0), requests(1))
    assert answers[0].failure == RequestFailure(failure)
    assert "attempt 3 of 3" in answers[0].detail
    assert server.asked.total() == 3


@pytest.mark.parametrize("kind", ["400", "401", "403", "404", "422", "redirect"])
def test_what_cannot_pass_stops_the_run_and_keeps_what_is_done(kind: str) -> None:
    asked: list[int] = []

    def fault(_: str, attempt: int) -> str | None:
        asked.append(attempt)
        return kind if len(asked) == 5 else None

    got: dict[int, Completion] = {}
    said = "HTTP 302" if kind == "redirect" else f"HTTP {kind}: .*scripted"
    with ScriptedServer(echo, faults=fault, latency_s=0.01) as server, pytest.raises(BackendError, match=said):
        for finished in asks(server).complete(requests(50)):
            got.update(finished)
    assert 4 <= len(got) == server.whole.total() < 10
    assert server.asked.total() == len(got) + 1, "asked once, and nothing new after it"


def test_one_prompt_too_long_is_that_prompts_own_error() -> None:
    first = requests(5)
    long = Request("q7: too much", (), 16, 0.0, 0)

    with ScriptedServer(echo) as server:
        server.words["400"] = "This model's maximum context length is 8 tokens. However, you requested 20 tokens"
        stock = server.faults
        digests: list[str] = []
        server.faults = lambda digest, attempt: stock(digest, attempt)
        complete(asks(server), [long])
        digests += server.asked
        server.faults = lambda digest, _: "400" if digest in digests else None
        answers = complete(asks(server), [*first, long])
    assert [answers[i].failure for i in range(6)] == [None] * 5 + [RequestFailure.CONTEXT_LENGTH]
    assert "maximum context length" in answers[5].detail


def test_retry_after_is_kept() -> None:
    with ScriptedServer(echo, faults=first_time("429")) as server:
        began = time.monotonic()
        complete(asks(server, first_wait_s=0.0), requests(1))
    assert time.monotonic() - began >= 0.05
    in_a_minute = email.utils.formatdate(time.time() + 60, usegmt=True)
    assert _retry_after_s({"Retry-After": in_a_minute}) == pytest.approx(60, abs=2)
    assert _retry_after_s({"Retry-After": "12"}) == 12.0
    assert _retry_after_s({"Retry-After": "soon"}) is None
    assert _retry_after_s({}) is None


def test_waits_double_and_are_drawn_below_their_limit() -> None:
    backend = ServerBackend("http://127.0.0.1:1/v1", "m", concurrency=1, timeout_s=1.0, max_attempts=9)
    for attempt, limit in ((1, 0.5), (3, 2.0), (12, 60.0)):
        drawn = [backend._wait_s(attempt, None) for _ in range(300)]
        assert 0.9 * limit < max(drawn) <= limit
        assert min(drawn) < 0.1 * limit
    assert backend._wait_s(1, 7.0) == 7.0


def test_a_server_that_is_gone_ends_the_run() -> None:
    with ScriptedServer(echo) as server:
        url = server.url
    backend = ServerBackend(url, "m", concurrency=2, timeout_s=1.0, max_attempts=2, first_wait_s=0.001)
    got = []
    with pytest.raises(BackendError, match=r"2[0-3] requests in a row failed at each of 2 attempts"):
        for finished in backend.complete(requests(500)):
            got += finished
    assert 20 <= len(got) <= 23


def test_the_key_comes_from_the_environment_and_is_told_to_nobody_else(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OUR_KEY", "sesame")
    with ScriptedServer(echo, faults=lambda *_: "401") as server, pytest.raises(BackendError) as caught:
        complete(asks(server, key_variable="OUR_KEY"), requests(1))
    assert "set the key in $OUR_KEY" in str(caught.value)
    assert server.headers[0]["Authorization"] == "Bearer sesame"
    assert "sesame" not in str(caught.value) + caplog.text
    with ScriptedServer(echo) as server:
        complete(asks(server), requests(1))
    assert "Authorization" not in server.headers[0]


@pytest.mark.parametrize(
    ("choice", "text", "finished", "refused"),
    [
        ({"message": {"content": "half a"}, "finish_reason": "length"}, "half a", False, False),
        ({"message": {"content": None, "refusal": "I will not"}, "finish_reason": "stop"}, "I will not", True, True),
        ({"message": {"content": ""}, "finish_reason": "content_filter"}, "", True, True),
        ({"message": {"content": "B", "reasoning_content": "sea"}}, "<think>sea</think>B", True, False),
    ],
)
def test_ways_a_reply_can_end(choice: dict[str, Any], text: str, finished: bool, refused: bool) -> None:
    with ScriptedServer(lambda *_: choice) as server:
        answer = complete(asks(server), requests(1))[0]
    assert (answer.text, answer.finished, answer.refused, answer.failure) == (text, finished, refused, None)


@pytest.mark.parametrize("choice", [{}, {"message": []}, {"message": {"content": 3}}, {"message": {"content": ["x"]}}])
def test_replies_of_another_form_are_broken(choice: dict[str, Any]) -> None:
    with ScriptedServer(lambda *_: choice) as server:
        answer = complete(asks(server, max_attempts=1), requests(1))[0]
    assert answer.failure == RequestFailure.BROKEN_REPLY


def test_a_broken_image_lets_what_is_under_way_come_home() -> None:
    def three_then_none() -> Iterator[Request]:
        yield from requests(3)
        raise OSError("image 3 is broken")

    got = []
    with ScriptedServer(echo, latency_s=0.05) as server, pytest.raises(OSError, match="image 3"):
        for finished in asks(server).complete(three_then_none()):
            got += finished
    assert sorted(place for place, _ in got) == [0, 1, 2]


def test_the_way_to_a_server_loads_no_torch_and_no_transformers() -> None:
    code = (
        "import sys, geor1.asking.openai_backend, geor1.asking.vllm_backend;"
        "sys.exit(bool({'torch', 'transformers', 'vllm'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
