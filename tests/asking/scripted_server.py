"""A local server of the OpenAI chat protocol that answers from what it is shown, misbehaves by a seeded script, counts.

The answer depends on the request alone; whether a request is answered depends on it and on how often it was made. So
the same questions get the same answers in the end, whatever happened on the way.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import random
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from PIL import Image

PASSING = ("429", "500", "503", "slow", "truncated", "not_json", "reset")


def hashed_answer(prompt: str, images: list[bytes], digest: str) -> str:
    """A letter or a position that depends on the request's content alone."""
    number = int(digest[:8], 16)
    if "Satellite tiles" not in prompt:
        return f"<think> country Mexico </think> <answer> {number % 180 - 90} , {number % 360 - 180} </answer>"
    letter = "ABC?"[number % 4]  # a quarter cannot be parsed: that is an answer, and it is not asked for again
    return f"<think> north ground water . so tile {letter} </think> <answer> {letter} </answer>"


class ScriptedServer(ThreadingHTTPServer):
    """Serves until closed; use as a context manager.

    Args:
        answer: (prompt with ``<image>`` markers, image bytes, digest of the request) -> completion or whole message.
        faults: Share of the requests that each kind of ``PASSING`` befalls; or (digest, attempt) -> kind or None.
        seed: Of the faults.
        slow_s: How late a slow answer is.
        latency_s: Longest ordinary answer.
        owned_by: As ``/v1/models`` says.
        root: As ``/v1/models`` says, where it says anything of it.
    """

    daemon_threads, block_on_close, request_queue_size = True, False, 128

    def __init__(
        self,
        answer: Callable[[str, list[bytes], str], Any] = hashed_answer,
        faults: Mapping[str, float] | Callable[[str, int], str | None] | None = None,
        seed: int = 0,
        slow_s: float = 3.0,
        latency_s: float = 0.0,
        owned_by: str = "tests",
        root: str | None = None,
    ) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer, self.seed, self.slow_s, self.latency_s = answer, seed, slow_s, latency_s
        self.owned_by, self.root = owned_by, root
        self.models_statuses: list[int] = []  # of the next questions for /v1/models, in turn; 200 afterwards
        self.faults = faults if callable(faults) else self._drawn_from(faults or {})
        self.lock = threading.Lock()
        self.asked: Counter[str] = Counter()
        self.whole: Counter[str] = Counter()
        self.befell: Counter[str] = Counter()
        self.words: dict[str, str] = {}  # what is said with a status
        self.late = 0
        self.busy = 0
        self.most_busy = 0
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def __enter__(self) -> ScriptedServer:
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, *_: object) -> None:
        """Clients die in these tests; their broken connections are no news."""

    def wait_until_idle(self) -> None:
        """Until every answer under way is written or has failed; slow ones are not waited for."""
        while self.busy:
            time.sleep(0.001)

    def _drawn_from(self, shares: Mapping[str, float]) -> Callable[[str, int], str | None]:
        def fault(digest: str, attempt: int) -> str | None:
            point = random.Random(f"{self.seed} {digest} {attempt}").random()
            for kind, share in shares.items():
                if point < share:
                    return kind
                point -= share
            return None

        return fault


class _Handler(BaseHTTPRequestHandler):
    server: ScriptedServer

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        server, now = self.server, int(time.time_ns() // 1000)  # as vLLM: when it was asked
        model = {"id": "tiny", "object": "model", "created": now, "owned_by": server.owned_by, "root": server.root}
        status = server.models_statuses.pop(0) if server.models_statuses else 200
        self._send(status, json.dumps({"object": "list", "data": [{"id": "other"}, model]}).encode())

    def do_POST(self) -> None:
        server, began = self.server, time.monotonic()
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        prompt, images = _read(body["messages"])
        digest = hashlib.sha256(json.dumps([body["messages"], body["seed"]]).encode()).hexdigest()
        with server.lock:
            kind = server.faults(digest, server.asked[digest])
            server.asked[digest] += 1
            server.requests.append(body)
            server.headers.append(dict(self.headers))
            server.befell[kind or "none"] += 1
            server.busy += kind != "slow"
            server.most_busy = max(server.most_busy, server.busy)
        try:
            self._reply(kind, prompt, images, digest, began)
        finally:
            with server.lock:
                server.busy -= kind != "slow"

    def _reply(self, kind: str | None, prompt: str, images: list[bytes], digest: str, began: float) -> None:
        server = self.server
        time.sleep(server.slow_s if kind == "slow" else random.uniform(0, server.latency_s))
        if kind is not None and kind.isdigit():
            said = self.server.words.get(kind, "scripted")
            after = {"Retry-After": "0.05"} if kind == "429" else {}
            self._send(int(kind), json.dumps({"error": {"message": said}}).encode(), after)
            return
        if kind == "redirect":
            self._send(302, b"", {"Location": f"{server.url}/elsewhere"})
            return
        if kind == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            return
        answer = server.answer(prompt, images, digest)
        reply = answer if isinstance(answer, dict) else {"message": {"content": answer}, "finish_reason": "stop"}
        usage = {"prompt_tokens": len(prompt), "completion_tokens": 7}
        body = json.dumps({"choices": [reply], "usage": usage}).encode()
        if kind == "not_json":
            body = b"<html>upstream went away</html>"
        self._send(200, body, cut=kind == "truncated")
        if kind is None:
            with server.lock:
                server.whole[digest] += 1
                server.late += time.monotonic() - began > server.slow_s / 3

    def _send(self, status: int, body: bytes, headers: Mapping[str, str] | None = None, cut: bool = False) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if cut else body)
        self.wfile.flush()


def _read(messages: list[dict[str, Any]]) -> tuple[str, list[bytes]]:
    prompt, images = "", []
    for part in messages[0]["content"]:
        if part["type"] == "text":
            prompt += part["text"]
        else:
            prompt += "<image>"
            kind, _, data = part["image_url"]["url"].partition(";base64,")
            assert kind == "data:image/png"
            images.append(base64.b64decode(data, validate=True))
    return prompt, images


def decoded(images: list[bytes]) -> list[Image.Image]:
    """The pictures that a request held."""
    return [Image.open(io.BytesIO(data)) for data in images]
