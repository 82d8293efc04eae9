"""Vectors with their coordinates, as files of a bundle: a safetensors file and a table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from geocells.tables import as_numpy, read_parquet
from geoloc_models._errors import GeolocError, reason_of

FloatArray = npt.NDArray[np.float64]


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


def read_stored(
    stem: Path,
) -> tuple[npt.NDArray[np.float32], FloatArray, npt.NDArray[np.object_]]:
    """Vectors, coordinates and countries that :func:`write_stored` wrote.

    Raises
    ------
    GeolocError
        If a file is missing or damaged, or the two do not belong together.
    """
    from safetensors.numpy import load_file

    table, weights = stem.with_suffix(".parquet"), stem.with_suffix(".safetensors")
    for path in (table, weights):
        if not path.is_file():
            raise GeolocError(
                f"{path.parent} is not a complete model bundle: {path.name} is missing."
            )
    try:
        places = read_parquet(table, columns=["latitude", "longitude", "country"])
        latitude, longitude, countries = (as_numpy(column) for column in places.columns)
        coords = np.column_stack([latitude, longitude]).astype(np.float64)
        countries = countries.astype(object)
        vectors = load_file(weights)["vectors"]
    except Exception as error:  # damaged metadata: AttributeError, RecursionError, ArrowException
        raise GeolocError(
            f"{stem}.parquet or {stem.name}.safetensors is damaged ({reason_of(error)}). Restore "
            "a complete copy, or train it again."
        ) from error
    if vectors.ndim != 2 or len(vectors) != len(coords) or not np.isfinite(coords).all():
        raise GeolocError(
            f"{table} has {len(coords)} places but {weights.name} vectors of shape "
            f"{vectors.shape}; were files of two bundles mixed?"
        )
    return vectors, coords, countries
