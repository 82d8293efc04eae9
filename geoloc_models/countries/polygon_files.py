"""Country polygons from a user's own file, such as GADM's GeoPackage."""

from __future__ import annotations

import logging
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyogrio  # type: ignore[import-untyped]
import shapely

from geoloc_models._errors import GeolocError, reason_of

logger = logging.getLogger(__name__)

_USUAL_LAYERS = ("ADM_0", "ADM0", "gadm", "countries")
_USUAL_CODES = (
    "GID_0", "ISO_A2_EH", "ISO_A2", "ISO2", "ISO_3166_1", "ISO_A3_EH", "ISO_A3", "ADM0_A3",
    "ISO3", "GID0", "SHAPEGROUP", "CODE", "COUNTRY_CODE",
)  # fmt: skip
_USUAL_NAMES = ("COUNTRY", "NAME_0", "NAME_EN", "NAME", "ADMIN", "SHAPENAME")


def read_countries_file(
    path: str | Path, *, layer: str | None = None, code_column: str | None = None
) -> gpd.GeoDataFrame:
    """Areas of a file that GDAL reads, with the raw codes as index.

    Returns
    -------
    GeoDataFrame
        Index ``code`` (str, as in the file, repeated where a country has several rows), columns
        ``name`` and ``geometry`` (valid polygons, EPSG:4326).

    Raises
    ------
    GeolocError
        If the file, layer or column is missing, or there are no polygons.
    """
    source = Path(path)
    if not source.exists():
        raise GeolocError(f"There is no file {source}. Check the path to the country polygons.")
    columns, layer = _columns_and_layer(source, layer)
    code_column = _code_column(source, columns, code_column)
    name_column = _first_there(columns, _USUAL_NAMES) or code_column
    try:
        if source.suffix.lower() in (".parquet", ".geoparquet"):
            frame = gpd.read_parquet(source)
        else:
            frame = pyogrio.read_dataframe(
                source, layer=layer, columns=list(dict.fromkeys([code_column, name_column]))
            )
        for column in (code_column, name_column):
            frame[column].astype(str).to_numpy()  # text that is no UTF-8 is found here
    except Exception as error:  # damaged metadata and shapes: KeyError, TypeError, GEOSException
        raise _unreadable(source, error) from error
    return _cleaned(frame, source, code_column, name_column)


def _columns_and_layer(source: Path, layer: str | None) -> tuple[list[str], str | None]:
    try:
        if source.suffix.lower() in (".parquet", ".geoparquet"):
            frame = gpd.read_parquet(source)
            return [c for c in frame.columns if c != frame.geometry.name], None
        layers = [str(name) for name in pyogrio.list_layers(source)[:, 0]]
    except Exception as error:  # as below
        raise _unreadable(source, error) from error
    listed = ", ".join(layers)
    if layer is None:
        layer = layers[0] if len(layers) == 1 else _first_there(layers, _USUAL_LAYERS)
        if layer is None:
            raise GeolocError(
                f"{source.name} has several layers ({listed}). Name the one of countries by "
                "--countries-layer (layer=)."
            )
    elif layer not in layers:
        raise GeolocError(f"{source.name} has no layer {layer!r}. Layers there: {listed}.")
    try:
        return [str(name) for name in pyogrio.read_info(source, layer=layer)["fields"]], layer
    except (OSError, ValueError, RuntimeError) as error:
        raise _unreadable(source, error) from error


def _code_column(source: Path, columns: list[str], wanted: str | None) -> str:
    listed = ", ".join(columns)
    if wanted is None:
        found = _first_there(columns, _USUAL_CODES)
        if found is None:
            raise GeolocError(
                f"{source.name} has no column of country codes that is known by its name (columns "
                f"there: {listed}). Name it by --countries-code-column (code_column=)."
            )
        return found
    if wanted not in columns:
        raise GeolocError(f"{source.name} has no column {wanted!r}. Columns there: {listed}.")
    return wanted


def _cleaned(
    frame: gpd.GeoDataFrame, source: Path, code_column: str, name_column: str
) -> gpd.GeoDataFrame:
    if not isinstance(frame, gpd.GeoDataFrame):
        raise GeolocError(f"{source.name} has no shapes. Name a file of country polygons.")
    if frame.crs is not None and not frame.crs.equals("EPSG:4326"):
        frame = frame.to_crs("EPSG:4326")
    shapes = np.asarray(frame.geometry.array, dtype=object)
    used = ~(shapely.is_missing(shapes) | shapely.is_empty(shapes))
    used &= frame[code_column].notna().to_numpy()
    shapes, frame = shapes[used], frame[used]
    broken = ~shapely.is_valid(shapes)
    if broken.any():
        logger.info("%d areas of %s are mended (make_valid).", broken.sum(), source.name)
        shapes[broken] = shapely.make_valid(shapes[broken])
    # make_valid leaves lines beside polygons where a border ran to and fro.
    polygons = np.array([_polygons_of(shape) for shape in shapes], dtype=object)
    filled = ~shapely.is_empty(polygons)
    if not filled.any():
        raise GeolocError(
            f"{source.name} has no polygons with a country code. Name a file and a layer of areas."
        )
    frame, polygons = frame[filled], polygons[filled]
    west, south, east, north = shapely.total_bounds(polygons)
    if west < -181 or east > 181 or south < -91 or north > 91:
        raise GeolocError(
            f"The shapes of {source.name} reach from {west:g} to {east:g} and from {south:g} to "
            f"{north:g}, which are no degrees of longitude and latitude in [-180, 180] and "
            "[-90, 90]. Save them in EPSG:4326."
        )
    return gpd.GeoDataFrame(
        {"name": frame[name_column].astype(str).to_numpy()},
        geometry=polygons,
        index=frame[code_column].astype(str).to_numpy(),
        crs="EPSG:4326",
    ).rename_axis("code")


def _polygons_of(shape: shapely.Geometry) -> shapely.Geometry:
    if isinstance(shape, shapely.Polygon | shapely.MultiPolygon):
        return shape
    parts = shapely.get_parts(shapely.get_parts(shape))
    return shapely.union_all([part for part in parts if isinstance(part, shapely.Polygon)])


def _first_there(names: list[str], usual: tuple[str, ...]) -> str | None:
    by_capitals = {name.upper(): name for name in reversed(names)}
    return next((by_capitals[name.upper()] for name in usual if name.upper() in by_capitals), None)


def _unreadable(source: Path, error: Exception) -> GeolocError:
    reason = reason_of(error)
    return GeolocError(f"{source.name} cannot be read as country polygons ({reason}).")
