"""The paper's ablation of the cells, on real coordinates with simulated features.

Which cells make the better classes? The same linear classifier is trained on the cells of every construction, and its
answers (the location of the likeliest cell) are measured in kilometres on held-out photos.

- Coordinates: the 100 000 real photo coordinates that the package geoclip carries, repeated ones dropped.
- Features: no photos can be shipped, so the features are *simulated*: what geoclip's own location encoder (its trained
  weights lie in the package too) says of the place, plus Gaussian noise. Like a photo, they tell of the place, more of
  the large scale than of the small, and not surely. Unlike photos, all places are equally telling.
- Classifier: linear discriminant analysis, in closed form: no learning rate or number of epochs to favour anyone.

``python examples/cells_ablation.py`` prints the table and writes it to ``runs/ablation``. With ``--seeds 5`` it takes
about ten minutes on two cores, one of them for the features.
"""

from __future__ import annotations

import json
from pathlib import Path

import cyclopts
import numpy as np
import pandas as pd
import torch
from scipy import stats
from scipy.linalg import cho_factor, cho_solve
from torch.nn.functional import normalize
from tqdm import tqdm

from geocells import CellBuilder, sphere
from geoloc_models.models import LocationEncoder
from geoloc_models.tables.demo import gallery_coordinates

RADII_KM = (1, 25, 200, 750)
NOISE = 3.0
"""Length of the noise, in units of the length of the features it is added to: the classifier is then right about as
often as classifiers of photos are said to be."""

MIN_IMAGES = 50


def constructions() -> dict[str, dict[str, object]]:
    """Parameters of every row of the table."""
    rows: dict[str, dict[str, object]] = {
        "top-down": {"method": "top_down"},
        "consolidated": {"method": "consolidated"},
    }
    for overlap in (1, 2, 4):
        for name, rank_by, use_feats in (
            ("WCSS of features", "mean_wcss", True),
            ("WCSS of coordinates", "mean_wcss", False),
            ("heat map alone", "count", False),
        ):
            rows[f"bottom-up, {name}, overlap {overlap}"] = {
                "rank_by": rank_by,
                "overlap": overlap,
                "use_feats": use_feats,
            }
    for rank_by in ("mean_wcss", "wcss"):
        for competition in ("level", "all"):
            if (rank_by, competition) != ("mean_wcss", "level"):
                rows[f"bottom-up, {rank_by} of features, overlap 2, {competition}"] = {
                    "rank_by": rank_by,
                    "competition": competition,
                    "use_feats": True,
                }
    for name, use_feats in (("features", True), ("coordinates", False)):
        rows[f"optimal, WCSS of {name}"] = {"method": "optimal", "use_feats": use_feats}
    return rows


def load_places(folder: Path, n_places: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Distinct photo places in random order, and what geoclip's location encoder says of each.

    Parameters
    ----------
    folder : Path
        Where the features are stored, and looked for: they take a minute.
    n_places : int, optional
        Use only so many.

    Returns
    -------
    coords, features : ndarray
        (n, 2) latitude, longitude in degrees; (n, 512) float32 of unit length.
    """
    coords = pd.DataFrame(gallery_coordinates()).drop_duplicates().to_numpy()
    coords = coords[np.random.default_rng(0).permutation(len(coords))[:n_places]]
    path = folder / f"places-{len(coords)}.npy"
    if not path.exists():
        encoder = LocationEncoder.from_geoclip(precision="float64")
        blocks = torch.split(torch.from_numpy(coords), 4096)
        with torch.inference_mode():
            features = [
                normalize(encoder(block))
                for block in tqdm(blocks, "features", delay=2, disable=None)
            ]
        folder.mkdir(parents=True, exist_ok=True)
        np.save(path, torch.cat(features).numpy())
    return coords, np.load(path)


def simulated(places: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Features with noise of `NOISE` times their own length."""
    noise = rng.standard_normal(places.shape, dtype=np.float32)
    return places + np.float32(NOISE / np.sqrt(places.shape[1])) * noise


class LinearDiscriminant:
    """Linear discriminant analysis with one covariance for all classes, by Cholesky.

    The numbers of scikit-learn's ``LinearDiscriminantAnalysis(solver="lsqr")``, which visits the classes one by one and
    with a thousand of them takes half a minute instead of a second.
    """

    def fit(
        self, feats: np.ndarray, labels: np.ndarray, second_moment: np.ndarray
    ) -> LinearDiscriminant:
        """Fit to (n, d) features; ``second_moment`` is ``feats.T @ feats``, the same for all labels."""
        n_images, n_classes = len(feats), int(labels.max()) + 1
        counts = np.bincount(labels, minlength=n_classes)
        order = np.argsort(labels, kind="stable")
        sums = np.add.reduceat(feats[order], np.concatenate([[0], np.cumsum(counts)[:-1]]), axis=0)
        means = sums / counts[:, None]
        within = (second_moment - (means * counts[:, None]).T @ means) / n_images
        directions = cho_solve(cho_factor(within), means.T)
        self.weights = directions.astype(np.float32)
        self.bias = np.log(counts / n_images) - 0.5 * (means.T * directions).sum(axis=0)
        return self

    def predict(self, feats: np.ndarray) -> np.ndarray:
        """Likeliest class of each row."""
        scores = feats @ self.weights
        scores += self.bias.astype(np.float32)
        return scores.argmax(axis=1)


def accuracy(distances_km: np.ndarray) -> dict[str, float]:
    """Share in % within each radius."""
    return {f"{radius} km": 100.0 * float((distances_km <= radius).mean()) for radius in RADII_KM}


def one_run(
    parameters: dict[str, object],
    coords: np.ndarray,
    feats: np.ndarray,
    training: np.ndarray,
    second_moment: np.ndarray,
) -> dict[str, float]:
    """Cells, oracle and classifier of one construction on one split."""
    options = dict(parameters)
    use_feats = options.pop("use_feats", False)
    builder = CellBuilder(MIN_IMAGES, **options).fit(
        coords[training], feats[training] if use_feats else None
    )
    cells = builder.cells_
    held_out = coords[~training]
    oracle = accuracy(sphere.haversine(cells.locations[cells.assign(held_out)], held_out))
    classifier = LinearDiscriminant().fit(feats[training], builder.labels_, second_moment)
    answers = cells.locations[classifier.predict(feats[~training])]
    measured = accuracy(sphere.haversine(answers, held_out))
    return {
        "cells": cells.n_cells,
        **{f"oracle {radius}": value for radius, value in oracle.items()},
        **measured,
    }


def half_width(values: pd.Series) -> float:
    """Half the 95 % interval of the mean over seeds (Student's t)."""
    if len(values) < 2:
        return float("nan")
    return float(stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))


def main(
    *, seeds: int = 5, places: int | None = None, output: Path = Path("runs/ablation")
) -> None:
    """Measure every construction of cells by the answers of a classifier.

    Parameters
    ----------
    seeds : int
        Splits and draws of noise.
    places : int, optional
        Use only so many places.
    output : Path
        Folder for the tables and the features.
    """
    coords, features = load_places(output, places)
    print(f"{len(coords)} real photo places; features simulated from the place, with noise.")
    runs = []
    with tqdm(total=seeds * len(constructions()), desc="runs", disable=None) as progress:
        for seed in range(seeds):
            rng = np.random.default_rng(seed)
            feats = simulated(features, rng)
            training = rng.random(len(coords)) < 0.8
            second_moment = (feats[training].T @ feats[training]).astype(np.float64)
            for name, parameters in constructions().items():
                run = one_run(parameters, coords, feats, training, second_moment)
                runs.append({"construction": name, "seed": seed, **run})
                progress.update()
    table = pd.DataFrame(runs)
    table.to_csv(output / "runs.csv", index=False)

    by_construction = table.drop(columns="seed").groupby("construction", sort=False)
    means, widths = by_construction.mean(), by_construction.agg(half_width)
    shown = pd.DataFrame({"cells": means["cells"].round().astype(int)})
    for column in means.columns[1:]:
        digits = means[column].map("{:.1f}".format)
        if not column.startswith("oracle"):
            digits += widths[column].map(" ± {:.1f}".format)
        shown[column] = digits
    print(shown.to_string())
    shown.to_csv(output / "table.csv")

    # Differences within a seed are sharper than the two means: split and noise are the same.
    by_seed = table.set_index(["seed", "construction"]).unstack()  # noqa: PD010
    differences: dict[str, dict[str, list[float]]] = {}
    for name in means.index.drop("consolidated"):
        differences[name] = {}
        for column in (f"{radius} km" for radius in RADII_KM):
            delta = by_seed[column][name] - by_seed[column]["consolidated"]
            differences[name][column] = [float(delta.mean()), half_width(delta)]
    (output / "differences.json").write_text(json.dumps(differences, indent=2))
    print("\nDifference to consolidated, percentage points, mean ± 95 % interval over seeds:")
    print(
        pd.DataFrame(differences).T.map(lambda pair: "{:+.2f} ± {:.2f}".format(*pair)).to_string()
    )


if __name__ == "__main__":
    cyclopts.run(main)
