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
from geoloc_models.examples.paper_report import Report

from geoloc_models.evaluation import read_predictions, write_predictions
from geoloc_models.features import FeatureCache, row_keys
from geoloc_models.inference import judge_decoders
from geoloc_models.models import ModelPlan, TrainingOptions
from geoloc_models.tables import PhotoTable, Split, subset_ranks
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
        Training images per cell.
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
        ModelPlan("pooled", min_images=n),
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
        data = {"origin": self.source.origin, "digest": digest(self.source, self.split)}
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
                lambda folder, folders: self.report(folders).write(folder, self.output),
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

    def report(self, folders: Mapping[str, Path]) -> Report:
        """Read all runs again."""
        source, photos = self.with_features(folders), self.source.table

        def run(name: str, seed: int = 0, size: int | None = None) -> ModelRun:
            return load_run(folders[stage_name(name, seed, size)], source)

        seeds = {
            name: [run(name, seed) for seed in range(self.settings.seeds)]
            for name in self.table_plans
        }
        table = {name: runs[0] for name, runs in seeds.items()}
        sizes = {size: {name: run(name, size=size) for name in SIZED} for size in self.subsets}
        sizes[len(self.split.train)] = {name: table[name] for name in SIZED}
        decoders = {}
        for name in DECODED:
            paths = sorted(folders[f"decoders-{name}"].glob("*.parquet"))
            answers = {path.stem[3:]: read_predictions(path) for path in paths}
            decoders[name] = judge_decoders(answers, photos.coords, photos.countries)
        return Report(
            source,
            self.split,
            self.settings,
            self.ablations,
            self.remarks,
            seeds,
            models={**table, **{name: run(name) for name in self.ablation_plans}},
            sizes=sizes,
            augmented={f"augment_{name}": run(f"augment_{name}") for name in AUGMENTATIONS},
            decoders=decoders,
        )


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


def digest(source: PhotoSource, split: Split) -> str:
    """Of the photos and their parts."""
    content = hashlib.sha256(source.digest().encode())
    for part in (split.train, split.validation, split.test):
        content.update(np.asarray(part, dtype=np.int64).tobytes())
    return content.hexdigest()[:16]


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
    """Train all models of the paper and write a report.

    Finished stages are kept: a second run computes only what a changed option affects, and an
    interrupted run continues.

    Parameters
    ----------
    data : Path, optional
        Table of photos, as geoloc train takes it.
    demo : bool
        Use the demo's places and satellite crops instead.
    output : Path
        Folder for the report and its stages.
    encoder : str, optional
        Frozen encoder of all models. Default: resnet50; efficientnet_lite0 in the demo.
    weights : str
        imagenet, or a file with a state dict.
    image_size : int, optional
        Side of the images, in pixels. Default: 224; 128 in the demo.
    min_images : int, optional
        Training images per cell. Default: 200; 20 in the demo.
    epochs : int
        Epochs of each head.
    pixel_epochs : int
        Epochs of the runs on pixels, which compare augmentations.
    seeds : int
        Runs of each model of Table 1.
    sizes : tuple of int, optional
        Training subsets of Figure 8. Default: 1000 10000 20000 100000; 100 400 in the demo.
    n_false : int, optional
        False locations per batch. Default: 1024; 256 in the demo.
    workers : int
        Processes that load images.
    seed : int
        Seed of the split and the first runs.
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
