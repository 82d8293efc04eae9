"""The parts of an answer: what they say, and what they never hold."""

import base64
import html
import io
import json
import re

import numpy as np
import pytest
from geoloc_models_serve import SECRET, photo, small_placer
from geoloc_models_small import small_table
from PIL import Image

from geocells import sphere
from geoloc_models._errors import GeolocError
from geoloc_models.serve import components, nearby

pytestmark = pytest.mark.usefixtures("towns")


@pytest.fixture(scope="module")
def placer(tmp_path_factory):
    return small_placer(tmp_path_factory.mktemp("placer"))


def words(piece):
    return html.unescape(re.sub(r"<[^>]*>", " ", piece))


def pictures(text):
    found = re.findall(r"data:image/(?:jpeg|png);base64,([A-Za-z0-9+/=]+)", text)
    return [base64.b64decode(own) for own in found]


def test_the_answer_says_where_and_how_sure(placer):
    content = photo()
    shown = placer.place(content)
    said = words(shown["answer"])
    own = placer.model.predict(Image.open(io.BytesIO(content)))
    latitude, longitude = own.coords[0]
    assert f"{latitude:.4f}, {longitude:.4f}" in said
    assert {"SE": "Sweden", "CH": "Switzerland"}[own.countries[0]] in said
    assert "321 km" in said
    assert f"{100 * own.probability_within_25_km[0]:.0f} %" in said
    assert "Likeliest cell" in said


@pytest.mark.parametrize(
    ("within", "radius", "told"),
    [
        (0.8, 10.0, ["90 %"]),
        (0.2, 10.0, ["not sure", "90 %"]),
        (0.2, np.nan, ["not sure"]),
        (np.nan, np.nan, []),
    ],
)
def test_how_sure_is_told_in_words(within, radius, told):
    said = components.certainty_notes(within, radius)
    assert len(said) == len(told)
    assert all(part in own for part, own in zip(told, said, strict=True))


def test_nothing_of_the_file_but_pixels_is_shown(placer):
    shown = placer.place(photo())
    chart = json.dumps(shown["map"])
    for text in (shown["answer"], chart, shown["nearby"]):
        assert SECRET not in text
        assert "2024" not in words(text)
    seen = pictures(shown["answer"]) + pictures(chart)
    assert len(seen) >= 3  # the photo, its marker and its popup; the surface of the probability
    for content in seen:
        assert b"Exif" not in content
        assert SECRET.encode() not in content
        with Image.open(io.BytesIO(content)) as picture:
            assert dict(picture.getexif()) == {}


def test_the_photo_is_shown_upright(placer):
    (content,) = pictures(placer.place(photo())["answer"])
    assert Image.open(io.BytesIO(content)).size == (60, 80)


def test_the_map_names_no_server(placer):
    chart = placer.place(photo())["map"]
    assert chart["tiles"] is None
    linked = re.sub(r"base64,[A-Za-z0-9+/=]+", "", json.dumps(chart))
    assert re.findall(r"(?:https?:)?//[\w.-]+", linked) == []


def test_a_country_of_html_is_text(placer, monkeypatch):
    monkeypatch.setattr(components, "_country", lambda code: f"<img src=x onerror={code}>")
    shown = placer.place(photo())
    assert "<img src=x" not in shown["answer"]
    assert "&lt;img src=x onerror=" in shown["answer"]


def test_the_training_photos_beside_the_answer_are_the_nearest_ones(placer):
    shown = placer.place(photo())
    said = words(shown["nearby"])
    assert nearby.NEAREST in said
    answer = placer.model.predict(Image.open(io.BytesIO(photo()))).coords[0]
    coords = small_table().coords
    distances = sphere.haversine(np.tile(answer, (len(coords), 1)), coords)
    for row in np.argsort(distances)[:8]:
        assert f"{coords[row, 0]:.4f}, {coords[row, 1]:.4f}" in said
        assert f"{distances[row]:,.1f} km" in said
    far = coords[np.argsort(distances)[8]]
    assert f"{far[0]:.4f}, {far[1]:.4f}" not in said


def test_photos_at_one_place_are_counted_there(tmp_path):
    placer = small_placer(tmp_path)
    model = placer.model
    coords = np.repeat([[59.0, 18.0], [47.0, 8.0]], [3, 1], axis=0)
    model.store_images(coords, np.array(["SE", "SE", "SE", "CH"], dtype=object))
    again = type(placer)(type(model)(model.bundle, model.folder))
    said = re.sub(r"\s+", " ", words(again.place(photo())["nearby"]))
    assert re.search(r"59\.0000, 18\.0000 [\d,.]+ km 3 ", said)
    assert re.search(r"47\.0000, 8\.0000 [\d,.]+ km 1 ", said)


@pytest.mark.parametrize(
    ("kind", "why"),
    [("nearest", "alike"), ("retrieval", "fitting"), ("offset", "unknown"), ("country", "nearest")],
)
def test_each_model_tells_what_it_remembers(tmp_path, kind, why):
    shown = small_placer(tmp_path, kind).place(photo())
    said = words(shown["nearby"])
    assert getattr(nearby, why.upper()) in said
    known = small_table().coords
    found = [f"{lat:.4f}, {lon:.4f}" in said for lat, lon in known]
    assert any(found) == (why != "unknown")
    if kind == "nearest":
        assert sum(found) == 3  # its neighbours


def test_a_decoder_that_does_not_suit_is_refused_at_once(tmp_path):
    with pytest.raises(GeolocError, match="Unknown decoder 'best'"):
        small_placer(tmp_path, decoder="best")
