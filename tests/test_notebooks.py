"""The five notebooks: their contract read from the files, and all of them executed on the profile ``smoke``."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from geor1.records import Prediction, Question, Scaffold, read_jsonl
from geor1.runs import STAGES, load_profile, profile_names, read_manifest, read_metrics
from geor1.runs.launch import execute, notebook_parameters
from geor1.runs.notebook import notebook_declarations

ROOT = Path(__file__).resolve().parents[1]
each_stage = pytest.mark.parametrize("stage", STAGES)
PRODUCTS = {
    "01_data_synthesis": (
        "pairs.jsonl",
        "questions_train.jsonl",
        "questions_test.jsonl",
        "scaffolds.jsonl",
        "README.md",
    ),
    "02_scaffold_sft": ("checkpoint/model.safetensors", "metrics.jsonl", "labels_seen.json"),
    "03_grpo": ("checkpoint/model.safetensors", "metrics.jsonl", "rollouts.jsonl", "labels_seen.json"),
    "04_evaluation": ("predictions.jsonl", "scores.json"),
    "05_map_visualisation": ("map.html", "map.png", "errors.png", "worst.png", "places.png", "rollouts.html"),
}


def sources(path: Path, kind: str) -> list[str]:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == kind]


# --- the contract, read from the files -------------------------------------------------------------------------------


@each_stage
def test_nine_steps_in_order(stage: str) -> None:
    cells = json.loads((ROOT / "notebooks" / f"{stage}.ipynb").read_text(encoding="utf-8"))["cells"]
    texts = ["".join(cell["source"]) for cell in cells]
    code = [text if cell["cell_type"] == "code" else "" for text, cell in zip(texts, cells, strict=True)]
    tagged = [i for i, cell in enumerate(cells) if "parameters" in cell["metadata"].get("tags", [])]
    place = {
        "title": 0,
        "version stamp": next(i for i, text in enumerate(code) if "version_stamp()" in text),
        "parameters": tagged[0],
        "config": next(i for i, text in enumerate(code) if "show_config(config)" in text),
        "input": next(i for i, text in enumerate(texts) if re.match(r"## The inputs?\b", text)),
        "idea": next(i for i, text in enumerate(texts) if re.match(r"## (The idea|Idea 1)\b", text)),
        "call": next(i for i, text in enumerate(code) if f'run = run_stage("{stage}", profile, config,' in text),
        "look": next(i for i, text in enumerate(texts) if text.startswith("## A look")),
        "checks": next(i for i, text in enumerate(texts) if text.startswith("## Checks, result")),
    }
    assert len(tagged) == 1
    assert list(place.values()) == sorted(set(place.values())), place
    ideas = texts[place["idea"] : place["call"]]
    assert any("$$" in text for text in ideas) and any("assert" in text for text in ideas), "formula and checked result"
    assert "assert" in code[place["checks"] + 1] and "relative_to" in code[place["checks"] + 1]


@each_stage
def test_title_asks_one_question_and_says_what_it_needs(stage: str) -> None:
    title = sources(ROOT / "notebooks" / f"{stage}.ipynb", "markdown")[0]
    question = re.search(r"^\*\*(.+)\*\*$", title, re.MULTILINE | re.DOTALL)
    assert question and question[1].endswith("?") and question[1].count("?") == 1
    assert re.findall(r"^\| \*\*(\w+)\*\* \|", title, re.MULTILINE) == ["reads", "writes", "needs", "minutes"]


@pytest.mark.parametrize(("stage", "after"), list(zip(STAGES, STAGES[1:], strict=False)))
def test_each_notebook_names_the_next(stage: str, after: str) -> None:
    assert f"({after}.ipynb)" in "\n".join(sources(ROOT / "notebooks" / f"{stage}.ipynb", "markdown")[-2:])


@pytest.mark.parametrize("profile", profile_names())
def test_the_control_is_asked_for_where_the_profile_writes_labelled_chains(profile: str, tmp_path: Path) -> None:
    asked: list[str] = []

    def upstream(stage: str, *_: Any, seed: int, scaffolds: str = "", **__: Any) -> Path:
        assert seed == 42, "of the config, not the parameters cell's literal, which shows the profile miniature"
        asked.append(scaffolds)
        return tmp_path

    (tmp_path / "labels_seen.json").write_text('{"pairing_labels_seen": 1}')
    cells = sources(ROOT / "notebooks" / "04_evaluation.ipynb", "code")
    (cell,) = [text for text in cells if "labelled_scaffolds.jsonl" in text]
    names: dict[str, Any] = {"profile": profile, "labelled_control": True, "runs_dir": "", "seed": 0}
    names |= {"config": SimpleNamespace(seed=42)}
    names |= {"data": "", "sft": "", "grpo": "", "Path": Path, "json": json, "load_profile": load_profile}
    names |= {"upstream": upstream, "read_manifest": lambda _: {"parameters": {"base_model": str(tmp_path)}}}
    exec(cell.partition("questions = ")[0], names)  # what follows draws questions
    written = load_profile(profile)["01_data_synthesis"]["labelled_scaffolds"]
    assert ("control" in names["models"]) == ("labelled_scaffolds.jsonl" in asked) == (written > 0)
    assert written == 0 or profile in ("miniature", "smoke")


@pytest.mark.parametrize(("given", "expected"), [(None, 42), (0, 0), (3, 3)])
def test_the_map_shows_the_runs_of_the_profile_s_own_seed_unless_told(given: int | None, expected: int) -> None:
    declared = notebook_declarations(ROOT / "notebooks" / "05_map_visualisation.ipynb")
    assert declared["seed"].value is None and notebook_parameters(STAGES[4], "paper", {"seed": "3"}, ROOT)["seed"] == 3
    assert "seed" not in notebook_parameters(STAGES[4], "paper", {}, ROOT)
    asked: list[tuple[str, int]] = []

    def upstream(stage: str, profile: str, runs_dir: str, *, seed: int) -> Path:
        asked.append((stage, seed))
        return ROOT

    cells = sources(ROOT / "notebooks" / "05_map_visualisation.ipynb", "code")
    (cell,) = [text for text in cells if "upstream(" in text]
    names = {"profile": "paper", "runs_dir": "", "predictions": "", "data": "", "grpo": "", "seed": given}
    names |= {"Path": Path, "upstream": upstream, "load_profile": load_profile}
    exec(cell.partition("rows = ")[0], names)  # what follows reads predictions
    assert asked == [(stage, expected) for stage in ("04_evaluation", "01_data_synthesis", "03_grpo")]


@pytest.mark.parametrize("stage", STAGES[1:4])
def test_earlier_runs_are_looked_for_at_the_config_s_seed(stage: str) -> None:
    code = "\n".join(sources(ROOT / "notebooks" / f"{stage}.ipynb", "code"))
    calls = re.findall(r"upstream\(\"\w+\", profile, runs_dir, (.+?)[,)]", code)
    assert set(calls) - {"**options"} == {"seed=config.seed"} and '"seed": seed' not in code


# --- executed --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The notebooks folder of a fresh clone, with the real data beside it where they are present."""
    place = tmp_path_factory.mktemp("notebooks")
    notebooks = place / "clone" / "notebooks"
    shutil.copytree(ROOT / "notebooks", notebooks, ignore=shutil.ignore_patterns("out*.ipynb", ".ipynb_checkpoints"))
    real = Path(os.environ.get("GEOR1_REAL_DATA", ROOT.parent / "shared" / "data")).resolve()
    if real.is_dir():
        (place / "shared").mkdir()
        (place / "shared" / "data").symlink_to(real)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GEOR1_NOTEBOOKS", str(notebooks))
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("GEOR1_PROGRESS", "off")
        patch.delenv("GEOR1_RUNS", raising=False)
        patch.delenv("MPLBACKEND", raising=False)  # figures are to be in the executed copies
        yield notebooks


def papermill(clone: Path, stage: str, *parameters: str) -> subprocess.CompletedProcess[str]:
    """Plain papermill, as a person types it in the notebooks folder."""
    given = [
        part for name, value in zip(parameters[::2], parameters[1::2], strict=True) for part in ("-p", name, value)
    ]
    command = [sys.executable, "-m", "papermill", f"{stage}.ipynb", f"out_{stage}.ipynb", "--no-progress-bar", *given]
    return subprocess.run(command, cwd=clone, capture_output=True, text=True, timeout=540)


@pytest.fixture(scope="module")
def executed(clone: Path) -> dict[str, Path]:
    """Run folder by stage, after papermill ran 02 to 05; nothing was there, so 02 has 01 made first."""
    for stage in STAGES[1:]:
        result = papermill(clone, stage, "profile", "smoke")
        assert result.returncode == 0, f"{stage}: {result.stderr[-3000:]}"
    return {stage: newest_run(clone, stage) for stage in STAGES}


def newest_run(clone: Path, stage: str) -> Path:
    """The run of a stage that the later ones built upon: the profile's own, not the control or the real pairs."""
    folder = clone.parent / "runs" / "smoke" / stage
    own = [path for path in folder.iterdir() if (path / "manifest.json").is_file() and is_own(path)]
    assert len(own) == 1, f"{stage}: {sorted(path.name for path in folder.iterdir())}"
    return own[0]


def is_own(run: Path) -> bool:
    parameters = manifest_of(run)["parameters"]
    return parameters.get("source", "world") == "world" and not parameters.get("scaffolds", "").startswith("labelled")


def manifest_of(run: Path) -> dict[str, Any]:
    manifest = read_manifest(run)
    assert manifest is not None
    return manifest


def outputs(path: Path) -> list[dict[str, Any]]:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [output for cell in cells if cell["cell_type"] == "code" for output in cell["outputs"]]


def printed(path: Path) -> str:
    return "".join("".join(output["text"]) for output in outputs(path) if output["output_type"] == "stream")


@each_stage
def test_products_and_manifest(executed: dict[str, Path], stage: str) -> None:
    run = executed[stage]
    for name in PRODUCTS[stage]:
        assert (run / name).stat().st_size > 0, name
    manifest = manifest_of(run)
    assert (manifest["stage"], manifest["profile"], manifest["attempts"]) == (stage, "smoke", 1)
    assert manifest["code"]["version"] and manifest["wall_s"] > 0
    assert {path.name for path in run.glob("*.partial")} == set()


@each_stage
def test_executed_copy_reads_well(clone: Path, executed: dict[str, Path], stage: str) -> None:
    made_for_another = stage == STAGES[0]  # 01 was run by upstream: its executed copy lies in the run folder
    path = executed[stage] / "notebook.ipynb" if made_for_another else clone / f"out_{stage}.ipynb"
    found = outputs(path)
    assert not [output for output in found if output["output_type"] == "error"]
    assert not [output["text"] for output in found if output.get("name") == "stderr"]
    assert sum("image/png" in output.get("data", {}) for output in found) >= 3, "figures are missing"
    assert len(printed(path).splitlines()) < 400, "the output floods"


def test_missing_stages_ran_first_and_said_so(clone: Path, executed: dict[str, Path]) -> None:
    text = printed(clone / "out_02_scaffold_sft.ipynb")
    assert "01_data_synthesis: no finished run for profile smoke" in text and "running it first" in text
    assert not (clone / "out_01_data_synthesis.ipynb").exists()
    for stage in STAGES[2:]:  # everything else was found, except the control that 04 has made
        text = printed(clone / f"out_{stage}.ipynb")
        assert re.findall(r"^(\S+): no finished run", text, re.MULTILINE) == ["02_scaffold_sft"] * (stage[:2] == "04")


def test_stages_hand_on_what_they_say(executed: dict[str, Path]) -> None:
    data = executed["01_data_synthesis"]
    assert len(read_jsonl(data / "questions_test.jsonl", Question)) == 24
    assert all(one.pairing_labels_seen == 0 for one in read_jsonl(data / "scaffolds.jsonl", Scaffold))
    assert [row["step"] for row in read_metrics(executed["02_scaffold_sft"])] == list(range(1, 9))
    assert {row["step"] for row in read_metrics(executed["03_grpo"])} == {0, 1, 2, 3}
    labels = json.loads((executed["03_grpo"] / "labels_seen.json").read_text())
    assert labels["pairing_labels_seen"] == 6
    rows = json.loads((executed["04_evaluation"] / "scores.json").read_text())["table"]
    assert [row["label"] for row in rows] == ["base", "sft", "grpo", "control"]
    assert [row["pairing_labels_seen"] for row in rows][1:] == [0, 6, 6]
    predictions = read_jsonl(executed["04_evaluation"] / "predictions.jsonl", Prediction)
    asked = {(p.task, p.condition) for p in predictions}
    assert asked == {("pairing", "normal"), ("pairing", "blind"), ("pairing", "shuffled"), ("geolocation", "normal")}


def test_real_data_take_part_where_they_are(executed: dict[str, Path], real_data: Path) -> None:
    scores = json.loads((executed["04_evaluation"] / "scores.json").read_text())
    assert {row["n"] for row in scores["real"]} == {10}
    assert len(scores["imports"]) == 6
    assert (executed["05_map_visualisation"] / "imported_map.html").stat().st_size > 100_000


@pytest.mark.parametrize("stage", ["01_data_synthesis", "05_map_visualisation"])
def test_second_execution_is_a_cache_hit(clone: Path, executed: dict[str, Path], stage: str) -> None:
    before = os.stat(executed[stage] / "manifest.json").st_mtime_ns
    again = execute(stage, "smoke", {}, clone.parent / "runs")
    assert again.run_dir == executed[stage] and again.notebook == executed[stage] / "notebook.ipynb"
    assert "finished before" in printed(again.notebook)
    assert os.stat(executed[stage] / "manifest.json").st_mtime_ns == before


@pytest.mark.parametrize(
    ("stage", "given", "message"),
    [
        ("03_grpo", ("stepz", "5"), "the notebook has no parameter 'stepz'; did you mean 'steps'?"),
        ("01_data_synthesis", ("train_pairs", "many"), "train_pairs: expected int, got 'many' (str)"),
        ("05_map_visualisation", ("profile", "smok"), "no profile 'smok'; did you mean 'smoke'?"),
    ],
)
def test_plain_papermill_is_strict(clone: Path, stage: str, given: tuple[str, str], message: str) -> None:
    parameters = given if given[0] == "profile" else ("profile", "smoke", *given)
    result = papermill(clone, stage, *parameters)
    assert result.returncode != 0
    assert "ConfigError" in result.stderr and message in result.stderr
