"""Predicting: every whole image once, in order; broken ones listed."""

import numpy as np
from geoloc_models_small import small_dataset, small_table, small_task

from geoloc_models.inference.network import answer_outputs, run_network
from geoloc_models.photos.dataset import make_loader


def test_every_whole_image_is_placed_once_in_order(tmp_path):
    table = small_table(10, folder=tmp_path / "photos")
    for row in (2, 4, 5):  # a whole batch of two, and one of another
        (tmp_path / "photos" / f"{row}.jpg").write_bytes(b"broken")
    task = small_task("cells", table)
    loader = make_loader(small_dataset(table), batch_size=2)
    outputs = run_network(task, loader, progress=False)
    predictions = answer_outputs(task, outputs)
    assert predictions.rows.tolist() == [0, 1, 3, 6, 7, 8, 9]
    assert outputs.broken.rows == [2, 4, 5]
    probabilities = predictions.probabilities
    assert probabilities.shape == (7, task.classes.n_classes)
    best = probabilities.argmax(axis=1)
    np.testing.assert_array_equal(predictions.coords, task.classes.coords[best])


def test_predictions_do_not_depend_on_the_batch(tmp_path):
    table = small_table(6, folder=tmp_path)
    task = small_task("country", table)
    loaders = [make_loader(small_dataset(table), batch_size=size) for size in (1, 6)]
    answers = [
        answer_outputs(task, run_network(task, loader, progress=False)).probabilities
        for loader in loaders
    ]
    # Convolutions sum in another order for another batch: a few roundings of float32.
    np.testing.assert_allclose(*answers, atol=1e-6)


def test_no_images_give_no_predictions(tmp_path):
    table = small_table(6, folder=tmp_path)
    task = small_task("country", table)
    assert answer_outputs(task, run_network(task, [], progress=False)).n_rows == 0
