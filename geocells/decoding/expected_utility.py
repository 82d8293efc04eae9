"""ExpectedUtility: the point whose neighbourhood holds most of the probability."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from geocells._types import ArrayLike, FloatArray, IntArray
from geocells.decoding import _mass_kernels
from geocells.decoding._candidates import CandidateBlocks, ImageGroups, thinned
from geocells.decoding._probabilities import check_labels, check_probabilities, locations_of
from geocells.decoding._search import ImageSearch, ShareTable, in_parts
from geocells.decoding._utility import Utility, utility_of
from geocells.sphere import EARTH_RADIUS_KM, to_unit_vectors
from geocells.validation import check_coords, check_count, check_positive

logger = logging.getLogger(__name__)

GEOSCORE_RESOLUTION_KM = 25.0
"""A candidate this near is worth at most 1.7 % less."""

ROWS_AT_ONCE = 1024


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
        What a hit within each radius is worth; left out, equal parts of 1.
    utility : {"radii", "geoscore"}
        ``"geoscore"`` is worth ``exp(-d / 1492.7 km)``, a 5000th of a GeoScore, instead of the weighted radii.
    resolution_km : float, optional
        Candidates are training coordinates, thinned so that each has a candidate this near; 0 keeps all. Left out, half
        the smallest radius, or 25 km for GeoScore.
    max_memory_bytes : int
        Memory that the decoder may take: its table, and the rows at work. Where the table is too large the search goes
        without, with the same answers, slower.
    tolerance : float
        How much less than the best utility an answer may have, to be found sooner. 0 is exact.

    Attributes
    ----------
    candidates_ : (n_candidates, 2) float64
        Points that may be answered; latitude, longitude in degrees, ordered by latitude, then longitude.
    n_classes_ : int
        Columns that probabilities must have.
    nbytes_ : int
        Memory of what `fit` prepared.
    has_table_ : bool
        Whether the table of shares found room in ``max_memory_bytes``.
    n_visited_ : float
        After `predict`: blocks of 64 candidates that were looked at, on average over the rows.

    Notes
    -----
    The candidate c that maximises [1]_

    ``sum_k p_k (1 / n_k) sum_{j in cell k} u(d(c, x_j))``, with ``u(d) = sum_r w_r [d <= r]``,

    where cell k holds the ``n_k`` training images x_j. Exact: candidates lie in blocks of 64, each class's largest
    share in a block bounds the utility of all of its candidates, and blocks are searched by falling bound until no
    bound beats the best candidate found. Of equal utilities (to 1.5e-11) the first candidate by latitude, then
    longitude is answered. With ``tolerance`` 0 the answer depends neither on the order of rows or training images nor
    on threads.

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
        radii_km: Sequence[float] = (1, 25, 200, 750),
        weights: Sequence[float] | None = None,
        utility: str = "radii",
        resolution_km: float | None = None,
        max_memory_bytes: int = 2**31,
        tolerance: float = 0.0,
    ) -> None:
        self.cells = cells
        self.radii_km = radii_km
        self.weights = weights
        self.utility = utility
        self.resolution_km = resolution_km
        self.max_memory_bytes = max_memory_bytes
        self.tolerance = tolerance

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
        labels : array-like (n,), optional
            Cell of each; -1 for none, which leaves the image out. Left out, ``cells.assign(coords)``.

        Returns
        -------
        self : ExpectedUtility

        Raises
        ------
        ValueError, TypeError
            When a parameter, coordinate or label is unsound, a class has no image, or ``max_memory_bytes`` is too
            little.
        """
        utility, self._weights = utility_of(self.utility, self.radii_km, self.weights)
        check_count(self.max_memory_bytes, "max_memory_bytes")
        if self.tolerance != 0:
            check_positive(self.tolerance, "tolerance", "utility")
        places, classes = self._training_images(coords, labels)
        candidates = thinned(places, self._resolution(utility))
        places, classes = self._with_empty_cells(places, classes)
        n_classes = self.n_classes_
        alone = len(places) == n_classes and n_classes > 1
        if alone:
            by_class = np.empty_like(places)
            by_class[classes] = places
            images = ImageGroups.of_points(by_class)
        else:
            images = ImageGroups.of_classes(places, classes, n_classes)
        blocks = CandidateBlocks.of(candidates)
        self._search: ShareTable | ImageSearch
        table = None if alone else ShareTable.of(blocks, images, utility, self.max_memory_bytes)
        if table is not None:
            self._search = table
        else:
            self._search = ImageSearch.of(blocks, images, utility, self.max_memory_bytes)
            if not alone:
                logger.info(
                    "No table of shares: it takes more than %d bytes.", self.max_memory_bytes
                )
        self._utility, self._images = utility, images
        self.candidates_ = candidates
        self.has_table_ = table is not None
        self.nbytes_ = self._search.nbytes
        self._bounds: tuple[bytes, NDArray[np.float32]] | None = None
        return self

    def _resolution(self, utility: Utility) -> float:
        if self.resolution_km is None:
            return 0.5 * min(utility.radii_km) if utility.radii_km else GEOSCORE_RESOLUTION_KM
        if self.resolution_km == 0:
            return 0.0
        return check_positive(self.resolution_km, "resolution_km", "km")

    def _training_images(
        self, coords: ArrayLike, labels: ArrayLike | None
    ) -> tuple[FloatArray, IntArray]:
        places = check_coords(coords).array
        n_cells = None if self.cells is None else len(locations_of(self.cells))
        if labels is None:
            if not hasattr(self.cells, "assign"):
                raise ValueError(
                    "labels may be left out only where cells is a CellPartition, which assigns the coordinates."
                )
            labels = np.asarray(self.cells.assign(coords))
        classes = check_labels(labels, len(places), n_cells, least=-1)
        kept = classes >= 0
        if not kept.any():
            raise ValueError("No image has a cell: every label is -1.")
        self.n_classes_ = int(classes.max()) + 1 if n_cells is None else n_cells
        return places[kept], classes[kept]

    def _with_empty_cells(
        self, places: FloatArray, classes: IntArray
    ) -> tuple[FloatArray, IntArray]:
        empty = np.flatnonzero(np.bincount(classes, minlength=self.n_classes_) == 0)
        if not len(empty):
            return places, classes
        if self.cells is None:
            raise ValueError(
                f"{len(empty)} of {self.n_classes_} classes have no image (first: class {empty[0]}). Number the labels "
                "without gaps, or pass cells, whose locations can stand in."
            )
        locations = locations_of(self.cells)[empty]
        return np.concatenate([places, locations]), np.concatenate([classes, empty])

    def __repr__(self) -> str:
        if not hasattr(self, "_search"):
            return f"<ExpectedUtility, {self.utility}, not fitted>"
        radii = "" if self.utility == "geoscore" else f" {list(self._utility.radii_km)} km"
        return (
            f"<ExpectedUtility, {self.utility}{radii}: {self.n_classes_} classes, "
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
        asked = np.asarray(within_km, dtype=np.float64)
        return Decoded(points, utilities, asked, self.mass_within(probabilities, points, asked))

    def _choose(
        self, probabilities: ArrayLike, radii_km: Sequence[float] | None
    ) -> tuple[IntArray, FloatArray]:
        self._check_is_fitted()
        weights = self._utility.weights_of(radii_km, self._weights)
        checked = check_probabilities(probabilities, self.n_classes_)
        bounds = self._bounds_for(weights)
        parts = [
            self._search.search(rows, weights, bounds, float(self.tolerance))
            for _, _, rows in checked.batches(self._rows_at_once())
        ]
        if not parts:
            return np.empty(0, dtype=np.int64), np.empty(0)
        self.n_visited_ = float(np.concatenate([own.n_visited for own in parts]).mean())
        return (
            np.concatenate([own.chosen for own in parts]),
            np.concatenate([own.utilities for own in parts]),
        )

    def _bounds_for(self, weights: FloatArray) -> NDArray[np.float32]:
        # Those of the last weights are kept.
        if self._bounds is None or self._bounds[0] != weights.tobytes():
            self._bounds = (weights.tobytes(), self._search.bounds(weights))
        return self._bounds[1]

    def _rows_at_once(self) -> int:
        room = max(self.max_memory_bytes - self.nbytes_, self.max_memory_bytes // 8)
        return max(1, min(ROWS_AT_ONCE, room // self._search.row_bytes))

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
            own = each if radii.ndim == 1 else each[start:stop]
            in_parts(
                _mass_kernels.mass_within,
                stop - start,
                *work,
                own,
                *self._image_arrays(),
                within[start:stop],
                parts=4,
            )
        return np.minimum(within, 1.0)

    def mass_radius(
        self,
        probabilities: ArrayLike,
        points: ArrayLike,
        mass: float,
        *,
        beyond: bool = False,
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
                _mass_kernels.mass_radius,
                stop - start,
                *work,
                float(mass),
                beyond,
                *self._image_arrays(),
                radii[start:stop],
                parts=4,
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
        for start, stop, rows in checked.batches(self._rows_at_once()):
            shares = rows / self._images.counts
            yield start, stop, (shares, self._images.masses(shares), vectors[start:stop])
