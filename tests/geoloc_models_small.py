"""Small photos and tasks for the tests of models: two countries, told apart by colour."""

import numpy as np
import torch
from PIL import Image

from geocells import CellBuilder
from geoloc_models.data import FileImages, PhotoDataset, PhotoTable, make_transform
from geoloc_models.encoders import build_encoder
from geoloc_models.tasks import CellTask, CountryTask, answers_of_countries

CENTRES = {"SE": (59.3, 18.0), "CH": (47.0, 8.0)}
COLOURS = {"SE": (40, 60, 200), "CH": (200, 60, 40)}


def small_table(n_rows=24, *, seed=0, folder=None, size=24):
    """Photos around two centres; with a folder, their JPEGs are written there."""
    random = np.random.default_rng(seed)
    countries = np.array([("SE", "CH")[row % 2] for row in range(n_rows)], dtype=object)
    coords = np.array([CENTRES[name] for name in countries]) + random.normal(0, 0.3, (n_rows, 2))
    paths = None
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        paths = []
        for row, name in enumerate(countries):
            noise = random.integers(-30, 30, (size, size, 3))
            pixels = np.clip(np.array(COLOURS[name]) + noise, 0, 255).astype(np.uint8)
            paths.append(str(folder / f"{row}.jpg"))
            Image.fromarray(pixels).save(paths[-1])
    return PhotoTable.from_arrays(coords, countries, paths=paths)


def small_cells(table, min_images=4):
    """Cells with a country each."""
    return (
        CellBuilder(min_images, method="consolidated")
        .fit(table.coords, groups=table.countries)
        .cells_
    )


def small_dataset(table, rows=None, *, size=32, augment=False):
    """Dataset over the table's files, with country indices and cells."""
    names = sorted(set(table.countries))
    return PhotoDataset(
        FileImages(table.frame["path"].to_numpy()),
        table.coords,
        [names.index(name) for name in table.countries],
        make_transform(size, augment=augment),
        cell_labels=small_cells(table).assign(table.coords, groups=table.countries),
        rows=rows,
    )


def small_task(kind, table, *, learning_rate=1e-3, schedule="constant", seed=0):
    """Untrained task with the tiny encoder."""
    torch.manual_seed(seed)
    how = {"learning_rate": learning_rate, "schedule": schedule, "hidden": 32}
    encoder = build_encoder("tiny")
    if kind == "cells":
        return CellTask(encoder, small_cells(table), **how)
    answers = answers_of_countries(table.coords, table.countries)
    return CountryTask(encoder, answers, **how)


def random_batch(task, n_rows=8, *, size=32, seed=0):
    """Random images with labels spread over the task's classes."""
    generator = torch.Generator().manual_seed(seed)
    label = torch.arange(n_rows) % task.answers.n_classes
    return {
        "image": torch.randn(n_rows, 3, size, size, generator=generator),
        "country": label,
        "cell": label,
        "row": torch.arange(n_rows),
        "broken": [],
    }
