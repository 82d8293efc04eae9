"""The index of photos."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoloc_models._errors import GeolocError
from geoloc_models.download.index import CODE_OF_STATE, OK, UNTRIED, PhotoIndex
from geoloc_models.download.record import State

names = st.lists(st.text("abc0", min_size=1, max_size=4), unique=True, max_size=30)


@given(names, names)
def test_names_are_found_and_strangers_are_not(inside, asked):
    index = PhotoIndex(lambda: [inside[:3], inside[3:]])
    position = index.positions(asked)
    assert len(index) == len(inside)
    assert [k >= 0 for k in position] == [name in inside for name in asked]
    assert len(set(position[position >= 0])) == len(set(asked) & set(inside))


def test_a_repeated_id_is_named_with_its_rows():
    with pytest.raises(GeolocError, match=r"rows 2 and 4 share one \(b\)"):
        PhotoIndex(lambda: [["a", "b"], ["c", "b"]])


def test_names_with_one_hash_are_hashed_again(monkeypatch):
    real = PhotoIndex._hashes

    def colliding(self, batch):
        hashes = real(self, batch)
        return hashes % 2 if self._hash_key.endswith("0") else hashes

    monkeypatch.setattr(PhotoIndex, "_hashes", colliding)
    index = PhotoIndex(lambda: [["a", "b", "c"]])
    assert sorted(index.positions(["a", "b", "c"])) == [0, 1, 2]


def test_states_are_counted():
    index = PhotoIndex(lambda: [["a", "b", "c"]])
    index.state[:] = [OK, OK, CODE_OF_STATE[State.GONE]]
    assert index.counts()[State.OK] == 2
    assert index.counts()[State.GONE] == 1
    assert index.counts()[State.FAILED] == 0


def test_a_photo_takes_thirteen_bytes():
    index = PhotoIndex(lambda: [[str(k) for k in range(100)]])
    held = [value for value in vars(index).values() if isinstance(value, np.ndarray)]
    assert sum(array.nbytes for array in held) == 1300
    assert (index.state == UNTRIED).all()
