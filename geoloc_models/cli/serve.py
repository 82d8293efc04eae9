"""Serve a local page to drop a photo on."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import typer

from geoloc_models.cli._typer import app, one_sentence_errors
from geoloc_models.cli.predict import Decoder

_LIMITS_PANEL = "What is taken"


@app.command()
@one_sentence_errors
def serve(
    model: Annotated[
        Path,
        typer.Option("--model", "-m", help="Bundle of a trained model: runs/x/bundle, or runs/x."),
    ],
    host: Annotated[
        str,
        typer.Option(help="Address to listen on. Any but 127.0.0.1 lets other machines in."),
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes any that is free.")
    ] = 7860,
    name: Annotated[
        list[str] | None,
        typer.Option(
            help="Name that other machines call the page by, where it is not this machine's own. "
            "May be given several times."
        ),
    ] = None,
    tiles: Annotated[
        str,
        typer.Option(
            help="Background of the map, such as CartoDB.Positron; none asks no map server, and "
            "draws borders alone.",
        ),
    ] = "none",
    decoder: Annotated[
        Decoder | None,
        typer.Option(
            help="How a point is made of probabilities.",
            show_default="the one that the model is calibrated for",
        ),
    ] = None,
    max_megabytes: Annotated[
        float, typer.Option(help="Largest upload.", rich_help_panel=_LIMITS_PANEL)
    ] = 20.0,
    max_megapixels: Annotated[
        float, typer.Option(help="Largest photo in it.", rich_help_panel=_LIMITS_PANEL)
    ] = 50.0,
    max_waiting: Annotated[
        int, typer.Option(help="Uploads at a time.", rich_help_panel=_LIMITS_PANEL)
    ] = 8,
) -> None:
    """Serve a local page: drop a photo, see where it was taken.

    Photos are looked at in memory, one at a time, and forgotten: nothing of them is written to
    disk. The page works offline. Ctrl-C ends it.
    """
    from geoloc_models.inference.model import load_model
    from geoloc_models.serve import Limits, PhotoPlacer
    from geoloc_models.serve.page import import_gradio
    from geoloc_models.serve.running import ended_by_sigterm, is_loopback, no_files_left, run_server

    limits = Limits(megabytes=max_megabytes, megapixels=max_megapixels, waiting=max_waiting)
    with ended_by_sigterm(), no_files_left(), contextlib.suppress(KeyboardInterrupt):
        import_gradio()
        placer = PhotoPlacer(
            load_model(model),
            limits=limits,
            tiles=None if tiles.lower() == "none" else tiles,
            decoder=None if decoder is None else decoder.value,
        )
        if not is_loopback(host):
            typer.echo(
                f"Warning: {host} lets other machines in. Whoever reaches this one can use the "
                "page, without a password, and what they send is not encrypted on its way.",
                err=True,
            )
        run_server(
            placer,
            host=host,
            port=port,
            names=name or (),
            say=lambda url: typer.echo(f"The page is {url} (Ctrl-C ends it)."),
        )
    typer.echo("Ended; nothing was kept.", err=True)
