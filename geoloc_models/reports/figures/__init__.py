"""Pictures of a run: maps, errors, examples, features, confusion, training.

Functions take arrays and records and give Matplotlib figures, drawn without a screen. Colours are
Okabe and Ito's, which readers with any colour vision tell apart; lines also differ in dashes and
markers.
"""

from geoloc_models.reports.figures.cell_map import map_of_cells
from geoloc_models.reports.figures.confusion import confusion, confusion_counts
from geoloc_models.reports.figures.embeddings import tsne_of_features, tsne_points
from geoloc_models.reports.figures.errors import error_against_distance, error_curves
from geoloc_models.reports.figures.examples import (
    Example,
    choose_right_and_wrong,
    example_sheet,
    right_and_wrong_examples,
)
from geoloc_models.reports.figures.panels import WORLD_PANEL, MapPanel, panels_of_countries
from geoloc_models.reports.figures.photo_map import map_of_photos
from geoloc_models.reports.figures.reliability import reliability_diagrams
from geoloc_models.reports.figures.saving import save_figure
from geoloc_models.reports.figures.sizes import accuracy_by_dataset_size
from geoloc_models.reports.figures.training import augmentation_curves, training_curves

__all__ = [
    "WORLD_PANEL",
    "Example",
    "MapPanel",
    "accuracy_by_dataset_size",
    "augmentation_curves",
    "choose_right_and_wrong",
    "confusion",
    "confusion_counts",
    "error_against_distance",
    "error_curves",
    "example_sheet",
    "map_of_cells",
    "map_of_photos",
    "panels_of_countries",
    "reliability_diagrams",
    "right_and_wrong_examples",
    "save_figure",
    "training_curves",
    "tsne_of_features",
    "tsne_points",
]
