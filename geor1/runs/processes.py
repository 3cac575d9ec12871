"""How many processes train, and how they share the model: the ``launch`` section of a profile.

Nothing here changes what a run computes but for rounding and, where the model samples, for its random numbers. So these
parameters stand outside a stage's config and outside the key of its run: a run begun on eight GPUs may go on with four.
The section stands at the top of a profile (``launch: {processes: 8, launcher: fsdp2}``), holds for both training
stages, and is overruled by the environment variable ``GEOR1_LAUNCH`` (``processes=2 report_to=none``), which
``geor1 run --launch processes=2`` sets.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_type_hints

from geor1.runs.errors import ConfigError, did_you_mean
from geor1.runs.profiles import launch_section
from geor1.runs.typed import build_dataclass

LAUNCH_VARIABLE = "GEOR1_LAUNCH"
LAUNCH_FILE = "launch.json"  # in the run folder, for the code that trains
LAUNCHERS = ("", "ddp", "fsdp2", "deepspeed_zero2", "deepspeed_zero3")
SPREADING = ("fsdp2", "deepspeed_zero3")  # each process holds a part of the weights
TRACKERS = ("auto", "none", "tensorboard", "trackio", "wandb")
TRAINING_STAGES = ("02_scaffold_sft", "03_grpo")
DEFAULT_PORT = 29500  # where machines meet, accelerate's own default


@dataclasses.dataclass(frozen=True, kw_only=True)
class LaunchConfig:
    """Where and how training runs, and who is told of it.

    Attributes:
        processes: Processes that train together, on all machines; 0 trains in the calling process.
        launcher: How they share the model: ``ddp`` (a copy each), ``fsdp2``, ``deepspeed_zero2`` or
            ``deepspeed_zero3``; empty for ``ddp``, or for what ``accelerate_config`` says.
        machines: Machines, each with the same number of processes. In a Slurm job of as many nodes ``srun`` starts
            them; elsewhere ``geor1 join`` on each other machine.
        main_process_ip: Address of the first machine, as the others reach it; empty for its host name.
        main_process_port: Port on which processes meet; 0 for a free one (several machines: 29500).
        accelerate_config: YAML file of one's own for ``accelerate launch``; goes with an empty ``launcher``.
        report_to: Where the figures of ``metrics.jsonl`` go besides: ``tensorboard``, ``trackio``, ``wandb`` or
            ``none``; ``auto`` for TensorBoard where it is installed.
        checkpoint_url: Address (s3://…, gs://…, file://…; any that fsspec opens) that each saved checkpoint is copied
            to; empty for none.
    """

    processes: int = 0
    launcher: str = ""
    machines: int = 1
    main_process_ip: str = ""
    main_process_port: int = 0
    accelerate_config: str = ""
    report_to: str = "auto"
    checkpoint_url: str = ""

    def __post_init__(self) -> None:
        for name, known in (("launcher", LAUNCHERS), ("report_to", TRACKERS)):
            if getattr(self, name) not in known:
                raise ConfigError(f"{name}: expected one of {known}, got {getattr(self, name)!r}")
        for name, least in (("processes", 0), ("machines", 1), ("main_process_port", 0)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name}: expected at least {least}, got {getattr(self, name)}")
        if self.accelerate_config and self.launcher:
            raise ConfigError("launcher: the file accelerate_config says it; leave one of them out")
        if self.launcher and not self.processes:
            raise ConfigError(f"processes: expected at least 1 with launcher={self.launcher!r}, got 0")
        if self.processes % self.machines:
            raise ConfigError(f"processes: expected a multiple of machines={self.machines}, got {self.processes}")
        if self.machines > 1 and not self.processes:
            raise ConfigError(f"processes: expected their number on all {self.machines} machines together, got 0")

    @property
    def launched(self) -> bool:
        """Whether training gets processes of its own."""
        return self.processes > 0 or bool(self.accelerate_config)

    @property
    def spreads_weights(self) -> bool:
        """Whether each process holds a part of the weights only; an ``accelerate_config`` is not looked into."""
        return self.launcher in SPREADING

    @property
    def described(self) -> str:
        """One phrase: how many processes, and how they share the model."""
        how = self.accelerate_config or self.launcher or ("ddp" if self.processes > 1 else "one process")
        several = f"{self.processes} processes, {how}" if self.processes > 1 else how
        return several + (f", {self.machines} machines" if self.machines > 1 else "")


def check_fits(config: Any, launch: LaunchConfig) -> None:
    """Stop, before anything is started, what the processes would stop at once each of them has loaded the model.

    Args:
        config: Of a training stage; its method ``check_launch(launch)``, if it has one, knows what it cannot do.
        launch: How the stage is to be launched.

    Raises:
        ConfigError: The two do not go together.
    """
    if check := getattr(config, "check_launch", None):
        check(launch)


def require_devices(launch: LaunchConfig, visible: int) -> None:
    """Stop where a machine would start more processes than it has GPUs; without any they share its processors.

    Args:
        launch: How a stage is launched.
        visible: GPUs that processes on this machine can see.

    Raises:
        ConfigError: There are too few.
    """
    wanted = launch.processes // launch.machines
    if 0 < visible < wanted:
        chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
        where = "" if chosen is None else f" (CUDA_VISIBLE_DEVICES={chosen})"
        raise ConfigError(
            f"processes: {launch.described}: each of {wanted} on this machine needs a GPU of its own, and {visible} "
            f"can be seen{where}; ask for more GPUs, or --launch processes={visible * launch.machines}"
        )


def refused_adapters(launcher: str) -> str:
    """What is said where ``lora`` meets weights that are spread over processes."""
    return (
        f"lora: adapters are merged into whole weights, and with launcher={launcher!r} each process holds a part of "
        "them; expected launcher ddp or deepspeed_zero2 (--launch launcher=ddp)"
    )


def share_of(whole: int, part: int, launch: LaunchConfig, name: str, part_name: str) -> None:
    """Stop where processes cannot share a step out evenly.

    Args:
        whole: What a step takes, all processes together.
        part: What a forward pass takes; 0 for all that a process has.
        launch: How many processes there are, if it says so.
        name: Of the parameter that gives ``whole``, and
        part_name: of the one that gives ``part``.

    Raises:
        ConfigError: They cannot.
    """
    if launch.processes and whole % (launch.processes * (part or 1)):
        raise ConfigError(
            f"{name}: expected a multiple of {launch.processes} processes times {part_name}={part or 1}, got {whole}"
        )


def launch_config(profile: str, **overrides: Any) -> LaunchConfig:
    """Return how training is launched: the profile's section, then ``GEOR1_LAUNCH``, then overrides.

    Args:
        profile: Profile name.
        **overrides: Field values that win.

    Raises:
        ConfigError: Unknown profile or parameter, or a value of the wrong type or out of range.
    """
    given = {**launch_section(profile), **parse_launch(shlex.split(os.environ.get(LAUNCH_VARIABLE, ""))), **overrides}
    return build_dataclass(LaunchConfig, given, f"launch, profile {profile}")


def read_launch(run_dir: Path) -> LaunchConfig:
    """Return what ``run_stage`` wrote into a run folder; the defaults where a stage is called without it."""
    try:
        text = (run_dir / LAUNCH_FILE).read_text(encoding="utf-8")
    except FileNotFoundError:
        return LaunchConfig()
    return build_dataclass(LaunchConfig, json.loads(text), str(run_dir / LAUNCH_FILE))


def parse_launch(words: list[str]) -> dict[str, Any]:
    """Read ``name=value`` words by the types of :class:`LaunchConfig`.

    Raises:
        ConfigError: A word of another form, an unknown name, or no whole number where one is expected.

    >>> parse_launch(["processes=2", "launcher=fsdp2"])
    {'processes': 2, 'launcher': 'fsdp2'}
    """
    hints = get_type_hints(LaunchConfig)
    given: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise ConfigError(f"launch: expected name=value, as in processes=2, got {word!r}")
        if name not in hints:
            raise ConfigError(f"launch: no parameter {name!r}{did_you_mean(name, hints)}")
        if hints[name] is int and not value.isdecimal():
            raise ConfigError(f"launch: {name}: expected a whole number, got {value!r}")
        given[name] = int(value) if hints[name] is int else value
    return given


def accelerate_command(
    launch: LaunchConfig, job_dir: Path, module: list[str], *, rank: int = 0, python: str
) -> list[str]:
    """Return the command by which one machine starts its processes.

    Args:
        launch: With ``launched`` true.
        job_dir: Folder for the YAML that is made of ``launcher``.
        module: Module to run, and its arguments.
        rank: Number of the machine, from 0.
        python: The interpreter.

    Raises:
        ConfigError: ``accelerate_config`` does not exist, or DeepSpeed is asked for and not installed.
    """
    config = _config_file(launch, job_dir)
    command = [python, "-m", "accelerate.commands.launch", "--config_file", str(config)]
    if launch.processes:
        command += ["--num_processes", str(launch.processes)]
    if launch.machines > 1:
        command += ["--num_machines", str(launch.machines), "--machine_rank", str(rank), "--same_network"]
        command += ["--main_process_ip", launch.main_process_ip]
    port = launch.main_process_port or (DEFAULT_PORT if launch.machines > 1 else 0)
    return [*command, "--main_process_port", str(port), "-m", *module]


def accelerate_settings(launch: LaunchConfig, job_dir: Path) -> dict[str, Any]:
    """Return the content of accelerate's YAML for a launcher of ours.

    On a machine without GPUs, too, several processes are ``MULTI_GPU`` to accelerate's launcher: ``MULTI_CPU`` would
    ask for MPI. The processes themselves see that there is no GPU, and talk by gloo.

    Args:
        launch: Without an ``accelerate_config``.
        job_dir: Where the DeepSpeed file lies that a DeepSpeed launcher's YAML names.
    """
    kinds = {"fsdp2": "FSDP", "deepspeed_zero2": "DEEPSPEED", "deepspeed_zero3": "DEEPSPEED"}
    kind = kinds.get(launch.launcher, "MULTI_GPU" if launch.processes > 1 else "NO")
    settings: dict[str, Any] = {
        "compute_environment": "LOCAL_MACHINE",
        "distributed_type": kind,
        "num_processes": launch.processes,
        "num_machines": launch.machines,
        "machine_rank": 0,
        "use_cpu": False,
        "debug": False,
    }  # no mixed_precision: the trainer's arguments decide, and beside a DeepSpeed file accelerate refuses it
    if kind == "FSDP":
        settings["fsdp_config"] = {
            "fsdp_version": 2,
            "fsdp_auto_wrap_policy": "TRANSFORMER_BASED_WRAP",  # the model names its layers itself
            "fsdp_reshard_after_forward": True,
            "fsdp_state_dict_type": "SHARDED_STATE_DICT",  # the full one writes every weight twice
            "fsdp_cpu_ram_efficient_loading": False,
        }
    if kind == "DEEPSPEED":
        settings["deepspeed_config"] = {
            "deepspeed_config_file": str(job_dir / "deepspeed.json"),
            "zero3_init_flag": False,
            "deepspeed_multinode_launcher": "standard",
        }
    return settings


def deepspeed_settings(stage: int) -> dict[str, Any]:
    """Return DeepSpeed's own settings for a ZeRO stage; what the trainer's arguments say stays ``auto``.

    >>> deepspeed_settings(3)["zero_optimization"]["stage"]
    3
    """
    zero: dict[str, Any] = {"stage": stage, "overlap_comm": True, "contiguous_gradients": True}
    if stage == 3:
        zero["stage3_gather_16bit_weights_on_model_save"] = True
    names = ("gradient_accumulation_steps", "gradient_clipping", "train_batch_size", "train_micro_batch_size_per_gpu")
    return {"zero_optimization": zero, "bf16": {"enabled": "auto"}, **dict.fromkeys(names, "auto")}


def _config_file(launch: LaunchConfig, job_dir: Path) -> Path:
    import yaml

    if launch.accelerate_config:
        path = Path(launch.accelerate_config).resolve()
        if not path.is_file():
            raise ConfigError(f"accelerate_config: no such file {path}; make one with accelerate config")
        return path
    if launch.launcher.startswith("deepspeed"):
        require_package("deepspeed", f"launcher={launch.launcher!r}")
        settings = deepspeed_settings(int(launch.launcher[-1]))
        (job_dir / "deepspeed.json").write_text(json.dumps(settings, indent=2), encoding="utf-8")
    path = job_dir / "accelerate.yaml"
    path.write_text(yaml.safe_dump(accelerate_settings(launch, job_dir), sort_keys=False), encoding="utf-8")
    return path


def require_package(name: str, why: str) -> None:
    """Stop, naming the package and how to get it, if it is not installed.

    Args:
        name: What is imported and, by the same name, installed.
        why: The parameter that asks for it, e.g. ``report_to='wandb'``.

    Raises:
        ConfigError: It is not there.
    """
    import importlib.util

    if importlib.util.find_spec(name) is None:
        raise ConfigError(f"{why}: the package {name} is not installed here; pip install {name}, or choose another")


def as_words(launch: Mapping[str, Any]) -> str:
    """Return parameters as the text of ``GEOR1_LAUNCH``."""
    return shlex.join(f"{name}={value}" for name, value in launch.items())
