"""Warnings of geocells, and the sentence in which rows are refused: a built-in ``ValueError``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from geocells.array_types import BoolArray, FloatArray


class GeocellsWarning(UserWarning):
    """A choice was made for the caller, who may want to know of it.

    Examples
    --------
    >>> import warnings
    >>> from geocells import GeocellsWarning
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("error", GeocellsWarning)  # in this block it stops the program
    """


def refuse_rows(
    bad: BoolArray,
    must: str,
    verb: str,
    value: Callable[[int], Any] | None,
    remedy: str,
    *,
    where: str = "",
    first_row: int = 0,
    error: type[ValueError] = ValueError,
) -> None:
    """Raise where any row is bad: ``must; 2 of 9 rows of where verb (first: row 3, value). remedy``.

    Parameters
    ----------
    bad : (n,) bool
    must, verb, remedy : str
        What rows must be, what those do that are not, and what to do about it.
    value : callable or None
        Shows what the first bad row holds, given its place.
    where : str
        Name of the file or table.
    first_row : int
        Number of the first row: 1 for a file, 0 for an array.
    error : type
        What is raised.
    """
    rows = np.flatnonzero(bad)
    if len(rows):
        first = int(rows[0])
        shown = f"row {first + first_row}" + ("" if value is None else f", {value(first)}")
        of_where = f" of {where}" if where else ""
        raise error(
            f"{must}; {len(rows)} of {len(bad)} rows{of_where} {verb} (first: {shown}). {remedy}"
        )


def refuse_off_globe(latitude: FloatArray, longitude: FloatArray, **context: Any) -> None:
    """Raise where finite degrees are out of range, perhaps swapped; ``context`` goes to `refuse_rows`."""
    correct = "Correct or remove these rows."
    high, wide = np.abs(latitude) > 90, np.abs(longitude) > 180
    # One odd row among many is a slip; swapped columns show in all rows that can show it.
    is_swapped = (np.abs(longitude[high]) <= 90).all() and (np.abs(latitude[high]) <= 180).all()
    is_swapped &= high.sum() > 1 or len(high) == 1 or bool((np.abs(longitude) <= 90).all())
    remedy = "Are latitude and longitude swapped?" if is_swapped else correct
    must = "Latitude must lie in [-90, 90] degrees"
    refuse_rows(high, must, "do not", lambda row: f"{latitude[row]:g}", remedy, **context)
    is_turned = bool(((longitude[wide] > 180) & (longitude[wide] <= 360)).all())
    remedy = (
        "If they run from 0 to 360, subtract 360 from those above 180." if is_turned else correct
    )
    must = "Longitude must lie in [-180, 180] degrees"
    refuse_rows(wide, must, "do not", lambda row: f"{longitude[row]:g}", remedy, **context)
