"""fit on partitions against CellBuilder on the whole."""

from __future__ import annotations

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from partitions import assert_same_cells
from strategies import coordinates, groups_of, leftovers, min_cell_sizes

from geocells import CellBuilder, LatLonGrid, load_cells
from geocells import dask as over_dask

pytestmark = pytest.mark.usefixtures("_in_this_thread")

RNG = np.random.default_rng(0)
COORDS = np.concatenate(
    [RNG.normal((47.0, 8.0), 0.4, (1500, 2)), RNG.uniform((-60.0, -180.0), (70.0, 180.0), (300, 2))]
)[RNG.permutation(1800)]
FEATS = RNG.normal(size=(1800, 6)).astype(np.float32)
GROUPS = np.where(COORDS[:, 1] < 8.0, "SE", "CH").astype(object)
WEIGHTS = RNG.integers(0, 3, 1800)
UNEVEN = (0, 700, 1, 0, 1000, 99, 0)


def cut(array, chunks=UNEVEN):
    """A Dask array of these rows a partition."""
    if array is None:
        return None
    return da.from_array(array, chunks=(tuple(chunks), *array.shape[1:]))


def same_as_on_one_machine(builder, coords, feats=None, groups=None, weights=None, chunks=UNEVEN):
    """Both fits, after a check that they agree to the last bit."""
    one = builder.fit(coords, feats, groups, weights)
    result = over_dask.fit(
        builder, cut(coords, chunks), cut(feats, chunks), cut(groups, chunks), cut(weights, chunks)
    )
    assert np.array_equal(result.labels().compute(), one.labels_)
    assert_same_cells(result.cells, one.cells_)
    assert result.cells.parameters == one.cells_.parameters
    return one, result


@pytest.mark.parametrize("grid", ["latlon", "s2", "healpix"])
@pytest.mark.parametrize(
    "options",
    [
        {"method": "top_down"},
        {"method": "top_down", "max_images": 60},
        {"method": "consolidated"},
        {"method": "optimal"},
        {"method": "bottom_up"},
        {"method": "bottom_up", "overlap": 4, "competition": "all"},
        {"method": "bottom_up", "overlap": 1, "rank_by": "count"},
    ],
    ids=str,
)
@pytest.mark.parametrize("has_groups", [False, True])
def test_every_construction_gives_the_cells_of_one_machine(grid, options, has_groups):
    builder = CellBuilder(30, grid=grid, **options)
    groups = GROUPS if has_groups else None
    same_as_on_one_machine(builder, COORDS, FEATS, groups)
    same_as_on_one_machine(builder, COORDS, None, groups, WEIGHTS)


@pytest.mark.parametrize("leftover", ["nearest", "cell", "noise"])
@pytest.mark.parametrize("method", ["consolidated", "bottom_up"])
def test_leftover_photos_go_where_they_go_on_one_machine(leftover, method):
    lone = CellBuilder(400, method=method, leftover=leftover, min_cell_size=0.5)
    one, _ = same_as_on_one_machine(lone, COORDS, FEATS, GROUPS, WEIGHTS)
    assert (one.labels_ < 0).any() == (leftover == "noise")


def test_photos_that_cancel_out_have_the_first_of_them_as_their_mean():
    coords = np.array([[0.0, 90.0], [0.0, -90.0], [0.0, 0.0], [0.0, 180.0]])
    builder = CellBuilder(4, method="consolidated", grid="s2", leftover="cell")
    one, result = same_as_on_one_machine(builder, coords, chunks=(1, 0, 3))
    assert result.cells.centroids.tolist() == [[0.0, -90.0]] == one.centroids_.tolist()


def test_bounds_of_ones_own_are_held_to():
    options = {"method": "consolidated"}
    box = (-70.0, -180.0, 75.0, 180.0)
    same_as_on_one_machine(CellBuilder(30, bounds=box, **options), COORDS)
    grid = LatLonGrid(*box, 8)
    same_as_on_one_machine(CellBuilder(30, grid=grid, **options), COORDS)
    by_group = {"SE": box, "CH": (-70.0, -10.0, 75.0, 180.0)}
    same_as_on_one_machine(CellBuilder(30, bounds=by_group, **options), COORDS, None, GROUPS)
    with pytest.raises(ValueError, match=r"Partition \d .*bounds must hold every image"):
        over_dask.fit(CellBuilder(30, bounds=(0, 0, 50, 50), **options), cut(COORDS))


@st.composite
def cuts(draw: st.DrawFn, n_rows: int) -> tuple[int, ...]:
    """Sizes of one to six partitions, some of them empty."""
    edges = sorted(draw(st.lists(st.integers(0, n_rows), max_size=5), label="cuts"))
    return tuple(np.diff([0, *edges, n_rows]).tolist())


@given(st.data())
def test_however_the_photos_are_partitioned(data):
    coords = data.draw(coordinates(max_rows=150))
    builder = CellBuilder(
        data.draw(st.integers(1, 30)),
        method=data.draw(st.sampled_from(["top_down", "consolidated", "bottom_up"])),
        grid=data.draw(st.sampled_from(["latlon", "s2", "healpix"])),
        min_cell_size=data.draw(min_cell_sizes),
        leftover=data.draw(leftovers),
        rank_by="count",
    )
    builder.set_params(competition=data.draw(st.sampled_from(["level", "all"])))
    if data.draw(st.booleans(), label="by features"):
        builder.set_params(rank_by="mean_wcss")
    groups = weights = None
    if data.draw(st.booleans(), label="has groups"):
        groups = np.array(data.draw(groups_of(len(coords))), dtype=object)
    if data.draw(st.booleans(), label="has weights"):
        # Every group keeps an image.
        weights = np.maximum(np.arange(len(coords)) % 3, groups is not None)
        weights[0] = 1
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), label="seed"))
    feats = rng.normal(1000.0, 1.0, (len(coords), 3)).astype(np.float32)
    same_as_on_one_machine(
        builder, coords, feats, groups, weights, data.draw(cuts(len(coords)), label="chunks")
    )


# ------------------------------------------------------------------------------------ collections


@pytest.fixture
def table() -> pd.DataFrame:
    frame = pd.DataFrame(COORDS, columns=["Latitude", "lng"])
    return frame.assign(
        country=GROUPS, n=WEIGHTS, f0=FEATS[:, 0], f1=FEATS[:, 1], vector=list(FEATS)
    )


def test_a_dask_table_gives_its_columns_and_takes_labels_with_its_index(table):
    table.index = np.arange(len(table)) * 7
    frame = dd.from_pandas(table.drop(columns="vector"), npartitions=5)
    builder = CellBuilder(30)
    one = builder.fit(COORDS, FEATS[:, :2], GROUPS, WEIGHTS)
    result = over_dask.fit(builder, frame, feats=["f0", "f1"], groups="country", sample_weight="n")
    labels = result.labels().compute()
    assert labels.name == "cell"
    assert labels.index.tolist() == table.index.tolist()
    assert labels.tolist() == one.labels_.tolist()


def test_collections_beside_a_table_are_taken_too(table):
    frame = dd.from_pandas(table[["Latitude", "lng"]], npartitions=5)
    others = dd.from_pandas(table[["country", "n"]], npartitions=5)
    vectors = da.from_array(FEATS, chunks=(360, 6))
    one = CellBuilder(30).fit(COORDS, FEATS, GROUPS, WEIGHTS)
    result = over_dask.fit(CellBuilder(30), frame, vectors, others["country"], others["n"])
    assert result.labels().compute().tolist() == one.labels_.tolist()


def test_a_parquet_dataset_is_read_by_path_glob_and_url(table, tmp_path):
    dd.from_pandas(table.drop(columns="vector"), npartitions=4).to_parquet(
        tmp_path / "photos", write_index=False
    )
    # An empty file among them, and vectors as lists, of which there are none in another.
    empty = table[:0].drop(columns="vector")
    empty.to_parquet(tmp_path / "photos" / "part.9.parquet", index=False)
    for number, rows in enumerate(np.array_split(np.arange(len(table)), 3)):
        table.iloc[rows].to_parquet(tmp_path / f"lists-{number}.parquet")
    lists = pq.read_table(tmp_path / "lists-0.parquet")
    pq.write_table(lists.slice(0, 0), tmp_path / "lists-3.parquet")
    builder = CellBuilder(30)
    one = CellBuilder(30).fit(COORDS, FEATS, GROUPS)
    two = CellBuilder(30).fit(COORDS, FEATS[:, :2], GROUPS)
    urls = {
        str(tmp_path / "lists-*.parquet"): ("vector", one),
        f"file://{tmp_path}/lists-*.parquet": ("vector", one),
        str(tmp_path / "photos"): (["f0", "f1"], two),
        str(tmp_path / "photos" / "*.parquet"): (["f0", "f1"], two),
    }
    for url, (feats, expected) in urls.items():
        result = over_dask.fit(builder, url, feats, "country")
        assert np.array_equal(result.cells.centroids, expected.centroids_), url
        assert np.array_equal(result.labels().compute().to_numpy(), expected.labels_), url
    saved = result.cells.save(tmp_path / "cells.parquet")
    assert np.array_equal(load_cells(saved).assign(COORDS, GROUPS), two.labels_)


def test_an_object_store_is_read_through_fsspec(table):
    for number, rows in enumerate(np.array_split(np.arange(len(table)), 3)):
        table.iloc[rows].to_parquet(f"memory://photos/part-{number}.parquet")
    one = CellBuilder(30, method="consolidated").fit(COORDS)
    result = over_dask.fit(
        CellBuilder(30, method="consolidated"), "memory://photos/*.parquet", storage_options={}
    )
    assert result.labels().compute().tolist() == one.labels_.tolist()


# ----------------------------------------------------------------------------------------- refusals


def test_what_cannot_be_fitted_is_refused_with_a_reason(table, tmp_path):
    frame = dd.from_pandas(table, npartitions=2)
    builder = CellBuilder(30, method="consolidated")
    with pytest.raises(ValueError, match=r"location='medoid' needs all images of a cell"):
        over_dask.fit(CellBuilder(30, location="medoid"), frame)
    with pytest.raises(TypeError, match="CellBuilder takes arrays in memory"):
        over_dask.fit(builder, COORDS)
    with pytest.raises(ValueError, match="without a column 'land'"):
        over_dask.fit(builder, frame, groups="land")
    with pytest.raises(ValueError, match="latitude"):
        over_dask.fit(builder, frame[["lng", "n"]])
    with pytest.raises(ValueError, match=r"sample_weight must be partitioned .* 2 partitions"):
        over_dask.fit(builder, frame, sample_weight=da.ones(1800, chunks=600))
    with pytest.raises(TypeError, match="groups must be a Dask collection"):
        over_dask.fit(builder, frame, groups=GROUPS[:, None])
    with pytest.raises(TypeError, match="names a column, but coords is a Dask array"):
        over_dask.fit(builder, cut(COORDS), groups="country")
    with pytest.raises(ValueError, match=r"shape \(n, 2\)"):
        over_dask.fit(builder, cut(FEATS))
    with pytest.raises(ValueError, match="no Parquet file at"):
        over_dask.fit(builder, tmp_path / "nowhere" / "*.parquet")


def test_a_bad_row_is_told_with_its_partition(table):
    table.loc[1000, "Latitude"] = 91.0
    with pytest.raises(ValueError, match=r"Partition 1 .*Latitude must lie.*row 100, 91"):
        over_dask.fit(CellBuilder(30), dd.from_pandas(table, npartitions=2))
    table.loc[1000, "Latitude"] = np.nan
    with pytest.raises(ValueError, match=r"Partition 1 .*must be finite.*row 100"):
        over_dask.fit(CellBuilder(30), dd.from_pandas(table, npartitions=2))
    feats = FEATS.copy()
    feats[750, 2] = np.inf
    with pytest.raises(ValueError, match=r"Partition 4 .*Features must be finite.*row 49"):
        over_dask.fit(CellBuilder(30), cut(COORDS), cut(feats))
    vectors = table[["Latitude", "lng"]].fillna(0.0).assign(v=[[1.0, 2.0]] * 1799 + [[1.0]])
    with pytest.raises(ValueError, match=r"Dask turned the lists of column 'v' into text"):
        over_dask.fit(CellBuilder(30), dd.from_pandas(vectors, npartitions=2), feats="v")
    with dask.config.set({"dataframe.convert-string": False}):
        frame = dd.from_pandas(vectors, npartitions=2)
    with pytest.raises(ValueError, match=r"Partition 1 .*as long as the first"):
        over_dask.fit(CellBuilder(30), frame, feats="v")


def test_no_photo_at_all_is_refused_as_on_one_machine():
    for grid in ("latlon", "s2"):
        with pytest.raises(ValueError, match="coords holds no rows"):
            over_dask.fit(CellBuilder(30, grid=grid), da.empty((0, 2), chunks=(0, 2)))
        with pytest.raises(ValueError, match="zero everywhere"):
            over_dask.fit(
                CellBuilder(30, grid=grid), cut(COORDS), sample_weight=cut(np.zeros(1800))
            )
    idle = cut(np.where(GROUPS == "CH", 0, 1))
    with pytest.raises(ValueError, match="0 for every image of the group 'CH'"):
        over_dask.fit(CellBuilder(30), cut(COORDS), groups=cut(GROUPS), sample_weight=idle)
