"""CellHierarchy: several partitions of the same images, and CellIntersections: what their cells have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, cast

import numpy as np

from geocells.array_types import ArrayLike, CodeArray, IntArray
from geocells.builder import CellBuilder
from geocells.cells import (
    CellPartition,
    CodeRangeIndex,
    Ranges,
    load_partitions,
    save_partitions,
)
from geocells.constructions import bin_codes
from geocells.estimator import Estimator
from geocells.fitting import (
    Images,
    Options,
    fit_cells,
    make_grid,
    partition_from_labels,
)
from geocells.frames import labels_like
from geocells.grids import GroupedGrid, common_grid, refined
from geocells.validation import check_coords


class CellHierarchy(Estimator):
    """Several partitions of the same images: coarse to fine, or overlapping ones whose intersections are fine classes.

    Parameters
    ----------
    builders : sequence of CellBuilder or mapping
        One a partition, coarse to fine: a builder, or its parameters. All must lead to the same root box: the same
        ``grid``, ``bounds`` and ``min_cell_size`` do. ``overlap`` and everything else may differ.
    nested : bool
        Make each coarser cell of whole finer ones: a finer cell belongs to the coarser cell in which its mean lies.
        Coarser cells without any finer one are left out, others may be short of ``min_images``.

    Attributes
    ----------
    partitions_ : list of CellPartition
        Each equal to the one that its builder alone would make, unless ``nested``.
    labels_ : (n_images, n_partitions) int64
        Cell of each image in each partition, -1 for noise.
    parents_ : list of ((n_cells,) int64 or None)
        ``parents_[k]`` names, for every cell of partition ``k + 1``, the cell of partition ``k`` that it lies in. None
        where these two are not nested: some cell of the finer one lies in several cells of the coarser one, or reaches
        beyond them. :meth:`intersections` relates any partitions.
    is_nested_ : list of bool
        Whether partition ``k + 1`` is nested in partition ``k``.

    Notes
    -----
    The coordinates are encoded and ordered once for all builders in a row that have one grid.

    Top-down partitions are nested as long as places short of images are not handed to neighbours: without
    ``max_images``, or with ``leftover="noise"``. Consolidated and bottom-up ones seldom are, without ``nested``.

    References
    ----------
    .. [1] Mueller-Budack, Pustu-Iren, Ewerth (2018), Geolocation estimation of photos (ISN): S2 cells with
       ``min_images`` 50 and ``max_images`` 5000 (coarse), 2000 (middle), 1000 (fine).
    .. [2] Seo, Weyand, Sim, Han (2018), CPlaNet: combinatorial partitioning.

    Examples
    --------
    ISN's three partitions, the numbers a tenth of the paper's:

    >>> import numpy as np
    >>> from geocells import CellHierarchy
    >>> coords = np.random.default_rng(0).normal((47.0, 8.0), 1.0, size=(3000, 2))
    >>> isn = dict(min_images=5, method="top_down", grid="s2", leftover="noise")
    >>> hierarchy = CellHierarchy([{**isn, "max_images": most} for most in (500, 200, 100)])
    >>> hierarchy.fit(coords).labels_.shape
    (3000, 3)
    >>> hierarchy.is_nested_
    [True, True]
    >>> coarse_of_middle = hierarchy.parents_[0]
    >>> inside = hierarchy.labels_[:, 1] >= 0
    >>> middle, coarse = hierarchy.labels_[inside, 1], hierarchy.labels_[inside, 0]
    >>> bool((coarse_of_middle[middle] == coarse).all())
    True
    """

    _fitted_attribute = "partitions_"

    partitions_: list[CellPartition]
    labels_: IntArray
    parents_: list[IntArray | None]

    def __init__(
        self, builders: Sequence[CellBuilder | Mapping[str, Any]], *, nested: bool = False
    ) -> None:
        self.builders = builders
        self.nested = nested

    def fit(
        self,
        coords: ArrayLike,
        feats: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Build every partition.

        Parameters
        ----------
        coords, feats, groups, sample_weight
            As for :meth:`CellBuilder.fit`. Features are read once for each ``"bottom_up"`` partition.

        Returns
        -------
        self : CellHierarchy

        Raises
        ------
        ValueError, TypeError
            When a parameter or a row is unsound, or the builders lead to different root boxes.
        """
        all_options = [Options.from_builder(builder) for builder in self._checked_builders()]
        images = Images.from_input(coords, feats, groups, sample_weight)
        grids = [make_grid(options, images.group_names, images.boxes) for options in all_options]
        common_grid(grids)  # refuses other roots
        fitted, encoded = [], None
        for options, grid in zip(all_options, grids, strict=True):
            if grid != encoded:
                encoded, codes = grid, images.codes_on(grid)
                bins = bin_codes(codes, grid.code_bits, images.weights)
            fitted.append(fit_cells(options, grid, codes, bins, images))
        if self.nested:
            for number in range(len(fitted) - 1, 0, -1):
                fitted[number - 1] = made_of(*fitted[number], fitted[number - 1][0], images)
        self._store([cells for cells, _ in fitted])
        self.labels_ = np.stack([labels for _, labels in fitted], axis=1)
        self.n_features_in_ = 2
        self._images = images
        return self

    def _checked_builders(self) -> list[CellBuilder]:
        if isinstance(self.builders, Mapping | str) or not isinstance(self.builders, Sequence):
            raise TypeError(
                f"builders must be a list of CellBuilders or of their parameters; got {self.builders!r}."
            )
        if not self.builders:
            raise ValueError("builders must name at least one partition; got none.")
        for number, builder in enumerate(self.builders):
            if not isinstance(builder, CellBuilder | Mapping):
                raise TypeError(
                    f"builders must hold CellBuilders or their parameters; number {number} is {builder!r}."
                )
        return [
            builder if isinstance(builder, CellBuilder) else CellBuilder(**builder)
            for builder in self.builders
        ]

    def _store(self, partitions: list[CellPartition]) -> None:
        self.partitions_ = partitions
        self.parents_ = [
            parents_of(fine, coarse)
            for coarse, fine in zip(partitions[:-1], partitions[1:], strict=True)
        ]
        self.is_nested_ = [parents is not None for parents in self.parents_]

    def assign(self, coords: ArrayLike, groups: ArrayLike | None = None) -> Any:
        """Cell of each coordinate in each partition.

        Returns
        -------
        labels : (n, n_partitions) int64
            As each partition's :meth:`CellPartition.assign` gives them; a table where ``coords`` is one.

        Raises
        ------
        NotFittedError
            Before :meth:`fit`.
        """
        self._check_is_fitted()
        checked = check_coords(coords, allow_empty=True)
        group_of_row = self.partitions_[0].group_numbers(groups, checked)
        columns = [cells.assign_checked(checked, group_of_row) for cells in self.partitions_]
        return labels_like(np.stack(columns, axis=1), coords)

    def intersections(self) -> CellIntersections:
        """Fine classes: what cells of the partitions have in common, one cell of each, where an image lies.

        Returns
        -------
        intersections : CellIntersections
            Fine class of each image, cell of each partition for each class, and the classes as a `CellPartition`.

        Raises
        ------
        ValueError
            After :meth:`load`, which has no images; use `CellIntersections.from_partitions`. When no image lies in a
            cell of each.
        """
        self._check_is_fitted()
        if not hasattr(self, "_images"):
            raise ValueError(
                "A hierarchy from a file knows no images: use "
                "CellIntersections.from_partitions(hierarchy.partitions_, coords)."
            )
        return intersect(self.partitions_, self._images)

    def save(self, path: str | Path) -> Path:
        """Write all partitions into one GeoParquet file; a column ``partition`` tells them apart.

        The file is written beside its target and renamed. It holds cells, no images.
        """
        self._check_is_fitted()
        return save_partitions(self.partitions_, path)

    @classmethod
    def load(cls, path: str | Path) -> CellHierarchy:
        """Read a hierarchy that :meth:`save` wrote: its partitions, parents and assign, without ``labels_``.

        Raises
        ------
        FileNotFoundError
            When there is no such file.
        ValueError
            When the file holds no hierarchy, or is damaged.
        """
        partitions = load_partitions(path)
        hierarchy = cls([cells.parameters for cells in partitions])
        hierarchy._store(partitions)
        return hierarchy


@dataclass(frozen=True, eq=False)
class CellIntersections:
    """Fine classes: what cells of several partitions have in common, one cell of each.

    Made by :meth:`geocells.CellHierarchy.intersections`, or :meth:`from_partitions` that were made apart. The score of
    a class is the sum of those that the partitions' classifiers give its cells (CPlaNet, section 3).

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
    >>> import numpy as np
    >>> from geocells import CellHierarchy
    >>> coords = [[47.4, 8.5]] * 4 + [[46.2, 6.1]] * 4 + [[59.3, 18.1]] * 4
    >>> hierarchy = CellHierarchy([{"min_images": 4}, {"min_images": 8}]).fit(coords)
    >>> fine = hierarchy.intersections()
    >>> fine.members.tolist(), fine.cells.counts.tolist()
    ([[0, 0], [1, 0], [2, 0]], [4, 4, 4])

    Scores of the classes, from an array (n, n_cells) of scores a partition:

    >>> scores = np.array([[0.2, 0.5, 0.3]]), np.array([[1.0]])
    >>> sum(of_cells[:, cells] for of_cells, cells in zip(scores, fine.members.T)).tolist()
    [[1.2, 1.5, 1.3]]
    """

    cells: CellPartition
    members: IntArray
    labels: IntArray

    def __len__(self) -> int:
        return len(self.members)

    @staticmethod
    def from_partitions(
        partitions: Sequence[CellPartition],
        coords: ArrayLike,
        groups: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> CellIntersections:
        """Fine classes of partitions that were made apart.

        Parameters
        ----------
        partitions : sequence of CellPartition
            Made on a grid with the same roots, by builders with the same ``bounds``, say.
        coords, groups, sample_weight
            Images, as for :meth:`CellHierarchy.fit`; only classes that hold one are kept.

        Returns
        -------
        intersections : CellIntersections

        Raises
        ------
        TypeError, ValueError
            When these are no partitions, do not share their root box or their groups, or no image lies in a cell of
            each.
        """
        images = Images.from_input(coords, None, groups, sample_weight)
        names = None if images.group_names is None else images.group_names.tolist()
        for number, cells in enumerate(partitions):
            if not isinstance(cells, CellPartition):
                raise TypeError(
                    f"partitions must hold CellPartitions; number {number} is {cells!r}. Read files by load_cells."
                )
            expected = None if cells.group_names is None else cells.group_names.tolist()
            if names != expected:
                raise ValueError(
                    f"groups must be those of the partitions, {expected}; got {names}."
                )
        return intersect(partitions, images)

    def assign(self, coords: ArrayLike, groups: ArrayLike | None = None, **options: Any) -> Any:
        """Fine class of each coordinate; see :meth:`CellPartition.assign`."""
        return self.cells.assign(coords, groups, **options)


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
    grid, starts, stops, cells_of_piece = _pieces(partitions)
    in_all = (cells_of_piece >= 0).all(axis=1)
    members, classes = np.unique(cells_of_piece[in_all], axis=0, return_inverse=True)
    ranges = Ranges.from_disjoint(starts[in_all], stops[in_all], classes.reshape(-1))
    codes = grid.encode(images.coords.array, images.group_of_row)
    labels = ranges.cell_of_codes(codes)
    is_held = labels >= 0 if images.weights is None else (labels >= 0) & (images.weights > 0)
    # Classes that hold an image, by their lowest code.
    occupied = np.unique(labels[is_held])
    if not len(occupied):
        raise ValueError("No image lies in a cell of every partition: there are no intersections.")
    first_codes = ranges.first_codes(len(members))[occupied]
    order = np.argsort(first_codes, kind="stable")
    occupied = occupied[order]
    numbers = np.full(len(members) + 1, -1, dtype=np.int64)
    numbers[occupied] = np.arange(len(occupied))
    labels = numbers[labels]
    cells = numbers[ranges.cells]
    ranges = Ranges.from_disjoint(
        ranges.starts[cells >= 0], ranges.stops[cells >= 0], cells[cells >= 0]
    )
    members = members[occupied]
    fine = partition_from_labels(
        CodeRangeIndex(grid, ranges),
        images,
        labels,
        np.max(
            [part.levels[column] for part, column in zip(partitions, members.T, strict=True)],
            axis=0,
        ),
        group_of_cell=grid.group_of_code(first_codes[order]),
        outside=partitions[0].outside,
        location="mean",
        parameters={
            "method": "intersections",
            "partitions": [part.parameters for part in partitions],
        },
    )
    return CellIntersections(fine, members, labels)


def made_of(
    fine: CellPartition, labels: IntArray, coarse: CellPartition, images: Images
) -> tuple[CellPartition, IntArray]:
    """Coarser cells made of whole finer ones, and the coarser cell of each image, from its finer one."""
    parents = coarse.assign(fine.centroids, fine.groups, outside="nearest")
    used, parents = np.unique(parents, return_inverse=True)
    index = cast("CodeRangeIndex", fine.cell_index)
    order = index.ranges.renamed(parents).order_of_cells(len(used))
    parents, used = np.argsort(order)[parents], used[order]
    labels = np.append(parents, -1)[labels]
    cells = partition_from_labels(
        CodeRangeIndex(index.grid, index.ranges.renamed(parents)),
        images,
        labels,
        coarse.levels[used],
        group_of_cell=None if coarse.group_of_cell is None else coarse.group_of_cell[used],
        outside=coarse.outside,
        location=coarse.parameters["location"],
        parameters=coarse.parameters,
    )
    return cells, labels


def parents_of(fine: CellPartition, coarse: CellPartition) -> IntArray | None:
    """Cell of ``coarse`` that each cell of ``fine`` lies in; None unless every one lies in one as a whole.

    Notes
    -----
    Decided on the codes, not on the images: exact, and true of every place on earth. O(n_ranges log n_ranges).
    """
    *_, cells = _pieces([fine, coarse])
    children, parents = cells[cells[:, 0] >= 0].T
    parent_of = np.full(fine.n_cells, -1, dtype=np.int64)
    parent_of[children] = parents
    is_nested = len(parents) and parents.min() >= 0 and np.array_equal(parent_of[children], parents)
    return parent_of if is_nested else None


def _pieces(
    partitions: Sequence[CellPartition],
) -> tuple[GroupedGrid, CodeArray, CodeArray, IntArray]:
    """Common grid, and the ranges in which every partition has one cell (or none, -1): (n_pieces, n_partitions)."""
    indices = []
    for index in (cells.cell_index for cells in partitions):
        if not isinstance(index, CodeRangeIndex):
            raise ValueError(
                f"Only cells made on a grid can be intersected exactly; got cells of kind {index.kind!r}."
            )
        indices.append(index)
    grid = common_grid([index.grid for index in indices])
    deepened = [
        Ranges(
            *refined(index.ranges.starts, index.ranges.stops, index.grid, grid), index.ranges.cells
        )
        for index in indices
    ]
    ends = np.unique(
        np.concatenate([end for each in deepened for end in (each.starts, each.stops)])
    )
    columns = [each.cell_of_codes(ends[:-1]) for each in deepened]
    return grid, ends[:-1], ends[1:], np.stack(columns, axis=1)
