"""The map: what is drawn where, what stays out of it, and hostile names."""

import base64
import io
import re
import sys

import folium
import numpy as np
import pytest
import shapely
from geoloc_models_photos import gps_exif, noise
from PIL import Image

from geoloc_models._errors import GeolocError
from geoloc_models.inference import map as answers_map
from geoloc_models.inference.map import MappedPhoto, RegionCell, draw_map, probability_surface

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
    return draw_map(photos, **{"tiles": None, **options}).get_root().render()


def pictures(text):
    """Every picture inside the page, opened."""
    found = re.findall(r"data:image/(?:jpeg|png);base64,([A-Za-z0-9+/=]+)", text)
    return [Image.open(io.BytesIO(base64.b64decode(content))) for content in found]


def all_of(kind, element):
    children = list(element._children.values())
    return [c for c in children if isinstance(c, kind)] + [
        found for child in children for found in all_of(kind, child)
    ]


def markers_of(chart):
    return [own for own in all_of(folium.Marker, chart) if type(own) is folium.Marker]


def test_one_photo_is_drawn_with_cells_surface_radius_and_exif_position():
    chart = draw_map([photo()], tiles=None)
    titles = [group.layer_name for group in all_of(folium.FeatureGroup, chart)]
    assert titles == [
        "surface of the probability",
        "credible regions of 50 and 90 %",
        "90 % radius",
        "EXIF position",
    ]
    (marker,) = markers_of(chart)
    assert marker.location == [47.4, 8.5]
    (circle,) = [own for own in all_of(folium.Circle, chart) if type(own) is folium.Circle]
    assert circle.options["radius"] == 60_000.0
    (region,) = [own for own in all_of(folium.GeoJson, chart) if "probability" in str(own.data)]
    shares = [own["properties"]["probability"] for own in region.data["features"]]
    assert shares == ["20 %", "70 %"]  # the likeliest is drawn last
    colors = [own["properties"]["color"] for own in region.data["features"]]
    assert colors == [answers_map._WHOLE, answers_map._CORE]
    (line,) = all_of(folium.PolyLine, chart)
    assert line.locations[1] == [47.0, 7.5]


def test_the_credit_is_on_the_map():
    assert "Places: someone" in page(photo(), credit="Places: someone")


def test_what_is_unknown_is_left_out():
    bare = photo(thumbnail=None, radius_km=None, region=(), surface=None, exif=None)
    chart = draw_map([bare], tiles=None)
    assert all_of(folium.FeatureGroup, chart) == []
    assert len(markers_of(chart)) == 1
    assert draw_map([], tiles=None).get_root().render()


def test_several_photos_take_turns():
    chart = draw_map([photo("a.jpg"), photo("b.jpg"), photo("c.jpg")], tiles=None)
    groups = [own for own in all_of(folium.FeatureGroup, chart) if own.control]
    assert [(own.layer_name, own.overlay, own.show) for own in groups] == [
        ("a.jpg", False, True),
        ("b.jpg", False, False),
        ("c.jpg", False, False),
    ]
    assert len(markers_of(chart)) == 3


def test_of_many_photos_the_first_ones_have_details(monkeypatch):
    monkeypatch.setattr(answers_map, "MOST_DETAILED", 2)
    chart = draw_map([photo(str(number)) for number in range(5)], tiles=None)
    circles = [own for own in all_of(folium.Circle, chart) if type(own) is folium.Circle]
    assert len(circles) == 2
    assert len(markers_of(chart)) == 5


@pytest.mark.parametrize(
    ("size", "shown"), [((40, 30), (40, 30)), ((480, 361), (240, 180)), ((100, 500), (100, 500))]
)
def test_a_popup_knows_the_size_of_its_picture_before_it_is_loaded(size, shown):
    assert f'width="{shown[0]}" height="{shown[1]}"' in page(photo(thumbnail=noise(*size)))


def test_no_metadata_of_a_photo_gets_into_the_page():
    image = noise(64, 48)
    image.info["comment"] = b"secret-comment"
    file = io.BytesIO()
    image.save(file, "JPEG", exif=gps_exif(47.4, 8.5), comment=b"secret-comment")
    opened = Image.open(file)
    text = page(photo(thumbnail=opened))
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
        "`${alert(1)}`.jpg",
        "</script><script>alert(1)//.jpg",
        "\\u003cscript\\u003e.jpg",
        "{{ 7 * 7 }}.jpg",
    ],
)
def test_a_hostile_name_is_text(name):
    for text in (
        page(photo(name, facts=((name, name),))),
        page(photo(name, facts=((name, name),)), photo("b.jpg")),
    ):
        assert name not in text
        assert "<script>alert" not in text
        assert "<img src=x" not in text
        assert "${alert" not in text
        assert "\\u003cscript" not in text
        assert "49.jpg" not in text


def test_a_gallery_has_points_in_place_of_cells():
    points = tuple(RegionCell(47.0, 8.0 + k, 0.25, k < 2) for k in range(4))
    chart = draw_map([photo(region=points)], tiles=None)
    kinds = {
        own["geometry"]["type"]
        for layer in all_of(folium.GeoJson, chart)
        if "probability" in str(layer.data)
        for own in layer.data["features"]
    }
    assert kinds == {"Point"}


def test_outlines_with_too_many_corners_are_simplified(monkeypatch):
    round_cell = shapely.Point(8.0, 47.0).buffer(1.0, quad_segs=200)
    plain = len(page(photo(region=(RegionCell(47, 8, 0.9, True, round_cell),))))
    monkeypatch.setattr(answers_map, "_MOST_CORNERS", 100)
    assert len(page(photo(region=(RegionCell(47, 8, 0.9, True, round_cell),)))) < plain - 5000


def test_borders_are_drawn_without_tiles_and_no_tile_server_is_named():
    text = page(photo())
    assert "openstreetmap" not in text.lower()
    assert "borders" in text
    with_tiles = page(photo(), tiles="OpenStreetMap")
    assert "openstreetmap" in with_tiles.lower()


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


def test_the_box_of_one_photo_holds_its_region_and_its_radius():
    (south, west), (north, east) = answers_map._bounds([photo()])
    assert west < 8.5 - 60 / 111.2
    assert (east, north) == (10.0, 48.0)
    assert south < 47.0


def test_without_folium_the_error_names_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "folium", None)
    with pytest.raises(GeolocError, match=r"pip install 'geocells\[plot\]'"):
        draw_map([photo()])


@pytest.mark.parametrize("n_photos", [1, 3])
@pytest.mark.parametrize("thumbnail", [None, noise(40, 30)])
def test_the_page_asks_no_server_but_that_of_the_tiles(n_photos, thumbnail):
    photos = [photo(f"{number}.jpg", thumbnail=thumbnail) for number in range(n_photos)]
    asked = [
        set(re.findall(r"(?:https?:)?//([\w.{}-]+)", without_data(page(*photos, tiles=tiles))))
        for tiles in (None, "OpenStreetMap")
    ]
    assert asked[0] == set()
    assert asked[1] == {"tile.openstreetmap.org", "www.openstreetmap.org"}  # the other is a link
    sources = re.findall(r'<(?:script src|link rel="stylesheet" href)="([^"]*)"', page(*photos))
    assert len(sources) == (4 if n_photos == 1 else 6)
    contents = [base64.b64decode(own.partition("base64,")[2]).decode() for own in sources]
    assert any("Leaflet 1.9.4" in own for own in contents)
    assert any("L.MarkerClusterGroup" in own for own in contents) == (n_photos > 1)
    assert not any(re.search(r"url\((?!data:|#)", own) for own in contents)


def without_data(text):
    return re.sub(r"base64,[A-Za-z0-9+/=]+", "", text)


def test_a_map_changes_no_borders_of_the_next_one():
    first, second = page(photo()), page(photo())
    unnamed = [re.sub(r"[0-9a-f]{32}", "", text) for text in (first, second)]
    assert unnamed[0] == unnamed[1]
