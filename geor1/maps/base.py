"""What lies beneath the points: outlines alone, Blue Marble as one picture in the page, or tiles from a host."""

from __future__ import annotations

import base64
import dataclasses
import io
import re
from typing import Any

import numpy as np
from PIL import Image

from geor1.maps.text import plain_text
from geor1.runs import ConfigError
from geor1.world.layers import sea_mask, surface_colours

OUTLINES = "outlines"
BLUE_MARBLE = "blue-marble"
SEA_RGB = (9, 21, 48)  # Blue Marble's open ocean
_BRIGHTER = 1.35  # Blue Marble is dark: a forest is about (30, 45, 20)
_TEMPLATE = re.compile(r"(https?://[A-Za-z0-9.-]+(?::\d{1,5})?)/[A-Za-z0-9._~/{}?=&%@+-]*")
_NEEDED = ("{z}", "{x}", "{y}")


@dataclasses.dataclass(frozen=True)
class Base:
    """A base layer.

    Attributes:
        header: For the page: None for outlines alone, ``{"kind": "picture", "uri": …}`` with the whole Earth in
            equirectangular projection, or ``{"kind": "tiles", "url": …, "attribution": …}`` in web Mercator.
        host: Scheme and host that the page may then load pictures from; None where it loads nothing.
    """

    header: dict[str, Any] | None
    host: str | None = None


def read_base(text: str, attribution: str | None = None) -> Base:
    """The base layer that ``--base`` names.

    Args:
        text: ``outlines``, ``blue-marble``, or a URL template of tiles with {z}, {x} and {y}.
        attribution: Whom the tiles' owner wants named; their host when None.

    Raises:
        ConfigError: Neither.

    >>> read_base("outlines").header is None
    True
    >>> read_base("https://tile.example.org/{z}/{x}/{y}.png").host
    'https://tile.example.org'
    """
    if text == OUTLINES:
        return Base(None)
    if text == BLUE_MARBLE:
        return Base({"kind": "picture", "uri": blue_marble_uri(), "attribution": "NASA Blue Marble"})
    match = _TEMPLATE.fullmatch(text)
    if match is None or any(text.count(part) != 1 for part in _NEEDED):
        raise ConfigError(
            f"base={text[:200]!r}: expected {OUTLINES!r}, {BLUE_MARBLE!r} or a URL of tiles such as "
            "https://host/{z}/{x}/{y}.png"
        )
    host = match.group(1)
    return Base(
        {"kind": "tiles", "url": text, "attribution": plain_text(attribution or host.split("://")[1], 200)}, host
    )


def blue_marble_uri() -> str:
    """The packaged surface colours as a WebP data URI: 1800 x 900 pixels, 90° north and 180° west at the top left."""
    brighter = np.clip(surface_colours().astype(float) * _BRIGHTER, 0, 255).astype(np.uint8)
    picture = np.where(sea_mask(brighter.shape[:2])[..., None], np.array(SEA_RGB, dtype=np.uint8), brighter)
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "WEBP", quality=70, method=4)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
