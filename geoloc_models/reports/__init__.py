"""Reports: results as tables of text, as Markdown and HTML, and the pictures."""

from geoloc_models.reports.report import Section, write_report
from geoloc_models.reports.tables import (
    ABSTAINING_NOTE,
    CALIBRATION_NOTE,
    PAPER_NOTE,
    Table,
    abstaining_table,
    calibration_table,
    comparison_table,
    differences_table,
    markdown_table,
    model_title,
    results_table,
    table_note,
    table_text,
    text_table,
)

__all__ = [
    "ABSTAINING_NOTE",
    "CALIBRATION_NOTE",
    "PAPER_NOTE",
    "Section",
    "Table",
    "abstaining_table",
    "calibration_table",
    "comparison_table",
    "differences_table",
    "markdown_table",
    "model_title",
    "results_table",
    "table_note",
    "table_text",
    "text_table",
    "write_report",
]
