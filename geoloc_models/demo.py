"""The main job on data that ships with packages: places, cells, models, a table, pictures."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
from PIL import Image

from geocells import sphere
from geoloc_models._files import replacing
from geoloc_models.countries import load_countries
from geoloc_models.evaluation import Evaluation, errors_km, summarise_training, write_results
from geoloc_models.features.cache import row_keys
from geoloc_models.features.embed import embed
from geoloc_models.inference.calibration_report import calibration_lines
from geoloc_models.photos.dataset import BrokenImages
from geoloc_models.photos.demo import SatelliteCrops, demo_places
from geoloc_models.photos.images import ImageSource
from geoloc_models.reports import figures, model_title, table_text
from geoloc_models.tables.photo_table import PhotoTable
from geoloc_models.tables.split import Split, largest_block
from geoloc_models.training import (
    ModelPlan,
    ModelRun,
    PhotoSource,
    TrainingOptions,
    run_model,
    split_source,
)

logger = logging.getLogger(__name__)

CROP_KM = 150.0
CROP_PIXELS = 64

MAP_FILES = {
    "cells_top_down": "cells_map_top_down.png",
    "cells_consolidated": "cells_map.png",
    "cells_bottom_up_pretrained": "cells_map_bottom_up.png",
}
ZOOMS = {
    "sweden-switzerland": (
        figures.MapPanel("Zurich", (47.29, 8.42, 47.47, 8.70)),
        figures.MapPanel("Stockholm", (59.16, 17.72, 59.53, 18.45)),
    )
}

STAND_IN = (
    "The images here are satellite crops (NASA Blue Marble) around real photo coordinates: they\n"
    "stand in for photos, which cannot be shipped. Every command takes your own photos: see\n"
    "geoloc train --help."
)


@dataclass(frozen=True)
class DemoSettings:
    """What differs between the regions.

    Parameters
    ----------
    region : str
        A region of :func:`geoloc_models.photos.demo.demo_places`.
    epochs : int
        Of each model.
    min_images : int
        Training images that a cell needs.
    duration : str
        How long it takes on two cores, for the reader.
    """

    region: str
    epochs: int
    min_images: int
    duration: str


SETTINGS = {
    "sweden-switzerland": DemoSettings("sweden-switzerland", 12, 20, "four to five minutes"),
    "world": DemoSettings("world", 8, 50, "about half an hour"),
}


@dataclass(frozen=True)
class DemoResult:
    """What the demo made.

    Parameters
    ----------
    table : str
        The paper's Table 1 for the demo's models.
    runs : dict of str to ModelRun
        By model name.
    files : list of Path
        Pictures and results, in the order to look at them.
    broken : BrokenImages
        Images that could not be read.
    """

    table: str
    runs: dict[str, ModelRun]
    files: list[Path]
    broken: BrokenImages


class _KeptImages:
    """Images kept in memory once they have been cut; 64 x 64 pixels are 12 kB each."""

    def __init__(self, images: ImageSource) -> None:
        self._images = images
        self._kept: dict[int, Image.Image] = {}

    def __len__(self) -> int:
        return len(self._images)

    def load(self, row: int) -> Image.Image:
        """Image of a row."""
        if row not in self._kept:
            self._kept[row] = self._images.load(row)
        return self._kept[row]

    def describe(self, row: int) -> str:
        """Name of a row's image."""
        return self._images.describe(row)


def demo_source(region: str, *, seed: int = 0) -> PhotoSource:
    """Places and satellite crops of a region."""
    table = demo_places(region, seed=seed)
    images = SatelliteCrops(table.coords, width_km=CROP_KM, size=CROP_PIXELS)
    return PhotoSource(
        table,
        _KeptImages(images),
        {"kind": "demo", "region": region, "seed": seed},
    )


def run_demo(
    output: str | Path,
    *,
    region: str = "sweden-switzerland",
    seed: int = 0,
    epochs: int | None = None,
    min_images: int | None = None,
    resume: bool = False,
    say: Callable[[str], None] = logger.info,
    progress: bool = True,
) -> DemoResult:
    """Run the main job on the demo's data.

    Parameters
    ----------
    output : str or Path
        Folder for results, pictures and a run folder per model. What an earlier demo left there
        is replaced, unless ``resume``.
    region : {"sweden-switzerland", "world"}
        Where the places lie.
    seed : int, default 0
        Of the split, the weights and the order of images.
    epochs, min_images : int, optional
        Instead of the region's own.
    resume : bool, default False
        Go on with an interrupted demo; finished models are kept.
    say : callable
        Is given lines for the reader.
    progress : bool, default True
        Show progress bars.

    Returns
    -------
    DemoResult
    """
    output = Path(output)
    source = demo_source(region, seed=seed)  # knows the regions, and says so
    settings = SETTINGS[region]
    table = source.table
    split = split_source(source, seed=seed)
    n_images = settings.min_images if min_images is None else min_images
    plans = (  # checked before anything is trained
        ModelPlan("country"),
        ModelPlan("cells", "top_down", n_images),
        ModelPlan("cells", "consolidated", n_images),
    )
    options = TrainingOptions(
        encoder="tiny",
        image_size=CROP_PIXELS,
        batch_size=32 if region == "sweden-switzerland" else 64,
        learning_rate=1e-3,
        schedule="cosine",  # at a constant rate, losses of single epochs leap up
        epochs=settings.epochs if epochs is None else epochs,
        seed=seed,
        augment="crop",
    )
    say(STAND_IN)
    say(
        f"{table.n_rows} places ({_shares(table)}): {len(split.train)} to train, "
        f"{len(split.validation)} to validate and {len(split.test)} to test; takes "
        f"{settings.duration} on two cores."
    )
    pretrained = pretrained_options(seed=seed, epochs=epochs)
    work = [(source, plan, options) for plan in plans]
    started = time.perf_counter()
    features = with_features(source, pretrained, output / "features.npy", progress=progress)
    work += [(features, plan, pretrained) for plan in _pretrained_plans(n_images)]
    runs: dict[str, ModelRun] = {}
    for photos, plan, how in work:
        run = run_model(
            photos,
            split,
            plan,
            how,
            output / plan.name,
            resume=resume,
            replace=not resume,
            progress=progress,
        )
        runs[plan.name] = run
        if run.cells is not None:
            counts = run.cells.counts
            say(
                f"{model_title(plan.name)}: {run.cells.n_cells} cells of {counts.min()} to "
                f"{counts.max()} training images."
            )
    say(f"Trained and tested in {time.perf_counter() - started:.0f} s.")
    evaluations = {name: run.evaluation for name, run in runs.items()}
    reference = next(iter(runs.values())).reference
    broken = BrokenImages()
    for run in runs.values():
        broken.extend(run.broken)
    broken.write_csv(output / "skipped.csv")
    text = "\n".join(
        [
            table_text(evaluations, reference),
            "",
            *(
                f"{model_title(name)}. {line}"
                for name, run in runs.items()
                if run.calibration_report is not None
                for line in calibration_lines(run.calibration_report)[:1]
            ),
            "Blocks of 10 km are trained on whole or not at all; the fullest has "
            f"{largest_block(source.table.coords[split.test])} of the {len(split.test)} test "
            "photos. For photos of places without validation photos the radius may hold less.",
        ]
    )
    with replacing(output / "table.txt") as partial:
        partial.write_text(text + "\n", encoding="utf-8")
    write_results(output / "results.json", evaluations, reference)
    pictures = _draw(output, source, split, runs, evaluations, region)
    return DemoResult(
        text, runs, [*pictures, output / "table.txt", output / "results.json"], broken
    )


def _pretrained_plans(min_images: int) -> tuple[ModelPlan, ...]:
    """Cells on the features of a frozen encoder that has seen ImageNet."""
    return tuple(
        ModelPlan("cells", method, min_images, label=f"cells_{method}_pretrained")
        for method in ("consolidated", "bottom_up")
    )


def pretrained_options(*, seed: int = 0, epochs: int | None = None) -> TrainingOptions:
    """How a head is trained on features of the encoder whose weights come in a package."""
    return TrainingOptions(
        encoder="efficientnet_lite0",
        weights="imagenet",
        image_size=128,
        batch_size=64,
        learning_rate=1e-3,
        schedule="cosine",
        epochs=30 if epochs is None else epochs,
        dropout=0.3,
        seed=seed,
        train_encoder="none",
    )


def with_features(
    source: PhotoSource, options: TrainingOptions, path: Path, *, progress: bool = True
) -> PhotoSource:
    """Give a source the features of the frozen encoder of some options, computed once."""
    encoder = options.build_encoder()
    record = embed(
        source.images, row_keys(source.table), encoder, path, resume=True, progress=progress
    )
    return replace(source, features=record.cache)


def _shares(table: PhotoTable) -> str:
    """Say how many places each country has, or how many countries there are."""
    names, counts = np.unique(table.countries.astype(str), return_counts=True)
    if len(names) > 4:
        return f"{len(names)} countries"
    full = load_countries()["name"]
    return ", ".join(
        f"{count} in {full.get(name, name)}" for name, count in zip(names, counts, strict=True)
    )


def _draw(
    output: Path,
    source: PhotoSource,
    split: Split,
    runs: Mapping[str, ModelRun],
    evaluations: Mapping[str, Evaluation],
    region: str,
) -> list[Path]:
    """All pictures of the demo."""
    table, countries = source.table, load_countries()
    panels = (
        [figures.WORLD_PANEL]
        if region == "world"
        else figures.panels_of_countries(countries, sorted(set(table.countries)))
    )
    drawn: list[tuple[str, Any]] = []
    for name, run in runs.items():
        if name in MAP_FILES and run.cells is not None:
            drawn.append(
                (
                    MAP_FILES[name],
                    figures.map_of_cells(
                        run.cells,
                        table.coords[split.train],
                        countries,
                        panels,
                        title=f"{model_title(name)}: {run.cells.n_cells} cells of "
                        f"{len(split.train)} training images",
                        zooms=ZOOMS.get(region, ()),
                    ),
                )
            )
    distances = {
        name: errors_km(run.predictions, table.coords[run.predictions.rows])
        for name, run in runs.items()
    }
    rows = next(iter(runs.values())).predictions.rows
    centre = summarise_training(table.coords[split.train], table.countries[split.train]).centre
    drawn.append(
        (
            "errors.png",
            figures.error_curves(
                distances,
                centre_km=sphere.haversine(np.tile(centre, (len(rows), 1)), table.coords[rows]),
            ),
        )
    )
    best = min(evaluations, key=lambda name: evaluations[name].median_km.value)
    drawn.append(
        (
            "examples.png",
            figures.example_sheet(
                {"": _examples(runs[best], source, countries)},
                title=f"{model_title(best)}: test images (satellite crops, {CROP_KM:g} km wide), "
                "from the best guess to the worst",
            ),
        )
    )
    drawn.append(
        ("training.png", figures.training_curves({n: run.history for n, run in runs.items()}))
    )
    for file_name, figure in drawn:
        figures.save_figure(figure, output / file_name)
    return [output / file_name for file_name, _ in drawn]


def _examples(
    run: ModelRun, source: PhotoSource, countries: gpd.GeoDataFrame, *, n_examples: int = 18
) -> list[figures.Example]:
    """Test images at even steps from the best guess to the worst."""
    predictions = run.predictions
    distances = errors_km(predictions, source.table.coords[predictions.rows])
    order = np.argsort(distances, kind="stable")
    names = countries["name"]
    chosen = order[np.unique(np.linspace(0, len(order) - 1, n_examples).round().astype(np.int64))]
    examples = []
    for position in chosen:
        row = int(predictions.rows[position])
        truth, guess = source.table.countries[row], predictions.countries[position]
        examples.append(
            figures.Example(
                np.asarray(source.images.load(row)),
                str(names.get(truth, truth)),
                str(names.get(guess, guess)),
                float(distances[position]),
            )
        )
    return examples
