"""The map: what is drawn where, what stays out of it, and hostile names."""

import base64
import hashlib
import html
import io
import json
import re
import sys

import numpy as np
import pytest
import shapely
from geoloc_models_photos import gps_exif, noise
from PIL import Image

from geoloc_models.inference import map as answers_map
from geoloc_models.inference.map import (
    MappedPhoto,
    RegionCell,
    draw_map,
    map_content,
    probability_surface,
)

SQUARE = shapely.box(8.0, 47.0, 9.0, 48.0)
SURFACE = (np.array([(47.5, 8.5), (47.2, 8.2)]), np.array([0.7, 0.3]))


def photo(name="a.jpg", **changes):
    values = {
        "facts": (("Place", "Zürich"),),
        "thumbnail": noise(40, 30),
        "radius_km": 60.0,
        "region": (
            RegionCell(47.5, 8.5, 0.7, True, SQUARE),
            RegionCell(47.2, 9.5, 0.2, False, shapely.box(9.0, 47.0, 10.0, 48.0)),
        ),
        "surface": SURFACE,
        "exif": (47.0, 7.5),
    }
    return MappedPhoto(name, 47.4, 8.5, **{**values, **changes})


def page(*photos, **options):
    return draw_map(photos, **{"tiles": None, **options}).html


def content(*photos, tiles="OpenStreetMap", **options):
    return map_content(photos, tiles=tiles, **options)


def pictures(text):
    """Every picture inside the page, opened."""
    found = re.findall(
        r"data:image/(?:jpeg|png);base64,([A-Za-z0-9+/=]+)", without_data_of_css(text)
    )
    return [Image.open(io.BytesIO(base64.b64decode(content))) for content in found]


def without_data_of_css(text):
    return re.sub(r"<style>.*?</style>", "", text, flags=re.DOTALL)


def test_one_photo_is_drawn_with_cells_surface_radius_and_exif_position():
    (drawn,) = content(photo())["photos"]
    assert drawn["position"] == [47.4, 8.5]
    details = drawn["details"]
    assert details["radius_km"] == 60.0
    assert details["exif"] == (47.0, 7.5)
    assert details["surface"]["url"].startswith("data:image/png;base64,")
    features = [own["properties"] for own in details["region"]["features"]]
    assert [own["probability"] for own in features] == ["20 %", "70 %"]  # the likeliest is last
    assert [own["in_core"] for own in features] == [False, True]
    assert features[1]["opacity"] == pytest.approx(0.43)


def test_what_is_unknown_is_left_out():
    bare = photo(thumbnail=None, radius_km=None, region=(), surface=None, exif=None)
    (drawn,) = content(bare)["photos"]
    assert drawn["picture"] is None
    assert set(drawn["details"].values()) == {None}
    assert content()["bounds"] is None
    assert page()


def test_of_many_photos_the_first_ones_have_details(monkeypatch):
    monkeypatch.setattr(answers_map, "MOST_DETAILED", 2)
    drawn = content(*(photo(str(number)) for number in range(5)))["photos"]
    assert [own["details"] is not None for own in drawn] == [True, True, False, False, False]


@pytest.mark.parametrize(
    ("size", "shown"), [((40, 30), (40, 30)), ((480, 361), (240, 180)), ((100, 500), (100, 500))]
)
def test_a_popup_knows_the_size_of_its_picture_before_it_is_loaded(size, shown):
    picture = content(photo(thumbnail=noise(*size)))["photos"][0]["picture"]
    assert (picture["width"], picture["height"]) == shown


def test_no_metadata_of_a_photo_gets_into_the_page():
    image = noise(64, 48)
    image.info["comment"] = b"secret-comment"
    file = io.BytesIO()
    image.save(file, "JPEG", exif=gps_exif(47.4, 8.5), comment=b"secret-comment")
    text = page(photo(thumbnail=Image.open(file)))
    assert len(pictures(text)) == 3  # in the popup, at the marker, and the surface
    for picture in pictures(text):
        assert len(picture.getexif()) == 0
        assert not {"exif", "comment", "icc_profile"} & set(picture.info)
    assert "secret" not in text


@pytest.mark.parametrize(
    "name",
    [
        "<script>alert(1)</script>.jpg",
        '"><img src=x onerror=alert(1)>.jpg',
        "</script><script>alert(1)//.jpg",
        "<!--<script>.jpg",
        "{{ 7 * 7 }}.jpg",
    ],
)
def test_a_hostile_name_is_text(name):
    for photos in ([photo(name, facts=((name, name),))], [photo(name), photo("b.jpg")]):
        text = page(*photos, credit=name)
        data = re.search(r'id="map-content">(.*?)</script>', text, re.DOTALL)[1]
        assert not re.search(r"[<>&']", data)  # nothing in it can end the script or start a tag
        assert json.loads(data)["photos"][0]["name"] == name
        assert json.loads(data)["credit"] == name
        rest = text.replace(data, "")
        assert "alert(1)" not in rest
        assert "49.jpg" not in text
    frame = draw_map([photo(name)], tiles=None)._repr_html_()
    assert frame.count("<") == 2  # the frame, begun and ended


def test_a_gallery_has_points_in_place_of_cells():
    points = tuple(RegionCell(47.0, 8.0 + k, 0.25, k < 2) for k in range(4))
    region = content(photo(region=points))["photos"][0]["details"]["region"]
    assert {own["geometry"]["type"] for own in region["features"]} == {"Point"}


def test_outlines_with_too_many_corners_are_simplified(monkeypatch):
    round_cell = shapely.Point(8.0, 47.0).buffer(1.0, quad_segs=200)
    cell = RegionCell(47, 8, 0.9, True, round_cell)
    plain = len(json.dumps(content(photo(region=(cell,)))))
    monkeypatch.setattr(answers_map, "_MOST_CORNERS", 100)
    assert len(json.dumps(content(photo(region=(cell,))))) < plain - 5000


def test_borders_lie_below_the_tiles_if_there_are_any():
    offline = content(photo(), tiles=None)
    assert offline["tiles"] is None
    assert len(offline["borders"]["geometries"]) > 200
    assert content(photo(), tiles=None) == content(photo(), tiles=None)  # nothing was changed
    online = content(photo())
    assert online["borders"] == offline["borders"]
    assert "tile.openstreetmap.org" in online["tiles"]["url"]
    assert "OpenTopoMap" in content(tiles="OpenTopoMap")["tiles"]["attribution"]
    for unknown in ("nobody's", "https://example.com/{z}/{x}/{y}.png"):
        with pytest.raises(ValueError, match="Unknown background"):
            content(tiles=unknown)


def test_the_surface_is_darkest_where_most_probability_lies():
    picture, ((south, west), (north, east)) = probability_surface(*SURFACE)
    pixels = np.asarray(picture).astype(float)
    row, column = np.unravel_index(pixels[..., 3].argmax(), pixels.shape[:2])
    assert max(picture.size) == 256
    longitude = west + (column + 0.5) / picture.width * (east - west)
    share = (row + 0.5) / picture.height
    to_north = answers_map._mercator(np.array([south, north]))
    northing = to_north[1] - share * (to_north[1] - to_north[0])
    latitude = answers_map._latitude(np.array([northing]))[0]
    # One pixel is half a hundredth of a degree here; the darkest values form a plateau.
    assert (latitude, longitude) == (pytest.approx(47.5, abs=0.1), pytest.approx(8.5, abs=0.1))
    assert pixels[0, 0, 3] == 0


def test_the_surface_goes_on_across_the_antimeridian_and_holds_a_single_place():
    coords = np.array([(-17.0, 179.5), (-17.5, -179.5)])
    _, ((_, west), (_, east)) = probability_surface(coords, np.array([0.6, 0.4]))
    assert (west, east) == (pytest.approx(179.0), pytest.approx(181.0))
    picture, ((south, _), (north, _)) = probability_surface(
        np.array([(89.0, 0.0)]), np.array([1.0])
    )
    assert np.isfinite([south, north]).all()
    assert picture.size[0] > 0


def test_places_of_almost_no_probability_do_not_widen_the_surface():
    coords = np.array([(47.0, 8.0), (-33.0, 151.0)])
    _, ((south, _), _) = probability_surface(coords, np.array([0.99, 0.01]))
    assert south > 40


def test_the_box_of_one_photo_is_that_of_its_region_or_else_of_its_radius():
    assert answers_map._bounds([photo()]) == [[47.0, 7.5], [48.0, 10.0]]  # its EXIF position too
    near = (RegionCell(47.4, 8.5, 0.9, True),)
    for bare, km in ((photo(region=(), exif=None), 60), (photo(region=near, exif=None), 25)):
        (south, west), (north, east) = answers_map._bounds([bare])
        assert (south, north) == (
            pytest.approx(47.4 - km / 111.2),
            pytest.approx(47.4 + km / 111.2),
        )
        assert west < 8.5 - km / 111.2
        assert east > 8.5 + km / 111.2


def test_without_jinja2_the_error_names_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install '\.\[plot\]'"):
        draw_map([photo()])


@pytest.mark.parametrize("n_photos", [1, 3])
@pytest.mark.parametrize("thumbnail", [None, noise(40, 30)])
def test_the_page_runs_its_own_scripts_alone_and_asks_no_server_but_that_of_the_tiles(
    n_photos, thumbnail
):
    photos = [photo(f"{number}.jpg", thumbnail=thumbnail) for number in range(n_photos)]
    for tiles, sources in ((None, "img-src data:"), ("OpenStreetMap", "img-src data: https:")):
        text = page(*photos, tiles=tiles)
        policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1]
        policy = html.unescape(policy)
        assert policy.startswith("default-src 'none'; ")
        assert policy.endswith(sources)
        scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
        assert len(scripts) == 4 + (n_photos > 1)
        for script in scripts:
            digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
            assert f"'sha256-{digest}'" in policy
        assert any("Leaflet 1.9.4" in script for script in scripts)
        assert any("L.MarkerClusterGroup" in own for own in scripts) == (n_photos > 1)
        assert not re.search(r"<(?:script|link)[^>]+(?:src|href)=", text)
        for style in re.findall(r"<style>(.*?)</style>", text, re.DOTALL):
            assert not re.search(r"url\((?!data:|#)", style)
