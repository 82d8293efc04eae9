"""Countries: their polygons, the country of a coordinate, and the code of a name."""

from __future__ import annotations

import difflib
import re
import unicodedata
from functools import lru_cache
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyarrow.parquet as pq
from numpy.typing import ArrayLike

from geoloc_models._errors import GeolocError
from geoloc_models.countries.polygon_files import read_countries_file
from geoloc_models.countries.polygon_index import CountryIndex
from geoloc_models.tables.coordinates import as_coords

_PARQUET = Path(__file__).with_name("countries.parquet")
_LONG_CODES_OF_KOSOVO = ("XKO", "XKX", "KOS")
MAX_TOLERANCE_KM = 500.0


def load_countries() -> gpd.GeoDataFrame:
    """Polygons of the world's countries.

    Returns
    -------
    GeoDataFrame
        One row per country; index ``code``, its ISO 3166-1 alpha-2 code (``XK`` for Kosovo), in
        alphabetical order; columns ``name`` (English) and ``geometry`` (valid polygons, EPSG:4326).

    Notes
    -----
    Natural Earth 1:10m admin-0, public domain, in the German-viewpoint edition. docs/countries.md
    tells how the file was made. Borders are accurate to some hundred metres.

    Examples
    --------
    >>> load_countries().loc["SE", "name"]
    'Sweden'
    """
    return _read_countries().copy()


def read_countries(
    path: str | Path, *, layer: str | None = None, code_column: str | None = None
) -> gpd.GeoDataFrame:
    """Polygons of countries from a file of your own, such as GADM's ``gadm_410-levels.gpkg``.

    Parameters
    ----------
    path : path
        GeoPackage, Shapefile (zipped too), GeoJSON, GeoParquet, ... whatever GDAL reads.
    layer : str, optional
        Layer of the areas; by default the only one, or ``ADM_0``. A finer layer works as well:
        several rows may belong to one country.
    code_column : str, optional
        Column of country codes; by default ``GID_0``, ``ISO_A2`` and the like.

    Returns
    -------
    GeoDataFrame
        As from :func:`load_countries`, in the file's order. Three-letter codes become ISO 3166-1
        alpha-2 codes; a code that has none (such as GADM's ``Z01`` for disputed land) stays.

    Raises
    ------
    GeolocError
        If the file, the layer or the column is missing, or there are no polygons.

    Notes
    -----
    Invalid polygons are mended (``make_valid``), other coordinate systems converted.
    """
    frame = read_countries_file(path, layer=layer, code_column=code_column)
    codes = {code: _alpha_2(code) for code in dict.fromkeys(frame.index)}
    frame.index = frame.index.map(codes).rename("code")
    return frame


def _alpha_2(code: str) -> str:
    """Alpha-2 code of a two- or three-letter code; any other text as it is."""
    text = code.strip().upper()
    if text in _LONG_CODES_OF_KOSOVO:
        return "XK"
    known = _names()[0].get(_plain(text))
    return known if known is not None and len(text) in (2, 3) else code.strip()


def country_of(
    coords: ArrayLike,
    countries: gpd.GeoDataFrame | None = None,
    tolerance_km: float = 0.0,
) -> np.ndarray:
    """Find the country that each coordinate lies in.

    Parameters
    ----------
    coords : array-like (n, 2)
        Latitude, longitude in degrees.
    countries : GeoDataFrame, optional
        Countries to look in, as from :func:`load_countries`; by default all of them.
    tolerance_km : float
        A coordinate outside every polygon gets the nearest country within this distance (photos of
        coasts often lie a little off the mapped shore). At most 500.

    Returns
    -------
    ndarray of object (n,)
        The country's code (the index of ``countries``), ``None`` outside. A coordinate on a
        border belongs to the country that comes first in ``countries``.

    Raises
    ------
    GeolocError
        If ``coords`` has another shape, holds NaN or an impossible latitude, or ``tolerance_km``
        is out of range.

    Notes
    -----
    For many coordinates, a grid of eighths of a degree knows the answer wherever no border runs
    through a cell, exactly: for six in ten photos of the world. For the others a tree of the boxes
    of the polygons' parts leaves a few candidates, which prepared geometries decide. Distances are
    to the border in the plane around each coordinate (longitudes times the cosine of the latitude),
    with an error below 1 % at 100 km outside the polar regions.

    Examples
    --------
    >>> country_of([[59.33, 18.07], [47.38, 8.54], [0.0, 0.0]]).tolist()
    ['SE', 'CH', None]
    """
    points = as_coords(coords)
    if not 0 <= tolerance_km <= MAX_TOLERANCE_KM:
        raise GeolocError(
            f"tolerance_km must lie between 0 and {MAX_TOLERANCE_KM:.0f}; got {tolerance_km}."
        )
    index = _world_index() if countries is None else CountryIndex.of(countries)
    row = index.find(points, tolerance_km, progress=True)
    # One more entry at the end, which row -1 finds.
    codes: np.ndarray = np.array([*index.codes, None], dtype=object)[row]
    return codes


def country_code(name_or_code: str) -> str:
    """ISO 3166-1 alpha-2 code of a country given by code or by name.

    Parameters
    ----------
    name_or_code : str
        Two- or three-letter code, or name (English, formal English, German, French, Italian,
        Spanish or Swedish); capitals, accents and punctuation do not matter.

    Raises
    ------
    GeolocError
        If no country has that name; the message names close matches.

    Examples
    --------
    >>> country_code("sweden"), country_code("CHE"), country_code("Côte d'Ivoire")
    ('SE', 'CH', 'CI')
    """
    code_of_name, shown_name = _names()
    text = str(name_or_code).strip()
    code = code_of_name.get(_plain(text))
    if code is not None:
        return code
    close = difflib.get_close_matches(_plain(text), list(code_of_name), n=8, cutoff=0.7)
    matches = list(dict.fromkeys(code_of_name[match] for match in close))[:3]
    hint = (
        "Did you mean " + " or ".join(f"{shown_name[c]} ({c})" for c in matches) + "?"
        if matches
        else "Use an ISO 3166-1 two-letter code such as SE, or an English name."
    )
    raise GeolocError(f"Unknown country {text!r}. {hint}")


@lru_cache(maxsize=1)
def _read_countries() -> gpd.GeoDataFrame:
    return gpd.read_parquet(_PARQUET, columns=["name", "geometry"])


@lru_cache(maxsize=1)
def _names() -> tuple[dict[str, str], dict[str, str]]:
    """Code of every plain name that belongs to one country only; English name of every code."""
    table = pq.read_table(_PARQUET, columns=["code", "name", "aliases"]).to_pydict()
    codes: list[str] = table["code"]
    owners: dict[str, set[str]] = {}
    for code, name, aliases in zip(codes, table["name"], table["aliases"], strict=True):
        for alias in (name, *aliases.split("|")):
            owners.setdefault(_plain(alias), set()).add(code)
    code_of_name = {name: min(of) for name, of in owners.items() if len(of) == 1}
    # A country's own name, and before it the code, outweigh another's alias.
    code_of_name.update({_plain(name): k for k, name in zip(codes, table["name"], strict=True)})
    code_of_name.update({_plain(code): code for code in codes})
    return code_of_name, dict(zip(codes, table["name"], strict=True))


def _plain(name: str) -> str:
    """Name without accents, capitals, punctuation and a leading "the"."""
    letters = unicodedata.normalize("NFKD", name.replace("&", " and ")).casefold()
    letters = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return re.sub(r"[\W_]+", " ", letters).strip().removeprefix("the ")


@lru_cache(maxsize=1)
def _world_index() -> CountryIndex:
    return CountryIndex.of(_read_countries())
