"""The paper's Table 1, and differences between models, as text and as cells of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from geoloc_models.evaluation import Evaluation, Interval

MODEL_TITLES = {
    "country": "Country (baseline)",
    "offset": "Regression, multi-task",
    "offset_single": "Regression, single-task",
    "cells_top_down": "Cells, top-down",
    "cells_consolidated": "Cells, consolidated",
    "cells_bottom_up": "Cells, bottom-up",
    "hierarchy": "Cells, hierarchical",
    "refined": "Cells with prototypes",
    "retrieval_mlp": "Retrieval, MLP",
    "retrieval_rff": "Retrieval, RFF",
    "nearest": "Nearest images",
    "cells_consolidated_pretrained": "Cells, consolidated, ImageNet",
    "cells_bottom_up_pretrained": "Cells, bottom-up, ImageNet",
    "cells_heat_map": "Bottom-up by heat map alone",
    "cells_by_coordinates": "Bottom-up by coordinates",
    "cells_smoothed": "Bottom-up, smoothed labels",
    "retrieval_vanilla": "Retrieval without contrast",
    "retrieval_queue": "Retrieval, RFF, queue",
    "retrieval_sigmas_geoclip": "Retrieval, sigmas 1, 16, 256",
    "retrieval_sigma_1": "Retrieval, sigma 1",
    "augment_none": "Pixels, no augmentation",
    "augment_crop": "Pixels, crops and mirrors",
    "augment_simclr": "Pixels, SimCLR",
}


class Table(NamedTuple):
    """Cells of a table as plain text.

    Parameters
    ----------
    header : list of str
        A title per column; the first column names the rows.
    rows : list of list of str
        As long as the header each.
    """

    header: list[str]
    rows: list[list[str]]


def model_title(name: str) -> str:
    """Return the name of a model for readers."""
    if name.startswith("offset_alpha_"):
        return f"Regression, alpha {name.removeprefix('offset_alpha_')}"
    if name.startswith("retrieval_m_"):
        return f"Retrieval, RFF, M {name.removeprefix('retrieval_m_')}"
    return MODEL_TITLES.get(name, name)


def results_table(
    evaluations: Mapping[str, Evaluation], references: Mapping[str, float] | None = None
) -> Table:
    """Table 1 of the paper with one row a model, each figure followed by its interval.

    Parameters
    ----------
    evaluations : mapping of str to Evaluation
        By model name.
    references : mapping of str to float, optional
        ``majority_country`` in percent and ``centre_median_km``, as two more rows.

    Returns
    -------
    Table
        Country, the radii of all models, median distance, GeoScore, n; and the number of runs
        where one has more than one.
    """
    columns = _Columns(evaluations)
    rows = [
        [
            model_title(name),
            *(
                f"{_value(figure, column)} {_span(figure, column)}".strip()
                for column, figure in columns.figures(evaluation)
            ),
            *columns.sizes(evaluation),
        ]
        for name, evaluation in evaluations.items()
    ]
    return Table(columns.header, [*rows, *columns.reference_rows(references)])


def table_text(
    evaluations: Mapping[str, Evaluation], references: Mapping[str, float] | None = None
) -> str:
    """Lay out evaluations like Table 1 of the paper.

    Parameters
    ----------
    evaluations : mapping of str to Evaluation
        By model name.
    references : mapping of str to float, optional
        ``majority_country`` in percent and ``centre_median_km``, as two more rows.

    Returns
    -------
    str
        Lines without a newline at the end. Under each row stand its intervals.
    """
    if not evaluations:
        return "No model has been evaluated."
    columns = _Columns(evaluations)
    rows: list[list[str]] = []
    for name, evaluation in evaluations.items():
        figures = columns.figures(evaluation)
        sizes = columns.sizes(evaluation)
        rows.append([model_title(name), *(_value(f, column) for column, f in figures), *sizes])
        rows.append(["", *(_span(f, column) for column, f in figures), *("" for _ in sizes)])
    rows += columns.reference_rows(references)
    header = columns.header
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    rule = "  ".join("-" * width for width in widths)
    return "\n".join(
        [
            _line(header, widths),
            rule,
            *(_line(row, widths) for row in rows),
            rule,
            *_notes(evaluations),
        ]
    )


def table_note(evaluations: Mapping[str, Evaluation]) -> str:
    """What the figures and intervals of a table mean, as one paragraph."""
    return " ".join(_notes(evaluations)) if evaluations else "No model has been evaluated."


def differences_table(differences: Mapping[str, Mapping[str, Interval]]) -> Table:
    """Differences between models, a row each.

    Parameters
    ----------
    differences : mapping of str to mapping of str to Interval
        What :func:`geoloc_models.evaluation.compare` found, by a name for the row.

    Returns
    -------
    Table
        Signed figures with their intervals; a star marks those that leave out 0.
    """
    names = list(dict.fromkeys(name for found in differences.values() for name in found))
    rows = [
        [title, *(_signed(found[name], name) if name in found else "" for name in names)]
        for title, found in differences.items()
    ]
    return Table(["Difference", *(_column_title(name) for name in names)], rows)


class _Columns:
    """Columns that hold all figures of some models."""

    def __init__(self, evaluations: Mapping[str, Evaluation]) -> None:
        radii = sorted({radius for each in evaluations.values() for radius in each.within_km})
        self.names = ["country", *(f"{radius:g} km" for radius in radii), "median_km", "geoscore"]
        self.has_runs = any(each.n_runs > 1 for each in evaluations.values())
        titles = [_column_title(name) for name in self.names]
        self.header = ["Model", *titles, "n", *(["Runs"] if self.has_runs else [])]

    def figures(self, evaluation: Evaluation) -> list[tuple[str, Interval | None]]:
        """Figure of each column; None where the model was not asked for it."""
        figures = evaluation.figures()
        return [(name, figures.get(name)) for name in self.names]

    def sizes(self, evaluation: Evaluation) -> list[str]:
        """Numbers of test images and of runs."""
        return [str(evaluation.n_test), *([str(evaluation.n_runs)] if self.has_runs else [])]

    def reference_rows(self, references: Mapping[str, float] | None) -> list[list[str]]:
        """Rows of the guesses that never look at the image."""
        if references is None:
            return []
        largest = ["Always the largest country", *("" for _ in self.header[1:])]
        centre = ["Always the training centre", *("" for _ in self.header[1:])]
        largest[1 + self.names.index("country")] = f"{references['majority_country']:.1f}"
        centre[1 + self.names.index("median_km")] = _number(
            references["centre_median_km"], "median_km"
        )
        return [largest, centre]


def _notes(evaluations: Mapping[str, Evaluation]) -> list[str]:
    sizes = {evaluation.n_test for evaluation in evaluations.values()}
    tested = f"{sizes.pop()} test images." if len(sizes) == 1 else "n: test images."
    have_runs = [evaluation.n_runs > 1 for evaluation in evaluations.values()]
    if not any(have_runs):
        over = "bootstrap 95 % intervals over the test images."
    elif all(have_runs):
        over = "95 % t-intervals over runs that differ by their seed."
    else:
        over = "95 % intervals: over seeds (t) where there are several runs, else over test images."
    return [
        f"{tested} Share of images in the right country, and at most so far from the truth;",
        "GeoScore: mean of 5000 exp(-d / 1492.7 km), 5000 is perfect;",
        f"in brackets, {over}",
    ]


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [row[0].ljust(widths[0])]
    cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
    return "  ".join(cells).rstrip()


def _column_title(name: str) -> str:
    titles = {"country": "Country %", "median_km": "Median km", "geoscore": "GeoScore"}
    return titles.get(name, f"{name} %")


def _number(value: float, column: str) -> str:
    """Format a figure: no more digits than it has meaning."""
    is_whole = column == "geoscore" or (column == "median_km" and abs(value) >= 100)
    return f"{value:.0f}" if is_whole else f"{value:.1f}"


def _value(figure: Interval | None, column: str) -> str:
    return "" if figure is None else _number(figure.value, column)


def _span(figure: Interval | None, column: str) -> str:
    if figure is None or not np.isfinite(figure.bounds).all():
        return ""
    return f"[{_number(figure.low, column)}, {_number(figure.high, column)}]"


def _signed(figure: Interval, column: str) -> str:
    value = _number(figure.value, column)
    plus = "+" if figure.value > 0 else ""
    leaves_out_zero = figure.low > 0 or figure.high < 0
    return f"{plus}{value} {_span(figure, column)}{' *' if leaves_out_zero else ''}".strip()
