"""A served teacher that dies, stalls, lies, and is killed: nothing lost, nothing paid twice, the books right."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from scripted_server import ScriptedServer
from teacher_cases import chain, served, settings, write_questions
from teacher_kill_case import TEMPLATES, teach

from geor1.asking.backends import BackendError, UnansweredError
from geor1.asking.journal import only_writer, read_generations
from geor1.records import Question, Scaffold, read_jsonl
from geor1.runs import ConfigError, DiskFullError, RunLockedError
from geor1.synthesis.teacher.jobs import Shard
from geor1.synthesis.teacher.report import ATTEMPTS
from geor1.synthesis.teacher.run import CHECKED, GENERATIONS, REPORT, SCAFFOLDS, TABLE, run_teacher

FAULTS = {"429": 0.06, "500": 0.05, "503": 0.03, "slow": 0.01, "truncated": 0.05, "not_json": 0.04, "reset": 0.04}


@pytest.fixture
def questions(tmp_path: Path) -> list[Question]:
    return write_questions(tmp_path / "data")


def ask(server: ScriptedServer, tmp_path: Path, questions: list[Question], out: str = "out", **changes: Any) -> Path:
    how = {key: changes.pop(key) for key in ("shard", "merge") if key in changes}
    config = settings(server_url=server.url, **{"templates": TEMPLATES, **changes})
    return run_teacher(config, questions, tmp_path / "data", tmp_path / out, **how)


def report(folder: Path) -> dict[str, Any]:
    read = json.loads((folder / REPORT).read_text())
    read.pop("seconds")
    return read


def same_results(first: Path, second: Path) -> None:
    for name in (SCAFFOLDS, CHECKED):
        assert (first / name).read_bytes() == (second / name).read_bytes(), name
    assert report(first) == report(second)


def check_books(folder: Path) -> dict[str, Any]:
    """Every completion is in one column of the report, and the report agrees with the files."""
    books, lines = report(folder), [json.loads(line) for line in (folder / CHECKED).read_text().splitlines()]
    for name, row in books["templates"].items():
        mine = [line for line in lines if line["template"] == name]
        assert row["asked"] == row["unanswered"] + sum(row["rejected"].values()) + row["kept"] == len(mine)
        assert row["kept"] == sum(not line["reasons"] for line in mine)
        assert row["prompt_tokens"] == sum(line["prompt_tokens"] or 0 for line in mine)
    total = books["total"]
    assert total["usd"] == pytest.approx((2 * total["prompt_tokens"] + 10 * total["completion_tokens"]) / 1e6, abs=1e-6)
    assert total["kept"] == len(read_jsonl(folder / SCAFFOLDS, Scaffold))
    return books


def test_what_is_kept_and_what_is_rejected(tmp_path: Path, questions: list[Question]) -> None:
    with ScriptedServer(served) as server:
        out = ask(server, tmp_path, questions)
        asked = server.asked.total()
    books = check_books(out)
    total = books["total"]
    assert asked == total["asked"] == total["answered"] == len(read_generations(out / GENERATIONS))
    assert {"format", "steps", "leak_source", "false_country", "no_answer"} & set(total["rejected"])
    assert total["every_reason"]["false_country"] >= total["rejected"]["false_country"] > 0
    assert books["claims"]["driving_side"]["true"] > 20 and books["claims"]["country"]["false"] > 0
    assert 0 < total["kept"] <= total["questions_with_a_chain"] <= total["questions"] == 4 * 12
    scaffolds = read_jsonl(out / SCAFFOLDS, Scaffold)
    assert {one.kind for one in scaffolds} == {"pairing", "geolocation"}
    assert all((out / image).is_file() for one in scaffolds for image in one.images)
    assert {one.pairing_labels_seen for one in scaffolds if one.kind == "geolocation"} == {0}
    assert "| positive |" in (out / TABLE).read_text() and "| rejected for |" in (out / TABLE).read_text()
    print("\n" + (out / TABLE).read_text())


def test_no_more_is_asked_than_is_needed(tmp_path: Path, questions: list[Question]) -> None:
    def always_good(prompt: str, images: list[bytes], digest: str) -> str:
        good = next(f"{salt:08x}{digest[8:]}" for salt in range(9) if salt % 9 == 0)
        return served(prompt, images, good)

    with ScriptedServer(always_good) as server:
        ask(server, tmp_path, questions, templates=("positive",))
        assert server.asked.total() == 12
        ask(server, tmp_path, questions, templates=("positive",), keep=2)
        assert server.asked.total() == 24, "the second chain alone"
        ask(server, tmp_path, questions, templates=("positive",), keep=2, usd_per_million_in=9.0)
        assert server.asked.total() == 24


def test_a_misbehaving_server_changes_nothing_but_the_time(tmp_path: Path, questions: list[Question]) -> None:
    with ScriptedServer(served) as quiet:
        wanted = ask(quiet, tmp_path, questions, "quiet")
    with ScriptedServer(served, faults=FAULTS, seed=5, latency_s=0.01) as server:
        out = ask(server, tmp_path, questions, "faulty", max_attempts=8)
        server.wait_until_idle()
    assert sum(server.befell[kind] for kind in FAULTS) > 10
    assert set(server.whole) == set(quiet.whole)
    assert server.whole.total() - server.late <= quiet.whole.total(), "something was paid for twice"
    same_results(out, wanted)


def test_errors_that_remain_are_asked_again_alone(tmp_path: Path, questions: list[Question]) -> None:
    failing = {"on": True}
    with ScriptedServer(served, faults=lambda digest, _: "500" if failing["on"] and digest < "4" else None) as server:
        with pytest.raises(UnansweredError, match=r"completions are missing"):
            ask(server, tmp_path, questions, max_attempts=1)
        books = report(tmp_path / "out")
        assert books["total"]["unanswered"] > 0
        assert not (tmp_path / "out" / SCAFFOLDS).exists()
        failing["on"], whole = False, dict(server.whole)
        out = ask(server, tmp_path, questions, max_attempts=1)
        assert all(server.whole[digest] == count for digest, count in whole.items())
    assert check_books(out)["total"]["unanswered"] == 0
    with ScriptedServer(served) as quiet:
        same_results(out, ask(quiet, tmp_path, questions, "quiet"))


def test_errors_may_be_taken_as_they_are(tmp_path: Path, questions: list[Question]) -> None:
    with ScriptedServer(served, faults=lambda digest, _: "500" if digest < "4" else None) as server:
        out = ask(server, tmp_path, questions, max_attempts=1, keep_errors=True)
    assert check_books(out)["total"]["rejected"]["api_error"] > 0


@pytest.mark.parametrize(("kind", "reason"), [("500", "api_error"), ("slow", "timeout"), ("not_json", "broken_reply")])
def test_what_was_never_answered_is_not_missed_in_the_token_counts(
    tmp_path: Path, questions: list[Question], kind: str, reason: str
) -> None:
    def fault(digest: str, _: int) -> str | None:
        return kind if digest < "2" else None

    with ScriptedServer(served, faults=fault, slow_s=0.6) as server:
        changes = {"max_attempts": 1, "keep_errors": True, "timeout_s": 0.3 if kind == "slow" else 5.0}
        out = ask(server, tmp_path, questions, templates=("positive",), **changes)
    total = report(out)["total"]
    assert total["rejected"][reason] > 0 and total["without_token_counts"] == 0


def test_a_server_that_dies_leaves_true_books(tmp_path: Path, questions: list[Question]) -> None:
    answered: list[str] = []

    def dies(digest: str, _: int) -> str | None:
        answered.append(digest)
        return "401" if len(answered) > 20 else None

    with ScriptedServer(served, faults=dies) as server:
        with pytest.raises(BackendError, match="HTTP 401"):
            ask(server, tmp_path, questions)
        books = report(tmp_path / "out")["total"]
        assert books["answered"] == len(read_generations(tmp_path / "out" / GENERATIONS)) == server.whole.total()
        assert books["unanswered"] > 0 and books["completion_tokens"] == 7 * books["answered"]
        server.faults = lambda *_: None
        out = ask(server, tmp_path, questions)
    assert max(server.whole.values()) == 1
    check_books(out)


def test_cut_refused_and_empty_answers_are_rejected_by_name(tmp_path: Path, questions: list[Question]) -> None:
    ends: tuple[dict[str, Any], ...] = (
        {"message": {"content": "<think> half"}, "finish_reason": "length"},
        {"message": {"content": None, "refusal": "no"}, "finish_reason": "stop"},
        {"message": {"content": " "}, "finish_reason": "stop"},
    )
    with ScriptedServer(lambda _p, _i, digest: ends[int(digest[:8], 16) % 3]) as server:
        out = ask(server, tmp_path, questions, templates=("positive",), samples=2)
    total = check_books(out)["total"]
    assert set(total["rejected"]) == {"unfinished", "refused", "empty"}
    assert total["asked"] == 24 and total["kept"] == 0 and total["usd_per_chain"] is None


def parrot(prompt: str, *_: Any) -> str:
    letter = prompt.partition("Satellite tiles: ")[2][:1]
    return chain(letter, words="under a grey sky with wires overhead and a kerb of stone", geography="Nothing.")


class ParrotAtFirst:
    """Writes the same about every place, and when it is asked again about one, something of its own."""

    def __init__(self) -> None:
        self.seen: set[bytes] = set()

    def __call__(self, prompt: str, images: list[bytes], digest: str) -> str:
        if images[0] not in self.seen:
            self.seen.add(images[0])
            return parrot(prompt)
        return served(prompt, images, f"{0:08x}{digest[8:]}")  # a good one


def test_a_parrot_is_asked_until_its_samples_are_drawn(tmp_path: Path, questions: list[Question]) -> None:
    with ScriptedServer(parrot) as server:
        out = ask(server, tmp_path, questions, templates=("positive",), samples=3)
    kept = report(out)["total"]["kept"]
    assert check_books(out)["total"]["rejected"] == {"duplicate": 3 * (12 - kept)}
    repeats = [json.loads(line)["repeats"] for line in (out / CHECKED).read_text().splitlines()]
    scaffolds = {one.scaffold_id for one in read_jsonl(out / SCAFFOLDS, Scaffold)}
    lost = {f"{question.pair_id}/positive/0" for question in questions} - scaffolds
    assert {one for one in repeats if one} <= scaffolds | lost, "the same question's earlier chain, or one kept"


def test_near_duplicates_of_other_questions_are_replaced(tmp_path: Path, questions: list[Question]) -> None:
    with ScriptedServer(ParrotAtFirst()) as server:
        whole = ask(server, tmp_path, questions, "whole", templates=("positive",), samples=2)
        first = report(whole)["total"]["rejected"]["duplicate"]
        assert report(whole)["total"]["kept"] == 12 and server.asked.total() == 12 + first > 20
        assert [one.pair_id for one in questions] == [
            one.scaffold_id.partition("/")[0] for one in read_jsonl(whole / SCAFFOLDS, Scaffold)
        ]
        ask(server, tmp_path, questions, "whole", templates=("positive",), samples=2)
        assert server.asked.total() == 12 + first, "nothing is left to ask"
    check_books(whole)
    with ScriptedServer(ParrotAtFirst()) as server:
        answered: list[str] = []
        server.faults = lambda digest, _: answered.append(digest) or ("401" if len(answered) > 16 else None)
        with pytest.raises(BackendError):
            ask(server, tmp_path, questions, "broken", templates=("positive",), samples=2)
        assert not (tmp_path / "broken" / SCAFFOLDS).exists() and server.whole.total() > 12
        server.faults = lambda *_: None
        same_results(ask(server, tmp_path, questions, "broken", templates=("positive",), samples=2), whole)
        assert max(server.whole.values()) == 1


def test_shards_leave_the_replacing_to_one_run_for_all(
    tmp_path: Path, questions: list[Question], caplog: pytest.LogCaptureFixture
) -> None:
    how: dict[str, Any] = {"templates": ("positive",), "samples": 2}
    with ScriptedServer(ParrotAtFirst()) as server:
        whole = ask(server, tmp_path, questions, "whole", **how)
    with ScriptedServer(ParrotAtFirst()) as server:
        for index in range(2):
            ask(server, tmp_path, questions, "shards", shard=Shard(index, 2), **how)
        assert server.asked.total() == 12
        out = ask(server, tmp_path, questions, "shards", merge=True, **how)
        total = check_books(out)["total"]
        assert total["unanswered"] == 0 < total["replaceable"] == 12 - total["kept"] == total["rejected"]["duplicate"]
        assert f"{total['replaceable']} completions could still be asked for" in caplog.text
        assert "near-duplicates not replaced" in (out / TABLE).read_text() and server.asked.total() == 12
        same_results(ask(server, tmp_path, questions, "shards", **how), whole)
        same_results(ask(server, tmp_path, questions, "shards", merge=True, **how), whole)
        assert max(server.whole.values()) == 1


def test_nothing_is_replaced_before_all_have_answered(tmp_path: Path, questions: list[Question]) -> None:
    with ScriptedServer(ParrotAtFirst(), faults=lambda digest, _: "500" if digest < "4" else None) as server:
        with pytest.raises(UnansweredError):
            ask(server, tmp_path, questions, templates=("positive",), samples=2, max_attempts=1)
        assert server.asked.total() == 12


@pytest.mark.parametrize("count", [2, 5])
def test_shards_put_together_are_one_process(tmp_path: Path, questions: list[Question], count: int) -> None:
    with ScriptedServer(served) as server:
        whole = ask(server, tmp_path, questions, "whole")
        asked = server.asked.total()
        for index in range(count):
            left = rf"by (--shard \d/{count} \(\d+\)(, )?){{{count - index}}}\. Run" if index else "without --merge"
            with pytest.raises(UnansweredError, match=left):
                ask(server, tmp_path, questions, "shards", merge=True)
            ask(server, tmp_path, questions, "shards", shard=Shard(index, count))
        assert server.asked.total() == 2 * asked
        same_results(ask(server, tmp_path, questions, "shards", merge=True), whole)
        same_results(ask(server, tmp_path, questions, "shards"), whole)
        for index in range(3):  # cut otherwise, nothing is asked again
            ask(server, tmp_path, questions, "shards", shard=Shard(index, 3))
        assert server.asked.total() == 2 * asked
    assert json.loads((tmp_path / "shards" / REPORT).read_text())["seconds"]["processes"] == count


def test_killed_again_and_again_it_reports_the_same(tmp_path: Path, questions: list[Question]) -> None:
    with ScriptedServer(served) as quiet:
        wanted = ask(quiet, tmp_path, questions, "quiet")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["geor1.synthesis.teacher.run", "geor1.asking.openai_backend"])
    draw, kills, lost = random.Random(1), 8, []
    with ScriptedServer(served, faults={"429": 0.05, "500": 0.05, "reset": 0.03}, seed=2, latency_s=0.01) as server:

        def start() -> Any:
            process = context.Process(target=teach, args=(server.url, str(tmp_path), "killed"))
            process.start()
            return process

        for _ in range(kills):
            process, until = start(), server.asked.total() + draw.randint(1, 6)
            while server.asked.total() < until and process.exitcode is None:
                time.sleep(0.0005)
            time.sleep(draw.uniform(0, 0.02))
            process.kill()
            process.join()
            assert process.exitcode == -9
            server.wait_until_idle()
            written = read_generations(tmp_path / "killed" / GENERATIONS)
            lost.append(server.whole.total() - sum(line.status == "ok" for line in written) - sum(lost))
        for _ in range(5):
            process = start()
            process.join(60)
            if process.exitcode == 0:
                break
        assert process.exitcode == 0
    twice = server.whole.total() - quiet.whole.total()
    print(f"\n{kills} kills, {quiet.whole.total()} completions, {twice} paid twice (under way when killed: 4 at most)")
    assert all(0 <= one <= 4 for one in lost) and twice == sum(lost)
    same_results(tmp_path / "killed", wanted)


def test_one_writer_a_shard_and_what_is_refused(tmp_path: Path, questions: list[Question]) -> None:
    with ScriptedServer(served) as server:
        test = [type(questions[0])(**{**vars(questions[0]), "split": "test"})]
        for changes, asked, said in (
            ({"model": ""}, questions, "model="),
            ({"templates": ("nonsense",)}, questions, "nonsense"),
            ({}, test, "test split"),
            ({}, [], "found none"),
            ({"merge": True, "shard": Shard(0, 2)}, questions, "merge"),
        ):
            with pytest.raises(ConfigError, match=said):
                ask(server, tmp_path, asked, **changes)  # type: ignore[arg-type]
        assert server.asked.total() == 0


def test_two_divisions_at_a_time_would_pay_twice(tmp_path: Path, questions: list[Question]) -> None:
    running = tmp_path / "out" / Shard(0, 2).folder
    running.mkdir(parents=True)
    with ScriptedServer(served) as server:
        with only_writer(running):
            for shard in (Shard(0, 2), Shard(1, 3), Shard()):
                with pytest.raises(RunLockedError, match="shard-0000-of-0002"):
                    ask(server, tmp_path, questions, shard=shard)
            assert server.asked.total() == 0
            ask(server, tmp_path, questions, shard=Shard(1, 2))
            with pytest.raises(UnansweredError, match=r"by --shard 0/2 \("):
                ask(server, tmp_path, questions, merge=True)
        ask(server, tmp_path, questions, shard=Shard(1, 3))


def test_a_full_disk_says_so_and_loses_nothing_that_was_written(
    tmp_path: Path, questions: list[Question], monkeypatch: pytest.MonkeyPatch
) -> None:
    with ScriptedServer(served) as quiet:
        wanted = ask(quiet, tmp_path, questions, "quiet")
    path, sync, room = tmp_path / "out" / GENERATIONS, os.fsync, [20]

    def full(file: int) -> None:
        """Room for twenty lines; of the next, half is written."""
        room[0] -= 1
        if path.exists() and room[0] < 0:
            with path.open("rb+") as torn:
                torn.truncate(path.stat().st_size - 40)
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(file)

    with ScriptedServer(served) as server:
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(DiskFullError, match=r"generations.jsonl: the disk is full .*run the same command again"):
            ask(server, tmp_path, questions)
        monkeypatch.setattr(os, "fsync", sync)
        with (path.parent / ATTEMPTS).open("a") as torn:
            torn.write('{"shard": "0/1", "gen')
        written = len(read_generations(path))
        same_results(ask(server, tmp_path, questions), wanted)
        server.wait_until_idle()
    assert written >= 20 and server.whole.total() - quiet.whole.total() <= 2 * 4, "what was under way or being written"
    assert json.loads((path.parent / REPORT).read_text())["seconds"]["processes"] == 2


def test_the_command_line(tmp_path: Path, questions: list[Question]) -> None:
    with ScriptedServer(served) as server:
        command = [sys.executable, "-m", "geor1.synthesis.teacher", str(tmp_path / "data"), "--model", "tiny"]
        command += ["--server-url", server.url, "--min-tokens", "0", "--key-variable", "NO_KEY", "--concurrency", "4"]
        for more in (["--shard", "0/2"], ["--shard", "1/2"], ["--merge"]):
            done = subprocess.run([*command, *more], capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
    assert "| **total** | 12 |" in done.stdout
    assert (tmp_path / "data" / "teacher" / SCAFFOLDS).is_file()
    done = subprocess.run([*command, "--shard", "2/2"], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "shard 2/2" in done.stderr
