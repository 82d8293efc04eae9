"""fit: the cells of `CellBuilder`, of photos over many partitions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from geocells import fitting
from geocells._types import FloatArray, IntArray, ObjectArray
from geocells.cells import CellPartition, CodeRangeIndex, Ranges
from geocells.distributed import _assigning
from geocells.distributed._partials import (
    Cancelled,
    Counts,
    Encoding,
    Extent,
    FirstPoints,
    Owners,
    PartialMoments,
    PartialSums,
    Settling,
    Survey,
)
from geocells.distributed._photos import Photos
from geocells.distributed._thinning import thin
from geocells.distributed._tree import Pass, Runner
from geocells.fitting import Options
from geocells.grids.bounds import Box
from geocells.moments import Moments
from geocells.sphere import CANCELLED, SphereSums
from geocells.validation import check_coords, check_count, number_groups


@dataclass(frozen=True)
class DistributedFit:
    """What `fit` found.

    Attributes
    ----------
    cells : CellPartition
        As `CellBuilder` makes it, but without medoids and modes: no machine has seen all images of a cell.
    n_rows : int
        Photos.
    n_bins : int
        Leaf codes with photos on them.
    n_bins_kept : int
        Those that came back to the client, the others folded into them.
    passes : tuple of Pass
        Time and bytes of each pass over the photos.
    """

    cells: CellPartition
    n_rows: int
    n_bins: int
    n_bins_kept: int
    passes: tuple[Pass, ...]
    _photos: Photos = field(repr=False)
    _outside: str = field(repr=False)

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return self.cells.n_cells

    def labels(self) -> Any:
        """Cell of each photo that the cells were built from, lazily.

        Returns
        -------
        labels : dask Series named ``cell``, or dask array (n,), of int64
            What ``CellBuilder.labels_`` would hold; -1 for leftover photos with ``leftover="noise"``. Nothing is read
            before it is computed or stored.
        """
        return _assigning.labels_of(self.cells, self._photos, self._outside)


def fit(
    builder: Any,
    coords: Any,
    feats: Any = None,
    groups: Any = None,
    sample_weight: Any = None,
    *,
    latitude_column: str | None = None,
    longitude_column: str | None = None,
    storage_options: dict[str, Any] | None = None,
    client: Any = None,
    split_every: int = 8,
) -> DistributedFit:
    """Build cells of photos in the partitions of a Dask collection or of a Parquet dataset.

    Parameters
    ----------
    builder : CellBuilder
        Its parameters; it is not fitted itself. ``location`` must be ``"mean"``.
    coords : dask DataFrame, dask array (n, 2), or str
        Latitude, longitude in degrees: columns of a DataFrame, an array, or the path, glob or URL of a Parquet dataset
        (any file system of fsspec: ``s3://bucket/photos/*.parquet``). Partitions may be uneven and empty.
    feats : str, list of str, or dask collection (n, n_features), optional
        Features by which ``"bottom_up"`` ranks hot spots: a column of lists, several columns, or a collection
        partitioned as ``coords`` is.
    groups, sample_weight : str or dask collection (n,), optional
        Columns, or collections partitioned as ``coords`` is.
    latitude_column, longitude_column : str, optional
        Columns of a DataFrame or dataset; default: those named latitude, lat or y; longitude, lon, lng, long or x.
    storage_options : dict, optional
        For fsspec, where ``coords`` is a URL.
    client : distributed.Client, optional
        The cluster that does the work. Default: Dask's current client or scheduler.
    split_every : int
        Partial results that are merged at a time.

    Returns
    -------
    result : DistributedFit

    Raises
    ------
    ValueError, TypeError
        When a parameter or a row is unsound; the message names the partition and the first such row in it.

    Notes
    -----
    Every pass maps a partition to a partial result and merges those in a tree:

    - *survey* (where the root boxes follow from the photos, or there are groups): extremes and occupied longitudes;
    - *counts*: sorted leaf codes with their images, merged, then folded where no construction can tell codes apart;
    - *moments* (``"bottom_up"``, unless ``rank_by="count"``): count, mean and within-group sum of squares of the bins
      that matter, merged by Chan's formula. The features are read here, once;
    - *sums*: unit vectors by cell, and by leaf code where no cell claims it, in whole numbers.

    Between the passes the construction runs in this process, on counts and moments, with the code that
    `CellBuilder.fit` runs. Counts and sums are whole numbers, so cells, counts and centroids are those of
    `CellBuilder.fit` to the last bit. Moments are real numbers, which other partitions round otherwise in the last
    digits; hot spots are therefore ranked by nine digits of their score, here as there. See docs/distributed.md.

    A worker holds one partition, its partial result, and ``split_every`` partial results that it merges.

    Examples
    --------
    >>> import dask
    >>> import dask.array
    >>> import numpy as np
    >>> from geocells import CellBuilder, distributed
    >>> coords = np.random.default_rng(0).normal((47.0, 8.0), 0.5, size=(2000, 2))
    >>> builder = CellBuilder(min_images=200, method="consolidated")
    >>> with dask.config.set(scheduler="synchronous"):
    ...     result = distributed.fit(builder, dask.array.from_array(coords, chunks=(700, 2)))
    ...     labels = result.labels().compute()
    >>> bool((labels == builder.fit(coords).labels_).all())
    True
    """
    options = Options.from_builder(builder)
    if options.location != "mean":
        raise ValueError(
            f"location={options.location!r} needs all images of a cell on one machine, which a distributed fit never "
            'has: use location="mean".'
        )
    photos = Photos.of(
        coords,
        feats,
        groups,
        sample_weight,
        latitude_column=latitude_column,
        longitude_column=longitude_column,
        storage_options=storage_options,
    )
    runner = Runner(photos, client, check_count(split_every, "split_every", least=2))
    encoding, deepest = _encoding_of(options, runner)
    grid = encoding.grid
    counted = runner.run(
        "counts", Counts.of, Counts.merged, encoding, finish=_Thinning(options).finish
    )
    if counted.n_rows == 0:
        _refuse_no_rows()
    bins = counted.bins()
    n_images = int(bins.totals[-1])
    if n_images == 0:
        raise ValueError("sample_weight is zero everywhere: no image is left.")
    if n_images >= 2**53:
        raise ValueError("sample_weight adds up to 2**53 or more images; scale it down.")

    moments_of = None
    if options.method == "bottom_up" and options.rank_by != "count":

        def moments_of(owners: Ranges, n_owners: int) -> Moments:
            partial = runner.run(
                "moments",
                PartialMoments.of,
                PartialMoments.merged,
                Owners(encoding, owners),
                features=True,
            )
            return partial.of_all(n_owners)

    prioritized = fitting.construct(options, grid, deepest, bins, moments_of)
    ranges, levels, folded = fitting.flatten(options, grid, prioritized, bins)
    n_cells = len(levels)
    summed = runner.run(
        "sums",
        PartialSums.of,
        PartialSums.merged,
        Settling(encoding, ranges, n_images, bool(len(folded))),
    )
    unassigned = summed.bins.keys.astype(np.uint64)
    _, sums, ranges, levels = fitting.number_cells(
        grid,
        fitting.with_bins(ranges, n_cells, unassigned),
        summed.as_sums(n_cells, SphereSums.scale_for(n_images)),
        levels,
        unassigned,
    )
    centroids = _centroids(sums, runner, encoding, ranges)
    names = encoding.group_names
    cells = CellPartition(
        cell_index=CodeRangeIndex(grid, ranges),
        centroids=centroids,
        locations=centroids.copy(),
        counts=sums.counts,
        levels=levels,
        group_names=names,
        group_of_cell=None
        if names is None
        else grid.group_of_code(ranges.first_codes(len(levels))),
        outside=options.outside,
        parameters=options.as_dict(),
    )
    return DistributedFit(
        cells,
        counted.n_rows,
        counted.n_bins,
        len(bins.codes),
        tuple(runner.passes),
        photos,
        fitting.outside_of_training(options),
    )


def _refuse_no_rows() -> None:
    check_coords(np.empty((0, 2)))


def _encoding_of(options: Options, runner: Runner) -> tuple[Encoding, IntArray]:
    """Grid and groups, from a survey of the photos where it takes one, and the level of the deepest cells."""
    has_groups = runner.photos.has_groups
    needs_boxes = options.grid == "latlon" and options.bounds is None
    extents: dict[Any, Extent | None] = {}
    if needs_boxes or has_groups:
        survey = runner.run("survey", Survey.of, Survey.merged)
        if survey.n_rows == 0:
            _refuse_no_rows()
        extents = survey.extents
    names: ObjectArray | None = None
    keys: list[Any] = [None]
    if has_groups:
        keys = [name for name in extents if name is not None]
        unsorted = np.empty(len(keys), dtype=object)
        unsorted[:] = keys
        numbers, names = number_groups(unsorted)
        keys = [keys[place] for place in np.argsort(numbers)]

    def boxes() -> list[Box]:
        own = []
        for key in keys:
            extent = extents[key]
            if extent is None:
                if key is None:
                    raise ValueError("sample_weight is zero everywhere: no image is left.")
                raise ValueError(fitting.no_image_of(key))
            own.append(extent.box())
        return own

    grid, deepest = fitting.make_grid(options, names, boxes)
    return Encoding(grid, names), deepest


@dataclass(frozen=True)
class _Thinning:
    """The end of the pass of counts, where the merged counts are."""

    options: Options

    def finish(self, counted: Counts, encoding: Encoding) -> Counts:
        thinned = thin(counted.bins(), self.options, encoding.grid)
        return Counts.of_bins(thinned, counted.n_rows, encoding.grid, counted.n_bins)


def _centroids(sums: SphereSums, runner: Runner, encoding: Encoding, ranges: Ranges) -> FloatArray:
    """Mean of each cell's images; the first image where they cancel out."""
    centroids, lengths = sums.means()
    cancelled = np.flatnonzero(lengths <= CANCELLED)
    if len(cancelled):
        first = runner.run(
            "first points",
            FirstPoints.of,
            FirstPoints.merged,
            Cancelled(encoding, ranges, cancelled),
        )
        for cell, point in first.points.items():
            centroids[cell] = point
    return centroids
