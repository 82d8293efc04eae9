from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from naive_decoding import best, expected_utility, radii_utility
from scipy import sparse
from strategies import coordinates

from geocells.decoding import ExpectedUtility, fit_mixture, mixture, nearest_images

RADII_KM = (1, 25, 200, 750)
PHOTOS = [(47.4, 8.5), (47.5, 8.5), (59.3, 18.1)]


@given(coordinates(max_rows=30), st.integers(0, 2**32 - 1), st.booleans())
def test_a_mixture_is_decoded_as_its_distribution_over_the_photos(coords, seed, is_sparse):
    """The slow twin works out the probability of every single photo, and the utility of every candidate."""
    rng = np.random.default_rng(seed)
    labels, posteriors = [], []
    for n_cells in rng.integers(1, min(5, len(coords)) + 1, size=3):
        own = np.append(np.arange(n_cells), rng.integers(n_cells, size=len(coords) - n_cells))
        labels.append(rng.permutation(own))
        posteriors.append(rng.dirichlet(np.full(n_cells, 0.5), size=2))
    labels.append(np.arange(len(coords)))
    nearest = rng.integers(len(coords), size=(2, 4))
    posteriors.append(nearest_images(nearest, len(coords)))
    if not is_sparse:
        posteriors[-1] = posteriors[-1].toarray()
    weights = np.array([0.2, 0.0, 0.5, 0.3])
    pooled = mixture(posteriors, 10 * weights)
    assert sparse.issparse(pooled) == is_sparse
    decoder = ExpectedUtility(radii_km=RADII_KM, resolution_km=0).fit(coords, labels)
    points = decoder.predict(pooled)
    within = decoder.mass_within(pooled, points, RADII_KM)
    photos, candidates = list(map(tuple, coords)), list(map(tuple, decoder.candidates_))
    for row in range(2):
        of_photo = [
            sum(
                weight * part.tolist()[row][label[j]] / np.count_nonzero(label == label[j])
                for weight, part, label in zip(
                    weights, (_dense(part) for part in posteriors), labels, strict=True
                )
            )
            for j in range(len(coords))
        ]
        own_class = list(range(len(coords)))
        for radius, mass in zip(RADII_KM, within[row], strict=True):
            near = lambda km, radius=radius: float(radii_utility(km, (radius,), (1,)))  # noqa: E731
            expected = expected_utility(tuple(points[row]), of_photo, photos, own_class, near)
            assert mass == pytest.approx(expected, abs=1e-9)
        worth = lambda km: radii_utility(km, RADII_KM)  # noqa: E731
        own = expected_utility(tuple(points[row]), of_photo, photos, own_class, worth)
        assert own >= best(candidates, of_photo, photos, own_class, worth)[1] - 2e-10


def _dense(part):
    return part.toarray() if sparse.issparse(part) else np.asarray(part)


def test_a_photo_without_a_cell_in_one_partition_is_left_out_of_that_one():
    decoder = ExpectedUtility(radii_km=(1,)).fit(PHOTOS, [[0, -1, 1], [0, 1, 2]])
    assert decoder.n_classes_ == 5
    pooled = mixture([[[1.0, 0.0]], [[0.0, 0.6, 0.4]]], [1, 3])
    assert decoder.mass_within(pooled, PHOTOS[:1], [1, 20]).tolist() == [[0.25, pytest.approx(0.7)]]


def test_fitted_weights_are_the_best_of_a_grid():
    rng = np.random.default_rng(0)
    likelihoods = rng.gamma(0.5, size=(200, 3)) * 1e-200
    likelihoods[:, 2] *= 0.3
    likelihoods[:5] = 0.0
    weights = fit_mixture(likelihoods)
    assert weights.sum() == pytest.approx(1.0)
    mean = lambda w: np.log(likelihoods[5:] / 1e-200 @ w).mean()  # noqa: E731
    grid = [np.array([a, b, 20 - a - b]) / 20 for a in range(21) for b in range(21 - a)]
    assert mean(weights) >= max(mean(w) for w in grid) - 1e-7


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mixture([]), "at least one partition"),
        (lambda: mixture([[[1.0]], [[0.5, 0.5]] * 2]), r"posteriors\[1\] has 2 rows, the first 1"),
        (lambda: mixture([[[1.0]], [[0.5, 0.2]]]), r"row of posteriors\[1\] must add up to 1"),
        (
            lambda: mixture([[[1.0]], [[1.0]]], [1]),
            "one number for each of the 2 posteriors; got 1",
        ),
        (lambda: mixture([[[1.0]], [[1.0]]], [1, -1]), r"weights .* of at least 0; .*row 1, -1"),
        (lambda: mixture([[[1.0]], [[1.0]]], [0, 0]), "must not all be 0"),
        (lambda: fit_mixture([0.5, 0.5]), r"shape \(n, n_partitions\); got \(2,\)"),
        (lambda: fit_mixture([[0.5, 0.5], [0.1, -1]]), r"row 1, \[0.1, -1.0\]"),
        (lambda: mixture([[[1.0]], [[1.0]]], ["a", 1]), "weights .* row 0 holds a"),
        (lambda: mixture([[[1.0], [0.5, 0.5]]]), r"posteriors\[0\] .* rows differ in length"),
        (lambda: fit_mixture([[0.5], [0.5, 0.1]]), "likelihoods .* rows differ in length"),
        (lambda: fit_mixture([[0.0, 0.0]]), "widen the radius"),
        (
            lambda: ExpectedUtility().fit(PHOTOS, [[0, 1], [0, 0]]),
            r"labels\[0\] .*shape \(3,\); got shape \(2,\)",
        ),
        (lambda: ExpectedUtility().fit(PHOTOS, [[0, 0, 1], [0, 2, 2]]), "classes have no image"),
        (lambda: ExpectedUtility().fit(PHOTOS, [[0, 0, 1], [0, 1]]), "the rows differ in length"),
        (lambda: ExpectedUtility().fit(PHOTOS, [[0, 0, 1], [-1] * 3]), "image .* in partition 1"),
        (lambda: ExpectedUtility().fit(PHOTOS, np.empty((0, 3), int)), r"got shape \(0, 3\)"),
        (
            lambda: (
                ExpectedUtility()
                .fit(PHOTOS, [[0, 0, 1], [0, 1, 2]])
                .predict(mixture([[[1.0, 0.0]]]))
            ),
            "each of the 5 classes; got 2",
        ),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
