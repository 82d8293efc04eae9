"""Partial results of the passes, and how they merge: the order of merging changes no whole number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from geocells._types import CodeArray, FloatArray, IntArray, ObjectArray
from geocells.cells import Ranges
from geocells.constructions import Bins, bin_codes
from geocells.distributed._photos import Part
from geocells.fitting import refuse_outside
from geocells.grids import GroupedGrid
from geocells.grids.bounds import N_BUCKETS, Box, box_of_buckets, longitude_buckets
from geocells.moments import FeatureRows, Moments, moments_by_label
from geocells.sphere import NO_WEIGHTS, SphereSums, first_point

# --------------------------------------------------------------------------------------------- survey


@dataclass(frozen=True)
class Extent:
    """Where some images lie: extremes, and the longitudes of occupied buckets of the circle."""

    extremes: tuple[float, float, float, float]
    buckets: IntArray
    wests: FloatArray
    easts: FloatArray

    @classmethod
    def of(cls, coords: FloatArray) -> Extent:
        """Extent of (n, 2) coordinates, at least one row."""
        south, west = coords.min(axis=0)
        north, east = coords.max(axis=0)
        return cls._of_buckets((south, west, north, east), *longitude_buckets(coords))

    @classmethod
    def _of_buckets(cls, extremes: Box, leasts: FloatArray, greatests: FloatArray) -> Extent:
        occupied = np.flatnonzero(np.isfinite(leasts))
        return cls(
            tuple(float(value) for value in extremes),  # type: ignore[arg-type]
            occupied,
            leasts[occupied],
            greatests[occupied],
        )

    @classmethod
    def merged(cls, extents: list[Extent]) -> Extent:
        """Extent of all."""
        souths, wests, norths, easts = zip(*(extent.extremes for extent in extents), strict=True)
        leasts, greatests = np.full(N_BUCKETS, np.inf), np.full(N_BUCKETS, -np.inf)
        for extent in extents:
            leasts[extent.buckets] = np.minimum(leasts[extent.buckets], extent.wests)
            greatests[extent.buckets] = np.maximum(greatests[extent.buckets], extent.easts)
        return cls._of_buckets(
            (min(souths), min(wests), max(norths), max(easts)), leasts, greatests
        )

    def box(self) -> Box:
        """Smallest box that holds the images."""
        leasts, greatests = np.full(N_BUCKETS, np.inf), np.full(N_BUCKETS, -np.inf)
        leasts[self.buckets], greatests[self.buckets] = self.wests, self.easts
        return box_of_buckets(self.extremes, leasts, greatests)

    @property
    def nbytes(self) -> int:
        """Bytes of its arrays."""
        return self.buckets.nbytes + self.wests.nbytes + self.easts.nbytes + 32


@dataclass(frozen=True)
class Survey:
    """Groups by name, and the extent of the images of each; None where a group has only rows of weight 0."""

    extents: dict[Any, Extent | None]
    n_rows: int

    @classmethod
    def of(cls, part: Part, context: Any) -> Survey:
        """Survey of one partition."""
        coords, groups, weights = part.coords.array, part.groups, part.weights
        counts = np.ones(len(coords), dtype=bool) if weights is None else weights > 0
        if groups is None:
            own = coords if counts.all() else coords[counts]
            return cls({None: Extent.of(own) if len(own) else None}, len(coords))
        import pandas as pd

        numbers, names = pd.factorize(groups)
        extents: dict[Any, Extent | None] = {}
        order = np.argsort(numbers, kind="stable")
        edges = np.searchsorted(numbers[order], np.arange(len(names) + 1))
        for name, start, stop in zip(names, edges[:-1], edges[1:], strict=True):
            rows = order[start:stop]
            own = coords[rows[counts[rows]]]
            extents[name] = Extent.of(own) if len(own) else None
        return cls(extents, len(coords))

    @classmethod
    def merged(cls, parts: list[Survey]) -> Survey:
        """Survey of all."""
        by_name: dict[Any, list[Extent]] = {}
        for part in parts:
            for name, extent in part.extents.items():
                by_name.setdefault(name, []).extend([] if extent is None else [extent])
        return cls(
            {name: Extent.merged(own) if own else None for name, own in by_name.items()},
            sum(part.n_rows for part in parts),
        )

    @property
    def nbytes(self) -> int:
        """Bytes of its arrays."""
        return 8 + sum(extent.nbytes for extent in self.extents.values() if extent is not None)


# --------------------------------------------------------------------------------------------- counts


@dataclass(frozen=True)
class Encoding:
    """From a partition's photos to leaf codes."""

    grid: GroupedGrid
    group_names: ObjectArray | None

    def codes_of(self, part: Part) -> CodeArray:
        """Leaf code of each photo.

        Raises
        ------
        ValueError
            When a photo lies outside its root box.
        """
        images = part.images(self.group_names)
        codes = self.grid.encode(images.coords.array, images.group_of_row)
        refuse_outside(codes, images)
        return codes


@dataclass(frozen=True)
class Counts:
    """Sorted leaf codes and the images on each, in as few bytes as hold them."""

    codes: CodeArray
    counts: Any
    n_rows: int
    n_bins: int
    """Occupied leaf codes, before any were folded."""

    @classmethod
    def of(cls, part: Part, context: Encoding) -> Counts:
        """Counts of one partition."""
        bins = bin_codes(context.codes_of(part), context.grid.code_bits, part.weights)
        return cls.of_bins(bins, len(part.coords), context.grid)

    @classmethod
    def of_bins(
        cls, bins: Bins, n_rows: int, grid: GroupedGrid, n_bins: int | None = None
    ) -> Counts:
        """Counts of bins."""
        counts = bins.counts
        narrow = np.uint32 if not len(counts) or counts.max() < 2**32 else np.int64
        return cls(
            bins.codes.astype(grid.code_type),
            counts.astype(narrow),
            n_rows,
            len(counts) if n_bins is None else n_bins,
        )

    @classmethod
    def merged(cls, parts: list[Counts]) -> Counts:
        """Counts of all."""
        codes = np.concatenate([part.codes for part in parts])
        counts = np.concatenate([part.counts.astype(np.int64) for part in parts])
        # A stable sort merges runs that are in order.
        order = np.argsort(codes, kind="stable")
        codes, counts = codes[order], counts[order]
        first = np.flatnonzero(np.append(True, codes[1:] != codes[:-1])[: len(codes)])
        counts = np.add.reduceat(counts, first) if len(first) else counts
        narrow = np.uint32 if not len(counts) or counts.max() < 2**32 else np.int64
        return cls(
            codes[first], counts.astype(narrow), sum(part.n_rows for part in parts), len(first)
        )

    def bins(self) -> Bins:
        """Return the counts as the constructions take them."""
        totals = np.zeros(len(self.codes) + 1, dtype=np.int64)
        np.cumsum(self.counts, out=totals[1:])
        return Bins(self.codes.astype(np.uint64), totals)

    @property
    def nbytes(self) -> int:
        """Bytes of its arrays."""
        return int(self.codes.nbytes + self.counts.nbytes)


# -------------------------------------------------------------------------------------------- moments


@dataclass(frozen=True)
class Owners:
    """Ranges of leaf codes, an owner each: the bins whose moments matter."""

    encoding: Encoding
    ranges: Ranges


@dataclass(frozen=True)
class PartialMoments:
    """Moments of the images of some owners, in the owners' order."""

    owners: IntArray
    moments: Moments

    @classmethod
    def of(cls, part: Part, context: Owners) -> PartialMoments:
        """Moments of one partition; of the coordinates where it has no features."""
        coords = part.coords.array
        if not len(coords):
            return cls(np.empty(0, dtype=np.int64), Moments.empty(0, 0))
        rows = (
            FeatureRows.from_coords(coords)
            if part.feats is None
            else FeatureRows.from_array(part.feats)
        )
        owner_of_row = context.ranges.cell_of_codes(context.encoding.codes_of(part))
        owners, numbers = np.unique(owner_of_row, return_inverse=True)
        numbers = numbers.astype(np.int64)
        if owners[0] < 0:
            owners, numbers = owners[1:], numbers - 1
        moments = moments_by_label(rows, numbers, len(owners), part.weights)
        return cls(owners, moments)

    @classmethod
    def merged(cls, parts: list[PartialMoments]) -> PartialMoments:
        """Moments of all, merged by Chan's formula in the parts' order."""
        parts = [part for part in parts if part.moments.mean.shape[1]] or parts[:1]
        widths = {part.moments.mean.shape[1] for part in parts}
        if len(widths) > 1:
            raise ValueError(
                f"Feature vectors must all have the same length; the partitions have {sorted(widths)}."
            )
        both = np.concatenate([part.owners for part in parts])
        owners, targets = np.unique(both, return_inverse=True)
        stacked = Moments(
            np.concatenate([part.moments.count for part in parts]),
            np.concatenate([part.moments.mean for part in parts]),
            np.concatenate([part.moments.m2 for part in parts]),
        )
        return cls(owners, stacked.merged(targets, len(owners)))

    def of_all(self, n_owners: int) -> Moments:
        """Moments of owners 0 .. n_owners - 1."""
        return self.moments.merged(self.owners, n_owners)

    @property
    def nbytes(self) -> int:
        """Bytes of its arrays."""
        own = self.moments
        return self.owners.nbytes + own.count.nbytes + own.mean.nbytes + own.m2.nbytes


# ----------------------------------------------------------------------------------------------- sums


@dataclass(frozen=True)
class Settling:
    """What the last pass needs: the cells' ranges, and whether leftover bins are to be handed to a cell."""

    encoding: Encoding
    ranges: Ranges
    n_images: int
    hands_over: bool


@dataclass(frozen=True)
class KeyedSums:
    """Sums of unit vectors in fixed point, (n, 3) int64, and of images, (n,) int64, by sorted keys."""

    keys: Any
    sums: IntArray
    counts: IntArray

    @classmethod
    def of(
        cls, keys: Any, coords: FloatArray, weights: IntArray | None, n_images: int
    ) -> KeyedSums:
        """Sums of (n, 2) coordinates by their keys, one of ``n_images`` images in all."""
        unique, numbers = np.unique(keys, return_inverse=True)
        own = SphereSums.from_coords(
            coords,
            numbers.astype(np.int64),
            len(unique),
            NO_WEIGHTS if weights is None else weights,
            n_images,
        )
        return cls(unique, own.sums, own.counts)

    @classmethod
    def merged(cls, parts: list[KeyedSums]) -> KeyedSums:
        """Sums of all."""
        keys, numbers = np.unique(
            np.concatenate([part.keys for part in parts]), return_inverse=True
        )
        sums = np.zeros((len(keys), 3), dtype=np.int64)
        counts = np.zeros(len(keys), dtype=np.int64)
        np.add.at(sums, numbers, np.concatenate([part.sums for part in parts]))
        np.add.at(counts, numbers, np.concatenate([part.counts for part in parts]))
        return cls(keys, sums, counts)

    @property
    def nbytes(self) -> int:
        """Bytes of its arrays."""
        return int(self.keys.nbytes + self.sums.nbytes + self.counts.nbytes)


@dataclass(frozen=True)
class PartialSums:
    """Sums by cell, and by the leaf codes that no cell claims."""

    cells: KeyedSums
    bins: KeyedSums

    @classmethod
    def of(cls, part: Part, context: Settling) -> PartialSums:
        """Sums of one partition."""
        coords, weights = part.coords.array, part.weights
        codes = context.encoding.codes_of(part)
        cells = context.ranges.cell_of_codes(codes)
        homeless = (cells < 0) & context.hands_over
        if weights is not None:
            homeless &= weights > 0

        def sums(keys: Any, rows: Any) -> KeyedSums:
            own = None if weights is None else weights[rows]
            return KeyedSums.of(keys[rows], coords[rows], own, context.n_images)

        return cls(sums(cells, np.flatnonzero(cells >= 0)), sums(codes, np.flatnonzero(homeless)))

    @classmethod
    def merged(cls, parts: list[PartialSums]) -> PartialSums:
        """Sums of all."""
        return cls(
            KeyedSums.merged([part.cells for part in parts]),
            KeyedSums.merged([part.bins for part in parts]),
        )

    def as_sums(self, n_cells: int, scale: float) -> SphereSums:
        """Sums of all cells and, after them, of the leftover bins."""
        n_bins = len(self.bins.keys)
        sums = np.zeros((n_cells + n_bins, 3), dtype=np.int64)
        counts = np.zeros(n_cells + n_bins, dtype=np.int64)
        sums[self.cells.keys], counts[self.cells.keys] = self.cells.sums, self.cells.counts
        sums[n_cells:], counts[n_cells:] = self.bins.sums, self.bins.counts
        return SphereSums(sums, counts, scale)

    @property
    def nbytes(self) -> int:
        """Bytes of its arrays."""
        return self.cells.nbytes + self.bins.nbytes


# --------------------------------------------------------------------------------------- first points


@dataclass(frozen=True)
class Cancelled:
    """Cells whose images cancel out, so that their mean is their first image."""

    encoding: Encoding
    ranges: Ranges
    cells: IntArray


@dataclass(frozen=True)
class FirstPoints:
    """First image of some cells by latitude, then longitude."""

    points: dict[int, FloatArray]

    @classmethod
    def of(cls, part: Part, context: Cancelled) -> FirstPoints:
        """First points of one partition."""
        coords = part.coords.array
        cells = context.ranges.cell_of_codes(context.encoding.codes_of(part))
        return cls(
            {
                int(cell): first_point(coords[cells == cell])
                for cell in np.intersect1d(context.cells, cells)
            }
        )

    @classmethod
    def merged(cls, parts: list[FirstPoints]) -> FirstPoints:
        """First points of all."""
        by_cell: dict[int, list[FloatArray]] = {}
        for part in parts:
            for cell, point in part.points.items():
                by_cell.setdefault(cell, []).append(point)
        return cls({cell: first_point(np.stack(points)) for cell, points in by_cell.items()})

    @property
    def nbytes(self) -> int:
        """Bytes of its arrays."""
        return 24 * len(self.points)
