"""Countries: their polygons, the country of a coordinate, and the code of a name."""

from __future__ import annotations

import difflib
import re
import unicodedata
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyarrow.parquet as pq
import shapely
from numpy.typing import ArrayLike
from tqdm import tqdm

from geoloc_models._errors import GeolocError
from geoloc_models.data._coordinates import as_coords

_PARQUET = Path(__file__).with_name("countries.parquet")
_CHUNK_ROWS = 100_000
_CHUNK_ROWS_NEAREST = 2_000
_KM_PER_DEGREE = 6371.0088 * np.pi / 180
_MAX_TOLERANCE_KM = 500.0


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
    Polygons are split into their parts; a tree of the parts' boxes leaves a few candidates for a
    coordinate, which prepared geometries decide. Distances are to the border in the plane around
    each coordinate (longitudes times the cosine of the latitude), with an error below 1 % at 100 km
    outside the polar regions.

    Examples
    --------
    >>> country_of([[59.33, 18.07], [47.38, 8.54], [0.0, 0.0]]).tolist()
    ['SE', 'CH', None]
    """
    points = as_coords(coords)
    if not 0 <= tolerance_km <= _MAX_TOLERANCE_KM:
        raise GeolocError(
            f"tolerance_km must lie between 0 and {_MAX_TOLERANCE_KM:.0f}; got {tolerance_km}."
        )
    index = _world_index() if countries is None else _CountryIndex.of(countries)
    row = np.full(len(points), -1, dtype=np.int64)
    with tqdm(
        total=len(points), desc="Countries", unit=" rows", delay=2, leave=False, unit_scale=True
    ) as bar:
        for start in range(0, len(points), _CHUNK_ROWS):
            chunk = points[start : start + _CHUNK_ROWS]
            row[start : start + _CHUNK_ROWS] = index.containing(chunk)
            bar.update(len(chunk))
    if tolerance_km > 0:
        (outside,) = np.nonzero(row < 0)
        with tqdm(
            total=len(outside), desc="Nearest countries", unit=" rows", delay=2, leave=False
        ) as bar:
            for start in range(0, len(outside), _CHUNK_ROWS_NEAREST):
                rows = outside[start : start + _CHUNK_ROWS_NEAREST]
                row[rows] = index.nearest(points[rows], tolerance_km)
                bar.update(len(rows))
    # One more entry at the end, which row -1 finds.
    return np.array([*index.codes, None], dtype=object)[row]


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
def _world_index() -> _CountryIndex:
    return _CountryIndex.of(_read_countries())


@dataclass(frozen=True)
class _CountryIndex:
    """Search trees over the parts of the countries' polygons, and over their borders."""

    codes: tuple[str, ...]
    parts: np.ndarray  # (n_parts,) polygons
    country_of_part: np.ndarray  # (n_parts,) int64, row of the country

    @classmethod
    def of(cls, countries: gpd.GeoDataFrame) -> _CountryIndex:
        if countries.crs is not None and not countries.crs.equals("EPSG:4326"):
            countries = countries.to_crs("EPSG:4326")
        parts, country = shapely.get_parts(
            np.asarray(countries.geometry.array, dtype=object), return_index=True
        )
        shapely.prepare(parts)
        codes = tuple(str(code) for code in countries.index)
        return cls(codes, parts, country.astype(np.int64))

    @cached_property
    def _tree(self) -> shapely.STRtree:
        return shapely.STRtree(self.parts)

    @cached_property
    def _segments(self) -> tuple[shapely.STRtree, np.ndarray, np.ndarray]:
        """Tree of all border segments; their ends (n, 4) as x1, y1, x2, y2; their countries."""
        rings, part = shapely.get_rings(self.parts, return_index=True)
        vertex, ring = shapely.get_coordinates(rings, return_index=True)
        joined = ring[1:] == ring[:-1]
        ends = np.hstack([vertex[:-1], vertex[1:]])[joined]
        country = self.country_of_part[part][ring[:-1][joined]]
        boxes = shapely.box(
            np.minimum(ends[:, 0], ends[:, 2]),
            np.minimum(ends[:, 1], ends[:, 3]),
            np.maximum(ends[:, 0], ends[:, 2]),
            np.maximum(ends[:, 1], ends[:, 3]),
        )
        return shapely.STRtree(boxes), ends, country

    def containing(self, points: np.ndarray) -> np.ndarray:
        """Row of the first country whose polygon holds each point, -1 where none does."""
        latitude = points[:, 0]
        longitude = _wrapped(points[:, 1])
        found = np.full(len(points), len(self.codes), dtype=np.int64)
        # +180 and -180 are one meridian: a point on it is looked for on both sides.
        (seam,) = np.nonzero(longitude == -180.0)
        x = np.concatenate([longitude, np.full(len(seam), 180.0)])
        y = np.concatenate([latitude, latitude[seam]])
        row = np.concatenate([np.arange(len(points)), seam])
        candidate, part = self._tree.query(shapely.points(x, y))
        # By part, so that one prepared polygon answers for all its points in turn.
        order = np.argsort(part, kind="stable")
        candidate, part = candidate[order], part[order]
        inside = shapely.intersects_xy(self.parts[part], x[candidate], y[candidate])
        np.minimum.at(found, row[candidate[inside]], self.country_of_part[part[inside]])
        found[found == len(self.codes)] = -1
        return found

    def nearest(self, points: np.ndarray, tolerance_km: float) -> np.ndarray:
        """Row of the country with the nearest border within the tolerance, -1 where none is."""
        tree, ends, country = self._segments
        latitude, longitude = points[:, 0], _wrapped(points[:, 1])
        reach = tolerance_km / _KM_PER_DEGREE
        # The box must reach as far at its edge nearest the pole as in its middle.
        edge = np.minimum(np.abs(latitude) + reach, 89.9)
        reach_longitude = np.minimum(reach / np.cos(np.radians(edge)), 180.0)
        row, segment, turn = [], [], []
        for shift in (-360.0, 0.0, 360.0):
            x = longitude + shift
            (near,) = np.nonzero((x + reach_longitude >= -180) & (x - reach_longitude <= 180))
            boxes = shapely.box(
                (x - reach_longitude)[near],
                (latitude - reach)[near],
                (x + reach_longitude)[near],
                (latitude + reach)[near],
            )
            query, hit = tree.query(boxes)
            row.append(near[query])
            segment.append(hit)
            turn.append(np.full(len(hit), shift))
        rows, segments = np.concatenate(row), np.concatenate(segment)
        distance_km = _distance_to_segment_km(
            latitude[rows], longitude[rows] + np.concatenate(turn), ends[segments]
        )
        found = np.full(len(points), -1, dtype=np.int64)
        order = np.lexsort([country[segments], distance_km, rows])
        order = order[distance_km[order] <= tolerance_km]
        first_of_row, first = np.unique(rows[order], return_index=True)
        found[first_of_row] = country[segments[order[first]]]
        return found


def _wrapped(longitude: np.ndarray) -> np.ndarray:
    """Longitude in [-180, 180); one that is already there stays as it is, to the last bit."""
    inside = (longitude >= -180) & (longitude < 180)
    return np.where(inside, longitude, (longitude + 180.0) % 360.0 - 180.0)


def _distance_to_segment_km(
    latitude: np.ndarray, longitude: np.ndarray, ends: np.ndarray
) -> np.ndarray:
    """Distance of points to segments, in the plane that touches the sphere at each point."""
    stretch = np.cos(np.radians(latitude))
    x1, x2 = ((ends[:, k] - longitude) * stretch for k in (0, 2))
    y1, y2 = (ends[:, k] - latitude for k in (1, 3))
    dx, dy = x2 - x1, y2 - y1
    length = dx * dx + dy * dy
    along = np.where(length > 0, -(x1 * dx + y1 * dy) / np.where(length > 0, length, 1.0), 0.0)
    along = np.clip(along, 0.0, 1.0)
    return _KM_PER_DEGREE * np.hypot(x1 + along * dx, y1 + along * dy)
