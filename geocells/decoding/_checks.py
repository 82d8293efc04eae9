"""What a classifier answers with, looked over once: probabilities, scores, and the cells they belong to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from geocells.array_types import ArrayLike, BoolArray, FloatArray, IntArray
from geocells.errors import refuse_rows
from geocells.validation import as_numbers, check_coords

SUM_TOLERANCE = 0.01
"""A row may add up to 1 within this and is then divided by its sum: half-precision softmax is that far off."""

MOST_FINITE = float(np.finfo(np.float64).max)

BATCH_BYTES = 4 * 2**20
"""Rows are worked on in batches whose float64 copy is about this large and stays in the cache."""


@dataclass(frozen=True)
class Probabilities:
    """Sound probabilities, handed out in batches of rows that add up to 1.

    Attributes
    ----------
    array : (n, n_classes) real numbers, or a SciPy CSR array of that shape
        As the caller passed them: not copied, not converted.
    sums : (n,) float64
        What each row adds up to.
    """

    array: Any
    sums: FloatArray

    def __len__(self) -> int:
        return len(self.sums)

    @property
    def n_classes(self) -> int:
        """Number of columns."""
        return int(self.array.shape[1])

    def dense(self, start: int, stop: int) -> Any:
        """Return rows ``start:stop`` as (stop - start, n_classes) of the caller's type, as they came."""
        part = self.array[start:stop]
        return part.toarray() if sparse.issparse(part) else part

    def rows(self, start: int, stop: int) -> FloatArray:
        """Return rows ``start:stop`` as (stop - start, n_classes) float64 that add up to 1."""
        sums = self.sums[start:stop, None]
        rows: FloatArray = np.divide(self.dense(start, stop), sums, dtype=np.float64)
        return rows

    def spans(self, n_rows: int | None = None) -> Iterator[tuple[int, int]]:
        """Yield start and stop of batches, of ``n_rows`` each or of about `BATCH_BYTES`."""
        step = n_rows or max(1, BATCH_BYTES // (8 * max(1, self.n_classes)))
        for start in range(0, len(self), step):
            yield start, min(start + step, len(self))

    def batches(self) -> Iterator[tuple[int, int, FloatArray]]:
        """Yield start, stop and rows of batches of about `BATCH_BYTES`."""
        for start, stop in self.spans():
            yield start, stop, self.rows(start, stop)


def check_probabilities(
    probabilities: ArrayLike, n_classes: int | None = None, *, name: str = "probabilities"
) -> Probabilities:
    """Probabilities from anything that holds them.

    Parameters
    ----------
    probabilities : array-like or SciPy sparse, (n, n_classes)
        One distribution a row: finite, not negative, adding up to 1 within 1 %. No rows are accepted.
    n_classes : int, optional
        Columns that there must be.
    name : str
        What the messages call it.

    Returns
    -------
    probabilities : Probabilities
        Rows that are off by less than 1 % are divided by their sum; anything worse is refused.

    Raises
    ------
    ValueError, TypeError
        When the shape is wrong or a row is no distribution; the message names the first one.
    """
    array = _matrix(probabilities, n_classes, name)
    sums = np.empty(array.shape[0])
    step = max(1, BATCH_BYTES // (8 * max(1, array.shape[1])))
    for start in range(0, len(sums), step):
        part = array[start : start + step]
        part_sums = np.asarray(part.sum(axis=1, dtype=np.float64)).reshape(-1)
        _refuse_values(part, part_sums, start, name)
        sums[start : start + step] = part_sums
    off = np.flatnonzero(np.abs(sums - 1.0) > SUM_TOLERANCE)
    if len(off):
        raise ValueError(
            f"Every row of {name} must add up to 1 (within {SUM_TOLERANCE:.0%}); {len(off)} of {len(sums)} rows do "
            f"not (first: row {off[0]}, {sums[off[0]]:.6g}). Are these logits, or a part of the classes?"
        )
    return Probabilities(array, sums)


def check_numbers(
    values: ArrayLike,
    name: str,
    axes: str = "(n,)",
    *,
    least: float = -np.inf,
    most: float = MOST_FINITE,
) -> FloatArray:
    """Return float64 numbers from ``least`` to ``most``, finite by default, of a shape with the named axes."""
    kind = "numbers" if most == np.inf else "finite numbers"
    if least > -np.inf:
        kind += (
            f" of at least {least:g}" if most >= MOST_FINITE else f" from {least:g} to {most:.15g}"
        )
    array = as_numbers(values, f"{name} must hold {kind}")
    if array.ndim != len(axes.replace(",)", ")").split(",")):
        raise ValueError(f"{name} must have the shape {axes}; got {array.shape}.")
    unsound: Any = ~((array >= least) & (array <= most))
    refuse_rows(
        unsound if array.ndim == 1 else unsound.any(axis=1),
        f"{name} must hold {kind}",
        "do not",
        lambda row: array[row].tolist(),
        "Correct or drop them.",
    )
    return array


def as_array(values: ArrayLike, name: str) -> Any:
    """Return an array of whatever ``values`` hold, in rows of one length."""
    try:
        return np.asarray(values)
    except ValueError:
        return as_numbers(values, f"{name} must hold numbers")


def check_scores(scores: ArrayLike, n_classes: int | None = None, *, name: str = "scores") -> Any:
    """Return finite real numbers (n, n_classes), of any sign: logits, say."""
    array = _matrix(scores, n_classes, name)
    if sparse.issparse(array):
        array = array.toarray()
    bad = np.flatnonzero(~np.isfinite(array).all(axis=1))
    if len(bad):
        raise ValueError(
            f"{name} must be finite; {len(bad)} of {len(array)} rows hold NaN or infinity (first: row {bad[0]})."
        )
    return array


def _matrix(values: ArrayLike, n_classes: int | None, name: str) -> Any:
    if sparse.issparse(values):
        array: Any = sparse.csr_array(values)
    else:
        if hasattr(values, "to_numpy"):
            values = values.to_numpy()
        array = as_array(values, name)
        if array.size == 0 and array.ndim == 1:
            array = array.reshape(0, n_classes or 0).astype(np.float64)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} must hold real numbers; got {array.dtype}.")
    if array.ndim != 2:
        raise ValueError(
            f"{name} must hold one row per image and one column per class, shape (n, n_classes); got shape "
            f"{array.shape}."
        )
    if n_classes is not None and array.shape[1] != n_classes:
        raise ValueError(
            f"{name} must have one column for each of the {n_classes} classes; got {array.shape[1]}."
        )
    if array.shape[1] == 0 and array.shape[0]:
        raise ValueError(f"{name} must have at least one class; got shape {array.shape}.")
    return array


def _refuse_values(part: Any, sums: FloatArray, start: int, name: str) -> None:
    # The least value and the sums tell at once whether any value is unsound, but for sums too large for a float.
    if 0 in part.shape or (
        part.min() >= 0 and (np.isfinite(sums).all() or np.isfinite(part.max()))
    ):
        return
    dense = part.toarray() if sparse.issparse(part) else part
    faults = ~np.isfinite(dense)
    if faults.any():
        row, column = np.argwhere(faults)[0]
        raise ValueError(
            f"{name} must be finite; row {start + row} holds {dense[row, column]} for class {column}."
        )
    row, column = np.argwhere(dense < 0)[0]
    raise ValueError(
        f"{name} must not be negative; row {start + row} holds {dense[row, column]:.6g} for class {column}. "
        "Are these logits?"
    )


def locations_of(cells: Any) -> FloatArray:
    """Return the point that each cell answers with, (n_cells, 2) degrees, of a `CellPartition` or of an array."""
    locations = getattr(cells, "locations", None)
    if locations is not None:
        return np.asarray(locations, dtype=np.float64)
    return check_coords(cells, name="cells").array


def check_labels(
    labels: ArrayLike, n_rows: int, n_classes: int | None, *, least: int, name: str = "labels"
) -> IntArray:
    """Return one whole number a row, (n_rows,) int64, from ``least`` to ``n_classes - 1``."""
    array = np.asarray(labels)
    if array.shape != (n_rows,):
        raise ValueError(
            f"{name} must name one cell per row, shape ({n_rows},); got shape {array.shape}."
        )
    if array.dtype.kind not in "iu" and n_rows:
        raise TypeError(f"{name} must be whole numbers; got {array.dtype}.")
    array = array.astype(np.int64)
    bad = np.flatnonzero((array < least) | (array >= (n_classes if n_classes else np.inf)))
    if len(bad):
        most = "" if n_classes is None else f" to {n_classes - 1}"
        raise ValueError(
            f"{name} must run from {least}{most}; {len(bad)} of {n_rows} rows do not (first: row {bad[0]}, "
            f"{array[bad[0]]})."
        )
    return array


def check_truth(truth: ArrayLike, n_rows: int, name: str) -> BoolArray:
    """Return whether each of some answers or events is true, (n_rows,) bool."""
    array = np.asarray(truth)
    if array.shape != (n_rows,) or not np.isin(array, (0, 1)).all():
        raise ValueError(
            f"{name} must hold one boolean for each of the {n_rows} answers; got {array.dtype} of shape {array.shape}."
        )
    return array.astype(np.bool_)
