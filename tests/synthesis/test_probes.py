"""The probes on whole data sets: quiet on clean ones, loud on each planted leak, honest on small ones."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from geor1.answers import pairing_prompt
from geor1.records import Question, read_jsonl
from geor1.runs import ConfigError
from geor1.synthesis.config import SynthesisConfig
from geor1.synthesis.images import LEVEL_TIME_S, ImageError
from geor1.synthesis.probes import LeakError, probe_folder, raise_alarm, summary_lines
from geor1.synthesis.probes.options import PROBES
from geor1.synthesis.run import run_synthesis

from .leaky import PLANTED, Planted, brighter, darker, data_set, tagged

SMALL = SynthesisConfig(
    train_pairs=60, test_pairs=24, scenes_per_neighbourhood=7, pairing_scaffolds=0, geolocation_scaffolds=0,
    parquet=False, workers=1,
)  # fmt: skip
WORLD_TEST_QUESTIONS = 24


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return data_set(tmp_path_factory.mktemp("clean") / "data")


@pytest.fixture(scope="module")
def report(clean: Path) -> dict:
    return probe_folder(clean)


def row(report: dict, name: str, split: str = "test") -> dict:
    return next(row for row in report["sets"][split]["probes"] if row["name"] == name)


def test_clean_data_set_off_no_alarm(report: dict) -> None:
    assert report["leaks"] == [] and [one["name"] for one in report["sets"]["test"]["probes"]] == [
        probe.name for probe in PROBES
    ]
    for one in report["sets"]["test"]["probes"]:
        assert one["verdict"] == "ok" and one["n"] == 350 and one["chance"] == 0.2
        assert one["low"] <= one["accuracy"] <= one["high"] and 0.25 < one["detectable"] < 0.31
    constant = {one["name"] for one in report["sets"]["test"]["probes"] if one["constant"]}
    assert constant == {"metadata", "dimensions", "time_and_order"}
    assert all(row(report, name)["accuracy"] == pytest.approx(0.2) for name in constant)


@pytest.mark.parametrize("leak", PLANTED)
def test_planted_leak_sets_off_the_alarm(leak: str, tmp_path: Path) -> None:
    planted, finder = PLANTED[leak]
    found = probe_folder(data_set(tmp_path / "data", planted))
    assert f"test: {finder}" in found["leaks"], summary_lines(found)
    assert row(found, finder)["low"] > 0.2
    with pytest.raises(LeakError, match=rf"expected 1/K .* test: {finder} \(.*against 20\.0 %.*probe_alarm 'warn'"):
        raise_alarm(found, "stop")


def test_a_leak_of_the_train_questions_alone_is_found(tmp_path: Path) -> None:
    """GRPO would be paid for reading it, and the test questions, free of it, would not tell."""
    found = probe_folder(data_set(tmp_path / "data", Planted(encode=tagged), in_test=Planted()))
    assert "train: metadata" in found["leaks"] and all(leak.startswith("train: ") for leak in found["leaks"])
    assert row(found, "metadata", "train")["accuracy"] == 1.0
    assert found["sets"]["train"]["learnt_on"] == "its other groups"
    with pytest.raises(LeakError, match=r"train: metadata \(EXIF"):
        raise_alarm(found, "stop")


def test_a_leak_the_other_way_round_is_found(tmp_path: Path) -> None:
    """Brighter right tiles to learn from, darker ones to try: far below 1/K is not guessing either."""
    found = probe_folder(data_set(tmp_path / "data", Planted(encode=brighter), in_test=Planted(encode=darker)))
    one = row(found, "brightness")
    assert one["verdict"] == "leak" and one["high"] < 0.2, summary_lines(found)
    (line,) = [line for line in summary_lines(found) if " brightness " in line and "below 1/K" in line]
    assert "leak" in line


def test_times_of_writing_are_a_leak(tmp_path: Path) -> None:
    folder = data_set(tmp_path / "data")
    for split in ("train", "test"):
        for second, question in enumerate(read_jsonl(folder / f"questions_{split}.jsonl", Question)):
            gold = next(option for option in question.candidates if option.letter == question.answer)
            for path in (question.ground_image, gold.satellite_image):
                os.utime(folder / path, (second, second))
    found = probe_folder(folder)
    assert found["leaks"] == ["test: time_and_order", "train: time_and_order"]
    assert row(found, "time_and_order")["accuracy"] > 0.95


def test_report_depends_on_data_and_seed_only(clean: Path, report: dict) -> None:
    again = probe_folder(clean, workers=1)
    assert {**again, "seconds": 0} == {**report, "seconds": 0}
    assert json.loads(json.dumps(report)) == report


def test_large_sets_are_sampled_and_it_is_said(clean: Path) -> None:
    found = probe_folder(clean, limits={"train": 100, "test": 80})
    one = found["sets"]["test"]
    assert (one["n_questions"], one["n_tested"], one["learnt_on"]) == (350, 80, "100 of 350 train questions")
    assert row(found, "colour")["verdict"] == "underpowered" and row(found, "metadata")["verdict"] == "ok"
    assert "80 of 350 questions tried" in summary_lines(found)[0]


def test_without_train_questions_other_places_teach(tmp_path: Path) -> None:
    planted = data_set(tmp_path / "data", Planted(encode=tagged), train_blocks=0)
    found = probe_folder(planted)
    assert found["sets"]["test"]["learnt_on"] == "its other groups"
    assert "test: metadata" in found["leaks"] and row(found, "metadata")["accuracy"] == 1.0


def test_alone_prints_a_table_and_its_status_tells(clean: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "geor1.synthesis.probes", str(clean), "--json", str(tmp_path / "report.json")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and "leaks: none found" in done.stdout, done.stderr
    assert json.loads((tmp_path / "report.json").read_text())["leaks"] == []
    leaky = data_set(tmp_path / "leaky", PLANTED["letter B more often"][0])
    done = subprocess.run([*command[:3], str(leaky)], capture_output=True, text=True)
    assert done.returncode == 1 and "leaks: test: blind, test: option_position" in done.stdout


def test_a_folder_without_questions_and_a_missing_image_are_named(clean: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"expected questions_test\.jsonl"):
        probe_folder(tmp_path)
    folder = data_set(tmp_path / "data", train_blocks=0)
    victim = sorted((folder / "images").iterdir())[0]
    victim.write_bytes(victim.read_bytes()[:200])
    with pytest.raises(ImageError, match=victim.name):
        probe_folder(folder)


# --- as part of stage 01 ----------------------------------------------------------------------------------------------


def test_stage_reports_probes(tmp_path: Path) -> None:
    made = run_synthesis(SMALL, tmp_path)
    written = json.loads((made / "report.json").read_text())
    probes = written["probes"]["sets"]["test"]
    assert probes["n_tested"] == WORLD_TEST_QUESTIONS and written["probes"]["leaks"] == []
    assert json.loads((made / "metrics_summary.json").read_text())["nuisance_leaks"] == 0
    assert {path.stat().st_mtime for path in (made / "images").iterdir()} == {LEVEL_TIME_S}
    card = (made / "README.md").read_text()
    assert "| jpeg | traces |" in card and "learnt on 60 of 60 train questions" in card


def test_stage_without_probes_says_so(tmp_path: Path) -> None:
    made = run_synthesis(dataclasses.replace(SMALL, probes=False), tmp_path)
    assert "probes" not in json.loads((made / "report.json").read_text())
    assert "probes were not run" in (made / "README.md").read_text()


def test_stage_stops_on_a_leak_where_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("geor1.synthesis.run.level_times", lambda folder: None)
    bigger = dataclasses.replace(SMALL, test_pairs=72, train_pairs=144, probe_alarm="stop")
    with pytest.raises(LeakError, match="time_and_order"):
        run_synthesis(bigger, tmp_path)
    assert json.loads((tmp_path / "report.json").read_text())["probes"]["leaks"] == [
        "test: time_and_order",
        "train: time_and_order",
    ]
    run_synthesis(dataclasses.replace(bigger, probe_alarm="warn"), tmp_path)


def test_config_knows_two_alarms() -> None:
    with pytest.raises(ConfigError, match="probe_alarm='shout': expected one of warn, stop"):
        SynthesisConfig(probe_alarm="shout")


def test_real_pairs_are_too_few_and_it_is_said(real_data: Path, tmp_path: Path) -> None:
    config = dataclasses.replace(SMALL, source="folder", source_path=str(real_data / "pairs"))
    found = json.loads((run_synthesis(config, tmp_path) / "report.json").read_text())["probes"]
    assert found["leaks"] == [] and found["sets"]["test"]["n_tested"] == 10
    for one in found["sets"]["test"]["probes"]:
        assert one["verdict"] == ("ok" if one["constant"] else "underpowered") and one["detectable"] > 0.6


def test_prompt_is_the_same_for_all_questions_of_one_k() -> None:
    """Why the text probe has no columns for it."""
    assert pairing_prompt("ABCDE") == pairing_prompt(list("ABCDE"))
