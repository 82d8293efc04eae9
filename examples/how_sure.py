"""Which decoder is best on the demo's data, and do the radii hold what they promise?

Trains the demo's three kinds of cells on features of the frozen encoder whose weights come in a package, calibrates
each on the validation images, and prints for the test images

- every decoder of ``geocells.decoding``, with paired differences to the mean of the likeliest cell;
- the share of images within the 90 % radius, beside what chance allows, and the calibration error;
- the same share when validation and test images are parted anew, 100 times, since a single parting is one draw: image
  by image, which is what the radius promises for, and by whole blocks of 10 km, which is what places that validation
  has none of may expect.

``--splits 10`` trains on ten splits and counts how often the promise holds. ``python examples/how_sure.py`` takes about
a minute on two cores, ``--region world`` about ten, most of it for the features of 20 000 images; a second call reads
what is done.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from geocells import decoding, sphere
from geoloc_models.inference.calibration_report import CalibrationReport
from geoloc_models.inference.decoders import judge_decoders
from geoloc_models.inference.model import load_model
from geoloc_models.models import ModelPlan, TrainingOptions
from geoloc_models.reports import (
    Table,
    calibration_table,
    differences_table,
    markdown_table,
    model_title,
    results_table,
)
from geoloc_models.tables.split import Split, place_blocks
from geoloc_models.training import (
    PhotoSource,
    bundle_outputs,
    decode_run,
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


def decoders(run_dir: Path, source: PhotoSource, rows: np.ndarray) -> str:
    """Tables of every decoder, and of the differences to the first."""
    table = source.table
    answers = decode_run(run_dir, source, rows)
    judged = judge_decoders(answers, table.coords, table.countries).titled()
    return "\n\n".join(
        markdown_table(each)
        for each in (results_table(judged.evaluations), differences_table(judged.differences))
    )


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


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--region", choices=sorted(MIN_IMAGES), default="sweden-switzerland")
    parser.add_argument("--seed", type=int, default=0, help="of split and training (default 0)")
    parser.add_argument("--splits", type=int, default=1, help="seeds of the split, from --seed on")
    parser.add_argument(
        "--fractions", type=float, nargs=3, help="training, validation, test (default by region)"
    )
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--output", type=Path, default=Path("runs/how_sure"))
    arguments = parser.parse_args()
    output = arguments.output / f"{arguments.region}-seed{arguments.seed}"
    fractions = tuple(arguments.fractions or FRACTIONS[arguments.region])

    source = demo_source(arguments.region, seed=arguments.seed)
    options = TrainingOptions(
        encoder="efficientnet_lite0",
        weights="imagenet",
        image_size=128,
        batch_size=64 if arguments.region == "sweden-switzerland" else 256,
        learning_rate=1e-3,
        schedule="cosine",
        epochs=arguments.epochs,
        dropout=0.3,
        seed=arguments.seed,
        train_encoder="none",
    )
    source = with_features(source, options, output / "features.npy")
    plans = [ModelPlan("cells", method, MIN_IMAGES[arguments.region]) for method in METHODS]

    def train(seed: int, folder: Path) -> tuple[Split, dict[str, CalibrationReport]]:
        split = split_source(source, fractions=fractions, seed=seed)
        reports = {}
        for plan in plans:
            run = run_model(source, split, plan, options, folder / plan.name, resume=True)
            if run.calibration_report is None:
                raise SystemExit(f"{plan.name} was not calibrated.")
            reports[plan.name] = run.calibration_report
        return split, reports

    split, reports = train(arguments.seed, output)
    for name in reports:
        print(f"\n## {name}\n\n{decoders(output / name, source, split.test)}")
    print(f"\n## How sure\n\n{markdown_table(calibration_table(reports))}")
    print(f"\nParted anew {N_PARTINGS} times, the 90 % radius holds (mean, standard deviation):")
    for name in reports:
        anew = parted_anew(output / name, source, split.validation, split.test)
        for way, held in anew.items():
            print(f"- {name}, {way}: {100 * held.mean():.1f} %, {100 * held.std():.1f}")
    reports_by_seed = {arguments.seed: reports}
    for seed in range(arguments.seed + 1, arguments.seed + arguments.splits):
        reports_by_seed[seed] = train(seed, output / f"split-{seed}")[1]
    if len(reports_by_seed) > 1:
        print(f"\n## By split\n\n{held_by_split(reports_by_seed)}")


if __name__ == "__main__":
    main()
