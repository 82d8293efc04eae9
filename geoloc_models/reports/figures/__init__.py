"""Pictures of a run: maps, errors, examples, features, confusion, training, certainty.

Functions take arrays and records and give Matplotlib figures, drawn without a screen, for print at
any ``width_mm``: 170 for a page or a slide, 80 for a column; the type has 7 to 9 points at any width. Under
``matplotlib.style.context("dark_background")`` they are drawn for a dark page. Colours are Okabe and
Ito's, which readers with any colour vision tell apart; lines also differ in dashes and markers.
"""

from geoloc_models.reports.figures.confusion import confusion
from geoloc_models.reports.figures.curves import (
    accuracy_by_dataset_size,
    error_against_distance,
    error_curves,
    reliability_diagrams,
    risk_coverage_curves,
    training_curves,
)
from geoloc_models.reports.figures.embeddings import tsne_of_features
from geoloc_models.reports.figures.examples import Example, example_sheet, examples_of
from geoloc_models.reports.figures.maps import (
    WORLD_PANEL,
    MapPanel,
    map_of_cells,
    map_of_photos,
    panels_of_countries,
)
from geoloc_models.reports.figures.style import save_figure

__all__ = [
    "WORLD_PANEL",
    "Example",
    "MapPanel",
    "accuracy_by_dataset_size",
    "confusion",
    "error_against_distance",
    "error_curves",
    "example_sheet",
    "examples_of",
    "map_of_cells",
    "map_of_photos",
    "panels_of_countries",
    "reliability_diagrams",
    "risk_coverage_curves",
    "save_figure",
    "training_curves",
    "tsne_of_features",
]
