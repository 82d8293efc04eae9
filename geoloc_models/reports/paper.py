"""The figures that the paper printed, and ours beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from geoloc_models.evaluation import Evaluation
from geoloc_models.reports.markdown import markdown_table
from geoloc_models.reports.table import Table, model_title


@dataclass(frozen=True)
class PaperResult:
    """What the paper printed of a model, in percent of its own test set.

    Parameters
    ----------
    country : float
        Share in the right country.
    within_km : dict of float to float
        Share at most so many kilometres off; empty for the baseline, which names a country only.
    """

    country: float
    within_km: dict[float, float] = field(default_factory=dict)


PAPER_RADII_KM = (1.0, 25.0, 200.0, 750.0)


def _printed(country: float, *within: float) -> PaperResult:
    return PaperResult(country, dict(zip(PAPER_RADII_KM, within, strict=True)))


PAPER_RESULTS: dict[str, PaperResult] = {
    "country": PaperResult(77.0),
    "offset": _printed(78.1, 0.1, 4.8, 63.4, 77.2),
    "cells_top_down": _printed(75.4, 14.8, 31.4, 61.8, 74.7),
    "cells_bottom_up": _printed(75.9, 15.5, 31.8, 61.2, 75.0),
    "retrieval_mlp": _printed(76.7, 0.1, 6.7, 53.3, 73.4),
    "retrieval_rff": _printed(77.0, 15.1, 30.0, 61.9, 76.0),
}

PAPER_NOTE = (
    "Paper: the figures it printed, for another data set: 180 K photos of Sweden and Switzerland, "
    "and the test part of those. Two data sets differ in how hard they are, so a row of ours above "
    "or below the paper's says little; the order of the models within each says more."
)


def paper_table() -> Table:
    """The paper's own results.

    Returns
    -------
    Table
        Country and 1, 25, 200 and 750 km in percent; the test part of 180 K photos of Sweden and
        Switzerland. Cells of figures it does not print are empty.
    """
    rows = [[model_title(name), *_paper_figures(result)] for name, result in PAPER_RESULTS.items()]
    return Table(["Model", *_titles()], rows)


def comparison_table(evaluations: Mapping[str, Evaluation]) -> Table:
    """Our figures with the paper's own under them.

    Parameters
    ----------
    evaluations : mapping of str to Evaluation
        By model name. Models the paper does not have stand alone; those that only the paper has
        follow at the end.

    Returns
    -------
    Table
        The second column says whose figures a row holds.
    """
    rows = []
    for name in dict.fromkeys([*evaluations, *PAPER_RESULTS]):
        title = model_title(name)
        if name in evaluations:
            rows.append([title, "this run", *_our_figures(evaluations[name])])
            title = ""
        if name in PAPER_RESULTS:
            rows.append([title, "paper, other data", *_paper_figures(PAPER_RESULTS[name])])
    return Table(["Model", "Figures of", *_titles()], rows)


def comparison_markdown(evaluations: Mapping[str, Evaluation]) -> str:
    """Our figures with the paper's under them, and the note that the data are not the same."""
    return f"{markdown_table(comparison_table(evaluations))}\n\n{PAPER_NOTE}"


def _titles() -> list[str]:
    return ["Country %", *(f"{radius:g} km %" for radius in PAPER_RADII_KM)]


def _our_figures(evaluation: Evaluation) -> list[str]:
    shares = [evaluation.within_km.get(radius) for radius in PAPER_RADII_KM]
    return [
        f"{evaluation.country.value:.1f}",
        *("" if share is None else f"{share.value:.1f}" for share in shares),
    ]


def _paper_figures(result: PaperResult) -> list[str]:
    shares = [result.within_km.get(radius) for radius in PAPER_RADII_KM]
    return [
        f"{result.country:.1f}",
        *("" if share is None else f"{share:.1f}" for share in shares),
    ]
