"""Find all files of a folder that may be photos."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from geoloc_models.errors import GeolocError
from geoloc_models.photos.tar_shards import tar_members

# Folders in which programs keep previews and copies of their own.
_FOLDERS_OF_PROGRAMS = {"__MACOSX", "@eaDir", "lost+found"}


@dataclass(frozen=True)
class PhotoFiles:
    """What a folder holds.

    Parameters
    ----------
    folder : Path
        Where the walk began.
    names : tuple of str
        Paths below the folder, with ``/``, in alphabetical order; ``00012.tar/NAME.jpg`` for the
        members of tar files.
    unreadable : tuple of (str, str)
        Name and reason of the folders and tars that could not be gone through.
    """

    folder: Path
    names: tuple[str, ...]
    unreadable: tuple[tuple[str, str], ...]


def find_photo_files(folder: str | Path) -> PhotoFiles:
    """List all files of a folder that may be photos.

    Parameters
    ----------
    folder : path
        Gone through with all folders and tars in it. Files and folders whose name begins with a dot
        are left out. Links are followed; what is reached twice, by whatever name, is listed once,
        by its own name rather than a link's.

    Raises
    ------
    GeolocError
        If there is no such folder.
    """
    root = Path(folder)
    if not root.exists():
        raise GeolocError(f"There is no folder {root}. Check the path to the photos.")
    if not root.is_dir():
        raise GeolocError(f"{root} is a file. Name the folder that the photos lie in.")
    unreadable: list[tuple[str, str]] = []
    names: list[str] = []
    for name in sorted(_walk(root, unreadable)):
        names.extend(_in_tar(root, name, unreadable) if name.lower().endswith(".tar") else [name])
    return PhotoFiles(root, tuple(names), tuple(unreadable))


def _walk(root: Path, unreadable: list[tuple[str, str]]) -> Iterator[str]:
    """Every file once; what links lead to comes after all that lies here itself."""
    seen: set[tuple[int, int]] = set()
    waiting: list[tuple[str, str]] = [("", str(root))]
    links: list[tuple[str, str]] = []
    while waiting or links:
        name, path = waiting.pop() if waiting else links.pop()
        try:
            status = os.stat(path)
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            if not os.path.isdir(path):
                if os.path.isfile(path):  # no pipe, no device: reading one might never end
                    yield name
                continue
            with os.scandir(path) as listing:
                entries = sorted(listing, key=lambda entry: entry.name, reverse=True)
        except OSError as error:
            unreadable.append((name or str(root), error.strerror or type(error).__name__))
            continue
        for entry in entries:
            if not _is_left_out(entry.name):
                below = f"{name}/{entry.name}" if name else entry.name
                (links if entry.is_symlink() else waiting).append((below, entry.path))


def _in_tar(root: Path, name: str, unreadable: list[tuple[str, str]]) -> Iterator[str]:
    try:
        with (root / name).open("rb") as file:
            members, damage = tar_members(file)
    except OSError as error:
        members, damage = [], error.strerror or type(error).__name__
    if damage is not None:
        unreadable.append((name, damage))
    for member in sorted({member.name for member in members}):
        if not any(_is_left_out(part) for part in member.split("/")):
            yield f"{name}/{member}"


def _is_left_out(name: str) -> bool:
    return name.startswith(".") or name in _FOLDERS_OF_PROGRAMS
