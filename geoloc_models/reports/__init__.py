"""Reports: results as text and JSON, and the pictures."""

from geoloc_models.reports.results import (
    read_predictions,
    results_content,
    write_predictions,
    write_results,
)
from geoloc_models.reports.table import table_text

__all__ = [
    "read_predictions",
    "results_content",
    "table_text",
    "write_predictions",
    "write_results",
]
