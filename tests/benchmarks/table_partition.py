"""Files and bytes that a query on a box reads: of a table partitioned by cells, and by geohashes."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from geocells import LatLonGrid, partition_table
from tests.benchmarks.real_density import resampled
from tests.benchmarks.timing import Row, in_turns

N_ROWS = 5_000_000
MIN_ROWS = 10_000
N_BOXES = 100


def rows() -> list[Row]:
    """Measure everything of this file."""
    coords = resampled(N_ROWS)
    photos = pa.table(
        {"id": np.arange(N_ROWS), "latitude": coords[:, 0], "longitude": coords[:, 1]}
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pq.write_table(photos, folder / "photos.parquet")
        write = {
            "partition": lambda: partition_table(
                folder / "photos.parquet", folder / "by-cell", min_rows=MIN_ROWS
            )
        }
        seconds = in_turns(write, rounds=1, warm_up=0).median("partition")
        cells = read(folder / "by-cell", coords)
        others = {}
        for characters, by in ((2, "file"), (3, "file"), (2, "code")):
            other = folder / f"geohash-{characters}-{by}"
            write_geohashes(photos, coords, other, characters, in_order_of_codes=by == "code")
            others[f"geohash {characters}, in the order of the {by}"] = read(other, coords)
    files, n_bytes, n_files, largest = cells
    found = [
        Row("rows a second", "-", N_ROWS / seconds / 1e6, unit="M"),
        Row(f"files a box, of {n_files}", "-", files, unit="files"),
        Row("bytes a box", "-", n_bytes / 1e6, unit="MB"),
        Row("rows of the largest file", "-", largest / 1e3, unit="thousand"),
    ]
    for against, (other_files, other_bytes, n_other, other_largest) in others.items():
        detail = f"{n_other} files, up to {other_largest / 1e3:.0f} thousand rows"
        found.append(Row("files a box", against, files / other_files, detail=detail))
        found.append(Row("bytes a box", against, n_bytes / other_bytes))
    return found


def write_geohashes(
    photos: pa.Table, coords: np.ndarray, folder: Path, characters: int, *, in_order_of_codes: bool
) -> None:
    """One file a geohash."""
    codes = LatLonGrid(max_level=30).encode(coords) if in_order_of_codes else np.zeros(len(coords))
    y, x = ((coords + np.array([90, 180])) / [180, 360]).T
    bits = 5 * characters
    rows_ = np.minimum((y * 2 ** (bits // 2)).astype(int), 2 ** (bits // 2) - 1)
    columns = np.minimum((x * 2 ** (bits - bits // 2)).astype(int), 2 ** (bits - bits // 2) - 1)
    box = rows_ << 32 | columns
    order = np.lexsort((codes, box))
    edges = np.flatnonzero(np.diff(box[order])) + 1
    folder.mkdir()
    for number, part in enumerate(np.split(order, edges)):
        pq.write_table(
            photos.take(part),
            folder / f"{number}.parquet",
            row_group_size=10_000,
            compression="zstd",
        )


def read(folder: Path, coords: np.ndarray) -> tuple[float, float, int, int]:
    """Files and bytes that a box around a photo reads, means; the number of files, and rows of the largest."""
    rng = np.random.default_rng(0)
    centres = coords[rng.integers(0, len(coords), N_BOXES)]
    half = 10 ** rng.uniform(-2, 0.5, (N_BOXES, 1))  # 1 km to 350 km
    low, high = centres - half, centres + half
    paths = sorted(folder.glob("**/[!_]*.parquet"))
    files, n_bytes = np.zeros(N_BOXES), np.zeros(N_BOXES)
    for path in paths:
        metadata = pq.read_metadata(path)
        meets = np.zeros(N_BOXES, dtype=bool)
        for number in range(metadata.num_row_groups):
            group = metadata.row_group(number)
            columns = {
                group.column(i).path_in_schema: group.column(i) for i in range(group.num_columns)
            }
            held = [columns[name].statistics for name in ("latitude", "longitude")]
            inside = np.all(
                [(s.max >= low[:, i]) & (s.min <= high[:, i]) for i, s in enumerate(held)], axis=0
            )
            n_bytes += inside * sum(
                columns[name].total_compressed_size for name in ("id", "latitude", "longitude")
            )
            meets |= inside
        files += meets
    return (
        files.mean(),
        n_bytes.mean(),
        len(paths),
        max(pq.read_metadata(path).num_rows for path in paths),
    )
