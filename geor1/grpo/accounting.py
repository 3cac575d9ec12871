"""Where an optimiser step's time goes, how much arithmetic it is, and how near that comes to what a machine can do."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

PHASES = (
    "data",
    "rollout",
    "rewards",
    "reference",
    "forward",
    "backward",
    "optimiser",
    "held_out",
    "saving",
    "other",
)


class PhaseClock:
    """Splits wall time into phases without gaps: at every moment exactly one phase, the innermost, is charged.

    Args:
        device: Work queued on a CUDA device is waited for when the phase changes, so that it is charged to the phase
            that queued it.
    """

    def __init__(self, device: torch.device | None = None) -> None:
        self._wait = device is not None and device.type == "cuda"
        self._current = "other"
        self._since = time.perf_counter()
        self._spent = dict.fromkeys(PHASES, 0.0)

    def switch(self, phase: str) -> str:
        """Charge what follows to ``phase``; returns the phase charged until now."""
        if phase not in self._spent:
            raise ValueError(f"phase: expected one of {PHASES}, got {phase!r}")
        if self._wait:
            import torch

            torch.cuda.synchronize()
        now = time.perf_counter()
        self._spent[self._current] += now - self._since
        before, self._current, self._since = self._current, phase, now
        return before

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Charge the body to ``name``, then go back to the phase around it."""
        before = self.switch(name)
        try:
            yield
        finally:
            self.switch(before)

    def lap(self) -> dict[str, float]:
        """Seconds of each phase since the last lap, as ``<phase>_s``; their sum is the wall time between the laps."""
        self.switch(self._current)
        spent = {f"{name}_s": round(seconds, 5) for name, seconds in self._spent.items()}
        self._spent = dict.fromkeys(PHASES, 0.0)
        return spent


@dataclasses.dataclass(frozen=True, kw_only=True)
class Work:
    """What one step computes, as counted while it runs; sums over its prompts and completions.

    Attributes:
        prompt_tokens: Prompt tokens, each prompt once.
        prompt_pairs: Pairs of prompt tokens that attend, sum of P (P + 1) / 2.
        patches: Image patches, each image once a prompt; found in a feature store, too, so that a run's trace does not
            depend on what is stored (the bound of sampling is then too high).
        vision_pairs_full: Pairs of patches within images, and
        vision_pairs_window: within attention windows.
        completion_tokens: Completion tokens, each of which is predicted.
        read_tokens: Those that the model reads: all but the last of each completion.
        completion_pairs: Pairs in which a completion token attends: its prompt and its own past.
    """

    prompt_tokens: int = 0
    prompt_pairs: int = 0
    patches: int = 0
    vision_pairs_full: int = 0
    vision_pairs_window: int = 0
    completion_tokens: int = 0
    read_tokens: int = 0
    completion_pairs: int = 0

    def __add__(self, other: Work) -> Work:
        names = [field.name for field in dataclasses.fields(self)]
        return Work(**{name: getattr(self, name) + getattr(other, name) for name in names})


def count_work(
    prompt_tokens: int,
    grids_thw: Sequence[tuple[int, int, int]],
    completion_tokens: Sequence[int],
    *,
    window_patches: int = 0,
) -> Work:
    """The work of one prompt and its completions when everything shared runs once.

    Args:
        prompt_tokens: P, image tokens included.
        grids_thw: Patch grid of each image.
        completion_tokens: Length of each of the G completions.
        window_patches: Side of a vision attention window in patches; 0 where vision attention has no windows.
    """
    areas = [time_ * height * width for time_, height, width in grids_thw]
    windows = 0
    for time_, height, width in grids_thw:
        tall, wide = (_cut(side, window_patches) for side in (height, width))
        windows += time_ * sum((a * b) ** 2 for a in tall for b in wide)
    # The last token of a completion is predicted and predicts nothing.
    read = [max(0, length - 1) for length in completion_tokens]
    return Work(
        prompt_tokens=prompt_tokens,
        prompt_pairs=prompt_tokens * (prompt_tokens + 1) // 2,
        patches=sum(areas),
        vision_pairs_full=sum(area**2 for area in areas),
        vision_pairs_window=windows,
        completion_tokens=sum(completion_tokens),
        read_tokens=sum(read),
        completion_pairs=sum(length * prompt_tokens + length * (length + 1) // 2 for length in read),
    )


def _cut(side: int, window: int) -> list[int]:
    """Sides of the windows along one side of an image."""
    if not window:
        return [side]
    return [window] * (side // window) + ([side % window] if side % window else [])


@dataclasses.dataclass(frozen=True, kw_only=True)
class CostModel:
    """Floating-point operations of a Qwen-VL model's parts (two a multiplication with addition).

    Attributes:
        per_token: Linear layers of the language model, one token.
        per_pair: Attention of the language model over all layers, one pair of tokens that attend.
        per_prediction: Output head, one predicted token.
        per_patch: Linear layers of the vision tower, one patch (projector included).
        per_vision_pair_full: Attention of the layers that see the whole image, one pair of patches, and
        per_vision_pair_window: of the layers that see a window.
        weight_bytes: Weights that every decoding pass reads.
        window_patches: Side of a vision attention window in patches; 0 for none.
    """

    per_token: float
    per_pair: float
    per_prediction: float
    per_patch: float
    per_vision_pair_full: float
    per_vision_pair_window: float
    weight_bytes: float
    window_patches: int

    def vision(self, work: Work) -> float:
        """Forward pass of the vision tower."""
        return (
            self.per_patch * work.patches
            + self.per_vision_pair_full * work.vision_pairs_full
            + self.per_vision_pair_window * work.vision_pairs_window
        )

    def forward(self, work: Work) -> float:
        """One pass over prompts and completions: images once, prompts once, each completion once."""
        return self.vision(work) + self.language(work)

    def language(self, work: Work) -> float:
        """Prompts and completions through the language model and the head."""
        return self.prefill(work) + self.completions(work)

    def prefill(self, work: Work) -> float:
        """Prompts through the language model."""
        return self.per_token * work.prompt_tokens + self.per_pair * work.prompt_pairs

    def completions(self, work: Work) -> float:
        """Completions through the language model and the head."""
        return (
            self.per_token * work.read_tokens
            + self.per_prediction * work.completion_tokens
            + self.per_pair * work.completion_pairs
        )


def cost_model(model: Any) -> CostModel:
    """Read the costs off a model's layers.

    Args:
        model: A Qwen-VL ``ForConditionalGeneration``, adapters included if it has any.
    """
    from torch import nn

    language, vision = model.model.language_model, model.model.visual
    text, seen = model.config.get_text_config(), model.config.vision_config
    head_size = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    linear = _weights(language, nn.Linear)
    held = sum(_bytes(layer.weight) for layer in language.modules() if isinstance(layer, nn.Linear))
    width = next(module for module in vision.blocks[0].modules() if isinstance(module, nn.Linear)).in_features
    whole = getattr(seen, "fullatt_block_indexes", None)
    full_layers = len(vision.blocks) if whole is None else len(whole)
    merged = [module for name, module in vision.named_children() if "merger" in name]
    per_merged = sum(_weights(module, nn.Linear) for module in merged)
    return CostModel(
        per_token=2.0 * linear,
        per_pair=4.0 * text.num_attention_heads * head_size * text.num_hidden_layers,
        per_prediction=2.0 * model.lm_head.weight.numel(),
        per_patch=2.0
        * (
            _weights(vision.blocks, nn.Linear)
            + _weights(vision.patch_embed, (nn.Linear, nn.Conv3d))
            + per_merged / seen.spatial_merge_size**2
        ),
        per_vision_pair_full=4.0 * width * full_layers,
        per_vision_pair_window=4.0 * width * (len(vision.blocks) - full_layers),
        weight_bytes=float(held + _bytes(model.lm_head.weight)),
        window_patches=0 if whole is None else seen.window_size // seen.patch_size,
    )


def _weights(module: Any, kinds: Any) -> int:
    return sum(_elements(layer) for layer in module.modules() if isinstance(layer, kinds))


def _elements(layer: Any) -> int:
    """Weights of a layer; those of a quantised one lie several to an element."""
    if hasattr(layer, "in_features"):
        return layer.in_features * layer.out_features
    return layer.weight.numel()


def _bytes(tensor: Any) -> int:
    return tensor.numel() * tensor.element_size()


@dataclasses.dataclass(frozen=True)
class Peak:
    """What the machine does at best, measured.

    Attributes:
        flops_per_s: Large matrix product, floating-point operations a second.
        bytes_per_s: Copying a large array, bytes read and written a second.
    """

    flops_per_s: float
    bytes_per_s: float


def measure_peak(device: torch.device, dtype: torch.dtype) -> Peak:
    """Time a large matrix product and a large copy, best of five each (a tenth of a second on two CPU cores).

    Args:
        device: Where to measure.
        dtype: Type of the matrix product.
    """
    import torch

    side = 8192 if device.type == "cuda" else 1024
    square = torch.ones(side, side, device=device, dtype=dtype)  # random numbers would come out of the run's stream
    array = torch.empty(1 << (30 if device.type == "cuda" else 25), dtype=torch.uint8, device=device)
    target = torch.empty_like(array)

    def best(call: Any) -> float:
        """Shortest of five runs in seconds, the first not counted."""
        took = []
        for _ in range(6):
            clock = time.perf_counter()
            call()
            if device.type == "cuda":
                torch.cuda.synchronize()
            took.append(time.perf_counter() - clock)
        return min(took[1:])

    return Peak(2 * side**3 / best(lambda: square @ square), 2 * array.numel() / best(lambda: target.copy_(array)))


def bounds(
    cost: CostModel,
    peak: Peak,
    rollout: Work,
    scored: Work,
    *,
    decode_steps: int,
    references: int = 0,
    trains_vision: float = 1.0,
    trains_language: float = 1.0,
) -> dict[str, float]:
    """Seconds that the arithmetic of each phase takes at the machine's peak; real phases take longer.

    Args:
        cost: Of the model.
        peak: Of the machine.
        rollout: Work of sampling.
        scored: Work of a scoring pass (groups left out are not in it).
        decode_steps: Decoding passes, each of which reads all weights at least once.
        references: Scoring passes without gradient (reference model, old policy).
        trains_vision: Share of the vision tower's weights that train; no gradient goes through it at 0.
        trains_language: Share of the language model's weights that train; gradients go through it in any case.

    Returns:
        Seconds by phase: ``rollout``, ``reference``, ``forward``, ``backward``.
    """
    read = decode_steps * cost.weight_bytes / peak.bytes_per_s
    decode = max(cost.completions(rollout) / peak.flops_per_s, read)
    backward = cost.language(scored) * (1 + trains_language)
    if trains_vision:  # down to where the lowest trained weight stands, which may be near its top
        backward += cost.vision(scored) * (1 + trains_vision if trains_vision == 1 else trains_vision)
    return {
        "rollout": (cost.vision(rollout) + cost.prefill(rollout)) / peak.flops_per_s + decode,
        "reference": references * cost.forward(scored) / peak.flops_per_s,
        "forward": cost.forward(scored) / peak.flops_per_s,
        "backward": backward / peak.flops_per_s,
    }
