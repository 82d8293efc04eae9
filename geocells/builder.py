"""CellBuilder: the scikit-learn estimator that turns coordinates into cells."""

from __future__ import annotations

import warnings
from typing import Any

from geocells.array_types import ArrayLike
from geocells.constructions import Competition, Ranking, bin_codes
from geocells.errors import GeocellsWarning
from geocells.estimator import CellEstimator
from geocells.fitting import (
    Images,
    Leftover,
    Method,
    Options,
    fit_cells,
    make_grid,
)
from geocells.grids import Grid

FEW_CELLS = 5  # fewer are told with a warning


def usual_min_images(n_images: int) -> int:
    """A hundredth of the images, from 10 to 200: what a cell may need where nobody says."""
    return min(200, max(10, n_images // 100))


class CellBuilder(CellEstimator):
    """Partition the earth into cells that hold enough images to learn from.

    Parameters
    ----------
    min_images : int, default 200
        Images that a cell needs.
    method : {"bottom_up", "consolidated", "optimal", "top_down"}
        ``"top_down"`` splits a cell while any of its four children holds ``min_images``; cells may hold fewer.
        ``"consolidated"`` then merges short cells into their parents. ``"optimal"`` chooses quadtree cells together,
        for a small within-cell sum of squares (WCSS) of the features. ``"bottom_up"`` looks for hot spots of
        ``min_images`` images, from fine to coarse; those whose images are most alike become cells first.
    max_images : int, optional
        top_down: split cells with more images than this; the images of cells short of ``min_images`` are leftover
        (the adaptive partition of PlaNet and ISN).
    min_cell_size : float, default 0.01
        Shortest side of a cell, in degrees; 0.01 is 1.1 km of latitude, and cos(latitude) of that in longitude.
    grid : "latlon", "s2", "healpix" or Grid
        The quadtree. With ``"s2"`` and ``"healpix"`` ``min_cell_size`` bounds the average edge of a level's cells. In
        Python also a `LatLonGrid`, `S2Grid` or `HealpixGrid`, in place of ``bounds`` and ``min_cell_size``.
    bounds : tuple, polygon(s) or mapping, optional
        Root box (south, west, north, east) in degrees (over the antimeridian where west > east), or polygons whose box
        it is, or one of these for every group: a mapping, or a GeoSeries or GeoDataFrame indexed by group. Default:
        the box of the images, group by group.
    overlap : {2, 1, 4, 8}
        bottom_up: heat-map windows per cell side. 1 gives the consolidated cells, with ``competition="level"``.
    competition : {"level", "all"}
        bottom_up: hot spots compete level by level, from the finest up, or all at once.
    rank_by : {"mean_wcss", "wcss", "count"}
        bottom_up: first comes the hot spot with the lowest within-cell sum of squares (WCSS) of features per image,
        the lowest WCSS, or the most images (the heat map alone).
    location : {"mean", "medoid", "mode"}
        The point that a cell answers with: the mean of its images on the sphere, the image with the smallest sum of
        distances to the others, or the coordinate with most images within 1 km.
    leftover : {"nearest", "cell", "noise"}
        Images that no cell took. nearest: they go, by whole leaves, to the cell of their group with the nearest
        centroid. cell: they become one cell per group, even if short. noise: they are labelled -1.
    outside : {"nearest", "noise", "raise"}
        What `assign` answers for a coordinate in no cell: the cell with the nearest centroid, -1, or an error.

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
    The result depends on the set of images alone, not on their order, the number of threads or the machine; only
    where sums of squares agree to about nine digits may ``"bottom_up"`` and ``"optimal"`` cells change with the order
    of the rows. Where no cell can be made (of a group, unless its leftover is noise), everything (of that group) is
    one cell.

    O(n) to encode and order; features are read once.

    There is no ``score()``: `GridSearchCV` and `cross_val_score` need a ``scoring``, called with a fitted builder and
    held-out coordinates (and features, where those came in as ``y``). By distances alone the smallest cells win:
    score a classifier on the cells, as in ``examples/grid_search.py``.

    References
    ----------
    .. [1] Sweden or Switzerland: GeoLocation on Noisy Datasets.

    Examples
    --------
    >>> import numpy as np
    >>> from geocells import CellBuilder
    >>> rng = np.random.default_rng(0)
    >>> coords = rng.normal((47.0, 8.0), 0.5, size=(2000, 2))
    >>> feats = rng.normal(size=(2000, 16)).astype(np.float32)
    >>> builder = CellBuilder(min_images=200).fit(coords, feats)
    >>> bool(builder.counts_.min() >= 200)
    True
    >>> bool((builder.assign(coords) == builder.labels_).all())
    True
    """

    def __init__(
        self,
        min_images: int = 200,
        *,
        method: Method = "bottom_up",
        max_images: int | None = None,
        min_cell_size: float = 0.01,
        grid: str | Grid = "latlon",
        bounds: Any = None,
        overlap: int = 2,
        competition: Competition = "level",
        rank_by: Ranking = "mean_wcss",
        location: str = "mean",
        leftover: Leftover = "nearest",
        outside: str = "nearest",
    ) -> None:
        self.min_images = min_images
        self.method = method
        self.max_images = max_images
        self.min_cell_size = min_cell_size
        self.grid = grid
        self.bounds = bounds
        self.overlap = overlap
        self.competition = competition
        self.rank_by = rank_by
        self.location = location
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
        coords : array-like (n, 2), table or points
            Latitude, longitude of each image in degrees; see :meth:`CellPartition.assign`.
        feats : array-like (n, n_features), optional
            Image features, float32 or float64, by which ``"bottom_up"`` ranks hot spots and ``"optimal"`` chooses
            cells; a memory map is read once, in row order, and never held as a whole. Left out, the places themselves
            take their part. The other methods look at coordinates only.
        groups : array-like (n,) or str, optional
            A group, such as a country, for every image, or the table's column of them; each gets a root box and
            cells of its own.
        sample_weight : array-like (n,), optional
            Images that each row stands for, 0 or more. Where one has a fraction, all are rounded to ``2**-k`` images, k
            the greatest with which they add up to less than ``2**36`` units (16 for a million images), so that sums
            are exact; ``counts_`` are then rounded to whole images, 1 at least.

        Returns
        -------
        self : CellBuilder

        Raises
        ------
        ValueError, TypeError
            When a parameter or a row is unsound; the message names the first such row and the remedy.
        """
        options = Options.from_builder(self)
        images = Images.from_input(coords, feats, groups, sample_weight)
        grid = make_grid(options, images.group_names, images.boxes)
        codes = images.codes_on(grid)
        # Windows of hot spots reach over the borders of quadtree cells.
        enough = 1 if options.method == "bottom_up" else images.in_units(options.min_images)
        bins = bin_codes(codes, grid.code_bits, images.weights, enough)
        self._store(*fit_cells(options, grid, codes, bins, images))
        self._warn_of_few_cells()
        return self

    def _warn_of_few_cells(self) -> None:
        n_cells, n_images = self.n_cells_, int(self.cells_.counts.sum())
        if n_cells >= FEW_CELLS:
            return
        fewer = usual_min_images(n_images)
        advice = "More images are needed."
        if fewer < self.min_images:
            advice = f"Try min_images={fewer}, in place of {self.min_images}."
        warnings.warn(
            f"A classifier learns little from {n_cells} cell{'s' if n_cells != 1 else ''} "
            f"of {n_images} images. {advice}",
            GeocellsWarning,
            stacklevel=3,
        )
