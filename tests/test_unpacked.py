"""A small file that unpacks to very much is refused, in bounded memory, by everything that reads tables."""

import gzip
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fresh_process import run_python

from geocells import CellHierarchy, load_cells
from geocells.tables import open_table, read_parquet, read_table
from geoloc_models.countries import read_countries
from geoloc_models.inference.decoder_file import read_decoder
from geoloc_models.models.tasks.stored import read_stored

HEADER = b"id,latitude,longitude\n"
TEXT = HEADER + b"a,47,8\n" * 20_000_000


def parquet(path, n_rows, **others):
    """A row again and again, its texts stored once."""
    columns = {"latitude": np.full(n_rows, 47.0), "longitude": np.full(n_rows, 8.0)}
    for name, value in others.items():
        numbers = pa.array(np.zeros(n_rows, dtype=np.int32))
        columns[name] = pa.DictionaryArray.from_arrays(numbers, pa.array([value]))
    pq.write_table(
        pa.table(columns),
        path,
        compression="zstd",
        store_schema=False,
        dictionary_pagesize_limit=1 << 26,
    )


def lists(path):
    """Numbers that stand in lists."""
    pq.write_table(pa.table({"latitude": [[1.0] * 20_000] * 1000}), path, compression="zstd")


def geojson(path, n_keys=5000):
    """Points that have no property in common."""
    point = {"type": "Point", "coordinates": [8, 47]}
    points = [
        {"type": "Feature", "properties": {f"k{n}": 1}, "geometry": point} for n in range(n_keys)
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": points}))


def json_lines(path, n_keys=6000):
    """Objects that have no key in common."""
    path.write_text("".join(json.dumps({f"k{n}": 1}) + "\n" for n in range(n_keys)))


BOMBS = {
    "rows.parquet": lambda path: parquet(path, 10_000_000, id="a"),
    "texts.parquet": lambda path: parquet(path, 200_000, id="a" * 10_000, url="b" * 9000),
    "long_texts.parquet": lambda path: parquet(path, 2000, id="a" * 1_000_000),
    "lists.parquet": lists,
    "keys.jsonl": json_lines,
    "keys.geojson": geojson,
    "rows.csv.gz": lambda path: path.write_bytes(gzip.compress(TEXT, 1)),
    "rows.csv.zst": lambda path: path.write_bytes(pa.compress(TEXT, "zstd", asbytes=True)),
}
READ = """
import resource, sys
from geocells.tables import TableError, read_table
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    read_table(sys.argv[1])
except TableError as error:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, error)
"""


@pytest.mark.parametrize("name", BOMBS)
def test_a_small_file_of_very_much_is_refused_in_bounded_memory(name, tmp_path):
    path = tmp_path / name
    BOMBS[name](path)
    assert path.stat().st_size < 2_000_000
    done = run_python(READ, path)
    kilobytes, _, message = done.stdout.partition(" ")
    assert message.startswith(f"{name} has {path.stat().st_size:,} bytes, which unpack to")
    assert "save it as uncompressed CSV" in message
    assert int(kilobytes) < 500_000


READERS = {
    "read_table": read_table,
    "read_parquet": read_parquet,
    "batches": lambda path: list(open_table(path).batches(["latitude"])),
    "load_cells": load_cells,
    "CellHierarchy.load": CellHierarchy.load,
    "read_countries": read_countries,
    "read_decoder": lambda path: read_decoder(path.parent, 9),
    "read_stored": lambda path: read_stored(path.parent / "images", 4),
}


@pytest.fixture(scope="module")
def repeated(tmp_path_factory):
    """A file of 20 million equal rows, under every name that a reader looks for."""
    path = tmp_path_factory.mktemp("repeated") / "a.parquet"
    parquet(path, 20_000_000, cell="1", country="CH")
    for name in ("decoder.parquet", "images.parquet"):
        path.with_name(name).hardlink_to(path)
    path.with_name("images.safetensors").touch()
    return path


@pytest.mark.parametrize("reader", READERS)
def test_everything_that_reads_parquet_refuses_it(reader, repeated):
    with pytest.raises(ValueError, match=r"which unpack to [0-9,]+ or more"):
        READERS[reader](repeated)


def test_the_columns_that_are_read_count_alone(tmp_path):
    path = tmp_path / "a.parquet"
    parquet(path, 200_000, id="a" * 10_000)
    assert read_table(path, columns=["latitude"]).num_rows == 200_000


def test_what_repeats_itself_but_is_small_is_read(tmp_path):
    parquet(tmp_path / "a.parquet", 1_000_000, country="CH")
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(HEADER + b"a,47,8\n" * 1_000_000))
    for name in ("a.parquet", "a.csv.gz"):
        assert read_table(tmp_path / name).num_rows == 1_000_000
    assert read_parquet(tmp_path / "a.parquet").equals(pq.read_table(tmp_path / "a.parquet"))


def test_rows_after_texts_of_any_length_are_those_of_arrow(tmp_path):
    """However few rows a long text leaves to a batch."""
    rng = np.random.default_rng(0)
    texts = ["x" * int(n) for n in 10.0 ** rng.uniform(0, 6, 60)]
    table = pa.table({"id": texts, "nested": [[text[:9]] * 3 for text in texts], "n": range(60)})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=25)
    assert read_parquet(tmp_path / "a.parquet").equals(table)
    assert read_parquet(tmp_path / "a.parquet", ["n", "id"]).equals(table.select(["n", "id"]))


FLIP = """
import sys
from pathlib import Path
from geocells.tables import TableError, read_parquet
path = Path(sys.argv[1])
whole = path.read_bytes()
footer = range(len(whole) - 8 - int.from_bytes(whole[-8:-4], "little"), len(whole))
for place in footer:
    for flip in (1, 16):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ flip]) + whole[place + 1 :])
        try:
            read_parquet(path)
        except TableError:
            pass
print(len(footer))
"""


def test_no_flipped_bit_of_the_metadata_ends_the_process(tmp_path):
    table = pa.table({"id": ["a", "b"], "latitude": [1.0, 2.0], "codes": [[1], [2, 3]]})
    pq.write_table(table, tmp_path / "a.parquet", store_schema=False)
    assert int(run_python(FLIP, tmp_path / "a.parquet").stdout) > 400
