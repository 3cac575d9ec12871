"""What every test stands on: quiet threads, the real data if they are there, markers that are off by default."""

from __future__ import annotations

import os

os.environ["OMP_WAIT_POLICY"] = (
    "passive"  # before torch is loaded: busy waiting is 10 to 30 times slower on shared cores
)
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("GEOR1_PROGRESS", "off")

import sys
from pathlib import Path

import nbformat
import pytest

from geor1.runs import STAGES

OPTIONAL_MARKERS = {
    "slow": "takes more than about 20 seconds",
    "gpu": "needs a CUDA device",
    "vllm": "needs vLLM in an environment of its own",
}
REPOSITORY = Path(__file__).resolve().parents[1]


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("geor1")
    for name, meaning in OPTIONAL_MARKERS.items():
        group.addoption(
            f"--{name}", action="store_true", default=False, help=f"also run tests marked {name}: {meaning}"
        )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip, and so report, what is off by default; a marker named in ``-m`` counts as asked for."""
    for name, meaning in OPTIONAL_MARKERS.items():
        if config.getoption(f"--{name}") or name in (config.option.markexpr or ""):
            continue
        skip = pytest.mark.skip(reason=f"marked {name} ({meaning}); run with --{name}")
        for item in items:
            if item.get_closest_marker(name):
                item.add_marker(skip)


def real_data_dir() -> Path | None:
    """Return the folder of real data (``GEOR1_REAL_DATA``, default ``../shared/data`` of the checkout), or None."""
    place = Path(os.environ.get("GEOR1_REAL_DATA", REPOSITORY.parent / "shared" / "data"))
    return place.resolve() if place.is_dir() else None


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data; the test is skipped, saying so, where it is absent."""
    place = real_data_dir()
    if place is None:
        pytest.skip("the real data are not here; set GEOR1_REAL_DATA to their folder (default ../shared/data)")
    return place


@pytest.fixture(autouse=True)
def one_torch_thread() -> None:
    """One thread for torch, in whichever test first needs it."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.get_num_threads() != 1:
        torch.set_num_threads(1)


TOY_PROFILES = {
    "miniature": "about: {description: toy}\n" + "".join(f"{stage}: {{steps: 3, rate: 0.5}}\n" for stage in STAGES),
    "full": "".join(f"{stage}: {{steps: 30, rate: 0.125}}\n" for stage in STAGES),
}
TOY_CELLS = (
    "import dataclasses, json\nfrom geor1.runs import configure, run_stage, upstream",
    "profile: str = 'miniature'  # set of parameters\nruns_dir: str = '../runs'  # folder of all runs\n"
    "steps: int = 3  # optimiser steps\nseed: int = 0  # of everything random\nrate: float = 0.5  # share\n"
    "label: str = 'toy'  # name of the row",
    "fields = [('steps', int), ('seed', int, 0), ('rate', float, 0.5)]\n"
    "Config = dataclasses.make_dataclass('Config', fields, frozen=True)\n"
    "config = configure(Config, STAGE, profile, steps=steps, seed=seed, rate=rate)\n"
    "inputs = {'data': upstream(BEFORE, profile, runs_dir, seed=seed)} if BEFORE else {}",
    "def work(config, run_dir, data=None):\n"
    "    row = {'label': 'toy', 'n': config.steps, 'accuracy': config.rate + config.seed / 8}\n"
    "    (run_dir / 'scores.json').write_text(json.dumps({'table': [row]}))\n"
    "    (run_dir / 'map.html').write_text('map')\n"
    "    return run_dir",
    "run = run_stage(STAGE, profile, config, work, inputs, runs_dir)\n"
    "print('steps', config.steps, 'rate', config.rate)",
)


@pytest.fixture
def toy_notebooks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Five toy notebooks and two profiles, in force as ``GEOR1_NOTEBOOKS``; runs go to ``../runs``."""
    folder = tmp_path / "notebooks"
    (folder / "profiles").mkdir(parents=True)
    for name, text in TOY_PROFILES.items():
        (folder / "profiles" / f"{name}.yaml").write_text(text)
    for before, stage in zip((None, *STAGES), STAGES, strict=False):
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        book = nbformat.v4.new_notebook(metadata={"kernelspec": kernel})
        book.cells = [nbformat.v4.new_code_cell(source) for source in TOY_CELLS]
        book.cells[0].source += f"\nSTAGE, BEFORE = {stage!r}, {before!r}"
        book.cells[1].metadata["tags"] = ["parameters"]
        nbformat.write(book, folder / f"{stage}.ipynb")
    monkeypatch.setenv("GEOR1_NOTEBOOKS", str(folder))
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    monkeypatch.delenv("GEOR1_RUNS", raising=False)
    return folder
