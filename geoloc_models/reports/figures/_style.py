"""Colours and lines that readers with any colour vision tell apart."""

from __future__ import annotations

from typing import Any

OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">")
QUIET = "#666666"
GRID: dict[str, Any] = {"color": "#e0e0e0", "linewidth": 0.6}


def line_style(index: int) -> dict[str, Any]:
    """Colour, dashes and marker of a line; the first 30 differ in colour and in one of the others.

    The colours are Okabe and Ito's.
    """
    n_colours = len(OKABE_ITO)
    return {
        "color": OKABE_ITO[index % n_colours],
        "linestyle": DASHES[(index + index // n_colours) % len(DASHES)],
        "marker": MARKERS[index % len(MARKERS)],
    }
