"""
Regions to a model
==================

Administrative regions, or any polygons, can be the classes. Here countries, cut where they hold many photos.
"""

# %%
# Regions to cells
# ----------------
#
# Regions with fewer than ``min_images`` join a neighbour of the same group; those with more than ``max_images`` are cut
# in two. With GADM's file the rows would be provinces (:doc:`/howto/gadm`).

import logging
import warnings

from geocells import RegionCells
from geoloc_models.countries import load_countries
from geoloc_models.models import ModelPlan, TrainingOptions
from geoloc_models.reports import figures
from geoloc_models.training import demo_source, run_model, split_source, with_features

logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
warnings.filterwarnings("ignore", module="lightning")

source = demo_source()
split = split_source(source)
coords = source.table.coords[split.train]
regions = load_countries().loc[["SE", "CH"]].reset_index()
builder = RegionCells(regions, min_images=20, max_images=80, group="code").fit(coords)
print(builder.cells_)

# %%
# The regions of a cell:

for label in (0, 1, builder.cells_.n_cells - 1):
    names = regions["name"].to_numpy()[builder.regions_of_cell_[label]]
    print(label, names.tolist(), builder.cells_[label])

# %%
# On the map
# ----------

countries = load_countries()
panels = figures.panels_of_countries(countries, ["SE", "CH"])
figures.map_of_cells(
    builder.cells_, coords, countries, panels, title="Countries, cut where photos are many"
)

# %%
# A model of these cells
# ----------------------
#
# ``cells=`` here, or ``geoloc train --cells cells.parquet``, learns any cells.

options = TrainingOptions(
    encoder="efficientnet_lite0",
    weights="imagenet",
    image_size=128,
    train_encoder="none",
    epochs=20,
)
source = with_features(source, options, "runs/tutorial/features.npy", progress=False)
run = run_model(
    source,
    split,
    ModelPlan("cells"),
    options,
    "runs/tutorial/regions",
    cells=builder.cells_,
    replace=True,
    progress=False,
)
for name, figure in run.evaluation.figures().items():
    if name in ("country", "25 km", "200 km", "median_km"):
        print(f"{name}: {figure.value:.1f} [{figure.low:.1f}, {figure.high:.1f}]")

# %%
# Then ask it: ``geoloc predict photo.jpg --model runs/tutorial/regions``.
