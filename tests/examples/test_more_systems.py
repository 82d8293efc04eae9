"""The systems of the field on a few of the demo's places: each is trained, and each learns with all its layers."""

import numpy as np
import pytest
import torch
from more_systems import Data, OneBranch, SceneCells, Segmentation, compare, systems

from geocells import sphere
from geoloc_models.photos.satellite import SatelliteCrops
from geoloc_models.tables.demo import demo_places
from geoloc_models.training import PhotoSource

SHAPE = {"hidden": 16, "dropout": 0.0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("systems")


@pytest.fixture(scope="module")
def source():
    places = demo_places()
    few = places.take(np.arange(0, places.n_rows, 36))
    return PhotoSource(few, SatelliteCrops(few.coords), {"kind": "test"})


@pytest.fixture(scope="module")
def data(source, folder):
    return Data.from_source(source, folder)


def test_every_system_learns_with_all_its_layers(data):
    batch = next(iter(data.photos(data.split.train).batches(batch_size=32)))
    for name, build in systems(data, SHAPE).items():
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
    task = SceneCells(OneBranch(), data.cells, by_scene=True, **SHAPE).eval()
    features = next(iter(data.photos(data.split.test).batches(batch_size=3)))["image"]
    by_head, scenes = (values.detach().double().numpy() for values in task(features))
    heads = np.exp(by_head) / np.exp(by_head).sum(axis=2, keepdims=True)
    weights = np.exp(scenes) / np.exp(scenes).sum(axis=1, keepdims=True)
    expected = np.einsum("bs,bsc->bc", weights, heads)
    given = task.outputs(task.encoder(features))["probabilities"].detach()
    np.testing.assert_allclose(given, expected, rtol=1e-4)
    assert np.ptp(heads, axis=1).max() > 1e-3  # the heads differ


def test_false_locations_count_more_the_nearer(data):
    task = systems(data, SHAPE)["+ near ones count more, lambda 10"]()
    coords = data.source.table.coords[:4]
    expected = 1 + 10 * np.exp(-sphere.haversine_matrix(coords, coords) / 100.0)
    np.fill_diagonal(expected, 0.0)  # the very same place is not false
    weights = task.weigh(torch.tensor(coords), torch.tensor(coords))
    np.testing.assert_allclose(weights, expected, rtol=1e-6)


def test_maps_of_colours_and_of_a_network_of_torchvision_have_one_colour_a_class(source):
    from more_systems import N_COLOURS, Colours

    image = torch.rand(2, 3, 64, 64)
    for segment, most in (
        (Colours(source.images, np.arange(9)), N_COLOURS),
        (Segmentation("lraspp_mobilenet_v3_large", weights=None), 21),
    ):
        shown = segment(image)
        assert shown.shape == image.shape
        colours = np.unique(shown.detach().permute(0, 2, 3, 1).reshape(-1, 3), axis=0)
        assert len(colours) <= most


def test_each_system_gets_a_row_and_a_gain_and_is_trained_once(source, data, folder):
    text = compare(source, folder, seeds=1, epochs=1)
    rows = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("|")]
    names = list(systems(data, SHAPE))
    assert [row for row in rows if row in names] == names + [n for n in names if n.startswith("+")]
    trained = {path: path.stat().st_mtime_ns for path in folder.rglob("*.parquet")}
    assert compare(source, folder, seeds=1, epochs=1) == text
    assert trained == {path: path.stat().st_mtime_ns for path in folder.rglob("*.parquet")}
