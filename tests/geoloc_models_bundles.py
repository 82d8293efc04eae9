"""Saved bundles for the tests of answers: random weights, real files."""

import numpy as np
import pyarrow as pa
from geoloc_models_small import small_task

from geoloc_models.evaluation import summarise_training
from geoloc_models.inference import place_names as places
from geoloc_models.inference.bundle import Bundle, save_bundle
from geoloc_models.models import TrainingOptions

TOWNS = pa.table(
    {
        "name": ["Stockholm", "Bern", "Konstanz"],
        "country": ["SE", "CH", "DE"],
        "latitude": [59.33, 46.95, 47.66],
        "longitude": [18.07, 7.45, 9.17],
        "population": [1_500_000, 130_000, 85_000],
    }
)


def small_bundle(kind, table):
    """An untrained task with the tiny encoder."""
    task = small_task(kind, table).eval()
    if task.stores_images:
        features = np.random.default_rng(0).normal(size=(table.n_rows, task.encoder.dim))
        task.store({"features": features}, table.coords, table.countries)
    if kind == "cells":
        _ = task.cells.medoids  # as a run that keeps its places does
    options = TrainingOptions(encoder="tiny", image_size=32, hidden=32)
    summary = summarise_training(table.coords, table.countries)
    return Bundle(task, options.to_dict(), summary, {"epochs": 1})


def save_small_bundle(kind, table, path):
    """Save it; returns its folder."""
    save_bundle(small_bundle(kind, table), path)
    return path


def few_places(monkeypatch):
    """Three towns in place of the whole gazetteer, which takes seconds to read."""
    known = places.Gazetteer(TOWNS)
    monkeypatch.setattr(places, "gazetteer", lambda: known)
