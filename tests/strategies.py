"""Hypothesis strategies: the coordinates, groups and options that break partitions."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

KINDS = ("clusters", "lattice", "poles", "antimeridian", "world", "one_place", "line")

BOXES = (
    (-90.0, -180.0, 90.0, 180.0),
    (0.0, 0.0, 8.0, 8.0),
    (45.8, 5.9, 47.9, 10.6),
    (-10.0, 170.0, 10.0, -170.0),
    (0.1, 179.3, 0.7, -179.9),
    (60.0, -180.0, 90.0, 0.0),
    (-90.0, 0.0, 0.0, 180.0),
    (-1.0, 10.0, 1.0, 9.0),
)
"""South, west, north, east of root boxes: the world, round numbers, odd ones, over the antimeridian, to the edges."""


def _piece(kind: str, n_rows: int, rng: np.random.Generator) -> np.ndarray:
    if kind == "clusters":
        centres = rng.uniform((-70, -170), (70, 170), size=(rng.integers(1, 5), 2))
        spread = 10.0 ** rng.uniform(-4, 1)
        return centres[rng.integers(len(centres), size=n_rows)] + rng.normal(0, spread, (n_rows, 2))
    if kind == "lattice":
        # Eighths of a degree, many of them on the same place: on every border of a box with round corners.
        return rng.integers(0, 9, size=(n_rows, 2)) * rng.choice([0.125, 1.0, 5.0])
    if kind == "poles":
        latitudes = rng.choice([90.0, -90.0, 89.999, -89.999], size=n_rows)
        return np.column_stack([latitudes, rng.uniform(-180, 180, n_rows)])
    if kind == "antimeridian":
        longitudes = rng.choice([180.0, -180.0, 179.5, -179.5, 179.999, -179.25], size=n_rows)
        return np.column_stack([rng.choice([0.0, 0.25, 0.5, 1.0], size=n_rows), longitudes])
    if kind == "world":
        return rng.uniform((-90, -180), (90, 180), size=(n_rows, 2))
    if kind == "line":
        return np.column_stack([np.full(n_rows, 12.5), rng.uniform(-30, 30, n_rows)])
    return np.tile(rng.uniform((-90, -180), (90, 180), size=2), (n_rows, 1))


@st.composite
def coordinates(draw: st.DrawFn, max_rows: int = 200) -> np.ndarray:
    """(n, 2) latitude, longitude in degrees: one kind of trouble, or several at once, some rows repeated."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1), label="seed"))
    kinds = draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=3), label="kinds")
    most = max(1, max_rows // (2 * len(kinds)))
    pieces = [_piece(kind, draw(st.integers(1, most), label="rows"), rng) for kind in kinds]
    coords = np.concatenate(pieces)
    coords = np.concatenate([coords, coords[: draw(st.integers(0, len(coords)), label="repeated")]])
    coords = coords[rng.permutation(len(coords))]
    return np.clip(coords, (-90.0, -180.0), (90.0, 180.0))


@st.composite
def coordinates_in(
    draw: st.DrawFn, box: tuple[float, float, float, float], max_rows: int = 200
) -> np.ndarray:
    """Coordinates in a box, half of them exactly on the edges of its quadtree cells."""
    south, west, north, east = box
    width = east - west if east > west else east - west + 360.0
    n_rows = draw(st.integers(1, max_rows), label="rows")
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1), label="seed"))
    shares = rng.uniform(0, 1, size=(n_rows, 2)) ** rng.choice([1.0, 4.0])
    on_edge = rng.random((n_rows, 2)) < 0.5
    n_parts = 2.0 ** draw(st.integers(0, 5), label="edges of level")
    shares[on_edge] = np.round(shares[on_edge] * n_parts) / n_parts
    latitudes = np.clip(south + (north - south) * shares[:, 0], south, north)
    longitudes = np.minimum(west + width * shares[:, 1], west + width)
    longitudes = np.where(longitudes > 180.0, longitudes - 360.0, longitudes)
    if east < west:
        # What rounding pushed over the eastern edge goes back onto it.
        longitudes = np.where((longitudes > east) & (longitudes < west), east, longitudes)
    return np.column_stack([latitudes, longitudes])


@st.composite
def groups_of(draw: st.DrawFn, n_rows: int) -> list[str]:
    """A group name for each row, from one to three groups."""
    names = draw(st.sampled_from([["CH"], ["SE", "CH"], ["SE", "CH", "AT"]]), label="groups")
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1), label="seed"))
    return [names[k] for k in rng.integers(len(names), size=n_rows)]


boxes = st.sampled_from(BOXES)
min_images = st.integers(1, 30)
min_cell_sizes = st.sampled_from([0.01, 0.3, 1.0, 5.0, 30.0, 200.0])
leftovers = st.sampled_from(["nearest", "cell", "noise"])


@st.composite
def methods(draw: st.DrawFn) -> dict[str, object]:
    """Keyword arguments of a builder: method, min_images, max_images."""
    options: dict[str, object] = {"min_images": draw(min_images)}
    options["method"] = draw(st.sampled_from(["top_down", "consolidated"]))
    if options["method"] == "top_down" and draw(st.booleans()):
        options["max_images"] = options["min_images"] + draw(st.integers(0, 20))  # type: ignore[operator]
    return options


@st.composite
def bottom_up_options(draw: st.DrawFn) -> dict[str, object]:
    """Keyword arguments of a builder of bottom-up cells, on both grids."""
    return {
        "method": "bottom_up",
        "min_images": draw(min_images),
        "overlap": draw(st.sampled_from([1, 2, 4])),
        "competition": draw(st.sampled_from(["level", "all"])),
        "rank_by": draw(st.sampled_from(["mean_wcss", "wcss", "count"])),
        "grid": draw(st.sampled_from(["latlon", "s2", "healpix"])),
    }


@st.composite
def optimal_options(draw: st.DrawFn) -> dict[str, object]:
    """Keyword arguments of a builder of optimal cells, on every grid."""
    return {
        "method": "optimal",
        "min_images": draw(min_images),
        "grid": draw(st.sampled_from(["latlon", "s2", "healpix"])),
    }
