"""
Cells: from coordinates to classes
==================================

A classifier needs classes. This page cuts Sweden and Switzerland into cells in three ways, looks at them, and asks
how good a model could become that knows them perfectly.
"""

# %%
# Coordinates are all it takes
# ----------------------------
#
# The demo's places are 2 018 real photo coordinates. They come with the package ``geoclip``; nothing is
# downloaded. Places within one 10 km block are all trained on or none of them, so that no test place has a twin
# among the training places.

import matplotlib.pyplot as plt
import pandas as pd

from geocells import CellBuilder
from geoloc_models.countries import load_countries
from geoloc_models.photos.demo import demo_places
from geoloc_models.tables import split_rows

places = demo_places()
split = split_rows(places.n_rows, groups=places.groups, strata=places.countries)
coords, countries = places.coords[split.train], places.countries[split.train]
print(f"{len(coords)} training places; the first is at {coords[0].tolist()}, {countries[0]}.")

# %%
# Three constructions
# -------------------
#
# All of them look at a quadtree: a box cut into four, each quarter into four again, while enough images remain.
#
# - *Top-down* splits a cell while any child still holds ``min_images``. The siblings of a full child become cells
#   whatever they hold, so many cells hold few images.
# - *Consolidated* hands the images of such cells up to the parent, until there are enough. Every cell has
#   ``min_images``.
# - *Bottom-up* lets windows compete, also windows that the quadtree's borders would cut: the ones whose images are most
#   alike claim them first. Every cell has ``min_images``.
#
# With ``groups`` each country gets cells of its own; no cell lies across the border.

builders = {
    method: CellBuilder(min_images=20, method=method).fit(coords, groups=countries)
    for method in ("top_down", "consolidated", "bottom_up")
}
for builder in builders.values():
    print(builder.cells_)

# %%
# On the map, around Switzerland: grey dots are the training places. What top-down leaves between the towns are
# cells of a few images, which a classifier has little to learn from.

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
# ``labels_`` are the classes to train on. :meth:`~geocells.CellPartition.assign` finds the cell of any other
# coordinate: the cell that holds it or, where none does, the one with the nearest centroid.

builder = builders["bottom_up"]
print("labels of the first five places:", builder.labels_[:5].tolist())
zurich, stockholm = builder.assign([[47.37, 8.54], [59.33, 18.07]])
print(f"Zurich lies in cell {zurich} of {builder.cells_.groups[zurich]},", end=" ")
print(f"Stockholm in cell {stockholm} of {builder.cells_.groups[stockholm]}.")

# %%
# How good can a model become?
# ----------------------------
#
# A perfect classifier would always name the right cell, and answer with the cell's point. Its accuracy on the
# *test* places, the oracle, is a bound for every model on these cells, and so is not a reason to prefer the
# smallest cells: those are the hardest to learn. :doc:`/howto/min_images` shows how to weigh the two.

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
# The report itself draws how images spread over the cells, and the oracle at every distance.

builder.cells_.report(coords, groups=countries).plot()

# %%
# The point of a cell
# -------------------
#
# By default a cell answers with the mean of its images. In a valley of two towns that may be a hill between them;
# the *medoid* is the image nearest to all others, the *mode* the one with most images within 1 km.

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
# Keep them
# ---------
#
# ``builder.cells_.save("cells.parquet")`` writes GeoParquet: the polygons for any map program, the code ranges
# for :func:`geocells.load_cells`. ``to_geodataframe()`` gives the same table here.

builder.cells_.to_geodataframe().drop(columns="geometry").head()

# %%
# :doc:`/constructions` explains each step with pictures. Next: a model learns these cells.
