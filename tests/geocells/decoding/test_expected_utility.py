from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from naive_decoding import best, expected_utility, radii_utility
from strategies import coordinates

from geocells import CellBuilder, decoding, jit
from geocells.decoding import ExpectedUtility, nearest_images

RADII_KM = (1, 25, 200, 750, 2500)
KM = 180.0 / (np.pi * 6371.0088)
"""Degrees of latitude in a kilometre."""


def points_of(array: np.ndarray) -> list[tuple[float, float]]:
    return [(float(latitude), float(longitude)) for latitude, longitude in array]


@st.composite
def problems(draw: st.DrawFn, max_rows: int = 60) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Coordinates, labels of some cells without gaps, and rows of probabilities, some of them 0."""
    coords = draw(coordinates(max_rows=max_rows))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1), label="seed"))
    n_cells = draw(st.integers(1, min(8, len(coords))), label="cells")
    labels = np.concatenate([np.arange(n_cells), rng.integers(n_cells, size=len(coords) - n_cells)])
    probabilities = rng.dirichlet(np.full(n_cells, 0.5), size=3)
    probabilities[probabilities < 0.05] = 0.0
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    return coords, labels, probabilities


def assert_best(decoder, coords, labels, probabilities, utility, radii_km=None, slack=2e-10):
    """The answer is a candidate, and no candidate is better."""
    points = decoder.predict(probabilities, radii_km=radii_km)
    candidates = points_of(decoder.candidates_)
    given_points = points_of(coords)
    for row, point in zip(probabilities.tolist(), points_of(points), strict=True):
        assert point in candidates
        own = expected_utility(point, row, given_points, labels.tolist(), utility)
        assert own >= best(candidates, row, given_points, labels.tolist(), utility)[1] - slack


@given(problems())
def test_no_candidate_is_better_than_the_answer(problem):
    coords, labels, probabilities = problem
    decoder = ExpectedUtility(resolution_km=0).fit(coords, labels)
    assert_best(decoder, coords, labels, probabilities, lambda km: radii_utility(km, RADII_KM))


@given(problems())
def test_one_radius_at_a_time_and_other_weights(problem):
    coords, labels, probabilities = problem
    decoder = ExpectedUtility(radii_km=(25, 750), weights=(3, 1), resolution_km=0)
    decoder.fit(coords, labels)
    assert_best(
        decoder,
        coords,
        labels,
        probabilities,
        lambda km: radii_utility(km, (25, 750), (3, 1)),
    )
    assert_best(
        decoder,
        coords,
        labels,
        probabilities,
        lambda km: radii_utility(km, (750,), (1,)),
        radii_km=(750,),
    )


@given(coordinates(max_rows=60), st.integers(0, 2**32 - 1))
def test_every_point_its_own_class(coords, seed):
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.full(len(coords), 0.1), size=2)
    decoder = ExpectedUtility.from_points(coords, resolution_km=0)
    labels = np.arange(len(coords))
    worth = lambda km: radii_utility(km, RADII_KM)  # noqa: E731
    assert_best(decoder, coords, labels, probabilities, worth)


@given(problems())
def test_the_tie_goes_to_the_first_by_latitude_and_longitude(problem):
    coords, labels, probabilities = problem
    decoder = ExpectedUtility(resolution_km=0).fit(coords, labels)
    order = np.lexsort((decoder.candidates_[:, 1], decoder.candidates_[:, 0]))
    assert order.tolist() == list(range(len(order)))
    candidates = points_of(decoder.candidates_)
    for row, point in zip(
        probabilities.tolist(), points_of(decoder.predict(probabilities)), strict=True
    ):
        expected, _ = best(
            candidates,
            row,
            points_of(coords),
            labels.tolist(),
            lambda km: radii_utility(km, RADII_KM),
        )
        assert point == expected


@pytest.mark.parametrize("images_of_a_cell", [1, 2])
def test_ties_are_ties_wherever_their_utility_lies(images_of_a_cell):
    """Three cells at one place and three at another are as likely: sums of the same numbers, in another order."""
    rng = np.random.default_rng(0)
    parts = rng.dirichlet(np.ones(3), size=2000) / 2
    rows = np.concatenate([parts, parts[:, ::-1]], axis=1)
    coords = np.repeat([(10.0, 0.0), (-10.0, 0.0)], 3 * images_of_a_cell, axis=0)
    labels = np.repeat(np.arange(6), images_of_a_cell)
    # With this weight the utility lies between two multiples of 2^-36: rounding to them parts such sums.
    decoder = ExpectedUtility(radii_km=(1,), weights=(1 + 2.0**-36,)).fit(coords, labels)
    assert np.unique(decoder.predict(rows), axis=0).tolist() == [[-10.0, 0.0]]


def many(n_rows: int = 4000, n_cells: int = 150, seed: int = 0):
    """Clusters over the earth, enough for several blocks and groups, with a peaked distribution for each row."""
    rng = np.random.default_rng(seed)
    centres = np.column_stack([rng.uniform(-85, 85, n_cells), rng.uniform(-180, 180, n_cells)])
    centres[: n_cells // 2] = rng.normal((47, 8), 3, size=(n_cells // 2, 2))
    labels = np.concatenate([np.arange(n_cells), rng.integers(n_cells, size=n_rows - n_cells)])
    coords = centres[labels] + rng.normal(0, 0.4, size=(n_rows, 2))
    coords[:, 0] = np.clip(coords[:, 0], -90, 90)
    coords[:, 1] = (coords[:, 1] + 180) % 360 - 180
    logits = rng.normal(0, 2, size=(40, n_cells))
    return coords, labels, decoding.softmax(logits)


def utilities_by_matrix(decoder, coords, labels, probabilities, worth):
    from geocells import sphere

    value = worth(sphere.haversine_matrix(decoder.candidates_, coords))
    shares = np.stack(
        [value[:, labels == cell].mean(axis=1) for cell in range(probabilities.shape[1])]
    )
    return probabilities @ shares


def test_blocks_left_out_hold_no_better_candidate():
    coords, labels, probabilities = many()
    decoder = ExpectedUtility(resolution_km=5).fit(coords, labels)
    decoded = decoder.predict_with_confidence(probabilities)
    table = utilities_by_matrix(
        decoder, coords, labels, probabilities,
        lambda km: (km[..., None] <= np.array(RADII_KM)).mean(axis=-1),
    )  # fmt: skip
    assert decoded.utilities == pytest.approx(table.max(axis=1), abs=1e-6)
    chosen = np.array([points_of(decoder.candidates_).index(p) for p in points_of(decoded.points)])
    assert table[np.arange(len(table)), chosen] == pytest.approx(table.max(axis=1), abs=1e-6)


def test_the_table_of_classes_and_the_search_over_points_agree():
    coords, labels, probabilities = many(seed=1)
    by_class = ExpectedUtility().fit(coords, labels)
    by_point = ExpectedUtility.from_points(coords)
    of_points = (probabilities / np.bincount(labels))[:, labels]
    for radii_km in (None, (1,), (200,)):
        answers = by_class.predict(probabilities, radii_km=radii_km)
        assert by_point.predict(of_points, radii_km=radii_km).tolist() == answers.tolist()


def test_answers_depend_neither_on_threads_nor_on_the_order_of_rows(monkeypatch):
    coords, labels, probabilities = many(seed=2)
    monkeypatch.setattr(jit, "ROWS_WORTH_A_THREAD", 64)
    answers = []
    for n_threads, seed in ((1, 0), (3, 1), (7, 2)):
        monkeypatch.setenv("GEOCELLS_NUM_THREADS", str(n_threads))
        rng = np.random.default_rng(seed)
        images, rows = rng.permutation(len(coords)), rng.permutation(len(probabilities))
        decoder = ExpectedUtility(resolution_km=2).fit(coords[images], labels[images])
        decoded = decoder.predict_with_confidence(probabilities[rows])
        back = np.argsort(rows)
        answers.append((decoded.points[back].tobytes(), decoded.utilities[back].tobytes()))
    assert answers[0] == answers[1] == answers[2]


def test_one_row_and_many_rows_at_a_time_answer_alike(monkeypatch):
    coords, labels, probabilities = many()
    decoder = ExpectedUtility(resolution_km=5).fit(coords, labels)
    together = decoder.predict(probabilities)
    monkeypatch.setattr("geocells.decoding.expected_utility.BATCH_BYTES", 100)
    assert decoder.predict(probabilities).tolist() == together.tolist()
    assert decoder.predict(probabilities[:1]).tolist() == together[:1].tolist()


@pytest.mark.parametrize("worth", [1, 10])
def test_many_unlikely_cells_together_can_decide(worth):
    # Two likely cells, and 127 unlikely ones around the second: two blocks of candidates here, two there.
    one, other = ([(south + 0.0001 * k, 10.0) for k in range(128)] for south in (0.0, 50.0))
    decoder = ExpectedUtility(radii_km=(25,), weights=(worth,), resolution_km=0)
    decoder.fit(one + other, [0] * 128 + list(range(1, 129)))
    decoded = decoder.predict_with_confidence([[0.49, 0.47, *[0.04 / 127] * 127]])
    assert decoded.points.tolist() == [[50.0, 10.0]]
    assert decoded.utilities == pytest.approx([0.51 * worth])


def test_a_hit_counts_up_to_the_radius_itself():
    # Two places 25 km apart (a hair less), and one 25.001 km away from the first.
    near, far = 25.0 * KM * (1 - 1e-12), -25.001 * KM
    decoder = ExpectedUtility(radii_km=(25,), resolution_km=0)
    decoder.fit([(0.0, 0.0), (near, 0.0), (far, 0.0)], [0, 1, 2])
    decoded = decoder.predict_with_confidence([[0.2, 0.3, 0.5], [0.45, 0.1, 0.45]], within_km=(25,))
    assert decoded.utilities == pytest.approx([0.5, 0.55])
    assert decoded.points.tolist() == [[far, 0.0], [0.0, 0.0]]


def test_the_spread_out_cell_loses_at_25_km_and_wins_at_750():
    coords = [(47.4, 8.5), (47.4, 8.6), (60.0, 18.0), (63.0, 14.0), (57.0, 12.0)]
    decoder = ExpectedUtility(radii_km=(25, 750)).fit(coords, [0, 0, 1, 1, 1])
    assert decoder.predict([[0.4, 0.6]], radii_km=(25,)).tolist() == [[47.4, 8.5]]
    assert decoder.predict([[0.4, 0.6]], radii_km=(750,)).tolist() == [[57.0, 12.0]]


def test_places_on_both_sides_of_the_antimeridian_and_around_the_pole_are_neighbours():
    coords = [(0.0, 179.9), (0.0, -179.9), (89.9, 0.0), (89.9, 180.0), (0.0, 90.0)]
    decoder = ExpectedUtility(radii_km=(25,), resolution_km=0).fit(coords, [0, 1, 2, 3, 4])
    rows = [[0.3, 0.3, 0.0, 0.0, 0.4], [0.0, 0.0, 0.3, 0.3, 0.4]]
    decoded = decoder.predict_with_confidence(rows)
    assert decoded.utilities == pytest.approx([0.6, 0.6])
    assert np.abs(decoded.points[0, 1]) == 179.9
    assert decoded.points[1, 0] == 89.9


def test_a_partition_labels_the_coordinates_and_stands_in_for_empty_cells():
    rng = np.random.default_rng(0)
    coords = rng.normal((47, 8), 1.0, size=(600, 2))
    cells = CellBuilder(50).fit(coords).cells_
    by_cells = ExpectedUtility(cells).fit(coords)
    by_labels = ExpectedUtility().fit(coords, cells.assign(coords))
    rows = rng.dirichlet(np.full(cells.n_cells, 0.2), size=20)
    assert by_cells.predict(rows).tolist() == by_labels.predict(rows).tolist()
    some = cells.assign(coords) != 0
    lacking = ExpectedUtility(cells).fit(coords[some])
    sure = np.eye(cells.n_cells)[:1]
    assert lacking.mass_within(sure, cells.locations[:1], (0.001,)).tolist() == [[1.0]]
    with pytest.raises(ValueError, match=r"1 of .* classes have no image \(first: class 0\)"):
        ExpectedUtility().fit(coords[some], cells.assign(coords)[some])


def test_images_without_a_cell_are_left_out():
    coords = [(47.0, 8.0), (47.0, 9.0), (10.0, 10.0)]
    decoder = ExpectedUtility().fit(coords, [0, 0, -1])
    assert decoder.n_classes_ == 1
    assert [10.0, 10.0] not in decoder.candidates_.tolist()


def test_nearest_images_vote_for_where_they_lie_together():
    gallery = [(47.0, 8.0), (47.001, 8.0), (10.0, 10.0), (60.0, 18.0)]
    decoder = ExpectedUtility.from_points(gallery, radii_km=(1,), resolution_km=0)
    votes = nearest_images([[2, 0, 1], [3, 2, 3]], 4)
    assert votes.toarray() == pytest.approx(
        np.array([[1 / 3, 1 / 3, 1 / 3, 0.0], [0.0, 0.0, 1 / 3, 2 / 3]])
    )
    assert decoder.predict(votes).tolist() == [[47.0, 8.0], [60.0, 18.0]]
    assert decoder.predict(votes.toarray()).tolist() == decoder.predict(votes).tolist()


def test_one_cell_one_row_and_no_rows():
    decoder = ExpectedUtility().fit([(47.0, 8.0)], [0])
    assert decoder.predict([[1.0]]).tolist() == [[47.0, 8.0]]
    assert decoder.predict(np.empty((0, 1))).shape == (0, 2)
    nothing = decoder.predict_with_confidence(np.empty((0, 1)))
    assert nothing.within.shape == (0, 4)
    assert decoder.mass_radius(np.empty((0, 1)), np.empty((0, 2)), 0.5).shape == (0,)


def test_probabilities_in_half_precision_are_renormalised():
    coords, labels, probabilities = many()
    decoder = ExpectedUtility(resolution_km=5).fit(coords, labels)
    halves = probabilities.astype(np.float16)
    exact = halves.astype(np.float64)
    exact /= exact.sum(axis=1, keepdims=True)
    assert decoder.predict(halves).tolist() == decoder.predict(exact).tolist()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([0.5, 0.5], "one row per image and one column per class"),
        ([[0.5, 0.3, 0.2]], "one column for each of the 2 classes; got 3"),
        ([[0.5, 0.5], [0.5, np.nan]], "must be finite; row 1 holds nan for class 1"),
        ([[1.5, -0.5]], "must not be negative; row 0 holds -0.5 for class 1. Are these logits"),
        ([[0.5, 0.4]], "must add up to 1 .*1 of 1 rows do not \\(first: row 0, 0.9\\)"),
        ([[0.0, 0.0]], "must add up to 1"),
    ],
)
def test_rows_that_are_no_distribution_are_refused(rows, message):
    decoder = ExpectedUtility().fit([(47.0, 8.0), (60.0, 18.0)], [0, 1])
    with pytest.raises(ValueError, match=message):
        decoder.predict(rows)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"radii_km": ()}, "at least one radius"),
        ({"radii_km": (25, 1)}, "each larger than the one before"),
        ({"radii_km": (0, 1)}, "above 0"),
        ({"radii_km": ("a", 1)}, "radii_km must hold finite numbers; row 0 holds a"),
        ({"weights": (1, 2)}, "one number for each of the 5 radii"),
        ({"weights": (0, 0, 0, 0, 0)}, "must not all be zero"),
        ({"weights": (1, -1, 1, 1, 1)}, "weights must hold .* at least 0; .*row 1, -1"),
        ({"resolution_km": -1}, "resolution_km must be"),
        ({"max_memory_bytes": 0}, "max_memory_bytes must be at least 1"),
        ({"max_memory_bytes": 1}, "too little for 2 candidates, .* raise resolution_km"),
    ],
)
def test_unsound_parameters_are_refused_by_fit(options, message):
    with pytest.raises(ValueError, match=message):
        ExpectedUtility(**options).fit([(47.0, 8.0), (60.0, 18.0)], [0, 1])


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (None, "labels may be left out only where cells is a CellPartition"),
        ([0], "one cell per row, shape \\(2,\\); got shape \\(1,\\)"),
        ([0, -2], "run from -1; 1 of 2 rows do not \\(first: row 1, -2\\)"),
        ([-1, -1], "No image has a cell"),
    ],
)
def test_unsound_labels_are_refused(labels, message):
    with pytest.raises(ValueError, match=message):
        ExpectedUtility().fit([(47.0, 8.0), (60.0, 18.0)], labels)
    with pytest.raises(TypeError, match="whole numbers"):
        ExpectedUtility().fit([(47.0, 8.0)], [0.5])


def test_radii_that_were_not_fitted_are_refused():
    decoder = ExpectedUtility(radii_km=(1, 25)).fit([(47.0, 8.0)], [0])
    with pytest.raises(ValueError, match=r"among the fitted ones, \[1.0, 25.0\]; got \[2.0\]"):
        decoder.predict([[1.0]], radii_km=(1, 2))
    zero = ExpectedUtility(radii_km=(1, 25), weights=(0, 1)).fit([(47.0, 8.0)], [0])
    with pytest.raises(ValueError, match="all zero: all points are equally good"):
        zero.predict([[1.0]], radii_km=(1,))


def test_predicting_before_fitting_is_refused():
    from sklearn.exceptions import NotFittedError

    with pytest.raises(NotFittedError, match="call fit"):
        ExpectedUtility().predict([[1.0]])
    assert "not fitted" in repr(ExpectedUtility())
    assert "1 classes, 1 candidates" in repr(ExpectedUtility().fit([(47.0, 8.0)], [0]))
