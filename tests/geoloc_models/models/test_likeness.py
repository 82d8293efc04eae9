"""Learned likeness: photos taken near each other are alike, and the same photos give the same vectors."""

import numpy as np
import pytest
import torch

from geocells import sphere
from geoloc_models.models import likeness
from geoloc_models.models.gallery import unit_rows
from geoloc_models.models.likeness import learn_projection, principal_components

RADII_KM = (1.0, 25.0, 200.0)


def photos(n, n_noise=20, seed=0):
    """Photos of 12 places; one of their features in five tells the place, the others are louder."""
    random = np.random.default_rng(seed)
    place = random.integers(12, size=n)
    centres = np.random.default_rng(1).uniform([-50, -150], [50, 150], size=(12, 2))
    coords = centres[place] + random.normal(scale=0.05, size=(n, 2))
    tells = np.random.default_rng(2).normal(size=(12, 5))[place]
    features = np.hstack([tells, 3 * random.normal(size=(n, n_noise))])
    return (features + random.normal(scale=0.3, size=features.shape)).astype(np.float32), coords


def share_of_near(centre, projection, seen, queries):
    """Of queries, how often the most alike photo was taken within 25 km."""
    (features, coords), (asked, truth) = seen, queries
    vectors = [unit_rows((x - centre) @ projection, "photos") for x in (features, asked)]
    best = (vectors[1] @ vectors[0].T).argmax(axis=1)
    return (sphere.haversine(coords[best], truth) <= 25).mean()


def test_what_tells_the_place_is_learned():
    seen, queries = photos(600), photos(200, seed=9)
    plain = share_of_near(*principal_components(seen[0], 25), seen, queries)
    learned = share_of_near(*learn_projection(*seen, 25, RADII_KM), seen, queries)
    assert plain < 0.3 < 0.6 < learned


def test_the_same_photos_give_the_same_projection_whatever_was_drawn_before():
    seen = photos(300)
    first = learn_projection(*seen, 8, RADII_KM)
    torch.rand(3)
    for left, right in zip(first, learn_projection(*seen, 8, RADII_KM), strict=True):
        np.testing.assert_array_equal(left, right)


def test_a_gallery_larger_than_what_fits_is_drawn_anew_for_each_step(monkeypatch):
    monkeypatch.setattr(likeness, "_MOST_GALLERY", 100)
    seen, queries = photos(600), photos(200, seed=9)
    learned = share_of_near(*learn_projection(*seen, 25, RADII_KM), seen, queries)
    assert learned > 0.3


@pytest.mark.parametrize(
    ("features", "coords"),
    [
        (np.ones((1, 4)), [[47.0, 8.0]]),
        (np.ones((5, 4)), [[47.0, 8.0]] * 5),
        (np.eye(3, 4), [[47.0, 8.0], [-47.0, 8.0], [90.0, 0.0]]),
    ],
    ids=["one photo", "all alike at one place", "none near another"],
)
def test_few_photos_give_a_finite_projection(features, coords):
    centre, projection = learn_projection(
        np.asarray(features, dtype=np.float32), np.array(coords), 4, RADII_KM
    )
    assert np.isfinite(centre).all()
    assert np.isfinite(projection).all()
