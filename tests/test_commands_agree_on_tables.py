"""Every command that reads a table makes the same of the same file."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from awkward_tables import GOLDEN, awkward_tables, report_of
from command_line import run

from geocells import CellBuilder, CellPartition, cli
from geocells.tables import TableError, TableFile

COORDINATES = ("latitude", "longitude")
NEEDS = {"geoloc index": {"id", "path"}, "geoloc download": {"url"}, "geoloc split": {"id", "path"}}


@dataclass
class Observed:
    """What one command asked of the reader, and what it was given."""

    columns: dict[str, str] = field(default_factory=dict)
    rows: set[int] = field(default_factory=set)
    lost: dict[int, str] = field(default_factory=dict)
    refusal: str | None = None


class EnoughError(Exception):
    """The table was read; what a command does next is not the matter here."""


@pytest.fixture
def observe(monkeypatch) -> Callable[[Callable[[], object]], Observed]:
    """Run a command, and watch the reader; a column that it alone needs is not missed."""
    find_columns, batches = TableFile.find_columns, TableFile.batches
    observed = Observed()

    def watched_columns(self, wanted, *, needed=COORDINATES, **options):
        columns = find_columns(self, dict.fromkeys([*wanted, *COORDINATES]), **options)
        observed.columns.update(columns)
        return columns

    def watched_batches(self, columns: Sequence[str] | None = None):
        for batch in batches(self, columns):
            observed.rows.update(batch.rows.tolist())
            observed.lost.update({lost.row: lost.reason for lost in batch.lost})
            yield batch

    def enough(*_, **__):
        raise EnoughError

    def run_and_watch(command: Callable[[], object]) -> Observed:
        nonlocal observed
        observed = Observed()
        try:
            command()
        except Exception as error:
            cause = error if isinstance(error, TableError) else error.__cause__
            if isinstance(error, TypeError):  # the test itself calls the command wrongly
                raise
            observed.refusal = str(cause) if isinstance(cause, TableError) else None
        return observed

    monkeypatch.setattr(TableFile, "find_columns", watched_columns)
    monkeypatch.setattr(TableFile, "batches", watched_batches)
    monkeypatch.setattr(CellBuilder, "fit", enough)
    monkeypatch.setattr(CellPartition, "assign", enough)
    monkeypatch.setattr(CellPartition, "report", enough)
    return run_and_watch


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    path = tmp_path_factory.mktemp("cells") / "cells.parquet"
    CellBuilder(1, method="top_down").fit(np.array([[47.0, 8.0]])).cells_.save(path)
    return path


def commands(path: Path, cells: Path, folder: Path) -> dict[str, Callable[[], object]]:
    """Each command up to where its table is read."""
    from geoloc_models.download.job import _PhotoRows, open_table
    from geoloc_models.photos.folders import _read_positions
    from geoloc_models.tables.leakage import find_leakage
    from geoloc_models.tables.photo_table import read_photo_table
    from geoloc_models.tables.select import select_photos
    from geoloc_models.tables.split_file import split_photo_file
    from geoloc_models.tables.split_options import LeakageOptions, SplitOptions

    def geocells(*words: object) -> None:
        cli.app([str(word) for word in words])

    out = folder / "out.parquet"
    return {
        "geocells build": lambda: geocells("build", path, "-o", out),
        "geocells assign": lambda: geocells("assign", cells, path, "-o", out),
        "geocells report": lambda: geocells("report", cells, path),
        "geocells partition": lambda: geocells("partition", path, "-o", folder / "parts"),
        "geoloc select": lambda: select_photos(path, out),
        "geoloc index": lambda: _read_positions(path),
        "geoloc split": lambda: split_photo_file(path, out, SplitOptions(by="place")),
        "geoloc leakage": lambda: find_leakage(path, LeakageOptions(images=False)),
        "geoloc train, evaluate, embed": lambda: read_photo_table(path, images=False),
        "geoloc download": lambda: list(_PhotoRows(open_table(path), None, None).batches()),
    }


@pytest.mark.parametrize("name", awkward_tables())
def test_commands_agree(name, observe, cells, tmp_path):
    path = tmp_path / name
    path.write_bytes(awkward_tables()[name])
    seen = {what: observe(command) for what, command in commands(path, cells, tmp_path).items()}
    one = seen["geocells build"]
    for what, other in seen.items():
        shared = one.columns.keys() & other.columns.keys()
        assert {r: one.columns[r] for r in shared} == {r: other.columns[r] for r in shared}, what
        assert bool(one.columns) == bool(other.columns), what
        if what in NEEDS and not NEEDS[what] & other.columns.keys():
            continue  # it has no use for this table
        if name == "invalid_text.parquet":  # only some commands read the ids, which are no text
            assert other.refusal is None or "UTF8" in other.refusal
            continue
        assert other.rows == one.rows, what
        assert other.lost == one.lost, what
        if not one.columns:  # the layout is refused: by all, in one sentence
            assert other.refusal == one.refusal is not None, what
        elif one.lost and what != "geoloc select":  # the others need every row
            assert other.refusal == one.refusal is not None, what
            assert f"Row {min(one.lost)} of {name}" in other.refusal


@pytest.mark.parametrize("name", awkward_tables())
def test_reports_stay_as_they_were_recorded(name, tmp_path):
    """After a change that is wanted: ``PYTHONPATH=. python tests/awkward_tables.py``."""
    path = tmp_path / name
    path.write_bytes(awkward_tables()[name])
    assert report_of(path, tmp_path) == json.loads(GOLDEN.read_text(encoding="utf-8"))[name]


def test_a_command_itself_says_what_the_reader_says(tmp_path):
    (tmp_path / "a.csv").write_text("lat,lon\n1,2,3\n")
    result = run(cli.main, "build", tmp_path / "a.csv")
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: Row 1 of a.csv has another number of fields")
