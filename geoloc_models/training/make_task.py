"""From a plan and training photos to an untrained task, with the classes of every row."""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from geocells import CellBuilder, CellHierarchy, CellPartition
from geoloc_models.errors import GeolocError
from geoloc_models.features.cache import FeatureCache, row_keys
from geoloc_models.models.encoders import ImageEncoder, LocationEncoder
from geoloc_models.models.losses import balanced_class_weights
from geoloc_models.models.options import ModelPlan, TrainingOptions, auto_min_images
from geoloc_models.models.tasks import (
    CellTask,
    CountryTask,
    HierarchyTask,
    NearestTask,
    OffsetTask,
    PlaceTask,
    PooledTask,
    RefinedCellTask,
    RetrievalTask,
    classes_of_countries,
    labels_of_cells,
)
from geoloc_models.tables.photo_table import PhotoTable

logger = logging.getLogger(__name__)

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Labels:
    """What is true of every row of the table, in numbers.

    Parameters
    ----------
    country : ndarray
        (n,) int64, position among the training countries by name; -1 for another.
    cell : ndarray or None
        (n,) int64, or (n, L) for a hierarchy or several partitions; -1 for none.
    cells : CellPartition, CellHierarchy, list of CellPartition or None
        What ``cell`` numbers.
    """

    country: Rows
    cell: Rows | None = None
    cells: CellPartition | CellHierarchy | list[CellPartition] | None = None

    @property
    def first_cells(self) -> CellPartition | None:
        """The cells to show; None where there are none, or levels of them."""
        cells = self.cells[0] if isinstance(self.cells, list) else self.cells
        return cells if isinstance(cells, CellPartition) else None


def make_labels(
    plan: ModelPlan,
    table: PhotoTable,
    train: Rows,
    features: FeatureCache | None,
    given_cells: CellPartition | None = None,
) -> Labels:
    """Classes of every row; countries and cells come from the training rows alone.

    Cells that are given take the place of those that the plan would make.
    """
    plan = plan.resolve(len(train))
    countries = table.countries
    names = sorted(set(countries[train].tolist()))
    country = pd.Index(names).get_indexer(pd.Index(countries, dtype=object)).astype(np.int64)
    cells: Any
    if given_cells is not None:
        if not plan.has_cells:
            raise GeolocError(
                f"The task {plan.task} takes no cells; choose pooled, cells or refined."
            )
        cells = [given_cells] if plan.task == "pooled" else given_cells
    elif plan.task == "pooled":
        first, *others = plan.parts()
        cells = [_fit_cells(first, table, train, features)]
        # That the first one has few cells is told; the others vary on purpose.
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="A classifier learns little")
            cells += [_fit_cells(part, table, train, features) for part in others]
    elif plan.has_cells:
        cells = _fit_cells(plan, table, train, features)
    elif plan.task == "hierarchy":
        cells = _fit_hierarchy(plan, table, train)
    else:
        return Labels(country)
    if isinstance(cells, CellPartition):
        labels = labels_of_cells(cells, table.coords, countries)
    else:
        levels = cells.partitions_ if isinstance(cells, CellHierarchy) else cells
        labels = np.stack([labels_of_cells(each, table.coords, countries) for each in levels], 1)
    if given_cells is not None:
        _check_given(given_cells, labels[train])
    return Labels(country, labels, cells)


def _check_given(cells: CellPartition, labels: Rows) -> None:
    """Tell how many training photos lie in none of these cells; GeolocError if all do."""
    n_outside = int((labels < 0).sum())
    if n_outside == len(labels):
        groups = (
            ""
            if cells.groups is None
            else f" Their groups, {cells.groups[0]!r} say, must be countries by code."
        )
        raise GeolocError(f"None of the {n_outside} training photos lies in these cells.{groups}")
    if n_outside:
        logger.warning(
            "%d of %d training photos lie in none of these cells, and are not trained on.",
            n_outside,
            len(labels),
        )


def _fit_cells(
    plan: ModelPlan, table: PhotoTable, train: Rows, features: FeatureCache | None
) -> CellPartition:
    """Cells of the training rows."""
    coords, countries = table.coords, table.countries
    options: dict[str, Any] = {}
    feats = None
    if plan.method in ("bottom_up", "optimal"):
        rank_by = plan.rank_by or ("features" if features is not None else "coordinates")
        options = {
            "overlap": plan.overlap,
            "rank_by": "count" if rank_by == "count" else "mean_wcss",
        }
        if rank_by in ("features", "learned"):
            feats = _features_of(table, train, features)
    builder = CellBuilder(
        plan.min_images or auto_min_images(len(train)),
        method=plan.method,
        min_cell_size=plan.min_cell_size,
        max_images=plan.max_images,
        grid=plan.grid,
        location=plan.location,
        **options,
    )
    cells: CellPartition = builder.fit(coords[train], feats, groups=countries[train]).cells_
    return cells


def _features_of(
    table: PhotoTable, rows: Rows, features: FeatureCache | None
) -> npt.NDArray[np.float32]:
    if features is None:
        raise GeolocError(
            "Cells ranked by image features need a feature cache: run geoloc embed and name it "
            "with --features, or rank by coordinates."
        )
    cache_rows = features.rows_of(row_keys(table)[rows])
    features.require_finished(cache_rows)
    # A photo that cannot be read has no features: zeros, as the cache holds.
    return features.gather(cache_rows).astype(np.float32)


def _fit_hierarchy(plan: ModelPlan, table: PhotoTable, train: Rows) -> CellHierarchy:
    """Top-down cells at ever fewer images a cell, which are nested."""
    least = plan.min_images or auto_min_images(len(train))
    return CellHierarchy(
        [
            CellBuilder(factor * least, method="top_down", min_cell_size=plan.min_cell_size)
            for factor in plan.levels
        ]
    ).fit(table.coords[train], groups=table.countries[train])


def make_task(
    plan: ModelPlan,
    options: TrainingOptions,
    encoder: ImageEncoder,
    table: PhotoTable,
    train: Rows,
    labels: Labels,
) -> PlaceTask:
    """Build the untrained task of a plan; call it after seeding."""
    coords, countries = table.coords[train], table.countries[train]
    shape: dict[str, Any] = {"hidden": options.hidden, "dropout": options.dropout}
    if plan.task == "country":
        classes = classes_of_countries(coords, countries)
        weights = _weights(plan, labels.country[train], classes.n_classes)
        return CountryTask(encoder, classes, class_weights=weights, **shape)
    if plan.task == "offset":
        return OffsetTask.from_images(
            encoder,
            coords,
            countries,
            multi_task=plan.multi_task,
            alpha=plan.alpha,
            **shape,
        )
    if plan.task == "retrieval":
        location_encoder = LocationEncoder(
            plan.location_encoder,
            projection=plan.projection,
            sigmas=plan.sigmas,
            hidden=plan.location_hidden,
            seed=options.seed,
        )
        return RetrievalTask(
            encoder,
            location_encoder,
            coords,
            countries,
            n_false=plan.n_false,
            false_from=plan.false_from,
            mask_km=plan.mask_km,
            **shape,
        )
    if plan.task == "nearest":
        return NearestTask(encoder, n_neighbours=plan.n_neighbours, bandwidth_km=plan.bandwidth_km)
    if isinstance(labels.cells, list):
        return PooledTask(encoder, labels.cells, **shape)
    if isinstance(labels.cells, CellHierarchy):
        return HierarchyTask(encoder, labels.cells, **shape)
    if not isinstance(labels.cells, CellPartition) or labels.cell is None:
        raise GeolocError(f"The task {plan.task} needs cells.")
    weights = _weights(plan, labels.cell[train], labels.cells.n_cells)
    cell_task = RefinedCellTask if plan.task == "refined" else CellTask
    return cell_task(
        encoder,
        labels.cells,
        smoothing_km=plan.smoothing_km,
        class_weights=weights,
        **shape,
    )


def _weights(plan: ModelPlan, labels: Rows, n_classes: int) -> npt.NDArray[np.float32] | None:
    if not plan.balanced:
        return None
    counts = np.bincount(labels[labels >= 0], minlength=n_classes)
    weights: npt.NDArray[np.float32] = balanced_class_weights(torch.from_numpy(counts)).numpy()
    return weights
