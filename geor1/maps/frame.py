"""The frame of our pages: folium without its links, one HTML file under a policy that admits only its own scripts.

folium is the frame; Leaflet, our scripts, the country outlines, the pictures and the data stand inside the file, and a
Content-Security-Policy allows exactly the scripts written here (by their SHA-256) and no request to any host.

Source: Leaflet 1.9.3 from ``xstatic-leaflet`` (BSD-2-Clause); outlines Natural Earth (public domain).
"""

from __future__ import annotations

import base64
import functools
import hashlib
import html
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, ClassVar

import folium
from branca.element import Element, Figure, MacroElement
from jinja2 import Template

from geor1.maps.text import clean_text, script_json

_BASE64 = re.compile(r"[A-Za-z0-9+/=]*")
_INLINE_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)


class OfflineMap(folium.Map):
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
        "{% macro script(this, kwargs) %}{{ this.function }}({{ this._parent.get_name() }});{% endmacro %}"
    )

    def __init__(self, function: str) -> None:
        super().__init__()
        self._id = "start"
        self.function = function


def offline_page(
    title: str,
    *,
    scripts: Sequence[str],
    styles: Sequence[str],
    markup: str,
    data: Mapping[str, str],
    outlines: dict[str, Any],
    start: str,
    picture_host: str | None = None,
) -> folium.Map:
    """A map in a page that holds all it needs.

    Args:
        title: Of the document; any text.
        scripts: Assets, in the order they run.
        styles: Assets; Leaflet's style sheet comes before them.
        markup: Asset with the page's own elements.
        data: Element id -> text in base64, as ``<script type="text/plain">``, which no browser runs.
        outlines: Cut GeoJSON (see :func:`geor1.maps.outlines.cut_at_antimeridian`), as the element ``geor1-outlines``.
        start: The page's function that takes the Leaflet map and starts everything.
        picture_host: Scheme and host that the page may load pictures from, for a base of tiles; None for no host.

    Returns:
        The folium map.

    Raises:
        ValueError: A text in ``data`` is not base64.
    """
    for name, text in data.items():
        if not _BASE64.fullmatch(text):
            raise ValueError(f"{name}: expected base64 text, which alone may stand in the page unescaped")
    inside = folium_map("EPSG3857" if picture_host else "Geor1")  # tiles come in web Mercator: the whole map with them
    page = _Page(picture_host, title=html.escape(clean_text(title)), height="760px")
    page._id, inside._id = "page", "inspector"  # folium's random ids would change the file from run to run
    page.header.add_child(_Literal(_head(tuple(scripts), tuple(styles)), "head"), name="head")
    page.add_child(inside)
    blobs = "".join(f'<script type="text/plain" id="{name}">{text}</script>\n' for name, text in data.items())
    shapes = f'<script type="application/json" id="geor1-outlines">{script_json(outlines)}</script>\n'
    page.html.add_child(_Literal(f"{asset(markup)}\n{blobs}{shapes}", "body"), name="body")
    inside.add_child(_Start(start))
    return inside


def folium_map(crs: str = "Geor1") -> folium.Map:
    """An empty world map; ``crs`` is the name of a projection that the page's scripts know."""
    return OfflineMap(
        location=[15.0, 0.0], zoom_start=1, tiles=None, crs=crs, zoom_snap=0.25, prefer_canvas=True,
        max_bounds_viscosity=0.7, min_zoom=0, max_zoom=12,
    )  # fmt: skip


@functools.cache
def _head(scripts: tuple[str, ...], styles: tuple[str, ...]) -> str:
    return "\n".join(
        ['<meta name="referrer" content="no-referrer">']
        + [f"<style>{style}</style>" for style in (leaflet_css(), *map(asset, styles))]
        + [f"<script>{script}</script>" for script in (leaflet_script(), *map(asset, scripts))]
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
