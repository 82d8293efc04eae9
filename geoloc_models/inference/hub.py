"""Bundles on the Hugging Face hub, or a server that speaks as it does."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

from geoloc_models.errors import GeolocError
from geoloc_models.files import replacing_folder
from geoloc_models.inference.bundle import load_bundle
from geoloc_models.inference.calibration import CALIBRATION_FILE
from geoloc_models.inference.decoder_file import DECODER_FILE

_FILES = ["*.json", "*.safetensors", "*.parquet"]
# Where training photos were taken: what a model answers worse without, and what it cannot do without.
_PLACES = [DECODER_FILE, "photos.parquet", "photos.safetensors"]
_NEEDED_PLACES = ["gallery.parquet", "images.parquet", "prototypes.parquet"]


def push_bundle(
    folder: str | Path, repository: str, *, public: bool = False, with_places: bool = False
) -> str:
    """Upload a bundle as it is; returns the address of its page.

    Parameters
    ----------
    folder : path
        A bundle.
    repository : str
        ``OWNER/NAME``; made where it is missing.
    public : bool
        Let everybody see a repository that is made.
    with_places : bool
        Upload the coordinates of the training photos too. Without them a calibration made with them, which
        then holds no more, is left out as well.

    Raises
    ------
    GeolocError
        If it is not a complete bundle, it cannot do without the places, huggingface_hub is missing, or the
        server refuses.
    """
    load_bundle(folder)
    left_out: list[str] = []
    if not with_places:
        needed = [name for name in _NEEDED_PLACES if (Path(folder) / name).is_file()]
        if needed:
            raise GeolocError(
                f"This model cannot answer without the places of its training photos ({needed[0]}). "
                "Pass --with-places to upload them."
            )
        if any((Path(folder) / name).is_file() for name in _PLACES):
            left_out = [*_PLACES, CALIBRATION_FILE]
    hub = _hub()
    api = hub.HfApi(endpoint=_endpoint())
    try:
        api.create_repo(repository, private=not public, exist_ok=True)
        api.upload_folder(
            repo_id=repository,
            folder_path=folder,
            allow_patterns=_FILES,
            ignore_patterns=left_out,
            commit_message="Upload a bundle",
        )
    except Exception as error:  # of the network in many ways
        raise _refused(repository, error) from error
    return f"{api.endpoint}/{repository}"


def pull_bundle(repository: str, folder: str | Path, *, revision: str | None = None) -> None:
    """Download a bundle into a folder, whole or not at all; no code from it is run.

    Parameters
    ----------
    repository : str
        ``OWNER/NAME``.
    folder : path
        An older bundle there is replaced.
    revision : str, optional
        Branch, tag or commit; by default the newest.

    Raises
    ------
    GeolocError
        If there is no such repository, it holds no whole bundle, or huggingface_hub is missing.
    """
    hub = _hub()
    with replacing_folder(folder) as draft:
        try:
            hub.snapshot_download(
                repository,
                revision=revision,
                local_dir=draft,
                allow_patterns=_FILES,
                endpoint=_endpoint(),
            )
        except Exception as error:  # of the network in many ways
            raise _refused(repository, error) from error
        shutil.rmtree(draft / ".cache", ignore_errors=True)  # what the hub's own client notes
        try:
            load_bundle(draft)
        except GeolocError as error:
            raise GeolocError(str(error).replace(str(draft), repository)) from error


def hub_file(repository: str, name: str) -> Path:
    """Path of one file of ``OWNER/NAME`` in the hub's own cache, downloaded if need be."""
    try:
        return Path(_hub().hf_hub_download(repository, name, endpoint=_endpoint()))
    except Exception as error:  # of the network in many ways
        raise _refused(repository, error) from error


def _hub() -> Any:
    try:
        import huggingface_hub
        from huggingface_hub.utils.tqdm import disable_progress_bars
    except ModuleNotFoundError as error:
        raise GeolocError(
            "The hub needs the package huggingface_hub; run pip install '.[hub]' in the source folder."
        ) from error
    if not sys.stderr.isatty():
        disable_progress_bars()
    return huggingface_hub


def _endpoint() -> str | None:
    return os.environ.get("HF_ENDPOINT")


def _refused(repository: str, error: Exception) -> GeolocError:
    reason = " ".join(str(error).split()).rstrip(".")
    return GeolocError(
        f"{repository}: {reason}. Is it OWNER/NAME, and does the environment have HF_TOKEN where one "
        "is needed?"
    )
