"""Choose photos from metadata."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from geocells.output import echo
from geoloc_models.tables.select_options import SelectOptions

if TYPE_CHECKING:
    from geoloc_models.tables.select import MetadataReport

_COUNTRIES_SHOWN = 20


def select(
    metadata: Annotated[list[Path], Parameter(name="METADATA")],
    /,
    *,
    output: Annotated[Path, Parameter(alias="-o")] = Path("photos.parquet"),
    options: Annotated[SelectOptions, Parameter(name="*")] = SelectOptions(),  # noqa: B008
) -> None:
    """Write the photos of some countries as one clean table.

    Bad rows (no coordinate, out of range, repeated id, truncated line, ...) are dropped and counted.

    Parameters
    ----------
    metadata : list of Path
        CSV, TSV, JSON lines (.gz, .bz2, .xz, .zst, .zip too), Parquet, GeoJSON, or folders of
        Parquet files, of any size.
    output : Path
        Parquet file to write.
    """
    from geocells.tables import columns_note
    from geoloc_models.tables.select import select_photos

    if options.countries is not None:
        names = [name.strip() for text in options.countries for name in text.split(",")]
        options = replace(options, countries=tuple(filter(None, names)))
    report = select_photos(metadata, output, options, progress=True)
    echo(_report_text(report, options.tolerance_km))
    echo(f"\n{columns_note(report.sources)}")
    echo(f"The table is {output}, with the columns {', '.join(report.columns)}.")


def _report_text(report: MetadataReport, tolerance_km: float) -> str:
    from geocells.tables import UNBALANCED

    width = len(f"{report.n_read:,}")
    lines = [f"{report.n_read:>{width},} rows read", f"{report.n_kept:>{width},} photos kept"]
    for reason, n_rows in report.dropped.items():
        example = report.examples.get(reason)
        shown = f" (first: {example})" if example else ""
        lines.append(f"{n_rows:>{width},} dropped: {reason}{shown}")
    if report.dropped.get("a place in no country") and tolerance_km == 0:
        lines.append("Photos just off a coast lie in no country; --tolerance-km 5 takes them in.")
    if report.dropped.get(UNBALANCED):
        lines.append(
            "Where quotes are plain characters, as in files of GBIF, --no-quoting keeps such rows."
        )
    lines.append("\nPhotos per country:")
    shown_countries = list(report.countries.items())[:_COUNTRIES_SHOWN]
    lines += [f"  {code:<4}{n_photos:>{width},}" for code, n_photos in shown_countries]
    others = list(report.countries.values())[_COUNTRIES_SHOWN:]
    if others:
        lines.append(f"  and {sum(others):,} in {len(others)} more")
    return "\n".join(lines)
