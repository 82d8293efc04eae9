from __future__ import annotations

import json

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from partitions import assert_same_cells
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from strategies import coordinates, groups_of, min_cell_sizes

from geocells import CellBuilder, CellHierarchy

COORDS = np.random.default_rng(0).normal((47.0, 8.0), 0.8, size=(600, 2))
ISN = {"min_images": 5, "method": "top_down", "grid": "s2", "leftover": "noise"}


def isn(*most: int, **options: object) -> CellHierarchy:
    return CellHierarchy([{**ISN, "max_images": each, **options} for each in most])


@st.composite
def builders(draw: st.DrawFn) -> list[CellBuilder]:
    """Up to three builders that share a root box, with windows of their own."""
    shared = {
        "min_cell_size": draw(min_cell_sizes),
        "grid": draw(st.sampled_from(["latlon", "s2"])),
        "leftover": draw(st.sampled_from(["nearest", "cell", "noise"])),
    }
    return [
        CellBuilder(
            draw(st.integers(1, 20)),
            method=draw(st.sampled_from(["top_down", "consolidated", "bottom_up"])),
            overlap=draw(st.sampled_from([1, 2, 4])),
            **shared,
        )
        for _ in range(draw(st.integers(1, 3)))
    ]


# -------------------------------------------------------------------------------------- the members


@given(st.data(), coordinates(max_rows=60), builders())
def test_each_partition_is_the_one_that_its_builder_alone_makes(data, coords, members):
    groups = data.draw(st.none() | groups_of(len(coords)))
    weights = data.draw(st.sampled_from([None, np.arange(len(coords)) % 4 + 1]))
    feats = np.random.default_rng(0).normal(size=(len(coords), 3))
    hierarchy = CellHierarchy(members).fit(coords, feats, groups, weights)
    for number, member in enumerate(members):
        alone = clone(member).fit(coords, feats, groups, weights)
        assert_same_cells(hierarchy.partitions_[number], alone.cells_)
        assert np.array_equal(hierarchy.labels_[:, number], alone.labels_)


@given(st.data(), coordinates(max_rows=60), builders())
def test_coarser_cells_can_be_made_of_whole_finer_ones(data, coords, members):
    groups = data.draw(st.none() | groups_of(len(coords)))
    weights = data.draw(st.sampled_from([None, np.arange(len(coords)) % 4 + 1]))
    hierarchy = CellHierarchy(members, nested=True).fit(coords, None, groups, weights)
    finest = clone(members[-1]).fit(coords, None, groups, weights)
    assert_same_cells(hierarchy.partitions_[-1], finest.cells_)
    assert all(hierarchy.is_nested_)
    # No image is without a cell that has one in the finest.
    assert ((hierarchy.labels_ >= 0) == (finest.labels_ >= 0)[:, None]).all()
    for number, parents in enumerate(hierarchy.parents_):
        coarse, fine = hierarchy.labels_[:, number : number + 2].T
        assert np.array_equal(coarse[fine >= 0], parents[fine[fine >= 0]])
    for cells, labels in zip(hierarchy.partitions_, hierarchy.labels_.T, strict=True):
        assert np.array_equal(cells.assign(coords, groups, outside="noise"), labels)
        firsts = cells.cell_index.ranges.first_codes(cells.n_cells)
        assert (firsts[1:] > firsts[:-1]).all()


def test_a_table_comes_back_as_a_table_with_its_index():
    hierarchy = CellHierarchy([{"min_images": 100}, {"min_images": 20}]).fit(COORDS)
    rows = pd.DataFrame({"lat": COORDS[:5, 0], "lon": COORDS[:5, 1]}, index=list("abcde"))
    answer = hierarchy.assign(rows)
    assert answer.index.tolist() == list("abcde")
    assert answer.columns.tolist() == ["partition_0", "partition_1"]
    assert np.array_equal(answer.to_numpy(), hierarchy.labels_[:5])
    assert np.array_equal(hierarchy.predict(COORDS), hierarchy.labels_)
    fitted = clone(hierarchy).fit_predict(rows)
    assert fitted.index.tolist() == list("abcde")


# ------------------------------------------------------------------------------------------- parents


@given(coordinates(max_rows=100), st.integers(1, 5))
def test_isn_partitions_are_nested(coords, min_images):
    hierarchy = isn(50, 20, 10, min_images=min_images).fit(coords)
    assert hierarchy.is_nested_ == [True, True]
    for level, parents in enumerate(hierarchy.parents_):
        inside = hierarchy.labels_[:, level + 1] >= 0
        fine, coarse = hierarchy.labels_[inside, level + 1], hierarchy.labels_[inside, level]
        assert np.array_equal(parents[fine], coarse)


@given(st.data(), coordinates(max_rows=100), st.integers(1, 10))
def test_top_down_partitions_are_nested(data, coords, min_images):
    groups = data.draw(st.none() | groups_of(len(coords)))
    members = [{"min_images": n * min_images, "method": "top_down"} for n in (4, 1)]
    hierarchy = CellHierarchy(members).fit(coords, groups=groups)
    (parents,) = hierarchy.parents_
    assert np.array_equal(parents[hierarchy.labels_[:, 1]], hierarchy.labels_[:, 0])
    coarse, fine = hierarchy.partitions_
    assert (coarse.levels[parents] <= fine.levels).all()


def test_partitions_that_are_not_nested_have_no_parents():
    # The finer partition comes first: its cells cannot hold those of the coarser one.
    hierarchy = isn(20, 200).fit(COORDS)
    assert hierarchy.parents_ == [None]
    assert hierarchy.is_nested_ == [False]


def test_a_cell_that_reaches_beyond_every_parent_is_not_nested():
    # Left to "nearest", a place short of images joins a neighbour, on one level but not on the other.
    hierarchy = CellHierarchy([{"min_images": 60}, {"min_images": 7}]).fit(COORDS)
    assert hierarchy.is_nested_ == [False]


# --------------------------------------------------------------------------------- building and files


def test_builders_with_other_root_boxes_are_refused():
    with pytest.raises(ValueError, match="must share their root box"):
        CellHierarchy([{"bounds": (40, 0, 60, 20)}, {"bounds": (40, 0, 60, 21)}]).fit(COORDS)


@pytest.mark.parametrize(
    ("members", "error", "message"),
    [
        ([], ValueError, "at least one partition"),
        ({"min_images": 5}, TypeError, "must be a list of CellBuilders"),
        ("bottom_up", TypeError, "must be a list of CellBuilders"),
        ([200, 100], TypeError, "number 0 is 200"),
        ([{"min_pictures": 5}], TypeError, "min_pictures"),
        ([{"min_images": 0}], ValueError, "min_images must be at least 1"),
    ],
)
def test_unsound_builders_are_refused(members, error, message):
    with pytest.raises(error, match=message):
        CellHierarchy(members).fit(COORDS)


@pytest.mark.parametrize("call", ["assign", "predict", "intersections", "save"])
def test_asking_before_fitting_is_refused(call, tmp_path):
    arguments = {"intersections": [], "save": [tmp_path / "h.parquet"]}.get(call, [COORDS])
    with pytest.raises(NotFittedError, match=r"call fit\(coords\) first"):
        getattr(CellHierarchy([{}]), call)(*arguments)


@given(st.data(), coordinates(max_rows=60), builders())
def test_what_is_loaded_equals_what_was_saved(tmp_path_factory, data, coords, members):
    groups = data.draw(st.none() | groups_of(len(coords)))
    hierarchy = CellHierarchy(members).fit(coords, groups=groups)
    if any(not cells.n_cells for cells in hierarchy.partitions_):
        return
    path = hierarchy.save(tmp_path_factory.mktemp("cells") / "hierarchy.parquet")
    loaded = CellHierarchy.load(path)
    for one, other in zip(loaded.partitions_, hierarchy.partitions_, strict=True):
        assert_same_cells(one, other)
        assert one.parameters == other.parameters
    assert loaded.is_nested_ == hierarchy.is_nested_
    elsewhere = data.draw(coordinates(max_rows=20))
    assert np.array_equal(loaded.assign(elsewhere), hierarchy.assign(elsewhere))


def test_the_file_is_geoparquet_with_a_column_for_the_partition(tmp_path):
    hierarchy = isn(200, 50).fit(COORDS)
    path = hierarchy.save(tmp_path / "hierarchy.parquet")
    table = gpd.read_parquet(path)
    assert table.crs == 4326
    n_cells = [cells.n_cells for cells in hierarchy.partitions_]
    assert table["partition"].value_counts().sort_index().tolist() == n_cells
    assert len(json.loads(pq.read_schema(path).metadata[b"geocells"])["partitions"]) == 2
    assert [each.name for each in tmp_path.iterdir()] == ["hierarchy.parquet"]


def test_what_is_no_hierarchy_is_refused(tmp_path):
    single = CellBuilder(20).fit(COORDS).cells_.save(tmp_path / "cells.parquet")
    with pytest.raises(ValueError, match="holds one partition; read it with load_cells"):
        CellHierarchy.load(single)
    with pytest.raises(FileNotFoundError):
        CellHierarchy.load(tmp_path / "nothing.parquet")


def test_a_loaded_hierarchy_knows_no_images(tmp_path):
    loaded = CellHierarchy.load(isn(200).fit(COORDS).save(tmp_path / "hierarchy.parquet"))
    with pytest.raises(
        ValueError, match=r"knows no images: use CellIntersections\.from_partitions"
    ):
        loaded.intersections()
