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

import pytest

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
    """Return the folder of real data: ``GEOR1_REAL_DATA``, or ``../shared/data`` beside the checkout; None if absent."""
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
