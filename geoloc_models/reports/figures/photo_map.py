"""The photos on the map: the paper's Figure 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import geopandas as gpd
import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.colors import ListedColormap, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from geoloc_models.reports.figures._style import OKABE_ITO
from geoloc_models.reports.figures.panels import (
    BORDER,
    LAND,
    SEA,
    WORLD_PANEL,
    MapPanel,
    aspect,
    frame_map,
    inside,
    map_grid,
    stretch,
)

DENSITY = ListedColormap(mpl.colormaps["viridis_r"](np.linspace(0.12, 1.0, 256)))
KM_PER_DEGREE = 111.195


def map_of_photos(
    coords: npt.ArrayLike,
    countries: npt.ArrayLike,
    polygons: gpd.GeoDataFrame,
    panels: Sequence[MapPanel],
    part: npt.ArrayLike | None = None,
    *,
    title: str = "Where the photos were taken",
    n_named: int = 12,
    dots_up_to: int = 500,
) -> Figure:
    """Photos on country outlines: how many where, and how many in each country.

    Parameters
    ----------
    coords : array-like
        (n, 2) latitude and longitude in degrees.
    countries : array-like
        (n,) country codes.
    polygons : GeoDataFrame
        Outlines with a ``name``, of :func:`geoloc_models.countries.load_countries`.
    panels : sequence of MapPanel
        What to show, side by side.
    part : array-like, optional
        (n,) part of the split of each photo, counted in the legend.
    title : str
        Over the figure.
    n_named : int, default 12
        Countries with a line of their own in the legend, the largest first.
    dots_up_to : int, default 500
        A panel with more photos shows hexagons coloured by their number (one scale for all
        panels, logarithmic where the largest is above 20); one with fewer, a dot per photo.

    Returns
    -------
    Figure
        1600 pixels wide.
    """
    coords = np.asarray(coords, dtype=np.float64).reshape(-1, 2)
    codes = np.asarray(countries, dtype=object).astype(str)
    figure, axes = map_grid(panels, (), beside=4.0)
    drawn = []
    has_dots = False
    for axis, panel in zip(axes, panels, strict=True):
        is_world = panel == WORLD_PANEL
        axis.set_facecolor(SEA)
        outlines = inside(polygons, panel)
        how: dict[str, Any] = {"ax": axis, "aspect": None}
        outlines.plot(color=LAND, edgecolor="none", zorder=1, **how)
        outlines.boundary.plot(color=BORDER, linewidth=0.3 if is_world else 0.8, zorder=2, **how)
        shown = coords[_is_in(coords, panel)]
        width = ""
        if len(shown) > dots_up_to:
            hexagons, size_km = _hexagons(axis, shown, panel)
            drawn.append(hexagons)
            width = f"\nhexagons about {_kilometres(size_km)} wide"
        else:
            has_dots = True
            axis.plot(
                shown[:, 1],
                shown[:, 0],
                linestyle="none",
                marker="o",
                markersize=2.5 if is_world else 4.0,
                markeredgewidth=0.3,
                markeredgecolor="white",
                color=OKABE_ITO[1],
                alpha=0.8,
                zorder=5,
            )
        frame_map(axis, panel)
        axis.set_title(f"{panel.title}: {len(shown):,} photos{width}")
    if drawn:
        _scale(figure, axes, drawn)
    handles = _counts(codes, polygons, part, n_named)
    if has_dots:
        dot: dict[str, Any] = {"linestyle": "none", "marker": "o", "markersize": 5}
        handles.insert(0, Line2D([], [], color=OKABE_ITO[1], label="Photo", **dot))
    figure.legend(
        handles=handles,
        title=f"{len(codes):,} photos" + _part_names(part),
        alignment="left",
        handlelength=1.0 if has_dots else 0.0,
        handletextpad=0.6 if has_dots else 0.0,
        loc="outside right upper",
    )
    figure.suptitle(title, fontsize="x-large")
    return figure


def _is_in(coords: npt.NDArray[np.float64], panel: MapPanel) -> npt.NDArray[np.bool_]:
    south, west, north, east = panel.bounds
    latitude, longitude = coords.T
    inside: npt.NDArray[np.bool_] = (
        (south <= latitude) & (latitude <= north) & (west <= longitude) & (longitude <= east)
    )
    return inside


def _hexagons(axis: Any, coords: npt.NDArray[np.float64], panel: MapPanel) -> tuple[Any, float]:
    """Hexagons with at least one photo, regular on the map, and their width in kilometres."""
    south, west, north, east = panel.bounds
    across = int(np.clip(round(85 * aspect(panel) ** 0.8), 30, 200))
    up = max(1, round(across / aspect(panel) / np.sqrt(3)))
    hexagons = axis.hexbin(
        coords[:, 1],
        coords[:, 0],
        gridsize=(across, up),
        extent=(west, east, south, north),
        mincnt=1,
        cmap=DENSITY,
        linewidths=0.1,
        zorder=3,
    )
    return hexagons, (east - west) / across * stretch(panel) * KM_PER_DEGREE


def _kilometres(width: float) -> str:
    return f"{width:.1f} km" if width < 10 else f"{width:.0f} km"


def _scale(figure: Figure, axes: Sequence[Any], drawn: Sequence[Any]) -> None:
    """One scale of colours for all hexagons."""
    most = max(float(each.get_array().max()) for each in drawn)
    is_logarithmic = most > 20
    norm = LogNorm(1.0, most) if is_logarithmic else Normalize(1.0, max(most, 2.0))
    for each in drawn:
        each.set_norm(norm)
    bar = figure.colorbar(
        mpl.cm.ScalarMappable(norm=norm, cmap=DENSITY),
        ax=list(axes),
        location="bottom",
        shrink=0.4,
        aspect=40,
    )
    bar.set_label(f"Photos in a hexagon{' (logarithmic)' if is_logarithmic else ''}")
    if is_logarithmic:
        steps = (1.0, 2.0, 5.0) if most < 1000 else (1.0,)
        bar.ax.xaxis.set_major_locator(LogLocator(subs=steps))
        bar.ax.xaxis.set_minor_locator(NullLocator())
    else:
        bar.ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    bar.ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


def _counts(
    codes: npt.NDArray[np.str_],
    polygons: gpd.GeoDataFrame,
    part: npt.ArrayLike | None,
    n_named: int,
) -> list[Line2D]:
    """Lines of the legend: a country and its number of photos, the largest first."""
    found, counts = np.unique(codes, return_counts=True)
    order = np.lexsort((found, -counts))
    names = polygons["name"]
    parts = None if part is None else np.asarray(part, dtype=object).astype(str)
    lines = []
    for place in order[:n_named]:
        is_here = codes == found[place]
        name = str(names.get(found[place], found[place]))
        lines.append(f"{name}: {counts[place]:,}{_part_counts(parts, is_here)}")
    others = order[n_named:]
    if len(others):
        is_here = np.isin(codes, found[others])
        lines.append(
            f"{len(others)} more countries: {is_here.sum():,}{_part_counts(parts, is_here)}"
        )
    return [Line2D([], [], linestyle="none", label=line) for line in lines]


def _ordered_parts(parts: npt.NDArray[np.str_]) -> list[str]:
    usual = ["train", "validation", "test"]
    return sorted(set(parts), key=lambda name: (usual.index(name) if name in usual else 9, name))


def _part_counts(parts: npt.NDArray[np.str_] | None, is_here: npt.NDArray[np.bool_]) -> str:
    if parts is None:
        return ""
    counts = [int(np.sum(is_here & (parts == name))) for name in _ordered_parts(parts)]
    return f" ({' + '.join(f'{count:,}' for count in counts)})"


def _part_names(part: npt.ArrayLike | None) -> str:
    if part is None:
        return ""
    return f"\n({' + '.join(_ordered_parts(np.asarray(part, dtype=object).astype(str)))})"
