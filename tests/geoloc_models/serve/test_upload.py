"""What an upload may be, and what its sender is told."""

import pytest
from geoloc_models_photos import encoded, noise
from geoloc_models_serve import hostile_uploads
from PIL import Image

from geoloc_models.errors import BrokenImageError, GeolocError
from geoloc_models.serve import Limits, read_upload


@pytest.mark.parametrize("name", hostile_uploads())
def test_what_is_no_photo_gets_one_sentence_for_people(name):
    with pytest.raises(BrokenImageError) as error:
        read_upload(hostile_uploads()[name], Limits())
    message = str(error.value)
    assert message.startswith(("The file ", "The photo ", "The picture "))
    assert message.rstrip("…").endswith(".") or message.endswith("…")
    assert len(message) <= 200
    assert "BytesIO" not in message
    assert "Traceback" not in message


def test_pixels_are_counted_before_they_are_decoded(monkeypatch):
    small = encoded(noise(80, 60))
    monkeypatch.setattr(Image.Image, "load", _never)
    with pytest.raises(BrokenImageError, match=r"80 x 60 pixels, more than the 0\.004 megapixels"):
        read_upload(small, Limits(megapixels=0.004))


def _never(*_):
    raise RuntimeError("decoded")


def test_a_photo_of_exactly_the_limit_is_taken():
    content = encoded(noise(80, 60), "PNG")
    assert read_upload(content, Limits(megapixels=80 * 60 / 1e6)).size == (80, 60)
    assert read_upload(content, Limits(megabytes=len(content) / 1e6 + 1e-9)).size == (80, 60)
    with pytest.raises(BrokenImageError, match="larger than"):
        read_upload(content, Limits(megabytes=(len(content) - 1) / 1e6))


def test_a_strip_is_refused_and_a_panorama_is_not():
    panorama = encoded(Image.new("RGB", (2000, 100)), "PNG")
    assert read_upload(panorama, Limits()).size == (2000, 100)
    with pytest.raises(BrokenImageError, match="too long and narrow"):
        read_upload(encoded(Image.new("RGB", (2001, 100)), "PNG"), Limits())


@pytest.mark.parametrize("name", ["megabytes", "megapixels", "waiting", "seconds"])
@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
def test_a_limit_is_above_zero_and_finite(name, value):
    with pytest.raises(GeolocError, match=f"limit of {name} must be above 0"):
        Limits(**{name: value})
