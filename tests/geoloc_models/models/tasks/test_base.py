"""What all tasks share: every one learns, and its outputs become places."""

from contextlib import nullcontext

import numpy as np
import pytest
import torch
from geoloc_models_small import outputs_of, random_batch, small_table, small_task

from geoloc_models.models.options import ModelPlan
from geoloc_models.models.tasks import TASKS

TABLE = small_table()
TRAINED = ["pooled", "country", "cells", "offset", "hierarchy", "retrieval", "refined"]


@pytest.fixture(params=TRAINED)
def task(request):
    return small_task(request.param, TABLE)


def train(task, batch, n_steps):
    optimiser = torch.optim.Adam(task.parameters(), lr=1e-3)
    for _ in range(n_steps):
        optimiser.zero_grad()
        scored = task.score(batch)
        scored.loss.backward()
        optimiser.step()
    return scored


def test_every_task_can_be_planned():
    assert [ModelPlan(name).task for name in TASKS] == list(TASKS)


def test_gradient_reaches_every_parameter(task):
    task.score(random_batch(task)).loss.backward()
    for name, parameter in task.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


def test_overfits_eight_samples(task):
    batch = random_batch(task)
    task.eval()
    first = task.score(batch).loss.item()
    task.train()
    train(task, batch, 120)
    task.eval()
    last = task.score(batch)
    assert last.loss.item() < first / 2
    assert last.accuracy.item() == 1.0


def test_rows_of_an_unknown_class_do_not_count(task):
    if task.name == "retrieval":
        return  # it learns places, which are all known
    task.eval()
    batch = random_batch(task, 4)
    known = {name: values[:2] for name, values in batch.items()}
    for name in ("country", "cell"):
        batch[name] = batch[name].clone()
        batch[name][2] = -1
        batch[name].view(4, -1)[3, -1] = -1  # of several labels one is enough
    for ours, expected in zip(task.score(batch), task.score(known), strict=True):
        torch.testing.assert_close(ours, expected)
    batch["country"], batch["cell"] = batch["country"] * 0 - 1, batch["cell"] * 0 - 1
    assert [value.item() for value in task.score(batch)] == [0, 0, 0]


def test_a_step_never_looks_at_numbers_of_the_device(task, monkeypatch):
    """Tensors without numbers, of the device meta, raise where a number is asked for."""
    monkeypatch.setattr(torch, "autocast", lambda **_: nullcontext())  # it does not know meta
    task.train().to("meta")
    batch = {
        name: values.to("meta") if isinstance(values, torch.Tensor) else values
        for name, values in random_batch(task).items()
    }
    scored = task.score(batch)
    scored.loss.backward()
    assert {value.device.type for value in scored} == {"meta"}


def test_the_loss_is_a_float32_scalar(task):
    loss = task.score(random_batch(task)).loss
    assert loss.dtype == torch.float32
    assert loss.shape == ()


def test_outputs_have_a_row_per_image_and_become_places(task):
    arrays = outputs_of(task.eval(), torch.randn(3, 3, 32, 32))
    assert {len(values) for values in arrays.values()} == {3}
    assert all(values.dtype == np.float32 for values in arrays.values())
    if task.stores_images:
        features = {name: np.concatenate([values] * 8) for name, values in arrays.items()}
        task.store(features, TABLE.coords, TABLE.countries)
    answer = task.answer(arrays, np.array([5, 6, 9]))
    assert answer.rows.tolist() == [5, 6, 9]
    assert np.isfinite(answer.coords).all()
    assert set(answer.countries) <= {"SE", "CH"}
