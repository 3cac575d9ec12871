"""The inspector: one self-contained HTML page with every sample's truth, prediction, picture and reasoning on a map.

The frame, with its policy, is :mod:`geor1.maps.frame`. The data is one blob of typed columns; the browser draws it on
one canvas layer, so that no folium object exists per sample.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import folium

from geor1.maps.base import Base
from geor1.maps.frame import offline_page
from geor1.maps.outlines import cut_at_antimeridian, natural_earth
from geor1.maps.payload import Limits, Slices, build_payload
from geor1.maps.samples import to_samples
from geor1.records import Prediction, Question
from geor1.runs import atomic_write_text

SCRIPTS = (  # in the order they run
    "geometry.js", "statistics.js", "data.js", "words.js", "state.js", "search.js", "raster.js", "paint.js", "layer.js",
    "choropleth.js", "charts.js", "order.js", "table.js", "card.js", "compare.js", "export.js",
    "link.js", "facets.js", "inspector.js",
)  # fmt: skip
STYLES = (
    "theme.css", "inspector.css", "table.css", "card.css", "charts.css", "compare.css", "choropleth.css", "export.css",
)  # fmt: skip


def build_map(
    predictions: Sequence[Prediction],
    *,
    images_dir: Path | None = None,
    outlines: dict[str, Any] | None = None,
    title: str = "Where the model errs",
    max_thumbnails: int = Limits.thumbnails,
    max_text_characters: int = Limits.text_characters,
    max_all_text_characters: int = Limits.all_text_characters,
    slices: Slices | None = None,
    questions: Iterable[Question] = (),
    base: Base | None = None,
) -> folium.Map:
    """Build the inspector of a list of predictions.

    Args:
        predictions: N predictions of any models, tasks and conditions. Without a known position a sample is listed
            but not drawn.
        images_dir: Folder that the predictions' image paths are relative to (the folder of their JSONL file); None
            embeds no picture. A missing or broken picture is counted on the page and logged, not raised.
        outlines: GeoJSON of land and countries; None takes Natural Earth's from the package.
        title: Page title.
        max_thumbnails: Most different pictures to embed, the smaller the more there are (see
            :mod:`geor1.maps.thumbnails`); the worst samples are served first.
        max_text_characters: Longest completion to embed; the card says how much was left out.
        max_all_text_characters: All completions together; those of the worst samples are served first.
        slices: Further groups to filter by: shown name -> item id -> value.
        questions: The questions asked, from ``questions_test.jsonl``: with their facts, what a completion states of
            the scene is marked true or false in the text.
        base: What lies beneath, from :func:`geor1.maps.base.read_base`; outlines alone when None. With tiles, and only
            then, the page loads pictures from their host.

    Returns:
        The folium map; it shows itself in Jupyter, and :func:`save_map` writes it.

    Raises:
        RecordError: A true position is out of range.
        ValueError: A limit is negative, or there are too many slices.
    """
    limits = Limits(max_thumbnails, max_text_characters, max_all_text_characters)
    samples = to_samples(predictions)
    payload = build_payload(
        samples,
        title=title,
        images_dir=images_dir,
        limits=limits,
        slices=slices,
        questions={question.question_id: question for question in questions},
        base=None if base is None else base.header,
    )
    return offline_page(
        payload.header["title"],
        scripts=SCRIPTS,
        styles=STYLES,
        markup="panel.html",
        data={"geor1-blob": payload.blob, "geor1-pictures": payload.pictures},
        outlines=natural_earth() if outlines is None else cut_at_antimeridian(outlines),
        start="geor1.start",
        picture_host=None if base is None else base.host,
    )


def save_map(inspector: folium.Map, path: Path | str) -> Path:
    """Write a map as one HTML file, atomically.

    Args:
        inspector: From :func:`build_map` (any folium map will do).
        path: Destination; its folder must exist.

    Returns:
        The path.

    Raises:
        DiskFullError: The disk is full; what was there before stays.
    """
    return atomic_write_text(path, inspector.get_root().render())
