"""Calibration of a model, measured on its test photos."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from geocells import decoding, sphere
from geoloc_models.errors import GeolocError
from geoloc_models.evaluation.coverage import Coverage, chance_interval, coverage
from geoloc_models.files import read_record, write_record
from geoloc_models.inference.calibration import LEVEL
from geoloc_models.inference.model import Model
from geoloc_models.inference.predictions import WITHIN_KM

CALIBRATION_REPORT_FILE = "calibration_report.json"
FORMAT, VERSION = "geoloc-calibration-report", 1
LEVELS = (0.5, 0.9)
_N_BINS = 10


@dataclass(frozen=True)
class Region:
    """Credible regions: the smallest sets of classes that hold so much of the probability.

    Parameters
    ----------
    level : float
        Probability that each holds at least, 0 to 1.
    held : float
        Share of the test photos whose true class is in it.
    median_classes : float
        Median number of classes.
    """

    level: float
    held: float
    median_classes: float


@dataclass(frozen=True)
class Bin:
    """Test photos of which the model is about as sure.

    Parameters
    ----------
    n_photos : int
        Their number.
    confidence : float
        Mean probability that the model gave.
    accuracy, low, high : float
        Share that came true, and its 95 % interval (Wilson).
    """

    n_photos: int
    confidence: float
    accuracy: float
    low: float
    high: float


@dataclass(frozen=True)
class Abstaining:
    """What it brings to answer only where the model is sure to be within 25 km.

    Parameters
    ----------
    held : sequence of float
        Share (0 to 1) of the surest quarter, half, three quarters, and of all test photos that lie
        within 25 km of their answer.
    risk_area : float
        Area under the risk-coverage curve, 0 to 1: the mean share of wrong answers.
    promised : float
        Share of the photos that get an answer where 90 % of these are promised to be right.
    promised_held : float or None
        Share of these that are; None where there is none.
    """

    held: Sequence[float]
    risk_area: float
    promised: float
    promised_held: float | None


@dataclass(frozen=True)
class CalibrationReport:
    """Calibration of a model, measured on its test photos.

    Parameters
    ----------
    n_photos : int
        Test photos.
    decoder : str
        Whose answers these are.
    method : str
        How radii are made: see :class:`geoloc_models.inference.calibration.Calibration`.
    n_calibration : int
        Validation photos that it was calibrated on.
    temperature : float
        That the probabilities are at.
    coverage : Coverage or None
        Of the 90 % radius; None where the validation photos were too few for one.
    error_as_trained, error_calibrated : float or None
        Expected calibration error of the likeliest class (0 to 1), before and after the
        temperature; None for a model without classes of its own.
    regions : tuple of Region
        At 50 and 90 %.
    classes : tuple of Bin
        Reliability diagram: of the likeliest class being the true one.
    within_25_km : tuple of Bin
        Likewise, of the photo being within 25 km of the answer.
    abstaining : Abstaining or None
        None for a model without a probability within 25 km.

    Examples
    --------
    >>> import json
    >>> from pathlib import Path
    >>> content = json.loads(Path("runs/mine/calibration_report.json").read_text())
    >>> content["n_photos"] > 0
    True
    """

    n_photos: int
    decoder: str
    method: str
    n_calibration: int
    temperature: float
    coverage: Coverage | None
    error_as_trained: float | None
    error_calibrated: float | None
    regions: tuple[Region, ...] = ()
    classes: tuple[Bin, ...] = ()
    within_25_km: tuple[Bin, ...] = ()
    abstaining: Abstaining | None = None

    @property
    def chance(self) -> tuple[float, float] | None:
        """Share (0 to 1) that an exact radius covers in 95 of 100 draws of both photo sets.

        The beta-binomial interval, see :func:`~geoloc_models.evaluation.chance_interval`; None
        where there is no radius.
        """
        if self.coverage is None:
            return None
        return chance_interval(self.coverage.n_photos, self.coverage.promised, self.n_calibration)

    def to_dict(self) -> dict[str, Any]:
        """All values as JSON knows them."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Build it again from what :meth:`to_dict` gave; KeyError or TypeError if it is something else."""
        values = dict(content)
        for name, kind in (("regions", Region), ("classes", Bin), ("within_25_km", Bin)):
            values[name] = tuple(kind(**each) for each in values[name])
        for name, record in (("coverage", Coverage), ("abstaining", Abstaining)):
            if values.get(name) is not None:
                values[name] = record(**values[name])
        return cls(**values)


def judge_calibration(
    model: Model,
    arrays: Mapping[str, npt.NDArray[Any]],
    coords: npt.ArrayLike,
    countries: npt.ArrayLike,
) -> CalibrationReport:
    """Measure a model's calibration on its test photos.

    Parameters
    ----------
    model : Model
        Calibrated, on photos that are not among these.
    arrays : mapping of str to ndarray
        What its network gave for the n test photos.
    coords, countries : array-like
        (n, 2) degrees and (n,): the truth.

    Returns
    -------
    CalibrationReport
        Over the photos of :meth:`~geoloc_models.inference.model.Model.sample`.

    Raises
    ------
    GeolocError
        If the model is not calibrated, there is no photo, or lengths differ.

    Examples
    --------
    >>> from geoloc_models import load_model
    >>> from geoloc_models.inference.calibration_report import judge_calibration
    >>> from geoloc_models.inference.bundle import load_bundle
    >>> from geoloc_models.training import bundle_outputs, read_split, table_source
    >>> source, split = table_source("split.parquet"), read_split("runs/mine")
    >>> outputs = bundle_outputs(load_bundle("runs/mine/bundle"), source, split.test, progress=False)
    >>> coords, countries = source.table.coords[split.test], source.table.countries[split.test]
    >>> report = judge_calibration(load_model("runs/mine"), outputs.arrays, coords, countries)
    >>> report.n_photos == len(split.test)
    True
    """
    calibration = model.calibration
    if calibration is None:
        raise GeolocError("The model is not calibrated: call its calibrate() first.")
    _, arrays, truth, names = model.judged(arrays, coords, countries)
    decoded = model.decode(arrays, calibration.decoder)
    distances = sphere.haversine(decoded.coords, truth)
    labels = None if model.classes is None else model.classes.labels_of(truth, names)
    before = after = None
    regions: tuple[Region, ...] = ()
    of_classes: tuple[Bin, ...] = ()
    if labels is not None and (labels >= 0).any():
        known = labels >= 0
        true_labels = labels[known]
        trained = np.asarray(model.task.predict_proba(arrays))[known]
        at_temperature = np.asarray(decoded.probabilities)[known]
        before, after = (
            decoding.expected_calibration_error(each, true_labels, _N_BINS)
            for each in (trained, at_temperature)
        )
        of_classes = _bins(at_temperature, true_labels)
        regions = tuple(_region(at_temperature, true_labels, level) for level in LEVELS)
    within: tuple[Bin, ...] = ()
    abstaining = None
    sure, right = decoded.probability_within_25_km, distances <= WITHIN_KM
    if not np.isnan(sure).any():
        within = _bins(np.clip(sure, 0.0, 1.0), right)
        abstaining = _abstaining(sure, right, calibration.promises.get(WITHIN_KM, math.inf))
    return CalibrationReport(
        n_photos=len(truth),
        decoder=calibration.decoder,
        method=calibration.method,
        n_calibration=calibration.n_photos,
        temperature=calibration.temperature,
        coverage=coverage(distances, decoded.radius_90_km, LEVEL),
        error_as_trained=before,
        error_calibrated=after,
        regions=regions,
        classes=of_classes,
        within_25_km=within,
        abstaining=abstaining,
    )


def _abstaining(
    sure: npt.NDArray[np.float64], right: npt.NDArray[np.bool_], threshold: float
) -> Abstaining:
    curve = decoding.risk_coverage(sure, right)
    ends = curve["coverage"].searchsorted([0.25, 0.5, 0.75, 1.0 - 1e-9])
    given = sure > threshold
    return Abstaining(
        held=(1.0 - curve["risk"].to_numpy()[ends]).tolist(),
        risk_area=float(np.average(curve["risk"], weights=np.diff(curve["coverage"], prepend=0.0))),
        promised=float(given.mean()),
        promised_held=float(right[given].mean()) if given.any() else None,
    )


def _region(probabilities: npt.NDArray[Any], labels: npt.NDArray[np.int64], level: float) -> Region:
    region = decoding.credible_region(probabilities, level)
    inside = np.asarray(region[np.arange(len(labels)), labels]).reshape(-1) > 0
    return Region(level, float(inside.mean()), float(np.median(np.diff(region.indptr))))


def _bins(probabilities: npt.NDArray[Any], labels: npt.NDArray[Any]) -> tuple[Bin, ...]:
    table = decoding.reliability(probabilities, labels, _N_BINS)
    columns = ["count", "confidence", "accuracy", "accuracy_low", "accuracy_high"]
    return tuple(
        Bin(int(count), *(float(value) for value in values))
        for count, *values in table.loc[table["count"] > 0, columns].itertuples(index=False)
    )


def write_calibration_report(path: str | Path, report: CalibrationReport) -> None:
    """Write a record as JSON."""
    write_record(path, FORMAT, VERSION, report.to_dict())


def read_calibration_report(path: str | Path) -> CalibrationReport:
    """Read what :func:`write_calibration_report` wrote.

    Raises
    ------
    GeolocError
        If the file is missing, damaged or of another version.
    """
    return read_record(path, FORMAT, VERSION, CalibrationReport.from_dict)
