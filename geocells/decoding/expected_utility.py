"""ExpectedUtility: the point whose neighbourhood holds most of the probability."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from geocells.array_types import ArrayLike, FloatArray, IntArray
from geocells.decoding import _kernels
from geocells.decoding._candidates import CandidateBlocks, ImageGroups, thinned
from geocells.decoding._checks import (
    Probabilities,
    as_array,
    check_labels,
    check_numbers,
    check_probabilities,
    locations_of,
)
from geocells.decoding._search import PointSearch, ShareTable, in_parts
from geocells.sphere import EARTH_RADIUS_KM, to_unit_vectors
from geocells.validation import check_coords, check_count, check_positive

BATCH_BYTES = 16 * 2**20
"""Rows are decoded in batches that stay in the cache."""


@dataclass(frozen=True)
class Decoded:
    """Points, and how much the model expects of them.

    Attributes
    ----------
    points : (n, 2) float64
        Latitude, longitude in degrees.
    utilities : (n,) float64
        Expected utility of each point.
    radii_km : (n_radii,) float64
        The radii of ``within``.
    within : (n, n_radii) float64
        Probability, to the model, that the photo is within each radius of the point.

    Examples
    --------
    >>> from geocells.decoding import ExpectedUtility
    >>> decoder = ExpectedUtility(radii_km=(25,)).fit([[47.4, 8.5], [59.3, 18.1]], [0, 1])
    >>> decoded = decoder.predict_with_confidence([[0.2, 0.8]], within_km=(25, 5000))
    >>> decoded.points.tolist(), decoded.within.round(2).tolist()
    ([[59.3, 18.1]], [[0.8, 1.0]])
    """

    points: FloatArray
    utilities: FloatArray
    radii_km: FloatArray
    within: FloatArray


class ExpectedUtility:
    """Answer with the point that is expected to score best, given probabilities over cells.

    Parameters
    ----------
    cells : CellPartition or array-like (n_cells, 2), optional
        The classes. A partition labels the coordinates that `fit` is not told the labels of; and a cell without
        training images stands at its location. Left out, the labels alone say which classes there are.
    radii_km : sequence of float
        Radii whose hits count, in km: ``d <= r``.
    weights : sequence of float, optional
        What a hit within each radius is worth; left out, equal parts of 1. Any falling utility is a sum of such steps.
    resolution_km : float, optional
        Candidates are training coordinates, thinned so that each has a candidate this near; 0 keeps all. Left out, half
        the smallest radius.
    max_memory_bytes : int
        Memory that the decoder may take: its table of images around candidates.

    Attributes
    ----------
    candidates_ : (n_candidates, 2) float64
        Points that may be answered; latitude, longitude in degrees, ordered by latitude, then longitude.
    n_classes_ : int
        Columns that probabilities must have.
    nbytes_ : int
        Memory of what `fit` prepared.

    Notes
    -----
    The candidate c that maximises [1]_

    ``sum_k p_k (1 / n_k) sum_{j in cell k} u(d(c, x_j))``, with ``u(d) = sum_r w_r [d <= r]``,

    where cell k holds the ``n_k`` training images x_j. Exact: candidates lie in blocks of 64 whose bounds say which
    need no search. Of equal utilities (to 1.5e-11) the first candidate by latitude, then longitude is answered. The
    answer depends neither on the order of rows or training images nor on threads.

    Probabilities are finite, not negative and add up to 1 within 1 %, by which they are then divided.

    References
    ----------
    .. [1] Berger (1985), Statistical Decision Theory and Bayesian Analysis, section 1.5: the Bayes action.

    Examples
    --------
    Two cells; the likelier one is spread out, so the answer within 25 km lies in the other:

    >>> from geocells.decoding import ExpectedUtility
    >>> coords = [(47.4, 8.5), (47.4, 8.6), (60.0, 18.0), (63.0, 14.0), (57.0, 12.0)]
    >>> decoder = ExpectedUtility(radii_km=(25, 750)).fit(coords, [0, 0, 1, 1, 1])
    >>> decoder.predict([[0.4, 0.6]], radii_km=(25,)).tolist()
    [[47.4, 8.5]]
    >>> decoder.predict([[0.4, 0.6]], radii_km=(750,)).tolist()
    [[57.0, 12.0]]
    """

    candidates_: FloatArray
    n_classes_: int

    def __init__(
        self,
        cells: Any = None,
        *,
        radii_km: Sequence[float] = (1, 25, 200, 750, 2500),
        weights: Sequence[float] | None = None,
        resolution_km: float | None = None,
        max_memory_bytes: int = 2**31,
    ) -> None:
        self.cells = cells
        self.radii_km = radii_km
        self.weights = weights
        self.resolution_km = resolution_km
        self.max_memory_bytes = max_memory_bytes

    @classmethod
    def from_points(cls, coords: ArrayLike, **options: Any) -> ExpectedUtility:
        """Fit a decoder in which every point is a class of its own: for retrieval, or for nearest images.

        Parameters
        ----------
        coords : array-like, (n_points, 2)
            Gallery; latitude, longitude in degrees. Column j of the probabilities is that of row j. For nearest images
            see :func:`nearest_images`.
        **options
            As for the class.

        Returns
        -------
        decoder : ExpectedUtility
            Fitted.
        """
        return cls(**options).fit(coords, np.arange(len(check_coords(coords))))

    def fit(self, coords: ArrayLike, labels: ArrayLike | None = None) -> Self:
        """Learn where the images of each cell are.

        Parameters
        ----------
        coords : array-like (n, 2), DataFrame, GeoSeries or GeoDataFrame
            Training coordinates; latitude, longitude in degrees.
        labels : array-like (n,) or (n_partitions, n), optional
            Cell of each; -1 for none, which leaves the image out. Left out, ``cells.assign(coords)``. Of several
            partitions of the same images, a row each: the classes of all are the columns of the probabilities, one
            partition after another, as :func:`mixture` puts them.

        Returns
        -------
        self : ExpectedUtility

        Raises
        ------
        ValueError, TypeError
            When a parameter, coordinate or label is unsound, a class has no image, or ``max_memory_bytes`` is too
            little.
        """
        self._radii_km, self._weights = _weighted_radii(self.radii_km, self.weights)
        check_count(self.max_memory_bytes, "max_memory_bytes")
        resolution_km = (
            0.5 * self._radii_km[0] if self.resolution_km is None else self.resolution_km
        )
        if resolution_km != 0:
            check_positive(resolution_km, "resolution_km", "km")
        coordinates, classes = self._training_images(coords, labels)
        self.candidates_ = thinned(coordinates, float(resolution_km))
        coordinates, classes = self._with_empty_cells(coordinates, classes)
        blocks = CandidateBlocks.from_coords(self.candidates_)
        self._search: Any
        if len(coordinates) == self.n_classes_ > 1:
            self._images = ImageGroups.from_points(coordinates[np.argsort(classes)])
            search: Any = PointSearch
        else:
            n_partitions = 1 if labels is None else len(np.atleast_2d(labels))
            self._images = ImageGroups.from_classes(
                coordinates, classes, self.n_classes_, n_partitions
            )
            search = ShareTable
        self._search = search.fill(blocks, self._images, self._radii_km, self.max_memory_bytes)
        self.nbytes_ = self._search.nbytes
        self._bounds: tuple[bytes, Any] | None = None
        return self

    def _training_images(
        self, coords: ArrayLike, labels: ArrayLike | None
    ) -> tuple[FloatArray, IntArray]:
        coordinates = check_coords(coords).array
        n_cells = None if self.cells is None else len(locations_of(self.cells))
        if labels is None:
            if not hasattr(self.cells, "assign"):
                raise ValueError(
                    "labels may be left out only where cells is a CellPartition, which assigns the coordinates."
                )
            labels = self.cells.assign(coordinates)
        labels = as_array(labels, "labels")
        if n_cells is None and labels.ndim == 2 and len(labels):
            coordinates, labels = _one_after_another(coordinates, labels)
        classes = check_labels(labels, len(coordinates), n_cells, least=-1)
        labelled = classes >= 0
        if not labelled.any():
            raise ValueError("No image has a cell: every label is -1.")
        self.n_classes_ = int(classes.max()) + 1 if n_cells is None else n_cells
        return coordinates[labelled], classes[labelled]

    def _with_empty_cells(
        self, coordinates: FloatArray, classes: IntArray
    ) -> tuple[FloatArray, IntArray]:
        empty = np.flatnonzero(np.bincount(classes, minlength=self.n_classes_) == 0)
        if not len(empty):
            return coordinates, classes
        if self.cells is None:
            raise ValueError(
                f"{len(empty)} of {self.n_classes_} classes have no image (first: class {empty[0]}). Number the labels "
                "without gaps, or pass cells, whose locations can stand in."
            )
        locations = locations_of(self.cells)[empty]
        return np.concatenate([coordinates, locations]), np.concatenate([classes, empty])

    def __repr__(self) -> str:
        if not hasattr(self, "_search"):
            return "<ExpectedUtility, not fitted>"
        return (
            f"<ExpectedUtility, {self._radii_km.tolist()} km: {self.n_classes_} classes, "
            f"{len(self.candidates_)} candidates, {self.nbytes_ / 2**20:.0f} MiB>"
        )

    def _check_is_fitted(self) -> None:
        if not hasattr(self, "_search"):
            from sklearn.exceptions import NotFittedError

            raise NotFittedError(
                "This ExpectedUtility knows no images yet: call fit(coords, labels) first."
            )

    def predict(
        self, probabilities: ArrayLike, *, radii_km: Sequence[float] | None = None
    ) -> FloatArray:
        """Best point for each row.

        Parameters
        ----------
        probabilities : array-like or SciPy sparse, (n, n_classes)
            What the classifier answers, one distribution a row.
        radii_km : sequence of float, optional
            Only these of the fitted radii count, with their weights; one of them, say, for the best guess within it.

        Returns
        -------
        points : (n, 2) float64
            Latitude, longitude in degrees: rows of `candidates_`.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError, TypeError
            When a row is no distribution over the classes, or a radius was not fitted.
        """
        chosen, _ = self._choose(probabilities, radii_km)
        return self.candidates_[chosen]

    def predict_with_confidence(
        self,
        probabilities: ArrayLike,
        *,
        radii_km: Sequence[float] | None = None,
        within_km: Sequence[float] = (1, 25, 200, 750),
    ) -> Decoded:
        """Best point for each row, its expected utility, and the probability within some radii of it.

        Parameters
        ----------
        probabilities, radii_km
            As for `predict`.
        within_km : sequence of float
            Any radii in km.

        Returns
        -------
        decoded : Decoded
        """
        chosen, utilities = self._choose(probabilities, radii_km)
        points = self.candidates_[chosen]
        within = self.mass_within(probabilities, points, within_km)
        return Decoded(points, utilities, np.asarray(within_km, dtype=np.float64), within)

    def _choose(
        self, probabilities: ArrayLike, radii_km: Sequence[float] | None
    ) -> tuple[IntArray, FloatArray]:
        self._check_is_fitted()
        weights = self._weights_of(radii_km)
        checked = check_probabilities(probabilities, self.n_classes_)
        if self._bounds is None or self._bounds[0] != weights.tobytes():
            self._bounds = (weights.tobytes(), self._search.bounds(weights))
        chosen, utilities = np.empty(len(checked), dtype=np.int64), np.empty(len(checked))
        for start, stop, rows in self._batches(checked):
            answers = chosen[start:stop], utilities[start:stop]
            self._search.search(rows, weights, self._bounds[1], answers)
        return chosen, utilities

    def _weights_of(self, radii_km: Sequence[float] | None) -> FloatArray:
        if radii_km is None:
            return self._weights
        chosen = check_radii(radii_km)
        unknown = chosen[~np.isin(chosen, self._radii_km)]
        if len(unknown):
            raise ValueError(
                f"radii_km must be among the fitted ones, {self._radii_km.tolist()}; got {unknown.tolist()} too."
            )
        weights = np.where(np.isin(self._radii_km, chosen), self._weights, 0.0)
        if not weights.any():
            raise ValueError(
                f"The weights of the radii {chosen.tolist()} are all zero: all points are equally good."
            )
        return weights

    def _batches(self, checked: Probabilities) -> Iterator[tuple[int, int, FloatArray]]:
        """Yield start, stop and probabilities of the classes, of some rows at a time."""
        images = self._images
        for start, stop in checked.spans(self._rows_at_once()):
            if len(images.counts) == checked.n_classes:
                yield start, stop, checked.rows(start, stop)
                continue
            columns = np.ascontiguousarray(checked.dense(start, stop), dtype=np.float64)
            classes = np.empty((len(columns), len(images.counts)))
            in_parts(
                _kernels.add_columns,
                len(columns),
                columns,
                checked.sums[start:stop],
                images.class_of_column,
                classes,
            )
            yield start, stop, classes

    def _rows_at_once(self) -> int:
        return int(max(1, BATCH_BYTES // self._search.row_bytes))

    def mass_within(
        self, probabilities: ArrayLike, points: ArrayLike, radii_km: ArrayLike
    ) -> FloatArray:
        """Probability that the photo is within some radii of a point.

        Parameters
        ----------
        probabilities : array-like or SciPy sparse, (n, n_classes)
            One distribution a row.
        points : array-like, (n, 2)
            Any points; latitude, longitude in degrees.
        radii_km : array-like, (n_radii,) or (n, n_radii)
            Radii in km, the same for all rows or each row's own.

        Returns
        -------
        masses : (n, n_radii) float64
            ``sum_k p_k`` times the share of cell k's training images with ``d <= r``.
        """
        radii = np.asarray(radii_km, dtype=np.float64)
        n_rows = len(check_coords(points, name="points", allow_empty=True))
        if radii.ndim not in (1, 2) or (radii.ndim == 2 and len(radii) != n_rows):
            raise ValueError(
                f"radii_km must have the shape (n_radii,), or a row for each of the {n_rows} points; got {radii.shape}."
            )
        if not (radii >= 0).all():
            raise ValueError(
                "radii_km must be numbers of km of at least 0; NaN or negative ones are among them."
            )
        each = np.ascontiguousarray(np.atleast_2d(radii) / EARTH_RADIUS_KM)
        within = np.empty((n_rows, each.shape[1]))
        for start, stop, work in self._mass_batches(probabilities, points):
            limits = each if radii.ndim == 1 else each[start:stop]
            in_parts(
                _kernels.mass_within,
                stop - start,
                *work,
                limits,
                self._image_arrays(),
                within[start:stop],
            )
        return np.minimum(within, 1.0)

    def mass_radius(
        self, probabilities: ArrayLike, points: ArrayLike, mass: float, *, beyond: bool = False
    ) -> FloatArray:
        """Least radius around a point that holds a given probability: how spread out the answer is.

        Parameters
        ----------
        probabilities, points
            As for `mass_within`.
        mass : float
            Probability from 0 to 1.
        beyond : bool
            Ask for *more* than ``mass``; infinite where there is no more.

        Returns
        -------
        radii_km : (n,) float64
            To a centimetre; to 4 m where it is half the way around the earth.
        """
        if not 0 <= mass <= 1:
            raise ValueError(f"mass must be a probability, from 0 to 1; got {mass!r}.")
        n_rows = len(check_coords(points, name="points", allow_empty=True))
        radii = np.empty(n_rows)
        for start, stop, work in self._mass_batches(probabilities, points):
            in_parts(
                _kernels.mass_radius,
                stop - start,
                *work,
                float(mass),
                beyond,
                self._image_arrays(),
                radii[start:stop],
            )
        return radii * EARTH_RADIUS_KM

    def _image_arrays(self) -> tuple[Any, ...]:
        images = self._images
        return images.class_of_image, images.edges, images.balls, images.vectors

    def _mass_batches(
        self, probabilities: ArrayLike, points: ArrayLike
    ) -> Iterator[tuple[int, int, tuple[FloatArray, FloatArray, FloatArray]]]:
        self._check_is_fitted()
        checked = check_probabilities(probabilities, self.n_classes_)
        vectors = to_unit_vectors(check_coords(points, name="points", allow_empty=True).array)
        if len(vectors) != len(checked):
            raise ValueError(
                f"points must have one row for each of the {len(checked)} rows of probabilities; got {len(vectors)}."
            )
        images = self._images
        for start, stop, rows in self._batches(checked):
            yield (start, stop, (rows / images.counts, images.masses(rows), vectors[start:stop]))


def _one_after_another(
    coordinates: FloatArray, labels: NDArray[Any]
) -> tuple[FloatArray, IntArray]:
    """Images once for each partition, and classes counted on from one partition to the next."""
    classes, n_classes = [], 0
    for number, partition in enumerate(labels):
        cell_of = check_labels(
            partition, len(coordinates), None, least=-1, name=f"labels[{number}]"
        )
        if (cell_of < 0).all():
            raise ValueError(f"No image has a cell in partition {number}: every label is -1.")
        classes.append(np.where(cell_of >= 0, cell_of + n_classes, -1))
        n_classes += int(cell_of.max()) + 1
    return np.tile(coordinates, (len(classes), 1)), np.concatenate(classes)


def check_radii(radii_km: ArrayLike) -> FloatArray:
    """Return distinct, rising radii in km, (n_radii,) float64."""
    radii = check_numbers(np.atleast_1d(as_array(radii_km, "radii_km")), "radii_km")
    if not len(radii):
        raise ValueError("radii_km must hold at least one radius; got none.")
    if radii[0] <= 0 or (np.diff(radii) <= 0).any():
        raise ValueError(
            f"radii_km must be numbers of km above 0, each larger than the one before; got {radii.tolist()}."
        )
    return radii


def _weighted_radii(
    radii_km: ArrayLike, weights: Sequence[float] | None
) -> tuple[FloatArray, FloatArray]:
    """Radii and their weights, equal parts of 1 where there are none."""
    radii = check_radii(radii_km)
    if weights is None:
        return radii, np.full(len(radii), 1.0 / len(radii))
    given = check_numbers(weights, "weights", least=0)
    if given.shape != radii.shape:
        raise ValueError(
            f"weights must be one number for each of the {len(radii)} radii; got shape {given.shape}."
        )
    if not given.any():
        raise ValueError("weights must not all be zero: every point would be as good.")
    return radii, given
