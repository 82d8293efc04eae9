"""``geocells report``."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from cyclopts import Parameter

from geocells import CellBuilder, CellPartition, load_cells
from geocells.cli.common import (
    GroupedTableOptions,
    ReadPhotos,
    busy,
    check_output,
    read_features,
    read_photos,
)
from geocells.errors import GeocellsWarning
from geocells.files import replacing
from geocells.output import echo, without_formulas
from geocells.quality import RADII_KM

if TYPE_CHECKING:
    import pandas as pd


def report(
    cells: Path,
    photos: Path,
    /,
    *,
    features: Path | None = None,
    min_images: str | None = None,
    output: Annotated[Path | None, Parameter(alias="-o")] = None,
    table: GroupedTableOptions = GroupedTableOptions(),  # noqa: B008  (frozen)
) -> None:
    """Measure cells on photos: images per cell, size, accuracy of a perfect classifier.

    Parameters
    ----------
    cells : Path
        File of `geocells build`, in any format but .csv.
    photos : Path
        Table of photos, as for `geocells build`.
    features : Path, optional
        Image features, one row per photo (.npy). Default: the coordinates.
    min_images : str, optional
        Numbers such as 5,10,20,50. Instead of a report: build cells of the same kind with each, and compare their
        number, size and oracle.
    output : Path, optional
        Also write the report (.csv) or a picture of it (.png, .pdf, .svg).
    """
    if output is not None:
        suffixes = (".csv",) if min_images else (".csv", ".png", ".pdf", ".svg")
        check_output(output, suffixes, cells, photos, features)
    partition = load_cells(cells)
    read = read_photos(photos, table)
    feats = None if features is None else read_features(features, len(read.coords), photos)
    with busy("measuring cells"):
        if min_images:
            frame = _curve(partition, min_images, read, feats)
            echo(frame.reset_index().round(1).to_string(index=False))
        else:
            result = partition.report(read.coords, feats, groups=read.groups)
            frame = result.frame
            echo(repr(result))
    echo(read.note)
    if output is None:
        return
    with replacing(output) as draft:
        if output.suffix.lower() == ".csv":
            without_formulas(frame).to_csv(draft)
        else:
            axes: Any = result.plot()[0]
            axes.figure.savefig(draft, dpi=200)
    echo(f"\nWritten: {output}")


def _curve(cells: CellPartition, min_images: str, photos: ReadPhotos, feats: Any) -> pd.DataFrame:
    """Number and size of cells, and how far a perfect classifier would get, a row each ``min_images``."""
    import pandas as pd

    if "min_images" not in cells.parameters:
        raise ValueError(
            "--min-images compares cells that were built by min_images; these were not."
        )
    try:
        numbers = sorted({int(number) for number in min_images.split(",")})
    except ValueError:
        raise ValueError(
            f"--min-images needs whole numbers, such as 5,10,20,50; got {min_images!r}."
        ) from None
    rows = {}
    for number in numbers:
        builder = CellBuilder(**{**cells.parameters, "min_images": number})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", GeocellsWarning)  # of few cells, which the table shows
            made = builder.fit(photos.coords, feats, groups=photos.groups).cells_
        report = made.report(photos.coords, feats, groups=photos.groups)
        oracle = {f"{km} km %": 100 * report.oracle(km) for km in RADII_KM[:4]}
        counts = np.percentile(made.counts, [0, 50, 100]).astype(int)
        sizes = dict(zip(("least", "median", "most"), counts.tolist(), strict=True))
        rows[number] = {"cells": made.n_cells, **sizes, **oracle}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("min_images")
