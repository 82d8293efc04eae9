"""Metadata as people have it, made up around real places, and pictures for it.

Photos cannot be shipped, so ``prepare_photos.py`` starts from here. Real are the coordinates: all of Sweden and
Switzerland in the gallery of the package geoclip (``pip install '.[demo]'``), and some of the rest of the world.
Made up by a seed are ids, users, times and addresses, and what is wrong with some of the lines, as in every large file
from the web. The pictures are crops of NASA's Blue Marble around the places.
"""

from __future__ import annotations

import gzip
import io
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from geoloc_models.files import replacing
from geoloc_models.photos.satellite import SatelliteCrops
from geoloc_models.tables import place_blocks
from geoloc_models.tables.demo import demo_places, gallery_coordinates

N_COLUMNS = 23
"""Of a line of YFCC100M."""
CROP_KM = 54.0
PHOTOS_A_USER = 5
"""On average."""

# Lines that are no use, beside one for each photo. Many photos of YFCC100M have no coordinate.
N_WITHOUT_PLACE = 500
N_VIDEOS = 30
N_REPEATED = 25
N_AT_ZERO = 8
N_OUT_OF_RANGE = 5
N_NOT_NUMBERS = 4
N_BROKEN_IN_TWO = 3


def photos_to_be(n_a_country: int | None, n_elsewhere: int, seed: int = 0) -> pd.DataFrame:
    """Draw the photos that the metadata is about, in the order of its lines.

    Columns ``id``, ``latitude``, ``longitude``, ``country`` ("SE", "CH", or "" elsewhere), ``user`` and ``time``.
    """
    rng = np.random.default_rng(seed)
    places = demo_places("sweden-switzerland").frame[["latitude", "longitude", "country"]]
    gallery = pd.DataFrame(gallery_coordinates(), columns=["latitude", "longitude"])
    others = gallery.merge(
        places.drop_duplicates(), on=["latitude", "longitude"], how="left", indicator=True
    )
    others = others[others["_merge"] == "left_only"].drop(columns="_merge")
    others = others.assign(country="").sample(n_elsewhere, random_state=rng)
    if n_a_country is not None:
        places = places.groupby("country").sample(n_a_country, random_state=rng)
    photos = pd.concat([places, others]).sample(frac=1, random_state=rng).reset_index(drop=True)
    n = len(photos)
    photos.insert(0, "id", rng.choice(9_000_000_000, n, replace=False) + 1_000_000_000)
    photos["id"] = photos["id"].astype(str)
    photos["user"] = _users(photos[["latitude", "longitude"]].to_numpy(), rng)
    seconds = rng.integers(1_104_537_600, 1_398_902_400, n)  # 2005 to April 2014
    photos["time"] = pd.to_datetime(seconds, unit="s").strftime("%Y-%m-%d %H:%M:%S.0")
    return photos


def _users(coords: np.ndarray, rng: np.random.Generator) -> list[str]:
    """People take their pictures in one region: some of its photos each."""
    region = place_blocks(coords, 100.0)
    n_photos = np.bincount(region)[region]
    number = rng.integers(0, np.maximum(1, n_photos // PHOTOS_A_USER))
    return [f"{10_000_000 + r * 1_000 + k}@N0{r % 8}" for r, k in zip(region, number, strict=True)]


def write_metadata(
    photos: pd.DataFrame, path: Path, url_of: Callable[[str], str], seed: int = 0
) -> Counter[str]:
    """Write a gzipped file in YFCC100M's layout; how many lines are no use, by what is wrong with them."""
    rng = np.random.default_rng([seed, 1])
    lines = [
        _line(photo.id, photo.latitude, photo.longitude, photo.user, photo.time, url_of(photo.id))
        for photo in photos.itertuples()
    ]
    useless: list[tuple[str, str]] = []

    def spoil(what: str, times: int, spoiled: Callable[[list[str], int], None]) -> None:
        for k in range(times):
            fields = str(rng.choice(lines)).split("\t")
            fields[0] = str(20_000_000_000 + len(useless))
            spoiled(fields, k)
            useless.append((what, "\t".join(fields)))

    spoil("no coordinate", N_WITHOUT_PLACE, lambda fields, k: _move(fields, "", ""))
    spoil("the position 0, 0", N_AT_ZERO, lambda fields, k: _move(fields, "0.0", "0.0"))
    spoil("not a number", N_NOT_NUMBERS, lambda fields, k: _move(fields, "59,33", "18,07"))
    spoil("out of range", N_OUT_OF_RANGE, lambda fields, k: _move(fields, f"9{k}.5", "8.5"))
    spoil("a video", N_VIDEOS, lambda fields, k: fields.__setitem__(-1, "1"))
    spoil("broken in two", N_BROKEN_IN_TWO, lambda fields, k: fields.__setitem__(6, "On the\nlake"))
    useless += [("an id again", line) for line in rng.choice(lines, N_REPEATED, replace=False)]
    # Repeated lines come below the first ones, the others anywhere.
    at = rng.integers(0, len(lines), len(useless)) + 0.5
    at[[what == "an id again" for what, _ in useless]] = len(lines)
    order = np.argsort(np.concatenate([np.arange(len(lines)), at]), kind="stable")
    everything = lines + [line for _, line in useless]
    half = everything[0][: len(everything[0]) // 3]
    text = "\n".join([*(everything[k] for k in order), half])  # and there the writer was killed
    with replacing(path) as partial, gzip.GzipFile(partial, "wb", mtime=0) as file:
        file.write(text.encode())
    wrong = Counter(what for what, _ in useless)
    wrong["broken in two"] *= 2
    wrong["half a line"] = 1
    return wrong


def _line(photo_id: str, latitude: float, longitude: float, user: str, time: str, url: str) -> str:
    fields = [""] * N_COLUMNS
    fields[0:4] = [photo_id, user, f"photographer+{user[5:8]}", time]
    fields[6:9] = ["Untitled", 'What+a+"view', "travel,summer"]
    fields[10:16] = [f"{longitude:.6f}", f"{latitude:.6f}", "16", f"{url}#page", url, "CC BY"]
    fields[-2:] = ["jpg", "0"]
    return "\t".join(fields)


def _move(fields: list[str], latitude: str, longitude: str) -> None:
    fields[10], fields[11] = longitude, latitude


class Pictures(Mapping[str, bytes]):
    """A JPEG for each photo, by its id: the earth around its place, cut when it is asked for."""

    def __init__(self, photos: pd.DataFrame, size: int) -> None:
        self._row_of_id = {photo_id: row for row, photo_id in enumerate(photos["id"])}
        coords = photos[["latitude", "longitude"]].to_numpy()
        self._crops = SatelliteCrops(coords, width_km=CROP_KM, size=size)

    def __getitem__(self, photo_id: str) -> bytes:
        file = io.BytesIO()
        self._crops.load(self._row_of_id[photo_id]).save(file, "JPEG", quality=90)
        return file.getvalue()

    def __iter__(self) -> Iterator[str]:
        return iter(self._row_of_id)

    def __len__(self) -> int:
        return len(self._row_of_id)
