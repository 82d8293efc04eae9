"""The demo's places: real photo coordinates in the gallery of the package geoclip."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd

from geoloc_models.countries import country_of, load_countries
from geoloc_models.errors import GeolocError
from geoloc_models.photos.installed import find_installed_file
from geoloc_models.tables.photo_table import PhotoTable
from geoloc_models.tables.split import place_blocks

BLOCK_KM = 10.0  # a little more than one pixel of the satellite image


def demo_places(
    region: Literal["sweden-switzerland", "world"] = "sweden-switzerland",
    n_world: int = 20_000,
    seed: int = 0,
) -> PhotoTable:
    """Real photo coordinates with their countries.

    Parameters
    ----------
    region : {"sweden-switzerland", "world"}
        Every gallery coordinate in Sweden (1 007) and Switzerland (1 011), repeated ones included;
        or a sample of the world without repetitions.
    n_world : int
        Size of the world sample.
    seed : int
        Seed of the world sample.

    Returns
    -------
    PhotoTable
        Columns ``id`` (row of the gallery), ``latitude``, ``longitude``, ``country`` and ``group``:
        the 10 km block of the place, so that no place that is trained on has a repetition or
        a near neighbour among those held out.

    Raises
    ------
    GeolocError
        If the region is unknown, ``n_world`` is out of range, or a package is missing.

    Notes
    -----
    The coordinates are the gallery of the package ``geoclip`` (MIT), read from its file; the
    package itself is not imported. Places outside every country polygon are left out.
    """
    coords = gallery_coordinates()
    gallery_row = np.arange(len(coords))
    if region == "sweden-switzerland":
        countries = country_of(coords, load_countries().loc[["SE", "CH"]])
        stored = np.flatnonzero(pd.notna(countries))
    elif region == "world":
        _, first = np.unique(coords, axis=0, return_index=True)
        gallery_row = np.sort(first)
        coords = coords[gallery_row]
        countries = country_of(coords)
        in_country = np.flatnonzero(pd.notna(countries))
        if not 1 <= n_world <= len(in_country):
            raise GeolocError(
                f"n_world must lie between 1 and {len(in_country)}, the places that the gallery "
                f"has; got {n_world}."
            )
        generator = np.random.default_rng(seed)
        stored = np.sort(generator.choice(in_country, size=n_world, replace=False))
    else:
        raise GeolocError(f"Unknown region {region!r}. Use sweden-switzerland or world.")
    coords = coords[stored]
    table = PhotoTable.from_arrays(coords, countries[stored], groups=place_blocks(coords, BLOCK_KM))
    return PhotoTable(table.frame.assign(id=[f"gallery-{row}" for row in gallery_row[stored]]))


def gallery_coordinates() -> np.ndarray:
    """Latitude, longitude of the 100 000 photos in geoclip's gallery: (100000, 2) float64."""
    path = find_installed_file("geoclip", "geoclip", "model/gps_gallery/coordinates_100K.csv")
    return pd.read_csv(path, usecols=["LAT", "LON"])[["LAT", "LON"]].to_numpy(dtype=np.float64)
