"""Build the tokenizers of Qwen2.5-VL and Qwen3-VL without the Hugging Face hub, for the tests of ``tests/qwen``.

The vocabulary is in the wheel of ``dashscope`` (Alibaba, Apache-2.0) on PyPI, as the ranks of byte pairs that the
first Qwen published. Merges follow from ranks: a token's last merge joins the two parts that byte pair encoding with
the lower ranks alone leaves of it. Pattern, normalisation and added tokens are those of ``tokenizer.json`` of the
published checkpoints, and so is what comes out, byte pair for byte pair (tested where a copy is at hand). The product
(two folders of 6 MB) is not committed. Takes about ten seconds.

    python scripts/build_qwen_tokenizer.py .cache/qwen
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import importlib.util
import json
import logging
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

WHEEL = "dashscope==2.0.2"
RANKS = "dashscope/resources/qwen.tiktoken"
RANKS_SHA256 = "b2b1b8dfb5cc5f024bafc373121c6aba3f66f9a5a0269e243470a1de16a33186"
FIRST_ADDED_ID = 151_643
_SPECIAL = "endoftext im_start im_end object_ref_start object_ref_end box_start box_end quad_start quad_end "
_SPECIAL += "vision_start vision_end vision_pad image_pad video_pad"
SPECIAL_TOKENS = [f"<|{name}|>" for name in _SPECIAL.split()]
# Added, so never split, but not special: decoding keeps them.
_FILLING = ("fim_prefix", "fim_middle", "fim_suffix", "fim_pad", "repo_name", "file_sep")
PLAIN_TOKENS = ["<tool_call>", "</tool_call>", *(f"<|{name}|>" for name in _FILLING)]
NEWER_TOKENS = ["<tool_response>", "</tool_response>", "<think>", "</think>"]
FAMILIES = {"qwen2.5-vl": PLAIN_TOKENS, "qwen3-vl": [*PLAIN_TOKENS, *NEWER_TOKENS]}
PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
CONFIG = {
    "add_bos_token": False,
    "add_prefix_space": False,
    "additional_special_tokens": SPECIAL_TOKENS[1:],
    "bos_token": None,
    "clean_up_tokenization_spaces": False,
    "eos_token": "<|im_end|>",
    "errors": "replace",
    "model_max_length": 131_072,
    "pad_token": "<|endoftext|>",
    "split_special_tokens": False,
    "tokenizer_class": "Qwen2Tokenizer",
    "unk_token": None,
}


def main() -> None:
    """Write one folder a family."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the folders qwen2.5-vl and qwen3-vl go")
    parser.add_argument("--ranks", type=Path, help=f"a copy of {RANKS}; default: the installed package, else pip")
    arguments = parser.parse_args()
    ranks = read_ranks(arguments.ranks.read_bytes() if arguments.ranks else find_ranks())
    model = byte_pairs(ranks)
    for family in FAMILIES:
        logging.info("%s", write_tokenizer(model, family, arguments.folder / family))


def find_ranks() -> bytes:
    """The file of ranks, of an installed ``dashscope`` (which is not imported) or else of a wheel that pip fetches."""
    spec = importlib.util.find_spec("dashscope")
    if spec is not None and spec.submodule_search_locations:
        installed = Path(spec.submodule_search_locations[0]).parent / RANKS
        if installed.is_file():
            return installed.read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--disable-pip-version-check"]
        subprocess.run([*pip, "--dest", folder, WHEEL], check=True, timeout=300)
        with zipfile.ZipFile(next(Path(folder).glob("*.whl"))) as wheel:
            return wheel.read(RANKS)


def read_ranks(content: bytes) -> dict[bytes, int]:
    """Byte strings and their ranks, which are the token ids.

    Raises:
        ValueError: It is another file than that of ``WHEEL``.
    """
    found = hashlib.sha256(content).hexdigest()
    if found != RANKS_SHA256:
        raise ValueError(f"{RANKS}: expected the SHA-256 {RANKS_SHA256}, got {found}; take the file of {WHEEL}")
    return {base64.b64decode(token): int(rank) for token, rank in map(bytes.split, content.splitlines())}


def last_merge(token: bytes, ranks: dict[bytes, int]) -> tuple[bytes, bytes]:
    """The two parts that make a token: what byte pair encoding leaves of it with lower ranks than its own.

    >>> last_merge(b"abc", {b"a": 0, b"b": 1, b"c": 2, b"bc": 3, b"abc": 4})
    (b'a', b'bc')
    """
    parts = [bytes([byte]) for byte in token]
    while len(parts) > 2:
        joined = [ranks.get(left + right, len(ranks)) for left, right in zip(parts, parts[1:], strict=False)]
        place = min(range(len(joined)), key=joined.__getitem__)
        if joined[place] >= ranks[token]:
            raise ValueError(f"{token!r}: lower ranks leave {parts}, which no single merge joins")
        parts[place : place + 2] = [parts[place] + parts[place + 1]]
    return parts[0], parts[1]


def byte_pairs(ranks: dict[bytes, int]) -> dict[str, Any]:
    """The ``model`` of ``tokenizer.json``: vocabulary and merges in the order of their ranks."""
    characters = _characters()

    def shown(token: bytes) -> str:
        return "".join(map(characters.__getitem__, token))

    merged = sorted((token for token in ranks if len(token) > 1), key=ranks.__getitem__)
    return {
        "type": "BPE",
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": "",
        "end_of_word_suffix": "",
        "fuse_unk": False,
        "byte_fallback": False,
        "ignore_merges": False,
        "vocab": {shown(token): rank for token, rank in ranks.items()},
        "merges": [[*map(shown, last_merge(token, ranks))] for token in merged],
    }


def write_tokenizer(model: dict[str, Any], family: str, folder: Path) -> Path:
    """Write ``tokenizer.json`` and ``tokenizer_config.json`` as published, without a chat template.

    Args:
        model: From :func:`byte_pairs`.
        family: A key of ``FAMILIES``.
        folder: Made if absent.
    """
    folder.mkdir(parents=True, exist_ok=True)
    added = [*((token, True) for token in SPECIAL_TOKENS), *((token, False) for token in FAMILIES[family])]
    settings = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    entries = [
        {"id": FIRST_ADDED_ID + place, "content": text, **settings, "special": special}
        for place, (text, special) in enumerate(added)
    ]
    split = {"type": "Split", "pattern": {"Regex": PATTERN}, "behavior": "Isolated", "invert": False}
    whole = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": entries,
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, BYTE_LEVEL]},
        "post_processor": BYTE_LEVEL,
        "decoder": BYTE_LEVEL,
        "model": model,
    }
    (folder / "tokenizer.json").write_text(json.dumps(whole, ensure_ascii=False), encoding="utf-8")
    decoder = {str(entry["id"]): {name: entry[name] for name in entry if name != "id"} for entry in entries}
    config = {**CONFIG, "added_tokens_decoder": decoder}
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    return folder


def _characters() -> list[str]:
    """The printable character that stands for each byte in a byte-level vocabulary (GPT-2's assignment)."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = iter(range(256, 512))
    return [chr(byte if byte in printable else next(others)) for byte in range(256)]


if __name__ == "__main__":
    main()
