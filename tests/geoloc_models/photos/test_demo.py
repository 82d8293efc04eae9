import subprocess
import sys

import numpy as np
import pytest

from geoloc_models._errors import GeolocError
from geoloc_models.countries import country_of
from geoloc_models.photos import demo as demo_module
from geoloc_models.photos.demo import demo_images, demo_places, gallery_coordinates
from geoloc_models.tables.split import split_rows


@pytest.fixture(scope="module")
def places():
    return demo_places()


@pytest.fixture(scope="module")
def world():
    return demo_places("world", n_world=3000, seed=1)


def test_the_gallery_holds_a_hundred_thousand_coordinates():
    coords = gallery_coordinates()
    assert coords.shape == (100_000, 2)
    assert np.isfinite(coords).all()


def test_sweden_has_1007_places_and_switzerland_1011(places):
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


def test_the_seed_decides_the_world_sample(world):
    again = demo_places("world", n_world=3000, seed=1)
    other = demo_places("world", n_world=3000, seed=2)
    np.testing.assert_array_equal(world.coords, again.coords)
    assert not np.array_equal(world.coords, other.coords)


def test_every_place_has_its_crop(places):
    images = demo_images(places, width_km=100, size=16)
    assert len(images) == places.n_rows
    assert images.load(2017).size == (16, 16)
    assert f"{places.coords[5][0]:.4f}" in images.describe(5)


def test_the_packages_are_read_without_importing_them():
    code = (
        "import sys; from geoloc_models.data import demo_images, demo_places; "
        "demo_images(demo_places()).load(0); "
        "print([m for m in ('torch', 'geoclip', 'mpl_toolkits') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_unknown_regions_and_sizes_are_refused():
    with pytest.raises(GeolocError, match=r"Unknown region 'mars'.*sweden-switzerland, world"):
        demo_places("mars")
    for n_world in (0, 1_000_000):
        with pytest.raises(GeolocError, match=f"n_world.*got {n_world}"):
            demo_places("world", n_world=n_world)


def test_a_missing_gallery_is_told_with_what_to_install(monkeypatch):
    find = demo_module.find_installed_file
    monkeypatch.setattr(
        demo_module,
        "find_installed_file",
        lambda distribution, package, file: find(f"none-{distribution}", "nowhere", file),
    )
    with pytest.raises(GeolocError, match=r"geoclip.*geocells\[demo\]"):
        demo_places()
