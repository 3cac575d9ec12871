"""The figures of ``metrics.jsonl`` in TensorBoard, trackio or Weights & Biases as well.

``metrics.jsonl`` is what counts: TensorBoard's event file is written anew from it whenever training begins or resumes,
so that the two never differ. A tracker that fails to open, to log or to close never changes a run: one warning, and
nobody is told any more. A package that is asked for and absent is refused before the model loads.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import math
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from geor1.runs import read_metrics
from geor1.runs.processes import require_package
from geor1.runs.push import public

TENSORBOARD_FOLDER = "tensorboard"  # inside a run folder
PROJECT = "geor1"  # under which runs are filed where a tracker has projects
_FLUSH_EVERY_S = 5.0
_log = logging.getLogger("geor1.tracking")


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
        self._module.init(project=PROJECT, name=name, config=public(config), resume="allow", **more)
        for row in [] if resumed else read_metrics(run_dir):
            self.log(row["step"], row)

    def log(self, step: int, values: dict[str, Any]) -> None:
        """Send the numbers of a step."""
        self._module.log(numbers(values), step=step)

    def close(self) -> None:
        """End the run."""
        self._module.finish()


class SteadyTracker(NoTracker):
    """A tracker that may fail: the first failure is warned of, and it is not called again.

    Args:
        name: What the warning calls it.
        opened: Makes the tracker.
    """

    def __init__(self, name: str, opened: Callable[[], NoTracker]) -> None:
        self._name = name
        self._tracker = NoTracker()
        self._attempt("opened", lambda: setattr(self, "_tracker", opened()))

    def log(self, step: int, values: dict[str, Any]) -> None:
        """Hand the figures of a step on."""
        self._attempt(f"told step {step}", lambda: self._tracker.log(step, values))

    def close(self) -> None:
        """Close it."""
        self._attempt("closed", lambda: self._tracker.close())

    def _attempt(self, what: str, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception as error:  # whatever another package raises: a network, a login, a full disk
            self._tracker = NoTracker()
            _log.warning(
                "%s could not be %s (%s: %s); the run goes on without it, its figures are in metrics.jsonl",
                self._name, what, type(error).__name__, error,
            )  # fmt: skip


def require_tracker(report_to: str) -> None:
    """Stop if the package that is asked for is not installed.

    Args:
        report_to: As in :class:`geor1.runs.processes.LaunchConfig`.

    Raises:
        ConfigError: The package that ``report_to`` names is not installed.
    """
    if report_to not in ("auto", "none"):
        require_package(report_to, f"report_to={report_to!r}")


def open_tracker(report_to: str, run_dir: Path, *, resumed: bool) -> NoTracker:
    """Return where figures go besides ``metrics.jsonl``.

    Args:
        report_to: As in :class:`geor1.runs.processes.LaunchConfig`.
        run_dir: The run folder.
        resumed: Whether training goes on from a checkpoint.

    Returns:
        A tracker that raises nothing.
    """
    if report_to == "auto":
        report_to = "tensorboard" if importlib.util.find_spec("tensorboard") else "none"
    if report_to == "none":
        return NoTracker()
    if report_to == "tensorboard":
        return SteadyTracker(report_to, lambda: TensorBoardTracker(run_dir))
    return SteadyTracker(report_to, lambda: RemoteTracker(report_to, run_dir, resumed=resumed))


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
