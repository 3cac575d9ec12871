"""What the child process of the kill test runs, and the parent that kills it at random points."""

from __future__ import annotations

import json
import multiprocessing
import random
import time
from pathlib import Path
from typing import Any, NamedTuple

from scripted_server import ScriptedServer

from geor1.asking.backends import UnansweredError
from geor1.asking.journal import FAILURES
from geor1.evaluation.config import EvaluationConfig
from geor1.evaluation.run import GENERATIONS, run_evaluation

CONCURRENCY = 4
TIMEOUT_S = 2.0


class Undone(NamedTuple):
    """Figures of a run that was killed again and again.

    Attributes:
        kills: Times it was killed.
        lost: At each kill, answers that the server had given whole and that were not in the file.
        seconds: From the first start to the end.
    """

    kills: int
    lost: list[int]
    seconds: float


def evaluate_against(url: str, folder: str, run: str) -> None:
    """Stage 04 against a server; ends with status 3 if questions ended in errors."""
    config = EvaluationConfig(
        backend="server",
        server_url=url,
        concurrency=CONCURRENCY,
        timeout_s=TIMEOUT_S,
        max_attempts=6,
        rotations=3,
        n_control=30,
        n_geolocation=30,
        bootstrap_resamples=100,
    )
    try:
        run_evaluation(config, Path(folder) / "data", {"tiny": Path("tiny")}, Path(folder) / run)
    except UnansweredError:
        raise SystemExit(3) from None


def finish(server: ScriptedServer, folder: Path, run: str) -> None:
    """Start the evaluation until nothing is left to do."""
    for _ in range(5):
        process = _start(server, folder, run)
        process.join(120)
        if process.exitcode == 0:
            return
        assert process.exitcode == 3, f"ended with {process.exitcode}"
    raise AssertionError("errors remain after five runs")


def kill_until_done(server: ScriptedServer, folder: Path, run: str, kills: int, expected: int) -> Undone:
    """Kill the evaluation ``kills`` times at random points of its way, then let it end.

    Args:
        server: What it asks.
        folder: Its data and runs.
        run: Name of its run folder.
        kills: How often.
        expected: Questions in all; the kills are spread over about half of them.
    """
    began, draw, lost = time.monotonic(), random.Random(kills), []
    while len(lost) < kills:
        process = _start(server, folder, run)
        until = server.asked.total() + draw.randint(0, max(1, expected // kills))
        while server.asked.total() < until and process.exitcode is None:
            time.sleep(0.0005)
        time.sleep(draw.uniform(0, 0.02))
        process.kill()
        process.join()
        assert process.exitcode == -9, f"ended with {process.exitcode} before it was killed"
        server.wait_until_idle()
        lost.append(server.whole.total() - answered_lines(folder / run / GENERATIONS) - sum(lost))
    finish(server, folder, run)
    return Undone(kills, lost, time.monotonic() - began)


def answered_lines(path: Path) -> int:
    """Whole lines of a file of generations that hold an answer."""
    return len(answers(path))


def answers(path: Path) -> list[dict[str, Any]]:
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    return [line for line in map(json.loads, lines) if line["status"] not in FAILURES]


def _start(server: ScriptedServer, folder: Path, run: str) -> Any:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["geor1.evaluation.run", "geor1.asking.openai_backend"])
    process = context.Process(target=evaluate_against, args=(server.url, str(folder), run))
    process.start()
    return process
