"""Test images with truth and guess: the paper's Figure 7."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from geoloc_models.reports.figures._style import OKABE_ITO, QUIET

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
    def is_right(self) -> bool:
        """Whether the country is the true one."""
        return self.truth == self.guess


def choose_right_and_wrong(
    true_countries: npt.ArrayLike, countries: npt.ArrayLike, *, n_each: int = 12, seed: int = 0
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Draw test images with the right and with a wrong country, at random.

    Parameters
    ----------
    true_countries, countries : array-like
        (n,) countries, true and guessed.
    n_each : int, default 12
        Images of each kind, or all there are.
    seed : int, default 0
        Of the draw: nobody picks the examples.

    Returns
    -------
    right, wrong : ndarray
        int64 positions among the test images, in rising order.
    """
    is_right = np.asarray(true_countries, dtype=object) == np.asarray(countries, dtype=object)
    random = np.random.default_rng(seed)
    drawn = []
    for kind in (is_right, ~is_right):
        positions = np.flatnonzero(kind).astype(np.int64)
        drawn.append(np.sort(random.choice(positions, min(n_each, len(positions)), replace=False)))
    return drawn[0], drawn[1]


def example_sheet(examples: Sequence[Example], *, title: str, columns: int = 6) -> Figure:
    """Test images with truth, guess and distance; right and wrong differ in sign and colour."""
    n_rows = max(1, -(-len(examples) // columns))
    height = n_rows * _row_height(examples) + 0.6
    figure = Figure(figsize=(COLUMN_INCHES * columns, height), dpi=110, layout="constrained")
    _draw(figure, examples, n_rows, columns)
    figure.suptitle(title)
    return figure


def right_and_wrong_examples(
    right: Sequence[Example], wrong: Sequence[Example], *, title: str, columns: int = 6
) -> Figure:
    """Sheet of images in the right country above, and of images in a wrong one below.

    Parameters
    ----------
    right, wrong : sequence of Example
        Such as :func:`choose_right_and_wrong` draws; either may be empty.
    title : str
        Over the figure.
    columns : int, default 6
        Images side by side.
    """
    bands = [
        ("Right country", OKABE_ITO[0], right),
        ("Wrong country", OKABE_ITO[1], wrong),
    ]
    lines = [-(-len(examples) // columns) for _, _, examples in bands]
    heights = [
        n * _row_height(examples) + (0.5 if n else 1.0)
        for n, (_, _, examples) in zip(lines, bands, strict=True)
    ]
    size = (COLUMN_INCHES * columns, sum(heights) + 0.6)
    figure = Figure(figsize=size, dpi=110, layout="constrained")
    parts: Any = figure.subfigures(2, 1, height_ratios=heights)
    for part, n_rows, (name, colour, examples) in zip(parts, lines, bands, strict=True):
        part.suptitle(name, color=colour, fontweight="bold", fontsize="large")
        if examples:
            _draw(part, examples, n_rows, columns)
        else:
            part.text(0.5, 0.3, "There is no such image.", ha="center", color=QUIET)
    figure.suptitle(title, fontsize="x-large")
    return figure


def _draw(figure: Any, examples: Sequence[Example], n_rows: int, columns: int) -> None:
    """Images on a grid, line by line."""
    axes = figure.subplots(n_rows, columns, squeeze=False).ravel()
    for axis in axes:
        axis.set_axis_off()
    for axis, example in zip(axes, examples, strict=False):
        colour = OKABE_ITO[0] if example.is_right else OKABE_ITO[1]
        axis.set_axis_on()
        axis.set_xticks([])
        axis.set_yticks([])
        axis.imshow(example.image)
        for spine in axis.spines.values():
            spine.set_color(colour)
            spine.set_linewidth(3)
        axis.set_title(_lines(f"True: {example.truth}"), fontsize="medium")
        axis.set_xlabel(_words(example), color=colour, fontsize="medium")


def _row_height(examples: Sequence[Example]) -> float:
    """Inches that a line of images needs with the words over and under them."""
    words = [f"{_lines(f'True: {each.truth}')}\n{_words(each)}" for each in examples]
    most = max((text.count("\n") + 1 for text in words), default=0)
    return COLUMN_INCHES + LINE_INCHES * most + 0.2


def _words(example: Example) -> str:
    """Guess, distance and confidence of an example."""
    sign = "✓" if example.is_right else "✗"
    distance = (
        f"{example.error_km:,.0f} km" if example.error_km >= 10 else f"{example.error_km:.1f} km"
    )
    if example.confidence is None or not np.isfinite(example.confidence):
        return _lines(f"{sign} {example.guess}, {distance}")
    return f"{_lines(f'{sign} {example.guess}')}\n{distance}, {100 * example.confidence:.0f} % sure"


def _lines(text: str) -> str:
    return textwrap.fill(text, LINE_CHARACTERS)
