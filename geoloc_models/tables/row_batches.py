"""Rows of a table of photos, a batch at a time, from Parquet or delimited text."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from geoloc_models._errors import GeolocError, reason_of

_PARQUET = {".parquet", ".pq", ".geoparquet"}
_DELIMITERS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
_COMPRESSED = {".gz", ".bz2", ".zst"}
_TEXT_BLOCK_BYTES = 16 << 20
# In text files, what these columns hold is not guessed: an id 007 is no 7, Namibia's NA no gap.
_KIND = {
    **{name: pa.string() for name in ("id", "path", "url", "user", "country", "time", "group")},
    **{name: pa.float64() for name in ("latitude", "longitude")},
}


class RowBatches:
    """A table that can be read from its start any number of times, in bounded memory.

    Parameters
    ----------
    path : path
        ``.parquet``, ``.csv`` (comma) or ``.tsv`` (tab), the latter also compressed.
    batch_rows : int
        Most rows of a batch.

    Raises
    ------
    GeolocError
        If the file is missing, of another kind or damaged; while rows are read, too.
    """

    def __init__(self, path: str | Path, *, batch_rows: int = 1 << 17):
        self.path = Path(path)
        self.batch_rows = batch_rows
        suffixes = [suffix.lower() for suffix in self.path.suffixes]
        if suffixes and suffixes[-1] in _COMPRESSED:
            suffixes.pop()
        self._kind = suffixes[-1] if suffixes else ""
        if self._kind not in _PARQUET and self._kind not in _DELIMITERS:
            raise GeolocError(
                f"{self.path.name} must be a .parquet, .csv or .tsv file. Rename or convert it."
            )
        if not self.path.is_file():
            raise GeolocError(f"There is no file {self.path}.")
        with self._one_sentence():
            if self._kind in _PARQUET:
                with pq.ParquetFile(self.path) as file:
                    self.schema: pa.Schema = file.schema_arrow
                    self.n_rows: int | None = file.metadata.num_rows
            else:
                with self._open_text() as reader:
                    self.schema = reader.schema
                self.n_rows = None  # known once they have been read

    def batches(self, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Rows in the file's order; of these columns only, or of all."""
        with self._one_sentence():
            if self._kind in _PARQUET:
                with pq.ParquetFile(self.path) as file:
                    yield from file.iter_batches(
                        self.batch_rows, columns=columns, use_threads=False
                    )
            else:
                with self._open_text(columns) as reader:
                    for batch in reader:
                        for begin in range(0, batch.num_rows, self.batch_rows):
                            yield batch.slice(begin, self.batch_rows)

    def _open_text(self, columns: list[str] | None = None) -> pyarrow.csv.CSVStreamingReader:
        return pyarrow.csv.open_csv(
            self.path,
            read_options=pyarrow.csv.ReadOptions(block_size=_TEXT_BLOCK_BYTES),
            parse_options=pyarrow.csv.ParseOptions(delimiter=_DELIMITERS[self._kind]),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=_KIND, include_columns=columns, strings_can_be_null=False
            ),
        )

    @contextmanager
    def _one_sentence(self) -> Iterator[None]:
        try:
            yield
        except GeolocError:
            raise
        except (pa.ArrowException, OSError, EOFError) as error:
            reason = reason_of(error)
            raise GeolocError(
                f"{self.path.name} cannot be read ({reason}). Write it again."
            ) from error
