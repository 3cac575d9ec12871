"""The five notebooks under the large profiles, on real photographs and a checkpoint laid out as published.

A profile that extends the large one makes it small: few pairs, few steps, small pictures, random weights, one process,
a scripted server for the teacher. All else is what a run of the full size does.
"""

from __future__ import annotations

import csv
import functools
import importlib.util
import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image
from published import write_checkpoint
from scripted_server import ScriptedServer
from test_stages import told

from geor1.runs import STAGES, read_manifest
from geor1.runs.launch import execute

ROOT = Path(__file__).resolve().parents[2]
CITIES = {"paris": (48.85, 2.35), "tokyo": (35.68, 139.69), "london": (51.5, -0.12), "rio": (-22.9, -43.2)}
A_CITY = 6  # pairs


def cv_cities(root: Path, photographs: Path) -> Path:
    """A data set laid out as CV-Cities: the five real pairs turned and cut, at made-up places of four of its cities."""
    draw = random.Random(0)
    for city, (latitude_deg, longitude_deg) in CITIES.items():
        rows = []
        for folder in ("pano_images", "sat_images"):
            (root / city / folder).mkdir(parents=True)
        for number in range(A_CITY):
            pair = f"{number % 5 + 1:02d}"
            ground = Image.open(photographs / f"{pair}_ground.jpg").convert("RGB")
            tile = Image.open(photographs / f"{pair}_satellite.jpg").convert("RGB")
            middle, edge = draw.randrange(ground.width), int(tile.width * draw.uniform(0.6, 0.9))
            turned = Image.new("RGB", ground.size)
            turned.paste(ground.crop((middle, 0, *ground.size)), (0, 0))
            turned.paste(ground.crop((0, 0, middle, ground.height)), (ground.width - middle, 0))
            left, top = draw.randrange(tile.width - edge), draw.randrange(tile.height - edge)
            names = [f"{city}/{folder}/{number:04d}.jpg" for folder in ("sat_images", "pano_images")]
            tile.crop((left, top, left + edge, top + edge)).resize((512, 512)).save(root / names[0])
            turned.save(root / names[1])
            place = (longitude_deg + 0.004 * number, latitude_deg + 0.001 * draw.random())
            rows.append([f"{number:04d}", *place, city, *names])
        with (root / city / "img_info.csv").open("w", newline="") as file:
            csv.writer(file).writerows(rows)
    return root


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, real_data: Path) -> Iterator[Path]:
    """A clone's notebooks with the photographs, and the teacher's server."""
    notebooks = tmp_path / "clone" / "notebooks"
    shutil.copytree(ROOT / "notebooks", notebooks, ignore=shutil.ignore_patterns("out*.ipynb", ".ipynb_checkpoints"))
    cv_cities(tmp_path / "cv-cities", real_data / "pairs" / "cvcities")
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "data").symlink_to(real_data)
    monkeypatch.setenv("GEOR1_NOTEBOOKS", str(notebooks))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("NO_KEY", "")
    monkeypatch.delenv("MPLBACKEND", raising=False)
    yield tmp_path


def small(profile: str, workplace: Path, base: Path, server_url: str) -> dict[str, Any]:
    """What a miniature of a profile changes."""
    teaching = {"model": "tiny", "server_url": server_url, "key_variable": "NO_KEY", "samples": 1, "min_tokens": 0}
    whole = {} if importlib.util.find_spec("bitsandbytes") else {"quantize": ""}
    return {
        "about": {"extends": profile},
        "launch": {"processes": 1, "launcher": "ddp"},
        "01_data_synthesis": {
            "source_path": str(workplace / "cv-cities"), "panorama_width_px": 224, "panorama_height_px": 112,
            "tile_px": 112, "workers": 1, "teaching": {**teaching, "templates": ["positive"], "questions": 8},
        },
        "02_scaffold_sft": {"base_model": str(base), "max_steps": 2, "batch_size": 2, **whole},
        "03_grpo": {
            "steps": 2, "prompts_per_step": 2, "group_size": 4, "max_completion_tokens": 24,
            "rollouts": "in_process", **whole,
        },
        "04_evaluation": {
            "n_questions": 4, "rotations": 2, "n_control": 2, "n_geolocation": 2, "backend": "in_process",
            "dtype": "float32", "batch_size": 8, "max_new_tokens": 24, "bootstrap_resamples": 200,
        },
    }  # fmt: skip


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("profile", "family"),
    [
        ("paper", "qwen2.5-vl"),
        pytest.param("qwen2.5-vl-7b", "qwen2.5-vl", marks=pytest.mark.slow),
        pytest.param("qwen3-vl-4b", "qwen3-vl", marks=pytest.mark.slow),
        pytest.param("single-gpu-24gb", "qwen2.5-vl", marks=pytest.mark.slow),
    ],
)
def test_a_large_profile_from_photographs_to_map(profile: str, family: str, workplace: Path, tokenizers: Path) -> None:
    base = write_checkpoint(workplace / "base", tokenizers, family, spread=2.0)
    with ScriptedServer(functools.partial(told, sentences=2)) as server:
        path = workplace / "clone" / "notebooks" / "profiles" / "mine.yaml"
        path.write_text(yaml.safe_dump(small(profile, workplace, base, server.url)))
        done: dict[str, Path] = {}
        for stage in STAGES:
            # other models' outputs are imported by the smoke profile's test
            given = {"real_data": "absent"} if stage == "04_evaluation" else {}
            done[stage] = execute(stage, "mine", given, workplace / "runs").run_dir
    manifests = {stage: read_manifest(folder) or {} for stage, folder in done.items()}
    assert {stage: one["profile"] for stage, one in manifests.items()} == dict.fromkeys(STAGES, "mine")
    assert manifests["01_data_synthesis"]["metrics"]["questions_train"] == 2 * A_CITY
    assert manifests["02_scaffold_sft"]["parameters"]["base_model"] == str(base)
    assert (manifests["03_grpo"]["parameters"]["reward_preset"] == "released_code") == (profile == "paper")
    scores = json.loads((done["04_evaluation"] / "scores.json").read_text())
    seen = {row["label"]: row["pairing_labels_seen"] for row in scores["table"]}
    assert seen == {"base": None, "sft": 4, "grpo": 4 + 4}  # of an unknown base nothing is known; 2 steps of 2 each
    assert (done["05_map_visualisation"] / "map.html").stat().st_size > 100_000
