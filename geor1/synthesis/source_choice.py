"""Which source the parameters of stage 01 ask for, and which files and folders they name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from geor1.synthesis.config import LAYOUTS, SynthesisConfig
from geor1.synthesis.folder_source import folder_sources
from geor1.synthesis.hf_source import HfSource
from geor1.synthesis.layouts.registry import pair_layout
from geor1.synthesis.sources import Books, Source
from geor1.synthesis.teacher.templates import SHIPPED
from geor1.synthesis.world_source import WorldSource


def sources_of(config: SynthesisConfig, books: Books) -> list[Source]:
    """The sources of pairs, ready to deliver.

    Args:
        config: With any ``source`` but the two that hold questions, ``authors_jsonl`` and ``geox_bench``.
        books: Where they enter what they leave out.

    Raises:
        SourceError: No such folder.
    """
    if config.source == "world":
        return [world_source(config)]
    reading = {**sizes_px(config), "pairs_per_city": config.pairs_per_city, "seed": config.seed, "books": books}
    reading["workers"] = config.workers
    if config.source == "folder":
        return [*folder_sources(Path(config.source_path), split=config.source_split, **reading)]
    if config.source == "hf_dataset":
        return [
            HfSource(
                path=config.source_path,
                columns=config.columns,
                subset=config.dataset_subset,
                part=config.dataset_split,
                revision=config.dataset_revision,
                image_folder=Path(config.image_folder) if config.image_folder else None,
                split=config.source_split,
                **reading,
            )
        ]
    if config.source == "cvact":  # both its splits are of one city
        reading["split"] = config.source_split
    return [pair_layout(LAYOUTS[config.source], config.source_path, **reading)]


def inputs_of(config: SynthesisConfig) -> dict[str, Path]:
    """The files and folders that the parameters name, for the run key: a string does not change when its content does.

    Args:
        config: Parameters of the stage; relative paths are below the working directory, as where they are read.

    Returns:
        Path by parameter, only of those that exist: a name on the Hub is none, and what is missing is reported by who
        reads it. Empty for the miniature Earth.
    """
    named = {name: getattr(config, name) for name in ("source_path", "image_folder", "pairs_folder", "embeddings")}
    if config.teacher != "world":
        own = [template for template in config.teaching.templates if template not in SHIPPED]
        named |= {f"template_{number}": template for number, template in enumerate(own, start=1)}
    return {name: Path(text) for name, text in named.items() if text and Path(text).exists()}


def world_source(config: SynthesisConfig) -> WorldSource:
    """The miniature Earth."""
    return WorldSource(
        train_pairs=config.train_pairs,
        test_pairs=config.test_pairs,
        scenes_per_neighbourhood=config.scenes_per_neighbourhood,
        seed=config.seed,
        workers=config.workers,
        **sizes_px(config),
    )


def sizes_px(config: SynthesisConfig) -> dict[str, Any]:
    """Image sizes and quality, as every source takes them."""
    return {
        "panorama_px": (config.panorama_width_px, config.panorama_height_px),
        "tile_px": config.tile_px,
        "quality": config.jpeg_quality,
    }
