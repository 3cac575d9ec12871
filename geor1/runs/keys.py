"""The key of a run: a hash of its stage, its parameters, the content of its inputs and the code that it executes.

The code version is a hash of source files, not the git SHA: an edit of a stage makes its runs stale at once, and a
commit that touches something else does not. It covers every file of ``geor1`` that the stage's package imports,
directly or not, with the data files shipped beside them; ``geor1.runs`` and the command line stand outside, since they
only carry values around.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import hashlib
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from geor1.runs.content import folder_content
from geor1.runs.errors import ConfigError, ManifestError
from geor1.runs.files import sha256_of_file, sha256_of_json
from geor1.runs.profiles import check_stage
from geor1.runs.typed import to_plain

STAGE_PACKAGES = {
    "01_data_synthesis": "geor1.synthesis",
    "02_scaffold_sft": "geor1.sft",
    "03_grpo": "geor1.grpo",
    "04_evaluation": "geor1.evaluation",
    "05_map_visualisation": "geor1.maps",
}
HASHED_SUFFIXES = frozenset(
    [
        ".jsonl",
        ".json",
        ".safetensors",
        ".parquet",
        ".arrow",
        ".mat",
        ".csv",
        ".tsv",
        ".yaml",
        ".yml",
        ".txt",
        ".md",
        ".html",
        ".jinja",
        ".model",
        ".npz",
        ".npy",
        ".bib",
    ]
)
KEY_LENGTH = 16  # hexadecimal digits: 64 bits, plenty for a folder of runs
_OUTSIDE = ("geor1.runs", "geor1.cli", "geor1.__main__")
_OWN_FILES = (
    "manifest.json",
    "config.json",
    "log.txt",
    "attempts.jsonl",
    "notebook.ipynb",
    "launch.json",
    "uploads.jsonl",
)
TRAINER_FOLDER = "trainer"  # checkpoints of the trainer inside a run folder, removed when the run is finished
_TRAINER_CHECKPOINT = re.compile(r"checkpoint-\d+|tmp-checkpoint-\d+")


def run_key(stage: str, config: Any, inputs: Mapping[str, Any]) -> str:
    """Return the key of a run.

    Args:
        stage: Stage name.
        config: The stage's config dataclass; fields of :func:`no_part_of_key` may change while a run goes on.
        inputs: Fingerprints by input name, from :func:`fingerprint`.

    Returns:
        16 hexadecimal digits.
    """
    parameters = without(to_plain(config), no_part_of_key(config))
    parts = {"stage": stage, "parameters": parameters, "inputs": inputs, "code": code_version(stage)}
    return sha256_of_json(parts)[:KEY_LENGTH]


def no_part_of_key(config: Any) -> list[str]:
    """Names of a config's fields that decide nothing about the result, those of configs in it behind a dot.

    A config class names them in ``NO_PART_OF_KEY``.
    """
    names = list(getattr(type(config), "NO_PART_OF_KEY", ()))
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            names += [f"{field.name}.{name}" for name in no_part_of_key(value)]
    return sorted(names)


def without(parameters: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """Parameters as plain JSON without some of them.

    Args:
        parameters: By name; those of a config in a config as a mapping in it.
        names: As :func:`no_part_of_key` gives them.

    >>> without({"seed": 0, "teaching": {"model": "m", "concurrency": 4}}, ["teaching.concurrency"])
    {'seed': 0, 'teaching': {'model': 'm'}}
    """
    kept = {name: value for name, value in parameters.items() if name not in names}
    for name, value in kept.items():
        inner = [one.removeprefix(f"{name}.") for one in names if one.startswith(f"{name}.")]
        if inner and isinstance(value, Mapping):
            kept[name] = without(value, inner)
    return kept


@functools.cache
def code_version(stage: str) -> str:
    """Return a hash of the source and data files that a stage executes (16 hexadecimal digits).

    Read once a process: what runs is what was there when the process began.
    """
    root = Path(__file__).resolve().parents[1]
    digest = hashlib.sha256()
    for path in source_files(STAGE_PACKAGES[check_stage(stage)], root):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + sha256_of_file(path).encode())
    return digest.hexdigest()[:KEY_LENGTH]


def source_files(package: str, root: Path) -> list[Path]:
    """Return the files of ``geor1`` that a package is made of and imports, directly or not, sorted.

    Args:
        package: Dotted name, e.g. ``geor1.sft``.
        root: Folder of the package ``geor1``.
    """
    folder = root.joinpath(*package.split(".")[1:])
    todo = sorted(folder.rglob("*.py"))
    files = set(todo)
    while todo:
        for path in _imported_files(todo.pop(), root):
            if path not in files:
                files.add(path)
                todo.append(path)
    data_folders = {path.parent for path in files if path.parent != root}
    data = {path for folder in data_folders for path in folder.rglob("*") if _is_data(path)}
    return sorted(files | data)


def fingerprint(value: Any) -> Any:
    """Return what identifies an input's content, as plain JSON.

    Args:
        value: A run folder, or a path inside one (its manifest's key and products); a file (its SHA-256); any other
            folder (name and SHA-256 of all its files, see :mod:`geor1.runs.content`); a list or dict of such; None.

    Raises:
        FileNotFoundError: If a path does not exist.
        ManifestError: If it lies in a run folder that is not finished.
        ConfigError: If it is something else.
    """
    if value is None:
        return None
    if isinstance(value, Mapping):
        return {str(name): fingerprint(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [fingerprint(item) for item in value]
    if isinstance(value, (str, Path)):
        return _fingerprint_path(Path(value))
    raise ConfigError(f"an input of a stage should be a path, a list or dict of paths, or None, got {value!r}")


def product_files(run_dir: Path) -> Iterator[Path]:
    """Yield the files of a run folder that its manifest lists with their SHA-256, sorted.

    Data files by suffix (:data:`HASHED_SUFFIXES`); left out are the run's own bookkeeping, hidden files, a trainer's
    folder and its intermediate ``checkpoint-<step>`` folders.
    """
    for path in sorted(run_dir.rglob("*")):
        parts = path.relative_to(run_dir).parts
        hidden = any(part.startswith(".") or _TRAINER_CHECKPOINT.fullmatch(part) for part in parts)
        own = parts[0] == TRAINER_FOLDER or (len(parts) == 1 and parts[0] in _OWN_FILES)
        if path.suffix in HASHED_SUFFIXES and not hidden and not own and path.is_file():
            yield path


def enclosing_run(path: Path) -> Path | None:
    """Return the run folder that ``path`` is or lies in (it holds ``attempts.jsonl``), or None."""
    for folder in (path, *path.parents):
        if (folder / "attempts.jsonl").is_file():
            return folder
    return None


def _fingerprint_path(path: Path) -> dict[str, Any]:
    from geor1.runs.manifest import read_manifest

    path = path.resolve()
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such input; check the path, or run the stage that makes it")
    run = enclosing_run(path)
    if run is not None:
        manifest = read_manifest(run)
        if manifest is None:
            raise ManifestError(f"{run}: this run is not finished (no manifest.json); run it again, it resumes")
        products = {product["path"]: product["sha256"] for product in manifest["products"]}
        part = path.relative_to(run).as_posix()
        return {"stage": manifest["stage"], "key": manifest["key"], "part": part, "products": sha256_of_json(products)}
    if path.is_file():
        return {"name": path.name, "sha256": sha256_of_file(path)}
    return {"name": path.name, "sha256": sha256_of_json(folder_content(path))}


def _is_data(path: Path) -> bool:
    return path.is_file() and path.suffix not in (".py", ".pyc") and "__pycache__" not in path.parts


def _imported_files(path: Path, root: Path) -> Iterator[Path]:
    """Yield the files of ``geor1`` that one file imports, wherever in it the import stands."""
    package = ("geor1", *path.relative_to(root).parent.parts)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), filename=str(path))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*base, *([node.module] if node.module else [])))
            names = [module, *(f"{module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            yield from _module_files(name, root)


def _module_files(name: str, root: Path) -> Iterator[Path]:
    """Yield the file of a module and the ``__init__.py`` of the packages around it."""
    parts = name.split(".")
    if parts[0] != "geor1" or any(name == skipped or name.startswith(skipped + ".") for skipped in _OUTSIDE):
        return
    for depth in range(1, len(parts) + 1):
        place = root.joinpath(*parts[1:depth])
        for candidate in (place / "__init__.py", place.with_suffix(".py")):
            if candidate.is_file() and candidate != root / "__init__.py":
                yield candidate
