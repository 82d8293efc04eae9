"""Split a table of photos, and look for what leaks from one part into another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from geocells.output import echo
from geoloc_models.tables.split_options import LeakageOptions, SplitOptions

if TYPE_CHECKING:
    import pandas as pd

    from geoloc_models.tables.leakage import LeakageReport
    from geoloc_models.tables.split_file import SplitReport

_MOST_COUNTRIES = 15
_MOST_EXAMPLES = 3
_MOST_NAMED = 5
_FAR_OFF = 0.25  # of the fraction
_FILLS = 0.25  # of a part


def split(
    table: Path,
    *,
    output: Annotated[Path, Parameter(alias="-o")] = Path("split.parquet"),
    options: Annotated[SplitOptions, Parameter(name="*")] = SplitOptions(),  # noqa: B008
    quoting: bool = True,
) -> None:
    """Divide photos into training, validation and test.

    A photo's part depends only on the seed and its own id, user or place: it stays when photos are
    added. The subset of n training photos is subset_rank < n.

    Parameters
    ----------
    table : Path
        A row per photo, with its id.
    output : Path
        Parquet file to write; may be the table itself.
    quoting : bool
        Whether double quotes enclose text. In files such as GBIF's they are plain characters.
    """
    from geocells.tables import columns_note
    from geoloc_models.tables.split_file import split_photo_file

    report = split_photo_file(table, output, options, quoting=quoting)
    echo(columns_note(report.columns))
    _print_split(report, options)
    echo(f"\nWritten to {output}.")


def _print_split(report: SplitReport, options: SplitOptions) -> None:
    if report.key == "path":
        echo("There are no ids: photos are identified by their paths.")
    unit = "photo" if options.by == "id" else options.by
    echo(f"{report.n_rows:,} photos, split by {unit}:\n")
    echo(_counts_text(report.parts, shares=True))
    counts = report.parts.sum()
    off = [
        name
        for name, share in zip(counts.index, options.fractions, strict=True)
        if abs(counts[name] / report.n_rows - share) > _FAR_OFF * share
    ]
    if off:
        reason = "There are too few photos for chance to even out."
        if options.by != "id":
            reason = f"Some {unit}s hold many photos, or there are few of them; try another seed."
        echo(f"\nFar from the fractions: {', '.join(off)}. {reason}")
    if report.trained_on:
        named = [f"{name} ({n:,} photos)" for name, n in report.trained_on.items()]
        more = f" and {len(named) - _MOST_NAMED} more" if len(named) > _MOST_NAMED else ""
        echo(
            f"\nMoved to training, as too large to hold out: {'; '.join(named[:_MOST_NAMED])}{more}."
        )
    for part, (name, n_photos) in report.fullest.items():
        if n_photos > _FILLS * counts[part] and not options.exchangeable:
            echo(f"\n{n_photos:,} of the {counts[part]:,} {part} photos are of one {unit}: {name}.")
    if report.n_without_user:
        echo(f"\n{report.n_without_user:,} photos without a {unit} are dealt out one by one.")
    if len(report.subsets.columns):
        echo(f"\nNested subsets of the training part:\n\n{_counts_text(report.subsets)}")
    if report.too_large and options.subsets != SplitOptions.subsets:  # that were asked for
        sizes = ", ".join(f"{size:,}" for size in report.too_large)
        echo(
            f"\nThe training part ({counts['train']:,} photos) is smaller than the subsets of "
            f"{sizes}; use all of it instead."
        )


def _counts_text(counts: pd.DataFrame, *, shares: bool = False) -> str:
    """Counts per country (rows, the most frequent first) as aligned text with a line of sums."""
    total = counts.sum()
    from geoloc_models.reports import Table, text_table

    header = ["", *(f"{c:,}" if isinstance(c, int) else str(c) for c in counts.columns)]
    lines = [["all", *(f"{value:,}" for value in total)]]
    if shares:
        lines.append(["", *(f"{value / max(total.sum(), 1):.2%}" for value in total)])
    if counts.index.tolist() != ["all"]:
        shown, rest = counts.iloc[:_MOST_COUNTRIES], counts.iloc[_MOST_COUNTRIES:]
        lines += [[str(name), *(f"{v:,}" for v in row)] for name, *row in shown.itertuples()]
        if len(rest):
            lines.append([f"{len(rest)} others", *(f"{value:,}" for value in rest.sum())])
    return text_table(Table(header, lines))


def leakage(
    table: Path,
    *,
    output: Annotated[Path | None, Parameter(alias="-o")] = None,
    options: Annotated[LeakageOptions, Parameter(name="*")] = LeakageOptions(),  # noqa: B008
) -> None:
    """Find photos that have a twin in another part.

    A twin is an image of the same pixels, one that looks nearly the same, a photo of the same
    coordinate, or of the same user.

    Parameters
    ----------
    table : Path
        Table with the column part, from `geoloc split`.
    output : Path, optional
        Parquet file of the pairs; by default leakage.parquet beside the table.
    """
    from geocells.tables import columns_note
    from geoloc_models.files import refuse_input
    from geoloc_models.tables.leakage import find_leakage

    path = table.parent / "leakage.parquet" if output is None else output
    refuse_input(path, table)
    report = find_leakage(table, options)
    report.save(path)
    echo(columns_note(report.columns))
    _print_leakage(report)
    echo(f"\nAll are listed in {path}.")


def _print_leakage(report: LeakageReport) -> None:
    n_photos = report.n_photos
    echo(", ".join(f"{n:,} {name}" for name, n in n_photos.items()) + " photos.")
    if report.n_images:
        first = f" (first: {report.broken[0]})" if report.broken else ""
        echo(
            f"{report.n_images:,} images read; {report.n_broken:,} are broken{first}; "
            f"{report.n_flat:,} are flat (about one colour) and compared by exact pixels only."
        )
    for reason in report.reasons:
        echo(f"\n{reason.capitalize()}")
        for part, other in (("validation", "train"), ("test", "train"), ("test", "validation")):
            pairs = report.select(reason, part, other)
            share = f" ({len(pairs) / n_photos[part]:.2%})" if n_photos[part] else ""
            echo(f"  {part} photos with one in {other}: {len(pairs):,}{share}")
            for pair in pairs.head(_MOST_EXAMPLES).to_dict("records"):
                left, right = pair.get("id", pair["row"]), pair.get("other_id", pair["other_row"])
                bits = f", {pair['distance']} bits apart" if reason == "near duplicate" else ""
                echo(f"    {left} and {right}{bits}")
    if report.exchangeable:
        echo("\nPairs of test and validation photos are expected with --exchangeable.")
