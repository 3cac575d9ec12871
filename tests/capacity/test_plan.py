"""Every profile: valid parameters, a model of the published size, memory that fits what it is for."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from geor1.capacity import departures, report
from geor1.capacity.hardware import CONTEXT_BYTES, GIB
from geor1.capacity.memory import Holding, at_start, counts, host_bytes, vllm_least
from geor1.capacity.plan import Plan, evaluation_hours, plan_grpo, plan_sft
from geor1.capacity.profile import Machine, Profile, read_profile
from geor1.capacity.seconds import PHASES, REMEDIES, message_bytes, sync_bytes
from geor1.models.architectures import count_parameters, published_config, without_memory
from geor1.runs import STAGES, ConfigError
from geor1.runs.profiles import about_profile, notebooks_dir, profile_names

ROOT = Path(__file__).resolve().parents[2]
PAPERS = ROOT / "papers"


def plans(profile: Profile) -> list[Plan]:
    return [plan_sft(profile), plan_grpo(profile)]


def test_every_profile_for_a_gpu_is_planned() -> None:
    assert {name for name in profile_names() if about_profile(name).device} == set(report.PROFILES)


@pytest.mark.parametrize("name", report.PROFILES)
def test_a_profile_fits_what_it_is_for(name: str) -> None:
    profile = read_profile(name)
    assert count_parameters(without_memory(published_config(profile.architecture))) == profile.architecture.parameters
    for plan in plans(profile):
        assert plan.fits, f"{plan.stage}: {plan.memory.peak / GIB:.1f} GiB"
        assert plan.memory.peak < 0.95 * plan.machine.device.memory_bytes, "no room for what is not foreseen"
        assert plan.memory.activations > GIB / 2
        assert 0 < plan.seconds("high") < plan.seconds() < plan.seconds("low")
    assert 0 < evaluation_hours(profile, profile.machine) < 24 * 7


def test_what_is_planned_is_what_is_launched() -> None:
    paper = read_profile("paper").machine
    assert (paper.devices, paper.sharing, paper.per_machine) == (8, "deepspeed_zero3", 8)
    single = read_profile("single-gpu-24gb").machine
    assert (single.devices, single.sharing) == (1, "")


def test_one_device_does_not_hold_every_weight_of_the_7b_model() -> None:
    alone = plan_grpo(read_profile("qwen2.5-vl-7b"), Machine(name="h200", devices=1, sharing=""))
    assert not plan_grpo(read_profile("qwen2.5-vl-7b"), Machine(name="h100", devices=1, sharing="")).fits
    weights, moments = alone.memory.parts["weights"], alone.memory.parts["optimiser"]
    assert weights == 4 * 8_292_166_656 and moments == 8 * (8_292_166_656 - 676_550_144)


def test_arithmetic_does_not_depend_on_who_does_it() -> None:
    profile = read_profile("qwen2.5-vl-3b")
    one, eight = (
        plan_grpo(profile, Machine(name="h100", devices=count, sharing="fsdp2")) for count in (4, 8)
    )  # fmt: skip
    assert one.total_flops == pytest.approx(eight.total_flops)
    assert eight.seconds() < one.seconds() < 2 * eight.seconds(), "sampling does not halve"


def test_questions_that_cannot_be_shared_out_are_refused() -> None:
    with pytest.raises(ConfigError, match="prompts_per_step: expected a multiple of 3 devices, got 8"):
        plan_grpo(read_profile("paper"), Machine(name="h100", devices=3, sharing="fsdp2"))
    with pytest.raises(ConfigError, match=r"miniature.yaml: about.device: expected one of"):
        read_profile("miniature")


def test_start_and_host_by_hand() -> None:
    numbers = counts(read_profile("paper").architecture)
    total = 8_292_166_656
    shared = {"devices": 8, "lora_rank": 0, "quantized": False, "freeze_vision": False}
    paper = Holding(sharing="deepspeed_zero3", reference=True, **shared)
    plain = Holding(sharing="fsdp2", reference=False, **shared)
    assert at_start(numbers, paper, moved=False) == 2 * total and at_start(numbers, paper, moved=True) == 4 * total
    assert at_start(numbers, plain, moved=False) == 0
    assert host_bytes(numbers, paper, 8) == 8 * 2 * 4 * total and host_bytes(numbers, plain, 4) == 4 * 4 * total
    alone = Holding(sharing="", devices=1, lora_rank=16, quantized=True, freeze_vision=True, reference=False)
    assert at_start(numbers, alone, moved=True) == 0 and host_bytes(numbers, alone, 8) == 4 * total, "to merge adapters"
    asked = plan_grpo(read_profile("qwen2.5-vl-7b", eval_every=100)).memory
    assert asked.starting == 4 * total + asked.sampler + CONTEXT_BYTES
    assert sync_bytes(numbers, plain) == 7 / 8 * 4 * total and sync_bytes(numbers, paper) == 7 / 8 * 2 * total
    assert vllm_least(numbers, 0, 4) == 2 * total / 4


def slurm_script(name: str) -> tuple[dict[str, str], list[str]]:
    """Options that a script asks Slurm for, and the words of its first example."""
    text = (PAPERS / "slurm" / f"{name}.sbatch").read_text()
    asked = dict(re.findall(r"^#SBATCH --([a-z-]+)(?:=(\S+))?", text, flags=re.MULTILINE))
    example = re.search(rf"^#   sbatch (.*{name}\.sbatch .*)$", text, flags=re.MULTILINE)
    assert example
    return asked, example[1].split()


@pytest.mark.parametrize("name", ["run", "sweep"])
def test_slurm_is_asked_for_what_the_example_takes(name: str) -> None:
    asked, words = slurm_script(name)
    profile = read_profile(words[words.index("--profile") + 1] if name == "sweep" else words[2])
    machine = profile.machine
    assert f"--gpus-per-node={machine.per_machine}" in words
    if name == "run":
        assert asked["exclusive"] == "" and asked["mem"] == "0"
    else:
        plain = {"lora_rank": 0, "quantized": False, "freeze_vision": True, "reference": False}
        holding = Holding(sharing=machine.sharing, devices=machine.devices, **plain)
        loading = host_bytes(counts(profile.architecture), holding, machine.per_machine)
        assert 1.2 * loading < int(asked["mem"].removesuffix("G")) * GIB < 2 * loading
        assert int(asked["cpus-per-task"]) >= 2 * machine.per_machine


def test_a_share_too_small_for_vllm_is_called_that() -> None:
    (row,) = report.memory_table([plan_grpo(read_profile("paper", vllm_gpu_memory=0.1))]).splitlines()[2:]
    assert re.search(r"\*\*vLLM's share is \d+\.\d GiB too small\*\*", row)
    alone = plan_grpo(read_profile("qwen2.5-vl-7b"), Machine(name="h100", devices=1, sharing=""))
    assert re.search(r"\*\*\d+\.\d GiB too much\*\*", report.memory_table([alone]))


def test_completions_that_vllm_would_cut_short_are_told() -> None:
    profile = read_profile("qwen2.5-vl-7b", vllm_max_tokens=3072)
    plan = plan_grpo(profile)
    assert plan_grpo(read_profile("qwen2.5-vl-7b")).fits and not plan.fits
    assert plan.tokens_lacking == plan.prompt_tokens + 1536 - 3072
    (row,) = report.memory_table([plan]).splitlines()[2:]
    assert re.search(r"\*\*vLLM has room for 3072 tokens, a prompt of \d+ and its completion of up to 1536 need", row)
    told = [report.profile_table(one, [plan_grpo(one)]) for one in (profile, asked_at_length(profile, 7000))]
    assert ["raise context_tokens or lower max_new_tokens" in text for text in told] == [False, True]


def asked_at_length(profile: Profile, tokens: int) -> Profile:
    return dataclasses.replace(profile, evaluation=dataclasses.replace(profile.evaluation, max_new_tokens=tokens))


def test_correcting_vllm_takes_a_scoring_pass() -> None:
    with_it, without = (plan_grpo(read_profile("qwen2.5-vl-7b", vllm_correction=how)) for how in ("token_mask", "none"))
    assert with_it.phases["middle"]["correction"] == with_it.phases["middle"]["forward"] > 0
    assert without.phases["middle"]["correction"] == 0 == plan_grpo(read_profile("paper")).phases["low"]["correction"]


def test_completions_that_serve_two_steps_cost_each_half() -> None:
    once, twice = (plan_grpo(read_profile("paper", num_iterations=mu)).phases["middle"] for mu in (1, 2))
    for phase in ("rollout", "reference", "weight_sync"):
        assert twice[phase] == pytest.approx(once[phase] / 2) and once[phase] > 0
    assert twice["forward"] == once["forward"] and twice["backward"] == once["backward"]


def test_messages_by_hand() -> None:
    numbers = counts(read_profile("paper").architecture)
    total = numbers.total
    whole = Holding(sharing="fsdp2", devices=8, lora_rank=0, quantized=False, freeze_vision=False, reference=True)
    assert message_bytes(numbers, whole, 2) == pytest.approx(7 / 8 * (2 * 3 * 2 * total + 2 * 2 * total))
    ddp = Holding(sharing="ddp", devices=8, lora_rank=0, quantized=False, freeze_vision=False, reference=False)
    assert message_bytes(numbers, ddp, 2) == pytest.approx(7 / 8 * 8 * total)


def test_every_phase_has_a_remedy() -> None:
    assert set(REMEDIES) == set(PHASES)


def test_the_paper_s_profile_is_what_its_table_says() -> None:
    for setting in departures.SETTINGS:
        if setting.kind == departures.SAME:
            assert departures.ours(setting) == setting.theirs, setting.name
        elif setting.kind == departures.DEPARTS:
            assert departures.ours(setting) != setting.theirs, setting.name
    written = yaml.safe_load((notebooks_dir() / "profiles" / "paper.yaml").read_text())
    named = {(stage, name) for stage in ("launch", *STAGES[:3]) for name in written[stage]}
    listed = {(setting.stage, setting.name) for setting in departures.SETTINGS}
    assert named | {("launch", "report_to")} == listed | set(departures.OURS_ONLY), "a parameter in neither list"
    assert not listed & set(departures.OURS_ONLY) and len(listed) == len(departures.SETTINGS)
    assert departures.table() in (PAPERS / departures.PLACE).read_text(encoding="utf-8")


def test_the_report_holds_what_was_measured_and_what_is_assumed() -> None:
    text = (PAPERS / report.PLACE).read_text(encoding="utf-8")
    assert report.measured_table(PAPERS / "capacity.json") in text
    assert report._assumed() in text
    profile = read_profile("single-gpu-24gb")
    assert report.profile_table(profile, plans(profile)) in text


def test_the_table_of_departures_is_as_the_command_writes_it(tmp_path: Path) -> None:
    text = departures.write_table(tmp_path).read_text(encoding="utf-8")
    assert text == (PAPERS / departures.PLACE).read_text(encoding="utf-8")
    listed = text.partition("What no parameter says:")[2].strip().splitlines()
    assert all(line.startswith(("- ", "  ")) for line in listed if line), "a line break within an item"


@pytest.mark.slow
def test_the_whole_report_is_as_the_command_writes_it(tmp_path: Path) -> None:
    (tmp_path / "capacity.json").write_text((PAPERS / "capacity.json").read_text())
    assert report.write_report(tmp_path).read_text() == (PAPERS / report.PLACE).read_text()


@pytest.mark.slow
def test_the_command_prints_a_profile_on_another_machine() -> None:
    command = [sys.executable, "-m", "geor1.capacity", "--profile", "single-gpu-24gb", "--device", "l4", "--price", "1"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "1 × l4 (one process, 1 dollars an hour)" in done.stdout and "03_grpo" in done.stdout
    wrong = subprocess.run([*command[:4], "miniature"], capture_output=True, text=True, cwd=ROOT)
    assert wrong.returncode == 2 and "about.device" in wrong.stderr
