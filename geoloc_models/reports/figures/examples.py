"""Test images with truth, guess and a map of both: the paper's Figure 7."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from geocells import sphere
from geoloc_models.countries import load_countries
from geoloc_models.reports.figures.maps import KM_PER_DEGREE, MapPanel, draw_outlines
from geoloc_models.reports.figures.style import (
    FULL_WIDTH_MM,
    OKABE_ITO,
    QUIET,
    new_figure,
    printed,
)

if TYPE_CHECKING:
    from geoloc_models.evaluation import Predictions
    from geoloc_models.photos import ImageSource

EXAMPLE_MM = 56.0
LEAST_MAP_KM = 300.0


@dataclass(frozen=True)
class Example:
    """A test image with its truth and a guess.

    Parameters
    ----------
    image : ndarray
        (H, W, 3) uint8.
    true_country, country : str
        Of truth and guess.
    true_point, point : sequence of float
        Latitude and longitude of truth and guess, in degrees.

    Examples
    --------
    >>> import numpy as np
    >>> from geoloc_models.reports.figures import Example
    >>> pixels = np.zeros((24, 24, 3), np.uint8)
    >>> Example(pixels, "Sweden", "Sweden", (59.3, 18.1), (59.9, 17.6)).text
    '✓ Sweden, 72 km off'
    """

    image: npt.NDArray[np.uint8]
    true_country: str
    country: str
    true_point: Sequence[float]
    point: Sequence[float]

    @property
    def is_right(self) -> bool:
        """Whether the country is the true one."""
        return self.true_country == self.country

    @property
    def text(self) -> str:
        """Truth, guess and the distance between them."""
        km = float(sphere.haversine([self.true_point], [self.point])[0])
        guess = "" if self.is_right else f", guessed {self.country}"
        sign, distance = "✓" if self.is_right else "✗", f"{km:,.{0 if km >= 10 else 1}f} km off"
        return f"{sign} {self.true_country}{guess}, {distance}"


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
    >>> examples[0].true_country in names.values()
    True
    """
    rows = predictions.rows
    return [
        Example(
            np.asarray(images.load(int(row))), names.get(truth, truth), names.get(guess, guess), *at
        )
        for row, truth, guess, *at in zip(
            rows,
            true_countries[rows],
            predictions.countries,
            true_coords[rows].tolist(),
            predictions.coords.tolist(),
            strict=True,
        )
    ]


@printed
def example_sheet(
    bands: Mapping[str, Sequence[Example]], *, title: str = "", width_mm: float = FULL_WIDTH_MM
) -> Figure:
    """Test images, each with truth and guess on a small map and in words.

    Parameters
    ----------
    bands : mapping of str to sequence of Example
        By a heading, which may be empty; the bands stand one above the other.
    title : str
        Over the figure.
    width_mm : float, default 170
        Of the figure as printed: three examples side by side; one where it is 80.

    Examples
    --------
    >>> import numpy as np
    >>> from geoloc_models.reports.figures import Example, example_sheet
    >>> pixels, stockholm = np.zeros((24, 24, 3), np.uint8), (59.3, 18.1)
    >>> right = Example(pixels, "Sweden", "Sweden", stockholm, (59.9, 17.6))
    >>> wrong = Example(pixels, "Sweden", "Norway", stockholm, (59.9, 10.8))
    >>> figure = example_sheet({"Right": [right], "Wrong": [wrong]}, title="Guesses")
    """
    columns = max(1, int(width_mm // EXAMPLE_MM))
    line_mm = width_mm / columns / 2 + 6.0
    lines = [-(-len(examples) // columns) for examples in bands.values()]
    heights = [
        line_mm * max(n, 0.5) + 6.0 * bool(heading) for n, heading in zip(lines, bands, strict=True)
    ]
    figure = new_figure(width_mm, sum(heights) + 10.0, title)
    parts: Any = figure.subfigures(len(bands), 1, height_ratios=heights, squeeze=False)[:, 0]
    for part, n_rows, (heading, examples) in zip(parts, lines, bands.items(), strict=True):
        part.suptitle(heading)
        if not examples:
            part.text(0.5, 0.3, "There is no such image.", ha="center", color=QUIET)
            continue
        axes = part.subplots(n_rows, 2 * columns).ravel()
        for axis in axes[2 * len(examples) :]:
            axis.set_axis_off()
        for place, example in enumerate(examples):
            _draw(axes[2 * place], axes[2 * place + 1], example, 0.6 * width_mm / columns)
    marks: dict[str, Any] = {"linestyle": "none", "markersize": 4}
    handles = [
        Line2D([], [], color=OKABE_ITO[2], marker="o", label="Truth", **marks),
        Line2D([], [], color=OKABE_ITO[1], marker="X", label="Guess", **marks),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
    return figure


def _draw(image: Any, map_axis: Any, example: Example, n_characters: float) -> None:
    """An image with its words, and the map beside it."""
    colour = OKABE_ITO[0] if example.is_right else OKABE_ITO[1]
    image.imshow(example.image)
    image.set(xticks=[], yticks=[])
    image.spines[:].set(visible=True, color=colour, linewidth=1.2)
    image.set_title(textwrap.fill(example.text, int(n_characters)), loc="left", fontsize=7)
    (latitude, longitude), (guess, east) = example.true_point, example.point
    east = longitude + (east - longitude + 180.0) % 360.0 - 180.0
    middle = (latitude + guess) / 2, (longitude + east) / 2
    stretch = max(float(np.cos(np.radians(middle[0]))), 0.2)
    reach = max(1.5 * abs(latitude - guess), 1.5 * abs(longitude - east) * stretch)
    half = max(reach, LEAST_MAP_KM / KM_PER_DEGREE) / 2
    south, north = middle[0] - half, middle[0] + half
    panel = MapPanel("", (south, middle[1] - half / stretch, north, middle[1] + half / stretch))
    draw_outlines(map_axis, panel, load_countries())
    map_axis.plot([longitude, east], [latitude, guess], color=QUIET, linewidth=0.8, zorder=6)
    map_axis.plot(longitude, latitude, "o", color=OKABE_ITO[2], markersize=4, zorder=7)
    map_axis.plot(east, guess, "X", color=OKABE_ITO[1], markersize=4, zorder=7)
