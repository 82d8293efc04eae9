"""CellHierarchy: several partitions of the same images, from one ordering of the codes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from geocells import _fitting
from geocells import constructions as algorithms
from geocells._estimator import Estimator
from geocells._images import Images
from geocells._options import Options
from geocells._types import ArrayLike, IntArray
from geocells.builder import CellBuilder
from geocells.cells import CellPartition, load_partitions, save_partitions
from geocells.grids import coarsened, common_grid
from geocells.intersections import CellIntersections, intersect, parents_of
from geocells.validation import index_of


class CellHierarchy(Estimator):
    """Several partitions of the same images: coarse to fine, or overlapping ones whose intersections are fine classes.

    Parameters
    ----------
    builders : sequence of CellBuilder or mapping
        One a partition, coarse to fine: a builder, or its parameters. All must lead to the same root box: the same
        ``grid``, ``bounds`` and ``min_cell_size`` do. ``overlap`` and everything else may differ.

    Attributes
    ----------
    partitions_ : list of CellPartition
        Each equal to the one that its builder alone would make.
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
    The coordinates are encoded and ordered once, on the grid with the deepest leaves that a partition needs; a builder
    with fewer levels sees the same codes without their last bits, which are those of its own grid.

    Top-down partitions are nested as long as places short of images are not handed to neighbours: without
    ``max_images``, or with ``leftover="noise"``. Consolidated and bottom-up ones seldom are.

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

    partitions_: list[CellPartition]
    labels_: IntArray
    parents_: list[IntArray | None]

    def __init__(self, builders: Sequence[CellBuilder | Mapping[str, Any]]) -> None:
        self.builders = builders

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
        all_options = [Options.of(builder) for builder in self._checked_builders()]
        images = Images.of(coords, feats, groups, sample_weight)
        resolved = [_fitting.resolve_grid(options, images) for options in all_options]
        common = common_grid([grid for grid, _ in resolved])
        codes = common.encode(images.coords.array, images.group_of_row)
        _fitting.refuse_outside(codes, images)
        bins = algorithms.bin_codes(codes, common.code_bits, images.weights)
        partitions, labels = [], []
        for options, (grid, deepest) in zip(all_options, resolved, strict=True):
            same = grid == common
            cells, own_labels = _fitting.partition_of(
                options,
                grid,
                deepest,
                bins if same else bins.renamed(coarsened(bins.codes, common, grid)),
                codes if same else coarsened(codes, common, grid),
                images,
            )
            partitions.append(cells)
            labels.append(own_labels)
        self._keep(partitions)
        self.labels_ = np.stack(labels, axis=1)
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

    def _keep(self, partitions: list[CellPartition]) -> None:
        self.partitions_ = partitions
        self.parents_ = [
            parents_of(fine, coarse)
            for coarse, fine in zip(partitions[:-1], partitions[1:], strict=True)
        ]
        self.is_nested_ = [parents is not None for parents in self.parents_]

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "partitions_")

    def _check_is_fitted(self) -> None:
        if not hasattr(self, "partitions_"):
            from sklearn.exceptions import NotFittedError

            raise NotFittedError(
                "This CellHierarchy has no partitions yet: call fit(coords) first."
            )

    def assign(self, coords: ArrayLike, groups: ArrayLike | None = None) -> Any:
        """Cell of each coordinate in each partition.

        Returns
        -------
        labels : (n, n_partitions) int64
            As each partition's :meth:`CellPartition.assign` gives them. A pandas DataFrame with the rows' own index
            where ``coords`` has one.

        Raises
        ------
        NotFittedError
            Before :meth:`fit`.
        """
        self._check_is_fitted()
        columns = [np.asarray(cells.assign(coords, groups)) for cells in self.partitions_]
        return _with_index(np.stack(columns, axis=1), index_of(coords))

    def predict(self, coords: ArrayLike, groups: ArrayLike | None = None) -> Any:
        """Do as :meth:`assign`, under scikit-learn's name."""
        return self.assign(coords, groups)

    def fit_predict(
        self,
        coords: ArrayLike,
        feats: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Any:
        """Build the partitions and return ``labels_``, a DataFrame where ``coords`` has an index."""
        return _with_index(self.fit(coords, feats, groups, sample_weight).labels_, index_of(coords))

    def intersections(self) -> CellIntersections:
        """Fine classes: what cells of the partitions have in common, one cell of each, where an image lies.

        Returns
        -------
        intersections : CellIntersections
            Fine class of each image, cell of each partition for each class, and the classes as a `CellPartition`.

        Raises
        ------
        ValueError
            After :meth:`load`, which knows no images; use :meth:`combine`. When no image lies in a cell of each.
        """
        self._check_is_fitted()
        if not hasattr(self, "_images"):
            raise ValueError(
                "A hierarchy from a file knows no images: use CellHierarchy.combine(hierarchy.partitions_, coords)."
            )
        return intersect(self.partitions_, self._images)

    @staticmethod
    def combine(
        partitions: Sequence[CellPartition],
        coords: ArrayLike,
        groups: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> CellIntersections:
        """Fine classes of partitions that were made apart, with the images that decide which classes are kept.

        Parameters
        ----------
        partitions : sequence of CellPartition
            Made on a grid with the same roots, by builders with the same ``bounds``, say.
        coords, groups, sample_weight
            Images, as for :meth:`fit`.

        Returns
        -------
        intersections : CellIntersections

        Raises
        ------
        ValueError
            When the partitions do not share their root box or their groups, or no image lies in a cell of each.
        """
        images = Images.of(coords, None, groups, sample_weight)
        for cells in partitions:
            names = None if cells.group_names is None else cells.group_names.tolist()
            if names != (None if images.group_names is None else images.group_names.tolist()):
                raise ValueError(
                    f"groups must be those of the partitions, {names}; got "
                    f"{None if images.group_names is None else images.group_names.tolist()}."
                )
        return intersect(partitions, images)

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
        hierarchy._keep(partitions)
        return hierarchy


def _with_index(labels: IntArray, index: Any) -> Any:
    """Return cell numbers as they are, or as a DataFrame where the rows have labels of their own."""
    if index is None:
        return labels
    import pandas as pd

    names = [f"partition_{number}" for number in range(labels.shape[1])]
    return pd.DataFrame(labels, index=index, columns=names)
