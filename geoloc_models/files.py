"""Files that are whole or not there, of geocells; and JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from geocells.files import holding, locked, refuse_input, replacing, replacing_folder
from geoloc_models.errors import GeolocError, reason_of

__all__ = [
    "holding",
    "locked",
    "read_json",
    "read_record",
    "reading",
    "refuse_input",
    "replacing",
    "replacing_folder",
    "write_json",
    "write_record",
]

Record = TypeVar("Record")


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


def write_record(path: str | Path, kind: str, version: int, content: Mapping[str, Any]) -> None:
    """Write JSON that names its format and version."""
    write_json(path, {"format": kind, "version": version, **content})


def read_record(
    path: str | Path,
    kind: str,
    version: int,
    build: Callable[[dict[str, Any]], Record],
    *,
    remedy: str = "Train the model again, or use the release that wrote it.",
) -> Record:
    """Build what :func:`write_record` wrote; GeolocError for another format or version, or a damaged file."""
    content = read_json(path)
    if not isinstance(content, dict) or content.pop("format", None) != kind:
        raise GeolocError(f"{path} is not a file of the format {kind}.")
    version_of_file = content.pop("version", None)
    if version_of_file != version:
        raise GeolocError(
            f"{path} is of version {version_of_file}; this release reads version {version}. {remedy}"
        )
    try:
        return build(content)
    except GeolocError:
        raise
    except Exception as error:  # of damaged content in many ways
        raise GeolocError(f"{path} is incomplete or damaged: {reason_of(error)}.") from error


@contextmanager
def reading(path: Path, remedy: str = "train it again") -> Iterator[None]:
    """Say of whatever fails here that a file is damaged, and what to do."""
    try:
        yield
    except Exception as error:  # of damaged content in many ways; of metadata even RecursionError
        raise GeolocError(
            f"{path} is damaged ({reason_of(error)}). Restore a complete copy, or {remedy}."
        ) from error


def _finite(kind: type) -> Callable[[str], Any]:
    def parse(text: str) -> Any:
        if not abs(float(text)) < (2.0**64 if kind is int else math.inf):
            raise ValueError(f"it holds the number {text[:30]}")
        return kind(text)

    return parse
