"""Test images with truth and guess: the paper's Figure 7."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from geoloc_models.reports.figures.style import OKABE_ITO, QUIET

LINE_CHARACTERS = 22
COLUMN_INCHES = 2.2
LINE_INCHES = 0.19


@dataclass(frozen=True)
class Example:
    """A test image with its truth and a guess.

    Parameters
    ----------
    image : ndarray
        (H, W, 3) uint8.
    truth, guess : str
        Country of each.
    error_km : float
        Distance between them.
    confidence : float, optional
        Probability of the class the guess comes from, 0 to 1.
    """

    image: npt.NDArray[np.uint8]
    truth: str
    guess: str
    error_km: float
    confidence: float | None = None

    @property
    def colour(self) -> str:
        """Blue where the country is the true one, else orange."""
        return OKABE_ITO[0] if self.truth == self.guess else OKABE_ITO[1]

    @property
    def truth_text(self) -> str:
        """What stands over the image."""
        return textwrap.fill(f"True: {self.truth}", LINE_CHARACTERS)

    @property
    def guess_text(self) -> str:
        """What stands under it: guess, distance and confidence."""
        guess = f"{'✓' if self.truth == self.guess else '✗'} {self.guess}"
        distance = f"{self.error_km:,.{0 if self.error_km >= 10 else 1}f} km"
        if self.confidence is None or not np.isfinite(self.confidence):
            return textwrap.fill(f"{guess}, {distance}", LINE_CHARACTERS)
        sure = f"{distance}, {100 * self.confidence:.0f} % sure"
        return f"{textwrap.fill(guess, LINE_CHARACTERS)}\n{sure}"


def example_sheet(
    bands: Mapping[str, Sequence[Example]], *, title: str, columns: int = 6
) -> Figure:
    """Test images with truth, guess and distance; right and wrong differ in sign and colour.

    Parameters
    ----------
    bands : mapping of str to sequence of Example
        By a heading, which may be empty; the bands stand one above the other.
    title : str
        Over the figure.
    columns : int, default 6
        Images side by side.
    """
    lines = [-(-len(examples) // columns) for examples in bands.values()]
    heights = [
        n * _row_height(examples) + (0.5 if heading and n else 0.0 if n else 1.0)
        for n, (heading, examples) in zip(lines, bands.items(), strict=True)
    ]
    size = (COLUMN_INCHES * columns, sum(heights) + 0.6)
    figure = Figure(figsize=size, dpi=110, layout="constrained")
    parts: Any = figure.subfigures(len(bands), 1, height_ratios=heights, squeeze=False)[:, 0]
    for part, n_rows, (heading, examples) in zip(parts, lines, bands.items(), strict=True):
        if heading:
            part.suptitle(heading, fontweight="bold", fontsize="large")
        if examples:
            _draw(part, examples, n_rows, columns)
        else:
            part.text(0.5, 0.3, "There is no such image.", ha="center", color=QUIET)
    figure.suptitle(title, fontsize="x-large" if len(bands) > 1 else "large")
    return figure


def _draw(figure: Any, examples: Sequence[Example], n_rows: int, columns: int) -> None:
    """Images on a grid, line by line."""
    axes = figure.subplots(n_rows, columns, squeeze=False).ravel()
    for axis in axes:
        axis.set_axis_off()
    for axis, example in zip(axes, examples, strict=False):
        axis.set_axis_on()
        axis.set(xticks=[], yticks=[])
        axis.imshow(example.image)
        for spine in axis.spines.values():
            spine.set(color=example.colour, linewidth=3)
        axis.set_title(example.truth_text, fontsize="medium")
        axis.set_xlabel(example.guess_text, color=example.colour, fontsize="medium")


def _row_height(examples: Sequence[Example]) -> float:
    """Inches that a line of images needs with the words over and under them."""
    n_lines = [f"{each.truth_text}\n{each.guess_text}".count("\n") + 1 for each in examples]
    return COLUMN_INCHES + LINE_INCHES * max(n_lines, default=0) + 0.2
