"""How sure an answer is, checked on photos that the model was not trained on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import sparse

from geocells import decoding, sphere
from geoloc_models.coordinates import as_coords
from geoloc_models.errors import GeolocError
from geoloc_models.files import read_record, write_record

FloatArray = npt.NDArray[np.float64]
Probabilities: TypeAlias = Any  # (n, C), an array or a sparse one

CALIBRATION_FILE = "calibration.json"
FORMAT, VERSION = "geoloc-calibration", 1
LEVEL = 0.9
METHODS = ("mass", "spread", "fixed")
PROMISED_KM = (1.0, 25.0, 200.0, 750.0)
_SPREAD_MASS = 0.5
_OFFSET_KM = 1.0
_ALL_MASS = 1.0 - 1e-6
_LEAST = 1e-30  # a probability that float32 rounded to 0 has a logarithm all the same


@dataclass(frozen=True)
class Calibration:
    """Temperature of the probabilities, and what makes a radius hold 90 % of the photos.

    Parameters
    ----------
    decoder : {"argmax", "top_k", "expected_utility"}
        Whose answers the radius is around; it says nothing about another's.
    method : {"mass", "spread", "fixed"}
        ``"mass"``: the radius that holds the probability ``parameter``
        (:class:`geocells.decoding.ConformalMass`). ``"spread"``: ``parameter`` times the radius of
        half the probability, a kilometre added (:class:`geocells.decoding.ConformalRadius`).
        ``"fixed"``: ``parameter`` kilometres for every photo.
    parameter : float
        Infinite where the calibration set was too small: then there is no radius.
    n_photos : int
        Photos that it was fitted on.
    temperature : float, default 1.0
        Probabilities become ``p ** (1 / temperature)``, divided by their sum.
    promises : dict of float to float
        By kilometres: of answers whose probability within so many is above this number, 90 % can be
        promised to lie within (:func:`geocells.decoding.promise_threshold`). Infinite where nothing can.
    """

    decoder: str
    method: str
    parameter: float
    n_photos: int
    temperature: float = 1.0
    promises: Mapping[float, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise GeolocError(f"Unknown method {self.method!r}; choose one of {METHODS}.")
        if not self.parameter >= 0:
            raise GeolocError(f"The parameter must be at least 0; got {self.parameter}.")
        if self.method == "mass" and 1 < self.parameter < math.inf:
            raise GeolocError(f"A mass is a probability, at most 1; got {self.parameter}.")
        if not 0 < self.temperature < math.inf:
            raise GeolocError(f"The temperature must be above 0; got {self.temperature}.")
        if not all(0 < km < math.inf and least >= -1 for km, least in self.promises.items()):
            raise GeolocError(f"Promises are probabilities by kilometres; got {self.promises}.")

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, which has no infinity: None in its place."""
        promises = {f"{km:g}": _finite(least) for km, least in self.promises.items()}
        return {**vars(self), "parameter": _finite(self.parameter), "promises": promises}

    def radii_km(
        self,
        points: FloatArray,
        probabilities: Probabilities | None,
        decoder: decoding.ExpectedUtility | None,
    ) -> FloatArray:
        """Radius around each answer that holds the photo with 90 % confidence.

        Parameters
        ----------
        points : ndarray
            (n, 2) answers, in degrees.
        probabilities : array or None
            (n, C), scaled by the temperature already.
        decoder : ExpectedUtility or None
            Knows where the classes are; not asked by ``"fixed"``.

        Returns
        -------
        ndarray
            (n,) float64 in km; infinite where no radius is known to hold.
        """
        if self.method == "fixed" or not math.isfinite(self.parameter):
            return np.full(len(points), self.parameter)
        if decoder is None or probabilities is None:
            return np.full(len(points), np.inf)
        if self.method == "mass":
            return decoder.mass_radius(probabilities, points, self.parameter, beyond=True)
        spreads = decoder.mass_radius(probabilities, points, _SPREAD_MASS)
        return (spreads + _OFFSET_KM) * self.parameter


def fit_calibration(
    probabilities: Probabilities | None,
    coords: npt.ArrayLike,
    *,
    decoder: decoding.ExpectedUtility | None = None,
    points: npt.ArrayLike | None = None,
    labels: npt.ArrayLike | None = None,
    decoder_name: str = "expected_utility",
) -> Calibration:
    """Calibrate a model on its validation photos.

    Parameters
    ----------
    probabilities : array-like or None
        (n, C) of the validation photos, as the model gives them; None for a model without.
    coords : array-like
        (n, 2) where the photos were taken, in degrees; at least one.
    decoder : ExpectedUtility, optional
        Fitted; knows where the classes are.
    points : array-like, optional
        (n, 2) what is answered. By default ``decoder`` answers, from the probabilities once these
        are scaled.
    labels : array-like, optional
        (n,) true classes, by which the temperature is fitted; -1 for a photo of none. Without
        them the probabilities stay as they are.
    decoder_name : str
        Whose answers these are: a prediction with another decoder gets no radius.

    Returns
    -------
    Calibration
        Of the method ``"mass"``; ``"spread"`` where more than a tenth of the photos lie beyond all
        that the model thought possible, so that no mass is enough; and ``"fixed"`` without
        probabilities or decoder.

    Raises
    ------
    GeolocError
        If no photo has a true class, or there are neither points nor a decoder.

    Notes
    -----
    Split conformal prediction: of photos like the validation photos, 90 % lie within their radius.
    The temperature is fitted on the same photos; one number fitted on n photos disturbs their
    exchangeability with new ones by the order of 1/n.
    """
    truth = as_coords(coords)
    temperature = 1.0
    if probabilities is not None and labels is not None:
        temperature = _temperature(probabilities, np.asarray(labels))
        probabilities = scaled(probabilities, temperature)
    if points is None:
        if decoder is None:
            raise GeolocError("Pass the answered points, or a decoder and probabilities.")
        points = decoder.predict(probabilities)
    answers = as_coords(points)
    errors_km = sphere.haversine(answers, truth)
    method, promises, alpha = "fixed", {}, 1.0 - LEVEL
    radius = decoding.ConformalRadius(alpha, offset_km=_OFFSET_KM)
    if decoder is None or probabilities is None:
        parameter = radius.fit(errors_km).quantile_
    else:
        masses = decoder.mass_within(probabilities, answers, PROMISED_KM)
        for km, mass in zip(PROMISED_KM, masses.T, strict=True):
            threshold = decoding.promise_threshold(mass, errors_km <= km, share=LEVEL)
            promises[km] = max(-1.0, threshold)
        method = "mass"
        parameter = decoding.ConformalMass(decoder, alpha).fit(probabilities, answers, truth).mass_
        if parameter > _ALL_MASS:
            method = "spread"
            spreads_km = decoder.mass_radius(probabilities, answers, _SPREAD_MASS)
            parameter = radius.fit(errors_km, spreads_km).quantile_
    return Calibration(decoder_name, method, float(parameter), len(truth), temperature, promises)


def _temperature(probabilities: Probabilities, labels: npt.NDArray[Any]) -> float:
    known = labels >= 0
    if not known.any():
        raise GeolocError(
            f"The temperature needs photos with a true class; none of {len(labels)} validation photos "
            "has one. Do their countries occur among the training photos?"
        )
    logits = np.log(np.maximum(np.asarray(probabilities)[known], _LEAST))
    return decoding.temperature_scaling(logits, labels[known])


def scaled(probabilities: Probabilities, temperature: float) -> Probabilities:
    """Probabilities at a temperature, (n, C): above 1 they are less sure."""
    if temperature == 1.0 or sparse.issparse(probabilities):
        return probabilities
    logits = np.log(np.maximum(np.asarray(probabilities), _LEAST))
    return decoding.softmax(logits, temperature).astype(np.float32)


def save_calibration(calibration: Calibration, folder: str | Path) -> None:
    """Write ``calibration.json`` into a bundle that has been saved."""
    content = {"level": LEVEL, **calibration.to_dict()}
    write_record(Path(folder) / CALIBRATION_FILE, FORMAT, VERSION, content)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None  # JSON has no infinity


def load_calibration(folder: str | Path) -> Calibration | None:
    """Read the ``calibration.json`` of a bundle; None where there is none.

    Raises
    ------
    GeolocError
        If the file is damaged or of another version.
    """
    path = Path(folder) / CALIBRATION_FILE
    if not path.is_file():
        return None
    return read_record(path, FORMAT, VERSION, _from_dict)


def _from_dict(content: dict[str, Any]) -> Calibration:
    if content["level"] != LEVEL:
        raise ValueError(f"its level is {content['level']}, not {LEVEL}")
    promises = content.get("promises", {}).items()  # older bundles have none
    return Calibration(
        str(content["decoder"]),
        str(content["method"]),
        _or_infinite(content["parameter"]),
        int(content["n_photos"]),
        float(content["temperature"]),
        {float(km): _or_infinite(least) for km, least in promises},
    )


def _or_infinite(value: Any) -> float:
    return math.inf if value is None else float(value)
