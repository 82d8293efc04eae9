"""The figures of a model on a test set, each with an interval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Interval:
    """A figure with its 95 % interval; NaN bounds where there is none."""

    value: float
    low: float
    high: float

    @property
    def bounds(self) -> list[float]:
        """The interval alone, lower bound first."""
        return [self.low, self.high]


@dataclass(frozen=True)
class Evaluation:
    """The figures of one model on one test set.

    Parameters
    ----------
    n_test : int
        Number of test images.
    country : Interval
        Share of images placed in the right country, in percent.
    within_km : dict of float to Interval
        Share of images placed at most so many kilometres away, in percent.
    median_km : Interval
        Median distance from the truth, in kilometres.
    geoscore : Interval
        Mean of :func:`~geoloc_models.evaluation.geoscores`, 0 to 5000.
    n_runs : int, default 1
        Training runs behind the figures. With 1, intervals are over test images; with more
        (:func:`~geoloc_models.evaluation.over_seeds`), over runs.
    """

    n_test: int
    country: Interval
    within_km: dict[float, Interval]
    median_km: Interval
    geoscore: Interval
    n_runs: int = 1

    def figures(self) -> dict[str, Interval]:
        """All figures by name: ``country``, ``1 km`` and so on, ``median_km``, ``geoscore``."""
        within = {f"{radius:g} km": share for radius, share in self.within_km.items()}
        return {
            "country": self.country,
            **within,
            "median_km": self.median_km,
            "geoscore": self.geoscore,
        }

    def to_dict(self) -> dict[str, Any]:
        """Arrange the figures as in ``results.json``; percentages and kilometres, radii as text."""
        content: dict[str, Any] = {
            "country": self.country.value,
            "within_km": {f"{r:g}": figure.value for r, figure in self.within_km.items()},
            "median_km": self.median_km.value,
            "geoscore": self.geoscore.value,
            "interval": {
                "country": _bounds(self.country),
                "within_km": {f"{r:g}": _bounds(figure) for r, figure in self.within_km.items()},
                "median_km": _bounds(self.median_km),
                "geoscore": _bounds(self.geoscore),
            },
        }
        if self.n_runs > 1:
            content["n_runs"] = self.n_runs
        return content


def _bounds(figure: Interval) -> list[float] | None:
    """Bounds as JSON knows them: null where there are none."""
    return figure.bounds if np.isfinite(figure.bounds).all() else None
