"""Runs: typed parameters, run folders with keys and manifests, the launcher. Imports no torch."""

from geor1.runs.bars import Progress, progress
from geor1.runs.config import configure
from geor1.runs.errors import (
    ConfigError,
    DiskFullError,
    JobFailedError,
    ManifestError,
    MissingUpstreamError,
    NotebookFailedError,
    RunLockedError,
    RunStoppedError,
)
from geor1.runs.files import atomic_write_text, require_free_disk, sha256_of_file, write_json
from geor1.runs.logs import announce, log_to
from geor1.runs.manifest import read_manifest
from geor1.runs.metrics import append_metrics, read_metrics, truncate_metrics
from geor1.runs.pipeline import find_runs, upstream
from geor1.runs.processes import LaunchConfig, launch_config
from geor1.runs.profiles import STAGES, default_runs_dir, load_profile, notebooks_dir, profile_names
from geor1.runs.provenance import version_stamp
from geor1.runs.show import Table, show_config
from geor1.runs.stages import RunFolder, run_stage

__all__ = [
    "STAGES",
    "ConfigError",
    "DiskFullError",
    "JobFailedError",
    "LaunchConfig",
    "ManifestError",
    "MissingUpstreamError",
    "NotebookFailedError",
    "Progress",
    "RunFolder",
    "RunLockedError",
    "RunStoppedError",
    "Table",
    "announce",
    "append_metrics",
    "atomic_write_text",
    "configure",
    "default_runs_dir",
    "find_runs",
    "launch_config",
    "load_profile",
    "log_to",
    "notebooks_dir",
    "profile_names",
    "progress",
    "read_manifest",
    "read_metrics",
    "require_free_disk",
    "run_stage",
    "sha256_of_file",
    "show_config",
    "truncate_metrics",
    "upstream",
    "version_stamp",
    "write_json",
]
