"""Scan a folder of photos: which files are photos, where and when each was taken."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePath, PurePosixPath

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image
from tqdm import tqdm

from geocells.tables import coordinates as checked_coordinates
from geocells.tables import ids, numbers, open_table, texts, with_column, write_table
from geoloc_models.countries import country_of
from geoloc_models.errors import BrokenImageError, GeolocError
from geoloc_models.files import replacing
from geoloc_models.photos.exif import PhotoExif, is_position, read_exif
from geoloc_models.photos.opening import looks_like_photo, open_header, quiet_pillow, read_bytes
from geoloc_models.photos.photo_files import PhotoFiles, find_photo_files

_FILES_A_TURN = 64
_THREADS = 8
_REDUCED_IMAGE = 254  # TIFF tag NewSubfileType; bit 0: a smaller version of another image
_TURNED = (5, 6, 7, 8)  # orientations whose width and height change places
# IMG_1.jpg.json and IMG_1.jpg.supplemental-meta.json of IMG_1.jpg; IMG_1.jpg(1).json of IMG_1(1).jpg
_TAKEOUT_SIDECAR = re.compile(r"(.+?)(\.\w+)(?:\.s[a-z-]*)?(\(\d+\))?\.json", re.IGNORECASE)
_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("path", pa.string()),
        ("latitude", pa.float64()),
        ("longitude", pa.float64()),
        ("country", pa.string()),
        ("time", pa.string()),
        ("width", pa.int64()),
        ("height", pa.int64()),
    ]
)


@dataclass(frozen=True)
class FolderScan:
    """Photos of a folder, and what was left out.

    Parameters
    ----------
    frame : DataFrame
        One row per photo, see :func:`scan_photos`.
    without_position : DataFrame
        Column ``path``: photos that nothing places.
    unreadable : DataFrame
        Columns ``path`` and ``reason``: files that should be photos, folders and tars that could
        not be read.
    n_photos : int
        Photos, with or without a position.
    n_from_table, n_from_exif, n_from_sidecar : int
        Where the coordinates came from.
    n_other_files : int
        Files that are no photos.
    n_unmatched : int
        Rows of the table of coordinates that name no photo here.
    """

    frame: pd.DataFrame
    without_position: pd.DataFrame
    unreadable: pd.DataFrame
    n_photos: int
    n_from_table: int
    n_from_exif: int
    n_from_sidecar: int
    n_other_files: int
    n_unmatched: int

    def save(self, path: str | Path) -> list[Path]:
        """Write the table as Parquet, and beside it the lists of what was left out.

        Parameters
        ----------
        path : path
            The Parquet file; its folder should be the ``root`` of :func:`scan_photos`.
            ``without_position.csv`` and ``unreadable.csv`` are written beside it where they have
            something to list; lists of an earlier run are replaced or removed.

        Returns
        -------
        list of Path
            The lists that were written.
        """
        written = []
        with replacing(path) as partial:
            others = self.frame.columns.drop(_SCHEMA.names)
            table = pa.Table.from_pandas(self.frame, _SCHEMA, preserve_index=False)
            for name in others:
                table = table.append_column(name, pa.array(self.frame[name]))
            write_table(table, partial)
            for name in ("without_position", "unreadable"):
                list_path = Path(path).with_name(f"{name}.csv")
                list_path.unlink(missing_ok=True)
                rows = getattr(self, name)
                if len(rows):
                    write_table(pa.Table.from_pandas(rows, preserve_index=False), list_path)
                    written.append(list_path)
        return written


def scan_photos(
    folder: str | Path,
    *,
    coordinates: str | Path | None = None,
    root: str | Path | None = None,
    keep_unplaced: bool = False,
    sea_tolerance_km: float = 20.0,
    progress: bool = False,
) -> FolderScan:
    """Make a table of the photos in a folder, and list what was left out.

    Parameters
    ----------
    folder : path
        Gone through with all folders and ``.tar`` files in it. Photos are told from other files by
        their content. Hidden files are left out; links are followed, and every file counts once.
    coordinates : path, optional
        Table with ``latitude``, ``longitude`` and ``id`` or ``path``: coordinates that take precedence over EXIF
        data, and columns to keep. Paths start from ``folder`` or the table's own folder.
    root : path, optional
        Folder that the paths of the result start from; by default ``folder``.
    keep_unplaced : bool
        Whether photos without coordinates stay in the table, with NaN. By default they are left
        out.
    sea_tolerance_km : float
        How far off a country's shore a photo may lie and still get the country.
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    FolderScan
        Its frame holds ``id`` (str, unique: the path below ``folder`` without its suffix; with it where two photos
        would share an id), ``path`` (str, with ``/``), ``latitude`` and ``longitude`` (float64 degrees), ``country``
        (ISO 3166-1 alpha-2 code, None at sea), ``time`` (str, ISO 8601, local time of the camera, with its offset
        where it noted one; None where it noted no time), ``width`` and ``height`` (int64, pixels, upright), and the
        other columns of ``coordinates``, whose ``country`` and ``time`` take precedence. In alphabetical order of the
        paths.

    Raises
    ------
    GeolocError
        If there is no such folder, it holds no photo, or no photo has coordinates (unless
        ``keep_unplaced``); if the table of coordinates is unfit.

    Notes
    -----
    Only headers are read, so a photo whose pixels are damaged is listed all the same. Where the
    EXIF data have no position or no time, the JSON file that Google Takeout puts beside a photo is
    asked.

    Examples
    --------
    >>> from geoloc_models.photos import scan_photos
    >>> scan = scan_photos("photos", coordinates="photos.csv")
    >>> scan.n_photos, scan.n_from_table
    (160, 160)
    """
    given = _Positions() if coordinates is None else _read_positions(Path(coordinates))
    files = find_photo_files(folder)
    headers = _read_headers(files, progress)
    photos = [header for header in headers if header.size is not None]
    damaged = [(header.name, header.reason) for header in headers if header.reason is not None]
    unreadable = pd.DataFrame([*files.unreadable, *damaged], columns=["path", "reason"])
    if not photos:
        raise GeolocError(_no_photo(files, unreadable))
    root = folder if root is None else root
    unreadable["path"] = _paths_from(root, unreadable["path"].tolist(), files.folder)

    names = [header.name for header in photos]
    exif = _with_sidecars([header.exif for header in photos], names, files)
    places = np.array([[e.latitude, e.longitude] for e in exif], dtype=np.float64)
    from_exif = np.array([header.exif.has_position for header in photos])
    photo_ids = unique_ids(names)
    row = given.rows_of(photo_ids, names, files.folder)
    from_table = row >= 0
    places[from_table] = given.coords[row[from_table]]
    placed = np.isfinite(places[:, 0])
    if not placed.any() and not keep_unplaced:
        raise GeolocError(_no_position(files.folder, len(photos), coordinates))
    country = np.full(len(names), None, dtype=object)
    country[placed] = country_of(places[placed], tolerance_km=sea_tolerance_km)
    size = np.array([header.size for header in photos], dtype=np.int64)
    frame = pd.DataFrame(
        {
            "id": pd.Series(photo_ids, dtype=object),
            "path": pd.Series(_paths_from(root, names, files.folder), dtype=object),
            "latitude": places[:, 0],
            "longitude": places[:, 1],
            "country": pd.Series(country, dtype=object),
            "time": pd.Series([e.time for e in exif], dtype=object),
            "width": size[:, 0],
            "height": size[:, 1],
        }
    )
    for name, column in given.others.items():
        values = column.take(pa.array(row, mask=~from_table))
        if name in ("country", "time"):
            frame[name] = texts(values, keep_na=True).to_pandas().fillna(frame[name])
        elif name not in frame:
            frame[name] = pd.Series(values, dtype=pd.ArrowDtype(values.type))
    return FolderScan(
        frame=frame if keep_unplaced else frame[placed].reset_index(drop=True),
        without_position=frame.loc[~placed, ["path"]].reset_index(drop=True),
        unreadable=unreadable,
        n_photos=len(photos),
        n_from_table=int(from_table.sum()),
        n_from_exif=int((from_exif & ~from_table).sum()),
        n_from_sidecar=int((placed & ~from_exif & ~from_table).sum()),
        n_other_files=len(headers) - len(photos) - len(damaged),
        n_unmatched=max(given.n_placed - int(from_table.sum()), 0),
    )


def unique_ids(names: Sequence[str]) -> list[str]:
    """Name of each file without its suffix; the whole name where two would be the same.

    Examples
    --------
    >>> unique_ids(["2019/a.jpg", "2019/b.heic", "2019/b.jpg"])
    ['2019/a', '2019/b.heic', '2019/b.jpg']
    """
    names_without_suffix = [str(PurePosixPath(name).with_suffix("")) for name in names]
    unique = names_without_suffix
    while True:
        # A whole name may be what another file is called without its suffix, hence the loop.
        repeated = pd.Series(unique, dtype=object).duplicated(keep=False).to_numpy()
        if not repeated.any():
            return unique
        unique = [name if r else i for i, name, r in zip(unique, names, repeated, strict=True)]


@dataclass(frozen=True)
class _Header:
    """What the first bytes of one file say."""

    name: str
    size: tuple[int, int] | None = None  # width, height of a photo, upright
    exif: PhotoExif = field(default_factory=PhotoExif)
    reason: str | None = None  # why what should be a photo is none


def _read_headers(files: PhotoFiles, progress: bool) -> list[_Header]:
    names = files.names
    turns = [names[start : start + _FILES_A_TURN] for start in range(0, len(names), _FILES_A_TURN)]
    headers: list[_Header] = []
    pool = ThreadPoolExecutor(_THREADS)
    try:
        with (
            quiet_pillow(),
            tqdm(total=len(names), unit=" files", disable=not progress or None) as bar,
        ):
            for some in pool.map(lambda turn: [_header(files.folder, n) for n in turn], turns):
                headers.extend(some)
                bar.update(len(some))
    finally:
        pool.shutdown(cancel_futures=True)
    return headers


def _header(folder: Path, name: str) -> _Header:
    path = str(folder / name)
    try:
        with open_header(path) as image:
            if _is_preview(image):
                return _Header(name, reason="is a raw file, of which only a preview can be read")
            exif = read_exif(image)
            width, height = image.size
    except BrokenImageError as error:
        return _Header(name, reason=error.reason if looks_like_photo(path, name) else None)
    return _Header(name, (height, width) if exif.orientation in _TURNED else (width, height), exif)


def _is_preview(image: Image.Image) -> bool:
    """Whether a TIFF begins with a preview of what follows, as cameras' raw files do."""
    kind = getattr(image, "tag_v2", {}).get(_REDUCED_IMAGE, 0) if image.format == "TIFF" else 0
    return isinstance(kind, int) and bool(kind & 1)


def _with_sidecars(
    exif: Sequence[PhotoExif], names: Sequence[str], files: PhotoFiles
) -> list[PhotoExif]:
    """EXIF data, completed by the JSON files of Google Takeout."""
    sidecar_of_photo = {}
    for name in files.names:
        parts = _TAKEOUT_SIDECAR.fullmatch(name)
        if parts is not None:
            stem, suffix, copy = parts.groups(default="")
            sidecar_of_photo[f"{stem}{copy}{suffix}"] = name
    completed = []
    for photo, name in zip(exif, names, strict=True):
        sidecar = sidecar_of_photo.get(name)
        is_complete = photo.has_position and photo.time is not None
        if sidecar is not None and not is_complete:
            latitude, longitude, time = _read_sidecar(str(files.folder / sidecar))
            if photo.has_position:
                latitude, longitude = photo.latitude, photo.longitude
            photo = PhotoExif(latitude, longitude, photo.time or time, photo.orientation)  # noqa: PLW2901
        completed.append(photo)
    return completed


def _read_sidecar(path: str) -> tuple[float | None, float | None, str | None]:
    """Latitude, longitude and time of a photo by its JSON file of Google Takeout."""
    try:
        content = json.loads(read_bytes(path))
        place = content.get("geoData", {})
        latitude, longitude = float(place["latitude"]), float(place["longitude"])
        if not is_position(latitude, longitude):
            latitude = longitude = None  # type: ignore[assignment]
        taken = content.get("photoTakenTime", {}).get("timestamp")
        time = None if taken is None else datetime.fromtimestamp(int(taken), UTC).isoformat()
    except (BrokenImageError, OSError, ValueError, TypeError, KeyError, AttributeError):
        return None, None, None  # some other JSON file
    return latitude, longitude, time


@dataclass(frozen=True)
class _Positions:
    """A table of coordinates: its rows by id and path, how many are placed, its other columns."""

    folder: Path = Path()
    row_of_key: dict[str, int] = field(default_factory=dict)
    coords: np.ndarray = field(default_factory=lambda: np.empty((0, 2)))
    n_placed: int = 0
    others: dict[str, pa.ChunkedArray] = field(default_factory=dict)

    def rows_of(self, ids: Sequence[str], names: Sequence[str], folder: Path) -> np.ndarray:
        """Row that names each photo by id or path, (n,) int64; -1 where none does."""
        absolute = [(folder.absolute() / name).as_posix() for name in names]
        from_table = _paths_from(self.folder, names, folder)
        rows = [
            next((self.row_of_key[key] for key in keys if key in self.row_of_key), -1)
            for keys in zip(ids, names, from_table, absolute, strict=True)
        ]
        return np.array(rows, dtype=np.int64)


def _read_positions(path: Path) -> _Positions:
    file = open_table(path)
    columns = file.find_columns(dict.fromkeys(("latitude", "longitude", "id", "path")))
    keys = [key for key in ("id", "path") if key in columns]
    if not keys:
        raise GeolocError(
            f"{path.name} has no column id or path; a table of coordinates needs latitude, "
            f"longitude, and id or path (columns there: {', '.join(file.names)})."
        )
    table = file.read()
    others = {c: table[c] for c in table.column_names if c not in columns.values()}
    missing = [numbers(table[columns[role]])[1] for role in ("latitude", "longitude")]
    placed = ~np.logical_or(*missing)
    for column in (columns["latitude"], columns["longitude"]):
        zero = pa.scalar(0).cast(table[column].type)
        filled = pc.if_else(pa.array(placed), table[column], zero)
        table = with_column(table, column, filled)
    coords = checked_coordinates(table, columns, where=path.name)
    row_of_key: dict[str, int] = {}
    for key in keys:
        column = table[columns[key]]
        values = (ids(column) if key == "id" else texts(column)).to_pylist()
        for row in np.flatnonzero(placed).tolist():
            if values[row] is None:
                continue
            name = values[row] if key == "id" else PurePath(values[row]).as_posix()
            first = row_of_key.setdefault(name, row)
            if first != row and (coords[first] != coords[row]).any():
                raise GeolocError(
                    f"{path.name} gives different coordinates for one photo ({name}). Keep one "
                    "row of each photo."
                )
    return _Positions(path.parent, row_of_key, coords, int(placed.sum()), others)


def _paths_from(root: str | Path, names: Sequence[str], folder: Path) -> list[str]:
    """Paths from another folder, with ``/``; whole ones where no relative path leads there."""
    try:
        prefix = Path(os.path.relpath(folder.absolute(), Path(root).absolute())).as_posix()
    except ValueError:  # another drive
        prefix = folder.absolute().as_posix()
    return list(names) if prefix == "." else [f"{prefix}/{name}" for name in names]


def _no_photo(files: PhotoFiles, unreadable: pd.DataFrame) -> str:
    folder, n_files = files.folder, len(files.names)
    if len(unreadable):
        first = unreadable.iloc[0]
        return (
            f"No photo in {folder} can be read; {len(unreadable)} files should be photos (first: "
            f"{first['path']}, {first['reason']})."
        )
    if n_files == 0:
        return f"There are no files in {folder}, or hidden ones only. Name the photos' folder."
    return f"There is no photo among the {n_files} files in {folder}. Name the photos' folder."


def _no_position(folder: Path, n_photos: int, coordinates: str | Path | None) -> str:
    who = (
        f"The only photo in {folder} does not say"
        if n_photos == 1
        else f"None of the {n_photos} photos in {folder} says"
    )
    remedy = (
        "give their coordinates by a table (--coordinates), or keep them without (--keep-unplaced)"
        if coordinates is None
        else f"and {Path(coordinates).name} names none of them; its column id or path must match"
    )
    return f"{who} where it was taken (no GPS position in its EXIF data); {remedy}."
