"""Files that are either whole or not there, and a full disk that says so."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from geor1.runs.errors import DiskFullError

_CHUNK_BYTES = 1 << 20
_FULL_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT)


def atomic_write_text(path: Path | str, text: str) -> Path:
    """Write a text file so that a reader sees the old content or the new one, never half of it.

    The text goes to ``.<name>.<process id>.partial`` in the same folder, is flushed to the disk and then renamed.

    Args:
        path: Where to write; its folder must exist.
        text: Content, written as UTF-8.

    Returns:
        The path.

    Raises:
        DiskFullError: If the disk is full; the partial file is removed and the old content stays.
    """
    path = Path(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with disk_full_is_clear(path):
            with open(partial, "w", encoding="utf-8") as handle:
                handle.write(text)
                handle.flush()
                os.fsync(handle.fileno())
            os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def write_json(path: Path | str, value: Any) -> Path:
    """Write a value as indented JSON, atomically (see :func:`atomic_write_text`)."""
    return atomic_write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def sha256_of_file(path: Path | str) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as handle:
        while chunk := handle.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def sha256_of_json(value: Any) -> str:
    """Return the SHA-256 of a JSON value in canonical form (sorted keys, no spaces)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def free_bytes(path: Path | str) -> int:
    """Return the free bytes of the disk that holds ``path`` or its nearest existing parent."""
    place = Path(path).resolve()
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free


def require_free_disk(path: Path | str, needed_bytes: int) -> None:
    """Stop before the work begins when its disk cannot hold the result.

    Args:
        path: Any path on that disk; it need not exist yet.
        needed_bytes: What the work will write, in bytes.

    Raises:
        DiskFullError: If less is free.
    """
    free = free_bytes(path)
    if free < needed_bytes:
        raise DiskFullError(
            errno.ENOSPC,
            f"{path}: {needed_bytes / 1e6:.0f} MB are needed, {free / 1e6:.1f} MB are free on its disk; "
            "free some space, or choose another runs_dir",
        )


@contextlib.contextmanager
def disk_full_is_clear(path: Path | str) -> Iterator[None]:
    """Turn any exception inside that means a full disk into a :class:`DiskFullError` that says what to do.

    Libraries report it in their own ways: as ``OSError`` with ENOSPC, or (safetensors, torch) as an error whose text
    says so.
    """
    try:
        yield
    except DiskFullError:
        raise
    except Exception as error:
        if not _means_full_disk(error):
            raise
        raise DiskFullError(
            errno.ENOSPC,
            f"{path}: the disk is full ({free_bytes(path) / 1e6:.1f} MB free); nothing half-written counts as "
            "finished: free some space and run the same command again, it goes on from what is there",
        ) from error


def _means_full_disk(error: BaseException) -> bool:
    if isinstance(error, OSError) and error.errno in _FULL_DISK_ERRORS:
        return True
    return re.search(r"no space left on device|disk quota exceeded", str(error), re.IGNORECASE) is not None
