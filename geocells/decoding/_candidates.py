"""Candidates, which may be answered, and compact groups of points with the balls that hold them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geocells.array_types import FloatArray, IntArray
from geocells.sphere import EARTH_RADIUS_KM, to_unit_vectors

GROUP_SIZE = 64
"""Points in a group: one block of memory for the kernels, and small enough on the map to bound tightly."""

BALL_SLACK = 1e-11
"""Added to the radius of a ball, in radians: 0.06 mm, more than all rounding."""


def thinned(coords: FloatArray, resolution_km: float) -> FloatArray:
    """Choose some of the coordinates, so that each one has a chosen one near.

    Parameters
    ----------
    coords : (n, 2) float64
        Latitude, longitude in degrees.
    resolution_km : float
        How near; 0 keeps every distinct coordinate.

    Returns
    -------
    chosen : (m, 2) float64
        Distinct rows of ``coords`` ordered by latitude, then longitude. No coordinate is farther than
        ``resolution_km`` from one of them.

    Notes
    -----
    Bands of latitude are cut into boxes of side ``sqrt(2) R sin(resolution / 2 R)``, a whole number around the earth;
    of each box the distinct coordinate nearest to the mean of all its images is chosen, the first of several.
    The choice depends on the set of coordinates alone, not on their order.
    """
    # -0.0 is 0.0, and +180 is -180: one place, one coordinate.
    places = coords + 0.0
    places[places[:, 1] == 180.0, 1] = -180.0
    distinct, counts = np.unique(places, axis=0, return_counts=True)
    if resolution_km <= 0:
        return distinct
    side = np.degrees(np.sqrt(2.0) * np.sin(min(resolution_km / (2 * EARTH_RADIUS_KM), np.pi / 4)))
    n_bands = int(np.ceil(180.0 / side))
    band = np.minimum(((distinct[:, 0] + 90.0) / 180.0 * n_bands).astype(np.int64), n_bands - 1)
    south = -90.0 + 180.0 * band / n_bands
    north = south + 180.0 / n_bands
    widest = np.where(
        (south <= 0) & (north >= 0),
        1.0,
        np.cos(np.radians(np.minimum(np.abs(south), np.abs(north)))),
    )
    n_boxes = np.maximum(1, np.ceil(360.0 * widest / side).astype(np.int64))
    column = np.minimum(((distinct[:, 1] + 180.0) / 360.0 * n_boxes).astype(np.int64), n_boxes - 1)
    box = np.unique(np.column_stack([band, column]), axis=0, return_inverse=True)[1].reshape(-1)
    vectors = to_unit_vectors(distinct)
    n_used = int(box.max()) + 1
    means = np.column_stack(
        [np.bincount(box, weights=vectors[:, axis] * counts, minlength=n_used) for axis in range(3)]
    )
    means = means / np.linalg.norm(means, axis=1, keepdims=True).clip(1e-300)
    apart = np.linalg.norm(vectors - means[box], axis=1).round(12)
    order = np.lexsort((np.arange(len(distinct)), apart, box))
    first = np.r_[True, box[order][1:] != box[order][:-1]]
    return distinct[np.sort(order[first])]


def compact_order(vectors: FloatArray, size: int = GROUP_SIZE) -> IntArray:
    """Order points so that every run of ``size`` of them lies close together.

    Parameters
    ----------
    vectors : (n, 3) float64
        Unit vectors.
    size : int
        Points in a run; only the last run is shorter.

    Returns
    -------
    order : (n,) int64

    Notes
    -----
    Halved along the widest of the three axes until ``size`` are left, as in a k-d tree: O(n log n).
    """
    order = np.arange(len(vectors))
    waiting = [(0, len(vectors))]
    while waiting:
        low, high = waiting.pop()
        n_runs = -(-(high - low) // size)
        if n_runs <= 1:
            continue
        run = vectors[order[low:high]]
        axis = int(np.argmax(run.max(axis=0) - run.min(axis=0)))
        middle = size * (n_runs // 2)
        order[low:high] = order[low:high][np.argpartition(run[:, axis], middle)]
        waiting += [(low, low + middle), (low + middle, high)]
    return order


def balls_of(vectors: FloatArray, edges: IntArray) -> FloatArray:
    """Ball around each group of points.

    Parameters
    ----------
    vectors : (n, 3) float64
        Unit vectors, group by group.
    edges : (n_groups + 1,) int64
        Where each group starts; no group is empty.

    Returns
    -------
    balls : (n_groups, 4) float64
        Unit vector of the centre, and the angle in radians that no point of the group exceeds.
    """
    if len(edges) < 2:
        return np.empty((0, 4))
    sizes = np.diff(edges)
    centres = np.add.reduceat(vectors, edges[:-1], axis=0)
    lengths = np.linalg.norm(centres, axis=1)
    cancelled = lengths < 1e-9 * sizes
    centres[cancelled] = vectors[edges[:-1][cancelled]]
    lengths[cancelled] = 1.0
    centres /= lengths[:, None]
    spread = np.repeat(centres, sizes, axis=0)
    apart = np.linalg.norm(vectors - spread, axis=1)
    together = np.linalg.norm(vectors + spread, axis=1)
    angles = 2.0 * np.arctan2(apart, together)
    reach = np.maximum.reduceat(angles, edges[:-1]) + BALL_SLACK
    return np.column_stack([centres, reach])


@dataclass(frozen=True)
class CandidateBlocks:
    """Candidates in compact blocks.

    Attributes
    ----------
    coords : (n, 2) float64
        Latitude, longitude in degrees, in the order that breaks ties.
    places : (n_blocks, 64) int64
        Row of ``coords`` of each place of each block; -1 for the places that the last block leaves free.
    vectors : (n_blocks, 3, 64) float64
        Unit vectors; a free place repeats the block's first candidate.
    balls : (n_blocks, 4) float64
        Centre and reach in radians of each block.
    """

    coords: FloatArray
    places: IntArray
    vectors: FloatArray
    balls: FloatArray

    @classmethod
    def from_coords(cls, coords: FloatArray) -> CandidateBlocks:
        """Put (n, 2) ``coords`` into blocks."""
        vectors = to_unit_vectors(coords)
        order = compact_order(vectors)
        n_blocks = -(-len(coords) // GROUP_SIZE)
        places = np.full(n_blocks * GROUP_SIZE, -1, dtype=np.int64)
        places[: len(order)] = order
        edges = np.append(np.arange(0, len(order), GROUP_SIZE), len(order))
        balls = balls_of(vectors[order], edges)
        filled = places.copy()
        filled[len(order) :] = places[(n_blocks - 1) * GROUP_SIZE]
        by_block = vectors[filled].reshape(n_blocks, GROUP_SIZE, 3)
        return cls(
            coords,
            places.reshape(n_blocks, GROUP_SIZE),
            np.ascontiguousarray(by_block.transpose(0, 2, 1)),
            balls,
        )

    @property
    def arrays(self) -> tuple[IntArray, FloatArray, FloatArray]:
        """What the compiled loops take."""
        return self.places, self.vectors, self.balls

    def __len__(self) -> int:
        return len(self.balls)


@dataclass(frozen=True)
class ImageGroups:
    """Training images class by class, in compact groups within each class.

    Attributes
    ----------
    vectors : (3, n_images) float64
        Unit vectors, group by group.
    class_of_image : (n_images,) int64
        In the same order.
    edges : (n_groups + 1,) int64
        Where each group starts.
    balls : (n_groups, 4) float64
        Centre and reach in radians of each group.
    class_edges : (n_classes + 1,) int64 or None
        First group of each class; None where every image is a class of its own and a group holds many classes.
    class_balls : (n_classes, 4) float64
        Centre and reach of each class, as those of its groups; without rows where ``class_edges`` is None.
    counts : (n_classes,) int64
        Images of each class.
    class_of_column : (n_columns,) uint32
        Class of each column of the probabilities: cells whose images stand at the same places are one class.
    family_of_class : (n_classes,) uint32
        Classes of several partitions that lie close together are one family and bounded together, so that more
        partitions take hardly more bounds.
    """

    vectors: FloatArray
    class_of_image: IntArray
    edges: IntArray
    balls: FloatArray
    class_edges: IntArray | None
    class_balls: FloatArray
    counts: IntArray
    class_of_column: NDArray[np.uint32]
    family_of_class: NDArray[np.uint32]

    @classmethod
    def from_classes(
        cls, coords: FloatArray, labels: IntArray, n_columns: int, n_partitions: int = 1
    ) -> ImageGroups:
        """Group images whose ``labels``, columns, run from 0 to ``n_columns - 1``; every one holds at least one."""
        # By column and place: the same whatever the order of the rows.
        order = np.lexsort((coords[:, 1], coords[:, 0], labels))
        ends = np.cumsum(np.bincount(labels, minlength=n_columns))
        known: dict[bytes, int] = {}
        class_of_column = [
            known.setdefault(places.tobytes(), len(known))
            for places in np.split(coords[order], ends[:-1])
        ]
        n_classes = len(known)
        vectors = to_unit_vectors(np.frombuffer(b"".join(known)).reshape(-1, 2))
        counts = np.array([len(places) // coords[0].nbytes for places in known])
        starts = np.append(0, np.cumsum(counts))
        starts_of_groups = []
        for start, stop in zip(starts[:-1], starts[1:], strict=True):
            if stop - start > GROUP_SIZE:
                vectors[start:stop] = vectors[start:stop][compact_order(vectors[start:stop])]
            starts_of_groups.append(np.arange(start, stop, GROUP_SIZE))
        edges = np.append(np.concatenate(starts_of_groups), len(vectors))
        class_edges = np.append(0, np.cumsum([len(starts) for starts in starts_of_groups]))
        class_balls = balls_of(vectors, starts)
        family_of_class = np.arange(n_classes, dtype=np.uint32)
        if n_partitions > 1:
            order = compact_order(class_balls[:, :3], n_partitions)
            family_of_class[order] = np.arange(n_classes) // n_partitions
        return cls(
            np.ascontiguousarray(vectors.T),
            np.repeat(np.arange(n_classes), counts),
            edges,
            balls_of(vectors, edges),
            class_edges,
            class_balls,
            counts,
            np.array(class_of_column, dtype=np.uint32),
            family_of_class,
        )

    @classmethod
    def from_points(cls, coords: FloatArray) -> ImageGroups:
        """Group images each of which is its own class."""
        by_place = np.lexsort((np.arange(len(coords)), coords[:, 1], coords[:, 0]))
        vectors = to_unit_vectors(coords[by_place])
        order = compact_order(vectors)
        edges = np.append(np.arange(0, len(order), GROUP_SIZE), len(order))
        return cls(
            np.ascontiguousarray(vectors[order].T),
            by_place[order],
            edges,
            balls_of(vectors[order], edges),
            None,
            np.empty((0, 4)),
            np.ones(len(coords), dtype=np.int64),
            np.arange(len(coords), dtype=np.uint32),
            np.arange(len(coords), dtype=np.uint32),
        )

    def masses(self, probabilities: FloatArray) -> FloatArray:
        """Probability of each group, (n, n_groups), from those of the classes, (n, n_classes)."""
        if self.class_edges is None:
            return np.add.reduceat(probabilities[:, self.class_of_image], self.edges[:-1], axis=1)
        shares = probabilities / self.counts
        return shares[:, self.class_of_image[self.edges[:-1]]] * np.diff(self.edges)
