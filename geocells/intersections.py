"""Intersections of partitions: many fine classes out of a few coarse partitions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from geocells._images import Images
from geocells._settled import partition_of_labels
from geocells._types import ArrayLike, CodeArray, FloatArray, IntArray
from geocells.cells import CellPartition, CodeRangeIndex, Ranges
from geocells.grids import GroupedGrid, common_grid, refined

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class CellIntersections:
    """Fine classes: what cells of several partitions have in common, one cell of each.

    Made by :meth:`geocells.CellHierarchy.intersections` and :meth:`geocells.CellHierarchy.combine`.

    Attributes
    ----------
    cells : CellPartition
        The fine classes as cells: assign, centroids, counts, polygons, files, maps. Only classes that hold an image.
    members : (n_classes, n_partitions) int64
        The cell of each partition that a fine class lies in.
    labels : (n_images,) int64
        Fine class of each image; -1 where some partition has no cell.

    Examples
    --------
    >>> from geocells import CellHierarchy
    >>> coords = [[47.4, 8.5]] * 4 + [[46.2, 6.1]] * 4 + [[59.3, 18.1]] * 4
    >>> hierarchy = CellHierarchy([{"min_images": 4}, {"min_images": 8}]).fit(coords)
    >>> fine = hierarchy.intersections()
    >>> fine.to_frame()[["partition_0", "partition_1", "count"]].to_numpy().tolist()
    [[0, 0, 4], [1, 0, 4], [2, 0, 4]]
    """

    cells: CellPartition
    members: IntArray
    labels: IntArray

    def __len__(self) -> int:
        return len(self.members)

    def assign(self, coords: ArrayLike, groups: ArrayLike | None = None, **options: Any) -> Any:
        """Fine class of each coordinate; see :meth:`CellPartition.assign`."""
        return self.cells.assign(coords, groups, **options)

    def vote(self, scores: Sequence[ArrayLike]) -> FloatArray:
        """Score of every fine class: the sum of the scores of its cells.

        Parameters
        ----------
        scores : sequence of (n, n_cells) array-like
            For each partition the scores (probabilities, or their logarithms) that its own classifier gives its cells.

        Returns
        -------
        votes : (n, n_classes) float64

        References
        ----------
        .. [1] Seo, Weyand, Sim, Han (2018), CPlaNet, section 3.
        """
        if len(scores) != self.members.shape[1]:
            raise ValueError(
                f"vote needs scores of each of the {self.members.shape[1]} partitions; got {len(scores)}."
            )
        votes: FloatArray = np.sum(
            [
                np.asarray(own, dtype=np.float64)[:, self.members[:, number]]
                for number, own in enumerate(scores)
            ],
            axis=0,
        )
        return votes

    def to_frame(self) -> pd.DataFrame:
        """Table of the fine classes: their cell in each partition, images, and location."""
        import pandas as pd

        columns: dict[str, Any] = {
            f"partition_{number}": self.members[:, number]
            for number in range(self.members.shape[1])
        }
        columns["count"] = self.cells.counts
        columns["latitude"] = self.cells.locations[:, 0]
        columns["longitude"] = self.cells.locations[:, 1]
        return pd.DataFrame(columns, index=pd.RangeIndex(len(self), name="class"))


def intersect(partitions: Sequence[CellPartition], images: Images) -> CellIntersections:
    """Merge the range lists of partitions of the same images.

    Parameters
    ----------
    partitions : sequence of CellPartition
        Made on grids with the same roots.
    images : Images
        Their groups in the order of the partitions' own.

    Returns
    -------
    intersections : CellIntersections

    Raises
    ------
    ValueError
        When partitions have no ranges, other roots or other groups, or no image lies in a cell of each.

    Notes
    -----
    Between two neighbouring ends of any ranges every partition has one cell or none, so the merge is exact:
    O(n_ranges log n_ranges), and O(n) to count the images.
    """
    if not partitions:
        raise ValueError("Intersections need at least one partition; got none.")
    grid = common_grid([_code_ranges(cells).grid for cells in partitions])
    starts, stops, cells_of_piece = _pieces(partitions, grid)
    members, class_of_piece = np.unique(cells_of_piece, axis=0, return_inverse=True)
    ranges = Ranges.from_disjoint(starts, stops, class_of_piece.reshape(-1).astype(np.int64))
    coords, weights = images.coords.array, images.weights
    labels = ranges.cell_of_codes(grid.encode(coords, images.group_of_row))
    housed = labels >= 0 if weights is None else (labels >= 0) & (weights > 0)
    # Classes that hold an image, by their lowest code.
    kept = np.flatnonzero(np.bincount(labels[housed], minlength=len(members)))
    if not len(kept):
        raise ValueError("No image lies in a cell of every partition: there are no intersections.")
    kept = kept[np.argsort(ranges.first_codes(len(members))[kept], kind="stable")]
    names = np.full(len(members), -1, dtype=np.int64)
    names[kept] = np.arange(len(kept))
    labels = np.append(names, -1)[labels]
    held = names[ranges.cells] >= 0
    ranges = Ranges.from_disjoint(
        ranges.starts[held], ranges.stops[held], names[ranges.cells[held]]
    )
    members = members[kept]
    levels = np.max(
        [own.levels[members[:, number]] for number, own in enumerate(partitions)], axis=0
    )
    fine = partition_of_labels(
        CodeRangeIndex(grid, ranges),
        images,
        labels,
        levels,
        group_of_cell=(
            None
            if images.group_names is None
            else grid.group_of_code(ranges.first_codes(len(kept)))
        ),
        outside=partitions[0].outside,
        location="mean",
        parameters={
            "method": "intersections",
            "partitions": [own.parameters for own in partitions],
        },
    )
    return CellIntersections(fine, members, labels)


def _code_ranges(cells: CellPartition) -> CodeRangeIndex:
    if not isinstance(cells.cell_index, CodeRangeIndex):
        raise ValueError(
            f"Only cells made on a grid can be intersected exactly; got cells of kind {cells.cell_index.kind!r}."
        )
    return cells.cell_index


def _pieces(
    partitions: Sequence[CellPartition], grid: GroupedGrid
) -> tuple[CodeArray, CodeArray, IntArray]:
    """Ranges in which every partition has one cell, and these cells (n_pieces, n_partitions)."""
    refined_ranges = [refined_ranges_of(cells, grid) for cells in partitions]
    ends = np.unique(
        np.concatenate([end for starts, stops, _ in refined_ranges for end in (starts, stops)])
    )
    starts, stops = ends[:-1], ends[1:]
    columns = []
    for own_starts, own_stops, own_cells in refined_ranges:
        place = np.searchsorted(own_starts, starts, side="right") - 1
        cells = np.full(len(starts), -1, dtype=np.int64)
        inside = place >= 0
        inside[inside] = starts[inside] < own_stops[place[inside]]
        cells[inside] = own_cells[place[inside]]
        columns.append(cells)
    cells_of_piece = np.stack(columns, axis=1)
    everywhere = (cells_of_piece >= 0).all(axis=1)
    return starts[everywhere], stops[everywhere], cells_of_piece[everywhere]


def refined_ranges_of(
    cells: CellPartition, grid: GroupedGrid
) -> tuple[CodeArray, CodeArray, IntArray]:
    """Starts, stops and cells of a partition's ranges in the codes of a grid with deeper leaves."""
    own = _code_ranges(cells)
    starts, stops = refined(own.ranges.starts, own.ranges.stops, own.grid, grid)
    return starts, stops, own.ranges.cells


def parents_of(fine: CellPartition, coarse: CellPartition) -> IntArray | None:
    """Cell of ``coarse`` that each cell of ``fine`` lies in; None unless every one lies in one as a whole.

    Notes
    -----
    Decided on the codes, not on the images: exact, and true of every place on earth. O(n_ranges log n_ranges).
    """
    grid = common_grid([_code_ranges(fine).grid, _code_ranges(coarse).grid])
    starts, stops, cells = refined_ranges_of(fine, grid)
    coarse_starts, coarse_stops, coarse_cells = refined_ranges_of(coarse, grid)
    place = np.searchsorted(coarse_starts, starts, side="right") - 1
    if not len(starts) or (place < 0).any() or (stops > coarse_stops[place]).any():
        return None
    parents = np.empty(fine.n_cells, dtype=np.int64)
    parents[cells] = coarse_cells[place]
    return parents if np.array_equal(parents[cells], coarse_cells[place]) else None
