"""Small photos and tasks for the tests of models: two countries, told apart by colour."""

import os

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

from geocells import CellBuilder, CellHierarchy
from geoloc_models.models.encoders import LocationEncoder, build_encoder
from geoloc_models.models.tasks import (
    CellTask,
    CountryTask,
    HierarchyTask,
    NearestTask,
    OffsetTask,
    PooledTask,
    RefinedCellTask,
    RetrievalTask,
    classes_of_countries,
)
from geoloc_models.photos.dataset import PhotoDataset
from geoloc_models.photos.framing import make_framing
from geoloc_models.photos.images import FileImages
from geoloc_models.tables.photo_table import PhotoTable

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


def save_small_photos(folder, n_rows, name="photos.csv", *, broken=(), **columns):
    """Photos with ids, the table that names them, and ``tiny.safetensors``, weights of an encoder."""
    photos = small_table(n_rows, folder=folder / "photos")
    frame = photos.frame.assign(
        path=[f"photos/{row}.jpg" for row in range(n_rows)],
        id=[f"photo-{row}" for row in range(n_rows)],
        **columns,
    )
    write = frame.to_csv if name.endswith(".csv") else frame.to_parquet
    write(folder / name, index=False)
    for row in broken:
        (folder / "photos" / f"{row}.jpg").write_text("not an image")
    torch.manual_seed(0)
    save_file(build_encoder("tiny").backbone.state_dict(), folder / "tiny.safetensors")
    return folder / name


def small_cells(table, min_images=4):
    """Cells with a country each."""
    return (
        CellBuilder(min_images, method="consolidated")
        .fit(table.coords, groups=table.countries)
        .cells_
    )


def small_dataset(table, rows=None, *, size=32, augment="none", views=1):
    """Dataset over the table's files, with country indices and cells."""
    names = sorted(set(table.countries))
    return PhotoDataset(
        FileImages(table.frame["path"].to_numpy()),
        table.coords,
        [names.index(name) for name in table.countries],
        make_framing(size, augment=augment, views=views),
        cell_labels=small_cells(table).assign(table.coords, groups=table.countries),
        rows=rows,
    )


class _NotedPhotos(PhotoDataset):
    """Notes the process that loads each photo."""

    def __getitem__(self, index):
        with self.notes.open("a") as file:
            file.write(f"{os.getpid()}\n")
        return super().__getitem__(index)


def note_who_loads(parts, notes):
    """Have the id of the process that loads a photo of these parts appended to a file."""
    for part in parts:
        part.__class__, part.notes = _NotedPhotos, notes


def small_task(kind, table, *, seed=0, encoder=None, **options):
    """Untrained task, by default with the tiny encoder."""
    torch.manual_seed(seed)
    encoder = encoder or build_encoder("tiny")
    coords, countries = table.coords, table.countries
    options = {"hidden": 32, **options}
    if kind == "cells":
        return CellTask(encoder, small_cells(table), **options)
    if kind == "pooled":
        return PooledTask(encoder, [small_cells(table), small_cells(table, 8)], **options)
    if kind == "refined":
        return RefinedCellTask(encoder, small_cells(table), **options)
    if kind == "country":
        return CountryTask(encoder, classes_of_countries(coords, countries), **options)
    if kind == "offset":
        return OffsetTask.from_images(encoder, coords, countries, **{"alpha": 0.5, **options})
    if kind == "hierarchy":
        return HierarchyTask(encoder, small_hierarchy(table), **options)
    if kind == "nearest":
        return NearestTask(encoder, n_neighbours=3, bandwidth_km=100.0)
    location = LocationEncoder(
        options.pop("location", "rff"), sigmas=(1, 16), n_frequencies=16, hidden=32, dim=16
    )
    return RetrievalTask(encoder, location, coords, countries, **{"n_false": 16, **options})


def outputs_of(task, images):
    """Arrays of images (n, 3, H, W), as a run of the network gives them."""
    with torch.inference_mode():
        features = task.encoder(images)
        outputs = {**task.outputs(features), "features": features.float()}
    return {name: values.numpy() for name, values in outputs.items()}


def small_hierarchy(table):
    """Two nested levels."""
    builders = [{"min_images": n, "method": "top_down"} for n in (8, 4)]
    return CellHierarchy(builders).fit(table.coords, groups=table.countries)


def random_batch(task, n_rows=8, *, size=32, seed=0):
    """Random images with labels spread over the task's classes."""
    generator = torch.Generator().manual_seed(seed)
    is_classifier = task.classes is not None and task.classes.kind != "gallery"
    label = torch.arange(n_rows) % (task.classes.n_classes if is_classifier else 2)
    cell = label
    if task.name == "hierarchy":
        sizes = [cells.n_cells for cells in task.hierarchy.partitions_]
        cell = torch.stack([torch.arange(n_rows) % n for n in sizes], dim=1)
    if task.name == "pooled":
        cell = torch.stack([torch.arange(n_rows) % n for n in task.n_classes], dim=1)
    coords = torch.rand(n_rows, 2, generator=generator, dtype=torch.float64) * 10 + 45
    return {
        "image": torch.randn(n_rows, 3, size, size, generator=generator),
        "coords": coords,
        "country": label,
        "cell": cell,
        "row": torch.arange(n_rows),
        "broken": [],
    }
