"""A cluster of two worker processes: the same cells, also when one of them dies on the way."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
from dask.delayed import delayed
from partitions import assert_same_cells

from geocells import CellBuilder
from geocells import dask as over_dask

RNG = np.random.default_rng(2)
COORDS = np.concatenate(
    [RNG.normal((47.0, 8.0), 0.4, (4000, 2)), RNG.uniform((-60.0, -180.0), (70.0, 180.0), (800, 2))]
)[RNG.permutation(4800)]
FEATS = RNG.normal(100.0, 1.0, (4800, 16)).astype(np.float32)
GROUPS = np.where(COORDS[:, 1] < 8.0, "SE", "CH").astype(object)
UNEVEN = (0, 700, 1, 0, 2000, 99, 1000, 1000)


def cut(array):
    return da.from_array(array, chunks=(UNEVEN, *array.shape[1:]))


@pytest.mark.parametrize("method", ["top_down", "consolidated", "bottom_up"])
def test_two_workers_make_the_cells_of_one_machine(client, method):
    builder = CellBuilder(30, method=method)
    one = builder.fit(COORDS, FEATS, GROUPS)
    result = over_dask.fit(builder, cut(COORDS), cut(FEATS), cut(GROUPS), client=client)
    assert np.array_equal(client.compute(result.labels()).result(), one.labels_)
    assert_same_cells(result.cells, one.cells_)


def rows_or_death(rows: np.ndarray, folder: str, deadly: int) -> np.ndarray:
    """Rows of a partition; the process that reads them for the ``deadly``-th time is killed, once."""
    reads = 0
    while True:
        try:
            (Path(folder) / f"read-{reads}").touch(exist_ok=False)
            break
        except FileExistsError:
            reads += 1
    if reads == deadly:
        os.kill(os.getpid(), signal.SIGKILL)
    return rows


@pytest.mark.parametrize(
    "deadly", [0, 1, 3], ids=["in the extents", "in the counts", "in the sums"]
)
def test_a_worker_that_dies_in_a_pass_changes_nothing(client, tmp_path, deadly):
    parts = np.array_split(COORDS, 6)
    blocks = [
        delayed(rows_or_death)(part, str(tmp_path), deadly) if number == 3 else delayed(part)
        for number, part in enumerate(parts)
    ]
    rows = da.concatenate(
        [da.from_delayed(b, p.shape, float) for b, p in zip(blocks, parts, strict=True)]
    )
    feats = da.from_array(FEATS, chunks=(rows.chunks[0], 16))
    one = CellBuilder(30).fit(COORDS, FEATS)
    result = over_dask.fit(CellBuilder(30), rows, feats, client=client)
    # A worker did die: the four passes read a partition once each.
    assert len(list(tmp_path.glob("read-*"))) >= 5
    assert np.array_equal(result.cells.centroids, one.centroids_)
    assert np.array_equal(client.compute(result.labels()).result(), one.labels_)


def test_a_bad_row_on_a_worker_is_told_here(client):
    coords = COORDS.copy()
    coords[800, 0] = -91.0
    with pytest.raises(ValueError, match=r"Partition 4 .*first: row 99, -91"):
        over_dask.fit(CellBuilder(30), cut(coords), client=client)
