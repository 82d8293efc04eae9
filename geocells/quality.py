"""How good cells are: how images spread over them, how wide they are, and how far a perfect classifier would get.

Nothing here knows how cells are made: it sees images, the cell of each, and the points that cells answer with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from geocells.array_types import FloatArray, IntArray
from geocells.moments import moments_of_images
from geocells.sphere import haversine

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

RADII_KM = (1, 25, 200, 750, 2500)
"""Street, city, region, country, continent."""

QUANTILES = {"least": 0.0, "5 %": 0.05, "median": 0.5, "95 %": 0.95, "most": 1.0}


@dataclass(frozen=True, eq=False)
class Report:
    """Quality of cells, measured on images.

    Made by :meth:`geocells.CellPartition.report`.

    Attributes
    ----------
    n_images : int
        Images that were measured.
    n_without_cell : int
        Those among them that no cell took.
    min_images : int or None
        What the cells were asked to hold, where that is known.
    images_per_cell : (n_cells,) int64
        Measured images in each cell.
    n_short : int or None
        Images in cells that were built from fewer than ``min_images``.
    distances_km : (n_images,) float64
        From each image to the location of its cell; infinite for those without one.
    cell_radius_km : (n_cells,) float64
        Distance within which 90 % of a cell's images lie from its location; NaN for a cell without images.
    wcss : (n_cells,) float64
        Within-cell sum of squares of the features, of each cell.
    wcss_unit : str
        ``"km²"`` for coordinates, ``"features²"`` for features.

    Examples
    --------
    >>> from geocells import CellBuilder
    >>> coords = [[47.4, 8.5]] * 3 + [[59.3, 18.1]] * 3
    >>> report = CellBuilder(min_images=3).fit(coords).cells_.report(coords)
    >>> report.frame.loc[["cells", "images", "oracle, within 1 km"], "value"].tolist()
    [2.0, 6.0, 100.0]
    """

    n_images: int
    n_without_cell: int
    min_images: int | None
    images_per_cell: IntArray
    n_short: int | None
    distances_km: FloatArray
    cell_radius_km: FloatArray
    wcss: FloatArray
    wcss_unit: str

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return len(self.images_per_cell)

    @property
    def gini(self) -> float:
        """Gini coefficient of the images per cell: 0 where all cells hold as many, near 1 where one holds all."""
        return gini(self.images_per_cell)

    @property
    def wcss_per_image(self) -> float:
        """Within-cell sum of squares divided by the images in cells; NaN when there are none."""
        n_placed = self.n_images - self.n_without_cell
        return float(self.wcss.sum()) / n_placed if n_placed else float("nan")

    def oracle(self, radius_km: float) -> float:
        """Share of images within the radius (``d <= r``) of their own cell's location: a perfect classifier's score."""
        return _share(int((self.distances_km <= radius_km).sum()), self.n_images)

    @property
    def frame(self) -> pd.DataFrame:
        """All figures as a table: index ``quantity``, columns ``value`` (float64) and ``unit``."""
        import pandas as pd

        percent = "% of images"
        without_cell = 100 * _share(self.n_without_cell, self.n_images)
        rows: list[tuple[str, float, str]] = [
            ("cells", self.n_cells, ""),
            ("images", self.n_images, ""),
            ("images without a cell", without_cell, percent),
        ]
        for name, share in QUANTILES.items():
            n_images = _quantile(self.images_per_cell, share)
            rows.append((f"images per cell, {name}", n_images, ""))
        rows.append(("images per cell, Gini", self.gini, "0 to 1"))
        if self.n_short is not None:
            in_short_cells = 100 * _share(self.n_short, self.n_images)
            rows.append((f"in cells short of {self.min_images} images", in_short_cells, percent))
        placed = self.distances_km[np.isfinite(self.distances_km)]
        radii = self.cell_radius_km[np.isfinite(self.cell_radius_km)]
        rows += [
            ("distance to the cell's location, median", _quantile(placed, 0.5), "km"),
            ("distance to the cell's location, 90 %", _quantile(placed, 0.9), "km"),
            ("radius of a cell (90 % of its images), median", _quantile(radii, 0.5), "km"),
            ("radius of a cell (90 % of its images), largest", _quantile(radii, 1.0), "km"),
            ("WCSS per image", self.wcss_per_image, self.wcss_unit),
        ]
        for radius in RADII_KM:
            rows.append((f"oracle, within {radius} km", 100 * self.oracle(radius), percent))
        return pd.DataFrame(rows, columns=["quantity", "value", "unit"]).set_index("quantity")

    def __repr__(self) -> str:
        text = self._rounded().to_string(header=False, index_names=False)
        return "\n".join(["Report of cells", *map(str.rstrip, text.splitlines())])

    def _repr_html_(self) -> str:
        html: str = self._rounded().to_html(header=False, index_names=False)
        return html

    def _rounded(self) -> pd.DataFrame:
        frame = self.frame
        return frame.assign(value=frame["value"].map(_number))

    def plot(self, axes: Any = None) -> tuple[Axes, Axes]:
        """Draw how images spread over cells, and the oracle's accuracy at every radius.

        Parameters
        ----------
        axes : pair of matplotlib Axes, optional
            Where to draw; a new figure otherwise.

        Returns
        -------
        axes : (Axes, Axes)
        """
        try:
            import matplotlib.pyplot as plt
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                "Plots need matplotlib: pip install '.[plot]' in the source folder."
            ) from error
        if axes is None:
            _, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
        spread, oracle = axes
        fullest_first = np.sort(self.images_per_cell)[::-1]
        spread.stairs(fullest_first, fill=True, color="#77AADD")
        if self.min_images is not None:
            spread.axhline(self.min_images, color="#882255", linewidth=1, linestyle="--")
        if len(fullest_first) and fullest_first[0] > 30 * max(1, np.median(fullest_first)):
            spread.set_yscale("symlog", linthresh=1.0)
        spread.set(
            ylim=(0, None),
            xlabel="cells, fullest first",
            ylabel="images in the cell"
            + ("" if self.min_images is None else " (line: min_images)"),
            title=f"{self.n_cells} cells, Gini {self.gini:.2f}",
        )
        radii = np.geomspace(0.1, 5000.0, 200)
        n_within = np.searchsorted(np.sort(self.distances_km), radii, side="right")
        oracle.plot(radii, 100 * n_within / max(1, self.n_images), color="#3366AA")
        shares = [100 * self.oracle(radius) for radius in RADII_KM]
        oracle.plot(RADII_KM, shares, "o", color="#882255", markersize=4)
        for radius, share in zip(RADII_KM, shares, strict=True):
            oracle.annotate(
                f"{share:.1f}", (radius, share), (4, -11), textcoords="offset points", fontsize=8
            )
        oracle.set_xscale("log")
        oracle.set_xticks(RADII_KM, [str(radius) for radius in RADII_KM])
        oracle.minorticks_off()
        oracle.set(
            ylim=(0, 103),
            xlabel="km",
            ylabel="% of images within",
            title="oracle: the location of an image's own cell",
        )
        return spread, oracle


def report(
    coords: FloatArray,
    labels: IntArray,
    locations: FloatArray,
    feats: Any = None,
    *,
    counts: IntArray | None = None,
    min_images: int | None = None,
) -> Report:
    """Measure cells on images.

    Parameters
    ----------
    coords : (n, 2) float64
        Latitude, longitude of each image in degrees.
    labels : (n,) int64
        Cell of each image, -1 for none.
    locations : (n_cells, 2) float64
        The point that each cell answers with.
    feats : (n, n_features) array, optional
        Features whose within-cell sum of squares is taken, read once; otherwise that of the coordinates, in km².
    counts : (n_cells,) int64, optional
        Images that each cell was built from; by default those measured.
    min_images : int, optional
        What cells were asked to hold.

    Returns
    -------
    report : Report

    Notes
    -----
    O(n log n) for the radii, and one pass over the features.

    Examples
    --------
    >>> import numpy as np
    >>> from geocells.quality import report
    >>> coords, labels = np.array([[47.0, 8.0], [47.0, 8.1]]), np.array([0, 0])
    >>> measured = report(coords, labels, np.array([[47.0, 8.0]]))
    >>> measured.oracle(1), measured.oracle(25)
    (0.5, 1.0)
    """
    n_images, n_cells = len(coords), len(locations)
    placed = labels >= 0
    distances = np.full(n_images, np.inf)
    distances[placed] = haversine(coords[placed], locations[labels[placed]])
    images_per_cell = np.bincount(labels[placed], minlength=n_cells).astype(np.int64)
    n_short = None
    if min_images is not None:
        short = (images_per_cell if counts is None else counts) < min_images
        n_short = int(images_per_cell[short].sum())
    moments = moments_of_images(coords, feats, labels, n_cells, progress=True)
    return Report(
        n_images,
        n_images - int(placed.sum()),
        min_images,
        images_per_cell,
        n_short,
        distances,
        _by_cell(distances, labels, n_cells, 0.9),
        moments.m2,
        "km²" if feats is None else "features²",
    )


def gini(counts: IntArray) -> float:
    """Gini coefficient of non-negative counts.

    Notes
    -----
    ``G = sum_i (2 i - n - 1) x_i / (n sum_i x_i)`` over the counts in ascending order, i from 1: half the mean
    difference of two cells, relative to the mean. NaN for no images.

    Examples
    --------
    >>> import numpy as np
    >>> from geocells.quality import gini
    >>> gini(np.array([5, 5, 5])), gini(np.array([0, 0, 9]))
    (0.0, 0.6666666666666666)
    """
    ordered = np.sort(counts).astype(np.float64)
    n, total = len(ordered), float(ordered.sum())
    if total == 0:
        return float("nan")
    return float(((2 * np.arange(1, n + 1) - n - 1) * ordered).sum() / (n * total))


def _by_cell(distances: FloatArray, labels: IntArray, n_cells: int, share: float) -> FloatArray:
    """Least distance within which at least ``share`` of each cell's images lie."""
    order = np.lexsort((distances, labels))
    edges = np.searchsorted(labels[order], np.arange(n_cells + 1))
    counts = np.diff(edges)
    radii = np.full(n_cells, np.nan)
    has = counts > 0
    # Rounding must not make a rank of 9.000000000000002 the tenth.
    rank = np.ceil(share * counts[has] - 1e-9).astype(np.int64) - 1
    radii[has] = distances[order[edges[:-1][has] + rank]]
    return radii


def _quantile(values: Any, share: float) -> float:
    return float(np.quantile(values, share)) if len(values) else float("nan")


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")


def _number(value: float) -> str:
    """Whole numbers whole, others to three figures at least."""
    if not np.isfinite(value):
        return "-"
    if value == round(value) or abs(value) >= 1e4:
        return f"{value:.0f}"
    return f"{value:.3g}" if abs(value) < 1 else f"{value:.2f}"
