"""Country polygons: the bundled ones, or those of a user's file such as GADM's GeoPackage."""

from __future__ import annotations

import logging
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import shapely

from geocells.tables import read_parquet
from geocells.web_map import COUNTRIES_FILE
from geoloc_models.countries.names import alpha_2
from geoloc_models.errors import GeolocError, reason_of

if TYPE_CHECKING:
    import geopandas as gpd

logger = logging.getLogger(__name__)

_USUAL_LAYERS = ("ADM_0", "ADM0", "gadm", "countries")
_USUAL_CODES = (
    "GID_0", "ISO_A2_EH", "ISO_A2", "ISO2", "ISO_3166_1", "ISO_A3_EH", "ISO_A3", "ADM0_A3",
    "ISO3", "GID0", "SHAPEGROUP", "CODE", "COUNTRY_CODE",
)  # fmt: skip
_USUAL_NAMES = ("COUNTRY", "NAME_0", "NAME_EN", "NAME", "ADMIN", "SHAPENAME")


def load_countries() -> gpd.GeoDataFrame:
    """Polygons of the world's countries.

    Returns
    -------
    GeoDataFrame
        One row per country; index ``code``, its ISO 3166-1 alpha-2 code (``XK`` for Kosovo), in
        alphabetical order; columns ``name`` (English) and ``geometry`` (valid polygons, EPSG:4326).

    Notes
    -----
    Natural Earth 1:10m admin-0, public domain, in the German-viewpoint edition. docs/metadata.md
    tells how the file was made. Borders are accurate to some hundred metres.

    Examples
    --------
    >>> load_countries().loc["SE", "name"]
    'Sweden'
    """
    return _bundled_countries().copy()


@lru_cache(maxsize=1)
def _bundled_countries() -> gpd.GeoDataFrame:
    import geopandas as gpd

    return gpd.read_parquet(COUNTRIES_FILE, columns=["name", "geometry"])


def read_countries(
    path: str | Path, *, layer: str | None = None, code_column: str | None = None
) -> gpd.GeoDataFrame:
    """Polygons of countries from a file of your own, such as GADM's ``gadm_410-levels.gpkg``.

    Parameters
    ----------
    path : path
        GeoPackage, Shapefile (zipped too), GeoJSON, GeoParquet, ... whatever GDAL reads.
    layer : str, optional
        Layer of the areas; by default the only one, or ``ADM_0``. A finer layer works as well:
        several rows may belong to one country.
    code_column : str, optional
        Column of country codes; by default ``GID_0``, ``ISO_A2`` and the like.

    Returns
    -------
    GeoDataFrame
        As from :func:`load_countries`, in the file's order. Three-letter codes become ISO 3166-1
        alpha-2 codes; a code that has none (such as GADM's ``Z01`` for disputed land) stays.

    Raises
    ------
    GeolocError
        If the file, the layer or the column is missing, or there are no polygons.

    Notes
    -----
    Invalid polygons are mended (``make_valid``), other coordinate systems converted.

    Examples
    --------
    >>> from geoloc_models.countries import load_countries, read_countries
    >>> load_countries().loc[["SE", "CH"]].reset_index().to_file("countries.gpkg")
    >>> read_countries("countries.gpkg", code_column="code").index.tolist()
    ['SE', 'CH']
    """
    import geopandas as gpd

    source = Path(path)
    if not source.exists():
        raise GeolocError(f"There is no file {source}. Check the path to the country polygons.")
    try:
        frame = _read(source, layer)
        geometry = getattr(frame, "active_geometry_name", None)
        columns = [str(name) for name in frame.columns if name != geometry]
        code_column = _code_column(source, columns, code_column)
        name_column = _first_present(columns, _USUAL_NAMES) or code_column
        # Text that is not UTF-8 is found here.
        codes, names = (frame[name].astype(str).to_numpy() for name in (code_column, name_column))
    except GeolocError:
        raise
    except Exception as error:  # damaged metadata and shapes: KeyError, TypeError, GEOSException
        raise GeolocError(
            f"{source.name} cannot be read as country polygons ({reason_of(error)})."
        ) from error
    if not isinstance(frame, gpd.GeoDataFrame):
        raise GeolocError(f"{source.name} has no shapes. Name a file of country polygons.")
    if frame.crs is not None and not frame.crs.equals("EPSG:4326"):
        frame = frame.to_crs("EPSG:4326")
    polygons = _valid_polygons(np.asarray(frame.geometry.array, dtype=object), source)
    used = ~shapely.is_empty(polygons) & frame[code_column].notna().to_numpy()
    if not used.any():
        raise GeolocError(
            f"{source.name} has no polygons with a country code. Name a file and a layer of areas."
        )
    west, south, east, north = shapely.total_bounds(polygons[used])
    if west < -181 or east > 181 or south < -91 or north > 91:
        raise GeolocError(
            f"The shapes of {source.name} reach from {west:g} to {east:g} and from {south:g} to "
            f"{north:g}, which are no degrees of longitude and latitude in [-180, 180] and "
            "[-90, 90]. Save them in EPSG:4326."
        )
    alpha_2_of_code = {code: alpha_2(code) for code in set(codes[used])}
    return gpd.GeoDataFrame(
        {"name": names[used]},
        geometry=polygons[used],
        index=[alpha_2_of_code[code] for code in codes[used]],
        crs="EPSG:4326",
    ).rename_axis("code")


def _read(source: Path, layer: str | None) -> gpd.GeoDataFrame:
    import geopandas as gpd
    import pyogrio

    if source.suffix.lower() in (".parquet", ".geoparquet"):
        read_parquet(source)  # refuses what would fill memory
        return gpd.read_parquet(source)
    layers = [str(name) for name in pyogrio.list_layers(source)[:, 0]]
    listed = ", ".join(layers)
    if layer is None:
        layer = layers[0] if len(layers) == 1 else _first_present(layers, _USUAL_LAYERS)
        if layer is None:
            raise GeolocError(
                f"{source.name} has several layers ({listed}). Name the one of countries by "
                "--countries-layer (layer=)."
            )
    elif layer not in layers:
        raise GeolocError(f"{source.name} has no layer {layer!r}. Layers there: {listed}.")
    return pyogrio.read_dataframe(source, layer=layer)


def _code_column(source: Path, columns: list[str], wanted: str | None) -> str:
    listed = ", ".join(columns)
    if wanted is not None and wanted not in columns:
        raise GeolocError(f"{source.name} has no column {wanted!r}. Columns there: {listed}.")
    column = wanted or _first_present(columns, _USUAL_CODES)
    if column is None:
        raise GeolocError(
            f"{source.name} has no column of country codes that is known by its name (columns "
            f"there: {listed}). Name it by --countries-code-column (code_column=)."
        )
    return column


def _valid_polygons(shapes: np.ndarray, source: Path) -> np.ndarray:
    """Polygons alone, mended where they are invalid; an empty one where there are none."""
    shapes = shapes.copy()
    shapes[shapely.is_missing(shapes)] = shapely.Polygon()
    broken = ~shapely.is_valid(shapes)
    if broken.any():
        logger.info("%d areas of %s are mended (make_valid).", broken.sum(), source.name)
        shapes[broken] = shapely.make_valid(shapes[broken])
    # make_valid leaves lines beside polygons where a border ran to and fro.
    for k, shape in enumerate(shapes):
        if not isinstance(shape, shapely.Polygon | shapely.MultiPolygon):
            parts = shapely.get_parts(shapely.get_parts(shape))
            shapes[k] = shapely.union_all([p for p in parts if isinstance(p, shapely.Polygon)])
    return shapes


def _first_present(names: list[str], usual: tuple[str, ...]) -> str | None:
    by_capitals = {name.upper(): name for name in reversed(names)}
    return next((by_capitals[name.upper()] for name in usual if name.upper() in by_capitals), None)
