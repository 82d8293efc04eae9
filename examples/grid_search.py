"""Choose min_images and overlap with scikit-learn's GridSearchCV.

Which cells let a classifier place held-out photos best? Small cells are near their photos, but each has few to learn
from; large cells are easy to learn and far from their photos. Neither distance to the cell nor accuracy of the class
shows both sides, so every candidate is scored by what counts: cells are built from the photos of the training folds, a
small classifier learns them from features, and its answers for the photos of the held-out fold are measured in
kilometres. The column "perfect classifier" is the distance to the cell alone: it always prefers the smallest cells.

- Coordinates: real ones, of western and central Europe, from the gallery that the package geoclip carries
  (``pip install '.[demo]'``); repeated ones are dropped.
- Features: *simulated*, since no photos can be shipped: random waves over the earth's surface, long ones and short
  ones, and noise. They tell of the place, not surely. The best ``min_images`` is that of these features; yours will
  have another.
- Classifier: linear discriminant analysis, in closed form.

``python examples/grid_search.py`` takes well under a minute on one core.
"""

from __future__ import annotations

import cyclopts
import numpy as np
import pandas as pd
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.model_selection import GridSearchCV, KFold

from geocells import CellBuilder, sphere
from geoloc_models.tables.demo import gallery_coordinates

REGION = {"latitude": (42.0, 55.0), "longitude": (-5.0, 16.0)}
RADIUS_KM = 25
WAVE_KM = 300.0
"""Half of the simulated waves are shorter than about 2 pi times this."""
NOISE = 3.0
"""Standard deviation of the noise, in units of that of the features."""
GRID = {"min_images": [5, 10, 20, 50, 100, 200], "overlap": [1, 2, 4]}


def photos_of_region(n_photos: int, seed: int = 0) -> pd.DataFrame:
    """Draw photos of the region; latitude and longitude in degrees, a name each as the index."""
    photos = pd.DataFrame(gallery_coordinates(), columns=["latitude", "longitude"])
    photos = photos.drop_duplicates()
    for name, (least, most) in REGION.items():
        photos = photos[photos[name].between(least, most)]
    photos = photos.sample(min(n_photos, len(photos)), random_state=seed)
    return photos.set_axis([f"photo {number}" for number in range(len(photos))])


def simulated_features(photos: pd.DataFrame, n_features: int = 128, seed: int = 0) -> pd.DataFrame:
    """Random waves over the earth's surface and noise, float32, by the photos' names."""
    rng = np.random.default_rng(seed)
    coords = photos[["latitude", "longitude"]].to_numpy()
    places_km = sphere.EARTH_RADIUS_KM * sphere.to_unit_vectors(coords)
    waves = rng.standard_cauchy((3, n_features)) / WAVE_KM
    signal = np.sqrt(2) * np.cos(places_km @ waves + rng.uniform(0, 2 * np.pi, n_features))
    feats = signal + NOISE * rng.normal(size=signal.shape)
    return pd.DataFrame(feats.astype(np.float32), index=photos.index)


class PlacesPhotos:
    """Score builders by the share of held-out photos that a classifier of their cells places within 25 km.

    ``GridSearchCV`` calls it with a builder fitted to the training folds, and with coordinates and features of the
    held-out fold; the photos' names tell which photos the training folds held.
    """

    def __init__(self, photos: pd.DataFrame, feats: pd.DataFrame) -> None:
        self.photos = photos
        self.feats = feats

    def __call__(
        self, builder: CellBuilder, held_out: pd.DataFrame, held_out_feats: pd.DataFrame
    ) -> dict[str, float]:
        training = self.photos.drop(held_out.index)
        classifier = LinearDiscriminantAnalysis()
        classifier.fit(self.feats.loc[training.index], builder.predict(training))
        locations = builder.cells_.locations
        guesses = locations[classifier.predict(held_out_feats)]
        nearest = locations[builder.predict(held_out)]
        return {
            "placed": share_within(guesses, held_out),
            "perfect": share_within(nearest, held_out),
            "cells": builder.n_cells_,
        }


def share_within(guesses: np.ndarray, photos: pd.DataFrame) -> float:
    """Percentage of photos that lie within 25 km of their guesses."""
    distances_km = sphere.haversine(guesses, photos[["latitude", "longitude"]].to_numpy())
    return 100.0 * float(np.mean(distances_km <= RADIUS_KM))


def search_over(
    photos: pd.DataFrame, feats: pd.DataFrame, grid: dict[str, list[int]]
) -> GridSearchCV:
    """Fit every candidate on three folds; the features pass through the place of scikit-learn's y."""
    search = GridSearchCV(
        CellBuilder(),
        grid,
        scoring=PlacesPhotos(photos, feats),
        refit="placed",
        cv=KFold(3, shuffle=True, random_state=0),
        error_score="raise",
    )
    return search.fit(photos, feats)


def table_of(search: GridSearchCV) -> pd.DataFrame:
    """Return one row for each candidate."""
    results = search.cv_results_
    return pd.DataFrame(
        {
            "min_images": results["param_min_images"],
            "overlap": results["param_overlap"],
            "cells": results["mean_test_cells"].round().astype(int),
            f"within {RADIUS_KM} km, %": results["mean_test_placed"].round(1),
            "+/-": results["std_test_placed"].round(1),
            "perfect classifier, %": results["mean_test_perfect"].round(1),
        }
    ).sort_values(["min_images", "overlap"])


def main(*, n_photos: int = 9000) -> None:
    """Score every candidate of the grid on so many photos of Europe."""
    photos = photos_of_region(n_photos)
    search = search_over(photos, simulated_features(photos), GRID)
    print(f"{len(photos)} photos, 3 folds; +/- is the standard deviation over the folds.\n")
    print(table_of(search).to_string(index=False))
    print(
        f"\nBest: {search.best_estimator_}, {search.best_estimator_.n_cells_} cells of all photos."
    )


if __name__ == "__main__":
    cyclopts.run(main)
