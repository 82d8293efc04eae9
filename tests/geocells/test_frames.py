"""Tables of every library in, labels of the same kind out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import duckdb
import geopandas as gpd
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import shapely

from geocells import CellBuilder, CellHierarchy

PHOTOS = pd.DataFrame(
    {
        "decimalLongitude": [8.5417, 18.0686, 7.4],
        "title": ["Zurich", "Stockholm", "Bern"],
        "decimalLatitude": [47.3769, 59.3293, 46.9],
        "country": ["CH", "SE", "CH"],
    },
    index=["a", "b", "c"],
)
POINTS = shapely.points(PHOTOS["decimalLongitude"], PHOTOS["decimalLatitude"])
# Bern, Zurich and Stockholm, as cells are numbered from south to north in each country.
LABELS = [1, 2, 0]
BUILDER = CellBuilder(1, method="consolidated", min_cell_size=0.1)


def arrow() -> pa.Table:
    return pa.Table.from_pandas(PHOTOS, preserve_index=False)


TABLES: dict[str, tuple[Callable[[], Any], type, type]] = {
    "pandas": (lambda: PHOTOS, pd.Series, pd.DataFrame),
    "pandas with Arrow's types": (
        lambda: PHOTOS.convert_dtypes(dtype_backend="pyarrow"),
        pd.Series,
        pd.DataFrame,
    ),
    "GeoPandas": (
        lambda: gpd.GeoDataFrame(PHOTOS[["country"]], geometry=POINTS, crs=4326).to_crs(3857),
        pd.Series,
        pd.DataFrame,
    ),
    "Polars": (lambda: pl.DataFrame(arrow()), pl.Series, pl.DataFrame),
    "Polars, lazy": (lambda: pl.DataFrame(arrow()).lazy(), pl.Series, pl.DataFrame),
    "pyarrow": (arrow, pa.ChunkedArray, pa.Table),
    "pyarrow, a batch": (lambda: arrow().to_batches()[0], pa.ChunkedArray, pa.Table),
    "pyarrow, a stream": (lambda: arrow().to_reader(max_chunksize=2), pa.ChunkedArray, pa.Table),
    "DuckDB": (
        lambda: duckdb.from_arrow(arrow()).filter("true"),
        duckdb.DuckDBPyRelation,
        duckdb.DuckDBPyRelation,
    ),
}


def numbers(labels: Any) -> list:
    """Values of labels of any kind."""
    if isinstance(labels, duckdb.DuckDBPyRelation):
        labels = labels.df()
        labels = labels["cell"] if list(labels) == ["cell"] else labels
    return np.asarray(labels).tolist()


@pytest.mark.parametrize(("table", "column", "frame"), TABLES.values(), ids=list(TABLES))
def test_labels_are_of_the_kind_of_the_table(table, column, frame):
    labels = BUILDER.fit_predict(table(), groups="country")
    assert isinstance(labels, column)
    assert numbers(labels) == LABELS
    cells = BUILDER.fit(table(), groups="country").cells_
    assert cells.groups.tolist() == ["CH", "CH", "SE"]
    for groups in ("country", None, PHOTOS["country"].tolist()):
        labels = cells.assign(table(), groups)
        assert isinstance(labels, column)
        assert numbers(labels) == LABELS
    if isinstance(labels, pd.Series):
        assert labels.index.tolist() == ["a", "b", "c"]
        assert labels.name == "cell"
    assert cells.report(table(), groups="country").oracle(1.0) == 1.0
    hierarchy = CellHierarchy([BUILDER, BUILDER]).fit(table(), groups="country")
    both = hierarchy.assign(table(), "country")
    assert isinstance(both, frame)
    assert numbers(both) == [[label, label] for label in LABELS]


def test_groups_come_from_columns_of_every_library():
    for table in (pl.DataFrame(arrow()), arrow()):
        assert BUILDER.fit(table, groups=table["country"]).labels_.tolist() == LABELS


def test_one_place_has_one_number():
    cells = BUILDER.fit(PHOTOS).cells_
    label = cells.assign(46.9, 7.4)
    assert isinstance(label, int)
    assert label == cells.assign([[46.9, 7.4]])[0]


NAMED = {"lat": [47.0, 46.0], "lon": [8.0, 7.0]}


@pytest.mark.parametrize(
    ("coords", "message"),
    [
        (pl.DataFrame({"north": [1.0], "east": [2.0]}), r"columns; it has \['north', 'east'\]"),
        (pa.table({"path": ["a"], "lat": [1.0]}), r"columns; it has \['path', 'lat'\]"),
        (duckdb.sql("SELECT 1 AS a"), r"columns; it has \['a'\]"),
        (pd.DataFrame(np.ones((2, 3))), r"columns; it has \['0', '1', '2'\]"),
        (pl.DataFrame({"lat": [], "lon": []}), r"no rows \(0 samples"),
        (pa.table({"lat": pa.array([], pa.float64()), "lon": pa.array([])}), r"no rows \(0 samp"),
        (pl.DataFrame({**NAMED, "lat": ["47 N", "46 N"]}), "must hold numbers"),
        (pd.DataFrame({**NAMED, "lat": [47.0, None]}), "1 of 2 rows hold NaN .* row 1"),
        (pl.DataFrame({**NAMED, "lat": [47.0, None]}), "1 of 2 rows hold NaN .* row 1"),
        (pa.table({**NAMED, "lat": [47.0, None]}), "1 of 2 rows hold NaN .* row 1"),
        (
            pd.DataFrame({**NAMED, "lat": pd.array([47.0, pd.NA], dtype="Float64")}),
            r"1 of 2 rows miss one \(first: row 1, \[<NA>, 7.0\]\)|rows hold NaN .* row 1",
        ),
        ([POINTS[0], shapely.box(0, 0, 1, 1)], r"1 of 2 rows do not \(first: row 1, Polygon\)"),
    ],
)
def test_what_holds_no_sound_coordinates_is_refused(coords, message):
    with pytest.raises(ValueError, match=message):
        BUILDER.fit(coords)


@pytest.mark.parametrize(
    ("coords", "has"),
    [
        (PHOTOS, r"has \['decimalLongitude', "),
        (arrow(), r"has \['decimal"),
        ([[1, 2]], "has no columns"),
    ],
)
def test_groups_that_name_no_column_are_refused(coords, has):
    with pytest.raises(ValueError, match=rf"a column of coords; got 'state', and coords {has}"):
        BUILDER.fit(coords, groups="state")


def test_tables_of_other_libraries_are_refused():
    frame = pytest.importorskip("dask.dataframe").from_pandas(PHOTOS, npartitions=1)
    with pytest.raises(TypeError, match="pandas, Polars, pyarrow or DuckDB; got DataFrame of dask"):
        BUILDER.fit(frame)
