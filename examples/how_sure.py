"""Do the radii hold what they promise on the demo's data?

Trains the demo's three kinds of cells on features of the frozen encoder whose weights come in a package, calibrates
each on the validation images, and prints for the test images

- the share of images within the 90 % radius, beside what chance allows, and the calibration error;
- the same share when validation and test images are parted anew, 100 times, since a single parting is one draw: image
  by image, which is what the radius promises for, and by whole blocks of 10 km, which is what places that validation
  has none of may expect.

``--splits 10`` trains on ten splits and counts how often the promise holds. ``python examples/how_sure.py`` takes about
a minute on two cores, ``--region world`` about ten, most of it for the features of 20 000 images; a second call reads
what is done. How the decoders compare on these data stands in the report of ``geoloc reproduce --demo``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import cyclopts
import numpy as np

from geocells import decoding, sphere
from geoloc_models.inference import CalibrationReport, load_model
from geoloc_models.models import ModelPlan, TrainingOptions
from geoloc_models.reports import Table, calibration_table, markdown_table, model_title
from geoloc_models.tables import Split, place_blocks
from geoloc_models.training import (
    PhotoSource,
    bundle_outputs,
    demo_source,
    run_model,
    split_source,
    with_features,
)

METHODS = ("top_down", "consolidated", "bottom_up")
N_PARTINGS = 100
MIN_IMAGES = {"sweden-switzerland": 20, "world": 50}
FRACTIONS = {"sweden-switzerland": (0.8, 0.1, 0.1), "world": (0.7, 0.2, 0.1)}
"""Training, validation, test. Twice as many images to calibrate on as to test on, where there are enough: the binomial
interval knows nothing of the calibration's own chance."""


def parted_anew(
    run_dir: Path, source: PhotoSource, validation: np.ndarray, test: np.ndarray
) -> dict[str, np.ndarray]:
    """Share held by the 90 % radius where other images calibrate it: (N_PARTINGS,) float64 by way of parting."""
    model = load_model(run_dir)
    rows = np.concatenate([validation, test])
    outputs = bundle_outputs(model.bundle, source, rows, progress=False)
    decoded = model.decode(outputs.arrays, "expected_utility")
    errors_km = sphere.haversine(decoded.coords, source.table.coords[outputs.rows])
    known = model.classes.decoder
    # The score of conformal prediction by mass: the probability no farther from the answer than the truth.
    scores = known.mass_within(decoded.probabilities, decoded.coords, errors_km[:, None])[:, 0]
    units = {
        "image by image": np.arange(len(scores)),
        "by whole blocks": place_blocks(source.table.coords[outputs.rows]),
    }
    return {way: _held(scores, unit, len(validation)) for way, unit in units.items()}


def _held(scores: np.ndarray, unit: np.ndarray, n_calibration: int) -> np.ndarray:
    """Share held in each of N_PARTINGS partings that keep equal units together."""
    rng = np.random.default_rng(0)
    _, unit = np.unique(unit, return_inverse=True)
    size = np.bincount(unit)
    held = []
    for _ in range(N_PARTINGS):
        order = rng.permutation(len(size))
        calibrates = np.zeros(len(size), dtype=bool)
        calibrates[order[: np.searchsorted(np.cumsum(size[order]), n_calibration) + 1]] = True
        quantile = decoding.conformal_quantile(scores[calibrates[unit]], alpha=0.1)
        held.append((scores[~calibrates[unit]] <= quantile).mean())
    return np.array(held)


def held_by_split(reports_by_seed: dict[int, dict[str, CalibrationReport]]) -> str:
    """Share held by the 90 % radius, a row each seed; and how often that is within what chance allows."""
    names = list(next(iter(reports_by_seed.values())))
    header = ["Seed", *(model_title(name) for name in names), "binomial", "by both draws"]
    rows, alone, both, n = [], 0, 0, 0
    for seed, reports in reports_by_seed.items():
        row = [str(seed)]
        for each in reports.values():
            if each.coverage is None or each.chance is None:
                raise SystemExit("There are too few validation images for a radius.")
            low, high = each.chance
            alone += each.coverage.is_as_promised
            both += low <= each.coverage.held <= high
            n += 1
            row.append(f"{100 * each.coverage.held:.1f}")
        row.append(f"{100 * each.coverage.low:.1f} to {100 * each.coverage.high:.1f}")
        rows.append([*row, f"{100 * low:.1f} to {100 * high:.1f}"])
    return (
        f"{markdown_table(Table(header, rows))}\n\n"
        f"Within the binomial interval: {alone} of {n}. Within that of both draws: {both} of {n}."
    )


def main(
    *,
    region: Literal["sweden-switzerland", "world"] = "sweden-switzerland",
    seed: int = 0,
    splits: int = 1,
    fractions: tuple[float, float, float] | None = None,
    epochs: int = 30,
    output: Path = Path("runs/how_sure"),
) -> None:
    """Hold the radii of the demo's models against its test images.

    Parameters
    ----------
    region : {"sweden-switzerland", "world"}
        Whose places.
    seed : int
        Of split and training.
    splits : int
        Seeds to train on, from `seed` on.
    fractions : tuple of float, optional
        Training, validation, test; by default by region.
    epochs : int
        Of each model.
    output : Path
        Folder for features and runs.
    """
    folder = output / f"{region}-seed{seed}"
    options = TrainingOptions(
        encoder="efficientnet_lite0",
        weights="imagenet",
        image_size=128,
        batch_size=64 if region == "sweden-switzerland" else 256,
        learning_rate=1e-3,
        schedule="cosine",
        epochs=epochs,
        dropout=0.3,
        seed=seed,
        train_encoder="none",
    )
    source = with_features(demo_source(region, seed=seed), options, folder / "features.npy")
    plans = [ModelPlan("cells", method, MIN_IMAGES[region]) for method in METHODS]
    reports_by_seed: dict[int, dict[str, CalibrationReport]] = {}
    for split_seed in range(seed, seed + splits):
        split = split_source(source, fractions=fractions or FRACTIONS[region], seed=split_seed)
        at = folder if split_seed == seed else folder / f"split-{split_seed}"
        reports = reports_by_seed[split_seed] = {}
        for plan in plans:
            run = run_model(source, split, plan, options, at / plan.name, resume=True)
            if run.calibration_report is None:
                raise SystemExit(f"{plan.name} was not calibrated.")
            reports[plan.name] = run.calibration_report
        if split_seed == seed:
            print(report_of_split(folder, source, split, reports))
    if splits > 1:
        print(f"\n## By split\n\n{held_by_split(reports_by_seed)}")


def report_of_split(
    folder: Path, source: PhotoSource, split: Split, reports: dict[str, CalibrationReport]
) -> str:
    """Calibration and partings of the runs in a folder, as Markdown."""
    lines = [
        f"- {name}, {way}: {100 * held.mean():.1f} %, {100 * held.std():.1f}"
        for name in reports
        for way, held in parted_anew(folder / name, source, split.validation, split.test).items()
    ]
    title = f"Parted anew {N_PARTINGS} times, the 90 % radius holds (mean, deviation):"
    return "\n\n".join([markdown_table(calibration_table(reports)), title, "\n".join(lines)])


if __name__ == "__main__":
    cyclopts.run(main)
