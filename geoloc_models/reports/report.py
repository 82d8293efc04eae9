"""A report of sections, as one HTML file that works offline and as Markdown beside it."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from geoloc_models.errors import GeolocError
from geoloc_models.files import replacing
from geoloc_models.reports.tables import Table, escape_markdown, markdown_table

if TYPE_CHECKING:
    from jinja2 import Environment

_KINDS = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg"}
_FIGURE_WITH_INTERVAL = re.compile(r"(.*\S) (\[[^][]*\](?: \*)?)", re.DOTALL)


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
    table : Table, optional
        Plain text; the first column names the rows.
    figures : sequence of (path, caption)
        PNG or JPEG files; the captions are plain text.
    level : int, default 1
        1, or 2 for a part of the section before it.
    """

    title: str
    text: str = ""
    table: Table | None = None
    figures: Sequence[tuple[str | Path, str]] = ()
    level: int = 1


def write_report(folder: str | Path, title: str, sections: Sequence[Section]) -> tuple[Path, Path]:
    """Write ``report.md`` and ``report.html``, each whole or not at all.

    Parameters
    ----------
    folder : path
        Made where it is missing.
    title : str
        Plain text.
    sections : sequence of Section
        In order. Their pictures must be there already; the HTML holds them, the Markdown links
        to them.

    Returns
    -------
    tuple of Path
        Of ``report.md`` and ``report.html``.

    Raises
    ------
    GeolocError
        A picture is missing, or is neither PNG nor JPEG.

    Examples
    --------
    >>> from geoloc_models.reports import Section, Table, write_report
    >>> section = Section("Results", table=Table(("Model", "25 km"), [("Cells", "52")]))
    >>> [path.name for path in write_report("report", "A report", [section])]
    ['report.md', 'report.html']
    """
    folder = Path(folder)
    environment = _environment(folder)
    values = {"title": title, "sections": sections, "anchors": _anchors(sections)}
    contents = {
        folder / name: environment.get_template(f"{name}.j2").render(values)
        for name in ("report.md", "report.html")
    }
    for path, content in contents.items():
        with replacing(path) as partial:
            partial.write_text(content, encoding="utf-8")
    markdown, page = contents
    return markdown, page


def _environment(folder: Path) -> Environment:
    """Templates with what they call; the HTML escapes all plain text."""
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
    from markdown_it import MarkdownIt
    from markupsafe import Markup

    # No HTML from the text, and no picture but our own: both could fetch from elsewhere.
    parser = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")

    def markdown(text: str) -> Markup:
        wide = parser.render(text).replace("<table>", '<div class="wide"><table>')
        return Markup(wide.replace("</table>", "</table></div>"))

    environment = Environment(
        loader=PackageLoader("geoloc_models.reports"),
        autoescape=select_autoescape(("html.j2",)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    filters: dict[str, Any] = {
        "bracketed": lambda text: re.sub(r"(?<!\\)([\[\]])", r"\\\1", text),
        "data_address": _data_address,
        "link": lambda path: quote(Path(os.path.relpath(path, folder)).as_posix()),
        "markdown": markdown,
        "markdown_table": markdown_table,
        "plain": escape_markdown,
        "split_interval": _split_interval,
    }
    environment.filters.update(filters)
    return environment


def _anchors(sections: Sequence[Section]) -> list[str]:
    """A name per section for links, each once."""
    anchors: list[str] = []
    for section in sections:
        words = re.sub(r"[^a-z0-9]+", "-", section.title.lower()).strip("-") or "section"
        n_before = sum(re.fullmatch(rf"{words}(-\d+)?", anchor) is not None for anchor in anchors)
        anchors.append(f"{words}-{n_before + 1}" if n_before else words)
    return anchors


def _split_interval(cell: str) -> tuple[str, str]:
    """A figure, and the interval in brackets behind it, if it has one."""
    match = _FIGURE_WITH_INTERVAL.fullmatch(cell)
    return (match[1], match[2]) if match else (cell, "")


def _data_address(path: str | Path) -> str:
    """A picture as an address that holds its bytes."""
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise GeolocError(
            f"The picture {path} of the report cannot be read ({error.strerror or error})."
        ) from error
    kind = next((kind for start, kind in _KINDS.items() if content.startswith(start)), None)
    if kind is None:
        raise GeolocError(f"The picture {path} of the report is neither PNG nor JPEG.")
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
