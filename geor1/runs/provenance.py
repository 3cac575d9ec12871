"""Where a result came from: git state, package versions, hardware, memory."""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import os
import platform
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

_PACKAGES = [
    "torch",
    "transformers",
    "trl",
    "peft",
    "datasets",
    "accelerate",
    "tokenizers",
    "safetensors",
    "huggingface_hub",
    "numpy",
    "pandas",
    "scipy",
    "pyarrow",
    "pillow",
    "matplotlib",
    "folium",
    "papermill",
    "ipykernel",
    "vllm",
]


@functools.lru_cache(maxsize=1)
def git_state() -> dict[str, Any]:
    """Return the checkout's commit and whether files differ from it; both None outside a git checkout."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return {"sha": None, "dirty": None}
    try:
        sha = _git(root, "rev-parse", "HEAD")
        dirty = bool(_git(root, "status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):
        return {"sha": None, "dirty": None}
    return {"sha": sha, "dirty": dirty}


@functools.lru_cache(maxsize=1)
def package_versions() -> dict[str, str]:
    """Return the versions of Python, geor1 and those of its main dependencies that are installed."""
    from geor1 import __version__

    versions = {"python": platform.python_version(), "geor1": __version__}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def hardware() -> dict[str, Any]:
    """Return processor, usable cores, memory in bytes, system, and the GPUs if torch is loaded and sees any."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    torch = sys.modules.get("torch")
    gpus = []
    if torch is not None and torch.cuda.is_available():
        gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return {
        "processor": _processor_name(),
        "cores": cores,
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "gpus": gpus,
        "system": f"{platform.system()} {platform.machine()}",
    }


def reset_peak_memory() -> None:
    """Let the peak count from here, where the system can do that (Linux; CUDA if torch is loaded)."""
    with contextlib.suppress(OSError):  # not Linux, or not allowed: the peak then counts from the process's start
        Path("/proc/self/clear_refs").write_text("5")
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def peak_memory() -> dict[str, int]:
    """Return the peak memory of this process in bytes (``process``), and on the GPU (``gpu``) if one is in use."""
    peak = {"process": _peak_resident_bytes()}
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        peak["gpu"] = torch.cuda.max_memory_allocated()
    return peak


def version_stamp() -> str:
    """Return one line for the top of a notebook: geor1, commit, Python, torch, transformers, trl, cores.

    >>> version_stamp().startswith("geor1 ")
    True
    """
    versions, state = package_versions(), git_state()
    sha = f" ({state['sha'][:8]}{', edited' if state['dirty'] else ''})" if state["sha"] else ""
    named = [f"{name} {versions[name]}" for name in ("python", "torch", "transformers", "trl") if name in versions]
    return " · ".join([f"geor1 {versions['geor1']}{sha}", *named, f"{hardware()['cores']} cores"])


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=20).stdout.strip()


def _processor_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _peak_resident_bytes() -> int:
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # bytes on macOS, KiB elsewhere
