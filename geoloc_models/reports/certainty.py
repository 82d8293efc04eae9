"""How sure models are and whether rightly, as cells of a table."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from geoloc_models.evaluation import Coverage
from geoloc_models.inference.calibration_report import CalibrationReport, Region
from geoloc_models.reports.table import Table, model_title

CERTAINTY_NOTE = (
    "The 90 % radius is calibrated by split conformal prediction on the validation images. In "
    "brackets stands what a radius that keeps its promise holds of so many test images in 95 of "
    "100 test sets (binomial), and in 95 of 100 draws of validation and test images "
    "(beta-binomial). The calibration error is that of the likeliest class, before and "
    "after the temperature; a region is the smallest set of classes with so much probability."
)
"""What the figures of :func:`certainty_table` mean, as one paragraph."""


def certainty_table(found: Mapping[str, CalibrationReport | None]) -> Table:
    """Coverage, calibration error and credible regions, a row each model.

    Parameters
    ----------
    found : mapping of str to CalibrationReport or None
        By model name; a model that was not calibrated has no row.

    Returns
    -------
    Table
        Cells of what a model does not have are empty.
    """
    header = [
        "Model",
        "decoder",
        "90 % radius holds %",
        "by both draws",
        "radius, median km",
        "temperature",
        "calibration error %",
        "50 % region holds %",
        "90 % region holds %",
        "classes of 90 % region, median",
        "n",
    ]
    rows = [
        [
            model_title(name),
            each.decoder.replace("_", " "),
            *_radius(each.coverage, each.chance),
            f"{each.temperature:.2f}" if each.error_calibrated is not None else "",
            _percents(each.error_as_trained, each.error_calibrated),
            *_regions(each.regions),
            str(each.n_photos),
        ]
        for name, each in found.items()
        if each is not None
    ]
    return Table(header, rows)


def _radius(found: Coverage | None, chance: tuple[float, float] | None) -> list[str]:
    if found is None or chance is None:
        return ["", "", ""]
    held = f"{100 * found.held:.1f} {_brackets(found.low, found.high)}"
    known = np.isfinite(found.median_km)
    return [held, _brackets(*chance), f"{found.median_km:,.0f}" if known else "no bound"]


def _brackets(low: float, high: float) -> str:
    return f"[{100 * low:.1f}, {100 * high:.1f}]"


def _percents(before: float | None, after: float | None) -> str:
    if before is None or after is None:
        return ""
    return f"{100 * before:.1f} to {100 * after:.1f}"


def _regions(regions: tuple[Region, ...]) -> list[str]:
    if not regions:
        return ["", "", ""]
    shares = [f"{100 * region.held:.1f}" for region in regions]
    return [*shares, f"{regions[-1].median_classes:g}"]
