"""Download the photos of a table."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from geoloc_models.cli._typer import INTERRUPTED, app, one_sentence_errors

FILES_PANEL = "Files"
POLITENESS_PANEL = "Politeness and patience"
SAFETY_PANEL = "Safety"


class Retry(StrEnum):
    """States whose photos can be tried again."""

    GONE = "gone"
    NOT_AN_IMAGE = "not_an_image"
    TOO_LARGE = "too_large"
    FAILED = "failed"
    REFUSED = "refused"


@app.command()
@one_sentence_errors
def download(
    table: Annotated[
        Path, typer.Argument(help="Parquet with a row per photo, and the columns id and url.")
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help="Folder for images, ledger.parquet and photos.parquet."
        ),
    ] = Path("images"),
    max_side: Annotated[
        int | None,
        typer.Option(
            help="Longest side of the stored images, in pixels.",
            rich_help_panel=FILES_PANEL,
            show_default="as they come",
        ),
    ] = None,
    quality: Annotated[
        int, typer.Option(help="JPEG quality, 1 to 95.", rich_help_panel=FILES_PANEL)
    ] = 90,
    keep_original: Annotated[
        bool,
        typer.Option(
            "--keep-original",
            help="Store the files as sent, with all their metadata, GPS positions included.",
            rich_help_panel=FILES_PANEL,
        ),
    ] = False,
    shards: Annotated[
        int | None,
        typer.Option(
            help="Store tar files (WebDataset) of so many photos each.",
            rich_help_panel=FILES_PANEL,
            show_default="a file per photo",
        ),
    ] = None,
    parallel: Annotated[
        int, typer.Option(help="Requests at a time.", rich_help_panel=POLITENESS_PANEL)
    ] = 64,
    per_host: Annotated[
        int, typer.Option(help="Requests at a time to one host.", rich_help_panel=POLITENESS_PANEL)
    ] = 8,
    rate: Annotated[
        float,
        typer.Option(
            help="Requests a second to one host; 0 sets no limit.",
            rich_help_panel=POLITENESS_PANEL,
        ),
    ] = 20.0,
    attempts: Annotated[
        int,
        typer.Option(
            help="Times that a photo is tried before it counts as failed.",
            rich_help_panel=POLITENESS_PANEL,
        ),
    ] = 4,
    backoff: Annotated[
        float,
        typer.Option(
            help="Seconds before the second attempt, doubled for each further one.",
            rich_help_panel=POLITENESS_PANEL,
        ),
    ] = 1.0,
    max_wait: Annotated[
        float,
        typer.Option(
            help="Longest wait, in seconds, whatever Retry-After asks for.",
            rich_help_panel=POLITENESS_PANEL,
        ),
    ] = 300.0,
    connect_timeout: Annotated[
        float, typer.Option(help="Seconds for a connection.", rich_help_panel=POLITENESS_PANEL)
    ] = 10.0,
    read_timeout: Annotated[
        float, typer.Option(help="Seconds for the next bytes.", rich_help_panel=POLITENESS_PANEL)
    ] = 20.0,
    total_timeout: Annotated[
        float,
        typer.Option(help="Seconds for one request as a whole.", rich_help_panel=POLITENESS_PANEL),
    ] = 60.0,
    user_agent: Annotated[
        str | None,
        typer.Option(
            help="What servers are told of who asks; a way to reach you is good manners.",
            rich_help_panel=POLITENESS_PANEL,
            show_default="geoloc-download/VERSION",
        ),
    ] = None,
    retry: Annotated[
        list[Retry] | None,
        typer.Option(
            help="Try photos in this state again; may be repeated.",
            rich_help_panel=POLITENESS_PANEL,
        ),
    ] = None,
    retry_failed: Annotated[
        bool,
        typer.Option(
            "--retry-failed", help="The same as --retry failed.", rich_help_panel=POLITENESS_PANEL
        ),
    ] = False,
    max_megabytes: Annotated[
        float, typer.Option(help="Largest file fetched.", rich_help_panel=SAFETY_PANEL)
    ] = 20.0,
    max_megapixels: Annotated[
        float,
        typer.Option(help="Largest image decoded, at most 178.", rich_help_panel=SAFETY_PANEL),
    ] = 80.0,
    max_redirects: Annotated[
        int, typer.Option(help="Redirects followed.", rich_help_panel=SAFETY_PANEL)
    ] = 5,
    gone_pattern: Annotated[
        list[str] | None,
        typer.Option(
            help="Regular expression that URLs of 'photo unavailable' pictures match, besides "
            "those that are known; may be repeated.",
            rich_help_panel=SAFETY_PANEL,
        ),
    ] = None,
    allow_private_addresses: Annotated[
        bool,
        typer.Option(
            "--allow-private-addresses",
            help="Ask private, loopback, link-local and reserved addresses too.",
            rich_help_panel=SAFETY_PANEL,
        ),
    ] = False,
    allow_network: Annotated[
        list[str] | None,
        typer.Option(
            help="Ask addresses of this network, such as 10.1.0.0/16, too; may be repeated.",
            rich_help_panel=SAFETY_PANEL,
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(help="Threads that decode images.", show_default="one per core"),
    ] = None,
) -> None:
    """Fetch the photos of a table, politely; a second run goes on where the first one ended.

    Every photo gets a state in `ledger.parquet`: ok, gone, not_an_image, too_large, failed or
    refused. `photos.parquet` in the output folder holds the rows whose image is there.
    """
    from tqdm import tqdm

    from geoloc_models.download import DownloadOptions, State, download_photos

    options = DownloadOptions(
        max_side=max_side,
        quality=quality,
        keep_original=keep_original,
        shard_size=shards,
        parallel=parallel,
        per_host=per_host,
        rate=rate,
        attempts=attempts,
        backoff=backoff,
        max_wait=max_wait,
        connect_timeout=connect_timeout,
        read_timeout=read_timeout,
        total_timeout=total_timeout,
        max_bytes=round(max_megabytes * 1e6),
        max_megapixels=max_megapixels,
        max_redirects=max_redirects,
        gone_patterns=tuple(gone_pattern or ()),
        allow_private_addresses=allow_private_addresses,
        allow_networks=tuple(allow_network or ()),
        retry=tuple(
            State(state) for state in {*(retry or ()), *([Retry.FAILED] if retry_failed else [])}
        ),
        user_agent=user_agent,
        workers=workers,
    )
    # The bar shows on a terminal alone.
    with tqdm(unit=" photos", disable=None, dynamic_ncols=True) as bar:

        def show(n_new: int, n_left: int) -> None:
            if not n_new:
                bar.reset(total=n_left)
            bar.update(n_new)

        try:
            summary = download_photos(table, output, options, progress=show)
        except KeyboardInterrupt:
            bar.close()
            typer.echo(
                "\nInterrupted; what was fetched is kept. The same command goes on from here.",
                err=True,
            )
            raise typer.Exit(INTERRUPTED) from None
    typer.echo(summary.text())
    typer.echo(f"\nThe photos that are there: {summary.table}")
