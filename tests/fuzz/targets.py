"""What is fuzzed: valid files to start from, and readers with the errors that they document.

A target has ``files``, a list of (file name, content, content before it was packed), and a
function ``read(path, n, number)`` that reads the n-th input, made of the file of that number, and
raises whatever is no documented error.
"""

import io
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from tests.command_line import run
from tests.fuzz.mutate import packed

sys.path.insert(0, str(Path(__file__).parents[1]))  # the helpers of the tests

COMMAND_EVERY = 20
"""The command line runs on every so-manieth input: it takes longer than the reader alone."""


def told(program, arguments):
    """Run a command: it must end well, or with one sentence and exit code 2."""
    result = run(program, *arguments)
    if result.exit_code not in (0, 2):
        raise AssertionError(f"exit code {result.exit_code}: {result.output[-200:]}")
    if result.exit_code == 2 and not result.output.strip():
        raise AssertionError(f"{arguments[0]} ends with 2 and no word")
    if "Traceback" in result.output:
        raise AssertionError(f"a traceback on the screen: {result.output[-1000:]}")


def tried(errors, function, *arguments, **options):
    """Result of a reader, None where it raised one of its documented errors."""
    try:
        return function(*arguments, **options)
    except errors as error:
        if not str(error).strip():
            raise AssertionError(f"{type(error).__name__} without a message") from error
        return None


class Tables:
    """CSV, TSV, JSON lines, Parquet and archives of those, by both packages' readers."""

    def __init__(self, folder):
        from geocells import CellBuilder

        rng = np.random.default_rng(0)
        frame = pd.DataFrame(
            {
                "id": [f"p{row}" for row in range(12)],
                "latitude": rng.uniform(46, 47.5, 12).round(4),
                "longitude": rng.uniform(6.5, 9.5, 12).round(4),
                "country": "CH",
                "group": [f"user {row % 3}" for row in range(12)],
                "time": "2020-01-02T03:04:05",
                "url": "https://example.org/a.jpg",
                "path": "a.jpg",
            }
        )
        buffer = io.BytesIO()
        frame.to_parquet(buffer, index=False)
        csv = frame.to_csv(index=False).encode()
        quoted = frame.to_csv(index=False, quoting=1).encode()
        lines = frame.to_json(orient="records", lines=True).encode()
        self.files = [
            ("photos.csv", csv, None),
            ("photos.csv", quoted, None),
            ("photos.tsv", frame.to_csv(index=False, sep="\t").encode(), None),
            ("photos.jsonl", lines, None),
            ("photos.parquet", buffer.getvalue(), None),
            *((f"photos.csv{kind}", packed(csv, kind), csv) for kind in (".gz", ".bz2", ".xz")),
            ("photos.csv.zst", packed(csv, ".zst"), csv),
            ("photos.csv.zip", packed(csv, ".zip"), csv),
            ("photos.jsonl.gz", packed(lines, ".gz"), lines),
        ]
        self._cells = folder / "cells.parquet"
        builder = CellBuilder(3, method="top_down")  # the fewest kernels to compile
        builder.fit(frame[["latitude", "longitude"]]).cells_.save(self._cells)
        self._out = folder / "out.parquet"

    def read(self, path, n, number=0):
        """Read it as a table of photos, as metadata, and as the cells' command does."""
        from geocells import cli as cells_command
        from geocells.tables import TableError, read_table
        from geoloc_models import cli as photos_command
        from geoloc_models.errors import GeolocError
        from geoloc_models.tables.photo_table import read_photo_table
        from geoloc_models.tables.select import select_photos

        tried((GeolocError, TableError), read_photo_table, path, images=False)
        tried((GeolocError, TableError), select_photos, [path], self._out)
        tried(TableError, read_table, path)
        if n % COMMAND_EVERY == 0:
            told(cells_command.main, ["assign", self._cells, path, "-o", self._out])
            told(photos_command.main, ["select", path, "-o", self._out])


class Photos:
    """JPEG, PNG, WebP, TIFF, GIF, AVIF and HEIC with EXIF data."""

    def __init__(self, folder):
        from geoloc_models_photos import encoded, gps_exif, noise

        from geoloc_models.photos import opening as _open

        _open.MAX_PIXELS = 4_000_000  # so that an input within the limit needs little memory
        exif = gps_exif(47.0, 8.0, orientation=6, time="2020:01:02 03:04:05", offset="+01:00")
        image = noise(24, 16)
        self.files = []
        for kind, suffix in (
            ("JPEG", "jpg"), ("PNG", "png"), ("WEBP", "webp"), ("TIFF", "tif"), ("AVIF", "avif"),
        ):  # fmt: skip
            try:
                content = encoded(image, kind, exif=exif)
            except (KeyError, OSError):  # this Pillow cannot write the kind
                continue
            self.files.append((f"photo.{suffix}", content, None))
        self.files.append(("photo.gif", encoded(image.convert("P"), "GIF"), None))
        self.files.append(
            ("photo.jpg", encoded(image.convert("L"), "JPEG", progressive=True), None)
        )
        self.files.append(("photo.png", encoded(image.convert("P"), "PNG"), None))
        try:
            import pillow_heif

            pillow_heif.register_heif_opener()
            self.files.append(("photo.heic", encoded(image, "HEIF"), None))
        except ImportError:
            pass
        self._out = folder / "stripped"

    def read(self, path, n, number=0):
        """Read the EXIF data, decode the pixels, strip, code anew."""
        from geoloc_models import cli
        from geoloc_models.errors import BrokenImageError
        from geoloc_models.photos.exif import read_exif
        from geoloc_models.photos.opening import open_photo
        from geoloc_models.photos.strip import reencode_photo, strip_photo

        content = path.read_bytes()
        found = tried(BrokenImageError, read_exif, io.BytesIO(content))
        off = found is not None and found.has_position and abs(found.latitude) > 90
        if off or (found is not None and found.has_position and abs(found.longitude) > 180):
            raise AssertionError(f"a position off the globe: {found}")
        pixels = tried(BrokenImageError, open_photo, content, min_side=8)
        if pixels is not None and (pixels.mode != "RGB" or pixels.info):
            raise AssertionError(f"mode {pixels.mode}, info {list(pixels.info)}")
        bare = tried(BrokenImageError, strip_photo, content, "p")
        if bare is not None and read_exif(io.BytesIO(bare)).has_position:
            raise AssertionError("a stripped photo tells its position")
        tried(BrokenImageError, reencode_photo, content, "p")
        if n % COMMAND_EVERY == 0:
            told(cli.main, ["strip", path, "-o", self._out, "--overwrite"])


class Cells:
    """Cells, hierarchies and country polygons in GeoParquet, GeoJSON and GeoPackage."""

    def __init__(self, folder):
        import geopandas as gpd
        import pyogrio
        import shapely

        from geocells import CellBuilder, CellHierarchy, ClusteredCells

        # A GeoPackage tells when it was written.
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": "2020-01-01T00:00:00Z"})
        rng = np.random.default_rng(0)
        coords = rng.normal((47, 8), 0.5, (60, 2))
        groups = np.array(["CH", "DE"], dtype=object)[np.arange(60) % 2]
        self._points = coords[:5]
        self._table = folder / "points.csv"
        pd.DataFrame(self._points, columns=["lat", "lon"]).to_csv(self._table, index=False)
        self._out = folder / "out.csv"
        self.files = []
        path = folder / "seed.parquet"
        fitted = [
            CellBuilder(8).fit(coords),
            CellBuilder(8, grid="s2", method="top_down").fit(coords),
            CellBuilder(8, method="consolidated").fit(coords, groups=groups),
            ClusteredCells("kmeans", min_images=8).fit(coords),
        ]
        for builder in fitted:
            builder.cells_.save(path)
            self.files.append(("cells.parquet", path.read_bytes(), None))
        levels = [{"min_images": n, "method": "top_down"} for n in (16, 8)]
        CellHierarchy(levels).fit(coords).save(path)
        self.files.append(("cells.parquet", path.read_bytes(), None))
        countries = gpd.GeoDataFrame(
            {"ISO_A2": ["CH", "DE"], "NAME": ["Switzerland", "Germany"]},
            geometry=[shapely.box(6, 46, 10, 47.5), shapely.box(6, 47.5, 10, 50)],
            crs=4326,
        )
        for name in ("countries.parquet", "countries.geojson", "countries.gpkg"):
            own = folder / f"seed-{name}"
            if name.endswith("parquet"):
                countries.to_parquet(own)
            else:
                countries.to_file(own)
            self.files.append((name, own.read_bytes(), None))

    def read(self, path, n, number=0):
        """Load it and use what was loaded."""
        from geocells import CellHierarchy, cli, load_cells
        from geoloc_models.countries import read_countries
        from geoloc_models.errors import GeolocError

        if path.name.startswith("countries"):
            tried(GeolocError, read_countries, path)
            return
        cells = tried((ValueError, FileNotFoundError), load_cells, path)
        if cells is not None and cells.n_cells:
            groups = None if cells.groups is None else [cells.groups[0]] * len(self._points)
            tried(ValueError, cells.assign, self._points, groups)
            tried(ValueError, cells.to_geodataframe)
        tried((ValueError, FileNotFoundError), CellHierarchy.load, path)
        if n % COMMAND_EVERY == 0:
            told(cli.main, ["assign", path, self._table, "-o", self._out])
            told(cli.main, ["map", path, "-o", self._out.with_suffix(".html")])


class Bundles:
    """Folders of trained models: card, weights, cells, calibration, decoder."""

    def __init__(self, folder):
        from geoloc_models_bundles import save_small_bundle
        from geoloc_models_small import small_cells, small_table
        from PIL import Image

        from geoloc_models.inference.calibration import Calibration, save_calibration
        from geoloc_models.inference.decoder_file import save_decoder

        table = small_table()
        self.files = []
        self._bundles = []
        self._whole = []
        self._photo = Image.new("RGB", (32, 32))
        for kind in ("cells", "refined", "hierarchy", "country", "offset", "nearest", "retrieval"):
            bundle = folder / kind
            save_small_bundle(kind, table, bundle)
            save_calibration(Calibration("expected_utility", "mass", 0.8, 20), bundle)
            if kind in ("cells", "refined"):
                labels = small_cells(table).assign(table.coords, groups=table.countries)
                save_decoder(bundle, table.coords, labels)
            for path in sorted(bundle.iterdir()):
                self.files.append((path.name, path.read_bytes(), None))
                self._bundles.append(bundle)
        self._folder = folder

    def read(self, path, n, number=0):
        """Load the bundle with this file in place of its own, and place a photo."""
        from geoloc_models import cli, load_model
        from geoloc_models.errors import GeolocError

        bundle = self._bundles[number]
        damaged = self._folder / "damaged"
        shutil.rmtree(damaged, ignore_errors=True)
        shutil.copytree(bundle, damaged)
        shutil.copyfile(path, damaged / path.name)
        model = tried(GeolocError, load_model, damaged)
        if model is not None:
            tried(GeolocError, lambda: model.calibration)
            tried(GeolocError, lambda: model.classes)
            if n % 4 == 0:
                tried(GeolocError, model.predict, [self._photo], names=False)
        if n % COMMAND_EVERY == 0:
            photo = self._folder / "photo.png"
            self._photo.save(photo)
            told(cli.main, ["predict", photo, "--model", damaged])


TARGETS = {"tables": Tables, "photos": Photos, "cells": Cells, "bundles": Bundles}
