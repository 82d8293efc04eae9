"""The hash that decides parts: fixed for ever, even, and the same one text or a million."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geoloc_models.tables.hashing import hash_numbers, hash_texts, hash_to_unit, stream_start

MASK = 2**64 - 1


def mix(x):
    x = (x + 0x9E3779B97F4A7C15) & MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
    return x ^ (x >> 31)


def hash_slowly(data: bytes, start: int) -> int:
    state = start
    for begin in range(0, len(data), 8):
        state = mix(state ^ int.from_bytes(data[begin : begin + 8], "little"))
    return mix(state ^ len(data))


def test_the_mixing_is_that_of_splitmix64():
    # First outputs of SplitMix64 from state 0: the published test values.
    assert mix(0) == 0xE220A8397B1DCDAF
    assert mix(0x9E3779B97F4A7C15) == 0x6E789E6AA1B965F4


def test_hashes_never_change():
    # These numbers decide where photos of existing splits belong: they may never be edited.
    assert stream_start("part/id", 0) == 8306544671220955247
    texts = ["", "a", "12345678", "123456789", "Zürich 東京", "x" * 100]
    assert hash_texts(texts, stream_start("part/id", 0)).tolist() == [
        263531743831269241,
        13998887686549141767,
        10999601286481475457,
        17560338687653430432,
        5129237421912757873,
        428341325467676522,
    ]
    assert hash_texts(["a"], stream_start("part/id", 1)).tolist() == [5884611781521752904]
    assert hash_texts(["a"], stream_start("subset/id", 0)).tolist() == [11863903993112084707]
    assert hash_numbers(np.array([0, 1, 400_000_000]), 5).tolist() == [
        8701940948463266882,
        4631970174250229809,
        16097770637407273390,
    ]


@settings(deadline=None)
@given(st.lists(st.text(max_size=40), max_size=20), st.integers(0, MASK))
def test_many_texts_are_hashed_as_one_at_a_time(texts, start):
    expected = [hash_slowly(text.encode("utf-8", "surrogatepass"), start) for text in texts]
    assert hash_texts(texts, start).tolist() == expected
    with pytest.raises(ValueError, match="1 are missing"):
        hash_texts([*texts, None], start)


@settings(deadline=None)
@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=20), st.integers(0, MASK))
def test_a_number_is_hashed_as_its_eight_bytes(numbers, start):
    expected = [hash_slowly(n.to_bytes(8, "little", signed=True), start) for n in numbers]
    assert hash_numbers(np.array(numbers, dtype=np.int64), start).tolist() == expected


def test_a_stream_starts_from_its_name_and_seed():
    assert stream_start("part/id", 7) == hash_slowly(b"geoloc/1/part/id", mix(7))
    starts = {stream_start(s, seed) for s in ("part/id", "subset/id") for seed in range(100)}
    assert len(starts) == 200


def test_slices_and_blocks_do_not_matter_and_zeros_at_the_end_count():
    texts = pa.array([f"photo {k}" * (k % 7) for k in range(70_000)], type=pa.string())
    whole = hash_texts(texts, 3)
    np.testing.assert_array_equal(hash_texts(texts.slice(65_000, 2_000), 3), whole[65_000:67_000])
    assert hash_texts(texts.slice(0, 0), 3).shape == (0,)
    assert len(set(hash_texts(["a", "a\0", "a\0\0", "", "\0"], 1).tolist())) == 5


def test_hashes_of_numbered_ids_are_evenly_spread_and_two_streams_independent():
    texts = [str(k) for k in range(100_000)]
    both = [hash_to_unit(hash_texts(texts, stream_start(s, 0))) for s in ("part/id", "subset/id")]
    # The correlation of independent numbers has the deviation 1 / sqrt(n) = 0.0032.
    assert abs(np.corrcoef(*both)[0, 1]) < 0.015
    for u in both:
        assert u.min() >= 0
        assert u.max() < 1
        counts = np.bincount((u * 100).astype(int), minlength=100)
        # Chi-square of 99 degrees of freedom: mean 99, deviation 14; the seeds are fixed.
        assert 50 < ((counts - 1000) ** 2 / 1000).sum() < 170


def test_every_bit_of_the_hash_is_set_half_of_the_time():
    hashes = hash_numbers(np.arange(100_000), stream_start("part/place", 0))
    ones = [int(((hashes >> np.uint64(bit)) & np.uint64(1)).sum()) for bit in range(64)]
    # Binomial(100 000, 1/2) has the deviation 158.
    assert max(abs(n - 50_000) for n in ones) < 5 * 158
