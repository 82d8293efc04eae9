"""A gallery of places, embedded once, and the exact search for the most similar of them."""

from __future__ import annotations

import logging

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import softmax

from geoloc_models.coordinates import as_coords
from geoloc_models.errors import GeolocError
from geoloc_models.models.encoders import LocationEncoder

logger = logging.getLogger(__name__)

_NUMBERS_AT_A_TIME = 1 << 24  # similarities in memory: 64 MiB
_LENGTH_ERROR = 1e-6  # a vector this near to length 1 is left as it is

Rows = npt.NDArray[np.int64]
Matrix = npt.NDArray[np.float32]


class Gallery:
    """Vectors of length 1, and the exact search among them by cosine.

    Parameters
    ----------
    vectors : array-like
        (n, E) of any length; kept as ``vectors``, float32 of length 1. A zero stays zero.

    Raises
    ------
    GeolocError
        If they are no matrix, there is none, or a number is not finite.

    Examples
    --------
    >>> gallery = Gallery([[3.0, 0.0], [0.0, 2.0]])
    >>> gallery.search([[1.0, 0.1]], 1)[0].tolist()
    [[0]]
    """

    def __init__(self, vectors: npt.ArrayLike) -> None:
        self.vectors = unit_rows(vectors, "gallery")

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
        O(q n E), with a selection rather than a sort of the n similarities.
        """
        wanted = unit_rows(queries, "queries", dim=self.dim)
        if not 1 <= k <= self.n_rows:
            raise GeolocError(f"k must lie between 1 and {self.n_rows}; got {k}.")
        rows = np.empty((len(wanted), k), dtype=np.int64)
        cosines = np.empty((len(wanted), k), dtype=np.float32)
        step = max(1, _NUMBERS_AT_A_TIME // self.n_rows)
        for start in range(0, len(wanted), step):
            part = slice(start, start + step)
            rows[part], cosines[part] = _highest(wanted[part] @ self.vectors.T, k)
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
            (q, n) float32, rows that sum to 1. For 100 000 rows that is 0.4 MB a query.

        Notes
        -----
        ``softmax(cos / t)``. Trained against false locations drawn from the training set, ``cos /
        t`` estimates the log of how much more likely a place is than it is among these; so with
        the training coordinates as the gallery, repeated ones included, this is the posterior.
        """
        if not 0 < temperature < np.inf:
            raise GeolocError(f"The temperature must be above 0; got {temperature}.")
        cosines = unit_rows(queries, "queries", dim=self.dim) @ self.vectors.T
        probabilities: Matrix = softmax(cosines / np.float32(temperature), axis=1)
        return probabilities


def _highest(values: Matrix, k: int) -> tuple[Rows, Matrix]:
    """Columns and values of the k highest of each row; of equal ones the lower column first.

    ``topk`` takes any of equal values, so it only says which value the k-th is.
    """
    least = torch.from_numpy(values).topk(k, dim=1).values[:, -1:].numpy()
    owner, column = np.nonzero(values >= least)
    order = np.lexsort((-values[owner, column], owner))  # stable: the lower column stays first
    counts = np.bincount(owner, minlength=len(values))
    first = np.cumsum(counts) - counts
    columns = column[order][first[:, None] + np.arange(k)]
    return columns, np.take_along_axis(values, columns, axis=1)


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
        raise GeolocError("There is no place to embed.")
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
