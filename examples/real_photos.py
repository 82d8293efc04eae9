"""Which answer is best on real photos: the product's pooled model against its parts, held out by place.

Features of 3 134 real photos (frozen EfficientNet-Lite0), five folds by place and again by block of 10 km. Each fold
trains the product's model, ``geoloc train --features``, on four fifths of the places, an eighth of which validate; its
outputs for the others are decoded in every way below. All rows of a table are of the same models and the same photos.

``python examples/real_photos.py photos.npz`` prints percent within five radii; below, the gain of the default over the
best likeliest cell with its 95 % interval (paired bootstrap over places), and the share of photos within their 90 %
radius.
"""

from __future__ import annotations

import logging
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Literal

import cyclopts
import numpy as np

from geocells import decoding, sphere
from geoloc_models.countries import country_of
from geoloc_models.evaluation.coverage import Coverage
from geoloc_models.features.cache import FeatureCache, FeatureCard, row_keys
from geoloc_models.features.cache_writer import FeatureWriter
from geoloc_models.inference import load_model
from geoloc_models.models import ModelPlan, TrainingOptions
from geoloc_models.models.gallery import Gallery
from geoloc_models.photos.images import FileImages
from geoloc_models.tables import PhotoTable, place_blocks
from geoloc_models.tables.split import Split
from geoloc_models.training import PhotoSource, run_model
from geoloc_models.training.run import bundle_outputs

RADII_KM = (1, 25, 200, 750, 2500)
N_FOLDS = 5
N_BOOTSTRAP = 1000
N_NEAREST = 30
CROATIA, SANFRAN, TANZANIA = 0, 10, 11  # in the column source
BOTTOM_UP = ("n", "n/2", "2n", "4n")  # the first partitions of the default model, n automatic
ENCODER = TrainingOptions(encoder="efficientnet_lite0", weights="imagenet")


def load_photos(path: Path, task: str, by: str, folder: Path) -> tuple[PhotoSource, np.ndarray]:
    """Photos of a task with their features, and the place of each."""
    arrays = np.load(path)
    source = arrays["source"]
    rows = {"W": source != TANZANIA, "croatia": source == CROATIA, "sanfran": source == SANFRAN}
    chosen = np.flatnonzero(rows[task])
    coords = arrays["coords"][chosen].astype(np.float64)
    countries = country_of(coords, tolerance_km=50)
    countries = np.array([name or "none" for name in countries], dtype=object)
    names = [f"{row}.jpg" for row in chosen]  # of features alone: there are no such files
    table = PhotoTable.from_arrays(coords, countries, paths=names)
    encoder = ENCODER.build_encoder()
    card = FeatureCard(
        encoder=encoder.name,
        fingerprint=encoder.fingerprint(),
        preprocessing=encoder.preprocessing.to_dict(),
        dim=encoder.dim,
        dtype="float16",
        n_rows=len(chosen),
        keys_digest="",
        weights="imagenet",
    )
    features = folder / f"{task}.npy"
    with FeatureWriter(features, row_keys(table), card) as writer:
        writer.write(np.arange(len(chosen)), arrays["features"][chosen])
    photos = PhotoSource(table, FileImages(names), {"kind": "real"}, FeatureCache.open(features))
    places = arrays["place"][chosen] if by == "place" else place_blocks(coords, 10.0)
    return photos, np.unique(places, return_inverse=True)[1]


def answers_of_fold(
    source: PhotoSource, split: Split, seed: int, folder: Path
) -> tuple[dict[str, np.ndarray], Coverage | None]:
    """Points of the test photos by every way of decoding one trained model, and its coverage."""
    options = TrainingOptions(seed=seed)
    result = run_model(source, split, ModelPlan(), options, folder, replace=True, progress=False)
    model = load_model(folder)
    task = model.task
    photos = task.photos
    outputs = bundle_outputs(model.bundle, source, split.test, progress=False).arrays
    probabilities = outputs["probabilities"]
    decoder = model.classes.decoder
    known = bundle_outputs(model.bundle, source, split.train, progress=False).arrays["features"]
    rows, cosines = Gallery(known).search(outputs["features"], N_NEAREST)
    votes = np.exp((cosines - cosines[:, :1]) / 0.05)
    nearest = decoding.nearest_images(rows, len(known), votes)
    of_photos = decoding.ExpectedUtility.from_points(source.table.coords[split.train])
    answers = {"30 nearest photos, utility": of_photos.predict(nearest)}
    ends = np.cumsum(task.n_classes)
    for factor, cells, end in zip(BOTTOM_UP, task.partitions, ends, strict=False):
        of_cells = probabilities[:, end - cells.n_cells : end]
        labels = cells.assign(photos.coords, groups=photos.countries)
        alone = decoding.ExpectedUtility(cells).fit(photos.coords, labels)
        answers[f"bottom-up {factor}, mean"] = cells.centroids[of_cells.argmax(axis=1)]
        answers[f"bottom-up {factor}, utility"] = alone.predict(of_cells)
    for name, power, temperature in (
        ("partitions alone", 1.0, np.inf),
        ("likeness alone", 0.0, 0.07),
        ("pooled (the default)", task.power, task.temperature),
    ):
        task.power, task.temperature = power, temperature
        answers[name] = decoder.predict(task.predict_proba(outputs))
    return answers, result.calibration_report.coverage


def measure(path: Path, task: str, by: str, seeds: int) -> str:
    """Table of one task."""
    hits: dict[str, list[np.ndarray]] = {}
    held: list[np.ndarray] = []
    n_held = n_photos = 0
    with tempfile.TemporaryDirectory() as folder:
        source, places = load_photos(path, task, by, Path(folder))
        for seed in range(seeds):
            rng = np.random.default_rng(seed)
            fold_of_place = rng.integers(N_FOLDS, size=places.max() + 1)
            validates = rng.random(places.max() + 1) < 1 / 8
            for fold in range(N_FOLDS):
                is_test = fold_of_place[places] == fold
                is_validation = ~is_test & validates[places]
                split = Split(
                    np.flatnonzero(~is_test & ~is_validation),
                    np.flatnonzero(is_validation),
                    np.flatnonzero(is_test),
                )
                truth = source.table.coords[split.test]
                answers, radius = answers_of_fold(source, split, seed, Path(folder) / "run")
                if radius is not None:
                    n_held, n_photos = n_held + radius.n_held, n_photos + radius.n_photos
                for name, points in answers.items():
                    km = sphere.haversine(points, truth)[:, None]
                    hits.setdefault(name, []).append(100.0 * (km <= np.array(RADII_KM)))
                held.append(places[split.test])
    table = table_of({name: np.concatenate(parts) for name, parts in hits.items()}, held)
    return f"{table}\n90 % radius: covers {100 * n_held / n_photos:.1f} % of {n_photos} answers"


def table_of(hits: dict[str, np.ndarray], held: list[np.ndarray]) -> str:
    """Percent within each radius; of the last row, the gain over the best plain row."""
    place = np.unique(np.concatenate(held), return_inverse=True)[1]
    n_places = place.max() + 1
    sizes = np.bincount(place, minlength=n_places)
    draws = np.random.default_rng(0).multinomial(
        n_places, np.full(n_places, 1 / n_places), size=N_BOOTSTRAP
    )
    lines = [f"{'percent within km':26}" + "".join(f"{radius:>10}" for radius in RADII_KM)]
    for name, rows in hits.items():
        lines.append(f"{name:26}" + "".join(f"{value:10.1f}" for value in rows.mean(axis=0)))
    plain = max((n for n in hits if n.endswith("mean")), key=lambda n: hits[n].mean())
    ours = list(hits)[-1]
    gain = hits[ours] - hits[plain]
    sums = np.stack([np.bincount(place, gain[:, k], n_places) for k in range(gain.shape[1])])
    boot = (draws @ sums.T) / (draws @ sizes)[:, None]
    low, high = np.quantile(boot, (0.025, 0.975), axis=0)
    lines.append(f"{'pooled - best mean':26}" + "".join(f"{v:+10.1f}" for v in gain.mean(axis=0)))
    for name, bound in (("  from", low), ("  to", high)):
        lines.append(f"{name:26}" + "".join(f"{value:+10.1f}" for value in bound))
    return "\n".join(lines)


def main(
    photos: Path,
    *,
    tasks: tuple[Literal["W", "croatia", "sanfran"], ...] = ("W", "croatia", "sanfran"),
    by: tuple[Literal["place", "block"], ...] = ("place", "block"),
    seeds: int = 3,
) -> None:
    """Measure every way of answering on real photos.

    Parameters
    ----------
    photos : Path
        photos.npz: features, coords, place and source of real photos.
    tasks : tuple
        W (the world), croatia, sanfran.
    by : tuple
        Held out by place (one camera, street or album), or by block of 10 km.
    seeds : int
        Draws of the folds.
    """
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    for task in tasks:
        for kind in by:
            if task == "sanfran" and kind == "block":
                continue  # one city: there are too few blocks
            print(f"\n{task} by {kind}\n{measure(photos, task, kind, seeds)}", flush=True)


if __name__ == "__main__":
    sys.exit(cyclopts.run(main))
