"""A report as records: sections with text, a table and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from geoloc_models._errors import GeolocError


@dataclass(frozen=True)
class Section:
    """A part of a report; what it holds appears in the order of the parameters.

    Parameters
    ----------
    title : str
        Plain text.
    text : str
        Markdown: paragraphs, emphasis, lists, links, code, tables. HTML in it is shown as text,
        and pictures in it are left out (they would be fetched from elsewhere).
    table : tuple, optional
        ``(header, rows)`` of plain text, such as a :class:`~geoloc_models.reports.Table`. The
        first column names the rows.
    figures : sequence of (path, caption)
        PNG or JPEG files; the captions are plain text.
    level : int, default 1
        1, or 2 for a part of the section before it.
    """

    title: str
    text: str = ""
    table: tuple[Sequence[str], Sequence[Sequence[str]]] | None = None
    figures: Sequence[tuple[str | Path, str]] = ()
    level: int = 1

    def __post_init__(self) -> None:
        if self.level not in (1, 2):
            raise GeolocError(f"A section's level is 1 or 2, not {self.level}.")
        if self.table is None:
            return
        header, rows = self.table
        for number, row in enumerate(rows):
            if len(row) != len(header):
                raise GeolocError(
                    f"The table of section {self.title!r} has {len(header)} columns, but its row "
                    f"{number} has {len(row)}."
                )
