"""Reports: results as text, JSON, Markdown and HTML, and the pictures."""

from geoloc_models.reports.html import report_html, write_report
from geoloc_models.reports.markdown import markdown_table, report_markdown, table_markdown
from geoloc_models.reports.paper import (
    PAPER_NOTE,
    PAPER_RESULTS,
    comparison_markdown,
    comparison_table,
    paper_table,
)
from geoloc_models.reports.sections import Section
from geoloc_models.reports.table import (
    Table,
    differences_table,
    model_title,
    results_table,
    table_note,
    table_text,
)

__all__ = [
    "PAPER_NOTE",
    "PAPER_RESULTS",
    "Section",
    "Table",
    "comparison_markdown",
    "comparison_table",
    "differences_table",
    "markdown_table",
    "model_title",
    "paper_table",
    "report_html",
    "report_markdown",
    "results_table",
    "table_markdown",
    "table_note",
    "table_text",
    "write_report",
]
