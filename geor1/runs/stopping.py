"""Stopping a training run in good order: a file that asks for it, and the signals that write the file.

Slurm sends SIGUSR1 before the time limit (``--signal``) and SIGTERM before it takes nodes away. Whoever receives one
writes ``.stop`` into the run folder; the first process of the training looks for it after each optimiser step, all of
them save a checkpoint, and the stage ends with :class:`RunStoppedError`. The same command then goes on from there.
"""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from geor1.runs.files import atomic_write_text

STOP_FILE = ".stop"
STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1)
REQUEUE_EXIT_CODE = 85  # of geor1 run when a stage stopped in good order: ERESTART; Slurm's RequeueExit may name it


def request_stop(run_dir: Path, why: str) -> None:
    """Ask the training in a run folder to save a checkpoint after its present step and to end.

    Args:
        run_dir: The run folder; nothing happens if it is gone.
        why: One phrase for the log, e.g. ``SIGTERM``.
    """
    with contextlib.suppress(FileNotFoundError):
        atomic_write_text(run_dir / STOP_FILE, why + "\n")


def stop_requested(run_dir: Path) -> str:
    """Return why a stop is asked for, or an empty text if none is."""
    try:
        return (run_dir / STOP_FILE).read_text(encoding="utf-8").strip() or "unnamed"
    except FileNotFoundError:
        return ""


def clear_stop(run_dir: Path) -> None:
    """Forget an earlier request: a new attempt begins."""
    (run_dir / STOP_FILE).unlink(missing_ok=True)


@contextlib.contextmanager
def stop_on_signals(run_dir: Path) -> Iterator[None]:
    """Let SIGTERM and SIGUSR1 ask for a stop meanwhile, instead of ending this process.

    Only a main thread can receive signals; elsewhere nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ask(number: int, _: Any) -> None:
        """Write the request; the training finds it after its step."""
        name = signal.Signals(number).name
        logging.getLogger("geor1").info("%s: a checkpoint is saved after this step, then the run stops", name)
        request_stop(run_dir, name)

    before = {number: signal.signal(number, ask) for number in STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
