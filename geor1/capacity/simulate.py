"""Peak memory of a scoring pass, forward and backward, read off the real code running on tensors without data.

PyTorch's fake tensors have shapes, types and storages with sizes, but no memory behind them. The model is built of them
at its full size and :func:`geor1.grpo.prefix.score_completions` runs on it as it does in training; what is alive at
each operation is summed. So there is no formula of activations to fall behind the code: checkpointing, chunked
logits, adapters, shared prefixes and every model family are counted as they are. Seven billion parameters take ten
seconds.

What it does not see: workspaces inside a kernel, what the allocator loses by fragmentation, and FlexAttention (on CUDA)
in place of the fused CPU calls, which copy a prompt's keys for query heads that share them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import weakref
from collections.abc import Iterable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from geor1.grpo.prefix import score_completions
from geor1.models.encoding import PromptBatch
from geor1.models.loading import FAMILIES
from geor1.models.speed import use_fast_vision
from geor1.models.training import lora_settings

PIXELS_A_PATCH = 3 * 2  # colours, and the two frames that a still picture is repeated for


class LiveBytes(TorchDispatchMode):
    """Bytes of the tensors that operations inside the block made and that are alive, and their highest sum.

    Args:
        held: Tensors not to be counted: weights, and gradients that are there already.
    """

    def __init__(self, held: Iterable[torch.Tensor] = ()) -> None:
        super().__init__()
        self.live = self.peak = 0
        self._watched: dict[int, weakref.ref[Any]] = {}
        self._held = {tensor.untyped_storage()._cdata for tensor in held}

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = function(*args, **(kwargs or {}))
        for value in tree_leaves(made):
            if isinstance(value, torch.Tensor):
                self._watch(value.untyped_storage())
        return made

    def _watch(self, storage: Any) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._held or key in self._watched:
            return

        def gone(_: Any) -> None:
            """Called when the last tensor on the storage goes."""
            self.live -= size
            del self._watched[key]

        self._watched[key] = weakref.ref(storage, gone)
        self.live += size
        self.peak = max(self.peak, self.live)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pass:
    """What one forward and backward pass of one device looks at.

    Attributes:
        prompts: Prompts, all of one shape.
        text_tokens: Tokens of a prompt that are not pictures.
        grids_thw: Patch grid of each picture of a prompt, as (time, height, width).
        group: Completions a prompt.
        completion_tokens: Tokens of each completion.
        logits_chunk_tokens: As in :class:`geor1.grpo.config.GrpoConfig`.
    """

    prompts: int
    text_tokens: int
    grids_thw: tuple[tuple[int, int, int], ...]
    group: int
    completion_tokens: int
    logits_chunk_tokens: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Setup:
    """How the model is held while it trains.

    Attributes:
        weights: Type of the weights that compute.
        autocast: Whether matrix products are in bfloat16 beside weights of another type.
        lora_rank: Rank of adapters; 0 trains the weights themselves.
        freeze_vision: Whether the vision tower is frozen.
        features: Whether a frozen tower's features are there before the pass, from sampling or from a store.
        checkpointing: Whether layers are computed again in the backward pass.
    """

    weights: torch.dtype = torch.float32
    autocast: bool = False
    lora_rank: int = 0
    freeze_vision: bool = False
    features: bool = False
    checkpointing: bool = False


def build(config: Any, setup: Setup, mode: Any = None) -> Any:
    """A model ready for a pass.

    Args:
        config: A Qwen-VL config.
        setup: How it is held.
        mode: A ``FakeTensorMode`` for a model without memory, None for a real one.

    Returns:
        The plain model, with adapters injected if there are any, in training mode.
    """
    import transformers

    model_class = getattr(transformers, FAMILIES[config.model_type][1])
    with torch.device("meta" if mode else "cpu"):
        model = model_class._from_config(config, dtype=setup.weights)
        model.tie_weights()
        if setup.lora_rank:
            from peft import get_peft_model

            model = get_peft_model(model, lora_settings(setup.lora_rank, 2 * setup.lora_rank)).get_base_model()
            for parameter in model.parameters():
                if parameter.requires_grad:  # as TRL does on quantised weights, which are the ones in half precision
                    parameter.data = parameter.data.to(setup.weights)
    if mode:
        _put_in_place(model, mode)
    if setup.freeze_vision:
        model.model.visual.requires_grad_(False)
    if setup.checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    return use_fast_vision(model.train())


def _put_in_place(model: Any, mode: Any) -> None:
    """Exchange a model's meta tensors for fake ones on the CPU; what is tied stays so."""
    with mode:
        fakes: dict[int, torch.Tensor] = {}
        for module in model.modules():
            for name, value in module._parameters.items():
                if value is not None:
                    if id(value) not in fakes:
                        fakes[id(value)] = torch.nn.Parameter(
                            torch.zeros(value.shape, dtype=value.dtype), requires_grad=value.requires_grad
                        )
                    module._parameters[name] = fakes[id(value)]
            for name, value in module._buffers.items():
                if value is not None:
                    module._buffers[name] = torch.zeros(value.shape, dtype=value.dtype)
    if hasattr(model.model.language_model, "_deepstack_process"):
        model.model.language_model._deepstack_process = _add_by_place


def _add_by_place(hidden: torch.Tensor, mask: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
    """Qwen3-VL's own, which takes a mask; a fake tensor asked by a mask cannot say how many places there are."""
    places = mask.nonzero(as_tuple=True)
    hidden = hidden.clone()
    hidden[places] = hidden[places] + features
    return hidden


def run_pass(model: Any, shape: Pass, setup: Setup, mode: Any = None) -> None:
    """Score a batch of the shape, forward and backward.

    Args:
        model: From :func:`build`.
        shape: What is scored.
        setup: As it was built with.
        mode: As it was built with.
    """
    batch = _batch(model, shape, setup, mode)
    rows = shape.prompts * shape.group
    tokens = torch.zeros(rows, shape.completion_tokens, dtype=torch.long)
    with torch.autocast("cpu", torch.bfloat16, enabled=setup.autocast):
        scores = score_completions(
            model,
            batch,
            tokens,
            torch.ones_like(tokens),
            with_entropy=True,
            logits_chunk_tokens=shape.logits_chunk_tokens,
        )
    scores.log_probs.sum().backward()


def pass_bytes(config: Any, shape: Pass, setup: Setup) -> int:
    """Most bytes alive at once during a pass, beside the weights and a whole set of gradients.

    Args:
        config: A Qwen-VL config, of any size.
        shape: What is scored.
        setup: How the model is held.
    """
    from torch._subclasses.fake_tensor import FakeTensorMode

    mode = FakeTensorMode(allow_non_fake_inputs=True)
    model = build(config, setup, mode)
    with LiveBytes(prepare_gradients(model, mode)) as counted:
        run_pass(model, shape, setup, mode)
    return counted.peak


def prepare_gradients(model: Any, mode: Any = None) -> list[torch.Tensor]:
    """Weights, buffers and gradients, these made now: with several passes a step they are there from the second on.

    Args:
        model: From :func:`build`.
        mode: As it was built with.
    """
    held = [*model.parameters(), *model.buffers()]
    with mode or contextlib.nullcontext():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.grad = torch.zeros_like(parameter)
                held.append(parameter.grad)
    return held


def _batch(model: Any, shape: Pass, setup: Setup, mode: Any) -> PromptBatch:
    """Prompts of the shape: pictures first, then text."""
    config, vision = model.config, model.config.vision_config
    merged = vision.spatial_merge_size**2
    slots = [time * height * width // merged for time, height, width in shape.grids_thw]
    ids, kinds = [], []
    for count in slots:
        ids += [config.vision_start_token_id, *[config.image_token_id] * count, config.vision_end_token_id]
        kinds += [0, *[1] * count, 0]
    ids += [1] * shape.text_tokens
    kinds += [0] * shape.text_tokens
    grids = torch.tensor(list(shape.grids_thw) * shape.prompts)
    whole: dict[str, Any] = {"pixel_values": None}
    with mode or contextlib.nullcontext():
        if setup.features:
            depths = 1 + len(getattr(vision, "deepstack_visual_indexes", ()))
            dtype = torch.bfloat16 if setup.autocast else setup.weights
            whole["features"] = tuple(
                tuple(torch.zeros(count, vision.out_hidden_size, dtype=dtype) for _ in range(depths))
                for count in slots * shape.prompts
            )
        else:
            patches = sum(time * height * width for time, height, width in shape.grids_thw) * shape.prompts
            whole["pixel_values"] = torch.zeros(patches, PIXELS_A_PATCH * vision.patch_size**2)
    return PromptBatch(
        input_ids=torch.tensor([ids] * shape.prompts),
        attention_mask=torch.ones(shape.prompts, len(ids), dtype=torch.long),
        mm_token_type_ids=torch.tensor([kinds] * shape.prompts),
        distinct_grid_thw=grids,
        image_index=torch.arange(len(grids)),
        **whole,
    )
