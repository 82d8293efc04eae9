"""A table on disk: its columns, and its rows in batches, whatever its format."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from geocells.output import printable
from geocells.tables.columns import ROLE_NAMES, candidates, columns_note, find_columns
from geocells.tables.rows import Batch, TableError
from geocells.tables.values import texts

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TableFile:
    """A table whose layout is known and whose rows are not read yet; made by :func:`open_table`.

    Parameters
    ----------
    path : Path
    names : tuple of str
        Columns. Points of GeoParquet and GeoJSON are the columns ``latitude`` and ``longitude``, where there are no
        others that could be these.
    read_batches : callable
        Gives all rows of a list of columns, or of all columns with None: what differs from format to format.
    metadata : dict
        Of the Arrow schema: what pandas and GeoPandas noted in a Parquet file.
    points : str, optional
        Column of a GeoParquet file that ``latitude`` and ``longitude`` are read from.
    """

    path: Path
    names: tuple[str, ...]
    read_batches: Callable[[list[str] | None], Iterator[Batch]]
    metadata: Mapping[bytes, bytes] = field(default_factory=dict)
    points: str | None = None

    @property
    def n_bytes(self) -> int:
        """Size on disk."""
        return self.path.stat().st_size

    def find_columns(
        self,
        wanted: Mapping[str, str | None],
        *,
        needed: Collection[str] = ("latitude", "longitude"),
        role_names: Mapping[str, Sequence[str]] = ROLE_NAMES,
    ) -> dict[str, str]:
        """Column of each role, see :func:`~geocells.tables.find_columns`; columns without a value come last.

        Values are looked at only where two columns may hold one role, and only until the first one has a value.
        """
        groups = {
            role: candidates(self.names, role, role_names)
            for role, given in wanted.items()
            if given is None
        }
        several = {role: names for role, names in groups.items() if len(names) > 1}
        columns = find_columns(
            self.names,
            wanted,
            needed=needed,
            empty=self._empty_columns(several),
            role_names=role_names,
            where=self.path.name,
        )
        logger.info("%s: %s", self.path.name, columns_note(columns))
        return columns

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[Batch]:
        """All rows in the file's order; of these columns only, or of all."""
        return self.read_batches(None if columns is None else list(dict.fromkeys(columns)))

    def read(self, columns: Sequence[str] | None = None, *, progress: bool = False) -> pa.Table:
        """All rows at once; row i of the table is row i + 1 of the file.

        Raises
        ------
        TableError
            When the file has no rows, or a line that is no row.
        """
        from tqdm import tqdm

        tables = []
        with tqdm(
            total=self.n_bytes, desc=f"reading {printable(self.path.name)}", unit="B", unit_scale=True, delay=2,
            disable=not progress or None,
        ) as bar:  # fmt: skip
            for batch in self.batches(columns):
                if batch.lost:
                    raise batch.lost[0].error(self.path.name)
                tables.append(batch.table)
                bar.update(batch.bytes_read - bar.n)
        table = pa.concat_tables(tables) if tables else None
        if table is None or not table.num_rows:
            raise TableError(f"{self.path.name} holds no rows. Give at least one photo.")
        return table.replace_schema_metadata(dict(self.metadata) or None)

    def _empty_columns(self, several: Mapping[str, list[str]]) -> set[str]:
        """Columns without a value, among those of which one must be chosen."""
        if not several:
            return set()
        unknown = {name for names in several.values() for name in names}
        decisive = {names[0] for names in several.values()}
        for role in ("latitude", "longitude"):
            decisive.update(several.get(role, ()))
        for batch in self.batches(sorted(unknown)):
            for name in sorted(unknown):
                values = texts(batch.table[name])
                if values.null_count < len(values):
                    unknown.discard(name)
            if not unknown & decisive:
                return set()
        return unknown
