"""The ledger and its journal, cut off anywhere."""

import dataclasses
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoloc_models._errors import GeolocError
from geoloc_models.download import PhotoRecord, State, ledger, read_ledger
from geoloc_models.download.index import CODE_OF_STATE, OK, UNTRIED, PhotoIndex
from geoloc_models.download.ledger import JOURNAL, LEDGER, Ledger
from geoloc_models.download.storage import FolderStorage

TIME = datetime(2026, 5, 1, 12, 30, 15, 123000, tzinfo=UTC)


def record(key, state=State.GONE, **fields):
    return PhotoRecord(key, f"http://a/{key}", state, time=TIME, **fields)


def states(folder):
    table = read_ledger(folder)
    return dict(zip(table["id"].to_pylist(), table["state"].to_pylist(), strict=True))


def test_a_row_comes_back_as_it_was_written(tmp_path):
    written = PhotoRecord(
        "Ü\n\"'", "http://a/ü", State.OK, "why", 200, 1234, 40, 30, "ab/cd/x.jpg", 3, TIME
    )
    book = Ledger(tmp_path)
    book.append(written)
    for _ in range(2):
        row = read_ledger(tmp_path).to_pylist()[0]
        assert PhotoRecord(**row) == dataclasses.replace(written, state="ok")
        book.merge()
    assert (tmp_path / LEDGER).exists()
    assert not (tmp_path / JOURNAL).exists()


def test_a_line_is_on_disk_before_the_call_returns(tmp_path):
    book = Ledger(tmp_path)
    book.append(record("a"))
    assert states(tmp_path) == {"a": "gone"}  # another reader, the journal still open
    book.append(record("b"))
    assert states(tmp_path) == {"a": "gone", "b": "gone"}


def test_a_later_state_takes_the_place_of_an_earlier_one(tmp_path):
    book = Ledger(tmp_path)
    for state in (State.FAILED, State.GONE):
        book.append(record("a", state))
    book.merge()
    assert states(tmp_path) == {"a": "gone"}
    book.append(record("b"))
    book.append(record("a", State.OK))
    assert states(tmp_path) == {"a": "ok", "b": "gone"}
    book.merge()
    assert states(tmp_path) == {"a": "ok", "b": "gone"}
    assert pq.read_metadata(tmp_path / LEDGER).num_rows == 2


cut_points = st.integers(0, 2000)
events = st.lists(st.tuples(st.sampled_from("abcde"), st.sampled_from(list(State))), max_size=12)


@given(events, st.integers(0, 12), cut_points)
def test_a_journal_cut_anywhere_keeps_every_whole_line(history, merged_after, cut):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        book, before = Ledger(folder), {}
        for key, state in history[:merged_after]:
            book.append(record(key, state))
            before[key] = str(state)
        book.merge()
        for key, state in history[merged_after:]:
            book.append(record(key, state))
        book.close()
        journal = folder / JOURNAL
        if journal.exists():
            whole = journal.read_bytes()
            journal.write_bytes(whole[:cut])
            for key, state in history[merged_after:][: whole[:cut].count(b"\n")]:
                before[key] = str(state)
        if before or journal.exists():
            assert states(folder) == before
            Ledger(folder).merge()
            if before:
                assert states(folder) == before


def test_a_kill_between_merge_and_removal_of_the_journal_changes_nothing(tmp_path):
    book = Ledger(tmp_path)
    book.append(record("a", State.FAILED))
    book.append(record("a", State.OK))
    journal = (tmp_path / JOURNAL).read_bytes()
    book.merge()
    (tmp_path / JOURNAL).write_bytes(journal)
    again = Ledger(tmp_path)
    again.merge()
    assert states(tmp_path) == {"a": "ok"}
    assert read_ledger(tmp_path).num_rows == 1


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x00" * 40 + b"\n",
        b"{}\n",
        b"[1]\n",
        b'{"id": "x", "state": "fine", "time": null, "path": null}\n',
        b'{"id": "x", "state": "ok", "time": null, "path": null, "bytes": "many"}\n',
        b'{"id": "x", "state": "ok", "time": null, "path": null, "status": 99999999}\n',
    ],
)
def test_a_garbled_line_costs_its_own_photo_alone(tmp_path, garbage):
    book = Ledger(tmp_path)
    for key in "abc":
        book.append(record(key))
    lines = (tmp_path / JOURNAL).read_bytes().splitlines(keepends=True)
    (tmp_path / JOURNAL).write_bytes(lines[0] + garbage + b"".join(lines[1:]))
    assert states(tmp_path) == dict.fromkeys("abc", "gone")


def test_a_line_that_the_disk_refuses_leaves_no_half_of_it(tmp_path):
    book = Ledger(tmp_path)
    book.append(record("a"))
    real = book._journal

    class Full:
        def write(self, view):
            if len(view) > 20:
                return real.write(view[:20])
            raise OSError(28, "No space left on device")

        def __getattr__(self, name):
            return getattr(real, name)

    book._journal = Full()
    with pytest.raises(OSError, match="No space"):
        book.append(record("b" * 500))
    book._journal = real
    book.append(record("c"))
    assert states(tmp_path) == {"a": "gone", "c": "gone"}


def test_the_journal_is_merged_when_it_is_long(tmp_path, monkeypatch):
    monkeypatch.setattr(ledger, "_SHORTEST_JOURNAL", 3)
    book = Ledger(tmp_path)
    due = []
    for k in range(12):
        book.append(record(str(k)))
        due.append(book.is_due)
        if book.is_due:
            book.merge()
    assert [k for k, is_due in enumerate(due) if is_due] == [2, 5, 8, 11]
    book._n_rows = 100
    book._n_lines = 24
    assert not book.is_due  # a quarter of the ledger
    book._n_lines = 25
    assert book.is_due


def test_the_index_is_filled_with_states_and_places(tmp_path):
    book = Ledger(tmp_path)
    book.append(record("a", State.OK, path="ab/cd/a.png", bytes=700))
    book.append(record("b", State.NOT_AN_IMAGE))
    book.append(record("of another table", State.OK, path="ab/cd/o.jpg", bytes=40))
    book.merge()
    index = PhotoIndex(lambda: [["b", "c", "a"]])
    storage = FolderStorage(tmp_path)
    book.load(index, storage)
    b, c, a = index.positions(["b", "c", "a"])
    assert index.state[[a, b, c]].tolist() == [OK, CODE_OF_STATE[State.NOT_AN_IMAGE], UNTRIED]
    assert storage.path_of("a", index.place[a]).endswith("/a.png")
    assert book.bytes_on_disk() == 740


@pytest.mark.parametrize("content", [b"", b"PAR1 no ledger", b"id,url\n"])
def test_a_damaged_ledger_is_named_with_the_remedy(tmp_path, content):
    (tmp_path / LEDGER).write_bytes(content)
    with pytest.raises(GeolocError, match=r"ledger\.parquet cannot be read.*Remove it"):
        Ledger(tmp_path)


def test_another_table_is_no_ledger(tmp_path):
    import pyarrow as pa

    pq.write_table(pa.table({"id": ["a"]}), tmp_path / LEDGER)
    with pytest.raises(GeolocError, match="no ledger of a download"):
        Ledger(tmp_path)


def test_a_folder_without_a_ledger_is_an_error(tmp_path):
    with pytest.raises(GeolocError, match="There is no ledger"):
        read_ledger(tmp_path)
