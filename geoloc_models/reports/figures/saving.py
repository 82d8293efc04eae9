"""Figures as files."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from geoloc_models._files import replacing


def save_figure(figure: Figure, path: str | Path) -> None:
    """Write a figure, whole or not at all; the suffix chooses the format."""
    with replacing(path) as partial:
        figure.savefig(partial, facecolor="white")
