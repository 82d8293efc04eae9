"""The paper's Table 1 as text."""

from __future__ import annotations

from collections.abc import Mapping

from geoloc_models.evaluation import Evaluation, Interval

MODEL_TITLES = {
    "country": "Country (baseline)",
    "cells_top_down": "Cells, top-down",
    "cells_consolidated": "Cells, consolidated",
    "cells_bottom_up": "Cells, bottom-up",
}


def model_title(name: str) -> str:
    """Return the name of a model for readers."""
    return MODEL_TITLES.get(name, name)


def table_text(
    evaluations: Mapping[str, Evaluation], references: Mapping[str, float] | None = None
) -> str:
    """Lay out evaluations like Table 1 of the paper.

    Parameters
    ----------
    evaluations : mapping of str to Evaluation
        By model name; all on the same test images.
    references : mapping of str to float, optional
        ``majority_country`` in percent and ``centre_median_km``, as two more rows.

    Returns
    -------
    str
        Lines without a newline at the end. Under each row stand its bootstrap intervals.
    """
    if not evaluations:
        return "No model has been evaluated."
    first = next(iter(evaluations.values()))
    radii = list(first.within_km)
    header = ["Model", "Country %", *(f"{radius:g} km %" for radius in radii), "Median km"]
    rows: list[list[str]] = []
    for name, evaluation in evaluations.items():
        shares = [evaluation.country, *evaluation.within_km.values()]
        rows.append(
            [
                model_title(name),
                *(f"{share.value:.1f}" for share in shares),
                _km(evaluation.median_km.value),
            ]
        )
        rows.append(
            ["", *(_span(share) for share in shares), _span(evaluation.median_km, kilometres=True)]
        )
    if references is not None:
        blanks = [""] * len(radii)
        rows.append(
            [
                "Always the largest country",
                f"{references['majority_country']:.1f}",
                *blanks,
                "",
            ]
        )
        rows.append(
            ["Always the training centre", "", *blanks, _km(references["centre_median_km"])]
        )
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    rule = "  ".join("-" * width for width in widths)
    lines = [_line(header, widths), rule]
    lines += [_line(row, widths) for row in rows]
    lines += [
        rule,
        f"{first.n_test} test images. Share of images in the right country, and at most so far "
        "from the truth;",
        "in brackets, bootstrap 95 % intervals over the test images.",
    ]
    return "\n".join(lines)


def _line(row: list[str], widths: list[int]) -> str:
    cells = [row[0].ljust(widths[0])]
    cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
    return "  ".join(cells).rstrip()


def _km(value: float) -> str:
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"


def _span(figure: Interval, *, kilometres: bool = False) -> str:
    if kilometres:
        return f"[{_km(figure.low)}, {_km(figure.high)}]"
    return f"[{figure.low:.1f}, {figure.high:.1f}]"
