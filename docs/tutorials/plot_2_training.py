"""
Training: a classifier on cached features
=========================================

A frozen encoder computes features of every image once. Training on them takes seconds.
"""

# %%
# Places and images
# -----------------
#
# **Crops of a satellite image (NASA's Blue Marble), 150 km wide, stand in for photos**, which cannot be shipped. They
# are far easier to place than photos: the figures below show the steps, not what models can do.

import logging
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from geoloc_models.evaluation import errors_km
from geoloc_models.models import ModelPlan, TrainingOptions
from geoloc_models.reports import figures
from geoloc_models.training import demo_source, run_model, split_source, with_features

logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
warnings.filterwarnings("ignore", module="lightning")

source = demo_source("sweden-switzerland")
places, images = source.table, source.images
split = split_source(source)
print(
    f"{len(split.train)} to train, {len(split.validation)} to validate, {len(split.test)} to test"
)

figure, axes = plt.subplots(2, 6, figsize=(9, 3.4), layout="constrained")
for ax, row in zip(axes.flat, split.train[:: len(split.train) // 12], strict=False):
    ax.imshow(images.load(row))
    ax.set_title(places.countries[row], fontsize="small")
    ax.set_axis_off()

# %%
# Features, once
# --------------
#
# EfficientNet-Lite0 with ImageNet weights turns each crop into 1 280 numbers, stored as a
# :class:`~geoloc_models.features.cache.FeatureCache`: an ``.npy`` file with the keys of its rows beside it. Images that
# it has already are not computed again.

runs = Path("runs/tutorial")
runs.mkdir(parents=True, exist_ok=True)
options = TrainingOptions(
    encoder="efficientnet_lite0",
    weights="imagenet",
    image_size=128,
    batch_size=64,
    learning_rate=1e-3,
    schedule="cosine",
    epochs=30,
    dropout=0.3,
    train_encoder="none",
)
source = with_features(source, options, runs / "features.npy", progress=False)
print(source.features.dim, "features of", len(source.features), "images")

# %%
# Cells and a head
# ----------------
#
# :class:`~geoloc_models.models.ModelPlan` says what to train, :class:`~geoloc_models.models.TrainingOptions` how. Cells
# are made of the training places alone; the epoch with the lowest validation loss is kept.

plans = [
    ModelPlan("country"),
    ModelPlan("cells", "top_down", min_images=20),
    ModelPlan("cells", "consolidated", min_images=20),
    ModelPlan("cells", "bottom_up", min_images=20),
]
trained = {
    plan.name: run_model(
        source, split, plan, options, runs / plan.name, replace=True, progress=False
    )
    for plan in plans
}
for name, run in trained.items():
    print(name, "-", "2 countries" if run.cells is None else f"{run.cells.n_cells} cells")

# %%
# Losses fall, validation accuracy rises and levels off.

figures.training_curves({name: run.history for name, run in trained.items()})

# %%
# On the test places
# ------------------
#
# Shares in per cent, medians in km, with 95 % bootstrap intervals. Where intervals overlap widely, 200 test places
# cannot tell two models apart.

pd.DataFrame(
    {
        name: {
            column: f"{figure.value:.1f} [{figure.low:.1f}, {figure.high:.1f}]"
            for column, figure in run.evaluation.figures().items()
            if column in ("country", "25 km", "200 km", "median_km")
        }
        for name, run in trained.items()
    }
).T

# %%
# The country model nearly always names the right country and hardly ever the right place.

figures.error_curves(
    {
        name: errors_km(run.predictions, places.coords[run.predictions.rows])
        for name, run in trained.items()
    }
)

# %%
# The run folder
# --------------
#
# Options, split, cells, losses, predictions, results, and the trained model as ``bundle/``.

for file in sorted((runs / "cells_bottom_up").rglob("*")):
    if file.is_file():
        print(file.relative_to(runs))

# %%
# The same on the command line, with your own photos: :doc:`/howto/photos`. The other tasks: :doc:`/models`.
