"""From probabilities to a point, and how sure it is.

>>> from geocells import decoding
>>> decoder = decoding.ExpectedUtility(radii_km=(1, 25)).fit([(47.4, 8.5), (59.3, 18.1)], [0, 1])
>>> decoder.predict([[0.2, 0.8]]).tolist()
[[59.3, 18.1]]
"""

from geocells.decoding.abstaining import promise_threshold, risk_coverage
from geocells.decoding.calibration import (
    expected_calibration_error,
    reliability,
    temperature_scaling,
)
from geocells.decoding.conformal import (
    ConformalMass,
    ConformalRadius,
    conformal_quantile,
)
from geocells.decoding.expected_utility import ExpectedUtility
from geocells.decoding.mixtures import fit_mixture, mixture
from geocells.decoding.points import argmax, top_k_mean
from geocells.decoding.probabilities import (
    credible_region,
    hierarchical,
    nearest_images,
    softmax,
)

__all__ = [
    "ConformalMass",
    "ConformalRadius",
    "ExpectedUtility",
    "argmax",
    "conformal_quantile",
    "credible_region",
    "expected_calibration_error",
    "fit_mixture",
    "hierarchical",
    "mixture",
    "nearest_images",
    "promise_threshold",
    "reliability",
    "risk_coverage",
    "softmax",
    "temperature_scaling",
    "top_k_mean",
]
