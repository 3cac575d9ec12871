"""Sweeps on toy notebooks that papermill really executes: table, resuming, failures, one element of an array."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest
from scipy import stats

from geor1.cli import main
from geor1.runs import STAGES, ConfigError, load_profile
from geor1.runs.profiles import OVERRIDES_VARIABLE, overridden
from geor1.runs.sweep import read_sweep
from geor1.runs.sweep_table import T_975, summary

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def toys(toy_notebooks: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The toy notebooks; sources of their own, since an edit while the test runs would make its runs stale."""
    sources = toy_notebooks.parent / "sources"
    shutil.copytree(REPOSITORY / "geor1", sources / "geor1", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setenv("PYTHONPATH", str(sources))
    return toy_notebooks


def sweep(*words: str) -> int:
    return main(["sweep", *words])


def test_a_sweep_is_resumed_and_ends_in_a_table(toys: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["01", "rate=0.25,0.5", "--seeds", "0", "1", "--until", "01", "--metric", "toy.accuracy"]
    assert sweep(*words) == 0
    first = capsys.readouterr().out
    assert "[1/4] rate=0.25, seed 0" in first and first.count("01_data_synthesis: running in") == 4
    runs = toys.parent / "runs" / "miniature"
    (table,) = (runs / "sweeps").glob("*.csv")
    rows = list(csv.DictReader(table.open()))
    # accuracy is rate + seed / 8: 0.25 and 0.375, mean 0.3125, sd 0.125 / sqrt 2, t(1) = 12.706
    assert [row["01_data_synthesis.rate"] for row in rows] == ["0.25", "0.5"]
    assert float(rows[0]["mean"]) == 0.3125 and float(rows[0]["sd"]) == pytest.approx(0.125 / 2**0.5)
    assert float(rows[0]["high"]) == pytest.approx(0.3125 + 12.7062 * 0.125 / 2)
    assert [row["seeds"] for row in rows] == ["2", "2"] and {row["failed"] for row in rows} == {"0"}
    text = table.with_suffix(".md").read_text()
    assert "| **rate** | seeds | failed | missing | mean | sd | low | high |" in text
    assert "`geor1 sweep 01 rate=0.25,0.5 --profile miniature --seeds 0 1 --until 01 --metric toy.accuracy`" in text
    before = table.read_bytes()
    assert sweep(*words) == 0
    again = capsys.readouterr().out
    assert again.count("finished before") == 4 and "running in" not in again
    assert table.read_bytes() == before


def test_a_failing_element_is_listed_and_the_rest_goes_on(toys: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = toys / "02_scaffold_sft.ipynb"
    whole = path.read_text()
    path.write_text(whole.replace("'accuracy': config.rate", "'accuracy': 1 / (config.rate - 0.25)"))
    words = ["02", "rate=0.25,0.5", "--until", "02", "--metric", "toy.accuracy"]
    assert sweep(*words) == 1
    captured = capsys.readouterr()
    assert "failed, the other points go on: 02_scaffold_sft: ZeroDivisionError" in captured.out
    assert captured.out.count("01_data_synthesis: running in") == 1  # what comes before the swept stage is shared
    assert "1 of 2 elements failed; the same command tries them again" in captured.err
    (table,) = (toys.parent / "runs" / "miniature" / "sweeps").glob("*.md")
    assert "- rate=0.25, seed 0: 02_scaffold_sft: ZeroDivisionError: float division by zero" in table.read_text()
    path.write_text(whole)
    assert sweep(*words) == 0
    assert "[2/2] rate=0.5, seed 0: finished before" in capsys.readouterr().out


def test_elements_of_an_array_add_up_to_the_table(toys: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["01", "rate=0.25,0.5", "--until", "01", "--metric", "toy.accuracy"]
    assert sweep(*words, "--index", "1") == 0
    (table,) = (toys.parent / "runs" / "miniature" / "sweeps").glob("*.csv")
    assert [(row["mean"], row["missing"]) for row in csv.DictReader(table.open())] == [("", "1"), ("0.5", "0")]
    assert sweep(*words, "--index", "0") == 0
    assert [(row["mean"], row["missing"]) for row in csv.DictReader(table.open())] == [("0.25", "0"), ("0.5", "0")]
    assert sweep(*words, "--index", "2") == 2
    assert "--index 2: expected 0 to 1, this sweep has 2 elements" in capsys.readouterr().err


def test_a_figure_that_one_element_lacks_is_listed_and_the_table_written(
    toys: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = toys / "01_data_synthesis.ipynb"
    path.write_text(path.read_text().replace("config.rate + config.seed / 8", "config.rate if config.seed else None"))
    words = ["01", "rate=0.25,0.5", "--seeds", "0", "1", "--until", "01", "--metric", "toy.accuracy"]
    assert sweep(*words) == 1
    error = capsys.readouterr().err
    assert "2 of 4 elements failed" in error and "2 finished without toy.accuracy: name another --metric" in error
    (table,) = (toys.parent / "runs" / "miniature" / "sweeps").glob("*.csv")
    rows = list(csv.DictReader(table.open()))
    assert [(row["seeds"], row["failed"], row["mean"]) for row in rows] == [("1", "1", "0.25"), ("1", "1", "0.5")]
    text = table.with_suffix(".md").read_text()
    assert "- rate=0.25, seed 0: --metric: " in text and "has no figure 'toy.accuracy'" in text
    assert sweep(*words, "--index", "1") == 0  # the task of an array whose own element has its figure


def test_an_edited_profile_is_noticed(toys: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["02", "rate=0.25", "--until", "02", "--metric", "toy.n"]
    profile = toys / "profiles" / "miniature.yaml"
    whole = profile.read_text()
    assert sweep(*words) == 0
    for stage, running in (("03_grpo", 0), ("02_scaffold_sft", 1), ("01_data_synthesis", 2)):
        profile.write_text(whole.replace(f"{stage}: {{steps: 3", f"{stage}: {{steps: 4"))
        capsys.readouterr()
        assert sweep(*words) == 0
        text = capsys.readouterr().out
        assert text.count("running in") == running and ("finished before" in text) == (running == 0), (stage, text)
    profile.write_text(whole)
    assert sweep(*words) == 0 and "finished before" in capsys.readouterr().out


def test_held_out_accuracy_is_refused_where_none_is_measured() -> None:
    def read(*values: str, profile: str, until: str = "03", metric: str = "") -> str:
        return read_sweep("03", values, profile=profile, seeds=None, until=until, metric=metric).metric

    for metric in ("", "heldout_accuracy_first"):
        with pytest.raises(ConfigError, match=r"is not measured with eval_every=0 \(profile paper, 03_grpo\)"):
            read("beta=0.0,0.1", profile="paper", metric=metric)
    with pytest.raises(ConfigError, match="is not measured with eval_every=0"):
        read("eval_every=0,5", profile="miniature")
    assert read("eval_every=5,10", profile="paper") == "heldout_accuracy_last"
    assert read("beta=0.1", profile="paper", metric="reward") == "reward"
    assert read("beta=0.1", profile="paper", until="04") == "grpo.accuracy"
    assert read("beta=0.1", profile="miniature") == "heldout_accuracy_last"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["03", "betta=0.0,0.1"], r"03_grpo: no parameter 'betta'; did you mean 'beta'\?"),
        (["03", "beta=a"], "03_grpo: beta: expected float, got 'a'"),
        (["03", "steps=1.5"], "03_grpo: steps: expected int, got 1.5"),
        (["03", "beta=0.1,0.1"], "a value stands twice"),
        (["03", "beta=0.1", "beta=0.2"], "03_grpo.beta stands twice"),
        (["03", "seed=1,2"], "give seeds as --seeds 0 1 2"),
        (["03", "01.candidates=3,5"], "01_data_synthesis is not run by this sweep"),
        (["03", "beta"], "expected parameter=value,value"),
    ],
)
def test_a_wrong_sweep_is_refused_before_anything_runs(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_sweep(words[0], words[1:], profile="smoke", seeds=[0], until="04", metric="")


def test_values_are_read_by_the_config_s_types() -> None:
    sweep = read_sweep("01", ["03.learning_rate=1e-6,2e-6", "03.loss_type=grpo,dapo", "candidates=3"],
                       profile="smoke", seeds=[0, 1], until="04", metric="")  # fmt: skip
    assert sweep.grid == {
        "03_grpo.learning_rate": (1e-6, 2e-6),
        "03_grpo.loss_type": ("grpo", "dapo"),
        "01_data_synthesis.candidates": (3,),
    }
    assert len(sweep.points) == 8 and sweep.points[1][1] == 1 and sweep.metric == "grpo.accuracy"


def test_a_value_may_be_a_list() -> None:
    words = ["bands=[[0, 500, 1]],[[0, 500, 0.5], [500, 2000, 0.5]]"]
    swept = read_sweep("01", words, profile="smoke", seeds=None, until="01", metric="")
    (values,) = swept.grid.values()
    assert [len(bands) for bands in values] == [1, 2] and len(swept.points) == 2
    with pytest.raises(ConfigError, match=r"bands"):
        read_sweep("01", ["bands=[[0, 500, 1]"], profile="smoke", seeds=None, until="01", metric="")


def test_seeds_are_the_profile_s_own_unless_given(toys: Path) -> None:
    def seeds(given: list[int] | None = None) -> tuple[int, ...]:
        return read_sweep("03", ["beta=0.1"], profile="full", seeds=given, until="04", metric="").seeds

    path = toys / "profiles" / "full.yaml"
    assert seeds() == (0,)  # the profile names none: the configs' default
    path.write_text("".join(f"{stage}: {{seed: 42}}\n" for stage in STAGES[:4]))
    assert seeds() == (42,) and seeds([0, 1]) == (0, 1)
    path.write_text(path.read_text().replace("42", "7", 1))
    with pytest.raises(ConfigError, match="profile full: expected one seed for all stages"):
        seeds()


def test_a_change_holds_for_one_profile_and_ends_with_its_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(OVERRIDES_VARIABLE, raising=False)
    usual = load_profile("smoke")["03_grpo"]
    with overridden("smoke", {"03_grpo": {"beta": 0.04, "steps": 9}}):
        assert load_profile("smoke")["03_grpo"] == {**usual, "beta": 0.04, "steps": 9}
        assert load_profile("miniature")["03_grpo"].get("beta") is None
        with overridden("smoke", {"03_grpo": {"steps": 2}, "02_scaffold_sft": {"max_steps": 1}}):  # one within another
            assert load_profile("smoke")["03_grpo"] == {**usual, "beta": 0.04, "steps": 2}
            assert load_profile("smoke")["02_scaffold_sft"]["max_steps"] == 1
        assert load_profile("smoke")["03_grpo"] == {**usual, "beta": 0.04, "steps": 9}
    assert load_profile("smoke")["03_grpo"] == usual


def test_student_s_t() -> None:
    assert tuple(pytest.approx(stats.t.ppf(0.975, df), abs=6e-5) for df in range(1, len(T_975) + 1)) == T_975
    assert summary([]) == {"mean": None, "sd": None, "low": None, "high": None}
    assert summary([0.5])["mean"] == 0.5 and summary([0.5])["low"] is None
    many = summary([0.0, 1.0] * 50)
    assert many["high"] == pytest.approx(0.5 + 1.96 * many["sd"] / 10)


@pytest.mark.slow
def test_a_sweep_of_a_parameter_that_no_cell_names_on_the_smoke_profile(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    words = ["sweep", "03", "beta=0.0,0.04", "--profile", "smoke", "--runs-dir", str(tmp_path)]
    assert main(words) == 0
    assert capsys.readouterr().out.count("03_grpo: running in") == 2
    betas = {
        json.loads(path.read_text())["parameters"]["beta"] for path in tmp_path.glob("smoke/03_grpo/*/manifest.json")
    }
    assert betas == {0.0, 0.04}
    scored = [json.loads(path.read_text()) for path in tmp_path.glob("smoke/04_evaluation/*/manifest.json")]
    assert len({run["inputs"]["models"]["grpo"]["key"] for run in scored}) == 2
