"""Maps as HTML pages with their program, Leaflet, inside: no server is asked for anything but tiles."""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

COUNTRIES_FILE = Path(__file__).with_name("countries.parquet")
"""Countries of the world: docs/metadata.md."""

_COARSE_DEGREES = 0.2  # of what is drawn away from the map's middle
_OPENSTREETMAP = {
    "url": "https://tile.openstreetmap.org/{z}/{x}/{y}.png",
    "attribution": "&copy; <a href='https://www.openstreetmap.org/copyright'>OpenStreetMap</a> contributors",
    "maxZoom": 19,
}


@dataclass(frozen=True)
class MapPage:
    """A map as one HTML page; it shows itself in a notebook.

    Parameters
    ----------
    html : str
        The page.
    """

    html: str

    def save(self, path: str | Path) -> None:
        """Write the page."""
        Path(path).write_text(self.html, encoding="utf-8")

    def _repr_html_(self) -> str:
        return (
            "<iframe sandbox='allow-scripts' style='width: 100%; height: 500px; border: 0' "
            f'srcdoc="{html.escape(self.html)}"></iframe>'
        )


def map_page(
    title: str, content: Mapping[str, Any], scripts: Sequence[str], styles: Sequence[str] = ()
) -> MapPage:
    """Page whose scripts draw what they are told.

    Parameters
    ----------
    title : str
    content : dict
        Handed to the function ``drawMap`` of the scripts, as JSON; ``bounds`` is the box to show,
        ``[[south, west], [north, east]]`` in degrees, or None; ``tiles`` that of `tile_source`, or None.
    scripts, styles : sequence of str
        Run, and applied, after Leaflet's own. A Content-Security-Policy lets nothing else run.

    Raises
    ------
    ModuleNotFoundError
        Without jinja2.
    """
    try:
        import jinja2
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "Maps in a browser need jinja2: pip install '.[plot]' in the source folder."
        ) from error
    scripts = [*map(leaflet_file, ("leaflet.js", "base.js")), *scripts, leaflet_file("draw.js")]
    styles = [leaflet_file("leaflet.css"), leaflet_file("base.css"), *styles]
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    page = environment.from_string(leaflet_file("page.html")).render(
        title=title,
        content=content,
        scripts=scripts,
        styles=[_with_pictures(style) for style in styles],
        script_hashes=[_source_hash(script) for script in scripts],
    )
    return MapPage(page)


def tile_source(name: str) -> dict[str, Any]:
    """Address, attribution and deepest zoom of a map's background.

    Parameters
    ----------
    name : str
        "OpenStreetMap", or a name of the package xyzservices.

    Raises
    ------
    ValueError
        When the background is unknown.
    ModuleNotFoundError
        Without xyzservices.
    """
    if name.lower() == "openstreetmap":
        return _OPENSTREETMAP
    try:
        from xyzservices import providers
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"The background {name!r} needs the package xyzservices; run: pip install xyzservices"
        ) from error
    try:
        provider = providers.query_name(name)
        url = provider.build_url()
    except ValueError as error:
        raise ValueError(
            f"Unknown background {name!r}; name one of the package xyzservices, such as OpenStreetMap or OpenTopoMap, "
            "or none."
        ) from error
    return {
        "url": url,
        "attribution": provider.html_attribution,
        "maxZoom": int(provider.get("max_zoom", 18)),
    }


def country_borders(bounds: Sequence[Sequence[float]] | None = None) -> dict[str, Any]:
    """Coasts and borders of countries, to draw a map on.

    Parameters
    ----------
    bounds : sequence, optional
        ``[[south, west], [north, east]]`` of what the map shows, in degrees; west and east may lie beyond 180.

    Returns
    -------
    dict
        GeoJSON: polygons, fine near the box, coarse elsewhere.
    """
    (south, west), (north, east) = bounds or ((-90.0, -180.0), (90.0, 180.0))
    extent = max(north - south, east - west, 0.5)
    margin = extent / 2.0
    box = shapely.box(west - margin, south - margin, east + margin, north + margin)
    polygons, coarse = country_polygons(), _coarse_polygons()
    drawn = []
    turns = {0.0: True, 360.0: east > 180.0, -360.0: west < -180.0}
    for turn in [turn for turn, is_shown in turns.items() if is_shown]:
        near = shapely.intersects(polygons, _turned(box, -turn))
        fine = _simplified(polygons[near], min(extent / 300.0, _COARSE_DEGREES))
        drawn.append(_turned(fine, turn))
        if turn == 0.0:
            drawn.append(coarse[~near])
    step = 0.01 if extent > 5.0 else 0.001  # as few digits as can be seen
    shapes = shapely.set_precision(np.concatenate(drawn), step)
    shapes = shapes[~shapely.is_empty(shapes)]
    geometries = [shapely.geometry.mapping(shape) for shape in shapes]
    return {"type": "GeometryCollection", "geometries": geometries}


def _turned(shapes: Any, degrees: float) -> Any:
    return shapely.transform(shapes, lambda points: points + np.array([degrees, 0.0]))


@cache
def country_polygons() -> npt.NDArray[np.object_]:
    """Polygons of the world's countries, one for each part of land; not to be changed."""
    import pyarrow.parquet as pq

    column = pq.read_table(COUNTRIES_FILE, columns=["geometry"]).column("geometry")
    return shapely.get_parts(shapely.from_wkb(column.to_numpy()))


@cache
def _coarse_polygons() -> npt.NDArray[np.object_]:
    """`country_polygons` as they are drawn from afar; empty where they are too small to see."""
    return _simplified(country_polygons(), _COARSE_DEGREES)


def _simplified(polygons: npt.NDArray[np.object_], degrees: float) -> npt.NDArray[np.object_]:
    shapes = shapely.simplify(polygons, degrees)
    shapes[shapely.area(polygons) < degrees**2] = shapely.Polygon()
    return shapes


@cache
def leaflet_file(name: str) -> str:
    """Text of a file that lies beside Leaflet."""
    return files("geocells").joinpath("leaflet", name).read_text(encoding="utf-8")


@cache
def _with_pictures(style: str) -> str:
    """A style sheet with its pictures inside."""
    picture = files("geocells").joinpath("leaflet", "images", "layers.png").read_bytes()
    # Besides this one there are a larger one for fine screens and a marker: neither is needed.
    for each in ("layers.png", "layers-2x.png"):
        data = base64.b64encode(picture).decode()
        style = style.replace(f"images/{each}", f"data:image/png;base64,{data}")
    return style.replace("url(images/marker-icon.png)", "none")


def _source_hash(script: str) -> str:
    """The one script that a Content-Security-Policy lets run, as it names it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
