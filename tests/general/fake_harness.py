"""A harness of a few lines: knows the options of all three, counts its runs, and writes logs or fails as told.

``FAKE`` in the environment says how to behave: ``ok``, ``crash``, ``empty`` (exit code 0, no logs).
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from harness_logs import lighteval_row, lmms_row, mmmu, vlm_row, write_lighteval, write_lmms, write_vlm


def main() -> int:
    runs = Path("runs.txt")  # of the working folder, which must be the run's
    runs.write_text(f"{runs.read_text() if runs.is_file() else ''}{' '.join(sys.argv[1:])}\n")
    print("HF_HUB_OFFLINE", os.environ.get("HF_HUB_OFFLINE", "unset"), "key", os.environ.get("OPENAI_API_KEY"))
    behaviour = os.environ.get("FAKE", "ok")
    if behaviour == "crash":
        print("CUDA error: an illegal memory access", file=sys.stderr)
        return 3
    if behaviour == "empty":
        print("Could not save sample results")
        return 0
    suites = {"endpoint": lighteval, "--data": vlmevalkit}
    suites.get(sys.argv[1], lmms_eval)()
    return 0


def lmms_eval() -> None:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for name in ("--model", "--model_args", "--tasks", "--gen_kwargs", "--batch_size", "--output_path", "--use_cache"):
        parser.add_argument(name, required=True)
    parser.add_argument("--log_samples", action="store_true", required=True)
    parser.add_argument("--limit", type=int, default=4)
    given = parser.parse_args()
    options = dict(part.split("=") for part in given.model_args.split(","))
    assert given.model == "openai" and options["base_url"] == "http://127.0.0.1:8000/v1" and options["model"] == "geo"
    assert int(options["timeout"]) == 600
    for task in given.tasks.split(","):
        write_lmms(Path(given.output_path), task, [lmms_row(i, mmmu("BA"[i % 2])) for i in range(given.limit)])


def lighteval() -> None:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for name in ("backend", "model_type", "model_args", "tasks"):
        parser.add_argument(name)
    parser.add_argument("--output-dir", required=True)
    parser.add_argument("--save-details", action="store_true", required=True)
    given = parser.parse_args()
    assert (given.backend, given.model_type) == ("endpoint", "litellm") and "model_name=openai/geo," in given.model_args
    rows = [lighteval_row(i, {"gpqa_pass@k:k=1": float(i % 2)}) for i in range(4)]
    write_lighteval(Path(given.output_dir), rows, task=given.tasks)


def vlmevalkit() -> None:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--data", nargs="+", required=True)
    for name in ("--model", "--base-url", "--key", "--api-nproc", "--timeout", "--max-tokens", "--temperature"):
        parser.add_argument(name, required=True)
    parser.add_argument("--work-dir", required=True)
    parser.add_argument("--reuse", action="store_true", required=True)
    parser.add_argument("--judge", choices=["exact_matching"], required=True)
    given = parser.parse_args()
    assert os.environ["PRED_FORMAT"] == "tsv"
    for name in given.data:
        write_vlm(Path(given.work_dir), [vlm_row(i, i % 2) for i in range(4)], dataset=name, model=given.model)


if __name__ == "__main__":
    sys.exit(main())
