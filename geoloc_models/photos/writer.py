"""Tables of photos written as Parquet, a few rows at a time."""

from __future__ import annotations

from pathlib import Path

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
        self._replacing = replacing(output)

    def __enter__(self) -> PhotoWriter:
        partial = self._replacing.__enter__()
        self._file = pq.ParquetWriter(partial, self.schema, compression="zstd")
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

    def __exit__(self, *error: object) -> bool | None:
        if error[0] is None:
            self._flush()
        self._file.close()
        return self._replacing.__exit__(*error)  # type: ignore[arg-type]
