"""The report of a reproduction: tables, ablations, figures, in Markdown and HTML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from geoloc_models._errors import GeolocError
from geoloc_models._files import write_json
from geoloc_models.countries import load_countries
from geoloc_models.evaluation import (
    Predictions,
    compare,
    errors_km,
    nearest_km,
    over_seeds,
    results_content,
)
from geoloc_models.features.cache import row_keys
from geoloc_models.inference.calibration_report import CalibrationReport
from geoloc_models.inference.decoders import JudgedDecoders, judge_decoders
from geoloc_models.reports import (
    CALIBRATION_NOTE,
    PAPER_NOTE,
    Section,
    calibration_table,
    comparison_table,
    differences_table,
    figures,
    markdown_table,
    model_title,
    results_table,
    table_note,
    write_report,
)
from geoloc_models.reproduce.settings import Comparison, ReproduceSettings
from geoloc_models.tables.split import Split, largest_block, place_blocks
from geoloc_models.training import ModelRun, PhotoSource

_N_EXAMPLES = 12
_N_TSNE = 2000


@dataclass(frozen=True)
class Material:
    """All results that a report tells of.

    Parameters
    ----------
    source : PhotoSource
        With features.
    split : Split
        One for all models.
    settings : ReproduceSettings
        What was trained.
    table : dict of str to list of ModelRun
        Models of Table 1, a run for each seed.
    ablations : dict of str to ModelRun
        Other models, by name.
    comparisons : list of Comparison
        Which are to be held against each other.
    sizes : dict of int to dict of str to ModelRun
        By training images, then by model.
    augmentations : dict of str to ModelRun
        Runs on pixels.
    decoded : dict of str to dict of str to Predictions
        By model, then by decoder: the first is what the others are held against.
    remarks : str
        Markdown: what the photos can and cannot show.
    """

    source: PhotoSource
    split: Split
    settings: ReproduceSettings
    table: Mapping[str, list[ModelRun]]
    ablations: Mapping[str, ModelRun]
    comparisons: list[Comparison]
    sizes: Mapping[int, Mapping[str, ModelRun]]
    augmentations: Mapping[str, ModelRun]
    decoded: Mapping[str, Mapping[str, Predictions]]
    remarks: str

    def run(self, name: str) -> ModelRun:
        """First run of a model of the table, or of an ablation."""
        return self.table[name][0] if name in self.table else self.ablations[name]


def write_reproduction(folder: Path, output: Path, material: Material) -> None:
    """Draw the figures into ``folder`` and write ``report.md`` and ``report.html`` to ``output``."""
    pictures = _draw(folder, material)
    table = material.source.table
    judged = {
        model: judge_decoders(answers, table.coords, table.countries)
        for model, answers in material.decoded.items()
    }
    sections = [
        _about(material),
        *_table_1(material),
        *_decoders(judged),
        _certainty(material, pictures),
        *_ablations(material),
        _sizes(material, pictures),
        _augmentation(material, pictures),
        _cells(material, pictures),
        _features(pictures),
        _errors(material, pictures),
    ]
    write_json(output / "results.json", _results(material, judged))
    write_report(output, "Sweden or Switzerland, reproduced", sections)


def _results(material: Material, judged: Mapping[str, JudgedDecoders]) -> dict[str, Any]:
    first = {name: runs[0].evaluation for name, runs in material.table.items()}
    others = {name: run.evaluation for name, run in material.ablations.items()}
    reference = next(iter(material.table.values()))[0].reference
    return {
        **results_content({**first, **others}, reference),
        "seeds": {
            name: [run.evaluation.to_dict() for run in runs]
            for name, runs in material.table.items()
        },
        "sizes": {
            str(size): {name: run.evaluation.to_dict() for name, run in runs.items()}
            for size, runs in material.sizes.items()
        },
        "augmentation": {
            name: run.evaluation.to_dict() for name, run in material.augmentations.items()
        },
        "decoders": {
            model: {name: found.to_dict() for name, found in own.evaluations.items()}
            for model, own in judged.items()
        },
        "calibration_reports": {
            name: found.to_dict() for name, found in _calibration_reports(material).items() if found
        },
    }


def _about(material: Material) -> Section:
    table, split, training = (
        material.source.table,
        material.split,
        material.settings.training,
    )
    names, counts = np.unique(table.countries.astype(str), return_counts=True)
    full = load_countries()["name"]
    order = np.argsort(-counts, kind="stable")[:10]
    shares = ", ".join(f"{counts[k]} in {full.get(names[k], names[k])}" for k in order)
    more = f" and {len(names) - 10} more countries" if len(names) > 10 else ""
    text = f"""
{table.n_rows} photos: {shares}{more}. {len(split.train)} to train, {len(split.validation)} to validate,
{len(split.test)} to test; one test set for every model, seed and size.

Every model of the tables is a head on features of the frozen encoder `{training.encoder}` at
{training.image_size} pixels, trained for {training.epochs} epochs with Adam at {training.learning_rate:g}; the epoch
with the lowest validation loss is tested. Cells hold {material.settings.min_images} training images at least.

{material.remarks}
"""
    return Section("What was done", text)


def _table_1(material: Material) -> list[Section]:
    evaluations = {name: runs[0].evaluation for name, runs in material.table.items()}
    seeds = {
        name: over_seeds([run.evaluation for run in runs]) for name, runs in material.table.items()
    }
    reference = next(iter(material.table.values()))[0].reference
    sections = [
        Section(
            "Table 1: all models", table_note(evaluations), results_table(evaluations, reference)
        ),
        Section(
            "Beside the paper's figures",
            PAPER_NOTE,
            comparison_table(evaluations),
            level=2,
        ),
    ]
    if material.settings.seeds > 1:
        sections.append(
            Section(
                "Several seeds",
                f"Means over {material.settings.seeds} seeds of weights and order, with t-intervals: how far "
                "another run of the training moves the figures on the same test images.",
                results_table(seeds),
                level=2,
            )
        )
    return sections


def _decoders(judged: Mapping[str, JudgedDecoders]) -> list[Section]:
    sections = [
        Section(
            "Decoders: from probabilities to a point",
            "The same networks, their probabilities at the calibrated temperature, made into points "
            "in other ways. Differences are paired with the first row and have bootstrap 95 % "
            "intervals over the test images; a star marks those that leave out 0. The tables above "
            "are of the models' own answers, as in the paper.",
        )
    ]
    for model, found in judged.items():
        own = found.titled()
        sections.append(
            Section(
                model_title(model),
                f"{markdown_table(results_table(own.evaluations))}\n\nAgainst {own.against}:",
                differences_table(own.differences),
                level=2,
            )
        )
    return sections


def _certainty(material: Material, pictures: Mapping[str, Path]) -> Section:
    return Section(
        "How sure, and whether rightly",
        f"{CALIBRATION_NOTE} {_crowded(material)}",
        calibration_table(_calibration_reports(material)),
        figures=[
            (
                pictures["reliability"],
                "How often the photo is within 25 km of the answer, against the probability given.",
            )
        ],
    )


def _crowded(material: Material) -> str:
    """What the test images share with the validation images, and with each other."""
    coords, split = material.source.table.coords, material.split
    known = np.isin(place_blocks(coords[split.test]), place_blocks(coords[split.validation]))
    return (
        f"Of the {len(split.test)} test images {known.sum()} lie in a block of 10 km that has "
        "validation images too, and the fullest block has "
        f"{largest_block(coords[split.test])} of them. For images of blocks that have no "
        "validation images the promise is less sure: a model that is wrong about a block in one "
        "way is wrong about all images of it."
    )


def _calibration_reports(material: Material) -> dict[str, CalibrationReport | None]:
    return {name: runs[0].calibration_report for name, runs in material.table.items()}


def _ablations(material: Material) -> list[Section]:
    table = material.source.table
    sections = [
        Section(
            "Ablations",
            "Each model differs from the first one named in one thing. Differences are paired: on the same "
            "test images, in percentage points (the median in kilometres), with bootstrap 95 % intervals; a "
            "star marks those that leave out 0.",
        )
    ]
    for comparison in material.comparisons:
        base = material.run(comparison.names[0])
        differences = {}
        for name in comparison.names[1:]:
            left, right = _on_the_same_rows(material.run(name).predictions, base.predictions)
            truth = table.coords[left.rows], table.countries[left.rows]
            against = f"{model_title(name)} - {model_title(comparison.names[0])}"
            differences[against] = compare(left, right, *truth)
        evaluations = {name: material.run(name).evaluation for name in comparison.names}
        text = f"{comparison.remark}\n\n{markdown_table(results_table(evaluations))}"
        sections.append(Section(comparison.title, text, differences_table(differences), level=2))
    return sections


def _on_the_same_rows(left: Predictions, right: Predictions) -> tuple[Predictions, Predictions]:
    """Predictions of the images that both could read."""
    _, own, other = np.intersect1d(left.rows, right.rows, return_indices=True)
    return left.take(own), right.take(other)


def _sizes(material: Material, pictures: Mapping[str, Path]) -> Section:
    return Section(
        "Figure 8: size of the training set",
        "Nested subsets of the training part; the same validation and test images. Cells are made "
        "anew from each subset, with the same number of images a cell: few images make few, large "
        "cells.",
        figures=[(pictures["sizes"], "Accuracy against the number of training images.")],
    )


def _augmentation(material: Material, pictures: Mapping[str, Path]) -> Section:
    options = material.settings.augmentation
    evaluations = {name: run.evaluation for name, run in material.augmentations.items()}
    return Section(
        "Figure 9: augmentation",
        f"Cached features cannot be varied, so these models see pixels: `{options.encoder}` trained "
        f"end to end for {options.epochs} epochs on {options.image_size} x {options.image_size} "
        "images, consolidated cells.",
        table=results_table(evaluations),
        figures=[(pictures["augmentation"], "Losses and accuracies by epoch.")],
    )


def _cells(material: Material, pictures: Mapping[str, Path]) -> Section:
    lines = ["| Cells | number | training images, least to most |", "|---|---:|---:|"]
    for name in ("cells_top_down", "cells_consolidated", "cells_bottom_up"):
        cells = material.table[name][0].cells
        if cells is not None:
            lines.append(
                f"| {model_title(name)} | {cells.n_cells} | {cells.counts.min()} to "
                f"{cells.counts.max()} |"
            )
    return Section(
        "Figures 1 and 4: photos and cells on the map",
        "\n".join(lines),
        figures=[
            (pictures["photos"], "The photos (Figure 1 of the paper)."),
            (pictures["cells_top_down"], "Cells made top-down (Figure 4)."),
            (pictures["cells_bottom_up"], "Cells made bottom-up, ranked by image features."),
        ],
    )


def _features(pictures: Mapping[str, Path]) -> Section:
    return Section(
        "Figure 6: features by country",
        "t-SNE of the frozen encoder's features, test and training images alike.",
        figures=[(pictures["tsne"], "Each dot is an image, its colour the country.")],
    )


def _errors(material: Material, pictures: Mapping[str, Path]) -> Section:
    best = _best(material)
    return Section(
        "Figure 7 and errors",
        f"Examples, confusion and distances of the model with the lowest median error, "
        f"{model_title(best)}.",
        figures=[
            (pictures["examples"], "Images in the right and in the wrong country, or far off."),
            (pictures["confusion"], "Countries: rows are the truth."),
            (pictures["errors"], "Share of test images within each distance, by model."),
            (pictures["density"], "Error against the distance to the nearest training image."),
            (pictures["training"], "Training curves of the models of Table 1."),
        ],
    )


def _best(material: Material) -> str:
    """Name of the model with the lowest median error."""
    medians = {name: runs[0].evaluation.median_km.value for name, runs in material.table.items()}
    return min(medians, key=lambda name: medians[name])


def _draw(folder: Path, material: Material) -> dict[str, Path]:
    """All pictures, by name."""
    source, split = material.source, material.split
    table = source.table
    polygons = load_countries()
    names = sorted(set(table.countries.tolist()))
    panels = (
        figures.panels_of_countries(polygons, names) if len(names) <= 4 else [figures.WORLD_PANEL]
    )
    drawn: dict[str, Any] = {
        "photos": figures.map_of_photos(table.coords, table.countries, polygons, panels),
    }
    for name in ("cells_top_down", "cells_bottom_up"):
        cells = material.table[name][0].cells
        if cells is not None:
            drawn[name] = figures.map_of_cells(
                cells,
                table.coords[split.train],
                polygons,
                panels,
                title=f"{model_title(name)}: {cells.n_cells} cells of {len(split.train)} training images",
            )
    full = polygons["name"].to_dict()
    drawn["tsne"] = figures.tsne_of_features(*_features_of(source), names=full)
    best = _best(material)
    predictions = material.table[best][0].predictions
    truth, true_countries = table.coords[predictions.rows], table.countries[predictions.rows]
    is_right = true_countries == predictions.countries
    drawn["examples"] = figures.example_sheet(
        {
            name: _examples(predictions, _drawn(positions), source, full)
            for name, positions in (
                ("Right country", np.flatnonzero(is_right)),
                ("Wrong country", np.flatnonzero(~is_right)),
            )
        },
        title=f"{model_title(best)}: test images drawn at random",
    )
    drawn["confusion"] = figures.confusion(true_countries, predictions.countries, names=full)
    distances = {
        model_title(name): errors_km(runs[0].predictions, table.coords[runs[0].predictions.rows])
        for name, runs in material.table.items()
    }
    drawn["errors"] = figures.error_curves(distances)
    drawn["density"] = figures.error_against_distance(
        {model_title(best): errors_km(predictions, truth)},
        nearest_km(truth, table.coords[split.train]),
    )
    drawn["training"] = figures.training_curves(
        {name: runs[0].history for name, runs in material.table.items() if runs[0].history}
    )
    drawn["sizes"] = figures.accuracy_by_dataset_size(
        {
            name: {size: runs[name].evaluation for size, runs in material.sizes.items()}
            for name in next(iter(material.sizes.values()))
        }
    )
    drawn["reliability"] = figures.reliability_diagrams(
        {
            model_title(name): found.within_25_km
            for name, found in _calibration_reports(material).items()
            if found is not None
        }
    )
    drawn["augmentation"] = figures.training_curves(
        {name: run.history for name, run in material.augmentations.items()},
        accuracy_title="Accuracy",
    )
    paths = {}
    for name, figure in drawn.items():
        paths[name] = folder / f"{name}.png"
        figures.save_figure(figure, paths[name])
    return paths


def _drawn(positions: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Some of these, at random: nobody picks the examples."""
    n_drawn = min(_N_EXAMPLES, len(positions))
    return np.sort(np.random.default_rng(0).choice(positions, n_drawn, replace=False))


def _features_of(source: PhotoSource) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.object_]]:
    """Features and countries of the images that could be read."""
    cache = source.features
    if cache is None:
        raise GeolocError("The report needs the source's features.")
    rows = cache.rows_of(row_keys(source.table))
    whole = np.flatnonzero(~np.isin(rows, cache.broken_rows))
    chosen = np.sort(np.random.default_rng(0).permutation(whole)[:_N_TSNE])
    return cache.gather(rows[chosen]).astype(np.float32), source.table.countries[chosen]


def _examples(
    predictions: Predictions,
    positions: npt.NDArray[np.int64],
    source: PhotoSource,
    names: Mapping[str, str],
) -> list[figures.Example]:
    """Images of some predictions, with truth and guess."""
    truth = source.table.coords[predictions.rows]
    distances = errors_km(predictions, truth)
    confidence = predictions.confidence
    examples = []
    for position in positions:
        row = int(predictions.rows[position])
        true, guess = str(source.table.countries[row]), str(predictions.countries[position])
        examples.append(
            figures.Example(
                np.asarray(source.images.load(row)),
                str(names.get(true, true)),
                str(names.get(guess, guess)),
                float(distances[position]),
                None if confidence is None else float(confidence[position]),
            )
        )
    return examples
