"""Features in the plane."""

import numpy as np
import pytest

from geoloc_models.errors import GeolocError
from geoloc_models.reports import figures


def clusters(n_each=20, dim=60, n_clusters=3):
    random = np.random.default_rng(0)
    centres = random.normal(0, 10, (n_clusters, dim))
    labels = np.repeat(np.arange(n_clusters), n_each)
    return (centres[labels] + random.normal(0, 0.5, (len(labels), dim))).astype("float32"), labels


def test_clusters_stay_together():
    features, labels = clusters()
    figure = figures.tsne_of_features(features, labels)
    points = np.vstack([part.get_offsets() for part in figure.axes[0].collections])
    assert points.shape == (60, 2)
    distances = np.linalg.norm(points[:, None] - points[None], axis=-1)
    np.fill_diagonal(distances, np.inf)
    np.testing.assert_array_equal(labels[distances.argmin(axis=1)], labels)


def test_named_countries_have_a_colour_and_the_others_are_grey(monkeypatch):
    monkeypatch.setattr("geoloc_models.reports.figures.embeddings.N_NAMED", 2)
    features, labels = clusters()
    codes = np.array(["SE", "CH", "NO"])[labels]
    codes[:5] = "DK"
    figure = figures.tsne_of_features(features, codes, names={"CH": "Switzerland"})
    axis = figure.axes[0]
    sizes = {part.get_label(): len(part.get_offsets()) for part in axis.collections}
    assert sizes == {"Switzerland (20)": 20, "NO (20)": 20, "2 more countries (20)": 20}
    colours = {tuple(part.get_facecolor()[0][:3]) for part in axis.collections}
    assert len(colours) == 3
    assert "60 photos" in figure.get_suptitle()


def test_rows_are_sampled_the_same_each_time(monkeypatch):
    monkeypatch.setattr("geoloc_models.reports.figures.embeddings.MOST_ROWS", 30)
    features, labels = clusters()
    codes = np.array(["SE", "CH", "NO"])[labels]
    offsets = []
    for _ in range(2):
        figure = figures.tsne_of_features(features, codes)
        offsets.append(np.vstack([part.get_offsets() for part in figure.axes[0].collections]))
    assert len(offsets[0]) == 30
    np.testing.assert_array_equal(*offsets)


def test_features_that_cannot_be_placed_are_refused():
    features, _ = clusters()
    features[7, 3] = np.nan
    with pytest.raises(GeolocError, match=r"1 of 60 rows .* row 7"):
        figures.tsne_of_features(features, ["SE"] * 60)
    with pytest.raises(GeolocError, match="at least 5 photos"):
        figures.tsne_of_features(np.zeros((2, 8)), ["SE", "CH"])
    with pytest.raises(GeolocError, match="60 rows of features but 1 countries"):
        figures.tsne_of_features(features, ["SE"])
