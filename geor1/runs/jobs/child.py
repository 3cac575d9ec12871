"""One of the processes that train together: ``python -m geor1.runs.jobs.child RUN_DIR``, started by accelerate."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from pathlib import Path

from geor1.runs.errors import RunStoppedError
from geor1.runs.files import write_json
from geor1.runs.jobs.files import (
    BEAT_EVERY_S,
    SILENT_AFTER_S,
    JobFiles,
    as_paths,
    by_name,
    die_with_parent,
    read_json,
)
from geor1.runs.logs import log_to
from geor1.runs.provenance import hardware, package_versions, peak_memory, reset_peak_memory
from geor1.runs.stopping import stop_on_signals
from geor1.runs.typed import build_dataclass


def main(run_dir: str) -> None:
    """Call the stage's function as the job's file says, and leave a note of how it went.

    Args:
        run_dir: The run folder.
    """
    die_with_parent()
    files, rank = JobFiles(Path(run_dir)), int(os.environ.get("RANK", "0"))
    threading.Thread(target=watch, args=(files,), daemon=True).start()
    with stop_on_signals(files.run_dir):
        try:
            with log_to(files.run_dir) if rank == 0 else contextlib.nullcontext():
                _work(files, rank)
        except RunStoppedError as stopped:
            if rank == 0:
                write_json(files.stopped, {"message": str(stopped)})
        except BaseException as error:
            write_json(files.error(rank), {"type": type(error).__name__, "message": str(error), "time": time.time()})
            raise
    _leave()


def watch(files: JobFiles, silent_s: float = 2.5 * SILENT_AFTER_S) -> None:
    """End this process if its supervisor, which may be on another machine, is silent for long or another has the job.

    On its own machine a process dies with the one that started it. On others ``srun`` leaves its tasks running when it
    is killed; they would train on beside the next attempt. Changes are timed by this machine's clock, so that clocks
    may differ; a disk that refuses for a moment counts as a change.

    Args:
        files: The job's files.
        silent_s: How long is long: well over the time after which another attempt may begin.
    """
    own, seen, since = read_json(files.running), "", time.monotonic()
    while time.monotonic() - since < silent_s:
        time.sleep(min(BEAT_EVERY_S, silent_s / 4))
        try:
            now = str(files.running.stat().st_mtime_ns)
            if now != seen and own is not None and read_json(files.running) not in (None, own):
                break
        except FileNotFoundError:
            now = "gone"
        except OSError as error:
            now = f"{error} at {time.monotonic()}"
        if now != seen:
            seen, since = now, time.monotonic()
    print(f"its supervisor is gone, or silent for {silent_s:.0f} s: this process ends", flush=True)
    os._exit(1)


def _work(files: JobFiles, rank: int) -> None:
    spec = read_json(files.spec)
    assert spec is not None, f"{files.spec}: the job's file is gone"
    config = build_dataclass(by_name(spec["config_class"]), spec["config"], spec["content"]["stage"])
    inputs = {name: as_paths(value) for name, value in spec["inputs"].items()}
    reset_peak_memory()
    clock = time.perf_counter()
    product = Path(by_name(spec["function"])(config, **inputs, run_dir=files.run_dir)).resolve()
    content = {
        "product": str(product),
        "wall_s": time.perf_counter() - clock,
        "hardware": hardware(),
        "packages": package_versions(),
        "peak_memory_bytes": peak_memory(),
    }
    write_json(files.done(rank), content)


def _leave() -> None:
    """Say goodbye to the other processes, which torch otherwise complains of."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1])
