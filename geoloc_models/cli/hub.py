"""Bring a bundle from the Hugging Face hub or from weights that others trained, or hand one on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from geocells.output import echo
from geoloc_models.cli.common import command_line


def pull(
    repository: str,
    *,
    output: Annotated[Path | None, Parameter(alias="-o")] = None,
    revision: str | None = None,
) -> None:
    """Download a model that somebody put on the Hugging Face hub.

    Parameters
    ----------
    repository : str
        OWNER/NAME. Environment: HF_TOKEN (who you are), HF_ENDPOINT (another server).
    output : Path, optional
        Folder of the bundle. Default: models/NAME.
    revision : str, optional
        Branch, tag or commit. Default: the newest.
    """
    from geoloc_models.inference.hub import pull_bundle
    from geoloc_models.inference.model import load_model

    folder = output or Path("models") / repository.rpartition("/")[2]
    pull_bundle(repository, folder, revision=revision)
    echo(
        f"{load_model(folder)!r}\nAsk it: {command_line('geoloc', 'predict', 'PHOTOS', **{'--model': folder})}"
    )


def import_model(
    kind: Literal["geoclip"],
    *,
    clip: Path | None = None,
    output: Annotated[Path, Parameter(alias="-o")] = Path("models/geoclip"),
) -> None:
    """Make a bundle of GeoCLIP, a model of the whole world.

    Its weights and gallery of 100 000 places come from the package geoclip; CLIP's weights are
    downloaded once (1.7 GB), unless you name them.

    Parameters
    ----------
    kind : {"geoclip"}
        What to import.
    clip : Path, optional
        Weights of CLIP ViT-L/14 on this machine: model.safetensors or pytorch_model.bin of
        openai/clip-vit-large-patch14, or their folder. Default: from the Hugging Face hub.
    output : Path
        Folder of the bundle.
    """
    from geoloc_models.inference.geoclip import CLIP, import_geoclip
    from geoloc_models.inference.hub import hub_file

    import_geoclip(clip or hub_file(CLIP, "model.safetensors"), output)
    echo(
        f"The model is in {output}. Ask it: "
        f"{command_line('geoloc', 'predict', 'PHOTOS', **{'--model': output})}"
    )


def push(
    model: Path,
    repository: str,
    *,
    public: Annotated[bool, Parameter(negative=())] = False,
    with_places: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Upload a trained model to the Hugging Face hub.

    Parameters
    ----------
    model : Path
        Run folder of a trained model, or its bundle: runs/x, runs/x/bundle.
    repository : str
        OWNER/NAME, created if missing. Environment: HF_TOKEN (who you are), HF_ENDPOINT (another
        server).
    public : bool
        Make a new repository public.
    with_places : bool
        Also upload the coordinates of the training photos: answers are better and have a radius,
        but whoever gets the model gets the coordinates.
    """
    from geoloc_models.inference.hub import push_bundle
    from geoloc_models.inference.model import load_model

    folder = load_model(model).folder
    address = push_bundle(folder, repository, public=public, with_places=with_places)
    echo(f"The model is at {address}.")
