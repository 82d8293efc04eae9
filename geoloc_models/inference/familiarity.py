"""Whether a photo is of a kind that a model has seen, by the features of its encoder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from geoloc_models.files import reading
from geoloc_models.models.gallery import unit_rows

KNOWN_FILE = "known_photos.safetensors"
UNLIKE = "unlike anything this model has seen"
"""What readers are told of such a photo."""

_MOST, _FEWEST = 1000, 20  # photos that are kept, and that it takes
_NTH = 5
_SHARE = 0.01


@dataclass(frozen=True, eq=False)
class KnownPhotos:
    """Features of validation photos, and how near to them a photo has to come.

    Parameters
    ----------
    features : ndarray
        (m, D) float16, of length 1.
    least_cosine : float
        To the fifth most similar of them; a photo below it is unlike them.

    Notes
    -----
    The distance to the k-th nearest features tells strange inputs well [1]_. Validation photos stand
    for all that the model has seen, since they are of the same kind and nothing was fitted to them: one
    of them is held against the others, and ``least_cosine`` is the value that 1 % of them fall short of
    (the lowest one, of fewer than 199). So of photos like them 1 % are called unlike, or one in m + 1.

    References
    ----------
    .. [1] Sun, Ming, Zhu, Li (2022), Out-of-distribution detection with deep nearest neighbors.
    """

    features: npt.NDArray[np.float16]
    least_cosine: float

    @classmethod
    def of_validation(cls, features: npt.ArrayLike) -> Self | None:
        """Learn from (n, D) features of validation photos; None where they are fewer than 20."""
        vectors = np.asarray(features, dtype=np.float32)
        if len(vectors) < _FEWEST:
            return None
        rows = np.random.default_rng(0).permutation(len(vectors))[:_MOST]
        kept = unit_rows(vectors[rows], "features").astype(np.float16)
        known = unit_rows(kept, "features")  # as they will be read
        cosines = known @ known.T
        np.fill_diagonal(cosines, -2.0)
        rank = max(0, round(_SHARE * len(known)) - 1)
        return cls(kept, float(np.sort(_nth_highest(cosines))[rank]))

    def unlike(self, features: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """(n,) whether photos with (n, D) features are unlike all of these."""
        known = unit_rows(self.features, "features")
        vectors = unit_rows(features, "features", dim=known.shape[1])
        unlike: npt.NDArray[np.bool_] = _nth_highest(vectors @ known.T) < self.least_cosine
        return unlike

    def save(self, folder: str | Path) -> None:
        """Write ``known_photos.safetensors`` into a bundle."""
        from safetensors.numpy import save_file

        content: dict[str, npt.NDArray[Any]] = {
            "features": self.features,
            "least_cosine": np.array([self.least_cosine], dtype=np.float32),
        }
        save_file(content, Path(folder) / KNOWN_FILE)

    @classmethod
    def load(cls, folder: str | Path, dim: int) -> Self | None:
        """Read what :meth:`save` wrote, of features of ``dim`` numbers; None where there is nothing.

        Raises
        ------
        GeolocError
            If the file is damaged, or of another model.
        """
        from safetensors.numpy import load_file

        path = Path(folder) / KNOWN_FILE
        if not path.is_file():
            return None
        with reading(path, "delete it"):
            content: dict[str, Any] = load_file(path)
            features, (least_cosine,) = content["features"], content["least_cosine"]
            if len(unit_rows(features, "features", dim=dim)) < _FEWEST:
                raise ValueError(f"{len(features)} photos")
            return cls(features, float(least_cosine))


def _nth_highest(cosines: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    nth = cosines.shape[1] - _NTH
    return np.partition(cosines, nth, axis=1)[:, nth]
