"""Files that are whole or not there, of geocells; and JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from geocells._files import locked, replacing, replacing_folder
from geoloc_models._errors import GeolocError

__all__ = ["locked", "read_json", "replacing", "replacing_folder", "write_json"]


def write_json(path: str | Path, content: Any) -> None:
    """Write JSON atomically, indented, without the non-standard NaN."""
    with replacing(path) as partial:
        partial.write_text(
            json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False) + "\n",
            encoding="utf-8",
        )


def read_json(path: str | Path) -> Any:
    """Read JSON; a missing or broken file is a :class:`GeolocError` that names it."""
    path = Path(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise GeolocError(f"There is no file {path}.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise GeolocError(f"{path} cannot be read as JSON: {error}.") from error
