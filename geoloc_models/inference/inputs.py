"""What people hand in as photos: files, folders, patterns, pictures in memory; in one collection."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from geoloc_models.errors import GeolocError
from geoloc_models.photos.images import IN_MEMORY, FileImages, ImageSource
from geoloc_models.photos.opening import is_photo, split_tar_path
from geoloc_models.photos.photo_files import find_photo_files

_PATHS = (str, os.PathLike)


def as_photos(images: Any, *, min_side: int | None = None) -> ImageSource:
    """Make a collection of whatever holds photos.

    Parameters
    ----------
    images : path, pillow image, array, ImageSource, or a sequence of paths, images and arrays
        A folder stands for all photos in it and in its folders; an array of shape (n, H, W, 3) for
        n photos. An :class:`~geoloc_models.photos.images.ImageSource` is returned as it is.
    min_side : int, optional
        The least that the shorter side of a decoded file must have, in pixels.

    Raises
    ------
    GeolocError
        If a path does not exist, there is no photo, or something is no photo at all.
    """
    if isinstance(images, ImageSource) and not isinstance(images, IN_MEMORY):
        return images
    if isinstance(images, np.ndarray) and images.ndim == 4:
        images = list(images)
    if isinstance(images, (*_PATHS, *IN_MEMORY)):
        images = [images]
    if not isinstance(images, Iterable):
        raise GeolocError(
            "Photos are paths, folders, pillow images or arrays, or a list of them; got "
            f"{type(images).__name__}."
        )
    items: list[Any] = []
    for item in images:
        if isinstance(item, IN_MEMORY):
            items.append(item)
        elif isinstance(item, _PATHS):
            items.extend(list_photos([os.fspath(item)]))
        else:
            raise GeolocError(
                "Photos are paths, pillow images or arrays; one of them is a "
                f"{type(item).__name__}."
            )
    if not items:
        raise GeolocError("There is no photo in the input.")
    return FileImages(items, min_side=min_side)


def list_photos(names: Sequence[str], *, must_exist: bool = True) -> list[str]:
    """Files that names stand for, each once, in the order of the names.

    Parameters
    ----------
    names : sequence of str
        Files, folders (all photos in them and their folders, tar shards included), members of tar
        files, and patterns such as ``trip/**/*.jpg``.
    must_exist : bool, default True
        Refuse a name that nothing has. Otherwise it stays in the list, to be found missing later.

    Raises
    ------
    GeolocError
        If a file is missing, a folder holds no photo, or a pattern matches nothing.
    """
    files: dict[str, None] = {}
    for name in names:
        files.update(dict.fromkeys(_files_of(name, must_exist)))
    return list(files)


def _files_of(name: str, must_exist: bool) -> list[str]:
    if os.path.isdir(name):
        photos = _in_folder(name)
        if not photos:
            raise GeolocError(f"There is no photo in the folder {name}.")
        return photos
    if os.path.exists(name) or split_tar_path(name) is not None:
        return [name]
    if glob.has_magic(name):
        matches = sorted(glob.glob(name, recursive=True))
        files = [
            file
            for match in matches
            for file in (_in_folder(match) if os.path.isdir(match) else [match])
        ]
        if files:
            return files
        if must_exist:
            raise GeolocError(f"No photo matches {name}.")
    elif must_exist:
        raise GeolocError(f"There is no photo {name}. Check the path.")
    return [name]


def _in_folder(folder: str) -> list[str]:
    """All photos of a folder; damaged ones too, which are reported when they are read."""
    paths = ((str(Path(folder, name)), name) for name in find_photo_files(folder).names)
    return [path for path, name in paths if is_photo(path, name)]
