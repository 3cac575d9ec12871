"""A real ``vllm serve`` on this machine's processor, for the tests marked ``vllm``."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

START_S = 300
# One prompt of six pictures; float32 on both sides, so that only the order of sums differs.
SERVER_OPTIONS = (
    "--dtype", "float32", "--enforce-eager", "--max-model-len", "1024",
    "--limit-mm-per-prompt", '{"image": 6, "video": 0}',
)  # fmt: skip
SERVER_ENVIRONMENT = {"VLLM_CPU_KVCACHE_SPACE": "1", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1"}


def save_for_vllm(folder: Path) -> Path:
    """The shipped tiny base with a processor that also names videos, which vLLM asks for."""
    pytest.importorskip("vllm", reason="vLLM is not in this environment")
    import transformers

    from geor1.models.loading import BASE_MODEL_PATH, load_model, load_processor, save_checkpoint

    processor = load_processor(BASE_MODEL_PATH)
    stock = transformers.Qwen2_5_VLProcessor(
        image_processor=transformers.Qwen2VLImageProcessor(**processor.image_processor.to_dict()),
        video_processor=transformers.Qwen2VLVideoProcessor(),
        tokenizer=processor.tokenizer,
        chat_template=processor.chat_template,
    )
    return save_checkpoint(load_model(BASE_MODEL_PATH), stock, folder)


@contextlib.contextmanager
def serving(checkpoint: Path, log: Path) -> Iterator[str]:
    """The base address of a server of this checkpoint, which lives as long as the context."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(checkpoint)]
    command += ["--host", "127.0.0.1", "--port", str(port), *SERVER_OPTIONS]
    with log.open("w") as output:
        process = subprocess.Popen(
            command, env={**os.environ, **SERVER_ENVIRONMENT}, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            _wait_for(f"http://127.0.0.1:{port}/health", process, log)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()


def _wait_for(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        assert process.poll() is None, f"the server ended: {log.read_text()[-3000:]}"
        try:
            urllib.request.urlopen(address, timeout=2).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    raise AssertionError(f"the server did not start within {START_S} s: {log.read_text()[-3000:]}")
