"""What all tasks share: every one learns, and its frozen stages stay as they are."""

import copy

import numpy as np
import pytest
import torch
from geoloc_models_small import random_batch, small_table, small_task

from geoloc_models._errors import GeolocError
from geoloc_models.models.tasks import Optimisation

TABLE = small_table()
TRAINED = ["country", "cells", "offset", "hierarchy", "retrieval", "refined"]


@pytest.fixture(params=TRAINED)
def task(request):
    return small_task(request.param, TABLE)


def train(task, batch, n_steps):
    optimiser = task.configure_optimizers()
    for _ in range(n_steps):
        optimiser.zero_grad()
        scored = task.score(batch)
        scored.loss.backward()
        optimiser.step()
    return scored


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


def test_the_loss_is_a_float32_scalar(task):
    loss = task.score(random_batch(task)).loss
    assert loss.dtype == torch.float32
    assert loss.shape == ()


def test_outputs_have_a_row_per_image_and_become_places(task):
    outputs = task.eval().outputs(torch.randn(3, 3, 32, 32))
    arrays = {name: values.detach().numpy() for name, values in outputs.items()}
    assert {len(values) for values in arrays.values()} == {3}
    assert all(values.dtype == np.float32 for values in arrays.values())
    if task.remembers_images:
        features = {name: np.concatenate([values] * 8) for name, values in arrays.items()}
        task.remember(features, TABLE.coords, TABLE.countries)
    answer = task.answer(arrays, np.array([5, 6, 9]))
    assert answer.rows.tolist() == [5, 6, 9]
    assert np.isfinite(answer.coords).all()
    assert set(answer.countries) <= {"SE", "CH"}


def frozen(task, how, epoch, *, every=1):
    task.optimisation = Optimisation(1e-2, encoder=how, thaw_every=every)
    task.freeze_encoder(epoch)
    return [all(p.requires_grad for p in stage.parameters()) for stage in task.encoder.stages()]


def test_stages_thaw_from_the_last_one_down():
    task = small_task("cells", TABLE)
    n_stages = len(task.encoder.stages())
    assert n_stages >= 3
    assert not any(frozen(task, "gradual", 1, every=2))
    assert frozen(task, "gradual", 2, every=2) == [False] * (n_stages - 1) + [True]
    assert frozen(task, "gradual", 4, every=2) == [False] * (n_stages - 2) + [True, True]
    assert all(frozen(task, "gradual", 1000))
    assert not any(frozen(task, "none", 1000))
    assert all(frozen(task, "all", 0))


def test_a_frozen_encoder_keeps_weights_and_statistics():
    task = small_task("cells", TABLE)
    task.optimisation = Optimisation(1e-2, encoder="none")
    task.freeze_encoder(0)
    before = copy.deepcopy(task.encoder.state_dict())
    head = task.head.layers[0].weight.detach().clone()
    task.train()
    train(task, random_batch(task), 3)
    assert all(
        torch.equal(before[name], value) for name, value in task.encoder.state_dict().items()
    )
    assert not torch.equal(head, task.head.layers[0].weight)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schedule": "steps"}, "schedule 'steps'"),
        ({"encoder": "half"}, "encoder 'half'"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0"),
        ({"weight_decay": -1.0}, "weight_decay must be"),
        ({"thaw_every": 0}, "thaw_every must be"),
    ],
)
def test_unsound_ways_to_train_are_refused(change, words):
    with pytest.raises(GeolocError, match=words):
        Optimisation(**change)


def test_weight_decay_is_adamw():
    task = small_task("country", TABLE)
    task.optimisation = Optimisation(weight_decay=0.1)
    optimiser = task.configure_optimizers()
    assert isinstance(optimiser, torch.optim.AdamW)
    assert optimiser.param_groups[0]["weight_decay"] == 0.1
