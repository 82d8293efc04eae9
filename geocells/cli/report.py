"""``geocells report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from geocells import load_cells
from geocells._files import replacing
from geocells._output import say, without_formulas
from geocells.cli._shared import TableOptions, busy, check_output, read_features, read_photos


def report(
    cells: Path,
    photos: Path,
    /,
    *,
    features: Path | None = None,
    output: Annotated[Path | None, Parameter(alias="-o")] = None,
    table: TableOptions = TableOptions(),  # noqa: B008  (frozen)
) -> None:
    """Measure cells on photos: how full, how wide, how far a perfect classifier would get.

    Parameters
    ----------
    cells : Path
        Cells that `geocells build` wrote, but no .csv.
    photos : Path
        Table of photos, as for `geocells build`.
    features : Path, optional
        Image features, one row per photo (.npy); by default the coordinates.
    output : Path, optional
        Also write the figures (.csv) or a picture of them (.png, .pdf, .svg).
    """
    if output is not None:
        check_output(output, (".csv", ".png", ".pdf", ".svg"))
    partition = load_cells(cells)
    read = read_photos(photos, table)
    feats = None if features is None else read_features(features, len(read.coords), photos)
    with busy("measuring cells"):
        result = partition.report(read.coords, feats, groups=read.groups)
    say(repr(result))
    say(read.note)
    if output is None:
        return
    with replacing(output) as draft:
        if output.suffix.lower() == ".csv":
            without_formulas(result.frame).to_csv(draft)
        else:
            axes: Any = result.plot()[0]
            axes.figure.savefig(draft, dpi=200)
    say(f"\nWritten: {output}")
