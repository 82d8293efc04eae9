"""The steps of a fit, from coordinates to settled cells; `CellBuilder.fit` tells them in order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from geocells import constructions as algorithms
from geocells._images import Images
from geocells._options import Options
from geocells._types import CodeArray, FloatArray, IntArray, ObjectArray
from geocells.cells import (
    CellPartition,
    CodeRangeIndex,
    Ranges,
    RepresentativePoints,
    nearest_cells,
)
from geocells.claims import Claims
from geocells.constructions import Bins
from geocells.grids import Grid, GroupedGrid, LatLonGrid, S2Grid, n_codes
from geocells.grids.bounds import Box, box_of_bounds, box_of_coords
from geocells.moments import FeatureRows, Moments, moments_by_label
from geocells.sphere import CANCELLED, NO_WEIGHTS, SphereSums, first_point
from geocells.validation import Coordinates, check_coords


def resolve_grid(options: Options, images: Images) -> tuple[GroupedGrid, IntArray]:
    """One grid a group, and the level of its deepest cells."""
    coords, weights = images.coords, images.weights
    group_of_row, group_names = images.group_of_row, images.group_names
    if weights is not None and not weights.all():
        # Rows that stand for no image have no say in the boxes.
        rows = np.flatnonzero(weights)
        coords = check_coords(coords.array[rows])
        if group_of_row is not None:
            group_of_row = group_of_row[rows]
    n_groups = 1 if group_names is None else len(group_names)
    return grid_of_roots(
        options,
        n_groups,
        lambda: root_boxes(
            options.bounds, group_names, lambda: _boxes_of_images(coords, group_of_row, group_names)
        ),
    )


def grid_of_roots(
    options: Options, n_groups: int, boxes: Callable[[], list[Box]]
) -> tuple[GroupedGrid, IntArray]:
    """Return what `resolve_grid` does; ``boxes`` tells the groups' root boxes, where the grid has any."""
    extra = options.extra_levels
    if not isinstance(options.grid, str):
        if options.grid.max_level < extra:
            raise ValueError(
                f"overlap={options.overlap} needs leaves {extra} levels below the cells; the grid's max_level is "
                f"{options.grid.max_level}."
            )
        grid = GroupedGrid((options.grid,) * n_groups)
    elif options.grid == "s2":
        grid = GroupedGrid((S2Grid.with_cell_size(options.min_cell_size, extra),) * n_groups)
    else:
        grid = GroupedGrid(
            tuple(LatLonGrid.with_cell_size(box, options.min_cell_size, extra) for box in boxes())
        )
    return grid, np.array([own.max_level - extra for own in grid.grids], dtype=np.int64)


def _boxes_of_images(
    coords: Coordinates, group_of_row: IntArray | None, group_names: ObjectArray | None
) -> list[Box]:
    """Box of the images of each group."""
    if group_of_row is None or group_names is None:
        return [box_of_coords(coords.array, coords.extremes)]
    absent = np.setdiff1d(np.arange(len(group_names)), group_of_row)
    if len(absent):
        raise ValueError(no_image_of(group_names[absent[0]]))
    order = np.argsort(group_of_row, kind="stable")
    edges = np.searchsorted(group_of_row[order], np.arange(len(group_names) + 1))
    return [
        box_of_coords(coords.array[order[start:stop]])
        for start, stop in zip(edges[:-1], edges[1:], strict=True)
    ]


def no_image_of(group: Any) -> str:
    """Say that all of a group's rows stand for no image."""
    return f"sample_weight is 0 for every image of the group {group!r}: drop those rows."


def root_boxes(
    bounds: Any, group_names: ObjectArray | None, own_boxes: Callable[[], list[Box]]
) -> list[Box]:
    """Root box of each group: what the caller's ``bounds`` say, or else ``own_boxes``, those of the images."""
    if bounds is None:
        return own_boxes()
    if group_names is None:
        if isinstance(bounds, Mapping):
            raise ValueError("bounds names groups, but fit was given no groups.")
        return [box_of_bounds(bounds)]
    by_group = isinstance(bounds, Mapping)
    if hasattr(bounds, "geometry") and hasattr(bounds, "crs"):
        by_group = all(name in bounds.index for name in group_names)
        bounds = bounds.geometry
    if not by_group:
        return [box_of_bounds(bounds)] * len(group_names)
    # A GeoSeries looks for geometries when asked what it contains.
    names = bounds.index if hasattr(bounds, "crs") else bounds
    missing = [name for name in group_names if name not in names]
    if missing:
        raise ValueError(f"bounds has no entry for the group {missing[0]!r}.")
    if hasattr(bounds, "crs"):
        return [box_of_bounds(bounds.loc[[name]]) for name in group_names]
    return [box_of_bounds(bounds[name]) for name in group_names]


def refuse_outside(codes: CodeArray, images: Images) -> None:
    """Raise where the caller's bounds do not hold an image."""
    coords, weights = images.coords.array, images.weights
    outside = np.iinfo(codes.dtype).max
    if not len(codes) or codes.max() != outside:
        return
    rows = np.flatnonzero(codes == outside)
    if weights is not None:
        rows = rows[weights[rows] > 0]
    if len(rows):
        raise ValueError(
            f"bounds must hold every image; {len(rows)} of {len(codes)} lie outside (first: row {rows[0]}, latitude "
            f"{coords[rows[0], 0]}, longitude {coords[rows[0], 1]}). Widen bounds or drop those rows."
        )


def partition_of(
    options: Options,
    grid: GroupedGrid,
    deepest: IntArray,
    bins: Bins,
    codes: CodeArray,
    images: Images,
) -> tuple[CellPartition, IntArray]:
    """Cells of images that were encoded and binned on ``grid``, and their labels."""
    coords, weights = images.coords.array, images.weights
    moments_of = None
    if options.method == "bottom_up" and options.rank_by != "count":
        rows = (
            FeatureRows.of_coords(coords)
            if images.feats is None
            else FeatureRows.of_array(images.feats)
        )

        def moments_of(owners: Ranges, n_owners: int) -> Moments:
            owner_of_row = owners.cell_of_codes(codes)
            return moments_by_label(rows, owner_of_row, n_owners, weights, progress=True)

    claims = construct(options, grid, deepest, bins, moments_of)
    labels, sums, ranges, levels = settle(options, grid, claims, bins, codes, coords, weights)
    centroids = centroids_of(sums, coords, labels)
    points = RepresentativePoints.from_images(coords, labels, weights)
    cells = cells_of(options, grid, ranges, levels, sums, centroids, points, images.group_names)
    if weights is not None and not weights.all():
        # A row that stands for no image may lie where no cell is; it gets the answer that assign gives.
        outside = outside_of_training(options)
        idle = np.flatnonzero((labels < 0) & (weights == 0))
        labels[idle] = cells.assign_checked(
            check_coords(coords[idle], allow_empty=True),
            None if images.group_of_row is None else images.group_of_row[idle],
            outside,
        )
    return cells, labels


def cells_of(
    options: Options,
    grid: GroupedGrid,
    ranges: Ranges,
    levels: IntArray,
    sums: SphereSums,
    centroids: FloatArray,
    points: RepresentativePoints,
    group_names: ObjectArray | None,
) -> CellPartition:
    """Put the partition together."""
    group_of_cell = grid.group_of_code(ranges.first_codes(len(levels)))
    return CellPartition(
        cell_index=CodeRangeIndex(grid, ranges),
        centroids=centroids,
        locations=points.locations(options.location, centroids, sums.counts),
        counts=sums.counts,
        levels=levels,
        group_names=group_names,
        group_of_cell=None if group_names is None else group_of_cell,
        outside=options.outside,
        parameters=options.as_dict(),
        representative_points=points,
    )


def outside_of_training(options: Options) -> str:
    """Word for ``assign`` by which training images get the labels that fit gave them."""
    return "noise" if options.leftover == "noise" else "nearest"


MomentsOf = Callable[[Ranges, int], Moments]
"""From ranges of leaf codes, an owner each, and the number of owners to the moments of the owners' images."""


def construct(
    options: Options,
    grid: GroupedGrid,
    deepest: IntArray,
    bins: Bins,
    moments_of: MomentsOf | None,
) -> Claims:
    """Claims of the chosen method, root by root."""
    if options.method == "bottom_up":
        return _bottom_up(options, grid, deepest, bins, moments_of)
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


def _bottom_up(
    options: Options,
    grid: GroupedGrid,
    deepest: IntArray,
    bins: Bins,
    moments_of: MomentsOf | None,
) -> Claims:
    """Heat maps of every root, one pass over the features, then the competition root by root."""
    faces = [_MortonFace(grid, *face) for face in grid.faces()]
    maps = [
        algorithms.heat_maps(
            face.bins_of(bins),
            face.leaf_level,
            int(deepest[face.group]),
            overlap=options.overlap,
            min_images=options.min_images,
        )
        for face in faces
    ]
    moments: list[Moments | None] = [None] * len(faces)
    if moments_of is not None:
        # Every image belongs to the finest sub-bin that a window needs.
        nodes = Claims.concatenate(
            [face.claims_of(own.node_claims()) for face, own in zip(faces, maps, strict=True)]
        )
        owner_of_node = np.full(nodes.n_cells, -1, dtype=np.int64)
        owns = np.concatenate([own.own_counts > 0 for own in maps])
        owner_of_node[owns] = np.arange(int(owns.sum()))
        flat = Ranges.flatten(nodes)
        owners = Ranges(flat.starts, flat.stops, owner_of_node[flat.cells])
        of_all = moments_of(owners, int(owns.sum()))
        edges = np.cumsum([0] + [int((own.own_counts > 0).sum()) for own in maps])
        moments = [of_all[start:stop] for start, stop in zip(edges[:-1], edges[1:], strict=True)]
    return Claims.concatenate(
        [
            face.claims_of(
                algorithms.bottom_up(
                    own,
                    own_moments,
                    min_images=options.min_images,
                    competition=options.competition,
                    rank_by=options.rank_by,
                )
            )
            for face, own, own_moments in zip(faces, maps, moments, strict=True)
        ]
    )


@dataclass(frozen=True)
class _MortonFace:
    """One root cell, its leaves renumbered from 0 in Morton order, in which neighbours follow from the bits."""

    grid: GroupedGrid
    group: int
    root: int
    leaf_level: int

    @property
    def _own(self) -> Grid:
        return self.grid.grids[self.group]

    @property
    def _place(self) -> int:
        """First code of the face within its own grid; the same in both orders."""
        return self.root - self.grid.group_start(self.group)

    def bins_of(self, bins: Bins) -> Bins:
        low, high = bins.slice_of(self.root, self.root + 4**self.leaf_level)
        own = bins.codes[low:high] - np.uint64(self.grid.group_start(self.group))
        codes = self._own.to_morton(own) - np.uint64(self._place)
        counts = np.diff(bins.totals[low : high + 1])
        order = np.argsort(codes, kind="stable")
        return Bins(codes[order], np.concatenate([[0], np.cumsum(counts[order])]))

    def claims_of(self, claims: Claims) -> Claims:
        """Claims in the grid's own codes. A quadtree cell is one in both orders, but may start at another leaf."""
        codes = self._own.from_morton(claims.starts + np.uint64(self._place))
        spans = claims.stops - claims.starts
        starts = (codes & ~(spans - np.uint64(1))) + np.uint64(self.grid.group_start(self.group))
        return Claims(starts, starts + spans, claims.cells, claims.levels)


def settle(
    options: Options,
    grid: GroupedGrid,
    claims: Claims,
    bins: Bins,
    codes: CodeArray,
    coords: FloatArray,
    weights: IntArray | None,
) -> tuple[IntArray, SphereSums, Ranges, IntArray]:
    """From claims to labels, sums, ranges and levels, with every image in its place."""
    ranges, levels, homeless = lay_flat(options, grid, claims, bins)
    n_cells = len(levels)
    ranges = with_bins(ranges, n_cells, homeless)
    labels = ranges.cell_of_codes(codes)
    sums = SphereSums.from_coords(
        coords, labels, n_cells + len(homeless), NO_WEIGHTS if weights is None else weights
    )
    numbers, sums, ranges, levels = number_cells(grid, ranges, sums, levels, homeless)
    if numbers is not None:
        labels = np.append(numbers, -1)[labels]
    return labels, sums, ranges, levels


def lay_flat(
    options: Options, grid: GroupedGrid, claims: Claims, bins: Bins
) -> tuple[Ranges, IntArray, CodeArray]:
    """Ranges and levels of all cells, those of leftover images among them, and the bins still to be handed to one."""
    ranges = Ranges.flatten(claims)
    homeless = bins.codes[ranges.cell_of_codes(bins.codes) < 0]
    return _with_leftover_cells(options, grid, ranges, claims.levels, homeless)


def with_bins(ranges: Ranges, n_cells: int, homeless: CodeArray) -> Ranges:
    """Make each leftover bin a cell for now, so that one pass over the images gives its mean too."""
    if not len(homeless):
        return ranges
    return Ranges.from_disjoint(
        np.concatenate([ranges.starts, homeless]),
        np.concatenate([ranges.stops, homeless + np.uint64(1)]),
        np.concatenate([ranges.cells, n_cells + np.arange(len(homeless), dtype=np.int64)]),
    )


def number_cells(
    grid: GroupedGrid, ranges: Ranges, sums: SphereSums, levels: IntArray, homeless: CodeArray
) -> tuple[IntArray | None, SphereSums, Ranges, IntArray]:
    """Hand leftover bins to the nearest cell of their group, and number the cells by their lowest code.

    Parameters
    ----------
    ranges, sums
        Of the cells and, after them, of the leftover bins (`with_bins`).
    homeless : (n_bins,) uint64
        Codes of the leftover bins.

    Returns
    -------
    numbers : (n_cells + n_bins,) int64 or None
        New number of each; None where nothing changed.
    sums, ranges, levels
        Of the cells alone, in their new order.
    """
    n_cells = len(levels)
    final = np.arange(n_cells + len(homeless), dtype=np.int64)
    if len(homeless):
        means, _ = sums.means()
        final[n_cells:] = nearest_cells(
            means[n_cells:],
            means[:n_cells],
            grid.group_of_code(homeless),
            grid.group_of_code(ranges.first_codes(n_cells + len(homeless))[:n_cells]),
        )
    joined = ranges.renamed(final)
    order = np.argsort(joined.first_codes(n_cells), kind="stable")
    rank = np.empty(n_cells, dtype=np.int64)
    rank[order] = np.arange(n_cells)
    if not len(homeless) and np.array_equal(rank, np.arange(n_cells)):
        return None, sums, ranges, levels
    final = rank[final]
    return final, sums.merged(final, n_cells), joined.renamed(rank), levels[order]


def _with_leftover_cells(
    options: Options, grid: GroupedGrid, ranges: Ranges, levels: IntArray, homeless: CodeArray
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
    joined = Ranges.from_disjoint(
        np.concatenate(starts), np.concatenate(stops), np.concatenate(cells)
    )
    levels = np.append(levels, np.zeros(n_cells - len(levels), dtype=np.int64))
    return joined, levels, homeless[~makes_cell[group_of_bin]]


def centroids_of(sums: SphereSums, coords: FloatArray, labels: IntArray) -> FloatArray:
    """Mean of each cell's images; the first image where they cancel out."""
    centroids, lengths = sums.means()
    for cell in np.flatnonzero(lengths <= CANCELLED):
        own = coords[labels == cell]
        if len(own):
            centroids[cell] = first_point(own)
    return centroids
