"""Very small random models of the three families, to hold shared scoring against transformers' own forward pass."""

from __future__ import annotations

import importlib.resources
from typing import Any

import torch
from tiny_cases import SMALL, WORDS, small_model

from geor1.models.loading import image_only
from geor1.models.tiny import build_tokenizer

FAMILIES = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl")


def family_model(family: str, seed: int = 2, spread: float = 2.0) -> tuple[Any, Any]:
    """A random model of the family, in evaluation mode, and its processor."""
    if family == "qwen2_5_vl":
        return small_model(seed=seed, spread=spread, heads=4, key_value_heads=2)
    import transformers
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    tokenizer = build_tokenizer(WORDS)
    tokens = {
        f"{name}_token_id": tokenizer.convert_tokens_to_ids(f"<|{mark}|>")
        for name, mark in (
            ("image", "image_pad"),
            ("video", "video_pad"),
            ("vision_start", "vision_start"),
            ("vision_end", "vision_end"),
        )
    }
    newest = family == "qwen3_vl"
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": SMALL.hidden,
        "intermediate_size": SMALL.intermediate,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": 4096,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [1, 1, 2]},
        "tie_word_embeddings": True,
    }
    vision: dict[str, Any] = {"depth": 2, "num_heads": 2, "spatial_merge_size": 2, "temporal_patch_size": 2}
    if newest:
        text["rope_parameters"]["mrope_interleaved"] = True
        vision |= {"hidden_size": 32, "intermediate_size": 48, "patch_size": 14, "out_hidden_size": SMALL.hidden}
        vision |= {"num_position_embeddings": 64, "deepstack_visual_indexes": [0, 1]}
    else:
        vision |= {"embed_dim": 32, "hidden_size": SMALL.hidden, "mlp_ratio": 2, "patch_size": 14}
    prefix = "Qwen3VL" if newest else "Qwen2VL"
    config = getattr(transformers, prefix + "Config")(
        text_config=text, vision_config=vision, tie_word_embeddings=True, **tokens
    )
    config._attn_implementation = "sdpa"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = getattr(transformers, prefix + "ForConditionalGeneration")._from_config(config, dtype=torch.float32)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(spread)
    images = Qwen2VLImageProcessorPil(
        size={"shortest_edge": 28 * 28, "longest_edge": 1024 * 28 * 28},
        patch_size=14,
        merge_size=2,
        temporal_patch_size=2,
    )
    template = "qwen3_vl.jinja" if newest else "qwen2_5_vl.jinja"
    processor = image_only(getattr(transformers, prefix + "Processor"))(
        image_processor=images,
        tokenizer=tokenizer,
        chat_template=(importlib.resources.files("trl") / "chat_templates" / template).read_text(encoding="utf-8"),
    )
    return model.eval(), processor
