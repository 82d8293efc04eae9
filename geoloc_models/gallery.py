"""A gallery of places, embedded once: the exact nearest of 100 000 in a few milliseconds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from geoloc_models._errors import GeolocError
from geoloc_models.encoders import LocationEncoder

_CHUNK_NUMBERS = 1 << 25  # similarities in memory at a time: 128 MiB


@dataclass(frozen=True)
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

    vectors: npt.NDArray[np.float32]

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
        return self.vectors.shape[1]

    def search(
        self, queries: npt.ArrayLike, k: int = 1
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """Find the most similar vectors of each query.

        Parameters
        ----------
        queries : array-like
            (q, E) float, of any length.
        k : int, default 1
            How many, at most n.

        Returns
        -------
        tuple of ndarray
            (q, k) int64 rows, the most similar first and of equal ones the lower row; (q, k)
            float32 cosines.

        Raises
        ------
        GeolocError
            If the queries have another dimension, or ``k`` is out of range.

        Notes
        -----
        One matrix product, queries in chunks so that at most 128 MiB of similarities are held, and
        a partial sort: O(q n E + q n).
        """
        wanted = unit_rows(queries, "queries", dim=self.dim)
        if not 1 <= k <= self.n_rows:
            raise GeolocError(f"k must lie between 1 and {self.n_rows}; got {k}.")
        rows = np.empty((len(wanted), k), dtype=np.int64)
        cosines = np.empty((len(wanted), k), dtype=np.float32)
        step = max(1, _CHUNK_NUMBERS // self.n_rows)
        for start in range(0, len(wanted), step):
            part = slice(start, start + step)
            similarity = wanted[part] @ self.vectors.T
            rows[part] = _highest(similarity, k)
            cosines[part] = np.take_along_axis(similarity, rows[part], axis=1)
        return rows, cosines


def _highest(similarity: npt.NDArray[np.float32], k: int) -> npt.NDArray[np.int64]:
    """Columns of the k highest values of each row, sorted; of equal ones the lower column."""
    if k == 1:
        return similarity.argmax(axis=1)[:, None]
    n = similarity.shape[1]
    if k < n:
        least = np.partition(similarity, n - k, axis=1)[:, n - k]
        found = np.empty((len(similarity), k), dtype=np.int64)
        for row, values in enumerate(similarity):
            above = np.flatnonzero(values > least[row])
            equal = np.flatnonzero(values == least[row])[: k - len(above)]
            found[row] = np.concatenate([above, equal])
    else:
        found = np.broadcast_to(np.arange(n), similarity.shape).copy()
    values = np.take_along_axis(similarity, found, axis=1)
    order = np.lexsort([found, -values], axis=1)
    return np.take_along_axis(found, order, axis=1)


def unit_rows(
    vectors: npt.ArrayLike, name: str, *, dim: int | None = None
) -> npt.NDArray[np.float32]:
    """Vectors of length 1, (n, D) float32 in C order; a zero stays zero."""
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
    return np.asarray(matrix / np.where(length > 0, length, 1.0), dtype=np.float32)


@torch.inference_mode()
def embed_places(
    encoder: LocationEncoder, coords: npt.ArrayLike, *, batch_size: int = 4096
) -> npt.NDArray[np.float32]:
    """Embed places; each distinct one is computed once.

    Parameters
    ----------
    encoder : LocationEncoder
        Left in evaluation mode, where it is.
    coords : array-like
        (n, 2) latitude and longitude in degrees.
    batch_size : int, default 4096
        Places a step.

    Returns
    -------
    ndarray
        (n, E) float32, not normalised.
    """
    points = np.asarray(coords, dtype=np.float64).reshape(-1, 2)
    if len(points) == 0:
        raise GeolocError("There is not one place to embed.")
    distinct, row = np.unique(points, axis=0, return_inverse=True)
    encoder.eval()
    device = next(encoder.parameters()).device
    parts = [
        encoder(torch.from_numpy(distinct[start : start + batch_size]).to(device)).float().cpu()
        for start in range(0, len(distinct), batch_size)
    ]
    embedded: npt.NDArray[np.float32] = torch.cat(parts).numpy()[row.reshape(-1)]
    return embedded
