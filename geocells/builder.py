"""CellBuilder: the scikit-learn estimator that turns coordinates into cells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import algorithms
from ._estimator import Estimator
from ._types import ArrayLike, CodeArray, FloatArray, IntArray, ObjectArray
from .algorithms import Bins
from .claims import Claims
from .grids import Grid, GroupedGrid, LatLonGrid, n_codes
from .grids.bounds import Box, box_of_bounds, box_of_coords
from .partition import OUTSIDE_CHOICES, CellPartition, Ranges, nearest_cells, rename_cells
from .sphere import SphereSums
from .sphere.means import CANCELLED, NO_WEIGHTS, first_point
from .validation import (
    Coordinates,
    check_choice,
    check_coords,
    check_count,
    check_groups,
    check_positive,
    check_sample_weight,
    number_groups,
)

METHODS = ("top_down", "consolidated")
LEFTOVER_CHOICES = ("nearest", "cell", "noise")


class CellBuilder(Estimator):
    """Partition the earth into cells that hold enough images to learn from.

    Parameters
    ----------
    min_images : int, default 200
        Images that a cell needs.
    method : {"consolidated", "top_down"}
        ``"top_down"`` splits a cell into its four children while any child holds at least ``min_images``; every
        non-empty leaf is a cell and may be short. ``"consolidated"`` then hands the images of short leaves up to their
        parents until a cell has enough.
    max_images : int, optional
        With ``method="top_down"``: split while a cell holds more than this many images, and treat the images of leaves
        short of ``min_images`` as leftover (the adaptive partition of PlaNet and ISN).
    min_cell_size : float, default 0.01
        Degrees; no cell has a shorter side. 0.01 is 1.1 km of latitude, and cos(latitude) of that in longitude.
    grid : "latlon" or Grid
        The quadtree; a `LatLonGrid` of one's own replaces ``bounds`` and ``min_cell_size``.
    bounds : tuple, polygon(s) or mapping, optional
        Root box (south, west, north, east) in degrees (over the antimeridian where west > east), or polygons whose box
        it is, or one of these for every group: a mapping, or a GeoSeries or GeoDataFrame indexed by group. Default:
        the box of the images, group by group.
    leftover : {"nearest", "cell", "noise"}
        Images that no cell could claim: handed by whole finest bins to the cell (of their group) with the nearest
        centroid; made a cell of their own, one a group, short as it may be; or labelled -1.
    outside : {"nearest", "noise", "raise"}
        What `assign` answers where no cell holds a coordinate.

    Attributes
    ----------
    labels_ : (n_images,) int64
        Cell of each image, -1 for noise. Equal to ``assign(coords, groups)``.
    centroids_ : (n_cells, 2) float64
        Mean of each cell's images on the sphere; latitude, longitude in degrees.
    counts_ : (n_cells,) int64
        Images in each cell.
    n_cells_ : int
        Number of cells.
    cells_ : CellPartition
        The cells themselves: assign, polygons, files, maps.

    Notes
    -----
    Labels are numbered by the cells' lowest code, and every sum is a sum of whole numbers: the result depends on the
    set of images alone, not on their order, the number of threads or the machine. Where no cell at all can be claimed
    (of a group, unless its leftover is noise), everything (of that group) is one cell.

    O(n) to encode, O(n bits / 13) to order, then work by the number of cells.

    References
    ----------
    .. [1] Sweden or Switzerland: GeoLocation on Noisy Datasets.

    Examples
    --------
    >>> import numpy as np
    >>> from geocells import CellBuilder
    >>> rng = np.random.default_rng(0)
    >>> coords = rng.normal((47.0, 8.0), 0.5, size=(2000, 2))
    >>> builder = CellBuilder(min_images=200, method="consolidated").fit(coords)
    >>> bool(builder.counts_.min() >= 200)
    True
    >>> bool((builder.assign(coords) == builder.labels_).all())
    True
    """

    def __init__(
        self,
        min_images: int = 200,
        *,
        method: str = "consolidated",
        max_images: int | None = None,
        min_cell_size: float = 0.01,
        grid: str | Grid = "latlon",
        bounds: Any = None,
        leftover: str = "nearest",
        outside: str = "nearest",
    ) -> None:
        self.min_images = min_images
        self.method = method
        self.max_images = max_images
        self.min_cell_size = min_cell_size
        self.grid = grid
        self.bounds = bounds
        self.leftover = leftover
        self.outside = outside

    def fit(
        self,
        coords: ArrayLike,
        feats: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> CellBuilder:
        """Build the cells.

        Parameters
        ----------
        coords : array-like (n, 2), DataFrame, GeoSeries or GeoDataFrame
            Latitude, longitude of each image in degrees.
        feats : ignored
            These methods look at coordinates only.
        groups : array-like (n,), optional
            A group, such as a country, for every image; each gets a root box and cells of its own.
        sample_weight : array-like (n,) of whole numbers, optional
            Images that each row stands for.

        Returns
        -------
        self : CellBuilder

        Raises
        ------
        ValueError, TypeError
            When a parameter or a row is unsound; the message names the first such row and the remedy.
        """
        options = _Options.of(self)
        checked = check_coords(coords)
        weights = check_sample_weight(sample_weight, len(checked))
        group_of_row, group_names = None, None
        if groups is not None:
            group_of_row, group_names = number_groups(check_groups(groups, len(checked)))
        grid, deepest = _resolve_grid(options, checked, group_of_row, group_names)
        codes = grid.encode(checked.array, group_of_row)
        _refuse_outside(codes, checked.array)
        bins = algorithms.bin_codes(codes, grid.code_bits, weights)
        claims = _construct(options, grid, deepest, bins)
        labels, sums, ranges, levels = _settle(
            options, grid, claims, bins, codes, checked.array, weights
        )
        group_of_cell = grid.group_of_code(ranges.first_codes(len(levels)))
        self.cells_ = CellPartition(
            grid=grid,
            ranges=ranges,
            centroids=(centroids := _centroids(sums, checked.array, labels)),
            locations=centroids.copy(),
            counts=sums.counts,
            levels=levels,
            group_names=group_names,
            group_of_cell=None if group_names is None else group_of_cell,
            outside=options.outside,
            parameters=options.as_dict(),
        )
        if weights is not None and options.leftover != "noise":
            # A row that stands for no image may lie where no cell is; it gets the answer that assign gives.
            lost = labels < 0
            if lost.any():
                labels = self.cells_.assign_checked(checked, group_of_row, "nearest")
        self.labels_ = labels
        self.centroids_ = self.cells_.centroids
        self.counts_ = self.cells_.counts
        self.n_cells_ = self.cells_.n_cells
        self.n_features_in_ = 2
        return self

    def assign(self, coords: ArrayLike, groups: ArrayLike | None = None) -> Any:
        """Cell of each coordinate; see :meth:`CellPartition.assign`.

        Raises
        ------
        NotFittedError
            Before :meth:`fit`.
        """
        if not hasattr(self, "cells_"):
            from sklearn.exceptions import NotFittedError

            raise NotFittedError(
                "This CellBuilder has no cells yet: call fit(coords) before assign or predict."
            )
        return self.cells_.assign(coords, groups)

    def predict(self, coords: ArrayLike, groups: ArrayLike | None = None) -> Any:
        """Do as :meth:`assign`, under scikit-learn's name."""
        return self.assign(coords, groups)

    def fit_predict(
        self,
        coords: ArrayLike,
        feats: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> IntArray:
        """Build the cells and return ``labels_``."""
        return self.fit(coords, feats, groups, sample_weight).labels_


@dataclass(frozen=True)
class _Options:
    """The parameters of a builder, checked."""

    min_images: int
    method: str
    max_images: int | None
    min_cell_size: float
    grid: str | Grid
    bounds: Any
    leftover: str
    outside: str

    @classmethod
    def of(cls, builder: CellBuilder) -> _Options:
        method = check_choice(builder.method, "method", METHODS)
        min_images = check_count(builder.min_images, "min_images")
        max_images = None
        if builder.max_images is not None:
            max_images = check_count(builder.max_images, "max_images")
            if method != "top_down":
                raise ValueError(
                    f'max_images belongs to method="top_down"; method is {method!r}. Leave max_images out.'
                )
            if max_images < min_images:
                raise ValueError(
                    f"max_images must be at least min_images; got {max_images} < {min_images}."
                )
        if isinstance(builder.grid, str):
            check_choice(builder.grid, "grid", ("latlon",))
        elif not hasattr(builder.grid, "encode"):
            raise TypeError(f'grid must be "latlon" or a Grid; got {builder.grid!r}.')
        elif builder.bounds is not None:
            raise ValueError("A grid of one's own has its bounds: leave bounds out.")
        return cls(
            min_images,
            method,
            max_images,
            check_positive(builder.min_cell_size, "min_cell_size", "degrees"),
            builder.grid,
            builder.bounds,
            check_choice(builder.leftover, "leftover", LEFTOVER_CHOICES),
            check_choice(builder.outside, "outside", OUTSIDE_CHOICES),
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain values for a file's metadata; the grids themselves are stored beside them."""
        return {
            "method": self.method,
            "min_images": self.min_images,
            "max_images": self.max_images,
            "min_cell_size": self.min_cell_size,
            "leftover": self.leftover,
        }


def _resolve_grid(
    options: _Options,
    coords: Coordinates,
    group_of_row: IntArray | None,
    group_names: ObjectArray | None,
) -> tuple[GroupedGrid, IntArray]:
    """One grid a group, and the level of its deepest cells."""
    n_groups = 1 if group_names is None else len(group_names)
    if not isinstance(options.grid, str):
        grid = GroupedGrid((options.grid,) * n_groups)
    else:
        boxes = _root_boxes(options.bounds, coords, group_of_row, group_names)
        grid = GroupedGrid(
            tuple(LatLonGrid.with_cell_size(box, options.min_cell_size) for box in boxes)
        )
    return grid, np.array([own.max_level for own in grid.grids], dtype=np.int64)


def _root_boxes(
    bounds: Any,
    coords: Coordinates,
    group_of_row: IntArray | None,
    group_names: ObjectArray | None,
) -> list[Box]:
    if group_of_row is None or group_names is None:
        if isinstance(bounds, Mapping):
            raise ValueError("bounds names groups, but fit was given no groups.")
        if bounds is None:
            return [box_of_coords(coords.array, coords.extremes)]
        return [box_of_bounds(bounds)]
    if bounds is None:
        order = np.argsort(group_of_row, kind="stable")
        edges = np.searchsorted(group_of_row[order], np.arange(len(group_names) + 1))
        return [
            box_of_coords(coords.array[order[start:stop]])
            for start, stop in zip(edges[:-1], edges[1:], strict=True)
        ]
    by_group = isinstance(bounds, Mapping)
    if hasattr(bounds, "geometry") and hasattr(bounds, "crs"):
        by_group = all(name in bounds.index for name in group_names)
        bounds = bounds.geometry
    if not by_group:
        return [box_of_bounds(bounds)] * len(group_names)
    missing = [name for name in group_names if name not in bounds]
    if missing:
        raise ValueError(f"bounds has no entry for the group {missing[0]!r}.")
    if hasattr(bounds, "crs"):
        return [box_of_bounds(bounds.loc[[name]]) for name in group_names]
    return [box_of_bounds(bounds[name]) for name in group_names]


def _refuse_outside(codes: CodeArray, coords: FloatArray) -> None:
    outside = np.iinfo(codes.dtype).max
    if len(codes) and codes.max() == outside:
        rows = np.flatnonzero(codes == outside)
        raise ValueError(
            f"bounds must hold every image; {len(rows)} of {len(codes)} lie outside (first: row {rows[0]}, latitude "
            f"{coords[rows[0], 0]}, longitude {coords[rows[0], 1]}). Widen bounds or drop those rows."
        )


def _construct(options: _Options, grid: GroupedGrid, deepest: IntArray, bins: Bins) -> Claims:
    """Claims of the chosen method, root by root."""
    parts = []
    for group, root, leaf_level in grid.faces():
        if options.method == "top_down":
            part = algorithms.top_down(
                bins,
                root,
                leaf_level,
                int(deepest[group]),
                min_images=options.min_images,
                max_images=options.max_images,
            )
        else:
            part = algorithms.consolidate(
                bins, root, leaf_level, int(deepest[group]), min_images=options.min_images
            )
        parts.append(part)
    return Claims.concatenate(parts)


def _settle(
    options: _Options,
    grid: GroupedGrid,
    claims: Claims,
    bins: Bins,
    codes: CodeArray,
    coords: FloatArray,
    weights: IntArray | None,
) -> tuple[IntArray, SphereSums, Ranges, IntArray]:
    """From claims to labels, sums, ranges and levels, with every image in its place."""
    ranges = Ranges.flatten(claims)
    homeless = bins.codes[ranges.cell_of_codes(bins.codes) < 0]
    ranges, levels, homeless = _with_leftover_cells(options, grid, ranges, claims.levels, homeless)
    n_cells = len(levels)
    if len(homeless):
        # Each leftover bin is a cell for now, so that one pass over the images gives its mean too.
        bin_numbers = n_cells + np.arange(len(homeless), dtype=np.int64)
        ranges = Ranges.in_order(
            np.concatenate([ranges.starts, homeless]),
            np.concatenate([ranges.stops, homeless + np.uint64(1)]),
            np.concatenate([ranges.cells, bin_numbers]),
        )
    labels = ranges.cell_of_codes(codes)
    sums = SphereSums.of(
        coords, labels, n_cells + len(homeless), NO_WEIGHTS if weights is None else weights
    )
    final = np.arange(n_cells + len(homeless), dtype=np.int64)
    if len(homeless):
        means, _ = sums.means()
        final[n_cells:] = nearest_cells(
            means[n_cells:],
            means[:n_cells],
            grid.group_of_code(homeless),
            grid.group_of_code(ranges.first_codes(n_cells + len(homeless))[:n_cells]),
        )
    # Number the cells by their lowest code.
    joined = ranges.renamed(final)
    order = np.argsort(joined.first_codes(n_cells), kind="stable")
    rank = np.empty(n_cells, dtype=np.int64)
    rank[order] = np.arange(n_cells)
    if len(homeless) or not np.array_equal(rank, np.arange(n_cells)):
        final = rank[final]
        rename_cells(labels, final)
        sums = sums.merged(final, n_cells)
        ranges = joined.renamed(rank)
        levels = levels[order]
    return labels, sums, ranges, levels


def _with_leftover_cells(
    options: _Options, grid: GroupedGrid, ranges: Ranges, levels: IntArray, homeless: CodeArray
) -> tuple[Ranges, IntArray, CodeArray]:
    """Add the cells that leftover images make: of a group without any, and where they are asked for.

    Returns the bins that are still to be handed to a cell, last.
    """
    none = np.empty(0, dtype=np.uint64)
    if len(homeless) == 0 or (options.leftover == "noise" and len(levels)):
        return ranges, levels, none
    group_of_bin = grid.group_of_code(homeless)
    has_cells = np.isin(np.arange(len(grid.grids)), grid.group_of_code(ranges.starts))
    makes_cell = np.ones(len(grid.grids), dtype=bool) if options.leftover == "cell" else ~has_cells
    starts, stops, cells = [ranges.starts], [ranges.stops], [ranges.cells]
    n_cells = len(levels)
    for group in np.unique(group_of_bin[makes_cell[group_of_bin]]):
        first = grid.group_start(int(group))
        free = ranges.gaps(first, first + n_codes(grid.grids[group]))
        starts.append(free[0])
        stops.append(free[1])
        cells.append(np.full(len(free[0]), n_cells, dtype=np.int64))
        n_cells += 1
    joined = Ranges.in_order(np.concatenate(starts), np.concatenate(stops), np.concatenate(cells))
    levels = np.append(levels, np.zeros(n_cells - len(levels), dtype=np.int64))
    return joined, levels, homeless[~makes_cell[group_of_bin]]


def _centroids(sums: SphereSums, coords: FloatArray, labels: IntArray) -> FloatArray:
    """Mean of each cell's images; the first image where they cancel out."""
    centroids, lengths = sums.means()
    for cell in np.flatnonzero(lengths <= CANCELLED):
        own = coords[labels == cell]
        if len(own):
            centroids[cell] = first_point(own)
    return centroids
