import pickle

import numpy as np
import pytest
from PIL import Image

from geoloc_models.errors import GeolocError
from geoloc_models.photos.installed import find_installed_file
from geoloc_models.photos.satellite import SatelliteCrops


@pytest.fixture
def plate_carree(tmp_path):
    """A plate carree image, 2 pixels a degree, with red = column / 3 and green = row / 2."""
    column, row = np.meshgrid(np.arange(720), np.arange(360))
    pixels = np.stack([column // 3, row // 2, np.zeros_like(row)], axis=2).astype(np.uint8)
    path = tmp_path / "world.png"
    Image.fromarray(pixels).save(path)
    return path


def crop_at(place, path, **options):
    """Pixels of one crop, (size, size, 3) int64."""
    return np.asarray(SatelliteCrops([place], path=path, **options).load(0)).astype(int)


def test_a_crop_shows_its_place_in_the_middle(plate_carree):
    # At 30 N, 60 E: column 480, row 120, so red 160 and green 60.
    crop = crop_at((30.0, 60.0), plate_carree, width_km=500, size=33)
    assert crop.shape == (33, 33, 3)
    np.testing.assert_allclose(crop[16, 16], [160, 60, 0], atol=1)
    assert crop[0, 16, 1] < crop[16, 16, 1] < crop[32, 16, 1]  # north is up
    assert crop[16, 0, 0] < crop[16, 16, 0] < crop[16, 32, 0]  # east is right


def test_a_crop_is_square_in_kilometres(plate_carree):
    # 1112 km are 10 degrees of latitude; at 60 degrees north, 20 degrees of longitude.
    crop = crop_at((60.0, 0.0), plate_carree, width_km=1111.95, size=40)
    red, green = crop[..., 0], crop[..., 1]
    # 1.5 degrees a step of red, 1 degree a step of green; the outer pixels' centres lie inside.
    assert (red[:, -1] - red[:, 0]).mean() * 1.5 == pytest.approx(20 * 39 / 40, abs=1.5)
    assert (green[-1] - green[0]).mean() == pytest.approx(10 * 39 / 40, abs=1)


def test_the_widening_stops_near_the_poles(plate_carree):
    # 400 km at the pole would be all longitudes; eight times 3.6 degrees is 28.8.
    crop = crop_at((88.0, 0.0), plate_carree, width_km=400, size=40)
    span = (crop[-1, -1, 0] - crop[-1, 0, 0]) * 1.5
    assert span == pytest.approx(28.8 * 39 / 40, abs=2)


def test_a_crop_goes_on_across_the_antimeridian(plate_carree):
    first, *others = (
        crop_at((0, longitude), plate_carree, width_km=1000, size=32)
        for longitude in (180, -180, 540)
    )
    for other in others:
        np.testing.assert_array_equal(first, other)
    assert first[:, :14, 0].min() > 230  # the last columns of the world on the left
    assert first[:, 18:, 0].max() < 10  # the first on the right


def test_a_crop_goes_on_over_the_pole(plate_carree):
    crop = crop_at((90, 0), plate_carree, width_km=1000, size=32)
    # Below the pole longitude 0 (red 120), above it the opposite meridian (red 0 or 239).
    np.testing.assert_allclose(crop[-1, 15:17, 0], 120, atol=1)
    assert crop[0, 17, 0] < 12
    assert crop[0, 14, 0] > 227
    assert crop[..., 1].max() <= 5  # all rows are polar ones
    south = crop_at((-90, 77), plate_carree, width_km=1000, size=32)
    assert south[..., 1].min() >= 174


@pytest.mark.parametrize("pole", [90, -90])
def test_a_crop_is_mirrored_at_the_very_pole(tmp_path, pole):
    brightness = np.random.default_rng(0).integers(0, 256, (360, 1, 1), dtype=np.uint8)
    Image.fromarray(np.tile(brightness, (1, 720, 3))).save(tmp_path / "rings.png")
    crop = crop_at((pole, 0), tmp_path / "rings.png", width_km=1000, size=32)
    np.testing.assert_allclose(crop, crop[::-1], atol=1)
    assert np.ptp(crop) > 50


def test_pickled_crops_are_small_and_give_the_same_image(plate_carree):
    crops = SatelliteCrops([[30.0, 60.0]], path=plate_carree)
    before = np.asarray(crops.load(0))
    content = pickle.dumps(crops)
    assert len(content) < 1000
    np.testing.assert_array_equal(np.asarray(pickle.loads(content).load(0)), before)


def test_the_satellite_image_of_the_installed_package_shows_land_and_sea():
    crops = SatelliteCrops([[-2.0, 23.0], [0.0, -150.0]], width_km=100, size=8)
    congo, pacific = (np.asarray(crops.load(row)).mean(axis=(0, 1)) for row in range(2))
    assert congo.argmax() == 1  # green
    assert pacific.argmax() == 2  # blue
    assert crops.describe(0) == "satellite crop at -2.0000, 23.0000"


@pytest.mark.parametrize(
    ("coords", "options", "words"),
    [
        ([[95, 0]], {}, "Latitude.*row 0, 95"),
        ([[0, np.nan]], {}, "longitude.*row 0"),
        ([1, 2, 3], {}, "shape"),
        ([[0, 0]], {"width_km": 0}, "width_km.*got 0"),
        ([[0, 0]], {"width_km": np.nan}, "width_km"),
        ([[0, 0]], {"size": 0}, "size.*got 0"),
    ],
)
def test_impossible_crops_are_refused(coords, options, words):
    with pytest.raises(ValueError, match=words):
        SatelliteCrops(coords, **options)


def test_an_unreadable_satellite_image_is_named(tmp_path):
    (tmp_path / "world.png").write_text("no image")
    with pytest.raises(GeolocError, match=r"world\.png"):
        SatelliteCrops([[0, 0]], path=tmp_path / "world.png").load(0)


def test_a_missing_file_is_named_with_what_to_install():
    with pytest.raises(GeolocError, match=r"nowhere-data.*pip install '\.\[demo\]'"):
        find_installed_file("nowhere-data", "nowhere_data", "a.jpg")
    with pytest.raises(GeolocError, match=r"none\.txt of the package numpy"):
        find_installed_file("numpy", "numpy", "none.txt")
