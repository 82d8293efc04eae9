"""``geocells map``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from geocells import load_cells
from geocells.cli.common import busy, check_output
from geocells.files import replacing
from geocells.output import echo


def map(
    cells: Path,
    /,
    *,
    output: Annotated[Path, Parameter(alias="-o")],
    color_by: Literal["cell", "count", "level", "group"] = "cell",
    locations: bool = True,
    max_cells: int = 10_000,
    limits: tuple[float, float] | None = None,
) -> None:
    """Draw cells.

    Parameters
    ----------
    cells : Path
        File of `geocells build`, in any format but .csv.
    output : Path
        A picture (.png, .pdf, .svg), or a map for a browser (.html).
    color_by : {"cell", "count", "level", "group"}
        What the colours show (group: in .html only).
    locations : bool
        Mark the points that cells answer with.
    max_cells : int
        Most cells that a map for a browser shows.
    limits : tuple of float, optional
        Lowest and highest count or level of the colour scale, to compare maps.
    """
    check_output(output, (".png", ".pdf", ".svg", ".html"))
    partition = load_cells(cells)
    options: dict[str, Any] = {"color_by": color_by, "locations": locations, "limits": limits}
    with busy("drawing cells"), replacing(output) as draft:
        if output.suffix.lower() == ".html":
            partition.explore(max_cells=max_cells, **options).save(str(draft))
        else:
            axes: Any = partition.plot(**options)
            axes.figure.savefig(draft, dpi=200)
    echo(f"{partition.n_cells} cells: {output}")
