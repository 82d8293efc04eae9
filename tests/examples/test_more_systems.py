"""The systems of the field on a few of the demo's places: each is trained, and each learns with all its layers."""

import numpy as np
import pytest
import torch
from more_systems import Data, SceneCells, Segmentation, TwoBranches, compare, systems

from geoloc_models.models import TrainingOptions, build_encoder
from geoloc_models.photos.dataset import collate_photos
from geoloc_models.photos.demo import SatelliteCrops, demo_places
from geoloc_models.training import PhotoSource, split_source


@pytest.fixture(scope="module")
def source():
    places = demo_places()
    few = places.take(np.arange(0, places.n_rows, 36))
    return PhotoSource(few, SatelliteCrops(few.coords), {"kind": "test"})


@pytest.fixture(scope="module")
def data(source):
    return Data.of(source, split_source(source))


def test_every_system_learns_with_all_its_layers(data):
    photos = data.photos(data.split.train)
    batch = collate_photos([photos[number] for number in range(8)])
    for name, build in systems(data, None).items():
        torch.manual_seed(0)
        task = build()
        task.score(batch).loss.backward()
        idle = [
            parameter_name
            for parameter_name, parameter in task.named_parameters()
            if parameter.requires_grad
            and (parameter.grad is None or not parameter.grad.abs().sum() > 0)
        ]
        assert idle == [], name


def test_heads_are_weighed_by_how_likely_their_scene_is(data):
    task = SceneCells(build_encoder("tiny"), data.cells, by_scene=True).eval()
    images = torch.stack([data.photos(data.split.test)[number]["image"] for number in range(3)])
    by_head, scenes = (values.detach().double().numpy() for values in task(images))
    heads = np.exp(by_head) / np.exp(by_head).sum(axis=2, keepdims=True)
    weights = np.exp(scenes) / np.exp(scenes).sum(axis=1, keepdims=True)
    expected = np.einsum("bs,bsc->bc", weights, heads)
    np.testing.assert_allclose(task.probabilities(images).detach(), expected, rtol=1e-4)
    assert np.ptp(heads, axis=1).max() > 1e-3  # the heads differ


def test_maps_may_come_from_a_network_of_torchvision_which_is_not_trained(data):
    encoder = TwoBranches(Segmentation("lraspp_mobilenet_v3_large", weights=None))
    images = torch.stack([data.photos(data.split.test)[number]["image"] for number in range(2)])
    encoder(images).sum().backward()
    assert encoder.of_map.stem[0].weight.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in encoder.segment.parameters())


def test_each_system_gets_a_row_and_a_gain_and_is_trained_once(source, tmp_path):
    options = TrainingOptions(encoder="tiny", image_size=64, epochs=1, learning_rate=1e-3)
    text = compare(source, tmp_path, options, 1, None)
    rows = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("|")]
    names = list(systems(Data.of(source, split_source(source)), None))
    assert [row for row in rows if row in names] == names + [n for n in names if n.startswith("+")]
    trained = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.parquet")}
    assert compare(source, tmp_path, options, 1, None) == text
    assert trained == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.parquet")}
