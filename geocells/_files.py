"""Files that are whole or not there: written beside their target, then renamed."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a path to write to that becomes ``path`` once the block has ended without an error.

    The name keeps its suffix, as many writers choose a format by it.
    """
    path = Path(path)
    folder = path.absolute().parent
    with tempfile.TemporaryDirectory(dir=folder, prefix=f".{path.name}-") as drafts:
        draft = Path(drafts) / path.name
        yield draft
        os.replace(draft, path)
