"""Files that are whole or not there, of geocells; and JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from geocells._files import holding, locked, replacing, replacing_folder
from geoloc_models._errors import GeolocError

__all__ = ["holding", "locked", "read_json", "replacing", "replacing_folder", "write_json"]


def write_json(path: str | Path, content: Any) -> None:
    """Write JSON atomically, indented, without the non-standard NaN."""
    with replacing(path) as partial:
        partial.write_text(
            json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False) + "\n",
            encoding="utf-8",
        )


def read_json(path: str | Path) -> Any:
    """Read JSON; a missing or broken file is a :class:`GeolocError` that names it.

    NaN, infinite numbers and those beyond 64 bits, which :func:`write_json` never writes, are refused.
    """
    path = Path(path)
    try:
        return json.loads(
            path.read_text(encoding="utf-8"),
            parse_int=_finite(int),
            parse_float=_finite(float),
            parse_constant=_finite(float),
        )
    except FileNotFoundError:
        raise GeolocError(f"There is no file {path}.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise GeolocError(f"{path} cannot be read as JSON: {error}.") from error


def _finite(kind: type) -> Callable[[str], Any]:
    def parse(text: str) -> Any:
        if not abs(float(text)) < (2.0**64 if kind is int else math.inf):
            raise ValueError(f"it holds the number {text[:30]}")
        return kind(text)

    return parse
