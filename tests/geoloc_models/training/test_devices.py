"""Two processes that share each batch give what one gives."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from geoloc_models_small import small_cells, small_table, small_task

from geoloc_models._errors import GeolocError
from geoloc_models.data import FeatureCache, FeatureDataset
from geoloc_models.data._feature_files import FeatureCard
from geoloc_models.data.feature_writer import FeatureWriter
from geoloc_models.encoders import CachedFeatures
from geoloc_models.training import TrainingOptions, fit_task

OPTIONS = TrainingOptions(
    encoder="tiny", image_size=32, batch_size=8, learning_rate=1e-2, epochs=2, hidden=32
)
TABLE = small_table(40)


KEYS = [f"photo-{row}" for row in range(TABLE.n_rows)]


def small_cache(path):
    card = FeatureCard(
        encoder="tiny",
        fingerprint="0123",
        preprocessing={"image_size": 32},
        dim=12,
        dtype="float32",
        n_rows=1,
        keys_digest="",
    )
    values = np.random.default_rng(0).normal(size=(TABLE.n_rows, 12)).astype(np.float32)
    with FeatureWriter(path, KEYS, card) as writer:
        writer.write(np.arange(TABLE.n_rows), values)
    return FeatureCache.open(path)


def feature_dataset(cache, rows):
    countries = np.array([["CH", "SE"].index(name) for name in TABLE.countries])
    cells = small_cells(TABLE).assign(TABLE.coords, groups=TABLE.countries)
    return FeatureDataset(cache, KEYS, TABLE.coords, countries, cell_labels=cells, rows=rows)


def fit(cache, run_dir, options):
    task = small_task("cells", TABLE, learning_rate=1e-2, encoder=CachedFeatures(12, "tiny"))
    datasets = [feature_dataset(cache, rows) for rows in (range(32), range(32, 40))]
    record = fit_task(task, *datasets, options, run_dir, progress=False)
    return task, record


def test_two_processes_give_the_metrics_of_one(tmp_path):
    cache = small_cache(tmp_path / "features.npy")
    one_task, one = fit(cache, tmp_path / "one", OPTIONS)
    two_task, two = fit(cache, tmp_path / "two", replace(OPTIONS, devices=2))
    assert [epoch["epoch"] for epoch in two.history] == [1, 2]
    for left, right in zip(one.history, two.history, strict=True):
        # Gradients are averaged in another order: float32 rounding, grown over eight Adam steps.
        np.testing.assert_allclose(
            [left[name] for name in left], [right[name] for name in left], rtol=1e-3
        )
    assert one.best_epoch == two.best_epoch
    for name, value in one_task.state_dict().items():
        torch.testing.assert_close(value, two_task.state_dict()[name], rtol=1e-2, atol=1e-4)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"batch_size": 7, "devices": 2}, "multiple"),
        ({"train_encoder": "gradual", "devices": 2}, "one device only"),
    ],
)
def test_what_devices_cannot_share_is_refused(change, words):
    with pytest.raises(GeolocError, match=words):
        replace(OPTIONS, **change)
