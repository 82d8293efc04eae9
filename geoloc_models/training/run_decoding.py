"""The model of a run folder with every decoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from geoloc_models._errors import GeolocError
from geoloc_models.evaluation import Predictions
from geoloc_models.inference.decoders import decode_every_way
from geoloc_models.inference.model import load_model
from geoloc_models.training.plan import PhotoSource
from geoloc_models.training.run import bundle_outputs


def decode_run(
    run_dir: str | Path,
    source: PhotoSource,
    rows: npt.NDArray[np.int64],
    *,
    progress: bool = True,
) -> dict[str, Predictions]:
    """Answers of a finished run's model for some photos, by every decoder.

    Parameters
    ----------
    run_dir : str or Path
        A finished run; its bundle knows the training places, unless they were left out.
    source : PhotoSource
        The run's own photos.
    rows : ndarray
        (m,) int64, the photos to place.
    progress : bool, default True
        Show a progress bar.

    Returns
    -------
    dict of str to Predictions
        As :func:`geoloc_models.inference.decoders.decode_every_way` names them.

    Raises
    ------
    GeolocError
        If it is no finished run, the features are another encoder's, or no image can be read.
    """
    model = load_model(Path(run_dir) / "bundle")
    outputs = bundle_outputs(
        model.bundle,
        source,
        rows,
        workers=model.bundle.options["workers"],
        description="Decoding every way",
        progress=progress,
    )
    if len(outputs.rows) == 0:
        raise GeolocError("Not one of the photos could be read; check the paths in the table.")
    return decode_every_way(model, outputs.arrays, outputs.rows)
