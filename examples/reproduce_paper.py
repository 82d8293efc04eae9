"""The paper as one command: every model, every ablation, every figure, and a report that opens offline.

``geoloc reproduce`` runs this file, on the demo's data (about half an hour on two cores) or on a table of photos:

    python examples/reproduce_paper.py --demo
    python examples/reproduce_paper.py --data split.parquet

The work is cut into stages: a stage that is done is kept, another option computes only what depends on it, and an
interrupted stage goes on after its last whole epoch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import cyclopts
import numpy as np

from geoloc_models.countries import load_countries
from geoloc_models.evaluation import (
    Evaluation,
    Predictions,
    compare,
    errors_km,
    nearest_km,
    over_seeds,
    read_predictions,
    results_content,
    write_predictions,
)
from geoloc_models.features.cache import FeatureCache, row_keys
from geoloc_models.inference.decoders import judge_decoders
from geoloc_models.models import ModelPlan, TrainingOptions
from geoloc_models.reports import (
    CALIBRATION_NOTE,
    PAPER_NOTE,
    Section,
    Table,
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
from geoloc_models.tables.parts import subset_ranks
from geoloc_models.tables.photo_table import PhotoTable
from geoloc_models.tables.split import Split, largest_block, place_blocks
from geoloc_models.training import (
    ModelRun,
    PhotoSource,
    decode_run,
    demo_source,
    load_run,
    run_model,
    split_source,
    table_source,
    with_features,
)

N_EXAMPLES = 12
N_TSNE = 2000
AUGMENTATIONS = ("none", "crop", "simclr")
SIZED = ("country", "cells_bottom_up", "retrieval_rff")
"""Models of Figure 8."""
DECODED = ("cells_top_down", "cells_consolidated", "cells_bottom_up", "hierarchy", "retrieval_rff")
"""Models of Table 1 whose decoders are compared."""

DEMO_REMARKS = """
**What these data can show.** The coordinates are those of real photos; the images are satellite crops around them,
since photos cannot be shipped. Which cells suit where people take photos, how models and losses differ on the same
features, and whether everything works from end to end can be seen.

**What they cannot show.** How well photos tell of their place: a satellite crop shows the place itself, whatever the
photographer did, and two places within a crop's width look alike. A pixel is 7 km high, so little can be told at 1
km. With some 200 test images an interval is ten points wide and more: most ablations here cannot be told apart, and
the intervals say so. The paper's own figures stand beside ours as those of another data set: 180 000 photos.
"""


# ------------------------------------------------------------------------------ what is trained


@dataclass(frozen=True)
class Settings:
    """How large the reproduction is.

    Parameters
    ----------
    training, pixels : TrainingOptions
        Of every model of Table 1 and the ablations; of the runs that compare augmentations.
    min_images : int
        Training images that a cell needs.
    seeds : int
        Runs of each model of Table 1, with seeds ``training.seed``, + 1, ...
    sizes : tuple of int
        Training subsets of Figure 8, below the whole training part.
    location_hidden, n_false : int
        Retrieval: width of the location encoder, and false locations a batch (M).
    """

    training: TrainingOptions
    pixels: TrainingOptions
    min_images: int = 200
    seeds: int = 3
    sizes: tuple[int, ...] = (1_000, 10_000, 20_000, 100_000)
    location_hidden: int = 1024
    n_false: int = 1024

    def __post_init__(self) -> None:
        if self.seeds < 1:
            raise ValueError(f"At least one seed is needed; got {self.seeds}.")
        if any(size < 1 for size in self.sizes) or list(self.sizes) != sorted(set(self.sizes)):
            raise ValueError(f"Sizes must grow, such as 1000 10000; got {self.sizes}.")


def table_plans(settings: Settings) -> dict[str, ModelPlan]:
    """Models of Table 1 by name, in its order; then those that the paper does not have."""
    n = settings.min_images
    sizes = {"location_hidden": settings.location_hidden, "n_false": settings.n_false}
    plans = [
        ModelPlan("country"),
        ModelPlan("offset"),
        ModelPlan("cells", "top_down", n),
        ModelPlan("cells", "consolidated", n),
        ModelPlan("cells", "bottom_up", n),
        ModelPlan("retrieval", location_encoder="mlp", **sizes),
        ModelPlan("retrieval", location_encoder="rff", **sizes),
        ModelPlan("hierarchy", "top_down", n),
        ModelPlan("refined", "bottom_up", n),
        ModelPlan("nearest"),
    ]
    return {plan.name: plan for plan in plans}


@dataclass(frozen=True)
class Ablation:
    """Models that differ in one thing from the paper's choice.

    Parameters
    ----------
    title, remark : str
        What differs; what the paper found, and what to look at.
    base : str
        The paper's choice, a model of Table 1.
    variants : dict of str to dict
        By name, what each changes of the base's plan; nothing for a model of Table 1.
    """

    title: str
    remark: str
    base: str
    variants: dict[str, dict[str, Any]]


def ablations(settings: Settings) -> list[Ablation]:
    """Section 4.7 of the paper, and distance-smoothed cells."""
    smaller = {max(1, settings.n_false // share) for share in (4, 16)} - {settings.n_false}
    return [
        Ablation(
            "Multi-task against single-task",
            "The head for the country tells the offset which box it is in.",
            "offset",
            {"offset_single": {"multi_task": False}},
        ),
        Ablation(
            "Share of the country in the loss (alpha)",
            "The paper takes 0.5.",
            "offset",
            {f"offset_alpha_{alpha:g}": {"alpha": alpha} for alpha in (0.1, 0.9)},
        ),
        Ablation(
            "WCSS against the heat map alone",
            "In the paper the heat map alone lost 0.9 points at 1 km against top-down cells; with "
            "WCSS bottom-up won 0.7.",
            "cells_bottom_up",
            {"cells_heat_map": {"rank_by": "count"}, "cells_top_down": {}},
        ),
        Ablation(
            "Hot spots ranked by features against coordinates",
            "Cells whose images look alike, or whose images lie close together.",
            "cells_bottom_up",
            {"cells_by_coordinates": {"rank_by": "coordinates"}},
        ),
        Ablation(
            "One true cell against distance-smoothed cells",
            "Not in the paper: PIGEON's smoothing, tau 75 km.",
            "cells_bottom_up",
            {"cells_smoothed": {"smoothing_km": 75.0}},
        ),
        Ablation(
            "Contrastive against vanilla training",
            "Without false locations each image is only drawn to its own.",
            "retrieval_rff",
            {"retrieval_vanilla": {"n_false": 0}},
        ),
        Ablation(
            "Random Fourier features against a perceptron",
            "In the paper 15.1 against 0.1 % within 1 km.",
            "retrieval_rff",
            {"retrieval_mlp": {}},
        ),
        Ablation(
            "Deviations of the frequencies (sigmas)",
            "2^16 tells places 300 m apart; GeoCLIP takes 2^0, 2^4, 2^8.",
            "retrieval_rff",
            {
                "retrieval_sigmas_geoclip": {"sigmas": (1.0, 16.0, 256.0)},
                "retrieval_sigma_1": {"sigmas": (1.0,)},
            },
        ),
        Ablation(
            "False locations a batch (M), and where they come from",
            "The paper takes 1 024, from the training set or from a queue.",
            "retrieval_rff",
            {
                **{f"retrieval_m_{m}": {"n_false": m} for m in sorted(smaller, reverse=True)},
                "retrieval_queue": {"false_from": "queue"},
            },
        ),
    ]


# ------------------------------------------------------------------------------ stages


@dataclass(frozen=True)
class Stage:
    """A piece of work that is done once.

    Parameters
    ----------
    name, title : str
        Fit for a folder's name, and unique; what it is at, for the reader.
    options : dict
        Plain values that decide what comes out.
    make : callable
        ``make(folder, folders)`` works in ``folder``, where an interrupted attempt may have left
        something; ``folders`` are those of the stages before, by name.
    needs : sequence of str
        Stages whose results it reads; they come before it.
    """

    name: str
    title: str
    options: dict[str, Any]
    make: Callable[[Path, Mapping[str, Path]], None]
    needs: Sequence[str] = ()


def run_stages(root: Path, stages: Sequence[Stage]) -> dict[str, Path]:
    """Do what is not done yet; the folder of each stage, by name.

    The folder is ``NAME-KEY``. The key is a digest of the options and of the keys of what the stage
    needs: another option makes another folder for it and what depends on it, and for no other.
    """
    keys: dict[str, str] = {}
    for stage in stages:
        content = [stage.name, stage.options, [keys[name] for name in stage.needs]]
        text = json.dumps(content, sort_keys=True, allow_nan=False)
        keys[stage.name] = hashlib.sha256(text.encode()).hexdigest()[:10]
    folders = {name: root / f"{name}-{key}" for name, key in keys.items()}
    waiting = [stage for stage in stages if not (folders[stage.name] / "done").exists()]
    if len(waiting) < len(stages):
        print(f"{len(stages) - len(waiting)} of {len(stages)} stages are done already.")
    for number, stage in enumerate(waiting, start=1):
        print(f"[{number}/{len(waiting)}] {stage.title}", flush=True)
        folder = folders[stage.name]
        folder.mkdir(parents=True, exist_ok=True)
        stage.make(folder, folders)
        (folder / "done").touch()
    return folders


class Reproduction:
    """All stages over some photos.

    Parameters
    ----------
    source : PhotoSource
        Photos without features: they are computed once, by the frozen encoder of the settings.
    settings : Settings
        How large it is. The split of the photos is that of ``settings.training.seed``.
    output : Path
        Gets report.html, report.md, results.json and stages/.
    remarks : str
        Markdown: what these photos can and cannot show.
    """

    def __init__(
        self, source: PhotoSource, settings: Settings, output: Path, remarks: str = ""
    ) -> None:
        self.source, self.settings, self.output, self.remarks = source, settings, output, remarks
        self.split = split_source(source, seed=settings.training.seed)
        self.subsets = nested_subsets(source.table, self.split, settings.sizes)
        self.table_plans = table_plans(settings)
        self.ablations = ablations(settings)
        self.ablation_plans = {
            name: replace(self.table_plans[ablation.base], label=name, **changes)
            for ablation in self.ablations
            for name, changes in ablation.variants.items()
            if changes
        }

    def run(self) -> dict[str, Path]:
        """Do everything that is not done yet; the folder of each stage, by name."""
        data = {"origin": self.source.origin, "digest": digest(self.source.table, self.split)}
        training = self.settings.training
        encoder = {name: getattr(training, name) for name in ("encoder", "weights", "image_size")}
        n_images = self.source.table.n_rows
        stages = [
            Stage(
                "features",
                f"Features of {n_images} images by the frozen {training.encoder}",
                {**data, **encoder},
                lambda folder, _: self._features(folder),
            )
        ]
        for seed in range(self.settings.seeds):
            stages += [self._model(plan, seed=seed) for plan in self.table_plans.values()]
        stages += [self._model(plan) for plan in self.ablation_plans.values()]
        for size in self.subsets:
            stages += [self._model(self.table_plans[name], size=size) for name in SIZED]
        stages += [self._pixels(augment, data) for augment in AUGMENTATIONS]
        stages += [self._decoders(name) for name in DECODED]
        stages.append(
            Stage(
                "report",
                "Tables, figures and the report",
                {"remarks": self.remarks, "ablations": [each.title for each in self.ablations]},
                lambda folder, folders: Report(self, folders).write(folder),
                needs=[stage.name for stage in stages],
            )
        )
        return run_stages(self.output / "stages", stages)

    def _features(self, folder: Path) -> PhotoSource:
        training = self.settings.training
        return with_features(self.source, training, folder / "features.npy")

    def with_features(self, folders: Mapping[str, Path]) -> PhotoSource:
        """The source with the features of the first stage."""
        cache = FeatureCache.open(folders["features"] / "features.npy")
        origin = {**self.source.origin, "features": cache.card.fingerprint}
        return replace(self.source, origin=origin, features=cache)

    def _model(self, plan: ModelPlan, *, seed: int = 0, size: int | None = None) -> Stage:
        training = self.settings.training
        options = replace(training, seed=training.seed + seed)
        split = self.split if size is None else self.subsets[size]

        def make(folder: Path, folders: Mapping[str, Path]) -> None:
            run_model(self.with_features(folders), split, plan, options, folder, resume=True)

        about = f", {size} training images" if size is not None else ""
        about += f", seed {options.seed}" if seed else ""
        return Stage(
            stage_name(plan.name, seed, size),
            f"{plan.name}{about}",
            {"plan": plan.to_dict(), "training": options.to_dict(), "size": size},
            make,
            needs=["features"],
        )

    def _pixels(self, augment: Any, data: dict[str, Any]) -> Stage:
        options = replace(self.settings.pixels, augment=augment)
        name = f"augment_{augment}"
        plan = ModelPlan("cells", "consolidated", self.settings.min_images, label=name)

        def make(folder: Path, folders: Mapping[str, Path]) -> None:
            run_model(self.source, self.split, plan, options, folder, resume=True)

        title = f"End to end, augmentation {augment} ({options.encoder})"
        content = {**data, "plan": plan.to_dict(), "training": options.to_dict()}
        return Stage(name, title, content, make)

    def _decoders(self, name: str) -> Stage:
        """Answers of the model's first run by every decoder, a file each."""

        def make(folder: Path, folders: Mapping[str, Path]) -> None:
            answers = decode_run(folders[name], self.with_features(folders), self.split.test)
            for number, (decoder, predictions) in enumerate(answers.items()):
                write_predictions(folder / f"{number:02}-{decoder}.parquet", predictions)

        needs = ["features", name]
        return Stage(f"decoders-{name}", f"{name} by every decoder", {}, make, needs)


def stage_name(plan_name: str, seed: int = 0, size: int | None = None) -> str:
    """Name of the stage of a model."""
    about_size = "" if size is None else f"-n{size}"
    return f"{plan_name}{about_size}{f'-seed{seed}' if seed else ''}"


def nested_subsets(table: PhotoTable, split: Split, sizes: Sequence[int]) -> dict[int, Split]:
    """Nested subsets of the training part, with the same validation and test parts."""
    if "subset_rank" in table.frame.columns:
        rank = table.frame["subset_rank"].to_numpy(np.int64)[split.train]
    else:
        keys = np.asarray(row_keys(table), dtype=object)[split.train]
        rank = subset_ranks(keys, np.zeros(len(keys), dtype=np.int8))
    rows = split.train[np.argsort(rank, kind="stable")]
    return {n: replace(split, train=np.sort(rows[:n])) for n in sizes if n < len(rows)}


def digest(table: PhotoTable, split: Split) -> str:
    """Of the photos' keys, places, countries and parts."""
    content = hashlib.sha256(np.ascontiguousarray(table.coords).tobytes())
    content.update(json.dumps([str(key) for key in row_keys(table)]).encode())
    content.update(json.dumps(table.countries.tolist()).encode())
    for part in (split.train, split.validation, split.test):
        content.update(np.asarray(part, dtype=np.int64).tobytes())
    return content.hexdigest()[:16]


# ------------------------------------------------------------------------------ the report


class Report:
    """Tables and figures of finished stages.

    Parameters
    ----------
    work : Reproduction
        What was done.
    folders : mapping of str to Path
        Of all stages.
    """

    def __init__(self, work: Reproduction, folders: Mapping[str, Path]) -> None:
        self.work = work
        self.source, self.split = work.with_features(folders), work.split
        self.photos, self.settings = work.source.table, work.settings

        def run(name: str, seed: int = 0, size: int | None = None) -> ModelRun:
            return load_run(folders[stage_name(name, seed, size)], self.source)

        self.seeds = {
            name: [run(name, seed) for seed in range(self.settings.seeds)]
            for name in work.table_plans
        }
        self.table = {name: runs[0] for name, runs in self.seeds.items()}
        self.models = {**self.table, **{name: run(name) for name in work.ablation_plans}}
        self.sizes: dict[int, dict[str, ModelRun]] = {
            size: {name: run(name, size=size) for name in SIZED} for size in work.subsets
        }
        self.sizes[len(self.split.train)] = {name: self.table[name] for name in SIZED}
        names = [f"augment_{augment}" for augment in AUGMENTATIONS]
        self.augmented = {name: load_run(folders[name], work.source) for name in names}
        self.decoders = {}
        for name in DECODED:
            paths = sorted(folders[f"decoders-{name}"].glob("*.parquet"))
            answers = {path.stem[3:]: read_predictions(path) for path in paths}
            self.decoders[name] = judge_decoders(answers, self.photos.coords, self.photos.countries)
        self.calibration = {name: run.calibration_report for name, run in self.table.items()}
        self.best = min(self.table, key=lambda name: self.table[name].evaluation.median_km.value)
        self.country_names: dict[str, str] = load_countries()["name"].to_dict()

    def write(self, folder: Path) -> None:
        """Draw the figures into ``folder``; write report and results to the output."""
        pictures = {}
        for name, figure in self.draw().items():
            pictures[name] = folder / f"{name}.png"
            figures.save_figure(figure, pictures[name])
        sections = [
            self.about(),
            *self.table_1(),
            *self.decoder_sections(),
            *self.certainty(pictures),
            *self.ablation_sections(),
            *self.figure_sections(pictures),
        ]
        output = self.work.output
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
        evaluations = evaluations_of(self.table)
        table = results_table(evaluations, self.table["country"].reference)
        sections = [
            Section("Table 1: all models", table_note(evaluations), table),
            Section(
                "Beside the paper's figures", PAPER_NOTE, comparison_table(evaluations), level=2
            ),
        ]
        if self.settings.seeds > 1:
            means = {
                name: over_seeds([run.evaluation for run in runs])
                for name, runs in self.seeds.items()
            }
            text = (
                f"Means over {self.settings.seeds} seeds of weights and order, with t-intervals: "
                "how far another run of the training moves the figures on the same test images."
            )
            sections.append(Section("Several seeds", text, results_table(means), level=2))
        return sections

    def decoder_sections(self) -> list[Section]:
        """Every decoder of some models, held against the first."""
        text = (
            "The same networks, their probabilities at the calibrated temperature, made into points "
            "in other ways. Differences are paired with the first row and have bootstrap 95 % "
            "intervals over the test images; a star marks those that leave out 0. The tables above "
            "are of the models' own answers, as in the paper."
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
            f"{largest_block(coords[split.test])} of them. For images of blocks that have no "
            "validation images the promise is less sure: a model that is wrong about a block in one "
            "way is wrong about all images of it."
        )
        caption = (
            "How often the photo is within 25 km of the answer, against the probability given."
        )
        return [
            Section(
                "How sure, and whether rightly",
                text,
                calibration_table(self.calibration),
                [(pictures["reliability"], caption)],
            )
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
                    cells_top_down="Cells made top-down (Figure 4).",
                    cells_bottom_up="Cells made bottom-up, ranked by image features.",
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
        for name in ("cells_top_down", "cells_bottom_up"):
            cells = self.table[name].cells
            if cells is not None:
                title = f"{model_title(name)}: {cells.n_cells} cells of {len(training_coords)} training images"
                drawn[name] = figures.map_of_cells(
                    cells, training_coords, outlines, panels, title=title
                )
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
            "examples": self.examples(distances_km[self.best]),
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
                    for name in SIZED
                }
            ),
            "reliability": figures.reliability_diagrams(bins),
            "augmentation": figures.training_curves(
                {name: run.history for name, run in self.augmented.items()},
                accuracy_title="Accuracy",
            ),
        }

    def tsne(self) -> Any:
        """Features of images that could be read, in the plane."""
        cache = self.source.features
        assert cache is not None
        rows = cache.rows_of(row_keys(self.photos))
        whole = np.flatnonzero(~np.isin(rows, cache.broken_rows))
        chosen = np.sort(np.random.default_rng(0).permutation(whole)[:N_TSNE])
        features = cache.gather(rows[chosen]).astype(np.float32)
        return figures.tsne_of_features(
            features, self.photos.countries[chosen], names=self.country_names
        )

    def examples(self, distances_km: np.ndarray) -> Any:
        """Test images of the best model in the right and in the wrong country, drawn at random."""
        predictions = self.table[self.best].predictions
        truth = self.photos.countries[predictions.rows]
        bands: dict[str, list[figures.Example]] = {}
        for heading, is_in in (
            ("Right country", truth == predictions.countries),
            ("Wrong country", truth != predictions.countries),
        ):
            positions = np.flatnonzero(is_in)
            n_drawn = min(N_EXAMPLES, len(positions))
            drawn = np.sort(np.random.default_rng(0).choice(positions, n_drawn, replace=False))
            bands[heading] = [
                figures.Example(
                    np.asarray(self.source.images.load(int(predictions.rows[k]))),
                    self.country_names.get(truth[k], truth[k]),
                    self.country_names.get(predictions.countries[k], predictions.countries[k]),
                    float(distances_km[k]),
                    None if predictions.confidence is None else float(predictions.confidence[k]),
                )
                for k in drawn
            ]
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


# ------------------------------------------------------------------------------ the command


def reproduce(
    *,
    data: Path | None = None,
    demo: bool = False,
    output: Annotated[Path, cyclopts.Parameter(alias="-o")] = Path("runs/paper"),
    encoder: str | None = None,
    weights: str = "imagenet",
    image_size: int | None = None,
    min_images: int | None = None,
    epochs: int = 30,
    pixel_epochs: int = 8,
    seeds: int = 3,
    sizes: tuple[int, ...] | None = None,
    n_false: int | None = None,
    workers: int = 0,
    seed: int = 0,
) -> None:
    """Train all models of the paper, every ablation and figure, and write a report.

    Stages that are done are kept: a second run computes nothing, another option only what depends
    on it, and an interrupted run goes on.

    Parameters
    ----------
    data : Path, optional
        Table of photos, as geoloc train takes it.
    demo : bool
        Use the demo's places and satellite crops instead.
    output : Path
        Folder for the report and its stages.
    encoder : str, optional
        Frozen encoder of all models. By default resnet50; efficientnet_lite0 in the demo.
    weights : str
        imagenet, or a file.
    image_size : int, optional
        Side of the images, in pixels. By default 224; 128 in the demo.
    min_images : int, optional
        Training images that a cell needs. By default 200; 20 in the demo.
    epochs : int
        Of every head.
    pixel_epochs : int
        Of the runs that compare augmentations, which see pixels.
    seeds : int
        Runs of each model of Table 1.
    sizes : tuple of int, optional
        Training subsets of Figure 8. By default 1000 10000 20000 100000; 100 400 in the demo.
    n_false : int, optional
        False locations a batch. By default 1024; 256 in the demo.
    workers : int
        Processes that load images.
    seed : int
        Of the split and the first runs.
    """
    if demo == (data is not None):
        raise ValueError("Name a table of photos with --data, or take the demo's with --demo.")
    common: dict[str, Any] = {
        "learning_rate": 1e-3,
        "schedule": "cosine",
        "seed": seed,
        "workers": workers,
    }
    training = TrainingOptions(
        encoder=encoder or ("efficientnet_lite0" if demo else "resnet50"),
        weights=weights,
        image_size=image_size or (128 if demo else 224),
        batch_size=64 if demo else 256,
        epochs=epochs,
        dropout=0.3,
        train_encoder="none",
        **common,
    )
    settings = Settings(
        training,
        TrainingOptions(encoder="tiny", image_size=64, epochs=pixel_epochs, **common),
        min_images=min_images or (20 if demo else 200),
        seeds=seeds,
        sizes=sizes or ((100, 400) if demo else Settings.sizes),
        location_hidden=256 if demo else 1024,
        n_false=n_false or (256 if demo else 1024),
    )
    source = (
        demo_source(seed=seed)
        if data is None
        else table_source(data, image_size=training.image_size)
    )
    Reproduction(source, settings, output, DEMO_REMARKS if demo else "").run()
    print(f"\nThe report is {output / 'report.html'}, and as text {output / 'report.md'}.")


if __name__ == "__main__":
    cyclopts.run(reproduce)
