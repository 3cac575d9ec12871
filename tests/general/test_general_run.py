"""``geor1 eval general`` from the command line, with a harness that is a small script."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from geor1.cli import main
from geor1.general.commands import LIGHTEVAL, LMMS_EVAL, VLMEVALKIT, Request, build_command, default_prefix, pitfalls
from geor1.runs import ConfigError

URL = "http://127.0.0.1:8000/v1"


def words(verb: str, suite: str, tasks: str, out: Path, harness: str, *more: str) -> list[str]:
    given = ["eval", "general", verb, "--suite", suite, "--url", URL, "--model", "geo", "--tasks", tasks]
    return [*given, "--out", str(out), "--prefix", harness, *more]


def request(suite: str, *tasks: str, **changes: object) -> Request:
    return Request(**{"suite": suite, "url": URL, "model": "geo", "tasks": tasks, "out": Path("/out"), **changes})


def runs(out: Path) -> int:
    return len((out / "runs.txt").read_text().splitlines())


# --- commands --------------------------------------------------------------------------------------------------------


def test_exact_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    lmms = build_command(request(LMMS_EVAL, "mmmu_val", "megabench_core_si", limit=8), default_prefix(LMMS_EVAL, "py"))
    assert str(lmms) == (
        "cd /out && env OPENAI_API_KEY=EMPTY py -m lmms_eval --model openai --model_args "
        "model=geo,base_url=http://127.0.0.1:8000/v1,timeout=600,num_concurrent=32 --tasks mmmu_val,megabench_core_si "
        "--gen_kwargs max_new_tokens=4096,temperature=0 --batch_size 1 --log_samples --output_path /out "
        "--use_cache /out/cache --limit 8"
    )
    light = build_command(request(LIGHTEVAL, "gpqa:diamond|0"), default_prefix(LIGHTEVAL, "py"))
    assert light.words == (
        "py", "-m", "lighteval", "endpoint", "litellm",
        "model_name=openai/geo,base_url=http://127.0.0.1:8000/v1,timeout=600,concurrent_requests=32,"
        "cache_dir=/out/cache,generation_parameters={temperature:0,max_new_tokens:4096}",
        "gpqa:diamond|0", "--output-dir", "/out", "--save-details",
    )  # fmt: skip
    kit = build_command(request(VLMEVALKIT, "MMMU_DEV_VAL", "MEGABench_core_16frame"), ("py", "run.py"))
    assert " --judge exact_matching" in str(kit) and "--data MMMU_DEV_VAL MEGABench_core_16frame --model geo" in str(
        kit
    )
    assert kit.environment == {"MMEVAL_ROOT": "/out", "PRED_FORMAT": "tsv"}


def test_a_command_is_one_shell_line_and_no_key_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "mine-and-secret")
    command = build_command(request(LIGHTEVAL, "gpqa:diamond|0"), ("my env/python", "-m", "lighteval"))
    assert "secret" not in str(command) and not command.environment
    assert shlex.split(str(command))[3:] == list(command.words)


@pytest.mark.parametrize(
    ("suite", "tasks", "changes", "message"),
    [
        ("lm-eval", ("a",), {}, "suite: expected one of lmms-eval, lighteval, vlmevalkit"),
        (VLMEVALKIT, ("GPQA",), {}, "GPQA: vlmevalkit has no GPQA; use lighteval"),
        (LMMS_EVAL, ("gpqa_diamond_zeroshot",), {}, "log-likelihood, which a chat endpoint does not give"),
        (LIGHTEVAL, ("gpqa:mc|0",), {}, "log-likelihood; use gpqa:diamond"),
        (LIGHTEVAL, ("mmmu_pro:vision|0",), {}, "sends no images; use lmms-eval"),
        (LMMS_EVAL, (), {}, "tasks: expected at least one"),
        (LMMS_EVAL, ("a b",), {}, "tasks: expected names separated by commas, got 'a b'"),
        (LMMS_EVAL, ("a",), {"url": "localhost:8000"}, "url: expected http://host:port/v1"),
        (LMMS_EVAL, ("a",), {"model": "geo,timeout=1"}, "model: may hold no comma"),
        (LMMS_EVAL, ("a",), {"out": Path("/a=b")}, "out: may hold no comma, equal sign"),
        (LMMS_EVAL, ("a",), {"timeout_s": 0}, "timeout_s: expected at least 1, got 0"),
        (LMMS_EVAL, ("a",), {"limit": 0}, "limit: expected at least 1 item"),
        (VLMEVALKIT, ("MMStar",), {"limit": 5}, "vlmevalkit has no such option"),
    ],
)
def test_requests_that_cannot_work(suite: str, tasks: tuple[str, ...], changes: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        request(suite, *tasks, **changes)


def test_pitfalls_are_told_where_they_apply() -> None:
    assert len(pitfalls(request(LMMS_EVAL, "mmmu_val"))) == 1 and "max_pixels" in pitfalls(request(LMMS_EVAL, "a"))[0]
    gpqa = " ".join(pitfalls(request(LMMS_EVAL, "gpqa_diamond_cot_zeroshot")))
    assert "GPQA is gated" in gpqa and "--filter 2" in gpqa
    assert "evaluator.py" in " ".join(pitfalls(request(LMMS_EVAL, "megabench_core")))
    assert "judge model" in " ".join(pitfalls(request(VLMEVALKIT, "MEGABench_open_16frame")))


def test_printing_runs_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str], fake_harness: str) -> None:
    out = tmp_path / "out"
    assert main(words("command", LMMS_EVAL, "mmmu_val", out, fake_harness)) == 0
    printed = capsys.readouterr().out
    assert main(words("run", LMMS_EVAL, "mmmu_val", out, fake_harness, "--dry-run")) == 0
    assert capsys.readouterr().out == printed and not out.exists()
    assert printed.splitlines()[0].startswith("# ") and f"cd {out} && " in printed.splitlines()[-1]


# --- running ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("suite", "tasks", "logs", "found"),
    [
        (LMMS_EVAL, "mmmu_val,mmmu_test", 2, {"mmmu_val": 4, "mmmu_test": 4}),
        (LIGHTEVAL, "gpqa:diamond|0", 1, {"gpqa:diamond|0": 4}),
        (VLMEVALKIT, "MMMU_DEV_VAL", 1, {"MMMU_DEV_VAL": 4}),
    ],
)
def test_run_import_and_not_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], fake_harness: str,
    suite: str, tasks: str, logs: int, found: dict[str, int],
) -> None:  # fmt: skip
    out, samples = tmp_path / "out", tmp_path / "samples" / "ours.jsonl"
    assert main(words("run", suite, tasks, out, fake_harness)) == 0
    finished = json.loads((out / "finished.json").read_text())
    assert len(finished["logs"]) == logs and finished["suite"] == suite and finished["url"] == URL
    assert (out / "command.sh").read_text() == f"#!/bin/sh\n{finished['command']}\n"
    assert capsys.readouterr().out.splitlines()[-1] == f"finished: {out / 'finished.json'}"
    assert main(words("run", suite, tasks, out, fake_harness, "--concurrent", "4")) == 0
    assert "finished before, not run again" in capsys.readouterr().out and runs(out) == 1
    assert main(["eval", "general", "import", "--suite", suite, str(out), "--out", str(samples)]) == 0
    printed = capsys.readouterr().out
    assert all(f"{task}: n {n}, " in printed and " 50.00 of 100" in printed for task, n in found.items())
    assert len(samples.read_text().splitlines()) == sum(found.values())


def test_a_log_that_was_changed_is_made_again(tmp_path: Path, fake_harness: str) -> None:
    out = tmp_path / "out"
    assert main(words("run", LMMS_EVAL, "mmmu_val", out, fake_harness)) == 0
    (log,) = out.rglob("*.jsonl")
    log.write_text("")
    assert main(words("run", LMMS_EVAL, "mmmu_val", out, fake_harness)) == 0
    assert runs(out) == 2 and log.read_text()


def test_a_folder_of_another_run_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], fake_harness: str
) -> None:
    out = tmp_path / "out"
    assert main(words("run", LMMS_EVAL, "mmmu_val", out, fake_harness)) == 0
    assert main(words("run", LMMS_EVAL, "mmmu_val", out, fake_harness, "--limit", "2")) == 2
    assert "holds another run (limit was None, is 2); choose another --out" in capsys.readouterr().err


def test_a_crash_names_the_log_and_the_same_command_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], fake_harness: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    monkeypatch.setenv("FAKE", "crash")
    assert main(words("run", LMMS_EVAL, "mmmu_val", out, fake_harness)) == 1
    error = capsys.readouterr().err
    assert f"lmms-eval stopped with exit code 3; run the same command again to go on. Its output is {out}" in error
    assert "harness.log" in error and "CUDA error: an illegal memory access" in error
    assert not (out / "finished.json").exists()
    monkeypatch.setenv("FAKE", "ok")
    assert main(words("run", LMMS_EVAL, "mmmu_val", out, fake_harness)) == 0
    assert runs(out) == 2 and (out / "finished.json").is_file()


def test_exit_code_0_without_logs_is_a_failure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], fake_harness: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE", "empty")
    assert main(words("run", LMMS_EVAL, "mmmu_val", tmp_path / "out", fake_harness)) == 1
    error = capsys.readouterr().err
    assert "ended with exit code 0, but" in error and "no log of lmms-eval" in error
    assert "Could not save sample results" in error and not (tmp_path / "out" / "finished.json").exists()


def test_fewer_logs_than_tasks_is_a_failure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], fake_harness: str
) -> None:
    out = tmp_path / "out"
    (out / "geo").mkdir(parents=True)
    script = tmp_path / "half.py"
    script.write_text(
        "import pathlib; pathlib.Path('geo/20260101_000000_samples_mmmu_val.jsonl').write_text('{}')\nprint('1 done')"
    )
    assert main(words("run", LMMS_EVAL, "mmmu_val,mmmu_pro", out, f"{sys.executable} {script}")) == 1
    assert (
        "2 tasks were asked for and 1 logs are there (20260101_000000_samples_mmmu_val.jsonl)"
        in capsys.readouterr().err
    )


def test_a_missing_program_and_a_missing_prefix(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words("run", LMMS_EVAL, "mmmu_val", tmp_path / "out", "/no/such/python -m lmms_eval")) == 2
    assert "/no/such/python: no such program; name the harness's own" in capsys.readouterr().err
    given = words("command", VLMEVALKIT, "MMStar", tmp_path / "out", "")
    assert main([*given[:-2], "--python", sys.executable]) == 2
    assert "give --prefix 'PYTHON CHECKOUT/run.py', not --python" in capsys.readouterr().err


def test_the_harness_may_use_the_model_hub_and_relative_paths(tmp_path: Path, fake_harness: str) -> None:
    """As a user starts it: nothing set by us keeps the harness offline, and paths are those of the user's folder."""
    (tmp_path / "fake.py").write_text(f"import sys; sys.path.insert(0, {os.path.dirname(fake_harness.split()[1])!r})\n")
    with (tmp_path / "fake.py").open("a") as file:
        file.write("import fake_harness; sys.exit(fake_harness.main())\n")
    environment = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}
    environment["PYTHONPATH"] = str(Path(__file__).resolve().parents[2])
    given = words("run", LMMS_EVAL, "mmmu_val", Path("out"), f"{sys.executable} fake.py")
    done = subprocess.run(
        [sys.executable, "-m", "geor1", *given], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "HF_HUB_OFFLINE unset" in (tmp_path / "out" / "harness.log").read_text()


def test_two_runs_in_one_folder_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], fake_harness: str
) -> None:
    from filelock import FileLock

    with FileLock(tmp_path / ".lock"):
        assert main(words("run", LMMS_EVAL, "mmmu_val", tmp_path, fake_harness)) == 1
    assert "another process is running there" in capsys.readouterr().err


def test_megabench_is_imported_with_the_published_kind_of_mean(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from harness_logs import write_megabench

    write_megabench(tmp_path, {"chess": [1.0], "maps": [0.0, 0.25, 0.5]}, name="data_with_scores_open.json")
    assert (
        main(["eval", "general", "import", "--suite", LMMS_EVAL, str(tmp_path), "--out", str(tmp_path / "s.jsonl")])
        == 0
    )
    line = "megabench_open: n 4, query_score 43.75 of 100; mean over its 2 tasks 62.50"
    assert capsys.readouterr().out.splitlines()[0] == line


# --- comparing -------------------------------------------------------------------------------------------------------


def test_retention_from_logs_to_report(tmp_path: Path, capsys: pytest.CaptureFixture[str], fake_harness: str) -> None:
    for name in ("base", "ours"):
        assert main(words("run", LMMS_EVAL, "mmmu_val", tmp_path / name, fake_harness, "--limit", "300")) == 0
        given = [
            "eval",
            "general",
            "import",
            "--suite",
            LMMS_EVAL,
            str(tmp_path / name),
            "--out",
            str(tmp_path / f"{name}.jsonl"),
        ]
        assert main(given) == 0
    capsys.readouterr()
    base, ours, report = (str(tmp_path / name) for name in ("base.jsonl", "ours.jsonl", "report.json"))
    assert main(["eval", "general", "retention", base, ours, "--margin", "1.5", "--output", report]) == 0
    printed = capsys.readouterr().out
    assert (
        "| mmmu_val | 300 | 50.00 | 50.00 | +0.00 [-1.22, +1.22] | 0 / 0 | 1.0000 | 1.0000 | non-inferior |" in printed
    )
    content = json.loads(Path(report).read_text())
    assert content["retained"] is True and content["rows"][0]["n"] == 300 and content["margin_points"] == 1.5
    assert (
        main(["eval", "general", "retention", base, base]) == 2
        and "given as base and as ours" in capsys.readouterr().err
    )
    (tmp_path / "ours.jsonl").write_text("".join((tmp_path / "ours.jsonl").read_text().splitlines(keepends=True)[1:]))
    assert main(["eval", "general", "retention", base, ours]) == 1
    assert "1 items only base was asked" in capsys.readouterr().err
    assert main(["eval", "general", "retention", base, ours, "--intersect", "--tasks", "mmmu_val"]) == 0
    assert "| mmmu_val | 299 |" in capsys.readouterr().out
