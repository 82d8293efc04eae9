"""A server of the page on loopback for the tests, and uploads of every kind."""

import contextlib
import io
import json
import struct
import threading
import time
import zipfile
import zlib
from http.client import HTTPConnection

import uvicorn
from geoloc_models_bundles import save_small_bundle
from geoloc_models_photos import encoded, gps_exif, many_scans, noise
from geoloc_models_small import small_table
from PIL import Image, PngImagePlugin

from geoloc_models.inference.calibration import Calibration, save_calibration
from geoloc_models.inference.decoder_file import save_decoder
from geoloc_models.inference.model import load_model
from geoloc_models.serve import PhotoPlacer
from geoloc_models.serve.application import make_application
from geoloc_models.serve.server import listening, make_config

SECRET = "taken by Ada at home"


def small_placer(folder, kind="cells", **options):
    """A model of random weights, with all that a bundle may remember."""
    table = small_table()
    bundle = save_small_bundle(kind, table, folder / "bundle")
    model = load_model(bundle)
    if kind == "cells":
        model.store_images(table.coords, table.countries)
        save_calibration(Calibration("expected_utility", "fixed", 321.0, 99), bundle)
    elif kind == "country":
        save_decoder(bundle, table.coords, [row % 2 for row in range(table.n_rows)])
    return PhotoPlacer(load_model(bundle), **options)


@contextlib.contextmanager
def served(placer, **options):
    """Serve the page in a thread; gives its port."""
    with listening("127.0.0.1", 0) as listener:
        application = make_application(placer, **options)
        config = make_config(application)
        config.timeout_graceful_shutdown = 1
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not server.started:
            if not thread.is_alive():
                raise RuntimeError("the server ended before it listened")
            time.sleep(0.02)
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(30)


def ask(port, method, path, body=None, headers=None):
    """Status, headers and body of one answer."""
    connection = HTTPConnection("127.0.0.1", port, timeout=120)
    try:
        headers = headers or {}
        is_chunked = "Transfer-Encoding" in headers
        connection.request(method, path, body, headers, encode_chunked=is_chunked)
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read()
    finally:
        connection.close()


def upload(port, content, **headers):
    """Status and JSON of an upload."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    status, _, body = ask(port, "POST", "/place", content, named)
    return status, json.loads(body)


def photo(seed=0, size=(80, 60), kind="JPEG"):
    """A photo that carries what nobody is to see."""
    exif = gps_exif(47.25, 8.75, orientation=6, time="2024:05:06 07:08:09")
    exif[0x013B] = SECRET  # Artist
    return encoded(noise(*size, seed=seed), kind, exif=exif)


def png_bomb(width=60_000, height=60_000):
    """A PNG of a few kB whose header promises billions of pixels, with some of them there."""

    def chunk(name, content):
        return (
            struct.pack(">I", len(content))
            + name
            + content
            + struct.pack(">I", zlib.crc32(name + content))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(b"\0" * (1 << 20))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )


def png_with_text_bomb():
    """A small picture beside 200 MB of compressed text."""
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", "0" * 200_000_000, zip=True)
    return encoded(noise(40, 30), "PNG", pnginfo=info)


def zip_file():
    """An archive with a path that climbs."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../../etc/cron.d/owned", "x" * 1000)
    return file.getvalue()


def multipart(name, content):
    """A form, as a page of another kind would send it, with a name that climbs."""
    edge = "----edge"
    head = (
        f'--{edge}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n'
        "Content-Type: image/jpeg\r\n\r\n"
    )
    return head.encode() + content + f"\r\n--{edge}--\r\n".encode()


SVG = (
    b'<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
    b'<svg xmlns="http://www.w3.org/2000/svg" width="99" height="99"><script>alert(1)</script>'
    b"<text>&x;</text></svg>"
)


def long_and_narrow():
    """A valid picture whose shorter side, scaled to a network's size, would take terabytes."""
    return encoded(Image.new("L", (1_000_000, 1)), "PNG")


def hostile_uploads():
    """Names and contents that are no photos a page should take."""
    whole = photo()
    return {
        "empty": b"",
        "truncated JPEG": whole[: len(whole) // 2],
        "first bytes of a JPEG": whole[:4],
        "PNG bomb": png_bomb(),
        "text as .jpg": b"Dear server, this is a photo.\n" * 20,
        "SVG": SVG,
        "zip": zip_file(),
        "form with a climbing name": multipart("../../../tmp/owned.jpg", whole),
        "long and narrow": long_and_narrow(),
        "JPEG of many scans": many_scans(),
        "EPS": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(x) run\n",
        "script": b"<script>alert(document.cookie)</script>",
        "zeros": bytes(100_000),
        "random": noise(99, 99).tobytes(),
    }
