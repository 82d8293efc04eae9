"""Tables of photos, read and written: the same rules for every command of both packages."""

from geocells.tables.columns import ROLE_NAMES, columns_note, find_columns, plain_name
from geocells.tables.reader import TableFile, open_table, read_table, scan_table
from geocells.tables.rows import Batch, LostRow, TableError
from geocells.tables.values import (
    MISSING,
    as_numpy,
    check_coordinates,
    coordinates,
    groups,
    ids,
    numbers,
    texts,
)
from geocells.tables.writer import WRITABLE, write_table

__all__ = [
    "MISSING",
    "ROLE_NAMES",
    "WRITABLE",
    "Batch",
    "LostRow",
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
    "read_table",
    "scan_table",
    "texts",
    "write_table",
]
