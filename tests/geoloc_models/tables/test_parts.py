"""Parts by hash: stable, whole units, the right sizes; nested subsets."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geoloc_models.tables.parts import assign_parts, split_of_table, subset_ranks, subset_rows
from geoloc_models.tables.photo_table import PhotoTable
from geoloc_models.tables.split import place_blocks


def numbered(n):
    return [f"photo-{k}" for k in range(n)]


def random_coords(n, seed=0):
    rng = np.random.default_rng(seed)
    return np.column_stack([rng.uniform(46, 47, n), rng.uniform(7, 8, n)])


def table_of(parts, ranks=None):
    n = len(parts)
    frame = PhotoTable.from_arrays(random_coords(n), ["CH"] * n).frame.assign(part=parts)
    return PhotoTable(frame if ranks is None else frame.assign(subset_rank=ranks))


def test_parts_never_change():
    # Splits that people have made must come out again: these values may never be edited.
    def digits(by, **options):
        return "".join(map(str, assign_parts(numbered(40), by=by, **options).tolist()))

    assert digits("id") == "0000200000000210000020000000000120000100"
    users = [f"user-{k // 4}" for k in range(40)]
    assert digits("user", users=users) == "1111000000000000000000000000000000000000"
    coords = np.column_stack([np.linspace(-60, 60, 40), np.linspace(-179, 179, 40)])
    assert digits("place", coords=coords) == "0020010000002000000020000022020000000000"
    assert subset_ranks(numbered(8), np.zeros(8, dtype=int)).tolist() == [7, 2, 1, 6, 4, 3, 5, 0]


@settings(deadline=None, max_examples=40)
@given(
    st.lists(
        st.text(st.characters(categories=["L", "N"]), max_size=12).map("p{}".format),
        min_size=1,
        max_size=40,
        unique=True,
    ),
    st.sampled_from(["id", "user", "place"]),
    st.integers(0, 2**64 - 1),
    st.randoms(use_true_random=False),
)
def test_a_photo_keeps_its_part_whatever_rows_come_or_go(ids, by, seed, random):
    users = [f"user {k % 5}" if k % 3 else None for k in range(len(ids))]
    coords = random_coords(len(ids))
    kept = sorted(random.sample(range(len(ids)), random.randint(1, len(ids))), reverse=True)
    part = assign_parts(ids, by=by, users=users, coords=coords, seed=seed)
    of_kept = {"users": [users[k] for k in kept], "coords": coords[kept]}
    fewer = assign_parts([ids[k] for k in kept], by=by, seed=seed, **of_kept)
    np.testing.assert_array_equal(fewer, part[kept])


def test_sizes_follow_the_fractions_as_chance_allows():
    n = 50_000
    for seed in range(3):
        part = assign_parts(numbered(n), fractions=(0.7, 0.2, 0.1), seed=seed)
        counts = np.bincount(part, minlength=3)
        for count, share in zip(counts, (0.7, 0.2, 0.1), strict=True):
            assert abs(count - n * share) < 5 * np.sqrt(n * share * (1 - share))


def test_another_seed_deals_anew():
    ids = numbered(20_000)
    first, other = assign_parts(ids, seed=0), assign_parts(ids, seed=1)
    # Independent splits have 0.1 * 0.1 of the photos in both test parts: 200, deviation 14.
    assert abs(int(((first == 2) & (other == 2)).sum()) - 200) < 70


def test_the_test_part_stays_when_validation_grows():
    ids = numbered(5_000)
    before = assign_parts(ids, fractions=(0.8, 0.1, 0.1))
    after = assign_parts(ids, fractions=(0.7, 0.2, 0.1))
    np.testing.assert_array_equal(before == 2, after == 2)
    assert ((before == 1) <= (after == 1)).all()


def test_all_photos_of_a_user_are_on_one_side():
    users = [f"user {k % 300}" for k in range(3_000)]
    part = assign_parts(numbered(3_000), by="user", users=users)
    assert pd.Series(part).groupby(users).nunique().eq(1).all()
    assert set(part.tolist()) == {0, 1, 2}


def test_a_photo_without_a_user_stands_for_itself():
    ids = numbered(2_000)
    users = [None, ""] * 1_000
    np.testing.assert_array_equal(
        assign_parts(ids, by="user", users=users), assign_parts(ids, by="id")
    )
    mixed = assign_parts(ids, by="user", users=["anna", None] * 1_000)
    assert len(set(mixed[::2].tolist())) == 1
    np.testing.assert_array_equal(mixed[1::2], assign_parts(ids)[1::2])


def test_a_user_named_like_a_photo_has_nothing_to_do_with_it():
    ids = numbered(2_000)
    by_user = assign_parts(ids, by="user", users=ids)
    assert (by_user != assign_parts(ids)).mean() > 0.2


@pytest.mark.parametrize("block_km", [1.0, 25.0])
def test_all_photos_of_a_block_are_on_one_side(block_km):
    coords = random_coords(5_000)
    part = assign_parts(numbered(5_000), by="place", coords=coords, block_km=block_km)
    blocks = place_blocks(coords, block_km)
    assert pd.Series(part).groupby(blocks).nunique().eq(1).all()


@pytest.mark.parametrize("by", ["user", "place"])
def test_photos_of_units_left_out_of_training_are_dealt_one_by_one(by):
    ids, coords = numbered(6_000), random_coords(6_000)
    units = place_blocks(coords, 20.0) if by == "place" else np.arange(6_000) % 40
    options = {"by": by, "users": [f"user {k}" for k in units], "coords": coords, "block_km": 20.0}
    fractions = (0.6, 0.1, 0.3)
    apart = assign_parts(ids, fractions=fractions, **options)
    part = assign_parts(ids, fractions=fractions, exchangeable=True, **options)
    np.testing.assert_array_equal(part == 0, apart == 0)
    held_out = part > 0
    # Three of four held-out photos are test photos, in every unit as chance allows.
    for unit in np.unique(units[held_out]):
        test = (part == 2)[units == unit]
        assert abs(test.mean() - 0.75) < 5 * np.sqrt(0.75 * 0.25 / len(test))
    # A photo's part does not depend on the others'.
    some = np.arange(0, 6_000, 7)
    options |= {"users": [options["users"][k] for k in some], "coords": coords[some]}
    again = assign_parts([ids[k] for k in some], fractions=fractions, exchangeable=True, **options)
    np.testing.assert_array_equal(again, part[some])


def test_ids_may_come_as_texts_numbers_arrow_or_pandas():
    expected = assign_parts(["7", "10", "3"])
    for ids in (
        [7, 10, 3],
        np.array([7, 10, 3]),
        pd.Series(["7", "10", "3"]),
        pd.Series(["7", "10", "3"], dtype="category"),
        pa.array(["7", "10", "3"]),
        pa.chunked_array([["7"], ["10", "3"]]),
        pa.array(["7", "10", "3"]).dictionary_encode(),
    ):
        np.testing.assert_array_equal(assign_parts(ids), expected)


def test_by_photo_every_split_is_exchangeable_and_no_photos_have_no_parts():
    for ids in (numbered(500), []):
        part = assign_parts(ids)
        np.testing.assert_array_equal(assign_parts(ids, exchangeable=True), part)
        assert part.shape == subset_ranks(ids, part).shape == (len(ids),)


@pytest.mark.parametrize(
    ("ids", "options", "words"),
    [
        (["a", None], {}, "needs an id.*row 1"),
        (["a", 2], {}, "texts or whole numbers"),
        (["a"], {"by": "colour"}, "A split by colour needs"),
        (["a"], {"by": "user"}, "needs the photos' users"),
        (["a"], {"by": "place"}, "needs the photos' coordinates"),
        (["a"], {"by": "user", "users": ["u", "v"]}, "users must have one.*got 2 for 1"),
        (["a"], {"by": "place", "coords": [[0, 0], [1, 1]]}, "coords must have one"),
        (["a"], {"by": "place", "coords": [[95, 0]]}, "Latitude"),
        (["a"], {"by": "place", "coords": [[5, 0]], "block_km": 0}, "size_km"),
        (["a"], {"fractions": (0.5, 0.5, 0.5)}, "sum 1"),
        (["a"], {"seed": -1}, "seed must lie"),
        (["a"], {"seed": 2**64}, "seed must lie"),
    ],
)
def test_impossible_parts_are_refused(ids, options, words):
    with pytest.raises(ValueError, match=words):
        assign_parts(ids, **options)


def test_ranks_number_the_training_photos_and_them_alone():
    ids = numbered(1_000)
    part = assign_parts(ids)
    rank = subset_ranks(ids, part)
    assert rank.dtype == np.int64
    assert sorted(rank[part == 0].tolist()) == list(range((part == 0).sum()))
    assert (rank[part != 0] == -1).all()


def test_added_photos_never_change_the_order_of_two():
    ids = numbered(800)
    rank = subset_ranks(ids, np.zeros(800, dtype=int), seed=4)
    fewer = subset_ranks(ids[300:], np.zeros(500, dtype=int), seed=4)
    np.testing.assert_array_equal(np.argsort(fewer), np.argsort(rank[300:]))


def test_the_order_has_nothing_to_do_with_the_part():
    ids = numbered(20_000)
    order = np.argsort(subset_ranks(ids, np.zeros(20_000, dtype=int)))
    share = (assign_parts(ids)[order[:5_000]] == 0).mean()
    assert abs(share - 0.8) < 5 * np.sqrt(0.8 * 0.2 / 5_000)


def test_an_id_that_is_there_twice_is_refused():
    with pytest.raises(
        ValueError, match=r"1 of 4 rows of the table repeat.*row 4 that of row 2, 'b'"
    ):
        subset_ranks(["a", "b", "c", "b"], [0, 0, 0, 1])


def test_ids_of_one_hash_are_ordered_by_their_text(monkeypatch):
    monkeypatch.setattr(
        "geoloc_models.tables.parts.hash_texts",
        lambda texts, start: np.array([5, 1, 5, 5], dtype=np.uint64),
    )
    assert subset_ranks(["c", "z", "a", "b"], [0, 0, 0, 0]).tolist() == [3, 0, 1, 2]


def test_the_part_column_becomes_sorted_rows():
    split = split_of_table(table_of(["test", "train", "validation", "train"]))
    assert [part.tolist() for part in vars(split).values()] == [[1, 3], [2], [0]]
    assert split.train.dtype == np.int64
    table = table_of(pd.Categorical(["test", "train", "validation"]))
    assert split_of_table(table).validation.tolist() == [2]


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        (["test", "train", "dev"], "1 of 3 rows of the table do not.*photo 2, 'dev'"),
        (["test", "train", None], "photo 2"),
        (["train", "train", "test"], "no photo in its validation part"),
    ],
)
def test_a_strange_part_column_is_refused(parts, words):
    with pytest.raises(ValueError, match=words):
        split_of_table(table_of(parts))


def test_a_photo_is_named_by_its_id_as_rows_of_its_file_may_have_been_left_out():
    frame = table_of(["train", "dev", "test"]).frame.assign(id=["a", "b", "c"])
    for index in (frame.index, [7, 8, 9]):  # the caller's own, of a longer table
        with pytest.raises(ValueError, match=r"first: photo 'b', 'dev'"):
            split_of_table(PhotoTable(frame.set_axis(index)))


def test_subsets_are_nested_and_lie_in_training():
    ids = numbered(500)
    part = assign_parts(ids)
    table = table_of(np.array(["train", "validation", "test"])[part], subset_ranks(ids, part))
    train = set(split_of_table(table).train.tolist())
    inner, outer = (subset_rows(table, n) for n in (50, 200))
    assert (len(inner), len(outer), inner.dtype) == (50, 200, np.int64)
    assert set(inner.tolist()) < set(outer.tolist()) < train
    assert (np.diff(outer) > 0).all()
    assert set(subset_rows(table, len(train)).tolist()) == train


def test_subsets_that_cannot_be_are_refused():
    table = table_of(["train", "train", "test"], [0, 2, -1])
    for n, words in ((3, "1 to 2 photos; got 3"), (0, "got 0"), (2, "numbers 1 photos below 2")):
        with pytest.raises(ValueError, match=words):
            subset_rows(table, n)
    table = PhotoTable.from_arrays([[47, 8]], ["CH"])
    with pytest.raises(ValueError, match="no column part"):
        split_of_table(table)
    with pytest.raises(ValueError, match="no column subset_rank"):
        subset_rows(table, 1)
