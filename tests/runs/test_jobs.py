"""Training in processes of its own: detached, attached to, never twice, killed, stopped, resumed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import job_cases
import pytest

from geor1.runs import JobFailedError, read_metrics
from geor1.runs.errors import ConfigError
from geor1.runs.jobs import is_running
from geor1.runs.jobs.files import JobFiles, start_time
from geor1.runs.stopping import request_stop


def caller(runs_dir: Path, steps: int) -> subprocess.Popen[str]:
    command = [sys.executable, job_cases.__file__, str(runs_dir), str(steps), "1"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def wait_for(condition: Callable[[], object], timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def only_run(runs_dir: Path) -> Path | None:
    return next(runs_dir.glob("smoke/03_grpo/*"), None)


def steps_done(runs_dir: Path) -> int:
    folder = only_run(runs_dir)
    return len(read_metrics(folder)) if folder else 0


def calls(folder: Path) -> list[int]:
    return [int(line) for line in (folder / "calls-0.log").read_text().split()]


def is_gone(pid: int) -> bool:
    return not start_time(pid)


def test_a_launched_run_is_a_run_like_any_other(tmp_path: Path) -> None:
    run = job_cases.run(tmp_path, steps=2)
    assert run.metrics == {"steps": 2} and run.product == run.path and not run.cached
    assert run.manifest["launch"]["processes"] == 1 and run.manifest["hardware"]["cores"] >= 1
    assert run.manifest["attempts"] == 1 and run.manifest["peak_memory_bytes"]["process"] > 1_000_000
    assert calls(run.path)[0] != os.getpid()
    assert job_cases.run(tmp_path, steps=2).cached
    # how it was launched is not what it is: the same key in this process
    assert job_cases.run(tmp_path, processes=0, steps=2).cached


def test_the_training_outlives_its_notebook_and_is_taken_up_again(tmp_path: Path) -> None:
    first = caller(tmp_path, 60)
    wait_for(lambda: steps_done(tmp_path) >= 2)
    first.kill()  # the notebook is closed, its kernel gone
    first.wait()
    folder = only_run(tmp_path)
    assert folder is not None and is_running(folder)
    again = caller(tmp_path, 60)
    printed, _ = again.communicate(timeout=120)
    assert again.returncode == 0, printed
    assert "03_grpo: running already, followed from here" in printed
    assert len(calls(folder)) == 1 and [row["step"] for row in read_metrics(folder)] == list(range(1, 61))
    assert json.loads((folder / "manifest.json").read_text())["attempts"] == 1
    assert not is_running(folder)


def test_it_finishes_with_nobody_watching(tmp_path: Path) -> None:
    first = caller(tmp_path, 15)
    wait_for(lambda: steps_done(tmp_path) >= 1)
    first.kill()
    first.wait()
    folder = only_run(tmp_path)
    assert folder is not None
    wait_for((folder / "manifest.json").exists)
    assert job_cases.run(tmp_path, steps=15).cached


def test_two_callers_start_one_job(tmp_path: Path) -> None:
    callers = [caller(tmp_path, 20) for _ in range(2)]
    texts = [one.communicate(timeout=120)[0] for one in callers]
    assert [one.returncode for one in callers] == [0, 0], texts
    assert texts[0].splitlines()[-1] == texts[1].splitlines()[-1]
    folder = only_run(tmp_path)
    assert folder is not None and len(calls(folder)) == 1


def test_a_job_that_ends_while_it_is_asked_for_is_not_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = job_cases.run(tmp_path, steps=1).path
    manifest, aside = folder / "manifest.json", tmp_path / "aside.json"
    manifest.rename(aside)

    def ends_now(run_dir: Path) -> bool:
        aside.rename(run_dir / "manifest.json")
        return False

    monkeypatch.setattr("geor1.runs.stages.jobs.is_running", ends_now)
    run = job_cases.run(tmp_path, steps=1)
    assert run.cached and run.manifest["attempts"] == 1 and len(calls(folder)) == 1


def test_a_beat_that_fails_does_not_end_the_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from geor1.runs.jobs import supervise

    files = JobFiles(tmp_path)
    files.folder.mkdir()
    supervise.beat(files)  # the file is gone: it is written anew
    assert is_running(tmp_path) and capsys.readouterr().out == ""

    def refuse(path: Path) -> None:
        raise OSError(116, "Stale file handle", str(path))

    files.running.unlink()
    with monkeypatch.context() as patch:
        patch.setattr(supervise.os, "utime", refuse)
        supervise.beat(files)
        assert is_running(tmp_path) and capsys.readouterr().out == ""
        patch.setattr(supervise, "write_running", lambda files: refuse(files.running))
        supervise.beat(files)
    assert "supervisor: warning: no sign of life written (" in capsys.readouterr().out
    os.utime(files.running, (1, 1))
    supervise.beat(files)
    assert files.running.stat().st_mtime > 1


def test_a_killed_supervisor_takes_its_processes_along(tmp_path: Path) -> None:
    first = caller(tmp_path, 300)
    wait_for(lambda: steps_done(tmp_path) >= 1)
    folder = only_run(tmp_path)
    assert folder is not None
    files = JobFiles(folder)
    os.kill(json.loads(files.running.read_text())["pid"], signal.SIGKILL)
    printed, _ = first.communicate(timeout=30)
    assert first.returncode != 0
    assert "JobFailedError" in printed and "the training ended without a word: its supervisor was killed" in printed
    wait_for(lambda: is_gone(calls(folder)[0]), 10)
    assert not is_running(folder)


def test_a_process_number_used_again_is_not_taken_for_the_supervisor(tmp_path: Path) -> None:
    files = JobFiles(tmp_path)
    files.folder.mkdir()
    from geor1.runs.jobs.files import write_running

    write_running(files)
    assert is_running(tmp_path)
    found = json.loads(files.running.read_text())
    files.running.write_text(json.dumps({**found, "started": "1"}))
    assert not is_running(tmp_path)
    files.running.write_text(json.dumps({**found, "host": "elsewhere"}))
    assert is_running(tmp_path)  # it beat a moment ago
    os.utime(files.running, (time.time() - 3600,) * 2)
    assert not is_running(tmp_path)


def test_an_exception_is_told_with_the_end_of_the_log_and_the_next_attempt_resumes(tmp_path: Path) -> None:
    with pytest.raises(JobFailedError, match=r"(?s)^ValueError: step 3 went wrong\nthe end of .*job.log:.*Traceback"):
        job_cases.run(tmp_path, steps=5, fails_at=3)
    folder = only_run(tmp_path)
    assert folder is not None and not (folder / "manifest.json").exists()
    assert "step 3 went wrong" in (folder / "log.txt").read_text()
    run = job_cases.run(tmp_path, steps=5, fails_at=3)  # step 3 is behind it
    assert run.manifest["attempts"] == 2 and len(read_metrics(run.path)) == 5


def test_a_stop_is_passed_on_and_the_same_call_goes_on(tmp_path: Path) -> None:
    first = caller(tmp_path, 40)
    wait_for(lambda: steps_done(tmp_path) >= 2)
    first.send_signal(signal.SIGUSR1)
    printed, _ = first.communicate(timeout=60)
    assert "RunStoppedError: stopped by SIGUSR1 after step" in printed
    stopped_at = steps_done(tmp_path)
    assert 2 <= stopped_at < 40
    run = job_cases.run(tmp_path, steps=40)
    assert run.manifest["attempts"] == 2 and [row["step"] for row in read_metrics(run.path)] == list(range(1, 41))


def test_the_supervisor_understands_sigterm(tmp_path: Path) -> None:
    first = caller(tmp_path, 300)
    wait_for(lambda: steps_done(tmp_path) >= 1)
    folder = only_run(tmp_path)
    assert folder is not None
    os.kill(json.loads(JobFiles(folder).running.read_text())["pid"], signal.SIGTERM)
    assert "RunStoppedError: stopped by SIGTERM" in first.communicate(timeout=60)[0]


def test_a_stop_of_an_earlier_attempt_is_forgotten(tmp_path: Path) -> None:
    with pytest.raises(JobFailedError):
        job_cases.run(tmp_path, steps=2, fails_at=1)
    folder = only_run(tmp_path)
    assert folder is not None
    request_stop(folder, "a night long gone")
    assert job_cases.run(tmp_path, steps=2, fails_at=1).metrics == {"steps": 2}


def test_what_cannot_be_imported_is_refused_at_once(tmp_path: Path) -> None:
    from geor1.runs import LaunchConfig, run_stage

    def local(config: job_cases.ToyConfig, run_dir: Path) -> Path:
        return run_dir

    with pytest.raises(ConfigError, match=r"local: processes of its own import what they run; put it into a module"):
        run_stage("03_grpo", "smoke", job_cases.ToyConfig(), local, {}, tmp_path, launch=LaunchConfig(processes=1))


@pytest.mark.parametrize("then", ["silent", "gone", "another"])
def test_a_process_ends_without_its_supervisor(tmp_path: Path, then: str) -> None:
    """On another machine nothing else would end it: srun, killed, leaves its tasks running."""
    files = JobFiles(tmp_path)
    files.folder.mkdir()
    files.running.write_text(json.dumps({"host": "node0", "pid": 7, "started": "1"}))
    watched = (
        "import time; from pathlib import Path; from geor1.runs.jobs.child import watch; "
        f"from geor1.runs.jobs.files import JobFiles; watch(JobFiles(Path({str(tmp_path)!r})), silent_s=2.0)"
    )
    process = subprocess.Popen([sys.executable, "-c", watched], stdout=subprocess.PIPE, text=True)
    alive_until = time.monotonic() + 4.0
    while time.monotonic() < alive_until:
        os.utime(files.running)
        time.sleep(0.2)
        assert process.poll() is None, "it ended though its supervisor was there"
    if then == "gone":
        files.running.unlink()
    elif then == "another":
        files.running.write_text(json.dumps({"host": "node1", "pid": 8, "started": "2"}))
    printed, _ = process.communicate(timeout=30)
    assert process.returncode == 1 and "its supervisor is gone, or silent" in printed
