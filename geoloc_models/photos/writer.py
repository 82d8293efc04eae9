"""Tables of photos written as Parquet, a few rows at a time."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from geoloc_models._files import replacing

_ROW_GROUP_ROWS = 1 << 17


class PhotoWriter:
    """Rows collected to groups of a good size, in a file that replaces the target at the end."""

    def __init__(self, output: Path, roles: list[str]) -> None:
        self.schema = pa.schema(
            [
                ("id", pa.string()),
                ("latitude", pa.float64()),
                ("longitude", pa.float64()),
                ("country", pa.string()),
                *((role, pa.string()) for role in roles),
            ]
        )
        self.n_rows = 0
        self._waiting: list[pa.Table] = []
        self._n_waiting = 0
        self._output = output

    def __enter__(self) -> PhotoWriter:
        with ExitStack() as stack:
            partial = stack.enter_context(replacing(self._output))
            file = pq.ParquetWriter(partial, self.schema, compression="zstd")
            self._file = stack.enter_context(file)
            stack.push(self._finish)
            self._stack = stack.pop_all()
        return self

    def write(self, rows: pa.Table) -> None:
        """Take the columns of the schema; one that is not there is empty."""
        columns = [
            rows[name].cast(kind) if name in rows.column_names else pa.nulls(rows.num_rows, kind)
            for name, kind in zip(self.schema.names, self.schema.types, strict=True)
        ]
        self._waiting.append(pa.table(columns, schema=self.schema))
        self._n_waiting += rows.num_rows
        self.n_rows += rows.num_rows
        if self._n_waiting >= _ROW_GROUP_ROWS:
            self._flush()

    def _flush(self) -> None:
        if self._n_waiting:
            self._file.write_table(pa.concat_tables(self._waiting), row_group_size=_ROW_GROUP_ROWS)
        self._waiting, self._n_waiting = [], 0

    def _finish(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._flush()

    def __exit__(self, *error: Any) -> bool | None:
        return self._stack.__exit__(*error)
