"""Tables of photos: where the image lies, its coordinates and its country."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import ArrayLike

from geocells import tables
from geoloc_models.coordinates import as_coords
from geoloc_models.countries.lookup import country_of
from geoloc_models.countries.names import country_code
from geoloc_models.errors import GeolocError
from geoloc_models.tables.photo_ids import refuse_missing, refuse_repeated

logger = logging.getLogger(__name__)

_CARRIED = ("url", "user", "time", "part", "subset_rank")
_PATHS_TO_TRY = 100
_MOST_NAMED = 5


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
    columns : dict of str to str
        Where it was read from a file: the column there of each role.

    Raises
    ------
    ValueError
        If a column is missing, or a coordinate is not finite or out of range.

    Examples
    --------
    >>> table = PhotoTable.from_arrays([[59.33, 18.07], [47.38, 8.54]], ["SE", "CH"])
    >>> table.n_rows, table.take([1]).countries.tolist()
    (2, ['CH'])
    """

    frame: pd.DataFrame
    columns: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        missing = [c for c in ("latitude", "longitude", "country") if c not in self.frame.columns]
        if missing:
            raise GeolocError(
                f"A table of photos needs the columns latitude, longitude and country; "
                f"{', '.join(map(repr, missing))} missing. Columns here: "
                f"{', '.join(map(repr, self.frame.columns))}."
            )
        tables.check_coordinates(self.coords[:, 0], self.coords[:, 1], "the table")

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
        ValueError
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
        return PhotoTable(self.frame.iloc[positions].reset_index(drop=True), self.columns)


def read_photo_table(
    path: str | Path,
    *,
    images: bool = True,
    path_column: str | None = None,
    latitude_column: str | None = None,
    longitude_column: str | None = None,
    country_column: str | None = None,
    group_column: str | None = None,
    quoting: bool = True,
    root: str | Path | None = None,
    sea_tolerance_km: float = 20.0,
    countries: bool = True,
) -> PhotoTable:
    """Read a table of photos from a file of any kind that :mod:`geocells.tables` reads.

    Columns of ids, addresses, users and times are kept where there are any, and ``part`` and
    ``subset_rank`` of an earlier split. Columns that are not named are found by their usual names.

    Parameters
    ----------
    path : path
        See :func:`geocells.tables.open_table`.
    images : bool
        Whether image files are needed; otherwise the table needs no column of them.
    path_column, latitude_column, longitude_column : str, optional
        Columns of the image files and of the coordinates, in degrees.
    country_column : str, optional
        Column of country codes or names. Without one, and where it is empty, the country is found
        from the coordinates.
    group_column : str, optional
        Column of groups (say, the photographer) that are never both trained on and held out.
    quoting : bool
        Double quotes enclose texts.
    root : path, optional
        Folder that relative image files start from; by default the table's own folder.
    sea_tolerance_km : float
        Where countries come from coordinates: how far off a country's shore a photo may lie.
    countries : bool
        Whether each photo needs a country: those on the high seas are then left out, with a
        warning that lists them. Otherwise all rows are kept, and none has a country.

    Returns
    -------
    PhotoTable
        Rows in the file's order; ``path`` joined with ``root``.

    Raises
    ------
    ValueError
        If the file is missing, unreadable or has no rows; if a column is missing; if a coordinate
        is missing, not a number, out of range or apparently swapped; if a country is unknown; if an
        id is missing or there twice. The message names the file and the first bad row, where row 1
        is the first one below the header.

    Examples
    --------
    >>> from geoloc_models.tables import read_photo_table
    >>> table = read_photo_table("photos.csv")
    >>> table.n_rows, sorted(set(table.countries))
    (160, ['CH', 'SE'])
    """
    source = Path(path)
    named = {
        "latitude": latitude_column,
        "longitude": longitude_column,
        "group": group_column,
    }
    if countries:
        named["country"] = country_column
    if images:
        named["path"] = path_column
    wanted = {**named, **dict.fromkeys(("id", *_CARRIED))}
    file = tables.open_table(source, quoting=quoting)
    columns = file.find_columns(wanted, needed=("latitude", "longitude", "path"))
    frame = _frame(file.read(list(columns.values())), columns, source)
    if "path" in columns:
        frame["path"] = _joined_paths(frame["path"], source, root)
    if not countries:
        return PhotoTable(frame.assign(country=None), columns)
    codes = np.full(len(frame), None, dtype=object)
    if "country" in columns:
        codes = _codes(frame["country"], source)
    unknown = pd.isna(codes)
    coords = frame[["latitude", "longitude"]].to_numpy()
    codes[unknown] = country_of(coords[unknown], tolerance_km=sea_tolerance_km)
    frame["country"] = codes
    return PhotoTable(_without_those_at_sea(frame, source, sea_tolerance_km), columns)


def _frame(table: pa.Table, columns: dict[str, str], source: Path) -> pd.DataFrame:
    """Values of the columns, checked, each under its role."""
    coords = tables.coordinates(table, columns, where=source.name)
    frame = pd.DataFrame({"latitude": coords[:, 0], "longitude": coords[:, 1]})
    for role in ("path", "id", "group", *_CARRIED, "country"):
        if role not in columns:
            continue
        column = table[columns[role]]
        if role == "id":
            values = tables.ids(column, where=source.name)
        elif role == "group":
            frame[role] = tables.groups(column, columns[role], where=source.name)
            continue
        elif role == "country":
            values = tables.texts(column, keep_na=True)
        elif role == "subset_rank":
            values = column
        else:
            values = tables.texts(column)
        if role in ("path", "id"):
            what = f"a value in column {columns[role]!r} ({role})"
            refuse_missing(values, what, source.name, range(1, len(values) + 1))
        frame[role] = values.to_pandas()
    if "id" in frame:
        refuse_repeated(frame["id"].rename(lambda row: row + 1), source.name, len(frame))
    return frame


def _codes(names: pd.Series, source: Path) -> np.ndarray:
    """Country codes, (n,) object; None where there is no name."""
    number, distinct = pd.factorize(names.to_numpy(dtype=object))  # -1 where there is none
    codes = np.full(len(distinct) + 1, None, dtype=object)
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
        remedy = "root: check it." if root is not None else "the table's folder: name another root."
        raise GeolocError(
            f"None of the first {len(tried)} image files of {source.name} exists "
            f"(row 1: {paths[0]}). Relative paths start from {remedy}"
        )
    return paths


def _without_those_at_sea(
    frame: pd.DataFrame, source: Path, sea_tolerance_km: float
) -> pd.DataFrame:
    at_sea = np.flatnonzero(frame["country"].isna().to_numpy())
    if not len(at_sea):
        return frame
    points = frame.loc[at_sea[:_MOST_NAMED], ["latitude", "longitude"]].itertuples()
    named = ", ".join(f"row {row + 1} ({lat:g}, {lon:g})" for row, lat, lon in points)
    more = f" and {len(at_sea) - _MOST_NAMED} more" if len(at_sea) > _MOST_NAMED else ""
    count = (
        f"{len(at_sea)} of {len(frame)} rows of {source.name} lie more than {sea_tolerance_km:g} km "
        f"from every country: {named}{more}"
    )
    if len(at_sea) == len(frame):
        hint = " (0, 0 often stands for no position)" if "(0, 0)" in named else ""
        raise GeolocError(f"{count}. Correct the coordinates, or give a country column{hint}.")
    logger.warning("%s. They are left out.", count)
    return frame[frame["country"].notna()].reset_index(drop=True)
