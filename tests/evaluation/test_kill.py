"""Kill -9 at random points, against a server that misbehaves: nothing lost, nothing paid twice, the same report."""

from __future__ import annotations

from pathlib import Path

import pytest
from evaluation_cases import write_questions
from kill_case import CONCURRENCY, answers, finish, kill_until_done
from scripted_server import ScriptedServer

from geor1.evaluation.run import GENERATIONS, PREDICTIONS, SCORES
from geor1.records import Prediction, read_jsonl, write_jsonl

FAULTS = {"429": 0.04, "500": 0.03, "503": 0.02, "slow": 0.01, "truncated": 0.03, "not_json": 0.02, "reset": 0.02}


@pytest.mark.parametrize(
    ("kills", "count"), [(8, 24), pytest.param(50, 120, marks=pytest.mark.slow)], ids=["eight", "fifty"]
)
def test_killed_again_and_again_it_reports_the_same(tmp_path: Path, kills: int, count: int) -> None:
    (tmp_path / "data").mkdir()
    write_jsonl(tmp_path / "data" / "questions_test.jsonl", write_questions(tmp_path / "data", count))
    with ScriptedServer(seed=3, latency_s=0.01) as quiet:
        finish(quiet, tmp_path, "undisturbed")
    wanted = read_jsonl(tmp_path / "undisturbed" / PREDICTIONS, Prediction)
    assert quiet.asked.total() == quiet.whole.total() == len(wanted) > 3 * count

    with ScriptedServer(seed=3, latency_s=0.01, faults=FAULTS) as server:
        undone = kill_until_done(server, tmp_path, "killed", kills, len(wanted))
        server.wait_until_idle()
    twice = server.whole.total() - len(wanted)
    print(
        f"\n{undone.kills} kills in {undone.seconds:.0f} s: {len(wanted)} questions, {server.asked.total()} requests, "
        f"{twice} answers paid twice (at most {max(undone.lost)} a kill, {CONCURRENCY} under way), "
        f"faults {dict(sorted(server.befell.items()))}"
    )
    assert len(undone.lost) == kills
    assert all(-server.late <= lost <= CONCURRENCY for lost in undone.lost)
    assert twice == sum(undone.lost)
    assert set(server.whole) == set(quiet.whole), "an item was lost, or another was asked"
    assert sum(server.befell[kind] for kind in FAULTS) > 0

    for name in (PREDICTIONS, SCORES):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "undisturbed" / name).read_bytes(), name
    journals = [answers(tmp_path / run / GENERATIONS) for run in ("killed", "undisturbed")]
    killed, undisturbed = (sorted(map(str, lines)) for lines in journals)
    assert killed == undisturbed
    assert journals[0] != journals[1], "the lines came in another order"
