"""Features of a frozen vision tower on disk, so that no epoch and no later run looks at an image again.

An entry is found by the SHA-256 of the image's patches as the processor cut them (so by pixels and processor), in a
folder named by that of the tower's weights, settings and arithmetic (precision, kind of device, versions): another
picture, another size in pixels, another checkpoint or another precision is another entry. Several runs may share a
folder. Hashing takes about a second for a gigabyte of float32 patches.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import time
import uuid
from pathlib import Path
from typing import Any

import torch

import geor1
from geor1.models.encoding import EncodedImage

SUBFOLDER = "geor1_features"  # nothing else is deleted to make room
ABANDONED_S = 3600.0  # a half-written file this old belongs to no living run
logger = logging.getLogger(__name__)


class FeatureStore:
    """A folder of features, the least recently used of which leave when it grows beyond its cap.

    Args:
        folder: Features are kept in a folder of their own in it; made if missing.
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
        self._root = Path(folder) / SUBFOLDER
        self._folder = self._root / _tower_key(model, dtype)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._limit = limit_bytes
        self._held = sum(size for _, size, _ in self._files())

    def entry(self, image: EncodedImage) -> Path:
        """Where the features of an image lie, or will."""
        digest = hashlib.sha256(repr((image.grid_thw, tuple(image.patches.shape), str(image.patches.dtype))).encode())
        digest.update(image.patches.contiguous().view(torch.uint8).numpy())
        return self._folder / f"{digest.hexdigest()}.safetensors"

    def find(self, path: Path) -> tuple[torch.Tensor, ...] | None:
        """Features at an entry, one tensor a depth, or None; what cannot be read is removed, with a warning."""
        from safetensors import SafetensorError
        from safetensors.torch import load

        try:
            held = load(path.read_bytes())
        except FileNotFoundError:  # never there, or another run made room just now
            return None
        except SafetensorError as error:
            logger.warning("%s: removed, it cannot be read (%s); its image is looked at again", path, error)
            path.unlink(missing_ok=True)
            return None
        with contextlib.suppress(OSError):  # gone since, or another user's
            os.utime(path)  # the time of last use, by which the cap chooses
        return tuple(held[f"depth{depth}"] for depth in range(len(held)))

    def keep(self, path: Path, features: tuple[torch.Tensor, ...]) -> None:
        """Write features to an entry, whole or not at all."""
        from safetensors.torch import save_file

        partial = path.with_name(f"{path.stem}.{uuid.uuid4().hex}.partial")
        try:
            save_file({f"depth{depth}": value.contiguous() for depth, value in enumerate(features)}, partial)
            self._held += partial.stat().st_size
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
        if self._held > self._limit:
            self._make_room()

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
            with contextlib.suppress(PermissionError):  # another user's, for whom it counts as well
                path.unlink(missing_ok=True)
                self._held -= size


def _tower_key(model: Any, dtype: torch.dtype) -> str:
    config = model.config.vision_config
    arithmetic = (dtype, model.device.type, config._attn_implementation, torch.__version__, geor1.__version__)
    digest = hashlib.sha256(f"{arithmetic} {config.to_json_string()}".encode())
    for name, weight in sorted(model.model.visual.state_dict().items()):
        digest.update(f"{name} {weight.dtype} {tuple(weight.shape)}".encode())
        digest.update(weight.detach().contiguous().cpu().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()
