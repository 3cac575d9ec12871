r"""Make the small pretrained base that the package ships: the miniature's stand-in for Qwen2.5-VL.

    python scripts/pretrain_base.py --out A --steps 700 --learning-rate 1.5e-3
    python scripts/pretrain_base.py --start A --out B --mix texts --steps 450 --seed 1
    python scripts/pretrain_base.py --start B --out C --mix texts --steps 220 --learning-rate 1e-3 --seed 2

(16, 11 and 5 minutes on two cores. What the shipped base went through, early wordings of a task included, stands in its
``pretraining.json``; these commands make its like, not the same weights.)

It learns what a general vision-language model brings along, on scenes of the training cities only:

* to caption views: what lies in each direction, climate, hemisphere, driving side. Several pictures may stand in one
  prompt, always of *different cities*: no cross-view pair and no neighbourhood is ever shown;
* to compare *texts*: which of several written descriptions fits another one, direction by direction. Some comparisons
  are written already and only to be judged, so that marks and counts follow from what stands in the chain itself;
* which climates, hemispheres and driving sides go with which countries and coordinates, as text;
* to follow the answer format: asked to pair or to locate, it answers at once and at random.

So it knows words, pictures and text comparison, and nothing about which tile shows a panorama's place.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import argparse
import dataclasses
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from geor1.answers import geolocation_prompt, pairing_prompt, to_messages
from geor1.answers.chains import comparison
from geor1.models.loading import load_model, load_processor
from geor1.models.speed import use_fast_vision
from geor1.models.tiny import build_model, build_processor, build_tokenizer, split_words
from geor1.world.gazetteer import City, cities
from geor1.world.layers import describe_place
from geor1.world.render import render_panorama, render_satellite
from geor1.world.scene import DIRECTIONS, FEATURES, neighbourhood

LETTERS = "ABCDEFGH"
CUES = ("climate", "hemisphere", "traffic", "coast", "relief")
# Examples of each task in a step. Tasks share every step (alternating whole batches between them learns far slower)
# but run as one batch each, so that little is padded.
MIXES = {
    "pictures": {
        "describe_panorama": 12,
        "describe_tile": 8,
        "describe_all": 6,
        "describe_by_direction": 6,
        "compare_texts": 16,
        "answer_at_once": 1,
        "guess_position": 2,
        "geography": 3,
    },
    "texts": {
        "describe_panorama": 6,
        "describe_tile": 3,
        "describe_all": 3,
        "describe_by_direction": 4,
        "compare_texts": 10,
        "judge_texts": 32,
        "answer_at_once": 1,
        "guess_position": 1,
        "geography": 2,
    },
}
HISTORY = "pretraining.json"
STOCK = 2500
MARGIN = 1_000_000  # scene seeds from here on are never used by data synthesis


@dataclasses.dataclass
class View:
    """One rendered picture: its city, what it shows, and its patches ``[patches, 1176]`` with grid ``[1, 3]``."""

    city_id: str
    facts: dict[str, str]
    patches: torch.Tensor
    grid: torch.Tensor


@dataclasses.dataclass
class Example:
    prompt: str
    completion: str
    views: list[View]
    given: tuple[str, ...] = ()  # words of the completion that are read, not learnt


class Lessons:
    """Endless examples of every task."""

    def __init__(self, processor: Any, seed: int, mix: str) -> None:
        self.rng = np.random.default_rng([seed, 7])
        self.mix = MIXES[mix]
        self.processor = processor
        self.cities = list(cities("train"))
        self.stock: dict[str, list[View]] = {"ground": [], "satellite": []}

    def step(self) -> dict[str, list[Example]]:
        return {task: [getattr(self, "_" + task)() for _ in range(n)] for task, n in self.mix.items()}

    def _view(self, kind: str) -> View:
        """A picture of a random city; three in four come from the stock, each is shown about four times."""
        stock = self.stock[kind]
        if len(stock) == STOCK and self.rng.random() < 0.75:
            return stock[int(self.rng.integers(STOCK))]
        city = self.cities[int(self.rng.integers(len(self.cities)))]
        scene = neighbourhood(city, 1, MARGIN + int(self.rng.integers(2**30)))[0]
        image = Image.fromarray(render_panorama(scene) if kind == "ground" else render_satellite(scene))
        seen = self.processor.image_processor(images=[image], return_tensors="pt")
        view = View(city.city_id, scene.facts, seen["pixel_values"].half(), seen["image_grid_thw"])
        if len(stock) < STOCK:
            stock.append(view)
        else:
            stock[int(self.rng.integers(STOCK))] = view
        return view

    def _views(self, tiles: int) -> list[View]:
        """A panorama and ``tiles`` tiles, all of different cities: never two views of one place."""
        chosen = [self._view("ground")]
        while len(chosen) <= tiles:
            view = self._view("satellite")
            if all(view.city_id != other.city_id for other in chosen):
                chosen.append(view)
        return chosen

    def _describe_all(self) -> Example:
        ground, *tiles = views = self._views(5)
        letters = LETTERS[: len(tiles)]
        shown = " ".join(f"{letter}: <image>" for letter in letters)
        parts = [f"ground {listing(ground.facts)} ."]
        parts += [f"{letter} {listing(tile.facts)} ." for letter, tile in zip(letters, tiles, strict=True)]
        prompt = f"Ground panorama: <image> Satellite tiles: {shown} Describe every picture."
        return Example(prompt, " ".join(parts), views)

    def _describe_by_direction(self) -> Example:
        ground, *tiles = views = self._views(5)
        letters = LETTERS[: len(tiles)]
        shown = " ".join(f"{letter}: <image>" for letter in letters)
        lines = [
            f"{direction} ground {ground.facts[direction]} "
            + " ".join(f"{letter} {tile.facts[direction]}" for letter, tile in zip(letters, tiles, strict=True))
            for direction in DIRECTIONS
        ]
        prompt = f"Ground panorama: <image> Satellite tiles: {shown} Describe every direction."
        return Example(prompt, " . ".join(lines) + " .", views)

    def _describe_panorama(self) -> Example:
        view = self._view("ground")
        caption = f"{listing(view.facts)} . {cues(view.facts)} ."
        return Example("Ground panorama: <image> Describe it.", caption, [view])

    def _describe_tile(self) -> Example:
        view = self._view("satellite")
        return Example("Satellite tile: <image> Describe it.", f"{listing(view.facts)} .", [view])

    def _compare_texts(self) -> Example:
        k = int(self.rng.integers(3, 7))
        return compare_example(self.rng, k)

    def _judge_texts(self) -> Example:
        """What was written already is compared: marks, counts and conclusion are learnt, not the words."""
        written = self._compare_texts().completion
        return Example("Which description fits?", written, [], given=FEATURES)

    def _answer_at_once(self) -> Example:
        views = self._views(5)
        letter = LETTERS[int(self.rng.integers(len(views) - 1))]
        answer = f"<think> I look at the tiles . </think> <answer> {letter} </answer>"
        return Example(pairing_prompt(LETTERS[: len(views) - 1]), answer, views)

    def _guess_position(self) -> Example:
        city = self.cities[int(self.rng.integers(len(self.cities)))]
        answer = f"<think> I look at the panorama . </think> <answer> {coordinates(city)} </answer>"
        return Example(geolocation_prompt(), answer, [self._view("ground")])

    def _geography(self) -> Example:
        city = self.cities[int(self.rng.integers(len(self.cities)))]
        place = describe_place(latitude_deg=city.latitude_deg, longitude_deg=city.longitude_deg)
        facts = {**dataclasses.asdict(place), "traffic": city.driving_side}
        return Example(
            f"{cues(facts)} . Where is it?",
            f"country {city.country} </think> <answer> {coordinates(city)} </answer>",
            [],
        )


def listing(facts: dict[str, str]) -> str:
    """``north water east forest south houses west field``."""
    return " ".join(f"{direction} {facts[direction]}" for direction in DIRECTIONS)


def cues(facts: dict[str, Any]) -> str:
    """``climate arid hemisphere north traffic right coast no relief hills``."""
    return " ".join(f"{key} {facts[key]}" for key in CUES)


def coordinates(city: City) -> str:
    """Whole degrees, as the miniature's tokenizer knows them."""
    return f"{round(city.latitude_deg)} , {round(city.longitude_deg)}"


def compare_example(rng: np.random.Generator, k: int) -> Example:
    """Written descriptions only: the fitting one agrees with the ground in most directions."""
    letters = LETTERS[:k]
    ground = [str(word) for word in rng.choice(FEATURES, 4)]
    gold = int(rng.integers(k))
    agreeing = rng.integers(0, 3, size=k)
    agreeing[gold] = 4 if rng.random() < 0.7 else 3
    described = []
    for count in agreeing:
        keep = set(rng.permutation(4)[:count].tolist())
        described.append(
            [w if i in keep else str(rng.choice([f for f in FEATURES if f != w])) for i, w in enumerate(ground)]
        )
    here = dict(zip(DIRECTIONS, ground, strict=True))
    texts = {
        letter: dict(zip(DIRECTIONS, words, strict=True)) for letter, words in zip(letters, described, strict=True)
    }
    # Each word stands beside what it is about, so that finding it again takes no reading across sentences.
    lines = " . ".join(
        " ".join(f"{direction} {name} {text[direction]}" for name, text in {"ground": here, **texts}.items())
        for direction in DIRECTIONS
    )
    return Example(
        f"{lines} . Which description fits the ground?",
        f"<think> {comparison(here, texts)} so tile {letters[gold]} </think> <answer> {letters[gold]} </answer>",
        [],
    )


def vocabulary() -> list[str]:
    """Every word that prompts, chains and captions of the miniature can use."""
    texts = [pairing_prompt(LETTERS), geolocation_prompt(), compare_example(np.random.default_rng(0), 8).prompt]
    texts += [
        "Describe every picture.",
        "Describe every direction.",
        "Describe it.",
        "Where is it?",
        "Which description fits the ground?",
    ]
    texts += ["I look at the tiles .", "I look at the panorama .", "so tile same other matches ground country"]
    texts += [f"{key} yes no left right north south flat hills mountains" for key in CUES]
    texts += ["tropical arid temperate continental polar", *FEATURES, *DIRECTIONS, *LETTERS]
    texts += sorted({city.country for city in cities()})
    texts += [str(number) for number in range(-180, 181)]
    return list(dict.fromkeys(word for text in texts for word in split_words(text)))


class Steps(torch.utils.data.IterableDataset):
    """Tokenised batches, made in a worker process."""

    def __init__(self, processor: Any, seed: int, mix: str) -> None:
        self.processor, self.seed, self.mix = processor, seed, mix

    def __iter__(self) -> Iterator[dict[str, dict[str, torch.Tensor]]]:
        torch.set_num_threads(1)
        worker = torch.utils.data.get_worker_info()
        lessons = Lessons(self.processor, self.seed + 1000 * (worker.id if worker else 0), self.mix)
        while True:
            yield {task: collate(self.processor, examples) for task, examples in lessons.step().items()}


def collate(processor: Any, examples: list[Example]) -> dict[str, torch.Tensor]:
    """Right-padded training tensors; only completion tokens carry labels."""
    texts = []
    for example in examples:
        messages = to_messages(example.prompt)
        prompt = processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        pieces = prompt.split("<|image_pad|>")
        text = pieces[0]
        for view, piece in zip(example.views, pieces[1:], strict=True):
            text += "<|image_pad|>" * int(view.grid.prod() // 4) + piece
        texts.append(text + example.completion + "<|im_end|>")
    processor.tokenizer.padding_side = "right"
    full = processor.tokenizer(texts, return_tensors="pt", padding=True)
    full["mm_token_type_ids"] = (full["input_ids"] == processor.image_token_id).long()
    views = [view for example in examples for view in example.views]
    if views:
        full["pixel_values"] = torch.cat([view.patches for view in views]).float()
        full["image_grid_thw"] = torch.cat([view.grid for view in views])
    length = torch.tensor([len(processor.tokenizer(e.completion + "<|im_end|>").input_ids) for e in examples])
    ends = full["attention_mask"].sum(1)
    position = torch.arange(full["input_ids"].shape[1])
    given = [processor.tokenizer.convert_tokens_to_ids(list(example.given)) for example in examples]
    read = torch.stack(
        [torch.isin(row, torch.tensor(ids, dtype=row.dtype)) for row, ids in zip(full["input_ids"], given, strict=True)]
    )
    supervised = (position >= (ends - length)[:, None]) & (position < ends[:, None])
    full["labels"] = torch.where(supervised & ~read, full["input_ids"], -100)
    return dict(full)


def train(
    model: Any, processor: Any, *, steps: int, learning_rate: float, seed: int, letter_weight: float, mix: str
) -> None:
    """Plain next-token training with a one-cycle learning rate."""
    loader = torch.utils.data.DataLoader(Steps(processor, seed, mix), batch_size=None, num_workers=1)
    optimiser = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=0.01, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, learning_rate, total_steps=steps, pct_start=0.06)
    model.train()
    started, running = time.time(), {}
    examples = sum(MIXES[mix].values())
    concluding = torch.tensor(processor.tokenizer.convert_tokens_to_ids(["tile", "<answer>"]))
    for step, batches in zip(range(1, steps + 1), loader, strict=False):
        optimiser.zero_grad()
        for task, batch in batches.items():
            loss = completion_loss(
                model, batch, concluding if task in ("compare_texts", "judge_texts") else None, letter_weight
            )
            (loss * MIXES[mix][task] / examples).backward()
            running[task] = 0.9 * running.get(task, loss.item()) + 0.1 * loss.item()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        if step % 25 == 0:
            shown = " ".join(f"{name} {value:.3f}" for name, value in running.items())
            print(f"step {step}/{steps} {shown} {time.time() - started:.0f} s", flush=True)
        if step % 100 == 0 and os.environ.get("PRETRAIN_CHECKPOINT"):
            torch.save(model.state_dict(), os.environ["PRETRAIN_CHECKPOINT"])


def completion_loss(
    model: Any, batch: dict[str, torch.Tensor], concluding: torch.Tensor | None, letter_weight: float = 1.0
) -> torch.Tensor:
    """Cross-entropy of one batch: the mean over its completion tokens plus the mean over its concluding letters.

    Two of a comparison's hundred tokens are its conclusion; in a plain mean they are never learnt.

    Args:
        model: The model.
        batch: From :func:`collate`.
        concluding: Ids of the words that a concluding letter follows; None for the plain mean.
        letter_weight: Weight of the letters' own mean.
    """
    targets = batch.pop("labels")[:, 1:]
    counted = targets != -100
    hidden = model.model(**batch, use_cache=False).last_hidden_state
    losses = torch.nn.functional.cross_entropy(
        model.lm_head(hidden[:, :-1][counted]), targets[counted], reduction="none"
    )
    if concluding is None:
        return losses.mean()
    letters = torch.isin(batch["input_ids"][:, :-1], concluding)[counted]
    return losses[~letters].mean() + letter_weight * losses[letters].mean()


def save(model: Any, processor: Any, out: Path, arguments: argparse.Namespace) -> None:
    """Write the base as float16 safetensors with processor and the arguments that made it."""
    processor.tokenizer.padding_side = "left"
    model.half().save_pretrained(out)
    processor.save_pretrained(out)
    before = json.loads((arguments.start / HISTORY).read_text())["runs"] if arguments.start else []
    made = {key: getattr(arguments, key) for key in ("mix", "steps", "learning_rate", "seed", "letter_weight")}
    (out / HISTORY).write_text(json.dumps({"runs": [*before, made]}, indent=1) + "\n")
    (out / "labels_seen.json").write_text(json.dumps({"pairing_labels_seen": 0}, indent=1) + "\n")


def main() -> None:
    """Parse arguments, train, save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--start", type=Path, default=None, help="folder of an earlier run to go on from")
    parser.add_argument("--mix", choices=list(MIXES), default="pictures", help="which tasks weigh most")
    parser.add_argument("--steps", type=int, default=900)
    parser.add_argument("--learning-rate", type=float, default=1.2e-3)
    parser.add_argument("--letter-weight", type=float, default=0.1, help="weight of the concluding letters' own mean")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    if arguments.start is None:
        processor = build_processor(build_tokenizer(vocabulary()))
        model = use_fast_vision(build_model(processor.tokenizer, seed=arguments.seed))
    else:
        processor, model = load_processor(arguments.start), load_model(arguments.start)
    print(f"{sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters", flush=True)
    train(
        model,
        processor,
        steps=arguments.steps,
        learning_rate=arguments.learning_rate,
        seed=arguments.seed,
        letter_weight=arguments.letter_weight,
        mix=arguments.mix,
    )
    save(model, processor, arguments.out, arguments)


if __name__ == "__main__":
    main()
