"""Runs as repositories of the hub: the folder, its card, what is left out, and the calls that upload it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from job_cases import ToyConfig

from geor1.cli import main
from geor1.runs import ConfigError, LaunchConfig, ManifestError, append_metrics, run_stage
from geor1.runs.push import prepare, public, upload
from geor1.sft.config import SftConfig

HERE = LaunchConfig(report_to="none")


def make_data(config: ToyConfig, run_dir: Path) -> Path:
    (run_dir / "images").mkdir()
    (run_dir / "images" / "a.png").write_bytes(b"picture")
    (run_dir / "questions_train.jsonl").write_text("{}\n")
    for name in ("generations.jsonl", "checked.jsonl"):  # a teacher's raw answers
        (run_dir / name).write_text('{"raw": "not for others"}\n')
    report = {"sources": [{"path": "/disk/me/pairs"}], "teacher": {"server_url": "http://me:secret@10.0.0.5:8000/v1"}}
    (run_dir / "report.json").write_text(json.dumps(report))
    licence = "license: cc-by-4.0" if config.seed == 0 else "license: other\nlicense_name: as-the-source-images"
    (run_dir / "README.md").write_text(f"---\npretty_name: toy\n{licence}\n---\n# Toy\n")
    return run_dir


def make_model(config: Any, run_dir: Path, data: Path, checkpoint: Path | None = None) -> Path:
    folder = run_dir / "checkpoint"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    (run_dir / "trainer").mkdir()
    (run_dir / "trainer" / "optimizer.pt").write_bytes(b"not for others")
    append_metrics(run_dir, 1, loss=0.5)
    (run_dir / "metrics_summary.json").write_text('{"steps": 1, "reward": 0.123456}')
    return folder


def make_scores(config: ToyConfig, run_dir: Path, models: dict[str, Path]) -> Path:
    row = {"accuracy": 0.928, "low": 0.915, "high": 0.94, "n": 400, "parse_failures": 2, "pairing_labels_seen": 768}
    table = [{"label": "grpo", **row}, {"label": "base", **row, "accuracy": 0.2}]
    (run_dir / "scores.json").write_text(json.dumps({"table": table}))
    return run_dir


class Runs:
    """01, 02, 03 and 04 of one chain."""

    def __init__(self, place: Path, base_model: str = "") -> None:
        self.data = run_stage("01_data_synthesis", "smoke", ToyConfig(), make_data, {}, place).path
        config = SftConfig(base_model=base_model)
        self.sft = run_stage(
            "02_scaffold_sft", "smoke", config, make_model, {"data": self.data}, place, launch=HERE
        ).path
        inputs = {"data": self.data, "checkpoint": self.sft / "checkpoint"}
        self.grpo = run_stage("03_grpo", "smoke", ToyConfig(), make_model, inputs, place, launch=HERE).path
        models = {"grpo": self.grpo / "checkpoint", "sft": self.sft / "checkpoint"}
        run_stage("04_evaluation", "smoke", ToyConfig(), make_scores, {"models": models}, place)


def card_of(folder: Path) -> tuple[dict[str, Any], str]:
    front, text = re.fullmatch(r"---\n(.*?)\n---\n(.*)", (folder / "README.md").read_text(), re.DOTALL).groups()
    return yaml.safe_load(front), text


def test_a_model_goes_with_its_card_and_nothing_private(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = Runs(tmp_path)
    assert main(["push", str(runs.grpo), "someone/geo-r1", "--dry-run"]) == 0
    assert "nothing was uploaded" in capsys.readouterr().out
    (folder,) = (tmp_path / "smoke" / "hub").iterdir()
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert names == {
        "README.md",
        "config.json",
        "model.safetensors",
        "training/manifest.json",
        "training/metrics.jsonl",
    }
    front, text = card_of(folder)
    assert front["license"] == "apache-2.0" and front["library_name"] == "transformers" and "base_model" not in front
    assert text.startswith("\n# geo-r1\n") and f"then 02_scaffold_sft (run {runs.sft.name})" in text
    assert "| reward | 0.1235 |" in text and runs.data.name in text
    (row,) = re.findall(r"^\| evaluation .*$", text, re.MULTILINE)  # of this model, not of the base beside it
    assert row.endswith("| 0.928 | 0.915 … 0.940 | 400 | 2 | 768 |")
    assert str(tmp_path) not in text + (folder / "training" / "manifest.json").read_text()
    assert (runs.grpo / "manifest.json").exists()
    manifest = json.loads((folder / "training" / "manifest.json").read_text())
    assert manifest["key"] == runs.grpo.name and manifest["launch"]["report_to"] == "none"


def test_another_s_base_needs_a_licence_and_is_named(tmp_path: Path) -> None:
    runs = Runs(tmp_path, base_model="Qwen/Qwen2.5-VL-7B-Instruct")
    with pytest.raises(ConfigError, match=r"--licence: needed, since the model derives from another: Qwen/Qwen2.5-VL"):
        prepare(runs.grpo, "someone/geo-r1", "")
    for run in (runs.sft, runs.grpo):
        front, text = card_of(prepare(run, "someone/geo-r1", "apache-2.0", tmp_path / "out")[0])
        assert front["base_model"] == "Qwen/Qwen2.5-VL-7B-Instruct" and "- Base: Qwen/Qwen2.5-VL-7B-Instruct" in text


@pytest.mark.parametrize("name", ["models/base", "./base", "~/base"])
def test_a_folder_is_not_taken_for_a_name_on_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / "models" / "base").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    folder, _ = prepare(Runs(tmp_path / "runs", name).sft, "me/scaffold", "mit")
    front, text = card_of(folder)
    assert "base_model" not in front and "- Base: a local folder, base." in text


def test_what_is_prepared_may_be_edited_without_touching_the_run(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    folder, _ = prepare(runs.sft, "me/scaffold", "mit")
    (folder / "config.json").write_text('{"edited": true}')
    assert (runs.sft / "checkpoint" / "config.json").read_text() == "{}"


def test_a_data_set_keeps_its_own_card(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    folder, kind = prepare(runs.data, "someone/pairs", "")
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert kind == "dataset"
    assert names == {"README.md", "images/a.png", "questions_train.jsonl", "report.json", "training/manifest.json"}
    report = json.loads((folder / "report.json").read_text())
    assert report == {"sources": [{"path": "pairs"}], "teacher": {"server_url": ""}}
    assert "secret" in (runs.data / "report.json").read_text()  # the run's own file is not written through a link
    photographs = run_stage("01_data_synthesis", "smoke", ToyConfig(seed=1), make_data, {}, tmp_path).path
    with pytest.raises(ConfigError, match="--licence: needed, since the images are others'"):
        prepare(photographs, "someone/pairs", "")
    front, _ = card_of(prepare(photographs, "someone/pairs", "cc-by-nc-4.0")[0])
    assert front == {"pretty_name": "toy", "license": "cc-by-nc-4.0"}
    assert "license: other" in (photographs / "README.md").read_text()  # the run itself is as it was


def test_what_is_not_a_finished_run_of_a_model_or_data_set(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    with pytest.raises(ConfigError, match="expected a repository as owner/name"):
        prepare(runs.grpo, "geo-r1", "")
    (scored,) = (tmp_path / "smoke" / "04_evaluation").iterdir()
    with pytest.raises(ConfigError, match="04_evaluation: expected a run of 01"):
        prepare(scored, "someone/scores", "")
    (runs.sft / "checkpoint" / "model.safetensors").write_bytes(b"weightz")
    with pytest.raises(ManifestError, match="not what the run wrote"):
        prepare(runs.sft, "someone/geo-r1", "")
    with pytest.raises(ManifestError, match="no finished run"):
        prepare(tmp_path, "someone/geo-r1", "")


def test_the_upload_is_one_commit(tmp_path: Path) -> None:
    calls: list[tuple[str, dict[str, Any]]] = []

    class StandIn:
        def create_repo(self, repo_id: str, **rest: Any) -> None:
            calls.append(("create_repo", {"repo_id": repo_id, **rest}))

        def upload_folder(self, **given: Any) -> str:
            calls.append(("upload_folder", given))
            return "done"

    runs = Runs(tmp_path)
    folder, kind = prepare(runs.grpo, "someone/geo-r1", "")
    assert upload(folder, kind, "someone/geo-r1", StandIn(), private=True) == "done"
    repository = {"repo_id": "someone/geo-r1", "repo_type": "model"}
    sent: dict[str, Any] = {**repository, "folder_path": str(folder), "commit_message": f"geor1 run {runs.grpo.name}"}
    sent["delete_patterns"] = ["*"]  # an old model.safetensors beside new shards would be loaded first
    assert calls == [("create_repo", {**repository, "private": True, "exist_ok": True}), ("upload_folder", sent)]
    import inspect

    from huggingface_hub import HfApi

    for name, given in calls:  # the stand-in takes what the hub's own client takes
        assert set(given) <= set(inspect.signature(getattr(HfApi, name)).parameters)


def test_addresses_and_absolute_paths_stay_at_home() -> None:
    held = {
        "launch": {"checkpoint_url": "s3://key:secret@bucket", "processes": 2},
        "inputs": [{"path": "/disk/me/data"}],
    }
    assert public(held) == {"launch": {"checkpoint_url": "", "processes": 2}, "inputs": [{"path": "data"}]}


def test_no_value_holds_a_password_or_a_home() -> None:
    held = {
        "teaching": {"server_url": "http://me:secret@10.0.0.5:8000/v1", "model": "~/models/m", "server": "10.0.0.5"},
        "bucket": "s3://key:secret@bucket",
        "source_path": "file:///disk/me/pairs.csv",
        "note": "rows of https://me:secret@host/a/b.csv?token=secret were left out",
        "home": "~me",
        "server_retries": 0,
        "rollouts": "vllm_server",
        "about": "~",
    }
    assert public(held) == {
        "teaching": {"server_url": "", "model": "m", "server": ""},
        "bucket": "",
        "source_path": "pairs.csv",
        "note": "rows of b.csv were left out",
        "home": "",
        "server_retries": 0,
        "rollouts": "vllm_server",
        "about": "",
    }


def test_a_folder_with_something_else_in_it_is_not_touched(tmp_path: Path) -> None:
    runs = Runs(tmp_path / "runs")
    place = tmp_path / "mine"
    place.mkdir()
    prepare(runs.grpo, "someone/geo-r1", "", place)  # empty: taken
    (place / "left.txt").write_text("of the folder before")
    prepare(runs.grpo, "someone/geo-r1", "", place)  # prepared before: replaced
    assert not (place / "left.txt").exists()
    (place / "training" / "manifest.json").unlink()
    (place / "thesis.txt").write_text("years of work")
    with pytest.raises(ConfigError, match=r"mine: expected a new or empty folder, or one that geor1 push wrote"):
        prepare(runs.grpo, "someone/geo-r1", "", place)
    assert (place / "thesis.txt").read_text() == "years of work"
    with pytest.raises(ConfigError, match=r"thesis.txt: expected a new or empty folder"):
        prepare(runs.grpo, "someone/geo-r1", "", place / "thesis.txt")
