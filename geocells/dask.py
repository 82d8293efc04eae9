"""Cells of more photos than one machine holds, by Dask.

`fit` builds the cells that `geocells.CellBuilder` builds, of photos in the partitions of a Dask collection or of a
Parquet dataset; `assign` finds the cell of each, partition by partition. Needs Dask: ``pip install '.[dask]'`` in the
source folder.
"""

from __future__ import annotations

import logging
import math
import time
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from geocells import fitting
from geocells._types import CodeArray, IntArray, ObjectArray
from geocells.cells import CellPartition, CodeRangeIndex, Ranges, RepresentativePoints
from geocells.constructions import Bins, bin_codes, thin
from geocells.fitting import Images, Options
from geocells.grids import GroupedGrid
from geocells.grids.bounds import N_BUCKETS, Box, box_of_buckets, longitude_buckets
from geocells.moments import Moments, moments_of_images
from geocells.sphere import SphereSums
from geocells.sphere.means import CANCELLED, NO_WEIGHTS, first_point
from geocells.tables import find_columns
from geocells.validation import (
    MOST_IMAGES,
    check_coords,
    check_feats,
    check_groups,
    check_sample_weight,
    number_groups,
)

try:
    import dask
    import dask.array as da
    import dask.bag as db
    import dask.dataframe as dd
    from dask.delayed import Delayed, delayed
    from fsspec.core import url_to_fs
except ImportError as error:
    raise ImportError(
        "geocells.dask needs Dask, which is not installed: pip install '.[dask]' in the source folder."
    ) from error

__all__ = ["DaskFit", "assign", "fit"]

logger = logging.getLogger(__name__)

SPLIT_EVERY = 8
"""Partial results that are merged at a time."""

ADDED = ("cell", "cell_latitude", "cell_longitude")
"""Columns of an assigned dataset."""

# ------------------------------------------------------------------------------------------ collections


@dataclass(frozen=True)
class Photos:
    """Photos over the partitions of Dask collections.

    Attributes
    ----------
    rows : dask DataFrame, or dask array (n, 2)
    feats, groups, sample_weight : dask collection or None
        Partitioned as ``rows`` is; None also where they are columns of it.
    columns : dict
        Of a DataFrame: ``coords``, ``feats``, ``groups`` and ``sample_weight`` to their columns, where it holds them.
    """

    rows: Any
    feats: Any = None
    groups: Any = None
    sample_weight: Any = None
    columns: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_input(
        cls,
        coords: Any,
        feats: Any = None,
        groups: Any = None,
        sample_weight: Any = None,
        *,
        latitude_column: str | None = None,
        longitude_column: str | None = None,
        storage_options: dict[str, Any] | None = None,
    ) -> Photos:
        """Photos of what the caller gave: see `fit`."""
        rows = open_collection(coords, storage_options)
        others = {"feats": feats, "groups": groups, "sample_weight": sample_weight}
        if isinstance(rows, da.Array):
            return cls._from_arrays(rows, others)
        names = {str(column): column for column in rows.columns}
        wanted = {"latitude": latitude_column, "longitude": longitude_column}
        pair = find_columns(list(names), wanted, where="coords")
        columns: dict[str, Any] = {"coords": [names[pair["latitude"]], names[pair["longitude"]]]}
        for role, value in others.items():
            if isinstance(value, (str, list, tuple)):
                columns[role] = value if isinstance(value, str) else list(value)
                others[role] = None
            else:
                _check_partitions(role, value, rows.npartitions)
        photos = cls(rows, **others, columns=columns)
        missing = [name for name in photos.needed(features=True) if name not in rows.columns]
        if missing:
            raise ValueError(
                f"coords is a table without a column {missing[0]!r}; it has {list(names)}."
            )
        return photos

    @classmethod
    def _from_arrays(cls, rows: Any, others: dict[str, Any]) -> Photos:
        if rows.ndim != 2 or rows.shape[1] != 2:
            raise ValueError(
                "coords must hold one (latitude, longitude) pair a row, shape (n, 2); got shape "
                f"{rows.shape}."
            )
        for name, value in others.items():
            if isinstance(value, (str, list)):
                raise TypeError(
                    f"{name}={value!r} names a column, but coords is a Dask array: give a Dask collection."
                )
        # Features are the widest: the others are cut as they are.
        widest = others["feats"] if isinstance(others["feats"], da.Array) else rows
        rows = _cut(rows, widest.chunks[0])
        for name, value in others.items():
            if isinstance(value, da.Array):
                others[name] = _cut(value, widest.chunks[0])
            _check_partitions(name, others[name], rows.numblocks[0])
        return cls(rows, **others)

    @property
    def has_groups(self) -> bool:
        """Whether each photo has a group."""
        return self.groups is not None or "groups" in self.columns

    def needed(self, *, features: bool = False) -> list[Any]:
        """Columns of a table that a pass reads."""
        chosen: dict[Any, None] = {}
        for role, names in self.columns.items():
            if features or role != "feats":
                chosen.update(dict.fromkeys(names if isinstance(names, list) else [names]))
        return list(chosen)

    def parts(self, *, features: bool = False) -> list[Delayed]:
        """A `RawPart` of each partition, lazily; features only where they are read."""
        # One selection of columns a pass: Dask may cut another one into other partitions.
        rows = self.rows[self.needed(features=features)] if self.columns else self.rows
        lists = [
            _delayed_parts(collection)
            for collection in (
                rows,
                self.feats if features else None,
                self.groups,
                self.sample_weight,
            )
        ]
        make = delayed(RawPart, traverse=False)
        return [
            make(self.columns, *(parts[number] if parts else None for parts in lists))
            for number in range(len(lists[0]))
        ]


def open_collection(coords: Any, storage_options: dict[str, Any] | None = None) -> Any:
    """Dask DataFrame or array of a collection, or of a Parquet dataset by its path, glob or URL."""
    if isinstance(coords, (da.Array, dd.DataFrame)):
        return coords
    if not isinstance(coords, str) and not hasattr(coords, "__fspath__"):
        raise TypeError(
            "coords must be a Dask DataFrame, a Dask array (n, 2), or the path, glob or URL of a Parquet dataset; got "
            f"{type(coords).__name__}. CellBuilder takes arrays in memory."
        )
    try:
        table = dd.read_parquet(str(coords), storage_options=storage_options)
    except (OSError, ValueError, IndexError) as error:
        raise ValueError(
            f"{coords} is not a readable Parquet dataset ({' '.join(str(error).split())})."
        ) from error
    if not len(table.columns):
        raise ValueError(f"There is no Parquet file at {coords}.")
    return table


def _cut(array: Any, cuts: Any) -> Any:
    """Array with all its columns in one chunk, and the given chunks of rows where their sizes are known."""
    if array.ndim == 2:
        array = array.rechunk({1: -1})
    known = not any(map(math.isnan, (*cuts, *array.chunks[0])))
    if known and sum(cuts) == array.shape[0] and array.chunks[0] != tuple(cuts):
        array = array.rechunk({0: tuple(cuts)})
    return array


def _check_partitions(name: str, value: Any, n_partitions: int) -> None:
    if value is None:
        return
    if not hasattr(value, "to_delayed"):
        raise TypeError(
            f"{name} must be a Dask collection as coords is, or of a table the name of a column; got "
            f"{type(value).__name__}."
        )
    n_parts = value.numblocks[0] if isinstance(value, da.Array) else value.npartitions
    if n_parts != n_partitions:
        raise ValueError(
            f"{name} must be partitioned as coords is, into {n_partitions} partitions; it has {n_parts}."
        )


def _delayed_parts(collection: Any) -> list[Delayed]:
    if isinstance(collection, da.Array):
        return list(_cut(collection, collection.chunks[0]).to_delayed().ravel())
    return [] if collection is None else list(collection.to_delayed())


class Part(NamedTuple):
    """Photos of one partition, checked."""

    coords: Any
    feats: Any
    groups: ObjectArray | None
    weights: IntArray | None


class RawPart(NamedTuple):
    """What a partition gave: its rows, and what is no column of them."""

    columns: dict[str, Any]
    rows: Any
    feats: Any = None
    groups: Any = None
    sample_weight: Any = None

    @property
    def coords(self) -> Any:
        """Checked coordinates."""
        return _checked_coords(self.rows[self.columns["coords"]] if self.columns else self.rows)

    def value(self, role: str) -> Any:
        """Features, groups or weights, whether they are columns or a collection of their own."""
        names = self.columns.get(role)
        if names is None or not set(np.atleast_1d(names)) <= set(self.rows.columns):
            return getattr(self, role)
        return self.rows[names]

    def checked(self) -> Part:
        """Check the rows."""
        coords = self.coords
        feats, groups, weights = (self.value(role) for role in ("feats", "groups", "sample_weight"))
        n_rows = len(coords)
        if n_rows == 0:
            return Part(coords, None, None if groups is None else np.empty(0, dtype=object), None)
        return Part(
            coords,
            check_feats(_vectors(feats), n_rows),
            None if groups is None else check_groups(groups, n_rows),
            check_sample_weight(weights, n_rows, is_part=True)[0],
        )


def _checked_coords(rows: Any) -> Any:
    if isinstance(rows, pd.DataFrame):
        rows = rows.to_numpy(dtype=np.float64, na_value=np.nan)
    return check_coords(rows, allow_empty=True)


def _vectors(feats: Any) -> Any:
    """Feature vectors of a column of lists, of several columns, or of an array, (n, n_features)."""
    if isinstance(feats, pd.DataFrame):
        return feats.to_numpy()
    if not isinstance(feats, pd.Series):
        return feats
    if isinstance(feats.iloc[0], str):
        raise ValueError(
            f"Dask turned the lists of column {feats.name!r} into text: make the table under "
            "dask.config.set({'dataframe.convert-string': False}), or read it from Parquet."
        )
    try:
        return np.stack([np.asarray(value) for value in feats])
    except ValueError:
        raise ValueError(
            f"Column {feats.name!r} must hold feature vectors that are all as long as the first."
        ) from None


# ------------------------------------------------------------------------------------------------ passes


def _on_part(work: Callable[..., Any], number: int, part: RawPart, context: Any) -> list[Any]:
    """Work on one partition, a bag of one result; an error names the partition."""
    try:
        return [work(part.checked(), context)]
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"Partition {number} (rows are counted within it): {error}") from error


def _added(parts: Any) -> tuple[pd.DataFrame, ...]:
    """Sum frames of whole numbers by their index; the order of the parts changes nothing."""
    return tuple(pd.concat(frames).groupby(level=0).sum() for frames in zip(*parts, strict=True))


@dataclass
class Passes:
    """Passes over the photos: work on every partition, then merge the partial results in a tree."""

    photos: Photos
    client: Any = None

    def run(
        self,
        name: str,
        work: Callable[[Part, Any], Any],
        merge: Callable[[list[Any]], Any],
        context: Any = None,
        *,
        finish: Callable[[Any], Any] | None = None,
        features: bool = False,
    ) -> Any:
        """Merge the results of ``work(part, context)`` of all partitions.

        ``merge`` takes results in the partitions' order; ``finish(merged)`` is applied where the merged result is.
        """
        start = time.perf_counter()
        # A graph may carry ranges of a few ten megabytes; it is sent once a pass.
        shared = delayed(context, traverse=False)
        results = db.from_delayed(
            [
                delayed(_on_part)(work, number, part, shared)
                for number, part in enumerate(self.photos.parts(features=features))
            ]
        )
        root = results.reduction(
            _first, lambda parts: merge(list(parts)), split_every=SPLIT_EVERY
        ).to_delayed()
        if finish is not None:
            root = delayed(finish)(root)
        with _on(self.client), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Sending large graph")
            (merged,) = dask.compute(root)
        logger.info("The pass of %s took %.1f s.", name, time.perf_counter() - start)
        return merged


def _first(parts: Any) -> Any:
    return next(iter(parts))


def _on(client: Any) -> Any:
    return nullcontext() if client is None else client.as_current()


@dataclass(frozen=True)
class Encoding:
    """From a partition's photos to leaf codes."""

    grid: GroupedGrid
    group_names: ObjectArray | None

    def codes_of(self, part: Part) -> CodeArray:
        """Leaf code of each photo; one outside its root box is refused."""
        numbers = None
        if part.groups is not None and self.group_names is not None:
            numbers = _numbers_of(part.groups, self.group_names)
        images = Images(part.coords, None, part.weights, numbers, self.group_names)
        codes = self.grid.encode(part.coords.array, numbers)
        fitting.refuse_outside(codes, images)
        return codes


def _numbers_of(groups: ObjectArray, group_names: ObjectArray) -> IntArray:
    """Number of each row's group among the names; -1 for an unknown one."""
    known = pd.Index(group_names, dtype=object)
    numbers: IntArray = known.get_indexer(pd.Index(groups, dtype=object)).astype(np.int64)
    return numbers


def _extents(part: Part, context: Any) -> pd.DataFrame:
    """Where the images of each group lie, by occupied bucket of longitude; bucket -1 only tells that rows exist."""
    coords, groups, weights = part.coords.array, part.groups, part.weights
    frames = []
    numbers, names = (
        (np.zeros(len(coords), dtype=np.int64), [""] if len(coords) else [])
        if groups is None
        else pd.factorize(groups)
    )
    for number, name in enumerate(names):
        images = coords[
            numbers == number if weights is None else (numbers == number) & (weights > 0)
        ]
        wests, easts = longitude_buckets(images)
        buckets = np.append(-1, np.flatnonzero(np.isfinite(wests)))
        frames.append(
            pd.DataFrame(
                {
                    "south": images[:, 0].min(initial=np.inf),
                    "north": images[:, 0].max(initial=-np.inf),
                    "west": np.append(np.inf, wests[buckets[1:]]),
                    "east": np.append(-np.inf, easts[buckets[1:]]),
                },
                index=pd.MultiIndex.from_product([pd.Index([name], dtype=object), buckets]),
            )
        )
    return pd.concat(frames) if frames else pd.DataFrame()


def _merged_extents(parts: list[pd.DataFrame]) -> pd.DataFrame:
    parts = [part for part in parts if len(part)]
    if not parts:
        return pd.DataFrame()
    ends = {"south": "min", "north": "max", "west": "min", "east": "max"}
    merged: pd.DataFrame = pd.concat(parts).groupby(level=[0, 1], sort=False).agg(ends)
    return merged


def _box_of_extent(extent: Any, name: Any) -> Box:
    """Smallest box that holds the images of a group, from its rows of `_merged_extents`."""
    extent = extent[extent.index >= 0]
    if not len(extent):
        raise ValueError(
            "sample_weight is zero everywhere: no image is left."
            if name == ""
            else fitting.no_image_of(name)
        )
    wests, easts = np.full(N_BUCKETS, np.inf), np.full(N_BUCKETS, -np.inf)
    wests[extent.index], easts[extent.index] = extent["west"], extent["east"]
    extremes = (
        float(extent["south"].min()),
        float(extent["west"].min()),
        float(extent["north"].max()),
        float(extent["east"].max()),
    )
    return box_of_buckets(extremes, wests, easts)


def _encoding_of(options: Options, photos: Photos, passes: Passes) -> tuple[Encoding, IntArray]:
    """Grid and groups, from a scan of the photos where it takes one, and the level of the deepest cells."""
    if not photos.has_groups and (options.grid != "latlon" or options.bounds is not None):
        return _grid_of(options, None, pd.DataFrame())
    extents = passes.run("extents", _extents, _merged_extents)
    if not len(extents):
        check_coords(np.empty((0, 2)))  # refuses
    names = None
    if photos.has_groups:
        groups = extents.index.unique(level=0)
        _, names = number_groups(groups.to_numpy(dtype=object))
    return _grid_of(options, names, extents)


def _grid_of(
    options: Options, names: ObjectArray | None, extents: pd.DataFrame
) -> tuple[Encoding, IntArray]:
    def boxes() -> list[Box]:
        return [
            _box_of_extent(extents.loc[name], name) for name in ([""] if names is None else names)
        ]

    if names is not None:
        boxes()  # refuses a group without an image, whatever the grid
    grid, deepest = fitting.make_grid(options, names, boxes)
    return Encoding(grid, names), deepest


def _counts(part: Part, encoding: Encoding) -> tuple[pd.DataFrame, ...]:
    """Images on each leaf code, and rows."""
    bins = bin_codes(encoding.codes_of(part), encoding.grid.code_bits, part.weights)
    return (
        pd.DataFrame({"images": bins.counts}, index=bins.codes.astype(np.uint64)),
        pd.DataFrame({"rows": [len(part.coords)]}),
    )


@dataclass(frozen=True)
class Owners:
    """Ranges of leaf codes, an owner each: the bins whose moments matter."""

    encoding: Encoding
    ranges: Ranges


def _moments(part: Part, context: Owners) -> tuple[IntArray, Moments]:
    """Moments of the images of each owner; of the coordinates where the photos have no features."""
    coords = part.coords.array
    if not len(coords):
        return np.empty(0, dtype=np.int64), Moments.empty(0, 0)
    owner_of_row = context.ranges.cell_of_codes(context.encoding.codes_of(part))
    owners, numbers = np.unique(owner_of_row, return_inverse=True)
    n_without = int(owners[0] < 0)
    owners, numbers = owners[n_without:], numbers.astype(np.int64) - n_without
    return owners, moments_of_images(coords, part.feats, numbers, len(owners), part.weights)


def _merged_moments(parts: list[tuple[IntArray, Moments]]) -> tuple[IntArray, Moments]:
    """Moments of all, merged by Chan's formula in the parts' order."""
    parts = [part for part in parts if part[1].mean.shape[1]] or parts[:1]
    widths = {moments.mean.shape[1] for _, moments in parts}
    if len(widths) > 1:
        raise ValueError(
            f"Feature vectors must all have the same length; the partitions have {sorted(widths)}."
        )
    owners, targets = np.unique(
        np.concatenate([numbers for numbers, _ in parts]), return_inverse=True
    )
    stacked = Moments(
        *(
            np.concatenate([getattr(moments, name) for _, moments in parts])
            for name in ("count", "mean", "m2")
        )
    )
    return owners, stacked.merged(targets, len(owners))


@dataclass(frozen=True)
class Sums:
    """What the last pass needs: the cells' ranges, and whether unassigned bins are to be handed to a cell."""

    encoding: Encoding
    ranges: Ranges
    n_images: int
    hands_over: bool


def _sums(part: Part, context: Sums) -> tuple[pd.DataFrame, ...]:
    """Sums of unit vectors in fixed point, and of images: by cell, and by leaf code that no cell holds."""
    codes = context.encoding.codes_of(part)
    cells = context.ranges.cell_of_codes(codes)
    unassigned = (cells < 0) & context.hands_over
    if part.weights is not None:
        unassigned &= part.weights > 0
    frames = []
    for keys, chosen in ((cells, cells >= 0), (codes.astype(np.uint64), unassigned)):
        unique, numbers = np.unique(keys[chosen], return_inverse=True)
        sums = SphereSums.from_coords(
            part.coords.array[chosen],
            numbers.astype(np.int64),
            len(unique),
            NO_WEIGHTS if part.weights is None else part.weights[chosen],
            context.n_images,
        )
        frames.append(pd.DataFrame(np.column_stack([sums.sums, sums.counts]), index=unique))
    return tuple(frames)


def _first_points(part: Part, context: tuple[Encoding, Ranges, IntArray]) -> pd.DataFrame:
    """First image of some cells by latitude, then longitude."""
    encoding, ranges, chosen = context
    cells = ranges.cell_of_codes(encoding.codes_of(part))
    present = np.intersect1d(chosen, cells)
    points = [first_point(part.coords.array[cells == cell]) for cell in present]
    return pd.DataFrame(np.reshape(points, (-1, 2)), present, ["latitude", "longitude"])


def _merged_points(parts: list[pd.DataFrame]) -> pd.DataFrame:
    merged: pd.DataFrame = (
        pd.concat(parts).sort_values(["latitude", "longitude"]).groupby(level=0).first()
    )
    return merged


# -------------------------------------------------------------------------------------------------- fit


@dataclass(frozen=True)
class DaskFit:
    """What `fit` returns.

    Attributes
    ----------
    cells : CellPartition
        As `CellBuilder` makes it, but without medoids and modes: no machine has seen all images of a cell.
    n_rows : int
        Photos.

    Examples
    --------
    >>> import dask.array, numpy as np
    >>> import geocells.dask
    >>> from geocells import CellBuilder
    >>> coords = dask.array.from_array(np.repeat([[47.4, 8.5], [59.3, 18.1]], 50, axis=0), chunks=(25, 2))
    >>> result = geocells.dask.fit(CellBuilder(min_images=50), coords)
    >>> result.cells.n_cells, result.n_rows
    (2, 100)
    """

    cells: CellPartition
    n_rows: int
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
        return _lazy_labels(self.cells, self._photos, self._outside)


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
) -> DaskFit:
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
        Columns, or collections partitioned as ``coords`` is. Weights are whole numbers here.
    latitude_column, longitude_column : str, optional
        Columns of a DataFrame or dataset; default: those with a usual name, see :func:`geocells.tables.find_columns`.
    storage_options : dict, optional
        For fsspec, where ``coords`` is a URL.
    client : distributed.Client, optional
        The cluster that does the work. Default: Dask's current client or scheduler.

    Returns
    -------
    result : DaskFit

    Raises
    ------
    ValueError, TypeError
        When a parameter or a row is unsound; the message names the partition and the first such row in it.

    Notes
    -----
    Every pass maps a partition to a partial result and merges those in a tree:

    - *extents* (where the root boxes follow from the photos, or there are groups): extremes and occupied longitudes;
    - *counts*: sorted leaf codes with their images, merged, then thinned where no construction can tell codes apart;
    - *moments* (``"bottom_up"``, unless ``rank_by="count"``): count, mean and within-group sum of squares of the bins
      that matter, merged by Chan's formula. The features are read here, once;
    - *sums*: unit vectors by cell, and by leaf code that no cell holds, in whole numbers.

    Between the passes the construction runs in this process, on counts and moments, with the code that
    `CellBuilder.fit` runs. Counts and sums are whole numbers, so cells, counts and centroids are those of
    `CellBuilder.fit` to the last bit. Moments are real numbers, which other partitions round otherwise in the last
    digits; hot spots are therefore ranked by nine digits of their score, here as there.

    A worker holds one partition, its partial result, and eight partial results that it merges.

    Examples
    --------
    >>> import dask
    >>> import dask.array
    >>> import numpy as np
    >>> import geocells.dask
    >>> from geocells import CellBuilder
    >>> coords = np.random.default_rng(0).normal((47.0, 8.0), 0.5, size=(2000, 2))
    >>> builder = CellBuilder(min_images=200, method="consolidated")
    >>> with dask.config.set(scheduler="synchronous"):
    ...     result = geocells.dask.fit(builder, dask.array.from_array(coords, chunks=(700, 2)))
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
    photos = Photos.from_input(
        coords,
        feats,
        groups,
        sample_weight,
        latitude_column=latitude_column,
        longitude_column=longitude_column,
        storage_options=storage_options,
    )
    passes = Passes(photos, client)
    encoding, deepest = _encoding_of(options, photos, passes)
    grid = encoding.grid
    bins, n_rows = passes.run(
        "counts", _counts, _added, encoding, finish=partial(_thinned, options, grid)
    )
    if n_rows == 0:
        check_coords(np.empty((0, 2)))  # refuses
    n_images = int(bins.totals[-1])
    if n_images == 0:
        raise ValueError("sample_weight is zero everywhere: no image is left.")
    if n_images > MOST_IMAGES:
        raise ValueError("sample_weight adds up to more than 2**40 images; scale it down.")

    moments_of = None
    if options.reads_features:

        def moments_of(owners: Ranges, n_owners: int) -> Moments:
            numbers, moments = passes.run(
                "moments", _moments, _merged_moments, Owners(encoding, owners), features=True
            )
            every: Moments = moments.merged(numbers, n_owners)
            return every

    prioritized = fitting.construct(options, grid, deepest, bins, moments_of)
    ranges, levels, hands_over = fitting.flatten(options, grid, prioritized, bins)
    by_cell, by_bin = passes.run(
        "sums", _sums, _added, Sums(encoding, ranges, n_images, hands_over)
    )
    n_cells, unassigned = len(levels), by_bin.index.to_numpy(dtype=np.uint64)
    table = np.zeros((n_cells + len(unassigned), 4), dtype=np.int64)
    table[by_cell.index], table[n_cells:] = by_cell, by_bin
    _, sums, ranges, levels = fitting.number_cells(
        grid,
        fitting.with_bins(ranges, n_cells, unassigned),
        SphereSums(table[:, :3], table[:, 3], SphereSums.scale_for(n_images)),
        levels,
        unassigned,
    )
    centroids, lengths = sums.means()
    cancelled = np.flatnonzero(lengths <= CANCELLED)
    if len(cancelled):
        first = passes.run(
            "first points", _first_points, _merged_points, (encoding, ranges, cancelled)
        )
        centroids[first.index] = first
    names = encoding.group_names
    group_of_cell = grid.group_of_code(ranges.first_codes(len(levels)))
    cells = CellPartition(
        cell_index=CodeRangeIndex(grid, ranges),
        centroids=centroids,
        locations=centroids.copy(),
        counts=sums.counts,
        levels=levels,
        group_names=names,
        group_of_cell=None if names is None else group_of_cell,
        outside=options.outside,
        parameters=options.as_dict(),
    )
    return DaskFit(cells, n_rows, photos, fitting.outside_of_training(options))


def _thinned(
    options: Options, grid: GroupedGrid, merged: tuple[pd.DataFrame, ...]
) -> tuple[Bins, int]:
    """Bins that a construction can tell apart, and the number of rows: the end of the pass of counts."""
    images, rows = merged
    bins = Bins.from_counts(images.index.to_numpy(np.uint64), images["images"].to_numpy(np.int64))
    thinned = thin(
        bins,
        grid,
        min_images=options.min_images,
        extra_levels=options.extra_levels,
        has_windows=options.method == "bottom_up",
    )
    return thinned, int(rows["rows"].sum())


# ----------------------------------------------------------------------------------------------- assign


def assign(
    cells: CellPartition,
    coords: Any,
    groups: Any = None,
    *,
    outside: str | None = None,
    to: str | None = None,
    latitude_column: str | None = None,
    longitude_column: str | None = None,
    storage_options: dict[str, Any] | None = None,
    client: Any = None,
) -> Any:
    """Cell of every photo of a Dask collection or Parquet dataset, partition by partition.

    Parameters
    ----------
    cells : CellPartition
        From `fit`, `CellBuilder`, or any other maker of cells.
    coords : dask DataFrame, dask array (n, 2), or str
        As `fit` takes them.
    groups : str or dask collection (n,), optional
        Column, or collection partitioned as ``coords`` is; see `CellPartition.assign`.
    outside : {"nearest", "noise", "raise"}, optional
        Where no cell holds the coordinate. Default: as the cells were built.
    to : str, optional
        Folder or URL for a Parquet dataset: the photos' own columns and ``cell``, ``cell_latitude`` and
        ``cell_longitude`` (missing where the cell is -1), a file for each partition that has rows; each appears when
        it is whole. The folder must not hold any files yet. Left out, nothing is read now.
    latitude_column, longitude_column : str, optional
        Columns of a DataFrame or dataset.
    storage_options : dict, optional
        For fsspec, where ``coords`` or ``to`` is a URL.
    client : distributed.Client, optional
        The cluster that writes. Default: Dask's current client or scheduler.

    Returns
    -------
    labels : dask Series named ``cell``, dask array (n,) of int64, or int
        Lazy, with the rows' own index and partitions; after writing, the number of rows.

    Raises
    ------
    ValueError, TypeError
        When the collection is none, or the dataset to write exists.

    Notes
    -----
    A streaming map: every worker thread holds one partition and the cells, whatever the number of partitions.

    Examples
    --------
    >>> import dask
    >>> import dask.array
    >>> import numpy as np
    >>> import geocells.dask
    >>> from geocells import CellBuilder
    >>> coords = np.random.default_rng(0).normal((47.0, 8.0), 0.5, size=(2000, 2))
    >>> cells = CellBuilder(min_images=200, method="consolidated").fit(coords).cells_
    >>> labels = geocells.dask.assign(cells, dask.array.from_array(coords, chunks=(700, 2)))
    >>> labels.chunks
    ((700, 700, 600),)
    >>> bool((labels.compute(scheduler="synchronous") == cells.assign(coords)).all())
    True
    """
    photos = Photos.from_input(
        coords,
        groups=groups,
        latitude_column=latitude_column,
        longitude_column=longitude_column,
        storage_options=storage_options,
    )
    if photos.has_groups and cells.group_names is None:
        raise ValueError("These cells were built without groups: leave groups out of assign.")
    is_array = isinstance(photos.rows, da.Array)
    if photos.groups is not None and isinstance(photos.groups, da.Array) != is_array:
        wanted = "a Dask array" if is_array else "a column's name or a Dask Series"
        raise TypeError(f"groups must be {wanted}, as coords is; got {type(groups).__name__}.")
    if to is None:
        return _lazy_labels(cells, photos, outside)
    return _write(cells, photos, outside, str(to), storage_options, client)


def _shared(cells: CellPartition) -> Any:
    """Cells as one node of the graph, without the images that medoids and modes would be worked out from."""
    return delayed(replace(cells, representative_points=RepresentativePoints()), traverse=False)


def _labels(
    rows: Any, groups: Any, columns: dict[str, Any], cells: CellPartition, outside: str | None
) -> Any:
    """Cell of each row of a partition: a Series for a table, an array for an array."""
    part = RawPart(columns, rows, groups=groups)
    coords, groups, numbers = part.coords, part.value("groups"), None
    if groups is not None and cells.group_names is not None:
        numbers = _numbers_of(check_groups(groups, len(coords)), cells.group_names)
    labels = cells.assign_checked(coords, numbers, outside)
    return pd.Series(labels, rows.index, name="cell") if columns else labels


def _lazy_labels(cells: CellPartition, photos: Photos, outside: str | None) -> Any:
    how = {"columns": photos.columns, "cells": _shared(cells), "outside": outside}
    if photos.columns:
        meta = pd.Series([], dtype=np.int64, name="cell")
        rows = photos.rows[photos.needed()]
        return rows.map_partitions(_labels, photos.groups, **how, meta=meta)
    groups = (None, None) if photos.groups is None else (photos.groups, "i")
    return da.blockwise(
        _labels,
        "i",
        photos.rows,
        "ij",
        *groups,
        dtype=np.int64,
        concatenate=True,
        meta=np.empty(0, dtype=np.int64),
        **how,
    )


def _write(
    cells: CellPartition,
    photos: Photos,
    outside: str | None,
    to: str,
    storage_options: dict[str, Any] | None,
    client: Any,
) -> int:
    """Write a file a partition; return the number of rows."""
    files, folder = url_to_fs(to, **(storage_options or {}))
    if files.exists(folder) and (files.isfile(folder) or files.ls(folder)):
        raise ValueError(f"{to} exists already and is not empty: name a new folder, or remove it.")
    table, columns = photos.rows, photos.columns
    if not columns:
        columns = {"coords": ["latitude", "longitude"]}
        table = dd.from_dask_array(table, columns=columns["coords"])
    present = [name for name in ADDED if name in table.columns]
    if present:
        raise ValueError(f"coords has a column {present[0]!r} already; rename or drop it.")
    files.makedirs(folder, exist_ok=True)
    shared = _shared(cells)
    parts = table.to_delayed()
    groups_of_part: list[Any] = _delayed_parts(photos.groups) or [None] * len(parts)
    written = [
        delayed(_write_part)(
            f"{folder}/part-{number:06d}.parquet", files, part, groups, columns, shared, outside
        )
        for number, (part, groups) in enumerate(zip(parts, groups_of_part, strict=True))
    ]
    with _on(client):
        n_rows: int = sum(dask.compute(*written))
    if n_rows == 0:
        path = f"{folder}/part-000000.parquet"
        _write_part(path, files, table._meta, None, columns, cells, outside, even_empty=True)
    return n_rows


def _write_part(
    path: str,
    files: Any,
    rows: pd.DataFrame,
    groups: Any,
    columns: dict[str, Any],
    cells: CellPartition,
    outside: str | None,
    *,
    even_empty: bool = False,
) -> int:
    """Write a partition with its cells; nothing for an empty one, which does not know the types of its columns.

    The file appears under its name only when it is whole.
    """
    if not len(rows) and not even_empty:
        return 0
    labels = _labels(rows, groups, columns, cells, outside)
    points = np.append(cells.locations, [[np.nan, np.nan]], axis=0)[labels.to_numpy()]
    table = rows.assign(cell=labels, cell_latitude=points[:, 0], cell_longitude=points[:, 1])
    file = files.open(path, "wb", autocommit=False)
    try:
        with file:
            table.to_parquet(file, index=False)
    except BaseException:
        file.discard()
        raise
    file.commit()
    return len(rows)
