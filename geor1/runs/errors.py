"""What can go wrong around a run, each with a name of its own; messages say expected, found, where and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ConfigError(ValueError):
    """A parameter, profile or notebook name that does not exist, or a value of the wrong type or out of range."""


class MissingUpstreamError(FileNotFoundError):
    """A stage needs the product of an earlier stage, and no finished run of that stage is there."""


class ManifestError(ValueError):
    """A file of a run folder is damaged or does not fit its folder; the message names the file and the way out."""


class RunLockedError(TimeoutError):
    """Another process has been running the same key for longer than we were told to wait."""


class RunStoppedError(RuntimeError):
    """A training run was asked to stop and did, with a checkpoint saved; asked for again, it goes on from there."""


class JobFailedError(RuntimeError):
    """The training processes of a run failed or died; the message holds the end of their log."""


class DiskFullError(OSError):
    """The disk that holds the run folder is full, or too full to begin."""


class NotebookFailedError(RuntimeError):
    """A notebook stopped with an error while the launcher executed it.

    Attributes:
        error_name: Class name of the exception inside the notebook, e.g. ``ConfigError``.
    """

    def __init__(self, message: str, error_name: str = "") -> None:
        super().__init__(message)
        self.error_name = error_name


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a hint for a misspelt name: the nearest known one, then all known ones.

    Args:
        name: What was written.
        known: What could have been written.

    Returns:
        ``"; did you mean 'steps'? Known: seed, steps"``, without the question where nothing is near.

    >>> did_you_mean("stpes", ["steps", "seed"])
    "; did you mean 'steps'? Known: seed, steps"
    """
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    question = f"; did you mean {near[0]!r}?" if near else "."
    return f"{question} Known: {', '.join(names) or 'none'}"
