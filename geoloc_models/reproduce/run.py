"""The paper as one pipeline: features, models, ablations, sizes, augmentation, report."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from geoloc_models._files import read_json, write_json
from geoloc_models.evaluation import Predictions, read_predictions, write_predictions
from geoloc_models.features.cache import FeatureCache, row_keys
from geoloc_models.features.embed import embed
from geoloc_models.reproduce.report import Material, write_reproduction
from geoloc_models.reproduce.settings import (
    AUGMENTATIONS,
    DECODED,
    ReproduceSettings,
    ablation_plans,
    size_plans,
    table_plans,
)
from geoloc_models.reproduce.stages import Folders, Pipeline, Stage
from geoloc_models.tables.parts import subset_ranks
from geoloc_models.tables.photo_table import PhotoTable
from geoloc_models.tables.split import Split
from geoloc_models.training import (
    ModelPlan,
    ModelRun,
    PhotoSource,
    TrainingOptions,
    decode_run,
    load_run,
    run_model,
)

logger = logging.getLogger(__name__)

_DECODERS_FILE = "decoders.json"


@dataclass(frozen=True)
class Reproduction:
    """What :func:`reproduce` made.

    Parameters
    ----------
    report : Path
        ``report.html``; ``report.md`` lies beside it.
    folders : dict of str to Path
        Folder of each stage.
    seconds : dict of str to float
        How long each stage took when it was done.
    """

    report: Path
    folders: dict[str, Path]
    seconds: dict[str, float]


def reproduce(
    source: PhotoSource,
    split: Split,
    settings: ReproduceSettings,
    output: str | Path,
    *,
    remarks: str = "",
    say: Callable[[str], None] = logger.info,
    progress: bool = True,
) -> Reproduction:
    """Train and compare everything the paper does, and write a report.

    Parameters
    ----------
    source : PhotoSource
        Photos, without features: they are computed once, by the frozen encoder of
        ``settings.training``.
    split : Split
        One test set for all models, sizes and seeds.
    settings : ReproduceSettings
        How large it is.
    output : str or Path
        Gets ``report.html``, ``report.md`` and ``stages/``. Stages that are done are kept: a second
        run computes nothing, another option only what depends on it, and an interrupted run goes on
        after its last whole epoch.
    remarks : str
        Markdown: what these photos can and cannot show.
    say : callable
        Is given lines for the reader.
    progress : bool, default True
        Show progress bars.

    Returns
    -------
    Reproduction

    Raises
    ------
    GeolocError
        If the photos do not suffice, or a stage fails.
    """
    work = _Work(source, split, settings, progress)
    output = Path(output)
    pipeline = Pipeline(output / "stages", work.stages(output, remarks))
    folders = pipeline.run(say)
    return Reproduction(output / "report.html", folders, pipeline.seconds())


class _Work:
    """The stages, with what they share."""

    def __init__(
        self, source: PhotoSource, split: Split, settings: ReproduceSettings, progress: bool
    ) -> None:
        self.source, self.split, self.settings = source, split, settings
        self.progress = progress
        self.ablations, self.comparisons = ablation_plans(settings)
        self.subsets = _subsets(source.table, split, settings.sizes)

    def stages(self, output: Path, remarks: str) -> list[Stage]:
        """All stages, each after those it needs."""
        training = self.settings.training
        data = {"origin": self.source.origin, "digest": _digest(self.source.table, self.split)}
        stages = [
            Stage(
                "features",
                f"Features of {self.source.table.n_rows} images by the frozen {training.encoder}",
                {
                    **data,
                    "encoder": training.encoder,
                    "weights": training.weights,
                    "image_size": training.image_size,
                },
                self._embed,
                seconds=self.source.table.n_rows / 80,
            )
        ]
        for seed in range(self.settings.seeds):
            for plan in table_plans(self.settings):
                stages.append(self._model(plan, seed=seed))
        stages += [self._model(plan) for plan in self.ablations]
        for size in self.subsets:
            stages += [self._model(plan, size=size) for plan in size_plans(self.settings)]
        stages += [self._pixels(augment, data) for augment in AUGMENTATIONS]
        stages += [
            self._decoders(plan) for plan in table_plans(self.settings) if plan.name in DECODED
        ]
        stages.append(
            Stage(
                "report",
                "Tables, figures and the report",
                {"remarks": remarks, "comparisons": [c.title for c in self.comparisons]},
                lambda folder, folders: self._report(folder, folders, output, remarks),
                needs=[stage.name for stage in stages],
                seconds=40,
            )
        )
        return stages

    def _embed(self, folder: Path, folders: Folders) -> None:
        training = self.settings.training
        embed(
            self.source.images,
            row_keys(self.source.table),
            training.build_encoder(),
            folder / "features.npy",
            workers=training.workers,
            progress=self.progress,
        )

    def _with_features(self, folders: Folders) -> PhotoSource:
        cache = FeatureCache.open(folders["features"] / "features.npy")
        origin = {**self.source.origin, "features": cache.card.fingerprint}
        return replace(self.source, origin=origin, features=cache)

    def _model(self, plan: ModelPlan, *, seed: int = 0, size: int | None = None) -> Stage:
        training = self.settings.training
        options = replace(training, seed=training.seed + seed)
        split = self.split if size is None else self.subsets[size]

        def make(folder: Path, folders: Folders) -> None:
            self._run(self._with_features(folders), split, plan, options, folder)

        about = f", {size} training images" if size is not None else ""
        about += f", seed {options.seed}" if seed else ""
        n_train = len(split.train)
        steps = (options.epochs or 5) * (n_train / options.batch_size + 1)
        cost = {"retrieval": 0.06, "nearest": 0.0}.get(plan.task, 0.006)
        return Stage(
            _stage_name(plan, seed, size),
            f"{plan.name}{about}",
            {"plan": plan.to_dict(), "training": options.to_dict(), "size": size},
            make,
            needs=["features"],
            seconds=2.0 + cost * steps,
        )

    def _pixels(self, augment: Literal["none", "crop", "simclr"], data: dict[str, Any]) -> Stage:
        options = replace(self.settings.augmentation, augment=augment)
        plan = ModelPlan(
            "cells",
            "consolidated",
            self.settings.min_images,
            label=f"augment_{augment}",
        )

        def make(folder: Path, folders: Folders) -> None:
            self._run(self.source, self.split, plan, options, folder)

        return Stage(
            plan.name,
            f"End to end, augmentation {augment} ({options.encoder})",
            {**data, "plan": plan.to_dict(), "training": options.to_dict()},
            make,
            seconds=(options.epochs or 5) * len(self.split.train) / 250,
        )

    def _decoders(self, plan: ModelPlan) -> Stage:
        """Answers of the model's first run by every decoder, a file each."""
        model = _stage_name(plan, 0, None)

        def make(folder: Path, folders: Folders) -> None:
            source = self._with_features(folders)
            answers = decode_run(folders[model], source, self.split.test, progress=self.progress)
            for name, predictions in answers.items():
                write_predictions(folder / f"{name}.parquet", predictions)
            write_json(folder / _DECODERS_FILE, list(answers))

        return Stage(
            f"decoders-{plan.name}",
            f"{plan.name} by every decoder",
            {},
            make,
            needs=["features", model],
            seconds=5.0,
        )

    def _run(
        self,
        source: PhotoSource,
        split: Split,
        plan: ModelPlan,
        options: TrainingOptions,
        folder: Path,
    ) -> None:
        run_model(source, split, plan, options, folder, resume=True, progress=self.progress)

    def _report(self, folder: Path, folders: Folders, output: Path, remarks: str) -> None:
        source = self._with_features(folders)

        def runs(plan: ModelPlan, *, size: int | None = None, seeds: int = 1) -> list[ModelRun]:
            return [
                load_run(folders[_stage_name(plan, seed, size)], source) for seed in range(seeds)
            ]

        table = {
            plan.name: runs(plan, seeds=self.settings.seeds) for plan in table_plans(self.settings)
        }
        others = {plan.name: runs(plan)[0] for plan in self.ablations}
        whole = len(self.split.train)
        sizes = {
            size: {plan.name: runs(plan, size=size)[0] for plan in size_plans(self.settings)}
            for size in self.subsets
        }
        sizes[whole] = {plan.name: table[plan.name][0] for plan in size_plans(self.settings)}
        pixels = {
            f"augment_{augment}": load_run(folders[f"augment_{augment}"], self.source)
            for augment in AUGMENTATIONS
        }
        decoded = {
            plan.name: _read_decoders(folders[f"decoders-{plan.name}"])
            for plan in table_plans(self.settings)
            if plan.name in DECODED
        }
        write_reproduction(
            folder,
            output,
            Material(
                source=source,
                split=self.split,
                settings=self.settings,
                table=table,
                ablations=others,
                comparisons=self.comparisons,
                sizes=sizes,
                augmentations=pixels,
                decoded=decoded,
                remarks=remarks,
            ),
        )


def _read_decoders(folder: Path) -> dict[str, Predictions]:
    names = read_json(folder / _DECODERS_FILE)
    return {str(name): read_predictions(folder / f"{name}.parquet") for name in names}


def _stage_name(plan: ModelPlan, seed: int, size: int | None) -> str:
    name = plan.name
    if size is not None:
        name += f"-n{size}"
    return f"{name}-seed{seed}" if seed else name


def _subsets(table: PhotoTable, split: Split, sizes: tuple[int, ...]) -> dict[int, Split]:
    """Nested subsets of the training part, with the same validation and test parts."""
    if "subset_rank" in table.frame.columns:
        rank = table.frame["subset_rank"].to_numpy(np.int64)[split.train]
    else:
        rank = subset_ranks(
            np.asarray(row_keys(table), dtype=object)[split.train],
            np.zeros(len(split.train), dtype=np.int8),
        )
    subsets = {}
    for size in sizes:
        if size >= len(split.train):
            break
        rows = split.train[np.sort(np.argsort(rank, kind="stable")[:size])]
        subsets[size] = replace(split, train=rows)
    return subsets


def _digest(table: PhotoTable, split: Split) -> str:
    """Of the photos' keys, places, countries and parts."""
    digest = hashlib.sha256()
    digest.update(np.ascontiguousarray(table.coords).tobytes())
    digest.update(json.dumps([str(key) for key in row_keys(table)]).encode())
    digest.update(json.dumps(table.countries.tolist()).encode())
    for part in (split.train, split.validation, split.test):
        digest.update(np.asarray(part, dtype=np.int64).tobytes())
    return digest.hexdigest()[:16]
