import numpy as np
import pytest
from fresh_process import loaded_by

from geoloc_models.countries import country_of
from geoloc_models.errors import GeolocError
from geoloc_models.tables.demo import demo_places, gallery_coordinates
from geoloc_models.tables.split import split_rows


@pytest.fixture(scope="module")
def places():
    return demo_places()


@pytest.fixture(scope="module")
def world():
    return demo_places("world", n_world=3000, seed=1)


def test_of_the_gallerys_places_1007_lie_in_sweden_and_1011_in_switzerland(places):
    coords = gallery_coordinates()
    assert coords.shape == (100_000, 2)
    assert np.isfinite(coords).all()
    assert (places.countries == "SE").sum() == 1007
    assert (places.countries == "CH").sum() == 1011
    assert places.n_rows == 2018


def test_repeated_places_share_a_group(places):
    group_of_place = {}
    for place, group in zip(map(tuple, places.coords), places.groups, strict=True):
        assert group_of_place.setdefault(place, group) == group
    assert len(group_of_place) < places.n_rows  # there are repeated ones


def test_no_place_is_on_both_sides_of_the_demo_split(places):
    split = split_rows(places.n_rows, groups=places.groups, strata=places.countries)
    train = set(map(tuple, places.coords[split.train]))
    test = set(map(tuple, places.coords[split.test]))
    assert not train & test
    assert 0.09 < len(split.test) / places.n_rows < 0.11
    assert 0.4 < (places.countries[split.test] == "SE").mean() < 0.6


def test_the_world_sample_repeats_nothing_and_lies_in_countries(world):
    assert world.n_rows == 3000
    assert len(np.unique(world.coords, axis=0)) == 3000
    np.testing.assert_array_equal(country_of(world.coords), world.countries)
    assert len(set(world.countries)) > 80
    again = demo_places("world", n_world=3000, seed=1)
    other = demo_places("world", n_world=3000, seed=2)
    np.testing.assert_array_equal(world.coords, again.coords)
    assert not np.array_equal(world.coords, other.coords)


def test_the_packages_are_read_without_importing_them():
    code = (
        "from geoloc_models.photos.satellite import SatelliteCrops; "
        "from geoloc_models.tables.demo import demo_places; "
        "SatelliteCrops(demo_places().coords).load(2017)"
    )
    assert loaded_by(code, ["torch", "geoclip", "mpl_toolkits"]) == []


def test_unknown_regions_and_sizes_are_refused():
    with pytest.raises(GeolocError, match=r"Unknown region 'mars'.*sweden-switzerland or world"):
        demo_places("mars")
    for n_world in (0, 1_000_000):
        with pytest.raises(GeolocError, match=f"n_world.*got {n_world}"):
            demo_places("world", n_world=n_world)
