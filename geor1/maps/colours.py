"""One colour a meaning, in every figure and page of the project.

The eight colours are Okabe and Ito's, told apart under all common colour-vision deficiencies; every meaning also has a
marker shape of its own, so that nothing hangs on colour alone.

Source: M. Okabe, K. Ito, "Color Universal Design", 2008.
"""

from __future__ import annotations

import zlib

BLACK = "#000000"
ORANGE = "#E69F00"
SKY_BLUE = "#56B4E9"
GREEN = "#009E73"
YELLOW = "#F0E442"
BLUE = "#0072B2"
VERMILLION = "#D55E00"
PURPLE = "#CC79A7"

TRUTH = GREEN  # where the picture was taken; the right tile; a right answer
PREDICTION = BLUE  # what the model answered
ERROR = VERMILLION  # the arc between the two; a wrong answer
UNUSABLE = "#767676"  # an answer that could not be used
CHANCE = BLACK  # chance level, reference lines

OCEAN = "#EAF1F6"
LAND = "#FBFAF5"
BORDER = "#A9A9A0"

MEANINGS: dict[str, str] = {
    "truth": TRUTH,
    "right": TRUTH,
    "prediction": PREDICTION,
    "located": PREDICTION,
    "error": ERROR,
    "wrong": ERROR,
    "unusable": UNUSABLE,
    "chance": CHANCE,
    "ocean": OCEAN,
    "land": LAND,
    "border": BORDER,
}

MODELS: dict[str, str] = {
    "base": SKY_BLUE,
    "sft": ORANGE,
    "grpo": PURPLE,
    "control": "#8C6D1F",  # supervised with the labels that GRPO used
    "zero": "#3D2B1F",  # GRPO from the base, without a scaffold
}

_TOO_NEAR = 180.0
_OTHER_MODELS = ("#332288", "#882255", "#7A7A00", "#8B4513", "#B8336A", "#5B2C83")  # dark, none close to a meaning

SPLITS: dict[str, str] = {"train": SKY_BLUE, "test": PURPLE}


def model_colour(name: str) -> str:
    """The colour of a model: fixed for the project's own stages, stable by name for any other.

    Args:
        name: Row label such as ``base``, ``grpo`` or ``gpt-4o``. Case is ignored.

    Returns:
        ``#RRGGBB``.

    >>> model_colour("GRPO") == MODELS["grpo"]
    True
    """
    key = name.casefold()
    if key in MODELS:
        return MODELS[key]
    return _OTHER_MODELS[zlib.crc32(key.encode("utf-8", "replace")) % len(_OTHER_MODELS)]


def model_colours(names: list[str] | tuple[str, ...]) -> dict[str, str]:
    """Colours for models shown together, all different while the palette lasts, and none near another if it can be.

    Args:
        names: Model names; order matters only where an unknown name's own colour is too near one already taken.

    Returns:
        Name -> ``#RRGGBB``, in the order given.

    >>> len(set(model_colours(["a", "b", "c", "base"]).values()))
    4
    """
    chosen: dict[str, str] = {}
    for name in names:
        colour = model_colour(name)
        free = [other for other in _OTHER_MODELS if other not in chosen.values()]
        if name.casefold() not in MODELS and chosen and free:
            apart = {other: min(_difference(other, taken) for taken in chosen.values()) for other in free}
            if apart.get(colour, 0.0) < _TOO_NEAR:
                colour = max(free, key=lambda other: apart[other])
        chosen[name] = colour
    return chosen


def _difference(first: str, second: str) -> float:
    """How different two colours look, 0 to about 765: a weighted distance in RGB.

    Source: T. Riemersma, "Colour metric" (the "redmean" formula).
    """
    (r1, g1, b1), (r2, g2, b2) = ([int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in (first, second))
    mean = (r1 + r2) / 2
    return ((2 + mean / 256) * (r1 - r2) ** 2 + 4 * (g1 - g2) ** 2 + (2 + (255 - mean) / 256) * (b1 - b2) ** 2) ** 0.5
