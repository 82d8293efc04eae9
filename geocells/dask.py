"""Cells of more photos than one machine holds, by Dask.

`fit` builds the cells that `geocells.CellBuilder` builds, of photos in the partitions of a Dask collection or of a
Parquet dataset; `assign` finds the cell of each, partition by partition. Needs Dask: ``pip install '.[dask]'`` in the
source folder.
"""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import Any

import numpy as np
import pandas as pd

from geocells import fitting
from geocells.array_types import CodeArray, IntArray, ObjectArray
from geocells.cells import CellPartition, CodeRangeIndex, Ranges, RepresentativePoints
from geocells.constructions import Bins, bin_codes
from geocells.fitting import Images, Options
from geocells.grids import GroupedGrid
from geocells.grids.bounds import longitude_buckets
from geocells.moments import Moments, moments_of_images
from geocells.sphere import SphereSums
from geocells.sphere.means import CANCELLED
from geocells.tables import find_columns
from geocells.validation import MOST_IMAGES, check_coords

try:
    import dask
    import dask.array as da
    import dask.dataframe as dd
    from dask.delayed import delayed
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
    coords : list or None
        Columns of latitude and longitude; None where ``rows`` is an array of them.
    feats, groups, sample_weight : dask collection, str, list or None
        A collection is partitioned as ``rows`` is; else columns of it.
    """

    rows: Any
    coords: list[Any] | None
    feats: Any = None
    groups: Any = None
    sample_weight: Any = None

    @classmethod
    def from_input(
        cls,
        coords: Any,
        feats: Any = None,
        groups: Any = None,
        sample_weight: Any = None,
        *,
        columns: tuple[str | None, str | None],
        storage_options: dict[str, Any] | None,
    ) -> Photos:
        """Photos of what the caller gave: see `fit`."""
        rows = open_collection(coords, storage_options)
        is_array = isinstance(rows, da.Array)
        names = {} if is_array else {str(column): column for column in rows.columns}
        pair = None
        if not is_array:
            wanted = dict(zip(("latitude", "longitude"), columns, strict=True))
            pair_columns = find_columns(list(names), wanted, where="coords")
            pair = [names[pair_columns["latitude"]], names[pair_columns["longitude"]]]
        elif rows.ndim != 2 or rows.shape[1] != 2:
            raise ValueError(
                "coords must hold one (latitude, longitude) pair a row, shape (n, 2); got shape "
                f"{rows.shape}."
            )
        roles = {"feats": feats, "groups": groups, "sample_weight": sample_weight}
        for role, value in roles.items():
            if isinstance(value, str | list | tuple):
                if is_array:
                    raise TypeError(
                        f"{role}={value!r} names a column, but coords is a Dask array: give a Dask collection."
                    )
                roles[role] = value if isinstance(value, str) else list(value)
                missing = [name for name in _names(value) if name not in rows.columns]
                if missing:
                    raise ValueError(
                        f"coords is a table without a column {missing[0]!r}; it has {list(names)}."
                    )
            elif value is not None:
                _check_partitions(role, value, rows)
        return cls(rows, pair, **roles)

    def parts(self, *, features: bool = False) -> Iterable[tuple[Any, ...]]:
        """Arguments of `_images` for each partition, lazily; features only where they are read."""
        roles = (self.feats if features else None, self.groups, self.sample_weight)
        rows = self.rows
        if self.coords is not None:
            # One selection of columns a pass: Dask may cut another one into other partitions.
            columns = [*self.coords, *(name for role in roles for name in _names(role))]
            rows = rows[list(dict.fromkeys(columns))]
        parts = _partitions(rows)
        n_parts = len(parts)
        return zip(
            parts,
            [self.coords] * n_parts,
            *(_partitions(role) or [role] * n_parts for role in roles),
            strict=True,
        )


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


def _names(role: Any) -> list[Any]:
    """Columns that a role names."""
    if isinstance(role, str):
        return [role]
    return list(role) if isinstance(role, list | tuple) else []


def _check_partitions(name: str, value: Any, rows: Any) -> None:
    if not hasattr(value, "to_delayed"):
        raise TypeError(
            f"{name} must be a Dask collection as coords is, or of a table the name of a column; got "
            f"{type(value).__name__}."
        )
    n_parts, n_wanted = (
        each.numblocks[0] if isinstance(each, da.Array) else each.npartitions
        for each in (value, rows)
    )
    if n_parts != n_wanted:
        raise ValueError(
            f"{name} must be partitioned as coords is, into {n_wanted} partitions; it has {n_parts}. Use rechunk or "
            "repartition."
        )


def _partitions(collection: Any) -> list[Any]:
    """Partitions of a collection, lazily; none of anything else."""
    if isinstance(collection, da.Array):
        whole = collection.rechunk({1: -1}) if collection.ndim == 2 else collection
        return list(whole.to_delayed().ravel())
    return list(collection.to_delayed()) if hasattr(collection, "to_delayed") else []


def _pairs(rows: Any, columns: list[Any] | None) -> Any:
    """Latitude and longitude, (n, 2)."""
    return rows if columns is None else rows[columns].to_numpy(dtype=np.float64, na_value=np.nan)


def _images(
    rows: Any, coords: list[Any] | None, feats: Any, groups: Any, sample_weight: Any
) -> Images:
    """Images of a partition, checked; a role is its own partition, or names columns of the rows."""
    feats, groups, weights = (
        rows[role] if isinstance(role, str | list) else role
        for role in (feats, groups, sample_weight)
    )
    return Images.from_input(_pairs(rows, coords), _vectors(feats), groups, weights, is_part=True)


def _vectors(feats: Any) -> Any:
    """Feature vectors of a column of lists, of several columns, or of an array, (n, n_features)."""
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


def _reduce(
    photos: Photos,
    client: Any,
    name: str,
    work: Callable[[Images, Any], Any],
    merge: Callable[[list[Any]], Any],
    context: Any = None,
    *,
    features: bool = False,
) -> Any:
    """Make a pass: ``work(images, context)`` on every partition, merged in a tree in the partitions' order."""
    start = time.perf_counter()
    # It may carry ranges of a few ten megabytes; it is sent once a pass.
    shared = delayed(context, traverse=False)
    results = [
        delayed(_on_part)(work, shared, number, *part)
        for number, part in enumerate(photos.parts(features=features))
    ]
    while len(results) > 1:
        results = [
            delayed(_merge)(merge, results[first : first + SPLIT_EVERY])
            for first in range(0, len(results), SPLIT_EVERY)
        ]
    with _on(client), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sending large graph")
        (merged,) = dask.compute(*results)
    if merged is None:
        check_coords(np.empty((0, 2)))  # refuses
    logger.info("The pass of %s took %.1f s.", name, time.perf_counter() - start)
    return merged


def _on_part(work: Callable[..., Any], context: Any, number: int, *part: Any) -> Any:
    """Work on one partition, None for an empty one; an error names the partition."""
    try:
        return work(_images(*part), context) if len(part[0]) else None
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"Partition {number} (rows are counted within it): {error}") from error


def _merge(merge: Callable[[list[Any]], Any], parts: list[Any]) -> Any:
    parts = [part for part in parts if part is not None]
    return merge(parts) if parts else None


def _on(client: Any) -> Any:
    return nullcontext() if client is None else client.as_current()


@dataclass(frozen=True)
class Encoding:
    """From images of a partition to leaf codes."""

    grid: GroupedGrid
    group_names: ObjectArray | None

    def codes_of(self, images: Images) -> CodeArray:
        """Leaf code of each image; one outside its root box is refused."""
        if self.group_names is not None:
            known = pd.Index(self.group_names, dtype=object)
            present = known.get_indexer(pd.Index(images.group_names, dtype=object))
            images = replace(images, group_of_row=present.astype(np.int64)[images.group_of_row])
        return images.codes_on(self.grid)


_CORNERS = (["latitude", "longitude"], None, "group", "weight")


def _corners(images: Images, _: Any = None) -> pd.DataFrame:
    """Few images with the boxes of all: two corners of each group and bucket of longitude, those of weight 0 apart."""
    coords, names = images.coords.array, images.group_names
    kind = np.ones(len(coords), dtype=np.int64) if images.weights is None else images.weights > 0
    if images.group_of_row is not None:
        kind = kind + 2 * images.group_of_row
    frames = []
    for number in np.flatnonzero(np.bincount(kind)):
        some = coords[kind == number]
        wests, easts = longitude_buckets(some)
        west_to_east = np.concatenate([wests[np.isfinite(wests)], easts[np.isfinite(easts)]])
        south_and_north = some[:, 0].min(), some[:, 0].max()
        frame = pd.DataFrame(
            {
                "latitude": np.repeat(south_and_north, len(west_to_east) // 2),
                "longitude": west_to_east,
            }
        )
        name = 0 if names is None else names[number // 2]
        group = pd.Series(name, frame.index, dtype=object)
        frames.append(frame.assign(group=group, weight=number % 2))
    return pd.concat(frames)


def _merged_corners(frames: list[pd.DataFrame]) -> pd.DataFrame:
    return _corners(_images(pd.concat(frames), *_CORNERS))


def _counts(images: Images, encoding: Encoding) -> tuple[int, Bins]:
    """Rows, and the images on each leaf code."""
    codes = encoding.codes_of(images)
    return len(codes), bin_codes(codes, encoding.grid.code_bits, images.weights)


def _merged_counts(parts: list[tuple[int, Bins]]) -> tuple[int, Bins]:
    rows, bins = zip(*parts, strict=True)
    codes = np.concatenate([each.codes for each in bins])
    return sum(rows), bin_codes(codes, 64, np.concatenate([each.counts for each in bins]))


def _moments(images: Images, context: tuple[Encoding, Ranges]) -> tuple[IntArray, Moments]:
    """Owners of images, and the moments of their images' features, or of their places."""
    encoding, ranges = context
    labels = ranges.cell_of_codes(encoding.codes_of(images))
    owners = np.flatnonzero(np.bincount(labels + 1)[1:])
    numbers = np.full(labels.max() + 2, -1)  # the last one is what -1 names
    numbers[owners] = np.arange(len(owners))
    return owners, moments_of_images(
        images.coords.array, images.feats, numbers[labels], len(owners), images.weights
    )


def _merged_moments(parts: list[tuple[IntArray, Moments]]) -> tuple[IntArray, Moments]:
    """Moments of all, merged by Chan's formula in the parts' order."""
    all_owners, moments = zip(*parts, strict=True)
    owners, target = np.unique(np.concatenate(all_owners), return_inverse=True)
    widths = {each.mean.shape[1] for each in moments}
    if len(widths) > 1:
        raise ValueError(
            f"Feature vectors must all have the same length; the partitions have {sorted(widths)}."
        )
    columns = zip(*((each.count, each.mean, each.m2) for each in moments), strict=True)
    return owners, Moments(*map(np.concatenate, columns)).merged(target, len(owners))


def _sums(
    images: Images, context: tuple[Encoding, Ranges, int, bool, int]
) -> tuple[CodeArray, SphereSums]:
    """Sums of unit vectors, by the first code of a cell, or by the bin's code where no cell is."""
    encoding, ranges, n_cells, hands_over, n_images = context
    codes = encoding.codes_of(images)
    labels, bins = fitting.label_codes(
        codes, images.weights, ranges, n_cells, hands_over=hands_over
    )
    keys = np.concatenate([ranges.first_codes(n_cells), bins])
    sums = SphereSums.from_coords(images.coords.array, labels, len(keys), images.weights, n_images)
    present = np.flatnonzero(sums.counts)
    return keys[present], SphereSums(sums.sums[present], sums.counts[present], sums.scale)


def _merged_sums(parts: list[tuple[CodeArray, SphereSums]]) -> tuple[CodeArray, SphereSums]:
    all_keys, sums = zip(*parts, strict=True)
    keys, target = np.unique(np.concatenate(all_keys), return_inverse=True)
    vectors, counts = (
        np.concatenate(each) for each in zip(*((s.sums, s.counts) for s in sums), strict=True)
    )
    return keys, SphereSums(vectors, counts, sums[0].scale).merged(target, len(keys))


def _first_points(images: Images, context: tuple[Encoding, Ranges, IntArray]) -> pd.DataFrame:
    """First image of some cells by latitude, then longitude."""
    encoding, ranges, chosen = context
    cells = ranges.cell_of_codes(encoding.codes_of(images))
    is_chosen = np.isin(cells, chosen)
    if images.weights is not None:
        is_chosen &= images.weights > 0
    points = pd.DataFrame(images.coords.array[is_chosen], cells[is_chosen], _CORNERS[0])
    return _first_of_each([points])


def _first_of_each(parts: list[pd.DataFrame]) -> pd.DataFrame:
    points = pd.concat(parts).sort_values(_CORNERS[0])
    first: pd.DataFrame = points.groupby(level=0).first()
    return first


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
    - *counts*: sorted leaf codes with their images;
    - *moments* (``"bottom_up"``, unless ``rank_by="count"``): count, mean and within-group sum of squares of the bins
      that matter, merged by Chan's formula. The features are read here, once;
    - *sums*: unit vectors by cell, and by leaf code that no cell holds, in whole numbers.

    Between the passes the construction runs in this process, with the code of `CellBuilder.fit`: cells, counts and
    centroids are the same to the last bit. Only hot spots whose scores agree to about nine digits may differ.

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
    pair = latitude_column, longitude_column
    roles = feats, groups, sample_weight
    photos = Photos.from_input(coords, *roles, columns=pair, storage_options=storage_options)
    run = partial(_reduce, photos, client)

    @cache
    def corners() -> Images:
        columns, *roles = _CORNERS
        table = run("extents", _corners, _merged_corners)
        return Images.from_input(table[columns], *(role and table[role] for role in roles))

    names = None if photos.groups is None else corners().group_names
    grid = fitting.make_grid(options, names, lambda: corners().boxes())
    encoding = Encoding(grid, names)
    n_rows, bins = run("counts", _counts, _merged_counts, encoding)
    n_images = int(bins.totals[-1])
    if n_images == 0:
        raise ValueError("sample_weight is zero everywhere: no image is left.")
    if n_images > MOST_IMAGES:
        raise ValueError("sample_weight adds up to more than 2**40 images; scale it down.")

    def moments_of(owners: Ranges, n_owners: int) -> Moments:
        numbers, moments = run(
            "moments", _moments, _merged_moments, (encoding, owners), features=True
        )
        every: Moments = moments.merged(numbers, n_owners)
        return every

    ranges, levels, hands_over = fitting.choose_cells(options, grid, bins, moments_of)
    n_cells = len(levels)
    context = encoding, ranges, n_cells, hands_over, n_images
    keys, sums = run("sums", _sums, _merged_sums, context)
    labels, unassigned = fitting.label_codes(keys, None, ranges, n_cells, hands_over=True)
    sums = sums.merged(labels, n_cells + len(unassigned))
    _, sums, ranges, levels = fitting.number_cells(grid, ranges, sums, levels, unassigned)
    centroids, lengths = sums.means()
    cancelled = np.flatnonzero(lengths <= CANCELLED)
    if len(cancelled):
        first = run("first points", _first_points, _first_of_each, (encoding, ranges, cancelled))
        centroids[first.index] = first
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
    pair = latitude_column, longitude_column
    photos = Photos.from_input(coords, groups=groups, columns=pair, storage_options=storage_options)
    if groups is not None and cells.group_names is None:
        raise ValueError("These cells were built without groups: leave groups out of assign.")
    is_array = photos.coords is None
    if hasattr(groups, "to_delayed") and isinstance(groups, da.Array) != is_array:
        wanted = "a Dask array" if is_array else "a column's name or a Dask Series"
        raise TypeError(f"groups must be {wanted}, as coords is; got {type(groups).__name__}.")
    if to is None:
        return _lazy_labels(cells, photos, outside)
    return _write(cells, photos, outside, str(to), storage_options, client)


def _context(cells: CellPartition, photos: Photos, outside: str | None) -> dict[str, Any]:
    """What `_labels` needs; the cells as one node of the graph, without the images of medoids and modes."""
    plain = replace(cells, representative_points=RepresentativePoints())
    shared = delayed(plain, traverse=False)
    return {"columns": photos.coords, "cells": shared, "outside": outside}


def _labels(
    rows: Any, groups: Any, columns: list[Any] | None, cells: CellPartition, outside: str | None
) -> Any:
    """Cell of each row of a partition: a Series for a table, an array for an array."""
    names = rows[groups] if isinstance(groups, str) else groups
    labels = cells.assign(_pairs(rows, columns), names, outside=outside)
    return labels if columns is None else pd.Series(labels, rows.index, name="cell")


def _lazy_labels(cells: CellPartition, photos: Photos, outside: str | None) -> Any:
    context = _context(cells, photos, outside)
    if photos.coords is not None:
        meta = pd.Series([], dtype=np.int64, name="cell")
        rows = photos.rows[[*photos.coords, *_names(photos.groups)]]
        return rows.map_partitions(_labels, photos.groups, **context, meta=meta)
    groups = (None, None) if photos.groups is None else (photos.groups, "i")
    return da.blockwise(
        _labels,
        "i",
        photos.rows,
        "ij",
        *groups,
        dtype=np.int64,
        concatenate=True,
        align_arrays=False,  # it takes a single row for one that stands for all
        meta=np.empty(0, dtype=np.int64),
        **context,
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
    context, rows = _context(cells, photos, outside), photos.rows
    if photos.coords is None:
        context["columns"] = ["latitude", "longitude"]
        rows = dd.from_dask_array(rows, columns=context["columns"])
    present = [name for name in ADDED if name in rows.columns]
    if present:
        raise ValueError(f"coords has a column {present[0]!r} already; rename or drop it.")
    files.makedirs(folder, exist_ok=True)
    parts = _partitions(rows)
    groups = _partitions(photos.groups) or [photos.groups] * len(parts)
    paths = [f"{folder}/part-{number:06d}.parquet" for number in range(len(parts))]
    with _on(client):
        n_rows: int = sum(
            dask.compute(
                *(
                    delayed(_write_part)(path, files, *part, **context)
                    for path, *part in zip(paths, parts, groups, strict=True)
                )
            )
        )
    if n_rows == 0:
        _write_part(paths[0], files, rows._meta, None, context["columns"], cells, even_empty=True)
    return n_rows


def _write_part(
    path: str,
    files: Any,
    rows: pd.DataFrame,
    groups: Any,
    columns: list[Any],
    cells: CellPartition,
    outside: str | None = None,
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
    table = rows.assign(**dict(zip(ADDED, (labels, *points.T), strict=True)))
    file = files.open(path, "wb", autocommit=False)
    try:
        with file:
            table.to_parquet(file, index=False)
    except BaseException:
        file.discard()
        raise
    file.commit()
    return len(rows)
