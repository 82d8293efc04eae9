"""Download the photos of a table."""

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from geocells.output import echo
from geocells.program import INTERRUPTED
from geoloc_models.download.download_options import DownloadOptions, State

_DEFAULTS = DownloadOptions()


def download(
    table: Path,
    *,
    output: Annotated[Path, Parameter(alias="-o")] = Path("images"),
    id_column: str | None = None,
    url_column: str | None = None,
    quoting: bool = True,
    options: Annotated[DownloadOptions, Parameter(name="*")] = _DEFAULTS,
) -> None:
    """Download the photos of a table; stop and resume at any time.

    Every photo gets a state in `ledger.parquet`: ok, gone, not_an_image, too_large, failed or
    refused. `photos.parquet` in the output folder holds the rows whose image is there.

    Parameters
    ----------
    table : Path
        CSV, TSV, JSON lines or Parquet: one row per photo, with id and URL.
    output : Path
        Folder for images, ledger.parquet and photos.parquet.
    id_column : str, optional
        Column of ids. Default: id, or another usual name.
    url_column : str, optional
        Column of URLs. Default: url, or another usual name.
    quoting : bool
        Whether double quotes enclose text. In files such as GBIF's they are plain characters.
    """
    from tqdm import tqdm

    from geoloc_models.download.job import download_photos

    # The bar shows on a terminal alone.
    with tqdm(unit=" photos", disable=None, dynamic_ncols=True) as bar:

        def show(n_done: int, n_in_all: int) -> None:
            bar.total = n_in_all
            bar.update(n_done - bar.n)

        try:
            summary = download_photos(
                table,
                output,
                options,
                id_column=id_column,
                url_column=url_column,
                quoting=quoting,
                progress=show,
            )
        except KeyboardInterrupt:
            bar.close()
            echo(
                "\nInterrupted; what was fetched is kept. The same command continues from here.",
                error=True,
            )
            sys.exit(INTERRUPTED)
    echo(summary.text())
    is_there = "The photos that are there" if summary.counts[State.OK] else "No photo is there"
    echo(f"\n{is_there}: {summary.table}")
