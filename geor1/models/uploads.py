"""Checkpoints copied to another place, and fetched from there when the local disk is gone.

The place is any address that fsspec opens. Stores of objects cannot rename a folder, so a copy counts as whole by its
``complete.json``, which is written last and names every file with size and SHA-256.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from geor1.runs.files import sha256_of_file
from geor1.runs.finishing import UPLOADS_FILE

INDEX = "complete.json"
SIDE_FOLDER = "run"  # in a copy: files of the run folder that a resumed run goes on writing
SIDE_FILES = ("metrics.jsonl", "timings.jsonl", "rollouts.jsonl")
KEPT = 2  # checkpoints, by the trainer and of their copies
_TRIES = 3
_WAIT_S = 5.0
_READ_BACK_BYTES = 16 << 20  # larger files are compared by size alone
_CHUNK_BYTES = 1 << 20
_NAME = re.compile(r"checkpoint-(\d+)")


class UploadError(OSError):
    """A checkpoint could not be copied, or the copy is not what was sent."""


class CheckpointCopies:
    """Copies checkpoints while training goes on, one at a time.

    A copy ends before the next begins, and the trainer keeps two checkpoints, so none is removed under its copy.

    Args:
        url: As in :func:`upload_checkpoint`.
        run_dir: The run folder.
    """

    def __init__(self, url: str, run_dir: Path) -> None:
        self._url, self._run_dir = url, run_dir
        self._thread: threading.Thread | None = None

    def start(self, checkpoint: Path) -> None:
        """Begin to copy a complete checkpoint, after the one before is through.

        Args:
            checkpoint: ``trainer/checkpoint-N`` of the run folder.
        """
        self.wait()
        # The trainer goes on writing these; what belongs to the checkpoint is what they hold now.
        sides = tempfile.TemporaryDirectory(prefix=".copying-", dir=checkpoint.parent)
        for name in SIDE_FILES:
            if (self._run_dir / name).is_file():
                shutil.copy2(self._run_dir / name, Path(sides.name) / name)
        self._thread = threading.Thread(target=self._copy, args=(checkpoint, sides), name="geor1-copy")
        self._thread.start()

    def wait(self) -> None:
        """Wait for the copy that is under way, if there is one."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _copy(self, checkpoint: Path, sides: tempfile.TemporaryDirectory[str]) -> None:
        with sides:
            upload_checkpoint(checkpoint, self._url, self._run_dir, sides=Path(sides.name))


def upload_checkpoint(checkpoint: Path, url: str, run_dir: Path, *, sides: Path | None = None) -> dict[str, Any]:
    """Copy a complete trainer checkpoint, drop the copies before the last two, and note it in ``uploads.jsonl``.

    Args:
        checkpoint: ``trainer/checkpoint-N`` of the run folder.
        url: Address that holds a folder a stage and key.
        run_dir: The run folder.
        sides: Folder that holds the figures up to the checkpoint; None for the run folder.

    Returns:
        The note: ``url``, ``files``, ``bytes``, ``sha256`` (of the index), or ``error`` where it failed three times;
        training goes on then, since the checkpoint itself is safe.
    """
    place = f"{remote_folder(url, run_dir)}/{checkpoint.name}"
    for attempt in range(1, _TRIES + 1):
        try:
            note = {"checkpoint": checkpoint.name, **copy_folder(_sources(checkpoint, sides or run_dir), place)}
            _drop_old(remote_folder(url, run_dir))
            break
        except Exception as error:  # each store has exceptions of its own
            note = {"checkpoint": checkpoint.name, "url": place, "error": f"{type(error).__name__}: {error}"}
            logging.getLogger("geor1").warning("copy of %s, attempt %d: %s", checkpoint.name, attempt, note["error"])
            if attempt < _TRIES:
                time.sleep(_WAIT_S)
    with open(run_dir / UPLOADS_FILE, "a", encoding="utf-8") as handle:
        handle.write(json.dumps(note) + "\n")
    return note


def copy_folder(files: dict[str, Path], place: str) -> dict[str, Any]:
    """Copy files to a folder at an address, look at what arrived, and write the index last.

    Args:
        files: Local files by name in the folder.
        place: Address of the folder; what is there is replaced.

    Returns:
        ``url``, ``files``, ``bytes`` and ``sha256`` of the index.

    Raises:
        UploadError: What arrived is not what was sent.
    """
    import fsspec

    store, root = fsspec.core.url_to_fs(place)
    if store.exists(root):
        store.rm(root, recursive=True)
    store.makedirs(root, exist_ok=True)
    index = {}
    for name, path in sorted(files.items()):
        target = f"{root}/{name}"
        store.makedirs(target.rpartition("/")[0], exist_ok=True)
        store.put_file(str(path), target)
        index[name] = {"bytes": path.stat().st_size, "sha256": sha256_of_file(path)}
        _compare(store, target, index[name], place)
    text = json.dumps(index, indent=1)
    with store.open(f"{root}/{INDEX}", "wb") as handle:
        handle.write(text.encode())
    total = sum(entry["bytes"] for entry in index.values())
    return {"url": place, "files": len(index), "bytes": total, "sha256": hashlib.sha256(text.encode()).hexdigest()}


def fetch_latest(url: str, run_dir: Path, trainer_dir: Path) -> Path | None:
    """Fetch the last whole copy of this run's checkpoints, where there is one, with the figures up to it.

    A copy that is not what its index says is named and left out for the one before.

    Args:
        url: As in :func:`upload_checkpoint`.
        run_dir: The run folder, without a checkpoint of its own.
        trainer_dir: Where the checkpoint goes.

    Returns:
        The checkpoint's folder, or None if no copy is there.

    Raises:
        UploadError: There are copies, and none is what its index says.
    """
    import fsspec

    store, root = fsspec.core.url_to_fs(remote_folder(url, run_dir))
    whole = [folder for folder in _copies(store, root) if store.exists(f"{folder}/{INDEX}")]
    damaged = []
    for folder in reversed(whole):
        try:
            return _fetch(store, folder, run_dir, trainer_dir)
        except (UploadError, FileNotFoundError, ValueError) as error:
            damaged.append(f"{folder}: {error}")
            logging.getLogger("geor1").warning("left out: %s", damaged[-1])
    if damaged:
        raise UploadError(f"no copy can be used; remove them, or clear checkpoint_url to start afresh: {damaged}")
    return None


def _fetch(store: Any, folder: str, run_dir: Path, trainer_dir: Path) -> Path:
    name = folder.rpartition("/")[2]
    partial = trainer_dir / f"fetching-{name}"
    shutil.rmtree(partial, ignore_errors=True)
    for part, entry in json.loads(store.cat_file(f"{folder}/{INDEX}")).items():
        target = partial / part
        target.parent.mkdir(parents=True, exist_ok=True)
        store.get_file(f"{folder}/{part}", str(target))
        if target.stat().st_size != entry["bytes"] or sha256_of_file(target) != entry["sha256"]:
            shutil.rmtree(partial)
            raise UploadError(f"{part}: not what was copied there")
    for side in (partial / SIDE_FOLDER).glob("*"):
        side.replace(run_dir / side.name)
    shutil.rmtree(partial / SIDE_FOLDER, ignore_errors=True)
    partial.replace(trainer_dir / name)
    return trainer_dir / name


def remote_folder(url: str, run_dir: Path) -> str:
    """Return where the copies of a run lie: the address, its stage and its key."""
    return "/".join([url.rstrip("/"), *run_dir.resolve().parts[-2:]])


def _sources(checkpoint: Path, figures: Path) -> dict[str, Path]:
    files = {path.relative_to(checkpoint).as_posix(): path for path in checkpoint.rglob("*") if path.is_file()}
    sides = {f"{SIDE_FOLDER}/{name}": figures / name for name in SIDE_FILES if (figures / name).is_file()}
    return {**files, **sides}


def _compare(store: Any, target: str, entry: dict[str, Any], place: str) -> None:
    size = store.info(target)["size"]
    if size != entry["bytes"]:
        raise UploadError(f"{place}: {target} has {size} bytes, {entry['bytes']} were sent")
    if size <= _READ_BACK_BYTES:
        digest = hashlib.sha256()
        with store.open(target, "rb") as handle:
            while chunk := handle.read(_CHUNK_BYTES):
                digest.update(chunk)
        if digest.hexdigest() != entry["sha256"]:
            raise UploadError(f"{place}: {target} holds other bytes than were sent")


def _copies(store: Any, root: str) -> Iterator[str]:
    """Yield the copies of a run, by step."""
    if not store.exists(root):
        return
    found = [(int(match[1]), path) for path in store.ls(root, detail=False)
             if (match := _NAME.fullmatch(path.rstrip("/").rpartition("/")[2]))]  # fmt: skip
    yield from (path.rstrip("/") for _, path in sorted(found))


def _drop_old(place: str) -> None:
    import fsspec

    store, root = fsspec.core.url_to_fs(place)
    for folder in list(_copies(store, root))[:-KEPT]:
        store.rm(folder, recursive=True)
