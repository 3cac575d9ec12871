"""Shared-prefix GRPO against TRL's own trainer of the installed version: ``python -m geor1.grpo.bench``.

Same weights and prompts, in scoring the same completions, the two interleaved in one process, so that a noisy machine
hits both.
Printed, and written as JSON with ``--json``: ratios (median of the repeats, with the lowest and highest), how far the
two differ, peak memory above the loaded model (each in a process of its own on CPU), and what share of the saving that
arithmetic allows was had.

Axis letters: G completions of the prompt, P prompt tokens, C completion tokens.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import torch

from geor1.grpo.accounting import count_work
from geor1.grpo.attention import choose_kernel
from geor1.grpo.bench_cases import CASES, PICTURES, SIZES, Bench, Case, now


def _loss(scores: torch.Tensor, case: Case) -> torch.Tensor:
    return -(scores * case.advantages[:, None] * case.mask).sum() / case.mask.sum()


def forward_and_backward(bench: Bench, case: Case, repeats: int, kernels: Sequence[str]) -> dict[str, Any]:
    """Interleaved timing of scoring, and the exactness of its result.

    Args:
        bench: Models.
        case: What is scored.
        repeats: Timed rounds; one more warms up.
        kernels: Kernels of ours to time; the first is the one that the ratio is of.

    Returns:
        Seconds by kind, ``ratio`` (median, lowest, highest), ``log_prob_error`` (largest absolute), ``gradient_error``
        (relative, all parameters together).
    """
    calls = {"stock": bench.scorer("stock", case)}
    calls.update({f"ours ({kernel})": bench.scorer("ours", case, kernel) for kernel in kernels})
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    results: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
    for round_ in range(repeats + 1):
        for name, (model, score) in calls.items():
            model.zero_grad(set_to_none=True)
            started = now(bench.device)
            scores = score()
            _loss(scores, case).backward()
            if round_:
                seconds[name].append(now(bench.device) - started)
            else:
                gradients = [parameter.grad.flatten().float() for parameter in model.parameters()]
                results[name] = ((scores * case.mask).detach(), torch.cat(gradients))
    mine = f"ours ({kernels[0]})"
    errors = {
        name: (
            float((scores - results["stock"][0]).abs().max()),
            float((gradients - results["stock"][1]).norm() / results["stock"][1].norm()),
        )
        for name, (scores, gradients) in results.items()
        if name != "stock"
    }
    return {
        "seconds": {name: statistics.median(values) for name, values in seconds.items()},
        "ratio": _spread(seconds["stock"], seconds[mine]),
        "log_prob_error": max(error for error, _ in errors.values()),
        "gradient_error": max(error for _, error in errors.values()),
    }


def whole_steps(bench: Bench, case: Case, repeats: int) -> dict[str, Any]:
    """Interleaved timing of whole optimiser steps, sampling included.

    Args:
        bench: Models.
        case: Its prompt is asked; completions are sampled.
        repeats: Timed rounds; one more warms up.
    """
    seconds: dict[str, list[float]] = {"stock": [], "ours": []}
    lengths: dict[str, list[float]] = {"stock": [], "ours": []}
    for round_ in range(repeats + 1):
        for kind in seconds:
            with tempfile.TemporaryDirectory() as folder:
                took, length = bench.step(kind, case, Path(folder))
            if round_:
                seconds[kind].append(took)
                lengths[kind].append(length)
    return {
        "seconds": {kind: statistics.median(values) for kind, values in seconds.items()},
        "ratio": _spread(seconds["stock"], seconds["ours"]),
        "completion_tokens": {kind: statistics.mean(values) for kind, values in lengths.items()},
    }


def _spread(slow: list[float], fast: list[float]) -> dict[str, float]:
    ratios = sorted(a / b for a, b in zip(slow, fast, strict=True))
    return {"median": statistics.median(ratios), "low": ratios[0], "high": ratios[-1]}


def peak_memory(kind: str, bench: Bench, case: Case) -> int:
    """Bytes of memory that one scoring with backward pass takes above the loaded model and batch, at its peak.

    On CPU it is the resident memory of the process, which keeps what it once had: ask once a process. Linux only.
    """
    model, score = bench.scorer(kind, case)
    model.zero_grad(set_to_none=True)
    if bench.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        _loss(score(), case).backward()
        return torch.cuda.max_memory_allocated() - before
    # The high-water mark of getrusage is inherited from the parent process; this one can be set back.
    Path("/proc/self/clear_refs").write_text("5")
    before = _high_water_bytes()
    _loss(score(), case).backward()
    return _high_water_bytes() - before


def _high_water_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def saving(bench: Bench, case: Case) -> dict[str, float]:
    """How many times more arithmetic the stock trainer does: language model, vision, and both together."""
    lengths = case.mask.sum(1).tolist()
    grids = [image.grid_thw for image in case.prompt.images]
    prompt, group, longest = len(case.prompt.input_ids), len(lengths), max(lengths)
    window = bench.cost.window_patches
    shared = count_work(prompt, grids, lengths, window_patches=window)
    # Stock: G sequences padded to the longest, each with its own prompt and pictures.
    one = count_work(prompt, grids, [longest], window_patches=window)
    return {
        "tokens": group * (prompt + longest) / (prompt + sum(lengths)),
        "language": group * bench.cost.language(one) / bench.cost.language(shared),
        "vision": float(group),
        "together": group * bench.cost.forward(one) / bench.cost.forward(shared),
    }


def run(preset: str, cases: Sequence[tuple[int, int, int]], options: argparse.Namespace) -> dict[str, Any]:
    """All measurements of a preset.

    Args:
        preset: One of ``SIZES``.
        cases: (P, C, G) each.
        options: From the command line.
    """
    device = torch.device(options.device)
    bench = Bench(preset, device)
    best = choose_kernel(device, bench.dtype)
    kernels = [best] + ([k for k in ("flash", "mask") if k != best] if options.kernels and device.type == "cpu" else [])
    rows = []
    for prompt_tokens, completion_tokens, group in cases:
        case = bench.case(prompt_tokens, completion_tokens, group, varied=options.varied)
        row: dict[str, Any] = {"P": prompt_tokens, "C": completion_tokens, "G": group, "saving": saving(bench, case)}
        row["forward_backward"] = forward_and_backward(bench, case, options.repeats, kernels)
        row["share_of_saving"] = row["forward_backward"]["ratio"]["median"] / row["saving"]["together"]
        if options.steps:
            row["step"] = whole_steps(bench, case, options.steps)
        if options.memory:
            row["peak_bytes"] = {
                kind: _memory_of(kind, preset, row, options, bench, case) for kind in ("stock", "ours")
            }
        rows.append(row)
        print(table([row]), flush=True)
    import transformers
    import trl

    return {
        "preset": preset,
        "parameters": sum(parameter.numel() for parameter in bench.stock.parameters()),
        "kernel": best,
        "dtype": str(bench.dtype).removeprefix("torch."),
        "device": torch.cuda.get_device_name() if device.type == "cuda" else platform.processor() or "cpu",
        "threads": torch.get_num_threads(),
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__, "trl": trl.__version__},
        "repeats": options.repeats,
        "rows": rows,
    }


def _memory_of(kind: str, preset: str, row: dict, options: argparse.Namespace, bench: Bench, case: Case) -> int:
    if bench.device.type == "cuda":
        return peak_memory(kind, bench, case)
    command = [sys.executable, "-m", "geor1.grpo.bench", "--preset", preset, "--peak-of", kind, "--device", "cpu"]
    command += ["--case", f"{row['P']},{row['C']},{row['G']}", "--threads", str(options.threads)]
    command += ["--varied"] if options.varied else []
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return int(done.stdout.split()[-1])


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The measurements as text."""
    lines = []
    for row in rows:
        both, spread = row["forward_backward"], row["forward_backward"]["ratio"]
        lines.append(
            f"P {row['P']} C {row['C']} G {row['G']}: forward + backward {spread['median']:.2f} x as fast "
            f"({spread['low']:.2f} to {spread['high']:.2f}), {row['share_of_saving']:.0%} of the "
            f"{row['saving']['together']:.2f} x that arithmetic allows (language {row['saving']['language']:.2f}, "
            f"vision {row['saving']['vision']:.0f})"
        )
        lines.append("  seconds: " + ", ".join(f"{name} {value:.3f}" for name, value in both["seconds"].items()))
        lines.append(
            f"  largest difference of a log-probability {both['log_prob_error']:.1e}, of the gradient (relative) "
            f"{both['gradient_error']:.1e}"
        )
        if "step" in row:
            step = row["step"]
            lines.append(
                f"  whole step {step['ratio']['median']:.2f} x as fast ({step['ratio']['low']:.2f} to "
                f"{step['ratio']['high']:.2f}); seconds: stock {step['seconds']['stock']:.2f}, ours "
                f"{step['seconds']['ours']:.2f}; tokens a completion: stock {step['completion_tokens']['stock']:.0f}, "
                f"ours {step['completion_tokens']['ours']:.0f}"
            )
        if "peak_bytes" in row:
            stock, ours = row["peak_bytes"]["stock"], row["peak_bytes"]["ours"]
            lines.append(
                f"  peak memory above the model: stock {stock / 2**20:.0f} MiB, ours {ours / 2**20:.0f} MiB, "
                f"{ours / stock:.2f} of it"
            )
    return "\n".join(lines)


def main() -> None:
    """Parse arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", choices=list(SIZES), default="tiny")
    parser.add_argument("--case", action="append", help="P,C,G; may be given several times (default: the preset's)")
    parser.add_argument("--repeats", type=int, default=5, help="timed rounds of forward + backward")
    parser.add_argument("--steps", type=int, default=3, help="timed rounds of whole steps; 0 for none")
    parser.add_argument("--no-memory", dest="memory", action="store_false", help="leave out peak memory")
    parser.add_argument("--varied", action="store_true", help="completions of unequal lengths")
    parser.add_argument("--kernels", action="store_true", help="time every attention kernel that the device has")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--json", type=Path, default=None, help="also write the figures here")
    parser.add_argument("--peak-of", choices=("stock", "ours"), default=None, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"transformers\.")
    chosen = [tuple(int(part) for part in case.split(",")) for case in options.case or ()]
    cases = chosen or CASES[options.preset]
    unknown = [case for case in cases if len(case) != 3 or case[0] not in PICTURES]
    if unknown:
        parser.error(f"--case: expected P,C,G with P one of {sorted(PICTURES)}, got {unknown[0]}")
    if options.peak_of:
        bench = Bench(options.preset, torch.device(options.device))
        print(peak_memory(options.peak_of, bench, bench.case(*cases[0], varied=options.varied)))
        return
    result = run(options.preset, cases, options)
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
