"""assign on partitions, lazily and into a Parquet dataset."""

from __future__ import annotations

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest

from geocells import CellBuilder
from geocells import dask as over_dask

pytestmark = pytest.mark.usefixtures("_in_this_thread")

RNG = np.random.default_rng(1)
COORDS = RNG.normal((47.0, 8.0), 0.5, (900, 2))
GROUPS = np.where(COORDS[:, 1] < 8.0, "SE", "CH").astype(object)
CELLS = CellBuilder(50, method="consolidated").fit(COORDS).cells_
BY_GROUP = CellBuilder(50, method="consolidated").fit(COORDS, groups=GROUPS).cells_
NEW = RNG.normal((47.0, 8.0), 1.0, (500, 2))
COUNTRIES = np.where(np.arange(500) % 3 == 0, "SE", np.where(np.arange(500) % 3, "CH", "?"))
UNEVEN = (0, 200, 1, 0, 299)


@pytest.fixture
def table() -> pd.DataFrame:
    frame = pd.DataFrame(NEW, columns=["lat", "lon"], index=np.arange(500) * 3)
    return frame.assign(country=COUNTRIES, name=[f"{row}.jpg" for row in range(500)])


def test_an_array_gets_lazy_labels_in_its_own_chunks():
    labels = over_dask.assign(CELLS, da.from_array(NEW, chunks=(UNEVEN, 2)))
    assert isinstance(labels, da.Array)
    assert labels.dtype == np.int64
    assert labels.chunks == (UNEVEN,)
    assert np.array_equal(labels.compute(), CELLS.assign(NEW))


def test_groups_answer_for_themselves(table):
    expected = BY_GROUP.assign(NEW, COUNTRIES)
    rows = da.from_array(NEW, chunks=(UNEVEN, 2))
    groups = da.from_array(COUNTRIES.astype(object), chunks=(UNEVEN,))
    assert np.array_equal(over_dask.assign(BY_GROUP, rows, groups).compute(), expected)
    frame = dd.from_pandas(table, npartitions=4)
    by_name = over_dask.assign(BY_GROUP, frame, "country").compute()
    by_series = over_dask.assign(BY_GROUP, frame, frame["country"]).compute()
    assert by_name.tolist() == by_series.tolist() == expected.tolist()
    assert by_name.index.tolist() == table.index.tolist()
    without = over_dask.assign(BY_GROUP, frame).compute()
    assert without.tolist() == BY_GROUP.assign(NEW).tolist()


def test_outside_is_as_it_is_told():
    rows = da.from_array(NEW, chunks=(UNEVEN, 2))
    noise = over_dask.assign(CELLS, rows, outside="noise").compute()
    assert np.array_equal(noise, CELLS.assign(NEW, outside="noise"))
    assert (noise < 0).any()
    with pytest.raises(ValueError, match="No cell holds"):
        over_dask.assign(CELLS, rows, outside="raise").compute()


def test_a_dataset_is_written_with_all_columns(table, tmp_path):
    source = tmp_path / "photos"
    table["vector"] = [[row, 0.5] for row in range(500)]  # no type in an empty partition
    for number, rows in enumerate(np.split(np.arange(500), np.cumsum(UNEVEN)[:-1])):
        source.mkdir(exist_ok=True)
        table.iloc[rows].to_parquet(source / f"part-{number}.parquet", index=False)
    to = tmp_path / "assigned"
    photos = str(source / "*.parquet")
    assert over_dask.assign(CELLS, photos, to=str(to), outside="noise") == 500
    assert len(list(to.iterdir())) == 3  # none of an empty partition, none half-written
    out = pd.read_parquet(to)
    labels = CELLS.assign(NEW, outside="noise")
    assert out["cell"].tolist() == labels.tolist()
    assert out["name"].tolist() == table["name"].tolist()
    assert [vector.tolist() for vector in out["vector"]] == table["vector"].tolist()
    points = out[["cell_latitude", "cell_longitude"]].to_numpy()
    assert np.isnan(points[labels < 0]).all()
    assert np.array_equal(points[labels >= 0], CELLS.locations[labels[labels >= 0]])
    with pytest.raises(ValueError, match="exists already and is not empty"):
        over_dask.assign(CELLS, str(source), to=str(to))
    with pytest.raises(ValueError, match="has a column 'cell' already"):
        over_dask.assign(CELLS, str(to), to=str(tmp_path / "again"))


def test_arrays_are_written_too_and_urls_are_written_to():
    rows = da.from_array(NEW, chunks=(UNEVEN, 2))
    groups = da.from_array(COUNTRIES.astype(object), chunks=(UNEVEN,))
    over_dask.assign(BY_GROUP, rows, groups, to="memory://assigned-arrays")
    out = dd.read_parquet("memory://assigned-arrays").compute()
    assert out["cell"].tolist() == BY_GROUP.assign(NEW, COUNTRIES).tolist()
    assert np.array_equal(out[["latitude", "longitude"]].to_numpy(), NEW)


def test_no_photos_make_a_dataset_without_rows(tmp_path):
    nothing = da.empty((0, 2), chunks=(0, 2))
    assert over_dask.assign(CELLS, nothing, to=str(tmp_path / "none")) == 0
    out = pd.read_parquet(tmp_path / "none")
    assert len(out) == 0
    assert out["cell"].dtype == np.int64


def test_a_dataset_that_cannot_be_finished_holds_no_broken_file(tmp_path):
    rows = da.from_array(np.array([[47.0, 8.0], [99.0, 8.0]]), chunks=(1, 2))
    with pytest.raises(ValueError, match="Latitude must lie"):
        over_dask.assign(CELLS, rows, to=str(tmp_path / "broken"))
    assert len(pd.read_parquet(tmp_path / "broken")) <= 1


def test_what_does_not_fit_together_is_refused(table):
    frame = dd.from_pandas(table, npartitions=4)
    with pytest.raises(ValueError, match="built without groups"):
        over_dask.assign(CELLS, frame, "country")
    with pytest.raises(TypeError, match=r"Dask Series"):
        over_dask.assign(BY_GROUP, frame, frame["country"].to_dask_array())
    with pytest.raises(TypeError, match="must be a Dask DataFrame"):
        over_dask.assign(CELLS, table)


def test_cells_travel_without_the_photos_they_were_built_from():
    import cloudpickle

    lazy = over_dask.assign(CELLS, da.from_array(NEW[:2], chunks=2))
    assert CELLS.representative_points.is_known
    few = len(cloudpickle.dumps(lazy.__dask_graph__()))
    many = CellBuilder(5000, method="consolidated").fit(np.repeat(COORDS, 100, axis=0)).cells_
    lazy = over_dask.assign(many, da.from_array(NEW[:2], chunks=2))
    assert len(cloudpickle.dumps(lazy.__dask_graph__())) < few + 10_000
