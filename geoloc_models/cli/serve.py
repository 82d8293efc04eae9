"""Serve a local page to drop a photo on."""

import contextlib
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter, validators

from geocells.output import echo


def serve(
    *,
    model: Annotated[Path, Parameter(alias="-m")],
    examples: Path | None = None,
    allow_addresses: bool = False,
    exact_places: bool = False,
    host: str = "127.0.0.1",
    port: Annotated[int, Parameter(validator=validators.Number(gte=0, lte=65535))] = 7860,
    name: list[str] | None = None,
    tiles: str = "none",
    decoder: Literal["argmax", "top_k", "expected_utility"] | None = None,
    max_megabytes: float = 20.0,
    max_megapixels: float = 50.0,
    max_waiting: int = 8,
) -> None:
    """Serve a local page: drop a photo, see where it was taken.

    No photo is kept. The page works offline. Ctrl-C ends it.

    Parameters
    ----------
    model : Path
        Run folder of a trained model, or its bundle: runs/x, runs/x/bundle.
    examples : Path, optional
        Folder of photos to click on. Default: "examples" in the bundle, if there is one.
    allow_addresses : bool
        Let visitors give the web address of a photo, which this server then fetches.
    exact_places : bool
        Show the exact places of training photos; otherwise they are rounded to 0.1 degrees.
    host : str
        Address to listen on. Any but 127.0.0.1 lets other machines in.
    port : int
        Port to listen on; 0 takes a free one.
    name : list of str, optional
        Names by which other machines call the page, besides this machine's own.
    tiles : str
        Background of the map, such as OpenTopoMap, or none: borders only, no map server is asked.
    decoder : {"argmax", "top_k", "expected_utility"}, optional
        How probabilities become a point. Default: the decoder that the model is calibrated for.
    max_megabytes : float
        Largest upload.
    max_megapixels : float
        Largest photo.
    max_waiting : int
        Most uploads at a time.
    """
    from geoloc_models.inference.model import load_model
    from geoloc_models.serve import Limits, PhotoPlacer, read_examples, server

    limits = Limits(megabytes=max_megabytes, megapixels=max_megapixels, waiting=max_waiting)
    addresses = None
    if allow_addresses:
        from geoloc_models.download import DownloadOptions

        addresses = DownloadOptions(max_megabytes=max_megabytes, total_timeout=limits.seconds)
    with server.ended_by_sigterm(), contextlib.suppress(KeyboardInterrupt):
        placer = PhotoPlacer(
            load_model(model),
            limits=limits,
            tiles=None if tiles.lower() == "none" else tiles,
            decoder=decoder,
            exact_places=exact_places,
        )
        if examples is None and (placer.model.folder / "examples").is_dir():
            examples = placer.model.folder / "examples"
        if not server.is_loopback(host):
            echo(
                f"Warning: {host} lets other machines in: they can use the page without a password, "
                "and what they send is not encrypted.",
                error=True,
            )
        server.run_server(
            placer,
            examples=() if examples is None else read_examples(examples),
            addresses=addresses,
            host=host,
            port=port,
            names=name or (),
            report=lambda url: echo(f"The page is {url} (Ctrl-C ends it)."),
        )
    echo("Ended; nothing was kept.", error=True)
