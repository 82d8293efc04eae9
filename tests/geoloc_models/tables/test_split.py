import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive import distance_km

from geoloc_models.tables.split import largest_block, place_blocks, split_rows


def parts(split):
    return [split.train, split.validation, split.test]


def sizes(split):
    return [len(part) for part in parts(split)]


def check_partition(split, n_rows):
    for part in parts(split):
        assert part.dtype == np.int64
        assert len(part) > 0
        assert (np.diff(part) > 0).all()
    assert sorted(np.concatenate(parts(split)).tolist()) == list(range(n_rows))


def test_the_seed_alone_decides_and_the_global_generator_is_left_alone():
    np.random.seed(1)  # noqa: NPY002
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    first = split_rows(200, seed=3)
    split_rows(50, groups=np.arange(50) // 2)
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002
    np.random.seed(2)  # noqa: NPY002
    again, other = split_rows(200, seed=3), split_rows(200, seed=4)
    for a, b in zip(parts(first), parts(again), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(first.test, other.test)


def test_rows_fall_into_the_test_part_equally_often():
    counts = np.zeros(20)
    for seed in range(500):
        counts[split_rows(20, seed=seed).test] += 1
    # Binomial(500, 0.1): mean 50, deviation 6.7; five deviations are never crossed by chance.
    assert (np.abs(counts - 50) < 34).all()


@settings(deadline=None, max_examples=60)
@given(st.integers(3, 300), st.integers(0, 5), st.integers(0, 2**32))
def test_every_part_is_within_a_row_of_its_share(n_rows, n_strata, seed):
    strata = None if n_strata == 0 else np.arange(n_rows) % n_strata
    split = split_rows(n_rows, strata=strata, seed=seed)
    check_partition(split, n_rows)
    for size, share in zip(sizes(split), (0.8, 0.1, 0.1), strict=True):
        # One row by rounding twice at most, or the row that a part was given to be non-empty.
        assert abs(size - share * n_rows) <= 2


def test_every_stratum_is_spread_by_the_fractions():
    strata = np.array(["SE"] * 900 + ["CH"] * 100)[np.random.default_rng(0).permutation(1000)]
    split = split_rows(1000, strata=strata)
    for part, (n_se, n_ch) in zip(parts(split), [(720, 80), (90, 10), (90, 10)], strict=True):
        assert abs((strata[part] == "SE").sum() - n_se) <= 1
        assert abs((strata[part] == "CH").sum() - n_ch) <= 1


@settings(deadline=None, max_examples=120)
@given(
    st.lists(st.integers(0, 8), min_size=3, max_size=200).filter(lambda g: len(set(g)) >= 3),
    st.integers(0, 1000),
    st.booleans(),
)
def test_no_group_is_trained_on_and_held_out(groups, seed, stratified):
    groups = np.array(groups)
    strata = groups % 2 if stratified else None
    split = split_rows(len(groups), groups=groups, strata=strata, seed=seed)
    check_partition(split, len(groups))
    held_out = np.concatenate([split.validation, split.test])
    assert not set(groups[split.train].tolist()) & set(groups[held_out].tolist())
    assert abs(len(split.validation) - len(split.test)) <= 1


def test_one_large_group_goes_to_training_and_one_of_three_equal_ones_is_held_out():
    split = split_rows(100, groups=np.array([0] * 70 + list(range(1, 31))))
    assert set(range(70)) <= set(split.train.tolist())
    assert sizes(split) == [80, 10, 10]
    assert sizes(split_rows(12, groups=np.repeat(["a", "b", "c"], 4))) == [8, 2, 2]


def test_small_strata_of_groups_do_not_starve_a_part():
    strata = np.repeat(np.arange(50), 5)
    split = split_rows(250, groups=np.arange(250), strata=strata)
    np.testing.assert_allclose(np.array(sizes(split)) / 250, [0.8, 0.1, 0.1], atol=0.03)


def test_a_group_of_mixed_strata_stays_whole():
    groups = np.repeat(np.arange(30), 4)
    strata = np.tile(["SE", "SE", "SE", "CH"], 30)
    split = split_rows(120, groups=groups, strata=strata)
    assert sizes(split) == [96, 12, 12]
    assert (np.bincount(groups[split.train], minlength=30) % 4 == 0).all()


def test_the_rows_of_a_held_out_group_fall_into_either_part_by_chance():
    groups = np.arange(40) // 4
    together, in_test, held_out = 0, np.zeros(40), np.zeros(40)
    for seed in range(600):
        split = split_rows(40, groups=groups, seed=seed)
        assert sizes(split) == [32, 4, 4]
        in_test[split.test] += 1
        held_out[np.concatenate([split.validation, split.test])] += 1
        together += len(set(groups[split.test].tolist())) == 1
    # Two groups of ten are held out: Binomial(600, 1/5), deviation 9.8. Half of their rows are test rows.
    assert (np.abs(held_out - 120) < 5 * 9.8).all()
    assert (np.abs(in_test - held_out / 2) < 5 * np.sqrt(held_out / 4)).all()
    # Of the 70 ways to deal 8 rows out to two parts of 4, two keep the groups whole: 17.1, deviation 4.1.
    assert abs(together - 600 * 2 / 70) < 3 * 4.1


def test_parts_of_groups_hit_the_fractions_and_spread_the_strata():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(400), rng.geometric(0.2, 400))
    strata = np.where(groups < 100, "CH", "SE")
    split = split_rows(len(groups), groups=groups, strata=strata, fractions=(0.7, 0.1, 0.2))
    share = np.array(sizes(split)) / len(groups)
    np.testing.assert_allclose(share, [0.7, 0.1, 0.2], atol=0.02)
    for part in parts(split):
        assert (strata[part] == "CH").mean() == pytest.approx((strata == "CH").mean(), abs=0.03)


def test_rows_of_one_stratum_are_exchangeable():
    groups, strata = np.arange(120) // 4, np.arange(120) // 4 % 3
    held_out, in_test = np.zeros(120), np.zeros(120)
    for seed in range(400):
        split = split_rows(120, groups=groups, strata=strata, seed=seed)
        in_test[split.test] += 1
        held_out[np.concatenate([split.validation, split.test])] += 1
    # Two of each stratum's ten groups are held out, eight rows that come out even.
    assert (np.abs(held_out - 80) < 5 * 8).all()
    assert (np.abs(in_test - held_out / 2) < 5 * np.sqrt(held_out / 4)).all()


@pytest.mark.parametrize(
    ("n_rows", "options", "words"),
    [
        (2, {}, "at least 3 rows; there are 2"),
        (0, {}, "at least 3 rows; there are 0"),
        (0, {"groups": []}, "at least 3 groups; there are 0"),
        (5, {"groups": [0, 0, 0, 1, 1]}, "at least 3 groups; there are 2"),
        (5, {"groups": [0, 1, 2]}, "groups must have one value per row; got 3 for 5"),
        (3, {"groups": ["a", None, "c"]}, "groups must have a value.*row 1"),
        (3, {"strata": ["a", "b"]}, "strata must have one value"),
        (9, {"fractions": (0.8, 0.2, 0.0)}, "three positive numbers"),
        (9, {"fractions": (0.8, 0.2, 0.2)}, "sum 1"),
        (9, {"fractions": (0.8, 0.2)}, "three positive numbers"),
        (9, {"fractions": (np.nan, 0.2, 0.8)}, "three positive numbers"),
    ],
)
def test_impossible_splits_are_refused(n_rows, options, words):
    with pytest.raises(ValueError, match=words):
        split_rows(n_rows, **options)


@settings(deadline=None, max_examples=100)
@given(
    st.floats(-89.9, 89.9),
    st.floats(-180, 180),
    st.sampled_from([1.0, 10.0, 250.0]),
    st.integers(0, 2**32),
)
def test_two_places_of_one_block_are_near(latitude, longitude, size_km, seed):
    spread = 2 * size_km / 111.195
    rng = np.random.default_rng(seed)
    places = np.array([latitude, longitude]) + rng.uniform(-spread, spread, (60, 2))
    places = places[np.abs(places[:, 0]) <= 90]
    block = place_blocks(places, size_km)
    for number in np.unique(block):
        same = places[block == number]
        # A block is at most 1.5 sizes wide in its middle (a band of one or two blocks) and a size
        # high; a polar cap is two sizes across.
        assert max(distance_km(same[0], place) for place in same) <= 2.5 * size_km


def test_blocks_have_nearly_equal_areas():
    rng = np.random.default_rng(0)
    places = np.column_stack(
        [np.degrees(np.arcsin(rng.uniform(-1, 1, 400_000))), rng.uniform(-180, 180, 400_000)]
    )
    _, counts = np.unique(place_blocks(places, 1000), return_counts=True)
    # 510 million km2 make about 510 blocks of about 780 places each; the caps may be larger.
    assert 460 < len(counts) < 560
    assert np.percentile(counts, 2) > 600
    assert np.percentile(counts, 98) < 1000


def test_one_meridian_and_one_pole_are_one_place():
    assert len(set(place_blocks([[10, 180], [10, -180], [10, 540]]).tolist())) == 1
    assert len(set(place_blocks([[90, 0], [90, 120], [90, -77]]).tolist())) == 1
    assert len(set(place_blocks([[-90, 0], [-90, 120]]).tolist())) == 1
    assert place_blocks([]).shape == (0,)


def test_far_places_lie_in_different_blocks():
    rng = np.random.default_rng(1)
    places = np.column_stack([rng.uniform(-80, 80, 300), rng.uniform(-180, 180, 300)])
    block = place_blocks(places, 10)
    for i in range(300):
        for j in np.flatnonzero(block == block[i]):
            assert distance_km(places[i], places[j]) < 25


@pytest.mark.parametrize(
    ("coords", "size_km", "words"),
    [
        ([[1, 2]], 0, "size_km.*got 0"),
        ([[1, 2]], -1, "size_km.*got -1"),
        ([[1, 2]], np.nan, "size_km.*got nan"),
        ([[95, 2]], 10, "row 0, 95"),
        ([[5, np.nan]], 10, "row 0"),
        ([5, 6, 7], 10, "shape"),
    ],
)
def test_impossible_blocks_are_refused(coords, size_km, words):
    with pytest.raises(ValueError, match=words):
        place_blocks(coords, size_km)


def test_the_largest_block_is_counted():
    town = np.tile([[46.2, 6.14]], (7, 1))
    assert largest_block(np.concatenate([town, [[59.3, 18.1]], [[0.0, 0.0]]])) == 7
    assert largest_block([[59.3, 18.1], [0.0, 0.0]]) == 1
    assert largest_block(np.empty((0, 2))) == 0
    assert largest_block([[46.2, 6.14], [46.5, 6.14]], size_km=1000.0) == 2
