from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from naive import distance_km
from sklearn.cluster import KMeans
from strategies import coordinates

from geocells import CellBuilder, sphere
from geocells.quality import RADII_KM, Report, gini, report

KM = 180.0 / (np.pi * sphere.EARTH_RADIUS_KM)
"""Degrees of latitude in a kilometre."""


@pytest.fixture(autouse=True)
def _closes_figures():
    yield
    plt.close("all")


def by_hand(**options: object) -> Report:
    """Three cells: four images up to 100 km north of their location, one on its own, none; one image in no cell."""
    kms = [0.0, 1.0, 20.0, 100.0]
    coords = np.array([*((km * KM, 0.0) for km in kms), (10.0, 50.0), (70.0, 70.0)])
    labels = np.array([0, 0, 0, 0, 1, -1])
    locations = np.array([(0.0, 0.0), (10.0, 50.0), (20.0, 0.0)])
    return report(coords, labels, locations, **options)


def test_images_are_counted_in_cells_and_out_of_them():
    result = by_hand()
    assert (result.n_cells, result.n_images, result.n_without_cell) == (3, 6, 1)
    assert result.images_per_cell.tolist() == [4, 1, 0]


def test_the_oracle_is_right_within_the_radius_the_border_included():
    result = by_hand()
    assert result.oracle(result.distances_km[1]) == 3 / 6
    assert result.oracle(0.5) == 2 / 6
    assert result.oracle(25) == 4 / 6
    assert result.oracle(200) == 5 / 6
    assert result.oracle(2500) == 5 / 6  # the image without a cell is never found


def test_images_in_short_cells_are_counted_by_what_the_cells_were_built_from():
    assert by_hand().n_short is None
    assert by_hand(min_images=2).n_short == 1
    assert by_hand(min_images=2, counts=np.array([1, 5, 5])).n_short == 4


def test_the_radius_of_a_cell_holds_nine_tenths_of_its_images():
    radii = by_hand().cell_radius_km
    assert radii[:2] == pytest.approx([100.0, 0.0], abs=1e-9)
    assert np.isnan(radii[2])
    ten = np.array([(k * KM, 0.0) for k in range(1, 11)])
    result = report(ten, np.zeros(10, dtype=np.int64), np.zeros((1, 2)))
    assert result.cell_radius_km == pytest.approx([9.0])


@pytest.mark.parametrize(
    ("counts", "expected"), [([5, 5, 5], 0.0), ([0, 0, 0, 8], 0.75), ([1, 3], 0.25), ([7], 0.0)]
)
def test_gini_of_counts_worked_by_hand(counts, expected):
    assert gini(np.array(counts)) == pytest.approx(expected)


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=30))
def test_gini_is_half_the_mean_difference_relative_to_the_mean(counts):
    result = gini(np.array(counts))
    if not any(counts):
        assert np.isnan(result)
        return
    n, mean = len(counts), sum(counts) / len(counts)
    assert result == pytest.approx(
        sum(abs(a - b) for a in counts for b in counts) / (2 * n * n * mean)
    )


def test_wcss_is_the_inertia_of_kmeans():
    rng = np.random.default_rng(0)
    feats = rng.normal(size=(200, 5)).astype(np.float32)
    model = KMeans(4, n_init=1, random_state=0).fit(feats)
    result = report(
        rng.uniform(0, 1, (200, 2)), model.labels_.astype(np.int64), np.zeros((4, 2)), feats
    )
    assert result.wcss.sum() == pytest.approx(model.inertia_, rel=1e-5)
    assert result.wcss_per_image == pytest.approx(model.inertia_ / 200, rel=1e-5)
    assert result.wcss_unit == "features²"


def test_wcss_of_coordinates_is_in_square_kilometres():
    coords = np.array([(0.0, 0.0), (2.0 * KM, 0.0)])
    result = report(coords, np.zeros(2, dtype=np.int64), np.zeros((1, 2)))
    assert result.wcss_per_image == pytest.approx(1.0, rel=1e-6)
    assert result.wcss_unit == "km²"


@given(coordinates(max_rows=60), st.integers(1, 12))
def test_a_partition_reports_what_its_images_tell_one_by_one(coords, min_images):
    builder = CellBuilder(min_images, method="top_down", min_cell_size=1.0).fit(coords)
    result = builder.cells_.report(coords)
    assert result.images_per_cell.tolist() == builder.counts_.tolist()
    kms = [
        distance_km(tuple(point), tuple(builder.cells_.locations[label]))
        for point, label in zip(coords, builder.labels_, strict=True)
    ]
    # Near the antipode the formula itself is sure to 0.2 m only.
    assert result.distances_km == pytest.approx(kms, abs=1e-3)
    short = sum(bool(builder.counts_[label] < min_images) for label in builder.labels_)
    assert result.n_short == short
    for radius in RADII_KM:
        if min(abs(km - radius) for km in kms) > 1e-3:
            assert result.oracle(radius) == sum(km <= radius for km in kms) / len(kms)


COORDS = np.random.default_rng(1).normal((47.0, 8.0), 0.3, size=(500, 2))


@pytest.fixture
def measured() -> Report:
    return CellBuilder(40, method="consolidated").fit(COORDS).cells_.report(COORDS)


def test_the_table_holds_every_figure(measured):
    table = measured.frame
    assert table.loc["cells", "value"] == measured.n_cells
    assert table.loc["images per cell, least", "value"] == measured.images_per_cell.min()
    assert table.loc["in cells short of 40 images", "value"] == 0
    assert table.loc["oracle, within 25 km", "value"] == 100 * measured.oracle(25)
    assert table.notna().all().all()


def test_text_and_html_show_the_table(measured):
    text, page = repr(measured), measured._repr_html_()
    for name in measured.frame.index:
        assert name in text
        assert name in page
    assert max(map(len, text.splitlines())) < 90


def test_a_report_of_groups_and_features():
    groups = np.where(COORDS[:, 0] > 47, "north", "south")
    cells = CellBuilder(40, method="consolidated").fit(COORDS, groups=groups).cells_
    with_groups = cells.report(COORDS, np.ones((500, 3)), groups=groups)
    assert with_groups.images_per_cell.tolist() == cells.counts.tolist()
    assert with_groups.wcss_per_image == 0.0
    with pytest.raises(ValueError, match="one row for each of the 500 coordinates; got 4"):
        cells.report(COORDS, np.ones((4, 3)))


def test_images_that_no_cell_takes_make_a_report_all_the_same():
    builder = CellBuilder(40, method="consolidated", outside="noise").fit(COORDS)
    result = builder.cells_.report([(-60.0, 100.0)])
    assert result.n_without_cell == 1
    assert [result.oracle(radius) for radius in RADII_KM] == [0.0] * 5
    assert np.isnan(result.wcss_per_image)
    assert "WCSS per image" in repr(result)
    result.plot()


def test_the_plot_draws_cells_and_the_oracles_curve(measured):
    spread, oracle = measured.plot()
    assert str(measured.n_cells) in spread.get_title()
    curve, marks = oracle.lines
    shares = np.asarray(curve.get_ydata())
    assert (np.diff(shares) >= 0).all()
    assert list(marks.get_ydata()) == [100 * measured.oracle(radius) for radius in RADII_KM]
    assert measured.plot(plt.subplots(1, 2)[1])[0].figure is plt.gcf()
