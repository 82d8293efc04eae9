"""What people read: names and values of files as text, never as orders to a terminal or a spreadsheet."""

from __future__ import annotations

import logging
import shutil
import sys
import textwrap
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

_HARMLESS = (
    "\u00a0\u202f\u200c\u200d"  # spaces that do not break, and joiners inside words and emoji
)


def printable(text: str) -> str:
    r"""One line with a question mark for each character that a terminal may obey or cannot show.

    Examples
    --------
    >>> printable("a\x1b[2Jb.jpg")
    'a?[2Jb.jpg'
    """
    return "".join(c if c.isprintable() or c in _HARMLESS else "?" for c in text)


def echo(text: object = "", *, error: bool = False, fold: bool = True) -> None:
    """Print lines to standard output, or to standard error.

    On a terminal, sentences are folded between words where it ends, or at 80 columns in a narrower one; indented
    lines, such as commands to copy, stay whole.
    """
    stream = sys.stderr if error else sys.stdout
    lines = list(map(printable, str(text).split("\n")))
    if fold and stream.isatty():
        width = max(80, shutil.get_terminal_size().columns)
        lines = [line if line[:1] in ("", " ") else _folded(line, width) for line in lines]
    print("\n".join(lines), file=stream, flush=True)


def _folded(line: str, width: int) -> str:
    return textwrap.fill(
        line,
        width,
        break_long_words=False,
        break_on_hyphens=False,
        drop_whitespace=len(line) > width,
        replace_whitespace=False,
    )


class EchoHandler(logging.Handler):
    """Log messages, printed to standard error."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one message."""
        echo(self.format(record), error=True)


def without_formula(value: Any) -> Any:
    """Text that a spreadsheet would compute, such as ``=cmd|...``, behind an apostrophe; all else as it is.

    Examples
    --------
    >>> without_formula("=1+1"), without_formula("-1"), without_formula("Bern")
    ("'=1+1", '-1', 'Bern')
    """
    if not isinstance(value, str) or not value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value


def without_formulas(frame: pd.DataFrame) -> pd.DataFrame:
    """A table as :func:`without_formula` leaves its texts, those of its index too."""
    texts = frame.select_dtypes(exclude=["number", "bool"])
    frame = frame.assign(**{str(name): texts[name].map(without_formula) for name in texts})
    return frame.set_axis(frame.index.map(without_formula))
