import json

import geopandas as gpd
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from geoloc_models.countries import country_of, load_countries, read_countries
from geoloc_models.countries.names import country_code
from geoloc_models.errors import GeolocError

# Degrees of latitude per km.
KM = 1 / 111.195


@pytest.fixture(scope="module")
def countries():
    return load_countries()


def squares(**origin_of_code):
    """Countries that are squares of 1 degree, given by their lower left (longitude, latitude)."""
    boxes = [shapely.box(x, y, x + 1, y + 1) for x, y in origin_of_code.values()]
    return gpd.GeoDataFrame(
        {"name": list(origin_of_code)}, geometry=boxes, index=list(origin_of_code), crs=4326
    )


def test_every_country_is_one_row_with_valid_polygons_and_a_name(countries):
    assert countries.index.is_unique
    assert countries.index.is_monotonic_increasing
    assert all(len(code) == 2 and code.isupper() for code in countries.index)
    assert countries.is_valid.all()
    assert set(countries.geom_type) <= {"Polygon", "MultiPolygon"}
    assert (countries["name"].str.len() > 2).all()
    assert list(countries.columns) == ["name", "geometry"]
    assert countries.crs == "EPSG:4326"
    assert 230 < len(countries) < 260


def test_codes_that_natural_earth_lacks_in_its_plain_column_are_there(countries):
    for code, name in {"NO": "Norway", "FR": "France", "XK": "Kosovo", "TW": "Taiwan"}.items():
        assert countries.loc[code, "name"] == name
    assert "-99" not in countries.index
    assert countries.loc["NA", "name"] == "Namibia"
    mine = load_countries()
    mine.loc["SE", "name"] = "changed"
    assert load_countries().loc["SE", "name"] == "Sweden"


def test_neighbours_neither_overlap_nor_leave_gaps(countries):
    alpine = countries.loc[["CH", "AT", "LI", "DE", "FR", "IT"]].geometry.to_numpy()
    assert shapely.coverage_is_valid(alpine)


@pytest.mark.parametrize(
    ("place", "code"),
    [
        ((59.3293, 18.0686), "SE"),  # Stockholm
        ((47.3769, 8.5417), "CH"),  # Zurich
        ((47.141, 9.521), "LI"),  # Vaduz
        ((-29.3151, 27.4869), "LS"),  # Maseru, in a country inside another
        ((-22.5609, 17.0658), "NA"),  # Windhoek: the code that looks like a missing value
        ((-90.0, 0.0), "AQ"),
        ((-16.8, 180.0), "FJ"),  # Taveuni and Vanua Levu, on the antimeridian
        ((-16.8, -180.0), "FJ"),
        ((47.3769, 8.5417 + 360), "CH"),  # beyond 180 degrees
        ((47.3769, 8.5417 - 360), "CH"),
        ((0.0, 0.0), None),
        ((90.0, 0.0), None),
    ],
)
def test_known_places_lie_in_their_country(place, code):
    assert country_of([place]).tolist() == [code]


def test_both_names_of_the_antimeridian_are_the_edge_of_a_country():
    for west_edge in (179, -180):
        edge = squares(EE=(west_edge, 0))
        assert country_of([[0.5, 180.0], [0.5, -180.0]], edge).tolist() == ["EE", "EE"]


def test_a_point_on_a_common_border_belongs_to_the_first_country():
    for codes in (("AA", "BB"), ("BB", "AA")):
        pair = squares(**{codes[0]: (0, 0), codes[1]: (1, 0)})
        assert country_of([[0.5, 1.0]], pair).tolist() == [codes[0]]


def test_a_point_in_a_hole_is_outside():
    ring = shapely.box(0, 0, 3, 3).difference(shapely.box(1, 1, 2, 2))
    frame = gpd.GeoDataFrame({"name": ["ring"]}, geometry=[ring], index=["RR"], crs=4326)
    assert country_of([[1.5, 1.5], [0.5, 0.5]], frame).tolist() == [None, "RR"]


def test_within_the_tolerance_the_nearest_country_answers():
    pair = squares(AA=(0, 0), BB=(2, 0))
    offshore = [[0.5, 1.0 + 3 * KM], [0.5, 2.0 - 3 * KM], [0.5, 1.5]]
    assert country_of(offshore, pair).tolist() == [None, None, None]
    assert country_of(offshore, pair, tolerance_km=5).tolist() == ["AA", "BB", None]
    assert country_of(offshore, pair, tolerance_km=60).tolist()[:2] == ["AA", "BB"]


def test_the_tolerance_is_in_kilometres_at_high_latitudes_too():
    north = squares(NN=(10, 69))
    # At 69.5 degrees north a degree of longitude is 38.9 km: 0.2 degrees are 7.8 km.
    place = [[69.5, 9.8]]
    assert country_of(place, north, tolerance_km=7.7).tolist() == [None]
    assert country_of(place, north, tolerance_km=7.9).tolist() == ["NN"]


def test_the_tolerance_reaches_across_the_antimeridian():
    east = squares(EE=(-180, 0))
    assert country_of([[0.5, 180 - 3 * KM]], east, tolerance_km=4).tolist() == ["EE"]
    assert country_of([[0.5, 180 - 3 * KM]], east, tolerance_km=2).tolist() == [None]


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.floats(-90, 90), st.floats(-180, 180)), min_size=1, max_size=20))
def test_the_tree_finds_what_a_loop_over_all_polygons_finds(places):
    countries = load_countries()
    found = country_of(places)
    for (latitude, longitude), code in zip(places, found, strict=True):
        point = shapely.Point(longitude, latitude)
        holders = list(countries.index[countries.geometry.intersects(point)])
        if abs(longitude) == 180:  # the other name of the meridian may be inside
            other = shapely.Point(-longitude, latitude)
            holders = sorted(holders + list(countries.index[countries.geometry.intersects(other)]))
        assert code == (holders[0] if holders else None)


def test_no_coordinates_give_no_countries_and_other_systems_are_converted():
    assert country_of(np.empty((0, 2)), tolerance_km=5).shape == (0,)
    assert country_of([]).shape == (0,)
    projected = squares(AA=(10, 50)).to_crs("EPSG:3857")
    assert country_of([[50.5, 10.5], [49.5, 10.5]], projected).tolist() == ["AA", None]


@pytest.mark.parametrize(
    ("coords", "tolerance_km", "words"),
    [
        ([1.0, 2.0, 3.0], 0, r"shape \(n, 2\).*\(3,\)"),
        ([[1.0, np.nan]], 0, "longitude.*row 0"),
        ([[1.0, np.inf]], 0, "longitude.*row 0"),
        ([[1.0, 1.0], [95.0, 1.0]], 0, "Latitude.*row 1, 95"),
        ([[1.0, 1.0]], -1, "tolerance_km.*-1"),
        ([[1.0, 1.0]], np.nan, "tolerance_km.*nan"),
        ([[1.0, 1.0]], 5000, "tolerance_km.*5000"),
    ],
)
def test_impossible_coordinates_and_tolerances_are_refused(coords, tolerance_km, words):
    with pytest.raises(ValueError, match=words):
        country_of(coords, tolerance_km=tolerance_km)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("SE", "SE"),
        ("se", "SE"),
        (" Sweden ", "SE"),
        ("SWITZERLAND", "CH"),
        ("CHE", "CH"),
        ("Schweiz", "CH"),
        ("cote d'ivoire", "CI"),
        ("Côte d\u2019Ivoire", "CI"),
        ("Bosnia & Herzegovina", "BA"),
        ("Bahamas", "BS"),
        ("the Bahamas", "BS"),
        ("USA", "US"),
        ("UK", "GB"),
        ("na", "NA"),
        ("Kosovo", "XK"),
    ],
)
def test_codes_and_names_are_understood(name, code):
    assert country_code(name) == code


def test_every_code_and_every_english_name_names_its_country(countries):
    for code, name in countries["name"].items():
        assert country_code(code) == code
        assert country_code(name) == code


def test_an_unknown_country_is_refused_with_close_matches():
    with pytest.raises(GeolocError, match=r"Unknown country 'Swedn'.*Sweden \(SE\)"):
        country_code("Swedn")
    with pytest.raises(GeolocError, match="two-letter code"):
        country_code("Q#7")


def test_many_coordinates_get_the_answers_of_few():
    rng = np.random.default_rng(1)
    places = np.column_stack([rng.uniform(35, 70, 120_000), rng.uniform(-10, 40, 120_000)])
    many = country_of(places)
    sample = rng.integers(0, len(places), 3_000)
    assert many[sample].tolist() == country_of(places[sample]).tolist()


# Polygons of the user's own.


def test_codes_of_a_users_file_become_alpha_2_where_there_are_any(tmp_path):
    shapes = [shapely.box(10 * k, 0, 10 * k + 5, 5) for k in range(5)]
    codes = ["SWE", "CHE", "XKO", "Z01", "SWE"]
    frame = gpd.GeoDataFrame(
        {"GID_0": codes, "COUNTRY": list("abcde")}, geometry=shapes, crs=4326
    ).to_crs(3857)
    for name in ("gadm.gpkg", "gadm.geojson", "gadm.parquet", "gadm.shp"):
        path = tmp_path / name
        frame.to_parquet(path) if name.endswith("parquet") else frame.to_file(path)
        areas = read_countries(path)
        assert areas.index.tolist() == ["SE", "CH", "XK", "Z01", "SE"]
        assert areas.index.name == "code"
        assert areas["name"].tolist() == list("abcde")
        places = [[2.0, 2 + 10 * k] for k in range(5)] + [[2.0, 7.0]]
        assert country_of(places, areas).tolist() == ["SE", "CH", "XK", "Z01", "SE", None]


def test_broken_polygons_are_mended_and_empty_ones_left_out(tmp_path):
    bow_tie = shapely.Polygon([(0, 0), (2, 2), (2, 0), (0, 2)])
    frame = gpd.GeoDataFrame(
        {"ISO_A2": ["AA", "BB", None]},
        geometry=[bow_tie, None, shapely.box(5, 5, 6, 6)],
        crs=4326,
    )
    frame.to_file(tmp_path / "bow.gpkg")
    areas = read_countries(tmp_path / "bow.gpkg")
    assert areas.index.tolist() == ["AA"]
    assert country_of([[0.5, 0.2], [1.5, 1.8], [0.2, 1.0]], areas).tolist() == ["AA", "AA", None]


def test_a_users_file_that_does_not_serve_is_refused_in_one_sentence(tmp_path):
    shape = [shapely.box(0, 0, 1, 1)]
    code, line = {"GID_0": ["SWE"]}, [shapely.LineString([(0, 0), (1, 1)])]
    gpd.GeoDataFrame(code, geometry=line, crs=4326).to_file(tmp_path / "lines.gpkg")
    far = [shapely.box(500_000, 0, 600_000, 9)]
    gpd.GeoDataFrame(code, geometry=far).to_parquet(tmp_path / "far.parquet")
    own = gpd.GeoDataFrame({"land": ["SWE"]}, geometry=shape, crs=4326)
    for layer in ("one", "two"):
        own.to_file(tmp_path / "own.gpkg", layer=layer)
    (tmp_path / "text.gpkg").write_text("hello")
    for name, options, words in (
        ("none.gpkg", {}, "no file"),
        ("text.gpkg", {}, "cannot be read"),
        ("lines.gpkg", {}, "no polygons"),
        ("far.parquet", {}, "EPSG:4326"),
        ("own.gpkg", {}, "several layers .one, two."),
        ("own.gpkg", {"layer": "three"}, "no layer 'three'"),
        ("own.gpkg", {"layer": "one"}, "country codes"),
        ("own.gpkg", {"layer": "one", "code_column": "x"}, "no column 'x'"),
    ):
        with pytest.raises(GeolocError, match=words) as caught:
            read_countries(tmp_path / name, **options)
        assert "\n" not in str(caught.value)
    assert read_countries(tmp_path / "own.gpkg", layer="two", code_column="land").index[0] == "SE"


def not_text(table):
    offsets = pa.py_buffer(np.array([0, 1], dtype=np.int32))
    name = pa.StringArray.from_buffers(1, offsets, pa.py_buffer(b"\xff"))
    return table.set_column(table.column_names.index("name"), "name", name)


def cut_off(table):
    short = pa.array([value[:20] for value in table["geometry"].to_pylist()], pa.binary())
    return table.set_column(table.column_names.index("geometry"), "geometry", short)


def with_metadata(**geo):
    content = {"columns": {}, "primary_column": "geometry", "version": "1.0.0", **geo}
    return lambda table: table.replace_schema_metadata({b"geo": json.dumps(content).encode()})


NO_METADATA = [{"primary_column": 3}, {"columns": 3}, {"columns": {"geometry": 0.5}}]


@pytest.mark.parametrize(
    "damage", [*(with_metadata(**geo) for geo in NO_METADATA), cut_off, not_text]
)
def test_damaged_polygons_are_refused(damage, tmp_path):
    path = tmp_path / "countries.parquet"
    squares(CH=(6, 46)).reset_index(names="ISO_A2").to_parquet(path)
    table = pq.read_table(path)
    damaged = damage(table)
    if damage in (cut_off, not_text):
        damaged = damaged.replace_schema_metadata(table.schema.metadata)
    pq.write_table(damaged, path)
    with pytest.raises(GeolocError, match="cannot be read as country polygons"):
        read_countries(path)
