"""Tables and reports as Markdown."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from geoloc_models.evaluation import Evaluation
from geoloc_models.reports.sections import Section
from geoloc_models.reports.table import results_table, table_note

# A bracket alone is a bracket; it makes a link only with what follows.
_SPECIAL = re.compile(r"([\\`*_<>|#~]|\](?=[\[(:]))")


def escape_markdown(text: str) -> str:
    r"""Plain text as one line of Markdown that shows it as it is.

    Examples
    --------
    >>> print(escape_markdown("retrieval_rff | <b>"))
    retrieval\_rff \| \<b\>
    """
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def markdown_table(table: tuple[Sequence[str], Sequence[Sequence[str]]]) -> str:
    """Lay out a table of plain text; the first column stands left, the others right.

    Parameters
    ----------
    table : tuple
        ``(header, rows)``.

    Returns
    -------
    str
        Lines of equal width, without a newline at the end.
    """
    header, rows = table
    cells = [[escape_markdown(cell) for cell in row] for row in [header, *rows]]
    widths = [max(3, *(len(row[column]) for row in cells)) for column in range(len(header))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines = [_row(cells[0], widths), _row(rule, widths)]
    lines += [_row(row, widths) for row in cells[1:]]
    return "\n".join(lines)


def table_markdown(
    evaluations: Mapping[str, Evaluation], references: Mapping[str, float] | None = None
) -> str:
    """The paper's Table 1 in Markdown, with a note on what the figures mean.

    Parameters
    ----------
    evaluations, references
        As in :func:`geoloc_models.reports.table_text`.
    """
    note = table_note(evaluations)
    if not evaluations:
        return note
    return f"{markdown_table(results_table(evaluations, references))}\n\n{note}"


def report_markdown(folder: str | Path, title: str, sections: Sequence[Section]) -> str:
    """Compose a report; pictures are links relative to ``folder``, where the text will stand."""
    blocks = [f"# {escape_markdown(title)}"]
    for section in sections:
        blocks.append(f"{'#' * (1 + section.level)} {escape_markdown(section.title)}")
        if section.text.strip():
            blocks.append(section.text.strip())
        if section.table is not None:
            blocks.append(markdown_table(section.table))
        for path, caption in section.figures:
            link = quote(Path(os.path.relpath(path, folder)).as_posix())
            words = re.sub(r"(?<!\\)([\[\]])", r"\\\1", escape_markdown(caption))
            blocks.append(f"![{words}]({link})")
            if caption.strip():
                blocks.append(f"*{escape_markdown(caption)}*")
    return "\n\n".join(blocks) + "\n"


def _row(cells: Sequence[str], widths: Sequence[int]) -> str:
    first = cells[0].ljust(widths[0])
    others = [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
    return f"| {' | '.join([first, *others])} |"
