"""``geocells build``."""

from __future__ import annotations

import inspect
import re
from dataclasses import asdict, dataclass, field, make_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Group, Parameter
from docstring_parser import parse

from geocells import CellBuilder, CellPartition
from geocells.builder import usual_min_images
from geocells.cells.io import SUFFIXES
from geocells.cli.common import (
    CLUSTER,
    GroupedTableOptions,
    busy,
    check_output,
    cluster,
    read_features,
    read_photos,
)
from geocells.errors import refuse_rows
from geocells.files import replacing
from geocells.fitting import Options
from geocells.output import echo, without_formulas
from geocells.tables import TableError, numbers
from geocells.tables.writer import table_suffix

_OUTPUTS = (*SUFFIXES, ".csv")
_HOW_CELLS_ARE_MADE = Group("How cells are made", sort_key=2)


def _option_type(annotation: Any, documented: str) -> Any:
    """Type of an option: one of the words that the docstring lists, or what the signature says."""
    words = re.findall(r'"(\w+)"', documented)
    choices = words or [
        int(number) for number in re.findall(r"\b\d+\b", documented.partition("}")[0])
    ]
    if choices and (words or documented.startswith("{")):
        return Literal[tuple(choices)]
    return annotation


def _builder_options() -> type:
    """The parameters of :class:`CellBuilder` as a dataclass; it alone declares and documents them."""
    documented = {p.arg_name: p for p in parse(CellBuilder.__doc__ or "").params}
    signature = inspect.signature(CellBuilder, eval_str=True)
    annotated: Any = Annotated
    fields: list[Any] = []
    for name, parameter in signature.parameters.items():
        if name == "bounds":  # polygons of one's own are for the library
            continue
        entry = documented[name]
        hint, default, text = parameter.annotation, parameter.default, entry.description
        if name == "min_images":
            hint, default = int | None, None
            text = f"{text} Default: a hundredth of the photos, from 10 to 200."
        option = Parameter(help=text)
        hint = annotated[_option_type(hint, entry.type_name or ""), option]
        fields.append((name, hint, field(default=default)))
    made = make_dataclass("BuilderOptions", fields, frozen=True)
    made.__module__ = __name__  # cyclopts takes a class of the module `types` for a built-in one
    return Parameter(name="*", group=_HOW_CELLS_ARE_MADE)(made)


if TYPE_CHECKING:

    @dataclass(frozen=True)
    class BuilderOptions:
        """What :func:`_builder_options` makes."""
else:
    BuilderOptions = _builder_options()


def build(
    photos: str,
    /,
    *,
    output: Annotated[Path, Parameter(alias="-o")] = Path("cells.parquet"),
    features: Path | None = None,
    weight_column: str | None = None,
    table: GroupedTableOptions = GroupedTableOptions(),  # noqa: B008  (frozen)
    cells: BuilderOptions = BuilderOptions(),  # noqa: B008
    dask: Annotated[str | None, Parameter(group=CLUSTER)] = None,
    feature_column: Annotated[list[str] | None, Parameter(group=CLUSTER)] = None,
) -> None:
    """Build cells from a table of photos.

    Parameters
    ----------
    photos : str
        CSV, TSV, JSON lines (.gz, .bz2, .xz, .zst, .zip too), Parquet or GeoJSON: one row per photo, with latitude
        and longitude. With --dask: folder, glob or URL of a Parquet dataset (s3://bucket/photos/*.parquet).
    output : Path
        Cells file to write: .parquet, .geojson, .gpkg or .fgb, which the other commands read, or .csv without
        outlines.
    features : Path, optional
        Image features that rank hot spots, one row per photo (.npy). Default: the coordinates.
    weight_column : str, optional
        Column with the number of photos that a row stands for.
    dask : str, optional
        Address of a Dask scheduler (tcp://host:8786), or local: worker processes on this machine.
    feature_column : list of str, optional
        With --dask: the column of image features (lists), or several columns of numbers.
    """
    check_output(output, _OUTPUTS, photos, features)
    given = {name: value for name, value in asdict(cells).items() if value is not None}
    builder = CellBuilder(**given)
    Options.from_builder(builder)  # before a long table is read
    if dask is not None and features is not None:
        raise ValueError(
            "--features is a file for one machine; with --dask name a column of the dataset by --feature-column."
        )
    if dask is None and feature_column:
        raise ValueError(
            "--feature-column belongs to --dask; name a file of features by --features."
        )
    chooses = "min_images" not in given
    if dask is None:
        path = Path(photos)
        partition, n_rows, unassigned, note = _fit_here(
            builder, path, table, weight_column, features, chooses=chooses
        )
    else:
        partition, n_rows = _fit_on_cluster(
            builder, photos, dask, table, weight_column, feature_column, chooses=chooses
        )
        unassigned, note = 0, ""
    with busy("writing cells"), replacing(output) as draft:
        _write_cells(partition, draft)
    counts = partition.counts
    span = f"{int(counts.min())} to {int(counts.max())}" if len(counts) else "none"
    left = f"; {unassigned} photos belong to none" if unassigned else ""
    n_cells = f"{partition.n_cells} cell{'s' if partition.n_cells != 1 else ''}"
    chosen = f"\nOf {builder.min_images} photos at least." if chooses else ""
    echo(f"{n_cells} of {n_rows} photos, {span} a cell{left}: {output}{chosen}{note}")


def _fit_here(
    builder: CellBuilder,
    path: Path,
    table: GroupedTableOptions,
    weight_column: str | None,
    features: Path | None,
    *,
    chooses: bool,
) -> tuple[CellPartition, int, int, str]:
    """Cells, photos, photos without a cell, and which columns were read."""
    read = read_photos(path, table, others=[weight_column])
    n_rows = len(read.coords)
    feats = None if features is None else read_features(features, n_rows, path)
    weights = None
    if weight_column is not None:
        column = read.table[weight_column]
        weights, missing, wrong = numbers(column)
        refuse_rows(
            missing | wrong,
            f"Column {weight_column!r} must hold numbers of photos",
            "do not",
            lambda row: repr(column[row].as_py()),
            "Correct or remove these rows.",
            where=path.name,
            first_row=1,
            error=TableError,
        )
    if chooses:
        n_images = n_rows if weights is None else int(weights.sum())
        builder.set_params(min_images=usual_min_images(n_images))
    with busy("building cells"):
        builder.fit(read.coords, feats, groups=read.groups, sample_weight=weights)
    return builder.cells_, n_rows, int((builder.labels_ < 0).sum()), f"\n{read.note}"


def _fit_on_cluster(
    builder: CellBuilder,
    photos: str,
    scheduler: str,
    table: GroupedTableOptions,
    weight_column: str | None,
    feature_columns: list[str] | None,
    *,
    chooses: bool,
) -> tuple[CellPartition, int]:
    """Cells and photos."""
    from geocells import dask as over_dask

    names: Any = feature_columns or None
    with cluster(scheduler), busy("building cells"):
        if chooses:
            rows = over_dask.open_collection(photos)
            n_images = (
                len(rows) if weight_column is None else int(rows[weight_column].sum().compute())
            )
            builder.set_params(min_images=usual_min_images(n_images))
        result = over_dask.fit(
            builder,
            photos,
            names[0] if names and len(names) == 1 else names,
            table.group_column,
            weight_column,
            latitude_column=table.latitude_column,
            longitude_column=table.longitude_column,
        )
    return result.cells, result.n_rows


def _write_cells(cells: CellPartition, draft: Path) -> None:
    if table_suffix(draft) == ".csv":
        without_formulas(cells.to_geodataframe().drop(columns="geometry")).to_csv(draft)
    else:
        cells.save(draft)
