"""``manifest.json``: written last, so that a run folder which has a sound one is a finished run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from geor1.runs.errors import ManifestError
from geor1.runs.files import sha256_of_file, sha256_of_json, write_json
from geor1.runs.keys import product_files

MANIFEST_FILE = "manifest.json"
SCHEMA = 1
_REQUIRED = {
    "schema": int, "stage": str, "profile": str, "key": str, "parameters": dict, "defaults": dict, "inputs": dict,
    "products": list, "product": str, "code": dict, "packages": dict, "hardware": dict, "seeds": dict,
    "wall_s": float, "peak_memory_bytes": dict, "metrics": dict, "checksum": str,
}  # fmt: skip
_ALWAYS_REHASHED_BYTES = 16 << 20  # larger products are compared by size alone when a finished run is taken up again


def list_products(run_dir: Path) -> list[dict[str, Any]]:
    """Return path (relative), SHA-256 and size in bytes of every data file of a run folder."""
    return [
        {"path": path.relative_to(run_dir).as_posix(), "sha256": sha256_of_file(path), "bytes": path.stat().st_size}
        for path in product_files(run_dir)
    ]


def write_manifest(run_dir: Path, content: dict[str, Any]) -> dict[str, Any]:
    """Write ``manifest.json`` atomically, with a checksum of its own content.

    Returns:
        The manifest as written.
    """
    content = json.loads(json.dumps({"schema": SCHEMA, **content}))
    manifest = {**content, "checksum": sha256_of_json(content)}
    write_json(run_dir / MANIFEST_FILE, manifest)
    return manifest


def read_manifest(run_dir: Path) -> dict[str, Any] | None:
    """Read and check the manifest of a run folder.

    Args:
        run_dir: The run folder.

    Returns:
        The manifest, or None if there is none: the run is not finished.

    Raises:
        ManifestError: If the file is not JSON, lacks a field, was changed after it was written, or belongs to another
            folder.
    """
    path = run_dir / MANIFEST_FILE
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise _damaged(path, str(error)) from error
    try:
        manifest = json.loads(text)
    except ValueError as error:
        raise _damaged(path, f"not JSON ({error})") from error
    if not isinstance(manifest, dict):
        raise _damaged(path, f"expected an object, got {type(manifest).__name__}")
    if manifest.get("schema") != SCHEMA:
        raise _damaged(path, f"expected schema {SCHEMA}, got {manifest.get('schema')!r}")
    for name, kind in _REQUIRED.items():
        if not isinstance(manifest.get(name), kind):
            raise _damaged(path, f"expected {name!r} as {kind.__name__}, got {manifest.get(name)!r}")
    content = {name: value for name, value in manifest.items() if name != "checksum"}
    if sha256_of_json(content) != manifest["checksum"]:
        raise _damaged(path, "its content does not fit its checksum: it was changed after the run")
    if manifest["key"] != run_dir.name:
        raise _damaged(path, f"it is the manifest of run {manifest['key']}, not of this folder")
    return manifest


def check_products(run_dir: Path, manifest: dict[str, Any]) -> None:
    """Check that the products of a finished run are still what it wrote.

    Raises:
        ManifestError: If a product is missing, has another size, or (up to 16 MiB) another content.
    """
    for product in manifest["products"]:
        path = run_dir / product["path"]
        if not path.is_file():
            raise _damaged(path, "the run wrote this file, and it is gone")
        size = path.stat().st_size
        if size != product["bytes"]:
            raise _damaged(path, f"the run wrote {product['bytes']} bytes, the file has {size}")
        if size <= _ALWAYS_REHASHED_BYTES and sha256_of_file(path) != product["sha256"]:
            raise _damaged(path, "its content is not what the run wrote")
    if not (run_dir / manifest["product"]).exists():
        raise _damaged(run_dir / manifest["product"], "the run's result is gone")


def _damaged(path: Path, what: str) -> ManifestError:
    run_dir = next((folder for folder in path.parents if (folder / MANIFEST_FILE).exists()), path.parent)
    return ManifestError(
        f"{path}: {what}. Restore the file, or delete {run_dir / MANIFEST_FILE} to finish this run again from what is "
        f"in its folder, or delete the folder {run_dir} to run it afresh"
    )
