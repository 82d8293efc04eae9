"""Merge regions short of images into blocks, and cut blocks that have too many."""

from __future__ import annotations

import heapq
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import shapely

from geocells.array_types import FloatArray, IntArray, ObjectArray
from geocells.sphere import SphereSums
from geocells.sphere.polygons import border_points

Cut = tuple[tuple[float, float, float, float], int]
EVERYWHERE = (-np.inf, -np.inf, np.inf, np.inf)


def merge_regions(
    outlines: ObjectArray, images: SphereSums, groups: IntArray, min_images: int
) -> IntArray:
    """Block of each region, numbered by their lowest regions.

    Parameters
    ----------
    outlines : (n_regions,) object
        Shapely polygons.
    images : SphereSums
        Counts and sums of the images of each region.
    groups : (n_regions,) int64
        Regions of different groups are never merged.
    min_images : int

    Returns
    -------
    block_of_region : (n_regions,) int64
        -1 in groups without images, which have no blocks.

    Notes
    -----
    The rule is in `geocells.RegionCells`. O(n_regions log n_regions) and the neighbours' numbers.
    """
    blocks = _Blocks(outlines, images, groups)
    blocks.share_out_empty_regions()
    waiting = [(count, block) for block, count in blocks.counts.items() if 0 < count < min_images]
    heapq.heapify(waiting)
    while waiting:
        count, block = heapq.heappop(waiting)
        if blocks.counts.get(block) != count:
            continue
        target = blocks.neighbour(block)
        if target is None:
            continue
        joined = blocks.join(block, target)
        if blocks.counts[joined] < min_images:
            heapq.heappush(waiting, (blocks.counts[joined], joined))
    block_of_region = np.full(len(outlines), -1, dtype=np.int64)
    occupied = sorted(block for block, count in blocks.counts.items() if count)
    for number, block in enumerate(occupied):
        block_of_region[blocks.members[block]] = number
    return block_of_region


class _Blocks:
    """Regions joined so far: members, images, sums of their unit vectors, and neighbours, by lowest region."""

    def __init__(self, outlines: ObjectArray, images: SphereSums, groups: IntArray) -> None:
        every = range(len(outlines))
        self.members = {region: [region] for region in every}
        self.counts = dict(enumerate(images.counts.tolist()))
        self.sums = dict(enumerate(images.sums.astype(object)))
        self.touching: dict[int, set[int]] = {region: set() for region in every}
        self.groups = groups
        self.borders = _Borders(outlines)
        one, other = shapely.STRtree(outlines).query(outlines, predicate="intersects")
        for a, b in zip(one.tolist(), other.tolist(), strict=True):
            if a != b and groups[a] == groups[b]:
                self.touching[a].add(b)

    def join(self, block: int, target: int) -> int:
        """Make one block of two; return its name."""
        name, gone = min(block, target), max(block, target)
        self.members[name] += self.members.pop(gone)
        self.counts[name] += self.counts.pop(gone)
        self.sums[name] = self.sums[name] + self.sums.pop(gone)
        self.touching[name] |= self.touching.pop(gone)
        self.touching[name] -= {name, gone}
        for each in self.touching[name]:
            self.touching[each].discard(gone)
            self.touching[each].add(name)
        return name

    def neighbour(self, block: int) -> int | None:
        """Block with images that this one joins: a touching one, or the nearest of its group; None where none is."""
        touching = [each for each in self.touching[block] if self.counts[each]]
        if touching:
            here = self._middle(block)
            return min(
                touching, key=lambda each: (float(np.linalg.norm(self._middle(each) - here)), each)
            )
        apart = {
            each: regions
            for each, regions in self.members.items()
            if each != block and self.counts[each] and self.groups[each] == self.groups[block]
        }
        return self.borders.nearest(self.members[block], apart) if apart else None

    def share_out_empty_regions(self) -> None:
        """Let empty regions join, ring by ring around those with images, and islands last."""
        empty = sorted(block for block, count in self.counts.items() if not count)
        while empty:
            ring = [block for block in empty if any(self.counts[k] for k in self.touching[block])]
            # Where no ring is left, the first island that has somewhere to go.
            chosen = ring or empty[:1]
            targets = [self.neighbour(block) for block in chosen]
            name: dict[int, int] = {}
            for block, target in zip(chosen, targets, strict=True):
                if target is not None:
                    current = target
                    while current in name:
                        current = name[current]
                    joined = self.join(block, current)
                    if joined != current:
                        name[current] = joined
            empty = sorted(set(empty) - set(chosen))

    def _middle(self, block: int) -> FloatArray:
        """Direction of the mean of the block's images; of its border, where it has none."""
        if not self.counts[block]:
            return self.borders.middle(self.members[block])
        vector: FloatArray = self.sums[block].astype(np.float64)
        return vector / max(float(np.linalg.norm(vector)), 1.0)


class _Borders:
    """Points of the regions' borders, for the distances between blocks that don't touch."""

    def __init__(self, outlines: ObjectArray) -> None:
        self._outlines = outlines
        self._trees: dict[int, Any] = {}

    @cached_property
    def _points(self) -> list[FloatArray]:
        """Points of each region's border, (n, 3) unit vectors."""
        points, owners = border_points(self._outlines)
        return np.split(points, np.searchsorted(owners, np.arange(1, len(self._outlines))))

    @cached_property
    def _balls(self) -> tuple[FloatArray, FloatArray]:
        """Middle and radius of a ball that holds each region's points."""
        centres = np.array([each.mean(axis=0) for each in self._points])
        pairs = zip(self._points, centres, strict=True)
        return centres, np.array([np.linalg.norm(own - c, axis=1).max() for own, c in pairs])

    def middle(self, regions: list[int]) -> FloatArray:
        """Direction of the mean of the regions' border points."""
        points = np.concatenate([self._points[region] for region in regions])
        mean: FloatArray = points.mean(axis=0)
        return mean / max(float(np.linalg.norm(mean)), 1e-12)

    def nearest(self, regions_here: list[int], others: dict[int, list[int]]) -> int:
        """Block whose border comes nearest to that of ``regions_here``; of equal ones the lowest."""
        from scipy.spatial import cKDTree

        here = np.concatenate([self._points[region] for region in regions_here])
        centre = here.mean(axis=0)
        radius = np.linalg.norm(here - centre, axis=1).max()
        block_of = {region: block for block, regions in others.items() for region in regions}
        regions = np.array(sorted(block_of))
        # No point of a region is nearer than this; so most need not be looked at.
        centres, radii = (each[regions] for each in self._balls)
        bounds = np.linalg.norm(centres - centre, axis=1) - radius - radii
        best = (np.inf, -1)
        for place in np.argsort(bounds, kind="stable"):
            if bounds[place] > best[0]:
                break
            region = int(regions[place])
            if region not in self._trees:
                self._trees[region] = cKDTree(self._points[region])
            distance = float(self._trees[region].query(here)[0].min())
            best = min(best, (distance, block_of[region]))
        return best[1]


class Cuts(NamedTuple):
    """Cells that blocks were cut into, block by block.

    Attributes
    ----------
    boxes : (n_cells, 4) float64
        South, west, north, east in degrees, half-open; without bounds where nothing was cut.
    levels : (n_cells,) int64
        Cuts that made each cell.
    block_of_cell : (n_cells,) int64
    """

    boxes: FloatArray
    levels: IntArray
    block_of_cell: IntArray


def cut_blocks(
    coords: FloatArray,
    block_of_image: IntArray,
    n_blocks: int,
    min_images: int,
    max_images: int | None,
) -> Cuts:
    """Cut each block with more than ``max_images`` images by `bisect`, from the (n, 2) coordinates of all images."""
    coords = coords[np.argsort(block_of_image, kind="stable")]
    coords[coords[:, 1] == 180.0, 1] = -180.0
    ends = np.cumsum(np.bincount(block_of_image, minlength=n_blocks))
    cuts_of_block = [
        [(EVERYWHERE, 0)] if max_images is None else bisect(inside, min_images, max_images)
        for inside in np.split(coords, ends[:-1])
    ]
    boxes, levels = zip(*(cut for cuts in cuts_of_block for cut in cuts), strict=True)
    block_of_cell = np.repeat(np.arange(n_blocks), [len(cuts) for cuts in cuts_of_block])
    return Cuts(np.array(boxes), np.array(levels, dtype=np.int64), block_of_cell)


def bisect(coords: FloatArray, min_images: int, max_images: int) -> list[Cut]:
    """Boxes of at most ``max_images`` images, and how many cuts each took.

    Parameters
    ----------
    coords : (n, 2) float64
        Latitude, longitude in degrees.
    min_images : int
        No box gets fewer, unless there are fewer in all.
    max_images : int
        A box with more is cut in two, where there is a place to cut.

    Returns
    -------
    cuts : list of (south, west, north, east) and int
        Half-open boxes that together cover the plane, the southern or western half first.

    Notes
    -----
    A cut runs across the longer side (in km) of the images' box, as near to their median as ``min_images`` and
    repeated coordinates allow, halfway between two images; across the shorter side if that allows none. O(n log n) a
    level.
    """
    boxes: list[Cut] = []
    stack: list[tuple[Any, FloatArray, int]] = [(EVERYWHERE, coords, 0)]
    while stack:
        box, inside, depth = stack.pop()
        cut = _cut(inside, min_images) if len(inside) > max_images else None
        if cut is None:
            boxes.append((box, depth))
            continue
        axis, value = cut
        south, west, north, east = box
        low = (south, west, value, east) if axis == 0 else (south, west, north, value)
        high = (value, west, north, east) if axis == 0 else (south, value, north, east)
        below = inside[:, axis] < value
        stack.append((high, inside[~below], depth + 1))
        stack.append((low, inside[below], depth + 1))
    return boxes


def _cut(coords: FloatArray, min_images: int) -> tuple[int, float] | None:
    """Axis and value of the best cut; None where every one leaves a side short."""
    low, high = coords.min(axis=0), coords.max(axis=0)
    height, width = high - low
    is_tall = height >= width * np.cos(np.radians((low[0] + high[0]) / 2))
    for axis in (0, 1) if is_tall else (1, 0):
        values = np.sort(coords[:, axis])
        places = np.flatnonzero(values[1:] > values[:-1]) + 1
        places = places[(places >= min_images) & (len(values) - places >= min_images)]
        if len(places):
            place = places[np.argmin(np.abs(2 * places - len(values)))]
            before, after = values[place - 1], values[place]
            value = before + (after - before) / 2
            return axis, float(value if value > before else after)
    return None
