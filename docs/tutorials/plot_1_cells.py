"""
Cells: from coordinates to classes
==================================

Cut Sweden and Switzerland into cells in three ways, look at them, and ask how good a classifier on them could become.
"""

# %%
# Coordinates are all it takes
# ----------------------------
#
# 2 018 real photo coordinates from the package ``geoclip``. Places of one 10 km block are all trained on or none of
# them, so that no test place has a training place next to it.

import matplotlib.pyplot as plt
import pandas as pd

from geocells import CellBuilder
from geoloc_models.countries import load_countries
from geoloc_models.tables import split_rows
from geoloc_models.training import demo_source

places = demo_source().table
split = split_rows(places.n_rows, groups=places.groups, strata=places.countries)
coords, countries = places.coords[split.train], places.countries[split.train]
print(f"{len(coords)} training places; the first is at {coords[0].tolist()}, {countries[0]}.")

# %%
# Three constructions
# -------------------
#
# All use a quadtree: a box cut into four, each quarter into four again.
#
# - *Top-down* splits a cell while any child holds ``min_images``. Its other children become cells too, with few images.
# - *Consolidated* passes the images of such small cells to the parent, until there are ``min_images``.
# - *Bottom-up* takes the densest spots first, also across the quadtree's borders. Every cell has ``min_images``.
#
# With ``groups`` no cell crosses the border.

builders = {
    method: CellBuilder(min_images=20, method=method).fit(coords, groups=countries)
    for method in ("top_down", "consolidated", "bottom_up")
}
for builder in builders.values():
    print(builder.cells_)

# %%
# Around Switzerland; grey dots are the training places. Top-down leaves cells of few images between the towns, from
# which a classifier learns little.

outlines = load_countries().loc[["CH", "DE", "FR", "IT", "AT", "LI"]]
figure, axes = plt.subplots(3, 1, figsize=(7, 13), layout="constrained")
for ax, (method, builder) in zip(axes, builders.items(), strict=True):
    cells = builder.cells_
    cells.plot(ax, outlines=outlines, dots=False)
    ax.plot(coords[:, 1], coords[:, 0], ".", color="#444444", markersize=1.5, zorder=4)
    ax.set_xlim(5.7, 10.7)
    ax.set_ylim(45.7, 47.9)
    short = int((cells.counts < 20).sum())
    ax.set_title(f"{method}: {cells.n_cells} cells, {short} of them short of 20 images")

# %%
# Labels, and new photos
# ----------------------
#
# ``labels_`` are the classes to train on. :meth:`~geocells.CellPartition.assign` finds the cell that holds a coordinate
# or, where none does, the one with the nearest centroid.

builder = builders["bottom_up"]
print("labels of the first five places:", builder.labels_[:5].tolist())
zurich, stockholm = builder.assign([[47.37, 8.54], [59.33, 18.07]])
print(f"Zurich lies in cell {zurich} of {builder.cells_.groups[zurich]},", end=" ")
print(f"Stockholm in cell {stockholm} of {builder.cells_.groups[stockholm]}.")

# %%
# How good can a model become?
# ----------------------------
#
# The *oracle* always names the right cell and answers with its point: the bound for every classifier on these cells.
# Do not choose cells by it: it prefers the smallest, which are the hardest to learn (:doc:`/howto/min_images`).

test, test_countries = places.coords[split.test], places.countries[split.test]
reports = {
    method: builder.cells_.report(test, groups=test_countries)
    for method, builder in builders.items()
}
pd.DataFrame(
    {
        method: {
            "cells": report.n_cells,
            "fewest images": builders[method].cells_.counts.min(),
            **{f"oracle {r} km, %": round(100 * report.oracle(r), 1) for r in (1, 25, 200)},
        }
        for method, report in reports.items()
    }
).T

# %%
# How images spread over the cells, and the oracle at every distance:

builder.cells_.report(coords, groups=countries).plot()

# %%
# The point of a cell
# -------------------
#
# By default the mean of its images, which may lie on a hill between two towns. The *medoid* is the image nearest to
# all others, the *mode* the one with most images within 1 km.

fullest = int(builder.cells_.counts.argmax())
pd.DataFrame(
    {
        "mean": builder.cells_.centroids[fullest],
        "medoid": builder.cells_.medoids[fullest],
        "mode": builder.cells_.modes[fullest],
    },
    index=["latitude", "longitude"],
).T.round(4)

# %%
# Save
# ----
#
# ``builder.cells_.save("cells.parquet")`` writes this table as GeoParquet, for map programs and
# :func:`geocells.load_cells`.

builder.cells_.to_geodataframe().drop(columns="geometry").head()

# %%
# :doc:`/constructions` explains each step. Next: a model learns these cells.
