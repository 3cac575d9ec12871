"""The exact command with which a harness asks one served checkpoint, and what is known to go wrong.

Option and task names were read in the harnesses' own files: lmms-eval 75571cfe (``lmms_eval/__main__.py``,
``models/simple/openai.py``, ``tasks/{mmmu,gpqa,megabench}/*.yaml``), VLMEvalKit e8e78f05 (``run.py``,
``vlmeval/api/lmdeploy.py``, ``vlmeval/dataset/video_dataset_config.py``) and lighteval 3fd15266
(``main_endpoint.py``, ``cli_args.py``, ``models/endpoints/litellm_model.py``, ``models/abstract_model.py``,
``tasks/tasks/gpqa.py``; the parser of its release 0.13.0 reads the model arguments as they are meant). No benchmark was
run: the harnesses are not dependencies of this project.

Every harness keeps a cache of replies keyed by the model's *name*; base and ours, served in turn under one name, would
read each other's. So everything is run inside, and cached inside, one folder a checkpoint.
"""

from __future__ import annotations

import dataclasses
import os
import re
import shlex
from collections.abc import Mapping
from pathlib import Path

from geor1.runs.errors import ConfigError

LMMS_EVAL, LIGHTEVAL, VLMEVALKIT = "lmms-eval", "lighteval", "vlmevalkit"
SUITES = (LMMS_EVAL, LIGHTEVAL, VLMEVALKIT)

_MODULES = {LMMS_EVAL: "lmms_eval", LIGHTEVAL: "lighteval"}
_UNSAFE = re.compile(r"[,={}\s]")  # both lmms-eval and lighteval split their model arguments at commas and equal signs


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """What to measure, where, and with which harness.

    Attributes:
        suite: One of :data:`SUITES`.
        url: OpenAI-compatible endpoint, with ``/v1``.
        model: Name under which the checkpoint is served.
        tasks: Names as the suite has them.
        out: Folder of this checkpoint's run; absolute.
        max_new_tokens: Longest reply, in tokens.
        timeout_s: Of one request, in seconds.
        concurrent: Requests under way at once.
        limit: Items of each task, or None for all.
    """

    suite: str
    url: str
    model: str
    tasks: tuple[str, ...]
    out: Path
    max_new_tokens: int = 4096
    timeout_s: int = 600
    concurrent: int = 32
    limit: int | None = None

    def __post_init__(self) -> None:
        if self.suite not in SUITES:
            raise ConfigError(f"suite: expected one of {', '.join(SUITES)}, got {self.suite!r}")
        if not re.match(r"https?://", self.url):
            raise ConfigError(f"url: expected http://host:port/v1, got {self.url!r}")
        for name in ("url", "model", "out"):
            if _UNSAFE.search(str(getattr(self, name))):
                text = "may hold no comma, equal sign, brace or space: the harnesses split their arguments there"
                raise ConfigError(f"{name}: {text}; got {str(getattr(self, name))!r}")
        for name in ("max_new_tokens", "timeout_s", "concurrent"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}: expected at least 1, got {getattr(self, name)}")
        if self.limit is not None and (self.limit < 1 or self.suite == VLMEVALKIT):
            reason = "vlmevalkit has no such option" if self.suite == VLMEVALKIT else f"got {self.limit}"
            raise ConfigError(f"limit: expected at least 1 item, and a suite that can be limited; {reason}")
        if not self.tasks:
            raise ConfigError("tasks: expected at least one, e.g. mmmu_val")
        for task in self.tasks:
            _check_task(self.suite, task)

    @property
    def identity(self) -> dict[str, object]:
        """What decides the answers, and so whether a folder's earlier run is the same run."""
        names = ("suite", "model", "max_new_tokens", "limit")
        return {**{name: getattr(self, name) for name in names}, "tasks": list(self.tasks)}


@dataclasses.dataclass(frozen=True)
class Command:
    """A command line.

    Attributes:
        words: Program and arguments.
        environment: Variables to set in addition.
        folder: Where to run it.
    """

    words: tuple[str, ...]
    environment: Mapping[str, str]
    folder: Path

    def __str__(self) -> str:
        """As text for a POSIX shell."""
        variables = [f"{name}={shlex.quote(value)}" for name, value in self.environment.items()]
        line = " ".join([*(["env", *variables] if variables else []), shlex.join(self.words)])
        return f"cd {shlex.quote(str(self.folder))} && {line}"


def default_prefix(suite: str, python: str) -> tuple[str, ...]:
    """How a suite is started with a given interpreter.

    Raises:
        ConfigError: VLMEvalKit, which is started by a script of its checkout rather than by a module.
    """
    if suite == VLMEVALKIT:
        raise ConfigError("vlmevalkit is started by its run.py: give --prefix 'PYTHON CHECKOUT/run.py', not --python")
    return (python, "-m", _MODULES[suite])


def build_command(request: Request, prefix: tuple[str, ...]) -> Command:
    """The command of a request.

    Args:
        request: What to measure.
        prefix: Program and first arguments that start the harness, e.g. ``("python", "-m", "lmms_eval")``.

    Returns:
        The command; replies are greedy (temperature 0), every item is logged, and it can be run again to go on.
    """
    build = {LMMS_EVAL: _lmms_eval, LIGHTEVAL: _lighteval, VLMEVALKIT: _vlmevalkit}[request.suite]
    arguments, environment = build(request)
    return Command((*prefix, *arguments), environment, request.out)


def pitfalls(request: Request) -> list[str]:
    """What the user should know before believing the figures of this request, one sentence each."""
    found = [
        "Run base and ours through this same command, each into its own folder: image sizes (max_pixels) are set by "
        "the server here, and differ 8-fold between the harnesses' built-in model classes."
    ]
    joined_tasks = " ".join(request.tasks).lower()
    if "gpqa" in joined_tasks:
        found.append(
            "GPQA is gated: accept its terms with a Hugging Face account, and log in (or set HF_TOKEN) in the "
            "harness's environment. Its options are shuffled with the run's seed, which depends on the tasks before "
            "it: ask for the same tasks in the same order."
        )
    if request.suite == LMMS_EVAL and "megabench" in joined_tasks:
        found.append(
            "lmms-eval only collects MEGA-Bench's replies (submissions/megabench_all_query_responses_*.json). Score "
            "them with its lmms_eval/tasks/megabench/evaluator.py --subset_name core|core_single_image|open "
            "--submission_file … --output_file scores/megabench_score_core.json, inside this folder, then import. The "
            "data set needs a Hugging Face login, the open subset a judge."
        )
    if request.suite == LMMS_EVAL and re.search(r"gpqa_\w+_cot_", joined_tasks):
        found.append("gpqa_*_cot_* logs each item once per answer filter: import with --filter 2 (flexible-extract).")
    if request.suite == VLMEVALKIT and "megabench_open" in joined_tasks:
        found.append("MEGABench_open_* is scored by a judge model; exact matching cannot.")
    return found


def _lmms_eval(request: Request) -> tuple[list[str], dict[str, str]]:
    # timeout: its default of 10 s turns slow replies into "[LMMS_EVAL_REQUEST_FAILED …", which is scored as wrong.
    # max_new_tokens: mmmu_val allows 128, which cuts a chain of thought.
    model_arguments = (
        f"model={request.model},base_url={request.url},timeout={request.timeout_s},num_concurrent={request.concurrent}"
    )
    arguments = ["--model", "openai", "--model_args", model_arguments, "--tasks", ",".join(request.tasks)]
    arguments += ["--gen_kwargs", f"max_new_tokens={request.max_new_tokens},temperature=0", "--batch_size", "1"]
    arguments += ["--log_samples", "--output_path", str(request.out), "--use_cache", str(request.out / "cache")]
    if request.limit is not None:
        arguments += ["--limit", str(request.limit)]
    return arguments, _endpoint_key()


def _lighteval(request: Request) -> tuple[list[str], dict[str, str]]:
    # litellm's own cache of replies is .litellm_cache of the folder it runs in.
    model_arguments = (
        f"model_name=openai/{request.model},base_url={request.url},timeout={request.timeout_s},"
        f"concurrent_requests={request.concurrent},cache_dir={request.out / 'cache'},"
        f"generation_parameters={{temperature:0,max_new_tokens:{request.max_new_tokens}}}"
    )
    arguments = ["endpoint", "litellm", model_arguments, ",".join(request.tasks)]
    arguments += ["--output-dir", str(request.out), "--save-details"]
    if request.limit is not None:
        arguments += ["--max-samples", str(request.limit)]
    return arguments, _endpoint_key()


def _vlmevalkit(request: Request) -> tuple[list[str], dict[str, str]]:
    # exact_matching: any other judge that fails three times to read an answer draws an option at random.
    arguments = ["--data", *request.tasks, "--model", request.model, "--base-url", request.url, "--key", "EMPTY"]
    arguments += ["--api-nproc", str(request.concurrent), "--timeout", str(request.timeout_s)]
    arguments += ["--max-tokens", str(request.max_new_tokens), "--temperature", "0"]
    arguments += ["--work-dir", str(request.out), "--reuse", "--judge", "exact_matching"]
    # MMEVAL_ROOT overrides --work-dir where it is set; tsv is read without a further library and is never truncated.
    return arguments, {"MMEVAL_ROOT": str(request.out), "PRED_FORMAT": "tsv"}


def _endpoint_key() -> dict[str, str]:
    """A key for an endpoint that wants none; a key that the user has set is inherited, and written nowhere."""
    return {} if "OPENAI_API_KEY" in os.environ else {"OPENAI_API_KEY": "EMPTY"}


def _check_task(suite: str, task: str) -> None:
    """Refuse a task that is known not to exist in a suite, or not to work through a chat endpoint."""
    name = task.lower()
    if not name or re.search(r"[\s,]", task):
        raise ConfigError(f"tasks: expected names separated by commas, got {task!r}")
    if suite == VLMEVALKIT and "gpqa" in name:
        raise ConfigError(f"{task}: vlmevalkit has no GPQA; use lighteval (gpqa:diamond) or lmms-eval")
    if suite == LMMS_EVAL and re.fullmatch(r"gpqa_(main|diamond|extended)_(zeroshot|n_shot)", name):
        raise ConfigError(
            f"{task}: ranks the options by log-likelihood, which a chat endpoint does not give; "
            "use gpqa_diamond_cot_zeroshot"
        )
    if suite == LIGHTEVAL and name.startswith("gpqa:mc"):
        raise ConfigError(f"{task}: ranks the options by log-likelihood; use gpqa:diamond")
    if suite == LIGHTEVAL and name.startswith("mmmu"):
        raise ConfigError(f"{task}: lighteval's endpoint backend sends no images; use lmms-eval (mmmu_val)")
