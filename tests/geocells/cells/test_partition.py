from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from partitions import consolidated
from strategies import coordinates, groups_of

from geocells import CellBuilder, CellPartition, GeocellsWarning, sphere
from geocells.cells import nearest_points

# Two cells, 0 around (1, 1) and 1 around (7, 7), in a box with two empty quarters.
HAND = np.array([(1.0, 1.0)] * 3 + [(7.0, 7.0)] * 3)


def by_hand(**options: object) -> CellPartition:
    return consolidated(3, bounds=(0, 0, 8, 8), min_cell_size=4, **options).fit(HAND).cells_


# ------------------------------------------------------------------------------------------- assign


def test_a_coordinate_in_a_cell_gets_that_cell():
    assert by_hand().assign([(0, 0), (3.9, 3.9), (4, 4), (8, 8)]).tolist() == [0, 0, 1, 1]
    assert by_hand().assign(4, 4) == 1


def test_far_from_every_cell_the_answer_is_as_outside_says():
    # The first two lie in the empty quarters of the box, on either side of the line between the centroids.
    elsewhere = [(3.5, 4.1), (7.9, 3.9), (-80, 0), (80, 10)]
    assert by_hand().assign(elsewhere).tolist() == [0, 1, 0, 1]
    some = [(1, 1), (1, 7), (50, 50)]
    assert by_hand(outside="noise").assign(some).tolist() == [0, -1, -1]
    cells = by_hand(outside="raise")
    told = r"No cell holds 2 of 3 coordinates \(first: row 1, latitude 1\.0, longitude 7\.0\)\. Use outside="
    with pytest.raises(ValueError, match=told):
        cells.assign(some)
    # The caller's choice goes before that of the partition.
    assert cells.assign([(50, 50)], outside="noise").tolist() == [-1]
    assert cells.assign([(50, 50)], outside="nearest").tolist() == [1]
    with pytest.raises(ValueError, match="outside must be one of"):
        cells.assign([(50, 50)], outside="drop")


@given(coordinates(max_rows=60), coordinates(max_rows=60))
def test_outside_every_cell_no_other_centroid_is_nearer(coords, elsewhere):
    cells = consolidated(5, min_cell_size=1.0).fit(coords).cells_
    labels = cells.assign(elsewhere)
    assert ((labels >= 0) & (labels < cells.n_cells)).all()
    lost = cells.assign(elsewhere, outside="noise") < 0
    if lost.any():
        km = sphere.haversine_matrix(elsewhere[lost], cells.centroids)
        chosen = np.take_along_axis(km, labels[lost][:, None], axis=1)[:, 0]
        # Nearness is decided by chords between vectors good to 5e-14, which are short of telling apart points near
        # the antipode: there a chord changes by 1e-13 within a metre.
        assert (chosen <= km.min(axis=1) + 1e-2).all()


@given(st.data(), coordinates(max_rows=80))
def test_groups_are_answered_by_their_own_cells(data, coords):
    groups = data.draw(groups_of(len(coords)))
    cells = consolidated(3).fit(coords, groups=groups).cells_
    elsewhere = data.draw(coordinates(max_rows=30))
    asked = np.random.default_rng(0).choice(sorted(set(groups)), size=len(elsewhere))
    assert (cells.groups[cells.assign(elsewhere, asked)] == asked).all()


def test_an_unknown_group_is_answered_from_all_cells_and_told():
    coords, groups = [(47.0, 8.0), (59.0, 18.0)], ["CH", "SE"]
    cells = consolidated(1).fit(coords, groups=groups).cells_
    asked = [(59.1, 18.0), (47.1, 8.0), (47.1, 8.0)], ["CH", "FI", "NO"]
    told = r"2 of 3 rows are of groups that no cells have \(first: row 1, 'FI'\)"
    with pytest.warns(GeocellsWarning, match=told) as warned:
        assert cells.assign(*asked).tolist() == [0, 0, 0]
    assert warned[0].filename == __file__
    with pytest.warns(GeocellsWarning, match=told):
        assert cells.assign(*asked, outside="noise").tolist() == [-1, -1, -1]
    with pytest.raises(ValueError, match=told):
        cells.assign(*asked, unknown_group="raise")
    with pytest.raises(ValueError, match="unknown_group must be one of"):
        cells.assign(*asked, unknown_group="drop")


def test_without_groups_the_nearest_of_the_cells_that_hold_a_place_answers():
    # Both groups' boxes hold (5, 5); the centroids are (2, 2) and (8, 8).
    coords = [(0.0, 0.0), (4.0, 4.0), (10.0, 10.0), (6.0, 6.0)]
    groups = ["A", "A", "B", "B"]
    bounds = (0.0, 0.0, 10.0, 10.0)
    cells = consolidated(2, bounds=bounds, min_cell_size=10).fit(coords, groups=groups).cells_
    assert cells.assign([(4.0, 4.0), (6.0, 6.0)]).tolist() == [0, 1]
    assert cells.assign([(4.0, 4.0), (6.0, 6.0)], ["B", "A"]).tolist() == [1, 0]


def test_without_groups_a_place_is_held_by_the_cells_of_any_group():
    # A wide cell of one group, a crowd of the other beside it: its centroid is nearer to some places of the wide cell.
    wide = [(0.0, 0.0), (0.0, 39.0)]
    crowd = [(0.0, 40.0), (0.0, 41.0)]
    builder = CellBuilder(2, method="top_down").fit(wide + crowd, groups=["A", "A", "B", "B"])
    cells = builder.cells_
    assert cells.assign(wide + crowd, outside="noise").tolist() == builder.labels_.tolist()
    assert cells.assign([(0.0, 39.0)]).tolist() == [builder.labels_[1]]
    assert cells.assign([(80.0, 39.0)], outside="noise").tolist() == [-1]


def test_without_groups_a_place_that_no_cell_of_one_group_holds_is_held_by_another():
    # (1, 7) lies in an empty quarter of group A's box.
    coords, groups = [*HAND, *[(1.0, 7.0)] * 3], [*"AAAAAABBB"]
    builder = consolidated(3, bounds=(0, 0, 8, 8), min_cell_size=4).fit(coords, groups=groups)
    assert builder.cells_.assign([(1.0, 7.0)], outside="noise").tolist() == [builder.labels_[-1]]


def test_of_cells_of_several_groups_with_one_centroid_the_first_answers():
    coords = [(47.0, 8.0)] * 4
    cells = CellBuilder(2, method="top_down").fit(coords, groups=["A", "A", "B", "B"]).cells_
    assert cells.n_cells == 2
    assert cells.assign([(47.0, 8.0)]).tolist() == [0]


def test_rows_with_groups_are_answered_from_cells_without_any():
    centroids, coords = np.array([(0.0, 0.0), (0.0, 9.0)]), np.array([(0.0, 8.0), (0.0, 1.0)])
    groups = np.array([0, 1])
    assert nearest_points(coords, centroids, groups, None).tolist() == [1, 0]
    assert nearest_points(coords, centroids, None, groups).tolist() == [1, 0]
    assert nearest_points(coords, centroids, groups, groups).tolist() == [0, 1]


def test_of_points_equally_near_the_first_answers():
    assert nearest_points(np.zeros((1, 2)), np.array([(0.0, 9.0), (0.0, -9.0)]), None, None) == [0]


def test_groups_are_refused_by_cells_built_without_them():
    with pytest.raises(ValueError, match="built without groups: leave groups out"):
        by_hand().assign([(1, 1)], ["CH"])


def test_no_coordinates_get_no_labels():
    labels = by_hand().assign(np.empty((0, 2)))
    assert labels.shape == (0,)
    assert labels.dtype == np.int64
    series = by_hand().assign(pd.DataFrame({"lat": [], "lon": []}))
    assert isinstance(series, pd.Series)


# ------------------------------------------------------------------------------------- the object


def test_cells_are_frozen():
    cells = by_hand()
    assert np.array_equal(cells.locations, cells.centroids)
    for array in (
        cells.centroids, cells.locations, cells.counts, cells.levels, cells.ranges.starts,
        cells.medoids, cells.modes,
    ):  # fmt: skip
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    with pytest.raises(AttributeError):
        cells.outside = "noise"
    assert (cells == "cells") is False


def test_text_says_how_many_cells_and_images():
    cells = by_hand()
    assert cells.groups is None
    assert len(cells) == cells.n_cells == 2
    assert repr(cells) == "<CellPartition consolidated: 2 cells, 6 images, 3 to 3 a cell>"
    none = dataclasses.replace(cells, counts=np.empty(0, dtype=np.int64))
    assert repr(none) == "<CellPartition consolidated: no cells>"
    grouped = consolidated(1).fit([(1, 1), (2, 2)], groups=["A", "B"]).cells_
    assert "2 groups" in repr(grouped)
