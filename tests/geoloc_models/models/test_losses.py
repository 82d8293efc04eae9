"""Losses against a few lines of NumPy."""

import io
from functools import partial

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight

from geocells import sphere
from geoloc_models.models.losses import (
    LocationQueue,
    accuracy,
    balanced_class_weights,
    cross_entropy,
    false_weights,
    haversine_km,
    nt_xent,
    offset_loss,
    smoothed_targets,
    soft_cross_entropy,
    vanilla_loss,
)

CITIES = np.array(
    [(47.3769, 8.5417), (59.3293, 18.0686), (10.0, 179.9), (10.0, -179.9), (90.0, 0.0)]
)


def log_softmax(logits):
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def check_gradient(function, *arrays):
    """The gradient against differences, in float64."""
    inputs = [torch.tensor(array, requires_grad=True) for array in arrays]
    assert torch.autograd.gradcheck(function, inputs)


# Cross entropy


def test_cross_entropy_agrees_with_numpy():
    random = np.random.default_rng(0)
    logits = random.normal(size=(6, 4))
    target = random.integers(4, size=6)
    expected = -log_softmax(logits)[np.arange(6), target].mean()
    loss = cross_entropy(torch.tensor(logits), torch.tensor(target))
    # float32: seven digits.
    np.testing.assert_allclose(loss.item(), expected, rtol=1e-6)


def test_weighted_cross_entropy_agrees_with_numpy():
    logits, target = normal(6, 3), np.array([0, 2, 1, 1, 0, 0])
    weights = np.array([0.5, 2.0, 3.0])
    row_weights = weights[target]
    terms = -log_softmax(logits)[np.arange(6), target]
    loss = cross_entropy(
        torch.tensor(logits), torch.tensor(target), class_weights=torch.tensor(weights)
    )
    expected = (row_weights * terms).sum() / row_weights.sum()
    np.testing.assert_allclose(loss.item(), expected, rtol=1e-6)


def test_loss_is_float32_for_half_precision_logits():
    logits = torch.zeros(2, 3, dtype=torch.bfloat16)
    assert cross_entropy(logits, torch.tensor([0, 1])).dtype == torch.float32


def test_accuracy_counts_the_highest_logit():
    logits = torch.tensor([[2.0, 1.0], [0.0, 1.0], [3.0, 0.0], [0.0, 5.0]])
    assert accuracy(logits, torch.tensor([0, 1, 1, 1])).item() == 0.75


def test_balanced_weights_are_scikit_learns():
    labels = np.array([0] * 7 + [1] * 2 + [2])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    ours = balanced_class_weights(torch.tensor(np.bincount(labels)))
    np.testing.assert_allclose(ours.numpy(), expected, rtol=1e-6)


def test_a_class_without_images_weighs_nothing_and_does_not_count():
    assert balanced_class_weights(torch.tensor([3, 0, 1])).tolist() == pytest.approx([2 / 3, 0, 2])


# Country and offset


def test_offset_loss_agrees_with_numpy():
    logits, offset, true_offset = normal(5, 3), normal(5, 2, seed=1), normal(5, 2, seed=2)
    country = np.array([0, 2, 1, 1, 0])
    entropy = -log_softmax(logits)[np.arange(5), country].mean()
    squared = ((offset - true_offset) ** 2).mean()
    for alpha in (0.0, 0.3, 1.0):
        loss = offset_loss(*map(torch.tensor, (logits, offset, country, true_offset)), alpha=alpha)
        np.testing.assert_allclose(loss.item(), alpha * entropy + (1 - alpha) * squared, rtol=1e-6)


# Distances and smoothed labels


def test_haversine_is_that_of_geocells():
    distance = haversine_km(torch.tensor(CITIES), torch.tensor(CITIES[1:])).numpy()
    np.testing.assert_allclose(distance, sphere.haversine_matrix(CITIES, CITIES[1:]), atol=1e-9)


def test_smoothed_targets_are_pigeons_formula():
    distance, true, tau = np.abs(normal(4, 6)) * 300, np.array([1, 0, 5, 2]), 70.0
    unscaled = np.exp(-(distance - distance[np.arange(4), true][:, None]) / tau)
    expected = unscaled / unscaled.sum(axis=1, keepdims=True)
    targets = smoothed_targets(torch.tensor(distance), tau_km=tau)
    np.testing.assert_allclose(targets.numpy(), expected, rtol=1e-6)
    assert targets.dtype == torch.float32


def test_far_cells_get_nothing_and_infinitely_far_ones_are_left_out():
    distance = torch.tensor([[19_000.0, 20_000.0, torch.inf]])
    shares = smoothed_targets(distance, tau_km=1.0)
    assert shares.tolist() == [[1.0, 0.0, 0.0]]


def test_soft_cross_entropy_agrees_with_numpy():
    logits, targets = normal(5, 4), np.random.default_rng(1).dirichlet(np.ones(4), 5)
    expected = -(targets * log_softmax(logits)).sum(axis=1).mean()
    loss = soft_cross_entropy(torch.tensor(logits), torch.tensor(targets))
    np.testing.assert_allclose(loss.item(), expected, rtol=1e-6)


# Contrast


def naive_nt_xent(image, location, false_locations, temperature, weights=None):
    """Term by term, in the formula's own words."""

    def cosine(a, b):
        return a @ b / np.linalg.norm(a) / np.linalg.norm(b)

    terms = []
    for row in range(len(image)):
        true = np.exp(cosine(image[row], location[row]) / temperature)
        false = [
            np.exp(cosine(image[row], other) / temperature)
            * (1.0 if weights is None else weights[row, number])
            for number, other in enumerate(false_locations)
        ]
        terms.append(-np.log(true / (true + sum(false))))
    return np.mean(terms)


IMAGE, LOCATION, FALSE = normal(4, 5), normal(4, 5, seed=1), normal(7, 5, seed=2)
WEIGHTS = np.random.default_rng(4).random((4, 7)) * 3.0
WEIGHTS[WEIGHTS < 1.0] = 0.0  # left out


@pytest.mark.parametrize("counts", [None, WEIGHTS])
def test_nt_xent_agrees_with_the_formula(counts):
    expected = naive_nt_xent(IMAGE, LOCATION, FALSE, 0.2, counts)
    weights = None if counts is None else torch.tensor(counts)
    arguments = [torch.tensor(a) for a in (IMAGE, LOCATION, FALSE)]
    loss = nt_xent(*arguments, temperature=0.2, weights=weights)
    np.testing.assert_allclose(loss.item(), expected, rtol=1e-12)
    loss = nt_xent(*[a.float() for a in arguments], temperature=0.2, weights=weights)
    assert loss.dtype == torch.float32
    np.testing.assert_allclose(loss.item(), expected, rtol=1e-5)


def test_views_are_terms_of_their_own():
    views = normal(4, 3, 5, seed=5)
    expected = np.mean(
        [naive_nt_xent(views[:, v], LOCATION, FALSE, 0.2, WEIGHTS) for v in range(3)]
    )
    arguments = map(torch.tensor, (views, LOCATION, FALSE))
    loss = nt_xent(*arguments, temperature=0.2, weights=torch.tensor(WEIGHTS))
    np.testing.assert_allclose(loss.item(), expected, rtol=1e-12)


def test_nt_xent_is_stable_at_any_temperature():
    opposite = torch.tensor([[1.0, 0.0], [0.0, 1.0]], requires_grad=True)
    loss = nt_xent(opposite, -opposite, opposite.detach(), temperature=1e-4)
    # The worst there is: the own location at -1, a false one at 1, the difference over t.
    assert loss.item() == pytest.approx(2e4)
    loss.backward()
    assert torch.isfinite(opposite.grad).all()
    near = nt_xent(opposite.detach(), opposite.detach(), -opposite.detach(), temperature=1e-4)
    assert near.item() == 0.0


def test_an_image_whose_false_locations_are_all_left_out_has_no_loss_and_no_gradient():
    image = torch.tensor(IMAGE, requires_grad=True)
    weights = torch.ones(4, 7)
    weights[2] = 0.0
    nt_xent(image, torch.tensor(LOCATION), torch.tensor(FALSE), weights=weights).backward()
    assert image.grad[2].abs().max() == 0.0
    assert (image.grad[[0, 1, 3]].abs().sum(dim=1) > 0).all()
    assert nt_xent(image, torch.tensor(LOCATION), torch.zeros(0, 5).double()).item() == 0.0


def test_gradient_of_nt_xent_with_a_learned_temperature():
    weights = torch.tensor(WEIGHTS)

    def loss(image, location, false, temperature):
        return nt_xent(image, location, false, temperature=temperature, weights=weights)

    check_gradient(loss, IMAGE, LOCATION, FALSE, np.array(0.3))
    check_gradient(partial(nt_xent, temperature=0.3), normal(4, 2, 5), LOCATION, FALSE)


def test_nt_xent_is_not_halved_by_autocast():
    arguments = [torch.tensor(a).float() for a in (IMAGE, LOCATION, FALSE)]
    expected = nt_xent(*arguments)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(nt_xent(*arguments), expected)


def test_false_locations_count_nothing_within_the_radius():
    coords = torch.tensor(CITIES)
    # The two places beside the antimeridian are 22 km apart.
    weights = false_weights(coords, coords[2:4], mask_km=25.0)
    assert weights.tolist() == [[1, 1], [1, 1], [0, 0], [0, 0], [1, 1]]
    assert (false_weights(coords, coords, mask_km=0.0) == 1).all()


def test_vanilla_loss_agrees_with_numpy():
    image, location = normal(4, 5), normal(4, 5, seed=1)
    lengths = np.linalg.norm(image, axis=1) * np.linalg.norm(location, axis=1)
    cosine = (image * location).sum(axis=1) / lengths
    arguments = torch.tensor(image), torch.tensor(location)
    assert vanilla_loss(*arguments).item() == pytest.approx(1 - cosine.mean())
    views = torch.stack([arguments[0], arguments[0]], dim=1)
    assert vanilla_loss(views, arguments[1]).item() == pytest.approx(1 - cosine.mean())
    check_gradient(vanilla_loss, image, location)


# The queue of previous batches


def numbered(*numbers):
    return torch.tensor([[float(number), -float(number)] for number in numbers]).double()


def test_the_queue_starts_with_training_coordinates():
    training = numbered(*range(10))
    queue = LocationQueue(6, training)
    latitudes = queue.coords[:, 0].tolist()
    assert len(set(latitudes)) == 6
    assert set(latitudes) <= set(range(10))
    assert torch.equal(queue.coords, LocationQueue(6, training).coords)
    assert not torch.equal(queue.coords, LocationQueue(6, training, seed=1).coords)


def test_a_queue_larger_than_the_training_set_repeats_it():
    latitudes = LocationQueue(7, numbered(0, 1, 2)).coords[:, 0].tolist()
    assert sorted(latitudes.count(number) for number in range(3)) == [2, 2, 3]


def test_first_in_is_first_out():
    queue = LocationQueue(5, numbered(0))
    expected = [0.0] * 5  # oldest first
    number = 1
    for length in (2, 2, 3, 0, 5, 1, 12, 4):
        batch = list(range(number, number + length))
        number += length
        queue.push(numbered(*batch).reshape(-1, 2))
        expected = (expected + batch)[-5:]
        order = torch.arange(5) + queue.place
        assert queue.coords[order % 5, 0].tolist() == expected


def test_a_queue_goes_on_from_its_state():
    queue = LocationQueue(4, numbered(0, 1, 2, 3))
    queue.push(numbered(5, 6, 7))
    saved = io.BytesIO()
    torch.save(queue.state_dict(), saved)
    saved.seek(0)
    again = LocationQueue(4, numbered(9))
    again.load_state_dict(torch.load(saved, weights_only=True))
    for one in (queue, again):
        one.push(numbered(8, 9))
    assert torch.equal(queue.coords, again.coords)


def test_the_queue_keeps_its_precision_when_its_task_is_cast():
    queue = LocationQueue(1, torch.tensor([[47.3769, 8.5417]], dtype=torch.float64))
    torch.nn.Sequential(queue).to(torch.bfloat16)
    assert queue.coords.tolist() == [[47.3769, 8.5417]]
