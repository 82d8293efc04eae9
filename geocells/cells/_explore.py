"""Maps in a browser, with folium."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely

from geocells._errors import GeocellsWarning
from geocells._types import FloatArray, IntArray, ObjectArray
from geocells.cells._plot import CELL_COLORS
from geocells.validation import check_choice, check_count

if TYPE_CHECKING:
    import folium

    from geocells.cells.partition import CellPartition

COLOR_CHOICES = ("cell", "count", "level", "group")
MOST_CORNERS = 200_000
"""A browser stays quick with polygons of this many corners in all; beyond, outlines are simplified."""

# Viridis, from few to many.
RAMP = ("#440154", "#414487", "#2A788E", "#22A884", "#7AD151", "#FDE725")


def explore(
    cells: CellPartition,
    *,
    color_by: str = "cell",
    locations: bool = True,
    max_cells: int = 10_000,
    tiles: str | None = "OpenStreetMap",
) -> folium.Map:
    """Draw cells on a map in a browser; see `CellPartition.explore`."""
    try:
        import folium
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "Maps in a browser need folium: pip install 'geocells[plot]'."
        ) from error
    check_choice(color_by, "color_by", COLOR_CHOICES)
    check_count(max_cells, "max_cells")
    if color_by == "group" and cells.groups is None:
        raise ValueError(
            'These cells were built without groups: color_by cannot be "group"; use "cell", "count" or "level".'
        )
    chart = folium.Map(tiles=tiles, prefer_canvas=True, control_scale=True)
    if not cells.n_cells:
        return chart
    shown = np.arange(cells.n_cells)
    if cells.n_cells > max_cells:
        shown = np.sort(np.argsort(-cells.counts, kind="stable")[:max_cells])
        share = 100 * cells.counts[shown].sum() / cells.counts.sum()
        warnings.warn(
            f"The map shows the {max_cells} fullest of {cells.n_cells} cells, with {share:.1f} % of the images; "
            "max_cells=... shows more.",
            GeocellsWarning,
            stacklevel=3,
        )
    polygons, tolerance = _light(cells.polygons()[shown])
    colors = _colors(cells, color_by)[shown]
    properties = _properties(cells, shown)
    fields = list(properties[0])
    features = [
        {
            "type": "Feature",
            "id": str(cell),
            "properties": {**own, "color": color},
            "geometry": geometry,
        }
        for cell, own, color, geometry in zip(
            shown, properties, colors, map(shapely.geometry.mapping, polygons), strict=True
        )
    ]
    folium.GeoJson(
        {"type": "FeatureCollection", "features": features},
        name="cells" if tolerance == 0 else f"cells (outlines simplified to {tolerance:.2g}°)",
        style_function=lambda feature: {
            "fillColor": feature["properties"]["color"],
            "color": "#333333",
            "weight": 0.6,
            "fillOpacity": 0.5,
        },
        highlight_function=lambda _: {"weight": 2.5, "fillOpacity": 0.75},
        tooltip=folium.GeoJsonTooltip(fields=fields),
        smooth_factor=0.5,
    ).add_to(chart)
    if locations:
        points = [
            {
                "type": "Feature",
                "properties": own,
                "geometry": {"type": "Point", "coordinates": [longitude, latitude]},
            }
            for own, (latitude, longitude) in zip(
                properties, cells.locations[shown].round(6).tolist(), strict=True
            )
        ]
        folium.GeoJson(
            {"type": "FeatureCollection", "features": points},
            name=f"locations ({cells.parameters.get('location', 'mean')})",
            marker=folium.CircleMarker(
                radius=2, weight=0, fill=True, fill_color="#000000", fill_opacity=0.9
            ),
            tooltip=folium.GeoJsonTooltip(fields=fields),
        ).add_to(chart)
    folium.LayerControl(collapsed=False).add_to(chart)
    west, south, east, north = shapely.total_bounds(polygons).tolist()
    chart.fit_bounds([[south, west], [north, east]])
    return chart


def _light(polygons: ObjectArray) -> tuple[ObjectArray, float]:
    """Polygons with ``MOST_CORNERS`` at most in all, by ever coarser outlines, and the tolerance in degrees.

    Where outlines cannot become simple enough they stay at the coarsest tried: a thousandth of the map.
    """
    if shapely.get_num_coordinates(polygons).sum() <= MOST_CORNERS:
        return polygons, 0.0
    west, south, east, north = shapely.total_bounds(polygons)
    extent = max(east - west, north - south)
    lighter, tolerance = polygons, 0.0
    for part in (1e-5, 3e-5, 1e-4, 3e-4, 1e-3):
        tolerance = float(extent * part)
        lighter = shapely.simplify(polygons, tolerance, preserve_topology=True)
        if shapely.get_num_coordinates(lighter).sum() <= MOST_CORNERS:
            break
    return lighter, tolerance


def _properties(cells: CellPartition, shown: IntArray) -> list[dict[str, Any]]:
    groups = cells.groups
    return [
        {
            "cell": int(cell),
            "images": int(cells.counts[cell]),
            "level": int(cells.levels[cell]),
            **({} if groups is None else {"group": str(groups[cell])}),
        }
        for cell in shown
    ]


def _colors(cells: CellPartition, color_by: str) -> ObjectArray:
    if color_by in ("cell", "group"):
        number: Any = np.arange(cells.n_cells) if color_by == "cell" else cells.group_of_cell
        colors: ObjectArray = np.array(CELL_COLORS, dtype=object)[number % len(CELL_COLORS)]
        return colors
    values = np.log(cells.counts) if color_by == "count" else cells.levels.astype(np.float64)
    return _ramp(values)


def _ramp(values: FloatArray) -> ObjectArray:
    """Colour of each value, from the first of the ramp at the least to the last at the greatest."""
    low, high = values.min(), values.max()
    share = (values - low) / (high - low) if high > low else np.zeros(len(values))
    stops = np.array([[int(color[k : k + 2], 16) for k in (1, 3, 5)] for color in RAMP])
    at = np.linspace(0.0, 1.0, len(RAMP))
    mixed = np.column_stack([np.interp(share, at, stops[:, k]) for k in range(3)])
    return np.array(
        [f"#{red:02X}{green:02X}{blue:02X}" for red, green, blue in mixed.round().astype(int)],
        dtype=object,
    )
