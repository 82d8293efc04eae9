"""Maps of the table of a partition: a picture with matplotlib, a page for a browser with folium."""

from __future__ import annotations

import html
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely

from geocells._errors import GeocellsWarning
from geocells.validation import check_choice, check_count

if TYPE_CHECKING:
    import folium
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


def plot(
    table: gpd.GeoDataFrame,
    ax: Axes | None = None,
    *,
    color_by: str = "cell",
    locations: bool = True,
    outlines: gpd.GeoDataFrame | None = None,
    dots: bool = True,
    **style: Any,
) -> Axes:
    """Draw cells, locations, outlines and dots for cells too small to see; see `CellPartition.plot`."""
    try:
        import matplotlib.pyplot as plt
        from matplotlib.colors import LogNorm
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "Maps need matplotlib: pip install '.[plot]' in the source folder."
        ) from error
    check_choice(color_by, "color_by", ("cell", "count", "level"))
    if ax is None:
        _, ax = plt.subplots(figsize=(9.0, 7.0), layout="constrained")
    if not len(table):
        ax.set_title("no cells")
        return ax
    style = {"edgecolor": "#333333", "linewidth": 0.4, "alpha": 0.75, **style}
    if color_by == "cell":
        style["color"] = np.resize(CELL_COLORS, len(table))
    else:
        label = "images in the cell" if color_by == "count" else "quadtree level"
        style |= {"column": color_by, "cmap": "viridis", "legend": True}
        style["legend_kwds"] = {"label": label, "shrink": 0.7}
        if color_by == "count":
            style["norm"] = LogNorm(table["count"].min(), table["count"].max() + 1)
    # One degree of longitude is drawn as long as it is on the ground in the middle of the map.
    west, south, east, north = table.total_bounds
    middle = np.radians(np.clip((south + north) / 2, -80.0, 80.0))
    table.plot(ax=ax, aspect=1.0 / np.cos(middle), **style)
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
    tiles: str | None = "OpenStreetMap",
) -> folium.Map:
    """Draw cells on a map in a browser; see `CellPartition.explore`.

    Notes
    -----
    Not `GeoDataFrame.explore`: that needs mapclassify, and shows a name as the HTML that it may be.
    """
    try:
        import folium
        import geopandas as gpd
        from matplotlib import colormaps, colors
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "Maps in a browser need folium and matplotlib: pip install '.[plot]' in the source folder."
        ) from error
    check_choice(color_by, "color_by", ("cell", "count", "level", "group"))
    check_count(max_cells, "max_cells")
    if color_by == "group" and "group" not in table:
        raise ValueError(
            'These cells were built without groups: color_by cannot be "group"; use "cell", "count" or "level".'
        )
    chart = folium.Map(tiles=tiles, prefer_canvas=True, control_scale=True)
    if not len(table):
        return chart
    if color_by in ("cell", "group"):
        numbers = table.index if color_by == "cell" else table["group"].factorize()[0]
        color_of_cell = np.array(CELL_COLORS)[np.asarray(numbers) % len(CELL_COLORS)].tolist()
    else:
        values = np.log(table["count"]) if color_by == "count" else table["level"]
        shades = colormaps["viridis"](colors.Normalize()(values.to_numpy(np.float64)))
        color_of_cell = [colors.to_hex(shade) for shade in shades]
    shown = table.assign(color=color_of_cell)
    if len(table) > max_cells:
        shown = shown.sort_values("count", ascending=False, kind="stable")[:max_cells].sort_index()
        share = 100 * shown["count"].sum() / table["count"].sum()
        warnings.warn(
            f"The map shows the {max_cells} fullest of {len(table)} cells, with {share:.1f} % of the images; "
            "max_cells=... shows more.",
            GeocellsWarning,
            stacklevel=3,
        )
    features = gpd.GeoDataFrame(
        {
            "cell": shown.index,
            "images": shown["count"].to_numpy(),
            "level": shown["level"].to_numpy(),
        },
        geometry=_simplified(shown.geometry.to_numpy()),
        crs=4326,
    )
    if "group" in table:
        # A tooltip is HTML: a name must not be run as such.
        features["group"] = [html.escape(str(name)) for name in shown["group"]]
    fields = [name for name in features if name != "geometry"]
    folium.GeoJson(
        features.assign(color=shown["color"].to_numpy()),
        name="cells",
        style_function=lambda feature: {
            "fillColor": feature["properties"]["color"],
            "color": "#333333",
            "weight": 0.6,
            "fillOpacity": 0.5,
        },
        highlight_function=lambda _: {"weight": 2.5, "fillOpacity": 0.75},
        tooltip=folium.GeoJsonTooltip(fields),
    ).add_to(chart)
    if locations:
        points = gpd.points_from_xy(shown["longitude"].round(6), shown["latitude"].round(6))
        folium.GeoJson(
            features.set_geometry(points, crs=4326),
            name="locations",
            marker=folium.CircleMarker(
                radius=2, weight=0, fill=True, fill_color="#000000", fill_opacity=0.9
            ),
            tooltip=folium.GeoJsonTooltip(fields),
        ).add_to(chart)
    folium.LayerControl(collapsed=False).add_to(chart)
    west, south, east, north = shown.total_bounds.tolist()
    chart.fit_bounds([[south, west], [north, east]])
    return chart


def _simplified(polygons: Any) -> Any:
    """Polygons with ``MOST_CORNERS`` at most in all, or else simplified to a thousandth of the map."""
    west, south, east, north = shapely.total_bounds(polygons)
    simplified = polygons
    for part in (1e-5, 1e-4, 1e-3):
        if shapely.get_num_coordinates(simplified).sum() <= MOST_CORNERS:
            break
        simplified = shapely.simplify(polygons, part * max(east - west, north - south))
    return simplified
