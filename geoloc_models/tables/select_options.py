"""Options of the choice of photos from metadata: for the library and the command line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class SelectOptions:
    """Which photos of some metadata are kept, and how its files are laid out.

    Parameters
    ----------
    countries : tuple of str, optional
        Countries to keep, by ISO code or name, such as SE,CH. Default: all.
    preset : str, optional
        Known data set: wws, yfcc100m, mp16, im2gps3k or osv5m.
    id_column : str, optional
        Column of ids. Default of all columns: the preset's, or one with a usual name.
    latitude_column : str, optional
        Column of latitudes, in degrees.
    longitude_column : str, optional
        Column of longitudes, in degrees.
    url_column : str, optional
        Column of addresses to download from.
    path_column : str, optional
        Column of image files.
    user_column : str, optional
        Column of photographers.
    time_column : str, optional
        Column of times.
    group_column : str, optional
        Column of groups that must not be split between training and test.
    country_column : str, optional
        Column of countries, by code or name. Default: from the coordinates, by polygons.
    countries_file : Path, optional
        Polygons of your own, such as GADM's gadm_410-levels.gpkg.
    countries_layer : str, optional
        Layer of that file, such as ADM_0.
    countries_code_column : str, optional
        Column of country codes in that file, such as GID_0.
    tolerance_km : float
        A photo in no country, such as on a pier, goes to the nearest one within this distance.
    urls : Path, optional
        Table of ids and addresses to join by id, such as mp16_urls.csv. It is held in memory.
    root : Path, optional
        Folder that relative image paths start from. Default: the metadata file's own.
    delimiter : str, optional
        Delimiter of columns; 'tab' for a tab. Default: by the file's suffix or first line.
    header : bool, optional
        Whether there is a header line. Without one, columns are named 1, 2, 3, ...
    encoding : str, optional
        Encoding of text, such as latin-1. Default: UTF-8.
    quoting : bool
        Whether double quotes enclose text. In files such as GBIF's they are plain characters.
    keep_zero : bool
        Keep photos at 0, 0, which often means no position.

    Examples
    --------
    >>> from geoloc_models.tables import SelectOptions
    >>> SelectOptions(countries=("SE", "CH"), id_column="key").tolerance_km
    0.0
    """

    countries: tuple[str, ...] | None = None
    preset: str | None = None
    id_column: str | None = None
    latitude_column: str | None = None
    longitude_column: str | None = None
    url_column: str | None = None
    path_column: str | None = None
    user_column: str | None = None
    time_column: str | None = None
    group_column: str | None = None
    country_column: str | None = None
    countries_file: Path | None = None
    countries_layer: str | None = None
    countries_code_column: str | None = None
    tolerance_km: float = 0.0
    urls: Path | None = None
    root: Path | None = None
    delimiter: str | None = None
    header: bool | None = None
    encoding: str | None = None
    quoting: bool = True
    keep_zero: bool = False
