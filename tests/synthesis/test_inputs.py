"""What stage 01 reads decides its run key: content, not the string that names it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from geor1.runs import ConfigError, run_stage
from geor1.synthesis.config import SynthesisConfig
from geor1.synthesis.run import run_synthesis
from geor1.synthesis.source_choice import inputs_of
from geor1.synthesis.teacher.config import TeacherConfig

from .layout_cases import cv_cities

SMALL = {
    "pairing_scaffolds": 0,
    "geolocation_scaffolds": 0,
    "parquet": False,
    "probes": False,
    "workers": 1,
    "tile_extent_m": 169.0,
    "tile_px": 0,
    "panorama_width_px": 0,
    "panorama_height_px": 0,
}


def config_of(root: Path, **settings: Any) -> SynthesisConfig:
    return SynthesisConfig(source="cv_cities", source_path=str(root), **{**SMALL, **settings})


def test_what_the_parameters_name_and_what_is_there(tmp_path: Path) -> None:
    assert inputs_of(SynthesisConfig()) == {}  # the miniature Earth reads nothing, so its key is what it was
    hub = SynthesisConfig(source="hf_dataset", source_path="owner/name")
    assert inputs_of(hub) == {} == inputs_of(config_of(tmp_path / "absent"))
    for name in ("own.txt", "e.npy"):
        (tmp_path / name).write_text("x")
    (tmp_path / "pairs").mkdir()
    teaching = TeacherConfig(model="m", templates=("positive", str(tmp_path / "own.txt")))
    paths = {"image_folder": tmp_path, "pairs_folder": tmp_path / "pairs", "embeddings": tmp_path / "e.npy"}
    settings = {"difficulty": "hard", "teaching": teaching, **{name: str(path) for name, path in paths.items()}}
    config = config_of(tmp_path, teacher="openai", **settings)
    assert inputs_of(config) == {"source_path": tmp_path, **paths, "template_1": tmp_path / "own.txt"}
    assert "template_1" not in inputs_of(dataclasses.replace(config, teacher="world"))  # it asks no model


def test_the_key_follows_the_content(tmp_path: Path) -> None:
    config = config_of(cv_cities(tmp_path / "data", 6, cities=("paris",)))

    def run() -> Any:
        return run_stage("01_data_synthesis", "smoke", config, run_synthesis, inputs_of(config), tmp_path / "runs")

    first, again = run(), run()
    assert again.cached and again.key == first.key and set(first.manifest["inputs"]) == {"source_path"}
    path = tmp_path / "data" / "paris" / "img_info.csv"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:5]))
    second = run()
    assert second.key != first.key and not second.cached
    assert json.loads((second.path / "report.json").read_text())["pairs"] == {"train": 5, "test": 0}


def test_an_input_that_the_parameters_do_not_name(tmp_path: Path) -> None:
    config = config_of(cv_cities(tmp_path / "data", 6, cities=("paris",)))
    for wrong in ({"source_path": tmp_path}, {"pairs_folder": tmp_path / "data"}):
        with pytest.raises(ConfigError, match=rf"input {next(iter(wrong))}=.*expected what the parameters name"):
            run_synthesis(config, tmp_path / "out", **wrong)
    np.save(tmp_path / "e.npy", np.eye(6))
    hard = dataclasses.replace(config, embeddings=str(tmp_path / "e.npy"), difficulty="hard", candidates=2)
    assert run_synthesis(hard, tmp_path / "out", **inputs_of(hard)) == tmp_path / "out"
