"""
From your own softmax to a point with a calibrated radius
=========================================================

Turn the scores of any network into points, and say how sure they are. :mod:`geocells.decoding` needs no torch.
"""

# %%
# Scores of cells
# ---------------
#
# From the page before: one row per place, one column per cell.

import numpy as np
import pandas as pd

from geocells import decoding, load_cells, sphere
from geoloc_models.reports import figures
from geoloc_models.tables import split_rows
from geoloc_models.training import demo_source

stored = np.load("runs/tutorial/own_logits.npz")
logits, labels = stored["logits"], stored["labels"]
cells = load_cells("runs/tutorial/own_cells.parquet")
places = demo_source().table
split = split_rows(places.n_rows, groups=places.groups, strata=places.countries)
train, validation, test = split.train, split.validation, split.test
coords = places.coords

# %%
# Calibrated probabilities
# ------------------------
#
# Networks are surer than they should be. A temperature, fitted on validation photos, corrects most of it.

temperature = decoding.temperature_scaling(logits[validation], labels[validation])
before = decoding.softmax(logits[test])
probabilities = decoding.softmax(logits, temperature)
print(f"temperature {temperature:.2f}; calibration error", end=" ")
print(f"{decoding.expected_calibration_error(before, labels[test]):.3f} before,", end=" ")
print(f"{decoding.expected_calibration_error(probabilities[test], labels[test]):.3f} after")

# %%
# A point
# -------
#
# The training place with the highest expected share of hits within four radii.

decoder = decoding.ExpectedUtility(cells, radii_km=(1, 25, 200, 750)).fit(
    coords[train], labels[train]
)
points = decoder.predict(probabilities)
km = sphere.haversine(points, coords)
likeliest = sphere.haversine(decoding.argmax(probabilities, cells), coords)
pd.DataFrame(
    {
        name: {f"within {r} km, %": 100 * (errors[test] <= r).mean() for r in (1, 25, 200)}
        for name, errors in {"likeliest cell": likeliest, "expected utility": km}.items()
    }
).T.round(1)

# %%
# A radius
# --------
#
# The spread is the radius that holds half of the probability. Split conformal prediction finds a factor for it, such
# that nine of ten photos like the validation photos lie within.

spread = decoder.mass_radius(probabilities, points, 0.5)
conformal = decoding.ConformalRadius(alpha=0.1).fit(km[validation], spread[validation])
radius = conformal.predict(spread)
print(
    f"{100 * (km[test] <= radius[test]).mean():.1f} % of the {len(test)} test places lie within their radius"
)

# %%
# Answering only where sure
# -------------------------
#
# Share of wrong answers when only the surest are given, by the probability of 25 km.

sure = decoder.mass_within(probabilities, points, (25,))[:, 0]
curve = decoding.risk_coverage(sure[test], km[test] <= 25)
figures.risk_coverage_curves({"Own softmax": curve})

# %%
# The confidence above which nine of ten answers are within 25 km (infinite if the validation photos cannot show it).

threshold = decoding.promise_threshold(sure[validation], km[validation] <= 25, share=0.9)
given = sure[test] >= threshold
print(f"above {threshold:.2f}: {100 * given.mean():.0f} % are answered", end="")
print(f", {100 * (km[test] <= 25)[given].mean():.0f} % of them right" if given.any() else "")
