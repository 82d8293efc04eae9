from __future__ import annotations

import naive
import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import pdist
from sklearn.base import clone
from sklearn.cluster import DBSCAN, KMeans
from strategies import coordinates, groups_of

from geocells import ClusteredCells, GeocellsWarning, sphere
from geocells.clustered import choose_sites, joint_space

TOWNS = [(47.4, 8.5), (59.3, 18.1), (-33.9, 151.2)]


def towns(n_rows: int = 300, spread: float = 0.05, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.normal(town, spread, size=(n_rows, 2)) for town in TOWNS])


class Given:
    """A clusterer that answers with labels of its own."""

    def __init__(self, answer: object) -> None:
        self.answer = answer

    def fit_predict(self, space: np.ndarray) -> object:
        return self.answer(space) if callable(self.answer) else self.answer

    def get_params(self, deep: bool = True) -> dict[str, object]:
        return {"answer": self.answer}


# -------------------------------------------------------------------------------------- the joint space


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.5, 1.0])
def test_squared_distances_are_one_on_average_and_balanced_by_alpha(alpha):
    rng = np.random.default_rng(0)
    coords, feats = rng.normal((47, 8), 1.0, (60, 2)), rng.normal(1000.0, 3.0, (60, 5))
    space = joint_space(coords, feats.astype(np.float32), alpha)
    squared = pdist(space, "sqeuclidean")
    # Over all pairs of images, one with itself included, as the formula has it.
    assert 2 * squared.sum() / 60**2 == pytest.approx(1.0, rel=1e-9)
    places = pdist(sphere.to_unit_vectors(coords), "sqeuclidean")
    features = pdist(feats.astype(np.float32).astype(np.float64), "sqeuclidean")
    mean_places, mean_features = (2 * own.sum() / 60**2 for own in (places, features))
    expected = (1 - alpha) * places / mean_places + alpha * features / mean_features
    assert squared == pytest.approx(expected, rel=1e-6)


def test_without_features_places_decide_alone():
    coords = towns(20)
    assert np.array_equal(joint_space(coords, None, 1.0), joint_space(coords, None, 0.0))


def test_a_part_that_is_the_same_everywhere_adds_nothing():
    coords = towns(20)
    constant = np.full((60, 3), 1e6)
    space = joint_space(coords, constant, 0.5)
    assert np.isfinite(space).all()
    assert not space[:, 3:].any()
    one_place = joint_space(np.tile([47.0, 8.0], (60, 1)), np.arange(60.0)[:, None], 0.5)
    assert not one_place[:, :3].any()


# ------------------------------------------------------------------------------------------- the cells


@given(st.data(), coordinates(max_rows=80), st.integers(1, 30))
def test_labels_are_the_nearest_sites_and_every_cell_has_images_enough(data, coords, min_images):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    groups = data.draw(st.none() | groups_of(len(coords)))
    scattered = Given(lambda space: rng.integers(-1, 6, size=len(space)))
    builder = ClusteredCells(scattered, min_images=min_images).fit(coords, groups=groups)
    cells = builder.cells_
    assert np.array_equal(builder.assign(coords, groups), builder.labels_)
    assert np.array_equal(np.bincount(builder.labels_), builder.counts_)
    names = groups or ["all"] * len(coords)
    for name in set(names):
        own = builder.counts_[cells.groups == name] if groups else builder.counts_
        assert own.min() >= min_images or len(own) == 1
    for point, label, name in zip(coords[:10], builder.labels_[:10], names[:10], strict=True):
        mine = np.flatnonzero(cells.groups == name) if groups else np.arange(cells.n_cells)
        km = sphere.haversine(point, cells.cell_index.sites[mine])
        # Chords between vectors good to 5e-14 do not tell points near the antipode apart.
        assert km[mine == label][0] <= km.min() + 1e-2
    polygons = cells.polygons()
    assert shapely.is_valid(polygons).all()


def twin(coords: np.ndarray, clusters: list[int], min_images: int) -> list[tuple[float, float]]:
    """Steps 1 to 4 in plain lists."""
    groups = {
        c: [tuple(p) for p, k in zip(coords.tolist(), clusters, strict=True) if k == c]
        for c in set(clusters) - {-1}
    }
    members = list(groups.values()) or [[tuple(p) for p in coords.tolist()]]
    while len(members) > 1:
        members.sort(key=lambda own: (len(own), naive.spherical_mean(own)))
        smallest, *others = members
        if len(smallest) >= min_images:
            break
        here = naive.spherical_mean(smallest)
        nearest = min(
            others,
            key=lambda own: (
                naive.distance_km(here, naive.spherical_mean(own)),
                naive.spherical_mean(own),
            ),
        )
        nearest += smallest
        members = others
    sites = sorted(naive.spherical_mean(own) for own in members)
    while len(sites) > 1:
        held = [naive.nearest(tuple(p), sites)[0] for p in coords.tolist()]
        counts = [held.count(k) for k in range(len(sites))]
        if min(counts) >= min_images:
            break
        del sites[counts.index(min(counts))]
    return sites


@given(st.integers(0, 2**32 - 1), st.integers(1, 20), st.integers(1, 8))
def test_sites_are_those_of_the_twin(seed, min_images, n_clusters):
    # Scattered places: no two distances tie, and no centroids are within ten metres.
    rng = np.random.default_rng(seed)
    coords = rng.uniform((-80, -180), (80, 180), size=(60, 2))
    clusters = rng.integers(-1, n_clusters, size=60)
    sites = choose_sites(coords, clusters, min_images)
    expected = np.array(twin(coords, clusters.tolist(), min_images))
    assert len(sites) == len(expected)
    assert sphere.haversine(sites, expected).max() <= 1e-6


def test_a_case_worked_by_hand():
    # Three images at 0, two at 10, four at 20 degrees east; two do not suffice, and 10 is nearer to neither.
    coords = np.array([(0.0, 0.0)] * 3 + [(0.0, 9.0)] * 2 + [(0.0, 20.0)] * 4 + [(0.0, 30.0)])
    clusters = [0] * 3 + [1] * 2 + [2] * 4 + [-1]
    builder = ClusteredCells(Given(np.array(clusters)), min_images=3).fit(coords)
    assert builder.clusters_.tolist() == clusters
    # The two join the three around (0, 3.6); the one that was noise joins the four.
    assert builder.labels_.tolist() == [0] * 5 + [1] * 5
    assert builder.cells_.cell_index.sites[0, 1] == pytest.approx(3.6, abs=0.01)
    assert builder.counts_.tolist() == [5, 5]


@pytest.mark.parametrize(
    "clusterer",
    [DBSCAN(0.1, min_samples=5), "kmeans", "hdbscan", "optics"],
)
def test_any_clusterer_finds_the_towns(clusterer):
    coords = towns(200)
    builder = ClusteredCells(clusterer, alpha=0.0, min_images=100).fit(coords)
    assert builder.n_cells_ >= 3
    assert builder.counts_.min() >= 100
    # From south to north, and no cell holds images of two towns.
    town = np.repeat([1, 2, 0], 200)
    assert all(len(set(town[builder.labels_ == cell])) == 1 for cell in range(builder.n_cells_))
    assert (np.diff(builder.cells_.cell_index.sites[:, 0]) > 0).all()


def test_places_of_kmeans_are_kmeans_own():
    # On places alone the sites are KMeans' centres brought to the sphere, and cells its clusters.
    coords = towns(200)
    kmeans = KMeans(3, random_state=0, n_init=3)
    builder = ClusteredCells(kmeans, alpha=0.0, min_images=10).fit(coords)
    space = joint_space(coords, None, 0.0)
    own = clone(kmeans).fit(space)
    assert len(set(zip(own.labels_.tolist(), builder.labels_.tolist(), strict=True))) == 3
    wcss = sum(
        ((space[builder.labels_ == k] - space[builder.labels_ == k].mean(axis=0)) ** 2).sum()
        for k in range(3)
    )
    assert wcss == pytest.approx(own.inertia_, rel=1e-9)


def test_features_tell_places_apart_that_coordinates_do_not():
    # One strip of places; what the images show changes in its middle.
    rng = np.random.default_rng(0)
    coords = np.column_stack([np.full(400, 47.0), np.linspace(7.0, 8.0, 400)])
    feats = (np.arange(400) >= 100)[:, None] + rng.normal(0, 0.01, (400, 1))
    kmeans = KMeans(2, random_state=0, n_init=5)
    by_place = ClusteredCells(kmeans, 0.0, 50).fit(coords, feats)
    by_feature = ClusteredCells(kmeans, 1.0, 50).fit(coords, feats)
    assert by_place.counts_.tolist() == pytest.approx([200, 200], abs=10)
    assert (by_feature.clusters_ == by_feature.clusters_[0]).sum() == 100


def test_groups_have_cells_of_their_own():
    coords = np.concatenate([towns(100), towns(100, seed=1)])
    groups = ["a"] * 300 + ["b"] * 300
    builder = ClusteredCells(KMeans(3, random_state=0), min_images=50).fit(coords, groups=groups)
    assert builder.cells_.groups.tolist() == ["a"] * 3 + ["b"] * 3
    assert builder.assign([TOWNS[0]] * 2, ["a", "b"]).tolist() == [1, 4]
    with pytest.warns(GeocellsWarning, match="1 of 1 rows are of groups that no cells have"):
        assert builder.cells_.assign([TOWNS[0]], ["c"], outside="noise").tolist() == [-1]


@pytest.mark.parametrize("n_rows", [1, 5, 399])
def test_too_few_images_for_two_cells_are_one_without_asking(n_rows):
    def refuses(_space):
        raise AssertionError

    builder = ClusteredCells(Given(refuses), min_images=200).fit(towns(200)[:n_rows])
    assert builder.labels_.tolist() == [0] * n_rows


@pytest.mark.parametrize(
    ("answer", "coords"),
    [(lambda s: np.full(len(s), -1), towns(20)), (lambda s: np.arange(len(s)) % 7, [[47.0, 8.0]] * 100_000)],
)  # fmt: skip
def test_noise_alone_and_copies_of_a_place_are_one_cell(answer, coords):
    assert ClusteredCells(Given(answer), min_images=10).fit(coords).n_cells_ == 1


def test_the_order_of_the_rows_does_not_matter_where_it_does_not_to_the_clusterer():
    coords = towns(100)
    order = np.random.default_rng(0).permutation(len(coords))
    clusters = np.random.default_rng(1).integers(0, 9, len(coords))
    one = ClusteredCells(Given(clusters), min_images=20).fit(coords)
    other = ClusteredCells(Given(clusters[order]), min_images=20).fit(coords[order])
    assert np.array_equal(one.cells_.cell_index.sites, other.cells_.cell_index.sites)
    assert np.array_equal(one.labels_[order], other.labels_)


# --------------------------------------------------------------------------------- parameters, inputs


@pytest.mark.parametrize("answer", [np.zeros(3, int), np.zeros(60), np.zeros((60, 1), int)])
def test_a_clusterer_s_unsound_answer_is_refused(answer):
    with pytest.raises(ValueError, match="one integer per row"):
        ClusteredCells(Given(answer), min_images=5).fit(towns(20))


def test_it_is_a_scikit_learn_estimator():
    builder = ClusteredCells(KMeans(5), alpha=0.25)
    assert repr(builder) == "ClusteredCells(clusterer=KMeans(n_clusters=5), alpha=0.25)"
    builder.set_params(clusterer__n_clusters=4, alpha=0.75)
    copy = clone(builder)
    assert copy.clusterer.n_clusters == 4
    assert copy.alpha == 0.75
    assert not hasattr(ClusteredCells(KMeans(2)).fit(towns(5)).clusterer, "labels_")
