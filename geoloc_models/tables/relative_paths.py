"""Paths of image files that a table names relative to its own folder, when the table moves."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from geocells.tables import with_column


def with_paths_from(table: pa.Table, column: str, source: Path, target: Path) -> pa.Table:
    """Table whose relative paths lead from the folder ``target`` to where they led from ``source``.

    Paths that start at a root, a drive or an address stay.
    """
    source, target = source.resolve(), target.resolve()
    if source == target:
        return table
    paths = table[column]
    relative = pc.invert(pc.match_substring_regex(paths, r"^([/\\]|[A-Za-z]:|[a-z]+://)"))
    prefix = Path(os.path.relpath(source, target)).as_posix() + "/"
    before, nothing = (pa.scalar(text, paths.type) for text in (prefix, ""))
    moved = pc.binary_join_element_wise(before, paths, nothing)
    return with_column(table, column, pc.if_else(relative, moved, paths))
