"""Coordinates of photos that a table gives, by id or by path."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np
import pandas as pd

from geoloc_models._errors import GeolocError, reason_of
from geoloc_models.tables.coordinates import check_coordinates

_DELIMITERS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
_KEYS = ("id", "path")


@dataclass(frozen=True)
class GivenPositions:
    """Coordinates by key.

    Parameters
    ----------
    name : str
        Of the table's file.
    folder : Path
        The table's folder, which its paths may start from.
    latitude, longitude : Series of float64
        Degrees, indexed by key (an id, or a path with ``/``).
    n_rows : int
        Rows of the table that hold coordinates.
    """

    name: str
    folder: Path
    latitude: pd.Series
    longitude: pd.Series
    n_rows: int


def read_given_positions(path: str | Path) -> GivenPositions:
    """Read the coordinates of photos from a table.

    Parameters
    ----------
    path : path
        ``.csv``, ``.tsv`` (either may be compressed) or ``.parquet`` with the columns ``latitude``,
        ``longitude`` and ``id`` or ``path`` or both. Rows without coordinates are left out.

    Raises
    ------
    GeolocError
        If it is missing or unreadable, a column is missing, a coordinate is no number or out of
        range, or two rows give one photo different coordinates.
    """
    source = Path(path)
    table = _read(source)
    keys = [key for key in _KEYS if key in table.columns]
    missing = [name for name in ("latitude", "longitude") if name not in table.columns]
    if missing or not keys:
        needed = " and ".join(missing) if missing else "id or path"
        raise GeolocError(
            f"{source.name} has no column {needed}; a table of coordinates needs latitude, "
            f"longitude, and id or path (columns there: {', '.join(map(str, table.columns))})."
        )
    latitude, longitude = (_numbers(table[name], source) for name in ("latitude", "longitude"))
    placed = np.isfinite(latitude) & np.isfinite(longitude)
    check_coordinates(
        np.where(placed, latitude, 0.0), np.where(placed, longitude, 0.0), source.name, first_row=1
    )
    parts = []
    for key in keys:
        text = table[key].astype("string")
        keep = placed & text.notna().to_numpy()
        name = [PurePath(value).as_posix() if key == "path" else value for value in text[keep]]
        parts.append(
            pd.DataFrame(
                {"latitude": latitude[keep], "longitude": longitude[keep]},
                index=pd.Index(name, dtype=object),
            )
        )
    given = pd.concat(parts)
    given = given[~given.reset_index().duplicated().to_numpy()]
    repeated = given.index.duplicated()
    if repeated.any():
        raise GeolocError(
            f"{source.name} gives different coordinates for one photo "
            f"({given.index[int(repeated.argmax())]}). Keep one row of each photo."
        )
    return GivenPositions(
        source.name,
        source.absolute().parent,
        given["latitude"],
        given["longitude"],
        int(placed.sum()),
    )


def _read(source: Path) -> pd.DataFrame:
    if not source.is_file():
        raise GeolocError(f"There is no file {source}. Check the path to the coordinates.")
    suffixes = [suffix.lower() for suffix in source.suffixes]
    if suffixes and suffixes[-1] in (".gz", ".bz2", ".xz", ".zst"):
        suffixes.pop()
    kind = suffixes[-1] if suffixes else ""
    if kind not in (*_DELIMITERS, ".parquet", ".pq"):
        raise GeolocError(f"{source.name} is of no known kind. Name a .csv, .tsv or .parquet file.")
    try:
        if kind in _DELIMITERS:
            return pd.read_csv(
                source,
                sep=_DELIMITERS[kind],
                dtype="object",
                encoding="utf-8-sig",
                index_col=False,
                keep_default_na=False,
                na_values=[""],
            )
        return pd.read_parquet(source)
    except Exception as error:  # parsers and decompressors fail in many ways
        reason = reason_of(error)
        raise GeolocError(f"{source.name} cannot be read ({reason}). Write it again.") from error


def _numbers(values: pd.Series, source: Path) -> np.ndarray:
    numbers = pd.to_numeric(values, errors="coerce")
    wrong = (numbers.isna() & values.notna()).to_numpy()
    if wrong.any():
        first = int(wrong.argmax())
        raise GeolocError(
            f"Column {values.name!r} must hold numbers; {wrong.sum()} of {len(values)} rows of "
            f"{source.name} do not (first: row {first + 1}, {str(values.iloc[first])!r})."
        )
    return numbers.to_numpy(dtype=np.float64, na_value=np.nan)
