"""
Prediction: where was this taken, and how sure is that?
=======================================================

A trained model gives a probability for each cell. Turn these into points, draw them on a map, and test how far to trust
them. The model is from the page before.
"""

# %%
# Load the model
# --------------
#
# :func:`~geoloc_models.load_model` takes a bundle or its run folder. No code from the file is run.

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from torch.utils.data import DataLoader

from geocells import decoding, sphere
from geoloc_models import load_model
from geoloc_models.countries import load_countries
from geoloc_models.inference import run_network
from geoloc_models.photos import PhotoDataset, collate_photos
from geoloc_models.training import demo_source, read_split

run = Path("runs/tutorial/cells_bottom_up")
model = load_model(run)
split = read_split(run)
source = demo_source()
places, images = source.table, source.images
print(model.task.cells)

# %%
# Calibrate it
# ------------
#
# ``run_model`` and ``geoloc train`` have done this; here are the steps. :meth:`~geoloc_models.Model.store_images` adds
# the training places, so that decoders know where in a cell photos are taken. :meth:`~geoloc_models.Model.calibrate`
# fits on the validation images a temperature, which makes probabilities true, and a radius that holds nine photos
# of ten.

model.store_images(places.coords[split.train], places.countries[split.train])


def batches(rows):
    """Images of some rows, as the network takes them."""
    dataset = PhotoDataset(
        images,
        places.coords,
        np.zeros(places.n_rows, dtype=np.int64),
        model.task.encoder.preprocessing.transform(),
        rows=rows,
    )
    return DataLoader(dataset, batch_size=64, collate_fn=collate_photos)


validation = run_network(model.task, batches(split.validation), progress=False)
rows = validation.rows
calibration = model.calibrate(validation.arrays, places.coords[rows], places.countries[rows])
print(f"decoder {calibration.decoder}, temperature {calibration.temperature:.2f}")

# %%
# Place photos
# ------------
#
# :meth:`~geoloc_models.Model.predict` takes paths, folders, pillow images or arrays; here, eight test crops.
# ``class_probability`` is that of the likeliest cell; 90 % of photos like the validation photos lie within their
# ``radius_90_km``.

chosen = split.test[:: len(split.test) // 8][:8]
answers = model.predict([images.load(row) for row in chosen], names=False)
table = answers.to_dataframe().drop(columns=["file", "place", "place_country", "place_km"])
table["error_km"] = sphere.haversine(answers.coords, places.coords[chosen])
table.round(2)

# %%
# One photo's probabilities; the cross is the answer, the ring the truth. ``answers.explore()`` shows a map in a
# notebook, ``answers.save_map("map.html")`` writes it as a page.

photo = int(np.argsort(-answers.radius_90_km)[len(chosen) // 2])
cells = model.task.cells.to_geodataframe()
cells["probability"] = answers.probabilities[photo]
figure, ax = plt.subplots(figsize=(7, 5), layout="constrained")
load_countries().loc[["CH", "DE", "FR", "IT", "AT", "LI", "SE", "NO", "FI", "DK"]].boundary.plot(
    ax=ax, color="#999999", linewidth=0.7
)
cells.plot("probability", ax=ax, cmap="YlOrRd", legend=True, alpha=0.8, edgecolor="none")
latitude, longitude = answers.coords[photo]
ax.plot(longitude, latitude, "x", color="#004488", markersize=11, markeredgewidth=2)
latitude, longitude = places.coords[chosen[photo]]
ax.plot(longitude, latitude, "o", color="#004488", markersize=11, fillstyle="none")
is_swiss = answers.countries[photo] == "CH"
ax.set_xlim(*((5.5, 11.0) if is_swiss else (10.0, 25.0)))
ax.set_ylim(*((45.5, 48.0) if is_swiss else (55.0, 69.5)))
ax.set_aspect(1.0 / np.cos(np.radians(latitude)))
ax.set_title("Probabilities of the cells for one test crop")

# %%
# Decoders
# --------
#
# The likeliest cell is not always the best answer: several smaller cells near each other may hold more probability.
# :class:`~geocells.decoding.ExpectedUtility` takes the training place with the highest expected share of hits within
# chosen radii. All test crops:

tested = run_network(model.task, batches(split.test), progress=False)
truth = places.coords[tested.rows]
probabilities = model.decode(tested.arrays).probabilities
train_coords, train_countries = places.coords[split.train], places.countries[split.train]
labels = model.task.cells.assign(train_coords, groups=train_countries)
decoder = decoding.ExpectedUtility(model.task.cells, radii_km=(1, 25, 200)).fit(
    train_coords, labels
)
points = {
    "likeliest cell, mean": decoding.argmax(probabilities, model.task.cells),
    "likeliest cell, medoid": decoding.argmax(probabilities, model.task.cells.medoids),
    "mean of the 5 likeliest": decoding.top_k_mean(probabilities, model.task.cells, k=5),
    "expected utility, 1 km": decoder.predict(probabilities, radii_km=(1,)),
    "expected utility, 25 km": decoder.predict(probabilities, radii_km=(25,)),
    "expected utility, all three": decoder.predict(probabilities),
}
errors = {name: sphere.haversine(coords, truth) for name, coords in points.items()}
pd.DataFrame(
    {
        name: {
            **{f"within {r} km, %": 100 * (km <= r).mean() for r in (1, 25, 200)},
            "median km": np.median(km),
        }
        for name, km in errors.items()
    }
).T.round(1)

# %%
# With 203 test crops a difference of a few points is chance; :doc:`/decoding` has more.
#
# Are probabilities and radii right?
# ----------------------------------
#
# Of answers with a probability of 0.6, six of ten should be right; nine of ten test crops should lie within their
# radius.

every = model.decode(tested.arrays)
truth_cells = model.task.cells.assign(truth, groups=places.countries[tested.rows])
km = sphere.haversine(every.coords, truth)
print(
    f"expected calibration error {decoding.expected_calibration_error(probabilities, truth_cells):.3f}"
)
print(
    f"{100 * (km <= every.radius_90_km).mean():.1f} % of the test crops lie within their 90 % radius"
)

# %%
# A wide radius means that the model does not know.

figure, ax = plt.subplots(figsize=(6.5, 5), layout="constrained")
ax.loglog(every.radius_90_km, np.maximum(km, 0.5), ".", color="#3366AA")
least, most = 3.0, 2000.0
ax.plot([least, most], [least, most], color="#882255", linewidth=1)
ax.set_xlabel("90 % radius, km")
ax.set_ylabel("error, km (0.5 for less)")
ax.set_title("Below the line: within the radius")

# %%
# On the command line: ``geoloc predict photos/ --model runs/tutorial/cells_bottom_up --map map.html``. What answers are
# worth, and what not to do with them: :doc:`/responsible_use`.
