"""Index one's own photos: a table of where and when each was taken, by its EXIF data."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from tqdm import tqdm

from geoloc_models._errors import BrokenImageError, GeolocError
from geoloc_models._files import replacing
from geoloc_models.countries import country_of
from geoloc_models.photos.exif import PhotoExif, exif_of
from geoloc_models.photos.files import find_photo_files
from geoloc_models.photos.given_positions import GivenPositions, read_given_positions
from geoloc_models.photos.opening import looks_like_photo, open_header
from geoloc_models.photos.tar_shards import read_tar_member, split_tar_path

logger = logging.getLogger(__name__)

_FILES_A_TURN = 64
_REDUCED_IMAGE = 254  # TIFF tag NewSubfileType; bit 0: a smaller version of another image
_TYPE_OF_COLUMN = {
    "id": pa.string(),
    "path": pa.string(),
    "latitude": pa.float64(),
    "longitude": pa.float64(),
    "country": pa.string(),
    "time": pa.string(),
    "width": pa.int64(),
    "height": pa.int64(),
}
_TURNED = (5, 6, 7, 8)  # orientations whose width and height change places


@dataclass(frozen=True)
class PhotoIndex:
    """Photos of a folder, and what was left out.

    Parameters
    ----------
    frame : DataFrame
        One row per photo, see :func:`index_photos`.
    without_position : DataFrame
        Column ``path``: photos that neither the table nor their EXIF data place.
    unreadable : DataFrame
        Columns ``path`` and ``reason``: files that should be photos, folders and tars that could
        not be read.
    n_photos : int
        Photos found, placed or not.
    n_from_table, n_from_exif : int
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
    n_other_files: int
    n_unmatched: int


@dataclass(frozen=True)
class _Look:
    """What a look at one file told."""

    name: str
    size: tuple[int, int] | None = None
    exif: PhotoExif | None = None
    reason: str | None = None  # why what should be a photo is none


def index_photos(
    folder: str | Path,
    *,
    coordinates: str | Path | None = None,
    root: str | Path | None = None,
    keep_unplaced: bool = False,
    sea_tolerance_km: float = 20.0,
    threads: int = 8,
    progress: bool = False,
) -> pd.DataFrame:
    """Make a table of the photos in a folder.

    Parameters
    ----------
    folder : path
        Gone through with all folders and ``.tar`` files in it. Photos are told from other files by
        their content. Hidden files are left out; links are followed, and every file counts once.
    coordinates : path, optional
        CSV or Parquet with ``latitude``, ``longitude`` and ``id`` or ``path``: coordinates that go
        before those of the EXIF data. Paths start from ``folder`` or the table's own folder.
    root : path, optional
        Folder that the paths of the result start from; by default ``folder``.
    keep_unplaced : bool
        Whether photos without coordinates stay in the table, with NaN. By default they are left
        out.
    sea_tolerance_km : float
        How far off a country's shore a photo may lie and still get the country.
    threads : int
        Files that are read at a time.
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    DataFrame
        ``id`` (str, unique: the path below ``folder`` without its suffix; with it where two photos
        would share an id), ``path`` (str, with ``/``), ``latitude`` and ``longitude`` (float64
        degrees), ``country`` (ISO 3166-1 alpha-2 code, None at sea), ``time`` (str, ISO 8601, local
        time of the camera, with its offset where it noted one; None where it noted no time),
        ``width`` and ``height`` (int64, pixels, upright). In alphabetical order of the paths.

    Raises
    ------
    GeolocError
        If there is no such folder, it holds no photo, or no photo has coordinates (unless
        ``keep_unplaced``); if the table of coordinates is unfit.

    Notes
    -----
    Only headers are read, so a photo whose pixels are damaged is listed all the same.

    See Also
    --------
    scan_photos : the same, with what was left out.
    """
    return scan_photos(
        folder,
        coordinates=coordinates,
        root=root,
        keep_unplaced=keep_unplaced,
        sea_tolerance_km=sea_tolerance_km,
        threads=threads,
        progress=progress,
    ).frame


def scan_photos(
    folder: str | Path,
    *,
    coordinates: str | Path | None = None,
    root: str | Path | None = None,
    keep_unplaced: bool = False,
    sea_tolerance_km: float = 20.0,
    threads: int = 8,
    progress: bool = False,
) -> PhotoIndex:
    """Make a table of the photos in a folder, and tell what was left out.

    The parameters and errors are those of :func:`index_photos`.
    """
    if threads < 1:
        raise GeolocError(f"The number of threads must be at least 1; got {threads}.")
    given = None if coordinates is None else read_given_positions(coordinates)
    files = find_photo_files(folder)
    looks = _look_at_all(files.folder, files.names, threads, progress)
    photos = [look for look in looks if look.size is not None]
    bad = [(look.name, look.reason) for look in looks if look.reason is not None]
    unreadable = pd.DataFrame([*files.unreadable, *bad], columns=["path", "reason"])
    if not photos:
        raise GeolocError(_no_photo(files.folder, len(files.names), unreadable))

    frame = _as_frame(photos)
    names = [look.name for look in photos]
    frame.insert(0, "id", unique_ids(names))
    n_from_table = n_unmatched = 0
    if given is not None:
        n_from_table, n_unmatched = _take_given(frame, names, files.folder, given)
    placed = frame["latitude"].notna().to_numpy()
    if not placed.any() and not keep_unplaced:
        raise GeolocError(_no_position(files.folder, len(photos), given))
    start = files.folder if root is None else root
    frame.insert(1, "path", _relative(files.folder, names, start))
    unreadable["path"] = _relative(files.folder, unreadable["path"].tolist(), start)
    country = np.full(len(frame), None, dtype=object)
    country[placed] = country_of(
        frame.loc[placed, ["latitude", "longitude"]].to_numpy(), tolerance_km=sea_tolerance_km
    )
    frame.insert(4, "country", pd.Series(country, dtype=object))
    kept = frame if keep_unplaced else frame[placed].reset_index(drop=True)
    return PhotoIndex(
        frame=kept,
        without_position=frame.loc[~placed, ["path"]].reset_index(drop=True),
        unreadable=unreadable,
        n_photos=len(photos),
        n_from_table=n_from_table,
        n_from_exif=int(placed.sum()) - n_from_table,
        n_other_files=len(looks) - len(photos) - len(bad),
        n_unmatched=n_unmatched,
    )


def write_index(index: PhotoIndex, path: str | Path) -> list[Path]:
    """Write the table as Parquet, and beside it the lists of what was left out.

    Parameters
    ----------
    index : PhotoIndex
        Of :func:`scan_photos`, whose ``root`` should be the folder of ``path``.
    path : path
        The Parquet file. ``without_position.csv`` and ``unreadable.csv`` are written to its folder
        where they have something to list; lists of an earlier run are replaced or removed.

    Returns
    -------
    list of Path
        The lists that were written.
    """
    target = Path(path)
    schema = pa.schema([(name, _TYPE_OF_COLUMN[name]) for name in index.frame.columns])
    table = pa.Table.from_pandas(index.frame, schema=schema, preserve_index=False)
    with replacing(target) as partial:
        pq.write_table(table, partial)
    written = []
    lists = {"without_position.csv": index.without_position, "unreadable.csv": index.unreadable}
    for name, rows in lists.items():
        place = target.with_name(name)
        if len(rows):
            with replacing(place) as partial:
                rows.to_csv(partial, index=False)
            written.append(place)
        else:
            place.unlink(missing_ok=True)
    return written


def unique_ids(names: Sequence[str]) -> list[str]:
    """Name of each file without its suffix; the whole name where two would be the same.

    Examples
    --------
    >>> unique_ids(["2019/a.jpg", "2019/b.heic", "2019/b.jpg"])
    ['2019/a', '2019/b.heic', '2019/b.jpg']
    """
    ids = [str(PurePosixPath(name).with_suffix("")) for name in names]
    while True:
        # A whole name may be what another file is called without its suffix, hence the loop.
        repeated = pd.Series(ids, dtype=object).duplicated(keep=False).to_numpy()
        if not repeated.any():
            return ids
        ids = [name if twice else i for i, name, twice in zip(ids, names, repeated, strict=True)]


def _look_at_all(folder: Path, names: Sequence[str], threads: int, progress: bool) -> list[_Look]:
    turns = [names[start : start + _FILES_A_TURN] for start in range(0, len(names), _FILES_A_TURN)]
    looks: list[_Look] = []
    pool = ThreadPoolExecutor(threads)
    try:
        with tqdm(total=len(names), unit=" files", disable=not progress) as bar:
            for some in pool.map(lambda turn: [_look_at(folder, name) for name in turn], turns):
                looks.extend(some)
                bar.update(len(some))
    finally:
        pool.shutdown(cancel_futures=True)
    return looks


def _look_at(folder: Path, name: str) -> _Look:
    path = str(folder / name)
    try:
        in_tar = split_tar_path(path)
        source = path if in_tar is None else BytesIO(read_tar_member(*in_tar))
        try:
            with open_header(source, name=name) as image:
                if _is_preview(image):
                    return _Look(name, reason="is a raw file, of which only a preview can be read")
                exif = exif_of(image)
                width, height = image.size
        except BrokenImageError as error:
            return _Look(
                name, reason=_reason(error, name) if looks_like_photo(source, name) else None
            )
    except BrokenImageError as error:
        return _Look(name, reason=_reason(error, path))
    except OSError as error:
        return _Look(name, reason=error.strerror or type(error).__name__)
    size = (height, width) if exif.orientation in _TURNED else (width, height)
    return _Look(name, size, exif)


def _reason(error: BrokenImageError, name: str) -> str:
    return str(error).removeprefix(f"{name}: ")


def _is_preview(image: Image.Image) -> bool:
    """Whether a TIFF begins with a preview of what follows, as cameras' raw files do."""
    if image.format != "TIFF":
        return False
    kind = getattr(image, "tag_v2", {}).get(_REDUCED_IMAGE, 0)
    return isinstance(kind, int) and bool(kind & 1)


def _as_frame(photos: Iterable[_Look]) -> pd.DataFrame:
    known = [(look.exif or PhotoExif(), look.size or (0, 0)) for look in photos]
    return pd.DataFrame(
        {
            "latitude": np.array([exif.latitude for exif, _ in known], dtype=np.float64),
            "longitude": np.array([exif.longitude for exif, _ in known], dtype=np.float64),
            "time": pd.Series([exif.time for exif, _ in known], dtype=object),
            "width": np.array([size[0] for _, size in known], dtype=np.int64),
            "height": np.array([size[1] for _, size in known], dtype=np.int64),
        }
    )


def _take_given(
    frame: pd.DataFrame, names: Sequence[str], folder: Path, given: GivenPositions
) -> tuple[int, int]:
    """Put the table's coordinates into the frame; count photos they place, and rows left over."""
    absolute = [(folder.absolute() / name).as_posix() for name in names]
    from_table = _relative(folder, names, given.folder)
    keys = [frame["id"].tolist(), list(names), from_table, absolute]
    place = np.full(len(names), -1, dtype=np.int64)
    for key in keys:
        found = given.latitude.index.get_indexer(pd.Index(key, dtype=object))
        place = np.where(place < 0, found, place)
    matched = place >= 0
    frame.loc[matched, "latitude"] = given.latitude.to_numpy()[place[matched]]
    frame.loc[matched, "longitude"] = given.longitude.to_numpy()[place[matched]]
    return int(matched.sum()), max(given.n_rows - int(matched.sum()), 0)


def _relative(folder: Path, names: Sequence[str], root: str | Path) -> list[str]:
    """Paths from another folder, with ``/``; whole ones where no relative path leads there."""
    try:
        prefix = Path(os.path.relpath(folder.absolute(), Path(root).absolute())).as_posix()
    except ValueError:  # another drive
        prefix = folder.absolute().as_posix()
    return list(names) if prefix == "." else [f"{prefix}/{name}" for name in names]


def _no_photo(folder: Path, n_files: int, unreadable: pd.DataFrame) -> str:
    if len(unreadable):
        first = unreadable.iloc[0]
        return (
            f"No photo in {folder} can be read; {len(unreadable)} files should be photos (first: "
            f"{first['path']}, {first['reason']})."
        )
    if n_files == 0:
        return f"There are no files in {folder}, or hidden ones only. Name the photos' folder."
    return f"There is no photo among the {n_files} files in {folder}. Name the photos' folder."


def _no_position(folder: Path, n_photos: int, given: GivenPositions | None) -> str:
    who = (
        f"The only photo in {folder} does not say"
        if n_photos == 1
        else f"None of the {n_photos} photos in {folder} says"
    )
    remedy = (
        f"and {given.name} names none of them; its column id or path must match"
        if given is not None
        else "give their coordinates by a table (--coordinates), or keep them without (--keep-unplaced)"
    )
    return f"{who} where it was taken (no GPS position in its EXIF data); {remedy}."
