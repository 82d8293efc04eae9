"""Tables, figures and text of a reproduction: what ``reproduce_paper.py`` writes when all models are trained."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from geoloc_models.countries import load_countries
from geoloc_models.evaluation import (
    Evaluation,
    Predictions,
    compare,
    errors_km,
    nearest_km,
    over_seeds,
    results_content,
)
from geoloc_models.features import row_keys
from geoloc_models.inference import JudgedDecoders
from geoloc_models.reports import (
    ABSTAINING_NOTE,
    CALIBRATION_NOTE,
    PAPER_NOTE,
    Section,
    Table,
    abstaining_table,
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
from geoloc_models.tables import largest_block, place_blocks
from geoloc_models.training import ModelRun, PhotoSource

if TYPE_CHECKING:
    from geoloc_models.examples.reproduce_paper import Key, Reproduction

N_EXAMPLES = 12
N_TSNE = 2000


class Report:
    """Tables and figures of finished runs.

    Parameters
    ----------
    work : Reproduction
        Its split, settings and ablations.
    source : PhotoSource
        Photos with their features.
    runs : dict of (str, int, int or None) to ModelRun
        By name, seed and number of training images, as ``work.jobs()``.
    decoders : dict of str to JudgedDecoders
        By model.
    """

    def __init__(
        self,
        work: Reproduction,
        source: PhotoSource,
        runs: dict[Key, ModelRun],
        decoders: dict[str, JudgedDecoders],
    ) -> None:
        self.work, self.source, self.decoders = work, source, decoders
        self.photos, self.split, self.settings = source.table, work.split, work.settings
        self.seeds = {
            name: [runs[name, seed, None] for seed in range(work.settings.seeds)]
            for name in work.table_plans
        }
        first = {name: run for (name, seed, size), run in runs.items() if not seed and not size}
        self.table = {name: first[name] for name in work.table_plans}
        self.models = {**self.table, **{name: first[name] for name in work.ablation_plans}}
        self.augmented = {name: run for name, run in first.items() if name.startswith("augment_")}
        self.sizes: dict[int, dict[str, ModelRun]] = {}
        for (name, _, size), run in runs.items():
            if size is not None:
                self.sizes.setdefault(size, {})[name] = run
        self.calibration = {name: run.calibration_report for name, run in self.table.items()}
        self.best = min(self.table, key=lambda name: self.table[name].evaluation.median_km.value)
        self.country_names: dict[str, str] = load_countries()["name"].to_dict()

    def write(self) -> None:
        """Draw the figures; write report and results."""
        output = self.work.output
        pictures = {}
        for name, figure in self.draw().items():
            pictures[name] = output / "pictures" / f"{name}.png"
            figures.save_figure(figure, pictures[name])
        sections = [
            self.about(),
            *self.table_1(),
            *self.decoder_sections(),
            *self.certainty(pictures),
            *self.ablation_sections(),
            *self.figure_sections(pictures),
        ]
        text = json.dumps(self.results(), indent=2, allow_nan=False)
        (output / "results.json").write_text(text + "\n", encoding="utf-8")
        write_report(output, "Sweden or Switzerland, reproduced", sections)

    def results(self) -> dict[str, Any]:
        """All figures, as JSON knows them."""
        reference = next(iter(self.table.values())).reference
        return {
            **results_content(evaluations_of(self.models), reference),
            "seeds": {
                name: [run.evaluation.to_dict() for run in runs]
                for name, runs in self.seeds.items()
            },
            "sizes": {str(size): dicts_of(runs) for size, runs in self.sizes.items()},
            "augmentation": dicts_of(self.augmented),
            "decoders": {
                model: {name: each.to_dict() for name, each in judged.evaluations.items()}
                for model, judged in self.decoders.items()
            },
            "calibration_reports": {
                name: report.to_dict() for name, report in self.calibration.items() if report
            },
        }

    def about(self) -> Section:
        """What was done, on which photos."""
        training, split = self.settings.training, self.split
        codes, counts = np.unique(self.photos.countries.astype(str), return_counts=True)
        order = np.argsort(-counts, kind="stable")[:10]
        shares = ", ".join(
            f"{counts[k]} in {self.country_names.get(codes[k], codes[k])}" for k in order
        )
        more = f" and {len(codes) - 10} more countries" if len(codes) > 10 else ""
        text = f"""
{self.photos.n_rows} photos: {shares}{more}. {len(split.train)} to train, {len(split.validation)} to validate,
{len(split.test)} to test; one test set for every model, seed and size.

Every model of the tables is a head on features of the frozen encoder `{training.encoder}` at
{training.image_size} pixels, trained for {training.epochs} epochs with Adam at {training.learning_rate:g}; the epoch
with the lowest validation loss is tested. Cells hold {self.settings.min_images} training images at least.

{self.work.remarks}
"""
        return Section("What was done", text)

    def table_1(self) -> list[Section]:
        """Table 1, beside the paper's, and over several seeds."""
        evaluations = {
            name: each for run in self.table.values() for name, each in run.evaluations.items()
        }
        table = results_table(evaluations, self.table["country"].reference)
        plain = {name: run.plain_evaluation or run.evaluation for name, run in self.table.items()}
        note = f"{PAPER_NOTE} Here each model answers as in the paper, with its likeliest class's place."
        sections = [
            Section("Table 1: all models", table_note(evaluations), table),
            Section("Beside the paper's figures", note, comparison_table(plain), level=2),
        ]
        if self.settings.seeds > 1:
            means = {
                name: over_seeds([run.evaluations.get(name, run.evaluation) for run in runs])
                for runs in self.seeds.values()
                for name in runs[0].evaluations
            }
            text = (
                f"Means over {self.settings.seeds} seeds of weights and order, with t-intervals: "
                "how far another training moves the figures on the same test images."
            )
            sections.append(Section("Several seeds", text, results_table(means), level=2))
        return sections

    def decoder_sections(self) -> list[Section]:
        """Every decoder of some models, held against the first."""
        text = (
            "The same networks, their probabilities at the calibrated temperature, made into points "
            "in other ways. Differences are paired with the first row and have bootstrap 95 % "
            "intervals over the test images; a star marks those that leave out 0."
        )
        sections = [Section("Decoders: from probabilities to a point", text)]
        for model, judged in self.decoders.items():
            titled = judged.titled()
            table = markdown_table(results_table(titled.evaluations))
            sections.append(
                Section(
                    model_title(model),
                    f"{table}\n\nAgainst {titled.against}:",
                    differences_table(titled.differences),
                    level=2,
                )
            )
        return sections

    def certainty(self, pictures: Mapping[str, Path]) -> list[Section]:
        """Calibration, and what the test images share with the validation images."""
        coords, split = self.photos.coords, self.split
        known = np.isin(place_blocks(coords[split.test]), place_blocks(coords[split.validation]))
        text = (
            f"{CALIBRATION_NOTE} Of the {len(split.test)} test images {known.sum()} lie in a block "
            "of 10 km that has validation images too, and the fullest block has "
            f"{largest_block(coords[split.test])} of them. In blocks without validation images "
            "coverage varies more."
        )
        caption = (
            "How often the photo is within 25 km of the answer, against the probability given."
        )
        return [
            Section(
                "Calibration",
                text,
                calibration_table(self.calibration),
                [(pictures["reliability"], caption)],
            ),
            Section(
                "Answering only where sure", ABSTAINING_NOTE, abstaining_table(self.calibration)
            ),
        ]

    def ablation_sections(self) -> list[Section]:
        """Paired differences to the paper's choice."""
        text = (
            "Each model differs from the first one named in one thing. Differences are paired: on "
            "the same test images, in percentage points (the median in kilometres), with bootstrap "
            "95 % intervals; a star marks those that leave out 0."
        )
        sections = [Section("Ablations", text)]
        for ablation in self.work.ablations:
            base = self.models[ablation.base].predictions
            names = [ablation.base, *ablation.variants]
            differences = {}
            for name in ablation.variants:
                left, right = on_the_same_rows(self.models[name].predictions, base)
                truth = self.photos.coords[left.rows], self.photos.countries[left.rows]
                title = f"{model_title(name)} - {model_title(ablation.base)}"
                differences[title] = compare(left, right, *truth)
            table = results_table(evaluations_of({name: self.models[name] for name in names}))
            text = f"{ablation.remark}\n\n{markdown_table(table)}"
            sections.append(Section(ablation.title, text, differences_table(differences), level=2))
        return sections

    def figure_sections(self, pictures: Mapping[str, Path]) -> list[Section]:
        """The paper's other figures."""
        pixels = self.settings.pixels
        cells = Table(
            ["Cells", "number", "training images, least to most"],
            [
                [
                    model_title(name),
                    str(cells.n_cells),
                    f"{cells.counts.min()} to {cells.counts.max()}",
                ]
                for name, run in self.table.items()
                if name.startswith("cells_") and (cells := run.cells) is not None
            ],
        )

        def shown(**captions: str) -> list[tuple[Path, str]]:
            return [(pictures[name], caption) for name, caption in captions.items()]

        return [
            Section(
                "Figure 8: size of the training set",
                "Nested subsets of the training part; the same validation and test images. Cells "
                "are made anew from each subset, with the same number of images a cell: few images "
                "make few, large cells.",
                figures=shown(sizes="Accuracy against the number of training images."),
            ),
            Section(
                "Figure 9: augmentation",
                "Cached features cannot be varied, so these models see pixels: "
                f"`{pixels.encoder}` trained end to end for {pixels.epochs} epochs on "
                f"{pixels.image_size} x {pixels.image_size} images, consolidated cells.",
                results_table(evaluations_of(self.augmented)),
                shown(augmentation="Losses and accuracies by epoch."),
            ),
            Section(
                "Figures 1 and 4: photos and cells on the map",
                table=cells,
                figures=shown(
                    photos="The photos (Figure 1 of the paper).",
                    cells="Cells made in three ways (Figure 4), on one scale.",
                ),
            ),
            Section(
                "Figure 6: features by country",
                "t-SNE of the frozen encoder's features, test and training images alike.",
                figures=shown(tsne="Each dot is an image, its colour the country."),
            ),
            Section(
                "Figure 7 and errors",
                "Examples, confusion and distances of the model with the lowest median error, "
                f"{model_title(self.best)}.",
                figures=shown(
                    examples="Images in the right and in the wrong country, or far off.",
                    confusion="Countries: rows are the truth.",
                    errors="Share of test images within each distance, by model.",
                    density="Error against the distance to the nearest training image.",
                    training="Training curves of the models of Table 1.",
                ),
            ),
        ]

    def draw(self) -> dict[str, Any]:
        """All pictures, by name."""
        coords, countries = self.photos.coords, self.photos.countries
        outlines, training_coords = load_countries(), coords[self.split.train]
        codes = sorted(set(countries.tolist()))
        panels = (
            figures.panels_of_countries(outlines, codes)
            if len(codes) <= 4
            else [figures.WORLD_PANEL]
        )
        drawn = {"photos": figures.map_of_photos(coords, countries, outlines, panels)}
        cells = {
            f"{model_title(name)}: {each.n_cells}": each
            for name in ("cells_top_down", "cells_consolidated", "cells_bottom_up")
            if name in self.table and (each := self.table[name].cells) is not None
        }
        drawn["cells"] = figures.map_of_cells(cells, training_coords, outlines, panels)
        best = self.table[self.best].predictions
        truth = coords[best.rows]
        distances_km = {
            name: errors_km(run.predictions, coords[run.predictions.rows])
            for name, run in self.table.items()
        }
        histories = {name: run.history for name, run in self.table.items() if run.history}
        bins = {
            model_title(name): report.within_25_km
            for name, report in self.calibration.items()
            if report is not None
        }
        return {
            **drawn,
            "tsne": self.tsne(),
            "examples": self.examples(),
            "confusion": figures.confusion(
                countries[best.rows], best.countries, names=self.country_names
            ),
            "errors": figures.error_curves(distances_km),
            "density": figures.error_against_distance(
                {self.best: distances_km[self.best]}, nearest_km(truth, training_coords)
            ),
            "training": figures.training_curves(histories),
            "sizes": figures.accuracy_by_dataset_size(
                {
                    name: {size: runs[name].evaluation for size, runs in self.sizes.items()}
                    for name in next(iter(self.sizes.values()))
                }
            ),
            "reliability": figures.reliability_diagrams(bins),
            "augmentation": figures.training_curves(
                {name: run.history for name, run in self.augmented.items()}
            ),
        }

    def tsne(self) -> Any:
        """Features of images that could be read, in the plane."""
        cache = self.source.features
        rows = cache.rows_of(row_keys(self.photos))
        whole = np.flatnonzero(~np.isin(rows, cache.broken_rows))
        chosen = np.sort(np.random.default_rng(0).permutation(whole)[:N_TSNE])
        return figures.tsne_of_features(
            cache.gather(rows[chosen]), self.photos.countries[chosen], names=self.country_names
        )

    def examples(self) -> Any:
        """Test images of the best model in the right and in the wrong country, drawn at random."""
        predictions = self.table[self.best].predictions
        is_right = self.photos.countries[predictions.rows] == predictions.countries
        bands: dict[str, list[figures.Example]] = {}
        for heading, is_in in (("Right country", is_right), ("Wrong country", ~is_right)):
            positions = np.flatnonzero(is_in)
            n_drawn = min(N_EXAMPLES, len(positions))
            drawn = np.sort(np.random.default_rng(0).choice(positions, n_drawn, replace=False))
            bands[heading] = figures.examples_of(
                predictions.take(drawn),
                self.photos.coords,
                self.photos.countries,
                self.source.images,
                self.country_names,
            )
        title = f"{model_title(self.best)}: test images drawn at random"
        return figures.example_sheet(bands, title=title)


def evaluations_of(runs: Mapping[str, ModelRun]) -> dict[str, Evaluation]:
    """Evaluation of each run."""
    return {name: run.evaluation for name, run in runs.items()}


def dicts_of(runs: Mapping[str, ModelRun]) -> dict[str, Any]:
    """Evaluation of each run, as JSON knows it."""
    return {name: run.evaluation.to_dict() for name, run in runs.items()}


def on_the_same_rows(left: Predictions, right: Predictions) -> tuple[Predictions, Predictions]:
    """Predictions of the images that both could read."""
    _, in_left, in_right = np.intersect1d(left.rows, right.rows, return_indices=True)
    return left.take(in_left), right.take(in_right)
