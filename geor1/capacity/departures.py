"""The profile ``paper`` beside what is known of the paper's settings: ``papers/profile-paper.md``.

The values here are those of the released script and of the libraries that it leaves to their defaults; ours are read
from the profile, so that the table says what is run.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from geor1.runs import load_profile
from geor1.runs.processes import launch_config

PLACE = Path("profile-paper.md")
SAME, DEPARTS, UNKNOWN = "same", "departs", "unknown"


@dataclasses.dataclass(frozen=True)
class Setting:
    """One parameter.

    Attributes:
        stage: Stage of the profile.
        name: Parameter of the profile.
        theirs: The paper's value; None where it is unknown.
        why: Where it is from; where ours departs, why.
        departs: Whether ours departs from it (else it must be equal).
    """

    stage: str
    name: str
    theirs: Any
    why: str
    departs: bool = False

    @property
    def kind(self) -> str:
        """``same``, ``departs`` or ``unknown``."""
        return UNKNOWN if self.theirs is None else DEPARTS if self.departs else SAME


_SFT, _GRPO, _DATA, _LAUNCH = "02_scaffold_sft", "03_grpo", "01_data_synthesis", "launch"
SETTINGS = (
    Setting(_LAUNCH, "processes", 8, "script"),
    Setting(_LAUNCH, "launcher", "deepspeed_zero3", "script; no offload"),
    Setting(_LAUNCH, "report_to", "wandb", "an account less to make; figures only, `report_to: wandb` sets it", True),
    Setting(_DATA, "difficulty", None, "negatives of the neighbourhood as they come, none chosen for its looks"),
    Setting(_DATA, "candidates", None, "19.0 and 23.1 % are called nearly random, which speaks for five"),
    Setting(_DATA, "questions_per_city", None, "a folder cv_cities_16k is read; ten train cities are our reading"),
    Setting(_DATA, "max_radius_m", None, "negatives are of the same neighbourhood; how near is not said"),
    Setting(_DATA, "tile_extent_m", None, "a negative must not show the camera: 156 m off; 200 m by buses in a figure"),
    Setting(_DATA, "tile_px", None, "native sizes are not stated; 448 is what the data set's own authors train on"),
    Setting(_DATA, "panorama_width_px", None, "as above; a panorama is twice as wide as high"),
    Setting(_DATA, "teaching", None, "teacher, prompts and number of questions are not stated"),
    Setting(_SFT, "base_model", "Qwen/Qwen2.5-VL-7B-Instruct", "notes on version 2, model card"),
    Setting(_SFT, "max_examples", 12600, "12.6 K chains after the fact check (notes on version 2)"),
    Setting(_SFT, "lora", False, "every weight trains (notes on version 2)"),
    Setting(_SFT, "freeze_vision", False, "as above"),
    Setting(_SFT, "epochs", None, "LLaMA-Factory's default"),
    Setting(_SFT, "learning_rate", None, "a usual value for every weight of a 7 B model"),
    Setting(_SFT, "batch_size", None, "eight devices, eight passes of one"),
    Setting(_SFT, "warmup_steps", None, "transformers' default"),
    Setting(_SFT, "weight_decay", None, "transformers' default"),
    Setting(_SFT, "adam_beta2", None, "transformers' default"),
    Setting(_SFT, "seed", None, "transformers' default"),
    Setting(_SFT, "answer_letter_loss", True, "plain cross-entropy of the whole chain (notes on version 2)"),
    Setting(_GRPO, "steps", 4000, "two epochs over 16,000 questions, our reading of the folder's name"),
    Setting(_GRPO, "prompts_per_step", 8, "8 processes x 4 completions x 2, 8 a question"),
    Setting(_GRPO, "prompts_per_pass", 0.5, "half a group there; never split here, to read its prompt once", True),
    Setting(_GRPO, "group_size", 8, "script"),
    Setting(_GRPO, "learning_rate", 1e-6, "default"),
    Setting(_GRPO, "schedule", "linear", "default, without warm-up"),
    Setting(_GRPO, "warmup_steps", 0, "default"),
    Setting(_GRPO, "weight_decay", 0.0, "default"),
    Setting(_GRPO, "adam_beta2", 0.999, "default"),
    Setting(_GRPO, "max_grad_norm", 1.0, "default"),
    Setting(_GRPO, "temperature", 1.0, "in its GenerationConfig; the command line's value is ignored"),
    Setting(_GRPO, "max_completion_tokens", 2048, "script"),
    Setting(_GRPO, "num_iterations", 1, "default"),
    Setting(_GRPO, "beta", 0.04, "script; estimator k3, reference is the start checkpoint"),
    Setting(_GRPO, "kl_correction", False, "plain k3, without the probability ratio that TRL's default puts before it"),
    Setting(_GRPO, "skip_flat_groups", False, "every group is scored"),
    Setting(_GRPO, "epsilon", 0.2, "default, both sides"),
    Setting(_GRPO, "epsilon_high", 0.0, "as epsilon"),
    Setting(_GRPO, "importance_sampling_level", "token", "ratio of each token"),
    Setting(_GRPO, "top_entropy_quantile", 1.0, "every token carries the gradient"),
    Setting(_GRPO, "resample_rounds", 0, "no question is replaced"),
    Setting(_GRPO, "order", "random", "default sampler"),
    Setting(_GRPO, "loss_type", "grpo", "mean over a completion's tokens, then over completions"),
    Setting(_GRPO, "scale_rewards", "group", "advantage (r - mean) / (std + 1e-4)"),
    Setting(_GRPO, "reward_preset", "released_code", "shipped functions, faults included; the paper's own are unknown"),
    Setting(_GRPO, "accuracy_correct", 1.0, "released code"),
    Setting(_GRPO, "accuracy_wrong", 0.0, "released code; the notes say -1, a reviewer -0.8"),
    Setting(_GRPO, "weight_accuracy", 1.0, "released code: a plain sum"),
    Setting(_GRPO, "weight_format", 1.0, "as above"),
    Setting(_GRPO, "weight_length", 1.0, "as above"),
    Setting(_GRPO, "weight_repetition", 1.0, "as above"),
    Setting(_GRPO, "reward_max_length", 1024, "released code"),
    Setting(_GRPO, "freeze_vision", False, "script sets no freeze_vision_modules"),
    Setting(_GRPO, "lora", False, "script"),
    Setting(_GRPO, "gradient_checkpointing", True, "script"),
    Setting(_GRPO, "save_steps", 500, "script"),
    Setting(_GRPO, "seed", 42, "default"),
    Setting(_GRPO, "rollouts", "in_process", "in process needs whole weights, which ZeRO-3 does not leave", True),
    Setting(_GRPO, "vllm_gpu_memory", None, "goes with it; what fits beside training (capacity.md)"),
    Setting(_GRPO, "vllm_sleep", None, "as above"),
    Setting(_GRPO, "vllm_max_tokens", None, "as above"),
    Setting(_GRPO, "vllm_correction", "none", "sampled and scored by one model there; TRL's own default corrects"),
    Setting(_GRPO, "logits_chunk_tokens", None, "memory only; results are equal to rounding"),
    Setting(_GRPO, "eval_every", None, "stage 04 judges; decoding on spread weights gathers them for every token"),
    Setting(_GRPO, "n_eval", None, "as above"),
)  # fmt: skip
_SOURCE = "names the data, says nothing of the method"
_LAYOUT = "memory and speed only"
OURS_ONLY = {
    (_DATA, "seed"): "which questions are drawn",
    (_DATA, "source"): _SOURCE,
    (_DATA, "source_path"): _SOURCE,
    (_DATA, "skip_isolated"): "what is left out is counted in report.json",
    (_DATA, "skip_broken"): "as above",
    (_DATA, "panorama_height_px"): "half of panorama_width_px",
    (_DATA, "pairing_scaffolds"): "of the miniature Earth",
    (_DATA, "geolocation_scaffolds"): "as above",
    (_DATA, "labelled_scaffolds"): "as above",
    (_DATA, "parquet"): "a second file format",
    (_DATA, "workers"): _LAYOUT,
    (_DATA, "teacher"): "how `teaching` is served",
    (_SFT, "scaffolds"): "file name",
    (_SFT, "max_steps"): "0: epochs count",
    (_SFT, "micro_batch_size"): _LAYOUT,
    (_SFT, "gradient_checkpointing"): _LAYOUT,
    (_SFT, "save_steps"): "when a killed run resumes",
}
"""Parameters of the profile that no paper would state, by stage and name, with what they are."""

_OTHERS = """What no parameter says:

- *Sampling.* There Hugging Face's `generate` keeps the 50 likeliest tokens (its default, not overridden); here none are
  left out.
- *Pictures.* There a prompt has all images first and names them by order, and the code dies at two or more of them;
  here each candidate's letter stands beside its image.
- *Attention.* FlashAttention 2 there; here kernels that read a prompt once for its group, equal to rounding.
- *Reference model.* There ZeRO-3 with a KL term loads it by a class that refuses Qwen2.5-VL; here by the policy's own.
- *Precision.* bfloat16 weights beside float32 copies, in both (DeepSpeed).
- *Pixels.* The limits there, 3,136 to 12,845,056, never bind at these sizes.
"""


def ours(setting: Setting) -> Any:
    """The profile's value of a setting.

    Raises:
        KeyError: The profile leaves it to a default.
    """
    if setting.stage == _LAUNCH:
        return getattr(launch_config("paper"), setting.name)
    return load_profile("paper")[setting.stage][setting.name]


def table() -> str:
    """All settings in Markdown, those that depart first."""
    order = {DEPARTS: 0, UNKNOWN: 1, SAME: 2}
    lines = ["| stage | parameter | the paper's | here | | why |", "|---|---|---|---|---|---|"]
    for setting in sorted(SETTINGS, key=lambda one: order[one.kind]):
        theirs = "unknown" if setting.theirs is None else _shown(setting.theirs)
        stage = setting.stage.partition("_")[0]
        cells = (stage, f"`{setting.name}`", theirs, _shown(ours(setting)), setting.kind, setting.why)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def write_table(root: Path) -> Path:
    """Write ``profile-paper.md``.

    Args:
        root: The folder ``papers``.
    """
    path = root / PLACE
    path.write_text(f"{_HEAD}\n{table()}\n\n{_OTHERS}", encoding="utf-8")
    return path


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{name} {one}" for name, one in value.items())
    return f"{value}"


_HEAD = """<!-- Written by `python -m geor1.capacity --write`; edit geor1/capacity/departures.py and the profile. -->
# The profile `paper`

Its settings beside those of the released script (`run_grpo_geo_cv.sh`) and of the libraries whose defaults it takes, as
far as they are known. Whether the reported runs used them is unknown: the script's experiment is called a test, and as
released it stops in two places. What is unknown is ours to choose and says how it was chosen.
"""
