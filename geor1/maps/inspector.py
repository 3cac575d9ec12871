"""The inspector: one self-contained HTML page with every sample's truth, prediction, picture and reasoning on a map.

folium is the frame; Leaflet, our scripts, the country outlines, the pictures and the data stand inside the file, and a
Content-Security-Policy allows exactly the scripts written here (by their SHA-256) and no request to any host. The data
is one blob of typed columns; the browser draws it on one canvas layer, so that no folium object exists per sample.

Source: Leaflet 1.9.3 from ``xstatic-leaflet`` (BSD-2-Clause); outlines Natural Earth (public domain).
"""

from __future__ import annotations

import base64
import functools
import hashlib
import html
import re
from collections.abc import Iterable, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, ClassVar

import folium
from branca.element import Element, Figure, MacroElement
from jinja2 import Template

from geor1.maps.base import Base
from geor1.maps.outlines import cut_at_antimeridian, natural_earth
from geor1.maps.payload import Limits, Payload, Slices, build_payload
from geor1.maps.samples import to_samples
from geor1.maps.text import clean_text, script_json
from geor1.records import Prediction, Question
from geor1.runs import atomic_write_text

SCRIPTS = (  # in the order they run
    "geometry.js", "data.js", "state.js", "raster.js", "paint.js", "layer.js", "card.js", "facets.js", "inspector.js",
)  # fmt: skip
STYLES = ("inspector.css",)

_INLINE_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)


class _OfflineMap(folium.Map):
    """A folium map without folium's links to script and style hosts."""

    default_js: ClassVar[list[tuple[str, str]]] = []
    default_css: ClassVar[list[tuple[str, str]]] = []


class _Page(Figure):
    """A figure whose Content-Security-Policy names the hash of each of its own scripts, and a host of tiles if any."""

    def __init__(self, picture_host: str | None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._pictures_from = " ".join(filter(None, ("data:", picture_host)))

    def render(self, **kwargs: Any) -> str:
        """The page, policy included; the same input gives the same bytes."""
        page = super().render(**kwargs)
        hashes = " ".join(_source_hash(script) for script in _INLINE_SCRIPT.findall(page))
        policy = (
            f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; "
            f"img-src {self._pictures_from}; base-uri 'none'; form-action 'none'"
        )
        charset = '<meta http-equiv="content-type" content="text/html; charset=UTF-8" />'
        meta = f'{charset}\n<meta http-equiv="Content-Security-Policy" content="{policy}">'
        if page.count(charset) != 1:
            raise RuntimeError(f"expected one {charset!r} in folium's page; has folium's template changed? pin folium")
        return page.replace(charset, meta, 1).replace("<html>", '<html lang="en">', 1)


class _Literal(Element):
    """Markup that goes out as it is. (Other elements parse what they are given as a Jinja template, data included.)"""

    def __init__(self, content: str, name: str) -> None:
        super().__init__()
        self._name = self._id = name
        self.content = content

    def render(self, **kwargs: Any) -> str:
        """The markup."""
        return self.content


class _Start(MacroElement):
    """The call that starts the page, after folium's own script has made the map."""

    _template = Template(
        """
        {% macro script(this, kwargs) %}
        geor1.start({{ this._parent.get_name() }});
        {% endmacro %}
        """
    )


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
    world = natural_earth() if outlines is None else cut_at_antimeridian(outlines)
    return _frame(payload, world, None if base is None else base.host)


def _frame(payload: Payload, outlines: dict[str, Any], picture_host: str | None) -> folium.Map:
    """The folium map inside its page; tiles come in web Mercator, so that the whole map is in it with them."""
    inspector = _OfflineMap(
        location=[15.0, 0.0], zoom_start=1, tiles=None, crs="EPSG3857" if picture_host else "Geor1", zoom_snap=0.25,
        prefer_canvas=True, max_bounds_viscosity=0.7, min_zoom=0, max_zoom=12,
    )  # fmt: skip
    title = html.escape(clean_text(payload.header["title"]))
    page = _Page(picture_host, title=title, height="760px")
    page._id, inspector._id = "page", "inspector"  # folium's random ids would change the file from run to run
    page.header.add_child(_Literal(_head(), "head"), name="head")
    page.add_child(inspector)
    page.html.add_child(_Literal(_body(payload, outlines), "samples"), name="samples")
    start = _Start()
    start._id = "start"
    inspector.add_child(start)
    return inspector


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


@functools.cache
def _head() -> str:
    scripts = [leaflet_script(), *(asset(name) for name in SCRIPTS)]
    styles = [leaflet_css(), *(asset(name) for name in STYLES)]
    return "\n".join(
        ['<meta name="referrer" content="no-referrer">']
        + [f"<style>{style}</style>" for style in styles]
        + [f"<script>{script}</script>" for script in scripts]
    )


def _body(payload: Payload, outlines: dict[str, Any]) -> str:
    return (
        f"{asset('panel.html')}\n"
        f'<script type="text/plain" id="geor1-blob">{payload.blob}</script>\n'
        f'<script type="text/plain" id="geor1-pictures">{payload.pictures}</script>\n'
        f'<script type="application/json" id="geor1-outlines">{script_json(outlines)}</script>\n'
    )


@functools.cache
def asset(name: str) -> str:
    """Text of a file in ``geor1/maps/assets``."""
    return resources.files("geor1.maps").joinpath("assets", name).read_text(encoding="utf-8")


@functools.cache
def leaflet_script() -> str:
    """Leaflet's minified script, safe to stand between script tags, without the link to its source map."""
    text = (_leaflet_folder() / "leaflet.js").read_text(encoding="utf-8")
    text = re.sub(r"//# sourceMappingURL=\S+\s*$", "", text)
    return text.replace("</script", "<\\/script").replace("\r\n", "\n")


@functools.cache
def leaflet_css() -> str:
    """Leaflet's style sheet with its images as data URIs, and nothing else to load."""
    folder = _leaflet_folder()

    def inline(match: re.Match[str]) -> str:
        """A picture's data URI in place of its address; ``none`` for one that Leaflet does not ship."""
        picture = folder / match.group(1)
        if not picture.is_file():
            return "none"
        return f"url(data:image/png;base64,{base64.b64encode(picture.read_bytes()).decode('ascii')})"

    return re.sub(r"url\([\"']?([^)\"']+)[\"']?\)", inline, (folder / "leaflet.css").read_text(encoding="utf-8"))


def _leaflet_folder() -> Path:
    try:
        from xstatic.pkg import leaflet
    except ImportError as error:
        raise ImportError("the map needs Leaflet's files: pip install xstatic-leaflet (extra [maps])") from error
    return Path(leaflet.BASE_DIR)


def _source_hash(script: str) -> str:
    digest = hashlib.sha256(script.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"
