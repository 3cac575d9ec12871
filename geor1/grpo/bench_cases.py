"""What :mod:`geor1.grpo.bench` measures on: models of three sizes, prompts with pictures, both trainers.

Axis letters: G completions of the prompt, P prompt tokens, C completion tokens.
"""

from __future__ import annotations

import copy
import dataclasses
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import PrinterCallback, TrainerCallback

from geor1.answers import pairing_prompt, to_messages
from geor1.grpo.accounting import cost_model
from geor1.grpo.prefix import score_completions
from geor1.grpo.trainer import GeoGRPOTrainer
from geor1.models.architectures import ARCHITECTURES, as_tiny_sizes
from geor1.models.encoding import EncodedPrompt, PromptEncoder
from geor1.models.speed import use_fast_vision
from geor1.models.tiny import TinySizes, build_model, build_processor, build_tokenizer

LETTERS = ("A", "B", "C", "D")
FILLER = "north"
# Panorama and tile sides in pixels, by the prompt tokens that they and some sixty words of text come to.
PICTURES = {
    573: ((476, 280), (252, 252)),
    1191: ((840, 392), (364, 364)),
    1461: ((896, 420), (420, 420)),
    2500: ((1456, 672), (476, 476)),
}
CASES = {
    "tiny": ((573, 64, 8), (1191, 200, 8), (1461, 200, 8)),
    "paper-3b": ((2500, 400, 8),),
    "paper-7b": ((2500, 400, 8),),
}
SIZES = {
    "tiny": TinySizes(
        hidden=256,
        intermediate=688,
        layers=4,
        heads=4,
        key_value_heads=2,
        vision_hidden=128,
        vision_intermediate=256,
        vision_depth=4,
        vision_heads=4,
    ),
    "paper-3b": as_tiny_sizes(ARCHITECTURES["qwen2.5-vl-3b"]),
    "paper-7b": as_tiny_sizes(ARCHITECTURES["qwen2.5-vl-7b"]),
}


@dataclasses.dataclass(frozen=True)
class Case:
    """One prompt with its pictures and completions.

    Attributes:
        text: User text with one marker a picture.
        pictures: Panorama and tiles.
        prompt: The same, encoded.
        completions: Token ids [G, C].
        mask: [G, C].
        advantages: [G].
    """

    text: str
    pictures: list[Image.Image]
    prompt: EncodedPrompt
    completions: torch.Tensor
    mask: torch.Tensor
    advantages: torch.Tensor


class Bench:
    """Models of one preset on one device."""

    def __init__(self, preset: str, device: torch.device) -> None:
        self.device = device
        self.dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
        tokenizer = build_tokenizer([pairing_prompt(LETTERS), FILLER, *(str(n) for n in range(500))])
        self.processor = build_processor(tokenizer, max_pixels=10**7)
        self.encoder = PromptEncoder(self.processor)
        with device:
            self.stock = build_model(tokenizer, SIZES[preset]).to(self.dtype)
        self.cost = cost_model(self.stock)

    def ours(self) -> Any:
        """The same weights as :func:`geor1.models.loading.load_model` gives them."""
        return use_fast_vision(copy.deepcopy(self.stock))

    def case(self, prompt_tokens: int, completion_tokens: int, group: int, *, varied: bool) -> Case:
        """Random pictures and completions; the prompt is filled up with words to exactly ``prompt_tokens``."""
        rng = np.random.default_rng(0)
        panorama, tile = PICTURES[prompt_tokens]
        sizes = [panorama, *[tile] * len(LETTERS)]
        pictures = [Image.fromarray(rng.integers(0, 256, (high, wide, 3), dtype=np.uint8)) for wide, high in sizes]
        text = pairing_prompt(LETTERS)
        lacking = prompt_tokens - len(self.encoder.encode(text, pictures).input_ids)
        if lacking < 0:
            raise ValueError(f"pictures and text come to {-lacking} tokens more than {prompt_tokens}")
        text += f" {FILLER}" * lacking
        generator = torch.Generator().manual_seed(0)
        tokens = torch.randint(20, 400, (group, completion_tokens), generator=generator)
        lengths = torch.full((group,), completion_tokens)
        if varied:
            lengths[1:] = torch.randint(
                completion_tokens // 3, completion_tokens + 1, (group - 1,), generator=generator
            )
        mask = (torch.arange(completion_tokens) < lengths[:, None]).long()
        advantages = torch.randn(group, generator=generator)
        prompt = self.encoder.encode(text, pictures)
        tokens = tokens.masked_fill(mask == 0, self.encoder.pad_token_id)
        return Case(text, pictures, prompt, *(x.to(self.device) for x in (tokens, mask, advantages)))

    def scorer(self, kind: str, case: Case, kernel: str | None = None) -> tuple[Any, Callable[[], torch.Tensor]]:
        """A model and a call that scores the case with it, [G, C]: ``stock`` as TRL's trainer does, or ``ours``."""
        if kind == "ours":
            model = self.ours().train()
            batch = self.encoder.stack([case.prompt]).to(self.device)
            return model, lambda: score_completions(model, batch, case.completions, case.mask, kernel=kernel).log_probs
        model = self.stock.train()
        trainer = self._stock_trainer(model, [self._row(case, True)], case, Path(tempfile.mkdtemp()))
        group, width = case.completions.shape
        batch = self.encoder.stack([case.prompt] * group)
        inputs = {
            "input_ids": torch.cat([batch.input_ids.to(self.device), case.completions], dim=1),
            "attention_mask": torch.cat([batch.attention_mask.to(self.device), case.mask], dim=1),
            "pixel_values": batch.pixel_values.repeat(group, 1).to(self.device),  # a batch holds each picture once
            "image_grid_thw": batch.image_grid_thw.to(self.device),
            "num_images": [len(case.pictures)] * group,
            "mm_token_type_ids": torch.cat(
                [batch.mm_token_type_ids.to(self.device), torch.zeros_like(case.completions)], dim=1
            ),
        }
        return model, lambda: trainer._get_per_token_logps_and_entropies(model, logits_to_keep=width, **inputs)[0]

    def step(self, kind: str, case: Case, folder: Path) -> tuple[float, float]:
        """One whole optimiser step, sampling included: seconds, and mean completion length in tokens."""
        model = copy.deepcopy(self.stock) if kind == "stock" else self.ours()
        rows = [self._row(case, kind == "stock")]
        timer = _Timer(self.device)
        if kind == "stock":
            trainer = self._stock_trainer(model, rows, case, folder, timer)
        else:
            paths = []
            for number, picture in enumerate(case.pictures):
                paths.append(folder / f"{number}.png")
                picture.save(paths[-1])
            rows[0]["images"] = [str(path) for path in paths]
            trainer = GeoGRPOTrainer(
                encoder=PromptEncoder(self.processor),
                run_dir=folder,
                model=model,
                args=self._settings(case, folder),
                callbacks=[timer],
                **self._common(rows),
            )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
        (length,) = [line["completions/mean_length"] for line in trainer.state.log_history if "loss" in line]
        return timer.seconds, length

    def _row(self, case: Case, stock: bool) -> dict[str, Any]:
        if stock:
            return {"prompt": to_messages(case.text), "images": case.pictures}
        return {"prompt": [{"role": "user", "content": case.text}]}

    def _stock_trainer(
        self, model: Any, rows: list[dict[str, Any]], case: Case, folder: Path, *callbacks: TrainerCallback
    ) -> Any:
        from trl import GRPOTrainer

        return GRPOTrainer(
            model=model, args=self._settings(case, folder), callbacks=list(callbacks), **self._common(rows)
        )

    def _common(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        from datasets import Dataset

        return {
            "reward_funcs": [_any_reward],
            "train_dataset": Dataset.from_list(rows),
            "processing_class": self.processor,
        }

    def _settings(self, case: Case, folder: Path) -> Any:
        from trl import GRPOConfig

        group, length = case.completions.shape
        return GRPOConfig(
            output_dir=str(folder),
            per_device_train_batch_size=group,
            num_generations=group,
            max_completion_length=length,
            max_steps=1,
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=self.device.type == "cpu",
            bf16=self.device.type == "cuda",
            gradient_checkpointing=False,
            learning_rate=1e-6,
        )


class _Timer(TrainerCallback):
    """Seconds from the begin of training to its end."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.seconds = 0.0

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        """Start."""
        self.seconds = -now(self._device)

    def on_train_end(self, *_: Any, **__: Any) -> None:
        """Stop."""
        self.seconds += now(self._device)


def _any_reward(completions: Sequence[Any], **_: Any) -> list[float]:
    """Rewards that differ, so that no group ties."""
    return [float(place) for place in range(len(completions))]


def now(device: torch.device) -> float:
    """Seconds of a clock, once the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()
