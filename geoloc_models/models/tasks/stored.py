"""Vectors with their coordinates, as files of a bundle: a safetensors file and a table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from geocells.tables import as_numpy, read_parquet
from geoloc_models.errors import GeolocError, reason_of

FloatArray = npt.NDArray[np.float64]
Read = TypeVar("Read")


def write_stored(
    stem: Path,
    vectors: npt.NDArray[np.floating[Any]],
    coords: FloatArray,
    countries: npt.NDArray[np.object_],
) -> None:
    """Write (n, D) vectors to ``STEM.safetensors``, (n, 2) degrees and (n,) names to ``STEM.parquet``."""
    from safetensors.numpy import save_file

    save_file({"vectors": np.ascontiguousarray(vectors)}, stem.with_suffix(".safetensors"))
    table = {"latitude": coords[:, 0], "longitude": coords[:, 1], "country": countries}
    pq.write_table(pa.table(table), stem.with_suffix(".parquet"))


def read_file(path: Path, read: Callable[[Path], Read]) -> Read:
    """Read a file of a bundle; GeolocError if it is missing or damaged."""
    if not path.is_file():
        raise GeolocError(f"{path.parent} is not a complete model bundle: {path.name} is missing.")
    try:
        return read(path)
    except ValueError as error:
        raise GeolocError(f"{path}: {error}") from error
    except Exception as error:  # damaged metadata: AttributeError, RecursionError, ArrowException
        raise GeolocError(
            f"{path} is damaged ({reason_of(error)}). Restore a complete copy, or train it again."
        ) from error


def read_stored(
    stem: Path, dim: int
) -> tuple[npt.NDArray[np.float32], FloatArray, npt.NDArray[np.object_]]:
    """Vectors, coordinates and countries that :func:`write_stored` wrote.

    Raises
    ------
    GeolocError
        If a file is missing or damaged, the two do not belong together, or vectors have not
        ``dim`` numbers.
    """
    from safetensors.numpy import load_file

    path = stem.with_suffix(".safetensors")
    coords, countries = read_file(stem.with_suffix(".parquet"), _read_places)
    vectors = read_file(path, lambda path: load_file(path)["vectors"])
    if vectors.shape != (len(coords), dim):
        raise GeolocError(
            f"{path} has vectors of shape {vectors.shape}, not {(len(coords), dim)}: a row for each "
            f"place, of the model's {dim} numbers. Were files of two bundles mixed?"
        )
    return vectors, coords, countries


def _read_places(path: Path) -> tuple[FloatArray, npt.NDArray[np.object_]]:
    places = read_parquet(path, columns=["latitude", "longitude", "country"])
    latitude, longitude = (as_numpy(places[name]) for name in ("latitude", "longitude"))
    coords = np.column_stack([latitude, longitude]).astype(np.float64)
    if not np.isfinite(coords).all():
        raise ValueError("it has places without coordinates")
    return coords, np.array(places["country"].to_pylist(), dtype=object)  # to_numpy loads pandas
