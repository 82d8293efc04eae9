"""
A GeoDataFrame to cells, and back
=================================

Make cells of the points of a GeoDataFrame, join them to the photos, draw both, and save them for a map program.
"""

# %%
# Photos as points
# ----------------
#
# The demo's places in Switzerland. ``fit`` takes points in any reference system; here Swiss coordinates, in metres.

import tempfile
from pathlib import Path

import geopandas as gpd
import matplotlib.pyplot as plt

from geocells import CellBuilder, load_cells
from geoloc_models.countries import load_countries
from geoloc_models.training import demo_source

frame = demo_source().table.frame.query("country == 'CH'")
photos = gpd.GeoDataFrame(
    frame[["id"]], geometry=gpd.points_from_xy(frame["longitude"], frame["latitude"]), crs=4326
).to_crs(2056)
photos.head()

# %%
# Cells
# -----

builder = CellBuilder(min_images=30).fit(photos)
print(builder.cells_)

# %%
# The labels, in the order of the photos, become a column.

photos["cell"] = builder.labels_
photos.groupby("cell").size().describe()[["count", "min", "50%", "max"]]

# %%
# Cells as a table
# ----------------
#
# One row per cell: points, counts, polygons in degrees.

cells = builder.cells_.to_geodataframe()
cells["area_km2"] = builder.cells_.areas_km2
cells[["count", "level", "latitude", "longitude", "area_km2"]].sort_values("count").tail()

# %%
# ``clip`` cuts the polygons at a border, for maps.

switzerland = load_countries().loc[["CH"]]
clipped = builder.cells_.clip(switzerland)
figure, ax = plt.subplots(figsize=(8, 5), layout="constrained")
clipped.plot("count", ax=ax, cmap="YlGnBu", edgecolor="#555555", linewidth=0.6, legend=True)
photos.to_crs(4326).plot(ax=ax, color="#AA3377", markersize=2)
ax.set_aspect(1.45)
ax.set_title("Photos in each cell")

# %%
# To a file, and back
# -------------------
#
# QGIS opens the GeoPackage; :func:`geocells.load_cells` reads equal cells from it. GeoParquet, GeoJSON and FlatGeobuf
# work too.

with tempfile.TemporaryDirectory() as folder:
    path = builder.cells_.save(Path(folder) / "cells.gpkg")
    print(gpd.read_file(path).shape, load_cells(path) == builder.cells_)

# %%
# A spatial join agrees with the labels. Only ``assign`` finds a cell for points in no polygon: the nearest.

joined = gpd.sjoin(photos.to_crs(4326), cells[["geometry"]], predicate="within")
print(f"{len(joined)} of {len(photos)} photos lie in a polygon; ", end="")
print(f"in {(joined['cell_left'] == joined['cell_right']).sum()} of them both agree")
