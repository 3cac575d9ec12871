"""A Chromium that is installed already, driven by Playwright, for the page's measurements and tests."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip


def find_chromium() -> str | None:
    """Path of an installed Chromium or Chrome, or None."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


def launch(playwright: Playwright) -> Browser:
    """Start it headless, without a GPU and without talking to anybody.

    Raises:
        FileNotFoundError: None is installed.
    """
    path = find_chromium()
    if path is None:
        raise FileNotFoundError(
            f"expected one of {', '.join(NAMES)} on the PATH, found none; Debian: apt-get install chromium"
        )
    return playwright.chromium.launch(executable_path=path, args=list(FLAGS))
