"""What a folder of data holds, by content: every file hashed once and, while it is not touched, never again.

A data set of real pairs is hundreds of thousands of images. Their names and sizes alone do not tell an image from
another of the same size, which tiles in uncompressed formats always are. Hashing 100 kB takes a tenth of a millisecond
of one core, less than decoding it, but reading the whole set for every look-up of a run would not do. So hashes are
kept, by size, time of last change and inode, in ``$XDG_CACHE_HOME/geor1`` (``~/.cache/geor1``), which may be deleted at
any time. A file changed with its size and time kept is not noticed.
"""

from __future__ import annotations

import concurrent.futures
import hashlib
import json
import logging
import os
import time
from pathlib import Path

from geor1.runs.bars import progress
from geor1.runs.files import atomic_write_text, sha256_of_file

logger = logging.getLogger(__name__)

KEPT_FROM_BYTES = 256 << 20  # a smaller folder is read anew, which takes a second
_READERS = 8  # at a time: hashing leaves other threads running, and a network disk answers several sooner than one
_AT_ONCE = 4096  # files handed to the readers together
_SETTLED_S = 2.0  # a file changed since may change again within the same tick of its clock
_Mark = list[int]  # size in bytes, time of last change in nanoseconds, inode


def folder_content(folder: Path) -> dict[str, str]:
    """SHA-256 of every file in a folder and below that is not hidden, by its path relative to the folder.

    Args:
        folder: An existing folder.

    Raises:
        OSError: A file cannot be read.
    """
    paths = [path for path in sorted(folder.rglob("*")) if not path.name.startswith(".") and path.is_file()]
    marks = {path.relative_to(folder).as_posix(): _mark(path) for path in paths}
    keeps = sum(size for size, _, _ in marks.values()) >= KEPT_FROM_BYTES
    kept = _read_kept(folder) if keeps else {}
    found = {name: kept[name][1] for name, mark in marks.items() if name in kept and kept[name][0] == mark}
    unread = [name for name in marks if name not in found]
    found |= _hashes(folder, unread)
    if keeps and unread:
        settled = time.time_ns() - int(_SETTLED_S * 1e9)
        _write_kept(folder, {name: (mark, found[name]) for name, mark in marks.items() if mark[1] < settled})
    return {name: found[name] for name in marks}


def _hashes(folder: Path, names: list[str]) -> dict[str, str]:
    """SHA-256 of files, several read at a time."""
    found: dict[str, str] = {}
    parts = [names[start : start + _AT_ONCE] for start in range(0, len(names), _AT_ONCE)]
    shown = progress(parts, description=f"reading {folder.name}", unit=f"× {_AT_ONCE} files") if parts[1:] else parts
    with concurrent.futures.ThreadPoolExecutor(_READERS) as readers:
        for part in shown:
            found |= zip(part, readers.map(sha256_of_file, [folder / name for name in part]), strict=True)
    return found


def _mark(path: Path) -> _Mark:
    state = path.stat()
    return [state.st_size, state.st_mtime_ns, state.st_ino]


def _cache_file(folder: Path) -> Path:
    base = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    return base / "geor1" / f"hashes-{hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:16]}.json"


def _read_kept(folder: Path) -> dict[str, tuple[_Mark, str]]:
    path = _cache_file(folder)
    try:
        return {name: (mark, digest) for name, (mark, digest) in json.loads(path.read_text("utf-8")).items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        logger.warning("%s cannot be used (%s); all files of %s are read", path, error, folder)
        return {}


def _write_kept(folder: Path, kept: dict[str, tuple[_Mark, str]]) -> None:
    path = _cache_file(folder)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write_text(path, json.dumps(kept, separators=(",", ":")))
    except OSError as error:
        logger.warning("%s cannot be written (%s); the files of %s are read again next time", path, error, folder)
