"""Published sizes of the models that the profiles name, built without a download and without memory for weights.

The values are those of each checkpoint's ``config.json``; the number of parameters that follows from them is held
against the published one (tested). A model built here has the real classes, layers and names, on PyTorch's meta device:
its parameters can be counted, its costs read off (:func:`geor1.grpo.accounting.cost_model`), its step simulated
(:mod:`geor1.capacity`), but it computes nothing.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
from collections.abc import Iterator
from typing import Any

from geor1.models.loading import FAMILIES
from geor1.models.tiny import TinySizes

_TOKENS = {"vision_start": 151652, "vision_end": 151653, "image": 151655, "video": 151656}
_VISION_2_5 = {
    "depth": 32,
    "hidden_size": 1280,
    "intermediate_size": 3420,
    "num_heads": 16,
    "patch_size": 14,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
    "window_size": 112,
    "fullatt_block_indexes": [7, 15, 23, 31],
    "tokens_per_second": 2,
}
_TEXT_2_5 = {
    "rms_norm_eps": 1e-6,
    "max_position_embeddings": 128000,
    "use_sliding_window": False,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]},
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Architecture:
    """A published model.

    Attributes:
        hub_name: Name on the Hugging Face hub; the source of all values, its ``config.json``.
        model_type: Family, a key of :data:`geor1.models.loading.FAMILIES`.
        parameters: Parameters that the published weights have, tied ones once: half of ``total_size`` in the index of
            the published bfloat16 safetensors (a tied head is not stored).
        text: Values of the language model.
        vision: Values of the vision tower.
        tied: Whether input and output embeddings share their weights.
        tokens: Ids of the special tokens.
    """

    hub_name: str
    model_type: str
    parameters: int
    text: dict[str, Any]
    vision: dict[str, Any]
    tied: bool
    tokens: dict[str, int]

    @property
    def image_factor_px(self) -> int:
        """Image sides that are multiples of this many pixels are never resized."""
        return int(self.vision["patch_size"] * self.vision["spatial_merge_size"])


ARCHITECTURES = {
    "qwen2.5-vl-3b": Architecture(
        hub_name="Qwen/Qwen2.5-VL-3B-Instruct",
        model_type="qwen2_5_vl",
        parameters=3_754_622_976,
        text=_TEXT_2_5
        | {
            "hidden_size": 2048,
            "intermediate_size": 11008,
            "num_hidden_layers": 36,
            "num_attention_heads": 16,
            "num_key_value_heads": 2,
            "vocab_size": 151936,
        },
        vision=_VISION_2_5 | {"out_hidden_size": 2048},
        tied=True,
        tokens=_TOKENS,
    ),
    "qwen2.5-vl-7b": Architecture(
        hub_name="Qwen/Qwen2.5-VL-7B-Instruct",
        model_type="qwen2_5_vl",
        parameters=8_292_166_656,
        text=_TEXT_2_5
        | {
            "hidden_size": 3584,
            "intermediate_size": 18944,
            "num_hidden_layers": 28,
            "num_attention_heads": 28,
            "num_key_value_heads": 4,
            "vocab_size": 152064,
        },
        vision=_VISION_2_5 | {"out_hidden_size": 3584},
        tied=False,
        tokens=_TOKENS,
    ),
    "qwen3-vl-4b": Architecture(
        hub_name="Qwen/Qwen3-VL-4B-Instruct",
        model_type="qwen3_vl",
        parameters=4_437_815_808,
        text={
            "hidden_size": 2560,
            "intermediate_size": 9728,
            "num_hidden_layers": 36,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "vocab_size": 151936,
            "rms_norm_eps": 1e-6,
            "max_position_embeddings": 262144,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 5e6,
                "mrope_section": [24, 20, 20],
                "mrope_interleaved": True,
            },
        },
        vision={
            "depth": 24,
            "hidden_size": 1024,
            "intermediate_size": 4096,
            "num_heads": 16,
            "patch_size": 16,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "out_hidden_size": 2560,
            "num_position_embeddings": 2304,
            "deepstack_visual_indexes": [5, 11, 17],
        },
        tied=True,
        tokens=_TOKENS,
    ),
}


def find_architecture(name: str) -> Architecture:
    """Look a model up by its name here or on the hub.

    Raises:
        ValueError: Unknown.

    >>> find_architecture("Qwen/Qwen2.5-VL-7B-Instruct").text["hidden_size"]
    3584
    """
    for key, architecture in ARCHITECTURES.items():
        if name.lower() in (key, architecture.hub_name.lower()):
            return architecture
    known = sorted([*ARCHITECTURES, *(one.hub_name for one in ARCHITECTURES.values())])
    raise ValueError(f"model {name!r}: its sizes are not known here; expected one of {known}")


def published_config(architecture: Architecture) -> Any:
    """The transformers config of a published model, with SDPA attention as this project loads models.

    Args:
        architecture: The model.
    """
    import transformers

    config_class = getattr(transformers, FAMILIES[architecture.model_type][1]).config_class
    config = config_class(
        text_config=copy.deepcopy(architecture.text) | {"tie_word_embeddings": architecture.tied},
        vision_config=copy.deepcopy(architecture.vision),
        tie_word_embeddings=architecture.tied,
        **{f"{name}_token_id": token for name, token in architecture.tokens.items()},
    )
    config._attn_implementation = "sdpa"
    return config


def without_memory(config: Any, *, dtype: Any = None) -> Any:
    """Build a model on the meta device: real classes and shapes, no weights.

    Args:
        config: A Qwen-VL config, e.g. from :func:`published_config`.
        dtype: Type that the weights would have; None for float32.
    """
    import torch
    import transformers

    model_class = getattr(transformers, FAMILIES[config.model_type][1])
    with torch.device("meta"), _seed_kept():
        model = model_class._from_config(config, dtype=dtype or torch.float32)
    model.tie_weights()
    return model


@contextlib.contextmanager
def _seed_kept() -> Iterator[None]:
    """Leave the caller's random state as it was."""
    import torch

    with torch.random.fork_rng(devices=[]):
        yield


def count_parameters(model: Any) -> int:
    """Parameters of a model, tied ones once."""
    return sum(parameter.numel() for parameter in model.parameters())


def as_tiny_sizes(architecture: Architecture) -> TinySizes:
    """A published Qwen2.5-VL's sizes in the form that :func:`geor1.models.tiny.build_model` takes.

    Args:
        architecture: Of the family ``qwen2_5_vl``.

    Raises:
        ValueError: Of another family.
    """
    if architecture.model_type != "qwen2_5_vl":
        raise ValueError(f"{architecture.hub_name}: expected a Qwen2.5-VL, got {architecture.model_type}")
    text, vision = architecture.text, architecture.vision
    return TinySizes(
        hidden=text["hidden_size"],
        intermediate=text["intermediate_size"],
        layers=text["num_hidden_layers"],
        heads=text["num_attention_heads"],
        key_value_heads=text["num_key_value_heads"],
        vision_hidden=vision["hidden_size"],
        vision_intermediate=vision["intermediate_size"],
        vision_depth=vision["depth"],
        vision_heads=vision["num_heads"],
        window_px=vision["window_size"],
        tied_embeddings=architecture.tied,
        full_attention_blocks=tuple(vision["fullatt_block_indexes"]),
        vocabulary=text["vocab_size"],
    )
