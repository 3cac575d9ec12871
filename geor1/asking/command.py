"""How commands that ask models end."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

from geor1.asking.backends import BackendError, UnansweredError
from geor1.asking.images import ImageFileError
from geor1.records import RecordError
from geor1.runs import ConfigError, MissingUpstreamError, RunLockedError
from geor1.runs.files import disk_full_is_clear

# DiskFullError and MissingUpstreamError are OSErrors, like what a missing folder raises.
_EXPECTED = (BackendError, UnansweredError, ImageFileError, RecordError, ConfigError, MissingUpstreamError,
             RunLockedError, OSError)  # fmt: skip


@contextlib.contextmanager
def plain_errors(out: Path, *also: type[Exception]) -> Iterator[None]:
    """End a command with the message of what its user can mend; anything else is a defect and keeps its traceback.

    Args:
        out: Folder that the command writes into.
        also: Further errors of the command's own.

    Raises:
        SystemExit: One of them, a full disk, or an interruption.
    """
    try:
        with disk_full_is_clear(out):
            yield
    except (*_EXPECTED, *also) as error:
        sys.exit(f"{type(error).__name__}: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted: what is done is kept, the same command goes on from there")
