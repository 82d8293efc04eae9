"""A gallery of places, embedded once: the exact nearest of 100 000 in a few milliseconds."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from geoloc_models._errors import GeolocError
from geoloc_models.models.encoders import LocationEncoder
from geoloc_models.tables.coordinates import as_coords

logger = logging.getLogger(__name__)

_MOST_QUERIES = 1024  # searched for at a time
_LEAST_WIDTH = 4096  # columns of the gallery multiplied at a time, or more for fewer queries
_TILE_NUMBERS = 1 << 22  # similarities in memory at a time: 16 MiB, which a cache holds
_LENGTH_ERROR = 1e-6  # a vector this near to length 1 is left as it is

Rows = npt.NDArray[np.int64]
Matrix = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Gallery:
    """Vectors of length 1, and the exact search among them by cosine.

    Parameters
    ----------
    vectors : ndarray
        (n, E) float32, C order, each of length 1; :meth:`of` makes them so.

    Examples
    --------
    >>> gallery = Gallery.of([[3.0, 0.0], [0.0, 2.0]])
    >>> gallery.search([[1.0, 0.1]], 1)[0].tolist()
    [[0]]
    """

    vectors: Matrix

    @classmethod
    def of(cls, vectors: npt.ArrayLike) -> Gallery:
        """Gallery of any vectors, scaled to length 1; a zero stays zero.

        Raises
        ------
        GeolocError
            If they are no matrix, there is none, or a number is not finite.
        """
        return cls(unit_rows(vectors, "gallery"))

    @property
    def n_rows(self) -> int:
        """Number of vectors."""
        return len(self.vectors)

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return int(self.vectors.shape[1])

    def search(self, queries: npt.ArrayLike, k: int = 1) -> tuple[Rows, Matrix]:
        """Find the most similar vectors of each query.

        Parameters
        ----------
        queries : array-like
            (q, E) float, of any length.
        k : int, default 1
            How many, at most n.

        Returns
        -------
        rows : ndarray
            (q, k) int64, the most similar first and of equal ones the lower row.
        cosines : ndarray
            (q, k) float32.

        Raises
        ------
        GeolocError
            If the queries have another dimension, or ``k`` is out of range.

        Notes
        -----
        The product is taken tile by tile, 16 MiB of similarities at a time; of each tile, only
        what beats the k-th best so far is sorted. That bound starts as the k-th highest of the
        maxima of groups of the first tile's columns: k columns at least reach it. O(q n E).
        """
        rows, cosines, _ = self._best(queries, k, temperature=None)
        return rows, cosines

    def probabilities(self, queries: npt.ArrayLike, *, temperature: float) -> Matrix:
        """Probability of every row of the gallery.

        Parameters
        ----------
        queries : array-like
            (q, E) float, of any length.
        temperature : float
            Divides the cosines: the one that the model learned.

        Returns
        -------
        ndarray
            (q, n) float32, rows that sum to 1. For 100 000 rows that is 0.4 MB a query; where a
            few rows are enough, see :meth:`top_probabilities`.

        Notes
        -----
        ``softmax(cos / t)``. Trained against false locations drawn from the training set, ``cos /
        t`` estimates the log of how much more likely a place is than it is among these; so with
        the training coordinates as the gallery, repeated ones included, this is the posterior.
        """
        _check_temperature(temperature)
        logits: Matrix = unit_rows(queries, "queries", dim=self.dim) @ self.vectors.T
        logits /= np.float32(temperature)
        logits -= logits.max(axis=1, keepdims=True)
        np.exp(logits, out=logits)
        logits /= logits.sum(axis=1, dtype=np.float64, keepdims=True).astype(np.float32)
        return logits

    def top_probabilities(
        self, queries: npt.ArrayLike, k: int, *, temperature: float
    ) -> tuple[Rows, Matrix]:
        """Probabilities of the k likeliest rows, as :meth:`probabilities` would give them.

        Parameters
        ----------
        queries : array-like
            (q, E) float, of any length.
        k : int
            How many, at most n.
        temperature : float
            Divides the cosines.

        Returns
        -------
        rows : ndarray
            (q, k) int64, the likeliest first.
        probabilities : ndarray
            (q, k) float32, shares of the whole gallery: a row sums to 1 less what the other
            ``n - k`` have. No more memory is needed than for :meth:`search`.
        """
        _check_temperature(temperature)
        rows, cosines, log_sums = self._best(queries, k, temperature=temperature)
        # Divided in float32, as the terms of the sum were.
        logits = (cosines / np.float32(temperature)).astype(np.float64)
        return rows, np.exp(logits - log_sums[:, None]).astype(np.float32)

    def _best(
        self, queries: npt.ArrayLike, k: int, *, temperature: float | None
    ) -> tuple[Rows, Matrix, npt.NDArray[np.float64]]:
        wanted = unit_rows(queries, "queries", dim=self.dim)
        if not 1 <= k <= self.n_rows:
            raise GeolocError(f"k must lie between 1 and {self.n_rows}; got {k}.")
        rows = np.empty((len(wanted), k), dtype=np.int64)
        cosines = np.empty((len(wanted), k), dtype=np.float32)
        log_sums = np.empty(len(wanted))
        for start in range(0, len(wanted), _MOST_QUERIES):
            part = slice(start, start + _MOST_QUERIES)
            search = _Search(len(wanted[part]), k)
            exponentials = _LogSum(len(wanted[part]))
            for first, tile in _tiles(wanted[part], self.vectors):
                search.look_at(tile, first)
                if temperature is not None:
                    exponentials.add(tile, temperature)  # last: it overwrites the tile
            rows[part], cosines[part] = search.result()
            log_sums[part] = exponentials.result()
        return rows, cosines, log_sums


def _tiles(queries: Matrix, vectors: Matrix) -> Iterator[tuple[int, Matrix]]:
    """First column and products of one stretch of the gallery after another, in one buffer."""
    n = len(vectors)
    width = min(n, max(_LEAST_WIDTH, _TILE_NUMBERS // len(queries)))
    buffer = np.empty(len(queries) * width, dtype=np.float32)
    for first in range(0, n, width):
        columns = vectors[first : first + width]
        tile = buffer[: len(queries) * len(columns)].reshape(len(queries), len(columns))
        np.matmul(queries, columns.T, out=tile)
        yield first, tile


class _Search:
    """The k highest values of each row of a matrix that comes in tiles of columns."""

    def __init__(self, n_rows: int, k: int) -> None:
        self.n_rows, self.k = n_rows, k
        self.n_seen = 0
        self.least = np.full(n_rows, -np.inf, dtype=np.float32)  # what a value must reach
        self.owners = np.empty(0, dtype=np.uint16)  # 16 bits are sorted by counting
        self.columns = np.empty(0, dtype=np.int64)
        self.values = np.empty(0, dtype=np.float32)
        self.pending: list[tuple[npt.NDArray[np.uint16], Rows, Matrix]] = []
        self.n_pending = 0

    def look_at(self, tile: Matrix, first: int) -> None:
        """Take the tile whose leftmost column is ``first``; tiles come from left to right."""
        if self.n_seen == 0:
            self.least = _reached_by(tile, self.k)
        found = np.flatnonzero(tile >= self.least[:, None])
        if len(found) > 16 * self.k * self.n_rows:  # much of this tile beats what came before
            self.least = np.maximum(self.least, _reached_by(tile, self.k))
            found = np.flatnonzero(tile >= self.least[:, None])
        self.n_seen += tile.shape[1]
        if len(found):
            owner, column = np.divmod(found, tile.shape[1])
            self.pending.append((owner.astype(np.uint16), column + first, tile.reshape(-1)[found]))
            self.n_pending += len(found)
        if self.n_pending > 2 * self.k * self.n_rows:
            self._settle()

    def _settle(self) -> None:
        """Keep the k best of what is pending and what was kept."""
        parts = [(self.owners, self.columns, self.values), *self.pending]
        owners, columns, values = (np.concatenate(part) for part in zip(*parts, strict=True))
        # Stable: of equal values the lower column, which came earlier, stays first.
        order = np.lexsort((-values, owners))
        owners = owners[order]
        place = np.arange(len(owners)) - np.searchsorted(owners, np.arange(self.n_rows))[owners]
        kept = order[place < self.k]
        self.owners, self.columns, self.values = owners[place < self.k], columns[kept], values[kept]
        self.pending, self.n_pending = [], 0
        if self.n_seen >= self.k:
            # A later column that only equals the k-th loses to it.
            worst = self.values.reshape(self.n_rows, self.k)[:, -1]
            self.least = np.maximum(self.least, np.nextafter(worst, np.float32(np.inf)))

    def result(self) -> tuple[Rows, Matrix]:
        """(q, k) columns and values, the highest first and of equal ones the lower column."""
        self._settle()
        return self.columns.reshape(-1, self.k), self.values.reshape(-1, self.k)


def _reached_by(tile: Matrix, k: int) -> Matrix:
    """A value per row that at least k of its columns reach; -inf for fewer columns than k."""
    n_rows, width = tile.shape
    if width < k:
        return np.full(n_rows, -np.inf, dtype=np.float32)
    n_groups = min(width, max(4 * k, 64))
    size = width // n_groups
    maxima = tile[:, : n_groups * size].reshape(n_rows, n_groups, size).max(axis=2)
    reached: Matrix = np.partition(maxima, n_groups - k, axis=1)[:, n_groups - k]
    return reached


class _LogSum:
    """``log sum exp(value / temperature)`` of each row of a matrix that comes in tiles."""

    def __init__(self, n_rows: int) -> None:
        self.highest = np.full(n_rows, -np.inf)
        self.total = np.zeros(n_rows)

    def add(self, tile: Matrix, temperature: float) -> None:
        """Add a tile's columns; its numbers are lost."""
        tile /= np.float32(temperature)
        highest = np.maximum(self.highest, tile.max(axis=1))
        tile -= highest[:, None].astype(np.float32)
        np.exp(tile, out=tile)
        self.total = self.total * np.exp(self.highest - highest) + tile.sum(
            axis=1, dtype=np.float64
        )
        self.highest = highest

    def result(self) -> npt.NDArray[np.float64]:
        with np.errstate(divide="ignore"):  # nothing was added
            return self.highest + np.log(self.total)


def unit_rows(vectors: npt.ArrayLike, name: str, *, dim: int | None = None) -> Matrix:
    """Vectors of length 1, (n, D) float32 in C order; a zero stays zero.

    Vectors that already have length 1, to a few units in the last place, stay as they are: what
    was saved and loaded answers as before.
    """
    matrix = np.ascontiguousarray(vectors, dtype=np.float32)
    if matrix.ndim != 2 or matrix.shape[1] == 0 or (dim is not None and matrix.shape[1] != dim):
        wanted = f"(n, {dim})" if dim is not None else "(n, D)"
        raise GeolocError(f"The {name} must have shape {wanted}; got {matrix.shape}.")
    if dim is None and len(matrix) == 0:
        raise GeolocError(f"The {name} needs one row at least.")
    length = np.linalg.norm(matrix, axis=1, keepdims=True)
    if not np.isfinite(length).all():
        row = int(np.argmin(np.isfinite(length[:, 0])))
        raise GeolocError(f"The {name} must hold finite numbers; row {row} does not.")
    has_length = (np.abs(length - 1.0) <= _LENGTH_ERROR) | (length == 0.0)
    if has_length.all():
        return matrix
    return np.asarray(matrix / np.where(has_length, 1.0, length), dtype=np.float32)


@torch.inference_mode()
def embed_places(
    encoder: LocationEncoder, coords: npt.ArrayLike, *, batch_size: int = 4096
) -> Matrix:
    """Embed places; each distinct one is computed once.

    Parameters
    ----------
    encoder : LocationEncoder
        Evaluated where it is; its mode is as before afterwards.
    coords : array-like
        (n, 2) latitude and longitude in degrees.
    batch_size : int, default 4096
        Places a step.

    Returns
    -------
    ndarray
        (n, E) float32, not normalised.

    Raises
    ------
    GeolocError
        If there is no place, or one is not on the earth.
    """
    points = as_coords(coords)
    if len(points) == 0:
        raise GeolocError("There is not one place to embed.")
    # One complex number a place: sorted as one key, several times faster than as a row.
    _, first_row, number = np.unique(
        (points + 0.0).view(np.complex128)[:, 0], return_index=True, return_inverse=True
    )
    distinct = points[first_row]
    logger.info("embedding %d distinct places of %d", len(distinct), len(points))
    device = next(encoder.parameters()).device
    was_training = encoder.training
    encoder.eval()
    try:
        parts = [
            encoder(torch.from_numpy(part).to(device)).float().cpu()
            for part in np.array_split(distinct, range(batch_size, len(distinct), batch_size))
        ]
    finally:
        encoder.train(was_training)
    embedded: Matrix = torch.cat(parts).numpy()[number.reshape(-1)]
    return embedded


def _check_temperature(temperature: float) -> None:
    if not 0 < temperature < np.inf:
        raise GeolocError(f"The temperature must be above 0; got {temperature}.")
