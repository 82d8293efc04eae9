from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import coordinates, groups_of

from geocells import CellBuilder, CellHierarchy, CellIntersections, LatLonGrid, sphere

COORDS = np.random.default_rng(0).normal((47.0, 8.0), 0.8, size=(600, 2))


def overlapping(**options: object) -> list[CellBuilder]:
    """Partitions of one grid with other windows and thresholds, which are not nested."""
    return [
        CellBuilder(3, overlap=4, **options),
        CellBuilder(5, overlap=1, **options),
        CellBuilder(8, method="consolidated", **options),
    ]


@given(st.data(), coordinates(max_rows=60), st.sampled_from(["nearest", "cell", "noise"]))
def test_fine_classes_are_the_combinations_of_cells_that_images_have(data, coords, leftover):
    groups = data.draw(st.none() | groups_of(len(coords)))
    members = overlapping(leftover=leftover, min_cell_size=0.3)
    hierarchy = CellHierarchy(members).fit(coords, groups=groups)
    combinations = [tuple(row) for row in hierarchy.labels_.tolist()]
    whole = Counter(each for each in combinations if min(each) >= 0)
    if not whole:
        with pytest.raises(ValueError, match="No image lies in a cell of every partition"):
            hierarchy.intersections()
        return
    fine = hierarchy.intersections()
    # One class a combination, with its images; the table says which.
    assert (
        Counter(
            dict(zip(map(tuple, fine.members.tolist()), fine.cells.counts.tolist(), strict=True))
        )
        == whole
    )
    for label, own in zip(fine.labels.tolist(), combinations, strict=True):
        assert (tuple(fine.members[label]) == own) if min(own) >= 0 else label == -1
    held = fine.assign(coords, groups, outside="noise")
    assert np.array_equal(held, fine.labels)


@given(coordinates(max_rows=60), coordinates(max_rows=30))
def test_new_places_lie_in_the_class_of_their_cells(coords, elsewhere):
    hierarchy = CellHierarchy(overlapping(min_cell_size=1.0)).fit(coords)
    fine = hierarchy.intersections()
    labels = fine.assign(elsewhere, outside="noise")
    cells = np.stack([own.assign(elsewhere, outside="noise") for own in hierarchy.partitions_], 1)
    known = {tuple(row): number for number, row in enumerate(fine.members.tolist())}
    assert labels.tolist() == [known.get(tuple(row), -1) for row in cells.tolist()]


def test_a_case_worked_by_hand():
    # Columns against rows of a box cut into quarters: four classes, of which three hold an image.
    grid = LatLonGrid(0, 0, 8, 8, max_level=1)
    coords = np.array([(1, 1)] * 3 + [(1, 7)] * 3 + [(7, 7)] * 4)
    fine_cells = CellBuilder(3, method="top_down", grid=grid).fit(coords).cells_
    one_cell = CellBuilder(8, method="consolidated", grid=grid).fit(coords).cells_
    fine = CellIntersections.from_partitions([one_cell, fine_cells], coords)
    assert len(fine) == 3
    assert fine.members.tolist() == [[0, 0], [0, 1], [0, 2]]
    assert fine.cells.counts.tolist() == [3, 3, 4]


def test_a_class_answers_with_the_mean_of_its_images():
    fine = CellHierarchy(overlapping()).fit(COORDS).intersections()
    for number in range(0, len(fine), 7):
        mean = sphere.spherical_mean(COORDS[fine.labels == number])
        assert sphere.haversine(fine.cells.centroids[number], mean)[0] <= 1e-6


def test_nested_partitions_have_the_finest_cells_as_their_intersections():
    members = [{"min_images": n, "method": "top_down"} for n in (100, 10)]
    hierarchy = CellHierarchy(members).fit(COORDS)
    fine = hierarchy.intersections()
    assert np.array_equal(fine.members[:, 1], np.arange(hierarchy.partitions_[1].n_cells))
    assert np.array_equal(fine.members[:, 0], hierarchy.parents_[0])


def test_partitions_made_apart_combine_as_those_of_a_hierarchy():
    members = overlapping()
    together = CellHierarchy(members).fit(COORDS)
    apart = CellIntersections.from_partitions([each.fit(COORDS).cells_ for each in members], COORDS)
    fine = together.intersections()
    assert np.array_equal(apart.labels, fine.labels)
    assert np.array_equal(apart.members, fine.members)
    assert np.array_equal(apart.cells.centroids, fine.cells.centroids)


def test_partitions_of_other_boxes_or_groups_are_refused():
    one = CellBuilder(5).fit(COORDS).cells_
    other = CellBuilder(5).fit(COORDS + 0.1).cells_
    combine = CellIntersections.from_partitions
    with pytest.raises(ValueError, match="must share their root box"):
        combine([one, other], COORDS)
    with pytest.raises(ValueError, match="groups must be those of the partitions"):
        combine([one], COORDS, groups=["CH"] * len(COORDS))
    with pytest.raises(ValueError, match="at least one partition"):
        combine([], COORDS)
    with pytest.raises(TypeError, match=r"number 1 is 'b.parquet'. Read files by load_cells"):
        combine([one, "b.parquet"], COORDS)


def test_fine_classes_are_cells_that_can_be_saved_and_drawn(tmp_path):
    from geocells import load_cells

    fine = CellHierarchy(overlapping(min_cell_size=0.2)).fit(COORDS).intersections()
    loaded = load_cells(fine.cells.save(tmp_path / "fine.parquet"))
    assert np.array_equal(loaded.assign(COORDS), fine.assign(COORDS))
    assert len(fine.cells.polygons()) == len(fine)
