"""Turn prompts and images into the tensors that a Qwen-VL model reads, each image decoded and normalised once.

The results are bit for bit what the processor gives for the same prompt (tested); they are made here because the
processor repeats its work for every copy of a prompt, while groups of completions share theirs.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch
    from PIL import Image
    from transformers.processing_utils import ProcessorMixin

IMAGE_MARKER = "<image>"
IMAGE_TOKEN = "<|image_pad|>"
# Prompts that one pass of the model reads together have at most this many tokens, padding included. At 7B in bfloat16
# keys and values of that many take 3.8 GB, and the states of one feed-forward layer 2.5 GB; those of 64 prompts of
# 4,090 tokens (tiles of 750 px) would take 15 GB and 10 GB.
PROMPT_TOKENS_AT_ONCE = 1 << 16


class ImageReadError(ValueError):
    """An image file that is missing, cut short or no image."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class EncodedImage:
    """One image; prompts that show the same image may hold the same object, and a batch then carries it once.

    Attributes:
        patches: Normalised patches, float32 [patches, patch size].
        grid_thw: Patch grid as (time, height, width).
        features: What a frozen vision tower makes of it, one tensor [merged patches, hidden] a depth (Qwen3-VL feeds
            several); empty if that is not known. See :func:`geor1.models.vision.remember_features`.
    """

    patches: torch.Tensor
    grid_thw: tuple[int, int, int]
    features: tuple[torch.Tensor, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class EncodedPrompt:
    """One prompt as token ids and images.

    Attributes:
        input_ids: Token ids, one ``<|image_pad|>`` for each merged patch; length P.
        images: Its images, in order.
    """

    input_ids: list[int]
    images: tuple[EncodedImage, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class PromptBatch:
    """B prompts, left-padded to a common length P.

    Attributes:
        input_ids: [B, P].
        attention_mask: [B, P], 0 on padding.
        mm_token_type_ids: [B, P], 1 on image tokens. Without it M-RoPE silently becomes one-dimensional.
        pixel_values: Patches of the distinct images in order of first appearance, float32 [patches, patch size], or
            None if no prompt has an image or ``features`` take their place.
        distinct_grid_thw: Their patch grids, int64 [distinct images, 3] as (time, height, width), or None.
        image_index: For each image of all prompts in order, which distinct image it is, int64 [images], or None.
        features: Those of the distinct images, if all of them carry some.
    """

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    mm_token_type_ids: torch.Tensor
    pixel_values: torch.Tensor | None
    distinct_grid_thw: torch.Tensor | None
    image_index: torch.Tensor | None
    features: tuple[tuple[torch.Tensor, ...], ...] = ()

    @property
    def image_grid_thw(self) -> torch.Tensor | None:
        """Patch grid of every image of all prompts in order, int64 [images, 3], or None."""
        return None if self.distinct_grid_thw is None else self.distinct_grid_thw[self.image_index]

    @property
    def padded(self) -> bool:
        """Whether any prompt is shorter than P."""
        return not bool(self.attention_mask.all())

    def to(self, device: torch.device | str) -> PromptBatch:
        """The same batch on another device."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        moved = {name: value.to(device) for name, value in values.items() if hasattr(value, "to")}
        features = tuple(tuple(depth.to(device) for depth in depths) for depths in self.features)
        return dataclasses.replace(self, **moved, features=features)


def read_image(path: Path | str) -> Image.Image:
    """Read an image file as RGB pixels; metadata (EXIF with its GPS position) stays behind.

    Raises:
        ImageReadError: The file is missing, cut short, or not an image.
    """
    from PIL import Image

    with _opened(path) as file:
        file.load()
        return Image.fromarray(np.asarray(file.convert("RGB")))


def size_px(image: Image.Image | Path | str) -> tuple[int, int]:
    """Width and height of a picture, or of an image file by its header.

    Raises:
        ImageReadError: As :func:`read_image`; nothing is decoded, so a file cut short is not noticed.
    """
    if not isinstance(image, (str, Path)):
        return image.size
    with _opened(image) as file:
        return file.size


@contextlib.contextmanager
def _opened(path: Path | str) -> Iterator[Image.Image]:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as file:
            yield file
    except FileNotFoundError as error:
        raise ImageReadError(f"{path}: no such image; paths in a JSONL file are relative to its folder") from error
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise ImageReadError(f"{path}: cannot be read as an image ({error}); was the copy cut short?") from error


def portions(lengths: Sequence[int], most: int, tokens: int = PROMPT_TOKENS_AT_ONCE) -> Iterator[range]:
    """Cut prompts in order into batches that fit into memory.

    Args:
        lengths: Tokens of each prompt.
        most: Prompts of a batch at most.
        tokens: Tokens of a batch at most, all prompts padded to the longest; one prompt alone may have more.

    Yields:
        Places of the prompts of one batch.

    >>> list(portions([10, 10, 30, 10], most=3, tokens=60))
    [range(0, 2), range(2, 4)]
    """
    first, longest = 0, 0
    for place, length in enumerate(lengths):
        longest = max(longest, length)
        if place - first == most or (place > first and (place - first + 1) * longest > tokens):
            yield range(first, place)
            first, longest = place, length
    if lengths:
        yield range(first, len(lengths))


class PatchCache:
    """Image files as patches, each file decoded once while it stays in the cache.

    Patches are kept as bytes (an eighth of the model's input) and normalised on the way out by a table that is read
    off the image processor itself. A processor that resizes by Pillow makes bytes of bytes, which is done here; any
    other resizes for itself, to bytes if it can.

    Args:
        image_processor: A Qwen-VL image processor.
        limit_bytes: Patches kept; the least recently used leave first.
    """

    def __init__(self, image_processor: Any, *, limit_bytes: int = 1 << 30) -> None:
        self._processor = image_processor
        self._patch = int(image_processor.patch_size)
        self._merge = int(image_processor.merge_size)
        self._repeats = int(image_processor.temporal_patch_size)
        self._limit = limit_bytes
        self._held = 0
        self._stored: collections.OrderedDict[str, tuple[np.ndarray, tuple[int, int, int]]] = collections.OrderedDict()
        self._table = self._read_table()
        self._by_pillow = type(image_processor).__name__.endswith("Pil") and image_processor.do_resize

    def patches(self, image: Image.Image | Path | str) -> tuple[np.ndarray, tuple[int, int, int]]:
        """Normalised patches of one image.

        Args:
            image: A picture (not cached) or the path of an image file (cached).

        Returns:
            float32 [patches, channels * time * height * width] and the grid (time, height, width) in patches.
        """
        if not isinstance(image, (str, Path)):
            return self._finish(*self._cut(image))
        key = str(image)
        if key in self._stored:
            self._stored.move_to_end(key)
            return self._finish(*self._stored[key])
        cut, grid = self._cut(read_image(image))
        self._stored[key] = (cut, grid)
        self._held += cut.nbytes
        while self._held > self._limit and len(self._stored) > 1:
            self._held -= self._stored.popitem(last=False)[1][0].nbytes
        return self._finish(cut, grid)

    def count_patches(self, width_px: int, height_px: int) -> int:
        """Patches of an image of this size, after the processor's resizing."""
        width, height = self._resized_px(width_px, height_px)
        return (height // self._patch) * (width // self._patch)

    def _resized_px(self, width_px: int, height_px: int) -> tuple[int, int]:
        """Width and height that the processor resizes to."""
        from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

        size = self._processor.size
        height, width = smart_resize(
            height_px,
            width_px,
            factor=self._patch * self._merge,
            min_pixels=size["shortest_edge"],
            max_pixels=size["longest_edge"],
        )
        return width, height

    def _cut(self, image: Image.Image) -> tuple[np.ndarray, tuple[int, int, int]]:
        """Byte patches [n, 3, side, side]; the processor's own float patches if it resizes to fractions of a level."""
        image = image.convert("RGB")
        wanted = self._resized_px(*image.size)
        if wanted != image.size and self._by_pillow:
            image = image.resize(wanted, self._processor.resample)
        if wanted == image.size:
            width, height = wanted
            return self._cut_bytes(np.asarray(image)), (1, height // self._patch, width // self._patch)
        done = self._processor(images=[image], do_rescale=False, do_normalize=False, return_tensors="np")
        grid: tuple[int, int, int] = tuple(int(side) for side in done["image_grid_thw"][0])  # type: ignore[assignment]
        levels = np.asarray(done["pixel_values"]).reshape(-1, 3, self._repeats, self._patch, self._patch)[:, :, 0]
        cut = levels.astype(np.uint8)
        if np.array_equal(cut, levels):
            return cut, grid
        return self._processor(images=[image], return_tensors="np")["pixel_values"], grid

    def _cut_bytes(self, pixels: np.ndarray) -> np.ndarray:
        side, merge = self._patch, self._merge
        rows, columns = pixels.shape[0] // side // merge, pixels.shape[1] // side // merge
        blocks = pixels.reshape(rows, merge, side, columns, merge, side, 3)
        return np.ascontiguousarray(blocks.transpose(0, 3, 1, 4, 6, 2, 5)).reshape(-1, 3, side, side)

    def _finish(self, cut: np.ndarray, grid: tuple[int, int, int]) -> tuple[np.ndarray, tuple[int, int, int]]:
        if cut.dtype != np.uint8:
            return cut, grid
        values = np.empty((cut.shape[0], 3, self._repeats, self._patch, self._patch), np.float32)
        for channel in range(3):
            values[:, channel] = self._table[channel].take(cut[:, channel])[:, None]
        return values.reshape(cut.shape[0], -1), grid

    def _read_table(self) -> np.ndarray:
        """float32 [3, 256]: what the processor makes of each byte of each channel."""
        from PIL import Image

        side = self._patch * self._merge
        levels = (np.arange(side * side) % 256).astype(np.uint8).reshape(side, side)
        pixels = np.repeat(levels[:, :, None], 3, axis=2)
        done = self._processor(images=[Image.fromarray(pixels)], do_resize=False, return_tensors="np")["pixel_values"]
        values = np.asarray(done).reshape(-1, 3, self._repeats, self._patch, self._patch)[:, :, 0]
        cut = self._cut_bytes(pixels)
        table = np.empty((3, 256), np.float32)
        for channel in range(3):
            table[channel][cut[:, channel]] = values[:, channel]
        return table


class PromptEncoder:
    """Encodes prompts with ``<image>`` markers for a processor; see :class:`PatchCache` for what is remembered.

    Args:
        processor: From :func:`geor1.models.loading.load_processor`.
        limit_bytes: As in :class:`PatchCache`.
    """

    def __init__(self, processor: ProcessorMixin, *, limit_bytes: int = 1 << 30) -> None:
        self.tokenizer = processor.tokenizer
        self.image_token_id = int(self.tokenizer.convert_tokens_to_ids(IMAGE_TOKEN))
        self.pad_token_id = int(self.tokenizer.pad_token_id)
        self.patches_per_token = int(processor.image_processor.merge_size) ** 2
        self._processor = processor
        self.patch_cache = PatchCache(processor.image_processor, limit_bytes=limit_bytes)
        self._chat_ids = functools.lru_cache(maxsize=4096)(self._tokenise_chat)

    def encode(self, prompt: str, images: Sequence[Image.Image | Path | str]) -> EncodedPrompt:
        """Encode one user turn, ready for the assistant's answer; arguments and errors as :meth:`encode_all`."""
        return self.encode_all([prompt], [images])[0]

    def encode_all(
        self, prompts: Sequence[str], images: Sequence[Sequence[Image.Image | Path | str]]
    ) -> list[EncodedPrompt]:
        """Encode user turns, each ready for the assistant's answer; an image that several show is encoded once.

        Args:
            prompts: User texts with one ``<image>`` marker an image.
            images: For each prompt its pictures or paths, in the order of the markers. The same picture object, or the
                same path, is the same image.

        Raises:
            ValueError: Markers and images of a prompt differ in number.
            ImageReadError: An image file cannot be read.
        """
        done: dict[int | str, EncodedImage] = {}
        return [self._encode(prompt, shown, done) for prompt, shown in zip(prompts, images, strict=True)]

    def count_tokens(self, prompt: str, sizes_px: Sequence[tuple[int, int]]) -> int:
        """Tokens that :meth:`encode` would give, from the images' sizes alone.

        Args:
            prompt: User text with one ``<image>`` marker an image.
            sizes_px: (width, height) of each image.

        Raises:
            ValueError: Markers and images differ in number.
        """
        chat = self._chat_ids(prompt)
        slots = self._check_slots(prompt, chat, len(sizes_px))
        patches = (self.patch_cache.count_patches(width, height) for width, height in sizes_px)
        return len(chat) - slots + sum(count // self.patches_per_token for count in patches)

    def stack(self, prompts: Sequence[EncodedPrompt]) -> PromptBatch:
        """Stack prompts into one left-padded batch."""
        import torch

        longest = max(len(prompt.input_ids) for prompt in prompts)
        ids = torch.full((len(prompts), longest), self.pad_token_id, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, prompt in enumerate(prompts):
            ids[row, longest - len(prompt.input_ids) :] = torch.tensor(prompt.input_ids)
            mask[row, longest - len(prompt.input_ids) :] = 1
        shown = [image for prompt in prompts for image in prompt.images]
        distinct = list(dict.fromkeys(shown))
        place = {image: index for index, image in enumerate(distinct)}
        known = bool(shown) and all(image.features for image in distinct)
        return PromptBatch(
            input_ids=ids,
            attention_mask=mask,
            mm_token_type_ids=((ids == self.image_token_id) & mask.bool()).long(),
            pixel_values=torch.cat([image.patches for image in distinct]) if shown and not known else None,
            distinct_grid_thw=torch.tensor([image.grid_thw for image in distinct]) if shown else None,
            image_index=torch.tensor([place[image] for image in shown]) if shown else None,
            features=tuple(image.features for image in distinct) if known else (),
        )

    def _encode(
        self, prompt: str, images: Sequence[Image.Image | Path | str], done: dict[int | str, EncodedImage]
    ) -> EncodedPrompt:
        """Encode one prompt; ``done`` holds the images encoded so far, by path or by the picture's identity."""
        import torch

        chat = self._chat_ids(prompt)
        self._check_slots(prompt, chat, len(images))
        encoded = []
        for image in images:
            key = str(image) if isinstance(image, (str, Path)) else id(image)
            if key not in done:
                patches, grid = self.patch_cache.patches(image)
                done[key] = EncodedImage(patches=torch.from_numpy(patches), grid_thw=grid)
            encoded.append(done[key])
        counts = iter([len(image.patches) // self.patches_per_token for image in encoded])
        ids: list[int] = []
        for token in chat:
            ids.extend([token] * next(counts) if token == self.image_token_id else [token])
        return EncodedPrompt(input_ids=ids, images=tuple(encoded))

    def _check_slots(self, prompt: str, chat: tuple[int, ...], images: int) -> int:
        slots = chat.count(self.image_token_id)
        if slots != images:
            raise ValueError(f"prompt has {slots} {IMAGE_MARKER} markers, got {images} images: {prompt[:80]!r}")
        return slots

    def _tokenise_chat(self, prompt: str) -> tuple[int, ...]:
        from geor1.answers import to_messages

        text = self._processor.apply_chat_template(to_messages(prompt), tokenize=False, add_generation_prompt=True)
        return tuple(self.tokenizer(text, add_special_tokens=False).input_ids)
