"""The error of a table that cannot be read, and the reasons why a row cannot."""

from __future__ import annotations

from dataclasses import dataclass

WRONG_FIELDS = "another number of fields than the header"
UNBALANCED = "a double quote that is not closed"
HALF_WRITTEN = "half-written last line"
NOT_TEXT = "not UTF-8 text"
NOT_JSON = "not a JSON object"


class TableError(ValueError):
    """A table that cannot be read; the message names file, row, value and remedy."""


@dataclass(frozen=True)
class LostRow:
    """A line of a text file that is no row.

    Parameters
    ----------
    row : int
        Its number in the file; the first row below the header is 1.
    reason : str
        One of the constants of this module.
    text : str
        What the line holds.
    """

    row: int
    reason: str
    text: str

    def error(self, name: str) -> TableError:
        """Return the error for a reader that needs every row of the file ``name``."""
        remedy = {
            WRONG_FIELDS: "Write decimals with a point, and enclose texts that hold the delimiter in double quotes.",
            UNBALANCED: "Close it.",
            HALF_WRITTEN: "Complete or remove it.",
            NOT_TEXT: "Save the file as UTF-8.",
            NOT_JSON: "Write one JSON object a line.",
        }[self.reason]
        if '"' in self.text and self.reason in (WRONG_FIELDS, UNBALANCED):
            remedy += " If quotes are plain characters in this file, read it without quoting (--no-quoting)."
        verb = "has" if self.reason in (WRONG_FIELDS, UNBALANCED) else "is"
        article = "a " if self.reason == HALF_WRITTEN else ""
        return TableError(
            f"Row {self.row} of {name} {verb} {article}{self.reason}: {self.text[:80]!r}. {remedy}"
        )
