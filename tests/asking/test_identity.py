"""Which weights stand behind a server's name: recorded with every answer, and refused where they are others."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from scripted_server import ScriptedServer

from geor1.asking.backends import BackendError
from geor1.asking.config import AskingConfig
from geor1.asking.generating import Asked, complete_missing
from geor1.asking.journal import PredictionJournal
from geor1.asking.openai_backend import ServerBackend
from geor1.asking.selection import asking_of, choose_backend
from geor1.records import Prediction
from geor1.runs import ConfigError


def config(server: ScriptedServer, **changes: object) -> AskingConfig:
    how: dict[str, object] = {"backend": "server", "max_new_tokens": 9, "temperature": 0.0, "samples": 1}
    how |= {"batch_size": 1, "dtype": "float32", "context_tokens": 99, "concurrency": 2}
    how |= {"timeout_s": 5.0, "max_attempts": 3, "server_url": server.url, "key_variable": "NO_KEY"}
    return AskingConfig(**{**how, **changes})  # type: ignore[arg-type]


def ask(server: ScriptedServer, folder: Path, count: int, **changes: object) -> list[Prediction]:
    """Answers to the first ``count`` questions, kept in ``folder``."""
    Image.new("RGB", (4, 4)).save(folder / "image.png")
    asked = [
        Asked(
            task="pairing", item_id=f"q{k}", condition="normal", prompt=f"{k} <image>", images=(folder / "image.png",)
        )
        for k in range(count)
    ]
    how = config(server, **changes)
    journal = PredictionJournal(folder / "generations.jsonl")
    return complete_missing(
        asked,
        choose_backend(how, "tiny", images_per_prompt=1),
        asking_of(how, "m", "tiny"),
        journal,
        lambda _, line: line,
    )


def test_another_model_behind_the_name_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    with ScriptedServer(root="models/3b", owned_by="vllm") as first:
        assert {line.served_by for line in ask(first, tmp_path, 3)} == {"root=models/3b owned_by=vllm"}
        assert ask(first, tmp_path, 5)[4].served_by is not None, "the time of asking is no part of what it reports"
    with ScriptedServer(root="models/7b", owned_by="vllm") as second:
        with pytest.raises(BackendError, match=r"reported \['root=models/3b .*'root=models/7b .*revision.*any_server"):
            ask(second, tmp_path, 6)
        assert second.asked.total() == 0
        assert len(ask(second, tmp_path, 5)) == 5, "nothing is to be asked, so nobody is"
        assert len(ask(second, tmp_path, 6, any_server=True)) == 6 and second.asked.total() == 1
        ask(second, tmp_path, 7)  # both are known now
        served = [line.served_by for line in ask(second, tmp_path, 6, revision="7b of June")]
        assert second.asked.total() == 2 + 6 and len(set(served)) == 1
    with ScriptedServer(root="models/3b") as first, pytest.raises(BackendError, match="this one reports"):
        ask(first, tmp_path, 9, revision="7b of June")


def test_a_moved_server_of_the_same_model_goes_on(tmp_path: Path) -> None:
    for count in (2, 4):  # another port each time
        with ScriptedServer(root="models/3b") as server:
            assert len(ask(server, tmp_path, count)) == count and server.asked.total() == 2


def test_a_server_that_says_nothing_is_asked(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with ScriptedServer(root="models/3b") as server:
        ask(server, tmp_path, 1)
        server.models_statuses = [404]
        ask(server, tmp_path, 2)
        assert "no longer reports" in caplog.text
        assert ServerBackend(server.url, "unlisted", concurrency=1, timeout_s=1.0, max_attempts=1).identity() is None


def test_errors_are_no_answers_of_a_server(tmp_path: Path) -> None:
    with ScriptedServer(root="a", faults=lambda *_: "500") as server:
        assert ask(server, tmp_path, 2, max_attempts=1)[0].status == "api_error"
    with ScriptedServer(root="b") as server:
        assert [line.served_by for line in ask(server, tmp_path, 2)] == ["root=b owned_by=tests"] * 2


def test_who_serves_is_asked_patiently(tmp_path: Path) -> None:
    with ScriptedServer(root="a") as server:
        how = {"concurrency": 1, "timeout_s": 1.0, "max_attempts": 3, "first_wait_s": 0.01}
        server.models_statuses = [503, 429]
        assert ServerBackend(server.url, "tiny", **how).identity() == "root=a owned_by=tests"
        server.models_statuses = [503, 503, 503]
        with pytest.raises(BackendError, match=r"/models cannot be read at any of 3 attempts \(HTTP 503"):
            ServerBackend(server.url, "tiny", **how).identity()


def test_revision_is_for_servers(tmp_path: Path) -> None:
    with ScriptedServer() as server, pytest.raises(ConfigError, match=r"revision='x'.*backend='vllm'"):
        config(server, backend="vllm", revision="x")


def test_a_context_that_the_completion_fills_is_refused() -> None:
    with ScriptedServer() as server, pytest.raises(ConfigError, match=r"context_tokens=9: .*max_new_tokens=9"):
        config(server, backend="vllm", context_tokens=9)
