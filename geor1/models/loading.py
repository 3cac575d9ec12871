"""Load any Qwen-VL-family model and its processor, from our own folders or from a published checkpoint.

Only safetensors are read and no code of a checkpoint is ever run. Machines without torchvision get a processor without
the video part, which this project never uses.
"""

from __future__ import annotations

import functools
import importlib.util
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel
    from transformers.processing_utils import ProcessorMixin

# The small pretrained base that the package ships.
BASE_MODEL_PATH = Path(__file__).parent / "tiny_base"
# Processor and model classes of transformers, by the model_type in config.json.
FAMILIES: dict[str, tuple[str, str]] = {
    "qwen2_vl": ("Qwen2VLProcessor", "Qwen2VLForConditionalGeneration"),
    "qwen2_5_vl": ("Qwen2_5_VLProcessor", "Qwen2_5_VLForConditionalGeneration"),
    "qwen3_vl": ("Qwen3VLProcessor", "Qwen3VLForConditionalGeneration"),
}


class ModelLoadError(ValueError):
    """A folder or checkpoint name that cannot be loaded; the message says what was expected there."""


@functools.cache
def image_only(processor_class: type) -> type:
    """Derive a processor class that asks for no video processor (the stock one needs torchvision).

    transformers finds the parts of a processor in the signature of its ``__init__``. The class keeps its name, so that
    a saved folder names the stock class.

    Args:
        processor_class: ``Qwen2_5_VLProcessor`` or a sibling.
    """
    from transformers.processing_utils import ProcessorMixin

    class ImageOnly(processor_class):  # type: ignore[misc,valid-type]
        def __init__(
            self, image_processor: Any = None, tokenizer: Any = None, chat_template: Any = None, **_: Any
        ) -> None:
            for name in ("image_pad", "video_pad", "vision_start", "vision_end"):
                token = f"<|{name}|>"
                attribute = name.replace("_pad", "") + "_token"
                setattr(self, attribute, token)
                setattr(self, attribute + "_id", tokenizer.convert_tokens_to_ids(token))
            ProcessorMixin.__init__(self, image_processor, tokenizer, chat_template=chat_template)

    ImageOnly.__name__ = ImageOnly.__qualname__ = processor_class.__name__
    return ImageOnly


def load_model(path: Path | str, *, dtype: str = "float32", quantize: str = "", device: Any = None) -> PreTrainedModel:
    """Load a Qwen-VL-family model.

    Args:
        path: A local folder (ours, or a downloaded one) or a hub name such as ``Qwen/Qwen2.5-VL-7B-Instruct``.
        dtype: ``float32``, ``bfloat16`` or ``float16``; what is stored may differ (the shipped base is float16).
        quantize: ``nf4`` keeps the linear layers of the language model, its head left out, in four bits, computing in
            ``dtype``; empty for none. Source: QLoRA (Dettmers et al. 2023, arXiv 2305.14314).
        device: Where the weights go; None for the CPU.

    Returns:
        The model in evaluation mode, with the faster vision transformer of :mod:`geor1.models.speed`.

    Raises:
        ModelLoadError: The folder is missing, incomplete, of another model family, or without safetensors; or
            ``quantize`` is unknown, or needs a package that is not installed.
    """
    import torch
    import transformers

    from geor1.models.speed import use_fast_vision

    types = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if dtype not in types:
        raise ModelLoadError(f"dtype: expected one of {sorted(types)}, got {dtype!r}")
    source = _source(path)
    if Path(source).is_dir() and not list(Path(source).glob("*.safetensors")):
        raise ModelLoadError(f"{source}: expected weights as *.safetensors, found none; was the run cut short?")
    model_class = getattr(transformers, FAMILIES[_family(source)][1])
    placed: dict[str, Any] = {} if device is None else {"device_map": {"": device}}
    if quantize:
        placed["quantization_config"] = _four_bits(quantize, types[dtype])
    model = model_class.from_pretrained(
        source, dtype=types[dtype], trust_remote_code=False, use_safetensors=True, **placed
    )
    for layer in model.modules() if quantize else ():
        if hasattr(layer, "support_avx512bf16_for_cpu"):
            # Else a CPU repacks weights for good at the first pass without gradients, into a form that has none.
            layer.support_avx512bf16_for_cpu = False
    return use_fast_vision(model.eval())


def load_for_training(path: Path | str, device: torch.device, quantize: str, *, move: bool = True) -> PreTrainedModel:
    """Load a model as the training stages start from it: float32 weights (bfloat16 ones where they stay quantised).

    Args:
        path: As in :func:`load_model`.
        device: Where training runs.
        quantize: As in :func:`load_model`.
        move: Whether whole weights go to ``device`` at once; four-bit ones are made there in any case.

    Raises:
        ModelLoadError: As in :func:`load_model`.
    """
    if not quantize:
        model = load_model(path)
        return model.to(device) if move else model  # type: ignore[arg-type]
    dtype = "float32" if device.type == "cpu" else "bfloat16"
    return load_model(path, dtype=dtype, quantize=quantize, device=device)


def _four_bits(quantize: str, dtype: Any) -> Any:
    """Settings of bitsandbytes; the vision tower stays as it is, so that its features can be kept."""
    if quantize != "nf4":
        raise ModelLoadError(f"quantize: expected 'nf4' or nothing, got {quantize!r}")
    if importlib.util.find_spec("bitsandbytes") is None:
        raise ModelLoadError(
            "quantize='nf4': needs the package bitsandbytes, which is not installed; pip install 'geor1[qlora]', or "
            "set quantize='' (16 bits a weight instead of about 4.5)"
        )
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
        llm_int8_skip_modules=["model.visual", "lm_head"],
    )


def load_processor(path: Path | str) -> ProcessorMixin:
    """Load the processor that belongs to a model: tokenizer, chat template, image processor.

    With torchvision and a checkpoint that configures videos too, the stock ``AutoProcessor`` is used; otherwise the
    image-only subclass with the PIL image processor. On images whose sides are multiples of 28 both give the same
    pixels to 1e-7.

    Args:
        path: As in :func:`load_model`.

    Raises:
        ModelLoadError: As in :func:`load_model`.
    """
    import transformers

    source = _source(path)
    processor_class = getattr(transformers, FAMILIES[_family(source)][0])
    if importlib.util.find_spec("torchvision") is not None and _configures_video(source):
        return _left_padded(transformers.AutoProcessor.from_pretrained(source, trust_remote_code=False))
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    tokenizer = transformers.AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    images = Qwen2VLImageProcessorPil.from_pretrained(source)
    template = _template(source) or tokenizer.chat_template
    return _left_padded(
        image_only(processor_class)(image_processor=images, tokenizer=tokenizer, chat_template=template)
    )


def save_checkpoint(
    model: PreTrainedModel, processor: ProcessorMixin, folder: Path | str, weights: dict[str, Any] | None = None
) -> Path:
    """Save a model and its processor as one plain transformers folder (safetensors).

    Args:
        model: A full model; adapters must have been merged.
        processor: Its processor.
        folder: Created if need be.
        weights: The model's weights, where it holds a part of them only.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder, state_dict=weights)
    processor.save_pretrained(folder)
    return folder


def _left_padded(processor: ProcessorMixin) -> ProcessorMixin:
    processor.tokenizer.padding_side = "left"
    return processor


def _source(path: Path | str) -> str:
    """The folder, or the hub name if ``path`` looks like one and no such folder exists."""
    folder = Path(path)
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise ModelLoadError(f"{folder}: expected a transformers folder with config.json; was the run cut short?")
        return str(folder)
    text = str(path)
    if isinstance(path, Path) or text.startswith((".", "/", "~")) or text.count("/") != 1:
        raise ModelLoadError(f"{text}: no such folder; expected a model folder (or a hub name such as owner/name)")
    return text


def _family(source: str) -> str:
    from transformers import AutoConfig

    try:
        kind = AutoConfig.from_pretrained(source, trust_remote_code=False).model_type
    except (OSError, ValueError) as error:
        raise ModelLoadError(f"{source}: cannot read its config.json ({error})") from error
    if kind not in FAMILIES:
        raise ModelLoadError(f"{source}: model_type is {kind!r}; expected one of {sorted(FAMILIES)}")
    return kind


def _text_of(source: str, name: str) -> str | None:
    """The text of one small file of a folder or hub checkpoint, None if it has none."""
    from transformers.utils import cached_file

    found = cached_file(source, name, _raise_exceptions_for_missing_entries=False)
    return None if found is None else Path(found).read_text(encoding="utf-8")


def _configures_video(source: str) -> bool:
    if _text_of(source, "video_preprocessor_config.json") is not None:
        return True
    text = _text_of(source, "processor_config.json")
    if text is not None:
        return "video_processor" in json.loads(text)
    return _text_of(source, "preprocessor_config.json") is not None  # published before the parts were split


def _template(source: str) -> str | None:
    text = _text_of(source, "chat_template.jinja")
    if text is not None:
        return text
    text = _text_of(source, "chat_template.json")
    return None if text is None else json.loads(text)["chat_template"]
