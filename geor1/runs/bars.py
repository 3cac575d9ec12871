"""Progress that reads well in JupyterLab and does not flood a headless run.

With a person watching (JupyterLab, VS Code, a terminal) a tqdm bar; otherwise (papermill, Slurm, a pipe) a plain line
at every fifth of the way; work that ends within five seconds prints one line.
``GEOR1_PROGRESS`` set to ``bar``, ``lines`` or ``off`` decides instead.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

T = TypeVar("T")
_FIRST_LINE_AFTER_S = 5.0
_LINES_PER_RUN = 5
_OPEN_ENDED_EVERY_S = 30.0
_WATCHED_KERNEL = ("JPY_SESSION_NAME", "VSCODE_PID", "VSCODE_CWD", "COLAB_RELEASE_TAG")


def progress_style() -> str:
    """Return ``bar``, ``lines`` or ``off`` for this process (see the module's text)."""
    wanted = os.environ.get("GEOR1_PROGRESS", "")
    if wanted in ("bar", "lines", "off"):
        return wanted
    if "ipykernel" in sys.modules:
        return "bar" if any(name in os.environ for name in _WATCHED_KERNEL) else "lines"
    return "bar" if sys.stderr.isatty() else "lines"


class Progress:
    """A counter that shows itself; also a context manager.

    Args:
        description: What is being done, e.g. ``"questions"``.
        total: Units in all, or None if unknown.
        unit: Name of one unit.
    """

    def __init__(self, description: str, total: int | None = None, unit: str = "it") -> None:
        self.description, self.total, self.unit = description, total, unit
        self.count = 0
        self._style = progress_style()
        self._note = ""
        self._started = self._printed_at = time.monotonic()
        self._next_share = 1
        self._bar: Any = None
        if self._style == "bar":
            from tqdm.auto import tqdm

            self._bar = tqdm(total=total, desc=description, unit=unit, mininterval=0.5, dynamic_ncols=True)

    def update(self, n: int = 1, **values: Any) -> None:
        """Count ``n`` more units; ``values`` (say, ``loss=0.31``) stand behind the count."""
        self.count += n
        if values:
            self._note = ", ".join(f"{name} {_short(value)}" for name, value in values.items())
        if self._bar is not None:
            self._bar.set_postfix_str(self._note, refresh=False)
            self._bar.update(n)
        elif self._style == "lines" and self._line_is_due():
            self._print_line()

    def close(self) -> None:
        """Finish: close the bar, or print the last line."""
        if self._bar is not None:
            self._bar.close()
        elif self._style == "lines" and self.count:
            self._print_line()
        self._style, self._bar = "off", None

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _line_is_due(self) -> bool:
        now = time.monotonic()
        if now - self._started < _FIRST_LINE_AFTER_S:
            return False
        if self.total is None:
            return now - self._printed_at >= _OPEN_ENDED_EVERY_S
        share = self.count * _LINES_PER_RUN // max(self.total, 1)
        if share < self._next_share or self.count >= self.total:
            return False
        self._next_share = share + 1
        return True

    def _print_line(self) -> None:
        self._printed_at = time.monotonic()
        of_total = f"/{self.total}" if self.total is not None else ""
        note = f" ({self._note})" if self._note else ""
        seconds = self._printed_at - self._started
        print(f"{self.description}: {self.count}{of_total} {self.unit} in {seconds:.1f} s{note}", flush=True)


def progress(items: Iterable[T], *, description: str, total: int | None = None, unit: str = "it") -> Iterator[T]:
    """Yield the items of an iterable while showing how far it is.

    Args:
        items: What to go through.
        description: What is being done.
        total: Number of items; taken from ``len`` where possible.
        unit: Name of one item.

    >>> import os; os.environ["GEOR1_PROGRESS"] = "off"
    >>> list(progress([1, 2], description="toy"))
    [1, 2]
    """
    if total is None and hasattr(items, "__len__"):
        total = len(items)  # type: ignore[arg-type]
    with Progress(description, total, unit) as shown:
        for item in items:
            yield item
            shown.update()


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
