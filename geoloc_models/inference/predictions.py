"""Answers for photos: where each was taken, how sure that is, and what was skipped."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import sparse

from geocells import decoding, sphere
from geocells.web_map import MapPage
from geoloc_models.errors import BrokenImageError
from geoloc_models.files import replacing
from geoloc_models.inference.familiarity import UNLIKE
from geoloc_models.inference.map import MappedPhoto, RegionCell, draw_map
from geoloc_models.inference.place_names import CREDIT, NearestPlace, nearest_places
from geoloc_models.models.tasks import ClassLocations
from geoloc_models.photos.images import FileImages, ImageSource

if TYPE_CHECKING:
    import geopandas as gpd
    import pandas as pd

    from geoloc_models.inference.model import Model

FloatArray = npt.NDArray[np.float64]
Probabilities: TypeAlias = Any  # (n, C), an array or a sparse one

FORMAT, VERSION = "geoloc-answers", 1
WITHIN_KM = 25.0
REGION_LEVELS = (0.5, 0.9)
_THUMBNAIL_PIXELS = 240
_MOST_SHOWN = 10  # photos, where a Python prompt prints them
_MOST_POINTS = 1000  # of a gallery's region that a map shows


@dataclass(frozen=True, eq=False)
class DecodedOutputs:
    """Answers for n images, and how sure they are.

    Parameters
    ----------
    coords : ndarray
        (n, 2) float64, latitude and longitude in degrees.
    countries : ndarray
        (n,) object, ISO codes as the training table had them.
    probabilities : ndarray, sparse array or None
        (n, C) over the classes, at the calibration's temperature; of a gallery the likeliest 99 %,
        sparse. None for a model that has none.
    class_probability : ndarray
        (n,) float64, probability of the likeliest class; NaN where unknown.
    probability_within_25_km : ndarray
        (n,) float64, probability that the photo is at most 25 km from the answer; NaN if unknown.
    radius_90_km : ndarray
        (n,) float64: of photos like the validation photos, 90 % lie within it; NaN if unknown.
    unlike_training : ndarray or None
        (n,) bool, whether the photo is unlike any that the model has seen; None if unknown.
    promised : ndarray or None
        (n,) bool, whether the answer is one of those of which 90 % are promised to lie within the
        kilometres that were asked for; None where no promise was asked for.
    """

    coords: FloatArray
    countries: npt.NDArray[np.object_]
    probabilities: Probabilities | None
    class_probability: FloatArray
    probability_within_25_km: FloatArray
    radius_90_km: FloatArray
    unlike_training: npt.NDArray[np.bool_] | None
    promised: npt.NDArray[np.bool_] | None

    def is_unlike(self, number: int) -> bool:
        """Whether a photo, counted from 0, is known to be unlike any that the model has seen."""
        return self.unlike_training is not None and bool(self.unlike_training[number])


@dataclass(frozen=True, eq=False, repr=False)
class PhotoPredictions(DecodedOutputs):
    """Answers of a model for photos, with their names and how they were made.

    Parameters
    ----------
    images : ImageSource
        All photos that were handed in.
    rows : ndarray
        (n,) int64, rows of ``images`` that could be read: those that the answers are for.
    decoder : str
        How points were made of probabilities: argmax, top_k or expected_utility.
    classes : ClassLocations or None
        What the C classes are.
    places : tuple of NearestPlace or None, or None
        Populated place nearest to each answer, None for the middle of a class scattered over a
        country and for a photo unlike any that was seen; None in all where names were not asked for.
    broken : tuple of (str, str)
        Name and reason of every photo that could not be read.
    notes : tuple of str
        Remarks on these figures.
    model : Model, optional
        The one that answered.
    exif_coords : ndarray, optional
        (n, 2) what the photos' own EXIF data say, NaN where they say nothing. Never an input of the
        model.

    Examples
    --------
    >>> from geoloc_models import load_model
    >>> answers = load_model("runs/mine").predict("photos", names=False)
    >>> len(answers.to_dataframe()), answers.coords.shape
    (160, (160, 2))
    """

    images: ImageSource
    rows: npt.NDArray[np.int64]
    decoder: str
    classes: ClassLocations | None
    places: tuple[NearestPlace | None, ...] | None = None
    broken: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    model: Model | None = None
    exif_coords: FloatArray | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        lines = [f"{len(self)} photos placed, {len(self.broken)} skipped"]
        for number, name in enumerate(self.names[:_MOST_SHOWN]):
            facts = ", ".join(f"{title} {text}" for title, text in self._facts(number))
            lines.append(f"  {name}: {facts}")
        if len(self) > _MOST_SHOWN:
            lines.append(f"  and {len(self) - _MOST_SHOWN} more")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """The answers as a table and on a map, in a notebook."""
        import pandas as pd

        shown = [
            {"Photo": name, **dict(self._facts(number))}
            for number, name in enumerate(self.names[: 2 * _MOST_SHOWN])
        ]
        table: str = pd.DataFrame(shown).to_html(index=False, na_rep="")
        n_more = len(self) - len(shown)
        rest = f"<p>and {n_more} more</p>" if n_more else ""
        return table + rest + self.explore(tiles=None)._repr_html_()

    @cached_property
    def names(self) -> list[str]:
        """Path, or other name, of each photo that was read."""
        return [self.images.describe(int(row)) for row in self.rows]

    def place_text(self, number: int) -> str | None:
        """Place of an answer: its distance where it is far off, its country where that is another.

        None where there is no place to name.
        """
        place = None if self.places is None else self.places[number]
        if place is None:
            return None
        is_abroad = place.country != self.countries[number]
        name = f"{place.name} ({place.country})" if is_abroad else place.name
        return name if place.distance_km < 10 else f"{place.distance_km:,.0f} km from {name}"

    @cached_property
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
        if isinstance(self.images, FileImages):
            for number, row in enumerate(self.rows):
                try:
                    exif = self.images.exif(int(row))
                except (BrokenImageError, OSError):  # changed since it was read
                    continue
                if exif.latitude is not None and exif.longitude is not None:
                    positions[number] = exif.latitude, exif.longitude
        return replace(self, exif_coords=positions)

    def _columns(self) -> dict[str, Any]:
        """Columns of :meth:`to_dataframe`."""
        places = self.places or [None] * len(self)
        columns: dict[str, Any] = {
            "file": self.names,
            "latitude": self.coords[:, 0],
            "longitude": self.coords[:, 1],
            "country": self.countries,
            "place": [None if place is None else place.name for place in places],
            "place_country": [None if place is None else place.country for place in places],
            "place_km": np.array(
                [math.nan if place is None else place.distance_km for place in places],
                dtype=np.float64,
            ),
            "class_probability": self.class_probability,
            "probability_within_25_km": self.probability_within_25_km,
            "radius_90_km": self.radius_90_km,
            "unlike_training": [None] * len(self)
            if self.unlike_training is None
            else self.unlike_training,
        }
        if self.promised is not None:
            columns["promised"] = self.promised
        if self.exif_coords is not None:
            columns["exif_latitude"] = self.exif_coords[:, 0]
            columns["exif_longitude"] = self.exif_coords[:, 1]
            columns["error_km"] = self.errors_km
        return columns

    def to_dataframe(self) -> pd.DataFrame:
        """One row a photo.

        Returns
        -------
        DataFrame
            ``file``, ``latitude``, ``longitude`` (degrees), ``country``, ``place``,
            ``place_country``, ``place_km`` (distance to the place),
            ``class_probability``, ``probability_within_25_km``, ``radius_90_km``, ``unlike_training``;
            ``promised`` where a promise was asked for; with EXIF positions also ``exif_latitude``,
            ``exif_longitude`` and ``error_km``. NaN or None where unknown.
        """
        import pandas as pd

        return pd.DataFrame(self._columns())

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
            share a coordinate count together. No rows for a model without probabilities, nor for a
            photo unlike any that was seen.
        """
        import pandas as pd

        rows = [
            {"file": name, **place}
            for number, name in enumerate(self.names)
            for place in self.likeliest_of(number, k)
        ]
        columns = ["file", "rank", "latitude", "longitude", "country", "place", "probability"]
        return pd.DataFrame(rows, columns=columns)

    def likeliest_of(self, number: int, k: int) -> list[dict[str, Any]]:
        """Rows of :meth:`likeliest` of one photo, counted from 0, without its name."""
        shares = self._shares(number)
        if self.classes is None or shares is None:
            return []
        labels, shares = self._ranked(shares, k)
        coords = self.classes.coords[labels]
        names: list[str | None] = [None] * len(labels)
        if self.places is not None:
            names = [
                None if self.classes.is_scattered[label] else place.name
                for label, place in zip(labels, nearest_places(coords), strict=True)
            ]
        return [
            {
                "rank": rank,
                "latitude": float(coords[rank - 1, 0]),
                "longitude": float(coords[rank - 1, 1]),
                "country": self.classes.countries[label],
                "place": names[rank - 1],
                "probability": float(share),
            }
            for rank, (label, share) in enumerate(zip(labels, shares, strict=True), start=1)
        ]

    def _shares(self, number: int) -> FloatArray | None:
        """(C,) probabilities of a photo; None where there are none to rely on."""
        if self.probabilities is None or self.is_unlike(number):
            return None
        row = self.probabilities[[number]]
        dense = row.toarray() if sparse.issparse(row) else row
        return np.asarray(dense[0], dtype=np.float64)

    def _ranked(
        self, probabilities: FloatArray, k: int | None = None
    ) -> tuple[npt.NDArray[np.int64], FloatArray]:
        """Classes of the k highest probabilities, and these; all above 0 by default."""
        labels = np.flatnonzero(probabilities > 0)
        shares: Any = probabilities[labels]
        if self.classes is not None and self.classes.kind == "gallery" and len(labels):
            _, first, group = np.unique(
                self.classes.coords[labels], axis=0, return_index=True, return_inverse=True
            )
            shares = np.bincount(group.reshape(-1), weights=shares)
            labels = labels[first]
        order = np.argsort(-shares, kind="stable")[:k]
        return labels[order], shares[order]

    def to_records(self, *, top: int = 0) -> list[dict[str, Any]]:
        """Plain values as JSON knows them: a dict a photo, None for what is unknown.

        Parameters
        ----------
        top : int
            Add this many of the likeliest classes, as ``likeliest``.
        """
        columns = self._columns()
        records = [
            {name: _plain(value) for name, value in zip(columns, row, strict=True)}
            for row in zip(*columns.values(), strict=True)
        ]
        if top:
            for number, record in enumerate(records):
                record["likeliest"] = self.likeliest_of(number, top)
        return records

    @property
    def _header(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "version": VERSION,
            "model": None if self.model is None else self.model.identity,
            "decoder": self.decoder,
        }

    def to_dict(self, *, top: int = 0) -> dict[str, Any]:
        """Everything as JSON knows it: format and version, which model answered, :meth:`to_records`.

        Returns
        -------
        dict
            ``format``, ``version``, ``model``, ``decoder``, ``photos`` (:meth:`to_records`),
            ``skipped`` (a ``file`` and a ``reason`` each) and ``notes``.
        """
        return {
            **self._header,
            "photos": self.to_records(top=top),
            "skipped": [{"file": name, "reason": reason} for name, reason in self.broken],
            "notes": list(self.notes),
        }

    def to_geojson(self, *, top: int = 0) -> dict[str, Any]:
        """GeoJSON: a FeatureCollection with a point a photo, and :meth:`to_records` as properties."""
        features = [
            {
                "type": "Feature",
                "geometry": {
                    "type": "Point",
                    "coordinates": [record["longitude"], record["latitude"]],
                },
                "properties": record,
            }
            for record in self.to_records(top=top)
        ]
        return {"type": "FeatureCollection", **self._header, "features": features}

    def explore(self, *, tiles: str | None = "OpenStreetMap", thumbnails: bool = True) -> MapPage:
        """Draw the answers on a map in a browser.

        Parameters
        ----------
        tiles : str or None
            Background: a name of the package xyzservices, such as ``"OpenTopoMap"``. None
            draws borders only, and asks no server for the part of the earth that is looked at.
        thumbnails : bool
            Show small copies of the photos; they are inside the map, with their pixels alone.

        Returns
        -------
        MapPage
            Each photo at its answer; its credible regions of 50 and 90 %, the surface of its
            probability and its 90 % radius. A notebook shows it; ``.save("map.html")`` writes it.
        """
        return draw_map(list(self.mapped(thumbnails=thumbnails)), tiles=tiles, credit=self.credit)

    @property
    def credit(self) -> str:
        """Line below a map: the model, and the source of the names."""
        about = "" if self.model is None else self.model.about
        return " ".join(filter(None, [about, "" if self.places is None else CREDIT]))

    def save_map(self, path: str | Path, *, tiles: str | None = "OpenStreetMap") -> None:
        """Write :meth:`explore`'s map as an HTML file."""
        with replacing(path) as partial:
            self.explore(tiles=tiles).save(partial)

    def mapped(self, *, thumbnails: bool = True) -> Iterator[MappedPhoto]:
        """Each photo as :func:`~geoloc_models.inference.map.draw_map` takes it."""
        cells = None if self.classes is None else self.classes.cells
        outlines = None if cells is None else cells.polygons()
        for number, name in enumerate(self.names):
            shares, exif = self._shares(number), None
            if self.exif_coords is not None and np.isfinite(self.exif_coords[number]).all():
                exif = tuple(self.exif_coords[number].tolist())
            surface = None
            if self.classes is not None and shares is not None:
                surface = self.classes.spread(shares)
            yield MappedPhoto(
                name=name,
                latitude=float(self.coords[number, 0]),
                longitude=float(self.coords[number, 1]),
                facts=self._facts(number),
                thumbnail=self._thumbnail(number) if thumbnails else None,
                radius_km=_plain(self.radius_90_km[number]),
                region=self._region(shares, outlines),
                surface=surface,
                exif=exif,
            )

    def _thumbnail(self, number: int) -> Any:
        try:
            thumbnail = self.images.load(int(self.rows[number]))
        except BrokenImageError:  # changed since it was read
            return None
        thumbnail.thumbnail((_THUMBNAIL_PIXELS, _THUMBNAIL_PIXELS))
        return thumbnail

    def _region(
        self, shares: FloatArray | None, outlines: npt.NDArray[np.object_] | None
    ) -> tuple[RegionCell, ...]:
        """Cells of the 90 % region, the likeliest first; points where the classes have no outline."""
        if shares is None or self.classes is None or self.classes.kind == "countries":
            return ()
        labels, shares = self._ranked(shares)
        shares = shares / shares.sum()
        n_core, n_whole = (
            decoding.credible_region(shares[None], level).nnz for level in REGION_LEVELS
        )
        cells = []
        for rank, label in enumerate(labels[: min(n_whole, _MOST_POINTS)].tolist()):
            latitude, longitude = self.classes.coords[label].tolist()
            outline = None if outlines is None else outlines[label]
            share = float(shares[rank])
            cells.append(RegionCell(latitude, longitude, share, rank < n_core, outline))
        return tuple(cells)

    def _facts(self, number: int) -> tuple[tuple[str, str], ...]:
        """What the map says about a photo: titles and texts."""
        latitude, longitude = self.coords[number]
        country = str(self.countries[number])
        facts = [("Answer", f"{latitude:.4f}, {longitude:.4f}"), ("Country", country)]
        place = self.place_text(number)
        if self.is_unlike(number):
            facts.insert(0, ("Note", UNLIKE))
        elif place is not None:
            facts.insert(0, ("Place", place))
        if self.promised is not None:
            facts.append(("Promised", "yes" if self.promised[number] else "no"))
        within, radius = self.probability_within_25_km[number], self.radius_90_km[number]
        if math.isfinite(within):
            facts.append(("Within 25 km", percent(within)))
        if math.isfinite(radius):
            facts.append(("90 % radius", f"{radius:,.0f} km"))
        if self.errors_km is not None and math.isfinite(self.errors_km[number]):
            facts.append(("From EXIF position", f"{self.errors_km[number]:,.1f} km"))
        return tuple(facts)


def percent(share: float) -> str:
    """Probability for readers; rounding makes none impossible or certain.

    Examples
    --------
    >>> percent(0.004), percent(0.5), percent(0.99), percent(1.0)
    ('< 1 %', '50 %', '99 %', '> 99 %')
    """
    if share > 0.99:
        return "> 99 %"
    return f"{100 * share:.0f} %" if share >= 0.01 else "< 1 %"


def _plain(value: Any) -> Any:
    """A value as JSON knows it; None for what is not finite."""
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not math.isfinite(value) else value
