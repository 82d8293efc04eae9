"""Cells by us and by other engines: processor time and memory, in one run and one table.

``python -m tests.benchmarks.cells MILLIONS`` takes another number of coordinates than ten million.
"""

from __future__ import annotations

import gc
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import duckdb
import fast_hdbscan
import geopandas as gpd
import h3ronpy.vector
import healpix_geo.nested
import numpy as np
import pyarrow as pa
import s2sphere
from s2geometry import S2CellId, S2LatLng
from scipy.spatial import cKDTree
from sklearn.cluster import KMeans

from geocells import (
    CellBuilder,
    CellPartition,
    HealpixGrid,
    LatLonGrid,
    S2Grid,
    load_cells,
    sphere,
    sql,
)
from tests import engines
from tests.benchmarks.real_density import resampled
from tests.benchmarks.timing import aligned, fresh_process, peak_gib

N_ROWS = 10_000_000
MIN_IMAGES = 200
DEEPEST = 14
"""Level of squares of 0.011 degrees of latitude, the finest of ``min_cell_size=0.01``."""

ROUNDS = 3
METHODS = ("top_down", "consolidated", "bottom_up")
PEERS = (
    "numpy",
    "duckdb",
    "polars",
    "healpix-geo",
    "h3ronpy",
    "s2geometry",
    "s2sphere",
    "geopandas",
)
FIRST_FIT = """
import numpy as np, geocells
geocells.CellBuilder(method="consolidated").fit(np.random.default_rng(0).normal((47, 8), 1, (100_000, 2)))
print()
"""


@dataclass(frozen=True)
class Contestant:
    """What does a job, and the rows or cells that it does it for."""

    who: str
    call: Callable[[], object]
    n: int


def contests(coords: np.ndarray, folder: Path) -> Iterator[tuple[str, list[Contestant]]]:
    """Every job, and who does it; the others are measured against the first."""
    n = len(coords)
    columns = np.ascontiguousarray(coords.T)
    yield (
        "yardsticks, a row",
        [
            Contestant("read the coordinates", coords.max, n),
            Contestant("write the labels", lambda: np.full(n, 1), n),
            Contestant("add up by 28 000 labels", lambda: np.bincount(np.arange(n) % 28_000), n),
        ],
    )
    yield "code of a place", list(_encoding(coords, columns))
    yield f"cells of {MIN_IMAGES} images, a row", list(_partitions(coords, columns))
    cells = CellBuilder(MIN_IMAGES, method="consolidated").fit(coords).cells_
    yield f"assign to {cells.n_cells} cells, a row", list(_assignments(cells, coords))
    yield "polygons, a cell", list(_polygons(coords))
    yield "files, a cell", list(_files(cells, folder))
    yield "features, 512 float32 a row", list(_features(coords[:250_000]))
    yield (
        "fresh process",
        [
            Contestant("import geocells", lambda: fresh_process("import geocells; print()"), 1),
            Contestant("import, fit 100 000", lambda: fresh_process(FIRST_FIT), 1),
            Contestant("import geopandas", lambda: fresh_process("import geopandas; print()"), 1),
        ],
    )


def in_duckdb(coords: np.ndarray) -> duckdb.DuckDBPyConnection:
    """Database whose view ``photos`` reads the coordinates."""
    photos = pa.table({"latitude": coords[:, 0], "longitude": coords[:, 1]})
    return duckdb.connect().register("photos", photos)


def _encoding(coords: np.ndarray, columns: np.ndarray) -> Iterator[Contestant]:
    n, few, fewer = len(coords), coords[:100_000].tolist(), coords[:10_000].tolist()
    photos = in_duckdb(coords)
    query = f"SELECT {engines.key_in_sql(DEEPEST)} AS key FROM photos"
    yield Contestant("geocells, latitude and longitude", lambda: LatLonGrid().encode(coords), n)
    yield Contestant("geocells, HEALPix", lambda: HealpixGrid().encode(coords), n)
    yield Contestant("geocells, S2", lambda: S2Grid().encode(coords), n)
    yield Contestant("DuckDB, row and column", lambda: photos.sql(query).to_arrow_table(), n)
    yield Contestant(
        "healpix-geo",
        lambda: healpix_geo.nested.lonlat_to_healpix(*columns[::-1], DEEPEST, ellipsoid="sphere"),
        n,
    )
    yield Contestant("h3ronpy", lambda: h3ronpy.vector.coordinates_to_cells(*columns, 7), n)
    yield Contestant(
        "s2geometry (C++)", lambda: [S2CellId(S2LatLng.FromDegrees(*p)).id() for p in few], len(few)
    )
    from_degrees, leaf = s2sphere.LatLng.from_degrees, s2sphere.CellId.from_lat_lng
    yield Contestant("s2sphere", lambda: [leaf(from_degrees(*p)).id() for p in fewer], len(fewer))


def _partitions(coords: np.ndarray, columns: np.ndarray) -> Iterator[Contestant]:
    n, few = len(coords), coords[:100_000]
    for grid, methods in (("latlon", METHODS), ("s2", METHODS[1:2]), ("healpix", METHODS[1:2])):
        for method in methods:
            builder = CellBuilder(MIN_IMAGES, method=method, grid=grid)
            yield Contestant(f"geocells {method}, {grid}", lambda b=builder: b.fit(coords), n)
    for name in ("duckdb", "numpy", "polars", "healpix"):
        engine = getattr(engines, f"by_{name}")
        call = lambda by=engine: by(*columns, MIN_IMAGES, DEEPEST)  # noqa: E731
        yield Contestant(f"{name}, cells alone", call, n)
    vectors = sphere.to_unit_vectors(few)
    clusterers = {
        "scikit-learn KMeans, 400 cells": KMeans(400, n_init=1, random_state=0),
        "fast_hdbscan": fast_hdbscan.HDBSCAN(min_cluster_size=MIN_IMAGES),
    }
    for name, clusterer in clusterers.items():
        yield Contestant(name, lambda c=clusterer: c.fit_predict(vectors), len(few))


def _assignments(cells: CellPartition, coords: np.ndarray) -> Iterator[Contestant]:
    photos = in_duckdb(coords)
    query = f"SELECT cell FROM ({sql(cells, 'photos')})"
    tree = cKDTree(sphere.to_unit_vectors(cells.centroids))
    some, few = coords[:1_000_000], coords[:100_000]
    places = gpd.GeoDataFrame(geometry=gpd.points_from_xy(few[:, 1], few[:, 0]), crs=4326)
    table = cells.to_geodataframe()
    yield Contestant("geocells", lambda: cells.assign(coords), len(coords))
    yield Contestant("DuckDB, our SQL", lambda: photos.sql(query).to_arrow_table(), len(coords))
    yield Contestant(
        "cKDTree of the means", lambda: tree.query(sphere.to_unit_vectors(some)), len(some)
    )
    yield Contestant("GeoPandas sjoin", lambda: places.sjoin(table), len(few))


def _polygons(coords: np.ndarray) -> Iterator[Contestant]:
    for grid, method in [*(("latlon", method) for method in METHODS), ("s2", "consolidated")]:
        cells = CellBuilder(MIN_IMAGES, method=method, grid=grid).fit(coords).cells_
        yield Contestant(f"geocells {method}, {grid}", cells.polygons, cells.n_cells)
    found = h3ronpy.vector.coordinates_to_cells(*coords[:1_000_000].T.copy(), 5)
    hexagons = pa.array(np.unique(pa.array(found).to_numpy()))
    call = lambda: h3ronpy.vector.cells_to_wkb_polygons(hexagons)  # noqa: E731
    yield Contestant("h3ronpy, hexagons", call, len(hexagons))


def _files(cells: CellPartition, folder: Path) -> Iterator[Contestant]:
    table, n = cells.to_geodataframe(), cells.n_cells
    ours, theirs = folder / "ours.parquet", folder / "theirs.parquet"
    yield Contestant("geocells save, polygons drawn", lambda: cells.save(ours), n)
    yield Contestant("geocells load", lambda: load_cells(ours), n)
    yield Contestant("GeoPandas to_parquet", lambda: table.to_parquet(theirs), n)
    yield Contestant("GeoPandas read_parquet", lambda: gpd.read_parquet(theirs), n)


def _features(coords: np.ndarray) -> Iterator[Contestant]:
    n = len(coords)
    feats = np.random.default_rng(0).standard_normal((n, 512), dtype=np.float32)
    bare = CellBuilder(MIN_IMAGES, rank_by="count")
    yield Contestant("read them (feats.sum())", feats.sum, n)
    yield Contestant("geocells bottom_up", lambda: CellBuilder(MIN_IMAGES).fit(coords, feats), n)
    yield Contestant("the same without features", lambda: bare.fit(coords), n)


def measure(contestant: Contestant) -> tuple[float, float, float]:
    """Least processor and wall nanoseconds a row or cell of some rounds, and most GiB beyond what there was."""
    busy, wall, gib = [], [], 0.0
    for _ in range(ROUNDS + 1):  # the first may have to compile
        gc.collect()
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        before, clock, start = peak_gib(), time.perf_counter(), processor_seconds()
        contestant.call()
        busy.append(processor_seconds() - start)
        wall.append(time.perf_counter() - clock)
        gib = peak_gib() - before
        if sum(busy) > 5.0:
            break
    return min(busy) * 1e9 / contestant.n, min(wall) * 1e9 / contestant.n, gib


def processor_seconds() -> float:
    """Of this process, and of those that it waited for."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def figure(nanoseconds: float) -> str:
    """Time in a unit that suits it."""
    for unit, size in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if nanoseconds >= size:
            return f"{nanoseconds / size:.3g} {unit}"
    return f"{nanoseconds:.3g} ns"


def report(n_rows: int = N_ROWS) -> str:
    """Do every job by everyone; the table as text."""
    load = os.getloadavg()[0]
    lines = [["", "processor", "wall", "against the first", "memory, MiB", "rows or cells"]]
    with tempfile.TemporaryDirectory() as folder:
        for job, contestants in contests(resampled(n_rows), Path(folder)):
            lines.append([job, "", "", "", "", ""])
            first = 0.0
            for contestant in contestants:
                busy, wall, gib = measure(contestant)
                first = first or busy
                cells = [
                    figure(busy),
                    figure(wall),
                    f"{busy / first:,.3g} x",
                    f"{1024 * max(0.0, gib):.0f}",
                ]
                lines.append([f"  {contestant.who}", *cells, f"{contestant.n:,}"])
                print(".", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    engines_ = ", ".join(f"{name} {version(name)}" for name in PEERS)
    return f"{engines_}\nload {load:.1f} before, {os.getloadavg()[0]:.1f} after\n{aligned(lines)}"


if __name__ == "__main__":
    print(report(int(float(sys.argv[1]) * 1e6) if len(sys.argv) > 1 else N_ROWS))
