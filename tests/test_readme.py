"""The documents a newcomer reads: links lead somewhere, commands exist, examples run, tables are current."""

from __future__ import annotations

import argparse
import ast
import importlib
import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from geor1 import cli
from geor1.evaluation.claims import main as claims
from geor1.evaluation.claims import regenerate
from geor1.evaluation.readme import END, START, result_table, with_table
from geor1.evaluation.results import ClaimsError, read_results
from geor1.runs import STAGES, configure, launch_config, load_profile
from geor1.runs.config import config_class_of, config_fields
from geor1.runs.launch import Executed, hidden_parameters, parse_given
from geor1.runs.notebook import check_given, notebook_declarations
from geor1.runs.processes import check_fits, parse_launch
from geor1.runs.profiles import check_stage

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = (
    "README.md", "CONTRIBUTING.md", "papers/README.md", "papers/geo-r1.md", "papers/full-size.md", "papers/LOG.md",
)  # fmt: skip


def blocks(language: str) -> list[str]:
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```", README, flags=re.DOTALL | re.MULTILINE)
    return [re.sub(rf"^{indent}", "", text, flags=re.MULTILINE) for indent, text in found]


def commands() -> list[list[str]]:
    """Every ``make``, ``geor1``, ``papermill`` and ``python`` command of README.md, as words."""
    lines = [line for text in blocks("sh") for line in text.splitlines()]
    lines += re.findall(r"(?<!`)`([^`\n]+)`(?!`)", README)
    found = []
    for line in lines:
        for part in line.partition("#")[0].split("&&"):
            words = shlex.split(part)
            if len(words) > 1 and words[0] in ("make", "geor1", "papermill", "python"):
                found.append(words)
    return found


def anchors(text: str) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_relative_links_lead_somewhere(name: str) -> None:
    document = ROOT / name
    text = document.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        file = (document.parent / path).resolve() if path else document
        assert file.exists(), f"{name}: {target}"
        if anchor:
            assert anchor in anchors(file.read_text(encoding="utf-8")), f"{name}: {target}"


def test_readme_is_short_and_names_every_notebook() -> None:
    assert len(README.splitlines()) <= 280  # of which some twenty are the generated table
    assert all(f"notebooks/{stage}.ipynb" in README for stage in STAGES)


def test_figures_in_the_text_are_the_profile_s() -> None:
    from geor1.grpo.config import GrpoConfig
    from geor1.runs import configure
    from geor1.synthesis.config import SynthesisConfig

    text = " ".join(README.split())
    grpo = configure(GrpoConfig, "03_grpo", "miniature")
    synthesis = configure(SynthesisConfig, "01_data_synthesis", "miniature")
    labels = (
        f"{grpo.steps} steps of {grpo.prompts_per_step} questions are {grpo.steps * grpo.prompts_per_step:,} labels"
    )
    assert labels in text
    assert synthesis.candidates == load_profile("miniature")["04_evaluation"]["rotations"] == 5
    assert synthesis.conclusion == "random" and "the concluding letter is drawn at random" in text
    assert grpo.beta == 0.0 and "no KL term by default" in text


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = {words[1] for words in commands() if words[0] == "make"}
    assert {"demo", "test", "lab", "reproduce", "help"} <= named <= targets


def test_geor1_commands_are_accepted() -> None:
    named = [words[1:] for words in commands() if words[0] == "geor1"]
    assert len(named) > 5
    for arguments in named:
        options = cli._parser().parse_args(arguments)
        if arguments[0] != "run":
            continue
        notebook = ROOT / "notebooks" / f"{options.notebook}.ipynb"
        declared = notebook_declarations(notebook)
        for name, text in cli._given(options.parameters).items():
            check_given(name, parse_given(name, text, declared), declared, notebook.stem)
        if options.profile != "mine":  # the reader's own
            load_profile(options.profile)


def launched() -> list[str]:
    """Every ``geor1 run`` command of README.md and papers/full-size.md, the loop over stages written out."""
    text = README + (ROOT / "papers" / "full-size.md").read_text(encoding="utf-8")
    found = [command.strip(" `") for command in re.findall(r"\bgeor1 run [^#;`\n]+", text)]
    return [command.replace("$stage", stage) for command in dict.fromkeys(found)
            for stage in (STAGES if "$stage" in command else ("",))]  # fmt: skip


@pytest.mark.parametrize("command", launched())
def test_run_commands_give_a_config_that_goes_with_how_it_is_launched(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notebooks = tmp_path / "notebooks"
    shutil.copytree(ROOT / "notebooks", notebooks)
    (mine,) = re.findall(r"```yaml\n(about:.*?)```", (ROOT / "papers" / "full-size.md").read_text(), flags=re.DOTALL)
    (notebooks / "profiles" / "mine.yaml").write_text(mine)
    monkeypatch.setenv("GEOR1_NOTEBOOKS", str(notebooks))
    options = cli._parser().parse_args(shlex.split(command)[1:])
    stage = check_stage(options.notebook)
    given = cli._given(options.parameters)
    declared = notebook_declarations(notebooks / f"{stage}.ipynb")
    chosen = {name: parse_given(name, text, declared) for name, text in given.items() if name in declared}
    chosen |= hidden_parameters(stage, given)
    fields = {name: value for name, value in chosen.items() if name in config_fields(stage)}
    config = configure(config_class_of(stage), stage, options.profile, **fields)
    check_fits(config, launch_config(options.profile, **parse_launch(options.launch or [])))


def test_papermill_commands_name_parameters() -> None:
    named = [words for words in commands() if words[0] == "papermill"]
    assert named
    for _, notebook, output, *given in named:
        assert output == "out.ipynb"  # ignored by git
        declared = notebook_declarations(ROOT / "notebooks" / notebook)
        assert given[0] == "-p" and given[1] in declared and len(given) == 3


def test_python_modules_exist() -> None:
    named = [words for words in commands() if words[0] == "python" and words[1] == "-m"]
    assert len(named) >= 3
    for words in named:
        module = importlib.util.find_spec(words[2])
        assert module is not None, words
        is_package = module.submodule_search_locations is not None
        assert not is_package or importlib.util.find_spec(f"{words[2]}.__main__") is not None, words


def test_imports_of_the_examples_exist() -> None:
    found = 0
    for text in blocks("python"):
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("geor1"):
                module = importlib.import_module(node.module)
                found += len(node.names)
                assert all(hasattr(module, alias.name) for alias in node.names), node.module
    assert found > 8


def test_example_of_own_pairs_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from geor1.records import Question, read_jsonl

    folder = tmp_path / "my_pairs"
    folder.mkdir()
    rng = np.random.default_rng(0)
    header, *rows = blocks("csv")[0].splitlines()
    rows += [f"0{n},51.5{n:02d},-0.12,London,United Kingdom,GB,test" for n in (3, 4, 5)]
    (folder / "positions.csv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    for number in range(1, 6):
        for view, size in (("ground", (224, 56)), ("satellite", (84, 84))):
            pixels = rng.integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{number:02d}_{view}.jpg")
    monkeypatch.chdir(tmp_path)
    (example,) = [text for text in blocks("python") if "run_synthesis" in text]
    exec(compile(example, "README.md", "exec"), {"__name__": "example"})
    questions = read_jsonl(tmp_path / "my_data" / "questions_test.jsonl", Question)
    assert len(questions) == 5 and all(len(question.candidates) == 5 for question in questions)


def test_example_of_the_trainer_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "models"))
    from tiny_cases import small_checkpoint, write_questions

    import geor1.models.loading

    write_questions(tmp_path / "my_data", 4)
    monkeypatch.setattr(geor1.models.loading, "BASE_MODEL_PATH", small_checkpoint(tmp_path / "base", spread=2.0))
    monkeypatch.chdir(tmp_path)
    (example,) = [text for text in blocks("python") if "GeoGRPOTrainer" in text]
    assert len(example.splitlines()) <= 32
    scope: dict[str, Any] = {"__name__": "example"}
    exec(compile(example, "README.md", "exec"), scope)
    rollouts = (tmp_path / "my_grpo" / "rollouts.jsonl").read_text(encoding="utf-8").splitlines()
    assert {json.loads(line)["step"] for line in rollouts} == {1, 2}


def test_authors_and_version_of_the_citation() -> None:
    import geor1

    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == geor1.__version__
    assert citation["references"][0]["url"].endswith("2510.00072")


# --- generated tables ------------------------------------------------------------------------------------------------


def row(label: str, accuracy: float, labels: int | None) -> dict[str, Any]:
    return {
        "label": label, "n": 480, "accuracy": accuracy, "low": accuracy - 0.04, "high": accuracy + 0.04,
        "blind": 0.2, "shuffled": 0.21, "facts_true": 0.95, "completion_tokens": 88.0, "pairing_labels_seen": labels,
    }  # fmt: skip


def result_file(folder: Path, seeds: tuple[int, ...] = (0, 1)) -> Path:
    tables = {str(s): [row("base", 0.2, 0), row("grpo", 0.82 + s / 50, 1920), row("a|b", 0.3, None)] for s in seeds}
    gain = {"label": "base → grpo", "n": 480, "difference": 0.62, "low": 0.58, "high": 0.66, "p_value": 0.0}
    content = {
        "command": "geor1 reproduce --profile miniature --seeds 0 1", "profile": "miniature", "by_seed": tables,
        "paired_by_seed": {str(s): [gain] for s in seeds},
        "minutes_by_seed": {str(s): {"01_data_synthesis": 1.0 + s, "03_grpo": 4.0} for s in seeds},
        "hardware": {"processor": "some CPU", "cores": 2},
    }  # fmt: skip
    path = folder / "results.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_committed_tables_are_current(capsys: pytest.CaptureFixture[str]) -> None:
    assert claims(["--check"]) == 0, capsys.readouterr().out


def test_nothing_measured_says_so() -> None:
    assert result_table(None).startswith("Not measured yet")


def test_table_by_hand(tmp_path: Path) -> None:
    lines = result_table(read_results(result_file(tmp_path))).splitlines()
    assert lines[2].startswith("| base | 0 | 480 | 2 | 20.0 ± 0.0 % [16.0, 24.0] | 20.0 ± 0.0 % | 21.0 ± 0.0 % |")
    assert lines[3].startswith("| + scaffold SFT + GRPO | 1 920 | 480 | 2 | 83.0 ± 1.4 % [78.0, 88.0] |")
    assert lines[4].startswith("| a\\|b | not recorded |")
    assert len({line.replace("\\|", "").count("|") for line in lines[:5]}) == 1
    text = "\n".join(lines)
    assert "| base → grpo | 62.0 ± 0.0 [58.0, 66.0] |" in text
    assert "(some CPU, 2 cores): `01_data_synthesis` 1.5, `03_grpo` 4.0; 5.5 in all." in text
    assert "`geor1 reproduce --profile miniature --seeds 0 1`" in text


def test_table_goes_between_the_markers() -> None:
    text = f"before\n{START}\nold\n{END}\nafter\n"
    assert with_table(text, "new") == f"before\n{START}\n\nnew\n\n{END}\nafter\n"
    assert with_table(with_table(text, "new"), "new") == with_table(text, "new")
    for broken in ("no markers", START, f"{END}\n{START}", f"{text}{text}"):
        with pytest.raises(ClaimsError, match="put them back"):
            with_table(broken, "new")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A folder with README.md, papers/claims.yaml and nothing measured."""
    (tmp_path / "papers").mkdir()
    (tmp_path / "README.md").write_text(f"# r\n{START}\n{END}\n", encoding="utf-8")
    (tmp_path / "papers" / "claims.yaml").write_text((ROOT / "papers" / "claims.yaml").read_text(encoding="utf-8"))
    return tmp_path


def test_one_command_writes_both_readmes(repository: Path) -> None:
    papers = repository / "papers"
    assert [path.relative_to(repository).as_posix() for path in regenerate(papers)] == ["papers/README.md", "README.md"]
    assert claims(["--papers", str(papers), "--check"]) == 0
    result_file(papers)
    assert claims(["--papers", str(papers), "--check"]) == 1
    assert claims(["--papers", str(papers)]) == 0
    assert "83.0 ± 1.4 %" in (repository / "README.md").read_text(encoding="utf-8")
    assert "83.0 ± 1.4 %" in (papers / "README.md").read_text(encoding="utf-8")


def reproduce_with(monkeypatch: pytest.MonkeyPatch, repository: Path, *arguments: str) -> argparse.Namespace:
    """Run ``geor1 reproduce`` with the notebooks replaced by finished evaluations."""

    def run_all(options: argparse.Namespace, seed: int) -> dict[str, Executed]:
        folder = repository / f"scores-{seed}"
        folder.mkdir(exist_ok=True)
        scores = {"table": [row("grpo", 0.8 + seed / 50, 1920)], "paired": []}
        (folder / "scores.json").write_text(json.dumps(scores), encoding="utf-8")
        return {stage: Executed(stage, folder, folder / "notebook.ipynb", 60.0) for stage in STAGES}

    monkeypatch.setattr(cli, "_run_all", run_all)
    monkeypatch.setattr(cli, "notebooks_dir", lambda: repository / "notebooks")
    monkeypatch.setattr(cli, "default_runs_dir", lambda: repository / "runs")
    options = cli._parser().parse_args(["reproduce", *arguments])
    cli.reproduce(options)
    return options


def test_reproduce_closes_the_loop(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reproduce_with(monkeypatch, repository, "--seeds", "0", "1")
    assert capsys.readouterr().out.count("written: ") == 3
    readme = (repository / "README.md").read_text(encoding="utf-8")
    assert "| + scaffold SFT + GRPO | 1 920 | 480 | 2 | 81.0 ± 1.4 % [76.0, 86.0] |" in readme
    assert "`geor1 reproduce --profile miniature --seeds 0 1`" in readme and "5.0 in all" in readme
    assert claims(["--papers", str(repository / "papers"), "--check"]) == 0


def test_other_profiles_leave_the_papers_alone(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (repository / "README.md").read_text(encoding="utf-8")
    reproduce_with(monkeypatch, repository, "--profile", "smoke", "--seeds", "0")
    assert (repository / "runs" / "smoke" / "results.json").is_file()
    assert not (repository / "papers" / "results.json").exists()
    assert (repository / "README.md").read_text(encoding="utf-8") == before
