"""The steps of a fit, from what the caller gave to a partition: `CellBuilder.fit` takes them in order.

Read the parameters (`Options`) and the images (`Images`), lay a grid over them (`make_grid`), order their codes
(`geocells.constructions.bin_codes`), decide which cell each range of codes belongs to (`choose_cells`), hand over what
is left and number the cells (`number_cells`), and put the partition together (`partition_from_labels`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args

import numpy as np

from geocells import constructions
from geocells.array_types import ArrayLike, CodeArray, FloatArray, IntArray, ObjectArray
from geocells.cells import (
    LOCATION_CHOICES,
    OUTSIDE_CHOICES,
    CellIndex,
    CellPartition,
    CodeRangeIndex,
    Ranges,
    RepresentativePoints,
    TrainingImages,
    nearest_points,
)
from geocells.constructions import Bins, Competition, PrioritizedRanges, Ranking
from geocells.errors import refuse_rows
from geocells.grids import Grid, GroupedGrid, HealpixGrid, LatLonGrid, S2Grid, n_codes
from geocells.grids.bounds import Box, box_of_bounds, box_of_coords
from geocells.jit import over_rows
from geocells.moments import Moments, moments_of_images
from geocells.sphere import SphereSums
from geocells.validation import (
    Coordinates,
    check_choice,
    check_coords,
    check_count,
    check_feats,
    check_groups,
    check_positive,
    check_sample_weight,
    number_groups,
)

Method = Literal["bottom_up", "consolidated", "optimal", "top_down"]
Leftover = Literal["nearest", "cell", "noise"]
OVERLAPS = (1, 2, 4, 8)
GLOBAL_GRIDS: dict[str, type[S2Grid] | type[HealpixGrid]] = {"s2": S2Grid, "healpix": HealpixGrid}
CHOICES = {
    "method": get_args(Method),
    "competition": get_args(Competition),
    "rank_by": get_args(Ranking),
    "location": LOCATION_CHOICES,
    "leftover": get_args(Leftover),
    "outside": OUTSIDE_CHOICES,
}


@dataclass(frozen=True)
class Options:
    """The parameters of a `CellBuilder`, checked."""

    min_images: int
    method: str
    max_images: int | None
    min_cell_size: float
    grid: str | Grid
    bounds: Any
    overlap: int
    competition: Competition
    rank_by: Ranking
    location: str
    leftover: str
    outside: str

    @classmethod
    def from_builder(cls, builder: Any) -> Options:
        """Check the parameters of a builder.

        Raises
        ------
        TypeError, ValueError
            Naming the parameter, what it must be and what it is.
        """
        values = {field.name: getattr(builder, field.name) for field in fields(cls)}
        for name, choices in CHOICES.items():
            values[name] = check_choice(values[name], name, choices)
        min_images = values["min_images"] = check_count(values["min_images"], "min_images")
        if values["max_images"] is not None:
            max_images = values["max_images"] = check_count(values["max_images"], "max_images")
            if values["method"] != "top_down":
                raise ValueError(
                    f'max_images belongs to method="top_down"; method is {values["method"]!r}. Leave max_images out.'
                )
            if max_images < min_images:
                raise ValueError(
                    f"max_images must be at least min_images; got {max_images} < {min_images}."
                )
        values["min_cell_size"] = check_positive(
            values["min_cell_size"], "min_cell_size", "degrees"
        )
        grid, has_bounds = values["grid"], values["bounds"] is not None
        if isinstance(grid, str):
            check_choice(grid, "grid", ("latlon", *GLOBAL_GRIDS))
            if grid in GLOBAL_GRIDS and has_bounds:
                raise ValueError(f'grid="{grid}" covers the globe: leave bounds out.')
        elif not hasattr(grid, "encode"):
            raise TypeError(f'grid must be "latlon", "s2", "healpix" or a Grid; got {grid!r}.')
        elif has_bounds:
            raise ValueError("A Grid has its own bounds: leave bounds out.")
        overlap = values["overlap"] = check_count(values["overlap"], "overlap")
        if overlap not in OVERLAPS:
            raise ValueError(f"overlap must be one of {OVERLAPS}, a power of two; got {overlap}.")
        return cls(**values)

    @property
    def extra_levels(self) -> int:
        """Levels of leaves below the deepest cells: windows stand at fractions of a cell's side."""
        return self.overlap.bit_length() - 1 if self.method == "bottom_up" else 0

    @property
    def reads_features(self) -> bool:
        """Whether the features of the images, or else their places, decide which cells there are."""
        return self.method == "optimal" or (self.method == "bottom_up" and self.rank_by != "count")

    def as_dict(self) -> dict[str, Any]:
        """Plain values for a file's metadata; the grids themselves are stored beside them."""
        names = ["method", "min_images", "max_images", "min_cell_size", "location", "leftover"]
        if self.method == "bottom_up":
            names += ["overlap", "competition", "rank_by"]
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class Images:
    """Images, a row each.

    Attributes
    ----------
    coords : Coordinates
    feats : (n, n_features) array or None
        A memory map stays one; values are checked when read.
    weights : (n,) int64 or None
        Images that each row stands for, in units of ``2**-unit_bits`` images.
    group_of_row : (n,) int64 or None
        Number of each row's group.
    group_names : (n_groups,) object or None
        In order.
    unit_bits : int
    """

    coords: Coordinates
    feats: Any = None
    weights: IntArray | None = None
    group_of_row: IntArray | None = None
    group_names: ObjectArray | None = None
    unit_bits: int = 0

    @classmethod
    def from_input(
        cls,
        coords: ArrayLike,
        feats: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        *,
        is_part: bool = False,
    ) -> Images:
        """Check what the caller gave; the weights as those of a part, where it is one (`check_sample_weight`).

        Raises
        ------
        TypeError, ValueError
            When a row is unsound; the message names the first such row and the remedy.
        """
        checked = check_coords(coords)
        features = check_feats(feats, len(checked))
        weights, unit_bits = check_sample_weight(sample_weight, len(checked), is_part=is_part)
        numbers, names = None, None
        if groups is not None:
            numbers, names = number_groups(check_groups(groups, len(checked), checked.table))
        return cls(checked, features, weights, numbers, names, unit_bits)

    def in_units(self, n_images: int) -> int:
        """Units of weight that so many images are; no total comes near the limit."""
        return min(n_images << self.unit_bits, 2**62)

    def in_images(self, units: IntArray) -> IntArray:
        """Whole images, 1 at least, that so many units of weight are."""
        if not self.unit_bits:
            return units
        return np.maximum(1, np.rint(np.ldexp(units, -self.unit_bits))).astype(np.int64)

    def codes_on(self, grid: GroupedGrid) -> CodeArray:
        """Leaf code of each image, (n,) of ``grid.code_type``; an image outside its group's root box is refused."""
        codes = grid.encode(self.coords.array, self.group_of_row)
        outside = np.iinfo(codes.dtype).max
        if len(codes) and codes.max() == outside:
            is_outside = codes == outside
            if self.weights is not None:
                is_outside &= self.weights > 0
            latitude, longitude = self.coords.array.T
            refuse_rows(
                is_outside,
                "bounds must hold every image",
                "lie outside",
                lambda row: f"latitude {latitude[row]}, longitude {longitude[row]}",
                "Widen bounds or drop those rows.",
            )
        return codes

    def boxes(self) -> list[Box]:
        """South, west, north, east of the images of each group; rows that stand for no image have no say."""
        coords, groups = self.coords.array, self.group_of_row
        extremes: Box | None = self.coords.extremes
        if self.weights is not None and not self.weights.all():
            rows = np.flatnonzero(self.weights)
            coords, groups, extremes = coords[rows], None if groups is None else groups[rows], None
        if groups is None or self.group_names is None:
            return [box_of_coords(coords, extremes)]
        order = np.argsort(groups, kind="stable")
        edges = np.searchsorted(groups[order], np.arange(1, len(self.group_names)))
        boxes = []
        for name, rows in zip(self.group_names, np.split(order, edges), strict=True):
            if not len(rows):
                raise ValueError(
                    f"sample_weight is 0 for every image of the group {name!r}: drop those rows."
                )
            boxes.append(box_of_coords(coords[rows]))
        return boxes


def make_grid(
    options: Options, group_names: ObjectArray | None, boxes_of_images: Callable[[], list[Box]]
) -> GroupedGrid:
    """One grid a group; its leaves lie ``options.extra_levels`` below its deepest cells.

    ``boxes_of_images`` gives the box of each group's images, where the grid needs it.
    """
    extra = options.extra_levels
    n_groups = 1 if group_names is None else len(group_names)
    grids: tuple[Grid, ...]
    if not isinstance(options.grid, str):
        if options.grid.max_level < extra:
            raise ValueError(
                f"overlap={options.overlap} needs leaves {extra} levels below the cells; the grid's max_level is "
                f"{options.grid.max_level}."
            )
        grids = (options.grid,) * n_groups
    elif options.grid in GLOBAL_GRIDS:
        grid = GLOBAL_GRIDS[options.grid].with_cell_size(options.min_cell_size, extra)
        grids = (grid,) * n_groups
    else:
        grids = tuple(
            LatLonGrid.with_cell_size(box, options.min_cell_size, extra)
            for box in root_boxes(options.bounds, group_names, boxes_of_images)
        )
    return GroupedGrid(grids)


def root_boxes(
    bounds: Any, group_names: ObjectArray | None, boxes_of_images: Callable[[], list[Box]]
) -> list[Box]:
    """Root box of each group: what the caller's ``bounds`` say, or else the box of its images."""
    if bounds is None:
        return boxes_of_images()
    if hasattr(bounds, "geometry") and hasattr(bounds, "crs"):
        bounds = bounds.geometry
        if group_names is not None and all(name in bounds.index for name in group_names):
            bounds = {name: bounds.loc[[name]] for name in group_names}
    if not isinstance(bounds, Mapping):
        return [box_of_bounds(bounds)] * (1 if group_names is None else len(group_names))
    if group_names is None:
        raise ValueError("bounds names groups, but fit was given no groups.")
    missing = [name for name in group_names if name not in bounds]
    if missing:
        raise ValueError(f"bounds has no entry for the group {missing[0]!r}.")
    return [box_of_bounds(bounds[name]) for name in group_names]


MomentsOf = Callable[[Ranges, int], Moments]
"""From ranges of leaf codes, an owner each, and the number of owners to the moments of the owners' images."""


@dataclass(frozen=True)
class _Face:
    """One root cell, its leaves numbered from 0 in Morton order, in which neighbours follow from the bits."""

    grid: Grid
    deepest: int
    group_start: int
    number: int

    @property
    def first(self) -> int:
        """Its first code in the grid, in either order."""
        return self.number << 2 * self.grid.max_level

    def bins(self, bins: Bins) -> Bins:
        """Bins of this root in its own order."""
        start = self.group_start + self.first
        low, high = bins.slice_of(start, start + 4**self.grid.max_level)
        codes = bins.codes[low:high] - np.uint64(self.group_start)
        morton = self.grid.to_morton(codes)
        if morton is codes:  # in order already
            totals = bins.totals[low : high + 1] - bins.totals[low]
            return Bins(codes - np.uint64(self.first), totals)
        order = np.argsort(morton, kind="stable")
        counts = np.diff(bins.totals[low : high + 1])
        return Bins.from_counts(morton[order] - np.uint64(self.first), counts[order])

    def in_grid(self, ranges: PrioritizedRanges) -> PrioritizedRanges:
        """Ranges in the grid's codes. A quadtree cell is one in both orders, but may start at another leaf."""
        codes = self.grid.from_morton(ranges.starts + np.uint64(self.first))
        spans = ranges.stops - ranges.starts
        starts = (codes & ~(spans - np.uint64(1))) + np.uint64(self.group_start)
        return PrioritizedRanges(starts, starts + spans, ranges.cells, ranges.levels)


def construct(
    options: Options, grid: GroupedGrid, bins: Bins, moments_of: MomentsOf
) -> PrioritizedRanges:
    """Cells by the chosen method, root by root."""
    faces = [
        _Face(
            group_grid, group_grid.max_level - options.extra_levels, grid.group_start(group), face
        )
        for group, group_grid in enumerate(grid.grids)
        for face in range(group_grid.n_faces)
    ]
    if options.method in ("bottom_up", "optimal"):
        return _from_heat_maps(options, faces, bins, moments_of)
    least = options.min_images
    parts = []
    for face in faces:
        root = face.bins(bins), face.grid.max_level, face.deepest
        if options.method == "consolidated":
            cells = constructions.consolidate(*root, min_images=least)
        else:
            cells = constructions.top_down(*root, min_images=least, max_images=options.max_images)
        parts.append(face.in_grid(cells))
    return PrioritizedRanges.concatenate(parts)


def _from_heat_maps(
    options: Options, faces: list[_Face], bins: Bins, moments_of: MomentsOf
) -> PrioritizedRanges:
    """Heat maps of every root, one pass over the features, then the cells root by root."""
    least = options.min_images
    limits = {"overlap": 1 if options.method == "optimal" else options.overlap, "min_images": least}
    maps = [
        constructions.heat_maps(face.bins(bins), face.grid.max_level, face.deepest, **limits)
        for face in faces
    ]
    pairs = list(zip(faces, maps, strict=True))
    nodes = PrioritizedRanges.concatenate([face.in_grid(own.node_ranges()) for face, own in pairs])
    moments = Moments.empty(nodes.n_cells, 0)
    if options.reads_features:
        # Every image belongs to the finest sub-bin that a window needs.
        moments = moments_of(Ranges.flatten(nodes), nodes.n_cells)
    parts, stop = [], 0
    for face, heat_map in pairs:
        start, stop = stop, stop + len(heat_map.node_level)
        if options.method == "optimal":
            cells = constructions.optimal(heat_map, moments[start:stop], min_images=least)
        else:
            cells = constructions.bottom_up(
                heat_map,
                moments[start:stop],
                min_images=least,
                competition=options.competition,
                rank_by=options.rank_by,
            )
        parts.append(face.in_grid(cells))
    return PrioritizedRanges.concatenate(parts)


def choose_cells(
    options: Options, grid: GroupedGrid, bins: Bins, moments_of: MomentsOf
) -> tuple[Ranges, IntArray, bool]:
    """Disjoint ranges and levels of all cells, those of leftover images among them.

    Returns
    -------
    ranges : Ranges
    levels : (n_cells,) int64
    hands_over : bool
        Whether bins are left that are to be handed to a cell.
    """
    prioritized = construct(options, grid, bins, moments_of)
    levels = prioritized.levels
    ranges = Ranges.flatten(prioritized)
    order = ranges.order_of_cells(len(levels))
    ranges, levels = ranges.renamed(np.argsort(order)), levels[order]
    if options.leftover == "noise" and len(levels):
        return ranges, levels, False
    cell_of_bin = ranges.cell_of_codes(bins.codes.astype(grid.code_type, copy=False))
    group_of_bin = grid.group_of_code(bins.codes[cell_of_bin < 0])
    makes_cell = np.ones(len(grid.grids), dtype=bool)
    if options.leftover != "cell":
        makes_cell[grid.group_of_code(ranges.starts)] = False
    new_groups = np.unique(group_of_bin[makes_cell[group_of_bin]])
    hands_over = not makes_cell[group_of_bin].all()
    if not len(new_groups):
        return ranges, levels, hands_over
    starts, stops, cells = [ranges.starts], [ranges.stops], [ranges.cells]
    for cell, group in enumerate(new_groups.tolist(), start=len(levels)):
        first = grid.group_start(group)
        gaps = ranges.gaps(first, first + n_codes(grid.grids[group]))
        starts.append(gaps[0])
        stops.append(gaps[1])
        cells.append(np.full(len(gaps[0]), cell, dtype=np.int64))
    return (
        Ranges.from_disjoint(np.concatenate(starts), np.concatenate(stops), np.concatenate(cells)),
        np.append(levels, np.zeros(len(new_groups), dtype=np.int64)),
        hands_over,
    )


def label_codes(
    codes: CodeArray, weights: IntArray | None, ranges: Ranges, n_cells: int, *, hands_over: bool
) -> tuple[IntArray, CodeArray]:
    """Cell of each image, and the codes of the bins that no cell holds: numbered after the cells, where handed over."""
    labels = ranges.cell_of_codes(codes)
    if not hands_over:
        return labels, np.empty(0, dtype=np.uint64)
    rows = np.flatnonzero(labels < 0 if weights is None else (labels < 0) & (weights > 0))
    unassigned, bin_of_row = np.unique(codes[rows].astype(np.uint64), return_inverse=True)
    labels[rows] = n_cells + bin_of_row
    return labels, unassigned


def number_cells(
    grid: GroupedGrid, ranges: Ranges, sums: SphereSums, levels: IntArray, unassigned: CodeArray
) -> tuple[IntArray, SphereSums, Ranges, IntArray]:
    """Hand unassigned bins to the nearest cell of their group, and number the cells by their lowest code.

    Parameters
    ----------
    ranges
        Of the cells.
    sums
        Of the cells and, after them, of the unassigned bins.
    unassigned : (n_bins,) uint64
        Codes of these bins.

    Returns
    -------
    numbers : (n_cells + n_bins,) int64
        New number of each.
    sums, ranges, levels
        Of the cells alone, in their new order.
    """
    n_cells = len(levels)
    cell_of = np.arange(n_cells + len(unassigned), dtype=np.int64)
    if len(unassigned):
        ranges = Ranges.from_disjoint(
            np.concatenate([ranges.starts, unassigned]),
            np.concatenate([ranges.stops, unassigned + np.uint64(1)]),
            np.concatenate([ranges.cells, cell_of[n_cells:]]),
        )
        means, _ = sums.means()
        cell_of[n_cells:] = nearest_points(
            means[n_cells:],
            means[:n_cells],
            grid.group_of_code(unassigned),
            grid.group_of_code(ranges.first_codes(len(cell_of))[:n_cells]),
        )
    order = ranges.renamed(cell_of).order_of_cells(n_cells)
    numbers = np.argsort(order)[cell_of]
    return numbers, sums.merged(numbers, n_cells), ranges.renamed(numbers), levels[order]


def _renumber(start: int, stop: int, labels: IntArray, numbers: IntArray) -> None:
    """Number labels anew in place; -1 takes the last number."""
    block = labels[start:stop]
    np.take(numbers, block, out=block, mode="wrap")


def _centre(codes: CodeArray, bins: Bins, images: Images) -> FloatArray | None:
    """Features of one image, the same for every order of the rows: the first by code, then by features."""
    lowest = bins.codes[np.flatnonzero(bins.counts)[0]]
    rows = np.flatnonzero(codes == codes.dtype.type(lowest))
    if images.weights is not None:
        rows = rows[images.weights[rows] > 0]
    for column in range(images.feats.shape[1]):
        if len(rows) < 2:
            break
        values = np.asarray(images.feats[rows, column])
        rows = rows[values == values.min()]
    if not len(rows):  # NaN, which is refused where all features are read
        return None
    centre: FloatArray = np.asarray(images.feats[rows[0]], dtype=np.float64)
    return centre if np.isfinite(centre).all() else None


def fit_cells(
    options: Options, grid: GroupedGrid, codes: CodeArray, bins: Bins, images: Images
) -> tuple[CellPartition, IntArray]:
    """Cells of images that were encoded and binned on ``grid``, and their labels."""
    coords, weights = images.coords.array, images.weights

    def moments_of(owners: Ranges, n_owners: int) -> Moments:
        return moments_of_images(
            coords,
            images.feats,
            owners.cell_of_codes(codes),
            n_owners,
            weights,
            centre=None if images.feats is None else _centre(codes, bins, images),
            progress=True,
        )

    most = options.max_images
    in_units = replace(
        options,
        min_images=images.in_units(options.min_images),
        max_images=None if most is None else images.in_units(most),
    )
    ranges, levels, hands_over = choose_cells(in_units, grid, bins, moments_of)
    labels, unassigned = label_codes(codes, weights, ranges, len(levels), hands_over=hands_over)
    n_labels = len(levels) + len(unassigned)
    sums = SphereSums.from_coords(coords, labels, n_labels, weights)
    numbers, sums, ranges, levels = number_cells(grid, ranges, sums, levels, unassigned)
    if not np.array_equal(numbers, np.arange(len(levels))):
        over_rows(_renumber, len(labels), labels, np.append(numbers, -1))
    cells = partition_from_labels(
        CodeRangeIndex(grid, ranges),
        images,
        labels,
        levels,
        sums=sums,
        group_of_cell=grid.group_of_code(ranges.first_codes(len(levels))),
        outside=options.outside,
        location=options.location,
        parameters=options.as_dict(),
    )
    if weights is not None and not weights.all():
        # A row that stands for no image may lie where no cell is; it gets the answer that assign gives.
        rows_of_none = np.flatnonzero((labels < 0) & (weights == 0))
        groups = images.group_of_row
        labels[rows_of_none] = cells.assign_checked(
            check_coords(coords[rows_of_none], allow_empty=True),
            None if groups is None else groups[rows_of_none],
            outside_of_training(options),
        )
    return cells, labels


def partition_from_labels(
    cell_index: CellIndex,
    images: Images,
    labels: IntArray,
    levels: IntArray,
    *,
    group_of_cell: IntArray | None,
    outside: str,
    location: str,
    parameters: dict[str, Any],
    sums: SphereSums | None = None,
) -> CellPartition:
    """Cells with their counts, means and locations, from the cell of each image (-1: of none).

    ``sums`` are those of the images by label, where they are known; ``group_of_cell`` counts where there are groups.
    """
    coords, weights = images.coords.array, images.weights
    if sums is None:
        sums = SphereSums.from_coords(coords, labels, len(levels), weights)
    centroids = sums.means_of(coords, labels, weights)
    images_of_cells = TrainingImages(coords, labels, sums.counts, weights)
    points = RepresentativePoints(images=images_of_cells)
    return CellPartition(
        cell_index=cell_index,
        centroids=centroids,
        locations=points.locations(location, centroids),
        counts=images.in_images(sums.counts),
        levels=np.asarray(levels, dtype=np.int64),
        group_names=images.group_names,
        group_of_cell=None if images.group_names is None else group_of_cell,
        outside=outside,
        parameters=parameters,
        representative_points=points,
    )


def outside_of_training(options: Options) -> str:
    """What `assign` must do outside the cells for training images to get the labels that fit gave them."""
    return "noise" if options.leftover == "noise" else "nearest"
