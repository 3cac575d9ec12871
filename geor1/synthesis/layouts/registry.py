"""Every layout by name."""

from __future__ import annotations

from pathlib import Path

from geor1.runs.errors import ConfigError, did_you_mean
from geor1.synthesis.layouts.base import PairLayout
from geor1.synthesis.layouts.cv_cities import CvCitiesLayout
from geor1.synthesis.layouts.cvact import CvActLayout
from geor1.synthesis.layouts.cvusa import CvUsaLayout
from geor1.synthesis.layouts.geox_bench import GeoXLayout
from geor1.synthesis.layouts.university_1652 import University1652Layout
from geor1.synthesis.layouts.vigor import VigorLayout

PAIR_LAYOUTS: dict[str, type[PairLayout]] = {
    layout.source: layout
    for layout in (CvUsaLayout, CvActLayout, VigorLayout, CvCitiesLayout, GeoXLayout, University1652Layout)
}


def pair_layout(name: str, root: Path | str, **settings: object) -> PairLayout:
    """A source of cross-view pairs by name.

    Args:
        name: ``cvusa``, ``cvact``, ``vigor``, ``cv-cities``, ``geox-bench`` or ``university-1652``.
        root: The data set's folder.
        settings: Further fields of the layout.

    Raises:
        ConfigError: No such name.
    """
    if name not in PAIR_LAYOUTS:
        raise ConfigError(f"no cross-view data set {name!r}{did_you_mean(name, PAIR_LAYOUTS)}")
    return PAIR_LAYOUTS[name](root=Path(root), **settings)  # type: ignore[arg-type]
