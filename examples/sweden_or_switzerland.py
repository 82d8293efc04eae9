"""Sweden or Switzerland? The whole job on data that comes with packages, in three and a half minutes on two cores.

Places and satellite crops, cells made in three ways, six models trained and tested, the paper's Table 1 and pictures.
The crops (NASA Blue Marble) around real photo coordinates stand in for photos, which cannot be shipped;
``geoloc train`` takes your own, with the same calls. ``make demo`` and ``geoloc demo`` run this file.

``python examples/sweden_or_switzerland.py --region world`` takes 20 000 places of the world, and half an hour.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any, Literal

import cyclopts
import numpy as np
from cyclopts.types import NonNegativeInt

from geocells import sphere
from geoloc_models.countries import load_countries
from geoloc_models.evaluation import (
    Evaluation,
    errors_km,
    nearest_km,
    summarise_training,
    write_results,
)
from geoloc_models.models import ModelPlan, TrainingOptions
from geoloc_models.reports import figures, model_title, table_text
from geoloc_models.tables import PhotoTable, Split, largest_block
from geoloc_models.training import (
    ModelRun,
    PhotoSource,
    demo_source,
    run_model,
    split_source,
    with_features,
)

STAND_IN = """\
The images here are satellite crops (NASA Blue Marble) around real photo coordinates: they
stand in for photos, which cannot be shipped. Every command takes your own photos: see
geoloc train --help."""

# Epochs of each model, training images that a cell needs, images a step, and how long it takes.
REGIONS: dict[str, tuple[int, int, int, str]] = {
    "sweden-switzerland": (12, 20, 32, "about four minutes"),
    "world": (8, 50, 64, "about half an hour"),
}
MAPS = {
    "cells_top_down": "Top-down",
    "cells_consolidated": "Consolidated",
    "cells_bottom_up_pretrained": "Bottom-up",
}
N_EXAMPLES = 12
ZOOMS = [figures.MapPanel("Stockholm", (58.7, 17.2, 60.1, 18.8))]


def demo(
    *,
    region: Literal["sweden-switzerland", "world"] = "sweden-switzerland",
    output: Annotated[Path, cyclopts.Parameter(alias="-o")] = Path("runs/demo"),
    seed: NonNegativeInt = 0,
    epochs: int | None = None,
    min_images: int | None = None,
    resume: bool = False,
) -> None:
    """Run everything on example data: cells, models, results.

    Satellite crops stand in for photos, which cannot be shipped; `geoloc train` takes your own.

    Parameters
    ----------
    region : {"sweden-switzerland", "world"}
        Two countries and 2 000 places (about four minutes on two cores), or the world and 20 000
        places (about half an hour).
    output : Path
        Folder for results, pictures and models; an earlier demo in it is replaced, unless resumed.
    seed : int
        Seed of the split, the weights and the order of images.
    epochs : int, optional
        Epochs of each model. Default: the region's.
    min_images : int, optional
        Training images per cell. Default: the region's.
    resume : bool
        Continue an interrupted demo; finished models are kept.
    """
    region_epochs, region_images, batch_size, duration = REGIONS[region]
    n_images = region_images if min_images is None else min_images
    source = demo_source(region, seed=seed)
    split = split_source(source, seed=seed)
    small_network = TrainingOptions(  # learns from the crops alone, starting from random numbers
        encoder="tiny",
        image_size=64,
        batch_size=batch_size,
        learning_rate=1e-3,
        schedule="cosine",  # at a constant rate, losses of single epochs leap up
        epochs=region_epochs if epochs is None else epochs,
        seed=seed,
        augment="crop",
    )
    pretrained = TrainingOptions(  # a head on an encoder that has seen ImageNet, and stays frozen
        encoder="efficientnet_lite0", weights="imagenet", image_size=128, epochs=epochs, seed=seed
    )
    plans = [
        ModelPlan("country"),
        ModelPlan("cells", "top_down", n_images),
        ModelPlan("cells", "consolidated", n_images),
    ]
    pretrained_plans = [
        ModelPlan("cells", "consolidated", n_images, label="cells_consolidated_pretrained"),
        ModelPlan("cells", "bottom_up", n_images, label="cells_bottom_up_pretrained"),
        ModelPlan(min_images=n_images, label="pooled_pretrained"),  # the default of geoloc train
    ]
    print(STAND_IN)
    print(
        f"{source.table.n_rows} places ({shares_of_countries(source.table)}): "
        f"{len(split.train)} to train, {len(split.validation)} to validate and {len(split.test)} "
        f"to test; takes {duration} on two cores."
    )

    started = time.perf_counter()
    features = with_features(source, pretrained, output / "features.npy")
    runs: dict[str, ModelRun] = {}
    for photos, options, plan in [
        *((source, small_network, plan) for plan in plans),
        *((features, pretrained, plan) for plan in pretrained_plans),
    ]:
        folder = output / plan.name
        run = run_model(photos, split, plan, options, folder, resume=resume, replace=not resume)
        runs[plan.name] = run
        if run.cells is not None:
            counts = run.cells.counts
            print(
                f"{model_title(plan.name)}: {run.cells.n_cells} cells of {counts.min()} to "
                f"{counts.max()} training images."
            )
    print(f"Trained and tested in {time.perf_counter() - started:.0f} s.")

    text = results_text(runs, source.table, split)
    (output / "table.txt").write_text(text + "\n", encoding="utf-8")
    write_results(output / "results.json", evaluations_of(runs), runs["country"].reference)
    pictures = draw(source, split, runs, region)
    for name, figure in pictures.items():
        for suffix in (".png", ".pdf"):
            figures.save_figure(figure, output / f"{name}{suffix}")
    store_examples(source, split, [output / name / "bundle" for name in runs])
    broken = runs["country"].broken
    for run in runs.values():
        broken.extend(run.broken)
    broken.write_csv(output / "skipped.csv")

    print("\n" + text)
    if len(broken):
        print(f"\n{len(broken)} broken images were skipped; see {output / 'skipped.csv'}.")
    print("\nPictures (as PDF too) and results:")
    for name in [*(f"{name}.png" for name in pictures), "table.txt", "results.json"]:
        print(f"  {output / name}")
    print(f"\nAsk a model in a browser:\n  geoloc serve -m {output / 'pooled_pretrained'}")


def store_examples(source: PhotoSource, split: Split, bundles: list[Path]) -> None:
    """Eight test images in each bundle: `geoloc serve` offers them to click on."""
    for row in split.test[np.linspace(0, len(split.test) - 1, 8).astype(np.int64)].tolist():
        for bundle in bundles:
            (bundle / "examples").mkdir(exist_ok=True)
            source.images.load(row).save(bundle / "examples" / f"{row}.png")


def shares_of_countries(table: PhotoTable) -> str:
    """How many places each country has, or how many countries there are."""
    codes, counts = np.unique(table.countries.astype(str), return_counts=True)
    if len(codes) > 4:
        return f"{len(codes)} countries"
    names = load_countries()["name"]
    return ", ".join(
        f"{n} in {names.get(code, code)}" for code, n in zip(codes, counts, strict=True)
    )


def evaluations_of(runs: dict[str, ModelRun]) -> dict[str, Evaluation]:
    """Of each model's answers, and of its plain ones under them."""
    return {name: each for run in runs.values() for name, each in run.evaluations.items()}


def results_text(runs: dict[str, ModelRun], table: PhotoTable, split: Split) -> str:
    """Table 1, and how sure each model is."""
    calibration = {name: run.calibration_report for name, run in runs.items()}
    return (
        f"{table_text(evaluations_of(runs), runs['country'].reference, calibration)}\n"
        "Blocks of 10 km are trained on whole or not at all; the fullest has "
        f"{largest_block(table.coords[split.test])} of the\n{len(split.test)} test "
        "photos. Far from all validation photos the radius may cover less."
    )


def draw(
    source: PhotoSource, split: Split, runs: dict[str, ModelRun], region: str
) -> dict[str, Any]:
    """All pictures, by name."""
    table, countries = source.table, load_countries()
    training_coords = table.coords[split.train]
    is_world = region == "world"
    panels = (
        [figures.WORLD_PANEL]
        if is_world
        else figures.panels_of_countries(countries, sorted(set(table.countries), reverse=True))
    )
    partitions = {
        f"{title}: {cells.n_cells} cells": cells
        for name, title in MAPS.items()
        if (cells := runs[name].cells) is not None
    }
    pictures = {
        "cells_map": figures.map_of_cells(
            partitions, training_coords, countries, panels, zooms=() if is_world else ZOOMS
        )
    }
    distances_km = {
        name: errors_km(run.predictions, table.coords[run.predictions.rows])
        for name, run in runs.items()
    }
    tested = table.coords[runs["country"].predictions.rows]
    centre = summarise_training(training_coords, table.countries[split.train]).centre
    pictures["errors"] = figures.error_curves(
        distances_km, centre_km=sphere.haversine(np.tile(centre, (len(tested), 1)), tested)
    )
    best = min(runs, key=lambda name: runs[name].evaluation.median_km.value)
    # Of each twelfth of the images, by their error, the one that lies farthest from those before it.
    shown: list[int] = []
    order = np.argsort(distances_km[best], kind="stable")
    for step in np.array_split(order, min(N_EXAMPLES, len(order))):
        apart = nearest_km(tested[step], tested[shown]) if shown else distances_km[best][step]
        shown.append(step[apart.argmax()])
    examples = figures.examples_of(
        runs[best].predictions.take(shown),
        table.coords,
        table.countries,
        source.images,
        countries["name"].to_dict(),
    )
    pictures["examples"] = figures.example_sheet(
        {"": examples},
        title=f"{model_title(best)}: test crops, 150 km wide, in order of error",
    )
    pictures["training"] = figures.training_curves(
        {name: run.history for name, run in runs.items()}
    )
    return pictures


if __name__ == "__main__":
    cyclopts.run(demo)
