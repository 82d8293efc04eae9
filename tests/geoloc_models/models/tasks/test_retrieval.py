"""Retrieval: false locations, the queue, views, and the gallery that answers."""

import numpy as np
import torch
from geoloc_models_small import random_batch, small_table, small_task
from torch.nn import functional

TABLE = small_table()


def test_an_image_embedded_like_a_place_is_answered_with_it():
    task = small_task("retrieval", TABLE).eval()
    with torch.no_grad():
        places = task.location_encoder(torch.from_numpy(TABLE.coords.copy()))
    outputs = {"embedding": functional.normalize(places, dim=1).numpy()}
    answer = task.answer(outputs, np.arange(TABLE.n_rows))
    np.testing.assert_allclose(answer.coords, TABLE.coords)
    assert answer.countries.tolist() == TABLE.countries.tolist()


def test_the_gallery_is_embedded_once():
    task = small_task("retrieval", TABLE).eval()
    assert task.gallery is task.gallery


def test_the_queue_holds_the_places_of_the_batches_before():
    task = small_task("retrieval", TABLE, false_from="queue", n_false=8)
    batch = random_batch(task, 8)
    before = task.queue.coords.clone()
    assert {tuple(place) for place in before.tolist()} <= {tuple(c) for c in TABLE.coords.tolist()}
    task.train()
    task.score(batch)
    assert torch.equal(task.queue.coords, batch["coords"])
    task.eval()
    task.score(random_batch(task, 8, seed=5))  # validation does not move it
    assert torch.equal(task.queue.coords, batch["coords"])


def test_validation_meets_the_same_false_locations_every_time():
    task = small_task("retrieval", TABLE).eval()
    batch = random_batch(task)
    assert task.score(batch).loss == task.score(batch).loss


def test_training_draws_them_anew_from_torchs_generator():
    task = small_task("retrieval", TABLE).train()
    for module in task.encoder.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()
    batch = random_batch(task)
    torch.manual_seed(1)
    first = task.score(batch).loss
    assert task.score(batch).loss != first
    torch.manual_seed(1)
    assert task.score(batch).loss == first


def test_a_mask_as_wide_as_the_world_leaves_nothing_to_contrast():
    task = small_task("retrieval", TABLE, mask_km=20_000).eval()
    batch = random_batch(task)
    batch["coords"] = torch.from_numpy(TABLE.coords[:8].copy())
    assert task.score(batch).loss == 0


def test_views_of_an_image_are_positives_of_one_place():
    task = small_task("retrieval", TABLE).eval()
    batch = random_batch(task, 4)
    twice = {**batch, "image": torch.stack([batch["image"]] * 2, dim=1)}
    torch.testing.assert_close(task.score(twice).loss, task.score(batch).loss)


def test_without_contrast_the_location_encoder_stays():
    task = small_task("retrieval", TABLE, n_false=0)
    batch = random_batch(task)
    scored = task.score(batch)
    scored.loss.backward()
    assert all(p.grad is None for p in task.location_encoder.parameters())
    assert all(p.grad is not None for p in task.head.parameters())
    image = functional.normalize(task(batch["image"]), dim=1)
    place = functional.normalize(task.location_encoder(batch["coords"]), dim=1)
    torch.testing.assert_close(scored.loss, 1 - (image * place).sum(dim=1).mean())


def test_the_temperature_is_learned_and_never_nothing():
    task = small_task("retrieval", TABLE)
    torch.testing.assert_close(task.temperature, torch.tensor(0.07))
    with torch.no_grad():
        task.log_temperature.fill_(-100.0)
    assert task.temperature >= 0.0099
