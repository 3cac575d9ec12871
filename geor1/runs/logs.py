"""``log.txt`` of a run folder, and one-line announcements."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

LOG_FILE = "log.txt"
_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


@contextlib.contextmanager
def log_to(run_dir: Path | str) -> Iterator[logging.Logger]:
    """Append everything that is logged inside the block, by us (from INFO) or a library, to ``log.txt``.

    An exception that leaves the block is logged with its traceback and goes on.

    Args:
        run_dir: The run folder.

    Yields:
        The project's logger, ``geor1``.
    """
    logger = logging.getLogger("geor1")
    handler = logging.FileHandler(Path(run_dir) / LOG_FILE, encoding="utf-8", delay=True)
    handler.setFormatter(logging.Formatter(_FORMAT))
    handler.handleError = lambda record: None  # type: ignore[method-assign]  # a full disk is reported by the stage
    root, level = logging.getLogger(), logger.level
    root.addHandler(handler)
    if logger.getEffectiveLevel() > logging.INFO:
        logger.setLevel(logging.INFO)
    try:
        yield logger
    except BaseException as error:
        logger.error("stopped by %s", type(error).__name__, exc_info=True)
        raise
    finally:
        root.removeHandler(handler)
        logger.setLevel(level)
        with contextlib.suppress(OSError):  # flushing to a full disk
            handler.close()


def announce(message: str) -> None:
    """Print one line at once (a notebook's output, a Slurm log) and log it."""
    print(message, flush=True)
    logging.getLogger("geor1").info("%s", message)
