"""Split a table of photos, and look for what leaks from one part into another."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from geoloc_models._errors import GeolocError
from geoloc_models.cli._typer import app, one_sentence_errors

if TYPE_CHECKING:
    import pandas as pd

    from geoloc_models.tables.leakage import LeakageReport
    from geoloc_models.tables.split_file import SplitReport

_MOST_COUNTRIES = 15
_MOST_EXAMPLES = 3
_FAR_OFF = 0.25  # of the share asked for


class Unit(StrEnum):
    """What a split never tears apart."""

    ID = "id"
    USER = "user"
    PLACE = "place"


@app.command()
@one_sentence_errors
def split(
    table: Annotated[
        Path, typer.Argument(help="Parquet, CSV or TSV: a row per photo, with its id.")
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Parquet file to write; may be the table itself.")
    ] = Path("split.parquet"),
    by: Annotated[
        Unit,
        typer.Option(
            help="What stays on one side: a photo (id), all photos of a user, or of a block of the "
            "earth's surface (place)."
        ),
    ] = Unit.ID,
    block_km: Annotated[
        float, typer.Option(help="With --by place: side of a block, in kilometres.")
    ] = 1.0,
    fractions: Annotated[
        str, typer.Option(help="Shares of training, validation and test.")
    ] = "0.8,0.1,0.1",
    exchangeable: Annotated[
        bool,
        typer.Option(
            "--exchangeable",
            help="With --by user or place: deal the photos of users or places that are not "
            "trained on out to validation and test one by one, so that a radius calibrated on "
            "the one holds on the other.",
        ),
    ] = False,
    subsets: Annotated[
        str, typer.Option(help="Sizes of the nested training subsets to show; `none` for none.")
    ] = "1000,10000,20000,100000",
    seed: Annotated[int, typer.Option(help="Another seed gives another split.")] = 0,
) -> None:
    """Give each photo a part (train, validation, test) and a place in the nested subsets.

    The part depends on the seed and the photo's own id, user or place alone: it stays when photos
    are added. The subset of the n first training photos is rank < n.
    """
    from geoloc_models.tables.split_file import split_photo_file

    shares = _numbers(fractions, "--fractions", float)
    if len(shares) != 3:
        raise GeolocError(
            f"--fractions needs three numbers such as 0.8,0.1,0.1; got {fractions!r}."
        )
    sizes = [] if subsets.strip() == "none" else _numbers(subsets, "--subsets", int)
    report = split_photo_file(
        table,
        output,
        by=by.value,
        block_km=block_km,
        fractions=(shares[0], shares[1], shares[2]),
        exchangeable=exchangeable,
        subsets=[int(size) for size in sizes],
        seed=seed,
    )
    _tell_split(report, by, shares)
    typer.echo(f"\nWritten to {output}.")


def _tell_split(report: SplitReport, by: Unit, shares: list[float]) -> None:
    if report.key == "path":
        typer.echo("There are no ids: photos are told apart by their paths.")
    unit = {"id": "photo", "user": "user", "place": "place"}[by]
    typer.echo(f"{report.n_rows:,} photos, split by {unit}:\n")
    typer.echo(_table_text(report.parts, shares=True))
    off = [
        name
        for name, share in zip(report.parts.columns, shares, strict=True)
        if abs(report.parts[name].sum() / report.n_rows - share) > _FAR_OFF * share
    ]
    if off:
        typer.echo(
            f"\nFar from the shares asked for: {', '.join(off)}. "
            + (
                "There are too few photos for chance to even out."
                if by is Unit.ID
                else f"Some {unit}s hold many photos, or there are few of them; try another seed."
            )
        )
    if report.n_without_user:
        typer.echo(f"\n{report.n_without_user:,} photos without a user stand for themselves.")
    if len(report.subsets.columns):
        typer.echo("\nNested subsets of the training part:\n")
        typer.echo(_table_text(report.subsets))
    n_train = int(report.parts["train"].sum())
    if report.too_large:
        sizes = ", ".join(f"{size:,}" for size in report.too_large)
        typer.echo(
            f"\nSubsets larger than the training part ({n_train:,} photos), for which the whole "
            f"part must do: {sizes}."
        )


def _table_text(counts: pd.DataFrame, *, shares: bool = False) -> str:
    """Counts per country (rows, the most frequent first) as aligned text with a line of sums."""
    total = counts.sum()
    lines = [["", *(f"{c:,}" if isinstance(c, int) else str(c) for c in counts.columns)]]
    lines.append(["all", *(f"{value:,}" for value in total)])
    if shares:
        lines.append(["", *(f"{value / max(total.sum(), 1):.2%}" for value in total)])
    if len(counts) > 1 or str(counts.index[0]) != "all":
        shown = counts.iloc[:_MOST_COUNTRIES]
        lines += [
            [str(name), *(f"{v:,}" for v in row)]
            for name, row in zip(shown.index, shown.to_numpy(), strict=True)
        ]
        rest = counts.iloc[_MOST_COUNTRIES:]
        if len(rest):
            lines.append([f"{len(rest)} others", *(f"{value:,}" for value in rest.sum())])
    widths = [max(len(line[k]) for line in lines) for k in range(len(lines[0]))]
    return "\n".join(
        "  ".join(
            text.ljust(width) if k == 0 else text.rjust(width)
            for k, (text, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def _numbers(text: str, option: str, kind: type[float] | type[int]) -> list[float]:
    try:
        return [kind(word.replace("_", "")) for word in text.split(",")]
    except ValueError:
        whole = "whole numbers" if kind is int else "numbers"
        raise GeolocError(f"{option} needs {whole} with commas between; got {text!r}.") from None


@app.command()
@one_sentence_errors
def leakage(
    table: Annotated[Path, typer.Argument(help="Table with the column part, from geoloc split.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help="Parquet file of the photos found.",
            show_default="leakage.parquet beside the table",
        ),
    ] = None,
    images: Annotated[
        bool, typer.Option("--images/--no-images", help="Whether to read and compare the images.")
    ] = True,
    images_root: Annotated[
        Path | None,
        typer.Option(
            help="Folder that relative image paths start from.", show_default="the table's own"
        ),
    ] = None,
    max_distance: Annotated[
        int,
        typer.Option(
            help="Bits, of 64, that the hashes of near duplicates may differ in: 0 to 12."
        ),
    ] = 6,
    workers: Annotated[
        int | None,
        typer.Option(help="Threads that read images.", show_default="one per processor", min=1),
    ] = None,
) -> None:
    """Look for photos that have a twin in another part.

    A twin is an image of the same pixels, one that looks nearly the same, a photo of the same
    coordinate, or of the same user.
    """
    from geoloc_models.tables.leakage import find_leakage

    report = find_leakage(
        table,
        images=images,
        images_root=images_root,
        max_distance=max_distance,
        n_workers=workers,
    )
    path = table.parent / "leakage.parquet" if output is None else output
    report.save(path)
    _tell_leakage(report)
    typer.echo(f"\nAll are listed in {path}.")


def _tell_leakage(report: LeakageReport) -> None:
    n_photos = report.n_photos
    typer.echo(", ".join(f"{n:,} {name}" for name, n in n_photos.items()) + " photos.")
    if report.n_images:
        typer.echo(
            f"{report.n_images:,} images read; {report.n_broken:,} are broken"
            + (f" (first: {report.broken[0]})" if report.broken else "")
            + f"; {report.n_flat:,} are flat (about one colour) and compared by exact pixels only."
        )
    sides = [("validation", "train"), ("test", "train"), ("test", "validation")]
    for reason in report.reasons:
        typer.echo(f"\n{reason.capitalize()}")
        for part, other_part in sides:
            count = report.count(reason, part, other_part)
            share = f" ({count / n_photos[part]:.2%})" if n_photos[part] else ""
            typer.echo(f"  {part} photos with one in {other_part}: {count:,}{share}")
            here = report.pairs[
                (report.pairs["reason"] == reason)
                & (report.pairs["part"] == part)
                & (report.pairs["other_part"] == other_part)
            ]
            for pair in here.head(_MOST_EXAMPLES).to_dict("records"):
                left, right = pair.get("id", pair["row"]), pair.get("other_id", pair["other_row"])
                bits = f", {pair['distance']} bits apart" if reason == "near duplicate" else ""
                typer.echo(f"    {left} and {right}{bits}")
