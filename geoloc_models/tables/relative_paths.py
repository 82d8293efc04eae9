"""Paths of image files that a table names relative to its own folder, when the table moves."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc


def path_between(source: Path, target: Path) -> str:
    """Prefix that a path relative to one folder needs in another; empty where they are one."""
    source, target = source.resolve(), target.resolve()
    return "" if source == target else Path(os.path.relpath(source, target)).as_posix() + "/"


def moved(paths: pa.ChunkedArray, prefix: str) -> pa.ChunkedArray:
    """Paths behind the prefix; those that start at a root, a drive or an address stay."""
    relative = pc.invert(pc.match_substring_regex(paths, r"^([/\\]|[A-Za-z]:|[a-z]+://)"))
    before, nothing = (pa.scalar(text, paths.type) for text in (prefix, ""))
    return pc.if_else(relative, pc.binary_join_element_wise(before, paths, nothing), paths)
