"""Where the training images of each class are, as a file of a bundle: for decoding."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from geocells.tables import as_numpy, check_coordinates, read_parquet
from geoloc_models.coordinates import as_coords
from geoloc_models.errors import GeolocError
from geoloc_models.files import reading, replacing
from geoloc_models.models.tasks.classes import Images

DECODER_FILE = "decoder.parquet"


def save_decoder(folder: str | Path, coords: npt.ArrayLike, labels: npt.ArrayLike) -> None:
    """Store where the training images of each class are, as ``decoder.parquet`` of a bundle.

    Parameters
    ----------
    folder : path
        The bundle, already saved (saving it again takes the file away).
    coords : array-like
        (n, 2) latitude and longitude of the training images, in degrees.
    labels : array-like
        (n,) class of each, as the model's probabilities count them: cells, or countries in the
        order of their names. -1 for none, which leaves the image out.

    Raises
    ------
    GeolocError
        If no image has a class.

    Notes
    -----
    Whoever gets the bundle gets these coordinates.
    """
    points, classes = as_coords(coords), np.asarray(labels)
    has_class = classes >= 0
    if not has_class.any():
        raise GeolocError("No training image has a class: there is nothing to decode by.")
    table = pa.table(
        {
            "latitude": points[has_class, 0],
            "longitude": points[has_class, 1],
            "cell": classes[has_class].astype(np.int32),
        }
    )
    with replacing(Path(folder) / DECODER_FILE) as partial:
        pq.write_table(table, partial)


def read_decoder(folder: str | Path, n_classes: int) -> Images | None:
    """Coordinates and classes that :func:`save_decoder` stored; None where there are none.

    Raises
    ------
    GeolocError
        If the file is damaged, or names classes that the model does not have.
    """
    path = Path(folder) / DECODER_FILE
    if not path.is_file():
        return None
    with reading(path, "delete it"):
        table = read_parquet(path, columns=["latitude", "longitude", "cell"])
        latitude, longitude, labels = (as_numpy(column) for column in table.columns)
        coords = as_coords(np.column_stack([latitude, longitude]))
        check_coordinates(coords[:, 0], coords[:, 1], path.name)
        labels = labels.astype(np.int64)
    if len(labels) == 0 or labels.min() < 0 or labels.max() >= n_classes:
        raise GeolocError(
            f"{path} does not name classes 0 to {n_classes - 1} alone; were files of two bundles "
            "mixed?"
        )
    return coords, labels
