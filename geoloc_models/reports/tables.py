"""Results as tables: Table 1 and the paper's own, differences, calibration; as text and Markdown."""

from __future__ import annotations

import re
import shutil
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from geoloc_models.errors import GeolocError

if TYPE_CHECKING:
    from geoloc_models.evaluation import Evaluation
    from geoloc_models.evaluation.coverage import Coverage
    from geoloc_models.evaluation.scores import Interval
    from geoloc_models.inference.calibration_report import CalibrationReport, Region

MODEL_TITLES = {
    "pooled": "Pooled partitions",
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
    "pooled_pretrained": "Pooled partitions, ImageNet",
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


# What the paper printed, in percent of its own test set: country, then within 1, 25, 200, 750 km.
PAPER_RADII_KM = (1.0, 25.0, 200.0, 750.0)
PAPER_RESULTS: dict[str, tuple[float, ...]] = {
    "country": (77.0,),
    "offset": (78.1, 0.1, 4.8, 63.4, 77.2),
    "cells_top_down": (75.4, 14.8, 31.4, 61.8, 74.7),
    "cells_bottom_up": (75.9, 15.5, 31.8, 61.2, 75.0),
    "retrieval_mlp": (76.7, 0.1, 6.7, 53.3, 73.4),
    "retrieval_rff": (77.0, 15.1, 30.0, 61.9, 76.0),
}
PAPER_NOTE = (
    "Paper: its figures, of another data set (180 K photos of Sweden and Switzerland). Compare the "
    "order of the models, not the figures."
)
"""What the paper's figures in a table mean, as one paragraph."""

CALIBRATION_NOTE = (
    "The 90 % radius is calibrated by split conformal prediction on the validation images. In "
    "brackets: what an exact radius covers in 95 of 100 test sets (binomial), and in 95 of 100 draws "
    "of validation and test images (beta-binomial). Calibration error: of the likeliest class, before "
    "and after the temperature. Region: the smallest set of classes with so much probability."
)
"""What the figures of :func:`calibration_table` mean, as one paragraph."""

ABSTAINING_NOTE = (
    "Share of the surest answers that lie within 25 km. Risk: area under the curve of wrong answers by "
    "answers given. Promised: share of the photos that `geoloc predict --promise 25` answers, 90 % of "
    "them within 25 km; held: share of them that is."
)
"""What the figures of :func:`abstaining_table` mean, as one paragraph."""

_RADIUS_NOTE = (
    "Covers: share of the test photos within it; expected: of one that keeps its\n"
    "promise, in 95 of 100 draws."
)
# A bracket alone is a bracket; it makes a link only with what follows.
_SPECIAL = re.compile(r"([\\`*_<>|#~]|\](?=[\[(:]))")


@dataclass(frozen=True)
class Table:
    """Cells of a table as plain text.

    Parameters
    ----------
    header : sequence of str
        A title per column; the first column names the rows.
    rows : sequence of sequence of str
        As long as the header each.

    Examples
    --------
    >>> from geoloc_models.reports import Table, text_table
    >>> print(text_table(Table(("Model", "25 km"), [("Cells", "52")])))
    Model  25 km
    ------ -----
    Cells     52
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]

    def __post_init__(self) -> None:
        for number, row in enumerate(self.rows):
            if len(row) != len(self.header):
                raise GeolocError(
                    f"The table has {len(self.header)} columns, but its row {number} has {len(row)}."
                )

    def has_digits(self, column: int) -> bool:
        """Whether a column holds figures, and not words alone."""
        return any(re.search(r"\d", row[column]) for row in self.rows)


def model_title(name: str) -> str:
    """Return the name of a model for readers.

    Examples
    --------
    >>> from geoloc_models.reports import model_title
    >>> model_title("cells_bottom_up")
    'Cells, bottom-up'
    """
    if name.endswith("_plain"):
        return "  likeliest class"  # stands under its model
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

    Examples
    --------
    >>> import numpy as np
    >>> from geoloc_models.evaluation import Predictions, evaluate
    >>> from geoloc_models.reports import results_table
    >>> countries, truth = np.array(["CH"], dtype=object), np.array([[46.9, 7.4]])
    >>> answers = Predictions(truth, countries, None, np.arange(1))
    >>> results_table({"country": evaluate(answers, truth, countries)}).header[:2]
    ['Model', 'Country %']
    """
    names, header = _columns(evaluations)
    rows = []
    for model, evaluation in evaluations.items():
        figures = evaluation.figures()
        sizes = [str(evaluation.n_test), str(evaluation.n_runs)][: len(header) - len(names) - 1]
        cells = [_with_interval(figures.get(name), name) for name in names]
        rows.append([model_title(model), *cells, *sizes])
    return Table(header, [*rows, *_reference_rows(references, names, header)])


def table_text(
    evaluations: Mapping[str, Evaluation],
    references: Mapping[str, float] | None = None,
    calibration: Mapping[str, CalibrationReport | None] | None = None,
) -> str:
    """Lay out results for a terminal: one table of figures, and a small one of calibration.

    Parameters
    ----------
    evaluations : mapping of str to Evaluation
        By model name.
    references : mapping of str to float, optional
        As in :func:`results_table`.
    calibration : mapping of str to CalibrationReport or None, optional
        By model name.

    Returns
    -------
    str
        Lines without a newline at the end. Behind each figure stands half the width of its 95 %
        interval; figures and intervals in full are those of :func:`results_table`.

    Examples
    --------
    >>> import numpy as np
    >>> from geoloc_models.evaluation import Predictions, evaluate
    >>> from geoloc_models.reports import table_text
    >>> countries, truth = np.array(["CH"], dtype=object), np.array([[46.9, 7.4]])
    >>> answers = Predictions(truth, countries, None, np.arange(1))
    >>> print(table_text({"country": evaluate(answers, truth, countries)}).splitlines()[0])
    Model               Country    1 km   25 km  200 km  750 km  Median km
    """
    if not evaluations:
        return "No model has been evaluated."
    names, _ = _columns(evaluations)
    names = [name for name in names if name not in ("2500 km", "geoscore")]
    header = ["Model", *(_column_title(name).removesuffix(" %") for name in names)]
    figures = [evaluation.figures() for evaluation in evaluations.values()]
    columns = [_with_half_widths([each.get(name) for each in figures], name) for name in names]
    rows = [
        [model_title(model), *(column[number] for column in columns)]
        for number, model in enumerate(evaluations)
    ]
    rows += _reference_rows(references, names, header)
    parts = [text_table(Table(header, rows)), *_notes(evaluations, after="±")]
    radii = [
        [model_title(name), *_radius_cells(report)]
        for name, report in (calibration or {}).items()
        if report is not None
    ]
    if radii:
        header = ["90 % radius", "Covers", "Expected", "Median km"]
        parts += ["", text_table(Table(header, radii)), _RADIUS_NOTE]
    abstaining = abstaining_table(calibration or {})
    if abstaining.rows:
        parts += ["", text_table(abstaining), *textwrap.wrap(ABSTAINING_NOTE, 80)]
    return "\n".join(parts)


def text_table(table: Table, *, left: int = 1) -> str:
    """Lay out a table for a terminal, no wider than that.

    Parameters
    ----------
    table : Table
        What to lay out.
    left : int
        So many columns begin at one edge, and are folded where the terminal is narrow; the others
        end at one.

    Returns
    -------
    str
        Lines without a newline at the end; a terminal narrower than 80 columns gets 80.

    Examples
    --------
    >>> from geoloc_models.reports import Table, text_table
    >>> print(text_table(Table(("Model", "Country"), [("Cells", "CH")]), left=2))
    Model  Country
    ------ -------
    Cells  CH
    """
    import rich.table
    from rich.box import Box
    from rich.console import Console
    from rich.text import Text

    rule = Box("    \n" * 2 + " -  \n" + "    \n" * 5)
    grid = rich.table.Table(box=rule, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for number, title in enumerate(table.header):
        if number < left:
            grid.add_column(Text(title), overflow="fold")
        else:
            grid.add_column(Text(title), justify="right", no_wrap=True)
    for row in table.rows:
        grid.add_row(*map(Text, row))
    console = Console(width=max(80, shutil.get_terminal_size().columns), color_system=None)
    with console.capture() as capture:
        console.print(grid)
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


def table_note(evaluations: Mapping[str, Evaluation]) -> str:
    """What the figures and intervals of a table mean, as one paragraph.

    Examples
    --------
    >>> import numpy as np
    >>> from geoloc_models.evaluation import Predictions, evaluate
    >>> from geoloc_models.reports import table_note
    >>> countries, truth = np.array(["CH"], dtype=object), np.array([[46.9, 7.4]])
    >>> answers = Predictions(truth, countries, None, np.arange(1))
    >>> "bootstrap" in table_note({"country": evaluate(answers, truth, countries)})
    True
    """
    if not evaluations:
        return "No model has been evaluated."
    score = "GeoScore: mean of 5000 exp(-d / 1492.7 km), 5000 is perfect."
    return " ".join([*_notes(evaluations, after="In brackets"), score])


def differences_table(differences: Mapping[str, Mapping[str, Interval]]) -> Table:
    """Differences between models, a row each.

    Parameters
    ----------
    differences : mapping of str to mapping of str to Interval
        What :func:`geoloc_models.evaluation.compare` computed, by a name for the row.

    Returns
    -------
    Table
        Signed figures with their intervals; a star marks those that leave out 0.

    Examples
    --------
    >>> from geoloc_models.evaluation.scores import Interval
    >>> from geoloc_models.reports import differences_table
    >>> differences_table({"cells - country": {"25 km": Interval(30.0, 22.0, 38.0)}}).rows
    [['cells - country', '+30.0 [22.0, 38.0] *']]
    """
    names = list(dict.fromkeys(name for figures in differences.values() for name in figures))
    rows = [
        [title, *(_with_interval(figures.get(name), name, signed=True) for name in names)]
        for title, figures in differences.items()
    ]
    return Table(["Difference", *(_column_title(name) for name in names)], rows)


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
        The second column says whose figures a row holds. The paper's are of another data set,
        as `PAPER_NOTE` says.

    Examples
    --------
    >>> import numpy as np
    >>> from geoloc_models.evaluation import Predictions, evaluate
    >>> from geoloc_models.reports import comparison_table
    >>> countries, truth = np.array(["CH"], dtype=object), np.array([[46.9, 7.4]])
    >>> answers = Predictions(truth, countries, None, np.arange(1))
    >>> [row[1] for row in comparison_table({"country": evaluate(answers, truth, countries)}).rows][:2]
    ['this run', 'paper, other data']
    """
    rows = []
    for name in dict.fromkeys([*evaluations, *PAPER_RESULTS]):
        title = model_title(name)
        if name in evaluations:
            within_km = evaluations[name].within_km
            shares = [evaluations[name].country, *(within_km.get(r) for r in PAPER_RADII_KM)]
            cells = ["" if share is None else f"{share.value:.1f}" for share in shares]
            rows.append([title, "this run", *cells])
            title = ""
        if name in PAPER_RESULTS:
            printed = [f"{share:.1f}" for share in PAPER_RESULTS[name]]
            empty = [""] * (1 + len(PAPER_RADII_KM) - len(printed))
            rows.append([title, "paper, other data", *printed, *empty])
    radii = [f"{radius:g} km %" for radius in PAPER_RADII_KM]
    return Table(["Model", "Figures of", "Country %", *radii], rows)


def calibration_table(reports: Mapping[str, CalibrationReport | None]) -> Table:
    """Coverage, calibration error and credible regions, a row a model.

    Parameters
    ----------
    reports : mapping of str to CalibrationReport or None
        By model name; a model that was not calibrated has no row.

    Returns
    -------
    Table
        Cells of what a model does not have are empty.

    Examples
    --------
    >>> from geoloc_models.reports import calibration_table
    >>> calibration_table({"cells": None}).rows  # it was not calibrated
    []
    """
    header = [
        "Model",
        "decoder",
        "90 % radius holds %",
        "by both draws",
        "radius, median km",
        "temperature",
        "calibration error %",
        "50 % region holds %",
        "90 % region holds %",
        "classes of 90 % region, median",
        "n",
    ]
    rows = []
    for name, report in reports.items():
        if report is None:
            continue
        before, after = report.error_as_trained, report.error_calibrated
        error = ""
        if before is not None and after is not None:
            error = f"{100 * before:.1f} to {100 * after:.1f}"
        rows.append(
            [
                model_title(name),
                report.decoder.replace("_", " "),
                *_coverage_cells(report.coverage, report.chance),
                f"{report.temperature:.2f}" if after is not None else "",
                error,
                *_region_cells(report.regions),
                str(report.n_photos),
            ]
        )
    return Table(header, rows)


def abstaining_table(reports: Mapping[str, CalibrationReport | None]) -> Table:
    """Accuracy of the surest answers, a row a model.

    Parameters
    ----------
    reports : mapping of str to CalibrationReport or None
        By model name; one without a probability within 25 km has no row.

    Examples
    --------
    >>> from geoloc_models.reports import abstaining_table
    >>> abstaining_table({"cells": None}).rows
    []
    """
    header = ["Surest answers", "25 %", "50 %", "75 %", "all", "Risk", "Promised", "Held"]
    rows = []
    for name, report in reports.items():
        abstaining = None if report is None else report.abstaining
        if abstaining is not None:
            shares = [
                *abstaining.held,
                abstaining.risk_area,
                abstaining.promised,
                abstaining.promised_held,
            ]
            figures = ["" if share is None else f"{100 * share:.0f} %" for share in shares]
            rows.append([model_title(name), *figures])
    return Table(header, rows)


def markdown_table(table: Table) -> str:
    """Lay out a table in Markdown; the first column stands left, the others right.

    Returns
    -------
    str
        Lines of equal width, without a newline at the end.

    Examples
    --------
    >>> from geoloc_models.reports import Table, markdown_table
    >>> print(markdown_table(Table(("Model", "25 km"), [("Cells", "52")])))
    | Model | 25 km |
    | ----- | ----: |
    | Cells |    52 |
    """
    cells = [[escape_markdown(cell) for cell in row] for row in [table.header, *table.rows]]
    widths = [max(3, *(len(row[column]) for row in cells)) for column in range(len(table.header))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    rows = [cells[0], rule, *cells[1:]]
    return "\n".join(f"| {' | '.join(_aligned(row, widths))} |" for row in rows)


def escape_markdown(text: str) -> str:
    r"""Plain text as one line of Markdown that shows it as it is.

    Examples
    --------
    >>> print(escape_markdown("retrieval_rff | <b>"))
    retrieval\_rff \| \<b\>
    """
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def _columns(evaluations: Mapping[str, Evaluation]) -> tuple[list[str], list[str]]:
    """Names of the figures that some models have, and titles of all columns."""
    radii = sorted({radius for each in evaluations.values() for radius in each.within_km})
    names = ["country", *(f"{radius:g} km" for radius in radii), "median_km", "geoscore"]
    has_runs = any(each.n_runs > 1 for each in evaluations.values())
    titles = [_column_title(name) for name in names]
    return names, ["Model", *titles, "n", *(["Runs"] if has_runs else [])]


def _reference_rows(
    references: Mapping[str, float] | None, names: Sequence[str], header: Sequence[str]
) -> list[list[str]]:
    """Rows of the guesses that never look at the image."""
    if references is None:
        return []
    rows = []
    for title, name, key in (
        ("Guess: largest country", "country", "majority_country"),
        ("Guess: training centre", "median_km", "centre_median_km"),
    ):
        row = [title, *("" for _ in header[1:])]
        row[1 + names.index(name)] = _number(references[key], name)
        rows.append(row)
    return rows


def _notes(evaluations: Mapping[str, Evaluation], *, after: str) -> list[str]:
    sizes = {evaluation.n_test for evaluation in evaluations.values()}
    tested = f"{sizes.pop()} test photos" if len(sizes) == 1 else "Test photos"
    have_runs = [evaluation.n_runs > 1 for evaluation in evaluations.values()]
    if not any(have_runs):
        over = "bootstrap 95 % intervals over the test photos."
    elif all(have_runs):
        over = "95 % t-intervals over runs that differ by their seed."
    else:
        over = "95 % intervals: over seeds (t) where there are several runs, else over test photos."
    notes = [
        f"{tested}: percent in the right country, and so near the truth.",
        f"{after}: {over}",
    ]
    if any(name.endswith("_plain") for name in evaluations):
        notes.append(
            "Likeliest class: the same model answering with that class's place, as papers do."
        )
    return notes


def _aligned(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    """Cells of equal width: the first begins, the others end at one edge."""
    first = row[0].ljust(widths[0])
    return [first, *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]


def _column_title(name: str) -> str:
    titles = {"country": "Country %", "median_km": "Median km", "geoscore": "GeoScore"}
    return titles.get(name, f"{name} %")


def _number(value: float, column: str) -> str:
    """Format a figure: no more digits than it has meaning."""
    is_whole = column == "geoscore" or (column == "median_km" and abs(value) >= 100)
    return f"{value:.0f}" if is_whole else f"{value:.1f}"


def _with_interval(figure: Interval | None, column: str, *, signed: bool = False) -> str:
    """A figure and its interval; ``signed``, of a difference: a star where it leaves out 0."""
    if figure is None:
        return ""
    text = ("+" if signed and figure.value > 0 else "") + _number(figure.value, column)
    if np.isfinite(figure.bounds).all():
        text += f" [{_number(figure.low, column)}, {_number(figure.high, column)}]"
    return f"{text} *" if signed and (figure.low > 0 or figure.high < 0) else text


def _with_half_widths(figures: Sequence[Interval | None], column: str) -> list[str]:
    """Figures and half the width of each interval; decimals only where all intervals are narrow."""
    halves = [0.0 if each is None else (each.high - each.low) / 2 for each in figures]
    digits = 1 if 0 < max(halves) < 1 else 0
    return [
        ""
        if each is None
        else f"{each.value:.{digits}f} ±{half:.{digits}f}"
        if np.isfinite(half)
        else _number(each.value, column)
        for each, half in zip(figures, halves, strict=True)
    ]


def _radius_cells(report: CalibrationReport) -> list[str]:
    """Coverage of a 90 % radius, what was to be expected, and its median."""
    if report.coverage is None or report.chance is None:
        return ["too few photos", "", ""]
    low, high = (f"{100 * share:.0f}" for share in report.chance)
    held = f"{100 * report.coverage.held:.1f} %"
    return [held, f"{low} to {high} %", _median_radius(report.coverage)]


def _coverage_cells(coverage: Coverage | None, chance: tuple[float, float] | None) -> list[str]:
    if coverage is None or chance is None:
        return ["", "", ""]
    by_test, by_both = (
        f"[{100 * low:.1f}, {100 * high:.1f}]"
        for low, high in ((coverage.low, coverage.high), chance)
    )
    return [f"{100 * coverage.held:.1f} {by_test}", by_both, _median_radius(coverage)]


def _median_radius(coverage: Coverage) -> str:
    return f"{coverage.median_km:,.0f}" if np.isfinite(coverage.median_km) else "no bound"


def _region_cells(regions: tuple[Region, ...]) -> list[str]:
    if not regions:
        return ["", "", ""]
    shares = [f"{100 * region.held:.1f}" for region in regions]
    return [*shares, f"{regions[-1].median_classes:g}"]
