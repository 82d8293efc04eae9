"""What no reader of photos takes, whatever it does with them."""

import io

import numpy as np
import pytest
from geoloc_models_photos import encoded, many_scans, noise
from geoloc_models_serve import png_bomb, png_with_text_bomb
from PIL import Image

from geoloc_models.download import DownloadOptions
from geoloc_models.download.verify import prepare_image
from geoloc_models.errors import BrokenImageError
from geoloc_models.photos import open_photo, read_exif, strip_photo
from geoloc_models.photos.strip import reencode_photo
from geoloc_models.serve import Limits, read_upload

READERS = {
    "bytes": open_photo,
    "file": lambda content: open_photo(io.BytesIO(content)),
    "header": read_exif,
    "strip": lambda content: strip_photo(content, "a"),
    "reencode": lambda content: reencode_photo(content, "a"),
    "download": lambda content: prepare_image(content, DownloadOptions()),
    "original": lambda content: prepare_image(content, DownloadOptions(keep_original=True)),
    "serve": lambda content: read_upload(content, Limits()),
}
# Refused by the header, so before a pixel is decoded.
BY_HEADER = {
    "empty": b"",
    "zeros": bytes(1000),
    "EPS": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(x) run\n",
    "SVG": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "many scans": many_scans(60, (64, 48)),
    "60 000 pixels square": png_bomb(),
    "100 megapixels and more": png_bomb(20_000, 10_000),
}
WHOLE = encoded(noise(200, 200))
DAMAGED = bytearray(encoded(noise(64, 64), "PNG"))
DAMAGED[len(DAMAGED) // 2] ^= 0xFF
BY_PIXELS = {
    "cut JPEG": WHOLE[: len(WHOLE) * 6 // 10],
    "almost whole JPEG": WHOLE[:-2000],
    "damaged PNG": bytes(DAMAGED),
    "text that unpacks to 200 MB": png_with_text_bomb(),
    "pixels of unknown scale": encoded(Image.new("F", (24, 24)), "TIFF"),
}


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("content", BY_HEADER)
@pytest.mark.parametrize("reader", READERS)
def test_what_is_no_photo_is_refused_before_it_is_decoded(reader, content, monkeypatch):
    monkeypatch.setattr(Image.Image, "load", _never)
    with pytest.raises(BrokenImageError):
        READERS[reader](BY_HEADER[content])


def _never(*_):
    raise RuntimeError("decoded")


def test_an_image_that_was_opened_elsewhere_is_looked_at_too(monkeypatch):
    image = Image.open(io.BytesIO(BY_HEADER["many scans"]))
    monkeypatch.setattr(Image.Image, "load", _never)
    with pytest.raises(BrokenImageError, match="more than 50 scans"):
        open_photo(image)


@pytest.mark.parametrize("content", BY_PIXELS)
@pytest.mark.parametrize("reader", [name for name in READERS if name != "header"])
def test_what_cannot_be_decoded_whole_is_refused(reader, content):
    with pytest.raises(BrokenImageError):
        READERS[reader](BY_PIXELS[content])


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16"])
@pytest.mark.parametrize("reader", ["bytes", "download", "serve"])
def test_every_mode_becomes_rgb_of_its_brightness(reader, mode):
    grey = Image.new("RGB", (24, 24), (255, 255, 255) if mode == "1" else (128, 128, 128))
    sixteen_bits = Image.fromarray(np.full((24, 24), 128 * 256, dtype=np.uint16))
    picture = sixteen_bits if mode == "I;16" else grey.convert(mode)
    pixels = READERS[reader](encoded(picture, "TIFF" if mode == "CMYK" else "PNG"))
    if reader == "download":
        pixels = Image.open(io.BytesIO(pixels.content))
    assert pixels.mode == "RGB"
    # A palette of 216 web colours is dithered between steps of 51.
    difference = np.abs(np.asarray(pixels).astype(int) - np.asarray(grey))
    assert difference.max() <= (51 if mode == "P" else 2)
