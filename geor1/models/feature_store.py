"""Features of a frozen vision tower on disk, so that no epoch and no later run looks at an image again.

An entry is found by the SHA-256 of the image's patches as the processor cut them (so by pixels and processor), in a
folder named by that of the tower's weights, settings and arithmetic: another picture, another size in pixels, another
checkpoint or another precision is another entry. Several runs may share a folder.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
import uuid
from pathlib import Path
from typing import Any

import torch

from geor1.models.encoding import EncodedImage

ABANDONED_S = 3600.0  # a half-written file this old belongs to no living run
logger = logging.getLogger(__name__)


class FeatureStore:
    """A folder of features, the least recently used of which leave when it grows beyond its cap.

    Args:
        folder: Where features are kept; made if missing.
        model: A Qwen-VL ``ForConditionalGeneration`` whose vision tower is frozen.
        dtype: Type that the tower computes in: that of autocast where it is on, else that of the weights.
        limit_bytes: Size of the folder, all towers together.

    Raises:
        ValueError: A weight of the tower trains, projector included: its features would be those of an earlier step.
    """

    def __init__(self, folder: Path | str, model: Any, *, dtype: torch.dtype, limit_bytes: int) -> None:
        trained = [name for name, weight in model.model.visual.named_parameters() if weight.requires_grad]
        if trained:
            raise ValueError(f"vision tower: expected every weight frozen, {len(trained)} train (first: {trained[0]})")
        self._root = Path(folder)
        self._folder = self._root / _tower_key(model, dtype)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._limit = limit_bytes
        self._held = sum(size for _, size, _ in self._files())

    def find(self, image: EncodedImage) -> tuple[torch.Tensor, ...] | None:
        """Features of an image, one tensor a depth, or None; an unreadable entry is removed, with a warning."""
        from safetensors import SafetensorError
        from safetensors.torch import load

        path = self._path(image)
        try:
            held = load(path.read_bytes())
            os.utime(path)  # the time of last use, by which the cap chooses
        except FileNotFoundError:  # never there, or another run made room just now
            return None
        except SafetensorError as error:
            logger.warning("%s: removed, it cannot be read (%s); its image is looked at again", path, error)
            path.unlink(missing_ok=True)
            return None
        return tuple(held[f"depth{depth}"] for depth in range(len(held)))

    def keep(self, image: EncodedImage, features: tuple[torch.Tensor, ...]) -> None:
        """Write the features of an image, whole or not at all."""
        from safetensors.torch import save_file

        path = self._path(image)
        partial = path.with_name(f"{path.stem}.{uuid.uuid4().hex}.partial")
        try:
            save_file({f"depth{depth}": value.contiguous() for depth, value in enumerate(features)}, partial)
            self._held += partial.stat().st_size
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
        if self._held > self._limit:
            self._make_room()

    def _path(self, image: EncodedImage) -> Path:
        digest = hashlib.sha256(repr((image.grid_thw, tuple(image.patches.shape), str(image.patches.dtype))).encode())
        digest.update(image.patches.contiguous().view(torch.uint8).numpy())
        return self._folder / f"{digest.hexdigest()}.safetensors"

    def _files(self) -> list[tuple[float, int, Path]]:
        """(time of last use, bytes, path) of every entry of every tower, longest unused first."""
        found = []
        for path in self._root.glob("*/*"):
            try:
                state = path.stat()
            except FileNotFoundError:  # another run made room
                continue
            if path.suffix == ".safetensors":
                found.append((state.st_mtime, state.st_size, path))
            elif path.suffix == ".partial" and state.st_mtime < time.time() - ABANDONED_S:
                path.unlink(missing_ok=True)
        return sorted(found)

    def _make_room(self) -> None:
        """Delete what was not used for longest, down to nine tenths of the cap; others' files count too."""
        files = self._files()
        self._held = sum(size for _, size, _ in files)
        for _, size, path in files:
            if self._held <= 0.9 * self._limit:
                break
            path.unlink(missing_ok=True)
            self._held -= size


def _tower_key(model: Any, dtype: torch.dtype) -> str:
    digest = hashlib.sha256(f"{dtype} {model.config.vision_config.to_json_string()}".encode())
    for name, weight in sorted(model.model.visual.state_dict().items()):
        digest.update(f"{name} {weight.dtype} {tuple(weight.shape)}".encode())
        digest.update(weight.detach().contiguous().cpu().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()
