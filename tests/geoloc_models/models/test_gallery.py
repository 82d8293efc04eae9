"""The gallery: exact search against a full sort, in pieces of any size."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from geoloc_models.errors import GeolocError
from geoloc_models.models import gallery as module
from geoloc_models.models.encoders import LocationEncoder
from geoloc_models.models.gallery import Gallery, embed_places, unit_rows


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def by_full_sort(vectors, queries, k):
    """Every cosine, sorted; of equal ones the lower row first."""
    cosines = unit_rows(queries, "queries") @ unit_rows(vectors, "gallery").T
    rows = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
    return rows, np.take_along_axis(cosines, rows, axis=1)


@pytest.fixture
def small_pieces(monkeypatch):
    """Three queries at a time, for galleries of up to 33 rows; else one."""
    monkeypatch.setattr(module, "_NUMBERS_AT_A_TIME", 99)


@pytest.mark.parametrize("k", [1, 2, 7, 30])
def test_search_is_a_full_sort(small_pieces, k):
    vectors, queries = normal(30, 6), normal(7, 6, seed=1)
    expected_rows, expected = by_full_sort(vectors, queries, k)
    rows, cosines = Gallery(vectors).search(queries, k)
    assert np.array_equal(rows, expected_rows)
    # Products of another width may round the last bit otherwise.
    np.testing.assert_allclose(cosines, expected, atol=1e-6)
    assert rows.dtype == np.int64
    assert cosines.dtype == np.float32


@given(
    values=st.lists(st.sampled_from([-1.0, -0.5, 0.0, 0.25, 0.5, 1.0]), min_size=1, max_size=60),
    k=st.integers(1, 60),
)
def test_of_equal_ones_the_lower_row_comes_first(values, k):
    matrix = np.array([values, values[::-1]], dtype=np.float32)
    k = min(k, len(values))
    columns, highest = module._highest(matrix, k)
    expected = np.argsort(-matrix, axis=1, kind="stable")[:, :k]
    assert np.array_equal(columns, expected)
    assert np.array_equal(highest, np.take_along_axis(matrix, expected, axis=1))


def test_queries_of_any_length_answer_alike_and_none_is_fine():
    gallery = Gallery(normal(20, 4))
    queries = normal(3, 4, seed=1)
    assert np.array_equal(gallery.search(queries, 5)[0], gallery.search(queries * 7, 5)[0])
    assert gallery.search(np.empty((0, 4)), 2)[0].shape == (0, 2)
    assert gallery.search(torch.from_numpy(queries), 5)[0].shape == (3, 5)


def test_a_gallery_of_unit_vectors_is_kept_to_the_last_bit():
    gallery = Gallery(normal(100, 512))
    assert np.array_equal(Gallery(gallery.vectors).vectors, gallery.vectors)
    np.testing.assert_allclose(np.linalg.norm(gallery.vectors, axis=1), 1.0, atol=1e-6)
    assert (Gallery([[0.0, 0.0], [3.0, 4.0]]).vectors == np.float32([[0, 0], [0.6, 0.8]])).all()


def test_probabilities_are_a_softmax():
    vectors, queries = normal(50, 6), normal(7, 6, seed=1)
    cosines = unit_rows(queries, "q").astype(float) @ unit_rows(vectors, "g").astype(float).T
    exponentials = np.exp(cosines / 0.07)
    expected = exponentials / exponentials.sum(axis=1, keepdims=True)
    ours = Gallery(vectors).probabilities(queries, temperature=0.07)
    # A float32 cosine divided by 0.07: 1e-6 of a share.
    np.testing.assert_allclose(ours, expected, rtol=2e-5)
    np.testing.assert_allclose(ours.sum(axis=1), 1.0, atol=1e-6)


def test_probabilities_survive_a_small_temperature():
    # exp(1 / 0.001) is beyond float64; the best is opposite the query, and still has everything.
    gallery = Gallery([[-1.0, 0.1], *[[-1.0, 0.0]] * 20])
    assert gallery.probabilities([[1.0, 0.1]], temperature=1e-3)[0, 0] == pytest.approx(
        1.0, abs=2e-5
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda g: g.search([[1.0, 2.0, 3.0]]), r"shape \(n, 2\)"),
        (lambda g: g.search([[1.0, np.nan]]), "finite"),
        (lambda g: g.search([[1.0, 2.0]], 0), "between 1 and 3"),
        (lambda g: g.search([[1.0, 2.0]], 4), "between 1 and 3"),
        (lambda g: g.probabilities([[1.0, 2.0]], temperature=0.0), "temperature"),
        (lambda g: Gallery([1.0, 2.0]), "shape"),
        (lambda g: Gallery(np.empty((0, 2))), "one row at least"),
    ],
)
def test_what_cannot_be_searched_is_refused(call, message):
    with pytest.raises(GeolocError, match=message):
        call(Gallery([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]))


# Embedding places


class CountingEncoder(LocationEncoder):
    """Notes the batches that it embeds."""

    def __init__(self):
        torch.manual_seed(0)
        super().__init__("mlp", hidden=8, dim=4)
        self.batches = []

    def forward(self, coords):
        self.batches.append(len(coords))
        return super().forward(coords)


def test_repeated_places_are_embedded_once():
    encoder = CountingEncoder()
    distinct = np.column_stack([np.linspace(-80, 80, 10), np.linspace(-170, 170, 10)])
    coords = np.concatenate([distinct, distinct[::-1], distinct[3:5], -0.0 * distinct[:2]])
    embedded = embed_places(encoder, coords, batch_size=4)
    assert encoder.batches == [4, 4, 3]  # ten places and (0, 0)
    with torch.inference_mode():
        expected = LocationEncoder.forward(encoder, torch.from_numpy(coords)).numpy()
    np.testing.assert_allclose(embedded, expected, atol=1e-6)


def test_embedding_leaves_the_encoders_mode_and_gradients_alone():
    encoder = CountingEncoder().train()
    embed_places(encoder, [[10.0, 20.0]])
    assert encoder.training
    assert all(parameter.grad is None for parameter in encoder.parameters())
    encoder.eval()
    assert embed_places(encoder, [[10.0, 20.0]]).shape == (1, 4)
    assert not encoder.training


@pytest.mark.parametrize(("coords", "message"), [([], "no place"), ([[95.0, 0.0]], "Latitude")])
def test_places_that_are_not_there_are_refused(coords, message):
    with pytest.raises(ValueError, match=message):
        embed_places(CountingEncoder(), coords)
