"""Cells as other engines make them by GROUP BY, level by level; nothing here imports geocells.

Each takes columns of latitude and longitude, the least images of a cell, and the deepest level of the quadtree of the
whole map; and gives the images of each cell by its level and its key, row and column as ``row << 32 | column``. The
rule is that of consolidated cells: where a square has enough images it is a cell; what it lacks goes up to its parent.
"""

from __future__ import annotations

from collections.abc import Callable

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa

Cells = dict[tuple[int, int], int]
LOW = 2**32 - 1


def merged(
    keys: np.ndarray, images: np.ndarray, least: int, deepest: int, parent: Callable
) -> Cells:
    """Cells from the images of each key of the deepest level."""
    cells = {}
    for level in range(deepest, -1, -1):
        enough = images >= least
        pairs = zip(keys[enough].tolist(), images[enough].tolist(), strict=True)
        cells.update({(level, key): n for key, n in pairs})
        keys, inverse = np.unique(parent(keys[~enough]), return_inverse=True)
        images = np.bincount(inverse, images[~enough], len(keys)).astype(np.int64)
    return cells


def parent_square(keys: np.ndarray) -> np.ndarray:
    """Key of the square that a square is a quarter of."""
    return ((keys >> 33) << 32) | ((keys & LOW) >> 1)


def by_numpy(latitude: np.ndarray, longitude: np.ndarray, least: int, deepest: int) -> Cells:
    """By ``np.unique``."""
    row = ((latitude + 90.0) * (2**deepest / 180.0)).astype(np.int64)
    column = ((longitude + 180.0) * (2**deepest / 360.0)).astype(np.int64)
    bins = np.unique((row << 32) | column, return_counts=True)
    return merged(*bins, least, deepest, parent_square)


def by_healpix(latitude: np.ndarray, longitude: np.ndarray, least: int, deepest: int) -> Cells:
    """By the nested numbers of healpix-geo, which are the keys, and ``np.unique``."""
    import healpix_geo.nested  # which needs NumPy 2

    numbers = healpix_geo.nested.lonlat_to_healpix(longitude, latitude, deepest, ellipsoid="sphere")
    bins = np.unique(numbers.astype(np.int64), return_counts=True)
    return merged(*bins, least, deepest, lambda keys: keys >> 2)


def by_polars(latitude: np.ndarray, longitude: np.ndarray, least: int, deepest: int) -> Cells:
    """By lazy frames."""
    frame = pl.LazyFrame({"latitude": latitude, "longitude": longitude})
    row = ((pl.col("latitude") + 90.0) * (2**deepest / 180.0)).cast(pl.Int64)
    column = ((pl.col("longitude") + 180.0) * (2**deepest / 360.0)).cast(pl.Int64)
    bins = frame.group_by(key=row * 2**32 + column).agg(n=pl.len().cast(pl.Int64)).collect()
    cells = {}
    for level in range(deepest, -1, -1):
        enough = bins.filter(pl.col("n") >= least)
        cells.update({(level, key): n for key, n in enough.iter_rows()})
        key = pl.col("key")
        parent = (key // 2**33) * 2**32 + (key % 2**32) // 2
        rest = bins.lazy().filter(pl.col("n") < least)
        bins = rest.group_by(key=parent).agg(pl.col("n").sum()).collect()
    return cells


def key_in_sql(level: int) -> str:
    """Key of the square of a row."""
    row = f"floor((latitude + 90) * {2**level / 180.0!r})::BIGINT"
    return f"({row} << 32) | floor((longitude + 180) * {2**level / 360.0!r})::BIGINT"


def by_duckdb(latitude: np.ndarray, longitude: np.ndarray, least: int, deepest: int) -> Cells:
    """By SQL."""
    photos = pa.table({"latitude": latitude, "longitude": longitude})
    key = key_in_sql(deepest)
    cells: Cells = {}
    with duckdb.connect() as database:
        database.register("photos", photos)
        database.sql(
            f"CREATE TABLE bins AS SELECT {key} AS key, count(*) AS n FROM photos GROUP BY key"
        )
        for level in range(deepest, -1, -1):
            enough = database.sql(f"SELECT key, n FROM bins WHERE n >= {least}").fetchall()
            cells.update({(level, key): n for key, n in enough})
            database.sql(f"""
                CREATE OR REPLACE TABLE bins AS
                SELECT ((key >> 33) << 32) | ((key & {LOW}) >> 1) AS key, sum(n)::BIGINT AS n
                FROM bins WHERE n < {least} GROUP BY 1""")
    return cells
