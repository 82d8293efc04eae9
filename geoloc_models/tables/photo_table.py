"""Tables of photos: where the image lies, its coordinates and its country."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from geoloc_models._errors import GeolocError
from geoloc_models.countries import country_code, country_of
from geoloc_models.tables.coordinates import as_coords, check_coordinates
from geoloc_models.tables.table_file import read_column_names, read_columns

logger = logging.getLogger(__name__)

_USUAL_NAMES = {
    "path": ["path", "file", "filename", "image", "photo"],
    "latitude": ["latitude", "lat", "y"],
    "longitude": ["longitude", "lon", "lng", "long", "x"],
}
_CARRIED = ("url", "user", "time", "part", "subset_rank")
_PATHS_TO_TRY = 100


@dataclass(frozen=True)
class PhotoTable:
    """Photos with their coordinates and countries, one row each.

    Parameters
    ----------
    frame : DataFrame
        Columns ``latitude`` and ``longitude`` (float64, degrees), ``country`` (ISO 3166-1 alpha-2
        code) and, where there are any, ``id`` (str, unique), ``path`` (str), ``group`` (photos that
        must stay on one side of a split), ``url``, ``user``, ``time``, and of an earlier split
        ``part`` and ``subset_rank``. The index is 0, 1, 2, ...

    Raises
    ------
    GeolocError
        If a column is missing, or a coordinate is not finite or out of range.

    Examples
    --------
    >>> table = PhotoTable.from_arrays([[59.33, 18.07], [47.38, 8.54]], ["SE", "CH"])
    >>> table.n_rows, table.take([1]).countries.tolist()
    (2, ['CH'])
    """

    frame: pd.DataFrame

    def __post_init__(self) -> None:
        missing = [c for c in ("latitude", "longitude", "country") if c not in self.frame.columns]
        if missing:
            raise GeolocError(
                f"A table of photos needs the columns latitude, longitude and country; "
                f"{_listed(missing)} missing. Columns here: {_listed(self.frame.columns)}."
            )
        latitude, longitude = (
            self.frame[column].to_numpy(dtype=np.float64) for column in ("latitude", "longitude")
        )
        check_coordinates(latitude, longitude, "the table")

    @classmethod
    def from_arrays(
        cls,
        coords: ArrayLike,
        countries: Sequence[str] | np.ndarray,
        *,
        groups: Sequence[Any] | np.ndarray | None = None,
        paths: Sequence[str] | np.ndarray | None = None,
    ) -> PhotoTable:
        """Table from arrays of one length.

        Parameters
        ----------
        coords : array-like (n, 2)
            Latitude, longitude in degrees.
        countries : sequence of str (n,)
            ISO 3166-1 alpha-2 codes.
        groups, paths : sequence (n,), optional
            Group and image file of each photo.

        Raises
        ------
        GeolocError
            If the lengths differ or a coordinate is out of range.
        """
        points = as_coords(coords)
        columns: dict[str, Any] = {"latitude": points[:, 0], "longitude": points[:, 1]}
        for name, values in (("country", countries), ("group", groups), ("path", paths)):
            if values is None:
                continue
            if len(values) != len(points):
                raise GeolocError(
                    f"Every photo needs one {name}; got {len(points)} coordinates but "
                    f"{len(values)} values of {name}."
                )
            columns[name] = np.asarray(values, dtype=None if name == "group" else object)
        return cls(pd.DataFrame(columns))

    @property
    def coords(self) -> np.ndarray:
        """Latitude, longitude in degrees: (n, 2) float64."""
        return self.frame[["latitude", "longitude"]].to_numpy(dtype=np.float64)

    @property
    def countries(self) -> np.ndarray:
        """Country codes: (n,) object."""
        return self.frame["country"].to_numpy(dtype=object)

    @property
    def ids(self) -> np.ndarray | None:
        """Id of each photo (n,) object, or None where the table has no ids."""
        return self.frame["id"].to_numpy(dtype=object) if "id" in self.frame.columns else None

    @property
    def groups(self) -> np.ndarray | None:
        """Group of each photo (n,), or None where the table has no groups."""
        return self.frame["group"].to_numpy() if "group" in self.frame.columns else None

    @property
    def n_rows(self) -> int:
        """Number of photos."""
        return len(self.frame)

    def __len__(self) -> int:
        return self.n_rows

    def take(self, rows: ArrayLike) -> PhotoTable:
        """Table of these rows (integer positions), in this order."""
        positions = np.asarray(rows)
        if positions.size == 0:
            positions = positions.astype(np.int64)
        return PhotoTable(self.frame.iloc[positions].reset_index(drop=True))


def read_photo_table(
    path: str | Path,
    *,
    path_column: str | None = "path",
    latitude_column: str = "latitude",
    longitude_column: str = "longitude",
    country_column: str | None = None,
    group_column: str | None = None,
    root: str | Path | None = None,
    sea_tolerance_km: float = 20.0,
    unplaced: Literal["raise", "drop"] = "raise",
) -> PhotoTable:
    """Read a table of photos from a CSV, TSV, JSON lines or Parquet file.

    Columns ``id``, ``url``, ``user``, ``time``, ``part`` and ``subset_rank`` are kept where there
    are any.

    Parameters
    ----------
    path : path
        ``.csv`` (comma), ``.tsv`` (tab), ``.jsonl`` (one object a line), any of them compressed
        (``.csv.gz``), or ``.parquet``.
    path_column : str or None
        Column of the image files; None if only the coordinates are wanted.
    latitude_column, longitude_column : str
        Columns of the coordinates, in degrees.
    country_column : str, optional
        Column of country codes or names. By default the column ``country`` if there is one; else
        the country is found from the coordinates.
    group_column : str, optional
        Column of groups (say, the photographer) that are never both trained on and held out. By
        default the column ``group`` if there is one.
    root : path, optional
        Folder that relative image files start from; by default the table's own folder.
    sea_tolerance_km : float
        Where countries come from coordinates: how far off a country's shore a photo may lie.
    unplaced : {"raise", "drop"}
        Where countries come from coordinates: what happens to photos on the high seas.

    Returns
    -------
    PhotoTable
        Rows in the file's order; ``path`` joined with ``root``.

    Raises
    ------
    GeolocError
        If the file is missing, unreadable, has another delimiter or no rows; if a column is
        missing; if a coordinate is missing, not a number, out of range or apparently swapped; if a
        country is unknown; if an id is missing or there twice. The message names the file and the
        first bad row, where row 1 is the first one below the header.
    """
    source = Path(path)
    if unplaced not in ("raise", "drop"):
        raise GeolocError(f"unplaced must be 'raise' or 'drop'; got {unplaced!r}.")
    columns = read_column_names(source)
    wanted = {"path": path_column, "latitude": latitude_column, "longitude": longitude_column}
    _check_columns(source, columns, {role: name for role, name in wanted.items() if name})
    for role, name in (("country", country_column), ("group", group_column)):
        if name is not None:
            _check_columns(source, columns, {role: name})
        wanted[role] = name if name is not None else role if role in columns else None
    wanted.update({name: name if name in columns else None for name in ("id", *_CARRIED)})
    used = {role: name for role, name in wanted.items() if name is not None}

    raw = read_columns(source, columns, list(dict.fromkeys(used.values())), used)
    if len(raw) == 0:
        raise GeolocError(f"{source.name} has no rows below its header. Give at least one photo.")
    latitude = _numbers(raw[used["latitude"]], used["latitude"], source)
    longitude = _numbers(raw[used["longitude"]], used["longitude"], source)
    check_coordinates(latitude, longitude, source.name, first_row=1)

    frame = pd.DataFrame({"latitude": latitude, "longitude": longitude})
    if "path" in used:
        files = _filled(raw[used["path"]], used["path"], "image file", source)
        frame["path"] = _joined_paths(files, source, root)
    if "id" in used:
        frame["id"] = _unique(_filled(raw["id"], "id", "id", source).astype(str), source)
    if "group" in used:
        frame["group"] = _filled(raw[used["group"]], used["group"], "group", source)
    for name in _CARRIED:
        if name in used:
            frame[name] = raw[name]
    if "country" in used:
        names = _filled(raw[used["country"]], used["country"], "country", source)
        frame["country"] = _codes(names, source)
    else:
        frame["country"] = country_of(
            frame[["latitude", "longitude"]].to_numpy(), tolerance_km=sea_tolerance_km
        )
        frame = _without_unplaced(frame, source, sea_tolerance_km, unplaced)
    return PhotoTable(frame)


def _check_columns(source: Path, columns: list[str], wanted: dict[str, str]) -> None:
    missing = {role: name for role, name in wanted.items() if name not in columns}
    if not missing:
        return
    hints = []
    plain = {column.strip().lower(): column for column in columns}
    for role, name in missing.items():
        usual = [usual_name for usual_name in _USUAL_NAMES.get(role, []) if usual_name in plain]
        close = usual or difflib.get_close_matches(name.lower(), list(plain), n=1, cutoff=0.6)
        if close:
            name_there = plain[close[0]]
            hints.append(f"{role}_column={name_there!r} (--{role}-column {name_there})")
    remedy = (
        f"Perhaps {' and '.join(hints)}?"
        if hints
        else "Rename the columns or say which ones to use: "
        + ", ".join(f"{role}_column" for role in missing)
        + "."
    )
    raise GeolocError(
        f"{source.name} has no column {_listed(missing.values())} "
        f"(columns there: {_listed(columns)}). {remedy}"
    )


def _numbers(values: pd.Series, column: str, source: Path) -> np.ndarray:
    numbers = pd.to_numeric(values, errors="coerce")
    wrong = (numbers.isna() & values.notna()).to_numpy()
    if wrong.any():
        first = int(wrong.argmax())
        text = str(values.iloc[first])
        remedy = (
            "Write decimals with a point."
            if "," in text
            else "Write decimal degrees, or remove these rows."
        )
        raise GeolocError(
            f"Column {column!r} must hold numbers; {wrong.sum()} of {len(values)} rows of "
            f"{source.name} do not (first: row {first + 1}, {text!r}). {remedy}"
        )
    return numbers.to_numpy(dtype=np.float64, na_value=np.nan)


def _filled(values: pd.Series, column: str, noun: str, source: Path) -> pd.Series:
    empty = (values.isna() | (values.astype(str).str.strip() == "")).to_numpy()
    if empty.any():
        remedy = "Fill in or remove these rows"
        if noun != "image file":
            remedy += f", or drop the column {column!r}"
        raise GeolocError(
            f"Every photo needs a value in column {column!r} ({noun}); {empty.sum()} of "
            f"{len(values)} rows of {source.name} have none (first: row "
            f"{int(empty.argmax()) + 1}). {remedy}."
        )
    return values


def _unique(ids: pd.Series, source: Path) -> pd.Series:
    again = ids.duplicated().to_numpy()
    if again.any():
        first = int(again.argmax())
        raise GeolocError(
            f"Every photo needs an id of its own; {again.sum()} of {len(ids)} rows of "
            f"{source.name} repeat one (first: row {first + 1}, {ids.iloc[first]!r}). Remove these "
            "rows, or drop the column 'id'."
        )
    return ids


def _codes(names: pd.Series, source: Path) -> np.ndarray:
    number, distinct = pd.factorize(names.astype(str).to_numpy(dtype=object))
    codes = np.empty(len(distinct), dtype=object)
    for k, name in enumerate(distinct):
        try:
            codes[k] = country_code(name)
        except GeolocError as error:
            rows = number == k
            raise GeolocError(
                f"Row {int(rows.argmax()) + 1} of {source.name}"
                f"{f' and {rows.sum() - 1} more' if rows.sum() > 1 else ''}: {error}"
            ) from error
    return codes[number]


def _joined_paths(files: pd.Series, source: Path, root: str | Path | None) -> list[str]:
    folder = Path(root) if root is not None else source.parent
    if root is not None and not folder.is_dir():
        raise GeolocError(f"There is no folder {folder}. Check the root of the image files.")
    paths = [str(folder / str(file)) for file in files]
    tried = paths[:_PATHS_TO_TRY]
    if not any(Path(path).exists() for path in tried):
        raise GeolocError(
            f"None of the first {len(tried)} image files of {source.name} exists "
            f"(row 1: {paths[0]}). Relative paths start from "
            + (
                "root: check it."
                if root is not None
                else "the table's folder: name another as root."
            )
        )
    return paths


def _without_unplaced(
    frame: pd.DataFrame, source: Path, sea_tolerance_km: float, unplaced: str
) -> pd.DataFrame:
    nowhere = frame["country"].isna().to_numpy()
    if not nowhere.any():
        return frame
    first = int(nowhere.argmax())
    place = tuple(frame.loc[first, ["latitude", "longitude"]])
    count = (
        f"{nowhere.sum()} of {len(frame)} rows of {source.name} lie more than "
        f"{sea_tolerance_km:g} km from every country (first: row {first + 1}, "
        f"{place[0]:g}, {place[1]:g})"
    )
    if unplaced == "raise" or nowhere.all():
        raise GeolocError(
            f"{count}. Correct or remove these rows, or give a country column"
            + (" (0, 0 often stands for no position)." if place == (0.0, 0.0) else ".")
        )
    logger.warning("%s; they are left out.", count)
    return frame[~nowhere].reset_index(drop=True)


def _listed(names: Any, limit: int = 20) -> str:
    shown = [repr(str(name)) for name in names]
    more = len(shown) - limit
    return ", ".join(shown[:limit]) + (f" and {more} more" if more > 0 else "")
