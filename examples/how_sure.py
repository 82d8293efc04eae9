"""Which decoder is best on the demo's data, and do the radii hold what they promise?

Trains the demo's three kinds of cells on features of the frozen encoder whose weights come in a package, calibrates
each on the validation images, and prints for the test images

- every decoder of ``geocells.decoding``, with paired differences to the mean of the likeliest cell;
- the share of images within the 90 % radius, beside what chance allows, and the calibration error;
- the same share when validation and test images are parted anew at random, 100 times: a single parting is one draw.

``python examples/how_sure.py`` takes about three minutes on two cores, ``--region world`` about twelve, most of it for
the features of 20 000 images; a second call reads what is done.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from geocells import sphere
from geoloc_models.decoders import DECODER_TITLES
from geoloc_models.demo import SETTINGS, demo_source, pretrained_options, with_features
from geoloc_models.evaluation import compare, evaluate
from geoloc_models.experiment import ModelPlan, PhotoSource, decode_run, run_model, split_source
from geoloc_models.model import load_model
from geoloc_models.reports import differences_table, results_table
from geoloc_models.reports.certainty import certainty_table
from geoloc_models.reports.markdown import markdown_table

METHODS = ("top_down", "consolidated", "bottom_up")
N_PARTINGS = 100


def decoders(run_dir: Path, source: PhotoSource, rows: np.ndarray) -> str:
    """Tables of every decoder, and of the differences to the first."""
    table = source.table
    answers = decode_run(run_dir, source, rows)
    against = next(iter(answers))
    evaluations, differences = {}, {}
    for name, own in answers.items():
        truth = table.coords[own.rows], table.countries[own.rows]
        evaluations[DECODER_TITLES[name]] = evaluate(own, *truth)
        if name != against:
            differences[DECODER_TITLES[name]] = compare(own, answers[against], *truth)
    return "\n\n".join(
        markdown_table(each)
        for each in (results_table(evaluations), differences_table(differences))
    )


def parted_anew(
    run_dir: Path, source: PhotoSource, validation: np.ndarray, test: np.ndarray
) -> np.ndarray:
    """Share held by the 90 % radius where other images calibrate it: (N_PARTINGS,) float64."""
    model, table = load_model(run_dir), source.table
    rows = np.concatenate([validation, test])
    points = decode_run(run_dir, source, rows)["utility_all"]
    errors_km = sphere.haversine(points.coords, table.coords[points.rows])
    arrays = _outputs(run_dir, source, points.rows)
    probabilities = model.decode(arrays, "expected_utility").probabilities
    known = model.classes.decoder
    # The score of conformal prediction by mass: the probability no farther from the answer than the truth.
    scores = known.mass_within(probabilities, points.coords, errors_km[:, None])[:, 0]
    n = len(validation)
    rank = int(np.ceil(round((n + 1) * 0.9, 9))) - 1
    rng = np.random.default_rng(0)
    held = []
    for _ in range(N_PARTINGS):
        order = rng.permutation(len(scores))
        quantile = np.sort(scores[order[:n]])[rank]
        held.append((scores[order[n:]] <= quantile).mean())
    return np.array(held)


def _outputs(run_dir: Path, source: PhotoSource, rows: np.ndarray) -> dict[str, np.ndarray]:
    from geoloc_models.experiment import Labels, Photos
    from geoloc_models.predict import run_network

    model = load_model(run_dir)
    unknown = Labels(np.full(source.table.n_rows, -1))
    photos = Photos(source, unknown, model.task.encoder, model.bundle.options)
    model.task.encoder = photos.task_encoder
    return run_network(model.task, photos.batches(rows), progress=False).arrays


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--region", choices=sorted(SETTINGS), default="sweden-switzerland")
    parser.add_argument("--seed", type=int, default=0, help="of split and training (default 0)")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--output", type=Path, default=Path("runs/how_sure"))
    arguments = parser.parse_args()
    output = arguments.output / f"{arguments.region}-seed{arguments.seed}"

    source = demo_source(arguments.region, seed=arguments.seed)
    options = replace(
        pretrained_options(seed=arguments.seed, epochs=arguments.epochs),
        batch_size=64 if arguments.region == "sweden-switzerland" else 256,
    )
    source = with_features(source, options, output / "features.npy")
    split = split_source(source, seed=arguments.seed)
    runs = {}
    for method in METHODS:
        plan = ModelPlan("cells", method, SETTINGS[arguments.region].min_images)
        runs[plan.name] = run_model(source, split, plan, options, output / plan.name, resume=True)
        print(f"\n## {plan.name}\n\n{decoders(output / plan.name, source, split.test)}")
    print(
        f"\n## How sure\n\n{markdown_table(certainty_table({n: r.sureness for n, r in runs.items()}))}"
    )
    print(f"\nParted anew {N_PARTINGS} times, the 90 % radius holds (mean, standard deviation):")
    for name in runs:
        held = parted_anew(output / name, source, split.validation, split.test)
        print(f"- {name}: {100 * held.mean():.1f} %, {100 * held.std():.1f}")


if __name__ == "__main__":
    main()
