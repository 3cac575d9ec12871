"""The figures of ``metrics.jsonl`` in TensorBoard, trackio or Weights & Biases as well.

``metrics.jsonl`` is what counts: TensorBoard's event file is written anew from it whenever training begins or resumes,
so that the two never differ, and an absent or failing tracker never changes a run.
"""

from __future__ import annotations

import importlib.util
import json
import math
import shutil
import time
from pathlib import Path
from typing import Any

from geor1.runs import read_metrics
from geor1.runs.processes import require_package

TENSORBOARD_FOLDER = "tensorboard"  # inside a run folder
PROJECT = "geor1"  # under which runs are filed where a tracker has projects
_FLUSH_EVERY_S = 5.0


class NoTracker:
    """Tells nobody."""

    def log(self, step: int, values: dict[str, Any]) -> None:
        """Take the figures of a step and do nothing."""

    def close(self) -> None:
        """Do nothing."""


class TensorBoardTracker(NoTracker):
    """Scalars in ``tensorboard/`` of the run folder, the same names, steps and values (as 32-bit floats).

    Args:
        run_dir: The run folder; what its ``metrics.jsonl`` holds is written first.
    """

    def __init__(self, run_dir: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        folder = run_dir / TENSORBOARD_FOLDER
        shutil.rmtree(folder, ignore_errors=True)
        self._writer = SummaryWriter(str(folder))
        self._flushed = time.monotonic()
        for row in read_metrics(run_dir):
            self.log(row["step"], row)

    def log(self, step: int, values: dict[str, Any]) -> None:
        """Add the numbers of a step; text, null and what is not finite have no place there."""
        for name, value in numbers(values).items():
            self._writer.add_scalar(name, value, step)
        if time.monotonic() - self._flushed > _FLUSH_EVERY_S:
            self._writer.flush()
            self._flushed = time.monotonic()

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()


class RemoteTracker(NoTracker):
    """A run of trackio or wandb, which share their calls; named and continued by the key of the run folder.

    Args:
        package: ``trackio`` or ``wandb``.
        run_dir: The run folder.
        resumed: Whether earlier steps were told by an earlier attempt.
    """

    def __init__(self, package: str, run_dir: Path, *, resumed: bool) -> None:
        self._module = importlib.import_module(package)
        config_file = run_dir / "config.json"
        config = json.loads(config_file.read_text(encoding="utf-8")) if config_file.exists() else {}
        name = "-".join(run_dir.parts[-3:])  # profile, stage, key
        more = {"id": run_dir.name, "dir": str(run_dir)} if package == "wandb" else {}
        self._module.init(project=PROJECT, name=name, config=config, resume="allow", **more)
        for row in [] if resumed else read_metrics(run_dir):
            self.log(row["step"], row)

    def log(self, step: int, values: dict[str, Any]) -> None:
        """Send the numbers of a step."""
        self._module.log(numbers(values), step=step)

    def close(self) -> None:
        """End the run."""
        self._module.finish()


def open_tracker(report_to: str, run_dir: Path, *, resumed: bool) -> NoTracker:
    """Return where figures go besides ``metrics.jsonl``.

    Args:
        report_to: As in :class:`geor1.runs.processes.LaunchConfig`.
        run_dir: The run folder.
        resumed: Whether training goes on from a checkpoint.

    Raises:
        ConfigError: The package that ``report_to`` names is not installed.
    """
    if report_to == "auto":
        report_to = "tensorboard" if importlib.util.find_spec("tensorboard") else "none"
    if report_to == "none":
        return NoTracker()
    require_package(report_to, f"report_to={report_to!r}")
    if report_to == "tensorboard":
        return TensorBoardTracker(run_dir)
    return RemoteTracker(report_to, run_dir, resumed=resumed)


def numbers(values: dict[str, Any]) -> dict[str, float]:
    """Return the finite numbers among a step's figures, without the step itself.

    >>> numbers({"step": 3, "loss": 0.5, "rate": float("nan"), "note": "a", "flag": True})
    {'loss': 0.5}
    """
    kept = {}
    for name, value in values.items():
        if name != "step" and isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
            kept[name] = float(value)
    return kept
