"""Tasks with the tiny encoder: shapes, gradients, learning, empty and unknown rows."""

import pytest
import torch
from geoloc_models_small import random_batch, small_table, small_task

from geoloc_models.errors import GeolocError

TABLE = small_table()


@pytest.fixture(params=["country", "cells"])
def task(request):
    return small_task(request.param, TABLE)


def test_one_logit_per_class(task):
    assert task(torch.zeros(3, 3, 32, 32)).shape == (3, task.classes.n_classes)
    assert task.classes.n_classes >= 2


def test_probabilities_sum_to_one_in_float32(task):
    features = task.encoder(torch.randn(3, 3, 32, 32))
    probabilities = task.outputs(features)["probabilities"]
    assert probabilities.dtype == torch.float32
    torch.testing.assert_close(probabilities.sum(dim=1), torch.ones(3))


def test_class_weights_count_in_the_loss():
    weighted = small_task("country", TABLE, class_weights=[0.0, 1.0]).eval()
    batch = random_batch(weighted, 4)
    second = {key: value[1::2] for key, value in batch.items()}
    torch.testing.assert_close(weighted.score(batch).loss, weighted.score(second).loss)
    with pytest.raises(GeolocError, match="as many weights"):
        small_task("country", TABLE, class_weights=[1.0])


def test_smoothing_leaves_out_rows_of_unknown_class():
    task = small_task("cells", TABLE, smoothing_km=70).eval()
    batch = random_batch(task, 4)
    known = {key: value[:2] for key, value in batch.items()}
    batch["cell"] = torch.tensor([*batch["cell"][:2].tolist(), -1, -1])
    torch.testing.assert_close(task.score(batch).loss, task.score(known).loss)


def test_smoothing_spreads_the_truth_over_near_cells():
    plain = small_task("cells", TABLE).eval()
    batch = random_batch(plain, 4)
    batch["coords"] = plain.locations[batch["cell"]]
    narrow = small_task("cells", TABLE, smoothing_km=0.001).eval()  # the true cell alone
    wide = small_task("cells", TABLE, smoothing_km=1e9).eval()  # all cells alike
    torch.testing.assert_close(narrow.score(batch).loss, plain.score(batch).loss)
    logits = wide(batch["image"])
    torch.testing.assert_close(
        wide.score(batch).loss, -torch.log_softmax(logits, dim=1).mean(), rtol=1e-4, atol=1e-5
    )


def test_smoothing_and_class_weights_exclude_each_other():
    n_classes = small_task("cells", TABLE).classes.n_classes
    with pytest.raises(GeolocError, match="one true class"):
        small_task("cells", TABLE, smoothing_km=70, class_weights=[1.0] * n_classes)
