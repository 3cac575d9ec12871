"""The vision tower over the images of a batch: each distinct image once, and only once for good while it is frozen."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from geor1.models.encoding import EncodedImage, EncodedPrompt, PromptBatch
from geor1.models.feature_store import FeatureStore

PATCHES_AT_ONCE = 1 << 15  # bounds memory where all images of a step are looked at


def is_frozen(model: Any) -> bool:
    """Whether no weight of the vision tower trains, its projector included."""
    return not any(parameter.requires_grad for parameter in model.model.visual.parameters())


def encode_images(model: Any, batch: PromptBatch) -> dict[str, Any]:
    """Run the vision tower over the distinct images of a batch, once each, unless they carry their features.

    Args:
        model: A Qwen-VL ``ForConditionalGeneration``.
        batch: Prompts.

    Returns:
        What the model takes as ``mm_encoder_outputs``: features of every image of all prompts in order.
    """
    if batch.image_index is None:
        return {}
    distinct = batch.features or _run_tower(model, batch.pixel_values, batch.distinct_grid_thw)
    pooled, *deeper = zip(*(distinct[place] for place in batch.image_index.tolist()), strict=True)
    return {"image": types.SimpleNamespace(pooler_output=pooled, deepstack_features=deeper)}


@torch.no_grad()
def remember_features(
    model: Any, prompts: Sequence[EncodedPrompt], store: FeatureStore | None = None
) -> list[EncodedPrompt]:
    """Run the vision tower over the distinct images of prompts, and let the images carry what came out.

    Right for as long as the tower does not change. Features wait in main memory.

    Args:
        model: A Qwen-VL ``ForConditionalGeneration``.
        prompts: Prompts whose images may have features already.
        store: Where features are looked for and kept across runs. With it the tower looks at one image at a time: the
            last digits of a product depend on what else is in it, and what is stored must not.

    Returns:
        The same prompts, with images that have features; images that were one object still are.
    """
    seen: dict[EncodedImage, EncodedImage] = {}
    missing, entries = [], {}
    for image in dict.fromkeys(image for prompt in prompts for image in prompt.images):
        known = image.features
        if store and not known:
            entries[image] = store.entry(image)
            known = store.find(entries[image]) or ()
        if known:
            seen[image] = dataclasses.replace(image, features=known)
        else:
            missing.append(image)
    for images in ([image] for image in missing) if store else _portions(missing):
        pixels = torch.cat([image.patches for image in images]).to(model.device)
        grids = torch.tensor([image.grid_thw for image in images], device=model.device)
        for image, depths in zip(images, _run_tower(model, pixels, grids), strict=True):
            features = tuple(depth.cpu() for depth in depths)
            seen[image] = dataclasses.replace(image, features=features)
            if store:
                store.keep(entries[image], features)
    return [dataclasses.replace(prompt, images=tuple(seen[image] for image in prompt.images)) for prompt in prompts]


def _portions(images: Sequence[EncodedImage]) -> Iterator[list[EncodedImage]]:
    """Images in order, as many at a time as ``PATCHES_AT_ONCE`` allows, at least one."""
    held, patches = [], 0
    for image in images:
        if held and patches + len(image.patches) > PATCHES_AT_ONCE:
            yield held
            held, patches = [], 0
        held.append(image)
        patches += len(image.patches)
    if held:
        yield held


def _run_tower(model: Any, pixel_values: Any, grids_thw: Any) -> list[tuple[torch.Tensor, ...]]:
    """Of each image the tower's output and, in Qwen3-VL, that of several depths, [merged patches, hidden] each."""
    seen = model.model.get_image_features(pixel_values, grids_thw, return_dict=True)
    merged = int(model.config.vision_config.spatial_merge_size) ** 2
    expected = (grids_thw.prod(-1) // merged).tolist()
    found = [feature.shape[0] for feature in seen.pooler_output]
    if found != expected:
        raise ValueError(f"vision tower: expected {expected} features of the images of the batch, got {found}")
    deeper = seen.deepstack_features if "deepstack_features" in seen else ()
    return list(zip(seen.pooler_output, *deeper, strict=True))
