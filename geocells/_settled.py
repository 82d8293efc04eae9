"""The partition of images whose cells are known."""

from __future__ import annotations

from typing import Any

import numpy as np

from geocells import _fitting
from geocells._images import Images
from geocells._types import IntArray
from geocells.cells import CellIndex, CellPartition, RepresentativePoints
from geocells.sphere import NO_WEIGHTS, SphereSums


def partition_of_labels(
    cell_index: CellIndex,
    images: Images,
    labels: IntArray,
    levels: IntArray,
    *,
    group_of_cell: IntArray | None,
    outside: str,
    location: str,
    parameters: dict[str, Any],
) -> CellPartition:
    """Cells with their counts, means and locations, from the cell of each image (-1: of none)."""
    coords, weights = images.coords.array, images.weights
    sums = SphereSums.from_coords(
        coords, labels, len(levels), NO_WEIGHTS if weights is None else weights
    )
    centroids = _fitting.centroids_of(sums, coords, labels)
    points = RepresentativePoints.from_images(coords, labels, weights)
    return CellPartition(
        cell_index=cell_index,
        centroids=centroids,
        locations=points.locations(location, centroids, sums.counts),
        counts=sums.counts,
        levels=np.asarray(levels, dtype=np.int64),
        group_names=images.group_names,
        group_of_cell=group_of_cell,
        outside=outside,
        parameters=parameters,
        representative_points=points,
    )
