"""The miniature model: a real Qwen2.5-VL of one to three million parameters with a word-level tokenizer.

Everything downstream sees only the ordinary transformers classes (``Qwen2_5_VLForConditionalGeneration``, a fast
tokenizer, a Qwen-VL processor), so what holds for the miniature holds for the published checkpoints: M-RoPE, dynamic
image sizes, windowed vision attention, the chat template.
"""

from __future__ import annotations

import dataclasses
import importlib.resources
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast, Qwen2_5_VLForConditionalGeneration
    from transformers.processing_utils import ProcessorMixin

# Qwen2.5-VL's special tokens in their order (tokenizer_config.json of Qwen/Qwen2.5-VL-7B-Instruct).
SPECIAL_TOKENS: tuple[str, ...] = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|object_ref_start|>",
    "<|object_ref_end|>",
    "<|box_start|>",
    "<|box_end|>",
    "<|quad_start|>",
    "<|quad_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
UNKNOWN_TOKEN = "<unk>"
END_OF_TURN = "<|im_end|>"
PADDING = "<|endoftext|>"
ANSWER_TAGS: tuple[str, ...] = ("<think>", "</think>", "<answer>", "</answer>")
# What Qwen2.5-VL's chat template itself says around the messages.
TEMPLATE_WORDS: tuple[str, ...] = ("system", "user", "assistant", "You", "are", "a", "helpful", ".")
# One word: a tag, a whole or decimal number with its sign, a (hyphenated) word, or one punctuation mark.
WORD_PATTERN = r"</?[A-Za-z]+>|-?\d+(?:\.\d+)?|[^\W\d_]+(?:[-'’][^\W\d_]+)*|[^\w\s]|_"
PATCH_SIZE = 14
MERGE_SIZE = 2
IMAGE_FACTOR = PATCH_SIZE * MERGE_SIZE  # sides that are multiples of this many pixels are never resized


@dataclasses.dataclass(frozen=True, kw_only=True)
class TinySizes:
    """Sizes of the miniature model.

    Attributes:
        hidden: Width of the language model.
        intermediate: Width of its gated feed-forward layers.
        layers: Decoder layers.
        heads: Query heads; ``hidden / heads`` is the head size (32 or more lets vLLM serve the model).
        key_value_heads: Key and value heads (grouped-query attention).
        vision_hidden: Width of the vision transformer.
        vision_intermediate: Width of its feed-forward layers.
        vision_depth: Vision blocks; the last one attends over the whole image, the others within windows.
        vision_heads: Vision attention heads.
        window_px: Side of an attention window in pixels, a multiple of 28.
        tied_embeddings: Whether input and output embeddings share their weights.
        full_attention_blocks: Vision blocks that attend over the whole image; None for the last one.
        vocabulary: Rows of the embedding; 0 for as many as the tokenizer has words.
    """

    hidden: int = 128
    intermediate: int = 256
    layers: int = 4
    heads: int = 4
    key_value_heads: int = 2
    vision_hidden: int = 96
    vision_intermediate: int = 192
    vision_depth: int = 3
    vision_heads: int = 4
    window_px: int = 112
    tied_embeddings: bool = True
    full_attention_blocks: tuple[int, ...] | None = None
    vocabulary: int = 0

    def __post_init__(self) -> None:
        head = self.hidden // self.heads
        if self.hidden % self.heads or head % 8:
            raise ValueError(f"hidden={self.hidden}, heads={self.heads}: expected a head size divisible by 8 (M-RoPE)")
        if self.heads % self.key_value_heads:
            raise ValueError(f"heads={self.heads}: expected a multiple of key_value_heads={self.key_value_heads}")
        if self.vision_hidden % self.vision_heads or (self.vision_hidden // self.vision_heads) % 4:
            raise ValueError(f"vision_hidden={self.vision_hidden}: expected a vision head size divisible by 4")
        if self.window_px % IMAGE_FACTOR:
            raise ValueError(f"window_px={self.window_px}: expected a multiple of {IMAGE_FACTOR}")

    @property
    def mrope_section(self) -> list[int]:
        """Rotary pairs given to time, height and width; they sum to half the head size."""
        pairs = self.hidden // self.heads // 2
        time = pairs // 4
        height = (pairs - time) // 2
        return [time, height, pairs - time - height]


def split_words(text: str) -> list[str]:
    """Split a text into the words that the tokenizer sees.

    >>> split_words("<answer> 23 , -102 </answer>")
    ['<answer>', '23', ',', '-102', '</answer>']
    """
    return re.findall(WORD_PATTERN, text)


def build_tokenizer(words: Iterable[str]) -> PreTrainedTokenizerFast:
    """Build the word-level tokenizer.

    Args:
        words: Vocabulary, as words or as whole texts (texts are split into their words); repetitions are dropped. The
            tags of the answer format and the words of the chat template are always included.

    Returns:
        A fast tokenizer with Qwen2.5-VL's special tokens, left padding, and ``<unk>`` for words it does not know.
        Decoding gives words joined by single spaces.
    """
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    ordered: dict[str, None] = dict.fromkeys((*SPECIAL_TOKENS, UNKNOWN_TOKEN, *ANSWER_TAGS, *TEMPLATE_WORDS))
    for text in words:
        ordered.update(dict.fromkeys(split_words(text)))
    ordered.pop("<image>", None)  # a marker in prompts, replaced before anything is tokenised
    core = Tokenizer(models.WordLevel({word: index for index, word in enumerate(ordered)}, unk_token=UNKNOWN_TOKEN))
    core.pre_tokenizer = pre_tokenizers.Split(Regex(WORD_PATTERN), behavior="removed", invert=True)
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        unk_token=UNKNOWN_TOKEN,
        eos_token=END_OF_TURN,
        pad_token=PADDING,
        additional_special_tokens=list(SPECIAL_TOKENS[1:]),
        padding_side="left",
        model_max_length=32768,
        clean_up_tokenization_spaces=False,
    )


def unknown_words(tokenizer: Any, text: str) -> list[str]:
    """List the words of a text that the tokenizer does not know (empty for a byte-level tokenizer)."""
    if tokenizer.unk_token_id is None:
        return []
    known = tokenizer.get_vocab()
    for special in SPECIAL_TOKENS:
        text = text.replace(special, " ")
    return [word for word in split_words(text) if word not in known]


def chat_template() -> str:
    """Qwen2.5-VL's chat template. Source: the file that TRL packages."""
    return (importlib.resources.files("trl") / "chat_templates" / "qwen2_5_vl.jinja").read_text(encoding="utf-8")


def build_processor(
    tokenizer: PreTrainedTokenizerFast,
    *,
    min_pixels: int = IMAGE_FACTOR**2,
    max_pixels: int = 1024 * IMAGE_FACTOR**2,
) -> ProcessorMixin:
    """Build the processor: tokenizer, chat template and the PIL image processor (no torchvision needed).

    Args:
        tokenizer: From :func:`build_tokenizer`.
        min_pixels: Smaller images are enlarged to this area.
        max_pixels: Larger images are shrunk to this area. In between, sides that are multiples of 28 are kept.

    Returns:
        A ``Qwen2_5_VLProcessor`` for images only; it round-trips through ``save_pretrained`` and
        :func:`geor1.models.loading.load_processor`.
    """
    from transformers import Qwen2_5_VLProcessor
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    from geor1.models.loading import image_only

    images = Qwen2VLImageProcessorPil(
        size={"shortest_edge": min_pixels, "longest_edge": max_pixels},
        patch_size=PATCH_SIZE,
        merge_size=MERGE_SIZE,
        temporal_patch_size=2,
    )
    return image_only(Qwen2_5_VLProcessor)(image_processor=images, tokenizer=tokenizer, chat_template=chat_template())


def build_model(
    tokenizer: PreTrainedTokenizerFast, sizes: TinySizes | None = None, *, seed: int = 0, **overrides: Any
) -> Qwen2_5_VLForConditionalGeneration:
    """Build a randomly initialised miniature Qwen2.5-VL in float32.

    Args:
        tokenizer: Gives vocabulary size and special token ids.
        sizes: Sizes; the default has about 1.2 million parameters.
        seed: Seed of the initial weights; the caller's random state is left as it was.
        **overrides: Fields of :class:`TinySizes` to change.

    Raises:
        ValueError: Sizes that do not fit together.
        TypeError: An unknown size.
    """
    import torch
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    sizes = dataclasses.replace(sizes or TinySizes(), **overrides)
    tokens = {
        "image_token_id": "<|image_pad|>",
        "video_token_id": "<|video_pad|>",
        "vision_start_token_id": "<|vision_start|>",
        "vision_end_token_id": "<|vision_end|>",
    }
    config = Qwen2_5_VLConfig(
        text_config=_text_config(tokenizer, sizes),
        vision_config=_vision_config(sizes),
        tie_word_embeddings=sizes.tied_embeddings,
        **{name: tokenizer.convert_tokens_to_ids(token) for name, token in tokens.items()},
    )
    config._attn_implementation = "sdpa"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Qwen2_5_VLForConditionalGeneration._from_config(config, dtype=torch.float32)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    return model


def _text_config(tokenizer: PreTrainedTokenizerFast, sizes: TinySizes) -> dict[str, Any]:
    rope = {"rope_type": "default", "rope_theta": 1.0e6, "mrope_section": sizes.mrope_section}
    return {
        "vocab_size": sizes.vocabulary or len(tokenizer),
        "hidden_size": sizes.hidden,
        "intermediate_size": sizes.intermediate,
        "num_hidden_layers": sizes.layers,
        "num_attention_heads": sizes.heads,
        "num_key_value_heads": sizes.key_value_heads,
        "max_position_embeddings": 8192,
        "rope_parameters": rope,
        "bos_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "tie_word_embeddings": sizes.tied_embeddings,
    }


def _vision_config(sizes: TinySizes) -> dict[str, Any]:
    return {
        "depth": sizes.vision_depth,
        "hidden_size": sizes.vision_hidden,
        "intermediate_size": sizes.vision_intermediate,
        "num_heads": sizes.vision_heads,
        "patch_size": PATCH_SIZE,
        "spatial_merge_size": MERGE_SIZE,
        "temporal_patch_size": 2,
        "window_size": sizes.window_px,
        "out_hidden_size": sizes.hidden,
        "fullatt_block_indexes": list(sizes.full_attention_blocks or (sizes.vision_depth - 1,)),
    }
