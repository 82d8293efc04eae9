"""How much the number of training photos matters: the paper's Figure 8."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from geoloc_models.evaluation import Evaluation
from geoloc_models.reports.figures._style import GRID, line_style
from geoloc_models.reports.table import model_title


def accuracy_by_dataset_size(
    results: Mapping[str, Mapping[int, Evaluation]], *, radii_km: Sequence[float] = (25, 200)
) -> Figure:
    """Country and within-r accuracy against the number of training photos.

    Parameters
    ----------
    results : mapping of str to mapping of int to Evaluation
        By model name, then by number of training photos; all on the same test images.
    radii_km : sequence of float
        A panel each, after the one of the country; left out where no model has the radius.

    Returns
    -------
    Figure
        Lines with 95 % intervals where there are any; the numbers of photos on a logarithmic axis.
    """
    names = ["country", *(f"{float(radius):g} km" for radius in radii_km)]
    every = [each for by_size in results.values() for each in by_size.values()]
    names = [name for name in names if any(name in each.figures() for each in every)] or names[:1]
    sizes = sorted({size for by_size in results.values() for size in by_size})
    figure = Figure(figsize=(4.2 * len(names) + 0.6, 4.8), dpi=120, layout="constrained")
    axes = figure.subplots(1, len(names), squeeze=False)[0]
    spread = np.linspace(-1.0, 1.0, len(results)) * 0.02 if len(results) > 1 else [0.0]
    for axis, name in zip(axes, names, strict=True):
        for index, (model, by_size) in enumerate(results.items()):
            at = [size for size in sorted(by_size) if name in by_size[size].figures()]
            figures = [by_size[size].figures()[name] for size in at]
            values = np.array([each.value for each in figures])
            bounds = np.array([each.bounds for each in figures]).reshape(-1, 2)
            axis.errorbar(
                np.array(at) * 10 ** spread[index],  # bars side by side
                values,
                yerr=np.abs(bounds - values[:, None]).T,
                label=model_title(model),
                linewidth=1.8,
                elinewidth=1.0,
                capsize=3,
                markersize=6,
                **line_style(index),
            )
        axis.set_xscale("log")
        axis.set_xticks(sizes)
        axis.xaxis.set_minor_locator(NullLocator())
        axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _thousands(value)))
        axis.set_xlabel("Training photos (logarithmic)")
        axis.set_ylim(0, 102)  # lines at 100 stay whole
        axis.grid(**GRID)
        axis.set_title("Right country" if name == "country" else f"Within {name}")
    axes[0].set_ylabel("Test images (%)")
    handles, labels = axes[0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside lower center", ncols=min(len(results), 4))
    return figure


def _thousands(value: float) -> str:
    return f"{value / 1000:g} K" if value >= 1000 and value % 100 == 0 else f"{value:,.0f}"
