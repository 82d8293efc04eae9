"""Maps of the table of a partition: a picture with matplotlib, a page for a browser with Leaflet."""

from __future__ import annotations

import json
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely

from geocells.errors import GeocellsWarning
from geocells.grids.bounds import shortest_arc
from geocells.validation import check_choice, check_count
from geocells.web_map import MapPage, country_borders, leaflet_file, map_page, tile_source

if TYPE_CHECKING:
    import geopandas as gpd
    from matplotlib.axes import Axes

# Paul Tol's "light" scheme: nine colours that colour-blind readers tell apart.
CELL_COLORS = (
    "#77AADD", "#EE8866", "#EEDD88", "#FFAABB", "#99DDFF", "#44BB99", "#BBCC33", "#AAAA00", "#DDDDDD",
)  # fmt: skip
SMALLEST_VISIBLE = 0.006
"""A cell smaller than this share of the map's longer side gets a dot."""

MOST_CORNERS = 200_000
"""A browser stays quick with polygons of this many corners in all; beyond, outlines are simplified."""

NARROWEST_GAP = 60.0
"""Degrees of longitude without a cell, for a map to be cut there and not at 180 degrees."""

SCALES = {"count": "images in the cell", "level": "quadtree level"}
NEEDS_MATPLOTLIB = "Maps need matplotlib: pip install '.[plot]' in the source folder."


def plot(
    table: gpd.GeoDataFrame,
    ax: Axes | None = None,
    *,
    color_by: str = "cell",
    locations: bool = True,
    outlines: Any = "countries",
    dots: bool = True,
    limits: tuple[float, float] | None = None,
    **style: Any,
) -> Axes:
    """Draw cells, locations, outlines and dots for cells too small to see; see `CellPartition.plot`."""
    try:
        import matplotlib.pyplot as plt
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(NEEDS_MATPLOTLIB) from error
    check_choice(color_by, "color_by", ("cell", "count", "level"))
    if ax is None:
        _, ax = plt.subplots(figsize=(9.0, 7.0), layout="constrained")
    if not len(table):
        ax.set_title("no cells")
        return ax
    table = _unwrapped(table)
    style = {"edgecolor": "#333333", "linewidth": 0.4, "alpha": 0.75, **style}
    if color_by == "cell":
        style["color"] = np.resize(CELL_COLORS, len(table))
    else:
        style |= {"column": color_by, "cmap": "viridis", "legend": True}
        style["legend_kwds"] = {"label": SCALES[color_by], "shrink": 0.7}
        style["norm"] = _norm(table, color_by, limits)
    # One degree of longitude is drawn as long as it is on the ground in the middle of the map.
    west, south, east, north = table.total_bounds
    middle = np.radians(np.clip((south + north) / 2, -80.0, 80.0))
    table.plot(ax=ax, aspect=1.0 / np.cos(middle), **style)
    if isinstance(outlines, str):
        import geopandas as gpd

        borders = country_borders([[south, west], [north, east]])
        outlines = gpd.GeoDataFrame(geometry=shapely.get_parts(shapely.geometry.shape(borders)))
    if outlines is not None:
        outlines.boundary.plot(ax=ax, aspect=None, color="#555555", linewidth=0.7, zorder=3)
    # Outlines must not stretch the map beyond the cells.
    margin = 0.02 * max(east - west, north - south, 1e-6)
    ax.set(
        xlim=(west - margin, east + margin),
        ylim=(south - margin, north + margin),
        xlabel="longitude (degrees)",
        ylabel="latitude (degrees)",
    )
    if dots:
        side = np.sqrt(shapely.area(table.geometry.to_numpy()))
        small = table[side < SMALLEST_VISIBLE * max(east - west, north - south)]
        ax.plot(small["longitude"], small["latitude"], "s", color="#882255", markersize=2.5)
    if locations:
        ax.plot(table["longitude"], table["latitude"], "k.", markersize=1.8)
    return ax


def explore(
    table: gpd.GeoDataFrame,
    *,
    color_by: str = "cell",
    locations: bool = True,
    max_cells: int = 10_000,
    limits: tuple[float, float] | None = None,
    tiles: str | None = "OpenStreetMap",
) -> MapPage:
    """Draw cells on a map in a browser; see `CellPartition.explore`."""
    check_choice(color_by, "color_by", ("cell", "count", "level", "group"))
    check_count(max_cells, "max_cells")
    if color_by == "group" and "group" not in table:
        raise ValueError(
            'These cells were built without groups: color_by cannot be "group"; use "cell", "count" or "level".'
        )
    colors, scale = _colors(table, color_by, limits)
    shown = _unwrapped(table.assign(color=colors))
    if len(table) > max_cells:
        shown = shown.sort_values("count", ascending=False, kind="stable")[:max_cells].sort_index()
        share = 100 * shown["count"].sum() / table["count"].sum()
        warnings.warn(
            f"The map shows the {max_cells} fullest of {len(table)} cells, with {share:.1f} % of the images; "
            "max_cells=... shows more.",
            GeocellsWarning,
            stacklevel=3,
        )
    facts = ["count", "level", *(["group"] if "group" in table else []), "color", "geometry"]
    drawn = shown[facts].set_geometry(_simplified(shown.geometry.to_numpy())).reset_index()
    content: dict[str, Any] = {
        "tiles": None if tiles is None else tile_source(tiles),
        "cells": json.loads(drawn.rename(columns={"count": "images"}).to_json(drop_id=True)),
        "bounds": None,
        "locations": None,
        "scale": scale,
    }
    if len(shown):
        west, south, east, north = shown.total_bounds.tolist()
        content["bounds"] = [[south, west], [north, east]]
    content["borders"] = country_borders(content["bounds"])
    if locations:
        content["locations"] = shown[["latitude", "longitude"]].round(6).to_numpy().tolist()
    return map_page("Cells", content, [leaflet_file("cells.js")])


def _norm(table: gpd.GeoDataFrame, color_by: str, limits: tuple[float, float] | None) -> Any:
    """Colour scale, from the least to the greatest value or between limits; logarithmic for counts."""
    try:
        from matplotlib import colors
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(NEEDS_MATPLOTLIB) from error
    least, most = limits or (table[color_by].min(), table[color_by].max())
    if not (color_by == "count") <= least <= most < np.inf:
        raise ValueError(
            f"limits must be the least and the greatest {color_by} of the colour scale, as in (10, 500); got {limits}."
        )
    scale = colors.LogNorm if color_by == "count" else colors.Normalize
    return scale(least, max(most, least + 1))


def _colors(
    table: gpd.GeoDataFrame, color_by: str, limits: tuple[float, float] | None
) -> tuple[list[str], dict[str, Any] | None]:
    """Colour of each cell, as HTML writes it, and the legend of a scale."""
    if color_by in ("cell", "group"):
        numbers = table.index if color_by == "cell" else table["group"].factorize()[0]
        colors: list[str] = np.array(CELL_COLORS)[np.asarray(numbers) % len(CELL_COLORS)].tolist()
        return colors, None
    if not len(table):
        return [], None
    norm = _norm(table, color_by, limits)
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    shades = colormaps["viridis"]
    scale = {
        "title": SCALES[color_by],
        "ends": [f"{norm.vmin:g}", f"{norm.vmax:g}"],
        "colors": [to_hex(shades(part)) for part in np.linspace(0.0, 1.0, 5)],
    }
    return [to_hex(shades(norm(value))) for value in table[color_by]], scale


def _unwrapped(table: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Cells on one side of the map's edge: longitudes run on past 180 where they lie on both sides of that meridian."""
    wests, _, easts, _ = shapely.bounds(shapely.get_parts(table.geometry.to_numpy())).T
    west, east = shortest_arc(wests, easts) if len(wests) else (-180.0, 180.0)
    if west <= east or west - east < NARROWEST_GAP:
        return table

    def shifted(points: Any) -> Any:
        return points + np.where(points[:, :1] < west, [360.0, 0.0], 0.0)

    longitudes = table["longitude"] + 360.0 * (table["longitude"] < west)
    polygons = shapely.transform(table.geometry.to_numpy(), shifted)
    wests, _, easts, _ = shapely.bounds(polygons).T
    for row in np.flatnonzero((wests < 180.0) & (easts > 180.0)):  # without the cut
        polygons[row] = shapely.union_all(shapely.get_parts(polygons[row]))
    return table.assign(longitude=longitudes).set_geometry(polygons)


def _simplified(polygons: Any) -> Any:
    """Polygons with ``MOST_CORNERS`` at most in all, or else simplified to a thousandth of the map."""
    west, south, east, north = shapely.total_bounds(polygons)
    simplified = polygons
    for part in (1e-5, 1e-4, 1e-3):
        if shapely.get_num_coordinates(simplified).sum() <= MOST_CORNERS:
            break
        simplified = shapely.simplify(polygons, part * max(east - west, north - south))
    return simplified
