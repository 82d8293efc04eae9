"""Test images with truth and guess: the paper's Figure 7."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from geoloc_models.evaluation import errors_km
from geoloc_models.reports.figures.style import OKABE_ITO, QUIET

if TYPE_CHECKING:
    from geoloc_models.evaluation import Predictions
    from geoloc_models.photos import ImageSource

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

    Examples
    --------
    >>> import numpy as np
    >>> from geoloc_models.reports.figures import Example, example_sheet
    >>> example = Example(np.zeros((24, 24, 3), np.uint8), "Sweden", "Sweden", 12.0)
    >>> figure = example_sheet({"": [example]}, title="A guess")
    """

    image: npt.NDArray[np.uint8]
    truth: str
    guess: str
    error_km: float

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
        """What stands under it: guess and distance."""
        guess = f"{'✓' if self.truth == self.guess else '✗'} {self.guess}"
        distance = f"{self.error_km:,.{0 if self.error_km >= 10 else 1}f} km"
        return textwrap.fill(f"{guess}, {distance}", LINE_CHARACTERS)


def examples_of(
    predictions: Predictions,
    true_coords: npt.NDArray[np.float64],
    true_countries: npt.NDArray[np.object_],
    images: ImageSource,
    names: Mapping[str, str],
) -> list[Example]:
    """Load test images for :func:`example_sheet`.

    Parameters
    ----------
    predictions : Predictions
        Of the images to show: few, since all are loaded.
    true_coords, true_countries : ndarray
        (m, 2) degrees and (m,), of all rows of the photo table.
    images : ImageSource
        Of all rows of the photo table.
    names : mapping of str to str
        Names of countries by their codes.

    Examples
    --------
    >>> from geoloc_models.evaluation import read_predictions
    >>> from geoloc_models.reports.figures import examples_of
    >>> from geoloc_models.training import table_source
    >>> source = table_source("split.parquet")
    >>> predictions, table = read_predictions("runs/mine/predictions.parquet"), source.table
    >>> names = {"SE": "Sweden", "CH": "Switzerland"}
    >>> examples = examples_of(predictions, table.coords, table.countries, source.images, names)
    >>> examples[0].truth in names.values()
    True
    """
    rows = predictions.rows
    distances_km = errors_km(predictions, true_coords[rows]).tolist()
    return [
        Example(
            np.asarray(images.load(int(row))), names.get(truth, truth), names.get(guess, guess), km
        )
        for row, truth, guess, km in zip(
            rows, true_countries[rows], predictions.countries, distances_km, strict=True
        )
    ]


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

    Examples
    --------
    >>> import numpy as np
    >>> from geoloc_models.reports.figures import Example, example_sheet
    >>> guesses = [Example(np.zeros((24, 24, 3), np.uint8), "Sweden", g, 12.0) for g in ("Sweden", "Norway")]
    >>> figure = example_sheet({"Right": guesses[:1], "Wrong": guesses[1:]}, title="Guesses")
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
