"""The parts of an answer: what they say, and what they never hold."""

import base64
import html
import io
import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
from geoloc_models_serve import SECRET, photo, small_placer
from geoloc_models_small import small_table
from PIL import Image

from geocells import sphere
from geoloc_models.errors import GeolocError
from geoloc_models.inference.place_names import NearestPlace
from geoloc_models.serve import components

pytestmark = pytest.mark.usefixtures("towns")


@pytest.fixture(scope="module")
def placer(tmp_path_factory):
    return small_placer(tmp_path_factory.mktemp("placer"))


def words(piece):
    return html.unescape(re.sub(r"<[^>]*>", " ", piece))


def point(latitude, longitude):
    return f"{float(latitude.round(4))}, {float(longitude.round(4))}"


def pictures(text):
    found = re.findall(r"data:image/(?:jpeg|png);base64,([A-Za-z0-9+/=]+)", text)
    return [base64.b64decode(own) for own in found]


def test_the_answer_says_where_and_how_sure(placer):
    content = photo()
    shown = placer.place(content)
    said = words(shown["answer"])
    own = placer.model.predict(Image.open(io.BytesIO(content)))
    latitude, longitude = own.coords[0].round(2).tolist()
    assert f"{latitude}, {longitude}" in said
    assert {"SE": "Sweden", "CH": "Switzerland"}[own.countries[0]] in said
    assert "321 km" in said
    assert f"{100 * own.probability_within_25_km[0]:.0f} %" in said
    assert "Likeliest places" in said


def answered(model, **changes):
    """What the page says of the prediction with changed figures."""
    picture = Image.new("RGB", (40, 30))
    own = replace(model.predict(picture), **{name: np.array([x]) for name, x in changes.items()})
    own = replace(own, places=(NearestPlace("Solna", "SE", 59.4, 18.0, 80_000, 3.0),))
    return re.sub(r"\s+(,?)", r"\1 ", words(components.answer_html(own, picture)))


@pytest.mark.parametrize(
    ("within", "radius", "said", "unsaid"),
    [
        (0.983, 10.0, ["Solna area, Sweden, 98 % within 25 km", "90 % radius 10 km"], ["not sure"]),
        (0.2, 10.0, ["20 % within 25 km", "not sure", "lie within the radius"], []),
        (0.2, np.nan, ["20 % within 25 km", "not sure"], ["radius"]),
        (np.nan, np.nan, ["Solna area, Sweden"], ["within 25 km", "not sure", "radius"]),
    ],
)
def test_how_sure_is_told_in_one_line(placer, within, radius, said, unsaid):
    figures = {"probability_within_25_km": within, "radius_90_km": radius}
    text = answered(placer.model, countries="SE", **figures)
    assert all(part in text for part in said)
    assert not any(part in text for part in unsaid)


def test_a_photo_unlike_all_others_gets_no_confident_town(placer):
    text = answered(placer.model, countries="SE", unlike_training=True)
    assert "Unlike anything this model has seen Its guess would be Solna area, Sweden." in text
    assert "within 25 km" not in text
    assert "Likeliest" not in text
    assert "training photos" not in text
    assert "Unlike" not in answered(placer.model, countries="SE", unlike_training=False)


def test_nothing_of_the_file_but_pixels_is_shown(placer):
    shown = placer.place(photo())
    chart = json.dumps(shown["map"])
    for text in (shown["answer"], chart):
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
    monkeypatch.setattr(components, "country_name", lambda code: f"<img src=x onerror={code}>")
    shown = placer.place(photo())
    assert "<img src=x" not in shown["answer"]
    assert "&lt;img src=x onerror=" in shown["answer"]


def test_the_training_photos_nearest_to_the_answer_are_named(tmp_path):
    placer = small_placer(tmp_path, exact_places=True)
    said = words(placer.place(photo())["answer"])
    answer = placer.model.predict(Image.open(io.BytesIO(photo()))).coords[0]
    coords = small_table().coords
    distances = sphere.haversine(np.tile(answer, (len(coords), 1)), coords)
    for row in np.argsort(distances)[:8]:
        assert point(*coords[row]) in said
        assert f"{distances[row]:,.0f} km" in said
    assert point(*coords[np.argsort(distances)[8]]) not in said


def test_photos_at_one_place_are_counted_there(tmp_path):
    placer = small_placer(tmp_path)
    model = placer.model
    coords = np.repeat([[59.04, 18.02], [47.0, 8.0]], [3, 1], axis=0)
    model.store_images(coords, np.array(["SE", "SE", "SE", "CH"], dtype=object))
    again = type(placer)(type(model)(model.bundle, model.folder))
    said = re.sub(r"\s+", " ", words(again.place(photo())["answer"]))
    assert re.search(r"59, 18 [\d,]+ km 3 ", said)
    assert re.search(r"47, 8 [\d,]+ km 1 ", said)


@pytest.mark.parametrize("kind", ["cells", "country", "nearest", "retrieval", "pooled", "offset"])
def test_no_exact_place_of_a_training_photo_is_told_unless_allowed(tmp_path, kind):
    known = small_table().coords
    folder = tmp_path / "bundle"
    for exact in (True, False):
        placer = small_placer(tmp_path, kind, exact_places=exact)
        shown = placer.place(photo())
        drawn = (shown["map"]["photos"][0]["details"]["region"] or {"features": []})["features"]
        # Corners of cells are no photos, though the outermost may lie at one.
        points = [own["geometry"] for own in drawn if own["geometry"]["type"] == "Point"]
        told = shown["answer"] + json.dumps([points, shown["map"]["photos"][0]["position"]])
        is_told = [
            point(lat, lon) in told or f"[{lon}, {lat}]" in told or f"[{lat}, {lon}]" in told
            for lat, lon in known
        ]
        assert any(is_told) == (exact and kind != "offset")
        assert ("does not say where" in told) == (kind == "offset")
        shutil.rmtree(folder)


def test_a_decoder_that_does_not_suit_is_refused_at_once(tmp_path):
    with pytest.raises(GeolocError, match="Unknown decoder 'best'"):
        small_placer(tmp_path, decoder="best")
