"""From probabilities to a point: which decoder is best, and how sure can one be?

The same classifier's probabilities over the same cells, turned into points by every decoder of ``geocells.decoding``,
and measured in kilometres on held-out photos. Coordinates are real, features simulated, as in ``cells_ablation.py``,
which says how; the classifier is its linear discriminant analysis, heated or cooled on a validation set.

- Split: 80 % train (cells, classifier, decoders), 10 % validation (temperature, conformal radii), 10 % test (tables).
- Intervals: 95 %, paired bootstrap over the test photos, of the difference to the location of the likeliest cell.
- Retrieval: the training places' features without noise are the gallery, as in GeoCLIP; a photo's probabilities are the
  softmax of its likeness to each, and the point is that of the likeliest gallery place, or of expected utility.

``python examples/decoders.py`` prints the tables and writes them to ``runs/decoders``: about three minutes on two
cores, and one more for the features when run for the first time.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import cyclopts
import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from geocells import CellBuilder, CellPartition, decoding, sphere
from geoloc_models.evaluation import Predictions
from geoloc_models.inference import judge_decoders

sys.path.insert(0, str(Path(__file__).parent))
from cells_ablation import MIN_IMAGES, RADII_KM, LinearDiscriminant, load_places, simulated

N_RETRIEVED = 1000
"""Test photos of the retrieval table: each has a probability for every place of the gallery."""


@dataclass
class Part:
    """Photos with what the classifier says of them."""

    coords: np.ndarray
    labels: np.ndarray
    logits: np.ndarray
    feats: np.ndarray


@dataclass
class Trial:
    """One split, its cells and its classifier."""

    cells: CellPartition
    decoder: decoding.ExpectedUtility
    training: np.ndarray
    training_places: np.ndarray
    validation: Part
    test: Part


def one_trial(coords: np.ndarray, places: np.ndarray, seed: int) -> Trial:
    """Cells and classifier on 80 % of the photos, logits of the others."""
    rng = np.random.default_rng(seed)
    feats = simulated(places, rng)
    draw = rng.random(len(coords))
    training, validation = draw < 0.8, (draw >= 0.8) & (draw < 0.9)
    builder = CellBuilder(MIN_IMAGES, location="mean").fit(coords[training], feats[training])
    cells = builder.cells_
    second_moment = (feats[training].T @ feats[training]).astype(np.float64)
    classifier = LinearDiscriminant().fit(feats[training], builder.labels_, second_moment)

    def part(rows: np.ndarray) -> Part:
        logits = feats[rows] @ classifier.weights + classifier.bias.astype(np.float32)
        return Part(coords[rows], cells.assign(coords[rows]), logits, feats[rows])

    decoder = decoding.ExpectedUtility(cells, radii_km=RADII_KM)
    decoder.fit(coords[training], builder.labels_)
    parts = part(validation), part(draw >= 0.9)
    return Trial(cells, decoder, coords[training], places[training], *parts)


def table_of(answers: dict[str, np.ndarray], truth: np.ndarray) -> pd.DataFrame:
    """Figures, and paired differences to the first decoder with their 95 % bootstrap intervals."""
    nowhere, rows = np.full(len(truth), ""), np.arange(len(truth))  # countries are not asked for
    predictions = {
        name: Predictions(points, nowhere, None, rows) for name, points in answers.items()
    }
    judged = judge_decoders(predictions, truth, nowhere)
    lines = {
        name: {column: f"{figure.value:.1f}" for column, figure in each.figures().items()}
        for name, each in judged.evaluations.items()
    }
    for name, differences in judged.differences.items():
        for column, each in differences.items():
            lines[name][column] += f" ({each.value:+.1f}: {each.low:+.1f} to {each.high:+.1f})"
    return pd.DataFrame(lines).T.drop(columns="country")


def cell_decoders(trial: Trial, probabilities: np.ndarray) -> dict[str, np.ndarray]:
    """Points of every decoder."""
    cells, decoder = trial.cells, trial.decoder
    return {
        "likeliest cell, mean": decoding.argmax(probabilities, cells),
        "likeliest cell, medoid": decoding.argmax(probabilities, cells.medoids),
        "likeliest cell, mode": decoding.argmax(probabilities, cells.modes),
        "mean of the 5 likeliest": decoding.top_k_mean(probabilities, cells, k=5),
        **{
            f"expected utility, {radius} km": decoder.predict(probabilities, radii_km=(radius,))
            for radius in RADII_KM
        },
        "expected utility, all four": decoder.predict(probabilities),
    }


def conformal_radii(trial: Trial, temperature: float) -> pd.DataFrame:
    """Radii that promise 90 % and 50 %, and the share of test photos that they hold."""
    decoder, known, tested = trial.decoder, trial.validation, trial.test
    known_rows, rows = (decoding.softmax(part.logits, temperature) for part in (known, tested))
    known_points, points = decoder.predict(known_rows), decoder.predict(rows)
    known_km = sphere.haversine(known_points, known.coords)
    km = sphere.haversine(points, tested.coords)
    known_spread = decoder.mass_radius(known_rows, known_points, 0.5)
    spread = decoder.mass_radius(rows, points, 0.5)
    lines = {}
    for alpha in (0.1, 0.5):
        by_mass = decoding.ConformalMass(decoder, alpha).fit(known_rows, known_points, known.coords)
        by_spread = decoding.ConformalRadius(alpha).fit(known_km, known_spread)
        one = decoding.ConformalRadius(alpha).fit(known_km)
        for name, radii in (
            ("mass, uncalibrated", decoder.mass_radius(rows, points, 1 - alpha)),
            ("conformal mass", by_mass.predict(rows, points)),
            ("conformal, by spread", by_spread.predict(spread)),
            ("conformal, one radius", one.predict(len(km))),
        ):
            held = km <= radii
            half = 1.96 * np.sqrt(held.mean() * (1 - held.mean()) / len(held))
            lines[f"{name}, {1 - alpha:.0%}"] = {
                "held %": f"{100 * held.mean():.1f} ± {100 * half:.1f}",
                "median radius km": f"{np.median(radii):.0f}",
                "mean radius km": f"{radii.mean():.0f}",
            }
    return pd.DataFrame(lines).T


def retrieval(trial: Trial) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Points from a distribution over the gallery of training places."""
    tree = cKDTree(sphere.to_unit_vectors(trial.training))
    few = slice(0, N_RETRIEVED)
    nearest = tree.query(sphere.to_unit_vectors(trial.validation.coords[few]))[1]
    known = trial.validation.feats[few] @ trial.training_places.T
    temperature = decoding.temperature_scaling(known, nearest)
    likeness = trial.test.feats[few] @ trial.training_places.T
    rows = decoding.softmax(likeness, temperature)
    decoder = decoding.ExpectedUtility.from_points(trial.training, radii_km=RADII_KM)
    top = np.argsort(-likeness, axis=1)[:, :20]
    votes = decoding.nearest_images(top, len(trial.training), np.take_along_axis(rows, top, axis=1))
    return {
        "likeliest place": decoding.argmax(likeness, trial.training),
        "expected utility, 20 nearest": decoder.predict(votes),
        "expected utility, all places": decoder.predict(rows),
    }, trial.test.coords[few]


def main(
    *,
    seed: int = 0,
    places: int | None = None,
    features: Path = Path("runs/ablation"),
    output: Path = Path("runs/decoders"),
) -> None:
    """Measure every decoder on one classifier's probabilities.

    Parameters
    ----------
    seed : int
        Of split and noise.
    places : int, optional
        Use only so many places.
    features : Path
        Folder of the places' features, which cells_ablation.py uses too.
    output : Path
        Folder for the tables.
    """
    output.mkdir(parents=True, exist_ok=True)
    trial = one_trial(*load_places(features, places), seed)
    temperature = decoding.temperature_scaling(trial.validation.logits, trial.validation.labels)
    probabilities = decoding.softmax(trial.test.logits, temperature)
    print(f"{trial.cells.n_cells} cells, {len(trial.test.coords)} test photos.")
    tables = {
        "decoders": table_of(cell_decoders(trial, probabilities), trial.test.coords),
        "retrieval": table_of(*retrieval(trial)),
        "radii": conformal_radii(trial, temperature),
    }
    for name, table in tables.items():
        print(f"\n{name}\n{table.to_string()}")
        table.to_csv(output / f"{name}.csv")


if __name__ == "__main__":
    cyclopts.run(main)
