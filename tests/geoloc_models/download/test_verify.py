"""Images: whole, small enough, upright, and without metadata."""

import io

import numpy as np
import pytest
from geoloc_models_download import jpeg
from geoloc_models_photos import encoded
from PIL import Image

from geoloc_models.download import DownloadOptions
from geoloc_models.download.verify import prepare_image
from geoloc_models.errors import BrokenImageError
from geoloc_models.photos.opening import TooManyPixelsError


def prepared_image(content, **options):
    return prepare_image(content, DownloadOptions(**options))


def decoded(prepared):
    return Image.open(io.BytesIO(prepared.content))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_every_kind_of_photo_becomes_a_jpeg(kind):
    image = Image.new("RGB", (20, 10), (200, 30, 60))
    prepared = prepared_image(encoded(image, kind))
    assert (prepared.extension, prepared.width, prepared.height) == (".jpg", 20, 10)
    result = decoded(prepared)
    assert (result.format, result.mode, result.size) == ("JPEG", "RGB", (20, 10))
    np.testing.assert_allclose(np.asarray(result)[5, 10], (200, 30, 60), atol=12)


def test_the_longest_side_is_bounded_and_nothing_enlarged():
    assert prepared_image(jpeg(0, 400, 300), max_side=100).width == 100
    assert prepared_image(jpeg(0, 400, 300), max_side=100).height == 75
    assert prepared_image(jpeg(0, 300, 400), max_side=100).height == 100
    assert prepared_image(jpeg(0, 40, 30), max_side=100).width == 40


def test_orientation_is_applied_before_it_is_lost():
    image = Image.new("RGB", (40, 20), "blue")
    image.paste("red", (0, 0, 20, 20))  # the left half; turned a quarter right, the upper half
    exif = Image.Exif()
    exif[0x0112] = 6
    prepared = prepared_image(encoded(image, "JPEG", exif=exif), max_side=30)
    assert (prepared.width, prepared.height) == (15, 30)
    pixels = np.asarray(decoded(prepared)).astype(int)
    assert pixels[3, 7, 0] > 200 > pixels[3, 7, 2]
    assert pixels[-3, 7, 2] > 200 > pixels[-3, 7, 0]


def with_metadata():
    exif = Image.Exif()
    exif[0x010E] = "SECRET description"
    exif.get_ifd(0x8825).update({1: "N", 2: (59.0, 19.0, 45.0), 3: "E", 4: (18.0, 4.0, 6.0)})
    return jpeg(0, 40, 30, exif=exif, comment=b"SECRET comment", icc_profile=b"SECRET profile")


def test_no_metadata_is_left():
    original = with_metadata()
    assert original.count(b"SECRET") == 3
    prepared = prepared_image(original)
    assert b"SECRET" not in prepared.content
    result = decoded(prepared)
    assert not result.getexif()
    assert not {"exif", "comment", "icc_profile", "xmp", "photoshop"} & set(result.info)


def test_originals_are_kept_to_the_byte_on_demand():
    original = with_metadata()
    prepared = prepared_image(original, keep_original=True)
    assert prepared.content == original
    png = encoded(Image.new("RGB", (9, 7)), "PNG")
    prepared = prepared_image(png, keep_original=True)
    assert (prepared.extension, prepared.width, prepared.height) == (".png", 9, 7)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"  <html><body>", "web page"),
        (b"\x00" * 1000, "not an image"),
    ],
)
def test_other_files_are_told_apart(content, words):
    with pytest.raises(BrokenImageError, match=words):
        prepared_image(content)


def test_a_photo_made_smaller_is_read_to_its_end():
    whole = jpeg(0, 800, 800, quality=95)
    with pytest.raises(BrokenImageError, match="truncated"):
        prepared_image(whole[: len(whole) * 3 // 4], max_side=64)


def test_the_largest_image_is_a_choice():
    with pytest.raises(TooManyPixelsError, match="1,200 pixels, more than 1,000"):
        prepared_image(jpeg(0, 40, 30), max_megapixels=0.001)
