"""A report as one HTML file that works offline, and as Markdown beside it."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Sequence
from pathlib import Path

from markdown_it import MarkdownIt

from geoloc_models._errors import GeolocError
from geoloc_models._files import replacing
from geoloc_models.reports._page import PAGE, STYLE
from geoloc_models.reports.markdown import report_markdown
from geoloc_models.reports.sections import Section

_KINDS = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg"}
_FIGURE_WITH_INTERVAL = re.compile(r"(.*\S) (\[[^][]*\](?: \*)?)", re.DOTALL)


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
    """
    folder = Path(folder)
    contents = {
        "report.md": report_markdown(folder, title, sections),
        "report.html": report_html(title, sections),
    }
    for name, content in contents.items():
        with replacing(folder / name) as partial:
            partial.write_text(content, encoding="utf-8")
    return folder / "report.md", folder / "report.html"


def report_html(title: str, sections: Sequence[Section]) -> str:
    """Compose a self-contained page: pictures inside, a table of contents, no script.

    Parameters
    ----------
    title : str
        Plain text.
    sections : sequence of Section
        In order.
    """
    anchors = _anchors(sections)
    # No HTML from the text, and no picture but our own: both could fetch from elsewhere.
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
    return PAGE.format(
        title=html.escape(title),
        style=STYLE,
        contents=_contents(sections, anchors),
        sections="\n".join(
            _section(section, anchor, markdown)
            for section, anchor in zip(sections, anchors, strict=True)
        ),
    )


def _anchors(sections: Sequence[Section]) -> list[str]:
    """A name per section for links, each once."""
    anchors: list[str] = []
    for section in sections:
        words = re.sub(r"[^a-z0-9]+", "-", section.title.lower()).strip("-") or "section"
        anchor, number = words, 1
        while anchor in anchors:
            number += 1
            anchor = f"{words}-{number}"
        anchors.append(anchor)
    return anchors


def _contents(sections: Sequence[Section], anchors: Sequence[str]) -> str:
    """Nested list of links."""
    lines = ["<ol>"]
    depth = 1
    for section, anchor in zip(sections, anchors, strict=True):
        if section.level > depth:
            lines.append("<li><ol>")
        elif section.level < depth:
            lines.append("</ol></li>")
        depth = section.level
        lines.append(f'<li><a href="#{anchor}">{html.escape(section.title)}</a></li>')
    return "\n".join([*lines, *(["</ol></li>"] if depth == 2 else []), "</ol>"])


def _section(section: Section, anchor: str, markdown: MarkdownIt) -> str:
    heading = f"h{1 + section.level}"
    parts = [
        f'<section id="{anchor}">',
        f"<{heading}>{html.escape(section.title)}</{heading}>",
    ]
    if section.text.strip():
        parts.append(_in_wide_tables(markdown.render(section.text)))
    if section.table is not None:
        parts.append(_table(*section.table))
    parts += [_figure(Path(path), caption) for path, caption in section.figures]
    return "\n".join([*parts, "</section>"])


def _in_wide_tables(rendered: str) -> str:
    """Let tables of the text scroll sideways, as our own do."""
    opened = rendered.replace("<table>", '<div class="wide"><table>')
    return opened.replace("</table>", "</table></div>")


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    kinds = [""] + [
        "" if any(re.search(r"\d", row[column]) for row in rows) else ' class="words"'
        for column in range(1, len(header))
    ]
    head = "".join(
        f'<th scope="col"{kind}>{html.escape(cell)}</th>'
        for kind, cell in zip(kinds, header, strict=True)
    )
    lines = []
    for first, *others in rows:
        cells = "".join(
            f"<td{kind}>{_cell(cell)}</td>" for kind, cell in zip(kinds[1:], others, strict=True)
        )
        lines.append(f'<tr><th scope="row">{html.escape(first)}</th>{cells}</tr>')
    body = "\n".join(lines)
    return (
        f'<div class="wide"><table>\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody>\n</table></div>"
    )


def _cell(text: str) -> str:
    """Cell with an interval in brackets, if it has one, under its figure."""
    match = _FIGURE_WITH_INTERVAL.fullmatch(text)
    if match is None:
        return html.escape(text)
    figure, interval = match.groups()
    return f'{html.escape(figure)} <span class="span">{html.escape(interval)}</span>'


def _figure(path: Path, caption: str) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise GeolocError(
            f"The picture {path} of the report cannot be read ({error.strerror or error})."
        ) from error
    kind = next((kind for start, kind in _KINDS.items() if content.startswith(start)), None)
    if kind is None:
        raise GeolocError(f"The picture {path} of the report is neither PNG nor JPEG.")
    data = base64.b64encode(content).decode("ascii")
    words = html.escape(caption)
    return (
        f'<figure>\n<img src="data:{kind};base64,{data}" alt="{words}">\n'
        f"<figcaption>{words}</figcaption>\n</figure>"
    )
