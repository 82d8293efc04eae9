"""File names made of photo ids: safe on every file system, and different for different ids."""

from __future__ import annotations

import hashlib
import re

MAX_NAME_LENGTH = 80

_SAFE = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_UNSAFE_RUN = re.compile(r"[^a-z0-9_-]+")
_SLUG_LENGTH = 40
# Windows takes these for devices, whatever their suffix.
_DEVICES = frozenset(
    ["con", "prn", "aux", "nul", *(f"{port}{k}" for port in ("com", "lpt") for k in range(10))]
)


def safe_name(photo_id: str) -> str:
    """File name, without a suffix, for a photo's id.

    Parameters
    ----------
    photo_id : str
        Any text: empty, long, with slashes or in any script.

    Returns
    -------
    str
        At most 80 of ``a-z 0-9 _ - ~``, not starting with ``-``, ``_`` or ``~``. An id that is
        such a name already is its own name; every other one gives what is safe of it, ``~`` and
        the 128-bit hash of the id.

    Notes
    -----
    Capitals count as unsafe, so that ``A`` and ``a`` do not meet in one file where the file system
    ignores case. There is no dot, because WebDataset ends a key at the first one. Names of ids that
    are kept hold no ``~``; so two ids share a name only if their hashes collide.

    Examples
    --------
    >>> safe_name("2034871")
    '2034871'
    >>> safe_name("../../etc/passwd")
    'etc-passwd~03d915744132df301bb7f67f4e92a4e9'
    """
    if _SAFE.fullmatch(photo_id) and photo_id not in _DEVICES:
        return photo_id
    digest = _digest(photo_id)
    slug = _UNSAFE_RUN.sub("-", photo_id.lower())[:_SLUG_LENGTH].strip("-_") or "photo"
    return f"{slug}~{digest}"


def folder_of(name: str) -> str:
    """Folder ``ab/cd`` of a name: two bytes of its hash, so that 65 536 folders fill evenly.

    Examples
    --------
    >>> folder_of("2034871")
    'da/03'
    """
    digest = _digest(name)
    return f"{digest[:2]}/{digest[2:4]}"


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
