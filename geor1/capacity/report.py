"""The plans as text: one profile for the command line, all of them as ``papers/capacity.md``."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from geor1.capacity.hardware import (
    CONTEXT_BYTES,
    DEVICES,
    DISK_BYTES_PER_S,
    EFFICIENCIES,
    FRAGMENTATION,
    GB,
    GIB,
    PREPARE_S_PER_MEGAPIXEL,
)
from geor1.capacity.memory import counts
from geor1.capacity.plan import Plan, evaluation_hours, evaluation_tokens, plan_grpo, plan_sft
from geor1.capacity.profile import Assumptions, Machine, Profile, read_profile
from geor1.capacity.seconds import PHASES, REMEDIES
from geor1.models.uploads import KEPT

PROFILES = ("qwen2.5-vl-3b", "qwen2.5-vl-7b", "qwen3-vl-4b", "paper", "single-gpu-24gb")
PAIRS = {"16 k": 16_000, "224 k": 223_736, "1.6 M": 1_600_000}
SCALED = "qwen2.5-vl-7b"
# The same model on one device, on one machine and on eight: by what it takes to fit, and with a question a device a
# step.
MACHINES = (
    ("1 × H100, every weight", Machine(name="h100", devices=1, sharing=""), {}),
    (
        "1 × H100, adapters, four bits",
        Machine(name="h100", devices=1, sharing=""),
        {"lora": True, "quantize": "nf4", "vllm_sleep": True, "rollouts": "in_process", "rows_per_batch": 256},
    ),
    ("8 × H100, FSDP2", Machine(name="h100", devices=8, sharing="fsdp2"), {}),
    ("64 × H100, FSDP2", Machine(name="h100", devices=64, sharing="fsdp2"), {"prompts_per_step": 64}),
)
PLACE = Path("capacity.md")


def profile_table(profile: Profile, plans: Sequence[Plan]) -> str:
    """What one profile needs, in Markdown.

    Args:
        profile: The profile.
        plans: Of its stages.
    """
    machine = plans[0].machine
    numbers = counts(profile.architecture)
    head = (
        f"{profile.architecture.hub_name}, {numbers.total / 1e9:.2f} B parameters; {_machine(machine)}; pictures of "
        f"{profile.megapixels:.2f} megapixels a question"
    )
    hours = [evaluation_hours(profile, machine, share) for share in ("high", "middle", "low")]
    tail = (
        f"Stage 04 on one of these devices, three models, completions of full length: {_span(*hours, digits=1)} hours "
        f"({'in process' if profile.evaluation.backend == 'in_process' else profile.evaluation.backend})."
    )
    asked, room = evaluation_tokens(profile), profile.evaluation.context_tokens
    if profile.evaluation.backend == "vllm" and asked > room:
        tail += (
            f" **vLLM has room for {room} tokens there, a prompt with its longest completion has {asked}: raise "
            "context_tokens or lower max_new_tokens.**"
        )
    loading = max(plan.host_bytes for plan in plans)
    saved, disk = plans[-1].saved_bytes, max(plan.disk_bytes for plan in plans)
    host = (
        f"Loading takes {loading / GIB:.0f} GiB of a machine's own memory. A resumable checkpoint of stage 03 has "
        f"{saved / GB:.1f} GB: {saved / DISK_BYTES_PER_S:.0f} s to a local disk (in the table), and as long again for "
        "its copy to `checkpoint_url` at the same speed, which the table leaves out. The run folder of a stage grows "
        f"to {disk / GB:.0f} GB: {KEPT} checkpoints are kept while another or the finished model is written."
    )
    return "\n\n".join([head, memory_table(plans), time_table(plans), host, tail])


def memory_table(plans: Iterable[Plan]) -> str:
    """GiB a device, by what they are."""
    names = ("weights", "gradients", "optimiser", "reference", "gathered")
    rows = []
    for plan in plans:
        memory = plan.memory
        room = plan.machine.device.memory_bytes
        verdict = "fits" if plan.fits else f"**{_lacks(plan)}**"
        cells = [_gib(memory.parts[name]) for name in names]
        cells += [_gib(memory.activations), _gib(memory.sampler)]
        cells += [_gib(memory.starting), _gib(memory.training), _gib(memory.sampling) if memory.sampler else "–"]
        cells += [_gib(room), verdict]
        rows.append([plan.stage, *cells])
    heads = ["stage", *names, "pass", "sampler", "start", "peak training", "peak sampling", "device", ""]
    return _table([f"{heads[0]} (GiB a device)", *heads[1:]], rows)


def time_table(plans: Iterable[Plan]) -> str:
    """Arithmetic, seconds a step, length and price."""
    rows = []
    for plan in plans:
        middle = plan.phases["middle"]
        longest = sorted((name for name in PHASES if middle[name] > 0), key=lambda name: -middle[name])[:3]
        rows.append(
            [
                plan.stage,
                f"{plan.questions}",
                f"{plan.total_flops / 1e15:.1f}",
                f"{plan.seconds():.1f} ({plan.seconds('high'):.1f} to {plan.seconds('low'):.1f})",
                ", ".join(f"{name.replace('_', ' ')} {middle[name] / plan.seconds():.0%}" for name in longest),
                f"{plan.steps}",
                _span(plan.days("high"), plan.days(), plan.days("low")),
                _span(plan.dollars("high"), plan.dollars(), plan.dollars("low"), digits=0),
            ]
        )
    heads = ["stage", "questions a step", "PFLOP a step", "seconds a step", "of these", "steps", "days", "dollars"]
    return _table(heads, rows)


def scale_table() -> str:
    """Stage 03 of the 7 B model, one pass over so many pairs on so many devices."""
    rows = []
    for label, machine, changes in MACHINES:
        profile = read_profile(SCALED, **changes)
        for name, pairs in PAIRS.items():
            plan = plan_grpo(profile, machine)
            plan = dataclasses.replace(plan, steps=-(-pairs // plan.questions))
            fits = "yes" if plan.fits else f"no: {_lacks(plan)}"
            days = _span(plan.days("high"), plan.days(), plan.days("low"))
            dollars = _span(plan.dollars("high"), plan.dollars(), plan.dollars("low"), digits=0)
            if not plan.fits:
                days = dollars = "–"
            whole = plan.total_flops * plan.steps
            rows.append(
                [
                    label, name, fits, f"{plan.questions}", f"{plan.seconds():.1f}",
                    f"{plan.steps:,}".replace(",", " "), f"{whole / 1e18:,.0f}".replace(",", " "), days,
                    dollars, plan.bottleneck.replace("_", " "),
                ]
            )  # fmt: skip
    heads = ["devices", "pairs", "fits", "questions a step", "seconds a step", "steps", "EFLOP", "days", "dollars"]
    return _table([*heads, "longest phase"], rows)


def phase_table() -> str:
    """Seconds of a step by phase, the same machines."""
    rows = []
    for label, machine, changes in MACHINES:
        middle = plan_grpo(read_profile(SCALED, **changes), machine).phases["middle"]
        rows.append([label, *(f"{middle[name]:.2f}" for name in PHASES)])
    return _table(["devices", *(name.replace("_", " ") for name in PHASES)], rows)


def measured_table(results: Path) -> str:
    """Predicted beside measured, from what :mod:`geor1.capacity.measure` wrote."""
    rows = []
    for row in json.loads(results.read_text(encoding="utf-8"))["passes"]:
        off = row["resident_mib"] / row["predicted_mib"] - 1
        work = row["counted_gflop"] / row["predicted_gflop"] - 1
        rows.append(
            [
                row["case"], f"{row['predicted_mib']:.0f}", f"{row['resident_mib']:.0f}", f"{off:+.1%}",
                f"{row['predicted_gflop']:.0f}", f"{row['counted_gflop']:.0f}", f"{work:+.1%}",
            ]
        )  # fmt: skip
    heads = ["what trains", "MiB predicted", "MiB measured", "", "GFLOP predicted", "GFLOP counted", ""]
    return _table(heads, rows)


def bottlenecks() -> str:
    """Which phase comes first where, and what to do about it."""
    order: dict[str, list[str]] = {}
    for name in PROFILES:
        order.setdefault(plan_grpo(read_profile(name)).bottleneck, []).append(name)
    for label, machine, changes in MACHINES:
        plan = plan_grpo(read_profile(SCALED, **changes), machine)
        if plan.fits:
            order.setdefault(plan.bottleneck, []).append(label)
    rows = [[phase.replace("_", " "), "; ".join(where), REMEDIES[phase]] for phase, where in order.items()]
    others = [phase for phase in PHASES if phase not in order]
    rows += [[phase.replace("_", " "), "nowhere here", REMEDIES[phase]] for phase in others]
    return _table(["phase", "the longest in", "what helps"], rows)


def _balance() -> str:
    """Why sampling is the longest phase, in figures of the plans."""
    middle, device = EFFICIENCIES["middle"], DEVICES["h100"]
    even = device.flops_per_s * middle.compute / (device.bytes_per_s * middle.bandwidth)
    (_, few, few_changes), (_, many, many_changes) = MACHINES[-2:]
    one = plan_grpo(read_profile(SCALED, **few_changes), few)
    other = plan_grpo(read_profile(SCALED, **many_changes), many)
    group = read_profile(SCALED).grpo.group_size
    rows = sorted(plan.questions // plan.machine.devices * group for plan in (one, other))
    price = (other.seconds() * other.machine.devices) / (one.seconds() * one.machine.devices)
    data = max(plan.phases["middle"]["data"] / plan.seconds() for plan in (one, other))
    return f"""Of stage 03, by the middle shares. A decoding pass reads every weight for one token a completion. An H100
reads and computes equally long at about {even:.0f} completions at a time; the {SCALED} profile has {rows[0]} to
{rows[1]} of them a device. More devices make that worse: from {few.devices} to {many.devices} a step takes
{other.seconds() / one.seconds():.2f} times as long for {other.questions / one.questions:g} times the questions, at
{price:.1f} times the price. So, in this order: as many questions a device as the optimiser bears; several steps a batch
of completions (`num_iterations`); a few devices for sampling alone (`rollouts: vllm_server`) beside many that train.
Sampling in process computes in float32 where the weights are (training itself runs under autocast); four bits read less
but bring every layer back in each pass. Preparing pictures, in the training process and on one core, takes at most
{data:.1%} of a step. Held-out evaluation in process is why the profiles on several devices set `eval_every: 0`: with
weights spread over devices each token would gather all of them."""


def sections(root: Path) -> list[tuple[str, str]]:
    """Heading and text of every part of the report, but for the introduction.

    Args:
        root: The folder ``papers``.
    """
    made = []
    for name in PROFILES:
        profile = read_profile(name)
        made.append((f"Profile `{name}`", profile_table(profile, [plan_sft(profile), plan_grpo(profile)])))
    made.append(("Qwen2.5-VL-7B from one device to 64", f"{_SCALE}\n\n{scale_table()}\n\n{phase_table()}"))
    made.append(("Where the first bottleneck comes", f"{_balance()}\n\n{bottlenecks()}"))
    made.append(("Measured points", f"{_MEASURED}\n\n{measured_table(root / 'capacity.json')}\n\n{_OTHER_POINTS}"))
    made.append(("What is assumed", _assumed()))
    return made


def write_report(root: Path) -> Path:
    """Write ``capacity.md``.

    Args:
        root: The folder ``papers``.
    """
    text = _HEAD + "".join(f"\n## {heading}\n\n{body}\n" for heading, body in sections(root))
    path = root / PLACE
    path.write_text(text, encoding="utf-8")
    return path


def _assumed() -> str:
    taken = Assumptions()
    shares = "; ".join(
        f"{name}: {one.compute:.0%} of the arithmetic, {one.bandwidth:.0%} of the memory's bandwidth"
        for name, one in EFFICIENCIES.items()
    )
    middle = EFFICIENCIES["middle"]
    lines = [
        f"Shares of what a device does at best ({shares}; {middle.link:.0%} of a link's). The upper end is measured "
        "elsewhere: 49.5 to 57 % of hardware operations for dense 7 B models in bfloat16 under FSDP on eight H100 "
        "(llm-foundry, `scripts/train/benchmarking/README.md`); the rest is assumed.",
        f"A decoding pass takes no less than {middle.launch_s * 1e3:.0f} ms in process and "
        f"{middle.launch_vllm_s * 1e3:.0f} ms in vLLM, whatever it computes (assumed).",
        f"Prompts have {taken.text_tokens} tokens beside their pictures; chains {taken.chain_tokens} (the paper's "
        f"Geo-SFT: 1,127.6), sampled completions {taken.completion_tokens} on average (between Geo-SFT's and "
        f"Geo-R1's 378.8), the longest of a step {taken.longest:g} times the mean or the limit. Memory is for "
        "completions of full length, all of them.",
        f"A device holds {CONTEXT_BYTES / GB:.1f} GB of context and workspaces, and loses {FRAGMENTATION:.0%} of what "
        "a pass makes to fragmentation (assumed).",
        "Collectives run beside computation; half of forward and backward hides them (assumed). Disks write "
        f"{DISK_BYTES_PER_S / GB:.0f} GB a second (assumed); pictures are prepared in the training process, one core, "
        f"{PREPARE_S_PER_MEGAPIXEL * 1e3:.0f} ms a megapixel (measured here: 11 to 18).",
        "An hour of a device costs "
        + ", ".join(f"{name} {device.dollars_per_hour:g}" for name, device in DEVICES.items())
        + " dollars (assumed; `--price`).",
    ]
    return "\n".join(f"- {line}" for line in lines)


def _machine(machine: Machine) -> str:
    how = machine.sharing.replace("_", " ") or "one process"
    return f"{machine.devices} × {machine.name} ({how}, {machine.dollars:g} dollars an hour)"


def _lacks(plan: Plan) -> str:
    """Why a plan does not fit."""
    memory, room = plan.memory, plan.machine.device.memory_bytes
    if memory.peak > room:
        return f"{_gib(memory.peak - room)} GiB too much"
    if plan.tokens_lacking:
        needed = plan.prompt_tokens + plan.completion_tokens
        return (
            f"vLLM has room for {plan.vllm_tokens} tokens, a prompt of {plan.prompt_tokens} and its completion of up "
            f"to {plan.completion_tokens} need {needed}: set vllm_max_tokens"
        )
    return f"vLLM's share is {_gib(memory.sampler_least - memory.sampler)} GiB too small"


def _gib(value: float) -> str:
    return "0" if not value else f"{value / GIB:.1f}"


def _span(low: float, middle: float, high: float, digits: int = 2) -> str:
    small, large = f"{low:,.{digits}f}", f"{high:,.{digits}f}"
    return f"{middle:,.{digits}f} ({small} to {large})".replace(",", " ")


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


_HEAD = """<!-- Written by `python -m geor1.capacity --write`; edit geor1/capacity, not this file. -->
# Capacity plan

What each profile needs: memory, arithmetic, seconds, money, predicted from the code and the profile's own values.
None of the profiles has been run at its size here. Memory of a scoring pass is the peak of the real code on tensors
without data (`geor1/capacity/simulate.py`); arithmetic is that of the step accounting; what was measured, and what is
assumed, stands at the end. Another machine: `python -m geor1.capacity --profile P --gpus N --device D`. The teacher of
stage 01 is another model's cost; its own report counts it.

Columns: *weights*, *gradients*, *optimiser* (AdamW, with the float32 weights where others compute), *reference* (the KL
term's frozen copy), *gathered* (layers of other devices, buckets, a layer brought back from four bits), *pass* (the
most that scoring makes, forward and backward), *sampler* (vLLM's share, or keys and values in process; put to sleep
while training), *start* (what lies whole on the device before it is shared out). Stage 02's pass is simulated by the
scoring pass of stage 03 with one completion a prompt; its own trainer is TRL's, whose tiles of logits are of the same
order. In brackets: from the best to the worst share of what the device can do. One petaflop is 1e15
operations.
"""
_SCALE = """Stage 03 of `qwen2.5-vl-7b`, each pair asked about once. With 64 devices a step takes 64 questions, one a
device, where the profile takes 32: more devices than questions have nothing to do."""
_MEASURED = """A random Qwen2.5-VL of 44 M parameters on a CPU, two prompts of 996 tokens with six pictures, eight
completions of 200 tokens each (`python -m geor1.capacity.measure`). Memory: highest resident set above weights and
gradients; arithmetic: PyTorch's operator counter."""
_OTHER_POINTS = """Measured earlier (LOG.md, "What does it save to read a prompt once?"): scoring with shared prefixes
7.2, 6.2 and 6.2 times as fast as TRL's own where this arithmetic allows 4.7 to 5.6, in a fifth of the memory, at 573,
1,191 and 1,461 prompt tokens. Measured by others: the published 7 B weights in bfloat16 take 16,584,369,664 bytes of
an L4, which is two bytes a parameter of the count here and 36 kB more. No figure of a step on a GPU is known here:
`pytest --gpu tests/capacity/test_gpu.py` makes one and holds it against the prediction."""
