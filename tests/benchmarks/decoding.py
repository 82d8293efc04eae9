"""Expected utility: fitting, predicting against the bare product of dense matrices, and memory.

100 000 real coordinates; about 2 000 cells; 10 000 predictions by the classifier of ``examples/cells_ablation.py`` on
its simulated features, cooled or heated to fit. These are kept in ``runs/ablation``; making them takes a minute.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import sparse

from geocells import CellBuilder, decoding
from tests.benchmarks.real_density import gallery
from tests.benchmarks.timing import ROOT, Row, in_turns, seconds

sys.path.insert(0, str(ROOT / "examples"))
import cells_ablation as ablation

N_PREDICTIONS = 10_000
N_RETRIEVED = 200
MIN_IMAGES = 40
RADII_KM = (1, 25, 200, 750)
FEATURES = Path("runs/ablation")


@dataclass
class Problem:
    """Training images, their cells, and what a classifier says of other photos."""

    coords: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray
    likeness: np.ndarray


def problem() -> Problem:
    """Train the classifier on one draw of noise, and ask it about another."""
    coords = gallery()
    distinct, features = ablation.load_places(FEATURES)
    row_of = {place: row for row, place in enumerate(map(tuple, distinct.tolist()))}
    places = features[[row_of[place] for place in map(tuple, coords.tolist())]]
    rng = np.random.default_rng(0)
    labels = CellBuilder(MIN_IMAGES).fit(coords).labels_
    feats = ablation.simulated(places, rng)
    second_moment = (feats.T @ feats).astype(np.float64)
    classifier = ablation.LinearDiscriminant().fit(feats, labels, second_moment)
    asked = rng.choice(len(coords), N_PREDICTIONS, replace=False)
    new = ablation.simulated(places[asked], rng)
    logits = new @ classifier.weights + classifier.bias.astype(np.float32)
    temperature = decoding.temperature_scaling(logits, labels[asked])
    probabilities = decoding.softmax(logits, temperature).astype(np.float32)
    likeness = decoding.softmax(new[:N_RETRIEVED] @ places.T, 0.1)
    return Problem(coords, labels, probabilities, likeness)


def bare_product(probabilities: np.ndarray, shares: np.ndarray) -> None:
    """Utility of every candidate by BLAS; 500 rows at a time, as all would take gigabytes."""
    out = np.empty((500, shares.shape[1]), dtype=np.float32)
    for start in range(0, len(probabilities), 500):
        np.matmul(probabilities[start : start + 500], shares, out=out)


def five_partitions(given: Problem, one: decoding.ExpectedUtility) -> Row:
    """Five partitions of about 2 000 cells, whose probabilities are those of the first carried over by the photos."""
    labels, posteriors = [given.labels], [given.probabilities.astype(np.float64)]
    for min_images in (36, 38, 42, 44):
        own = CellBuilder(min_images).fit(given.coords).labels_
        shared = sparse.coo_array(
            (1 / np.bincount(given.labels)[given.labels], (given.labels, own)),
            shape=(posteriors[0].shape[1], own.max() + 1),
        )
        labels.append(own)
        posteriors.append(posteriors[0] @ shared.tocsr())
    pooled = decoding.mixture(posteriors)
    five = decoding.ExpectedUtility(radii_km=RADII_KM).fit(given.coords, labels)
    five.predict(pooled[:100])
    of_one = processor_seconds(lambda: one.predict(posteriors[0]))
    of_five = processor_seconds(lambda: five.predict(pooled))
    return Row(
        "predict, five partitions, 10 000 rows",
        "one partition",
        of_five / of_one,
        at_most=3.0,
        detail=f"({five.n_classes_} cells, processor time {of_five:.2f} s)",
    )


def processor_seconds(function: Callable[[], object]) -> float:
    """Least processor time of five calls."""
    times = []
    for _ in range(5):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return min(times)


def rows() -> list[Row]:
    """Measure everything of this file."""
    given = problem()
    probabilities, n_cells = given.probabilities, given.probabilities.shape[1]
    decoder = decoding.ExpectedUtility(radii_km=RADII_KM)
    # The values of the dense matrix do not matter to its speed.
    decoder.fit(given.coords, given.labels)
    shape = n_cells, len(decoder.candidates_)
    shares = np.random.default_rng(0).random(shape, dtype=np.float32)
    fit = in_turns({"fit": lambda: decoder.fit(given.coords, given.labels)}, rounds=3, warm_up=0)
    decoder.predict(probabilities[:100])
    times = in_turns(
        {
            "product": lambda: bare_product(probabilities, shares),
            "predict": lambda: decoder.predict(probabilities),
        },
        rounds=3,
        warm_up=0,
    )
    dense_mib = shares.nbytes / 2**20
    measured = [
        Row(
            "fit, 100 000 images, four radii",
            "",
            fit.median("fit"),
            "s",
            at_most=20.0,
            detail=f"({n_cells} cells, {len(decoder.candidates_)} candidates)",
        ),
        Row(
            "predict, 10 000 rows",
            "probabilities @ dense shares, float32",
            times.ratio("predict", "product"),
            at_most=10.0,
            detail=f"({times.median('predict'):.2f} s, product {times.median('product'):.1f} s)",
        ),
        Row("table and bounds", f"dense: {dense_mib:.0f} MiB", decoder.nbytes_ / 2**20, "MiB"),
    ]
    points, anywhere = decoder.predict(probabilities), np.zeros((n_cells, 2))
    calls = {
        "predict, one radius: 25 km": lambda: decoder.predict(probabilities, radii_km=(25,)),
        "mass within four radii": lambda: decoder.mass_within(probabilities, points, RADII_KM),
        "radius of half the mass": lambda: decoder.mass_radius(probabilities, points, 0.5),
        "credible region, 90 %": lambda: decoding.credible_region(probabilities),
        "likeliest cell": lambda: decoding.argmax(probabilities, anywhere),
        "mean of the 5 likeliest": lambda: decoding.top_k_mean(probabilities, anywhere),
    }
    for name, (elapsed,) in in_turns(calls, rounds=1).items():
        measured.append(Row(f"{name}, 10 000 rows", "", elapsed, "s"))
    measured.append(five_partitions(given, decoder))
    retrieval = decoding.ExpectedUtility.from_points(given.coords, radii_km=RADII_KM)
    retrieval.predict(given.likeness[:2])
    top = np.argsort(-given.likeness, axis=1)[:, :20]
    votes = decoding.nearest_images(top, len(given.coords))
    for name, answers in (
        ("retrieval, 100 000 gallery places, a row", given.likeness),
        ("20 nearest of 100 000 images, a row", votes),
    ):
        elapsed = seconds(lambda answers=answers: retrieval.predict(answers))
        measured.append(Row(name, "", 1000 * elapsed / N_RETRIEVED, "ms"))
    return measured
