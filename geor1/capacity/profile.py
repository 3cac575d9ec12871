"""What a profile says that planning needs, and what no profile says."""

from __future__ import annotations

import dataclasses
from typing import Any

from geor1.capacity.hardware import DEVICES, Device
from geor1.evaluation.config import EvaluationConfig
from geor1.grpo.config import GrpoConfig
from geor1.models.architectures import Architecture, find_architecture
from geor1.runs import ConfigError, configure
from geor1.runs.processes import LaunchConfig
from geor1.runs.profiles import about_profile, launch_section
from geor1.runs.typed import build_dataclass
from geor1.sft.config import SftConfig
from geor1.synthesis.config import SynthesisConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class Assumptions:
    """What no profile says.

    Attributes:
        text_tokens: Tokens of a prompt that are not pictures.
        chain_tokens: Of a scaffold, mean. Source: 1,127.6, the paper's Geo-SFT, which writes what it was taught.
        completion_tokens: Of a sampled completion, mean over a run. Source: between 1,127.6 (Geo-SFT, where stage 03
            starts) and 378.8 (Geo-R1, where it ends).
        longest: The longest completion of a step, in means, if the limit allows it.
    """

    text_tokens: int = 160
    chain_tokens: int = 1128
    completion_tokens: int = 750
    longest: float = 2.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Machine:
    """What a stage runs on.

    Attributes:
        name: Key of :data:`geor1.capacity.hardware.DEVICES`.
        devices: How many.
        sharing: How they share the model, see :data:`geor1.capacity.memory.SHARINGS`.
        per_machine: Devices of one machine.
        dollars_per_hour: Of one device; None takes the table's assumption.
    """

    name: str
    devices: int
    sharing: str
    per_machine: int = 8
    dollars_per_hour: float | None = None

    @property
    def device(self) -> Device:
        """Its data sheet."""
        return DEVICES[self.name]

    @property
    def dollars(self) -> float:
        """An hour of all devices."""
        price = self.device.dollars_per_hour if self.dollars_per_hour is None else self.dollars_per_hour
        return price * self.devices


@dataclasses.dataclass(frozen=True, kw_only=True)
class Profile:
    """A profile as far as planning goes.

    Attributes:
        name: Its name.
        architecture: The model that both stages train.
        grids_thw: Patch grid of every picture of a question, panorama first.
        megapixels: Of these pictures.
        sft: Parameters of stage 02.
        grpo: Parameters of stage 03.
        evaluation: Parameters of stage 04.
        machine: What the profile says that it is for.
    """

    name: str
    architecture: Architecture
    grids_thw: tuple[tuple[int, int, int], ...]
    megapixels: float
    sft: SftConfig
    grpo: GrpoConfig
    evaluation: EvaluationConfig
    machine: Machine


def read_profile(name: str, **grpo: Any) -> Profile:
    """Read a profile for planning.

    Args:
        name: Its name.
        **grpo: Parameters of stage 03 that win over the profile's.

    Raises:
        ConfigError: It names no model of known sizes, no picture sizes, or no device.
    """
    data = configure(SynthesisConfig, "01_data_synthesis", name)
    sft = configure(SftConfig, "02_scaffold_sft", name)
    about = about_profile(name)
    if about.device not in DEVICES:
        raise ConfigError(f"{name}.yaml: about.device: expected one of {sorted(DEVICES)}, got {about.device!r}")
    try:
        architecture = find_architecture(sft.base_model)
    except ValueError as error:
        raise ConfigError(f"{name}.yaml: 02_scaffold_sft.base_model: {error}") from error
    if not (data.tile_px and data.panorama_width_px and data.panorama_height_px):
        raise ConfigError(f"{name}.yaml: 01_data_synthesis: expected sizes of panorama and tiles above 0, to plan for")
    sizes = [(data.panorama_width_px, data.panorama_height_px)] + [(data.tile_px, data.tile_px)] * data.candidates
    factor, patch = architecture.image_factor_px, int(architecture.vision["patch_size"])
    for width, height in sizes:
        if width % factor or height % factor:
            raise ConfigError(f"{name}.yaml: pictures of {width} x {height}: expected multiples of {factor} pixels")
    return Profile(
        name=name,
        architecture=architecture,
        grids_thw=tuple((1, height // patch, width // patch) for width, height in sizes),
        megapixels=sum(width * height for width, height in sizes) / 1e6,
        sft=sft,
        grpo=configure(GrpoConfig, "03_grpo", name, **grpo),
        evaluation=configure(EvaluationConfig, "04_evaluation", name),
        machine=_machine(name, about.device),
    )


def _machine(profile: str, device: str) -> Machine:
    """What a profile's ``launch`` section asks for."""
    launch = build_dataclass(LaunchConfig, launch_section(profile), f"{profile}.yaml: launch")
    devices = max(1, launch.processes)
    sharing = launch.launcher or "ddp"
    per_machine = devices // launch.machines
    return Machine(name=device, devices=devices, sharing=sharing if devices > 1 else "", per_machine=per_machine)
