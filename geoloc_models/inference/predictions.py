"""Answers for photos: where each was taken, how sure that is, and what was skipped."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import sparse

from geocells import decoding, sphere
from geoloc_models._errors import BrokenImageError
from geoloc_models._files import replacing
from geoloc_models.inference.class_locations import ClassLocations
from geoloc_models.inference.inputs import Photos
from geoloc_models.inference.map import MappedPhoto, RegionCell, draw_map
from geoloc_models.inference.place_names import CREDIT, NearestPlace, nearest_places
from geoloc_models.photos.images import ImageSource

if TYPE_CHECKING:
    import folium
    import geopandas as gpd

FloatArray = npt.NDArray[np.float64]
Probabilities: TypeAlias = Any  # (n, C), an array or a sparse one

WITHIN_KM = 25.0
REGION_LEVELS = (0.5, 0.9)
_THUMBNAIL_PIXELS = 240
_MOST_POINTS = 1000  # of a gallery's region that a map shows


@dataclass(frozen=True, eq=False)
class PhotoPredictions:
    """Where photos were taken, to a model.

    Parameters
    ----------
    images : ImageSource
        All photos that were handed in.
    rows : ndarray
        (n,) int64, rows of ``images`` that could be read: those that the answers are for.
    coords : ndarray
        (n, 2) float64, latitude and longitude in degrees.
    countries : ndarray
        (n,) object, ISO codes as the training table had them.
    decoder : str
        How points were made of probabilities: argmax, top_k or expected_utility.
    probabilities : array or None
        (n, C) over the classes, calibrated where the model is; sparse over a gallery, without
        those that hold the last 1 %. None for a model that has none.
    classes : ClassLocations or None
        What the C classes are.
    confidence : ndarray
        (n,) float64, probability of the likeliest class; NaN where unknown.
    probability_within_25_km : ndarray
        (n,) float64, probability that the photo is at most 25 km from the answer; NaN if unknown.
    radius_90_km : ndarray
        (n,) float64: of photos like the validation photos, 90 % lie within it; NaN if unknown.
    places : tuple of NearestPlace, or None
        Populated place nearest to each answer; None where names were not asked for.
    broken : tuple of (str, str)
        Name and reason of every photo that could not be read.
    notes : tuple of str
        What a reader has to know about these figures.
    exif_coords : ndarray, optional
        (n, 2) what the photos' own EXIF data say, NaN where they say nothing. Never an input of the
        model.
    """

    images: ImageSource
    rows: npt.NDArray[np.int64]
    coords: FloatArray
    countries: npt.NDArray[np.object_]
    decoder: str
    probabilities: Probabilities | None
    classes: ClassLocations | None
    confidence: FloatArray
    probability_within_25_km: FloatArray
    radius_90_km: FloatArray
    places: tuple[NearestPlace, ...] | None = None
    broken: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    exif_coords: FloatArray | None = field(default=None)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def names(self) -> list[str]:
        """Path, or other name, of each photo that was read."""
        return [self.images.describe(int(row)) for row in self.rows]

    @property
    def errors_km(self) -> FloatArray | None:
        """(n,) distance of each answer from the photo's EXIF position, NaN without one."""
        if self.exif_coords is None:
            return None
        known = ~np.isnan(self.exif_coords).any(axis=1)
        errors = np.full(len(self), np.nan)
        if known.any():
            errors[known] = sphere.haversine(self.coords[known], self.exif_coords[known])
        return errors

    def with_exif(self) -> PhotoPredictions:
        """Set the photos' own EXIF positions beside the answers."""
        positions = np.full((len(self), 2), np.nan)
        if isinstance(self.images, Photos):
            for number, row in enumerate(self.rows):
                try:
                    found = self.images.exif(int(row))
                except (BrokenImageError, OSError):  # changed since it was read
                    continue
                if found.latitude is not None and found.longitude is not None:
                    positions[number] = found.latitude, found.longitude
        return replace(self, exif_coords=positions)

    def to_dataframe(self) -> pd.DataFrame:
        """One row a photo.

        Returns
        -------
        DataFrame
            ``file``, ``latitude``, ``longitude`` (degrees), ``country``, ``place``,
            ``place_country``, ``place_km`` (distance to the place), ``confidence``,
            ``probability_within_25_km``, ``radius_90_km``; with EXIF positions also
            ``exif_latitude``, ``exif_longitude`` and ``error_km``. NaN or None where unknown.
        """
        places = self.places
        none = [None] * len(self)
        columns: dict[str, Any] = {
            "file": self.names,
            "latitude": self.coords[:, 0],
            "longitude": self.coords[:, 1],
            "country": self.countries,
            "place": none if places is None else [own.name for own in places],
            "place_country": none if places is None else [own.country for own in places],
            "place_km": np.full(len(self), np.nan)
            if places is None
            else np.array([own.distance_km for own in places], dtype=np.float64),
            "confidence": self.confidence,
            "probability_within_25_km": self.probability_within_25_km,
            "radius_90_km": self.radius_90_km,
        }
        if self.exif_coords is not None:
            columns["exif_latitude"] = self.exif_coords[:, 0]
            columns["exif_longitude"] = self.exif_coords[:, 1]
            columns["error_km"] = self.errors_km
        return pd.DataFrame(columns)

    def to_geodataframe(self) -> gpd.GeoDataFrame:
        """:meth:`to_dataframe` with a point a row, in EPSG:4326."""
        import geopandas as gpd

        frame = self.to_dataframe()
        points = gpd.points_from_xy(frame["longitude"], frame["latitude"])
        return gpd.GeoDataFrame(frame, geometry=points, crs="EPSG:4326")

    def likeliest(self, k: int = 5) -> pd.DataFrame:
        """Likeliest classes of each photo.

        Returns
        -------
        DataFrame
            k rows a photo, or as many as there are classes of probability above 0: ``file``,
            ``rank`` from 1, ``latitude``, ``longitude`` of the class, ``country``, ``place``
            (None where names were not asked for) and ``probability``. Places of a gallery that
            share a coordinate count together. No rows for a model without probabilities.
        """
        rows: list[tuple[Any, ...]] = []
        if self.probabilities is not None and self.classes is not None:
            for number, name in enumerate(self.names):
                classes, shares = self._ranked(number, k)
                for rank, (own, share) in enumerate(zip(classes, shares, strict=True), start=1):
                    latitude, longitude = self.classes.coords[own]
                    country = self.classes.countries[own]
                    rows.append((name, rank, latitude, longitude, country, None, float(share)))
        columns = ["file", "rank", "latitude", "longitude", "country", "place", "probability"]
        frame = pd.DataFrame(rows, columns=columns)
        if self.places is not None and len(frame):
            found = nearest_places(frame[["latitude", "longitude"]].to_numpy(np.float64))
            frame["place"] = [own.name for own in found]
        return frame

    def _ranked(self, number: int, k: int) -> tuple[npt.NDArray[np.int64], FloatArray]:
        """Classes of the k highest probabilities of a photo, and these."""
        own: Any
        shares: Any
        own, shares = self._distribution(number)
        if self.classes is not None and self.classes.kind == "gallery" and len(own):
            _, first, group = np.unique(
                self.classes.coords[own], axis=0, return_index=True, return_inverse=True
            )
            shares = np.bincount(group.reshape(-1), weights=shares)
            own = own[first]
        order = np.argsort(-shares, kind="stable")[:k]
        return own[order], shares[order]

    def _distribution(self, number: int) -> tuple[npt.NDArray[np.int64], FloatArray]:
        """Classes of probability above 0 of a photo, and their probabilities."""
        probabilities: Any = self.probabilities
        if sparse.issparse(probabilities):
            row = probabilities[[number]]
            return row.indices.astype(np.int64), row.data
        shares = self._dense(number)
        own = np.flatnonzero(shares > 0)
        return own, shares[own]

    def to_records(self, *, top: int = 0) -> list[dict[str, Any]]:
        """Plain values as JSON knows them: a dict a photo, None for what is unknown.

        Parameters
        ----------
        top : int
            Add this many of the likeliest classes, as ``likeliest``.
        """
        records: list[dict[str, Any]] = [
            {str(key): _plain(value) for key, value in row.items()}
            for row in self.to_dataframe().to_dict("records")
        ]
        if top:
            lists: dict[str, list[dict[str, Any]]] = {}
            for row in self.likeliest(top).to_dict("records"):
                name = row.pop("file")
                lists.setdefault(name, []).append({str(k): _plain(v) for k, v in row.items()})
            for record in records:
                record["likeliest"] = lists.get(record["file"], [])
        return records

    def to_geojson(self, *, top: int = 0) -> dict[str, Any]:
        """GeoJSON: a FeatureCollection with a point a photo, and :meth:`to_records` as properties."""
        features = []
        for record in self.to_records(top=top):
            point = [record["longitude"], record["latitude"]]
            features.append(
                {
                    "type": "Feature",
                    "geometry": {"type": "Point", "coordinates": point},
                    "properties": record,
                }
            )
        return {"type": "FeatureCollection", "features": features}

    def explore(
        self, *, tiles: str | None = "OpenStreetMap", thumbnails: bool = True
    ) -> folium.Map:
        """Draw the answers on a map in a browser.

        Parameters
        ----------
        tiles : str or None
            Background, as folium takes it. None draws borders only, and asks no server for the
            part of the earth that is looked at.
        thumbnails : bool
            Show small copies of the photos; they are inside the map, with their pixels alone.

        Returns
        -------
        folium.Map
            Each photo at its answer; its credible regions of 50 and 90 %, the surface of its
            probability and its 90 % radius. ``.save("map.html")`` writes it.
        """
        cells = None if self.classes is None else self.classes.cells
        outlines = None if cells is None else cells.polygons()
        photos = [self._mapped(number, outlines, thumbnails) for number in range(len(self))]
        return draw_map(photos, tiles=tiles, credit=None if self.places is None else CREDIT)

    def save_map(self, path: str | Path, *, tiles: str | None = "OpenStreetMap") -> None:
        """Write :meth:`explore`'s map as an HTML file."""
        with replacing(path) as partial:
            self.explore(tiles=tiles).save(str(partial))

    def _mapped(
        self, number: int, outlines: npt.NDArray[np.object_] | None, thumbnails: bool
    ) -> MappedPhoto:
        exif = None
        if self.exif_coords is not None and not np.isnan(self.exif_coords[number]).any():
            exif = (float(self.exif_coords[number, 0]), float(self.exif_coords[number, 1]))
        thumbnail = None
        if thumbnails:
            try:
                thumbnail = self.images.load(int(self.rows[number]))
                thumbnail.thumbnail((_THUMBNAIL_PIXELS, _THUMBNAIL_PIXELS))
            except BrokenImageError:  # changed since it was read
                thumbnail = None
        surface = None
        if self.probabilities is not None and self.classes is not None:
            surface = self.classes.spread(self._dense(number))
        return MappedPhoto(
            name=self.names[number],
            latitude=float(self.coords[number, 0]),
            longitude=float(self.coords[number, 1]),
            facts=self._facts(number),
            thumbnail=thumbnail,
            radius_km=_finite(self.radius_90_km[number]),
            region=self._region(number, outlines),
            surface=surface,
            exif=exif,
        )

    def _dense(self, number: int) -> FloatArray:
        probabilities: Any = self.probabilities
        row = probabilities[[number]]
        dense = row.toarray() if sparse.issparse(row) else row
        return np.asarray(dense[0], dtype=np.float64)

    def _region(
        self, number: int, outlines: npt.NDArray[np.object_] | None
    ) -> tuple[RegionCell, ...]:
        """Cells of the 90 % region, the likeliest first; points where the classes have no outline."""
        if self.probabilities is None or self.classes is None or self.classes.kind == "countries":
            return ()
        own = self._dense(number)[None, :]
        own /= own.sum()
        core, whole = (decoding.credible_region(own, level) for level in REGION_LEVELS)
        in_core = set(core.indices.tolist())
        cells = []
        for label, share in zip(whole.indices.tolist(), whole.data.tolist(), strict=True):
            latitude, longitude = self.classes.coords[label].tolist()
            outline = None if outlines is None else outlines[label]
            cells.append(RegionCell(latitude, longitude, share, label in in_core, outline))
        return tuple(cells[:_MOST_POINTS])

    def _facts(self, number: int) -> tuple[tuple[str, str], ...]:
        """What the map says about a photo: titles and texts."""
        latitude, longitude = self.coords[number]
        facts = [("Answer", f"{latitude:.4f}, {longitude:.4f}")]
        if self.places is not None:
            facts.insert(0, ("Place", place_text(self.places[number], self.countries[number])))
        facts.append(("Country", str(self.countries[number])))
        within, radius = self.probability_within_25_km[number], self.radius_90_km[number]
        if math.isfinite(within):
            facts.append(("Within 25 km", percent(within)))
        if math.isfinite(radius):
            facts.append(("90 % radius", f"{radius:,.0f} km"))
        errors = self.errors_km
        if errors is not None and math.isfinite(errors[number]):
            facts.append(("From EXIF position", f"{errors[number]:,.1f} km"))
        return tuple(facts)


def place_text(place: NearestPlace, country: str) -> str:
    """Name of a place; its distance where it is far off, its country where that is another."""
    name = place.name if place.country == country else f"{place.name} ({place.country})"
    return name if place.distance_km < 10 else f"{place.distance_km:,.0f} km from {name}"


def percent(share: float) -> str:
    """Probability for readers."""
    return f"{100 * share:.0f} %" if share >= 0.01 else "< 1 %"


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _plain(value: Any) -> Any:
    if isinstance(value, float | np.floating):
        return _finite(float(value))
    if isinstance(value, np.integer):
        return int(value)
    return None if value is None or value is pd.NA else value
