"""Checkpoints laid out file by file as Qwen's own on the hub, with the real tokenizer and small random weights.

Sources: ``config.json``, ``generation_config.json``, ``preprocessor_config.json`` of Qwen/Qwen2.5-VL-3B-Instruct and
Qwen/Qwen3-VL-4B-Instruct; the chat templates are the originals that TRL packages.
"""

from __future__ import annotations

import importlib.resources
import json
import shutil
from pathlib import Path
from typing import Any

FAMILIES = ("qwen2.5-vl", "qwen3-vl")
VOCABULARY = 151_936  # rows of the embedding of the 3B and 4B models; the tokenizer has fewer tokens
TOKENS = {
    "image_token_id": 151_655,
    "video_token_id": 151_656,
    "vision_start_token_id": 151_652,
    "vision_end_token_id": 151_653,
}
ENDS = (151_645, 151_643)  # <|im_end|>, <|endoftext|>
_GENERATION = {"bos_token_id": 151_643, "pad_token_id": 151_643, "do_sample": True, "eos_token_id": [*ENDS]}
GENERATION = {
    "qwen2.5-vl": {**_GENERATION, "repetition_penalty": 1.05, "temperature": 1e-6},
    "qwen3-vl": {**_GENERATION, "repetition_penalty": 1.0, "temperature": 0.7, "top_p": 0.8, "top_k": 20},
}
PREPROCESSOR: dict[str, dict[str, Any]] = {
    "qwen2.5-vl": {
        "min_pixels": 3136,
        "max_pixels": 12_845_056,
        "patch_size": 14,
        "temporal_patch_size": 2,
        "merge_size": 2,
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
        "image_processor_type": "Qwen2VLImageProcessor",
        "processor_class": "Qwen2_5_VLProcessor",
    },
    "qwen3-vl": {
        "size": {"longest_edge": 16_777_216, "shortest_edge": 65_536},
        "patch_size": 16,
        "temporal_patch_size": 2,
        "merge_size": 2,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "image_processor_type": "Qwen2VLImageProcessorFast",
        "processor_class": "Qwen3VLProcessor",
    },
}
WORD_SPREAD = 10.0
END_SPREAD = 6.0  # an end is then likely now and then, so that completions differ in length
TEMPLATES = {"qwen2.5-vl": "qwen2_5_vl.jinja", "qwen3-vl": "qwen3_vl.jinja"}


def stock_template(family: str) -> str:
    """The chat template as published."""
    return (importlib.resources.files("trl") / "chat_templates" / TEMPLATES[family]).read_text(encoding="utf-8")


def write_checkpoint(folder: Path, tokenizers: Path, family: str, *, seed: int = 0, spread: float = 1.0) -> Path:
    """A folder as ``huggingface-cli download`` leaves it, but for the size of the weights.

    Args:
        folder: Made.
        tokenizers: Folder of the tokenizers by family.
        family: One of ``FAMILIES``.
        seed: Seed of the weights.
        spread: Widens the weights of matrices, so that outputs differ.
    """
    import torch

    model = _qwen3(seed) if family == "qwen3-vl" else _qwen2_5(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1 and "embed" not in name:
                parameter.mul_(spread)
        words = model.get_input_embeddings().weight  # also what predicts: as initialised, all words are equally likely
        words.mul_(WORD_SPREAD)
        words[torch.tensor(ENDS)] *= END_SPREAD
    model.save_pretrained(folder)
    shutil.copytree(tokenizers / family, folder, dirs_exist_ok=True)
    for name, content in (
        ("generation_config", GENERATION[family]),
        ("preprocessor_config", PREPROCESSOR[family]),
        ("chat_template", {"chat_template": stock_template(family)}),
    ):
        (folder / f"{name}.json").write_text(json.dumps(content, indent=2))
    return folder


def _text(heads: int, **more: Any) -> dict[str, Any]:
    return {
        "vocab_size": VOCABULARY,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": heads,
        "num_key_value_heads": 2,
        "max_position_embeddings": 128_000,
        "bos_token_id": 151_643,
        "eos_token_id": 151_645,
        "tie_word_embeddings": True,
        **more,
    }


def _qwen2_5(seed: int) -> Any:
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [2, 3, 3]}
    vision = {"depth": 4, "hidden_size": 64, "intermediate_size": 128, "num_heads": 2, "window_size": 112}
    vision |= {"out_hidden_size": 64, "fullatt_block_indexes": [1, 3], "tokens_per_second": 2}
    config = Qwen2_5_VLConfig(
        text_config=_text(4, rope_parameters=rope), vision_config=vision, tie_word_embeddings=True, **TOKENS
    )
    return _built(Qwen2_5_VLForConditionalGeneration, config, seed)


def _qwen3(seed: int) -> Any:
    from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

    rope = {"rope_type": "default", "rope_theta": 5e6, "mrope_section": [4, 2, 2], "mrope_interleaved": True}
    vision = {"depth": 3, "hidden_size": 64, "intermediate_size": 128, "num_heads": 2, "patch_size": 16}
    vision |= {"out_hidden_size": 64, "num_position_embeddings": 2304, "deepstack_visual_indexes": [0, 1]}
    config = Qwen3VLConfig(
        text_config=_text(4, rope_parameters=rope, head_dim=16),
        vision_config=vision,
        tie_word_embeddings=True,
        **TOKENS,
    )
    return _built(Qwen3VLForConditionalGeneration, config, seed)


def _built(model_class: Any, config: Any, seed: int) -> Any:
    import torch

    config._attn_implementation = "sdpa"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return model_class._from_config(config, dtype=torch.float32)
