"""Assignment as a SQL query, for tables that live in DuckDB."""

from __future__ import annotations

from collections.abc import Callable

from geocells.cells import CellPartition
from geocells.grids import LatLonGrid

_ROOT = "_group, _south, _west, _north, _east, _height, _width, _n, _start"
_SCRATCH = f"{_ROOT}, _y, _x, _row, _column, _code, _code_start, _code_stop"
_SPREAD = (
    (16, 0x0000FFFF0000FFFF),
    (8, 0x00FF00FF00FF00FF),
    (4, 0x0F0F0F0F0F0F0F0F),
    (2, 0x3333333333333333),
    (1, 0x5555555555555555),
)


def sql(
    cells: CellPartition,
    table: str = "photos",
    *,
    latitude: str = "latitude",
    longitude: str = "longitude",
    group: str | None = None,
) -> str:
    """Query that adds the column ``cell`` to a table, in DuckDB.

    Parameters
    ----------
    cells : CellPartition
        Made on latitude-longitude grids, as `CellBuilder` does by default.
    table : str
        Table, view, or a call such as ``read_parquet('photos/*.parquet')``.
    latitude, longitude : str
        Columns, in degrees; longitudes in [-180, 180].
    group : str, optional
        Column of groups; needed by cells that have groups.

    Returns
    -------
    query : str
        One SELECT. ``cell`` equals ``cells.assign(coords, groups, outside="noise")``: -1 where no cell is. The order
        of rows is the database's.

    Raises
    ------
    ValueError
        When the cells are on another grid, or ``group`` is missing or too many.

    Examples
    --------
    >>> import duckdb, geocells
    >>> cells = geocells.load_cells("cells.parquet")
    >>> duckdb.sql(geocells.sql(cells, "read_csv('photos.csv')")).columns[-1]
    'cell'
    """
    grids = getattr(getattr(cells.cell_index, "grid", None), "grids", ())
    if not grids or not all(isinstance(grid, LatLonGrid) for grid in grids):
        raise ValueError("SQL is written for cells on a latitude-longitude grid only.")
    if (group is None) != (cells.group_names is None):
        raise ValueError(
            "These cells have no groups: leave group out."
            if cells.group_names is None
            else "These cells have groups: name their column as group."
        )
    names = [""] if cells.group_names is None else [str(name) for name in cells.group_names]
    roots = []
    for number, (name, grid) in enumerate(zip(names, grids, strict=True)):
        south, west, north, _ = grid.bounds
        east = grid._unwrapped_east
        numbers = [south, west, north, east, north - south, east - west, 2.0**grid.max_level]
        columns = ", ".join(f"{value!r}::DOUBLE" for value in numbers)
        roots.append(f"({_text(name)}, {columns}, {cells.grid.group_start(number)})")
    held = cells.ranges
    ranges = zip(held.starts.tolist(), held.stops.tolist(), held.cells.tolist(), strict=True)
    y, x = (f"p.{_column(name)}::DOUBLE" for name in (latitude, longitude))
    match = "true" if group is None else f"p.{_column(group)}::VARCHAR = _group"
    # The steps of `grids.latlon.encode_leaves` in the same float64 arithmetic, a SELECT each.
    query = (
        f"SELECT p.*, _root.*, {y} AS _y, CASE WHEN {x} < _west THEN {x} + 360 ELSE {x} END AS _x\n"
        f"FROM {table} AS p LEFT JOIN _root ON {match}"
    )
    query = f"""\
SELECT * REPLACE (CASE WHEN _x - 360 >= _west THEN _x - 360 ELSE _x END AS _x)
FROM ({query})"""
    query = f"SELECT *, {_both(_guess)} FROM ({query})"
    query = f"SELECT * REPLACE ({_both(_lowered)}) FROM ({query})"
    query = f"SELECT * REPLACE ({_both(_raised)}) FROM ({query})"
    for shift, mask in _SPREAD:
        bits = f"({{slot}} | ({{slot}} << {shift})) & {mask}"
        query = f"SELECT * REPLACE ({_both(lambda slot, *_, bits=bits: bits.format(slot=slot))})\nFROM ({query})"
    return f"""\
WITH _root({_ROOT}) AS (VALUES {", ".join(roots)}),
_ranges(_code_start, _code_stop, _cell) AS (VALUES {", ".join(map(str, ranges))})
SELECT * EXCLUDE ({_SCRATCH}, _cell), CASE WHEN _code < _code_stop THEN _cell ELSE -1 END AS cell
FROM (
SELECT *, CASE WHEN _y BETWEEN _south AND _north AND _x BETWEEN _west AND _east
    THEN _start + 2 * _row + _column ELSE -1 END AS _code
FROM ({query})
) ASOF LEFT JOIN _ranges ON _code >= _code_start
"""


def _both(step: Callable[..., str]) -> str:
    """One step of the arithmetic for rows and columns: (slot, coordinate, low edge, extent)."""
    return (
        f"{step('_row', '_y', '_south', '_height')} AS _row, "
        f"{step('_column', '_x', '_west', '_width')} AS _column"
    )


def _guess(_: str, value: str, low: str, extent: str) -> str:
    return f"least(greatest(floor(({value} - {low}) * (_n / {extent})), 0), _n - 1)"


def _lowered(slot: str, value: str, low: str, extent: str) -> str:
    return f"greatest({slot} - ({value} < {low} + {extent} * ({slot} * (1 / _n)))::INT, 0)"


def _raised(slot: str, value: str, low: str, extent: str) -> str:
    edge = f"{low} + {extent} * (({slot} + 1) * (1 / _n))"
    return f"least({slot} + ({value} >= {edge})::INT, _n - 1)::BIGINT"


def _column(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
