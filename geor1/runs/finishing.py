"""The end of a run: its product is looked at, and the manifest written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from geor1.runs.errors import ManifestError
from geor1.runs.keys import TRAINER_FOLDER
from geor1.runs.manifest import list_products, write_manifest
from geor1.runs.metrics import SUMMARY_FILE

UPLOADS_FILE = "uploads.jsonl"  # one line a checkpoint that was copied elsewhere


def finish_run(
    run_dir: Path,
    content: dict[str, Any],
    product: Path,
    *,
    wall_s: float,
    peak_memory_bytes: dict[str, int],
    hardware: dict[str, Any],
) -> dict[str, Any]:
    """Write the manifest of a run whose function has returned, then remove its trainer's checkpoints.

    Args:
        run_dir: The run folder.
        content: What was known when the run began: stage, profile, key, parameters, inputs, code …
        product: What the function returned.
        wall_s: Time of the last attempt in seconds.
        peak_memory_bytes: By kind of memory.
        hardware: Of the machine that ran it.

    Returns:
        The manifest as written.

    Raises:
        ManifestError: The product is not in the run folder, or the summary is no JSON object.
    """
    product = Path(product).resolve()
    if not product.exists() or not product.is_relative_to(run_dir):
        raise ManifestError(
            f"{content['stage']} returned {product}; expected an existing path in its run folder {run_dir}"
        )
    ended = {
        "product": product.relative_to(run_dir).as_posix(),
        "products": list_products(run_dir),
        "hardware": hardware,
        "wall_s": float(wall_s),
        "peak_memory_bytes": peak_memory_bytes,
        "metrics": _summary(run_dir),
    }
    if (uploads := run_dir / UPLOADS_FILE).exists():
        ended["uploads"] = [json.loads(line) for line in uploads.read_text(encoding="utf-8").splitlines()]
    manifest = write_manifest(run_dir, {**content, **ended})
    drop_trainer(run_dir)
    return manifest


def drop_trainer(run_dir: Path) -> None:
    """Remove the trainer's own checkpoints of a finished run.

    Not before the manifest is there: a run killed in between goes on from them.

    Args:
        run_dir: The run folder.
    """
    shutil.rmtree(run_dir / TRAINER_FOLDER, ignore_errors=True)


def _summary(folder: Path) -> dict[str, Any]:
    path = folder / SUMMARY_FILE
    if not path.exists():
        return {}
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ManifestError(f"{path}: not JSON ({error}); the stage should write an object of figures") from error
    if not isinstance(summary, dict):
        raise ManifestError(f"{path}: expected an object of figures, got {type(summary).__name__}")
    return summary
