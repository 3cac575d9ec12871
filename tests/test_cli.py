"""The command ``geor1``, on toy notebooks that papermill really executes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from geor1.cli import main
from geor1.runs import STAGES, ConfigError, load_profile
from geor1.runs.launch import hidden_parameters, notebook_parameters, parse_given, quiet_environment
from geor1.runs.notebook import declared_parameters
from geor1.runs.processes import LAUNCH_VARIABLE, launch_config
from geor1.runs.profiles import about_profile, launch_section
from geor1.runs.scores import aggregate, format_table

REPOSITORY = Path(__file__).resolve().parents[1]


def geor1(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "geor1", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=400)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "03_gpro"], "no notebook or stage '03_gpro'; did you mean '03_grpo'?"),
        (["run", "03", "--profile", "minature"], "no profile 'minature'; did you mean 'miniature'?"),
        (["run", "03", "-p", "stepz=5"], "03_grpo: no parameter 'stepz'; did you mean 'steps'?"),
        (["run", "03", "-p", "steps=many"], "03_grpo: steps: expected int, got 'many' (str)"),
        (["run", "03", "-p", "steps=1.5"], "03_grpo: steps: expected int, got 1.5 (float)"),
        (["run", "03", "-p", "steps"], "-p steps: expected name=value, as in -p steps=200"),
        (["run", "03", "-p", "profile=full"], "03_grpo: give profile as --profile, not with -p"),
        (["where", "--profile", "ful"], "no profile 'ful'; did you mean 'full'?"),
    ],
)
def test_a_wrong_request_is_one_line_and_code_2(
    toy_notebooks: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f"geor1: {message}") and captured.err.count("\n") == 1 and not captured.out


def test_unknown_command_is_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["trian"])
    assert stopped.value.code == 2 and "invalid choice: 'trian'" in capsys.readouterr().err


def test_profiles_are_listed(toy_notebooks: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profiles"]) == 0
    assert capsys.readouterr().out.splitlines() == ["full", "miniature            toy"]


def test_command_line_values_are_read_by_annotation() -> None:
    declared = declared_parameters("a: float = 1.0\nb: str = ''\nc: int = 0\nd: list[int] = []\ne: bool = True") or {}
    given = {"a": "1e-6", "b": "1e-6", "c": "7", "d": "[1, 2]", "e": "false"}
    values = {name: parse_given(name, text, declared) for name, text in given.items()}
    assert values == {"a": 1e-6, "b": "1e-6", "c": 7, "d": [1, 2], "e": False}


def test_profile_values_are_injected_explicitly(toy_notebooks: Path) -> None:
    values = notebook_parameters("03_grpo", "full", {"steps": "7"}, Path("/somewhere"))
    assert values == {"profile": "full", "runs_dir": "/somewhere", "rate": 0.125, "steps": 7}


def test_fields_that_no_cell_shows_go_by_the_profile() -> None:
    given = {"steps": "7", "weight_decay": "1e-2", "loss_type": "dapo", "vllm_sleep": "true"}
    assert hidden_parameters("03_grpo", given) == {"weight_decay": 0.01, "loss_type": "dapo", "vllm_sleep": True}
    assert hidden_parameters("01_data_synthesis", {"bands": "[[0, 500, 1]]", "seed": "1"}) == {"bands": [[0, 500, 1]]}
    with pytest.raises(ConfigError, match=r"^03_grpo: weight_decay: expected float, got 'much'"):
        hidden_parameters("03_grpo", {"weight_decay": "much"})


def test_such_a_field_reaches_the_notebook_s_config(toy_notebooks: Path) -> None:
    done = geor1(toy_notebooks.parent, "run", "02", "--profile", "full", "-p", "lora_rank=4")
    assert "02_scaffold_sft, profile full: Config has no parameter 'lora_rank'" in done.stderr  # the toy's has none


def test_a_profile_stands_on_another(toy_notebooks: Path, capsys: pytest.CaptureFixture[str]) -> None:
    profiles = toy_notebooks / "profiles"
    (profiles / "big.yaml").write_text("about: {extends: full, device: h100}\nlaunch: {processes: 8}\n")
    (profiles / "mine.yaml").write_text("about: {extends: big}\nlaunch: {launcher: fsdp2}\n03_grpo: {steps: 7}\n")
    assert load_profile("mine")["03_grpo"] == {"steps": 7, "rate": 0.125}
    assert load_profile("mine")["02_scaffold_sft"] == load_profile("full")["02_scaffold_sft"]
    assert launch_section("mine") == {"processes": 8, "launcher": "fsdp2"}
    assert (about_profile("mine").device, about_profile("mine").extends) == ("h100", "big")
    (profiles / "full.yaml").write_text("about: {extends: mine}\n")
    with pytest.raises(ConfigError, match=r"^mine.yaml: extends itself, by way of mine -> big -> full -> mine$"):
        load_profile("mine")
    (profiles / "full.yaml").write_text("about: {extends: ful}\n")
    with pytest.raises(ConfigError, match=r"^full.yaml: extends: no profile 'ful'; did you mean 'full'"):
        load_profile("mine")


def test_the_demo_has_the_profile_s_seed_unless_told(toy_notebooks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def run_all(options: object, seed: int) -> None:
        asked.append(seed)
        raise ConfigError("enough")

    monkeypatch.setattr("geor1.cli._run_all", run_all)
    path = toy_notebooks / "profiles" / "full.yaml"
    path.write_text("".join(f"{stage}: {{steps: 30, rate: 0.125, seed: 42}}\n" for stage in STAGES))
    for words in (["--profile", "full"], ["--profile", "full", "--seed", "3"], []):
        assert main(["demo", *words]) == 2
    assert asked == [42, 3, 0]


def test_an_accelerate_file_is_looked_for_where_the_command_is_given(
    toy_notebooks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(LAUNCH_VARIABLE, "")
    assert main(["run", "09", "--launch", "processes=2", "accelerate_config=mine.yaml"]) == 2
    assert launch_config("full").accelerate_config == str(tmp_path / "mine.yaml")


def test_a_description_is_not_inherited(toy_notebooks: Path) -> None:
    (toy_notebooks / "profiles" / "mine.yaml").write_text("about: {extends: miniature}\n")
    assert about_profile("mine").description == "" and not about_profile("mine").run_missing_stages


def test_environment_of_the_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = {"OMP_WAIT_POLICY": "passive", "TOKENIZERS_PARALLELISM": "false"}
    small = {"MALLOC_TRIM_THRESHOLD_": "4294967296", "MALLOC_MMAP_MAX_": "0", "HF_HUB_OFFLINE": "1"}
    for name in wanted | small:
        monkeypatch.delenv(name, raising=False)
    assert quiet_environment("full") == wanted
    assert quiet_environment("miniature") == wanted | small
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    assert "HF_HUB_OFFLINE" not in quiet_environment("miniature")


def test_run_leaves_the_executed_notebook_in_the_run_folder(toy_notebooks: Path) -> None:
    done = geor1(toy_notebooks.parent, "run", "01", "-p", "steps=5", "-p", "label=7")
    assert done.returncode == 0, done.stderr
    folder = Path(done.stdout.splitlines()[-1].removeprefix("run folder: "))
    assert folder.parent == toy_notebooks.parent / "runs" / "miniature" / "01_data_synthesis"
    assert json.loads((folder / "manifest.json").read_text())["parameters"]["steps"] == 5
    cells = json.loads((folder / "notebook.ipynb").read_text())["cells"]
    assert any("injected-parameters" in cell["metadata"].get("tags", []) for cell in cells)
    assert "steps 5 rate 0.5" in done.stdout  # the kernel's output is passed on
    assert not list(folder.parent.glob(".executing-*"))
    listed = geor1(toy_notebooks.parent, "where", "01")
    assert str(folder) in listed.stdout and "seed 0" in listed.stdout


def test_a_failing_notebook_is_named_and_kept(toy_notebooks: Path) -> None:
    path = toy_notebooks / "01_data_synthesis.ipynb"
    path.write_text(path.read_text().replace("'accuracy': config.rate", "'accuracy': 1 / 0"))
    failed = geor1(toy_notebooks.parent, "run", "01")
    assert failed.returncode == 1
    assert "geor1: 01_data_synthesis: ZeroDivisionError: division by zero\nsee " in failed.stderr
    kept = toy_notebooks.parent / "runs" / "miniature" / "01_data_synthesis" / "failed.ipynb"
    assert str(kept) in failed.stderr and kept.is_file() and "Traceback" not in failed.stderr, failed.stderr


def test_demo_and_reproduce_print_the_score_table(toy_notebooks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = toy_notebooks.parent / "sources"  # of its own: an edit while the test runs would make its runs stale
    shutil.copytree(REPOSITORY / "geor1", sources / "geor1", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setenv("PYTHONPATH", str(sources))
    done = geor1(toy_notebooks.parent, "demo")
    assert done.returncode == 0, done.stderr
    assert "label  n  accuracy\ntoy    3     0.500" in done.stdout
    (map_line,) = [line for line in done.stdout.splitlines() if line.startswith("map: ")]
    assert Path(map_line.removeprefix("map: ")).read_text() == "map"
    assert done.stdout.count("executed notebook: ") == 5
    results = toy_notebooks.parent / "papers" / "results.json"
    again = geor1(toy_notebooks.parent, "reproduce", "--seeds", "0", "1")
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("finished before, taken from") == 5  # seed 0 was there
    assert "toy        2  3     0.562        0.088" in again.stdout
    written = json.loads(results.read_text())
    assert written["command"] == "geor1 reproduce --profile miniature --seeds 0 1"
    assert written["by_seed"]["1"] == [{"label": "toy", "n": 3, "accuracy": 0.625}]


def test_scores_of_several_seeds() -> None:
    tables = {
        0: [{"label": "base", "accuracy": 0.2, "n": 400, "low": None}],
        1: [{"label": "base", "accuracy": 0.4, "n": 400, "low": 0.1}, {"label": "SFT", "accuracy": 0.5, "n": 3}],
    }
    rows = aggregate(tables)
    assert rows[0] == {
        "label": "base", "seeds": 2, "accuracy": pytest.approx(0.3), "accuracy_sd": pytest.approx(0.02**0.5),
        "n": 400, "low": 0.1, "low_sd": None,
    }  # fmt: skip
    assert rows[1]["seeds"] == 1 and rows[1]["accuracy_sd"] is None
    assert format_table(rows).splitlines()[2].startswith("SFT        1")


def test_command_line_loads_no_torch() -> None:
    code = "import sys, geor1.cli; assert not {'torch', 'pandas', 'papermill'} & set(sys.modules), 'heavy import'"
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": str(REPOSITORY)})
