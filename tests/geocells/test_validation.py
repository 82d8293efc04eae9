from __future__ import annotations

from functools import partial

import geopandas as gpd
import numpy as np
import pandas as pd
import polars as pl
import pytest
import shapely
from sklearn.cluster import KMeans

from geocells import CellBuilder, ClusteredCells, LatLonGrid, RegionCells
from geocells.validation import (
    check_choice,
    check_coords,
    check_count,
    check_positive,
    check_sample_weight,
    number_groups,
)

GOOD = [(47.3769, 8.5417), (59.3293, 18.0686), (46.9, 7.4)]


# ------------------------------------------------------------------------------------------ refused


NAN, INF = float("nan"), float("inf")
FRAME = pd.DataFrame(GOOD, columns=["lat", "lon"])
FINITE = r"coords must be finite; 1 of 3 rows hold NaN or infinity .first: row 1, latitude "
PAIR = r"coords must hold a latitude and a longitude in every row; 1 of 3 rows miss one .first: row 1, "
SHAPE = r"one .latitude, longitude. pair per row, shape .n, 2.; got shape"
NUMBERS = r"coords must hold numbers, latitude and longitude in degrees; row 1 holds "
WEIGHT = r"sample_weight says how many .* of at least 0; 1 of 3 rows do not .first: row 1, "
MASKED = np.ma.masked_equal([1, 2, 3], 2)


def row_1(*point: object) -> list:
    return [GOOD[0], point, GOOD[2]]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"coords": row_1(NAN, 8.0)}, FINITE + "nan, longitude 8.0.*Drop those rows"),
        ({"coords": row_1(47.0, -INF)}, FINITE + "47.0, longitude -inf.*Drop those rows"),
        ({"coords": row_1(95.0, 120.0)}, r"Latitude must lie in .-90, 90.*row 1, 95\)\. Correct or remove"),
        ({"coords": row_1(95.0, 8.0)}, r"Latitude must lie in .-90, 90.*row 1, 95\).*swapped\?"),
        ({"coords": row_1(10.0, 200.0)}, r"Longitude must lie .*row 1, 200\).*subtract 360"),
        ({"coords": np.array(row_1("47 N", 8.0), dtype=object)}, NUMBERS + r"\['47 N' 8.0\].*Correct or drop"),
        ({"coords": np.array(row_1({}, 8.0), dtype=object)}, NUMBERS + r"\[{} 8.0\].*Correct or drop"),
        ({"coords": row_1("46,5", "8")}, NUMBERS + r"\['46,5' '8'\].*Correct or drop"),
        ({"coords": row_1(None, 8.0)}, PAIR + r"\[None, 8.0\]\). Drop those rows"),
        ({"coords": row_1(47.0, pd.NA)}, PAIR + r"\[47.0, <NA>\]\). Drop those rows"),
        ({"coords": np.ma.masked_equal(row_1(0.5, 8.0), 0.5)}, PAIR + r"\[None, 8.0\]\). Drop those rows"),
        ({"coords": 47.0}, SHAPE),
        ({"coords": np.zeros((2, 3, 2))}, SHAPE),
        ({"coords": row_1(3.0)}, r"one .latitude, longitude. pair per row; row 1 holds \(3.0,\). Correct or drop"),
        ({"coords": FRAME.rename(columns={"lon": "lat"})}, "has the column 'lat' twice. Rename one"),
        ({"coords": FRAME.assign(LAT=1.0)}, r"2 columns that may hold the latitude, .* Leave out all but"),
        ({"coords": FRAME.rename(columns={"lon": "east"})}, r"columns; it has \['lat', 'east'\]. Rename them"),
        ({"coords": FRAME[:0]}, "coords holds no rows .* at least one image"),
        ({"coords": "photos.csv"}, "coords must hold .* got 'photos.csv'. Read files first"),
        ({"coords": None}, "coords must hold .* got None"),
        ({"coords": {"lat": 1.0}}, "coords must hold .* got {'lat': 1.0}"),
        ({"feats": [[1.0], [NAN], [2.0]]}, "Features must be finite .*row 1 is not. Drop that row"),
        ({"feats": [[1.0], [None], [2.0]]}, r"feats must hold .*first: row 1, \[None\]\). Drop those rows"),
        ({"feats": MASKED[:, None]}, r"feats must hold .*first: row 1, \[None\]\). Drop those rows"),
        ({"feats": [[1.0]]}, "one row for each of the 3 coordinates; got 1 rows"),
        ({"feats": np.zeros(3)}, "one feature vector per row"),
        ({"feats": np.zeros((3, 0))}, "one feature vector per row"),
        ({"feats": [["a"], ["b"], ["c"]]}, "real numbers"),
        ({"feats": np.zeros((3, 1), dtype=complex)}, "real numbers"),
        *[
            ({"groups": ["CH", missing, "SE"]}, r"needs a group; 1 of 3 .*first: row 1, .*Drop those rows or name")
            for missing in (None, NAN, pd.NA, pd.NaT)
        ],
        *[
            ({"groups": groups}, r"one group per row, shape \(3,\) like coords; got shape")
            for groups in (["CH", "SE"], ["CH"] * 4, [["CH"], ["CH"], ["SE"]])
        ],
        *[
            ({"groups": pd.Series(groups, dtype=object)}, "all strings or all numbers")
            for groups in ([("CH", 1)] * 3, list(pd.date_range("2020", periods=3)), [b"CH"] * 3)
        ],
        ({"groups": MASKED}, r"needs a group; .*first: row 1, None\). Drop those rows or name"),
        ({"groups": ["CH", 5, "SE"]}, "all strings or all numbers.* the first being 'CH'. Make them text"),
        ({"sample_weight": [1, -1, 1]}, WEIGHT + r"-1.0\). Drop those rows, or give them 0"),
        ({"sample_weight": [1, NAN, 1]}, WEIGHT + r"nan\). Drop those rows, or give them 0"),
        ({"sample_weight": [1, INF, 1]}, WEIGHT + r"inf\). Drop those rows, or give them 0"),
        ({"sample_weight": MASKED}, r"sample_weight must hold .*first: row 1, None\). Drop those rows"),
        ({"sample_weight": ["1", "x", "1"]}, "sample_weight must hold numbers; row 1 holds x .*Correct or drop"),
        ({"sample_weight": [0, 0, 0]}, "zero everywhere: no image is left"),
        ({"sample_weight": [1, 2]}, r"one number per row, shape \(3,\) like coords; got shape \(2,\)"),
        ({"sample_weight": [[1], [2], [3]]}, r"one number per row.*got shape \(3, 1\)"),
        *[
            ({"sample_weight": [1, most, 0.5]}, r"more than 2\*\*40 images .most: row 1, .*; scale it down")
            for most in (2**40, 2**63, 10**300)
        ],
    ],
)  # fmt: skip
def test_unsound_input_is_refused_with_its_row_its_value_and_the_remedy(given, message):
    with pytest.raises((ValueError, TypeError), match=message):
        CellBuilder(1).fit(**{"coords": GOOD, **given})


@pytest.mark.parametrize(
    ("builder", "error", "message"),
    [
        (CellBuilder(0), ValueError, "min_images must be at least 1; got 0"),
        (CellBuilder(2**63), ValueError, "min_images must be below 2"),
        (CellBuilder("200"), TypeError, "min_images must be an integer"),
        (CellBuilder(max_images=2**70, method="top_down"), ValueError, "max_images must be below 2"),
        (CellBuilder(max_images=0, method="top_down"), ValueError, "max_images must be at least 1"),
        (CellBuilder(6, max_images=5, method="top_down"), ValueError, "at least min_images; got 5 < 6"),
        (CellBuilder(max_images=500), ValueError, "max_images belongs to method=\"top_down\""),
        (CellBuilder(min_cell_size=0), ValueError, "min_cell_size must be a finite number of degrees above 0"),
        (CellBuilder(min_cell_size="small"), TypeError, "min_cell_size must be a finite number of degrees"),
        (CellBuilder(method="bottom-up"), ValueError, "method must be one of .*'top_down'.*got 'bottom-up'"),
        (CellBuilder(leftover="drop"), ValueError, "leftover must be one of 'nearest', 'cell', 'noise'; got 'drop'"),
        (CellBuilder(outside="error"), ValueError, "outside must be one of 'nearest', 'noise', 'raise'"),
        (CellBuilder(location="median"), ValueError, "location must be one of 'mean', 'medoid', 'mode'; got 'median'"),
        (CellBuilder(competition="none"), ValueError, "competition must be one of"),
        (CellBuilder(rank_by="entropy"), ValueError, "rank_by must be one of"),
        (CellBuilder(overlap=3), ValueError, "overlap must be one of"),
        (CellBuilder(overlap=0), ValueError, "overlap must be at least 1"),
        (CellBuilder(grid="hexagons"), ValueError, "grid must be one of"),
        (CellBuilder(grid=5), TypeError, "grid must be"),
        (CellBuilder(grid="s2", bounds=(0, 0, 1, 1)), ValueError, "covers the globe"),
        (CellBuilder(grid=LatLonGrid(), bounds=(0, 0, 1, 1)), ValueError, "leave bounds out"),
        (CellBuilder(grid=LatLonGrid(max_level=0)), ValueError, "needs leaves 1 levels below"),
        (CellBuilder(bounds=(47.0, 8.0)), ValueError, "bounds must be"),
        (ClusteredCells("kmedoids"), ValueError, "clusterer must be one of"),
        (ClusteredCells(8), TypeError, "clusterer must have fit_predict"),
        (ClusteredCells(KMeans), TypeError, "clusterer must have fit_predict"),
        (ClusteredCells(alpha=1.5), ValueError, r"alpha must lie in \[0, 1\].*got 1.5"),
        (ClusteredCells(alpha=NAN), ValueError, r"alpha must lie in \[0, 1\]"),
        (ClusteredCells(alpha="half"), TypeError, "alpha must be a number"),
        *[
            (kind(**{name: value}), ValueError, f"{name} must be {words}")
            for kind in (ClusteredCells, partial(RegionCells, [shapely.box(0, 0, 9, 60)]))
            for name, value, words in (
                ("min_images", 0, "at least 1"), ("location", "middle", "one of"), ("outside", "drop", "one of"),
            )
        ],
    ],
)  # fmt: skip
def test_unsound_parameters_are_refused_when_fitting(builder, error, message):
    with pytest.raises(error, match=message):
        builder.fit(GOOD)
    assert not hasattr(builder, "labels_")


def test_swapped_columns_are_suspected_when_every_bad_row_would_fit_the_other_way_round():
    tokyo_swapped = [(139.69, 35.68), (47.0, 8.0), (151.2, -33.9)]
    swapped = r"2 of 3 rows do not \(first: row 0, 139\.69\)\. Are latitude and longitude swapped"
    with pytest.raises(ValueError, match=swapped):
        check_coords(tokyo_swapped)


def test_the_first_of_many_bad_rows_is_named():
    coords = np.zeros((200, 2))
    coords[[77, 150, 199]] = (91.0, 0.0)
    with pytest.raises(ValueError, match=r"3 of 200 rows do not \(first: row 77, 91\)"):
        check_coords(coords)


@pytest.mark.parametrize(
    ("geometry", "kind"),
    [(None, "nothing"), (shapely.Point(), "an empty point"), (shapely.box(0, 0, 1, 1), "Polygon")],
)
def test_geometries_that_are_no_points_are_refused_with_their_row(geometry, kind):
    points = gpd.GeoSeries([shapely.Point(8, 47), geometry], crs=4326)
    with pytest.raises(ValueError, match=f"1 of 2 rows do not .first: row 1, {kind}"):
        check_coords(points)


# ------------------------------------------------------------------------------------------ accepted


@pytest.mark.parametrize(
    "coords",
    [
        GOOD,
        tuple(GOOD),
        np.array(GOOD, dtype=np.float32).astype(object),
        np.array(GOOD)[:, ::-1][:, ::-1],
        np.asfortranarray(GOOD),
        [[str(value) for value in row] for row in GOOD],
        pd.DataFrame(GOOD, columns=["Latitude", "LONGITUDE"]),
        pd.DataFrame(GOOD, columns=["LAT", "LON"]).assign(path="x.jpg"),
        pd.DataFrame(GOOD, columns=["lat", "lng"]).iloc[:, ::-1],
        pd.DataFrame(GOOD),
        pl.DataFrame(np.array(GOOD)),
        [shapely.Point(lon, lat) for lat, lon in GOOD],
        pd.DataFrame(GOOD, columns=["y", "x"], dtype="Float64"),
        pd.DataFrame(GOOD, columns=["decimalLatitude", "decimalLongitude"]).assign(y="47 N"),
    ],
)  # fmt: skip
def test_coordinates_come_from_anything_that_holds_them(coords):
    checked = check_coords(coords)
    assert checked.array.dtype == np.float64
    assert checked.array.flags.c_contiguous
    # One of them travelled as float32, good to 1e-7 of the value.
    assert checked.array == pytest.approx(np.array(GOOD), rel=1e-7)


def test_extremes_are_the_least_and_greatest():
    assert check_coords(GOOD).extremes == (46.9, 7.4, 59.3293, 18.0686)


@pytest.mark.parametrize("crs", [4326, 3857, 2056, 8857])
@pytest.mark.parametrize("as_frame", [False, True])
def test_points_of_any_reference_system_become_latitude_and_longitude(crs, as_frame):
    swiss = [(47.3769, 8.5417), (46.9, 7.4)]
    points = gpd.GeoSeries([shapely.Point(lon, lat) for lat, lon in swiss], crs=4326).to_crs(crs)
    coords = check_coords(gpd.GeoDataFrame(geometry=points) if as_frame else points)
    # There and back again through a projection: PROJ iterates to about 1e-11 degrees; the Swiss grid's change of
    # datum is good to a millimetre, 1e-8 degrees.
    assert coords.array == pytest.approx(np.array(swiss), abs=1e-7)


def test_points_without_a_reference_system_are_taken_as_longitude_latitude():
    points = gpd.GeoSeries([shapely.Point(8.5, 47.4)])
    assert check_coords(points).array.tolist() == [[47.4, 8.5]]


def test_edges_of_the_globe_are_on_it():
    edges = [(90.0, 180.0), (-90.0, -180.0), (90.0, -180.0), (0.0, 0.0), (-0.0, -0.0)]
    assert check_coords(edges).array.tolist() == [list(edge) for edge in edges]


# -------------------------------------------------------------------------------- groups and weights


def test_groups_are_numbered_in_order():
    numbers, names = number_groups(np.array(["SE", "CH", "SE"], dtype=object))
    assert numbers.tolist() == [1, 0, 1]
    assert names.tolist() == ["CH", "SE"]


def test_groups_are_kept_as_plain_python_values():
    _, names = number_groups(np.array([np.int64(3), np.int64(1)], dtype=object))
    assert [type(name) for name in names] == [int, int]


def test_sound_weights_become_whole_units():
    assert check_sample_weight(None, 3) == (None, 0)
    weights, bits = check_sample_weight([1.0, 0, True], 3)
    assert weights.dtype == np.int64
    assert (weights.tolist(), bits) == ([1, 0, 1], 0)
    assert check_sample_weight(2, 3)[0].tolist() == [2, 2, 2]
    weights, bits = check_sample_weight([0.5, 1.0, 2.0], 3)  # 3.5 images are less than 2**2
    assert (weights.tolist(), bits) == ([2**33, 2**34, 2**35], 34)
    for scale in (1e-300, 0.1, 1e6):
        weights, bits = check_sample_weight([scale, scale / 3, 0.0], 3)
        assert 2**34 <= weights.sum() < 2**36
        np.testing.assert_allclose(np.ldexp(weights, -bits), [scale, scale / 3, 0.0], rtol=1e-9)


def test_parts_of_a_table_take_whole_weights_alone():
    assert check_sample_weight([0, 0], 2, is_part=True)[0].tolist() == [0, 0]
    with pytest.raises(ValueError, match=r"must be whole .* row 1, 0.5\). Round them"):
        check_sample_weight([0, 0.5], 2, is_part=True)


# ------------------------------------------------------------------------------------------ scalars


@pytest.mark.parametrize(
    ("error", "values"),
    [(ValueError, [0, -1]), (TypeError, [1.0, True, np.bool_(True), "1", None])],
)
def test_counts_are_whole_numbers_of_at_least_one(error, values):
    for value in values:
        with pytest.raises(error, match=r"n must be .*at least 1.* got ") as raised:
            check_count(value, "n")
        assert repr(value) in str(raised.value)


@pytest.mark.parametrize("value", [1, np.int32(1), np.uint64(1)])
def test_sound_counts_become_python_integers(value):
    assert type(check_count(value, "n")) is int


@pytest.mark.parametrize(
    ("error", "values"), [(ValueError, [0, -0.5, NAN, INF]), (TypeError, [True, "1", 1j])]
)
def test_positive_numbers_are_finite_and_above_0(error, values):
    for value in values:
        with pytest.raises(error, match=r"size must be a finite number of degrees above 0; got"):
            check_positive(value, "size", "degrees")


def test_sound_positive_numbers_become_floats():
    assert check_positive(np.float32(0.5), "size", "degrees") == 0.5
    assert type(check_positive(2, "size", "degrees")) is float


def test_a_choice_is_one_of_the_words():
    assert check_choice("a", "letter", ("a", "b")) == "a"
    with pytest.raises(ValueError, match="letter must be one of 'a', 'b'; got 'c'"):
        check_choice("c", "letter", ("a", "b"))
