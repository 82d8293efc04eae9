"""
Cell labels in a training loop of your own
==========================================

Labels of cells are integers: any training loop can use them. Here a head in plain torch learns them, on the features of
the tutorial on training.
"""

# %%
# Features and labels
# -------------------
#
# Any array with one row per photo will do. Cells are made of the training places alone; held-out places get the label
# of the cell that they lie in.

import numpy as np
import pandas as pd
import torch
from torch import nn

from geocells import CellBuilder, sphere
from geoloc_models.features import FeatureCache, row_keys
from geoloc_models.tables import split_rows
from geoloc_models.training import demo_source

places = demo_source().table
split = split_rows(places.n_rows, groups=places.groups, strata=places.countries)
cache = FeatureCache.open("runs/tutorial/features.npy")
features = cache.gather(cache.rows_of(row_keys(places)))
train, validation, test = split.train, split.validation, split.test
builder = CellBuilder(min_images=20).fit(places.coords[train], features[train])
cells = builder.cells_
labels = cells.assign(places.coords)
print(cells, features.shape)

# %%
# The loop
# --------

torch.manual_seed(0)
inputs = torch.tensor(features)
target = torch.tensor(labels, dtype=torch.long)
head = nn.Sequential(
    nn.LayerNorm(features.shape[1]),
    nn.Linear(features.shape[1], 256),
    nn.ReLU(),
    nn.Dropout(0.5),
    nn.Linear(256, cells.n_cells),
)
optimizer = torch.optim.AdamW(head.parameters(), lr=1e-3, weight_decay=1e-2)
losses = []
for _epoch in range(15):
    head.train()
    for batch in torch.randperm(len(train)).split(64):
        rows = train[batch.numpy()]
        loss = nn.functional.cross_entropy(head(inputs[rows]), target[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    head.eval()
    with torch.no_grad():
        held_out = nn.functional.cross_entropy(head(inputs[validation]), target[validation])
    losses.append({"training": loss.item(), "validation": held_out.item()})

pd.DataFrame(losses).plot(xlabel="epoch", ylabel="cross entropy", figsize=(6, 3)).figure

# %%
# Test
# ----
#
# The likeliest cell answers with its point; ``guess`` always answers with the centre of the training places.

with torch.no_grad():
    logits = head(inputs).numpy()
answers = cells.locations[logits[test].argmax(1)]
guess = np.tile(sphere.spherical_mean(places.coords[train]), (len(test), 1))
truth = places.coords[test]
pd.DataFrame(
    {
        name: {
            "within 25 km, %": 100 * (km <= 25).mean(),
            "within 200 km, %": 100 * (km <= 200).mean(),
            "median km": np.median(km),
        }
        for name, km in {
            "head": sphere.haversine(answers, truth),
            "guess": sphere.haversine(guess, truth),
            "oracle": sphere.haversine(cells.locations[labels[test]], truth),
        }.items()
    }
).T.round(1)

# %%
# The next page turns these scores into better points, with a radius.

np.savez("runs/tutorial/own_logits.npz", logits=logits, labels=labels)
cells.save("runs/tutorial/own_cells.parquet")
