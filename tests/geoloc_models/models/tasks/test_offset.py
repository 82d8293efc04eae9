"""Regression: boxes of countries, offsets in them, and back."""

import numpy as np
import torch
from geoloc_models_small import random_batch, small_table, small_task
from hypothesis import given
from hypothesis import strategies as st

from geoloc_models.models.tasks import CountryBoxes
from geoloc_models.models.tasks.offset import offsets_in_boxes

TABLE = small_table()


def offsets(boxes, points):
    """In the first box."""
    points = torch.tensor(points, dtype=torch.float64)
    return offsets_in_boxes(
        points, torch.from_numpy(boxes.boxes[:1]).expand(len(points), 4)
    ).numpy()


def test_a_box_by_hand():
    boxes = CountryBoxes.from_images([[46.0, 6.0], [47.0, 10.0], [59.0, 18.0]], ["CH", "CH", "SE"])
    assert boxes.countries.tolist() == ["CH", "SE"]
    np.testing.assert_allclose(boxes.boxes[0], [46.0, 6.0, 1.0, 4.0])
    np.testing.assert_allclose(offsets(boxes, [[46.5, 9.0]]), [[0.5, 0.75]])
    np.testing.assert_allclose(boxes.places([[0.5, 0.75]], np.array([0])), [[46.5, 9.0]])


def test_a_country_on_both_sides_of_the_antimeridian_is_narrow():
    boxes = CountryBoxes.from_images([[-17.0, 178.0], [-16.0, -179.0]], ["FJ", "FJ"])
    np.testing.assert_allclose(boxes.boxes[0], [-17.0, 178.0, 1.0, 3.0])
    place = boxes.places([[1.0, 1.0]], np.array([0]))
    np.testing.assert_allclose(place, [[-16.0, -179.0]])
    # A test image just west of the box lies just below 0, not a turn of the earth away.
    np.testing.assert_allclose(offsets(boxes, [[-17.0, 177.7]]), [[0.0, -0.1]])


def test_a_country_with_one_photo_answers_with_its_place():
    boxes = CountryBoxes.from_images([[46.0, 6.0]], ["CH"])
    np.testing.assert_allclose(boxes.places([[0.3, 0.9]], np.array([0])), [[46.0, 6.0]], atol=1e-5)


@given(st.lists(st.tuples(st.floats(-90, 90), st.floats(-180, 179.99)), min_size=1, max_size=20))
def test_places_undo_offsets(points):
    coords = np.array(points)
    boxes = CountryBoxes.from_images(coords, ["XX"] * len(coords))
    country = np.zeros(len(coords), dtype=np.int64)
    shares = offsets(boxes, coords)
    assert (shares >= -1e-9).all()
    assert (shares <= 1 + 1e-9).all()
    back = boxes.places(shares, country)
    turned = (back[:, 1] - coords[:, 1] + 180) % 360 - 180
    np.testing.assert_allclose(back[:, 0], coords[:, 0], atol=1e-5)
    np.testing.assert_allclose(turned, 0, atol=1e-5)  # the smallest box is 1e-6 degrees wide


def test_the_answer_is_the_offset_in_the_box_of_the_predicted_country():
    task = small_task("offset", TABLE)
    outputs = {
        "probabilities": np.array([[0.9, 0.1], [0.2, 0.8]], dtype=np.float32),
        "offset": np.array([[0.0, 0.0], [2.0, 0.5]], dtype=np.float32),
    }
    answer = task.answer(outputs, np.arange(2))
    boxes = task.country_boxes.boxes
    assert answer.countries.tolist() == ["CH", "SE"]
    np.testing.assert_allclose(answer.coords[0], boxes[0, :2])
    # Above the box is at its northern edge.
    expected = [boxes[1, 0] + boxes[1, 2], boxes[1, 1] + boxes[1, 3] / 2]
    np.testing.assert_allclose(answer.coords[1], expected)


def test_single_task_learns_the_offset_in_one_box_and_names_the_country_there():
    task = small_task("offset", TABLE, multi_task=False)
    assert task.country_head is None
    batch = random_batch(task)
    batch["country"][:] = -1  # it needs no country
    assert task.score(batch).n_rows == 8
    south, west, height, width = task.country_boxes.boxes[0]
    zurich = [(47.4 - south) / height, (8.5 - west) / width]
    outputs = {"probabilities": np.ones((1, 1)), "offset": np.array([zurich])}
    answer = task.answer(outputs, np.arange(1))
    np.testing.assert_allclose(answer.coords, [[47.4, 8.5]])
    assert answer.countries.tolist() == ["CH"]
    assert answer.probabilities is None


def test_alpha_shares_out_one_loss():
    # All of the loss is the country's: offsets get no gradient.
    task = small_task("offset", TABLE, alpha=1.0)
    task.score(random_batch(task)).loss.backward()
    assert all((p.grad is None) or (p.grad == 0).all() for p in task.offset_head.parameters())
