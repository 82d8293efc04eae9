from __future__ import annotations

from contextlib import nullcontext

import duckdb
import numpy as np
import pandas as pd
import pytest
from partitions import cell_boxes

from geocells import CellBuilder, GeocellsWarning, sql

RNG = np.random.default_rng(1)
N = 6000
NUMBER = RNG.integers(0, 40, N)
COORDS = RNG.uniform((-60, -180), (70, 180), (40, 2))[NUMBER] + RNG.normal(0, 1, (N, 2))
COORDS[:, 1] = (COORDS[:, 1] + 180) % 360 - 180
GROUPS = np.array([f"g'{number % 5}" for number in NUMBER], dtype=object)
EDGES = np.array(
    [(90, 180), (-90, -180), (0, 180), (0, -180), (45, 90), (-45, -90), (90, -90), (12.5, 8.25)]
)


def cells_by_sql(cells, coords, groups=None):
    photos = pd.DataFrame({"row": np.arange(len(coords)), "lat": coords[:, 0], "x": coords[:, 1]})
    if groups is not None:
        photos["my group"] = groups
    group = None if groups is None else "my group"
    query = sql(cells, "photos", latitude="lat", longitude="x", group=group)
    answer = duckdb.sql(f"SELECT * FROM ({query}) ORDER BY row").df()
    assert list(answer.columns) == [*photos.columns, "cell"]
    return answer["cell"].to_numpy()


@pytest.mark.parametrize("method", ["top_down", "consolidated", "bottom_up"])
@pytest.mark.parametrize(
    ("options", "groups"),
    [
        ({}, None),
        ({}, GROUPS),
        ({"bounds": (-90, -180, 90, 180), "min_cell_size": 1e-6}, None),
        ({"bounds": (-60, 100, 60, -100)}, None),
    ],
)
def test_a_query_gives_the_cells_that_assign_gives(method, options, groups):
    builder = CellBuilder(40, method=method, outside="noise", **options)
    held = np.arange(N) < 5000
    if "bounds" in options and options["bounds"][1] == 100:
        held &= (np.abs(COORDS[:, 1]) >= 100) & (np.abs(COORDS[:, 0]) <= 60)
    cells = builder.fit(COORDS[held], groups=None if groups is None else groups[held]).cells_
    coords = np.concatenate([COORDS, EDGES])
    grid = cells.grid.grids[0]
    leaves = cells.ranges.starts[cells.ranges.starts < 4**grid.max_level][:500]
    corners = cell_boxes(grid, leaves, grid.max_level)[:, :2]  # edges of cells
    corners[:, 1] = (corners[:, 1] + 180) % 360 - 180
    coords = np.concatenate([coords, corners])
    some = None if groups is None else np.resize(groups, len(coords))
    if some is not None:
        some[:5] = "of no cell"
    with nullcontext() if some is None else pytest.warns(GeocellsWarning, match="5 of"):
        expected = cells.assign(coords, some, outside="noise")
    assert (expected >= 0).any()
    assert (expected < 0).any() or "bounds" in options
    assert np.array_equal(cells_by_sql(cells, coords, some), expected)


@pytest.mark.parametrize(
    ("builder", "groups", "group", "message"),
    [
        (CellBuilder(40, grid="s2"), None, None, "latitude-longitude grid"),
        (CellBuilder(40), GROUPS, None, "name their column"),
        (CellBuilder(40), None, "country", "leave group out"),
    ],
)
def test_what_sql_cannot_say_is_refused(builder, groups, group, message):
    cells = builder.fit(COORDS, groups=groups).cells_
    with pytest.raises(ValueError, match=message):
        sql(cells, group=group)
