"""File names of ids."""

import re
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from geoloc_models.download.names import MAX_NAME_LENGTH, folder_of, safe_name

ids = st.text(st.characters(codec=None), max_size=300)


@given(ids)
@example("")
@example("../../etc/passwd")
@example("a/b\\c:d*e?f")
@example("photo.jpg")
@example("-rf")
@example("con")
@example("x" * 65)
@example("Żółw 鹿")
@example("\ud800")
@example("nul\x00byte")
def test_every_id_has_a_name_that_is_safe_everywhere(photo_id):
    name = safe_name(photo_id)
    assert re.fullmatch(r"[a-z0-9][a-z0-9_~-]*", name)
    assert len(name) <= MAX_NAME_LENGTH
    assert name not in ("con", "prn", "aux", "nul", "com1", "lpt9")
    assert re.fullmatch(r"[0-9a-f]{2}/[0-9a-f]{2}", folder_of(name))


@given(ids, ids)
@example("A", "a")
@example("é", "e\u0301")
@example("x" * 64, "x" * 65)
@example("a/b", "a-b")
def test_two_ids_have_two_names_where_case_is_ignored_too(one, other):
    names = {unicodedata.normalize("NFC", safe_name(key)).casefold() for key in (one, other)}
    assert len(names) == len({one, other})


def test_a_name_cannot_be_taken_by_an_id_that_looks_like_it():
    name = safe_name("A")
    assert safe_name(name) != name


@pytest.mark.parametrize("photo_id", ["2034871", "a", "0_b-c", "f" * 64])
def test_plain_ids_are_their_own_names(photo_id):
    assert safe_name(photo_id) == photo_id
