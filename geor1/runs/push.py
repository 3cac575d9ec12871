"""A finished run as a repository of the Hugging Face hub: a folder with a card made from the manifest, then its upload.

What is uploaded is the product, the card, and where it comes from: ``training/`` holds manifest and metrics, without
paths and addresses of the machine that made them. The data set of stage 01 becomes a data set, the checkpoints of 02
and 03 become models.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from geor1.runs.errors import ConfigError, ManifestError
from geor1.runs.files import atomic_write_text, write_json
from geor1.runs.manifest import check_products, read_manifest
from geor1.runs.model_card import base_of, model_card

SMALL_BASE_LICENCE = "apache-2.0"  # of this repository, whose package holds that base
_REPO_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_DATA_FOLDERS = ("images", "parquet")
# What stage 01 makes. Other JSON Lines in its folder (a teacher's raw answers, the run's own books) stay at home.
_DATA_STEMS = ("questions_train", "questions_test", "questions_real", "pairs", "scaffolds", "labelled_scaffolds",
               "authors_train")  # fmt: skip
_DATA_FILES = ("README.md", *(f"{stem}.jsonl" for stem in _DATA_STEMS))
_PRIVATE = ("feature_store", "accelerate_config", "main_process_ip")
_LINKED_BYTES = 16 << 20  # a copy of what is smaller costs nothing, and may be edited without touching the run
_PATH = re.compile(r"(?<![\w.:/~-])(?:~|/[\w.+-]+)(?:/[\w.+-]+)+/?")
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"<>()]*")


class Hub(Protocol):
    """What is used of ``huggingface_hub.HfApi``."""

    def create_repo(self, repo_id: str, *, repo_type: str, private: bool, exist_ok: bool) -> Any:
        """Make a repository."""

    def upload_folder(
        self, *, repo_id: str, folder_path: str, repo_type: str, commit_message: str, delete_patterns: list[str]
    ) -> Any:
        """Upload a folder as one commit, which removes those of the repository's other files that fit a pattern."""


def prepare(run_dir: Path, repo_id: str, licence: str, folder: Path | None = None) -> tuple[Path, str]:
    """Write the folder that would be uploaded.

    Args:
        run_dir: Finished run folder of stage 01, 02 or 03.
        repo_id: ``owner/name`` on the hub.
        licence: The hub's name of a licence, e.g. ``apache-2.0``; needed unless model or data are this package's own.
        folder: Where to write; default ``runs/<profile>/hub/<stage>-<key>``. What was prepared there before is
            replaced, a folder that holds anything else not touched. Large files are linked where the disk can.

    Returns:
        The folder, and ``model`` or ``dataset``.

    Raises:
        ConfigError: A stage that makes neither, a repository name of another form, a licence that is not known, or
            a folder with something in it that was not prepared here.
        ManifestError: The run is not finished, or its products were changed.
    """
    run_dir = run_dir.resolve()
    if not _REPO_ID.fullmatch(repo_id):
        raise ConfigError(f"{repo_id}: expected a repository as owner/name")
    manifest = read_manifest(run_dir)
    if manifest is None:
        raise ManifestError(f"{run_dir}: no finished run (no manifest.json); geor1 where lists them")
    check_products(run_dir, manifest)
    kind = "dataset" if manifest["stage"] == "01_data_synthesis" else "model"
    if kind == "model" and manifest["stage"] not in ("02_scaffold_sft", "03_grpo"):
        raise ConfigError(f"{manifest['stage']}: expected a run of 01 (a data set), 02 or 03 (a model)")
    folder = folder or run_dir.parents[1] / "hub" / f"{manifest['stage']}-{manifest['key']}"
    _refuse_others(folder)
    card = _dataset_card(run_dir, licence) if kind == "dataset" else _card(run_dir, manifest, repo_id, licence)
    shutil.rmtree(folder, ignore_errors=True)
    for source, target in _files(run_dir, manifest, kind):
        _link(source, folder / target)
    training = folder / "training"
    training.mkdir(parents=True)
    write_json(training / "manifest.json", public(manifest))
    if kind == "dataset" and (run_dir / "report.json").exists():
        write_json(folder / "report.json", public(json.loads((run_dir / "report.json").read_text(encoding="utf-8"))))
    if (run_dir / "metrics.jsonl").exists():
        shutil.copy2(run_dir / "metrics.jsonl", training / "metrics.jsonl")
    atomic_write_text(folder / "README.md", card)
    return folder, kind


def upload(folder: Path, kind: str, repo_id: str, hub: Hub, *, private: bool) -> Any:
    """Upload a prepared folder as one commit, after which the repository holds nothing else.

    Files of an earlier upload must go: a single ``model.safetensors`` left beside new shards would be loaded first.

    Args:
        folder: From :func:`prepare`.
        kind: ``model`` or ``dataset``.
        repo_id: ``owner/name``; made if it is not there.
        hub: ``huggingface_hub.HfApi()``, which finds the token itself.
        private: Whether a new repository is private.

    Returns:
        What the hub says of the commit.
    """
    key = json.loads((folder / "training" / "manifest.json").read_text(encoding="utf-8"))["key"]
    hub.create_repo(repo_id, repo_type=kind, private=private, exist_ok=True)
    return hub.upload_folder(
        repo_id=repo_id,
        folder_path=str(folder),
        repo_type=kind,
        commit_message=f"geor1 run {key}",
        delete_patterns=["*"],
    )


def public(value: Any) -> Any:
    """Return a manifest, config or report without what concerns nobody else.

    Values of names that end in ``_url`` or speak of a server go; absolute paths, paths from a home folder and addresses
    keep their last name, in names and within sentences, too.

    Args:
        value: Plain JSON.

    >>> public({"base_model": "/disk/me/base", "server_url": "http://me:secret@node7/v1", "path": "smoke/02/k"})
    {'base_model': 'base', 'server_url': '', 'path': 'smoke/02/k'}
    >>> public(["~/data/pairs", "s3://key:secret@bucket", "read from file:///disk/me/a.csv?token=1"])
    ['pairs', '', 'read from a.csv']
    >>> public({"/disk/me/a.csv": "no such file /disk/me/b.csv, 3/4 of image/png"})
    {'a.csv': 'no such file b.csv, 3/4 of image/png'}
    """
    if isinstance(value, Mapping):
        return {_shortened(name): "" if _is_private(name) and item else public(item) for name, item in value.items()
                if name not in ("uploads", "checksum")}  # fmt: skip
    if isinstance(value, list):
        return [public(item) for item in value]
    return _shortened(value) if isinstance(value, str) else value


def _is_private(name: str) -> bool:
    return name in _PRIVATE or name.endswith("_url") or "server" in name


def _shortened(text: str) -> str:
    """Paths and addresses by their last name; of an address without a path, nothing: its host may hold a password."""
    text = _ADDRESS.sub(lambda found: Path(urlsplit(found[0]).path).name, text)
    if text.startswith("~"):
        return Path(text).name if "/" in text else ""
    if Path(text).is_absolute():
        return Path(text).name
    return _PATH.sub(lambda found: Path(found[0]).name, text)


def _refuse_others(folder: Path) -> None:
    """Stop before what somebody else put into a folder is removed."""
    prepared = (folder / "training" / "manifest.json").is_file()
    if folder.exists() and not prepared and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(
            f"{folder}: expected a new or empty folder, or one that geor1 push wrote (training/manifest.json in it); "
            "name another, or empty it yourself"
        )


def _card(run_dir: Path, manifest: Mapping[str, Any], repo_id: str, licence: str) -> str:
    words, _ = base_of(run_dir, manifest)
    if not licence and "that geor1 ships" in words:
        licence = SMALL_BASE_LICENCE
    if not licence:
        raise ConfigError(f"--licence: needed, since the model derives from another: {words}; its page names it")
    return model_card(run_dir, {**manifest, "parameters": public(manifest["parameters"])}, repo_id, licence)


def _dataset_card(run_dir: Path, licence: str) -> str:
    text = (run_dir / "README.md").read_text(encoding="utf-8")
    if "\nlicense: other\n" not in text:
        return text
    if not licence:
        raise ConfigError("--licence: needed, since the images are others'; publish only what you may, under its terms")
    return re.sub(r"\nlicense: other\n(license_name: .*\n)?", f"\nlicense: {licence}\n", text, count=1)


def _files(run_dir: Path, manifest: Mapping[str, Any], kind: str) -> Iterator[tuple[Path, str]]:
    """Yield the files of the product with their names in the repository."""
    if kind == "model":
        product = run_dir / manifest["product"]
        yield from ((path, path.relative_to(product).as_posix()) for path in product.rglob("*") if path.is_file())
        return
    for path in run_dir.rglob("*"):
        name = path.relative_to(run_dir).as_posix()
        first, _, rest = name.partition("/")
        of_data = first in _DATA_FOLDERS if rest else name in _DATA_FILES
        if of_data and path.is_file():
            yield path, name


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.stat().st_size >= _LINKED_BYTES:
        with contextlib.suppress(OSError):  # another disk, or one without links
            os.link(source, target)
            return
    shutil.copy2(source, target)
