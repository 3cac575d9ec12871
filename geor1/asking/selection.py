"""Which back-end answers for a checkpoint, and by which hash its weights are known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from geor1.asking.backends import Backend, InProcess
from geor1.asking.config import AskingConfig
from geor1.asking.generating import Asking
from geor1.runs import sha256_of_file
from geor1.runs.files import sha256_of_json

Load = Callable[[Path], tuple[Any, Any]]
Generate = Callable[..., Sequence[Any]]
# Besides the weights, what decides the tokens that a model reads and writes.
_DECIDING = (
    "config.json",
    "generation_config.json",
    "adapter_config.json",
    "chat_template.jinja",
    "chat_template.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
    "special_tokens_map.json",
    "processor_config.json",
    "preprocessor_config.json",
)


def choose_backend(
    config: AskingConfig,
    checkpoint: Path | str,
    load: Load | None = None,
    generate: Generate | None = None,
    *,
    images_per_prompt: int,
) -> Backend:
    """The back-end that the config names, for one checkpoint; nothing is loaded or asked before the first prompt.

    Args:
        config: With ``backend`` and its settings.
        checkpoint: Model folder; for a server, the name under which it serves the model.
        load: Checkpoint -> (model, processor), in process; ``geor1.models.loading`` when None.
        generate: As ``geor1.models.generate.generate``, which is used when None.
        images_per_prompt: Most images that one of the prompts to come shows, which vLLM in this process wants to know.
    """
    if config.backend == "server":
        from geor1.asking.openai_backend import ServerBackend

        return ServerBackend(
            config.server_url,
            str(checkpoint),
            concurrency=config.concurrency,
            timeout_s=config.timeout_s,
            max_attempts=config.max_attempts,
            key_variable=config.key_variable,
        )
    if config.backend == "vllm":
        from geor1.asking.vllm_backend import VllmBackend

        return VllmBackend(
            str(checkpoint),
            batch_size=config.batch_size,
            dtype=config.dtype,
            context_tokens=config.context_tokens,
            images_per_prompt=images_per_prompt,
            gpu_memory=config.vllm_gpu_memory,
        )
    loader = load or (lambda path: _load(path, config.dtype))
    return InProcess(lambda: loader(Path(checkpoint)), config.batch_size, config.dtype, generate)


def asking_of(config: AskingConfig, label: str, checkpoint: Path | str) -> Asking:
    """How the config has a checkpoint asked, under this row label."""
    weights = weights_sha256(checkpoint)
    return Asking(
        label=label,
        weights=f"{weights}@{config.revision}" if config.revision else weights,
        max_new_tokens=config.max_new_tokens,
        temperature=config.temperature,
        samples=config.samples,
        seed=config.seed,
        keep_errors=config.keep_errors,
        any_server=config.any_server,
    )


def weights_sha256(checkpoint: Path | str) -> str | None:
    """Hash of all that makes a checkpoint answer as it does: safetensors, configuration, tokenizer, chat template.

    Read from the files every time, so that a checkpoint trained anew under the same path is another one.

    Args:
        checkpoint: Model folder.

    Returns:
        SHA-256; None if there are no weights in it. ``name:<name>`` if it is no folder here.
    """
    folder = Path(checkpoint)
    if not folder.is_dir():
        return f"name:{checkpoint}"
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        return None
    deciding = [path for path in (folder / name for name in _DECIDING) if path.is_file()]
    return sha256_of_json({path.name: sha256_of_file(path) for path in [*weights, *deciding]})


def _load(checkpoint: Path, dtype: str) -> tuple[Any, Any]:
    """Model, on the GPU where there is one, and processor of a checkpoint."""
    import torch

    from geor1.models.loading import load_model, load_processor

    model = load_model(checkpoint, dtype=dtype)
    return model.to("cuda" if torch.cuda.is_available() else "cpu"), load_processor(checkpoint)
