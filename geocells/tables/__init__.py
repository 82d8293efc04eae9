"""Tables of photos, read and written: the same rules for every command of both packages."""

from geocells.tables.columns import ROLE_NAMES, columns_note, find_columns, plain_name
from geocells.tables.parquet import PARQUET, read_parquet
from geocells.tables.reader import open_table, read_table
from geocells.tables.rows import (
    NOT_JSON,
    NOT_TEXT,
    UNBALANCED,
    WRONG_FIELDS,
    Batch,
    TableError,
)
from geocells.tables.table_file import TableFile
from geocells.tables.values import (
    as_numpy,
    check_coordinates,
    coordinates,
    groups,
    ids,
    numbers,
    texts,
)
from geocells.tables.writer import WRITABLE, with_column, write_batches, write_table

__all__ = [
    "NOT_JSON",
    "NOT_TEXT",
    "PARQUET",
    "ROLE_NAMES",
    "UNBALANCED",
    "WRITABLE",
    "WRONG_FIELDS",
    "Batch",
    "TableError",
    "TableFile",
    "as_numpy",
    "check_coordinates",
    "columns_note",
    "coordinates",
    "find_columns",
    "groups",
    "ids",
    "numbers",
    "open_table",
    "plain_name",
    "read_parquet",
    "read_table",
    "texts",
    "with_column",
    "write_batches",
    "write_table",
]
