"""The paper as one command: every model, every ablation, every figure, and a report that opens offline.

``geoloc reproduce`` runs this file, on the demo's data (about half an hour on two cores) or on a table of photos:

    python examples/reproduce_paper.py --demo
    python examples/reproduce_paper.py --data split.parquet

A model that is trained is kept: a second call trains only what another option changes, and an interrupted model goes
on after its last whole epoch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import cyclopts
import numpy as np
from geoloc_models.examples.paper_report import Report

from geoloc_models.features import row_keys
from geoloc_models.inference import judge_decoders
from geoloc_models.models import ModelPlan, TrainingOptions
from geoloc_models.tables import PhotoTable, Split, subset_ranks
from geoloc_models.training import (
    PhotoSource,
    decode_run,
    demo_source,
    run_model,
    split_source,
    table_source,
    with_features,
)

Key = tuple[str, int, int | None]
"""Name of a model, number of its seed, and of training images where these are not all."""
Job = tuple[Split, ModelPlan, TrainingOptions]
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


# ------------------------------------------------------------------------------ the runs


class Reproduction:
    """All models over some photos.

    Parameters
    ----------
    source : PhotoSource
        Photos without features: they are computed once, by the frozen encoder of the settings.
    settings : Settings
        How large it is. The split of the photos is that of ``settings.training.seed``.
    output : Path
        Gets report.html, report.md, results.json, the features, and runs/, a folder a model.
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

    def jobs(self) -> dict[Key, Job]:
        """What is to be trained; runs on pixels are called ``augment_...``."""
        training, n = self.settings.training, self.settings.min_images
        jobs: dict[Key, Job] = {}
        for seed in range(self.settings.seeds):
            options = replace(training, seed=training.seed + seed)
            for name, plan in self.table_plans.items():
                jobs[name, seed, None] = self.split, plan, options
        for name, plan in self.ablation_plans.items():
            jobs[name, 0, None] = self.split, plan, training
        for size, split in self.subsets.items():
            for name in SIZED:
                jobs[name, 0, size] = split, self.table_plans[name], training
        for augment in AUGMENTATIONS:
            plan = ModelPlan("cells", "consolidated", n, label=f"augment_{augment}")
            options = replace(self.settings.pixels, augment=augment)
            jobs[plan.name, 0, None] = self.split, plan, options
        return jobs

    def run(self) -> None:
        """Train what is not trained yet, and write the report."""
        training, table, test = self.settings.training, self.source.table, self.split.test
        print(f"Features of {table.n_rows} images by the frozen {training.encoder}", flush=True)
        key = digest([training.encoder, training.weights, training.image_size])
        features = with_features(self.source, training, self.output / f"features-{key}.npy")
        runs, jobs = {}, self.jobs()
        for number, ((name, seed, size), (split, plan, options)) in enumerate(jobs.items(), 1):
            about = name + (f"-n{size}" if size else "") + (f"-seed{seed}" if seed else "")
            print(f"[{number}/{len(jobs)}] {about}", flush=True)
            parts = [rows.tolist() for rows in (split.train, split.validation, split.test)]
            key = digest([plan.to_dict(), options.to_dict(), parts])
            photos = self.source if name.startswith("augment_") else features
            folder = self.output / "runs" / f"{about}-{key}"
            run = run_model(photos, split, plan, options, folder, resume=True)
            # The report needs no probabilities, and those of all models would fill the memory.
            answers = replace(run.predictions, probabilities=None)
            runs[name, seed, size] = replace(run, predictions=answers)
        decoders = {}
        for name in DECODED:
            every = decode_run(runs[name, 0, None].run_dir, features, test)
            decoders[name] = judge_decoders(every, table.coords, table.countries)
        for name in SIZED:
            runs[name, 0, len(self.split.train)] = runs[name, 0, None]
        Report(self, features, runs, decoders).write()


def nested_subsets(table: PhotoTable, split: Split, sizes: Sequence[int]) -> dict[int, Split]:
    """Nested subsets of the training part, with the same validation and test parts."""
    if "subset_rank" in table.frame.columns:
        rank = table.frame["subset_rank"].to_numpy(np.int64)[split.train]
    else:
        keys = np.asarray(row_keys(table), dtype=object)[split.train]
        rank = subset_ranks(keys, np.zeros(len(keys), dtype=np.int8))
    rows = split.train[np.argsort(rank, kind="stable")]
    return {n: replace(split, train=np.sort(rows[:n])) for n in sizes if n < len(rows)}


def digest(content: Any) -> str:
    """Ten digits of plain values: another option makes another folder, for what depends on it alone."""
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:10]


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

    Finished models are kept: a second run trains only what a changed option affects, and an
    interrupted run continues.

    Parameters
    ----------
    data : Path, optional
        Table of photos, as geoloc train takes it.
    demo : bool
        Use the demo's places and satellite crops instead.
    output : Path
        Folder for the report and its runs.
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
